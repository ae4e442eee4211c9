//! CONFIG GET and CONFIG SET.

use super::Config;
use super::error::SetError;
use super::kind::{Mode, Reason};
use super::table::{self, Change, DIRECTIVES, Directive};

/// The words in one CONFIG SET value. Redis takes a value of several words apart at each single
/// space, so that two spaces in a row make an empty word, and sees no quotes.
pub(super) fn words_of(directive: &Directive, value: &[u8]) -> Vec<Vec<u8>> {
    if !directive.kind.takes_words() {
        return vec![value.to_vec()];
    }
    if value.is_empty() {
        return Vec::new();
    }
    let words = value.split(|&b| b == b' ');
    words.map(<[u8]>::to_vec).collect()
}

/// The name or alias of `row` that `name` is, in lower case: Redis names a bad value's directive
/// so, and everything else as the client spelt it.
fn spelling(row: usize, name: &[u8]) -> &'static str {
    let Directive {
        name: main, alias, ..
    } = &DIRECTIVES[row];
    match alias {
        Some(alias) if !main.as_bytes().eq_ignore_ascii_case(name) => alias,
        _ => main,
    }
}

impl Config {
    /// CONFIG GET: names and values of the directives that any of `patterns` matches, each once.
    /// A pattern without wildcards is answered under the name as the client spelt it.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        // Which rows have been answered: under their name, and under their alias.
        let mut answered = vec![[false; 2]; DIRECTIVES.len()];
        for pattern in patterns {
            let exact = !pattern.iter().any(|b| b"*?[".contains(b));
            for (row, directive) in DIRECTIVES.iter().enumerate() {
                if directive.hidden && !exact {
                    continue;
                }
                for (index, name) in [Some(directive.name), directive.alias].iter().enumerate() {
                    let (Some(name), false) = (name, answered[row][index]) else {
                        continue;
                    };
                    let name = match exact {
                        true if pattern.eq_ignore_ascii_case(name.as_bytes()) => {
                            String::from_utf8_lossy(pattern).into_owned()
                        }
                        false if store::glob::matches(pattern, name.as_bytes(), true) => {
                            name.to_string()
                        }
                        _ => continue,
                    };
                    answered[row][index] = true;
                    found.push((name, self.shown(row)));
                }
            }
        }
        found
    }

    /// CONFIG SET: changes all of `pairs`, or nothing. Answers the directives whose value is
    /// another one now, for the caller to put into effect; if that fails, it goes back to a clone
    /// taken before.
    ///
    /// `guarded` says whether this client may change guarded directives. A directive that may not
    /// change can still be set to the value it has, unlike in Redis, so that what CONFIG GET
    /// answered can be set again as a whole.
    pub fn set(
        &mut self,
        pairs: &[(&[u8], &[u8])],
        guarded: bool,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let rows = self.rows_to_set(pairs, guarded)?;
        let mut next = self.clone();
        for (&(name, value), &row) in pairs.iter().zip(&rows) {
            next.change(row, value)
                .map_err(|reason| SetError::refused(spelling(row, name), reason))?;
        }
        let mut changed: Vec<usize> = Vec::new();
        for row in rows {
            if next.values[row] != self.values[row] && !changed.contains(&row) {
                changed.push(row);
            }
        }
        *self = next;
        Ok(changed.into_iter().map(|row| &DIRECTIVES[row]).collect())
    }

    /// The rows that `pairs` name, if each exists, occurs once, and may change.
    fn rows_to_set(&self, pairs: &[(&[u8], &[u8])], guarded: bool) -> Result<Vec<usize>, SetError> {
        let mut rows = Vec::new();
        for (index, &(name, value)) in pairs.iter().enumerate() {
            let Some(row) = table::find(name) else {
                return Err(SetError::Unknown {
                    name: name.to_vec(),
                });
            };
            let earlier = &pairs[..index];
            let twice = earlier.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
            let reason = match DIRECTIVES[row].change {
                Change::AtStart if !self.has(row, value) => "can't set immutable config",
                Change::Guarded if !guarded && !self.has(row, value) => {
                    "can't set protected config"
                }
                _ if twice => "duplicate parameter",
                _ => {
                    rows.push(row);
                    continue;
                }
            };
            return Err(SetError::refused(name, reason));
        }
        Ok(rows)
    }

    /// Whether a row has the value that `text` means.
    fn has(&self, row: usize, text: &[u8]) -> bool {
        let directive = &DIRECTIVES[row];
        let words = words_of(directive, text);
        let now = &self.values[row];
        let meant = directive.kind.parse(&words, now, Mode::Replace);
        self.shown(row) == text || meant.as_ref() == Ok(now)
    }

    fn change(&mut self, row: usize, text: &[u8]) -> Result<(), Reason> {
        if self.shown(row) == text {
            return Ok(());
        }
        self.assign(row, &words_of(&DIRECTIVES[row], text), Mode::Replace)
    }
}

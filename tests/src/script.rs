//! Scripts: blocks of commands, with or without the replies they should get.
//!
//! ```text
//! # A comment.
//! == NX keeps what is there         the title starts a block
//! @ resp3 alone                     tags, see [`Block::tags`]
//! > SET k v                         a command on the main connection
//! +OK                               the reply it should get, in the notation of `notation`
//! b> GET k                          a command on connection `b`, made when first named
//! >0 CLIENT REPLY OFF               a command that gets no reply; `>2` would get two
//! < "PING\r\nPI"                    bytes as they are, and one reply; `<0`, `<2` likewise
//! b>                                nothing sent, one more reply read
//! ? EXISTS k = :0                   repeated until the reply is this
//! close b                           the connection is closed by us
//! $x = NX | XX | KEEPTTL GET        the block is run for each of these in place of `$x`
//! > INCRBY k {1|-1|x}               several commands, one for each of the words
//! ```
//!
//! Neither kind of alternative is looked for inside quotes.

use crate::notation::{Pattern, words};

#[derive(Clone, Debug)]
pub struct Step {
    pub line: usize,
    pub connection: String,
    pub action: Action,
    /// One for each reply, or none where two servers are compared.
    pub expected: Vec<Expected>,
}

/// A reply as the script has it, and what that means.
#[derive(Clone, Debug)]
pub struct Expected {
    pub text: String,
    pub pattern: Pattern,
}

impl Expected {
    fn parse(text: &str) -> Result<Expected, String> {
        let pattern = Pattern::parse(text)?;
        Ok(Expected {
            text: text.to_owned(),
            pattern,
        })
    }
}

#[derive(Clone, Debug)]
pub enum Action {
    /// Words to send (none: only read), and how many replies follow.
    Call(Vec<Vec<u8>>, usize),
    Raw(Vec<u8>, usize),
    Until(Vec<Vec<u8>>, Expected),
    Close,
}

#[derive(Clone, Debug)]
pub struct Block {
    pub title: String,
    pub line: usize,
    /// `resp2`, `resp3`: only in that protocol. `alone`: on servers of its own, for what cannot be
    /// undone. `inorder`: never as a pipeline. `valkey`, `redis8`: compared with that server, for
    /// what Redis 7.0 does not have. `with NAME VALUE`: servers started with that directive.
    pub tags: Vec<String>,
    pub steps: Vec<Step>,
}

impl Block {
    pub fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| t == tag)
    }

    /// The directives of its `with` tags.
    pub fn directives(&self) -> Vec<(String, String)> {
        let with = self.tags.iter().filter_map(|t| t.strip_prefix("with "));
        with.filter_map(|t| t.split_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Whether its commands may be sent in one go: one connection, and no reply awaited before the
    /// next command.
    pub fn can_be_pipelined(&self) -> bool {
        let simple = |step: &Step| {
            step.connection.is_empty()
                && matches!(&step.action, Action::Call(words, 1) if !words.is_empty())
                && step.expected.iter().all(|e| e.pattern != Pattern::Closed)
        };
        !self.has("inorder") && self.steps.len() > 1 && self.steps.iter().all(simple)
    }
}

impl Step {
    /// As it stands in the script, cut to a readable length.
    pub fn shown(&self) -> String {
        let text = |words: &[Vec<u8>]| {
            let words: Vec<String> = words.iter().map(|w| shown_word(w)).collect();
            words.join(" ")
        };
        let what = match &self.action {
            Action::Call(words, 1) => format!("> {}", text(words)),
            Action::Call(words, n) => format!(">{n} {}", text(words)),
            Action::Raw(bytes, n) => format!("<{n} {}", crate::value::quoted(bytes)),
            Action::Until(words, reply) => format!("? {} = {}", text(words), reply.text),
            Action::Close => "close".to_owned(),
        };
        format!("{}{what}", self.connection)
    }
}

/// A word as it could stand in a script.
pub fn shown_word(word: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_graphic() && *b != b'"' && *b != b'\\';
    if !word.is_empty() && word.len() <= 60 && word.iter().all(plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    match word.first() {
        Some(first) if word.len() > 60 && word.iter().all(|b| b == first) => {
            format!("rep({},{})", crate::value::quoted(&[*first]), word.len())
        }
        _ => crate::value::quoted(word),
    }
}

/// Reads a script; the error names its line.
pub fn parse(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut title = Title {
        text: String::new(),
        line: 1,
    };
    let mut lines: Vec<(usize, &str)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(next) = line.strip_prefix("== ") {
            title.close(&lines, &mut blocks)?;
            title = Title {
                text: next.to_owned(),
                line: number + 1,
            };
            lines.clear();
        } else if !line.is_empty() && !line.starts_with("# ") && line != "#" {
            lines.push((number + 1, line));
        }
    }
    title.close(&lines, &mut blocks)?;
    Ok(blocks)
}

struct Title {
    text: String,
    line: usize,
}

impl Title {
    /// Adds the block of these lines, once for each combination of its alternatives.
    fn close(&self, lines: &[(usize, &str)], blocks: &mut Vec<Block>) -> Result<(), String> {
        let mut choices: Vec<Vec<(String, String)>> = vec![Vec::new()];
        let mut rest = Vec::new();
        for (number, line) in lines {
            match line
                .strip_prefix('$')
                .and_then(|line| line.split_once(" = "))
            {
                None => rest.push((*number, *line)),
                Some((name, values)) => {
                    let with = |value: &str| {
                        let added = (format!("${name}"), value.trim().to_owned());
                        let extend =
                            |c: &Vec<_>| [c.as_slice(), std::slice::from_ref(&added)].concat();
                        choices.iter().map(extend).collect::<Vec<_>>()
                    };
                    choices = values.split(" | ").flat_map(with).collect();
                }
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        for choice in choices {
            let values = choice
                .iter()
                .map(|(_, value)| value.as_str())
                .collect::<Vec<_>>();
            let title = [&[self.text.as_str()], values.as_slice()]
                .concat()
                .join(", ");
            let mut block = Block {
                title,
                line: self.line,
                tags: Vec::new(),
                steps: Vec::new(),
            };
            for (number, line) in &rest {
                let mut line = (*line).to_owned();
                for (name, value) in &choice {
                    line = line.replace(name, value);
                }
                for line in alternatives(&line) {
                    line_into(&mut block, &line, *number)
                        .map_err(|e| format!("line {number}: {e}: {line}"))?;
                }
            }
            blocks.push(block);
        }
        Ok(())
    }
}

/// A line for each of the alternatives in its first `{a|b}` outside quotes, and so on for the next.
fn alternatives(line: &str) -> Vec<String> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        quoted ^= closes;
        if c != '{' || quoted {
            continue;
        }
        let Some(end) = line[at..].find('}').map(|end| at + end) else {
            break;
        };
        if !line[at..end].contains('|') {
            continue;
        }
        let one = |word| alternatives(&format!("{}{word}{}", &line[..at], &line[end + 1..]));
        return line[at + 1..end].split('|').flat_map(one).collect();
    }
    vec![line.to_owned()]
}

fn line_into(block: &mut Block, line: &str, number: usize) -> Result<(), String> {
    if let Some(tags) = line.strip_prefix("@ ") {
        match tags.strip_prefix("with ") {
            Some(_) => block.tags.push(tags.to_owned()),
            None => block.tags.extend(tags.split(' ').map(str::to_owned)),
        }
        return Ok(());
    }
    if let Some((connection, action)) = action(line)? {
        block.steps.push(Step {
            line: number,
            connection,
            action,
            expected: Vec::new(),
        });
        return Ok(());
    }
    let step = block.steps.last_mut().ok_or("a reply before any command")?;
    let replies = match &step.action {
        Action::Call(_, n) | Action::Raw(_, n) => *n,
        Action::Until(..) | Action::Close => 0,
    };
    if step.expected.len() == replies {
        return Err("more replies than the command gets".to_owned());
    }
    step.expected.push(Expected::parse(line)?);
    Ok(())
}

/// What a line does, and on which connection; `None` if it is a reply.
fn action(line: &str) -> Result<Option<(String, Action)>, String> {
    if let Some(name) = line.strip_prefix("close ") {
        return Ok(Some((name.to_owned(), Action::Close)));
    }
    if let Some(rest) = line.strip_prefix("? ") {
        let (command, pattern) = rest.rsplit_once(" = ").ok_or("'= reply' is missing")?;
        let action = Action::Until(words(command)?, Expected::parse(pattern)?);
        return Ok(Some((String::new(), action)));
    }
    let name_end = line
        .find(|c: char| !c.is_ascii_lowercase())
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(name_end);
    let raw = rest.starts_with('<');
    // `>[` starts a push.
    if !raw && (!rest.starts_with('>') || rest.starts_with(">[")) {
        return Ok(None);
    }
    let rest = &rest[1..];
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let replies = match &rest[..digits] {
        "" => 1,
        n => n.parse().map_err(|_| "too many replies".to_owned())?,
    };
    let parts = words(&rest[digits..])?;
    let action = if raw {
        Action::Raw(parts.concat(), replies)
    } else {
        Action::Call(parts, replies)
    };
    Ok(Some((name.to_owned(), action)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_multiply() {
        let script = "== t\n$x = NX | XX GET\n> SET k {1|2} $x\n> SET \"{a|b}\" {c}\n";
        let blocks = parse(script).expect("a script");
        let shown = |block: &Block| block.steps.iter().map(Step::shown).collect::<Vec<_>>();
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            shown(&blocks[0]),
            ["> SET k 1 NX", "> SET k 2 NX", "> SET {a|b} {c}"]
        );
        assert_eq!(
            shown(&blocks[1]),
            ["> SET k 1 XX GET", "> SET k 2 XX GET", "> SET {a|b} {c}"]
        );
        assert_eq!(blocks[1].title, "t, XX GET");
    }

    #[test]
    fn steps_say_where_and_how_often() {
        let script = "@ alone\n>0 A\nb>2 B c\n+OK\n>[:1]\n< \"x\\r\"\nb>\nclose b\n? C = :1\n";
        let block = &parse(script).expect("a script")[0];
        let shown: Vec<String> = block.steps.iter().map(Step::shown).collect();
        assert_eq!(shown[..4], [">0 A", "b>2 B c", "<1 \"x\\r\"", "b> "]);
        assert!(block.has("alone"));
        assert_eq!(block.steps[1].expected.len(), 2);
        assert!(parse("> A\n+OK\n+OK\n").is_err(), "one reply too many");
        assert!(parse("+OK\n").is_err(), "a reply to nothing");
    }
}

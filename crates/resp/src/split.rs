//! Words of an inline command or of a line of configuration, with Redis's quoting: `"…"` with `\xHH`,
//! `\n`, `\r`, `\t`, `\b`, `\a` escapes, `'…'` with `\'` only. A closing quote must be followed by
//! space or the end. A NUL byte ends the line.

/// A quote that never closes, or closes in the middle of a word.
#[derive(Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// Splits `line` into words.
pub fn split_words(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
    let mut words = Vec::new();
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let mut rest = &line[..end];
    loop {
        let skip = rest.iter().take_while(|c| is_space(**c)).count();
        rest = &rest[skip..];
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// What may stand between words, and after a closing quote.
fn is_space(c: u8) -> bool {
    ends_word(c) || matches!(c, 0x0b | 0x0c)
}

/// What ends a word without quotes: fewer characters than may follow it.
fn ends_word(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r')
}

/// One word at the start of `s` and what follows it.
fn word(s: &[u8]) -> Result<(Vec<u8>, &[u8]), Unbalanced> {
    let mut word = Vec::new();
    let mut i = 0;
    while let Some(&c) = s.get(i) {
        match c {
            _ if ends_word(c) => break,
            b'"' | b'\'' => {
                let used = quoted(&s[i + 1..], c, &mut word)?;
                let after = &s[i + 1 + used..];
                return match after.first() {
                    Some(&n) if !is_space(n) => Err(Unbalanced),
                    _ => Ok((word, after)),
                };
            }
            _ => word.push(c),
        }
        i += 1;
    }
    Ok((word, &s[i..]))
}

/// The inside of a quoted word up to and including the closing quote; answers the bytes used.
fn quoted(s: &[u8], quote: u8, word: &mut Vec<u8>) -> Result<usize, Unbalanced> {
    let mut i = 0;
    loop {
        let &c = s.get(i).ok_or(Unbalanced)?;
        if c == quote {
            return Ok(i + 1);
        }
        let (byte, used) = match (quote, c) {
            (b'"', b'\\') => escape(&s[i..]),
            (b'\'', b'\\') if s.get(i + 1) == Some(&b'\'') => (b'\'', 2),
            _ => (c, 1),
        };
        word.push(byte);
        i += used;
    }
}

/// The byte that an escape at the start of `s` stands for, and its length.
fn escape(s: &[u8]) -> (u8, usize) {
    let hex = |i: usize| s.get(i).and_then(|c| (*c as char).to_digit(16));
    if s.get(1) == Some(&b'x')
        && let (Some(high), Some(low)) = (hex(2), hex(3))
    {
        return ((high * 16 + low) as u8, 4);
    }
    match s.get(1) {
        Some(b'n') => (b'\n', 2),
        Some(b'r') => (b'\r', 2),
        Some(b't') => (b'\t', 2),
        Some(b'b') => (0x08, 2),
        Some(b'a') => (0x07, 2),
        Some(&c) => (c, 2),
        None => (b'\\', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: Option<&[&str]>) {
        let got = split_words(line.as_bytes()).ok();
        let want = want.map(|w| w.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(got, want, "{line:?}");
    }

    #[test]
    fn words_and_quotes() {
        check("", Some(&[]));
        check("  \t ", Some(&[]));
        check("set  a b ", Some(&["set", "a", "b"]));
        check(r#"set a "b c""#, Some(&["set", "a", "b c"]));
        check(r#"a"b""#, Some(&["ab"]));
        check(r#""\x41\n\q""#, Some(&["A\nq"]));
        check(r"'it\'s' '\n'", Some(&["it's", r"\n"]));
        check(r#""a"b"#, None);
        check(r#""open"#, None);
        check("'open", None);
        check(r#""" ''"#, Some(&["", ""]));
        check(r#""\xg1""#, Some(&["xg1"]));
        check("\x0b\x0ca\x0bb\x0c c", Some(&["a\x0bb\x0c", "c"]));
        check("\"a\"\x0bb", Some(&["a", "b"]));
        check("a b\0c \"", Some(&["a", "b"]));
        check("\"a\0\"", None);
        check("\"a\"\0x", Some(&["a"]));
        check("\"\\", None);
    }
}

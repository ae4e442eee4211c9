//! Words of a configuration line.
//!
//! Redis reads a line the way a small shell would: words are parted by blanks, `"…"` knows
//! escapes, `'…'` knows only `\'`, and a closing quote must be followed by a blank or the end.
//! CONFIG REWRITE writes with [`quote`], so that what it wrote reads back as it was.
//!
//! This file knows nothing of directives.

/// The words of `line`, or `None` where a quote is left open or runs into more text.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = skip_blanks(rest);
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = next_word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// Blanks as C's `isspace` sees them.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// `line` without blanks, tabs and line ends on either side.
pub fn trim(line: &[u8]) -> &[u8] {
    let keep = |b: &u8| !matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    match (line.iter().position(keep), line.iter().rposition(keep)) {
        (Some(first), Some(last)) => line.get(first..=last).unwrap_or_default(),
        _ => &[],
    }
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&b| !is_blank(b));
    start.and_then(|at| bytes.get(at..)).unwrap_or_default()
}

/// One word from the start of `rest`, which begins with no blank, and what follows it.
fn next_word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' => {
                rest = double_quoted(after, &mut word)?;
                return ends_here(rest).then_some((word, rest));
            }
            b'\'' => {
                rest = single_quoted(after, &mut word)?;
                return ends_here(rest).then_some((word, rest));
            }
            _ if is_blank(byte) => return Some((word, after)),
            _ => {
                word.push(byte);
                rest = after;
            }
        }
    }
    Some((word, rest))
}

fn ends_here(rest: &[u8]) -> bool {
    rest.first().is_none_or(|&b| is_blank(b))
}

/// Appends up to the closing `"`; answers what follows it.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

/// Appends up to the closing `'`; answers what follows it.
fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

/// The value of one hexadecimal digit; other bytes count as 0.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// `word` in double quotes, with everything that is not printable ASCII escaped.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in word {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            0x20..=0x7e => out.push(byte),
            _ => out.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let expected: Vec<Vec<u8>> = expected.iter().map(|w| w.as_bytes().to_vec()).collect();
        assert_eq!(split(line.as_bytes()), Some(expected), "{line:?}");
    }

    #[test]
    fn words_are_parted_by_blanks() {
        check("", &[]);
        check("  \t ", &[]);
        check("port 6379", &["port", "6379"]);
        check(" a\tb\x0bc  d ", &["a", "b", "c", "d"]);
    }

    #[test]
    fn quotes_and_escapes() {
        check(r#"a """#, &["a", ""]);
        check(r#"a '' b"#, &["a", "", "b"]);
        check(r#""a b" 'c d'"#, &["a b", "c d"]);
        check(r#""\x41\n\t\q\"""#, &["A\n\tq\""]);
        check(r#""\x4g""#, &["x4g"]);
        check(r"'it\'s' '\n'", &["it's", r"\n"]);
        check("pre'fix'", &["prefix"]);
        check(r"\x41", &[r"\x41"]);
    }

    #[test]
    fn open_and_run_on_quotes_are_refused() {
        for line in [
            r#"a "b"#, "a 'b", r#""a"b"#, "'a'b", r#""\"#, r"'\'", "a'b'c",
        ] {
            assert_eq!(split(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn every_byte_survives_quoting() {
        let word: Vec<u8> = (0..=255).collect();
        assert_eq!(split(&quote(&word)), Some(vec![word]));
    }

    #[test]
    fn trimming() {
        assert_eq!(trim(b" \t a b \r\n"), b"a b");
        assert_eq!(trim(b" \r\n"), b"");
        assert_eq!(trim(b""), b"");
    }
}

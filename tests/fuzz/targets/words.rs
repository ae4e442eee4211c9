//! A line splits into the words that C's rules give, character by character.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resp::split::split_words;

fuzz_target!(|line: &[u8]| {
    assert_eq!(split_words(line).ok(), words(line));
});

fn is_space(c: u8) -> bool {
    c == b' ' || (9..=13).contains(&c)
}

/// The words of a C string, or `None` where quotes do not balance.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let at = |i: usize| line.get(i).copied().unwrap_or(0);
    let hex = |i: usize| char::from(at(i)).to_digit(16);
    let mut words = Vec::new();
    let mut i = 0;
    loop {
        while is_space(at(i)) {
            i += 1;
        }
        if at(i) == 0 {
            return Some(words);
        }
        let mut word = Vec::new();
        let mut quote = 0;
        loop {
            let c = at(i);
            if quote == 0 {
                match c {
                    0 | b' ' | b'\n' | b'\r' | b'\t' => break,
                    b'"' | b'\'' => quote = c,
                    _ => word.push(c),
                }
                i += 1;
            } else if c == 0 {
                return None;
            } else if c == quote {
                i += 1;
                if at(i) != 0 && !is_space(at(i)) {
                    return None;
                }
                break;
            } else if c != b'\\' || quote == b'\'' && at(i + 1) != b'\'' || at(i + 1) == 0 {
                word.push(c);
                i += 1;
            } else if let (b'"', b'x', Some(a), Some(b)) =
                (quote, at(i + 1), hex(i + 2), hex(i + 3))
            {
                word.push((a * 16 + b) as u8);
                i += 4;
            } else {
                word.push(match at(i + 1) {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                i += 2;
            }
        }
        words.push(word);
    }
}

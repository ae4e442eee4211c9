//! Glob patterns as Redis matches them: `*`, `?`, `[a-c]`, `[^x]`, `\` as escape.
//!
//! Time is bounded by pattern length times text length: of several stars only the last one is ever
//! retried, which suffices because an earlier star's shortest match leaves the most to a later one.

/// Whether the pattern matches nothing but itself.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern
        .iter()
        .any(|c| matches!(c, b'*' | b'?' | b'[' | b'\\'))
}

/// Whether all of `text` matches `pattern`. With `nocase`, ASCII letters match either case. As
/// in Redis, the empty text matches the empty pattern only, not even `*`.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star, and the text position it was tried at.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if p < pattern.len()
            && let Some(next) = one(pattern, p, text[t], nocase)
        {
            p = next;
            t += 1;
            continue;
        }
        let Some((after, tried)) = star else {
            return false;
        };
        p = after;
        t = tried + 1;
        star = Some((after, t));
    }
}

/// Matches one character against the pattern element at `p`; answers where the next one starts.
fn one(pattern: &[u8], p: usize, c: u8, nocase: bool) -> Option<usize> {
    let is = |literal: u8| literal == c || nocase && literal.eq_ignore_ascii_case(&c);
    match pattern[p] {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p + 1, c, nocase),
        b'\\' if p + 1 < pattern.len() => is(pattern[p + 1]).then_some(p + 2),
        literal => is(literal).then_some(p + 1),
    }
}

/// A character class whose first character is at `p`. One that never closes ends with the pattern.
fn class(pattern: &[u8], mut p: usize, c: u8, nocase: bool) -> Option<usize> {
    let fold = |c: u8| if nocase { c.to_ascii_lowercase() } else { c };
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut hit = false;
    while let Some(&first) = pattern.get(p) {
        if first == b'\\' && p + 1 < pattern.len() {
            // Redis forgets about `nocase` here.
            hit |= pattern[p + 1] == c;
            p += 2;
        } else if first == b']' {
            break;
        } else if p + 2 < pattern.len() && pattern[p + 1] == b'-' {
            let (a, b) = in_order(first, pattern[p + 2]);
            hit |= (fold(a) as i8..=fold(b) as i8).contains(&(fold(c) as i8));
            p += 3;
        } else {
            hit |= fold(first) == fold(c);
            p += 1;
        }
    }
    // Past the end of an unclosed class there is nothing more to match.
    let next = (p + 1).min(pattern.len());
    (hit != negated).then_some(next)
}

/// The ends of a range, the lower first, as C's signed characters on x86: bytes from 128 on come
/// before all others. They are put in order as they are written, before letters are folded.
fn in_order(a: u8, b: u8) -> (u8, u8) {
    if a as i8 > b as i8 { (b, a) } else { (a, b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(
            matches(pattern.as_bytes(), text.as_bytes(), false),
            want,
            "{pattern:?} against {text:?}"
        );
    }

    #[test]
    fn patterns() {
        check("", "", true);
        check("", "a", false);
        check("*", "", false);
        check("**", "", false);
        check("a**", "a", true);
        check("h*llo", "heeello", true);
        check("h*llo", "hllo", true);
        check("h?llo", "hllo", false);
        check("h[ae]llo", "hello", true);
        check("h[^e]llo", "hello", false);
        check("h[^e]llo", "hallo", true);
        check("h[a-c]llo", "hbllo", true);
        check("h[c-a]llo", "hbllo", true);
        check("a\\*b", "a*b", true);
        check("a\\*b", "axb", false);
        check("[\\]]", "]", true);
        check("[a", "a", true);
        check("a*b*c", "a1b2b3c", true);
        check("a*b*c", "a1b2b3", false);
        check("*a*a*a*a*a*b", &"a".repeat(200), false);
        check("[a-]", "^", true);
        check("[]-a]", "]", false);
        check("[^", "x", true);
        check("[", "[", false);
        check("[\\", "\\", true);
    }

    #[test]
    fn case_and_high_bytes_as_in_redis() {
        for (pattern, text, nocase, want) in [
            (&b"HeLLo"[..], &b"hEllO"[..], true, true),
            (b"\\Get", b"get", true, true),
            (b"[G]et", b"get", true, true),
            (b"[\\G]et", b"get", true, false),
            (b"[\\g]et", b"get", true, true),
            (b"[A-H]et", b"get", true, true),
            (b"[h-A]et", b"get", true, true),
            (b"[Z-h]et", b"get", true, false),
            (b"[\x00-\xff]", b"a", false, false),
            (b"[\x00-\xff]", b"\xff", false, true),
            (b"[\x80-\xff]", b"\xe9", false, true),
            (b"[a-\xff]", b"\x00", false, true),
        ] {
            assert_eq!(matches(pattern, text, nocase), want, "{pattern:?}");
        }
    }
}

//! A pattern matches what the plain recursive definition says. The fuzzer's own time limit catches a
//! pattern that takes too long.

#![no_main]

mod choices;

use choices::Choices;
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use store::glob::matches;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let kind = choices.byte();
    let pattern = choices.bytes(60);
    let text = choices.unfolded();
    let nocase = kind & 1 == 1;
    let got = matches(&pattern, &text, nocase);
    if text.len() <= 200 {
        let mut known = HashMap::new();
        let want = text.is_empty() == pattern.is_empty() || !text.is_empty();
        let want = want && rest(&pattern, &text, nocase, &mut known);
        assert_eq!(got, want, "{pattern:?} against {text:?}");
    }
});

type Known = HashMap<(usize, usize), bool>;

/// Whether all of `text` matches all of `pattern`, every way tried.
fn rest(pattern: &[u8], text: &[u8], nocase: bool, known: &mut Known) -> bool {
    let place = (pattern.len(), text.len());
    if let Some(answer) = known.get(&place) {
        return *answer;
    }
    let answer = match (pattern, text) {
        ([], text) => text.is_empty(),
        ([b'*', more @ ..], text) => {
            (0..=text.len()).any(|skip| rest(more, &text[skip..], nocase, known))
        }
        (_, []) => false,
        (_, [c, after @ ..]) => {
            let (hit, used) = one(pattern, *c, nocase);
            hit && rest(&pattern[used..], after, nocase, known)
        }
    };
    known.insert(place, answer);
    answer
}

/// Whether `c` matches the first element of the pattern, and how long that is.
fn one(pattern: &[u8], c: u8, nocase: bool) -> (bool, usize) {
    let lower = |c: u8| if nocase { c.to_ascii_lowercase() } else { c };
    match pattern {
        [b'?', ..] => (true, 1),
        [b'\\', escaped, ..] => (lower(*escaped) == lower(c), 2),
        [b'[', inner @ ..] => {
            let (not, members) = match inner {
                [b'^', members @ ..] => (true, members),
                members => (false, members),
            };
            let mut left = members;
            let mut hit = false;
            loop {
                left = match left {
                    [] | [b']', ..] => break,
                    [b'\\', escaped, more @ ..] => {
                        hit |= *escaped == c;
                        more
                    }
                    [a, b'-', b, more @ ..] => {
                        let (a, b) = if (*a as i8) < *b as i8 {
                            (a, b)
                        } else {
                            (b, a)
                        };
                        let c = lower(c) as i8;
                        hit |= lower(*a) as i8 <= c && c <= lower(*b) as i8;
                        more
                    }
                    [a, more @ ..] => {
                        hit |= lower(*a) == lower(c);
                        more
                    }
                };
            }
            let closing = usize::from(!left.is_empty());
            (hit != not, pattern.len() - left.len() + closing)
        }
        [literal, ..] => (lower(*literal) == lower(c), 1),
        [] => (false, 0),
    }
}

//! Values with a grammar of their own: save points, output limits, keyspace events, percentiles,
//! listen addresses, title templates and the like.
//!
//! Each has a reader, which gives the reason in Redis's words, and a writer for CONFIG GET.
//! This file knows no directive by name, except where the name is part of Redis's message.

use std::fmt;

use super::kind::{ARITY, Reason, lax_int, size, strict_int};
use store::Class;

/// Position of `word` among `names`, in either case.
pub fn position(names: &[&str], word: &[u8]) -> Option<usize> {
    names
        .iter()
        .position(|name| name.as_bytes().eq_ignore_ascii_case(word))
}

/// The reason that lists all names.
pub fn not_among(names: &[&str]) -> Reason {
    let names = names.join(", ");
    format!("argument(s) must be one of the following: {names}").into()
}

/// Bits of the names that `words` are; bit `i` stands for name `i + 1`, and the first name for none.
pub fn choices(words: &[Vec<u8>], names: &[&str]) -> Result<u32, Reason> {
    let mut bits = 0;
    for word in words {
        match position(names, word) {
            Some(0) => {}
            Some(index) => bits |= 1 << (index - 1),
            None => return Err(not_among(names)),
        }
    }
    let has =
        |name: &[u8]| position(names, name).is_some_and(|i| i > 0 && bits & 1 << (i - 1) != 0);
    match words {
        [] => Err(not_among(names)),
        _ if has(b"save") && has(b"nosave") => {
            Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into())
        }
        _ => Ok(bits),
    }
}

/// The names whose bits are set.
pub fn chosen(names: &[&str], bits: u32) -> String {
    let (none, rest) = names.split_first().expect("a choice has names");
    let set = rest.iter().enumerate().filter(|(i, _)| bits & 1 << i != 0);
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    match set.is_empty() {
        true => none.to_string(),
        false => set.join(" "),
    }
}

const MAX_ADDRESSES: usize = 16;

/// Addresses to listen on. A single empty word stands for none.
pub fn addresses(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    match words {
        [word] if word.is_empty() => Ok(Vec::new()),
        _ if words.len() > MAX_ADDRESSES => Err("Too many bind addresses specified.".into()),
        _ if words.iter().any(Vec::is_empty) => {
            Err("Failed to bind to specified addresses.".into())
        }
        _ => Ok(words.to_vec()),
    }
}

/// Save when `changes` keys have changed within `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: i64,
    pub changes: i32,
}

impl fmt::Display for SavePoint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.seconds, self.changes)
    }
}

/// Adds the points in `words` to `points`; a single empty word clears them.
pub fn save_points(words: &[Vec<u8>], points: &mut Vec<SavePoint>) -> Result<(), Reason> {
    const INVALID: Reason = Reason::Borrowed("Invalid save parameters");
    if let [word] = words
        && word.is_empty()
    {
        points.clear();
        return Ok(());
    }
    for pair in words.chunks(2) {
        let [seconds, changes] = pair else {
            return Err(INVALID);
        };
        let seconds = lax_int(seconds, 10).filter(|&s| s >= 1).ok_or(INVALID)?;
        let changes = lax_int(changes, 10).filter(|&c| c >= 0).ok_or(INVALID)?;
        let changes = i32::try_from(changes).map_err(|_| INVALID)?;
        points.push(SavePoint { seconds, changes });
    }
    Ok(())
}

/// Kinds of client that `client-output-buffer-limit` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    Normal,
    Replica,
    PubSub,
}

/// How much unsent output a client may pile up: `hard` bytes at once, or more than `soft` bytes for
/// `soft_seconds`. 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    pub hard: u64,
    pub soft: u64,
    pub soft_seconds: i64,
}

/// Redis writes `slave` where it reads both names.
const CLASSES: [(&str, ClientClass); 4] = [
    ("normal", ClientClass::Normal),
    ("slave", ClientClass::Replica),
    ("pubsub", ClientClass::PubSub),
    ("replica", ClientClass::Replica),
];

/// `limits` with the classes changed that `words` name.
pub fn output_limits(
    words: &[Vec<u8>],
    mut limits: [OutputLimit; 3],
) -> Result<[OutputLimit; 3], Reason> {
    const BAD_CLASS: Reason =
        Reason::Borrowed("Invalid client class specified in buffer limit configuration.");
    const BAD_LIMIT: Reason = Reason::Borrowed(
        "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    );
    for group in words.chunks(4) {
        let [class, hard, soft, seconds] = group else {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        };
        let named = |(name, _): &&(&str, _)| name.as_bytes().eq_ignore_ascii_case(class);
        let (_, class) = CLASSES.iter().find(named).ok_or(BAD_CLASS)?;
        let hard = size(hard).ok_or(BAD_LIMIT)?;
        let soft = size(soft).ok_or(BAD_LIMIT)?;
        let seconds = lax_int(seconds, 10).filter(|&s| s >= 0).ok_or(BAD_LIMIT)?;
        limits[*class as usize] = OutputLimit {
            hard,
            soft,
            soft_seconds: seconds,
        };
    }
    Ok(limits)
}

pub fn format_output_limits(limits: &[OutputLimit; 3]) -> String {
    let one = |(name, class): &(&str, ClientClass)| {
        let limit = limits[*class as usize];
        format!(
            "{name} {} {} {}",
            limit.hard, limit.soft, limit.soft_seconds
        )
    };
    CLASSES[..3].iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A line for each class, in CONFIG REWRITE's spelling, and whether it must be written.
pub fn output_limit_lines(
    limits: &[OutputLimit; 3],
    defaults: &[OutputLimit; 3],
) -> Vec<(Vec<u8>, bool)> {
    let names = ["normal", "replica", "pubsub"];
    let pairs = limits.iter().zip(defaults);
    let line = |(name, (limit, default)): (&str, (&OutputLimit, &OutputLimit))| {
        let (hard, soft) = (short_size(limit.hard), short_size(limit.soft));
        let line = format!("{name} {hard} {soft} {}", limit.soft_seconds);
        (line.into_bytes(), limit != default)
    };
    names.into_iter().zip(pairs).map(line).collect()
}

/// Bytes in the largest unit that divides them.
pub fn short_size(bytes: u64) -> String {
    for (unit, factor) in [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Scores for a primary, a replica and a background child.
pub fn oom_scores(words: &[Vec<u8>]) -> Result<[i32; 3], Reason> {
    const RANGE: Reason =
        Reason::Borrowed("Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
    let [a, b, c] = words else {
        return Err(ARITY);
    };
    let score = |word: &[u8]| {
        let number = lax_int(word, 10).filter(|n| (-2000..=2000).contains(n));
        number.and_then(|n| i32::try_from(n).ok()).ok_or(RANGE)
    };
    Ok([score(a)?, score(b)?, score(c)?])
}

/// Letters of `notify-keyspace-events`, in the order of their bits.
pub const EVENTS: &[u8; 14] = b"g$lshzxetdnKEm";

/// The letters that `A` stands for: those of the key events that existed when Redis gave it its
/// meaning.
const ALL_EVENTS: &[u8] = b"g$lshzxetd";

fn event_bit(letter: u8) -> Option<u32> {
    let index = EVENTS.iter().position(|&known| known == letter)?;
    Some(1 << index)
}

fn all_events() -> u32 {
    ALL_EVENTS.iter().filter_map(|&e| event_bit(e)).sum()
}

pub fn events(word: &[u8]) -> Result<u32, Reason> {
    let mut bits = 0;
    for &letter in word {
        bits |= match letter {
            b'A' => all_events(),
            _ => {
                event_bit(letter).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?
            }
        };
    }
    Ok(bits)
}

/// As Redis writes them: `n` is left out behind an `A`.
pub fn format_events(bits: u32) -> String {
    let all = bits & all_events() == all_events();
    let mut out = String::new();
    if all {
        out.push('A');
    }
    for &letter in EVENTS {
        let set = event_bit(letter).is_some_and(|bit| bits & bit != 0);
        let shown = !all || matches!(letter, b'K' | b'E' | b'm');
        if set && shown {
            out.push(letter.into());
        }
    }
    out
}

/// The letters that name a class of events.
const EVENT_CLASSES: [(u8, Class); 12] = [
    (b'g', Class::GENERIC),
    (b'$', Class::STRING),
    (b'l', Class::LIST),
    (b's', Class::SET),
    (b'h', Class::HASH),
    (b'z', Class::ZSET),
    (b'x', Class::EXPIRED),
    (b'e', Class::EVICTED),
    (b't', Class::STREAM),
    (b'd', Class::MODULE),
    (b'n', Class::NEW),
    (b'm', Class::MISS),
];

/// Which events of keys are published, and on which channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    classes: Class,
    /// On the channels that keys name.
    pub keyspace: bool,
    /// On the channels that events name.
    pub keyevent: bool,
}

impl Notices {
    /// What bits in the order of [`EVENTS`] say.
    pub fn of(bits: u32) -> Notices {
        let has = |letter| event_bit(letter).is_some_and(|bit| bits & bit != 0);
        let chosen = EVENT_CLASSES.iter().filter(|(letter, _)| has(*letter));
        Notices {
            classes: chosen.fold(Class::NONE, |all, (_, class)| all.or(*class)),
            keyspace: has(b'K'),
            keyevent: has(b'E'),
        }
    }

    /// The classes of which somebody may hear.
    pub fn wanted(self) -> Class {
        if self.keyspace || self.keyevent {
            self.classes
        } else {
            Class::NONE
        }
    }
}

pub fn percentiles(words: &[Vec<u8>]) -> Result<Vec<f64>, Reason> {
    if let [word] = words
        && word.is_empty()
    {
        return Ok(Vec::new());
    }
    words.iter().map(|word| percentile(word)).collect()
}

fn percentile(word: &[u8]) -> Result<f64, Reason> {
    let invalid = "Invalid latency-tracking-info-percentiles parameters";
    let text = std::str::from_utf8(word).map_err(|_| invalid)?;
    let number: f64 = text.parse().map_err(|_| invalid)?;
    if number.is_nan() {
        return Err(invalid.into());
    }
    if !(0.0..=100.0).contains(&number) {
        return Err(
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into(),
        );
    }
    Ok(number)
}

/// Up to six digits after the point, without trailing zeros.
pub fn format_percentiles(list: &[f64]) -> String {
    let one = |number: &f64| {
        let text = format!("{number:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    };
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Host and port of a primary, or none for `no one`.
pub fn primary(words: &[Vec<u8>]) -> Result<Option<(Vec<u8>, u16)>, Reason> {
    let [host, port] = words else {
        return Err(ARITY);
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(None);
    }
    let port = strict_int(port).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("Invalid master port")?;
    Ok(Some((host.clone(), port)))
}

pub fn any_text(_: &[u8]) -> Result<(), Reason> {
    Ok(())
}

/// A path separator, on any system that Redis runs on, is in `word`.
fn is_path(word: &[u8]) -> bool {
    word.iter().any(|b| matches!(b, b'/' | b'\\'))
}

pub fn dump_file_name(word: &[u8]) -> Result<(), Reason> {
    match word {
        _ if is_path(word) => Err("dbfilename can't be a path, just a filename".into()),
        _ if std::str::from_utf8(word).is_err() => Err("dbfilename must be UTF-8".into()),
        _ => Ok(()),
    }
}

pub fn append_file_name(word: &[u8]) -> Result<(), Reason> {
    match word {
        [] => Err("appendfilename can't be empty".into()),
        _ if is_path(word) => Err("appendfilename can't be a path, just a filename".into()),
        _ if std::str::from_utf8(word).is_err() => Err("appendfilename must be UTF-8".into()),
        _ => Ok(()),
    }
}

pub fn append_dir_name(word: &[u8]) -> Result<(), Reason> {
    match word {
        [] => Err("appenddirname can't be empty".into()),
        _ if is_path(word) => Err("appenddirname can't be a path, just a dirname".into()),
        _ => Ok(()),
    }
}

pub fn host_name(word: &[u8]) -> Result<(), Reason> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    match word {
        _ if word.len() >= 256 => Err("Hostnames must be less than 256 characters".into()),
        _ if word.iter().all(allowed) => Ok(()),
        _ => Err("Hostnames may only contain alphanumeric characters, hyphens or dots".into()),
    }
}

pub fn node_name(word: &[u8]) -> Result<(), Reason> {
    match word.iter().any(|b| b"!#$%&()*+:;<>?@[]^{|}~".contains(b)) {
        true => Err("Announced human node name contained invalid character".into()),
        false => Ok(()),
    }
}

pub fn ipv4(word: &[u8]) -> Result<(), Reason> {
    address::<std::net::Ipv4Addr>(word, "Invalid IPv4 address")
}

pub fn ipv6(word: &[u8]) -> Result<(), Reason> {
    address::<std::net::Ipv6Addr>(word, "Invalid IPv6 address")
}

fn address<A: std::str::FromStr>(word: &[u8], reason: &'static str) -> Result<(), Reason> {
    let text = std::str::from_utf8(word).map_err(|_| reason)?;
    match text.is_empty() || text.parse::<A>().is_ok() {
        true => Ok(()),
        false => Err(reason.into()),
    }
}

/// Variables of `proc-title-template`, and whether they say something in any server.
const TITLE_VARIABLES: [(&[u8], bool); 7] = [
    (b"title", false),
    (b"listen-addr", true),
    (b"server-mode", false),
    (b"port", true),
    (b"tls-port", true),
    (b"unixsocket", false),
    (b"config-file", true),
];

/// Accepts known variables in braces, `{{` for a brace, and other text; the title that comes out
/// must not be sure to be blank.
pub fn title_template(word: &[u8]) -> Result<(), Reason> {
    const INVALID: Reason =
        Reason::Borrowed("template format is invalid or contains unknown variables");
    let mut says_something = false;
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'{' {
            says_something |= byte != b' ';
            continue;
        }
        if let [b'{', after @ ..] = rest {
            rest = after;
            says_something = true;
            continue;
        }
        let end = rest.iter().position(|&b| b == b'}').ok_or(INVALID)?;
        let (name, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let known = TITLE_VARIABLES.iter().find(|(known, _)| *known == name);
        says_something |= known.ok_or(INVALID)?.1;
    }
    match says_something {
        true => Ok(()),
        false => Err(INVALID),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        let words = text.split(' ').filter(|_| !text.is_empty());
        words.map(|w| w.as_bytes().to_vec()).collect()
    }

    #[test]
    fn save_points_come_in_pairs() {
        let mut points = Vec::new();
        save_points(&words("900 1 60 2"), &mut points).unwrap();
        assert_eq!(points.len(), 2);
        save_points(&[Vec::new()], &mut points).unwrap();
        assert_eq!(points.len(), 0);
        for text in [
            "1",
            "0 1",
            "1 -1",
            "1 2 3",
            "a 1",
            "1.5 1",
            "5 2147483648",
            "900  1",
        ] {
            let refused = save_points(&words(text), &mut Vec::new());
            assert_eq!(refused, Err("Invalid save parameters".into()), "{text:?}");
        }
    }

    #[test]
    fn output_limits_change_only_the_classes_named() {
        let zero = OutputLimit {
            hard: 0,
            soft: 0,
            soft_seconds: 0,
        };
        let limits = output_limits(&words("REPLICA 1mb 2kb +3"), [zero; 3]).unwrap();
        let shown = format_output_limits(&limits);
        assert_eq!(shown, "normal 0 0 0 slave 1048576 2048 3 pubsub 0 0 0");
        let lines = output_limit_lines(&limits, &[zero; 3]);
        assert_eq!(lines[1], (b"replica 1mb 2kb 3".to_vec(), true));
        assert_eq!(lines[0], (b"normal 0 0 0".to_vec(), false));
        assert_eq!(output_limits(&[], limits), Ok(limits));
        for (text, part) in [
            ("normal 1 1", "Wrong number"),
            ("master 1 1 1", "Invalid client class"),
            ("normal -1 1 1", "Error in hard"),
            ("normal 1 1 z", "Error in hard"),
            ("normal 1 1 -1", "Error in hard"),
        ] {
            let reason = output_limits(&words(text), [zero; 3]).unwrap_err();
            assert!(reason.starts_with(part), "{text:?}: {reason}");
        }
    }

    #[test]
    fn event_letters() {
        for (set, shown) in [
            ("", ""),
            ("AKE", "AKE"),
            ("KEg$lshzxetd", "AKE"),
            ("Em", "Em"),
            ("EnAm", "AEm"),
            ("mKEdtezn", "zetdnKEm"),
        ] {
            assert_eq!(
                format_events(events(set.as_bytes()).unwrap()),
                shown,
                "{set:?}"
            );
        }
        assert!(events(b"KQ").is_err());
    }

    #[test]
    fn percentiles_are_shown_short() {
        let list = percentiles(&words("50 99.9 100.0 33.333333333 1e-3 0.00000001")).unwrap();
        assert_eq!(format_percentiles(&list), "50 99.9 100 33.333333 0.001 0");
        assert_eq!(percentiles(&[Vec::new()]), Ok(Vec::new()));
        assert_eq!(percentiles(&[]), Ok(Vec::new()));
        for text in ["a", "nan", "50  99", " 5", "0x10"] {
            let reason = percentiles(&words(text)).unwrap_err();
            assert!(reason.starts_with("Invalid"), "{text:?}: {reason}");
        }
        for text in ["101", "-0.1", "inf"] {
            let reason = percentiles(&words(text)).unwrap_err();
            assert!(reason.ends_with("[0.0,100.0]"), "{text:?}: {reason}");
        }
    }

    #[test]
    fn title_templates() {
        for good in [
            "{port}",
            "port}",
            "{{",
            "{{x}",
            "{title} x",
            "{config-file}",
        ] {
            assert_eq!(title_template(good.as_bytes()), Ok(()), "{good:?}");
        }
        for bad in [
            "",
            "  ",
            "{title}",
            "{port",
            "{PORT}",
            "{x}",
            "{unixsocket} ",
        ] {
            assert!(title_template(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_several_choices() {
        let names = &["default", "save", "nosave", "now", "force"];
        let bits = choices(&words("NOW nosave"), names).unwrap();
        assert_eq!(chosen(names, bits), "nosave now");
        assert_eq!(chosen(names, 0), "default");
        assert_eq!(choices(&words("default"), names), Ok(0));
        assert!(choices(&words("save nosave"), names).is_err());
        assert!(choices(&words("save  now"), names).is_err());
        assert!(choices(&[], names).is_err());
    }
}

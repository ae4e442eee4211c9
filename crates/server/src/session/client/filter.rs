//! The conditions of CLIENT KILL and CLIENT LIST.
//!
//! Redis knows a few of them, Valkey many, and for both commands alike. Here both commands take all;
//! where the two servers answer one call differently, Redis's answer stands.

use super::line;
use crate::clients::{Client, Special};
use command::Error;
use resp::Args;
use resp::number::parse_i64;

/// Which command the conditions are for: they disagree about bad ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Kill,
    List,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    /// It has subscriptions.
    PubSub,
    /// There are none of these.
    Replication,
}

/// A property of a client and the value that it must have.
#[derive(Debug, PartialEq, Eq)]
enum Test<'a> {
    Id(Vec<i64>),
    Type(ClientType),
    User,
    Addr(&'a [u8]),
    Laddr(&'a [u8]),
    /// Seconds, at least.
    MaxAge(i64),
    /// Seconds, at least.
    Idle(i64),
    Name(&'a [u8]),
    /// Letters, all of them.
    Flags(&'a [u8]),
    LibName(&'a [u8]),
    LibVersion(&'a [u8]),
    Db(usize),
    /// Letters, all of them.
    Capabilities(&'a [u8]),
    Ip(&'a [u8]),
}

/// Names of the conditions, and whether `NOT-` may stand before each.
const NAMES: &[(&str, bool)] = &[
    ("ID", true),
    ("TYPE", true),
    ("USER", true),
    ("ADDR", true),
    ("LADDR", true),
    ("MAXAGE", false),
    ("IDLE", false),
    ("NAME", true),
    ("FLAGS", true),
    ("LIB-NAME", true),
    ("LIB-VER", true),
    ("DB", true),
    ("CAPA", true),
    ("IP", true),
    ("SKIPME", false),
];

/// Letters that Redis or Valkey may show as flags of a client.
const FLAGS: &[u8] = b"AbBcdeEiIMNOPrRStTuUx";

/// A condition's name, and whether it is turned round.
fn name_of(word: &[u8]) -> Option<(&'static str, bool)> {
    let (not, rest) = match word.split_at_checked(4) {
        Some((not, rest)) if not.eq_ignore_ascii_case(b"NOT-") => (true, rest),
        _ => (false, word),
    };
    let mut names = NAMES.iter();
    let found = names.find(|(n, _)| n.as_bytes().eq_ignore_ascii_case(rest));
    found
        .filter(|(_, may_be_turned)| *may_be_turned || !not)
        .map(|(name, _)| (*name, not))
}

#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    /// A test, and whether it must fail. Each kind of test is there once; the last one given counts.
    tests: Vec<(Test<'a>, bool)>,
    pub skip_me: Option<bool>,
}

impl<'a> Filter<'a> {
    /// Reads the conditions from argument 2 on. `databases`: how many there are.
    pub fn parse(args: Args<'a>, databases: usize, of: For) -> Result<Filter<'a>, Error> {
        let mut filter = Filter::default();
        let mut i = 2;
        while i < args.len() {
            let (name, not) = name_of(args.get(i)).ok_or(Error::SYNTAX)?;
            let value = args.opt(i + 1).ok_or(Error::SYNTAX)?;
            i += 2;
            let test = match name {
                "ID" => {
                    let ids = parse_ids(args, i - 1, of, not)?;
                    i += ids.len() - 1;
                    Test::Id(ids)
                }
                "SKIPME" => {
                    filter.skip_me = Some(yes_or_no(value)?);
                    continue;
                }
                _ => Test::parse(name, not, value, databases)?,
            };
            let kind = std::mem::discriminant(&test);
            let is_other = |t: &Test<'a>, n: bool| std::mem::discriminant(t) != kind || n != not;
            filter.tests.retain(|(t, n)| is_other(t, *n));
            filter.tests.push((test, not));
        }
        Ok(filter)
    }

    /// The ids that are asked for, in the order given, if some are.
    pub fn ids(&self) -> Option<&[i64]> {
        self.tests.iter().find_map(|test| match test {
            (Test::Id(ids), false) => Some(&ids[..]),
            _ => None,
        })
    }

    pub fn admits(&self, client: &Client, now_ms: i64) -> bool {
        let mut tests = self.tests.iter();
        tests.all(|(test, not)| test.holds(client, now_ms) != *not)
    }
}

impl<'a> Test<'a> {
    /// The test of a condition with one value.
    fn parse(name: &str, not: bool, value: &'a [u8], databases: usize) -> Result<Test<'a>, Error> {
        Ok(match name {
            "TYPE" => Test::Type(client_type(value)?),
            "USER" if value == b"default" => Test::User,
            "USER" => return Err(Error::showing("ERR No such user '", value, "'")),
            "ADDR" => Test::Addr(value),
            "LADDR" => Test::Laddr(value),
            "MAXAGE" => Test::MaxAge(seconds("maxage", value)?),
            "IDLE" => Test::Idle(seconds("idle", value)?),
            "NAME" => Test::Name(value),
            "FLAGS" => Test::Flags(letters(name, not, value, "flags", FLAGS)?),
            "LIB-NAME" => Test::LibName(value),
            "LIB-VER" => Test::LibVersion(value),
            "DB" => Test::Db(database(
                if not { "NOT-DB" } else { "DB" },
                value,
                databases,
            )?),
            "CAPA" => Test::Capabilities(letters(name, not, value, "capa", b"r")?),
            "IP" => Test::Ip(value),
            _ => unreachable!("a condition without a test: {name}"),
        })
    }

    fn holds(&self, client: &Client, now_ms: i64) -> bool {
        let session = &client.session;
        let has = |text: &[u8], value: &[u8]| !text.is_empty() && text == value;
        match self {
            Test::Id(ids) => ids.contains(&(client.id as i64)),
            Test::Type(wanted) => {
                let subscribes = client.special.has(Special::SUBSCRIBED);
                *wanted == [ClientType::Normal, ClientType::PubSub][usize::from(subscribes)]
            }
            Test::User => true,
            Test::Addr(addr) => session.peer.remote().as_bytes() == *addr,
            Test::Laddr(addr) => session.peer.local().as_bytes() == *addr,
            Test::MaxAge(age) => (now_ms - session.created_ms) / 1000 >= *age,
            Test::Idle(idle) => (now_ms - session.last_active_ms) / 1000 >= *idle,
            Test::Name(name) => has(&session.name, name),
            Test::Flags(flags) => {
                let own = line::flags(client);
                flags.iter().all(|f| own.as_bytes().contains(f))
            }
            Test::LibName(name) => has(&session.lib_name, name),
            Test::LibVersion(version) => has(&session.lib_version, version),
            Test::Db(db) => client.db == *db,
            Test::Capabilities(letters) => letters.is_empty() || session.redirect,
            Test::Ip(ip) => session.peer.ip().as_bytes() == *ip,
        }
    }
}

/// The ids from argument `i` on: one, and what further integers follow.
fn parse_ids(args: Args<'_>, i: usize, of: For, not: bool) -> Result<Vec<i64>, Error> {
    let mut ids = Vec::new();
    for j in i..args.len() {
        match parse_i64(args.get(j)) {
            Some(id) if id < 1 && (of == For::Kill || not) => return Err(bad_id()),
            Some(id) => ids.push(id),
            None if j == i && not => return Err(Error::SYNTAX),
            None if j == i && of == For::Kill => return Err(bad_id()),
            None if j == i || !not && of == For::List && name_of(args.get(j)).is_none() => {
                return Err(Error::new("ERR Invalid client ID"));
            }
            None => break,
        }
    }
    Ok(ids)
}

fn bad_id() -> Error {
    Error::new("ERR client-id should be greater than 0")
}

fn client_type(word: &[u8]) -> Result<ClientType, Error> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("normal") {
        return Ok(ClientType::Normal);
    }
    if is("pubsub") {
        return Ok(ClientType::PubSub);
    }
    if ["slave", "replica", "master", "primary"]
        .into_iter()
        .any(is)
    {
        return Ok(ClientType::Replication);
    }
    Err(Error::showing("ERR Unknown client type '", word, "'"))
}

fn yes_or_no(word: &[u8]) -> Result<bool, Error> {
    match word {
        w if w.eq_ignore_ascii_case(b"yes") => Ok(true),
        w if w.eq_ignore_ascii_case(b"no") => Ok(false),
        _ => Err(Error::SYNTAX),
    }
}

fn seconds(what: &str, word: &[u8]) -> Result<i64, Error> {
    match parse_i64(word) {
        Some(n) if n > 0 => Ok(n),
        Some(_) => Err(Error::new(format!("ERR {what} should be greater than 0"))),
        None => Err(not_integer(what)),
    }
}

fn database(what: &str, word: &[u8], databases: usize) -> Result<usize, Error> {
    let number = parse_i64(word).ok_or_else(|| not_integer(what))?;
    let db = usize::try_from(number).ok().filter(|n| *n < databases);
    db.ok_or_else(|| {
        let last = databases.saturating_sub(1);
        Error::new(format!("ERR {what} number should be between 0 and {last}"))
    })
}

fn letters<'a>(
    name: &str,
    not: bool,
    word: &'a [u8],
    what: &str,
    known: &[u8],
) -> Result<&'a [u8], Error> {
    if word.iter().all(|b| known.contains(b)) {
        return Ok(word);
    }
    let filter = if not {
        format!("the NOT-{name} filter")
    } else {
        "the provided filter".to_string()
    };
    Err(Error::showing(
        &format!("ERR Unknown {what} found in {filter}: "),
        word,
        "",
    ))
}

fn not_integer(what: &str) -> Error {
    Error::new(format!("ERR {what} is not an integer or out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::parse::{Batch, Frame, Input, Limits};

    /// Reads the conditions of an inline request.
    fn parse<R>(request: &str, of: For, then: impl FnOnce(Result<Filter<'_>, Error>) -> R) -> R {
        let limits = Limits {
            max_bulk: 1 << 20,
            authenticated: true,
        };
        let line = format!("{request}\r\n");
        let (mut input, mut batch) = (Input::default(), Batch::default());
        let parsed = input.parse(line.as_bytes(), limits, &mut batch, &mut Frame::default());
        then(Filter::parse(batch.command(0, parsed.buf), 16, of))
    }

    #[track_caller]
    fn fails(request: &str, want: &str) {
        let of = match request.contains("kill") {
            true => For::Kill,
            false => For::List,
        };
        let got = parse(request, of, |f| f.map(|_| ()));
        assert_eq!(got, Err(Error::new(want.to_string())), "{request}");
    }

    #[test]
    fn errors_are_those_of_redis_or_else_of_valkey() {
        for of in ["kill", "list"] {
            for (rest, error) in [
                ("foo bar", "ERR syntax error"),
                ("type", "ERR syntax error"),
                ("type foo", "ERR Unknown client type 'foo'"),
                ("user nobody", "ERR No such user 'nobody'"),
                ("skipme foo", "ERR syntax error"),
                ("not-skipme yes", "ERR syntax error"),
                ("not-idle 1", "ERR syntax error"),
                ("maxage x", "ERR maxage is not an integer or out of range"),
                ("maxage 0", "ERR maxage should be greater than 0"),
                ("idle -1", "ERR idle should be greater than 0"),
                ("db 16", "ERR DB number should be between 0 and 15"),
                ("not-db -1", "ERR NOT-DB number should be between 0 and 15"),
                ("not-db x", "ERR NOT-DB is not an integer or out of range"),
                (
                    "flags NZ",
                    "ERR Unknown flags found in the provided filter: NZ",
                ),
                (
                    "not-flags Z",
                    "ERR Unknown flags found in the NOT-FLAGS filter: Z",
                ),
                ("capa z", "ERR Unknown capa found in the provided filter: z"),
                ("not-id x", "ERR syntax error"),
                ("not-id 0", "ERR client-id should be greater than 0"),
            ] {
                fails(&format!("client {of} {rest}"), error);
            }
        }
        fails("client kill id x", "ERR client-id should be greater than 0");
        fails("client kill id 0", "ERR client-id should be greater than 0");
        fails(
            "client kill id 1 0",
            "ERR client-id should be greater than 0",
        );
        fails("client kill id 1 foo", "ERR syntax error");
        fails("client list id x", "ERR Invalid client ID");
        fails("client list id 1 x", "ERR Invalid client ID");
        fails("client list id type normal", "ERR Invalid client ID");
        fails("client list not-id 1 x", "ERR syntax error");
        fails("client kill not-id type normal", "ERR syntax error");
    }

    #[test]
    fn the_last_condition_of_a_kind_counts() {
        let request = "client list id 3 4 type pubsub id 5 not-id 6 skipme yes skipme no";
        parse(request, For::List, |filter| {
            let filter = filter.expect("conditions");
            assert_eq!(filter.ids(), Some(&[5][..]));
            assert_eq!(filter.skip_me, Some(false));
            let want = [
                (Test::Type(ClientType::PubSub), false),
                (Test::Id(vec![5]), false),
                (Test::Id(vec![6]), true),
            ];
            assert_eq!(filter.tests, want);
        });
    }
}

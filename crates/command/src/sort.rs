//! SORT and SORT_RO: the elements of a list, set or sorted set in order, or what keys named after them
//! hold.
//!
//! All elements are copied into one buffer first, and then sorted as rows that say where they are in
//! it, so that the keys of BY and GET can be looked up meanwhile.
//!
//! A pattern names keys that nobody knows before the elements are read. With several shards, and if the
//! pattern has the hash tag of all keys that it names, the whole shard is locked on which they are
//! ([`Unspecified::any_key`]). Otherwise the host finds out what the keys are ([`names`]) and has all of
//! them at one place when the handler runs.

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{Begin, Find, KeyFlags, KeySpec, tag};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use crate::spec::{Unspecified, Weight};
use crate::string::{Text, wrote};
use resp::Args;
use resp::number::parse_i64;
use std::cmp::Ordering;
use std::ops::Range;
use store::hash::Hash;
use store::list::{self, List};
use store::set::Set;
use store::shard::{Expiry, Type};
use store::value::Collection;
use store::zset::{Direction, Zset};
use store::{Class, Element, Key, Look, Shard, Str};

pub static COMMANDS: &[Command] = &[SORT, SORT_RO];

const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const CATEGORIES: &[&str] = &["-keyspace", "set", "sortedset", "list", "dangerous"];
const COMPLEXITY: &str = "O(N+M*log(M)) with N the number of elements and M that of the answered ones; O(N) if they are not sorted.";

const PATTERN_KEYS: KeySpec = KeySpec {
    flags: READ,
    begin: Begin::Unknown,
    find: Find::Unknown,
    notes: "for BY and GET, whose keys are named after the elements",
};
const DESTINATION: KeySpec = KeySpec {
    flags: KeyFlags::OW.or(KeyFlags::UPDATE),
    begin: Begin::Unknown,
    find: Find::Unknown,
    notes: "for STORE, which may stand anywhere",
};

const BY: Argument = pattern("by-pattern", "BY").optional();
const LIMIT: Argument = Argument::block(
    "limit",
    &[
        Argument::new("offset", Kind::Integer),
        Argument::new("count", Kind::Integer),
    ],
)
.with_token("LIMIT")
.optional();
const GET: Argument = pattern("get-pattern", "GET")
    .optional()
    .multiple()
    .multiple_token();
const ORDER: Argument = Argument::one_of(
    "order",
    &[
        Argument::token("asc", "ASC"),
        Argument::token("desc", "DESC"),
    ],
)
.optional();
const ALPHA: Argument = Argument::token("sorting", "ALPHA").optional();

const fn pattern(name: &'static str, token: &'static str) -> Argument {
    let mut argument = Argument::new(name, Kind::Pattern).with_token(token);
    argument.key_spec = Some(1);
    argument
}

const SORT: Command = Command {
    spec: Spec {
        name: "sort",
        group: "generic",
        since: "1.0.0",
        arity: -2,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        categories: CATEGORIES,
        keys: &[KeySpec::one(1, READ), PATTERN_KEYS, DESTINATION],
        unspecified: Some(unspecified),
        summary: "Sorts the elements of a list, a set or a sorted set, and answers or stores them.",
        complexity: COMPLEXITY,
        arguments: &[
            Argument::key("key", 0),
            BY,
            LIMIT,
            GET,
            ORDER,
            ALPHA,
            Argument::key("destination", 2)
                .with_token("STORE")
                .optional(),
        ],
        weight: Weight::Of(weight),
        ..Spec::DEFAULT
    },
    form: Form::Gather(sort, None),
};

fn sort(ctx: &mut Context<'_>) -> Outcome {
    run(ctx, Request::read(ctx.args, true)?)
}

const SORT_RO: Command = Command {
    spec: Spec {
        name: "sort_ro",
        group: "generic",
        since: "7.0.0",
        arity: -2,
        flags: Flags::READONLY,
        categories: CATEGORIES,
        keys: &[KeySpec::one(1, READ), PATTERN_KEYS],
        unspecified: Some(unspecified),
        summary: "Sorts the elements of a list, a set or a sorted set, and answers them.",
        complexity: COMPLEXITY,
        arguments: &[Argument::key("key", 0), BY, LIMIT, GET, ORDER, ALPHA],
        weight: Weight::Of(weight),
        ..Spec::DEFAULT
    },
    form: Form::Gather(sort_ro, None),
};

fn sort_ro(ctx: &mut Context<'_>) -> Outcome {
    run(ctx, Request::read(ctx.args, false)?)
}

fn unspecified(args: Args<'_>) -> Unspecified {
    let stores = args.is(0, "SORT");
    let Ok(request) = Request::read(args, stores) else {
        return Unspecified::default();
    };
    Unspecified {
        destination: request.destination,
        any_key: request.patterns().next().is_some(),
        searches: request.check_placement(args).is_err(),
    }
}

/// The keys that the patterns of a call name with the elements that are there.
pub fn names(ctx: &mut Context<'_>) -> Vec<Vec<u8>> {
    let stores = ctx.args.is(0, "SORT");
    let key = ctx.key(1);
    let Ok(mut request) = Request::read(ctx.args, stores) else {
        return Vec::new();
    };
    let Ok(rows) = Rows::load(ctx, key, &mut request) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for pattern in request.patterns() {
        if let Pattern::Key { before, after, .. } = pattern {
            let elements = rows.rows.iter().map(|row| rows.at(row.element));
            names.extend(elements.map(|element| [before, element, after].concat()));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// How many elements are sorted. Who looks up keys by patterns has to be where these are.
fn weight(ctx: &mut Context<'_>) -> usize {
    let stores = ctx.args.is(0, "SORT");
    let request = Request::read(ctx.args, stores);
    if request.is_ok_and(|request| request.patterns().next().is_some()) {
        return 0;
    }
    let key = ctx.key(1);
    let item = ctx.shard.look(ctx.db, key, Look::Peek);
    item.map_or(0, |item| item.elements())
}

/// What a pattern stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern<'a> {
    /// `#`: the element.
    Element,
    /// It has no place for the element, and no key is looked up.
    Nothing,
    /// The string at the key that has the element between two texts, or a field of the hash there.
    Key {
        before: &'a [u8],
        after: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

/// What a pattern has led to.
enum Value<'a> {
    String(Str<'a>),
    Element(Element<'a>),
}

impl<'a> Pattern<'a> {
    fn read(text: &'a [u8]) -> Pattern<'a> {
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', text) else {
            return Pattern::Nothing;
        };
        let (before, after) = (&text[..star], &text[star + 1..]);
        let arrow = memchr::memmem::find(after, b"->");
        let (after, field) = match arrow {
            // An arrow at the end is part of the key.
            Some(at) if at + 2 < after.len() => (&after[..at], Some(&after[at + 2..])),
            _ => (after, None),
        };
        Pattern::Key {
            before,
            after,
            field,
        }
    }

    /// Whether the keys, if there are any, are sure to be with those of a tag: theirs ends before the
    /// element comes.
    fn is_with(&self, wanted: &[u8]) -> bool {
        match self {
            Pattern::Key { before, .. } => {
                tag(before).len() < before.len() && tag(before) == wanted
            }
            Pattern::Element | Pattern::Nothing => true,
        }
    }

    /// Looks up what the pattern stands for with an element, and hands it to `then`. `name` is a
    /// buffer for names of keys.
    fn value<R>(
        &self,
        shard: &mut Shard,
        db: usize,
        element: &[u8],
        name: &mut Vec<u8>,
        then: impl FnOnce(Option<Value<'_>>) -> R,
    ) -> R {
        let (before, after, field) = match self {
            Pattern::Element => return then(Some(Value::Element(Element::Bytes(element)))),
            Pattern::Nothing => return then(None),
            Pattern::Key {
                before,
                after,
                field,
            } => (before, after, field),
        };
        name.clear();
        for part in [before, element, after] {
            name.extend_from_slice(part);
        }
        let (key, now_ms) = (shard.key(name), shard.now_ms());
        let Some(item) = shard.look(db, key, Look::Use) else {
            return then(None);
        };
        match field {
            None => then(item.str().ok().map(Value::String)),
            Some(field) => match item.held::<Hash>() {
                Ok(hash) => then(hash.get(field, now_ms).map(Value::Element)),
                Err(_) => then(None),
            },
        }
    }
}

impl Value<'_> {
    fn with<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Value::String(string) => then(&Text::from(*string)),
            Value::Element(element) => element.with(then),
        }
    }

    /// The number that it is sorted by.
    fn number(&self) -> Option<f64> {
        match self {
            Value::String(Str::Int(value)) | Value::Element(Element::Int(value)) => {
                Some(*value as f64)
            }
            _ => self.with(number),
        }
    }
}

/// Reads a number to sort by: text up to the first zero byte; no text is zero. What is too large is
/// infinite.
fn number(text: &[u8]) -> Option<f64> {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let text = std::str::from_utf8(&text[..end]).ok()?;
    if text.is_empty() {
        return Some(0.0);
    }
    text.parse().ok().filter(|value: &f64| !value.is_nan())
}

/// What the arguments ask for.
struct Request<'a> {
    by: Option<Pattern<'a>>,
    gets: Vec<Pattern<'a>>,
    /// The elements stay in their own order.
    unsorted: bool,
    alpha: bool,
    descending: bool,
    start: i64,
    /// Negative: all.
    count: i64,
    destination: Option<usize>,
}

impl<'a> Request<'a> {
    fn read(args: Args<'a>, stores: bool) -> Result<Request<'a>, Error> {
        let mut request = Request {
            by: None,
            gets: Vec::new(),
            unsorted: false,
            alpha: false,
            descending: false,
            start: 0,
            count: -1,
            destination: None,
        };
        let integer = |i| parse_i64(args.get(i)).ok_or(Error::NOT_INTEGER);
        let mut i = 2;
        while i < args.len() {
            let has = |n: usize| args.len() - i > n;
            let is = |word: &str| args.is(i, word);
            if is("ASC") {
                request.descending = false;
            } else if is("DESC") {
                request.descending = true;
            } else if is("ALPHA") {
                request.alpha = true;
            } else if is("LIMIT") && has(2) {
                request.start = integer(i + 1)?;
                request.count = integer(i + 2)?;
                i += 2;
            } else if is("STORE") && has(1) && stores {
                request.destination = Some(i + 1);
                i += 1;
            } else if is("BY") && has(1) {
                let text = args.get(i + 1);
                request.unsorted |= !text.contains(&b'*');
                request.by = Some(Pattern::read(text));
                i += 1;
            } else if is("GET") && has(1) {
                request.gets.push(Pattern::read(args.get(i + 1)));
                i += 1;
            } else {
                return Err(Error::SYNTAX);
            }
            i += 1;
        }
        Ok(request)
    }

    /// The patterns that name keys.
    fn patterns(&self) -> impl Iterator<Item = &Pattern<'a>> {
        let all = self.by.iter().chain(&self.gets);
        all.filter(|pattern| matches!(pattern, Pattern::Key { .. }))
    }

    /// Refuses patterns whose keys could be on other shards.
    fn check_placement(&self, args: Args<'_>) -> Result<(), Error> {
        let wanted = tag(args.get(1));
        let destination = self.destination.map(|at| tag(args.get(at)));
        let together = destination.is_none_or(|tag| tag == wanted);
        let refused = |pattern: &Pattern<'_>| {
            let names_keys = matches!(pattern, Pattern::Key { .. });
            names_keys && !(together && pattern.is_with(wanted))
        };
        let option = if self.by.iter().any(refused) {
            "BY"
        } else if self.gets.iter().any(refused) {
            "GET"
        } else {
            return Ok(());
        };
        Err(Error::new(format!(
            "ERR {option} option of SORT is not supported across shards yet: the pattern, before its *, and all keys need the same {{hash tag}}"
        )))
    }

    /// The elements to answer, of so many.
    fn window(&self, len: usize) -> Range<usize> {
        let within = |value: i64| usize::try_from(value).map_or(0, |value| value.min(len));
        let start = within(self.start);
        let count = if self.count < 0 {
            len
        } else {
            within(self.count)
        };
        start..start.saturating_add(count).min(len)
    }
}

/// A stretch of [`Rows::texts`].
#[derive(Clone, Copy, Debug)]
struct Span {
    from: usize,
    len: usize,
}

/// An element and what it is sorted by.
struct Row {
    element: Span,
    /// Its place before sorting.
    at: usize,
    score: f64,
    /// The text that BY has led to.
    weight: Option<Span>,
}

#[derive(Default)]
struct Rows {
    texts: Vec<u8>,
    rows: Vec<Row>,
}

impl Rows {
    fn text(&mut self, text: &[u8]) -> Span {
        let from = self.texts.len();
        self.texts.extend_from_slice(text);
        Span {
            from,
            len: text.len(),
        }
    }

    fn at(&self, span: Span) -> &[u8] {
        &self.texts[span.from..span.from + span.len]
    }

    fn push(&mut self, element: Element<'_>) {
        let row = Row {
            element: element.with(|text| self.text(text)),
            at: self.rows.len(),
            score: 0.0,
            weight: None,
        };
        self.rows.push(row);
    }

    /// The elements of a collection; of one that is to stay in its order only the ones to answer.
    fn load(ctx: &mut Context<'_>, key: Key<'_>, request: &mut Request<'_>) -> Result<Rows, Error> {
        let mut rows = Rows::default();
        let Some(item) = ctx.shard.look(ctx.db, key, Look::Use) else {
            return Ok(rows);
        };
        let ordered = |unsorted: bool, window: Range<usize>, len: usize| match unsorted {
            true => window,
            false => 0..len,
        };
        match item.value_type() {
            Type::List => {
                let list = item.held::<List>()?;
                let window = ordered(request.unsorted, request.window(list.len()), list.len());
                let end = match request.unsorted && request.descending {
                    true => list::End::Tail,
                    false => list::End::Head,
                };
                list.walk(end, window.start, window.len(), |element| {
                    rows.push(element);
                    true
                });
            }
            Type::Zset => {
                let zset = item.held::<Zset>()?;
                let window = ordered(request.unsorted, request.window(zset.len()), zset.len());
                let (from, direction) = match request.unsorted && request.descending {
                    true => (zset.len() - window.start.min(zset.len()), Direction::Down),
                    false => (window.start, Direction::Up),
                };
                let from = match direction {
                    Direction::Up => from,
                    Direction::Down => from.saturating_sub(1),
                };
                let elements = zset.range(from, window.len(), direction);
                elements.for_each(|(member, _)| rows.push(member));
            }
            Type::Set => {
                let set = item.held::<Set>()?;
                if request.unsorted && request.destination.is_some() {
                    // What is stored should not depend on how a set is laid out.
                    request.unsorted = false;
                    request.alpha = true;
                    request.by = None;
                }
                let window = ordered(request.unsorted, request.window(set.len()), set.len());
                let elements = set.iter().skip(window.start).take(window.len());
                elements.for_each(|element| rows.push(element));
            }
            _ => return Err(Error::WRONG_TYPE),
        }
        Ok(rows)
    }

    /// Finds out what each row is sorted by.
    fn weigh(&mut self, shard: &mut Shard, db: usize, request: &Request<'_>) -> Result<(), Error> {
        if request.alpha && request.by.is_none() {
            return Ok(());
        }
        let by = request.by.unwrap_or(Pattern::Element);
        let mut name = Vec::new();
        let mut text = Vec::new();
        for i in 0..self.rows.len() {
            let element = self.at(self.rows[i].element);
            let found = by.value(shard, db, element, &mut name, |value| {
                let Some(value) = value else {
                    return Some((0.0, false));
                };
                if request.alpha {
                    text.clear();
                    value.with(|bytes| text.extend_from_slice(bytes));
                    return Some((0.0, true));
                }
                value.number().map(|score| (score, false))
            });
            let (score, weighs) = found.ok_or(Error::new(
                "ERR One or more scores can't be converted into double",
            ))?;
            self.rows[i].score = score;
            if weighs {
                self.rows[i].weight = Some(self.text(&text));
            }
        }
        Ok(())
    }

    /// Sorts, and leaves the rows of a window.
    fn sort(&mut self, request: &Request<'_>, window: Range<usize>) {
        let mut rows = std::mem::take(&mut self.rows);
        let compare = |a: &Row, b: &Row| {
            let order = self.order(a, b, request);
            let order = if request.descending {
                order.reverse()
            } else {
                order
            };
            order.then(a.at.cmp(&b.at))
        };
        if window.end < rows.len() {
            if window.end > 0 {
                rows.select_nth_unstable_by(window.end, compare);
            }
            rows.truncate(window.end);
        }
        rows.sort_unstable_by(compare);
        rows.drain(..window.start.min(rows.len()));
        self.rows = rows;
    }

    fn order(&self, a: &Row, b: &Row, request: &Request<'_>) -> Ordering {
        if !request.alpha {
            let scores = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
            return scores.then_with(|| self.at(a.element).cmp(self.at(b.element)));
        }
        // What is answered is collated as text that ends at a zero byte, what is stored as bytes.
        let collated = |span: Span| match self.at(span) {
            text if request.destination.is_some() => text,
            text => text.split(|byte| *byte == 0).next().unwrap_or_default(),
        };
        if request.by.is_none() {
            return collated(a.element).cmp(collated(b.element));
        }
        a.weight.map(collated).cmp(&b.weight.map(collated))
    }
}

fn run(ctx: &mut Context<'_>, mut request: Request<'_>) -> Outcome {
    let key = ctx.key(1);
    if ctx.settings.shards > 1 {
        request.check_placement(ctx.args)?;
    }
    let mut rows = Rows::load(ctx, key, &mut request)?;
    if !request.unsorted {
        rows.weigh(ctx.shard, ctx.db, &request)?;
        let window = request.window(rows.rows.len());
        rows.sort(&request, window);
    }
    match request.destination {
        None => {
            answer(ctx, &request, &rows);
            Ok(Effect::Read)
        }
        Some(at) => store(ctx, &request, &rows, at),
    }
}

fn answer(ctx: &mut Context<'_>, request: &Request<'_>, rows: &Rows) {
    let reply = &mut *ctx.reply;
    reply.array(rows.rows.len() * request.gets.len().max(1));
    let mut name = Vec::new();
    for row in &rows.rows {
        let element = rows.at(row.element);
        if request.gets.is_empty() {
            reply.bulk(element);
        }
        for get in &request.gets {
            get.value(ctx.shard, ctx.db, element, &mut name, |value| match value {
                None => reply.null(),
                Some(Value::String(string)) => Context::reply_string(reply, string),
                Some(Value::Element(element)) => Context::reply_element(reply, element),
            });
        }
    }
}

fn store(ctx: &mut Context<'_>, request: &Request<'_>, rows: &Rows, at: usize) -> Outcome {
    let limits = &ctx.settings.limits;
    let mut list = List::default();
    let mut push = |text: &[u8]| {
        list.make_room(limits, 1, text.len());
        list.push(list::End::Tail, text);
    };
    let mut name = Vec::new();
    for row in &rows.rows {
        let element = rows.at(row.element);
        if request.gets.is_empty() {
            push(element);
        }
        for get in &request.gets {
            get.value(ctx.shard, ctx.db, element, &mut name, |value| match value {
                None => push(b""),
                Some(value) => value.with(&mut push),
            });
        }
    }
    let destination = ctx.key(at);
    ctx.reply.int(list.len() as i64);
    if list.is_empty() {
        return Ok(wrote(ctx.delete(destination)));
    }
    ctx.shard.put(ctx.db, destination, list, Expiry::Clear);
    ctx.notify(Class::LIST, "sortstore", destination);
    Ok(Effect::Wrote)
}

#[cfg(test)]
mod tests;

//! What COMMAND tells of the command table, the ACL categories that follow from a row, HELP texts,
//! and the page that documents all commands.
//!
//! Everything is read off the rows ([`Spec`]); shapes and words of the replies are Redis's, with the
//! fields of version 7.2 and later.

pub mod rows;

use crate::error::Error;
use crate::keyspec::{Begin, Find, KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind, Flags, Spec};
use crate::table::{Entry, Table};
use resp::{Args, Reply};
use store::glob;

/// ACL categories in the order in which Redis lists them.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The category that a group's commands are in, if they are in one.
fn group_category(group: &str) -> Option<&'static str> {
    let name = match group {
        "generic" => "keyspace",
        "sorted-set" => "sortedset",
        "transactions" => "transaction",
        // Their categories are told row by row.
        "server" | "cluster" => return None,
        same => same,
    };
    CATEGORIES.iter().copied().find(|c| *c == name)
}

/// The categories, without `@`, that follow from a row. A container is in none for its group.
pub fn categories(spec: &Spec, is_container: bool) -> Vec<&'static str> {
    let scripting = spec.group == "scripting";
    let is_in = |category: &str| {
        let taken_away = |c: &&str| c.strip_prefix('-') == Some(category);
        let follows = match category {
            "write" => spec.flags.has(Flags::WRITE),
            "read" => spec.flags.has(Flags::READONLY) && !scripting,
            "admin" | "dangerous" => spec.flags.has(Flags::ADMIN),
            "pubsub" => spec.flags.has(Flags::PUBSUB),
            "blocking" => spec.flags.has(Flags::BLOCKING),
            "fast" => spec.flags.has(Flags::FAST),
            "slow" => !spec.flags.has(Flags::FAST),
            _ => false,
        };
        let group = !is_container && group_category(spec.group) == Some(category);
        (follows || group || spec.categories.contains(&category))
            && !spec.categories.iter().any(taken_away)
    };
    CATEGORIES.iter().copied().filter(|c| is_in(c)).collect()
}

/// First key, last key and step, for clients that know nothing of key specifications, and whether
/// they leave keys out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    pub first: i64,
    /// Negative if counted from the end.
    pub last: i64,
    pub step: i64,
    /// The MOVABLEKEYS flag.
    pub partial: bool,
}

/// Joins a row's ranges of keys into one, as far as they follow one another in single steps. A sole
/// range may have any step.
pub fn key_range(spec: &Spec) -> KeyRange {
    let mut joined = KeyRange::default();
    for key in spec.keys {
        let (Begin::Index(first), Find::Range { last, step, .. }) = (key.begin, key.find) else {
            joined.partial = true;
            continue;
        };
        let sole = spec.keys.len() == 1;
        let first = first as i64;
        let follows = joined.first == 0 || (joined.last > 0 && joined.last == first - 1);
        let incomplete = key.flags.has(KeyFlags::INCOMPLETE);
        joined.partial |= incomplete;
        if !sole && (incomplete || step != 1 || !follows) {
            joined.partial = true;
            continue;
        }
        if joined.first == 0 {
            joined.first = first;
        }
        joined.last = i64::from(last) + if last >= 0 { first } else { 0 };
        joined.step = step as i64;
    }
    joined
}

/// COMMAND: everything about every command.
pub fn command<H>(reply: &mut Reply, table: &Table<H>) {
    reply.array(table.commands().len());
    for entry in table.commands() {
        entry_info(reply, table, entry);
    }
}

/// COMMAND INFO, its names from argument 2 on.
pub fn info<H>(reply: &mut Reply, table: &Table<H>, args: Args<'_>) {
    if args.len() == 2 {
        return command(reply, table);
    }
    reply.array(args.len() - 2);
    for name in args.from(2).iter() {
        match table.find_full(name) {
            None => reply.null(),
            Some(entry) => entry_info(reply, table, entry),
        }
    }
}

/// COMMAND COUNT.
pub fn count<H>(reply: &mut Reply, table: &Table<H>) {
    reply.int(table.commands().len() as i64);
}

fn entry_info<H>(reply: &mut Reply, table: &Table<H>, entry: &Entry<H>) {
    let spec = entry.spec;
    let range = key_range(spec);
    reply.array(10);
    reply.bulk(entry.full_name.as_bytes());
    reply.int(spec.arity.into());
    let flags = if range.partial {
        spec.flags.or(Flags::MOVABLEKEYS)
    } else {
        spec.flags
    };
    let set = Flags::NAMES.iter().filter(|(f, _)| flags.has(*f));
    simple_set(reply, set.map(|(_, name)| *name));
    reply.int(range.first);
    reply.int(range.last);
    reply.int(range.step);
    let categories = categories(spec, entry.has_subcommands());
    let categories: Vec<String> = categories.iter().map(|c| format!("@{c}")).collect();
    simple_set(reply, categories.iter().map(String::as_str));
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|t| reply.bulk(t.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|k| key_spec(reply, k));
    if !entry.has_subcommands() {
        return reply.set(0);
    }
    let subcommands = table.subcommands(entry);
    reply.array(subcommands.len());
    for subcommand in subcommands {
        entry_info(reply, table, subcommand);
    }
}

fn simple_set<'n>(reply: &mut Reply, names: impl Iterator<Item = &'n str>) {
    let names: Vec<&str> = names.collect();
    reply.set(names.len());
    names.iter().for_each(|n| reply.simple(n));
}

fn bulk_text(reply: &mut Reply, text: &str) {
    reply.bulk(text.as_bytes());
}

fn key_flags(reply: &mut Reply, flags: KeyFlags) {
    let set = KeyFlags::NAMES.iter().filter(|(f, _)| flags.has(*f));
    simple_set(reply, set.map(|(_, name)| *name));
}

fn key_spec(reply: &mut Reply, key: &KeySpec) {
    reply.map(if key.notes.is_empty() { 3 } else { 4 });
    if !key.notes.is_empty() {
        bulk_text(reply, "notes");
        bulk_text(reply, key.notes);
    }
    bulk_text(reply, "flags");
    key_flags(reply, key.flags);
    bulk_text(reply, "begin_search");
    match key.begin {
        Begin::Index(index) => search(reply, "index", &[("index", index as i64)]),
        Begin::Keyword(word, from) => {
            search_header(reply, "keyword", 2);
            bulk_text(reply, "keyword");
            bulk_text(reply, word);
            bulk_text(reply, "startfrom");
            reply.int(from.into());
        }
        Begin::Unknown => search(reply, "unknown", &[]),
    }
    bulk_text(reply, "find_keys");
    match key.find {
        Find::Range { last, step, limit } => search(
            reply,
            "range",
            &[
                ("lastkey", last.into()),
                ("keystep", step as i64),
                ("limit", limit as i64),
            ],
        ),
        Find::Count { count, first, step } => search(
            reply,
            "keynum",
            &[
                ("keynumidx", count as i64),
                ("firstkey", first as i64),
                ("keystep", step as i64),
            ],
        ),
        Find::Unknown => search(reply, "unknown", &[]),
    }
}

fn search_header(reply: &mut Reply, kind: &str, fields: usize) {
    reply.map(2);
    bulk_text(reply, "type");
    bulk_text(reply, kind);
    bulk_text(reply, "spec");
    reply.map(fields);
}

fn search(reply: &mut Reply, kind: &str, fields: &[(&str, i64)]) {
    search_header(reply, kind, fields.len());
    for (name, value) in fields {
        bulk_text(reply, name);
        reply.int(*value);
    }
}

/// COMMAND LIST [FILTERBY MODULE|ACLCAT|PATTERN …].
pub fn list<H>(reply: &mut Reply, table: &Table<H>, args: Args<'_>) -> Result<(), Error> {
    let filter: &dyn Fn(&Entry<H>) -> bool = match args.len() {
        2 => &|_| true,
        5 if args.is(2, "filterby") && args.is(3, "module") => &|_| false,
        5 if args.is(2, "filterby") && args.is(3, "aclcat") => &|e| {
            let categories = categories(e.spec, e.has_subcommands());
            categories.iter().any(|c| args.is(4, c))
        },
        5 if args.is(2, "filterby") && args.is(3, "pattern") => {
            &|e| glob::matches(args.get(4), e.full_name.as_bytes(), true)
        }
        _ => return Err(Error::SYNTAX),
    };
    let listed: Vec<&Entry<H>> = table.entries().iter().filter(|e| filter(e)).collect();
    reply.array(listed.len());
    listed.iter().for_each(|e| bulk_text(reply, &e.full_name));
    Ok(())
}

/// COMMAND DOCS, its names from argument 2 on; unknown ones are left out.
pub fn docs<H>(reply: &mut Reply, table: &Table<H>, args: Args<'_>) {
    let entries: Vec<&Entry<H>> = if args.len() == 2 {
        table.commands().iter().collect()
    } else {
        let names = args.from(2);
        names.iter().filter_map(|n| table.find_full(n)).collect()
    };
    reply.map(entries.len());
    for entry in entries {
        entry_docs(reply, table, entry);
    }
}

/// Writes the fields of a map whose number is known only then.
struct Fields<'r> {
    reply: &'r mut Reply,
    mark: resp::reply::Mark,
    n: usize,
}

impl<'r> Fields<'r> {
    fn new(reply: &'r mut Reply) -> Fields<'r> {
        let mark = reply.mark();
        Fields { reply, mark, n: 0 }
    }

    fn field(&mut self, name: &str) -> &mut Reply {
        self.n += 1;
        bulk_text(self.reply, name);
        self.reply
    }

    fn text(&mut self, name: &str, value: &str) {
        bulk_text(self.field(name), value);
    }

    fn close(self) {
        self.reply.close_map(self.mark, self.n);
    }
}

fn entry_docs<H>(reply: &mut Reply, table: &Table<H>, entry: &Entry<H>) {
    let spec = entry.spec;
    bulk_text(reply, &entry.full_name);
    let mut fields = Fields::new(reply);
    fields.text("summary", spec.summary);
    fields.text("since", spec.since);
    fields.text("group", spec.group);
    fields.text("complexity", spec.complexity);
    if let Some(deprecated) = &spec.deprecated {
        simple_set(fields.field("doc_flags"), ["deprecated"].into_iter());
        fields.text("deprecated_since", deprecated.since);
        fields.text("replaced_by", deprecated.replaced_by);
    }
    if !spec.history.is_empty() {
        let reply = fields.field("history");
        reply.set(spec.history.len());
        for (version, change) in spec.history {
            reply.array(2);
            bulk_text(reply, version);
            bulk_text(reply, change);
        }
    }
    if !spec.arguments.is_empty() {
        arguments(fields.field("arguments"), spec.arguments);
    }
    if entry.has_subcommands() {
        let subcommands = table.subcommands(entry);
        let reply = fields.field("subcommands");
        reply.map(subcommands.len());
        for subcommand in subcommands {
            entry_docs(reply, table, subcommand);
        }
    }
    fields.close();
}

fn kind_name(kind: ArgumentKind) -> &'static str {
    match kind {
        ArgumentKind::String => "string",
        ArgumentKind::Integer => "integer",
        ArgumentKind::Double => "double",
        ArgumentKind::Key => "key",
        ArgumentKind::Pattern => "pattern",
        ArgumentKind::UnixTime => "unix-time",
        ArgumentKind::PureToken => "pure-token",
        ArgumentKind::OneOf => "oneof",
        ArgumentKind::Block => "block",
    }
}

fn arguments(reply: &mut Reply, arguments: &[Argument]) {
    reply.array(arguments.len());
    for argument in arguments {
        argument_docs(reply, argument);
    }
}

fn argument_docs(reply: &mut Reply, argument: &Argument) {
    let mut fields = Fields::new(reply);
    fields.text("name", argument.name);
    fields.text("type", kind_name(argument.kind));
    if !matches!(argument.kind, ArgumentKind::OneOf | ArgumentKind::Block) {
        fields.text("display_text", argument.name);
    }
    if let Some(index) = argument.key_spec {
        fields.field("key_spec_index").int(index.into());
    }
    if let Some(token) = argument.token {
        fields.text("token", token);
    }
    if let Some(since) = argument.since {
        fields.text("since", since);
    }
    let flags = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ];
    if flags.iter().any(|(set, _)| *set) {
        let set = flags.iter().filter(|(set, _)| *set);
        simple_set(fields.field("flags"), set.map(|(_, name)| *name));
    }
    if !argument.arguments.is_empty() {
        arguments(fields.field("arguments"), argument.arguments);
    }
    fields.close();
}

/// A key that a call names, and what the call does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    pub position: usize,
    pub flags: KeyFlags,
}

/// The keys of a call, in the order of the row's specifications; `None` if the arguments do not have
/// the form that one of these asks for.
pub fn key_uses(spec: &Spec, args: Args<'_>) -> Option<Vec<KeyUse>> {
    let unspecified = spec.unspecified.map(|find| find(args));
    let is_told = |k: &&KeySpec| !k.flags.has(KeyFlags::NOT_KEY);
    let is_sure = |k: &&KeySpec| unspecified.is_none() || k.is_fixed();
    let mut uses = Vec::new();
    for key in spec.keys.iter().filter(is_told).filter(is_sure) {
        let flags = if key.flags.has(KeyFlags::VARIABLE_FLAGS) {
            flags_of_call(spec, key.flags, args)
        } else {
            key.flags
        };
        let positions = key.positions(args)?;
        uses.extend(
            positions
                .into_iter()
                .map(|position| KeyUse { position, flags }),
        );
    }
    let destination = unspecified.and_then(|found| found.destination);
    uses.extend(destination.map(|position| KeyUse {
        position,
        flags: KeyFlags::OW.or(KeyFlags::UPDATE),
    }));
    Some(uses)
}

/// What a call whose options decide it does with its key: SET reads only for GET, BITFIELD writes
/// only with a subcommand that does.
fn flags_of_call(spec: &Spec, flags: KeyFlags, args: Args<'_>) -> KeyFlags {
    let says = |word: &str, from: usize| (from..args.len()).any(|i| args.is(i, word));
    match spec.name {
        "set" if says("get", 3) => flags_read_and_written(),
        "set" => KeyFlags::OW.or(KeyFlags::UPDATE),
        "bitfield" if says("set", 2) || says("incrby", 2) => flags_read_and_written(),
        "bitfield" => KeyFlags::RO.or(KeyFlags::ACCESS),
        _ => flags,
    }
}

fn flags_read_and_written() -> KeyFlags {
    KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE)
}

/// COMMAND GETKEYS, the call from argument 2 on.
pub fn getkeys<H>(reply: &mut Reply, table: &Table<H>, args: Args<'_>) -> Result<(), Error> {
    let call = args.from(2);
    let uses = uses_of_call(table, call)?;
    reply.array(uses.len());
    uses.iter().for_each(|u| reply.bulk(call.get(u.position)));
    Ok(())
}

/// COMMAND GETKEYSANDFLAGS, the call from argument 2 on.
pub fn getkeysandflags<H>(
    reply: &mut Reply,
    table: &Table<H>,
    args: Args<'_>,
) -> Result<(), Error> {
    let call = args.from(2);
    let uses = uses_of_call(table, call)?;
    reply.array(uses.len());
    for key in uses {
        reply.array(2);
        reply.bulk(call.get(key.position));
        key_flags(reply, key.flags);
    }
    Ok(())
}

fn uses_of_call<H>(table: &Table<H>, call: Args<'_>) -> Result<Vec<KeyUse>, Error> {
    let entry = table
        .resolve(call)
        .map_err(|_| Error::new("ERR Invalid command specified"))?;
    let spec = entry.spec;
    if spec.keys.iter().all(|k| k.flags.has(KeyFlags::NOT_KEY)) {
        return Err(Error::new("ERR The command has no key arguments"));
    }
    if !spec.accepts(call.len()) {
        return Err(Error::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let uses = key_uses(spec, call).unwrap_or_default();
    if uses.is_empty() && !spec.flags.has(Flags::NO_MANDATORY_KEYS) {
        return Err(Error::new("ERR Invalid arguments specified for command"));
    }
    Ok(uses)
}

/// A container's HELP: each subcommand's arguments and what it does.
pub fn help<'s>(
    reply: &mut Reply,
    container: &str,
    subcommands: impl IntoIterator<Item = &'s Spec>,
) {
    let mut lines = vec![format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        container.to_uppercase()
    )];
    for spec in subcommands {
        lines.push(usage(&spec.name.to_uppercase(), spec.arguments));
        lines.push(format!("    {}", spec.summary));
    }
    reply.array(lines.len());
    lines.iter().for_each(|l| reply.simple(l));
}

/// A name with its arguments, such as `USAGE <key> [SAMPLES <count>]`.
pub fn usage(name: &str, arguments: &[Argument]) -> String {
    let mut text = name.to_string();
    for argument in arguments {
        text.push(' ');
        text.push_str(&argument_usage(argument));
    }
    text
}

fn argument_usage(argument: &Argument) -> String {
    let parts = |separator: &str| {
        let parts: Vec<String> = argument.arguments.iter().map(argument_usage).collect();
        parts.join(separator)
    };
    let value = match argument.kind {
        ArgumentKind::PureToken => String::new(),
        ArgumentKind::OneOf if argument.optional && argument.token.is_none() => parts(" | "),
        ArgumentKind::OneOf => format!("<{}>", parts(" | ")),
        ArgumentKind::Block => parts(" "),
        _ => format!("<{}>", argument.name),
    };
    let mut text = match argument.token {
        None => value.clone(),
        Some(token) if value.is_empty() => token.to_string(),
        Some(token) => format!("{token} {value}"),
    };
    if argument.multiple {
        let again = if argument.multiple_token {
            &text
        } else {
            &value
        };
        text = format!("{text} [{again} ...]");
    }
    if argument.optional {
        text = format!("[{text}]");
    }
    text
}

#[cfg(test)]
mod tests;

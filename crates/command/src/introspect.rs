//! What COMMAND tells of the command table, the ACL categories that follow from a row, HELP texts,
//! and the page that documents all commands.
//!
//! Everything is read off the rows ([`Spec`]); shapes and words of the replies are Redis's, with the
//! fields of version 7.2 and later.

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
    let mut uses = Vec::new();
    for key in spec.keys.iter().filter(|k| !k.flags.has(KeyFlags::NOT_KEY)) {
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
        ArgumentKind::OneOf if argument.optional => parts(" | "),
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

/// The documentation of all commands: a table per group, in Markdown.
pub fn markdown<H>(table: &Table<H>) -> String {
    let mut groups: Vec<&str> = table.commands().iter().map(|e| e.spec.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut text = String::from(
        "# Commands\n\n\
         Made from the command table; `COMMAND DOCS` answers the same. *Arity* counts the name; a \
         negative one is the least.\n",
    );
    for group in groups {
        text.push_str(&format!("\n## {group}\n\n"));
        text.push_str("| command | since | arity | flags | what it does |\n");
        text.push_str("| --- | --- | --- | --- | --- |\n");
        let mut rows: Vec<&Entry<H>> = table.entries().iter().collect();
        rows.retain(|e| e.spec.group == group);
        rows.sort_by(|a, b| a.full_name.cmp(&b.full_name));
        for entry in rows {
            text.push_str(&markdown_row(entry));
        }
    }
    text
}

fn markdown_row<H>(entry: &Entry<H>) -> String {
    let spec = entry.spec;
    let name = entry.full_name.replace('|', " ").to_uppercase();
    let call = usage(&name, spec.arguments).replace('|', "\\|");
    let flags = Flags::NAMES.iter().filter(|(f, _)| spec.flags.has(*f));
    let flags: Vec<&str> = flags.map(|(_, name)| *name).collect();
    format!(
        "| `{call}` | {} | {} | {} | {} |\n",
        spec.since,
        spec.arity,
        flags.join(" "),
        spec.summary
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Client, with_args};
    use resp::Protocol;

    type Subcommand = fn(&mut Reply, &Table<()>, Args<'_>) -> Result<(), Error>;

    /// The reply to a COMMAND call, its line ends written as `|`.
    fn ask(protocol: Protocol, subcommand: Subcommand, request: &str) -> String {
        let table = Client::default().table;
        with_args(request, |args| {
            let mut reply = Reply::new(protocol);
            if let Err(error) = subcommand(&mut reply, &table, args) {
                reply.clear();
                reply.error(error.text().as_bytes());
            }
            String::from_utf8_lossy(&reply.to_vec()).replace("\r\n", "|")
        })
    }

    const INDEX_2: &str = "$12|begin_search|*4|$4|type|$5|index|$4|spec|*2|$5|index|:2|";
    const ONE_KEY: &str = "$9|find_keys|*4|$4|type|$5|range|$4|spec|\
                           *6|$7|lastkey|:0|$7|keystep|:1|$5|limit|:0|";

    fn info_(reply: &mut Reply, table: &Table<()>, args: Args<'_>) -> Result<(), Error> {
        info(reply, table, args);
        Ok(())
    }

    fn docs_(reply: &mut Reply, table: &Table<()>, args: Args<'_>) -> Result<(), Error> {
        docs(reply, table, args);
        Ok(())
    }

    #[test]
    fn info_has_the_shape_that_clients_know() {
        let call = "command info COPY nope get|x";
        let index_1 = INDEX_2.replace(":2", ":1");
        let resp2 = format!(
            "*3|*10|$4|copy|:-3|*2|+write|+denyoom|:1|:2|:1|*3|+@keyspace|+@write|+@slow|*0|\
             *2|*6|$5|flags|*2|+RO|+access|{index_1}{ONE_KEY}\
             *6|$5|flags|*2|+OW|+update|{INDEX_2}{ONE_KEY}*0|$-1|$-1|"
        );
        assert_eq!(ask(Protocol::Resp2, info_, call), resp2);
        let resp3 = resp2
            .replace("*2|+", "~2|+")
            .replace("*3|+", "~3|+")
            .replace("*2|*6", "~2|*6")
            .replace("*6|", "%3|")
            .replace("*4|", "%2|")
            .replace("spec|*2|", "spec|%1|")
            .replace("*0|", "~0|")
            .replace("$-1", "_");
        assert_eq!(ask(Protocol::Resp3, info_, call), resp3);
    }

    #[test]
    fn containers_list_their_subcommands() {
        let object = ask(Protocol::Resp2, info_, "command info object");
        let start = "*1|*10|$6|object|:-2|*0|:0|:0|:0|*1|+@slow|*0|*0|*5|*10|$15|object|encoding|";
        assert!(object.starts_with(start), "{object}");
        let encoding = ask(Protocol::Resp2, info_, "command info object|encoding");
        let want = format!(
            "*1|*10|$15|object|encoding|:3|*1|+readonly|:2|:2|:1|*3|+@keyspace|+@read|+@slow|\
             *1|$23|nondeterministic_output|*1|*6|$5|flags|*1|+RO|{INDEX_2}{ONE_KEY}*0|"
        );
        assert_eq!(encoding, want);
    }

    #[test]
    fn docs_follow_the_grammar() {
        let expire = ask(Protocol::Resp3, docs_, "command docs expire nope");
        let token = |lower: &str, upper: &str| {
            format!(
                "%4|$4|name|$2|{lower}|$4|type|$10|pure-token|$12|display_text|$2|{lower}|\
                 $5|token|$2|{upper}|"
            )
        };
        let tokens: String = [("nx", "NX"), ("xx", "XX"), ("gt", "GT"), ("lt", "LT")]
            .map(|(lower, upper)| token(lower, upper))
            .concat();
        let arguments = format!(
            "$9|arguments|*3|\
             %4|$4|name|$3|key|$4|type|$3|key|$12|display_text|$3|key|$14|key_spec_index|:0|\
             %3|$4|name|$7|seconds|$4|type|$7|integer|$12|display_text|$7|seconds|\
             %5|$4|name|$9|condition|$4|type|$5|oneof|$5|since|$5|7.0.0|$5|flags|~1|+optional|\
             $9|arguments|*4|{tokens}"
        );
        assert!(
            expire.starts_with("%1|$6|expire|%6|$7|summary|"),
            "{expire}"
        );
        let group =
            "|$5|since|$5|1.0.0|$5|group|$7|generic|$10|complexity|$4|O(1)|$7|history|~1|*2|";
        assert!(expire.contains(group), "{expire}");
        assert!(expire.ends_with(&arguments), "{expire}");
        assert_eq!(ask(Protocol::Resp2, docs_, "command docs nope"), "*0|");
        let setex = ask(Protocol::Resp2, docs_, "command docs setex");
        let deprecated =
            "|$9|doc_flags|*1|+deprecated|$16|deprecated_since|$6|2.6.12|$11|replaced_by|";
        assert!(setex.contains(deprecated), "{setex}");
        let object = ask(Protocol::Resp3, docs_, "command docs object");
        assert!(
            object.contains("|$11|subcommands|%5|$15|object|encoding|%5|"),
            "{object}"
        );
    }

    #[test]
    fn lists_are_filtered() {
        let ask = |rest: &str| ask(Protocol::Resp2, list, &format!("command list{rest}"));
        let all = Client::default().table.entries().len();
        assert!(ask("").starts_with(&format!("*{all}|")));
        assert_eq!(
            ask(" filterby pattern PEXPIRE?*"),
            "*2|$9|pexpireat|$11|pexpiretime|"
        );
        assert_eq!(ask(" FilterBy pattern object|f*"), "*1|$11|object|freq|");
        assert_eq!(ask(" filterby module json"), "*0|");
        assert_eq!(ask(" filterby aclcat nope"), "*0|");
        let dangerous = ask(" filterby aclcat DANGEROUS");
        assert_eq!(dangerous, "*4|$4|keys|$7|flushdb|$8|flushall|$6|swapdb|");
        for wrong in [
            " foo",
            " filterby",
            " filterby pattern",
            " filterby foo bar",
            " a b c d",
        ] {
            assert_eq!(ask(wrong), "-ERR syntax error|");
        }
    }

    #[test]
    fn keys_of_calls() {
        let keys = |call: &str| ask(Protocol::Resp2, getkeys, &format!("command getkeys {call}"));
        let count = "-ERR Invalid number of arguments specified for command|";
        for (call, want) in [
            ("get a", "*1|$1|a|"),
            ("MSET a 1 b 2", "*2|$1|a|$1|b|"),
            ("msetnx a 1 b", "*2|$1|a|$1|b|"),
            ("del a b c", "*3|$1|a|$1|b|$1|c|"),
            ("object encoding x", "*1|$1|x|"),
            ("copy a b db 3", "*2|$1|a|$1|b|"),
            ("foo a", "-ERR Invalid command specified|"),
            ("object foo x", "-ERR Invalid command specified|"),
            ("dbsize", "-ERR The command has no key arguments|"),
            ("object", "-ERR The command has no key arguments|"),
            ("mset a", count),
            ("get", count),
            (
                "msetex x a 1",
                "-ERR Invalid arguments specified for command|",
            ),
        ] {
            assert_eq!(keys(call), want, "{call}");
        }
    }

    #[test]
    fn flags_of_keys_depend_on_options_where_redis_says_so() {
        let flags = |call: &str| {
            let call = format!("command getkeysandflags {call}");
            ask(Protocol::Resp2, getkeysandflags, &call)
        };
        let written = "*1|*2|$1|a|*2|+OW|+update|";
        let both = "*1|*2|$1|a|*3|+RW|+access|+update|";
        let read = "*1|*2|$1|a|*2|+RO|+access|";
        for (call, want) in [
            ("get a", read),
            ("set a get", written),
            ("set a 1 get", both),
            ("bitfield a get u8 0", read),
            ("bitfield a incrby u8 0 1", both),
            (
                "copy a b",
                "*2|*2|$1|a|*2|+RO|+access|*2|$1|b|*2|+OW|+update|",
            ),
        ] {
            assert_eq!(flags(call), want, "{call}");
        }
    }

    #[test]
    fn key_ranges_join_what_follows_in_single_steps() {
        const ONE: KeySpec = KeySpec::one(1, KeyFlags::RO);
        const TWO: KeySpec = KeySpec::one(2, KeyFlags::RO);
        const REST: KeySpec = KeySpec::range(2, -1, 1, KeyFlags::RO);
        const PAIRS: KeySpec = KeySpec::range(1, -1, 2, KeyFlags::RO);
        const FAR: KeySpec = KeySpec::one(4, KeyFlags::RO);
        const COUNTED: KeySpec = KeySpec {
            find: Find::Count {
                count: 0,
                first: 1,
                step: 1,
            },
            ..ONE
        };
        type Case = (&'static [KeySpec], (i64, i64, i64), bool);
        const CASES: &[Case] = &[
            (&[], (0, 0, 0), false),
            (&[ONE], (1, 1, 1), false),
            (&[ONE, TWO], (1, 2, 1), false),
            (&[ONE, REST], (1, -1, 1), false),
            (&[PAIRS], (1, -1, 2), false),
            (&[ONE, FAR], (1, 1, 1), true),
            (&[COUNTED], (0, 0, 0), true),
            (&[ONE, COUNTED], (1, 1, 1), true),
        ];
        for (keys, (first, last, step), partial) in CASES {
            let spec = Spec {
                keys,
                ..Spec::DEFAULT
            };
            let want = KeyRange {
                first: *first,
                last: *last,
                step: *step,
                partial: *partial,
            };
            assert_eq!(key_range(&spec), want);
        }
    }

    #[test]
    fn categories_follow_from_flags_and_group() {
        let of = |group, flags, categories, container| {
            let spec = Spec {
                group,
                flags,
                categories,
                ..Spec::DEFAULT
            };
            super::categories(&spec, container).join(" ")
        };
        let (read, fast) = (Flags::READONLY, Flags::FAST);
        assert_eq!(of("string", read.or(fast), &[], false), "read string fast");
        assert_eq!(
            of("generic", Flags::WRITE, &[], false),
            "keyspace write slow"
        );
        assert_eq!(of("generic", Flags::NONE, &[], true), "slow");
        assert_eq!(
            of("server", Flags::ADMIN, &[], false),
            "admin slow dangerous"
        );
        assert_eq!(of("sorted-set", fast, &[], false), "sortedset fast");
        assert_eq!(of("scripting", read, &[], false), "slow scripting");
        let wait = of(
            "generic",
            Flags::BLOCKING,
            &["connection", "-keyspace"],
            false,
        );
        assert_eq!(wait, "slow blocking connection");
    }

    #[test]
    fn usage_shows_the_grammar() {
        let table = Client::default().table;
        for (name, want) in [
            ("object|encoding", "X <key>"),
            ("memory|usage", "X <key> [SAMPLES <count>]"),
            ("expire", "X <key> <seconds> [NX | XX | GT | LT]"),
            ("del", "X <key> [<key> ...]"),
            ("randomkey", "X"),
            ("mset", "X <key> <value> [<key> <value> ...]"),
        ] {
            let entry = table.find_full(name.as_bytes()).expect("a row");
            assert_eq!(usage("X", entry.spec.arguments), want);
        }
    }

    #[test]
    fn help_lists_usage_and_summary() {
        let mut reply = Reply::new(Protocol::Resp2);
        const SPEC: Spec = Spec {
            name: "id",
            summary: "Says it.",
            ..Spec::DEFAULT
        };
        help(&mut reply, "client", [&SPEC]);
        let text = String::from_utf8_lossy(reply.bytes()).replace("\r\n", "|");
        let title = "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
        assert_eq!(text, format!("*3|+{title}|+ID|+    Says it.|"));
    }

    #[test]
    fn the_page_has_a_line_for_every_row() {
        let table = Client::default().table;
        let page = markdown(&table);
        for entry in table.entries() {
            let name = entry.full_name.replace('|', " ").to_uppercase();
            let start = format!("| `{name}");
            let n = page.lines().filter(|l| l.starts_with(&start)).count();
            assert!(n >= 1, "{name}");
        }
        let keys =
            "| `KEYS <pattern>` | 1.0.0 | 2 | readonly | Lists all keys that match a pattern. |";
        assert!(page.contains(keys), "{page}");
    }

    /// What every row of this crate must have for the replies above to make sense.
    #[test]
    fn rows_are_complete() {
        const GROUPS: &[&str] = &["string", "bitmap", "generic", "server"];
        for entry in Client::default().table.entries() {
            let (name, spec) = (&entry.full_name, entry.spec);
            assert!(GROUPS.contains(&spec.group), "{name}: {}", spec.group);
            let sentence = spec.summary.ends_with('.') && spec.summary.len() > 10;
            assert!(sentence && !spec.summary.contains('|'), "{name}");
            assert!(spec.since.split('.').count() == 3, "{name}");
            assert!(spec.arity != 0 && !spec.complexity.is_empty(), "{name}");
            let reads = spec.flags.has(Flags::READONLY);
            assert!(!(reads && spec.flags.has(Flags::WRITE)), "{name}");
            let known = |c: &&&str| CATEGORIES.contains(&c.trim_start_matches('-'));
            assert_eq!(
                spec.categories.iter().filter(known).count(),
                spec.categories.len()
            );
            check_key_arguments(name, spec.arguments, spec.keys.len());
        }
    }

    fn check_key_arguments(name: &str, arguments: &[Argument], specs: usize) {
        for argument in arguments {
            let is_key = argument.kind == ArgumentKind::Key;
            assert_eq!(
                is_key,
                argument.key_spec.is_some(),
                "{name} {}",
                argument.name
            );
            assert!(
                argument.key_spec.is_none_or(|i| (i as usize) < specs),
                "{name}"
            );
            check_key_arguments(name, argument.arguments, specs);
        }
    }
}

//! The command table: every command that the server knows, found by name.
//!
//! A table is built once, at start, of this crate's rows and of the host's: commands on connections
//! and the server, whose handlers have a type of the host's own. The look-up is on the way of each
//! command, so it neither allocates nor folds byte by byte. A name becomes one 64-bit word in lower
//! case (a longer one the mix of its first and last eight bytes); the word times a multiplier picks
//! a slot of a table four times as large as there are names, and the multiplier is the one of many
//! tried under which the names collide least.
//!
//! Subcommands are entries like commands and stand behind them, so that an entry's index can number
//! arrays of statistics; they are found by comparing names one after another.

use crate::error::Error;
use crate::spec::{Command, Container, Form, Spec};
use resp::Args;
use std::ops::Range;

/// What runs when a command is called.
#[derive(Clone, Copy)]
pub enum Run<H> {
    /// A handler of this crate.
    Data(Form),
    /// A handler of the host.
    Host(H),
    /// Nothing: it only groups subcommands.
    Container,
}

/// A command of the host.
pub struct Row<H> {
    /// The container, for a subcommand. It may be one of this crate's.
    pub parent: Option<&'static str>,
    pub spec: &'static Spec,
    pub run: Run<H>,
}

impl<H> Row<H> {
    pub fn command(spec: &'static Spec, handler: H) -> Row<H> {
        Row {
            parent: None,
            spec,
            run: Run::Host(handler),
        }
    }

    pub fn container(spec: &'static Spec) -> Row<H> {
        Row {
            parent: None,
            spec,
            run: Run::Container,
        }
    }

    pub fn subcommand(parent: &'static str, spec: &'static Spec, handler: H) -> Row<H> {
        Row {
            parent: Some(parent),
            spec,
            run: Run::Host(handler),
        }
    }
}

pub struct Entry<H> {
    /// Position in [`Table::entries`].
    pub index: usize,
    pub spec: &'static Spec,
    pub run: Run<H>,
    /// As errors, statistics and ACL rules name it: `get`, `object|encoding`.
    pub full_name: Box<str>,
    /// Positions of its subcommands in [`Table::entries`].
    subcommands: Range<usize>,
    /// Position of its container.
    pub parent: Option<usize>,
}

impl<H> Entry<H> {
    pub fn has_subcommands(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// Refuses a number of arguments, the name included, that the command does not take.
    #[inline]
    pub fn check_arity(&self, argc: usize) -> Result<(), Error> {
        if self.spec.accepts(argc) {
            return Ok(());
        }
        Err(Error::arity(&self.full_name))
    }
}

/// Why a call names no command.
pub enum Unknown<'t, H> {
    Command,
    Subcommand(&'t Entry<H>),
}

impl<H> Unknown<'_, H> {
    /// The reply; `args` are those of the call.
    pub fn error(&self, args: Args<'_>) -> Error {
        match self {
            Unknown::Command => unknown_command(args),
            Unknown::Subcommand(entry) => unknown_subcommand(entry.spec.name, args.opt(1)),
        }
    }
}

/// Bytes of the name, and of all arguments together, that an error repeats.
const SHOWN_MAX: usize = 128;

fn unknown_command(args: Args<'_>) -> Error {
    let shown = |bytes: &[u8], max: usize| {
        // Printed as a C string.
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        bytes[..end.min(max)].to_vec()
    };
    let name = shown(args.opt(0).unwrap_or_default(), SHOWN_MAX);
    let mut rest = Vec::new();
    for i in 1..args.len() {
        if rest.len() >= SHOWN_MAX {
            break;
        }
        let max = SHOWN_MAX - rest.len();
        rest.push(b'\'');
        rest.extend(shown(args.get(i), max));
        rest.extend(b"' ");
    }
    Error::bytes(
        [
            b"ERR unknown command '",
            &*name,
            b"', with args beginning with: ",
            &*rest,
        ]
        .concat(),
    )
}

/// The subcommand is not one of `container`'s.
pub fn unknown_subcommand(container: &str, name: Option<&[u8]>) -> Error {
    let name = name.unwrap_or_default();
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    Error::bytes(
        [
            b"ERR unknown subcommand '",
            &name[..end.min(SHOWN_MAX)],
            b"'. Try ",
            container.to_uppercase().as_bytes(),
            b" HELP.",
        ]
        .concat(),
    )
}

#[derive(Clone, Copy)]
struct Slot {
    word: u64,
    len: u8,
    /// Index into the entries plus one; 0 in a free slot.
    entry: u16,
}

const FREE: Slot = Slot {
    word: 0,
    len: 0,
    entry: 0,
};

pub struct Table<H> {
    /// Commands, then their subcommands.
    entries: Vec<Entry<H>>,
    /// What clients call each command, in lower case: its row's name unless it was renamed.
    names: Vec<Vec<u8>>,
    slots: Box<[Slot]>,
    multiplier: u64,
    shift: u32,
}

/// A command that goes by another name than its row's, or by none if `to` is empty.
#[derive(Clone, Copy, Debug)]
pub struct Rename<'a> {
    pub from: &'a [u8],
    pub to: &'a [u8],
}

/// Why a table cannot be built: which [`Rename`], and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRename {
    pub index: usize,
    pub reason: &'static str,
}

impl<H> Table<H> {
    /// The table of `families`, `containers` and `host` together. Panics when two rows have one
    /// name, or a subcommand's container is missing.
    pub fn new(
        families: &[&'static [Command]],
        containers: &[&'static Container],
        host: Vec<Row<H>>,
    ) -> Table<H> {
        Table::renamed(families, containers, host, &[]).expect("nothing is renamed")
    }

    /// The table with some commands renamed, one change after the other. Only clients see the new
    /// names: errors, statistics and COMMAND keep to the rows'.
    pub fn renamed(
        families: &[&'static [Command]],
        containers: &[&'static Container],
        host: Vec<Row<H>>,
        renames: &[Rename<'_>],
    ) -> Result<Table<H>, BadRename> {
        let data = families.iter().flat_map(|f| f.iter());
        let mut rows: Vec<Row<H>> = data.map(|c| data_row(None, c)).collect();
        for container in containers {
            rows.push(Row::container(&container.spec));
            let parent = container.spec.name;
            rows.extend(
                container
                    .subcommands
                    .iter()
                    .map(|c| data_row(Some(parent), c)),
            );
        }
        rows.extend(host);
        let (mut commands, mut subcommands): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|r| r.parent.is_none());
        let mut names = names(&commands);
        for (index, rename) in renames.iter().enumerate() {
            let bad = |reason| BadRename { index, reason };
            let place = |name: &[u8]| names.iter().position(|n| n.eq_ignore_ascii_case(name));
            let row = place(rename.from).ok_or(bad("No such command in rename-command"))?;
            if rename.to.is_empty() {
                let removed = commands.remove(row).spec.name;
                subcommands.retain(|r| r.parent != Some(removed));
                names.remove(row);
            } else if rename.to.len() > NAME_MAX {
                return Err(bad("Target command name is too long"));
            } else if place(rename.to).is_some() {
                return Err(bad("Target command name already exists"));
            } else {
                names[row] = rename.to.to_ascii_lowercase();
            }
        }
        Ok(Table::index(link(commands, subcommands), names))
    }

    /// Builds the slots for entries whose commands come first and are called `names`.
    fn index(entries: Vec<Entry<H>>, names: Vec<Vec<u8>>) -> Table<H> {
        let size = (names.len() * 4).next_power_of_two();
        let shift = u64::BITS - size.trailing_zeros();
        // Weyl steps of the golden ratio: odd multipliers that have little in common.
        let multipliers = (1..=2000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (multiplier, slots) = multipliers
            .map(|m| (m, fill(&names, m, shift, size)))
            .min_by_key(|(_, (_, probes))| *probes)
            .map(|(m, (slots, _))| (m, slots))
            .expect("there are multipliers");
        Table {
            entries,
            names,
            slots,
            multiplier,
            shift,
        }
    }

    /// The command of that name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Entry<H>> {
        let word = word(name);
        let mut at = home(word, self.multiplier, self.shift);
        loop {
            let slot = &self.slots[at];
            if slot.entry == 0 {
                return None;
            }
            if slot.word == word && usize::from(slot.len) == name.len() {
                let i = usize::from(slot.entry) - 1;
                // The word of a short name is the name.
                if name.len() <= 8 || self.names[i].eq_ignore_ascii_case(name) {
                    return Some(&self.entries[i]);
                }
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// A command's subcommand of that name, in any case.
    pub fn subcommand(&self, of: &Entry<H>, name: &[u8]) -> Option<&Entry<H>> {
        let mut all = self.subcommands(of).iter();
        all.find(|e| e.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The command or subcommand that a call names.
    #[inline]
    pub fn resolve(&self, args: Args<'_>) -> Result<&Entry<H>, Unknown<'_, H>> {
        let name = args.opt(0).unwrap_or_default();
        let entry = self.find(name).ok_or(Unknown::Command)?;
        if !entry.has_subcommands() || args.len() < 2 {
            return Ok(entry);
        }
        self.subcommand(entry, args.get(1))
            .ok_or(Unknown::Subcommand(entry))
    }

    /// The entry of a name such as `get` or `object|encoding`, in any case.
    pub fn find_full(&self, name: &[u8]) -> Option<&Entry<H>> {
        match name.iter().position(|b| *b == b'|') {
            None => self.find(name),
            Some(bar) => self.subcommand(self.find(&name[..bar])?, &name[bar + 1..]),
        }
    }

    /// Everything, subcommands included, in the order of [`Entry::index`].
    pub fn entries(&self) -> &[Entry<H>] {
        &self.entries
    }

    /// The commands, without subcommands.
    pub fn commands(&self) -> &[Entry<H>] {
        &self.entries[..self.names.len()]
    }

    pub fn subcommands(&self, of: &Entry<H>) -> &[Entry<H>] {
        &self.entries[of.subcommands.clone()]
    }
}

fn data_row<H>(parent: Option<&'static str>, command: &'static Command) -> Row<H> {
    Row {
        parent,
        spec: &command.spec,
        run: Run::Data(command.form),
    }
}

/// The commands' names. Panics when two have one.
fn names<H>(commands: &[Row<H>]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for row in commands {
        let name = row.spec.name;
        assert_eq!(
            name,
            name.to_ascii_lowercase(),
            "names of rows are in lower case"
        );
        assert!(
            !names.iter().any(|n| n == name.as_bytes()),
            "two rows have the name {name}"
        );
        names.push(name.as_bytes().to_vec());
    }
    names
}

/// Numbers commands, then the subcommands of each.
fn link<H>(commands: Vec<Row<H>>, mut subcommands: Vec<Row<H>>) -> Vec<Entry<H>> {
    let mut entries: Vec<Entry<H>> = Vec::new();
    for row in commands {
        entries.push(Entry {
            index: entries.len(),
            full_name: row.spec.name.into(),
            spec: row.spec,
            run: row.run,
            subcommands: 0..0,
            parent: None,
        });
    }
    for parent in 0..entries.len() {
        let name = entries[parent].spec.name;
        let (own, others): (Vec<_>, Vec<_>) = subcommands
            .into_iter()
            .partition(|r| r.parent == Some(name));
        subcommands = others;
        let from = entries.len();
        for row in own {
            let full_name = format!("{name}|{}", row.spec.name).into_boxed_str();
            let twice = entries[from..].iter().any(|e| e.full_name == full_name);
            assert!(!twice, "two rows are called {full_name}");
            entries.push(Entry {
                index: entries.len(),
                full_name,
                spec: row.spec,
                run: row.run,
                subcommands: 0..0,
                parent: Some(parent),
            });
        }
        entries[parent].subcommands = from..entries.len();
    }
    if let Some(row) = subcommands.first() {
        panic!("{} has no container {:?}", row.spec.name, row.parent);
    }
    entries
}

/// The longest name of a command, in bytes: a slot's field for it is one byte.
const NAME_MAX: usize = 255;

/// Slots with all names in them, and how many steps finding each once takes beyond its home.
fn fill(names: &[Vec<u8>], multiplier: u64, shift: u32, size: usize) -> (Box<[Slot]>, usize) {
    let mut slots = vec![FREE; size].into_boxed_slice();
    let mut probes = 0;
    for (i, name) in names.iter().enumerate() {
        let word = word(name);
        let mut at = home(word, multiplier, shift);
        while slots[at].entry != 0 {
            at = (at + 1) & (size - 1);
            probes += 1;
        }
        slots[at] = Slot {
            word,
            len: u8::try_from(name.len()).expect("names are short"),
            entry: u16::try_from(i + 1).expect("there are few commands"),
        };
    }
    (slots, probes)
}

#[inline]
fn home(word: u64, multiplier: u64, shift: u32) -> usize {
    (word.wrapping_mul(multiplier) >> shift) as usize
}

/// A name's word: its bytes in lower case if there are at most eight, otherwise a mix of the first
/// and the last eight.
#[inline]
fn word(name: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        let first = lower(u64::from_le_bytes(*first));
        if name.len() == 8 {
            return first;
        }
        return first ^ lower(u64::from_le_bytes(*last)).rotate_left(29);
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        // 4 to 7 bytes: two halves that overlap.
        let first = u64::from(u32::from_le_bytes(*first));
        let last = u64::from(u32::from_le_bytes(*last));
        return lower(first | last << (8 * (name.len() - 4)));
    }
    lower(name.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b)))
}

/// Eight ASCII bytes in lower case; other bytes stay.
#[inline]
fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (ONES * 0x7f);
    // The top bit of each byte: above `Z`, at least `A`, below 128.
    let above = low + ONES * u64::from(0x7f - b'Z');
    let from = low + ONES * u64::from(0x80 - b'A');
    let ascii = !word & (ONES * 0x80);
    word | ((from ^ above) & ascii) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_args;
    use crate::{CONTAINERS, FAMILIES};

    fn table() -> Table<u8> {
        static PING: Spec = Spec {
            name: "ping",
            arity: -1,
            ..Spec::DEFAULT
        };
        static CLIENT: Spec = Spec {
            name: "client",
            arity: -2,
            ..Spec::DEFAULT
        };
        static ID: Spec = Spec {
            name: "id",
            arity: 2,
            ..Spec::DEFAULT
        };
        let host = vec![
            Row::subcommand("client", &ID, 2),
            Row::command(&PING, 1),
            Row::container(&CLIENT),
        ];
        Table::new(FAMILIES, CONTAINERS, host)
    }

    #[test]
    fn words_fold_ascii_letters_and_nothing_else() {
        for b in 0..=255u8 {
            for len in 1..=8 {
                let folded = [b.to_ascii_lowercase(); 8];
                let mut want = [0; 8];
                want[..len].copy_from_slice(&folded[..len]);
                assert_eq!(word(&[b; 8][..len]), u64::from_le_bytes(want), "{b} {len}");
            }
        }
        assert_eq!(word(b"ABCDEfg"), word(b"abcdefg"));
        assert_ne!(word(b"abcdefgh1"), word(b"abcdefgh2"));
    }

    #[test]
    fn every_row_is_found_in_any_case_and_near_misses_are_not() {
        let table = table();
        let names: Vec<&str> = table.commands().iter().map(|e| e.spec.name).collect();
        for name in &names {
            let mixed: String = name
                .chars()
                .enumerate()
                .map(|(i, c)| {
                    if i % 2 == 0 {
                        c.to_ascii_uppercase()
                    } else {
                        c
                    }
                })
                .collect();
            for form in [name.to_string(), name.to_uppercase(), mixed] {
                let entry = table.find(form.as_bytes()).expect("a row's name");
                assert_eq!(entry.spec.name, *name);
                assert!(std::ptr::eq(entry, &table.entries()[entry.index]));
            }
            let mut misses = vec![
                name.as_bytes()[1..].to_vec(),
                [name.as_bytes(), b"\0"].concat(),
            ];
            for i in 0..name.len() {
                for bit in 0..8 {
                    let mut miss = name.as_bytes().to_vec();
                    miss[i] ^= 1 << bit;
                    misses.push(miss);
                }
            }
            for miss in misses {
                let known = names
                    .iter()
                    .any(|n| n.as_bytes().eq_ignore_ascii_case(&miss));
                assert_eq!(table.find(&miss).is_some(), known, "{miss:?}");
            }
        }
        assert!(table.find(b"").is_none());
        assert!(table.find(&[b'a'; 1000]).is_none());
    }

    #[test]
    fn most_names_are_at_home() {
        let table = table();
        let away = table.commands().iter().filter(|e| {
            let at = home(word(e.spec.name.as_bytes()), table.multiplier, table.shift);
            usize::from(table.slots[at].entry) != e.index + 1
        });
        assert!(away.count() * 10 <= table.commands().len());
    }

    #[track_caller]
    fn check(request: &str, want: Result<&str, &str>) {
        let table = table();
        with_args(request, |args| {
            let got = table.resolve(args).map_err(|u| u.error(args));
            let got = got.and_then(|e| e.check_arity(args.len()).map(|()| &*e.full_name));
            assert_eq!(
                got,
                want.map_err(|e| Error::new(e.to_string())),
                "{request}"
            );
        });
    }

    #[test]
    fn calls_name_commands_and_subcommands() {
        check("PING", Ok("ping"));
        check("Client ID", Ok("client|id"));
        check("object ENCODING k", Ok("object|encoding"));
        check("get k", Ok("get"));
        check(
            "get",
            Err("ERR wrong number of arguments for 'get' command"),
        );
        check(
            "client",
            Err("ERR wrong number of arguments for 'client' command"),
        );
        check(
            "client id 1",
            Err("ERR wrong number of arguments for 'client|id' command"),
        );
        check(
            "client nope 1",
            Err("ERR unknown subcommand 'nope'. Try CLIENT HELP."),
        );
        check(
            "nope a 'b c'",
            Err("ERR unknown command 'nope', with args beginning with: 'a' 'b c' "),
        );
    }

    #[test]
    fn unknown_names_are_shown_in_part() {
        let long = "x".repeat(200);
        let cut = "x".repeat(128);
        let want = format!("ERR unknown command '{cut}', with args beginning with: '{cut}' ");
        check(&format!("{long} {long} {long}"), Err(&want));
        let some = "y".repeat(100);
        let want = format!(
            "ERR unknown command 'a', with args beginning with: '{some}' '{}' ",
            &cut[..25]
        );
        check(&format!("a {some} {long} z"), Err(&want));
    }

    #[test]
    fn renamed_commands_go_by_their_new_name_only() {
        static PING: Spec = Spec {
            name: "ping",
            ..Spec::DEFAULT
        };
        let build = |renames: &[(&str, &str)]| {
            let renames: Vec<Rename> = renames
                .iter()
                .map(|(from, to)| Rename {
                    from: from.as_bytes(),
                    to: to.as_bytes(),
                })
                .collect();
            let host = vec![Row::command(&PING, 1u8)];
            Table::renamed(FAMILIES, CONTAINERS, host, &renames)
        };
        let table = build(&[
            ("Get", "a-new-name-for-GET"),
            ("object", ""),
            ("ping", "get"),
        ])
        .expect("good renames");
        let find = |name: &str| table.find(name.as_bytes()).map(|e| e.spec.name);
        assert_eq!(find("A-NEW-name-for-get"), Some("get"));
        assert_eq!(find("get"), Some("ping"));
        assert_eq!(find("ping"), None);
        assert_eq!(find("object"), None);
        assert!(
            table
                .entries()
                .iter()
                .all(|e| !e.full_name.starts_with("object"))
        );
        let long = "x".repeat(256);
        for (renames, index, reason) in [
            (
                &[("get", "x"), ("nope", "")][..],
                1,
                "No such command in rename-command",
            ),
            (&[("get", "SET")], 0, "Target command name already exists"),
            (&[("get", &long)], 0, "Target command name is too long"),
        ] {
            let error = build(renames).map(|_| ()).unwrap_err();
            assert_eq!(error, BadRename { index, reason });
        }
    }

    #[test]
    fn full_names_reach_subcommands() {
        let table = table();
        for entry in table.entries() {
            let found = table.find_full(entry.full_name.to_uppercase().as_bytes());
            assert_eq!(found.map(|e| e.index), Some(entry.index));
        }
        assert!(table.find_full(b"client|nope").is_none());
        assert!(table.find_full(b"id").is_none());
    }
}

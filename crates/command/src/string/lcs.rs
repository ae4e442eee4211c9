//! LCS: what two strings have in common, in order.
//!
//! The textbook table of `(n + 1) × (m + 1)` lengths is never built. Two neighbours in a row of it
//! differ by 0 or 1, so a row is a bit set, and a whole row follows from the one above by an
//! addition with carry, 64 columns a word (H. Hyyrö, "Bit-parallel LCS-length computation
//! revisited", 2004). The way back through the table needs nothing but those bits, so it takes a
//! bit where Redis takes four bytes. Ties are broken as Redis does; the limit on what it would
//! allocate is kept too, since it also limits the time.

use super::{READ, Text};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::KeySpec;
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::{Args, Reply};
use store::Look;

pub(super) const LCS: Command = Command {
    spec: Spec {
        name: "lcs",
        group: "string",
        since: "7.0.0",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::range(1, 1, 1, READ)],
        summary: "Finds the longest common subsequence of two strings.",
        complexity: "O(N*M) with N and M the lengths of the strings.",
        arguments: &[
            Argument::key("key1", 0),
            Argument::key("key2", 0),
            Argument::token("len", "LEN").optional(),
            Argument::token("idx", "IDX").optional(),
            Argument::new("min-match-len", Kind::Integer)
                .with_token("MINMATCHLEN")
                .optional(),
            Argument::token("withmatchlen", "WITHMATCHLEN").optional(),
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(lcs, None),
};

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: u64,
}

fn options(args: Args<'_>) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut i = 3;
    while i < args.len() {
        if args.is(i, "IDX") {
            options.idx = true;
        } else if args.is(i, "LEN") {
            options.len = true;
        } else if args.is(i, "WITHMATCHLEN") {
            options.with_match_len = true;
        } else if args.is(i, "MINMATCHLEN") && i + 1 < args.len() {
            i += 1;
            let len = resp::number::parse_i64(args.get(i)).ok_or(Error::NOT_INTEGER)?;
            options.min_match_len = u64::try_from(len).unwrap_or(0);
        } else {
            return Err(Error::SYNTAX);
        }
        i += 1;
    }
    if options.len && options.idx {
        return Err(Error::new(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

fn lcs(ctx: &mut Context<'_>) -> Outcome {
    let keys = [ctx.key(1), ctx.key(2)];
    let items = ctx.shard.look_all(ctx.db, keys, Look::Use);
    let mut texts = [const { Text::Bytes(b"") }; 2];
    for (text, item) in texts.iter_mut().zip(items) {
        if let Some(item) = item {
            let string = item.str();
            *text =
                Text::from(string.map_err(|_| {
                    Error::new("ERR The specified keys must contain string values")
                })?);
        }
    }
    let [a, b] = &texts;
    let options = options(ctx.args)?;
    check_size(
        a.len() as u64,
        b.len() as u64,
        ctx.settings.max_string as u64,
    )?;
    let table = Table::new(a, b, !options.len);
    if options.len {
        ctx.reply.int(table.len as i64);
    } else if options.idx {
        reply_matches(ctx.reply, &table, &options);
    } else {
        let mut common = Vec::with_capacity(table.len);
        table.walk(|m| common.extend(a[m.a..m.a + m.len].iter().rev()));
        common.reverse();
        ctx.reply.bulk(&common);
    }
    Ok(Effect::Read)
}

/// Redis's limits, by the memory that its own table would take.
fn check_size(a: u64, b: u64, max: u64) -> Result<(), Error> {
    const CELL: u64 = 4;
    let too_long = u64::from(u32::MAX) - 1;
    if a >= too_long || b >= too_long {
        return Err(Error::new("ERR String too long for LCS"));
    }
    let size = (a + 1).checked_mul(b + 1).and_then(|n| n.checked_mul(CELL));
    match size {
        Some(size) if size <= max => Ok(()),
        _ => Err(Error::new(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        )),
    }
}

fn reply_matches(reply: &mut Reply, table: &Table<'_>, options: &Options) {
    reply.map(2);
    reply.bulk(b"matches");
    let mark = reply.mark();
    let mut matches = 0;
    table.walk(|m| {
        if (m.len as u64) < options.min_match_len {
            return;
        }
        matches += 1;
        reply.array(2 + usize::from(options.with_match_len));
        for from in [m.a, m.b] {
            reply.array(2);
            reply.int(from as i64);
            reply.int((from + m.len - 1) as i64);
        }
        if options.with_match_len {
            reply.int(m.len as i64);
        }
    });
    reply.close_array(mark, matches);
    reply.bulk(b"len");
    reply.int(table.len as i64);
}

/// Bytes that both strings have, one after the other in each.
struct Match {
    /// Where they start in the first string.
    a: usize,
    b: usize,
    len: usize,
}

/// The table of lengths of common subsequences of beginnings of `a` (rows) and of `b` (columns).
struct Table<'t> {
    a: &'t [u8],
    b: &'t [u8],
    /// Length of the longest common subsequence.
    len: usize,
    /// Words per row.
    width: usize,
    /// Row by row without the first, a bit per column but the first: clear where the length is one
    /// more than to its left. Empty if only the length was asked for.
    rows: Vec<u64>,
}

impl<'t> Table<'t> {
    fn new(a: &'t [u8], b: &'t [u8], keep: bool) -> Table<'t> {
        let width = b.len().div_ceil(64);
        let places = Places::new(a, b, width);
        let mut rows = Vec::with_capacity(if keep { width * a.len() } else { 0 });
        let mut row = vec![u64::MAX; width];
        for &byte in a {
            let mut carry = false;
            for (word, &at) in row.iter_mut().zip(places.of(byte)) {
                let met = *word & at;
                let (sum, over) = word.overflowing_add(met);
                let (sum, over_again) = sum.overflowing_add(u64::from(carry));
                carry = over | over_again;
                *word = sum | (*word & !at);
            }
            if keep {
                rows.extend_from_slice(&row);
            }
        }
        let clear: u32 = row.iter().map(|word| word.count_zeros()).sum();
        Table {
            a,
            b,
            // Columns beyond the end match nothing, so their bits stay set.
            len: clear as usize,
            width,
            rows,
        }
    }

    /// Whether the length after `i` bytes of `a` and `j` of `b` exceeds that after `j - 1`.
    fn steps(&self, i: usize, j: usize) -> bool {
        let word = self.rows[(i - 1) * self.width + (j - 1) / 64];
        word >> ((j - 1) % 64) & 1 == 0
    }

    /// The matches of the way that Redis takes through the table, from the last to the first.
    fn walk(&self, mut found: impl FnMut(Match)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        let mut len = 0;
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                i -= 1;
                j -= 1;
                len += 1;
                continue;
            }
            if len > 0 {
                found(Match { a: i, b: j, len });
                len = 0;
            }
            // Up where the column to the left falls short, and left otherwise.
            if self.steps(i, j) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        if len > 0 {
            found(Match { a: i, b: j, len });
        }
    }
}

/// For each byte of one string, the positions at which another has it, as bits.
struct Places {
    width: usize,
    /// Where a byte's words start.
    starts: [usize; 256],
    words: Vec<u64>,
}

impl Places {
    /// Bytes that are not in `a` get no room: a short `a` must not cost 32 bytes for each of `b`.
    fn new(a: &[u8], b: &[u8], width: usize) -> Places {
        const NONE: usize = usize::MAX;
        let mut starts = [NONE; 256];
        let mut end = 0;
        for &byte in a {
            let start = &mut starts[usize::from(byte)];
            if *start == NONE {
                *start = end;
                end += width;
            }
        }
        let mut words = vec![0; end];
        for (j, &byte) in b.iter().enumerate() {
            let start = starts[usize::from(byte)];
            if start != NONE {
                words[start + j / 64] |= 1 << (j % 64);
            }
        }
        Places {
            width,
            starts,
            words,
        }
    }

    /// The positions of a byte that the first string has.
    fn of(&self, byte: u8) -> &[u64] {
        let start = self.starts[usize::from(byte)];
        &self.words[start..start + self.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Length and matches by the table that Redis builds, walked as Redis walks it.
    fn by_table(a: &[u8], b: &[u8]) -> (usize, Vec<(usize, usize)>) {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let mut matches = Vec::new();
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                i -= 1;
                j -= 1;
                matches.push((i, j));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (table[a.len()][b.len()], matches)
    }

    proptest! {
        #[test]
        fn bits_lead_the_same_way_as_the_table(
            a in vec(b'a'..b'e', 0..200), b in vec(b'a'..b'f', 0..200),
        ) {
            let (len, want) = by_table(&a, &b);
            let table = Table::new(&a, &b, true);
            let mut got = Vec::new();
            table.walk(|m| got.extend((0..m.len).rev().map(|k| (m.a + k, m.b + k))));
            prop_assert_eq!(table.len, len);
            prop_assert_eq!(got, want);
            prop_assert_eq!(Table::new(&a, &b, false).len, len);
        }
    }
}

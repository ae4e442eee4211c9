//! The commands of one client that are being executed on other shards.
//!
//! A client has at most one flight at a time; it takes off at the end of a batch, or where the next
//! command must not run beside those before it, and the client's further commands wait until it has
//! landed. So what a client can have in flight is bounded by one batch, and two commands of a client
//! never meet on a shard in another order than they were sent in.
//!
//! ```text
//!   batch:     GET a   GET b   GET c   GET d   GET e          (b, d on shard 1; e on shard 2)
//!              here     │       here    │       │
//!              │       parcel for 1 ────┘      parcel for 2
//!              ▼        ▼       ▼               ▼
//!   runs:     client's  (1,1)  (local,1)  (1,1) (2,1)    ── all home ──►  replies in this order
//!             reply
//! ```
//!
//! What may run side by side is the ordering rule, and [`Flight::admits`] is the one place that
//! knows it.

use super::parcel::Parcel;
use engine::tx::ShardId;
use resp::reply::Mark;
use resp::{Protocol, Reply};

/// What the commands of a flight have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// All of them only read.
    Reads,
    /// All of them are this one command, which writes one key.
    Writes(usize),
    /// Anything else; then all are for one shard.
    #[default]
    Mixed,
}

/// Most commands of a flight: with values below the size at which they are shared, their replies
/// take some megabytes at most.
pub const COMMANDS_MAX: usize = 512;

/// Source of replies in [`Run`]: the client's own shard. Others are indices of parcels.
const LOCAL: u16 = u16::MAX;

/// Consecutive commands whose replies come from one place.
#[derive(Clone, Copy, Debug)]
struct Run {
    source: u16,
    count: u16,
}

#[derive(Default)]
pub struct Flight {
    kind: Kind,
    commands: usize,
    runs: Vec<Run>,
    /// Empty places are those of parcels that are out.
    parcels: Vec<(ShardId, Option<Box<Parcel>>)>,
    /// Replies of commands executed here after the first one for another shard.
    local: Reply,
    local_ends: Vec<Mark>,
    /// For each parcel, how many of its replies have been placed.
    next: Vec<usize>,
    /// Parcels that have not come home.
    out: usize,
    /// The client wants no replies.
    silent: bool,
}

impl Flight {
    /// Makes an empty flight ready for a client's commands.
    pub fn prepare(&mut self, kind: Kind, protocol: Protocol, silent: bool) {
        debug_assert!(self.parcels.is_empty() && self.commands == 0);
        self.kind = kind;
        self.silent = silent;
        self.local.set_protocol(protocol);
    }

    /// Whether a command may run beside those of the flight, none of which has been answered yet.
    /// `to` is the shard it is for, `None` for the client's own. With `strict` only commands that
    /// one shard executes in order.
    pub fn admits(&self, kind: Kind, to: Option<ShardId>, strict: bool) -> bool {
        // Only this one command is to be silent, as under CLIENT REPLY SKIP.
        if self.commands >= COMMANDS_MAX || self.silent {
            return false;
        }
        let same_place = match (&self.parcels[..], to) {
            ([(only, _)], Some(to)) => *only == to && self.local_ends.is_empty(),
            _ => false,
        };
        same_place || !strict && kind == self.kind && kind != Kind::Mixed
    }

    /// Notes that a command of this kind joins.
    #[inline]
    fn join(&mut self, kind: Kind, source: u16) {
        if kind != self.kind {
            self.kind = Kind::Mixed;
        }
        self.commands += 1;
        match self.runs.last_mut() {
            Some(run) if run.source == source => run.count += 1,
            _ => self.runs.push(Run { source, count: 1 }),
        }
    }

    /// The parcel for a shard, for a command to be put into; `new` makes one.
    #[inline]
    pub fn board(
        &mut self,
        kind: Kind,
        to: ShardId,
        new: impl FnOnce() -> Box<Parcel>,
    ) -> &mut Parcel {
        let at = match self.parcels.iter().position(|(shard, _)| *shard == to) {
            Some(at) => at,
            None => {
                self.parcels.push((to, Some(new())));
                self.parcels.len() - 1
            }
        };
        self.join(kind, at as u16);
        let parcel = self.parcels[at].1.as_mut();
        parcel.expect("nothing boards a flight that is out")
    }

    /// Whether this is a command of the flight's kind, one more of which may join wherever it runs:
    /// what [`Flight::admits`] says without `strict`, but for some that it admits too.
    #[inline]
    pub fn takes_more(&self, kind: Kind) -> bool {
        kind == self.kind && kind != Kind::Mixed && self.commands < COMMANDS_MAX && !self.silent
    }

    /// [`Flight::board`] for one of which [`Flight::takes_more`], if its shard has a parcel already.
    #[inline]
    pub fn rejoin(&mut self, kind: Kind, to: ShardId) -> Option<&mut Parcel> {
        let at = self.parcels.iter().position(|(shard, _)| *shard == to)?;
        self.join(kind, at as u16);
        self.parcels[at].1.as_deref_mut()
    }

    /// Where a command that is executed here writes its reply; [`Flight::executed`] follows.
    #[inline]
    pub fn reply(&mut self) -> &mut Reply {
        &mut self.local
    }

    #[inline]
    pub fn executed(&mut self, kind: Kind) {
        self.local_ends.push(self.local.mark());
        self.join(kind, LOCAL);
    }

    /// Hands out the parcels to be sent.
    pub fn take_off(&mut self) -> impl Iterator<Item = (ShardId, Box<Parcel>)> {
        self.out = self.parcels.len();
        self.parcels
            .iter_mut()
            .filter_map(|(to, parcel)| Some((*to, parcel.take()?)))
    }

    /// Takes a parcel that has come home; whether it was the last one.
    pub fn land(&mut self, from: ShardId, parcel: Box<Parcel>) -> bool {
        let place = self.parcels.iter_mut().find(|(shard, _)| *shard == from);
        let (_, place) = place.expect("parcels come from where they were sent to");
        debug_assert!(place.is_none());
        *place = Some(parcel);
        self.out -= 1;
        self.out == 0
    }

    /// Writes the replies in the order of the commands, and gives the parcels back. The flight is
    /// empty then, and can be used again.
    pub fn unload(&mut self, reply: &mut Reply, mut recycle: impl FnMut(Box<Parcel>)) {
        debug_assert_eq!(self.out, 0);
        match &mut self.parcels[..] {
            _ if self.silent => {}
            [(_, Some(parcel))] if self.local_ends.is_empty() && reply.is_empty() => {
                reply.swap_with(&mut parcel.reply);
            }
            _ => self.interleave(reply),
        }
        self.parcels
            .drain(..)
            .filter_map(|(_, p)| p)
            .for_each(&mut recycle);
        self.runs.clear();
        self.local.clear();
        self.local_ends.clear();
        self.commands = 0;
    }

    fn interleave(&mut self, reply: &mut Reply) {
        self.next.clear();
        self.next.resize(self.parcels.len(), 0);
        let mut local = (0, Mark::default());
        for run in &self.runs {
            let count = usize::from(run.count);
            if run.source == LOCAL {
                let end = self.local_ends[local.0 + count - 1];
                reply.append(&self.local, local.1, end);
                local = (local.0 + count, end);
            } else if let Some(parcel) = &self.parcels[usize::from(run.source)].1 {
                let at = &mut self.next[usize::from(run.source)];
                let (from, to) = parcel.between(*at, *at + count);
                reply.append(&parcel.reply, from, to);
                *at += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(parcels: &[(ShardId, Kind)], local: &[Kind]) -> Flight {
        let first = parcels.first().map(|p| p.1).or(local.first().copied());
        let mut flight = Flight::default();
        flight.prepare(first.expect("a command"), Protocol::Resp2, false);
        for (to, kind) in parcels {
            let parcel = flight.board(*kind, *to, Box::default);
            parcel.pack().add_bytes(b"x");
            parcel.end(0);
        }
        for kind in local {
            flight.reply().ok();
            flight.executed(*kind);
        }
        flight
    }

    #[test]
    fn reads_and_runs_of_one_write_go_side_by_side() {
        use Kind::{Mixed, Reads, Writes};
        for (parcels, local, kind, to, parallel, strict) in [
            (&[(1, Reads)][..], &[][..], Reads, Some(2), true, false),
            (&[(1, Reads)], &[], Reads, None, true, false),
            (&[(1, Reads)], &[], Reads, Some(1), true, true),
            (&[(1, Reads)], &[], Writes(3), Some(1), true, true),
            (&[(1, Reads)], &[], Writes(3), Some(2), false, false),
            (&[(1, Reads)], &[], Writes(3), None, false, false),
            (&[(1, Writes(3))], &[], Writes(3), Some(2), true, false),
            (&[(1, Writes(3))], &[], Writes(3), None, true, false),
            (&[(1, Writes(3))], &[], Writes(4), Some(2), false, false),
            (&[(1, Writes(3))], &[], Reads, Some(2), false, false),
            (
                &[(1, Writes(3)), (1, Reads)],
                &[],
                Reads,
                Some(1),
                true,
                true,
            ),
            (
                &[(1, Writes(3)), (1, Reads)],
                &[],
                Reads,
                Some(2),
                false,
                false,
            ),
            (&[(1, Mixed)], &[], Mixed, Some(2), false, false),
            (&[(1, Reads)], &[Reads], Writes(3), Some(1), false, false),
            (&[(1, Reads)], &[Reads], Reads, Some(1), true, false),
        ] {
            let flight = flight(parcels, local);
            let got = [false, true].map(|s| flight.admits(kind, to, s));
            assert_eq!(
                got,
                [parallel, strict],
                "{parcels:?} {local:?} {kind:?} {to:?}"
            );
        }
    }

    #[test]
    fn replies_come_in_the_order_of_the_commands() {
        let kind = Kind::Reads;
        let mut flight = Flight::default();
        flight.prepare(kind, Protocol::Resp2, false);
        for (i, to) in [1, 0, 1, 1, 2, 0, 0, 2].into_iter().enumerate() {
            let word = i.to_string();
            if to == 0 {
                flight.reply().bulk(word.as_bytes());
                flight.executed(kind);
            } else {
                let parcel = flight.board(kind, to, Box::default);
                parcel.pack().add_bytes(word.as_bytes());
                parcel.end(i);
            }
        }
        let mut parcels: Vec<_> = flight.take_off().collect();
        assert_eq!(parcels.len(), 2);
        parcels.reverse();
        let last = parcels.len() - 1;
        for (i, (from, mut parcel)) in parcels.into_iter().enumerate() {
            for c in 0..parcel.len() {
                let (_, args, reply) = parcel.split(c);
                let word = args.get(0).to_vec();
                reply.bulk(&word);
                parcel.executed();
            }
            assert_eq!(flight.land(from, parcel), i == last);
        }
        let mut reply = Reply::default();
        reply.ok();
        flight.unload(&mut reply, |parcel| assert!(!parcel.is_empty()));
        let want: String = (0..8).map(|i| format!("$1\r\n{i}\r\n")).collect();
        assert_eq!(reply.bytes(), format!("+OK\r\n{want}").as_bytes());
    }
}

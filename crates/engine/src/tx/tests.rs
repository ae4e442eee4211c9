//! How many messages transactions cost, and what leaves no trace. That they are right is shown by
//! the simulator in `tests/sim`.

use super::*;

const KEY: Name = Name(1);

struct Pair {
    engines: [Engine<&'static str>; 2],
    /// Sent by either.
    messages: usize,
    log: Vec<String>,
}

impl Pair {
    fn new() -> Pair {
        Pair {
            engines: [Engine::new(0), Engine::new(1)],
            messages: 0,
            log: Vec::new(),
        }
    }

    fn part(shard: ShardId, mode: Mode) -> Part<&'static str> {
        Part::new(shard, Want::key(KEY, mode), "")
    }

    fn both(mode: Mode) -> Vec<Part<&'static str>> {
        vec![Pair::part(0, mode), Pair::part(1, mode)]
    }

    /// Carries messages and answers everything at once, until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for shard in 0..2 {
                while let Some(action) = self.engines[shard].poll() {
                    idle = false;
                    self.act(shard, action);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn act(&mut self, shard: usize, action: Action<&'static str>) {
        match action {
            Action::Send { to, message } => {
                self.messages += 1;
                self.engines[usize::from(to)].receive(shard as ShardId, message);
            }
            Action::Run {
                tx,
                payload,
                stage,
                time_ms,
                ..
            } => {
                self.log.push(format!("{shard}: {stage:?} at {time_ms}"));
                self.engines[shard].ran_valid_until(tx, payload, time_ms, i64::MAX);
            }
            Action::Combine { tx, .. } => self.engines[shard].combined(tx, vec![(1, "")]),
            Action::Finish { outcome, .. } => self.log.push(format!("{shard}: {outcome:?}")),
            Action::Resume(waiter) => {
                self.log.push(format!("{shard}: resumed"));
                self.engines[shard].passed(waiter);
            }
            other => panic!("nobody expects {other:?}"),
        }
    }

    fn check(&mut self, kind: Kind, parts: Vec<Part<&'static str>>, messages: usize, log: &[&str]) {
        self.messages = 0;
        self.log.clear();
        self.engines[0].begin(kind, parts);
        self.settle();
        assert_eq!(self.messages, messages, "{:?}", self.log);
        assert_eq!(self.log, log);
        for engine in &self.engines {
            assert_eq!(engine.rest(), None);
        }
    }
}

#[test]
fn one_remote_shard_costs_two_messages() {
    let mut pair = Pair::new();
    let log = &["1: Run at 0", "0: Run at 0", "0: Done"];
    pair.check(Kind::Write, Pair::both(Mode::Exclusive), 2, log);
    pair.check(Kind::Read, Pair::both(Mode::Shared), 2, log);
    let remote = vec![Pair::part(1, Mode::Exclusive)];
    pair.check(Kind::Write, remote, 2, &["1: Run at 0", "0: Done"]);
    let own = vec![Pair::part(0, Mode::Exclusive)];
    pair.check(Kind::Write, own, 0, &["0: Run at 0", "0: Done"]);
}

#[test]
fn gathering_costs_a_second_round_where_it_writes() {
    let mut pair = Pair::new();
    let log = &["0: Lend at 0", "1: Lend at 0", "1: Apply at 0", "0: Done"];
    pair.check(Kind::Gather, Pair::both(Mode::Exclusive), 4, log);
}

#[test]
fn all_parts_run_as_of_the_latest_clock() {
    let mut pair = Pair::new();
    pair.engines[1].set_now(7);
    let log = &["1: Run at 7", "0: Run at 7", "0: Done"];
    pair.check(Kind::Write, Pair::both(Mode::Exclusive), 2, log);
    assert_eq!(pair.engines[0].now_ms(), 7);
    pair.engines[0].set_now(5);
    assert_eq!(pair.engines[0].now_ms(), 7);
}

#[test]
fn a_remote_part_that_runs_at_once_takes_no_lock() {
    let mut pair = Pair::new();
    pair.engines[0].begin(Kind::Write, Pair::both(Mode::Exclusive));
    assert!(!pair.engines[0].is_plain());
    let Some(Action::Send { message, .. }) = pair.engines[0].poll() else {
        panic!("the remote part is sent");
    };
    assert!(!message.is_reply());
    pair.engines[1].receive(0, message);
    assert!(pair.engines[1].is_plain());
    pair.settle();
    assert!(pair.engines[0].is_plain());
}

#[test]
fn a_command_of_one_shard_waits_for_its_turn() {
    let mut pair = Pair::new();
    pair.engines[0].begin(Kind::Write, Pair::both(Mode::Exclusive));
    let own = &mut pair.engines[0];
    assert!(!own.may_run(KEY, Mode::Shared));
    assert!(own.may_run(Name(2), Mode::Exclusive));
    assert!(!own.may_run_all(&Want::Whole(Mode::Shared)));
    own.park(Want::key(KEY, Mode::Exclusive));
    let gone = own.park(Want::key(KEY, Mode::Exclusive));
    own.leave(gone);
    pair.settle();
    let log = ["1: Run at 0", "0: Run at 0", "0: Done", "0: resumed"];
    let mut got = pair.log.clone();
    got.sort();
    let mut want = log.to_vec();
    want.sort_unstable();
    assert_eq!(got, want);
    assert_eq!(pair.engines[0].rest(), None);
}

#[test]
fn epochs_follow_messages() {
    let mut pair = Pair::new();
    pair.engines[1].advance(4);
    while pair.engines[1].poll().is_some() {}
    pair.engines[0].begin(Kind::Write, Pair::both(Mode::Exclusive));
    let mut sealed = Vec::new();
    while let Some(action) = pair.engines[0].poll() {
        match action {
            Action::Seal { epoch } => sealed.push(epoch),
            Action::Send { message, .. } => pair.engines[1].receive(0, message),
            Action::Run { tx, epoch, .. } => {
                assert_eq!(epoch, 4);
                assert!(sealed.is_empty(), "its part has not run");
                pair.engines[0].ran(tx, "", 0);
            }
            _ => {}
        }
        while let Some(action) = pair.engines[1].poll() {
            match action {
                Action::Send { message, .. } => pair.engines[0].receive(1, message),
                Action::Run { tx, epoch, .. } => {
                    assert_eq!(epoch, 4);
                    pair.engines[1].ran(tx, "", 0);
                }
                other => panic!("nobody expects {other:?}"),
            }
        }
    }
    assert_eq!(sealed, [3]);
}

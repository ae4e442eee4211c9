//! Real threads with real sleeps: nothing is lost, everything keeps its order, and every sleep ends
//! by one wake-up that was meant for it.

use mesh::{Counters, Limits, Node, connect};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Long after which a run that should take seconds is taken to hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a core sleeps on, in place of the kernel's ring: counts its wake-ups, and hands them out
/// even if they come before the sleep.
#[derive(Default)]
struct Bed {
    wakes: Mutex<u64>,
    woken: Condvar,
}

impl Bed {
    fn wake(&self) {
        *self.wakes.lock().unwrap() += 1;
        self.woken.notify_one();
    }

    /// Sleeps until there is a wake-up, and uses up one. Gives up when the watchdog has.
    fn sleep(&self, hangs: &AtomicBool) {
        let mut wakes = self.wakes.lock().unwrap();
        while *wakes == 0 {
            assert!(!hangs.load(Ordering::Relaxed), "a sleep never ended");
            wakes = self.woken.wait_timeout(wakes, PATIENCE / 100).unwrap().0;
        }
        *wakes -= 1;
    }
}

struct Run {
    cores: usize,
    limits: Limits,
    /// How many of the cores send requests.
    senders: usize,
    /// Requests from each of them to each other core.
    requests: u64,
    /// Requests to be outstanding per pair at once; none get a reply if it is `None`.
    window: Option<u64>,
}

impl Run {
    fn sends(&self, core: usize) -> u64 {
        if core < self.senders {
            self.requests
        } else {
            0
        }
    }

    /// Replies that a core gets from each other one.
    fn answers(&self, core: usize) -> u64 {
        self.window.map_or(0, |_| self.sends(core))
    }
}

/// What a core does: sends numbered requests to all others, answers theirs with the same number, and
/// checks that both come in order.
struct Core {
    node: Node<u64, u64>,
    sent: Vec<u64>,
    answered: Vec<u64>,
    served: Vec<u64>,
}

impl Core {
    fn pass(&mut self, run: &Run, beds: &[Bed]) {
        self.node.begin_drain();
        while let Some((from, number)) = self.node.receive_reply() {
            assert_eq!(number, self.answered[from], "replies of {from}");
            self.answered[from] += 1;
        }
        while let Some((from, number)) = self.node.receive_request() {
            assert_eq!(number, self.served[from], "requests of {from}");
            self.served[from] += 1;
            if run.window.is_some() {
                self.node.send_reply(from, number);
            }
        }
        let me = self.node.core();
        for to in (0..run.cores).filter(|&to| to != me) {
            let outstanding = self.sent[to] - self.answered[to];
            let may_send = run.window.map_or(u64::MAX, |window| window - outstanding);
            let until = run.sends(me).min(self.sent[to].saturating_add(may_send));
            while self.sent[to] < until && !self.node.is_congested(to) {
                self.node.send_request(to, self.sent[to]);
                self.sent[to] += 1;
            }
            assert!(self.node.outbox_len(to) <= run.limits.outbox + 1);
        }
        self.node.flush(|to| beds[to].wake());
    }

    fn is_done(&self, run: &Run) -> bool {
        let me = self.node.core();
        let mut others = (0..run.cores).filter(|&other| other != me);
        let done = others.all(|other| {
            self.sent[other] == run.sends(me)
                && self.answered[other] == run.answers(me)
                && self.served[other] == run.sends(other)
        });
        done && !self.node.has_pending()
    }
}

/// Lets the cores talk until everything is answered.
fn check(run: Run) {
    let run = Arc::new(run);
    let beds: Arc<Vec<Bed>> = Arc::new((0..run.cores).map(|_| Bed::default()).collect());
    let hangs = Arc::new(AtomicBool::new(false));
    let stray = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = connect(run.cores, run.limits)
        .into_iter()
        .map(|node| {
            let (run, beds) = (run.clone(), beds.clone());
            let (hangs, stray) = (hangs.clone(), stray.clone());
            thread::spawn(move || {
                let mut core = Core {
                    node,
                    sent: vec![0; run.cores],
                    answered: vec![0; run.cores],
                    served: vec![0; run.cores],
                };
                let me = core.node.core();
                loop {
                    core.pass(&run, &beds);
                    if core.is_done(&run) {
                        return core.node;
                    }
                    assert!(!hangs.load(Ordering::Relaxed), "core {me} never finished");
                    if core.node.prepare_sleep() {
                        beds[me].sleep(&hangs);
                        // A wake-up for an announcement that was taken back comes late, and may end
                        // a later sleep.
                        if !core.node.woke() {
                            stray.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        })
        .collect();
    let finished = Arc::new((Mutex::new(false), Condvar::new()));
    let watchdog = {
        let (hangs, finished) = (hangs.clone(), finished.clone());
        thread::spawn(move || {
            let guard = finished.0.lock().unwrap();
            let wait = finished
                .1
                .wait_timeout_while(guard, PATIENCE, |done| !*done);
            if wait.unwrap().1.timed_out() {
                hangs.store(true, Ordering::Relaxed);
            }
        })
    };
    let nodes: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    *finished.0.lock().unwrap() = true;
    finished.1.notify_one();
    watchdog.join().unwrap();
    account(&run, &nodes, &beds, stray.load(Ordering::Relaxed));
}

/// Every wake-up was for one announcement of one sleeper, and no announcement got two.
fn account(run: &Run, nodes: &[Node<u64, u64>], beds: &[Bed], stray: u64) {
    let counters: Vec<Counters> = nodes.iter().map(Node::counters).collect();
    let sum = |f: fn(&Counters) -> u64| counters.iter().map(f).sum::<u64>();
    let (sleeps, wakes, late) = (sum(|c| c.sleeps), sum(|c| c.wakes), sum(|c| c.late_wakes));
    let unused: u64 = beds.iter().map(|bed| *bed.wakes.lock().unwrap()).sum();
    println!("{sleeps} sleeps, {wakes} wake-ups, {late} of them late");
    assert_eq!(wakes, sleeps - stray + late);
    assert_eq!(late, stray + unused);
    let pairs = (run.senders * (run.cores - 1)) as u64;
    assert_eq!(sum(|c| c.requests_sent), run.requests * pairs);
    assert_eq!(sum(|c| c.replies_sent), run.answers(0) * pairs);
}

#[test]
fn two_cores_one_request_at_a_time() {
    check(Run {
        cores: 2,
        senders: 2,
        limits: Limits { ring: 8, outbox: 8 },
        requests: 20_000,
        window: Some(1),
    });
}

#[test]
fn two_cores_in_batches() {
    check(Run {
        cores: 2,
        senders: 2,
        limits: Limits {
            ring: 64,
            outbox: 64,
        },
        requests: 100_000,
        window: Some(100),
    });
}

/// Everything waits for room nearly all the time.
#[test]
fn five_cores_with_hardly_any_room() {
    check(Run {
        cores: 5,
        senders: 5,
        limits: Limits { ring: 2, outbox: 1 },
        requests: 5_000,
        window: Some(40),
    });
}

/// The sender hears of nothing but room.
#[test]
fn one_core_sends_and_gets_no_replies() {
    check(Run {
        cores: 2,
        senders: 1,
        limits: Limits { ring: 4, outbox: 4 },
        requests: 100_000,
        window: None,
    });
}

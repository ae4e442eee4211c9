//! Small cases in all interleavings, with all values that the memory model lets a load return.
//!
//! The last tests plant a fault and pass only if the checker finds it: they show that the others
//! could fail.

use crate::bell::Bell;
use crate::node::{Limits, Node, connect};
use crate::ring::{Consumer, ring};
use crate::sync::weakened::{Weak, plant};
use crate::sync::{Side, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// Stands in for an eventfd: remembers a wake-up that comes before the sleep.
#[derive(Default)]
struct Eventfd {
    count: Mutex<u32>,
    rung: Condvar,
}

impl Eventfd {
    fn ring(&self) {
        *self.count.lock().unwrap() += 1;
        self.rung.notify_one();
    }

    fn sleep(&self) {
        let mut count = self.count.lock().unwrap();
        while *count == 0 {
            count = self.rung.wait(count).unwrap();
        }
        *count = 0;
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    check_up_to(None, model);
}

/// With at most so many switches away from a thread that could go on.
fn check_up_to(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

fn drain<T>(consumer: &mut Consumer<T>, to: &mut Vec<T>) {
    consumer.look();
    while let Some(message) = consumer.pop() {
        to.push(message);
    }
    consumer.release();
}

/// Four messages through a ring for two, which is full now and then: those that found room arrive,
/// in order, and no slot is used by both sides at once.
fn ring_model() {
    let (mut producer, mut consumer) = ring(2);
    let sender = thread::spawn(move || {
        let mut sent = Vec::new();
        for i in 0..4 {
            if producer.push(Box::new(i)).is_ok() {
                sent.push(i);
            }
            if i != 1 {
                producer.publish();
            }
        }
        sent
    });
    let mut got = Vec::new();
    drain(&mut consumer, &mut got);
    drain(&mut consumer, &mut got);
    let sent = sender.join().unwrap();
    drain(&mut consumer, &mut got);
    assert_eq!(got.into_iter().map(|i| *i).collect::<Vec<_>>(), sent);
}

#[test]
fn loom_ring() {
    check(ring_model);
}

#[test]
fn loom_drop_with_messages_inside() {
    check(|| {
        let message = std::sync::Arc::new(());
        let (mut producer, mut consumer) = ring(2);
        let clone = message.clone();
        let sender = thread::spawn(move || {
            for _ in 0..3 {
                let _ = producer.push((clone.clone(), loom::alloc::Track::new(())));
                producer.publish();
            }
            let _ = producer.push((clone, loom::alloc::Track::new(())));
        });
        consumer.look();
        consumer.pop();
        drop(consumer);
        sender.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&message), 1);
    });
}

/// Two cores have something for a third, which wants to sleep.
fn bell_model() {
    let bell = Arc::new(Bell::default());
    let (senders, consumers): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (mut producer, consumer) = ring(2);
            let bell = bell.clone();
            let sender = thread::spawn(move || {
                assert!(producer.push(()).is_ok());
                producer.publish();
                fence(Side::Busy);
                bell.ring()
            });
            (sender, consumer)
        })
        .unzip();
    bell.prepare_sleep();
    let sleeps = consumers.iter().all(Consumer::is_empty);
    // A sleeper that sees something after all gets up by itself.
    let was_rung = !sleeps && bell.wake_up();
    let rings = senders.into_iter().map(|sender| sender.join().unwrap());
    let rings = rings.filter(|&rung| rung).count();
    assert!(rings <= 1, "needless: two were told to wake one sleeper");
    if sleeps {
        assert_eq!(rings, 1, "lost: it sleeps, and nobody was told to wake it");
        assert!(bell.wake_up());
    } else {
        assert!(rings == 1 || !was_rung);
    }
}

#[test]
fn loom_bell() {
    check(bell_model);
}

/// What a core does between two sleeps: returns the requests that it received.
fn pass(node: &mut Node<u32, ()>, eventfds: &[Arc<Eventfd>]) -> Vec<(usize, u32)> {
    node.begin_drain();
    let got = std::iter::from_fn(|| node.receive_request()).collect();
    node.flush(|core| eventfds[core].ring());
    got
}

fn eventfds(n: usize) -> Vec<Arc<Eventfd>> {
    (0..n).map(|_| Arc::default()).collect()
}

/// A core that sleeps for want of room, while another makes some.
fn room_model() {
    let limits = Limits { ring: 1, outbox: 0 };
    let mut nodes = connect::<u32, ()>(2, limits).into_iter();
    let (mut sender, mut receiver) = (nodes.next().unwrap(), nodes.next().unwrap());
    sender.send_request(1, 1);
    sender.send_request(1, 2);
    sender.flush(|_| ());
    let receiving = thread::spawn(move || {
        receiver.begin_drain();
        assert_eq!(receiver.receive_request(), Some((0, 1)));
        let mut rings = 0;
        receiver.flush(|_| rings += 1);
        rings
    });
    let sleeps = sender.prepare_sleep();
    let rings = receiving.join().unwrap();
    if sleeps {
        assert_eq!(rings, 1, "lost: it sleeps for room that there is");
        assert!(sender.woke());
    }
    sender.flush(|_| ());
    assert_eq!(sender.outbox_len(1), 0);
}

#[test]
fn loom_room() {
    check(room_model);
}

/// A core with more to send than there is room for, and one that receives; both sleep whenever they
/// may. If a wake-up were lost, by message or by room, the checker would report that nobody can go on.
#[test]
fn loom_full_ring() {
    check_up_to(Some(3), || {
        let limits = Limits { ring: 1, outbox: 0 };
        let mut nodes = connect::<u32, ()>(2, limits).into_iter();
        let eventfds = eventfds(2);
        let (mut sender, mut receiver) = (nodes.next().unwrap(), nodes.next().unwrap());
        let theirs = eventfds.clone();
        let sending = thread::spawn(move || {
            sender.send_request(1, 1);
            sender.send_request(1, 2);
            loop {
                pass(&mut sender, &theirs);
                if sender.outbox_len(1) == 0 {
                    return;
                }
                if sender.prepare_sleep() {
                    theirs[0].sleep();
                    sender.woke();
                }
            }
        });
        let mut got = Vec::new();
        loop {
            got.extend(pass(&mut receiver, &eventfds));
            if got.len() == 2 {
                break;
            }
            if receiver.prepare_sleep() {
                eventfds[1].sleep();
                receiver.woke();
            }
        }
        sending.join().unwrap();
        assert_eq!(got, [(0, 1), (0, 2)]);
    });
}

#[test]
fn loom_two_senders_and_a_sleeper() {
    check_up_to(Some(3), || {
        let limits = Limits { ring: 1, outbox: 0 };
        let mut nodes = connect::<u32, ()>(3, limits);
        let eventfds = eventfds(3);
        let mut receiver = nodes.remove(0);
        let senders: Vec<_> = nodes
            .into_iter()
            .map(|mut node| {
                let eventfds = eventfds.clone();
                thread::spawn(move || {
                    node.send_request(0, node.core() as u32);
                    node.flush(|core| eventfds[core].ring());
                })
            })
            .collect();
        let mut got = Vec::new();
        while got.len() < 2 {
            if receiver.prepare_sleep() {
                eventfds[0].sleep();
                receiver.woke();
            }
            got.extend(pass(&mut receiver, &eventfds));
        }
        for sender in senders {
            sender.join().unwrap();
        }
        got.sort();
        assert_eq!(got, [(1, 1), (2, 2)]);
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn loom_finds_a_tail_that_publishes_nothing() {
    plant(Weak::Publish);
    check(ring_model);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn loom_finds_a_head_that_releases_nothing() {
    plant(Weak::Release);
    check(ring_model);
}

#[test]
#[should_panic(expected = "lost: it sleeps")]
fn loom_finds_a_publisher_without_fence() {
    plant(Weak::Fence(Side::Busy));
    check(bell_model);
}

#[test]
#[should_panic(expected = "lost: it sleeps")]
fn loom_finds_a_sleeper_without_fence() {
    plant(Weak::Fence(Side::Sleepy));
    check(bell_model);
}

#[test]
#[should_panic(expected = "lost: it sleeps for room")]
fn loom_finds_room_that_is_made_without_fence() {
    plant(Weak::Fence(Side::Busy));
    check(room_model);
}

#[test]
#[should_panic(expected = "lost: it sleeps for room")]
fn loom_finds_room_that_is_awaited_without_fence() {
    plant(Weak::Fence(Side::Sleepy));
    check(room_model);
}

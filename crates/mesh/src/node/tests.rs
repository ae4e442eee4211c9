use super::*;

const LIMITS: Limits = Limits { ring: 4, outbox: 2 };

type Pair = Vec<Node<u32, u32>>;

/// The cores that a flush wakes.
fn flush(node: &mut Node<u32, u32>) -> Vec<usize> {
    let mut woken = Vec::new();
    node.flush(|core| woken.push(core));
    woken
}

fn requests(node: &mut Node<u32, u32>) -> Vec<(usize, u32)> {
    node.begin_drain();
    std::iter::from_fn(|| node.receive_request()).collect()
}

fn replies(node: &mut Node<u32, u32>) -> Vec<(usize, u32)> {
    node.begin_drain();
    std::iter::from_fn(|| node.receive_reply()).collect()
}

#[test]
fn a_node_crosses_threads() {
    fn assert_send<T: Send>(_: &T) {}
    assert_send(&connect::<Vec<u8>, String>(2, LIMITS));
}

#[test]
fn every_core_reaches_every_other() {
    for cores in 1..=5 {
        let mut nodes: Pair = connect(cores, LIMITS);
        for (me, node) in nodes.iter_mut().enumerate() {
            assert_eq!(node.cores(), cores);
            for to in (0..cores).filter(|&to| to != me) {
                node.send_request(to, (me * 10 + to) as u32);
                node.send_reply(to, (me * 10 + to + 100) as u32);
            }
            assert_eq!(flush(node), []);
        }
        for (me, node) in nodes.iter_mut().enumerate() {
            let others = (0..cores).filter(|&from| from != me);
            assert_eq!(node.core(), me);
            let mut got = replies(node);
            got.sort();
            let expected = others
                .clone()
                .map(|from| (from, (from * 10 + me + 100) as u32));
            assert_eq!(got, expected.collect::<Vec<_>>());
            let mut got: Vec<_> = std::iter::from_fn(|| node.receive_request()).collect();
            got.sort();
            let expected = others.map(|from| (from, (from * 10 + me) as u32));
            assert_eq!(got, expected.collect::<Vec<_>>());
            flush(node);
            assert!(!node.has_pending());
            assert_eq!(node.counters().requests_sent, cores as u64 - 1);
            assert_eq!(node.counters().replies_sent, cores as u64 - 1);
        }
    }
}

#[test]
#[should_panic(expected = "a core sends nothing to itself")]
fn a_core_is_no_peer_of_its_own() {
    let mut nodes: Pair = connect(2, LIMITS);
    nodes[1].send_request(1, 7);
}

#[test]
fn nothing_is_seen_before_the_flush() {
    let mut nodes: Pair = connect(2, LIMITS);
    nodes[0].send_request(1, 1);
    assert!(nodes[0].has_pending());
    assert!(!nodes[1].peek_inbound());
    assert_eq!(requests(&mut nodes[1]), []);
    flush(&mut nodes[0]);
    assert!(!nodes[0].has_pending());
    assert!(nodes[1].peek_inbound() && nodes[1].has_pending());
    assert_eq!(requests(&mut nodes[1]), [(0, 1)]);
    assert!(!nodes[1].peek_inbound());
}

#[test]
fn a_drain_ends_with_what_was_there_when_it_began() {
    let mut nodes: Pair = connect(2, LIMITS);
    nodes[0].send_request(1, 1);
    flush(&mut nodes[0]);
    nodes[1].begin_drain();
    nodes[0].send_request(1, 2);
    flush(&mut nodes[0]);
    assert_eq!(nodes[1].receive_request(), Some((0, 1)));
    assert_eq!(nodes[1].receive_request(), None);
    assert_eq!(requests(&mut nodes[1]), [(0, 2)]);
}

#[test]
fn a_drain_may_stop_anywhere() {
    let mut nodes: Pair = connect(3, LIMITS);
    for from in [0, 1] {
        for i in 0..2 {
            nodes[from].send_request(2, i);
        }
        flush(&mut nodes[from]);
    }
    nodes[2].begin_drain();
    assert_eq!(nodes[2].receive_request(), Some((0, 0)));
    flush(&mut nodes[2]);
    assert_eq!(nodes[2].receive_request(), Some((0, 1)));
    assert!(!nodes[2].prepare_sleep());
    assert_eq!(requests(&mut nodes[2]), [(1, 0), (1, 1)]);
    flush(&mut nodes[2]);
    assert!(nodes[2].prepare_sleep());
}

#[test]
fn each_drain_begins_with_another_core() {
    let mut nodes: Pair = connect(4, LIMITS);
    let mut firsts = Vec::new();
    for i in 0..6 {
        for node in &mut nodes[..3] {
            node.send_request(3, i);
            flush(node);
        }
        firsts.push(requests(&mut nodes[3])[0].0);
        flush(&mut nodes[3]);
    }
    assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn what_finds_no_room_waits_in_order() {
    let mut nodes: Pair = connect(2, LIMITS);
    for i in 0..11 {
        nodes[0].send_request(1, i);
        assert_eq!(nodes[0].is_congested(1), i >= 6);
    }
    assert_eq!(nodes[0].outbox_len(1), 7);
    // The other lane has room.
    nodes[0].send_reply(1, 100);
    let mut got = Vec::new();
    for _ in 0..4 {
        flush(&mut nodes[0]);
        nodes[1].begin_drain();
        got.extend(std::iter::from_fn(|| nodes[1].receive_reply()));
        got.extend(std::iter::from_fn(|| nodes[1].receive_request()));
    }
    let expected = std::iter::once((0, 100)).chain((0..11).map(|i| (0, i)));
    assert_eq!(got, expected.collect::<Vec<_>>());
    assert_eq!(nodes[0].outbox_len(1), 0);
    assert!(!nodes[0].has_pending());
}

#[test]
fn only_a_sleeper_is_woken_and_only_once() {
    let mut nodes: Pair = connect(3, LIMITS);
    nodes[0].send_request(2, 1);
    assert_eq!(flush(&mut nodes[0]), []);
    assert!(!nodes[2].prepare_sleep());
    assert_eq!(requests(&mut nodes[2]), [(0, 1)]);
    assert!(!nodes[2].prepare_sleep(), "room was made and nobody told");
    assert_eq!(flush(&mut nodes[2]), []);
    assert!(nodes[2].prepare_sleep());
    nodes[0].send_request(2, 2);
    nodes[0].send_reply(2, 2);
    assert!(!nodes[0].prepare_sleep(), "something is unflushed");
    assert_eq!(flush(&mut nodes[0]), [2]);
    nodes[1].send_request(2, 3);
    assert_eq!(flush(&mut nodes[1]), []);
    assert!(nodes[2].woke());
    assert!(!nodes[2].prepare_sleep());
    assert_eq!(requests(&mut nodes[2]), [(1, 3), (0, 2)]);
    assert_eq!(nodes[2].receive_reply(), Some((0, 2)));
    flush(&mut nodes[2]);
    assert!(nodes[2].prepare_sleep());
    assert!(!nodes[2].woke(), "something else ended this sleep");
    assert_eq!(nodes[0].counters().wakes, 1);
    assert_eq!(nodes[1].counters().wakes, 0);
    assert_eq!(nodes[2].counters().sleeps, 2);
}

#[test]
fn room_wakes_whoever_sleeps_for_it() {
    let mut nodes: Pair = connect(2, LIMITS);
    for i in 0..5 {
        nodes[0].send_request(1, i);
    }
    flush(&mut nodes[0]);
    assert_eq!(nodes[0].outbox_len(1), 1);
    assert!(nodes[0].prepare_sleep());
    nodes[1].begin_drain();
    assert_eq!(nodes[1].receive_request(), Some((0, 0)));
    assert_eq!(flush(&mut nodes[1]), [0]);
    assert!(nodes[0].woke());
    assert!(!nodes[0].prepare_sleep(), "there is room by now");
    flush(&mut nodes[0]);
    assert_eq!(nodes[0].outbox_len(1), 0);
    // A full ring with nothing behind it is no reason to wake anybody.
    assert!(nodes[0].prepare_sleep());
    assert_eq!(requests(&mut nodes[1]).len(), 4);
    assert_eq!(flush(&mut nodes[1]), []);
}

//! The table, request by request: who is granted when.

use super::Mode::{Exclusive, Shared};
use super::*;

/// Locks, and who was granted, in order.
struct Table {
    locks: Locks<char>,
    tickets: HashMap<char, Ticket>,
}

impl Table {
    fn new() -> Table {
        Table {
            locks: Locks::new(),
            tickets: HashMap::new(),
        }
    }

    fn granted(&mut self) -> String {
        let mut text = String::new();
        while let Some(granted) = self.locks.next_granted() {
            text.push(match granted {
                Granted::Request(_, owner) => owner,
                Granted::Pressing(owner) => owner.to_ascii_uppercase(),
            });
        }
        text
    }

    fn queue(&mut self, owner: char, want: Want, granted: &str) {
        let ticket = self.locks.queue(owner, want);
        self.tickets.insert(owner, ticket);
        assert_eq!(self.granted(), granted, "after {owner} came");
    }

    fn release(&mut self, owner: char, granted: &str) {
        let ticket = self.tickets.remove(&owner).expect("it came");
        self.locks.release(ticket);
        assert_eq!(self.granted(), granted, "after {owner} left");
        assert_eq!(self.locks.is_empty(), self.locks.is_idle());
    }
}

fn keys(names: &[u64], mode: Mode) -> Want {
    Want::Keys(names.iter().map(|name| (Name(*name), mode)).collect())
}

#[test]
fn names_are_granted_first_come_first_served() {
    let mut table = Table::new();
    table.queue('a', keys(&[1], Shared), "a");
    table.queue('b', keys(&[1], Shared), "b");
    table.queue('c', keys(&[1], Exclusive), "");
    table.queue('d', keys(&[1], Shared), "");
    table.queue('e', keys(&[1], Shared), "");
    assert!(!table.locks.is_free(&keys(&[1], Shared)));
    assert!(table.locks.is_free(&keys(&[2], Exclusive)));
    table.release('a', "");
    table.release('b', "c");
    table.release('c', "de");
    table.release('e', "");
    table.release('d', "");
    assert!(table.locks.is_empty());
}

#[test]
fn a_request_gets_its_names_at_once() {
    let mut table = Table::new();
    table.queue('a', keys(&[1], Exclusive), "a");
    table.queue('b', keys(&[2], Exclusive), "b");
    table.queue('c', keys(&[1, 2], Exclusive), "");
    table.queue('d', keys(&[2, 3], Exclusive), "");
    table.release('b', "");
    table.release('a', "c");
    table.release('c', "d");
    table.release('d', "");
}

#[test]
fn who_gives_up_lets_others_by() {
    let mut table = Table::new();
    table.queue('a', keys(&[1], Shared), "a");
    table.queue('b', keys(&[1, 2], Exclusive), "");
    table.queue('c', keys(&[1], Shared), "");
    table.queue('d', keys(&[2], Exclusive), "");
    table.release('b', "cd");
    table.release('a', "");
    table.release('c', "");
    table.release('d', "");
}

#[test]
fn the_whole_shard_and_names_see_each_other() {
    let mut table = Table::new();
    table.queue('a', keys(&[1], Shared), "a");
    table.queue('b', Want::Whole(Shared), "b");
    table.queue('c', keys(&[2], Exclusive), "");
    table.queue('d', keys(&[3], Shared), "");
    table.queue('e', Want::Whole(Exclusive), "");
    table.queue('f', keys(&[4], Shared), "");
    table.release('b', "cd");
    table.release('a', "");
    table.release('d', "");
    table.release('c', "e");
    assert!(!table.locks.is_free_key(Name(9), Shared));
    table.release('e', "f");
    table.release('f', "");
}

#[test]
fn the_next_in_line_is_ahead_of_who_waits() {
    let mut table = Table::new();
    table.queue('a', keys(&[1], Exclusive), "a");
    table.queue('b', keys(&[1], Exclusive), "");
    let next = table.locks.queue_first('n', Name(1));
    table.tickets.insert('n', next);
    assert_eq!(table.granted(), "");
    table.release('a', "n");
    table.release('n', "b");
    table.release('b', "");
    // One that is eligible for this name, but waits for another, is passed too.
    table.queue('a', keys(&[2], Exclusive), "a");
    table.queue('b', keys(&[1, 2], Exclusive), "");
    let next = table.locks.queue_first('n', Name(1));
    table.tickets.insert('n', next);
    assert_eq!(table.granted(), "n");
    table.release('a', "");
    table.release('n', "b");
    table.release('b', "");
}

#[test]
fn who_presses_waits_only_for_who_is_granted() {
    let mut table = Table::new();
    table.queue('a', keys(&[1], Exclusive), "a");
    table.queue('b', keys(&[1, 2], Exclusive), "");
    table.queue('c', keys(&[3], Shared), "c");
    table.locks.press('p', keys(&[2], Exclusive));
    assert_eq!(table.granted(), "P");
    table.locks.press('p', keys(&[1], Shared));
    assert_eq!(table.granted(), "");
    assert_eq!(table.locks.in_its_way().collect::<String>(), "a");
    assert!(!table.locks.is_free_key(Name(1), Exclusive));
    assert!(table.locks.is_free_key(Name(3), Shared));
    table.release('a', "P");
    assert_eq!(table.locks.in_its_way().count(), 0);
    table.locks.release_pressing();
    assert_eq!(table.granted(), "b");
    table.release('b', "");
    table.release('c', "");
}

#[test]
fn growth_never_waits() {
    let mut table = Table::new();
    table.queue('a', keys(&[1], Shared), "a");
    table.queue('b', keys(&[2], Exclusive), "b");
    let (a, b) = (table.tickets[&'a'], table.tickets[&'b']);
    assert!(table.locks.grow(a, &keys(&[1, 3], Exclusive)));
    assert!(!table.locks.grow(a, &keys(&[4, 2], Shared)));
    assert!(table.locks.grow(b, &keys(&[4], Shared)));
    assert!(!table.locks.grow(b, &Want::Whole(Shared)));
    table.queue('c', keys(&[3], Shared), "");
    assert!(!table.locks.grow(b, &keys(&[3], Shared)));
    table.release('a', "c");
    table.release('c', "");
    assert!(table.locks.grow(b, &Want::Whole(Shared)));
    table.queue('d', keys(&[9], Shared), "");
    table.release('b', "d");
    table.release('d', "");
}

#[test]
fn of_equal_names_the_stronger_mode_counts() {
    let mut want = Want::Keys(vec![
        (Name(5), Shared),
        (Name(1), Shared),
        (Name(5), Exclusive),
        (Name(1), Shared),
    ]);
    want.normalise();
    let names = vec![(Name(1), Shared), (Name(5), Exclusive)];
    assert_eq!(want, Want::Keys(names));
    assert!(want.covers(&keys(&[1], Shared)) && want.covers(&keys(&[5], Shared)));
    assert!(!want.covers(&keys(&[1], Exclusive)));
    assert!(want.conflicts(&Want::Whole(Shared)));
    want.join(Want::Whole(Shared));
    assert_eq!(want, Want::Whole(Exclusive));
}

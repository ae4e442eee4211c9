//! What has happened to keys, for those who subscribe to it: keyspace notifications.
//!
//! A command says which event it is and of which class; only events of the classes that somebody wants
//! are kept. The host takes them after every command and publishes them. While nobody wants any, an
//! event costs a test of a field. What the keyspace does by itself is said here: keys that are new, that
//! expire, that are missed by readers, and collections that go with their last element.

use crate::shard::Shard;

/// Classes of events, or several of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class(u16);

impl Class {
    pub const NONE: Class = Class(0);
    pub const GENERIC: Class = Class(1 << 0);
    pub const STRING: Class = Class(1 << 1);
    pub const LIST: Class = Class(1 << 2);
    pub const SET: Class = Class(1 << 3);
    pub const HASH: Class = Class(1 << 4);
    pub const ZSET: Class = Class(1 << 5);
    pub const EXPIRED: Class = Class(1 << 6);
    pub const EVICTED: Class = Class(1 << 7);
    pub const STREAM: Class = Class(1 << 8);
    /// Events of modules.
    pub const MODULE: Class = Class(1 << 9);
    pub const NEW: Class = Class(1 << 10);
    /// A reader found nothing.
    pub const MISS: Class = Class(1 << 11);

    pub const fn or(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }

    #[inline]
    pub fn meets(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }
}

/// Something that has happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// As subscribers read it.
    pub name: &'static str,
    pub db: usize,
    pub key: Box<[u8]>,
}

impl Shard {
    /// Keeps events of these classes from now on.
    pub fn want_events(&mut self, classes: Class) {
        self.wanted = classes;
    }

    pub fn wanted_events(&self) -> Class {
        self.wanted
    }

    /// Says that something has happened to a key.
    #[inline]
    pub fn notify(&mut self, class: Class, name: &'static str, db: usize, key: &[u8]) {
        if self.wanted.meets(class) {
            self.keep(name, db, key);
        }
    }

    /// Says that a key has lost something, and that it has gone with it if it has.
    #[inline]
    pub fn notify_loss(
        &mut self,
        class: Class,
        name: &'static str,
        db: usize,
        key: &[u8],
        gone: bool,
    ) {
        self.notify(class, name, db, key);
        if gone {
            self.notify(Class::GENERIC, "del", db, key);
        }
    }

    #[cold]
    #[inline(never)]
    fn keep(&mut self, name: &'static str, db: usize, key: &[u8]) {
        self.events.push(Event {
            name,
            db,
            key: key.into(),
        });
    }

    /// What has happened since it was asked last, into an empty vector.
    pub fn take_events(&mut self, into: &mut Vec<Event>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut self.events, into);
    }

    /// Whether there is something to take: events, or entries of the log of changes.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.has_events() || self.has_logged()
    }

    #[inline]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::NewValue;
    use crate::hash::Hash;
    use crate::list::{End, List};
    use crate::shard::{Expiry, Look};
    use crate::value::Limits;

    const ALL: Class = Class::GENERIC
        .or(Class::LIST)
        .or(Class::HASH)
        .or(Class::EXPIRED)
        .or(Class::NEW)
        .or(Class::MISS);

    fn shard(classes: Class) -> Shard {
        let mut shard = Shard::new(2, [1, 2, 3, 4]);
        shard.set_now(1000);
        shard.want_events(classes);
        shard
    }

    fn names(shard: &mut Shard) -> Vec<&'static str> {
        let mut events = Vec::new();
        shard.take_events(&mut events);
        events.iter().map(|event| event.name).collect()
    }

    fn push_and_pop(shard: &mut Shard, name: &[u8]) {
        let key = shard.key(name);
        let mut list = shard.create::<List>(0, key).expect("a list");
        list.push(End::Tail, b"x");
        list.close_as(true, Class::LIST, "rpush");
        let list = shard.open::<List>(0, key).expect("a list");
        let mut list = list.expect("it is there");
        list.pop(End::Tail, |_| ());
        list.close_as(true, Class::LIST, "rpop");
    }

    #[test]
    fn only_wanted_classes_are_kept() {
        let mut all = shard(ALL);
        push_and_pop(&mut all, b"k");
        assert_eq!(names(&mut all), ["new", "rpush", "rpop", "del"]);
        let mut some = shard(Class::LIST);
        push_and_pop(&mut some, b"k");
        assert_eq!(names(&mut some), ["rpush", "rpop"]);
        let mut none = shard(Class::NONE);
        push_and_pop(&mut none, b"k");
        assert!(!none.has_events());
    }

    #[test]
    fn a_key_that_expires_says_so_before_it_is_missed() {
        let mut shard = shard(ALL);
        let key = shard.key(b"k");
        shard.set(1, key, NewValue::Int(1), None, Expiry::At(1500));
        shard.set_now(1501);
        shard.look(1, key, Look::Use);
        shard.look(1, key, Look::Touch);
        let mut events = Vec::new();
        shard.take_events(&mut events);
        let event = |name| Event {
            name,
            db: 1,
            key: (*b"k").into(),
        };
        let all = ["new", "expired", "keymiss"].map(event);
        assert_eq!(events, all);
    }

    #[test]
    fn fields_that_expire_say_so_and_the_last_one_takes_the_key() {
        let mut shard = shard(ALL);
        let key = shard.key(b"k");
        let mut open = shard.create::<Hash>(0, key).expect("a hash");
        for (field, at) in [(b"a", 1500), (b"b", 1700)] {
            open.set(field, b"v", Expiry::At(at), 0, &Limits::DEFAULT);
        }
        open.close(true);
        assert_eq!(names(&mut shard), ["new"]);
        shard.set_now(1600);
        shard.sweep_fields_step(0, 100, |_| true);
        assert_eq!(names(&mut shard), ["hexpired"]);
        shard.set_now(1800);
        shard.sweep_fields_step(0, 100, |_| true);
        assert_eq!(names(&mut shard), ["hexpired", "del"]);
    }

    #[test]
    fn values_that_come_home_are_not_new() {
        let (mut here, mut desk) = (shard(ALL), shard(ALL));
        let key = here.key(b"k");
        here.set(0, key, NewValue::Int(1), None, Expiry::Clear);
        assert_eq!(names(&mut here), ["new"]);
        let loan = here.lend(0, key);
        desk.accept(0, key, loan.as_ref());
        let back = desk.lend(0, key);
        here.accept(0, key, back.as_ref());
        assert!(!here.has_events() && !desk.has_events());
        // What had expired there says so still.
        here.set_expiry(0, key, Some(1500));
        here.set_now(1501);
        here.accept(0, key, back.as_ref());
        assert_eq!(names(&mut here), ["expired"]);
    }
}

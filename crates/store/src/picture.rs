//! A key with its value as they are at one moment, which stay so whatever becomes of the key, and can be read
//! on another thread. That costs next to nothing: the value shares with it what does not change.

use crate::access::Stamp;
use crate::entry::{Blob, Str};
use crate::shard::Item;
use crate::value::Value;

/// Bytes from which a value is [large](Item::is_large): writing it would hold up its shard.
const LARGE: usize = 64 << 10;

/// See the module.
pub struct Picture {
    pub key: Box<[u8]>,
    /// Unix time in milliseconds.
    pub expiry: Option<i64>,
    /// How the key was used, and how that is to be read.
    pub access: u32,
    pub stamp: Stamp,
    pub value: Pictured,
}

pub enum Pictured {
    Text(Blob),
    Collection(Value),
}

impl Item<'_> {
    /// Whether the value is so large that it is better written elsewhere.
    pub fn is_large(&self) -> bool {
        match (self.value(), self.str()) {
            (Some(value), _) => value.memory() >= LARGE,
            (None, Ok(Str::Blob(blob))) => blob.bytes().len() >= LARGE,
            (None, _) => false,
        }
    }

    /// A picture of a key whose value is large; `None` if it is a short string.
    pub fn picture(&self, stamp: Stamp) -> Option<Picture> {
        let value = match (self.value(), self.str()) {
            (Some(value), _) => Pictured::Collection(value.clone()),
            (None, Ok(Str::Blob(blob))) => Pictured::Text(blob.share()),
            (None, _) => return None,
        };
        Some(Picture {
            key: self.key().into(),
            expiry: self.expiry(),
            access: self.access(),
            stamp,
            value,
        })
    }
}

impl Picture {
    pub fn memory(&self) -> usize {
        match &self.value {
            Pictured::Text(blob) => blob.len(),
            Pictured::Collection(value) => value.memory(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Mode, Stamp};
    use crate::entry::NewValue;
    use crate::hash::Hash;
    use crate::list::{End, List};
    use crate::random::Random;
    use crate::set::Set;
    use crate::shard::{Expiry, Look, Shard};
    use crate::stream::{Id, NewId, References, Stream};
    use crate::value::{Collection, Limits};
    use crate::zset::{Direction, Zset};

    const KEYS: [&[u8]; 6] = [b"text", b"list", b"set", b"hash", b"zset", b"stream"];

    /// All that a value has, as text.
    fn shown(value: &Value) -> Vec<String> {
        match value {
            Value::List(list) => {
                let mut all = Vec::new();
                list.walk(End::Head, 0, list.len(), |element| {
                    all.push(format!("{:?}", element.text()));
                    true
                });
                all
            }
            Value::Set(set) => set.iter().map(|m| format!("{:?}", m.text())).collect(),
            Value::Hash(hash) => {
                let fields = hash.fields();
                let shown =
                    fields.map(|(f, v, at)| format!("{:?} {:?} {at:?}", f.text(), v.text()));
                shown.collect()
            }
            Value::Zset(zset) => {
                let all = zset.range(0, usize::MAX, Direction::Up);
                all.map(|(m, s)| format!("{:?} {s}", m.text())).collect()
            }
            Value::Stream(stream) => {
                let entries = stream.log().range(Id::MIN, Id::MAX);
                entries
                    .map(|e| format!("{:?} {}", e.id, e.fields.len()))
                    .collect()
            }
        }
    }

    fn of(picture: &Picture) -> Vec<String> {
        match &picture.value {
            Pictured::Text(blob) => vec![format!("{:?}", blob)],
            Pictured::Collection(value) => shown(value),
        }
    }

    fn word(random: &mut Random) -> Vec<u8> {
        let n = random.below(4000);
        // Some are long.
        let tail = if n.is_multiple_of(10) { n } else { 3 };
        [n.to_string().into_bytes(), vec![b'x'; tail]].concat()
    }

    fn change(shard: &mut Shard, random: &mut Random, limits: &Limits) {
        let [text, list, set, hash, zset, stream] = KEYS.map(|name| shard.key(name));
        let (a, b) = (word(random), word(random));
        let grows = random.below(3) > 0;
        let end = [End::Head, End::Tail][random.below(2)];
        match random.below(6) {
            0 => {
                let long = vec![b'a' + random.below(20) as u8; LARGE + random.below(9)];
                if grows {
                    shard.set(0, text, NewValue::Bytes(&long), None, Expiry::Clear);
                } else {
                    let _ = shard.edit(0, text, 9, |bytes| bytes[5] ^= 1);
                }
            }
            1 => {
                let mut list = shard.create::<List>(0, list).expect("a list");
                list.make_room(limits, 1, a.len());
                match (random.below(8), list.len()) {
                    (_, 0..9) => list.push(end, &a),
                    (0, n) => list.set(random.below(n), &a),
                    (1, n) => drop(list.remove(&b, end, n)),
                    (2..4, _) => drop(list.pop(end, |_| ())),
                    _ => list.push(end, &a),
                }
                list.close(true);
            }
            2 => {
                let mut set = shard.create::<Set>(0, set).expect("a set");
                _ = match grows {
                    true => set.add(&a, limits),
                    false => set.remove(&a),
                };
                set.close(true);
            }
            3 => {
                let mut hash = shard.create::<Hash>(0, hash).expect("a hash");
                let expiry = match random.below(4) {
                    0 => Expiry::At(1 << 40),
                    _ => Expiry::Keep,
                };
                _ = match grows {
                    true => hash.set(&a, &b, expiry, 1, limits),
                    false => hash.remove(&a, 1),
                };
                hash.close(true);
            }
            4 => {
                let mut zset = shard.create::<Zset>(0, zset).expect("a sorted set");
                match grows {
                    true => drop(zset.add(&a, random.below(50) as f64, limits)),
                    false => drop(zset.remove(&a)),
                }
                zset.close(true);
            }
            _ => {
                let mut stream = shard.create::<Stream>(0, stream).expect("a stream");
                let last = stream.log().last_id;
                match grows {
                    true => {
                        let id = NewId::Exact(last.next().expect("there is one"));
                        let fields: [&[u8]; 2] = [b"field", &a];
                        let log = stream.log_mut();
                        log.append(id, 1, fields.into_iter(), 1, limits)
                            .expect("it is above");
                    }
                    false => {
                        let id = Id::new(0, random.below(last.seq as usize + 1) as u64);
                        stream.remove(id, References::Keep);
                    }
                }
                stream.close(true);
            }
        }
    }

    fn pictures(shard: &mut Shard) -> Vec<Picture> {
        let stamp = Stamp::new(Mode::Lru, 1);
        let mut pictures = Vec::new();
        for name in KEYS {
            let key = shard.key(name);
            if let Some(item) = shard.look(0, key, Look::Peek) {
                pictures.extend(item.picture(stamp));
            }
        }
        pictures
    }

    #[test]
    fn a_picture_stays_as_it_is() {
        for seed in 1..=3 {
            let mut random = Random::new(seed);
            let limits = Limits {
                list_max_listpack_size: [-1, 40][random.below(2)],
                ..Limits::DEFAULT
            };
            let mut shard = Shard::new(1, [seed, 2, 3, 4]);
            shard.set_now(1);
            let mut taken: Vec<(Picture, Vec<String>)> = Vec::new();
            for round in 0..8 {
                for _ in 0..1500 {
                    change(&mut shard, &mut random, &limits);
                }
                for (picture, then) in &taken {
                    assert_eq!(&of(picture), then, "seed {seed}, round {round}");
                }
                // Some go, and others stay while more are taken.
                taken.retain(|_| random.below(2) == 0);
                let new = pictures(&mut shard);
                taken.extend(new.into_iter().map(|picture| {
                    let then = of(&picture);
                    (picture, then)
                }));
            }
            // The pictures go elsewhere, also when the keys have gone.
            shard.flush(0);
            while shard.has_trash() {
                shard.empty_trash_step();
            }
            let elsewhere = std::thread::spawn(move || {
                taken.iter().all(|(picture, then)| of(picture) == *then)
            });
            assert!(elsewhere.join().expect("it ends"), "seed {seed}");
        }
    }

    #[test]
    fn what_is_large_is_told_from_the_rest() {
        let mut shard = Shard::new(1, [1, 2, 3, 4]);
        let is_large = |shard: &mut Shard, name: &[u8]| {
            let key = shard.key(name);
            shard
                .look(0, key, Look::Peek)
                .expect("it is there")
                .is_large()
        };
        for (name, len) in [(b"a", 3), (b"b", LARGE / 2), (b"c", LARGE)] {
            let key = shard.key(name);
            let value = vec![b'x'; len];
            shard.set(0, key, NewValue::Bytes(&value), None, Expiry::Clear);
            assert_eq!(is_large(&mut shard, name), len == LARGE);
        }
        for (name, fields) in [(b"d", 100), (b"e", 6000)] {
            let key = shard.key(name);
            let mut hash = shard.create::<Hash>(0, key).expect("a hash");
            for i in 0..fields {
                let field = format!("field:{i}");
                hash.set(
                    field.as_bytes(),
                    b"some value",
                    Expiry::Keep,
                    1,
                    &Limits::DEFAULT,
                );
            }
            hash.close(true);
            assert_eq!(is_large(&mut shard, name), fields == 6000);
        }
    }
}

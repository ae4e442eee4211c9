//! What a command has done, as commands that do the same again: for the append-only log.
//!
//! A command that writes is its own effect, as it was sent, unless its handler says otherwise: because it
//! depends on the time, on chance or on what it has found, or because a part of it suffices. Then the
//! handler tells what is to be logged instead. What it tells names one key each, in the database of the command,
//! and nothing that a later time would see differently.

use resp::number::Decimal;
use resp::{Args, Pack};

/// What the commands of a shard have told of their effects.
#[derive(Default)]
pub struct Effects {
    /// Somebody wants to know.
    on: bool,
    /// The command runs on values that several shards have lent.
    apart: bool,
    told: bool,
    calls: Pack,
    /// Which argument of each call is its key.
    keys: Vec<usize>,
}

/// One effect, in the database of the command.
pub struct Told<'a> {
    pub key: &'a [u8],
    pub args: Args<'a>,
}

impl Effects {
    pub fn want(&mut self, on: bool) {
        self.on = on;
    }

    #[inline]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The same for a command that runs elsewhere, on values of one shard.
    pub fn aside(&self) -> Effects {
        Effects {
            on: self.on,
            ..Effects::default()
        }
    }

    /// Or of several: each logs what concerns its keys.
    pub fn apart(&self) -> Effects {
        Effects {
            apart: true,
            ..self.aside()
        }
    }

    /// Whether what is told has to name one key at a time. Without being told, the shards log the keys that
    /// have changed as they are.
    #[inline]
    pub fn is_apart(&self) -> bool {
        self.on && self.apart
    }

    /// Forgets what was told.
    #[inline]
    pub fn clear(&mut self) {
        if self.told {
            self.reset();
        }
    }

    #[cold]
    fn reset(&mut self) {
        self.told = false;
        self.calls.clear();
        self.keys.clear();
    }

    /// Whether the command has told what to log; otherwise it is the command itself.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// What it has told, in this order.
    pub fn told(&self) -> impl Iterator<Item = Told<'_>> {
        self.keys.iter().enumerate().map(|(i, at)| {
            let args = self.calls.command(i);
            Told {
                key: args.get(*at),
                args,
            }
        })
    }

    /// Logs a call, whose second word is its key, and not the command.
    #[inline]
    pub fn tell<'w>(&mut self, words: impl IntoIterator<Item = Word<'w>>) {
        if self.on {
            self.note(1, words);
        }
    }

    /// Logs that elements were taken from an end of a collection, by the name of the command that takes them
    /// from one key.
    #[inline]
    pub fn tell_popped(&mut self, name: &'static str, key: &[u8], count: usize) {
        self.tell([name.into(), key.into(), (count as i64).into()]);
    }

    /// [`Effects::tell`], where the key is another word.
    pub fn tell_of<'w>(&mut self, key: usize, words: impl IntoIterator<Item = Word<'w>>) {
        if self.on {
            self.note(key, words);
        }
    }

    #[cold]
    #[inline(never)]
    fn note<'w>(&mut self, key: usize, words: impl IntoIterator<Item = Word<'w>>) {
        self.told = true;
        for word in words {
            match word {
                Word::Bytes(bytes) => self.calls.add_bytes(bytes),
                Word::Int(value) => self.calls.add_bytes(Decimal::signed(value).as_bytes()),
            }
        }
        self.calls.end();
        self.keys.push(key);
    }
}

/// A word of a call.
#[derive(Clone, Copy)]
pub enum Word<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

impl<'a> From<&'a [u8]> for Word<'a> {
    fn from(bytes: &'a [u8]) -> Word<'a> {
        Word::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Word<'a> {
    fn from(text: &'a str) -> Word<'a> {
        Word::Bytes(text.as_bytes())
    }
}

impl From<i64> for Word<'_> {
    fn from(value: i64) -> Self {
        Word::Int(value)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Client;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Calls, in which `K` is a key, `F` a field, a member or a part of an id, `N` a number, `T` a time to
    /// come or one that has passed, and `U` such a time in seconds.
    const CALLS: &[&str] = &[
        "set K N",
        "set K F ex 1",
        "set K F px N",
        "set K F pxat T",
        "set K F keepttl",
        "set K F xx get",
        "setex K 1 F",
        "psetex K N F",
        "setnx K F",
        "getset K F",
        "getdel K",
        "getex K px N",
        "getex K exat U",
        "getex K persist",
        "delifeq K F",
        "incrby K N",
        "incrbyfloat K 0.N",
        "append K F",
        "setrange K 3 F",
        "setbit K N 1",
        "bitfield K incrby u8 N 3",
        "msetnx K F K F",
        "msetex 2 K F K N px N",
        "msetex 2 K F K N keepttl",
        "mset K F K N",
        "del K",
        "expire K 1",
        "pexpire K N nx",
        "pexpireat K T",
        "expireat K U gt",
        "persist K",
        "rename K K",
        "renamenx K K",
        "copy K K replace",
        "move K 1",
        "hset K F N F F",
        "hsetnx K F F",
        "hincrby K F N",
        "hincrbyfloat K F 0.5",
        "hdel K F F",
        "hexpire K 1 fields 2 F F",
        "hpexpire K N lt fields 1 F",
        "hpexpireat K T fields 2 F F",
        "hpersist K fields 2 F F",
        "hgetdel K fields 2 F F",
        "hgetex K px N fields 2 F F",
        "hgetex K persist fields 1 F",
        "hsetex K px N fields 2 F N F F",
        "hsetex K fnx keepttl fields 1 F F",
        "hsetex K fxx pxat T fields 1 F F",
        "sadd K F N F",
        "srem K F",
        "spop K",
        "spop K 2",
        "spop K 100",
        "smove K K F",
        "sunionstore K K K",
        "zadd K N F 3 F",
        "zincrby K 0.N F",
        "zpopmin K",
        "zmpop 1 K max count 2",
        "zunionstore K 2 K K",
        "rpush K F N F",
        "lpush K F",
        "lmove K K left right",
        "lmpop 1 K right count 2",
        "ltrim K 1 2",
        "sort K alpha store K",
        "pfadd K F N",
        "pfmerge K K",
        "geoadd K 13.N 38.N F",
        "xadd K * F N",
        "xadd K nomkstream maxlen ~ 3 * F N",
        "xadd K maxlen 2 * F N",
        "xadd K minid = 1-N N-* F F",
        "xtrim K maxlen ~ 2",
        "xtrim K maxlen 3 delref",
        "xdel K 1-N",
        "xgroup create K g 0 mkstream",
        "xgroup create K h $",
        "xgroup setid K g N",
        "xgroup delconsumer K g F",
        "xgroup destroy K h",
        "xreadgroup group g F count 2 streams K >",
        "xreadgroup group g F streams K 0",
        "xreadgroup group g F noack streams K >",
        "xautoclaim K g F 0 0 count 2",
        "xautoclaim K g F 100 0 justid",
        "xsetid K 9999999999999999-N",
    ];

    /// What the keys of a call begin with, so that most of them are of the type that it wants.
    fn family(call: &str, n: u32) -> char {
        const FAMILIES: [char; 6] = ['h', 'l', 's', 'v', 'x', 'z'];
        let name = call.split(' ').next().unwrap_or_default();
        match name {
            "sadd" | "srem" | "spop" | "smove" | "sunionstore" => 's',
            "rpush" | "lpush" | "lmove" | "lmpop" | "ltrim" => 'l',
            "geoadd" => 'z',
            name if name.contains("expire") || name.starts_with("re") => FAMILIES[n as usize % 6],
            "del" | "persist" | "copy" | "move" => FAMILIES[n as usize % 6],
            name => name
                .chars()
                .next()
                .filter(|c| "hxz".contains(*c))
                .unwrap_or('v'),
        }
    }

    fn filled(call: &str, numbers: &mut impl Iterator<Item = u32>, now_ms: i64) -> String {
        let mut text = String::new();
        let family = family(call, numbers.next().unwrap_or(0));
        for c in call.chars() {
            let n = numbers.next().unwrap_or(0);
            match c {
                'K' => text += &format!("{family}{}", n % 2),
                'F' => text += ["p", "q", "r", "s"][n as usize % 4],
                'N' => text += &(n % 300 + 1).to_string(),
                'T' => text += &(now_ms + i64::from(n % 600) - 200).to_string(),
                'U' => text += &(now_ms / 1000 + i64::from(n % 3)).to_string(),
                c => text.push(c),
            }
        }
        text
    }

    proptest! {
        /// What commands tell makes the same data, whenever it is done again.
        #[test]
        fn effects_make_the_same_data(
            calls in vec((0..CALLS.len(), vec(any::<u32>(), 48), 0..400i64), 1..150),
            packed in any::<bool>(),
        ) {
            let mut client = Client::default();
            if !packed {
                let limits = &mut client.settings.limits;
                limits.hash_max_listpack_entries = 2;
                limits.set_max_listpack_entries = 2;
                limits.set_max_intset_entries = 2;
                limits.zset_max_listpack_entries = 2;
                limits.stream_node_max_entries = 2;
            }
            for (call, numbers, pause) in calls {
                let mut numbers = numbers.into_iter();
                let call = filled(CALLS[call], &mut numbers, client.shard.now_ms());
                let answer = client.call(&call);
                client.story.push(format!("{call} -> {answer:?} {pause}"));
                // Half of the time nothing is removed before somebody comes across it.
                match pause % 4 {
                    0 => client.pass(pause),
                    1 => client.shard.set_now(client.shard.now_ms() + pause),
                    _ => {}
                }
            }
            client.check_mirror();
        }
    }
}

//! The parts of DEBUG that look into a shard's data or fill it. The host has DEBUG's row, decides who
//! may call it, and calls these.
//!
//! The digest is the one that Redis computes, so that two servers of either kind can be compared:
//! starting from zeros, *mixing* bytes in is to XOR their SHA-1 and replace the sum by its own SHA-1,
//! which depends on order, and plain XOR does not. A key's digest mixes name, type and value and
//! XORs a mark if there is an expiry; a database is the XOR of the SHA-1 of its keys' digests; the
//! whole mixes each database's number in before its keys.

use crate::context::Context;
use crate::error::Error;
use crate::spec::{Effect, Outcome};
use resp::number::{Decimal, parse_i64};
use sha1::{Digest, Sha1};
use std::fmt::Write;
use store::double::Text;
use store::entry::NewValue;
use store::hash::Hash;
use store::list::End;
use store::shard::{Expiry, Item, Type};
use store::stream::Id;
use store::{Look, Shard, Str, Value, glob};

/// A digest that is being computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub [u8; 20]);

impl Sum {
    fn xor(&mut self, bytes: &[u8]) {
        let hash = Sha1::digest(bytes);
        self.0.iter_mut().zip(hash).for_each(|(a, b)| *a ^= b);
    }

    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    pub fn hex(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Every database's part of the digest, `None` for an empty one. Parts of several shards are
/// combined by [`combine`].
pub fn digests(shard: &Shard) -> Vec<Option<Sum>> {
    let database = |db: usize| {
        let mut sum = None;
        shard.for_each(db, |item| {
            sum.get_or_insert(Sum::default()).xor(&item_digest(item).0);
        });
        sum
    };
    (0..shard.databases()).map(database).collect()
}

/// The digest of everything, from the shards' parts.
pub fn combine(shards: &[Vec<Option<Sum>>]) -> Sum {
    let mut whole = Sum::default();
    let databases = shards.iter().map(Vec::len).max().unwrap_or(0);
    for db in 0..databases {
        let parts = shards.iter().filter_map(|s| s.get(db).copied().flatten());
        for (i, part) in parts.enumerate() {
            if i == 0 {
                whole.mix(&(db as u32).to_be_bytes());
            }
            whole.0.iter_mut().zip(part.0).for_each(|(a, b)| *a ^= b);
        }
    }
    whole
}

/// DEBUG DIGEST's answer if there is one shard.
pub fn digest(shard: &Shard) -> String {
    combine(&[digests(shard)]).hex()
}

/// The digest of a key with its value and whether it expires.
fn item_digest(item: Item<'_>) -> Sum {
    let mut sum = Sum::default();
    sum.mix(item.key());
    mix_value(&mut sum, item);
    sum
}

fn mix_value(sum: &mut Sum, item: Item<'_>) {
    let number: u32 = match item.value_type() {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::Zset => 3,
        Type::Hash => 4,
        Type::Stream => 6,
    };
    sum.mix(&number.to_be_bytes());
    match item.str() {
        Ok(Str::Int(v)) => sum.mix(Decimal::signed(v).as_bytes()),
        Ok(Str::Bytes(b)) => sum.mix(b),
        Ok(Str::Blob(b)) => sum.mix(b.bytes()),
        Err(_) => mix_collection(sum, item),
    }
    if item.expiry().is_some() {
        sum.xor(b"!!expire!!");
    }
}

fn mix_collection(sum: &mut Sum, item: Item<'_>) {
    let Some(value) = item.value() else {
        return;
    };
    match &*value {
        Value::List(list) => {
            list.walk(End::Head, 0, usize::MAX, |element| {
                element.with(|text| sum.mix(text));
                true
            });
        }
        Value::Set(set) => {
            for member in set.iter() {
                member.with(|text| sum.xor(text));
            }
        }
        Value::Hash(hash) => mix_hash(sum, hash),
        Value::Zset(zset) => {
            for (member, score) in zset.iter() {
                let mut element = Sum::default();
                member.with(|text| element.mix(text));
                element.mix(Text::short(score).bytes());
                sum.xor(&element.0);
            }
        }
        Value::Stream(stream) => {
            for entry in stream.log().range(Id::MIN, Id::MAX) {
                sum.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (name, value) in entry.fields {
                    name.with(|text| sum.mix(text));
                    value.with(|text| sum.mix(text));
                }
            }
        }
    }
}

fn mix_hash(sum: &mut Sum, hash: &Hash) {
    // Fields whose time has come are there until they are removed.
    for (field, value) in hash.iter(i64::MIN) {
        let mut element = Sum::default();
        field.with(|text| element.mix(text));
        value.with(|text| element.mix(text));
        let found = field.with(|text| hash.find(text, i64::MIN));
        if found.is_some_and(|found| found.expiry.is_some()) {
            element.xor(b"!!hexpire!!");
        }
        sum.xor(&element.0);
    }
}

/// DEBUG DIGEST-VALUE key …: the digest of each value, without its name.
pub fn digest_value(ctx: &mut Context<'_>) -> Outcome {
    ctx.reply.array(ctx.args.len().saturating_sub(2));
    for i in 2..ctx.args.len() {
        let key = ctx.key(i);
        let mut sum = Sum::default();
        if let Some(item) = ctx.shard.look(ctx.db, key, Look::Peek) {
            mix_value(&mut sum, item);
        }
        ctx.reply.simple(&sum.hex());
    }
    Ok(Effect::Read)
}

/// DEBUG OBJECT key: one line about a key and its value. The address is that of the key's entry.
pub fn object(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(2);
    let stamp = ctx.shard.stamp();
    let item = ctx.shard.look(ctx.db, key, Look::Peek);
    let item = item.ok_or(Error::NO_SUCH_KEY)?;
    let line = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        item.key().as_ptr(),
        item.encoding(),
        serialized_length(&item),
        item.access(),
        stamp.idle_seconds(item.access()),
    );
    ctx.reply.simple(&line);
    Ok(Effect::Read)
}

/// Bytes that the value takes in a dump, if nothing is compressed.
fn serialized_length(item: &Item<'_>) -> usize {
    let integer = |v: i64| match v {
        _ if i8::try_from(v).is_ok() => Some(2),
        _ if i16::try_from(v).is_ok() => Some(3),
        _ if i32::try_from(v).is_ok() => Some(5),
        _ => None,
    };
    let bytes = |b: &[u8]| {
        // Longer texts are not looked at as integers.
        const INTEGER_MAX: usize = 11;
        let number = (b.len() <= INTEGER_MAX).then(|| parse_i64(b)).flatten();
        number.and_then(integer).unwrap_or(match b.len() {
            len @ 0..64 => len + 1,
            len @ 64..16384 => len + 2,
            len if u32::try_from(len).is_ok() => len + 5,
            len => len + 9,
        })
    };
    match item.str() {
        Ok(Str::Int(v)) => integer(v).unwrap_or(Decimal::signed(v).as_bytes().len() + 1),
        Ok(Str::Bytes(b)) => bytes(b),
        Ok(Str::Blob(b)) => bytes(b.bytes()),
        Err(_) => item.memory(),
    }
}

/// DEBUG POPULATE, with a count, perhaps a prefix and a size: strings `value:N` at the keys `prefix:N`
/// that are absent and the shard's own, cut or filled with zeros to the size if one is given.
pub fn populate(ctx: &mut Context<'_>, is_own: impl Fn(&[u8]) -> bool) -> Outcome {
    let positive = |i: usize| {
        let value = parse_i64(ctx.args.get(i)).and_then(|v| usize::try_from(v).ok());
        value.ok_or(Error::new("ERR value is out of range, must be positive"))
    };
    let count = positive(2)?;
    let size = if ctx.args.len() > 4 { positive(4)? } else { 0 };
    if size > ctx.settings.max_string {
        return Err(Error::STRING_TOO_LONG);
    }
    let prefix = ctx.args.opt(3).unwrap_or(b"key").to_vec();
    let mut added = false;
    for i in 0..count {
        let number = Decimal::unsigned(i as u64);
        let name = [&prefix, &b":"[..], number.as_bytes()].concat();
        if !is_own(&name) {
            continue;
        }
        let mut value = [b"value:", number.as_bytes()].concat();
        if size > 0 {
            value.resize(size, 0);
        }
        let key = ctx.shard.key(&name);
        if ctx.shard.look(ctx.db, key, Look::Peek).is_none() {
            let value = NewValue::Bytes(&value);
            ctx.shard.set(ctx.db, key, value, None, Expiry::Clear);
            added = true;
        }
    }
    ctx.reply.ok();
    Ok(Effect::wrote_if(added))
}

/// DEBUG HTSTATS: how a database's table is filled.
pub fn table_report(shard: &Shard, db: usize) -> String {
    let table = shard.table(db);
    let (fill, strays) = table.histogram();
    let (groups, depth) = table.shape();
    let buckets: usize = fill.iter().sum();
    let percent = |part: usize, whole: usize| part as f64 * 100.0 / whole.max(1) as f64;
    let mut text = format!(
        "[Table of database {db}]\n \
         entries: {}\n \
         with an expiry: {}\n \
         slots: {}\n \
         load: {:.2}%\n \
         bytes: {}\n \
         groups: {groups}\n \
         deepest group: {depth} bits\n \
         entries away from their bucket: {strays} ({:.2}%)\n \
         buckets by used slots:\n",
        table.len(),
        shard.volatile(db),
        table.capacity(),
        percent(table.len(), table.capacity()),
        table.memory(),
        percent(strays, table.len()),
    );
    for (used, n) in fill.iter().enumerate() {
        let _ = writeln!(text, "   {used}: {n} ({:.2}%)", percent(*n, buckets));
    }
    text
}

/// DEBUG HTSTATS-KEY key: the same for a value that is kept in a table like the keyspace's, which none is.
pub fn htstats_key(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(2);
    if ctx.shard.look(ctx.db, key, Look::Peek).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    Err(Error::new(
        "ERR The value stored at the specified key is not represented using an hash table",
    ))
}

/// DEBUG STRINGMATCH-LEN pattern string: whether they match, as 1 or 0.
pub fn stringmatch_len(ctx: &mut Context<'_>) -> Outcome {
    let hit = glob::matches(ctx.args.get(2), ctx.args.get(3), false);
    ctx.reply.int(hit.into());
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Client;

    #[test]
    fn digests_are_those_of_redis() {
        let mut c = Client::default();
        assert_eq!(digest(&c.shard), "0".repeat(40));
        c.check("set a 1", "+OK");
        assert_eq!(digest(&c.shard), "943d800368fb9c0e951138f1bc0e313ac769d91f");
        c.check("set b hello", "+OK");
        c.check("expire b 100", ":1");
        c.db = 3;
        c.check(&format!("set c {}", "x".repeat(5000)), "+OK");
        assert_eq!(digest(&c.shard), "e4ed0cd3827d5e457239abdd16ece39293d0c109");
        let mut run = |request: &str| c.run_with(request, digest_value);
        assert_eq!(
            run("debug digest-value c nope").0,
            "*2|+e89a55262642bff99285a1e3f178ccdbef1d0651|+0000000000000000000000000000000000000000|"
        );
    }

    #[test]
    fn the_digest_does_not_depend_on_how_keys_are_spread() {
        let (mut one, mut left, mut right) =
            (Client::default(), Client::default(), Client::default());
        for i in 0..100 {
            let request = format!("set key:{i} {i}");
            one.check(&request, "+OK");
            one.db = (one.db + 1) % 5;
            let part = if i % 3 == 0 { &mut left } else { &mut right };
            part.db = i % 5;
            part.check(&request, "+OK");
        }
        let parts = [digests(&left.shard), digests(&right.shard)];
        assert_eq!(combine(&parts).hex(), digest(&one.shard));
        left.check("del key:0", ":0");
        left.db = 0;
        left.check("del key:0", ":1");
        let parts = [digests(&left.shard), digests(&right.shard)];
        assert_ne!(combine(&parts).hex(), digest(&one.shard));
    }

    #[test]
    fn an_object_is_described_in_one_line() {
        let mut c = Client::default();
        for (value, want) in [
            ("1", "encoding:int serializedlength:2 "),
            ("12345", "encoding:int serializedlength:3 "),
            ("123456", "encoding:int serializedlength:5 "),
            ("12345678901", "encoding:int serializedlength:12 "),
            ("abc", "encoding:embstr serializedlength:4 "),
        ] {
            c.check(&format!("set k {value}"), "+OK");
            let (line, effect) = c.run_with("debug object k", object);
            assert!(line.starts_with("+Value at:0x"), "{line}");
            assert!(line.contains(&format!(" refcount:1 {want}lru:")), "{line}");
            assert!(line.ends_with(" lru_seconds_idle:0|"), "{line}");
            assert_eq!(effect, Effect::Read);
        }
        assert_eq!(
            c.run_with("debug object nope", object).0,
            "-ERR no such key|"
        );
    }

    fn populate_all(ctx: &mut Context<'_>) -> Outcome {
        populate(ctx, |_| true)
    }

    #[test]
    fn a_shard_makes_its_own_keys_alone() {
        let mut c = Client::default();
        let own = |ctx: &mut Context<'_>| populate(ctx, |key| key.ends_with(b"1"));
        assert_eq!(c.run_with("debug populate 12", own).0, "+OK|");
        c.check("dbsize", ":2");
        c.check("get key:11", "$8|value:11");
    }

    #[test]
    fn keys_are_made_where_there_are_none() {
        let mut c = Client::default();
        c.check("set key:1 mine", "+OK");
        assert_eq!(
            c.run_with("debug populate 3", populate_all),
            ("+OK|".into(), Effect::Wrote)
        );
        c.check("dbsize", ":3");
        c.check("get key:1", "$4|mine");
        c.check("get key:2", "$7|value:2");
        assert_eq!(c.run_with("debug populate 3", populate_all).1, Effect::Read);
        c.run_with("debug populate 2 p 3", populate_all);
        c.check("get p:1", "$3|val");
        c.run_with("debug populate 1 q 10", populate_all);
        c.check("get q:0", "$10|value:0\0\0\0");
        for request in [
            "debug populate x",
            "debug populate -1",
            "debug populate 1 p -1",
        ] {
            let want = "-ERR value is out of range, must be positive|";
            assert_eq!(c.run_with(request, populate_all).0, want);
        }
    }

    #[test]
    fn tables_are_described() {
        let mut c = Client::default();
        c.run_with("debug populate 1000", populate_all);
        let text = table_report(&c.shard, 0);
        assert!(text.contains(" entries: 1000\n"), "{text}");
        assert!(table_report(&c.shard, 15).contains(" entries: 0\n"));
        let want =
            "-ERR The value stored at the specified key is not represented using an hash table|";
        assert_eq!(c.run_with("debug htstats-key key:0", htstats_key).0, want);
        assert_eq!(
            c.run_with("debug htstats-key nope", htstats_key).0,
            "-ERR no such key|"
        );
    }

    #[test]
    fn patterns_are_matched() {
        let mut c = Client::default();
        assert_eq!(
            c.run_with("debug stringmatch-len a* abc", stringmatch_len)
                .0,
            ":1|"
        );
        assert_eq!(
            c.run_with("debug stringmatch-len a* b", stringmatch_len).0,
            ":0|"
        );
    }
}

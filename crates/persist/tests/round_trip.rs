//! What was written is read as the same, value by value and as files, in every encoding.

mod values;

use persist::encode::Compression;
use persist::{Batch, Decoded, Encoder, Event, Reader, Writer};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use store::access::{Access, Mode};
use store::shard::Expiry;
use store::{Element, Limits, Shard};
use values::*;

/// Limits so low that values leave their packed encodings early, or the defaults.
fn limits() -> impl Strategy<Value = Limits> {
    let low = Limits {
        hash_max_listpack_entries: 5,
        list_max_listpack_size: 4,
        set_max_intset_entries: 5,
        set_max_listpack_entries: 5,
        zset_max_listpack_entries: 5,
        stream_node_max_entries: 4,
        ..Limits::DEFAULT
    };
    prop_oneof![Just(Limits::DEFAULT), Just(low)]
}

proptest! {
    #[test]
    fn payloads_hold_every_value(model in model(), limits in limits()) {
        let mut shard = shard();
        put(&mut shard, b"a", &model, Expiry::Clear, &limits);
        let payload = dump(&mut shard, b"a");
        let mut decoder = persist::Decoder::new(limits);
        let checked = persist::dump::Payload::check(&payload).expect("the checksum is right");
        let value = checked.decode(&mut decoder).expect("it is valid");
        let key = shard.key(b"b");
        value.put(&mut shard, 0, key, Expiry::Clear);
        let (before, after) = (at(&mut shard, b"a"), at(&mut shard, b"b"));
        prop_assert_eq!(&before.0, &model);
        prop_assert_eq!(&before.0, &after.0);
        // Which of its encodings a set has shows its past, which is not written. A hash whose fields
        // have no expiry any longer likewise.
        if !matches!(model, Model::Set(_)) {
            prop_assert_eq!(before.1, after.1);
        }
    }

    #[test]
    fn files_hold_every_key(
        keys in btree_map(text(), (model(), any::<bool>()), 0..12),
        compress in any::<bool>(),
        cut in 1..4usize,
    ) {
        let mut shard = shard();
        for (i, (key, (model, volatile))) in keys.iter().enumerate() {
            let expiry = if *volatile { Expiry::At(NOW_MS + i as i64) } else { Expiry::Clear };
            put(&mut shard, key, model, expiry, &Limits::DEFAULT);
        }
        let compression = if compress { Compression::Lzf } else { Compression::None };
        let file = write(&shard, compression, cut);
        let mut loaded = values::shard();
        load(&file, &mut loaded);
        prop_assert_eq!(loaded.len(0), keys.len());
        for (i, (key, (model, volatile))) in keys.iter().enumerate() {
            prop_assert_eq!(&at(&mut loaded, key).0, model);
            let key = loaded.key(key);
            let item = loaded.look(0, key, store::Look::Peek).expect("it is there");
            prop_assert_eq!(item.expiry(), volatile.then_some(NOW_MS + i as i64));
        }
    }

    #[test]
    fn lengths_of_any_width(texts in vec((any::<u8>(), 0..200_000usize), 1..4)) {
        for (c, len) in texts {
            let model = Model::Text(vec![c | 0x80; len]);
            let mut shard = shard();
            put(&mut shard, b"a", &model, Expiry::Clear, &Limits::DEFAULT);
            for compression in [Compression::None, Compression::Lzf] {
                let mut loaded = values::shard();
                load(&write(&shard, compression, 1), &mut loaded);
                prop_assert_eq!(&at(&mut loaded, b"a").0, &model);
            }
        }
    }
}

/// A file of database 0, in chunks of so many keys.
fn write(shard: &Shard, compression: Compression, cut: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(compression);
    let mut writer = Writer::new(Vec::new(), 1).expect("a vector takes all");
    encoder.aux("redis-ver", b"7.2.4");
    encoder.select(0);
    encoder.resize(shard.len(0), shard.volatile(0));
    let (mut n, mut version) = (0, 1);
    shard.for_each(0, |item| {
        encoder.key(&item, Some(shard.stamp()));
        n += 1;
        if n % cut == 0 {
            let chunk = encoder.take();
            version = version.max(chunk.version);
            writer.chunk(&chunk).expect("a vector takes all");
        }
    });
    encoder.function(b"#!lua name=f\n");
    let chunk = encoder.take();
    let version = version.max(chunk.version);
    writer.chunk(&chunk).expect("a vector takes all");
    let mut file = writer.finish_as(version).expect("a vector takes all");
    file[..9].copy_from_slice(&persist::writer::header(version));
    file
}

/// Reads a file of database 0, a few bytes at a time.
fn load(file: &[u8], shard: &mut Shard) {
    struct Drops<'a>(&'a [u8]);
    impl std::io::Read for Drops<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let n = to.len().min(self.0.len()).min(777);
            to[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    let mut reader = Reader::new(Drops(file), Limits::DEFAULT).expect("it is a file");
    let (mut aux, mut functions) = (0, 0);
    let mut batch = Batch::default();
    while let Some(event) = reader.next().expect("it is whole") {
        match event {
            Event::Key(entry) => {
                assert_eq!(entry.access, Some(Access::Idle(0)));
                batch.push(0, entry);
                if batch.len() == 3 {
                    batch.put(shard);
                }
            }
            Event::Aux { name, value } => {
                assert_eq!((name, value), (&b"redis-ver"[..], &b"7.2.4"[..]));
                aux += 1;
            }
            Event::Function(code) => {
                assert_eq!(code, b"#!lua name=f\n");
                functions += 1;
            }
            Event::Select(db) => assert_eq!(db, 0),
            Event::Resize { .. } => {}
            Event::Slot { .. } => panic!("nobody has written one"),
        }
    }
    batch.put(shard);
    assert_eq!((aux, functions), (1, 1));
    assert_eq!(reader.position(), file.len() as u64);
}

#[test]
fn frequencies_are_told() {
    let mut shard = shard();
    let mode = Mode::Lfu {
        log_factor: 10,
        decay_minutes: 1,
    };
    shard.set_access_mode(mode);
    put(
        &mut shard,
        b"a",
        &Model::Text(b"v".to_vec()),
        Expiry::Clear,
        &Limits::DEFAULT,
    );
    let mut encoder = Encoder::new(Compression::None);
    shard.for_each(0, |item| encoder.key(&item, Some(shard.stamp())));
    assert_eq!(encoder.bytes(), b"\xf9\x05\0\x01a\x01v");
    assert_eq!(encoder.version(), 9);
    let key = shard.key(b"a");
    shard.set_access(0, key, Access::Frequency(77));
    encoder.clear();
    shard.for_each(0, |item| encoder.key(&item, Some(shard.stamp())));
    assert_eq!(encoder.bytes(), b"\xf9\x4d\0\x01a\x01v");
}

/// Everything that is written begins with what the oldest server that could hold it writes too.
#[test]
fn the_oldest_form_is_written() {
    let text = |s: &str| s.as_bytes().to_vec();
    let expires = |at| Model::Hash([(text("f"), (text("v"), at))].into());
    let long = |at| Model::Hash([(text("f"), (vec![b'v'; 65], at))].into());
    let at = Some(NOW_MS + 1);
    let members = |n: usize| (0..n).map(|i| text(&format!("m{i}"))).collect();
    let scores = |n: usize| (0..n).map(|i| (text(&format!("m{i}")), 1.0)).collect();
    for (model, value_type, version) in [
        (Model::Text(text("v")), 0, 6),
        (Model::List(vec![text("v")]), 18, 10),
        (Model::Set([text("1")].into()), 11, 6),
        (Model::Set([text("v")].into()), 2, 6),
        (Model::Set(members(200)), 2, 6),
        (expires(None), 16, 10),
        (long(None), 4, 6),
        (expires(at), 25, 12),
        (long(at), 24, 12),
        (Model::Zset(scores(1)), 17, 10),
        (Model::Zset(scores(200)), 5, 8),
        (Model::Stream(StreamModel::default()), 19, 10),
    ] {
        let mut shard = shard();
        put(&mut shard, b"k", &model, Expiry::Clear, &Limits::DEFAULT);
        let payload = dump(&mut shard, b"k");
        let found = u16::from_le_bytes([payload[payload.len() - 10], payload[payload.len() - 9]]);
        assert_eq!((payload[0], found), (value_type, version), "{model:?}");
    }
}

#[test]
fn a_short_text_is_lent_and_a_long_one_is_owned() {
    let mut decoder = persist::Decoder::new(Limits::DEFAULT);
    let short = payload(b"\0\x05hello", 6);
    let value = persist::dump::Payload::check(&short).and_then(|p| p.decode(&mut decoder));
    assert!(matches!(
        value,
        Ok(Decoded::Short(Element::Bytes(b"hello")))
    ));
    let long = payload(&[&b"\0\x48\0"[..], &[b'x'; 2048]].concat(), 6);
    let value = persist::dump::Payload::check(&long).and_then(|p| p.decode(&mut decoder));
    assert!(matches!(value, Ok(Decoded::Long(blob)) if blob.len() == 2048));
}

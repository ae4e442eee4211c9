//! Any file is read to its end or refused, whether its modules are skipped or not, and its keys can be
//! written into a file again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use persist::encode::Compression;
use persist::reader::Modules;
use persist::{Encoder, Event, Reader, Writer};
use store::shard::Expiry;
use store::{Limits, Shard};

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else {
        return;
    };
    let head: &[u8] = match choice % 4 {
        0 => b"",
        1 => b"REDIS0003",
        2 => b"REDIS0012",
        _ => b"VALKEY080",
    };
    let modules = if choice & 4 == 0 {
        Modules::Skip
    } else {
        Modules::Refuse
    };
    let file = [head, rest].concat();
    let mut shard = Shard::new(1, [1, 2, 3, 4]);
    shard.set_now(1_700_000_000_000);
    read(&file, modules, &mut shard);
    let file = write(&shard);
    let mut again = Shard::new(1, [1, 2, 3, 4]);
    again.set_now(1_700_000_000_000);
    assert!(
        read(&file, Modules::Refuse, &mut again),
        "it was written whole"
    );
    // Some may have expired, which are not written.
    assert!(again.len(0) <= shard.len(0));
});

/// Whether it is a whole file. Its keys are put into the shard, all in one database.
fn read(file: &[u8], modules: Modules, shard: &mut Shard) -> bool {
    let Ok(reader) = Reader::new(file, Limits::DEFAULT) else {
        return false;
    };
    let mut reader = reader.with_modules(modules);
    loop {
        match reader.next() {
            Err(_) => return false,
            Ok(None) => return true,
            Ok(Some(Event::Key(entry))) => {
                let key = shard.key(entry.key);
                let expiry = entry.expiry.map_or(Expiry::Clear, Expiry::At);
                entry.value.put(shard, 0, key, expiry);
                if let Some(access) = entry.access {
                    shard.set_access(0, key, access);
                }
            }
            Ok(Some(_)) => {}
        }
    }
}

fn write(shard: &Shard) -> Vec<u8> {
    let mut encoder = Encoder::new(Compression::None);
    let mut writer = Writer::new(Vec::new(), 12).expect("a vector takes all");
    shard.for_each(0, |item| encoder.key(&item, Some(shard.stamp())));
    writer.chunk(&encoder.take()).expect("a vector takes all");
    writer.finish().expect("a vector takes all")
}

//! Time per key of writing and loading: `cargo run --release -p shoal-persist --example speed -- 3000000 64`
//! for that many keys with values of that many bytes. Beside them it measures what bounds loading: making the
//! same keys without a file. Time is that of the processor, so others on the machine disturb it little.

use persist::encode::Compression;
use persist::reader::Entry;
use persist::{Batch, Encoder, Event, Reader, Writer, crc64};
use std::io::Write;
use store::entry::NewValue;
use store::shard::Expiry;
use store::{Limits, Shard};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes after which an encoder's chunk is handed on.
const CHUNK: usize = 64 * 1024;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| {
        let given = args.next().and_then(|a| a.parse().ok());
        given.unwrap_or(default)
    };
    let (keys, len) = (number(3_000_000), number(64));
    let shown = |what: &str, start: u64| {
        let ns = (processor_ns() - start) as f64 / keys as f64;
        println!("{what:<28} {ns:7.1} ns per key");
    };
    let mut filled = Shard::new(1, [1, 2, 3, 4]);
    let start = processor_ns();
    fill(&mut filled, keys, len);
    shown("making them", start);
    for compression in [Compression::Lzf, Compression::None] {
        let start = processor_ns();
        write(&filled, compression, std::io::sink());
        shown(&format!("writing, {compression:?}"), start);
    }
    let file = write(&filled, Compression::None, Vec::new());
    println!(
        "{:<28} {:7.1} bytes per key",
        "file",
        file.len() as f64 / keys as f64
    );
    drop(filled);
    let start = processor_ns();
    let crc = crc64::update(0, &file);
    shown("checksum alone", start);
    assert_eq!(crc, 0, "a file and its own checksum make zero");
    let start = processor_ns();
    let mut bytes = 0;
    read(&file, |entry| bytes += entry.key.len());
    shown("reading alone", start);
    let mut shard = Shard::new(1, [5, 6, 7, 8]);
    let start = processor_ns();
    read(&file, |entry| {
        let key = shard.key(entry.key);
        entry.value.put(&mut shard, 0, key, Expiry::Clear);
    });
    shown("loading one by one", start);
    assert_eq!(shard.len(0), keys);
    drop(shard);
    let mut shard = Shard::new(1, [5, 6, 7, 8]);
    let mut batch = Batch::default();
    let start = processor_ns();
    read(&file, |entry| {
        batch.push(0, entry);
        if batch.len() == Batch::USUAL {
            batch.put(&mut shard);
        }
    });
    batch.put(&mut shard);
    shown("loading in batches", start);
    assert_eq!(shard.len(0), keys);
}

/// Nanoseconds that this thread has run.
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().expect("Linux counts the time of threads")
}

/// Names of keys in no order, as those of a table are in a dump.
fn name(i: usize) -> String {
    format!(
        "key:{:012}",
        i.wrapping_mul(0x9e37_79b9) % 1_000_000_000_000
    )
}

fn fill(shard: &mut Shard, keys: usize, len: usize) {
    let mut value = vec![b'v'; len];
    for i in 0..keys {
        // Half of it does not compress.
        let mut state = i as u64;
        for byte in &mut value[..len / 2] {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        let name = name(i);
        let key = shard.key(name.as_bytes());
        shard.set(0, key, NewValue::Bytes(&value), None, Expiry::Clear);
    }
}

fn write<W: Write>(shard: &Shard, compression: Compression, to: W) -> W {
    let mut encoder = Encoder::new(compression);
    let mut writer = Writer::new(to, 10).expect("memory takes all");
    encoder.select(0);
    encoder.resize(shard.len(0), shard.volatile(0));
    shard.for_each(0, |item| {
        encoder.key(&item, None);
        if encoder.bytes().len() >= CHUNK {
            let chunk = encoder.take();
            writer.chunk(&chunk).expect("memory takes all");
            encoder.reuse(chunk.bytes);
        }
    });
    writer.chunk(&encoder.take()).expect("memory takes all");
    writer.finish().expect("memory takes all")
}

fn read(mut file: &[u8], mut each: impl FnMut(Entry<'_>)) {
    let mut reader = Reader::new(&mut file, Limits::DEFAULT).expect("it is a file");
    while let Some(event) = reader.next().expect("it is whole") {
        if let Event::Key(entry) = event {
            each(entry);
        }
    }
}

//! Bytes per key of a filled shard: `cargo run --release -p shoal-store --example memory -- 2000000`.

use store::Shard;
use store::entry::NewValue;
use store::shard::Expiry;

fn main() {
    let mut args = std::env::args().skip(1);
    let keys: u64 = args
        .next()
        .and_then(|a| a.parse().ok())
        .unwrap_or(2_000_000);
    let mut shard = Shard::new(1, [1, 2, 3, 4]);
    for i in 0..keys {
        let name = format!("key:{i:012}");
        let key = shard.key(name.as_bytes());
        shard.set(0, key, NewValue::Bytes(&[b'v'; 16]), None, Expiry::Clear);
    }
    let slab = shard.slab_stats();
    let table = shard.table(0);
    let per_key = |bytes: usize| bytes as f64 / keys as f64;
    let (fill, strays) = table.histogram();
    println!("entries and blocks {:.2}", per_key(slab.allocated));
    println!("pages in use       {:.2}", per_key(slab.active));
    println!("mapped             {:.2}", per_key(slab.mapped));
    println!("table              {:.2}", per_key(table.memory()));
    println!(
        "load {:.3}, away from home {:.3}",
        keys as f64 / table.capacity() as f64,
        per_key(strays)
    );
    println!(
        "buckets by fill {fill:?}, groups and depth {:?}",
        table.shape()
    );
}

//! The table by itself under hashes that share prefixes and tags, as a keyed hash would hardly ever
//! give them.

#![no_main]

mod choices;

use choices::Choices;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use store::slab::Slab;
use store::table::Table;

/// Entries at most, so that equal hashes fit one group.
const MOST: usize = 400;

struct Thing {
    hash: u64,
}

fn hash_of(entry: NonNull<u8>) -> u64 {
    // SAFETY: the table holds things, which live until they are removed from it.
    unsafe { entry.cast::<Thing>().as_ref().hash }
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let prefix = u32::from(choices.byte()) % 18;
    let mut slab = Slab::new();
    let mut table = Table::new();
    // Entries by hash and address.
    let mut model: BTreeMap<(u64, usize), NonNull<u8>> = BTreeMap::new();
    let mut cursor = 0;
    while !choices.is_empty() {
        match choices.byte() % 8 {
            0..4 => {
                let mut add = choices.below(20);
                let bits = std::array::from_fn(|_| choices.byte());
                while add > 0 && model.len() < MOST {
                    add -= 1;
                    let hash = u64::from_le_bytes(bits).rotate_left(add as u32) >> prefix;
                    let entry = NonNull::from(Box::leak(Box::new(Thing { hash }))).cast();
                    table.insert(&mut slab, hash, entry, 0, hash_of);
                    model.insert((hash, entry.as_ptr().addr()), entry);
                }
            }
            4..7 => {
                let mut most = choices.below(60);
                let from = (u64::from(choices.byte()) << 56) >> prefix;
                while most > 0
                    && let Some((&place, &entry)) = model.range((from, 0)..).next()
                {
                    most -= 1;
                    model.remove(&place);
                    let found = table.find(place.0, |e| e == entry).expect("it is there");
                    // SAFETY: found just now under its hash.
                    unsafe {
                        assert_eq!(table.remove(&mut slab, place.0, found), entry);
                        drop(Box::from_raw(entry.cast::<Thing>().as_ptr()));
                    }
                }
            }
            _ => {
                // A walk in steps, while the table changes, reads what it meets.
                cursor = table.scan(cursor, |e, _| assert!(hash_of(e).leading_zeros() >= prefix));
            }
        }
        assert_eq!(table.len(), model.len());
    }
    for (place, entry) in &model {
        assert!(table.find(place.0, |e| e == *entry).is_some());
    }
    let mut seen = 0;
    cursor = 0;
    loop {
        cursor = table.scan(cursor, |_, _| seen += 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, model.len());
    while !table.is_drained() {
        table.drain(&mut slab, 10, |_, entry| {
            seen -= 1;
            // SAFETY: it came from a box and has left the table.
            drop(unsafe { Box::from_raw(entry.cast::<Thing>().as_ptr()) });
        });
    }
    assert_eq!((seen, slab.stats().allocated), (0, 0));
});

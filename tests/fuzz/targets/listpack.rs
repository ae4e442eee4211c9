//! Any bytes are a listpack or are refused. One that was read is the same as a vector of its elements,
//! from both ends, and stays so through changes.

#![no_main]

mod choices;

use choices::Choices;
use libfuzzer_sys::fuzz_target;
use store::listpack::Listpack;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let entries = choices.bytes(200);
    let _ = Listpack::from_redis(&entries);
    let Ok(mut pack) = Listpack::from_redis(&framed(&entries)) else {
        return;
    };
    assert_eq!(pack.to_redis()[6..], framed(&entries)[6..]);
    let mut model: Vec<Vec<u8>> = pack.iter().map(|e| e.text().into_owned()).collect();
    while !choices.is_empty() && model.len() < 100 {
        change(&mut choices, &mut pack, &mut model);
        check(&pack, &model);
    }
});

/// The entries with what stands around them, the number of elements left open.
fn framed(entries: &[u8]) -> Vec<u8> {
    let total = (entries.len() as u32 + 7).to_le_bytes();
    [&total, &[0xff, 0xff][..], entries, &[0xff]].concat()
}

fn check(pack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(pack.len(), model.len());
    assert!(pack.iter().map(|e| e.text().into_owned()).eq(model.iter().cloned()));
    assert!(pack.iter().rev().map(|e| e.text().into_owned()).eq(model.iter().rev().cloned()));
    let again = Listpack::from_redis(&pack.to_redis());
    assert_eq!(again.as_ref(), Ok(pack));
    if let Some(last) = model.last() {
        let first = model.iter().position(|e| e == last).expect("it is the last");
        assert_eq!(pack.find(last, 0, 1), pack.seek(first as i64));
    }
}

fn change(choices: &mut Choices<'_>, pack: &mut Listpack, model: &mut Vec<Vec<u8>>) {
    let kind = choices.byte() % 7;
    let i = choices.below(model.len());
    let Some(pos) = pack.seek(i as i64) else {
        let text = choices.bytes(200);
        pack.push_back(&text);
        model.push(text);
        return;
    };
    match kind {
        0 => {
            let text = choices.bytes(200);
            pack.insert_before(pos, &text);
            model.insert(i, text);
        }
        1 => {
            let text = choices.bytes(200);
            pack.insert_after(pos, &text);
            model.insert(i + 1, text);
        }
        2 => {
            let text = choices.bytes(200);
            pack.replace(pos, &text);
            model[i] = text;
        }
        3 => {
            let n = choices.below(4);
            pack.delete_at(pos, n);
            model.drain(i..model.len().min(i + n));
        }
        4 => {
            let mut rest = pack.split_off(pos);
            rest.append(pack);
            *pack = rest;
            model.rotate_left(i);
        }
        5 => {
            let bit = 1 << choices.below(8);
            let keep = |e: &[u8]| e.first().is_none_or(|c| c & bit != 0);
            pack.retain(|e| e.with(keep));
            model.retain(|e| keep(e));
        }
        _ => {
            let text = (choices.byte() as i64 - 128) << choices.below(57);
            let text = text.to_string().into_bytes();
            pack.push_front(&text);
            model.insert(0, text);
        }
    }
}

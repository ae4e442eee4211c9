use super::*;
use proptest::prelude::*;

fn contents(pack: &Listpack) -> Vec<Vec<u8>> {
    pack.iter().map(|e| e.text().into_owned()).collect()
}

fn pack(elements: &[&[u8]]) -> Listpack {
    let mut pack = Listpack::new();
    pack.extend(elements.iter().copied());
    pack
}

/// The entries are what they say they are, in Redis's eyes too.
fn check(pack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(contents(pack), model);
    assert_eq!(pack.len(), model.len());
    let backwards: Vec<_> = pack.iter().rev().map(|e| e.text().into_owned()).collect();
    assert!(backwards.iter().rev().eq(model));
    let sum: usize = model.iter().map(|e| Listpack::encoded_len(e)).sum();
    assert_eq!(pack.bytes_len(), sum + 7);
    assert_eq!(Listpack::from_redis(&pack.to_redis()).as_ref(), Ok(pack));
}

#[test]
fn entries_are_redis_bytes() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"0", &[0x00, 1]),
        (b"127", &[0x7f, 1]),
        (b"128", &[0xc0, 0x80, 2]),
        (b"-1", &[0xdf, 0xff, 2]),
        (b"4095", &[0xcf, 0xff, 2]),
        (b"-4096", &[0xd0, 0x00, 2]),
        (b"4096", &[0xf1, 0x00, 0x10, 3]),
        (b"-4097", &[0xf1, 0xff, 0xef, 3]),
        (b"-32768", &[0xf1, 0x00, 0x80, 3]),
        (b"32768", &[0xf2, 0x00, 0x80, 0x00, 4]),
        (b"8388607", &[0xf2, 0xff, 0xff, 0x7f, 4]),
        (b"8388608", &[0xf3, 0x00, 0x00, 0x80, 0x00, 5]),
        (b"-2147483648", &[0xf3, 0, 0, 0, 0x80, 5]),
        (b"2147483648", &[0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9]),
        (b"", &[0x80, 1]),
        (b"ab", &[0x82, b'a', b'b', 3]),
        (b"01", &[0x82, b'0', b'1', 3]),
    ];
    for (text, entry) in cases {
        assert_eq!(pack(&[text]).0.bytes(), *entry, "{text:?}");
    }
    assert_eq!(&pack(&[&[b'x'; 64]]).0.bytes()[..3], &[0xe0, 64, b'x']);
    assert_eq!(pack(&[&[b'x'; 124]]).0.bytes()[126..], [126]);
    assert_eq!(pack(&[&[b'x'; 126]]).0.bytes()[128..], [1, 0x80]);
    let long = pack(&[&[b'x'; 4096]]);
    assert_eq!(&long.0.bytes()[..6], &[0xf0, 0, 0x10, 0, 0, b'x']);
    assert_eq!(
        pack(&[b"a", b"1"]).to_redis(),
        b"\x0c\0\0\0\x02\0\x81a\x02\x01\x01\xff"
    );
}

#[test]
fn lengths_are_read_backwards_at_their_bounds() {
    for len in [
        0, 1, 62, 63, 64, 65, 125, 126, 4094, 4095, 4096, 16_377, 16_378, 16_379, 2_097_145,
        2_097_146, 2_097_147,
    ] {
        let text = vec![b'x'; len];
        check(
            &pack(&[b"a", &text, b"b"]),
            &[b"a".to_vec(), text.clone(), b"b".to_vec()],
        );
    }
}

#[test]
fn integers_keep_their_value() {
    for bits in 0..64 {
        for delta in -2..=2 {
            for sign in [1, -1] {
                let value = (1i64 << bits).wrapping_add(delta).wrapping_mul(sign);
                let pack = pack(&[value.to_string().as_bytes()]);
                assert_eq!(pack.get(0), Element::Int(value));
                check(&pack, &[value.to_string().into_bytes()]);
            }
        }
    }
}

#[test]
fn seeking_counts_from_both_ends() {
    let pack = pack(&[b"a", b"b", b"c"]);
    let at = |index| {
        pack.seek(index)
            .map(|pos| pack.get(pos).text().into_owned())
    };
    for (index, element) in [(0, b"a"), (2, b"c"), (-1, b"c"), (-3, b"a"), (1, b"b")] {
        assert_eq!(at(index).as_deref(), Some(&element[..]));
    }
    for index in [3, -4, i64::MIN, i64::MAX] {
        assert_eq!(at(index), None);
    }
}

#[test]
fn finding_steps_over_what_lies_between() {
    let pack = pack(&[b"k", b"v", b"1", b"k", b"v", b"1"]);
    assert_eq!(pack.find(b"v", 0, 1), pack.seek(1));
    assert_eq!(pack.find(b"v", 0, 2), pack.seek(4));
    assert_eq!(pack.find(b"1", 0, 1), pack.seek(2));
    assert_eq!(pack.find(b"1", pack.seek(3).unwrap(), 2), pack.seek(5));
    assert_eq!(pack.find(b"01", 0, 1), None);
    assert_eq!(Listpack::new().find(b"a", 0, 1), None);
}

#[test]
fn texts_and_integers_that_were_built_by_hand_are_equal() {
    // A 64-bit 5, and the text "5".
    let wide = b"\x11\0\0\0\x01\0\xf4\x05\0\0\0\0\0\0\0\x09\xff";
    let text = b"\x0a\0\0\0\x01\0\x815\x02\xff";
    for bytes in [&wide[..], &text[..]] {
        let built = Listpack::from_redis(bytes).unwrap();
        assert_eq!(built, pack(&[b"5"]));
        assert_eq!(built.find(b"5", 0, 1), Some(0));
        assert_eq!(built.to_redis(), bytes);
    }
}

#[test]
fn damage_is_refused() {
    let good = pack(&[b"abc", b"5", b"70000", &[b'x'; 200]]).to_redis();
    assert!(Listpack::from_redis(&good).is_ok());
    for cut in 0..good.len() {
        assert!(Listpack::from_redis(&good[..cut]).is_err());
    }
    for (at, byte) in [
        (0, 1),
        (4, 3),
        (6, 0x82),
        (6, 0xf7),
        (10, 5),
        (good.len() - 1, 0),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(Listpack::from_redis(&bad), Err(Corrupt), "{at}");
    }
    let mut unknown = good.clone();
    unknown[4..6].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(Listpack::from_redis(&unknown).map(|p| p.len()), Ok(4));
}

#[test]
fn more_elements_than_the_header_counts() {
    let mut pack = Listpack::new();
    (0..70_000).for_each(|i| pack.push_back(i.to_string().as_bytes()));
    assert_eq!(pack.to_redis()[4..6], [0xff, 0xff]);
    assert_eq!(Listpack::from_redis(&pack.to_redis()), Ok(pack));
}

#[derive(Clone, Debug)]
enum Edit {
    Front(Vec<u8>),
    Back(Vec<u8>),
    Before(usize, Vec<u8>),
    After(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
    RemoveRange(i64, usize),
    Retain(u8),
    Rotate(usize),
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|v| v.to_string().into_bytes()),
        (-5000i64..5000).prop_map(|v| v.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..8),
        (0usize..300).prop_map(|len| vec![b'x'; len]),
        (4000usize..4200).prop_map(|len| vec![b'y'; len]),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = || 0usize..1000;
    prop_oneof![
        element().prop_map(Edit::Front),
        element().prop_map(Edit::Back),
        (at(), element()).prop_map(|(at, e)| Edit::Before(at, e)),
        (at(), element()).prop_map(|(at, e)| Edit::After(at, e)),
        (at(), element()).prop_map(|(at, e)| Edit::Replace(at, e)),
        (at(), 0usize..4).prop_map(|(at, n)| Edit::Remove(at, n)),
        (-20i64..20, 0usize..4).prop_map(|(at, n)| Edit::RemoveRange(at, n)),
        any::<u8>().prop_map(Edit::Retain),
        at().prop_map(Edit::Rotate),
    ]
}

fn apply(pack: &mut Listpack, model: &mut Vec<Vec<u8>>, edit: Edit) {
    let len = model.len();
    let place = |at: usize| (len > 0).then(|| at % len);
    let pos = |pack: &Listpack, i: usize| pack.seek(i as i64).unwrap();
    match edit {
        Edit::Front(e) => {
            pack.push_front(&e);
            model.insert(0, e);
        }
        Edit::Back(e) => {
            pack.push_back(&e);
            model.push(e);
        }
        Edit::Before(at, e) => {
            let Some(i) = place(at) else { return };
            pack.insert_before(pos(pack, i), &e);
            model.insert(i, e);
        }
        Edit::After(at, e) => {
            let Some(i) = place(at) else { return };
            pack.insert_after(pos(pack, i), &e);
            model.insert(i + 1, e);
        }
        Edit::Replace(at, e) => {
            let Some(i) = place(at) else { return };
            pack.replace(pos(pack, i), &e);
            model[i] = e;
        }
        Edit::Remove(at, n) => {
            let Some(i) = place(at) else { return };
            pack.delete_at(pos(pack, i), n);
            model.drain(i..(i + n).min(len));
        }
        Edit::RemoveRange(index, n) => {
            pack.remove_range(index, n);
            let i = if index < 0 { index + len as i64 } else { index };
            if (0..len as i64).contains(&i) {
                model.drain(i as usize..(i as usize + n).min(len));
            }
        }
        Edit::Retain(mask) => {
            let keep = |text: &[u8]| text.last().is_some_and(|last| last & mask != 0);
            let removed = pack.retain(|element| element.with(keep));
            model.retain(|element| keep(element));
            assert_eq!(removed, len - model.len());
        }
        Edit::Rotate(at) => {
            let Some(i) = place(at) else { return };
            let mut rest = pack.split_off(pos(pack, i));
            rest.append(pack);
            *pack = rest;
            model.rotate_left(i);
        }
    }
}

proptest! {
    #[test]
    fn it_edits_as_a_vector_does(edits in prop::collection::vec(edit(), 0..60)) {
        let (mut pack, mut model) = (Listpack::new(), Vec::new());
        for edit in edits {
            apply(&mut pack, &mut model, edit);
            check(&pack, &model);
            for (i, element) in model.iter().enumerate() {
                let pos = pack.seek(i as i64).unwrap();
                prop_assert!(pack.get(pos).is(element));
                prop_assert_eq!(pack.next(pos), pack.seek(i as i64 + 1));
                prop_assert_eq!(pack.prev(pos).is_some(), i > 0);
                prop_assert_eq!(pack.iter_before(pos).count(), i);
                let found = pack.find(element, 0, 1).unwrap();
                prop_assert!(found <= pos && pack.get(found).is(element));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Listpack::from_redis(&bytes);
        // With a frame that is right, so that the entries are looked at.
        let mut framed = (bytes.len() as u32 + 7).to_le_bytes().to_vec();
        framed.extend_from_slice(&[0xff, 0xff]);
        framed.extend_from_slice(&bytes);
        framed.push(0xff);
        if let Ok(pack) = Listpack::from_redis(&framed) {
            prop_assert_eq!(pack.iter().count(), pack.len());
            prop_assert_eq!(pack.iter().rev().count(), pack.len());
        }
    }

    #[test]
    fn damaged_packs_are_read_or_refused(
        elements in prop::collection::vec(element(), 1..20),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut pack = Listpack::new();
        pack.extend(elements.iter().map(Vec::as_slice));
        let mut bytes = pack.to_redis();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(pack) = Listpack::from_redis(&bytes) {
            prop_assert_eq!(pack.iter().count(), pack.len());
            prop_assert_eq!(pack.iter().rev().count(), pack.len());
            check(&pack.iter().fold(Listpack::new(), |mut all, e| {
                e.with(|e| all.push_back(e));
                all
            }), &contents(&pack));
        }
    }
}

use super::*;
use proptest::prelude::*;

fn sketch_of(elements: impl IntoIterator<Item = u32>, max_sparse: usize) -> Vec<u8> {
    let mut bytes = empty();
    for element in elements {
        let rank = Rank::of(&element.to_le_bytes());
        raise(&mut bytes, rank, max_sparse).expect("whole");
    }
    bytes
}

#[test]
fn elements_have_the_ranks_that_redis_gives_them() {
    // Of `PFADD h x` and PFDEBUG DECODE there: "Z:16374 v:2,1 z:9".
    assert_eq!(
        Rank::of(b"x"),
        Rank {
            index: 16374,
            rank: 2
        }
    );
}

#[test]
fn only_what_looks_like_a_sketch_is_one() {
    let sparse = empty();
    let mut dense = empty();
    assert_eq!(make_dense(&mut dense), Ok(true));
    assert_eq!(make_dense(&mut dense), Ok(false));
    assert_eq!(encoding(&sparse), Ok(Encoding::Sparse));
    assert_eq!(encoding(&dense), Ok(Encoding::Dense));
    assert_eq!(encoding(&sparse[..HEAD]), Ok(Encoding::Sparse));
    let longer = [&dense[..], b"x"].concat();
    let mut other = sparse.clone();
    other[ENCODING_AT] = 2;
    let bad = [
        &b""[..],
        b"HYLL",
        &sparse[..HEAD - 1],
        &dense[..1000],
        &longer,
        &other,
    ];
    for bytes in bad {
        assert_eq!(encoding(bytes), Err(NoSketch), "{} bytes", bytes.len());
    }
}

#[test]
fn the_estimate_is_within_its_error() {
    for (n, max_sparse) in [(10, 3000), (1000, 3000), (10_000, 3000), (100_000, 0)] {
        let count = count(&sketch_of(0..n, max_sparse)).expect("whole") as f64;
        let error = (count - f64::from(n)).abs() / f64::from(n);
        assert!(error < 0.03, "{n} counted as {count}");
    }
}

#[test]
fn a_count_is_kept_until_registers_change() {
    let mut bytes = empty();
    assert_eq!(kept_count(&bytes), Some(0));
    let rank = Rank::of(b"a");
    assert_eq!(raise(&mut bytes, rank, 100), Ok(true));
    assert_eq!(kept_count(&bytes), None);
    keep_count(&mut bytes, 0x7f00_0000_0000_0001);
    assert_eq!(kept_count(&bytes), Some(0x7f00_0000_0000_0001));
    assert_eq!(raise(&mut bytes, rank, 100), Ok(false));
    assert!(kept_count(&bytes).is_some());
    forget_count(&mut bytes);
    assert_eq!(kept_count(&bytes), None);
}

#[test]
fn damaged_registers_are_seen() {
    let mut short = empty();
    short.truncate(HEAD + 1);
    let long = [&empty()[..], &[0x80]].concat();
    let nothing = empty()[..HEAD].to_vec();
    for bytes in [short, long, nothing] {
        assert_eq!(count(&bytes), Err(Corrupt));
        assert_eq!(Union::default().add(&bytes), Err(Corrupt));
        let mut same = bytes.clone();
        assert_eq!(make_dense(&mut same), Err(Corrupt));
        assert_eq!(same, bytes);
    }
}

proptest! {
    #[test]
    fn encodings_agree(elements in prop::collection::vec(0..5000u32, 0..300)) {
        let sparse = sketch_of(elements.iter().copied(), 1 << 20);
        let dense = sketch_of(elements.iter().copied(), 0);
        prop_assert_eq!(encoding(&sparse), Ok(Encoding::Sparse));
        let mut made = sparse.clone();
        make_dense(&mut made).expect("whole");
        if !elements.is_empty() {
            prop_assert_eq!(&made[HEAD..], &dense[HEAD..]);
        }
        prop_assert_eq!(count(&sparse), count(&dense));
        for bytes in [&sparse, &dense] {
            for element in &elements {
                let rank = Rank::of(&element.to_le_bytes());
                prop_assert_eq!(is_raised_by(bytes, rank), Ok(false));
            }
        }
    }

    #[test]
    fn a_union_counts_what_any_has_seen(
        left in prop::collection::vec(0..5000u32, 0..200),
        right in prop::collection::vec(0..5000u32, 0..200),
        limits in (0..600usize, 0..600usize),
    ) {
        let a = sketch_of(left.iter().copied(), limits.0);
        let b = sketch_of(right.iter().copied(), limits.1);
        let both = sketch_of(left.into_iter().chain(right), 0);
        let mut union = Union::default();
        union.add(&a).expect("whole");
        union.add(&b).expect("whole");
        prop_assert_eq!(Ok(union.count()), count(&both));
        for mut target in [empty(), a, b] {
            union.pour_into(&mut target, 300).expect("whole");
            prop_assert_eq!(kept_count(&target), None);
            prop_assert_eq!(Ok(union.count()), count(&target));
        }
    }
}

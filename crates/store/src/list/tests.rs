use super::*;
use proptest::prelude::*;

/// A list, the same as a vector, and the limits.
struct Pair {
    list: List,
    model: Vec<Vec<u8>>,
    limits: Limits,
}

#[derive(Clone, Debug)]
enum Edit {
    Push(End, Vec<Vec<u8>>),
    Pop(End, usize),
    Cut(End, usize),
    Insert(usize, Place, Vec<u8>),
    Set(usize, Vec<u8>),
    Remove(usize, End, usize),
    Trim(usize, usize),
    Limit(i64),
}

fn limits(list_max_listpack_size: i64) -> Limits {
    Limits {
        list_max_listpack_size,
        ..Limits::DEFAULT
    }
}

impl Pair {
    fn new(directive: i64) -> Pair {
        Pair {
            list: List::default(),
            model: Vec::new(),
            limits: limits(directive),
        }
    }

    fn push(&mut self, end: End, elements: Vec<Vec<u8>>) {
        let bytes = elements.iter().map(Vec::len).sum();
        self.list.make_room(&self.limits, elements.len(), bytes);
        for element in elements {
            self.list.push(end, &element);
            let at = if end == End::Head {
                0
            } else {
                self.model.len()
            };
            self.model.insert(at, element);
        }
    }

    fn cut(&mut self, end: End, n: usize) {
        let n = n.min(self.model.len());
        match end {
            End::Head => drop(self.model.drain(..n)),
            End::Tail => self.model.truncate(self.model.len() - n),
        }
    }

    fn apply(&mut self, edit: Edit) {
        let len = self.model.len();
        let place = |at: usize| (len > 0).then(|| at % len);
        match edit {
            Edit::Push(end, elements) => self.push(end, elements),
            Edit::Pop(end, n) => {
                for _ in 0..n {
                    let popped = self.list.pop(end, |e| e.text().into_owned());
                    let expected = match end {
                        End::Head => self.model.first(),
                        End::Tail => self.model.last(),
                    };
                    assert_eq!(popped.as_ref(), expected);
                    self.cut(end, 1);
                }
            }
            Edit::Cut(end, n) => {
                self.list.cut(end, n);
                self.cut(end, n);
            }
            Edit::Insert(at, place_of, element) => {
                let Some(i) = place(at) else { return };
                self.list.make_room(&self.limits, 1, element.len());
                self.list.insert(i, place_of, &element);
                let i = i + usize::from(place_of == Place::After);
                self.model.insert(i, element);
            }
            Edit::Set(at, element) => {
                let Some(i) = place(at) else { return };
                self.list.make_room(&self.limits, 1, element.len());
                self.list.set(i, &element);
                self.model[i] = element;
            }
            Edit::Remove(at, end, n) => {
                let Some(i) = place(at) else { return };
                self.remove(self.model[i].clone(), end, n);
            }
            Edit::Trim(start, n) => {
                let Some(start) = place(start) else { return };
                self.list.cut(End::Head, start);
                let rest = self.list.len().saturating_sub(n);
                self.list.cut(End::Tail, rest);
                self.cut(End::Head, start);
                self.model.truncate(n);
            }
            Edit::Limit(directive) => self.limits = limits(directive),
        }
        self.list.shrink(&self.limits);
    }

    fn remove(&mut self, element: Vec<u8>, end: End, n: usize) {
        let mut left = n;
        let mut keep = |e: &Vec<u8>| {
            let hit = left > 0 && *e == element;
            left -= usize::from(hit);
            !hit
        };
        match end {
            End::Head => self.model.retain(keep),
            End::Tail => {
                let mut kept: Vec<_> = self.model.drain(..).rev().filter(&mut keep).collect();
                kept.reverse();
                self.model = kept;
            }
        }
        assert_eq!(self.list.remove(&element, end, n), n - left);
    }

    fn check(&self) {
        let (list, model) = (&self.list, &self.model);
        assert_eq!(list.len(), model.len());
        for end in [End::Head, End::Tail] {
            for (skipped, n) in [
                (0, usize::MAX),
                (1, 3),
                (model.len() / 2, 5),
                (model.len(), 1),
            ] {
                let mut seen = Vec::new();
                list.walk(end, skipped, n, |e| {
                    seen.push(e.text().into_owned());
                    true
                });
                let equal = match end {
                    End::Head => model.iter().skip(skipped).take(n).eq(&seen),
                    End::Tail => model.iter().rev().skip(skipped).take(n).eq(&seen),
                };
                assert!(equal, "{end:?} {skipped} {n}");
            }
        }
        for (i, element) in model.iter().enumerate().step_by(1 + model.len() / 20) {
            assert!(list.get(i).is_some_and(|e| e.is(element)));
            let first = model.iter().position(|e| e == element);
            assert_eq!(list.find(element), first);
        }
        assert!(list.get(model.len()).is_none());
        if let List::Chunks(chunks) = list {
            chunks.check();
        }
    }
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Head), Just(End::Tail)]
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0i64..20).prop_map(|v| v.to_string().into_bytes()),
        4 => any::<i64>().prop_map(|v| v.to_string().into_bytes()),
        4 => prop::collection::vec(any::<u8>(), 0..8),
        4 => (0usize..300).prop_map(|len| vec![b'x'; len]),
        2 => (1000usize..4200).prop_map(|len| vec![b'y'; len]),
        1 => (4000usize..70_000).prop_map(|len| vec![b'z'; len]),
    ]
}

fn short() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..30)
}

fn directive() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(-2),
        Just(-1),
        Just(-5),
        Just(0),
        Just(1),
        Just(2),
        Just(5),
        Just(128)
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = || 0usize..10_000;
    let place = || prop_oneof![Just(Place::Before), Just(Place::After)];
    prop_oneof![
        6 => (end(), prop::collection::vec(element(), 1..20)).prop_map(|(e, v)| Edit::Push(e, v)),
        1 => (end(), short(), 1usize..3000).prop_map(|(e, v, n)| Edit::Push(e, vec![v; n])),
        3 => (end(), 1usize..20).prop_map(|(e, n)| Edit::Pop(e, n)),
        1 => (end(), 0usize..500).prop_map(|(e, n)| Edit::Cut(e, n)),
        3 => (at(), place(), element()).prop_map(|(i, p, e)| Edit::Insert(i, p, e)),
        3 => (at(), element()).prop_map(|(i, e)| Edit::Set(i, e)),
        2 => (at(), end(), 0usize..5).prop_map(|(i, e, n)| Edit::Remove(i, e, n)),
        1 => (at(), 1usize..1000).prop_map(|(i, n)| Edit::Trim(i, n)),
        1 => directive().prop_map(Edit::Limit),
    ]
}

proptest! {
    #[test]
    fn it_edits_as_a_vector_does(
        directive in directive(),
        edits in prop::collection::vec(edit(), 0..60),
    ) {
        let mut pair = Pair::new(directive);
        for (i, edit) in edits.into_iter().enumerate() {
            pair.apply(edit);
            if i % 4 == 3 {
                pair.check();
            }
        }
        pair.check();
        let copy = Pair { list: pair.list.clone(), ..pair };
        copy.check();
    }
}

/// A list of `n` elements of 16 bytes.
fn long(n: usize, end: End) -> List {
    let mut list = List::default();
    for i in 0..n {
        let element = format!("element:{i:08}");
        list.make_room(&Limits::DEFAULT, 1, element.len());
        list.push(end, element.as_bytes());
    }
    list
}

#[test]
fn a_million_short_elements_take_little_more_than_their_bytes() {
    for end in [End::Head, End::Tail] {
        let list = long(1_000_000, end);
        assert_eq!(list.len(), 1_000_000);
        // Two bytes of an entry beside its text.
        let each = list.memory() as f64 / 1e6;
        assert!(each < 18.2, "{each} bytes per element");
    }
}

#[test]
fn a_list_becomes_long_beyond_the_limit_and_short_at_half_of_it() {
    let limits = limits(4);
    let mut pair = Pair::new(4);
    let names = |n: usize| (0..n).map(|i| i.to_string().into_bytes()).collect();
    pair.push(End::Tail, names(4));
    assert_eq!(pair.list.encoding(), "listpack");
    pair.push(End::Tail, names(1));
    assert_eq!(pair.list.encoding(), "quicklist");
    for (left, encoding) in [(4, "quicklist"), (3, "quicklist"), (2, "listpack")] {
        pair.list.cut(End::Tail, pair.list.len() - left);
        pair.list.shrink(&limits);
        assert_eq!(pair.list.encoding(), encoding, "{left}");
    }
}

#[test]
fn a_large_element_is_alone() {
    let mut list = long(10, End::Tail);
    let large = vec![b'x'; 9000];
    list.make_room(&Limits::DEFAULT, 1, large.len());
    list.insert(5, Place::Before, &large);
    let sizes: Vec<_> = list
        .nodes()
        .map(|node| match node {
            Node::Plain(text) => text.len(),
            Node::Packed(_, n) => n,
        })
        .collect();
    assert_eq!(sizes, [5, 9000, 5]);
    list.set(5, b"small");
    assert_eq!(list.nodes().count(), 2);
}

#[test]
fn it_is_freed_in_slices() {
    let mut list = long(100_000, End::Tail);
    let chunks = list.weight();
    assert!(chunks > 200);
    let mut slices = 0;
    while !list.free_some(50) {
        slices += 1;
    }
    assert!(slices >= chunks / 50 - 1);
}

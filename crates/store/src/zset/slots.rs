//! Boxes with numbers, which stay while others come and go. They stand in segments, so that having
//! many never means moving them all, and copies share the segments until one of them changes one.

use crate::shared::Shared;

const SEGMENT: usize = 512;

/// Boxes by number.
#[derive(Clone)]
pub(super) struct Slots<T: Clone + Send + Sync> {
    segments: Vec<Shared<Vec<Option<T>>>>,
    /// Numbers that were given back.
    free: Vec<u32>,
    used: usize,
}

impl<T: Clone + Send + Sync> Slots<T> {
    pub(super) fn new() -> Slots<T> {
        Slots {
            segments: Vec::new(),
            free: Vec::new(),
            used: 0,
        }
    }

    /// Keeps something, and answers its number.
    pub(super) fn put(&mut self, value: T) -> u32 {
        self.used += 1;
        if let Some(number) = self.free.pop() {
            *self.slot(number) = Some(value);
            return number;
        }
        if self.segments.last().is_none_or(|s| s.len() == SEGMENT) {
            self.segments.push(Shared::default());
        }
        let before = (self.segments.len() - 1) * SEGMENT;
        let last = self.segments.last_mut().expect("there is one now");
        last.own().push(Some(value));
        (before + last.len() - 1) as u32
    }

    fn slot(&mut self, number: u32) -> &mut Option<T> {
        let number = number as usize;
        &mut self.segments[number / SEGMENT].own()[number % SEGMENT]
    }

    /// Takes out what has a number in use.
    pub(super) fn take(&mut self, number: u32) -> T {
        let value = self.slot(number).take().expect("the number is in use");
        self.free.push(number);
        self.used -= 1;
        value
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        let number = number as usize;
        let slot = &self.segments[number / SEGMENT][number % SEGMENT];
        slot.as_ref().expect("the number is in use")
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        self.slot(number).as_mut().expect("the number is in use")
    }

    /// Two at once, whose numbers differ.
    pub(super) fn pair_mut(&mut self, a: u32, b: u32) -> (&mut T, &mut T) {
        let (a, b) = (a as usize, b as usize);
        let (a_segment, b_segment) = (a / SEGMENT, b / SEGMENT);
        let (a_slot, b_slot) = if a_segment == b_segment {
            let slots = [a % SEGMENT, b % SEGMENT];
            let segment = self.segments[a_segment].own();
            let [x, y] = segment.get_disjoint_mut(slots).expect("they differ");
            (x, y)
        } else {
            let segments = [a_segment, b_segment];
            let [x, y] = self
                .segments
                .get_disjoint_mut(segments)
                .expect("they differ");
            (&mut x.own()[a % SEGMENT], &mut y.own()[b % SEGMENT])
        };
        let in_use = "the number is in use";
        (
            a_slot.as_mut().expect(in_use),
            b_slot.as_mut().expect(in_use),
        )
    }

    /// How many there are.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Drops up to `budget` of them for good; answers how many are left of the budget.
    pub(super) fn drop_some(&mut self, budget: usize) -> usize {
        let mut left = budget;
        while left > 0 {
            let Some(last) = self.segments.last_mut() else {
                break;
            };
            left -= last.shed(left);
            if last.is_empty() {
                self.segments.pop();
            }
        }
        left
    }

    /// Bytes of the segments and of what the boxes point to, which is guessed from some of them.
    pub(super) fn memory(&self, of: impl Fn(&T) -> usize) -> usize {
        const SOME: usize = 64;
        let (mut bytes, mut n) = (0, 0);
        for value in self
            .segments
            .iter()
            .flat_map(|s| s.iter())
            .flatten()
            .take(SOME)
        {
            bytes += of(value);
            n += 1;
        }
        let slots: usize = self.segments.iter().map(|s| s.capacity()).sum();
        slots * size_of::<Option<T>>()
            + self.free.capacity() * size_of::<u32>()
            + bytes * self.used / n.max(1)
    }
}

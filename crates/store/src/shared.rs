//! Parts of collections that a copy shares with its original until one of them changes it.
//!
//! So a copy of a collection costs as much as the array of its parts, whatever is in them: what a dump is
//! written from. Who changes a part that somebody else has too gets one of its own first. A part that nobody
//! else has ever had costs one null pointer and one comparison.
//!
//! # Safety
//!
//! Both sides have the same bytes of `T`, and read what they lead to. [`Shared::own`] is the only way to
//! change that; there, and when a side goes, the count of the [`Arc`] both sides hold says whether it is the
//! last one, and only that one has the value for itself.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) struct Shared<T: Clone + Send + Sync> {
    value: ManuallyDrop<T>,
    /// An `Arc` that all sides hold; null if there was never another one.
    sides: AtomicPtr<()>,
}

impl<T: Clone + Send + Sync> Shared<T> {
    pub(crate) const fn new(value: T) -> Shared<T> {
        Shared {
            value: ManuallyDrop::new(value),
            sides: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Whether somebody else has it too.
    pub(crate) fn is_shared(&self) -> bool {
        let sides = self.sides.load(Ordering::Acquire);
        if sides.is_null() {
            return false;
        }
        // SAFETY: it came from an `Arc` that this side holds.
        let sides = ManuallyDrop::new(unsafe { Arc::from_raw(sides.cast_const()) });
        Arc::strong_count(&sides) > 1
    }

    /// The value, to be changed.
    #[inline]
    pub(crate) fn own(&mut self) -> &mut T {
        if !self.sides.get_mut().is_null() {
            self.part();
        }
        &mut self.value
    }

    /// Gets a value of its own, unless the other sides have gone.
    #[cold]
    #[inline(never)]
    fn part(&mut self) {
        let sides = std::mem::replace(self.sides.get_mut(), std::ptr::null_mut());
        // SAFETY: it came from an `Arc` that this side holds, and this is where it is given up.
        let mut sides = unsafe { Arc::from_raw(sides.cast_const()) };
        if Arc::get_mut(&mut sides).is_some() {
            return;
        }
        let own = ManuallyDrop::new(T::clone(&self.value));
        let mut before = std::mem::replace(&mut self.value, own);
        if Arc::into_inner(sides).is_some() {
            // SAFETY: the others have gone meanwhile, so nobody has it any more.
            unsafe { ManuallyDrop::drop(&mut before) };
        }
    }

    /// The value, if nobody else has it.
    pub(crate) fn into_inner(mut self) -> T {
        self.own();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: it has the value for itself, and is not dropped.
        unsafe { ManuallyDrop::take(&mut this.value) }
    }
}

impl<T: Clone + Send + Sync> Shared<Vec<T>> {
    /// Drops some elements from the end, or all at once if somebody else has them too; answers how many drops
    /// that were.
    pub(crate) fn shed(&mut self, budget: usize) -> usize {
        if self.is_shared() {
            *self = Shared::default();
            return 1;
        }
        let dropped = budget.min(self.len());
        let left = self.len() - dropped;
        self.own().truncate(left);
        dropped
    }
}

impl<T: Clone + Send + Sync> Clone for Shared<T> {
    /// Another side.
    fn clone(&self) -> Shared<T> {
        let mut sides = self.sides.load(Ordering::Acquire);
        if sides.is_null() {
            let fresh = Arc::into_raw(Arc::new(())).cast_mut();
            let null = std::ptr::null_mut();
            let won = self
                .sides
                .compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire);
            sides = match won {
                Ok(_) => fresh,
                Err(other) => {
                    // SAFETY: it came from there just now, and nobody else has seen it.
                    drop(unsafe { Arc::from_raw(fresh.cast_const()) });
                    other
                }
            };
        }
        // SAFETY: it came from an `Arc` that this side holds. The bytes of the value are read by both from
        // now on.
        unsafe {
            Arc::increment_strong_count(sides.cast_const());
            Shared {
                value: std::ptr::read(&self.value),
                sides: AtomicPtr::new(sides),
            }
        }
    }
}

impl<T: Clone + Send + Sync> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone + Send + Sync + Default> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared::new(T::default())
    }
}

impl<T: Clone + Send + Sync + std::fmt::Debug> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Clone + Send + Sync> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        let sides = *self.sides.get_mut();
        // SAFETY: the `Arc` is given up once, here, and the value is dropped by the last side.
        unsafe {
            if sides.is_null() || Arc::into_inner(Arc::from_raw(sides.cast_const())).is_some() {
                ManuallyDrop::drop(&mut self.value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_part_when_one_changes() {
        let mut one = Shared::new(vec![1, 2, 3]);
        let address = one.as_ptr();
        let mut two = one.clone();
        let three = two.clone();
        assert!(one.is_shared() && std::ptr::eq(two.as_ptr(), address));
        one.own().push(4);
        assert!(!one.is_shared() && two.is_shared());
        assert_eq!((&one[..], &two[..]), (&[1, 2, 3, 4][..], &[1, 2, 3][..]));
        drop(three);
        two.own().push(5);
        // The last one has what they had.
        assert!(!two.is_shared());
        assert_eq!(
            (one.into_inner(), two.into_inner()),
            (vec![1, 2, 3, 4], vec![1, 2, 3, 5])
        );
    }

    #[test]
    fn the_last_side_drops_the_value() {
        let counted = Arc::new(());
        let one = Shared::new(vec![Arc::clone(&counted)]);
        let sides: Vec<_> = (0..4).map(|_| one.clone()).collect();
        let threads = sides.into_iter().map(|mut side| {
            std::thread::spawn(move || {
                if side.is_shared() {
                    side.own().pop();
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        drop(one);
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("it ends"));
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}

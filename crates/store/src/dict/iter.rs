//! Going through all elements.

use super::Dict;
use super::bucket::{Bucket, Records};
use super::long::Longs;
use super::page::Page;

/// The elements of a dictionary with their payloads.
#[derive(Clone)]
pub struct Iter<'a> {
    dict: &'a Dict,
    page: usize,
    buckets: std::slice::Iter<'a, Bucket>,
    records: Records<'a>,
    left: usize,
}

impl<'a> Iter<'a> {
    pub(super) fn new(dict: &'a Dict) -> Iter<'a> {
        Iter {
            dict,
            page: 0,
            buckets: [].iter(),
            records: Records::default(),
            left: dict.len(),
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.records.next() {
                self.left -= 1;
                return Some(self.dict.pair(record));
            }
            if let Some(bucket) = self.buckets.next() {
                self.records = bucket.records();
            } else {
                self.buckets = self.dict.pages.get(self.page)?.buckets().iter();
                self.page += 1;
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The elements of a dictionary that nobody else needs.
pub struct Drain {
    pub(super) pages: std::vec::IntoIter<Page>,
    pub(super) longs: Longs,
}

impl Drain {
    /// Visits the elements of the next page, and lets go of it; false when there is none left.
    pub fn next_page(&mut self, mut visit: impl FnMut(&[u8], &[u8])) -> bool {
        let Some(page) = self.pages.next() else {
            return false;
        };
        for record in page.buckets().iter().flat_map(Bucket::records) {
            let (key, payload) = self.longs.pair(record);
            visit(key, payload);
        }
        true
    }
}

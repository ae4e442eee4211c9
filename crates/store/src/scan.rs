//! Walking a database in hash order.

use crate::shard::{Item, Shard, item};

impl Shard {
    /// Visits the live keys of the bucket at `cursor` and answers the next cursor, 0 at the end.
    /// Keys that are there during a whole walk are visited, and hardly ever twice; see
    /// [`crate::table::Table::scan`]. A cursor has [`crate::table::CURSOR_BITS`] bits.
    pub fn scan(&self, db: usize, cursor: u64, mut visit: impl FnMut(Item<'_>)) -> u64 {
        let now = self.now_ms();
        self.spaces[db].table.scan(cursor, |entry, _| {
            let item = item(entry);
            if item.expiry().is_none_or(|at| at >= now) {
                visit(item);
            }
        })
    }

    /// Visits every live key of a database.
    pub fn for_each(&self, db: usize, mut visit: impl FnMut(Item<'_>)) {
        let mut cursor = 0;
        loop {
            cursor = self.scan(db, cursor, &mut visit);
            if cursor == 0 {
                return;
            }
        }
    }
}

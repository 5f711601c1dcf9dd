//! The locks: the node's [`ShardCell`]s, each behind a reader-writer lock.
//!
//! Locks of several shards are taken in ascending order only; see `ringhold_node::cells`.

#[cfg(test)]
mod tests;

use ringhold_node::cells::Cells;
use ringhold_node::shard_cell::ShardCell;

use crate::locks::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A lock on cache lines of its own, so that two shards never share one.
#[repr(align(128))]
#[derive(Debug)]
struct Padded(RwLock<ShardCell>);

/// All shards of this node.
#[derive(Debug)]
pub(crate) struct Shards {
    cells: Box<[Padded]>,
}

impl Shards {
    /// Puts a lock around each cell.
    ///
    /// # Panics
    ///
    /// Unless their number is a power of two.
    #[must_use]
    pub(crate) fn new(cells: Vec<ShardCell>) -> Self {
        assert!(cells.len().is_power_of_two(), "a slot's shard is found with a mask");
        Self { cells: cells.into_iter().map(|cell| Padded(RwLock::new(cell))).collect() }
    }
}

impl Cells for Shards {
    type Read<'a> = RwLockReadGuard<'a, ShardCell>;
    type Write<'a> = RwLockWriteGuard<'a, ShardCell>;

    #[inline]
    fn count(&self) -> usize {
        self.cells.len()
    }

    #[inline]
    fn read(&self, idx: usize) -> Self::Read<'_> {
        self.cells[idx].0.read()
    }

    #[inline]
    fn write(&self, idx: usize) -> Self::Write<'_> {
        self.cells[idx].0.write()
    }

    #[inline]
    fn try_write(&self, idx: usize) -> Option<Self::Write<'_>> {
        self.cells[idx].0.try_write()
    }
}

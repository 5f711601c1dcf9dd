//! How a request reaches the shards that it needs.
//!
//! [`Cells`] is what the edge provides: the node's [`ShardCell`]s behind locks (or behind nothing, in a
//! simulator). [`Access`] is what command execution is given: it takes a shard for one key at a time, or
//! holds all shards of a multi-key command or a transaction at once.
//!
//! Deadlock freedom: whoever holds one cell and waits for another waits for one with a greater index;
//! whoever needs room in another shard only *tries* its lock ([`with_room`]).

use std::ops::{Deref, DerefMut};

use ringhold_store::entry::UpdateError;
use ringhold_types::slot::Slot;
use ringhold_types::time::Now;

use crate::shard_cell::ShardCell;

/// The node's shards, each behind its lock.
pub trait Cells: 'static {
    /// Shared access to a cell.
    type Read<'a>: Deref<Target = ShardCell>
    where
        Self: 'a;
    /// Exclusive access to a cell.
    type Write<'a>: DerefMut<Target = ShardCell>
    where
        Self: 'a;

    /// The number of shards, a power of two.
    fn count(&self) -> usize;

    /// Waits for shared access to shard `idx`.
    fn read(&self, idx: usize) -> Self::Read<'_>;

    /// Waits for exclusive access to shard `idx`.
    fn write(&self, idx: usize) -> Self::Write<'_>;

    /// Exclusive access to shard `idx` if nobody has it now.
    fn try_write(&self, idx: usize) -> Option<Self::Write<'_>>;

    /// The shard that holds `slot`.
    #[inline]
    fn shard_of(&self, slot: Slot) -> usize {
        slot.index() & (self.count() - 1)
    }
}

/// The shards that one command works on.
pub struct Access<'c, C: Cells> {
    cells: &'c C,
    /// Cells held for the whole command, in ascending order; empty: each key takes its own.
    held: Vec<(usize, C::Write<'c>)>,
}

impl<C: Cells> std::fmt::Debug for Access<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held: Vec<usize> = self.held.iter().map(|(idx, _)| *idx).collect();
        f.debug_struct("Access").field("held", &held).finish_non_exhaustive()
    }
}

impl<'c, C: Cells> Access<'c, C> {
    /// Access that takes each key's shard when it is needed.
    #[inline]
    pub fn each(cells: &'c C) -> Self {
        Self { cells, held: Vec::new() }
    }

    /// Access that holds `shards` (any order, repeats allowed) until it is dropped, so that what happens on
    /// them is seen by others at once or not at all.
    pub fn holding(cells: &'c C, mut shards: Vec<usize>) -> Self {
        shards.sort_unstable();
        shards.dedup();
        Self { cells, held: shards.into_iter().map(|idx| (idx, cells.write(idx))).collect() }
    }

    /// Whether it holds its shards: what is done is seen at once or not at all.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Reads every shard, one after another.
    pub fn read_each(&self, mut read: impl FnMut(&ShardCell)) {
        for idx in 0..self.cells.count() {
            match self.held.iter().find(|(held, _)| *held == idx) {
                Some((_, cell)) => read(cell),
                None => read(&self.cells.read(idx)),
            }
        }
    }

    /// The cells behind this access.
    #[inline]
    pub fn cells(&self) -> &'c C {
        self.cells
    }

    /// Reads the shard of `slot`.
    #[inline]
    pub fn read<R>(&self, slot: Slot, read: impl FnOnce(&ShardCell) -> R) -> R {
        let idx = self.cells.shard_of(slot);
        if self.held.is_empty() {
            return read(&self.cells.read(idx));
        }
        match self.held.binary_search_by_key(&idx, |(held, _)| *held) {
            Ok(at) => read(&self.held[at].1),
            Err(_) => unreachable!("a command touches only the shards of its keys"),
        }
    }

    /// Changes the shard of `slot`, with every cell of the node at hand for finding room.
    #[inline]
    pub fn write<R>(&mut self, slot: Slot, write: impl FnOnce(&mut ShardCell, &C) -> R) -> R {
        let idx = self.cells.shard_of(slot);
        if self.held.is_empty() {
            return write(&mut self.cells.write(idx), self.cells);
        }
        match self.held.binary_search_by_key(&idx, |(held, _)| *held) {
            Ok(at) => write(&mut self.held[at].1, self.cells),
            Err(_) => unreachable!("a command touches only the shards of its keys"),
        }
    }
}

/// How many segments a write may have evicted for its room: a value of the greatest default length takes 512 of the
/// smallest ones. Beyond: `Full`, worth a retry.
const ROOM_ROUNDS_MAX: usize = 1024;
/// How many evictions one after another may have nothing to evict before a write is refused.
const ROOM_MISSES_MAX: usize = 8;

/// Repeats `attempt` on `cell` while it asks for room: first in the shards that it names, if their locks are
/// free, else in its own. At most `ROOM_ROUNDS_MAX` times, and not when nothing can be evicted.
///
/// # Errors
///
/// What `attempt` says last; [`UpdateError::Full`] when no room could be made.
#[inline]
pub fn with_room<C: Cells, R>(
    cells: &C,
    cell: &mut ShardCell,
    now: Now,
    mut attempt: impl FnMut(&mut ShardCell) -> Result<R, UpdateError>,
) -> Result<R, UpdateError> {
    match attempt(cell) {
        Err(UpdateError::NeedRoom { shard }) => make_room(cells, cell, now, shard, &mut attempt),
        done => done,
    }
}

#[cold]
fn make_room<C: Cells, R>(
    cells: &C,
    cell: &mut ShardCell,
    now: Now,
    first: usize,
    attempt: &mut impl FnMut(&mut ShardCell) -> Result<R, UpdateError>,
) -> Result<R, UpdateError> {
    let (mut shard, mut misses) = (first, 0);
    for _ in 0..ROOM_ROUNDS_MAX {
        let is_made = match cells.try_write(shard) {
            Some(mut other) => other.evict_one(now),
            None => cell.make_room(now),
        };
        misses = if is_made { 0 } else { misses + 1 };
        if misses > ROOM_MISSES_MAX {
            return Err(cell.shard().full());
        }
        match attempt(cell) {
            Err(UpdateError::NeedRoom { shard: next }) => shard = next,
            done => return done,
        }
    }
    Err(UpdateError::Full { retry: true })
}

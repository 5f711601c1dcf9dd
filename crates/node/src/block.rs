//! The requests whose memory is fetched together.
//!
//! The keys of a block are looked at in stages, each for all of them before the next: the line of the table, then the
//! item. What one stage reads, the one before has fetched, so the misses of the whole block overlap. The read locks of
//! the block's shards are taken once, in ascending order, and plain reads are answered under them (ENGINE.md,
//! "Batched look-up"); whoever has to write releases them first.

use ringhold_store::hash::KeyHash;
use ringhold_store::shard::Shard;
use ringhold_types::id::NamespaceId;

use crate::cells::Cells;
use crate::shard_cell::ShardCell;

/// The most requests of a block: enough to overlap the misses, few enough that what was fetched is still there.
pub(crate) const BLOCK_LEN: usize = 32;

/// A block of requests, and the read locks of their shards.
pub(crate) struct Block<'c, C: Cells> {
    /// The number of the first request.
    first: usize,
    /// The number of the first request after it.
    end: usize,
    /// Per request, which lock is its shard's; `NO_LOCK`: it has no key.
    lock_of: [u8; BLOCK_LEN],
    locks: [Option<C::Read<'c>>; BLOCK_LEN],
    is_released: bool,
}

const NO_LOCK: u8 = u8::MAX;

impl<'c, C: Cells> Block<'c, C> {
    /// A block of no requests.
    pub(crate) fn empty() -> Self {
        Self {
            first: 0,
            end: 0,
            lock_of: [NO_LOCK; BLOCK_LEN],
            locks: std::array::from_fn(|_| None),
            is_released: true,
        }
    }

    /// The number of the first request after the block.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Where a block that begins with request `first` of `count` ends.
    pub(crate) fn end_from(first: usize, count: usize) -> usize {
        (first + BLOCK_LEN).min(count)
    }

    /// Begins a new block with request `first`, given where the memory of each request's key is.
    pub(crate) fn open(
        &mut self,
        cells: &'c C,
        first: usize,
        places: impl ExactSizeIterator<Item = Option<(NamespaceId, KeyHash)>>,
    ) {
        self.release();
        let count = places.len().min(BLOCK_LEN);
        (self.first, self.end) = (first, first + count);
        let mut keys = [(NamespaceId::DEFAULT, KeyHash::default(), usize::MAX); BLOCK_LEN];
        let mut shards = [usize::MAX; BLOCK_LEN];
        let mut shard_count = 0;
        for (row, place) in keys.iter_mut().zip(places) {
            let Some((namespace, at)) = place else { continue };
            let shard = cells.shard_of(at.slot);
            *row = (namespace, at, shard);
            if !shards[..shard_count].contains(&shard) {
                shards[shard_count] = shard;
                shard_count += 1;
            }
        }
        let shards = &mut shards[..shard_count];
        shards.sort_unstable();
        for (lock, shard) in self.locks.iter_mut().zip(shards.iter()) {
            *lock = Some(cells.read(*shard));
        }
        self.is_released = false;
        for (lock, (_, _, shard)) in self.lock_of.iter_mut().zip(&keys) {
            let found = shards.iter().position(|held| held == shard);
            *lock = found.and_then(|idx| u8::try_from(idx).ok()).unwrap_or(NO_LOCK);
        }
        if count > 1 {
            for stage in [Shard::prefetch_directory, Shard::prefetch_home, Shard::prefetch_item] {
                for (idx, (namespace, at, _)) in keys[..count].iter().enumerate() {
                    if let Some(cell) = self.cell(first + idx) {
                        stage(cell.shard(), *namespace, *at);
                    }
                }
            }
        }
    }

    /// The cell of request `idx`, while the locks are held.
    #[inline]
    pub(crate) fn cell(&self, idx: usize) -> Option<&ShardCell> {
        let lock = *self.lock_of.get(idx.checked_sub(self.first)?)?;
        self.locks.get(usize::from(lock))?.as_deref()
    }

    /// Lets go of the locks.
    pub(crate) fn release(&mut self) {
        if !std::mem::replace(&mut self.is_released, true) {
            self.locks.iter_mut().for_each(|lock| *lock = None);
        }
    }
}

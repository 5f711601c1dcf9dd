//! The requests whose memory is fetched together.
//!
//! The keys of a block are looked up in steps, each for all of them before the next, so that the misses of the whole
//! block overlap. The read locks of the block's shards are taken once, in ascending order, and plain reads are answered
//! under them (ENGINE.md, "Batched look-up"); whoever has to write releases them first.

#[cfg(test)]
mod tests;

use ringhold_store::budget::SHARDS_MAX;
use ringhold_store::entry::Lookup;
use ringhold_store::hash::KeyHash;
use ringhold_store::shard::Probe;
use ringhold_types::id::NamespaceId;
use ringhold_types::time::Now;

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
    /// Per request, which lock is its shard's; `NO_LOCK`: it has no key, or the locks are released.
    lock_of: [u8; BLOCK_LEN],
    probes: [Probe; BLOCK_LEN],
    locks: [Option<C::Read<'c>>; BLOCK_LEN],
    lock_count: usize,
}

const NO_LOCK: u8 = u8::MAX;
const _: () = assert!(BLOCK_LEN < NO_LOCK as usize, "a lock's number fits its byte");

impl<'c, C: Cells> Block<'c, C> {
    /// A block of no requests.
    pub(crate) fn empty() -> Self {
        Self {
            first: 0,
            end: 0,
            lock_of: [NO_LOCK; BLOCK_LEN],
            probes: [Probe::NONE; BLOCK_LEN],
            locks: std::array::from_fn(|_| None),
            lock_count: 0,
        }
    }

    /// The number of the first request after the block.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Begins a new block with request `first`, given where the memory of each request's key is; it takes
    /// [`BLOCK_LEN`] of them at most.
    pub(crate) fn open(
        &mut self,
        cells: &'c C,
        first: usize,
        places: impl Iterator<Item = Option<(NamespaceId, KeyHash)>>,
    ) {
        self.release();
        let mut keys = [None; BLOCK_LEN];
        let mut shards = ShardSet::default();
        let mut count = 0;
        for (key, place) in keys.iter_mut().zip(places) {
            *key = place;
            count += 1;
            if let Some((_, at)) = place {
                shards.insert(cells.shard_of(at.slot));
            }
        }
        (self.first, self.end) = (first, first + count);
        for shard in shards.iter() {
            self.locks[self.lock_count] = Some(cells.read(shard));
            self.lock_count += 1;
        }
        let locks = &self.locks;
        for (idx, key) in keys[..count].iter().enumerate() {
            let Some((namespace, at)) = key else { continue };
            let lock = shards.rank(cells.shard_of(at.slot));
            self.lock_of[idx] = lock;
            if let Some(cell) = &locks[usize::from(lock)] {
                self.probes[idx] = cell.shard().probe(*namespace, *at);
            }
        }
        let rows = self.lock_of[..count].iter().zip(&mut self.probes);
        for (lock, probe) in rows {
            if let Some(Some(cell)) = locks.get(usize::from(*lock)) {
                cell.shard().probe_words(probe);
            }
        }
        let rows = self.lock_of[..count].iter().zip(&mut self.probes);
        for (lock, probe) in rows {
            if let Some(Some(cell)) = locks.get(usize::from(*lock)) {
                cell.shard().probe_item(probe);
            }
        }
    }

    /// The look-up of request `idx`, whose key is `key`; `None` when it has no key, or the locks are released.
    #[inline]
    pub(crate) fn lookup(&self, idx: usize, key: &[u8], now: Now) -> Option<Lookup<'_>> {
        let row = idx.checked_sub(self.first)?;
        let cell: &ShardCell = self.locks.get(usize::from(*self.lock_of.get(row)?))?.as_deref()?;
        Some(cell.shard().finish(&self.probes[row], key, now.unix()))
    }

    /// What is known of request `idx` since the block was opened; the locks need not be held any more.
    #[inline]
    pub(crate) fn probe(&self, idx: usize) -> Probe {
        let row = idx.wrapping_sub(self.first);
        self.probes.get(row).copied().unwrap_or(Probe::NONE)
    }

    /// Lets go of the locks.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.lock_count > 0 {
            self.locks[..self.lock_count].iter_mut().for_each(|lock| *lock = None);
            self.lock_of = [NO_LOCK; BLOCK_LEN];
            self.lock_count = 0;
        }
    }
}

const WORDS: usize = SHARDS_MAX as usize / 64;

/// Some of a node's shards.
#[derive(Debug, Default)]
struct ShardSet {
    bits: [u64; WORDS],
}

impl ShardSet {
    #[inline]
    fn insert(&mut self, shard: usize) {
        self.bits[shard / 64] |= 1 << (shard % 64);
    }

    /// Its shards, in ascending order.
    fn iter(&self) -> impl Iterator<Item = usize> {
        self.bits.iter().enumerate().flat_map(|(word, &bits)| {
            let mut bits = bits;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.checked_sub(1)?;
                Some(word * 64 + bit)
            })
        })
    }

    /// How many of its shards come before `shard`; no more than a block has requests.
    #[inline]
    fn rank(&self, shard: usize) -> u8 {
        let before: u32 = self.bits[..shard / 64].iter().map(|bits| bits.count_ones()).sum();
        let below = (1u64 << (shard % 64)) - 1;
        let rank = before + (self.bits[shard / 64] & below).count_ones();
        u8::try_from(rank).unwrap_or(NO_LOCK)
    }
}

//! Ghosts: fingerprints of the keys that Small gave up lately.
//!
//! Rows of eight 16-bit fingerprints, newest first, addressed by linear hashing (Litwin, VLDB 1980):
//! the table grows and shrinks by one row at a time and is never rebuilt.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Fingerprints in a row.
const ROW: usize = 8;
/// Entries for each ghost: with one for each, what a scan brings back late displaces more than it is worth
/// (docs/decisions/0021-main-is-filled.md).
const ENTRIES_PER_GHOST: usize = 2;
/// Rows in a block, which is what is allocated and charged.
const BLOCK_ROWS: usize = 256;

type Row = [u16; ROW];

const _: () = assert!(size_of::<Row>() == 2 * ROW, "a ghost is two bytes");

/// The ghosts of a space.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    blocks: Vec<Box<[Row]>>,
    rows: usize,
}

impl Ghosts {
    /// The bytes charged for a block.
    pub(crate) const BLOCK_CHARGE: u64 = (BLOCK_ROWS * ROW * 2 + 32) as u64;

    /// Whether `entries` entries deserve one more row.
    pub(crate) fn wants_row(&self, entries: u64) -> bool {
        entries > u64::try_from(self.rows * ROW * ENTRIES_PER_GHOST).unwrap_or(u64::MAX)
    }

    /// Whether one more row needs a new block.
    pub(crate) fn needs_block(&self) -> bool {
        self.rows == self.blocks.len() * BLOCK_ROWS
    }

    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Adds a row: a copy of the row whose keys it shares from now on.
    pub(crate) fn add_row(&mut self) {
        if self.needs_block() {
            self.blocks.push(vec![[0; ROW]; BLOCK_ROWS].into_boxed_slice());
        }
        let new = self.rows;
        self.rows += 1;
        if new > 0 {
            let parent = new - (1 << new.ilog2());
            let row = *self.row(parent);
            *self.row(new) = row;
        }
    }

    /// Drops the last row if there are far more than `entries` deserve; true when a block went too.
    pub(crate) fn shrink(&mut self, entries: u64) -> bool {
        let deserved =
            usize::try_from(entries).unwrap_or(usize::MAX) / (ROW / 2 * ENTRIES_PER_GHOST);
        if self.rows == 0 || self.rows <= deserved + BLOCK_ROWS {
            return false;
        }
        self.rows -= 1;
        if self.rows <= (self.blocks.len() - 1) * BLOCK_ROWS {
            return self.blocks.pop().is_some();
        }
        false
    }

    /// Remembers the key of this hash.
    pub(crate) fn insert(&mut self, hash: u64) {
        if let Some(at) = self.row_of(hash) {
            let row = self.row(at);
            row.copy_within(..ROW - 1, 1);
            row[0] = fingerprint(hash);
        }
    }

    /// Whether the key of this hash is remembered.
    pub(crate) fn has(&mut self, hash: u64) -> bool {
        let Some(at) = self.row_of(hash) else { return false };
        self.row(at).contains(&fingerprint(hash))
    }

    /// Forgets the key of this hash; true if it was remembered.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        let Some(at) = self.row_of(hash) else { return false };
        let row = self.row(at);
        let Some(found) = row.iter().position(|&seen| seen == fingerprint(hash)) else {
            return false;
        };
        row.copy_within(found + 1.., found);
        row[ROW - 1] = 0;
        true
    }

    fn row_of(&self, hash: u64) -> Option<usize> {
        let top = self.rows.checked_ilog2()?;
        let low = (hash & 0xFFFF_FFFF) as usize;
        let wide = low & ((2 << top) - 1);
        Some(if wide < self.rows { wide } else { low & ((1 << top) - 1) })
    }

    fn row(&mut self, at: usize) -> &mut Row {
        &mut self.blocks[at / BLOCK_ROWS][at % BLOCK_ROWS]
    }
}

/// Bits 32 to 47 of the hash, never 0.
fn fingerprint(hash: u64) -> u16 {
    ((hash >> 32 & 0xFFFF) as u16).max(1)
}

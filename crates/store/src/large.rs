//! Large values: pages outside the log, charged until the last reader lets go.
//!
//! Pages hold the value only; the key is kept beside them in the space's list of handles. (The
//! design put key and value into the pages; apart, a value can be received before its command is
//! known.) A value is never contiguous and never copied: the network fills [`LargeWriter::spare`],
//! readers send [`Large::chunks`].
//!
//! Invariant: the bytes of all pages of a value, full or not yet allocated, are charged to the
//! budget from [`LargeWriter`]'s making until the last `Arc` drops. A writer whose value has no known length is made
//! longer as bytes come ([`Shard::grow_large`](crate::shard::Shard::grow_large)), each time after the charge was taken.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::budget::Budget;

/// The length of a page, in bytes.
pub const PAGE_LEN: usize = 64 * 1024;
/// The last page of a value is rounded up to this, in bytes.
const PAGE_STEP: usize = 4 * 1024;
/// Bytes charged for the bookkeeping of a value: its `Arc` and the allocator's share.
const FIXED_CHARGE: u64 = 128;
/// Bytes charged for the bookkeeping of each page.
const PAGE_CHARGE: u64 = 32;

/// The bytes charged for a value of `len` bytes.
pub(crate) fn charge_of(len: usize) -> u64 {
    let pages = len.div_ceil(PAGE_LEN);
    let last = (len % PAGE_LEN).next_multiple_of(PAGE_STEP);
    let whole = (len / PAGE_LEN) * PAGE_LEN;
    wide(whole) + wide(last) + wide(pages) * PAGE_CHARGE + FIXED_CHARGE
}

/// The length of the longest value whose charge is surely within `bytes`.
pub(crate) fn len_within(bytes: u64) -> usize {
    let bytes = bytes.saturating_sub(FIXED_CHARGE);
    let page = wide(PAGE_LEN) + PAGE_CHARGE;
    let last = (bytes % page).saturating_sub(PAGE_CHARGE);
    let len = bytes / page * wide(PAGE_LEN) + last - last % wide(PAGE_STEP);
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Bytes taken from the budget, given back on drop. They are held by the shard between [`LargeWriter::finish`] and
/// [`Large::orphan`] only.
#[derive(Debug)]
struct Charge {
    budget: Arc<Budget>,
    shard: usize,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// A complete large value.
#[derive(Debug)]
pub struct Large {
    pages: Vec<Box<[u8]>>,
    len: usize,
    /// Whether the store has let go and only readers are left.
    orphan: AtomicBool,
    charge: Charge,
}

const _: () = assert!(
    (size_of::<Large>() + 2 * size_of::<usize>()) as u64 <= FIXED_CHARGE,
    "a value and its two counts are charged"
);
const _: () = assert!(size_of::<Box<[u8]>>() as u64 <= PAGE_CHARGE, "so is each page's place");

impl Large {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its bytes in order, in pieces of up to [`PAGE_LEN`].
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len).step_by(PAGE_LEN).map(|offset| self.chunk_at(offset))
    }

    /// The bytes from `offset` to the end of their page; empty from the end of the value on.
    #[must_use]
    pub fn chunk_at(&self, offset: usize) -> &[u8] {
        let page_idx = offset / PAGE_LEN;
        let Some(page) = self.pages.get(page_idx) else { return &[] };
        let end = page.len().min(self.len.saturating_sub(page_idx * PAGE_LEN));
        page.get(offset % PAGE_LEN..end).unwrap_or(&[])
    }

    /// Bytes charged for it.
    pub(crate) fn charge(&self) -> u64 {
        self.charge.bytes
    }

    /// Has the last page that is there be as long as it is in a value of `len` bytes.
    fn fit_last_page(&mut self, len: usize) {
        let Some(idx) = self.pages.len().checked_sub(1) else { return };
        let page_len = len.saturating_sub(idx * PAGE_LEN).next_multiple_of(PAGE_STEP).min(PAGE_LEN);
        let page = &mut self.pages[idx];
        if page.len() != page_len {
            let mut bytes = mem::take(page).into_vec();
            bytes.resize(page_len, 0);
            *page = bytes.into_boxed_slice();
        }
    }

    /// Counts the value as held by readers only, until they let go too.
    pub(crate) fn orphan(&self) {
        self.charge.budget.pin(self.charge.shard, self.charge.bytes);
        self.orphan.store(true, Relaxed);
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        if self.orphan.load(Relaxed) {
            self.charge.budget.unpin(self.charge.bytes);
        }
    }
}

/// A large value being received; dropping it gives its charge back.
#[derive(Debug)]
pub struct LargeWriter {
    /// `None` only after [`LargeWriter::finish`].
    value: Option<Large>,
    filled: usize,
}

impl LargeWriter {
    /// A writer of `len` bytes, whose charge shard `shard` has taken from `budget` and counted as
    /// being written.
    pub(crate) fn new(budget: Arc<Budget>, shard: usize, len: usize) -> Self {
        let charge = Charge { budget, shard, bytes: charge_of(len) };
        let pages = Vec::with_capacity(len.div_ceil(PAGE_LEN));
        let value = Large { pages, len, orphan: AtomicBool::new(false), charge };
        Self { value: Some(value), filled: 0 }
    }

    /// The length of the value, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.value.as_ref().map_or(0, Large::len)
    }

    /// Whether the value has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.len() - self.filled
    }

    /// The part of the current page that is not filled: at most [`LargeWriter::remaining`] bytes,
    /// empty only when nothing remains. Allocates the page when it is a new one.
    pub fn spare(&mut self) -> &mut [u8] {
        let Some(value) = &mut self.value else { return &mut [] };
        let page_idx = self.filled / PAGE_LEN;
        let page_start = page_idx * PAGE_LEN;
        if self.filled < value.len && page_idx == value.pages.len() {
            let len = (value.len - page_start).next_multiple_of(PAGE_STEP).min(PAGE_LEN);
            value.pages.push(vec![0; len].into_boxed_slice());
        }
        let end = (value.len - page_start).min(PAGE_LEN);
        let page = value.pages.get_mut(page_idx);
        page.and_then(|page| page.get_mut(self.filled - page_start..end)).unwrap_or(&mut [])
    }

    /// Counts the first `len` bytes of [`LargeWriter::spare`] as filled.
    ///
    /// # Panics
    ///
    /// When the spare part is shorter.
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.spare().len(), "only spare bytes are filled");
        self.filled += len;
    }

    /// Copies `bytes` in.
    ///
    /// # Panics
    ///
    /// When more than [`LargeWriter::remaining`] bytes are given.
    pub fn write(&mut self, mut bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "no more is written than was announced");
        while !bytes.is_empty() {
            let spare = self.spare();
            let (now, later) = bytes.split_at(spare.len().min(bytes.len()));
            spare[..now.len()].copy_from_slice(now);
            self.advance(now.len());
            bytes = later;
        }
    }

    /// Ends the value with what was filled; the charge of the rest is given back.
    pub fn truncate(&mut self) {
        let filled = self.filled;
        let Some(value) = &mut self.value else { return };
        let (before, after) = (value.charge.bytes, charge_of(filled));
        value.pages.truncate(filled.div_ceil(PAGE_LEN));
        value.fit_last_page(filled);
        value.len = filled;
        value.charge.bytes = after;
        value.charge.budget.end_writing(before - after);
        value.charge.budget.release(before - after);
    }

    /// Makes the value `len` bytes long, after the difference was charged and counted as being written.
    pub(crate) fn grow(&mut self, len: usize) {
        let Some(value) = &mut self.value else { return };
        assert!(value.len <= len, "a value being received does not lose its bytes");
        value.fit_last_page(len);
        value.len = len;
        value.charge.bytes = charge_of(len);
    }

    /// Bytes charged for it.
    pub(crate) fn charge(&self) -> u64 {
        self.value.as_ref().map_or(0, Large::charge)
    }

    /// The finished value, no longer counted as being written.
    pub(crate) fn finish(mut self) -> Arc<Large> {
        assert!(self.remaining() == 0, "a value is complete when it is stored");
        let value = self.value.take().expect("a writer is finished once");
        value.charge.budget.hold_pages(value.charge.shard, value.charge.bytes);
        Arc::new(value)
    }
}

impl Drop for LargeWriter {
    fn drop(&mut self) {
        if let Some(value) = mem::take(&mut self.value) {
            value.charge.budget.end_writing(value.charge.bytes);
        }
    }
}

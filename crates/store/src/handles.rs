//! Handles: what stands in the log for a key and value that are outside of it.
//!
//! Invariant: a handle in use names the address of its item, so that an item without a word can tell
//! whether the handle is still its own; giving a handle back twice does nothing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::large::Large;
use crate::table::Location;

/// Handles are allocated in blocks of this many.
const BLOCK: usize = 64;

/// The key and value of a large item.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Arc<Large>,
    pub(crate) location: Location,
}

const _: () = assert!(size_of::<Option<Held>>() == 32, "a place of a handle, free or not");

impl Held {
    /// The bytes charged for a key of this length.
    pub(crate) fn key_charge(len: usize) -> u64 {
        u64::try_from(len).unwrap_or(u64::MAX).saturating_add(16)
    }
}

/// The handles of a space.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    blocks: Vec<Box<[Option<Held>]>>,
    free: Vec<u32>,
}

impl Handles {
    /// The bytes charged for one block more: its places, and their share of the free list.
    pub(crate) const BLOCK_CHARGE: u64 = (BLOCK * (size_of::<Option<Held>>() + 8) + 32) as u64;

    /// Whether [`Handles::add`] has a place.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// The number of blocks, for the accounting.
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Adds a block of places.
    pub(crate) fn grow(&mut self) {
        let first = self.blocks.len() * BLOCK;
        self.blocks.push((0..BLOCK).map(|_| None).collect());
        let ids = first..first + BLOCK;
        self.free.extend(ids.rev().map(|id| u32::try_from(id).expect("handles fit 32 bits")));
    }

    /// Stores `held`.
    pub(crate) fn add(&mut self, held: Held) -> u32 {
        let handle = self.free.pop().expect("room was made for the handle");
        *self.place(handle).expect("a free handle has a place") = Some(held);
        handle
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&Held> {
        let at = handle as usize;
        self.blocks.get(at / BLOCK)?.get(at % BLOCK)?.as_ref()
    }

    /// Changes the address of the item.
    pub(crate) fn relocate(&mut self, handle: u32, location: Location) {
        if let Some(Some(held)) = self.place(handle) {
            held.location = location;
        }
    }

    /// Gives `handle` back, if it is that of the item at `location`.
    pub(crate) fn take(&mut self, handle: u32, location: Location) -> Option<Held> {
        let place = self.place(handle)?;
        let held = place.take_if(|held| held.location == location)?;
        self.free.push(handle);
        Some(held)
    }

    /// All that is held.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.blocks.iter().flat_map(|block| block.iter().flatten())
    }

    fn place(&mut self, handle: u32) -> Option<&mut Option<Held>> {
        let at = handle as usize;
        self.blocks.get_mut(at / BLOCK)?.get_mut(at % BLOCK)
    }
}

//! The arguments of one command, as ranges of a read buffer.

use std::ops::Range;

use ringhold_store::entry::UpdateError;
use ringhold_store::large::LargeWriter;

/// The arguments of one command, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// The read buffer.
    pub input: &'a [u8],
    /// A range of it per argument.
    pub ranges: &'a [Range<usize>],
}

/// An argument that was received into the store's pages; its range is empty.
#[derive(Debug)]
pub struct LargeArg {
    /// Which argument it is.
    pub idx: usize,
    /// Its bytes; `None` once the command took them, or when there was no room for them.
    pub writer: Option<LargeWriter>,
    /// Why there was no room.
    pub refusal: Option<UpdateError>,
}

impl<'a> Args<'a> {
    /// How many there are, the name included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is not even a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Argument `idx`; empty when there is none.
    #[inline]
    #[must_use]
    pub fn get(&self, idx: usize) -> &'a [u8] {
        self.ranges.get(idx).and_then(|range| self.input.get(range.clone())).unwrap_or_default()
    }

    /// The arguments from `idx` on.
    #[must_use]
    pub fn from(&self, idx: usize) -> Self {
        Self { input: self.input, ranges: self.ranges.get(idx..).unwrap_or_default() }
    }

    /// Whether argument `idx` is this word, in any case.
    #[must_use]
    pub fn is(&self, idx: usize, word: &str) -> bool {
        idx < self.len() && self.get(idx).eq_ignore_ascii_case(word.as_bytes())
    }
}

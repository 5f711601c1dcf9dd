//! The arguments of one command, as ranges of a read buffer.

use std::ops::Range;

/// The arguments of one command, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// The read buffer.
    pub input: &'a [u8],
    /// A range of it per argument.
    pub ranges: &'a [Range<usize>],
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
}

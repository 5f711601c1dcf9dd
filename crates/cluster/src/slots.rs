//! A set of slots, as a command of the metadata names it.
//!
//! In memory it is a bitmap of 2 KiB; on the wire the ranges of its slots, or the bitmap where that is shorter: the
//! death of one of three nodes touches ten thousand slots and costs a few kilobytes.

use std::fmt;

use ringhold_types::slot::{SLOTS, Slot};

use crate::codec::{Decode, Encode, Malformed, Reader};

/// The words of the bitmap.
const WORDS: usize = SLOTS as usize / 64;
/// The bytes of the bitmap on the wire.
const BITMAP_LEN: usize = WORDS * 8;
/// With more ranges than this the bitmap is shorter.
const RANGES_MAX: usize = BITMAP_LEN / 4;

/// A set of slots.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet {
    words: Box<[u64; WORDS]>,
}

impl Default for SlotSet {
    fn default() -> Self {
        Self { words: Box::new([0; WORDS]) }
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges().iter().map(|(first, last)| first..=last)).finish()
    }
}

impl SlotSet {
    /// Every slot.
    #[must_use]
    pub fn all() -> Self {
        Self { words: Box::new([u64::MAX; WORDS]) }
    }

    /// Adds a slot.
    pub fn insert(&mut self, slot: Slot) {
        self.words[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: Slot) {
        self.words[slot.index() / 64] &= !(1 << (slot.index() % 64));
    }

    /// Whether the slot is in it.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.words[slot.index() / 64] >> (slot.index() % 64) & 1 == 1
    }

    /// Whether it has no slot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The number of its slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Adds the slots of another.
    pub fn extend(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(other.words.iter()) {
            *word |= more;
        }
    }

    /// Its slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.words.iter().zip(0u16..).flat_map(|(&word, idx)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = u16::try_from(rest.trailing_zeros()).ok().filter(|&bit| bit < 64)?;
                rest &= rest - 1;
                Slot::new(idx * 64 + bit)
            })
        })
    }

    /// Its slots as ranges (first, last), in ascending order.
    #[must_use]
    pub fn ranges(&self) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in self.iter().map(Slot::number) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

impl Encode for SlotSet {
    fn encode(&self, out: &mut Vec<u8>) {
        let ranges = self.ranges();
        if ranges.len() > RANGES_MAX {
            u64::MAX.encode(out);
            self.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            return;
        }
        (ranges.len() as u64).encode(out);
        for (first, last) in ranges {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        }
    }
}

impl Decode for SlotSet {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = u64::decode(reader)?;
        let mut set = Self::default();
        if count == u64::MAX {
            for word in set.words.iter_mut() {
                *word = u64::from_le_bytes(reader.array()?);
            }
            return Ok(set);
        }
        let mut next = 0;
        for _ in 0..count {
            let (first, last) =
                (u16::from_le_bytes(reader.array()?), u16::from_le_bytes(reader.array()?));
            if first < next || last < first || last >= SLOTS {
                return Err(Malformed::OutOfRange { what: "range of slots" });
            }
            (first..=last).filter_map(Slot::new).for_each(|slot| set.insert(slot));
            // Ranges that touch are one range: every set has one encoding, and the count is bounded.
            next = last.saturating_add(2);
        }
        Ok(set)
    }
}

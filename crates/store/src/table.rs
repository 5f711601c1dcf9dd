//! The table of one slot: 8-byte words in the order of their fragments.
//!
//! Robin-hood order without wrap-around: a word stands at its home or right of it, and all words are
//! sorted by fragment, so that the order of a scan is the order of the array whatever its capacity
//! (Celis, "Robin Hood Hashing", 1986; Amble and Knuth, "Ordered hash tables", 1974). Up to
//! [`DENSE_CAP`] words the array is dense and every home is 0.
//!
//! Word: fragment 26 bits, freq 2, segment 20, offset / 4 in 16; 0 is empty (segments start at 1).
//!
//! Invariants: fragments never descend; no word stands left of its home; between a word and its home
//! there is no empty place; `len` words are not empty.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::hash::FRAGMENT_BITS;

/// Up to this capacity a table is a dense sorted array.
const DENSE_CAP: u32 = 8;
/// Bytes charged for the allocation of a table beside its words.
const ALLOC_CHARGE: u64 = 16;
const FREQ_SHIFT: u32 = 36;
const LOCATION_MASK: u64 = (1 << FREQ_SHIFT) - 1;
/// The greatest frequency.
pub(crate) const FREQ_MAX: u8 = 3;

/// Where an item is, and how it is found: one entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    #[inline]
    pub(crate) fn new(fragment: u32, freq: u8, location: Location) -> Self {
        Self(
            u64::from(fragment) << (64 - FRAGMENT_BITS)
                | u64::from(freq & 3) << FREQ_SHIFT
                | location.0,
        )
    }

    #[inline]
    pub(crate) fn fragment(self) -> u32 {
        (self.0 >> (64 - FRAGMENT_BITS)) as u32
    }

    #[inline]
    pub(crate) fn freq(self) -> u8 {
        ((self.0 >> FREQ_SHIFT) & 3) as u8
    }

    #[inline]
    pub(crate) fn location(self) -> Location {
        Location(self.0 & LOCATION_MASK)
    }

    /// The word with one hit more.
    #[inline]
    pub(crate) fn hit(self) -> Self {
        if self.freq() == FREQ_MAX { self } else { Self(self.0 + (1 << FREQ_SHIFT)) }
    }
}

/// The address of an item: a segment and an offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location(u64);

impl Location {
    pub(crate) fn new(seg: u32, offset: usize) -> Self {
        let units = u64::try_from(offset / 4).unwrap_or(u64::MAX);
        debug_assert!(seg > 0 && seg < 1 << 20, "a segment's number fits its bits");
        debug_assert!(units < 1 << 16, "an offset fits its bits");
        Self(u64::from(seg) << 16 | units)
    }

    #[inline]
    pub(crate) fn seg(self) -> usize {
        (self.0 >> 16 & 0xF_FFFF) as usize
    }

    #[inline]
    pub(crate) fn offset(self) -> usize {
        (self.0 & 0xFFFF) as usize * 4
    }
}

/// The words of one slot in one space.
#[derive(Debug, Default)]
pub(crate) struct Table {
    words: Box<[AtomicU64]>,
    cap: u32,
    len: u32,
    /// The item bytes of the slot, for its statistics.
    pub(crate) item_bytes: u64,
}

impl Table {
    /// The number of words.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// The bytes charged for it.
    pub(crate) fn charge(&self) -> u64 {
        charge_of(self.words.len())
    }

    #[inline]
    fn home(&self, fragment: u32) -> usize {
        if self.cap <= DENSE_CAP { 0 } else { home(fragment, self.cap) }
    }

    /// The line where `fragment` would be looked up first.
    #[inline]
    pub(crate) fn home_word(&self, fragment: u32) -> Option<&AtomicU64> {
        self.words.get(self.home(fragment))
    }

    /// The first word of this fragment, or `None`, and its index. The words of one fragment are
    /// neighbours.
    #[inline]
    pub(crate) fn find(
        &self,
        fragment: u32,
        mut matches: impl FnMut(Word) -> bool,
    ) -> Option<(usize, Word)> {
        let home = self.home(fragment);
        let words = self.words.get(home..)?;
        for (step, word) in words.iter().enumerate() {
            let word = Word(word.load(Relaxed));
            if word.fragment() >= fragment || word.0 == 0 {
                if word.0 == 0 || word.fragment() > fragment {
                    return None;
                }
                if matches(word) {
                    return Some((home + step, word));
                }
            }
        }
        None
    }

    /// Counts a hit on the word at `idx`; the word is not written when it has them all.
    #[inline]
    pub(crate) fn bump(&self, idx: usize, word: Word) {
        if word.freq() < FREQ_MAX {
            self.words[idx].store(word.hit().0, Relaxed);
        }
    }

    /// Replaces the word at `idx` by one of the same fragment.
    #[inline]
    pub(crate) fn set(&mut self, idx: usize, word: Word) {
        *self.words[idx].get_mut() = word.0;
    }

    /// Whether one more word of `fragment` can be inserted as the table is.
    pub(crate) fn has_room(&self, fragment: u32) -> bool {
        if self.cap <= DENSE_CAP {
            return self.len < self.cap;
        }
        (self.len + 1) * 8 <= self.cap * 7
            && self.words[self.home(fragment)..].iter().any(|word| word.load(Relaxed) == 0)
    }

    /// Inserts `word`, behind those of equal fragment. False when there is no room.
    pub(crate) fn insert(&mut self, word: Word) -> bool {
        let fragment = word.fragment();
        let home = self.home(fragment);
        let Some(run) = self.words.get_mut(home..) else { return false };
        let mut carried = word.0;
        for place in run {
            let place = place.get_mut();
            if *place == 0 {
                *place = carried;
                self.len += 1;
                return true;
            }
            // Everything from the first greater fragment on moves right by one.
            if carried != word.0 || Word(*place).fragment() > fragment {
                core::mem::swap(place, &mut carried);
            }
        }
        unreachable!("room was checked before an insert")
    }

    /// Removes the word at `idx`.
    pub(crate) fn remove(&mut self, mut idx: usize) {
        loop {
            let next = self.words.get(idx + 1).map_or(Word(0), |word| Word(word.load(Relaxed)));
            if next.0 == 0 || self.home(next.fragment()) == idx + 1 {
                break;
            }
            *self.words[idx].get_mut() = next.0;
            idx += 1;
        }
        *self.words[idx].get_mut() = 0;
        self.len -= 1;
    }

    /// The plan of a larger table that has room for one more word of `fragment`.
    pub(crate) fn plan_growth(&self, fragment: u32) -> Plan {
        let cap = if self.cap == 0 { 2 } else { cap_after(self.cap) };
        self.plan(cap, Some(fragment))
    }

    /// The plan of a smaller table, if this one is less than half full.
    pub(crate) fn plan_shrinking(&self) -> Option<Plan> {
        if self.cap <= 2 || self.len * 2 >= self.cap {
            return None;
        }
        let mut cap = 2;
        while cap * 3 < self.len * 4 {
            cap = cap_after(cap);
        }
        (cap < self.cap).then(|| self.plan(cap, None))
    }

    fn plan(&self, cap: u32, more: Option<u32>) -> Plan {
        if cap <= DENSE_CAP {
            return Plan { cap, words: cap as usize };
        }
        let mut more = more;
        let mut at = 0;
        for word in self.iter(0) {
            if more.is_some_and(|fragment| fragment < word.fragment()) {
                at = home(more.take().unwrap_or(0), cap).max(at) + 1;
            }
            at = home(word.fragment(), cap).max(at) + 1;
        }
        if let Some(fragment) = more {
            at = home(fragment, cap).max(at) + 1;
        }
        let tail = (cap / 32 + 2).min(32);
        Plan { cap, words: ((cap + tail) as usize).max(at) }
    }

    /// Moves the words to an array as planned. No item is touched.
    pub(crate) fn rebuild(&mut self, plan: Plan) {
        let mut words = Vec::with_capacity(plan.words);
        words.resize_with(plan.words, || AtomicU64::new(0));
        let mut at = 0;
        for word in self.iter(0) {
            if plan.cap > DENSE_CAP {
                at = home(word.fragment(), plan.cap).max(at);
            }
            *words[at].get_mut() = word.0;
            at += 1;
        }
        self.words = words.into_boxed_slice();
        self.cap = plan.cap;
    }

    /// The words from fragment `from` on, in order.
    pub(crate) fn iter(&self, from: u32) -> impl Iterator<Item = Word> {
        let words = self.words.get(self.home(from)..).unwrap_or(&[]);
        words
            .iter()
            .map(|word| Word(word.load(Relaxed)))
            .filter(move |word| word.0 != 0 && word.fragment() >= from)
    }

    /// Asserts the invariants of this module.
    pub(crate) fn check_invariants(&self) {
        let mut before = 0;
        let mut len = 0;
        for (idx, word) in self.words.iter().enumerate() {
            let word = Word(word.load(Relaxed));
            if word.0 == 0 {
                continue;
            }
            len += 1;
            assert!(word.fragment() >= before, "fragments never descend");
            before = word.fragment();
            let home = self.home(before);
            assert!(home <= idx, "no word stands left of its home");
            let gap = self.words[home..idx].iter().any(|word| word.load(Relaxed) == 0);
            assert!(!gap, "a word is reached from its home");
        }
        assert!(len == self.len(), "the words are counted");
    }
}

/// The shape of a table to be built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    cap: u32,
    words: usize,
}

impl Plan {
    /// The bytes that the table will be charged.
    pub(crate) fn charge(self) -> u64 {
        charge_of(self.words)
    }
}

fn charge_of(words: usize) -> u64 {
    if words == 0 { 0 } else { u64::try_from(words * 8).unwrap_or(u64::MAX) + ALLOC_CHARGE }
}

#[inline]
fn home(fragment: u32, cap: u32) -> usize {
    ((u64::from(fragment) * u64::from(cap)) >> FRAGMENT_BITS & 0xFFFF_FFFF) as usize
}

/// The capacity after `cap`: 2, 4, 6, 8, then 4, 5, 6, 7 times powers of two.
fn cap_after(cap: u32) -> u32 {
    if cap < DENSE_CAP { cap + 2 } else { cap + (1 << (cap.ilog2() - 2)) }
}

//! One array of words in robin-hood order.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{FREQ_MAX, Word};
use crate::hash::FRAGMENT_BITS;

/// Up to this capacity a part is a dense sorted array.
const DENSE_CAP: u32 = 8;
/// Bytes charged for the allocation of a part beside its words.
const ALLOC_CHARGE: u64 = 16;
/// A part of this depth is split no further: its words share nearly all of what tells them apart.
const DEPTH_MAX: u32 = 20;

/// One array of words: a slot's whole table, or those whose fragments begin with the same `depth` bits.
#[derive(Debug, Default)]
pub(super) struct Part {
    words: Box<[AtomicU64]>,
    cap: u32,
    /// The number of words, and above them the depth.
    len_depth: u32,
}

/// A part has at most so many places, the tail aside: no rebuild moves more words (G5 of the design).
pub(super) const PART_CAP_MAX: u32 = 32 * 1024;
const LEN_BITS: u32 = 24;

impl Part {
    /// A part without words.
    pub(super) fn empty(depth: u32) -> Self {
        Self { words: Box::default(), cap: 0, len_depth: depth << LEN_BITS }
    }

    /// The number of words.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len_depth & ((1 << LEN_BITS) - 1)
    }

    /// How many leading bits all its fragments share.
    #[inline]
    pub(super) fn depth(&self) -> u32 {
        self.len_depth >> LEN_BITS
    }

    /// The bytes charged for it.
    pub(super) fn charge(&self) -> u64 {
        charge_of(self.words.len())
    }

    #[inline]
    fn home(&self, fragment: u32) -> usize {
        if self.cap <= DENSE_CAP { 0 } else { home(fragment, self.depth(), self.cap) }
    }

    /// The words from where `fragment` would be looked up first.
    #[inline]
    pub(super) fn run(&self, fragment: u32) -> &[AtomicU64] {
        self.words.get(self.home(fragment)..).unwrap_or_default()
    }

    /// The first word of this fragment, or `None`, and its index. The words of one fragment are
    /// neighbours.
    #[inline]
    pub(super) fn find(
        &self,
        fragment: u32,
        mut matches: impl FnMut(Word) -> bool,
    ) -> Option<(usize, Word)> {
        let home = self.home(fragment);
        for (step, word) in self.run(fragment).iter().enumerate() {
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

    /// The word at `idx`; 0 when the place is empty, `None` when there is none.
    #[inline]
    pub(super) fn word(&self, idx: usize) -> Option<Word> {
        self.words.get(idx).map(|word| Word(word.load(Relaxed)))
    }

    /// Counts a hit on the word at `idx`; the word is not written when it has them all.
    #[inline]
    pub(super) fn bump(&self, idx: usize) {
        // As it is now: hits since it was found count, here and of others.
        let word = Word(self.words[idx].load(Relaxed));
        if word.freq() < FREQ_MAX {
            self.words[idx].store(word.hit().0, Relaxed);
        }
    }

    /// Replaces the word at `idx` by one of the same fragment.
    #[inline]
    pub(super) fn set(&mut self, idx: usize, word: Word) {
        *self.words[idx].get_mut() = word.0;
    }

    /// Whether one more word of `fragment` can be inserted as the table is.
    pub(super) fn has_room(&self, fragment: u32) -> bool {
        if self.cap <= DENSE_CAP {
            return self.len() < self.cap;
        }
        (self.len() + 1) * 8 <= self.cap * 7
            && self.words[self.home(fragment)..].iter().any(|word| word.load(Relaxed) == 0)
    }

    /// Inserts `word`, behind those of equal fragment. False when there is no room.
    pub(super) fn insert(&mut self, word: Word) -> bool {
        let fragment = word.fragment();
        let home = self.home(fragment);
        let Some(run) = self.words.get_mut(home..) else { return false };
        let mut carried = word.0;
        for place in run {
            let place = place.get_mut();
            if *place == 0 {
                *place = carried;
                self.len_depth += 1;
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
    pub(super) fn remove(&mut self, mut idx: usize) {
        loop {
            let next = self.words.get(idx + 1).map_or(Word(0), |word| Word(word.load(Relaxed)));
            if next.0 == 0 || self.home(next.fragment()) == idx + 1 {
                break;
            }
            *self.words[idx].get_mut() = next.0;
            idx += 1;
        }
        *self.words[idx].get_mut() = 0;
        self.len_depth -= 1;
    }

    /// The plan of a larger part that has room for one more word of `fragment`; `None` when it has to be split.
    pub(super) fn plan_growth(&self, fragment: u32) -> Option<Plan> {
        let mut cap = if self.cap == 0 { 2 } else { cap_after(self.cap) };
        // The first capacity of a part that is no longer dense would be full at once.
        while cap > DENSE_CAP && (self.len() + 1) * 8 > cap * 7 {
            cap = cap_after(cap);
        }
        let may_grow = cap <= PART_CAP_MAX || self.depth() >= DEPTH_MAX;
        may_grow.then(|| self.plan(cap, Some(fragment)))
    }

    /// The plan of a part of these words in order, with room to grow.
    pub(super) fn plan_of(words: &[Word], depth: u32) -> Plan {
        let len = u32::try_from(words.len()).expect("a part is short");
        let mut cap = 2;
        while cap * 3 < len * 4 {
            cap = cap_after(cap);
        }
        if cap <= DENSE_CAP {
            return Plan { cap, words: cap as usize };
        }
        let mut at = 0;
        for word in words {
            at = home(word.fragment(), depth, cap).max(at) + 1;
        }
        let tail = (cap / 32 + 2).min(32);
        // At least one place is free behind all words, so that another word has room wherever it belongs.
        Plan { cap, words: ((cap + tail) as usize).max(at + 1) }
    }

    /// A part of these words in order, as planned.
    pub(super) fn build(words: impl Iterator<Item = Word>, depth: u32, plan: Plan) -> Self {
        let mut places = Vec::with_capacity(plan.words);
        places.resize_with(plan.words, || AtomicU64::new(0));
        let (mut at, mut len) = (0, 0);
        for word in words {
            if plan.cap > DENSE_CAP {
                at = home(word.fragment(), depth, plan.cap).max(at);
            }
            *places[at].get_mut() = word.0;
            (at, len) = (at + 1, len + 1);
        }
        Self { words: places.into_boxed_slice(), cap: plan.cap, len_depth: depth << LEN_BITS | len }
    }

    /// At least so many places a smaller part has, if this one is less than half full; O(1).
    pub(super) fn shrunk_len(&self) -> Option<usize> {
        self.shrunk_cap().map(|cap| cap as usize)
    }

    /// The plan of a smaller table, if this one is less than half full.
    pub(super) fn plan_shrinking(&self) -> Option<Plan> {
        self.shrunk_cap().map(|cap| self.plan(cap, None))
    }

    fn shrunk_cap(&self) -> Option<u32> {
        if self.cap <= 2 || self.len() * 2 >= self.cap {
            return None;
        }
        let mut cap = 2;
        while cap * 3 < self.len() * 4 {
            cap = cap_after(cap);
        }
        (cap < self.cap).then_some(cap)
    }

    fn plan(&self, cap: u32, more: Option<u32>) -> Plan {
        if cap <= DENSE_CAP {
            return Plan { cap, words: cap as usize };
        }
        let mut more = more;
        let depth = self.depth();
        let mut at = 0;
        for word in self.iter(0) {
            if more.is_some_and(|fragment| fragment < word.fragment()) {
                at = home(more.take().unwrap_or(0), depth, cap).max(at) + 1;
            }
            at = home(word.fragment(), depth, cap).max(at) + 1;
        }
        if let Some(fragment) = more {
            at = home(fragment, depth, cap).max(at) + 1;
        }
        let tail = (cap / 32 + 2).min(32);
        Plan { cap, words: ((cap + tail) as usize).max(at) }
    }

    /// Moves the words to an array as planned. No item is touched.
    pub(super) fn rebuild(&mut self, plan: Plan) {
        *self = Self::build(self.iter(0), self.depth(), plan);
    }

    /// The words from fragment `from` on, in order; `from` has the bits that the part shares, or is 0.
    pub(super) fn iter(&self, from: u32) -> impl Iterator<Item = Word> {
        let words = self.words.get(self.home(from)..).unwrap_or(&[]);
        words
            .iter()
            .map(|word| Word(word.load(Relaxed)))
            .filter(move |word| word.0 != 0 && word.fragment() >= from)
    }

    /// Asserts the invariants of this module.
    pub(super) fn check_invariants(&self) {
        let mut before = 0;
        let mut len = 0u32;
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
        assert!(self.depth() >= DEPTH_MAX || len <= PART_CAP_MAX, "a part is bounded");
    }
}

/// The shape of a part to be built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    cap: u32,
    words: usize,
}

impl Plan {
    /// The number of its places.
    pub(super) fn words(self) -> usize {
        self.words
    }

    /// The bytes that the part will be charged.
    pub(super) fn charge(self) -> u64 {
        charge_of(self.words)
    }
}

fn charge_of(words: usize) -> u64 {
    if words == 0 { 0 } else { u64::try_from(words * 8).unwrap_or(u64::MAX) + ALLOC_CHARGE }
}

/// Where a word of `fragment` belongs in a part of this depth: by the bits behind those that the part shares.
#[inline]
fn home(fragment: u32, depth: u32, cap: u32) -> usize {
    let own = fragment << depth & ((1 << FRAGMENT_BITS) - 1);
    ((u64::from(own) * u64::from(cap)) >> FRAGMENT_BITS & 0xFFFF_FFFF) as usize
}

/// The capacity after `cap`: 2, 4, 6, 8, then 4, 5, 6, 7 times powers of two.
fn cap_after(cap: u32) -> u32 {
    if cap < DENSE_CAP { cap + 2 } else { cap + (1 << (cap.ilog2() - 2)) }
}

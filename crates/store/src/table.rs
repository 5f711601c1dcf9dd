//! The table of one slot: 8-byte words in the order of their fragments.
//!
//! Robin-hood order without wrap-around: a word stands at its home or right of it, and all words are
//! sorted by fragment, so that the order of a scan is the order of the array whatever its capacity
//! (Celis, "Robin Hood Hashing", 1986; Amble and Knuth, "Ordered hash tables", 1974). Up to
//! 8 words the array is dense and every home is 0.
//!
//! A table over 32 K words is split into parts by the leading bits of the fragments, each part when it is full (extendible
//! hashing: Fagin and others, TODS 1979), so that no rebuild moves more than that and the order stays.
//!
//! Word: fragment 26 bits, freq 2, segment 20, offset / 4 in 16; 0 is empty (segments start at 1).
//!
//! Invariants: fragments never descend; no word stands left of its home; between a word and its home
//! there is no empty place; `len` words are not empty.

mod part;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::AtomicU64;

use crate::hash::FRAGMENT_BITS;
use part::Part;

const FREQ_SHIFT: u32 = 36;
const LOCATION_MASK: u64 = (1 << FREQ_SHIFT) - 1;
/// The greatest frequency.
pub(crate) const FREQ_MAX: u8 = 3;

/// Where an item is, and how it is found: one entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

const _: () = assert!(size_of::<Word>() == 8, "a word of every entry");

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
#[derive(Debug)]
pub(crate) struct Table {
    parts: Parts,
    /// The item bytes of the slot, for its statistics.
    pub(crate) item_bytes: u64,
}

const _: () = assert!(size_of::<Table>() == 32, "a row of the directory for every slot");

/// Nearly every table is one part; the split ones are elsewhere, so that a row of the directory stays 32 bytes.
#[derive(Debug)]
enum Parts {
    One(Part),
    Many(Box<Split>),
}

/// The parts of a large table.
#[derive(Debug)]
struct Split {
    parts: Vec<Part>,
    /// By the leading `bits` bits of a fragment, the part that it is in. A part of less depth has several rows.
    directory: Vec<u16>,
    bits: u32,
    len: usize,
}

/// The index of a word: its place, and above it the number of its part.
const PLACE_BITS: u32 = 20;
const PLACE_MASK: usize = (1 << PLACE_BITS) - 1;
/// A split table of fewer words becomes one part again.
const MERGE_LEN: usize = 4096;
/// Bytes charged for a split table beside its parts' arrays: the most that its lists take.
fn split_charge(parts: usize, rows: usize) -> u64 {
    let bytes = size_of::<Split>() + 2 * parts * size_of::<Part>() + 2 * rows * size_of::<u16>();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Default for Table {
    fn default() -> Self {
        Self { parts: Parts::One(Part::default()), item_bytes: 0 }
    }
}

impl Split {
    #[inline]
    fn number(&self, fragment: u32) -> usize {
        let row = fragment >> (FRAGMENT_BITS - self.bits);
        usize::from(self.directory[row as usize])
    }

    /// The part of a fragment, and what the indexes of its words begin with.
    #[cold]
    fn part(&self, fragment: u32) -> (usize, &Part) {
        let number = self.number(fragment);
        (number << PLACE_BITS, &self.parts[number])
    }

    /// The part of a word's index, and its place there.
    #[cold]
    fn at(&self, idx: usize) -> (&Part, usize) {
        (&self.parts[idx >> PLACE_BITS], idx & PLACE_MASK)
    }

    #[cold]
    fn at_mut(&mut self, idx: usize) -> (&mut Part, usize) {
        (&mut self.parts[idx >> PLACE_BITS], idx & PLACE_MASK)
    }

    fn charge(&self) -> u64 {
        split_charge(self.parts.len(), self.directory.len())
    }

    /// The numbers of the parts in the order of their fragments, from that of `from` on.
    fn numbers(&self, from: u32) -> impl Iterator<Item = usize> {
        let first = (from >> (FRAGMENT_BITS - self.bits)) as usize;
        let mut last = None;
        self.directory[first.min(self.directory.len())..].iter().filter_map(move |&number| {
            (last.replace(number) != Some(number)).then_some(usize::from(number))
        })
    }

    /// Splits the part of `fragment` in two, which were built.
    fn split(&mut self, fragment: u32, low: Part, high: Part) {
        if low.depth() > self.bits {
            self.directory = self.directory.iter().flat_map(|&number| [number, number]).collect();
            self.bits += 1;
        }
        let number = self.number(fragment);
        let new = u16::try_from(self.parts.len()).expect("a table has few parts");
        let span = 1 << (self.bits - low.depth());
        let rows = self.directory.iter().position(|&row| usize::from(row) == number);
        let first = rows.expect("a part has rows");
        self.directory[first + span..first + 2 * span].fill(new);
        self.parts[number] = low;
        self.parts.push(high);
    }
}

impl Table {
    /// The number of words.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.parts {
            Parts::One(part) => part.len() as usize,
            Parts::Many(split) => split.len,
        }
    }

    /// The bytes charged for it; O(parts).
    pub(crate) fn charge(&self) -> u64 {
        match &self.parts {
            Parts::One(part) => part.charge(),
            Parts::Many(split) => {
                split.charge() + split.parts.iter().map(Part::charge).sum::<u64>()
            }
        }
    }

    #[inline]
    fn part(&self, fragment: u32) -> (usize, &Part) {
        match &self.parts {
            Parts::One(part) => (0, part),
            Parts::Many(split) => split.part(fragment),
        }
    }

    fn part_mut(&mut self, fragment: u32) -> &mut Part {
        match &mut self.parts {
            Parts::One(part) => part,
            Parts::Many(split) => {
                let number = split.number(fragment);
                &mut split.parts[number]
            }
        }
    }

    /// The part of a word's index, and its place there.
    #[inline]
    fn at(&mut self, idx: usize) -> (&mut Part, usize) {
        match &mut self.parts {
            Parts::One(part) => (part, idx),
            Parts::Many(split) => split.at_mut(idx),
        }
    }

    /// The words from where `fragment` would be looked up first.
    #[inline]
    pub(crate) fn run(&self, fragment: u32) -> &[AtomicU64] {
        self.part(fragment).1.run(fragment)
    }

    /// The first word of this fragment, or `None`, and its index. The words of one fragment are
    /// neighbours.
    #[inline]
    pub(crate) fn find(
        &self,
        fragment: u32,
        matches: impl FnMut(Word) -> bool,
    ) -> Option<(usize, Word)> {
        let (base, part) = self.part(fragment);
        part.find(fragment, matches).map(|(place, word)| (base | place, word))
    }

    /// The word at `idx`, if there is one of this fragment.
    #[inline]
    pub(crate) fn word(&self, idx: usize, fragment: u32) -> Option<Word> {
        match &self.parts {
            Parts::One(part) => part.word(idx),
            Parts::Many(split) => split.parts.get(idx >> PLACE_BITS)?.word(idx & PLACE_MASK),
        }
        .filter(|word| word.0 != 0 && word.fragment() == fragment)
    }

    /// Counts a hit on the word at `idx`; the word is not written when it has them all.
    #[inline]
    pub(crate) fn bump(&self, idx: usize) {
        match &self.parts {
            Parts::One(part) => part.bump(idx),
            Parts::Many(split) => {
                let (part, place) = split.at(idx);
                part.bump(place);
            }
        }
    }

    /// Replaces the word at `idx` by one of the same fragment.
    #[inline]
    pub(crate) fn set(&mut self, idx: usize, word: Word) {
        let (part, place) = self.at(idx);
        part.set(place, word);
    }

    /// Whether one more word of `fragment` can be inserted as the table is.
    pub(crate) fn has_room(&self, fragment: u32) -> bool {
        self.part(fragment).1.has_room(fragment)
    }

    /// Inserts `word`, behind those of equal fragment. False when there is no room.
    pub(crate) fn insert(&mut self, word: Word) -> bool {
        let is_in = self.part_mut(word.fragment()).insert(word);
        if let Parts::Many(split) = &mut self.parts {
            split.len += usize::from(is_in);
        }
        is_in
    }

    /// Removes the word at `idx`.
    pub(crate) fn remove(&mut self, idx: usize) {
        let (part, place) = self.at(idx);
        part.remove(place);
        if let Parts::Many(split) = &mut self.parts {
            split.len -= 1;
        }
    }

    /// The plan of a larger table that has room for one more word of `fragment`.
    pub(crate) fn plan_growth(&self, fragment: u32) -> Plan {
        let (_, part) = self.part(fragment);
        if let Some(plan) = part.plan_growth(fragment) {
            return Plan { fragment, charge: plan.charge(), shape: Shape::Part(plan) };
        }
        let depth = part.depth() + 1;
        let words: Vec<Word> = part.iter(0).collect();
        let bit = 1 << (FRAGMENT_BITS - depth);
        let (low, high) = words.split_at(words.partition_point(|word| word.fragment() & bit == 0));
        let plans = (Part::plan_of(low, depth), Part::plan_of(high, depth));
        let lists = match &self.parts {
            Parts::One(_) => split_charge(2, 2),
            Parts::Many(split) => split_charge(split.parts.len() + 1, 2 * split.directory.len()),
        };
        let charge = plans.0.charge() + plans.1.charge() + lists;
        Plan { fragment, charge, shape: Shape::Split(plans) }
    }

    /// At least so many places a plan to shrink has, if there is one; O(1), where the plan walks all words.
    pub(crate) fn shrunk_len(&self, fragment: u32) -> Option<usize> {
        match &self.parts {
            Parts::Many(split) if split.len < MERGE_LEN => Some(split.len),
            Parts::One(_) | Parts::Many(_) => self.part(fragment).1.shrunk_len(),
        }
    }

    /// The plan of a smaller table, if the part of `fragment` is less than half full, or all parts together are few words.
    pub(crate) fn plan_shrinking(&self, fragment: u32) -> Option<Plan> {
        if let Parts::Many(split) = &self.parts
            && split.len < MERGE_LEN
        {
            let words: Vec<Word> = self.iter(0).collect();
            let plan = Part::plan_of(&words, 0);
            return Some(Plan { fragment, charge: plan.charge(), shape: Shape::Merge(plan) });
        }
        let plan = self.part(fragment).1.plan_shrinking()?;
        Some(Plan { fragment, charge: plan.charge(), shape: Shape::Part(plan) })
    }

    /// Moves words as planned: how many, and the bytes that need be charged no longer. No item is touched.
    pub(crate) fn rebuild(&mut self, plan: Plan) -> (usize, u64) {
        let before = self.charge();
        let moved = match plan.shape {
            Shape::Part(shape) => {
                let part = self.part_mut(plan.fragment);
                part.rebuild(shape);
                part.len() as usize
            }
            Shape::Split(plans) => self.split(plan.fragment, plans),
            Shape::Merge(shape) => {
                let words: Vec<Word> = self.iter(0).collect();
                self.parts = Parts::One(Part::build(words.iter().copied(), 0, shape));
                words.len()
            }
        };
        // What was charged for the plan, beyond what the table is charged now.
        let freed = (before + plan.charge).saturating_sub(self.charge());
        (moved, freed)
    }

    fn split(&mut self, fragment: u32, plans: (part::Plan, part::Plan)) -> usize {
        if let Parts::One(part) = &mut self.parts {
            let part = mem::replace(part, Part::empty(0));
            let len = part.len() as usize;
            let split = Split { parts: alloc::vec![part], directory: alloc::vec![0], bits: 0, len };
            self.parts = Parts::Many(Box::new(split));
        }
        let Parts::Many(split) = &mut self.parts else { return 0 };
        let number = split.number(fragment);
        let part = mem::replace(&mut split.parts[number], Part::empty(0));
        let depth = part.depth() + 1;
        let words: Vec<Word> = part.iter(0).collect();
        let bit = 1 << (FRAGMENT_BITS - depth);
        let (low, high) = words.split_at(words.partition_point(|word| word.fragment() & bit == 0));
        let (low, high) = (
            Part::build(low.iter().copied(), depth, plans.0),
            Part::build(high.iter().copied(), depth, plans.1),
        );
        split.split(fragment, low, high);
        words.len()
    }

    /// The words from fragment `from` on, in order.
    pub(crate) fn iter(&self, from: u32) -> impl Iterator<Item = Word> {
        let (one, many) = match &self.parts {
            Parts::One(part) => (Some(part.iter(from)), None),
            Parts::Many(split) => (None, Some(split)),
        };
        let many = many.into_iter().flat_map(move |split| {
            // Behind the first part all fragments are greater than `from`.
            split.numbers(from).enumerate().flat_map(move |(idx, number)| {
                split.parts[number].iter(if idx == 0 { from } else { 0 })
            })
        });
        one.into_iter().flatten().chain(many)
    }

    /// Asserts the invariants of this module.
    pub(crate) fn check_invariants(&self) {
        match &self.parts {
            Parts::One(part) => part.check_invariants(),
            Parts::Many(split) => {
                split.parts.iter().for_each(Part::check_invariants);
                let len: usize = split.parts.iter().map(|part| part.len() as usize).sum();
                assert!(len == split.len, "the words are counted");
                assert!(split.directory.len() == 1 << split.bits, "each leading bits have a row");
                let shared: usize =
                    split.parts.iter().map(|part| 1 << (split.bits - part.depth())).sum();
                assert!(shared == split.directory.len(), "the parts are all there is");
                let mut before = 0;
                for word in self.iter(0) {
                    assert!(word.fragment() >= before, "fragments never descend");
                    before = word.fragment();
                }
            }
        }
    }
}

/// How a table is to be rebuilt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// In the part of this fragment.
    fragment: u32,
    charge: u64,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Part(part::Plan),
    Split((part::Plan, part::Plan)),
    Merge(part::Plan),
}

impl Plan {
    /// How many places the words move to, at most.
    pub(crate) fn words(self) -> usize {
        match self.shape {
            Shape::Part(plan) | Shape::Merge(plan) => plan.words(),
            Shape::Split((low, high)) => low.words() + high.words(),
        }
    }

    /// The bytes that have to be charged before it is done, while what it replaces is still there.
    pub(crate) fn charge(self) -> u64 {
        self.charge
    }
}

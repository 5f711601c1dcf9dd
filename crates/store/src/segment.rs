//! The bookkeeping of a segment: what is known about its items without touching them.
//!
//! Buffers live apart from this, in one dense array, so that a look-up's way from a word to its item
//! is one access to a small array.

use alloc::boxed::Box;

use ringhold_types::time::UnixTime;

use crate::item::ALIGN;

/// The queue that a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// New entries.
    Small,
    /// Entries that were used again.
    Main,
    /// Entries of backup slots.
    Backup,
}

impl Queue {
    pub(crate) fn idx(self) -> usize {
        match self {
            Self::Small => 0,
            Self::Main => 1,
            Self::Backup => 2,
        }
    }
}

/// What a segment's number stands for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: the number is free.
    Hole,
    /// Items are appended to it.
    Open,
    /// It stands in its queue.
    Sealed,
    /// Its items are being moved or removed; the number stays taken until the last one is.
    Evacuating,
}

/// The number of classes of time to live.
pub(crate) const CLASSES: usize = 8;
/// The widths of the classes in milliseconds; class 0 has no time to live.
const WIDTHS_MS: [u64; CLASSES] =
    [0, 8_000, 64_000, 512_000, 4_096_000, 32_400_000, 259_200_000, 2_592_000_000];
const STEPS: usize = 16;
/// The unit of the histogram, in bytes: what items are aligned to. The counts of a segment of 256 KiB fit 16 bits.
const UNIT: u64 = ALIGN as u64;

/// The class of an entry with this deadline; `coarse` engines have only a few classes.
pub(crate) fn class_of(deadline: Option<UnixTime>, now: UnixTime, coarse: bool) -> u8 {
    let Some(deadline) = deadline else { return 0 };
    let remaining = deadline.0.saturating_sub(now.0);
    if coarse {
        return if remaining <= 512_000 { 3 } else { 7 };
    }
    match remaining {
        0..=8_000 => 1,
        8_001..=64_000 => 2,
        64_001..=512_000 => 3,
        512_001..=4_096_000 => 4,
        4_096_001..=32_400_000 => 5,
        32_400_001..=259_200_000 => 6,
        _ => 7,
    }
}

/// The width of `class` in milliseconds.
fn width_ms(class: u8) -> u64 {
    WIDTHS_MS.get(usize::from(class)).copied().unwrap_or(0)
}

/// One segment.
#[derive(Clone, Debug)]
pub(crate) struct Seg {
    /// Bytes written.
    pub(crate) len: u32,
    /// Bytes of items that words point to (or pointed to, in tables not yet walked after a clear).
    pub(crate) live: u32,
    /// Its place in the order of all segments ever made.
    pub(crate) born: u64,
    pub(crate) state: State,
    pub(crate) queue: Queue,
    pub(crate) class: u8,
    /// No item dies later, in milliseconds since 1970, but the timeless ones.
    pub(crate) max_deadline: u64,
    /// Until then no more than a third of its items is past its deadline, in milliseconds since 1970.
    pub(crate) due: u64,
    /// Items without a deadline among those with one.
    pub(crate) timeless: u32,
    opened: u64,
    hist: [u16; STEPS],
}

const _: () =
    assert!(size_of::<Seg>() + size_of::<Box<[u8]>>() == 96, "the bookkeeping of a segment");

impl Seg {
    pub(crate) const HOLE: Self = Self {
        len: 0,
        live: 0,
        born: 0,
        state: State::Hole,
        queue: Queue::Small,
        class: 0,
        max_deadline: 0,
        due: u64::MAX,
        timeless: 0,
        opened: 0,
        hist: [0; STEPS],
    };

    pub(crate) fn open(queue: Queue, class: u8, born: u64, now: UnixTime) -> Self {
        Self { state: State::Open, queue, class, born, opened: now.0, ..Self::HOLE }
    }

    /// Bytes written and no longer live.
    pub(crate) fn dead(&self) -> u64 {
        u64::from(self.len - self.live)
    }

    fn step_ms(&self) -> u64 {
        (width_ms(self.class) * 5 / 4 / 16).max(1)
    }

    fn step_of(&self, deadline: UnixTime) -> usize {
        let step = deadline.0.saturating_sub(self.opened) / self.step_ms();
        usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1)
    }

    /// Notes the deadline of an item of `len` bytes.
    pub(crate) fn note_deadline(&mut self, deadline: Option<UnixTime>, len: usize) {
        if self.class == 0 {
            return;
        }
        let Some(deadline) = deadline else {
            self.timeless = self.timeless.saturating_add(1);
            return;
        };
        self.max_deadline = self.max_deadline.max(deadline.0);
        // One item may be a third. What is over when it comes is counted then, and from then on exact.
        self.due = self.due.min(deadline.0);
        let count = &mut self.hist[self.step_of(deadline)];
        *count = count.saturating_add(units(len));
    }

    /// The same for an item whose deadline was `before`.
    pub(crate) fn move_deadline(
        &mut self,
        before: Option<UnixTime>,
        after: Option<UnixTime>,
        len: usize,
    ) {
        if self.class == 0 {
            return;
        }
        match before {
            None => self.timeless = self.timeless.saturating_sub(1),
            Some(deadline) => {
                let count = &mut self.hist[self.step_of(deadline)];
                *count = count.saturating_sub(units(len));
            }
        }
        self.note_deadline(after, len);
    }

    /// Whether every item is past its deadline.
    pub(crate) fn is_expired(&self, now: UnixTime) -> bool {
        self.class != 0 && self.timeless == 0 && self.max_deadline <= now.0
    }

    /// Of 256 parts of the segment, how many are past their deadlines, at most: what was written over or deleted counts.
    pub(crate) fn expired_share(&self, now: UnixTime) -> u64 {
        if self.class == 0 || self.len == 0 {
            return 0;
        }
        if self.is_expired(now) {
            return 256;
        }
        // Of the last step only the end of all is known.
        let passed = if self.max_deadline <= now.0 { STEPS } else { self.step_of(now) };
        let bytes: u64 = self.hist[..passed].iter().map(|&units| u64::from(units) * UNIT).sum();
        (bytes * 256 / u64::from(self.len)).min(256)
    }
}

/// The length of an item as the histogram counts it.
fn units(len: usize) -> u16 {
    u16::try_from(len / ALIGN).unwrap_or(u16::MAX)
}

//! Which slots of a shard have something to do, and when they are looked at: work is proportional to those, never to all
//! slots of the shard.

#[cfg(test)]
mod tests;

use ringhold_types::time::Instant;

/// Of slots that only wait, each tick looks at one in so many.
const PATIENCE: usize = 5;

/// A set of a shard's slots, by their index there.
#[derive(Clone, Debug)]
pub(super) struct Set {
    words: Box<[u64]>,
}

impl Set {
    fn new(slots: usize) -> Self {
        Self { words: vec![0; slots.div_ceil(64)].into() }
    }

    pub(super) fn insert(&mut self, idx: usize) {
        self.words[idx / 64] |= 1 << (idx % 64);
    }

    pub(super) fn remove(&mut self, idx: usize) {
        self.words[idx / 64] &= !(1 << (idx % 64));
    }

    fn set(&mut self, idx: usize, is_in: bool) {
        if is_in {
            self.insert(idx);
        } else {
            self.remove(idx);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Appends its slots to `out`, in ascending order.
    pub(super) fn list(&self, out: &mut Vec<usize>) {
        let words = self.words.iter().enumerate();
        words.for_each(|(at, &word)| list_word(at, word, out));
    }
}

fn list_word(at: usize, word: u64, out: &mut Vec<usize>) {
    let mut rest = word;
    while rest != 0 {
        out.push(at * 64 + rest.trailing_zeros() as usize);
        rest &= rest - 1;
    }
}

/// When a slot is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// When something happens to it.
    Nothing,
    /// When it is its turn: it only waits, and may have to ask again.
    Turn,
    /// With the next tick.
    Tick,
}

/// What is to be looked at.
#[derive(Debug)]
pub(super) struct Agenda {
    /// Slots with something to do.
    busy: Set,
    /// Those among them that each tick matters to, or that something has happened to since the last.
    urgent: Set,
    /// Slots that may ask something of the metadata.
    pub(super) proposing: Set,
    /// Slots behind a fence, and when the first fence ends.
    fenced: Set,
    fence_until: Instant,
    ticks: usize,
}

impl Agenda {
    /// Nothing, of a shard of so many slots.
    pub(super) fn new(slots: usize) -> Self {
        let set = || Set::new(slots);
        Self {
            busy: set(),
            urgent: set(),
            proposing: set(),
            fenced: set(),
            fence_until: Instant(u64::MAX),
            ticks: 0,
        }
    }

    /// Something has happened to a slot: the next tick looks at it, and the next proposal.
    pub(super) fn wake(&mut self, idx: usize) {
        self.busy.insert(idx);
        self.urgent.insert(idx);
        self.proposing.insert(idx);
    }

    /// Slots with something to do.
    pub(super) fn busy(&self) -> &Set {
        &self.busy
    }

    /// A slot waits for this time alone, and is looked at once it has passed.
    pub(super) fn fence(&mut self, idx: usize, until: Instant) {
        self.busy.insert(idx);
        self.fenced.insert(idx);
        self.fence_until = self.fence_until.min(until);
    }

    /// What a tick looks at, taken off: [`Agenda::keep`] and [`Agenda::fence`] put it back.
    pub(super) fn due(&mut self, now: Instant) -> Vec<usize> {
        self.ticks = (self.ticks + 1) % PATIENCE;
        if now > self.fence_until {
            // Those whose own fence is longer are put back.
            self.fence_until = Instant(u64::MAX);
            for (urgent, fenced) in self.urgent.words.iter_mut().zip(self.fenced.words.iter_mut()) {
                *urgent |= std::mem::take(fenced);
            }
        }
        let mut due = Vec::new();
        for at in 0..self.busy.words.len() {
            let turn = turn(at, self.ticks) & !self.fenced.words[at];
            let word = self.busy.words[at] & (self.urgent.words[at] | turn);
            self.busy.words[at] &= !word;
            self.urgent.words[at] = 0;
            list_word(at, word, &mut due);
        }
        due
    }

    /// When a slot that was looked at is looked at next, if nothing happens to it.
    pub(super) fn keep(&mut self, idx: usize, next: Next) {
        self.busy.set(idx, next != Next::Nothing);
        self.urgent.set(idx, next == Next::Tick);
        self.fenced.remove(idx);
    }
}

/// Of the 64 slots of a word those whose index leaves the rest `tick` when divided by [`PATIENCE`].
fn turn(at: usize, tick: usize) -> u64 {
    // Every fifth bit from the lowest on.
    const FIFTH: u64 = 0x1084_2108_4210_8421;
    const _: () = assert!(FIFTH & (1 << PATIENCE) != 0 && FIFTH.count_ones() == 13);
    FIFTH << ((tick + PATIENCE * 64 - at * 64 % PATIENCE) % PATIENCE)
}

//! The search for an order: Wing and Gong ("Testing and verifying concurrent objects", JPDC 1993) with Lowe's memory of
//! configurations ("Testing for linearizability", CCPE 2017) and the linked list of porcupine.
//!
//! Invocations and responses stand in a list by time. An operation may come next if its invocation is before the first
//! response left in the list; then both its places are taken out and the rest is searched. A configuration (which operations are
//! done, what the key holds) that was seen before is not searched again. The set of done operations is known by a 128-bit
//! sum of random words (Zobrist): two sets with one sum are never met in practice (chance 2⁻¹²⁸ a pair), and nothing is
//! copied per step.
//!
//! Acts in doubt may stay undone. A write in doubt that nobody can have noticed is left out first, and of acts in doubt that are
//! the same but for their time the earlier is taken first: without these two rules each act in doubt would double the work. A key may *vanish* from the moment its value says: right before an act, if that moment is before
//! every response left. Vanishing later than possible is never worse than earlier, because nobody looks in between.
//!
//! Cost: O(n) steps for a history without doubt and with few operations at a time; exponential at worst, so bounded.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::BTreeMap;

use hashbrown::HashSet;

use crate::check::acts::{Act, Timed};
use crate::digest::mixed;
use crate::history::Value;
use crate::time::Moment;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Yes,
    /// There is none.
    No,
    /// The bound on steps was reached.
    Undecided,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) value: u64,
    /// From when on it may vanish.
    pub(crate) vanishes_from: u64,
}

impl State {
    pub(crate) const ABSENT: Self = Self { value: 0, vanishes_from: u64::MAX };

    /// What the key holds after an act, if the act answers so here.
    pub(crate) fn after(self, timed: &Timed) -> Option<Self> {
        let written = |value: Value| Self { value: value.0, vanishes_from: timed.vanishes_from.0 };
        match timed.act {
            Act::Read(seen) => (seen.0 == self.value).then_some(self),
            Act::Write(value) => Some(written(value)),
            Act::Delete(found) => {
                let is_there = self.value != 0;
                found.is_none_or(|found| found == is_there).then_some(Self::ABSENT)
            }
            Act::Cas(from, to) => (from.0 == self.value).then(|| written(to)),
            Act::CasRefused(from) => (from.0 != self.value).then_some(self),
            Act::Incr(sum) => {
                let next = self.value + 1;
                let vanishes_from =
                    if self.value == 0 { timed.vanishes_from.0 } else { self.vanishes_from };
                sum.is_none_or(|sum| sum.0 == next).then_some(Self { value: next, vanishes_from })
            }
        }
    }
}

/// Whether an order of the acts explains all their answers. The key begins absent.
#[must_use]
pub fn linearizable(acts: &[Timed], steps_max: u64) -> Verdict {
    Search::new(pruned(acts)).run(steps_max)
}

/// Without writes in doubt that nobody can have noticed; those that somebody may have noticed only by the key's being
/// there, or having changed, get one value: they are interchangeable.
fn pruned(acts: &[Timed]) -> Vec<Timed> {
    let mut kept = acts.to_vec();
    if kept.iter().any(|act| matches!(act.act, Act::Incr(_))) {
        return kept; // sums are not unique: a write may be seen through them
    }
    // Removing a write must not take away a chance to vanish: what it overwrote vanishes as early.
    let latest = kept.iter().filter_map(|act| act.written().map(|_| act.vanishes_from)).max();
    let is_witnessed =
        kept.iter().any(|act| matches!(act.act, Act::Delete(Some(true)) | Act::CasRefused(_)));
    loop {
        let mut seen: Vec<Value> = kept
            .iter()
            .filter_map(|timed| match timed.act {
                Act::Read(value) | Act::Cas(value, _) => Some(value),
                Act::CasRefused(value) => Some(value),
                Act::Write(_) | Act::Delete(_) | Act::Incr(_) => None,
            })
            .collect();
        seen.sort_unstable();
        let before = kept.len();
        let is_unseen = |timed: &Timed| {
            let written = timed.written().filter(|_| timed.returned == Moment::NEVER);
            written.is_some_and(|value| seen.binary_search(&value).is_err())
        };
        kept.retain(|timed| {
            !is_unseen(timed) || is_witnessed || Some(timed.vanishes_from) != latest
        });
        if kept.len() == before {
            for timed in &mut kept {
                if is_unseen(timed) && matches!(timed.act, Act::Write(_)) {
                    timed.act = Act::Write(UNSEEN);
                }
            }
            return kept;
        }
    }
}

/// The one value of writes that nobody saw.
const UNSEEN: Value = Value(u64::MAX);

/// For each act in doubt, the one before it that is the same but for its time. An act may only be taken after that one:
/// which of them took effect makes no difference, and the earlier one may wherever the later one may.
fn twins(acts: &[Timed]) -> Vec<Option<usize>> {
    let mut last: BTreeMap<(Act, Moment), usize> = BTreeMap::new();
    let mut order: Vec<usize> = (0..acts.len()).collect();
    order.sort_by_key(|&idx| acts[idx].invoked);
    let mut twins = vec![None; acts.len()];
    for idx in order {
        let act = &acts[idx];
        if act.returned == Moment::NEVER {
            twins[idx] = last.insert((act.act, act.vanishes_from), idx);
        }
    }
    twins
}

/// A place in the list: an invocation or a response.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    is_response: bool,
    act: usize,
    next: usize,
    previous: usize,
}

/// A step that was taken, to be taken back.
#[derive(Clone, Copy, Debug)]
struct Taken {
    place: usize,
    before: State,
    has_vanished: bool,
}

struct Search {
    acts: Vec<Timed>,
    /// Place 0 is the head; the last one is the end.
    places: Vec<Place>,
    response_of: Vec<usize>,
    zobrist: Vec<u128>,
    twins: Vec<Option<usize>>,
    is_done: Vec<bool>,
    done: u128,
    certain_left: usize,
    state: State,
    taken: Vec<Taken>,
    seen: HashSet<Configuration, BuildHasherDefault<FoldHasher>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Configuration {
    done: u128,
    state: State,
}

impl Search {
    fn new(acts: Vec<Timed>) -> Self {
        let mut marks: Vec<(u64, bool, usize)> = Vec::with_capacity(acts.len() * 2);
        for (idx, act) in acts.iter().enumerate() {
            marks.push((act.invoked.0, false, idx));
            marks.push((act.returned.0, true, idx));
        }
        // An invocation at the moment of a response is concurrent with it: it stands before.
        marks.sort_unstable();
        let end = marks.len() + 1;
        let mut places = vec![Place { at: 0, is_response: false, act: 0, next: 1, previous: 0 }];
        let mut response_of = vec![0; acts.len()];
        for (idx, (at, is_response, act)) in marks.into_iter().enumerate() {
            places.push(Place { at, is_response, act, next: idx + 2, previous: idx });
            if is_response {
                response_of[act] = idx + 1;
            }
        }
        places.push(Place {
            at: u64::MAX,
            is_response: true,
            act: 0,
            next: end,
            previous: end - 1,
        });
        let zobrist = (1..=acts.len() as u64)
            .map(|idx| u128::from(mixed(idx)) << 64 | u128::from(mixed(!idx)))
            .collect();
        let certain_left = acts.iter().filter(|act| act.returned != Moment::NEVER).count();
        Self {
            twins: twins(&acts),
            is_done: vec![false; acts.len()],
            acts,
            places,
            response_of,
            zobrist,
            done: 0,
            certain_left,
            state: State::ABSENT,
            taken: Vec::new(),
            seen: HashSet::default(),
        }
    }

    fn run(&mut self, steps_max: u64) -> Verdict {
        let mut steps = 0;
        let mut at = self.places[0].next;
        let mut may_stay = true; // false: the act at `at` was tried without vanishing
        while self.certain_left > 0 {
            steps += 1;
            if steps > steps_max {
                return Verdict::Undecided;
            }
            if self.is_barrier(at) {
                let Some(taken) = self.taken.pop() else { return Verdict::No };
                self.take_back(taken);
                // The same act after the key vanished, or the next act.
                may_stay = false;
                at = taken.place;
                if taken.has_vanished {
                    at = self.places[at].next;
                    may_stay = true;
                }
                continue;
            }
            let is_taken = (may_stay && self.try_take(at, false)) || self.try_take(at, true);
            at = if is_taken { self.places[0].next } else { self.places[at].next };
            may_stay = true;
        }
        Verdict::Yes
    }

    /// Whether no act from this place on may come next: a certain response, or the end.
    fn is_barrier(&self, at: usize) -> bool {
        let place = self.places[at];
        place.is_response && (place.at != u64::MAX || at == self.places.len() - 1)
    }

    /// The time of the first response left: everything that comes next comes before it.
    fn first_response(&self) -> u64 {
        let mut at = self.places[0].next;
        while !self.places[at].is_response {
            at = self.places[at].next;
        }
        self.places[at].at
    }

    /// Takes the act at a place as the next one, if it answers so and leads somewhere new.
    fn try_take(&mut self, at: usize, has_vanished: bool) -> bool {
        let place = self.places[at];
        if place.is_response {
            return false; // of an act in doubt
        }
        if self.twins[place.act].is_some_and(|twin| !self.is_done[twin]) {
            return false;
        }
        let mut from = self.state;
        if has_vanished {
            if from.value == 0 || from.vanishes_from > self.first_response() {
                return false;
            }
            from = State::ABSENT;
        }
        let act = &self.acts[place.act];
        let Some(state) = from.after(act) else { return false };
        let done = self.done ^ self.zobrist[place.act];
        if !self.seen.insert(Configuration { done, state }) {
            return false;
        }
        self.taken.push(Taken { place: at, before: self.state, has_vanished });
        self.certain_left -= usize::from(act.returned != Moment::NEVER);
        self.done = done;
        self.is_done[place.act] = true;
        self.state = state;
        self.unlink(at);
        self.unlink(self.response_of[place.act]);
        true
    }

    fn take_back(&mut self, taken: Taken) {
        let act = self.places[taken.place].act;
        self.relink(self.response_of[act]);
        self.relink(taken.place);
        self.done ^= self.zobrist[act];
        self.is_done[act] = false;
        self.certain_left += usize::from(self.acts[act].returned != Moment::NEVER);
        self.state = taken.before;
    }

    fn unlink(&mut self, at: usize) {
        let Place { next, previous, .. } = self.places[at];
        self.places[previous].next = next;
        self.places[next].previous = previous;
    }

    fn relink(&mut self, at: usize) {
        let Place { next, previous, .. } = self.places[at];
        self.places[previous].next = at;
        self.places[next].previous = at;
    }
}

/// Folds the words of a [`Configuration`], which are random already. The same in every run.
#[derive(Default)]
struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mixed(self.0.rotate_left(5) ^ word);
    }

    fn write_u128(&mut self, word: u128) {
        let [low, high] = crate::digest::halves(word);
        self.write_u64(low);
        self.write_u64(high);
    }
}

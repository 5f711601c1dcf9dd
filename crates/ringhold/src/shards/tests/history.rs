//! Whether what threads have seen of one key can have happened in one order: linearizability, decided by trying the
//! orders (Wing and Gong, JPDC 1993).

use std::collections::BTreeSet;

/// What an operation did and was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Get(Option<u64>),
    Set(u64),
    /// A write that found no room: it has not happened.
    Refused,
    /// Whether there was an entry.
    Delete(bool),
    /// The counter after it.
    Increment(u64),
    /// Something that may have taken the entry away: an eviction, or a tick.
    Reclaim,
}

/// An operation on one key, and when it was called and answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) key: usize,
    pub(super) done: Done,
    pub(super) called: u64,
    pub(super) answered: u64,
}

/// Whether the events on `key` fit one order in which each stands between its call and its answer. An entry may vanish
/// at a [`Done::Reclaim`], with `may_vanish` at any time.
pub(super) fn is_linearizable(events: &[Event], key: usize, may_vanish: bool) -> bool {
    let events: Vec<Event> = events.iter().copied().filter(|event| event.key == key).collect();
    assert!(events.len() <= 64, "a set of events fits a word");
    let mut tried = BTreeSet::new();
    let mut open = vec![(0u64, None)];
    while let Some((passed, state)) = open.pop() {
        if passed.count_ones() as usize == events.len() {
            return true;
        }
        if !tried.insert((passed, state)) {
            continue;
        }
        let left = || (0..events.len()).filter(|idx| passed >> idx & 1 == 0);
        let first_answer = left().map(|idx| events[idx].answered).min().unwrap_or(u64::MAX);
        // Whoever was called before anybody left was answered can be next.
        for idx in left().filter(|&idx| events[idx].called < first_answer) {
            let is_lost = may_vanish || events[idx].done == Done::Reclaim;
            for before in [Some(state), is_lost.then_some(None)].into_iter().flatten() {
                if let Some(after) = apply(events[idx].done, before) {
                    open.push((passed | 1 << idx, after));
                }
            }
        }
    }
    false
}

/// The state after an operation; `None`: it cannot have been answered so.
fn apply(done: Done, state: Option<u64>) -> Option<Option<u64>> {
    match done {
        Done::Get(seen) => (seen == state).then_some(state),
        Done::Set(value) => Some(Some(value)),
        Done::Delete(was_there) => (was_there == state.is_some()).then_some(None),
        Done::Increment(after) => (state.unwrap_or(0) + 1 == after).then_some(Some(after)),
        Done::Refused | Done::Reclaim => Some(state),
    }
}

#[test]
fn only_what_fits_an_order_is_linearizable() {
    let event = |done, called, answered| Event { key: 0, done, called, answered };
    let check = |events: &[Event], expected| {
        assert_eq!(is_linearizable(events, 0, false), expected, "{events:?}");
    };
    let set = event(Done::Set(1), 0, 1);
    check(&[set, event(Done::Get(Some(1)), 2, 3)], true);
    check(&[set, event(Done::Get(None), 2, 3)], false);
    check(&[event(Done::Set(1), 0, 3), event(Done::Get(None), 1, 2)], true);
    check(&[set, event(Done::Reclaim, 2, 3), event(Done::Get(None), 4, 5)], true);
    check(&[set, event(Done::Get(None), 2, 3), event(Done::Reclaim, 4, 5)], false);
    check(&[set, event(Done::Set(5), 2, 6), event(Done::Get(Some(5)), 3, 4)], true);
    // Once somebody has seen the new value nobody sees the old one.
    let seen = [event(Done::Get(Some(5)), 3, 4), event(Done::Get(Some(1)), 5, 6)];
    check(&[set, event(Done::Set(5), 2, 9), seen[0], seen[1]], false);
    // Two increments cannot both have been the first.
    let twice = event(Done::Increment(1), 0, 9);
    check(&[twice, twice], false);
    check(&[twice, event(Done::Increment(2), 0, 9)], true);
    check(&[set, event(Done::Delete(true), 2, 3), event(Done::Delete(true), 4, 5)], false);
}

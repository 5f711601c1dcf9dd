//! The way from the present owners to wanted ones, in steps that can be taken one after another or in batches.
//!
//! A [`Change`] is all that happens to one slot. Within it the order is fixed: first every new owner is filled, then the primary is handed over, then the old owners go; so a
//! slot never has fewer copies than before or than wanted, whichever is less, and its primary always holds it. Changes of different slots are independent: they may be carried out in any
//! batches. Their order is that of need: slots that lack copies come first, those that lack most before the others; and among equals the work of each recipient is spread over the whole
//! plan, so that a batch fills many nodes a little rather than one node a lot.

use alloc::vec::Vec;
use core::cmp::Reverse;

use ringhold_types::slot::Slot;

use crate::owners::{NodeIdx, Owners};

/// One copy on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The slot.
    pub slot: Slot,
    /// Who gives its copy up; `None` when the slot gains one.
    pub from: Option<NodeIdx>,
    /// Who receives one; `None` when the slot has one too many.
    pub to: Option<NodeIdx>,
}

/// All that happens to one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The slot.
    pub slot: Slot,
    /// First: those that are to be filled.
    pub add: Owners,
    /// Then: who becomes the primary instead of the present one, if there is one; `None` when it stays.
    pub primary: Option<NodeIdx>,
    /// Last: those that give it up.
    pub remove: Owners,
}

impl Change {
    /// The copies that move, each with the one it replaces.
    pub fn moves(&self) -> impl Iterator<Item = Move> {
        let (slot, add, remove) = (self.slot, self.add, self.remove);
        (0..add.len().max(remove.len())).map(move |idx| Move {
            slot,
            from: remove.get(idx).copied(),
            to: add.get(idx).copied(),
        })
    }
}

/// The changes between two placements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One for each slot that changes, in the order in which to do them.
    pub changes: Vec<Change>,
    /// Copies that are to be received.
    pub copies_moved: u64,
    /// Slots that had a primary and get another one; cheap beside a moved copy, but not free.
    pub primaries_changed: u64,
}

impl Plan {
    /// The way from `present` to `wanted`, as long as the shorter of them. Whoever is in the `present` list counts as holding the slot: a caller that lists nodes
    /// which are still being filled finishes that by itself.
    #[must_use]
    pub fn between(present: &[Owners], wanted: &[Owners]) -> Self {
        let changes = Slot::all().zip(present.iter().zip(wanted));
        let mut keyed: Vec<((usize, u64), Change)> = changes
            .filter_map(|(slot, (present, wanted))| change(slot, present, wanted))
            .map(|(missing, change)| ((usize::MAX - missing, 0), change))
            .collect();
        spread(&mut keyed);
        keyed.sort_by_key(|(key, change)| (*key, change.slot));
        let changes: Vec<Change> = keyed.into_iter().map(|(_, change)| change).collect();
        let has_primary = |slot: Slot| present.get(slot.index()).is_some_and(|one| !one.is_empty());
        let changed = changes.iter().filter(|one| one.primary.is_some() && has_primary(one.slot));
        Self {
            copies_moved: changes.iter().map(|change| change.add.len() as u64).sum(),
            primaries_changed: changed.count() as u64,
            changes,
        }
    }
}

/// The change of one slot, if there is one, and how many copies it lacks before.
fn change(slot: Slot, present: &Owners, wanted: &Owners) -> Option<(usize, Change)> {
    let without = |one: &Owners, other: &Owners| -> Owners {
        one.iter().copied().filter(|node| !other.contains(node)).collect()
    };
    let primary = wanted.primary().filter(|_| wanted.primary() != present.primary());
    let change =
        Change { slot, add: without(wanted, present), primary, remove: without(present, wanted) };
    let is_change = !change.add.is_empty() || !change.remove.is_empty() || primary.is_some();
    is_change.then(|| (wanted.len().saturating_sub(present.len()), change))
}

/// Gives each change its place among those of equal need: how far its first recipient (or, when only the primary changes, the new primary) is through all it gets.
fn spread(keyed: &mut [((usize, u64), Change)]) {
    let recipient = |change: &Change| {
        let node = change.add.first().copied().or(change.primary);
        node.or_else(|| change.remove.first().copied()).unwrap_or_default()
    };
    keyed.sort_by_key(|(key, change)| (key.0, recipient(change), Reverse(change.slot)));
    let mut rest = keyed;
    while let Some((first, _)) = rest.split_first() {
        let group = (first.0.0, recipient(&first.1));
        let is_same = |one: &((usize, u64), Change)| (one.0.0, recipient(&one.1)) == group;
        let len = rest.iter().take_while(|one| is_same(one)).count();
        let (same, others) = rest.split_at_mut(len);
        for (idx, one) in same.iter_mut().enumerate() {
            one.0.1 = (2 * idx as u64 + 1) * (1 << 32) / (2 * len as u64);
        }
        rest = others;
    }
}

//! Which owner of each slot is its primary.
//!
//! The present primary stays if it still owns the slot and its node has no more primaries than its share rounded up. A slot without one takes the first
//! owner that has too few. Then what is uneven is handed from owner to owner, directly and along chains (`exchange`). Shares are bounds from below and
//! above, not exact targets: any number in between is as good, and the theorem behind it (see `share`) promises no more.

use alloc::vec::Vec;

use super::Task;
use crate::exchange::{Cost, Exchange, even_out};
use crate::owners::{NodeIdx, Owners};

/// One of the two bounds on a node's primaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// At least its share rounded down.
    Floor,
    /// At most its share rounded up.
    Ceil,
}

/// The primaries of all slots while they are placed.
pub(super) struct Primaries {
    /// The primary of each slot, where it has one.
    pub(super) of: Vec<Option<NodeIdx>>,
    /// The slots whose primary is pinned; they do not count.
    is_pinned: Vec<bool>,
    load: Vec<u64>,
    floor: Vec<u64>,
    ceil: Vec<u64>,
}

impl Primaries {
    /// The primaries there are and, for each node, how many it has and how many it must and may have.
    pub(super) fn new(task: &Task<'_>, load: Vec<u64>, floor: Vec<u64>, ceil: Vec<u64>) -> Self {
        let is_pinned: Vec<bool> = task.pins.iter().map(|pins| !pins.is_empty()).collect();
        let present = task.leaders.iter().zip(&task.pins);
        let of = present.map(|(&leader, pins)| pins.primary().or(leader)).collect();
        Self { of, is_pinned, load, floor, ceil }
    }

    /// Whether `node` has less than that.
    pub(super) fn is_below(&self, node: NodeIdx, bound: Bound) -> bool {
        self.load[node.index()] < self.bound(bound)[node.index()]
    }

    /// Whether `node` has more than that.
    pub(super) fn is_above(&self, node: NodeIdx, bound: Bound) -> bool {
        self.load[node.index()] > self.bound(bound)[node.index()]
    }

    fn bound(&self, bound: Bound) -> &[u64] {
        match bound {
            Bound::Floor => &self.floor,
            Bound::Ceil => &self.ceil,
        }
    }

    /// Makes `node` the primary of a slot whose primary is not pinned.
    pub(super) fn set(&mut self, slot: usize, node: Option<NodeIdx>) {
        if let Some(old) = core::mem::replace(&mut self.of[slot], node) {
            self.load[old.index()] -= 1;
        }
        if let Some(new) = node {
            self.load[new.index()] += 1;
        }
    }

    /// Gives every slot a primary among its `owners`, and every node its share.
    pub(super) fn place(&mut self, task: &Task<'_>, owners: &[Owners]) {
        for (slot, owners) in owners.iter().enumerate() {
            if self.of[slot].is_some_and(|node| !owners.contains(&node)) {
                self.set(slot, None);
            }
        }
        for &(_, slot) in &task.order {
            if self.of[slot].is_none() {
                self.set(slot, self.best(&owners[slot]));
            }
        }
        use Bound::{Ceil, Floor};
        for cost in [Cost::Free, Cost::Any] {
            for (above, below) in [(Ceil, Floor), (Ceil, Ceil), (Floor, Floor)] {
                let mut stage = Stage { primaries: self, task, owners, above, below };
                stage.hand_over(cost);
                even_out(&mut stage, task.candidates.len(), cost);
            }
        }
    }

    fn best(&self, owners: &Owners) -> Option<NodeIdx> {
        let first = |bound| owners.iter().copied().find(|&node| self.is_below(node, bound));
        first(Bound::Floor).or_else(|| first(Bound::Ceil)).or_else(|| owners.primary())
    }
}

/// Primaries handed from nodes above one bound to nodes below another.
struct Stage<'a> {
    primaries: &'a mut Primaries,
    task: &'a Task<'a>,
    owners: &'a [Owners],
    above: Bound,
    below: Bound,
}

impl Stage<'_> {
    /// Hands over directly whatever can be.
    fn hand_over(&mut self, cost: Cost) {
        for &(_, slot) in &self.task.order {
            let Some(from) = self.primaries.of[slot] else { continue };
            if self.surplus(from) == 0 || self.primaries.is_pinned[slot] {
                continue;
            }
            let fits = |&to: &NodeIdx| {
                self.lack(to) > 0 && (cost == Cost::Any || self.is_free(slot, from, to))
            };
            if let Some(to) = self.owners[slot].iter().copied().find(fits) {
                self.pass(slot, from, to);
            }
        }
    }
}

impl Exchange for Stage<'_> {
    fn slots_by_node(&self) -> Vec<Vec<usize>> {
        let mut slots = alloc::vec![Vec::new(); self.primaries.load.len()];
        for (slot, primary) in self.primaries.of.iter().enumerate() {
            if let Some(primary) = primary.filter(|_| !self.primaries.is_pinned[slot]) {
                slots[primary.index()].push(slot);
            }
        }
        slots
    }

    fn surplus(&self, node: NodeIdx) -> u64 {
        let bound = self.primaries.bound(self.above)[node.index()];
        self.primaries.load[node.index()].saturating_sub(bound)
    }

    fn lack(&self, node: NodeIdx) -> u64 {
        let bound = self.primaries.bound(self.below)[node.index()];
        bound.saturating_sub(self.primaries.load[node.index()])
    }

    fn may_pass(&self, slot: usize, from: NodeIdx, to: NodeIdx) -> bool {
        from != to && self.primaries.of[slot] == Some(from) && self.owners[slot].contains(&to)
    }

    fn is_free(&self, slot: usize, from: NodeIdx, to: NodeIdx) -> bool {
        let before = self.task.leaders[slot];
        before == Some(to) || before != Some(from)
    }

    fn pass(&mut self, slot: usize, _: NodeIdx, to: NodeIdx) {
        self.primaries.set(slot, Some(to));
    }

    fn takers(
        &self,
        cost: Cost,
        (from, slots): (NodeIdx, &[usize]),
        is_wanted: &dyn Fn(NodeIdx) -> bool,
        limit: usize,
        found: &mut Vec<NodeIdx>,
    ) {
        for &slot in slots {
            let may_take = |&node: &NodeIdx| {
                is_wanted(node)
                    && self.may_pass(slot, from, node)
                    && (cost == Cost::Any || self.is_free(slot, from, node))
            };
            found.extend(self.owners[slot].iter().copied().filter(may_take));
            if found.len() >= limit {
                return;
            }
        }
    }
}

//! Which nodes hold a copy of each slot.
//!
//! 1. *Keep*: everything that may stay stays; what may not (nodes that are no longer eligible, too many copies in a zone, too many in all) goes, from
//!    those that have most too many.
//! 2. *Fill*: missing copies go to the first node clockwise that has not reached its target; zones and nodes that must have a copy of
//!    every slot come first. If the nodes below their target may not hold the slot, another one takes it, and has one too many.
//! 3. *Move*: nodes above their target give slots to the first node clockwise that is below it. Slots that move anyway go first, then those whose primary
//!    has to change too, then backups.
//! 4. *Exchange*: what is left goes along chains (`exchange`).

use alloc::vec::Vec;

use super::Task;
use super::open::OpenRing;
use super::primaries::{Bound, Primaries};
use crate::exchange::{Cost, Exchange, even_out};
use crate::owners::{NodeIdx, Owners};

/// The copies of all slots while they are placed.
pub(super) struct Copies<'a> {
    task: &'a Task<'a>,
    /// The owners of each slot, the pinned ones first.
    pub(super) owners: Vec<Owners>,
    /// The unpinned copies of each node.
    load: Vec<u64>,
    /// And how many they are to be.
    target: Vec<u64>,
}

/// Which copies are moved in one pass over all slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Those on a node that did not have the slot before.
    Newcomers,
    /// Primaries whose node has more than the first bound, to nodes that have less than the second.
    Primaries(Bound, Bound),
    /// Backups.
    Backups,
    /// All.
    All,
}

const PASSES: [Pass; 6] = [
    Pass::Newcomers,
    Pass::Primaries(Bound::Ceil, Bound::Floor),
    Pass::Primaries(Bound::Floor, Bound::Floor),
    Pass::Primaries(Bound::Ceil, Bound::Ceil),
    Pass::Backups,
    Pass::All,
];

impl<'a> Copies<'a> {
    /// What may stay of what there is.
    pub(super) fn kept(task: &'a Task<'a>, target: Vec<u64>) -> Self {
        let held = |(before, pins): (&Owners, &Owners)| {
            pins.iter().chain(before.iter()).copied().collect()
        };
        let owners: Vec<Owners> = task.before.iter().zip(&task.pins).map(held).collect();
        let mut load = alloc::vec![0; target.len()];
        for (owners, pins) in owners.iter().zip(&task.pins) {
            owners.iter().skip(pins.len()).for_each(|owner| load[owner.index()] += 1);
        }
        let mut copies = Self { task, owners, load, target };
        let mut dropped = 0;
        for slot in 0..copies.owners.len() {
            while let Some(node) = copies.victim(slot) {
                copies.owners[slot].remove(node);
                copies.load[node.index()] -= 1;
                dropped += 1;
            }
        }
        if dropped > 0 {
            even_out(&mut copies, task.candidates.len(), Cost::Free);
        }
        copies
    }

    /// Gives every slot its copies, and every node its target.
    pub(super) fn place(&mut self, primaries: &mut Primaries) {
        self.fill(primaries);
        for pass in PASSES {
            if (0..self.load.len()).any(|rank| self.surplus(NodeIdx::at(rank)) > 0) {
                self.move_some(pass, primaries);
            }
            if pass == Pass::Newcomers {
                even_out(self, self.task.candidates.len(), Cost::Free);
            }
        }
        even_out(self, self.task.candidates.len(), Cost::Any);
    }

    /// A copy of `slot` that cannot stay, if there is one.
    fn victim(&self, slot: usize) -> Option<NodeIdx> {
        let (owners, candidates) = (&self.owners[slot], self.task.candidates);
        let unpinned = || owners.iter().copied().skip(self.task.pins[slot].len());
        let is_crowded = |node: &NodeIdx| {
            candidates.copies_in(owners, candidates.zones[node.index()]) > candidates.per_zone
        };
        // Of equals the last: the first is the primary.
        let too_many = |node: &NodeIdx| {
            (self.load[node.index()] + self.task.slots()).saturating_sub(self.target[node.index()])
        };
        let crowded = unpinned().filter(is_crowded).max_by_key(too_many);
        let is_long = owners.len() > candidates.replicas;
        crowded.or_else(|| unpinned().max_by_key(too_many).filter(|_| is_long))
    }

    fn fill(&mut self, primaries: &mut Primaries) {
        let (task, candidates) = (self.task, self.task.candidates);
        let may_lead = |copies: &Self, primaries: &Primaries, node: NodeIdx| {
            copies.lack(node) > 0 && primaries.is_below(node, Bound::Floor)
        };
        let mut open = OpenRing::new(task.points, candidates, |node| self.lack(node) > 0);
        let mut leaders =
            OpenRing::new(task.points, candidates, |node| may_lead(self, primaries, node));
        let everywhere = self.everywhere();
        for &(position, slot) in &task.order {
            while self.owners[slot].len() < candidates.replicas {
                let owners = &self.owners[slot];
                if primaries.of[slot].is_none() {
                    // Decided at once, so that the copy can go to a node that lacks primaries when its other owners do not.
                    let lacks = |node: &NodeIdx| primaries.is_below(*node, Bound::Floor);
                    primaries.set(slot, owners.iter().copied().find(lacks));
                }
                let must = self.must_join(&everywhere, &open, position, owners);
                let leader = if must.is_none() && primaries.of[slot].is_none() {
                    leaders.first(candidates, position, owners)
                } else {
                    None
                };
                let node = must
                    .or(leader)
                    .or_else(|| open.first(candidates, position, owners))
                    .or_else(|| self.beyond_bounds(position, owners));
                let Some(node) = node else { break };
                self.owners[slot].push(node);
                self.load[node.index()] += 1;
                if leader.is_some() {
                    primaries.set(slot, leader);
                }
                if self.lack(node) == 0 {
                    open.close(candidates, node);
                }
                for node in [Some(node), primaries.of[slot]].into_iter().flatten() {
                    if !may_lead(self, primaries, node) {
                        leaders.close(candidates, node);
                    }
                }
            }
        }
    }

    /// A node that has to own this slot because it, or its zone, has to own all.
    fn must_join(
        &self,
        (nodes, zones): &(Vec<NodeIdx>, Vec<usize>),
        open: &OpenRing,
        position: u64,
        owners: &Owners,
    ) -> Option<NodeIdx> {
        let candidates = self.task.candidates;
        let node = nodes.iter().copied().find(|&node| candidates.may_join(node, owners));
        let in_zone = |&zone: &usize| open.first_in(candidates, position, owners, zone);
        node.or_else(|| zones.iter().find_map(in_zone))
    }

    /// The nodes that are to hold every slot, and the zones that are to hold as many copies of each as they may.
    fn everywhere(&self) -> (Vec<NodeIdx>, Vec<usize>) {
        let (candidates, slots) = (self.task.candidates, self.task.slots());
        let mut zone_targets = alloc::vec![0; candidates.zone_count];
        for (&zone, target) in candidates.zones.iter().zip(&self.target) {
            zone_targets[zone] += target;
        }
        let zone_max = slots * candidates.per_zone as u64;
        let nodes = (0..candidates.len()).filter(|&rank| self.target[rank] >= slots);
        let zones = (0..candidates.zone_count).filter(|&zone| zone_targets[zone] >= zone_max);
        (nodes.map(NodeIdx::at).collect(), zones.collect())
    }

    /// A node for a slot that no node below its target may hold; of a zone without room only when pinned owners leave no other.
    fn beyond_bounds(&self, position: u64, owners: &Owners) -> Option<NodeIdx> {
        let (points, candidates) = (self.task.points, self.task.candidates);
        points
            .first(position, |node| candidates.may_join(node, owners))
            .or_else(|| points.first(position, |node| !owners.contains(&node)))
    }

    fn move_some(&mut self, pass: Pass, primaries: &mut Primaries) {
        let (task, candidates) = (self.task, self.task.candidates);
        let is_open = |copies: &Self, primaries: &Primaries, node: NodeIdx| {
            let may_lead = match pass {
                Pass::Primaries(_, to) => primaries.is_below(node, to),
                Pass::Newcomers | Pass::Backups | Pass::All => true,
            };
            copies.lack(node) > 0 && may_lead
        };
        let mut open =
            OpenRing::new(task.points, candidates, |node| is_open(self, primaries, node));
        for &(position, slot) in &task.order {
            let present = self.owners[slot];
            for &from in present.iter().skip(task.pins[slot].len()) {
                let is_primary = primaries.of[slot] == Some(from);
                let is_meant = match pass {
                    Pass::Newcomers => !task.before[slot].contains(&from),
                    Pass::Primaries(bound, _) => is_primary && primaries.is_above(from, bound),
                    Pass::Backups => !is_primary,
                    Pass::All => true,
                };
                if !is_meant || self.surplus(from) == 0 {
                    continue;
                }
                let mut others = self.owners[slot];
                others.remove(from);
                let Some(to) = open.first(candidates, position, &others) else { continue };
                self.pass(slot, from, to);
                if is_primary {
                    let heir = matches!(pass, Pass::Primaries(..)).then_some(to);
                    primaries.set(slot, heir);
                }
                if !is_open(self, primaries, to) {
                    open.close(candidates, to);
                }
            }
        }
    }
}

impl Exchange for Copies<'_> {
    fn slots_by_node(&self) -> Vec<Vec<usize>> {
        let mut slots = alloc::vec![Vec::new(); self.load.len()];
        for (slot, owners) in self.owners.iter().enumerate() {
            for owner in owners.iter().skip(self.task.pins[slot].len()) {
                slots[owner.index()].push(slot);
            }
        }
        slots
    }

    fn surplus(&self, node: NodeIdx) -> u64 {
        self.load[node.index()].saturating_sub(self.target[node.index()])
    }

    fn lack(&self, node: NodeIdx) -> u64 {
        self.target[node.index()].saturating_sub(self.load[node.index()])
    }

    fn may_pass(&self, slot: usize, from: NodeIdx, to: NodeIdx) -> bool {
        let mut others = self.owners[slot];
        let is_pinned = self.task.pins[slot].contains(&from);
        !is_pinned && others.remove(from) && self.task.candidates.may_join(to, &others)
    }

    fn is_free(&self, slot: usize, from: NodeIdx, to: NodeIdx) -> bool {
        let before = &self.task.before[slot];
        before.contains(&to) || !before.contains(&from)
    }

    fn pass(&mut self, slot: usize, from: NodeIdx, to: NodeIdx) {
        self.owners[slot].replace(from, to);
        self.load[from.index()] -= 1;
        self.load[to.index()] += 1;
    }

    fn takers(
        &self,
        cost: Cost,
        (from, slots): (NodeIdx, &[usize]),
        is_wanted: &dyn Fn(NodeIdx) -> bool,
        limit: usize,
        found: &mut Vec<NodeIdx>,
    ) {
        let candidates = self.task.candidates;
        // Slots that may go to anybody at this cost, and how many of them have no room in each zone.
        let mut open = Vec::new();
        let mut crowded = alloc::vec![0; candidates.zone_count];
        for &slot in slots {
            let before = &self.task.before[slot];
            if cost == Cost::Free && before.contains(&from) {
                let may_take = |&node: &NodeIdx| is_wanted(node) && self.may_pass(slot, from, node);
                found.extend(before.iter().copied().filter(may_take));
                continue;
            }
            open.push(slot);
            let mut others = self.owners[slot];
            others.remove(from);
            for (idx, other) in others.iter().enumerate() {
                let zone = candidates.zones[other.index()];
                let is_first = candidates.copies_in(&others[..idx], zone) == 0;
                let is_full = candidates.copies_in(&others, zone) >= candidates.per_zone;
                crowded[zone] += usize::from(is_first && is_full);
            }
        }
        for node in (0..self.load.len()).map(NodeIdx::at) {
            let has_room = crowded[candidates.zones[node.index()]] < open.len();
            if found.len() >= limit {
                return;
            }
            if has_room
                && is_wanted(node)
                && open.iter().any(|&slot| self.may_pass(slot, from, node))
            {
                found.push(node);
            }
        }
    }
}

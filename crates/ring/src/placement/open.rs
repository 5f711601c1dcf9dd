//! The part of the ring that still takes something: the points of *open* nodes.
//!
//! Nodes close one after another as they get their targets. The points are copied anew whenever half of the nodes have closed, so that a walk passes about
//! as many closed nodes as open ones, and all copying together costs two passes over the points.

use alloc::vec::Vec;

use crate::node::Candidates;
use crate::owners::{NodeIdx, Owners};
use crate::points::Points;

/// The points of the nodes that are open.
pub(super) struct OpenRing {
    points: Points,
    is_open: Vec<bool>,
    /// Open nodes now, and when the points were copied.
    open: usize,
    copied: usize,
    /// Open nodes of each zone.
    by_zone: Vec<usize>,
    /// The zones that have any.
    zones: Vec<usize>,
}

impl OpenRing {
    pub(super) fn new(
        points: &Points,
        candidates: &Candidates<'_>,
        is_open: impl Fn(NodeIdx) -> bool,
    ) -> Self {
        let is_open: Vec<bool> =
            (0..candidates.len()).map(|rank| is_open(NodeIdx::at(rank))).collect();
        let mut by_zone = alloc::vec![0; candidates.zone_count];
        for (&zone, _) in candidates.zones.iter().zip(&is_open).filter(|(_, is_open)| **is_open) {
            by_zone[zone] += 1;
        }
        let open = by_zone.iter().sum();
        let zones = (0..candidates.zone_count).filter(|&zone| by_zone[zone] > 0).collect();
        let points = points.only(|node| is_open[node.index()]);
        Self { points, is_open, open, copied: open, by_zone, zones }
    }

    /// Closes `node`, if it is open.
    pub(super) fn close(&mut self, candidates: &Candidates<'_>, node: NodeIdx) {
        if !core::mem::replace(&mut self.is_open[node.index()], false) {
            return;
        }
        let zone = candidates.zones[node.index()];
        self.by_zone[zone] -= 1;
        if self.by_zone[zone] == 0 {
            self.zones.retain(|&one| one != zone);
        }
        self.open -= 1;
        if self.open * 2 <= self.copied {
            let is_open = &self.is_open;
            self.points = self.points.only(|node| is_open[node.index()]);
            self.copied = self.open;
        }
    }

    /// The first open node clockwise from `position` that may stand beside `others`.
    pub(super) fn first(
        &self,
        candidates: &Candidates<'_>,
        position: u64,
        others: &Owners,
    ) -> Option<NodeIdx> {
        // A walk all around that finds nothing is long: few zones are asked first. With more zones than owners one has no owner.
        let has_room = |&zone: &usize| candidates.copies_in(others, zone) < candidates.per_zone;
        if self.zones.len() <= others.len() && !self.zones.iter().any(has_room) {
            return None;
        }
        let fits = |node: NodeIdx| self.is_open[node.index()] && candidates.may_join(node, others);
        self.points.first(position, fits)
    }

    /// The same, of nodes in `zone` alone.
    pub(super) fn first_in(
        &self,
        candidates: &Candidates<'_>,
        position: u64,
        others: &Owners,
        zone: usize,
    ) -> Option<NodeIdx> {
        let is_full = candidates.copies_in(others, zone) >= candidates.per_zone;
        if is_full || self.by_zone[zone] == 0 {
            return None;
        }
        let fits = |node: NodeIdx| {
            candidates.zones[node.index()] == zone
                && self.is_open[node.index()]
                && candidates.may_join(node, others)
        };
        self.points.first(position, fits)
    }
}

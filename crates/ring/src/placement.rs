//! Which nodes own each slot: the ring, bounded load, zones, and as little movement as they allow.
//!
//! [`place`] takes the present owners and the nodes, and says who is to own what. Its contract:
//!
//! - every slot has as many different owners as replicas were asked for, or as there are nodes;
//! - no more of them in one zone than it takes: one, while there are as many zones as copies (see [`Request::replicas`]);
//! - every node has its share of the copies and its share of the primaries, rounded down or up: shares are proportional to weight, after
//!   what distinct nodes and zones leave no room for was given to the others;
//! - under these conditions as few copies as possible move, and then few primaries change ([`Count`] has both beside a minimum; docs/design/placement.md has
//!   how close it comes);
//! - the result is a function of names, weights, zones, present owners and overrides, not of the order of the list of nodes.
//!
//! The idea: what is there stays, and what moves walks clockwise on the ring from the slot's position to the first node that is below its share (consistent hashing with
//! bounded loads: Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350, 2016; its ε is what rounding up adds to a share, so a copy at most). The steps are described
//! in `copies`, `primaries` and `exchange`. Slots with overrides may break the clauses on zones and shares. Left out: the load of slots, which is the balancer's; it speaks through [`Override`].

mod copies;
mod open;
mod primaries;

use alloc::vec::Vec;

use ringhold_types::prng::Prng;
use ringhold_types::slot::{SLOTS, Slot};

use crate::error::RingError;
use crate::node::{self, Candidates, Node};
use crate::owners::{NodeIdx, Owners};
use crate::points::{Points, position};
use crate::share::{self, Rounding, Share};

use copies::Copies;
use primaries::Primaries;

/// A slot whose owners are decided elsewhere, by the balancer or an operator.
///
/// Its named owners do not count towards the shares of their nodes, so that other slots do not move back to even out what was moved on purpose. They are kept
/// even where zones forbid it. Of several overrides of a slot the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override<'a> {
    /// The slot.
    pub slot: Slot,
    /// Its owners, the primary first; those that may own nothing, and those over the number of replicas, are passed over. When they are fewer than the
    /// replicas, placement finds the others.
    pub owners: Owners,
    /// Why, for people; placement does not read it.
    pub reason: &'a str,
}

/// A question to [`place`].
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// All nodes that may own slots or own one now, in any order; at most `NODES_MAX`.
    pub nodes: &'a [Node<'a>],
    /// Who holds each slot now, `SLOTS` lists: its in-sync owners, the primary first, then those that are being filled. A list may be empty.
    pub present: &'a [Owners],
    /// The copies of each slot, primary included: 1 to `REPLICAS_MAX`. With fewer eligible nodes each has a copy. With fewer zones, no zone has more copies of a
    /// slot than the smallest number with which all have a place.
    pub replicas: u8,
    /// Slots that are decided elsewhere.
    pub overrides: &'a [Override<'a>],
}

/// How many had to change, and how few could have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Changes made.
    pub made: u64,
    /// Changes that nobody can avoid: see [`Placement`].
    pub min: u64,
}

/// The answer of [`place`].
#[derive(Clone, Debug)]
pub struct Placement {
    /// The owners of each slot, the primary first, then those that stay in their order.
    pub owners: Vec<Owners>,
    /// Copies that a node must receive. At least: the copies missing after nodes that may own nothing, crowded zones and surplus copies are taken off; and what nodes lack to
    /// their share rounded down, or what others hold beyond theirs rounded up, whichever is more. Among equal nodes that many suffice; where zones or very different weights
    /// force chains of moves it takes more.
    pub copies: Count,
    /// Slots that had a primary and get another one. At least: the slots whose primary may own nothing, and what nodes hold beyond their share of primaries rounded up; or what nodes
    /// lack to theirs rounded down, less the slots that had no primary. It may take more, since a primary can only go to an owner.
    pub primaries: Count,
}

/// Decides the owners of all slots.
///
/// Cost: a few passes over slots and points; a plan of 1000 nodes takes tens of milliseconds (docs/design/placement.md). Memory: about 100 bytes a slot and 16 a point.
///
/// # Errors
///
/// [`RingError::TooManyNodes`], [`RingError::NameLen`], [`RingError::ZoneLen`], [`RingError::DuplicateNode`], [`RingError::ReplicasOutOfRange`],
/// [`RingError::SlotCount`], [`RingError::UnknownIndex`]: the question is wrong. [`RingError::Empty`]: no node is eligible.
pub fn place(request: &Request<'_>) -> Result<Placement, RingError> {
    if request.present.len() != usize::from(SLOTS) {
        return Err(RingError::SlotCount { len: request.present.len() });
    }
    place_some(request)
}

/// [`place`] for the first slots alone, as many as there are present owners.
pub(crate) fn place_some(request: &Request<'_>) -> Result<Placement, RingError> {
    node::check_replicas(request.replicas)?;
    node::check(request.nodes)?;
    let nodes = request.nodes.len();
    let pinned = request.overrides.iter().map(|one| &one.owners);
    for owner in request.present.iter().chain(pinned).flat_map(|owners| owners.iter()) {
        if owner.index() >= nodes {
            return Err(RingError::UnknownIndex { node: owner.0, nodes });
        }
    }
    let candidates = Candidates::of(request.nodes, request.replicas)?;
    let points = Points::of(&candidates);
    Ok(Task::new(&candidates, &points, request).run(request.present))
}

/// The checked question, in ranks.
struct Task<'a> {
    candidates: &'a Candidates<'a>,
    points: &'a Points,
    /// All slots with their positions on the ring, in the order in which they are visited. It is drawn anew for each set of nodes: were it always
    /// the same, each newcomer would take the slots that the one before took, and the two would end up as each other's only neighbours.
    order: Vec<(u64, usize)>,
    /// The present owners that are eligible.
    before: Vec<Owners>,
    /// The present primaries that are eligible.
    leaders: Vec<Option<NodeIdx>>,
    /// The pinned owners that are eligible.
    pins: Vec<Owners>,
}

impl<'a> Task<'a> {
    fn new(candidates: &'a Candidates<'a>, points: &'a Points, request: &Request<'_>) -> Self {
        let present = request.present;
        let positions = Slot::all().map(position).zip(0..present.len());
        let mut order: Vec<(u64, usize)> = positions.collect();
        let mut prng = Prng::new(points.digest());
        for last in (1..order.len()).rev() {
            let idx = usize::try_from(prng.below(last as u64 + 1)).unwrap_or(last);
            order.swap(idx, last); // Fisher and Yates
        }
        let mut pins = alloc::vec![Owners::NONE; present.len()];
        for one in request.overrides {
            let ranks = candidates.to_ranks(&one.owners);
            if let Some(pins) = pins.get_mut(one.slot.index()) {
                *pins = ranks.iter().copied().take(candidates.replicas).collect();
            }
        }
        let leader = |owners: &Owners| {
            candidates.to_ranks(&owners.primary().into_iter().collect()).primary()
        };
        Self {
            candidates,
            points,
            order,
            before: present.iter().map(|owners| candidates.to_ranks(owners)).collect(),
            leaders: present.iter().map(leader).collect(),
            pins,
        }
    }

    fn slots(&self) -> u64 {
        self.before.len() as u64
    }

    fn run(&self, present: &[Owners]) -> Placement {
        let (mut copies, mut copies_min) = self.copies();
        let missing = |(owners, before): (&Owners, &Owners)| {
            let kept = owners.iter().filter(|owner| before.contains(owner)).count();
            (self.candidates.replicas - kept) as u64
        };
        let kept = copies.owners.iter().zip(&self.before);
        copies_min = copies_min.max(kept.map(missing).sum());
        let (mut primaries, primaries_min) = self.primaries(present);
        copies.place(&mut primaries);
        primaries.place(self, &copies.owners);
        let made = copies.owners.iter().zip(&self.before).map(missing).sum();
        let led = |(owners, &primary): (&Owners, &Option<NodeIdx>)| {
            let ordered = primary.map_or(*owners, |primary| owners.led_by(primary));
            self.candidates.to_nodes(&ordered)
        };
        let owners: Vec<Owners> = copies.owners.iter().zip(&primaries.of).map(led).collect();
        let has_changed = |(before, after): &(&Owners, &Owners)| {
            !before.is_empty() && before.primary() != after.primary()
        };
        let changed = present.iter().zip(&owners).filter(has_changed).count() as u64;
        Placement {
            owners,
            copies: Count { made, min: copies_min },
            primaries: Count { made: changed, min: primaries_min },
        }
    }

    /// The copies that stay, and how many at least must come because of the shares.
    fn copies(&self) -> (Copies<'_>, u64) {
        let (candidates, slots) = (self.candidates, self.slots());
        let mut held = alloc::vec![0; candidates.len()];
        let mut zone_max = alloc::vec![slots * candidates.per_zone as u64; candidates.zone_count];
        let (mut pinned, mut arriving) = (0, 0);
        for (before, pins) in self.before.iter().zip(&self.pins) {
            // Where owners are pinned only the first others stay; elsewhere which ones go is decided by what their nodes hold.
            let room =
                if pins.is_empty() { before.len() } else { candidates.replicas - pins.len() };
            for owner in before.iter().filter(|owner| !pins.contains(owner)).take(room) {
                held[owner.index()] += 1;
            }
            for pin in pins.iter() {
                let left = &mut zone_max[candidates.zones[pin.index()]];
                *left = u64::saturating_sub(*left, 1);
                arriving += u64::from(!before.contains(pin));
            }
            pinned += pins.len() as u64;
        }
        let total = slots * candidates.replicas as u64 - pinned;
        let (shares, is_full) = share::of_copies(candidates, slots);
        let least = |(&max, &is_full)| if is_full && pinned == 0 { max } else { 0 };
        let zone_min: Vec<u64> = zone_max.iter().zip(&is_full).map(least).collect();
        let rounding = Rounding {
            shares: &shares,
            held: &held,
            total,
            pinned,
            zones: &candidates.zones,
            zone_max: &zone_max,
            zone_min: &zone_min,
        };
        let target = rounding.targets();
        let min = arriving + rounding.arrivals_min();
        (Copies::kept(self, target), min)
    }

    /// The primaries there are, and how many at least must change.
    fn primaries(&self, present: &[Owners]) -> (Primaries, u64) {
        let (candidates, slots) = (self.candidates, self.slots());
        let shares = share::of_primaries(candidates, slots);
        let mut held = alloc::vec![0; candidates.len()];
        let (mut pinned, mut lost, mut new) = (0, 0, 0);
        for (slot, pins) in self.pins.iter().enumerate() {
            let leader = self.leaders[slot];
            if let Some(pin) = pins.primary() {
                pinned += 1;
                lost += u64::from(leader != Some(pin) && !present[slot].is_empty());
            } else if let Some(leader) = leader {
                held[leader.index()] += 1;
            } else if present[slot].is_empty() {
                new += 1;
            } else {
                lost += 1;
            }
        }
        let zones = alloc::vec![0; candidates.len()];
        let rounding = Rounding {
            shares: &shares,
            held: &held,
            total: slots - pinned,
            pinned,
            zones: &zones,
            zone_max: &[slots],
            zone_min: &[0],
        };
        let target = rounding.targets();
        let ceil: Vec<u64> = shares.iter().map(|share| share.ceil).collect();
        let lower = |(share, &target): (&Share, &u64)| share.floor.min(target);
        let floor: Vec<u64> = shares.iter().zip(&target).map(lower).collect();
        let leaving: u64 =
            held.iter().zip(&ceil).map(|(held, ceil)| held.saturating_sub(*ceil)).sum();
        let min = (lost + leaving).max(rounding.arrivals_min().saturating_sub(new));
        (Primaries::new(self, held, floor, ceil), min)
    }
}

//! How many copies and how many primaries each node is to have.
//!
//! A node's share is proportional to its weight, unless that is more than it can have: a node holds a slot once, and a zone holds at most
//! [`per_zone`](Candidates::per_zone) copies of a slot. What is cut off there is shared among the others, again by weight ("water filling").
//! So balance yields to distinct nodes and distinct zones, never the reverse, and only by what they leave no room for.
//!
//! A share is a fraction; a node gets it rounded down or up. Which of the two is decided by what it holds, so that rounding moves nothing that could stay.
//! Primaries are shared by weight without any cut: a node has its share of them in any placement of copies that keeps the shares of copies,
//! since each copy can be the primary for its part of a slot (fractions exist, so whole numbers do: the flow is integral).

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::node::Candidates;

/// A share rounded down and up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) floor: u64,
    pub(crate) ceil: u64,
}

impl Share {
    /// `numerator / denominator`, which is not 0.
    fn of(numerator: u64, denominator: u64) -> Self {
        let floor = numerator / denominator;
        Self { floor, ceil: floor + u64::from(!numerator.is_multiple_of(denominator)) }
    }
}

/// The shares of all copies of `slots` slots, and which zones have as many as they can have.
pub(crate) fn of_copies(candidates: &Candidates<'_>, slots: u64) -> (Vec<Share>, Vec<bool>) {
    let zone_max = slots * candidates.per_zone as u64;
    let count = candidates.len();
    let mut is_full_zone = alloc::vec![false; candidates.zone_count];
    loop {
        let is_open = |rank: &usize| !is_full_zone[candidates.zones[*rank]];
        let open: Vec<usize> = (0..count).filter(is_open).collect();
        let full_zones = is_full_zone.iter().filter(|&&is_full| is_full).count() as u64;
        let amount = (slots * candidates.replicas as u64).saturating_sub(full_zones * zone_max);
        let level = Level::of(candidates, &open, amount, slots);
        if !level.fill_zones(candidates, &open, zone_max, &mut is_full_zone) {
            return (shares(candidates, &is_full_zone, level, slots), is_full_zone);
        }
    }
}

/// The shares once it is known which zones have all they can have.
fn shares(candidates: &Candidates<'_>, is_full: &[bool], open: Level, slots: u64) -> Vec<Share> {
    let in_zone = |zone: usize| -> Vec<usize> {
        (0..candidates.len()).filter(|&rank| candidates.zones[rank] == zone).collect()
    };
    let full = |zone: usize| {
        is_full[zone].then(|| {
            let amount = slots * candidates.per_zone as u64;
            Level::of(candidates, &in_zone(zone), amount, slots)
        })
    };
    let levels: Vec<Option<Level>> = (0..candidates.zone_count).map(full).collect();
    let share = |rank: usize| {
        let level = levels[candidates.zones[rank]].unwrap_or(open);
        level.share(candidates.weights[rank])
    };
    (0..candidates.len()).map(share).collect()
}

/// The shares of the primaries of `slots` slots.
pub(crate) fn of_primaries(candidates: &Candidates<'_>, slots: u64) -> Vec<Share> {
    let total = candidates.weights.iter().sum::<u64>().max(1);
    candidates.weights.iter().map(|weight| Share::of(slots * weight, total)).collect()
}

/// How high the water stands: a node of weight `w` has `min(amount · w / weight, node_max)`.
#[derive(Clone, Copy, Debug)]
struct Level {
    amount: u64,
    weight: u64,
    node_max: u64,
}

impl Level {
    /// `amount` poured over nodes of which none takes more than `node_max`.
    fn of(candidates: &Candidates<'_>, ranks: &[usize], amount: u64, node_max: u64) -> Self {
        let mut weights: Vec<u64> = ranks.iter().map(|&rank| candidates.weights[rank]).collect();
        weights.sort_unstable_by_key(|&weight| Reverse(weight));
        let mut level = Self { amount, weight: weights.iter().sum(), node_max };
        for weight in weights {
            if level.is_within(weight) {
                break;
            }
            level.amount = level.amount.saturating_sub(node_max);
            level.weight -= weight;
        }
        level
    }

    /// Whether a node of this weight stays below the most that it can have.
    fn is_within(self, weight: u64) -> bool {
        self.amount * weight < self.node_max * self.weight
    }

    fn share(self, weight: u64) -> Share {
        if self.is_within(weight) {
            Share::of(self.amount * weight, self.weight)
        } else {
            Share { floor: self.node_max, ceil: self.node_max }
        }
    }

    /// Marks the zones of `open` nodes that reach `zone_max`; says whether there were any.
    fn fill_zones(
        self,
        candidates: &Candidates<'_>,
        open: &[usize],
        zone_max: u64,
        is_full_zone: &mut [bool],
    ) -> bool {
        let mut heights = alloc::vec![0; candidates.zone_count];
        for &rank in open {
            let height = self.amount * candidates.weights[rank];
            heights[candidates.zones[rank]] += height.min(self.node_max * self.weight);
        }
        let mut has_found = false;
        for &rank in open {
            let zone = candidates.zones[rank];
            if self.weight > 0 && heights[zone] >= zone_max * self.weight && !is_full_zone[zone] {
                is_full_zone[zone] = true;
                has_found = true;
            }
        }
        has_found
    }
}

/// What nodes are to hold, and what they hold.
pub(crate) struct Rounding<'a> {
    /// The shares of everything, pinned or not.
    pub(crate) shares: &'a [Share],
    /// What each holds now, without what is pinned.
    pub(crate) held: &'a [u64],
    /// What is to be held in all, without what is pinned.
    pub(crate) total: u64,
    /// What is pinned: so much may be missing from the shares, wherever it is missing already.
    pub(crate) pinned: u64,
    /// The zone of each.
    pub(crate) zones: &'a [usize],
    /// The most that each zone can have.
    pub(crate) zone_max: &'a [u64],
    /// The least that each zone is to have: the same for a zone that must have a copy of every slot, else 0.
    pub(crate) zone_min: &'a [u64],
}

impl Rounding<'_> {
    /// Each node's target: its share rounded so that as little as possible is moved. The sum is `total`, unless what is pinned leaves no room.
    pub(crate) fn targets(&self) -> Vec<u64> {
        let clamp = |(share, &held): (&Share, &u64)| held.clamp(share.floor, share.ceil);
        let mut targets: Vec<u64> = self.shares.iter().zip(self.held).map(clamp).collect();
        let mut zone_sums = alloc::vec![0; self.zone_max.len()];
        for (&target, &zone) in targets.iter().zip(self.zones) {
            zone_sums[zone] += target;
        }
        self.fit_zones(&mut targets, &mut zone_sums);
        self.raise(&mut targets, &mut zone_sums, u64::MAX, self.zone_min);
        let sum: u64 = targets.iter().sum();
        if sum > self.total {
            self.lower(&mut targets, &mut zone_sums, sum - self.total);
        } else {
            self.raise(&mut targets, &mut zone_sums, self.total - sum, self.zone_max);
        }
        targets
    }

    /// What has to come at least, whatever is rounded up: what lacks to the shares rounded down as far as pins do not stand for it, or what is held beyond those
    /// rounded up and cannot count.
    pub(crate) fn arrivals_min(&self) -> u64 {
        let pairs = || self.shares.iter().zip(self.held);
        let lack: u64 = pairs().map(|(share, &held)| share.floor.saturating_sub(held)).sum();
        let of_use: u64 = pairs().map(|(share, &held)| held.min(share.ceil)).sum();
        lack.saturating_sub(self.pinned).max(self.total.saturating_sub(of_use))
    }

    /// Rounds down in zones that would have more than they can.
    fn fit_zones(&self, targets: &mut [u64], zone_sums: &mut [u64]) {
        for (rank, target) in targets.iter_mut().enumerate() {
            let zone = self.zones[rank];
            if zone_sums[zone] > self.zone_max[zone] && *target > self.shares[rank].floor {
                *target -= 1;
                zone_sums[zone] -= 1;
            }
        }
    }

    /// Takes `excess` off: first what is missing anyway, as far as pinned copies stand for it, then what was rounded up, then evenly.
    fn lower(&self, targets: &mut [u64], zone_sums: &mut [u64], mut excess: u64) {
        let mut spare = self.pinned;
        for (target, &held) in targets.iter_mut().zip(self.held) {
            let part = target.saturating_sub(held).min(spare).min(excess);
            *target -= part;
            spare -= part;
            excess -= part;
        }
        for (rank, target) in targets.iter_mut().enumerate() {
            let zone = self.zones[rank];
            let spare = zone_sums[zone].saturating_sub(self.zone_min[zone]);
            let part = target.saturating_sub(self.shares[rank].floor).min(excess).min(spare);
            *target -= part;
            zone_sums[zone] -= part;
            excess -= part;
        }
        while excess > 0 && targets.iter().any(|&target| target > 0) {
            for target in targets.iter_mut().filter(|target| **target > 0) {
                let part = excess.min(1);
                *target -= part;
                excess -= part;
            }
        }
    }

    /// Adds `lack` where zones have less than `zone_max`.
    fn raise(&self, targets: &mut [u64], zone_sums: &mut [u64], mut lack: u64, zone_max: &[u64]) {
        for (rank, target) in targets.iter_mut().enumerate() {
            let zone = self.zones[rank];
            let room = zone_max[zone].saturating_sub(zone_sums[zone]);
            let part = self.shares[rank].ceil.saturating_sub(*target).min(lack).min(room);
            *target += part;
            zone_sums[zone] += part;
            lack -= part;
        }
    }
}

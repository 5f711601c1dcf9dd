//! The ring: points of nodes on the circle of 64-bit numbers, and the walk clockwise from a slot.
//!
//! Consistent hashing after Karger et al., "Consistent Hashing and Random Trees" (STOC 1997): a node has many points, a slot one position, and the
//! nodes met clockwise from there are its natural owners. The hash is fixed for ever, since all nodes must see one ring: the name's FNV-1a hash
//! (64 bits; Fowler, Noll, Vo) seeds `SplitMix64`, whose outputs are the node's points 0, 1, 2 …; a slot's position is the first output for its number.
//! A node has 64 points for each whole weight, one at least; when all together would be more than [`POINTS_MAX`], each has half as many, or a
//! quarter, and so on. Points beyond the first few are only there to spread neighbours: the shares of nodes are held by counting, not by points.

use alloc::vec::Vec;

use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;

use crate::error::RingError;
use crate::node::{self, Candidates, Node};
use crate::owners::{NodeIdx, Owners};

/// Points of a node of weight 1, before they are halved.
pub const POINTS_PER_WEIGHT: u64 = 64;
/// The most points of all nodes together, beyond one for each node: sorting them takes some milliseconds.
pub const POINTS_MAX: u64 = 1 << 16;

/// A point: where it is, and whose (as a rank).
type Point = (u64, NodeIdx);

/// The points of some nodes, in order around the circle.
#[derive(Clone, Debug)]
pub(crate) struct Points(Vec<Point>);

impl Points {
    /// The points of all candidates.
    pub(crate) fn of(candidates: &Candidates<'_>) -> Self {
        let counts = |shift: u32| {
            let count = move |&weight: &u64| ((weight * POINTS_PER_WEIGHT / 100) >> shift).max(1);
            candidates.weights.iter().map(count)
        };
        let most = POINTS_MAX.max(candidates.weights.len() as u64);
        let shift = (0..u64::BITS).find(|&shift| counts(shift).sum::<u64>() <= most).unwrap_or(0);
        let mut points = Vec::new();
        for (rank, (name, count)) in candidates.names.iter().zip(counts(shift)).enumerate() {
            let mut prng = Prng::new(fnv1a(name.as_bytes()));
            points.extend((0..count).map(|_| (prng.next_u64(), NodeIdx::at(rank))));
        }
        points.sort_unstable();
        Self(points)
    }

    /// A number that differs from one set of points to another.
    pub(crate) fn digest(&self) -> u64 {
        self.0.iter().fold(0, |digest, point| digest ^ point.0)
    }

    /// The points of the nodes that `keeps` says yes to.
    pub(crate) fn only(&self, keeps: impl Fn(NodeIdx) -> bool) -> Self {
        Self(self.0.iter().filter(|point| keeps(point.1)).copied().collect())
    }

    /// The first node clockwise from `position` that `fits` says yes to. Cost: a binary search, and one call for each point passed.
    pub(crate) fn first(&self, position: u64, fits: impl Fn(NodeIdx) -> bool) -> Option<NodeIdx> {
        let start = self.0.partition_point(|point| point.0 < position);
        let (before, after) = self.0.split_at(start);
        after.iter().chain(before).map(|point| point.1).find(|&node| fits(node))
    }
}

/// Where a slot is on the ring.
#[must_use]
pub fn position(slot: Slot) -> u64 {
    Prng::new(u64::from(slot.number())).next_u64()
}

/// The natural owners of `slot`: the first distinct nodes clockwise, of distinct zones as long as there are enough. Bounds on load, present owners and overrides
/// are not looked at: with them it is [`place`](crate::placement::place) that decides. Cost: that of making the ring.
///
/// # Errors
///
/// As [`place`](crate::placement::place).
pub fn natural_owners(nodes: &[Node<'_>], replicas: u8, slot: Slot) -> Result<Owners, RingError> {
    node::check(nodes)?;
    node::check_replicas(replicas)?;
    let candidates = Candidates::of(nodes, replicas)?;
    let points = Points::of(&candidates);
    let mut owners = Owners::NONE;
    while owners.len() < candidates.replicas {
        let fits = |node: NodeIdx| candidates.may_join(node, &owners);
        let Some(node) = points.first(position(slot), fits) else { break };
        owners.push(node);
    }
    Ok(candidates.to_nodes(&owners))
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

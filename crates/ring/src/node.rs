//! The nodes of one question, checked, and those among them that may own slots in an order of their own.
//!
//! All of placement works on *ranks*: positions in the order of names of the nodes that may own slots. So the order in which the caller lists
//! nodes cannot show in the result.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use ringhold_types::limits::{NODE_NAME_LEN_MAX, NODES_MAX, REPLICAS_MAX, ZONE_LEN_MAX};
use ringhold_types::node::Weight;

use crate::error::RingError;
use crate::owners::{NodeIdx, Owners};

/// One node, as placement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// Its name, 1 to [`NODE_NAME_LEN_MAX`] bytes; no other node's. Its points on the ring derive from it.
    pub name: &'a str,
    /// Its part of the slots, relative to the others.
    pub weight: Weight,
    /// Where it stands, up to [`ZONE_LEN_MAX`] bytes; nodes of equal zones fail together. The empty zone is a zone too.
    pub zone: &'a str,
    /// Whether it may own slots: false for one that drains or is dead.
    pub is_eligible: bool,
}

impl Node<'_> {
    /// Checks the lengths of its names.
    pub(crate) fn check(&self) -> Result<(), RingError> {
        let (len, max) = (self.name.len(), NODE_NAME_LEN_MAX);
        if len == 0 || len > max {
            return Err(RingError::NameLen { len, max });
        }
        let (len, max) = (self.zone.len(), ZONE_LEN_MAX);
        if len > max { Err(RingError::ZoneLen { len, max }) } else { Ok(()) }
    }
}

/// Checks a number of copies.
pub(crate) fn check_replicas(replicas: u8) -> Result<(), RingError> {
    let max = REPLICAS_MAX;
    if replicas == 0 || replicas > max {
        return Err(RingError::ReplicasOutOfRange { replicas, max });
    }
    Ok(())
}

/// Checks all nodes of a question.
pub(crate) fn check(nodes: &[Node<'_>]) -> Result<(), RingError> {
    let (count, max) = (nodes.len(), NODES_MAX);
    if count > max {
        return Err(RingError::TooManyNodes { count, max });
    }
    let mut names = BTreeSet::new();
    for node in nodes {
        node.check()?;
        if !names.insert(node.name) {
            return Err(RingError::DuplicateNode { name: node.name.into() });
        }
    }
    Ok(())
}

/// The nodes that may own slots, by rank.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    /// Their names, ascending.
    pub(crate) names: Vec<&'a str>,
    /// Their weights in hundredths.
    pub(crate) weights: Vec<u64>,
    /// The zones of each, numbered from 0 in order of their names.
    pub(crate) zones: Vec<usize>,
    /// The number of zones.
    pub(crate) zone_count: usize,
    /// The copies of each slot: the replicas asked for, or the nodes there are.
    pub(crate) replicas: usize,
    /// The copies of one slot that may be in one zone: the smallest number with which all copies have a place.
    pub(crate) per_zone: usize,
    /// The caller's index of each rank.
    indices: Vec<NodeIdx>,
    /// The rank of each of the caller's nodes.
    ranks: Vec<Option<NodeIdx>>,
}

impl<'a> Candidates<'a> {
    /// Those of `nodes`, which were checked, for `replicas` copies.
    pub(crate) fn of(nodes: &[Node<'a>], replicas: u8) -> Result<Self, RingError> {
        let mut order: Vec<usize> =
            (0..nodes.len()).filter(|&idx| nodes[idx].is_eligible).collect();
        if order.is_empty() {
            return Err(RingError::Empty);
        }
        order.sort_unstable_by_key(|&idx| nodes[idx].name);
        let names: BTreeSet<&str> = order.iter().map(|&idx| nodes[idx].zone).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let zone = |&idx: &usize| names.binary_search(&nodes[idx].zone).unwrap_or(0);
        let zones: Vec<usize> = order.iter().map(zone).collect();
        let mut ranks = alloc::vec![None; nodes.len()];
        for (rank, &idx) in order.iter().enumerate() {
            ranks[idx] = Some(NodeIdx::at(rank));
        }
        let replicas = usize::from(replicas).min(order.len());
        Ok(Self {
            names: order.iter().map(|&idx| nodes[idx].name).collect(),
            weights: order.iter().map(|&idx| u64::from(nodes[idx].weight.hundredths())).collect(),
            per_zone: per_zone(&zones, names.len(), replicas),
            zones,
            zone_count: names.len(),
            replicas,
            indices: order.iter().map(|&idx| NodeIdx::at(idx)).collect(),
            ranks,
        })
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many of `owners` are in `zone`.
    pub(crate) fn copies_in(&self, owners: &[NodeIdx], zone: usize) -> usize {
        owners.iter().filter(|owner| self.zones[owner.index()] == zone).count()
    }

    /// Whether `node` may own a slot beside `others`: it is none of them, and its zone has room.
    pub(crate) fn may_join(&self, node: NodeIdx, others: &Owners) -> bool {
        !others.contains(&node) && self.copies_in(others, self.zones[node.index()]) < self.per_zone
    }

    /// Owners as ranks; those that may own nothing are left out.
    pub(crate) fn to_ranks(&self, owners: &Owners) -> Owners {
        owners.iter().filter_map(|node| self.ranks.get(node.index()).copied().flatten()).collect()
    }

    /// Ranks as the caller's nodes.
    pub(crate) fn to_nodes(&self, ranks: &Owners) -> Owners {
        ranks.iter().map(|rank| self.indices[rank.index()]).collect()
    }
}

/// The smallest number `c` such that `replicas` copies fit with at most `c` in a zone.
fn per_zone(zones: &[usize], zone_count: usize, replicas: usize) -> usize {
    let mut nodes = alloc::vec![0; zone_count];
    for &zone in zones {
        nodes[zone] += 1;
    }
    let fits =
        |&most: &usize| nodes.iter().map(|&count| most.min(count)).sum::<usize>() >= replicas;
    (1..replicas).find(fits).unwrap_or(replicas)
}

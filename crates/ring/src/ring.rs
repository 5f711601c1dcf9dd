//! A ring that stands alone: nodes come and go, keys are located.
//!
//! For whoever needs placement without a cluster around it. Its owners depend on the order in which nodes came and went, as sticky placement must; two rings agree when they saw the same
//! changes in the same order. In a cluster it is the map that carries the owners, and [`place`] that changes them.

use alloc::string::String;
use alloc::vec::Vec;

use ringhold_types::limits::NODES_MAX;
use ringhold_types::node::Weight;
use ringhold_types::slot::{SLOTS, Slot};

use crate::error::RingError;
use crate::node::{Node, check_replicas};
use crate::owners::{NodeIdx, Owners};
use crate::placement::{Placement, Request, place};
use crate::plan::Plan;

/// Nodes, and the owners of each slot among them.
#[derive(Clone, Debug)]
pub struct Ring {
    replicas: u8,
    nodes: Vec<RingNode>,
    /// One entry for each slot, empty while there is no node.
    owners: Vec<Owners>,
}

/// One node of a ring.
#[derive(Clone, Debug)]
struct RingNode {
    name: String,
    weight: Weight,
    zone: String,
}

impl RingNode {
    fn as_node(&self) -> Node<'_> {
        let Self { name, weight, zone } = self;
        Node { name, weight: *weight, zone, is_eligible: true }
    }
}

impl Ring {
    /// An empty ring that will keep `replicas` copies of each slot, the primary included.
    ///
    /// # Errors
    ///
    /// [`RingError::ReplicasOutOfRange`] unless they are 1 to `REPLICAS_MAX`.
    pub fn new(replicas: u8) -> Result<Self, RingError> {
        check_replicas(replicas)?;
        let owners = alloc::vec![Owners::NONE; usize::from(SLOTS)];
        Ok(Self { replicas, nodes: Vec::new(), owners })
    }

    /// Adds a node, which gets its share of the slots; `weight` is rounded to hundredths. Says what has to move.
    ///
    /// # Errors
    ///
    /// [`RingError::DuplicateNode`], [`RingError::WeightOutOfRange`] unless `weight` is 0.01 to 100, [`RingError::NameLen`], [`RingError::ZoneLen`],
    /// [`RingError::TooManyNodes`]; the ring is as it was then.
    pub fn add_node(&mut self, name: &str, weight: f64, zone: &str) -> Result<Plan, RingError> {
        let in_range = Weight::from_f64(weight).ok_or(RingError::WeightOutOfRange { weight })?;
        Node { name, weight: in_range, zone, is_eligible: true }.check()?;
        if self.nodes.iter().any(|node| node.name == name) {
            return Err(RingError::DuplicateNode { name: name.into() });
        }
        let (count, max) = (self.nodes.len() + 1, NODES_MAX);
        if count > max {
            return Err(RingError::TooManyNodes { count, max });
        }
        self.nodes.push(RingNode { name: name.into(), weight: in_range, zone: zone.into() });
        let wanted = self.placed(None)?;
        let plan = Plan::between(&self.owners, &wanted.owners);
        self.owners = wanted.owners;
        Ok(plan)
    }

    /// Takes a node out; the others share its slots. Says what has to move, with the node's index of before. The indices of the nodes after it become one less.
    ///
    /// # Errors
    ///
    /// [`RingError::UnknownNode`].
    pub fn remove_node(&mut self, name: &str) -> Result<Plan, RingError> {
        let found = self.nodes.iter().position(|node| node.name == name);
        let gone = found.ok_or_else(|| RingError::UnknownNode { name: name.into() })?;
        let owners = match self.placed(Some(gone)) {
            Err(RingError::Empty) => alloc::vec![Owners::NONE; usize::from(SLOTS)],
            wanted => wanted?.owners,
        };
        let plan = Plan::between(&self.owners, &owners);
        self.nodes.remove(gone);
        let renumber =
            |node: &NodeIdx| NodeIdx::at(node.index() - usize::from(node.index() > gone));
        self.owners = owners.iter().map(|owners| owners.iter().map(renumber).collect()).collect();
        Ok(plan)
    }

    /// The owners of the key's slot, the primary first; none while there is no node. Cost: a checksum of the key and one look into a table.
    #[inline]
    #[must_use]
    pub fn locate(&self, key: &[u8]) -> &Owners {
        self.owners_of(Slot::of_key(key))
    }

    /// The owners of a slot, the primary first.
    #[inline]
    #[must_use]
    pub fn owners_of(&self, slot: Slot) -> &Owners {
        self.owners.get(slot.index()).unwrap_or(&Owners::NONE)
    }

    /// The name of a node of this ring.
    #[must_use]
    pub fn name(&self, node: NodeIdx) -> Option<&str> {
        self.nodes.get(node.index()).map(|node| node.name.as_str())
    }

    /// The number of nodes.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn placed(&self, gone: Option<usize>) -> Result<Placement, RingError> {
        let mut nodes: Vec<Node<'_>> = self.nodes.iter().map(RingNode::as_node).collect();
        if let Some(gone) = gone.and_then(|gone| nodes.get_mut(gone)) {
            gone.is_eligible = false;
        }
        let (present, replicas) = (&self.owners, self.replicas);
        place(&Request { nodes: &nodes, present, replicas, overrides: &[] })
    }
}

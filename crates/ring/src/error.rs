//! What can be wrong with a question about placement. Asking again helps in no case.

use alloc::string::String;
use core::fmt;

/// Why nothing was placed.
#[derive(Clone, Debug, PartialEq)]
pub enum RingError {
    /// Two nodes have this name.
    DuplicateNode {
        /// The name.
        name: String,
    },
    /// No node has this name.
    UnknownNode {
        /// The name.
        name: String,
    },
    /// Owners name a node that is not in the list of nodes.
    UnknownIndex {
        /// Its index.
        node: u16,
        /// The number of nodes.
        nodes: usize,
    },
    /// A weight is not 0.01 to 100.
    WeightOutOfRange {
        /// The weight.
        weight: f64,
    },
    /// A node's name is empty or too long.
    NameLen {
        /// Its length in bytes.
        len: usize,
        /// The most.
        max: usize,
    },
    /// A zone's name is too long.
    ZoneLen {
        /// Its length in bytes.
        len: usize,
        /// The most.
        max: usize,
    },
    /// There are more nodes than placement can number.
    TooManyNodes {
        /// How many.
        count: usize,
        /// The most.
        max: usize,
    },
    /// The number of copies is 0 or too great.
    ReplicasOutOfRange {
        /// How many were asked for.
        replicas: u8,
        /// The most.
        max: u8,
    },
    /// The list of present owners is not one entry for each slot.
    SlotCount {
        /// Its length.
        len: usize,
    },
    /// No node may own anything.
    Empty,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateNode { name } => write!(f, "two nodes are called `{name}`"),
            Self::UnknownNode { name } => write!(f, "no node is called `{name}`"),
            Self::UnknownIndex { node, nodes } => {
                write!(f, "owner {node} is none of the {nodes} nodes")
            }
            Self::WeightOutOfRange { weight } => write!(f, "weight {weight} is not 0.01 to 100"),
            Self::NameLen { len, max } => {
                write!(f, "a node's name has {len} bytes, not 1 to {max}")
            }
            Self::ZoneLen { len, max } => write!(f, "a zone's name has {len} bytes, over {max}"),
            Self::TooManyNodes { count, max } => write!(f, "{count} nodes, at most {max}"),
            Self::ReplicasOutOfRange { replicas, max } => {
                write!(f, "{replicas} replicas, not 1 to {max}")
            }
            Self::SlotCount { len } => write!(f, "owners of {len} slots, not of each slot"),
            Self::Empty => f.write_str("there is no node to place slots on"),
        }
    }
}

impl core::error::Error for RingError {}

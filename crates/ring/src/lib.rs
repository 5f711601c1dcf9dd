//! Placement: which nodes own which slots, what moves when nodes come and go, and whom to ask.
//!
//! Each node has points on a ring of 64-bit numbers, in proportion to its weight; a slot's owners are the first distinct nodes clockwise, of
//! distinct zones as long as there are enough, none with more than its share. Placement starts from the present owners and moves as little as that allows. This
//! crate knows nothing of time, values and protocols; everything in it is a function of its arguments.
//!
//! ```
//! use ringhold_ring::ring::Ring;
//!
//! let mut ring = Ring::new(2)?;
//! for (name, zone) in [("one", "a"), ("two", "b"), ("three", "c")] {
//!     ring.add_node(name, 1.0, zone)?;
//! }
//! let owners = ring.locate(b"greeting");
//! assert_eq!(owners.len(), 2);
//! let primary = owners.primary().and_then(|node| ring.name(node));
//! assert!(primary.is_some());
//!
//! let plan = ring.add_node("four", 1.0, "a")?;
//! assert_eq!(plan.copies_moved, 16384 * 2 / 4);
//! # Ok::<(), ringhold_ring::error::RingError>(())
//! ```
//!
//! A cluster, whose map holds the owners, asks [`placement::place`] for the wanted ones, and [`plan::Plan::between`] for the way there.
#![no_std]

extern crate alloc;

pub mod error;
mod exchange;
pub mod node;
pub mod owners;
pub mod placement;
pub mod plan;
pub mod points;
pub mod ring;
pub mod route;
mod share;
#[cfg(test)]
mod tests;

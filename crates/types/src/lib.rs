//! The words of Ringhold: slots, namespaces, versions, instants, limits, and the seeded generator.
//!
//! Every crate above speaks in these types. A number that could be confused with another one (a slot
//! with a port, a wall-clock time with a monotonic one) is a type here, so that the confusion does
//! not compile. This crate knows nothing of everything else: not how entries are stored, how they
//! travel, or who asks for them.
#![no_std]

pub mod entry;
pub mod id;
pub mod limits;
pub mod node;
pub mod prng;
pub mod slot;
pub mod time;

#[cfg(test)]
mod tests;

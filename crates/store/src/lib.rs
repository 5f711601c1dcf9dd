//! The memory of one node: a bounded map from keys to values, divided into shards.
//!
//! Small tables, one for each slot and namespace, point into append-only log segments; S3-FIFO with
//! size credits decides, segment by segment, what is copied forward and what is dropped. Time, seed
//! and budget are arguments. This crate knows nothing of nodes, protocols, sockets and threads.
#![no_std]

extern crate alloc;

mod atomic;
pub mod budget;
pub mod entry;
mod evict;
mod expiry;
mod ghost;
mod handles;
pub mod hash;
#[cfg(not(any(test, fuzzing)))]
mod item;
#[cfg(any(test, fuzzing))]
pub mod item;
pub mod large;
mod place;
mod prefetch;
mod segment;
pub mod shard;
mod space;
mod table;
#[cfg(test)]
mod tests;

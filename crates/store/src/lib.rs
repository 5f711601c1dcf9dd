//! The memory of one node, shard by shard: a bounded map from byte keys to values.
//!
//! A [`shard::Shard`] owns its memory, eviction and expiry. It does no I/O, starts no thread, takes no lock, reads no
//! clock and draws no randomness: time, seed and limit are arguments. This crate knows nothing of nodes, protocols,
//! sockets and threads.
#![no_std]

extern crate alloc;

pub mod budget;
pub mod entry;
pub mod hash;
pub mod large;
pub mod shard;

#[cfg(test)]
mod tests;

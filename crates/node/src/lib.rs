//! One whole Ringhold node as deterministic state machines: each is given the time and an input, and hands back
//! everything it wants done.
//!
//! [`shard_cell::ShardCell`] is one shard of memory with the order of its slots; [`session::Session`] is a client
//! connection's protocol state; [`turn::Turn`] carries the requests of many connections through both, three
//! passes at a time. This crate knows nothing of sockets, threads, clocks and files: the edge reads, locks and
//! writes, the simulator does the same without devices.

pub mod args;
pub mod auth;
mod block;
pub mod cells;
pub mod clients;
pub mod content_types;
pub mod core;
pub mod effect;
pub mod execute;
mod gather;
pub mod glob;
pub mod held;
pub mod incoming;
pub mod leases;
pub mod namespaces;
pub mod number;
pub mod output;
pub mod peers;
pub mod session;
pub mod shard_cell;
pub mod state;
pub mod stats;
pub mod turn;
pub mod watch;

#[cfg(test)]
mod tests;

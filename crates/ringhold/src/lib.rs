//! Ringhold as a library: a [`Node`] in this process, served over HTTP and RESP.
//!
//! This crate is the edge: it owns sockets, threads, locks, clocks and files, and feeds the deterministic crates below.
//! It knows nothing of the command line.

mod clock;
mod control;
mod io;
mod locks;
pub mod memory;
mod node;
mod process;
pub mod settings;
mod shards;
mod shared;

pub use io::listen::ListenError;
pub use node::{Node, StartError};

//! What the nodes of a cluster agree on and say to each other: the map and the commands that change it, and the order
//! of each slot's operations across its copies.
//!
//! Everything is a state machine without I/O: it is given the time and an input, and hands back what it wants sent,
//! proposed or answered. The rules are those of docs/design/replication.md; a section number in these docs is one of
//! that text. This crate knows nothing of how values are stored and of who asked for them.

pub mod accuser;
pub mod arbiter;
pub mod codec;
pub mod command;
pub mod control;
pub mod heartbeat;
pub mod lead;
pub mod map;
pub mod message;
pub mod meta;
pub mod mutants;
pub mod node;
pub mod replication;
pub mod sharing;
pub mod slots;
pub mod view;

//! The sockets: listeners and workers.

pub(crate) mod connection;
pub(crate) mod listen;
pub(crate) mod mailbox;
mod socket;
pub(crate) mod worker_loop;

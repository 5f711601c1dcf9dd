//! The sockets: listeners and workers.

mod accept;
mod closing;
pub(crate) mod connection;
mod connections;
pub(crate) mod listen;
pub(crate) mod mailbox;
pub(crate) mod pace;
mod socket;
pub(crate) mod worker_loop;

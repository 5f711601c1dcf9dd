//! A deterministic simulator: hosts, their clocks and disks, the network between them and clients, in one
//! thread, in virtual time, from one seed.
//!
//! What is simulated are [`machine::Machine`]s: state machines that are handed the time and an input and
//! hand back everything they want done. The [`world::World`] is their edge: it carries out what they ask
//! for over a [`network`], on [`disk`]s and by [`clock`]s that fail as real ones do. Everything that
//! happens is a function of the seed: events are ordered by (time, sequence), no clock is read, no thread
//! runs, nothing is ordered by a hash.
//!
//! # The model
//!
//! **Time.** One true time that no machine sees. Each host's clock has an origin, a rate within ±4 % and a
//! wall time of its own; a machine is stepped with its host's reading ([`clock`]).
//!
//! **Network.** Connections as TCP gives them: in order and complete while they live, with a delay that
//! varies per frame. There is no loss inside a connection: a cut link makes it *silent* (frames wait and
//! arrive after the link heals, or the sender gives the connection up), a reset loses what is in flight,
//! except a prefix. Both ends learn of a reset at different times, or one never does. Reordering exists
//! between connections only, duplication only as a retry after a reset. Ports that declare their frames to
//! be *datagrams* (the edge may drop them when a queue is full) also lose, double and reorder frames, if
//! the profile says so. A dial to a live host without a listening process is refused; one to a vanished
//! or cut-off host hangs until a time-out ([`network`]).
//!
//! **Hosts.** A process is killed (peers see their connections end), a host vanishes (peers see nothing),
//! both come back with empty memory and what their disk kept; a process is paused: its inputs queue up
//! and time passes ([`world::World`]).
//!
//! **Disk.** Named files with appends, syncs and atomic replacement. A crash keeps what was synced and
//! any prefix of what was not, with a torn tail ([`disk`]).
//!
//! **Faults** are drawn by a swarm: each seed has its own mix of kinds and rates, one fault at a time or
//! overlapping ([`swarm`], [`faults`]).
//!
//! **Checks.** Clients record what they asked and were told in a [`history::History`]; each key's history must be
//! linearizable ([`check`]). A [`system::System`] adds its own checks after each step and at the end.
//!
//! Left out: bandwidth and congestion, a byte that changes on the way (checksums are the codecs' tests),
//! atomicity across keys.
//!
//! This crate knows nothing of `ringhold`, sockets, real devices and real clocks.

pub mod check;
pub mod clock;
pub mod cluster;
pub mod coverage;
pub mod digest;
pub mod disk;
pub mod faults;
pub mod history;
pub mod host;
pub mod machine;
pub mod minimize;
pub mod network;
pub mod queue;
pub mod registers;
pub mod runner;
pub mod seeds;
pub mod swarm;
pub mod system;
pub mod time;
pub mod workload;
pub mod world;

#[cfg(test)]
mod tests;

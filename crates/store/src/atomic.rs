//! The numbers that the shards of a node share: under `cfg(shuttle)` a test chooses between any two accesses who is next.

#[cfg(not(shuttle))]
pub(crate) use core::sync::atomic::AtomicU64;

#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::AtomicU64;

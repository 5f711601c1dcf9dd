//! What the workers share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ringhold_node::state::NodeState;

use crate::shards::Shards;

/// What every worker can reach.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeState,
    pub(crate) shards: Shards,
    pub(crate) timeouts: Timeouts,
    /// The number of workers.
    pub(crate) workers: usize,
    /// The most connections at a time.
    pub(crate) connections_max: usize,
    /// The connections there are.
    pub(crate) connections: AtomicUsize,
    /// The number that the next connection gets.
    pub(crate) client_id_next: AtomicU64,
}

/// When connections are given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Without a request; zero: never.
    pub(crate) idle: Duration,
    /// In the middle of a request, or of an answer that is not read.
    pub(crate) stall: Duration,
}

impl Shared {
    /// Counts a new connection and gives it a number; `None` when there are too many.
    pub(crate) fn admit(&self) -> Option<u64> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            self.left();
            return None;
        }
        Some(self.client_id_next.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts a connection that is gone.
    pub(crate) fn left(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

//! What the workers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringhold_node::held::Held;
use ringhold_node::state::NodeState;
use ringhold_node::stats::Counter;

use crate::shards::Shards;

/// What every worker can reach.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeState,
    pub(crate) shards: Shards,
    /// What connections hold of answers that could not be sent yet.
    pub(crate) unsent: Held,
    /// When a connection is given up in the middle of a request, or of an answer that is not read.
    pub(crate) stall_timeout: Duration,
    /// How long a stop waits for requests of the control plane.
    pub(crate) drain_timeout: Duration,
    /// The number of workers.
    pub(crate) workers: usize,
    /// The number that the next connection gets.
    pub(crate) client_id_next: AtomicU64,
}

impl Shared {
    /// Counts a new connection and gives it a number; `None` when there are too many.
    pub(crate) fn admit(&self, worker: usize) -> Option<u64> {
        let most = self.node.tunables.connections_max.load(Ordering::Relaxed);
        if self.node.process.connections.fetch_add(1, Ordering::Relaxed) >= most {
            self.left();
            self.node.stats.add(worker, Counter::ConnectionsRejected, 1);
            return None;
        }
        self.node.stats.add(worker, Counter::Connections, 1);
        Some(self.client_id_next.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts a connection that is gone.
    pub(crate) fn left(&self) {
        self.node.process.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection without a request for so long is closed; `None`: never.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        let millis = self.node.tunables.idle_timeout_ms.load(Ordering::Relaxed);
        (millis > 0).then(|| Duration::from_millis(millis))
    }
}

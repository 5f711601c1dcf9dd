//! What all sessions of a node share and none of them changes, beside a few settings and gauges.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use ringhold_store::budget::{Budget, Geometry};
use ringhold_store::hash::HashSeed;
use ringhold_types::id::NamespaceId;
use ringhold_types::time::{Duration, Now, UnixTime};
use ringhold_wire::resp::table::CommandId;

use crate::auth::Passwords;
use crate::clients::Clients;
use crate::content_types::ContentTypes;
use crate::held::Held;
use crate::namespaces::Namespaces;
use crate::stats::Stats;

/// The node as its sessions see it.
#[derive(Debug)]
pub struct NodeState {
    /// The node's name; `Ringhold-Node` in HTTP answers.
    pub name: String,
    /// The fields that every HTTP answer carries, each with its line break: [`http_fields`].
    pub http_fields: String,
    /// 40 hexadecimal digits that no other run of a node has: `run_id` of `INFO`.
    pub run_id: String,
    /// When the node started.
    pub started: Now,
    /// The port of the first RESP listener; 0 when there is none.
    pub resp_port: u16,
    /// The number of workers.
    pub workers: usize,
    /// The seed of the key hash.
    pub hash_seed: HashSeed,
    /// How the engine is divided.
    pub geometry: Geometry,
    /// The account of the memory.
    pub budget: Arc<Budget>,
    /// What clients must prove.
    pub passwords: Passwords,
    /// The names by which a client may address this node in `Host`, in lower case, beside IP addresses and
    /// `localhost`.
    pub server_names: Vec<String>,
    /// RESP commands that are answered as unknown.
    pub disabled_commands: Disabled,
    /// The namespaces.
    pub namespaces: Namespaces,
    /// The content types of values.
    pub content_types: ContentTypes,
    /// Settings that may change while the node runs.
    pub tunables: Tunables,
    /// The RESP clients.
    pub clients: Clients,
    /// What connections hold of incomplete requests.
    pub held: Held,
    /// The counters.
    pub stats: Stats,
    /// What the edge measures of the process.
    pub process: Process,
}

/// Settings that may change while the node runs.
#[derive(Debug)]
pub struct Tunables {
    /// A connection without a request for so long is closed, in milliseconds; 0: never.
    pub idle_timeout_ms: AtomicU64,
    /// The most connections at a time.
    pub connections_max: AtomicUsize,
}

/// What the edge measures of the process, about once a second.
#[derive(Debug, Default)]
pub struct Process {
    /// The resident memory, in bytes.
    pub rss_bytes: AtomicU64,
    /// The greatest resident memory so far, in bytes.
    pub rss_peak_bytes: AtomicU64,
    /// Time spent in user mode, in microseconds.
    pub cpu_user_us: AtomicU64,
    /// Time spent in the kernel, in microseconds.
    pub cpu_system_us: AtomicU64,
    /// The connections there are, of all protocols.
    pub connections: AtomicUsize,
    /// The memory of the machine, in bytes.
    pub machine_bytes: AtomicU64,
    /// The process's number.
    pub id: AtomicU64,
    /// Whether the node has begun to stop.
    pub is_draining: AtomicBool,
}

/// A set of commands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disabled(u128);

impl Disabled {
    /// The commands of these names, in any case; names of no command are left out.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        let ids = names
            .iter()
            .filter_map(|name| ringhold_wire::resp::table::find(name.trim().as_bytes()));
        Self(ids.fold(0, |set, id| set | 1 << id as u32))
    }

    /// Whether the command is among them.
    #[inline]
    #[must_use]
    pub fn has(self, id: CommandId) -> bool {
        self.0 >> (id as u32) & 1 == 1
    }
}

/// The fields that every HTTP answer on a key of a node of this name carries: who decided it, on which map, and that a
/// stored page can never act as ours. Of the name only characters are kept that may stand in a field.
#[must_use]
pub fn http_fields(name: &str) -> String {
    let name: String = name.chars().filter(|char| matches!(char, ' '..='~')).collect();
    format!(
        "ringhold-node: {name}\r\nringhold-map: 1\r\n\
         x-content-type-options: nosniff\r\ncontent-security-policy: sandbox\r\n"
    )
}

impl NodeState {
    /// When an entry of `namespace` that is written now without a time to live ends; `None`: never.
    #[must_use]
    pub fn default_deadline(&self, namespace: NamespaceId, now: Now) -> Option<UnixTime> {
        self.namespaces.default_ttl(namespace).map(|ttl| now.unix().after(ttl))
    }

    /// How long the node has run.
    #[must_use]
    pub fn uptime(&self, now: Now) -> Duration {
        now.instant.since(self.started.instant)
    }

    /// The connections there are, of all protocols.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.process.connections.load(Ordering::Relaxed)
    }
}

//! What all sessions of a node share and none of them changes.

use ringhold_store::budget::Geometry;
use ringhold_store::hash::HashSeed;
use ringhold_types::id::NamespaceId;
use ringhold_types::time::{Duration, Now, UnixTime};

use crate::auth::Passwords;

/// The node as its sessions see it.
#[derive(Debug)]
pub struct NodeState {
    /// The node's name; `Ringhold-Node` in HTTP answers.
    pub name: String,
    /// The seed of the key hash.
    pub hash_seed: HashSeed,
    /// How the engine is divided.
    pub geometry: Geometry,
    /// What clients must prove.
    pub passwords: Passwords,
    /// The names by which a client may address this node in `Host`, in lower case, beside IP addresses and
    /// `localhost`.
    pub server_names: Vec<String>,
    /// RESP commands that are answered as unknown, in lower case.
    pub disabled_commands: Vec<String>,
    /// The time to live that an entry gets when its write names none, per database.
    pub default_ttl: Option<Duration>,
}

impl NodeState {
    /// When an entry of `namespace` that is written now without a time to live ends; `None`: never.
    #[must_use]
    pub fn default_deadline(&self, _namespace: NamespaceId, now: Now) -> Option<UnixTime> {
        self.default_ttl.map(|ttl| now.unix().after(ttl))
    }
}

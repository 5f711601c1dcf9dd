//! What a node's shards are given of the cluster: the map, and the leases that answers depend on.
//!
//! `Core` owns it and publishes a new one whole when the map changes; the deadlines of leases are shared between
//! versions and move on by themselves. All times are of this node's own clock.
//!
//! Order that the protocol rests on (section 6.5): whoever grants a lease first raises `granted_until` and then reads the
//! index it has applied; whoever applies a map first publishes the index and then reads `granted_until`. One thread does
//! both here: `Core`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringhold_types::id::{Member, NodeId};
use ringhold_types::time::Instant;

use crate::map::Map;

/// What a shard acts on.
#[derive(Clone, Debug)]
pub struct View {
    /// The map.
    pub map: Arc<Map>,
    /// Whose view it is.
    pub me: Member,
    /// The leases.
    pub leases: Arc<Leases>,
}

/// The leases between this node and the others.
#[derive(Debug, Default)]
pub struct Leases {
    meta_until: Deadline,
    peers: BTreeMap<NodeId, Peer>,
}

/// A deadline that moves only forward.
#[derive(Clone, Debug, Default)]
struct Deadline(Arc<AtomicU64>);

impl Deadline {
    fn get(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }

    fn extend(&self, until: Instant) {
        self.0.fetch_max(until.0, Ordering::SeqCst);
    }
}

#[derive(Clone, Debug)]
struct Peer {
    /// Whose answers `held_until` is of.
    member: Member,
    held_until: Deadline,
    /// Of the node, whichever its incarnation: an older one may still act on what it was granted.
    granted_until: Deadline,
}

impl Leases {
    /// These leases among the members of `map`: what is held of a member that is gone is dropped, what was granted to
    /// its node is kept.
    #[must_use]
    pub fn among(&self, map: &Map) -> Self {
        let mut peers = self.peers.clone();
        for member in map.members() {
            match peers.get_mut(&member.node) {
                Some(peer) if peer.member == member => {}
                Some(peer) => {
                    peer.member = member;
                    peer.held_until = Deadline::default();
                }
                None => {
                    let (held_until, granted_until) = Default::default();
                    peers.insert(member.node, Peer { member, held_until, granted_until });
                }
            }
        }
        Self { meta_until: self.meta_until.clone(), peers }
    }

    /// The read lease held from `member` ends at this time.
    #[must_use]
    pub fn held_until(&self, member: Member) -> Instant {
        let peer = self.peers.get(&member.node).filter(|peer| peer.member == member);
        peer.map_or(Instant(0), |peer| peer.held_until.get())
    }

    /// The last read lease granted to `node` ends at this time.
    #[must_use]
    pub fn granted_until(&self, node: NodeId) -> Instant {
        self.peers.get(&node).map_or(Instant(0), |peer| peer.granted_until.get())
    }

    /// The last read lease granted to anybody ends at this time.
    #[must_use]
    pub fn granted_until_max(&self) -> Instant {
        let all = self.peers.values().map(|peer| peer.granted_until.get());
        all.max().unwrap_or_default()
    }

    /// The metadata lease ends at this time.
    #[inline]
    #[must_use]
    pub fn meta_until(&self) -> Instant {
        self.meta_until.get()
    }

    /// A read lease of `member` is held until then.
    pub fn hold(&self, member: Member, until: Instant) {
        if let Some(peer) = self.peers.get(&member.node).filter(|peer| peer.member == member) {
            peer.held_until.extend(until);
        }
    }

    /// A read lease is granted to `member` until then; false, and nothing is granted, when the map does not know it.
    #[must_use]
    pub fn grant(&self, member: Member, until: Instant) -> bool {
        let peer = self.peers.get(&member.node).filter(|peer| peer.member == member);
        peer.inspect(|peer| peer.granted_until.extend(until)).is_some()
    }

    /// The metadata lease is held until then.
    pub fn hold_meta(&self, until: Instant) {
        self.meta_until.extend(until);
    }

    /// Drops every lease that is held: the clock cannot be trusted.
    pub fn drop_held(&self) {
        self.meta_until.0.store(0, Ordering::SeqCst);
        self.peers.values().for_each(|peer| peer.held_until.0.store(0, Ordering::SeqCst));
    }
}

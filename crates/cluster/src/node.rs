//! What the map says of a node.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;
use ringhold_types::id::{Incarnation, Member, NodeId};
use ringhold_types::limits::{NODE_NAME_LEN_MAX, ZONE_LEN_MAX};
use ringhold_types::node::Weight;

use crate::codec::{Decode, Encode, Malformed, Reader, encoded_enum, encoded_struct};

/// The most addresses that a node announces for one protocol.
pub const ADDRESSES_MAX: usize = 4;
/// The longest address, in bytes.
pub const ADDRESS_LEN_MAX: usize = 256;
/// The name of a node: 1 to [`NODE_NAME_LEN_MAX`] letters, digits, `.`, `_`, `:` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

/// Text that is no name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a node's name is 1 to {NODE_NAME_LEN_MAX} letters, digits, '.', '_', ':' and '-'"
        )
    }
}

impl std::error::Error for InvalidName {}

impl NodeName {
    /// The name that `text` is.
    ///
    /// # Errors
    ///
    /// [`InvalidName`]: empty, too long, or of other characters.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let is_valid = (1..=NODE_NAME_LEN_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidName) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Encode for NodeName {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for NodeName {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::new(&Arc::<str>::decode(reader)?)
            .map_err(|InvalidName| Malformed::OutOfRange { what: "name of a node" })
    }
}

/// The addresses under which others reach one listener of a node, most wanted first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub ArrayVec<Arc<str>, ADDRESSES_MAX>);

impl Encode for Addresses {
    fn encode(&self, out: &mut Vec<u8>) {
        crate::codec::encode_list(self.0.iter(), out);
    }
}

impl Decode for Addresses {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut addresses = ArrayVec::new();
        for _ in 0..reader.count()? {
            let address = Arc::<str>::decode(reader)?;
            let is_valid = (1..=ADDRESS_LEN_MAX).contains(&address.len());
            if !is_valid || addresses.try_push(address).is_err() {
                return Err(Malformed::OutOfRange { what: "address" });
            }
        }
        Ok(Self(addresses))
    }
}

/// What a process says of itself when it registers; none of it changes while it lives, but the weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Drawn by the process at its start: what tells it from another process under the same name.
    pub nonce: u128,
    /// Where other nodes reach it.
    pub peer: Addresses,
    /// Where clients reach it over HTTP.
    pub http: Addresses,
    /// Where clients reach it over RESP, standalone view.
    pub resp: Addresses,
    /// Where clients reach it over RESP, cluster view.
    pub resp_cluster: Addresses,
    /// Its share of the slots beside others'.
    pub weight: Weight,
    /// What it shares its fate with; empty: nothing known.
    pub zone: Arc<str>,
    /// The memory it may take for entries, in bytes.
    pub memory: u64,
    /// The oldest and the newest version of the peer protocol that it speaks.
    pub versions: Versions,
    /// Whether it votes and holds no data.
    pub is_witness: bool,
    /// Whether it waits to be added before it holds data.
    pub is_standby: bool,
    /// Its identity as a voter, never used again; 0: it may not become one.
    pub raft_id: u64,
}

encoded_struct!(Announcement {
    nonce,
    peer,
    http,
    resp,
    resp_cluster,
    weight,
    zone,
    memory,
    versions,
    is_witness,
    is_standby,
    raft_id,
});

/// A range of versions of the peer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

encoded_struct!(Versions { min, max });

impl Announcement {
    /// Of a process that drew `nonce`, may become the voter `raft_id`, is reached by its peers at `peer`, and says nothing
    /// else: weight one, no zone, no listeners for clients, no memory.
    #[must_use]
    pub fn of(nonce: u128, raft_id: u64, peer: &str) -> Self {
        Self {
            nonce,
            peer: Addresses(std::iter::once(Arc::from(peer)).collect()),
            http: Addresses::default(),
            resp: Addresses::default(),
            resp_cluster: Addresses::default(),
            weight: Weight::ONE,
            zone: Arc::from(""),
            memory: 0,
            versions: Versions { min: 1, max: 1 },
            is_witness: false,
            is_standby: false,
            raft_id,
        }
    }

    /// Whether its numbers and texts are within their limits; the leader proposes no other.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.zone.len() <= ZONE_LEN_MAX
            && !self.peer.0.is_empty()
            && self.versions.min <= self.versions.max
    }
}

/// What a node is meant to do while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It waits to be added, and holds no data.
    Standby,
    /// It takes its share.
    Active,
    /// Its data is leaving it.
    Draining,
}

encoded_enum!(NodeState, "state of a node" { 0 => Standby, 1 => Active, 2 => Draining });

/// A node in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its name; one record has it.
    pub name: NodeName,
    /// The last process that registered under it.
    pub incarnation: Incarnation,
    /// Whether that one is not declared dead; once false, false for this incarnation.
    pub is_alive: bool,
    /// What it is meant to do.
    pub state: NodeState,
    /// What that process announced.
    pub announced: Announcement,
}

encoded_struct!(NodeRecord { name, incarnation, is_alive, state, announced });

impl NodeRecord {
    /// Whether placement may give it slots.
    #[must_use]
    pub fn takes_data(&self) -> bool {
        self.is_alive && self.state == NodeState::Active && !self.announced.is_witness
    }

    /// Its present incarnation, as the member `node` is.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Member {
        Member { node, incarnation: self.incarnation }
    }
}

//! Entries of the log and the map that it begins with, as messages carry them and a disk keeps them.

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, EntryType, Snapshot};

use super::ENTRY_LEN_MAX;
use super::membership::{Change, Membership, RaftId};
use crate::codec::{
    Decode, Encode, Malformed, Reader, encode_bytes, encode_list, encoded_enum, encoded_struct,
};

/// The most entries in one message; what a follower lacks beyond that travels in the next one.
pub const ENTRIES_MAX: usize = 8192;
/// The most bytes of commands in one message: what the log cuts at ([`super::APPEND_LEN_MAX`]) and one entry more.
pub const ENTRIES_LEN_MAX: usize = super::APPEND_LEN_MAX + ENTRY_LEN_MAX;

/// The map at an index, as a snapshot carries it and a disk keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedMap {
    /// The index of the log.
    pub idx: u64,
    /// The term of the entry there.
    pub term: u64,
    /// Who votes and learns as of there.
    pub membership: Membership,
    /// The bytes of the map, at most [`super::SNAPSHOT_LEN_MAX`].
    pub map: Bytes,
}

encoded_struct!(SavedMap { idx, term, membership, map });

impl Encode for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }
}

impl Decode for Bytes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.bytes().map(Self::copy_from_slice)
    }
}

/// Entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index.
    pub idx: u64,
    /// The term of the leader that made it.
    pub term: u64,
    /// What it says.
    pub payload: Payload,
}

encoded_struct!(LogEntry { idx, term, payload });

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: the first entry of a leader.
    Nothing,
    /// The bytes of a list of commands, at most [`ENTRY_LEN_MAX`].
    Commands {
        /// The bytes.
        bytes: Bytes,
    },
    /// A change of who votes and learns; an empty one ends a joint configuration.
    Membership {
        /// The changes, at most [`super::membership::MEMBERS_MAX`].
        changes: Vec<Change>,
    },
}

encoded_enum!(Payload, "entry" { 0 => Nothing, 1 => Commands { bytes }, 2 => Membership { changes } });

/// Entries in one message, at most [`ENTRIES_MAX`] and [`ENTRIES_LEN_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries(pub Vec<LogEntry>);

impl Encode for Entries {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(self.0.iter(), out);
    }
}

impl Decode for Entries {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count()?;
        if count > ENTRIES_MAX {
            return Err(Malformed::OutOfRange { what: "number of entries" });
        }
        let (mut entries, mut len) = (Vec::with_capacity(count), 0usize);
        for _ in 0..count {
            let entry = LogEntry::decode(reader)?;
            entry.payload.check_len()?;
            len = len.saturating_add(entry.payload.len());
            if len > ENTRIES_LEN_MAX {
                return Err(Malformed::OutOfRange { what: "length of entries" });
            }
            entries.push(entry);
        }
        Ok(Self(entries))
    }
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Nothing | Self::Membership { .. } => 0,
            Self::Commands { bytes } => bytes.len(),
        }
    }

    /// Checks its own bounds.
    pub(super) fn check_len(&self) -> Result<(), Malformed> {
        let is_valid = match self {
            Self::Nothing => true,
            // No commands are no bytes: one value has one encoding.
            Self::Commands { bytes } => (1..=ENTRY_LEN_MAX).contains(&bytes.len()),
            Self::Membership { changes } => Change::are_plausible(changes),
        };
        if is_valid { Ok(()) } else { Err(Malformed::OutOfRange { what: "length of an entry" }) }
    }

    /// The bytes of its commands.
    pub(super) fn commands(&self) -> Bytes {
        match self {
            Self::Nothing | Self::Membership { .. } => Bytes::new(),
            Self::Commands { bytes } => bytes.clone(),
        }
    }
}

/// The bytes of a membership change inside the crate's log.
pub(super) fn change_to_raft(changes: &[Change]) -> ConfChangeV2 {
    let mut change = ConfChangeV2::default();
    for one in changes {
        let (kind, id) = match one {
            Change::AddVoter { id } => (ConfChangeType::AddNode, id),
            Change::AddLearner { id } => (ConfChangeType::AddLearnerNode, id),
            Change::Remove { id } => (ConfChangeType::RemoveNode, id),
        };
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = id.0;
        change.mut_changes().push(single);
    }
    change
}

fn changes_from_raft(bytes: &[u8]) -> Vec<Change> {
    let mut change = ConfChangeV2::default();
    change.merge_from_bytes(bytes).expect("a membership change in the log was encoded here");
    let changes = change.get_changes().iter().map(|single| {
        let id = RaftId(single.node_id);
        match single.get_change_type() {
            ConfChangeType::AddNode => Change::AddVoter { id },
            ConfChangeType::AddLearnerNode => Change::AddLearner { id },
            ConfChangeType::RemoveNode => Change::Remove { id },
        }
    });
    changes.collect()
}

impl LogEntry {
    pub(super) fn from_raft(entry: &Entry) -> Self {
        let payload = match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => Payload::Nothing,
            EntryType::EntryNormal => Payload::Commands { bytes: entry.data.clone() },
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                Payload::Membership { changes: changes_from_raft(&entry.data) }
            }
        };
        Self { idx: entry.index, term: entry.term, payload }
    }

    pub(super) fn into_raft(self) -> Entry {
        let mut entry = Entry::default();
        (entry.index, entry.term) = (self.idx, self.term);
        match self.payload {
            Payload::Nothing => {}
            Payload::Commands { bytes } => entry.data = bytes,
            Payload::Membership { changes } => {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
                let bytes = change_to_raft(&changes).write_to_bytes();
                entry.data = bytes.expect("a membership change has bytes").into();
            }
        }
        entry
    }
}

impl SavedMap {
    pub(super) fn from_raft(snapshot: Snapshot) -> Self {
        let metadata = snapshot.get_metadata();
        Self {
            idx: metadata.index,
            term: metadata.term,
            membership: Membership::from_raft(metadata.get_conf_state()),
            map: snapshot.data,
        }
    }

    pub(super) fn into_raft(self) -> Snapshot {
        let mut snapshot = Snapshot { data: self.map, ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (self.idx, self.term);
        metadata.set_conf_state(self.membership.to_raft());
        snapshot
    }
}

//! What a call of the log wants done, and where proposals went.

use ringhold_types::id::MapIdx;

use super::disk::Saved;
use super::follow::Committed;
use super::membership::{Membership, RaftId};
use super::message::MetaMessage;
use crate::command::Command;

/// What a call wants done. The caller owns it, does it and clears it; a call only appends.
#[derive(Debug, Default)]
pub struct MetaOut {
    /// Messages that may leave now, in this order.
    pub send: Vec<(RaftId, MetaMessage)>,
    /// What the disk is to have before [`super::MetaLog::persisted`] is called; `None`: nothing, the call is finished.
    pub persist: Option<Persist>,
    /// Entries that were committed and applied, in the order of the log.
    pub applied: Vec<Applied>,
    /// Whether the map was replaced whole by a leader's. It happened before `applied`.
    pub is_map_replaced: bool,
    /// Reads that were confirmed.
    pub reads: Vec<ReadIndex>,
    /// Who votes and learns from now on, when that changed.
    pub membership: Option<Membership>,
}

/// Bytes for the disk. The caller writes them as one, fsyncs, and calls [`super::MetaLog::persisted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {
    /// To the end of the file.
    Append(Saved),
    /// In place of everything in the file, by another file and a rename: see [`super::disk`].
    Replace(Saved),
}

/// An entry that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry as observers take it.
    pub committed: Committed,
    /// Its commands.
    pub commands: Vec<Command>,
}

/// A confirmed read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadIndex {
    /// What [`super::MetaLog::read_index`] was called with.
    pub context: u64,
    /// Whatever was committed before that call is at or below this index; the caller waits until the map reaches it.
    pub idx: MapIdx,
}

/// Where commands were proposed; they are committed if the entry of this index is committed with this term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The entry's index.
    pub idx: MapIdx,
    /// Its term.
    pub term: u64,
}

//! What a slot's primary and its backups say to each other.
//!
//! A message is about one slot and travels between two members; all messages about a slot between two members travel on
//! one ordered stream. The names in docs/design/replication.md are in parentheses.

use std::sync::Arc;

use ringhold_types::id::{Epoch, Generation, MapIdx, Seq};
use ringhold_types::slot::Slot;

use crate::codec::{Decode, Encode, Malformed, Reader, encode_bytes, encoded_enum, encoded_struct};

/// A place in a slot's order: which operation, and in which epoch it was given its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The epoch of the primary that numbered it.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
}

encoded_struct!(Position { epoch, seq });

/// What an operation does, as bytes that only the store understands: never empty.
pub type Effect = Arc<[u8]>;

impl Encode for Effect {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }
}

impl Decode for Effect {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.bytes().map(Into::into)
    }
}

/// An operation of a slot's order; its number follows from its place in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The epoch of the primary that numbered it.
    pub epoch: Epoch,
    /// What it does.
    pub effect: Effect,
}

encoded_struct!(Operation { epoch, effect });

/// The clocks of a slot's primary: what a successor's must not be behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The slot's clock, in microseconds since 1970.
    pub clock_us: u64,
    /// The greatest version that an entry of the slot was given.
    pub version: u64,
}

encoded_struct!(Stamp { clock_us, version });

/// A message about one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The slot.
    pub slot: Slot,
    /// What is said.
    pub body: Body,
}

encoded_struct!(Message { slot, body });

/// What is said about a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A primary opens a session with a backup.
    Sync {
        /// The primary's epoch.
        epoch: Epoch,
        /// The generation of its data.
        generation: Generation,
        /// The session.
        sid: u64,
        /// The configuration it acts on.
        ver: MapIdx,
    },
    /// The backup follows, and says how far its log goes.
    SyncAck {
        /// The epoch that it follows.
        epoch: Epoch,
        /// The session.
        sid: u64,
        /// Its last operation.
        last: Position,
    },
    /// A new primary lacks operations from this one on, which the backup has.
    Fetch {
        /// The primary's epoch.
        epoch: Epoch,
        /// The session.
        sid: u64,
        /// The first it lacks.
        from: Seq,
    },
    /// What was asked for, from there on. (`FetchResp`)
    Fetched {
        /// The primary's epoch.
        epoch: Epoch,
        /// The session.
        sid: u64,
        /// The number of the first.
        from: Seq,
        /// The operations.
        operations: Vec<Operation>,
    },
    /// Operations that follow `prev`. (`Repl`)
    Replicate {
        /// The primary's epoch.
        epoch: Epoch,
        /// The session.
        sid: u64,
        /// What is before the first.
        prev: Position,
        /// The operations; none: only the commit is told.
        operations: Vec<Operation>,
        /// Every in-sync member has everything up to here.
        commit: Seq,
        /// The primary's clocks.
        stamp: Stamp,
    },
    /// The backup has everything up to here.
    Ack {
        /// The epoch that it follows.
        epoch: Epoch,
        /// The session.
        sid: u64,
        /// Its last operation.
        seq: Seq,
    },
    /// Operations are missing between what the backup has and what it was sent.
    Gap {
        /// The epoch that it follows.
        epoch: Epoch,
        /// The session.
        sid: u64,
        /// Its last operation.
        last: Seq,
    },
    /// The sender has promised a later epoch.
    Stale {
        /// The latest epoch that it promised.
        promised: Epoch,
    },
    /// The slot's data follows; what the receiver has of it is void. (`XferStart`)
    TransferStart {
        /// The primary's epoch.
        epoch: Epoch,
        /// The generation of its data.
        generation: Generation,
        /// The session.
        sid: u64,
        /// The configuration it acts on.
        ver: MapIdx,
        /// The stint that this transfer fills.
        stint: MapIdx,
    },
    /// A part of the data as it is at this moment. (`XferEntry`, `XferOp`)
    TransferPart {
        /// The session.
        sid: u64,
        /// 1, 2, 3 …: a hole voids the transfer.
        number: u64,
        /// The entry, or an operation that came in meanwhile.
        effect: Effect,
    },
    /// The data is complete up to `base`; these are the operations after it. (`XferDone`)
    TransferDone {
        /// The session.
        sid: u64,
        /// The number after the last part's.
        number: u64,
        /// The primary's commit.
        base: Position,
        /// All operations after it, which the data has in it already.
        tail: Vec<Operation>,
        /// The primary's clocks.
        stamp: Stamp,
    },
    /// The backup has no room for further operations of this slot.
    GaveUp {
        /// The session.
        sid: u64,
    },
}

encoded_enum!(Body, "message" {
    1 => Sync { epoch, generation, sid, ver },
    2 => SyncAck { epoch, sid, last },
    3 => Fetch { epoch, sid, from },
    4 => Fetched { epoch, sid, from, operations },
    5 => Replicate { epoch, sid, prev, operations, commit, stamp },
    6 => Ack { epoch, sid, seq },
    7 => Gap { epoch, sid, last },
    8 => Stale { promised },
    9 => TransferStart { epoch, generation, sid, ver, stint },
    10 => TransferPart { sid, number, effect },
    11 => TransferDone { sid, number, base, tail, stamp },
    12 => GaveUp { sid },
});

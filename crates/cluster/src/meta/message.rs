//! What voters and learners say to each other, as values with bytes of our own.
//!
//! The crate `raft` speaks protobuf; peers' bytes never reach that decoder. A message here can say only what the rules
//! of the log leave open: proposals, local events and transfers on request have no encoding, a read names exactly one
//! context, a membership change is a short list. What depends on the state of a node (`super::check`) is looked at
//! before a message is stepped.

use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};

use super::SNAPSHOT_LEN_MAX;
use super::entry::{Entries, LogEntry, SavedMap};
use super::membership::RaftId;
use crate::codec::{Decode, Encode, Malformed, Reader, encoded_enum, encoded_struct};

/// The longest message, in bytes: one with a snapshot. Longer bytes are refused before they are looked at.
pub const MESSAGE_LEN_MAX: usize = SNAPSHOT_LEN_MAX + 4096;
/// What the crate writes into the context of a vote request that a leader asked for.
const TRANSFER: &[u8] = b"CampaignTransfer";

/// One message from one voter or learner to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaMessage {
    /// To whom.
    pub to: RaftId,
    /// From whom.
    pub from: RaftId,
    /// The sender's term, or the one it asks votes for; 0 in a [`Body::ReadRequest`] alone.
    pub term: u64,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A leader's entries, which follow the one at `idx`.
    Append {
        /// The index before the first entry.
        idx: u64,
        /// The term of the entry there.
        log_term: u64,
        /// What is committed.
        commit: u64,
        /// The entries.
        entries: Entries,
    },
    /// A follower has everything up to `idx`.
    Appended {
        /// The index.
        idx: u64,
        /// What the follower knows to be committed.
        commit: u64,
    },
    /// A follower does not have the entry that an append follows.
    Refused {
        /// The index of that entry.
        idx: u64,
        /// Where the logs may agree.
        hint: u64,
        /// The follower's term there.
        hint_term: u64,
        /// What the follower knows to be committed.
        commit: u64,
    },
    /// A candidate asks for a vote.
    VoteRequest {
        /// Its last index.
        idx: u64,
        /// The term there.
        log_term: u64,
        /// What it knows to be committed.
        commit: u64,
        /// The term there.
        commit_term: u64,
        /// How serious it is.
        kind: Vote,
    },
    /// A voter answers.
    Voted {
        /// Whether it is the answer to a pre-vote.
        is_pre: bool,
        /// Whether the vote is given.
        is_granted: bool,
        /// What the voter knows to be committed, when the vote is not given.
        commit: u64,
        /// The term there.
        commit_term: u64,
    },
    /// A leader's whole state, for who is too far behind.
    Snapshot {
        /// The state.
        snapshot: SavedMap,
    },
    /// A leader is there.
    Heartbeat {
        /// What is committed and known to the follower.
        commit: u64,
        /// The read that an answer confirms.
        read: Option<ReadContext>,
    },
    /// A follower heard its leader.
    HeartbeatAnswer {
        /// What the follower knows to be committed.
        commit: u64,
        /// The read that is confirmed.
        read: Option<ReadContext>,
    },
    /// A leader wants the receiver to take its place.
    TimeoutNow,
    /// A follower wants to read.
    ReadRequest {
        /// Which read.
        read: ReadContext,
    },
    /// The leader of the request's moment had committed everything up to `idx`.
    ReadAnswer {
        /// The index.
        idx: u64,
        /// Which read.
        read: ReadContext,
    },
}

encoded_enum!(Body, "message of the metadata log" {
    1 => Append { idx, log_term, commit, entries },
    2 => Appended { idx, commit },
    3 => Refused { idx, hint, hint_term, commit },
    4 => VoteRequest { idx, log_term, commit, commit_term, kind },
    5 => Voted { is_pre, is_granted, commit, commit_term },
    6 => Snapshot { snapshot },
    7 => Heartbeat { commit, read },
    8 => HeartbeatAnswer { commit, read },
    9 => TimeoutNow,
    10 => ReadRequest { read },
    11 => ReadAnswer { idx, read },
});

/// How serious a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// It asks whether it would be elected.
    Pre,
    /// It stands for election.
    Real,
    /// It stands for election because the leader asked it to; voters do not wait for that leader's silence.
    Transfer,
}

encoded_enum!(Vote, "vote" { 0 => Pre, 1 => Real, 2 => Transfer });

/// Names one read: no other has the same, at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadContext {
    /// Who reads.
    pub reader: RaftId,
    /// A number that the reader never uses again, not after a restart either.
    pub context: u64,
}

encoded_struct!(ReadContext { reader, context });

impl ReadContext {
    /// As the crate carries it.
    pub(super) fn to_raft(self) -> Vec<u8> {
        let mut bytes = self.reader.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.context.to_le_bytes());
        bytes
    }

    pub(super) fn from_raft(bytes: &[u8]) -> Option<Self> {
        let (reader, rest) = bytes.split_first_chunk()?;
        let (context, rest) = rest.split_first_chunk()?;
        rest.is_empty().then(|| Self {
            reader: RaftId(u64::from_le_bytes(*reader)),
            context: u64::from_le_bytes(*context),
        })
    }
}

impl Encode for MetaMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        self.to.encode(out);
        self.from.encode(out);
        self.term.encode(out);
        self.body.encode(out);
    }
}

impl Decode for MetaMessage {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.len() > MESSAGE_LEN_MAX {
            return Err(Malformed::OutOfRange { what: "length of a message" });
        }
        Ok(Self {
            to: Decode::decode(reader)?,
            from: Decode::decode(reader)?,
            term: Decode::decode(reader)?,
            body: Decode::decode(reader)?,
        })
    }
}

impl MetaMessage {
    /// What the crate wants sent; `None`: a kind that does not travel.
    pub(super) fn from_raft(mut message: Message) -> Option<Self> {
        let (idx, commit, commit_term) = (message.index, message.commit, message.commit_term);
        let read = ReadContext::from_raft(&message.context);
        let asked = message.entries.first().and_then(|entry| ReadContext::from_raft(&entry.data));
        let kind = message.get_msg_type();
        let body = match kind {
            MessageType::MsgAppend => Body::Append {
                idx,
                log_term: message.log_term,
                commit,
                entries: Entries(message.entries.iter().map(LogEntry::from_raft).collect()),
            },
            MessageType::MsgAppendResponse if message.reject => Body::Refused {
                idx,
                hint: message.reject_hint,
                hint_term: message.log_term,
                commit,
            },
            MessageType::MsgAppendResponse => Body::Appended { idx, commit },
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => Body::VoteRequest {
                idx,
                log_term: message.log_term,
                commit,
                commit_term,
                kind: if kind == MessageType::MsgRequestPreVote {
                    Vote::Pre
                } else if message.context == TRANSFER {
                    Vote::Transfer
                } else {
                    Vote::Real
                },
            },
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
                let is_pre = kind == MessageType::MsgRequestPreVoteResponse;
                Body::Voted { is_pre, is_granted: !message.reject, commit, commit_term }
            }
            MessageType::MsgSnapshot => {
                Body::Snapshot { snapshot: SavedMap::from_raft(message.take_snapshot()) }
            }
            MessageType::MsgHeartbeat => Body::Heartbeat { commit, read },
            MessageType::MsgHeartbeatResponse => Body::HeartbeatAnswer { commit, read },
            MessageType::MsgTimeoutNow => Body::TimeoutNow,
            MessageType::MsgReadIndex => Body::ReadRequest { read: asked? },
            MessageType::MsgReadIndexResp => Body::ReadAnswer { idx, read: asked? },
            MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgPropose
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgTransferLeader => return None,
        };
        let (to, from) = (RaftId(message.to), RaftId(message.from));
        Some(Self { to, from, term: message.term, body })
    }

    /// What the crate is to be given.
    pub(super) fn into_raft(self) -> Message {
        let mut message = Message::default();
        (message.to, message.from, message.term) = (self.to.0, self.from.0, self.term);
        let kind = match self.body {
            Body::Append { idx, log_term, commit, entries } => {
                (message.index, message.log_term, message.commit) = (idx, log_term, commit);
                let entries = entries.0.into_iter().map(LogEntry::into_raft);
                message.set_entries(entries.collect::<Vec<_>>().into());
                MessageType::MsgAppend
            }
            Body::Appended { idx, commit } => {
                (message.index, message.commit) = (idx, commit);
                MessageType::MsgAppendResponse
            }
            Body::Refused { idx, hint, hint_term, commit } => {
                (message.index, message.commit) = (idx, commit);
                (message.reject, message.reject_hint) = (true, hint);
                message.log_term = hint_term;
                MessageType::MsgAppendResponse
            }
            Body::VoteRequest { idx, log_term, commit, commit_term, kind } => {
                (message.index, message.log_term) = (idx, log_term);
                (message.commit, message.commit_term) = (commit, commit_term);
                match kind {
                    Vote::Pre => MessageType::MsgRequestPreVote,
                    Vote::Real => MessageType::MsgRequestVote,
                    Vote::Transfer => {
                        message.context = Bytes::from_static(TRANSFER);
                        MessageType::MsgRequestVote
                    }
                }
            }
            Body::Voted { is_pre, is_granted, commit, commit_term } => {
                (message.commit, message.commit_term) = (commit, commit_term);
                message.reject = !is_granted;
                if is_pre {
                    MessageType::MsgRequestPreVoteResponse
                } else {
                    MessageType::MsgRequestVoteResponse
                }
            }
            Body::Snapshot { snapshot } => {
                message.set_snapshot(snapshot.into_raft());
                MessageType::MsgSnapshot
            }
            Body::Heartbeat { commit, read } => {
                message.commit = commit;
                message.context = read.map(ReadContext::to_raft).unwrap_or_default().into();
                MessageType::MsgHeartbeat
            }
            Body::HeartbeatAnswer { commit, read } => {
                message.commit = commit;
                message.context = read.map(ReadContext::to_raft).unwrap_or_default().into();
                MessageType::MsgHeartbeatResponse
            }
            Body::TimeoutNow => MessageType::MsgTimeoutNow,
            Body::ReadRequest { read } => {
                message.set_entries(vec![read_entry(read)].into());
                MessageType::MsgReadIndex
            }
            Body::ReadAnswer { idx, read } => {
                message.index = idx;
                message.set_entries(vec![read_entry(read)].into());
                MessageType::MsgReadIndexResp
            }
        };
        message.set_msg_type(kind);
        message
    }
}

fn read_entry(read: ReadContext) -> Entry {
    Entry { data: read.to_raft().into(), ..Entry::default() }
}

//! What a message must be before the crate `raft` sees it.
//!
//! The crate trusts its peers: each rule here stands for messages on which it would panic, take up a broken log, or
//! depose a healthy leader (docs/design/replication.md, section 15). A message that breaks a rule is a [`Violation`]:
//! its sender is broken, or another program, and its connection is closed. A message that is merely late or not for
//! this role is dropped in silence.

use std::fmt;
use std::sync::Arc;

use ringhold_types::id::MapIdx;

use super::MetaLog;
use super::entry::{Entries, LogEntry, Payload, SavedMap};
use super::follow::commands;
use super::membership::RaftId;
use super::message::{Body, MetaMessage, Vote};
use crate::codec::{Decode, Malformed};
use crate::map::Map;

/// How far a message's term may be ahead. Terms grow by one with each election: no honest one comes near.
pub const TERM_LEAP_MAX: u64 = 1 << 32;
/// The greatest index of a map, and the greatest term on a disk: no log comes near, and the crate counts on from there.
pub const NUMBER_MAX: u64 = 1 << 62;
/// The most reads that wait for a leader's confirmation; more are dropped, and repeated by who asked.
pub const READS_MAX: usize = 4096;

/// The rule that a message breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It names another sender than the peer that its connection belongs to.
    WrongSender {
        /// Whom it names.
        from: RaftId,
    },
    /// It is for somebody else.
    WrongTarget {
        /// For whom.
        to: RaftId,
    },
    /// Its sender votes and learns nowhere, is no node's, and nobody named it as leader. An honest voter that was
    /// removed, and has not heard of it, is refused so too.
    NotMember {
        /// The sender.
        from: RaftId,
    },
    /// Its term is 0, or (a request to read) is not, or is more than [`TERM_LEAP_MAX`] ahead.
    Term {
        /// The term.
        term: u64,
        /// This node's.
        own: u64,
    },
    /// An append follows index 0, though every log begins with a map, or the term there is 0.
    Start {
        /// The index it follows.
        idx: u64,
    },
    /// Entries are not contiguous from the index they follow.
    Hole {
        /// The index that should have come.
        expected: u64,
        /// The one that did.
        found: u64,
    },
    /// An entry's term is less than the one before it, or more than the message's.
    EntryTerm {
        /// The entry's index.
        idx: u64,
        /// Its term.
        term: u64,
    },
    /// An entry is too long, or its bytes are no commands or no membership change.
    Entry {
        /// Its index.
        idx: u64,
        /// What is wrong with it.
        cause: Malformed,
    },
    /// More is said to be committed than this node has.
    CommitBeyondLog {
        /// The index.
        commit: u64,
        /// This node's last.
        last: u64,
    },
    /// A follower answers about entries that this leader does not have.
    IndexBeyondLog {
        /// The index.
        idx: u64,
        /// This node's last.
        last: u64,
    },
    /// It contradicts what is committed.
    Committed {
        /// Where.
        idx: u64,
    },
    /// Members of a map that cannot be.
    Membership,
    /// A map that is not readable, not the one at its index, beyond [`NUMBER_MAX`], or another cluster's.
    Map {
        /// The index.
        idx: u64,
    },
    /// A read in somebody else's name.
    Reader {
        /// In whose.
        reader: RaftId,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongSender { from } => write!(f, "names {from} as its sender"),
            Self::WrongTarget { to } => write!(f, "is for {to}"),
            Self::NotMember { from } => write!(f, "{from} is no member"),
            Self::Term { term, own } => write!(f, "term {term}, while this node's is {own}"),
            Self::Start { idx } => write!(f, "entries follow index {idx}, where no log begins"),
            Self::Hole { expected, found } => write!(f, "entry {found} in place of {expected}"),
            Self::EntryTerm { idx, term } => write!(f, "entry {idx} is of term {term}"),
            Self::Entry { idx, cause } => write!(f, "entry {idx}: {cause}"),
            Self::CommitBeyondLog { commit, last } => {
                write!(f, "{commit} is said to be committed, the last index is {last}")
            }
            Self::IndexBeyondLog { idx, last } => {
                write!(f, "answers about index {idx}, the last one is {last}")
            }
            Self::Committed { idx } => write!(f, "contradicts the committed entry {idx}"),
            Self::Membership => f.write_str("members that cannot be"),
            Self::Map { idx } => write!(f, "no map of this cluster at index {idx}"),
            Self::Reader { reader } => write!(f, "reads in the name of {reader}"),
        }
    }
}

impl std::error::Error for Violation {}

/// What is to be done with a message that breaks no rule.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing: it is late, or for another role.
    Drop,
    /// It is stepped.
    Step,
    /// It is stepped, and carries this map.
    StepMap(Arc<Map>),
}

/// The map that `saved` carries.
pub(super) fn map_of(saved: &SavedMap) -> Option<Map> {
    let map = Map::from_bytes(&saved.map).ok()?;
    (map.idx == MapIdx(saved.idx) && (1..=NUMBER_MAX).contains(&saved.idx)).then_some(map)
}

/// Checks one entry by itself.
pub(super) fn check_entry(entry: &LogEntry) -> Result<(), Malformed> {
    entry.payload.check_len()?;
    match &entry.payload {
        Payload::Nothing | Payload::Membership { .. } => Ok(()),
        Payload::Commands { bytes } => commands(bytes).map(drop),
    }
}

impl MetaLog {
    /// What is to be done with a message.
    pub(super) fn check(&self, peer: RaftId, message: &MetaMessage) -> Result<Verdict, Violation> {
        let (from, to, own) = (message.from, message.to, self.term());
        if from != peer || from == self.raft_id {
            return Err(Violation::WrongSender { from });
        }
        if to != self.raft_id {
            return Err(Violation::WrongTarget { to });
        }
        if !self.is_known(from) {
            return Err(Violation::NotMember { from });
        }
        let is_request = matches!(message.body, Body::ReadRequest { .. });
        let is_near = message.term <= own.saturating_add(TERM_LEAP_MAX);
        if (message.term == 0) != is_request || !is_near {
            return Err(Violation::Term { term: message.term, own });
        }
        if let Body::Snapshot { snapshot } = &message.body {
            return self.check_snapshot(message.term, snapshot).map(Verdict::StepMap);
        }
        let is_wanted = self.check_body(message)?;
        Ok(if is_wanted { Verdict::Step } else { Verdict::Drop })
    }

    /// Whether messages of `id` are taken: it votes or learns, as far as this node knows; a living node announced it;
    /// or it was named by [`MetaLog::admit`].
    fn is_known(&self, id: RaftId) -> bool {
        self.membership().contains(id)
            || self.admitted.contains(&id)
            || id.0 != 0
                && self
                    .map()
                    .nodes()
                    .any(|(_, node)| node.is_alive && node.announced.raft_id == id.0)
    }

    /// Whether a message without a map is to be stepped.
    fn check_body(&self, message: &MetaMessage) -> Result<bool, Violation> {
        let (from, own) = (message.from, self.term());
        let last = self.last_idx();
        // What an older term says may be outdated, and the crate leaves it alone.
        let is_current = message.term >= own;
        let is_leaders = message.term == own && self.leader() == Some(from);
        let is_answer = message.term == own && self.is_leader();
        let is_member = self.membership().contains(from);
        match &message.body {
            Body::Append { idx, log_term, commit: _, entries } => {
                self.check_append(message.term, (*idx, *log_term), entries)?;
                Ok(true)
            }
            Body::Appended { idx, commit } => {
                check_answer(is_answer, last, [*idx, *commit])?;
                Ok(is_member)
            }
            Body::Refused { idx, hint, hint_term: _, commit } => {
                check_answer(is_answer, last, [*idx, *hint, *commit])?;
                Ok(is_member)
            }
            // A candidate that this node does not know as a voter may be one all the same: this log may lag behind
            // the change that made it one. But only known members may ask to overlook a living leader.
            Body::VoteRequest { kind, .. } => Ok(is_member || *kind != Vote::Transfer),
            Body::Voted { .. } => Ok(is_member),
            Body::Heartbeat { commit, read: _ } if is_current && *commit > last => {
                Err(Violation::CommitBeyondLog { commit: *commit, last })
            }
            Body::Heartbeat { .. } | Body::Snapshot { .. } => Ok(true),
            Body::HeartbeatAnswer { commit, read: _ } => {
                check_answer(is_answer, last, [*commit])?;
                Ok(is_member)
            }
            Body::TimeoutNow => Ok(is_leaders),
            Body::ReadRequest { read } if read.reader != from => {
                Err(Violation::Reader { reader: read.reader })
            }
            Body::ReadRequest { .. } => Ok(self.is_leader() && self.has_room_for_read()),
            Body::ReadAnswer { idx: _, read } if read.reader != self.raft_id => {
                Err(Violation::Reader { reader: read.reader })
            }
            Body::ReadAnswer { .. } => Ok(is_leaders),
        }
    }

    pub(super) fn has_room_for_read(&self) -> bool {
        self.raw.raft.pending_read_count() < READS_MAX
    }

    fn check_append(
        &self,
        term: u64,
        after: (u64, u64),
        entries: &Entries,
    ) -> Result<(), Violation> {
        let (idx, log_term) = after;
        if idx == 0 || log_term == 0 {
            return Err(Violation::Start { idx });
        }
        let (mut before, mut term_before) = after;
        if log_term > term {
            return Err(Violation::EntryTerm { idx, term: log_term });
        }
        let mut contradicted = self.contradicts(idx, log_term);
        for entry in &entries.0 {
            let hole = Violation::Hole { expected: before.saturating_add(1), found: entry.idx };
            if before.checked_add(1) != Some(entry.idx) {
                return Err(hole);
            }
            if entry.term < term_before || entry.term > term {
                return Err(Violation::EntryTerm { idx: entry.idx, term: entry.term });
            }
            check_entry(entry).map_err(|cause| Violation::Entry { idx: entry.idx, cause })?;
            contradicted |= self.contradicts(entry.idx, entry.term);
            (before, term_before) = (entry.idx, entry.term);
        }
        // An older leader's message may be late and hold what a newer leader replaced.
        if contradicted && term >= self.term() {
            return Err(Violation::Committed { idx: self.commit_idx() });
        }
        Ok(())
    }

    /// Whether another entry is committed at `idx`, as far as that is still known.
    fn contradicts(&self, idx: u64, term: u64) -> bool {
        let log = &self.raw.raft.raft_log;
        let is_known = idx <= log.committed && idx >= self.store().base();
        is_known && !log.match_term(idx, term)
    }

    fn check_snapshot(&self, term: u64, saved: &SavedMap) -> Result<Arc<Map>, Violation> {
        if saved.term == 0 || saved.term > term {
            return Err(Violation::EntryTerm { idx: saved.idx, term: saved.term });
        }
        if !saved.membership.is_coherent() {
            return Err(Violation::Membership);
        }
        let known: &Arc<Map> = self.map();
        let is_ours = |map: &Map| known.idx.0 == 0 || map.cluster == known.cluster;
        let map = map_of(saved).filter(is_ours).ok_or(Violation::Map { idx: saved.idx })?;
        if term >= self.term() && self.contradicts(saved.idx, saved.term) {
            return Err(Violation::Committed { idx: saved.idx });
        }
        Ok(Arc::new(map))
    }
}

fn check_answer(
    is_answer: bool,
    last: u64,
    idxs: impl IntoIterator<Item = u64>,
) -> Result<(), Violation> {
    let beyond = idxs.into_iter().find(|&idx| is_answer && idx > last);
    beyond.map_or(Ok(()), |idx| Err(Violation::IndexBeyondLog { idx, last }))
}

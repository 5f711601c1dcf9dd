//! Why the log does not do what it was asked.

use std::fmt;

use super::membership::RaftId;

/// Why commands are not proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// Another node leads, or nobody does. Ask there.
    NotLeader {
        /// Who leads, if known.
        leader: Option<RaftId>,
    },
    /// More bytes than one entry holds: to be split.
    TooLong {
        /// Their length.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// Too much is proposed and not committed, or leadership is being transferred. A retry helps.
    Busy,
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(leader) } => write!(f, "{leader} leads"),
            Self::NotLeader { leader: None } => f.write_str("nobody leads"),
            Self::TooLong { len, max } => write!(f, "{len} bytes of commands, at most {max}"),
            Self::Busy => f.write_str("too much is not committed yet; try again"),
        }
    }
}

impl std::error::Error for ProposeError {}

/// Why leadership is not transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// Another node leads, or nobody does.
    NotLeader {
        /// Who leads, if known.
        leader: Option<RaftId>,
    },
    /// The target is this node, or does not vote.
    NotVoter {
        /// The target.
        id: RaftId,
    },
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(leader) } => write!(f, "{leader} leads"),
            Self::NotLeader { leader: None } => f.write_str("nobody leads"),
            Self::NotVoter { id } => write!(f, "{id} is no other voter"),
        }
    }
}

impl std::error::Error for TransferError {}

/// Why a membership change is not proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipError {
    /// Another node leads, or nobody does. Ask there.
    NotLeader {
        /// Who leads, if known.
        leader: Option<RaftId>,
    },
    /// An earlier change, or the leader's first entry, is not applied yet, or leadership is being transferred. A
    /// retry helps.
    Busy,
    /// No changes, too many, or two about one member.
    Implausible,
    /// Only a learner, which has the log, becomes a voter.
    NotLearner {
        /// Who is none.
        id: RaftId,
    },
    /// It learns already.
    AlreadyMember {
        /// Who.
        id: RaftId,
    },
    /// It neither votes nor learns.
    NotMember {
        /// Who.
        id: RaftId,
    },
    /// A leader transfers its leadership before it leaves.
    Leader,
    /// There would be too many members.
    TooMany {
        /// The most there may be.
        max: usize,
    },
}

impl fmt::Display for MembershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(leader) } => write!(f, "{leader} leads"),
            Self::NotLeader { leader: None } => f.write_str("nobody leads"),
            Self::Busy => f.write_str("an earlier change is not finished; try again"),
            Self::Implausible => f.write_str("no changes, too many, or two about one member"),
            Self::NotLearner { id } => write!(f, "{id} is no learner"),
            Self::AlreadyMember { id } => write!(f, "{id} is a learner already"),
            Self::NotMember { id } => write!(f, "{id} is no member"),
            Self::Leader => f.write_str("the leader cannot leave before it transferred leadership"),
            Self::TooMany { max } => write!(f, "more than {max} members"),
        }
    }
}

impl std::error::Error for MembershipError {}

//! Who votes on the metadata log and who learns it.

use std::collections::BTreeSet;
use std::fmt;

use raft::eraftpb::ConfState;

use super::refused::MembershipError;
use crate::codec::{Decode, Encode, Malformed, Reader, encoded_enum, encoded_struct};

/// The most voters and learners at a time, those of both halves of a joint configuration together.
pub const MEMBERS_MAX: usize = 16;

/// A voter's or learner's identity: never 0, never used again; whoever comes back without its log is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RaftId(pub u64);

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Encode for RaftId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for RaftId {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        u64::decode(reader).map(Self)
    }
}

/// One step of a membership change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A learner becomes a voter.
    AddVoter {
        /// Which one.
        id: RaftId,
    },
    /// Somebody begins to learn, or a voter becomes a learner.
    AddLearner {
        /// Who.
        id: RaftId,
    },
    /// A voter or learner leaves for good.
    Remove {
        /// Which one.
        id: RaftId,
    },
}

encoded_enum!(Change, "membership change" {
    0 => AddVoter { id },
    1 => AddLearner { id },
    2 => Remove { id },
});

impl Change {
    /// Whom it is about.
    #[must_use]
    pub fn id(&self) -> RaftId {
        match self {
            Self::AddVoter { id } | Self::AddLearner { id } | Self::Remove { id } => *id,
        }
    }

    /// Whether they are few, and each about another member.
    pub(super) fn are_plausible(changes: &[Self]) -> bool {
        let ids: BTreeSet<RaftId> = changes.iter().map(Self::id).collect();
        changes.len() <= MEMBERS_MAX && ids.len() == changes.len() && !ids.contains(&RaftId(0))
    }
}

/// Who votes and who learns as of one index of the log. Each list is in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Who votes; in a joint configuration the new half.
    pub voters: Vec<RaftId>,
    /// Who is sent the log and does not vote.
    pub learners: Vec<RaftId>,
    /// The old half of a joint configuration; empty: there is none.
    pub outgoing: Vec<RaftId>,
    /// Voters of the old half that become learners with its end.
    pub learners_next: Vec<RaftId>,
}

encoded_struct!(Membership { voters, learners, outgoing, learners_next });

impl Membership {
    /// One voter, nobody else.
    #[must_use]
    pub fn of_one(id: RaftId) -> Self {
        Self { voters: vec![id], ..Self::default() }
    }

    /// Whether it is the one before anything of the log is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.voters.is_empty()
    }

    /// Whether two majorities decide.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `id` votes, in either half.
    #[must_use]
    pub fn is_voter(&self, id: RaftId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Whether `id` votes or learns.
    #[must_use]
    pub fn contains(&self, id: RaftId) -> bool {
        self.is_voter(id) || self.learners.contains(&id)
    }

    /// Whether it can be: somebody votes; nobody is twice in a list; voters do not learn; who is to learn later
    /// leaves the voters now; at most [`MEMBERS_MAX`].
    #[must_use]
    pub fn is_coherent(&self) -> bool {
        let lists = [&self.voters, &self.learners, &self.outgoing, &self.learners_next];
        let is_ascending = |list: &[RaftId]| list.windows(2).all(|pair| pair[0] < pair[1]);
        let all: BTreeSet<RaftId> = lists.into_iter().flatten().copied().collect();
        !self.voters.is_empty()
            && lists.into_iter().all(|list| is_ascending(list))
            && !all.contains(&RaftId(0))
            && all.len() <= MEMBERS_MAX
            && !self.learners.iter().any(|&id| self.is_voter(id))
            && self.learners_next.iter().all(|id| {
                self.outgoing.contains(id)
                    && !self.voters.contains(id)
                    && !self.learners.contains(id)
            })
    }

    pub(super) fn from_raft(state: &ConfState) -> Self {
        let sorted = |ids: &[u64]| {
            let ids: BTreeSet<RaftId> = ids.iter().copied().map(RaftId).collect();
            ids.into_iter().collect()
        };
        Self {
            voters: sorted(state.get_voters()),
            learners: sorted(state.get_learners()),
            outgoing: sorted(state.get_voters_outgoing()),
            learners_next: sorted(state.get_learners_next()),
        }
    }

    pub(super) fn to_raft(&self) -> ConfState {
        let ids = |list: &[RaftId]| list.iter().map(|id| id.0).collect::<Vec<u64>>();
        let mut state = ConfState::from((ids(&self.voters), ids(&self.learners)));
        state.set_voters_outgoing(ids(&self.outgoing));
        state.set_learners_next(ids(&self.learners_next));
        // Every joint configuration of ours ends by itself.
        state.auto_leave = self.is_joint();
        state
    }

    /// Why `changes` may not be proposed by `leader`; `None`: they may.
    pub(super) fn objection(&self, leader: RaftId, changes: &[Change]) -> Option<MembershipError> {
        if changes.is_empty() || !Change::are_plausible(changes) {
            return Some(MembershipError::Implausible);
        }
        for change in changes {
            let id = change.id();
            let objection = match change {
                Change::AddVoter { .. } if !self.learners.contains(&id) => {
                    Some(MembershipError::NotLearner { id })
                }
                Change::AddLearner { .. } if self.learners.contains(&id) => {
                    Some(MembershipError::AlreadyMember { id })
                }
                Change::Remove { .. } if !self.contains(id) => {
                    Some(MembershipError::NotMember { id })
                }
                Change::AddLearner { .. } | Change::Remove { .. } if id == leader => {
                    Some(MembershipError::Leader)
                }
                Change::AddVoter { .. } | Change::AddLearner { .. } | Change::Remove { .. } => None,
            };
            if objection.is_some() {
                return objection;
            }
        }
        let is_too_many = !self.has_room_for(changes);
        is_too_many.then_some(MembershipError::TooMany { max: MEMBERS_MAX })
    }

    /// Whether there are not too many members with those that `changes` name. While they are joint, who leaves counts.
    pub(super) fn has_room_for(&self, changes: &[Change]) -> bool {
        let lists = [&self.voters, &self.learners, &self.outgoing, &self.learners_next];
        let present = lists.into_iter().flatten().copied();
        let together: BTreeSet<RaftId> = present.chain(changes.iter().map(Change::id)).collect();
        together.len() <= MEMBERS_MAX
    }
}

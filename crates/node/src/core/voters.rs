//! Who votes on the metadata: the leader chooses 1, 3 or 5 (section 14).
//!
//! A voter that is gone is swapped for a member that has caught up as a learner, in one joint change; there are never two
//! voters or four. While there is nobody to take its place it keeps it.

use ringhold_cluster::meta::MetaLog;
use ringhold_cluster::meta::membership::{Change, Membership, RaftId};
use ringhold_cluster::node::{NodeRecord, NodeState};
use ringhold_types::id::NodeId;
use ringhold_types::time::{Duration, Instant};

use super::{Core, Output};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A voter that was not heard for so long is swapped.
const SILENT: Duration = Duration::from_secs(10);
/// A learner may lack so many entries when it becomes a voter.
const BEHIND_MAX: u64 = 64;
/// From so many nodes on there are five voters.
const FIVE_FROM: usize = 7;

impl Core {
    pub(super) fn look_after_voters(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(leading) = &mut self.leading else { return };
        if now.since(leading.voters_looked_at) < LOOK {
            return;
        }
        leading.voters_looked_at = now;
        let Some(changes) = self.changes_of_voters(now).filter(|changes| !changes.is_empty())
        else {
            return;
        };
        self.with_log(now, out, |log, meta| {
            if !log.is_persisting() {
                // Refused while another change is under way; the next look tries again.
                let _refused = log.propose_members(&changes, meta).is_err();
            }
        });
    }

    /// The nodes that are meant to vote: the leader's first, then in their order.
    fn candidates(&self, now: Instant, log: &MetaLog) -> Vec<Candidate> {
        let Some(leading) = &self.leading else { return Vec::new() };
        let candidate = |(node, record): (NodeId, &NodeRecord)| {
            let member = record.member(node);
            let heard_at = leading.lead.heard_at(member);
            let is_mine = Some(member) == self.me;
            // Silence before the election is none: nobody told this leader anything then.
            let silent_since = heard_at.unwrap_or_else(|| leading.lead.elected_at());
            let id = RaftId(record.announced.raft_id);
            let is_lately = |at| record.is_alive && now.since(at) < SILENT;
            let presence = if heard_at.is_some_and(is_lately) {
                Presence::Heard
            } else if is_mine || is_lately(silent_since) {
                Presence::Unheard
            } else {
                Presence::Gone
            };
            Candidate { id, presence, is_caught_up: is_caught_up(log, id) }
        };
        let mut candidates: Vec<Candidate> = self
            .map
            .nodes()
            .filter(|(_, record)| record.announced.raft_id != 0)
            .filter(|(_, record)| record.state != NodeState::Draining)
            .map(candidate)
            .collect();
        let mine = RaftId(self.identity.announced.raft_id);
        candidates.sort_by_key(|candidate| candidate.id != mine);
        candidates
    }

    fn changes_of_voters(&self, now: Instant) -> Option<Vec<Change>> {
        let log = self.log.as_ref()?;
        let candidates = self.candidates(now, log);
        Some(changes(log.membership(), &candidates, self.map.settings.voters))
    }
}

/// A node that is meant to vote, as the leader sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: RaftId,
    pub(super) presence: Presence,
    pub(super) is_caught_up: bool,
}

/// What a leader knows of a node's being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Declared dead, or silent for [`SILENT`] under this leader.
    Gone,
    /// Not heard yet, which says nothing yet: it may stay a voter.
    Unheard,
    /// Heard within [`SILENT`]: it may become one.
    Heard,
}

/// What brings the voters nearer to what they should be; `set`: the number that the cluster was told, 0 none.
///
/// A voter that is gone keeps its place until another one has caught up: it may be back, and a leader that hears few others
/// must not make itself the only one. Only nodes that leave on purpose, and are no candidates, make voters fewer
/// (docs/design/replication.md, section 14).
pub(super) fn changes(membership: &Membership, candidates: &[Candidate], set: u8) -> Vec<Change> {
    if membership.is_joint() {
        return Vec::new();
    }
    let of = |id: RaftId| candidates.iter().find(|candidate| candidate.id == id);
    let is_heard =
        |id: &RaftId| of(*id).is_some_and(|candidate| candidate.presence == Presence::Heard);
    if let Some(&id) = membership.learners.iter().find(|id| !is_heard(id)) {
        return vec![Change::Remove { id }];
    }
    let is_there = |candidate: &&Candidate| {
        candidate.presence != Presence::Gone && membership.voters.contains(&candidate.id)
    };
    let mut kept: Vec<RaftId> = candidates.iter().filter(is_there).map(|it| it.id).collect();
    let gone = membership.voters.iter().copied().filter(|id| !kept.contains(id));
    let gone: Vec<RaftId> = gone.collect();
    let wanted = wanted_count(set, candidates.len());
    let surplus = kept.split_off(kept.len().min(wanted));
    let missing = wanted - kept.len();
    let is_ready = |id: &RaftId| of(*id).is_some_and(|candidate| candidate.is_caught_up);
    let ready: Vec<RaftId> =
        membership.learners.iter().copied().filter(is_ready).take(missing).collect();
    let add = |id: &RaftId| Change::AddVoter { id: *id };
    let remove = |id: &RaftId| Change::Remove { id: *id };
    if ready.len() == missing {
        return ready.iter().map(add).chain(gone.iter().chain(&surplus).map(remove)).collect();
    }
    // As many leave as come.
    let swapped = ready.len().min(gone.len());
    if swapped > 0 {
        let newcomers = ready[..swapped].iter().map(add);
        return newcomers.chain(gone[..swapped].iter().map(remove)).collect();
    }
    // One after another: each learns from a snapshot.
    let is_spare = |it: &&Candidate| it.presence == Presence::Heard && !membership.contains(it.id);
    let spare = candidates.iter().find(is_spare);
    let is_learning = membership.learners.len() >= missing;
    spare.filter(|_| !is_learning).map(|it| Change::AddLearner { id: it.id }).into_iter().collect()
}

/// How many are to vote of so many candidates; `set`: what the cluster was told, 0 nothing.
fn wanted_count(set: u8, candidates: usize) -> usize {
    let most = match usize::from(set) {
        0 if candidates >= FIVE_FROM => 5,
        0 => 3,
        set => set,
    };
    [5, 3, 1].into_iter().find(|&count| count <= most && count <= candidates).unwrap_or(1)
}

fn is_caught_up(log: &MetaLog, id: RaftId) -> bool {
    log.matched(id).is_some_and(|matched| matched + BEHIND_MAX >= log.last_idx())
}

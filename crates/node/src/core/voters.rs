//! Who votes on the metadata: the leader chooses, 1, 3 or 5 of the members that are there (section 14).
//!
//! A voter that is gone is swapped for a member that has caught up as a learner, in one joint change; there are never two
//! voters or four. A learner that is kept ready makes the swap quick.

use ringhold_cluster::meta::MetaLog;
use ringhold_cluster::meta::membership::{Change, RaftId};
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

    /// The members that may vote and are heard: the leader first, then in the order of their nodes.
    fn candidates(&self, now: Instant) -> Vec<RaftId> {
        let Some(leading) = &self.leading else { return Vec::new() };
        let is_there = |member| {
            Some(member) == self.me
                || leading.lead.heard_at(member).is_some_and(|at| now.since(at) < SILENT)
        };
        let mut ids: Vec<RaftId> = self
            .map
            .nodes()
            .filter(|(_, record)| record.is_alive && record.announced.raft_id != 0)
            .filter(|(_, record)| record.state != ringhold_cluster::node::NodeState::Draining)
            .filter(|(node, record)| is_there(record.member(*node)))
            .map(|(_, record)| RaftId(record.announced.raft_id))
            .collect();
        let mine = RaftId(self.identity.announced.raft_id);
        ids.sort_by_key(|id| *id != mine);
        ids
    }

    fn changes_of_voters(&self, now: Instant) -> Option<Vec<Change>> {
        let log = self.log.as_ref()?;
        let membership = log.membership();
        if membership.is_joint() {
            return None;
        }
        let candidates = self.candidates(now);
        let wanted = wanted_count(self.map.settings.voters, candidates.len());
        let is_there = |id: &&RaftId| candidates.contains(id);
        let good: Vec<RaftId> = membership.voters.iter().filter(is_there).copied().collect();
        let bad = membership.voters.iter().filter(|id| !is_there(id)).copied();
        let stale = membership.learners.iter().filter(|id| !candidates.contains(id));
        if let Some(&id) = stale.clone().next() {
            return Some(vec![Change::Remove { id }]);
        }
        let mut kept: Vec<RaftId> =
            candidates.iter().copied().filter(|id| good.contains(id)).collect();
        let surplus = kept.split_off(kept.len().min(wanted));
        let missing = wanted - kept.len();
        let ready = membership.learners.iter().copied().filter(|id| is_caught_up(log, *id));
        let newcomers: Vec<RaftId> = ready.take(missing).collect();
        if newcomers.len() < missing {
            let spare = candidates.iter().find(|id| !membership.contains(**id));
            let is_learning = membership.learners.len() >= missing;
            // One after another: each learns from a snapshot.
            return spare.filter(|_| !is_learning).map(|&id| vec![Change::AddLearner { id }]);
        }
        let removed = bad.chain(surplus).map(|id| Change::Remove { id });
        Some(newcomers.into_iter().map(|id| Change::AddVoter { id }).chain(removed).collect())
    }
}

/// How many are to vote of so many that can; `set`: what the cluster was told, 0 nothing.
fn wanted_count(set: u8, there: usize) -> usize {
    let most = match usize::from(set) {
        0 if there >= FIVE_FROM => 5,
        0 => 3,
        set => set,
    };
    [5, 3, 1].into_iter().find(|&count| count <= most && count <= there).unwrap_or(1)
}

fn is_caught_up(log: &MetaLog, id: RaftId) -> bool {
    log.matched(id).is_some_and(|matched| matched + BEHIND_MAX >= log.last_idx())
}

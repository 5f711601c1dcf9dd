//! What a node asks of the log: commands, members, leadership, reads.

use ringhold_types::id::MapIdx;

use super::entry::change_to_raft;
use super::membership::{Change, RaftId};
use super::message::ReadContext;
use super::output::{MetaOut, Proposed};
use super::refused::{MembershipError, ProposeError, TransferError};
use super::{ENTRY_LEN_MAX, MetaLog};
use crate::command::Command;

impl MetaLog {
    /// Proposes commands as one entry.
    ///
    /// # Errors
    ///
    /// [`ProposeError`]: nothing was proposed.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn propose(
        &mut self,
        commands: &[Command],
        out: &mut MetaOut,
    ) -> Result<Proposed, ProposeError> {
        self.assert_idle();
        if !self.is_leader() {
            return Err(ProposeError::NotLeader { leader: self.leader() });
        }
        let mut bytes = Vec::new();
        crate::codec::encode_list(commands.iter(), &mut bytes);
        if bytes.len() > ENTRY_LEN_MAX {
            return Err(ProposeError::TooLong { len: bytes.len(), max: ENTRY_LEN_MAX });
        }
        self.raw.propose(Vec::new(), bytes).map_err(|_| ProposeError::Busy)?;
        let proposed = Proposed { idx: MapIdx(self.last_idx()), term: self.term() };
        self.ready(out);
        Ok(proposed)
    }

    /// Proposes one change of who votes and learns; more than one step is made joint, and leaves the joint configuration
    /// by itself. Its effect is seen in [`MetaOut::membership`].
    ///
    /// # Errors
    ///
    /// [`MembershipError`]: nothing was proposed.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn propose_members(
        &mut self,
        changes: &[Change],
        out: &mut MetaOut,
    ) -> Result<Proposed, MembershipError> {
        self.assert_idle();
        if !self.is_leader() {
            return Err(MembershipError::NotLeader { leader: self.leader() });
        }
        if self.raw.raft.has_pending_conf() || self.membership().is_joint() {
            return Err(MembershipError::Busy);
        }
        if let Some(objection) = self.membership().objection(self.raft_id, changes) {
            return Err(objection);
        }
        let change = change_to_raft(changes);
        let outcome = self.raw.propose_conf_change(Vec::new(), change);
        outcome.map_err(|_| MembershipError::Busy)?;
        let proposed = Proposed { idx: MapIdx(self.last_idx()), term: self.term() };
        self.ready(out);
        Ok(proposed)
    }

    /// Hands leadership to another voter, once it has the whole log; proposals are refused meanwhile. Given up after the
    /// shortest election time-out.
    ///
    /// # Errors
    ///
    /// [`TransferError`]: nothing was begun.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn transfer(&mut self, to: RaftId, out: &mut MetaOut) -> Result<(), TransferError> {
        self.assert_idle();
        if !self.is_leader() {
            return Err(TransferError::NotLeader { leader: self.leader() });
        }
        if to == self.raft_id || !self.membership().voters.contains(&to) {
            return Err(TransferError::NotVoter { id: to });
        }
        self.raw.transfer_leader(to.0);
        self.ready(out);
        Ok(())
    }

    /// Stands for election now, if it votes. For a voter whose connection to the leader was refused, after its rank ×
    /// 20 ms: others grant the vote only when they have missed the leader too.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn campaign(&mut self, out: &mut MetaOut) {
        self.assert_idle();
        self.campaign_raw();
        self.ready(out);
    }

    pub(super) fn campaign_raw(&mut self) {
        // A node that does not vote would elect itself, of nobody.
        if self.raw.raft.promotable() {
            drop(self.raw.campaign());
        }
    }

    /// Asks the leader for an index that covers everything committed before this call; the answer is a
    /// [`MetaOut::reads`] of this or a later call. There is none without a leader that is established, when a message is
    /// lost, or when [`super::check::READS_MAX`] wait: the caller repeats with another context. A context is never used twice by
    /// one raft id, not after a restart either: an old answer would be taken for the new one's.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn read_index(&mut self, context: u64, out: &mut MetaOut) {
        self.assert_idle();
        if self.has_room_for_read() {
            let read = ReadContext { reader: self.raft_id, context };
            self.raw.read_index(read.to_raft());
        }
        self.ready(out);
    }
}

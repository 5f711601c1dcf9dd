//! A slot's backup: whom it follows, what it takes, and when its data is void (sections 6.3, 7.2 and 7.3).

use std::sync::Arc;

use ringhold_types::id::{Epoch, Generation, MapIdx, Member, Seq};
use ringhold_types::slot::Slot;

use super::replica::{Role, TOUCHES_ALL};
use super::{Kept, Outbox, Refused, Replicas, SlotStore};
use crate::map::Config;
use crate::message::{Body, Message, Operation, Position, Stamp};
use crate::mutants::{Rule, without};

/// The most bytes of operations that an answer to a new primary carries; it asks for the rest.
const FETCHED_LEN_MAX: usize = 256 << 10;

/// What opens a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) epoch: Epoch,
    pub(super) generation: Generation,
    pub(super) sid: u64,
    pub(super) ver: MapIdx,
}

/// What comes with operations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) epoch: Epoch,
    pub(super) sid: u64,
    pub(super) prev: Position,
    pub(super) commit: Seq,
    pub(super) stamp: Stamp,
}

impl Replicas {
    /// Acts on a configuration in which this member is not a primary that goes on.
    pub(super) fn follow_map(
        &mut self,
        slot: Slot,
        config: &Config,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let me = self.view.me;
        let was_primary = self.replica(slot).primary.is_some();
        if was_primary && config.epoch >= self.replica(slot).promised {
            self.step_down(slot, out);
            store.set_kept(slot, Kept::Backup);
        }
        if !without(Rule::Sealing) {
            // Sealed: nothing of older epochs is acknowledged from here on.
            self.promise(slot, config.epoch);
        }
        let replica = self.replica(slot);
        if replica.primary.is_some() || config.ver < replica.auth_ver && !without(Rule::AuthVer) {
            // The session that is followed is of a newer configuration.
            return;
        }
        let stint = replica.stint;
        let is_in_sync = config.isr.contains(&me);
        let is_being_filled =
            config.stint_of(me).is_some_and(|current| current == stint || without(Rule::Stints));
        if !is_in_sync && !is_being_filled {
            if replica.role != Role::Idle {
                self.become_idle(slot, store);
            }
        } else if is_in_sync
            && replica.generation == config.generation
            && replica.role != Role::Backup
        {
            self.void(slot, "A5", store, out);
        }
    }

    /// This member's data of the slot is void.
    pub(super) fn become_idle(&mut self, slot: Slot, store: &mut impl SlotStore) {
        let replica = self.replica_mut(slot);
        replica.role = Role::Idle;
        replica.follows = None;
        replica.forget();
        store.clear(slot);
        store.set_kept(slot, Kept::Nothing);
    }

    fn say_stale(&self, (slot, to): (Slot, Member), out: &mut Outbox) {
        let body = Body::Stale { promised: self.replica(slot).promised };
        out.messages.push((to, Message { slot, body }));
    }

    /// A primary opens a session.
    pub(super) fn on_sync(
        &mut self,
        (slot, from): (Slot, Member),
        session: Session,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let replica = self.replica(slot);
        if session.epoch < replica.promised {
            return self.say_stale((slot, from), out);
        }
        let is_same = session.epoch == replica.promised && replica.follows == Some(from);
        if is_same && session.sid < replica.sid || session.generation != replica.generation {
            // Another generation: the map that says so is on its way, and asks this again.
            return;
        }
        if session.epoch > replica.promised {
            if replica.primary.is_some() {
                self.step_down(slot, out);
                store.set_kept(slot, Kept::Backup);
            }
            // A primary that the map does not know yet: what was granted to anybody may have to run out.
            let granted = self.view.leases.granted_until_max();
            let replica = self.replica_mut(slot);
            replica.fence_until = replica.fence_until.max(granted);
            replica.promised = session.epoch;
        }
        let replica = self.replica_mut(slot);
        if replica.role != Role::Backup {
            return;
        }
        replica.follows = Some(from);
        replica.sid = session.sid;
        replica.auth_ver = replica.auth_ver.max(session.ver);
        let body =
            Body::SyncAck { epoch: session.epoch, sid: session.sid, last: replica.tail.last() };
        out.messages.push((from, Message { slot, body }));
    }

    /// A new primary lacks operations that this backup has.
    pub(super) fn on_fetch(
        &mut self,
        (slot, from): (Slot, Member),
        (epoch, sid, first): (Epoch, u64, Seq),
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let replica = self.replica(slot);
        let is_asked = epoch == replica.promised
            && replica.follows == Some(from)
            && replica.sid == sid
            && replica.role == Role::Backup
            && first <= replica.tail.last().seq;
        // At or below the commit it is late, or the asker lacks what it must have; it will find that out itself.
        if !is_asked || first <= replica.commit {
            return;
        }
        if first <= replica.tail.base().seq {
            return self.void(slot, "A4", store, out);
        }
        let operations = replica.tail.after(first.before(), FETCHED_LEN_MAX);
        let body = Body::Fetched { epoch, sid, from: first, operations };
        out.messages.push((from, Message { slot, body }));
    }

    /// Operations of the primary that this backup follows.
    pub(super) fn on_replicate(
        &mut self,
        (slot, from): (Slot, Member),
        head: Head,
        operations: Vec<Operation>,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let replica = self.replica(slot);
        let Head { epoch, sid, prev, commit, stamp } = head;
        if epoch < replica.promised && !without(Rule::Sealing) {
            return self.say_stale((slot, from), out);
        }
        let is_ours = replica.follows == Some(from) && replica.sid == sid
            || without(Rule::SessionIds)
            || without(Rule::Sealing);
        if epoch > replica.promised || replica.role != Role::Backup || !is_ours {
            return;
        }
        let last = replica.tail.last().seq;
        if prev.seq > last {
            let body = Body::Gap { epoch, sid, last };
            return out.messages.push((from, Message { slot, body }));
        }
        if prev.seq >= replica.tail.base().seq && replica.tail.at(prev.seq) != Some(prev) {
            return self.void(slot, "A1", store, out);
        }
        if !self.take_operations((slot, prev.seq), operations, store, out) {
            return;
        }
        store.observe(slot, stamp);
        let replica = self.replica_mut(slot);
        let last = replica.tail.last().seq;
        replica.commit = replica.commit.max(commit.min(last));
        replica.trim();
        let body = if replica.is_full {
            Body::GaveUp { sid }
        } else {
            Body::Ack { epoch, sid, seq: last }
        };
        out.messages.push((from, Message { slot, body }));
    }

    /// Applies the operations after `before` that this copy does not have; false: the copy is void.
    fn take_operations(
        &mut self,
        (slot, before): (Slot, Seq),
        operations: Vec<Operation>,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) -> bool {
        let mut seq = before;
        for operation in operations {
            seq = seq.next();
            let replica = self.replica_mut(slot);
            if seq <= replica.tail.last().seq {
                let known = replica.tail.operation(seq);
                if known.is_some_and(|known| *known != operation) {
                    self.void(slot, "A1", store, out);
                    return false;
                }
                continue;
            }
            if replica.is_full {
                return true;
            }
            match store.apply(slot, &operation.effect) {
                Ok(()) => replica.tail.push(operation, TOUCHES_ALL),
                Err(Refused::NoRoom) => replica.is_full = true,
                Err(Refused::Malformed) => {
                    self.void(slot, "A1", store, out);
                    return false;
                }
            }
        }
        true
    }

    /// The slot's data is going to come; what is here is void.
    pub(super) fn on_transfer_start(
        &mut self,
        (slot, from): (Slot, Member),
        session: Session,
        stint: MapIdx,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let config = self.view.map.slot(slot);
        let is_in_sync = config.ver >= session.ver && config.isr.contains(&self.view.me);
        let replica = self.replica(slot);
        if session.epoch < replica.promised {
            return self.say_stale((slot, from), out);
        }
        let is_old = session.epoch == replica.promised
            && replica.follows == Some(from)
            && session.sid <= replica.sid;
        if is_old || is_in_sync || replica.primary.is_some() {
            return;
        }
        let replica = self.replica_mut(slot);
        replica.forget();
        replica.is_void = false;
        replica.generation = session.generation;
        replica.promised = session.epoch;
        replica.auth_ver = replica.auth_ver.max(session.ver);
        replica.stint = stint;
        replica.follows = Some(from);
        replica.sid = session.sid;
        replica.parts = 0;
        replica.role = Role::Filling(session.sid);
        store.clear(slot);
        store.set_kept(slot, Kept::Backup);
    }

    /// A part of the slot's data.
    pub(super) fn on_transfer_part(
        &mut self,
        at: (Slot, Member),
        part: (u64, u64),
        effect: &Arc<[u8]>,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let (slot, from) = at;
        if self.is_next_part(at, part, store) && store.apply(slot, effect).is_err() {
            // Without room there is no transfer; the primary sees that it makes no progress.
            let body = Body::GaveUp { sid: part.0 };
            out.messages.push((from, Message { slot, body }));
            self.become_idle(slot, store);
        }
    }

    /// The slot's data is complete up to `base`, with `tail` in it already.
    pub(super) fn on_transfer_done(
        &mut self,
        at: (Slot, Member),
        part: (u64, u64),
        (base, tail, stamp): (Position, Vec<Operation>, Stamp),
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        if !self.is_next_part(at, part, store) {
            return;
        }
        let (slot, from) = at;
        store.observe(slot, stamp);
        let replica = self.replica_mut(slot);
        replica.tail.reset(base);
        replica.commit = base.seq;
        tail.into_iter().for_each(|operation| replica.tail.push(operation, TOUCHES_ALL));
        replica.role = Role::Backup;
        let (epoch, seq) = (replica.promised, replica.tail.last().seq);
        let body = Body::Ack { epoch, sid: part.0, seq };
        out.messages.push((from, Message { slot, body }));
    }

    /// Whether this is the part that is due of the transfer that fills this copy; a hole voids it.
    fn is_next_part(
        &mut self,
        (slot, from): (Slot, Member),
        (sid, number): (u64, u64),
        store: &mut impl SlotStore,
    ) -> bool {
        let replica = self.replica_mut(slot);
        if replica.role != Role::Filling(sid) || replica.follows != Some(from) {
            return false;
        }
        replica.parts += 1;
        if number != replica.parts && !without(Rule::TransferHole) {
            self.become_idle(slot, store);
            return false;
        }
        true
    }
}

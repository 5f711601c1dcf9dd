//! Giving a slot's data to a member that is being filled (section 9).
//!
//! The store is walked in bounded steps between the operations of clients. An entry is read and sent in one step, and an
//! operation is sent in the step that applies it, on the same stream: of two messages about a key the later one is the
//! newer state, so the order of the walk does not matter.

use ringhold_types::id::{MapIdx, Member, Seq};
use ringhold_types::slot::Slot;
use ringhold_types::time::Instant;

use super::replica::{Follower, Transfer};
use super::{Outbox, Replicas, SlotStore, TRANSFER_STALL};
use crate::map::FILLING_MAX;
use crate::message::{Body, Message};
use crate::mutants::{Rule, without};

/// The most steps of a walk that a slot gets in one tick: others have a turn as well.
const STEPS_MAX: usize = 64;

impl Replicas {
    /// Begins the transfers that the map asks for, ends those that stand still, and sends `len_left` bytes of them.
    pub(super) fn tick_transfers(
        &mut self,
        now: Instant,
        slot: Slot,
        len_left: &mut usize,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        self.drop_stalled(now, slot);
        let required = self.required(slot);
        let map = self.map();
        for filling in &map.slot(slot).filling {
            let Some(primary) = &self.replica(slot).primary else { return };
            let is_known =
                primary.transfers.iter().any(|transfer| transfer.member == filling.member)
                    || primary.followers.iter().any(|follower| follower.member == filling.member);
            // A7: a required member has everything, and would lose it.
            if !is_known && !required.contains(&filling.member) {
                self.start_transfer(now, slot, (filling.member, filling.stint), out);
            }
        }
        let count = self.replica(slot).primary.as_ref().map_or(0, |it| it.transfers.len());
        for idx in (0..count.min(FILLING_MAX)).rev() {
            self.go_on(now, (slot, idx), len_left, store, out);
        }
    }

    /// A transfer whose member does not answer begins anew.
    fn drop_stalled(&mut self, now: Instant, slot: Slot) {
        let required = self.required(slot);
        let replica = self.replica_mut(slot);
        let last = replica.tail.last().seq;
        let is_full = replica.is_tail_full();
        let Some(primary) = &mut replica.primary else { return };
        let is_late = |since: Instant| now.since(since) >= TRANSFER_STALL;
        primary.transfers.retain(|transfer| !is_late(transfer.progress_at));
        primary.followers.retain(|follower| {
            let is_behind = !follower.is_synced || follower.matched < last;
            // What it lacks is kept for it alone: it must not stop the others.
            let is_dropped = is_behind && (is_late(follower.answered_at) || is_full);
            required.contains(&follower.member) || !is_dropped
        });
    }

    fn start_transfer(
        &mut self,
        now: Instant,
        slot: Slot,
        (member, stint): (Member, MapIdx),
        out: &mut Outbox,
    ) {
        let sid = self.next_sid();
        let ver = self.view.map.slot(slot).ver;
        let replica = self.replica_mut(slot);
        let (epoch, generation) = (replica.promised, replica.generation);
        let Some(primary) = &mut replica.primary else { return };
        let transfer = Transfer { member, stint, sid, cursor: None, parts: 0, progress_at: now };
        if primary.transfers.try_push(transfer).is_err() {
            return;
        }
        let body = Body::TransferStart { epoch, generation, sid, ver, stint };
        out.messages.push((member, Message { slot, body }));
    }

    /// Sends entries of one transfer while there are bytes left for it.
    fn go_on(
        &mut self,
        now: Instant,
        (slot, idx): (Slot, usize),
        len_left: &mut usize,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let Some(primary) = &mut self.replica_mut(slot).primary else { return };
        let transfer = &mut primary.transfers[idx];
        let (member, sid) = (transfer.member, transfer.sid);
        for _ in 0..STEPS_MAX {
            if *len_left == 0 {
                return;
            }
            transfer.progress_at = now;
            let next = store.scan(slot, transfer.cursor, &mut |effect| {
                *len_left = len_left.saturating_sub(effect.len());
                transfer.parts += 1;
                let body = Body::TransferPart { sid, number: transfer.parts, effect };
                out.messages.push((member, Message { slot, body }));
            });
            transfer.cursor = next;
            if next.is_none() {
                return self.finish_transfer(now, (slot, idx), store, out);
            }
        }
    }

    /// Ends a transfer: the member follows from the commit on.
    fn finish_transfer(
        &mut self,
        now: Instant,
        (slot, idx): (Slot, usize),
        store: &impl SlotStore,
        out: &mut Outbox,
    ) {
        let replica = self.replica_mut(slot);
        let commit = replica.commit;
        let Some(base) = replica.tail.at(commit) else { return };
        let tail = match without(Rule::TransferTail) {
            false => replica.tail.after(commit, usize::MAX),
            true => Vec::new(),
        };
        let Some(primary) = &mut replica.primary else { return };
        let Transfer { member, stint, sid, parts, .. } = primary.transfers.remove(idx);
        primary.followers.push(Follower {
            member,
            sid,
            stint,
            next: Seq(commit.0 + tail.len() as u64).next(),
            matched: commit,
            told: commit,
            is_synced: false,
            sent_at: now,
            answered_at: now,
        });
        let stamp = store.stamp(slot);
        let body = Body::TransferDone { sid, number: parts + 1, base, tail, stamp };
        out.messages.push((member, Message { slot, body }));
    }
}

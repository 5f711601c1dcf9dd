//! A slot's primary: how it becomes one, executes, commits, and stops (sections 6.1 to 6.4 and 7).

use std::sync::Arc;

use ringhold_types::id::{Epoch, MapIdx, Member, Seq};
use ringhold_types::slot::Slot;
use ringhold_types::time::Instant;

use super::replica::{Follower, Gated, Phase, Role, TOUCHES_ALL};
use super::{
    Event, Executed, Kept, Outbox, Proposal, Proposals, RESEND_AFTER, Refused, Release, Replicas,
    SlotStore, Ticket, Want,
};
use crate::map::Config;
use crate::message::{Body, Message, Operation, Position};
use crate::mutants::{Rule, without};

/// The most bytes of operations that one message carries; a single longer one goes alone.
const MESSAGE_LEN_MAX: usize = 256 << 10;

impl Replicas {
    /// Acts on a changed configuration of `slot`: in the map that was acted on before it was `old`.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        (slot, old): (Slot, &Config),
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let map = self.map();
        let config = map.slot(slot);
        if old.ver != config.ver
            && let Some(primary) = &mut self.replica_mut(slot).primary
        {
            primary.pending_add.clear();
            primary.want = None;
        }
        if config.epoch != old.epoch {
            self.raise_fence(slot, old, config);
        }
        let me = self.view.me;
        let is_in_sync = config.isr.contains(&me);
        if self.replica(slot).is_void {
            let is_over = !is_in_sync || config.generation != self.replica(slot).generation;
            self.promise(slot, config.epoch);
            if !is_over {
                self.wake(slot);
                return;
            }
            self.replica_mut(slot).is_void = false;
        }
        if config.primary == Some(me) && config.epoch > self.replica(slot).promised {
            self.become_primary(now, slot, config, store, out);
        } else if config.primary == Some(me) && self.replica(slot).primary.is_some() {
            self.go_on_as_primary(now, slot, config, store, out);
        } else {
            self.follow_map(slot, config, store, out);
        }
    }

    /// What was granted to primaries before this epoch must run out before this member serves (section 7.1).
    fn raise_fence(&mut self, slot: Slot, old: &Config, config: &Config) {
        let leases = &self.view.leases;
        let is_one_step = config.epoch == old.epoch.next();
        let is_proven = old.primary.is_none_or(|primary| self.view.map.is_proven_dead(primary));
        let until = match old.primary {
            _ if !is_one_step => leases.granted_until_max(),
            Some(primary) if !config.is_clean && !is_proven => leases.granted_until(primary.node),
            _ => Instant(0),
        };
        let replica = self.replica_mut(slot);
        replica.fence_until = replica.fence_until.max(until);
    }

    fn become_primary(
        &mut self,
        now: Instant,
        slot: Slot,
        config: &Config,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        self.step_down(slot, out);
        let is_reset = self.replica(slot).generation != config.generation;
        if is_reset {
            self.replica_mut(slot).forget();
            self.replica_mut(slot).generation = config.generation;
            store.clear(slot);
        } else if self.replica(slot).role != Role::Backup {
            // A5: the map says that this member holds everything, and it does not.
            self.promise(slot, config.epoch);
            return self.void(slot, "A5", store, out);
        }
        let replica = self.replica_mut(slot);
        replica.promised = config.epoch;
        replica.follows = None;
        replica.is_full = false;
        replica.role = Role::Primary(Phase::Fence);
        replica.primary = Some(Box::default());
        store.set_kept(slot, Kept::Primary);
        self.wake(slot);
        self.advance(now, slot, store, out);
    }

    fn go_on_as_primary(
        &mut self,
        now: Instant,
        slot: Slot,
        config: &Config,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let required = self.required(slot);
        let replica = self.replica_mut(slot);
        let Some(primary) = &mut replica.primary else { return };
        primary.gave_up.retain(|member| config.isr.contains(member));
        let is_listed = |member: Member, stint: Option<MapIdx>| {
            required.contains(&member) || stint.is_some() && config.stint_of(member) == stint
        };
        let ends = |member: Member, stint: MapIdx| {
            !without(Rule::Stints) && !is_listed(member, Some(stint))
        };
        primary.transfers.retain(|transfer| !ends(transfer.member, transfer.stint));
        primary.followers.retain(|follower| {
            required.contains(&follower.member)
                || config
                    .stint_of(follower.member)
                    .is_some_and(|stint| follower.stint == stint || without(Rule::Stints))
        });
        if let Role::Primary(Phase::Quiesce(to)) = replica.role
            && !config.isr.contains(&to)
        {
            replica.role = Role::Primary(Phase::Serving);
            out.events.push(Event::Ready { slot });
        }
        self.wake(slot);
        self.advance(now, slot, store, out);
        self.try_commit(slot, out);
    }

    /// Gives up being primary: what was executed and not acknowledged is in doubt, what was not executed goes elsewhere.
    pub(super) fn step_down(&mut self, slot: Slot, out: &mut Outbox) {
        let replica = self.replica_mut(slot);
        let Some(primary) = replica.primary.take() else { return };
        replica.role = Role::Backup;
        replica.follows = None;
        for gated in primary.gated {
            let release = match gated.is_write {
                true if !without(Rule::InDoubt) => Release::InDoubt,
                _ => Release::NotExecuted,
            };
            out.events.push(Event::Release { ticket: gated.ticket, release });
        }
        out.events.push(Event::Deposed { slot });
    }

    /// Goes from the fence to the making equal of logs, and from there to serving, as far as it is due.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        slot: Slot,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let fence_until = self.replica(slot).fence_until;
        let is_due = now > fence_until || without(Rule::Fence);
        if self.replica(slot).role == Role::Primary(Phase::Fence) && is_due {
            self.replica_mut(slot).role = Role::Primary(Phase::Sync);
            for member in self.required(slot) {
                self.open_session(now, slot, member, out);
            }
        }
        if self.replica(slot).role != Role::Primary(Phase::Sync) {
            return;
        }
        let required = self.required(slot);
        let replica = self.replica_mut(slot);
        let last = replica.tail.last().seq;
        let Some(primary) = &replica.primary else { return };
        let is_equal = |member: &Member| {
            let follower = primary.followers.iter().find(|follower| follower.member == *member);
            follower.is_some_and(|follower| {
                follower.is_synced && (follower.matched == last || without(Rule::LongestLog))
            })
        };
        if required.iter().all(is_equal) {
            replica.role = Role::Primary(Phase::Serving);
            replica.commit = last;
            replica.trim();
            store.set_kept(slot, Kept::Primary);
            out.events.push(Event::Ready { slot });
        }
    }

    fn open_session(&mut self, now: Instant, slot: Slot, member: Member, out: &mut Outbox) {
        let sid = self.next_sid();
        let commit = self.replica(slot).commit;
        let Some(primary) = &mut self.replica_mut(slot).primary else { return };
        primary.followers.retain(|follower| follower.member != member);
        primary.followers.push(Follower {
            member,
            sid,
            stint: MapIdx(0),
            next: commit.next(),
            matched: commit,
            told: Seq(0),
            is_synced: false,
            sent_at: now,
            answered_at: now,
        });
        self.send_sync(slot, (member, sid), out);
    }

    fn send_sync(&self, slot: Slot, (member, sid): (Member, u64), out: &mut Outbox) {
        let replica = self.replica(slot);
        let (epoch, generation) = (replica.promised, replica.generation);
        let body = Body::Sync { epoch, generation, sid, ver: self.view.map.slot(slot).ver };
        out.messages.push((member, Message { slot, body }));
    }

    /// Whether another member has, or is being given, a copy of `slot` from this primary. While nobody is, there is
    /// nobody to tell what was executed, and nothing has to be appended.
    #[must_use]
    pub fn is_followed(&self, slot: Slot) -> bool {
        let Some(primary) = &self.replica(slot).primary else { return false };
        !primary.followers.is_empty()
            || !primary.transfers.is_empty()
            || !self.required(slot).is_empty()
    }

    /// Takes an operation that was executed and applied to the store into the slot's order; it is sent with the next
    /// [`Replicas::flush`].
    ///
    /// # Panics
    ///
    /// Unless this member is the slot's primary: nobody else executes.
    pub fn append(&mut self, slot: Slot, executed: Executed<'_>, out: &mut Outbox) -> Seq {
        let is_alone = self.required(slot).is_empty();
        let replica = self.replica_mut(slot);
        let epoch = replica.promised;
        let effect = executed.effect;
        let primary = replica.primary.as_mut().expect("only a primary executes");
        primary.stamp = executed.stamp;
        for transfer in &mut primary.transfers {
            transfer.parts += 1;
            let (sid, number) = (transfer.sid, transfer.parts);
            let body = Body::TransferPart { sid, number, effect: Arc::clone(effect) };
            out.messages.push((transfer.member, Message { slot, body }));
        }
        let is_kept = !is_alone || !primary.followers.is_empty();
        let seq = replica.tail.last().seq.next();
        replica.tail.push(Operation { epoch, effect: Arc::clone(effect) }, executed.touched);
        if is_kept {
            self.unsent.insert(slot);
            self.wake(slot);
        } else {
            // Nobody else holds this slot.
            replica.commit = seq;
            replica.tail.trim(seq);
        }
        seq
    }

    /// Sends what was appended since the last call: once for all that a batch of requests did.
    pub fn flush(&mut self, now: Instant, out: &mut Outbox) {
        for slot in std::mem::take(&mut self.unsent) {
            self.send_operations(now, slot, out);
        }
    }

    /// What a reply about `keys` (hashes as in [`Replicas::append`]; 0 among them: about the whole slot) has to wait
    /// for: the last operation on one of them that is not committed. `None`: it may leave.
    #[inline]
    #[must_use]
    pub fn gate(&self, slot: Slot, keys: &[u64]) -> Option<Seq> {
        let replica = self.replica(slot);
        if replica.commit == replica.tail.last().seq || without(Rule::OutputGate) {
            return None;
        }
        replica.tail.last_touching(keys).filter(|&seq| seq > replica.commit)
    }

    /// Has a reply wait until `gate` is committed; how it leaves is told by [`Event::Release`]. A gate that is committed
    /// releases it at once.
    pub fn wait(
        &mut self,
        slot: Slot,
        gate: Seq,
        (ticket, is_write): (Ticket, bool),
        out: &mut Outbox,
    ) {
        let replica = self.replica_mut(slot);
        let is_through = gate <= replica.commit || without(Rule::OutputGate);
        match &mut replica.primary {
            Some(primary) if !is_through => {
                // A read of an old operation overtakes nothing that waits for an older one.
                let at = primary.gated.partition_point(|gated| gated.gate <= gate);
                primary.gated.insert(at, Gated { gate, ticket, is_write });
                self.wake(slot);
            }
            _ => out.events.push(Event::Release { ticket, release: Release::Done }),
        }
    }

    /// Takes a reply that waits out of the queue: its time is over. Whether it was there.
    pub fn give_up(&mut self, slot: Slot, ticket: Ticket) -> bool {
        let Some(primary) = &mut self.replica_mut(slot).primary else { return false };
        let before = primary.gated.len();
        primary.gated.retain(|gated| gated.ticket != ticket);
        primary.gated.len() < before
    }

    /// Sends each follower that has answered what it was not sent yet.
    pub(super) fn send_operations(&mut self, now: Instant, slot: Slot, out: &mut Outbox) {
        let replica = self.replica_mut(slot);
        let (epoch, commit, last) = (replica.promised, replica.commit, replica.tail.last().seq);
        let Some(primary) = &mut replica.primary else { return };
        for follower in primary.followers.iter_mut().filter(|follower| follower.is_synced) {
            while follower.next <= last {
                let before = follower.next.before();
                let Some(prev) = replica.tail.at(before) else { break };
                let operations = replica.tail.after(before, MESSAGE_LEN_MAX);
                follower.next = Seq(follower.next.0 + operations.len() as u64);
                follower.told = commit;
                follower.sent_at = now;
                let (sid, stamp) = (follower.sid, primary.stamp);
                let body = Body::Replicate { epoch, sid, prev, operations, commit, stamp };
                out.messages.push((follower.member, Message { slot, body }));
            }
        }
    }

    /// Moves the commit as far as every required member is, and lets go the replies that waited for it.
    pub(super) fn try_commit(&mut self, slot: Slot, out: &mut Outbox) {
        let required = self.required(slot);
        let replica = self.replica_mut(slot);
        if !matches!(replica.role, Role::Primary(Phase::Serving | Phase::Quiesce(_))) {
            return;
        }
        let Some(primary) = &mut replica.primary else { return };
        let matched = |member: &Member| {
            let follower = primary.followers.iter().find(|follower| follower.member == *member);
            follower
                .filter(|follower| follower.is_synced)
                .map_or(Seq(0), |follower| follower.matched)
        };
        let commit = required.iter().map(matched).fold(replica.tail.last().seq, Seq::min);
        replica.commit = replica.commit.max(commit);
        while let Some(gated) = primary.gated.front().filter(|gated| gated.gate <= replica.commit) {
            let (ticket, release) = (gated.ticket, Release::Done);
            out.events.push(Event::Release { ticket, release });
            primary.gated.pop_front();
        }
        let was_full = replica.is_tail_full();
        replica.trim();
        if was_full && !replica.is_tail_full() {
            out.events.push(Event::Ready { slot });
        }
    }

    /// A backup follows, and says how far its log goes.
    pub(super) fn on_sync_ack(
        &mut self,
        now: Instant,
        (slot, from): (Slot, Member),
        (epoch, sid, last): (Epoch, u64, Position),
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let replica = self.replica_mut(slot);
        if epoch != replica.promised || replica.role != Role::Primary(Phase::Sync) {
            return;
        }
        let (mine, commit) = (replica.tail.last(), replica.commit);
        let Some(follower) = replica.follower(from, sid).filter(|follower| !follower.is_synced)
        else {
            return;
        };
        if last.seq > mine.seq && !without(Rule::LongestLog) {
            if last.epoch < mine.epoch {
                return self.void(slot, "A3", store, out);
            }
            let body = Body::Fetch { epoch, sid, from: mine.seq.next() };
            return out.messages.push((from, Message { slot, body }));
        }
        let matched = last.seq.min(mine.seq);
        follower.next = matched.next();
        follower.matched = matched;
        follower.is_synced = true;
        follower.sent_at = now;
        if last.seq < commit && !without(Rule::LongestLog) {
            return self.void(slot, "A2", store, out);
        }
        let is_equal = self.replica(slot).tail.at(matched) == Some(last);
        if !is_equal && !without(Rule::LongestLog) {
            return self.void(slot, "A1", store, out);
        }
        self.send_operations(now, slot, out);
        self.advance(now, slot, store, out);
    }

    /// A backup sends what this new primary lacked.
    pub(super) fn on_fetched(
        &mut self,
        now: Instant,
        (slot, from): (Slot, Member),
        ((epoch, sid, first), operations): ((Epoch, u64, Seq), Vec<Operation>),
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let replica = self.replica_mut(slot);
        let is_expected = epoch == replica.promised
            && replica.role == Role::Primary(Phase::Sync)
            && replica.follower(from, sid).is_some()
            && first == replica.tail.last().seq.next();
        if !is_expected {
            return;
        }
        for operation in operations {
            match store.apply(slot, &operation.effect) {
                Ok(()) => self.replica_mut(slot).tail.push(operation, TOUCHES_ALL),
                // Asked for again with the next tick, when there may be room.
                Err(Refused::NoRoom) => break,
                Err(Refused::Malformed) => return self.void(slot, "A1", store, out),
            }
        }
        self.send_operations(now, slot, out);
        self.send_sync(slot, (from, sid), out);
    }

    /// A backup has everything up to `seq`.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        (slot, from): (Slot, Member),
        (epoch, sid, seq): (Epoch, u64, Seq),
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let replica = self.replica_mut(slot);
        let last = replica.tail.last().seq;
        if epoch != replica.promised || replica.primary.is_none() {
            return;
        }
        let Some(follower) = replica.follower(from, sid) else { return };
        let is_first = !follower.is_synced && follower.stint != MapIdx(0);
        if is_first {
            // It was filled, and follows from here on.
            follower.is_synced = true;
            follower.next = seq.min(last).next();
        }
        if follower.is_synced {
            follower.matched = follower.matched.max(seq.min(last));
        }
        follower.answered_at = now;
        if follower.matched < last {
            // What is on its way has its time from here on.
            follower.sent_at = now;
        }
        if is_first {
            self.send_operations(now, slot, out);
            self.wake(slot);
        }
        self.try_commit(slot, out);
        self.advance(now, slot, store, out);
    }

    /// A backup lacks something before what it was sent.
    pub(super) fn on_gap(
        &mut self,
        now: Instant,
        (slot, from): (Slot, Member),
        (epoch, sid, last): (Epoch, u64, Seq),
        out: &mut Outbox,
    ) {
        let replica = self.replica_mut(slot);
        if epoch != replica.promised || replica.primary.is_none() {
            return;
        }
        let Some(follower) = replica.follower(from, sid).filter(|follower| follower.is_synced)
        else {
            return;
        };
        follower.next = last.max(follower.matched).next().min(follower.next);
        self.send_operations(now, slot, out);
    }

    /// Another member has promised a later epoch.
    pub(super) fn on_stale(
        &mut self,
        slot: Slot,
        promised: Epoch,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        if promised > self.replica(slot).promised && self.replica(slot).primary.is_some() {
            self.step_down(slot, out);
            store.set_kept(slot, Kept::Backup);
        }
    }

    /// A backup has no room for more; it is removed as planned.
    pub(super) fn on_gave_up(&mut self, (slot, from): (Slot, Member), sid: u64) {
        let replica = self.replica_mut(slot);
        if replica.follower(from, sid).is_none() {
            return;
        }
        let Some(primary) = &mut replica.primary else { return };
        if !primary.gave_up.contains(&from) && primary.gave_up.try_push(from).is_ok() {
            self.wake(slot);
        }
    }

    /// Takes what the metadata leader wants of `slot` in the configuration `ver`.
    pub fn want(&mut self, slot: Slot, ver: MapIdx, want: Want) {
        if self.view.map.slot(slot).ver != ver {
            return;
        }
        if let Some(primary) = &mut self.replica_mut(slot).primary {
            primary.want = Some((ver, want));
            self.wake(slot);
        }
    }

    /// The connection to `member` was lost, and with it what was on its way: it is sent again at once.
    pub fn reconnected(&mut self, now: Instant, member: Member, out: &mut Outbox) {
        let mut busy = Vec::new();
        self.agenda.busy().list(&mut busy);
        for idx in busy {
            let slot = self.slot_at(idx);
            let epoch = self.replica(slot).promised;
            let Some(primary) = &mut self.replica_mut(slot).primary else { continue };
            primary.transfers.retain(|transfer| transfer.member != member);
            let mut unsynced = None;
            for follower in primary.followers.iter_mut().filter(|other| other.member == member) {
                follower.next = follower.matched.next();
                unsynced = (!follower.is_synced).then_some(follower.sid);
            }
            if let Some(sid) = unsynced.filter(|_| epoch > Epoch(0)) {
                self.send_sync(slot, (member, sid), out);
            }
            self.send_operations(now, slot, out);
        }
    }

    /// Does what time brings for a slot that this member is primary of.
    pub(super) fn tick_primary(
        &mut self,
        now: Instant,
        slot: Slot,
        transfer_len: &mut usize,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        self.advance(now, slot, store, out);
        if self.replica(slot).role == Role::Primary(Phase::Sync) {
            self.ask_again(now, slot, out);
        }
        self.send_again(now, slot, store, out);
        self.begin_quiesce(slot);
        let is_moving = !self.view.map.slot(slot).filling.is_empty()
            || self.replica(slot).primary.as_ref().is_some_and(|it| !it.transfers.is_empty());
        if let (Role::Primary(Phase::Serving | Phase::Quiesce(_)), true) =
            (self.replica(slot).role, is_moving)
        {
            self.tick_transfers(now, slot, transfer_len, store, out);
        }
    }

    /// Opens sessions that are missing, and asks those that have not answered once more.
    fn ask_again(&mut self, now: Instant, slot: Slot, out: &mut Outbox) {
        for member in self.required(slot) {
            let Some(primary) = &mut self.replica_mut(slot).primary else { return };
            match primary.followers.iter_mut().find(|follower| follower.member == member) {
                None => self.open_session(now, slot, member, out),
                Some(follower)
                    if !follower.is_synced && now.since(follower.sent_at) >= RESEND_AFTER =>
                {
                    follower.sent_at = now;
                    let sid = follower.sid;
                    self.send_sync(slot, (member, sid), out);
                }
                Some(_) => {}
            }
        }
    }

    /// Sends again what was not answered, and tells the commit to those who have everything and do not know it.
    fn send_again(&mut self, now: Instant, slot: Slot, store: &impl SlotStore, out: &mut Outbox) {
        let replica = self.replica_mut(slot);
        let (epoch, commit, last) = (replica.promised, replica.commit, replica.tail.last());
        let Some(primary) = &mut replica.primary else { return };
        let mut is_behind = false;
        for follower in primary.followers.iter_mut().filter(|follower| follower.is_synced) {
            if now.since(follower.sent_at) < RESEND_AFTER {
                continue;
            }
            if follower.matched < last.seq {
                follower.next = follower.matched.next();
                is_behind = true;
            } else if follower.told < commit {
                follower.told = commit;
                let (sid, stamp) = (follower.sid, store.stamp(slot));
                let (prev, operations) = (last, Vec::new());
                let body = Body::Replicate { epoch, sid, prev, operations, commit, stamp };
                out.messages.push((follower.member, Message { slot, body }));
            }
        }
        if is_behind {
            self.send_operations(now, slot, out);
        }
    }

    /// Stops executing, when the metadata leader wants a successor that is in sync.
    fn begin_quiesce(&mut self, slot: Slot) {
        let config = self.view.map.slot(slot);
        let ver = config.ver;
        let wanted = self.replica(slot).primary.as_ref().and_then(|primary| primary.want);
        if let Some((of, Want::HandOver { to })) = wanted
            && of == ver
            && config.isr.contains(&to)
            && to != self.view.me
            && self.replica(slot).role == Role::Primary(Phase::Serving)
        {
            self.replica_mut(slot).role = Role::Primary(Phase::Quiesce(to));
        }
    }

    /// Whether the next tick has something to do.
    pub(super) fn has_work(&self, slot: Slot) -> bool {
        let replica = self.replica(slot);
        let Some(primary) = &replica.primary else { return false };
        let last = replica.tail.last().seq;
        let is_told = |follower: &Follower| {
            follower.is_synced && follower.matched == last && follower.told == replica.commit
        };
        let config = self.view.map.slot(slot);
        replica.role != Role::Primary(Phase::Serving)
            || !primary.followers.iter().all(is_told)
            || !primary.gated.is_empty()
            || !primary.transfers.is_empty()
            || !primary.gave_up.is_empty()
            || primary.want.is_some()
            || !config.filling.is_empty()
    }

    /// Adds what the primary of `slot` asks of the metadata.
    pub(super) fn propose_of_primary(
        &mut self,
        now: Instant,
        slot: Slot,
        proposals: &mut Proposals,
    ) {
        let map = self.map();
        let config = map.slot(slot);
        let replicas = usize::from(self.view.map.settings.replicas);
        let replica = self.replica(slot);
        let Some(primary) = &replica.primary else { return };
        let last = replica.tail.last().seq;
        let mut propose = |proposal| proposals.entry(proposal).or_default().insert(slot);
        if let Role::Primary(Phase::Quiesce(to)) = replica.role
            && replica.commit == last
            && config.isr.contains(&to)
        {
            propose(Proposal::HandOver { to });
        }
        for victim in primary.gave_up.iter().filter(|member| config.isr.contains(member)) {
            propose(Proposal::Remove { victim: *victim });
        }
        if let Some((ver, Want::Remove { victim })) = primary.want
            && ver == config.ver
            && config.isr.contains(&victim)
            && victim != self.view.me
            && config.isr.len() > replicas
        {
            propose(Proposal::Remove { victim });
        }
        if replica.role != Role::Primary(Phase::Serving) {
            return;
        }
        let leases = Arc::clone(&self.view.leases);
        let ready: Vec<(Member, MapIdx)> = primary
            .followers
            .iter()
            .filter(|follower| follower.is_synced && follower.matched == last)
            .filter(|follower| config.stint_of(follower.member) == Some(follower.stint))
            .filter(|follower| now < leases.held_until(follower.member))
            .map(|follower| (follower.member, follower.stint))
            .collect();
        let pending = primary.pending_add.clone();
        // Proposed once, it is required until the configuration changes, whether it has everything again or not.
        let again = config.filling.iter().filter(|filling| pending.contains(&filling.member));
        let again: Vec<_> = again.map(|filling| (filling.member, filling.stint)).collect();
        let Some(primary) = &mut self.replica_mut(slot).primary else { return };
        for (who, stint) in ready.into_iter().chain(again) {
            if !primary.pending_add.contains(&who) && primary.pending_add.try_push(who).is_err() {
                continue;
            }
            proposals.entry(Proposal::Add { who, stint }).or_default().insert(slot);
        }
    }
}

//! The copies of the slots of one shard: who orders their operations, who follows, who is being filled.
//!
//! [`Replicas`] is the replication state of every slot of a shard. It is given views of the map, messages of other
//! members and the time; it is asked whether an operation may be executed ([`Replicas::may_write`],
//! [`Replicas::may_read`]), told what was executed ([`Replicas::append`]), and says when the answer may leave
//! ([`Event::Release`]). The data itself is the [`SlotStore`]'s.
//!
//! ```text
//!             a transfer begins            it ends
//!    Idle ───────────────────▶ Filling ─────────────▶ Backup ◀──────────────────┐
//!     ▲                           │ a hole, a newer map  │ the map names it       │ the map names another
//!     └───────────────────────────┴──────────────────────┤ primary                │
//!       a map without it                                 ▼                        │
//!                               Primary: Fence ─▶ Sync ─▶ Serving ─▶ Quiesce ─────┘
//! ```
//!
//! The log rule that all rests on: the logs of a slot's in-sync members are prefixes of one another, and the shortest
//! has everything that was ever acknowledged. (docs/design/replication.md, sections 5 to 9)
//!
//! Invariants: `promised`, `commit` and the map's index never decrease; the kept operations begin at or before `commit`;
//! only a primary has followers, transfers and waiting replies.

mod agenda;
mod backup;
mod primary;
mod replica;
mod transfer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrayvec::ArrayVec;
use ringhold_types::id::{Epoch, MapIdx, Member, Seq};
use ringhold_types::slot::{SLOTS, Slot};
use ringhold_types::time::{Duration, Instant};

use crate::map::{FILLING_MAX, ISR_MAX, Map};
use crate::message::{Body, Message, Stamp};
use crate::mutants::{Rule, without};
use crate::slots::SlotSet;
use crate::view::View;
use agenda::{Agenda, Next};
use replica::{Follower, Replica};
pub use replica::{Phase, Role};

/// Unanswered operations are sent again after this.
pub const RESEND_AFTER: Duration = Duration::from_millis(60);
/// A transfer that makes no progress for so long begins anew.
pub const TRANSFER_STALL: Duration = Duration::from_millis(1500);
/// The most operations of a slot that wait for their commit; with more, writes wait.
pub const TAIL_COUNT_MAX: usize = 4096;
/// The most bytes of a slot's operations that wait for their commit; a single larger one passes alone.
pub const TAIL_LEN_MAX: usize = 4 << 20;

/// The members whose acknowledgement a primary needs, and whose lease.
pub(crate) type Required = ArrayVec<Member, { ISR_MAX + FILLING_MAX }>;

/// Where the data of the slots is.
pub trait SlotStore {
    /// Does what the operation does, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Refused`]: why it was not done.
    fn apply(&mut self, slot: Slot, effect: &[u8]) -> Result<(), Refused>;

    /// Forgets everything of a slot.
    fn clear(&mut self, slot: Slot);

    /// Says what a slot's data is now kept for.
    fn set_kept(&mut self, slot: Slot, kept: Kept);

    /// Hands out the entries of a slot from `cursor` on, a bounded number of them, as effects that make them; where to
    /// go on, or `None` when that was the last. An entry that is there from the first call to the last is handed out.
    fn scan(
        &mut self,
        slot: Slot,
        cursor: Option<u64>,
        emit: &mut dyn FnMut(Arc<[u8]>),
    ) -> Option<u64>;

    /// The slot's clocks.
    fn stamp(&self, slot: Slot) -> Stamp;

    /// The slot's clocks must not be behind these from now on.
    fn observe(&mut self, slot: Slot, stamp: Stamp);
}

/// What a slot's data is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// To serve it; what expires or must make room is removed by this node.
    Primary,
    /// To follow; only the primary's operations change it.
    Backup,
    /// Nothing.
    Nothing,
}

/// Why a store did not apply an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room for it.
    NoRoom,
    /// Its bytes are no operation.
    Malformed,
}

/// An operation that was executed and applied to the store.
#[derive(Clone, Copy, Debug)]
pub struct Executed<'a> {
    /// What it did.
    pub effect: &'a Arc<[u8]>,
    /// A hash of the key that it touched; 0: it touched more than one.
    pub touched: u64,
    /// The slot's clocks after it.
    pub stamp: Stamp,
}

/// What a caller gives a reply that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How a reply that waited leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// As it is.
    Done,
    /// It was of a write, which may have happened or not.
    InDoubt,
    /// It was of a request that changed nothing, which may be sent elsewhere.
    NotExecuted,
}

/// What happened to a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A reply that waited may leave.
    Release {
        /// Which one.
        ticket: Ticket,
        /// How.
        release: Release,
    },
    /// Requests that were held may be tried again.
    Ready {
        /// Where.
        slot: Slot,
    },
    /// This member is no longer the primary: requests that are held go elsewhere.
    Deposed {
        /// Where.
        slot: Slot,
    },
    /// A check failed that never should; this copy is void.
    Void {
        /// Where.
        slot: Slot,
        /// Which check: A1 to A7 of section 16.
        check: &'static str,
    },
}

/// What a shard wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be sent, in this order for each member and slot.
    pub messages: Vec<(Member, Message)>,
    /// To be acted on by whoever holds the requests.
    pub events: Vec<Event>,
}

/// What a shard asks of the metadata, each for some slots; said again with each tick until its effect is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proposal {
    /// The member was filled in this stint, and is in sync.
    Add {
        /// The member.
        who: Member,
        /// The stint.
        stint: MapIdx,
    },
    /// The primary has stopped serving for this successor.
    HandOver {
        /// The successor.
        to: Member,
    },
    /// The backup gave up or moves away.
    Remove {
        /// The backup.
        victim: Member,
    },
    /// This member's copy is void.
    Resign,
}

/// Proposals and the slots each is for.
pub type Proposals = BTreeMap<Proposal, SlotSet>;

/// What the metadata leader wants of a slot's primary while slots move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// That it hands over.
    HandOver {
        /// To whom.
        to: Member,
    },
    /// That it goes on without a backup.
    Remove {
        /// Which one.
        victim: Member,
    },
}

crate::codec::encoded_enum!(Want, "wish" { 0 => HandOver { to }, 1 => Remove { victim } });

/// Why a request is not executed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Another member is the slot's primary, as far as is known here; `None`: nobody is.
    Elsewhere(Option<Member>),
    /// Soon: the primary is not ready yet, or waits for a lease.
    Held,
    /// The slot has fewer in-sync copies than writes need.
    TooFewCopies,
}

/// The replication state of the slots of one shard.
#[derive(Debug)]
pub struct Replicas {
    view: Arc<View>,
    shard: usize,
    shards_log2: u32,
    /// Index: slot / shards.
    slots: Vec<Replica>,
    /// The last session opened from here.
    sid: u64,
    /// Slots with something to do.
    agenda: Agenda,
    /// Slots with operations that were not sent yet.
    unsent: BTreeSet<Slot>,
}

impl Replicas {
    /// The slots of shard `shard` of `shards` (a power of two): all idle, whatever the view says, until
    /// [`Replicas::set_view`] brings a newer one.
    #[must_use]
    pub fn new(view: Arc<View>, shard: usize, shards: usize) -> Self {
        let slots = usize::from(SLOTS) / shards;
        Self {
            view,
            shard,
            shards_log2: shards.trailing_zeros(),
            slots: (0..slots).map(|_| Replica::default()).collect(),
            sid: 0,
            agenda: Agenda::new(slots),
            unsent: BTreeSet::new(),
        }
    }

    /// What it acts on.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// What this member is to `slot`, a slot of this shard.
    #[must_use]
    pub fn role(&self, slot: Slot) -> Role {
        self.replica(slot).role
    }

    /// The last operation of `slot` here.
    #[must_use]
    pub fn last(&self, slot: Slot) -> Seq {
        self.replica(slot).tail.last().seq
    }

    /// Every in-sync member of `slot` has everything up to here, as far as is known.
    #[must_use]
    pub fn commit(&self, slot: Slot) -> Seq {
        self.replica(slot).commit
    }

    /// How many slots have something to do at the next tick.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.agenda.busy().len()
    }

    /// Whether `slot` is one of this shard.
    #[must_use]
    pub fn has(&self, slot: Slot) -> bool {
        slot.index() & ((1 << self.shards_log2) - 1) == self.shard
    }

    fn replica(&self, slot: Slot) -> &Replica {
        &self.slots[slot.index() >> self.shards_log2]
    }

    fn replica_mut(&mut self, slot: Slot) -> &mut Replica {
        &mut self.slots[slot.index() >> self.shards_log2]
    }

    /// The slot of this index in `slots`.
    fn slot_at(&self, idx: usize) -> Slot {
        let number = u16::try_from(idx << self.shards_log2 | self.shard).ok();
        number.and_then(Slot::new).expect("the index is one of a slot")
    }

    /// Something has happened to `slot`: the next tick looks at it.
    fn wake(&mut self, slot: Slot) {
        self.agenda.wake(slot.index() >> self.shards_log2);
    }

    fn map(&self) -> Arc<Map> {
        Arc::clone(&self.view.map)
    }

    /// Acts on a newer view. Once it returns, the slots of this shard act on nothing older.
    pub fn set_view(
        &mut self,
        now: Instant,
        view: Arc<View>,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let old = std::mem::replace(&mut self.view, view);
        if self.view.map.idx < old.map.idx {
            self.view = old;
            return;
        }
        let map = Arc::clone(&self.view.map);
        let shard = (self.shard, self.shards_log2);
        for slot in map.changed_of_shard(&old.map, shard) {
            self.configure(now, (slot, old.map.slot(slot)), store, out);
        }
    }

    /// Takes a message of another member.
    pub fn receive(
        &mut self,
        now: Instant,
        (from, message): (Member, Message),
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        let slot = message.slot;
        if !self.has(slot) || self.replica(slot).is_void {
            return;
        }
        let at = (slot, from);
        match message.body {
            Body::Sync { epoch, generation, sid, ver } => {
                let session = backup::Session { epoch, generation, sid, ver };
                self.on_sync(at, session, store, out);
            }
            Body::SyncAck { epoch, sid, last } => {
                self.on_sync_ack(now, at, (epoch, sid, last), store, out);
            }
            Body::Fetch { epoch, sid, from } => self.on_fetch(at, (epoch, sid, from), store, out),
            Body::Fetched { epoch, sid, from, operations } => {
                self.on_fetched(now, at, ((epoch, sid, from), operations), store, out);
            }
            Body::Replicate { epoch, sid, prev, operations, commit, stamp } => {
                let head = backup::Head { epoch, sid, prev, commit, stamp };
                self.on_replicate(at, head, operations, store, out);
            }
            Body::Ack { epoch, sid, seq } => self.on_ack(now, at, (epoch, sid, seq), store, out),
            Body::Gap { epoch, sid, last } => self.on_gap(now, at, (epoch, sid, last), out),
            Body::Stale { promised } => self.on_stale(slot, promised, store, out),
            Body::TransferStart { epoch, generation, sid, ver, stint } => {
                let session = backup::Session { epoch, generation, sid, ver };
                self.on_transfer_start(at, session, stint, store, out);
            }
            Body::TransferPart { sid, number, effect } => {
                self.on_transfer_part(at, (sid, number), &effect, store, out);
            }
            Body::TransferDone { sid, number, base, tail, stamp } => {
                self.on_transfer_done(at, (sid, number), (base, tail, stamp), store, out);
            }
            Body::GaveUp { sid } => self.on_gave_up(at, sid),
        }
    }

    /// Does what time brings: the end of fences, what must be sent again, a part of the transfers: at most
    /// `transfer_len` bytes of them, which it takes off. To be called every 10 ms.
    pub fn tick(
        &mut self,
        now: Instant,
        transfer_len: &mut usize,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        for idx in self.agenda.due(now) {
            let slot = self.slot_at(idx);
            if self.replica(slot).is_void {
                let is_listed = self.view.map.slot(slot).isr.contains(&self.view.me);
                self.agenda.keep(idx, if is_listed { Next::Turn } else { Next::Nothing });
            } else if self.replica(slot).primary.is_some() {
                self.tick_primary(now, slot, transfer_len, store, out);
                let replica = self.replica(slot);
                if replica.role == Role::Primary(Phase::Fence) {
                    self.agenda.fence(idx, replica.fence_until);
                } else {
                    let next = match self.has_work(slot) {
                        false => Next::Nothing,
                        true if replica.is_urgent() => Next::Tick,
                        true => Next::Turn,
                    };
                    self.agenda.keep(idx, next);
                }
                if self.may_propose(slot) {
                    self.agenda.proposing.insert(idx);
                }
            }
        }
    }

    /// What is asked of the metadata now, added to `proposals`; each is decided on this view's map.
    pub fn propose(&mut self, now: Instant, proposals: &mut Proposals) {
        let mut asking = Vec::new();
        self.agenda.proposing.list(&mut asking);
        for idx in asking {
            let slot = self.slot_at(idx);
            if !self.may_propose(slot) {
                self.agenda.proposing.remove(idx);
            } else if self.replica(slot).is_void {
                proposals.entry(Proposal::Resign).or_default().insert(slot);
            } else {
                self.propose_of_primary(now, slot, proposals);
            }
        }
    }

    /// Whether `slot` is in a state to ask something of the metadata; [`Agenda::wake`] follows each change to one.
    fn may_propose(&self, slot: Slot) -> bool {
        let replica = self.replica(slot);
        if replica.is_void {
            return self.view.map.slot(slot).isr.contains(&self.view.me);
        }
        let Some(primary) = &replica.primary else { return false };
        let config = self.view.map.slot(slot);
        let is_newcomer = |follower: &Follower| {
            follower.is_synced && config.stint_of(follower.member) == Some(follower.stint)
        };
        matches!(replica.role, Role::Primary(Phase::Quiesce(_)))
            || !primary.gave_up.is_empty()
            || matches!(primary.want, Some((_, Want::Remove { .. })))
            || !primary.pending_add.is_empty()
            || primary.followers.iter().any(is_newcomer)
    }

    /// The members whose acknowledgement (and read lease) the primary of `slot` needs: the in-sync set of the newest
    /// map, and every addition it has proposed under this configuration.
    #[must_use]
    pub(crate) fn required(&self, slot: Slot) -> Required {
        let config = self.view.map.slot(slot);
        let mut required: Required =
            config.isr.iter().copied().filter(|member| *member != self.view.me).collect();
        let Some(primary) = &self.replica(slot).primary else { return required };
        for &member in &primary.pending_add {
            if !required.contains(&member) && !without(Rule::PendingAdditions) {
                required.push(member);
            }
        }
        required
    }

    /// Whether a request that may write to `slot` may be executed at `now`, a time read after it was received.
    ///
    /// # Errors
    ///
    /// [`Admission`]: why not, and what to do.
    #[inline]
    pub fn may_write(&self, slot: Slot, now: Instant) -> Result<(), Admission> {
        let replica = self.replica(slot);
        let Role::Primary(phase) = replica.role else {
            let primary = self.view.map.slot(slot).primary;
            return Err(Admission::Elsewhere(primary.filter(|member| *member != self.view.me)));
        };
        if phase != Phase::Serving || !self.has_meta_lease(now) || replica.is_tail_full() {
            return Err(Admission::Held);
        }
        let settings = &self.view.map.settings;
        if self.view.map.slot(slot).isr.len() < usize::from(settings.insync_min) {
            return Err(Admission::TooFewCopies);
        }
        Ok(())
    }

    /// Whether a request that writes nothing may be evaluated for `slot` at `now`, a time read after it was received.
    /// What it saw may be told once [`Replicas::gate`] has passed.
    ///
    /// # Errors
    ///
    /// [`Admission`]: why not, and what to do.
    #[inline]
    pub fn may_read(&self, slot: Slot, now: Instant) -> Result<(), Admission> {
        let Role::Primary(phase) = self.replica(slot).role else {
            let primary = self.view.map.slot(slot).primary;
            return Err(Admission::Elsewhere(primary.filter(|member| *member != self.view.me)));
        };
        if phase != Phase::Serving || !self.has_meta_lease(now) {
            return Err(Admission::Held);
        }
        let holds = |member: &Member| now < self.view.leases.held_until(*member);
        if self.required(slot).iter().all(holds) || without(Rule::ReadLease) {
            Ok(())
        } else {
            Err(Admission::Held)
        }
    }

    fn has_meta_lease(&self, now: Instant) -> bool {
        !self.view.map.settings.is_auto_reset
            || now < self.view.leases.meta_until()
            || without(Rule::MetaLease)
    }

    /// Whether this member serves `slot` and may let expire and evict in it.
    #[must_use]
    pub fn may_remove(&self, slot: Slot, now: Instant) -> bool {
        let is_serving = match self.replica(slot).role {
            Role::Primary(phase) => phase == Phase::Serving || without(Rule::EvictionPhase),
            Role::Idle | Role::Filling(_) | Role::Backup => false,
        };
        is_serving && self.has_meta_lease(now)
    }

    /// Raises the epoch below which nothing is accepted any more.
    fn promise(&mut self, slot: Slot, epoch: Epoch) {
        let replica = self.replica_mut(slot);
        replica.promised = replica.promised.max(epoch);
    }

    /// The next session.
    fn next_sid(&mut self) -> u64 {
        self.sid += 1;
        self.sid
    }

    /// Makes this copy void: a check failed that never should.
    fn void(
        &mut self,
        slot: Slot,
        check: &'static str,
        store: &mut impl SlotStore,
        out: &mut Outbox,
    ) {
        self.step_down(slot, out);
        let replica = self.replica_mut(slot);
        replica.is_void = true;
        replica.role = Role::Idle;
        replica.forget();
        store.clear(slot);
        store.set_kept(slot, Kept::Nothing);
        self.wake(slot);
        out.events.push(Event::Void { slot, check });
    }

    /// Checks what must always hold.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check_invariants(&self) {
        for slot in Slot::all().filter(|&slot| self.has(slot)) {
            let replica = self.replica(slot);
            assert!(replica.tail.base().seq <= replica.commit, "what is kept begins at the commit");
            assert!(replica.commit <= replica.tail.last().seq, "what is committed is there");
            let is_primary = matches!(replica.role, Role::Primary(_));
            assert_eq!(replica.primary.is_some(), is_primary, "only a primary leads");
        }
    }
}

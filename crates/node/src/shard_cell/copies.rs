//! The copies of a shard's slots: what this member executes is told to those that follow, and what it follows is done here.
//!
//! The order of a slot is [`Replicas`]'; the data is the engine's. While an operation of another member is done, the engine
//! removes nothing on its own: room is made beforehand, by operations of this member's own slots.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use ringhold_cluster::heartbeat::GRANT;
use ringhold_cluster::message::{Message, Stamp};
use ringhold_cluster::replication::{
    Admission, Executed, Kept, Outbox, Proposals, Refused, Replicas, SlotStore, Ticket, Want,
};
use ringhold_cluster::view::View;
use ringhold_store::entry::{Change, Decision, Put, Role, Value};
use ringhold_store::hash::HashSeed;
use ringhold_store::shard::Shard;
use ringhold_types::entry::Version;
use ringhold_types::id::{MapIdx, Member, NamespaceId, Seq};
use ringhold_types::slot::Slot;
use ringhold_types::time::{Instant, Now, UnixTime};

use super::{CellLog, Key, Order, ShardCell};
use crate::content_types::ContentTypes;
use crate::effect::{self, Effect, VERSION_MAX, Writer};

/// Bytes of entries that one step of a walk over a slot hands out, but always whole groups of equal fragment.
const SCAN_STEP_LEN: usize = 16 * 1024;
/// A slot's clock that is ahead of the node's loses one part in so many of the time that passes: it never goes back.
const SLEW_PART: u64 = 100;

/// The replication of a shard's slots.
#[derive(Debug)]
pub(super) struct Copied {
    replicas: Replicas,
    /// What it wants done.
    out: Outbox,
    /// The time of the present call.
    now: Instant,
    /// The step that is being executed: its changes are one operation.
    step: Option<Step>,
    clocks: Clocks,
    content_types: Arc<ContentTypes>,
}

/// The clocks of slots, in microseconds since 1970: none goes back when the slot gets another primary (section 6.6).
#[derive(Debug)]
struct Clocks {
    /// The greatest that another primary of a slot has told; index: slot number / shards.
    seen: Box<[u64]>,
    shards_log2: u32,
    /// The slots whose clocks are ahead of the node's.
    ahead: BTreeMap<Slot, Ahead>,
}

/// How far a slot's clock was ahead of the node's, and what the node's said then, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    by: u64,
    at: u64,
}

impl Ahead {
    /// How far it is when the node's clock says `micros`.
    fn left(self, micros: u64) -> u64 {
        self.by.saturating_sub(micros.saturating_sub(self.at) / SLEW_PART)
    }
}

impl Clocks {
    /// What the clock of `slot` says when the node's says `micros`.
    #[inline]
    fn of(&self, slot: Slot, micros: u64) -> u64 {
        if self.ahead.is_empty() {
            return micros;
        }
        micros + self.ahead.get(&slot).map_or(0, |ahead| ahead.left(micros))
    }

    /// Another primary of `slot` has told `clock_us`.
    fn observe(&mut self, slot: Slot, clock_us: u64) {
        let seen = &mut self.seen[slot.index() >> self.shards_log2];
        *seen = clock_us.max(*seen);
    }

    /// This member is primary of `slot` from now on: its clock is past all that an earlier one may have told while it
    /// still had its leases.
    fn take_over(&mut self, slot: Slot, micros: u64) {
        let seen = self.seen[slot.index() >> self.shards_log2];
        let past = seen + u64::try_from(GRANT.as_micros()).unwrap_or(u64::MAX);
        if seen > 0 && past > self.of(slot, micros) {
            self.ahead.insert(slot, Ahead { by: past - micros, at: micros });
        }
    }
}

/// Changes of one slot that happen together.
#[derive(Debug)]
struct Step {
    slot: Slot,
    writer: Option<Writer>,
    touched: Touched,
    stamp: Stamp,
}

/// Which keys an operation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    None,
    One(u64),
    All,
}

impl Touched {
    fn and(self, key: Option<u64>) -> Self {
        match (self, key) {
            (Self::None, Some(hash)) => Self::One(hash),
            (Self::One(one), Some(hash)) if one == hash => self,
            _ => Self::All,
        }
    }

    /// As [`Executed`] has it.
    fn hash(self) -> u64 {
        if let Self::One(hash) = self { hash } else { 0 }
    }
}

/// What a key is called among the operations that wait: never 0.
fn hash_of(hash: u64) -> u64 {
    hash | 1
}

impl Copied {
    pub(super) fn begin(&mut self, now: Instant) {
        self.now = now;
    }

    pub(super) fn may_remove(&self, slot: Slot) -> bool {
        self.replicas.may_remove(slot, self.now)
    }

    /// What the clock of `slot` says, in microseconds, when the node's says `micros`.
    #[inline]
    pub(super) fn clock_of(&self, slot: Slot, micros: u64) -> u64 {
        self.clocks.of(slot, micros)
    }

    /// Takes a change that was made into the slot's order.
    pub(super) fn append(
        &mut self,
        (namespace, slot): (NamespaceId, Slot),
        change: &Change<'_>,
        (version, stamp): (Version, Stamp),
        seed: HashSeed,
    ) {
        if !self.replicas.is_followed(slot) {
            return;
        }
        let key = match change {
            Change::Put { key, .. }
            | Change::Touch { key, .. }
            | Change::Delete { key }
            | Change::Expire { key }
            | Change::Evict { key } => Some(hash_of(seed.key(key).hash)),
            Change::Clear => None,
        };
        let clock = UnixTime(stamp.clock_us / 1000);
        if let Some(step) = self.step.as_mut().filter(|step| step.slot == slot) {
            let writer = step.writer.get_or_insert_with(|| Writer::new(clock));
            writer.change(namespace, change, version, &self.content_types);
            step.touched = step.touched.and(key);
            step.stamp = stamp;
            return;
        }
        let mut writer = Writer::new(clock);
        writer.change(namespace, change, version, &self.content_types);
        self.take(slot, writer, Touched::None.and(key), stamp);
    }

    fn take(&mut self, slot: Slot, writer: Writer, touched: Touched, stamp: Stamp) {
        let effect = writer.finish();
        let executed = Executed { effect: &effect, touched: touched.hash(), stamp };
        self.replicas.append(slot, executed, &mut self.out);
    }
}

impl ShardCell {
    /// Makes this shard's slots copies of a cluster's: from now on they are to this member what its views say.
    pub fn copy(&mut self, replicas: Replicas, content_types: Arc<ContentTypes>) {
        self.log.order = Order::Copied(Box::new(Copied {
            replicas,
            out: Outbox::default(),
            now: Instant::default(),
            step: None,
            clocks: Clocks {
                seen: vec![0; self.log.versions.len()].into_boxed_slice(),
                shards_log2: self.log.shards_log2,
                ahead: BTreeMap::new(),
            },
            content_types,
        }));
    }

    /// The replication of its slots; `None`: the node is alone.
    #[must_use]
    pub fn replicas(&self) -> Option<&Replicas> {
        self.copied().map(|copied| &copied.replicas)
    }

    fn copied(&self) -> Option<&Copied> {
        if let Order::Copied(copied) = &self.log.order { Some(copied) } else { None }
    }

    fn copied_mut(&mut self) -> Option<&mut Copied> {
        if let Order::Copied(copied) = &mut self.log.order { Some(copied) } else { None }
    }

    /// What replication wants done since the last call.
    #[must_use]
    pub fn take_outbox(&mut self) -> Outbox {
        self.copied_mut().map_or_else(Outbox::default, |copied| mem::take(&mut copied.out))
    }

    /// Whether a request that may write to `slot` may be executed at `now`.
    ///
    /// # Errors
    ///
    /// [`Admission`]: why not, and what to do.
    #[inline]
    pub fn may_write(&self, slot: Slot, now: Now) -> Result<(), Admission> {
        self.copied().map_or(Ok(()), |copied| copied.replicas.may_write(slot, now.instant))
    }

    /// Whether a request that writes nothing may be evaluated for `slot` at `now`.
    ///
    /// # Errors
    ///
    /// [`Admission`]: why not, and what to do.
    #[inline]
    pub fn may_read(&self, slot: Slot, now: Now) -> Result<(), Admission> {
        self.copied().map_or(Ok(()), |copied| copied.replicas.may_read(slot, now.instant))
    }

    /// What the clock of `slot` says at `now`: what deadlines of its entries are counted from.
    #[must_use]
    pub fn clock(&self, slot: Slot, now: Now) -> UnixTime {
        self.log.clock(slot, now)
    }

    /// Begins a step: the changes of `slot` until [`ShardCell::end_step`] are one operation.
    pub fn begin_step(&mut self, slot: Slot) {
        if let Some(copied) = self.copied_mut() {
            assert!(copied.step.is_none(), "one step is executed at a time");
            let (touched, stamp) = (Touched::None, Stamp::default());
            copied.step = Some(Step { slot, writer: None, touched, stamp });
        }
    }

    /// Ends a step.
    pub fn end_step(&mut self) {
        let Some(copied) = self.copied_mut() else { return };
        let Some(step) = copied.step.take() else { return };
        if let Some(writer) = step.writer {
            copied.take(step.slot, writer, step.touched, step.stamp);
        }
    }

    /// What a reply about these keys of one slot has to wait for; without keys, one about the whole slot. `None`: it may
    /// leave.
    #[inline]
    #[must_use]
    pub fn gate(&self, slot: Slot, keys: &[Key<'_>]) -> Option<Seq> {
        let copied = self.copied()?;
        match keys {
            [key] => copied.replicas.gate(slot, &[hash_of(key.at.hash)]),
            [] => copied.replicas.gate(slot, &[0]),
            keys => {
                let hashes: Vec<u64> = keys.iter().map(|key| hash_of(key.at.hash)).collect();
                copied.replicas.gate(slot, &hashes)
            }
        }
    }

    /// Has a reply wait for `gate`; see [`Replicas::wait`].
    pub fn wait(&mut self, slot: Slot, gate: Seq, ticket: Ticket, is_write: bool) {
        if let Some(copied) = self.copied_mut() {
            copied.replicas.wait(slot, gate, (ticket, is_write), &mut copied.out);
        }
    }

    /// Takes a reply that waits out of the queue. Whether it was there.
    pub fn give_up(&mut self, slot: Slot, ticket: Ticket) -> bool {
        self.copied_mut().is_some_and(|copied| copied.replicas.give_up(slot, ticket))
    }

    /// Acts on a newer view.
    pub fn set_view(&mut self, now: Now, view: Arc<View>) {
        self.with_copies(now, |replicas, store, out| {
            replicas.set_view(now.instant, view, store, out);
        });
    }

    /// Takes a message of another member.
    pub fn receive(&mut self, now: Now, from: Member, message: Message) {
        self.with_copies(now, |replicas, store, out| {
            replicas.receive(now.instant, (from, message), store, out);
        });
    }

    /// Does what time brings to its slots; see [`Replicas::tick`].
    pub fn tick_copies(&mut self, now: Now, transfer_len: &mut usize) {
        self.with_copies(now, |replicas, store, out| {
            replicas.tick(now.instant, transfer_len, store, out);
        });
        if let Some(copied) = self.copied_mut() {
            copied.clocks.ahead.retain(|_, ahead| ahead.left(now.unix_micros) > 0);
        }
    }

    /// What is asked of the metadata now, added to `proposals`.
    pub fn propose(&mut self, now: Now, proposals: &mut Proposals) {
        if let Some(copied) = self.copied_mut() {
            copied.replicas.propose(now.instant, proposals);
        }
    }

    /// Sends what was executed since the last call.
    pub fn flush(&mut self, now: Now) {
        if let Some(copied) = self.copied_mut() {
            copied.replicas.flush(now.instant, &mut copied.out);
        }
    }

    /// Takes a wish of the metadata leader about a slot, for its configuration `ver`.
    pub fn want(&mut self, slot: Slot, ver: MapIdx, want: Want) {
        if let Some(copied) = self.copied_mut() {
            copied.replicas.want(slot, ver, want);
        }
    }

    /// A new connection to `member` took the place of one that broke.
    pub fn reconnected(&mut self, now: Now, member: Member) {
        if let Some(copied) = self.copied_mut() {
            copied.replicas.reconnected(now.instant, member, &mut copied.out);
        }
    }

    /// Calls `act` with the replication of the slots and their data.
    fn with_copies(
        &mut self,
        now: Now,
        act: impl FnOnce(&mut Replicas, &mut Copies<'_>, &mut Outbox),
    ) {
        self.log.begin(now);
        let order = mem::replace(&mut self.log.order, Order::Applied(Version::default()));
        let Order::Copied(mut copied) = order else {
            self.log.order = order;
            return;
        };
        let Copied { replicas, out, clocks, content_types, .. } = &mut *copied;
        let (shard, log) = (&mut self.shard, &mut self.log);
        act(replicas, &mut Copies { shard, log, clocks, content_types }, out);
        self.log.order = Order::Copied(copied);
    }
}

/// The data of a shard's slots, as replication changes it.
struct Copies<'a> {
    shard: &'a mut Shard,
    log: &'a mut CellLog,
    clocks: &'a mut Clocks,
    content_types: &'a ContentTypes,
}

impl Copies<'_> {
    fn version(&mut self, slot: Slot) -> &mut Version {
        &mut self.log.versions[slot.index() >> self.log.shards_log2]
    }

    /// Does one change. False: there is no room for it.
    fn change(&mut self, slot: Slot, clock: UnixTime, change: &Effect<'_>) -> bool {
        let (namespace, key) = match *change {
            Effect::Put { namespace, key, version, .. } => {
                self.log.order = Order::Applied(version);
                let last = self.version(slot);
                *last = version.max(*last);
                (namespace, key)
            }
            Effect::Touch { namespace, key, .. } | Effect::Delete { namespace, key } => {
                (namespace, key)
            }
            Effect::Clear { namespace } => {
                self.shard.clear(namespace, slot, self.log);
                return true;
            }
        };
        let at = self.log.seed.key(key);
        let own_type;
        let decision = match *change {
            Effect::Put { kind, client_flags, deadlines, content_type, value, .. } => {
                own_type = self.content_types.keep_text(content_type);
                let content_type = own_type.borrow();
                let value = Value::Bytes(value);
                Decision::Put(Put { value, kind, deadlines, client_flags, content_type })
            }
            Effect::Touch { deadlines, .. } => Decision::Touch(deadlines),
            Effect::Delete { .. } | Effect::Clear { .. } => Decision::Delete,
        };
        self.shard.update(namespace, key, at, clock, self.log, |_| decision).is_ok()
    }
}

impl SlotStore for Copies<'_> {
    fn apply(&mut self, slot: Slot, effect: &[u8]) -> Result<(), Refused> {
        let (clock, changes) = effect::read(effect).map_err(|_| Refused::Malformed)?;
        let is_here = |key: &[u8]| self.log.seed.key(key).slot == slot;
        if !changes.iter().all(|change| change.key().is_none_or(is_here)) {
            return Err(Refused::Malformed);
        }
        let len = effect.len();
        if changes.len() > 1 && !self.shard.has_room_for_copies(slot, changes.len(), len) {
            return Err(Refused::NoRoom);
        }
        for (number, change) in changes.iter().enumerate() {
            if !self.change(slot, clock, change) {
                // With room for all of them none but the first can fail; half an operation is no copy.
                return Err(if number == 0 { Refused::NoRoom } else { Refused::Malformed });
            }
        }
        Ok(())
    }

    fn clear(&mut self, slot: Slot) {
        let namespaces: Vec<NamespaceId> = self.shard.namespaces().collect();
        namespaces.into_iter().for_each(|namespace| self.shard.clear(namespace, slot, self.log));
        self.clocks.ahead.remove(&slot);
    }

    fn set_kept(&mut self, slot: Slot, kept: Kept) {
        let role = match kept {
            Kept::Primary | Kept::Nothing => Role::Primary,
            Kept::Backup => Role::Backup,
        };
        if kept == Kept::Primary {
            self.clocks.take_over(slot, self.log.micros);
        } else {
            self.clocks.ahead.remove(&slot);
        }
        self.shard.set_role(slot, role);
    }

    fn scan(
        &mut self,
        slot: Slot,
        cursor: Option<u64>,
        emit: &mut dyn FnMut(Arc<[u8]>),
    ) -> Option<u64> {
        let (first, from) = place_of(cursor.unwrap_or(0));
        let mut namespaces: Vec<NamespaceId> =
            self.shard.namespaces().filter(|namespace| *namespace >= first).collect();
        namespaces.sort_unstable();
        let clock = UnixTime(self.clocks.of(slot, self.log.micros) / 1000);
        let mut namespaces = namespaces.into_iter().peekable();
        let namespace = namespaces.next()?;
        let from = if namespace == first { from } else { 0 };
        let next = self.shard.scan(namespace, slot, from, SCAN_STEP_LEN, clock, |entry| {
            let mut writer = Writer::new(clock);
            writer.entry(namespace, &entry, self.content_types);
            emit(writer.finish());
        });
        match next {
            Some(fragment) => Some(cursor_of(namespace, fragment)),
            None => namespaces.peek().map(|&namespace| cursor_of(namespace, 0)),
        }
    }

    fn stamp(&self, slot: Slot) -> Stamp {
        let version = self.log.versions[slot.index() >> self.log.shards_log2].0;
        Stamp { clock_us: self.clocks.of(slot, self.log.micros), version }
    }

    fn observe(&mut self, slot: Slot, stamp: Stamp) {
        let last = self.version(slot);
        *last = Version(stamp.version).min(VERSION_MAX).max(*last);
        self.clocks.observe(slot, stamp.clock_us.min(VERSION_MAX.0));
    }
}

/// Where a walk over a slot goes on: the namespace and the fragment.
fn cursor_of(namespace: NamespaceId, fragment: u32) -> u64 {
    u64::from(namespace.0) << 32 | u64::from(fragment)
}

fn place_of(cursor: u64) -> (NamespaceId, u32) {
    let namespace = u16::try_from(cursor >> 32).unwrap_or(u16::MAX);
    (NamespaceId(namespace), u32::try_from(cursor & 0xFFFF_FFFF).unwrap_or(u32::MAX))
}

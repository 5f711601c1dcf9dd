//! One shard of memory with the state of its slots, so that data and its order can never part.
//!
//! A [`ShardCell`] executes what is asked of its keys and stamps every change with the slot's next version. It is
//! `&mut self` for changes and `&self` for look-ups; the edge puts a lock around it, the simulator nothing.
//!
//! Invariant: the version of a slot never decreases.

mod copies;

use std::sync::Arc;
use std::task::Waker;

use ringhold_cluster::message::Stamp;
use ringhold_store::budget::{Budget, Geometry};
use ringhold_store::entry::{Change, Decision, EntryRef, Log, Lookup, Outcome, UpdateError};
use ringhold_store::hash::{HashSeed, KeyHash};
use ringhold_store::large::LargeWriter;
use ringhold_store::shard::{Probe, Shard, Tick};
use ringhold_types::entry::Version;
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::{SLOTS, Slot};
use ringhold_types::time::{Duration, Now, UnixTime};

use crate::leases::{Claim, LeaseLost, Leases};
use crate::watch::Watches;
use copies::Copied;

/// A key with what is computed from it once per request.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The namespace it is in.
    pub namespace: NamespaceId,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its slot and hash.
    pub at: KeyHash,
}

/// One shard and its slots.
#[derive(Debug)]
pub struct ShardCell {
    shard: Shard,
    log: CellLog,
}

/// The order of the changes of one shard's slots.
#[derive(Debug)]
struct CellLog {
    /// The slot's clock at the present call, in microseconds since 1970.
    micros: u64,
    /// The last version of each slot of this shard; index: slot number / shards.
    versions: Box<[Version]>,
    /// The number of shards, as a power of two.
    shards_log2: u32,
    removed: Removed,
    seed: HashSeed,
    watches: Watches,
    leases: Leases,
    order: Order,
}

/// Where the place of a change in its slot's order comes from.
#[derive(Debug)]
enum Order {
    /// From here, and nobody else needs to know of it: a node alone.
    Alone,
    /// From here, for the slots that this member is primary of; their other copies are told.
    Copied(Box<Copied>),
    /// From another member: what is changed now is an operation of that member's.
    Applied(Version),
}

/// Entries that left a shard other than by a client's wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries whose time was over.
    pub expired: u64,
    /// Entries that had to make room.
    pub evicted: u64,
}

impl Log for CellLog {
    #[inline]
    fn append(&mut self, namespace: NamespaceId, slot: Slot, change: Change<'_>) -> Version {
        let micros = match &self.order {
            Order::Alone => self.micros,
            Order::Copied(copied) => copied.clock_of(slot, self.micros),
            Order::Applied(version) => {
                let version = *version;
                // Who watches here, or fills, has read what another member has changed since.
                if !self.watches.is_empty() || !self.leases.is_empty() {
                    self.note(namespace, slot, &change);
                }
                return version;
            }
        };
        let last = &mut self.versions[slot.index() >> self.shards_log2];
        if !matches!(change, Change::Touch { .. }) {
            *last = last.next(micros);
        }
        let version = *last;
        if let Order::Copied(copied) = &mut self.order {
            let stamp = Stamp { clock_us: micros, version: version.0 };
            copied.append((namespace, slot), &change, (version, stamp), self.seed);
        }
        match &change {
            Change::Expire { .. } => self.removed.expired += 1,
            Change::Evict { .. } => self.removed.evicted += 1,
            Change::Put { .. } | Change::Touch { .. } | Change::Delete { .. } | Change::Clear => {}
        }
        if !self.watches.is_empty() || !self.leases.is_empty() {
            self.note(namespace, slot, &change);
        }
        version
    }

    #[inline]
    fn may_remove(&self, slot: Slot) -> bool {
        match &self.order {
            // A node alone is the serving primary of every slot and has nobody to wait for.
            Order::Alone => true,
            Order::Copied(copied) => copied.may_remove(slot),
            Order::Applied(_) => false,
        }
    }
}

impl CellLog {
    /// Notes the time of a call.
    #[inline]
    fn begin(&mut self, now: Now) {
        self.micros = now.unix_micros;
        if let Order::Copied(copied) = &mut self.order {
            copied.begin(now.instant);
        }
    }

    /// What the clock of `slot` says at `now`.
    #[inline]
    fn clock(&self, slot: Slot, now: Now) -> UnixTime {
        match &self.order {
            Order::Copied(copied) => UnixTime(copied.clock_of(slot, now.unix_micros) / 1000),
            Order::Alone | Order::Applied(_) => now.unix(),
        }
    }

    /// Tells those who watch the changed key, and those who wait for its fill.
    #[cold]
    fn note(&mut self, namespace: NamespaceId, slot: Slot, change: &Change<'_>) {
        match change {
            Change::Put { key, .. } | Change::Delete { key } => {
                let hash = self.seed.key(key).hash;
                self.watches.note(namespace, hash, matches!(change, Change::Put { .. }));
                self.leases.end(namespace, hash);
            }
            Change::Touch { key, .. } => {
                self.watches.note(namespace, self.seed.key(key).hash, true);
            }
            Change::Expire { key } | Change::Evict { key } => {
                self.watches.note(namespace, self.seed.key(key).hash, false);
            }
            Change::Clear => {
                self.watches.note_clear(namespace, slot);
                self.leases.end_slot(namespace, slot);
            }
        }
    }
}

impl ShardCell {
    /// Shard `idx` of a node whose engine has this geometry, with nothing in it.
    #[must_use]
    pub fn new(idx: usize, geometry: &Geometry, seed: HashSeed, budget: &Arc<Budget>) -> Self {
        let slots = usize::from(SLOTS) / geometry.shards;
        Self {
            shard: Shard::new(idx, *geometry, seed, Arc::clone(budget)),
            log: CellLog {
                micros: 0,
                versions: vec![Version::default(); slots].into_boxed_slice(),
                shards_log2: geometry.shards.trailing_zeros(),
                removed: Removed::default(),
                seed,
                watches: Watches::default(),
                leases: Leases::new(Arc::clone(budget)),
                order: Order::Alone,
            },
        }
    }

    /// The engine's part, for look-ups, scans and statistics.
    #[inline]
    #[must_use]
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The engine's part, for settings that change nothing in the order (quotas, limits).
    pub fn shard_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }

    /// What left this shard on its own since the start.
    #[must_use]
    pub fn removed(&self) -> Removed {
        self.log.removed
    }

    /// Looks `key` up and counts a hit for its place in memory.
    #[inline]
    #[must_use]
    pub fn lookup(&self, key: Key<'_>, now: Now) -> Lookup<'_> {
        self.shard.lookup(key.namespace, key.bytes, key.at, self.log.clock(key.at.slot, now))
    }

    /// Looks `key` up as one who only wants to know: no hit is counted.
    #[inline]
    #[must_use]
    pub fn peek(&self, key: Key<'_>, now: Now) -> Lookup<'_> {
        self.shard.peek(key.namespace, key.bytes, key.at, self.log.clock(key.at.slot, now))
    }

    /// Reads and changes `key` in one step; see [`Shard::update`].
    ///
    /// # Errors
    ///
    /// [`UpdateError`]: no room, or over a limit.
    #[inline]
    pub fn update<'v>(
        &mut self,
        key: Key<'_>,
        now: Now,
        decide: impl FnOnce(Option<EntryRef<'_>>) -> Decision<'v>,
    ) -> Result<Outcome, UpdateError> {
        self.log.begin(now);
        let mut is_delete = false;
        let decide = |old: Option<EntryRef<'_>>| {
            let decision = decide(old);
            is_delete = matches!(decision, Decision::Delete);
            decision
        };
        let clock = self.log.clock(key.at.slot, now);
        let (bytes, at, log) = (key.bytes, key.at, &mut self.log);
        let outcome = self.shard.update(key.namespace, bytes, at, clock, log, decide);
        if is_delete && !self.log.leases.is_empty() {
            // Also of a key that is missing: whoever is filling it has read what is deleted now.
            self.log.leases.end(key.namespace, at.hash);
        }
        outcome
    }

    /// Writes plain bytes without deadlines over the entry that was probed; see [`Shard::replace`].
    #[inline]
    pub fn replace(
        &mut self,
        probe: &Probe,
        key: Key<'_>,
        now: Now,
        value: &[u8],
    ) -> Option<Version> {
        self.log.begin(now);
        let clock = self.log.clock(key.at.slot, now);
        let entry = (key.namespace, key.bytes);
        self.shard.replace(probe, entry, clock, value, &mut self.log)
    }

    /// Gives the lease to fill `key` to the caller, for `within`, unless somebody has it.
    pub fn claim_lease(
        &mut self,
        key: Key<'_>,
        now: Now,
        within: Duration,
        ttl: Option<Duration>,
    ) -> Claim {
        self.log.leases.claim((key.namespace, key.at), now, within, ttl)
    }

    /// The time to live that a fill of `key` under lease `number` gets when it names none.
    ///
    /// # Errors
    ///
    /// When the lease has ended.
    pub fn lease_terms(
        &self,
        key: Key<'_>,
        number: u64,
        now: Now,
    ) -> Result<Option<Duration>, LeaseLost> {
        self.log.leases.terms((key.namespace, key.at), number, now)
    }

    /// Has `waker` woken when the lease of `key` ends otherwise than by its time; when to ask again in any case. `None`:
    /// there is no lease.
    pub fn await_lease(&mut self, key: Key<'_>, now: Now, waker: &Waker) -> Option<UnixTime> {
        self.log.leases.wait((key.namespace, key.at), now, waker)
    }

    /// Says what a namespace may take in this shard, in bytes, and whether its entries may be evicted. Whether it is
    /// within that already; while it is not, call again.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]: there is no room for its bookkeeping.
    pub fn configure(
        &mut self,
        namespace: NamespaceId,
        quota: Option<u64>,
        is_evicted: bool,
        now: Now,
    ) -> Result<bool, UpdateError> {
        self.log.begin(now);
        self.shard.configure(namespace, quota, is_evicted, now.unix(), &mut self.log)
    }

    /// Takes everything of a namespace out of this shard.
    pub fn drop_namespace(&mut self, namespace: NamespaceId) {
        self.log.leases.end_namespace(namespace);
        self.shard.drop_space(namespace);
    }

    /// Takes out what is of none of the namespaces that `has` knows.
    pub fn drop_unknown(&mut self, has: impl Fn(NamespaceId) -> bool) {
        let unknown: Vec<_> = self.shard.namespaces().filter(|&id| !has(id)).collect();
        unknown.into_iter().for_each(|id| self.drop_namespace(id));
    }

    /// Makes room for a value of `len` bytes of `namespace` that will arrive in parts; see [`Shard::begin_large`].
    ///
    /// # Errors
    ///
    /// [`UpdateError`]: no room, or over the limit.
    pub fn begin_large(
        &mut self,
        namespace: NamespaceId,
        len: usize,
        now: Now,
    ) -> Result<LargeWriter, UpdateError> {
        self.log.begin(now);
        self.shard.begin_large(namespace, len, now.unix(), &mut self.log)
    }

    /// Makes room for at least `len` bytes of a value of unknown length; see [`Shard::grow_large`].
    ///
    /// # Errors
    ///
    /// [`UpdateError`]: no room, or over the limit; the writer is as it was.
    pub fn grow_large(
        &mut self,
        namespace: NamespaceId,
        writer: &mut LargeWriter,
        len: usize,
        now: Now,
    ) -> Result<(), UpdateError> {
        self.log.begin(now);
        self.shard.grow_large(namespace, writer, len, now.unix(), &mut self.log)
    }

    /// Removes all entries of a slot of `namespace` at once.
    pub fn clear(&mut self, namespace: NamespaceId, slot: Slot, now: Now) {
        self.log.begin(now);
        self.shard.clear(namespace, slot, &mut self.log);
    }

    /// Begins to watch `key`: the stamp to ask [`ShardCell::is_changed`] with.
    pub fn watch(&mut self, key: Key<'_>, now: Now) -> u64 {
        let is_present = matches!(self.peek(key, now), Lookup::Hit(_));
        self.log.watches.add(key.namespace, key.at, is_present)
    }

    /// Ends watching a key.
    pub fn unwatch(&mut self, namespace: NamespaceId, at: KeyHash) {
        self.log.watches.remove(namespace, at);
    }

    /// Whether a watched key was changed since it had `stamp`; that its time is over counts, once it was reaped.
    #[must_use]
    pub fn is_changed(&self, namespace: NamespaceId, at: KeyHash, stamp: u64) -> bool {
        self.log.watches.is_changed(namespace, at, stamp)
    }

    /// How many keys of this shard are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.log.watches.len()
    }

    /// Removes `key` if its time is over, so that "expired" is an operation in the slot's order before anybody is
    /// told of it.
    pub fn reap(&mut self, key: Key<'_>, now: Now) {
        let kept = self.update(key, now, |_| Decision::Keep);
        debug_assert!(kept.is_ok(), "keeping needs no room");
    }

    /// Makes room for this shard's next write by evicting one segment of its own; false when nothing could go.
    pub fn make_room(&mut self, now: Now) -> bool {
        self.log.begin(now);
        self.shard.make_room(now.unix(), &mut self.log)
    }

    /// Makes room for other shards by evicting one segment of this one; false when nothing could go.
    pub fn evict_one(&mut self, now: Now) -> bool {
        self.log.begin(now);
        self.shard.evict_one(now.unix(), &mut self.log)
    }

    /// Reclaims what expired and what is detached; bounded by `items_max`. To be called every 100 ms, and again at
    /// once while it says that more is left.
    pub fn tick(&mut self, now: Now, items_max: u64) -> Tick {
        self.log.begin(now);
        self.log.leases.tick(now);
        self.shard.tick(now.unix(), &mut self.log, items_max)
    }

    /// Checks what must always hold.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check_invariants(&self) {
        self.shard.check_invariants();
    }
}

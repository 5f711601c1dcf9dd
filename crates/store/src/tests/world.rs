//! An engine of several shards beside its twin, driven as a node drives it, and checked with every call.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ringhold_types::entry::ContentType;
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;

use super::bounds;
use super::twin::{Content, Scan, Twin};
use crate::budget::{Budget, Geometry};
use crate::entry::{
    Decision, EntryRef, Log, Lookup, Outcome, Put, Role, UpdateError, Value, ValueRef,
};
use crate::handles::Held;
use crate::hash::{HashSeed, KeyHash};
use crate::large::{Large, LargeWriter, PAGE_LEN, charge_of};
use crate::shard::{Shard, Work};

pub(super) const KIB: usize = 1024;

/// Small segments over 16 shards, of which a test need not use all.
pub(super) const SMALL: Geometry = Geometry {
    limit: 2816 * 1024,
    seg_len: 4 * KIB,
    shards: 16,
    value_len_max: 128 * KIB,
    large_len_min: KIB,
};

/// What was called: each kind has a bound of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// An update that brings at most a small value.
    Update,
    /// An update that brings a large value, or room for one; its pages are charged so many bytes.
    Large {
        charge: u64,
    },
    Tick,
    Evict,
    Configure,
    /// Clearing a slot, changing a role, dropping a namespace.
    Other,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Large { .. } => "large",
            Self::Tick => "tick",
            Self::Evict => "evict",
            Self::Configure => "configure",
            Self::Other => "other",
        }
    }
}

/// A key with what is computed from it once.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) ns: NamespaceId,
    pub(super) bytes: Vec<u8>,
    pub(super) at: KeyHash,
}

/// A large value being received.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) ns: NamespaceId,
    pub(super) slot: Slot,
    pub(super) writer: Option<LargeWriter>,
    pub(super) value: Vec<u8>,
}

/// The engine and its twin.
pub(super) struct World {
    pub(super) geometry: Geometry,
    pub(super) budget: Arc<Budget>,
    pub(super) shards: Vec<Shard>,
    pub(super) twin: Twin,
    pub(super) seed: HashSeed,
    pub(super) incoming: Vec<Incoming>,
    pub(super) readers: Vec<(Arc<Large>, Vec<u8>)>,
    /// Bytes that the caller charges for itself.
    pub(super) charged: u64,
    /// The most that one call of each kind has done.
    pub(super) most: BTreeMap<&'static str, Work>,
}

/// The greater of each count.
fn maximum(one: Work, other: Work) -> Work {
    Work {
        evacuations: one.evacuations.max(other.evacuations),
        items_moved: one.items_moved.max(other.items_moved),
        bytes_moved: one.bytes_moved.max(other.bytes_moved),
        words_moved: one.words_moved.max(other.words_moved),
        evicted: one.evicted.max(other.evicted),
        expired: one.expired.max(other.expired),
    }
}

/// `after` less `before`.
fn difference(after: Work, before: Work) -> Work {
    Work {
        evacuations: after.evacuations - before.evacuations,
        items_moved: after.items_moved - before.items_moved,
        bytes_moved: after.bytes_moved - before.bytes_moved,
        words_moved: after.words_moved - before.words_moved,
        evicted: after.evicted - before.evicted,
        expired: after.expired - before.expired,
    }
}

/// `len` bytes that differ by place and by `salt`.
pub(super) fn bytes_of(salt: u64, len: usize) -> Vec<u8> {
    let words = (0u64..).map(|n| (n ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.flatten().take(len).collect()
}

impl World {
    pub(super) fn new(geometry: Geometry) -> Self {
        let budget = Budget::new(&geometry);
        let seed = HashSeed::new(7);
        let shard = |idx| Shard::new(idx, geometry, seed, Arc::clone(&budget));
        let mut twin = Twin::default();
        twin.now = super::START;
        Self {
            geometry,
            shards: (0..geometry.shards).map(shard).collect(),
            budget,
            twin,
            seed,
            incoming: Vec::new(),
            readers: Vec::new(),
            charged: 0,
            most: BTreeMap::new(),
        }
    }

    /// Charges memory that is none of the engine's, so that what remains for it turns over soon.
    pub(super) fn charge(&mut self, bytes: u64) {
        if self.budget.charge(bytes) {
            self.charged += bytes;
        } else {
            let most = self.budget.limit().saturating_sub(self.budget.used());
            assert!(bytes > most, "a charge within the limit is granted");
        }
    }

    /// Gives back memory that was charged.
    pub(super) fn release(&mut self, bytes: u64) {
        self.budget.release(bytes);
        self.charged -= bytes;
    }

    pub(super) fn key(&self, ns: NamespaceId, bytes: Vec<u8>) -> Key {
        let at = self.seed.key(&bytes);
        Key { ns, bytes, at }
    }

    pub(super) fn shard_of(&self, slot: Slot) -> usize {
        self.geometry.shard_of(slot)
    }

    /// Calls shard `idx` and checks what holds of any call.
    pub(super) fn call<T>(
        &mut self,
        idx: usize,
        what: Call,
        call: impl FnOnce(&mut Shard, &mut Twin) -> T,
    ) -> T {
        let (used, work) = (self.budget.used(), self.shards[idx].work());
        let done = call(&mut self.shards[idx], &mut self.twin);
        let most = self.budget.limit().max(used);
        assert!(self.budget.used() <= most, "{what:?}: {} of {most} used", self.budget.used());
        let work = difference(self.shards[idx].work(), work);
        let is_kept = !(self.twin.backups.is_empty() && self.twin.gates.is_empty());
        bounds::check(&self.geometry, what, is_kept, work);
        let most = self.most.entry(what.name()).or_default();
        *most = maximum(work, *most);
        done
    }

    /// Repeats `attempt` while it asks for room in other shards, as a node does.
    pub(super) fn with_room<T>(
        &mut self,
        idx: usize,
        what: Call,
        mut attempt: impl FnMut(&mut Shard, &mut Twin) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        let mut misses = 0;
        for round in 0..100 {
            let done = self.call(idx, what, &mut attempt);
            let Err(UpdateError::NeedRoom { shard }) = done else { return done };
            assert_ne!(shard, idx, "a shard does not send to itself");
            let now = self.twin.now;
            // Every fourth time the other's lock is taken, so to say.
            let is_made = if round % 4 == 3 {
                self.call(idx, Call::Evict, |shard, twin| shard.make_room(now, twin))
            } else {
                self.call(shard, Call::Evict, |shard, twin| shard.evict_one(now, twin))
            };
            misses = if is_made { 0 } else { misses + 1 };
            if misses > 8 {
                return Err(self.shards[idx].full());
            }
        }
        Err(UpdateError::Full { retry: true })
    }

    /// Updates a key; what is shown is what the twin has, and what is answered is what happened to it.
    pub(super) fn update<'v>(
        &mut self,
        key: &Key,
        what: Call,
        mut decide: impl FnMut(Option<&Content>) -> Decision<'v>,
    ) -> Result<Outcome, UpdateError> {
        let (ns, slot, now) = (key.ns, key.at.slot, self.twin.now);
        let mut before = (None, false, false);
        let done = self.with_room(self.shard_of(slot), what, |shard, twin| {
            let expected = twin.visible(ns, slot, &key.bytes).cloned();
            before.1 = twin.entry(ns, slot, &key.bytes).is_some();
            let is_removable = before.1 && (expected.is_some() || !twin.may_remove(slot));
            before.2 = is_removable;
            let decide = |old: Option<EntryRef<'_>>| {
                assert!(
                    old.as_ref().map(Content::of) == expected,
                    "what is shown is what there is"
                );
                decide(expected.as_ref())
            };
            let done = shard.update(ns, &key.bytes, key.at, now, twin, decide);
            before.0 = expected;
            done
        });
        let after = self.twin.entry(ns, slot, &key.bytes);
        let (shown, was_there, was_kept) = before;
        match done {
            Ok(Outcome::Put { version, created }) => {
                assert_eq!(created, shown.is_none(), "created unless it was shown");
                assert_eq!(after.map(|content| content.version), Some(version));
            }
            Ok(Outcome::Deleted) => assert!(was_there && after.is_none(), "it was there"),
            Ok(Outcome::Touched) => {
                let after = after.expect("a touched entry is there");
                assert!(was_kept, "what expired is not touched");
                let same = shown.is_none_or(|shown| shown.version == after.version);
                assert!(same, "a touch keeps the version");
            }
            Ok(Outcome::Kept) | Err(_) => {}
        }
        done
    }

    /// Stores inline bytes, or through pages of its own if they are long.
    pub(super) fn put(&mut self, key: &Key, content: &Content) -> Result<Outcome, UpdateError> {
        let what = self.call_for(key, content.value.len());
        let done = self.update(key, what, |_| Decision::Put(put_of(content, &content.value)));
        if done.is_ok() {
            self.assert_stored(key, content);
        }
        done
    }

    /// The kind of a call that brings a value of so many bytes for a key.
    pub(super) fn call_for(&self, key: &Key, value_len: usize) -> Call {
        if value_len + key.bytes.len() + 64 > self.geometry.large_len_min {
            Call::Large { charge: charge_of(value_len) + Held::key_charge(key.bytes.len()) }
        } else {
            Call::Update
        }
    }

    fn assert_stored(&self, key: &Key, content: &Content) {
        let stored = self.twin.entry(key.ns, key.at.slot, &key.bytes).expect("it was stored");
        let expected = Content { version: stored.version, ..content.clone() };
        assert!(*stored == expected, "what was told is what was asked for");
    }

    /// Stores a value that was received in parts.
    pub(super) fn commit(
        &mut self,
        key: &Key,
        writer: LargeWriter,
        content: &Content,
    ) -> Result<Outcome, UpdateError> {
        let mut writer = Some(writer);
        let (ns, slot, now) = (key.ns, key.at.slot, self.twin.now);
        let done = self.with_room(self.shard_of(slot), Call::Update, |shard, twin| {
            let put = Put { value: Value::Large(&mut writer), ..put_of(content, &[]) };
            shard.update(ns, &key.bytes, key.at, now, twin, |_| Decision::Put(put))
        });
        assert_eq!(writer.is_none(), done.is_ok(), "a writer is taken by a put that succeeds");
        if done.is_ok() {
            self.assert_stored(key, content);
        }
        done
    }

    pub(super) fn begin(&mut self, ns: NamespaceId, slot: Slot, value: Vec<u8>) -> bool {
        let (idx, now, len) = (self.shard_of(slot), self.twin.now, value.len());
        let what = Call::Large { charge: charge_of(len) };
        let begun = self.with_room(idx, what, |shard, twin| shard.begin_large(ns, len, now, twin));
        match begun {
            Ok(writer) => {
                self.incoming.push(Incoming { ns, slot, writer: Some(writer), value });
                true
            }
            Err(error) => {
                assert!(matches!(error, UpdateError::Full { .. } | UpdateError::TooLarge { .. }));
                false
            }
        }
    }

    /// Receives a value whose length is not known, `part_len` bytes at a time; it waits to be stored.
    pub(super) fn begin_growing(
        &mut self,
        ns: NamespaceId,
        slot: Slot,
        value: Vec<u8>,
        part_len: usize,
    ) -> bool {
        let (idx, now) = (self.shard_of(slot), self.twin.now);
        let what = Call::Large { charge: charge_of(value.len().next_multiple_of(PAGE_LEN)) };
        let received = self.with_room(idx, what, |shard, twin| {
            let mut writer = shard.begin_large(ns, 0, now, twin)?;
            let mut filled = 0;
            for part in value.chunks(part_len) {
                filled += part.len();
                shard.grow_large(ns, &mut writer, filled, now, twin)?;
                writer.write(part);
            }
            writer.truncate();
            assert_eq!((writer.len(), writer.remaining()), (value.len(), 0), "it ends there");
            Ok(writer)
        });
        match received {
            Ok(writer) => self.incoming.push(Incoming { ns, slot, writer: Some(writer), value }),
            Err(UpdateError::Full { .. } | UpdateError::TooLarge { .. }) => return false,
            Err(error) => panic!("{error:?}"),
        }
        true
    }

    pub(super) fn set_role(&mut self, slot: Slot, role: Role) {
        let idx = self.shard_of(slot);
        self.call(idx, Call::Other, |shard, _| shard.set_role(slot, role));
        match role {
            Role::Primary => self.twin.backups.remove(&slot),
            Role::Backup => self.twin.backups.insert(slot),
        };
        assert_eq!(self.shards[idx].role(slot), role);
    }

    pub(super) fn clear(&mut self, ns: NamespaceId, slot: Slot) {
        self.call(self.shard_of(slot), Call::Other, |shard, twin| shard.clear(ns, slot, twin));
    }

    /// Drops a namespace in one shard: of this the log is not told.
    pub(super) fn drop_space(&mut self, ns: NamespaceId, idx: usize) {
        let geometry = self.geometry;
        let is_of = |of: NamespaceId, slot: Slot| of == ns && geometry.shard_of(slot) == idx;
        self.call(idx, Call::Other, |shard, _| shard.drop_space(ns));
        self.twin.tables.retain(|&(of, slot), _| !is_of(of, slot));
        self.twin.scan.take_if(|scan| is_of(scan.ns, scan.slot));
    }

    /// Keeps the value of a key as a reader does, if it is a large one.
    pub(super) fn read(&mut self, key: &Key) {
        let shard = &self.shards[self.shard_of(key.at.slot)];
        if let Lookup::Hit(entry) = shard.peek(key.ns, &key.bytes, key.at, self.twin.now)
            && let ValueRef::Large(large) = entry.value()
        {
            let content = Content::of(&entry);
            self.readers.push((Arc::clone(large), content.value));
        }
    }

    /// Lets go of a reader; what it holds is still what it was.
    pub(super) fn let_go(&mut self, at: usize) {
        let (large, value) = self.readers.swap_remove(at);
        assert!(large.chunks().flatten().eq(&value), "a value never changes under its readers");
    }

    /// Looks a key up: it is what the twin says.
    pub(super) fn check_key(&self, key: &Key, is_counted: bool) {
        let shard = &self.shards[self.shard_of(key.at.slot)];
        let expected = self.twin.entry(key.ns, key.at.slot, &key.bytes);
        let found = if is_counted {
            shard.lookup(key.ns, &key.bytes, key.at, self.twin.now)
        } else {
            shard.peek(key.ns, &key.bytes, key.at, self.twin.now)
        };
        match found {
            Lookup::Hit(entry) => {
                let expected = expected.expect("a hit was written");
                assert!(Content::of(&entry) == *expected, "a hit is what was written");
                assert_eq!(entry.key(), key.bytes);
                assert_eq!(entry.fragment(), key.at.fragment());
                assert!(!expected.deadlines.is_expired(self.twin.now), "a hit is alive");
            }
            Lookup::Expired => {
                let expected = expected.expect("an expired entry was written");
                assert!(expected.deadlines.is_expired(self.twin.now), "it is past its deadline");
            }
            Lookup::Miss => assert!(expected.is_none(), "a miss is explained by the log"),
        }
    }

    /// One step of the scan under way, or of a new one over `slot`.
    pub(super) fn scan(&mut self, ns: NamespaceId, slot: Slot, max_bytes: usize) {
        let mut scan = self.twin.scan.take().unwrap_or_else(|| {
            let table = self.twin.tables.get(&(ns, slot));
            let owed = table.into_iter().flatten().map(|(key, _)| key.clone()).collect();
            Scan { ns, slot, from: 0, owed, seen: Default::default() }
        });
        let (shard, twin, now) =
            (&self.shards[self.shard_of(scan.slot)], &self.twin, self.twin.now);
        let (mut bytes, mut last) = (0, None);
        let next = shard.scan(scan.ns, scan.slot, scan.from, max_bytes, now, |entry| {
            let is_group = last.is_none_or(|last| last == entry.fragment());
            assert!(bytes < max_bytes || is_group, "whole groups, at least one, and no more");
            assert!(last.is_none_or(|last| last <= entry.fragment()), "in the order of the hash");
            (bytes, last) =
                (bytes + entry.key().len() + entry.value().len(), Some(entry.fragment()));
            let expected = twin.visible(scan.ns, scan.slot, entry.key());
            assert!(expected == Some(&Content::of(&entry)), "what is visited is there");
            assert!(scan.seen.insert(entry.key().to_vec()), "nothing is visited twice");
            scan.owed.remove(entry.key());
        });
        if let Some(from) = next {
            assert!(last.is_none_or(|last| last < from), "the next batch is another group");
            scan.from = from;
            self.twin.scan = Some(scan);
            return;
        }
        let is_alive = |key: &Vec<u8>| self.twin.visible(scan.ns, scan.slot, key).is_some();
        assert!(!scan.owed.iter().any(is_alive), "what was there all the time is visited");
    }

    /// All accounts agree: what is used is what the shards hold, what is being received, and what readers keep.
    pub(super) fn check_accounts(&self) {
        let held: u64 = (0..self.shards.len()).map(|idx| self.budget.held(idx)).sum();
        let writers = self.incoming.iter().filter(|incoming| incoming.writer.is_some());
        let written: u64 = writers.map(|incoming| charge_of(incoming.value.len())).sum();
        let mut orphans = BTreeMap::new();
        for (large, _) in &self.readers {
            let row = orphans.entry(Arc::as_ptr(large)).or_insert((0, large));
            row.0 += 1;
        }
        let orphans = orphans.values().filter(|(count, large)| Arc::strong_count(large) == *count);
        let pinned: u64 = orphans.map(|(_, large)| large.charge()).sum();
        assert_eq!(self.budget.used(), held + written + pinned + self.charged, "all is accounted");
        assert_eq!(self.budget.in_flight(), written + pinned, "what is in flight is known");
    }

    /// Everything is as the twin has it, in both directions, and every structure is sound.
    pub(super) fn check_all(&self) {
        self.check_accounts();
        self.shards.iter().for_each(Shard::check_deeply);
        for (&(ns, _), table) in &self.twin.tables {
            for key in table.keys() {
                self.check_key(&self.key(ns, key.clone()), false);
            }
        }
        let entries: u64 = self.shards.iter().map(|shard| shard.stats().entries).sum();
        assert_eq!(
            entries,
            u64::try_from(self.twin.entries()).expect("a count"),
            "no other entries"
        );
    }

    /// Lets everything go: nothing stays charged.
    pub(super) fn end(self) {
        self.check_all();
        let Self { shards, budget, incoming, mut readers, charged, .. } = self;
        budget.release(charged);
        drop(incoming);
        readers.truncate(readers.len() / 2);
        drop(shards);
        let kept = budget.used();
        assert_eq!(kept, budget.in_flight(), "only readers keep memory");
        drop(readers);
        assert_eq!((budget.used(), budget.in_flight()), (0, 0), "everything is given back");
    }
}

/// A put of this content with this value.
pub(super) fn put_of<'v>(content: &Content, value: &'v [u8]) -> Put<'v> {
    Put {
        value: Value::Bytes(value),
        kind: content.kind,
        deadlines: content.deadlines,
        client_flags: content.client_flags,
        content_type: ContentType::Row(content.content_type),
    }
}

//! One shard: an ordered map under the node's budget, with second-chance eviction.
//!
//! Entries leave in the order in which they came, but one that was looked up since it came, or since it was last passed
//! over, is passed over once ("CLOCK": Corbató, "A paging experiment with the Multics system", 1968). Every entry is
//! charged its key twice (it is in both maps), its value and [`ENTRY_OVERHEAD`].
//!
//! Invariant: the charges of all entries together are what the shard holds of the budget, but for large values, whose
//! pages are charged until their last reader lets go.
//! Invariant: `queue` holds each entry once, under its `place`.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::limits::KEY_LEN_MAX;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use crate::budget::{Budget, Geometry};
use crate::entry::{
    Change, ChangeValue, Decision, EntryRef, Log, Lookup, Outcome, Put, UpdateError, Value,
};
use crate::hash::KeyHash;
use crate::large::{Large, LargeWriter, charge_of};

/// What an entry takes beside its key (held twice) and its value, in bytes: two places in B-trees that are two thirds
/// full, three heap blocks.
pub const ENTRY_OVERHEAD: usize = 288;
/// The bytes that one call of `evict_one` frees at least, if there are so many.
const EVICT_LEN: u64 = 16 * 1024;

type Id = (NamespaceId, Box<[u8]>);

/// One shard of memory.
#[derive(Debug)]
pub struct Shard {
    idx: usize,
    budget: Arc<Budget>,
    entries: BTreeMap<Id, Entry>,
    /// The entries by their place in the order of eviction.
    queue: BTreeMap<u64, (Id, Slot)>,
    place_next: u64,
    /// What the entries are charged here, large values' pages not included, in bytes.
    charged: u64,
    value_len_max: usize,
    large_len_min: usize,
    /// Where the walk for expired entries goes on.
    tick_place: u64,
}

/// An entry beside its key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) value: Stored,
    pub(crate) kind: u8,
    pub(crate) version: Version,
    pub(crate) deadlines: Deadlines,
    pub(crate) client_flags: u32,
    pub(crate) content_type: ContentTypeId,
    place: u64,
    was_used: AtomicBool,
}

/// A value where it is.
#[derive(Debug)]
pub(crate) enum Stored {
    Bytes(Box<[u8]>),
    Large(Arc<Large>),
}

/// What one tick did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The entries it looked at.
    pub handled: usize,
    /// Whether there are more to look at before the next round.
    pub more: bool,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(idx: usize, geometry: &Geometry, budget: Arc<Budget>) -> Self {
        Self {
            idx,
            budget,
            entries: BTreeMap::new(),
            queue: BTreeMap::new(),
            place_next: 0,
            charged: 0,
            value_len_max: geometry.value_len_max,
            large_len_min: geometry.large_len_min,
            tick_place: 0,
        }
    }

    /// Looks `key` up and remembers that somebody did.
    #[must_use]
    pub fn lookup(&self, ns: NamespaceId, key: &[u8], at: KeyHash, now: UnixTime) -> Lookup<'_> {
        let found = self.peek(ns, key, at, now);
        if let Lookup::Hit(entry) = &found
            && !entry.entry.was_used.load(Ordering::Relaxed)
        {
            entry.entry.was_used.store(true, Ordering::Relaxed);
        }
        found
    }

    /// Looks `key` up without a trace.
    #[must_use]
    pub fn peek(&self, ns: NamespaceId, key: &[u8], _at: KeyHash, now: UnixTime) -> Lookup<'_> {
        match self.entries.get_key_value(&(ns, Box::from(key))) {
            None => Lookup::Miss,
            Some((_, entry)) if entry.deadlines.is_expired(now) => Lookup::Expired,
            Some(((_, key), entry)) => Lookup::Hit(EntryRef { key, entry }),
        }
    }

    /// Whether a value of this length is kept in pages, and must be handed in as [`Value::Large`].
    #[must_use]
    pub fn is_large(&self, key_len: usize, value_len: usize) -> bool {
        key_len + value_len > self.large_len_min && value_len > 0
    }

    /// Pages for a value of `len` bytes, charged from now on.
    ///
    /// # Errors
    ///
    /// [`UpdateError::TooLarge`], [`UpdateError::Full`] or [`UpdateError::NeedRoom`].
    pub fn begin_large<L: Log>(
        &mut self,
        _ns: NamespaceId,
        len: usize,
        _now: UnixTime,
        log: &mut L,
    ) -> Result<LargeWriter, UpdateError> {
        if len > self.value_len_max {
            return Err(UpdateError::TooLarge { len, max: self.value_len_max });
        }
        let charge = charge_of(len);
        if !self.budget.begin_writing(charge) {
            return Err(UpdateError::Full { retry: true });
        }
        if let Err(error) = self.take(charge, log) {
            self.budget.end_writing(charge);
            return Err(error);
        }
        Ok(LargeWriter::new(Arc::clone(&self.budget), self.idx, len))
    }

    /// Reads and changes `key` in one step: `decide` is shown the entry, if it is alive.
    ///
    /// # Errors
    ///
    /// [`UpdateError`], with nothing changed but entries evicted to make room.
    #[expect(clippy::too_many_arguments, reason = "the key's parts are known apart at every call")]
    pub fn update<'v, L: Log>(
        &mut self,
        ns: NamespaceId,
        key: &[u8],
        at: KeyHash,
        now: UnixTime,
        log: &mut L,
        decide: impl FnOnce(Option<EntryRef<'_>>) -> Decision<'v>,
    ) -> Result<Outcome, UpdateError> {
        if key.len() > KEY_LEN_MAX {
            return Err(UpdateError::KeyTooLong { len: key.len(), max: KEY_LEN_MAX });
        }
        let id: Id = (ns, key.into());
        if self.entries.get(&id).is_some_and(|entry| entry.deadlines.is_expired(now)) {
            self.remove(&id);
            log.append(ns, at.slot, Change::Expire { key });
        }
        match decide(self.entries.get(&id).map(|entry| EntryRef { key, entry })) {
            Decision::Keep => Ok(Outcome::Kept),
            Decision::Delete => {
                if !self.remove(&id) {
                    return Ok(Outcome::Kept);
                }
                log.append(ns, at.slot, Change::Delete { key });
                Ok(Outcome::Deleted)
            }
            Decision::Touch(deadlines) => {
                let Some(entry) = self.entries.get_mut(&id) else { return Ok(Outcome::Kept) };
                entry.deadlines = deadlines;
                log.append(ns, at.slot, Change::Touch { key, deadlines });
                Ok(Outcome::Touched)
            }
            Decision::Put(put) => self.put(id, at, put, log),
        }
    }

    fn put<L: Log>(
        &mut self,
        id: Id,
        at: KeyHash,
        put: Put<'_>,
        log: &mut L,
    ) -> Result<Outcome, UpdateError> {
        let len = match &put.value {
            Value::Bytes(bytes) => bytes.len(),
            Value::Large(writer) => writer.as_ref().map_or(0, LargeWriter::len),
        };
        if len > self.value_len_max {
            return Err(UpdateError::TooLarge { len, max: self.value_len_max });
        }
        let in_place = match &put.value {
            Value::Bytes(_) => len,
            Value::Large(_) => 0,
        };
        let charge_of_old =
            |shard: &Self| shard.entries.get(&id).map_or(0, |entry| charge(&id.1, entry));
        let created = charge_of_old(self) == 0;
        let before = charge_of_old(self);
        let after = charge_with(&id.1, in_place);
        let more = after.saturating_sub(before);
        self.take(more, log)?;
        // Making room may have evicted the old entry, charge and all.
        let kept = charge_of_old(self);
        if kept < before
            && let Err(error) = self.take(before.min(after), log)
        {
            self.budget.give(self.idx, more);
            return Err(error);
        }
        self.unlink(&id);
        let value = match put.value {
            Value::Bytes(bytes) => Stored::Bytes(bytes.into()),
            Value::Large(writer) => match writer.take() {
                Some(writer) => Stored::Large(writer.finish()),
                None => Stored::Bytes(Box::default()),
            },
        };
        let change = Change::Put {
            key: &id.1,
            value: match &value {
                Stored::Bytes(bytes) => ChangeValue::Bytes(bytes),
                Stored::Large(large) => ChangeValue::Large(large),
            },
            kind: put.kind,
            deadlines: put.deadlines,
            client_flags: put.client_flags,
            content_type: put.content_type,
        };
        let version = log.append(id.0, at.slot, change);
        let entry = Entry {
            value,
            kind: put.kind,
            version,
            deadlines: put.deadlines,
            client_flags: put.client_flags,
            content_type: put.content_type,
            place: self.place_next,
            was_used: AtomicBool::new(false),
        };
        self.charged += charge(&id.1, &entry);
        if kept > after {
            self.budget.give(self.idx, kept - after);
        }
        self.queue.insert(self.place_next, (id.clone(), at.slot));
        self.entries.insert(id, entry);
        self.place_next += 1;
        Ok(Outcome::Put { version, created })
    }

    /// Takes `bytes` from the budget, evicting for them.
    fn take<L: Log>(&mut self, bytes: u64, log: &mut L) -> Result<(), UpdateError> {
        while !self.budget.take(self.idx, bytes) {
            if bytes > self.budget.limit() {
                return Err(UpdateError::Full { retry: false });
            }
            let shard = self.fullest();
            if shard != self.idx && !self.budget.has_fair_share(self.idx, EVICT_LEN) {
                return Err(UpdateError::NeedRoom { shard });
            }
            if !self.evict(log) {
                return Err(UpdateError::Full { retry: true });
            }
        }
        Ok(())
    }

    fn fullest(&self) -> usize {
        let shards = self.budget.shards();
        (0..shards).max_by_key(|shard| self.budget.held(*shard)).unwrap_or(0)
    }

    /// Evicts some entries, for this shard or another.
    pub fn evict_one<L: Log>(&mut self, _now: UnixTime, log: &mut L) {
        let before = self.budget.held(self.idx);
        while self.budget.held(self.idx) + EVICT_LEN > before && self.evict(log) {}
    }

    /// Evicts one entry; whether there was one. Each is passed over once at most, so it ends.
    fn evict<L: Log>(&mut self, log: &mut L) -> bool {
        while let Some((place, (id, slot))) = self.queue.pop_first() {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            debug_assert_eq!(entry.place, place, "a place leads to its entry");
            if core::mem::take(entry.was_used.get_mut()) {
                entry.place = self.place_next;
                self.queue.insert(self.place_next, (id, slot));
                self.place_next += 1;
                continue;
            }
            self.remove(&id);
            log.append(id.0, slot, Change::Evict { key: &id.1 });
            return true;
        }
        false
    }

    /// Removes expired entries among the next `items_max`, going on where the last call stopped.
    pub fn tick<L: Log>(&mut self, now: UnixTime, log: &mut L, items_max: usize) -> Tick {
        let mut handled = 0;
        let mut dead = Vec::new();
        for (place, (id, slot)) in self.queue.range(self.tick_place..).take(items_max) {
            handled += 1;
            self.tick_place = place + 1;
            if self.entries.get(id).is_some_and(|entry| entry.deadlines.is_expired(now)) {
                dead.push((id.clone(), *slot));
            }
        }
        let more = handled == items_max && !dead.is_empty();
        if handled < items_max {
            self.tick_place = 0;
        }
        for (id, slot) in dead {
            self.remove(&id);
            log.append(id.0, slot, Change::Expire { key: &id.1 });
        }
        Tick { handled, more }
    }

    /// The number of entries, those that expired and are not yet removed included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks the invariants of the module's documentation.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn check_invariants(&self) {
        let charged: u64 = self.entries.iter().map(|((_, key), entry)| charge(key, entry)).sum();
        assert_eq!(charged, self.charged, "every entry is charged once");
        assert!(charged <= self.budget.held(self.idx), "the budget knows of every charge");
        assert!(self.budget.used() <= self.budget.limit(), "the limit holds");
        assert_eq!(self.entries.len(), self.queue.len(), "every entry has one place");
        for (place, (id, _)) in &self.queue {
            assert_eq!(
                self.entries.get(id).map(|entry| entry.place),
                Some(*place),
                "a place leads to its entry"
            );
        }
    }

    /// Takes the entry out of both maps and leaves its charge with the caller; whether there was one.
    fn unlink(&mut self, id: &Id) -> bool {
        let Some(entry) = self.entries.remove(id) else { return false };
        self.queue.remove(&entry.place);
        self.charged -= charge(&id.1, &entry);
        if let Stored::Large(large) = &entry.value
            && Arc::strong_count(large) > 1
        {
            large.orphan();
        }
        true
    }

    fn remove(&mut self, id: &Id) -> bool {
        let Some(bytes) = self.entries.get(id).map(|entry| charge(&id.1, entry)) else {
            return false;
        };
        self.unlink(id);
        self.budget.give(self.idx, bytes);
        true
    }
}

/// What an entry is charged, large values' pages not included, in bytes.
fn charge(key: &[u8], entry: &Entry) -> u64 {
    charge_with(
        key,
        match &entry.value {
            Stored::Bytes(bytes) => bytes.len(),
            Stored::Large(_) => 0,
        },
    )
}

fn charge_with(key: &[u8], value_len: usize) -> u64 {
    u64::try_from(2 * key.len() + value_len + ENTRY_OVERHEAD).unwrap_or(u64::MAX)
}

//! Watched keys of one shard: `WATCH` asks whether a key was changed until `EXEC`.
//!
//! Every change of a watched key, a change of its time to live included, gives it the shard's next stamp; a session
//! remembers the stamp of the moment it began to watch. Keys are known by namespace and hash: two keys of equal 64-bit
//! hash would fail each other's transactions, which is allowed, and never let a changed one pass.
//!
//! Invariant: a key has a row exactly while somebody watches it.

use std::collections::BTreeMap;

use ringhold_store::hash::KeyHash;
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;

/// The watched keys of a shard.
#[derive(Debug, Default)]
pub struct Watches {
    rows: BTreeMap<(NamespaceId, u64), Row>,
    /// The last stamp given.
    stamp: u64,
}

#[derive(Debug)]
struct Row {
    slot: Slot,
    watchers: u32,
    /// The stamp of the last change; 0: none since it is watched.
    changed: u64,
    /// Whether there is an entry, so that clearing its slot is a change.
    is_present: bool,
}

impl Watches {
    /// Whether no key is watched.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Begins to watch a key, which has an entry or not; the stamp to ask with.
    pub fn add(&mut self, namespace: NamespaceId, at: KeyHash, is_present: bool) -> u64 {
        let row = self.rows.entry((namespace, at.hash)).or_insert(Row {
            slot: at.slot,
            watchers: 0,
            changed: 0,
            is_present,
        });
        row.watchers += 1;
        // Of another key with the same hash, perhaps.
        row.is_present |= is_present;
        self.stamp
    }

    /// Ends watching a key that [`Watches::add`] began with.
    pub fn remove(&mut self, namespace: NamespaceId, at: KeyHash) {
        if let Some(row) = self.rows.get_mut(&(namespace, at.hash)) {
            row.watchers -= 1;
            if row.watchers == 0 {
                self.rows.remove(&(namespace, at.hash));
            }
        }
    }

    /// Whether a watched key was changed since `stamp`.
    #[must_use]
    pub fn is_changed(&self, namespace: NamespaceId, at: KeyHash, stamp: u64) -> bool {
        self.rows.get(&(namespace, at.hash)).is_none_or(|row| row.changed > stamp)
    }

    /// Notes a change of a key, after which it has an entry or not.
    pub fn note(&mut self, namespace: NamespaceId, hash: u64, is_present: bool) {
        if let Some(row) = self.rows.get_mut(&(namespace, hash)) {
            self.stamp += 1;
            row.changed = self.stamp;
            row.is_present = is_present;
        }
    }

    /// Notes that all keys of a slot are gone. A key that had no entry is as it was.
    pub fn note_clear(&mut self, namespace: NamespaceId, slot: Slot) {
        self.stamp += 1;
        for ((row_namespace, _), row) in &mut self.rows {
            if *row_namespace == namespace && row.slot == slot && row.is_present {
                row.changed = self.stamp;
                row.is_present = false;
            }
        }
    }

    /// How many keys are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

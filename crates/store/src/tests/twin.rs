//! The naive twin of an engine: whatever the log says happened has happened, and only that.
//!
//! The twin also holds the caller's side of the [`Log`]: the versions of slots, their roles, and which entries have to
//! be kept for now; a removal that it did not allow fails the test.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use ringhold_types::entry::{ContentType, ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use crate::entry::{Change, ChangeValue, EntryRef, Log, Role, ValueRef};

/// What an entry is, as its readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) value: Vec<u8>,
    pub(super) kind: u8,
    pub(super) deadlines: Deadlines,
    pub(super) client_flags: u32,
    pub(super) content_type: ContentTypeId,
    pub(super) version: Version,
}

impl Content {
    pub(super) fn of(entry: &EntryRef<'_>) -> Self {
        let value = match entry.value() {
            ValueRef::Bytes(bytes) => bytes.to_vec(),
            ValueRef::Large(large) => large.chunks().flatten().copied().collect(),
        };
        Self {
            value,
            kind: entry.kind(),
            deadlines: entry.deadlines(),
            client_flags: entry.client_flags(),
            content_type: row_of(entry.content_type()),
            version: entry.version(),
        }
    }
}

/// A scan under way: what it still owes, and what it has returned.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) ns: NamespaceId,
    pub(super) slot: Slot,
    pub(super) from: u32,
    /// Keys that were there when it began and have been ever since.
    pub(super) owed: BTreeSet<Vec<u8>>,
    pub(super) seen: BTreeSet<Vec<u8>>,
}

/// How often each kind of removal was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub(super) evicted: u64,
    pub(super) expired: u64,
    pub(super) deleted: u64,
    pub(super) cleared: u64,
}

/// The entries of a namespace and slot by key.
type Table = BTreeMap<Vec<u8>, Content>;

/// The twin of an engine of any number of shards.
#[derive(Debug, Default)]
pub(super) struct Twin {
    pub(super) tables: BTreeMap<(NamespaceId, Slot), Table>,
    pub(super) now: UnixTime,
    pub(super) scan: Option<Scan>,
    pub(super) losses: Losses,
    /// Slots that are no primaries.
    pub(super) backups: BTreeSet<Slot>,
    /// Slots whose entries have to be kept for now.
    pub(super) gates: BTreeSet<Slot>,
    /// The version that a backup was sent with the change it applies.
    pub(super) received: Option<Version>,
    version: u64,
}

impl Twin {
    pub(super) fn entry(&self, ns: NamespaceId, slot: Slot, key: &[u8]) -> Option<&Content> {
        self.tables.get(&(ns, slot))?.get(key)
    }

    /// The entry, if it is not past its deadline.
    pub(super) fn visible(&self, ns: NamespaceId, slot: Slot, key: &[u8]) -> Option<&Content> {
        self.entry(ns, slot, key).filter(|content| !content.deadlines.is_expired(self.now))
    }

    pub(super) fn entries(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    pub(super) fn role(&self, slot: Slot) -> Role {
        if self.backups.contains(&slot) { Role::Backup } else { Role::Primary }
    }

    /// The version of the next change that another node would stamp.
    pub(super) fn version_after(&self, step: u64) -> Version {
        Version(self.version + 1 + step)
    }

    /// What comes back from being expired has not been there all the time.
    fn revive(&mut self, ns: NamespaceId, slot: Slot, key: &[u8]) {
        if self.visible(ns, slot, key).is_none()
            && let Some(scan) = self.scan.as_mut().filter(|scan| (scan.ns, scan.slot) == (ns, slot))
        {
            scan.owed.remove(key);
        }
    }

    fn remove(&mut self, ns: NamespaceId, slot: Slot, key: &[u8]) -> Content {
        if let Some(scan) = self.scan.as_mut().filter(|scan| (scan.ns, scan.slot) == (ns, slot)) {
            scan.owed.remove(key);
        }
        let table = self.tables.get_mut(&(ns, slot)).expect("a removed entry was there");
        table.remove(key).expect("a removed entry was there")
    }

    fn put(&mut self, ns: NamespaceId, slot: Slot, key: &[u8], content: Content) {
        self.tables.entry((ns, slot)).or_default().insert(key.to_vec(), content);
    }
}

impl Log for Twin {
    fn append(&mut self, ns: NamespaceId, slot: Slot, change: Change<'_>) -> Version {
        let received = self.received.filter(|_| self.backups.contains(&slot));
        self.version = received.map_or(self.version + 1, |version| self.version.max(version.0));
        let version = received.unwrap_or(Version(self.version));
        let is_allowed = self.may_remove(slot);
        match change {
            Change::Put { key, value, kind, deadlines, client_flags, content_type } => {
                let value = match value {
                    ChangeValue::Bytes(bytes) => bytes.to_vec(),
                    ChangeValue::Large(large) => large.chunks().flatten().copied().collect(),
                };
                let content = Content {
                    value,
                    kind,
                    deadlines,
                    client_flags,
                    content_type: row_of(content_type),
                    version,
                };
                self.revive(ns, slot, key);
                self.put(ns, slot, key, content);
            }
            Change::Touch { key, deadlines } => {
                self.revive(ns, slot, key);
                let table = self.tables.get_mut(&(ns, slot)).expect("a touched entry is there");
                table.get_mut(key).expect("a touched entry is there").deadlines = deadlines;
            }
            Change::Delete { key } => {
                self.remove(ns, slot, key);
                self.losses.deleted += 1;
            }
            Change::Expire { key } => {
                assert!(is_allowed, "an entry that has to be kept does not expire");
                let content = self.remove(ns, slot, key);
                assert!(content.deadlines.is_expired(self.now), "its time is over");
                self.losses.expired += 1;
            }
            Change::Evict { key } => {
                assert!(is_allowed, "an entry that has to be kept is not evicted");
                self.remove(ns, slot, key);
                self.losses.evicted += 1;
            }
            Change::Clear => {
                let cleared = self.tables.remove(&(ns, slot)).unwrap_or_default();
                self.losses.cleared += u64::try_from(cleared.len()).expect("a count");
                if let Some(scan) = self.scan.as_mut()
                    && (scan.ns, scan.slot) == (ns, slot)
                {
                    scan.owed.clear();
                }
            }
        }
        version
    }

    fn may_remove(&self, slot: Slot) -> bool {
        !self.backups.contains(&slot) && !self.gates.contains(&slot)
    }
}

/// The row of a content type: the twin's have no text.
fn row_of(content_type: ContentType<'_>) -> ContentTypeId {
    match content_type {
        ContentType::Row(row) => row,
        ContentType::Text(text) => panic!("nobody wrote {text:?}"),
    }
}

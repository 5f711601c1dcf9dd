//! The entries of one shard: enough of a store for what the simulated clients ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_cluster::message::Stamp;
use ringhold_cluster::replication::{Kept, Refused, SlotStore};
use ringhold_types::slot::Slot;

/// A value and its version.
pub type Entry = (u64, u64);

/// Entries by slot and key.
#[derive(Debug, Default)]
pub struct Store {
    slots: BTreeMap<Slot, BTreeMap<u32, Entry>>,
    stamps: BTreeMap<Slot, Stamp>,
}

/// What an operation does to keys: the entry that each then has, or none.
#[must_use]
pub fn effect(changes: &[(u32, Option<Entry>)]) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    for (key, entry) in changes {
        let (value, version) = entry.unwrap_or_default();
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
    }
    bytes.into()
}

impl Store {
    /// The entry of a key.
    #[must_use]
    pub fn find(&self, slot: Slot, key: u32) -> Option<Entry> {
        self.slots.get(&slot)?.get(&key).copied()
    }

    /// The version that the next write of a slot gets, when its clock says `clock_us`.
    pub fn next_version(&mut self, slot: Slot, clock_us: u64) -> u64 {
        let stamp = self.stamps.entry(slot).or_default();
        stamp.clock_us = stamp.clock_us.max(clock_us);
        stamp.version = (stamp.version + 1).max(clock_us);
        stamp.version
    }
}

impl SlotStore for Store {
    fn apply(&mut self, slot: Slot, effect: &[u8]) -> Result<(), Refused> {
        let (changes, rest) = effect.as_chunks::<20>();
        if !rest.is_empty() {
            return Err(Refused::Malformed);
        }
        let entries = self.slots.entry(slot).or_default();
        for change in changes {
            let (key, rest) = change.split_first_chunk::<4>().expect("twenty bytes");
            let (value, version) = rest.split_first_chunk::<8>().expect("sixteen bytes");
            let version = u64::from_le_bytes(*version.first_chunk().expect("eight bytes"));
            let key = u32::from_le_bytes(*key);
            match u64::from_le_bytes(*value) {
                0 => drop(entries.remove(&key)),
                value => drop(entries.insert(key, (value, version))),
            }
        }
        Ok(())
    }

    fn clear(&mut self, slot: Slot) {
        self.slots.remove(&slot);
    }

    fn set_kept(&mut self, _slot: Slot, _kept: Kept) {}

    fn scan(
        &mut self,
        slot: Slot,
        cursor: Option<u64>,
        emit: &mut dyn FnMut(Arc<[u8]>),
    ) -> Option<u64> {
        let entries = self.slots.get(&slot)?;
        let from = cursor.and_then(|cursor| u32::try_from(cursor).ok()).unwrap_or(0);
        let mut rest = entries.range(from..);
        for (&key, &entry) in rest.by_ref().take(3) {
            emit(effect(&[(key, Some(entry))]));
        }
        rest.next().map(|(&key, _)| u64::from(key))
    }

    fn stamp(&self, slot: Slot) -> Stamp {
        self.stamps.get(&slot).copied().unwrap_or_default()
    }

    fn observe(&mut self, slot: Slot, seen: Stamp) {
        let stamp = self.stamps.entry(slot).or_default();
        stamp.clock_us = stamp.clock_us.max(seen.clock_us);
        stamp.version = stamp.version.max(seen.version);
    }
}

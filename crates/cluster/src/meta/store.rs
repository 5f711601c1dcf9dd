//! The log in memory, as the crate `raft` reads it: entries that are persisted, and the map that they led to.
//!
//! Invariants: entries are contiguous from the one after `base`; `base` ≤ the map's index ≤ the last index; whatever is
//! not applied is kept; of what is applied, a tail for slow followers.

use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use super::entry::{LogEntry, SavedMap};
use super::membership::Membership;
use crate::codec::Encode;
use crate::map::Map;

/// With more entries than this the applied ones are cut down to [`TAIL_ENTRIES`].
pub const LOG_ENTRIES_MAX: usize = 8192;
/// With more bytes than this the applied ones are cut down to [`TAIL_LEN`].
pub const LOG_LEN_MAX: usize = 8 << 20;
/// Applied entries that are kept for slow followers; who lacks more is sent the map.
pub const TAIL_ENTRIES: usize = 2048;
/// Their bytes.
pub const TAIL_LEN: usize = 2 << 20;
/// The most entries that are handed to the crate at a time; it asks again.
const READ_ENTRIES_MAX: usize = 4096;
/// What an entry takes beside its data, about.
const ENTRY_OVERHEAD: usize = 64;

const _: () = assert!(TAIL_ENTRIES < LOG_ENTRIES_MAX, "a cut frees something");
const _: () = assert!(TAIL_LEN < LOG_LEN_MAX, "a cut frees something");

#[derive(Debug)]
pub(super) struct Store {
    /// The index and term before the first entry.
    base: (u64, u64),
    entries: VecDeque<Entry>,
    /// Data of the entries and [`ENTRY_OVERHEAD`] each.
    len: usize,
    pub(super) hard: HardState,
    /// As of the map's index.
    pub(super) membership: Membership,
    pub(super) map: Arc<Map>,
}

impl Store {
    /// A store without a log; that of a joiner.
    pub(super) fn empty() -> Self {
        Self {
            base: (0, 0),
            entries: VecDeque::new(),
            len: 0,
            hard: HardState::default(),
            membership: Membership::default(),
            map: Arc::new(Map::unknown()),
        }
    }

    /// Starts anew from a saved map, which `map` is.
    pub(super) fn install(&mut self, saved: &SavedMap, map: Arc<Map>) {
        assert_eq!(map.idx.0, saved.idx, "a saved map is the map at its index");
        self.base = (saved.idx, saved.term);
        self.entries.clear();
        self.len = 0;
        self.hard.commit = self.hard.commit.max(saved.idx);
        self.hard.term = self.hard.term.max(saved.term);
        self.membership.clone_from(&saved.membership);
        self.map = map;
    }

    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        assert!(first > self.map.idx.0, "what is applied stays");
        assert!(first <= self.last() + 1, "the log has no holes");
        while self.last() >= first {
            self.len -= self.entries.pop_back().as_ref().map_or(0, cost);
        }
        self.len += entries.iter().map(cost).sum::<usize>();
        self.entries.extend(entries);
    }

    pub(super) fn last(&self) -> u64 {
        self.entries.back().map_or(self.base.0, |entry| entry.index)
    }

    /// The index before the first entry.
    pub(super) fn base(&self) -> u64 {
        self.base.0
    }

    /// Drops applied entries when there are too many.
    pub(super) fn compact(&mut self) {
        if self.entries.len() <= LOG_ENTRIES_MAX && self.len <= LOG_LEN_MAX {
            return;
        }
        while self.entries.len() > TAIL_ENTRIES || self.len > TAIL_LEN {
            let is_applied = |entry: &Entry| entry.index <= self.map.idx.0;
            if !self.entries.front().is_some_and(is_applied) {
                return;
            }
            let Some(entry) = self.entries.pop_front() else { return };
            self.base = (entry.index, entry.term);
            self.len -= cost(&entry);
        }
    }

    /// The map with its place in the log; `None`: nothing is known yet.
    pub(super) fn saved(&self) -> Option<SavedMap> {
        let idx = self.map.idx.0;
        let term = self.term(idx).ok().filter(|_| idx > 0)?;
        let map = self.map.to_bytes().into();
        Some(SavedMap { idx, term, membership: self.membership.clone(), map })
    }

    /// The entries that are not applied.
    pub(super) fn unapplied(&self) -> impl Iterator<Item = LogEntry> + '_ {
        self.entries.iter().filter(|entry| entry.index > self.map.idx.0).map(LogEntry::from_raft)
    }

    fn at(&self, idx: u64) -> Option<&Entry> {
        let back = self.last().checked_sub(idx)?;
        let place = self.entries.len().checked_sub(1)?.checked_sub(usize::try_from(back).ok()?)?;
        self.entries.get(place)
    }

    pub(super) fn check_invariants(&self) {
        let idxs = self.entries.iter().map(|entry| entry.index);
        assert!(idxs.eq(self.base.0 + 1..=self.last()), "entries are contiguous");
        assert!(self.base.0 <= self.map.idx.0, "what is not applied is kept");
        assert!(self.map.idx.0 <= self.last(), "what is applied was in the log");
        assert_eq!(self.len, self.entries.iter().map(cost).sum::<usize>(), "bytes are counted");
    }
}

fn cost(entry: &Entry) -> usize {
    entry.data.len() + ENTRY_OVERHEAD
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let is_unknown = self.membership.is_unknown();
        let conf_state = if is_unknown { ConfState::default() } else { self.membership.to_raft() };
        Ok(RaftState { hard_state: self.hard.clone(), conf_state })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        len_max: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let len_max: Option<u64> = len_max.into();
        // Without a bound of bytes the crate wants all of them (what is committed and not applied yet).
        let count_max = if len_max.is_some() { READ_ENTRIES_MAX } else { usize::MAX };
        let wanted = (low..high).map_while(|idx| self.at(idx)).take(count_max);
        let mut entries: Vec<Entry> = wanted.cloned().collect();
        raft::util::limit_size(&mut entries, len_max);
        Ok(entries)
    }

    fn term(&self, idx: u64) -> raft::Result<u64> {
        if idx == self.base.0 {
            return Ok(self.base.1);
        }
        match self.at(idx) {
            Some(entry) => Ok(entry.term),
            None if idx < self.base.0 => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, at_least: u64, _to: u64) -> raft::Result<Snapshot> {
        let saved = self.saved().filter(|saved| saved.idx >= at_least);
        let missing = Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        saved.map(SavedMap::into_raft).ok_or(missing)
    }
}

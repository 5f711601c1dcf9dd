//! Committed entries for nodes outside the log: what they apply, and what is kept for those that ask.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_types::id::MapIdx;

use crate::codec::{Decode, Malformed, encoded_struct};
use crate::command::Command;
use crate::map::Map;

/// The most committed entries that are kept for observers; who lacks more takes the map.
pub const HISTORY_ENTRIES_MAX: usize = 4096;
/// The most bytes of their commands.
pub const HISTORY_LEN_MAX: usize = 4 << 20;

/// A committed entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its index.
    pub idx: MapIdx,
    /// Its term.
    pub term: u64,
    /// The bytes of its commands, as [`commands`] reads them; empty: it has none.
    pub bytes: Bytes,
}

encoded_struct!(Committed { idx, term, bytes });

/// The commands of an entry's bytes.
///
/// # Errors
///
/// [`Malformed`]: they are no list of commands.
pub fn commands(bytes: &[u8]) -> Result<Vec<Command>, Malformed> {
    if bytes.is_empty() { Ok(Vec::new()) } else { Vec::from_bytes(bytes) }
}

/// What became of a committed entry at an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It was the next one; the map is the one after it.
    Applied {
        /// Its commands.
        commands: Vec<Command>,
    },
    /// The map reflects it already.
    Known,
    /// Entries before it are missing: those after `have`, or a map, are to be asked for.
    Gap {
        /// The map's index.
        have: MapIdx,
    },
}

/// Applies a committed entry to an observer's map, when it is the next one. The map is copied first if others share it;
/// its slots are shared until they change.
///
/// # Errors
///
/// [`Malformed`]: the entry's bytes are no commands. The map is unchanged; it falls behind until its node understands
/// them or takes a map.
pub fn observe(map: &mut Arc<Map>, committed: &Committed) -> Result<Observed, Malformed> {
    if committed.idx <= map.idx {
        return Ok(Observed::Known);
    }
    if map.idx.0.checked_add(1) != Some(committed.idx.0) || map.idx.0 == 0 {
        return Ok(Observed::Gap { have: map.idx });
    }
    let commands = commands(&committed.bytes)?;
    Arc::make_mut(map).apply(committed.idx, committed.term, &commands);
    Ok(Observed::Applied { commands })
}

/// What an observer that has the map at some index lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// These entries, in their order; none: nothing.
    Entries(Vec<Committed>),
    /// More than is kept: this map.
    Map(Arc<Map>),
}

/// The last committed entries, up to the map that they lead to.
#[derive(Debug, Default)]
pub struct History {
    entries: VecDeque<Committed>,
    len: usize,
}

impl History {
    /// Adds the one after the last.
    pub fn push(&mut self, committed: Committed) {
        self.len += committed.bytes.len();
        self.entries.push_back(committed);
        while self.entries.len() > HISTORY_ENTRIES_MAX || self.len > HISTORY_LEN_MAX {
            self.len -= self.entries.pop_front().map_or(0, |oldest| oldest.bytes.len());
        }
    }

    /// Forgets them: the map came whole.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.len = 0;
    }

    /// What an observer lacks that has the map at `idx`; they lead to `map`.
    #[must_use]
    pub fn since(&self, idx: MapIdx, map: &Arc<Map>) -> Since {
        if idx >= map.idx {
            return Since::Entries(Vec::new());
        }
        let known = self.entries.iter().skip_while(|entry| entry.idx <= idx);
        let entries: Vec<Committed> = known.cloned().collect();
        match entries.first() {
            Some(first) if first.idx.0 == idx.0 + 1 && idx.0 > 0 => Since::Entries(entries),
            Some(_) | None => Since::Map(Arc::clone(map)),
        }
    }

    pub(super) fn check_invariants(&self, map: &Map) {
        let len: usize = self.entries.iter().map(|entry| entry.bytes.len()).sum();
        assert_eq!(len, self.len, "bytes are counted");
        let idxs: Vec<u64> = self.entries.iter().map(|entry| entry.idx.0).collect();
        assert!(idxs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "history has no holes");
        assert!(idxs.last().is_none_or(|&last| last == map.idx.0), "history ends at the map");
    }
}

//! A look-up in steps, so that the cache misses of many look-ups overlap (ENGINE.md 12, "Batched look-up"; the method
//! is group prefetching: Chen and others, "Improving Hash Join Performance through Prefetching", ICDE 2004).
//!
//! Each step reads what the one before has fetched and fetches what the next will read. The caller, who holds the locks
//! of all shards concerned, takes each step for all its keys before the next.

use ringhold_types::id::NamespaceId;
use ringhold_types::time::UnixTime;

use super::Shard;
use crate::entry::Lookup;
use crate::hash::KeyHash;
use crate::prefetch::prefetch;
use crate::table::Word;

/// One look-up under way. What it knows of the shard holds while the shard's lock is held.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub(super) at: KeyHash,
    pub(super) space_idx: usize,
    pub(super) table_idx: usize,
    /// The first word with the key's fragment, and its index.
    pub(super) found: Option<(usize, Word)>,
}

impl Probe {
    /// A look-up of nothing.
    pub const NONE: Self =
        Self { at: KeyHash::NONE, space_idx: usize::MAX, table_idx: 0, found: None };
}

/// How far from its home a word is looked for in fetched memory, in words: most stand no farther, and what lies on the
/// line of the home costs nothing more.
const RUN_LEN: usize = 5;

impl Shard {
    /// The first step: where the slot's table is.
    #[inline]
    #[must_use]
    pub fn probe(&self, ns: NamespaceId, at: KeyHash) -> Probe {
        let space = self.spaces.iter().position(|space| space.ns == ns);
        let Some(space_idx) = space else { return Probe { at, ..Probe::NONE } };
        let table_idx = self.common.table_idx(at.slot);
        prefetch(&self.spaces[space_idx].tables[table_idx]);
        Probe { at, space_idx, table_idx, found: None }
    }

    /// The second step: where the key's word is or would be.
    #[inline]
    pub fn probe_words(&self, probe: &Probe) {
        let Some(space) = self.spaces.get(probe.space_idx) else { return };
        let run = space.tables[probe.table_idx].run(probe.at.fragment());
        if let Some(first) = run.first() {
            prefetch(first);
        }
        if let Some(last) = run.get(RUN_LEN) {
            prefetch(last);
        }
    }

    /// The third step: the word, and where the item is.
    #[inline]
    pub fn probe_item(&self, probe: &mut Probe) {
        let Some(space) = self.spaces.get(probe.space_idx) else { return };
        probe.found = space.tables[probe.table_idx].find(probe.at.fragment(), |_| true);
        if let Some((_, word)) = probe.found {
            space.fetch_item(word.location());
        }
    }

    /// The last step: what [`Shard::lookup`] of `key` answers.
    #[inline]
    #[must_use]
    pub fn finish(&self, probe: &Probe, key: &[u8], now: UnixTime) -> Lookup<'_> {
        let Some(space) = self.spaces.get(probe.space_idx) else { return Lookup::Miss };
        let Some((idx, word)) = probe.found else { return Lookup::Miss };
        if !space.has_key(word, key) {
            // A key of the same fragment stands first; this one stands behind it, if it is there at all.
            return self.lookup(space.ns, key, probe.at, now);
        }
        let entry = space.entry(word);
        if entry.item.is_expired(now) {
            return Lookup::Expired;
        }
        space.tables[probe.table_idx].bump(idx);
        Lookup::Hit(entry)
    }
}

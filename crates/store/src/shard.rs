//! A shard: the part of a node's memory behind one lock.
//!
//! Look-ups take `&self`, everything else `&mut self`; no call waits for anything. A call evacuates at
//! most [`EVACUATIONS_MAX`] segments, and for a large value half as many again as it fills.
//!
//! Left out so far: the reserve's floor for primaries; naming the
//! oldest backup entries.

mod ops;
mod probe;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;

use ringhold_types::id::NamespaceId;
use ringhold_types::limits::NAMESPACES_MAX;
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use crate::budget::{Budget, Geometry, Purse};
use crate::entry::{EntryRef, Log, Lookup, Role, UpdateError};
use crate::evict::Mode;
use crate::expiry::TickWork;
use crate::hash::{HashSeed, KeyHash};
use crate::segment::Queue;
pub use crate::space::Work;
use crate::space::{Common, Detached, RESERVE, Space};
pub use probe::Probe;

/// The most segments that one call evacuates, beside three for every two that a large value fills which it brings.
pub const EVACUATIONS_MAX: u64 = 4;
/// More than an entry takes beside what travels of it: its header, its word, the bookkeeping of a large value.
const COPY_OVERHEAD: u64 = 256;
/// Entries whose memory a scan fetches together.
const SCAN_BATCH: usize = 16;
/// Under so many segments a shard has only three classes of time to live.
const COARSE_SEGMENTS: u64 = 512;
/// In so many last evacuations of a call for a small value everything that may go goes.
const FORCED: u64 = 1;

/// One shard of a node's memory.
#[derive(Debug)]
pub struct Shard {
    common: Common,
    spaces: Vec<Space>,
    /// Namespaces without a space here whose entries may not be evicted, when there are some.
    unevicted: Vec<NamespaceId>,
    /// The space that the next tick begins with.
    first_space: usize,
    prng: Prng,
}

/// Counts of a space or of one slot of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries, expired ones that were not taken away yet included.
    pub entries: u64,
    /// Bytes of their items in the log.
    pub item_bytes: u64,
    /// Bytes of their tables.
    pub table_bytes: u64,
    /// All charged bytes; of a slot, items and table.
    pub held: u64,
}

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Entries removed or moved.
    pub handled: u64,
    /// Whether work is left, so that the next tick should come soon.
    pub more: bool,
}

/// A grant that was refused, and by whom.
enum Want {
    Quota,
    Engine,
}

impl Shard {
    /// Shard `idx` of an engine of this geometry, whose reserve is charged at once.
    ///
    /// # Panics
    ///
    /// When the budget is used up before the shards are made.
    #[must_use]
    pub fn new(idx: usize, geometry: Geometry, seed: HashSeed, budget: Arc<Budget>) -> Self {
        let roles = alloc::vec![Role::Primary; geometry.slots_per_shard()].into_boxed_slice();
        let prng = Prng::new(u64::try_from(idx).unwrap_or(0));
        let shards = u64::try_from(geometry.shards).unwrap_or(1);
        let seg_bytes = u64::try_from(geometry.seg_len).unwrap_or(u64::MAX);
        let mut common = Common {
            idx,
            geometry,
            seed,
            budget,
            pool: Vec::new(),
            roles,
            born: 0,
            work: Work::default(),
            before: Work::default(),
            brought: 0,
            is_coarse: geometry.limit / shards < COARSE_SEGMENTS * seg_bytes,
        };
        for _ in 0..RESERVE {
            let buf = common.buffer(usize::MAX, Purse::Common);
            common.pool.push(buf.expect("the reserve of a new shard fits the budget"));
        }
        Self { common, spaces: Vec::new(), unevicted: Vec::new(), first_space: 0, prng }
    }

    /// Looks an entry up and counts the hit.
    #[inline]
    #[must_use]
    pub fn lookup(&self, ns: NamespaceId, key: &[u8], at: KeyHash, now: UnixTime) -> Lookup<'_> {
        self.look(ns, key, at, now, |table, idx| table.bump(idx))
    }

    /// Looks an entry up and leaves no trace.
    #[must_use]
    pub fn peek(&self, ns: NamespaceId, key: &[u8], at: KeyHash, now: UnixTime) -> Lookup<'_> {
        self.look(ns, key, at, now, |_, _| ())
    }

    #[inline]
    fn look(
        &self,
        ns: NamespaceId,
        key: &[u8],
        at: KeyHash,
        now: UnixTime,
        hit: impl FnOnce(&crate::table::Table, usize),
    ) -> Lookup<'_> {
        let Some(space) = self.space(ns) else { return Lookup::Miss };
        let table_idx = self.common.table_idx(at.slot);
        let Some((idx, word)) = space.find(table_idx, at, key) else { return Lookup::Miss };
        let entry = space.entry(word);
        if entry.item.is_expired(now) {
            return Lookup::Expired;
        }
        hit(&space.tables[table_idx], idx);
        Lookup::Hit(entry)
    }

    /// Visits the live entries of a slot from a fragment on, in order, until their keys and values have
    /// `max_bytes`, but always whole groups of equal fragment. Returns the fragment to resume at.
    #[expect(clippy::too_many_arguments, reason = "where, how much, and what for")]
    pub fn scan(
        &self,
        ns: NamespaceId,
        slot: Slot,
        from_fragment: u32,
        max_bytes: usize,
        now: UnixTime,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> Option<u32> {
        let space = self.space(ns)?;
        let (mut bytes, mut last) = (0, None);
        let mut words = space.tables[self.common.table_idx(slot)].iter(from_fragment);
        let mut batch = [None; SCAN_BATCH];
        loop {
            for row in &mut batch {
                *row = words.next();
                if let Some(word) = row {
                    space.fetch_item(word.location());
                }
            }
            for word in batch {
                let word = word?;
                if bytes >= max_bytes && last.is_some_and(|last| last != word.fragment()) {
                    return Some(word.fragment());
                }
                last = Some(word.fragment());
                let entry = space.entry(word);
                bytes = bytes.saturating_add(entry.key().len() + entry.value().len());
                if !entry.item.is_expired(now) {
                    visit(entry);
                }
            }
        }
    }

    /// Removes all entries of a slot at once; their memory is found by later ticks.
    pub fn clear(&mut self, ns: NamespaceId, slot: Slot, log: &mut impl Log) {
        let table_idx = self.common.table_idx(slot);
        log.append(ns, slot, crate::entry::Change::Clear);
        let Some(space) = self.spaces.iter_mut().find(|space| space.ns == ns) else { return };
        if space.tables[table_idx].len() == 0 {
            space.shrink_table(&mut self.common, table_idx, 0);
            return;
        }
        let table = core::mem::take(&mut space.tables[table_idx]);
        self.common.born += 1;
        space.entries -= u64::try_from(table.len()).unwrap_or(0);
        space.detached.push_back(Detached { table, at: self.common.born, from: 0 });
    }

    /// Takes away what is expired or cleared, and what a lowered limit has no room for, and compacts what is mostly dead;
    /// about `max_items` entries, or the segment or table that passes them, of all spaces together.
    pub fn tick(&mut self, now: UnixTime, log: &mut impl Log, max_items: u64) -> Tick {
        self.common.begin_call();
        let count = self.spaces.len();
        // Another space is first every time, so that none waits for ever.
        self.first_space = (self.first_space + 1) % count.max(1);
        // What there is too much of waits for nothing that only might be had.
        let is_over = self.is_over_limit() || self.spaces.iter().any(|space| self.is_over(space));
        let reclaimed = if is_over { EVACUATIONS_MAX / 2 } else { EVACUATIONS_MAX };
        let work = TickWork::new(&self.common, max_items, reclaimed);
        let (mut walked, mut counted, mut more) = (0, 0, false);
        for step in 0..count {
            let space = &mut self.spaces[(self.first_space + step) % count];
            let left = max_items.saturating_sub(walked + work.items(&self.common));
            walked += space.walk_detached(&mut self.common, left);
            more |= !space.detached.is_empty();
            more |= space.sweep(&mut self.common, log, now, work, &mut counted);
            space.compact(&mut self.common, log, now, work);
        }
        // What became free since the last tick and was not written to is for all shards.
        while self.common.trim() {}
        while self.common.evacuations_left() > 0 && self.is_over_limit() {
            // What was swept and compacted counts: what is left of the copies is judged, then all goes.
            let mode = if self.common.may_judge() { self.mode() } else { Mode::Force };
            if !self.evict_somewhere(None, now, log, mode) {
                break;
            }
            more = true;
            while self.common.trim() {}
        }
        for step in 0..count {
            let idx = (self.first_space + step) % count;
            if self.is_over(&self.spaces[idx]) {
                more |= !self.shed(idx, now, log);
            }
        }
        Tick { handled: walked + work.items(&self.common), more }
    }

    /// Whether more is used than entries of primary slots may use: the limit was lowered.
    fn is_over_limit(&self) -> bool {
        self.common.budget.used() > self.common.budget.ceiling(Purse::Common)
    }

    /// Whether a space has more than its quota and can give it up.
    fn is_over(&self, space: &Space) -> bool {
        space.evicts && !space.is_within_quota(&self.common, 0)
    }

    /// Evicts one segment and gives its memory to all shards. False when nothing could go.
    pub fn evict_one(&mut self, now: UnixTime, log: &mut impl Log) -> bool {
        self.common.begin_call();
        let evicted = self.evict_here(now, log);
        while self.common.trim() {}
        evicted
    }

    /// Evicts one segment and keeps its memory for this shard's next write.
    pub fn make_room(&mut self, now: UnixTime, log: &mut impl Log) -> bool {
        self.common.begin_call();
        self.evict_here(now, log)
    }

    fn evict_here(&mut self, now: UnixTime, log: &mut dyn Log) -> bool {
        self.evict_somewhere(None, now, log, self.mode())
    }

    /// How the next evacuation judges: without its reserve it has nowhere to copy to.
    fn mode(&self) -> Mode {
        if self.common.pool.len() < RESERVE { Mode::Force } else { Mode::Judge }
    }

    /// Sets the role of a slot; nothing moves now.
    pub fn set_role(&mut self, slot: Slot, role: Role) {
        let table_idx = self.common.table_idx(slot);
        let before = core::mem::replace(&mut self.common.roles[table_idx], role);
        match (before, role) {
            (Role::Primary, Role::Backup) => self.common.budget.add_backup(),
            (Role::Backup, Role::Primary) => {
                self.common.budget.drop_backup();
                for space in &mut self.spaces {
                    space.promoted += space.tables[table_idx].item_bytes;
                }
            }
            (Role::Primary, Role::Primary) | (Role::Backup, Role::Backup) => {}
        }
    }

    /// Whether `count` entries of `len` bytes in all can certainly be written to a backup slot: room is there for them and
    /// for what their tables may grow by.
    #[must_use]
    pub fn has_room_for_copies(&self, slot: Slot, count: usize, len: usize) -> bool {
        let table_idx = self.common.table_idx(slot);
        let tables = self.spaces.iter().map(|space| space.tables[table_idx].charge());
        // A table is rebuilt beside itself, and at most half as large again.
        let tables = 3 * tables.sum::<u64>() + Space::fixed_charge(&self.common.geometry);
        let per_entry = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(COPY_OVERHEAD);
        let entries = per_entry.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        // The rest of an open segment may be too short for any of them.
        let need = entries.saturating_mul(2).saturating_add(tables + 2 * self.common.seg_bytes());
        self.common.budget.used().saturating_add(need) <= self.common.budget.ceiling(Purse::Backup)
    }

    /// The role of a slot.
    #[must_use]
    pub fn role(&self, slot: Slot) -> Role {
        self.common.role(slot)
    }

    /// Bounds the memory of a namespace in this shard, in bytes (entries of backup slots do not count), and says
    /// whether its entries may be evicted. Whether it is within its quota now: an evicted namespace that is not gives
    /// up some segments with every call. Without a quota nothing is made for a namespace that has no entries here, and
    /// nothing can fail.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]: there is no room for the namespace's tables, or there are too many namespaces.
    pub fn configure(
        &mut self,
        ns: NamespaceId,
        quota: Option<u64>,
        evicts: bool,
        now: UnixTime,
        log: &mut impl Log,
    ) -> Result<bool, UpdateError> {
        self.common.begin_call();
        if quota.is_none() && self.space(ns).is_none() {
            self.unevicted.retain(|&other| other != ns);
            if !evicts {
                self.unevicted.push(ns);
            }
            return Ok(true);
        }
        self.check_spaces(ns)?;
        let idx = self.with_room(now, log, (0, FORCED), |shard| {
            shard.space_idx(ns).ok_or((None, Want::Engine))
        })?;
        self.spaces[idx].quota = quota;
        self.spaces[idx].evicts = evicts;
        Ok(!evicts || self.shed(idx, now, log))
    }

    /// Evacuates one segment before it is needed, so that a write that opens a segment finds one and nothing has to be
    /// dropped for want of time; from when the open segment is half full.
    fn evict_ahead(
        &mut self,
        ns: NamespaceId,
        (queue, class): (Queue, u8),
        now: UnixTime,
        log: &mut dyn Log,
    ) {
        let common = &self.common;
        if common.pool.len() > RESERVE {
            return;
        }
        let Some(idx) = self.spaces.iter().position(|space| space.ns == ns) else { return };
        let space = &self.spaces[idx];
        let open = space.open[queue.idx()][usize::from(class)] as usize;
        if (space.segs[open].len as usize) * 2 < common.geometry.seg_len {
            return;
        }
        // After a large value's pages there may be nothing left of what the call may do.
        if common.evacuations_left() <= FORCED || !common.may_judge() {
            return;
        }
        let seg_bytes = common.seg_bytes();
        let is_over = !space.is_within_quota(common, seg_bytes);
        if !is_over
            && (common.budget.has_room(2 * seg_bytes)
                || !common.budget.has_fair_share(common.idx, seg_bytes))
        {
            return;
        }
        self.evict_somewhere(is_over.then_some(idx), now, log, self.mode());
    }

    /// Evicts from a space that is over its quota, for as long as the call may; true when it is within, or can give
    /// nothing.
    fn shed(&mut self, idx: usize, now: UnixTime, log: &mut dyn Log) -> bool {
        while !self.spaces[idx].is_within_quota(&self.common, 0) {
            if self.common.evacuations_left() == 0 {
                return false;
            }
            if !self.spaces[idx].evict_segment(&mut self.common, log, now, Mode::Force) {
                return true;
            }
            while self.common.trim() {}
        }
        true
    }

    /// Drops everything of a namespace; nothing is appended to a log. True if there was anything.
    pub fn drop_space(&mut self, ns: NamespaceId) -> bool {
        self.unevicted.retain(|&other| other != ns);
        let Some(at) = self.spaces.iter().position(|space| space.ns == ns) else { return false };
        let space = self.spaces.swap_remove(at);
        space.retire(&self.common);
        true
    }

    /// What the shard has done since it was made.
    #[must_use]
    pub fn work(&self) -> Work {
        self.common.work
    }

    /// The namespaces that have a space here.
    pub fn namespaces(&self) -> impl Iterator<Item = NamespaceId> {
        self.spaces.iter().map(|space| space.ns)
    }

    /// Counts of all namespaces; `held` is all that the shard was charged.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let sum = |of: fn(&Stats) -> u64| self.spaces.iter().map(|space| of(&space.stats())).sum();
        Stats {
            entries: sum(|stats| stats.entries),
            item_bytes: sum(|stats| stats.item_bytes),
            table_bytes: sum(|stats| stats.table_bytes),
            held: self.common.budget.held(self.common.idx),
        }
    }

    /// Counts of one namespace; O(slots of the shard).
    #[must_use]
    pub fn space_stats(&self, ns: NamespaceId) -> Stats {
        self.space(ns).map_or_else(Stats::default, Space::stats)
    }

    /// Counts of one slot in one namespace; O(parts of its table).
    #[must_use]
    pub fn slot_stats(&self, ns: NamespaceId, slot: Slot) -> Stats {
        let table = self.space(ns).map(|space| &space.tables[self.common.table_idx(slot)]);
        table.map_or_else(Stats::default, |table| Stats {
            entries: u64::try_from(table.len()).unwrap_or(u64::MAX),
            item_bytes: table.item_bytes,
            table_bytes: table.charge(),
            held: table.item_bytes + table.charge(),
        })
    }

    /// Asserts what the modules of this crate promise about their structures; O(entries).
    pub fn check_invariants(&self) {
        for space in &self.spaces {
            space.check_invariants();
        }
        let reserve = u64::try_from(self.common.pool.len()).unwrap_or(0) * self.common.seg_bytes();
        let held: u64 = self.spaces.iter().map(|space| space.held).sum();
        assert!(held + reserve <= self.common.budget.held(self.common.idx), "all is charged");
    }

    #[inline]
    fn space(&self, ns: NamespaceId) -> Option<&Space> {
        self.spaces.iter().find(|space| space.ns == ns)
    }

    /// The index of the space of `ns`, made if there is none; `None` when memory is missing.
    fn space_idx(&mut self, ns: NamespaceId) -> Option<usize> {
        if let Some(at) = self.spaces.iter().position(|space| space.ns == ns) {
            return Some(at);
        }
        if self.spaces.len() >= NAMESPACES_MAX {
            return None;
        }
        let charge = Space::fixed_charge(&self.common.geometry);
        if !self.common.budget.add_directory(charge) {
            return None;
        }
        if !self.common.take(charge, Purse::Common) {
            self.common.budget.drop_directory(charge);
            return None;
        }
        let evicts = !self.unevicted.contains(&ns);
        self.spaces.push(Space { evicts, ..Space::new(ns, &self.common.geometry) });
        Some(self.spaces.len() - 1)
    }

    /// Fails when a space of `ns` would be one too many, or its directory would take what entries need.
    fn check_spaces(&self, ns: NamespaceId) -> Result<(), UpdateError> {
        if self.space(ns).is_some() {
            return Ok(());
        }
        if self.spaces.len() >= NAMESPACES_MAX {
            return Err(UpdateError::TooManySpaces { max: NAMESPACES_MAX });
        }
        let charge = Space::fixed_charge(&self.common.geometry);
        if !self.common.budget.has_room_for_directory(charge) {
            return Err(UpdateError::Full { retry: false });
        }
        Ok(())
    }

    /// What a write fails with when nothing can be evicted anywhere.
    #[must_use]
    pub fn full(&self) -> UpdateError {
        let retry = self.common.budget.in_flight() > 0 || self.spaces.iter().any(|s| s.evicts);
        UpdateError::Full { retry }
    }

    /// Evicts until `attempt` succeeds, for as long as the call may, less `kept` evacuations for what it does next; the
    /// last `forced` of them judge nothing. What this shard cannot give is asked of the others.
    fn with_room<T>(
        &mut self,
        now: UnixTime,
        log: &mut dyn Log,
        (kept, forced): (u64, u64),
        mut attempt: impl FnMut(&mut Self) -> Result<T, (Option<usize>, Want)>,
    ) -> Result<T, UpdateError> {
        let mut is_first = true;
        loop {
            let (space_idx, want) = match attempt(self) {
                Ok(done) => return Ok(done),
                Err(refused) => refused,
            };
            let slack = self.common.seg_bytes();
            let only = match want {
                Want::Quota => space_idx,
                Want::Engine => {
                    let has_share = self.common.budget.has_fair_share(self.common.idx, slack);
                    if is_first
                        && !has_share
                        && let Some(shard) = self.fullest_of_four()
                    {
                        return Err(UpdateError::NeedRoom { shard });
                    }
                    None
                }
            };
            is_first = false;
            let left = self.common.evacuations_left().saturating_sub(kept);
            let is_judged = left > forced && self.common.may_judge();
            let mode = if is_judged { self.mode() } else { Mode::Force };
            let before = self.common.work.evacuations;
            if left > 0 && self.evict_somewhere(only, now, log, mode) {
                continue;
            }
            // An evacuation that judged and found no room for a copy is followed by one that copies nothing.
            if mode != Mode::Force && self.common.work.evacuations > before {
                continue;
            }
            return Err(match (only, self.fullest_other()) {
                (Some(idx), _) => UpdateError::Full { retry: self.spaces[idx].evicts },
                (None, Some(shard)) => UpdateError::NeedRoom { shard },
                (None, None) => self.full(),
            });
        }
    }

    /// Evicts one segment of the space at `only`, else of the one that holds most of those that can give one; several are
    /// tried while the call may evacuate. All spaces of a shard have the same fair share, so who holds most is farthest
    /// beyond it.
    fn evict_somewhere(
        &mut self,
        only: Option<usize>,
        now: UnixTime,
        log: &mut dyn Log,
        mode: Mode,
    ) -> bool {
        if let Some(idx) = only {
            return self.spaces[idx].evict_segment(&mut self.common, log, now, mode);
        }
        let mut tried = 0u64;
        loop {
            let able = self.spaces.iter().enumerate();
            // One with eviction off can still be compacted.
            let able = able.filter(|(idx, _)| tried >> idx & 1 == 0);
            let Some((idx, _)) = able.max_by_key(|(_, space)| space.held) else { return false };
            if self.spaces[idx].evict_segment(&mut self.common, log, now, mode) {
                return true;
            }
            if self.common.evacuations_left() == 0 {
                return false;
            }
            tried |= 1 << idx;
        }
    }

    /// The shard that holds most beside this one.
    fn fullest_other(&self) -> Option<usize> {
        let others = (0..self.common.geometry.shards).filter(|&idx| idx != self.common.idx);
        others.max_by_key(|&idx| self.common.budget.held(idx))
    }

    /// The fullest of four shards drawn at random, if it holds more than this one.
    fn fullest_of_four(&mut self) -> Option<usize> {
        let shards = u64::try_from(self.common.geometry.shards).unwrap_or(1);
        let mut best = self.common.idx;
        for _ in 0..4 {
            let drawn = usize::try_from(self.prng.below(shards)).unwrap_or(0);
            if self.common.budget.held(drawn) > self.common.budget.held(best) {
                best = drawn;
            }
        }
        (best != self.common.idx).then_some(best)
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        for space in core::mem::take(&mut self.spaces) {
            space.retire(&self.common);
        }
        let pool = u64::try_from(self.common.pool.len()).unwrap_or(0);
        self.common.give(pool * self.common.seg_bytes());
        for _ in self.common.roles.iter().filter(|&&role| role == Role::Backup) {
            self.common.budget.drop_backup();
        }
    }
}

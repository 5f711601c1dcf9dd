//! Evacuation: a segment's entries are copied forward or dropped, then it is free.
//!
//! The choice is S3-FIFO's (Yang and others, SOSP 2023), with two changes: small entries have credits, from their first
//! write on, and Main is never left empty: below four fifths of the memory it takes over Small's oldest segments as they
//! are. S3-FIFO lets nothing into Main that was not used again within the memory's time, so that of a loop longer than
//! that it keeps nothing; a Main that was filled keeps its part of the loop, because nothing displaces it. An
//! evacuation that finds no room for a copy stops: what was moved is moved, the rest stays.

use core::mem;

use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use crate::budget::Purse;
use crate::entry::{Change, Log, Role};
use crate::hash::KeyHash;
use crate::item::{self, Item};
use crate::prefetch::prefetch;
use crate::segment::{Queue, Seg, State};
use crate::space::{Common, RESERVE, SEG_CHARGE, SEGS_MAX, Space};
use crate::table::{Location, Word};

/// Bytes of word and ghost that count as an entry's own.
pub(crate) const ENTRY_OVERHEAD: u64 = 12;

/// Items of a segment under evacuation whose words are fetched together.
const EVACUATION_BATCH: usize = 16;
/// A space is compacted when more than this part of its segments' bytes is dead.
pub(crate) const DEAD_PART: u64 = 8;
/// From this share on, of 256 parts, an expired part is worth moving the rest of a segment when room is needed.
const EXPIRED_SHARE_MIN: u64 = 256 / 4;
/// How many segments one search for the worst looks at: all of a small shard's, a sample of a large one's.
const SEGS_LOOKED_AT: usize = 256;

/// Main takes segments over from Small while it has less than this part of both, in tenths: it gives segments up from nine
/// tenths on, and between the two only what is worth it comes in.
const MAIN_TENTHS_MIN: u64 = 8;
/// The most segments that Main takes over before one evacuation: as many as a call evacuates.
const ADOPTED_MAX: usize = 4;
/// A new entry has the credit of a known one that is so many times as long: nobody asked for it again yet.
const NEW_PART: u64 = 4;

/// How an evacuation judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By use.
    Judge,
    /// Everything that may go goes.
    Force,
    /// Everything alive stays.
    Keep,
}

/// What becomes of an entry.
enum Verdict {
    Expire,
    Evict,
    Copy { queue: Queue, freq: u8, credit: u8 },
}

/// `min(7, floor(avg / size - 0.2))`, with `avg` in sixteenths.
pub(crate) fn credit(avg: u64, size: u64) -> u8 {
    let tenths = (avg * 10 / (size.max(1) * 16)).saturating_sub(2);
    u8::try_from((tenths / 10).min(7)).unwrap_or(7)
}

/// The credit of an entry that is not known from before.
pub(crate) fn credit_new(avg: u64, size: u64) -> u8 {
    credit(avg, size.saturating_mul(NEW_PART))
}

impl Space {
    /// The size of an entry as eviction counts it.
    fn size(&self, item: Item<'_>) -> u64 {
        let held = if item.is_large() { self.handles.get(item.handle()) } else { None };
        let len = item::weight(item.len(), held.map(|held| &*held.value));
        len.saturating_add(ENTRY_OVERHEAD)
    }

    /// Notes an insert in the mean.
    pub(crate) fn note_size(&mut self, len: u64) {
        let size = len.saturating_add(ENTRY_OVERHEAD);
        let sixteenths = size.saturating_mul(16);
        self.avg =
            if self.avg == 0 { sixteenths } else { self.avg - self.avg / 512 + sixteenths / 512 };
    }

    /// Frees one segment if it can; `Mode::Judge` or `Mode::Force` for the live.
    pub(crate) fn evict_segment(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        now: UnixTime,
        mode: Mode,
    ) -> bool {
        // What is only compacted needs the reserve for its copies, and a call that may still copy.
        let may_compact =
            mode == Mode::Judge || (common.pool.len() >= RESERVE && common.may_judge());
        if may_compact
            && (mode == Mode::Judge || !self.evicts)
            && let Some(id) = self.worst_segment(common, log, now)
        {
            return self.evacuate(common, log, now, id, Mode::Keep);
        }
        if !self.evicts {
            return false;
        }
        self.fill_main(common);
        let [small, main] = self.primary_bytes(common);
        let small_share = ((small + main) / 10).max(common.seg_bytes());
        // What goes unjudged is better new than proven, while Small has half of its share.
        let spares_main = mode == Mode::Force && small > (small + main) / 20;
        let is_main_full = main > (small + main) / 10 * 9 && !spares_main;
        let order = if self.promoted > small_share {
            [Queue::Backup, Queue::Small, Queue::Main]
        } else if small == 0 || is_main_full {
            [Queue::Main, Queue::Small, Queue::Backup]
        } else {
            [Queue::Small, Queue::Main, Queue::Backup]
        };
        for queue in order {
            if queue == Queue::Backup && self.promoted == 0 {
                continue;
            }
            let oldest = self.oldest(queue);
            if queue == Queue::Backup {
                // Also what turns out to be no promoted entry is passed, so that the count ends.
                let passed = oldest.map_or(u64::MAX, |id| u64::from(self.segs[id as usize].len));
                self.promoted = self.promoted.saturating_sub(passed);
            }
            if let Some(id) = oldest {
                return self.evacuate(common, log, now, id, mode);
            }
        }
        false
    }

    /// The bytes of Small and of Main, in whole segments.
    fn primary_bytes(&self, common: &Common) -> [u64; 2] {
        [Queue::Small, Queue::Main].map(|queue| {
            self.seg_count[queue.idx()] * common.seg_bytes() + self.large_bytes[queue.idx()]
        })
    }

    /// Gives Small's oldest segments to Main while that is far below its share; no item is copied.
    fn fill_main(&mut self, common: &Common) {
        for _ in 0..ADOPTED_MAX {
            let [small, main] = self.primary_bytes(common);
            if main >= (small + main) / 10 * MAIN_TENTHS_MIN {
                return;
            }
            let Some(id) = self.queues[Queue::Small.idx()].pop_front() else { return };
            self.adopt(id);
        }
    }

    /// Makes a sealed segment, just taken out of Small, Main's newest.
    fn adopt(&mut self, id: u32) {
        let len = self.segs[id as usize].len as usize;
        let mut offset = 0;
        while self.large_bytes[Queue::Small.idx()] > 0 && offset < len {
            let location = Location::new(id, offset);
            let item = self.item(location);
            offset += item.len();
            let handle = item.is_large().then(|| item.handle());
            let held = handle.and_then(|handle| self.handles.get(handle).zip(Some(handle)));
            if let Some((_, handle)) = held.filter(|(held, _)| held.location == location) {
                self.move_large(handle, location, Queue::Main);
            }
        }
        self.segs[id as usize].queue = Queue::Main;
        self.seg_count[Queue::Small.idx()] -= 1;
        self.seg_count[Queue::Main.idx()] += 1;
        self.queues[Queue::Main.idx()].push_back(id);
    }

    /// The segment worth compacting before anything alive is evicted, among the next [`SEGS_LOOKED_AT`]: the one most of
    /// which is expired, else the one with least alive if much is dead.
    pub(crate) fn worst_segment(
        &mut self,
        common: &Common,
        log: &dyn Log,
        now: UnixTime,
    ) -> Option<u32> {
        let is_much_dead = self.dead * DEAD_PART > self.used_segments() * common.seg_bytes();
        if self.ttl_segs == 0 && !is_much_dead {
            return None;
        }
        let count = self.segs.len();
        let (mut expired, mut least) = (None, None);
        let (mut share_max, mut live_min) = (EXPIRED_SHARE_MIN, u32::MAX);
        for step in 0..count.min(SEGS_LOOKED_AT) {
            let idx = (self.worst_at + step) % count;
            let seg = &self.segs[idx];
            if seg.state != State::Sealed {
                continue;
            }
            let share = if seg.queue == Queue::Backup { 0 } else { seg.expired_share(now) };
            if share >= share_max {
                (expired, share_max) = (Some(idx), share);
            }
            if seg.live < live_min {
                (least, live_min) = (Some(idx), seg.live);
            }
        }
        self.worst_at = (self.worst_at + SEGS_LOOKED_AT.min(count)) % count;
        let least = least.filter(|&idx| is_much_dead && live_min <= self.segs[idx].len / 4 * 3);
        let expired = expired.filter(|&idx| self.may_sweep(common, log, idx));
        expired.or(least).and_then(|idx| u32::try_from(idx).ok())
    }

    /// The oldest segment of a queue, sealed.
    fn oldest(&mut self, queue: Queue) -> Option<u32> {
        let front = self.queues[queue.idx()].front().copied();
        let born = |id: u32| self.segs[id as usize].born;
        let open = self.open[queue.idx()].iter().copied().filter(|&id| id != 0);
        let open = open.min_by_key(|&id| born(id));
        match (front, open) {
            (Some(front), Some(open)) if born(front) <= born(open) => Some(front),
            (Some(front), None) => Some(front),
            (_, Some(open)) => {
                let class = self.segs[open as usize].class;
                self.seal(queue, class);
                Some(open)
            }
            (None, None) => None,
        }
    }

    /// Empties a sealed segment. False when it stopped for want of room.
    pub(crate) fn evacuate(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        now: UnixTime,
        id: u32,
        mode: Mode,
    ) -> bool {
        common.work.evacuations += 1;
        self.dequeue(id);
        let len = self.segs[id as usize].len as usize;
        let mut offset = 0;
        while offset < len {
            let mut batch = [None; EVACUATION_BATCH];
            for row in &mut batch {
                if offset < len {
                    let location = Location::new(id, offset);
                    offset += self.item(location).len();
                    *row = self.key_of(common, location).map(|at| (location, at));
                }
            }
            for (_, at) in batch.iter().flatten() {
                prefetch(&self.tables[common.table_idx(at.slot)]);
            }
            for (_, at) in batch.iter().flatten() {
                let run = self.tables[common.table_idx(at.slot)].run(at.fragment());
                run.first().into_iter().for_each(prefetch);
            }
            for (location, at) in batch.iter().flatten() {
                if !self.evacuate_item(common, log, now, (*location, *at), mode) {
                    self.enqueue(id);
                    return false;
                }
            }
        }
        let buf = mem::take(&mut self.bufs[id as usize]);
        self.free_segment(common, id, buf);
        true
    }

    /// Where the entry of the item at `location` belongs; `None` when the item is surely dead.
    pub(crate) fn key_of(&self, common: &Common, location: Location) -> Option<KeyHash> {
        let item = self.item(location);
        if !item.is_large() {
            return Some(common.seed.key(item.key()));
        }
        let held = self.handles.get(item.handle())?;
        (held.location == location).then(|| common.seed.key(&held.key))
    }

    /// Moves or removes one item; false when there is no room for its copy.
    fn evacuate_item(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        now: UnixTime,
        (location, at): (Location, KeyHash),
        mode: Mode,
    ) -> bool {
        let table_idx = common.table_idx(at.slot);
        let found = self.tables[table_idx].find(at.fragment(), |word| word.location() == location);
        let Some((idx, word)) = found else {
            let item = self.item(location);
            if item.is_large() {
                let handle = item.handle();
                self.free_handle(common, handle, location);
            }
            return true;
        };
        let queue = self.segs[location.seg()].queue;
        let may_go = mode != Mode::Keep || self.item(location).is_expired(now);
        let may_go = may_go && log.may_remove(at.slot);
        match self.verdict(word, queue, common.role(at.slot), now, mode, may_go) {
            Verdict::Copy { queue: target, freq, credit } => {
                self.copy_item(common, now, (table_idx, at, idx), word, target, (freq, credit))
            }
            Verdict::Expire => {
                common.work.expired += 1;
                self.remove_entry(common, log, (table_idx, at.slot), (idx, word), |key| {
                    Change::Expire { key }
                });
                self.shrink_table(common, table_idx, at.fragment());
                true
            }
            Verdict::Evict => {
                common.work.evicted += 1;
                self.remove_entry(common, log, (table_idx, at.slot), (idx, word), |key| {
                    Change::Evict { key }
                });
                self.shrink_table(common, table_idx, at.fragment());
                if queue == Queue::Small {
                    self.remember(common, at.hash);
                }
                true
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an inner step: its caller holds all of them")]
    fn verdict(
        &self,
        word: Word,
        queue: Queue,
        role: Role,
        now: UnixTime,
        mode: Mode,
        may_go: bool,
    ) -> Verdict {
        let item = self.item(word.location());
        let (freq, left) = (word.freq(), item.credit());
        if role == Role::Backup {
            return Verdict::Copy { queue: Queue::Backup, freq, credit: left };
        }
        if item.is_expired(now) && may_go {
            return Verdict::Expire;
        }
        let home = if queue == Queue::Backup { Queue::Main } else { queue };
        if mode == Mode::Keep {
            return Verdict::Copy { queue: home, freq, credit: left };
        }
        if !may_go {
            return Verdict::Copy { queue: Queue::Main, freq, credit: left };
        }
        if mode == Mode::Force {
            return Verdict::Evict;
        }
        let size = self.size(item);
        let is_kept = freq == 3 || (freq > 0 && (1 + u64::from(freq)) * self.avg >= size * 16);
        let freq_after = if queue == Queue::Main { freq.saturating_sub(1) } else { 0 };
        if is_kept {
            let credit = credit(self.avg, size);
            return Verdict::Copy { queue: Queue::Main, freq: freq_after, credit };
        }
        match left.checked_sub(1) {
            Some(credit) => Verdict::Copy { queue: Queue::Main, freq: freq_after, credit },
            None => Verdict::Evict,
        }
    }

    /// Copies the item of `word` to the open segment of `queue` and repoints the word.
    #[expect(clippy::too_many_arguments, reason = "an inner step: its caller holds all of them")]
    fn copy_item(
        &mut self,
        common: &mut Common,
        now: UnixTime,
        (table_idx, at, idx): (usize, KeyHash, usize),
        word: Word,
        queue: Queue,
        (freq, credit): (u8, u8),
    ) -> bool {
        let source = word.location();
        let (len, class) = (self.item(source).len(), self.segs[source.seg()].class);
        if !self.open_room(common, (queue, class), len, now, 0) {
            return false;
        }
        let id = self.open[queue.idx()][usize::from(class)] as usize;
        let offset = self.segs[id].len as usize;
        let mut target = mem::take(&mut self.bufs[id]);
        target[offset..offset + len]
            .copy_from_slice(&self.bufs[source.seg()][source.offset()..source.offset() + len]);
        item::set_credit(&mut target[offset..], credit);
        self.bufs[id] = target;
        let location = self.bump(queue, class, len);
        let item = self.item(location);
        if item.is_large() {
            let handle = item.handle();
            self.move_large(handle, source, queue);
            self.handles.relocate(handle, location);
        }
        // Room for a copy is made without touching a table, so the word is where it was.
        self.tables[table_idx].set(idx, Word::new(at.fragment(), freq, location));
        self.segs[source.seg()].live -= u32::try_from(len).expect("items are short");
        common.work.items_moved += 1;
        common.work.bytes_moved += item::weight(len, None);
        true
    }

    /// Removes an entry, tells the log, and counts its item as dead.
    pub(crate) fn remove_entry(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        (table_idx, slot): (usize, Slot),
        (idx, word): (usize, Word),
        change: impl FnOnce(&[u8]) -> Change<'_>,
    ) {
        let entry = self.entry(word);
        let len = entry.item.len();
        log.append(self.ns, slot, change(entry.key()));
        self.unlink(table_idx, idx, len);
        self.kill(common, word.location());
    }

    fn remember(&mut self, common: &Common, hash: u64) {
        if self.ghosts.wants_row(self.entries) {
            let charge = crate::ghost::Ghosts::BLOCK_CHARGE;
            let needs_block = self.ghosts.needs_block();
            if !needs_block || common.budget.take(common.idx, charge, Purse::Common) {
                self.ghosts.add_row();
                self.held += if needs_block { charge } else { 0 };
            }
        }
        self.ghosts.insert(hash);
        if self.ghosts.shrink(self.entries) {
            self.held -= crate::ghost::Ghosts::BLOCK_CHARGE;
            common.give(crate::ghost::Ghosts::BLOCK_CHARGE);
        }
    }

    /// Makes sure that `len` bytes fit the open segment of a queue and class, leaving `keep`
    /// buffers in the pool.
    pub(crate) fn open_room(
        &mut self,
        common: &mut Common,
        (queue, class): (Queue, u8),
        len: usize,
        now: UnixTime,
        keep: usize,
    ) -> bool {
        let id = self.open[queue.idx()][usize::from(class)];
        if id != 0 && self.segs[id as usize].len as usize + len <= common.geometry.seg_len {
            return true;
        }
        let purse = if queue == Queue::Backup { Purse::Backup } else { Purse::Common };
        // Like buffers, numbers are kept back for evacuations: the one that is emptied comes back last.
        let is_new = self.holes.len() <= if keep > 0 { RESERVE } else { 0 };
        if keep > 0 && !self.is_within_quota(common, common.seg_bytes()) && queue != Queue::Backup {
            return false;
        }
        if is_new && (self.segs.len() >= SEGS_MAX || !common.take(SEG_CHARGE, purse)) {
            return false;
        }
        let Some(buf) = common.buffer(keep, purse) else {
            if is_new {
                common.give(SEG_CHARGE);
            }
            return false;
        };
        self.seal(queue, class);
        common.born += 1;
        self.add_segment(Seg::open(queue, class, common.born, now), buf, is_new);
        true
    }

    /// Counts the next `len` bytes of an open segment as an item, already written or about to be.
    pub(crate) fn bump(&mut self, queue: Queue, class: u8, len: usize) -> Location {
        let id = self.open[queue.idx()][usize::from(class)];
        let seg = &mut self.segs[id as usize];
        debug_assert!(seg.state == State::Open, "items go to open segments");
        let location = Location::new(id, seg.len as usize);
        let bytes = u32::try_from(len).expect("items are shorter than a segment");
        seg.len += bytes;
        seg.live += bytes;
        if seg.class != 0 {
            let buf = &self.bufs[id as usize];
            let hard = Item::new(&buf[location.offset()..]).hard();
            seg.note_deadline(hard, len);
        }
        location
    }
}

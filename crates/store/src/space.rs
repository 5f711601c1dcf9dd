//! A space: the storage of one namespace in one shard.
//!
//! Tables, segments, queues, ghosts and running averages, and the small steps that keep their
//! counts true. What is decided with them is in `place`, `evict` and `expiry`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;

use crate::budget::{Budget, Geometry, Purse};
use crate::entry::{EntryRef, Role};
use crate::ghost::Ghosts;
use crate::handles::{Handles, Held};
use crate::hash::{HashSeed, KeyHash};
use crate::item::Item;
use crate::prefetch::prefetch;
use crate::segment::{CLASSES, Queue, Seg, State};
use crate::shard::{EVACUATIONS_MAX, Stats};
use crate::table::{Location, Table, Word};

/// Buffers that only an evacuation may take: one for each queue it can write to.
pub(crate) const RESERVE: usize = 2;
/// The most segments of a space: their numbers have 20 bits in a word, and 0 is none.
pub(crate) const SEGS_MAX: usize = 1 << 20;
/// Bytes charged for the bookkeeping of a segment: its place in two lists that grow by an eighth.
pub(crate) const SEG_CHARGE: u64 = ((size_of::<Seg>() + size_of::<Box<[u8]>>()) * 9 / 8) as u64;
/// Segments by which the lists grow at least.
const SEGS_GROWTH_MIN: usize = 8;
/// The lines of an item that are fetched, by their distance from its start in bytes: entries of usual size have no more.
const ITEM_LINES: [usize; 3] = [0, 64, 128];
/// Bytes charged for the numbers that only an evacuation may take, number 0, and the least growth of the lists.
const RESERVED_NUMBERS: u64 = (RESERVE + 1 + SEGS_GROWTH_MIN) as u64 * SEG_CHARGE;

/// The most bytes that a call copies beyond what its caller brings (G5 of the design), unless a segment is longer.
const COPIED_MAX: u64 = 64 * 1024;
/// The most words that a call moves to smaller tables (G5 of the design).
const WORDS_MOVED_MAX: u64 = 32 * 1024;

/// What all spaces of a shard share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) idx: usize,
    pub(crate) geometry: Geometry,
    pub(crate) seed: HashSeed,
    pub(crate) budget: Arc<Budget>,
    /// Empty buffers, charged.
    pub(crate) pool: Vec<Box<[u8]>>,
    pub(crate) roles: Box<[Role]>,
    /// Numbers segments and clears in one order.
    pub(crate) born: u64,
    pub(crate) work: Work,
    /// What had been done when the present call began.
    pub(crate) before: Work,
    /// The charge of the large value that the present call brings, in bytes: so many segments as that fills are evacuated for
    /// it, and half as many are judged, with copies (docs/decisions/0023).
    pub(crate) brought: u64,
    /// Whether a segment is so large a part of a shard that there are few classes of time to live.
    pub(crate) is_coarse: bool,
}

/// What a shard has done since it was made; differences bound the work of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Segments evacuated.
    pub evacuations: u64,
    /// Items copied to another segment.
    pub items_moved: u64,
    /// Bytes of those items.
    pub bytes_moved: u64,
    /// Words moved to a larger or smaller table.
    pub words_moved: u64,
    /// Entries evicted.
    pub evicted: u64,
    /// Entries expired.
    pub expired: u64,
}

impl Common {
    #[inline]
    pub(crate) fn table_idx(&self, slot: Slot) -> usize {
        slot.index() >> self.geometry.shards.trailing_zeros()
    }

    pub(crate) fn role(&self, slot: Slot) -> Role {
        self.roles.get(self.table_idx(slot)).copied().unwrap_or_default()
    }

    pub(crate) fn seg_bytes(&self) -> u64 {
        u64::try_from(self.geometry.seg_len).unwrap_or(u64::MAX)
    }

    /// Notes that a call begins: what it may do is counted from here.
    pub(crate) fn begin_call(&mut self) {
        self.before = self.work;
        self.brought = 0;
    }

    /// How many segments the present call may still evacuate.
    pub(crate) fn evacuations_left(&self) -> u64 {
        let filled = self.brought.div_ceil(self.seg_bytes());
        let most = EVACUATIONS_MAX + filled + filled / 2;
        (self.before.evacuations + most).saturating_sub(self.work.evacuations)
    }

    /// Whether the present call may still copy so many bytes; what may not go is copied all the same.
    pub(crate) fn may_copy(&self, bytes: u64) -> bool {
        let copied = self.work.bytes_moved - self.before.bytes_moved;
        copied + bytes <= COPIED_MAX.max(self.seg_bytes()) + self.brought / 2
    }

    /// Whether a segment that may be full of what is worth keeping can still be judged in the present call.
    pub(crate) fn may_judge(&self) -> bool {
        self.may_copy(self.seg_bytes())
    }

    /// Whether the present call may still move so many words to a smaller table; larger ones must be had.
    pub(crate) fn may_move(&self, words: usize) -> bool {
        let moved = self.work.words_moved - self.before.words_moved;
        moved + u64::try_from(words).unwrap_or(u64::MAX) <= WORDS_MOVED_MAX
    }

    /// Gives empty buffers beyond the reserve back to the budget; false when there are none.
    pub(crate) fn trim(&mut self) -> bool {
        if self.pool.len() <= RESERVE {
            return false;
        }
        drop(self.pool.pop());
        self.budget.give(self.idx, self.seg_bytes());
        true
    }

    /// Whether [`Common::take`] of `bytes` for entries of primary slots can succeed.
    pub(crate) fn may_take(&self, bytes: u64) -> bool {
        let spare = u64::try_from(self.pool.len().saturating_sub(RESERVE)).unwrap_or(0);
        self.budget.has_room(bytes.saturating_sub(spare * self.seg_bytes()))
    }

    /// Takes `bytes` from the budget, at the cost of empty buffers if need be.
    pub(crate) fn take(&mut self, bytes: u64, purse: Purse) -> bool {
        self.take_by(|common| common.budget.take(common.idx, bytes, purse))
    }

    /// The same for the pages of a value to be received.
    pub(crate) fn take_pages(&mut self, bytes: u64) -> bool {
        self.take_by(|common| common.budget.take_pages(bytes))
    }

    fn take_by(&mut self, take: impl Fn(&Self) -> bool) -> bool {
        while !take(self) {
            if !self.trim() {
                return false;
            }
        }
        true
    }

    pub(crate) fn give(&self, bytes: u64) {
        self.budget.give(self.idx, bytes);
    }

    /// An empty buffer, from the pool but for `keep`, or newly charged and allocated.
    pub(crate) fn buffer(&mut self, keep: usize, purse: Purse) -> Option<Box<[u8]>> {
        if self.pool.len() > keep {
            return self.pool.pop();
        }
        let charged = self.budget.take(self.idx, self.seg_bytes(), purse);
        charged.then(|| alloc::vec![0; self.geometry.seg_len].into_boxed_slice())
    }
}

/// A table that a clear took out, whose items still count as live.
#[derive(Debug)]
pub(crate) struct Detached {
    pub(crate) table: Table,
    /// Items of segments born later are not the table's.
    pub(crate) at: u64,
    /// The fragment from which the walk proceeds.
    pub(crate) from: u32,
}

/// The storage of one namespace.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) ns: NamespaceId,
    pub(crate) tables: Box<[Table]>,
    /// By segment number; an empty slice where there is no segment.
    pub(crate) bufs: Vec<Box<[u8]>>,
    pub(crate) segs: Vec<Seg>,
    pub(crate) holes: Vec<u32>,
    pub(crate) queues: [VecDeque<u32>; 3],
    /// 0: none.
    pub(crate) open: [[u32; CLASSES]; 3],
    pub(crate) ghosts: Ghosts,
    pub(crate) handles: Handles,
    pub(crate) detached: VecDeque<Detached>,
    /// The running mean size of entries, in sixteenths of a byte; 0 before the first.
    pub(crate) avg: u64,
    pub(crate) entries: u64,
    /// All charged bytes.
    pub(crate) held: u64,
    /// Bytes of large values and their keys, by queue.
    pub(crate) large_bytes: [u64; 3],
    /// Segments in use by queue.
    pub(crate) seg_count: [u64; 3],
    /// Bytes of sealed segments that are not live.
    pub(crate) dead: u64,
    /// Segments of classes with a time to live.
    pub(crate) ttl_segs: u64,
    /// Bytes of entries in Backup whose slot became primary, at most.
    pub(crate) promoted: u64,
    pub(crate) quota: Option<u64>,
    pub(crate) evicts: bool,
    /// Where the search for expired segments proceeds, and how many are left of its pass.
    pub(crate) tick_at: usize,
    pub(crate) sweep_left: usize,
    /// Where the search for a segment to compact proceeds.
    pub(crate) worst_at: usize,
}

impl Space {
    /// The bytes charged for an empty space.
    pub(crate) fn fixed_charge(geometry: &Geometry) -> u64 {
        Self::fixed_charge_of(geometry.slots_per_shard())
    }

    /// The same, for this many slots.
    pub(crate) fn fixed_charge_of(slots: usize) -> u64 {
        let directory = slots * size_of::<Table>();
        u64::try_from(directory + size_of::<Self>()).unwrap_or(u64::MAX) + RESERVED_NUMBERS
    }

    /// An empty space, whose fixed charge was taken.
    pub(crate) fn new(ns: NamespaceId, geometry: &Geometry) -> Self {
        let mut tables = Vec::new();
        tables.resize_with(geometry.slots_per_shard(), Table::default);
        Self {
            ns,
            tables: tables.into_boxed_slice(),
            bufs: (0..=RESERVE).map(|_| Box::default()).collect(),
            segs: alloc::vec![Seg::HOLE; 1 + RESERVE],
            holes: (1..=RESERVE).filter_map(|id| u32::try_from(id).ok()).collect(),
            queues: Default::default(),
            open: [[0; CLASSES]; 3],
            ghosts: Ghosts::default(),
            handles: Handles::default(),
            detached: VecDeque::new(),
            avg: 0,
            entries: 0,
            held: Self::fixed_charge(geometry),
            large_bytes: [0; 3],
            seg_count: [0; 3],
            dead: 0,
            ttl_segs: 0,
            promoted: 0,
            quota: None,
            evicts: true,
            tick_at: 0,
            sweep_left: 0,
            worst_at: 0,
        }
    }

    /// The item at `location`.
    #[inline]
    pub(crate) fn item(&self, location: Location) -> Item<'_> {
        Item::new(&self.bufs[location.seg()][location.offset()..])
    }

    /// Fetches the item at `location`, so that it is there when it is read.
    #[inline]
    pub(crate) fn fetch_item(&self, location: Location) {
        let buf = &self.bufs[location.seg()];
        for line in ITEM_LINES {
            if let Some(byte) = buf.get(location.offset() + line) {
                prefetch(byte);
            }
        }
    }

    /// The entry that `word` points to.
    #[inline]
    pub(crate) fn entry(&self, word: Word) -> EntryRef<'_> {
        let item = self.item(word.location());
        let held = if item.is_large() { self.handles.get(item.handle()) } else { None };
        EntryRef { item, held, freq: word.freq(), fragment: word.fragment() }
    }

    /// The place and word of `key` in the table `table_idx`.
    #[inline]
    pub(crate) fn find(&self, table_idx: usize, at: KeyHash, key: &[u8]) -> Option<(usize, Word)> {
        self.tables[table_idx].find(at.fragment(), |word| self.has_key(word, key))
    }

    /// Whether the entry that `word` points to has this key.
    #[inline]
    pub(crate) fn has_key(&self, word: Word, key: &[u8]) -> bool {
        let item = self.item(word.location());
        if item.is_large() {
            return self.handles.get(item.handle()).is_some_and(|held| &*held.key == key);
        }
        item.key() == key
    }

    /// Whether `bytes` more are within the space's quota; entries of backup slots do not count.
    pub(crate) fn is_within_quota(&self, common: &Common, bytes: u64) -> bool {
        let Some(quota) = self.quota else { return true };
        let backup = Queue::Backup.idx();
        let backups = self.seg_count[backup] * common.seg_bytes() + self.large_bytes[backup];
        (self.held - backups).saturating_add(bytes) <= quota
    }

    /// The number of segments in use.
    pub(crate) fn used_segments(&self) -> u64 {
        self.seg_count.iter().sum()
    }

    /// Starts a segment with this buffer, under a new number, whose bookkeeping was charged, or one that is free.
    pub(crate) fn add_segment(&mut self, seg: Seg, buf: Box<[u8]>, is_new: bool) -> u32 {
        let (queue, class) = (seg.queue.idx(), usize::from(seg.class));
        self.held += u64::try_from(buf.len()).unwrap_or(u64::MAX);
        self.seg_count[queue] += 1;
        self.ttl_segs += u64::from(seg.class != 0);
        let id = if is_new {
            if self.segs.len() == self.segs.capacity() {
                let more = (self.segs.len() / 8).max(SEGS_GROWTH_MIN);
                self.segs.reserve_exact(more);
                self.bufs.reserve_exact(more);
            }
            self.segs.push(Seg::HOLE);
            self.bufs.push(Box::default());
            self.held += SEG_CHARGE;
            u32::try_from(self.segs.len() - 1).expect("segment numbers fit 20 bits")
        } else {
            self.holes.pop().expect("the caller saw a free number")
        };
        self.segs[id as usize] = seg;
        self.bufs[id as usize] = buf;
        self.open[queue][class] = id;
        id
    }

    /// Ends the open segment of a queue and class, if there is one.
    pub(crate) fn seal(&mut self, queue: Queue, class: u8) {
        let id = mem::take(&mut self.open[queue.idx()][usize::from(class)]);
        if id == 0 {
            return;
        }
        self.enqueue(id);
    }

    /// Puts a segment at the end of its queue.
    pub(crate) fn enqueue(&mut self, id: u32) {
        let seg = &mut self.segs[id as usize];
        seg.state = State::Sealed;
        self.dead += seg.dead();
        self.queues[seg.queue.idx()].push_back(id);
    }

    /// Takes a sealed segment out of its queue, to be evacuated.
    pub(crate) fn dequeue(&mut self, id: u32) {
        let seg = &mut self.segs[id as usize];
        assert!(seg.state == State::Sealed, "only sealed segments are evacuated");
        seg.state = State::Evacuating;
        self.dead -= seg.dead();
        let queue = &mut self.queues[seg.queue.idx()];
        if let Some(at) = queue.iter().position(|&queued| queued == id) {
            queue.remove(at);
        }
    }

    /// Ends a segment that is under evacuation; its buffer goes to the pool.
    pub(crate) fn free_segment(&mut self, common: &mut Common, id: u32, buf: Box<[u8]>) {
        let seg = mem::replace(&mut self.segs[id as usize], Seg::HOLE);
        self.seg_count[seg.queue.idx()] -= 1;
        self.ttl_segs -= u64::from(seg.class != 0);
        self.held -= u64::try_from(buf.len()).unwrap_or(u64::MAX);
        self.holes.push(id);
        common.pool.push(buf);
    }

    /// Counts the item at `location` as dead, gives up its large value if it has one, and frees its
    /// segment if that was the last.
    pub(crate) fn kill(&mut self, common: &mut Common, location: Location) {
        let item = self.item(location);
        let len = item.len();
        if item.is_large() {
            let handle = item.handle();
            self.free_handle(common, handle, location);
        }
        let id = u32::try_from(location.seg()).expect("segment numbers fit 20 bits");
        let seg = &mut self.segs[location.seg()];
        seg.live -= u32::try_from(len).expect("items are shorter than a segment");
        if seg.state == State::Sealed {
            self.dead += u64::try_from(len).unwrap_or(u64::MAX);
            if seg.live == 0 {
                self.dequeue(id);
                let buf = mem::take(&mut self.bufs[location.seg()]);
                self.free_segment(common, id, buf);
            }
        }
    }

    /// Gives up the large value of the item at `location`, if it is still that item's.
    pub(crate) fn free_handle(&mut self, common: &Common, handle: u32, location: Location) {
        let Some(held) = self.handles.take(handle, location) else { return };
        let key_charge = Held::key_charge(held.key.len());
        let value_charge = held.value.charge();
        let seg = &mut self.segs[location.seg()];
        if seg.class != 0 {
            // What is expired there is a greater part of it now: counted again by the next tick.
            seg.due = 0;
        }
        let queue = seg.queue.idx();
        self.large_bytes[queue] -= key_charge + value_charge;
        self.held -= key_charge + value_charge;
        common.give(key_charge);
        held.value.orphan();
    }

    /// Takes the word at `idx` out of a table and counts the entry as gone; its item stays to be
    /// killed.
    pub(crate) fn unlink(&mut self, table_idx: usize, idx: usize, item_len: usize) {
        let table = &mut self.tables[table_idx];
        table.remove(idx);
        table.item_bytes -= u64::try_from(item_len).unwrap_or(u64::MAX);
        self.entries -= 1;
    }

    /// Counts the large value of the item at `location` for `queue` from now on.
    pub(crate) fn move_large(&mut self, handle: u32, location: Location, queue: Queue) {
        let Some(held) = self.handles.get(handle) else { return };
        let bytes = held.value.charge() + Held::key_charge(held.key.len());
        let from = self.segs[location.seg()].queue;
        self.large_bytes[from.idx()] -= bytes;
        self.large_bytes[queue.idx()] += bytes;
    }

    /// Counts of the space.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries: self.entries,
            item_bytes: self.tables.iter().map(|table| table.item_bytes).sum(),
            table_bytes: self.tables.iter().map(Table::charge).sum(),
            held: self.held,
        }
    }

    /// Asserts the promises of the space and its parts.
    pub(crate) fn check_invariants(&self) {
        let mut live = alloc::vec![0u64; self.segs.len()];
        let mut entries = 0;
        for table in &self.tables {
            table.check_invariants();
            for word in table.iter(0) {
                let item = self.item(word.location());
                live[word.location().seg()] += u64::try_from(item.len()).unwrap_or(0);
                entries += 1;
            }
        }
        assert!(entries == self.entries, "entries are counted");
        let mut held = Self::fixed_charge_of(self.tables.len());
        for (seg, &live) in self.segs.iter().zip(&live) {
            assert!(live <= u64::from(seg.live), "every item with a word is live");
            let is_exact = self.detached.is_empty();
            assert!(!is_exact || live == u64::from(seg.live), "live bytes are counted");
            assert!(seg.state != State::Evacuating, "no evacuation is left half done");
        }
        let sealed = self.segs.iter().filter(|seg| seg.state == State::Sealed).count();
        assert!(sealed == self.queues.iter().map(|queue| queue.len()).sum(), "sealed are queued");
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        held += self.bufs.iter().map(|buf| count(buf.len())).sum::<u64>();
        held += count(self.segs.len() - 1 - RESERVE) * SEG_CHARGE;
        held += self.tables.iter().map(Table::charge).sum::<u64>();
        held += self.detached.iter().map(|detached| detached.table.charge()).sum::<u64>();
        held += count(self.ghosts.block_count()) * Ghosts::BLOCK_CHARGE;
        held += count(self.handles.block_count()) * Handles::BLOCK_CHARGE;
        held += self.large_bytes.iter().sum::<u64>();
        assert!(held == self.held, "accounted {} is what is there: {held}", self.held);
    }
}

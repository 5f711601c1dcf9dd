//! Every promise of a shard's structures, recounted from the items up.
//!
//! [`Shard::check_invariants`] goes from the tables to the items; this goes from the segments to the tables, so that
//! what neither points to is found as well.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use ringhold_types::time::UnixTime;

use super::Shard;
use crate::handles::Held;
use crate::item::Item;
use crate::segment::{CLASSES, Queue, State};
use crate::space::{Common, Space};
use crate::table::Location;

impl Shard {
    /// The numbers of segments of all spaces, free ones included.
    pub(crate) fn segments(&self) -> usize {
        self.spaces.iter().map(|space| space.segs.len()).sum()
    }

    /// Of each sealed segment of entries with a time to live, but backups': how many of 256 parts hold entries that are
    /// expired and still there, by bytes of the log or with their values' own, whichever is more, and in how many milliseconds
    /// the last of its entries dies. O(bytes of the shard).
    pub(crate) fn expired_parts(&self, now: UnixTime) -> Vec<(u64, u64)> {
        let mut parts = Vec::new();
        for space in &self.spaces {
            for (id, seg) in (0u32..).zip(&space.segs) {
                if seg.state != State::Sealed || seg.class == 0 || seg.queue == Queue::Backup {
                    continue;
                }
                let (mut offset, mut last) = (0, now.0);
                let (mut expired, mut whole) = ([0; 2], [0; 2]);
                while offset < seg.len as usize {
                    let location = Location::new(id, offset);
                    let item = space.item(location);
                    offset += item.len();
                    let held =
                        if item.is_large() { space.handles.get(item.handle()) } else { None };
                    let held = held.filter(|held| held.location == location);
                    let value = held.map(|held| &*held.value);
                    let bytes = [None, value].map(|value| crate::item::weight(item.len(), value));
                    let is_there = is_found(&self.common, space, item, held, location);
                    for (measure, bytes) in bytes.into_iter().enumerate() {
                        whole[measure] += bytes;
                        if is_there && item.is_expired(now) {
                            expired[measure] += bytes;
                        }
                    }
                    if is_there {
                        last = last.max(item.hard().map_or(u64::MAX, |hard| hard.0));
                    }
                }
                let shares = [0, 1].map(|measure| expired[measure] * 256 / whole[measure]);
                parts.push((shares[0].max(shares[1]), last - now.0));
            }
        }
        parts
    }

    /// Asserts what [`Shard::check_invariants`] does and that both directions agree; O(bytes of the shard).
    pub(crate) fn check_deeply(&self) {
        self.check_invariants();
        for space in &self.spaces {
            check_segments(space);
            check_items(&self.common, space);
        }
        let pool = &self.common.pool;
        assert!(
            pool.iter().all(|buf| buf.len() == self.common.geometry.seg_len),
            "spares are whole"
        );
        let held: u64 = self.spaces.iter().map(|space| space.held).sum();
        let spare = u64::try_from(pool.len()).expect("a length") * self.common.seg_bytes();
        assert_eq!(held + spare, self.stats().held, "what is held is what is there");
    }
}

/// Every segment is in exactly one place, and the counts over all of them are right.
fn check_segments(space: &Space) {
    let mut ids = BTreeSet::new();
    let mut once = |id: u32, state: State| {
        assert!(id > 0 && ids.insert(id), "segment {id} is in one place");
        assert!(space.segs[id as usize].state == state, "segment {id} is {state:?}");
    };
    for queue in [Queue::Small, Queue::Main, Queue::Backup] {
        for &id in &space.queues[queue.idx()] {
            once(id, State::Sealed);
            assert!(space.segs[id as usize].queue == queue, "it stands in its own queue");
        }
        for class in 0..CLASSES {
            let id = space.open[queue.idx()][class];
            if id != 0 {
                once(id, State::Open);
                let seg = &space.segs[id as usize];
                assert!(seg.queue == queue && usize::from(seg.class) == class, "it is of its row");
            }
        }
        let count = space.segs.iter().filter(|seg| seg.state != State::Hole && seg.queue == queue);
        let count = u64::try_from(count.count()).expect("a count");
        assert_eq!(count, space.seg_count[queue.idx()], "segments of {queue:?} are counted");
    }
    for &id in &space.holes {
        once(id, State::Hole);
        assert!(space.bufs[id as usize].is_empty(), "a hole has no memory");
    }
    assert_eq!(ids.len(), space.segs.len() - 1, "no segment is lost");
    let sealed = space.segs.iter().filter(|seg| seg.state == State::Sealed);
    assert_eq!(sealed.map(|seg| seg.dead()).sum::<u64>(), space.dead, "dead bytes are counted");
    let ttl = space.segs.iter().filter(|seg| seg.state != State::Hole && seg.class != 0).count();
    assert_eq!(u64::try_from(ttl).expect("a count"), space.ttl_segs, "they are counted");
}

/// Every item is whole, and those that a word points to are what the words, the bounds and the sums say.
fn check_items(common: &Common, space: &Space) {
    let (mut entries, mut large_count) = (0, 0);
    let mut large_bytes = [0; 3];
    for (id, seg) in (0u32..).zip(&space.segs).filter(|(_, seg)| seg.state != State::Hole) {
        let (mut offset, mut live, mut timeless) = (0, 0, 0);
        while offset < seg.len as usize {
            let location = Location::new(id, offset);
            let item = space.item(location);
            offset += item.len();
            let held = if item.is_large() { space.handles.get(item.handle()) } else { None };
            let held = held.filter(|held| held.location == location);
            if let Some(held) = held {
                large_count += 1;
                large_bytes[seg.queue.idx()] +=
                    held.value.charge() + Held::key_charge(held.key.len());
                assert_eq!(held.value.len(), item.value_len(), "the length is the value's");
            }
            if !is_found(common, space, item, held, location) {
                continue;
            }
            entries += 1;
            live += u32::try_from(item.len()).expect("items are short");
            timeless += u32::from(item.hard().is_none());
            assert!(!item.is_large() || held.is_some(), "a live large item has its value");
            if seg.class != 0 {
                let hard = item.hard().map_or(0, |hard| hard.0);
                assert!(hard <= seg.max_deadline, "no item outlives the bound of its segment");
            }
        }
        assert_eq!(offset, seg.len as usize, "segment {id} is items and nothing else");
        assert!(seg.class == 0 || timeless <= seg.timeless, "the timeless are counted");
        assert!(live <= seg.live, "what words point to is live");
        assert!(!space.detached.is_empty() || live == seg.live, "and nothing else is");
    }
    assert_eq!(entries, space.entries, "every word points to an item of its key");
    assert_eq!(large_bytes, space.large_bytes, "bytes of large values are counted");
    assert_eq!(large_count, space.handles.iter().count(), "every handle has its item");
}

/// Whether the table of the item's slot has a word for it, under its key's fragment.
fn is_found(
    common: &Common,
    space: &Space,
    item: Item<'_>,
    held: Option<&Held>,
    location: Location,
) -> bool {
    let key = match held {
        Some(held) => &held.key,
        None if item.is_large() => return false,
        None => item.key(),
    };
    let at = common.seed.key(key);
    let table = &space.tables[common.table_idx(at.slot)];
    table.find(at.fragment(), |word| word.location() == location).is_some()
}

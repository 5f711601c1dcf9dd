//! Reclaiming: expired segments, cleared tables, and the end of a space.

use ringhold_types::time::UnixTime;

use crate::entry::Log;
use crate::evict::Mode;
use crate::ghost::Ghosts;
use crate::handles::{Handles, Held};
use crate::item::Item;
use crate::segment::{Queue, State, width_ms};
use crate::shard::Stats;
use crate::space::{Common, SEG_CHARGE, Space};
use crate::table::Location;

/// More of a segment than this, of 256 parts, is expired: worth moving the rest.
const EXPIRED_SHARE: u64 = 256 / 3;

impl Space {
    /// Reclaims expired segments, one pass at most; true when it stopped before the end.
    pub(crate) fn sweep(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        now: UnixTime,
        max_items: u64,
    ) -> bool {
        let start = common.work;
        for _ in 0..self.segs.len() {
            if self.ttl_segs == 0 {
                return false;
            }
            let done = common.work.expired + common.work.items_moved;
            if done - start.expired - start.items_moved >= max_items
                || common.work.evacuations - start.evacuations >= 4
            {
                return true;
            }
            self.tick_at = (self.tick_at + 1) % self.segs.len();
            let seg = &self.segs[self.tick_at];
            let is_worth = seg.is_expired(now)
                || (seg.expired_share(now) > EXPIRED_SHARE
                    // Soon all of it is, and nothing need be moved; unless some entries stay for good.
                    && (seg.max_deadline <= now.0
                        || seg.max_deadline - now.0 > (width_ms(seg.class) / 16).max(1000)));
            if !is_worth || seg.queue == Queue::Backup || !self.may_sweep(common, log) {
                continue;
            }
            let seg = &self.segs[self.tick_at];
            if seg.state == State::Open {
                let (queue, class) = (seg.queue, seg.class);
                self.seal(queue, class);
            }
            if self.segs[self.tick_at].state == State::Sealed {
                let id = u32::try_from(self.tick_at).expect("segment numbers fit 20 bits");
                self.evacuate(common, log, now, id, Mode::Keep);
            }
        }
        false
    }

    /// Whether the log lets the first entry of the segment at the cursor go.
    fn may_sweep(&self, common: &Common, log: &dyn Log) -> bool {
        let seg = &self.segs[self.tick_at];
        if seg.len == 0 {
            return false;
        }
        let item = Item::new(&self.bufs[self.tick_at]);
        let held = if item.is_large() { self.handles.get(item.handle()) } else { None };
        let key = held.map_or_else(|| item.key(), |held| &held.key);
        log.may_remove(common.seed.key(key).slot)
    }

    /// Counts items of cleared tables as dead, until `max_items` were; returns how many.
    pub(crate) fn walk_detached(&mut self, common: &mut Common, max_items: u64) -> u64 {
        let mut handled = 0;
        while handled < max_items
            && let Some(mut detached) = self.detached.pop_front()
        {
            let next = {
                let mut words = detached.table.iter(detached.from).peekable();
                let mut last = None;
                while let Some(word) =
                    words.next_if(|word| handled < max_items || last == Some(word.fragment()))
                {
                    last = Some(word.fragment());
                    handled += 1;
                    let seg = &self.segs[word.location().seg()];
                    if seg.born <= detached.at && seg.state != State::Hole {
                        self.kill(common, word.location());
                    }
                }
                words.next().map(crate::table::Word::fragment)
            };
            if let Some(from) = next {
                detached.from = from;
                self.detached.push_front(detached);
            } else {
                self.held -= detached.table.charge();
                common.give(detached.table.charge());
            }
        }
        handled
    }

    /// Counts the large value of the item at `location` for `queue` from now on.
    pub(crate) fn move_large(&mut self, handle: u32, location: Location, queue: Queue) {
        let Some(held) = self.handles.get(handle) else { return };
        let bytes = held.value.charge() + Held::key_charge(held.key.len());
        let from = self.segs[location.seg()].queue;
        self.large_bytes[from.idx()] -= bytes;
        self.large_bytes[queue.idx()] += bytes;
    }

    /// Gives everything back to the budget.
    pub(crate) fn retire(self, common: &Common) {
        let values: u64 = self.handles.iter().map(|held| held.value.charge()).sum();
        for held in self.handles.iter() {
            held.value.orphan();
        }
        common.give(self.held - values);
    }

    /// Counts of the space.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries: self.entries,
            item_bytes: self.tables.iter().map(|table| table.item_bytes).sum(),
            table_bytes: self.tables.iter().map(crate::table::Table::charge).sum(),
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
        held += count(self.segs.len() - 1) * SEG_CHARGE;
        held += self.tables.iter().map(crate::table::Table::charge).sum::<u64>();
        held += self.detached.iter().map(|detached| detached.table.charge()).sum::<u64>();
        held += count(self.ghosts.block_count()) * Ghosts::BLOCK_CHARGE;
        held += count(self.handles.block_count()) * Handles::BLOCK_CHARGE;
        held += self.large_bytes.iter().sum::<u64>();
        assert!(held == self.held, "accounted {} is what is there: {held}", self.held);
    }
}

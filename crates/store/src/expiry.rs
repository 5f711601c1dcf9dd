//! Reclaiming: expired segments, dead space, cleared tables, and the end of a space.

use ringhold_types::time::UnixTime;

use crate::entry::Log;
use crate::evict::{DEAD_PART, Mode};
use crate::segment::{Queue, State, width_ms};
use crate::space::{Common, Space, Work};
use crate::table::Location;

/// More of a segment than this, of 256 parts, is expired: worth moving the rest.
const EXPIRED_SHARE: u64 = 256 / 3;

/// How many segments' bookkeeping a tick looks at before the shard's clients are served again.
const SEGS_SWEPT: usize = 256;
/// What one tick may still do, over all spaces of its shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickWork {
    before: Work,
    items_max: u64,
    evacuations_max: u64,
}

impl TickWork {
    /// A tick of about so many entries and at most so many segments.
    pub(crate) fn new(common: &Common, items_max: u64, evacuations_max: u64) -> Self {
        Self { before: common.work, items_max, evacuations_max }
    }

    /// Entries removed or moved so far.
    pub(crate) fn items(self, common: &Common) -> u64 {
        let (now, before) = (common.work, self.before);
        now.expired - before.expired + now.items_moved - before.items_moved
    }

    /// Whether the rest is for the next tick.
    pub(crate) fn is_done(self, common: &Common) -> bool {
        self.items(common) >= self.items_max
            || common.work.evacuations - self.before.evacuations >= self.evacuations_max
    }
}

impl Space {
    /// Reclaims expired segments, going on where it stopped; `work` bounds what it may do. True when it stopped before the
    /// end of a pass.
    pub(crate) fn sweep(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        now: UnixTime,
        work: TickWork,
    ) -> bool {
        if self.sweep_left == 0 {
            self.sweep_left = self.segs.len();
        }
        for _ in 0..SEGS_SWEPT {
            if self.ttl_segs == 0 || self.sweep_left == 0 {
                self.sweep_left = 0;
                return false;
            }
            if work.is_done(common) {
                return true;
            }
            self.sweep_left -= 1;
            let count = self.segs.len();
            self.tick_at = (self.tick_at + 1) % count;
            let seg = &self.segs[self.tick_at];
            let is_worth = seg.is_expired(now)
                || (seg.expired_share(now) > EXPIRED_SHARE
                    // Soon all of it is, and nothing need be moved; unless some entries stay for good.
                    && (seg.max_deadline <= now.0
                        || seg.max_deadline - now.0 > (width_ms(seg.class) / 16).max(1000)));
            if !is_worth || seg.queue == Queue::Backup || !self.may_sweep(common, log, self.tick_at)
            {
                continue;
            }
            let seg = &self.segs[self.tick_at];
            if !seg.is_expired(now) && !common.may_copy(u64::from(seg.live)) {
                // The next tick begins with it.
                self.sweep_left += 1;
                self.tick_at = (self.tick_at + count - 1) % count;
                return true;
            }
            if seg.state == State::Open {
                let (queue, class) = (seg.queue, seg.class);
                self.seal(queue, class);
            }
            if self.segs[self.tick_at].state == State::Sealed {
                let id = u32::try_from(self.tick_at).expect("segment numbers fit 20 bits");
                self.evacuate(common, log, now, id, Mode::Keep);
            }
        }
        self.sweep_left > 0
    }

    /// Compacts a space much of which is dead, also while there is room: what nobody needs is given back. What is left waits
    /// for the next tick, however soon: a load that writes over everything must not have as much copied without a pause.
    pub(crate) fn compact(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        now: UnixTime,
        work: TickWork,
    ) {
        loop {
            let is_much_dead = self.dead * DEAD_PART > self.used_segments() * common.seg_bytes();
            if !is_much_dead || work.is_done(common) {
                return;
            }
            let Some(id) = self.worst_segment(common, log, now) else { return };
            if !common.may_copy(u64::from(self.segs[id as usize].live)) {
                return;
            }
            if !self.evacuate(common, log, now, id, Mode::Keep) {
                return;
            }
        }
    }

    /// Whether the log lets the first entry that is left in segment `idx` go.
    pub(crate) fn may_sweep(&self, common: &Common, log: &dyn Log, idx: usize) -> bool {
        let (len, mut offset) = (self.segs[idx].len as usize, 0);
        let id = u32::try_from(idx).expect("segment numbers fit 20 bits");
        while offset < len {
            let location = Location::new(id, offset);
            offset += self.item(location).len();
            if let Some(at) = self.key_of(common, location) {
                let table = &self.tables[common.table_idx(at.slot)];
                if table.find(at.fragment(), |word| word.location() == location).is_some() {
                    return log.may_remove(at.slot);
                }
            }
        }
        true
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

    /// Gives everything back to the budget.
    pub(crate) fn retire(self, common: &Common) {
        let values: u64 = self.handles.iter().map(|held| held.value.charge()).sum();
        for held in self.handles.iter() {
            held.value.orphan();
        }
        common.budget.drop_directory(Self::fixed_charge(&common.geometry));
        common.give(self.held - values);
    }
}

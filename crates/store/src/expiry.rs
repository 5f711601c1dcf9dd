//! Reclaiming: expired segments, dead space, cleared tables, and the end of a space.

use ringhold_types::time::UnixTime;

use crate::entry::Log;
use crate::evict::{DEAD_PART, Mode};
use crate::item::{self, Item};
use crate::segment::{Queue, State};
use crate::space::{Common, Space, Work};
use crate::table::Location;

/// A segment of which all expires within so many milliseconds is left until then: nothing of it has to be moved.
const SWEEP_WAIT_MS: u64 = 1000;
/// How exactly the time at which a third of a segment is expired is found, in milliseconds: to within a tick.
const DUE_STEP_MS: u64 = 100;
/// Into how many steps the time in question is cut at a time: five times for a month.
const DUE_STEPS: usize = 64;
/// Bytes of segments whose deadlines a tick counts before the shard's clients are served again; one segment more.
const COUNTED_MAX: usize = 256 * 1024;

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
    /// Reclaims expired segments, going on where it stopped; `work` bounds what it may do, and `counted` are the bytes of
    /// segments whose deadlines the tick has counted. True when it stopped before the end of a pass.
    pub(crate) fn sweep(
        &mut self,
        common: &mut Common,
        log: &mut dyn Log,
        now: UnixTime,
        work: TickWork,
        counted: &mut usize,
    ) -> bool {
        if self.sweep_left == 0 {
            self.sweep_left = self.segs.len();
        }
        for _ in 0..SEGS_SWEPT {
            if self.ttl_segs == 0 || self.sweep_left == 0 {
                self.sweep_left = 0;
                return false;
            }
            let idx = (self.tick_at + 1) % self.segs.len();
            // What the rest of the tick has no time for is where the next one begins.
            if work.is_done(common) || *counted >= COUNTED_MAX {
                return true;
            }
            let is_worth = self.may_be_worth_sweeping(idx, now)
                && self.may_sweep(common, log, idx)
                && self.is_worth_sweeping(idx, now, counted);
            let seg = &self.segs[idx];
            if is_worth && !seg.is_expired(now) && !common.may_copy(u64::from(seg.live)) {
                return true;
            }
            self.sweep_left -= 1;
            self.tick_at = idx;
            if !is_worth {
                continue;
            }
            if seg.state == State::Open {
                let (queue, class) = (seg.queue, seg.class);
                self.seal(queue, class);
            }
            if self.segs[idx].state == State::Sealed {
                let id = u32::try_from(idx).expect("segment numbers fit 20 bits");
                self.evacuate(common, log, now, id, Mode::Keep);
            }
        }
        self.sweep_left > 0
    }

    /// Whether more than a third of segment `idx` can be past its deadline, by its bounds.
    fn may_be_worth_sweeping(&self, idx: usize, now: UnixTime) -> bool {
        let seg = &self.segs[idx];
        // Soon all of it is, and nothing need be moved; unless some entries stay for good.
        let is_soon = seg.max_deadline > now.0 && seg.max_deadline - now.0 <= SWEEP_WAIT_MS;
        seg.queue != Queue::Backup && (seg.is_expired(now) || seg.due <= now.0 && !is_soon)
    }

    /// Whether more than a third of segment `idx` is past its deadline, by its items; `counted` are their bytes.
    fn is_worth_sweeping(&mut self, idx: usize, now: UnixTime, counted: &mut usize) -> bool {
        let seg = &self.segs[idx];
        if seg.is_expired(now) {
            return true;
        }
        *counted += seg.len as usize;
        let due = self.due(idx, now);
        self.segs[idx].due = due;
        due <= now.0
    }

    /// When more than a third of segment `idx` will be past its deadline, by bytes of the log or with the large values' own;
    /// up to [`DUE_STEP_MS`] too early. `u64::MAX`: never.
    fn due(&self, idx: usize, now: UnixTime) -> u64 {
        let due = self.due_by(idx, now, |_, item| item::weight(item.len(), None));
        if self.large_bytes.iter().all(|&bytes| bytes == 0) {
            return due;
        }
        due.min(self.due_by(idx, now, |location, item| {
            let held = if item.is_large() { self.handles.get(item.handle()) } else { None };
            // The handle of a dead item may be another's by now.
            let held = held.filter(|held| held.location == location);
            item::weight(item.len(), held.map(|held| &*held.value))
        }))
    }

    /// The same by one measure: the deadlines are counted in steps, then those of the step in which the third is passed in
    /// smaller ones, so that nothing is sorted or allocated.
    fn due_by(&self, idx: usize, now: UnixTime, weigh: impl Fn(Location, Item<'_>) -> u64) -> u64 {
        let row = |(location, item): (Location, Item<'_>)| {
            (item.hard().map(|hard| hard.0), weigh(location, item))
        };
        let rows = || self.items(idx).map(row);
        let third = rows().map(|(_, bytes)| bytes).sum::<u64>() / 3;
        let until = |end: u64| {
            let dead = rows().filter(|(hard, _)| hard.is_some_and(|hard| hard <= end));
            dead.map(|(_, bytes)| bytes).sum::<u64>()
        };
        // Invariant: no more than a third is dead at `low`, and more than that at `high`.
        let (mut low, mut high) = (now.0, self.segs[idx].max_deadline);
        let mut below = until(low);
        if below > third {
            return now.0;
        }
        if until(high) <= third {
            return u64::MAX;
        }
        while high - low > DUE_STEP_MS {
            let step = (high - low).div_ceil(DUE_STEPS as u64);
            let mut counts = [0; DUE_STEPS];
            for (hard, bytes) in rows() {
                if let Some(hard) = hard.filter(|hard| (low + 1..=high).contains(hard)) {
                    counts[usize::try_from((hard - low - 1) / step).unwrap_or(0)] += bytes;
                }
            }
            for count in counts {
                if below + count > third {
                    break;
                }
                below += count;
                low += step;
            }
            high = high.min(low + step);
        }
        low + 1
    }

    /// The items of segment `idx` and where they are, dead ones included.
    fn items(&self, idx: usize) -> impl Iterator<Item = (Location, Item<'_>)> {
        let id = u32::try_from(idx).expect("segment numbers fit 20 bits");
        let bytes = &self.bufs[idx][..self.segs[idx].len as usize];
        let mut at = 0;
        core::iter::from_fn(move || {
            let item = (at < bytes.len()).then(|| Item::new(&bytes[at..]))?;
            let location = Location::new(id, at);
            at += item.len();
            Some((location, item))
        })
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

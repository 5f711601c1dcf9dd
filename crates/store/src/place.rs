//! Placing an entry: room in the table, room in the log, then the bytes and the word.

use ringhold_types::entry::Version;
use ringhold_types::time::UnixTime;

use crate::budget::Purse;
use crate::entry::Role;
use crate::hash::KeyHash;
use crate::item::{Draft, Payload};
use crate::segment::Queue;
use crate::space::{Common, RESERVE, Space};
use crate::table::{Table, Word};

impl Space {
    /// Makes sure that one more word of `at` fits its table; false when memory is missing.
    pub(crate) fn table_room(&mut self, common: &mut Common, at: KeyHash) -> bool {
        let table_idx = common.table_idx(at.slot);
        let fragment = at.fragment();
        let purse = match common.role(at.slot) {
            Role::Primary => Purse::Common,
            Role::Backup => Purse::Backup,
        };
        // Once but for hashes that no key can be expected to have: both halves of a split have room.
        while !self.tables[table_idx].has_room(fragment) {
            let plan = self.tables[table_idx].plan_growth(fragment);
            if !common.take(plan.charge(), purse) {
                return false;
            }
            self.rebuild(common, table_idx, plan);
        }
        true
    }

    /// Makes the table smaller if it is far too large, the call's work and memory allow; an empty one takes no memory.
    pub(crate) fn shrink_table(&mut self, common: &mut Common, table_idx: usize, fragment: u32) {
        let table = &mut self.tables[table_idx];
        if table.len() == 0 {
            let freed = table.charge();
            *table = Table::default();
            self.held -= freed;
            common.give(freed);
            return;
        }
        // Asked first without a plan: a refusal would be repeated with every entry that goes.
        if let Some(len) = table.shrunk_len(fragment)
            && common.may_move(len)
            && common.may_take(8 * u64::try_from(len).unwrap_or(u64::MAX))
            && let Some(plan) = table.plan_shrinking(fragment)
            && common.may_move(plan.words())
            && common.take(plan.charge(), Purse::Common)
        {
            self.rebuild(common, table_idx, plan);
        }
    }

    fn rebuild(&mut self, common: &mut Common, table_idx: usize, plan: crate::table::Plan) {
        let (moved, freed) = self.tables[table_idx].rebuild(plan);
        common.work.words_moved += u64::try_from(moved).unwrap_or(u64::MAX);
        self.held = self.held + plan.charge() - freed;
        common.give(freed);
    }

    /// Makes sure that an item of `len` bytes fits; false when memory is missing.
    pub(crate) fn item_room(
        &mut self,
        common: &mut Common,
        (queue, class): (Queue, u8),
        len: usize,
        now: UnixTime,
    ) -> bool {
        self.open_room(common, (queue, class), len, now, RESERVE)
    }

    /// Writes an item where room was made, and makes `old`'s word or a new one point to it.
    #[expect(clippy::too_many_arguments, reason = "an inner step: its caller holds all of them")]
    pub(crate) fn store(
        &mut self,
        common: &mut Common,
        at: KeyHash,
        (queue, class): (Queue, u8),
        draft: &Draft<'_>,
        version: Version,
        old: Option<(usize, Word)>,
    ) {
        let len = draft.len();
        let id = self.open[queue.idx()][usize::from(class)] as usize;
        let offset = self.segs[id].len as usize;
        draft.encode(version, &mut self.bufs[id][offset..]);
        let location = self.bump(queue, class, len);
        if let Payload::Handle { handle, .. } = draft.payload {
            // Before the old item dies: it would take the handle along if that still named it.
            self.handles.relocate(handle, location);
        }
        let table_idx = common.table_idx(at.slot);
        let bytes = u64::try_from(len).unwrap_or(u64::MAX);
        if let Some((idx, word)) = old {
            let before = u64::try_from(self.item(word.location()).len()).unwrap_or(u64::MAX);
            let table = &mut self.tables[table_idx];
            table.set(idx, Word::new(at.fragment(), word.hit().freq(), location));
            table.item_bytes = table.item_bytes + bytes - before;
            self.kill(common, word.location());
        } else {
            let table = &mut self.tables[table_idx];
            assert!(table.insert(Word::new(at.fragment(), 0, location)), "room was made");
            table.item_bytes += bytes;
            self.entries += 1;
        }
    }
}

//! Writing: read, decide and change one entry in one call.

use alloc::boxed::Box;
use alloc::sync::Arc;

use ringhold_types::entry::{ContentType, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::limits::KEY_LEN_MAX;
use ringhold_types::time::UnixTime;

use super::{EVACUATIONS_MAX, FORCED, Probe, Shard, Want};
use crate::budget::Purse;
use crate::entry::{
    Change, ChangeValue, Decision, EntryRef, KIND_BYTES, Log, Outcome, Put, Role, UpdateError,
    Value,
};
use crate::handles::{Handles, Held};
use crate::hash::KeyHash;
use crate::item::{self, Draft, Item, Payload};
use crate::large::{self, LargeWriter};
use crate::segment::{Queue, class_of};
use crate::space::{Common, Space};
use crate::table::Word;

/// Evacuations of a call that a large value's pages leave for its entry.
const KEPT_FOR_ITEM: u64 = EVACUATIONS_MAX / 2;

/// The entry that a call is about.
#[derive(Clone, Copy)]
struct Target<'k> {
    ns: NamespaceId,
    key: &'k [u8],
    at: KeyHash,
    now: UnixTime,
}

impl Shard {
    /// Shows the visible entry of `key` to `decide` and does what it says, as one step.
    ///
    /// A write over an entry of the same shape and length allocates nothing and moves nothing.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; nothing was changed for this key but that an expired entry may be gone.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing of the one call")]
    pub fn update<'v, L: Log>(
        &mut self,
        ns: NamespaceId,
        key: &[u8],
        at: KeyHash,
        now: UnixTime,
        log: &mut L,
        decide: impl FnOnce(Option<EntryRef<'_>>) -> Decision<'v>,
    ) -> Result<Outcome, UpdateError> {
        if key.len() > KEY_LEN_MAX {
            return Err(UpdateError::KeyTooLong { len: key.len(), max: KEY_LEN_MAX });
        }
        self.common.begin_call();
        let target = Target { ns, key, at, now };
        let found = self.find(target);
        let entry = found.map(|(space_idx, _, word)| self.spaces[space_idx].entry(word));
        let is_expired = entry.is_some_and(|entry| entry.item.is_expired(now));
        let decision = decide(entry.filter(|_| !is_expired));
        let mut current = found;
        if is_expired && !matches!(decision, Decision::Delete) && log.may_remove(at.slot) {
            self.common.work.expired += 1;
            self.remove(target, log, |key| Change::Expire { key });
            current = None;
        }
        match decision {
            Decision::Keep => Ok(Outcome::Kept),
            Decision::Delete if found.is_some() => {
                self.remove(target, log, |key| Change::Delete { key });
                Ok(Outcome::Deleted)
            }
            Decision::Delete => Ok(Outcome::Kept),
            // Whoever decided saw no entry; only what a primary did is to be repeated all the same.
            Decision::Touch(_) if is_expired && self.common.role(at.slot) == Role::Primary => {
                Ok(Outcome::Kept)
            }
            Decision::Touch(deadlines) => self.touch(target, deadlines, log),
            Decision::Put(put) => {
                let version = self.put(target, current, put, log)?;
                Ok(Outcome::Put { version, created: found.is_none() || is_expired })
            }
        }
    }

    /// Makes room for a value of `value_len` bytes that will arrive in parts. May evict as many
    /// segments as the value is long.
    ///
    /// # Errors
    ///
    /// `TooLarge`; `Full`, to be retried while other values are being received; `NeedRoom`.
    pub fn begin_large(
        &mut self,
        ns: NamespaceId,
        value_len: usize,
        now: UnixTime,
        log: &mut impl Log,
    ) -> Result<LargeWriter, UpdateError> {
        self.common.begin_call();
        self.common.brought = large::charge_of(value_len);
        self.writer(ns, value_len, now, log)
    }

    /// Makes room for more of a value whose length is not known: at least `len` bytes of it, and up to a page beyond, so
    /// that a value is grown once for each of its pages. What remains at its end is given back by
    /// [`LargeWriter::truncate`]. `writer` is of this shard.
    ///
    /// # Errors
    ///
    /// Those of [`Shard::begin_large`]; the writer is as it was.
    pub fn grow_large(
        &mut self,
        ns: NamespaceId,
        writer: &mut LargeWriter,
        len: usize,
        now: UnixTime,
        log: &mut impl Log,
    ) -> Result<(), UpdateError> {
        if len <= writer.len() {
            return Ok(());
        }
        self.common.begin_call();
        let space_idx = self.spaces.iter().position(|space| space.ns == ns);
        let roomy = len.next_multiple_of(large::PAGE_LEN).min(self.value_len_max(space_idx));
        let len = len.max(roomy);
        let charge = large::charge_of(len) - writer.charge();
        self.common.brought = charge;
        self.take_pages(ns, len, charge, now, log)?;
        writer.grow(len);
        Ok(())
    }

    /// The longest value that the space at `space_idx` can ever take: what is left of its quota beside its tables and a few
    /// segments, and of what all values in flight may take.
    fn value_len_max(&self, space_idx: Option<usize>) -> usize {
        let common = &self.common;
        let own = Space::fixed_charge(&common.geometry) + EVACUATIONS_MAX * common.seg_bytes();
        let quota = space_idx.and_then(|idx| self.spaces[idx].quota);
        let room = quota.map_or(u64::MAX, |quota| quota.saturating_sub(own));
        let len = large::len_within(room.min(common.budget.writing_max()));
        len.min(common.geometry.value_len_max)
    }

    fn writer(
        &mut self,
        ns: NamespaceId,
        len: usize,
        now: UnixTime,
        log: &mut dyn Log,
    ) -> Result<LargeWriter, UpdateError> {
        self.take_pages(ns, len, large::charge_of(len), now, log)?;
        Ok(LargeWriter::new(Arc::clone(&self.common.budget), self.common.idx, len))
    }

    /// Takes `charge` bytes of pages for a value that is or becomes `len` bytes long, and counts them as being written.
    fn take_pages(
        &mut self,
        ns: NamespaceId,
        len: usize,
        charge: u64,
        now: UnixTime,
        log: &mut dyn Log,
    ) -> Result<(), UpdateError> {
        let space_idx = self.spaces.iter().position(|space| space.ns == ns);
        let max = self.value_len_max(space_idx);
        if len > max {
            return Err(UpdateError::TooLarge { len, max });
        }
        if !self.common.budget.begin_writing(charge) {
            return Err(UpdateError::Full { retry: true });
        }
        // So many give what it fills when nothing in them is kept; those before them are judged.
        let forced = charge.div_ceil(self.common.seg_bytes());
        let taken = self.with_room(now, log, (KEPT_FOR_ITEM, forced), |shard| {
            let space = space_idx.map(|idx| &shard.spaces[idx]);
            if space.is_some_and(|space| !space.is_within_quota(&shard.common, charge)) {
                return Err((space_idx, Want::Quota));
            }
            let taken = shard.common.take_pages(charge);
            if taken { Ok(()) } else { Err((None, Want::Engine)) }
        });
        if taken.is_err() {
            self.common.budget.end_writing(charge);
        }
        taken
    }

    fn find(&self, target: Target<'_>) -> Option<(usize, usize, Word)> {
        let space_idx = self.spaces.iter().position(|space| space.ns == target.ns)?;
        let table_idx = self.common.table_idx(target.at.slot);
        let (idx, word) = self.spaces[space_idx].find(table_idx, target.at, target.key)?;
        Some((space_idx, idx, word))
    }

    fn remove(
        &mut self,
        target: Target<'_>,
        log: &mut dyn Log,
        change: impl FnOnce(&[u8]) -> Change<'_>,
    ) {
        let Some((space_idx, idx, word)) = self.find(target) else { return };
        let table_idx = self.common.table_idx(target.at.slot);
        let space = &mut self.spaces[space_idx];
        let place = (table_idx, target.at.slot);
        space.remove_entry(&mut self.common, log, place, (idx, word), change);
        space.shrink_table(&mut self.common, table_idx, target.at.fragment());
    }

    /// Makes room in the table, the handles and the log; returns the space and where the item goes.
    fn prepare(
        &mut self,
        target: Target<'_>,
        (queue, class): (Queue, u8),
        len: usize,
        (large, is_new): (Option<u64>, bool),
        log: &mut dyn Log,
    ) -> Result<usize, UpdateError> {
        let is_backup = queue == Queue::Backup;
        let purse = if is_backup { Purse::Backup } else { Purse::Common };
        self.check_spaces(target.ns)?;
        if !is_backup {
            self.evict_ahead(target.ns, (queue, class), target.now, log);
        }
        self.with_room(target.now, log, (0, FORCED), |shard| {
            let Some(idx) = shard.space_idx(target.ns) else { return Err((None, Want::Engine)) };
            // What was there may have had to make room itself.
            let is_new = is_new || shard.find(target).is_none();
            let common = &mut shard.common;
            let space = &mut shard.spaces[idx];
            if !is_backup && !space.is_within_quota(common, large.unwrap_or(0)) {
                return Err((Some(idx), Want::Quota));
            }
            if large.is_some() && !space.handles.has_room() {
                if !common.take(Handles::BLOCK_CHARGE, purse) {
                    return Err((Some(idx), Want::Engine));
                }
                space.held += Handles::BLOCK_CHARGE;
                space.handles.grow();
            }
            if is_new && !space.table_room(common, target.at) {
                return Err((Some(idx), Want::Engine));
            }
            if !space.item_room(common, (queue, class), len, target.now) {
                let is_within = is_backup || space.is_within_quota(common, common.seg_bytes());
                return Err((Some(idx), if is_within { Want::Engine } else { Want::Quota }));
            }
            let key_charge = Held::key_charge(target.key.len());
            if large.is_some() && !common.take(key_charge, purse) {
                return Err((Some(idx), Want::Engine));
            }
            Ok(idx)
        })
    }

    /// The queue and credit of a write, and whether its key is new. Nothing is noted: the write may have to be repeated.
    fn queue_of(&mut self, target: Target<'_>, found: Option<Word>, len: u64) -> (Queue, u8, bool) {
        if self.common.role(target.at.slot) == Role::Backup {
            return (Queue::Backup, 0, found.is_none());
        }
        let Some(space) = self.spaces.iter_mut().find(|space| space.ns == target.ns) else {
            return (Queue::Small, 0, true);
        };
        let size = len.saturating_add(crate::evict::ENTRY_OVERHEAD);
        let credit = crate::evict::credit(space.avg, size);
        let credit_new = crate::evict::credit_new(space.avg, size);
        match found {
            Some(word) if word.freq() >= 2 => (Queue::Main, credit, false),
            Some(_) => (Queue::Small, credit_new, false),
            None if space.ghosts.has(target.at.hash) => (Queue::Main, credit, true),
            None => (Queue::Small, credit_new, true),
        }
    }

    /// Notes a write that has its room: its size, and that its key is back.
    fn note_new(&mut self, space_idx: usize, target: Target<'_>, len: u64) {
        let space = &mut self.spaces[space_idx];
        space.note_size(len);
        space.ghosts.take(target.at.hash);
    }

    fn put(
        &mut self,
        target: Target<'_>,
        found: Option<(usize, usize, Word)>,
        put: Put<'_>,
        log: &mut dyn Log,
    ) -> Result<Version, UpdateError> {
        let mut draft = Draft {
            payload: Payload::Inline { key: target.key, value: &[] },
            kind: put.kind,
            deadlines: put.deadlines,
            client_flags: put.client_flags,
            content_type: put.content_type,
            credit: 0,
        };
        let mut own;
        let writer = match put.value {
            Value::Bytes(value) => {
                let max = self.common.geometry.value_len_max;
                if value.len() > max {
                    return Err(UpdateError::TooLarge { len: value.len(), max });
                }
                draft.payload = Payload::Inline { key: target.key, value };
                if draft.len() <= self.common.geometry.large_len_min {
                    let written =
                        found.and_then(|found| self.overwrite(target, found, draft, value, log));
                    return match written {
                        Some(version) => Ok(version),
                        None => self.put_inline(target, found.is_some(), draft, value, log),
                    };
                }
                let key_charge = Held::key_charge(target.key.len());
                self.common.brought = large::charge_of(value.len()) + key_charge;
                let mut writer = self.writer(target.ns, value.len(), target.now, log)?;
                writer.write(value);
                own = Some(writer);
                &mut own
            }
            Value::Large(writer) => writer,
        };
        self.put_large(target, draft, writer, log)
    }

    /// Writes plain bytes without deadlines over the entry of `key` that `probe` found, if it is still there, alive, and
    /// as long as the new one: what most writes are. Nothing is looked up, allocated or moved. `None`: nothing was done,
    /// and [`Shard::update`] does it.
    #[inline]
    pub fn replace<L: Log>(
        &mut self,
        probe: &Probe,
        (ns, key): (NamespaceId, &[u8]),
        now: UnixTime,
        value: &[u8],
        log: &mut L,
    ) -> Option<Version> {
        let (idx, _) = probe.found?;
        let space = self.spaces.get(probe.space_idx).filter(|space| space.ns == ns)?;
        // The lock was let go since the probe: what counts is what the table says now.
        let word = space.tables[probe.table_idx].word(idx, probe.at.fragment())?;
        if !space.has_key(word, key) || space.item(word.location()).is_expired(now) {
            return None;
        }
        let target = Target { ns, key, at: probe.at, now };
        let draft = Draft {
            payload: Payload::Inline { key, value },
            kind: KIND_BYTES,
            deadlines: Deadlines::NEVER,
            client_flags: 0,
            content_type: ContentType::NONE,
            credit: 0,
        };
        self.overwrite(target, (probe.space_idx, idx, word), draft, value, log)
    }

    /// Writes over the entry that was found, if the new content has its shape and length: nothing is
    /// allocated, moved or looked up.
    #[inline]
    fn overwrite(
        &mut self,
        target: Target<'_>,
        (space_idx, idx, word): (usize, usize, Word),
        mut draft: Draft<'_>,
        value: &[u8],
        log: &mut dyn Log,
    ) -> Option<Version> {
        let location = word.location();
        let space = &mut self.spaces[space_idx];
        let (queue, class) = {
            let seg = &space.segs[location.seg()];
            (seg.queue, seg.class)
        };
        let is_at_home =
            queue == Queue::Backup || self.common.role(target.at.slot) == Role::Primary;
        let item = space.item(location);
        let fits = is_at_home && draft.fits_over(item);
        if !fits || class_in(&self.common, target.now, draft.deadlines) != class {
            return None;
        }
        draft.credit = item.credit();
        let before = item.hard();
        let change = change_of(target.key, ChangeValue::Bytes(value), &draft);
        let version = log.append(target.ns, target.at.slot, change);
        let bytes = &mut space.bufs[location.seg()][location.offset()..];
        draft.encode_over(version, bytes);
        if class != 0 {
            let after = Item::new(bytes).hard();
            space.segs[location.seg()].move_deadline(before, after, draft.len());
        }
        space.tables[self.common.table_idx(target.at.slot)].set(idx, word.hit());
        Some(version)
    }

    fn put_inline(
        &mut self,
        target: Target<'_>,
        is_there: bool,
        mut draft: Draft<'_>,
        value: &[u8],
        log: &mut dyn Log,
    ) -> Result<Version, UpdateError> {
        let class = class_in(&self.common, target.now, draft.deadlines);
        let change = change_of(target.key, ChangeValue::Bytes(value), &draft);
        let len = draft.len();
        let size = u64::try_from(len).unwrap_or(u64::MAX);
        let found = if is_there { self.find(target) } else { None };
        let (queue, credit, is_new) = self.queue_of(target, found.map(|(_, _, word)| word), size);
        draft.credit = credit;
        let space_idx = self.prepare(target, (queue, class), len, (None, is_new), log)?;
        if is_new && queue != Queue::Backup {
            self.note_new(space_idx, target, size);
        }
        let version = log.append(target.ns, target.at.slot, change);
        let old = if is_new { None } else { self.find(target) };
        let old = old.map(|(_, idx, word)| (idx, word));
        let space = &mut self.spaces[space_idx];
        space.store(&mut self.common, target.at, (queue, class), &draft, version, old);
        Ok(version)
    }

    fn put_large(
        &mut self,
        target: Target<'_>,
        mut draft: Draft<'_>,
        writer: &mut Option<LargeWriter>,
        log: &mut dyn Log,
    ) -> Result<Version, UpdateError> {
        let value_len = writer.as_ref().map_or(0, LargeWriter::len);
        let charge = large::charge_of(value_len) + Held::key_charge(target.key.len());
        draft.payload = Payload::Handle { handle: 0, value_len };
        let class = class_in(&self.common, target.now, draft.deadlines);
        let found = self.find(target).map(|(_, _, word)| word);
        let (queue, credit, is_new) = self.queue_of(target, found, charge);
        draft.credit = credit;
        let large = (Some(charge), is_new);
        let space_idx = self.prepare(target, (queue, class), draft.len(), large, log)?;
        if is_new && queue != Queue::Backup {
            self.note_new(space_idx, target, charge);
        }
        let value = writer.take().expect("a large put brings its writer").finish();
        let change = change_of(target.key, ChangeValue::Large(&value), &draft);
        let version = log.append(target.ns, target.at.slot, change);
        let old = self.find(target).map(|(_, idx, word)| (idx, word));
        let space = &mut self.spaces[space_idx];
        let key = Box::from(target.key);
        let location = crate::table::Location::new(1, 0);
        let handle = space.handles.add(Held { key, value, location });
        draft.payload = Payload::Handle { handle, value_len };
        space.held += charge;
        space.large_bytes[queue.idx()] += charge;
        let place = (queue, class);
        space.store(&mut self.common, target.at, place, &draft, version, old);
        Ok(version)
    }

    fn touch(
        &mut self,
        target: Target<'_>,
        deadlines: Deadlines,
        log: &mut dyn Log,
    ) -> Result<Outcome, UpdateError> {
        let Some((space_idx, _, word)) = self.find(target) else { return Ok(Outcome::Kept) };
        let change = Change::Touch { key: target.key, deadlines };
        let space = &mut self.spaces[space_idx];
        let location = word.location();
        let bytes = &mut space.bufs[location.seg()][location.offset()..];
        let before = Item::new(bytes).hard();
        if item::set_deadlines(bytes, deadlines) {
            let item = Item::new(bytes);
            let (after, len) = (item.hard(), item.len());
            space.segs[location.seg()].move_deadline(before, after, len);
            log.append(target.ns, target.at.slot, change);
            return Ok(Outcome::Touched);
        }
        // The item has no room for the deadlines: it is written anew, under its version.
        let copy: Box<[u8]> = bytes[..Item::new(bytes).len()].into();
        let item = Item::new(&copy);
        let handle = item.is_large().then(|| item.handle());
        let payload = match handle {
            Some(handle) => Payload::Handle { handle, value_len: item.value_len() },
            None => Payload::Inline { key: target.key, value: item.value() },
        };
        let draft = Draft {
            payload,
            kind: item.kind(),
            deadlines,
            client_flags: item.client_flags(),
            content_type: item.content_type(),
            credit: item.credit(),
        };
        let class = class_in(&self.common, target.now, deadlines);
        let queue = self.spaces[space_idx].segs[location.seg()].queue;
        let idx = self.prepare(target, (queue, class), draft.len(), (None, false), log)?;
        let Some((_, at, word)) = self.find(target) else {
            return Err(UpdateError::Full { retry: true });
        };
        log.append(target.ns, target.at.slot, change);
        let space = &mut self.spaces[idx];
        if let Some(handle) = handle {
            space.move_large(handle, word.location(), queue);
        }
        let (place, old) = ((queue, class), Some((at, word)));
        let version = item.version();
        space.store(&mut self.common, target.at, place, &draft, version, old);
        Ok(Outcome::Touched)
    }
}

/// The class of an entry with these deadlines in this shard.
#[inline]
fn class_in(common: &Common, now: UnixTime, deadlines: Deadlines) -> u8 {
    if deadlines.hard.is_none() { 0 } else { class_of(deadlines.hard, now, common.is_coarse) }
}

fn change_of<'a>(key: &'a [u8], value: ChangeValue<'a>, draft: &Draft<'a>) -> Change<'a> {
    Change::Put {
        key,
        value,
        kind: draft.kind,
        deadlines: draft.deadlines,
        client_flags: draft.client_flags,
        content_type: draft.content_type,
    }
}

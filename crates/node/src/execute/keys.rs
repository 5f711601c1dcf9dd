//! The commands on keys, whatever their values are.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use std::sync::Arc;

use ringhold_store::entry::{Decision, Lookup, Outcome, Put, UpdateError, Value, ValueRef};
use ringhold_store::large::{Large, LargeWriter};
use ringhold_types::entry::Deadlines;
use ringhold_types::id::NamespaceId;
use ringhold_types::limits::DATABASES;
use ringhold_types::time::Now;
use ringhold_wire::resp::table::CommandId;

use super::{Call, Done, Failure};
use crate::cells::{Cells, with_room};
use crate::content_types::OwnContentType;
use crate::shard_cell::{Key, ShardCell};
use crate::stats::Counter;

/// `DEL key [key …]` and `UNLINK key [key …]`
pub(super) fn del<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut deleted = 0;
    for idx in 1..call.args.len() {
        let (key, now) = (call.key(idx), call.now);
        let mut was_there = false;
        call.access.write(key.at.slot, |cell, _| {
            cell.update(key, now, |old| {
                // An entry whose time is over is deleted too, and was not there.
                was_there = old.is_some();
                Decision::Delete
            })
        })?;
        deleted += i64::from(was_there);
    }
    call.reply().integer(deleted);
    Ok(())
}

/// `EXISTS key [key …]`
pub(super) fn exists<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    count_present(call, |cell, key, now| matches!(cell.peek(key, now), Lookup::Hit(_)))
}

/// `TOUCH key [key …]`
pub(super) fn touch<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    count_present(call, |cell, key, now| matches!(cell.lookup(key, now), Lookup::Hit(_)))
}

fn count_present<C: Cells>(
    call: &mut Call<'_, '_, C>,
    is_there: impl Fn(&ShardCell, Key<'_>, Now) -> bool,
) -> Done {
    let (mut found, now) = (0, call.now);
    let asked = call.args.len() - 1;
    for idx in 1..=asked {
        let key = call.key(idx);
        found += u64::from(call.access.read(key.at.slot, |cell| is_there(cell, key, now)));
    }
    call.counts.add(Counter::Hits, found);
    call.counts.add(Counter::Misses, asked as u64 - found);
    call.reply().integer(i64::try_from(found).unwrap_or(i64::MAX));
    Ok(())
}

/// The names of kinds of values, by their numbers in the store.
const KINDS: [&str; 5] = ["string", "hash", "set", "zset", "list"];

/// The name of a kind of value, as `TYPE` answers it.
pub(super) fn kind_name(kind: u8) -> &'static str {
    KINDS.get(usize::from(kind)).copied().unwrap_or("unknown")
}

/// `TYPE key`
pub(super) fn kind<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (key, now) = (call.key(1), call.now);
    let name = call.access.read(key.at.slot, |cell| match cell.peek(key, now) {
        Lookup::Hit(entry) => kind_name(entry.kind()),
        Lookup::Miss | Lookup::Expired => "none",
    });
    call.reply().simple(name);
    Ok(())
}

/// `RENAME key newkey`
pub(super) fn rename<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    call.holding(|call| call.shards_of_keys(CommandId::Rename), |call| move_entry(call, true))?;
    call.reply().ok();
    Ok(())
}

/// `RENAMENX key newkey`
pub(super) fn renamenx<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let is_moved = call
        .holding(|call| call.shards_of_keys(CommandId::Rename), |call| move_entry(call, false))?;
    call.reply().integer(i64::from(is_moved));
    Ok(())
}

/// `COPY source destination [DB database] [REPLACE]`
pub(super) fn copy<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (mut database, mut may_replace) = (call.session.namespace, false);
    let mut idx = 3;
    while idx < call.args.len() {
        if call.args.is(idx, "replace") {
            may_replace = true;
        } else if call.args.is(idx, "db") && idx + 1 < call.args.len() {
            idx += 1;
            let number = u16::try_from(call.integer(idx)?).ok();
            let number = number.filter(|number| *number < DATABASES);
            database = NamespaceId(number.ok_or(Failure::text("ERR DB index is out of range"))?);
        } else {
            return Err(Failure::SYNTAX);
        }
        idx += 1;
    }
    let target = Key { namespace: database, ..call.key(2) };
    if call.key(1).bytes == target.bytes && call.session.namespace == database {
        return Err(Failure::text("ERR source and destination objects are the same"));
    }
    let is_copied = call.holding(
        |call| call.shards_of_keys(CommandId::Copy),
        |call| copy_entry(call, target, may_replace),
    )?;
    call.reply().integer(i64::from(is_copied));
    Ok(())
}

/// Writes the entry of argument 1 to `target`, whose entry is replaced if `may_replace`; whether it did.
fn copy_entry<C: Cells>(
    call: &mut Call<'_, '_, C>,
    target: Key<'_>,
    may_replace: bool,
) -> Result<bool, Failure> {
    let (source, now) = (call.key(1), call.now);
    let Some(content) = content_of(call, source) else { return Ok(false) };
    if !may_replace && is_present(call, target) {
        return Ok(false);
    }
    call.access.write(target.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| write_content(cell, target, &content, now))
    })?;
    Ok(true)
}

/// An entry without its key.
struct Content {
    value: Held,
    kind: u8,
    deadlines: Deadlines,
    client_flags: u32,
    content_type: OwnContentType,
}

enum Held {
    Bytes(Vec<u8>),
    Large(Arc<Large>),
}

/// The entry of a key; `None` when there is none.
fn content_of<C: Cells>(call: &Call<'_, '_, C>, source: Key<'_>) -> Option<Content> {
    let now = call.now;
    call.access.read(source.at.slot, |cell| match cell.peek(source, now) {
        Lookup::Hit(entry) => Some(Content {
            value: match entry.value() {
                ValueRef::Bytes(bytes) => Held::Bytes(bytes.to_vec()),
                ValueRef::Large(large) => Held::Large(Arc::clone(large)),
            },
            kind: entry.kind(),
            deadlines: entry.deadlines(),
            client_flags: entry.client_flags(),
            content_type: OwnContentType::of(entry.content_type()),
        }),
        Lookup::Miss | Lookup::Expired => None,
    })
}

fn is_present<C: Cells>(call: &Call<'_, '_, C>, key: Key<'_>) -> bool {
    call.access.read(key.at.slot, |cell| matches!(cell.peek(key, call.now), Lookup::Hit(_)))
}

/// Gives the entry of argument 1 the key of argument 2, whose entry is replaced if `may_replace`; whether it did.
fn move_entry<C: Cells>(call: &mut Call<'_, '_, C>, may_replace: bool) -> Result<bool, Failure> {
    let (source, target, now) = (call.key(1), call.key(2), call.now);
    let content = content_of(call, source).ok_or(Failure::text("ERR no such key"))?;
    if !may_replace && is_present(call, target) {
        return Ok(false);
    }
    if source.bytes == target.bytes {
        return Ok(true);
    }
    call.access.write(target.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| write_content(cell, target, &content, now))
    })?;
    call.access.write(source.at.slot, |cell, _| cell.update(source, now, |_| Decision::Delete))?;
    Ok(true)
}

fn write_content(
    cell: &mut ShardCell,
    key: Key<'_>,
    content: &Content,
    now: Now,
) -> Result<Outcome, UpdateError> {
    let mut writer: Option<LargeWriter> = None;
    if let Held::Large(large) = &content.value {
        let mut pages = cell.begin_large(key.namespace, large.len(), now)?;
        large.chunks().for_each(|chunk| pages.write(chunk));
        writer = Some(pages);
    }
    cell.update(key, now, |_| {
        Decision::Put(Put {
            value: match &content.value {
                Held::Bytes(bytes) => Value::Bytes(bytes),
                Held::Large(_) => Value::Large(&mut writer),
            },
            kind: content.kind,
            deadlines: content.deadlines,
            client_flags: content.client_flags,
            content_type: content.content_type.borrow(),
        })
    })
}

//! The string commands.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use ringhold_store::entry::{
    Decision, EntryRef, KIND_BYTES, Lookup, Outcome, Put, Value, ValueRef,
};
use ringhold_types::entry::{ContentTypeId, Deadlines};
use ringhold_types::time::UnixTime;
use ringhold_wire::resp::Protocol;
use ringhold_wire::resp::encode::Encoder;

use super::{Call, Done, Failure, TTL_MAX_MILLIS};
use crate::cells::{Cells, with_room};
use crate::number;
use crate::output::Output;
use crate::shard_cell::Key;

/// The longest reply of one command that is put together in memory, in bytes; large values in it count nothing.
const REPLY_LEN_MAX: usize = 64 * 1024 * 1024;

/// When SET writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

/// What becomes of a key's time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    /// It gets the default.
    Default,
    /// It stays as it is.
    Keep,
    /// It ends at this time.
    Until(UnixTime),
}

/// What SET and its relatives ask for.
#[derive(Clone, Copy, Debug)]
struct SetOptions {
    condition: Condition,
    lifetime: Lifetime,
    is_old_wanted: bool,
}

impl SetOptions {
    const PLAIN: Self =
        Self { condition: Condition::Always, lifetime: Lifetime::Default, is_old_wanted: false };
}

/// Appends a stored value as a bulk string.
fn bulk_of(entry: &EntryRef<'_>, out: &mut Output, protocol: Protocol) {
    match entry.value() {
        ValueRef::Bytes(bytes) => Encoder::new(&mut out.bytes, protocol).bulk(bytes),
        ValueRef::Large(large) => {
            Encoder::new(&mut out.bytes, protocol).bulk_head(large.len());
            out.insert(large, 0, large.len());
            out.bytes.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends the value of `key`, or null.
fn read<C: Cells>(call: &mut Call<'_, '_, C>, key: Key<'_>) {
    let (now, protocol) = (call.now, call.session.protocol);
    let out = &mut *call.out;
    let is_expired = call.access.read(key.at.slot, |cell| match cell.lookup(key, now) {
        Lookup::Hit(entry) => {
            bulk_of(&entry, out, protocol);
            false
        }
        Lookup::Miss => {
            Encoder::new(&mut out.bytes, protocol).null();
            false
        }
        Lookup::Expired => true,
    });
    if is_expired {
        call.access.write(key.at.slot, |cell, _| cell.reap(key, now));
        call.reply().null();
    }
}

/// `GET key`
pub(super) fn get<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let key = call.key(1);
    read(call, key);
    Ok(())
}

/// `MGET key [key …]`
pub(super) fn mget<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let count = call.args.len() - 1;
    let start = call.out.bytes.len();
    call.reply().array(count);
    for idx in 1..=count {
        let key = call.key(idx);
        read(call, key);
        if call.out.bytes.len() - start > REPLY_LEN_MAX {
            return Err(Failure::text("ERR the reply would exceed 64 MiB, ask for fewer keys"));
        }
    }
    Ok(())
}

/// `STRLEN key`
pub(super) fn strlen<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (key, now) = (call.key(1), call.now);
    let len = call.access.read(key.at.slot, |cell| match cell.peek(key, now) {
        Lookup::Hit(entry) => entry.value().len(),
        Lookup::Miss | Lookup::Expired => 0,
    });
    call.reply().integer(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(())
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut options = SetOptions::PLAIN;
    let mut idx = 3;
    while idx < call.args.len() {
        let word = call.args.get(idx).to_ascii_lowercase();
        let is_followed = idx + 1 < call.args.len();
        match word.as_slice() {
            b"nx" if options.condition == Condition::Always => {
                options.condition = Condition::IfAbsent;
            }
            b"xx" if options.condition == Condition::Always => {
                options.condition = Condition::IfPresent;
            }
            b"get" => options.is_old_wanted = true,
            b"keepttl" if options.lifetime == Lifetime::Default => {
                options.lifetime = Lifetime::Keep;
            }
            b"ex" | b"px" if options.lifetime == Lifetime::Default && is_followed => {
                options.lifetime = Lifetime::Until(call.deadline(idx + 1, word == b"ex", "set")?);
                idx += 1;
            }
            b"exat" | b"pxat" if options.lifetime == Lifetime::Default && is_followed => {
                options.lifetime = Lifetime::Until(absolute(call, idx + 1, word == b"exat")?);
                idx += 1;
            }
            _ => return Err(Failure::SYNTAX),
        }
        idx += 1;
    }
    let is_written = store(call, 2, options)?;
    match (options.is_old_wanted, is_written) {
        (true, _) => {}
        (false, true) => call.reply().ok(),
        (false, false) => call.reply().null(),
    }
    Ok(())
}

/// Argument `idx`, a time since 1970 in milliseconds or (`is_seconds`) seconds.
fn absolute<C: Cells>(
    call: &Call<'_, '_, C>,
    idx: usize,
    is_seconds: bool,
) -> Result<UnixTime, Failure> {
    let millis = call.integer(idx)?.checked_mul(if is_seconds { 1000 } else { 1 });
    let latest = call.now.unix().as_millis() + TTL_MAX_MILLIS;
    millis
        .and_then(|millis| u64::try_from(millis).ok())
        .filter(|millis| (1..=latest).contains(millis))
        .map(UnixTime)
        .ok_or_else(|| Failure::invalid_expire("set"))
}

/// `SETEX key seconds value`
pub(super) fn setex<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let until = call.deadline(2, true, "setex")?;
    store(call, 3, SetOptions { lifetime: Lifetime::Until(until), ..SetOptions::PLAIN })?;
    call.reply().ok();
    Ok(())
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let until = call.deadline(2, false, "psetex")?;
    store(call, 3, SetOptions { lifetime: Lifetime::Until(until), ..SetOptions::PLAIN })?;
    call.reply().ok();
    Ok(())
}

/// `SETNX key value`
pub(super) fn setnx<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let is_written =
        store(call, 2, SetOptions { condition: Condition::IfAbsent, ..SetOptions::PLAIN })?;
    call.reply().integer(i64::from(is_written));
    Ok(())
}

/// `GETSET key value`
pub(super) fn getset<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    store(call, 2, SetOptions { is_old_wanted: true, ..SetOptions::PLAIN })?;
    Ok(())
}

/// Writes argument `value_idx` to the key that is argument 1, if the condition holds; whether it did. Appends the
/// old value when it is wanted.
fn store<C: Cells>(
    call: &mut Call<'_, '_, C>,
    value_idx: usize,
    options: SetOptions,
) -> Result<bool, Failure> {
    let key = call.key(1);
    let value = call.args.get(value_idx);
    let (now, protocol) = (call.now, call.session.protocol);
    let default = call.node.default_deadline(key.namespace, now);
    let out = &mut *call.out;
    let mark = (out.bytes.len(), out.inserts.len());
    let outcome = call.access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            out.truncate(mark.0, mark.1);
            cell.update(key, now, |old| {
                match &old {
                    Some(entry) if options.is_old_wanted => bulk_of(entry, out, protocol),
                    None if options.is_old_wanted => Encoder::new(&mut out.bytes, protocol).null(),
                    Some(_) | None => {}
                }
                let holds = match options.condition {
                    Condition::Always => true,
                    Condition::IfAbsent => old.is_none(),
                    Condition::IfPresent => old.is_some(),
                };
                if !holds {
                    return Decision::Keep;
                }
                put(Value::Bytes(value), deadlines_after(options.lifetime, old.as_ref(), default))
            })
        })
    })?;
    Ok(matches!(outcome, Outcome::Put { .. }))
}

fn put(value: Value<'_>, deadlines: Deadlines) -> Decision<'_> {
    Decision::Put(Put {
        value,
        kind: KIND_BYTES,
        deadlines,
        client_flags: 0,
        content_type: ContentTypeId::NONE,
    })
}

/// The deadlines of an entry after a write.
fn deadlines_after(
    lifetime: Lifetime,
    old: Option<&EntryRef<'_>>,
    default: Option<UnixTime>,
) -> Deadlines {
    let fresh = Deadlines { hard: default, soft: None };
    match lifetime {
        Lifetime::Default => fresh,
        Lifetime::Keep => old.map_or(fresh, EntryRef::deadlines),
        Lifetime::Until(time) => Deadlines { hard: Some(time), soft: None },
    }
}

/// `GETDEL key`
pub(super) fn getdel<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (key, now, protocol) = (call.key(1), call.now, call.session.protocol);
    let out = &mut *call.out;
    call.access.write(key.at.slot, |cell, _| {
        cell.update(key, now, |old| match old {
            Some(entry) => {
                bulk_of(&entry, out, protocol);
                Decision::Delete
            }
            None => {
                Encoder::new(&mut out.bytes, protocol).null();
                Decision::Keep
            }
        })
    })?;
    Ok(())
}

/// `INCR key`
pub(super) fn incr<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    add(call, 1)
}

/// `DECR key`
pub(super) fn decr<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    add(call, -1)
}

/// `INCRBY key increment`
pub(super) fn incrby<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let by = call.integer(2)?;
    add(call, by)
}

/// `DECRBY key decrement`
pub(super) fn decrby<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let by = call.integer(2)?.checked_neg().ok_or(Failure::text("ERR decrement would overflow"))?;
    add(call, by)
}

/// Adds `by` to the counter that is argument 1; a missing one begins at 0, the time to live stays.
fn add<C: Cells>(call: &mut Call<'_, '_, C>, by: i64) -> Done {
    let (key, now) = (call.key(1), call.now);
    let default = call.node.default_deadline(key.namespace, now);
    let mut sum = Err(Failure::NOT_INTEGER);
    call.access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            let mut text = itoa::Buffer::new();
            cell.update(key, now, |old| {
                let before = match old.as_ref().map(EntryRef::value) {
                    None => Some(0),
                    Some(ValueRef::Bytes(bytes)) => number::parse_i64(bytes),
                    Some(ValueRef::Large(_)) => None,
                };
                sum = before
                    .ok_or(Failure::NOT_INTEGER)
                    .and_then(|before| before.checked_add(by).ok_or(Failure::OVERFLOW));
                match &sum {
                    Ok(sum) => put(
                        Value::Bytes(text.format(*sum).as_bytes()),
                        deadlines_after(Lifetime::Keep, old.as_ref(), default),
                    ),
                    Err(_) => Decision::Keep,
                }
            })
        })
    })?;
    call.reply().integer(sum?);
    Ok(())
}

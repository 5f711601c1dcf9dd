//! The string commands that read and write whole values.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use ringhold_store::entry::{
    Decision, EntryRef, KIND_BYTES, Lookup, Outcome, Put, Value, ValueRef,
};
use ringhold_store::large::LargeWriter;
use ringhold_store::shard::Probe;
use ringhold_types::entry::{ContentType, Deadlines};
use ringhold_types::time::Now;
use ringhold_wire::resp::Protocol;
use ringhold_wire::resp::encode::Encoder;
use ringhold_wire::resp::table::CommandId;

use super::options::Lifetime;
use super::{Call, Done, Failure};
use crate::args::LargeArg;
use crate::cells::{Cells, with_room};
use crate::output::Output;
use crate::shard_cell::Key;
use crate::state::NodeState;
use crate::stats::{CallId, Counter, Counts};

/// When SET writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
    /// If the value equals this argument.
    IfEqual(usize),
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
#[inline]
pub(super) fn bulk_of(entry: &EntryRef<'_>, out: &mut Output, protocol: Protocol) {
    match entry.value() {
        ValueRef::Bytes(bytes) => Encoder::new(&mut out.bytes, protocol).bulk(bytes),
        ValueRef::Large(large) => {
            Encoder::new(&mut out.bytes, protocol).bulk_head(large.len());
            out.insert(large, 0, large.len());
            out.bytes.extend_from_slice(b"\r\n");
        }
    }
}

/// Answers a `GET` with what was looked up. False, and nothing appended, when the entry's time is over: that has to be
/// made a change first.
#[inline]
#[must_use]
pub(crate) fn answer_get(
    lookup: Lookup<'_>,
    protocol: Protocol,
    counts: &mut Counts,
    out: &mut Output,
) -> bool {
    match lookup {
        Lookup::Hit(entry) => {
            counts.add(Counter::Hits, 1);
            bulk_of(&entry, out, protocol);
            true
        }
        Lookup::Miss => {
            counts.add(Counter::Misses, 1);
            Encoder::new(&mut out.bytes, protocol).null();
            true
        }
        Lookup::Expired => false,
    }
}

/// Appends the value of `key`, or null.
fn read<C: Cells>(call: &mut Call<'_, '_, C>, key: Key<'_>) {
    let (now, protocol) = (call.now, call.session.protocol);
    let (counts, out) = (&mut *call.counts, &mut *call.out);
    let is_quiet = call.session.is_no_touch;
    let is_done = call.access.read(key.at.slot, |cell| {
        let lookup = if is_quiet { cell.peek(key, now) } else { cell.lookup(key, now) };
        answer_get(lookup, protocol, counts, out)
    });
    if !is_done {
        call.access.write(key.at.slot, |cell, _| cell.reap(key, now));
        call.counts.add(Counter::Misses, 1);
        call.reply().null();
    }
}

/// `SET key value`, nothing else, of a client in no transaction.
#[inline]
pub(crate) fn set_plain<C: Cells>(
    key: Key<'_>,
    value: &[u8],
    probe: Probe,
    (cells, node, now): (&C, &NodeState, Now),
    counts: &mut Counts,
    out: &mut Output,
) {
    let default = node.default_deadline(key.namespace, now);
    let mut cell = cells.write(cells.shard_of(key.at.slot));
    let is_replaced = default.is_none() && cell.replace(&probe, key, now, value).is_some();
    if !is_replaced {
        let deadlines = Lifetime::Default.deadlines(None, default);
        let written = with_room(cells, &mut cell, now, |cell| {
            cell.update(key, now, |_| put(Value::Bytes(value), deadlines))
        });
        if let Err(error) = written {
            let Failure(text) = error.into();
            counts.error(&text);
            counts.failed(CallId::plain(CommandId::Set));
            Encoder::new(&mut out.bytes, Protocol::Two).error(&text);
            return;
        }
    }
    Encoder::new(&mut out.bytes, Protocol::Two).ok();
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
        call.check_reply(start)?;
    }
    Ok(())
}

/// `SET key value [NX | XX | IFEQ value] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if call.args.len() == 3 {
        store(call, 2, SetOptions::PLAIN)?;
        call.reply().ok();
        return Ok(());
    }
    let options = set_options(call)?;
    let is_written = store(call, 2, options)?;
    match (options.is_old_wanted, is_written) {
        (true, _) => {}
        (false, true) => call.reply().ok(),
        (false, false) => call.reply().null(),
    }
    Ok(())
}

fn set_options<C: Cells>(call: &Call<'_, '_, C>) -> Result<SetOptions, Failure> {
    let mut options = SetOptions::PLAIN;
    let mut idx = 3;
    while idx < call.args.len() {
        let word = call.args.get(idx).to_ascii_lowercase();
        let is_free = options.condition == Condition::Always;
        let is_lifetime_free = options.lifetime == Lifetime::Default;
        match word.as_slice() {
            b"nx" if is_free => options.condition = Condition::IfAbsent,
            b"xx" if is_free => options.condition = Condition::IfPresent,
            b"ifeq" if is_free && idx + 1 < call.args.len() => {
                options.condition = Condition::IfEqual(idx + 1);
                idx += 1;
            }
            b"get" => options.is_old_wanted = true,
            b"keepttl" if is_lifetime_free => options.lifetime = Lifetime::Keep,
            _ if is_lifetime_free => {
                options.lifetime = call.lifetime(idx, "set")?.ok_or(Failure::SYNTAX)?;
                idx += 1;
            }
            _ => return Err(Failure::SYNTAX),
        }
        idx += 1;
    }
    Ok(options)
}

/// `SETEX key seconds value`
pub(super) fn setex<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set_for(call, super::options::Unit::Seconds, "setex")
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set_for(call, super::options::Unit::Millis, "psetex")
}

fn set_for<C: Cells>(
    call: &mut Call<'_, '_, C>,
    unit: super::options::Unit,
    command: &str,
) -> Done {
    let until = call.deadline(2, unit, super::options::Base::Now, command)?;
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
    let (now, protocol, args) = (call.now, call.session.protocol, call.args);
    let default = call.node.default_deadline(key.namespace, now);
    check_room(call)?;
    let mut large = large_value(call.large, value_idx);
    let out = &mut *call.out;
    let mark = (out.bytes.len(), out.inserts.len());
    let mut hits = None;
    let outcome = call.access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            out.truncate(mark.0, mark.1);
            let large = large.as_deref_mut();
            cell.update(key, now, |old| {
                if options.is_old_wanted {
                    hits = Some(old.is_some());
                    match &old {
                        Some(entry) => bulk_of(entry, out, protocol),
                        None => Encoder::new(&mut out.bytes, protocol).null(),
                    }
                }
                let holds = match options.condition {
                    Condition::Always => true,
                    Condition::IfAbsent => old.is_none(),
                    Condition::IfPresent => old.is_some(),
                    Condition::IfEqual(idx) => {
                        old.as_ref().is_some_and(|entry| equals(entry.value(), args.get(idx)))
                    }
                };
                if !holds {
                    return Decision::Keep;
                }
                let value = large.map_or_else(|| Value::Bytes(args.get(value_idx)), Value::Large);
                put(value, options.lifetime.deadlines(old.as_ref(), default))
            })
        })
    })?;
    match hits {
        Some(true) => call.counts.add(Counter::Hits, 1),
        Some(false) => call.counts.add(Counter::Misses, 1),
        None => {}
    }
    Ok(matches!(outcome, Outcome::Put { .. }))
}

/// Fails when there was no room for an argument that came as a large value.
fn check_room<C: Cells>(call: &Call<'_, '_, C>) -> Done {
    call.large.iter().find_map(|large| large.refusal).map_or(Ok(()), |error| Err(error.into()))
}

/// The pages that argument `idx` was received into, if it was.
fn large_value(large: &mut [LargeArg], idx: usize) -> Option<&mut Option<LargeWriter>> {
    // They are in the order of the arguments.
    let at = large.binary_search_by_key(&idx, |large| large.idx).ok()?;
    large.get_mut(at).map(|large| &mut large.writer).filter(|writer| writer.is_some())
}

/// Whether a stored value has these bytes.
fn equals(value: ValueRef<'_>, bytes: &[u8]) -> bool {
    match value {
        ValueRef::Bytes(stored) => stored == bytes,
        ValueRef::Large(large) if large.len() == bytes.len() => {
            let mut rest = bytes;
            large.chunks().all(|chunk| {
                let (start, after) = rest.split_at(chunk.len());
                rest = after;
                start == chunk
            })
        }
        ValueRef::Large(_) => false,
    }
}

/// Plain bytes as the content of an entry.
pub(super) fn put(value: Value<'_>, deadlines: Deadlines) -> Decision<'_> {
    put_as(value, deadlines, ContentType::NONE)
}

/// The same, of a content type: that of what is changed in place.
pub(super) fn put_as<'v>(
    value: Value<'v>,
    deadlines: Deadlines,
    content_type: ContentType<'v>,
) -> Decision<'v> {
    Decision::Put(Put { value, kind: KIND_BYTES, deadlines, client_flags: 0, content_type })
}

/// `MSET key value [key value …]`: seen by others at once.
pub(super) fn mset<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    check_pairs(call, "mset")?;
    check_room(call)?;
    call.holding(|call| call.shards_of_keys(CommandId::MSet), put_pairs)?;
    call.reply().ok();
    Ok(())
}

/// `MSETNX key value [key value …]`
pub(super) fn msetnx<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    check_pairs(call, "msetnx")?;
    check_room(call)?;
    let is_done = call.holding(
        |call| call.shards_of_keys(CommandId::MSetNx),
        |call| {
            let now = call.now;
            let exists = (1..call.args.len()).step_by(2).any(|idx| {
                let key = call.key(idx);
                call.access.read(key.at.slot, |cell| matches!(cell.peek(key, now), Lookup::Hit(_)))
            });
            if exists { Ok(false) } else { put_pairs(call).map(|()| true) }
        },
    )?;
    call.reply().integer(i64::from(is_done));
    Ok(())
}

fn check_pairs<C: Cells>(call: &Call<'_, '_, C>, name: &str) -> Done {
    if call.args.len().is_multiple_of(2) {
        return Err(Failure::owned(format!("ERR wrong number of arguments for '{name}' command")));
    }
    Ok(())
}

/// Writes all pairs. One that finds no room ends it: what was written until then stays, and the answer says so.
fn put_pairs<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let now = call.now;
    let default = call.node.default_deadline(call.session.namespace, now);
    let pairs = (call.args.len() - 1) / 2;
    for pair in 0..pairs {
        let (key, value) = (call.key(1 + 2 * pair), call.args.get(2 + 2 * pair));
        let mut large = large_value(call.large, 2 + 2 * pair);
        let written = call.access.write(key.at.slot, |cell, cells| {
            with_room(cells, cell, now, |cell| {
                let large = large.as_deref_mut();
                cell.update(key, now, |_| {
                    let value = large.map_or(Value::Bytes(value), Value::Large);
                    put(value, Lifetime::Default.deadlines(None, default))
                })
            })
        });
        if let Err(error) = written {
            let Failure(why) = Failure::from(error);
            return Err(if pair == 0 {
                Failure(why)
            } else {
                Failure::owned(format!("INDOUBT {pair} of {pairs} keys were written, then: {why}"))
            });
        }
    }
    Ok(())
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let lifetime = match call.args.len() {
        2 => None,
        3 if call.args.is(2, "persist") => Some(Lifetime::Never),
        4 => Some(call.lifetime(2, "getex")?.ok_or(Failure::SYNTAX)?),
        _ => return Err(Failure::SYNTAX),
    };
    let Some(lifetime) = lifetime else { return get(call) };
    take(call, |entry, now| match lifetime {
        Lifetime::Until(time) if time <= now.unix() => Decision::Delete,
        Lifetime::Until(_) => Decision::Touch(lifetime.deadlines(None, None)),
        Lifetime::Never if entry.deadlines().hard.is_some() => Decision::Touch(Deadlines::NEVER),
        Lifetime::Never | Lifetime::Keep | Lifetime::Default => Decision::Keep,
    })
}

/// `GETDEL key`
pub(super) fn getdel<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    take(call, |_, _| Decision::Delete)
}

/// Answers the value of argument 1 and does with the entry what `decide` says.
fn take<C: Cells>(
    call: &mut Call<'_, '_, C>,
    decide: impl Fn(&EntryRef<'_>, Now) -> Decision<'static>,
) -> Done {
    let (key, now, protocol) = (call.key(1), call.now, call.session.protocol);
    let (out, counts) = (&mut *call.out, &mut *call.counts);
    let mark = (out.bytes.len(), out.inserts.len());
    let mut is_hit = false;
    call.access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            out.truncate(mark.0, mark.1);
            cell.update(key, now, |old| {
                is_hit = old.is_some();
                match old {
                    Some(entry) => {
                        bulk_of(&entry, out, protocol);
                        decide(&entry, now)
                    }
                    None => {
                        Encoder::new(&mut out.bytes, protocol).null();
                        Decision::Keep
                    }
                }
            })
        })
    })?;
    counts.add(if is_hit { Counter::Hits } else { Counter::Misses }, 1);
    Ok(())
}

/// `DELIFEQ key value`, as in Valkey 9.
pub(super) fn delifeq<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (key, now, expected) = (call.key(1), call.now, call.args.get(2));
    let outcome = call.access.write(key.at.slot, |cell, _| {
        cell.update(key, now, |old| match old {
            Some(entry) if equals(entry.value(), expected) => Decision::Delete,
            Some(_) | None => Decision::Keep,
        })
    })?;
    call.reply().integer(i64::from(outcome == Outcome::Deleted));
    Ok(())
}

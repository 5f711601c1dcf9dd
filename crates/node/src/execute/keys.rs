//! The commands on keys, whatever their values are.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use ringhold_store::entry::{Decision, Lookup, Outcome};
use ringhold_types::entry::Deadlines;
use ringhold_types::time::{Duration, UnixTime};

use super::{Call, Done, Failure, TTL_MAX_MILLIS};
use crate::cells::{Cells, with_room};

/// `DEL key [key …]` and `UNLINK key [key …]`
pub(super) fn del<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut deleted = 0;
    for idx in 1..call.args.len() {
        let (key, now) = (call.key(idx), call.now);
        let outcome = call
            .access
            .write(key.at.slot, |cell, _| cell.update(key, now, |_| Decision::Delete))?;
        deleted += i64::from(outcome == Outcome::Deleted);
    }
    call.reply().integer(deleted);
    Ok(())
}

/// `EXISTS key [key …]`
pub(super) fn exists<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut found = 0;
    for idx in 1..call.args.len() {
        let (key, now) = (call.key(idx), call.now);
        let is_there =
            call.access.read(key.at.slot, |cell| matches!(cell.peek(key, now), Lookup::Hit(_)));
        found += i64::from(is_there);
    }
    call.reply().integer(found);
    Ok(())
}

/// `TTL key`
pub(super) fn ttl<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let remaining = remaining(call);
    // Redis rounds to the nearest second.
    call.reply().integer(if remaining < 0 { remaining } else { (remaining + 500) / 1000 });
    Ok(())
}

/// `PTTL key`
pub(super) fn pttl<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let remaining = remaining(call);
    call.reply().integer(remaining);
    Ok(())
}

/// The milliseconds that the key which is argument 1 has left; -1: no end, -2: no key.
fn remaining<C: Cells>(call: &Call<'_, '_, C>) -> i64 {
    let (key, now) = (call.key(1), call.now);
    call.access.read(key.at.slot, |cell| match cell.peek(key, now) {
        Lookup::Miss | Lookup::Expired => -2,
        Lookup::Hit(entry) => entry.deadlines().hard.map_or(-1, |hard| {
            i64::try_from(hard.remaining(now.unix()).as_millis()).unwrap_or(i64::MAX)
        }),
    })
}

/// `EXPIRE key seconds`
pub(super) fn expire<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set_ttl(call, 1000, "expire")
}

/// `PEXPIRE key milliseconds`
pub(super) fn pexpire<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set_ttl(call, 1, "pexpire")
}

fn set_ttl<C: Cells>(call: &mut Call<'_, '_, C>, unit_millis: i64, command: &str) -> Done {
    let millis = call
        .integer(2)?
        .checked_mul(unit_millis)
        .ok_or_else(|| Failure::invalid_expire(command))?;
    let ttl = u64::try_from(millis).unwrap_or(0);
    if ttl > TTL_MAX_MILLIS {
        return Err(Failure::invalid_expire(command));
    }
    let deadline = call.now.unix().after(Duration::from_millis(ttl));
    change_deadline(call, if ttl == 0 { Change::Delete } else { Change::Until(deadline) })
}

/// `PERSIST key`
pub(super) fn persist<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    change_deadline(call, Change::Forever)
}

/// What becomes of a key's deadline.
#[derive(Clone, Copy, Debug)]
enum Change {
    Until(UnixTime),
    /// It has one no more; counts only if it had one.
    Forever,
    /// It is over: the key goes.
    Delete,
}

fn change_deadline<C: Cells>(call: &mut Call<'_, '_, C>, change: Change) -> Done {
    let (key, now) = (call.key(1), call.now);
    let outcome = call.access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            cell.update(key, now, |old| match (old, change) {
                (None, _) => Decision::Keep,
                (Some(_), Change::Delete) => Decision::Delete,
                (Some(_), Change::Until(deadline)) => {
                    Decision::Touch(Deadlines { hard: Some(deadline), soft: None })
                }
                (Some(entry), Change::Forever) if entry.deadlines().hard.is_none() => {
                    Decision::Keep
                }
                (Some(_), Change::Forever) => Decision::Touch(Deadlines::NEVER),
            })
        })
    })?;
    call.reply().integer(i64::from(outcome != Outcome::Kept));
    Ok(())
}

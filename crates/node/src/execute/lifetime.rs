//! The commands about the time to live of a key. A change of it keeps the entry's version.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use ringhold_store::entry::{Decision, Lookup, Outcome};
use ringhold_types::entry::Deadlines;
use ringhold_types::time::UnixTime;

use super::options::{Base, DEADLINE_MAX_MILLIS, Unit};
use super::{Call, Done, Failure};
use crate::cells::{Cells, with_room};
use crate::stats::Counter;

/// `TTL key`
pub(super) fn ttl<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    // Redis rounds to the nearest second.
    answer(call, |deadline, now| (deadline.saturating_sub(now).max(0) + 500) / 1000)
}

/// `PTTL key`
pub(super) fn pttl<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    answer(call, |deadline, now| deadline.saturating_sub(now).max(0))
}

/// `EXPIRETIME key`
pub(super) fn expiretime<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    answer(call, |deadline, _| (deadline + 500) / 1000)
}

/// `PEXPIRETIME key`
pub(super) fn pexpiretime<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    answer(call, |deadline, _| deadline)
}

/// Answers what `figure` makes of the deadline of argument 1 and the time, both in milliseconds since 1970; -1: it has
/// none, -2: no such key.
fn answer<C: Cells>(call: &mut Call<'_, '_, C>, figure: impl Fn(i64, i64) -> i64) -> Done {
    let (key, now) = (call.key(1), call.now);
    let millis = |time: UnixTime| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let number = call.access.read(key.at.slot, |cell| match cell.peek(key, now) {
        Lookup::Miss | Lookup::Expired => -2,
        Lookup::Hit(entry) => {
            entry.deadlines().hard.map_or(-1, |hard| figure(millis(hard), millis(now.unix())))
        }
    });
    call.counts.add(if number == -2 { Counter::Misses } else { Counter::Hits }, 1);
    call.reply().integer(number);
    Ok(())
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set(call, Unit::Seconds, Base::Now, "expire")
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set(call, Unit::Millis, Base::Now, "pexpire")
}

/// `EXPIREAT key seconds [NX | XX | GT | LT]`
pub(super) fn expireat<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set(call, Unit::Seconds, Base::Epoch, "expireat")
}

/// `PEXPIREAT key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    set(call, Unit::Millis, Base::Epoch, "pexpireat")
}

/// `PERSIST key`
pub(super) fn persist<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    change(call, |deadlines| {
        deadlines.hard.map_or(Decision::Keep, |_| Decision::Touch(Deadlines::NEVER))
    })
}

/// When a new deadline is taken.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "words of a command, in many combinations")]
struct Condition {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Condition {
    fn parse<C: Cells>(call: &Call<'_, '_, C>) -> Result<Self, Failure> {
        let mut condition = Self::default();
        for idx in 3..call.args.len() {
            let flag = match call.args.get(idx).to_ascii_lowercase().as_slice() {
                b"nx" => &mut condition.if_none,
                b"xx" => &mut condition.if_some,
                b"gt" => &mut condition.if_later,
                b"lt" => &mut condition.if_earlier,
                _ => {
                    let word = String::from_utf8_lossy(call.args.get(idx)).into_owned();
                    return Err(Failure::owned(format!("ERR Unsupported option {word}")));
                }
            };
            *flag = true;
        }
        if condition.if_none && (condition.if_some || condition.if_later || condition.if_earlier) {
            return Err(Failure::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if condition.if_later && condition.if_earlier {
            return Err(Failure::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// Whether `next` may take the place of `present`, where none counts as the end of time.
    fn allows(self, present: Option<UnixTime>, next: i64) -> bool {
        let present = present.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        !(self.if_none && present.is_some()
            || self.if_some && present.is_none()
            || self.if_later && present.is_none_or(|present| next <= present)
            || self.if_earlier && present.is_some_and(|present| next >= present))
    }
}

fn set<C: Cells>(call: &mut Call<'_, '_, C>, unit: Unit, base: Base, command: &str) -> Done {
    let invalid = || Failure::invalid_expire(command);
    let number = call.integer(2)?;
    let condition = Condition::parse(call)?;
    let now = i64::try_from(call.now.unix().as_millis()).unwrap_or(i64::MAX);
    let from = if base == Base::Now { now } else { 0 };
    let millis = unit.millis(number).ok_or_else(invalid)?;
    let deadline = millis.checked_add(from).ok_or_else(invalid)?;
    let until = u64::try_from(deadline).unwrap_or(0).min(DEADLINE_MAX_MILLIS);
    change(call, |deadlines| {
        if !condition.allows(deadlines.hard, deadline) {
            Decision::Keep
        } else if deadline <= now {
            // Its time is over at once.
            Decision::Delete
        } else {
            Decision::Touch(Deadlines { hard: Some(UnixTime(until)), soft: None })
        }
    })
}

/// Does with argument 1 what `decide` makes of its deadlines; answers whether that was anything.
fn change<C: Cells>(
    call: &mut Call<'_, '_, C>,
    decide: impl Fn(Deadlines) -> Decision<'static>,
) -> Done {
    let (key, now) = (call.key(1), call.now);
    let outcome = call.access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            cell.update(key, now, |old| {
                old.map_or(Decision::Keep, |entry| decide(entry.deadlines()))
            })
        })
    })?;
    call.reply().integer(i64::from(outcome != Outcome::Kept));
    Ok(())
}

//! The string commands that count.

use ringhold_store::entry::{Decision, EntryRef, Value, ValueRef};

use super::options::Lifetime;
use super::strings::put_as;
use super::{Call, Done, Failure};
use crate::cells::{Cells, with_room};
use crate::content_types::OwnContentType;
use crate::number;

const NOT_FLOAT: Failure = Failure::text("ERR value is not a valid float");
const NOT_FINITE: Failure = Failure::text("ERR increment would produce NaN or Infinity");

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
    let sum = rewrite(call, |old| {
        let before = match old {
            None => Some(0),
            Some(ValueRef::Bytes(bytes)) => number::parse_i64(bytes),
            Some(ValueRef::Large(_)) => None,
        };
        before.ok_or(Failure::NOT_INTEGER)?.checked_add(by).ok_or(Failure::OVERFLOW)
    })?;
    call.reply().integer(sum);
    Ok(())
}

/// `INCRBYFLOAT key increment`: 64-bit floating point, where Redis has 80 bits.
pub(super) fn incrbyfloat<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let by = number::parse_f64(call.args.get(2)).ok_or(NOT_FLOAT)?;
    let Float(text) = rewrite(call, |old| {
        let before = match old {
            None => Some(0.0),
            Some(ValueRef::Bytes(bytes)) => number::parse_f64(bytes),
            Some(ValueRef::Large(_)) => None,
        };
        let sum = before.ok_or(NOT_FLOAT)? + by;
        if sum.is_finite() { Ok(Float(number::format_f64(sum))) } else { Err(NOT_FINITE) }
    })?;
    call.reply().bulk(text.as_bytes());
    Ok(())
}

/// A number that can be stored.
trait Number {
    /// Its decimal text; `buffer` has room for the longest integer.
    fn text<'b>(&'b self, buffer: &'b mut itoa::Buffer) -> &'b str;
}

impl Number for i64 {
    fn text<'b>(&'b self, buffer: &'b mut itoa::Buffer) -> &'b str {
        buffer.format(*self)
    }
}

/// A floating-point number as text.
struct Float(String);

impl Number for Float {
    fn text<'b>(&'b self, _buffer: &'b mut itoa::Buffer) -> &'b str {
        &self.0
    }
}

/// Replaces the value of argument 1 by the number that `next` makes of it; its time to live stays.
fn rewrite<C: Cells, N: Number>(
    call: &mut Call<'_, '_, C>,
    next: impl Fn(Option<ValueRef<'_>>) -> Result<N, Failure>,
) -> Result<N, Failure> {
    let (key, now) = (call.key(1), call.now);
    let default = call.node.default_deadline(key.namespace, now);
    let mut buffer = itoa::Buffer::new();
    let mut number = Err(Failure::NOT_INTEGER);
    let mut content_type = OwnContentType::NONE;
    call.access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            cell.update(key, now, |old| {
                number = next(old.as_ref().map(EntryRef::value));
                if let Some(old) = &old {
                    content_type = OwnContentType::of(old.content_type());
                }
                match &number {
                    Ok(number) => put_as(
                        Value::Bytes(number.text(&mut buffer).as_bytes()),
                        Lifetime::Keep.deadlines(old.as_ref(), default),
                        content_type.borrow(),
                    ),
                    Err(_) => Decision::Keep,
                }
            })
        })
    })?;
    number
}

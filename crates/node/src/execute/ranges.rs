//! The string commands that read, append and overwrite parts of values.
//!
//! A value that becomes long is written into pages piece by piece; it is never put together in one buffer.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use std::sync::Arc;

use ringhold_store::entry::{Lookup, Outcome, UpdateError, Value, ValueRef};
use ringhold_store::large::{Large, LargeWriter};
use ringhold_types::entry::{ContentType, Deadlines, Version};
use ringhold_types::time::{Now, UnixTime};

use super::options::Lifetime;
use super::strings::put_as;
use super::{Call, Done, Failure};
use crate::cells::{Access, Cells, with_room};
use crate::content_types::OwnContentType;
use crate::number;
use crate::shard_cell::{Key, ShardCell};
use crate::stats::Counter;

/// Up to this length, in bytes, a new value is put together in a buffer.
const BUFFERED_LEN_MAX: usize = 16 * 1024;

/// `STRLEN key`
pub(super) fn strlen<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (key, now) = (call.key(1), call.now);
    let len = call.access.read(key.at.slot, |cell| match cell.peek(key, now) {
        Lookup::Hit(entry) => Some(entry.value().len()),
        Lookup::Miss | Lookup::Expired => None,
    });
    call.counts.add(if len.is_some() { Counter::Hits } else { Counter::Misses }, 1);
    call.reply().integer(i64::try_from(len.unwrap_or(0)).unwrap_or(i64::MAX));
    Ok(())
}

/// `GETRANGE key start end`: both ends belong to it, negative ones count from the end.
pub(super) fn getrange<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (key, now, protocol) = (call.key(1), call.now, call.session.protocol);
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let out = &mut *call.out;
    let is_hit = call.access.read(key.at.slot, |cell| {
        let value = match cell.lookup(key, now) {
            Lookup::Hit(entry) => Some(entry.value()),
            Lookup::Miss | Lookup::Expired => None,
        };
        let range = value.map_or(0..0, |value| range(value.len(), start, end));
        let mut encoder = ringhold_wire::resp::encode::Encoder::new(&mut out.bytes, protocol);
        match value {
            Some(ValueRef::Bytes(bytes)) => encoder.bulk(&bytes[range]),
            Some(ValueRef::Large(large)) => {
                encoder.bulk_head(range.len());
                out.insert(large, range.start, range.len());
                out.bytes.extend_from_slice(b"\r\n");
            }
            None => encoder.bulk(b""),
        }
        value.is_some()
    });
    call.counts.add(if is_hit { Counter::Hits } else { Counter::Misses }, 1);
    Ok(())
}

/// The bytes from `start` to `end` of `len` ones, as Redis understands them.
fn range(len: usize, start: i64, end: i64) -> std::ops::Range<usize> {
    let signed = i64::try_from(len).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let place = |at: i64| if at < 0 { signed.saturating_add(at).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(signed - 1));
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end => start..end + 1,
        _ => 0..0,
    }
}

/// `APPEND key value`
pub(super) fn append<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let value = call.args.get(2);
    let len = compose(call, |old| vec![Part::Old(0, old), Part::New(value)])?;
    call.reply().integer(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(())
}

/// `SETRANGE key offset value`
pub(super) fn setrange<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let offset = number::parse_i64(call.args.get(2)).ok_or(Failure::NOT_INTEGER)?;
    let offset =
        usize::try_from(offset).map_err(|_| Failure::text("ERR offset is out of range"))?;
    let value = call.args.get(3);
    if value.is_empty() {
        return strlen(call);
    }
    if offset.saturating_add(value.len()) > call.node.geometry.value_len_max {
        return Err(TOO_LONG);
    }
    let len = compose(call, |old| {
        let end = offset + value.len();
        vec![
            Part::Old(0, old.min(offset)),
            Part::Zeros(offset.saturating_sub(old)),
            Part::New(value),
            Part::Old(end.min(old), old),
        ]
    })?;
    call.reply().integer(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(())
}

const TOO_LONG: Failure = Failure::text("ERR string exceeds maximum allowed size (--max-value)");

/// A piece of a new value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// Bytes of the old value, from here to there.
    Old(usize, usize),
    New(&'a [u8]),
    Zeros(usize),
}

impl Part<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Old(from, to) => to - from,
            Self::New(bytes) => bytes.len(),
            Self::Zeros(len) => *len,
        }
    }
}

/// A copy of, or a hold on, the value that is being replaced.
enum Old {
    Bytes(Vec<u8>),
    Large(Arc<Large>),
}

impl Old {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Large(large) => large.len(),
        }
    }

    /// Hands out the bytes from `from` to `to` in pieces.
    fn pieces(&self, from: usize, to: usize, mut take: impl FnMut(&[u8])) {
        match self {
            Self::Bytes(bytes) => take(&bytes[from..to]),
            Self::Large(large) => {
                let mut at = from;
                while at < to {
                    let chunk = large.chunk_at(at);
                    let len = chunk.len().min(to - at);
                    take(&chunk[..len]);
                    at += len;
                }
            }
        }
    }
}

/// Replaces the value of argument 1 by parts, which `parts` names for the length of the old one; its time to live
/// stays. The new length.
fn compose<'p, C: Cells>(
    call: &mut Call<'_, '_, C>,
    parts: impl Fn(usize) -> Vec<Part<'p>>,
) -> Result<usize, Failure> {
    let (key, now) = (call.key(1), call.now);
    let default = call.node.default_deadline(key.namespace, now);
    let mut new_len = 0;
    let parts = |old: usize, _: Option<Version>| {
        let parts = parts(old);
        new_len = parts.iter().map(Part::len).sum();
        Some(parts)
    };
    match rewrite(call.access, key, now, default, parts) {
        Ok(_) => Ok(new_len),
        Err(UpdateError::TooLarge { .. }) => Err(TOO_LONG),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the value of `key` by the parts that `parts` names for the length and the version of the old one; none:
/// nothing is done. Its time to live stays, that of a new one ends at `default`.
///
/// # Errors
///
/// [`UpdateError`]; what was there stays.
pub(super) fn rewrite<'p, C: Cells>(
    access: &mut Access<'_, C>,
    key: Key<'_>,
    now: Now,
    default: Option<UnixTime>,
    mut parts: impl FnMut(usize, Option<Version>) -> Option<Vec<Part<'p>>>,
) -> Result<Outcome, UpdateError> {
    access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            let mut version = None;
            let mut content_type = OwnContentType::NONE;
            let (old, deadlines) = match cell.peek(key, now) {
                Lookup::Hit(entry) => {
                    version = Some(entry.version());
                    content_type = OwnContentType::of(entry.content_type());
                    let value = match entry.value() {
                        ValueRef::Bytes(bytes) => Old::Bytes(bytes.to_vec()),
                        ValueRef::Large(large) => Old::Large(Arc::clone(large)),
                    };
                    (value, entry.deadlines())
                }
                Lookup::Miss | Lookup::Expired => {
                    (Old::Bytes(Vec::new()), Lifetime::Default.deadlines(None, default))
                }
            };
            let Some(parts) = parts(old.len(), version) else { return Ok(Outcome::Kept) };
            let len = parts.iter().map(Part::len).sum();
            write_parts(cell, key, now, (&old, &parts, len), (deadlines, content_type.borrow()))
        })
    })
}

fn write_parts(
    cell: &mut ShardCell,
    key: Key<'_>,
    now: Now,
    (old, parts, len): (&Old, &[Part<'_>], usize),
    (deadlines, content_type): (Deadlines, ContentType<'_>),
) -> Result<Outcome, UpdateError> {
    if len <= BUFFERED_LEN_MAX {
        let mut bytes = Vec::with_capacity(len);
        each_piece(old, parts, |piece| bytes.extend_from_slice(piece));
        return cell.update(key, now, |_| put_as(Value::Bytes(&bytes), deadlines, content_type));
    }
    let mut writer: Option<LargeWriter> = Some(cell.begin_large(key.namespace, len, now)?);
    if let Some(writer) = &mut writer {
        each_piece(old, parts, |piece| writer.write(piece));
    }
    cell.update(key, now, |_| put_as(Value::Large(&mut writer), deadlines, content_type))
}

fn each_piece(old: &Old, parts: &[Part<'_>], mut take: impl FnMut(&[u8])) {
    const ZEROS: [u8; 4096] = [0; 4096];
    for part in parts {
        match part {
            Part::Old(from, to) => old.pieces(*from, *to, &mut take),
            Part::New(bytes) => take(bytes),
            Part::Zeros(len) => {
                let mut left = *len;
                while left > 0 {
                    let piece = left.min(ZEROS.len());
                    take(&ZEROS[..piece]);
                    left -= piece;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_those_of_redis() {
        for (len, start, end, expected) in [
            (10, 0, 3, 0..4),
            (10, -3, -1, 7..10),
            (10, 0, -1, 0..10),
            (10, 10, 100, 0..0),
            (10, 5, 3, 0..0),
            (10, -1, -3, 0..0),
            (10, -100, 2, 0..3),
            (10, 2, -100, 0..0),
            (10, -100, -50, 0..1),
            (0, 0, -1, 0..0),
            (3, i64::MIN, i64::MAX, 0..3),
        ] {
            assert_eq!(range(len, start, end), expected, "{len} {start} {end}");
        }
    }
}

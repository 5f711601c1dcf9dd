//! What `POST` does to a key: counters, times to live, appending.

use ringhold_store::entry::{Decision, EntryRef, Outcome, UpdateError, Value, ValueRef};
use ringhold_types::entry::{Deadlines, Version};
use ringhold_types::time::Now;
use ringhold_wire::http::decode::{Method, Request};

use super::super::ranges::{Part, rewrite};
use super::super::strings::put_as;
use super::answer::{Answer, wide};
use super::holds;
use crate::cells::{Access, Cells, with_room};
use crate::content_types::OwnContentType;
use crate::number;
use crate::shard_cell::Key;

/// Why a counter was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit {
    NotInteger,
    Overflow,
    Precondition(Option<Version>),
}

/// `:incr`: a missing counter begins at `initial=` and gets `ttl=`; one that is there keeps its time to live.
pub(super) fn incr<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    access: &mut Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    let fresh = match request.ttl {
        Some(ttl) => Some(now.unix().after(ttl)),
        None => answer.node.default_deadline(key.namespace, now),
    };
    let mut text = itoa::Buffer::new();
    let mut sum = Err(Unfit::NotInteger);
    let mut content_type = OwnContentType::NONE;
    let outcome = access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            cell.update(key, now, |old| {
                sum = next(request, old.as_ref());
                let Ok(sum) = sum else { return Decision::Keep };
                let fresh = Deadlines { hard: fresh, soft: None };
                let deadlines = old.as_ref().map_or(fresh, EntryRef::deadlines);
                if let Some(old) = &old {
                    content_type = OwnContentType::of(old.content_type());
                }
                put_as(Value::Bytes(text.format(sum).as_bytes()), deadlines, content_type.borrow())
            })
        })
    });
    match (outcome, sum) {
        (Ok(Outcome::Put { version: Version(version), .. }), Ok(sum)) => {
            let body = text.format(sum).as_bytes();
            let mut head = answer.head(200);
            head.field("content-type", b"text/plain").etag(version);
            head.number("content-length", wide(body.len())).end();
            answer.out.bytes.extend_from_slice(body);
        }
        (_, Err(Unfit::Precondition(before))) => answer.precondition_failed(before),
        (_, Err(Unfit::Overflow)) => {
            answer.simple_problem(409, "overflow", "the counter would leave 64 bits");
        }
        (Err(error), _) => answer.failed(error),
        (Ok(_), _) => {
            answer.simple_problem(409, "not-an-integer", "the value is no signed 64-bit integer");
        }
    }
}

fn next(request: &Request<'_>, old: Option<&EntryRef<'_>>) -> Result<i64, Unfit> {
    let version = old.map(EntryRef::version);
    if !holds(request, version) {
        return Err(Unfit::Precondition(version));
    }
    let before = match old.map(EntryRef::value) {
        None => Some(request.initial),
        Some(ValueRef::Bytes(bytes)) => number::parse_i64(bytes),
        Some(ValueRef::Large(_)) => None,
    };
    before.ok_or(Unfit::NotInteger)?.checked_add(request.by).ok_or(Unfit::Overflow)
}

/// `:touch`: value and version stay.
pub(super) fn touch<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    access: &mut Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    let deadlines = Deadlines { hard: request.ttl.map(|ttl| now.unix().after(ttl)), soft: None };
    let mut before = None;
    let outcome = access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            cell.update(key, now, |old| {
                before = old.map(|entry| entry.version());
                let is_allowed = holds(request, before);
                if is_allowed { Decision::Touch(deadlines) } else { Decision::Keep }
            })
        })
    });
    match outcome {
        Err(error) => answer.failed(error),
        Ok(Outcome::Touched) => answer.head(204).end(),
        // Preconditions say nothing of what would fail without them (RFC 9110, 13.2.1).
        Ok(_) if before.is_none() => answer.missing(),
        Ok(_) => answer.precondition_failed(before),
    }
}

/// `:append` and `:prepend`: a missing key begins as an empty value.
pub(super) fn join<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    body: &[u8],
    access: &mut Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    let default = answer.node.default_deadline(key.namespace, now);
    let mut before = None;
    let outcome = rewrite(access, key, now, default, |len, version| {
        before = version;
        let mut parts = vec![Part::Old(0, len), Part::New(body)];
        if request.method == Method::Prepend {
            parts.reverse();
        }
        holds(request, version).then_some(parts)
    });
    match outcome {
        Ok(Outcome::Put { version: Version(version), .. }) => answer.head(204).etag(version).end(),
        Ok(_) => answer.precondition_failed(before),
        Err(UpdateError::TooLarge { .. }) => answer.simple_problem(
            413,
            "value-too-large",
            "the value would exceed this node's limit (--max-value)",
        ),
        Err(error) => answer.failed(error),
    }
}

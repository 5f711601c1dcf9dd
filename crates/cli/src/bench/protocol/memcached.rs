//! memcached's text protocol: `get` of many keys and `set`.
//!
//! A `get` answers only the keys that it found, in the order asked, then `END`: keys that were skipped
//! are misses.

use super::{Broken, Operation, Sink, Template, decimal, line};
use crate::bench::keys::KeyPattern;
use crate::bench::tally::Outcome;
use crate::bench::values::Values;

/// Templates of one key of a read (the word `get` comes before) and of a write, and a write's end.
pub(super) fn templates(pattern: &KeyPattern, ttl_s: u64) -> (Template, Template, Vec<u8>) {
    let template = |head: &str, tail: &str| {
        let bytes = [head.as_bytes(), &pattern.zero, tail.as_bytes()].concat();
        Template::new(bytes, head.len(), pattern)
    };
    let get = template(" ", "\r\n");
    let set = template("set ", &format!(" 0 {ttl_s} "));
    (get, set, b"\r\n".to_vec())
}

/// Takes one line, or one value; `None` while it is incomplete.
pub(super) fn answer(
    bytes: &[u8],
    values: &Values,
    is_key: impl Fn(u64, &[u8]) -> bool,
    sink: &mut Sink<'_>,
) -> Result<Option<usize>, Broken> {
    let request = sink.first()?;
    let Some(head) = line(bytes)? else { return Ok(None) };
    let head_len = head.len() + 2;
    if let Some(text) = head.strip_prefix(b"VALUE ") {
        let mut words = text.split(|byte| *byte == b' ');
        let (key, _flags, len) = (words.next(), words.next(), words.next());
        let (Some(key), Some(len)) = (key, len.and_then(decimal)) else {
            return Err(Broken::NotAnAnswer);
        };
        let Some(body) = bytes.get(head_len..head_len + len + 2) else { return Ok(None) };
        let body = body.strip_suffix(b"\r\n").ok_or(Broken::NotAnAnswer)?;
        found(key, body, values, is_key, sink);
        return Ok(Some(head_len + len + 2));
    }
    match (head, request.operation) {
        (b"END", Operation::Get) => finish(sink, |sink| sink.answer(Outcome::Miss)),
        (b"STORED", Operation::Set) => sink.answer(Outcome::Stored),
        (b"END" | b"STORED", _) => sink.answer(Outcome::Wrong),
        (text, operation) if is_refusal(text) => {
            let word = text.split(|byte| *byte == b' ').next().unwrap_or(text);
            let kind = format!("answer {}", String::from_utf8_lossy(word));
            match operation {
                Operation::Get => finish(sink, |sink| sink.refuse(&kind)),
                Operation::Set => sink.refuse(&kind),
            }
        }
        _ => return Err(Broken::NotAnAnswer),
    }
    Ok(Some(head_len))
}

fn is_refusal(text: &[u8]) -> bool {
    text.starts_with(b"ERROR")
        || text.starts_with(b"SERVER_ERROR")
        || text.starts_with(b"CLIENT_ERROR")
        || text == b"NOT_STORED"
}

/// A value came: the keys asked before it are misses. The last key waits for `END` when it was found,
/// as an already answered one; so the waiting entry of a found last key stays as a marker.
fn found(
    key: &[u8],
    body: &[u8],
    values: &Values,
    is_key: impl Fn(u64, &[u8]) -> bool,
    sink: &mut Sink<'_>,
) {
    while let Some(request) = sink.waiting.front().copied() {
        if request.number == FOUND || request.operation == Operation::Set {
            // A value after the last key, or for a write: nobody asked for it.
            sink.tally.record(Outcome::Wrong, 0);
            return;
        }
        let outcome = match (is_key(request.number, key), values.of(request.number).is(body)) {
            (true, true) => Outcome::Hit,
            (true, false) => Outcome::Wrong,
            (false, _) => Outcome::Miss,
        };
        if request.is_last {
            let outcome = if outcome == Outcome::Miss { Outcome::Wrong } else { outcome };
            sink.tally.record(outcome, sink.now_ns.saturating_sub(request.since_ns));
            if let Some(marker) = sink.waiting.front_mut() {
                marker.number = FOUND;
            }
            return;
        }
        sink.answer(outcome);
        if outcome != Outcome::Miss {
            return;
        }
    }
}

/// The number of a last key that was found: only its `END` is awaited.
const FOUND: u64 = u64::MAX;

/// `END`: ends the first request, each key without an answer as `end` says.
fn finish(sink: &mut Sink<'_>, mut end: impl FnMut(&mut Sink<'_>)) {
    while let Some(request) = sink.waiting.front().copied() {
        if request.number == FOUND {
            sink.waiting.pop_front();
        } else {
            end(sink);
        }
        if request.is_last {
            return;
        }
    }
}

//! HTTP/1.1: `GET` and `PUT` out; answers with a `Content-Length` in (chunked ones are refused).

use super::{Broken, HEAD_LEN_MAX, Operation, Sink, Template, decimal};
use crate::bench::keys::KeyPattern;
use crate::bench::settings::Framing;
use crate::bench::tally::Outcome;
use crate::bench::values::Values;

/// Length of `HTTP/1.1 200`.
const STATUS_END: usize = 12;

/// Templates of a read and a write, and what follows a write's value.
pub(super) fn templates(
    pattern: &KeyPattern,
    framing: &Framing,
    ttl_ms: Option<u128>,
) -> (Template, Template, Vec<u8>) {
    let (host, prefix) = (&framing.host, &framing.path_prefix);
    let auth = framing
        .password
        .as_ref()
        .map_or_else(String::new, |password| format!("Authorization: Bearer {password}\r\n"));
    let fields = format!(" HTTP/1.1\r\nHost: {host}\r\n{auth}");
    let query = ttl_ms.map_or_else(String::new, |ttl| format!("?ttl={ttl}ms"));
    let get = Template::new(&format!("GET {prefix}"), pattern, &format!("{fields}\r\n"));
    let put_tail = format!("{query}{fields}Content-Length: ");
    let put = Template::new(&format!("PUT {prefix}"), pattern, &put_tail);
    (get, put, Vec::new())
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    status: usize,
    len: usize,
    body_len: usize,
    is_closing: bool,
}

/// Takes one answer; `None` while it is incomplete.
pub(super) fn answer(
    bytes: &[u8],
    values: &Values,
    sink: &mut Sink<'_>,
) -> Result<Option<usize>, Broken> {
    let request = sink.first()?;
    let Some(head) = head(bytes)? else { return Ok(None) };
    let Some(body) = bytes.get(head.len..head.len + head.body_len) else { return Ok(None) };
    match (request.operation, head.status) {
        (Operation::Get, 200) if values.of(request.number).is(body) => sink.answer(Outcome::Hit),
        (Operation::Get, 404) => sink.answer(Outcome::Miss),
        (Operation::Set, 200 | 201 | 204) => sink.answer(Outcome::Stored),
        (_, 200..=399) => sink.answer(Outcome::Wrong),
        (_, status) => sink.refuse(&format!("status {status}")),
    }
    if head.is_closing { Err(Broken::Closing) } else { Ok(Some(head.len + head.body_len)) }
}

/// Reads the head: status line, then only the fields that matter here.
fn head(bytes: &[u8]) -> Result<Option<Head>, Broken> {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return unfinished(bytes) };
    if end < STATUS_END || !bytes.starts_with(b"HTTP/1.") {
        return Err(Broken::NotAnAnswer);
    }
    let status = decimal(&bytes[STATUS_END - 3..STATUS_END]).ok_or(Broken::NotAnAnswer)?;
    let mut head = Head { status, ..Head::default() };
    let mut has_len = matches!(status, 204 | 304);
    let mut at = end + 1;
    loop {
        let rest = &bytes[at..];
        let Some(end) = memchr::memchr(b'\n', rest) else { return unfinished(bytes) };
        let field = rest[..end].strip_suffix(b"\r").ok_or(Broken::NotAnAnswer)?;
        at += end + 1;
        match field.first().map(u8::to_ascii_lowercase) {
            None => break,
            Some(b'c') => {
                if let Some(text) = value_of(field, b"content-length:") {
                    head.body_len = decimal(text).ok_or(Broken::NotAnAnswer)?;
                    has_len = true;
                } else if let Some(text) = value_of(field, b"connection:") {
                    head.is_closing = text.eq_ignore_ascii_case(b"close");
                }
            }
            Some(_) => {}
        }
    }
    head.len = at;
    if has_len { Ok(Some(head)) } else { Err(Broken::NotAnAnswer) }
}

fn unfinished(bytes: &[u8]) -> Result<Option<Head>, Broken> {
    if bytes.len() > HEAD_LEN_MAX { Err(Broken::HeadTooLong) } else { Ok(None) }
}

/// The value of `field` when its name (with the colon, in lower case) is `name`.
fn value_of<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = field.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

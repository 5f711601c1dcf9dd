//! HTTP/1.1: `GET` and `PUT` out; answers with a `Content-Length` or in chunks in.

use ringhold_wire::http::encode;
use ringhold_wire::http::response::{Asked, Body, Framing, Head, ResponseError};

use super::{Broken, Operation, Sink, Template, Waiting};
use crate::bench::keys::KeyPattern;
use crate::bench::settings::Framing as Fields;
use crate::bench::tally::Outcome;
use crate::bench::values::Values;

/// Templates of a read and a write (its length and value follow), and what follows a write's value.
pub(super) fn templates(
    pattern: &KeyPattern,
    fields: &Fields,
    ttl_ms: Option<u128>,
) -> (Template, Template, Vec<u8>) {
    let key = String::from_utf8_lossy(&pattern.zero);
    let template = |method: &str, query: &str| {
        let mut bytes = Vec::new();
        let target = format!("{}{key}{query}", fields.path_prefix);
        let mut head = encode::Head::request(&mut bytes, method, &target);
        head.field("Host", fields.host.as_bytes());
        if let Some(password) = &fields.password {
            head.field("Authorization", format!("Bearer {password}").as_bytes());
        }
        let key_at = method.len() + 1 + fields.path_prefix.len();
        (bytes, key_at)
    };
    let (mut get, key_at) = template("GET", "");
    encode::Head::resume(&mut get).end();
    let get = Template::new(get, key_at, pattern);
    let query = ttl_ms.map_or_else(String::new, |ttl| format!("?ttl={ttl}ms"));
    let (put, key_at) = template("PUT", &query);
    (get, Template::new(put, key_at, pattern), Vec::new())
}

/// Takes one answer; `None` while it is incomplete.
pub(super) fn answer(
    bytes: &[u8],
    values: &Values,
    sink: &mut Sink<'_>,
) -> Result<Option<usize>, Broken> {
    let request = sink.first()?;
    let Some(head) = sink.progress.head.decode(bytes, Asked::Other).map_err(broken)? else {
        return Ok(None);
    };
    let rest = &bytes[head.bytes.len()..];
    let body_len = match head.framing {
        Framing::Length(len) => {
            let Some(body) = rest.get(..len) else { return Ok(None) };
            check(head, body, request, values, sink);
            len
        }
        Framing::Chunked => {
            let Some((body, len)) = chunks(rest)? else { return Ok(None) };
            check(head, &body, request, values, sink);
            len
        }
        Framing::UntilClose => return Err(Broken::NotAnAnswer),
    };
    if head.is_keep_alive { Ok(Some(head.bytes.len() + body_len)) } else { Err(Broken::Closing) }
}

fn check(head: Head<'_>, body: &[u8], request: Waiting, values: &Values, sink: &mut Sink<'_>) {
    match (request.operation, head.status) {
        (Operation::Get, 200) if values.of(request.number).is(body) => sink.answer(Outcome::Hit),
        (Operation::Get, 404) => sink.answer(Outcome::Miss),
        (Operation::Set, 200 | 201 | 204) => sink.answer(Outcome::Stored),
        // More is to come for the same request.
        (_, 100..=199) => {}
        (_, 200..=399) => sink.answer(Outcome::Wrong),
        (_, status) => sink.refuse(&format!("status {status}")),
    }
}

/// A whole chunked body, and the bytes that it takes.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Broken> {
    let (mut body, mut content, mut used) = (Body::new(Framing::Chunked), Vec::new(), 0);
    loop {
        let piece = body.decode(&bytes[used..]).map_err(broken)?;
        content.extend_from_slice(piece.content);
        used += piece.used;
        if piece.is_last {
            return Ok(Some((content, used)));
        }
        if piece.used == 0 {
            return Ok(None);
        }
    }
}

fn broken(error: ResponseError) -> Broken {
    if error == ResponseError::HeadTooLong { Broken::HeadTooLong } else { Broken::NotAnAnswer }
}

//! RESP: `GET` and `SET` out, bulk strings, `+OK`, nulls and errors in.

use ringhold_wire::resp::Protocol;
use ringhold_wire::resp::command::command;
use ringhold_wire::resp::encode::Encoder;
use ringhold_wire::resp::reply::{Item, ReplyError};

use super::{Broken, Operation, Sink, Template};
use crate::bench::keys::KeyPattern;
use crate::bench::tally::Outcome;
use crate::bench::values::Values;

/// Templates of a read and a write (its value follows), and what follows a write's value.
pub(super) fn templates(
    pattern: &KeyPattern,
    ttl_ms: Option<u128>,
) -> (Template, Template, Vec<u8>) {
    let template = |word: &[u8], count| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, Protocol::Two);
        encoder.array(count);
        encoder.bulk(word);
        encoder.bulk(&pattern.zero);
        let key_at = bytes.len() - b"\r\n".len() - pattern.zero.len();
        Template::new(bytes, key_at, pattern)
    };
    let get = template(b"GET", 2);
    let set = template(b"SET", if ttl_ms.is_some() { 5 } else { 3 });
    let mut tail = b"\r\n".to_vec();
    if let Some(ttl) = ttl_ms {
        let mut encoder = Encoder::new(&mut tail, Protocol::Two);
        encoder.bulk(b"PX");
        encoder.bulk(ttl.to_string().as_bytes());
    }
    (get, set, tail)
}

/// The command that shows the password.
pub(super) fn auth(password: &str) -> Vec<u8> {
    let mut out = Vec::new();
    command(&mut out, &[b"AUTH", password.as_bytes()]);
    out
}

/// Takes one answer; `None` while it is incomplete.
pub(super) fn answer(
    bytes: &[u8],
    values: &Values,
    sink: &mut Sink<'_>,
) -> Result<Option<usize>, Broken> {
    let request = sink.first()?;
    let Some(reply) = sink.progress.reply.decode(bytes).map_err(broken)? else { return Ok(None) };
    match (reply.head, request.operation) {
        (Item::Bulk(body), Operation::Get) if values.of(request.number).is(body) => {
            sink.answer(Outcome::Hit);
        }
        (Item::Null, Operation::Get) => sink.answer(Outcome::Miss),
        (Item::Simple(b"OK"), Operation::Set) => sink.answer(Outcome::Stored),
        (Item::Error(text), _) => {
            let word = text.split(|byte| *byte == b' ').next().unwrap_or(text);
            sink.refuse(&format!("answer {}", String::from_utf8_lossy(word)));
        }
        // Nobody asked for it.
        (Item::Push(_), _) => {}
        _ => sink.answer(Outcome::Wrong),
    }
    Ok(Some(reply.bytes.len()))
}

fn broken(error: ReplyError) -> Broken {
    if matches!(error, ReplyError::LineTooLong { .. }) {
        Broken::HeadTooLong
    } else {
        Broken::NotAnAnswer
    }
}

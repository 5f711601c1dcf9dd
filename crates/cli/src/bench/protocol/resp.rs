//! RESP: `GET` and `SET` out, bulk strings, `+OK`, nulls and errors in.

use super::{Broken, Operation, Sink, Template, decimal, line};
use crate::bench::keys::KeyPattern;
use crate::bench::tally::Outcome;
use crate::bench::values::Values;

/// Templates of a read and a write, and what follows a write's value.
pub(super) fn templates(
    pattern: &KeyPattern,
    ttl_ms: Option<u128>,
) -> (Template, Template, Vec<u8>) {
    let key_len = pattern.zero.len();
    let get = Template::new(&format!("*2\r\n$3\r\nGET\r\n${key_len}\r\n"), pattern, "\r\n");
    let count = if ttl_ms.is_some() { 5 } else { 3 };
    let set = Template::new(&format!("*{count}\r\n$3\r\nSET\r\n${key_len}\r\n"), pattern, "\r\n$");
    let tail = ttl_ms.map_or_else(
        || "\r\n".to_owned(),
        |ttl| format!("\r\n$2\r\nPX\r\n${}\r\n{ttl}\r\n", ttl.to_string().len()),
    );
    (get, set, tail.into_bytes())
}

/// The command that shows the password.
pub(super) fn auth(password: &str) -> Vec<u8> {
    format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len()).into_bytes()
}

/// Takes one answer; `None` while it is incomplete.
pub(super) fn answer(
    bytes: &[u8],
    values: &Values,
    sink: &mut Sink<'_>,
) -> Result<Option<usize>, Broken> {
    let request = sink.first()?;
    let Some(head) = line(bytes)? else { return Ok(None) };
    let head_len = head.len() + 2;
    let (kind, text) = head.split_first().ok_or(Broken::NotAnAnswer)?;
    match (*kind, request.operation) {
        (b'$', _) if text == b"-1" => sink.answer(missing(request.operation)),
        (b'_', operation) => sink.answer(missing(operation)),
        (b'$', operation) => {
            let len = decimal(text).ok_or(Broken::NotAnAnswer)?;
            let Some(body) = bytes.get(head_len..head_len + len + 2) else { return Ok(None) };
            let (body, end) = body.split_at(len);
            if end != b"\r\n" {
                return Err(Broken::NotAnAnswer);
            }
            let is_right = operation == Operation::Get && values.of(request.number).is(body);
            sink.answer(if is_right { Outcome::Hit } else { Outcome::Wrong });
            return Ok(Some(head_len + len + 2));
        }
        (b'+', Operation::Set) if text == b"OK" => sink.answer(Outcome::Stored),
        (b'+' | b':', _) => sink.answer(Outcome::Wrong),
        (b'-', _) => {
            let word = text.split(|byte| *byte == b' ').next().unwrap_or(text);
            sink.refuse(&format!("answer {}", String::from_utf8_lossy(word)));
        }
        _ => return Err(Broken::NotAnAnswer),
    }
    Ok(Some(head_len))
}

/// A null: the key is not there. A write is never answered so.
fn missing(operation: Operation) -> Outcome {
    match operation {
        Operation::Get => Outcome::Miss,
        Operation::Set => Outcome::Wrong,
    }
}

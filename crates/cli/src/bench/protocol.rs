//! Requests out, answers in: templates and checks of three protocols.
//!
//! [`Codec::request`] appends one request to a connection's batch; [`Codec::answers`] takes as many whole
//! answers as the bytes hold and says what each was. One function per protocol, chosen once per
//! batch. RESP and HTTP are `wire`'s codecs; memcached's lines are read here.

mod http;
mod memcached;
mod resp;

use std::collections::VecDeque;

use anyhow::Context;
use ringhold_wire::http::encode::Head;
use ringhold_wire::http::response;
use ringhold_wire::resp::encode::Encoder;
use ringhold_wire::resp::{Protocol, reply};

use crate::bench::keys::{KeyPattern, write_digits};
use crate::bench::settings::Framing;
use crate::bench::tally::{Outcome, Tally};
use crate::bench::values::{VALUE_LEN_MAX, Values};

/// The longest line of memcached, in bytes; a longer one ends the connection.
const LINE_LEN_MAX: usize = 64 * 1024;
/// What a server may answer over RESP.
const REPLY_LIMITS: reply::Limits =
    reply::Limits { bulk_len_max: VALUE_LEN_MAX, elements_max: 1024 * 1024 };

/// A protocol that the load generator speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProtocolName {
    /// Redis' protocol, version 2.
    Resp,
    /// HTTP/1.1.
    Http,
    /// memcached's text protocol.
    Memcached,
}

impl ProtocolName {
    /// Its name on the command line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Resp => "resp",
            Self::Http => "http",
            Self::Memcached => "memcached",
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    /// Read the key.
    Get,
    /// Write the key's value.
    Set,
}

/// A request whose answer has not come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Number of its key.
    pub(crate) number: u64,
    /// When it was sent, or should have been: nanoseconds since the thread's start.
    pub(crate) since_ns: u64,
    /// What it asks.
    pub(crate) operation: Operation,
    /// Whether it is the last of its request: memcached answers several keys with one `END`.
    pub(crate) is_last: bool,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    /// The bytes are not an answer of this protocol.
    NotAnAnswer,
    /// More was answered than asked.
    Unasked,
    /// The answer's head does not end.
    HeadTooLong,
    /// The server announces the end of the connection.
    Closing,
}

impl Broken {
    /// Its name among the errors.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::NotAnAnswer => "malformed answer",
            Self::Unasked => "unasked answer",
            Self::HeadTooLong => "endless answer",
            Self::Closing => "closed by answer",
        }
    }
}

/// Where a connection's decoders stopped in an incomplete answer.
#[derive(Debug)]
pub(crate) struct Progress {
    reply: reply::Decoder,
    head: response::Decoder,
}

impl Progress {
    /// Before the first byte.
    pub(crate) fn new() -> Self {
        Self { reply: reply::Decoder::new(REPLY_LIMITS), head: response::Decoder::new() }
    }
}

/// Where answers go: the requests that wait, and the tally.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    /// Of this connection.
    pub(crate) progress: &'a mut Progress,
    /// Requests in the order sent.
    pub(crate) waiting: &'a mut VecDeque<Waiting>,
    /// Counts.
    pub(crate) tally: &'a mut Tally,
    /// When the bytes were read: nanoseconds since the thread's start.
    pub(crate) now_ns: u64,
}

impl Sink<'_> {
    fn first(&self) -> Result<Waiting, Broken> {
        self.waiting.front().copied().ok_or(Broken::Unasked)
    }

    fn answer(&mut self, outcome: Outcome) {
        if let Some(request) = self.waiting.pop_front() {
            self.tally.record(outcome, self.now_ns.saturating_sub(request.since_ns));
        }
    }

    fn refuse(&mut self, kind: &str) {
        self.tally.error(kind, 1);
        self.answer(Outcome::Refused);
    }
}

/// A request's fixed bytes with the key of number 0 in them.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    digits_start: usize,
    digits_end: usize,
}

impl Template {
    /// `bytes` has the key of number 0 at `key_at`.
    fn new(bytes: Vec<u8>, key_at: usize, pattern: &KeyPattern) -> Self {
        let digits_end = key_at + pattern.digits_end;
        Self { bytes, digits_start: digits_end - pattern.digits_count, digits_end }
    }

    fn append(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        write_digits(&mut out[start + self.digits_start..start + self.digits_end], number);
    }
}

/// Encodes requests and checks answers of one protocol.
#[derive(Debug)]
pub(crate) struct Codec {
    name: ProtocolName,
    get: Template,
    set: Template,
    /// After a write's value.
    set_tail: Vec<u8>,
    greeting: Vec<u8>,
    key_len: usize,
    values: Values,
}

impl Codec {
    /// Builds the templates.
    ///
    /// # Errors
    ///
    /// When a time to live cannot be said in this protocol.
    pub(crate) fn new(
        name: ProtocolName,
        pattern: &KeyPattern,
        values: Values,
        framing: &Framing,
    ) -> anyhow::Result<Self> {
        let key_len = pattern.zero.len();
        let ttl_ms = framing.ttl.map(|ttl| ttl.as_millis());
        let auth = framing.password.as_deref();
        let (get, set, set_tail) = match name {
            ProtocolName::Resp => resp::templates(pattern, ttl_ms),
            ProtocolName::Http => http::templates(pattern, framing, ttl_ms),
            ProtocolName::Memcached => {
                let ttl_s = framing.ttl.map_or(0, |ttl| ttl.as_secs());
                if framing.ttl.is_some() {
                    std::num::NonZeroU64::new(ttl_s).context("memcached counts whole seconds")?;
                }
                memcached::templates(pattern, ttl_s)
            }
        };
        let greeting = match (name, auth) {
            (ProtocolName::Resp, Some(password)) => resp::auth(password),
            _ => Vec::new(),
        };
        Ok(Self { name, get, set, set_tail, greeting, key_len, values })
    }

    /// The protocol spoken.
    pub(crate) fn name(&self) -> ProtocolName {
        self.name
    }

    /// Sent first on a connection, over RESP and answered with `+OK`; empty for none.
    pub(crate) fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// Appends a request to a batch; `previous` is the one before it in the same batch.
    pub(crate) fn request(
        &self,
        number: u64,
        operation: Operation,
        previous: Option<&mut Waiting>,
        out: &mut Vec<u8>,
    ) {
        match operation {
            Operation::Get if self.name == ProtocolName::Memcached => {
                self.join_get(number, previous, out);
            }
            Operation::Get => self.get.append(number, out),
            Operation::Set => {
                let value = self.values.of(number);
                self.set.append(number, out);
                match self.name {
                    ProtocolName::Resp => Encoder::new(out, Protocol::Two).bulk_head(value.len()),
                    ProtocolName::Http => {
                        let len = u64::try_from(value.len()).unwrap_or(u64::MAX);
                        Head::resume(out).number("Content-Length", len).end();
                    }
                    ProtocolName::Memcached => {
                        let mut buffer = itoa::Buffer::new();
                        out.extend_from_slice(buffer.format(value.len()).as_bytes());
                        out.extend_from_slice(b"\r\n");
                    }
                }
                value.append_to(out);
                out.extend_from_slice(&self.set_tail);
            }
        }
    }

    /// A read right after a read becomes one more key of it.
    fn join_get(&self, number: u64, previous: Option<&mut Waiting>, out: &mut Vec<u8>) {
        match previous {
            Some(request) if request.operation == Operation::Get => {
                request.is_last = false;
                out.truncate(out.len() - b"\r\n".len());
            }
            Some(_) | None => out.extend_from_slice(b"get"),
        }
        self.get.append(number, out);
    }

    /// Takes the whole answers at the front of `bytes` and returns how many bytes they were.
    ///
    /// # Errors
    ///
    /// When the connection cannot go on.
    pub(crate) fn answers(&self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<usize, Broken> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let len = match self.name {
                ProtocolName::Resp => resp::answer(rest, &self.values, sink)?,
                ProtocolName::Http => http::answer(rest, &self.values, sink)?,
                ProtocolName::Memcached => self.memcached_answer(rest, sink)?,
            };
            match len {
                Some(len) => used += len,
                None => break,
            }
        }
        Ok(used)
    }

    fn memcached_answer(&self, rest: &[u8], sink: &mut Sink<'_>) -> Result<Option<usize>, Broken> {
        let key_of = |number| {
            let mut key = [0; 256];
            let zero = &self.get.bytes[1..=self.key_len];
            key[..self.key_len].copy_from_slice(zero);
            write_digits(&mut key[self.get.digits_start - 1..self.get.digits_end - 1], number);
            key
        };
        let is_key = |number, bytes: &[u8]| bytes == &key_of(number)[..self.key_len];
        memcached::answer(rest, &self.values, is_key, sink)
    }
}

/// The line at the front of `bytes` without its CRLF; `None` while it is incomplete.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Broken> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' => Ok(Some(&bytes[..end - 1])),
        Some(_) => Err(Broken::NotAnAnswer),
        None if bytes.len() > LINE_LEN_MAX => Err(Broken::HeadTooLong),
        None => Ok(None),
    }
}

/// The decimal number that is all of `digits`.
fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.iter().try_fold(0usize, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| sum * 10 + usize::from(digit))
    })
}

//! Heads of answers and of requests, and what stands in answers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ringhold_types::slot::Slot;

/// The head of an answer or a request, built field by field.
#[derive(Debug)]
pub struct Head<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Head<'o> {
    /// Begins an answer with this status.
    #[inline]
    pub fn new(out: &'o mut Vec<u8>, status: u16) -> Self {
        if status == 200 {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            return Self { out };
        }
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status_line(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// Begins a request; neither part has spaces or line breaks.
    pub fn request(out: &'o mut Vec<u8>, method: &str, target: &str) -> Self {
        for part in [method, " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        Self { out }
    }

    /// Goes on with the head that `out` ends with.
    #[inline]
    pub fn resume(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Adds a field; neither part has line breaks.
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds whole fields, each with its line break.
    pub fn fields(&mut self, fields: &[u8]) -> &mut Self {
        self.out.extend_from_slice(fields);
        self
    }

    /// Adds a field whose value is a number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        let mut buffer = itoa::Buffer::new();
        self.field(name, buffer.format(value).as_bytes())
    }

    /// Adds the strong `ETag` of a version.
    pub fn etag(&mut self, version: u64) -> &mut Self {
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(b"etag: \"");
        self.out.extend_from_slice(buffer.format(version).as_bytes());
        self.out.extend_from_slice(b"\"\r\n");
        self
    }

    /// Ends the head; the body follows.
    pub fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// How entity tags are compared (RFC 9110, 8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Weak tags match nothing: for `If-Match`.
    Strong,
    /// A weak tag matches as its strong one would: for `If-None-Match`.
    Weak,
}

/// Whether an entity tag list (`If-Match`, `If-None-Match`) names a version; `*` names every one (RFC 9110, 13.1).
#[must_use]
pub fn names_version(list: &[u8], version: u64, comparison: Comparison) -> bool {
    let mut buffer = itoa::Buffer::new();
    let version = buffer.format(version).as_bytes();
    list.split(|&byte| byte == b',').any(|tag| {
        let tag = tag.trim_ascii();
        let strong = match comparison {
            Comparison::Strong => tag,
            Comparison::Weak => tag.strip_prefix(b"W/").unwrap_or(tag),
        };
        let digits = strong.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        tag == b"*" || digits.is_some_and(|digits| digits == version)
    })
}

/// The body of a problem (RFC 9457, `application/problem+json`), of a key in `slot` if it is of one. No argument comes from
/// a client, so nothing needs escaping but the node's name, of which only plain characters are kept.
#[must_use]
pub fn problem(status: u16, code: &str, detail: &str, node: &str, slot: Option<Slot>) -> String {
    let title = status_line(status).get(4..).unwrap_or_default();
    let node: String = node
        .chars()
        .filter(|char| char.is_ascii_alphanumeric() || "-_.:".contains(*char))
        .collect();
    let is_retryable = matches!(status, 408 | 429 | 503);
    let slot = slot.map_or_else(String::new, |slot| format!(",\"slot\":{}", slot.number()));
    format!(
        "{{\"type\":\"/problems/{code}\",\"title\":\"{title}\",\"status\":{status},\"detail\":\"{detail}\",\
         \"code\":\"{code}\",\"node\":\"{node}\",\"map\":1{slot},\"retryable\":{is_retryable},\"outcome\":\"not_applied\"}}"
    )
}

fn status_line(status: u16) -> &'static str {
    match status {
        200 => "200 OK",
        201 => "201 Created",
        202 => "202 Accepted",
        204 => "204 No Content",
        304 => "304 Not Modified",
        400 => "400 Bad Request",
        401 => "401 Unauthorized",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        405 => "405 Method Not Allowed",
        408 => "408 Request Timeout",
        409 => "409 Conflict",
        412 => "412 Precondition Failed",
        413 => "413 Content Too Large",
        414 => "414 URI Too Long",
        415 => "415 Unsupported Media Type",
        417 => "417 Expectation Failed",
        431 => "431 Request Header Fields Too Large",
        501 => "501 Not Implemented",
        503 => "503 Service Unavailable",
        507 => "507 Insufficient Storage",
        _ => "500 Internal Server Error",
    }
}

//! Requests of HTTP/1.1, parsed by `httparse`, as operations on keys.
//!
//! The decoder takes the bytes of a connection that no request has consumed. A head that arrives slowly is not
//! parsed again for each byte: only its end is looked for. What cannot be served is a [`Refusal`] with the status
//! to answer; whatever leaves the limits of the next request in doubt closes the connection (RFC 9112, 6.3 and
//! 11.2, "request smuggling").

use alloc::borrow::Cow;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::time::Duration;

use ringhold_types::id::NamespaceId;
use ringhold_types::limits::KEY_LEN_MAX;

use super::target::{FILL_WITHIN_DEFAULT, target_of};
pub use super::target::{TTL_MAX, database, duration};

/// The longest request line, in bytes: a key of the greatest length, each byte percent-encoded, and the rest.
pub const REQUEST_LINE_LEN_MAX: usize = 3 * KEY_LEN_MAX + 1024;
/// The most bytes of header fields.
pub const FIELDS_LEN_MAX: usize = 16 * 1024;
/// The most header fields.
pub const FIELDS_MAX: usize = 64;

/// What a client wants done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read it.
    Get,
    /// Read its head.
    Head,
    /// Set it.
    Put,
    /// Delete it.
    Delete,
    /// `POST …:incr`: add to a counter.
    Incr,
    /// `POST …:touch`: give it a new time to live.
    Touch,
    /// `POST …:append`: add the body at its end.
    Append,
    /// `POST …:prepend`: add the body at its beginning.
    Prepend,
    /// `POST …:fill-lease`: read it, or become the one who fills it.
    FillLease,
}

/// One request on a key, its body not included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the request, not a state")]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// The namespace of the key, if it is a database.
    pub namespace: NamespaceId,
    /// The name of the key's namespace, if it is no database: its number is for the node to find.
    pub namespace_name: Option<&'a str>,
    /// The key, decoded; 1 to [`KEY_LEN_MAX`] bytes.
    pub key: Cow<'a, [u8]>,
    /// `ttl=`, or the field `Ringhold-TTL`.
    pub ttl: Option<Duration>,
    /// `stale_for=`: how long the entry can be read as stale after its time to live.
    pub stale_for: Option<Duration>,
    /// `by=`: what is added to a counter.
    pub by: i64,
    /// `initial=`: what a counter that is missing begins at.
    pub initial: i64,
    /// Whether deleting a missing key is an error (`strict=true`).
    pub is_strict: bool,
    /// `fill_within=`: how long a fill lease holds.
    pub fill_within: Duration,
    /// `Ringhold-Fill-Lease`: the lease under which the value was made.
    pub lease: Option<u64>,
    /// `Content-Type`, unless it is that of an HTML form.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a [u8]>,
    /// Whether the client would wait for another's fill (`Prefer: wait=`, RFC 7240).
    pub is_wait_preferred: bool,
    /// `If-Match`, as it was sent; of several fields one list.
    pub if_match: Option<Cow<'a, [u8]>>,
    /// `If-None-Match`, as it was sent; of several fields one list.
    pub if_none_match: Option<Cow<'a, [u8]>>,
    /// `Authorization`, as it was sent.
    pub authorization: Option<&'a [u8]>,
    /// `Host`, as it was sent.
    pub host: Option<&'a [u8]>,
    /// `Origin`, as it was sent.
    pub origin: Option<&'a [u8]>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub is_continue_expected: bool,
    /// Whether the connection stays open after the answer.
    pub is_keep_alive: bool,
    /// Whether the client has to be told so: one of HTTP/1.0 takes silence for the contrary.
    pub is_keep_alive_told: bool,
    /// The bytes of the head; the body follows them.
    pub head_len: usize,
    /// The bytes of the body.
    pub body_len: usize,
}

/// What is left of most requests once they are decoded: the key's place and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// What is to be done.
    pub method: Method,
    /// The namespace of the key.
    pub namespace: NamespaceId,
    /// The key, as a range of the head.
    pub key: Range<usize>,
    /// `ttl=`, or the field `Ringhold-TTL`.
    pub ttl: Option<Duration>,
    /// `stale_for=`.
    pub stale_for: Option<Duration>,
    /// Whether the connection stays open after the answer.
    pub is_keep_alive: bool,
    /// Whether the client has to be told so.
    pub is_keep_alive_told: bool,
}

impl<'a> Request<'a> {
    /// A request of no key that asks for nothing.
    const fn empty() -> Self {
        Self {
            method: Method::Get,
            namespace: NamespaceId::DEFAULT,
            namespace_name: None,
            key: Cow::Borrowed(&[]),
            ttl: None,
            stale_for: None,
            by: 1,
            initial: 0,
            is_strict: false,
            fill_within: FILL_WITHIN_DEFAULT,
            lease: None,
            content_type: None,
            content_encoding: None,
            is_wait_preferred: false,
            if_match: None,
            if_none_match: None,
            authorization: None,
            host: None,
            origin: None,
            is_continue_expected: false,
            is_keep_alive: false,
            is_keep_alive_told: false,
            head_len: 0,
            body_len: 0,
        }
    }

    /// The request without what few have; `None` when it has some of that, so that it has to be decoded again to be
    /// executed. `head` is what it was decoded from, `namespace` the number of its namespace. Whether its sender may use
    /// the node is for the caller to check.
    #[must_use]
    pub fn plain(&self, head: &'a [u8], namespace: NamespaceId) -> Option<Plain> {
        let Cow::Borrowed(key) = &self.key else { return None };
        let has_more = self.if_match.is_some()
            || self.if_none_match.is_some()
            || self.is_strict
            || self.lease.is_some()
            || self.content_type.is_some()
            || self.content_encoding.is_some()
            || matches!(self.method, Method::Incr | Method::FillLease);
        let start = key.as_ptr().addr().checked_sub(head.as_ptr().addr())?;
        let range = start..start.checked_add(key.len())?;
        (!has_more && head.get(range.clone()) == Some(*key)).then_some(Plain {
            method: self.method,
            namespace,
            key: range,
            ttl: self.ttl,
            stale_for: self.stale_for,
            is_keep_alive: self.is_keep_alive,
            is_keep_alive_told: self.is_keep_alive_told,
        })
    }
}

impl Plain {
    /// A `GET` of the key in this range, in the default namespace, on a connection that stays open.
    #[must_use]
    pub const fn read_of(key: Range<usize>) -> Self {
        Self {
            method: Method::Get,
            namespace: NamespaceId::DEFAULT,
            key,
            ttl: None,
            stale_for: None,
            is_keep_alive: true,
            is_keep_alive_told: false,
        }
    }

    /// The request that it was, but for what was only looked at before: host, origin, authorization, lengths.
    #[must_use]
    pub fn request<'a>(&self, head: &'a [u8]) -> Request<'a> {
        Request {
            method: self.method,
            namespace: self.namespace,
            key: Cow::Borrowed(head.get(self.key.clone()).unwrap_or_default()),
            ttl: self.ttl,
            stale_for: self.stale_for,
            is_keep_alive: self.is_keep_alive,
            is_keep_alive_told: self.is_keep_alive_told,
            ..Request::empty()
        }
    }
}

/// A request that is not served, and what to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// A stable name of the cause, the end of the problem's type.
    pub code: &'static str,
    /// What to do about it.
    pub detail: &'static str,
    /// Whether it answers a `HEAD`: the answer has no body then.
    pub is_head: bool,
    /// For 405: what is allowed.
    pub allow: Option<&'static str>,
    /// Head and body together, where their end is known; the connection must close where it is not.
    pub used: Option<usize>,
    /// Whether it is no request on a key, or framed in a way that is not read here: the connection belongs to the
    /// control plane from this request on. What else stands here is for where there is none.
    pub is_for_control: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl core::error::Error for Refusal {}

pub(super) const fn refusal(status: u16, code: &'static str, detail: &'static str) -> Refusal {
    Refusal { status, code, detail, is_head: false, allow: None, used: None, is_for_control: false }
}

pub(super) const fn for_control(refusal: Refusal) -> Refusal {
    Refusal { is_for_control: true, ..refusal }
}

/// The search for the end of a head that has not come whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// The bytes in which the head does not end.
    seen: usize,
}

impl Decoder {
    /// A decoder before the first byte.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: 0 }
    }

    /// Decodes the head that `input` begins with; `None` while it is not whole. After `None` the same bytes and more
    /// must be handed in.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: what to answer instead of serving the request.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Request<'a>>, Refusal> {
        if let Some(preface) = preface(input) {
            return preface.map(|()| None);
        }
        if self.seen > 0 && !self.ends(input) {
            self.seen = input.len();
            return check_len(input).map(|()| None);
        }
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut head = httparse::Request::new(&mut []);
        match head.parse_with_uninit_headers(input, &mut fields) {
            Ok(httparse::Status::Complete(len)) => {
                self.seen = 0;
                let is_head = head.method == Some("HEAD");
                request(&head, len).map(Some).map_err(|refusal| Refusal { is_head, ..refusal })
            }
            Ok(httparse::Status::Partial) => {
                self.seen = input.len();
                check_len(input).map(|()| None)
            }
            Err(httparse::Error::TooManyHeaders) => {
                Err(refusal(431, "too-many-fields", "send at most 64 header fields"))
            }
            Err(_) => Err(refusal(400, "malformed-request", "this is no valid HTTP/1.1 request")),
        }
    }

    /// Whether an empty line has come since the last look.
    fn ends(self, input: &[u8]) -> bool {
        let tail = input.get(self.seen.saturating_sub(3)..).unwrap_or_default();
        memchr::memmem::find(tail, b"\n\r\n").is_some()
            || memchr::memmem::find(tail, b"\n\n").is_some()
    }
}

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether `input` is the beginning of HTTP/2: for the control plane when it is whole, to be waited for when it is not.
/// The first three bytes of it begin another request as well, so they say nothing.
fn preface(input: &[u8]) -> Option<Result<(), Refusal>> {
    let len = input.len().min(PREFACE.len());
    if len < 4 || input.get(..len) != PREFACE.get(..len) {
        return None;
    }
    Some(if len == PREFACE.len() {
        Err(for_control(refusal(505, "no-http-2", "speak HTTP/1.1")))
    } else {
        Ok(())
    })
}

/// Refuses a head that is not whole and already too long.
fn check_len(input: &[u8]) -> Result<(), Refusal> {
    match memchr::memchr(
        b'\n',
        input.get(..input.len().min(REQUEST_LINE_LEN_MAX)).unwrap_or_default(),
    ) {
        None if input.len() >= REQUEST_LINE_LEN_MAX => {
            Err(refusal(414, "uri-too-long", "a key has at most 65535 bytes"))
        }
        Some(line) if input.len().saturating_sub(line) > FIELDS_LEN_MAX => {
            Err(refusal(431, "fields-too-large", "send at most 16 KiB of header fields"))
        }
        _ => Ok(()),
    }
}

fn request<'a>(head: &httparse::Request<'_, 'a>, head_len: usize) -> Result<Request<'a>, Refusal> {
    let target = head.path.unwrap_or_default();
    if target.len() > REQUEST_LINE_LEN_MAX {
        return Err(refusal(414, "uri-too-long", "a key has at most 65535 bytes"));
    }
    if head_len.saturating_sub(target.len()) > FIELDS_LEN_MAX.saturating_add(64) {
        return Err(refusal(431, "fields-too-large", "send at most 16 KiB of header fields"));
    }
    let mut request =
        Request { is_keep_alive: head.version == Some(1), head_len, ..Request::empty() };
    let late = fields(head, &mut request)?;
    request.is_keep_alive_told = request.is_keep_alive && head.version == Some(0);
    // From here on the end of the request is known, so the connection survives a refusal.
    let used = head_len.saturating_add(request.body_len);
    target_of(head, target, late, &mut request)
        .map_err(|refusal| Refusal { used: Some(used), ..refusal })?;
    Ok(request)
}

/// Fields that are judged once it is known what is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Late<'a> {
    /// `Ringhold-TTL`.
    pub(super) ttl: Option<&'a [u8]>,
    /// `Ringhold-Fill-Lease`.
    pub(super) lease: Option<&'a [u8]>,
}

/// Reads the header fields.
fn fields<'a>(
    head: &httparse::Request<'_, 'a>,
    request: &mut Request<'a>,
) -> Result<Late<'a>, Refusal> {
    let mut late = Late::default();
    let mut body_len = None;
    let mut coding = None;
    for field in head.headers.iter() {
        let name = field.name;
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        match name.len() {
            6 if is("prefer") => request.is_wait_preferred |= prefers_wait(field.value).is_some(),
            4 if is("host") => match request.host.replace(field.value) {
                None => {}
                Some(_) => return Err(refusal(400, "duplicate-host", "send one Host field")),
            },
            6 if is("origin") => request.origin = Some(field.value),
            6 if is("expect") => {
                if !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(refusal(
                        417,
                        "unknown-expectation",
                        "the only expectation is 100-continue",
                    ));
                }
                request.is_continue_expected = true;
            }
            8 if is("if-match") => add_to_list(&mut request.if_match, field.value),
            10 if is("connection") => keep_alive(field.value, request),
            12 if is("ringhold-ttl") => late.ttl = Some(field.value),
            12 if is("content-type") => {
                request.content_type = Some(field.value).filter(|value| !is_form(value));
            }
            13 if is("if-none-match") => add_to_list(&mut request.if_none_match, field.value),
            13 if is("authorization") => request.authorization = Some(field.value),
            14 if is("content-length") => {
                let len = length_of(field.value)?;
                if body_len.replace(len).is_some_and(|before| before != len) {
                    return Err(refusal(400, "bad-content-length", "send one Content-Length"));
                }
            }
            16 if is("content-encoding") => request.content_encoding = Some(field.value),
            17 if is("transfer-encoding") => add_to_list(&mut coding, field.value),
            19 if is("ringhold-fill-lease") => late.lease = Some(field.value),
            _ => {}
        }
    }
    if request.host.is_none() && head.version == Some(1) {
        return Err(refusal(400, "missing-host", "HTTP/1.1 requests have a Host field"));
    }
    match (coding, body_len) {
        (Some(_), Some(_)) => Err(refusal(
            400,
            "two-lengths",
            "send either a Content-Length or a Transfer-Encoding, not both",
        )),
        (Some(coding), None) => Err(refusal_of_coding(&coding, head.version)),
        (None, _) => {
            request.body_len = body_len.unwrap_or(0);
            Ok(late)
        }
    }
}

/// What becomes of a request with a `Transfer-Encoding` (RFC 9112, 6.1 and 6.3): the control plane reads `chunked`. What
/// ends in another coding has no end that could be known; whatever else is beneath `chunked` is not undone here.
fn refusal_of_coding(coding: &[u8], version: Option<u8>) -> Refusal {
    let mut codings = coding.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let is_framed = codings.next().is_some_and(is_chunked);
    if version == Some(0) || !is_framed || codings.clone().any(is_chunked) {
        let detail = "the only Transfer-Encoding is chunked, once, of HTTP/1.1: without it the body has no known end";
        return refusal(400, "bad-transfer-encoding", detail);
    }
    let detail = "the only Transfer-Encoding is chunked: send the body as it is";
    let refusal = refusal(501, "unknown-transfer-coding", detail);
    if codings.next().is_none() { for_control(refusal) } else { refusal }
}

/// Adds a field to the list of those of its name before it (RFC 9110, 5.3).
fn add_to_list<'a>(list: &mut Option<Cow<'a, [u8]>>, value: &'a [u8]) {
    *list = Some(match list.take() {
        None => Cow::Borrowed(value),
        Some(before) => Cow::Owned([&before, &b", "[..], value].concat()),
    });
}

fn length_of(value: &[u8]) -> Result<usize, Refusal> {
    let len = decimal(value).and_then(|len| usize::try_from(len).ok());
    len.ok_or(refusal(400, "bad-content-length", "Content-Length is one decimal number"))
}

/// Whether a content type is that of HTML forms, which `curl --data` sends unasked.
fn is_form(value: &[u8]) -> bool {
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// The seconds of `wait=` in a `Prefer` field (RFC 7240, 4.3).
#[must_use]
pub fn prefers_wait(value: &[u8]) -> Option<u64> {
    value.split(|&byte| matches!(byte, b',' | b';')).find_map(|preference| {
        let (name, value) =
            preference.split_at_checked(preference.iter().position(|&b| b == b'=')?)?;
        let value = value.get(1..)?.trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        name.trim_ascii().eq_ignore_ascii_case(b"wait").then(|| decimal(value)).flatten()
    })
}

fn keep_alive(value: &[u8], request: &mut Request<'_>) {
    for option in value.split(|&byte| byte == b',') {
        let option = option.trim_ascii();
        if option.eq_ignore_ascii_case(b"close") {
            request.is_keep_alive = false;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            request.is_keep_alive = true;
        }
    }
}

/// Reads decimal digits, nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

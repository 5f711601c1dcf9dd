//! Requests of HTTP/1.1, parsed by `httparse`, as operations on keys.
//!
//! The decoder takes the bytes of a connection that no request has consumed. A head that arrives slowly is not
//! parsed again for each byte: only its end is looked for. What cannot be served is a [`Refusal`] with the status
//! to answer; whatever leaves the limits of the next request in doubt closes the connection (RFC 9112, 6.3 and
//! 11.2, "request smuggling").

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use ringhold_types::id::NamespaceId;
use ringhold_types::limits::{DATABASES, KEY_LEN_MAX};

/// The longest request line, in bytes: a key of the greatest length, each byte percent-encoded, and the rest.
pub const REQUEST_LINE_LEN_MAX: usize = 3 * KEY_LEN_MAX + 1024;
/// The most bytes of header fields.
pub const FIELDS_LEN_MAX: usize = 16 * 1024;
/// The most header fields.
pub const FIELDS_MAX: usize = 64;
/// The longest time to live, ten years: what is meant to stay longer has none.
pub const TTL_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

const KEYS_PATH: &str = "/v1/keys/";
const NAMESPACES_PATH: &str = "/v1/ns/";
/// What follows a namespace's name.
const NAMESPACE_KEYS: &str = "/keys/";
/// What a key answers to, for 405.
const ALLOWED: &str = "GET, HEAD, PUT, DELETE, POST";

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
}

/// One request on a key, its body not included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the request, not a state")]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// The namespace of the key.
    pub namespace: NamespaceId,
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
    /// `If-Match`, as it was sent.
    pub if_match: Option<&'a [u8]>,
    /// `If-None-Match`, as it was sent.
    pub if_none_match: Option<&'a [u8]>,
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
}

impl<'a> Request<'a> {
    /// A request of no key that asks for nothing.
    const fn empty() -> Self {
        Self {
            method: Method::Get,
            namespace: NamespaceId::DEFAULT,
            key: Cow::Borrowed(&[]),
            ttl: None,
            stale_for: None,
            by: 1,
            initial: 0,
            is_strict: false,
            if_match: None,
            if_none_match: None,
            authorization: None,
            host: None,
            origin: None,
            is_continue_expected: false,
            is_keep_alive: false,
            head_len: 0,
            body_len: 0,
        }
    }

    /// The request without what few have; `None` when it has some of that, so that it has to be decoded again to be
    /// executed. `head` is what it was decoded from. Whether its sender may use the node is for the caller to check.
    #[must_use]
    pub fn plain(&self, head: &'a [u8]) -> Option<Plain> {
        let Cow::Borrowed(key) = &self.key else { return None };
        let has_more = self.if_match.is_some()
            || self.if_none_match.is_some()
            || self.is_strict
            || self.method == Method::Incr;
        let start = key.as_ptr().addr().checked_sub(head.as_ptr().addr())?;
        let range = start..start.checked_add(key.len())?;
        (!has_more && head.get(range.clone()) == Some(*key)).then_some(Plain {
            method: self.method,
            namespace: self.namespace,
            key: range,
            ttl: self.ttl,
            stale_for: self.stale_for,
            is_keep_alive: self.is_keep_alive,
        })
    }
}

impl Plain {
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

const fn refusal(status: u16, code: &'static str, detail: &'static str) -> Refusal {
    Refusal { status, code, detail, allow: None, used: None, is_for_control: false }
}

const fn for_control(refusal: Refusal) -> Refusal {
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
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Request::new(&mut fields);
        match head.parse(input) {
            Ok(httparse::Status::Complete(len)) => {
                self.seen = 0;
                request(&head, len).map(Some)
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
    let ttl_field = fields(head, &mut request)?;
    // From here on the end of the request is known, so the connection survives a refusal.
    let used = head_len.saturating_add(request.body_len);
    target_of(head, target, ttl_field, &mut request)
        .map_err(|refusal| Refusal { used: Some(used), ..refusal })?;
    Ok(request)
}

/// Reads the header fields; the value of `Ringhold-TTL`.
fn fields<'a>(
    head: &httparse::Request<'_, 'a>,
    request: &mut Request<'a>,
) -> Result<Option<&'a [u8]>, Refusal> {
    let mut ttl = None;
    let mut body_len = None;
    let mut is_encoded = false;
    for field in head.headers.iter() {
        let name = field.name;
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        match name.len() {
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
            8 if is("if-match") => request.if_match = Some(field.value),
            10 if is("connection") => keep_alive(field.value, request),
            12 if is("ringhold-ttl") => ttl = Some(field.value),
            13 if is("if-none-match") => request.if_none_match = Some(field.value),
            13 if is("authorization") => request.authorization = Some(field.value),
            14 if is("content-length") => {
                let len = decimal(field.value).and_then(|len| usize::try_from(len).ok());
                let len = len.ok_or(refusal(
                    400,
                    "bad-content-length",
                    "Content-Length is one decimal number",
                ))?;
                if body_len.replace(len).is_some_and(|before| before != len) {
                    return Err(refusal(400, "bad-content-length", "send one Content-Length"));
                }
            }
            17 if is("transfer-encoding") => {
                is_encoded = true;
            }
            _ => {}
        }
    }
    if request.host.is_none() && head.version == Some(1) {
        return Err(refusal(400, "missing-host", "HTTP/1.1 requests have a Host field"));
    }
    match (is_encoded, body_len) {
        (true, Some(_)) => Err(refusal(
            400,
            "two-lengths",
            "send either a Content-Length or a Transfer-Encoding, not both",
        )),
        (true, None) => Err(for_control(refusal(
            501,
            "no-transfer-encoding",
            "send the body with a Content-Length",
        ))),
        (false, _) => {
            request.body_len = body_len.unwrap_or(0);
            Ok(ttl)
        }
    }
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

/// Reads method, path and query.
fn target_of<'a>(
    head: &httparse::Request<'_, 'a>,
    target: &'a str,
    ttl_field: Option<&[u8]>,
    request: &mut Request<'a>,
) -> Result<(), Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut key = route(path, request)?;
    let method = head.method.unwrap_or_default();
    request.method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "POST" => {
            // Only a POST has a verb: a key may end in ":touch", and a colon of the key before a verb needs no escape.
            let (before, verb) = key.rsplit_once(':').unwrap_or((key, ""));
            key = before;
            verb_of(verb)?
        }
        _ => {
            let detail = "keys know GET, HEAD, PUT, DELETE, and POST with a verb behind a colon";
            let refused = refusal(405, "method-not-allowed", detail);
            return Err(Refusal { allow: Some(ALLOWED), ..refused });
        }
    };
    request.key = percent_decoded(key.as_bytes()).ok_or(refusal(
        400,
        "bad-percent-encoding",
        "% is followed by two hexadecimal digits",
    ))?;
    match request.key.len() {
        0 => return Err(refusal(400, "empty-key", "a key has at least one byte")),
        1..=KEY_LEN_MAX => {}
        _ => return Err(refusal(413, "key-too-long", "a key has at most 65535 bytes")),
    }
    parameters(query, request)?;
    if let (None, Some(text)) = (request.ttl, ttl_field) {
        request.ttl = Some(ttl_of(text)?);
    }
    match (request.method, request.ttl, request.stale_for) {
        (Method::Touch, None, _) => {
            Err(refusal(400, "missing-ttl", "say the new time to live as ttl=30s"))
        }
        (_, None, Some(_)) => {
            Err(refusal(400, "missing-ttl", "stale_for= needs a ttl= to begin after"))
        }
        _ => Ok(()),
    }
}

/// The key of a path, still encoded; notes its namespace.
fn route<'p>(path: &'p str, request: &mut Request<'_>) -> Result<&'p str, Refusal> {
    let found = match path.strip_prefix(KEYS_PATH) {
        Some(key) => Some(key),
        None => match path.strip_prefix(NAMESPACES_PATH).and_then(|p| p.split_once(NAMESPACE_KEYS))
        {
            Some((name, key)) => {
                request.namespace = database(name).ok_or(refusal(
                    404,
                    "no-such-namespace",
                    "no namespace has this name; there are default and db1 to db15",
                ))?;
                Some(key)
            }
            None => None,
        },
    };
    found.filter(|key| !key.contains('/')).ok_or(for_control(refusal(
        404,
        "no-such-route",
        "keys are at /v1/keys/{key}, with / in a key as %2F",
    )))
}

/// The namespace of this name among those that are always there.
#[must_use]
pub fn database(name: &str) -> Option<NamespaceId> {
    if name == "default" {
        return Some(NamespaceId::DEFAULT);
    }
    let digits = name.strip_prefix("db").filter(|digits| !digits.starts_with('0'))?;
    let number = decimal(digits.as_bytes()).and_then(|number| u16::try_from(number).ok())?;
    (1..DATABASES).contains(&number).then_some(NamespaceId(number))
}

fn verb_of(verb: &str) -> Result<Method, Refusal> {
    match verb {
        "incr" => Ok(Method::Incr),
        "touch" => Ok(Method::Touch),
        "append" => Ok(Method::Append),
        "prepend" => Ok(Method::Prepend),
        _ => Err(refusal(
            404,
            "no-such-verb",
            "POST to a key ends in :incr, :touch, :append or :prepend",
        )),
    }
}

/// Reads the query; each parameter at most once, and only where it means something.
fn parameters(query: &str, request: &mut Request<'_>) -> Result<(), Refusal> {
    let method = request.method;
    let is_new = matches!(method, Method::Put | Method::Incr | Method::Touch);
    let mut seen = 0u8;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let bit = match name {
            "ttl" if is_new => {
                request.ttl = Some(ttl_of(value.as_bytes())?);
                1
            }
            "stale_for" if method == Method::Put => {
                request.stale_for = Some(ttl_of(value.as_bytes())?);
                2
            }
            "by" if method == Method::Incr => {
                request.by = integer(value)?;
                4
            }
            "initial" if method == Method::Incr => {
                request.initial = integer(value)?;
                8
            }
            "strict" if method == Method::Delete && matches!(value, "true" | "false") => {
                request.is_strict = value == "true";
                16
            }
            _ => return Err(refusal(400, "unknown-parameter", known_parameters(method))),
        };
        if seen & bit != 0 {
            return Err(refusal(400, "duplicate-parameter", "give each parameter once"));
        }
        seen |= bit;
    }
    Ok(())
}

const fn known_parameters(method: Method) -> &'static str {
    match method {
        Method::Put => "PUT knows ttl=30s and stale_for=30s",
        Method::Delete => "DELETE knows strict=true",
        Method::Incr => ":incr knows by=1, initial=0 and ttl=30s",
        Method::Touch => ":touch knows ttl=30s",
        Method::Get | Method::Head | Method::Append | Method::Prepend => {
            "this request knows no parameters"
        }
    }
}

fn integer(text: &str) -> Result<i64, Refusal> {
    text.parse()
        .map_err(|_| refusal(400, "bad-integer", "by= and initial= are signed 64-bit integers"))
}

fn ttl_of(text: &[u8]) -> Result<Duration, Refusal> {
    duration(text).filter(|ttl| !ttl.is_zero() && *ttl <= TTL_MAX).ok_or(refusal(
        400,
        "bad-ttl",
        "a ttl is 250ms, 30s, 5m, 2h or 7d, from 1ms to ten years; a bare number is seconds",
    ))
}

/// Reads a duration: a number and `ms`, `s`, `m`, `h` or `d`; seconds when there is no unit.
#[must_use]
pub fn duration(text: &[u8]) -> Option<Duration> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number = decimal(number)?;
    let millis = match unit {
        b"ms" => 1,
        b"" | b"s" => 1_000,
        b"m" => 60_000,
        b"h" => 3_600_000,
        b"d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Reads decimal digits, nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Undoes percent-encoding; borrowed when there is none.
fn percent_decoded(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'%', text).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(*bytes.next()?).to_digit(16)?;
            let low = char::from(*bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(Cow::Owned(decoded))
}

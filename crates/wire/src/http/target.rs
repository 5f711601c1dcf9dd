//! What the first line of a request says: the key, what is done with it, and how.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::time::Duration;

use ringhold_types::id::NamespaceId;
use ringhold_types::limits::{DATABASES, KEY_LEN_MAX};

use super::decode::{Late, Method, Refusal, Request, decimal, for_control, refusal};
use super::routes::{Resource, resource};

/// The longest time to live, ten years: what is meant to stay longer has none.
pub const TTL_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// How long a fill lease holds when nothing is said.
pub(super) const FILL_WITHIN_DEFAULT: Duration = Duration::from_secs(5);
/// The longest time that a fill lease can be asked for.
pub(super) const FILL_WITHIN_MAX: Duration = Duration::from_secs(300);
/// What `consistency=` of a read can be; the first is meant when nothing is said.
pub(super) const CONSISTENCIES: &[&str] = &["linearizable", "eventual"];
/// What a key answers to, for 405.
const ALLOWED: &str = "GET, HEAD, PUT, DELETE, POST";

/// Reads method, path and query.
pub(super) fn target_of<'a>(
    head: &httparse::Request<'_, 'a>,
    target: &'a str,
    late: Late<'_>,
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
    if let Some(text) = late.lease {
        let detail = "Ringhold-Fill-Lease is the number that the lease was given with";
        request.lease = Some(decimal(text).ok_or_else(|| refusal(400, "bad-lease", detail))?);
    }
    if let (None, Some(text)) = (request.ttl, late.ttl) {
        request.ttl = Some(ttl_of(text)?);
    }
    if request.method == Method::FillLease && request.is_wait_preferred {
        let detail = "this way to the node does not wait: ask again";
        return Err(for_control(refusal(503, "no-waiting", detail)));
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
fn route<'a>(path: &'a str, request: &mut Request<'a>) -> Result<&'a str, Refusal> {
    let Some(Resource::Key { namespace, key }) = resource(path) else {
        return Err(for_control(refusal(
            404,
            "no-such-route",
            "keys are at /v1/keys/{key}, with / in a key as %2F",
        )));
    };
    if let Some(name) = namespace {
        match database(name) {
            Some(id) => request.namespace = id,
            None => request.namespace_name = Some(name),
        }
    }
    Ok(key)
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
        "fill-lease" => Ok(Method::FillLease),
        _ => Err(refusal(
            404,
            "no-such-verb",
            "POST to a key ends in :incr, :touch, :append, :prepend or :fill-lease",
        )),
    }
}

/// Reads the query; each parameter at most once, and only where it means something.
fn parameters(query: &str, request: &mut Request<'_>) -> Result<(), Refusal> {
    let method = request.method;
    let is_read = matches!(method, Method::Get | Method::Head);
    let is_new = matches!(method, Method::Put | Method::Incr | Method::Touch | Method::FillLease);
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
            "fill_within" if method == Method::FillLease => {
                let within = duration(value.as_bytes());
                let within = within.filter(|w| !w.is_zero() && *w <= FILL_WITHIN_MAX);
                request.fill_within = within.ok_or(refusal(
                    400,
                    "bad-duration",
                    "fill_within= is 250ms, 5s or 1m, from 1ms to 5m",
                ))?;
                32
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
            // The one copy of a node alone is the latest one, whatever would do.
            "consistency" if is_read && CONSISTENCIES.contains(&value) => 64,
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
        Method::FillLease => ":fill-lease knows ttl=30s and fill_within=5s",
        Method::Get | Method::Head => "a read knows consistency=eventual or linearizable",
        Method::Append | Method::Prepend => "this request knows no parameters",
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

/// Undoes percent-encoding; borrowed when there is none.
pub(super) fn percent_decoded(text: &[u8]) -> Option<Cow<'_, [u8]>> {
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

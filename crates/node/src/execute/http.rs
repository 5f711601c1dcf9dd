//! Execution of HTTP requests on keys.

mod verbs;

use ringhold_store::entry::{
    Decision, EntryRef, KIND_BYTES, Lookup, Outcome, Put, UpdateError, Value, ValueRef,
};
use ringhold_store::hash::KeyHash;
use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::time::Now;
use ringhold_wire::http::decode::{Decoder, Method, Plain, Refusal, Request};
use ringhold_wire::http::encode::{Comparison, Head, names_version, problem};

use crate::args::LargeArg;
use crate::cells::{Access, Cells, with_room};
use crate::output::Output;
use crate::session::Fate;
use crate::shard_cell::Key;
use crate::state::NodeState;
use crate::stats::{Counter, Counts};

/// The bytes of one request.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Its head.
    pub head: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
    /// Slot and hash of its key.
    pub at: KeyHash,
    /// The body that was received into the store's pages, if it was.
    pub large: Option<LargeArg>,
}

/// A body over the limit of values: the connection closes, since the body is not read.
#[must_use]
pub fn too_large() -> Refusal {
    Refusal {
        status: 413,
        code: "value-too-large",
        detail: "the value is over this node's limit (--max-value)",
        allow: None,
        used: None,
        is_for_control: false,
    }
}

/// Too many bytes of incomplete requests are held for all clients: this one is not waited for.
#[must_use]
pub fn crowded() -> Refusal {
    Refusal {
        status: 503,
        code: "too-much-in-flight",
        detail: "too many bytes of incomplete requests are held for all clients, try again",
        ..too_large()
    }
}

/// Executes one request; what becomes of its connection.
pub fn request<C: Cells>(
    parts: Parts<'_>,
    cells: &C,
    node: &NodeState,
    now: Now,
    counts: &mut Counts,
    out: &mut Output,
) -> Fate {
    counts.add(Counter::Requests, 1);
    let request = match Decoder::new().decode(parts.head) {
        Ok(Some(request)) => request,
        Ok(None) => return Fate::Close,
        Err(refusal) => return refused(&refusal, node, out),
    };
    if let Some(refusal) = denied(&request, node) {
        let fate = if request.is_keep_alive { Fate::Open } else { Fate::Close };
        Answer { node, fate, out, is_hit: None }.problem(&refusal);
        return fate;
    }
    serve(&request, parts, cells, (node, now), counts, out)
}

/// Executes a request that was checked when it was decoded; what becomes of its connection.
pub fn plain<C: Cells>(
    plain: &Plain,
    parts: Parts<'_>,
    cells: &C,
    (node, now): (&NodeState, Now),
    counts: &mut Counts,
    out: &mut Output,
) -> Fate {
    counts.add(Counter::Requests, 1);
    let request = plain.request(parts.head);
    serve(&request, parts, cells, (node, now), counts, out)
}

fn serve<C: Cells>(
    request: &Request<'_>,
    mut parts: Parts<'_>,
    cells: &C,
    (node, now): (&NodeState, Now),
    counts: &mut Counts,
    out: &mut Output,
) -> Fate {
    let fate = if request.is_keep_alive { Fate::Open } else { Fate::Close };
    let mut answer = Answer { node, fate, out, is_hit: None };
    let key = Key { namespace: request.namespace, bytes: &request.key, at: parts.at };
    let mut access = Access::each(cells);
    match request.method {
        Method::Get | Method::Head => read(request, key, &access, now, &mut answer),
        Method::Put => {
            let body = (parts.body, parts.large.as_mut());
            put(request, key, body, &mut access, now, &mut answer);
        }
        Method::Delete => delete(request, key, &mut access, now, &mut answer),
        Method::Incr => verbs::incr(request, key, &mut access, now, &mut answer),
        Method::Touch => verbs::touch(request, key, &mut access, now, &mut answer),
        Method::Append | Method::Prepend => {
            verbs::join(request, key, parts.body, &mut access, now, &mut answer);
        }
    }
    match answer.is_hit {
        Some(true) => counts.add(Counter::Hits, 1),
        Some(false) => counts.add(Counter::Misses, 1),
        None => {}
    }
    fate
}

/// Answers a request that could not be decoded.
pub fn refused(refusal: &Refusal, node: &NodeState, out: &mut Output) -> Fate {
    let fate = if refusal.used.is_some() { Fate::Open } else { Fate::Close };
    Answer { node, fate, out, is_hit: None }.problem(refusal);
    fate
}

/// Whether the body of a request may be received: who may not send it is told so when it is there, and takes no memory
/// until then.
#[must_use]
pub fn may_send(request: &Request<'_>, node: &NodeState) -> bool {
    denied(request, node).is_none()
}

/// Why a request may not be served to whom sent it, if so.
fn denied(request: &Request<'_>, node: &NodeState) -> Option<Refusal> {
    refusal_of_access(request.host, request.origin, request.authorization, node)
}

/// Why a request with these fields may not be served, if so: a name that is not this node's, a page of another site, a
/// missing or wrong password.
#[must_use]
pub fn refusal_of_access(
    host: Option<&[u8]>,
    origin: Option<&[u8]>,
    authorization: Option<&[u8]>,
    node: &NodeState,
) -> Option<Refusal> {
    let deny = |status, code, detail| {
        Some(Refusal { status, code, detail, allow: None, used: Some(0), is_for_control: false })
    };
    if !host.is_none_or(|host| is_our_name(host, node)) {
        return deny(
            403,
            "foreign-host",
            "address this node by an IP address, localhost or a configured name",
        );
    }
    if origin.is_some() {
        return deny(403, "foreign-origin", "pages of other sites may not use this node");
    }
    if node.passwords.are_required() {
        let token = authorization.and_then(|field| field.split_at_checked(7));
        let is_right = token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && node.passwords.accept(token.trim_ascii())
        });
        if !is_right {
            return deny(401, "unauthorized", "send the password as Authorization: Bearer");
        }
    }
    None
}

/// Whether a `Host` is an IP address, `localhost` or a configured name; anything else may be a name that a foreign
/// page had pointed at this machine (DNS rebinding).
fn is_our_name(host: &[u8], node: &NodeState) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if let Some(literal) = host.strip_prefix('[') {
        return literal
            .split_once(']')
            .is_some_and(|(ip, _)| ip.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok()
        || node.server_names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// What a cache in front may make of an entry (RFC 9111, RFC 5861), and where it came from (RFC 9211).
#[derive(Clone, Copy, Debug)]
struct Freshness {
    /// Whole seconds until it is stale, or dead; negative: since it is stale. `None`: it has no end.
    ttl_s: Option<i64>,
    /// Whole seconds that it can be read as stale.
    stale_for_s: Option<u64>,
}

impl Freshness {
    fn of(deadlines: Deadlines, now: Now) -> Self {
        let end = deadlines.soft.or(deadlines.hard);
        let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        let ttl_s = end
            .map(|end| (signed(end.as_millis()) - signed(now.unix().as_millis())).div_euclid(1000));
        let stale_for_s = deadlines
            .soft
            .zip(deadlines.hard)
            .map(|(soft, hard)| hard.remaining(soft.max(now.unix())).as_secs());
        Self { ttl_s, stale_for_s }
    }

    fn fields(self, head: &mut Head<'_>) {
        let Some(ttl_s) = self.ttl_s else {
            head.fields(b"cache-status: ringhold; hit\r\n");
            return;
        };
        let mut control = format!("max-age={}", ttl_s.max(0));
        if let Some(stale_for_s) = self.stale_for_s {
            control.extend([", stale-while-revalidate=", &stale_for_s.to_string()]);
        }
        head.field("cache-control", control.as_bytes());
        head.field("cache-status", format!("ringhold; hit; ttl={ttl_s}").as_bytes());
    }
}

/// What every answer with a value carries; a stored page can never act as ours.
const VALUE_FIELDS: &[u8] = b"content-type: application/octet-stream\r\n\
    x-content-type-options: nosniff\r\ncontent-security-policy: sandbox\r\n";

struct Answer<'a> {
    node: &'a NodeState,
    fate: Fate,
    out: &'a mut Output,
    /// Whether a read found the key.
    is_hit: Option<bool>,
}

impl Answer<'_> {
    /// Begins an answer with what every answer carries.
    fn head(&mut self, status: u16) -> Head<'_> {
        let mut head = Head::new(&mut self.out.bytes, status);
        head.fields(self.node.http_fields.as_bytes());
        if self.fate == Fate::Close {
            head.field("connection", b"close");
        }
        head
    }

    fn problem(&mut self, refusal: &Refusal) {
        let body = problem(refusal.status, refusal.code, refusal.detail, &self.node.name);
        let mut head = self.head(refusal.status);
        if let Some(allow) = refusal.allow {
            head.field("allow", allow.as_bytes());
        }
        if refusal.status == 401 {
            head.field("www-authenticate", b"Bearer");
        }
        if refusal.status == 503 {
            head.field("retry-after", b"1");
        }
        head.field("content-type", b"application/problem+json");
        head.number("content-length", wide(body.len())).end();
        self.out.bytes.extend_from_slice(body.as_bytes());
    }

    fn simple_problem(&mut self, status: u16, code: &'static str, detail: &'static str) {
        self.problem(&Refusal {
            status,
            code,
            detail,
            allow: None,
            used: Some(0),
            is_for_control: false,
        });
    }

    fn failed(&mut self, error: UpdateError) {
        match error {
            UpdateError::Full { retry: true } | UpdateError::NeedRoom { .. } => {
                self.simple_problem(
                    503,
                    "no-room-now",
                    "there is no room at the moment, try again",
                );
            }
            UpdateError::Full { retry: false } => {
                self.simple_problem(507, "no-room", "there is no room and nothing may be evicted");
            }
            UpdateError::TooManySpaces { .. } => {
                self.simple_problem(
                    507,
                    "too-many-namespaces",
                    "use one of the 64 namespaces that have entries",
                );
            }
            UpdateError::TooLarge { .. } => self.problem(&too_large()),
            UpdateError::KeyTooLong { .. } => {
                self.simple_problem(413, "key-too-long", "a key has at most 65535 bytes");
            }
        }
    }

    /// The current version of an entry whose precondition failed.
    fn precondition_failed(&mut self, version: Option<Version>) {
        let detail = "the entry is not as the request's precondition says";
        let body = problem(412, "precondition-failed", detail, &self.node.name);
        let mut head = self.head(412);
        if let Some(Version(version)) = version {
            head.etag(version);
        }
        head.field("content-type", b"application/problem+json");
        head.number("content-length", wide(body.len())).end();
        self.out.bytes.extend_from_slice(body.as_bytes());
    }

    fn value(&mut self, entry: &EntryRef<'_>, now: Now, is_head: bool) {
        let value = entry.value();
        let freshness = Freshness::of(entry.deadlines(), now);
        self.out.bytes.reserve(512 + value.len());
        let mut head = self.head(200);
        head.number("content-length", wide(value.len()));
        head.etag(entry.version().0);
        freshness.fields(&mut head);
        head.fields(VALUE_FIELDS).end();
        if is_head {
            return;
        }
        match value {
            ValueRef::Bytes(bytes) => self.out.bytes.extend_from_slice(bytes),
            ValueRef::Large(large) => self.out.insert(large, 0, large.len()),
        }
    }

    fn not_modified(&mut self, entry: &EntryRef<'_>, now: Now) {
        let freshness = Freshness::of(entry.deadlines(), now);
        let mut head = self.head(304);
        freshness.fields(head.etag(entry.version().0));
        head.end();
    }

    fn missing(&mut self, is_head: bool) {
        let body = problem(404, "no-such-key", "no entry has this key", &self.node.name);
        let mut head = self.head(404);
        head.field("cache-status", b"ringhold; fwd=miss");
        head.field("content-type", b"application/problem+json");
        head.number("content-length", wide(body.len())).end();
        if !is_head {
            self.out.bytes.extend_from_slice(body.as_bytes());
        }
    }
}

fn read<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    access: &Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    let is_head = request.method == Method::Head;
    let is_expired = access.read(key.at.slot, |cell| match cell.lookup(key, now) {
        Lookup::Hit(entry) => {
            answer.is_hit = Some(true);
            let version = entry.version();
            let holds = |list, comparison| names_version(list, version.0, comparison);
            if !request.if_match.is_none_or(|list| holds(list, Comparison::Strong)) {
                answer.precondition_failed(Some(version));
            } else if request.if_none_match.is_some_and(|list| holds(list, Comparison::Weak)) {
                answer.not_modified(&entry, now);
            } else {
                answer.value(&entry, now, is_head);
            }
            false
        }
        Lookup::Miss => {
            answer.is_hit = Some(false);
            answer.missing(is_head);
            false
        }
        Lookup::Expired => true,
    });
    if is_expired {
        answer.is_hit = Some(false);
        access.cells().write(access.cells().shard_of(key.at.slot)).reap(key, now);
        answer.missing(is_head);
    }
}

/// Whether a write's preconditions hold for the entry that is there (RFC 9110, 13.2.2).
fn holds(request: &Request<'_>, old: Option<Version>) -> bool {
    let names = |list, comparison| {
        old.is_some_and(|Version(version)| names_version(list, version, comparison))
    };
    request.if_match.is_none_or(|list| names(list, Comparison::Strong))
        && !request.if_none_match.is_some_and(|list| names(list, Comparison::Weak))
}

fn put<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    (body, mut large): (&[u8], Option<&mut LargeArg>),
    access: &mut Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    if let Some(error) = large.as_ref().and_then(|large| large.refusal) {
        return answer.failed(error);
    }
    let deadlines = match (request.ttl, request.stale_for) {
        (Some(ttl), None) => Deadlines { hard: Some(now.unix().after(ttl)), soft: None },
        (Some(ttl), Some(stale_for)) => {
            let soft = now.unix().after(ttl);
            Deadlines { hard: Some(soft.after(stale_for)), soft: Some(soft) }
        }
        (None, _) => {
            Deadlines { hard: answer.node.default_deadline(key.namespace, now), soft: None }
        }
    };
    let mut before = None;
    let outcome = access.write(key.at.slot, |cell, cells| {
        with_room(cells, cell, now, |cell| {
            let pages = large.as_mut().map(|large| &mut large.writer);
            cell.update(key, now, |old| {
                before = old.map(|entry| entry.version());
                if !holds(request, before) {
                    return Decision::Keep;
                }
                Decision::Put(Put {
                    value: pages.map_or(Value::Bytes(body), Value::Large),
                    kind: KIND_BYTES,
                    deadlines,
                    client_flags: 0,
                    content_type: ContentTypeId::NONE,
                })
            })
        })
    });
    match outcome {
        Ok(Outcome::Put { version: Version(version), created: true }) => {
            answer.head(201).etag(version).number("content-length", 0).end();
        }
        Ok(Outcome::Put { version: Version(version), created: false }) => {
            answer.head(204).etag(version).end();
        }
        Ok(Outcome::Kept | Outcome::Touched | Outcome::Deleted) => {
            answer.precondition_failed(before);
        }
        Err(error) => answer.failed(error),
    }
}

fn delete<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    access: &mut Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    let mut before = None;
    let mut is_refused = false;
    let outcome = access.write(key.at.slot, |cell, _| {
        cell.update(key, now, |old| {
            before = old.map(|entry| entry.version());
            is_refused = !holds(request, before);
            if is_refused { Decision::Keep } else { Decision::Delete }
        })
    });
    match outcome {
        Ok(_) if is_refused => answer.precondition_failed(before),
        Ok(Outcome::Deleted) => answer.head(204).end(),
        Ok(_) if request.is_strict => answer.missing(false),
        Ok(_) => answer.head(204).end(),
        Err(error) => answer.failed(error),
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

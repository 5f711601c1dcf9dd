//! Execution of HTTP requests on keys.

mod answer;
mod lease;
mod verbs;

use ringhold_store::entry::{Decision, KIND_BYTES, Lookup, Outcome, Put, Value};
use ringhold_store::hash::KeyHash;
use ringhold_types::entry::{Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;
use ringhold_types::time::Now;
use ringhold_wire::http::decode::{Decoder, Method, Plain, Refusal, Request};
use ringhold_wire::http::encode::{Comparison, names_version};
use ringhold_wire::http::routes::name_of;

use answer::Answer;

use crate::args::LargeArg;
use crate::cells::{Access, Cells, with_room};
use crate::content_types::OwnContentType;
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
        detail: "the value is over this node's limit (--max-value), or over what its namespace's quota has room for",
        is_head: false,
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

/// The request comes too slowly and is not waited for any longer.
#[must_use]
pub fn too_slow() -> Refusal {
    Refusal {
        status: 408,
        code: "request-too-slow",
        detail: "the request comes too slowly: send it at once",
        ..too_large()
    }
}

/// There are too many connections: this one is closed.
#[must_use]
pub fn too_many_connections() -> Refusal {
    Refusal {
        status: 503,
        code: "too-many-connections",
        detail: "this node has as many connections as it may (--max-connections), try again",
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
        let mut answer = Answer::to(&request, parts.at.slot, node, out);
        answer.problem(&refusal);
        return answer.fate;
    }
    let Some(namespace) = namespace_of(&request, node) else {
        let mut answer = Answer::to(&request, parts.at.slot, node, out);
        answer.simple_problem(
            404,
            "no-such-namespace",
            "no namespace has this name: PUT /v1/ns/{name} makes one",
        );
        return answer.fate;
    };
    serve(&Request { namespace, ..request }, parts, cells, (node, now), counts, out)
}

/// The number of the namespace that a request names.
#[must_use]
pub fn namespace_of(request: &Request<'_>, node: &NodeState) -> Option<NamespaceId> {
    request
        .namespace_name
        .map_or(Some(request.namespace), |name| node.namespaces.id_of(&name_of(name)))
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

/// Answers a plain `GET` or `HEAD` with what was looked up; what becomes of its connection. `None`, and nothing
/// appended, when the entry's time is over: that has to be made a change first.
#[inline]
pub fn answer_read(
    lookup: Lookup<'_>,
    (plain, slot): (&Plain, Slot),
    (node, now): (&NodeState, Now),
    counts: &mut Counts,
    out: &mut Output,
) -> Option<Fate> {
    let fate = if plain.is_keep_alive { Fate::Open } else { Fate::Close };
    let mut answer = Answer {
        node,
        fate,
        out,
        slot: Some(slot),
        is_hit: None,
        is_head: plain.method == Method::Head,
        is_keep_alive_told: plain.is_keep_alive_told,
    };
    match lookup {
        Lookup::Hit(entry) => {
            counts.add(Counter::Hits, 1);
            answer.value(&entry, now);
        }
        Lookup::Miss => {
            counts.add(Counter::Misses, 1);
            answer.missing();
        }
        Lookup::Expired => return None,
    }
    counts.add(Counter::Requests, 1);
    Some(fate)
}

fn serve<C: Cells>(
    request: &Request<'_>,
    mut parts: Parts<'_>,
    cells: &C,
    (node, now): (&NodeState, Now),
    counts: &mut Counts,
    out: &mut Output,
) -> Fate {
    let mut answer = Answer::to(request, parts.at.slot, node, out);
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
        Method::FillLease => lease::fill_lease(request, key, &mut access, now, &mut answer),
    }
    match answer.is_hit {
        Some(true) => counts.add(Counter::Hits, 1),
        Some(false) => counts.add(Counter::Misses, 1),
        None => {}
    }
    answer.fate
}

/// Answers a request that could not be decoded.
pub fn refused(refusal: &Refusal, node: &NodeState, out: &mut Output) -> Fate {
    let fate = if refusal.used.is_some() { Fate::Open } else { Fate::Close };
    let mut answer = Answer {
        node,
        fate,
        out,
        slot: None,
        is_hit: None,
        is_head: refusal.is_head,
        is_keep_alive_told: false,
    };
    answer.problem(refusal);
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
    let deny =
        |status, code, detail| Some(Refusal { status, code, detail, used: Some(0), ..too_large() });
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

fn read<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    access: &Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    let is_expired = access.read(key.at.slot, |cell| match cell.lookup(key, now) {
        Lookup::Hit(entry) => {
            answer.is_hit = Some(true);
            let version = entry.version();
            let holds = |list, comparison| names_version(list, version.0, comparison);
            if !request.if_match.as_deref().is_none_or(|list| holds(list, Comparison::Strong)) {
                answer.precondition_failed(Some(version));
            } else if request
                .if_none_match
                .as_deref()
                .is_some_and(|list| holds(list, Comparison::Weak))
            {
                answer.not_modified(&entry, now);
            } else {
                answer.value(&entry, now);
            }
            false
        }
        Lookup::Miss => {
            answer.is_hit = Some(false);
            answer.missing();
            false
        }
        Lookup::Expired => true,
    });
    if is_expired {
        answer.is_hit = Some(false);
        access.cells().write(access.cells().shard_of(key.at.slot)).reap(key, now);
        answer.missing();
    }
}

/// Whether a write's preconditions hold for the entry that is there (RFC 9110, 13.2.2).
fn holds(request: &Request<'_>, old: Option<Version>) -> bool {
    let names = |list, comparison| {
        old.is_some_and(|Version(version)| names_version(list, version, comparison))
    };
    request.if_match.as_deref().is_none_or(|list| names(list, Comparison::Strong))
        && !request.if_none_match.as_deref().is_some_and(|list| names(list, Comparison::Weak))
}

fn deadlines_of(request: &Request<'_>, key: Key<'_>, now: Now, node: &NodeState) -> Deadlines {
    match (request.ttl, request.stale_for) {
        (Some(ttl), None) => Deadlines { hard: Some(now.unix().after(ttl)), soft: None },
        (Some(ttl), Some(stale_for)) => {
            let soft = now.unix().after(ttl);
            Deadlines { hard: Some(soft.after(stale_for)), soft: Some(soft) }
        }
        (None, _) => Deadlines { hard: node.default_deadline(key.namespace, now), soft: None },
    }
}

/// The content type of a body; `None` when it is too long and that was answered.
fn content_type_of(request: &Request<'_>, answer: &mut Answer<'_>) -> Option<OwnContentType> {
    let kept = answer.node.content_types.keep(request.content_type, request.content_encoding).ok();
    if kept.is_none() {
        answer.simple_problem(
            400,
            "content-type-too-long",
            "Content-Type has at most 255 bytes, with Content-Encoding 254 together",
        );
    }
    kept
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
    let Some(content_type) = content_type_of(request, answer) else { return };
    let mut deadlines = deadlines_of(request, key, now, answer.node);
    let mut before = None;
    let mut is_lost = false;
    let outcome = access.write(key.at.slot, |cell, cells| {
        match request.lease.map(|number| cell.lease_terms(key, number, now)) {
            None => {}
            Some(Ok(ttl)) => {
                if let (None, Some(ttl)) = (request.ttl, ttl) {
                    deadlines = Deadlines { hard: Some(now.unix().after(ttl)), soft: None };
                }
            }
            Some(Err(_)) => {
                is_lost = true;
                return Ok(Outcome::Kept);
            }
        }
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
                    content_type: content_type.borrow(),
                })
            })
        })
    });
    match outcome {
        Ok(_) if is_lost => answer.simple_problem(
            412,
            "lease-lost",
            "the fill lease has ended, or the key was written or deleted meanwhile: read it again",
        ),
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
        // Preconditions say nothing of what would fail without them (RFC 9110, 13.2.1).
        Ok(_) if request.is_strict && before.is_none() => answer.missing(),
        Ok(_) if is_refused => answer.precondition_failed(before),
        Ok(_) => answer.head(204).end(),
        Err(error) => answer.failed(error),
    }
}

//! Answers on keys: what a cache in front may make of them, problems, values.

use ringhold_store::entry::{EntryRef, UpdateError, ValueRef};
use ringhold_types::entry::{Deadlines, Version};
use ringhold_types::slot::Slot;
use ringhold_types::time::{Now, UnixTime};
use ringhold_wire::http::decode::{Method, Refusal, Request};
use ringhold_wire::http::encode::{Head, problem};

use super::too_large;
use crate::output::Output;
use crate::session::Fate;
use crate::state::NodeState;

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
        // A millisecond less, so that what is stale from now on has a negative rest.
        let rest_ms = |end: UnixTime| signed(end.as_millis()) - signed(now.unix().as_millis()) - 1;
        let ttl_s = end.map(|end| rest_ms(end).div_euclid(1000));
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

/// The answer to one request, as it is written.
pub(super) struct Answer<'a> {
    pub(super) node: &'a NodeState,
    pub(super) fate: Fate,
    pub(super) out: &'a mut Output,
    /// The slot of the request's key, if it has one.
    pub(super) slot: Option<Slot>,
    /// Whether a read found the key.
    pub(super) is_hit: Option<bool>,
    /// Whether it answers a `HEAD`: what would be its body is left out.
    pub(super) is_head: bool,
    /// Whether the client has to be told that the connection stays open.
    pub(super) is_keep_alive_told: bool,
}

impl<'a> Answer<'a> {
    /// The answer to `request`.
    pub(super) fn to(
        request: &Request<'_>,
        slot: Slot,
        node: &'a NodeState,
        out: &'a mut Output,
    ) -> Self {
        Self {
            node,
            fate: if request.is_keep_alive { Fate::Open } else { Fate::Close },
            out,
            slot: Some(slot),
            is_hit: None,
            is_head: request.method == Method::Head,
            is_keep_alive_told: request.is_keep_alive_told,
        }
    }

    /// Begins an answer with what every answer carries.
    pub(super) fn head(&mut self, status: u16) -> Head<'_> {
        let mut head = Head::new(&mut self.out.bytes, status);
        head.fields(self.node.http_fields.as_bytes());
        if self.fate == Fate::Close {
            head.field("connection", b"close");
        } else if self.is_keep_alive_told {
            head.field("connection", b"keep-alive");
        }
        head
    }

    pub(super) fn problem(&mut self, refusal: &Refusal) {
        let body =
            problem(refusal.status, refusal.code, refusal.detail, &self.node.name, self.slot);
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
        self.body(&body);
    }

    /// Adds the body that was announced.
    fn body(&mut self, text: &str) {
        if !self.is_head {
            self.out.bytes.extend_from_slice(text.as_bytes());
        }
    }

    pub(super) fn simple_problem(&mut self, status: u16, code: &'static str, detail: &'static str) {
        self.problem(&Refusal { status, code, detail, used: Some(0), ..too_large() });
    }

    pub(super) fn failed(&mut self, error: UpdateError) {
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
    pub(super) fn precondition_failed(&mut self, version: Option<Version>) {
        let detail = "the entry is not as the request's precondition says";
        let body = problem(412, "precondition-failed", detail, &self.node.name, self.slot);
        let mut head = self.head(412);
        if let Some(Version(version)) = version {
            head.etag(version);
        }
        head.field("content-type", b"application/problem+json");
        head.number("content-length", wide(body.len())).end();
        self.body(&body);
    }

    pub(super) fn value(&mut self, entry: &EntryRef<'_>, now: Now) {
        let value = entry.value();
        let freshness = Freshness::of(entry.deadlines(), now);
        self.out.bytes.reserve(512 + value.len());
        let node = self.node;
        let mut head = self.head(200);
        head.number("content-length", wide(value.len()));
        head.etag(entry.version().0);
        freshness.fields(&mut head);
        match node.content_types.fields(entry.content_type()) {
            None => head.fields(b"content-type: application/octet-stream\r\n"),
            Some(fields) => head.fields(&fields),
        };
        head.end();
        if self.is_head {
            return;
        }
        match value {
            ValueRef::Bytes(bytes) => self.out.bytes.extend_from_slice(bytes),
            ValueRef::Large(large) => self.out.insert(large, 0, large.len()),
        }
    }

    pub(super) fn not_modified(&mut self, entry: &EntryRef<'_>, now: Now) {
        let freshness = Freshness::of(entry.deadlines(), now);
        let mut head = self.head(304);
        freshness.fields(head.etag(entry.version().0));
        head.end();
    }

    pub(super) fn missing(&mut self) {
        let body = problem(404, "no-such-key", "no entry has this key", &self.node.name, self.slot);
        let mut head = self.head(404);
        head.field("cache-status", b"ringhold; fwd=miss");
        head.field("content-type", b"application/problem+json");
        head.number("content-length", wide(body.len())).end();
        self.body(&body);
    }
}

pub(super) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

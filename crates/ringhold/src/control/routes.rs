//! The routes that workers do not serve, and the way of the others to [`Loopback`].

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use ringhold_node::cells::{Access, Cells as _};
use ringhold_node::execute::http::refusal_of_access;
use ringhold_node::execute::keyspace::{Place, walk};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::{SLOTS, Slot};
use ringhold_types::time::Now;
use ringhold_wire::http::encode::problem;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::body::Answer;
use super::loopback::Loopback;
use super::{metrics, pages};
use crate::clock::Clock;
use crate::shared::Shared;

/// A permit is for so many bytes of a body.
const PERMIT_LEN: usize = 64 * 1024;
/// The keys on a page of a list: when nothing is said, and at most.
const PAGE_KEYS: u64 = 100;
const PAGE_KEYS_MAX: u64 = 1000;
/// The most entries that are looked at for one page, or in one step of a deletion.
const WALK_MAX: u64 = 10_000;

/// What all requests of the control plane share.
#[derive(Debug)]
pub(super) struct State {
    shared: Arc<Shared>,
    loopback: Mutex<Loopback>,
    clock: Mutex<Clock>,
    bodies: Semaphore,
    permits: usize,
}

type Reply = Response<Answer>;

impl State {
    pub(super) fn new(shared: Arc<Shared>, bodies_len_max: usize) -> Self {
        let loopback = Mutex::new(Loopback::new(&shared));
        let permits = bodies_len_max / PERMIT_LEN;
        let clock = Mutex::new(Clock::start());
        Self { shared, loopback, clock, bodies: Semaphore::new(permits), permits }
    }

    /// Counts a connection that is gone.
    pub(super) fn left(&self) {
        self.shared.left();
    }

    fn now(&self) -> Now {
        self.clock.lock().now()
    }

    /// Answers a request, whatever it is.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Reply, Infallible> {
        let (parts, body) = request.into_parts();
        let mut reply = self.route(&parts, body).await;
        let headers = reply.headers_mut();
        let is_new = !headers.contains_key("ringhold-node");
        if is_new && let Ok(name) = HeaderValue::from_str(&self.shared.node.name) {
            headers.insert(HeaderName::from_static("ringhold-node"), name);
            headers.insert(HeaderName::from_static("ringhold-map"), HeaderValue::from_static("1"));
        }
        Ok(reply)
    }

    async fn route(&self, parts: &Parts, body: Incoming) -> Reply {
        let path = parts.uri.path();
        let is_health = matches!(path, "/livez" | "/readyz");
        if is_key(path) {
            return self.key(parts, body).await;
        }
        if let Some(refusal) = self.refused(parts, is_health) {
            return refusal;
        }
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        match path {
            "/livez" | "/readyz" | "/" | "/metrics" | "/v1/node" if !is_read => {
                self.not_allowed("GET, HEAD")
            }
            "/livez" => plain("text/plain", "ok\n".to_owned()),
            "/readyz" => self.ready(parts),
            "/" => self.front(),
            "/metrics" => plain(metrics::CONTENT_TYPE, metrics::text(&self.shared, self.now())),
            "/v1/node" => json_reply(&self.node()),
            _ => match listed(path) {
                Some(Ok(namespace)) if is_read => self.list(namespace, parts),
                Some(Ok(namespace)) if parts.method == Method::DELETE => {
                    self.clear(namespace, parts).await
                }
                Some(Ok(_)) => self.not_allowed("GET, HEAD, DELETE"),
                Some(Err(())) => self.problem(
                    404,
                    "no-such-namespace",
                    "no namespace has this name; there are default and db1 to db15",
                ),
                None => self.problem(404, "no-such-route", "nothing is served at this path"),
            },
        }
    }

    /// A request on a key: gathered, then served as a worker would.
    async fn key(&self, parts: &Parts, body: Incoming) -> Reply {
        let most = self.shared.node.geometry.value_len_max;
        let hint = body.size_hint().upper().and_then(|len| usize::try_from(len).ok());
        let permits = hint.unwrap_or(most).min(most).div_ceil(PERMIT_LEN).min(self.permits);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let Ok(_held) = self.bodies.acquire_many(permits).await else {
            return self.problem(503, "stopping", "the node stops");
        };
        let Ok(body) = Limited::new(body, most).collect().await else {
            return self.problem(
                413,
                "value-too-large",
                "the body is over this node's limit for values (--max-value), or did not arrive",
            );
        };
        let body: Bytes = body.to_bytes();
        let served = self.loopback.lock().serve(parts, &body, &self.shared);
        served.unwrap_or_else(|| self.problem(500, "internal", "the answer could not be read"))
    }

    fn refused(&self, parts: &Parts, is_health: bool) -> Option<Reply> {
        let field = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
        let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = field(HOST).or(authority);
        let refusal =
            refusal_of_access(host, field(ORIGIN), field(AUTHORIZATION), &self.shared.node)?;
        // Health is never behind a password.
        if is_health && refusal.status == 401 {
            return None;
        }
        let mut reply = self.problem(refusal.status, refusal.code, refusal.detail);
        if refusal.status == 401 {
            let name = HeaderName::from_static("www-authenticate");
            reply.headers_mut().insert(name, HeaderValue::from_static("Bearer"));
        }
        Some(reply)
    }

    fn problem(&self, status: u16, code: &str, detail: &str) -> Reply {
        let text = problem(status, code, detail, &self.shared.node.name);
        let mut reply = plain("application/problem+json", text);
        *reply.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        reply
    }

    fn not_allowed(&self, allow: &'static str) -> Reply {
        let mut reply = self.problem(405, "method-not-allowed", "this path knows other methods");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        reply
    }

    fn ready(&self, parts: &Parts) -> Reply {
        let node = &self.shared.node;
        if node.process.is_draining.load(Relaxed) {
            let mut reply = self.problem(503, "draining", "the node stops: use another one");
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return reply;
        }
        let mut text = "ready\n".to_owned();
        if parts.uri.query().is_some_and(|query| query.starts_with("verbose")) {
            let most = node.tunables.connections_max.load(Relaxed);
            text = format!(
                "workers: {}\nconnections: {} of {most}\nmemory: {} of {} bytes\n{text}",
                node.workers,
                node.connections(),
                node.budget.used(),
                node.budget.limit()
            );
        }
        plain("text/plain", text)
    }

    fn front(&self) -> Reply {
        let mut reply = plain("text/html; charset=utf-8", pages::front(&self.shared.node));
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        reply.headers_mut().insert(
            HeaderName::from_static("content-security-policy"),
            HeaderValue::from_static(policy),
        );
        reply
    }

    fn node(&self) -> Value {
        let node = &self.shared.node;
        let mut entries = 0;
        Access::each(&self.shared.shards).read_each(|cell| entries += cell.shard().stats().entries);
        json!({
            "node": node.name,
            "version": env!("CARGO_PKG_VERSION"),
            "run_id": node.run_id,
            "role": "primary",
            "state": "active",
            "uptime_s": node.uptime(self.now()).as_secs(),
            "workers": node.workers,
            "connections": node.connections(),
            "entries": entries,
            "memory": {
                "limit_bytes": node.budget.limit(),
                "used_bytes": node.budget.used(),
                "resident_bytes": node.process.rss_bytes.load(Relaxed),
            },
            "engine": { "shards": self.shared.shards.count(), "segment_bytes": node.geometry.seg_len },
            "value_len_max": node.geometry.value_len_max,
        })
    }

    /// A page of the keys of a namespace.
    fn list(&self, namespace: NamespaceId, parts: &Parts) -> Reply {
        let Ok(asked) = Asked::parse(parts.uri.query().unwrap_or_default()) else {
            return self.problem(
                400,
                "bad-parameter",
                "a list knows prefix=, cursor= and limit=1..1000",
            );
        };
        let Some(from) = Place::of_cursor(asked.cursor) else {
            return self.problem(400, "bad-cursor", "a cursor is the next of the page before");
        };
        let access = Access::each(&self.shared.shards);
        let mut keys = Vec::new();
        let mut seen = 0;
        let next = walk(&access, namespace, from, WALK_MAX, self.now(), |entry| {
            seen += 1;
            if entry.key().starts_with(&asked.prefix) {
                keys.push(key_json(entry.key()));
            }
            keys.len() as u64 >= asked.limit
        });
        let next = next.map(|place| place.cursor().to_string());
        json_reply(&json!({ "keys": keys, "next": next }))
    }

    /// Deletes all keys of a namespace, or those with a prefix; in steps, so that others are served meanwhile.
    async fn clear(&self, namespace: NamespaceId, parts: &Parts) -> Reply {
        let query = parts.uri.query().unwrap_or_default();
        let asked =
            Asked::parse(query).ok().filter(|asked| asked.is_all || !asked.prefix.is_empty());
        let Some(asked) = asked else {
            return self.problem(400, "nothing-named", "say prefix=… or all=true");
        };
        let mut deleted = 0;
        if asked.is_all && asked.prefix.is_empty() {
            for slot in (0..SLOTS).filter_map(Slot::new) {
                let cells = &self.shared.shards;
                let mut cell = cells.write(cells.shard_of(slot));
                let count = cell.shard().slot_stats(namespace, slot).entries;
                if count > 0 {
                    deleted += count;
                    cell.clear(namespace, slot, self.now());
                }
            }
            return json_reply(&json!({ "deleted": deleted }));
        }
        let mut from = Some(Place::START);
        while let Some(place) = from {
            from = self.delete_some(namespace, &asked.prefix, place, &mut deleted);
            tokio::task::yield_now().await;
        }
        json_reply(&json!({ "deleted": deleted }))
    }

    /// One step of deleting the keys with a prefix; where the next begins.
    fn delete_some(
        &self,
        namespace: NamespaceId,
        prefix: &[u8],
        from: Place,
        deleted: &mut u64,
    ) -> Option<Place> {
        use ringhold_node::shard_cell::Key;
        use ringhold_store::entry::{Decision, Outcome};
        let (now, mut access) = (self.now(), Access::each(&self.shared.shards));
        let mut found = Vec::new();
        let next = walk(&access, namespace, from, WALK_MAX, now, |entry| {
            if entry.key().starts_with(prefix) {
                found.push(entry.key().to_vec());
            }
            false
        });
        for bytes in &found {
            let at = self.shared.node.hash_seed.key(bytes);
            let key = Key { namespace, bytes, at };
            let outcome =
                access.write(at.slot, |cell, _| cell.update(key, now, |_| Decision::Delete));
            *deleted += u64::from(outcome == Ok(Outcome::Deleted));
        }
        next
    }
}

/// What a list or a deletion is asked for.
struct Asked {
    prefix: Vec<u8>,
    cursor: u64,
    limit: u64,
    is_all: bool,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, ()> {
        let mut asked = Self { prefix: Vec::new(), cursor: 0, limit: PAGE_KEYS, is_all: false };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').ok_or(())? {
                ("prefix", text) => {
                    asked.prefix = percent_encoding::percent_decode_str(text).collect();
                }
                ("cursor", text) => asked.cursor = text.parse().map_err(drop)?,
                ("limit", text) => {
                    asked.limit = text.parse().map_err(drop)?;
                    if !(1..=PAGE_KEYS_MAX).contains(&asked.limit) {
                        return Err(());
                    }
                }
                ("all", "true") => asked.is_all = true,
                _ => return Err(()),
            }
        }
        Ok(asked)
    }
}

/// A key as JSON can carry it.
fn key_json(key: &[u8]) -> Value {
    use base64::Engine as _;
    match std::str::from_utf8(key) {
        Ok(text) => json!({ "key": text }),
        Err(_) => json!({ "key_b64": base64::engine::general_purpose::STANDARD.encode(key) }),
    }
}

/// Whether a path is that of a key.
fn is_key(path: &str) -> bool {
    path.starts_with("/v1/keys/")
        || path.strip_prefix("/v1/ns/").is_some_and(|rest| {
            rest.split_once('/').is_some_and(|(_, rest)| rest.starts_with("keys/"))
        })
}

/// The namespace whose keys a path lists; `Err`: there is none of this name. `None`: it is another path.
fn listed(path: &str) -> Option<Result<NamespaceId, ()>> {
    if path == "/v1/keys" {
        return Some(Ok(NamespaceId::DEFAULT));
    }
    let name = path.strip_prefix("/v1/ns/")?.strip_suffix("/keys")?;
    Some(ringhold_wire::http::decode::database(name).ok_or(()))
}

fn plain(content_type: &'static str, text: String) -> Reply {
    let mut reply = Response::new(Answer::from(text));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    reply
}

fn json_reply(value: &Value) -> Reply {
    plain("application/json", format!("{value}\n"))
}

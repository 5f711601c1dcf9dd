//! Requests on keys, on many keys, and on those who wait for one.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use ringhold_node::cells::{Access, Cells as _};
use ringhold_node::execute::keyspace::{Place, walk};
use ringhold_node::shard_cell::Key;
use ringhold_store::entry::Decision;
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::{SLOTS, Slot};
use ringhold_wire::http::decode::prefers_wait;
use ringhold_wire::http::routes::{Resource, resource};
use serde_json::json;

use super::gather::Received;
use super::json::bytes_json;
use super::operations::Operation;
use super::routes::{Reply, State, json_reply};
use crate::clock::Clock;
use crate::shared::Shared;

/// The keys on a page of a list: when nothing is said, and at most.
const PAGE_KEYS: u64 = 100;
const PAGE_KEYS_MAX: u64 = 1000;
/// The most entries that are looked at for one page, or in one step of a deletion.
const WALK_MAX: u64 = 10_000;
/// The slots that are cleared in one step.
const SLOTS_PER_STEP: u16 = 256;
/// How long a deletion is waited for before it is answered as going on.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest that a caller can wait for another's fill.
const WAIT_MAX: Duration = Duration::from_secs(60);
const FILL_LEASE: &str = ":fill-lease";

impl State {
    /// A request on a key: received, then served as a worker would.
    pub(super) async fn key(&self, parts: &Parts, body: Incoming) -> Reply {
        // Before a byte of the body is taken, which takes memory from others.
        if let Some(refusal) = self.refused(parts, false) {
            return refusal;
        }
        let most = self.shared.node.geometry.value_len_max;
        let reply = match self.receive(parts, body, most).await {
            Ok(Received::Bytes(body)) => self.serve_key(parts, &body.bytes),
            Ok(Received::Pages(body)) => {
                let served = self.loopback.lock().serve_received(parts, body, &self.shared);
                self.or_internal(served)
            }
            Err(error) => {
                let detail = "the body is over this node's limit for values (--max-value)";
                return self.not_gathered(error, "value-too-large", detail);
            }
        };
        match wait_of(parts) {
            Some(wait) if reply.status() == StatusCode::ACCEPTED => {
                self.wait_for_fill(parts, wait, reply).await
            }
            _ => reply,
        }
    }

    fn serve_key(&self, parts: &Parts, body: &[u8]) -> Reply {
        let served = self.loopback.lock().serve(parts, body, &self.shared);
        self.or_internal(served)
    }

    fn or_internal(&self, served: Option<Reply>) -> Reply {
        served.unwrap_or_else(|| self.problem(500, "internal", "the answer could not be read"))
    }

    /// Asks again when the key's lease has ended, until there is another answer than `reply` or `wait` is over.
    async fn wait_for_fill(&self, parts: &Parts, wait: Duration, mut reply: Reply) -> Reply {
        let Some(Resource::Key { namespace, key }) = resource(parts.uri.path()) else {
            return reply;
        };
        let bytes: Vec<u8> =
            percent_encoding::percent_decode_str(key.strip_suffix(FILL_LEASE).unwrap_or(key))
                .collect();
        let Some((namespace, _)) = self.named(namespace) else {
            return reply;
        };
        let at = self.shared.node.hash_seed.key(&bytes);
        let key = Key { namespace, bytes: &bytes, at };
        let shard = self.shared.shards.shard_of(at.slot);
        let end_of =
            |waker: &Waker| self.shared.shards.write(shard).await_lease(key, self.now(), waker);
        let over = tokio::time::Instant::now() + wait;
        while reply.status() == StatusCode::ACCEPTED && tokio::time::Instant::now() < over {
            let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
            if let Some(again) = end_of(&waker) {
                let lease = again.remaining(self.now().unix()) + Duration::from_millis(1);
                let until = over.min(tokio::time::Instant::now() + lease);
                let ended = poll_fn(|context| match end_of(context.waker()) {
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(()),
                });
                // That the time is over says as much as that the lease has ended: ask again.
                drop(tokio::time::timeout_at(until, ended).await);
            }
            reply = self.serve_key(parts, &[]);
        }
        let name = HeaderName::from_static("cache-status");
        let status = reply.headers().get(&name).and_then(|status| status.to_str().ok());
        if reply.status() == StatusCode::OK
            && let Some(status) = status
            && let Ok(status) = HeaderValue::from_str(&format!("{status}; collapsed"))
        {
            reply.headers_mut().insert(name, status);
        }
        reply
    }

    /// A page of the keys of a namespace.
    pub(super) fn list(&self, namespace: NamespaceId, parts: &Parts) -> Reply {
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
        let next = walk(&access, namespace, from, WALK_MAX, self.now(), |entry| {
            if entry.key().starts_with(&asked.prefix) {
                keys.push(bytes_json("key", entry.key()));
            }
            keys.len() as u64 >= asked.limit
        });
        let next = next.map(|place| place.cursor().to_string());
        json_reply(&json!({ "keys": keys, "next": next }))
    }

    /// Deletes all keys of a namespace, or those with a prefix; in steps, so that others are served meanwhile.
    pub(super) async fn clear(&self, namespace: (NamespaceId, String), parts: &Parts) -> Reply {
        let query = parts.uri.query().unwrap_or_default();
        let asked =
            Asked::parse(query).ok().filter(|asked| asked.is_all || !asked.prefix.is_empty());
        let Some(asked) = asked else {
            return self.problem(400, "nothing-named", "say prefix=… or all=true");
        };
        let Some(operation) = self.operations.begin(namespace, asked.prefix, self.now()) else {
            return self.problem(503, "too-many-operations", "wait for one of those that go on");
        };
        let steps = clear_in_steps(Arc::clone(&self.shared), Arc::clone(&operation), self.clock());
        let task = tokio::spawn(steps);
        let is_async =
            parts.headers.get_all("prefer").iter().any(|preference| {
                preference.to_str().is_ok_and(|text| text.contains("respond-async"))
            });
        let has_ended = !is_async && tokio::time::timeout(PATIENCE, task).await.is_ok();
        let mut reply = json_reply(&operation.json(self.now()));
        if !has_ended {
            *reply.status_mut() = StatusCode::ACCEPTED;
            if let Ok(location) = HeaderValue::from_str(&operation.location()) {
                reply.headers_mut().insert(LOCATION, location);
            }
        }
        reply
    }
}

/// How long a request would wait for another caller's fill.
fn wait_of(parts: &Parts) -> Option<Duration> {
    let is_lease = parts.method == Method::POST && parts.uri.path().ends_with(FILL_LEASE);
    let preferences = parts.headers.get_all("prefer");
    let wait = preferences.iter().find_map(|preference| prefers_wait(preference.as_bytes()));
    is_lease.then_some(wait).flatten().map(|secs| Duration::from_secs(secs).min(WAIT_MAX))
}

/// Deletes until nothing is left or nobody wants it. `clock` is not a fresh one: that might be ahead of the workers', and
/// what still lives for them would be passed over as dead.
async fn clear_in_steps(shared: Arc<Shared>, operation: Arc<Operation>, mut clock: Clock) {
    let mut place = Some(Place::START);
    while let Some(from) = place.filter(|_| !operation.is_cancelled()) {
        let (next, deleted) = if operation.prefix.is_empty() {
            clear_slots(&shared, &operation, from, &mut clock)
        } else {
            delete_some(&shared, &operation, from, &mut clock)
        };
        operation.deleted.fetch_add(deleted, Relaxed);
        operation.slots_done.store(next.map_or(SLOTS, |next| next.slot.number()), Relaxed);
        place = next;
        tokio::task::yield_now().await;
    }
    operation.end(clock.now());
}

/// One step of clearing all slots; where the next begins, and how many entries went.
fn clear_slots(
    shared: &Shared,
    operation: &Operation,
    from: Place,
    clock: &mut Clock,
) -> (Option<Place>, u64) {
    let cells = &shared.shards;
    let mut deleted = 0;
    let end = from.slot.number().saturating_add(SLOTS_PER_STEP);
    for slot in (from.slot.number()..end).filter_map(Slot::new) {
        let mut cell = cells.write(cells.shard_of(slot));
        let count = cell.shard().slot_stats(operation.namespace, slot).entries;
        if count > 0 {
            deleted += count;
            cell.clear(operation.namespace, slot, clock.now());
        }
    }
    (Slot::new(end).map(|slot| Place { slot, fragment: 0 }), deleted)
}

/// One step of deleting the keys with a prefix; where the next begins, and how many entries went.
fn delete_some(
    shared: &Shared,
    operation: &Operation,
    from: Place,
    clock: &mut Clock,
) -> (Option<Place>, u64) {
    let (now, mut access) = (clock.now(), Access::each(&shared.shards));
    let (mut found, mut deleted) = (Vec::new(), 0);
    let namespace = operation.namespace;
    let next = walk(&access, namespace, from, WALK_MAX, now, |entry| {
        if entry.key().starts_with(&operation.prefix) {
            found.push(entry.key().to_vec());
        }
        false
    });
    for bytes in &found {
        let key = Key { namespace, bytes, at: shared.node.hash_seed.key(bytes) };
        let outcome = access.write(key.at.slot, |cell, _| {
            cell.update(key, now, |old| {
                deleted += u64::from(old.is_some());
                Decision::Delete
            })
        });
        debug_assert!(outcome.is_ok(), "deleting needs no room");
    }
    (next, deleted)
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

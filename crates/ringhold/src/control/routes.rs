//! The routes that workers do not serve, and the way of the others to [`Loopback`].

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use ringhold_node::cells::{Access, Cells as _};
use ringhold_node::execute::http::refusal_of_access;
use ringhold_types::time::Now;
use ringhold_wire::http::encode::problem;
use ringhold_wire::http::routes::{self, Resource, name_of};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::body::Answer;
use super::gather::Gathered;
use super::loopback::Loopback;
use super::operations::Operations;
use super::{metrics, openapi, pages};
use crate::clock::Clock;
use crate::shared::Shared;

/// A permit is for so many bytes of a body.
pub(super) const PERMIT_LEN: usize = 64 * 1024;
/// What all requests of the control plane share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) shared: Arc<Shared>,
    pub(super) loopback: Mutex<Loopback>,
    clock: Mutex<Clock>,
    pub(super) bodies: Semaphore,
    pub(super) permits: usize,
    pub(super) operations: Operations,
}

pub(super) type Reply = Response<Answer>;

impl State {
    pub(super) fn new(shared: Arc<Shared>, bodies_len_max: usize) -> Self {
        let loopback = Mutex::new(Loopback::new(&shared));
        let permits = bodies_len_max / PERMIT_LEN;
        let clock = Mutex::new(Clock::start());
        let (bodies, operations) = (Semaphore::new(permits), Operations::default());
        Self { shared, loopback, clock, bodies, permits, operations }
    }

    /// Counts a connection that is gone.
    pub(super) fn left(&self) {
        self.shared.left();
    }

    pub(super) fn now(&self) -> Now {
        self.clock.lock().now()
    }

    /// A clock that goes on from where this one is.
    pub(super) fn clock(&self) -> Clock {
        self.clock.lock().clone()
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
        let resource = routes::resource(parts.uri.path());
        if let Some(Resource::Key { .. }) = resource {
            return self.key(parts, body).await;
        }
        let is_health = matches!(resource, Some(Resource::Live | Resource::Ready));
        if let Some(refusal) = self.refused(parts, is_health) {
            return refusal;
        }
        let Some(resource) = resource else {
            return self.problem(404, "no-such-route", "nothing is served at this path");
        };
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        match resource {
            Resource::Live if is_read => plain("text/plain", "ok\n".to_owned()),
            Resource::Ready if is_read => self.ready(parts),
            Resource::Front if is_read => self.front(),
            Resource::Metrics if is_read => {
                plain(metrics::CONTENT_TYPE, metrics::text(&self.shared, self.now()))
            }
            Resource::OpenApi if is_read => plain("application/json", openapi::text()),
            Resource::Node if is_read => json_reply(&self.node()),
            Resource::Keys { namespace } => match self.named(namespace) {
                None => self.no_such_namespace(),
                Some((id, _)) if is_read => self.list(id, parts),
                Some(named) if parts.method == Method::DELETE => self.clear(named, parts).await,
                Some(_) => self.not_allowed(parts.uri.path()),
            },
            Resource::Namespaces if is_read => self.namespaces(),
            Resource::Namespace(name) if is_read => self.namespace(&name_of(name)),
            Resource::Namespace(name) if parts.method == Method::PUT => {
                self.put_namespace(&name_of(name), parts, body).await
            }
            Resource::Namespace(name) if parts.method == Method::DELETE => {
                self.delete_namespace(&name_of(name))
            }
            Resource::Batch if parts.method == Method::POST => self.batch(parts, body).await,
            Resource::Operations if is_read => json_reply(&self.operations.json(self.now())),
            Resource::Operation(id) if is_read || parts.method == Method::DELETE => {
                self.operation(id, !is_read)
            }
            Resource::Key { .. }
            | Resource::Batch
            | Resource::Namespaces
            | Resource::Namespace(_)
            | Resource::Operations
            | Resource::Operation(_)
            | Resource::Node
            | Resource::Live
            | Resource::Ready
            | Resource::Metrics
            | Resource::OpenApi
            | Resource::Front => self.not_allowed(parts.uri.path()),
        }
    }

    fn operation(&self, id: &str, is_to_end: bool) -> Reply {
        let Some(operation) = self.operations.get(id) else {
            return self.problem(404, "no-such-operation", "it never was, or ended long ago");
        };
        if is_to_end && !Operations::cancel(&operation) {
            return self.problem(409, "operation-ended", "there is nothing left to cancel");
        }
        json_reply(&operation.json(self.now()))
    }

    pub(super) fn refused(&self, parts: &Parts, is_health: bool) -> Option<Reply> {
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

    pub(super) fn problem_json(&self, status: u16, code: &str, detail: &str) -> Value {
        let text = problem(status, code, detail, &self.shared.node.name, None);
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(super) fn problem(&self, status: u16, code: &str, detail: &str) -> Reply {
        let text = problem(status, code, detail, &self.shared.node.name, None);
        let mut reply = plain("application/problem+json", text);
        *reply.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == 503 {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }

    fn not_allowed(&self, path: &str) -> Reply {
        let mut reply = self.problem(405, "method-not-allowed", "this path knows other methods");
        if let Ok(allow) = HeaderValue::from_str(&allowed(path)) {
            reply.headers_mut().insert(ALLOW, allow);
        }
        reply
    }

    fn ready(&self, parts: &Parts) -> Reply {
        let node = &self.shared.node;
        if node.process.is_draining.load(Relaxed) {
            return self.problem(503, "draining", "the node stops: use another one");
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

    /// The body of a request that brings JSON, of at most `len_max` bytes.
    pub(super) async fn json_body(
        &self,
        parts: &Parts,
        body: Incoming,
        len_max: usize,
    ) -> Result<Gathered<'_>, Reply> {
        let is_json = parts.headers.get(CONTENT_TYPE).is_none_or(|content_type| {
            let essence = content_type.to_str().unwrap_or_default().split(';').next();
            // The second is what `curl --data` says unasked.
            ["application/json", "application/x-www-form-urlencoded"]
                .iter()
                .any(|known| essence.is_some_and(|e| e.trim().eq_ignore_ascii_case(known)))
        });
        if !is_json {
            return Err(self.problem(415, "not-json", "send the body as application/json"));
        }
        self.gather(body, len_max).await.map_err(|error| {
            let detail = format!("the body is over {len_max} bytes");
            self.not_gathered(error, "body-too-large", &detail)
        })
    }
}

/// The methods of a path, for 405; who answers GET answers HEAD.
fn allowed(path: &str) -> String {
    let mut methods: Vec<&str> = routes::of(path).map(|route| route.method).collect();
    if methods.contains(&"get") {
        methods.push("head");
    }
    methods.join(", ").to_ascii_uppercase()
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

pub(super) fn json_reply(value: &Value) -> Reply {
    plain("application/json", format!("{value}\n"))
}

//! Requests on keys, served by the workers' own code.
//!
//! A request that came by another way is written down in the plain form that a worker reads, goes through a turn, and
//! its answer is read back. What a key's route does is therefore decided in one place.

use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName,
    HeaderValue, IF_MATCH, IF_NONE_MATCH, ORIGIN,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use ringhold_node::incoming::Body;
use ringhold_node::session::Session;
use ringhold_node::turn::{Sessions, Turn};
use ringhold_wire::http::encode::Head;
use ringhold_wire::http::response::{Asked, Decoder};

use super::body::Answer;
use crate::clock::Clock;
use crate::shared::Shared;

/// The fields of a request that mean something for a key.
const FIELDS: [HeaderName; 8] = [
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    ORIGIN,
    IF_MATCH,
    IF_NONE_MATCH,
    HeaderName::from_static("ringhold-fill-lease"),
    HeaderName::from_static("ringhold-ttl"),
];

/// A turn with one connection.
#[derive(Debug)]
pub(crate) struct Loopback {
    turn: Turn,
    clock: Clock,
}

struct One(Session);

impl Sessions for One {
    fn session(&mut self, _idx: usize) -> Option<&mut Session> {
        Some(&mut self.0)
    }
}

impl Loopback {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self { turn: Turn::new(&shared.node, 0), clock: Clock::start() }
    }

    /// Serves one request; `None` when the answer cannot be read, which is a mistake of ours.
    pub(crate) fn serve(
        &mut self,
        parts: &Parts,
        body: &[u8],
        shared: &Shared,
    ) -> Option<Response<Answer>> {
        let head = plain_head(parts, body.len());
        self.serve_plain(&head, body, shared)
    }

    /// Serves one request whose body is in the store's pages; `None` when the answer cannot be read.
    pub(crate) fn serve_received(
        &mut self,
        parts: &Parts,
        body: Body,
        shared: &Shared,
    ) -> Option<Response<Answer>> {
        let head = plain_head(parts, body.len());
        self.serve_session(Session::http_with(body), [&head, &[]], shared)
    }

    /// Serves one request that is in the plain form already; `None` when the answer cannot be read.
    pub(crate) fn serve_plain(
        &mut self,
        head: &[u8],
        body: &[u8],
        shared: &Shared,
    ) -> Option<Response<Answer>> {
        self.serve_session(Session::http(), [head, body], shared)
    }

    /// Serves the one request that is sent to `session` in two parts.
    fn serve_session(
        &mut self,
        session: Session,
        [head, body]: [&[u8]; 2],
        shared: &Shared,
    ) -> Option<Response<Answer>> {
        let mut one = One(session);
        let (mut answered, mut large) = (Vec::new(), Vec::new());
        for mut rest in [head, body] {
            while !rest.is_empty() {
                self.turn.begin();
                let space = self.turn.space(&mut one.0);
                let len = rest.len().min(space.len());
                space[..len].copy_from_slice(&rest[..len]);
                rest = &rest[len..];
                self.turn.received(&shared.node, 0, &mut one.0, len);
                let now = self.clock.now();
                self.turn.execute(&mut one, &shared.shards, &shared.node, now);
                let output = self.turn.output();
                for insert in &output.inserts {
                    large.push((answered.len() + insert.at, insert.clone()));
                }
                answered.extend_from_slice(&output.bytes);
            }
        }
        one.0.end(&shared.shards, &shared.node);
        // At once, so that no value of this answer is held until the next one.
        self.turn.begin();
        let is_head = head.starts_with(b"HEAD ");
        let asked = if is_head { Asked::Head } else { Asked::Other };
        let read = Decoder::new().decode(&answered, asked).ok().flatten()?;
        let mut response = Response::new(Answer::default());
        *response.status_mut() = StatusCode::from_u16(read.status).ok()?;
        let mut is_sound = true;
        let fields = read.fields(|name, value| {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) else {
                is_sound = false;
                return;
            };
            if name != CONNECTION && (name != CONTENT_LENGTH || is_head) {
                response.headers_mut().append(name, value);
            }
        });
        if fields.is_err() || !is_sound {
            return None;
        }
        let head_len = read.bytes.len();
        let answered = Bytes::from(answered);
        let mut at = head_len;
        for (place, insert) in large {
            response.body_mut().push(answered.slice(at..place));
            response.body_mut().push_large(insert.value, insert.start, insert.len);
            at = place;
        }
        response.body_mut().push(answered.slice(at..));
        Some(response)
    }
}

/// The head of a request as workers read it.
pub(super) fn plain_head(parts: &Parts, body_len: usize) -> Vec<u8> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut bytes = Vec::new();
    let mut head = Head::request(&mut bytes, parts.method.as_str(), target);
    head.number("content-length", u64::try_from(body_len).unwrap_or(u64::MAX));
    // HTTP/2 names the host in the target.
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = parts.headers.get(HOST).map(HeaderValue::as_bytes).or(authority);
    head.field("host", host.unwrap_or_default());
    for name in FIELDS {
        for value in parts.headers.get_all(&name) {
            head.field(name.as_str(), value.as_bytes());
        }
    }
    head.end();
    bytes
}

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
use ringhold_node::session::Session;
use ringhold_node::turn::{Sessions, Turn};

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
/// The most fields of our own answers.
const ANSWER_FIELDS_MAX: usize = 32;

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

    /// Serves one request that is in the plain form already; `None` when the answer cannot be read.
    pub(crate) fn serve_plain(
        &mut self,
        head: &[u8],
        body: &[u8],
        shared: &Shared,
    ) -> Option<Response<Answer>> {
        let mut one = One(Session::http());
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
        let mut fields = [httparse::EMPTY_HEADER; ANSWER_FIELDS_MAX];
        let mut read = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head_len) = read.parse(&answered).ok()? else { return None };
        let mut response = Response::new(Answer::default());
        *response.status_mut() = StatusCode::from_u16(read.code?).ok()?;
        for field in read.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            let is_for_head = name == CONTENT_LENGTH && !head.starts_with(b"HEAD ");
            if name != CONNECTION && !is_for_head {
                response.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
            }
        }
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
fn plain_head(parts: &Parts, body_len: usize) -> Vec<u8> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\ncontent-length: {body_len}\r\n", parts.method)
        .into_bytes();
    let mut field = |name: &[u8], value: &[u8]| {
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    // HTTP/2 names the host in the target.
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = parts.headers.get(HOST).map(HeaderValue::as_bytes).or(authority);
    field(b"host", host.unwrap_or_default());
    for name in FIELDS {
        for value in parts.headers.get_all(&name) {
            field(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

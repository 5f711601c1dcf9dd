//! The bodies of requests: gathered in memory, of which all together have a part, or received into the store's pages.
//!
//! A body is given its part before its first byte is read, and gives it back with the bytes; who would wait for one too
//! long is told to come again. So that nobody keeps it by sending slowly, a body has to come as fast as a worker asks of a
//! request ([`pace`](crate::io::pace)). The value of a `PUT` goes into pages as soon as it is long enough for them, whether
//! or not its length is known, and holds its part of the memory until then only.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::http::request::Parts;
use ringhold_node::execute::http::{crowded, namespace_of};
use ringhold_node::incoming::{Body, STREAMED_LEN_MIN};
use ringhold_node::shard_cell::Key;
use ringhold_wire::http::decode::{Decoder, Method, Refusal};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::loopback::plain_head;
use super::routes::{PERMIT_LEN, Reply, State};
use crate::io::pace::time_max;

const _: () = assert!(STREAMED_LEN_MIN <= PERMIT_LEN, "what is gathered of a value is counted");

/// The value of a request on a key.
#[derive(Debug)]
pub(super) enum Received<'s> {
    /// It is short, or no value of a `PUT`.
    Bytes(Gathered<'s>),
    /// It is in the store's pages, or there is no room for it.
    Pages(Body),
}

/// A body that has come whole.
#[derive(Debug)]
pub(super) struct Gathered<'s> {
    pub(super) bytes: Vec<u8>,
    /// Its part of the memory of all bodies.
    _part: SemaphorePermit<'s>,
}

/// Why a body was not gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GatherError {
    /// The node stops.
    Stopping,
    /// The bodies of others take all memory that there is for them.
    Crowded,
    /// It is over the limit.
    TooLong,
    /// It comes too slowly.
    TooSlow,
    /// Its sender has broken it off.
    Broken,
}

impl State {
    /// Gathers a body of at most `len_max` bytes.
    ///
    /// # Errors
    ///
    /// [`GatherError`], see its variants.
    pub(super) async fn gather(
        &self,
        body: Incoming,
        len_max: usize,
    ) -> Result<Gathered<'_>, GatherError> {
        let hint = body.size_hint();
        if hint.lower() > u64::try_from(len_max).unwrap_or(u64::MAX) {
            return Err(GatherError::TooLong);
        }
        let len = hint.upper().and_then(|len| usize::try_from(len).ok());
        let permits = len.unwrap_or(len_max).min(len_max).div_ceil(PERMIT_LEN).min(self.permits);
        let part = self.part(permits).await?;
        let mut coming = Coming::new(body, len_max, self.shared.stall_timeout);
        let mut bytes = Vec::new();
        while let Some(data) = coming.next().await? {
            bytes.extend_from_slice(&data);
        }
        Ok(Gathered { bytes, _part: part })
    }

    /// Receives the body of a request on a key, of at most `len_max` bytes.
    ///
    /// # Errors
    ///
    /// [`GatherError`], see its variants.
    pub(super) async fn receive(
        &self,
        parts: &Parts,
        body: Incoming,
        len_max: usize,
    ) -> Result<Received<'_>, GatherError> {
        let hint = body.size_hint();
        let len = hint.exact().and_then(|len| usize::try_from(len).ok());
        let is_short = len.is_some_and(|len| len < STREAMED_LEN_MIN);
        let is_put = !is_short && parts.method == hyper::Method::PUT;
        let head = if is_put { plain_head(parts, 0) } else { Vec::new() };
        let request = Decoder::new().decode(&head).ok().flatten();
        let put = request.as_ref().filter(|request| request.method == Method::Put);
        let put = put.and_then(|put| Some((put, namespace_of(put, &self.shared.node)?)));
        let Some((put, namespace)) = put else {
            return self.gather(body, len_max).await.map(Received::Bytes);
        };
        if hint.lower() > u64::try_from(len_max).unwrap_or(u64::MAX) {
            return Err(GatherError::TooLong);
        }
        let part = self.part(1).await?;
        let mut coming = Coming::new(body, len_max, self.shared.stall_timeout);
        let mut bytes = Vec::new();
        let next = loop {
            match coming.next().await? {
                None => return Ok(Received::Bytes(Gathered { bytes, _part: part })),
                Some(data) if bytes.len() + data.len() < STREAMED_LEN_MIN => {
                    bytes.extend_from_slice(&data);
                }
                Some(data) => break data,
            }
        };
        let at = self.shared.node.hash_seed.key(&put.key);
        let key = Key { namespace, bytes: &put.key, at };
        let cells = &self.shared.shards;
        let mut pages = Body::begin(cells, key, len, self.now());
        let mut has_room = pages.write(cells, &bytes, self.now());
        drop((bytes, part));
        has_room = has_room && pages.write(cells, &next, self.now());
        // What finds no room is dropped as it comes: who sends without reading would lose an answer in the middle.
        while let Some(data) = coming.next().await? {
            has_room = has_room && pages.write(cells, &data, self.now());
        }
        Ok(Received::Pages(pages))
    }

    /// Waits for so many permits of the memory for bodies.
    async fn part(&self, permits: usize) -> Result<SemaphorePermit<'_>, GatherError> {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let part =
            tokio::time::timeout(self.shared.stall_timeout, self.bodies.acquire_many(permits));
        part.await.map_err(|_| GatherError::Crowded)?.map_err(|_| GatherError::Stopping)
    }

    /// What to answer when a body was not gathered; the code and the detail are those of one that is too long.
    pub(super) fn not_gathered(&self, error: GatherError, code: &str, detail: &str) -> Reply {
        match error {
            GatherError::Stopping => self.problem(503, "stopping", "the node stops"),
            GatherError::Crowded => {
                let Refusal { status, code, detail, .. } = crowded();
                self.problem(status, code, detail)
            }
            GatherError::TooLong => self.problem(413, code, detail),
            GatherError::TooSlow => {
                self.problem(408, "body-too-slow", "the body comes too slowly: send it at once")
            }
            GatherError::Broken => self.problem(400, "body-broken-off", "the body did not end"),
        }
    }
}

/// A body that comes in.
struct Coming {
    body: Incoming,
    began: Instant,
    /// The bytes of it that have come.
    len: usize,
    len_max: usize,
    patience: Duration,
}

impl Coming {
    /// A body whose time begins now.
    fn new(body: Incoming, len_max: usize, patience: Duration) -> Self {
        Self { body, began: Instant::now(), len: 0, len_max, patience }
    }

    /// Its next bytes; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, GatherError> {
        loop {
            let until = self.began + time_max(self.len, self.patience);
            let next = tokio::time::timeout_at(until, self.body.frame()).await;
            let frame = match next.map_err(|_| GatherError::TooSlow)? {
                None => return Ok(None),
                Some(frame) => frame.map_err(|_| GatherError::Broken)?,
            };
            // What is no data are trailers, which say nothing here.
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > self.len_max - self.len {
                return Err(GatherError::TooLong);
            }
            self.len += data.len();
            return Ok(Some(data));
        }
    }
}

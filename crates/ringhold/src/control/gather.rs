//! The bodies of requests: gathered in memory, of which all together have a part.
//!
//! A body is given its part before its first byte is read, and gives it back with the bytes. So that nobody keeps it by
//! sending slowly, a body has to come as fast as a worker asks of a request ([`pace`](crate::io::pace)).

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::routes::{PERMIT_LEN, Reply, State};
use crate::io::pace::time_max;

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
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let part = self.bodies.acquire_many(permits).await.map_err(|_| GatherError::Stopping)?;
        let bytes = gather(body, len_max, self.shared.stall_timeout).await?;
        Ok(Gathered { bytes, _part: part })
    }

    /// What to answer when a body was not gathered; the code and the detail are those of one that is too long.
    pub(super) fn not_gathered(&self, error: GatherError, code: &str, detail: &str) -> Reply {
        match error {
            GatherError::Stopping => self.problem(503, "stopping", "the node stops"),
            GatherError::TooLong => self.problem(413, code, detail),
            GatherError::TooSlow => {
                self.problem(408, "body-too-slow", "the body comes too slowly: send it at once")
            }
            GatherError::Broken => self.problem(400, "body-broken-off", "the body did not end"),
        }
    }
}

async fn gather(
    mut body: Incoming,
    len_max: usize,
    patience: Duration,
) -> Result<Vec<u8>, GatherError> {
    let began = Instant::now();
    let mut bytes = Vec::new();
    loop {
        let until = began + time_max(bytes.len(), patience);
        let next = tokio::time::timeout_at(until, body.frame()).await;
        let frame = match next.map_err(|_| GatherError::TooSlow)? {
            None => return Ok(bytes),
            Some(frame) => frame.map_err(|_| GatherError::Broken)?,
        };
        // What is no data are trailers, which say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > len_max - bytes.len() {
            return Err(GatherError::TooLong);
        }
        bytes.extend_from_slice(&data);
    }
}

//! How long a connection of the control plane may be silent: the same as one of a worker.
//!
//! Between two requests it may be silent for as long as the node's idle time-out says; the head of a request has
//! [`HEAD_TIMEOUT`] from its first byte. While a request is answered nothing is asked of it here: bodies have a pace of
//! their own ([`gather`](super::gather)). On HTTP/2 only requests and the bytes of answers count, since pings of both sides
//! go on without any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::HEAD_TIMEOUT;
use crate::shared::Shared;

/// How often the idle time-out is looked up at least, since it can be changed.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// What goes at once over HTTP/2 when no part of an answer does, in bytes: a few pings, settings or window updates.
const CONTROL_LEN_MAX: usize = 128;

/// What a connection does, as its socket and its requests note it.
#[derive(Debug)]
pub(crate) struct Activity {
    since: Instant,
    is_http2: bool,
    /// When it last did something, in milliseconds after `since`.
    last_ms: AtomicU64,
    /// When the first byte of the head that is coming in came, in milliseconds after `since`; `u64::MAX`: none is.
    head_ms: AtomicU64,
    /// The requests that are being answered.
    answering: AtomicUsize,
}

/// A request that is being answered, until the last byte of its answer was taken or it is dropped.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Activity>);

impl Activity {
    /// A connection that begins with `bytes`.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self {
            since: Instant::now(),
            is_http2: bytes.starts_with(b"PRI * HTTP/2"),
            last_ms: AtomicU64::new(0),
            head_ms: AtomicU64::new(u64::MAX),
            answering: AtomicUsize::new(0),
        }
    }

    /// The time, in milliseconds after `since`.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes that bytes came.
    pub(super) fn received(&self, now_ms: u64) {
        if self.is_http2 {
            return;
        }
        self.last_ms.store(now_ms, Relaxed);
        if self.answering.load(Relaxed) == 0 && self.head_ms.load(Relaxed) == u64::MAX {
            self.head_ms.store(now_ms, Relaxed);
        }
    }

    /// Notes that `len` bytes went at once.
    pub(super) fn sent(&self, len: usize, now_ms: u64) {
        if !self.is_http2 || len > CONTROL_LEN_MAX {
            self.last_ms.store(now_ms, Relaxed);
        }
    }

    /// Notes that the head of a request is whole; it is being answered until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.begun();
        Answering(Arc::clone(self))
    }

    fn begun(&self) {
        self.head_ms.store(u64::MAX, Relaxed);
        self.answering.fetch_add(1, Relaxed);
    }

    fn ended(&self, now_ms: u64) {
        self.last_ms.store(now_ms, Relaxed);
        self.answering.fetch_sub(1, Relaxed);
    }

    /// How long it may go on as it is; zero: it was silent for too long.
    fn left(&self, now_ms: u64, idle_max: Option<Duration>) -> Duration {
        if self.answering.load(Relaxed) > 0 {
            return LOOK_PERIOD;
        }
        let head_ms = self.head_ms.load(Relaxed);
        let head_end = (head_ms < u64::MAX).then(|| Duration::from_millis(head_ms) + HEAD_TIMEOUT);
        let last = Duration::from_millis(self.last_ms.load(Relaxed));
        let end = [head_end, idle_max.map(|most| last + most)].into_iter().flatten().min();
        let now = Duration::from_millis(now_ms);
        end.map_or(LOOK_PERIOD, |end| end.saturating_sub(now).min(LOOK_PERIOD))
    }

    /// Ends when it was silent for too long.
    pub(super) async fn is_over(&self, shared: &Shared) {
        loop {
            let left = self.left(self.now_ms(), shared.idle_timeout());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended(self.0.now_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_by_what_a_connection_is_doing() {
        let (never, minute) = (None, Some(Duration::from_secs(60)));
        let two_secs = Duration::from_secs(2);
        let one = Activity::new(b"GET /");
        assert_eq!(one.left(100_000_000, never), LOOK_PERIOD, "nothing was asked of it");
        assert_eq!(one.left(60_000, minute), Duration::ZERO);
        one.received(100_000);
        one.received(128_000);
        assert_eq!(one.left(128_000, never), two_secs, "a head that comes byte by byte");
        assert_eq!(one.left(130_000, never), Duration::ZERO);
        one.begun();
        assert_eq!(one.left(500_000, minute), LOOK_PERIOD, "it is being answered");
        one.ended(500_000);
        assert_eq!(one.left(558_000, minute), two_secs);
        one.sent(1, 558_000);
        assert_eq!(one.left(560_000, minute), LOOK_PERIOD, "its answer still goes");
        let two = Activity::new(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        two.received(59_000);
        two.sent(17, 59_000);
        assert_eq!(two.left(60_000, minute), Duration::ZERO, "a ping is no request");
        two.sent(16_384, 60_000);
        assert_eq!(two.left(118_000, minute), two_secs, "its answer still goes");
        assert_eq!(two.left(60_000, never), LOOK_PERIOD);
    }
}

//! How long a connection of the control plane may be silent: the same as one of a worker.
//!
//! Between two requests it may be silent for as long as the node's idle time-out says; the head of a request has
//! [`HEAD_TIMEOUT`] from its first byte, and its client is told when that is over. While a request comes in or is worked on nothing is asked of it here: bodies have
//! a pace of their own ([`gather`](super::gather)). Once its answer is there, bytes of answers have to be taken: of a
//! client that takes none the connection ends as a worker's does, after the node's patience or the idle time-out, whichever
//! is shorter. On HTTP/2 only requests and frames of answers count ([`Frames`]), since pings of both sides go on without any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::HEAD_TIMEOUT;
use crate::shared::Shared;

/// How often the idle time-out is looked up at least, since it can be changed.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// How long what a client still sends after a refusal is dropped before the connection is closed.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// The value of a time that is not set.
const NEVER: u64 = u64::MAX;

/// What a connection does, as its socket and its requests note it.
#[derive(Debug)]
pub(crate) struct Activity {
    since: Instant,
    is_http2: bool,
    /// When it last did something, in milliseconds after `since`.
    last_ms: AtomicU64,
    /// When the first byte of the head that is coming in came, in milliseconds after `since`; [`NEVER`]: none is.
    head_ms: AtomicU64,
    /// Since when the socket takes nothing more, in milliseconds after `since`; [`NEVER`]: it does.
    blocked_ms: AtomicU64,
    /// The requests that came and whose answers have not been taken, ready or not.
    answering: AtomicUsize,
    /// Those of them whose answers are ready.
    sending: AtomicUsize,
    /// The requests that came whole since the beginning.
    begun: AtomicU64,
    /// Whether an answer was taken by the protocol and may not be with the socket yet.
    is_unflushed: AtomicBool,
    /// Whether the head that is coming in is not waited for any longer.
    is_given_up: AtomicBool,
    /// When it was refused what it sent, in milliseconds after `since`; [`NEVER`]: it was not.
    refused_ms: AtomicU64,
    /// Who reads, while it waits for one of these to change.
    reader: Mutex<Option<Waker>>,
}

/// A request that is being answered, until the last byte of its answer was taken or it is dropped.
#[derive(Debug)]
pub(crate) struct Answering {
    activity: Arc<Activity>,
    /// Whether the answer is ready.
    is_sending: bool,
}

impl Answering {
    /// Notes that the answer is ready: from now on its bytes have to be taken.
    pub(super) fn send(mut self) -> Sending {
        self.activity.offered(self.activity.now_ms());
        self.is_sending = true;
        Sending { _answering: Arc::new(self) }
    }
}

/// An answer that is being taken, for each of its parts.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    _answering: Arc<Answering>,
}

impl Sending {
    /// The same bytes; the answer counts as not taken for as long as they are anywhere.
    pub(super) fn part(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Part { bytes, _sending: self.clone() })
    }
}

struct Part {
    bytes: Bytes,
    _sending: Sending,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Activity {
    /// A connection that begins with `bytes`.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self {
            since: Instant::now(),
            is_http2: bytes.starts_with(b"PRI * HTTP/2"),
            last_ms: AtomicU64::new(0),
            head_ms: AtomicU64::new(NEVER),
            blocked_ms: AtomicU64::new(NEVER),
            answering: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            is_unflushed: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            refused_ms: AtomicU64::new(NEVER),
            reader: Mutex::new(None),
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
        if self.answering.load(Relaxed) == 0 {
            self.head_comes(now_ms);
        }
    }

    /// Notes that part of a head is there and waits for the rest.
    pub(super) fn head_comes(&self, now_ms: u64) {
        if self.head_ms.load(Relaxed) == NEVER {
            self.head_ms.store(now_ms, Relaxed);
        }
    }

    /// Whether `count` requests were passed on and all of them are answered, so that the next may pass. If not, whoever
    /// asks is woken when that may have changed.
    pub(super) fn has_answered(&self, count: u64, context: &Context<'_>) -> bool {
        let has = self.answering.load(Relaxed) == 0 && self.begun.load(Relaxed) == count;
        if !has {
            *self.reader.lock() = Some(context.waker().clone());
        }
        has
    }

    /// Whether all that was answered is with the socket. If not, whoever asks is woken when it is.
    pub(super) fn is_flushed(&self, context: &Context<'_>) -> bool {
        let is_flushed = !self.is_unflushed.load(Relaxed);
        if !is_flushed {
            *self.reader.lock() = Some(context.waker().clone());
        }
        is_flushed
    }

    /// Notes that the socket has all that the protocol had for it.
    pub(super) fn flushed(&self) {
        if self.answering.load(Relaxed) == 0 && self.is_unflushed.swap(false, Relaxed) {
            self.wake_reader();
        }
    }

    /// Whether the head that is coming in is not waited for any longer; whoever asks is woken when that is so.
    pub(super) fn is_given_up(&self, context: &Context<'_>) -> bool {
        let is_given_up = self.is_given_up.load(Relaxed);
        if !is_given_up {
            *self.reader.lock() = Some(context.waker().clone());
        }
        is_given_up
    }

    /// Notes that the connection ends with a refusal.
    pub(super) fn refused(&self, now_ms: u64) {
        self.refused_ms.store(now_ms, Relaxed);
    }

    fn wake_reader(&self) {
        let reader = self.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// What notes the frames of answers among the bytes that go; `None` on HTTP/1.1, where all are answers.
    pub(super) fn frames(&self) -> Option<Frames> {
        self.is_http2.then(Frames::default)
    }

    /// Notes that the socket took bytes, and whether any were an answer's.
    pub(super) fn sent(&self, is_answer: bool, now_ms: u64) {
        self.blocked_ms.store(NEVER, Relaxed);
        if is_answer {
            self.last_ms.store(now_ms, Relaxed);
        }
    }

    /// Notes that the socket takes nothing more for now.
    pub(super) fn blocked(&self, now_ms: u64) {
        if self.blocked_ms.load(Relaxed) == NEVER {
            self.blocked_ms.store(now_ms, Relaxed);
        }
    }

    /// Notes that the head of a request is whole; it is being answered until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.begun(self.now_ms());
        Answering { activity: Arc::clone(self), is_sending: false }
    }

    fn begun(&self, now_ms: u64) {
        self.last_ms.store(now_ms, Relaxed);
        self.head_ms.store(NEVER, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.answering.fetch_add(1, Relaxed);
    }

    fn offered(&self, now_ms: u64) {
        self.last_ms.store(now_ms, Relaxed);
        self.sending.fetch_add(1, Relaxed);
    }

    fn ended(&self, was_sending: bool, now_ms: u64) {
        self.last_ms.store(now_ms, Relaxed);
        self.answering.fetch_sub(1, Relaxed);
        self.sending.fetch_sub(usize::from(was_sending), Relaxed);
        self.is_unflushed.store(true, Relaxed);
        self.wake_reader();
    }

    /// How long it may go on as it is; zero: it was silent for too long. An answer may stand untaken for `stall_max`.
    fn left(&self, now_ms: u64, stall_max: Duration, idle_max: Option<Duration>) -> Duration {
        let now = Duration::from_millis(now_ms);
        let at = |time: &AtomicU64| {
            Some(time.load(Relaxed)).filter(|ms| *ms < NEVER).map(Duration::from_millis)
        };
        if let Some(refused) = at(&self.refused_ms) {
            return (refused + LINGER_TIME).saturating_sub(now);
        }
        let (last, blocked) = (at(&self.last_ms).unwrap_or_default(), at(&self.blocked_ms));
        if self.sending.load(Relaxed) > 0 || blocked.is_some() {
            let most = idle_max.map_or(stall_max, |idle_max| idle_max.min(stall_max));
            let end = last.max(blocked.unwrap_or_default()) + most;
            return end.saturating_sub(now).min(LOOK_PERIOD);
        }
        if self.answering.load(Relaxed) > 0 {
            return LOOK_PERIOD;
        }
        let head_end = at(&self.head_ms).map(|head| head + HEAD_TIMEOUT);
        let end = [head_end, idle_max.map(|most| last + most)].into_iter().flatten().min();
        end.map_or(LOOK_PERIOD, |end| end.saturating_sub(now).min(LOOK_PERIOD))
    }

    /// Whether it is in the middle of a head and can be told that it is too slow.
    fn may_be_told(&self) -> bool {
        !self.is_http2
            && !self.is_given_up.load(Relaxed)
            && self.refused_ms.load(Relaxed) == NEVER
            && self.head_ms.load(Relaxed) < NEVER
            && self.answering.load(Relaxed) == 0
            && self.blocked_ms.load(Relaxed) == NEVER
    }

    /// Ends when it was silent for too long, and had its time to be told so.
    pub(super) async fn is_over(&self, shared: &Shared) {
        loop {
            let left = self.left(self.now_ms(), shared.stall_timeout, shared.idle_timeout());
            if !left.is_zero() {
                tokio::time::sleep(left).await;
            } else if self.may_be_told() {
                // Whoever reads says why.
                self.refused(self.now_ms());
                self.is_given_up.store(true, Relaxed);
                self.wake_reader();
            } else {
                return;
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.activity.ended(self.is_sending, self.activity.now_ms());
    }
}

/// The length of a frame's head, in bytes (RFC 9113, 4.1).
const FRAME_HEAD_LEN: usize = 9;

/// Finds the frames of answers among the bytes that go over HTTP/2, however they are cut: `DATA`, `HEADERS` and
/// `CONTINUATION`. The others (settings, pings, window updates, resets) say nothing of whether a client takes its answers.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a head that has not gone whole.
    head: [u8; FRAME_HEAD_LEN],
    head_len: usize,
    /// The bytes of the present frame's payload that are still to go.
    payload_left: usize,
}

impl Frames {
    /// Looks at the next bytes that went; whether any of them was an answer's.
    pub(super) fn sent(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_answer = false;
        while !bytes.is_empty() {
            if self.payload_left == 0 {
                let len = bytes.len().min(FRAME_HEAD_LEN - self.head_len);
                self.head[self.head_len..self.head_len + len].copy_from_slice(&bytes[..len]);
                (self.head_len, bytes) = (self.head_len + len, &bytes[len..]);
                if self.head_len < FRAME_HEAD_LEN {
                    break;
                }
                let [high, middle, low, ..] = self.head;
                let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                (self.payload_left, self.head_len) = (len, 0);
            } else {
                let len = bytes.len().min(self.payload_left);
                (self.payload_left, bytes) = (self.payload_left - len, &bytes[len..]);
            }
            // An empty frame that ends an answer counts with its head.
            is_answer |= matches!(self.head[3], 0 | 1 | 9);
        }
        is_answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    #[test]
    fn silence_is_judged_by_what_a_connection_is_doing() {
        let (never, minute) = (None, Some(Duration::from_secs(60)));
        let two_secs = Duration::from_secs(2);
        let one = Activity::new(b"GET /");
        assert_eq!(one.left(100_000_000, STALL, never), LOOK_PERIOD, "nothing was asked of it");
        assert_eq!(one.left(60_000, STALL, minute), Duration::ZERO);
        one.received(100_000);
        one.received(128_000);
        assert_eq!(one.left(128_000, STALL, never), two_secs, "a head that comes byte by byte");
        assert_eq!(one.left(130_000, STALL, never), Duration::ZERO);
        one.begun(130_000);
        assert_eq!(one.left(500_000, STALL, minute), LOOK_PERIOD, "it is worked on");
        one.ended(false, 500_000);
        assert_eq!(one.left(558_000, STALL, minute), two_secs);
        one.sent(true, 558_000);
        assert_eq!(one.left(560_000, STALL, minute), LOOK_PERIOD, "its answer still goes");
        let two = Activity::new(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        two.received(59_000);
        two.sent(false, 59_000);
        assert_eq!(two.left(60_000, STALL, minute), Duration::ZERO, "a ping is no request");
        two.sent(true, 60_000);
        assert_eq!(two.left(118_000, STALL, minute), two_secs, "its answer still goes");
        assert_eq!(two.left(60_000, STALL, never), LOOK_PERIOD);
    }

    #[test]
    fn who_takes_nothing_of_an_answer_is_silent_and_who_takes_a_little_is_not() {
        let (never, half) = (None, Some(Duration::from_secs(30)));
        let two_secs = Duration::from_secs(2);
        let one = Activity::new(b"GET /");
        one.begun(0);
        one.offered(100_000);
        assert_eq!(one.left(158_000, STALL, never), two_secs, "it was ready only then");
        assert_eq!(one.left(128_000, STALL, half), two_secs);
        assert_eq!(one.left(130_000, STALL, half), Duration::ZERO);
        for secs in (120..4_000).step_by(20) {
            assert_ne!(one.left(secs * 1000, STALL, half), Duration::ZERO, "a slow reader");
            one.sent(true, secs * 1000);
        }
        // What was handed to the protocol may not have reached the socket.
        one.blocked(4_000_000);
        one.ended(true, 4_000_000);
        one.blocked(4_050_000);
        assert_eq!(one.left(4_058_000, STALL, never), two_secs);
        one.sent(true, 4_058_000);
        assert_eq!(one.left(9_000_000, STALL, never), LOOK_PERIOD, "all of it was taken");
    }

    #[test]
    fn frames_of_answers_are_found_however_they_are_cut() {
        let frame = |kind: u8, payload: &[u8]| {
            let len = u8::try_from(payload.len()).expect("a short one");
            [&[0, 0, len, kind, 0, 0, 0, 0, 1], payload].concat()
        };
        // Payloads that look like heads of the other kind.
        let ping = frame(6, &[0; 8]);
        let data = frame(0, &[6; 40]);
        let (settings, end) = (frame(4, &[]), frame(0, &[]));
        for cut in 1..=20 {
            let mut frames = Frames::default();
            let mut is_answer =
                |bytes: &[u8]| bytes.chunks(cut).fold(false, |is, part| frames.sent(part) | is);
            for _ in 0..3 {
                assert!(!is_answer(&settings) && !is_answer(&ping), "{cut}");
                assert!(is_answer(&data) && !is_answer(&ping) && is_answer(&end), "{cut}");
                assert!(is_answer(&[ping.clone(), data.clone()].concat()), "{cut}");
            }
        }
    }
}

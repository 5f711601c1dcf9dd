//! One thread of load: an event loop over its connections.
//!
//! Phases, set by the conductor in [`load`](super::load): preload (each key once), warm-up and
//! measured part (drawn keys), stop. A connection that breaks is counted, and reopened at most every
//! [`REOPEN_PERIOD`]. In the open loop the thread spins when the next request is due within
//! [`SPIN_MAX`], because a timer of epoll is exact to a millisecond only.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::bench::clock::now;
use crate::bench::connection::Connection;
use crate::bench::keys::Random;
use crate::bench::protocol::Operation;
use crate::bench::settings::Plan;
use crate::bench::tally::Tally;

/// How soon a broken connection is opened again.
const REOPEN_PERIOD: Duration = Duration::from_millis(100);
/// The longest wait that is spent spinning.
const SPIN_MAX: Duration = Duration::from_millis(2);
/// The longest wait for an event: how late a change of phase is seen.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Bytes read at once.
const READ_LEN: usize = 256 * 1024;
/// Requests in flight on a connection during the preload, at most.
const PRELOAD_PIPELINE: usize = 64;
/// Bytes of a preload's batch, at most; one value may be longer.
const PRELOAD_BATCH_LEN: usize = 1024 * 1024;

/// The measured part. (0, at first, is the load before it.)
pub(crate) const MEASURE: u8 = 1;
/// The end.
pub(crate) const STOP: u8 = 2;

/// What the conductor and the threads tell each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// 0 at first, then `MEASURE` or `STOP`.
    pub(crate) phase: AtomicU8,
    /// Threads whose connections are open and keys written.
    pub(crate) ready: AtomicU64,
    /// Answers since the start, a counter for each thread.
    pub(crate) answered: Vec<AtomicU64>,
}

/// A thread's state.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    idx: usize,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    random: Random,
    tally: Tally,
    start: Instant,
    reopen_at: Instant,
    /// Next key to preload, and the one after the last.
    preload: (u64, u64),
    /// Until every key is written, nothing is drawn.
    is_preloading: bool,
    pipeline: usize,
    /// In the open loop: when the next request is due, and the time between two.
    due: Option<(f64, f64)>,
    /// In the open loop: the connection whose turn is next.
    turn: usize,
}

impl<'a> Worker<'a> {
    /// Opens the thread's share of the connections.
    pub(crate) fn new(plan: &'a Plan, shared: &'a Shared, idx: usize) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let share =
            plan.connections / plan.threads + usize::from(idx < plan.connections % plan.threads);
        let mut connections = Vec::with_capacity(share);
        for token in 0..share {
            let opened =
                Connection::open(plan.address, &plan.codec, poll.registry(), Token(token))?;
            connections.push(Some(opened));
        }
        let (at, of) = (u64::try_from(idx)?, u64::try_from(plan.threads)?);
        let first =
            |at: u64| u64::try_from(u128::from(plan.keys) * u128::from(at) / u128::from(of));
        let preload = if plan.has_preload { (first(at)?, first(at + 1)?) } else { (0, 0) };
        let batch = (PRELOAD_BATCH_LEN / (plan.value_len_max + 64)).clamp(1, PRELOAD_PIPELINE);
        let start = now();
        Ok(Self {
            plan,
            shared,
            idx,
            poll,
            connections,
            buffer: vec![0; READ_LEN],
            random: Random::new(plan.seed.wrapping_add(at.wrapping_mul(0xD134_2543_DE82_EF95))),
            tally: Tally::new()?,
            start,
            reopen_at: start,
            preload,
            is_preloading: true,
            pipeline: batch,
            due: None,
            turn: 0,
        })
    }

    /// Runs all phases and returns the counts.
    pub(crate) fn run(mut self) -> anyhow::Result<Tally> {
        let mut events = Events::with_capacity(1024);
        while self.preload.0 < self.preload.1 || self.waiting_count() > 0 {
            self.turn(&mut events)?;
        }
        self.shared.ready.fetch_add(1, Ordering::AcqRel);
        self.is_preloading = false;
        self.pipeline = self.plan.pipeline;
        if let Some(rate) = self.plan.rate {
            let interval = self.plan.threads as f64 / rate * 1e9;
            let offset = interval * self.idx as f64 / self.plan.threads as f64;
            self.due = Some((self.start_ns() as f64 + offset, interval));
        }
        let quota = self.plan.requests.map(|all| all.div_ceil(self.plan.threads as u64));
        let mut is_measuring = false;
        loop {
            match self.shared.phase.load(Ordering::Acquire) {
                STOP => break,
                MEASURE if !is_measuring => {
                    is_measuring = true;
                    self.tally.start_measuring();
                }
                _ => {}
            }
            if quota.is_some_and(|quota| self.tally.measured() >= quota) {
                break;
            }
            self.turn(&mut events)?;
        }
        Ok(self.tally)
    }

    fn waiting_count(&self) -> usize {
        self.connections.iter().flatten().map(|connection| connection.waiting.len()).sum()
    }

    fn start_ns(&self) -> u64 {
        nanos_since(self.start)
    }

    /// One turn: fill batches, wait for events, send and receive.
    fn turn(&mut self, events: &mut Events) -> anyhow::Result<()> {
        match self.due {
            Some(_) => self.offer(),
            None => self.refill_all(),
        }
        let timeout = self.timeout();
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter() {
            let token = event.token().0;
            let start = self.start;
            let Some(Some(connection)) = self.connections.get_mut(token) else { continue };
            let mut outcome = Ok(());
            if event.is_readable() || event.is_error() || event.is_read_closed() {
                let clock = || nanos_since(start);
                let (codec, buffer) = (&self.plan.codec, &mut self.buffer);
                let is_ending = event.is_error() || event.is_read_closed();
                outcome = connection.receive(codec, buffer, &mut self.tally, clock, is_ending);
            }
            if outcome.is_ok() && event.is_writable() && !connection.is_idle_out() {
                outcome = connection.send();
            }
            match outcome {
                Err(kind) => self.lose(token, kind),
                Ok(()) if self.due.is_none() => self.refill(token),
                Ok(()) => {}
            }
        }
        self.shared.answered[self.idx].store(self.tally.answered, Ordering::Relaxed);
        if now() >= self.reopen_at {
            self.reopen();
        }
        Ok(())
    }

    fn timeout(&self) -> Duration {
        let Some((due_ns, _)) = self.due else { return WAIT_MAX };
        let left = Duration::from_nanos(whole(due_ns).saturating_sub(self.start_ns()));
        if left < SPIN_MAX { Duration::ZERO } else { (left - SPIN_MAX).min(WAIT_MAX) }
    }

    /// Closed loop: a batch for each connection that has none under way and raised no event.
    fn refill_all(&mut self) {
        for token in 0..self.connections.len() {
            if self.connections[token].as_ref().is_some_and(|one| one.waiting.is_empty()) {
                self.refill(token);
            }
        }
    }

    /// Closed loop: sends the next batch once the last one is answered.
    fn refill(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else { return };
        if !connection.waiting.is_empty() || !connection.is_idle_out() {
            return;
        }
        let since_ns = nanos_since(self.start);
        for _ in 0..self.pipeline {
            let (number, operation) = if self.preload.0 < self.preload.1 {
                self.preload.0 += 1;
                (self.preload.0 - 1, Operation::Set)
            } else if self.is_preloading {
                break;
            } else {
                draw(self.plan, &mut self.random)
            };
            let Some(Some(connection)) = self.connections.get_mut(token) else { return };
            connection.push(&self.plan.codec, number, operation, since_ns);
        }
        self.flush(token);
    }

    /// Open loop: gives every request that is due to a connection with room, in turns.
    fn offer(&mut self) {
        let now_ns = self.start_ns();
        let count = self.connections.len();
        while let Some((due_ns, interval)) = self.due
            && whole(due_ns) <= now_ns
        {
            let room = (0..count).map(|step| (self.turn + step) % count).find(|token| {
                let one = self.connections[*token].as_ref();
                one.is_some_and(|one| one.waiting.len() < self.pipeline)
            });
            let Some(token) = room else { break };
            let (number, operation) = draw(self.plan, &mut self.random);
            if let Some(connection) = &mut self.connections[token] {
                connection.push(&self.plan.codec, number, operation, whole(due_ns));
            }
            self.turn = (token + 1) % count;
            self.due = Some((due_ns + interval, interval));
        }
        for token in 0..count {
            self.flush(token);
        }
    }

    fn flush(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else { return };
        if !connection.is_idle_out()
            && let Err(kind) = connection.send()
        {
            self.lose(token, kind);
        }
    }

    /// Counts a broken connection and what was not answered on it.
    fn lose(&mut self, token: usize, kind: &str) {
        let Some(mut connection) = self.connections[token].take() else { return };
        let unanswered = connection.close(self.poll.registry());
        self.tally.error(&format!("connection {kind}"), 1);
        self.tally.error("unanswered", unanswered);
    }

    /// Opens again what broke.
    fn reopen(&mut self) {
        self.reopen_at = now() + REOPEN_PERIOD;
        for (token, slot) in self.connections.iter_mut().enumerate().filter(|(_, c)| c.is_none()) {
            let (plan, registry) = (self.plan, self.poll.registry());
            match Connection::open(plan.address, &plan.codec, registry, Token(token)) {
                Ok(connection) => *slot = Some(connection),
                Err(_) => {
                    self.tally.error("connection refused", 1);
                    return;
                }
            }
        }
    }
}

/// The next request of the drawn load.
fn draw(plan: &Plan, random: &mut Random) -> (u64, Operation) {
    let number = plan.sampler.draw(random);
    let is_read = plan.read_share >= 1.0 || random.unit() < plan.read_share;
    (number, if is_read { Operation::Get } else { Operation::Set })
}

fn nanos_since(start: Instant) -> u64 {
    u64::try_from(now().duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole(ns: f64) -> u64 {
    ns as u64
}

//! A worker: one thread, its own listeners, its own event loop, no async.
//!
//! A turn of the loop is three passes over everything that is ready: *read all* (every complete command of every
//! ready connection is decoded), *look all up* (`ringhold_node::turn`), *answer all* (one write per connection).
//! One read and one write buffer serve all connections; a connection has memory of its own only while a command
//! is incomplete or an answer cannot be sent, and one of HTTP up to 512 B of the last request's head, to compare with.
//!
//! Readiness is edge-triggered (`mio`): a connection that may still have bytes for us stays in `ready` and is
//! looked at again in the next turn, after everybody else.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use ringhold_node::cells::Cells;
use ringhold_node::clients::Pause;
use ringhold_node::session::Fate;
use ringhold_node::turn::Turn;
use ringhold_types::time::{Instant, Now};

use super::accept::AnyListener;
use super::connection::{Flushed, is_later};
use super::connections::Connections;
use super::listen::Listener;
use super::mailbox::{Mail, Mailbox};
use crate::clock::Clock;
use crate::control::Control;
use crate::process;
use crate::shared::Shared;

/// The token of the mailbox; connections and listeners follow.
pub(crate) const MAILBOX: Token = Token(0);
/// The most events taken from the kernel at once.
const EVENTS_PER_TURN: usize = 1024;
/// How often shards are ticked and idle connections looked for.
const TICK: Duration = Duration::from_millis(100);
/// The most entries that ticks handle before clients are served again: a quarter of a millisecond.
const TICK_ITEMS: u64 = 512;
/// The most shards that are ticked before clients are served again.
const SHARDS_PER_TURN: usize = 8;
/// How often the process's memory and processor time are measured, in ticks.
const TICKS_PER_MEASURE: u64 = 10;
/// How long a client counts that had long buffers, in ticks: five seconds, and at most as many more.
const TICKS_PER_PERIOD: u64 = 50;

/// What a listener's clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP.
    Http,
    /// RESP, the standalone view.
    Resp,
}

/// One worker with all that it owns.
pub(crate) struct Worker {
    pub(super) idx: usize,
    pub(super) poll: Poll,
    pub(super) shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    pub(super) control: Control,
    /// None any more once the node stops.
    pub(super) listeners: Vec<(AnyListener, Speaks)>,
    /// The token of connection 0; those of the listeners are before it.
    token_first: usize,
    pub(super) connections: Connections,
    ready: VecDeque<usize>,
    turn: Turn,
    clock: Clock,
    next_tick: Instant,
    /// When clients are looked after again.
    next_care: Instant,
    /// The shard whose tick is next; those before it had theirs.
    tick_shard: usize,
    /// Whether one of those has more to do.
    is_tick_again: bool,
    pub(super) idle_cursor: usize,
    is_draining: bool,
    /// Listeners that may have more connections waiting than were accepted at once.
    pub(super) accepts_left: Vec<usize>,
    /// Listeners that could not accept, to be looked at with the next tick.
    pub(super) accepts_due: Vec<usize>,
    /// Connections whose requests wait for the end of a `CLIENT PAUSE`, or of a command that waits.
    paused: BTreeSet<usize>,
    /// When the first of those commands is to be ended; `None`: none has a time.
    wait_end: Option<Instant>,
    /// Connections that linger and until when, the first to end first; some may be gone.
    pub(super) lingering: VecDeque<(Instant, usize)>,
    /// The last number of kills that this worker has looked for.
    pub(super) kills_seen: u64,
    ticks: u64,
}

impl Worker {
    /// A worker with its listeners registered.
    pub(crate) fn new(
        idx: usize,
        poll: Poll,
        listeners: Vec<(Listener, Speaks)>,
        (mailbox, control): (Arc<Mailbox>, Control),
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let mut clock = Clock::start();
        let now = clock.now();
        let mut registered = Vec::new();
        for (number, (listener, speaks)) in listeners.into_iter().enumerate() {
            let token = Token(number + 1);
            let listener = match listener {
                Listener::Tcp(socket) => {
                    let mut socket = mio::net::TcpListener::from_std(socket);
                    poll.registry().register(&mut socket, token, Interest::READABLE)?;
                    AnyListener::Tcp(socket)
                }
                Listener::Unix(socket) => {
                    let mut socket = mio::net::UnixListener::from_std(socket);
                    poll.registry().register(&mut socket, token, Interest::READABLE)?;
                    AnyListener::Unix(socket)
                }
            };
            registered.push((listener, speaks));
        }
        Ok(Self {
            idx,
            poll,
            turn: Turn::new(&shared.node, idx),
            accepts_left: Vec::new(),
            accepts_due: Vec::new(),
            paused: BTreeSet::new(),
            wait_end: None,
            lingering: VecDeque::new(),
            kills_seen: 0,
            ticks: 0,
            shared,
            mailbox,
            control,
            token_first: registered.len() + 1,
            listeners: registered,
            connections: Connections::default(),
            ready: VecDeque::new(),
            clock,
            next_tick: now.instant.after(TICK),
            next_care: now.instant.after(TICK),
            tick_shard: idx,
            is_tick_again: false,
            idle_cursor: 0,
            is_draining: false,
        })
    }

    /// Serves until the node stops and its clients are gone.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            let is_idle = self.ready.is_empty() && self.accepts_left.is_empty();
            let wait = if is_idle { self.time_to_tick() } else { Duration::ZERO };
            if let Err(error) = self.poll.poll(&mut events, Some(wait)) {
                assert!(is_later(&error), "the event queue works: {error}");
            }
            let now = self.clock.now();
            self.take_events(&events, now);
            self.serve_ready(now);
            if self.wait_end.is_some_and(|end| end <= now.instant) {
                self.end_waits(now);
            }
            for listener in std::mem::take(&mut self.accepts_left) {
                self.accept(listener, now);
            }
            if now.instant >= self.next_tick {
                self.tick(now);
            }
            if self.is_draining && self.connections.count() == 0 {
                return;
            }
        }
    }

    fn time_to_tick(&mut self) -> Duration {
        let next = self.wait_end.map_or(self.next_tick, |end| end.min(self.next_tick));
        next.since(self.clock.now().instant)
    }

    fn take_events(&mut self, events: &Events, now: Now) {
        for event in events {
            let Token(token) = event.token();
            if event.token() == MAILBOX {
                self.read_mail(now);
            } else if token < self.token_first {
                self.accept(token - 1, now);
            } else {
                let idx = token - self.token_first;
                if let Some(connection) = self.connections.get(idx) {
                    connection.may_end |= event.is_read_closed();
                    connection.is_readable |= event.is_readable() || event.is_read_closed();
                    self.enqueue(idx);
                }
            }
        }
    }

    /// Has a connection looked at in the next turn; once, however many reasons there are: what it left undecoded in
    /// a turn is known only at the end of that turn.
    pub(super) fn enqueue(&mut self, idx: usize) {
        if let Some(connection) = self.connections.get(idx)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.ready.push_back(idx);
        }
    }

    pub(super) fn token_of(&self, idx: usize) -> Token {
        Token(idx + self.token_first)
    }

    fn read_mail(&mut self, now: Now) {
        for mail in self.mailbox.take() {
            match mail {
                Mail::Drain => self.drain(now),
            }
        }
    }

    /// Reads, executes and answers for everybody who is ready now, as many at a time as the read buffer holds.
    fn serve_ready(&mut self, mut now: Now) {
        let mut left = self.ready.len();
        while left > 0 {
            while left > 0 && self.turn.has_room() {
                left -= 1;
                let Some(idx) = self.ready.pop_front() else { break };
                self.read(idx, now);
            }
            // Read anew: no command may see a time before it was received.
            now = self.clock.now();
            self.turn.execute(&mut self.connections, &self.shared.shards, &self.shared.node, now);
            self.answer(now);
            // At once, so that a worker with nothing to do holds no value of the last turn.
            self.turn.begin();
        }
    }

    /// Pass one for one connection: takes what the kernel has for it.
    fn read(&mut self, idx: usize, now: Now) {
        let Some(connection) = self.connections.get(idx) else { return };
        // The number may stand in the queue a second time, from a connection before that is gone: two reads of one
        // connection in a turn would tear its request.
        if !std::mem::replace(&mut connection.is_queued, false) {
            return;
        }
        if connection.is_blocked() {
            let flushed = connection.flush(now.instant);
            if flushed == Flushed::Broken
                || !connection.charge(&self.shared.unsent, &self.shared.node.clients)
            {
                return self.close(idx);
            }
            if flushed == Flushed::Blocked {
                return;
            }
        }
        if connection.session.fate() != Fate::Open {
            return self.settle(idx, now);
        }
        let is_paused = connection.session.is_paused();
        if is_paused && connection.session.is_waiting(&self.shared.node, now) {
            if connection.may_end {
                // Nobody is left who waits.
                return self.close(idx);
            }
            return self.keep_waiting(idx);
        }
        if is_paused && !connection.session.has_wait() && self.is_pause(now) {
            self.paused.insert(idx);
            return;
        }
        let Some(connection) = self.connections.get(idx) else { return };
        // While requests wait nothing is read: who sends faster than it is served would have us hold it all.
        let may_read = connection.is_readable && !is_paused && !connection.session.has_work();
        let buffer = self.turn.space(&mut connection.session);
        let room = buffer.len();
        let len = match if may_read { connection.stream.read(buffer) } else { Ok(0) } {
            Ok(0) => {
                connection.is_read_closed |= may_read;
                connection.is_readable &= !may_read;
                0
            }
            Ok(len) => {
                connection.is_readable = len == room || connection.may_end;
                connection.active = now.instant;
                len
            }
            Err(error) if is_later(&error) => {
                connection.is_readable = error.kind() == io::ErrorKind::Interrupted;
                0
            }
            Err(_) => return self.close(idx),
        };
        self.turn.received(&self.shared.node, idx, &mut connection.session, len);
    }

    /// Pass three: one write per connection, and what follows from it.
    fn answer(&mut self, now: Now) {
        for number in 0..self.turn.answers() {
            let answer = self.turn.answer(number);
            let idx = answer.connection;
            let Some(connection) = self.connections.get(idx) else { continue };
            if answer.from < answer.to || !answer.inserts.is_empty() {
                let bytes = answer.from..answer.to;
                let flushed =
                    connection.send(self.turn.output(), bytes, answer.inserts, now.instant);
                if flushed == Flushed::Broken
                    || !connection.charge(&self.shared.unsent, &self.shared.node.clients)
                {
                    self.close(idx);
                    continue;
                }
            }
            self.settle(idx, now);
        }
    }

    /// Decides what becomes of a connection after its answers were handed to the kernel.
    fn settle(&mut self, idx: usize, now: Now) {
        let token = self.token_of(idx);
        let is_draining = self.is_draining;
        let Some(connection) = self.connections.get(idx) else { return };
        if connection.update_interest(self.poll.registry(), token).is_err() {
            return self.close(idx);
        }
        if connection.is_blocked() {
            return;
        }
        match connection.session.fate() {
            Fate::Open if connection.session.is_paused() => self.keep_waiting(idx),
            Fate::Close => self.linger(idx, now),
            Fate::HandOver => self.hand_over(idx),
            Fate::Open if connection.session.has_work() || connection.is_readable => {
                self.enqueue(idx);
            }
            Fate::Open if connection.is_read_closed => self.close(idx),
            Fate::Open if is_draining && connection.session.is_between_requests() => {
                self.close(idx);
            }
            Fate::Open => {}
        }
    }

    /// Keeps a connection whose requests wait.
    fn keep_waiting(&mut self, idx: usize) {
        let Some(connection) = self.connections.get(idx) else { return };
        let end = connection.session.wait_end();
        self.wait_end = [self.wait_end, end].into_iter().flatten().min();
        self.paused.insert(idx);
    }

    /// Goes on with those whose command has waited long enough, or was told to end.
    fn end_waits(&mut self, now: Now) {
        self.wait_end = None;
        for idx in std::mem::take(&mut self.paused) {
            let Some(connection) = self.connections.get(idx) else { continue };
            let session = &connection.session;
            if session.has_wait() && !session.is_waiting(&self.shared.node, now) {
                self.enqueue(idx);
            } else if session.is_paused() {
                self.keep_waiting(idx);
            }
        }
    }

    fn drain(&mut self, now: Now) {
        self.close_listeners(now);
        self.is_draining = true;
        // Who waits for the end of a pause is answered before the end of the node.
        self.shared.node.clients.unpause();
        // Each is looked at once more: what the kernel holds for it is still answered, then it is closed.
        for idx in 0..self.connections.end() {
            if let Some(connection) = self.connections.get(idx) {
                connection.is_readable = true;
            }
            self.enqueue(idx);
        }
    }

    /// Every 100 ms, and at once again while there is work: expiry in this worker's shards. Every 100 ms, however much
    /// work there is: its clients.
    fn tick(&mut self, now: Now) {
        if now.instant >= self.next_care {
            self.next_care = now.instant.after(TICK);
            self.look_after_clients(now);
        }
        let is_over = self.tick_shards(now);
        // Between two parts of a pass, and between two passes while there is work, clients are served.
        let is_more = !is_over || std::mem::take(&mut self.is_tick_again);
        self.next_tick = if is_more { now.instant } else { now.instant.after(TICK) };
    }

    /// Goes on with the ticks of this worker's shards, for as long as clients may wait; whether all had theirs.
    fn tick_shards(&mut self, now: Now) -> bool {
        let mut left = TICK_ITEMS;
        for _ in 0..SHARDS_PER_TURN {
            if self.tick_shard >= self.shared.shards.count() {
                break;
            }
            let mut cell = self.shared.shards.write(self.tick_shard);
            let done = cell.tick(now, left);
            let namespaces = &self.shared.node.namespaces;
            if namespaces.has_gone() {
                // A request that was under way when its namespace went may have written to it since.
                cell.drop_unknown(|id| namespaces.has(id));
            }
            drop(cell);
            self.is_tick_again |= done.more;
            self.tick_shard += self.shared.workers;
            left = left.saturating_sub(done.handled);
            if left == 0 {
                break;
            }
        }
        let is_over = self.tick_shard >= self.shared.shards.count();
        if is_over {
            self.tick_shard = self.idx;
        }
        is_over
    }

    fn is_pause(&self, now: Now) -> bool {
        self.shared.node.clients.pause_at(now) != Pause::Off
    }

    /// Goes on with those whose pause is over, closes those that were killed or stand still, lets in who had to wait; the
    /// first worker measures.
    fn look_after_clients(&mut self, now: Now) {
        // Whether the wait of one was ended by another client is to be seen at its record only.
        self.end_waits(now);
        if !self.paused.is_empty() && !self.is_pause(now) {
            for idx in std::mem::take(&mut self.paused) {
                self.enqueue(idx);
            }
        }
        self.close_killed();
        self.close_idle(now);
        for listener in std::mem::take(&mut self.accepts_due) {
            self.accept(listener, now);
        }
        if self.idx == 0 {
            self.shared.node.stats.sample(now.instant);
            if self.ticks.is_multiple_of(TICKS_PER_MEASURE) {
                process::measure(&self.shared.node.process);
            }
            if self.ticks.is_multiple_of(TICKS_PER_PERIOD) {
                self.shared.node.clients.begin_period();
            }
            self.ticks += 1;
        }
    }
}

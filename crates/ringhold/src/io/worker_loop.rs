//! A worker: one thread, its own listeners, its own event loop, no async.
//!
//! A turn of the loop is three passes over everything that is ready: *read all* (every complete command of every
//! ready connection is decoded), *look all up* (`ringhold_node::turn`), *answer all* (one write per connection).
//! One read and one write buffer serve all connections; a connection has memory of its own only while a command
//! is incomplete or an answer cannot be sent.
//!
//! Readiness is edge-triggered (`mio`): a connection that may still have bytes for us stays in `ready` and is
//! looked at again in the next turn, after everybody else.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use ringhold_node::cells::Cells;
use ringhold_node::clients::{ClientRecord, Pause};
use ringhold_node::session::{Fate, Session};
use ringhold_node::turn::{Sessions, Turn};
use ringhold_types::time::{Instant, Now};

use super::connection::{Connection, Flushed, Stream, is_later};
use super::listen::Listener;
use super::mailbox::{Mail, Mailbox};
use crate::clock::Clock;
use crate::control::{Control, HandedOver};
use crate::process;
use crate::shared::Shared;

/// The token of the mailbox; connections and listeners follow.
pub(crate) const MAILBOX: Token = Token(0);
/// The most connections accepted from one listener in one turn, so that a flood of new ones cannot starve the old.
const ACCEPTS_PER_TURN: usize = 64;
/// The most events taken from the kernel at once.
const EVENTS_PER_TURN: usize = 1024;
/// How often shards are ticked and idle connections looked for.
const TICK: Duration = Duration::from_millis(100);
/// The most entries that one tick of one shard handles.
const TICK_ITEMS: u64 = 512;
/// How many shards' ticks may follow one another before clients are served again.
const TICKS_PER_TURN: usize = 8;
/// How often the process's memory and processor time are measured, in ticks.
const TICKS_PER_MEASURE: u64 = 10;
/// Connections looked at per tick for idle time-outs.
const IDLE_CHECKS: usize = 2_000;

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
    idx: usize,
    poll: Poll,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    control: Control,
    listeners: Vec<(AnyListener, Speaks)>,
    connections: Connections,
    ready: VecDeque<usize>,
    turn: Turn,
    clock: Clock,
    next_tick: Instant,
    /// The shard whose tick is next, among those of this worker.
    tick_shard: usize,
    idle_cursor: usize,
    is_draining: bool,
    /// Listeners that may have more connections waiting than were accepted at once.
    accepts_left: Vec<usize>,
    /// Connections whose requests wait for the end of a `CLIENT PAUSE`.
    paused: BTreeSet<usize>,
    /// The last number of kills that this worker has looked for.
    kills_seen: u64,
    ticks: u64,
}

enum AnyListener {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

/// The worker's connections by their number; a number is used again after its connection is gone.
#[derive(Default)]
struct Connections {
    slab: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
}

impl Sessions for Connections {
    #[inline]
    fn session(&mut self, idx: usize) -> Option<&mut Session> {
        self.slab.get_mut(idx)?.as_mut().map(|connection| &mut connection.session)
    }
}

impl Connections {
    fn get(&mut self, idx: usize) -> Option<&mut Connection> {
        self.slab.get_mut(idx)?.as_deref_mut()
    }

    fn insert(&mut self, connection: Connection) -> usize {
        match self.free.pop() {
            Some(idx) => {
                self.slab[idx] = Some(Box::new(connection));
                idx
            }
            None => {
                self.slab.push(Some(Box::new(connection)));
                self.slab.len() - 1
            }
        }
    }

    fn remove(&mut self, idx: usize) -> Option<Box<Connection>> {
        let gone = self.slab.get_mut(idx)?.take()?;
        self.free.push(idx);
        Some(gone)
    }

    fn count(&self) -> usize {
        self.slab.len() - self.free.len()
    }
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
            paused: BTreeSet::new(),
            kills_seen: 0,
            ticks: 0,
            shared,
            mailbox,
            control,
            listeners: registered,
            connections: Connections::default(),
            ready: VecDeque::new(),
            clock,
            next_tick: now.instant.after(TICK),
            tick_shard: idx,
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
        self.next_tick.since(self.clock.now().instant)
    }

    fn take_events(&mut self, events: &Events, now: Now) {
        for event in events {
            let Token(token) = event.token();
            if event.token() == MAILBOX {
                self.read_mail();
            } else if token <= self.listeners.len() {
                self.accept(token - 1, now);
            } else {
                let idx = token - 1 - self.listeners.len();
                if let Some(connection) = self.connections.get(idx) {
                    connection.is_readable |= event.is_readable() || event.is_read_closed();
                    self.enqueue(idx);
                }
            }
        }
    }

    /// Has a connection looked at in the next turn; once, however many reasons there are: what it left undecoded in
    /// a turn is known only at the end of that turn.
    fn enqueue(&mut self, idx: usize) {
        if let Some(connection) = self.connections.get(idx)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.ready.push_back(idx);
        }
    }

    fn token_of(&self, idx: usize) -> Token {
        Token(idx + 1 + self.listeners.len())
    }

    fn accept(&mut self, listener: usize, now: Now) {
        if self.is_draining {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let speaks = self.listeners[listener].1;
            let accepted = match &self.listeners[listener].0 {
                AnyListener::Tcp(socket) => socket.accept().map(|(stream, _)| Stream::Tcp(stream)),
                AnyListener::Unix(socket) => {
                    socket.accept().map(|(stream, _)| Stream::Unix(stream))
                }
            };
            match accepted {
                Ok(stream) => self.welcome(stream, speaks, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client went away, or descriptors are used up: the queue is looked at again with the next
                // tick, since its readiness is not told twice.
                Err(_) => return self.mailbox.remind_to_accept(listener),
            }
        }
        self.accepts_left.push(listener);
    }

    fn welcome(&mut self, stream: Stream, speaks: Speaks, now: Now) {
        if let Stream::Tcp(socket) = &stream {
            super::socket::tune(socket);
        }
        let Some(client_id) = self.shared.admit(self.idx) else {
            // Over the limit: dropping the stream closes it.
            return;
        };
        let session = match speaks {
            Speaks::Http => Session::http(),
            Speaks::Resp => {
                let (address, local) = stream.addresses();
                let record = ClientRecord::new(client_id, address, local, now.unix());
                let record = Arc::new(record);
                self.shared.node.clients.add(Arc::clone(&record));
                Session::resp(record, self.shared.node.passwords.are_required())
            }
        };
        let idx = self.connections.insert(Connection::new(stream, session, now.instant));
        let token = self.token_of(idx);
        let registered = self
            .connections
            .get(idx)
            .map(|connection| connection.stream.register(self.poll.registry(), token));
        if !matches!(registered, Some(Ok(()))) {
            self.close(idx);
            return;
        }
        self.enqueue(idx);
    }

    fn read_mail(&mut self) {
        for mail in self.mailbox.take() {
            match mail {
                Mail::Drain => self.drain(),
            }
        }
    }

    /// Reads, executes and answers for everybody who is ready now, as many at a time as the read buffer holds.
    fn serve_ready(&mut self, now: Now) {
        let mut left = self.ready.len();
        while left > 0 {
            self.turn.begin();
            while left > 0 && self.turn.has_room() {
                left -= 1;
                let Some(idx) = self.ready.pop_front() else { break };
                self.read(idx, now);
            }
            self.turn.execute(&mut self.connections, &self.shared.shards, &self.shared.node, now);
            self.answer();
        }
    }

    /// Pass one for one connection: takes what the kernel has for it.
    fn read(&mut self, idx: usize, now: Now) {
        let Some(connection) = self.connections.get(idx) else { return };
        connection.is_queued = false;
        if connection.is_blocked() {
            match connection.flush() {
                Flushed::All => connection.active = now.instant,
                Flushed::Blocked => return,
                Flushed::Broken => return self.close(idx),
            }
        }
        if connection.session.fate() != Fate::Open {
            return self.settle(idx);
        }
        if connection.session.is_paused() && self.is_pause(now) {
            self.paused.insert(idx);
            return;
        }
        let Some(connection) = self.connections.get(idx) else { return };
        let buffer = self.turn.space(&mut connection.session);
        let room = buffer.len();
        let len = match if connection.is_readable { connection.stream.read(buffer) } else { Ok(0) }
        {
            Ok(0) => {
                connection.is_read_closed |= connection.is_readable;
                connection.is_readable = false;
                0
            }
            Ok(len) => {
                connection.is_readable = len == room;
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
    fn answer(&mut self) {
        for number in 0..self.turn.answers() {
            let answer = self.turn.answer(number);
            let idx = answer.connection;
            let Some(connection) = self.connections.get(idx) else { continue };
            if answer.from < answer.to || !answer.inserts.is_empty() {
                let flushed =
                    connection.send(self.turn.output(), answer.from, answer.to, answer.inserts);
                if flushed == Flushed::Broken {
                    self.close(idx);
                    continue;
                }
            }
            self.settle(idx);
        }
    }

    /// Decides what becomes of a connection after its answers were handed to the kernel.
    fn settle(&mut self, idx: usize) {
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
            Fate::Open if connection.session.is_paused() => {
                self.paused.insert(idx);
            }
            Fate::Close => self.close(idx),
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

    /// Gives a connection to the control plane; every answer before has left.
    fn hand_over(&mut self, idx: usize) {
        let Some(mut connection) = self.connections.remove(idx) else { return };
        if connection.stream.deregister(self.poll.registry()).is_err() {
            self.shared.left();
            return;
        }
        let bytes = connection.session.take_leftover();
        connection.session.end(&self.shared.shards, &self.shared.node);
        self.control.take(HandedOver { stream: connection.stream, bytes }, &self.shared);
    }

    fn close(&mut self, idx: usize) {
        if let Some(mut connection) = self.connections.remove(idx) {
            connection.session.end(&self.shared.shards, &self.shared.node);
            if let Some(record) = connection.session.record() {
                self.shared.node.clients.remove(record.id);
            }
            // An error here means that the descriptor is no longer registered, which is what is wanted.
            drop(connection.stream.deregister(self.poll.registry()));
            self.shared.left();
        }
    }

    fn drain(&mut self) {
        self.is_draining = true;
        // Each is looked at once more: what the kernel holds for it is still answered, then it is closed.
        for idx in 0..self.connections.slab.len() {
            if let Some(connection) = self.connections.get(idx) {
                connection.is_readable = true;
            }
            self.enqueue(idx);
        }
        self.listeners.iter_mut().for_each(|(listener, _)| {
            let registry = self.poll.registry();
            let gone = match listener {
                AnyListener::Tcp(socket) => registry.deregister(socket),
                AnyListener::Unix(socket) => registry.deregister(socket),
            };
            drop(gone);
        });
    }

    /// Every 100 ms: expiry in this worker's shards, and idle connections.
    fn tick(&mut self, now: Now) {
        let workers = self.shared.workers;
        let shards = self.shared.shards.count();
        let mut is_more = false;
        for _ in 0..TICKS_PER_TURN.max(shards.div_ceil(workers)) {
            let mut cell = self.shared.shards.write(self.tick_shard % shards);
            is_more |= cell.tick(now, TICK_ITEMS).more;
            let namespaces = &self.shared.node.namespaces;
            if namespaces.has_gone() {
                // A request that was under way when its namespace went may have written to it since.
                cell.drop_unknown(|id| namespaces.has(id));
            }
            drop(cell);
            self.tick_shard += workers;
            if self.tick_shard >= shards {
                self.tick_shard = self.idx;
                break;
            }
        }
        self.look_after_clients(now);
        self.next_tick = if is_more { now.instant } else { now.instant.after(TICK) };
        if !is_more {
            self.close_idle(now);
            for listener in self.mailbox.accepts_due() {
                self.accept(listener, now);
            }
        }
    }

    fn is_pause(&self, now: Now) -> bool {
        self.shared.node.clients.pause_at(now) != Pause::Off
    }

    /// Goes on with those whose pause is over, closes those that were killed; the first worker measures.
    fn look_after_clients(&mut self, now: Now) {
        if !self.paused.is_empty() && !self.is_pause(now) {
            for idx in std::mem::take(&mut self.paused) {
                self.enqueue(idx);
            }
        }
        let kills = self.shared.node.clients.kills();
        if std::mem::replace(&mut self.kills_seen, kills) != kills {
            let is_killed = |connection: &Connection| {
                connection.session.record().is_some_and(|record| record.is_killed())
            };
            for idx in 0..self.connections.slab.len() {
                // What is still to be sent to one that was killed is not waited for.
                if self.connections.get(idx).is_some_and(|connection| is_killed(connection)) {
                    self.close(idx);
                }
            }
        }
        if self.idx == 0 {
            self.shared.node.stats.sample(now.instant);
            if self.ticks.is_multiple_of(TICKS_PER_MEASURE) {
                process::measure(&self.shared.node.process);
            }
            self.ticks += 1;
        }
    }

    fn close_idle(&mut self, now: Now) {
        let count = self.connections.slab.len();
        for _ in 0..IDLE_CHECKS.min(count) {
            self.idle_cursor = (self.idle_cursor + 1) % count;
            let idx = self.idle_cursor;
            let idle_max = self.shared.idle_timeout();
            let stall_max = self.shared.stall_timeout;
            let is_over = self.connections.get(idx).is_some_and(|connection| {
                let idle = now.instant.since(connection.active);
                let is_stalled =
                    connection.is_blocked() || !connection.session.is_between_requests();
                (is_stalled && idle > stall_max) || idle_max.is_some_and(|most| idle > most)
            });
            if is_over {
                self.close(idx);
            }
        }
    }
}

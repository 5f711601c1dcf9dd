//! A client of a register: one operation at a time, to the node that it takes for the leader.
//!
//! An operation whose request was sent and not answered is in doubt and never sent again; one that was turned away is tried again
//! elsewhere until its deadline.

use ringhold_types::prng::Prng;
use ringhold_types::time::{Duration, Instant, Now};

use crate::history::{CallId, Operation, Outcome, Reply, Value};
use crate::machine::{Address, ConnId, HostId, Input, Machine, Output, Outputs};
use crate::registers::message::{Command, Request, Response, Status, next_message};
use crate::registers::node::PORT_CLIENT;
use crate::time::nanos;
use crate::workload::Source;

/// How long a client waits for an answer.
const DEADLINE: Duration = Duration::from_millis(400);
/// One in so many operations goes to any node, as from a client that does not know the leader yet: a deposed one gets requests too.
const STRAY: u64 = 10;
/// How long after it was turned away, or its dial failed, it tries again.
const RETRY: Duration = Duration::from_millis(10);

/// The operation under way.
#[derive(Debug)]
struct Current {
    call: u32,
    operation: Operation,
    version: u64,
    deadline: Instant,
    retry_at: Option<Instant>,
    is_sent: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Client {
    prng: Prng,
    source: Source,
    nodes: u32,
    think: Duration,
    target: u32,
    conn: Option<ConnId>,
    is_open: bool,
    conn_next: u32,
    stream: Vec<u8>,
    calls: u32,
    current: Option<Current>,
    next_at: Instant,
}

impl Client {
    /// A client that asks what `source` says, `think` apart on average.
    #[must_use]
    pub fn new(seed: u64, source: Source, nodes: u32, think: Duration) -> Self {
        Self {
            prng: Prng::new(seed),
            source,
            nodes,
            think,
            target: 0,
            conn: None,
            is_open: false,
            conn_next: 0,
            stream: Vec::new(),
            calls: 0,
            current: None,
            next_at: Instant::default(),
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Outputs) {
        let Some(current) = &mut self.current else {
            if now >= self.next_at {
                self.begin(now, out);
            }
            return;
        };
        if now >= current.deadline {
            let outcome = if current.is_sent { Outcome::Unknown } else { Outcome::NotApplied };
            self.hang_up(out);
            self.finish(now, outcome, out);
        } else if current.retry_at.is_some_and(|at| now >= at) {
            current.retry_at = None;
            self.attempt(out);
        }
    }

    fn begin(&mut self, now: Instant, out: &mut Outputs) {
        let (operation, version) = self.source.next_operation();
        let call = self.calls;
        self.calls += 1;
        out.push(Output::Invoked { call: CallId(call), operation: operation.clone() });
        let deadline = now.after(DEADLINE);
        self.current =
            Some(Current { call, operation, version, deadline, retry_at: None, is_sent: false });
        if self.prng.chance(1, STRAY) {
            self.hang_up(out);
        }
        self.attempt(out);
    }

    /// Sends the request, or dials so that it can be sent.
    fn attempt(&mut self, out: &mut Outputs) {
        let Some(conn) = self.conn else {
            let conn = ConnId(self.conn_next);
            self.conn_next += 1;
            self.conn = Some(conn);
            self.is_open = false;
            self.stream.clear();
            out.connect(conn, Address { host: HostId(self.target), port: PORT_CLIENT });
            return;
        };
        let Some(current) = &mut self.current else { return };
        if self.is_open && !current.is_sent {
            current.is_sent = true;
            let command = command(&current.operation, current.version);
            let mut bytes = out.buffer();
            Request { call: current.call, command }.encode(&mut bytes);
            out.send(conn, bytes);
        }
    }

    fn hang_up(&mut self, out: &mut Outputs) {
        if let Some(conn) = self.conn.take() {
            out.push(Output::Close(conn));
        }
        self.is_open = false;
        self.target = self.any_node();
    }

    fn lost(&mut self, conn: ConnId, now: Instant, out: &mut Outputs) {
        if self.conn != Some(conn) {
            return;
        }
        self.conn = None;
        self.is_open = false;
        self.target = self.any_node();
        if self.current.as_ref().is_some_and(|current| current.is_sent) {
            self.finish(now, Outcome::Unknown, out);
        } else {
            self.retry_later(now, out);
        }
    }

    fn retry_later(&mut self, now: Instant, out: &mut Outputs) {
        if let Some(current) = &mut self.current {
            let at = now.after(RETRY);
            current.retry_at = Some(at);
            out.push(Output::WakeAt(at));
        }
    }

    fn answered(&mut self, response: Response, now: Instant, out: &mut Outputs) {
        let Some(current) = &mut self.current else { return };
        if current.call != response.call {
            return; // of a call that was given up
        }
        let is_applied = match response.status {
            Status::Done => true,
            Status::Refused => false,
            Status::InDoubt => {
                self.finish(now, Outcome::Unknown, out);
                return;
            }
            Status::NotLeader => {
                current.is_sent = false;
                let hint = u32::try_from(response.value).ok().filter(|hint| *hint < self.nodes);
                self.hang_up(out);
                self.target = hint.unwrap_or(self.target);
                self.retry_later(now, out);
                return;
            }
        };
        let reply = Reply {
            value: Value(response.value),
            is_applied,
            version: response.version,
            generation: response.generation,
        };
        self.source.answered(&current.operation, &reply);
        self.finish(now, Outcome::Done(reply), out);
    }

    fn finish(&mut self, now: Instant, outcome: Outcome, out: &mut Outputs) {
        let Some(current) = self.current.take() else { return };
        out.push(Output::Returned { call: CallId(current.call), outcome });
        let think = self.prng.below(1 + 2 * nanos(self.think));
        self.next_at = now.after(Duration::from_nanos(think));
        out.push(Output::WakeAt(self.next_at));
    }

    fn any_node(&mut self) -> u32 {
        u32::try_from(self.prng.below(u64::from(self.nodes))).unwrap_or(0)
    }
}

impl Machine for Client {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        let now = now.instant;
        match input {
            Input::Start => self.target = self.any_node(),
            Input::Tick => self.tick(now, out),
            Input::Opened(conn) if self.conn == Some(conn) => {
                self.is_open = true;
                self.attempt(out);
            }
            Input::Refused(conn) | Input::Closed(conn) => self.lost(conn, now, out),
            Input::Received { conn, bytes } if self.conn == Some(conn) => {
                self.stream.extend_from_slice(bytes);
                while let Some(message) = next_message(&mut self.stream) {
                    self.answered(Response::decode(&message), now, out);
                }
            }
            Input::Opened(_)
            | Input::Accepted { .. }
            | Input::Received { .. }
            | Input::Synced(_)
            | Input::DiskFailed(_)
            | Input::Contents { .. } => {}
        }
    }
}

fn command(operation: &Operation, version: u64) -> Command {
    match operation {
        Operation::Get(key) => Command::Get(key.0),
        Operation::Set(key, value) => Command::Set(vec![(key.0, value.0)]),
        Operation::SetFor(key, value, ttl) => {
            let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            Command::SetFor(key.0, value.0, ttl_ms)
        }
        Operation::Delete(key) => Command::Delete(key.0),
        Operation::Cas { key, value, .. } => Command::Cas(key.0, version, value.0),
        Operation::Incr(key) => Command::Incr(key.0),
        Operation::SetMany(pairs) => {
            Command::Set(pairs.iter().map(|&(key, value)| (key.0, value.0)).collect())
        }
    }
}

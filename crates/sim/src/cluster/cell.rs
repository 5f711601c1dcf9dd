//! One shard of a simulated node: entries, their order, and the requests that wait.

use std::collections::{BTreeMap, VecDeque};

use ringhold_cluster::replication::{
    Admission, Event, Executed, Outbox, Release, Replicas, SlotStore, Ticket,
};
use ringhold_types::slot::Slot;
use ringhold_types::time::{Duration, Instant, Now};

use crate::cluster::slot_of;
use crate::cluster::store::{Entry, Store, effect};
use crate::machine::ConnId;
use crate::registers::message::{Command, Request, Response, Status};

/// A request that cannot be executed yet waits so long.
const HOLD: Duration = Duration::from_secs(1);
/// Requests that wait; more are turned away.
const HELD_MAX: usize = 1024;

/// An answer to a client.
pub type Reply = (ConnId, Response);

/// One shard.
#[derive(Debug)]
pub struct Cell {
    /// The order of its slots.
    pub replicas: Replicas,
    /// Its entries.
    pub store: Store,
    held: VecDeque<(Instant, ConnId, Request)>,
    waiting: BTreeMap<Ticket, (ConnId, Response)>,
    tickets: u64,
    /// A check that failed.
    pub void: Option<(Slot, &'static str)>,
}

impl Cell {
    /// A shard with nothing in it.
    #[must_use]
    pub fn new(replicas: Replicas) -> Self {
        Self {
            replicas,
            store: Store::default(),
            held: VecDeque::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            void: None,
        }
    }

    /// Executes a request, or keeps it until it can be.
    pub fn request(
        &mut self,
        now: Now,
        (conn, request): (ConnId, Request),
        out: &mut Outbox,
        replies: &mut Vec<Reply>,
    ) {
        if let Some(request) = self.execute(now, (conn, request), out, replies) {
            if self.held.len() < HELD_MAX {
                self.held.push_back((now.instant, conn, request));
            } else {
                replies.push((conn, elsewhere(request.call)));
            }
        }
    }

    /// Tries again what was kept, and acts on what has happened.
    pub fn settle(&mut self, now: Now, out: &mut Outbox, replies: &mut Vec<Reply>) {
        let mut is_ready = false;
        for event in std::mem::take(&mut out.events) {
            match event {
                Event::Release { ticket, release } => {
                    let (conn, response) = self.waiting.remove(&ticket).expect("it waits, once");
                    let status = match release {
                        Release::Done => response.status,
                        Release::InDoubt => Status::InDoubt,
                        Release::NotExecuted => Status::NotLeader,
                    };
                    let value = match release {
                        Release::Done => response.value,
                        Release::InDoubt | Release::NotExecuted => u64::MAX,
                    };
                    replies.push((conn, Response { status, value, ..response }));
                }
                Event::Ready { .. } | Event::Deposed { .. } => is_ready = true,
                Event::Void { slot, check } => self.void = Some((slot, check)),
            }
        }
        if is_ready {
            self.retry(now, out, replies);
        }
    }

    /// Tries again what was kept; what was kept for too long is turned away.
    pub fn retry(&mut self, now: Now, out: &mut Outbox, replies: &mut Vec<Reply>) {
        for (since, conn, request) in std::mem::take(&mut self.held) {
            if now.instant.since(since) >= HOLD {
                replies.push((conn, elsewhere(request.call)));
            } else if let Some(request) = self.execute(now, (conn, request), out, replies) {
                self.held.push_back((since, conn, request));
            }
        }
    }

    /// Executes a request; it is handed back when it has to wait.
    fn execute(
        &mut self,
        now: Now,
        (conn, request): (ConnId, Request),
        out: &mut Outbox,
        replies: &mut Vec<Reply>,
    ) -> Option<Request> {
        let keys = keys_of(&request.command);
        let slot = slot_of(keys.first().copied().unwrap_or(0));
        let outcome = self.outcome(slot, &request.command);
        let admission = if outcome.is_write {
            self.replicas.may_write(slot, now.instant)
        } else {
            self.replicas.may_read(slot, now.instant)
        };
        match admission {
            Ok(()) => {}
            Err(Admission::Elsewhere(_)) => {
                // Without a hint: clients find the primary by trying, and so meet every node.
                replies.push((conn, elsewhere(request.call)));
                return None;
            }
            Err(Admission::Held | Admission::TooFewCopies) => return Some(request),
        }
        let generation = self.replicas.view().map.slot(slot).generation.0;
        let mut response = Response {
            call: request.call,
            status: outcome.status,
            value: outcome.value,
            version: outcome.version,
            generation,
        };
        let gate = if outcome.is_write {
            let version = self.store.next_version(slot, now.unix_micros);
            response.version = version;
            let changes: Vec<(u32, Option<Entry>)> = outcome
                .changes
                .iter()
                .map(|&(key, value)| (key, Some((value, version)).filter(|_| value != 0)))
                .collect();
            let effect = effect(&changes);
            self.store.apply(slot, &effect).expect("it is one");
            let touched = if let [key] = keys[..] { u64::from(key) + 1 } else { 0 };
            let stamp = self.store.stamp(slot);
            Some(self.replicas.append(slot, Executed { effect: &effect, touched, stamp }, out))
        } else {
            let touched: Vec<u64> = keys.iter().map(|&key| u64::from(key) + 1).collect();
            self.replicas.gate(slot, &touched)
        };
        match gate {
            None => replies.push((conn, response)),
            Some(gate) => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.waiting.insert(ticket, (conn, response));
                self.replicas.wait(slot, gate, (ticket, outcome.is_write), out);
            }
        }
        None
    }

    /// What a command would do to the entries as they are.
    fn outcome(&self, slot: Slot, command: &Command) -> Would {
        let found = |key: u32| self.store.find(slot, key).unwrap_or_default();
        let reads = |status, (value, version): Entry| Would {
            status,
            value,
            version,
            is_write: false,
            changes: Vec::new(),
        };
        let writes = |value, changes| Would {
            status: Status::Done,
            value,
            version: 0,
            is_write: true,
            changes,
        };
        match command {
            Command::Get(key) => reads(Status::Done, found(*key)),
            Command::Delete(key) if found(*key).0 == 0 => reads(Status::Refused, (0, 0)),
            Command::Delete(key) => writes(0, vec![(*key, 0)]),
            Command::Incr(key) => {
                let number = found(*key).0 + 1;
                writes(number, vec![(*key, number)])
            }
            Command::Cas(key, version, _) if found(*key).1 != *version => {
                reads(Status::Refused, found(*key))
            }
            Command::Cas(key, _, value) => writes(*value, vec![(*key, *value)]),
            Command::Set(pairs) => writes(0, pairs.clone()),
        }
    }
}

/// What a command would do.
struct Would {
    status: Status,
    value: u64,
    version: u64,
    is_write: bool,
    /// The value that each key then has; 0: none.
    changes: Vec<(u32, u64)>,
}

fn keys_of(command: &Command) -> Vec<u32> {
    match command {
        Command::Get(key) | Command::Delete(key) | Command::Incr(key) | Command::Cas(key, ..) => {
            vec![*key]
        }
        Command::Set(pairs) => pairs.iter().map(|(key, _)| *key).collect(),
    }
}

/// Not executed here.
fn elsewhere(call: u32) -> Response {
    Response { call, status: Status::NotLeader, value: u64::MAX, version: 0, generation: 0 }
}

//! One shard of a simulated node: the shipped shard with its engine, and the requests that wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringhold_cluster::replication::{Admission, Event, Release, Replicas, Ticket};
use ringhold_node::content_types::ContentTypes;
use ringhold_node::shard_cell::{Key, ShardCell};
use ringhold_store::entry::{Decision, Lookup, Outcome, Put, Value, ValueRef};
use ringhold_store::hash::HashSeed;
use ringhold_types::entry::{ContentType, Deadlines};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;
use ringhold_types::time::{Duration, Instant, Now, UnixTime};

use crate::cluster::memory::Memory;
use crate::cluster::{KeyName, name_of};
use crate::machine::ConnId;
use crate::registers::message::{Command, Request, Response, Status};

/// A request that cannot be executed yet waits so long.
const HOLD: Duration = Duration::from_secs(1);
/// Requests that wait; more are turned away.
const HELD_MAX: usize = 1024;
/// Entries that a tick reclaims at most.
const TICK_ITEMS: u64 = 64;

/// An answer to a client.
pub type Reply = (ConnId, Response);

/// One shard.
#[derive(Debug)]
pub struct Cell {
    /// Its entries and the order of its slots.
    pub shard: ShardCell,
    seed: HashSeed,
    held: VecDeque<(Instant, ConnId, Request)>,
    waiting: BTreeMap<Ticket, (ConnId, Response)>,
    tickets: u64,
    /// A check that failed.
    pub void: Option<(Slot, &'static str)>,
}

impl Cell {
    /// Shard `idx` with nothing in it.
    #[must_use]
    pub fn new(idx: usize, memory: &Memory, replicas: Replicas) -> Self {
        let mut shard = ShardCell::new(idx, &memory.geometry, memory.seed, &memory.budget);
        shard.copy(replicas, Arc::new(ContentTypes::default()));
        Self {
            shard,
            seed: memory.seed,
            held: VecDeque::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            void: None,
        }
    }

    /// The order of its slots.
    ///
    /// # Panics
    ///
    /// Never: the shards of a member have one.
    #[must_use]
    pub fn replicas(&self) -> &Replicas {
        self.shard.replicas().expect("a member's shard")
    }

    /// Executes a request, or keeps it until it can be.
    pub fn request(
        &mut self,
        now: Now,
        (conn, request): (ConnId, Request),
        replies: &mut Vec<Reply>,
    ) {
        if let Some(request) = self.execute(now, (conn, request), replies) {
            if self.held.len() < HELD_MAX {
                self.held.push_back((now.instant, conn, request));
            } else {
                replies.push((conn, elsewhere(request.call)));
            }
        }
    }

    /// Acts on what has happened, and tries again what was kept.
    pub fn settle(&mut self, now: Now, events: Vec<Event>, replies: &mut Vec<Reply>) {
        let mut is_ready = false;
        for event in events {
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
            self.retry(now, replies);
        }
    }

    /// Tries again what was kept; what was kept for too long is turned away.
    pub fn retry(&mut self, now: Now, replies: &mut Vec<Reply>) {
        for (since, conn, request) in std::mem::take(&mut self.held) {
            if now.instant.since(since) >= HOLD {
                replies.push((conn, elsewhere(request.call)));
            } else if let Some(request) = self.execute(now, (conn, request), replies) {
                self.held.push_back((since, conn, request));
            }
        }
    }

    /// Reclaims what expired.
    pub fn reclaim(&mut self, now: Now) {
        self.shard.tick(now, TICK_ITEMS);
    }

    /// Executes a request; it is handed back when it has to wait.
    fn execute(
        &mut self,
        now: Now,
        (conn, request): (ConnId, Request),
        replies: &mut Vec<Reply>,
    ) -> Option<Request> {
        let names: Vec<KeyName> = keys_of(&request.command).into_iter().map(name_of).collect();
        let keys: Vec<Key<'_>> = names.iter().map(|name| self.key(name)).collect();
        let slot = keys.first().map_or(Slot::MIN, |key| key.at.slot);
        let may_write = self.shard.may_write(slot, now);
        if may_write.is_ok() {
            // What is told to be gone is gone in the slot's order.
            for &key in &keys {
                if matches!(self.shard.peek(key, now), Lookup::Expired) {
                    self.shard.reap(key, now);
                }
            }
        }
        let is_expired = |key: &&Key<'_>| matches!(self.shard.peek(**key, now), Lookup::Expired);
        let would = self.outcome(&keys, now, &request.command);
        let is_write = !would.changes.is_empty();
        let admission = if is_write || keys.iter().any(|key| is_expired(&key)) {
            may_write
        } else {
            self.shard.may_read(slot, now)
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
        let mut version = would.version;
        if is_write {
            self.shard.begin_step(slot);
            for (&key, &change) in keys.iter().zip(&would.changes) {
                version = self.write(key, now, change);
            }
            self.shard.end_step();
        }
        if keys.len() > 1 {
            // Every entry has a version of its own.
            version = 0;
        }
        let generation = self.replicas().view().map.slot(slot).generation.0;
        let response = Response {
            call: request.call,
            status: would.status,
            value: would.value,
            version,
            generation,
        };
        match self.shard.gate(slot, &keys) {
            None => replies.push((conn, response)),
            Some(gate) => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.waiting.insert(ticket, (conn, response));
                self.shard.wait(slot, gate, ticket, is_write);
            }
        }
        None
    }

    fn key<'a>(&self, name: &'a KeyName) -> Key<'a> {
        let bytes = name.as_bytes();
        Key { namespace: NamespaceId::DEFAULT, bytes, at: self.seed.key(bytes) }
    }

    /// Makes one change; the version that the entry has then, 0 if there is none.
    fn write(&mut self, key: Key<'_>, now: Now, (value, deadline): Written) -> u64 {
        let bytes = value.to_le_bytes();
        let outcome = self.shard.update(key, now, |_| match value {
            0 => Decision::Delete,
            _ => Decision::Put(Put {
                value: Value::Bytes(&bytes),
                kind: 0,
                deadlines: Deadlines { hard: deadline, soft: None },
                client_flags: 0,
                content_type: ContentType::NONE,
            }),
        });
        match outcome.expect("the keys of a run fit every node") {
            Outcome::Put { version, .. } => version.0,
            Outcome::Kept | Outcome::Touched | Outcome::Deleted => 0,
        }
    }

    /// The value and the version of a key; zeros: it is not there.
    fn found(&self, key: Key<'_>, now: Now) -> (u64, u64) {
        let Lookup::Hit(entry) = self.shard.peek(key, now) else { return (0, 0) };
        let ValueRef::Bytes(bytes) = entry.value() else { panic!("values of a run are short") };
        let value = bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
        (value, entry.version().0)
    }

    /// What a command would do to the entries as they are.
    fn outcome(&self, keys: &[Key<'_>], now: Now, command: &Command) -> Would {
        let (value, version) = keys.first().map_or((0, 0), |&key| self.found(key, now));
        let reads = |status, value, version| Would { status, value, version, changes: vec![] };
        let writes = |value, changes| Would { status: Status::Done, value, version: 0, changes };
        match command {
            Command::Get(_) => reads(Status::Done, value, version),
            Command::Delete(_) if value == 0 => reads(Status::Refused, 0, 0),
            Command::Delete(_) => writes(0, vec![(0, None)]),
            Command::Incr(_) => writes(value + 1, vec![(value + 1, None)]),
            Command::Cas(_, expected, _) if version != *expected => {
                reads(Status::Refused, value, version)
            }
            Command::Cas(_, _, value) => writes(*value, vec![(*value, None)]),
            Command::Set(pairs) => {
                writes(0, pairs.iter().map(|&(_, value)| (value, None)).collect())
            }
            Command::SetFor(_, value, ttl_ms) => {
                let clock =
                    self.shard.clock(keys.first().map_or(Slot::MIN, |key| key.at.slot), now);
                writes(0, vec![(*value, Some(UnixTime(clock.0 + ttl_ms)))])
            }
        }
    }
}

/// The value that a key then has (0: none), and when it dies.
type Written = (u64, Option<UnixTime>);

/// What a command would do.
struct Would {
    status: Status,
    value: u64,
    version: u64,
    /// Of each key; none: it only reads.
    changes: Vec<Written>,
}

fn keys_of(command: &Command) -> Vec<u32> {
    match command {
        Command::Get(key)
        | Command::Delete(key)
        | Command::Incr(key)
        | Command::Cas(key, ..)
        | Command::SetFor(key, ..) => vec![*key],
        Command::Set(pairs) => pairs.iter().map(|(key, _)| *key).collect(),
    }
}

/// Not executed here.
fn elsewhere(call: u32) -> Response {
    Response { call, status: Status::NotLeader, value: u64::MAX, version: 0, generation: 0 }
}

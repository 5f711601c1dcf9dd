//! One node of a replicated register.
//!
//! ```text
//!   follower ── no leader heard ──▶ candidate ── votes of a majority ──▶ leader, not serving ── its state is on a majority ──▶ serving
//!      ▲                               │                                        │                                          │
//!      └─────── a message of a later term, or of a leader of this one ──────────┴──────────────────────────────────────────┘
//! ```
//!
//! - A vote promises to follow no leader of an earlier term, and brings the voter's whole state; the candidate takes over the newest.
//! - A write is answered when a majority has synced it; a read sees all writes and waits for those to be on a majority.
//! - A follower that hears a heartbeat votes for nobody for [`GRANT`]; the leader reads for [`LEASE`] after it *sent* the heartbeat
//!   that a majority answered. A node that starts has forgotten whom it heard, so it first waits as long.
//! - Nothing is said about what is on the disk before it is synced there.
//!
//! Invariant: a leader of a term is chosen by a majority that has promised that term, so there is one at most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringhold_types::prng::Prng;
use ringhold_types::time::{Duration, Instant, Now};

use crate::machine::{
    Address, Birth, ConnId, DiskId, Framing, HostId, Input, Machine, Output, Outputs,
};
use crate::registers::Flaw;
use crate::registers::message::{Command, Envelope, Peer, Request, Response, Status, next_message};
use crate::registers::state::{Effect, LogRecord, Stamp, State};

/// Where nodes send operations and votes.
pub const PORT_DATA: u16 = 1;
/// Where nodes send heartbeats, as datagrams.
pub const PORT_BEAT: u16 = 2;
/// Where clients ask.
pub const PORT_CLIENT: u16 = 3;

/// How long a follower that heard a heartbeat votes for nobody.
pub const GRANT: Duration = Duration::from_millis(110);
/// How long after sending a heartbeat its leader may read.
pub const LEASE: Duration = Duration::from_millis(100);
/// Between two heartbeats.
const BEAT: Duration = Duration::from_millis(30);
/// The shortest time without a leader until a node stands for election; up to twice as long.
const ELECTION_NANOS: u64 = 200_000_000;
/// A peer that does not have everything gets the whole state again after this time.
const WHOLE_AGAIN: Duration = Duration::from_millis(300);
/// Answers that wait for replication; above, requests are turned away.
const GATED_MAX: usize = 4096;
/// Heartbeats whose answer still counts.
const BEATS_MAX: usize = 16;
const LOG: &str = "log";

/// What a node is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Was elected.
    Leader,
}

/// Another node, as this one sees it.
#[derive(Clone, Debug, Default)]
struct Link {
    data: Dial,
    beat: Dial,
    /// It follows operation by operation since the whole state was sent on this connection.
    is_streaming: bool,
    whole_sent: Instant,
    matched: Stamp,
    lease_until: Instant,
    heard: Instant,
}

/// An own connection to a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Dial {
    conn: Option<ConnId>,
    is_open: bool,
}

/// An answer that waits until an operation is on a majority.
#[derive(Clone, Copy, Debug)]
struct Gated {
    stamp: Stamp,
    conn: ConnId,
    response: Response,
    is_write: bool,
}

/// What waits for a sync.
#[derive(Clone, Copy, Debug)]
enum Deferred {
    Applied { to: u32, term: u32, stamp: Stamp },
    Vote { to: u32, term: u32 },
    Stand { term: u32 },
    Own { term: u32, stamp: Stamp },
}

/// The machine.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of one another")]
pub struct Node {
    id: u32,
    nodes: u32,
    flaw: Flaw,
    prng: Prng,
    now: Instant,
    is_readable: bool,
    is_ready: bool,
    role: Role,
    term: u32,
    state: State,
    leader: Option<u32>,
    votes: BTreeSet<u32>,
    best: State,
    election_at: Instant,
    granted_until: Instant,
    has_lease: bool,
    beat_at: Instant,
    beats: VecDeque<(u64, Instant)>,
    beat_id: u64,
    durable: Stamp,
    commit: Stamp,
    gated: VecDeque<Gated>,
    links: Vec<Link>,
    clients: BTreeMap<ConnId, Vec<u8>>,
    conn_next: u32,
    deferred: Vec<Deferred>,
    syncing: Vec<Deferred>,
    is_syncing: bool,
}

impl Node {
    /// The node of a host; nodes are hosts `0..nodes`.
    #[must_use]
    pub fn new(birth: &Birth<'_>, nodes: u32, flaw: Flaw) -> Self {
        let log = birth.disk.read(LOG);
        let (term, state) = log.map(LogRecord::replay).unwrap_or_default();
        Self {
            id: birth.host.0,
            nodes,
            flaw,
            prng: Prng::new(birth.seed),
            now: Instant::default(),
            is_readable: log.is_ok(),
            is_ready: false,
            role: Role::Follower,
            term,
            state,
            leader: None,
            votes: BTreeSet::new(),
            best: State::default(),
            election_at: Instant::default(),
            granted_until: Instant::default(),
            has_lease: false,
            beat_at: Instant::default(),
            beats: VecDeque::new(),
            beat_id: 0,
            durable: Stamp::default(),
            commit: Stamp::default(),
            gated: VecDeque::new(),
            links: vec![Link::default(); nodes as usize],
            clients: BTreeMap::new(),
            conn_next: 0,
            deferred: Vec::new(),
            syncing: Vec::new(),
            is_syncing: false,
        }
    }

    /// What it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> u32 {
        self.term
    }

    /// Whether its disk holds what it started from, and it takes part.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether it is a leader whose state is on a majority.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.role == Role::Leader && self.commit >= Stamp::new(self.term, 0)
    }

    fn peers(&self) -> impl Iterator<Item = u32> + use<> {
        let id = self.id;
        (0..self.nodes).filter(move |&peer| peer != id)
    }

    fn majority(&self) -> usize {
        let majority = self.nodes as usize / 2 + 1;
        if self.flaw == Flaw::SplitBrain {
            let is_near = |link: &&Link| self.now.since(link.heard) < 2 * LEASE;
            return majority.min(1 + self.links.iter().filter(is_near).count());
        }
        majority
    }

    // --- start, ticks, disk ---

    fn started(&mut self, out: &mut Outputs) {
        if !self.is_readable {
            out.push(Output::Exit);
            return;
        }
        out.push(Output::Listen { port: PORT_DATA, framing: Framing::Frames });
        out.push(Output::Listen { port: PORT_BEAT, framing: Framing::Datagrams });
        out.push(Output::Listen { port: PORT_CLIENT, framing: Framing::Stream });
        self.granted_until = self.now.after(GRANT);
        self.restart_election_clock();
        // One record instead of the log: cuts a torn tail away.
        let mut bytes = out.buffer();
        LogRecord::Term(self.term).encode(&mut bytes);
        LogRecord::Whole(self.state.clone()).encode(&mut bytes);
        out.push(Output::Replace { file: LOG, bytes, id: DiskId(0) });
    }

    fn tick(&mut self, out: &mut Outputs) {
        self.has_lease = self.holds_lease();
        if !self.is_ready {
            return;
        }
        for peer in self.peers() {
            self.dial_missing(peer, out);
        }
        if self.role == Role::Leader {
            if self.now >= self.beat_at {
                self.send_beats(out);
            }
            self.send_whole_again(out);
        } else if self.now >= self.election_at && self.now >= self.granted_until {
            self.stand(out);
        }
    }

    fn dial_missing(&mut self, peer: u32, out: &mut Outputs) {
        let link = &mut self.links[peer as usize];
        for (dial, port) in [(&mut link.data, PORT_DATA), (&mut link.beat, PORT_BEAT)] {
            if dial.conn.is_none() {
                let conn = ConnId(self.conn_next);
                self.conn_next += 1;
                *dial = Dial { conn: Some(conn), is_open: false };
                out.connect(conn, Address { host: HostId(peer), port });
            }
        }
    }

    fn persist(&mut self, record: &LogRecord, after: Deferred, out: &mut Outputs) {
        let mut bytes = out.buffer();
        record.encode(&mut bytes);
        out.push(Output::Append { file: LOG, bytes });
        self.after_sync(after, out);
    }

    /// Does something when all that was appended so far is durable.
    fn after_sync(&mut self, after: Deferred, out: &mut Outputs) {
        if self.flaw == Flaw::ForgetsUnsynced {
            self.run_deferred(after, out);
            return;
        }
        self.deferred.push(after);
        self.sync_more(out);
    }

    fn sync_more(&mut self, out: &mut Outputs) {
        if !self.is_syncing && !self.deferred.is_empty() {
            self.is_syncing = true;
            core::mem::swap(&mut self.syncing, &mut self.deferred);
            out.push(Output::Sync { file: LOG, id: DiskId(1) });
        }
    }

    fn synced(&mut self, id: DiskId, out: &mut Outputs) {
        if id == DiskId(0) {
            self.is_ready = true;
            return;
        }
        self.is_syncing = false;
        let mut done = core::mem::take(&mut self.syncing);
        for after in done.drain(..) {
            self.run_deferred(after, out);
        }
        self.syncing = done;
        self.sync_more(out);
    }

    fn run_deferred(&mut self, after: Deferred, out: &mut Outputs) {
        match after {
            Deferred::Applied { to, term, stamp } if term == self.term => {
                self.send(to, Peer::Applied(stamp), out);
            }
            Deferred::Vote { to, term } if term == self.term => {
                self.send(to, Peer::Voted(self.state.clone()), out);
            }
            Deferred::Stand { term } if term == self.term && self.role == Role::Candidate => {
                for peer in self.peers() {
                    self.send(peer, Peer::Vote, out);
                }
                self.count_vote(self.id, self.state.clone(), out);
            }
            Deferred::Own { term, stamp } if term == self.term => {
                self.durable = self.durable.max(stamp);
                self.advance(out);
            }
            // Of a term that is over.
            Deferred::Applied { .. }
            | Deferred::Vote { .. }
            | Deferred::Stand { .. }
            | Deferred::Own { .. } => {}
        }
    }

    // --- elections ---

    fn restart_election_clock(&mut self) {
        let wait = ELECTION_NANOS + self.prng.below(ELECTION_NANOS);
        self.election_at = self.now.after(Duration::from_nanos(wait));
    }

    fn stand(&mut self, out: &mut Outputs) {
        self.term += 1;
        self.role = Role::Candidate;
        self.leader = None;
        self.votes.clear();
        self.best = State::default();
        self.restart_election_clock();
        out.cover("register.candidate");
        let term = self.term;
        self.persist(&LogRecord::Term(term), Deferred::Stand { term }, out);
    }

    fn count_vote(&mut self, from: u32, state: State, out: &mut Outputs) {
        if self.role != Role::Candidate {
            return;
        }
        self.votes.insert(from);
        if state.stamp >= self.best.stamp {
            self.best = state;
        }
        if self.votes.len() >= self.majority() {
            self.lead(out);
        }
    }

    fn lead(&mut self, out: &mut Outputs) {
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.state = core::mem::take(&mut self.best);
        let stamp = Stamp::new(self.term, 0);
        self.state.stamp = stamp;
        self.durable = Stamp::default();
        self.beats.clear();
        for link in &mut self.links {
            link.matched = Stamp::default();
            link.lease_until = Instant::default();
        }
        out.cover("register.takeover");
        let record = LogRecord::Whole(self.state.clone());
        self.persist(&record, Deferred::Own { term: self.term, stamp }, out);
        for peer in self.peers() {
            self.send_whole(peer, out);
        }
        self.send_beats(out);
    }

    /// Follows a later term; what waits for replication is in doubt.
    fn follow(&mut self, term: u32, out: &mut Outputs) {
        self.term = term;
        self.become_follower(out);
        let mut bytes = out.buffer();
        LogRecord::Term(term).encode(&mut bytes);
        out.push(Output::Append { file: LOG, bytes });
    }

    fn become_follower(&mut self, out: &mut Outputs) {
        self.role = Role::Follower;
        self.leader = None;
        self.has_lease = false;
        while let Some(mut gated) = self.gated.pop_front() {
            gated.response.status =
                if gated.is_write { Status::InDoubt } else { Status::NotLeader };
            gated.response.value = u64::MAX;
            if gated.is_write {
                out.cover("register.in-doubt");
            }
            self.respond(gated.conn, gated.response, out);
        }
    }

    // --- leases ---

    fn holds_lease(&self) -> bool {
        let live = |link: &&Link| self.now < link.lease_until;
        self.role == Role::Leader && 1 + self.links.iter().filter(live).count() >= self.majority()
    }

    fn may_read(&self) -> bool {
        if self.flaw == Flaw::StaleLease { self.has_lease } else { self.holds_lease() }
    }

    fn send_beats(&mut self, out: &mut Outputs) {
        self.beat_at = self.now.after(BEAT);
        self.beat_id += 1;
        self.beats.push_back((self.beat_id, self.now));
        if self.beats.len() > BEATS_MAX {
            self.beats.pop_front();
        }
        for peer in self.peers() {
            self.send_beat(peer, Peer::Heartbeat(self.beat_id), out);
        }
    }

    fn heard(&mut self, from: u32, id: u64) {
        let sent = self.beats.iter().find(|beat| beat.0 == id);
        if let (Role::Leader, Some(&(_, sent))) = (self.role, sent) {
            let link = &mut self.links[from as usize];
            link.lease_until = link.lease_until.max(sent.after(LEASE));
        }
    }

    // --- replication ---

    fn send_whole(&mut self, peer: u32, out: &mut Outputs) {
        let state = self.state.clone();
        let now = self.now;
        let link = &mut self.links[peer as usize];
        if link.data.is_open {
            link.is_streaming = true;
            link.whole_sent = now;
            out.cover("register.state-sent");
            self.send(peer, Peer::Whole(state), out);
        }
    }

    fn send_whole_again(&mut self, out: &mut Outputs) {
        for peer in self.peers() {
            let link = &self.links[peer as usize];
            let is_behind = link.matched < self.commit;
            if is_behind && self.now.since(link.whole_sent) > WHOLE_AGAIN {
                self.send_whole(peer, out);
            }
        }
    }

    fn advance(&mut self, out: &mut Outputs) {
        if self.role != Role::Leader {
            return;
        }
        let mut reached: Vec<Stamp> = self.links.iter().map(|link| link.matched).collect();
        reached[self.id as usize] = self.durable;
        reached.sort_unstable();
        let commit = reached[reached.len() - self.majority()];
        if commit < Stamp::new(self.term, 0) || commit <= self.commit {
            return;
        }
        self.commit = commit;
        let is_ready = |gated: &Gated| gated.stamp <= commit;
        let ready: Vec<Gated> = self.gated.iter().copied().filter(is_ready).collect();
        self.gated.retain(|gated| !is_ready(gated));
        for gated in ready {
            self.respond(gated.conn, gated.response, out);
        }
    }

    fn peer_message(&mut self, envelope: Envelope, out: &mut Outputs) {
        let Envelope { from, term, message } = envelope;
        self.links[from as usize].heard = self.now;
        if message == Peer::Vote {
            self.vote_asked(from, term, out);
            return;
        }
        if term < self.term {
            if matches!(message, Peer::Whole(_) | Peer::Apply(..) | Peer::Heartbeat(_)) {
                self.send(from, Peer::Refused(self.state.stamp), out);
            }
            return;
        }
        let is_leaders = matches!(message, Peer::Whole(_) | Peer::Apply(..) | Peer::Heartbeat(_));
        if term > self.term {
            self.follow(term, out);
        } else if is_leaders && self.role == Role::Candidate {
            self.become_follower(out);
        }
        if is_leaders {
            self.leader = Some(from);
            self.restart_election_clock();
        }
        match message {
            Peer::Vote => {}
            Peer::Voted(state) => self.count_vote(from, state, out),
            Peer::Whole(state) => self.take_whole(from, state, out),
            Peer::Apply(stamp, effects) => self.take_operation(from, stamp, effects, out),
            Peer::Applied(stamp) => {
                let link = &mut self.links[from as usize];
                link.matched = link.matched.max(stamp);
                self.advance(out);
            }
            Peer::Refused(_) => {
                let link = &self.links[from as usize];
                let is_due = self.now.since(link.whole_sent) > Duration::from_millis(20);
                if self.role == Role::Leader && is_due {
                    self.send_whole(from, out);
                }
            }
            Peer::Heartbeat(id) => {
                self.granted_until = self.granted_until.max(self.now.after(GRANT));
                self.send_beat(from, Peer::Heard(id), out);
            }
            Peer::Heard(id) => self.heard(from, id),
        }
    }

    fn vote_asked(&mut self, from: u32, term: u32, out: &mut Outputs) {
        if term < self.term {
            self.send(from, Peer::Refused(self.state.stamp), out);
            return;
        }
        let has_promised = self.now < self.granted_until || self.holds_lease();
        if term == self.term || has_promised {
            return;
        }
        self.follow(term, out);
        self.restart_election_clock();
        self.after_sync(Deferred::Vote { to: from, term }, out);
    }

    fn take_whole(&mut self, from: u32, state: State, out: &mut Outputs) {
        let (term, stamp) = (self.term, state.stamp);
        // An older one comes late, over a connection that was reset since.
        if stamp > self.state.stamp {
            self.state = state;
            let record = LogRecord::Whole(self.state.clone());
            self.persist(&record, Deferred::Applied { to: from, term, stamp }, out);
        } else {
            let stamp = self.state.stamp;
            self.after_sync(Deferred::Applied { to: from, term, stamp }, out);
        }
    }

    fn take_operation(&mut self, from: u32, stamp: Stamp, effects: Vec<Effect>, out: &mut Outputs) {
        let (term, own) = (self.term, self.state.stamp);
        if stamp <= own {
            self.after_sync(Deferred::Applied { to: from, term, stamp: own }, out);
        } else if own.next() == stamp && own >= Stamp::new(term, 0) {
            self.state.apply(stamp, &effects);
            let record = LogRecord::Apply(stamp, effects);
            self.persist(&record, Deferred::Applied { to: from, term, stamp }, out);
        } else {
            self.send(from, Peer::Refused(own), out);
        }
    }

    fn send(&self, to: u32, message: Peer, out: &mut Outputs) {
        let dial = self.links[to as usize].data;
        self.send_on(dial, message, out);
    }

    fn send_beat(&self, to: u32, message: Peer, out: &mut Outputs) {
        let dial = self.links[to as usize].beat;
        self.send_on(dial, message, out);
    }

    fn send_on(&self, dial: Dial, message: Peer, out: &mut Outputs) {
        if let (Some(conn), true) = (dial.conn, dial.is_open) {
            let mut bytes = out.buffer();
            Envelope { from: self.id, term: self.term, message }.encode(&mut bytes);
            out.send(conn, bytes);
        }
    }

    // --- clients ---

    fn client_bytes(&mut self, conn: ConnId, bytes: &[u8], out: &mut Outputs) {
        let Some(stream) = self.clients.get_mut(&conn) else { return };
        stream.extend_from_slice(bytes);
        while let Some(message) = self.clients.get_mut(&conn).and_then(next_message) {
            self.request(conn, Request::decode(&message), out);
        }
    }

    fn request(&mut self, conn: ConnId, request: Request, out: &mut Outputs) {
        let Request { call, command } = request;
        let turned_away =
            |value| Response { call, status: Status::NotLeader, value, version: 0, generation: 1 };
        let is_free_read = self.flaw == Flaw::ReadsAnywhere && matches!(command, Command::Get(_));
        if !is_free_read && !self.is_serving() {
            let hint = self.leader.filter(|&leader| leader != self.id);
            self.respond(conn, turned_away(hint.map_or(u64::MAX, u64::from)), out);
            return;
        }
        let (response, effects) = self.evaluate(call, &command);
        let is_read = effects.is_empty();
        if self.flaw == Flaw::StaleLease && self.has_lease && !self.holds_lease() {
            out.cover("register.stale-lease");
            out.note(|| "reads under a lease that is over".to_owned());
        }
        let is_blind = is_read && !is_free_read && !self.may_read();
        if is_blind || self.gated.len() >= GATED_MAX {
            self.respond(conn, turned_away(u64::MAX), out);
            return;
        }
        if !is_read {
            self.replicate(effects, out);
        }
        // A read waits for the last write of the key it saw; of a missing key, for everything.
        let is_seen = is_read && response.version > 0;
        let stamp = if is_seen { Stamp(response.version) } else { self.state.stamp };
        let response = if is_read { response } else { Response { version: stamp.0, ..response } };
        let is_ungated = is_free_read || self.flaw == Flaw::AcksBeforeReplicating;
        if stamp <= self.commit || is_ungated {
            self.respond(conn, response, out);
        } else {
            self.gated.push_back(Gated { stamp, conn, response, is_write: !is_read });
        }
    }

    /// What a command answers and does to the present state.
    fn evaluate(&self, call: u32, command: &Command) -> (Response, Vec<Effect>) {
        let found = |key: &u32| self.state.entries.get(key).copied().unwrap_or((0, 0));
        let answer =
            |status, value, version| Response { call, status, value, version, generation: 1 };
        match command {
            Command::Get(key) => {
                let (value, version) = found(key);
                (answer(Status::Done, value, version), Vec::new())
            }
            Command::Delete(key) if found(key).0 == 0 => {
                (answer(Status::Refused, 0, 0), Vec::new())
            }
            Command::Delete(key) => {
                (answer(Status::Done, 0, 0), vec![Effect { key: *key, value: 0 }])
            }
            Command::Incr(key) => {
                let value = found(key).0 + 1;
                (answer(Status::Done, value, 0), vec![Effect { key: *key, value }])
            }
            Command::Cas(key, version, _) if found(key).1 != *version => {
                (answer(Status::Refused, 0, 0), Vec::new())
            }
            Command::Cas(key, _, value) => {
                (answer(Status::Done, 0, 0), vec![Effect { key: *key, value: *value }])
            }
            Command::Set(pairs) => {
                let effects = pairs.iter().map(|&(key, value)| Effect { key, value }).collect();
                (answer(Status::Done, 0, 0), effects)
            }
            Command::SetFor(..) => unreachable!("registers keep their values for ever"),
        }
    }

    fn replicate(&mut self, effects: Vec<Effect>, out: &mut Outputs) {
        let stamp = self.state.stamp.next();
        self.state.apply(stamp, &effects);
        for peer in self.peers() {
            if self.links[peer as usize].is_streaming {
                self.send(peer, Peer::Apply(stamp, effects.clone()), out);
            }
        }
        let record = LogRecord::Apply(stamp, effects);
        self.persist(&record, Deferred::Own { term: self.term, stamp }, out);
    }

    fn respond(&self, conn: ConnId, response: Response, out: &mut Outputs) {
        if self.clients.contains_key(&conn) {
            let mut bytes = out.buffer();
            response.encode(&mut bytes);
            out.send(conn, bytes);
        }
    }

    // --- connections ---

    fn opened(&mut self, conn: ConnId, out: &mut Outputs) {
        for peer in 0..self.nodes {
            let link = &mut self.links[peer as usize];
            if link.beat.conn == Some(conn) {
                link.beat.is_open = true;
            }
            if link.data.conn == Some(conn) {
                link.data.is_open = true;
                if self.role == Role::Leader {
                    self.send_whole(peer, out);
                }
            }
        }
    }

    fn closed(&mut self, conn: ConnId) {
        self.clients.remove(&conn);
        for link in &mut self.links {
            if link.beat.conn == Some(conn) {
                link.beat = Dial::default();
            }
            if link.data.conn == Some(conn) {
                link.data = Dial::default();
                link.is_streaming = false;
            }
        }
    }
}

impl Machine for Node {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        self.now = now.instant;
        match input {
            Input::Start => self.started(out),
            Input::Tick => self.tick(out),
            Input::Opened(conn) => self.opened(conn, out),
            Input::Accepted { conn, port: PORT_CLIENT, .. } => {
                self.clients.insert(conn, Vec::new());
            }
            Input::Accepted { .. } | Input::Contents { .. } => {}
            Input::Refused(conn) | Input::Closed(conn) => self.closed(conn),
            Input::Received { conn, bytes } if self.clients.contains_key(&conn) => {
                self.client_bytes(conn, bytes, out);
            }
            Input::Received { bytes, .. } => {
                if self.is_ready {
                    self.peer_message(Envelope::decode(bytes), out);
                }
            }
            Input::Synced(id) => self.synced(id, out),
            // What is on the disk is unknown now: begin again from what can be read.
            Input::DiskFailed(_) => out.push(Output::Exit),
        }
    }
}

//! A cluster of metadata logs in virtual time: messages with delays and losses, disks that take time and tear, crashes and
//! restarts, all from one seed; and what must hold of every run (docs/design/replication.md, section 16, S8).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ringhold_types::id::MapIdx;
use ringhold_types::prng::Prng;

use crate::codec::{Decode, Encode};
use crate::command::Command;
use crate::map::{ClusterId, Founding, Map, Settings};
use crate::meta::check::Violation;
use crate::meta::disk::{self, Expected, Header, Saved};
use crate::meta::follow::{Since, observe};
use crate::meta::membership::{Change, RaftId};
use crate::meta::message::MetaMessage;
use crate::meta::output::{Applied, MetaOut, Persist};
use crate::meta::{Durability, MetaLog};
use crate::node::{Announcement, NodeName};

pub(super) const CLUSTER: ClusterId = ClusterId(0xC1);
/// A tick, in microseconds.
const TICK: u64 = 10_000;
/// Messages that wait for a disk; more are lost.
const INBOX_MAX: usize = 64;

pub(super) fn announcement(raft_id: u64) -> Announcement {
    Announcement::of(7, raft_id, "a:1")
}

pub(super) fn founded_map() -> Map {
    let founding = Founding { cluster: CLUSTER, hash_seed: 5, settings: Settings::STANDARD };
    Map::founded(founding, NodeName::new("a").expect("a name"), announcement(1))
}

/// A command that is told from others by its number.
pub(super) fn command(number: u64) -> Command {
    Command::SetCluster { settings: Settings { transfer_rate: number + 1, ..Settings::STANDARD } }
}

pub(super) fn header(id: RaftId) -> Header {
    Header { raft_id: id, cluster: CLUSTER, nonce: 9 }
}

#[derive(Debug)]
enum Event {
    Message { from: RaftId, to: RaftId, bytes: Vec<u8> },
    Tick { id: RaftId, life: u64 },
    Written { id: RaftId, life: u64 },
    Campaign { id: RaftId, life: u64 },
}

#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) log: Option<MetaLog>,
    life: u64,
    durability: Option<Durability>,
    /// What survives a crash.
    pub(super) file: Option<Vec<u8>>,
    /// What is being written.
    writing: Option<Persist>,
    inbox: VecDeque<(RaftId, Vec<u8>)>,
    pub(super) reads: Vec<(u64, u64)>,
    pub(super) maps_received: u64,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub(super) prng: Prng,
    seed: u64,
    pub(super) hosts: BTreeMap<RaftId, Host>,
    /// Links that lose everything.
    pub(super) cut: BTreeSet<(RaftId, RaftId)>,
    /// Losses in a thousand.
    pub(super) loss: u64,
    /// The longest delay of a message and of a disk, in microseconds.
    pub(super) delay_max: u64,
    pub(super) disk_max: u64,
    /// Of all messages and when they were sent.
    pub(super) hash: u64,
    pub(super) committed: BTreeMap<u64, (u64, bytes::Bytes)>,
    leaders: BTreeMap<u64, RaftId>,
    pub(super) refused: Vec<Violation>,
    /// A node outside the log.
    pub(super) observer: Option<Arc<Map>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            sequence: 0,
            events: BTreeMap::new(),
            prng: Prng::new(seed),
            seed,
            hosts: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss: 0,
            delay_max: 500,
            disk_max: 1000,
            hash: 0xCBF2_9CE4_8422_2325,
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            refused: Vec::new(),
            observer: None,
        }
    }

    fn push(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn begin(&mut self, id: RaftId, durability: Durability, log: MetaLog) {
        let jitter = self.prng.below(TICK);
        let host = self.hosts.entry(id).or_default();
        host.log = Some(log);
        host.durability = Some(durability);
        let life = host.life;
        self.push(self.now + jitter, Event::Tick { id, life });
        self.with(id, |log, out| log.ready(out));
    }

    pub(super) fn found(&mut self, id: u64, durability: Durability) -> RaftId {
        let id = RaftId(id);
        self.begin(id, durability, MetaLog::found(id, self.seed, durability, founded_map()));
        id
    }

    pub(super) fn join(&mut self, id: u64, durability: Durability) -> RaftId {
        let id = RaftId(id);
        let mut log = MetaLog::join(id, self.seed, durability);
        log.admit(&self.hosts.keys().copied().collect::<Vec<_>>());
        self.begin(id, durability, log);
        id
    }

    /// Does something to a log that is up and waits for no disk.
    pub(super) fn with<R>(
        &mut self,
        id: RaftId,
        act: impl FnOnce(&mut MetaLog, &mut MetaOut) -> R,
    ) -> Option<R> {
        let log = self.hosts.get_mut(&id)?.log.as_mut().filter(|log| !log.is_persisting())?;
        let mut out = MetaOut::default();
        let result = act(log, &mut out);
        self.take(id, out);
        Some(result)
    }

    fn take(&mut self, id: RaftId, out: MetaOut) {
        for (to, message) in out.send {
            assert_eq!(message.from, id);
            let bytes = message.to_bytes();
            for &byte in &bytes {
                self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
            }
            self.hash ^= self.now.rotate_left(17);
            let delay = 100 + self.prng.below(self.delay_max);
            if !self.prng.chance(self.loss, 1000) && !self.cut.contains(&(id, to)) {
                self.push(self.now + delay, Event::Message { from: id, to, bytes });
            }
        }
        for Applied { committed, .. } in out.applied {
            let entry = (committed.term, committed.bytes.clone());
            let known = self.committed.entry(committed.idx.0).or_insert_with(|| entry.clone());
            assert_eq!(*known, entry, "committed entries are immutable");
        }
        let disk_delay = 50 + self.prng.below(self.disk_max);
        let host = self.hosts.get_mut(&id).expect("a host");
        host.reads.extend(out.reads.iter().map(|read| (read.context, read.idx.0)));
        host.maps_received += u64::from(out.is_map_replaced);
        if let Some(persist) = out.persist {
            assert_eq!(host.durability, Some(Durability::Disk), "memory is never written");
            host.writing = Some(persist);
            let life = host.life;
            self.push(self.now + disk_delay, Event::Written { id, life });
        }
        self.check_leader(id);
    }

    /// Election safety, and leader completeness when a leader is new.
    fn check_leader(&mut self, id: RaftId) {
        let log = self.log(id);
        if !log.is_leader() {
            return;
        }
        if let Some(&known) = self.leaders.get(&log.term()) {
            assert_eq!(known, id, "a term has one leader");
            return;
        }
        for (&idx, (term, _)) in &self.committed {
            let found = log.term_at(idx);
            assert!(
                found == Some(*term) || idx <= log.map().idx.0,
                "a leader has what is committed"
            );
        }
        let term = log.term();
        self.leaders.insert(term, id);
    }

    pub(super) fn log(&self, id: RaftId) -> &MetaLog {
        self.hosts[&id].log.as_ref().expect("the host is up")
    }

    pub(super) fn is_up(&self, id: RaftId) -> bool {
        self.hosts.get(&id).is_some_and(|host| host.log.is_some())
    }

    /// The leader of the newest term that is up and not cut from everybody.
    pub(super) fn leader(&self) -> Option<RaftId> {
        let up = self.hosts.iter().filter_map(|(&id, host)| Some((id, host.log.as_ref()?)));
        let leaders = up.filter(|(_, log)| log.is_leader());
        leaders.max_by_key(|(_, log)| log.term()).map(|(id, _)| id)
    }

    pub(super) fn established(&self) -> Option<RaftId> {
        self.leader().filter(|&id| self.log(id).is_established())
    }

    pub(super) fn propose(&mut self, id: RaftId, number: u64) -> bool {
        let proposed = self.with(id, |log, out| log.propose(&[command(number)], out));
        proposed.is_some_and(|outcome| outcome.is_ok())
    }

    /// Waits until a leader takes the change, then until it is in force.
    pub(super) fn change_members(&mut self, changes: &[Change]) {
        let is_done = self.until(10_000_000, |world| {
            let Some(leader) = world.established() else { return false };
            world
                .with(leader, |log, out| log.propose_members(changes, out))
                .is_some_and(|outcome| outcome.is_ok())
        });
        assert!(is_done.is_some(), "a leader takes the change");
        let is_done = self.until(10_000_000, |world| {
            let Some(leader) = world.established() else { return false };
            let membership = world.log(leader).membership();
            let is_in_force = |change: &Change| match change {
                Change::AddVoter { id } => membership.voters.contains(id),
                Change::AddLearner { id } => membership.learners.contains(id),
                Change::Remove { id } => !membership.contains(*id),
            };
            !membership.is_joint() && changes.iter().all(is_in_force)
        });
        assert!(is_done.is_some(), "the change is made");
    }

    /// Adds hosts as learners one by one, and makes them voters in one joint change.
    pub(super) fn add_voters(&mut self, ids: &[u64], durability: Durability) {
        for &id in ids {
            let id = self.join(id, durability);
            self.change_members(&[Change::AddLearner { id }]);
            let is_there = self.until(5_000_000, |world| world.log(id).map().idx.0 > 0);
            assert!(is_there.is_some(), "a learner is sent the map");
        }
        let changes: Vec<_> = ids.iter().map(|&id| Change::AddVoter { id: RaftId(id) }).collect();
        self.change_members(&changes);
    }

    pub(super) fn campaign_at(&mut self, at: u64, id: RaftId) {
        let life = self.hosts[&id].life;
        self.push(at, Event::Campaign { id, life });
    }

    pub(super) fn crash(&mut self, id: RaftId) {
        let torn = self.prng.next_u64();
        let host = self.hosts.get_mut(&id).expect("a host");
        host.log = None;
        host.life += 1;
        host.inbox.clear();
        match host.writing.take() {
            Some(Persist::Append(saved)) => {
                let mut bytes = Vec::new();
                disk::append(&saved, &mut bytes);
                let len = usize::try_from(torn).unwrap_or(0) % (bytes.len() + 1);
                host.file.as_mut().expect("a file").extend_from_slice(&bytes[..len]);
            }
            Some(Persist::Replace(saved)) if torn.is_multiple_of(2) => {
                host.file = Some(disk::file(&header(id), &saved));
            }
            Some(Persist::Replace(_)) | None => {}
        }
    }

    pub(super) fn restart(&mut self, id: RaftId) {
        let host = &self.hosts[&id];
        assert!(host.log.is_none(), "it is down");
        let durability = host.durability.expect("it was up once");
        let log = match &host.file {
            Some(file) => {
                let expected = Expected { raft_id: Some(id), cluster: Some(CLUSTER) };
                let recovered = disk::recover(file, expected).expect("a crash leaves a good file");
                MetaLog::recover(self.seed, &recovered)
            }
            None => MetaLog::join(id, self.seed, durability),
        };
        let mut log = log;
        log.admit(&self.hosts.keys().copied().take(16).collect::<Vec<_>>());
        self.begin(id, durability, log);
    }

    fn deliver(&mut self, from: RaftId, to: RaftId, bytes: Vec<u8>) {
        let Some(host) = self.hosts.get_mut(&to) else { return };
        match &host.log {
            None => return,
            Some(log) if log.is_persisting() => {
                if host.inbox.len() < INBOX_MAX {
                    host.inbox.push_back((from, bytes));
                }
                return;
            }
            Some(_) => {}
        }
        let message = MetaMessage::from_bytes(&bytes).expect("what is sent can be read");
        assert_eq!(message.to_bytes(), bytes, "a message has one encoding");
        let outcome = self.with(to, |log, out| log.step(from, message, out));
        if let Some(Err(violation)) = outcome {
            self.refused.push(violation);
        }
    }

    fn written(&mut self, id: RaftId) {
        let host = self.hosts.get_mut(&id).expect("a host");
        match host.writing.take().expect("something was written") {
            Persist::Append(saved) => {
                disk::append(&saved, host.file.as_mut().expect("the first write is a whole file"));
            }
            Persist::Replace(saved) => host.file = Some(disk::file(&header(id), &saved)),
        }
        let mut out = MetaOut::default();
        host.log.as_mut().expect("the host is up").persisted(&mut out);
        self.take(id, out);
        while let Some(host) = self.hosts.get_mut(&id)
            && host.log.as_ref().is_some_and(|log| !log.is_persisting())
            && let Some((from, bytes)) = host.inbox.pop_front()
        {
            self.deliver(from, id, bytes);
        }
    }

    pub(super) fn step(&mut self) {
        let ((at, _), event) = self.events.pop_first().expect("somebody ticks");
        self.now = at;
        let is_living = |world: &Self, id, life| {
            world.hosts.get(&id).is_some_and(|host| host.life == life && host.log.is_some())
        };
        match event {
            Event::Message { from, to, bytes } => {
                if !self.cut.contains(&(from, to)) {
                    self.deliver(from, to, bytes);
                }
            }
            Event::Tick { id, life } if is_living(self, id, life) => {
                self.push(at + TICK, Event::Tick { id, life });
                self.with(id, |log, out| log.tick(out));
            }
            Event::Written { id, life } if is_living(self, id, life) => self.written(id),
            Event::Campaign { id, life } if is_living(self, id, life) => {
                self.with(id, |log, out| log.campaign(out));
            }
            Event::Tick { .. } | Event::Written { .. } | Event::Campaign { .. } => {}
        }
    }

    pub(super) fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// How long it took until something held, in microseconds.
    pub(super) fn until(
        &mut self,
        patience: u64,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Option<u64> {
        let start = self.now;
        while self.now < start + patience {
            if holds(self) {
                return Some(self.now - start);
            }
            self.step();
        }
        None
    }

    /// Lets the observer pull from one host.
    pub(super) fn pull(&mut self, from: RaftId) {
        let Some(log) = self.hosts[&from].log.as_ref().filter(|log| log.map().idx.0 > 0) else {
            return;
        };
        let mut map = self.observer.take().unwrap_or_else(|| Arc::new(Map::unknown()));
        match log.since(map.idx) {
            Since::Entries(entries) => {
                for entry in &entries {
                    let observed = observe(&mut map, entry).expect("entries are readable");
                    let is_applied =
                        matches!(observed, crate::meta::follow::Observed::Applied { .. });
                    assert!(is_applied, "entries follow on");
                }
            }
            Since::Map(newer) => map = newer,
        }
        assert!(map.idx >= log.map().idx);
        if map.idx == log.map().idx {
            assert_eq!(map.settings, log.map().settings, "equal index, equal map");
        }
        self.observer = Some(map);
    }

    fn up(&self) -> Vec<&MetaLog> {
        self.hosts.values().filter_map(|host| host.log.as_ref()).collect()
    }

    /// Maps of one index are one map.
    pub(super) fn check_maps(&self) {
        let mut maps: BTreeMap<MapIdx, &Arc<Map>> = BTreeMap::new();
        for log in self.up() {
            let known = maps.entry(log.map().idx).or_insert_with(|| log.map());
            assert_eq!(*known, log.map(), "maps of one index are equal");
        }
    }

    /// The logs' own invariants, log matching, and maps.
    pub(super) fn check(&self) {
        self.check_maps();
        self.check_logs();
    }

    pub(super) fn check_logs(&self) {
        let up = self.up();
        up.iter().for_each(|log| log.check_invariants());
        for (place, one) in up.iter().enumerate() {
            for other in &up[place + 1..] {
                check_matching(one, other);
            }
        }
    }
}

fn check_matching(one: &MetaLog, other: &MetaLog) {
    let mut have_met = false;
    for idx in (1..=one.last_idx().min(other.last_idx())).rev() {
        if let (Some(a), Some(b)) = (one.term_at(idx), other.term_at(idx)) {
            assert!(!have_met || a == b, "logs that agree at an index agree below it");
            have_met |= a == b;
        }
    }
}

/// A file with one saved state, for tests that need one.
pub(super) fn file_of(saved: &Saved) -> Vec<u8> {
    disk::file(&header(RaftId(1)), saved)
}

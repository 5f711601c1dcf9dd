//! Two properties of the log, for the tests of fixed seeds and for the fuzzer: whatever peers send, in whatever order, a
//! node goes on and keeps its invariants; whatever a file holds, it is read or refused.

use super::disk::{self, Expected};
use super::entry::{Entries, LogEntry, Payload, SavedMap};
use super::membership::{Change, Membership, RaftId};
use super::message::{Body, MetaMessage, ReadContext, Vote};
use super::output::{MetaOut, Persist};
use super::{Durability, MetaLog};
use crate::codec::{Decode, Encode};
use crate::command::Command;
use crate::map::{ClusterId, Founding, Map, Settings};
use crate::node::{Announcement, NodeName};

/// This node, and the peers that send to it.
const ME: RaftId = RaftId(1);
const PEERS: u64 = 4;

/// Bytes that say what to do; zeros when they are used up.
struct Wishes<'a>(&'a [u8]);

impl Wishes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn chance(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// A number near one that matters, or far from all.
    fn near(&mut self, number: u64) -> u64 {
        match self.byte() {
            byte @ 0..=200 => number.saturating_add(u64::from(byte % 8)).saturating_sub(3),
            201..=220 => u64::from(self.byte()),
            221..=240 => u64::MAX - u64::from(self.byte() % 4),
            241.. => 1 << (self.byte() % 64),
        }
    }

    fn peer(&mut self) -> RaftId {
        RaftId(u64::from(self.byte()) % (PEERS + 2))
    }

    fn members(&mut self) -> Vec<RaftId> {
        let bits = self.byte();
        (1..=PEERS).filter(|&id| bits >> id & 1 == 1).map(RaftId).collect()
    }

    fn membership(&mut self) -> Membership {
        let mut membership = Membership {
            voters: self.members(),
            learners: self.members(),
            outgoing: self.members(),
            learners_next: self.members(),
        };
        if self.chance() {
            membership.learners.clear();
            membership.learners_next.clear();
        }
        membership
    }

    fn payload(&mut self) -> Payload {
        let settings = Settings { transfer_rate: u64::from(self.byte()), ..Settings::STANDARD };
        match self.byte() % 4 {
            0 => Payload::Nothing,
            1 => Payload::Commands { bytes: self.0.get(..5).unwrap_or_default().to_vec().into() },
            2 => {
                let commands = vec![Command::SetCluster { settings }];
                Payload::Commands { bytes: commands.to_bytes().into() }
            }
            _ => {
                let count = self.byte() % 4;
                let changes = (0..count).map(|_| {
                    let (kind, id) = (self.byte() % 3, self.peer());
                    match kind {
                        0 => Change::AddVoter { id },
                        1 => Change::AddLearner { id },
                        _ => Change::Remove { id },
                    }
                });
                Payload::Membership { changes: changes.collect() }
            }
        }
    }

    fn entries(&mut self, after: u64, term: u64) -> Entries {
        let count = self.byte() % 5;
        let entries = (0..u64::from(count)).map(|place| {
            let idx = after.saturating_add(place + 1);
            let is_exact = self.byte() < 240;
            let idx = if is_exact { idx } else { self.near(idx) };
            LogEntry {
                idx,
                term: if is_exact { term } else { self.near(term) },
                payload: self.payload(),
            }
        });
        Entries(entries.collect())
    }

    fn read(&mut self, reader: RaftId) -> ReadContext {
        ReadContext { reader, context: u64::from(self.byte()) }
    }

    fn message(&mut self, log: &MetaLog, from: RaftId) -> MetaMessage {
        let term = self.near(log.term() + 1);
        let (last, commit) = (log.last_idx(), self.near(log.commit_idx()));
        let body = match self.byte() % 12 {
            0..=2 => {
                let idx = self.near(last);
                let known = log.term_at(idx).unwrap_or(term);
                let log_term = if self.byte() < 230 { known } else { self.near(known) };
                Body::Append { idx, log_term, commit, entries: self.entries(idx, term) }
            }
            3 => Body::Appended { idx: self.near(last), commit },
            4 => {
                let (idx, hint) = (self.near(last), self.near(last));
                Body::Refused { idx, hint, hint_term: self.near(term), commit }
            }
            5 => {
                let kind = [Vote::Pre, Vote::Real, Vote::Transfer][usize::from(self.byte() % 3)];
                let (idx, log_term) = (self.near(last), self.near(log.term()));
                Body::VoteRequest {
                    idx,
                    log_term,
                    commit,
                    commit_term: self.near(log.term()),
                    kind,
                }
            }
            6 => {
                let (is_pre, is_granted) = (self.chance(), !self.byte().is_multiple_of(4));
                Body::Voted { is_pre, is_granted, commit, commit_term: self.near(log.term()) }
            }
            7 => {
                let mut map = if log.map().idx.0 > 0 { (**log.map()).clone() } else { map() };
                map.idx.0 = self.near(log.commit_idx() + 2);
                let snapshot = SavedMap {
                    idx: if self.byte() < 240 { map.idx.0 } else { self.near(map.idx.0) },
                    term: self.near(term.saturating_sub(2)),
                    membership: self.membership(),
                    map: map.to_bytes().into(),
                };
                Body::Snapshot { snapshot }
            }
            8 => Body::Heartbeat { commit, read: self.chance().then(|| self.read(ME)) },
            9 => Body::HeartbeatAnswer { commit, read: self.chance().then(|| self.read(from)) },
            10 if self.chance() => Body::TimeoutNow,
            10 => Body::ReadAnswer { idx: commit, read: self.read(ME) },
            _ => Body::ReadRequest { read: self.read(from) },
        };
        let term = if matches!(body, Body::ReadRequest { .. }) { 0 } else { term };
        MetaMessage { to: ME, from, term, body }
    }
}

fn map() -> Map {
    let founding = Founding { cluster: ClusterId(1), hash_seed: 1, settings: Settings::STANDARD };
    let announced = Announcement::of(1, ME.0, "a:1");
    Map::founded(founding, NodeName::new("a").expect("a name"), announced)
}

/// A voter among three that begins as one of several things.
fn node(kind: u8) -> MetaLog {
    let durability = if kind.is_multiple_of(2) { Durability::Memory } else { Durability::Disk };
    match kind / 2 % 3 {
        0 => MetaLog::found(ME, 1, durability, map()),
        1 => MetaLog::join(ME, 1, durability),
        _ => {
            let membership =
                Membership { voters: [1, 2, 3].map(RaftId).to_vec(), ..Membership::default() };
            let map = SavedMap { idx: 1, term: 1, membership, map: map().to_bytes().into() };
            let hard = disk::Hard { term: 1, vote: RaftId(0), commit: 1 };
            let saved = disk::Saved { map: Some(map), entries: Vec::new(), hard };
            let header = disk::Header { raft_id: ME, cluster: ClusterId(1), nonce: 1 };
            let recovered = disk::recover(&disk::file(&header, &saved), Expected::default());
            let mut log = MetaLog::recover(1, &recovered.expect("a good file"));
            log.durability = durability;
            log
        }
    }
}

/// Writes what is to be written; the file must stay one that can be read.
fn write(log: &mut MetaLog, out: &mut MetaOut, file: &mut Vec<u8>) {
    let header = disk::Header { raft_id: ME, cluster: ClusterId(1), nonce: 1 };
    while let Some(persist) = out.persist.take() {
        match persist {
            Persist::Append(saved) => disk::append(&saved, file),
            Persist::Replace(saved) => *file = disk::file(&header, &saved),
        }
        let recovered = disk::recover(file, Expected::default()).expect("what is written is read");
        assert_eq!(recovered.len, file.len(), "all of it");
        log.persisted(out);
    }
}

/// Sends a node what `data` says, and returns how many messages got past the rules.
///
/// # Panics
///
/// When the node does, or when an invariant is broken.
#[must_use]
pub fn exercise(data: &[u8]) -> usize {
    let mut wishes = Wishes(data);
    let mut log = node(wishes.byte());
    let (mut out, mut file, mut stepped) = (MetaOut::default(), Vec::new(), 0);
    let peers: Vec<RaftId> = (2..=PEERS).map(RaftId).collect();
    log.admit(&peers);
    log.ready(&mut out);
    write(&mut log, &mut out, &mut file);
    while !wishes.0.is_empty() {
        match wishes.byte() % 16 {
            0 => (0..wishes.byte()).for_each(|_| {
                log.tick(&mut out);
                write(&mut log, &mut out, &mut file);
            }),
            1 => {
                let settings = Settings { transfer_rate: 7, ..Settings::STANDARD };
                let _outcome = log.propose(&[Command::SetCluster { settings }], &mut out);
            }
            2 => {
                let id = wishes.peer();
                let change =
                    [Change::AddVoter { id }, Change::AddLearner { id }, Change::Remove { id }];
                let change = change[usize::from(wishes.byte() % 3)];
                let _outcome = log.propose_members(&[change], &mut out);
            }
            3 => {
                let _outcome = log.transfer(wishes.peer(), &mut out);
            }
            4 => log.campaign(&mut out),
            5 => log.read_index(u64::from(wishes.byte()), &mut out),
            6 => log.unreachable(wishes.peer(), &mut out),
            7 => {
                let len = usize::from(wishes.byte()).min(wishes.0.len());
                let (bytes, rest) = wishes.0.split_at(len);
                wishes.0 = rest;
                if let Ok(message) = MetaMessage::from_bytes(bytes) {
                    assert_eq!(message.to_bytes(), bytes, "one value, one encoding");
                    stepped += usize::from(log.step(message.from, message, &mut out).is_ok());
                }
            }
            _ => {
                let from = wishes.peer();
                let message = wishes.message(&log, from);
                let bytes = message.to_bytes();
                // What its decoder would not let pass does not come from a peer.
                if let Ok(message) = MetaMessage::from_bytes(&bytes) {
                    stepped += usize::from(log.step(from, message, &mut out).is_ok());
                }
            }
        }
        write(&mut log, &mut out, &mut file);
        log.check_invariants();
        out = MetaOut::default();
    }
    stepped
}

/// Payload of a frame that need not say anything.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// Reads a file of which `data` says what it holds: any bytes, or frames that are whole and say anything. Returns whether
/// it can be used; a node starts from it then.
///
/// # Panics
///
/// When reading does, or the node that starts.
#[must_use]
pub fn exercise_file(data: &[u8]) -> bool {
    let mut wishes = Wishes(data);
    let kind = wishes.byte();
    let header = disk::Header { raft_id: ME, cluster: ClusterId(1), nonce: 1 };
    let hard = disk::Hard { term: 2, vote: ME, commit: 1 };
    let membership = Membership::of_one(ME);
    let saved = SavedMap { idx: 1, term: 1, membership, map: map().to_bytes().into() };
    let first = disk::Saved { map: Some(saved), entries: Vec::new(), hard };
    let mut file = match kind % 4 {
        0 => wishes.0.to_vec(),
        1 => disk::file_head(&header),
        _ => disk::file(&header, &first),
    };
    while kind % 4 > 0 && !wishes.0.is_empty() {
        let len = usize::from(wishes.byte()) + 256 * usize::from(wishes.byte() % 16);
        let (payload, rest) = wishes.0.split_at(len.min(wishes.0.len()));
        wishes.0 = rest;
        disk::frame(&Raw(payload), &mut file);
    }
    let Ok(recovered) = disk::recover(&file, Expected::default()) else { return false };
    assert!(recovered.len <= file.len(), "what counts is in the file");
    let again = disk::file(&recovered.header, &recovered.saved);
    let again = disk::recover(&again, Expected::default()).expect("what was read is written");
    assert_eq!(again.saved, recovered.saved, "one file, one state");
    let mut log = MetaLog::recover(1, &recovered);
    let (mut out, mut file) = (MetaOut::default(), Vec::new());
    log.ready(&mut out);
    write(&mut log, &mut out, &mut file);
    log.campaign(&mut out);
    write(&mut log, &mut out, &mut file);
    log.check_invariants();
    true
}

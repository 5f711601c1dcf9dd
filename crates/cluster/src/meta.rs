//! The metadata log: commands in one order on every voter, and the map that they lead to.
//!
//! [`MetaLog`] is the crate `raft` (the Raft of `TiKV`: elections with pre-vote and check-quorum, leader transfer, read-index,
//! learners, joint membership changes) behind a narrow interface without I/O. It is stepped by calls that each take one
//! input (a message, a tick of 10 ms, commands) and append everything they want done to a [`MetaOut`] of the caller's:
//! messages to send, records for the disk, entries that are committed and applied.
//!
//! ```text
//! Idle ── step, tick, propose, … ──▶ out ──▶ Idle            nothing to be kept
//!                                     │
//!                                     └────▶ Persisting ── persisted() ──▶ out ──▶ Idle or Persisting
//! ```
//!
//! While records are being written ([`MetaOut::persist`]), nothing is stepped: the caller keeps what arrives, bounded, or
//! drops it, which the protocol allows. What depends on the records (votes, acknowledgements, what they commit) leaves
//! with [`MetaLog::persisted`]; a leader's entries leave before, as its own disk is just one of a majority.
//!
//! Invariants: the map's index is the last applied one; every entry of the log, those without commands too, moves it by
//! one. Bytes of peers are decoded here (`message`) and checked against the node's state (`check`) before the crate sees
//! them. Equal seeds and inputs give equal outputs: the crate's own random election time-out is replaced after every call.
//!
//! Left out: merging commands into entries and sending followers' commands to the leader (the caller's), files
//! ([`disk`] has their bytes). Sources: Ongaro, "Consensus: Bridging Theory and Practice", 2014, sections 3, 4, 6.4, 9.6;
//! docs/design/replication.md, section 15.

pub mod check;
pub mod disk;
pub mod entry;
#[cfg(any(test, fuzzing))]
pub mod exercise;
pub mod follow;
pub mod membership;
pub mod message;
pub mod output;
mod ready;
pub mod refused;
mod requests;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use raft::{Config, RawNode, StateRole, Storage};
use ringhold_types::id::MapIdx;
use ringhold_types::prng::Prng;

use self::check::{Verdict, Violation};
use self::disk::{Recovered, Saved};
use self::entry::{LogEntry, SavedMap};
use self::follow::{History, Since};
use self::membership::{Membership, RaftId};
use self::message::MetaMessage;
use self::output::MetaOut;
use self::ready::Pending;
use self::store::Store;
use crate::codec::Encode;
use crate::map::Map;

/// A follower that hears nothing for this many ticks, drawn anew in each term, stands for election.
pub const ELECTION_TICKS: std::ops::Range<usize> = 25..50;
/// A leader's heartbeats, in ticks.
pub const HEARTBEAT_TICKS: usize = 5;
/// A tick, in milliseconds.
pub const TICK_MS: u64 = 10;
/// The longest entry, in bytes of its commands. More are refused; the caller splits them.
pub const ENTRY_LEN_MAX: usize = 1 << 20;
/// Where a message with entries is cut, in bytes; one entry always goes.
pub const APPEND_LEN_MAX: usize = 1 << 20;
/// The bytes that a leader proposes beyond what is committed; above it proposals are refused as [`refused::ProposeError::Busy`].
pub const UNCOMMITTED_LEN_MAX: usize = 16 << 20;
/// Messages with entries to one follower that are not acknowledged; above it the leader waits.
pub const INFLIGHT_MAX: usize = 256;
/// The longest map in a snapshot, in bytes.
pub const SNAPSHOT_LEN_MAX: usize = 16 << 20;
/// The most ids in [`MetaLog::admit`].
pub const ADMITTED_MAX: usize = 16;
/// A snapshot that is not acknowledged for this many ticks counts as lost, and is sent again.
pub const SNAPSHOT_TICKS_MAX: u32 = 500;
/// The term of the map that a log begins with.
const GENESIS_TERM: u64 = 1;

/// Where a node keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In memory: there are no records, and whoever restarts is another voter.
    Memory,
    /// On a disk: see [`disk`].
    Disk,
}

/// One voter's or learner's part of the metadata log.
pub struct MetaLog {
    raft_id: RaftId,
    seed: u64,
    durability: Durability,
    raw: RawNode<Store>,
    history: History,
    /// Ids that messages are taken from though this node's own log does not name them.
    admitted: Vec<RaftId>,
    /// For how many ticks each follower has been owing the answer to a snapshot.
    snapshot_ticks: BTreeMap<u64, u32>,
    /// What waits for the disk.
    pending: Option<Pending>,
    /// The map of the last message, if it had one: what the crate makes of it follows at once.
    received: Option<Arc<Map>>,
    /// Whether the file is to be written anew.
    is_rewrite_due: bool,
    /// Bytes appended to the file since it was written anew, about.
    appended_len: usize,
    /// The (term, vote, commit) that the disk has.
    persisted_hard: (u64, u64, u64),
}

impl fmt::Debug for MetaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetaLog")
            .field("raft_id", &self.raft_id)
            .field("term", &self.term())
            .field("leader", &self.leader())
            .field("applied", &self.map().idx)
            .field("last", &self.last_idx())
            .field("membership", self.membership())
            .finish_non_exhaustive()
    }
}

impl MetaLog {
    /// The first voter of a log that begins with `map`. It leads at once: the first [`MetaLog::ready`] commits the entry
    /// that makes it so (after the disk, if there is one).
    ///
    /// # Panics
    ///
    /// When `raft_id` is 0, or the map's index is.
    #[must_use]
    pub fn found(raft_id: RaftId, seed: u64, durability: Durability, map: Map) -> Self {
        assert!(map.idx.0 > 0, "a log begins with a map");
        let mut store = Store::empty();
        let saved = SavedMap {
            idx: map.idx.0,
            term: GENESIS_TERM,
            membership: Membership::of_one(raft_id),
            map: map.to_bytes().into(),
        };
        store.install(&saved, Arc::new(map));
        let mut log = Self::new(raft_id, seed, durability, store);
        log.campaign_raw();
        log
    }

    /// A node without a log. It waits for the leader of one that adds it as a learner; whose messages it takes is told by
    /// [`MetaLog::admit`].
    ///
    /// # Panics
    ///
    /// When `raft_id` is 0.
    #[must_use]
    pub fn join(raft_id: RaftId, seed: u64, durability: Durability) -> Self {
        Self::new(raft_id, seed, durability, Store::empty())
    }

    /// A node that comes back with what its disk had. The first [`MetaLog::ready`] applies what was known to be
    /// committed; a single voter leads after [`MetaLog::campaign`].
    #[must_use]
    pub fn recover(seed: u64, recovered: &Recovered) -> Self {
        let saved = &recovered.saved;
        let mut store = Store::empty();
        if let (Some(place), Some(map)) = (&saved.map, &recovered.map) {
            store.install(place, Arc::clone(map));
        }
        store.append(saved.entries.iter().cloned().map(LogEntry::into_raft).collect());
        store.hard = saved.hard.to_raft();
        Self::new(recovered.header.raft_id, seed, Durability::Disk, store)
    }

    fn new(raft_id: RaftId, seed: u64, durability: Durability, store: Store) -> Self {
        assert!(raft_id.0 != 0, "0 is no raft id");
        let config = Config {
            id: raft_id.0,
            election_tick: ELECTION_TICKS.start,
            min_election_tick: ELECTION_TICKS.start,
            max_election_tick: ELECTION_TICKS.end,
            heartbeat_tick: HEARTBEAT_TICKS,
            check_quorum: true,
            pre_vote: true,
            applied: store.map.idx.0,
            max_size_per_msg: APPEND_LEN_MAX as u64,
            max_inflight_msgs: INFLIGHT_MAX,
            max_uncommitted_size: UNCOMMITTED_LEN_MAX as u64,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, store, &logger).expect("the log's state was checked");
        let mut log = Self {
            raft_id,
            seed,
            durability,
            raw,
            history: History::default(),
            admitted: Vec::new(),
            snapshot_ticks: BTreeMap::new(),
            pending: None,
            received: None,
            // Whatever the file is, it is not this process's yet.
            is_rewrite_due: true,
            appended_len: 0,
            persisted_hard: (0, 0, 0),
        };
        log.draw_timeout();
        log
    }

    /// This node's id.
    #[must_use]
    pub fn raft_id(&self) -> RaftId {
        self.raft_id
    }

    /// The map as of the last applied entry.
    #[must_use]
    pub fn map(&self) -> &Arc<Map> {
        &self.store().map
    }

    /// Who votes and learns as of the last applied entry.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.store().membership
    }

    /// The present term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// Who leads, as far as is known.
    #[must_use]
    pub fn leader(&self) -> Option<RaftId> {
        Some(RaftId(self.raw.raft.leader_id)).filter(|id| id.0 != 0)
    }

    /// Whether this node leads. It may have been replaced without knowing; what it proposes is then not committed.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether this node leads and has committed an entry of its own term, so that it knows everything that is committed
    /// and confirms reads.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.is_leader() && self.raw.raft.commit_to_current_term()
    }

    /// The index of the last entry, committed or not.
    #[must_use]
    pub fn last_idx(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// The index up to which this node knows the log to be committed.
    #[must_use]
    pub fn commit_idx(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// The term of the entry at `idx`; `None`: it is not in the log, or no longer.
    #[must_use]
    pub fn term_at(&self, idx: u64) -> Option<u64> {
        self.store().term(idx).ok()
    }

    /// What `id` is known to have of the log, by its index. `None`: this node does not lead, or `id` is no member.
    #[must_use]
    pub fn matched(&self, id: RaftId) -> Option<u64> {
        let progress = self.raw.raft.prs().get(id.0).filter(|_| self.is_leader())?;
        Some(progress.matched)
    }

    /// What an observer that has the map at `idx` lacks.
    #[must_use]
    pub fn since(&self, idx: MapIdx) -> Since {
        self.history.since(idx, self.map())
    }

    /// Everything that a disk is to have, for a file that is written anew.
    ///
    /// # Panics
    ///
    /// While records are being written.
    #[must_use]
    pub fn saved(&self) -> Saved {
        self.assert_idle();
        let store = self.store();
        Saved {
            map: store.saved(),
            entries: store.unapplied().collect(),
            hard: disk::Hard::from_raft(&self.raw.raft.hard_state()),
        }
    }

    /// Whether records are being written, and nothing may be stepped.
    #[must_use]
    pub fn is_persisting(&self) -> bool {
        self.pending.is_some()
    }

    fn store(&self) -> &Store {
        self.raw.store()
    }

    /// Names nodes whose messages are taken though this log does not name them (yet): the leader that this node was
    /// told of, voters in a newer map. It replaces the names given before; beyond [`ADMITTED_MAX`] they are ignored.
    pub fn admit(&mut self, ids: &[RaftId]) {
        self.admitted = ids.iter().copied().take(ADMITTED_MAX).collect();
    }

    /// Takes a message of the peer `from`, as its connection is bound to.
    ///
    /// # Errors
    ///
    /// [`Violation`]: the rule that it breaks. The node is as it was before.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn step(
        &mut self,
        from: RaftId,
        message: MetaMessage,
        out: &mut MetaOut,
    ) -> Result<(), Violation> {
        self.assert_idle();
        self.received = match self.check(from, &message)? {
            Verdict::Drop => return Ok(()),
            Verdict::Step => None,
            Verdict::StepMap(map) => Some(map),
        };
        // What the crate refuses (answers of former members) changes nothing.
        drop(self.raw.step(message.into_raft()));
        self.ready(out);
        Ok(())
    }

    /// Lets [`TICK_MS`] pass.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn tick(&mut self, out: &mut MetaOut) {
        self.assert_idle();
        self.raw.tick();
        self.give_up_snapshots();
        self.ready(out);
    }

    /// Says that the connection to `to` broke, and that what was sent last may be lost.
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn unreachable(&mut self, to: RaftId, out: &mut MetaOut) {
        self.assert_idle();
        self.raw.report_unreachable(to.0);
        self.raw.report_snapshot(to.0, raft::SnapshotStatus::Failure);
        self.ready(out);
    }

    fn assert_idle(&self) {
        assert!(self.pending.is_none(), "nothing is stepped while records are being written");
    }

    /// Followers that owe the answer to a snapshot for too long are sent another one.
    fn give_up_snapshots(&mut self) {
        let is_owing = |state| state == raft::ProgressState::Snapshot;
        let progress = self.raw.raft.prs().iter();
        let owing: Vec<u64> = progress
            .filter(|(_, progress)| self.is_leader() && is_owing(progress.state))
            .map(|(&id, _)| id)
            .collect();
        self.snapshot_ticks.retain(|id, _| owing.contains(id));
        for id in owing {
            let ticks = self.snapshot_ticks.entry(id).or_default();
            *ticks += 1;
            if *ticks > SNAPSHOT_TICKS_MAX {
                self.snapshot_ticks.remove(&id);
                self.raw.report_snapshot(id, raft::SnapshotStatus::Failure);
            }
        }
    }

    /// Replaces the election time-out that the crate drew by one that is a function of seed, id and term.
    fn draw_timeout(&mut self) {
        let mut prng = Prng::new(self.seed);
        let seed = prng.next_u64() ^ self.raft_id.0.rotate_left(17) ^ self.term().rotate_left(41);
        let range = ELECTION_TICKS.len() as u64;
        let drawn = usize::try_from(Prng::new(seed).below(range)).unwrap_or(0);
        self.raw.raft.set_randomized_election_timeout(ELECTION_TICKS.start + drawn);
    }

    /// Checks what must always hold.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check_invariants(&self) {
        self.store().check_invariants();
        self.history.check_invariants(self.map());
        assert!(self.map().idx.0 <= self.commit_idx(), "what is applied is committed");
        assert!(
            self.membership().is_unknown() || self.membership().is_coherent(),
            "members can be"
        );
        assert_eq!(self.map().idx.0 == 0, self.membership().is_unknown(), "a map has members");
    }
}

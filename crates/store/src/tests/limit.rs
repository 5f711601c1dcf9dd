//! The limit holds after every call (G1 of the design), and who may use how much of it.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ringhold_types::entry::{ContentType, Deadlines};
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use super::world::{KIB, SMALL, bytes_of};
use super::{NS, START, Stamps};
use crate::budget::{Budget, Purse};
use crate::entry::{Decision, Put, Role, UpdateError, Value};
use crate::hash::{HashSeed, KeyHash};
use crate::large::LargeWriter;
use crate::shard::Shard;

/// Shards that are used; of the others only the reserves count.
const USED: usize = 4;
const STEPS: u64 = 1_000_000;

/// An engine without a twin: a million calls are to be quick.
struct Engine {
    shards: Vec<Shard>,
    budget: Arc<Budget>,
    keys: Vec<(Vec<u8>, KeyHash)>,
    writers: Vec<LargeWriter>,
    log: Stamps,
    now: UnixTime,
    bytes: Vec<u8>,
    full: u64,
}

impl Engine {
    fn new() -> Self {
        let budget = Budget::new(&SMALL);
        let seed = HashSeed::new(7);
        let shard = |idx| Shard::new(idx, SMALL, seed, Arc::clone(&budget));
        let keys = (0..).map(|n| format!("key:{n}").into_bytes()).map(|key| {
            let at = seed.key(&key);
            (key, at)
        });
        let keys = keys.filter(|(_, at)| SMALL.shard_of(at.slot) < USED).take(4000).collect();
        Self {
            shards: (0..SMALL.shards).map(shard).collect(),
            budget,
            keys,
            writers: Vec::new(),
            log: Stamps::default(),
            now: START,
            bytes: bytes_of(1, 12 * KIB),
            full: 0,
        }
    }

    fn assert_limit(&self) {
        let (used, limit) = (self.budget.used(), self.budget.limit());
        assert!(used <= limit, "{used} of {limit} bytes are used");
    }

    /// Repeats `attempt` while other shards have to make room.
    fn with_room<T>(
        &mut self,
        idx: usize,
        mut attempt: impl FnMut(&mut Shard, &mut Stamps, &[u8]) -> Result<T, UpdateError>,
    ) -> Option<T> {
        for _ in 0..8 {
            let done = attempt(&mut self.shards[idx], &mut self.log, &self.bytes);
            self.assert_limit();
            match done {
                Ok(done) => return Some(done),
                Err(UpdateError::NeedRoom { shard }) => {
                    self.shards[shard].evict_one(self.now, &mut self.log);
                    self.assert_limit();
                }
                Err(_) => break,
            }
        }
        self.full += 1;
        None
    }

    fn put(&mut self, key_idx: usize, len: usize, hard: Option<UnixTime>) {
        let (key, at) = self.keys[key_idx].clone();
        let now = self.now;
        self.with_room(SMALL.shard_of(at.slot), |shard, log, bytes| {
            let put = Put {
                value: Value::Bytes(&bytes[..len]),
                kind: 0,
                deadlines: Deadlines { hard, soft: None },
                client_flags: 0,
                content_type: ContentType::NONE,
            };
            shard.update(NS, &key, at, now, log, |_| Decision::Put(put))
        });
    }

    fn step(&mut self, prng: &mut Prng) {
        let index = |prng: &mut Prng, below: usize| {
            usize::try_from(prng.below(u64::try_from(below).expect("a count"))).expect("a count")
        };
        let key_idx = index(prng, self.keys.len());
        let slot = self.keys[key_idx].1.slot;
        let idx = SMALL.shard_of(slot);
        match prng.below(1000) {
            0..=849 => {
                let most = if prng.chance(1, 200) { 12 * KIB } else { 400 };
                let (len, ttl) = (index(prng, most), prng.below(60_000));
                let hard = prng.chance(1, 4).then_some(UnixTime(self.now.0 + ttl));
                self.put(key_idx, len, hard);
            }
            850..=899 => {
                let (key, at) = &self.keys[key_idx];
                let (shard, log) = (&mut self.shards[idx], &mut self.log);
                let done = shard.update(NS, key, *at, self.now, log, |_| Decision::Delete);
                done.expect("a deletion needs no room");
            }
            900..=949 => {
                let (key, at) = self.keys[key_idx].clone();
                let (now, hard) = (self.now, UnixTime(self.now.0 + prng.below(60_000)));
                let deadlines = Deadlines { hard: Some(hard), soft: None };
                self.with_room(idx, |shard, log, _| {
                    shard.update(NS, &key, at, now, log, |_| Decision::Touch(deadlines))
                });
            }
            950..=969 => {
                self.now.0 += prng.below(100);
                self.shards[idx].tick(self.now, &mut self.log, 64);
            }
            970 => self.shards[idx].clear(NS, slot, &mut self.log),
            971..=973 => {
                let role = if prng.chance(1, 4) { Role::Backup } else { Role::Primary };
                self.shards[idx].set_role(slot, role);
            }
            974..=979 => {
                let (len, now) = (index(prng, 64 * KIB), self.now);
                let writer =
                    self.with_room(idx, |shard, log, _| shard.begin_large(NS, len, now, log));
                self.writers.extend(writer);
            }
            980..=989 => drop(self.writers.pop()),
            _ => {
                self.shards[idx].evict_one(self.now, &mut self.log);
            }
        }
        self.assert_limit();
    }
}

#[test]
fn limit_holds_after_every_one_of_a_million_calls() {
    let mut engine = Engine::new();
    let spare = 900 * 1024;
    let ballast = engine.budget.limit() - engine.budget.used() - spare;
    assert!(engine.budget.charge(ballast), "there was room");
    let mut prng = Prng::new(1);
    let mut fullest = 0;
    for _ in 0..STEPS {
        engine.step(&mut prng);
        fullest = fullest.max(engine.budget.used());
    }
    engine.shards.iter().for_each(Shard::check_deeply);
    let (limit, seg_bytes) = (SMALL.limit, u64::try_from(SMALL.seg_len).expect("a length"));
    assert!(fullest > limit - limit / 25 - seg_bytes, "all but the reserve was used: {fullest}");
    let evicted: u64 = engine.shards.iter().map(|shard| shard.work().evicted).sum();
    assert!(evicted > STEPS / 10, "memory is full all the time: {evicted} evictions");
    assert!(engine.full < STEPS / 10, "and most writes find room: {} do not", engine.full);
    let Engine { shards, budget, writers, .. } = engine;
    drop((shards, writers));
    assert_eq!(budget.used(), ballast, "everything is given back");
}

#[test]
fn reserve_is_for_entries_of_backup_slots() {
    let mut engine = Engine::new();
    let backup = engine.keys[0].1.slot;
    let idx = SMALL.shard_of(backup);
    let ballast = engine.budget.limit() - engine.budget.used() - 700 * 1024;
    assert!(engine.budget.charge(ballast), "there was room");
    let ceiling = engine.budget.limit() - engine.budget.limit() / 25;
    engine.shards[idx].set_role(backup, Role::Backup);
    for n in 1..engine.keys.len() {
        engine.put(n, 400, None);
        assert!(engine.budget.used() <= ceiling, "entries of primaries leave the reserve");
    }
    assert_eq!(engine.full, 0, "primaries are evicted");
    let room = engine.budget.limit() - engine.budget.used();
    assert!(room < 3 * engine.budget.limit() / 50, "and use the rest: {room} bytes are left");
    assert!(!engine.budget.has_room(room) && engine.budget.ceiling(Purse::Backup) > ceiling);
    // A backup's entries are kept whatever comes: as many are there as were applied.
    let seed = HashSeed::new(7);
    let tag = alloc::string::String::from_utf8(engine.keys[0].0.clone()).expect("keys are text");
    engine.keys = (0..400u32)
        .map(|n| format!("{{{tag}}}{n}").into_bytes())
        .map(|key| (key.clone(), seed.key(&key)))
        .collect();
    for n in 0..engine.keys.len() {
        engine.put(n, 400, None);
    }
    assert!(engine.budget.used() > ceiling, "they use the reserve");
    let applied = 400 - engine.full;
    assert_eq!(engine.shards[idx].slot_stats(NS, backup).entries, applied);
    assert!(applied > 200, "there was room for {applied}");
    engine.shards[idx].set_role(backup, Role::Primary);
    engine.shards.iter().for_each(Shard::check_deeply);
    assert_eq!(
        engine.budget.ceiling(Purse::Common),
        engine.budget.limit(),
        "no backup, no reserve"
    );
    assert_eq!(Slot::of_key(&engine.keys[0].0), backup);
}

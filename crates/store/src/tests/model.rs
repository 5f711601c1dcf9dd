//! Random operations of every kind against the twin, each run with a choice of them (swarm testing: Groce and others,
//! ISSTA 2012): what hides when everything happens at once shows when half of it does not.

use alloc::format;
use alloc::vec::Vec;

use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use super::twin::Content;
use super::world::{Call, Key, SMALL, World, bytes_of};
use crate::budget::{EngineConfig, Geometry};
use crate::entry::{Decision, Outcome, Role, UpdateError};

/// Namespaces, hash tags (each a slot) and keys of a tag that a run draws from.
const NAMESPACES: u64 = 3;
const TAGS: u64 = 12;
const NAMES: u64 = 120;

/// What the caller charges in the small engine, to begin with.
const CHARGED: u64 = 1664 * 1024;

/// What can happen, and how often beside a put's 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Op {
    Put,
    Delete,
    Touch,
    Keep,
    Hit,
    Tick,
    Clock,
    Clear,
    Scan,
    Role,
    Gate,
    Quota,
    Unevicted,
    Limit,
    Begin,
    Receive,
    Read,
    LetGo,
    Evict,
    DropSpace,
    Charge,
}

const WEIGHTS: [(Op, u64); 21] = [
    (Op::Put, 100),
    (Op::Delete, 10),
    (Op::Touch, 10),
    (Op::Keep, 5),
    (Op::Hit, 60),
    (Op::Tick, 5),
    (Op::Clock, 10),
    (Op::Clear, 1),
    (Op::Scan, 5),
    (Op::Role, 2),
    (Op::Gate, 2),
    (Op::Quota, 2),
    (Op::Unevicted, 1),
    (Op::Limit, 1),
    (Op::Begin, 3),
    (Op::Receive, 8),
    (Op::Read, 4),
    (Op::LetGo, 4),
    (Op::Evict, 1),
    (Op::DropSpace, 1),
    (Op::Charge, 1),
];

/// A run: the engine, the operations it was dealt, and the tags whose slots share few shards.
struct Run {
    world: World,
    prng: Prng,
    weights: Vec<(Op, u64)>,
    tags: Vec<u64>,
}

impl Run {
    fn new(seed: u64, geometry: Geometry) -> Self {
        let mut prng = Prng::new(seed);
        let world = World::new(geometry);
        let dealt = |prng: &mut Prng, op| op == Op::Put || op == Op::Hit || prng.chance(2, 3);
        let weights = WEIGHTS.into_iter().filter(|(op, _)| dealt(&mut prng, *op)).collect();
        // Of sixteen shards four are used, so that each of them has enough for evictions.
        let is_used = |tag: &u64| {
            let slot = Slot::of_key(format!("{tag}").as_bytes());
            geometry.shard_of(slot).is_multiple_of((geometry.shards / 4).max(1))
        };
        let tags = (0..).filter(is_used).take(usize::try_from(TAGS).expect("a count")).collect();
        Self { world, prng, weights, tags }
    }

    fn has(&self, op: Op) -> bool {
        self.weights.iter().any(|(dealt, _)| *dealt == op)
    }

    fn draw(&mut self) -> Op {
        let sum = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = self.prng.below(sum);
        for &(op, weight) in &self.weights {
            if at < weight {
                return op;
            }
            at -= weight;
        }
        Op::Put
    }

    fn len(&mut self, below: usize) -> usize {
        usize::try_from(self.prng.below(u64::try_from(below).expect("a length"))).expect("a length")
    }

    fn namespace(&mut self) -> NamespaceId {
        NamespaceId(u16::try_from(self.prng.below(NAMESPACES)).expect("a number"))
    }

    fn slot(&mut self) -> Slot {
        let tag = self.len(self.tags.len());
        Slot::of_key(format!("{}", self.tags[tag]).as_bytes())
    }

    /// A key; some are too long for one byte of length, some for the log. A few names are drawn far more often.
    fn key(&mut self) -> Key {
        let ns = self.namespace();
        let tag = self.len(self.tags.len());
        let most = if self.prng.chance(1, 2) { NAMES } else { NAMES / 10 };
        let name = self.prng.below(most);
        let mut bytes = format!("{{{}}}{name}", self.tags[tag]).into_bytes();
        match name {
            7 => bytes.resize(300, b'k'),
            8 => bytes.resize(self.world.geometry.large_len_min + 1, b'k'),
            _ => {}
        }
        self.world.key(ns, bytes)
    }

    fn deadlines(&mut self) -> Deadlines {
        let now = self.world.twin.now.0;
        let bits = 1 + self.prng.below(32);
        let ttl = self.prng.below(1 << bits);
        let hard = self.prng.chance(1, 2).then_some(UnixTime(now + ttl));
        let soft = self.prng.chance(1, 6).then_some(UnixTime(now + ttl / 2));
        Deadlines { hard, soft }
    }

    fn content(&mut self) -> Content {
        let seg_len = self.world.geometry.seg_len;
        let len = match self.prng.below(40) {
            0 => self.len(3 * seg_len),
            1..=15 => self.len(seg_len / 4),
            _ => self.len(200),
        };
        let value = bytes_of(self.prng.next_u64(), len);
        let rarely = |prng: &mut Prng, most| if prng.chance(1, 8) { prng.below(most) } else { 0 };
        Content {
            value,
            kind: rarely(&mut self.prng, 5).to_le_bytes()[0],
            deadlines: self.deadlines(),
            client_flags: u32::try_from(rarely(&mut self.prng, 1 << 32)).expect("four bytes"),
            content_type: ContentTypeId(
                u16::try_from(rarely(&mut self.prng, u64::from(u16::MAX))).expect("two"),
            ),
            version: Version(0),
        }
    }

    /// On a backup every change has come from elsewhere with its version.
    fn receive_version(&mut self) {
        let step = self.prng.below(3);
        self.world.twin.received = Some(self.world.twin.version_after(step));
    }

    /// Whether a write may fail in this run at all (G2): without these a small one always finds room.
    fn may_fail(&self) -> bool {
        [Op::Role, Op::Gate, Op::Quota, Op::Unevicted, Op::Limit].iter().any(|&op| self.has(op))
    }

    /// Checks why a write failed.
    fn check_error(&self, error: UpdateError, is_large: bool) {
        match error {
            UpdateError::TooLarge { len, max } => {
                let is_bounded = max < self.world.geometry.value_len_max;
                assert!(len > max && is_large && is_bounded && self.has(Op::Quota), "{error}");
            }
            UpdateError::Full { retry } => {
                let in_flight = self.world.budget.in_flight() > 0;
                assert!(self.may_fail() || (is_large && in_flight), "{error}");
                assert!(retry || self.may_fail(), "{error}");
            }
            UpdateError::KeyTooLong { .. }
            | UpdateError::TooManySpaces { .. }
            | UpdateError::NeedRoom { .. } => panic!("{error}"),
        }
    }

    fn put(&mut self, key: &Key) {
        let content = self.content();
        let is_large = self.world.call_for(key, content.value.len()) != Call::Update;
        if let Err(error) = self.world.put(key, &content) {
            self.check_error(error, is_large);
        }
    }

    fn touch(&mut self, key: &Key) {
        let deadlines = self.deadlines();
        // A backup applies what it is told, also to what it does not show.
        let is_backup = self.world.twin.role(key.at.slot) == Role::Backup;
        let done = self.world.update(key, Call::Update, |old| {
            if old.is_some() || is_backup { Decision::Touch(deadlines) } else { Decision::Keep }
        });
        match done {
            Ok(Outcome::Touched) => {
                let entry = self.world.twin.entry(key.ns, key.at.slot, &key.bytes);
                assert_eq!(entry.map(|entry| entry.deadlines), Some(deadlines));
            }
            Ok(Outcome::Kept) => {}
            Ok(outcome) => panic!("{outcome:?} of a touch"),
            Err(error) => self.check_error(error, false),
        }
    }

    /// Begins to receive a value, or receives one whose length nobody knew.
    fn begin(&mut self, key: &Key) {
        let len = self.len(self.world.geometry.seg_len * 6);
        let value = bytes_of(self.prng.next_u64(), len);
        if self.prng.chance(1, 2) {
            self.world.begin(key.ns, key.at.slot, value);
        } else {
            let part_len = 1 + self.len(self.world.geometry.seg_len * 2);
            self.world.begin_growing(key.ns, key.at.slot, value, part_len);
        }
    }

    fn receive(&mut self) {
        if self.world.incoming.is_empty() {
            return;
        }
        let at = self.len(self.world.incoming.len());
        let incoming = &mut self.world.incoming[at];
        let writer = incoming.writer.as_mut().expect("a value under way has its writer");
        if writer.remaining() > 0 && !self.prng.chance(1, 8) {
            let start = incoming.value.len() - writer.remaining();
            let some = usize::try_from(self.prng.below(20_000)).expect("a length");
            writer.write(&incoming.value[start..][..some.min(writer.remaining())]);
            return;
        }
        let mut incoming = self.world.incoming.swap_remove(at);
        let writer = incoming.writer.take().expect("a value under way has its writer");
        if writer.remaining() > 0 {
            return; // its sender is gone
        }
        let mut key = self.key();
        (key.ns, key.bytes) = (incoming.ns, Vec::from(*b"{")); // of the slot that it was begun for
        let tag =
            self.tags.iter().find(|tag| Slot::of_key(format!("{tag}").as_bytes()) == incoming.slot);
        key.bytes = format!("{{{}}}large", tag.expect("it was begun for a tag")).into_bytes();
        let key = self.world.key(key.ns, key.bytes);
        let content = Content { value: incoming.value, ..self.content() };
        if let Err(error) = self.world.commit(&key, writer, &content) {
            self.check_error(error, true);
        }
        self.world.check_key(&key, false);
    }

    fn clock(&mut self) {
        let most = match self.prng.below(40) {
            0 => 40 * 24 * 3_600_000,
            1..=8 => 60_000,
            _ => 100,
        };
        self.world.twin.now.0 += self.prng.below(most);
    }

    fn terms(&mut self, evicts: bool) {
        let (ns, slot) = (self.namespace(), self.slot());
        let least = self.world.geometry.quota_min() / 16;
        let quota = self.prng.chance(2, 3).then(|| least + self.prng.below(least * 2));
        let quota = quota.filter(|_| self.has(Op::Quota));
        let (idx, now) = (self.world.shard_of(slot), self.world.twin.now);
        let done = self.world.call(idx, Call::Configure, |shard, twin| {
            shard.configure(ns, quota, evicts, now, twin)
        });
        if let Err(error) = done {
            assert!(matches!(error, UpdateError::Full { .. } | UpdateError::NeedRoom { .. }));
        }
    }

    fn limit(&mut self) {
        let whole = self.world.geometry.limit;
        let limit = whole - whole / 12 + self.prng.below(whole / 6);
        self.world.budget.set_limit(limit).expect("it is within the range");
    }

    fn gate(&mut self) {
        let slot = self.slot();
        if self.prng.chance(1, 2) {
            self.world.twin.gates.clear();
        } else {
            self.world.twin.gates.insert(slot);
        }
    }

    fn step(&mut self) {
        let key = self.key();
        self.receive_version();
        match self.draw() {
            Op::Put => self.put(&key),
            Op::Delete => {
                let done = self.world.update(&key, Call::Update, |_| Decision::Delete);
                assert!(matches!(done, Ok(Outcome::Deleted | Outcome::Kept)), "{done:?}");
            }
            Op::Touch => self.touch(&key),
            Op::Keep => {
                let done = self.world.update(&key, Call::Update, |_| Decision::Keep);
                assert_eq!(done, Ok(Outcome::Kept));
            }
            Op::Hit => self.world.check_key(&key, true),
            Op::Tick => {
                let (idx, most) = (self.world.shard_of(key.at.slot), self.prng.below(100));
                let now = self.world.twin.now;
                self.world.call(idx, Call::Tick, |shard, twin| shard.tick(now, twin, most));
            }
            Op::Clock => self.clock(),
            Op::Clear => self.world.clear(key.ns, key.at.slot),
            Op::Scan => {
                let max_bytes = self.len(3000);
                self.world.scan(key.ns, key.at.slot, max_bytes);
            }
            Op::Role => {
                let role = if self.prng.chance(1, 2) { Role::Primary } else { Role::Backup };
                self.world.set_role(key.at.slot, role);
            }
            Op::Gate => self.gate(),
            Op::Quota => self.terms(true),
            Op::Unevicted => {
                let evicts = self.prng.chance(2, 3);
                self.terms(evicts);
            }
            Op::Limit => self.limit(),
            Op::Begin => self.begin(&key),
            Op::Receive => self.receive(),
            Op::Read => self.world.read(&key),
            Op::LetGo if self.world.readers.is_empty() => {}
            Op::LetGo => {
                let at = self.len(self.world.readers.len());
                self.world.let_go(at);
            }
            Op::Evict => {
                let (idx, now) = (self.world.shard_of(key.at.slot), self.world.twin.now);
                self.world.call(idx, Call::Evict, |shard, twin| shard.evict_one(now, twin));
            }
            Op::DropSpace if self.prng.chance(1, 10) => {
                self.world.drop_space(key.ns, self.world.shard_of(key.at.slot));
            }
            Op::DropSpace => {}
            Op::Charge if self.prng.chance(1, 2) => {
                let bytes = self.prng.below(self.world.charged + 1);
                self.world.release(bytes);
            }
            Op::Charge => {
                let bytes = self.prng.below(self.world.geometry.limit / 16);
                self.world.charge(bytes);
            }
        }
        self.world.check_key(&key, false);
        self.world.check_accounts();
    }
}

/// Runs `steps` operations; the structures are checked after every one of the first and then now and then.
fn run(seed: u64, (geometry, charged): (Geometry, u64), steps: u64, check_every: u64) -> World {
    let mut run = Run::new(seed, geometry);
    run.world.charge(charged);
    for step in 0..steps {
        run.step();
        if step < 50 || step % check_every == 0 {
            run.world.check_all();
        }
    }
    run.world
}

#[test]
fn small_engine_equals_its_twin_under_operations_of_all_kinds() {
    let mut evicted = 0;
    for seed in 0..60 {
        let world = run(seed, (SMALL, CHARGED), 5000, 100);
        evicted += world.twin.losses.evicted;
        world.end();
    }
    assert!(evicted > 20_000, "memory is full most of the time: {evicted} evictions");
}

#[test]
fn engine_of_any_number_of_shards_equals_its_twin() {
    for (seed, cores) in [(100, 1), (101, 1), (102, 4), (103, 4)] {
        let config = EngineConfig { limit: 8 << 20, cores, value_len_max: None };
        let geometry = Geometry::new(&config).expect("the configuration is good");
        run(seed, (geometry, 5 << 20), 10_000, 2000).end();
    }
}

#[test]
fn same_seed_same_calls_same_state() {
    let outcome = |seed| {
        let world = run(seed, (SMALL, CHARGED), 2000, 2000);
        let stats: Vec<_> =
            world.shards.iter().map(|shard| (shard.stats(), shard.work())).collect();
        (world.twin.tables, stats, world.budget.used())
    };
    assert!(outcome(3) == outcome(3), "nothing but seed and calls decides");
    assert!(outcome(3) != outcome(4), "and they do");
}

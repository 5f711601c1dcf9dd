//! The engine against naive twins, with every invariant checked.

mod bounds;
mod faults;
mod large;
mod limit;
mod model;
mod policy;
mod shares;
mod twin;
mod world;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use ringhold_types::entry::{ContentType, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use crate::budget::{Budget, EngineConfig, Geometry};
use crate::entry::{Change, Decision, Log, Lookup, Outcome, Put, UpdateError, Value, ValueRef};
use crate::hash::HashSeed;
use crate::shard::{EVACUATIONS_MAX, Shard};

const NS: NamespaceId = NamespaceId(0);
const START: UnixTime = UnixTime(1_800_000_000_000);

#[derive(Clone, PartialEq, Debug)]
struct Entry {
    value: Vec<u8>,
    deadlines: Deadlines,
    version: Version,
}

/// The twin: whatever the log says happened has happened.
#[derive(Default)]
struct Twin {
    entries: BTreeMap<Vec<u8>, Entry>,
    version: u64,
    is_gated: bool,
}

impl Log for Twin {
    fn append(&mut self, _ns: NamespaceId, slot: Slot, change: Change<'_>) -> Version {
        self.version += 1;
        let version = Version(self.version);
        match change {
            Change::Put { key, value, deadlines, .. } => {
                let value = match value {
                    crate::entry::ChangeValue::Bytes(bytes) => bytes.to_vec(),
                    crate::entry::ChangeValue::Large(large) => {
                        large.chunks().flatten().copied().collect()
                    }
                };
                self.entries.insert(key.to_vec(), Entry { value, deadlines, version });
            }
            Change::Touch { key, deadlines } => {
                self.entries.get_mut(key).expect("a touched entry is there").deadlines = deadlines;
            }
            Change::Delete { key } | Change::Expire { key } | Change::Evict { key } => {
                assert!(self.entries.remove(key).is_some(), "a removed entry was there");
            }
            Change::Clear => self.entries.retain(|key, _| Slot::of_key(key) != slot),
        }
        version
    }

    fn may_remove(&self, _slot: Slot) -> bool {
        !self.is_gated
    }
}

struct Bench {
    shard: Shard,
    twin: Twin,
    seed: HashSeed,
    now: UnixTime,
    budget: alloc::sync::Arc<Budget>,
    seg_bytes: u64,
    large_len_min: usize,
}

impl Bench {
    fn new() -> Self {
        Self::of(8 << 20)
    }

    fn of(limit: u64) -> Self {
        let config = EngineConfig { limit, cores: 1, value_len_max: None };
        let mut geometry = Geometry::new(&config).expect("the configuration is good");
        geometry.shards = 1;
        let budget = Budget::new(&geometry);
        let seed = HashSeed::new(7);
        let shard = Shard::new(0, geometry, seed, alloc::sync::Arc::clone(&budget));
        let seg_bytes = u64::try_from(geometry.seg_len).expect("a length");
        let large_len_min = geometry.large_len_min;
        Self { shard, twin: Twin::default(), seed, now: START, budget, seg_bytes, large_len_min }
    }

    fn update(&mut self, key: &str, decision: Decision<'_>) -> Result<Outcome, UpdateError> {
        let at = self.seed.key(key.as_bytes());
        let before = self.shard.work();
        let brought = match &decision {
            Decision::Put(Put { value: Value::Bytes(bytes), .. }) => bytes.len() + key.len() + 64,
            Decision::Put(_) | Decision::Touch(_) | Decision::Delete | Decision::Keep => 0,
        };
        let done =
            self.shard.update(NS, key.as_bytes(), at, self.now, &mut self.twin, |_| decision);
        let evacuations = self.shard.work().evacuations - before.evacuations;
        let filled = crate::large::charge_of(brought).div_ceil(self.seg_bytes);
        let filled = if brought < self.large_len_min { 0 } else { filled };
        let most = EVACUATIONS_MAX + filled + filled / 2;
        assert!(evacuations <= most, "{evacuations} evacuations, at most {most}");
        assert!(self.budget.used() <= self.budget.limit(), "the limit holds");
        done
    }

    fn put(
        &mut self,
        key: &str,
        value: &[u8],
        hard: Option<UnixTime>,
    ) -> Result<Outcome, UpdateError> {
        let deadlines = Deadlines { hard, soft: None };
        let put = Put {
            value: Value::Bytes(value),
            kind: 0,
            deadlines,
            client_flags: 0,
            content_type: ContentType::NONE,
        };
        self.update(key, Decision::Put(put))
    }

    /// A look-up in steps is a look-up.
    fn check_steps(&self, key: &str) {
        let at = self.seed.key(key.as_bytes());
        let mut probe = self.shard.probe(NS, at);
        self.shard.probe_words(&probe);
        self.shard.probe_item(&mut probe);
        let in_steps = self.shard.finish(&probe, key.as_bytes(), self.now);
        let at_once = self.shard.peek(NS, key.as_bytes(), at, self.now);
        let content = |lookup: &Lookup<'_>| match lookup {
            Lookup::Hit(entry) => Some((entry.key().to_vec(), entry.version())),
            Lookup::Expired | Lookup::Miss => None,
        };
        assert_eq!(content(&in_steps), content(&at_once));
    }

    fn check(&self, key: &str) {
        let at = self.seed.key(key.as_bytes());
        let expected = self.twin.entries.get(key.as_bytes());
        match self.shard.lookup(NS, key.as_bytes(), at, self.now) {
            Lookup::Hit(entry) => {
                let value: Vec<u8> = match entry.value() {
                    ValueRef::Bytes(bytes) => bytes.to_vec(),
                    ValueRef::Large(large) => large.chunks().flatten().copied().collect(),
                };
                let seen = Entry { value, deadlines: entry.deadlines(), version: entry.version() };
                let expected = expected.expect("a hit was written");
                assert_eq!(seen.version, expected.version);
                assert!(&seen == expected, "a hit is what was written");
                assert!(!expected.deadlines.is_expired(self.now), "a hit is alive");
            }
            Lookup::Expired => {
                let expected = expected.expect("an expired entry was written");
                assert!(expected.deadlines.is_expired(self.now), "it is past its deadline");
            }
            Lookup::Miss => assert!(expected.is_none(), "a miss is explained by the log"),
        }
    }
}

fn key(n: u64) -> String {
    format!("key:{n}")
}

#[test]
fn engine_equals_its_twin_under_random_operations() {
    for seed in 0..4 {
        let mut prng = Prng::new(seed);
        let mut bench = Bench::new();
        for step in 0..30_000 {
            let name = key(prng.below(4000));
            match prng.below(100) {
                0..=54 => {
                    let most = if prng.chance(1, 40) { 50_000 } else { 4000 };
                    let len = usize::try_from(prng.below(most)).expect("a length");
                    let byte = prng.next_u64().to_le_bytes()[0];
                    let ttl = prng.below(100_000);
                    let hard = prng.chance(1, 3).then_some(UnixTime(bench.now.0 + ttl));
                    let done = bench.put(&name, &vec![byte; len], hard);
                    assert!(bench.twin.is_gated || done.is_ok(), "{done:?} at {step}");
                }
                55..=62 => {
                    let _ignored = bench.update(&name, Decision::Delete);
                }
                63..=69 => {
                    let hard = Some(UnixTime(bench.now.0 + prng.below(100_000)));
                    let hard = hard.filter(|_| prng.chance(2, 3));
                    let touch = Decision::Touch(Deadlines { hard, soft: None });
                    let is_gone = matches!(
                        bench.shard.peek(
                            NS,
                            name.as_bytes(),
                            bench.seed.key(name.as_bytes()),
                            bench.now
                        ),
                        Lookup::Expired
                    );
                    if !is_gone {
                        let _ignored = bench.update(&name, touch);
                    }
                }
                70 => bench.now.0 += prng.below(5_000),
                71 => {
                    bench.shard.tick(bench.now, &mut bench.twin, 64);
                }
                72 => {
                    let slot = Slot::of_key(name.as_bytes());
                    bench.shard.clear(NS, slot, &mut bench.twin);
                }
                73 => bench.twin.is_gated = prng.chance(1, 10),
                _ => bench.check_steps(&name),
            }
            bench.check(&name);
            assert!(bench.budget.used() <= bench.budget.limit(), "the limit holds");
            if step % 500 == 0 {
                bench.shard.check_invariants();
            }
        }
        for n in 0..4000 {
            bench.check(&key(n));
        }
        bench.shard.check_invariants();
        let budget = bench.budget;
        drop(bench.shard);
        assert_eq!(budget.used(), 0, "everything is given back");
    }
}

#[test]
fn scan_returns_every_entry_of_a_slot_once() {
    let mut bench = Bench::new();
    for n in 0..3000 {
        bench.put(&format!("{{tag}}{n}"), b"value", None).expect("there is room");
    }
    let (mut seen, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let slot = Slot::of_key(b"tag");
        from = bench
            .shard
            .scan(NS, slot, at, 1000, bench.now, |entry| seen.push(entry.key().to_vec()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3000);
    bench.shard.check_invariants();
}

#[test]
fn memory_of_expired_entries_comes_back() {
    let mut bench = Bench::new();
    for n in 0..20_000 {
        bench
            .put(&key(n), &[1; 100], Some(bench.now.after(core::time::Duration::from_secs(10))))
            .expect("room");
    }
    bench.now.0 += 10_000;
    while bench.shard.tick(bench.now, &mut bench.twin, 64).more {}
    assert_eq!(bench.shard.stats().entries, 0);
    bench.shard.check_invariants();
}

#[test]
fn the_text_of_a_content_type_stays_with_its_entry_wherever_that_goes() {
    let mut bench = Bench::new();
    let small = |n: u64| usize::try_from(n).expect("small");
    let text = |n: u64| format!("application/x.{n}{}", "t".repeat(small(n % 230)));
    let deadlines = Deadlines { hard: Some(UnixTime(bench.now.0 + 1_000_000)), soft: None };
    for n in 0..20_000 {
        let (value, text) = (vec![1; if n % 50 == 0 { 70_000 } else { small(n % 700) }], text(n));
        let put = Put {
            value: Value::Bytes(&value),
            kind: 0,
            deadlines: Deadlines::NEVER,
            client_flags: 0,
            content_type: ContentType::Text(text.as_bytes()),
        };
        bench.update(&key(n), Decision::Put(put)).expect("others are evicted");
        // Some are written anew, for there was no room for a deadline.
        if n % 3 == 0 {
            bench.update(&key(n), Decision::Touch(deadlines)).expect("there is room");
        }
    }
    bench.shard.check_invariants();
    let mut found = 0;
    for n in 0..20_000 {
        let name = key(n);
        bench.check(&name);
        let at = bench.seed.key(name.as_bytes());
        if let Lookup::Hit(entry) = bench.shard.peek(NS, name.as_bytes(), at, bench.now) {
            assert_eq!(entry.content_type(), ContentType::Text(text(n).as_bytes()), "{name}");
            found += 1;
        }
    }
    assert!(found > 5000 && found < 20_000, "{found} stayed, so segments were evacuated");
}

#[test]
fn backup_entries_are_kept_while_primaries_are_evicted() {
    let mut bench = Bench::new();
    let slot = Slot::of_key(b"{kept}");
    let kept = Slot::of_key(b"kept");
    assert_eq!(slot, kept);
    bench.shard.set_role(kept, crate::entry::Role::Backup);
    for n in 0..500 {
        bench.put(&format!("{{kept}}{n}"), &[1; 1000], None).expect("there is room");
    }
    for n in 0..40_000 {
        bench.put(&key(n), &[2; 500], None).expect("primaries are evicted");
    }
    bench.shard.check_invariants();
    for n in 0..500 {
        let name = format!("{{kept}}{n}");
        bench.check(&name);
        assert!(bench.twin.entries.contains_key(name.as_bytes()), "a backup entry stays");
    }
    bench.shard.set_role(kept, crate::entry::Role::Primary);
    for n in 0..60_000 {
        bench.put(&key(n), &[3; 500], None).expect("primaries are evicted");
    }
    bench.shard.check_invariants();
}

#[test]
fn lowered_limit_is_reached_by_ticks() {
    let mut bench = Bench::new();
    for n in 0..40_000 {
        bench.put(&key(n), &[2; 500], None).expect("primaries are evicted");
    }
    let limit = 6 << 20;
    bench.budget.set_limit(limit).expect("the limit is within the engine's range");
    for _ in 0..200 {
        bench.shard.tick(bench.now, &mut bench.twin, 64);
    }
    assert!(bench.budget.used() <= limit, "{} is used", bench.budget.used());
    bench.shard.check_invariants();
}

#[test]
fn full_engine_refuses_when_the_log_keeps_everything() {
    let mut bench = Bench::new();
    bench.twin.is_gated = true;
    let mut refused = 0;
    for n in 0..40_000 {
        match bench.put(&key(n), &[2; 500], None) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, UpdateError::Full { retry: true });
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "there was not room for all");
    assert_eq!(bench.shard.stats().entries, 40_000 - refused);
    bench.shard.check_invariants();
    bench.twin.is_gated = false;
    bench.put("after", b"value", None).expect("room can be made again");
}

/// Several shards of one engine, whose room is made as a node makes it.
struct Many {
    shards: Vec<Shard>,
    seed: HashSeed,
    budget: alloc::sync::Arc<Budget>,
    /// Stamps only.
    log: Stamps,
}

#[derive(Default)]
struct Stamps(u64);

impl Log for Stamps {
    fn append(&mut self, _ns: NamespaceId, _slot: Slot, _change: Change<'_>) -> Version {
        self.0 += 1;
        Version(self.0)
    }

    fn may_remove(&self, _slot: Slot) -> bool {
        true
    }
}

impl Many {
    fn new(limit: u64) -> Self {
        let config = EngineConfig { limit, cores: 2, value_len_max: None };
        let geometry = Geometry::new(&config).expect("the configuration is good");
        let budget = Budget::new(&geometry);
        let seed = HashSeed::new(7);
        let shard = |idx| Shard::new(idx, geometry, seed, alloc::sync::Arc::clone(&budget));
        Self { shards: (0..geometry.shards).map(shard).collect(), seed, budget, log: Stamps(0) }
    }

    /// Repeats `attempt` on a shard while others have to make room first; how often they had to.
    fn with_room<T>(
        &mut self,
        idx: usize,
        mut attempt: impl FnMut(&mut Shard, &mut Stamps) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        for _ in 0..1000 {
            match attempt(&mut self.shards[idx], &mut self.log) {
                Err(UpdateError::NeedRoom { shard }) => {
                    assert_ne!(shard, idx, "a shard does not send to itself");
                    self.shards[shard].evict_one(START, &mut self.log);
                }
                done => return done,
            }
            assert!(self.budget.used() <= self.budget.limit(), "the limit holds");
        }
        Err(UpdateError::Full { retry: true })
    }

    fn put(&mut self, key: &str, value: &[u8]) -> Result<Outcome, UpdateError> {
        let at = self.seed.key(key.as_bytes());
        let idx = at.slot.index() % self.shards.len();
        self.with_room(idx, |shard, log| {
            let put = Put {
                value: Value::Bytes(value),
                kind: 0,
                deadlines: Deadlines::NEVER,
                client_flags: 0,
                content_type: ContentType::NONE,
            };
            shard.update(NS, key.as_bytes(), at, START, log, |_| Decision::Put(put))
        })
    }

    fn check(&self) {
        self.shards.iter().for_each(Shard::check_invariants);
    }
}

#[test]
fn small_writes_find_room_beside_values_that_are_being_received() {
    let mut many = Many::new(32 << 20);
    assert!(many.shards.len() >= 8, "a value is much more than a shard's share");
    for n in 0..100_000 {
        many.put(&key(n), &[1; 400]).expect("there is room");
    }
    // All that may be received at a time, all of it charged through one shard.
    let writer = many.with_room(0, |shard, log| shard.begin_large(NS, 4_100_000, START, log));
    let writer = writer.expect("there is room");
    for n in 0..50_000 {
        many.put(&key(n), &[2; 400 + 16]).expect("a small write finds room");
    }
    many.check();
    let before = many.budget.used();
    drop(writer);
    assert!(before - many.budget.used() >= 4_100_000, "what was received is given back");
    many.check();
}

#[test]
fn namespaces_are_bounded() {
    let mut many = Many::new(32 << 20);
    let at = many.seed.key(b"key");
    let idx = at.slot.index() % many.shards.len();
    let mut put = |ns| {
        many.with_room(idx, |shard, log| {
            let put = Put {
                value: Value::Bytes(b"value"),
                kind: 0,
                deadlines: Deadlines::NEVER,
                client_flags: 0,
                content_type: ContentType::NONE,
            };
            shard.update(NamespaceId(ns), b"key", at, START, log, |_| Decision::Put(put))
        })
    };
    for ns in 0..64 {
        put(ns).expect("there is room");
    }
    assert_eq!(put(64), Err(UpdateError::TooManySpaces { max: 64 }));
    put(63).expect("those that are there go on");
    many.check();
}

#[test]
fn a_slot_of_many_entries_is_rebuilt_in_bounded_steps() {
    let mut bench = Bench::new();
    let name = |n: u64| format!("{{t}}{n}");
    let mut most = 0;
    for n in 0..110_000 {
        let before = bench.shard.work().words_moved;
        bench.put(&name(n), b"v", None).expect("there is room");
        most = most.max(bench.shard.work().words_moved - before);
    }
    bench.shard.check_invariants();
    assert!((1..=32 * 1024).contains(&most), "{most} words at a time");
    let slot = Slot::of_key(b"{t}");
    let kept = bench.shard.slot_stats(NS, slot).entries;
    assert!(kept > 70_000, "{kept} entries");
    // In order and once each, whatever the parts are.
    let (mut from, mut seen, mut before) = (Some(0), 0, 0);
    while let Some(at) = from {
        from = bench.shard.scan(NS, slot, at, 3000, bench.now, |entry| {
            assert!(entry.fragment() >= before, "in the order of the hash");
            (before, seen) = (entry.fragment(), seen + 1);
        });
    }
    assert_eq!(seen, kept);
    for n in 0..110_000 {
        bench.check(&name(n));
        if n % 50 != 0 {
            let _ignored = bench.update(&name(n), Decision::Delete);
        }
    }
    bench.shard.check_invariants();
    for n in 0..20_000 {
        bench.check(&name(n));
        bench.put(&name(n), b"w", None).expect("there is room");
    }
    bench.shard.clear(NS, slot, &mut bench.twin);
    while bench.shard.tick(bench.now, &mut bench.twin, 1000).more {}
    bench.shard.check_invariants();
    let budget = bench.budget;
    drop(bench.shard);
    assert_eq!(budget.used(), 0, "everything is given back");
}

#[test]
fn tables_of_entries_that_are_gone_take_no_memory() {
    let mut bench = Bench::new();
    bench.put("warm", b"", None).expect("there is room");
    let before = bench.shard.space_stats(NS).table_bytes;
    for round in 0..3 {
        let until = bench.now.after(core::time::Duration::from_secs(10));
        for n in 0..5000 {
            // All of one slot, another one every time.
            bench.put(&format!("{{{round}}}{n}"), b"value", Some(until)).expect("there is room");
        }
        bench.now = until;
        while bench.shard.tick(bench.now, &mut bench.twin, 512).more {}
        assert_eq!(bench.shard.stats().entries, 1, "all but one have expired");
        assert_eq!(bench.shard.space_stats(NS).table_bytes, before);
    }
    bench.shard.check_invariants();
}

#[test]
fn an_entry_that_was_made_to_stay_does_not_keep_its_dead_neighbours() {
    let mut bench = Bench::new();
    let until = bench.now.after(core::time::Duration::from_secs(10));
    for n in 0..100 {
        bench.put(&key(n), b"value", Some(until)).expect("there is room");
    }
    bench.update(&key(50), Decision::Touch(Deadlines::NEVER)).expect("it needs no room");
    bench.now = until.after(core::time::Duration::from_secs(1));
    while bench.shard.tick(bench.now, &mut bench.twin, 512).more {}
    assert_eq!(bench.shard.stats().entries, 1);
    bench.check(&key(50));
}

#[test]
fn a_deadline_that_is_pushed_on_does_not_count_as_passed() {
    let mut bench = Bench::new();
    for round in 0..20 {
        let until = bench.now.after(core::time::Duration::from_secs(20));
        for n in 0..100 {
            bench.put(&key(n), b"value", Some(until)).expect("there is room");
        }
        bench.now = bench.now.after(core::time::Duration::from_secs(5));
        let moved = bench.shard.work().items_moved;
        while bench.shard.tick(bench.now, &mut bench.twin, 512).more {}
        assert_eq!(bench.shard.work().items_moved, moved, "nothing expired in round {round}");
    }
    assert_eq!(bench.shard.stats().entries, 100);
}

#[test]
fn a_pass_over_the_segments_ends_however_many_there_are() {
    let mut bench = Bench::of(16 << 20);
    let until = bench.now.after(core::time::Duration::from_secs(3600));
    let mut names = (0..).map(key);
    // A tick looks at 256 of them.
    for (segments, ticks) in [(255, 1), (256, 1), (257, 2), (512, 2)] {
        while bench.shard.segments() < segments {
            let name = names.next().expect("there are many");
            bench.put(&name, &[1; 1000], Some(until)).expect("there is room");
        }
        let mut more = || bench.shard.tick(bench.now, &mut bench.twin, 512).more;
        let taken = (1..=4).find(|_| !more());
        assert_eq!(taken, Some(ticks), "a pass over {segments} segments");
    }
}

#[test]
fn hits_of_look_ups_under_way_together_all_count() {
    let mut bench = Bench::new();
    bench.put("k", b"v", None).expect("there is room");
    let at = bench.seed.key(b"k");
    let mut probes = [bench.shard.probe(NS, at); 3];
    for probe in &mut probes {
        bench.shard.probe_item(probe);
    }
    for (hits, probe) in (1..).zip(&probes) {
        assert!(matches!(bench.shard.finish(probe, b"k", bench.now), Lookup::Hit(_)));
        let Lookup::Hit(entry) = bench.shard.peek(NS, b"k", at, bench.now) else {
            panic!("it is there")
        };
        assert_eq!(entry.freq(), hits);
    }
}

#[test]
fn dead_space_is_given_back_while_there_is_room() {
    let mut bench = Bench::new();
    for n in 0..10_000 {
        bench.put(&key(n), &[1; 100], None).expect("there is room");
    }
    let fresh = bench.budget.used();
    for n in (0..10_000).step_by(2) {
        // Longer than what is there, so that it is written elsewhere, and half of every segment is dead.
        bench.put(&key(n), &[2; 104], None).expect("there is room");
    }
    let before = bench.shard.work().evacuations;
    for tick in 1..=100 {
        let done = bench.shard.tick(bench.now, &mut bench.twin, 512);
        assert!(!done.more, "nobody needs the room at once");
        let evacuations = bench.shard.work().evacuations - before;
        assert!(evacuations <= 4 * tick, "so much a tick: {evacuations} in {tick}");
    }
    let after = bench.budget.used();
    assert!(after < fresh + fresh / 4, "{after} after {fresh}");
    bench.shard.check_invariants();
}

#[test]
fn a_namespace_that_is_not_evicted_is_compacted() {
    let mut bench = Bench::new();
    let twin = &mut bench.twin;
    bench.shard.configure(NS, None, false, bench.now, twin).expect("there is room");
    let mut filled = 0;
    while bench.put(&key(filled), &[1; 100], None).is_ok() {
        filled += 1;
    }
    for n in (0..filled).step_by(2) {
        bench.update(&key(n), Decision::Delete).expect("a deletion needs no room");
    }
    for n in 0..filled / 4 {
        bench.put(&key(filled + n), &[1; 100], None).expect("half of the memory is dead");
    }
    bench.shard.check_invariants();
}

#[test]
fn the_longest_value_fits_what_values_in_flight_may_take() {
    let mut bench = Bench::new();
    let len = (8 << 20) / 8;
    let writer = bench.shard.begin_large(NS, len, bench.now, &mut bench.twin);
    drop(writer.expect("it is alone"));
    bench.budget.set_limit(4 << 20).expect("enough for one shard");
    let refused = bench.shard.begin_large(NS, len, bench.now, &mut bench.twin);
    assert!(matches!(refused, Err(UpdateError::TooLarge { .. })), "never, not later");
}

#[test]
fn a_value_over_what_a_quota_can_hold_is_refused_and_evicts_nothing() {
    let mut bench = Bench::new();
    let quota: u32 = 1 << 20;
    let twin = &mut bench.twin;
    bench.shard.configure(NS, Some(quota.into()), true, bench.now, twin).expect("there is room");
    for n in 0..1000 {
        bench.put(&key(n), &[1; 100], None).expect("there is room");
    }
    let evicted = bench.shard.work().evicted;
    let value = vec![2; quota as usize - 100_000];
    let refused = bench.put("large", &value, None);
    assert!(matches!(refused, Err(UpdateError::TooLarge { .. })), "{refused:?}");
    assert_eq!(bench.shard.work().evicted, evicted);
}

#[test]
fn a_directory_is_counted_only_while_entries_have_half() {
    let bench = Bench::new();
    let half = bench.budget.limit() / 2;
    assert!(bench.budget.add_directory(half));
    assert!(!bench.budget.add_directory(1));
    bench.budget.drop_directory(half);
    assert!(bench.budget.add_directory(1));
}

#[test]
fn a_namespace_without_entries_is_told_its_policy_and_takes_nothing() {
    let mut bench = Bench::new();
    let used = bench.budget.used();
    let twin = &mut bench.twin;
    for evicts in [false, true, false] {
        bench.shard.configure(NS, None, evicts, bench.now, twin).expect("it needs no room");
    }
    assert_eq!(bench.budget.used(), used);
    while bench.put(&key(bench.twin.version), &[1; 1000], None).is_ok() {}
    assert_eq!(bench.shard.work().evicted, 0);
    assert!(bench.twin.entries.len() > 1000);
}

#[test]
fn a_table_asks_for_no_more_than_its_plan_takes_before_it_is_made() {
    let mut table = crate::table::Table::default();
    let location = crate::table::Location::new(1, 0);
    for fragment in 0..1000 {
        while !table.has_room(fragment << 15) {
            let plan = table.plan_growth(fragment << 15);
            table.rebuild(plan);
        }
        assert!(table.insert(crate::table::Word::new(fragment << 15, 0, location)));
    }
    let mut plans = 0;
    for fragment in 0..1000 {
        let (idx, _) = table.find(fragment << 15, |_| true).expect("it is there");
        table.remove(idx);
        let (asked, plan) =
            (table.shrunk_len(fragment << 15), table.plan_shrinking(fragment << 15));
        assert_eq!(asked.is_some(), plan.is_some());
        if let (Some(asked), Some(plan)) = (asked, plan) {
            assert!(asked <= plan.words() && 8 * asked as u64 <= plan.charge());
            plans += 1;
        }
    }
    assert!(plans > 100, "it is never made smaller here");
}

#[test]
fn directories_leave_room_for_entries() {
    let mut bench = Bench::new();
    let mut made = 0;
    for n in 0..64 {
        let ns = NamespaceId(n);
        let at = bench.seed.key(b"k");
        let put = Put {
            value: Value::Bytes(b"v"),
            kind: 0,
            deadlines: Deadlines::NEVER,
            client_flags: 0,
            content_type: ContentType::NONE,
        };
        let twin = &mut Twin::default();
        match bench.shard.update(ns, b"k", at, bench.now, twin, |_| Decision::Put(put)) {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error, UpdateError::Full { retry: false }),
        }
    }
    assert_eq!(made, 7, "half of 8 MiB are 7 directories of 512 KiB and their bookkeeping");
    assert_eq!(bench.shard.work().evicted, 0);
}

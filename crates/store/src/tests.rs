//! A shard against a naive twin.

extern crate std;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use crate::budget::{Budget, EngineConfig, Geometry};
use crate::entry::{Change, Decision, Log, Lookup, Outcome, Put, UpdateError, Value, ValueRef};
use crate::hash::HashSeed;
use crate::shard::Shard;

const NS: NamespaceId = NamespaceId::DEFAULT;
const MIB: u64 = 1 << 20;

/// Stamps changes, and plays them on a map of what should be there.
#[derive(Default)]
struct Twin {
    version: Version,
    keys: BTreeMap<Vec<u8>, (usize, Deadlines)>,
    evicted: usize,
}

impl Log for Twin {
    fn append(&mut self, _: NamespaceId, _: Slot, change: Change<'_>) -> Version {
        self.version = self.version.next(0);
        match change {
            Change::Put { .. } | Change::Touch { .. } | Change::Clear => {}
            Change::Delete { key } | Change::Expire { key } => {
                assert!(self.keys.remove(key).is_some(), "only what was there goes");
            }
            Change::Evict { key } => {
                assert!(self.keys.remove(key).is_some(), "only what was there goes");
                self.evicted += 1;
            }
        }
        self.version
    }

    fn may_remove(&self, _: Slot) -> bool {
        true
    }
}

/// A shard that is the whole of an engine of 8 MiB, and its twin.
struct Bench {
    shard: Shard,
    budget: Arc<Budget>,
    twin: Twin,
    seed: HashSeed,
    now: UnixTime,
}

impl Bench {
    fn new() -> Self {
        let config = EngineConfig { limit: 8 * MIB, cores: 1, value_len_max: None };
        let geometry = Geometry { shards: 1, ..Geometry::new(&config).expect("it is valid") };
        let budget = Budget::new(&geometry);
        let shard = Shard::new(0, &geometry, Arc::clone(&budget));
        Self { shard, budget, twin: Twin::default(), seed: HashSeed::new(3), now: UnixTime(1_000) }
    }

    fn set(
        &mut self,
        key: &[u8],
        len: usize,
        deadlines: Deadlines,
    ) -> Result<Outcome, UpdateError> {
        let value = value_of(key, len);
        let mut large = None;
        if self.shard.is_large(key.len(), len) {
            let mut writer = self.shard.begin_large(NS, len, self.now, &mut self.twin)?;
            writer.write(&value);
            large = Some(writer);
        }
        let outcome =
            self.shard.update(NS, key, self.seed.key(key), self.now, &mut self.twin, |_| {
                Decision::Put(Put {
                    value: if large.is_some() {
                        Value::Large(&mut large)
                    } else {
                        Value::Bytes(&value)
                    },
                    kind: 0,
                    deadlines,
                    client_flags: 0,
                    content_type: ContentTypeId::NONE,
                })
            })?;
        self.twin.keys.insert(key.to_vec(), (len, deadlines));
        Ok(outcome)
    }

    fn delete(&mut self, key: &[u8]) -> Result<Outcome, UpdateError> {
        let at = self.seed.key(key);
        self.shard.update(NS, key, at, self.now, &mut self.twin, |_| Decision::Delete)
    }

    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        self.shard.lookup(NS, key, self.seed.key(key), self.now)
    }

    fn check_lookup(&self, key: &[u8]) {
        match (self.lookup(key), self.twin.keys.get(key)) {
            (Lookup::Hit(entry), Some((len, deadlines))) => {
                assert_eq!(bytes_of(entry.value()), value_of(key, *len));
                assert!(!deadlines.is_expired(self.now), "a dead entry is invisible");
            }
            (Lookup::Expired, Some((_, deadlines))) => assert!(deadlines.is_expired(self.now)),
            (Lookup::Miss, None) => {}
            (found, wanted) => panic!("{found:?} is not {wanted:?}"),
        }
    }
}

/// A value whose bytes tell its key and length.
fn value_of(key: &[u8], len: usize) -> Vec<u8> {
    key.iter().copied().cycle().take(len).collect()
}

fn bytes_of(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Large(large) => large.chunks().flatten().copied().collect(),
    }
}

#[test]
fn a_shard_agrees_with_a_map_on_random_operations() {
    for (run, keys, len_max, is_tight) in
        [(1, 60, 900, false), (2, 400, 200_000, true), (3, 2_000, 30_000, true)]
    {
        let mut prng = Prng::new(run);
        let mut bench = Bench::new();
        for _ in 0..10_000 {
            let key = std::format!("key{}", prng.below(keys)).into_bytes();
            match prng.below(10) {
                0..=3 => {
                    let len = usize::try_from(prng.below(len_max)).expect("small");
                    let end = bench.now.0 + 1 + prng.below(50);
                    let hard = prng.chance(1, 3).then_some(UnixTime(end));
                    let done = bench.set(&key, len, Deadlines { hard, soft: None });
                    assert!(matches!(done, Ok(Outcome::Put { .. })), "{done:?}");
                }
                4 => {
                    let done = bench.delete(&key);
                    assert!(matches!(done, Ok(Outcome::Deleted | Outcome::Kept)), "{done:?}");
                    assert!(!bench.twin.keys.contains_key(&key), "it is gone");
                }
                5 => bench.now.0 += prng.below(20),
                6 => {
                    bench.shard.tick(bench.now, &mut bench.twin, 16);
                }
                _ => bench.check_lookup(&key),
            }
            assert!(bench.budget.used() <= bench.budget.limit());
        }
        bench.shard.check_invariants();
        assert_eq!(bench.twin.evicted > 0, is_tight, "it evicts when it must, and only then");
        for key in bench.twin.keys.keys().cloned().collect::<Vec<_>>() {
            bench.delete(&key).expect("deleting needs no room");
        }
        assert!(bench.shard.is_empty() && bench.budget.used() == 0, "all is given back");
    }
}

#[test]
fn an_entry_that_is_read_outlives_one_that_is_not() {
    let mut bench = Bench::new();
    for number in 0..10_000 {
        let key = std::format!("{number:04}").into_bytes();
        bench.set(&key, 2_000, Deadlines::NEVER).expect("there is room");
        assert!(matches!(bench.lookup(b"0000"), Lookup::Hit(_)), "after {number}");
    }
    assert!(matches!(bench.lookup(b"0001"), Lookup::Miss));
    bench.shard.check_invariants();
}

#[test]
fn what_cannot_fit_is_refused_and_changes_nothing() {
    let mut bench = Bench::new();
    let max = 1024 * 1024;
    let too_large = Err(UpdateError::TooLarge { len: max + 1, max });
    assert_eq!(bench.set(b"k", max + 1, Deadlines::NEVER), too_large);
    let too_long = Err(UpdateError::KeyTooLong { len: 65_536, max: 65_535 });
    assert_eq!(bench.set(&[b'k'; 65_536], 1, Deadlines::NEVER), too_long);
    assert!(bench.shard.is_empty() && bench.budget.used() == 0);
}

#[test]
fn a_large_value_stays_readable_and_charged_after_it_was_deleted() {
    let mut bench = Bench::new();
    bench.set(b"k", 300_000, Deadlines::NEVER).expect("there is room");
    let Lookup::Hit(entry) = bench.lookup(b"k") else { panic!("it is there") };
    let ValueRef::Large(large) = entry.value() else { panic!("it is large") };
    let held = Arc::clone(large);
    bench.delete(b"k").expect("it is there");
    assert!(bench.budget.used() >= 300_000);
    assert_eq!(bytes_of(ValueRef::Large(&held)), value_of(b"k", 300_000));
    drop(held);
    assert_eq!(bench.budget.used(), 0);
}

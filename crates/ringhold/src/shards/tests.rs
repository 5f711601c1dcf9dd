//! Facts about shards that several threads use: under the machine's interleavings, and with `--cfg shuttle` under chosen
//! ones (`RUSTC_WORKSPACE_WRAPPER=$PWD/.ci/shuttle cargo test -p ringhold --lib shards::`).

mod history;
mod node;
mod threads;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ringhold_node::cells::{Access, Cells, with_room};
use ringhold_node::number;
use ringhold_node::shard_cell::{Key, ShardCell};
use ringhold_store::budget::{Budget, Geometry};
use ringhold_store::entry::{Decision, EntryRef, Lookup, Put, UpdateError, Value, ValueRef};
use ringhold_store::hash::HashSeed;
use ringhold_types::entry::{ContentType, Deadlines};
use ringhold_types::id::NamespaceId;
use ringhold_types::prng::Prng;
use ringhold_types::time::{Duration, Instant, Now};

use super::Shards;
use history::{Done, Event, is_linearizable};
use threads::{Body, check, together};

/// Sixteen shards of small segments, quick to make.
const GEOMETRY: Geometry = Geometry {
    limit: 1 << 20,
    seg_len: 4096,
    shards: 16,
    value_len_max: 64 << 10,
    large_len_min: 1024,
};
const THREADS: u64 = 3;

/// What the threads of a scenario share.
struct World {
    shards: Shards,
    budget: Arc<Budget>,
    seed: HashSeed,
    keys: Vec<String>,
    /// The least length of a written value, which ends in its number.
    value_len: usize,
    /// Numbers calls and answers in the order in which they happen.
    clock: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl World {
    fn new(keys: &[&str], value_len: usize) -> Arc<Self> {
        let budget = Budget::new(&GEOMETRY);
        let seed = HashSeed::new(7);
        let cell = |idx| ShardCell::new(idx, &GEOMETRY, seed, &budget);
        Arc::new(Self {
            shards: Shards::new((0..GEOMETRY.shards).map(cell).collect()),
            budget: Arc::clone(&budget),
            seed,
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            value_len,
            clock: AtomicU64::new(0),
            events: Mutex::default(),
        })
    }

    fn key(&self, idx: usize) -> Key<'_> {
        let bytes = self.keys[idx].as_bytes();
        Key { namespace: NamespaceId::DEFAULT, bytes, at: self.seed.key(bytes) }
    }

    /// Runs an operation on a key and records what it was answered, and when.
    fn record(&self, key: usize, operation: impl FnOnce() -> Done) {
        let called = self.clock.fetch_add(1, Ordering::Relaxed);
        let done = operation();
        let answered = self.clock.fetch_add(1, Ordering::Relaxed);
        let event = Event { key, done, called, answered };
        self.events.lock().expect("nobody panics with it").push(event);
        assert!(self.budget.used() <= self.budget.limit(), "the limit holds at any time");
    }

    fn get(&self, key: usize, now: Now) -> Option<u64> {
        let key = self.key(key);
        let read = |cell: &ShardCell| match cell.lookup(key, now) {
            Lookup::Hit(entry) => (Some(number_of(&entry)), false),
            Lookup::Expired => (None, true),
            Lookup::Miss => (None, false),
        };
        let mut access = Access::each(&self.shards);
        let (seen, is_expired) = access.read(key.at.slot, read);
        if is_expired {
            access.write(key.at.slot, |cell, _| cell.reap(key, now));
        }
        seen
    }

    /// Writes what `next` makes of the old number; `None` leaves the entry.
    fn write(&self, key: usize, now: Now, next: impl Fn(Option<u64>) -> u64) -> Option<u64> {
        let key = self.key(key);
        let mut written = 0;
        let mut text = String::new();
        let done = Access::each(&self.shards).write(key.at.slot, |cell, cells| {
            with_room(cells, cell, now, |cell| {
                cell.update(key, now, |old| {
                    written = next(old.as_ref().map(number_of));
                    // Of different lengths, so that most writes need room.
                    let width = self.value_len + usize::try_from(written % 20).expect("a length");
                    text = format!("{written:0>width$}");
                    Decision::Put(Put {
                        value: Value::Bytes(text.as_bytes()),
                        kind: 0,
                        deadlines: Deadlines::NEVER,
                        client_flags: 0,
                        content_type: ContentType::NONE,
                    })
                })
            })
        });
        match done {
            Ok(_) => Some(written),
            Err(UpdateError::Full { retry: true }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn delete(&self, key: usize, now: Now) -> bool {
        let key = self.key(key);
        let mut was_there = false;
        let done = Access::each(&self.shards).write(key.at.slot, |cell, _| {
            cell.update(key, now, |old| {
                was_there = old.is_some();
                Decision::Delete
            })
        });
        done.expect("a deletion needs no room");
        was_there
    }

    /// One operation drawn at random.
    fn step(&self, prng: &mut Prng, reclaims: bool) {
        let key = usize::try_from(prng.below(self.keys.len() as u64)).expect("an index");
        let now = now(0);
        let slot = self.key(key).at.slot;
        match prng.below(if reclaims { 12 } else { 10 }) {
            0..=3 => self.record(key, || Done::Get(self.get(key, now))),
            4..=6 => {
                let value = prng.below(1_000_000);
                self.record(key, || match self.write(key, now, |_| value) {
                    Some(_) => Done::Set(value),
                    None => Done::Refused,
                });
            }
            7 => self.record(key, || Done::Delete(self.delete(key, now))),
            8..=9 => self.record(key, || {
                let next = |old: Option<u64>| old.unwrap_or(0) + 1;
                self.write(key, now, next).map_or(Done::Refused, Done::Increment)
            }),
            10 => self.reclaim(slot, |cell| cell.evict_one(now)),
            _ => self.reclaim(slot, |cell| cell.tick(now, 10).more),
        }
    }

    /// Records what may have taken any entry of the shard away.
    fn reclaim(&self, slot: ringhold_types::slot::Slot, work: impl Fn(&mut ShardCell) -> bool) {
        let called = self.clock.fetch_add(1, Ordering::Relaxed);
        Access::each(&self.shards).write(slot, |cell, _| work(cell));
        let answered = self.clock.fetch_add(1, Ordering::Relaxed);
        let event = |key| Event { key, done: Done::Reclaim, called, answered };
        let all = (0..self.keys.len()).map(event);
        self.events.lock().expect("nobody panics with it").extend(all);
    }

    /// Lets threads of `steps` random operations loose on the keys.
    fn run(self: &Arc<Self>, seed: u64, steps: u64, reclaims: bool) {
        let body = |thread: u64| -> Body {
            let world = Arc::clone(self);
            let mut prng = Prng::new(seed.wrapping_add(thread));
            Box::new(move || (0..steps).for_each(|_| world.step(&mut prng, reclaims)))
        };
        together((0..THREADS).map(body).collect());
    }

    /// Every key has a history that fits one order, and the shards are sound.
    fn check(&self, may_vanish: bool) {
        let events = self.events.lock().expect("nobody panics with it");
        for (idx, key) in self.keys.iter().enumerate() {
            let of_key = || events.iter().filter(|event| event.key == idx).collect::<Vec<_>>();
            let fits = is_linearizable(&events, idx, may_vanish);
            assert!(fits, "{key} has no order: {:#?}", of_key());
        }
        let access = Access::each(&self.shards);
        access.read_each(ShardCell::check_invariants);
        let mut held = 0;
        access.read_each(|cell| held += cell.shard().stats().held);
        assert_eq!(
            held,
            self.budget.used() - self.charged(),
            "nothing is charged that nobody holds"
        );
    }

    /// What the scenario itself has charged: all that no shard holds.
    fn charged(&self) -> u64 {
        let held: u64 = (0..GEOMETRY.shards).map(|idx| self.budget.held(idx)).sum();
        self.budget.used() - held
    }
}

/// So many milliseconds after the scenario began.
fn now(ms: u64) -> Now {
    let instant = Instant::default().after(Duration::from_millis(ms));
    Now { instant, unix_micros: 1_800_000_000_000_000 + 1000 * ms }
}

fn number_of(entry: &EntryRef<'_>) -> u64 {
    let ValueRef::Bytes(bytes) = entry.value() else { panic!("no value is a large one") };
    let digits = bytes.iter().position(|&byte| byte != b'0').unwrap_or(bytes.len() - 1);
    let number = number::parse_i64(&bytes[digits..]).expect("values are numbers");
    u64::try_from(number).expect("values are not negative")
}

#[test]
fn operations_on_a_key_happen_in_one_order() {
    check(|seed| {
        let world = World::new(&["{t}a", "{t}b"], 8);
        world.run(seed, 6, true);
        world.check(false);
    });
}

#[test]
fn shards_that_take_from_one_budget_stay_within_it() {
    check(|seed| {
        let world = World::new(&["{a}1", "{a}2", "{a}3", "{b}1", "{b}2", "{b}3"], 900);
        // So little is left that nearly every write has to find room, in its own shard or in another one.
        let left = 4 * u64::try_from(GEOMETRY.seg_len).expect("a length") + 2 * 36 * 1024;
        let charged = world.budget.limit() - world.budget.used() - left;
        assert!(world.budget.charge(charged), "there was room");
        world.run(seed, 8, false);
        world.check(true);
        assert_eq!(world.charged(), charged);
        assert!(world.budget.used() <= world.budget.limit());
    });
}

#[test]
fn shards_that_ask_each_other_for_room_do_not_wait_for_each_other() {
    check(|_| {
        let world = World::new(&["{t}a"], 8);
        let body = |own: usize, other: usize| -> Body {
            let world = Arc::clone(&world);
            Box::new(move || {
                let mut cell = world.shards.write(own);
                let mut asked = 0;
                let done = with_room(&world.shards, &mut cell, now(0), |_| {
                    asked += 1;
                    if asked < 3 { Err(UpdateError::NeedRoom { shard: other }) } else { Ok(()) }
                });
                assert_eq!((done, asked), (Ok(()), 3), "it asks until there is room");
            })
        };
        together(vec![body(0, 1), body(1, 2), body(2, 0)]);
        world.check(false);
    });
}

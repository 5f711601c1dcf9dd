//! The work of a call is bounded (G5 of the design), whatever the call, the entries and the log are.

use alloc::format;

use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use super::twin::Content;
use super::world::{Call, KIB, Key, World, bytes_of};
use crate::budget::{EngineConfig, Geometry};
use crate::shard::{EVACUATIONS_MAX, Work};

/// The most words that a call moves to other tables.
const WORDS_MAX: u64 = 32 * 1024;
/// The most bytes that a call copies beyond what it brings, unless a segment is longer.
const COPIED_MAX: u64 = 64 * 1024;

/// Asserts the bounds of one call. Where some entries have to be kept (`is_kept`), they are copied whatever they are, and an
/// evacuation may find no room for a copy, stop, and leave it to another space's.
pub(super) fn check(geometry: &Geometry, call: Call, is_kept: bool, work: Work) {
    let seg_bytes = u64::try_from(geometry.seg_len).expect("a length");
    let (evacuations, copied) = match call {
        Call::Update | Call::Tick | Call::Configure => (EVACUATIONS_MAX, COPIED_MAX),
        // What the caller brings takes its room as well (docs/decisions/0023).
        Call::Large { charge } => {
            let filled = charge.div_ceil(seg_bytes);
            (EVACUATIONS_MAX + filled + filled / 2, COPIED_MAX + charge / 2)
        }
        Call::Evict if is_kept => (EVACUATIONS_MAX, COPIED_MAX),
        Call::Evict => (1, COPIED_MAX),
        Call::Other => (0, 0),
    };
    assert!(work.evacuations <= evacuations, "{call:?}: {work:?}, at most {evacuations}");
    assert!(work.bytes_moved <= work.evacuations * seg_bytes, "{call:?}: {work:?}");
    assert!(work.words_moved <= WORDS_MAX, "{call:?}: {work:?}");
    // Segments are evacuated whole.
    let copied = copied.max(seg_bytes);
    assert!(is_kept || work.bytes_moved <= copied, "{call:?}: {work:?}, at most {copied}");
}

fn slot_of(tag: u64) -> Slot {
    Slot::of_key(format!("{tag}").as_bytes())
}

/// An engine of real segments that is full, and small values, some of them of entries that expire together.
struct Full {
    world: World,
    prng: Prng,
}

impl Full {
    fn new() -> Self {
        let config = EngineConfig { limit: 8 << 20, cores: 1, value_len_max: None };
        let mut geometry = Geometry::new(&config).expect("the configuration is good");
        // Long enough that four of them are more than a call may copy.
        geometry.seg_len = 32 * KIB;
        geometry.large_len_min = geometry.seg_len / 4;
        Self { world: World::new(geometry), prng: Prng::new(1) }
    }

    /// Keys of three slots of one shard, so that all room is made there.
    fn key(&self, ns: u16, n: u64) -> Key {
        let is_there = |tag: &u64| self.world.geometry.shard_of(slot_of(*tag)) == 0;
        let tag = (0..).filter(is_there).nth(usize::try_from(n % 3).expect("an index"));
        let bytes = format!("{{{}}}{n}", tag.expect("there are many")).into_bytes();
        self.world.key(NamespaceId(ns), bytes)
    }

    fn put(&mut self, key: &Key, len: usize, ttl: Option<u64>) {
        let now = self.world.twin.now.0;
        let content = Content {
            value: bytes_of(self.prng.next_u64(), len),
            kind: 0,
            deadlines: Deadlines { hard: ttl.map(|ttl| UnixTime(now + ttl)), soft: None },
            client_flags: 0,
            content_type: ContentTypeId::NONE,
            version: Version(0),
        };
        self.world.put(key, &content).expect("there is room");
    }

    /// The least quota of a namespace in one shard, in bytes.
    fn quota_min(&self) -> u64 {
        let geometry = &self.world.geometry;
        geometry.quota_min() / u64::try_from(geometry.shards).expect("a count")
    }

    fn evacuations(&self, call: &str) -> u64 {
        self.world.most.get(call).map_or(0, |work| work.evacuations)
    }

    fn tick(&mut self, idx: usize) -> bool {
        let now = self.world.twin.now;
        self.world.call(idx, Call::Tick, |shard, twin| shard.tick(now, twin, 10_000)).more
    }
}

#[test]
fn calls_on_a_full_shard_do_no_more_than_they_may() {
    let mut full = Full::new();
    let idx = 0;
    // Everything is hot, so that evictions copy nearly all they see; sizes differ, so that nothing is written in place.
    for n in 0..60_000 {
        let name = full.prng.below(12_000);
        let key = full.key(0, name);
        let (ttl, len) = (n % 4 == 0, 100 + usize::try_from(n % 900).expect("a length"));
        full.put(&key, len, ttl.then_some(5000 + n % 3000));
        full.world.check_key(&key, true);
        full.world.check_key(&key, true);
    }
    assert!(full.evacuations("update") >= 2, "some writes evacuate several segments");
    for n in 0..200 {
        let key = full.key(0, 100_000 + n % 7);
        full.put(&key, 200_000 + usize::try_from(n).expect("a length") * 1000, None);
    }
    assert!(full.evacuations("large") > EVACUATIONS_MAX, "a large value may need many segments");
    for wave in 0..4 {
        for n in 0..3000 {
            let key = full.key(1, wave * 3000 + n);
            full.put(&key, 300, Some(1000));
        }
        full.world.twin.now.0 += 10_000;
        while full.tick(idx) {}
    }
    assert!(full.evacuations("tick") >= EVACUATIONS_MAX, "a tick sweeps several segments");
    // A quota far below what is there, and a limit.
    let (now, quota) = (full.world.twin.now, full.quota_min());
    let mut calls = 0;
    while !full.world.call(idx, Call::Configure, |shard, twin| {
        shard.configure(NamespaceId(0), Some(quota), true, now, twin).expect("there is room")
    }) {
        calls += 1;
    }
    assert!(calls > 10, "a lower quota is reached in steps: {calls}");
    full.world.budget.set_limit(6 << 20).expect("it is within the range");
    while full.tick(idx) {}
    assert!(full.world.budget.used() <= full.world.budget.limit(), "a lower limit is reached");
    full.world.end();
}

#[test]
fn namespace_can_be_written_after_its_quota_was_lowered_far() {
    let mut full = Full::new();
    for n in 0..60_000 {
        let key = full.key(0, n);
        full.put(&key, 10, None);
    }
    let (now, quota) = (full.world.twin.now, full.quota_min());
    while !full.world.call(0, Call::Configure, |shard, twin| {
        shard.configure(NamespaceId(0), Some(quota), true, now, twin).expect("there is room")
    }) {}
    for n in 0..100 {
        while full.tick(0) {}
        let key = full.key(0, n);
        full.put(&key, 10, None);
    }
    let held = full.world.shards[0].space_stats(NamespaceId(0)).held;
    assert!(held <= quota, "{held} of {quota} bytes are held");
    full.world.end();
}

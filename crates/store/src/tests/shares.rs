//! Memory of what expired comes back whatever the times to live are (G4 of the design).

use alloc::format;
use alloc::vec::Vec;

use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::prng::Prng;
use ringhold_types::time::UnixTime;

use super::twin::Content;
use super::world::{Call, KIB, Key, World, bytes_of};
use crate::budget::Geometry;
use crate::entry::Decision;

/// The time between two ticks of a shard that has nothing to do, in milliseconds.
const TICK_MS: u64 = 100;
/// A segment of which all expires within so many milliseconds is left until then.
const WAIT_MS: u64 = 1000;

/// One shard of `segments`; under 512 it has few classes of time to live.
fn geometry(segments: usize) -> Geometry {
    let seg_len = 16 * KIB;
    let limit = u64::try_from(segments * seg_len).expect("a limit");
    Geometry { limit, seg_len, shards: 1, value_len_max: 128 * KIB, large_len_min: seg_len / 4 }
}

struct Mixed {
    world: World,
    prng: Prng,
    written: u64,
    /// The greatest share of a sealed segment that was expired after a tick, in parts of 256.
    most: u64,
    /// How many sealed segments with a time to live were there after ticks.
    seen: u64,
}

impl Mixed {
    fn new(segments: usize) -> Self {
        let world = World::new(geometry(segments));
        Self { world, prng: Prng::new(3), written: 0, most: 0, seen: 0 }
    }

    fn key(&self, n: u64) -> Key {
        self.world.key(NamespaceId(0), format!("key:{n}").into_bytes())
    }

    fn write(&mut self, len: usize, ttl: u64) {
        let now = self.world.twin.now.0;
        let key = self.key(self.written);
        self.written += 1;
        let content = Content {
            value: bytes_of(self.written, len),
            kind: 0,
            deadlines: Deadlines { hard: Some(UnixTime(now + ttl)), soft: None },
            client_flags: 0,
            content_type: ContentTypeId::NONE,
            version: Version(0),
        };
        self.world.put(&key, &content).expect("there is room");
    }

    /// Ticks as the edge does: at once again while there is work.
    fn tick(&mut self) {
        self.world.twin.now.0 += TICK_MS;
        let now = self.world.twin.now;
        while self.world.call(0, Call::Tick, |shard, twin| shard.tick(now, twin, 512)).more {}
        for (expired, rest_ms) in self.world.shards[0].expired_parts(now) {
            assert!(
                expired <= 256 / 3 || rest_ms <= WAIT_MS,
                "{expired} of 256 parts are expired, and the rest is not for {rest_ms} ms"
            );
            self.most = self.most.max(if rest_ms > WAIT_MS { expired } else { 0 });
            self.seen += 1;
        }
    }
}

/// Writes entries of a length and a time to live that are drawn, and ticks for so long; what expired is given back all the
/// while.
fn check(segments: usize, for_ms: u64, mut draw: impl FnMut(&mut Prng) -> (usize, u64)) {
    let mut mixed = Mixed::new(segments);
    for step in 0..for_ms / TICK_MS {
        for _ in 0..3 {
            let (len, ttl) = draw(&mut mixed.prng);
            mixed.write(len, ttl);
        }
        mixed.tick();
        // Now and then an entry is given another time, longer or shorter.
        if step % 3 == 0 {
            let n = mixed.prng.below(mixed.written);
            let (key, (_, ttl)) = (mixed.key(n), draw(&mut mixed.prng));
            let hard = Some(UnixTime(mixed.world.twin.now.0 + ttl));
            let touch = Deadlines { hard, soft: None };
            let done = mixed.world.update(&key, Call::Update, |old| match old {
                Some(_) => Decision::Touch(touch),
                None => Decision::Keep,
            });
            done.expect("an entry with a deadline has room for another");
        }
    }
    assert!(mixed.seen > 100, "{} segments were seen", mixed.seen);
    assert!(mixed.most > 0, "some were partly expired");
    mixed.world.end();
}

fn len(prng: &mut Prng) -> usize {
    usize::try_from(200 + prng.below(400)).expect("a length")
}

#[test]
fn a_third_of_a_sealed_segment_is_expired_at_most_where_times_to_live_are_mixed() {
    for segments in [100, 600] {
        check(segments, 80_000, |prng| (len(prng), 500 + prng.below(50_000)));
        check(segments, 20_000, |prng| (len(prng), 1 + prng.below(3000)));
        // One of ten outlives the others by far.
        check(segments, 60_000, |prng| {
            let short = 20_000 + prng.below(500);
            (len(prng), if prng.chance(1, 10) { 300_000 } else { short })
        });
    }
}

#[test]
fn a_third_is_expired_at_most_where_one_class_has_ten_minutes_and_ten_hours() {
    let long = 36_000_000;
    check(100, 550_000, |prng| (len(prng), if prng.chance(1, 10) { long } else { 520_000 }));
}

#[test]
fn values_in_pages_count_with_their_pages() {
    // Of a segment's own bytes a large value takes next to nothing.
    check(600, 60_000, |prng| {
        if prng.chance(1, 30) { (20_000, 5000 + prng.below(2000)) } else { (len(prng), 60_000) }
    });
}

#[test]
fn what_expires_together_is_given_back_at_once_and_nothing_is_copied_for_it() {
    let mut mixed = Mixed::new(600);
    for _ in 0..10 {
        for _ in 0..3000 {
            mixed.write(300, 20_000);
        }
        mixed.tick();
    }
    let entries = |mixed: &Mixed| mixed.world.shards[0].stats().entries;
    assert!(entries(&mixed) > 10_000);
    mixed.world.twin.now.0 += 20_000 - TICK_MS;
    mixed.tick();
    assert_eq!(entries(&mixed), 0, "all is gone with the last deadline");
    assert_eq!(mixed.world.shards[0].work().items_moved, 0);
    mixed.world.end();
}

#[test]
fn deadlines_that_are_drawn_nearer_count_in_a_sealed_segment() {
    let mut mixed = Mixed::new(600);
    for _ in 0..300 {
        mixed.write(300, 30_000);
    }
    let keys: Vec<Key> = (0..300).filter(|n| n % 2 == 0).map(|n| mixed.key(n)).collect();
    for key in keys {
        let hard = Some(UnixTime(mixed.world.twin.now.0 + 5000));
        let touch = Decision::Touch(Deadlines { hard, soft: None });
        let mut touch = Some(touch);
        mixed.world.update(&key, Call::Update, |_| touch.take().expect("once")).expect("in place");
    }
    for _ in 0..51 {
        mixed.tick();
    }
    assert!(mixed.seen > 100, "there are sealed segments");
    let left = mixed.world.shards[0].stats().entries;
    assert!((150..200).contains(&left), "{left} of 300 entries are left, 150 of them alive");
    mixed.world.end();
}

/// A value that lives long, one that does not, and little ones beside them in the same segment.
fn values_beside_one_another() -> Mixed {
    let mut mixed = Mixed::new(600);
    mixed.write(100_000, 60_000);
    mixed.write(20_000, 10_000);
    for _ in 0..45 {
        mixed.write(400, 60_000);
    }
    mixed
}

fn delete(mixed: &mut Mixed, n: u64) {
    let key = mixed.key(n);
    mixed.world.update(&key, Call::Update, |_| Decision::Delete).expect("it needs no room");
}

#[test]
fn what_is_expired_counts_for_more_when_a_living_value_goes() {
    let mut mixed = values_beside_one_another();
    for _ in 0..102 {
        mixed.tick();
    }
    delete(&mut mixed, 0);
    for _ in 0..5 {
        mixed.tick();
    }
    mixed.world.end();
}

#[test]
fn a_value_that_is_gone_does_not_count_with_what_its_handle_has_become() {
    let mut mixed = values_beside_one_another();
    delete(&mut mixed, 0);
    mixed.write(100_000, 400_000);
    for _ in 0..110 {
        mixed.tick();
    }
    mixed.world.end();
}

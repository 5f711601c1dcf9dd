//! What stays and what goes when memory is full.

use alloc::format;

use super::{Many, NS, START};
use crate::entry::Lookup;
use crate::evict::{credit, credit_new};

const LIMIT: u64 = 8 << 20;

impl Many {
    /// Asks for a key and writes it when it is missing; whether it was there.
    fn get(&mut self, key: &str, value: &[u8]) -> bool {
        let at = self.seed.key(key.as_bytes());
        let shard = &self.shards[at.slot.index() % self.shards.len()];
        if matches!(shard.lookup(NS, key.as_bytes(), at, START), Lookup::Hit(_)) {
            return true;
        }
        self.put(key, value).expect("a small value finds room");
        false
    }

    /// Of this many keys in their order, how many are there, when those that are not are written.
    fn turn(&mut self, keys: u64, value: &[u8]) -> u64 {
        (0..keys).map(|n| u64::from(self.get(&format!("key {n:08}"), value))).sum()
    }

    fn moved_and_evicted(&self) -> (u64, u64) {
        self.shards
            .iter()
            .map(|shard| (shard.work().items_moved, shard.work().evicted))
            .fold((0, 0), |sum, work| (sum.0 + work.0, sum.1 + work.1))
    }
}

#[test]
fn of_a_loop_longer_than_memory_a_part_stays_and_nothing_is_copied_for_it() {
    let mut many = Many::new(LIMIT);
    let keys = 3 * LIMIT / 340;
    for _ in 0..3 {
        many.turn(keys, &[1; 300]);
    }
    let (moved_before, evicted_before) = many.moved_and_evicted();
    let hits = many.turn(keys, &[1; 300]);
    assert!(hits * 5 > keys, "{hits} of {keys} keys, where memory holds a third");
    let (moved, evicted) = many.moved_and_evicted();
    assert!((moved - moved_before) * 100 < evicted - evicted_before, "{moved} {evicted}");
    many.shards.iter().for_each(super::Shard::check_deeply);
}

#[test]
fn what_is_used_now_takes_the_place_of_what_was() {
    let mut many = Many::new(LIMIT);
    let keys = LIMIT / 340;
    many.turn(2 * keys, &[1; 300]);
    let hot = |many: &mut Many| -> u64 {
        (0..keys / 4).map(|n| u64::from(many.get(&format!("hot {n:08}"), &[2; 300]))).sum()
    };
    for _ in 0..10 {
        hot(&mut many);
    }
    assert!(hot(&mut many) > keys / 4 * 9 / 10, "a quarter of memory is used, and stays");
}

#[test]
fn main_takes_values_in_pages_over_with_their_bytes() {
    let mut many = Many::new(LIMIT);
    let (short, long) = ([1; 100], [2; 6000]);
    for n in 0..12_000u64 {
        many.get(&format!("key {n}"), if n % 4 == 0 { &long } else { &short });
    }
    many.shards.iter().for_each(super::Shard::check_deeply);
    assert!(many.moved_and_evicted().1 > 1000, "memory was full");
}

#[test]
fn new_entries_have_credit_only_when_they_are_far_shorter_than_the_mean() {
    let mean = 400 * 16;
    assert_eq!([credit(mean, 400), credit(mean, 200), credit(mean, 60)], [0, 1, 6]);
    assert_eq!([credit_new(mean, 200), credit_new(mean, 60), credit_new(mean, 20)], [0, 1, 4]);
    assert_eq!(credit_new(0, 20), 0, "before the first entry there is no mean");
    let mut many = Many::new(LIMIT);
    for n in 0..40_000u64 {
        let value: &[u8] = if n % 10 == 0 { &[1; 10] } else { &[1; 600] };
        many.put(&format!("key {n}"), value).expect("there is room");
    }
    let is_in = |n: u64| {
        let key = format!("key {n}");
        let at = many.seed.key(key.as_bytes());
        let shard = &many.shards[at.slot.index() % many.shards.len()];
        matches!(shard.peek(NS, key.as_bytes(), at, START), Lookup::Hit(_))
    };
    let short = (0..4000).filter(|&n| is_in(n * 10)).count();
    let long = (0..4000).filter(|&n| is_in(n * 10 + 1)).count();
    assert!(short > 2 * long, "{short} short ones and {long} long ones");
}

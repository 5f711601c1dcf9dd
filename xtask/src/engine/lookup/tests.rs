//! The three ways of looking up, against each other.

use ringhold_types::entry::Deadlines;

use super::{BATCH, Key, VALUE_LEN, Words, batched, key, single};
use crate::shards::{START, Shards};

#[test]
fn all_ways_find_the_same_values_and_miss_the_same_keys() {
    let mut shards = Shards::new(64 << 20, 1).unwrap();
    let mut words = Words::new(shards.geometry.shards, shards.geometry.seg_len);
    let mut value = [b'v'; VALUE_LEN];
    for number in 0..10_000 {
        value[..4].copy_from_slice(&u32::to_le_bytes(number));
        assert!(shards.put(&key(number), &value, Deadlines::NEVER, START));
        words.insert(&shards, &key(number), &value);
    }
    for first in (0..10_000).step_by(777) {
        // The last ones are beyond what was stored.
        let keys: [Key; BATCH] =
            std::array::from_fn(|idx| key(first + 100 * u32::try_from(idx).unwrap()));
        let mut outs = [vec![], vec![], vec![]];
        batched(&shards, &keys, &mut outs[0]);
        single(&shards, &keys, &mut outs[1]);
        words.look(&shards, &keys, &mut outs[2]);
        let there = (0..16).filter(|idx| first + 100 * idx < 10_000);
        let expected: Vec<u32> = there.map(|idx| first + 100 * idx).collect();
        for out in outs {
            let found: Vec<u32> = out
                .chunks(VALUE_LEN)
                .map(|value| u32::from_le_bytes(value[..4].try_into().unwrap()))
                .collect();
            assert_eq!(found, expected);
        }
    }
}

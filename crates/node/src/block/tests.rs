//! Facts about sets of shards.

use super::ShardSet;

#[test]
fn shards_are_numbered_in_ascending_order() {
    let mut set = ShardSet::default();
    let shards = [3, 0, 63, 64, 1023, 700, 65, 3];
    shards.iter().for_each(|&shard| set.insert(shard));
    let sorted: Vec<usize> = set.iter().collect();
    assert_eq!(sorted, [0, 3, 63, 64, 65, 700, 1023]);
    for (rank, &shard) in sorted.iter().enumerate() {
        assert_eq!(usize::from(set.rank(shard)), rank, "shard {shard}");
    }
}

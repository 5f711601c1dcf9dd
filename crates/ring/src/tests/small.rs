//! Small rings, all of them: 1 to 5 nodes, 1 to 3 replicas, several weights and zones, every node that can come or go.

use alloc::vec::Vec;

use super::cluster::{Cluster, Member, member};

const NAMES: [&str; 6] = ["f", "b", "e", "a", "c", "d"];

/// Weights in hundredths, and zones, of the nodes in order.
const WEIGHTS: [[u16; 6]; 6] = [
    [100, 100, 100, 100, 100, 100],
    [100, 200, 100, 200, 100, 200],
    [300, 100, 100, 100, 100, 50],
    [1, 10_000, 100, 100, 1, 10_000],
    [100, 101, 102, 103, 104, 105],
    [10_000, 1, 1, 1, 1, 1],
];
const ZONES: [[&str; 6]; 6] = [
    ["a", "a", "a", "a", "a", "a"],
    ["a", "b", "c", "d", "e", "f"],
    ["a", "b", "a", "b", "a", "b"],
    ["a", "b", "b", "b", "b", "c"],
    ["a", "b", "c", "a", "b", "c"],
    ["a", "a", "a", "b", "b", "c"],
];

/// The nodes of one row of weights and one of zones.
pub(super) fn case(weights: usize, zones: usize) -> Vec<Member> {
    let nodes = NAMES.iter().zip(WEIGHTS[weights]).zip(ZONES[zones]);
    nodes.map(|((name, weight), zone)| member(name, weight, zone)).collect()
}

pub(super) fn each_case(mut check: impl FnMut(&[Member], u8)) {
    for weights in 0..WEIGHTS.len() {
        for zones in 0..ZONES.len() {
            for replicas in 1..=3 {
                check(&case(weights, zones), replicas);
            }
        }
    }
}

#[test]
fn every_small_ring_keeps_the_contract_through_every_change() {
    for slots in [1, 7, 60] {
        each_case(|members, replicas| {
            let mut cluster = Cluster::new(slots, replicas);
            for newcomer in 0..5 {
                cluster.add(members[newcomer].clone());
                for gone in 0..=newcomer {
                    if newcomer > 0 {
                        cluster.clone().remove(gone);
                    }
                }
                cluster.clone().add(members[5].clone());
            }
        });
    }
}

#[test]
fn a_change_among_equal_nodes_moves_the_share_of_that_node_and_no_more() {
    for zones in [0, 1] {
        for replicas in 1..=3 {
            let mut cluster = Cluster::new(16_384, replicas);
            for (idx, newcomer) in case(0, zones).into_iter().enumerate() {
                let added = cluster.add(newcomer);
                let nodes = idx as u64 + 1;
                let copies = u64::from(replicas).min(nodes) * 16_384 / nodes;
                assert!(added.copies.made - copies <= 1, "{:?} of {cluster}", added.copies);
                assert!(added.primaries.made <= 16_384 / nodes + 1, "{:?}", added.primaries);
                if nodes > u64::from(replicas) {
                    let held = cluster.loads(&cluster.owners).map(|loads| loads[0]);
                    let removed = cluster.clone().remove(0);
                    assert_eq!([removed.copies.made, removed.primaries.made], held, "{cluster}");
                }
            }
        }
    }
}

#[test]
fn more_replicas_are_added_and_fewer_taken_away_without_other_moves() {
    let mut cluster = Cluster::new(16_384, 1);
    cluster.members = case(0, 1);
    cluster.settle();
    for replicas in [2, 3, 2, 1] {
        let more = u64::from(replicas.max(cluster.replicas) - cluster.replicas);
        cluster.replicas = replicas;
        let placed = cluster.settle();
        assert_eq!(placed.copies.made, more * 16_384, "to {replicas}");
    }
}

#[test]
fn fewer_nodes_than_replicas_all_own_everything() {
    let mut cluster = Cluster::new(100, 8);
    for (idx, newcomer) in case(3, 5).into_iter().enumerate() {
        cluster.add(newcomer);
        assert!(cluster.owners.iter().all(|owners| owners.len() == idx + 1));
    }
}

#[test]
fn balance_yields_to_zones() {
    // Half of the copies must be in zone b, whose one node weighs a tenth.
    let mut cluster = Cluster::new(1000, 2);
    cluster.members =
        alloc::vec![member("x", 300, "a"), member("y", 600, "a"), member("z", 100, "b")];
    cluster.settle();
    let [copies, primaries] = cluster.loads(&cluster.owners);
    assert!((333..=334).contains(&copies[0]) && (666..=667).contains(&copies[1]), "{copies:?}");
    assert_eq!(copies[2], 1000);
    assert_eq!(primaries, [300, 600, 100]);
}

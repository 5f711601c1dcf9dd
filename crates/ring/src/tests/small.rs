//! Small rings, all of them: 1 to 5 nodes, 1 to 3 replicas, several weights and zones, every node that can come or go.

use alloc::string::String;
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

pub(super) fn each_case(mut check: impl FnMut(&[Member], u8)) {
    for weights in WEIGHTS {
        for zones in ZONES {
            for replicas in 1..=3 {
                let members: Vec<Member> =
                    (0..6).map(|idx| member(NAMES[idx], weights[idx], zones[idx])).collect();
                check(&members, replicas);
            }
        }
    }
}

#[test]
fn every_small_ring_keeps_the_contract_through_every_change() {
    for slots in [1, 7, 60, 1000] {
        each_case(|members, replicas| {
            let mut cluster = Cluster::new(slots, replicas);
            for newcomer in 0..5 {
                cluster.add(members[newcomer].clone());
                for gone in 0..=newcomer {
                    let mut less = cluster.clone();
                    if newcomer > 0 {
                        less.remove(gone);
                    }
                }
                let mut more = cluster.clone();
                more.add(members[5].clone());
            }
        });
    }
}

#[test]
fn every_small_ring_of_all_slots_moves_at_most_1_05_of_the_minimum() {
    let mut worst: Vec<String> = Vec::new();
    each_case(|members, replicas| {
        let mut cluster = Cluster::new(16_384, replicas);
        for newcomer in 0..5 {
            let added = cluster.add(members[newcomer].clone());
            let mut placements = alloc::vec![("added", added)];
            for gone in 0..=newcomer {
                let mut less = cluster.clone();
                if newcomer > 0 {
                    placements.push(("removed", less.remove(gone)));
                }
            }
            for (what, placement) in placements {
                for (kind, count) in
                    [("copies", placement.copies), ("primaries", placement.primaries)]
                {
                    if count.made as f64 > count.min as f64 * 1.05 + 1.0 {
                        worst.push(alloc::format!("{what} {kind} {count:?} {cluster}"));
                    }
                }
            }
        }
    });
    assert!(worst.is_empty(), "{} {:#?}", worst.len(), worst);
}

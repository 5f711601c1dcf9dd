//! Larger rings, drawn from seeds.

use alloc::format;
use alloc::vec::Vec;

use ringhold_types::prng::Prng;

use super::cluster::{Cluster, Member, member};
use crate::owners::{NodeIdx, Owners};

/// What a ring is drawn from: nodes, zones, the greatest weight in hundredths, replicas.
const SHAPES: [(u64, u64, u64, u8); 8] = [
    (1000, 1, 100, 2),
    (1000, 20, 100, 3),
    (700, 3, 150, 3),
    (300, 2, 10_000, 3),
    (100, 100, 400, 2),
    (40, 5, 10_000, 4),
    (17, 3, 1000, 2),
    (9, 9, 100, 8),
];

/// Nodes of which low zones have more.
fn draw(prng: &mut Prng, (_, zones, weight_max, _): (u64, u64, u64, u8), idx: u64) -> Member {
    let zone = prng.below(zones).min(prng.below(zones));
    let hundredths = 100.max(weight_max - prng.below(weight_max));
    let hundredths = u16::try_from(hundredths).expect("a weight");
    member(&format!("node-{idx}"), hundredths, &format!("zone-{zone}"))
}

#[test]
fn rings_of_up_to_a_thousand_nodes_keep_the_contract() {
    let mut prng = Prng::new(2026);
    for shape in SHAPES {
        let mut cluster = Cluster::new(16_384, shape.3);
        cluster.members = (0..shape.0).map(|idx| draw(&mut prng, shape, idx)).collect();
        cluster.settle();
        for idx in 0..4 {
            if idx % 2 == 0 {
                cluster.add(draw(&mut prng, shape, shape.0 + idx));
            } else {
                let gone = prng.below(cluster.members.len() as u64);
                cluster.remove(usize::try_from(gone).expect("an index"));
            }
        }
    }
}

#[test]
fn a_change_of_a_large_ring_moves_at_most_1_05_of_the_minimum() {
    let mut prng = Prng::new(7);
    for (nodes, zones) in [(10, 1), (30, 3), (100, 1), (100, 5), (1000, 1)] {
        let shape = (nodes, zones, 100, 2);
        let mut cluster = Cluster::new(16_384, 2);
        cluster.members = (0..nodes).map(|idx| draw(&mut prng, shape, idx)).collect();
        cluster.settle();
        let removed = cluster.remove(0);
        let added = cluster.add(draw(&mut prng, shape, nodes));
        for placed in [removed, added] {
            let (made, min) = (placed.copies.made, placed.copies.min);
            assert!(made * 100 <= min * 105, "{:?} of {nodes} in {zones} zones", placed.copies);
            // Primaries can only go to owners, which the minimum does not know of.
            let (made, min) = (placed.primaries.made, placed.primaries.min);
            assert!(made * 100 <= min * 110 + 100, "{:?} of {nodes}", placed.primaries);
        }
    }
}

#[test]
fn a_thousand_changes_do_not_wear_it_out() {
    let mut prng = Prng::new(1000);
    let mut cluster = Cluster::new(2048, 2);
    for idx in 0..1000 {
        let nodes = cluster.members.len() as u64;
        let placed = if nodes < 3 || (nodes < 20 && prng.chance(1, 2)) {
            cluster.add(member(&format!("node-{idx}"), 100, ""))
        } else {
            cluster.remove(usize::try_from(prng.below(nodes)).expect("an index"))
        };
        for count in [placed.copies, placed.primaries] {
            assert!(
                count.made * 100 <= count.min * 105 + 100,
                "change {idx}: {placed:?}",
                placed = (placed.copies, placed.primaries)
            );
        }
    }
}

#[test]
fn a_thousand_changes_of_weights_and_zones_keep_the_contract() {
    let mut prng = Prng::new(1001);
    let mut cluster = Cluster::new(1024, 3);
    for idx in 0..1000 {
        let nodes = cluster.members.len() as u64;
        let any = |prng: &mut Prng| usize::try_from(prng.below(nodes)).expect("an index");
        let newcomer = draw(&mut prng, (0, 5, 1000, 0), idx);
        if nodes < 3 || (nodes < 20 && prng.chance(1, 3)) {
            cluster.add(newcomer);
        } else if prng.chance(1, 2) {
            let gone = any(&mut prng);
            cluster.remove(gone);
        } else {
            let changed = any(&mut prng);
            cluster.members[changed].hundredths = newcomer.hundredths;
            cluster.members[changed].zone = newcomer.zone;
            cluster.replicas = 1 + u8::try_from(prng.below(4)).expect("a few");
            cluster.settle();
        }
    }
}

#[test]
fn the_order_of_the_list_of_nodes_does_not_show() {
    let mut prng = Prng::new(3);
    for shape in [(50, 4, 1000, 3), (5, 1, 100, 2)] {
        let mut cluster = Cluster::new(16_384, shape.3);
        cluster.members = (0..shape.0).map(|idx| draw(&mut prng, shape, idx)).collect();
        cluster.settle();
        cluster.members.push(draw(&mut prng, shape, shape.0));
        cluster.members[2].is_eligible = false;
        let placed = cluster.place(&[]);
        // The node at `order[idx]` of the first list is at `idx` of the second.
        let mut order: Vec<usize> = (0..cluster.members.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, usize::try_from(prng.below(last as u64 + 1)).expect("an index"));
        }
        let turned = |owners: &Owners| -> Owners {
            let place = |node: &NodeIdx| order.iter().position(|&old| old == node.index());
            owners.iter().filter_map(place).map(NodeIdx::at).collect()
        };
        let mut other = cluster.clone();
        other.members = order.iter().map(|&idx| cluster.members[idx].clone()).collect();
        other.owners = cluster.owners.iter().map(turned).collect();
        let expected: Vec<Owners> = placed.owners.iter().map(turned).collect();
        assert!(other.place(&[]).owners == expected, "the same owners by other numbers");
    }
}

#[test]
fn nothing_moves_when_nothing_changed() {
    let mut prng = Prng::new(4);
    for shape in SHAPES {
        let mut cluster = Cluster::new(16_384, shape.3);
        cluster.members = (0..shape.0.min(100)).map(|idx| draw(&mut prng, shape, idx)).collect();
        let first = cluster.settle();
        let second = cluster.settle();
        assert!(first.owners == second.owners, "{cluster}");
    }
}

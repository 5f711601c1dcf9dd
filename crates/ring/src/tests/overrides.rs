//! Facts about slots whose owners are decided elsewhere.

use alloc::vec::Vec;

use ringhold_types::slot::Slot;

use super::cluster::{Cluster, slot};
use super::small::case;
use crate::owners::{NodeIdx, Owners};
use crate::placement::Override;

fn settled(replicas: u8) -> Cluster {
    let mut cluster = Cluster::new(16_384, replicas);
    cluster.members = case(0, 1);
    cluster.settle();
    cluster
}

fn pin(slot: Slot, owners: &[u16]) -> Override<'static> {
    let owners = owners.iter().map(|&node| NodeIdx(node)).collect();
    Override { slot, owners, reason: "a test" }
}

/// Slots of which `owners` and `others` differ.
fn changed(owners: &[Owners], others: &[Owners]) -> Vec<usize> {
    (0..owners.len()).filter(|&slot| owners[slot] != others[slot]).collect()
}

#[test]
fn pinned_owners_are_the_owners_and_nothing_else_moves() {
    let cluster = settled(2);
    let from_first = |number: &u16| {
        let owners = &cluster.owners[usize::from(*number)];
        owners.primary() == Some(NodeIdx(0)) && !owners.contains(&NodeIdx(5))
    };
    let slots: Vec<u16> = (0..16_384).filter(from_first).take(300).collect();
    let pins: Vec<Override<'_>> = slots.iter().map(|&number| pin(slot(number), &[5, 1])).collect();
    let placed = cluster.place(&pins);
    for &number in &slots {
        assert_eq!(*placed.owners[usize::from(number)], [NodeIdx(5), NodeIdx(1)]);
    }
    let expected: Vec<usize> = slots.iter().map(|&number| usize::from(number)).collect();
    assert_eq!(changed(&placed.owners, &cluster.owners), expected);
    // And it stays so.
    let mut later = cluster.clone();
    later.owners.clone_from(&placed.owners);
    assert!(later.place(&pins).owners == placed.owners);
}

#[test]
fn a_pinned_primary_leaves_the_other_copies_to_placement() {
    let cluster = settled(3);
    let number = 77;
    let backup = cluster.owners[77][1];
    let placed = cluster.place(&[pin(slot(number), &[backup.0])]);
    assert_eq!(placed.owners[77].primary(), Some(backup));
    assert_eq!(placed.copies.made, 0, "its copy was there");
    assert_eq!(placed.primaries.made, 1);
    assert_eq!(changed(&placed.owners, &cluster.owners), [77]);
}

#[test]
fn pinned_nodes_that_may_own_nothing_are_passed_over() {
    let mut cluster = settled(2);
    cluster.members[3].is_eligible = false;
    let placed = cluster.place(&[pin(slot(9), &[3, 4])]);
    assert_eq!(placed.owners[9].primary(), Some(NodeIdx(4)));
    assert_eq!(placed.owners[9].len(), 2);
}

#[test]
fn of_two_overrides_of_a_slot_the_last_counts() {
    let cluster = settled(1);
    let placed = cluster.place(&[pin(slot(9), &[3]), pin(slot(9), &[4])]);
    assert_eq!(*placed.owners[9], [NodeIdx(4)]);
}

#[test]
fn pins_hold_against_zones_and_every_slot_keeps_its_copies() {
    let mut cluster = Cluster::new(16_384, 3);
    cluster.members = case(2, 4);
    cluster.settle();
    // Nodes 0 and 3 are in one zone; a third of all slots is pinned.
    let third = (0..16_384).step_by(3);
    let pins: Vec<Override<'_>> = third.map(|number| pin(slot(number), &[0, 3])).collect();
    let mut after = cluster.clone();
    after.owners = cluster.place(&pins).owners;
    for (number, owners) in after.owners.iter().enumerate() {
        assert_eq!(owners.len(), 3);
        if number % 3 == 0 {
            assert_eq!(owners[..2], [NodeIdx(0), NodeIdx(3)]);
        }
    }
    after.members[0].is_eligible = false;
    let placed = after.place(&pins);
    assert!(placed.owners.iter().all(|owners| owners.len() == 3 && !owners.contains(&NodeIdx(0))));
    // Without overrides the contract is whole again.
    after.settle();
}

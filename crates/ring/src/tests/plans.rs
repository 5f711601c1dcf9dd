//! Facts about the way from one placement to another.

use alloc::vec::Vec;

use super::cluster::{Cluster, slot};
use super::small::{case, each_case};
use crate::owners::{NodeIdx, Owners};
use crate::plan::{Change, Move, Plan};

/// Carries a change out, step by step; `is_safe` looks at the slot after each.
fn carry_out(owners: &mut Owners, change: &Change, is_safe: impl Fn(&Owners)) {
    for &node in change.add.iter() {
        assert!(owners.push(node), "a node that is filled held nothing");
        is_safe(owners);
    }
    if let Some(primary) = change.primary {
        assert!(owners.contains(&primary), "the new primary holds the slot");
        *owners = owners.led_by(primary);
        is_safe(owners);
    }
    for &node in change.remove.iter() {
        assert_ne!(owners.primary(), Some(node), "a primary is not taken away");
        assert!(owners.remove(node));
        is_safe(owners);
    }
}

fn check(before: &Cluster, wanted: &[Owners]) {
    let plan = Plan::between(&before.owners, wanted);
    let mut owners = before.owners.clone();
    let mut lacking = usize::MAX;
    for change in &plan.changes {
        let slot = change.slot.index();
        let lacks = wanted[slot].len().saturating_sub(owners[slot].len());
        assert!(lacks <= lacking, "slots that lack most come first");
        lacking = lacks;
        let least = before.owners[slot].len().min(wanted[slot].len());
        carry_out(&mut owners[slot], change, |now| assert!(now.len() >= least));
    }
    for (slot, wanted) in wanted.iter().enumerate() {
        assert_eq!(owners[slot].primary(), wanted.primary());
        assert!(owners[slot].len() == wanted.len(), "all of them");
        assert!(wanted.iter().all(|node| owners[slot].contains(node)));
    }
}

#[test]
fn a_plan_leads_to_what_is_wanted_and_no_slot_drops_below_its_copies() {
    each_case(|members, replicas| {
        let mut cluster = Cluster::new(60, replicas);
        check(&cluster.clone(), &cluster.owners);
        cluster.members = members[..4].to_vec();
        check(&cluster.clone(), &cluster.settle().owners);
        cluster.members.extend_from_slice(&members[4..]);
        check(&cluster.clone(), &cluster.settle().owners);
        // Two at once, of which one is dead: its copies are not there.
        cluster.members[0].is_eligible = false;
        cluster.members[1].is_eligible = false;
        for owners in &mut cluster.owners {
            owners.remove(NodeIdx(0));
        }
        check(&cluster.clone(), &cluster.settle().owners);
    });
}

#[test]
fn a_plan_counts_what_placement_counts() {
    let mut cluster = Cluster::new(16_384, 2);
    cluster.members = case(2, 1);
    cluster.settle();
    cluster.members[1].is_eligible = false;
    let placed = cluster.place(&[]);
    let plan = Plan::between(&cluster.owners, &placed.owners);
    assert_eq!(plan.copies_moved, placed.copies.made);
    assert_eq!(plan.primaries_changed, placed.primaries.made);
}

#[test]
fn each_recipient_gets_its_part_of_each_batch() {
    let mut cluster = Cluster::new(16_384, 1);
    cluster.members = case(0, 0)[..3].to_vec();
    cluster.settle();
    cluster.members = case(0, 0);
    let plan = Plan::between(&cluster.owners, &cluster.place(&[]).owners);
    let mut received = [0u64; 6];
    for (idx, change) in plan.changes.iter().enumerate() {
        change.add.iter().for_each(|node| received[node.index()] += 1);
        let fair = (idx as u64 + 1) / 3;
        assert!(received[3..].iter().all(|&count| count.abs_diff(fair) <= 1), "{received:?}");
    }
}

#[test]
fn a_move_names_who_gives_and_who_receives() {
    let owners = |nodes: &[u16]| -> Owners { nodes.iter().map(|&node| NodeIdx(node)).collect() };
    let check = |before: &[u16], after: &[u16], expected: &[(Option<u16>, Option<u16>)]| {
        let plan = Plan::between(&[owners(before)], &[owners(after)]);
        let moves: Vec<Move> = plan.changes.iter().flat_map(Change::moves).collect();
        let node = |number: Option<u16>| number.map(NodeIdx);
        let one = |&(from, to)| Move { slot: slot(0), from: node(from), to: node(to) };
        assert_eq!(moves, expected.iter().map(one).collect::<Vec<Move>>());
    };
    check(&[1, 2], &[1, 3], &[(Some(2), Some(3))]);
    check(&[1, 2], &[3, 4], &[(Some(1), Some(3)), (Some(2), Some(4))]);
    check(&[1], &[1, 3], &[(None, Some(3))]);
    check(&[1, 2, 3], &[3], &[(Some(1), None), (Some(2), None)]);
    check(&[1, 2], &[2, 1], &[]);
    check(&[1, 2], &[1, 2], &[]);
}

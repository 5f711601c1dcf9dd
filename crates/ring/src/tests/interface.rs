//! Facts about the doors: what is refused, the ring that stands alone, routes, and the hash that may never change.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ringhold_types::node::Weight;
use ringhold_types::slot::Slot;

use super::cluster::slot;
use crate::error::RingError;
use crate::node::Node;
use crate::owners::{NodeIdx, OWNERS_MAX, Owners};
use crate::placement::{Override, Request, place};
use crate::points::{natural_owners, position};
use crate::ring::Ring;
use crate::route::{Need, route};

fn node(name: &str) -> Node<'_> {
    Node { name, weight: Weight::ONE, zone: "", is_eligible: true }
}

#[test]
fn wrong_questions_are_refused() {
    let present = alloc::vec![Owners::NONE; 16_384];
    let ask = |nodes: &[Node<'_>], replicas: u8| {
        let request = Request { nodes, present: &present, replicas, overrides: &[] };
        place(&request).map(|placed| placed.copies.made)
    };
    let long = "n".repeat(256);
    assert_eq!(ask(&[], 2), Err(RingError::Empty));
    assert_eq!(ask(&[Node { is_eligible: false, ..node("a") }], 2), Err(RingError::Empty));
    assert_eq!(ask(&[node("a"), node("a")], 2), Err(RingError::DuplicateNode { name: "a".into() }));
    assert_eq!(ask(&[node("")], 2), Err(RingError::NameLen { len: 0, max: 255 }));
    assert_eq!(ask(&[node(&long)], 2), Err(RingError::NameLen { len: 256, max: 255 }));
    let zone = Node { zone: &long[..65], ..node("a") };
    assert_eq!(ask(&[zone], 2), Err(RingError::ZoneLen { len: 65, max: 64 }));
    for replicas in [0, 9] {
        let error = RingError::ReplicasOutOfRange { replicas, max: 8 };
        assert_eq!(ask(&[node("a")], replicas), Err(error));
    }
    let names: Vec<String> = (0..1025).map(|idx| format!("{idx}")).collect();
    let many: Vec<Node<'_>> = names.iter().map(|name| node(name)).collect();
    assert_eq!(ask(&many, 1), Err(RingError::TooManyNodes { count: 1025, max: 1024 }));
    assert_eq!(ask(&many[..1024], 1), Ok(16_384));
}

#[test]
fn owners_that_are_no_nodes_are_refused() {
    let nodes = [node("a")];
    let stranger: Owners = [NodeIdx(1)].into_iter().collect();
    let mut present = alloc::vec![Owners::NONE; 16_384];
    let overrides = [Override { slot: slot(0), owners: stranger, reason: "" }];
    let request = Request { nodes: &nodes, present: &present, replicas: 1, overrides: &overrides };
    let error = RingError::UnknownIndex { node: 1, nodes: 1 };
    assert_eq!(place(&request).map(drop), Err(error.clone()));
    present[5] = stranger;
    let request = Request { nodes: &nodes, present: &present, replicas: 1, overrides: &[] };
    assert_eq!(place(&request).map(drop), Err(error));
    let request = Request { nodes: &nodes, present: &present[..9], replicas: 1, overrides: &[] };
    assert_eq!(place(&request).map(drop), Err(RingError::SlotCount { len: 9 }));
}

#[test]
fn owners_are_distinct_and_bounded() {
    let owners: Owners = (0..100).map(|node| NodeIdx(node % 50)).collect();
    let expected: Vec<NodeIdx> = (0..OWNERS_MAX).map(NodeIdx::at).collect();
    assert_eq!(*owners, expected[..]);
    let mut owners = owners;
    assert!(owners.remove(NodeIdx(3)) && !owners.remove(NodeIdx(3)));
    assert!(owners.push(NodeIdx(3)) && !owners.push(NodeIdx(3)));
    assert_eq!(owners.last(), Some(&NodeIdx(3)));
    assert_eq!(owners.len(), OWNERS_MAX);
}

#[test]
fn a_ring_refuses_what_it_cannot_do_and_stays_as_it_was() {
    assert_eq!(Ring::new(0).map(drop), Err(RingError::ReplicasOutOfRange { replicas: 0, max: 8 }));
    let mut ring = Ring::new(2).expect("two replicas");
    assert!(ring.locate(b"key").is_empty());
    ring.add_node("a", 1.0, "").expect("room");
    for weight in [0.0, 100.5, -1.0, f64::INFINITY] {
        let error = ring.add_node("b", weight, "").map(drop);
        assert_eq!(error, Err(RingError::WeightOutOfRange { weight }));
    }
    let error = RingError::DuplicateNode { name: "a".into() };
    assert_eq!(ring.add_node("a", 1.0, "").map(drop), Err(error));
    let error = RingError::UnknownNode { name: "b".into() };
    assert_eq!(ring.remove_node("b").map(drop), Err(error));
    assert_eq!(ring.node_count(), 1);
    assert_eq!(*ring.owners_of(Slot::MIN), Owners::from_iter([NodeIdx(0)]));
}

#[test]
fn a_ring_keeps_keys_where_they_are_when_other_nodes_leave() {
    let mut ring = Ring::new(2).expect("two replicas");
    for name in ["a", "b", "c", "d"] {
        ring.add_node(name, 1.0, name).expect("room");
    }
    let names = |ring: &Ring, slot: Slot| -> Vec<String> {
        ring.owners_of(slot).iter().map(|&node| ring.name(node).expect("a node").into()).collect()
    };
    let before: Vec<Vec<String>> = Slot::all().map(|slot| names(&ring, slot)).collect();
    let plan = ring.remove_node("b").expect("it is there");
    assert_eq!(plan.copies_moved, 8192);
    for (slot, before) in Slot::all().zip(before) {
        let after = names(&ring, slot);
        assert_eq!(after.len(), 2);
        if !before.contains(&"b".into()) {
            assert_eq!(before.iter().filter(|name| after.contains(name)).count(), 2);
        }
    }
    assert_eq!(ring.locate(b"{tag}.a"), ring.locate(b"{tag}.b"));
    for name in ["a", "c", "d"] {
        ring.remove_node(name).expect("it is there");
    }
    assert!(ring.locate(b"key").is_empty());
}

#[test]
fn the_hash_never_changes() {
    // Other values would place every slot of a running cluster anew.
    assert_eq!(position(Slot::MIN), 0xE220_A839_7B1D_CDAF);
    assert_eq!(position(slot(1)), 0x910A_2DEC_8902_5CC1);
    let nodes = ["one", "two", "three", "four", "five"].map(node);
    let of = |number| natural_owners(&nodes, 2, slot(number)).map(|owners| owners.to_vec());
    let expected = |nodes: [u16; 2]| Ok(nodes.map(NodeIdx).to_vec());
    assert_eq!([of(0), of(1), of(16_383)], [[1, 4], [1, 2], [1, 3]].map(expected));
}

#[test]
fn natural_owners_are_of_distinct_zones() {
    let nodes = [("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")];
    let nodes = nodes.map(|(name, zone)| Node { zone, ..node(name) });
    for slot in Slot::all().step_by(100) {
        let owners = natural_owners(&nodes, 2, slot).expect("a right question");
        assert!(owners.len() == 2 && owners.contains(&NodeIdx(3)), "{owners:?}");
        assert_eq!(natural_owners(&nodes, 8, slot).expect("a right question").len(), 4);
    }
}

#[test]
fn the_primary_is_asked_first_then_backups_then_anybody() {
    let owners = [NodeIdx(4), NodeIdx(2), NodeIdx(7)];
    let others = [NodeIdx(0), NodeIdx(1)];
    let mut tried = Vec::new();
    while let Some(node) =
        route(&owners, &others, Need::Primary, |node| !tried.contains(&node) && node.0 != 2)
    {
        tried.push(node);
    }
    assert_eq!(tried, [4, 7, 0, 1].map(NodeIdx));
    let any = |number| route(&owners, &others, Need::AnyOwner(number), |_| true);
    assert_eq!([0, 1, 2, 3].map(any), [4, 2, 7, 4].map(|node| Some(NodeIdx(node))));
    let last = route(&owners, &others, Need::AnyOwner(2), |node| node.0 == 2);
    assert_eq!(last, Some(NodeIdx(2)), "an owner before the first is found too");
    assert_eq!(route(&[], &[], Need::AnyOwner(9), |_| true), None);
}

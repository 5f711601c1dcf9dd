//! The fewest copies that any placement moves, and the fewest primaries that any choice among the placed owners changes: cheapest flows through all slots, far
//! too slow for use. What `place` does is held against them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::cluster::{Cluster, Member};
use super::small::{case, each_case};
use crate::owners::{NodeIdx, Owners};
use crate::placement::Placement;

/// A network whose cheapest flow is found by shortest augmenting paths (Bellman and Ford).
struct Network {
    edges: Vec<Edge>,
    starts: Vec<Vec<usize>>,
}

struct Edge {
    to: usize,
    room: i64,
    cost: i64,
}

/// What a unit that a node must have is worth: more than all moves together.
const MUST: i64 = 1_000_000;

impl Network {
    fn new(places: usize) -> Self {
        Self { edges: Vec::new(), starts: alloc::vec![Vec::new(); places] }
    }

    fn edge(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        for (from, to, room, cost) in [(from, to, room, cost), (to, from, 0, -cost)] {
            self.starts[from].push(self.edges.len());
            self.edges.push(Edge { to, room, cost });
        }
    }

    /// The cost of the cheapest flow of `amount` from place 0 to place 1.
    fn cost(&mut self, mut amount: i64) -> i64 {
        let mut cost = 0;
        while amount > 0 {
            let (step, path) = self.cheapest_path();
            let room = path.iter().map(|&idx| self.edges[idx].room).min().unwrap_or(0).min(amount);
            for idx in path {
                self.edges[idx].room -= room;
                self.edges[idx ^ 1].room += room;
            }
            amount -= room;
            cost += step * room;
        }
        cost
    }

    fn cheapest_path(&self) -> (i64, Vec<usize>) {
        let mut reached: Vec<Option<(i64, usize)>> = alloc::vec![None; self.starts.len()];
        reached[0] = Some((0, usize::MAX));
        let mut queue = VecDeque::from([0]);
        while let Some(place) = queue.pop_front() {
            let so_far = reached[place].expect("reached").0;
            for &idx in &self.starts[place] {
                let edge = &self.edges[idx];
                let next = so_far + edge.cost;
                if edge.room > 0 && reached[edge.to].is_none_or(|(best, _)| next < best) {
                    reached[edge.to] = Some((next, idx));
                    queue.push_back(edge.to);
                }
            }
        }
        let (mut path, mut place) = (Vec::new(), 1);
        while place != 0 {
            let (_, idx) = reached[place].expect("there is a placement");
            path.push(idx);
            place = self.edges[idx ^ 1].to;
        }
        (reached[1].expect("there is a placement").0, path)
    }

    /// Lets through `share` of a node, rounded: what it must have, and one more where the share is no whole number.
    fn rounded(&mut self, from: usize, share: f64) -> i64 {
        let floor = (share + 1e-4).floor();
        #[expect(clippy::cast_possible_truncation, reason = "a number of copies")]
        let must = floor as i64;
        self.edge(from, 1, must, -MUST);
        if share - floor > 1e-4 {
            self.edge(from, 1, 1, 0);
        }
        must
    }
}

/// The fewest copies that have to arrive somewhere, from the owners that `before` has. Slots with equal owners are one place with room for all of them.
pub(super) fn copies_min(before: &Cluster) -> u64 {
    let nodes = before.members.len();
    let eligible = before.members.iter().filter(|member| member.is_eligible).count();
    let copies = signed(usize::from(before.replicas).min(eligible));
    let mut zones: Vec<&str> = before.members.iter().map(|member| member.zone.as_str()).collect();
    zones.sort_unstable();
    zones.dedup();
    let classes = classes(before.owners.iter().map(sorted));
    let (node_at, class_at) = (|node| 2 + node, |class| 2 + nodes + class);
    let zone_at = |class, zone| 2 + nodes + classes.len() + class * zones.len() + zone;
    let mut network = Network::new(zone_at(classes.len(), 0));
    for (class, (owners, &slots)) in classes.iter().enumerate() {
        network.edge(0, class_at(class), copies * slots, 0);
        for zone in 0..zones.len() {
            let room = signed(before.per_zone()) * slots;
            network.edge(class_at(class), zone_at(class, zone), room, 0);
        }
        for (node, member) in before.members.iter().enumerate().filter(|(_, one)| one.is_eligible) {
            let zone = zones.binary_search(&member.zone.as_str()).expect("a zone");
            let is_new = !owners.iter().any(|owner| owner.index() == node);
            network.edge(zone_at(class, zone), node_at(node), slots, i64::from(is_new));
        }
    }
    let mut must = 0;
    for (node, share) in before.shares().into_iter().enumerate() {
        must += network.rounded(node_at(node), share);
    }
    let cost = network.cost(copies * signed(before.owners.len())) + must * MUST;
    u64::try_from(cost).expect("every node gets its share")
}

/// The fewest slots whose primary changes, from those of `before` to some owner of those that were placed.
pub(super) fn primaries_min(before: &Cluster, placed: &Placement) -> u64 {
    let nodes = before.members.len();
    let pairs = before.owners.iter().zip(&placed.owners);
    let classes = classes(pairs.map(|(old, new)| (old.primary(), sorted(new))));
    let mut network = Network::new(2 + nodes + classes.len());
    for (class, ((old, new), &slots)) in classes.iter().enumerate() {
        network.edge(0, 2 + nodes + class, slots, 0);
        for owner in new {
            let is_change = old.is_some_and(|old| old != *owner);
            network.edge(2 + nodes + class, 2 + owner.index(), slots, i64::from(is_change));
        }
    }
    let mut must = 0;
    for (node, share) in before.primary_shares().into_iter().enumerate() {
        must += network.rounded(2 + node, share);
    }
    let cost = network.cost(signed(before.owners.len())) + must * MUST;
    u64::try_from(cost).expect("every node gets its share")
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("a small number")
}

fn sorted(owners: &Owners) -> Vec<NodeIdx> {
    let mut owners = owners.to_vec();
    owners.sort_unstable();
    owners
}

fn classes<K: Ord>(slots: impl Iterator<Item = K>) -> BTreeMap<K, i64> {
    let mut classes = BTreeMap::new();
    slots.for_each(|class| *classes.entry(class).or_default() += 1);
    classes
}

/// Adds nodes one by one; after each, takes out each in turn. Every change is held against the flows.
fn check(members: &[Member], slots: usize, replicas: u8) {
    let mut cluster = Cluster::new(slots, replicas);
    for (idx, newcomer) in members.iter().enumerate() {
        cluster.members.push(newcomer.clone());
        let before = cluster.clone();
        check_one(&before, &cluster.settle());
        for gone in 0..=idx {
            if idx > 0 {
                let mut before = cluster.clone();
                before.members[gone].is_eligible = false;
                check_one(&before, &before.clone().settle());
            }
        }
    }
}

fn check_one(before: &Cluster, placed: &Placement) {
    let copies = copies_min(before);
    assert!(placed.copies.min <= copies, "{:?} of {copies}: {before}", placed.copies);
    // One more than possible: which shares are rounded up is decided before chains are looked for.
    let made = placed.copies.made;
    assert!(copies <= made && made <= copies + 1, "{:?} of {copies}: {before}", placed.copies);
    let primaries = primaries_min(before, placed);
    assert_eq!(placed.primaries.made, primaries, "{before}");
}

#[test]
fn small_rings_of_few_slots_move_what_the_cheapest_flow_moves() {
    each_case(|members, replicas| check(&members[..5], 84, replicas));
}

#[test]
fn small_rings_of_all_slots_move_what_the_cheapest_flow_moves() {
    for (weights, zones, replicas) in [(0, 3, 2), (2, 0, 2), (2, 5, 3), (4, 4, 2), (3, 2, 3)] {
        check(&case(weights, zones)[..5], 16_384, replicas);
    }
}

//! A cluster as the tests see it: nodes that come and go, owners that follow, and the contract in its own words.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ringhold_types::node::Weight;
use ringhold_types::slot::Slot;

use crate::node::Node;
use crate::owners::{NodeIdx, Owners};
use crate::placement::{Override, Placement, Request, place_some};

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) hundredths: u16,
    pub(super) zone: String,
    pub(super) is_eligible: bool,
}

pub(super) fn member(name: &str, hundredths: u16, zone: &str) -> Member {
    Member { name: name.into(), hundredths, zone: zone.into(), is_eligible: true }
}

/// Nodes and the owners of some slots.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) members: Vec<Member>,
    pub(super) owners: Vec<Owners>,
    pub(super) replicas: u8,
}

impl Cluster {
    pub(super) fn new(slots: usize, replicas: u8) -> Self {
        Self { members: Vec::new(), owners: alloc::vec![Owners::NONE; slots], replicas }
    }

    pub(super) fn nodes(&self) -> Vec<Node<'_>> {
        self.members.iter().map(node).collect()
    }

    /// Places the slots anew, checks the contract and adopts the result.
    pub(super) fn settle(&mut self) -> Placement {
        let placement = self.place(&[]);
        self.check(&placement);
        self.owners.clone_from(&placement.owners);
        placement
    }

    pub(super) fn place(&self, overrides: &[Override<'_>]) -> Placement {
        let (nodes, present, replicas) = (&self.nodes(), &self.owners, self.replicas);
        place_some(&Request { nodes, present, replicas, overrides }).expect("a right question")
    }

    pub(super) fn add(&mut self, member: Member) -> Placement {
        self.members.push(member);
        self.settle()
    }

    /// Takes a node out, and forgets it.
    pub(super) fn remove(&mut self, idx: usize) -> Placement {
        self.members[idx].is_eligible = false;
        let placement = self.settle();
        self.members.remove(idx);
        let renumber = |node: &NodeIdx| NodeIdx::at(node.index() - usize::from(node.index() > idx));
        for owners in &mut self.owners {
            *owners = owners.iter().map(renumber).collect();
        }
        placement
    }

    /// The contract, clause by clause.
    pub(super) fn check(&self, placement: &Placement) {
        let eligible = self.members.iter().filter(|member| member.is_eligible).count();
        let copies = usize::from(self.replicas).min(eligible);
        let per_zone = self.per_zone();
        assert_eq!(placement.owners.len(), self.owners.len());
        for owners in &placement.owners {
            assert_eq!(owners.len(), copies, "each slot has its copies");
            let mut zones = BTreeMap::new();
            for (idx, owner) in owners.iter().enumerate() {
                let member = &self.members[owner.index()];
                assert!(member.is_eligible, "an owner is eligible");
                assert!(!owners[..idx].contains(owner), "owners are distinct");
                *zones.entry(&member.zone).or_insert(0) += 1;
            }
            assert!(zones.values().all(|&count| count <= per_zone), "zones are distinct: {self:?}");
        }
        let [held, led] = self.loads(&placement.owners);
        let shares = self.shares().into_iter().zip(self.primary_shares());
        for (idx, (share, primaries)) in shares.enumerate() {
            assert!(
                is_rounded(held[idx], share),
                "copies of {idx}: {} for {share} of {self}",
                held[idx]
            );
            assert!(
                is_rounded(led[idx], primaries),
                "primaries of {idx}: {} for {primaries} of {self}",
                led[idx]
            );
        }
        self.check_counts(placement);
    }

    fn check_counts(&self, placement: &Placement) {
        let pairs = || self.owners.iter().zip(&placement.owners);
        let arrived =
            pairs().map(|(old, new)| new.iter().filter(|node| !old.contains(node)).count());
        assert_eq!(placement.copies.made, arrived.sum::<usize>() as u64);
        let changed =
            pairs().filter(|(old, new)| !old.is_empty() && old.primary() != new.primary());
        assert_eq!(placement.primaries.made, changed.count() as u64);
        assert!(placement.copies.made >= placement.copies.min, "{:?}", placement.copies);
        assert!(placement.primaries.made >= placement.primaries.min, "{:?}", placement.primaries);
    }

    /// Copies and primaries of each node.
    pub(super) fn loads(&self, owners: &[Owners]) -> [Vec<u64>; 2] {
        let mut loads = [alloc::vec![0; self.members.len()], alloc::vec![0; self.members.len()]];
        for owners in owners {
            owners.iter().for_each(|owner| loads[0][owner.index()] += 1);
            owners.iter().take(1).for_each(|owner| loads[1][owner.index()] += 1);
        }
        loads
    }

    /// The shares of primaries.
    pub(super) fn primary_shares(&self) -> Vec<f64> {
        let weight = |member: &Member| {
            if member.is_eligible { f64::from(member.hundredths) } else { 0.0 }
        };
        let all: f64 = self.members.iter().map(weight).sum();
        let share = |member: &Member| weight(member) * self.owners.len() as f64 / all;
        self.members.iter().map(share).collect()
    }

    /// The most copies of a slot in one zone: the smallest number with which all fit.
    pub(super) fn per_zone(&self) -> usize {
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.iter().filter(|member| member.is_eligible) {
            *zones.entry(&member.zone).or_default() += 1;
        }
        let copies = usize::from(self.replicas).min(zones.values().sum());
        let fits =
            |most: &usize| zones.values().map(|&nodes| nodes.min(*most)).sum::<usize>() >= copies;
        (1..).find(fits).unwrap_or(copies)
    }

    /// The shares of copies by another way than the crate's: the water level is searched by halving.
    pub(super) fn shares(&self) -> Vec<f64> {
        let slots = self.owners.len() as f64;
        let zone_max = slots * self.per_zone() as f64;
        let eligible = self.members.iter().filter(|member| member.is_eligible);
        let copies = f64::from(self.replicas).min(eligible.count() as f64) * slots;
        let share = |member: &Member, level: f64| {
            let part = (f64::from(member.hundredths) * level).min(slots);
            if member.is_eligible { part } else { 0.0 }
        };
        let zone = |name: &str, level: f64| -> f64 {
            let inside = self.members.iter().filter(|member| member.zone == name);
            inside.map(|member| share(member, level)).sum()
        };
        let names: alloc::collections::BTreeSet<&str> =
            self.members.iter().map(|member| member.zone.as_str()).collect();
        let all =
            |level: f64| names.iter().map(|name| zone(name, level).min(zone_max)).sum::<f64>();
        let level = level(slots, |level| all(level) >= copies - 1e-9);
        let of = |member: &Member| {
            let inside = zone(&member.zone, level);
            if inside <= zone_max + 1e-9 {
                return share(member, level);
            }
            share(member, self::level(slots, |level| zone(&member.zone, level) >= zone_max - 1e-9))
        };
        self.members.iter().map(of).collect()
    }
}

impl core::fmt::Display for Cluster {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let members = self.members.iter().map(|member| {
            format!(
                "{}:{}@{}{}",
                member.name,
                member.hundredths,
                member.zone,
                if member.is_eligible { "" } else { "!" }
            )
        });
        let members: Vec<String> = members.collect();
        write!(f, "{} slots, {} replicas, {members:?}", self.owners.len(), self.replicas)
    }
}

fn node(member: &Member) -> Node<'_> {
    Node {
        name: &member.name,
        weight: Weight::from_hundredths(member.hundredths).expect("a weight"),
        zone: &member.zone,
        is_eligible: member.is_eligible,
    }
}

/// The lowest level at which it is enough.
fn level(slots: f64, is_enough: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, slots + 1.0);
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        *(if is_enough(middle) { &mut high } else { &mut low }) = middle;
    }
    high
}

/// Whether `count` is `share` rounded down or up.
fn is_rounded(count: u64, share: f64) -> bool {
    let count = count as f64;
    (share - 1e-4).floor() <= count && count <= (share + 1e-4).ceil()
}

/// Slots of `owners` by number.
pub(super) fn slot(number: u16) -> Slot {
    Slot::new(number).expect("a slot")
}

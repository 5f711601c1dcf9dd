//! Which members exchange heartbeats: those that hold a slot together, and neighbours in the order of nodes, so that
//! each has witnesses (section 6.5).

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::id::Member;
use ringhold_types::slot::Slot;

use crate::map::Map;

/// The pairs of one map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    peers: BTreeMap<Member, BTreeSet<Member>>,
}

impl Sharing {
    /// The pairs of `map`; it looks at every slot.
    #[must_use]
    pub fn of(map: &Map) -> Self {
        let mut sharing = Self::default();
        let members: Vec<Member> = map.members().collect();
        let next = members.iter().cycle().skip(1);
        for (&one, &other) in members.iter().zip(next).filter(|(one, other)| one != other) {
            sharing.add(one, other);
        }
        let mut known: BTreeSet<(Member, Member)> = BTreeSet::new();
        for slot in Slot::all() {
            let config = map.slot(slot);
            let filling = config.filling.iter().map(|filling| filling.member);
            let holders: Vec<Member> = config.isr.iter().copied().chain(filling).collect();
            for (at, &one) in holders.iter().enumerate() {
                for &other in &holders[at + 1..] {
                    if known.insert((one, other)) && map.is_alive(one) && map.is_alive(other) {
                        sharing.add(one, other);
                    }
                }
            }
        }
        sharing
    }

    fn add(&mut self, one: Member, other: Member) {
        self.peers.entry(one).or_default().insert(other);
        self.peers.entry(other).or_default().insert(one);
    }

    /// The members that `member` exchanges heartbeats with.
    #[must_use]
    pub fn peers(&self, member: Member) -> BTreeSet<Member> {
        self.peers.get(&member).cloned().unwrap_or_default()
    }

    /// Whether the two exchange heartbeats.
    #[must_use]
    pub fn has(&self, one: Member, other: Member) -> bool {
        self.peers.get(&one).is_some_and(|peers| peers.contains(&other))
    }
}

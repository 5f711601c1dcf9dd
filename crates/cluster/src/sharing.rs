//! Which members exchange heartbeats: those that hold a slot together, and neighbours in the order of nodes, so that
//! each has witnesses (section 6.5).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::id::{MapIdx, Member};

use crate::map::{Config, Map};

/// The pairs of one map.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    /// The map's index.
    idx: MapIdx,
    peers: BTreeMap<Member, BTreeSet<Member>>,
}

impl Sharing {
    /// Becomes that of another version of the map; its cost is that of the configurations that there are.
    pub fn follow(&mut self, map: &Map) {
        if self.idx == map.idx {
            return;
        }
        self.idx = map.idx;
        self.peers.clear();
        let members: Vec<Member> = map.members().collect();
        let next = members.iter().cycle().skip(1);
        for (&one, &other) in members.iter().zip(next).filter(|(one, other)| one != other) {
            self.add(one, other);
        }
        let known: BTreeSet<(Member, Member)> =
            map.configs().flat_map(|(config, _)| pairs(config)).collect();
        for (one, other) in known {
            if map.is_alive(one) && map.is_alive(other) {
                self.add(one, other);
            }
        }
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

/// The pairs of those that hold a slot or are being filled, the smaller member first.
fn pairs(config: &Config) -> impl Iterator<Item = (Member, Member)> {
    let holder = |at: usize| match config.isr.get(at) {
        Some(member) => *member,
        None => config.filling[at - config.isr.len()].member,
    };
    let count = config.isr.len() + config.filling.len();
    (0..count).flat_map(move |at| (at + 1..count).map(move |other| (at, other))).map(
        move |(at, other)| {
            let (one, other) = (holder(at), holder(other));
            (one.min(other), one.max(other))
        },
    )
}

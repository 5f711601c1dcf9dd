//! The counted pairs beside a naive look at every slot, over random maps.

use std::collections::BTreeSet;

use ringhold_types::id::{Incarnation, MapIdx, Member};
use ringhold_types::prng::Prng;
use ringhold_types::slot::{SLOTS, Slot};

use super::Sharing;
use crate::command::{Batch, Command};
use crate::map::{ClusterId, Config, Founding, Map, Settings};
use crate::node::{Announcement, NodeName};

const TERM: u64 = 3;

/// Maps of six nodes as random commands follow one another; `each` is shown some of them.
fn random_maps(seed: u64, mut each: impl FnMut(&Map)) {
    let mut prng = Prng::new(seed);
    let settings = Settings::STANDARD;
    let name = |node: u64| NodeName::new(&format!("n{node}")).expect("a name");
    let announced = |nonce: u64| Announcement::of(nonce.into(), nonce, "peer");
    let founding = Founding { cluster: ClusterId(1), hash_seed: 1, settings };
    let mut map = Map::founded(founding, name(1), announced(1));
    for step in 0..400 {
        let node = 1 + prng.below(6);
        let commands = if step < 6 || prng.chance(1, 20) {
            let after = map.named(&name(node)).map_or(Incarnation(0), |(_, it)| it.incarnation);
            let announced = Box::new(announced(1000 + step));
            vec![Command::Register { name: name(node), after, announced }]
        } else {
            random_command(&map, &mut prng).into_iter().collect()
        };
        map.apply(MapIdx(map.idx.0 + 1), TERM, &commands);
        if prng.chance(1, 3) {
            each(&map);
        }
    }
}

fn random_command(map: &Map, prng: &mut Prng) -> Option<Command> {
    let first = u16::try_from(prng.below(SLOTS.into())).expect("below 2^16");
    let last = first.saturating_add(u16::try_from(prng.below(2000)).expect("below 2^16"));
    let slots = Slot::all().filter(|slot| (first..=last).contains(&slot.number())).collect();
    let batch = Batch { slots, as_of: map.idx };
    let config: &Config = map.slot(Slot::new(first)?);
    let mut one_of = |members: Vec<Member>| {
        let at = usize::try_from(prng.below(members.len().max(1) as u64)).expect("an index");
        members.get(at).copied()
    };
    let (live, in_sync) = (one_of(map.members().collect())?, one_of(config.isr.to_vec())?);
    let filling = one_of(config.filling.iter().map(|filling| filling.member).collect());
    let by = config.primary?;
    Some(match prng.below(8) {
        0 | 1 => Command::SetFilling { batch, members: vec![live], term: TERM },
        2 | 3 => {
            let who = filling?;
            Command::AddReplica { batch, by, who, stint: config.stint_of(who)? }
        }
        4 => Command::RemoveReplica { batch, by, victim: in_sync, is_planned: true },
        5 => Command::TakeOver { batch, by: in_sync },
        6 => Command::Reset { batch, to: live, term: TERM },
        _ => Command::HandOver { batch, by, to: in_sync },
    })
}

/// The members that `member` shares a slot with or stands beside.
fn naive(map: &Map, member: Member) -> BTreeSet<Member> {
    let members: Vec<Member> = map.members().collect();
    let mut peers = BTreeSet::new();
    if let Some(at) = members.iter().position(|other| *other == member) {
        peers.insert(members[(at + 1) % members.len()]);
        peers.insert(members[(at + members.len() - 1) % members.len()]);
    }
    for slot in Slot::all() {
        let config = map.slot(slot);
        let filling = config.filling.iter().map(|filling| filling.member);
        let holders: Vec<Member> = config.isr.iter().copied().chain(filling).collect();
        if holders.contains(&member) && map.is_alive(member) {
            peers.extend(holders.into_iter().filter(|other| map.is_alive(*other)));
        }
    }
    peers.remove(&member);
    peers
}

#[test]
fn the_pairs_that_follow_the_map_are_those_of_every_slot() {
    for seed in 0..4 {
        let mut sharing = Sharing::default();
        let mut known = BTreeSet::new();
        random_maps(seed, |map| {
            sharing.follow(map);
            known.extend(map.members());
            for &member in &known {
                assert_eq!(sharing.peers(member), naive(map, member), "{member} of seed {seed}");
            }
        });
        assert!(known.len() > 6, "some registered anew");
    }
}

//! When a member accuses, and of what.

use ringhold_types::id::{Incarnation, MapIdx, Member, NodeId};
use ringhold_types::time::Instant;

use super::{Accuser, RANK, REPEAT};
use crate::command::{Batch, Command};
use crate::map::{ClusterId, FOUNDER, Founding, Map, Settings};
use crate::node::{Announcement, NodeName};
use crate::slots::SlotSet;

const TERM: u64 = 3;

/// Three nodes in sync in every slot, in this order; the first leads them all.
fn three() -> Map {
    let name = |node: u32| NodeName::new(&format!("n{node}")).expect("a name");
    let announced = |node: u32| Announcement::of(node.into(), node.into(), "peer");
    let founding = Founding { cluster: ClusterId(1), hash_seed: 1, settings: Settings::STANDARD };
    let mut map = Map::founded(founding, name(1), announced(1));
    for node in [2, 3] {
        let announced = Box::new(announced(node));
        apply(&mut map, Command::Register { name: name(node), after: Incarnation(0), announced });
    }
    for who in [member(2), member(3)] {
        let batch = Batch { slots: SlotSet::all(), as_of: map.idx };
        let members = vec![who];
        apply(&mut map, Command::SetFilling { batch: batch.clone(), members, term: TERM });
        let (stint, batch) = (map.idx, Batch { as_of: map.idx, ..batch });
        apply(&mut map, Command::AddReplica { batch, by: FOUNDER, who, stint });
    }
    map
}

fn member(node: u32) -> Member {
    Member { node: NodeId(node), incarnation: Incarnation(1) }
}

fn apply(map: &mut Map, command: Command) {
    map.apply(MapIdx(map.idx.0 + 1), TERM, &[command]);
}

#[test]
fn a_dead_primary_is_taken_over_by_rank_and_asked_for_again_after_a_while() {
    let mut map = three();
    apply(&mut map, Command::DeclareDead { member: FOUNDER, term: None });
    let mut accuser = Accuser::default();
    let mut takes_over = |now: Instant| {
        // Without the right to accuse: the map says it.
        let commands = accuser.accuse(now, (member(3), &map), std::iter::empty(), Instant(0));
        let (batch, by) = (Batch { slots: SlotSet::all(), as_of: map.idx }, member(3));
        let expected = [(FOUNDER, Command::TakeOver { batch, by })];
        assert!(commands.is_empty() || commands == expected);
        !commands.is_empty()
    };
    let start = Instant(1_000_000_000);
    let turn = start.after(RANK);
    assert!(!takes_over(start), "the one before it has its turn");
    assert!(takes_over(turn));
    assert!(!takes_over(turn), "once for a while");
    assert!(takes_over(turn.after(REPEAT)));
}

#[test]
fn a_suspected_backup_is_removed_from_the_map_of_the_day_while_there_is_a_right_to_say_so() {
    let mut map = three();
    let mut accuser = Accuser::default();
    let mut now = Instant(1_000_000_000);
    let mut removed = |map: &Map, until: Instant| {
        now = now.after(REPEAT);
        let suspects = std::iter::once(member(2));
        let commands = accuser.accuse(now, (FOUNDER, map), suspects, until);
        commands
            .into_iter()
            .map(|(accused, command)| {
                let Command::RemoveReplica { batch, is_planned: false, victim, .. } = command
                else {
                    panic!("only removals are asked for: {command:?}");
                };
                assert_eq!(victim, accused);
                (batch.slots.len(), batch.as_of)
            })
            .collect::<Vec<_>>()
    };
    let always = Instant(u64::MAX);
    let all = SlotSet::all().len();
    assert_eq!(removed(&map, Instant(0)), []);
    assert_eq!(removed(&map, always), [(all, map.idx)]);
    assert_eq!(removed(&map, always), [(all, map.idx)], "again while nothing changes");
    let slots = SlotSet::all().iter().take(100).collect();
    let batch = Batch { slots, as_of: map.idx };
    let (by, victim) = (FOUNDER, member(2));
    apply(&mut map, Command::RemoveReplica { batch, by, victim, is_planned: true });
    assert_eq!(removed(&map, always), [(all - 100, map.idx)]);
}

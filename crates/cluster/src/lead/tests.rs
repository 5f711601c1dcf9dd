//! Whom the leader declares dead and judges, and how it brings slots to their owners.

use std::collections::BTreeSet;

use ringhold_types::id::{Incarnation, MapIdx, Member, NodeId};
use ringhold_types::node::Weight;
use ringhold_types::slot::Slot;
use ringhold_types::time::{Duration, Instant};

use super::{Lead, LeadOut, META_DEAD};
use crate::arbiter::HOLD;
use crate::command::{Batch, Command};
use crate::map::{ClusterId, FOUNDER, Founding, Map, Settings};
use crate::node::{Announcement, NodeName, NodeState};
use crate::replication::Want;
use crate::slots::SlotSet;

const TERM: u64 = 3;
const TICK: Duration = Duration::from_millis(10);

fn member(node: u32) -> Member {
    Member { node: NodeId(node), incarnation: Incarnation(1) }
}

fn announced(nonce: u32) -> Announcement {
    Announcement::of(u128::from(nonce), u64::from(nonce), "peer")
}

/// A leader, its map, and its time.
struct Led {
    map: Map,
    lead: Lead,
    now: Instant,
}

impl Led {
    fn of(nodes: u32) -> Self {
        let settings = Settings::STANDARD;
        let founding = Founding { cluster: ClusterId(1), hash_seed: 1, settings };
        let name = |node: u32| NodeName::new(&format!("n{node}")).expect("a name");
        let mut map = Map::founded(founding, name(1), announced(1));
        for node in 2..=nodes {
            let (name, announced) = (name(node), Box::new(announced(node)));
            let register = Command::Register { name, after: Incarnation(0), announced };
            map.apply(MapIdx(map.idx.0 + 1), TERM, &[register]);
        }
        let now = Instant(1_000_000_000);
        Self { map, lead: Lead::new(now, FOUNDER, TERM), now }
    }

    fn apply(&mut self, command: Command) {
        self.map.apply(MapIdx(self.map.idx.0 + 1), TERM, &[command]);
        self.map.check_invariants();
    }

    /// Lets time pass; the members of `heard` send their heartbeats. What the leader wants meanwhile.
    fn pass(&mut self, time: Duration, heard: &[Member]) -> LeadOut {
        let end = self.now.after(time);
        let mut out = LeadOut::default();
        while self.now < end {
            self.now = self.now.after(TICK);
            for &member in heard {
                self.lead.hear(self.now, (member, BTreeSet::new()), &self.map, &mut out);
            }
            self.lead.tick(self.now, &self.map, &BTreeSet::new(), &mut out);
        }
        out
    }

    /// Does what the leader wants until it wants nothing, as primaries would; the commands that took.
    fn settle(&mut self, heard: &[Member]) -> usize {
        for round in 0..100 {
            let out = self.pass(Duration::from_millis(50), heard);
            if out.commands.is_empty() && out.wishes.is_empty() {
                return round;
            }
            out.commands.into_iter().for_each(|command| self.apply(command));
            let filled: Vec<_> = Slot::all()
                .flat_map(|slot| {
                    let config = self.map.slot(slot);
                    let by = config.primary.expect("it has one");
                    config.filling.iter().map(move |filling| (slot, by, *filling))
                })
                .collect();
            for (slot, by, filling) in filled {
                let batch = Batch { slots: SlotSet::from_iter([slot]), as_of: self.map.idx };
                let (who, stint) = (filling.member, filling.stint);
                self.map.apply(
                    MapIdx(self.map.idx.0 + 1),
                    TERM,
                    &[Command::AddReplica { batch, by, who, stint }],
                );
            }
            for wish in out.wishes {
                let (batch, by) = (wish.batch, wish.primary);
                self.apply(match wish.want {
                    Want::HandOver { to } => Command::HandOver { batch, by, to },
                    Want::Remove { victim } => {
                        Command::RemoveReplica { batch, by, victim, is_planned: true }
                    }
                });
            }
        }
        panic!("it comes to rest");
    }

    fn copies(&self, of: Member) -> usize {
        Slot::all().filter(|&slot| self.map.slot(slot).isr.contains(&of)).count()
    }
}

#[test]
fn who_is_silent_for_long_is_declared_dead_and_nobody_sooner() {
    let mut led = Led::of(3);
    led.settle(&[FOUNDER, member(2), member(3)]);
    let heard = [FOUNDER, member(2)];
    let dead = |out: &LeadOut| {
        out.commands.iter().any(|command| matches!(command, Command::DeclareDead { .. }))
    };
    assert!(!dead(&led.pass(META_DEAD - Duration::from_millis(200), &heard)));
    let out = led.pass(Duration::from_millis(350), &heard);
    let expected = Command::DeclareDead { member: member(3), term: Some(TERM) };
    assert!(out.commands.contains(&expected) && !out.is_stuck);
}

#[test]
fn when_many_are_silent_together_an_operator_decides() {
    let mut led = Led::of(3);
    led.settle(&[FOUNDER, member(2), member(3)]);
    let out = led.pass(META_DEAD + Duration::from_secs(1), &[FOUNDER]);
    assert!(out.is_stuck);
    assert!(!out.commands.iter().any(|command| matches!(command, Command::DeclareDead { .. })));
}

#[test]
fn a_leader_that_was_late_itself_counts_silence_afresh() {
    let mut led = Led::of(3);
    led.settle(&[FOUNDER, member(2), member(3)]);
    led.pass(META_DEAD - Duration::from_secs(1), &[FOUNDER, member(2)]);
    led.now = led.now.after(Duration::from_secs(4));
    let out = led.pass(Duration::from_secs(2), &[FOUNDER, member(2)]);
    assert!(!out.commands.iter().any(|command| matches!(command, Command::DeclareDead { .. })));
}

#[test]
fn nodes_that_come_get_their_share_and_nodes_that_go_lose_all() {
    let mut led = Led::of(3);
    let all = [FOUNDER, member(2), member(3)];
    led.settle(&all);
    for node in all {
        assert!((10_900..=10_950).contains(&led.copies(node)), "{node} has {}", led.copies(node));
    }
    let (state, weight) = (NodeState::Draining, Weight::ONE);
    led.apply(Command::SetNode { node: NodeId(1), state, weight });
    let steps = led.settle(&all);
    assert!(steps < 10, "slots move together: {steps}");
    assert_eq!((led.copies(FOUNDER), led.copies(member(2))), (0, 16_384));
}

#[test]
fn a_slot_whose_every_copy_is_dead_begins_anew_elsewhere() {
    let mut led = Led::of(4);
    led.settle(&[FOUNDER, member(2), member(3), member(4)]);
    for dead in [member(3), member(4)] {
        led.apply(Command::DeclareDead { member: dead, term: None });
    }
    let lost = led.map.slots_where(|config| !config.isr.iter().any(|it| led.map.is_alive(*it)));
    assert!(!lost.is_empty());
    let out = led.pass(Duration::from_millis(50), &[FOUNDER, member(2)]);
    let mut reset = 0;
    for command in &out.commands {
        if let Command::Reset { batch, to, .. } = command {
            assert!(led.map.is_alive(*to) && batch.slots.iter().all(|slot| lost.contains(slot)));
            reset += batch.slots.len();
        }
    }
    assert_eq!(reset, lost.len());
}

/// What becomes of an accusation of member 2 by member 3 when these suspect member 2, and these member 3.
fn verdict(against_accused: &[u32], against_accuser: &[u32]) -> bool {
    let mut led = Led::of(5);
    let all: Vec<Member> = (1..=5).map(member).collect();
    led.settle(&all);
    led.pass(Duration::from_secs(1), &all);
    let (by, accused) = (member(3), member(2));
    let batch = Batch { slots: SlotSet::all(), as_of: led.map.idx };
    let command = Command::TakeOver { batch, by };
    let mut out = LeadOut::default();
    led.lead.accuse(led.now, (by, accused), command.clone(), (&led.map, &mut out));
    assert!(out.commands.is_empty() && out.dials.contains(&accused), "it is heard, so it is held");
    let end = led.now.after(3 * HOLD);
    let mut is_granted = false;
    while led.now < end {
        led.now = led.now.after(TICK);
        let mut out = LeadOut::default();
        for &told in &all {
            let mut suspects = BTreeSet::new();
            if against_accused.iter().any(|&node| member(node) == told) {
                suspects.insert(accused);
            }
            if against_accuser.iter().any(|&node| member(node) == told) {
                suspects.insert(by);
            }
            led.lead.hear(led.now, (told, suspects), &led.map, &mut out);
        }
        led.lead.tick(led.now, &led.map, &BTreeSet::new(), &mut out);
        is_granted |= out.commands.contains(&command);
    }
    is_granted
}

#[test]
fn an_accusation_is_granted_when_more_suspect_the_accused() {
    assert!(verdict(&[3, 4], &[]), "two against one");
    assert!(!verdict(&[3], &[2, 4]), "the accuser is the sick one");
    assert!(!verdict(&[], &[]), "the accuser suspects no longer");
    assert!(verdict(&[3], &[2]), "a tie goes to the first");
}

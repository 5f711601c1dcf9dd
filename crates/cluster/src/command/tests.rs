//! Each row of the table of commands: what it does, and every precondition that stops it.

use ringhold_types::id::{Generation, Incarnation, MapIdx, Member, NodeId};
use ringhold_types::node::Weight;
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;

use super::{Batch, Command};
use crate::codec::{Decode, Encode};
use crate::map::{AckMode, ClusterId, FOUNDER, Founding, Map, NamespaceRecord, Settings};
use crate::node::{Addresses, Announcement, NodeName, NodeState};
use crate::slots::SlotSet;

const TERM: u64 = 7;

fn announced(nonce: u128) -> Announcement {
    Announcement::of(nonce, 1, "127.0.0.1:7381")
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a valid name")
}

/// A map with its commands' index and term kept.
struct Log {
    map: Map,
}

impl Log {
    /// A cluster of `nodes` nodes, the first of which has every slot.
    fn of(nodes: u128) -> Self {
        let founding =
            Founding { cluster: ClusterId(9), hash_seed: 3, settings: Settings::STANDARD };
        let mut log = Self { map: Map::founded(founding, name("n1"), announced(1)) };
        for nonce in 2..=nodes {
            log.register(&format!("n{nonce}"), 0, nonce);
        }
        log
    }

    #[expect(clippy::needless_pass_by_value, reason = "commands are made for the call")]
    fn apply(&mut self, command: Command) -> bool {
        let mut before = self.map.clone();
        let idx = MapIdx(before.idx.0 + 1);
        self.map.apply(
            idx,
            TERM,
            &[Command::from_bytes(&command.to_bytes()).expect("its own bytes")],
        );
        self.map.check_invariants();
        assert_eq!(Map::from_bytes(&self.map.to_bytes()).as_ref(), Ok(&self.map));
        let changed: SlotSet = self.map.changed_since(&before).collect();
        for slot in changed.iter() {
            assert_eq!(self.map.slot(slot).ver, idx, "a changed slot has the index of its change");
        }
        before.idx = idx;
        before != self.map
    }

    fn register(&mut self, node: &str, after: u32, nonce: u128) -> bool {
        let announced = Box::new(announced(nonce));
        self.apply(Command::Register { name: name(node), after: Incarnation(after), announced })
    }

    fn batch(&self, slot: Slot) -> Batch {
        Batch { slots: SlotSet::from_iter([slot]), as_of: self.map.idx }
    }

    /// Fills `who` with `slot` and adds it to the in-sync set.
    fn add(&mut self, slot: Slot, who: Member) {
        let (batch, term) = (self.batch(slot), TERM);
        assert!(self.apply(Command::SetFilling { batch, members: vec![who], term }));
        let by = self.map.slot(slot).primary.expect("it has a primary");
        let stint = self.map.slot(slot).stint_of(who).expect("it is being filled");
        let batch = self.batch(slot);
        assert!(self.apply(Command::AddReplica { batch, by, who, stint }));
    }
}

fn member(node: u32) -> Member {
    Member { node: NodeId(node), incarnation: Incarnation(1) }
}

const SLOT: Slot = Slot::MIN;

#[test]
fn a_process_registers_once_and_a_newer_one_proves_the_older_dead() {
    let mut log = Log::of(1);
    assert!(log.register("n2", 0, 20));
    assert!(!log.register("n2", 0, 20), "the same process again changes nothing");
    assert!(!log.register("n2", 0, 21), "another process that does not know of the first");
    assert_eq!(log.map.named(&name("n2")).map(|(id, _)| id), Some(NodeId(2)));
    assert!(log.register("n2", 1, 22));
    let second = Member { node: NodeId(2), incarnation: Incarnation(2) };
    assert!(log.map.is_alive(second) && log.map.is_proven_dead(member(2)));
    assert!(!log.map.is_proven_dead(second));
    let bad = Box::new(Announcement { peer: Addresses::default(), ..announced(30) });
    assert!(!log.apply(Command::Register {
        name: name("n3"),
        after: Incarnation(0),
        announced: bad
    }));
}

#[test]
fn a_member_is_declared_dead_in_the_term_it_was_measured_in() {
    let mut log = Log::of(2);
    let dead = member(2);
    assert!(!log.apply(Command::DeclareDead { member: dead, term: Some(TERM - 1) }));
    assert!(log.apply(Command::DeclareDead { member: dead, term: Some(TERM) }));
    assert!(!log.map.is_alive(dead) && !log.map.is_proven_dead(dead));
    assert!(!log.apply(Command::DeclareDead { member: dead, term: None }), "it is dead already");
    assert!(log.register("n2", 1, 22), "a new process takes the name");
    assert!(!log.apply(Command::DeclareDead { member: dead, term: None }), "it was the old one");
}

#[test]
fn a_primary_removes_a_backup_of_the_configuration_it_knows() {
    let mut log = Log::of(3);
    log.add(SLOT, member(2));
    let remove = |log: &mut Log, by, victim, as_of| {
        let batch = Batch { slots: SlotSet::from_iter([SLOT]), as_of };
        log.apply(Command::RemoveReplica { batch, by, victim, is_planned: false })
    };
    let now = log.map.idx;
    assert!(!remove(&mut log, member(2), FOUNDER, now), "only the primary removes");
    assert!(!remove(&mut log, FOUNDER, FOUNDER, now), "not itself");
    assert!(!remove(&mut log, FOUNDER, member(3), now), "who is not in sync cannot leave");
    let old = MapIdx(log.map.slot(SLOT).ver.0 - 1);
    assert!(!remove(&mut log, FOUNDER, member(2), old), "decided before the slot's last change");
    assert!(remove(&mut log, FOUNDER, member(2), now));
    assert_eq!(log.map.slot(SLOT).isr[..], [FOUNDER]);
    log.add(SLOT, member(2));
    let now = log.map.idx;
    assert!(log.apply(Command::DeclareDead { member: FOUNDER, term: None }));
    assert!(!remove(&mut log, FOUNDER, member(2), now), "the dead remove nobody");
}

#[test]
fn an_in_sync_backup_takes_over_and_nobody_else() {
    let mut log = Log::of(3);
    log.add(SLOT, member(2));
    let (epoch, batch) = (log.map.slot(SLOT).epoch, log.batch(SLOT));
    assert!(!log.apply(Command::TakeOver { batch: batch.clone(), by: member(3) }));
    assert!(!log.apply(Command::TakeOver { batch: batch.clone(), by: FOUNDER }));
    assert!(log.apply(Command::TakeOver { batch: batch.clone(), by: member(2) }));
    let config = log.map.slot(SLOT).clone();
    assert_eq!((config.primary, config.epoch), (Some(member(2)), epoch.next()));
    assert!(config.isr[..] == [member(2)] && !config.is_clean);
    assert!(!log.apply(Command::TakeOver { batch, by: member(2) }), "repeated, it is skipped");
}

#[test]
fn who_was_filled_in_this_stint_is_added() {
    let mut log = Log::of(3);
    let (batch, term) = (log.batch(SLOT), TERM);
    let fill = |members| Command::SetFilling { batch: batch.clone(), members, term };
    assert!(!log.apply(fill(vec![FOUNDER])), "who is in sync is not filled");
    assert!(!log.apply(fill(vec![member(9)])), "nor who is not there");
    assert!(!log.apply(fill(vec![member(2), member(2)])), "nor one twice");
    assert!(!log.apply(Command::SetFilling {
        batch: batch.clone(),
        members: vec![member(2)],
        term: 1
    }));
    assert!(log.apply(fill(vec![member(2)])));
    let stint = log.map.idx;
    assert_eq!(log.map.slot(SLOT).stint_of(member(2)), Some(stint));
    let batch = log.batch(SLOT);
    assert!(log.apply(Command::SetFilling { batch, members: vec![member(3), member(2)], term }));
    assert_eq!(log.map.slot(SLOT).stint_of(member(2)), Some(stint), "it keeps its stint");
    let add = |log: &mut Log, by, who, stint| {
        let batch = log.batch(SLOT);
        log.apply(Command::AddReplica { batch, by, who, stint })
    };
    assert!(!add(&mut log, member(3), member(2), stint), "only the primary adds");
    assert!(!add(&mut log, FOUNDER, member(3), stint), "of another stint");
    assert!(add(&mut log, FOUNDER, member(2), stint));
    assert_eq!(log.map.slot(SLOT).isr[..], [FOUNDER, member(2)]);
    assert_eq!(log.map.slot(SLOT).stint_of(member(2)), None);
    let stint = log.map.slot(SLOT).stint_of(member(3)).expect("still being filled");
    assert!(log.apply(Command::DeclareDead { member: member(3), term: None }));
    assert!(!add(&mut log, FOUNDER, member(3), stint), "the dead are not added");
}

#[test]
fn a_primary_hands_over_to_one_in_sync() {
    let mut log = Log::of(3);
    log.add(SLOT, member(2));
    let batch = log.batch(SLOT);
    assert!(!log.apply(Command::HandOver { batch: batch.clone(), by: FOUNDER, to: member(3) }));
    assert!(!log.apply(Command::HandOver { batch: batch.clone(), by: member(2), to: FOUNDER }));
    assert!(!log.apply(Command::HandOver { batch: batch.clone(), by: FOUNDER, to: FOUNDER }));
    assert!(log.apply(Command::HandOver { batch, by: FOUNDER, to: member(2) }));
    let config = log.map.slot(SLOT);
    assert!(config.is_clean && config.primary == Some(member(2)));
    assert_eq!(config.isr[..], [FOUNDER, member(2)], "the old primary stays in sync");
}

#[test]
fn a_slot_is_reset_only_when_every_copy_is_dead() {
    let mut log = Log::of(3);
    log.add(SLOT, member(2));
    let reset = |log: &mut Log, to, term| {
        let batch = log.batch(SLOT);
        log.apply(Command::Reset { batch, to, term })
    };
    assert!(log.apply(Command::DeclareDead { member: FOUNDER, term: None }));
    assert!(!reset(&mut log, member(3), TERM), "one copy is alive");
    assert!(log.register("n2", 1, 22), "its memory is gone");
    assert!(!reset(&mut log, member(3), TERM + 1), "measured in another term");
    assert!(!reset(&mut log, FOUNDER, TERM), "to a dead one");
    assert!(reset(&mut log, member(3), TERM));
    let config = log.map.slot(SLOT);
    assert_eq!((config.generation, config.primary), (Generation(2), Some(member(3))));
    assert!(config.isr[..] == [member(3)] && config.filling.is_empty() && !config.is_clean);
}

#[test]
fn a_member_resigns_its_copy_and_a_live_one_follows() {
    let mut log = Log::of(3);
    log.add(SLOT, member(2));
    let batch = log.batch(SLOT);
    assert!(!log.apply(Command::Resign { batch: batch.clone(), by: member(3) }));
    assert!(log.apply(Command::Resign { batch, by: FOUNDER }));
    let config = log.map.slot(SLOT);
    assert!(config.primary == Some(member(2)) && config.is_clean && config.isr[..] == [member(2)]);
    let epoch = config.epoch;
    let batch = log.batch(SLOT);
    assert!(log.apply(Command::Resign { batch, by: member(2) }));
    let config = log.map.slot(SLOT);
    assert!(config.isr.is_empty() && config.primary == Some(member(2)) && config.epoch == epoch);
    let batch = log.batch(SLOT);
    assert!(log.apply(Command::Reset { batch, to: member(3), term: TERM }), "nobody holds it");
}

#[test]
fn settings_are_kept_only_in_their_ranges() {
    let mut log = Log::of(2);
    let settings = Settings { replicas: 3, ..Settings::STANDARD };
    assert!(log.apply(Command::SetCluster { settings }));
    let settings = Settings { replicas: 9, ..settings };
    assert!(!log.apply(Command::SetCluster { settings }));
    let (state, weight) = (NodeState::Draining, Weight::MIN);
    let set = |node| Command::SetNode { node: NodeId(node), state, weight };
    assert!(log.apply(set(2)) && !log.apply(set(7)));
    assert!(!log.map.node(NodeId(2)).is_some_and(crate::node::NodeRecord::takes_data));
}

#[test]
fn a_namespace_number_is_never_used_again() {
    let mut log = Log::of(1);
    let put = |text: &str| Command::PutNamespace {
        record: NamespaceRecord {
            name: text.into(),
            ack: AckMode::Strict,
            default_ttl_ms: None,
            quota: None,
            is_evicted: true,
        },
    };
    assert!(log.apply(put("a")) && !log.apply(put("")));
    let first = log.map.namespaces().map(|(id, _)| id).next().expect("one was made");
    assert!(log.apply(Command::DropNamespace { namespace: first }));
    assert!(!log.apply(Command::DropNamespace { namespace: first }));
    assert!(log.apply(put("a")));
    assert_ne!(log.map.namespaces().map(|(id, _)| id).next(), Some(first));
    assert!(log.apply(put("db3")));
    assert!(log.map.namespaces().any(|(id, record)| id.0 == 3 && &*record.name == "db3"));
    assert!((0..47).all(|n| log.apply(put(&format!("n{n}")))));
    assert!(!log.apply(put("one too many")));
}

#[test]
fn the_death_of_one_of_three_nodes_is_a_few_small_commands() {
    let slots: SlotSet = Slot::all().filter(|slot| slot.number() % 3 != 0).collect();
    assert!(slots.len() > 10_000);
    let batch = Batch { slots, as_of: MapIdx(1) };
    assert!(Command::TakeOver { batch, by: FOUNDER }.to_bytes().len() < 2100);
}

#[test]
fn any_bytes_are_a_command_or_an_error() {
    let mut prng = Prng::new(5);
    let log = Log::of(3);
    let batch = Batch { slots: SlotSet::all(), as_of: MapIdx(3) };
    let command = Command::SetFilling { batch, members: vec![FOUNDER], term: 1 }.to_bytes();
    for round in 0..10_000 {
        let mut bytes = if round % 50 == 0 { log.map.to_bytes() } else { command.clone() };
        for _ in 0..=prng.below(3) {
            let at = usize::try_from(prng.below(bytes.len() as u64)).expect("an index");
            bytes[at] = prng.next_u64().to_le_bytes()[0];
        }
        if let Ok(command) = Command::from_bytes(&bytes) {
            assert_eq!(Command::from_bytes(&command.to_bytes()), Ok(command));
        }
        if let Ok(map) = Map::from_bytes(&bytes) {
            assert_eq!(Map::from_bytes(&map.to_bytes()), Ok(map));
        }
    }
}

//! The nodes, the network between them, the place that keeps the map, and the clients.
//!
//! Clients count: an increment answers the number that it made, a read the number that there is. Two increments of one
//! number, a number that is less than one answered before it was asked for, or an acknowledged number that is missing
//! at the end is an anomaly; each generation of a slot is judged alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use ringhold_types::id::{Generation, Incarnation, MapIdx, Member, NodeId};
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::Instant;

use super::super::{
    Event, Executed, Kept, Outbox, Phase, Proposal, Proposals, Refused, Release, Replicas, Role,
    SlotStore, Ticket, Want,
};
use crate::command::{Batch, Command};
use crate::heartbeat::{Beat, Heartbeats, Reaction};
use crate::map::{ClusterId, Founding, Map, Settings};
use crate::message::{Message, Stamp};
use crate::node::{Announcement, NodeName};
use crate::slots::SlotSet;
use crate::view::{Leases, View};

/// Each node has one shard of four slots.
const SHARDS: usize = 4096;
const KEYS: u64 = 3;
const TERM: u64 = 1;
const MS: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// A fault begins when the one before is over and healed.
    OneFault,
    /// They overlap.
    Chaos,
}

/// Counters by slot and key.
#[derive(Debug, Default)]
struct Counters {
    values: BTreeMap<(Slot, u64), u64>,
    kept: BTreeMap<Slot, Kept>,
}

fn effect(key: u64, value: u64) -> Arc<[u8]> {
    [key.to_le_bytes(), value.to_le_bytes()].concat().into()
}

impl SlotStore for Counters {
    fn apply(&mut self, slot: Slot, effect: &[u8]) -> Result<(), Refused> {
        let (key, value) = effect.split_first_chunk::<8>().ok_or(Refused::Malformed)?;
        let value = value.first_chunk().ok_or(Refused::Malformed)?;
        self.values.insert((slot, u64::from_le_bytes(*key)), u64::from_le_bytes(*value));
        Ok(())
    }

    fn clear(&mut self, slot: Slot) {
        self.values.retain(|(of, _), _| *of != slot);
    }

    fn set_kept(&mut self, slot: Slot, kept: Kept) {
        self.kept.insert(slot, kept);
    }

    fn scan(
        &mut self,
        slot: Slot,
        cursor: Option<u64>,
        emit: &mut dyn FnMut(Arc<[u8]>),
    ) -> Option<u64> {
        let key = cursor.unwrap_or(0);
        if let Some(&value) = self.values.get(&(slot, key)) {
            emit(effect(key, value));
        }
        (key + 1 < KEYS).then_some(key + 1)
    }

    fn stamp(&self, _slot: Slot) -> Stamp {
        Stamp::default()
    }

    fn observe(&mut self, _slot: Slot, _stamp: Stamp) {}
}

struct Node {
    view: Arc<View>,
    replicas: Replicas,
    store: Counters,
    heartbeats: Heartbeats,
    proposed_at: BTreeMap<Proposal, u64>,
    accused_at: BTreeMap<Member, u64>,
    tickets: BTreeMap<Ticket, Asked>,
    is_paused: bool,
}

/// What a client asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    client: usize,
    slot: Slot,
    key: u64,
    is_read: bool,
    began: u64,
    value: u64,
    generation: Generation,
}

/// What a client was answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    is_read: bool,
    began: u64,
    ended: u64,
    value: u64,
}

enum What {
    Data(Member, Member, u64, Message),
    Beat(Member, Member, u64, Beat),
    Tick(Member),
    Map(Member, Arc<Map>),
    Propose(Member, Command),
    Meta,
    Client(usize),
    Fault,
}

pub(super) struct World {
    now: u64,
    number: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, What>,
    prng: Prng,
    profile: Profile,
    map: Arc<Map>,
    nodes: BTreeMap<Member, Node>,
    /// Pairs that cannot hear each other, in one direction.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What was sent on an older connection is lost.
    connection: BTreeMap<(NodeId, NodeId), u64>,
    /// Streams keep their order.
    arrives: BTreeMap<(NodeId, NodeId), u64>,
    dead: BTreeMap<NodeId, u64>,
    answers: BTreeMap<(Slot, u64, Generation), Vec<Answer>>,
    clients: Vec<Option<Slot>>,
    tickets: u64,
    healed_at: u64,
    is_healing: bool,
    digest: u64,
}

fn announced(nonce: u128) -> Box<Announcement> {
    Box::new(Announcement::of(nonce, 1, "peer"))
}

fn slots() -> impl Iterator<Item = Slot> {
    (0..4).filter_map(|nth| Slot::new(nth * 4096))
}

impl World {
    pub(super) fn new(seed: u64, profile: Profile) -> Self {
        let mut prng = Prng::new(seed);
        let nodes = 3 + u32::try_from(prng.below(3)).expect("few");
        let replicas = if prng.chance(1, 3) { 3 } else { 2 };
        let settings = Settings { replicas, is_auto_reset: false, ..Settings::STANDARD };
        let founding = Founding { cluster: ClusterId(1), hash_seed: 1, settings };
        let name = |node: u32| NodeName::new(&format!("n{node}")).expect("a name");
        let map = Arc::new(Map::founded(founding, name(1), *announced(1)));
        let mut world = Self {
            now: 1_000 * MS,
            number: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            prng,
            profile,
            map,
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            connection: BTreeMap::new(),
            arrives: BTreeMap::new(),
            dead: BTreeMap::new(),
            answers: BTreeMap::new(),
            clients: vec![None; 12],
            tickets: 0,
            healed_at: 0,
            is_healing: false,
            digest: 0,
        };
        world.start(Member { node: NodeId(1), incarnation: Incarnation(1) });
        for node in 2..=nodes {
            let announced = announced(u128::from(node));
            let after = Incarnation(0);
            world.commit(&Command::Register { name: name(node), after, announced });
            world.start(Member { node: NodeId(node), incarnation: Incarnation(1) });
        }
        world.at(0, What::Meta);
        world.at(3_000 * MS, What::Fault);
        for client in 0..world.clients.len() {
            world.at(0, What::Client(client));
        }
        world
    }

    fn at(&mut self, delay: u64, what: What) {
        self.number += 1;
        self.queue.push(Reverse((self.now + delay, self.number)));
        self.events.insert(self.number, what);
    }

    /// A short delay, and once in so many a long one.
    fn delay(&mut self, (short, long): (u64, u64), once_in: u64) -> u64 {
        let bound = if self.prng.chance(1, once_in) { long } else { short };
        self.prng.below(bound)
    }

    fn start(&mut self, me: Member) {
        let map = Arc::new(Map::unknown());
        let view = Arc::new(View { map, me, leases: Arc::default() });
        let node = Node {
            replicas: Replicas::new(Arc::clone(&view), 0, SHARDS),
            view,
            store: Counters::default(),
            heartbeats: Heartbeats::new(Instant(self.now)),
            proposed_at: BTreeMap::new(),
            accused_at: BTreeMap::new(),
            tickets: BTreeMap::new(),
            is_paused: false,
        };
        self.nodes.insert(me, node);
        self.at(0, What::Tick(me));
        self.at(MS, What::Map(me, Arc::clone(&self.map)));
    }

    /// Runs so many milliseconds.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        while let Some(&Reverse((at, number))) = self.queue.peek() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = at;
            self.digest = (self.digest ^ at ^ number).wrapping_mul(0x0100_0000_01B3);
            let what = self.events.remove(&number).expect("it was put there");
            self.step(what);
        }
        self.now = end;
    }

    /// Ends all faults, and sees that everything is well within so many milliseconds; checks what clients were told.
    pub(super) fn heal(&mut self, ms: u64) {
        self.is_healing = true;
        self.end_faults();
        self.run(ms);
        for slot in slots() {
            let config = self.map.slot(slot).clone();
            let replicas = usize::from(self.map.settings.replicas).min(self.nodes.len());
            assert_eq!(config.isr.len(), replicas, "slot {slot:?} is whole again: {config:?}");
            let primary = &self.nodes[&config.primary.expect("a primary")];
            assert_eq!(primary.replicas.role(slot), Role::Primary(Phase::Serving));
            for member in &config.isr {
                let copy = &self.nodes[member];
                let same = |key| {
                    copy.store.values.get(&(slot, key)) == primary.store.values.get(&(slot, key))
                };
                let is_idle = copy.replicas.last(slot) == primary.replicas.last(slot);
                assert!(!is_idle || (0..KEYS).all(same), "equal logs are equal states");
            }
        }
        self.nodes.values().for_each(|node| node.replicas.check_invariants());
        for (of, answers) in &self.answers {
            check(of, answers);
        }
    }

    pub(super) fn resets(&self) -> u64 {
        slots().map(|slot| self.map.slot(slot).generation.0 - 1).sum()
    }

    pub(super) fn answers(&self) -> usize {
        self.answers.values().map(Vec::len).sum()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    fn step(&mut self, what: What) {
        match what {
            What::Data(from, to, connection, message) => {
                if self.is_delivered(from, to, connection) {
                    self.with(to, |node, now, out| {
                        node.heartbeats.heard(now, from);
                        node.replicas.receive(now, (from, message), &mut node.store, out);
                    });
                }
            }
            What::Beat(from, to, connection, beat) => {
                if self.is_delivered(from, to, connection) {
                    self.on_beat(from, to, beat);
                }
            }
            What::Tick(me) => self.on_tick(me),
            What::Map(me, map) => self.on_map(me, map),
            What::Propose(by, command) => {
                if self.nodes.contains_key(&by) {
                    self.commit(&command);
                }
            }
            What::Meta => self.on_meta(),
            What::Client(client) => self.on_client(client),
            What::Fault => self.on_fault(),
        }
    }

    /// A paused process reads what has come when it goes on: its messages are delivered again a little later.
    fn is_delivered(&self, from: Member, to: Member, connection: u64) -> bool {
        let pair = (from.node, to.node);
        !self.cut.contains(&pair)
            && self.connection.get(&pair).copied().unwrap_or(0) == connection
            && self.nodes.get(&to).is_some_and(|node| !node.is_paused)
    }

    /// Steps a node and carries out what it wants.
    fn with(&mut self, me: Member, step: impl FnOnce(&mut Node, Instant, &mut Outbox)) {
        let now = Instant(self.now);
        let mut out = Outbox::default();
        let Some(node) = self.nodes.get_mut(&me) else { return };
        step(node, now, &mut out);
        node.replicas.flush(now, &mut out);
        let mut released = Vec::new();
        for event in out.events {
            match event {
                Event::Release { ticket, release } => {
                    released.push((node.tickets.remove(&ticket).expect("once each"), release));
                }
                Event::Void { slot, check } => panic!("{me} {slot:?} failed {check}"),
                Event::Ready { .. } | Event::Deposed { .. } => {}
            }
        }
        for (asked, release) in released {
            if release == Release::Done {
                self.answered(asked);
            }
            self.at(MS, What::Client(asked.client));
        }
        for (to, message) in out.messages {
            let (delay, connection) = self.send(me, to);
            self.at(delay, What::Data(me, to, connection, message));
        }
    }

    fn send(&mut self, from: Member, to: Member) -> (u64, u64) {
        let pair = (from.node, to.node);
        let jitter = self.delay((MS, 40 * MS), 50);
        let arrives = self.arrives.entry(pair).or_default();
        *arrives = (*arrives + 1).max(self.now + 50_000 + jitter);
        (*arrives - self.now, self.connection.get(&pair).copied().unwrap_or(0))
    }

    fn answered(&mut self, asked: Asked) {
        let Asked { slot, key, generation, is_read, began, value, .. } = asked;
        let answer = Answer { is_read, began, ended: self.now, value };
        self.answers.entry((slot, key, generation)).or_default().push(answer);
    }

    fn on_beat(&mut self, from: Member, to: Member, beat: Beat) {
        let now = Instant(self.now);
        let node = self.nodes.get_mut(&to).expect("it is delivered to");
        let applied = node.view.map.idx;
        let leases = Arc::clone(&node.view.leases);
        match node.heartbeats.receive(now, (from, beat), &leases, || applied) {
            Reaction::None => {}
            Reaction::Answer(beat) => {
                let (delay, connection) = self.send(to, from);
                self.at(delay, What::Beat(to, from, connection, beat));
            }
            Reaction::AskMap => {
                let delay = MS + self.prng.below(5 * MS);
                self.at(delay, What::Map(to, Arc::clone(&self.map)));
            }
        }
    }

    fn on_map(&mut self, me: Member, map: Arc<Map>) {
        let now = Instant(self.now);
        let Some(node) = self.nodes.get_mut(&me) else { return };
        if node.is_paused {
            return self.at(20 * MS, What::Map(me, map));
        }
        if map.idx <= node.view.map.idx {
            return;
        }
        if !map.is_alive(me) {
            self.nodes.remove(&me);
            self.dead.insert(me.node, self.now);
            return;
        }
        let leases: Arc<Leases> = Arc::new(node.view.leases.among(&map));
        let peers: BTreeSet<Member> = map.members().filter(|member| *member != me).collect();
        node.view = Arc::new(View { map, me, leases });
        node.heartbeats.set_peers(now, &peers);
        self.with(me, |node, now, out| {
            node.replicas.set_view(now, Arc::clone(&node.view), &mut node.store, out);
            node.heartbeats.applied(node.view.map.idx, &node.view.leases);
        });
    }

    #[expect(clippy::too_many_lines, reason = "what a core does, in one place")]
    fn on_tick(&mut self, me: Member) {
        let Some(is_paused) = self.nodes.get(&me).map(|node| node.is_paused) else { return };
        self.at(10 * MS, What::Tick(me));
        if is_paused {
            return;
        }
        self.with(me, |node, now, out| {
            node.replicas.tick(now, &mut 64, &mut node.store, out);
        });
        let (now, at) = (Instant(self.now), self.now);
        let node = self.nodes.get_mut(&me).expect("it was there");
        let idx = node.view.map.idx;
        let mut commands = Vec::new();
        let mut proposals = Proposals::new();
        node.replicas.propose(now, &mut proposals);
        for (proposal, slots) in proposals {
            let last = node.proposed_at.insert(proposal, at);
            if last.is_some_and(|last| at - last < 20 * MS) {
                node.proposed_at.insert(proposal, last.unwrap_or(at));
                continue;
            }
            let batch = Batch { slots, as_of: idx };
            commands.push(match proposal {
                Proposal::Add { who, stint } => Command::AddReplica { batch, by: me, who, stint },
                Proposal::HandOver { to } => Command::HandOver { batch, by: me, to },
                Proposal::Remove { victim } => {
                    Command::RemoveReplica { batch, by: me, victim, is_planned: true }
                }
                Proposal::Resign => Command::Resign { batch, by: me },
            });
        }
        let map = Arc::clone(&node.view.map);
        let gone = map.nodes().flat_map(|(id, record)| {
            (1..=record.incarnation.0)
                .map(move |number| Member { node: id, incarnation: Incarnation(number) })
        });
        let dead: Vec<Member> = gone.filter(|member| !map.is_alive(*member)).collect();
        let suspects: Vec<Member> = node.heartbeats.suspects(now).chain(dead).collect();
        for suspect in suspects {
            let last = node.accused_at.insert(suspect, at).unwrap_or(0);
            if at - last < 20 * MS {
                node.accused_at.insert(suspect, last);
                continue;
            }
            let batch = |is_it: &dyn Fn(&crate::map::Config) -> bool| Batch {
                slots: slots().filter(|&slot| is_it(map.slot(slot))).collect(),
                as_of: idx,
            };
            let lost = batch(&|it| it.primary == Some(me) && it.isr.contains(&suspect));
            if !lost.slots.is_empty() {
                let victim = suspect;
                commands.push(Command::RemoveReplica {
                    batch: lost,
                    by: me,
                    victim,
                    is_planned: false,
                });
            }
            let led = batch(&|it| it.primary == Some(suspect) && it.isr.contains(&me));
            if !led.slots.is_empty() {
                commands.push(Command::TakeOver { batch: led, by: me });
            }
        }
        if let Some(beat) = node.heartbeats.tick(now, idx) {
            for peer in node.heartbeats.peers().collect::<Vec<_>>() {
                let (delay, connection) = self.send(me, peer);
                self.at(delay, What::Beat(me, peer, connection, beat));
            }
        }
        for command in commands {
            let delay = MS + self.delay((5 * MS, 300 * MS), 20);
            self.at(delay, What::Propose(me, command));
        }
    }

    fn commit(&mut self, command: &Command) {
        let mut map = (*self.map).clone();
        let idx = MapIdx(map.idx.0 + 1);
        map.apply(idx, TERM, std::slice::from_ref(command));
        map.idx = self.map.idx;
        if map == *self.map {
            return;
        }
        map.idx = idx;
        self.map = Arc::new(map);
        for member in self.nodes.keys().copied().collect::<Vec<_>>() {
            let delay = MS + self.delay((3 * MS, 200 * MS), 10);
            self.at(delay, What::Map(member, Arc::clone(&self.map)));
        }
    }

    /// Refills, resets what is lost, moves slots about.
    fn on_meta(&mut self) {
        self.at(30 * MS, What::Meta);
        let term = TERM;
        for (node, since) in self.dead.clone() {
            let record = self.map.node(node).expect("it was there");
            let member = record.member(node);
            if self.now - since > 1_500 * MS && record.is_alive && !self.nodes.contains_key(&member)
            {
                self.commit(&Command::DeclareDead { member, term: Some(term) });
            }
        }
        let live: Vec<Member> = self.map.members().collect();
        if live.is_empty() {
            return;
        }
        for slot in slots() {
            let map = Arc::clone(&self.map);
            let config = map.slot(slot);
            let batch = Batch { slots: SlotSet::from_iter([slot]), as_of: map.idx };
            let pick = live[usize::try_from(self.prng.below(live.len() as u64)).expect("few")];
            if config.isr.iter().all(|member| !map.is_alive(*member)) {
                self.commit(&Command::Reset { batch, to: pick, term });
                continue;
            }
            let filling = config.filling.iter().map(|filling| filling.member);
            let mut members: Vec<Member> = filling.filter(|member| map.is_alive(*member)).collect();
            let wanted = usize::from(map.settings.replicas).min(live.len());
            let there =
                config.isr.iter().filter(|member| map.is_alive(**member)).count() + members.len();
            let is_moving = !self.is_healing && there == wanted && self.prng.chance(1, 20);
            let is_new = !config.isr.contains(&pick) && !members.contains(&pick);
            if is_new && (there < wanted || is_moving) {
                members.push(pick);
            }
            if members.len() != config.filling.len() {
                self.commit(&Command::SetFilling { batch, members, term });
                continue;
            }
            let Some(primary) = config.primary.filter(|it| self.nodes.contains_key(it)) else {
                continue;
            };
            let at = usize::try_from(self.prng.below(config.isr.len() as u64)).expect("few");
            let other = config.isr[at];
            let want = if config.isr.len() > wanted && config.filling.is_empty() && other != primary
            {
                Want::Remove { victim: other }
            } else if !self.is_healing && other != primary && self.prng.chance(1, 10) {
                Want::HandOver { to: other }
            } else {
                continue;
            };
            let ver = config.ver;
            self.with(primary, |node, _, _| node.replicas.want(slot, ver, want));
        }
    }

    fn on_client(&mut self, client: usize) {
        let members: Vec<Member> = self.nodes.keys().copied().collect();
        let slot = slots().nth(usize::try_from(self.prng.below(4)).expect("few")).expect("four");
        let guess =
            members.get(usize::try_from(self.prng.below(members.len() as u64 + 1)).expect("few"));
        let known = self.map.slot(slot).primary.filter(|_| self.prng.chance(3, 4));
        let Some(to) = known.or_else(|| guess.copied()) else {
            return self.at(10 * MS, What::Client(client));
        };
        let (key, is_read) = (self.prng.below(KEYS), self.prng.chance(1, 2));
        let retry = MS + self.prng.below(20 * MS);
        let is_up = self.nodes.get(&to).is_some_and(|node| !node.is_paused);
        if !is_up {
            return self.at(retry, What::Client(client));
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let began = self.now;
        let mut is_waiting = false;
        self.with(to, |node, now, out| {
            let generation = node.view.map.slot(slot).generation;
            let value = node.store.values.get(&(slot, key)).copied().unwrap_or(0);
            let asked = Asked { client, slot, key, is_read, began, value, generation };
            let replicas = &mut node.replicas;
            if is_read {
                if replicas.may_read(slot, now).is_ok() {
                    is_waiting = true;
                    node.tickets.insert(ticket, asked);
                    let gate = replicas.gate(slot, &[key + 1]).unwrap_or_default();
                    replicas.wait(slot, gate, (ticket, false), out);
                }
            } else if replicas.may_write(slot, now).is_ok() {
                is_waiting = true;
                let value = value + 1;
                node.tickets.insert(ticket, Asked { value, ..asked });
                node.store.values.insert((slot, key), value);
                let effect = effect(key, value);
                let stamp = Stamp::default();
                let executed = Executed { effect: &effect, touched: key + 1, stamp };
                let gate = replicas.append(slot, executed, out);
                replicas.wait(slot, gate, (ticket, true), out);
            }
        });
        if !is_waiting {
            self.at(retry, What::Client(client));
        }
    }

    fn end_faults(&mut self) {
        self.cut.clear();
        for node in self.nodes.values_mut() {
            node.is_paused = false;
        }
        for node in self.dead.keys().copied().collect::<Vec<_>>() {
            self.restart(node);
        }
        self.dead.clear();
        let members: Vec<Member> = self.nodes.keys().copied().collect();
        for &a in &members {
            for &b in &members {
                if a != b {
                    self.reset(a, b);
                }
            }
        }
        self.healed_at = self.now;
    }

    /// Everything on its way between two nodes is lost, and they connect again.
    fn reset(&mut self, a: Member, b: Member) {
        *self.connection.entry((a.node, b.node)).or_default() += 1;
        self.with(a, |node, now, out| node.replicas.reconnected(now, b, out));
    }

    fn restart(&mut self, node: NodeId) {
        let record = self.map.node(node).expect("it was there");
        let (name, after) = (record.name.clone(), record.incarnation);
        let announced = announced(u128::from(self.number) << 8 | u128::from(node.0));
        self.commit(&Command::Register { name, after, announced });
        let member = self.map.node(node).expect("it is there").member(node);
        self.start(member);
    }

    fn kill(&mut self, member: Member) {
        let Some(node) = self.nodes.remove(&member) else { return };
        self.dead.insert(member.node, self.now);
        for asked in node.tickets.into_values() {
            self.at(MS, What::Client(asked.client));
        }
        let is_seen = self.prng.chance(2, 3);
        for other in self.nodes.values_mut().filter(|_| is_seen) {
            other.heartbeats.refused(member);
        }
    }

    fn is_whole(&self) -> bool {
        slots().all(|slot| {
            let config = self.map.slot(slot);
            config.isr.len() >= usize::from(self.map.settings.replicas).min(self.nodes.len())
                && config.filling.is_empty()
                && config.isr.iter().all(|member| self.nodes.contains_key(member))
        })
    }

    fn on_fault(&mut self) {
        if self.is_healing {
            return;
        }
        let delay = 200 * MS + self.prng.below(600 * MS);
        self.at(delay, What::Fault);
        let is_quiet = self.cut.is_empty()
            && self.dead.is_empty()
            && self.nodes.values().all(|node| !node.is_paused);
        if self.profile == Profile::OneFault && !is_quiet {
            if self.prng.chance(1, 3) {
                self.end_faults();
            }
            return;
        }
        let has_rested = self.now - self.healed_at > 2_000 * MS;
        if self.profile == Profile::OneFault && !(has_rested && self.is_whole()) {
            return;
        }
        let members: Vec<Member> = self.nodes.keys().copied().collect();
        if members.len() < 2 {
            return self.end_faults();
        }
        let any = |prng: &mut Prng| {
            members[usize::try_from(prng.below(members.len() as u64)).expect("few")]
        };
        let (a, b) = (any(&mut self.prng), any(&mut self.prng));
        match self.prng.below(6) {
            0 | 1 => self.kill(a),
            2 => {
                self.nodes.get_mut(&a).expect("it is there").is_paused = true;
            }
            3 if a != b => {
                self.cut.insert((a.node, b.node));
                if self.prng.chance(1, 2) {
                    self.cut.insert((b.node, a.node));
                }
            }
            4 if a != b => {
                self.reset(a, b);
                self.reset(b, a);
            }
            _ => self.end_faults(),
        }
    }
}

/// Increments are all different, and no answer is less than one that ended before it began.
fn check(of: &(Slot, u64, Generation), answers: &[Answer]) {
    let mut made = BTreeSet::new();
    for answer in answers.iter().filter(|answer| !answer.is_read) {
        assert!(made.insert(answer.value), "{of:?}: {answer:?} was made twice");
    }
    let mut by_end: Vec<&Answer> = answers.iter().collect();
    by_end.sort_by_key(|answer| answer.ended);
    let mut by_begin: Vec<&Answer> = answers.iter().collect();
    by_begin.sort_by_key(|answer| answer.began);
    let (mut ended, mut least) = (by_end.into_iter().peekable(), 0);
    for answer in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < answer.began) {
            least = least.max(before.value);
        }
        assert!(answer.value >= least, "{of:?}: {answer:?} is older than {least}");
        assert!(answer.is_read || answer.value > least, "{of:?}: {answer:?} repeats {least}");
    }
}

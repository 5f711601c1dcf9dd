//! The part of a node that is one of a cluster: the map, the metadata log, members, leases, failover and placement.
//!
//! [`Core`] is given the time and an input at a time, and hands back what it wants sent, written and published. It owns
//! the [`View`] that the node's shards act on: [`Output::Publish`] hands out a newer one, and [`Input::Applied`] says that
//! every shard acts on it. Between the two no heartbeat is answered, so that no lease is granted that a shard's fence
//! does not know of.
//!
//! What a node is to the metadata: a *voter* or *learner* has a part of the log; an *observer* has the map alone, and is
//! sent what is committed. All are members once they are registered.

mod joining;
mod leading;
#[cfg(test)]
mod tests;
mod voters;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ringhold_cluster::accuser::{Accuser, REPEAT, RIGHT};
use ringhold_cluster::command::{Batch, Command};
use ringhold_cluster::control::Control;
use ringhold_cluster::heartbeat::{Beat, Heartbeats, PERIOD, Reaction};
use ringhold_cluster::lead::{META_LEASE, Wish};
use ringhold_cluster::map::{FOUNDER, Founding, Map};
use ringhold_cluster::meta::disk::Recovered;
use ringhold_cluster::meta::follow::{Committed, History, Observed, Since, observe};
use ringhold_cluster::meta::membership::RaftId;
use ringhold_cluster::meta::output::Persist;
use ringhold_cluster::meta::{Durability, MetaLog};
use ringhold_cluster::node::{Announcement, NodeName};
use ringhold_cluster::replication::{Proposal, Proposals};
use ringhold_cluster::sharing::Sharing;
use ringhold_cluster::view::{Leases, View};
use ringhold_types::id::{Incarnation, MapIdx, Member};
use ringhold_types::time::{Duration, Instant};

use leading::Leading;

/// The metadata heartbeats whose send time is remembered.
const META_SENT_MAX: usize = 64;
/// Without an answer of the leader for so long a node asks who leads.
const LEADER_LOST: Duration = PERIOD.saturating_mul(3);
/// Between two questions for the leader, for the map, or to be registered.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// A voter whose connection to the leader was refused waits so long for each that is before it, then stands for
/// election.
const CAMPAIGN_RANK: Duration = Duration::from_millis(20);

/// What this process is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name in the cluster.
    pub name: NodeName,
    /// What it says of itself.
    pub announced: Announcement,
    /// Whence its election time-outs come; equal seeds give equal runs.
    pub seed: u64,
    /// Whether it keeps its part of the metadata log on a disk.
    pub durability: Durability,
}

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// A member; its connection proved it.
    Member(Member),
    /// A part of the metadata log; it may be no member yet.
    Voter(RaftId),
    /// Somebody on this connection, who is none yet.
    Stranger(u64),
}

/// To whom something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    /// A member.
    Member(Member),
    /// A part of the metadata log, whichever member it is now.
    Voter(RaftId),
    /// Every address that the process was told to join at.
    Seeds,
    /// Who asked on this connection.
    Stranger(u64),
}

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// Nothing listens there: the process is gone.
    Refused,
    /// A process answered, which drew this nonce.
    Answered {
        /// The nonce.
        nonce: u128,
    },
    /// Nobody answered in time.
    Silent,
}

/// What can happen to a core.
#[derive(Debug)]
pub enum Input {
    /// 10 ms have passed. Only while every shard makes progress: a node that hangs must lose its leases.
    Tick,
    /// A message came.
    Received {
        /// Of whom.
        from: Sender,
        /// The message.
        control: Control,
    },
    /// Something about a slot came from a member: it is alive.
    Heard {
        /// The member.
        from: Member,
    },
    /// The connection to a member was reset and the next one was refused: its process is gone.
    Refused {
        /// The member.
        member: Member,
    },
    /// A dial that was asked for has ended.
    Dialled {
        /// The member whose address was dialled.
        member: Member,
        /// How.
        outcome: Dialled,
    },
    /// What was to be persisted is on the disk.
    Persisted,
    /// Every shard acts on the map of this index.
    Applied {
        /// The index.
        idx: MapIdx,
    },
    /// What the shards ask of the metadata, decided on the map of this index.
    Propose {
        /// For which slots.
        proposals: Proposals,
        /// The index.
        as_of: MapIdx,
    },
    /// An operator's command.
    Operate {
        /// The command.
        command: Command,
    },
}

/// What a core wants done.
#[derive(Debug)]
pub enum Output {
    /// To be sent.
    Send {
        /// To whom.
        to: To,
        /// What.
        control: Control,
    },
    /// To be handed to every shard; then [`Input::Applied`].
    Publish {
        /// The view.
        view: Arc<View>,
    },
    /// A wish of the metadata leader to the shards of this node.
    Wish {
        /// The wish.
        wish: Wish,
    },
    /// The registered address of a member is to be dialled, with a new connection.
    Dial {
        /// The member.
        member: Member,
    },
    /// To be written and synced; then [`Input::Persisted`].
    Persist {
        /// What.
        persist: Persist,
    },
    /// This incarnation is dead for the cluster: everything is to be dropped, and the process registers anew.
    Superseded,
    /// Another live process has this one's name: it has to end.
    NameTaken,
    /// A peer's message of the metadata log broke a rule; its connection is to be closed.
    Misbehaved {
        /// Who sent it.
        from: Sender,
    },
}

/// The cluster's part of a node.
pub struct Core {
    identity: Identity,
    me: Option<Member>,
    log: Option<MetaLog>,
    /// The newest map, of the log or as an observer.
    map: Arc<Map>,
    /// The entries that led to it, as far as they came from others.
    history: History,
    view: Arc<View>,
    /// What every shard has applied.
    applied: MapIdx,
    /// Heartbeats that came while a view was being applied, of each member the last.
    asked: BTreeMap<Member, Beat>,
    sharing: Sharing,
    heartbeats: Heartbeats,
    accuser: Accuser,
    proposals: BTreeMap<Proposal, Instant>,
    leader: Option<(u64, Member)>,
    asked_leader_at: Instant,
    meta_id: u64,
    meta_sent: VecDeque<(u64, Instant)>,
    meta_sent_at: Instant,
    /// The send time of the last metadata heartbeat that was answered.
    meta_answered: Instant,
    told_suspects: BTreeSet<Member>,
    leading: Option<Leading>,
    /// The last round of answers that a quorum was asked to confirm; never used twice by one voter.
    round: u64,
    campaign_at: Option<Instant>,
    /// To be proposed by this leader with the end of the step.
    commands: Vec<Command>,
    is_superseded: bool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("me", &self.me)
            .field("idx", &self.map.idx)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// A node that forms a cluster of itself: it leads its metadata and serves every slot at once.
    #[must_use]
    pub fn found(
        now: Instant,
        identity: Identity,
        founding: Founding,
        out: &mut Vec<Output>,
    ) -> Self {
        let map = Map::founded(founding, identity.name.clone(), identity.announced.clone());
        let raft_id = RaftId(identity.announced.raft_id);
        let log = MetaLog::found(raft_id, identity.seed, identity.durability, map);
        let mut core = Self::new(now, identity, Some(log));
        core.me = Some(FOUNDER);
        core.start_log(now, out);
        core
    }

    /// A node that wants to become a member of the cluster at its seeds.
    #[must_use]
    pub fn join(now: Instant, identity: Identity) -> Self {
        Self::new(now, identity, None)
    }

    /// A voter that comes back with its part of the log. It registers anew: its memory is gone.
    #[must_use]
    pub fn recover(
        now: Instant,
        identity: Identity,
        recovered: &Recovered,
        out: &mut Vec<Output>,
    ) -> Self {
        let log = MetaLog::recover(identity.seed, recovered);
        let mut core = Self::new(now, identity, Some(log));
        core.start_log(now, out);
        core
    }

    fn new(now: Instant, identity: Identity, log: Option<MetaLog>) -> Self {
        let map = Arc::new(Map::unknown());
        let view = View {
            map: Arc::clone(&map),
            me: Member::default(),
            leases: Arc::new(Leases::default()),
        };
        // Drawn by this process alone, so no other process's rounds are taken for its own.
        let round = u64::try_from(identity.announced.nonce >> 65).unwrap_or(0);
        Self {
            identity,
            me: None,
            log,
            map,
            history: History::default(),
            view: Arc::new(view),
            applied: MapIdx(0),
            asked: BTreeMap::new(),
            sharing: Sharing::default(),
            heartbeats: Heartbeats::new(now),
            accuser: Accuser::default(),
            proposals: BTreeMap::new(),
            leader: None,
            asked_leader_at: Instant(0),
            meta_id: 0,
            meta_sent: VecDeque::new(),
            meta_sent_at: Instant(0),
            meta_answered: Instant(0),
            told_suspects: BTreeSet::new(),
            leading: None,
            round,
            campaign_at: None,
            commands: Vec::new(),
            is_superseded: false,
        }
    }

    /// Which member this node is, once it is registered.
    #[must_use]
    pub fn me(&self) -> Option<Member> {
        self.me
    }

    /// The newest map that it knows; shards may act on an older one for a moment.
    #[must_use]
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Its part of the metadata log; `None`: it observes.
    #[must_use]
    pub fn log(&self) -> Option<&MetaLog> {
        self.log.as_ref()
    }

    /// Who leads the metadata, as far as it knows.
    #[must_use]
    pub fn leader(&self) -> Option<Member> {
        self.leader.map(|(_, member)| member)
    }

    /// Applies one input.
    pub fn step(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        if self.is_superseded {
            return;
        }
        match input {
            Input::Tick => self.tick(now, out),
            Input::Received { from, control } => self.receive(now, from, control, out),
            Input::Heard { from } => self.heartbeats.heard(now, from),
            Input::Refused { member } => self.refused(now, member, out),
            Input::Dialled { member, outcome } => self.dialled(now, member, outcome, out),
            Input::Persisted => self.with_log(now, out, MetaLog::persisted),
            Input::Applied { idx } => self.shards_applied(now, idx, out),
            Input::Propose { proposals, as_of } => self.propose(now, proposals, as_of, out),
            Input::Operate { command } => self.ask_leader(now, command, None, out),
        }
        self.propose_commands(now, out);
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        if let Some(beat) = self.heartbeats.tick(now, self.applied) {
            for peer in self.heartbeats.peers().collect::<Vec<_>>() {
                send(To::Member(peer), Control::Beat { beat }, out);
            }
        }
        if self.log.as_ref().is_some_and(|log| !log.is_persisting()) {
            self.with_log(now, out, MetaLog::tick);
        }
        if self.campaign_at.is_some_and(|at| now >= at) {
            self.campaign_at = None;
            if self.log.as_ref().is_some_and(|log| !log.is_persisting()) {
                self.with_log(now, out, MetaLog::campaign);
            }
        }
        match self.me {
            None => self.try_to_register(now, out),
            Some(me) => {
                self.tell_leader(now, me, out);
                let suspects: Vec<Member> = self.heartbeats.suspects(now).collect();
                let right_until = self.meta_answered.after(RIGHT);
                let map = Arc::clone(&self.view.map);
                let accusations =
                    self.accuser.accuse(now, (me, &map), suspects.into_iter(), right_until);
                for (accused, command) in accusations {
                    let accused = Some(accused).filter(|&accused| map.is_alive(accused));
                    self.ask_leader(now, command, accused, out);
                }
            }
        }
        self.tick_leading(now, out);
    }

    /// Tells the metadata leader that this node is there, and looks for the leader when there is none that answers.
    fn tell_leader(&mut self, now: Instant, me: Member, out: &mut Vec<Output>) {
        let is_lost = now.since(self.meta_answered) > LEADER_LOST || self.leader.is_none();
        if is_lost && now.since(self.asked_leader_at) >= ASK_EVERY {
            self.asked_leader_at = now;
            for member in self.map.members().filter(|member| *member != me).collect::<Vec<_>>() {
                send(To::Member(member), Control::WhoLeads, out);
            }
        }
        let suspects: BTreeSet<Member> = self.heartbeats.suspects(now).collect();
        let is_new = !suspects.is_subset(&self.told_suspects);
        if now.since(self.meta_sent_at) < PERIOD && !is_new {
            return;
        }
        let Some(leader) = self.leader() else { return };
        self.meta_sent_at = now;
        self.meta_id += 1;
        self.meta_sent.push_back((self.meta_id, now));
        if self.meta_sent.len() > META_SENT_MAX {
            self.meta_sent.pop_front();
        }
        self.told_suspects.clone_from(&suspects);
        let (id, have) = (self.meta_id, self.map.idx);
        let beat = Control::MetaBeat { id, suspects: suspects.into_iter().collect(), have };
        self.send_or_take(now, leader, beat, out);
    }

    /// Sends to a member, or takes it at once when that is this one.
    fn send_or_take(&mut self, now: Instant, to: Member, control: Control, out: &mut Vec<Output>) {
        if Some(to) == self.me {
            self.receive(now, Sender::Member(to), control, out);
        } else {
            send(To::Member(to), control, out);
        }
    }

    fn ask_leader(
        &mut self,
        now: Instant,
        command: Command,
        accused: Option<Member>,
        out: &mut Vec<Output>,
    ) {
        if let Some(leader) = self.leader() {
            self.send_or_take(now, leader, Control::Propose { command, accused }, out);
        }
    }

    fn receive(&mut self, now: Instant, from: Sender, control: Control, out: &mut Vec<Output>) {
        if let Sender::Member(member) = from {
            self.heartbeats.heard(now, member);
        }
        match (control, from) {
            // A process that is no member yet hears its seeds as strangers; a member believes members alone.
            (
                Control::LeaderIs { .. } | Control::MapEntries { .. } | Control::MapWhole { .. },
                Sender::Stranger(_),
            ) if self.me.is_some() => out.push(Output::Misbehaved { from }),
            (Control::Beat { beat }, Sender::Member(member)) => {
                self.on_beat(now, member, beat, out);
            }
            (Control::MetaBeat { id, suspects, have }, Sender::Member(member)) => {
                self.on_meta_beat(now, (member, id), (suspects, have), out);
            }
            (Control::MetaAnswer { id, term }, Sender::Member(member)) => {
                self.on_meta_answer(member, id, term);
            }
            (Control::WhoLeads, _) => {
                if let Some((term, leader)) = self.leader {
                    send(reply_to(from), Control::LeaderIs { term, leader }, out);
                }
            }
            (Control::LeaderIs { term, leader }, _) => self.learn_leader(term, leader),
            (Control::MapAsk { have }, _) => self.send_map(reply_to(from), have, out),
            (Control::MapEntries { entries }, _) => self.on_entries(now, from, &entries, out),
            (Control::MapWhole { map }, _) => self.on_map(now, map, out),
            (Control::Propose { command, accused }, _) => {
                self.on_proposal(now, from, (command, accused), out);
            }
            (Control::Wish { want, batch }, Sender::Member(_)) => {
                if let Some(primary) = self.me {
                    out.push(Output::Wish { wish: Wish { primary, want, batch } });
                }
            }
            (Control::Raft { message }, Sender::Voter(id)) => {
                self.on_raft(now, id, *message, out);
            }
            (Control::NameTaken, _) => {
                if self.me.is_none() {
                    out.push(Output::NameTaken);
                }
            }
            // Only members say these, and only voters the last.
            (
                Control::Beat { .. }
                | Control::MetaBeat { .. }
                | Control::MetaAnswer { .. }
                | Control::Wish { .. }
                | Control::Raft { .. },
                _,
            ) => out.push(Output::Misbehaved { from }),
        }
    }

    fn on_beat(&mut self, now: Instant, from: Member, beat: Beat, out: &mut Vec<Output>) {
        if matches!(beat, Beat::Ask { .. }) && self.applied != self.view.map.idx {
            // The shards are computing their fences: nothing is granted that they would not know of.
            self.asked.insert(from, beat);
            return;
        }
        let applied = self.applied;
        let leases = Arc::clone(&self.view.leases);
        match self.heartbeats.receive(now, (from, beat), &leases, || applied) {
            Reaction::None => {}
            Reaction::Answer(beat) => send(To::Member(from), Control::Beat { beat }, out),
            Reaction::AskMap => {
                send(To::Member(from), Control::MapAsk { have: self.map.idx }, out);
            }
        }
    }

    fn on_meta_answer(&mut self, from: Member, id: u64, term: u64) {
        let Some(&(_, sent_at)) = self.meta_sent.iter().find(|(known, _)| *known == id) else {
            return;
        };
        self.learn_leader(term, from);
        self.meta_answered = self.meta_answered.max(sent_at);
        self.view.leases.hold_meta(sent_at.after(META_LEASE));
    }

    /// Takes `leader` for the leader of `term`, unless a newer one is known or the map knows it for dead.
    fn learn_leader(&mut self, term: u64, leader: Member) {
        if self.is_gone(leader) {
            return;
        }
        let is_newer = self.leader.is_none_or(|(known, member)| {
            // One part of the log leads a term; the process that holds it may have registered anew since.
            term > known || term == known && member.node == leader.node && leader >= member
        });
        if is_newer {
            if self.leader.map(|(_, member)| member) != Some(leader) {
                // It is told at once.
                self.meta_sent_at = Instant(0);
            }
            self.leader = Some((term, leader));
        }
    }

    /// Whether the map says that this incarnation is dead; one that it does not know yet is not.
    fn is_gone(&self, member: Member) -> bool {
        let record = self.map.node(member.node);
        record.is_some_and(|record| {
            member.incarnation < record.incarnation
                || member.incarnation == record.incarnation && !record.is_alive
        })
    }

    fn refused(&mut self, now: Instant, member: Member, out: &mut Vec<Output>) {
        self.heartbeats.refused(member);
        self.dialled(now, member, Dialled::Refused, out);
        if self.leader() != Some(member) {
            return;
        }
        self.leader = None;
        let gone = self.raft_id_of(member);
        let Some(log) = &self.log else { return };
        let mine = log.raft_id();
        if log.membership().is_voter(mine) && log.leader() == gone {
            let voters = log.membership().voters.iter().filter(|id| Some(**id) != gone);
            let rank = voters.take_while(|id| **id != mine).count();
            let rank = u32::try_from(rank).unwrap_or(u32::MAX);
            self.campaign_at = Some(now.after(CAMPAIGN_RANK.saturating_mul(rank)));
        }
    }

    fn raft_id_of(&self, member: Member) -> Option<RaftId> {
        let record = self.map.node(member.node)?;
        let is_it = record.incarnation == member.incarnation && record.announced.raft_id != 0;
        is_it.then_some(RaftId(record.announced.raft_id))
    }

    fn member_of(&self, id: RaftId) -> Option<Member> {
        let mut nodes = self.map.nodes();
        let found = nodes.find(|(_, record)| record.is_alive && record.announced.raft_id == id.0);
        found.map(|(node, record)| record.member(node))
    }

    /// What the shards ask goes to the leader, each kind once every [`REPEAT`].
    fn propose(
        &mut self,
        now: Instant,
        proposals: Proposals,
        as_of: MapIdx,
        out: &mut Vec<Output>,
    ) {
        let Some(me) = self.me else { return };
        self.proposals.retain(|_, at| now.since(*at) < REPEAT);
        for (proposal, slots) in proposals {
            if self.proposals.contains_key(&proposal) {
                continue;
            }
            self.proposals.insert(proposal, now);
            let batch = Batch { slots, as_of };
            let command = match proposal {
                Proposal::Add { who, stint } => Command::AddReplica { batch, by: me, who, stint },
                Proposal::HandOver { to } => Command::HandOver { batch, by: me, to },
                Proposal::Remove { victim } => {
                    Command::RemoveReplica { batch, by: me, victim, is_planned: true }
                }
                Proposal::Resign => Command::Resign { batch, by: me },
            };
            self.ask_leader(now, command, None, out);
        }
    }

    /// Every shard acts on the newest view: what waited for that goes on.
    fn shards_applied(&mut self, now: Instant, idx: MapIdx, out: &mut Vec<Output>) {
        self.applied = self.applied.max(idx);
        if self.applied != self.view.map.idx {
            return;
        }
        self.heartbeats.applied(self.applied, &self.view.leases);
        for (member, beat) in std::mem::take(&mut self.asked) {
            self.on_beat(now, member, beat, out);
        }
        if self.map.idx > self.view.map.idx {
            self.publish(now, out);
        }
    }

    /// Hands the newest map to the shards, unless they are still at the one before.
    fn publish(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.leader = self.leader.filter(|(_, leader)| !self.is_gone(*leader));
        let Some(me) = self.me.or_else(|| self.find_myself()) else { return };
        self.me = Some(me);
        if !self.map.is_alive(me) {
            self.is_superseded = true;
            return out.push(Output::Superseded);
        }
        if self.applied != self.view.map.idx || self.map.idx == self.view.map.idx {
            return;
        }
        let leases = Arc::new(self.view.leases.among(&self.map));
        self.view = Arc::new(View { map: Arc::clone(&self.map), me, leases });
        self.sharing.follow(&self.map);
        self.heartbeats.set_peers(now, &self.sharing.peers(me));
        if let Some(log) = &mut self.log {
            let ids: Vec<RaftId> =
                self.map.nodes().map(|(_, record)| RaftId(record.announced.raft_id)).collect();
            log.admit(&ids);
        }
        out.push(Output::Publish { view: Arc::clone(&self.view) });
    }

    /// This process in the map, by the nonce it drew.
    fn find_myself(&self) -> Option<Member> {
        let (node, record) = self.map.named(&self.identity.name)?;
        let is_me = record.announced.nonce == self.identity.announced.nonce;
        is_me.then(|| record.member(node))
    }

    fn send_map(&self, to: To, have: MapIdx, out: &mut Vec<Output>) {
        if self.map.idx <= have {
            return;
        }
        // Its part of the log may be behind what it was told.
        let log = self.log.as_ref().filter(|log| log.map().idx == self.map.idx);
        match log.map_or_else(|| self.history.since(have, &self.map), |log| log.since(have)) {
            Since::Entries(entries) => send(to, Control::MapEntries { entries }, out),
            Since::Map(map) => send(to, Control::MapWhole { map }, out),
        }
    }

    fn on_entries(
        &mut self,
        now: Instant,
        from: Sender,
        entries: &[Committed],
        out: &mut Vec<Output>,
    ) {
        for entry in entries {
            match observe(&mut self.map, entry) {
                Ok(Observed::Applied { .. }) => self.history.push(entry.clone()),
                Ok(Observed::Known) => {}
                Ok(Observed::Gap { have }) => {
                    send(reply_to(from), Control::MapAsk { have }, out);
                    break;
                }
                Err(_) => return out.push(Output::Misbehaved { from }),
            }
        }
        self.publish(now, out);
    }

    fn on_map(&mut self, now: Instant, map: Arc<Map>, out: &mut Vec<Output>) {
        let is_ours = self.map.idx == MapIdx(0) || map.cluster == self.map.cluster;
        // What is committed is committed, whether the own part of the log has it yet or not.
        if map.idx > self.map.idx && is_ours {
            self.map = map;
            self.history.clear();
            self.publish(now, out);
        }
    }
}

fn send(to: To, control: Control, out: &mut Vec<Output>) {
    out.push(Output::Send { to, control });
}

fn reply_to(from: Sender) -> To {
    match from {
        Sender::Member(member) => To::Member(member),
        Sender::Voter(id) => To::Voter(id),
        Sender::Stranger(connection) => To::Stranger(connection),
    }
}

/// The last incarnation of a name, as the map has it.
fn last_incarnation(map: &Map, name: &NodeName) -> Incarnation {
    map.named(name).map_or(Incarnation(0), |(_, record)| record.incarnation)
}

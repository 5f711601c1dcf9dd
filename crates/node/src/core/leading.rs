//! This node's part of the metadata log: what comes out of it, and what its leader does with what others ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringhold_cluster::command::Command;
use ringhold_cluster::control::Control;
use ringhold_cluster::lead::{Lead, LeadOut};
use ringhold_cluster::meta::MetaLog;
use ringhold_cluster::meta::follow::Committed;
use ringhold_cluster::meta::membership::RaftId;
use ringhold_cluster::meta::message::MetaMessage;
use ringhold_cluster::meta::output::MetaOut;
use ringhold_cluster::meta::refused::ProposeError;
use ringhold_types::id::{MapIdx, Member};
use ringhold_types::time::Instant;

use super::{Core, Dialled, Output, Sender, To, reply_to, send};

/// The most commands that wait to be proposed; who asked for one more asks again.
const COMMANDS_MAX: usize = 1024;
/// The most metadata heartbeats that wait for the next round while the disk is slow; who gets no answer asks again.
const WAITING_MAX: usize = 4096;
/// The most rounds of answers that wait for a quorum.
const ROUNDS_MAX: usize = 64;

/// What only the metadata leader has.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) lead: Lead,
    /// Metadata heartbeats to be answered with the next round.
    waiting: Vec<(Member, u64)>,
    /// Rounds that a quorum has not confirmed yet.
    rounds: BTreeMap<u64, Vec<(Member, u64)>>,
    /// Processes that want the name of a member that may be alive: that one is being dialled.
    claims: BTreeMap<Member, Claim>,
    pub(super) voters_looked_at: Instant,
}

#[derive(Debug)]
struct Claim {
    from: Sender,
    nonce: u128,
    command: Command,
}

impl Core {
    /// Begins with what the log has to hand out.
    pub(super) fn start_log(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.with_log(now, out, |log, meta| log.ready(meta));
        if self.log.as_ref().is_some_and(|log| !log.is_persisting()) {
            self.with_log(now, out, MetaLog::campaign);
        }
    }

    /// Steps the log, and carries out what that gives.
    pub(super) fn with_log(
        &mut self,
        now: Instant,
        out: &mut Vec<Output>,
        step: impl FnOnce(&mut MetaLog, &mut MetaOut),
    ) {
        let Some(log) = &mut self.log else { return };
        let mut meta = MetaOut::default();
        step(log, &mut meta);
        for (to, message) in meta.send {
            let message = Box::new(message);
            send(To::Voter(to), Control::Raft { message }, out);
        }
        out.extend(meta.persist.map(|persist| Output::Persist { persist }));
        if let Some(log) = self.log.as_ref().filter(|log| log.map().idx > self.map.idx) {
            self.map = Arc::clone(log.map());
            self.history.clear();
            let entries: Vec<Committed> =
                meta.applied.into_iter().map(|applied| applied.committed).collect();
            self.tell_observers(&entries, out);
            self.publish(now, out);
        }
        self.follow_leadership(now);
        for read in meta.reads {
            self.answer_round(now, read.context, out);
        }
    }

    /// The leader sends what is committed to those who have no part of the log.
    fn tell_observers(&self, entries: &[Committed], out: &mut Vec<Output>) {
        let Some(log) = self.log.as_ref().filter(|log| log.is_leader() && !entries.is_empty())
        else {
            return;
        };
        for (node, record) in self.map.nodes() {
            let member = record.member(node);
            let id = RaftId(record.announced.raft_id);
            if record.is_alive && Some(member) != self.me && !log.membership().contains(id) {
                let entries = entries.to_vec();
                send(To::Member(member), Control::MapEntries { entries }, out);
            }
        }
    }

    /// Becomes or ceases to be the leader, as the log says.
    fn follow_leadership(&mut self, now: Instant) {
        let Some(log) = &self.log else { return };
        let term = log.term();
        let leader = log.leader();
        if log.is_established()
            && let Some(me) = self.me
        {
            if self.leading.as_ref().is_none_or(|leading| leading.lead.term() != term) {
                self.leading = Some(Leading {
                    lead: Lead::new(now, me, term),
                    waiting: Vec::new(),
                    rounds: BTreeMap::new(),
                    claims: BTreeMap::new(),
                    voters_looked_at: now,
                });
            }
            self.leader = Some((term, me));
            return;
        }
        self.leading = None;
        if let Some(member) =
            leader.and_then(|id| self.member_of(id)).filter(|it| Some(*it) != self.me)
        {
            self.learn_leader(term, member);
        }
    }

    pub(super) fn on_raft(
        &mut self,
        now: Instant,
        id: RaftId,
        message: MetaMessage,
        out: &mut Vec<Output>,
    ) {
        let from = Sender::Voter(id);
        if self.log.is_none() {
            self.begin_log();
        }
        let is_busy = self.log.as_ref().is_none_or(MetaLog::is_persisting);
        if is_busy {
            // Raft sends again what is not answered.
            return;
        }
        let mut is_violated = false;
        self.with_log(now, out, |log, meta| {
            is_violated = log.step(id, message, meta).is_err();
        });
        if is_violated {
            out.push(Output::Misbehaved { from });
        }
    }

    /// Somebody made this node a learner: it begins with an empty log.
    fn begin_log(&mut self) {
        let mine = RaftId(self.identity.announced.raft_id);
        if mine.0 == 0 || self.me.is_none() {
            return;
        }
        let mut log = MetaLog::join(mine, self.identity.seed, self.identity.durability);
        let ids: Vec<RaftId> =
            self.map.nodes().map(|(_, record)| RaftId(record.announced.raft_id)).collect();
        log.admit(&ids);
        self.log = Some(log);
    }

    pub(super) fn on_meta_beat(
        &mut self,
        now: Instant,
        (member, id): (Member, u64),
        (suspects, have): (Vec<Member>, MapIdx),
        out: &mut Vec<Output>,
    ) {
        let Some(leading) = &mut self.leading else {
            if let Some((term, leader)) = self.leader.filter(|(_, leader)| *leader != member) {
                send(To::Member(member), Control::LeaderIs { term, leader }, out);
            }
            return;
        };
        let mut led = LeadOut::default();
        let suspects: BTreeSet<Member> = suspects.into_iter().collect();
        leading.lead.hear(now, (member, suspects), &self.map, &mut led);
        if leading.waiting.len() < WAITING_MAX {
            leading.waiting.push((member, id));
        }
        self.carry_out(now, led, out);
        if Some(member) != self.me {
            self.send_map(To::Member(member), have, out);
        }
    }

    /// A quorum confirmed that this node leads: those who asked before are answered.
    fn answer_round(&mut self, now: Instant, round: u64, out: &mut Vec<Output>) {
        let Some(leading) = &mut self.leading else { return };
        let term = leading.lead.term();
        for (member, id) in leading.rounds.remove(&round).unwrap_or_default() {
            self.send_or_take(now, member, Control::MetaAnswer { id, term }, out);
        }
    }

    pub(super) fn on_proposal(
        &mut self,
        now: Instant,
        from: Sender,
        (command, accused): (Command, Option<Member>),
        out: &mut Vec<Output>,
    ) {
        if self.leading.is_none() {
            if let Some((term, leader)) = self.leader {
                send(reply_to(from), Control::LeaderIs { term, leader }, out);
            }
            return;
        }
        match (&command, from) {
            (Command::Register { .. }, _) => self.on_claim(from, command, out),
            (_, Sender::Stranger(_) | Sender::Voter(_)) => out.push(Output::Misbehaved { from }),
            (_, Sender::Member(member)) if command.by().is_some_and(|by| by != member) => {
                out.push(Output::Misbehaved { from });
            }
            (_, Sender::Member(by)) => match accused {
                Some(accused) => {
                    let mut led = LeadOut::default();
                    if let Some(leading) = &mut self.leading {
                        let lead = &mut leading.lead;
                        lead.accuse(now, (by, accused), command, (&self.map, &mut led));
                    }
                    self.carry_out(now, led, out);
                }
                None => self.keep_command(command),
            },
        }
    }

    pub(super) fn keep_command(&mut self, command: Command) {
        if self.commands.len() < COMMANDS_MAX && !self.commands.contains(&command) {
            self.commands.push(command);
        }
    }

    /// A process wants a name. When another one that may be alive has it, that one's address is dialled first.
    fn on_claim(&mut self, from: Sender, command: Command, out: &mut Vec<Output>) {
        let Command::Register { name, announced, .. } = &command else { return };
        let holder = self.map.named(name).filter(|(_, record)| record.is_alive);
        let Some((node, record)) = holder else { return self.keep_command(command) };
        if record.announced.nonce == announced.nonce {
            // It is registered, and asks for the map that says so.
            return;
        }
        let (member, nonce) = (record.member(node), announced.nonce);
        let Some(leading) = &mut self.leading else { return };
        leading.claims.insert(member, Claim { from, nonce, command });
        out.push(Output::Dial { member });
    }

    pub(super) fn dialled(
        &mut self,
        now: Instant,
        member: Member,
        outcome: Dialled,
        out: &mut Vec<Output>,
    ) {
        let Some(leading) = &mut self.leading else { return };
        let mut led = LeadOut::default();
        if outcome == Dialled::Refused {
            leading.lead.refused(member, &mut led);
        }
        if let Some(claim) = leading.claims.remove(&member) {
            let registered = self.map.node(member.node).map(|record| record.announced.nonce);
            match outcome {
                Dialled::Refused => self.keep_command(claim.command),
                Dialled::Answered { nonce } if nonce == claim.nonce => {
                    self.keep_command(claim.command);
                }
                Dialled::Answered { nonce } if Some(nonce) == registered => {
                    send(reply_to(claim.from), Control::NameTaken, out);
                }
                // Whoever it is: only its death frees the name.
                Dialled::Answered { .. } | Dialled::Silent => {}
            }
        }
        self.carry_out(now, led, out);
    }

    pub(super) fn tick_leading(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(log) = self.log.as_ref().filter(|log| !log.is_persisting()) else { return };
        let voters: BTreeSet<Member> =
            log.membership().voters.iter().filter_map(|id| self.member_of(*id)).collect();
        let Some(leading) = &mut self.leading else { return };
        let mut led = LeadOut::default();
        leading.lead.tick(now, &self.map, &voters, &mut led);
        if !leading.waiting.is_empty() {
            self.round += 1;
            let round = self.round;
            let waiting = std::mem::take(&mut leading.waiting);
            leading.rounds.insert(round, waiting);
            while leading.rounds.len() > ROUNDS_MAX {
                leading.rounds.pop_first();
            }
            self.with_log(now, out, |log, meta| log.read_index(round, meta));
        }
        self.carry_out(now, led, out);
        self.look_after_voters(now, out);
    }

    /// Does what the leader's part wants.
    fn carry_out(&mut self, now: Instant, led: LeadOut, out: &mut Vec<Output>) {
        led.commands.into_iter().for_each(|command| self.keep_command(command));
        out.extend(led.dials.into_iter().map(|member| Output::Dial { member }));
        for wish in led.wishes {
            if Some(wish.primary) == self.me {
                out.push(Output::Wish { wish });
            } else {
                let (want, batch) = (wish.want, wish.batch);
                send(To::Member(wish.primary), Control::Wish { want, batch }, out);
            }
        }
        let heir = led.abdicates_to.and_then(|member| self.raft_id_of(member));
        if let Some(heir) = heir {
            self.with_log(now, out, |log, meta| {
                if !log.is_persisting() {
                    // Refused while another transfer is under way; it is tried again with the next tick.
                    let _refused = log.transfer(heir, meta).is_err();
                }
            });
        }
    }

    /// Proposes what was asked for, as one entry, once the entry before is applied: what is asked again meanwhile, or has
    /// come too late, is then seen to change nothing, and what comes meanwhile shares the next entry.
    pub(super) fn propose_commands(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.commands.is_empty() {
            return;
        }
        let Some(log) = self.log.as_ref().filter(|log| log.is_leader()) else {
            return self.commands.clear();
        };
        if log.is_persisting() || log.last_idx() != log.map().idx.0 {
            return;
        }
        let term = log.term();
        let mut commands = std::mem::take(&mut self.commands);
        // What would change nothing is not worth an entry.
        commands.retain(|command| self.map.is_changed_by(term, command));
        if commands.is_empty() {
            return;
        }
        let mut outcome = Ok(());
        self.with_log(now, out, |log, meta| {
            outcome = log.propose(&commands, meta).map(|_| ());
        });
        if let Err(ProposeError::TooLong { .. }) = outcome {
            // The first half now, the second with the next step.
            let half = commands.len() / 2;
            if half > 0 {
                self.commands = commands[half..].to_vec();
                self.with_log(now, out, |log, meta| {
                    // Who asked asks again.
                    let _refused = log.propose(&commands[..half], meta).is_err();
                });
            }
        }
    }
}

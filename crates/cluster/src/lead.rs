//! What the metadata leader does beside keeping the log: it judges accusations, declares the silent dead, gives slots
//! that lost every copy a new start, and brings each slot to the owners that placement wants (sections 8 to 10).
//!
//! It holds nothing that its successor would miss: what it measured begins afresh with each election, and what it wants
//! follows from the map.

mod death;
mod owners;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::id::Member;
use ringhold_types::time::{Duration, Instant};

use crate::arbiter::{Arbiter, Ruling};
use crate::command::{Batch, Command};
use crate::heartbeat::PERIOD;
use crate::map::Map;
use crate::mutants::{Rule, without};
use crate::replication::Want;
use crate::sharing::Sharing;
use crate::slots::SlotSet;
use death::Deaths;
use owners::Owning;

/// A metadata lease, as its holder counts it.
pub const META_LEASE: Duration = Duration::from_secs(10);
/// A member that was not heard for so long is declared dead.
pub const META_DEAD: Duration = Duration::from_secs(15);
/// Placement gives nothing to a member that was not heard for so long.
const ABSENT: Duration = Duration::from_secs(1);
/// Between two looks at what slots lack.
const LOOK: Duration = Duration::from_millis(50);
/// A leader that is suspected gives way only when it was elected so long ago.
const SETTLED: Duration = PERIOD.saturating_mul(10);

/// A leader's wish to a primary, for slots of one configuration each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The primary.
    pub primary: Member,
    /// What is wanted.
    pub want: Want,
    /// Of which slots, as they are in the map of `as_of`.
    pub batch: Batch,
}

/// What the leader wants done.
#[derive(Debug, Default)]
pub struct LeadOut {
    /// To be proposed.
    pub commands: Vec<Command>,
    /// To be sent to primaries; said again while they are not fulfilled.
    pub wishes: Vec<Wish>,
    /// To be dialled: [`Lead::refused`] is to be told when that is refused.
    pub dials: BTreeSet<Member>,
    /// Leadership is to go to the voter of this member.
    pub abdicates_to: Option<Member>,
    /// So many members fell silent together that none of them is declared dead; an operator decides.
    pub is_stuck: bool,
}

/// The leader of one term.
#[derive(Debug)]
pub struct Lead {
    own: Member,
    term: u64,
    arbiter: Arbiter,
    deaths: Deaths,
    owning: Owning,
    sharing: Sharing,
    looked_at: Option<Instant>,
}

impl Lead {
    /// A leader elected now, in Raft term `term`, whose own member is `own`.
    #[must_use]
    pub fn new(now: Instant, own: Member, term: u64) -> Self {
        Self {
            own,
            term,
            arbiter: Arbiter::new(own, now),
            deaths: Deaths::new(now),
            owning: Owning::default(),
            sharing: Sharing::default(),
            looked_at: None,
        }
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// When it was elected.
    #[must_use]
    pub fn elected_at(&self) -> Instant {
        self.arbiter.elected_at()
    }

    /// When `member` was last heard; `None`: not since the election.
    #[must_use]
    pub fn heard_at(&self, member: Member) -> Option<Instant> {
        self.arbiter.heard_at(member)
    }

    /// Takes a metadata heartbeat of `member`, which suspects `suspects`.
    pub fn hear(
        &mut self,
        now: Instant,
        (member, suspects): (Member, BTreeSet<Member>),
        map: &Map,
        out: &mut LeadOut,
    ) {
        self.sharing.follow(map);
        self.arbiter.hear(now, (member, suspects), (map, &self.sharing), &mut out.commands);
    }

    /// Takes an accusation: `command` is `by`'s, because it suspects `accused`.
    pub fn accuse(
        &mut self,
        now: Instant,
        (by, accused): (Member, Member),
        command: Command,
        (map, out): (&Map, &mut LeadOut),
    ) {
        if without(Rule::Arbitration) {
            return out.commands.push(command);
        }
        self.sharing.follow(map);
        match self.arbiter.accuse(now, (by, accused), command, (map, &self.sharing)) {
            Ruling::Grant(command) => out.commands.push(*command),
            Ruling::Dial => drop(out.dials.insert(accused)),
        }
    }

    /// The process of `accused` refused the leader's dial.
    pub fn refused(&mut self, accused: Member, out: &mut LeadOut) {
        self.arbiter.refused(accused, &mut out.commands);
    }

    /// Does what time brings; to be called every 10 ms. `voters`: the members that vote.
    pub fn tick(&mut self, now: Instant, map: &Map, voters: &BTreeSet<Member>, out: &mut LeadOut) {
        self.sharing.follow(map);
        // The lateness of this very tick is judged before anybody is.
        self.deaths.tick(now, map);
        self.arbiter.tick(now, (map, &self.sharing), &mut out.commands);
        out.abdicates_to = self.heir(now, map, voters);
        if self.looked_at.is_some_and(|at| now.since(at) < LOOK) {
            return;
        }
        self.looked_at = Some(now);
        if map.settings.is_auto_reset {
            let heard = |member| self.arbiter.heard_at(member);
            out.is_stuck = self.deaths.declare(now, (map, self.term), heard, &mut out.commands);
        }
        let is_there = |member: Member| {
            let heard_at =
                self.arbiter.heard_at(member).unwrap_or_else(|| self.arbiter.elected_at());
            member == self.own || now.since(heard_at) < ABSENT
        };
        self.owning.look((map, self.term), is_there, out);
    }

    /// Who is to lead instead, when two or more suspect this leader's member.
    fn heir(&self, now: Instant, map: &Map, voters: &BTreeSet<Member>) -> Option<Member> {
        let sharing = &self.sharing;
        let is_settled = now.since(self.arbiter.elected_at()) >= SETTLED;
        let against_me = self.arbiter.suspecting(now, self.own, (map, sharing));
        if !is_settled || against_me < 2 || without(Rule::Abdication) {
            return None;
        }
        let others = voters.iter().copied().filter(|&member| member != self.own);
        let heard = others.filter(|&member| self.arbiter.is_fresh(now, member));
        let counted =
            heard.map(|member| (self.arbiter.suspecting(now, member, (map, sharing)), member));
        counted.min().filter(|(against, _)| *against < against_me).map(|(_, member)| member)
    }
}

/// Slots grouped by what is to be done with them.
type Groups<K> = BTreeMap<K, SlotSet>;

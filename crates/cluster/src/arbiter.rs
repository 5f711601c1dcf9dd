//! The metadata leader's judgement on accusations: one sick node, the leader's own included, must not shrink slots to
//! itself and then die with them (section 8.2).
//!
//! Every member tells the leader with each metadata heartbeat whom it suspects. An accusation (a removal or a taking
//! over because of a suspicion) is granted at once when the leader does not hear the accused either; else it is held
//! for [`HOLD`], and then those who suspect the accused are counted against those who suspect the accuser.
//!
//! ```text
//!                 not heard, or dead, or the dial is refused
//!   accusation ──────────────────────────────────────────────▶ granted
//!        │ heard                                                  ▲
//!        ▼          the accuser still says so, and more suspect the accused
//!      held ── HOLD ──▶ due ──────────────────────────────────────┤
//!                        │ a tie: HOLD once more, then the first of the two
//!                        └──▶ dropped: fewer do, or the accuser says so no longer, or is silent for 5 periods
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::id::Member;
use ringhold_types::time::{Duration, Instant};

use crate::command::Command;
use crate::heartbeat::PERIOD;
use crate::map::Map;
use crate::sharing::Sharing;

/// How long an accusation of a member that is heard is held.
pub const HOLD: Duration = Duration::from_millis(250);
/// A member is heard while its last metadata heartbeat is not older than this.
pub const FRESH: Duration = PERIOD.saturating_mul(5);

/// What the leader knows of its cluster's members, and the accusations that it holds.
#[derive(Debug)]
pub struct Arbiter {
    /// The leader's own member.
    own: Member,
    elected_at: Instant,
    told: BTreeMap<Member, Told>,
    holds: BTreeMap<(Member, Member), Hold>,
}

/// What a member said in its last metadata heartbeat.
#[derive(Clone, Debug)]
struct Told {
    at: Instant,
    suspects: BTreeSet<Member>,
}

#[derive(Clone, Debug)]
struct Hold {
    began: Instant,
    /// The count is made on the first heartbeat of the accuser after this.
    until: Instant,
    is_tie: bool,
    /// The leader does not hear the accused: a second member that suspects it is enough.
    is_unheard: bool,
    /// One for each kind of accusation; a later one replaces the earlier.
    removal: Option<Command>,
    taking_over: Option<Command>,
}

impl Hold {
    fn keep(&mut self, command: Command) {
        if matches!(command, Command::TakeOver { .. }) {
            self.taking_over = Some(command);
        } else {
            self.removal = Some(command);
        }
    }
}

/// What follows from an accusation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The command is to be proposed.
    Grant(Box<Command>),
    /// It is held; the accused is to be dialled, and [`Arbiter::refused`] told when that is refused.
    Dial,
}

impl Arbiter {
    /// Of a leader whose own member is `own`, elected now.
    #[must_use]
    pub fn new(own: Member, now: Instant) -> Self {
        Self { own, elected_at: now, told: BTreeMap::new(), holds: BTreeMap::new() }
    }

    /// When this leader was elected.
    #[must_use]
    pub fn elected_at(&self) -> Instant {
        self.elected_at
    }

    /// When `member` was last heard; `None`: not since the election.
    #[must_use]
    pub fn heard_at(&self, member: Member) -> Option<Instant> {
        self.told.get(&member).map(|told| told.at)
    }

    /// Whether `member` is heard now.
    #[must_use]
    pub fn is_fresh(&self, now: Instant, member: Member) -> bool {
        self.heard_at(member).is_some_and(|at| now.since(at) < FRESH)
    }

    /// Takes a metadata heartbeat. What is granted by it is added to `granted`.
    pub fn hear(
        &mut self,
        now: Instant,
        (member, suspects): (Member, BTreeSet<Member>),
        (map, sharing): (&Map, &Sharing),
        granted: &mut Vec<Command>,
    ) {
        self.told.retain(|told, _| map.is_alive(*told));
        if !map.is_alive(member) {
            return;
        }
        self.told.insert(member, Told { at: now, suspects });
        let due: Vec<(Member, Member)> = self
            .holds
            .iter()
            .filter(|((by, _), hold)| *by == member && now >= hold.until)
            .map(|(pair, _)| *pair)
            .collect();
        for (by, accused) in due {
            let still = self.told.get(&by).is_some_and(|told| told.suspects.contains(&accused));
            if still {
                self.judge(now, (by, accused), (map, sharing), granted);
            } else {
                self.holds.remove(&(by, accused));
            }
        }
        self.judge_seconded(now, (map, sharing), granted);
    }

    /// Takes an accusation: `command` is `by`'s, because it suspects `accused`.
    pub fn accuse(
        &mut self,
        now: Instant,
        (by, accused): (Member, Member),
        command: Command,
        (map, sharing): (&Map, &Sharing),
    ) -> Ruling {
        if !map.is_alive(accused) {
            return Ruling::Grant(Box::new(command));
        }
        if let Some(hold) = self.holds.get_mut(&(by, accused)) {
            hold.keep(command);
            return Ruling::Dial;
        }
        let is_heard = self.is_fresh(now, accused);
        let is_mine_or_new = by == self.own || now.since(self.elected_at) < FRESH;
        let has_witness = map
            .members()
            .any(|member| member != by && member != accused && sharing.has(member, accused));
        let is_held = is_heard || is_mine_or_new && has_witness;
        if !is_held {
            return Ruling::Grant(Box::new(command));
        }
        let mut hold = Hold {
            began: now,
            until: now.after(HOLD),
            is_tie: false,
            is_unheard: !is_heard,
            removal: None,
            taking_over: None,
        };
        hold.keep(command);
        self.holds.insert((by, accused), hold);
        Ruling::Dial
    }

    /// The accused's process is gone: all that is held against it is granted.
    pub fn refused(&mut self, accused: Member, granted: &mut Vec<Command>) {
        let pairs: Vec<_> = self.holds.keys().filter(|pair| pair.1 == accused).copied().collect();
        pairs.into_iter().for_each(|pair| self.grant(pair, granted));
    }

    /// Does what time brings. What is granted is added to `granted`.
    pub fn tick(
        &mut self,
        now: Instant,
        (map, sharing): (&Map, &Sharing),
        granted: &mut Vec<Command>,
    ) {
        let dead: Vec<_> =
            self.holds.keys().filter(|pair| !map.is_alive(pair.1)).copied().collect();
        dead.into_iter().for_each(|pair| self.grant(pair, granted));
        // Nothing was heard of the accuser since the count was due.
        self.holds.retain(|(by, _), hold| map.is_alive(*by) && now.since(hold.until) < FRESH);
        self.judge_seconded(now, (map, sharing), granted);
    }

    /// The members that suspect `member`, as they are counted.
    #[must_use]
    pub fn suspecting(
        &self,
        now: Instant,
        member: Member,
        (map, sharing): (&Map, &Sharing),
    ) -> usize {
        let fresh = |other: Member| self.told.get(&other).filter(|told| now.since(told.at) < FRESH);
        let others = || map.members().filter(|other| *other != member);
        let told = others()
            .filter(|&other| fresh(other).is_some_and(|told| told.suspects.contains(&member)))
            .count();
        if member != self.own {
            return told;
        }
        // Whom others hear and the leader does not: the leader may be the one that is deaf.
        let unheard = others().filter(|&other| fresh(other).is_none()).filter(|&other| {
            others().filter(|witness| *witness != other).any(|witness| {
                sharing.has(witness, other)
                    && fresh(witness).is_some_and(|told| !told.suspects.contains(&other))
            })
        });
        told + unheard.count()
    }

    /// An accused that the leader does not hear needs one more member that suspects it.
    fn judge_seconded(
        &mut self,
        now: Instant,
        (map, sharing): (&Map, &Sharing),
        granted: &mut Vec<Command>,
    ) {
        let unheard: Vec<_> = self
            .holds
            .iter()
            .filter(|((_, accused), hold)| hold.is_unheard && !self.is_fresh(now, *accused))
            .map(|(pair, _)| *pair)
            .collect();
        for (by, accused) in unheard {
            let is_seconded = self.told.iter().any(|(&member, told)| {
                member != by
                    && member != accused
                    && now.since(told.at) < FRESH
                    && told.suspects.contains(&accused)
            });
            if is_seconded {
                self.judge(now, (by, accused), (map, sharing), granted);
            }
        }
    }

    fn judge(
        &mut self,
        now: Instant,
        (by, accused): (Member, Member),
        (map, sharing): (&Map, &Sharing),
        granted: &mut Vec<Command>,
    ) {
        let against_accused = self.suspecting(now, accused, (map, sharing));
        let against_accuser = self.suspecting(now, by, (map, sharing));
        let counter_began = self.holds.get(&(accused, by)).map(|counter| counter.began);
        let Some(hold) = self.holds.get_mut(&(by, accused)) else { return };
        match against_accused.cmp(&against_accuser) {
            std::cmp::Ordering::Greater => self.grant((by, accused), granted),
            std::cmp::Ordering::Less => drop(self.holds.remove(&(by, accused))),
            std::cmp::Ordering::Equal if !hold.is_tie => {
                hold.is_tie = true;
                hold.until = now.after(HOLD);
            }
            std::cmp::Ordering::Equal if now < hold.until => {}
            std::cmp::Ordering::Equal => {
                if counter_began.is_none_or(|began| hold.began <= began) {
                    self.grant((by, accused), granted);
                } else {
                    self.holds.remove(&(by, accused));
                }
            }
        }
    }

    fn grant(&mut self, pair: (Member, Member), granted: &mut Vec<Command>) {
        if let Some(hold) = self.holds.remove(&pair) {
            granted.extend(hold.removal.into_iter().chain(hold.taking_over));
        }
    }
}

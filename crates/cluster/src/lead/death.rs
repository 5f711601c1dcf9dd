//! Declaring members dead that were silent for long (section 8.3).

use std::collections::BTreeMap;

use ringhold_types::id::Member;
use ringhold_types::time::{Duration, Instant};

use super::META_DEAD;
use crate::arbiter::FRESH;
use crate::command::Command;
use crate::map::Map;
use crate::mutants::{Rule, without};

/// A leader whose own tick was later than this counts everybody's silence afresh.
const LATE: Duration = META_DEAD.checked_div(4).expect("not by zero");

/// Since when each member may be called silent.
#[derive(Debug)]
pub(super) struct Deaths {
    /// Silence before this does not count: the election, or a tick that was late.
    from: Instant,
    ticked_at: Instant,
    /// When each member was first seen in the map.
    known: BTreeMap<Member, Instant>,
    /// When too many were silent together last.
    many_at: Option<Instant>,
}

impl Deaths {
    pub(super) fn new(now: Instant) -> Self {
        Self { from: now, ticked_at: now, known: BTreeMap::new(), many_at: None }
    }

    /// Notes that time went on; called before anything is judged.
    pub(super) fn tick(&mut self, now: Instant, map: &Map) {
        if now.since(self.ticked_at) > LATE && !without(Rule::LateLeader) {
            self.from = now;
        }
        self.ticked_at = now;
        self.known.retain(|member, _| map.is_alive(*member));
        for member in map.members() {
            self.known.entry(member).or_insert(now);
        }
    }

    /// Proposes the death of those who are silent for [`META_DEAD`]. True: too many are, and none is declared dead.
    pub(super) fn declare(
        &mut self,
        now: Instant,
        (map, term): (&Map, u64),
        heard: impl Fn(Member) -> Option<Instant>,
        commands: &mut Vec<Command>,
    ) -> bool {
        let since = |member: Member| {
            let known = self.known.get(&member).copied().unwrap_or(now);
            heard(member).unwrap_or_default().max(self.from).max(known)
        };
        let live: Vec<Member> = map.members().collect();
        let silent_max = (live.len() / 3).max(1);
        let mut is_stuck = false;
        let mut dead = Vec::new();
        for &member in &live {
            let silent_since = since(member);
            if now.since(silent_since) <= META_DEAD {
                continue;
            }
            // Those who fell silent in the same window.
            let together = live.iter().filter(|&&other| {
                let other_since = since(other);
                now.since(other_since) > FRESH && other_since.after(META_DEAD) > silent_since
            });
            if together.count() > silent_max && !without(Rule::ManySilent) {
                is_stuck = true;
            } else {
                dead.push(member);
            }
        }
        if is_stuck {
            self.many_at = Some(now);
        }
        let has_rested = self.many_at.is_none_or(|at| now.since(at) > META_DEAD);
        if has_rested || without(Rule::SilenceAfresh) {
            let declared =
                dead.into_iter().map(|member| Command::DeclareDead { member, term: Some(term) });
            commands.extend(declared);
        }
        is_stuck
    }
}

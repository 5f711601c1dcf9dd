//! What a member asks of the metadata because it suspects others, or because the map shows them dead (section 8.2).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::id::{MapIdx, Member};
use ringhold_types::time::{Duration, Instant};

use crate::command::{Batch, Command};
use crate::heartbeat::PERIOD;
use crate::map::Map;
use crate::mutants::{Rule, without};

/// A member accuses on suspicion only while its last answer of the metadata leader is to a message that it sent within
/// this.
pub const RIGHT: Duration = PERIOD.saturating_mul(3);
/// A proposal whose effect is not seen is repeated after this and the time that the last one took.
pub const REPEAT: Duration = Duration::from_millis(20);
/// A backup waits so long for each that is before it in the in-sync set.
pub const RANK: Duration = Duration::from_millis(60);

/// The accusations of one member.
#[derive(Debug, Default)]
pub struct Accuser {
    /// Those that are suspected or gone.
    suspects: BTreeMap<Member, Suspect>,
    /// The members that hold a slot with this one and are not alive in the map of this index.
    gone: (MapIdx, BTreeSet<Member>),
}

#[derive(Clone, Debug)]
struct Suspect {
    since: Instant,
    accused_at: Option<Instant>,
    /// The commands against it, and of which map and how many turns of [`RANK`] they are.
    made: Option<(MapIdx, u128, Vec<Command>)>,
}

impl Accuser {
    /// The commands that `me` proposes now against `suspects`, each with its accused. Until `right_until` it may accuse
    /// on suspicion; members that the map shows dead are accused without that.
    pub fn accuse(
        &mut self,
        now: Instant,
        (me, map): (Member, &Map),
        suspects: impl Iterator<Item = Member>,
        right_until: Instant,
    ) -> Vec<(Member, Command)> {
        if self.gone.0 != map.idx {
            self.gone = (map.idx, gone(me, map));
        }
        let all: BTreeSet<Member> = suspects.chain(self.gone.1.iter().copied()).collect();
        self.suspects.retain(|member, _| all.contains(member));
        let mut commands = Vec::new();
        for member in all {
            let new = Suspect { since: now, accused_at: None, made: None };
            let suspect = self.suspects.entry(member).or_insert(new);
            let is_due = suspect.accused_at.is_none_or(|at| now.since(at) >= REPEAT);
            if !is_due
                || now >= right_until && map.is_alive(member) && !without(Rule::RightToAccuse)
            {
                continue;
            }
            suspect.accused_at = Some(now);
            let turns = now.since(suspect.since).as_nanos() / RANK.as_nanos();
            let made = suspect.made.take().filter(|made| (made.0, made.1) == (map.idx, turns));
            let (_, _, made) =
                suspect.made.insert(made.unwrap_or_else(|| {
                    (map.idx, turns, commands_against(me, (map, member), turns))
                }));
            commands.extend(made.iter().map(|command| (member, command.clone())));
        }
        commands
    }
}

/// The members that hold a slot with `me` and are not alive.
fn gone(me: Member, map: &Map) -> BTreeSet<Member> {
    let mine = map.configs().filter(|(config, _)| config.isr.contains(&me));
    let holders = mine.flat_map(|(config, _)| config.isr.iter().copied());
    holders.filter(|&member| !map.is_alive(member)).collect()
}

/// What `me` is to do about `suspect`, which has been one for so many turns of [`RANK`].
fn commands_against(me: Member, (map, suspect): (&Map, Member), turns: u128) -> Vec<Command> {
    let led = map.slots_where(|config| config.primary == Some(me) && config.isr.contains(&suspect));
    let followed = map.slots_where(|config| {
        let others = config.isr.iter().filter(|member| **member != suspect);
        let rank = others.take_while(|member| **member != me).count();
        config.primary == Some(suspect) && config.isr.contains(&me) && turns >= rank as u128
    });
    let batch = |slots| Batch { slots, as_of: map.idx };
    let removal = (!led.is_empty()).then(|| Command::RemoveReplica {
        batch: batch(led),
        by: me,
        victim: suspect,
        is_planned: false,
    });
    let taking_over =
        (!followed.is_empty()).then(|| Command::TakeOver { batch: batch(followed), by: me });
    removal.into_iter().chain(taking_over).collect()
}

//! What a member asks of the metadata because it suspects others, or because the map shows them dead (section 8.2).

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::id::{MapIdx, Member};
use ringhold_types::slot::Slot;
use ringhold_types::time::{Duration, Instant};

use crate::command::{Batch, Command};
use crate::heartbeat::PERIOD;
use crate::map::{Config, Map};
use crate::mutants::{Rule, without};
use crate::slots::SlotSet;

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

#[derive(Clone, Copy, Debug)]
struct Suspect {
    since: Instant,
    accused_at: Option<Instant>,
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
            self.gone = (map.idx, Held::by(me, map).gone);
        }
        let all: BTreeSet<Member> = suspects.chain(self.gone.1.iter().copied()).collect();
        self.suspects.retain(|member, _| all.contains(member));
        let mut commands = Vec::new();
        let mut held = None;
        for member in all {
            let new = Suspect { since: now, accused_at: None };
            let suspect = self.suspects.entry(member).or_insert(new);
            let is_due = suspect.accused_at.is_none_or(|at| now.since(at) >= REPEAT);
            if !is_due
                || now >= right_until && map.is_alive(member) && !without(Rule::RightToAccuse)
            {
                continue;
            }
            suspect.accused_at = Some(now);
            let waited = now.since(suspect.since);
            let held = held.get_or_insert_with(|| Held::by(me, map));
            held.commands(me, (map, member), waited, &mut commands);
        }
        commands
    }
}

/// What `me` shares with others, slot by slot.
struct Held<'m> {
    /// The slots that `me` holds.
    slots: Vec<(Slot, &'m Config)>,
    /// The members that hold them and are not alive.
    gone: BTreeSet<Member>,
}

impl<'m> Held<'m> {
    fn by(me: Member, map: &'m Map) -> Self {
        let mine =
            |slot| Some((slot, map.slot(slot))).filter(|(_, config)| config.isr.contains(&me));
        let slots: Vec<_> = Slot::all().filter_map(mine).collect();
        let holders = slots.iter().flat_map(|(_, config)| config.isr.iter().copied());
        let gone = holders.filter(|&member| !map.is_alive(member)).collect();
        Self { slots, gone }
    }

    fn commands(
        &self,
        me: Member,
        (map, suspect): (&Map, Member),
        waited: Duration,
        commands: &mut Vec<(Member, Command)>,
    ) {
        let (mut led, mut followed) = (SlotSet::default(), SlotSet::default());
        for (slot, config) in &self.slots {
            if config.primary == Some(me) && config.isr.contains(&suspect) {
                led.insert(*slot);
            }
            let others = config.isr.iter().filter(|member| **member != suspect);
            let rank = others.take_while(|member| **member != me).count();
            let turn = RANK.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
            if config.primary == Some(suspect) && waited >= turn {
                followed.insert(*slot);
            }
        }
        let as_of = map.idx;
        if !led.is_empty() {
            let batch = Batch { slots: led, as_of };
            let removal =
                Command::RemoveReplica { batch, by: me, victim: suspect, is_planned: false };
            commands.push((suspect, removal));
        }
        if !followed.is_empty() {
            let batch = Batch { slots: followed, as_of };
            commands.push((suspect, Command::TakeOver { batch, by: me }));
        }
    }
}

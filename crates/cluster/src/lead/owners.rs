//! Bringing each slot to the owners that placement wants (sections 9 and 10): filling those that lack it, handing over,
//! and letting go of those it leaves.
//!
//! A slot moves in steps, each of which keeps all its copies: the newcomer is filled and added, then the primary hands
//! over if it is not the one wanted, then who is not wanted is removed.

use arrayvec::ArrayVec;
use ringhold_ring::node::Node;
use ringhold_ring::owners::{NodeIdx, Owners};
use ringhold_ring::placement::{Placement, Request, place};
use ringhold_types::id::Member;
use ringhold_types::limits::REPLICAS_MAX;
use ringhold_types::slot::{SLOTS, Slot};

use super::{Groups, LeadOut, Wish};
use crate::command::{Batch, Command};
use crate::map::{Config, FILLING_MAX, Map};
use crate::replication::Want;

/// The present plan.
///
/// Placement is asked once for each set of nodes that may own, and its answer kept: it follows from who holds what, which
/// changes at once when slots begin to move, so asked again half way it might send them elsewhere.
#[derive(Debug)]
pub(super) struct Owning {
    /// The map that is planned for.
    map: Map,
    /// Who may own, in the plan; empty: there is none yet.
    eligible: Vec<Member>,
    /// The owners that are wanted, for each slot.
    goal: Vec<Wanted>,
    /// What each slot needs next, and the slots by that.
    steps: Vec<Option<Step>>,
    groups: Groups<Step>,
    /// The same as it is said; again until the map has changed.
    commands: Vec<Command>,
    wishes: Vec<Wish>,
}

impl Default for Owning {
    /// Of nobody.
    fn default() -> Self {
        Self {
            map: Map::unknown(),
            eligible: Vec::new(),
            goal: Vec::new(),
            steps: Vec::new(),
            groups: Groups::default(),
            commands: Vec::new(),
            wishes: Vec::new(),
        }
    }
}

impl Owning {
    /// Proposes what brings slots nearer to their owners.
    pub(super) fn look(
        &mut self,
        (map, term): (&Map, u64),
        is_there: impl Fn(Member) -> bool,
        out: &mut LeadOut,
    ) {
        let eligible: Vec<Member> = map
            .nodes()
            .filter(|(_, record)| record.takes_data())
            .map(|(id, record)| record.member(id))
            .filter(|&member| is_there(member))
            .collect();
        if eligible.is_empty() {
            return;
        }
        let is_new = eligible != self.eligible
            || map.settings != self.map.settings
            || map.nodes != self.map.nodes;
        if is_new {
            self.goal = wanted(map, &eligible);
            self.eligible = eligible;
            self.groups.clear();
            self.steps = vec![None; usize::from(SLOTS)];
            Slot::all().for_each(|slot| self.take_step(map, slot));
        } else {
            let older = self.map.clone();
            map.changed_since(&older).for_each(|slot| self.take_step(map, slot));
        }
        if is_new || map.idx != self.map.idx {
            self.map = map.clone();
            self.say((map, term));
        }
        out.commands.extend(self.commands.iter().cloned());
        out.wishes.extend(self.wishes.iter().cloned());
    }

    /// Finds what a slot needs next.
    fn take_step(&mut self, map: &Map, slot: Slot) {
        let wanted = self.goal.get(slot.index()).map_or(&[][..], |wanted| wanted);
        let next = step(map, map.slot(slot), wanted);
        let before = &mut self.steps[slot.index()];
        if *before == next {
            return;
        }
        if let Some(step) = before
            && let Some(slots) = self.groups.get_mut(step)
        {
            slots.remove(slot);
        }
        if let Some(step) = &next {
            self.groups.entry(step.clone()).or_default().insert(slot);
        }
        *before = next;
    }

    /// Puts what slots need into words.
    fn say(&mut self, (map, term): (&Map, u64)) {
        self.groups.retain(|_, slots| !slots.is_empty());
        self.commands.clear();
        self.wishes.clear();
        for (step, slots) in &self.groups {
            let batch = Batch { slots: slots.clone(), as_of: map.idx };
            match step {
                Step::Reset(to) => self.commands.push(Command::Reset { batch, to: *to, term }),
                Step::Fill(members) => {
                    let members = members.to_vec();
                    self.commands.push(Command::SetFilling { batch, members, term });
                }
                Step::Wish(primary, want) => {
                    self.wishes.push(Wish { primary: *primary, want: *want, batch });
                }
            }
        }
    }
}

/// The owners of a slot, the primary first.
type Wanted = ArrayVec<Member, { REPLICAS_MAX as usize }>;

/// What a slot needs next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A new start, at this member.
    Reset(Member),
    /// To be filled into these, in their order.
    Fill(ArrayVec<Member, FILLING_MAX>),
    /// Something of its primary.
    Wish(Member, Want),
}

fn step(map: &Map, config: &Config, wanted: &[Member]) -> Option<Step> {
    let &first = wanted.first()?;
    if config.isr.iter().all(|&member| !map.is_alive(member)) {
        return Some(Step::Reset(first));
    }
    let missing = wanted.iter().copied().filter(|member| !config.isr.contains(member));
    let mut filling: ArrayVec<Member, FILLING_MAX> = missing.take(FILLING_MAX).collect();
    let is_set = filling.len() == config.filling.len()
        && filling.iter().all(|&member| config.stint_of(member).is_some());
    if !is_set {
        filling.sort_unstable();
        return Some(Step::Fill(filling));
    }
    let primary = config.primary.filter(|&primary| map.is_alive(primary))?;
    if !filling.is_empty() {
        return None;
    }
    if primary != first {
        return Some(Step::Wish(primary, Want::HandOver { to: first }));
    }
    let victim = config.isr.iter().copied().find(|member| !wanted.contains(member))?;
    Some(Step::Wish(primary, Want::Remove { victim }))
}

/// The owners that placement wants, from the present ones.
fn wanted(map: &Map, eligible: &[Member]) -> Vec<Wanted> {
    let records: Vec<_> = map.nodes().filter(|(_, record)| record.is_alive).collect();
    let members: Vec<Member> = records.iter().map(|(id, record)| record.member(*id)).collect();
    let nodes: Vec<Node<'_>> = records
        .iter()
        .zip(&members)
        .map(|((_, record), member)| Node {
            name: record.name.as_str(),
            weight: record.announced.weight,
            zone: &record.announced.zone,
            is_eligible: eligible.contains(member),
        })
        .collect();
    let index = |member: Member| {
        let at = members.iter().position(|other| *other == member)?;
        u16::try_from(at).ok().map(NodeIdx)
    };
    let present: Vec<Owners> = Slot::all()
        .map(|slot| {
            let config = map.slot(slot);
            let primary = config.primary.filter(|primary| config.isr.contains(primary));
            let filling = config.filling.iter().map(|filling| filling.member);
            let holders = primary.into_iter().chain(config.isr.iter().copied()).chain(filling);
            holders.filter_map(index).collect()
        })
        .collect();
    let request = Request {
        nodes: &nodes,
        present: &present,
        replicas: map.settings.replicas,
        overrides: &[],
    };
    let Ok(Placement { owners, .. }) = place(&request) else { return Vec::new() };
    let named = |owners: &Owners| {
        owners.iter().filter_map(|node| members.get(node.index()).copied()).collect()
    };
    owners.iter().map(named).collect()
}

//! Bringing each slot to the owners that placement wants (sections 9 and 10): filling those that lack it, handing over,
//! and letting go of those it leaves.
//!
//! A slot moves in steps, each of which keeps all its copies: the newcomer is filled and added, then the primary hands
//! over if it is not the one wanted, then who is not wanted is removed.

use arrayvec::ArrayVec;
use ringhold_ring::node::Node;
use ringhold_ring::owners::{NodeIdx, Owners};
use ringhold_ring::placement::{Placement, Request, place};
use ringhold_types::id::{MapIdx, Member};
use ringhold_types::slot::Slot;

use super::{Groups, LeadOut, Wish};
use crate::command::{Batch, Command};
use crate::map::{Config, FILLING_MAX, Map};
use crate::replication::Want;

/// The present plan.
#[derive(Debug, Default)]
pub(super) struct Owning {
    /// What the plan was made for: the map, and who may own.
    made_for: Option<(MapIdx, Vec<Member>)>,
    /// What it wants done; said again until the map has changed.
    commands: Vec<Command>,
    wishes: Vec<Wish>,
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
        if self.made_for.as_ref() != Some(&(map.idx, eligible.clone())) {
            self.plan((map, term), &eligible);
            self.made_for = Some((map.idx, eligible));
        }
        out.commands.extend(self.commands.iter().cloned());
        out.wishes.extend(self.wishes.iter().cloned());
    }

    /// Looks at every slot.
    fn plan(&mut self, (map, term): (&Map, u64), eligible: &[Member]) {
        let (mut resets, mut fillings) = (Groups::default(), Groups::default());
        let mut wishes: Groups<(Member, Want)> = Groups::default();
        for (slot, wanted) in Slot::all().zip(&wanted(map, eligible)) {
            match step(map, map.slot(slot), wanted) {
                Step::None => {}
                Step::Reset(to) => resets.entry(to).or_default().insert(slot),
                Step::Fill(members) => fillings.entry(members).or_default().insert(slot),
                Step::Wish(primary, want) => {
                    wishes.entry((primary, want)).or_default().insert(slot);
                }
            }
        }
        let batch = |slots| Batch { slots, as_of: map.idx };
        let resets =
            resets.into_iter().map(|(to, slots)| Command::Reset { batch: batch(slots), to, term });
        let fillings = fillings.into_iter().map(|(members, slots)| Command::SetFilling {
            batch: batch(slots),
            members,
            term,
        });
        self.commands = resets.chain(fillings).collect();
        let wishes = wishes.into_iter();
        self.wishes = wishes
            .map(|((primary, want), slots)| Wish { primary, want, batch: batch(slots) })
            .collect();
    }
}

/// What a slot needs next.
enum Step {
    None,
    Reset(Member),
    Fill(Vec<Member>),
    Wish(Member, Want),
}

fn step(map: &Map, config: &Config, wanted: &[Member]) -> Step {
    let Some(&first) = wanted.first() else { return Step::None };
    if config.isr.iter().all(|&member| !map.is_alive(member)) {
        return Step::Reset(first);
    }
    let missing = wanted.iter().copied().filter(|member| !config.isr.contains(member));
    let filling: ArrayVec<Member, FILLING_MAX> = missing.take(FILLING_MAX).collect();
    let is_set = filling.len() == config.filling.len()
        && filling.iter().all(|&member| config.stint_of(member).is_some());
    if !is_set {
        let mut members = filling.to_vec();
        members.sort_unstable();
        return Step::Fill(members);
    }
    let Some(primary) = config.primary.filter(|&primary| map.is_alive(primary)) else {
        return Step::None;
    };
    if !filling.is_empty() {
        return Step::None;
    }
    if primary != first {
        return Step::Wish(primary, Want::HandOver { to: first });
    }
    match config.isr.iter().find(|member| !wanted.contains(member)) {
        Some(&victim) => Step::Wish(primary, Want::Remove { victim }),
        None => Step::None,
    }
}

/// The owners that placement wants, from the present ones.
fn wanted(map: &Map, eligible: &[Member]) -> Vec<Vec<Member>> {
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

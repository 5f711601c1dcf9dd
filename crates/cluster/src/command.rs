//! The commands of the metadata log, and what they do to the map (docs/design/replication.md, section 4).
//!
//! Every command about slots is a compare-and-set: it names the map index it was decided on (`as_of`), and is skipped
//! for each slot whose configuration changed after that. What a leader measured (that a member is dead, that a slot is
//! lost) holds only in the Raft term it was measured in. So commands may be repeated, arrive late and in any order.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrayvec::ArrayVec;
use ringhold_types::id::{Incarnation, MapIdx, Member, NamespaceId, NodeId};
use ringhold_types::limits::{DATABASES, NAMESPACES_MAX, NODES_MAX};
use ringhold_types::node::Weight;

use crate::codec::{encoded_enum, encoded_struct};
use crate::map::{
    Config, FILLING_MAX, Filling, ISR_MAX, Map, NAMESPACE_NAME_LEN_MAX, NamespaceRecord, Settings,
};
use crate::node::{Announcement, NodeName, NodeRecord, NodeState};
use crate::slots::SlotSet;

/// The slots that a command is about, and when that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The slots.
    pub slots: SlotSet,
    /// The map index that it was decided on.
    pub as_of: MapIdx,
}

encoded_struct!(Batch { slots, as_of });

/// A change of the map that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A process starts under a name. Proof of death of the name's previous incarnation.
    Register {
        /// The name.
        name: NodeName,
        /// The name's last incarnation, as the process knows it; 0: there was none.
        after: Incarnation,
        /// What the process says of itself.
        announced: Box<Announcement>,
    },
    /// A member is dead for good.
    DeclareDead {
        /// Which one.
        member: Member,
        /// The Raft term that it was measured in; `None`: an operator, or the member itself as its last act.
        term: Option<u64>,
    },
    /// A primary goes on without a backup.
    RemoveReplica {
        /// Where.
        batch: Batch,
        /// The primary.
        by: Member,
        /// The backup.
        victim: Member,
        /// Whether the backup did not fail: it moves away or gave up.
        is_planned: bool,
    },
    /// An in-sync backup becomes primary.
    TakeOver {
        /// Where.
        batch: Batch,
        /// The backup.
        by: Member,
    },
    /// A member that was filled is in sync.
    AddReplica {
        /// Where.
        batch: Batch,
        /// The primary.
        by: Member,
        /// The member.
        who: Member,
        /// The stint it was filled in.
        stint: MapIdx,
    },
    /// A primary that has stopped serving names its successor.
    HandOver {
        /// Where.
        batch: Batch,
        /// The primary.
        by: Member,
        /// The successor, in sync.
        to: Member,
    },
    /// Who is to be filled.
    SetFilling {
        /// Where.
        batch: Batch,
        /// Exactly these, at most [`FILLING_MAX`].
        members: Vec<Member>,
        /// The Raft term of the leader that chose them.
        term: u64,
    },
    /// A slot whose every in-sync copy is dead comes back empty.
    Reset {
        /// Where.
        batch: Batch,
        /// Its new primary.
        to: Member,
        /// The Raft term of the leader that saw it.
        term: u64,
    },
    /// A member gives up its void copies.
    Resign {
        /// Where.
        batch: Batch,
        /// The member.
        by: Member,
    },
    /// What a node is meant to do, and its weight.
    SetNode {
        /// The node.
        node: NodeId,
        /// What it is meant to do.
        state: NodeState,
        /// Its weight.
        weight: Weight,
    },
    /// Properties of the cluster.
    SetCluster {
        /// All of them.
        settings: Settings,
    },
    /// A namespace is made or changed; the name says which.
    PutNamespace {
        /// What it is to be.
        record: NamespaceRecord,
    },
    /// A namespace takes no more requests, and its entries go.
    DropNamespace {
        /// Which one.
        namespace: NamespaceId,
    },
}

encoded_enum!(Command, "command" {
    1 => Register { name, after, announced },
    2 => DeclareDead { member, term },
    3 => RemoveReplica { batch, by, victim, is_planned },
    4 => TakeOver { batch, by },
    5 => AddReplica { batch, by, who, stint },
    6 => HandOver { batch, by, to },
    7 => SetFilling { batch, members, term },
    8 => Reset { batch, to, term },
    9 => Resign { batch, by },
    10 => SetNode { node, state, weight },
    11 => SetCluster { settings },
    12 => PutNamespace { record },
    13 => DropNamespace { namespace },
});

impl Command {
    /// The member that must be the one who asks for it; `None`: anybody may.
    #[must_use]
    pub fn by(&self) -> Option<Member> {
        match self {
            Self::RemoveReplica { by, .. }
            | Self::TakeOver { by, .. }
            | Self::AddReplica { by, .. }
            | Self::HandOver { by, .. }
            | Self::Resign { by, .. } => Some(*by),
            Self::Register { .. }
            | Self::DeclareDead { .. }
            | Self::SetFilling { .. }
            | Self::Reset { .. }
            | Self::SetNode { .. }
            | Self::SetCluster { .. }
            | Self::PutNamespace { .. }
            | Self::DropNamespace { .. } => None,
        }
    }
}

impl Map {
    /// Applies the commands of the log entry at `idx`, of Raft term `term`, in their order. A command whose precondition
    /// does not hold changes nothing. Whether anything was changed is seen by the caller, which keeps the map before.
    ///
    /// # Panics
    ///
    /// When `idx` is not after the map's: an entry is applied once.
    pub fn apply(&mut self, idx: MapIdx, term: u64, commands: &[Command]) {
        assert!(idx > self.idx, "the log is applied in its order");
        self.idx = idx;
        for command in commands {
            self.apply_one(term, command);
        }
    }

    /// Whether the command, committed next and in this term, would change anything.
    #[must_use]
    pub fn is_changed_by(&self, term: u64, command: &Command) -> bool {
        let mut after = self.clone();
        after.apply(MapIdx(self.idx.0 + 1), term, std::slice::from_ref(command));
        after.idx = self.idx;
        // Chunks that both share are not compared.
        after != *self
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each command, each a row of the table")]
    fn apply_one(&mut self, term: u64, command: &Command) {
        match command {
            Command::Register { name, after, announced } => self.register(name, *after, announced),
            Command::DeclareDead { member, term: measured } => {
                if measured.is_none_or(|measured| measured == term) && self.is_alive(*member) {
                    self.change_node(member.node, |node| node.is_alive = false);
                }
            }
            Command::RemoveReplica { batch, by, victim, is_planned: _ } => {
                if self.is_alive(*by) && victim != by {
                    self.each(batch, |config, _| {
                        config.primary == Some(*by) && leave(config, *victim)
                    });
                }
            }
            Command::TakeOver { batch, by } => {
                if self.is_alive(*by) {
                    self.each(batch, |config, _| {
                        let is_due = config.isr.contains(by) && config.primary != Some(*by);
                        if is_due {
                            if let Some(old) = config.primary {
                                leave(config, old);
                            }
                            promote(config, *by, false);
                        }
                        is_due
                    });
                }
            }
            Command::AddReplica { batch, by, who, stint } => {
                if self.is_alive(*by) && self.is_alive(*who) {
                    self.each(batch, |config, _| {
                        let is_due = config.primary == Some(*by)
                            && config.stint_of(*who) == Some(*stint)
                            && config.isr.len() < ISR_MAX;
                        if is_due {
                            config.filling.retain(|filling| filling.member != *who);
                            config.isr.push(*who);
                        }
                        is_due
                    });
                }
            }
            Command::HandOver { batch, by, to } => {
                if self.is_alive(*by) && self.is_alive(*to) {
                    self.each(batch, |config, _| {
                        let is_due =
                            config.primary == Some(*by) && to != by && config.isr.contains(to);
                        if is_due {
                            promote(config, *to, true);
                        }
                        is_due
                    });
                }
            }
            Command::SetFilling { batch, members, term: measured } => {
                let mut wanted: ArrayVec<Member, FILLING_MAX> = ArrayVec::new();
                let is_valid = members.iter().all(|member| {
                    let is_new = !wanted.contains(member) && self.is_alive(*member);
                    is_new && wanted.try_push(*member).is_ok()
                });
                if *measured == term && is_valid {
                    self.each(batch, |config, idx| fill(config, &wanted, idx));
                }
            }
            Command::Reset { batch, to, term: measured } => {
                if *measured == term && self.is_alive(*to) {
                    let nodes = Arc::clone(&self.nodes);
                    let is_dead = |member: &Member| {
                        nodes.get(&member.node).is_none_or(|node| {
                            !node.is_alive || node.incarnation != member.incarnation
                        })
                    };
                    self.each(batch, |config, _| {
                        let is_due = config.isr.iter().all(is_dead);
                        if is_due {
                            config.isr.clear();
                            config.isr.push(*to);
                            config.filling.clear();
                            config.generation = config.generation.next();
                            promote(config, *to, false);
                        }
                        is_due
                    });
                }
            }
            Command::Resign { batch, by } => {
                let nodes = Arc::clone(&self.nodes);
                let is_alive = |member: &Member| {
                    nodes
                        .get(&member.node)
                        .is_some_and(|node| node.is_alive && node.incarnation == member.incarnation)
                };
                self.each(batch, |config, _| {
                    let is_due = leave(config, *by);
                    let next = config.isr.iter().copied().find(is_alive);
                    if is_due
                        && config.primary == Some(*by)
                        && let Some(next) = next
                    {
                        promote(config, next, true);
                    }
                    is_due
                });
            }
            Command::SetNode { node, state, weight } => {
                if self.nodes.contains_key(node) {
                    self.change_node(*node, |record| {
                        record.state = *state;
                        record.announced.weight = *weight;
                    });
                }
            }
            Command::SetCluster { settings } => {
                if settings.is_valid() {
                    self.settings = *settings;
                }
            }
            Command::PutNamespace { record } => self.put_namespace(record),
            Command::DropNamespace { namespace } => {
                if self.namespaces.contains_key(namespace) {
                    Arc::make_mut(&mut self.namespaces).remove(namespace);
                }
            }
        }
    }

    /// Does `change` to each slot of the batch that is as it was when the batch was decided; it says whether it did.
    fn each(&mut self, batch: &Batch, change: impl FnMut(&mut Config, MapIdx) -> bool) {
        self.change_slots((&batch.slots, batch.as_of), change);
    }

    fn register(&mut self, name: &NodeName, after: Incarnation, announced: &Announcement) {
        let known = self.named(name).map(|(id, record)| (id, record.clone()));
        let last = known.as_ref().map_or(Incarnation(0), |(_, record)| record.incarnation);
        let is_repeated =
            known.as_ref().is_some_and(|(_, record)| record.announced.nonce == announced.nonce);
        if is_repeated || last != after || !announced.is_valid() {
            return;
        }
        let id = match &known {
            Some((id, _)) => *id,
            None if self.nodes.len() >= NODES_MAX => return,
            None => self.node_next,
        };
        let state = if announced.is_standby { NodeState::Standby } else { NodeState::Active };
        let record = NodeRecord {
            name: name.clone(),
            incarnation: Incarnation(last.0 + 1),
            is_alive: true,
            state,
            announced: announced.clone(),
        };
        if known.is_none() {
            self.node_next = NodeId(id.0 + 1);
        }
        Arc::make_mut(&mut self.nodes).insert(id, record);
    }

    fn change_node(&mut self, id: NodeId, change: impl FnOnce(&mut NodeRecord)) {
        if let Some(record) = Arc::make_mut(&mut self.nodes).get_mut(&id) {
            change(record);
        }
    }

    fn put_namespace(&mut self, record: &NamespaceRecord) {
        if record.name.is_empty() || record.name.len() > NAMESPACE_NAME_LEN_MAX {
            return;
        }
        let known =
            self.namespaces().find(|(_, known)| known.name == record.name).map(|(id, _)| id);
        let made = self.namespaces().filter(|(id, _)| id.0 >= DATABASES).count();
        let id = match known.or_else(|| database(&record.name)) {
            Some(id) => id,
            // The databases are there always, with a record or without.
            None if made + usize::from(DATABASES) >= NAMESPACES_MAX => return,
            None => self.namespace_next,
        };
        let Some(next) = id.0.checked_add(1) else { return };
        self.namespace_next = self.namespace_next.max(NamespaceId(next));
        Arc::make_mut(&mut self.namespaces).insert(id, record.clone());
    }
}

/// The database that a namespace's name is one of: `default`, and `db1` to `db15`.
fn database(name: &str) -> Option<NamespaceId> {
    if name == "default" {
        return Some(NamespaceId::DEFAULT);
    }
    (1..DATABASES).find(|number| name == format!("db{number}")).map(NamespaceId)
}

/// Takes a member out of the in-sync set; whether it was there.
fn leave(config: &mut Config, member: Member) -> bool {
    let before = config.isr.len();
    config.isr.retain(|other| *other != member);
    config.isr.len() < before
}

fn promote(config: &mut Config, member: Member, is_clean: bool) {
    config.primary = Some(member);
    config.epoch = config.epoch.next();
    config.is_clean = is_clean;
}

/// Whom a slot is filled into, from `idx` on; who was being filled before keeps its stint.
fn fill(config: &mut Config, members: &[Member], idx: MapIdx) -> bool {
    let before = config.filling.clone();
    if members.iter().any(|member| config.isr.contains(member)) {
        return false;
    }
    config.filling.clear();
    for &member in members {
        let known = before.iter().find(|filling| filling.member == member);
        config.filling.push(known.copied().unwrap_or(Filling { member, stint: idx }));
    }
    config.filling != before
}

//! Replicated registers: systems to prove the simulator on, before it is trusted with Ringhold.
//!
//! One protocol ([`node`]): three to seven nodes elect a leader by majority; it takes over the newest state of a majority,
//! replicates every write to a majority before it answers, and reads under a lease. Each [`Flaw`] takes one rule away. The right
//! one must pass every seed; each flawed one must be caught within few.

pub mod client;
pub mod message;
pub mod node;
pub mod state;

use ringhold_types::time::Duration;

use crate::check::Anomaly;
use crate::coverage::Minimum;
use crate::faults::{FaultKind, KindSet};
use crate::host::Kind;
use crate::machine::HostId;
use crate::registers::client::Client;
use crate::registers::node::{Node, Role};
use crate::swarm::{Mix, Profile};
use crate::system::{Entry, System};
use crate::workload::{Source, Weights};
use crate::world::World;

/// The rule that a register breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// None.
    None,
    /// Writes are answered before they are replicated.
    AcksBeforeReplicating,
    /// Any node answers reads from what it has.
    ReadsAnywhere,
    /// What is acknowledged to the leader was not synced: a restart forgets it.
    ForgetsUnsynced,
    /// A node that hears no leader takes over with the nodes that it reaches, however few.
    SplitBrain,
    /// The lease is looked at in each tick, not at each read: after a pause it is believed to be held.
    StaleLease,
}

/// A register as a system.
#[derive(Debug)]
pub struct Register {
    flaw: Flaw,
}

/// All registers.
pub const ENTRIES: [Entry; 6] = [
    Entry {
        name: "register",
        about: "majority writes, reads under a lease: nothing may be found",
        is_right: true,
        make: || Box::new(Register { flaw: Flaw::None }),
    },
    Entry {
        name: "register-acks-early",
        about: "flawed: acknowledges before replicating",
        is_right: false,
        make: || Box::new(Register { flaw: Flaw::AcksBeforeReplicating }),
    },
    Entry {
        name: "register-reads-anywhere",
        about: "flawed: reads from any node",
        is_right: false,
        make: || Box::new(Register { flaw: Flaw::ReadsAnywhere }),
    },
    Entry {
        name: "register-forgets",
        about: "flawed: acknowledges what is not synced",
        is_right: false,
        make: || Box::new(Register { flaw: Flaw::ForgetsUnsynced }),
    },
    Entry {
        name: "register-split-brain",
        about: "flawed: takes over without a majority",
        is_right: false,
        make: || Box::new(Register { flaw: Flaw::SplitBrain }),
    },
    Entry {
        name: "register-stale-lease",
        about: "flawed: believes in its lease after a pause",
        is_right: false,
        make: || Box::new(Register { flaw: Flaw::StaleLease }),
    },
];

/// What clients ask for.
const WEIGHTS: Weights = Weights { get: 45, set: 30, set_for: 0, delete: 7, cas: 10, set_many: 8 };

fn common_profile() -> Profile {
    Profile {
        nodes: [3, 7],
        clients: [2, 12],
        keys: [8, 64],
        operations_per_second: 500,
        kinds: KindSet::COMMON,
        duration: Duration::from_secs(10),
        heal_max: Duration::from_secs(8),
        fault_length_max: Duration::from_millis(3000),
    }
}

impl System for Register {
    fn profile(&self) -> Profile {
        let common = common_profile();
        // What random mixes meet too seldom has a swarm of its own.
        match self.flaw {
            Flaw::ForgetsUnsynced => Profile {
                nodes: [3, 3],
                kinds: KindSet::of(&[FaultKind::Vanish, FaultKind::Kill, FaultKind::DiskSlow]),
                fault_length_max: Duration::from_millis(600),
                ..common
            },
            Flaw::StaleLease => Profile {
                nodes: [3, 3],
                clients: [12, 12],
                keys: [4, 8],
                kinds: KindSet::of(&[FaultKind::Pause, FaultKind::Slow]),
                ..common
            },
            Flaw::None | Flaw::AcksBeforeReplicating | Flaw::ReadsAnywhere | Flaw::SplitBrain => {
                common
            }
        }
    }

    fn build(&mut self, world: &mut World, mix: &Mix) {
        let (flaw, nodes, keys, think) = (self.flaw, mix.nodes, mix.keys, mix.think);
        for _ in 0..nodes {
            let factory =
                move |birth: &crate::machine::Birth<'_>| -> Box<dyn crate::machine::Machine> {
                    Box::new(Node::new(birth, nodes, flaw))
                };
            world.add_host(Kind::Node, Box::new(factory));
        }
        for number in 0..mix.clients {
            let factory =
                move |birth: &crate::machine::Birth<'_>| -> Box<dyn crate::machine::Machine> {
                    let source = Source::new(birth.seed, number, keys, WEIGHTS);
                    Box::new(Client::new(birth.seed, source, nodes, think))
                };
            world.add_host(Kind::Client, Box::new(factory));
        }
    }

    fn is_healed(&self, world: &World) -> bool {
        let mut nodes = world.of_kind(Kind::Node).map(|host| world.host(host).machine::<Node>());
        let mut leader = None;
        let mut stamps = Vec::new();
        let is_whole = nodes.all(|node| {
            let Some(node) = node else { return false };
            if node.role() == Role::Leader && node.is_serving() {
                leader = leader.max(Some(node.term()));
            }
            stamps.push(node.term());
            node.is_ready()
        });
        is_whole && leader.is_some_and(|term| stamps.iter().all(|&own| own == term))
    }

    fn favourite(&self, world: &World) -> Option<HostId> {
        let nodes = world.of_kind(Kind::Node);
        let terms = nodes.filter_map(|host| {
            let node = world.host(host).machine::<Node>()?;
            node.is_serving().then_some((node.term(), host))
        });
        terms.max().map(|one| one.1)
    }

    fn after_step(&mut self, world: &World, host: HostId) -> Result<(), Anomaly> {
        let Some(node) = world.host(host).machine::<Node>() else { return Ok(()) };
        let is_leader = |node: &Node| node.role() == Role::Leader && node.is_serving();
        if !is_leader(node) || self.flaw != Flaw::None {
            return Ok(());
        }
        let rivals = world.of_kind(Kind::Node).filter(|&other| other != host);
        for other in rivals {
            let rival = world.host(other).machine::<Node>();
            if rival.is_some_and(|rival| is_leader(rival) && rival.term() == node.term()) {
                let text = format!("{host} and {other} lead in term {}", node.term());
                return Err(Anomaly { kind: "two-leaders", text });
            }
        }
        Ok(())
    }

    fn minimums(&self) -> &'static [Minimum] {
        &[
            Minimum { event: "register.takeover", percent: 100 },
            Minimum { event: "register.state-sent", percent: 50 },
            Minimum { event: "register.in-doubt", percent: 20 },
        ]
    }
}

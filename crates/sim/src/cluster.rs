//! Ringhold's cluster as a system: the shipped state machines of membership, metadata, replication and peer connections,
//! on simulated hosts.
//!
//! Requests are those of the registers' client.

pub mod cell;
pub mod memory;
pub mod node;

use ringhold_cluster::replication::{Phase, Role};
use ringhold_types::slot::Slot;
use ringhold_types::time::Duration;

use crate::check::Anomaly;
use crate::cluster::node::Node;
use crate::coverage::Minimum;
use crate::faults::{FaultKind, KindSet};
use crate::host::Kind;
use crate::machine::{Birth, HostId, Machine};
use crate::registers::client::Client;
use crate::swarm::{Mix, Mode, Profile};
use crate::system::{Entry, System};
use crate::workload::{GROUP_LEN, Source, Weights};
use crate::world::World;

/// Slots that the keys of one run lie in; all others are empty.
pub const GROUPS: u32 = 32;

/// What a key is called: keys of one group are in one slot, and groups are spread over all slots.
#[must_use]
pub fn name_of(key: u32) -> KeyName {
    KeyName(format!("{{{}}}{key}", key / GROUP_LEN % GROUPS))
}

/// The name of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The slot of a key.
#[must_use]
pub fn slot_of(key: u32) -> Slot {
    Slot::of_key(name_of(key).as_bytes())
}

/// The cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    mode: Option<Mode>,
}

/// The cluster, as it can be run by name.
pub const ENTRIES: [Entry; 1] = [Entry {
    name: "cluster",
    about: "Ringhold's cluster: nothing may be found",
    is_right: true,
    make: || Box::new(Cluster::default()),
}];

const WEIGHTS: Weights = Weights { get: 45, set: 22, set_for: 8, delete: 7, cas: 10, set_many: 8 };

/// What it promises to survive.
fn kinds() -> KindSet {
    let without = KindSet::default()
        .with(FaultKind::DiskFull)
        .with(FaultKind::DiskUnreadable)
        .with(FaultKind::Own)
        .with(FaultKind::Datagrams);
    KindSet::COMMON.without(without)
}

fn nodes(world: &World) -> impl Iterator<Item = &Node> {
    world.of_kind(Kind::Node).filter_map(|host| world.host(host).machine::<Node>())
}

impl System for Cluster {
    fn profile(&self) -> Profile {
        Profile {
            nodes: [3, 7],
            clients: [4, 12],
            keys: [200, 256],
            operations_per_second: 500,
            kinds: kinds(),
            duration: Duration::from_secs(36),
            heal_max: Duration::from_secs(30),
            fault_length_max: Duration::from_secs(3),
        }
    }

    fn build(&mut self, world: &mut World, mix: &Mix) {
        self.mode = Some(mix.mode);
        let (hosts, keys, think) = (mix.nodes, mix.keys, mix.think);
        for _ in 0..hosts {
            let factory =
                move |birth: &Birth<'_>| -> Box<dyn Machine> { Box::new(Node::new(birth, hosts)) };
            world.add_host(Kind::Node, Box::new(factory));
        }
        for number in 0..mix.clients {
            let factory = move |birth: &Birth<'_>| -> Box<dyn Machine> {
                let source = Source::new(birth.seed, number, keys, WEIGHTS);
                Box::new(Client::new(birth.seed, source, hosts, think))
            };
            world.add_host(Kind::Client, Box::new(factory));
        }
    }

    /// Every slot is served by a primary with all its copies, and everybody knows the same map.
    fn is_healed(&self, world: &World) -> bool {
        let hosts = world.of_kind(Kind::Node).count();
        let live: Vec<&Node> = nodes(world).collect();
        let Some(newest) = live.iter().map(|node| node.core().map()).max_by_key(|map| map.idx)
        else {
            return false;
        };
        let members = newest.members().count();
        live.len() == hosts
            && members == hosts
            && live.iter().all(|node| {
                node.core().map().idx == newest.idx
                    && node.core().me().is_some_and(|me| newest.is_alive(me))
            })
            && Slot::all().all(|slot| {
                let config = newest.slot(slot);
                config.filling.is_empty()
                    && config.isr.len() == usize::from(newest.settings.replicas).min(hosts)
                    && config.isr.iter().all(|&member| newest.is_alive(member))
            })
            && (0..GROUPS).map(|group| slot_of(group * GROUP_LEN)).all(|slot| {
                let primary = newest.slot(slot).primary;
                live.iter().any(|node| {
                    node.core().me() == primary && node.role(slot) == Role::Primary(Phase::Serving)
                })
            })
    }

    fn favourite(&self, world: &World) -> Option<HostId> {
        let leads = |host: &HostId| {
            let node = world.host(*host).machine::<Node>();
            node.is_some_and(|node| node.core().log().is_some_and(|log| log.is_established()))
        };
        world.of_kind(Kind::Node).find(leads)
    }

    /// With one fault at a time nothing is lost, so no slot is set back.
    fn at_end(&mut self, world: &World) -> Result<(), Anomaly> {
        for node in nodes(world) {
            node.check_invariants();
            if let Some((slot, check)) = node.voided() {
                let text = format!("{:?} {slot:?} failed {check}", node.core().me());
                return Err(Anomaly { kind: "void", text });
            }
        }
        let Some(map) = nodes(world).map(|node| node.core().map()).max_by_key(|map| map.idx) else {
            return Ok(());
        };
        let reset = Slot::all().find(|&slot| map.slot(slot).generation.0 > 1);
        match reset {
            Some(slot) if self.mode == Some(Mode::OneAtATime) => {
                let text = format!("{slot:?} lost every copy: {:?}", map.slot(slot));
                Err(Anomaly { kind: "lost", text })
            }
            _ => Ok(()),
        }
    }

    fn minimums(&self) -> &'static [Minimum] {
        &[
            Minimum { event: "cluster.publish", percent: 100 },
            Minimum { event: "cluster.in-doubt", percent: 5 },
        ]
    }
}

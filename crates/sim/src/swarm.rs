//! Each seed has a mix of its own: which kinds of faults it has at all, how many, how long; how large the world is.
//!
//! Swarm testing (Groce, Zhang, Eide, Chen, Regehr, ISSTA 2012): a run that leaves most features out finds more than one that has
//! a little of everything, because features hide each other's bugs.

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::faults::KindSet;
use crate::time::{MILLISECOND, Moment, nanos};
use crate::world::WorldProfile;

/// How faults follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new fault only after the system healed from the one before.
    OneAtATime,
    /// Faults overlap.
    Chaos,
}

/// What a system may be exposed to: the ranges that mixes are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Fewest and most nodes.
    pub nodes: [u32; 2],
    /// Fewest and most clients.
    pub clients: [u32; 2],
    /// Fewest and most keys.
    pub keys: [u32; 2],
    /// Operations per simulated second of all clients together, if answers are quick.
    pub operations_per_second: u32,
    /// Kinds of faults within the system's promises.
    pub kinds: KindSet,
    /// Simulated time with faults.
    pub duration: Duration,
    /// After all faults are repaired the system is healed within this time.
    pub heal_max: Duration,
    /// The longest fault.
    pub fault_length_max: Duration,
}

/// What is left out or fixed by hand: for repeating and minimizing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Kinds that are left out.
    pub without: KindSet,
    /// Simulated time with faults, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Number of clients.
    pub clients: Option<u32>,
    /// How faults follow one another.
    pub mode: Option<Mode>,
}

/// One seed's mix.
#[derive(Clone, Debug)]
pub struct Mix {
    /// How faults follow one another.
    pub mode: Mode,
    /// The kinds that occur.
    pub kinds: KindSet,
    /// Mean time between two faults.
    pub fault_gap: Duration,
    /// The longest fault.
    pub fault_length_max: Duration,
    /// See [`Profile::heal_max`].
    pub heal_max: Duration,
    /// Simulated time with faults.
    pub duration: Duration,
    /// Number of nodes.
    pub nodes: u32,
    /// Number of clients.
    pub clients: u32,
    /// Number of keys.
    pub keys: u32,
    /// Mean time between two operations of one client.
    pub think: Duration,
    /// Rates of the hosts' clocks are drawn from ±4 %; otherwise all run true.
    pub has_bad_clocks: bool,
    /// The world without faults.
    pub world: WorldProfile,
}

/// Faults do not begin before this.
pub(crate) const CALM_START: Moment = Moment(300 * MILLISECOND);

impl Mix {
    /// Draws the mix of a seed. Overrides change nothing else that is drawn.
    #[must_use]
    pub fn draw(seed: u64, profile: &Profile, overrides: &Overrides) -> Self {
        let mut prng = Prng::new(seed ^ 0x5377_6172_6D00_0000);
        let mode = if prng.chance(1, 2) { Mode::OneAtATime } else { Mode::Chaos };
        // One seed in eight has a single kind; the others have each kind with a chance of their own.
        let share = 1 + prng.below(8);
        let mut kinds = KindSet::default();
        for kind in profile.kinds.iter() {
            if prng.chance(share, 10) {
                kinds = kinds.with(kind);
            }
        }
        let nodes = in_range(&mut prng, profile.nodes);
        let clients = in_range(&mut prng, profile.clients);
        let keys = in_range(&mut prng, profile.keys);
        let gap = 50 + prng.below(950);
        let length_max = nanos(profile.fault_length_max);
        let length_max = length_max / 10 + prng.below(length_max);
        let has_bad_clocks = prng.chance(1, 2);
        let world = drawn_world(&mut prng);
        let clients = overrides.clients.unwrap_or(clients);
        let think = Duration::from_secs(1) * clients / profile.operations_per_second.max(1);
        Self {
            mode: overrides.mode.unwrap_or(mode),
            kinds: kinds.without(overrides.without),
            fault_gap: Duration::from_millis(gap),
            fault_length_max: Duration::from_nanos(length_max.min(nanos(profile.fault_length_max))),
            heal_max: profile.heal_max,
            duration: overrides.duration_ms.map_or(profile.duration, Duration::from_millis),
            nodes,
            clients,
            keys,
            think,
            has_bad_clocks,
            world,
        }
    }
}

fn drawn_world(prng: &mut Prng) -> WorldProfile {
    let mut world = WorldProfile::calm();
    world.network.delay_max = Duration::from_micros(100 + prng.below(3000));
    world.network.spike_per_mille = if prng.chance(1, 2) { prng.below(20) } else { 0 };
    world.network.spike_max = Duration::from_millis(1 + prng.below(50));
    world.network.stall_max = Duration::from_millis(500 + prng.below(5000));
    world.network.dial_timeout = Duration::from_millis(200 + prng.below(1000));
    world.sync_max = Duration::from_micros(200 + prng.below(5000));
    world
}

fn in_range(prng: &mut Prng, [min, max]: [u32; 2]) -> u32 {
    min + u32::try_from(prng.below(u64::from(max - min) + 1)).unwrap_or(0)
}

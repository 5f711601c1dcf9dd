//! Runs one seed of a system: build, faults, healing, checks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::check::{self, Anomaly};
use crate::coverage::Coverage;
use crate::digest::Digest;
use crate::faults::Injector;
use crate::swarm::{Mix, Overrides};
use crate::system::{Entry, System};
use crate::time::Moment;
use crate::world::{Counts, World};

/// After the system has healed, clients go on for this long and must get answers.
const PROGRESS: Duration = Duration::from_millis(1000);
/// How often a healing system is asked at the end.
const HEAL_POLL: Duration = Duration::from_millis(20);

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// What must not have happened, if anything did.
    pub anomaly: Option<Anomaly>,
    /// Digest of all events: equal for two runs of one seed.
    pub digest: Digest,
    /// Named events.
    pub coverage: Coverage,
    /// Events, steps, frames.
    pub counts: Counts,
    /// Operations asked for and answered with certainty.
    pub operations: [usize; 2],
    /// Simulated time.
    pub simulated: Duration,
    /// The trace, if it was asked for.
    pub trace: Vec<String>,
    /// The mix, for people.
    pub mix: String,
}

/// Runs one seed. A panic of a machine is an anomaly of kind `panic` (with unwinding; a release build aborts).
#[must_use]
pub fn run(entry: &Entry, seed: u64, overrides: &Overrides, is_traced: bool) -> Report {
    let mut system = (entry.make)();
    let mix = Mix::draw(seed, &system.profile(), overrides);
    let mut prng = Prng::new(seed);
    let mut world = World::new(mix.world, prng.next_u64());
    if is_traced {
        world.keep_trace();
    }
    let mut injector = Injector::new(&mix, prng.next_u64());
    let result = catch_unwind(AssertUnwindSafe(|| {
        system.build(&mut world, &mix);
        if mix.has_bad_clocks {
            draw_clocks(&mut world, &mut prng);
        }
        drive(&mut world, system.as_mut(), &mut injector, &mix)
    }));
    let anomaly = match result {
        Ok(result) => result.err(),
        Err(panic) => Some(Anomaly { kind: "panic", text: panic_text(panic.as_ref()) }),
    };
    let anomaly = anomaly.or_else(|| check::check(world.history()).err());
    Report {
        anomaly,
        digest: world.digest(),
        coverage: world.coverage().clone(),
        counts: world.counts(),
        operations: [world.history().records().len(), world.history().done_count()],
        simulated: world.now().since(Moment::ZERO),
        trace: world.trace().to_vec(),
        mix: shown(&mix),
    }
}

fn draw_clocks(world: &mut World, prng: &mut Prng) {
    let hosts: Vec<_> = world.hosts().iter().map(crate::host::Host::id).collect();
    for host in hosts {
        let rate = 960_000 + prng.below(80_001);
        world.set_clock_rate(host, u32::try_from(rate).unwrap_or(1_000_000));
    }
}

fn drive(
    world: &mut World,
    system: &mut dyn System,
    injector: &mut Injector,
    mix: &Mix,
) -> Result<(), Anomaly> {
    let end = Moment::ZERO.after(mix.duration);
    while world.now() < end {
        let until = injector.due().min(end);
        advance(world, system, until)?;
        if world.now() < end && injector.act(world, system).is_err() {
            return Err(not_healed(mix));
        }
    }
    injector.repair_all(world, system);
    let deadline = world.now().after(mix.heal_max);
    while !system.is_healed(world) {
        if world.now() > deadline {
            return Err(not_healed(mix));
        }
        let until = world.now().after(HEAL_POLL);
        advance(world, system, until)?;
    }
    let before = world.history().done_count();
    let until = world.now().after(PROGRESS);
    advance(world, system, until)?;
    if mix.clients > 0 && world.history().done_count() == before {
        let text = format!("no answer within {PROGRESS:?} after the system healed");
        return Err(Anomaly { kind: "no-progress", text });
    }
    system.at_end(world)
}

fn advance(world: &mut World, system: &mut dyn System, until: Moment) -> Result<(), Anomaly> {
    let mut stepped = Vec::new();
    while let Some(hosts) = world.turn(until) {
        stepped.clear();
        stepped.extend_from_slice(hosts);
        for &host in &stepped {
            system.after_step(world, host)?;
        }
    }
    Ok(())
}

fn not_healed(mix: &Mix) -> Anomaly {
    let text = format!("not healed {:?} after all faults were repaired", mix.heal_max);
    Anomaly { kind: "not-healed", text }
}

fn panic_text(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn shown(mix: &Mix) -> String {
    let kinds: Vec<&str> = mix.kinds.iter().map(crate::faults::FaultKind::name).collect();
    format!(
        "{:?}, {} nodes, {} clients, {} keys, {:?}; faults: {}",
        mix.mode,
        mix.nodes,
        mix.clients,
        mix.keys,
        mix.duration,
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(" ") }
    )
}

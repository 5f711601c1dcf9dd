//! A system under test: builds its hosts, says what it promises, checks what only it knows.

use ringhold_types::prng::Prng;

use crate::check::Anomaly;
use crate::coverage::Minimum;
use crate::machine::HostId;
use crate::swarm::{Mix, Profile};
use crate::world::World;

/// One run's system under test. Its clients record their operations through
/// [`Output::Invoked`](crate::machine::Output::Invoked), so their histories are checked without its doing.
pub trait System {
    /// What it may be exposed to.
    fn profile(&self) -> Profile;

    /// Adds nodes, then clients; a machine's seed comes from its host.
    fn build(&mut self, world: &mut World, mix: &Mix);

    /// Whether it has overcome all faults: every part serves, with full redundancy.
    fn is_healed(&self, world: &World) -> bool;

    /// The node whose failure matters most now: every second fault strikes it.
    fn favourite(&self, world: &World) -> Option<HostId> {
        let _: &World = world;
        None
    }

    /// Checks after each step of a machine; cheap.
    ///
    /// # Errors
    ///
    /// What must not happen.
    fn after_step(&mut self, world: &World, host: HostId) -> Result<(), Anomaly> {
        let _: (&World, HostId) = (world, host);
        Ok(())
    }

    /// Checks at the end, when it has healed and clients have gone on for a while.
    ///
    /// # Errors
    ///
    /// What must not be.
    fn at_end(&mut self, world: &World) -> Result<(), Anomaly> {
        let _: &World = world;
        Ok(())
    }

    /// Lets [`FaultKind::Own`](crate::faults::FaultKind::Own) happen; false if it cannot now.
    fn own_fault(&mut self, world: &mut World, prng: &mut Prng) -> bool {
        let _: (&mut World, &mut Prng) = (world, prng);
        false
    }

    /// Ends it.
    fn own_repair(&mut self, world: &mut World) {
        let _: &mut World = world;
    }

    /// Events that must happen in a share of the seeds.
    fn minimums(&self) -> &'static [Minimum] {
        &[]
    }
}

/// A system that can be run by name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Whether no seed may show an anomaly; a flawed one must show some.
    pub is_right: bool,
    /// Makes it, once per seed.
    pub make: fn() -> Box<dyn System>,
}

//! What goes wrong, and when: draws faults and repairs them.
//!
//! *One at a time*: a fault is repaired, then the system must say that it is healed before the next one comes. *Chaos*: faults come
//! at random times and overlap. At the end everything is repaired.

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::clock::RATE_MAX_PPM;
use crate::disk::DiskFaults;
use crate::host::{Kind, PauseKind};
use crate::machine::HostId;
use crate::swarm::{CALM_START, Mix, Mode};
use crate::system::System;
use crate::time::{MILLISECOND, Moment, nanos};
use crate::world::World;

/// Faults that are active at a time in chaos; what would be one more is left out.
const ACTIVE_MAX: usize = 4;
/// How often a healing system is asked whether it is healed.
const HEAL_POLL: Duration = Duration::from_millis(20);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A process is killed and comes back.
    Kill,
    /// A host vanishes and comes back.
    Vanish,
    /// A process is stopped between two steps and goes on.
    Pause,
    /// A process is stopped within a step, after it read the clock.
    PauseWithinStep,
    /// A link is cut in one direction.
    CutOneWay,
    /// A link is cut in both directions.
    CutBothWays,
    /// A node is cut off from all others, clients included.
    Isolate,
    /// A node gets nothing from other nodes; they hear it.
    Deaf,
    /// A node is heard by no other node; it hears them.
    Mute,
    /// Connections between two nodes, or of all clients to one, are reset.
    Reset,
    /// A link becomes slow.
    Slow,
    /// Datagrams are lost, doubled, reordered.
    Datagrams,
    /// A clock runs at another rate, within what the protocols assume.
    ClockRate,
    /// A wall clock jumps.
    WallJump,
    /// Ticks come late.
    LateTicks,
    /// A disk is full.
    DiskFull,
    /// A disk is slow.
    DiskSlow,
    /// A disk cannot be read, and its process restarts.
    DiskUnreadable,
    /// A fault that only the system knows.
    Own,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::Kill,
        Self::Vanish,
        Self::Pause,
        Self::PauseWithinStep,
        Self::CutOneWay,
        Self::CutBothWays,
        Self::Isolate,
        Self::Deaf,
        Self::Mute,
        Self::Reset,
        Self::Slow,
        Self::Datagrams,
        Self::ClockRate,
        Self::WallJump,
        Self::LateTicks,
        Self::DiskFull,
        Self::DiskSlow,
        Self::DiskUnreadable,
        Self::Own,
    ];

    /// Its name in coverage; without `fault.`, its name on the command line.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Kill => "fault.kill",
            Self::Vanish => "fault.vanish",
            Self::Pause => "fault.pause",
            Self::PauseWithinStep => "fault.pause-within-step",
            Self::CutOneWay => "fault.cut-one-way",
            Self::CutBothWays => "fault.cut-both-ways",
            Self::Isolate => "fault.isolate",
            Self::Deaf => "fault.deaf",
            Self::Mute => "fault.mute",
            Self::Reset => "fault.reset",
            Self::Slow => "fault.slow",
            Self::Datagrams => "fault.datagrams",
            Self::ClockRate => "fault.clock-rate",
            Self::WallJump => "fault.wall-jump",
            Self::LateTicks => "fault.late-ticks",
            Self::DiskFull => "fault.disk-full",
            Self::DiskSlow => "fault.disk-slow",
            Self::DiskUnreadable => "fault.disk-unreadable",
            Self::Own => "fault.own",
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.event().strip_prefix("fault.").unwrap_or_default()
    }

    /// The kind of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet(u32);

impl KindSet {
    /// Every kind but [`FaultKind::Own`].
    pub const COMMON: Self = Self((1 << (FaultKind::ALL.len() - 1)) - 1);

    /// The set of these kinds.
    #[must_use]
    pub fn of(kinds: &[FaultKind]) -> Self {
        Self(kinds.iter().fold(0, |set, &kind| set | 1 << kind as u32))
    }

    /// Whether a kind is in the set.
    #[must_use]
    pub fn has(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// The set without some kinds.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set with one kind more.
    #[must_use]
    pub fn with(self, kind: FaultKind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    /// The kinds, in their order.
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL.into_iter().filter(move |&kind| self.has(kind))
    }
}

/// What ends a fault.
#[derive(Clone, Debug)]
enum Repair {
    Start(HostId),
    Resume(HostId),
    Mend(Vec<(HostId, HostId)>),
    Quicken(HostId, HostId),
    Datagrams,
    Ticks(HostId),
    Disk(HostId),
    DiskAndStart(HostId),
    Own,
    Nothing,
}

#[derive(Clone, Debug)]
struct Active {
    until: Moment,
    kind: FaultKind,
    repair: Repair,
}

/// Draws, injects and repairs the faults of one run.
#[derive(Debug)]
pub struct Injector {
    prng: Prng,
    mode: Mode,
    kinds: Vec<FaultKind>,
    gap: Duration,
    length_max: Duration,
    heal_max: Duration,
    active: Vec<Active>,
    next: Moment,
    /// Since when everything has been repaired, and the system has not yet said that it is healed.
    healing_since: Option<Moment>,
}

/// The system did not heal in time after everything was repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHealed;

impl Injector {
    /// The faults of a mix.
    #[must_use]
    pub fn new(mix: &Mix, seed: u64) -> Self {
        Self {
            prng: Prng::new(seed),
            mode: mix.mode,
            kinds: mix.kinds.iter().collect(),
            gap: mix.fault_gap,
            length_max: mix.fault_length_max,
            heal_max: mix.heal_max,
            active: Vec::new(),
            next: CALM_START,
            healing_since: Some(Moment::ZERO),
        }
    }

    /// When there is something to do.
    #[must_use]
    pub fn due(&self) -> Moment {
        let repair = self.active.iter().map(|one| one.until).min().unwrap_or(Moment::NEVER);
        repair.min(self.next)
    }

    /// Does what is due: repairs, asks, injects.
    ///
    /// # Errors
    ///
    /// [`NotHealed`], in the mode of one fault at a time.
    pub fn act(&mut self, world: &mut World, system: &mut dyn System) -> Result<(), NotHealed> {
        let now = world.now();
        self.repair(world, system, now);
        if self.next > now {
            return Ok(());
        }
        match self.mode {
            Mode::OneAtATime => self.act_alone(world, system, now)?,
            Mode::Chaos => {
                if self.active.len() < ACTIVE_MAX {
                    self.inject(world, system);
                }
                self.next = now.after(self.drawn_gap());
            }
        }
        Ok(())
    }

    fn act_alone(
        &mut self,
        world: &mut World,
        system: &mut dyn System,
        now: Moment,
    ) -> Result<(), NotHealed> {
        if !self.active.is_empty() {
            self.next = self.due_repair();
        } else if let Some(since) = self.healing_since {
            if system.is_healed(world) {
                self.healing_since = None;
                self.next = now.after(self.drawn_gap());
            } else if now.since(since) > self.heal_max {
                return Err(NotHealed);
            } else {
                self.next = now.after(HEAL_POLL);
            }
        } else {
            self.inject(world, system);
            let is_struck = !self.active.is_empty();
            self.next = if is_struck { self.due_repair() } else { now.after(self.drawn_gap()) };
        }
        Ok(())
    }

    /// Ends all faults.
    pub fn repair_all(&mut self, world: &mut World, system: &mut dyn System) {
        self.repair(world, system, Moment::NEVER);
        self.next = Moment::NEVER;
    }

    fn due_repair(&self) -> Moment {
        let due = self.active.iter().map(|one| one.until).min();
        due.unwrap_or(self.next)
    }

    fn drawn_gap(&mut self) -> Duration {
        Duration::from_nanos(1 + self.prng.below(1 + 2 * nanos(self.gap)))
    }

    fn repair(&mut self, world: &mut World, system: &mut dyn System, now: Moment) {
        while let Some(idx) = self.active.iter().position(|one| one.until <= now) {
            let Active { kind, repair, .. } = self.active.remove(idx);
            world.note(|| format!("repaired: {}", kind.name()));
            match repair {
                Repair::Start(host) => world.start(host),
                Repair::Resume(host) => world.resume(host),
                Repair::Mend(links) => {
                    links.into_iter().for_each(|(from, to)| world.mend(from, to));
                }
                Repair::Quicken(from, to) => world.slow(from, to, Duration::ZERO),
                Repair::Datagrams => world.trouble_datagrams([0; 3]),
                Repair::Ticks(host) => world.set_tick_lateness(host, None),
                Repair::Disk(host) => world.set_disk_faults(host, DiskFaults::default()),
                Repair::DiskAndStart(host) => {
                    world.set_disk_faults(host, DiskFaults::default());
                    world.start(host);
                }
                Repair::Own => system.own_repair(world),
                Repair::Nothing => {}
            }
            if self.active.is_empty() {
                self.healing_since = Some(world.now());
            }
        }
    }

    /// Draws a fault and lets it happen; nothing if its victim is already struck.
    fn inject(&mut self, world: &mut World, system: &mut dyn System) {
        if self.kinds.is_empty() {
            return;
        }
        let at = self.prng.below(self.kinds.len() as u64);
        let kind = self.kinds[usize::try_from(at).unwrap_or(0)];
        let nodes: Vec<HostId> = world.of_kind(Kind::Node).collect();
        let mut victim = self.one_of(&nodes);
        if self.prng.chance(1, 2) {
            victim = system.favourite(world).unwrap_or(victim);
        }
        let other = self.one_of(&nodes);
        world.note(|| format!("fault: {} ({victim}, {other})", kind.name()));
        let is_idle = world.host(victim).has_process() && !world.host(victim).is_paused();
        if !is_idle && kind.strikes_a_process() {
            return;
        }
        let Some(repair) = self.strike(world, system, kind, [victim, other]) else { return };
        world.cover(kind.event());
        let length = 10 * MILLISECOND + self.prng.below(nanos(self.length_max));
        self.active.push(Active { until: Moment(world.now().0 + length), kind, repair });
        self.healing_since = Some(Moment(world.now().0 + length));
    }

    fn strike(
        &mut self,
        world: &mut World,
        system: &mut dyn System,
        kind: FaultKind,
        [victim, other]: [HostId; 2],
    ) -> Option<Repair> {
        let cut = |world: &mut World, links: Vec<(HostId, HostId)>| {
            links.iter().for_each(|&(from, to)| world.cut(from, to));
            (!links.is_empty()).then_some(Repair::Mend(links))
        };
        match kind {
            FaultKind::Kill => world.kill(victim),
            FaultKind::Vanish => world.vanish(victim),
            FaultKind::Pause => world.pause(victim, PauseKind::Between),
            FaultKind::PauseWithinStep => world.pause(victim, PauseKind::WithinStep),
            FaultKind::CutOneWay if victim == other => return None,
            FaultKind::CutOneWay => return cut(world, vec![(victim, other)]),
            FaultKind::CutBothWays if victim == other => return None,
            FaultKind::CutBothWays => return cut(world, vec![(victim, other), (other, victim)]),
            FaultKind::Isolate => {
                let mut links = links_to(world, victim, |_| true);
                links.extend(links_to(world, victim, |_| true).into_iter().map(|(a, b)| (b, a)));
                return cut(world, links);
            }
            FaultKind::Deaf => {
                return cut(world, links_to(world, victim, |kind| kind == Kind::Node));
            }
            FaultKind::Mute => {
                let links = links_to(world, victim, |kind| kind == Kind::Node);
                return cut(world, links.into_iter().map(|(a, b)| (b, a)).collect());
            }
            FaultKind::Reset => self.reset(world, victim, other),
            FaultKind::Slow => {
                let by = Duration::from_nanos(self.prng.below(300 * MILLISECOND));
                world.slow(victim, other, by);
            }
            FaultKind::Datagrams => {
                world.trouble_datagrams([200, 100, 100].map(|most| self.prng.below(most)));
            }
            FaultKind::ClockRate => {
                let rate = 1_000_000 - u64::from(RATE_MAX_PPM)
                    + self.prng.below(2 * u64::from(RATE_MAX_PPM) + 1);
                world.set_clock_rate(victim, u32::try_from(rate).unwrap_or(1_000_000));
            }
            FaultKind::WallJump => {
                let micros = self.prng.below(20_000_000);
                world.jump_wall(victim, 10_000_000_i64.saturating_sub_unsigned(micros));
            }
            FaultKind::LateTicks => {
                let late = Duration::from_nanos(self.prng.below(150 * MILLISECOND));
                world.set_tick_lateness(victim, Some(late));
            }
            FaultKind::DiskFull => {
                world
                    .set_disk_faults(victim, DiskFaults { is_full: true, ..DiskFaults::default() });
            }
            FaultKind::DiskSlow => {
                world
                    .set_disk_faults(victim, DiskFaults { is_slow: true, ..DiskFaults::default() });
            }
            FaultKind::DiskUnreadable => {
                world.kill(victim);
                let faults = DiskFaults { is_unreadable: true, ..DiskFaults::default() };
                world.set_disk_faults(victim, faults);
                world.start(victim);
            }
            FaultKind::Own => {
                return system.own_fault(world, &mut self.prng).then_some(Repair::Own);
            }
        }
        Some(repair_of(kind, victim, other))
    }

    fn reset(&mut self, world: &mut World, victim: HostId, other: HostId) {
        if self.prng.chance(1, 2) {
            world.reset_between(victim, other);
            return;
        }
        let clients: Vec<HostId> = world.of_kind(Kind::Client).collect();
        for client in clients {
            world.reset_between(victim, client);
        }
    }

    fn one_of(&mut self, hosts: &[HostId]) -> HostId {
        let at = self.prng.below(hosts.len() as u64);
        hosts[usize::try_from(at).unwrap_or(0)]
    }
}

impl FaultKind {
    /// Whether it needs a process that runs.
    fn strikes_a_process(self) -> bool {
        match self {
            Self::Kill | Self::Vanish | Self::Pause | Self::PauseWithinStep => true,
            Self::DiskFull | Self::DiskSlow | Self::DiskUnreadable | Self::Own => true,
            Self::CutOneWay | Self::CutBothWays | Self::Isolate | Self::Deaf | Self::Mute => false,
            Self::Reset | Self::Slow | Self::Datagrams => false,
            Self::ClockRate | Self::WallJump | Self::LateTicks => false,
        }
    }
}

/// The links from hosts of some kinds to a victim.
fn links_to(
    world: &World,
    victim: HostId,
    is_meant: impl Fn(Kind) -> bool,
) -> Vec<(HostId, HostId)> {
    let others = world.hosts().iter().filter(|host| host.id() != victim && is_meant(host.kind()));
    others.map(|host| (host.id(), victim)).collect()
}

/// What ends a fault that strikes one host or link.
fn repair_of(kind: FaultKind, victim: HostId, other: HostId) -> Repair {
    match kind {
        FaultKind::Kill | FaultKind::Vanish => Repair::Start(victim),
        FaultKind::Pause | FaultKind::PauseWithinStep => Repair::Resume(victim),
        FaultKind::Slow => Repair::Quicken(victim, other),
        FaultKind::Datagrams => Repair::Datagrams,
        FaultKind::LateTicks => Repair::Ticks(victim),
        FaultKind::DiskFull | FaultKind::DiskSlow => Repair::Disk(victim),
        FaultKind::DiskUnreadable => Repair::DiskAndStart(victim),
        FaultKind::Own => Repair::Own,
        FaultKind::Reset | FaultKind::ClockRate | FaultKind::WallJump => Repair::Nothing,
        FaultKind::CutOneWay | FaultKind::CutBothWays => Repair::Nothing,
        FaultKind::Isolate | FaultKind::Deaf | FaultKind::Mute => Repair::Nothing,
    }
}

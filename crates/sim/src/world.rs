//! The world: hosts over a network in virtual time, and the loop that lets things happen.
//!
//! One event at a time is taken from the queue; it may step one machine, whose outputs are carried out at once. Everything that
//! can be done *to* the world (kill, cut, pause …) is a method here; when it is done is decided by [`crate::faults`].
//!
//! Ticks come every [`WorldProfile::tick`] of local time, a little late as on a busy machine. A wake-up that was asked
//! for comes as a tick.

mod lives;
mod storage;
mod traffic;

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::clock::HostClock;
use crate::coverage::Coverage;
use crate::digest::Digest;
use crate::disk::{Disk, SyncMark};
use crate::history::History;
use crate::host::{Delivery, Host, Kind};
use crate::machine::{DiskId, Factory, HostId, Input, Output, Outputs};
use crate::network::{Item, Line, Network, NetworkProfile, Side};
use crate::queue::Queue;
use crate::time::{Moment, nanos};

/// How the world behaves when nothing is wrong.
#[derive(Clone, Copy, Debug)]
pub struct WorldProfile {
    /// The network.
    pub network: NetworkProfile,
    /// Local time between two ticks.
    pub tick: Duration,
    /// Ticks and wake-ups are up to this late.
    pub tick_late_max: Duration,
    /// The shortest time of a sync.
    pub sync_min: Duration,
    /// The longest time of a sync on a disk that is well.
    pub sync_max: Duration,
}

impl WorldProfile {
    /// A calm network, ticks every 10 ms, syncs of 0.1 to 2 ms.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            network: NetworkProfile::calm(),
            tick: Duration::from_millis(10),
            tick_late_max: Duration::from_micros(200),
            sync_min: Duration::from_micros(100),
            sync_max: Duration::from_millis(2),
        }
    }
}

/// What happens.
#[derive(Debug)]
enum Event {
    Start {
        host: HostId,
        life: u32,
    },
    Tick {
        host: HostId,
        life: u32,
    },
    Wake {
        host: HostId,
        life: u32,
    },
    /// A dial reaches its host.
    Dialled {
        line: Line,
        port: u16,
    },
    DialTimeout {
        line: Line,
    },
    /// Something arrives at the end of a lane.
    Arrives {
        line: Line,
        to: Side,
        item: Item,
    },
    /// A datagram arrives, outside the lane's order.
    Datagram {
        line: Line,
        to: Side,
        bytes: Vec<u8>,
    },
    /// A reset arrives at an end.
    Reset {
        line: Line,
        to: Side,
    },
    /// What waits in a lane is sent once more.
    SentAgain {
        line: Line,
        from: Side,
    },
    /// Has a sender been without acknowledgement for too long?
    SilenceCheck {
        line: Line,
        from: Side,
    },
    Disk {
        host: HostId,
        life: u32,
        work: DiskWork,
    },
}

/// A request to a disk that ends.
#[derive(Debug)]
enum DiskWork {
    Sync { mark: SyncMark, id: DiskId },
    Replace { file: &'static str, id: DiskId },
    Read { file: &'static str, id: DiskId },
}

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events taken from the queue.
    pub events: u64,
    /// Steps of machines.
    pub steps: u64,
    /// Frames sent.
    pub frames: u64,
}

/// Hosts, network and time.
#[derive(Debug)]
pub struct World {
    profile: WorldProfile,
    now: Moment,
    queue: Queue<Event>,
    hosts: Vec<Host>,
    network: Network,
    outputs: Outputs,
    stepped: Vec<HostId>,
    prng: Prng,
    history: History,
    coverage: Coverage,
    digest: Digest,
    counts: Counts,
    trace: Option<Vec<String>>,
}

impl World {
    /// An empty world; everything that happens in it is a function of `seed` and of what is done to it.
    #[must_use]
    pub fn new(profile: WorldProfile, seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let network = Network::new(profile.network, Prng::new(prng.next_u64()));
        Self {
            profile,
            now: Moment::ZERO,
            queue: Queue::new(),
            hosts: Vec::new(),
            network,
            outputs: Outputs::default(),
            stepped: Vec::new(),
            prng,
            history: History::default(),
            coverage: Coverage::default(),
            digest: Digest::new(),
            counts: Counts::default(),
            trace: None,
        }
    }

    /// Keeps a line of text for everything that happens.
    pub fn keep_trace(&mut self) {
        self.trace = Some(Vec::new());
        self.outputs.is_traced = true;
    }

    /// Adds a host with an empty disk and a clock of its own; its process starts at once.
    pub fn add_host(&mut self, kind: Kind, factory: Factory) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).expect("fewer hosts than 2^32"));
        let mut prng = Prng::new(self.prng.next_u64());
        self.network.host_added();
        self.hosts.push(Host {
            id,
            kind,
            factory,
            machine: None,
            started: 0,
            life: 0,
            is_up: true,
            pause: None,
            backlog: std::collections::VecDeque::new(),
            clock: HostClock::drawn(&mut prng),
            disk: Disk::default(),
            disk_free: Moment::ZERO,
            tick_next: ringhold_types::time::Instant::default(),
            tick_late_max: self.profile.tick_late_max,
            wake_at: None,
            ports: Vec::new(),
            conns: std::collections::BTreeMap::new(),
            accepted_next: 0,
            prng,
        });
        self.queue.push(self.now, Event::Start { host: id, life: 0 });
        id
    }

    /// True time.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.now
    }

    /// All hosts, by id.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// A host.
    #[must_use]
    pub fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.idx()]
    }

    /// The hosts of one kind, by id.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = HostId> {
        self.hosts.iter().filter(move |host| host.kind == kind).map(|host| host.id)
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What clients asked and were told.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// For a system to say which keys may vanish.
    pub fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// Named events so far.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// A host's disk, to be prepared by hand.
    pub fn disk_mut(&mut self, host: HostId) -> &mut Disk {
        &mut self.hosts[host.idx()].disk
    }

    /// Counts a named event.
    pub fn cover(&mut self, event: &'static str) {
        self.coverage.count(event);
    }

    /// The digest of everything that happened so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The trace, if it is kept.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or(&[])
    }

    /// Adds a line to the trace; `line` is called only if it is kept.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{} {}", self.now, line()));
        }
    }

    /// Lets the next event happen, if there is one up to `end`; else time becomes `end`. Returns the machines that were stepped, or
    /// `None` at the end.
    pub fn turn(&mut self, end: Moment) -> Option<&[HostId]> {
        self.stepped.clear();
        let Some((at, event)) = self.queue.pop_until(end) else {
            self.now = end;
            return None;
        };
        debug_assert!(at >= self.now, "time does not go back");
        self.now = at;
        self.counts.events += 1;
        self.happen(event);
        Some(&self.stepped)
    }

    /// Lets everything happen up to `end`.
    pub fn run_until(&mut self, end: Moment) {
        while self.turn(end).is_some() {}
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start { host, life } => {
                if self.host(host).life == life {
                    self.start(host);
                }
            }
            Event::Tick { host, life } => self.tick_due(host, life),
            Event::Wake { host, life } => self.wake_due(host, life),
            Event::Dialled { line, port } => self.dial_arrives(line, port),
            Event::DialTimeout { line } => self.dial_timed_out(line),
            Event::Arrives { line, to, item } => self.arrive(line, to, item),
            Event::Datagram { line, to, bytes } => self.datagram_arrives(line, to, bytes),
            Event::Reset { line, to } => self.reset_arrives(line, to),
            Event::SentAgain { line, from } => self.sent_again(line, from),
            Event::SilenceCheck { line, from } => self.silence_check(line, from),
            Event::Disk { host, life, work } => self.disk_done(host, life, &work),
        }
    }

    fn tick_due(&mut self, host: HostId, life: u32) {
        if self.host(host).life == life {
            self.schedule_tick(host);
            self.deliver(host, Delivery::Tick);
        }
    }

    /// The next tick, a period of local time after this one was due.
    fn schedule_tick(&mut self, host: HostId) {
        let tick = self.profile.tick;
        let now = self.now;
        let one = &mut self.hosts[host.idx()];
        let local = one.clock.local(now);
        one.tick_next = one.tick_next.after(tick);
        if one.tick_next <= local {
            one.tick_next = local.after(tick);
        }
        let late = one.prng.below(1 + nanos(one.tick_late_max));
        let at = Moment(one.clock.when(one.tick_next).0 + late);
        let life = one.life;
        self.queue.push(at, Event::Tick { host, life });
    }

    fn wake_due(&mut self, host: HostId, life: u32) {
        let now = self.now;
        let one = &mut self.hosts[host.idx()];
        if one.life != life {
            return;
        }
        let Some(wake_at) = one.wake_at else { return };
        if one.clock.local(now) >= wake_at {
            one.wake_at = None;
            self.deliver(host, Delivery::Tick);
        } else {
            self.schedule_wake(host); // the clock's rate changed
        }
    }

    fn schedule_wake(&mut self, host: HostId) {
        let one = &mut self.hosts[host.idx()];
        let Some(wake_at) = one.wake_at else { return };
        let late = one.prng.below(1 + nanos(one.tick_late_max));
        let at = Moment(one.clock.when(wake_at).0 + late).max(self.now);
        let life = one.life;
        self.queue.push(at, Event::Wake { host, life });
    }

    /// Hands an input to a process: now, or when it runs again.
    fn deliver(&mut self, host: HostId, delivery: Delivery) {
        let one = &mut self.hosts[host.idx()];
        if one.machine.is_none() {
            return;
        }
        let Some(pause) = &mut one.pause else {
            self.step(host, delivery);
            return;
        };
        if pause.is_step_due {
            pause.is_step_due = false;
            self.step(host, delivery);
        } else if matches!(delivery, Delivery::Tick) {
            pause.has_missed_tick = true;
        } else {
            one.backlog.push_back(delivery);
        }
    }

    fn step(&mut self, host: HostId, delivery: Delivery) {
        let one = &mut self.hosts[host.idx()];
        let Some(mut machine) = one.machine.take() else { return };
        let now = one.clock.read(self.now);
        let [kind, whom] = delivery.words();
        self.digest.add(self.now.0);
        self.digest.add(u64::from(host.0) << 40 | kind << 32 | whom);
        if !delivery.bytes().is_empty() {
            self.digest.add_bytes(delivery.bytes());
        }
        if self.trace.is_some() && !matches!(delivery, Delivery::Tick) {
            self.note(|| format!("{host} {}", shown(&delivery.input())));
        }
        let mut outputs = core::mem::take(&mut self.outputs);
        machine.step(now, delivery.input(), &mut outputs);
        self.hosts[host.idx()].machine = Some(machine);
        self.counts.steps += 1;
        self.stepped.push(host);
        if let Delivery::Received { bytes, .. } = delivery {
            outputs.give_back(bytes);
        }
        let mut list = core::mem::take(&mut outputs.list);
        self.outputs = outputs;
        if let Some(pause) = &mut self.hosts[host.idx()].pause {
            pause.held.append(&mut list);
        } else {
            for output in list.drain(..) {
                self.carry_out(host, output);
            }
        }
        if self.outputs.list.is_empty() {
            self.outputs.list = list;
        }
    }

    fn carry_out(&mut self, host: HostId, output: Output) {
        match output {
            Output::Listen { port, framing } => self.hosts[host.idx()].ports.push((port, framing)),
            Output::Connect { conn, address } => self.dial(host, conn, address),
            Output::Send { conn, bytes } => self.send(host, conn, bytes),
            Output::Close(conn) => self.close(host, conn),
            Output::WakeAt(at) => {
                let one = &mut self.hosts[host.idx()];
                if one.wake_at.is_none_or(|before| at < before) {
                    one.wake_at = Some(at);
                    self.schedule_wake(host);
                }
            }
            Output::Append { file, bytes } => self.append(host, file, bytes),
            Output::Sync { file, id } => self.sync(host, file, id),
            Output::Replace { file, bytes, id } => self.replace(host, file, bytes, id),
            Output::Read { file, id } => self.read(host, file, id),
            Output::Exit => self.exit(host),
            Output::Invoked { call, operation } => {
                self.note(|| format!("{host} asks {call:?} {operation:?}"));
                self.history.invoked(host, call, operation, self.now);
            }
            Output::Returned { call, outcome } => {
                self.note(|| format!("{host} knows {call:?} {outcome:?}"));
                self.history.returned(host, call, outcome, self.now);
            }
            Output::Cover(event) => self.coverage.count(event),
            Output::Note(line) => self.note(|| format!("{host} {line}")),
        }
    }
}

/// An input for the trace: the length of bytes, not the bytes.
fn shown(input: &Input<'_>) -> String {
    match input {
        Input::Received { conn, bytes } => format!("received {} bytes on {:?}", bytes.len(), conn),
        Input::Contents { id, bytes } => format!("read {} bytes for {id:?}", bytes.len()),
        Input::Start
        | Input::Tick
        | Input::Opened(_)
        | Input::Refused(_)
        | Input::Accepted { .. }
        | Input::Closed(_)
        | Input::Synced(_)
        | Input::DiskFailed(_) => format!("{input:?}"),
    }
}

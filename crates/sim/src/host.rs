//! One host: a disk, clocks, and at most one process.
//!
//! ```text
//!            start                  pause
//!   down ─────────────▶ running ◀─────────▶ paused
//!    ▲ ▲                 │   │    resume      │
//!    │ └──── vanish ─────┘   │ kill, exit     │ kill, vanish
//!    │                       ▼                ▼
//!    └──── vanish ───── up, no process ◀──────┘     start: running again, memory empty
//! ```
//!
//! A host that is *down* answers nothing; one that is *up without a process* refuses dials and resets what it gets.

use std::collections::{BTreeMap, VecDeque};

use ringhold_types::prng::Prng;
use ringhold_types::time::{Duration, Instant};

use crate::clock::HostClock;
use crate::disk::Disk;
use crate::machine::{ConnId, DiskId, Factory, Framing, HostId, Input, Machine, Output};
use crate::network::{Line, Side};
use crate::time::Moment;

/// What a host is in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Part of the system under test: faults strike it.
    Node,
    /// A client: only links strike it.
    Client,
}

/// An input that waits.
#[derive(Debug)]
pub(crate) enum Delivery {
    Start,
    Tick,
    Opened(ConnId),
    Refused(ConnId),
    Accepted { conn: ConnId, port: u16, from: HostId },
    Closed(ConnId),
    Received { conn: ConnId, bytes: Vec<u8> },
    Synced(DiskId),
    DiskFailed(DiskId),
    Contents { id: DiskId, bytes: Vec<u8> },
}

impl Delivery {
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Self::Start => Input::Start,
            Self::Tick => Input::Tick,
            Self::Opened(conn) => Input::Opened(*conn),
            Self::Refused(conn) => Input::Refused(*conn),
            Self::Accepted { conn, port, from } => {
                Input::Accepted { conn: *conn, port: *port, from: *from }
            }
            Self::Closed(conn) => Input::Closed(*conn),
            Self::Received { conn, bytes } => Input::Received { conn: *conn, bytes },
            Self::Synced(id) => Input::Synced(*id),
            Self::DiskFailed(id) => Input::DiskFailed(*id),
            Self::Contents { id, bytes } => Input::Contents { id: *id, bytes },
        }
    }

    /// The connection it is about.
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Opened(conn) | Self::Refused(conn) | Self::Closed(conn) => Some(*conn),
            Self::Accepted { conn, .. } | Self::Received { conn, .. } => Some(*conn),
            Self::Start | Self::Tick => None,
            Self::Synced(_) | Self::DiskFailed(_) | Self::Contents { .. } => None,
        }
    }

    /// Two numbers for the digest: the kind, and whom it is about.
    pub(crate) fn words(&self) -> [u64; 2] {
        match self {
            Self::Start => [1, 0],
            Self::Tick => [2, 0],
            Self::Opened(conn) => [3, u64::from(conn.0)],
            Self::Refused(conn) => [4, u64::from(conn.0)],
            Self::Accepted { conn, .. } => [5, u64::from(conn.0)],
            Self::Closed(conn) => [6, u64::from(conn.0)],
            Self::Received { conn, .. } => [7, u64::from(conn.0)],
            Self::Synced(id) => [8, id.0],
            Self::DiskFailed(id) => [9, id.0],
            Self::Contents { id, .. } => [10, id.0],
        }
    }

    /// The bytes that came with it.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Received { bytes, .. } | Self::Contents { bytes, .. } => bytes,
            Self::Start | Self::Tick | Self::Opened(_) | Self::Refused(_) => &[],
            Self::Accepted { .. } | Self::Closed(_) | Self::Synced(_) | Self::DiskFailed(_) => &[],
        }
    }
}

/// How a pause begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseKind {
    /// Between two steps.
    Between,
    /// Within the next step, after the clock was read: what the step does is seen only after the pause.
    WithinStep,
}

/// A stopped process.
#[derive(Debug)]
pub(crate) struct Pause {
    /// One more step is made whose outputs are held.
    pub(crate) is_step_due: bool,
    pub(crate) held: Vec<Output>,
    pub(crate) has_missed_tick: bool,
}

/// One host.
pub struct Host {
    pub(crate) id: HostId,
    pub(crate) kind: Kind,
    pub(crate) factory: Factory,
    pub(crate) machine: Option<Box<dyn Machine>>,
    /// Processes started so far.
    pub(crate) started: u32,
    /// Grows with each start and each death: events of an earlier life are void.
    pub(crate) life: u32,
    pub(crate) is_up: bool,
    pub(crate) pause: Option<Pause>,
    /// Inputs that came while the process was stopped.
    pub(crate) backlog: VecDeque<Delivery>,
    pub(crate) clock: HostClock,
    pub(crate) disk: Disk,
    /// Disk requests are answered in order, so not before this.
    pub(crate) disk_free: Moment,
    pub(crate) tick_next: Instant,
    /// Up to how late this host's ticks come.
    pub(crate) tick_late_max: Duration,
    pub(crate) wake_at: Option<Instant>,
    pub(crate) ports: Vec<(u16, Framing)>,
    pub(crate) conns: BTreeMap<ConnId, (Line, Side)>,
    pub(crate) accepted_next: u32,
    pub(crate) prng: Prng,
}

impl core::fmt::Debug for Host {
    fn fmt(&self, text: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut fields = text.debug_struct("Host");
        fields.field("id", &self.id).field("kind", &self.kind).field("started", &self.started);
        fields.field("is_up", &self.is_up).field("is_paused", &self.pause.is_some());
        fields.finish_non_exhaustive()
    }
}

impl Host {
    /// Its place in the world.
    #[must_use]
    pub fn id(&self) -> HostId {
        self.id
    }

    /// Node or client.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a process runs or is paused here.
    #[must_use]
    pub fn has_process(&self) -> bool {
        self.machine.is_some()
    }

    /// Whether the process is stopped.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// The machine, as its own type; `None` without a process or with another type.
    #[must_use]
    pub fn machine<M: Machine>(&self) -> Option<&M> {
        self.machine.as_deref().and_then(|machine| machine.downcast())
    }

    /// The process's clock at a moment.
    #[must_use]
    pub fn local(&self, at: Moment) -> Instant {
        self.clock.local(at)
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// How many processes ran here before the present one.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.started.saturating_sub(1)
    }

    pub(crate) fn framing_of(&self, port: u16) -> Option<Framing> {
        self.ports.iter().find(|one| one.0 == port).map(|one| one.1)
    }
}

//! The state of the network: links between hosts and the connections over them. [`crate::world`] moves the bytes.
//!
//! A *link* is directed, from one host to another. It delays each frame by a time drawn anew, may be slowed down, and may be *cut*:
//! then nothing arrives, in one direction or, with a second cut, in both. Cuts are counted: two faults may cut one link.
//!
//! A *connection* has two ends and two lanes. In a lane nothing overtakes. What arrives while the link is cut (or the
//! target host is down) waits in the lane, as a kernel would send it again; when the link heals it arrives, at most
//! [`RETRANSMIT_MAX`] and a delay later. A kernel that got no acknowledgement for [`NetworkProfile::stall_max`] gives the connection
//! up: its own process is told, the other end stays half-open and silent until it sends into the dead one and is
//! answered by a reset. A one-way cut also keeps acknowledgements back, so the side whose frames do arrive gives up too.
//!
//! A host never loses contact with itself.

use std::collections::VecDeque;

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::machine::{ConnId, Framing, HostId};
use crate::time::{MILLISECOND, Moment, nanos};

/// After a link heals, the longest time until what waited is sent again.
pub const RETRANSMIT_MAX: Duration = Duration::from_millis(200);
/// The longest delay between a host and itself.
const LOOPBACK_NANOS_MAX: u64 = MILLISECOND / 20;

/// How the network behaves when nothing is wrong, and how datagrams fare.
#[derive(Clone, Copy, Debug)]
pub struct NetworkProfile {
    /// The shortest delay of a frame.
    pub delay_min: Duration,
    /// The longest delay of most frames.
    pub delay_max: Duration,
    /// How many of a thousand frames are delayed by up to [`Self::spike_max`] more.
    pub spike_per_mille: u64,
    /// See [`Self::spike_per_mille`].
    pub spike_max: Duration,
    /// A dial that is not answered ends after this time.
    pub dial_timeout: Duration,
    /// A connection without acknowledgements ends after this time.
    pub stall_max: Duration,
    /// How many of a thousand frames on stream ports arrive in two pieces.
    pub split_per_mille: u64,
    /// How many of a thousand datagrams are lost.
    pub loss_per_mille: u64,
    /// How many of a thousand datagrams arrive twice.
    pub double_per_mille: u64,
    /// How many of a thousand datagrams may overtake others.
    pub reorder_per_mille: u64,
}

impl NetworkProfile {
    /// A local network without trouble.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            delay_min: Duration::from_micros(50),
            delay_max: Duration::from_micros(500),
            spike_per_mille: 0,
            spike_max: Duration::ZERO,
            dial_timeout: Duration::from_millis(1000),
            stall_max: Duration::from_millis(5000),
            split_per_mille: 100,
            loss_per_mille: 0,
            double_per_mille: 0,
            reorder_per_mille: 0,
        }
    }
}

/// A connection in the table; stale once the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) idx: u32,
    serial: u32,
}

/// One of a connection's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dialler,
    Acceptor,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// What travels in a lane.
#[derive(Debug)]
pub(crate) enum Item {
    /// The dial was accepted.
    Accepted,
    /// The dial was refused.
    Refused,
    /// A frame.
    Bytes(Vec<u8>),
    /// The sender closed.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Dialling,
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) conn: ConnId,
    pub(crate) phase: Phase,
}

/// What travels from one end to the other.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) last_arrival: Moment,
    /// What could not arrive, in order.
    pub(crate) waiting: VecDeque<Item>,
    /// Since when the sender has had no acknowledgement.
    pub(crate) silent_since: Option<Moment>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    serial: u32,
    ends: [End; 2],
    lanes: [Lane; 2],
    pub(crate) framing: Framing,
}

impl Connection {
    pub(crate) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.ends[0],
            Side::Acceptor => &mut self.ends[1],
        }
    }

    /// The lane that an end sends on.
    pub(crate) fn lane_from(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Dialler => &mut self.lanes[0],
            Side::Acceptor => &mut self.lanes[1],
        }
    }

    /// The hosts of the lane that an end sends on: from, to.
    pub(crate) fn way_from(&self, side: Side) -> (HostId, HostId) {
        match side {
            Side::Dialler => (self.ends[0].host, self.ends[1].host),
            Side::Acceptor => (self.ends[1].host, self.ends[0].host),
        }
    }
}

/// A directed link's trouble.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    cuts: u32,
    slowed_by: Duration,
}

/// Links and connections.
#[derive(Debug)]
pub struct Network {
    /// How it behaves.
    pub profile: NetworkProfile,
    hosts: usize,
    links: Vec<Link>,
    connections: Vec<Connection>,
    free: Vec<u32>,
    pub(crate) prng: Prng,
}

impl Network {
    pub(crate) fn new(profile: NetworkProfile, prng: Prng) -> Self {
        Self {
            profile,
            hosts: 0,
            links: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            prng,
        }
    }

    pub(crate) fn host_added(&mut self) {
        let before = self.hosts;
        self.hosts += 1;
        let mut links = vec![Link::default(); self.hosts * self.hosts];
        for from in 0..before {
            for to in 0..before {
                links[from * self.hosts + to] = self.links[from * before + to];
            }
        }
        self.links = links;
    }

    fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        &mut self.links[from.idx() * self.hosts + to.idx()]
    }

    /// Whether nothing arrives from one host at another.
    #[must_use]
    pub fn is_cut(&self, from: HostId, to: HostId) -> bool {
        from != to && self.links[from.idx() * self.hosts + to.idx()].cuts > 0
    }

    pub(crate) fn cut(&mut self, from: HostId, to: HostId) {
        self.link(from, to).cuts += 1;
    }

    pub(crate) fn mend(&mut self, from: HostId, to: HostId) {
        let link = self.link(from, to);
        link.cuts = link.cuts.checked_sub(1).expect("a cut link is mended");
    }

    pub(crate) fn slow(&mut self, from: HostId, to: HostId, by: Duration) {
        self.link(from, to).slowed_by = by;
    }

    /// The delay of the next frame on a link, in nanoseconds.
    pub(crate) fn delay(&mut self, from: HostId, to: HostId) -> u64 {
        if from == to {
            return 1 + self.prng.below(LOOPBACK_NANOS_MAX);
        }
        let profile = &self.profile;
        let shortest = nanos(profile.delay_min);
        let mut delay = shortest + self.prng.below(1 + nanos(profile.delay_max) - shortest);
        if profile.spike_per_mille > 0 && self.prng.chance(profile.spike_per_mille, 1000) {
            delay += self.prng.below(1 + nanos(profile.spike_max));
        }
        delay + nanos(self.links[from.idx() * self.hosts + to.idx()].slowed_by)
    }

    /// A new connection, dialled and not answered.
    pub(crate) fn dial(&mut self, from: HostId, conn: ConnId, to: HostId) -> Line {
        let dialler = End { host: from, conn, phase: Phase::Dialling };
        let acceptor =
            End { host: to, conn: ConnId(ConnId::ACCEPTED_FROM), phase: Phase::Dialling };
        let ends = [dialler, acceptor];
        if let Some(idx) = self.free.pop() {
            let connection = &mut self.connections[idx as usize];
            connection.ends = ends;
            return Line { idx, serial: connection.serial };
        }
        let idx = u32::try_from(self.connections.len()).expect("fewer connections than 2^32");
        let lanes = [Lane::default(), Lane::default()];
        self.connections.push(Connection { serial: 0, ends, lanes, framing: Framing::Frames });
        Line { idx, serial: 0 }
    }

    /// The connection, unless it is gone.
    pub(crate) fn get(&mut self, line: Line) -> Option<&mut Connection> {
        let connection = &mut self.connections[line.idx as usize];
        (connection.serial == line.serial).then_some(connection)
    }

    /// Closes one end; when both are, the connection is gone with all that is in it.
    pub(crate) fn close(&mut self, line: Line, side: Side) {
        let Some(connection) = self.get(line) else { return };
        connection.end(side).phase = Phase::Closed;
        if connection.ends.iter().all(|end| end.phase == Phase::Closed) {
            connection.serial = connection.serial.wrapping_add(1);
            connection.lanes = [Lane::default(), Lane::default()];
            self.free.push(line.idx);
        }
    }

    /// The living connections between two hosts, in the order of the table.
    pub(crate) fn between(&self, one: HostId, other: HostId) -> Vec<Line> {
        self.living(|ends| {
            let hosts = (ends[0].host, ends[1].host);
            hosts == (one, other) || hosts == (other, one)
        })
    }

    /// The living connections of a host.
    pub(crate) fn of(&self, host: HostId) -> Vec<Line> {
        self.living(|ends| ends.iter().any(|end| end.host == host))
    }

    fn living(&self, is_meant: impl Fn(&[End; 2]) -> bool) -> Vec<Line> {
        let lines = self.connections.iter().zip(0..).filter(|(connection, _)| {
            connection.ends.iter().any(|end| end.phase != Phase::Closed)
                && is_meant(&connection.ends)
        });
        lines.map(|(connection, idx)| Line { idx, serial: connection.serial }).collect()
    }
}

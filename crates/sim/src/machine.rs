//! What is simulated: the interface between a deterministic state machine and its edge.
//!
//! A machine is stepped with one [`Input`] at a time and answers with [`Outputs`]. It owns no socket, no
//! file, no clock, no thread, no randomness but the seed it was made with; so the same machine runs under
//! the simulator and over real sockets.
//!
//! **Connections** are named by a [`ConnId`]. The machine chooses the id of one that it dials (below
//! [`ConnId::ACCEPTED_FROM`], never used before in this life); the edge names those it accepts. After
//! [`Input::Closed`] or [`Output::Close`] an id means nothing any more: what is sent to it vanishes, as
//! bytes do that are written to a socket whose reset was not yet read.
//!
//! **Files**: [`Output::Append`] is in order per file and lasts only after a later [`Output::Sync`] was answered
//! by [`Input::Synced`]. Requests of one machine are answered in order.

use core::any::Any;

use ringhold_types::time::{Instant, Now};

use crate::disk::Disk;
use crate::history::{CallId, Operation, Outcome};

/// A host of the world: an index, given in the order in which hosts are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

impl HostId {
    /// The host's place in a list of all hosts.
    #[must_use]
    pub fn idx(self) -> usize {
        self.0 as usize
    }
}

impl core::fmt::Display for HostId {
    fn fmt(&self, text: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(text, "h{}", self.0)
    }
}

/// Where a machine listens: a host and a port of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The host.
    pub host: HostId,
    /// The port, 1 and up.
    pub port: u16,
}

/// A connection as one machine names it; means nothing to another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

impl ConnId {
    /// Ids from here on are given by the edge to connections that it accepts.
    pub const ACCEPTED_FROM: u32 = 1 << 31;
}

/// Names a request to the disk, chosen by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub u64);

/// How the frames of a port behave on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Each frame arrives as it was sent: whole, once, in order.
    Frames,
    /// Bytes: a frame may arrive in pieces.
    Stream,
    /// Whole frames that may be lost, doubled and reordered, if the network's profile says so.
    Datagrams,
}

/// What happens to a machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// The process started; always the first input, and only once.
    Start,
    /// Time passed: every tick period of local time, and when a wake-up was asked for. May be late.
    Tick,
    /// A dialled connection is open.
    Opened(ConnId),
    /// A dialled connection was refused: the host is there, nobody listens.
    Refused(ConnId),
    /// Somebody dialled this port.
    Accepted {
        /// The new connection.
        conn: ConnId,
        /// The port that was dialled.
        port: u16,
        /// The host it came from, as a socket's peer address tells.
        from: HostId,
    },
    /// A connection ended: closed or reset by the other side, timed out, or never opened.
    Closed(ConnId),
    /// Bytes arrived.
    Received {
        /// The connection.
        conn: ConnId,
        /// A frame, or for a [`Framing::Stream`] port some bytes.
        bytes: &'a [u8],
    },
    /// Everything appended to the file before this request is durable, or the file was replaced.
    Synced(DiskId),
    /// The request failed; for a sync or replacement nothing is known about what became durable.
    DiskFailed(DiskId),
    /// The answer to [`Output::Read`]: the whole file, empty if there is none.
    Contents {
        /// The request.
        id: DiskId,
        /// The file's bytes.
        bytes: &'a [u8],
    },
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Output {
    /// Accept connections on a port from now on.
    Listen {
        /// The port.
        port: u16,
        /// How its frames behave.
        framing: Framing,
    },
    /// Dial; answered by `Opened`, `Refused` or `Closed` (time-out).
    Connect {
        /// The id that the machine chose.
        conn: ConnId,
        /// Whom to dial.
        address: Address,
    },
    /// Send a frame.
    Send {
        /// The connection.
        conn: ConnId,
        /// The frame; from [`Outputs::buffer`], so that its memory is used again.
        bytes: Vec<u8>,
    },
    /// Close a connection in order: what was sent before arrives. There is no answer.
    Close(ConnId),
    /// Step with [`Input::Tick`] at this time of the local clock, or soon after. The earliest wish counts.
    WakeAt(Instant),
    /// Append to a file, making it if there is none.
    Append {
        /// The file.
        file: &'static str,
        /// What to append.
        bytes: Vec<u8>,
    },
    /// Make what was appended to the file durable.
    Sync {
        /// The file.
        file: &'static str,
        /// The request.
        id: DiskId,
    },
    /// Replace a file's contents and make that durable (write aside, sync, rename, sync the folder): after a
    /// crash the file is the old or the new one, never a mixture.
    Replace {
        /// The file.
        file: &'static str,
        /// Its new contents.
        bytes: Vec<u8>,
        /// The request.
        id: DiskId,
    },
    /// Read a file.
    Read {
        /// The file.
        file: &'static str,
        /// The request.
        id: DiskId,
    },
    /// End this process, as `exit` would; its host restarts it as after a kill.
    Exit,
    /// A client begins an operation. The oracle's, not an effect.
    Invoked {
        /// Names the call among those of this client.
        call: CallId,
        /// What is asked for.
        operation: Operation,
    },
    /// A client knows what became of an operation. The oracle's, not an effect.
    Returned {
        /// The call.
        call: CallId,
        /// What the client was told.
        outcome: Outcome,
    },
    /// Count a named event for this seed's coverage.
    Cover(&'static str),
    /// A line for the trace; made only when [`Outputs::is_traced`].
    Note(String),
}

/// Collects what a machine wants done in one step. Owned and reused by the edge.
#[derive(Debug, Default)]
pub struct Outputs {
    pub(crate) list: Vec<Output>,
    pub(crate) spare: Vec<Vec<u8>>,
    pub(crate) is_traced: bool,
}

/// Buffers kept for use again; more are freed.
const SPARE_MAX: usize = 1024;
/// Capacity in bytes up to which a buffer is kept.
const SPARE_LEN_MAX: usize = 64 * 1024;

impl Outputs {
    /// Adds one output; they are carried out in order after the step.
    pub fn push(&mut self, output: Output) {
        self.list.push(output);
    }

    /// An empty buffer for a frame or an append, from frames that were delivered.
    #[must_use]
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Sends a frame, by [`Output::Send`].
    pub fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        self.list.push(Output::Send { conn, bytes });
    }

    /// Dials, by [`Output::Connect`].
    pub fn connect(&mut self, conn: ConnId, address: Address) {
        self.list.push(Output::Connect { conn, address });
    }

    /// Counts a named event, by [`Output::Cover`].
    pub fn cover(&mut self, event: &'static str) {
        self.list.push(Output::Cover(event));
    }

    /// Whether somebody reads the trace; notes need not be made otherwise.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.is_traced
    }

    /// A line for the trace; `line` is called only if somebody reads it.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.is_traced {
            self.list.push(Output::Note(line()));
        }
    }

    pub(crate) fn give_back(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && bytes.capacity() <= SPARE_LEN_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

/// A deterministic state machine.
pub trait Machine: Any {
    /// Applies one input. `now` was read after the input was received; it never goes back within a life.
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs);
}

impl dyn Machine {
    /// The machine as its own type, for a system's checks.
    #[must_use]
    pub fn downcast<M: Machine>(&self) -> Option<&M> {
        (self as &dyn Any).downcast_ref()
    }
}

impl core::fmt::Debug for dyn Machine {
    fn fmt(&self, text: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        text.write_str("Machine")
    }
}

/// What a process finds when it starts.
#[derive(Debug)]
pub struct Birth<'a> {
    /// Its host.
    pub host: HostId,
    /// How many processes ran on this host before.
    pub incarnation: u32,
    /// What the host's disk kept.
    pub disk: &'a Disk,
    /// The seed of all its randomness.
    pub seed: u64,
}

/// Makes the machine of a host, each time its process starts.
pub type Factory = Box<dyn Fn(&Birth<'_>) -> Box<dyn Machine>>;

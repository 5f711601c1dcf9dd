//! One client connection of a worker: its socket, its session, and what could not be sent yet.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use ringhold_node::clients::{Clients, Unsent as UnsentLens};
use ringhold_node::held::Held;
use ringhold_node::output::{Insert, Output};
use ringhold_node::session::Session;
use ringhold_store::large::Large;
use ringhold_types::time::{Duration, Instant};

use super::pace::{Coming, Pace};

/// The most slices that one write hands to the kernel (`IOV_MAX` is 1024 on Linux).
const SLICES_MAX: usize = 64;

/// A client's socket.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.register(stream, token, Interest::READABLE),
            Self::Unix(stream) => registry.register(stream, token, Interest::READABLE),
        }
    }

    /// Asks to be told when there is room to write again, or no longer.
    pub(crate) fn want_writable(
        &mut self,
        registry: &Registry,
        token: Token,
        is_wanted: bool,
    ) -> io::Result<()> {
        let interest =
            if is_wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        match self {
            Self::Tcp(stream) => registry.reregister(stream, token, interest),
            Self::Unix(stream) => registry.reregister(stream, token, interest),
        }
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.deregister(stream),
            Self::Unix(stream) => registry.deregister(stream),
        }
    }

    /// The client's address and ours, as `address:port`; that of a Unix socket is its path with port 0, as in Redis.
    pub(crate) fn addresses(&self) -> (Box<str>, Box<str>) {
        match self {
            Self::Tcp(stream) => {
                let text = |address: io::Result<std::net::SocketAddr>| {
                    address.map_or_else(|_| Box::from("?:0"), |address| address.to_string().into())
                };
                (text(stream.peer_addr()), text(stream.local_addr()))
            }
            Self::Unix(stream) => {
                let path = stream.local_addr().ok().and_then(|address| {
                    address.as_pathname().map(|path| format!("{}:0", path.display()))
                });
                let path: Box<str> = path.unwrap_or_else(|| "?:0".to_owned()).into();
                (path.clone(), path)
            }
        }
    }

    /// The number of its descriptor.
    pub(crate) fn descriptor(&self) -> i32 {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    /// Tells the client that nothing more will come.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    pub(crate) fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            Self::Unix(stream) => stream.write_vectored(slices),
        }
    }
}

/// Something that waits to be sent.
#[derive(Debug)]
enum Unsent {
    Bytes { bytes: Vec<u8>, sent: usize },
    Large { value: Arc<Large>, at: usize, end: usize },
}

/// The rest of the life of a connection that is answered and whose client may still send: see `Worker::linger`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linger {
    /// When it is closed in any case.
    pub(crate) until: Instant,
    /// How many bytes are still dropped; with one more it is closed.
    pub(crate) left: usize,
}

/// One client connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts about the socket, in any combination")]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) session: Session,
    /// What could not be sent, oldest first. While it is not empty nothing more is read: a client that never
    /// reads its answers is not listened to either.
    unsent: VecDeque<Unsent>,
    /// The bytes of `unsent` that are in memory of the connection's own.
    unsent_len: usize,
    /// What the account of all connections has of them.
    charged_len: usize,
    /// The number of pieces in `unsent` that others were told of.
    told_pieces: usize,
    /// Whether the kernel may hold more bytes for us: edge-triggered readiness is told only once.
    pub(crate) is_readable: bool,
    /// Whether the client was said to have shut its side down: there is an end to be read, however little comes before
    /// it, and it is not told again.
    pub(crate) may_end: bool,
    /// Whether it is in the queue of connections to look at.
    pub(crate) is_queued: bool,
    /// Whether writability was asked for.
    is_waiting_to_write: bool,
    /// Whether the client has shut its side down: nothing more will come.
    pub(crate) is_read_closed: bool,
    /// When bytes last came or went.
    pub(crate) active: Instant,
    /// How fast its present request comes in.
    pace: Pace,
    /// When it is closed, if all that is left is to drop what its client still sends.
    pub(crate) linger: Option<Linger>,
}

/// What a flush left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is with the kernel.
    All,
    /// The kernel takes no more for now.
    Blocked,
    /// The connection is broken.
    Broken,
}

impl Connection {
    pub(crate) fn new(stream: Stream, session: Session, now: Instant) -> Self {
        Self {
            stream,
            session,
            unsent: VecDeque::new(),
            unsent_len: 0,
            charged_len: 0,
            told_pieces: 0,
            is_readable: true,
            may_end: false,
            is_queued: false,
            is_waiting_to_write: false,
            is_read_closed: false,
            active: now,
            pace: Pace::new(now),
            linger: None,
        }
    }

    /// Whether answers wait to be sent.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether it is to be closed: it stands still in the middle of a request or an answer for longer than `stall_max`,
    /// its request comes too slowly, or it was silent for longer than `idle_max`. To be asked every now and then.
    pub(crate) fn is_over(
        &mut self,
        now: Instant,
        stall_max: Duration,
        idle_max: Option<Duration>,
    ) -> bool {
        if self.session.is_paused() {
            // It waits for us.
            return false;
        }
        let idle = now.since(self.active);
        let is_coming = !self.session.is_between_requests();
        if (is_coming || self.is_blocked()) && idle > stall_max {
            return true;
        }
        let coming = (is_coming && !self.is_blocked() && !self.session.has_work()).then(|| {
            Coming { turns_served: self.session.turns_served(), len: self.session.received_len() }
        });
        self.pace.is_too_slow((now, self.active), coming, stall_max)
            || idle_max.is_some_and(|most| idle > most)
    }

    /// Has `account` know what waits to be sent, and others what the connection holds; false when that is too much.
    pub(crate) fn charge(&mut self, account: &Held, clients: &Clients) -> bool {
        let pieces = self.unsent.len();
        if self.unsent_len == self.charged_len && pieces == self.told_pieces {
            return true;
        }
        self.told_pieces = pieces;
        self.tell_unsent(clients);
        let before = std::mem::replace(&mut self.charged_len, self.unsent_len);
        let is_granted = account.change(before, self.unsent_len);
        if !is_granted {
            self.charged_len = 0;
        }
        is_granted
    }

    fn tell_unsent(&self, clients: &Clients) {
        let Some(record) = self.session.record() else { return };
        let large_len = |part: &Unsent| match part {
            Unsent::Bytes { .. } => 0,
            Unsent::Large { at, end, .. } => end - at,
        };
        record.hold_unsent(UnsentLens {
            len: self.unsent_len,
            large_len: self.unsent.iter().map(large_len).sum(),
            pieces: self.unsent.len(),
        });
        clients.note_buffers(0, self.unsent_len);
    }

    /// Gives back what `account` has of it; to be called before it is dropped.
    pub(crate) fn discharge(&mut self, account: &Held) {
        let is_given_back = account.change(std::mem::take(&mut self.charged_len), 0);
        debug_assert!(is_given_back, "nothing is always granted");
    }

    /// Sends the part `bytes` of `output` with the large values in between, and keeps what does not go.
    pub(crate) fn send(
        &mut self,
        output: &Output,
        Range { start: from, end: to }: Range<usize>,
        inserts: &[Insert],
        now: Instant,
    ) -> Flushed {
        if self.unsent.is_empty() && inserts.is_empty() {
            let bytes = &output.bytes[from..to];
            return match self.stream.write(bytes) {
                Ok(sent) if sent == bytes.len() => Flushed::All,
                Ok(sent) => {
                    self.keep_bytes(&bytes[sent..]);
                    Flushed::Blocked
                }
                Err(error) if is_later(&error) => {
                    self.keep_bytes(bytes);
                    Flushed::Blocked
                }
                Err(_) => Flushed::Broken,
            };
        }
        let mut at = from;
        for insert in inserts {
            self.keep_bytes(&output.bytes[at..insert.at]);
            self.unsent.push_back(Unsent::Large {
                value: Arc::clone(&insert.value),
                at: insert.start,
                end: insert.start + insert.len,
            });
            at = insert.at;
        }
        self.keep_bytes(&output.bytes[at..to]);
        self.flush(now)
    }

    fn keep_bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.unsent_len += bytes.len();
        if let Some(Unsent::Bytes { bytes: last, .. }) = self.unsent.back_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.unsent.push_back(Unsent::Bytes { bytes: bytes.to_vec(), sent: 0 });
        }
    }

    /// Sends what was kept, as far as the kernel takes it.
    pub(crate) fn flush(&mut self, now: Instant) -> Flushed {
        while !self.unsent.is_empty() {
            let mut slices: [IoSlice<'_>; SLICES_MAX] = [IoSlice::new(&[]); SLICES_MAX];
            let count = gather(&self.unsent, &mut slices);
            match self.stream.write_vectored(&slices[..count]) {
                Ok(sent) => self.sent(sent, now),
                Err(error) if is_later(&error) => return Flushed::Blocked,
                Err(_) => return Flushed::Broken,
            }
        }
        Flushed::All
    }

    fn sent(&mut self, mut count: usize, now: Instant) {
        if count > 0 {
            // Who reads a long answer slowly is not idle.
            self.active = now;
        }
        while count > 0 {
            let Some(first) = self.unsent.front_mut() else { return };
            let left = match first {
                Unsent::Bytes { bytes, sent } => bytes.len() - *sent,
                Unsent::Large { at, end, .. } => *end - *at,
            };
            let taken = left.min(count);
            count -= taken;
            if taken == left {
                if let Some(Unsent::Bytes { bytes, .. }) = self.unsent.pop_front() {
                    self.unsent_len -= bytes.len();
                }
                continue;
            }
            match first {
                Unsent::Bytes { sent, .. } => *sent += taken,
                Unsent::Large { at, .. } => *at += taken,
            }
        }
    }

    /// Keeps the poll's interest in step with whether answers wait.
    pub(crate) fn update_interest(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let is_wanted = self.is_blocked();
        if is_wanted != self.is_waiting_to_write {
            self.is_waiting_to_write = is_wanted;
            self.stream.want_writable(registry, token, is_wanted)?;
        }
        Ok(())
    }
}

/// Fills `slices` with the first bytes that wait; how many slices there are.
fn gather<'a>(unsent: &'a VecDeque<Unsent>, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
    let mut count = 0;
    for part in unsent {
        match part {
            Unsent::Bytes { bytes, sent } => {
                slices[count] = IoSlice::new(&bytes[*sent..]);
                count += 1;
            }
            Unsent::Large { value, at, end } => {
                let mut at = *at;
                while at < *end && count < SLICES_MAX {
                    let chunk = value.chunk_at(at);
                    let chunk = &chunk[..chunk.len().min(*end - at)];
                    at += chunk.len();
                    slices[count] = IoSlice::new(chunk);
                    count += 1;
                }
            }
        }
        if count == SLICES_MAX {
            break;
        }
    }
    count
}

/// Whether the system only says "not now".
pub(crate) fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

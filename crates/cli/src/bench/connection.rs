//! One loaded connection: a batch going out, requests that wait, the start of an answer.
//!
//! Readiness is edge-triggered. A read that does not fill the buffer has emptied the socket, and the
//! next byte raises a new edge (epoll(7), question 9), so no read is spent on `WouldBlock`.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use ringhold_wire::resp::reply::{Decoder, Item, Limits};

use crate::bench::protocol::{Codec, Operation, Progress, Sink, Waiting};
use crate::bench::tally::Tally;

/// How long opening a connection and its greeting may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// What a greeting may be answered with: a line.
const GREETING_LIMITS: Limits = Limits { bulk_len_max: 1024, elements_max: 0 };

/// A connection and what is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    /// How much of `out` is sent.
    sent_len: usize,
    /// The beginning of an answer whose rest has not come.
    partial: Vec<u8>,
    progress: Progress,
    /// Requests without an answer, oldest first.
    pub(crate) waiting: VecDeque<Waiting>,
}

/// Opens a connection to `address`, shows the greeting and waits for its answer.
pub(crate) fn open(address: SocketAddr, greeting: &[u8]) -> anyhow::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect_timeout(&address, OPEN_TIMEOUT)
        .with_context(|| format!("no connection to {address}"))?;
    stream.set_nodelay(true)?;
    if !greeting.is_empty() {
        stream.set_read_timeout(Some(OPEN_TIMEOUT))?;
        stream.write_all(greeting)?;
        let (mut decoder, mut answer) = (Decoder::new(GREETING_LIMITS), Vec::new());
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).context("no answer to the password")?;
            answer.push(byte[0]);
            let reply = decoder.decode(&answer).context("no answer to the password")?;
            match reply.map(|reply| reply.head) {
                None => {}
                Some(Item::Simple(b"OK")) => break,
                Some(Item::Error(text)) => {
                    bail!("the password is refused: {}", String::from_utf8_lossy(text));
                }
                Some(other) => bail!("the password is answered with {other:?}"),
            }
        }
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Connection {
    /// Opens one and registers it as `token`.
    pub(crate) fn open(
        address: SocketAddr,
        codec: &Codec,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        let mut stream = TcpStream::from_std(open(address, codec.greeting())?);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            out: Vec::new(),
            sent_len: 0,
            partial: Vec::new(),
            progress: Progress::new(),
            waiting: VecDeque::new(),
        })
    }

    /// Adds a request to the batch.
    pub(crate) fn push(&mut self, codec: &Codec, number: u64, operation: Operation, since_ns: u64) {
        let previous = if self.out.is_empty() { None } else { self.waiting.back_mut() };
        codec.request(number, operation, previous, &mut self.out);
        self.waiting.push_back(Waiting { number, since_ns, operation, is_last: true });
    }

    /// Whether the last batch has left, so that a next one may be begun.
    pub(crate) fn is_idle_out(&self) -> bool {
        self.out.is_empty()
    }

    /// Sends what the socket takes of the batch; the rest goes with the next writable event.
    ///
    /// # Errors
    ///
    /// A name for what went wrong; the connection is of no more use.
    pub(crate) fn send(&mut self) -> Result<(), &'static str> {
        while self.sent_len < self.out.len() {
            match self.stream.write(&self.out[self.sent_len..]) {
                Ok(0) => return Err("closed"),
                Ok(len) => self.sent_len += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err("reset"),
            }
        }
        self.out.clear();
        self.sent_len = 0;
        Ok(())
    }

    /// Reads and checks what has come, by way of `buffer`. With `is_ending` it reads up to the end:
    /// one event told of the last bytes and of the end together, and there will be no other.
    ///
    /// # Errors
    ///
    /// A name for what went wrong; the connection is of no more use.
    pub(crate) fn receive(
        &mut self,
        codec: &Codec,
        buffer: &mut [u8],
        tally: &mut Tally,
        now_ns: impl Fn() -> u64,
        is_ending: bool,
    ) -> Result<(), &'static str> {
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) => return Err("closed"),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err("reset"),
            };
            let mut sink = Sink {
                progress: &mut self.progress,
                waiting: &mut self.waiting,
                tally,
                now_ns: now_ns(),
            };
            let read = &buffer[..len];
            if self.partial.is_empty() {
                let used = codec.answers(read, &mut sink).map_err(|broken| broken.kind())?;
                self.partial.extend_from_slice(&read[used..]);
            } else {
                self.partial.extend_from_slice(read);
                let used =
                    codec.answers(&self.partial, &mut sink).map_err(|broken| broken.kind())?;
                self.partial.drain(..used);
            }
            if len < buffer.len() && !is_ending {
                return Ok(());
            }
        }
    }

    /// Takes the connection out of `registry`. Its requests stay unanswered; returns how many.
    pub(crate) fn close(&mut self, registry: &Registry) -> u64 {
        // The socket is dropped right after, which deregisters it as well.
        drop(registry.deregister(&mut self.stream));
        u64::try_from(self.waiting.len()).unwrap_or(u64::MAX)
    }
}

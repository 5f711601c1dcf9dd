//! The listeners of a worker: letting clients in, and letting nobody in any more.

use std::io;
use std::sync::Arc;

use ringhold_node::clients::ClientRecord;
use ringhold_node::execute::http;
use ringhold_node::output::Output;
use ringhold_node::session::Session;
use ringhold_types::time::Now;

use super::connection::{Connection, Stream};
use super::listen::BACKLOG;
use super::worker_loop::{Speaks, Worker};

/// The most connections accepted from one listener in one turn, so that a flood of new ones cannot starve the old.
const ACCEPTS_PER_TURN: usize = 64;

/// A listening socket.
pub(super) enum AnyListener {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl AnyListener {
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => socket.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(socket) => socket.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

impl Worker {
    /// Lets in who waits at a listener, as many as a turn may.
    pub(super) fn accept(&mut self, listener: usize, now: Now) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((socket, speaks)) = self.listeners.get(listener) else { return };
            let (accepted, speaks) = (socket.accept(), *speaks);
            match accepted {
                Ok(stream) => self.welcome(stream, speaks, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client went away, or descriptors are used up: the queue is looked at again with the next
                // tick, since its readiness is not told twice.
                Err(_) => {
                    if !self.accepts_due.contains(&listener) {
                        self.accepts_due.push(listener);
                    }
                    return;
                }
            }
        }
        if !self.accepts_left.contains(&listener) {
            self.accepts_left.push(listener);
        }
    }

    /// Lets in whom the kernel has accepted for us already, and closes the listeners: from now on it refuses.
    pub(super) fn close_listeners(&mut self, now: Now) {
        for (socket, speaks) in std::mem::take(&mut self.listeners) {
            for _ in 0..BACKLOG {
                let Ok(stream) = socket.accept() else { break };
                self.welcome(stream, speaks, now);
            }
        }
    }

    fn welcome(&mut self, stream: Stream, speaks: Speaks, now: Now) {
        if let Stream::Tcp(socket) = &stream {
            super::socket::tune(socket);
        }
        let Some(client_id) = self.shared.admit(self.idx) else {
            return self.turn_away(stream, speaks);
        };
        let session = match speaks {
            Speaks::Http => Session::http(),
            Speaks::Resp => {
                let (address, local) = stream.addresses();
                let (descriptor, addresses) = (stream.descriptor(), (address, local));
                let record =
                    ClientRecord::of_descriptor(client_id, addresses, now.unix(), descriptor);
                let record = Arc::new(record);
                self.shared.node.clients.add(Arc::clone(&record));
                Session::resp(record, self.shared.node.passwords.are_required())
            }
        };
        let idx = self.connections.insert(Connection::new(stream, session, now.instant));
        let token = self.token_of(idx);
        let registered = self
            .connections
            .get(idx)
            .map(|connection| connection.stream.register(self.poll.registry(), token));
        if !matches!(registered, Some(Ok(()))) {
            self.close(idx);
            return;
        }
        self.enqueue(idx);
    }

    /// Tells a client that there are too many, and closes its connection.
    fn turn_away(&self, mut stream: Stream, speaks: Speaks) {
        let mut answer = Output::default();
        match speaks {
            Speaks::Http => {
                http::refused(&http::too_many_connections(), &self.shared.node, &mut answer);
            }
            Speaks::Resp => {
                answer.bytes.extend_from_slice(b"-ERR max number of clients reached\r\n");
            }
        }
        // The send buffer of a new connection takes it, or the client is gone: dropping the stream closes it.
        drop(stream.write(&answer.bytes).and_then(|_| stream.end_writing()));
    }
}

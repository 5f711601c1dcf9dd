//! How a worker's connections end.

use ringhold_node::output::Output;
use ringhold_types::time::{Duration, Now};

use super::connection::{Connection, Flushed, Linger, is_later};
use super::worker_loop::Worker;
use crate::control::HandedOver;
use crate::shared::Shared;

/// Connections looked at per tick for idle time-outs: few enough that nobody notices, and 10,000 are gone through in four
/// seconds.
const IDLE_CHECKS: usize = 256;
/// How long what a client still sends after its last answer is dropped before the connection is closed.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// How many bytes of it are dropped; with more the connection is closed at once.
const LINGER_LEN_MAX: usize = 1024 * 1024;
/// How much of it is read at once, in bytes.
const DROPPED_LEN: usize = 16 * 1024;

impl Worker {
    /// Gives a connection to the control plane; every answer before has left.
    pub(super) fn hand_over(&mut self, idx: usize) {
        let Some(mut connection) = self.connections.remove(idx) else { return };
        let bytes = connection.session.take_leftover();
        end(&mut connection, &self.shared);
        if connection.stream.deregister(self.poll.registry()).is_err() {
            self.shared.left();
            return;
        }
        self.control.take(HandedOver { stream: connection.stream, bytes }, &self.shared);
    }

    /// Ends a connection whose last answer has left. What its client still sends is read and dropped for a while: a
    /// socket that is closed with unread bytes is reset, and then the client may lose the answer (RFC 9112, 9.6).
    pub(super) fn linger(&mut self, idx: usize, now: Now) {
        let Some(connection) = self.connections.get(idx) else { return };
        if connection.linger.is_some() {
            return self.drop_input(idx);
        }
        if connection.is_read_closed || connection.stream.end_writing().is_err() {
            return self.close(idx);
        }
        let until = now.instant.after(LINGER_TIME);
        connection.linger = Some(Linger { until, left: LINGER_LEN_MAX });
        end(connection, &self.shared);
        self.lingering.push_back((until, idx));
        if connection.is_readable {
            self.enqueue(idx);
        }
    }

    /// Drops what a client has sent after its last answer, until it ends.
    fn drop_input(&mut self, idx: usize) {
        let Some(connection) = self.connections.get(idx) else { return };
        let left = connection.linger.as_ref().map_or(0, |linger| linger.left);
        let mut dropped = [0; DROPPED_LEN];
        match connection.stream.read(&mut dropped) {
            Ok(len) if (1..=left).contains(&len) => {
                connection.is_readable = len == dropped.len() || connection.may_end;
                if let Some(linger) = &mut connection.linger {
                    linger.left -= len;
                }
            }
            Err(error) if is_later(&error) => {
                connection.is_readable = error.kind() == std::io::ErrorKind::Interrupted;
            }
            Ok(_) | Err(_) => return self.close(idx),
        }
        if connection.is_readable {
            self.enqueue(idx);
        }
    }

    /// Closes a connection at once.
    pub(super) fn close(&mut self, idx: usize) {
        if let Some(mut connection) = self.connections.remove(idx) {
            if connection.linger.is_none() {
                end(&mut connection, &self.shared);
            }
            // An error here means that the descriptor is no longer registered, which is what is wanted.
            drop(connection.stream.deregister(self.poll.registry()));
            self.shared.left();
        }
    }

    /// Closes those that were killed.
    pub(super) fn close_killed(&mut self) {
        let kills = self.shared.node.clients.kills();
        if std::mem::replace(&mut self.kills_seen, kills) == kills {
            return;
        }
        let is_killed = |connection: &Connection| {
            connection.session.record().is_some_and(|record| record.is_killed())
        };
        for idx in 0..self.connections.end() {
            // What is still to be sent to one that was killed is not waited for.
            if self.connections.get(idx).is_some_and(|connection| is_killed(connection)) {
                self.close(idx);
            }
        }
    }

    /// Closes those that have lingered long enough, and some of those that stand still.
    pub(super) fn close_idle(&mut self, now: Now) {
        while let Some((until, idx)) =
            self.lingering.pop_front_if(|(until, _)| *until <= now.instant)
        {
            // Its number may be another's by now.
            let is_same = |linger: Linger| linger.until == until;
            if self.connections.get(idx).and_then(|it| it.linger).is_some_and(is_same) {
                self.close(idx);
            }
        }
        let count = self.connections.end();
        let (idle_max, stall_max) = (self.shared.idle_timeout(), self.shared.stall_timeout);
        for _ in 0..IDLE_CHECKS.min(count) {
            self.idle_cursor = (self.idle_cursor + 1) % count;
            let idx = self.idle_cursor;
            let connection = self.connections.get(idx);
            if connection.is_some_and(|it| it.is_over(now.instant, stall_max, idle_max)) {
                self.give_up(idx, now);
            }
        }
    }

    /// Closes one that stands still; who is in the middle of a request is told why.
    fn give_up(&mut self, idx: usize, now: Now) {
        let Some(connection) = self.connections.get(idx) else { return };
        let is_silent = connection.session.is_between_requests() || connection.is_blocked();
        if is_silent || connection.linger.is_some() {
            return self.close(idx);
        }
        let mut out = Output::default();
        connection.session.give_up(&self.shared.node, &mut out);
        match connection.send(&out, 0..out.bytes.len(), &[], now.instant) {
            Flushed::All => self.linger(idx, now),
            Flushed::Blocked | Flushed::Broken => self.close(idx),
        }
    }
}

/// Gives back what a connection holds beyond its socket.
fn end(connection: &mut Connection, shared: &Shared) {
    connection.session.end(&shared.shards, &shared.node);
    connection.discharge(&shared.unsent);
    if let Some(record) = connection.session.record() {
        shared.node.clients.remove(record.id);
    }
}

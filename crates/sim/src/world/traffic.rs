//! Connections: dialling, frames, closing, resets, silence.

use ringhold_types::time::Duration;

use crate::host::Delivery;
use crate::machine::{Address, ConnId, Framing, HostId};
use crate::network::{Item, Line, Phase, RETRANSMIT_MAX, Side};
use crate::time::{Moment, nanos};
use crate::world::{Event, World};

impl World {
    /// Cuts the link from one host to another: nothing arrives until it is mended as often as it was cut.
    pub fn cut(&mut self, from: HostId, to: HostId) {
        self.note(|| format!("cut {from} to {to}"));
        self.network.cut(from, to);
    }

    /// Takes one cut away; what waited arrives soon.
    pub fn mend(&mut self, from: HostId, to: HostId) {
        self.note(|| format!("mend {from} to {to}"));
        self.network.mend(from, to);
        for line in self.network.between(from, to) {
            self.send_again(line);
        }
    }

    /// Delays every frame from one host to another by this much more.
    pub fn slow(&mut self, from: HostId, to: HostId, by: Duration) {
        self.note(|| format!("slow {from} to {to} by {by:?}"));
        self.network.slow(from, to, by);
    }

    /// Resets the connections between two hosts. Each end learns of it at a time of its own; one in four connections
    /// tells only one end, as a middlebox may.
    pub fn reset_between(&mut self, one: HostId, other: HostId) {
        self.note(|| format!("reset {one} and {other}"));
        for line in self.network.between(one, other) {
            let (tells_dialler, tells_acceptor) = match self.network.prng.below(8) {
                0 => (true, false),
                1 => (false, true),
                _ => (true, true),
            };
            if tells_dialler {
                self.reset_end(line, Side::Dialler);
            }
            if tells_acceptor {
                self.reset_end(line, Side::Acceptor);
            }
        }
    }

    /// Makes every datagram port of the world lose, double and reorder frames, per thousand.
    pub fn trouble_datagrams(&mut self, per_mille: [u64; 3]) {
        let [loss, double, reorder] = per_mille;
        let profile = &mut self.network.profile;
        profile.loss_per_mille = loss;
        profile.double_per_mille = double;
        profile.reorder_per_mille = reorder;
    }

    pub(super) fn dial(&mut self, host: HostId, conn: ConnId, address: Address) {
        assert!(conn.0 < ConnId::ACCEPTED_FROM, "the machine's own range of ids");
        assert!(address.host.idx() < self.hosts.len(), "an address of a host of this world");
        let line = self.network.dial(host, conn, address.host);
        let before = self.hosts[host.idx()].conns.insert(conn, (line, Side::Dialler));
        assert!(before.is_none(), "the id of a new connection is new");
        let at = Moment(self.now.0 + self.network.delay(host, address.host));
        self.queue.push(at, Event::Dialled { line, port: address.port });
        let timeout = self.network.profile.dial_timeout;
        self.queue.push(self.now.after(timeout), Event::DialTimeout { line });
    }

    /// A dial reaches its host: accepted, refused, or unheard.
    pub(super) fn dial_arrives(&mut self, line: Line, port: u16) {
        let Some(connection) = self.network.get(line) else { return };
        let (from, to) = connection.way_from(Side::Dialler);
        if self.network.is_cut(from, to) || !self.host(to).is_up {
            return; // the dialler waits for its time-out
        }
        let host = &mut self.hosts[to.idx()];
        let framing = host.machine.as_ref().and_then(|_| host.framing_of(port));
        let Some(framing) = framing else {
            self.enqueue(line, Side::Acceptor, Item::Refused);
            self.network.close(line, Side::Acceptor);
            return;
        };
        let conn = ConnId(ConnId::ACCEPTED_FROM + host.accepted_next);
        host.accepted_next += 1;
        host.conns.insert(conn, (line, Side::Acceptor));
        let connection = self.network.get(line).expect("the connection was there just now");
        connection.framing = framing;
        connection.end(Side::Acceptor).conn = conn;
        connection.end(Side::Acceptor).phase = Phase::Open;
        self.enqueue(line, Side::Acceptor, Item::Accepted);
        self.deliver(to, Delivery::Accepted { conn, port, from });
    }

    pub(super) fn dial_timed_out(&mut self, line: Line) {
        let Some(connection) = self.network.get(line) else { return };
        if connection.end(Side::Dialler).phase == Phase::Dialling {
            let is_answered = connection.end(Side::Acceptor).phase != Phase::Dialling;
            self.end_closed(line, Side::Dialler);
            if !is_answered {
                self.network.close(line, Side::Acceptor);
            }
        }
    }

    pub(super) fn send(&mut self, host: HostId, conn: ConnId, bytes: Vec<u8>) {
        let Some(&(line, side)) = self.hosts[host.idx()].conns.get(&conn) else { return };
        let connection = self.network.get(line).expect("an end that a process holds is not closed");
        assert!(
            connection.end(side).phase == Phase::Open,
            "a frame is sent when the dial succeeded"
        );
        self.counts.frames += 1;
        match connection.framing {
            Framing::Frames => self.enqueue(line, side, Item::Bytes(bytes)),
            Framing::Stream => self.send_stream(line, side, bytes),
            Framing::Datagrams => self.send_datagram(line, side, bytes),
        }
    }

    fn send_stream(&mut self, line: Line, side: Side, mut bytes: Vec<u8>) {
        let profile = self.network.profile;
        if bytes.len() > 1 && self.network.prng.chance(profile.split_per_mille, 1000) {
            let at = 1 + self.network.prng.below(bytes.len() as u64 - 1);
            let rest = bytes.split_off(usize::try_from(at).unwrap_or(1));
            self.enqueue(line, side, Item::Bytes(bytes));
            bytes = rest;
        }
        self.enqueue(line, side, Item::Bytes(bytes));
    }

    fn send_datagram(&mut self, line: Line, side: Side, bytes: Vec<u8>) {
        let profile = self.network.profile;
        let prng = &mut self.network.prng;
        if prng.chance(profile.loss_per_mille, 1000) {
            self.outputs.give_back(bytes);
            self.coverage.count("net.lost");
            return;
        }
        if prng.chance(profile.double_per_mille, 1000) {
            self.coverage.count("net.doubled");
            self.enqueue(line, side, Item::Bytes(bytes.clone()));
        }
        if self.network.prng.chance(profile.reorder_per_mille, 1000) {
            self.coverage.count("net.reordered");
            let Some(connection) = self.network.get(line) else { return };
            let (from, to) = connection.way_from(side);
            let late = self.network.delay(from, to) + self.network.delay(from, to);
            let event = Event::Datagram { line, to: side.other(), bytes };
            self.queue.push(Moment(self.now.0 + late), event);
            return;
        }
        self.enqueue(line, side, Item::Bytes(bytes));
    }

    /// Puts something into the lane that an end sends on.
    pub(super) fn enqueue(&mut self, line: Line, from: Side, item: Item) {
        let Some(connection) = self.network.get(line) else { return };
        let way = connection.way_from(from);
        let delay = self.network.delay(way.0, way.1);
        let Some(connection) = self.network.get(line) else { return };
        let lane = connection.lane_from(from);
        let at = lane.last_arrival.max(Moment(self.now.0 + delay));
        lane.last_arrival = at;
        self.queue.push(at, Event::Arrives { line, to: from.other(), item });
    }

    /// Something comes to the end of its lane: it waits there, or is taken in.
    pub(super) fn arrive(&mut self, line: Line, to: Side, item: Item) {
        let Some(connection) = self.network.get(line) else { return };
        let from = to.other();
        let (sender, receiver) = connection.way_from(from);
        let has_waiting = !connection.lane_from(from).waiting.is_empty();
        let is_passable = !self.network.is_cut(sender, receiver) && self.host(receiver).is_up;
        if has_waiting || !is_passable {
            self.fell_silent(line, from);
            if let Some(connection) = self.network.get(line) {
                connection.lane_from(from).waiting.push_back(item);
            }
            return;
        }
        if self.network.is_cut(receiver, sender) {
            self.fell_silent(line, from); // it arrives, its acknowledgement does not
        }
        self.take_in(line, to, item);
    }

    pub(super) fn datagram_arrives(&mut self, line: Line, to: Side, bytes: Vec<u8>) {
        let Some(connection) = self.network.get(line) else { return };
        let (sender, receiver) = connection.way_from(to.other());
        let is_open = connection.end(to).phase == Phase::Open;
        if is_open && !self.network.is_cut(sender, receiver) && self.host(receiver).is_up {
            self.take_in(line, to, Item::Bytes(bytes));
        }
    }

    fn take_in(&mut self, line: Line, to: Side, item: Item) {
        let Some(connection) = self.network.get(line) else { return };
        let end = *connection.end(to);
        match (item, end.phase) {
            (Item::Accepted, Phase::Dialling) => {
                connection.end(to).phase = Phase::Open;
                self.deliver(end.host, Delivery::Opened(end.conn));
            }
            (Item::Refused, Phase::Dialling) => {
                self.hosts[end.host.idx()].conns.remove(&end.conn);
                self.network.close(line, to);
                self.deliver(end.host, Delivery::Refused(end.conn));
            }
            (Item::Bytes(bytes), Phase::Open) => {
                self.deliver(end.host, Delivery::Received { conn: end.conn, bytes });
            }
            (Item::End, Phase::Open) => self.end_closed(line, to),
            // Nobody is there any more: the kernel answers with a reset.
            (Item::Accepted | Item::Refused | Item::Bytes(_) | Item::End, _) => {
                self.reset_end(line, to.other());
            }
        }
    }

    /// Tells an end of a reset, if the message gets there.
    pub(super) fn reset_end(&mut self, line: Line, to: Side) {
        let Some(connection) = self.network.get(line) else { return };
        let (from, host) = connection.way_from(to.other());
        let at = Moment(self.now.0 + self.network.delay(from, host));
        self.queue.push(at, Event::Reset { line, to });
    }

    pub(super) fn reset_arrives(&mut self, line: Line, to: Side) {
        let Some(connection) = self.network.get(line) else { return };
        let (from, host) = connection.way_from(to.other());
        let is_open = connection.end(to).phase != Phase::Closed;
        if is_open && !self.network.is_cut(from, host) && self.host(host).is_up {
            self.end_closed(line, to);
        }
    }

    /// An end's kernel finds the connection over; its process is told.
    fn end_closed(&mut self, line: Line, side: Side) {
        let Some(connection) = self.network.get(line) else { return };
        let end = *connection.end(side);
        self.hosts[end.host.idx()].conns.remove(&end.conn);
        self.network.close(line, side);
        self.deliver(end.host, Delivery::Closed(end.conn));
    }

    /// A machine closes a connection.
    pub(super) fn close(&mut self, host: HostId, conn: ConnId) {
        let one = &mut self.hosts[host.idx()];
        one.backlog.retain(|delivery| delivery.conn() != Some(conn));
        if let Some((line, side)) = one.conns.remove(&conn) {
            self.enqueue(line, side, Item::End);
            self.network.close(line, side);
        }
    }

    /// A sender gets no acknowledgements from now on, if it did until now.
    fn fell_silent(&mut self, line: Line, from: Side) {
        let now = self.now;
        let stall_max = self.network.profile.stall_max;
        let Some(connection) = self.network.get(line) else { return };
        let lane = connection.lane_from(from);
        if lane.silent_since.is_none() {
            lane.silent_since = Some(now);
            self.queue.push(now.after(stall_max), Event::SilenceCheck { line, from });
        }
    }

    pub(super) fn silence_check(&mut self, line: Line, from: Side) {
        let now = self.now;
        let stall_max = self.network.profile.stall_max;
        let Some(connection) = self.network.get(line) else { return };
        let lane = connection.lane_from(from);
        if lane.silent_since.is_none_or(|since| now.since(since) < stall_max) {
            return;
        }
        lane.waiting.clear();
        if connection.end(from).phase != Phase::Closed {
            self.coverage.count("net.given-up");
            self.end_closed(line, from);
        }
    }

    /// A link works again: what waited is sent once more, and acknowledged.
    pub(super) fn send_again(&mut self, line: Line) {
        for from in [Side::Dialler, Side::Acceptor] {
            let Some(connection) = self.network.get(line) else { return };
            let (sender, receiver) = connection.way_from(from);
            let goes = !self.network.is_cut(sender, receiver) && self.host(receiver).is_up;
            let returns = !self.network.is_cut(receiver, sender) && self.host(sender).is_up;
            if !goes {
                continue;
            }
            let Some(connection) = self.network.get(line) else { return };
            let lane = connection.lane_from(from);
            if returns {
                lane.silent_since = None;
            }
            if !lane.waiting.is_empty() {
                let wait = self.network.prng.below(1 + nanos(RETRANSMIT_MAX));
                self.queue.push(Moment(self.now.0 + wait), Event::SentAgain { line, from });
            }
        }
    }

    pub(super) fn sent_again(&mut self, line: Line, from: Side) {
        loop {
            let Some(connection) = self.network.get(line) else { return };
            let (sender, receiver) = connection.way_from(from);
            if connection.lane_from(from).waiting.is_empty() {
                return;
            }
            if self.network.is_cut(sender, receiver) || !self.host(receiver).is_up {
                self.fell_silent(line, from);
                return;
            }
            let Some(connection) = self.network.get(line) else { return };
            let Some(item) = connection.lane_from(from).waiting.pop_front() else { return };
            self.take_in(line, from.other(), item);
        }
    }
}

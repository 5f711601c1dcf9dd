//! Processes and hosts: start, death, pause; and what is wrong with their clocks.

use ringhold_types::time::Duration;

use crate::digest::mixed;
use crate::host::{Delivery, Pause, PauseKind};
use crate::machine::{Birth, HostId};
use crate::network::{Item, Phase, Side};
use crate::time::{MILLISECOND, Moment};
use crate::world::{Event, World};

/// After an exit the supervisor starts the process again within this time.
const SUPERVISOR_NANOS_MAX: u64 = 500 * MILLISECOND;

impl World {
    /// Starts a host's process, with empty memory and what the disk kept; nothing if one is there.
    pub fn start(&mut self, host: HostId) {
        let one = &mut self.hosts[host.idx()];
        if one.machine.is_some() {
            return;
        }
        let was_down = !one.is_up;
        let seed = one.prng.next_u64();
        let birth = Birth { host, incarnation: one.started, disk: &one.disk, seed };
        let machine = (one.factory)(&birth);
        one.machine = Some(machine);
        one.started += 1;
        one.life += 1;
        one.is_up = true;
        one.disk_free = self.now;
        one.clock.process_started();
        // Ticks of different hosts do not fall on one moment.
        let phase = Duration::from_nanos(one.prng.below(crate::time::nanos(self.profile.tick)));
        one.tick_next = one.clock.local(self.now).after(phase);
        self.note(|| format!("{host} starts"));
        if was_down {
            for line in self.network.of(host) {
                self.send_again(line);
            }
        }
        self.schedule_tick(host);
        self.deliver(host, Delivery::Start);
    }

    /// Kills a host's process, as kill -9: its connections end, in order or by reset; its disk keeps what was written.
    pub fn kill(&mut self, host: HostId) {
        if self.host(host).machine.is_none() {
            return;
        }
        self.note(|| format!("{host} is killed"));
        let one = &mut self.hosts[host.idx()];
        one.disk.process_died(&mut one.prng);
        let conns = core::mem::take(&mut one.conns);
        self.process_ended(host);
        for (_, (line, side)) in conns {
            if self.network.prng.chance(1, 2) {
                self.enqueue(line, side, Item::End);
            } else {
                self.reset_end(line, side.other());
            }
            self.close_unanswered(line, side);
        }
    }

    /// Lets a host vanish, as without power: nobody is told. [`World::start`] brings it back.
    pub fn vanish(&mut self, host: HostId) {
        self.note(|| format!("{host} vanishes"));
        let one = &mut self.hosts[host.idx()];
        one.is_up = false;
        one.disk.host_died(&mut one.prng);
        let conns = core::mem::take(&mut one.conns);
        self.process_ended(host);
        for (_, (line, side)) in conns {
            self.close_unanswered(line, side);
        }
    }

    /// Closes an end in silence; a dial that nobody answered is gone altogether.
    fn close_unanswered(&mut self, line: crate::network::Line, side: Side) {
        let Some(connection) = self.network.get(line) else { return };
        let other = side.other();
        let is_unanswered =
            other == Side::Acceptor && connection.end(other).phase == Phase::Dialling;
        if is_unanswered {
            self.network.close(line, other);
        }
        self.network.close(line, side);
    }

    fn process_ended(&mut self, host: HostId) {
        let one = &mut self.hosts[host.idx()];
        one.machine = None;
        one.life += 1;
        one.pause = None;
        one.backlog.clear();
        one.wake_at = None;
        one.ports.clear();
    }

    /// The machine asked to end its process.
    pub(super) fn exit(&mut self, host: HostId) {
        self.kill(host);
        let one = &mut self.hosts[host.idx()];
        let life = one.life;
        let wait = one.prng.below(SUPERVISOR_NANOS_MAX);
        self.queue.push(Moment(self.now.0 + wait), Event::Start { host, life });
    }

    /// Stops a process, as SIGSTOP: its kernel goes on accepting and receiving. Nothing if none runs.
    pub fn pause(&mut self, host: HostId, kind: PauseKind) {
        let one = &mut self.hosts[host.idx()];
        if one.machine.is_none() || one.pause.is_some() {
            return;
        }
        one.pause = Some(Pause {
            is_step_due: kind == PauseKind::WithinStep,
            held: Vec::new(),
            has_missed_tick: false,
        });
        self.note(|| format!("{host} is paused"));
    }

    /// Lets a stopped process go on: it ends the step it was in, then finds everything that came, connection by connection in any
    /// order, and a tick before or after it.
    pub fn resume(&mut self, host: HostId) {
        let one = &mut self.hosts[host.idx()];
        let Some(pause) = one.pause.take() else { return };
        // Sockets are found readable in any order; only within a connection does order hold.
        let rank = one.prng.next_u64();
        let ranked = |delivery: &Delivery| {
            mixed(rank ^ delivery.conn().map_or(0, |conn| u64::from(conn.0) + 1))
        };
        one.backlog.make_contiguous().sort_by_key(ranked);
        if pause.has_missed_tick {
            if one.prng.chance(1, 2) {
                one.backlog.push_front(Delivery::Tick);
            } else {
                one.backlog.push_back(Delivery::Tick);
            }
        }
        let life = one.life;
        self.note(|| format!("{host} is resumed"));
        for output in pause.held {
            if self.host(host).life == life {
                self.carry_out(host, output);
            }
        }
        while let Some(delivery) = self.hosts[host.idx()].backlog.pop_front() {
            self.deliver(host, delivery);
        }
    }

    /// Lets a host's clock run at another rate (1,000,000: true) from now on.
    pub fn set_clock_rate(&mut self, host: HostId, rate_ppm: u32) {
        self.note(|| format!("{host} has a clock of {rate_ppm} ppm"));
        self.hosts[host.idx()].clock.set_rate(self.now, rate_ppm);
    }

    /// Moves a host's wall clock.
    pub fn jump_wall(&mut self, host: HostId, micros: i64) {
        self.note(|| format!("{host} has its wall clock moved by {micros} us"));
        self.hosts[host.idx()].clock.jump_wall(micros);
    }

    /// Lets a host's ticks come up to this late; `None`: as late as the profile says.
    pub fn set_tick_lateness(&mut self, host: HostId, late_max: Option<Duration>) {
        self.note(|| format!("{host} ticks up to {late_max:?} late"));
        let normal = self.profile.tick_late_max;
        self.hosts[host.idx()].tick_late_max = late_max.unwrap_or(normal);
    }
}

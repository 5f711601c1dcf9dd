//! Facts about network, hosts, clocks and disks, seen by a machine that writes down what happens to it.

use ringhold_types::prng::Prng;
use ringhold_types::time::{Duration, Instant, Now};

use crate::clock::HostClock;
use crate::disk::{Disk, DiskFaults};
use crate::host::{Kind, PauseKind};
use crate::machine::{Address, ConnId, DiskId, Framing, HostId, Input, Machine, Output, Outputs};
use crate::network::NetworkProfile;
use crate::queue::Queue;
use crate::time::{MILLISECOND, Moment, SECOND};
use crate::world::{World, WorldProfile};

const FRAMES: u16 = 1;
const STREAM: u16 = 2;
const DATAGRAMS: u16 = 3;
const FILE: &str = "file";

/// Writes down what happens, and sends a numbered frame in each tick on every open connection that it dialled.
struct Recorder {
    /// Whom it dials at its start.
    dials: Vec<Address>,
    open: Vec<ConnId>,
    sent: u32,
    /// Numbers received, in order, with the connection.
    received: Vec<(ConnId, u32)>,
    stream: Vec<u8>,
    /// Other inputs.
    events: Vec<String>,
    ticks: Vec<Now>,
    at_start: Vec<u8>,
}

impl Machine for Recorder {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        match input {
            Input::Start => {
                for (port, framing) in [
                    (FRAMES, Framing::Frames),
                    (STREAM, Framing::Stream),
                    (DATAGRAMS, Framing::Datagrams),
                ] {
                    out.push(Output::Listen { port, framing });
                }
                for (idx, address) in (0..).zip(self.dials.clone()) {
                    out.connect(ConnId(idx), address);
                }
            }
            Input::Tick => {
                self.ticks.push(now);
                for conn in self.open.clone() {
                    self.sent += 1;
                    let mut bytes = out.buffer();
                    bytes.extend_from_slice(&self.sent.to_le_bytes());
                    out.send(conn, bytes);
                }
            }
            Input::Received { conn, bytes } => {
                self.stream.extend_from_slice(bytes);
                while let Some((number, rest)) = self.stream.split_first_chunk() {
                    self.received.push((conn, u32::from_le_bytes(*number)));
                    self.stream = rest.to_vec();
                }
            }
            Input::Opened(conn) => {
                self.open.push(conn);
                self.events.push(format!("opened {}", conn.0));
            }
            Input::Closed(conn) => {
                self.open.retain(|&one| one != conn);
                self.events.push("closed".to_owned());
            }
            Input::Refused(_) => self.events.push("refused".to_owned()),
            Input::Accepted { port, from, .. } => {
                self.events.push(format!("accepted {port} {from}"));
            }
            Input::Synced(id) => self.events.push(format!("synced {}", id.0)),
            Input::DiskFailed(id) => self.events.push(format!("failed {}", id.0)),
            Input::Contents { id, bytes } => {
                self.events.push(format!("read {} {}", id.0, bytes.len()));
            }
        }
    }
}

/// A world of recorders; each dials what is listed for it, in its first life only.
fn world(profile: WorldProfile, seed: u64, dials: &[Vec<Address>]) -> World {
    let mut world = World::new(profile, seed);
    for dials in dials {
        let dials = dials.clone();
        let factory = move |birth: &crate::machine::Birth<'_>| -> Box<dyn Machine> {
            Box::new(Recorder {
                dials: if birth.incarnation == 0 { dials.clone() } else { Vec::new() },
                open: Vec::new(),
                sent: 0,
                received: Vec::new(),
                stream: Vec::new(),
                events: Vec::new(),
                ticks: Vec::new(),
                at_start: birth.disk.read(FILE).unwrap_or_default().to_vec(),
            })
        };
        world.add_host(Kind::Node, Box::new(factory));
    }
    world
}

fn to(host: u32, port: u16) -> Address {
    Address { host: HostId(host), port }
}

const A: HostId = HostId(0);
const B: HostId = HostId(1);

/// Two hosts, the first of which dials the second; after 200 ms.
fn pair(port: u16, seed: u64) -> World {
    let mut world = world(WorldProfile::calm(), seed, &[vec![to(1, port)], vec![]]);
    pass(&mut world, 200);
    world
}

fn pass(world: &mut World, ms: u64) {
    let until = Moment(world.now().0 + ms * MILLISECOND);
    world.run_until(until);
}

fn of(world: &World, host: HostId) -> &Recorder {
    world.host(host).machine().expect("it runs")
}

fn numbers(world: &World, host: HostId) -> Vec<u32> {
    of(world, host).received.iter().map(|one| one.1).collect()
}

/// The numbers 1, 2, 3 … without a hole.
fn is_prefix(numbers: &[u32]) -> bool {
    numbers.iter().copied().eq(1..=u32::try_from(numbers.len()).unwrap())
}

#[test]
fn events_of_one_moment_happen_in_the_order_they_were_put_in() {
    let mut queue = Queue::new();
    let mut prng = Prng::new(1);
    let mut expected = Vec::new();
    for idx in 0..1000_u64 {
        let at = Moment(prng.below(20));
        queue.push(at, idx);
        expected.push((at, idx));
    }
    expected.sort_unstable();
    assert_eq!(queue.len(), 1000);
    assert_eq!(queue.pop_until(Moment::ZERO).map(|one| one.0), Some(Moment::ZERO));
    let mut found = vec![expected[0]];
    while let Some(next) = queue.pop_until(Moment::NEVER) {
        found.push(next);
    }
    assert_eq!(found, expected);
    assert!(queue.is_empty());
}

#[test]
fn a_clock_keeps_its_rate_and_never_goes_back() {
    let mut clock = HostClock::exact(1_000_000);
    clock.set_rate(Moment(SECOND), 1_040_000);
    assert_eq!(clock.local(Moment(2 * SECOND)), Instant(2 * SECOND + 40 * MILLISECOND));
    clock.set_rate(Moment(2 * SECOND), 960_000);
    assert_eq!(clock.local(Moment(3 * SECOND)), Instant(3 * SECOND));
    let mut prng = Prng::new(2);
    for _ in 0..1000 {
        let at = Moment(3 * SECOND + prng.below(1000 * SECOND));
        let local = clock.local(at);
        assert!(clock.when(local) <= at, "the first moment that shows it");
        assert!(clock.local(clock.when(local)) >= local);
    }
}

#[test]
fn a_wall_clock_set_back_stands_still_until_the_process_starts_anew() {
    let mut clock = HostClock::exact(50_000_000);
    let before = clock.read(Moment(SECOND));
    clock.jump_wall(-10_000_000);
    let after = clock.read(Moment(2 * SECOND));
    assert_eq!(after.unix_micros, before.unix_micros);
    assert!(after.instant > before.instant);
    clock.process_started();
    assert_eq!(clock.read(Moment(2 * SECOND)).unix_micros, 42_000_000);
    clock.jump_wall(20_000_000);
    assert_eq!(clock.read(Moment(2 * SECOND)).unix_micros, 62_000_000);
}

#[test]
fn ticks_come_every_ten_milliseconds_of_local_time() {
    let mut world = world(WorldProfile::calm(), 3, &[vec![]]);
    world.run_until(Moment::ZERO);
    world.set_clock_rate(A, 960_000);
    pass(&mut world, 10_000);
    let ticks = of(&world, A).ticks.clone();
    assert!((958..=961).contains(&ticks.len()), "{} ticks of a slow clock", ticks.len());
    let late = |pair: &[Now]| pair[1].instant.since(pair[0].instant);
    assert!(ticks.windows(2).all(|pair| late(pair) < Duration::from_millis(11)));
    assert!(ticks.windows(2).all(|pair| late(pair) > Duration::from_millis(9)));
}

#[test]
fn frames_arrive_whole_once_and_in_order() {
    for (seed, port) in [(1, FRAMES), (2, STREAM), (3, DATAGRAMS)] {
        let mut world = pair(port, seed);
        pass(&mut world, 3000);
        let numbers = numbers(&world, B);
        assert!(is_prefix(&numbers), "{numbers:?}");
        assert!(numbers.len() > 250, "{} arrived", numbers.len());
    }
}

#[test]
fn datagrams_are_lost_doubled_and_reordered_only_if_the_profile_says_so() {
    let mut world = pair(DATAGRAMS, 4);
    world.trouble_datagrams([100, 100, 0]);
    pass(&mut world, 10_000);
    let mut found = numbers(&world, B);
    assert!(found.is_sorted(), "nothing overtakes");
    let all = found.len();
    found.dedup();
    assert!(all > found.len(), "some came twice");
    assert!(found.len() < of(&world, A).sent as usize - 50, "some did not come");
    let mut calm = pair(FRAMES, 4);
    calm.trouble_datagrams([500, 500, 500]);
    pass(&mut calm, 3000);
    assert!(is_prefix(&numbers(&calm, B)), "frames do not know of it");
}

#[test]
fn a_datagram_may_overtake_others() {
    let mut profile = WorldProfile::calm();
    profile.network.delay_max = Duration::from_millis(100);
    profile.network.reorder_per_mille = 500;
    let mut world = world(profile, 5, &[vec![to(1, DATAGRAMS)], vec![]]);
    pass(&mut world, 5000);
    let mut found = numbers(&world, B);
    assert!(!found.is_sorted());
    found.sort_unstable();
    found.truncate(found.len() - 40); // some of the last are on the way
    assert!(is_prefix(&found), "none is lost");
}

#[test]
fn a_cut_is_one_way_and_what_waited_arrives_in_order_after_it() {
    let mut world = world(WorldProfile::calm(), 6, &[vec![to(1, FRAMES)], vec![to(0, FRAMES)]]);
    pass(&mut world, 500);
    world.cut(A, B);
    pass(&mut world, 5);
    let (at_b, at_a) = (numbers(&world, B).len(), numbers(&world, A).len());
    pass(&mut world, 1000);
    assert_eq!(numbers(&world, B).len(), at_b, "nothing arrives at b");
    assert!(numbers(&world, A).len() > at_a + 80, "b is heard");
    world.mend(A, B);
    pass(&mut world, 1000);
    assert!(numbers(&world, B).len() > at_b + 180, "all arrived");
    assert!(is_prefix(&numbers(&world, B)));
    assert!(is_prefix(&numbers(&world, A)));
}

#[test]
fn a_silent_connection_is_given_up_by_its_sender_and_stays_half_open() {
    let mut profile = WorldProfile::calm();
    profile.network.stall_max = Duration::from_millis(500);
    let mut world = world(profile, 7, &[vec![to(1, FRAMES)], vec![]]);
    pass(&mut world, 200);
    world.cut(A, B);
    world.cut(B, A);
    pass(&mut world, 2000);
    assert!(of(&world, A).events.contains(&"closed".to_owned()));
    assert!(
        !of(&world, B).events.contains(&"closed".to_owned()),
        "b sends nothing and learns nothing"
    );
}

#[test]
fn a_one_way_cut_keeps_acknowledgements_back() {
    let mut profile = WorldProfile::calm();
    profile.network.stall_max = Duration::from_millis(500);
    let mut world = world(profile, 8, &[vec![to(1, FRAMES)], vec![]]);
    pass(&mut world, 200);
    world.cut(B, A);
    pass(&mut world, 400);
    assert!(numbers(&world, B).len() > 40, "frames of a arrive");
    pass(&mut world, 600);
    assert!(of(&world, A).events.contains(&"closed".to_owned()), "and are not acknowledged");
}

#[test]
fn a_reset_loses_what_is_in_flight_but_a_prefix_and_never_reorders() {
    let mut lost = 0;
    for seed in 0..200 {
        let mut profile = WorldProfile::calm();
        profile.network.delay_max = Duration::from_millis(100);
        let mut world = world(profile, seed, &[vec![to(1, FRAMES)], vec![]]);
        pass(&mut world, 1000);
        world.reset_between(A, B);
        pass(&mut world, 3000);
        let numbers = numbers(&world, B);
        assert!(is_prefix(&numbers), "seed {seed}: {numbers:?}");
        lost += of(&world, A).sent - u32::try_from(numbers.len()).unwrap();
        // Told or not: it sent into the connection afterwards, so it knows now.
        assert!(of(&world, A).events.contains(&"closed".to_owned()), "seed {seed}");
    }
    assert!(lost > 200, "{lost} frames lost");
}

#[test]
fn the_ends_of_a_reset_learn_of_it_at_different_times() {
    let mut one_alone = 0;
    for seed in 0..50 {
        let mut profile = WorldProfile::calm();
        profile.network.delay_max = Duration::from_millis(100);
        let mut world = world(profile, seed, &[vec![to(1, FRAMES)], vec![]]);
        pass(&mut world, 1000);
        world.reset_between(A, B);
        let is_closed = |world: &World, host| of(world, host).events.contains(&"closed".to_owned());
        while !is_closed(&world, A) && !is_closed(&world, B) {
            pass(&mut world, 1);
        }
        one_alone += u32::from(is_closed(&world, A) != is_closed(&world, B));
    }
    assert!(one_alone > 40, "{one_alone} of 50");
}

#[test]
fn a_dial_is_refused_by_a_host_without_process_and_hangs_on_a_vanished_one() {
    for (vanishes, expected) in [(false, "refused"), (true, "closed")] {
        let mut world = world(WorldProfile::calm(), 9, &[vec![to(1, FRAMES)], vec![]]);
        // The second host ends before the dial arrives.
        if vanishes {
            world.vanish(B);
        } else {
            world.kill(B);
        }
        world.run_until(Moment::ZERO);
        if vanishes {
            world.vanish(B);
        } else {
            world.kill(B);
        }
        pass(&mut world, 20);
        let early = of(&world, A).events.clone();
        assert_eq!(early, if vanishes { vec![] } else { vec!["refused"] });
        pass(&mut world, 1000);
        assert_eq!(of(&world, A).events, [expected]);
    }
}

#[test]
fn a_dial_to_a_port_where_nobody_listens_is_refused() {
    let world = pair(9, 10);
    assert_eq!(of(&world, A).events, ["refused"]);
}

#[test]
fn a_cut_off_dial_times_out() {
    let mut world = world(WorldProfile::calm(), 11, &[vec![to(1, FRAMES)], vec![]]);
    world.cut(A, B);
    pass(&mut world, 999);
    assert!(of(&world, A).events.is_empty());
    pass(&mut world, 2);
    assert_eq!(of(&world, A).events, ["closed"]);
}

#[test]
fn a_kill_closes_connections_and_a_vanishing_does_not() {
    let mut killed = pair(FRAMES, 12);
    killed.kill(B);
    pass(&mut killed, 50);
    assert_eq!(of(&killed, A).events, ["opened 0", "closed"]);
    let mut vanished = pair(FRAMES, 12);
    vanished.vanish(B);
    pass(&mut vanished, 4000);
    assert_eq!(of(&vanished, A).events, ["opened 0"], "silence");
    vanished.start(B);
    pass(&mut vanished, 500);
    assert_eq!(of(&vanished, A).events, ["opened 0", "closed"], "its new life knows nothing of it");
    assert!(numbers(&vanished, B).is_empty(), "memory is empty, and so is what came before");
}

#[test]
fn frames_sent_before_a_kill_arrive_whole_or_a_prefix_of_them() {
    for seed in 0..50 {
        let mut world = pair(FRAMES, seed);
        world.kill(A);
        pass(&mut world, 100);
        assert!(is_prefix(&numbers(&world, B)), "seed {seed}");
        assert!(of(&world, B).events.contains(&"closed".to_owned()), "seed {seed}");
    }
}

#[test]
fn a_paused_process_finds_everything_when_it_goes_on() {
    let mut world = pair(FRAMES, 13);
    let before = numbers(&world, B).len();
    let ticks = of(&world, B).ticks.len();
    world.pause(B, PauseKind::Between);
    pass(&mut world, 1000);
    assert_eq!(numbers(&world, B).len(), before);
    assert_eq!(of(&world, B).ticks.len(), ticks);
    world.resume(B);
    assert!(numbers(&world, B).len() >= before + 99);
    assert!(is_prefix(&numbers(&world, B)));
    assert_eq!(of(&world, B).ticks.len(), ticks + 1, "missed ticks are one");
    let last = of(&world, B).ticks[ticks].instant;
    assert!(last.since(of(&world, B).ticks[ticks - 1].instant) > Duration::from_millis(900));
}

#[test]
fn a_pause_within_a_step_holds_back_what_the_step_did() {
    let mut world = pair(FRAMES, 14);
    pass(&mut world, 5);
    world.pause(A, PauseKind::WithinStep);
    let (sent, arrived) = (of(&world, A).sent, numbers(&world, B).len());
    pass(&mut world, 500);
    assert_eq!(of(&world, A).sent, sent + 1, "one step was begun");
    assert!(numbers(&world, B).len() <= sent as usize, "and not seen");
    assert!(numbers(&world, B).len() >= arrived);
    world.resume(A);
    pass(&mut world, 5);
    assert!(numbers(&world, B).contains(&(sent + 1)));
    assert!(is_prefix(&numbers(&world, B)));
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = |seed| {
        let mut world = pair(STREAM, seed);
        world.kill(B);
        world.start(B);
        pass(&mut world, 1000);
        (world.digest(), world.counts())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

// --- disks ---

fn appended(disk: &mut Disk, bytes: &[u8], prng: &mut Prng) {
    disk.append(FILE, bytes, prng);
}

#[test]
fn a_crash_keeps_what_was_synced_and_of_the_rest_a_prefix_with_a_torn_tail() {
    let (mut kept_all, mut torn) = (0, 0);
    for seed in 0..500 {
        let mut prng = Prng::new(seed);
        let mut disk = Disk::default();
        let written: Vec<u8> = (0..200).collect();
        let synced = 20 + usize::try_from(prng.below(100)).unwrap();
        appended(&mut disk, &written[..synced], &mut prng);
        let mark = disk.sync_started(FILE);
        appended(&mut disk, &written[synced..], &mut prng);
        assert!(disk.sync_ended(mark));
        let is_host = prng.chance(1, 2);
        if is_host {
            disk.host_died(&mut prng);
        } else {
            disk.process_died(&mut prng);
        }
        let found = disk.read(FILE).unwrap();
        assert!(found.len() >= synced && found.len() <= written.len());
        assert_eq!(found[..synced], written[..synced], "seed {seed}: synced bytes stay");
        let is_torn = found != &written[..found.len()];
        assert!(!is_torn || is_host, "a kill of the process tears nothing");
        torn += u32::from(is_torn);
        kept_all += u32::from(found == written);
    }
    assert!(torn > 20, "{torn} torn");
    assert!(kept_all > 20, "{kept_all} whole");
}

#[test]
fn what_is_found_after_a_crash_of_the_host_stays() {
    let mut prng = Prng::new(5);
    let mut disk = Disk::default();
    appended(&mut disk, b"0123456789", &mut prng);
    disk.host_died(&mut prng);
    let found = disk.read(FILE).unwrap().to_vec();
    disk.host_died(&mut prng);
    assert_eq!(disk.read(FILE).unwrap(), found);
}

#[test]
fn a_replacement_is_the_old_or_the_new_file() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..100 {
        let mut prng = Prng::new(seed);
        let mut disk = Disk::default();
        appended(&mut disk, b"old", &mut prng);
        let mark = disk.sync_started(FILE);
        assert!(disk.sync_ended(mark));
        disk.replace_started(FILE, b"new contents".to_vec());
        disk.host_died(&mut prng);
        match disk.read(FILE).unwrap() {
            b"old" => old += 1,
            b"new contents" => new += 1,
            other => panic!("a mixture: {other:?}"),
        }
    }
    assert!(old > 20 && new > 20, "{old} old, {new} new");
    let mut disk = Disk::default();
    disk.replace_started(FILE, b"new".to_vec());
    assert!(disk.replace_ended(FILE));
    assert_eq!(disk.read(FILE).unwrap(), b"new");
}

#[test]
fn a_full_disk_breaks_the_file_until_it_is_replaced() {
    let mut prng = Prng::new(6);
    let mut disk = Disk::default();
    disk.faults = DiskFaults { is_full: true, ..DiskFaults::default() };
    appended(&mut disk, b"0123456789", &mut prng);
    let mark = disk.sync_started(FILE);
    assert!(!disk.sync_ended(mark));
    disk.replace_started(FILE, b"new".to_vec());
    assert!(!disk.replace_ended(FILE), "no room for it either");
    disk.faults = DiskFaults::default();
    appended(&mut disk, b"more", &mut prng);
    let mark = disk.sync_started(FILE);
    assert!(!disk.sync_ended(mark), "there is a hole in it");
    disk.replace_started(FILE, b"new".to_vec());
    assert!(disk.replace_ended(FILE));
    assert_eq!(disk.read(FILE).unwrap(), b"new");
}

#[test]
fn an_unreadable_disk_fails_reads_and_a_slow_one_takes_its_time() {
    let mut disk = Disk::default();
    disk.faults.is_unreadable = true;
    assert!(disk.read(FILE).is_err());
    disk.faults = DiskFaults { is_slow: true, ..DiskFaults::default() };
    assert_eq!(disk.read(FILE), Ok(&[][..]));
    assert_eq!(disk.sync_time(Duration::from_millis(1)), Duration::from_millis(100));
}

/// Appends, syncs, reads and replaces at its start.
struct Writer {
    events: Vec<String>,
}

impl Machine for Writer {
    fn step(&mut self, _now: Now, input: Input<'_>, out: &mut Outputs) {
        match input {
            Input::Start => {
                out.push(Output::Append { file: FILE, bytes: b"12345".to_vec() });
                out.push(Output::Sync { file: FILE, id: DiskId(1) });
                out.push(Output::Read { file: FILE, id: DiskId(2) });
                out.push(Output::Replace { file: FILE, bytes: b"1".to_vec(), id: DiskId(3) });
                out.push(Output::Read { file: FILE, id: DiskId(4) });
            }
            Input::Synced(id) => self.events.push(format!("synced {}", id.0)),
            Input::Contents { id, bytes } => {
                self.events.push(format!("read {} {}", id.0, bytes.len()));
            }
            Input::DiskFailed(id) => self.events.push(format!("failed {}", id.0)),
            Input::Tick | Input::Opened(_) | Input::Refused(_) | Input::Accepted { .. } => {}
            Input::Closed(_) | Input::Received { .. } => {}
        }
    }
}

#[test]
fn a_disk_answers_in_order() {
    let mut world = World::new(WorldProfile::calm(), 15);
    let host = world.add_host(Kind::Node, Box::new(|_| Box::new(Writer { events: Vec::new() })));
    pass(&mut world, 50);
    let writer: &Writer = world.host(host).machine().unwrap();
    assert_eq!(writer.events, ["synced 1", "read 2 5", "synced 3", "read 4 1"]);
    world.set_disk_faults(host, DiskFaults { is_full: true, ..DiskFaults::default() });
    world.kill(host);
    world.start(host);
    pass(&mut world, 50);
    let writer: &Writer = world.host(host).machine().unwrap();
    assert_eq!(writer.events[0], "failed 1");
    assert_eq!(writer.events[2], "failed 3");
}

#[test]
fn a_process_is_born_with_what_the_disk_kept() {
    let mut world = pair(FRAMES, 16);
    assert!(of(&world, B).at_start.is_empty());
    let mut prng = Prng::new(1);
    world.disk_mut(B).append(FILE, b"kept", &mut prng);
    let mark = world.disk_mut(B).sync_started(FILE);
    assert!(world.disk_mut(B).sync_ended(mark));
    world.vanish(B);
    world.start(B);
    assert_eq!(of(&world, B).at_start[..4], *b"kept");
}

/// Exits in its third tick.
struct Quitter {
    ticks: u32,
}

impl Machine for Quitter {
    fn step(&mut self, _now: Now, input: Input<'_>, out: &mut Outputs) {
        if matches!(input, Input::Tick) {
            self.ticks += 1;
            if self.ticks == 3 {
                out.push(Output::Exit);
            }
        }
    }
}

#[test]
fn a_process_that_exits_is_started_again() {
    let mut world = World::new(WorldProfile::calm(), 17);
    let host = world.add_host(Kind::Node, Box::new(|_| Box::new(Quitter { ticks: 0 })));
    pass(&mut world, 3000);
    assert!(world.host(host).incarnation() >= 4, "{}", world.host(host).incarnation());
}

/// Asks to be woken between ticks, and notes when it is.
struct Sleeper {
    woken: Vec<Instant>,
}

impl Machine for Sleeper {
    fn step(&mut self, now: Now, _input: Input<'_>, out: &mut Outputs) {
        self.woken.push(now.instant);
        out.push(Output::WakeAt(now.instant.after(Duration::from_millis(3))));
        out.push(Output::WakeAt(now.instant.after(Duration::from_millis(2))));
    }
}

#[test]
fn a_machine_is_woken_at_its_earliest_wish() {
    let mut world = World::new(WorldProfile::calm(), 18);
    let host = world.add_host(Kind::Node, Box::new(|_| Box::new(Sleeper { woken: Vec::new() })));
    pass(&mut world, 1000);
    let sleeper: &Sleeper = world.host(host).machine().unwrap();
    let longest = sleeper.woken.windows(2).map(|pair| pair[1].since(pair[0])).max();
    assert!(longest < Some(Duration::from_micros(2300)), "{longest:?}");
    assert!(sleeper.woken.len() > 430);
}

#[test]
fn a_network_profile_bounds_its_delays() {
    let profile = NetworkProfile { spike_per_mille: 0, ..NetworkProfile::calm() };
    let mut network = crate::network::Network::new(profile, Prng::new(1));
    network.host_added();
    network.host_added();
    for _ in 0..1000 {
        let delay = network.delay(A, B);
        assert!((50_000..=500_000).contains(&delay));
        assert!(network.delay(A, A) <= 50_000);
    }
    network.slow(A, B, Duration::from_millis(7));
    assert!(network.delay(A, B) >= 7 * MILLISECOND);
    assert!(network.delay(B, A) <= 500_000, "the other direction is another link");
}

//! The connections of RESP clients as other connections see them: `CLIENT LIST`, `CLIENT KILL`, `CLIENT PAUSE`.
//!
//! Each session shares a [`ClientRecord`] with the registry. The session's worker writes it; who lists or kills
//! clients reads it, whichever worker serves it. The registry's lock is taken when a connection comes or goes and by
//! the commands that look at all of them, never by others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringhold_types::time::{Now, UnixTime};
use ringhold_wire::resp::table::COMMANDS;

/// What is known of a connection beyond its own session.
#[derive(Debug)]
pub struct ClientRecord {
    /// Its number: `CLIENT ID`.
    pub id: u64,
    /// Where the client is, as `address:port`.
    pub address: Box<str>,
    /// Where it connected to.
    pub local_address: Box<str>,
    /// When it connected.
    pub since: UnixTime,
    /// Names that it gave.
    names: Mutex<Names>,
    is_killed: AtomicBool,
    /// When it last sent something, in milliseconds since 1970.
    active: AtomicU64,
    /// Its last command, as an index of [`COMMANDS`].
    command: AtomicU8,
    /// Which of the subcommands of that; `u8::MAX`: none.
    subcommand: AtomicU8,
    namespace: AtomicU16,
    protocol: AtomicU8,
    /// The commands it queued after `MULTI`; -1: none is open.
    queued: AtomicI64,
    watched: AtomicU64,
    is_no_evict: AtomicBool,
    is_no_touch: AtomicBool,
    /// Its descriptor; -1: unknown.
    descriptor: i32,
    /// What it holds of requests and of answers.
    held: Buffers,
    /// Whether a command of it waits, and who ended that: see [`Unblocked`].
    wait: AtomicU8,
}

/// No command waits.
const WAIT_NONE: u8 = 0;
/// One waits.
const WAIT_ON: u8 = 1;
/// One waited and was told to end as if its time were over.
const WAIT_TIMED_OUT: u8 = 2;
/// One waited and was told to end with an error.
const WAIT_FAILED: u8 = 3;

/// Whether somebody ended the wait of a command: `CLIENT UNBLOCK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblocked {
    /// Nobody did.
    No,
    /// As if its time were over.
    AsTimedOut,
    /// With an error.
    WithError,
}

/// What a connection has in memory of its own, in bytes unless it says otherwise.
#[derive(Debug, Default)]
struct Buffers {
    /// Of requests that are not executed, and what is free behind them.
    input: AtomicUsize,
    input_free: AtomicUsize,
    /// Of the places of arguments of a command that has not come whole.
    args: AtomicUsize,
    /// Of an open transaction.
    queue: AtomicUsize,
    /// Of answers that are not sent; large values among them; the number of their pieces.
    output: AtomicUsize,
    output_large: AtomicUsize,
    output_pieces: AtomicUsize,
}

/// What a connection holds of requests, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Bytes that were received and not executed.
    pub len: usize,
    /// What is free behind them.
    pub free: usize,
    /// The places of the arguments of a command that has not come whole.
    pub args: usize,
    /// An open transaction.
    pub queue: usize,
}

/// What a connection holds of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// Bytes in memory of its own.
    pub len: usize,
    /// Bytes of large values, which are the store's.
    pub large_len: usize,
    /// The pieces that both are in.
    pub pieces: usize,
}

/// What a client calls itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `CLIENT SETNAME`; empty: none.
    pub name: Box<str>,
    /// `CLIENT SETINFO LIB-NAME`.
    pub library: Box<str>,
    /// `CLIENT SETINFO LIB-VER`.
    pub library_version: Box<str>,
}

/// What a session tells of itself after a turn.
#[derive(Clone, Copy, Debug)]
pub struct ClientState {
    /// The time.
    pub now: Now,
    /// The last command, as an index of [`COMMANDS`].
    pub command: u8,
    /// Which of the subcommands of that; `u8::MAX`: none.
    pub subcommand: u8,
    /// The database.
    pub namespace: u16,
    /// The version of the protocol, 2 or 3.
    pub protocol: u8,
    /// The commands it queued after `MULTI`; -1: none is open.
    pub queued: i64,
    /// The keys it watches.
    pub watched: u64,
    /// Its reads do not count for eviction.
    pub is_no_touch: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under these locks can leave their content half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientRecord {
    /// The record of a connection that has just been accepted.
    #[must_use]
    pub fn new(id: u64, address: Box<str>, local_address: Box<str>, since: UnixTime) -> Self {
        Self::of_descriptor(id, (address, local_address), since, -1)
    }

    /// The same, with the descriptor of its socket.
    #[must_use]
    pub fn of_descriptor(
        id: u64,
        (address, local_address): (Box<str>, Box<str>),
        since: UnixTime,
        descriptor: i32,
    ) -> Self {
        Self {
            id,
            address,
            local_address,
            since,
            names: Mutex::default(),
            is_killed: AtomicBool::new(false),
            active: AtomicU64::new(since.as_millis()),
            command: AtomicU8::new(u8::MAX),
            subcommand: AtomicU8::new(u8::MAX),
            namespace: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            queued: AtomicI64::new(-1),
            watched: AtomicU64::new(0),
            is_no_evict: AtomicBool::new(false),
            is_no_touch: AtomicBool::new(false),
            descriptor,
            held: Buffers::default(),
            wait: AtomicU8::new(WAIT_NONE),
        }
    }

    /// Notes what it holds of requests.
    pub fn hold_input(&self, input: Input) {
        self.held.input.store(input.len, Ordering::Relaxed);
        self.held.input_free.store(input.free, Ordering::Relaxed);
        self.held.args.store(input.args, Ordering::Relaxed);
        self.held.queue.store(input.queue, Ordering::Relaxed);
    }

    /// Notes what it holds of answers.
    pub fn hold_unsent(&self, unsent: Unsent) {
        self.held.output.store(unsent.len, Ordering::Relaxed);
        self.held.output_large.store(unsent.large_len, Ordering::Relaxed);
        self.held.output_pieces.store(unsent.pieces, Ordering::Relaxed);
    }

    /// The bytes of answers in memory of its own.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.held.output.load(Ordering::Relaxed)
    }

    /// The bytes of requests that are not executed.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.held.input.load(Ordering::Relaxed)
    }

    /// All that it takes in memory of its own, in bytes.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        let held = &self.held;
        let parts = [&held.input, &held.input_free, &held.args, &held.queue, &held.output];
        let held: usize = parts.iter().map(|part| part.load(Ordering::Relaxed)).sum();
        let names = self.names();
        let texts = [&self.address, &self.local_address, &names.name, &names.library];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        held + texts + size_of::<Self>() + size_of::<crate::session::Session>()
    }

    /// Notes that a command of it waits.
    pub(crate) fn begin_wait(&self) {
        self.wait.store(WAIT_ON, Ordering::Relaxed);
    }

    /// Whether a command of it waits.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.wait.load(Ordering::Relaxed) == WAIT_ON
    }

    /// Whether the wait of its command was ended.
    #[must_use]
    pub fn is_unblocked(&self) -> bool {
        self.wait.load(Ordering::Relaxed) > WAIT_ON
    }

    /// Has the wait of its command end, if one waits; whether one did.
    pub(crate) fn unblock(&self, is_error: bool) -> bool {
        let ended = if is_error { WAIT_FAILED } else { WAIT_TIMED_OUT };
        self.wait.compare_exchange(WAIT_ON, ended, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Notes that no command waits any more; who ended it.
    pub(crate) fn end_wait(&self) -> Unblocked {
        match self.wait.swap(WAIT_NONE, Ordering::Relaxed) {
            WAIT_TIMED_OUT => Unblocked::AsTimedOut,
            WAIT_FAILED => Unblocked::WithError,
            _ => Unblocked::No,
        }
    }

    /// Whether it is to be closed without executing anything more.
    #[inline]
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }

    /// Its names.
    #[must_use]
    pub fn names(&self) -> Names {
        lock(&self.names).clone()
    }

    /// Changes its names.
    pub fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(&mut lock(&self.names));
    }

    /// `CLIENT NO-EVICT`: recorded, nothing follows from it.
    pub fn set_no_evict(&self, is_no_evict: bool) {
        self.is_no_evict.store(is_no_evict, Ordering::Relaxed);
    }

    /// Notes what the session did last.
    pub fn update(&self, state: ClientState) {
        self.active.store(state.now.unix().as_millis(), Ordering::Relaxed);
        self.command.store(state.command, Ordering::Relaxed);
        self.subcommand.store(state.subcommand, Ordering::Relaxed);
        self.namespace.store(state.namespace, Ordering::Relaxed);
        self.protocol.store(state.protocol, Ordering::Relaxed);
        self.queued.store(state.queued, Ordering::Relaxed);
        self.watched.store(state.watched, Ordering::Relaxed);
        self.is_no_touch.store(state.is_no_touch, Ordering::Relaxed);
    }

    /// Appends the line of `CLIENT LIST`, in the form of Redis 7.2, without a line break.
    pub fn describe(&self, now: Now, line: &mut String) {
        let names = self.names();
        let seconds = |then: u64| now.unix().as_millis().saturating_sub(then) / 1000;
        let queued = self.queued.load(Ordering::Relaxed);
        let mut flags = String::new();
        flags.extend((queued >= 0).then_some('x'));
        flags.extend(self.is_waiting().then_some('b'));
        flags.extend(self.is_no_evict.load(Ordering::Relaxed).then_some('e'));
        flags.extend(self.is_no_touch.load(Ordering::Relaxed).then_some('T'));
        let held = |part: &AtomicUsize| part.load(Ordering::Relaxed);
        let (output, pieces) = (held(&self.held.output), held(&self.held.output_pieces));
        let command = COMMANDS.get(usize::from(self.command.load(Ordering::Relaxed)));
        let sub = usize::from(self.subcommand.load(Ordering::Relaxed));
        let command = command.map(|command| command.subcommands.get(sub).unwrap_or(command));
        let written = write!(
            line,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi={queued} watch={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs=0 rbp=0 obl={} oll={} omem={} tot-mem={} events={} cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local_address,
            self.descriptor,
            names.name,
            seconds(self.since.as_millis()),
            seconds(self.active.load(Ordering::Relaxed)),
            if flags.is_empty() { "N" } else { &flags },
            self.namespace.load(Ordering::Relaxed),
            self.watched.load(Ordering::Relaxed),
            held(&self.held.input),
            held(&self.held.input_free),
            held(&self.held.args),
            held(&self.held.queue),
            output + held(&self.held.output_large),
            pieces,
            output,
            self.memory_len(),
            if pieces > 0 { "rw" } else { "r" },
            command.map_or("NULL", |command| command.name),
            self.protocol.load(Ordering::Relaxed),
            names.library,
            names.library_version,
        );
        debug_assert!(written.is_ok(), "a string takes everything");
    }

    /// How long it has been connected, in seconds.
    #[must_use]
    pub fn age_s(&self, now: Now) -> u64 {
        now.unix().as_millis().saturating_sub(self.since.as_millis()) / 1000
    }
}

/// Which commands wait while a pause lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// None.
    Off,
    /// Those that may write.
    Writes,
    /// All but those that end it.
    All,
}

/// All RESP clients of a node.
#[derive(Debug, Default)]
pub struct Clients {
    all: Mutex<BTreeMap<u64, Arc<ClientRecord>>>,
    /// Grows with every kill, so that workers know when to look.
    kills: AtomicU64,
    /// The end of the pause in milliseconds since 1970; 0: none.
    pause_until: AtomicU64,
    is_pause_of_all: AtomicBool,
    /// The most that one client held of late.
    peaks: Peaks,
}

/// The longest buffers of single clients of late, in bytes: of the present period and of the one before.
#[derive(Debug, Default)]
struct Peaks {
    input: [AtomicUsize; 2],
    output: [AtomicUsize; 2],
}

impl Clients {
    /// Lets a client in.
    pub fn add(&self, record: Arc<ClientRecord>) {
        lock(&self.all).insert(record.id, record);
    }

    /// Forgets a client.
    pub fn remove(&self, id: u64) {
        lock(&self.all).remove(&id);
    }

    /// Visits every client in the order of their numbers.
    pub fn each(&self, mut visit: impl FnMut(&ClientRecord)) {
        lock(&self.all).values().for_each(|record| visit(record));
    }

    /// Notes how long the buffers of one client are.
    pub fn note_buffers(&self, input_len: usize, output_len: usize) {
        self.peaks.input[0].fetch_max(input_len, Ordering::Relaxed);
        self.peaks.output[0].fetch_max(output_len, Ordering::Relaxed);
    }

    /// The longest input and output of a single client in this period and the one before, in bytes.
    #[must_use]
    pub fn buffers_max(&self) -> (usize, usize) {
        let most = |both: &[AtomicUsize; 2]| {
            both.iter().map(|len| len.load(Ordering::Relaxed)).max().unwrap_or(0)
        };
        (most(&self.peaks.input), most(&self.peaks.output))
    }

    /// Begins another period for [`Clients::buffers_max`]; to be called every few seconds.
    pub fn begin_period(&self) {
        let (mut input, mut output) = (0, 0);
        self.each(|record| {
            input = input.max(record.input_len());
            output = output.max(record.output_len());
        });
        for (both, now) in [(&self.peaks.input, input), (&self.peaks.output, output)] {
            both[1].store(both[0].swap(now, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Has the wait of a client's command end; whether there is such a client, and one waited.
    pub(crate) fn unblock(&self, id: u64, is_error: bool) -> bool {
        lock(&self.all).get(&id).is_some_and(|record| record.unblock(is_error))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.all).len()
    }

    /// Has every client closed that `is_meant`; how many they are. From now on they execute nothing.
    pub fn kill(&self, mut is_meant: impl FnMut(&ClientRecord) -> bool) -> usize {
        let all = lock(&self.all);
        let meant = all.values().filter(|record| is_meant(record));
        let count = meant.map(|record| record.is_killed.store(true, Ordering::Relaxed)).count();
        drop(all);
        if count > 0 {
            self.kills.fetch_add(1, Ordering::Release);
        }
        count
    }

    /// A number that grows with every kill.
    #[must_use]
    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::Acquire)
    }

    /// Has commands wait until a time; `CLIENT PAUSE`. A pause of writes does not shorten or weaken one of all.
    pub fn pause(&self, until: UnixTime, is_of_all: bool, now: Now) {
        let goes_on = self.pause_at(now) != Pause::Off;
        let before = self.pause_until.load(Ordering::Relaxed);
        let is_stronger = is_of_all || (goes_on && self.is_pause_of_all.load(Ordering::Relaxed));
        self.is_pause_of_all.store(is_stronger, Ordering::Relaxed);
        let until = if goes_on { until.as_millis().max(before) } else { until.as_millis() };
        self.pause_until.store(until, Ordering::Release);
    }

    /// Ends a pause.
    pub fn unpause(&self) {
        self.pause_until.store(0, Ordering::Release);
    }

    /// Which commands wait now.
    #[inline]
    #[must_use]
    pub fn pause_at(&self, now: Now) -> Pause {
        let until = self.pause_until.load(Ordering::Acquire);
        // Nothing is asked of the time where there is no pause: this is looked at for every request.
        if until == 0 || until <= now.unix().as_millis() {
            Pause::Off
        } else if self.is_pause_of_all.load(Ordering::Relaxed) {
            Pause::All
        } else {
            Pause::Writes
        }
    }
}

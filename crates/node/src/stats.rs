//! What a node counts: one row of counters per worker, so that no two workers write the same cache line.
//!
//! A worker counts in plain numbers ([`Counts`]) while a turn runs and adds them to its row once at the turn's end.
//! Whoever asks sums up the rows: the sum may lag by a turn, and never runs backwards.

use std::sync::atomic::{AtomicU64, Ordering};

use ringhold_types::time::Instant;
use ringhold_wire::resp::table::{COMMANDS, CommandId};

use std::time::Duration;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Connections that were let in.
    Connections,
    /// Connections that were refused: there were too many.
    ConnectionsRejected,
    /// RESP commands that were executed or refused.
    Commands,
    /// HTTP requests that were answered.
    Requests,
    /// RESP commands that were answered with an error.
    Errors,
    /// Keys that a read found.
    Hits,
    /// Keys that a read did not find.
    Misses,
    /// Bytes received from clients.
    BytesIn,
    /// Bytes sent to clients.
    BytesOut,
}

/// The number of counters.
const COUNTERS: usize = Counter::BytesOut as usize + 1;
/// The number of commands.
const COMMANDS_COUNT: usize = COMMANDS.len();
/// What is counted by command: commands, and subcommands behind them.
const CALLS: usize = COMMANDS_COUNT + subcommands_before(COMMANDS_COUNT);
/// By command, where its subcommands begin.
const SUBCOMMANDS: [usize; COMMANDS_COUNT] = {
    let mut starts = [0; COMMANDS_COUNT];
    let mut idx = 0;
    while idx < COMMANDS_COUNT {
        starts[idx] = COMMANDS_COUNT + subcommands_before(idx);
        idx += 1;
    }
    starts
};

/// The number of subcommands of all commands before `idx`.
const fn subcommands_before(mut idx: usize) -> usize {
    let mut count = 0;
    while idx > 0 {
        idx -= 1;
        count += COMMANDS[idx].subcommands.len();
    }
    count
}

/// The words that errors begin with; the last stands for all others.
const ERROR_CODES: [&str; 10] = [
    "ERR",
    "NOAUTH",
    "WRONGPASS",
    "NOPROTO",
    "OOM",
    "TRYAGAIN",
    "EXECABORT",
    "INDOUBT",
    "UNBLOCKED",
    "OTHER",
];

/// What a call is counted as: a command, or one of its subcommands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(usize);

impl CallId {
    /// A command that has no subcommands.
    #[inline]
    #[must_use]
    pub const fn plain(command: CommandId) -> Self {
        Self(command as usize)
    }

    /// A command, or that of its subcommands which `word` names.
    #[must_use]
    pub fn of(command: CommandId, word: &[u8]) -> Self {
        let row = command.command();
        if row.subcommands.is_empty() {
            return Self::plain(command);
        }
        match row.subcommand_idx(word) {
            u8::MAX => Self::plain(command),
            sub => Self(SUBCOMMANDS[command as usize] + usize::from(sub)),
        }
    }

    /// All of them, with their names.
    fn all() -> impl Iterator<Item = (usize, &'static str)> {
        let subcommands = COMMANDS.iter().flat_map(|command| command.subcommands);
        COMMANDS.iter().chain(subcommands).map(|command| command.name).enumerate()
    }
}

/// Counts of one worker's present turn.
#[derive(Clone, Debug)]
pub struct Counts {
    counters: [u64; COUNTERS],
    calls: [u64; CALLS],
    /// Calls that were refused before they were executed, and that failed; a turn with neither does not look here.
    refusals: Refusals<u64>,
    has_refusals: bool,
}

/// By command: calls that were refused before they were executed, and calls that failed.
#[derive(Clone, Debug)]
struct Refusals<N> {
    rejected: [N; CALLS],
    failed: [N; CALLS],
    /// Errors, by the word that they begin with.
    errors: [N; ERROR_CODES.len()],
}

impl Default for Counts {
    fn default() -> Self {
        let refusals =
            Refusals { rejected: [0; CALLS], failed: [0; CALLS], errors: [0; ERROR_CODES.len()] };
        Self { counters: [0; COUNTERS], calls: [0; CALLS], refusals, has_refusals: false }
    }
}

impl Counts {
    /// Counts `count` more.
    #[inline]
    pub fn add(&mut self, counter: Counter, count: u64) {
        self.counters[counter as usize] += count;
    }

    /// Counts a call of a command.
    #[inline]
    pub fn call(&mut self, CallId(idx): CallId) {
        self.calls[idx] += 1;
    }

    /// Counts an answer that is this error.
    pub fn error(&mut self, text: &str) {
        self.add(Counter::Errors, 1);
        self.has_refusals = true;
        let code = text.split(' ').next().unwrap_or_default();
        let idx = ERROR_CODES.iter().position(|known| *known == code);
        self.refusals.errors[idx.unwrap_or(ERROR_CODES.len() - 1)] += 1;
    }

    /// Counts a command that was not executed: of too few words, before authentication.
    pub fn rejected(&mut self, CallId(idx): CallId) {
        self.has_refusals = true;
        self.refusals.rejected[idx] += 1;
    }

    /// Counts a call that ended in an error.
    pub fn failed(&mut self, CallId(idx): CallId) {
        self.has_refusals = true;
        self.refusals.failed[idx] += 1;
    }
}

/// What is counted of one command or subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Its name; of a subcommand with that of its command, as `client|list`.
    pub name: &'static str,
    /// How often it was executed, failures included.
    pub calls: u64,
    /// How often it was refused before that.
    pub rejected: u64,
    /// How often it failed.
    pub failed: u64,
}

/// The counters of a worker; on cache lines of its own.
#[repr(align(128))]
#[derive(Debug)]
struct Row {
    counters: [AtomicU64; COUNTERS],
    calls: [AtomicU64; CALLS],
    refusals: Refusals<AtomicU64>,
}

/// The counters of a node.
#[derive(Debug)]
pub struct Stats {
    rows: Box<[Row]>,
    /// What is subtracted since the statistics were reset.
    base: Row,
    rate: Rate,
}

/// How many samples the rate is the mean of, as in Redis.
const SAMPLES: usize = 16;

/// Commands per second, from samples.
#[derive(Debug, Default)]
struct Rate {
    samples: [AtomicU64; SAMPLES],
    next: AtomicU64,
    last_count: AtomicU64,
    last_at: AtomicU64,
}

/// Calls, refused ones, failed ones.
const BY_COMMAND: [fn(&Row) -> &[AtomicU64; CALLS]; 3] =
    [|row| &row.calls, |row| &row.refusals.rejected, |row| &row.refusals.failed];

impl Row {
    fn zero() -> Self {
        Self {
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
            refusals: Refusals {
                rejected: std::array::from_fn(|_| AtomicU64::new(0)),
                failed: std::array::from_fn(|_| AtomicU64::new(0)),
                errors: std::array::from_fn(|_| AtomicU64::new(0)),
            },
        }
    }
}

impl Stats {
    /// Counters for `workers` workers, at zero.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            rows: (0..workers).map(|_| Row::zero()).collect(),
            base: Row::zero(),
            rate: Rate::default(),
        }
    }

    /// Adds what worker `idx` counted, and sets `counts` to zero.
    pub fn take(&self, idx: usize, counts: &mut Counts) {
        let row = &self.rows[idx % self.rows.len()];
        let add = |total: &AtomicU64, count: &mut u64| {
            if *count > 0 {
                total.fetch_add(std::mem::take(count), Ordering::Relaxed);
            }
        };
        row.counters.iter().zip(&mut counts.counters).for_each(|(total, count)| add(total, count));
        row.calls.iter().zip(&mut counts.calls).for_each(|(total, count)| add(total, count));
        if std::mem::take(&mut counts.has_refusals) {
            let (total, count) = (&row.refusals, &mut counts.refusals);
            total.rejected.iter().zip(&mut count.rejected).for_each(|(a, b)| add(a, b));
            total.failed.iter().zip(&mut count.failed).for_each(|(a, b)| add(a, b));
            total.errors.iter().zip(&mut count.errors).for_each(|(a, b)| add(a, b));
        }
    }

    /// Counts outside of a turn.
    pub fn add(&self, idx: usize, counter: Counter, count: u64) {
        let row = &self.rows[idx % self.rows.len()];
        row.counters[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// The node's count since the start, or since the last reset.
    #[must_use]
    pub fn total(&self, counter: Counter) -> u64 {
        let base = self.base.counters[counter as usize].load(Ordering::Relaxed);
        self.sum(counter).saturating_sub(base)
    }

    /// The calls of each command that was called or refused since the start, or since the last reset.
    pub fn calls(&self) -> impl Iterator<Item = Calls> {
        CallId::all().filter_map(|(idx, name)| {
            let since = |of: fn(&Row) -> &[AtomicU64; CALLS]| {
                let base = of(&self.base)[idx].load(Ordering::Relaxed);
                self.sum_by_command(of, idx).saturating_sub(base)
            };
            let [calls, rejected, failed] = BY_COMMAND.map(since);
            let is_used = calls > 0 || rejected > 0 || failed > 0;
            is_used.then_some(Calls { name, calls, rejected, failed })
        })
    }

    /// The words that errors began with since the start, or since the last reset, and how many did.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERROR_CODES.iter().enumerate().filter_map(|(idx, code)| {
            let base = self.base.refusals.errors[idx].load(Ordering::Relaxed);
            let count = self.sum_errors(idx).saturating_sub(base);
            (count > 0).then_some((*code, count))
        })
    }

    /// Begins to count anew.
    pub fn reset(&self) {
        for (idx, base) in self.base.counters.iter().enumerate() {
            let sum = self.rows.iter().map(|row| row.counters[idx].load(Ordering::Relaxed)).sum();
            base.store(sum, Ordering::Relaxed);
        }
        for of in BY_COMMAND {
            for (idx, base) in of(&self.base).iter().enumerate() {
                base.store(self.sum_by_command(of, idx), Ordering::Relaxed);
            }
        }
        for (idx, base) in self.base.refusals.errors.iter().enumerate() {
            base.store(self.sum_errors(idx), Ordering::Relaxed);
        }
    }

    /// Takes a sample for [`Stats::commands_per_second`]; to be called every 100 ms by one worker.
    pub fn sample(&self, now: Instant) {
        let count = self.sum(Counter::Commands) + self.sum(Counter::Requests);
        let past = now.since(Instant(self.rate.last_at.swap(now.0, Ordering::Relaxed)));
        let more = count.saturating_sub(self.rate.last_count.swap(count, Ordering::Relaxed));
        let micros = u64::try_from(past.as_micros()).unwrap_or(u64::MAX).max(1);
        if past < Duration::from_secs(10) {
            let next = self.rate.next.fetch_add(1, Ordering::Relaxed);
            let sample = &self.rate.samples[usize::try_from(next).unwrap_or(0) % SAMPLES];
            sample.store(more.saturating_mul(1_000_000) / micros, Ordering::Relaxed);
        }
    }

    /// The mean of the last samples, in commands per second.
    #[must_use]
    pub fn commands_per_second(&self) -> u64 {
        let sum: u64 = self.rate.samples.iter().map(|sample| sample.load(Ordering::Relaxed)).sum();
        sum / 16
    }

    fn sum(&self, counter: Counter) -> u64 {
        self.rows.iter().map(|row| row.counters[counter as usize].load(Ordering::Relaxed)).sum()
    }

    fn sum_errors(&self, idx: usize) -> u64 {
        let of_row = |row: &Row| row.refusals.errors[idx].load(Ordering::Relaxed);
        self.rows.iter().map(of_row).sum()
    }

    fn sum_by_command(&self, of: fn(&Row) -> &[AtomicU64; CALLS], idx: usize) -> u64 {
        self.rows.iter().map(|row| of(row)[idx].load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_workers_are_summed_and_can_be_reset() {
        let stats = Stats::new(2);
        for worker in 0..2 {
            let mut counts = Counts::default();
            counts.add(Counter::Hits, 3);
            counts.call(CallId::plain(CommandId::Get));
            counts.call(CallId::of(CommandId::Incr, b"k"));
            counts.failed(CallId::plain(CommandId::Incr));
            counts.rejected(CallId::plain(CommandId::Set));
            counts.call(CallId::of(CommandId::Client, b"LIST"));
            counts.call(CallId::of(CommandId::Object, b"freq"));
            counts.call(CallId::of(CommandId::Client, b"none"));
            counts.error("OOM command not allowed");
            counts.error("SOMETHING else");
            stats.take(worker, &mut counts);
            stats.take(worker, &mut counts);
        }
        assert_eq!(stats.total(Counter::Hits), 6);
        let row = |name, calls, rejected, failed| Calls { name, calls, rejected, failed };
        let mut seen: Vec<_> = stats.calls().collect();
        seen.sort_unstable_by_key(|calls| calls.name);
        let expected = [
            row("client", 2, 0, 0),
            row("client|list", 2, 0, 0),
            row("get", 2, 0, 0),
            row("incr", 2, 0, 2),
            row("object|freq", 2, 0, 0),
            row("set", 0, 2, 0),
        ];
        assert_eq!(seen, expected);
        assert_eq!(stats.errors().collect::<Vec<_>>(), [("OOM", 2), ("OTHER", 2)]);
        assert_eq!(stats.total(Counter::Errors), 4);
        stats.reset();
        assert_eq!(stats.total(Counter::Hits), 0);
        assert_eq!((stats.calls().count(), stats.errors().count()), (0, 0));
        stats.add(1, Counter::Commands, 16);
        stats.sample(Instant(1_000_000_000));
        assert_eq!(stats.commands_per_second(), 1, "16 in a second, then 15 samples of nothing");
    }
}

//! What the answers were: counts and latencies of one thread, added up at the end.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// The longest latency told apart, in nanoseconds: one hour.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// What became of one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// A read found its value, and it was right.
    Hit,
    /// A read found nothing.
    Miss,
    /// A write was acknowledged.
    Stored,
    /// An answer that is not the value of the key, or no answer to this request at all.
    Wrong,
    /// The server said no; the kind is counted apart.
    Refused,
}

/// Counts and latencies.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Reads that found their value.
    pub(crate) hits: u64,
    /// Reads that found nothing.
    pub(crate) misses: u64,
    /// Acknowledged writes.
    pub(crate) stored: u64,
    /// Wrong answers. Never reset: one before the measured part fails the run as well.
    pub(crate) wrong: u64,
    /// Errors by kind. Never reset.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Latencies of the measured part in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Every answer since the start, of any outcome but `Refused`.
    pub(crate) answered: u64,
    measured: u64,
    /// Whether latencies and outcomes count.
    is_measuring: bool,
    /// Latency not yet put into the histogram, and how many answers had it.
    run: (u64, u64),
}

impl Tally {
    /// An empty tally that does not measure yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            hits: 0,
            misses: 0,
            stored: 0,
            wrong: 0,
            errors: BTreeMap::new(),
            latency: Histogram::new_with_max(LATENCY_MAX_NS, 3)?,
            answered: 0,
            measured: 0,
            is_measuring: false,
            run: (0, 0),
        })
    }

    /// Starts the measured part: what was counted so far was the warm-up.
    pub(crate) fn start_measuring(&mut self) {
        (self.hits, self.misses, self.stored, self.run) = (0, 0, 0, (0, 0));
        self.latency.reset();
        self.is_measuring = true;
    }

    /// Answers of the measured part, right, wrong and refused.
    pub(crate) fn measured(&self) -> u64 {
        self.measured
    }

    /// Counts an answer that took `latency_ns`.
    pub(crate) fn record(&mut self, outcome: Outcome, latency_ns: u64) {
        self.measured += u64::from(self.is_measuring);
        match outcome {
            Outcome::Hit => self.hits += 1,
            Outcome::Miss => self.misses += 1,
            Outcome::Stored => self.stored += 1,
            Outcome::Wrong => self.wrong += 1,
            Outcome::Refused => return,
        }
        self.answered += 1;
        if !self.is_measuring {
            return;
        }
        // Answers to one batch share their latency: one visit to the histogram for all of them.
        if latency_ns == self.run.0 {
            self.run.1 += 1;
        } else {
            self.flush();
            self.run = (latency_ns, 1);
        }
    }

    /// Counts an error of `kind`.
    pub(crate) fn error(&mut self, kind: &str, count: u64) {
        if count > 0 {
            *self.errors.entry(kind.to_owned()).or_insert(0) += count;
        }
    }

    /// Adds the counts of another thread.
    pub(crate) fn add(&mut self, other: &mut Self) -> anyhow::Result<()> {
        other.flush();
        self.hits += other.hits;
        self.misses += other.misses;
        self.stored += other.stored;
        self.wrong += other.wrong;
        self.answered += other.answered;
        for (kind, count) in &other.errors {
            self.error(kind, *count);
        }
        self.latency.add(&other.latency)?;
        Ok(())
    }

    fn flush(&mut self) {
        self.latency.saturating_record_n(self.run.0, self.run.1);
        self.run.1 = 0;
    }
}

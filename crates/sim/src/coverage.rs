//! Counts named events, so that a run of many seeds says what it exercised.

use std::collections::BTreeMap;

/// How often each named event happened in one seed.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Counts an event once.
    pub fn count(&mut self, event: &'static str) {
        *self.counts.entry(event).or_default() += 1;
    }

    /// How often an event happened.
    #[must_use]
    pub fn of(&self, event: &str) -> u64 {
        self.counts.get(event).copied().unwrap_or(0)
    }

    /// Events and counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(&event, &count)| (event, count))
    }
}

/// In how many seeds each event happened.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    seeds: u64,
    events: BTreeMap<&'static str, (u64, u64)>,
}

/// An event that must happen in a share of the seeds.
#[derive(Clone, Copy, Debug)]
pub struct Minimum {
    /// The event.
    pub event: &'static str,
    /// In how many of a hundred seeds, 0 to 100.
    pub percent: u64,
}

impl Shares {
    /// Adds one seed.
    pub fn add(&mut self, coverage: &Coverage) {
        self.seeds += 1;
        for (event, count) in coverage.iter() {
            let (seeds, times) = self.events.entry(event).or_default();
            *seeds += 1;
            *times += count;
        }
    }

    /// Percent of the seeds in which an event happened, rounded down.
    #[must_use]
    pub fn percent(&self, event: &str) -> u64 {
        let seeds = self.events.get(event).map_or(0, |counts| counts.0);
        (seeds * 100).checked_div(self.seeds).unwrap_or(0)
    }

    /// The minimums that were not reached.
    pub fn missed(&self, minimums: &[Minimum]) -> Vec<Minimum> {
        minimums.iter().copied().filter(|one| self.percent(one.event) < one.percent).collect()
    }

    /// One line per event: name, percent of seeds, times in all.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.events.iter().map(|(event, (_, times))| {
            format!("{event:<28} {:>3} % {times:>9} times", self.percent(event))
        })
    }
}

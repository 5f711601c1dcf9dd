//! Makes a failing seed smaller while it still fails in the same way: fewer kinds of faults, a shorter run, fewer clients.
//!
//! Greedy, as delta debugging (Zeller and Hildebrandt, TSE 2002) with one feature at a time: each change is kept if the anomaly's kind
//! stays. A change shifts what the rest of the seed does, so the result is *a* failing run near the first, not a part of it.

use core::fmt::Write;

use crate::faults::KindSet;
use crate::runner;
use crate::swarm::{Mix, Overrides};
use crate::system::Entry;

/// The shortest run tried, in milliseconds.
const DURATION_MIN_MS: u64 = 500;

/// Overrides under which the seed still shows an anomaly of the same kind; `overrides` if it shows none to begin with.
#[must_use]
pub fn minimize(entry: &Entry, seed: u64, overrides: &Overrides) -> Overrides {
    let mut best = overrides.clone();
    let Some(anomaly) = runner::run(entry, seed, &best, false).anomaly else { return best };
    let fails = |tried: &Overrides| {
        let report = runner::run(entry, seed, tried, false);
        report.anomaly.is_some_and(|found| found.kind == anomaly.kind)
    };
    let profile = (entry.make)().profile();
    loop {
        let before = best.clone();
        let mix = Mix::draw(seed, &profile, &best);
        for kind in mix.kinds.iter() {
            let mut tried = best.clone();
            tried.without = tried.without.with(kind);
            if fails(&tried) {
                best = tried;
            }
        }
        let duration_ms = u64::try_from(mix.duration.as_millis()).unwrap_or(u64::MAX);
        for share in [2, 3] {
            let shorter = duration_ms / 4 * share;
            let tried = Overrides { duration_ms: Some(shorter), ..best.clone() };
            if shorter >= DURATION_MIN_MS && fails(&tried) {
                best = tried;
                break;
            }
        }
        for clients in [mix.clients / 2, mix.clients.saturating_sub(1)] {
            let tried = Overrides { clients: Some(clients), ..best.clone() };
            if clients > 0 && clients < mix.clients && fails(&tried) {
                best = tried;
                break;
            }
        }
        if best == before {
            return best;
        }
    }
}

/// The flags that repeat a run with these overrides.
#[must_use]
pub fn flags(overrides: &Overrides) -> String {
    let mut flags = String::new();
    if overrides.without != KindSet::default() {
        let kinds: Vec<&str> =
            overrides.without.iter().map(crate::faults::FaultKind::name).collect();
        write!(flags, " --without {}", kinds.join(",")).expect("writing to a string");
    }
    if let Some(duration_ms) = overrides.duration_ms {
        write!(flags, " --duration-ms {duration_ms}").expect("writing to a string");
    }
    if let Some(clients) = overrides.clients {
        write!(flags, " --clients {clients}").expect("writing to a string");
    }
    if let Some(mode) = overrides.mode {
        let mode = match mode {
            crate::swarm::Mode::OneAtATime => "one",
            crate::swarm::Mode::Chaos => "chaos",
        };
        write!(flags, " --mode {mode}").expect("writing to a string");
    }
    flags
}

//! `seeds.txt`: seeds that once failed, or that show something rare; run by CI each time.
//!
//! One per line: the system, the seed, then flags as on the command line (`--without`, `--duration-ms`, `--clients`, `--mode`).
//! `#` begins a comment, which says why the seed is kept. Seeds of a flawed system must be caught.
//!
//! ```text
//! register 17                        # a reset during a vote
//! register-split-brain 3 --clients 2
//! ```

use crate::faults::{FaultKind, KindSet};
use crate::swarm::{Mode, Overrides};

/// A kept seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The system's name.
    pub system: String,
    /// The seed.
    pub seed: u64,
    /// What is left out or fixed.
    pub overrides: Overrides,
}

/// Reads a file of kept seeds.
///
/// # Errors
///
/// The number of the line that makes no sense, from 1, and why.
pub fn parse(text: &str) -> Result<Vec<Kept>, (usize, String)> {
    let mut kept = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(system) = words.next() else { continue };
        let fail = |why: &str| (idx + 1, why.to_owned());
        let seed = words.next().and_then(|word| word.parse().ok());
        let seed = seed.ok_or_else(|| fail("a seed is a number"))?;
        let mut overrides = Overrides::default();
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| fail("a flag has a value"))?;
            let is_known = set(&mut overrides, flag, value);
            is_known.ok_or_else(|| fail(&format!("`{flag} {value}` is not known")))?;
        }
        kept.push(Kept { system: system.to_owned(), seed, overrides });
    }
    Ok(kept)
}

fn set(overrides: &mut Overrides, flag: &str, value: &str) -> Option<()> {
    match flag {
        "--without" => overrides.without = kinds(value)?,
        "--duration-ms" => overrides.duration_ms = Some(value.parse().ok()?),
        "--clients" => overrides.clients = Some(value.parse().ok()?),
        "--mode" => overrides.mode = Some(mode(value)?),
        _ => return None,
    }
    Some(())
}

/// Kinds of faults by name, with commas between.
#[must_use]
pub fn kinds(text: &str) -> Option<KindSet> {
    text.split(',')
        .try_fold(KindSet::default(), |set, name| Some(set.with(FaultKind::named(name)?)))
}

/// A mode by name: `one` or `chaos`.
#[must_use]
pub fn mode(name: &str) -> Option<Mode> {
    match name {
        "one" => Some(Mode::OneAtATime),
        "chaos" => Some(Mode::Chaos),
        _ => None,
    }
}

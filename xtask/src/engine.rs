//! `cargo xtask bench engine`: the acceptance of the engine alone (ENGINE.md, 17), without a server around it.
//!
//! Times are processor time of the one thread, where a call is long enough to take it; ratios are taken within a round, and
//! their median counts. Each part in a file of its own: [`lookup`], [`longest`], [`expiry`], [`slot_scan`].

mod expiry;
mod longest;
mod lookup;
mod slot_scan;

use std::path::Path;

use anyhow::{Context, bail, ensure};
use ringhold_store::shard::Work;
use serde_json::json;

use crate::record;

/// Bytes of a key and of a value, where nothing else is said.
const KEY_LEN: usize = 32;
const VALUE_LEN: usize = 100;
/// What one call may do at most (ENGINE.md, G5): segments evacuated, words moved, bytes copied.
const EVACUATIONS_MAX: u64 = 4;
const WORDS_MAX: u64 = 32 * 1024;
const COPIED_MAX: u64 = 64 * 1024;

/// The parts, as flags and records call them.
const PARTS: [&str; 4] = ["lookup", "longest", "expiry", "scan"];

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Of the search for the longest call.
    operations: u64,
    rounds: usize,
    /// The only part to run, if not all.
    part: Option<&'static str>,
}

impl Plan {
    /// Reads the flags.
    pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<Self> {
        let mut plan = Self { operations: 100_000_000, rounds: 5, part: None };
        for pair in flags.chunks(2) {
            match *pair {
                ["--operations", number] => {
                    plan.operations = number.parse().context("--operations")?;
                }
                ["--rounds", number] => plan.rounds = number.parse().context("--rounds")?,
                ["--part", name] => {
                    let known = PARTS.into_iter().find(|part| *part == name);
                    plan.part = Some(known.with_context(|| format!("--part: one of {PARTS:?}"))?);
                }
                _ => bail!("bench engine knows --operations N, --rounds N and --part NAME"),
            }
        }
        ensure!(plan.rounds > 0 && plan.operations > 0, "at least one round and one operation");
        Ok(plan)
    }
}

/// Runs the parts and writes the record.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let (mut text, mut figures) = (String::new(), json!({}));
    for part in PARTS.into_iter().filter(|part| plan.part.is_none_or(|only| only == *part)) {
        let (page, found) = match part {
            "lookup" => lookup::run(plan.rounds)?,
            "longest" => longest::run(plan.operations)?,
            "expiry" => expiry::run()?,
            _ => slot_scan::run(plan.rounds)?,
        };
        text.push_str(&page);
        figures[part] = found;
    }
    let only = plan.part.map_or_else(String::new, |part| format!(" --part {part}"));
    let command = format!(
        "cargo xtask bench engine --operations {} --rounds {}{only}",
        plan.operations, plan.rounds
    );
    let topic = plan.part.map_or_else(|| "engine".to_owned(), |part| format!("engine-{part}"));
    record::write(root, (&topic, "Engine"), &command, &text, &figures)
}

/// The most that any of some calls did.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    evacuations: u64,
    words: u64,
    copied: u64,
}

impl Most {
    /// Notes a call that brought the counters from `before` to `after`.
    fn note(&mut self, before: Work, after: Work) {
        self.evacuations = self.evacuations.max(after.evacuations - before.evacuations);
        self.words = self.words.max(after.words_moved - before.words_moved);
        self.copied = self.copied.max(after.bytes_moved - before.bytes_moved);
    }

    /// Whether all is within G5, if `evacuations` segments are allowed and `copied` bytes.
    fn is_within(&self, evacuations: u64, copied: u64) -> bool {
        self.evacuations <= evacuations && self.words <= WORDS_MAX && self.copied <= copied
    }
}

/// A key of [`KEY_LEN`] bytes.
fn key(number: u32) -> [u8; KEY_LEN] {
    let (mut key, mut left) = ([b'0'; KEY_LEN], number);
    for digit in key.iter_mut().rev() {
        *digit += u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    key
}

/// Nanoseconds, for figures.
fn ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

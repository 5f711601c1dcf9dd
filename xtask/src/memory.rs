//! `cargo xtask bench memory`: what an entry takes beyond its key and value, and what a process takes in all.
//!
//! *Overhead*: resident memory of the server's process less that of the empty process, less the bytes of the keys and
//! values it holds, over the entries it holds. It is taken when freshly filled and after a full turnover (every key
//! written over once, in random order, by a value of another length, so that nothing fits into the old one's place), in
//! memory that is not full and in memory for four fifths of the entries. What a server holds in the end is read back, and
//! every value is checked.
//!
//! The parts in files of their own: [`churn`], large and small values under idle connections; [`start`], a fresh process.

mod churn;
mod start;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use ringhold_types::prng::Prng;
use serde_json::{Value, json};

use crate::client::{Client, pipelined};
use crate::record::{self, say, verdict};
use crate::servers::{Program, build};

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of a value when it is written first, and of the shortest and the longest that is written over it.
const FIRST_LEN: usize = 100;
const LENS: (usize, usize) = (80, 120);
/// Threads of ringhold and memcached.
const THREADS: usize = 2;
/// Connections of the load.
const CONNECTIONS: usize = 4;
/// What must be reached after a turnover (ENGINE.md, 17), in bytes.
const OVERHEAD_MAX: f64 = 26.0;
/// Full memory has room for this share of what the entries take in memory that is not full.
const FULL_SHARE: (u64, u64) = (4, 5);

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    entries: u32,
    /// How often every key is written over.
    rounds: u32,
    /// By what.
    lens: Lens,
}

/// The lengths of the values that are written over the first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lens {
    /// That of the first ones.
    Same,
    /// Drawn, and never so near the one before that it would fit into its place.
    Other,
}

impl Plan {
    /// Reads the flags.
    pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<Self> {
        let mut plan = Self { entries: 10_000_000, rounds: 1, lens: Lens::Other };
        for pair in flags.chunks(2) {
            match *pair {
                ["--entries", number] => plan.entries = number.parse().context("--entries")?,
                ["--rounds", number] => plan.rounds = number.parse().context("--rounds")?,
                ["--lens", "same"] => plan.lens = Lens::Same,
                ["--lens", "other"] => plan.lens = Lens::Other,
                _ => bail!("bench memory knows --entries N, --rounds N and --lens same|other"),
            }
        }
        ensure!(plan.entries > 0, "at least one entry");
        Ok(plan)
    }
}

/// Runs everything and writes the record.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let tool = build(root)?;
    let (start_text, start) = start::run(&tool)?;
    let (churn_text, churn) = churn::run(&tool)?;
    let mut rows = Vec::new();
    for program in [Program::Ringhold, Program::RedisLru, Program::Memcached] {
        let ample = ((u64::from(plan.entries) * 400) >> 20).max(64);
        let ample = overhead(program, &tool, plan, ample)?;
        let taken = ample.filled.context("memory that is not full is measured when filled")?;
        let full = (taken - ample.empty) * FULL_SHARE.0 / FULL_SHARE.1;
        rows.push(ample);
        rows.push(overhead(program, &tool, plan, (full >> 20).max(8))?);
    }
    let text = format!("{}{churn_text}{start_text}", table(plan, &rows)?);
    let figures = json!({ "entries": plan.entries, "rounds": plan.rounds, "churn": churn, "start": start,
        "overhead": rows.iter().map(Row::json).collect::<Vec<_>>() });
    let lens = if plan.lens == Lens::Same { "same" } else { "other" };
    let command = format!(
        "cargo xtask bench memory --entries {} --rounds {} --lens {lens}",
        plan.entries, plan.rounds
    );
    let name = if plan.lens == Lens::Same { "memory-same" } else { "memory" };
    record::write(root, (name, "Memory"), &command, &text, &figures)
}

/// Resident memory of one server, in bytes.
struct Row {
    program: Program,
    limit_mib: u64,
    empty: u64,
    /// When filled, if everything was kept.
    filled: Option<u64>,
    turned: u64,
    entries: u32,
    /// Bytes of the keys and values held in the end.
    held: u64,
}

impl Row {
    fn overhead_filled(&self, plan: Plan) -> Option<f64> {
        let held = u64::from(plan.entries) * as_u64(KEY_LEN + FIRST_LEN);
        self.filled.map(|filled| per_entry(filled, self.empty + held, plan.entries))
    }

    fn overhead(&self) -> f64 {
        per_entry(self.turned, self.empty + self.held, self.entries)
    }

    fn json(&self) -> Value {
        json!({ "server": self.program.name(), "limit_mib": self.limit_mib, "empty_rss": self.empty,
            "filled_rss": self.filled, "turned_rss": self.turned, "entries": self.entries,
            "key_and_value_bytes": self.held, "overhead_after_turnover": self.overhead() })
    }
}

fn per_entry(rss: u64, without: u64, entries: u32) -> f64 {
    (rss as f64 - without as f64) / f64::from(entries.max(1))
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Fills a server, writes over everything and reads back what is there.
fn overhead(program: Program, tool: &str, plan: Plan, limit_mib: u64) -> anyhow::Result<Row> {
    let server = program.start(tool, limit_mib << 20, THREADS)?;
    let open = |_| Client::open(server.port, program.protocol());
    let mut clients = (0..CONNECTIONS).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let empty = server.settled_rss()?;
    let mut refused = write(&mut clients, 0..plan.entries, (0, plan.lens))?;
    let filled = server.settled_rss()?;
    say(&format!("{} {limit_mib} MiB: filled, {} KiB", program.name(), filled / 1024))?;
    let mut numbers: Vec<u32> = (0..plan.entries).collect();
    for round in 1..=plan.rounds {
        shuffle(&mut numbers, round);
        refused += write(&mut clients, numbers.iter().copied(), (round, plan.lens))?;
    }
    let turned = server.settled_rss()?;
    let (entries, held) = held(&mut clients, plan)?;
    say(&format!(
        "{} {limit_mib} MiB: written over, {} KiB, {entries} entries, {refused} writes refused",
        program.name(),
        turned / 1024
    ))?;
    let filled = (entries == plan.entries).then_some(filled);
    Ok(Row { program, limit_mib, empty, filled, turned, entries, held })
}

/// Writes the values of `round`; how many were refused.
fn write(
    clients: &mut [Client],
    numbers: impl Iterator<Item = u32>,
    (round, lens): (u32, Lens),
) -> anyhow::Result<u64> {
    let (mut value, mut refused) = (Vec::new(), 0);
    let set = |client: &mut Client, number: u32| {
        write_value(number, (round, lens), &mut value);
        client.set(&key(number), &value);
    };
    pipelined(clients, numbers, set, |client, _| {
        refused += u64::from(!client.stored()?);
        Ok(())
    })?;
    Ok(refused)
}

/// Reads every key: how many there are, and the bytes of their keys and values, which must be those of the last round.
fn held(clients: &mut [Client], plan: Plan) -> anyhow::Result<(u32, u64)> {
    let (mut entries, mut bytes, mut value) = (0, 0, Vec::new());
    let get = |client: &mut Client, number: u32| client.get(&key(number));
    pipelined(clients, 0..plan.entries, get, |client, number| {
        if let Some(found) = client.got()? {
            write_value(number, (plan.rounds, plan.lens), &mut value);
            ensure!(found == value, "key {number} has a value that was not written last");
            entries += 1;
            bytes += as_u64(KEY_LEN + value.len());
        }
        Ok(())
    })?;
    Ok((entries, bytes))
}

fn key(number: u32) -> [u8; KEY_LEN] {
    let (mut key, mut left) = ([b'0'; KEY_LEN], number);
    for digit in key.iter_mut().rev() {
        *digit += u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    key
}

/// The length of a key's value in a round: drawn, and never so near the one before that it would fit into its place.
fn value_len(number: u32, round: u32) -> usize {
    let mut len = FIRST_LEN;
    for round in 1..=round {
        let mut prng = Prng::new(u64::from(round) << 32 | u64::from(number));
        let before = len;
        while len.next_multiple_of(4) == before.next_multiple_of(4) {
            len = LENS.0 + usize::try_from(prng.below(as_u64(LENS.1 - LENS.0 + 1))).unwrap_or(0);
        }
    }
    len
}

fn write_value(number: u32, (round, lens): (u32, Lens), value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(&number.to_le_bytes());
    value.extend_from_slice(&round.to_le_bytes());
    let len = if lens == Lens::Same { FIRST_LEN } else { value_len(number, round) };
    value.resize(len, b'v');
}

fn shuffle(numbers: &mut [u32], seed: u32) {
    let mut prng = Prng::new(u64::from(seed));
    for at in (1..numbers.len()).rev() {
        numbers.swap(at, usize::try_from(prng.below(as_u64(at) + 1)).unwrap_or(0));
    }
}

fn table(plan: Plan, rows: &[Row]) -> anyhow::Result<String> {
    let lens = match plan.lens {
        Lens::Same => "the same length".to_owned(),
        Lens::Other => {
            format!("{} to {} B, none of which fits into its predecessor's place", LENS.0, LENS.1)
        }
    };
    let mut text = format!(
        "## Overhead per entry\n\n{} entries, keys of {KEY_LEN} B, values of {FIRST_LEN} B, then {} turnover(s) in random order \
         by values of {}; no time to live. Bytes of resident memory \
         beyond the empty process, keys and values. Must: at most {OVERHEAD_MAX} after a turnover.\n\n\
         | server | limit, MiB | empty, KiB | filled, KiB | turned over, KiB | entries in the end | overhead filled | overhead turned over | must |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|---|\n",
        plan.entries, plan.rounds, lens
    );
    for row in rows {
        let filled = row.filled.map_or_else(|| "full".to_owned(), |rss| (rss / 1024).to_string());
        let fresh =
            row.overhead_filled(plan).map_or_else(String::new, |bytes| format!("{bytes:.1}"));
        let is_met = row.overhead() <= OVERHEAD_MAX;
        let must = if row.program == Program::Ringhold { verdict(is_met) } else { "" };
        writeln!(
            text,
            "| {} | {} | {} | {filled} | {} | {} | {fresh} | {:.1} | {must} |",
            row.program.name(),
            row.limit_mib,
            row.empty / 1024,
            row.turned / 1024,
            row.entries,
            row.overhead()
        )?;
    }
    text.push('\n');
    Ok(text)
}

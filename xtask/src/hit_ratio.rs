//! `cargo xtask bench hit-ratio`: the engine against simulators of policies, on generated requests and traces.
//!
//! Every key has a size of its own ([`requests::value_len`]). All have the same budget; the engine's covers its
//! tables, directories and reserve, a simulator counts an entry's item and 12 bytes more and nothing else. The first
//! quarter of the requests warms the cache up.
//!
//! [`servers`] compares real servers at equal memory of the whole process instead.

mod engine;
mod policies;
pub(crate) mod requests;
pub(crate) mod servers;
mod tiny;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use engine::Engine;
use policies::{Cache, Judge, Lru, S3Fifo};
use requests::{Replay, Requests, value_len};
use tiny::TinyLfu;

/// The caches, in the order of the columns.
const NAMES: [&str; 5] = ["engine", "simulator", "S3-FIFO", "W-TinyLFU", "LRU"];

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    traces: Vec<PathBuf>,
    budgets_mib: Vec<u64>,
    cores: usize,
    record: Option<PathBuf>,
}

impl Plan {
    /// Reads the flags.
    pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<Self> {
        let mut plan = Self { traces: vec![], budgets_mib: vec![], cores: 2, record: None };
        for pair in flags.chunks(2) {
            match *pair {
                ["--trace", path] => plan.traces.push(path.into()),
                ["--budget-mib", number] => {
                    plan.budgets_mib.push(number.parse().context("--budget-mib")?);
                }
                ["--cores", number] => plan.cores = number.parse().context("--cores")?,
                ["--record", path] => plan.record = Some(path.into()),
                _ => bail!(
                    "bench hit-ratio knows --trace FILE, --budget-mib N, --cores N and --record NAME"
                ),
            }
        }
        if plan.budgets_mib.is_empty() {
            plan.budgets_mib = vec![8, 16, 64];
        }
        Ok(plan)
    }
}

/// Hits and bytes hit, in per cent.
type Ratio = (f64, f64);

struct Row {
    name: String,
    copies: u32,
    ratios: [Ratio; 5],
    refused: u64,
}

/// Runs the plan; prints the tables and writes the record if one is wanted.
pub(crate) fn run(root: &Path, plan: &Plan) -> anyhow::Result<()> {
    let mut sources = Requests::generated();
    for path in &plan.traces {
        sources.push(Requests::read(path)?);
    }
    let (mut text, mut records) = (String::new(), Vec::new());
    for &mib in &plan.budgets_mib {
        let budget = mib << 20;
        let mut rows = Vec::new();
        for source in &sources {
            let replay = source.for_budget(budget);
            let mut engine = Engine::new(budget, plan.cores)?;
            let ratios = [
                replayed(&replay, &mut engine),
                replayed(&replay, &mut S3Fifo::new(Judge::Credits, budget, replay.count)),
                replayed(&replay, &mut S3Fifo::new(Judge::Paper, budget, replay.count)),
                replayed(&replay, &mut TinyLfu::new(budget, replay.count)),
                replayed(&replay, &mut Lru::new(budget, replay.count)),
            ];
            let (evacuations, moved, evicted) = engine.work();
            writeln!(
                std::io::stderr(),
                "{mib} MiB {}: {:.2} {:.2}, {evacuations} segments evacuated, {moved} moved, {evicted} evicted, {} refused",
                source.name,
                ratios[0].0,
                ratios[1].0,
                engine.refused
            )?;
            let (name, refused) = (source.name.clone(), engine.refused);
            rows.push(Row { name, copies: replay.copies, ratios, refused });
        }
        text.push_str(&table(mib, &rows)?);
        records.push(
            json!({ "budget_mib": mib, "rows": rows.iter().map(record).collect::<Vec<_>>() }),
        );
    }
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(name) = &plan.record {
        let base = root.join("bench/record").join(name);
        let commit =
            std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output()?;
        let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
        let head = format!(
            "# Hit ratio\n\nCommit {commit}. `cargo xtask bench hit-ratio`, engine for {} cores. Hits in per cent of the \
             requests after the first quarter, in brackets of the bytes. *simulator*: the engine's own policy, entry by \
             entry, without segments. Sizes: Facebook's ETC (mean 329 B), drawn once per key. *copies*: how often a trace \
             is repeated with shifted keys so that its keys take three times the budget.\n\n",
            plan.cores
        );
        std::fs::write(base.with_extension("md"), head + &text)?;
        let all = json!({ "commit": commit, "cores": plan.cores, "budgets": records });
        std::fs::write(base.with_extension("json"), format!("{all:#}\n"))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn replayed(replay: &Replay, cache: &mut impl Cache) -> Ratio {
    let warm = replay.keys.len() / 4;
    let (mut hits, mut hit_bytes, mut bytes) = (0u64, 0u64, 0u64);
    for (at, &key) in replay.keys.iter().enumerate() {
        let is_hit = cache.get(key);
        if at >= warm {
            let len = value_len(key);
            bytes += len;
            hits += u64::from(is_hit);
            hit_bytes += if is_hit { len } else { 0 };
        }
    }
    let counted = (replay.keys.len() - warm).max(1) as f64;
    (hits as f64 * 100.0 / counted, hit_bytes as f64 * 100.0 / bytes.max(1) as f64)
}

#[expect(clippy::cast_precision_loss, reason = "few rows")]
fn table(mib: u64, rows: &[Row]) -> anyhow::Result<String> {
    let mut text = format!("## {mib} MiB\n\n| requests | copies | engine - simulator |");
    for name in NAMES {
        write!(text, " {name} |")?;
    }
    text.push_str("\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for row in rows {
        write!(
            text,
            "| {} | {} | {:+.2} |",
            row.name,
            row.copies,
            row.ratios[0].0 - row.ratios[1].0
        )?;
        for (hits, bytes) in row.ratios {
            write!(text, " {hits:.2} ({bytes:.2}) |")?;
        }
        text.push('\n');
    }
    let mean = |of: usize| {
        let sum = rows
            .iter()
            .fold((0.0, 0.0), |sum, row| (sum.0 + row.ratios[of].0, sum.1 + row.ratios[of].1));
        (sum.0 / rows.len() as f64, sum.1 / rows.len() as f64)
    };
    write!(text, "| **mean** | | **{:+.2}** |", mean(0).0 - mean(1).0)?;
    for of in 0..NAMES.len() {
        write!(text, " {:.2} ({:.2}) |", mean(of).0, mean(of).1)?;
    }
    text.push_str("\n\n");
    Ok(text)
}

fn record(row: &Row) -> Value {
    let mut json = json!({ "requests": row.name, "copies": row.copies, "refused": row.refused });
    for (name, (hits, bytes)) in NAMES.iter().zip(row.ratios) {
        json[*name] = json!({ "hits": hits, "bytes": bytes });
    }
    json
}

//! The `sim` command: runs seeds of a system and says which show an anomaly, and how to repeat them.
//!
//! Exit codes: 0 nothing found (or, for a flawed system, something found), 1 otherwise, 2 usage. This crate knows nothing of
//! `ringhold`, sockets and real devices; the one real clock here tells how fast the simulation ran.
#![expect(clippy::print_stdout, reason = "a command that reports")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use ringhold_sim::coverage::Shares;
use ringhold_sim::faults::KindSet;
use ringhold_sim::minimize::{flags, minimize};
use ringhold_sim::runner::{Report, run};
use ringhold_sim::seeds;
use ringhold_sim::swarm::{Mode, Overrides};
use ringhold_sim::system::Entry;
use ringhold_sim::{cluster, registers};

/// Simulates hosts, network, disks and clients from seeds.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
struct Args {
    /// The system to run
    #[arg(long, default_value = "register")]
    system: String,
    /// List the systems
    #[arg(long)]
    list: bool,
    /// One seed
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds from A to B, without B
    #[arg(long, value_name = "A..B", default_value = "0..100", value_parser = range)]
    seeds: (u64, u64),
    /// A file of kept seeds, run instead of a range
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds"])]
    kept: Option<PathBuf>,
    /// Run each seed twice and compare everything that happened
    #[arg(long)]
    twice: bool,
    /// Print everything that happens
    #[arg(long)]
    trace: bool,
    /// Make each failing seed smaller
    #[arg(long)]
    minimize: bool,
    /// Go on after this many anomalies
    #[arg(long, default_value_t = 5)]
    anomalies_max: u64,
    /// Fail if an event that the system names happens in too few seeds
    #[arg(long)]
    coverage: bool,
    /// Kinds of faults to leave out, with commas between
    #[arg(long, value_parser = kinds)]
    without: Option<KindSet>,
    /// Simulated milliseconds with faults
    #[arg(long)]
    duration_ms: Option<u64>,
    /// Number of clients
    #[arg(long)]
    clients: Option<u32>,
    /// `one` fault at a time, or `chaos`
    #[arg(long, value_parser = mode)]
    mode: Option<Mode>,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let ends = text.split_once("..").ok_or("two numbers with `..` between")?;
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is not a number"));
    Ok((number(ends.0)?, number(ends.1)?))
}

fn kinds(text: &str) -> Result<KindSet, String> {
    seeds::kinds(text).ok_or_else(|| format!("`{text}` has an unknown kind of fault"))
}

fn mode(text: &str) -> Result<Mode, String> {
    seeds::mode(text).ok_or_else(|| "`one` or `chaos`".to_owned())
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if args.list {
        for entry in entries() {
            println!("{:<24} {}", entry.name, entry.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let is_good = match &args.kept {
        Some(path) => run_kept(path, &args)?,
        None => run_range(&args)?,
    };
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All systems.
fn entries() -> impl Iterator<Item = Entry> {
    cluster::ENTRIES.into_iter().chain(registers::ENTRIES)
}

fn entry_of(name: &str) -> anyhow::Result<Entry> {
    let entry = entries().find(|entry| entry.name == name);
    entry.with_context(|| format!("no system `{name}`; --list shows them"))
}

/// Runs kept seeds: those of right systems pass, those of flawed ones are caught.
fn run_kept(path: &PathBuf, args: &Args) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let kept = match seeds::parse(&text) {
        Ok(kept) => kept,
        Err((line, why)) => bail!("{}:{line}: {why}", path.display()),
    };
    let mut is_good = true;
    for one in &kept {
        let entry = entry_of(&one.system)?;
        let report = run_seed(&entry, one.seed, &one.overrides, args);
        if report.anomaly.is_none() != entry.is_right {
            is_good = false;
            println!("kept seed {} of {}: not as expected", one.seed, one.system);
            print_anomaly(&entry, one.seed, &one.overrides, &report);
        }
    }
    println!(
        "{} kept seeds, {}",
        kept.len(),
        if is_good { "as expected" } else { "not as expected" }
    );
    Ok(is_good)
}

/// What a range of seeds came to.
#[derive(Debug, Default)]
struct Totals {
    seeds: u64,
    anomalies: u64,
    kinds: BTreeMap<&'static str, u64>,
    first: Option<u64>,
    operations: [usize; 2],
    frames: u64,
    events: u64,
    simulated_s: f64,
    shares: Shares,
}

impl Totals {
    fn add(&mut self, seed: u64, report: &Report) {
        self.seeds += 1;
        self.operations[0] += report.operations[0];
        self.operations[1] += report.operations[1];
        self.frames += report.counts.frames;
        self.events += report.counts.events;
        self.simulated_s += report.simulated.as_secs_f64();
        self.shares.add(&report.coverage);
        if let Some(anomaly) = &report.anomaly {
            self.anomalies += 1;
            *self.kinds.entry(anomaly.kind).or_default() += 1;
            self.first = self.first.or(Some(seed));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how fast the simulation runs is real time")]
fn run_range(args: &Args) -> anyhow::Result<bool> {
    let entry = entry_of(&args.system)?;
    let seeds = args.seed.map_or(args.seeds.0..args.seeds.1, |seed| seed..seed + 1);
    let overrides = Overrides {
        without: args.without.unwrap_or_default(),
        duration_ms: args.duration_ms,
        clients: args.clients,
        mode: args.mode,
    };
    announce_panics(&entry, &overrides);
    let begin = Instant::now();
    let mut totals = Totals::default();
    let mut is_repeatable = true;
    for seed in seeds {
        CURRENT_SEED.store(seed, std::sync::atomic::Ordering::Relaxed);
        let report = run_seed(&entry, seed, &overrides, args);
        if args.twice && run(&entry, seed, &overrides, false).digest != report.digest {
            is_repeatable = false;
            println!("seed {seed}: the second run was another");
        }
        totals.add(seed, &report);
        if report.anomaly.is_some() && entry.is_right {
            print_anomaly(&entry, seed, &overrides, &report);
            if args.minimize {
                let small = minimize(&entry, seed, &overrides);
                println!("smaller: {}", repeat(&entry, seed, &small));
            }
            if totals.anomalies >= args.anomalies_max {
                break;
            }
        }
    }
    print_totals(&entry, &totals, begin.elapsed().as_secs_f64());
    let missed = totals.shares.missed((entry.make)().minimums());
    for one in missed.iter().filter(|_| args.coverage) {
        println!("{} happened in less than {} % of the seeds", one.event, one.percent);
    }
    let is_as_expected = (totals.anomalies == 0) == entry.is_right;
    Ok(is_repeatable && is_as_expected && (missed.is_empty() || !args.coverage))
}

fn run_seed(entry: &Entry, seed: u64, overrides: &Overrides, args: &Args) -> Report {
    let report = run(entry, seed, overrides, args.trace);
    for line in &report.trace {
        println!("{line}");
    }
    report
}

fn print_anomaly(entry: &Entry, seed: u64, overrides: &Overrides, report: &Report) {
    let Some(anomaly) = &report.anomaly else { return };
    println!("\nseed {seed}: {}: {}", anomaly.kind, anomaly.text);
    println!("mix:     {}", report.mix);
    println!("repeat:  {}", repeat(entry, seed, overrides));
}

fn repeat(entry: &Entry, seed: u64, overrides: &Overrides) -> String {
    let flags = flags(overrides);
    format!(
        "cargo run --profile sim -p ringhold-sim -- --system {} --seed {seed}{flags}",
        entry.name
    )
}

fn print_totals(entry: &Entry, totals: &Totals, real_s: f64) {
    for line in totals.shares.lines() {
        println!("{line}");
    }
    let [asked, done] = totals.operations;
    println!(
        "{}: {} seeds, {:.0} s simulated in {real_s:.1} s ({:.0} x), {asked} operations ({done} answered), {} frames, {} events",
        entry.name,
        totals.seeds,
        totals.simulated_s,
        totals.simulated_s / real_s,
        totals.frames,
        totals.events
    );
    print!("{} anomalies", totals.anomalies);
    for (kind, seeds) in &totals.kinds {
        print!(", {kind}: {seeds}");
    }
    match totals.first {
        Some(seed) => println!(", first at seed {seed}"),
        None => println!(),
    }
}

/// The seed that runs, for the panic message.
static CURRENT_SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// A panic says which seed it was: in a release build it ends the process.
fn announce_panics(entry: &Entry, overrides: &Overrides) {
    let before = std::panic::take_hook();
    let (entry, overrides) = (*entry, overrides.clone());
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        let seed = CURRENT_SEED.load(std::sync::atomic::Ordering::Relaxed);
        println!("repeat:  {}", repeat(&entry, seed, &overrides));
    }));
}

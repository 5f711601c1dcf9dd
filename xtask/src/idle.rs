//! `cargo xtask bench idle`: what ten thousand idle connections cost the active ones, and what memory they take.
//!
//! Active connections ask at a fixed rate; rounds with and without the idle ones take turns, and the ratio of their p99 is
//! taken within a round. An idle connection has written and read a value before it falls silent. The memory of one is the
//! growth of the process when all are opened: the kernel's buffers are not in it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::client::{Client, pipelined};
use crate::record::{self, median, say, verdict};
use crate::servers::{Program, Server, build};

const ACTIVE: usize = 50;
const IDLE: u32 = 10_000;
const KEYS: usize = 100_000;
const LIMIT: u64 = 1 << 30;
/// As many as the machine of the records has processors.
const THREADS: usize = 2;
const SECS: usize = 4;
/// What must be reached: p99 with the idle ones over p99 without, and bytes of a connection.
const RATIO_MAX: f64 = 2.0;
const BYTES_MAX: f64 = 1024.0;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: usize,
    /// Requests a second.
    rate: u32,
}

impl Plan {
    /// Reads the flags.
    pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<Self> {
        let mut plan = Self { rounds: 7, rate: 10_000 };
        for pair in flags.chunks(2) {
            match *pair {
                ["--rounds", number] => plan.rounds = number.parse().context("--rounds")?,
                ["--rate", number] => plan.rate = number.parse().context("--rate")?,
                _ => bail!("bench idle knows --rounds N and --rate N"),
            }
        }
        ensure!(plan.rounds > 0, "at least one round");
        Ok(plan)
    }
}

/// Runs ringhold and redis-server and writes the record.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let tool = build(root)?;
    let mut text = format!(
        "{IDLE} idle connections that have written and read a value; {ACTIVE} active ones ask for {} values of 100 B a second, one at a \
         time each. Latencies in µs from the intended send time, medians of {} rounds of {SECS} s with and without the idle ones in turns; \
         the ratio is taken within a round (spread in brackets). CPU: µs of the server's processor time a request. Bytes of user memory a connection: growth of the resident memory when all are opened.\n\n\
         | server | p50 without, with | p99 without, with | p99 ratio | must | CPU without, with | bytes a connection | must |\n\
         |---|--:|--:|--:|---|--:|--:|---|\n",
        plan.rate, plan.rounds
    );
    let mut figures = Vec::new();
    for program in [Program::Ringhold, Program::RedisLru] {
        figures.push(measure(program, &tool, plan, &mut text)?);
    }
    let command = format!("cargo xtask bench idle --rounds {} --rate {}", plan.rounds, plan.rate);
    record::write(root, ("idle", "Idle connections"), &command, &text, &json!(figures))
}

/// Measures one server, adds its row and returns its figures.
fn measure(program: Program, tool: &str, plan: Plan, text: &mut String) -> anyhow::Result<Value> {
    let is_ours = program == Program::Ringhold;
    let further = if is_ours { "" } else { " --maxclients 11000" };
    let server = program.start_with(tool, LIMIT, THREADS, further)?;
    load(tool, &server, plan, &["--preload"])?;
    let before = server.settled_rss()?;
    let idle = connect(program, server.port)?;
    let growth = server.settled_rss()?.saturating_sub(before) as f64 / f64::from(IDLE);
    drop(idle);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        without.push(load(tool, &server, plan, &[])?);
        let idle = connect(program, server.port)?;
        with.push(load(tool, &server, plan, &[])?);
        drop(idle);
    }
    let mut ratios: Vec<f64> =
        with.iter().zip(&without).map(|(with, without)| with.p99 / without.p99).collect();
    ratios.sort_by(f64::total_cmp);
    let (ratio, low, high) = (median(&ratios), ratios[0], ratios[ratios.len() - 1]);
    let of =
        |loads: &[Load], figure: fn(&Load) -> f64| loads.iter().map(figure).collect::<Vec<f64>>();
    let both =
        |figure: fn(&Load) -> f64| [median(&of(&without, figure)), median(&of(&with, figure))];
    let (p50, p99, cpu) = (both(|load| load.p50), both(|load| load.p99), both(|load| load.cpu));
    let must = |is_met: bool| if is_ours { verdict(is_met) } else { "" };
    writeln!(
        text,
        "| {} | {:.0}, {:.0} | {:.0}, {:.0} | {ratio:.2} ({low:.2}–{high:.2}) | {} | {:.1}, {:.1} | {growth:.0} | {} |",
        program.name(),
        p50[0],
        p50[1],
        p99[0],
        p99[1],
        must(ratio < RATIO_MAX),
        cpu[0],
        cpu[1],
        must(growth < BYTES_MAX)
    )?;
    say(&format!("{}: p99 {ratio:.2} ×, {growth:.0} B a connection", program.name()))?;
    Ok(json!({ "server": program.name(), "p50_us_without": of(&without, |load| load.p50),
        "p50_us_with": of(&with, |load| load.p50), "p99_us_without": of(&without, |load| load.p99),
        "p99_us_with": of(&with, |load| load.p99), "cpu_us_without": of(&without, |load| load.cpu),
        "cpu_us_with": of(&with, |load| load.cpu), "ratio": ratio, "bytes_per_connection": growth }))
}

/// Latencies of the active connections and the server's processor time a request, in µs.
struct Load {
    p50: f64,
    p99: f64,
    cpu: f64,
}

/// Opens the idle connections, each of which writes a value and reads it.
fn connect(program: Program, port: u16) -> anyhow::Result<Vec<Client>> {
    let open = |_| Client::open(port, program.protocol());
    let mut clients = (0..IDLE).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let value = [b'v'; 100];
    for (number, client) in clients.iter_mut().enumerate() {
        let key = format!("idle:{number}");
        let ask = |client: &mut Client, is_write: bool| {
            if is_write { client.set(key.as_bytes(), &value) } else { client.get(key.as_bytes()) }
        };
        let one = std::slice::from_mut(client);
        pipelined(one, [true, false].into_iter(), ask, |client, is_write| {
            let is_right = if is_write { client.stored()? } else { client.got()? == Some(&value) };
            ensure!(is_right, "an idle connection's value is there");
            Ok(())
        })?;
    }
    Ok(clients)
}

/// Asks for [`SECS`] seconds at the plan's rate.
fn load(tool: &str, server: &Server, plan: Plan, further: &[&str]) -> anyhow::Result<Load> {
    let output = Command::new(tool)
        .args(["bench", "--json", "--quiet", "--protocol", server.protocol])
        .args(["--addr", &format!("127.0.0.1:{}", server.port), "--keys", &KEYS.to_string()])
        .args(["--connections", &ACTIVE.to_string(), "--rate", &plan.rate.to_string()])
        .args(["--duration", &format!("{SECS}s"), "--server-pid", &server.pid().to_string()])
        .args(further)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "the load failed: {text}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let figure = |group: &str, name: &str| report[group][name].as_f64().context("a figure");
    let (p50, p99) = (figure("latency_us", "p50")?, figure("latency_us", "p99")?);
    Ok(Load { p50, p99, cpu: figure("server_cpu_us", "total")? })
}

//! `ringhold bench`: the load generator.
//!
//! Threads drive non-blocking connections through [`mio`]; each connection keeps up to `--pipeline`
//! requests in flight. Requests come from prebuilt templates, a batch leaves in one write, and every
//! answer is checked: a value is a function of its key, so length and bytes are known beforehand.
//! A wrong answer fails the run.
//!
//! Two kinds of load. *Closed loop*: a connection sends its next batch when the last one is answered;
//! this finds the throughput at saturation. *Open loop* (`--rate`): requests have intended send times,
//! and latency counts from those, so a server that stalls cannot hide the requests it delayed.
//! The server's CPU time per request is read from `/proc` around the measured part.
//!
//! Left out: TLS, unix sockets, and commands other than get and set.

mod clock;
mod connection;
mod keys;
mod load;
mod procfs;
mod protocol;
mod report;
pub(crate) mod settings;
mod tally;
mod values;
mod worker;

#[cfg(test)]
mod tests;

use std::io::Write;

use crate::bench::settings::BenchArgs;
use crate::{Exit, say};

/// Runs the load that `args` describes and prints the report to standard output.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<Exit> {
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(error) => {
            say(&format!("error: {error:#}"));
            return Ok(Exit::Usage);
        }
    };
    let report = load::run(&plan)?;
    let text = if args.json { report.json(&plan) } else { report.text(&plan) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::NotDone })
}

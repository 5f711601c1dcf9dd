//! The project's own commands: `cargo xtask tidy`, `cargo xtask gen`, `cargo xtask bench`.

mod client;
mod clock;
mod compatibility;
mod engine;
mod hit_ratio;
mod idle;
mod memory;
mod peers;
mod placement;
mod record;
mod servers;
mod shards;
mod tidy;

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;

const USAGE: &str = "usage: cargo xtask tidy
       cargo xtask gen [--check]
       cargo xtask bench peers [--case NAME] [--rounds N] [--secs N]
       cargo xtask bench engine [--part NAME] [--operations N] [--rounds N]
       cargo xtask bench idle [--rounds N] [--rate N]
       cargo xtask bench memory [--entries N] [--rounds N] [--lens same|other]
       cargo xtask bench placement [--rounds N]
       cargo xtask bench hit-ratio [--trace FILE]... [--budget-mib N]... [--cores N] [--record NAME]
       cargo xtask bench hit-ratio servers --traces FOLDER [--budget-mib N]... [--of whole|growth]";

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["tidy"] => tidy(),
        ["gen"] => generate(false),
        ["gen", "--check"] => generate(true),
        ["bench", ..] if cfg!(debug_assertions) => in_release(&words),
        ["bench", ref words @ ..] => bench(words),
        _ => {
            writeln!(std::io::stderr(), "{USAGE}")?;
            Ok(ExitCode::from(2))
        }
    }
}

/// Runs the same command in a release build of this program: what is measured, and the load on it, are not to wait for
/// unoptimized code.
fn in_release(words: &[&str]) -> anyhow::Result<ExitCode> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(words)
        .current_dir(tidy::root())
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bench(words: &[&str]) -> anyhow::Result<ExitCode> {
    let root = tidy::root();
    match *words {
        ["peers", ref flags @ ..] => bench_peers(&root, flags)?,
        ["engine", ref flags @ ..] => engine::run(&root, engine::Plan::parse(flags)?)?,
        ["idle", ref flags @ ..] => idle::run(&root, idle::Plan::parse(flags)?)?,
        ["placement", ref flags @ ..] => placement::run(&root, placement::Plan::parse(flags)?)?,
        ["memory", ref flags @ ..] => memory::run(&root, memory::Plan::parse(flags)?)?,
        ["hit-ratio", "servers", ref flags @ ..] => {
            hit_ratio::servers::run(&root, &hit_ratio::servers::Plan::parse(flags)?)?;
        }
        ["hit-ratio", ref flags @ ..] => hit_ratio::run(&root, &hit_ratio::Plan::parse(flags)?)?,
        _ => anyhow::bail!("{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn bench_peers(root: &Path, flags: &[&str]) -> anyhow::Result<()> {
    let (mut case, mut rounds, mut secs) = (None, 5, 3);
    for pair in flags.chunks(2) {
        match *pair {
            ["--case", name] => case = Some(name),
            ["--rounds", count] => rounds = count.parse().context("--rounds")?,
            ["--secs", count] => secs = count.parse().context("--secs")?,
            _ => anyhow::bail!("{USAGE}"),
        }
    }
    peers::run(root, case, rounds, secs)
}

fn generate(is_check: bool) -> anyhow::Result<ExitCode> {
    let was_right = compatibility::run(&tidy::root(), is_check)?;
    if is_check && !was_right {
        writeln!(std::io::stderr(), "{}: run `cargo xtask gen`", compatibility::PATH)?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn tidy() -> anyhow::Result<ExitCode> {
    let found = tidy::run(&tidy::root())?;
    for line in found.warnings.iter().chain(&found.failures) {
        writeln!(std::io::stderr(), "{line}")?;
    }
    Ok(if found.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

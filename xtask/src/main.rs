//! The project's own commands: `cargo xtask tidy`, `cargo xtask gen`, `cargo xtask bench peers`.

mod compatibility;
mod hit_ratio;
mod peers;
mod tidy;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

const USAGE: &str = "usage: cargo xtask tidy
       cargo xtask gen [--check]
       cargo xtask bench peers [--case NAME] [--rounds N] [--secs N]
       cargo xtask bench hit-ratio [--trace FILE]... [--budget-mib N]... [--cores N] [--record NAME]";

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["tidy"] => tidy(),
        ["gen"] => generate(false),
        ["gen", "--check"] => generate(true),
        ["bench", "peers", ref flags @ ..] => bench_peers(flags),
        ["bench", "hit-ratio", ref flags @ ..] => {
            hit_ratio::run(&tidy::root(), &hit_ratio::Plan::parse(flags)?)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            writeln!(std::io::stderr(), "{USAGE}")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn bench_peers(flags: &[&str]) -> anyhow::Result<ExitCode> {
    let (mut case, mut rounds, mut secs) = (None, 5, 3);
    for pair in flags.chunks(2) {
        match *pair {
            ["--case", name] => case = Some(name),
            ["--rounds", count] => rounds = count.parse().context("--rounds")?,
            ["--secs", count] => secs = count.parse().context("--secs")?,
            _ => anyhow::bail!("{USAGE}"),
        }
    }
    peers::run(&tidy::root(), case, rounds, secs)?;
    Ok(ExitCode::SUCCESS)
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

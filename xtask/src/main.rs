//! The project's own commands: `cargo xtask tidy`.

mod tidy;

use std::io::Write;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let command = std::env::args().nth(1);
    if command.as_deref() != Some("tidy") {
        writeln!(std::io::stderr(), "usage: cargo xtask tidy")?;
        return Ok(ExitCode::from(2));
    }
    let found = tidy::run(&tidy::root())?;
    for line in found.warnings.iter().chain(&found.failures) {
        writeln!(std::io::stderr(), "{line}")?;
    }
    Ok(if found.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

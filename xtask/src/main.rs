//! The project's own commands.

mod tidy;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let problems = match command.as_deref() {
        Some("tidy") => tidy::problems(),
        _ => vec!["usage: cargo xtask tidy".to_owned()],
    };
    for problem in &problems {
        drop(writeln!(std::io::stderr(), "{problem}"));
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

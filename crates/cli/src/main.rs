//! The `ringhold` command: one file per subcommand, the flags in `args`.
//!
//! Exit codes: 0 done, 1 not done, 2 usage, 3 outcome unknown (a write without an answer may have
//! happened). This crate knows nothing of what `ringhold` does not export.

mod args;
mod bench;
mod client;
mod config;
mod keys;
mod namespaces;
mod serve;
mod status;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};

/// The engine's memory in huge pages; given back when it is free.
#[global_allocator]
static ALLOCATOR: ringhold::memory::BlockAllocator = ringhold::memory::BlockAllocator;

/// How a subcommand ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done,
    /// It was not done, and is known not to have been.
    NotDone,
    /// The flags make no sense together.
    Usage,
    /// It may have been done: no answer came.
    Unknown,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::NotDone => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Unknown => Self::from(3),
        }
    }
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => error.exit(),
    };
    let outcome = match command {
        Command::Serve(args) => serve::run(*args),
        Command::Get(args) => keys::get(&args),
        Command::Set(args) => keys::set(&args),
        Command::Del(args) => keys::del(&args),
        Command::Incr(args) => keys::incr(&args),
        Command::Ttl(args) => keys::ttl(&args),
        Command::Keys(args) => keys::keys(&args),
        Command::Status(args) => status::status(&args),
        Command::Ns(args) => namespaces::run(&args),
        Command::Config(args) => match matches.subcommand_matches("config") {
            Some(matches) => config::show(&args, matches),
            None => Ok(Exit::Usage),
        },
        Command::Bench(args) => bench::run(&args),
        Command::Version(args) => status::version(&args),
        Command::Completions(args) => Ok(status::completions(&args)),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(&format!("error: {error:#}"));
            Exit::NotDone.into()
        }
    }
}

/// Writes one line for a person to standard error; nobody is left to tell when that fails.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

//! The command line's shape: the subcommands. Each one's flags are in its own file.

use clap::{Parser, Subcommand};

use crate::bench::settings::BenchArgs;
use crate::serve::ServeArgs;

/// A distributed in-memory cache.
#[derive(Debug, Parser)]
#[command(name = "ringhold", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a cache over HTTP and RESP, until SIGTERM or Ctrl-C
    Serve(Box<ServeArgs>),
    /// Load a server, check its answers, report throughput, latency and the server's CPU
    Bench(Box<BenchArgs>),
}

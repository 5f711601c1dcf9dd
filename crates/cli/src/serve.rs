//! `ringhold serve`: a cache on this machine, until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use ringhold::Node;
use ringhold::settings::{ByteCount, ListenAddress, Settings, SettingsFile};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Exit, say};

/// The flags of `serve`. Each can also be given in the environment as `RINGHOLD_…`, or in the file that
/// `--config` names; a flag wins over the environment, the environment over the file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Addresses for HTTP: ADDRESS:PORT or unix:PATH, separated by commas [default: 127.0.0.1:7380]
    #[arg(long, env = "RINGHOLD_HTTP", value_delimiter = ',', value_name = "ADDRESS")]
    http: Option<Vec<ListenAddress>>,
    /// Addresses for RESP, the protocol of Redis clients [default: 127.0.0.1:7379]
    #[arg(long, env = "RINGHOLD_RESP", value_delimiter = ',', value_name = "ADDRESS")]
    resp: Option<Vec<ListenAddress>>,
    /// The node's name [default: host name and port]
    #[arg(long, env = "RINGHOLD_NODE", value_name = "NAME")]
    node: Option<String>,
    /// Memory for entries, as 512MiB or 2GiB [default: half of the machine's]
    #[arg(long, env = "RINGHOLD_MEMORY", value_name = "AMOUNT")]
    memory: Option<ByteCount>,
    /// The longest value, as 1MiB; at most 512MiB and an eighth of the memory [default: 8MiB]
    #[arg(long, env = "RINGHOLD_MAX_VALUE", value_name = "AMOUNT")]
    max_value: Option<ByteCount>,
    /// Worker threads [default: one per core]
    #[arg(long, env = "RINGHOLD_THREADS", value_name = "COUNT")]
    threads: Option<usize>,
    /// A file with the clients' passwords, one per line, plain or sha256:DIGITS
    #[arg(long, env = "RINGHOLD_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Listen beyond this machine although no password is set
    #[arg(long, env = "RINGHOLD_INSECURE")]
    insecure: bool,
    /// RESP commands to answer as unknown, separated by commas
    #[arg(long, env = "RINGHOLD_DISABLE_COMMAND", value_delimiter = ',', value_name = "NAME")]
    disable_command: Option<Vec<String>>,
    /// Names by which HTTP clients may address this node, separated by commas
    #[arg(long, env = "RINGHOLD_SERVER_NAME", value_delimiter = ',', value_name = "NAME")]
    server_name: Option<Vec<String>>,
    /// The most client connections at a time [default: 11000]
    #[arg(long, env = "RINGHOLD_MAX_CONNECTIONS", value_name = "COUNT")]
    max_connections: Option<usize>,
    /// Close connections without a request for so many seconds; 0: never [default: 0]
    #[arg(long, env = "RINGHOLD_IDLE_TIMEOUT", value_name = "SECONDS")]
    idle_timeout: Option<u64>,
    /// A stop waits so many seconds for requests under way [default: 30]
    #[arg(long, env = "RINGHOLD_DRAIN_TIMEOUT", value_name = "SECONDS")]
    drain_timeout: Option<u64>,
    /// A configuration file (TOML; keys are the flags' names)
    #[arg(long, env = "RINGHOLD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServeArgs {
    /// The configuration file, if there is one.
    pub(crate) fn config(&self) -> Option<&std::path::Path> {
        self.config.as_deref()
    }
}

/// Serves until a signal says to stop.
///
/// # Errors
///
/// When the settings are not valid or the node cannot start; the message says what to change.
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<Exit> {
    let settings = settings(args)?;
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("signals cannot be received")?;
    warn_of_descriptors(settings.connections_max);
    let node = Node::start(&settings)?;
    announce(&node, &settings);
    let mut received = signals.forever();
    received.next();
    say("stopping: waiting for requests under way; a second signal stops at once");
    node.drain();
    let deadline = std::thread::Builder::new().name("drain".to_owned()).spawn(move || {
        let step = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while !node.is_stopped() && waited < settings.drain_timeout {
            std::thread::park_timeout(step);
            waited += step;
        }
        node.is_stopped()
    })?;
    while !deadline.is_finished() {
        if signals.pending().next().is_some() {
            return Ok(Exit::NotDone);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let is_stopped = deadline.join().map_err(|_| anyhow!("the drain failed"))?;
    Ok(if is_stopped { Exit::Done } else { Exit::NotDone })
}

/// The effective settings.
pub(crate) fn settings(args: ServeArgs) -> anyhow::Result<Settings> {
    let file = match &args.config {
        Some(path) => SettingsFile::read(path)?,
        None => SettingsFile::default(),
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings = Settings::defaults(machine_memory(), cores, &host);
    if let Some(node) = args.node.or(file.node) {
        settings.node = node;
    }
    if let Some(http) = args.http.or(file.http) {
        settings.http = http;
    }
    if let Some(resp) = args.resp.or(file.resp) {
        settings.resp = resp;
    }
    if let Some(ByteCount(memory)) = args.memory.or(file.memory) {
        settings.memory = memory;
    }
    if let Some(ByteCount(max)) = args.max_value.or(file.max_value) {
        settings.value_len_max = Some(usize::try_from(max).unwrap_or(usize::MAX));
    }
    if let Some(threads) = args.threads.or(file.threads) {
        settings.threads = threads;
    }
    settings.password_file = args.password_file.or(file.password_file);
    settings.is_insecure = args.insecure || file.insecure.unwrap_or(false);
    let disabled = args.disable_command.or(file.disable_command).unwrap_or_default();
    settings.disabled_commands = disabled.iter().map(|name| name.to_ascii_lowercase()).collect();
    settings.server_names = args.server_name.or(file.server_name).unwrap_or_default();
    if let Some(max) = args.max_connections.or(file.max_connections) {
        settings.connections_max = max;
    }
    if let Some(seconds) = args.idle_timeout.or(file.idle_timeout) {
        settings.idle_timeout = Duration::from_secs(seconds);
    }
    if let Some(seconds) = args.drain_timeout.or(file.drain_timeout) {
        settings.drain_timeout = Duration::from_secs(seconds);
    }
    Ok(settings)
}

/// The memory of the machine, or of the control group if that has a lower limit, in bytes.
fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = info.totalram.saturating_mul(u64::from(info.mem_unit));
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .fold(machine, u64::min)
}

/// Raises the limit of open files to what the connections need, and says so when that is not allowed.
fn warn_of_descriptors(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(64);
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|limit| limit >= needed) {
        return;
    }
    let wanted =
        Rlimit { current: Some(needed.min(now.maximum.unwrap_or(needed))), maximum: now.maximum };
    let is_raised = setrlimit(Resource::Nofile, wanted).is_ok();
    if !is_raised || now.maximum.is_some_and(|max| max < needed) {
        let allowed = now.maximum.or(now.current).unwrap_or(0);
        say(&format!(
            "warning: {allowed} open files are allowed and {needed} are needed for {connections} connections: raise it \
             (ulimit -n {needed}) or lower --max-connections"
        ));
    }
}

fn announce(node: &Node, settings: &Settings) {
    let join =
        |all: &[ListenAddress]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    say(&format!(
        "ringhold {} · node {} · {} for entries · {} threads",
        env!("CARGO_PKG_VERSION"),
        settings.node,
        ByteCount(settings.memory),
        settings.threads
    ));
    say(&format!("  HTTP  {}", join(node.http())));
    say(&format!("  RESP  {}", join(node.resp())));
    if let Some(ListenAddress::Tcp(address)) = node.http().first() {
        say(&format!("try: curl -X PUT --data hello http://{address}/v1/keys/greeting"));
    }
}

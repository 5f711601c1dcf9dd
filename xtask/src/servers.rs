//! Servers under measurement: started by hand on free ports of this machine, stopped when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::client::Protocol;
use crate::clock;

/// How long a server may take until it listens.
const START_LOOKS: usize = 500;
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// A cache that can be started with a limit for its entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Program {
    Ringhold,
    /// Evicts the least recently used of five.
    RedisLru,
    /// Evicts the least frequently used of five.
    RedisLfu,
    Memcached,
}

impl Program {
    /// What it is called in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringhold => "ringhold",
            Self::RedisLru => "redis allkeys-lru",
            Self::RedisLfu => "redis allkeys-lfu",
            Self::Memcached => "memcached",
        }
    }

    /// What it speaks.
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Ringhold | Self::RedisLru | Self::RedisLfu => Protocol::Resp,
            Self::Memcached => Protocol::Memcached,
        }
    }

    /// Starts it with `limit` bytes for entries (memcached: rounded up to MiB); redis has one thread whatever `threads`.
    pub(crate) fn start(self, tool: &str, limit: u64, threads: usize) -> anyhow::Result<Server> {
        self.start_with(tool, limit, threads, "")
    }

    /// The same with further flags.
    pub(crate) fn start_with(
        self,
        tool: &str,
        limit: u64,
        threads: usize,
        further: &str,
    ) -> anyhow::Result<Server> {
        let port = free_port()?;
        match self {
            Self::Ringhold => {
                let http = free_port()?;
                let flags = format!(
                    "serve --http 127.0.0.1:{http} --resp 127.0.0.1:{port} --memory {limit} --threads {threads}{further}"
                );
                Server::start(tool, &flags, (port, "resp"), None)
            }
            Self::RedisLru | Self::RedisLfu => {
                require("redis-server")?;
                let policy = if self == Self::RedisLru { "allkeys-lru" } else { "allkeys-lfu" };
                let flags = format!(
                    "--port {port} --bind 127.0.0.1 --save  --appendonly no --maxmemory {limit} \
                     --maxmemory-policy {policy} --maxmemory-samples 5{further}"
                );
                Server::start("redis-server", &flags, (port, "resp"), None)
            }
            Self::Memcached => {
                require("memcached")?;
                let mib = limit.div_ceil(1 << 20);
                let flags = format!(
                    "-u root -l 127.0.0.1 -p {port} -U 0 -t {threads} -m {mib} -R 200{further}"
                );
                Server::start("memcached", &flags, (port, "memcached"), None)
            }
        }
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    /// The load generator's name of what it speaks there.
    pub(crate) protocol: &'static str,
    /// Whether it stores what it is given.
    pub(crate) has_keys: bool,
    /// What it leaves behind.
    pub(crate) folder: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(folder) = &self.folder {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

impl Server {
    /// Starts `program` with `flags` (split at spaces), on one processor or on all, and waits until it listens.
    pub(crate) fn start(
        program: &str,
        flags: &str,
        (port, protocol): (u16, &'static str),
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        let mut server = Self::spawn(program, flags, (port, protocol), cpu)?;
        for _ in 0..START_LOOKS {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                bail!("{program} ended at start: {status}");
            }
            clock::wait(LOOK_PERIOD);
        }
        bail!("{program} does not listen")
    }

    /// Starts `program` and does not wait for it.
    pub(crate) fn spawn(
        program: &str,
        flags: &str,
        (port, protocol): (u16, &'static str),
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        // taskset becomes the program: the child's id is the server's.
        let mut command = match cpu {
            Some(cpu) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cpu.to_string(), program]);
                command
            }
            None => Command::new(program),
        };
        command.args(flags.split(' ')).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| format!("{program} does not start"))?;
        Ok(Self { child, port, protocol, has_keys: true, folder: None })
    }

    /// The process' id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A line of its `/proc/PID/status` in KiB, such as `VmRSS` (resident memory now) or `VmHWM` (the most so far).
    pub(crate) fn status_kib(&self, field: &str) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(name, _)| *name == field).context("no such line")?;
        value.trim().trim_end_matches(" kB").parse().context("a number of KiB")
    }

    /// Resident memory in bytes, once it stays the same for a second (to a thousandth; at most ten seconds).
    pub(crate) fn settled_rss(&self) -> anyhow::Result<u64> {
        let mut last = self.status_kib("VmRSS")?;
        for _ in 0..10 {
            clock::wait(Duration::from_secs(1));
            let rss = self.status_kib("VmRSS")?;
            if rss.abs_diff(last) * 1000 <= last {
                return Ok(rss * 1024);
            }
            last = rss;
        }
        Ok(last * 1024)
    }
}

/// Builds the release of ringhold; its path.
pub(crate) fn build(root: &Path) -> anyhow::Result<String> {
    let tool = root.join("target/release/ringhold");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "ringhold-cli"])
        .current_dir(root)
        .status()?;
    ensure!(status.success() && tool.exists(), "the release build failed");
    Ok(tool.to_string_lossy().into_owned())
}

/// Fails, and says what to install, unless `program` can be run.
pub(crate) fn require(program: &str) -> anyhow::Result<()> {
    if Command::new(program).arg("-v").output().is_err() {
        bail!("{program} is missing: apt-get install {program}");
    }
    Ok(())
}

/// A port that nobody listened on just now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

//! Servers under measurement: started by hand on free ports of this machine, stopped when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::clock;

/// How long a server may take until it listens.
const START_LOOKS: usize = 500;
const LOOK_PERIOD: Duration = Duration::from_millis(10);

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

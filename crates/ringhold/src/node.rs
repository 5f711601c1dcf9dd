//! A node in this process: starting it, and stopping it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Poll;
use ringhold_node::auth::{Passwords, PasswordsError};
use ringhold_node::clients::Clients;
use ringhold_node::held::Held;
use ringhold_node::shard_cell::ShardCell;
use ringhold_node::state::{Disabled, NodeState, Process, Tunables, http_fields};
use ringhold_node::stats::Stats;
use ringhold_store::budget::{Budget, ConfigError, EngineConfig, Geometry};
use ringhold_store::hash::HashSeed;

use crate::clock::Clock;
use crate::control::Control;
use crate::io::listen::{Bound, ListenError, Listener, bind};
use crate::io::mailbox::{Mail, Mailbox};
use crate::io::worker_loop::{Speaks, Worker};
use crate::process;
use crate::settings::{ListenAddress, Settings, SettingsError};
use crate::shards::Shards;
use crate::shared::Shared;

/// How long a request may stand half received, or an answer unread, before its connection is closed.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The most bytes that all connections together hold of answers that their clients do not take, beyond what each has
/// free: two of the longest. A connection that would pass it is closed. Large values in answers are not among them: their
/// pages are the store's.
const UNSENT_LEN_MAX: usize = 128 * 1024 * 1024;

/// A running node.
#[derive(Debug)]
pub struct Node {
    http: Vec<ListenAddress>,
    resp: Vec<ListenAddress>,
    mailboxes: Vec<Arc<Mailbox>>,
    workers: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug)]
pub enum StartError {
    /// A setting is not valid.
    Settings(SettingsError),
    /// The memory cannot be divided as set.
    Memory(ConfigError),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// The password file cannot be read.
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The password file's content cannot be used.
    Passwords {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PasswordsError,
    },
    /// The system refused a thread, an event queue or random bytes.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Memory(error) => write!(f, "memory: {error}"),
            Self::Listen(error) => error.fmt(f),
            Self::PasswordFile { path, source } => {
                write!(f, "the password file {} cannot be read: {source}", path.display())
            }
            Self::Passwords { path, source } => {
                write!(f, "the password file {} is not valid: {source}", path.display())
            }
            Self::System(error) => write!(f, "the system refused what a node needs: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Node {
    /// Starts a node with these settings; when it returns, clients are served.
    ///
    /// # Errors
    ///
    /// [`StartError`]: a setting, an address or the system stands against it.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        settings.check().map_err(StartError::Settings)?;
        let passwords = read_passwords(settings.password_file.as_deref())?;
        let geometry = Geometry::new(&EngineConfig {
            limit: settings.memory,
            cores: settings.threads,
            value_len_max: settings.value_len_max,
        })
        .map_err(StartError::Memory)?;
        let http = bind_all(&settings.http, settings.threads)?;
        let resp = bind_all(&settings.resp, settings.threads)?;
        let budget = Budget::new(&geometry);
        let seed = HashSeed::new(random_u64().map_err(StartError::System)?);
        let cells =
            (0..geometry.shards).map(|idx| ShardCell::new(idx, &geometry, seed, &budget)).collect();
        let process = Process::default();
        process.id.store(u64::from(std::process::id()), Ordering::Relaxed);
        process::measure(&process);
        let idle_ms = u64::try_from(settings.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        let shared = Arc::new(Shared {
            shards: Shards::new(cells),
            node: NodeState {
                name: settings.node.clone(),
                http_fields: http_fields(&settings.node),
                run_id: run_id().map_err(StartError::System)?,
                started: Clock::start().now(),
                resp_port: port_of(&resp),
                workers: settings.threads,
                hash_seed: seed,
                geometry,
                budget,
                passwords,
                server_names: settings.server_names.clone(),
                disabled_commands: Disabled::of(&settings.disabled_commands),
                namespaces: ringhold_node::namespaces::Namespaces::default(),
                content_types: ringhold_node::content_types::ContentTypes::default(),
                tunables: Tunables {
                    idle_timeout_ms: AtomicU64::new(idle_ms),
                    connections_max: AtomicUsize::new(settings.connections_max),
                },
                clients: Clients::default(),
                held: Held::default(),
                stats: Stats::new(settings.threads),
                process,
            },
            unsent: Held::new(UNSENT_LEN_MAX),
            stall_timeout: STALL_TIMEOUT,
            drain_timeout: settings.drain_timeout,
            workers: settings.threads,
            client_id_next: AtomicU64::new(1),
        });
        Self::run(http, resp, &shared).map_err(StartError::System)
    }

    fn run(http: Vec<Bound>, resp: Vec<Bound>, shared: &Arc<Shared>) -> io::Result<Self> {
        let addresses = |all: &[Bound]| all.iter().map(|bound| bound.address.clone()).collect();
        let mut node = Self {
            http: addresses(&http),
            resp: addresses(&resp),
            mailboxes: Vec::new(),
            workers: Vec::new(),
            control: None,
            shared: Arc::clone(shared),
        };
        let mut listeners: Vec<Vec<(Listener, Speaks)>> =
            (0..shared.workers).map(|_| Vec::new()).collect();
        for (speaks, all) in [(Speaks::Http, http), (Speaks::Resp, resp)] {
            for bound in all {
                for (idx, socket) in bound.sockets.into_iter().enumerate() {
                    listeners[idx].push((socket, speaks));
                }
            }
        }
        let (control, thread) = Control::start(Arc::clone(shared))?;
        node.control = Some(thread);
        for (idx, listeners) in listeners.into_iter().enumerate() {
            let poll = Poll::new()?;
            let mailbox = Arc::new(Mailbox::new(&poll)?);
            let doors = (Arc::clone(&mailbox), control.clone());
            let worker = Worker::new(idx, poll, listeners, doors, Arc::clone(shared))?;
            let thread = std::thread::Builder::new().name(format!("worker-{idx}"));
            node.workers.push(thread.spawn(move || worker.run())?);
            node.mailboxes.push(mailbox);
        }
        Ok(node)
    }

    /// Where HTTP is served, with the ports that were really taken.
    #[must_use]
    pub fn http(&self) -> &[ListenAddress] {
        &self.http
    }

    /// Where RESP is served, with the ports that were really taken.
    #[must_use]
    pub fn resp(&self) -> &[ListenAddress] {
        &self.resp
    }

    /// Stops: nobody new is let in, requests under way are answered, idle connections are closed. Waits until the last
    /// client is gone.
    ///
    /// # Panics
    ///
    /// When a worker has panicked before.
    pub fn stop(mut self) {
        self.drain();
        for worker in self.workers.drain(..) {
            assert!(worker.join().is_ok(), "workers do not panic");
        }
        if let Some(control) = self.control.take() {
            assert!(control.join().is_ok(), "the control plane does not panic");
        }
    }

    /// Begins to stop, without waiting.
    pub fn drain(&self) {
        self.shared.node.process.is_draining.store(true, Ordering::Relaxed);
        for mailbox in &self.mailboxes {
            // A full mailbox has a Drain in it: no other letter exists.
            let _is_taken = mailbox.put(Mail::Drain);
        }
    }

    /// Whether every worker has ended.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.workers.iter().chain(&self.control).all(JoinHandle::is_finished)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.drain();
        for address in self.http.iter().chain(&self.resp) {
            if let ListenAddress::Unix(path) = address {
                drop(std::fs::remove_file(path));
            }
        }
    }
}

fn bind_all(addresses: &[ListenAddress], workers: usize) -> Result<Vec<Bound>, StartError> {
    addresses
        .iter()
        .map(|address| bind(address, workers))
        .collect::<Result<_, _>>()
        .map_err(StartError::Listen)
}

fn read_passwords(path: Option<&Path>) -> Result<Passwords, StartError> {
    let Some(path) = path else { return Ok(Passwords::default()) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| StartError::PasswordFile { path: path.to_owned(), source })?;
    Passwords::parse(&text)
        .map_err(|source| StartError::Passwords { path: path.to_owned(), source })
}

/// The port of the first address that has one; 0 when none has.
fn port_of(bound: &[Bound]) -> u16 {
    let port = |bound: &Bound| match &bound.address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    };
    bound.iter().find_map(port).unwrap_or(0)
}

/// 40 hexadecimal digits that no other run of a node has.
fn run_id() -> io::Result<String> {
    let (high, middle, low) = (random_u64()?, random_u64()?, random_u64()?);
    Ok(format!("{high:016x}{middle:016x}{:08x}", low >> 32))
}

/// A secret from the system.
fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let len = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if len != bytes.len() {
        return Err(io::Error::other("the system gave too few random bytes"));
    }
    Ok(u64::from_le_bytes(bytes))
}

//! The flags of `ringhold bench`, and the [`Plan`] that they make once checked.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};

use crate::bench::keys::{KeyPattern, Sampler};
use crate::bench::protocol::{Codec, ProtocolName};
use crate::bench::values::{Lengths, Values};

/// The longest key, in bytes, that every protocol here takes (memcached's limit).
const KEY_LEN_MAX: usize = 250;
/// The most requests in flight on one connection.
const PIPELINE_MAX: usize = 1_000_000;

/// Flags of `ringhold bench`.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct BenchArgs {
    /// Server to load, `HOST:PORT` or `http://HOST:PORT`
    #[arg(
        long,
        visible_alias = "addr",
        env = "RINGHOLD_ENDPOINT",
        default_value = "127.0.0.1:7380"
    )]
    endpoint: String,
    /// Protocol to speak
    #[arg(long, value_enum, default_value_t = ProtocolName::Http)]
    protocol: ProtocolName,
    /// Connections that carry load
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Connections opened besides and held idle
    #[arg(long, default_value_t = 0)]
    idle_connections: usize,
    /// Threads that drive the connections
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// How many different keys
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// A key: its number replaces `%0Nd`
    #[arg(long, default_value = "key:%012d", conflicts_with = "key_len")]
    key_pattern: String,
    /// Length of a key in bytes, instead of a pattern
    #[arg(long)]
    key_len: Option<usize>,
    /// Skew of the keys' popularity (Zipf's exponent); 0 is uniform
    #[arg(long, default_value_t = 0.0)]
    zipf: f64,
    /// Length of values in bytes: `100`, `10-1000`, or `etc` (Facebook's ETC pool)
    #[arg(long, default_value = "100")]
    value_len: String,
    /// Values are this one character repeated, for servers whose answer is fixed
    #[arg(long)]
    fill: Option<char>,
    /// Share of reads among the requests, 0 to 1
    #[arg(long, default_value_t = 1.0)]
    read_share: f64,
    /// Time to live of what is written, such as `500ms`, `30s`, `5m`, `2h`
    #[arg(long, value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Requests per second offered (open loop); without it, as many as are answered
    #[arg(long)]
    rate: Option<f64>,
    /// Length of the measured part
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// Load before the measured part
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    warmup: Duration,
    /// End the measured part after at least so many answers, instead of by time
    #[arg(long, conflicts_with = "duration")]
    requests: Option<u64>,
    /// Same seed, same keys and values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every key before the load
    #[arg(long)]
    preload: bool,
    /// Path before the key (HTTP)
    #[arg(long, default_value = "/v1/keys/")]
    path_prefix: String,
    /// Processes whose CPU time is measured: give workers, not only their parent
    #[arg(long, value_delimiter = ',')]
    server_pid: Vec<u32>,
    /// First CPU to pin the threads to; each further thread takes the next one
    #[arg(long)]
    cpu: Option<usize>,
    /// Password (RESP: AUTH; HTTP: bearer token)
    #[arg(long, env = "RINGHOLD_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// One JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress line
    #[arg(long)]
    quiet: bool,
}

/// A checked run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The server.
    pub(crate) address: SocketAddr,
    /// Encodes requests and checks answers.
    pub(crate) codec: Codec,
    /// Loaded connections.
    pub(crate) connections: usize,
    /// Connections held idle.
    pub(crate) idle_connections: usize,
    /// Driving threads.
    pub(crate) threads: usize,
    /// Requests in flight on one connection.
    pub(crate) pipeline: usize,
    /// Draws keys.
    pub(crate) sampler: Sampler,
    /// How many keys there are.
    pub(crate) keys: u64,
    /// Share of reads.
    pub(crate) read_share: f64,
    /// Requests per second of all threads together; `None` is the closed loop.
    pub(crate) rate: Option<f64>,
    /// Length of the measured part.
    pub(crate) duration: Duration,
    /// Length of the part before it.
    pub(crate) warmup: Duration,
    /// Answers to measure instead of a duration.
    pub(crate) requests: Option<u64>,
    /// Seed of keys and values.
    pub(crate) seed: u64,
    /// Whether all keys are written first.
    pub(crate) has_preload: bool,
    /// Processes to watch.
    pub(crate) server_pids: Vec<u32>,
    /// First CPU to pin to.
    pub(crate) cpu: Option<usize>,
    /// Whether a progress line is wanted.
    pub(crate) has_progress: bool,
    /// The longest value, in bytes.
    pub(crate) value_len_max: usize,
}

impl BenchArgs {
    /// Checks the flags against each other.
    ///
    /// # Errors
    ///
    /// The first flag that makes no sense, in words for the person who wrote it.
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        self.check_numbers()?;
        let pattern = KeyPattern::parse(&self.pattern_text()?)?;
        let key_len = pattern.zero.len();
        ensure!(key_len <= KEY_LEN_MAX, "keys of {key_len} bytes: at most {KEY_LEN_MAX}");
        let capacity = pattern.capacity();
        ensure!(self.keys <= capacity, "--keys {}: the pattern has room for {capacity}", self.keys);
        let lengths = Lengths::parse(&self.value_len).context("--value-len")?;
        let fill = self.fill.map(u8::try_from).transpose().context("--fill: one byte")?;
        let values = Values::new(lengths, fill, self.seed);
        let host = self.endpoint.trim_start_matches("http://").trim_end_matches('/');
        let codec = Codec::new(self.protocol, &pattern, values, &self.framing(host)?)?;
        Ok(Plan {
            address: resolve(host)?,
            codec,
            connections: self.connections,
            idle_connections: self.idle_connections,
            threads: self.threads,
            pipeline: self.pipeline,
            sampler: Sampler::new(self.keys, self.zipf),
            keys: self.keys,
            read_share: self.read_share,
            rate: self.rate,
            duration: self.duration,
            warmup: self.warmup,
            requests: self.requests,
            seed: self.seed,
            has_preload: self.preload,
            server_pids: self.server_pid.clone(),
            cpu: self.cpu,
            has_progress: !self.quiet,
            value_len_max: lengths.max(),
        })
    }

    fn check_numbers(&self) -> anyhow::Result<()> {
        ensure!(self.connections > 0, "--connections: at least 1");
        ensure!(self.threads > 0, "--threads: at least 1");
        ensure!(
            self.threads <= self.connections,
            "--threads {} is more than --connections {}: a thread would have nothing to drive",
            self.threads,
            self.connections
        );
        ensure!((1..=PIPELINE_MAX).contains(&self.pipeline), "--pipeline: 1 to {PIPELINE_MAX}");
        ensure!(self.keys > 0, "--keys: at least 1");
        ensure!((0.0..=1.0).contains(&self.read_share), "--read-share: 0 to 1");
        ensure!((0.0..=10.0).contains(&self.zipf), "--zipf: 0 to 10");
        if let Some(rate) = self.rate {
            ensure!(rate.is_finite() && rate > 0.0, "--rate: more than 0");
        }
        ensure!(self.requests != Some(0), "--requests: at least 1");
        ensure!(!self.duration.is_zero(), "--duration: more than 0");
        Ok(())
    }

    fn pattern_text(&self) -> anyhow::Result<String> {
        let Some(len) = self.key_len else { return Ok(self.key_pattern.clone()) };
        ensure!((1..=KEY_LEN_MAX).contains(&len), "--key-len: 1 to {KEY_LEN_MAX}");
        Ok(if len > 4 { format!("key:%0{}d", len - 4) } else { format!("%0{len}d") })
    }

    fn framing(&self, host: &str) -> anyhow::Result<Framing> {
        ensure!(self.path_prefix.starts_with('/'), "--path-prefix begins with `/`");
        let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(is_visible(&self.path_prefix), "--path-prefix: printable ASCII");
        if self.protocol == ProtocolName::Memcached && self.password.is_some() {
            bail!("the memcached text protocol has no password");
        }
        if let Some(password) = &self.password {
            ensure!(is_visible(password), "the password has to be printable ASCII");
        }
        Ok(Framing {
            host: host.to_owned(),
            path_prefix: self.path_prefix.clone(),
            ttl: self.ttl,
            password: self.password.clone(),
        })
    }
}

/// What goes around keys and values in a request.
#[derive(Clone, Debug)]
pub(crate) struct Framing {
    /// `HOST:PORT`, for HTTP.
    pub(crate) host: String,
    /// Path before the key, for HTTP.
    pub(crate) path_prefix: String,
    /// Time to live of writes.
    pub(crate) ttl: Option<Duration>,
    /// Shown to the server on each connection or request.
    pub(crate) password: Option<String>,
}

fn resolve(host: &str) -> anyhow::Result<SocketAddr> {
    let mut addresses =
        host.to_socket_addrs().with_context(|| format!("`{host}` is not HOST:PORT"))?;
    addresses.next().with_context(|| format!("`{host}` has no address"))
}

/// Reads `500ms`, `30s`, `5m`, `2h`; a number alone is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits_len = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at(digits_len);
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unit `{unit}` is not one of ms, s, m, h")),
    };
    let number: f64 = number.parse().map_err(|_| "it begins with a number".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

impl ValueEnum for ProtocolName {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Resp, Self::Http, Self::Memcached]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.text()))
    }
}

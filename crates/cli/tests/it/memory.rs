//! What a real process takes from the machine while it is written to.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// `--memory`, in bytes.
const LIMIT: u64 = 64 << 20;
/// So many times the limit is written.
const TIMES: u64 = 5;
/// What the process may take beside the limit and three hundredths of it, in bytes (ENGINE.md, 16.4). The program's own text,
/// which this build has more of than a release, is not counted.
const BESIDE: u64 = 8 << 20;
/// Requests sent before their answers are read.
const PIPELINE: usize = 64;

/// A running `ringhold serve`; ends with the test.
struct Server {
    process: Child,
    resp: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ringhold"))
            .args(["serve", "--http", "127.0.0.1:0", "--resp", "127.0.0.1:0", "--threads", "2"])
            .args(["--memory", &LIMIT.to_string()])
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let resp =
            lines.find_map(|line| line.unwrap().trim().strip_prefix("RESP").map(str::to_owned));
        let resp = resp.expect("it says where it listens").trim().parse().unwrap();
        Self { process, resp }
    }

    /// A field of the kernel's account of the process, in bytes.
    fn status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let text = std::fs::read_to_string(path).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = value.expect("the kernel knows it").trim().strip_suffix(" kB").unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A number that differs by `n` as if it were random.
fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 32;
    x.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 16
}

/// Writes values whose length `len` gives under `keys` keys, until `bytes` were written.
fn write(address: SocketAddr, keys: u64, bytes: u64, len: impl Fn(u64) -> usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let value = "v".repeat(1 << 20);
    let (mut written, mut n) = (0, 0);
    let mut requests = String::new();
    let mut answers = [0; 5 * PIPELINE];
    while written < bytes {
        requests.clear();
        for _ in 0..PIPELINE {
            n += 1;
            let key = format!("key:{:012}", mixed(n) % keys);
            let value = &value[..len(mixed(n + keys))];
            write!(
                requests,
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
                key.len(),
                value.len()
            )
            .unwrap();
            written += u64::try_from(key.len() + value.len()).unwrap();
        }
        stream.write_all(requests.as_bytes()).unwrap();
        stream.read_exact(&mut answers).unwrap();
        assert_eq!(answers, *b"+OK\r\n".repeat(PIPELINE), "every write is done");
    }
}

/// Writes several times the memory and looks at the most that the process ever took.
fn check(keys: u64, len: impl Fn(u64) -> usize) {
    let server = Server::start();
    write(server.resp, keys, TIMES * LIMIT, len);
    let (text, now) = (server.status("RssFile"), server.status("RssAnon"));
    let most = server.status("VmHWM") - text;
    let allowed = LIMIT + LIMIT * 3 / 100 + BESIDE;
    assert!(most <= allowed, "{most} bytes at most, {now} now, {allowed} are allowed");
    assert!(now > LIMIT * 3 / 4, "memory was full: {now} bytes");
}

#[test]
fn memory_stays_near_its_limit_under_small_writes() {
    check(1_000_000, |n| usize::try_from(n % 200).unwrap());
}

#[test]
fn memory_stays_near_its_limit_under_writes_of_every_length() {
    // One in three is in pages.
    check(100_000, |n| {
        let most = if n % 3 == 0 { 60_000 } else { 2000 };
        usize::try_from(n / 3 % most).unwrap()
    });
}

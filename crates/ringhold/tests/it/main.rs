//! A whole node over real sockets on loopback: what only the edge can get wrong.
#![cfg(not(shuttle))]

mod commands;
mod control;
mod http;
mod resp;
mod start;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringhold::Node;
use ringhold::settings::{ListenAddress, Settings};

/// How long a test waits for an answer before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// Settings of a small node on free ports.
fn settings() -> Settings {
    let mut settings = Settings::defaults(128 << 20, 2, "test");
    let free: ListenAddress = "127.0.0.1:0".parse().expect("an address");
    settings.http = vec![free.clone()];
    settings.resp = vec![free];
    settings
}

fn start() -> Node {
    Node::start(&settings()).expect("it starts")
}

/// A node whose password is `secret`; no two tests use the same `name`.
fn with_password(name: &str) -> Node {
    let file = std::env::temp_dir().join(format!("ringhold-{name}-{}", std::process::id()));
    std::fs::write(&file, "secret\n").expect("a file can be written");
    let mut settings = settings();
    settings.password_file = Some(file.clone());
    let node = Node::start(&settings).expect("it starts");
    std::fs::remove_file(file).expect("it was there");
    node
}

fn tcp(address: &ListenAddress) -> SocketAddr {
    match address {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Unix(path) => panic!("{} is no TCP address", path.display()),
    }
}

/// A client connection whose reads fail the test when they take too long.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(address: &ListenAddress) -> Self {
        let stream = TcpStream::connect(tcp(address)).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self { stream }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the node reads");
    }

    /// Reads exactly as many bytes as `expected` has, and compares.
    #[track_caller]
    fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut read = vec![0; expected.len()];
        self.stream.read_exact(&mut read).expect("the node answers");
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
    }

    /// Sends `request` and expects `answer`.
    #[track_caller]
    fn check(&mut self, request: &str, answer: &str) {
        self.send(request);
        self.expect(answer);
    }

    /// Reads a line, without its break.
    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("the node answers");
            line.extend(byte);
        }
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }

    /// Reads a bulk string.
    #[track_caller]
    fn bulk(&mut self) -> String {
        let head = self.line();
        let len: usize = head.strip_prefix('$').expect("a bulk string").parse().expect("a length");
        let mut bytes = vec![0; len + 2];
        self.stream.read_exact(&mut bytes).expect("the node answers");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    /// What `INFO` says.
    #[track_caller]
    fn info(&mut self) -> String {
        self.send("INFO\r\n");
        self.bulk()
    }

    /// Asks until `INFO` has `line`.
    #[track_caller]
    fn await_info(&mut self, line: &str) {
        let is_there = (0..100_000).any(|_| self.info().lines().any(|found| found == line));
        assert!(is_there, "{line}");
    }

    /// Reads until the node closes the connection.
    #[track_caller]
    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("the node closes");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Reads the head of an HTTP answer.
    #[track_caller]
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("the node answers");
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("heads are text")
    }

    /// Reads one HTTP answer: its head, and a body of as many bytes as it announces.
    #[track_caller]
    fn answer(&mut self) -> (String, Vec<u8>) {
        let head = self.head();
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; len.map_or(0, |len| len.parse().expect("a number"))];
        self.stream.read_exact(&mut body).expect("the body follows");
        (head, body)
    }
}

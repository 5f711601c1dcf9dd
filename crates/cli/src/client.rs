//! What the subcommands on a running node share: its address, the requests, and how their outcome is told.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use ringhold_wire::http::encode;
use ringhold_wire::http::response::{Asked, Body, Decoder, Framing, Head};
use serde_json::Value;

use crate::{Exit, say};

/// How long a node may be silent.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest value there is, in bytes, and room for what stands around it.
const BODY_LEN_MAX: usize = 513 * 1024 * 1024;
/// A node behind another did not answer: what was asked may have been done.
const GATEWAY_TIMEOUT: u16 = 504;
/// How much is read at once, in bytes.
const READ_LEN: usize = 64 * 1024;

/// Which node is asked, and how the answer is printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// Node to ask
    #[arg(long, env = "RINGHOLD_ENDPOINT", default_value = "http://127.0.0.1:7380")]
    endpoint: String,
    /// A file with the password in its first line
    #[arg(long, env = "RINGHOLD_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Namespace of the keys
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A node to ask.
pub(crate) struct Client {
    /// `HOST:PORT`
    authority: String,
    /// What stands before every path; mostly empty.
    prefix: String,
    namespace: String,
    password: Option<String>,
    /// The connection of the last request, when it stayed.
    connection: RefCell<Option<TcpStream>>,
}

/// A whole answer.
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// The bytes of its body.
    pub(crate) body: Vec<u8>,
    head: Vec<u8>,
}

impl Answer {
    /// The value of a field, if it is text.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let head = Decoder::new().decode(&self.head, Asked::Other).ok().flatten()?;
        head.field(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads: without an answer nothing has happened.
    Read,
    /// It may change something: without an answer it may have happened.
    Write,
}

/// An answer whose status says that it was done, or why there is none.
pub(crate) type Outcome = Result<Answer, Exit>;

/// Why there is no answer.
enum Failure {
    /// Nothing was sent.
    NotSent(anyhow::Error),
    /// The node may have done what it was asked.
    Unanswered(anyhow::Error),
}

impl Client {
    /// A client of the node that the flags name.
    pub(crate) fn new(args: &ClientArgs) -> anyhow::Result<Self> {
        let password = match &args.password_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("the password file {}", path.display()))?;
                Some(text.lines().next().unwrap_or_default().trim().to_owned())
            }
        };
        let endpoint = args.endpoint.trim_end_matches('/');
        let address = match endpoint.split_once("://") {
            None => endpoint,
            Some(("http", address)) => address,
            Some((scheme, _)) => bail!("{scheme} is not spoken: give http://HOST:PORT"),
        };
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
        ensure!(is_plain, "{endpoint} is no address: give http://HOST:PORT");
        let (host, prefix) = address.split_at(address.find('/').unwrap_or(address.len()));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self {
            authority,
            prefix: prefix.to_owned(),
            namespace: args.namespace.clone(),
            password,
            connection: RefCell::new(None),
        })
    }

    /// The path of a key, with `suffix` behind it.
    pub(crate) fn key_path(&self, key: &str, suffix: &str) -> String {
        format!("{}/{}{suffix}", self.keys_path(), encoded(key))
    }

    /// The path of all keys.
    pub(crate) fn keys_path(&self) -> String {
        if self.namespace == "default" {
            "/v1/keys".to_owned()
        } else {
            format!("/v1/ns/{}/keys", encoded(&self.namespace))
        }
    }

    /// Sends a request; an answer of status 400 and more is told to the user and becomes an exit.
    pub(crate) fn send(
        &self,
        effect: Effect,
        method: &str,
        path: &str,
        fields: &[(&str, String)],
        body: &[u8],
    ) -> anyhow::Result<Outcome> {
        match self.exchange(method, path, fields, body) {
            Ok(answer) if answer.status >= 400 => Ok(Err(refused(&answer))),
            Ok(answer) => Ok(Ok(answer)),
            Err(Failure::Unanswered(error)) if effect == Effect::Write => {
                say(&format!(
                    "error: {} did not answer ({error:#}): the outcome is unknown",
                    self.authority
                ));
                Ok(Err(Exit::Unknown))
            }
            Err(Failure::NotSent(error) | Failure::Unanswered(error)) => {
                Err(error.context(format!("{} cannot be asked", self.authority)))
            }
        }
    }

    /// Sends a request and reads its answer.
    fn exchange(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let mut request = Vec::new();
        let target = format!("{}{path}", self.prefix);
        let mut head = encode::Head::request(&mut request, method, &target);
        head.field("host", self.authority.as_bytes());
        head.field("user-agent", concat!("ringhold/", env!("CARGO_PKG_VERSION")).as_bytes());
        if let Some(password) = &self.password {
            head.field("authorization", format!("Bearer {password}").as_bytes());
        }
        for (name, value) in fields {
            head.field(name, value.as_bytes());
        }
        if !body.is_empty() || !matches!(method, "GET" | "DELETE") {
            head.number("content-length", u64::try_from(body.len()).unwrap_or(u64::MAX));
        }
        head.end();
        let kept = self.connection.take();
        let mut stream = kept.map_or_else(|| self.connect(), Ok).map_err(Failure::NotSent)?;
        // A node that refuses a long body answers before it has read it, and closes.
        let sent = stream.write_all(&request).and_then(|()| stream.write_all(body));
        match (receive(&mut stream), sent) {
            (Ok((answer, is_keep_alive)), sent) => {
                if is_keep_alive && sent.is_ok() {
                    self.connection.replace(Some(stream));
                }
                Ok(answer)
            }
            (Err(_), Err(error)) => Err(Failure::Unanswered(error.into())),
            (Err(error), Ok(())) => Err(Failure::Unanswered(error)),
        }
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let mut last = anyhow!("no such host");
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(TIMEOUT))?;
                    stream.set_write_timeout(Some(TIMEOUT))?;
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }
}

/// Reads an answer; also whether the connection stays.
fn receive(stream: &mut TcpStream) -> anyhow::Result<(Answer, bool)> {
    let (mut decoder, mut bytes) = (Decoder::new(), Vec::new());
    loop {
        // What comes before the answer (RFC 9110, 15.2) says nothing here.
        while let Some(head) = decoder.decode(&bytes, Asked::Other)? {
            let len = head.bytes.len();
            if head.status >= 200 {
                let Head { status, framing, is_keep_alive, .. } = head;
                let rest = bytes.split_off(len);
                let (body, is_whole) = receive_body(stream, framing, rest)?;
                return Ok((Answer { status, body, head: bytes }, is_keep_alive && is_whole));
            }
            bytes.drain(..len);
        }
        let read = read(stream, &mut bytes)?;
        ensure!(read > 0, "the connection was closed");
    }
}

/// Reads a body whose first bytes are in `rest`; also whether nothing came behind it.
fn receive_body(
    stream: &mut TcpStream,
    framing: Framing,
    mut rest: Vec<u8>,
) -> anyhow::Result<(Vec<u8>, bool)> {
    let (mut decoder, mut body) = (Body::new(framing), Vec::new());
    if let Framing::Length(len) = framing {
        ensure!(len <= BODY_LEN_MAX, "a body of {len} bytes, at most {BODY_LEN_MAX}");
        body.reserve_exact(len);
    }
    loop {
        let mut at = 0;
        loop {
            let piece = decoder.decode(&rest[at..])?;
            ensure!(body.len() + piece.content.len() <= BODY_LEN_MAX, "the body does not end");
            body.extend_from_slice(piece.content);
            at += piece.used;
            if piece.is_last {
                return Ok((body, at == rest.len()));
            }
            if piece.used == 0 {
                break;
            }
        }
        rest.drain(..at);
        if read(stream, &mut rest)? == 0 {
            ensure!(decoder.may_close(), "the answer broke off");
            return Ok((body, false));
        }
    }
}

/// Appends what comes next to `bytes`; 0 when the connection was closed.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> anyhow::Result<usize> {
    let before = bytes.len();
    bytes.resize(before + READ_LEN, 0);
    loop {
        match stream.read(&mut bytes[before..]) {
            Ok(len) => {
                bytes.truncate(before + len);
                return Ok(len);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("nothing came for {} s", TIMEOUT.as_secs());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tells a problem (RFC 9457) in words.
fn refused(answer: &Answer) -> Exit {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let word = |field: &str| problem[field].as_str().unwrap_or_default();
    match (word("title"), word("detail")) {
        ("", "") => say(&format!("error: status {}", answer.status)),
        (title, detail) => say(&format!("error: {title}: {detail}")),
    }
    if word("outcome") == "unknown" || answer.status == GATEWAY_TIMEOUT {
        Exit::Unknown
    } else {
        Exit::NotDone
    }
}

/// Percent-encodes everything but letters and digits.
pub(crate) fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}

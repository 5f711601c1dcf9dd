//! A small blocking client of RESP and memcached servers that sends many requests before it reads their answers.
//!
//! Left out: everything but `GET`, `SET` and `PING`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Requests of [`pipelined`] on one connection before their answers are read.
const BATCH: usize = 64;
/// A server that is silent for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes read at once, at least.
const READ_LEN: usize = 64 * 1024;

/// What the server speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Resp,
    Memcached,
}

/// A connection; requests are gathered until [`Client::flush`].
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    protocol: Protocol,
    out: Vec<u8>,
    input: Vec<u8>,
    /// The part of `input` that was received and not yet used.
    from: usize,
    to: usize,
}

impl Client {
    /// Connects to a port of this machine.
    pub(crate) fn open(port: u16, protocol: Protocol) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("no connection")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, protocol, out: vec![], input: vec![], from: 0, to: 0 })
    }

    /// Gathers a read.
    pub(crate) fn get(&mut self, key: &[u8]) {
        match self.protocol {
            Protocol::Resp => {
                self.out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$");
                self.bulk(key);
            }
            Protocol::Memcached => {
                self.out.extend_from_slice(b"get ");
                self.out.extend_from_slice(key);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Gathers a write.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) {
        match self.protocol {
            Protocol::Resp => {
                self.out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$");
                self.bulk(key);
                self.out.push(b'$');
                self.bulk(value);
            }
            Protocol::Memcached => {
                self.out.extend_from_slice(b"set ");
                self.out.extend_from_slice(key);
                self.out.extend_from_slice(b" 0 0 ");
                self.number(value.len());
                self.out.extend_from_slice(value);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    fn number(&mut self, number: usize) {
        self.out.extend_from_slice(number.to_string().as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Sends what was gathered.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads the answer to a write: whether the server stored it or had no room.
    pub(crate) fn stored(&mut self) -> anyhow::Result<bool> {
        let len = self.line()?;
        let line = &self.input[self.from..self.from + len];
        let refusals: [&[u8]; 3] = [b"-OOM", b"-TRYAGAIN", b"SERVER_ERROR out of memory"];
        let is_refused = refusals.iter().any(|refusal| line.starts_with(refusal));
        let is_stored = matches!(line, b"+OK" | b"STORED");
        ensure!(
            is_stored || is_refused,
            "the answer to a write is {}",
            String::from_utf8_lossy(line)
        );
        self.from += len + 2;
        Ok(is_stored)
    }

    /// Reads the answer to a read: the value, or `None` when there is none.
    pub(crate) fn got(&mut self) -> anyhow::Result<Option<&[u8]>> {
        let len = self.line()?;
        let line = &self.input[self.from..self.from + len];
        let digits = match line {
            b"$-1" | b"END" => {
                self.from += len + 2;
                return Ok(None);
            }
            [b'$', digits @ ..] => digits,
            _ if line.starts_with(b"VALUE ") => {
                line.rsplit(|&byte| byte == b' ').next().unwrap_or_default()
            }
            _ => bail!("the answer to a read is {}", String::from_utf8_lossy(line)),
        };
        let value_len: usize = std::str::from_utf8(digits)?.parse()?;
        let end: &[u8] = if self.protocol == Protocol::Resp { b"\r\n" } else { b"\r\nEND\r\n" };
        let start = len + 2;
        self.need(start + value_len + end.len())?;
        let start = self.from + start;
        let value = start..start + value_len;
        self.from = value.end + end.len();
        ensure!(&self.input[value.end..self.from] == end, "a value ends where it says");
        Ok(Some(&self.input[value]))
    }

    /// Asks whether the server is there (RESP) and waits for the answer.
    pub(crate) fn ping(&mut self) -> anyhow::Result<()> {
        self.out.extend_from_slice(b"PING\r\n");
        self.flush()?;
        let len = self.line()?;
        ensure!(&self.input[self.from..self.from + len] == b"+PONG", "the answer is PONG");
        self.from += len + 2;
        Ok(())
    }

    /// The length of the next line, which is received whole.
    fn line(&mut self) -> anyhow::Result<usize> {
        let mut seen = 0;
        loop {
            let input = &self.input[self.from + seen..self.to];
            if let Some(at) = input.iter().position(|&byte| byte == b'\n') {
                return Ok((seen + at).saturating_sub(1));
            }
            seen += input.len();
            self.need(seen + 1)?;
        }
    }

    /// Receives until `len` bytes are there.
    fn need(&mut self, len: usize) -> anyhow::Result<()> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        while self.to - self.from < len {
            if self.from > 0 && self.from + len.max(READ_LEN) > self.input.len() {
                self.input.copy_within(self.from..self.to, 0);
                (self.from, self.to) = (0, self.to - self.from);
            }
            if self.input.len() < self.to + len.max(READ_LEN) {
                self.input.resize(self.to + len.max(READ_LEN), 0);
            }
            let count = match self.stream.read(&mut self.input[self.to..]) {
                // A process that was stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            ensure!(count > 0, "the server closed the connection");
            self.to += count;
        }
        Ok(())
    }
}

/// Sends a request for each of `items` by `ask`, in batches over all connections in turn, and hands each answer to
/// `answer`: while the server works on one connection the next batch is made for another.
pub(crate) fn pipelined<T: Copy>(
    clients: &mut [Client],
    mut items: impl Iterator<Item = T>,
    mut ask: impl FnMut(&mut Client, T),
    mut answer: impl FnMut(&mut Client, T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut waiting: Vec<Vec<T>> = clients.iter().map(|_| Vec::with_capacity(BATCH)).collect();
    loop {
        let mut is_over = true;
        for (client, waiting) in clients.iter_mut().zip(&mut waiting) {
            for item in waiting.drain(..) {
                answer(client, item)?;
            }
            waiting.extend(items.by_ref().take(BATCH));
            is_over &= waiting.is_empty();
            waiting.iter().for_each(|&item| ask(client, item));
            client.flush()?;
        }
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;

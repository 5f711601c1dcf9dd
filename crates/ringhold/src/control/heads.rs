//! The messages of a connection on HTTP/1.1, one at a time: each head is judged by the workers' codec before hyper sees it.
//!
//! What hyper cannot read it answers itself, with a status and no body. So it is given a head when that is whole and the
//! codec has nothing against it, then the body that follows, and no byte of the next head before it has answered. Where the
//! codec refuses a head, hyper has no part of it and nothing to send: the problem can be written to the socket.
//!
//! Invariant: while a message passes, every byte that is passed belongs to it, unless its chunks are no chunks; those hyper
//! is given as they are, and it breaks the request off.

use hyper::Uri;
use ringhold_wire::http::decode::{Decoder, Refusal};

/// Where in the messages of a connection the next byte is.
#[derive(Debug)]
pub(super) struct Heads {
    decoder: Decoder,
    next: Next,
    /// The heads that were let pass.
    passed: u64,
}

#[derive(Debug)]
enum Next {
    /// In a head, which is not whole.
    Head,
    /// So many bytes before the end of a message.
    Bytes(usize),
    /// So many bytes before the chunks of a message.
    BytesBeforeChunks(usize),
    Chunks(Chunks),
}

impl Heads {
    /// Before the first byte.
    pub(super) const fn new() -> Self {
        Self { decoder: Decoder::new(), next: Next::Head, passed: 0 }
    }

    /// The heads that were let pass.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether the next byte belongs to a message that passes.
    pub(super) fn is_in_message(&self) -> bool {
        !matches!(self.next, Next::Head)
    }

    /// Judges the head that `bytes` begin with; whether its message passes now. If not, it is not whole.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: what to answer; nothing more can be read of the connection.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        let is_whole = self.judge_frame(bytes)?;
        if is_whole && !has_sound_target(bytes) {
            return Err(Refusal {
                status: 400,
                code: "malformed-request",
                detail: "this is no valid HTTP/1.1 request",
                is_head: false,
                allow: None,
                used: None,
                is_for_control: false,
            });
        }
        Ok(is_whole)
    }

    fn judge_frame(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        let next = match self.decoder.decode(bytes) {
            Ok(None) => return Ok(false),
            Ok(Some(request)) => Next::Bytes(request.head_len.saturating_add(request.body_len)),
            // Where its end is known the refusal is one that is answered like any request.
            Err(Refusal { used: Some(used), .. }) => Next::Bytes(used),
            // A body in chunks; what else is for this side has an end, or is no HTTP/1.1.
            Err(Refusal { is_for_control: true, status: 501, .. }) => {
                Next::BytesBeforeChunks(head_len(bytes))
            }
            Err(refusal) => return Err(refusal),
        };
        (self.next, self.decoder) = (next, Decoder::new());
        self.passed += 1;
        Ok(true)
    }

    /// Has the next bytes pass; how many of them belong to the present message.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match &mut self.next {
                Next::Head => break,
                Next::Bytes(left) | Next::BytesBeforeChunks(left) if *left > bytes.len() - at => {
                    *left -= bytes.len() - at;
                    at = bytes.len();
                }
                Next::Bytes(left) => {
                    at += *left;
                    self.next = Next::Head;
                }
                Next::BytesBeforeChunks(left) => {
                    at += *left;
                    self.next = Next::Chunks(Chunks::new());
                }
                Next::Chunks(chunks) => {
                    let (len, has_ended) = chunks.pass(&bytes[at..]);
                    at += len;
                    if has_ended {
                        self.next = Next::Head;
                    }
                }
            }
        }
        at
    }
}

/// Whether the target of the request that `bytes` begin with is one that hyper takes: it knows fewer characters.
fn has_sound_target(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
    let target = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    Uri::try_from(target).is_ok()
}

/// The length of the head that `bytes` begin with, which is whole.
fn head_len(bytes: &[u8]) -> usize {
    // Empty lines before a request say nothing (RFC 9112, 2.2).
    let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut at = start;
    while let Some(len) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        if matches!(&bytes[at..at + len], b"" | b"\r") {
            return at + len + 1;
        }
        at += len + 1;
    }
    bytes.len()
}

/// The chunks of a message and its trailers (RFC 9112, 7.1), read byte by byte as hyper reads them: what one of the two
/// takes for the end of a message the other must.
#[derive(Clone, Copy, Debug)]
enum Chunks {
    /// Before the size of a chunk, or in it.
    Size(Option<u64>),
    /// Behind a size, in what says nothing here: an extension if the first is a semicolon.
    Behind { size: u64, is_extension: bool },
    /// In the middle of the end of a line with a size.
    SizeEnd(u64),
    /// So many bytes of a chunk and of its end.
    Data(u64),
    /// In the trailers.
    Trailers(Trailers),
    /// What comes is no chunk.
    Broken,
}

#[derive(Clone, Copy, Debug)]
enum Trailers {
    LineStart,
    /// In the middle of the end of all.
    End,
    Line,
    /// In the middle of the end of a line.
    LineEnd,
}

impl Chunks {
    const fn new() -> Self {
        Self::Size(None)
    }

    /// How many of these bytes are the message's, and whether it ends with them.
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if matches!(self, Self::Broken) {
                return (bytes.len(), false);
            }
            if let Self::Data(left) = *self {
                let rest = bytes.len() - at;
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest);
                at += len;
                let left = left - u64::try_from(len).unwrap_or(left);
                *self = if left == 0 { Self::Size(None) } else { Self::Data(left) };
                continue;
            }
            at += 1;
            if matches!(self, Self::Trailers(Trailers::End)) && byte == b'\n' {
                return (at, true);
            }
            *self = self.after(byte);
        }
        (at, false)
    }

    /// Where it is behind `byte`, which is no chunk's and does not end the message.
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                let grown = size.unwrap_or(0).checked_mul(16).map(|size| size + digit);
                // Room for the two bytes of its end.
                let grown = grown.filter(|&size| size < u64::MAX - 2);
                grown.map_or(Self::Broken, |size| Self::Size(Some(size)))
            }
            (Self::Size(Some(size)), b' ' | b'\t') => Self::Behind { size, is_extension: false },
            (Self::Size(Some(size)) | Self::Behind { size, .. }, b';') => {
                Self::Behind { size, is_extension: true }
            }
            (Self::Size(Some(size)) | Self::Behind { size, .. }, b'\r') => Self::SizeEnd(size),
            (state @ Self::Behind { is_extension: false, .. }, b' ' | b'\t') => state,
            (state @ Self::Behind { is_extension: true, .. }, byte) if byte != b'\n' => state,
            (Self::SizeEnd(0), b'\n') => Self::Trailers(Trailers::LineStart),
            (Self::SizeEnd(size), b'\n') => Self::Data(size + 2),
            (Self::Trailers(Trailers::LineStart), b'\r') => Self::Trailers(Trailers::End),
            (Self::Trailers(Trailers::Line), b'\r') => Self::Trailers(Trailers::LineEnd),
            (Self::Trailers(Trailers::LineEnd), b'\n') => Self::Trailers(Trailers::LineStart),
            // A line feed alone is a part of a trailer.
            (Self::Trailers(Trailers::LineStart | Trailers::Line), _) => {
                Self::Trailers(Trailers::Line)
            }
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_their_lengths_say_however_they_are_cut() {
        let messages = [
            "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nGET / H",
            "\r\nPUT /v1/keys/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             A;x=\"y\"\r\n0123456\r\n\r\r\n1\r\n\n\r\n0\r\nA: b\r\n\r\n",
            "PUT /v1/keys/k HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
            "DELETE /v1/keys/k HTTP/1.1\r\nHost: a\r\n\r\n",
        ];
        let all = messages.concat();
        for cut in 1..all.len() {
            let mut heads = Heads::new();
            let (mut waiting, mut passing, mut seen) = (Vec::new(), Vec::new(), Vec::new());
            for piece in all.as_bytes().chunks(cut) {
                waiting.extend_from_slice(piece);
                while !waiting.is_empty() {
                    if !heads.is_in_message() && !heads.judge(&waiting).expect("they are sound") {
                        break;
                    }
                    let len = heads.pass(&waiting);
                    passing.extend(waiting.drain(..len));
                    if !heads.is_in_message() {
                        seen.push(String::from_utf8(std::mem::take(&mut passing)).expect("text"));
                    }
                }
            }
            assert_eq!(seen, messages, "in pieces of {cut}");
            assert_eq!(heads.passed(), 5);
        }
    }

    #[test]
    fn a_head_that_has_no_known_end_is_refused() {
        for (fields, status) in [
            ("Transfer-Encoding: gzip", 400),
            ("Transfer-Encoding: gzip, chunked", 501),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1", 400),
            ("Content-Length: 1\r\nContent-Length: 2", 400),
            ("no field", 400),
        ] {
            let head = format!("PUT /v1/keys/k HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            let refusal = Heads::new().judge(head.as_bytes()).expect_err(fields);
            assert_eq!(refusal.status, status, "{fields}");
        }
    }

    #[test]
    fn a_message_in_chunks_ends_where_hyper_ends_it() {
        let head = "PUT /v1/keys/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let zeros = format!("{}\r\n\r\n", "0".repeat(20_000));
        for chunks in
            [&zeros, "1 \t;a=\"b\"\r\nx\r\n0 \r\n\r\n", "0\r\nA: b\n\r\n\r\n", "0\r\n\n \r\n\r\n"]
        {
            let bytes = format!("{head}{chunks}GET / HTTP/1.1\r\n\r\n");
            let mut heads = Heads::new();
            assert!(heads.judge(bytes.as_bytes()).expect("it is sound"));
            assert_eq!(heads.pass(bytes.as_bytes()), head.len() + chunks.len(), "{chunks}");
            assert!(!heads.is_in_message());
        }
    }

    #[test]
    fn what_is_no_chunk_is_passed_for_hyper_to_judge() {
        let head = "PUT /v1/keys/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for chunks in
            ["x\r\n", "-1\r\n", "fffffffffffffffff\r\n", "1\n", "1 x\r\n", "1;a\n", "\r\n"]
        {
            let bytes = format!("{head}{chunks}GET / HTTP/1.1\r\n\r\n");
            let mut heads = Heads::new();
            assert!(heads.judge(bytes.as_bytes()).expect("it is sound"));
            assert_eq!(heads.pass(bytes.as_bytes()), bytes.len(), "{chunks}");
        }
    }
}

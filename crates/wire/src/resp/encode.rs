//! Replies to clients, in either version of the protocol.

use alloc::vec::Vec;

use super::Protocol;

/// Appends replies to a buffer.
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    protocol: Protocol,
}

impl<'o> Encoder<'o> {
    /// Appends to `out` in this version of the protocol.
    #[inline]
    pub fn new(out: &'o mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string; `text` has no line breaks.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error, its code first. Line breaks in `text` become spaces.
    pub fn error(&mut self, text: &str) {
        self.out.push(b'-');
        self.out.extend(
            text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }),
        );
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, number: i64) {
        let mut buffer = itoa::Buffer::new();
        self.line(b':', buffer.format(number).as_bytes());
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len().saturating_add(16));
        self.bulk_head(bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// The line before the `len` bytes of a bulk string that is sent from elsewhere; the bytes and a line break
    /// follow.
    #[inline]
    pub fn bulk_head(&mut self, len: usize) {
        self.head(b'$', len);
    }

    /// No value: the null of RESP3, the null bulk string of RESP2.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Two => b"$-1\r\n",
            Protocol::Three => b"_\r\n",
        });
    }

    /// No array: the null of RESP3, the null array of RESP2.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Two => b"*-1\r\n",
            Protocol::Three => b"_\r\n",
        });
    }

    /// The head of an array of `len` replies.
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len);
    }

    /// The head of a map of `len` pairs; in RESP2 an array of twice as many.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Two => self.head(b'*', len.saturating_mul(2)),
            Protocol::Three => self.head(b'%', len),
        }
    }

    /// The head of a set of `len` different replies; in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.head(if self.protocol == Protocol::Three { b'~' } else { b'*' }, len);
    }

    /// The head of a push of `len` replies, which is no answer to a command; in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.head(if self.protocol == Protocol::Three { b'>' } else { b'*' }, len);
    }

    /// A truth value; in RESP2 1 or 0.
    pub fn boolean(&mut self, is_true: bool) {
        match self.protocol {
            Protocol::Two => self.integer(i64::from(is_true)),
            Protocol::Three => self.line(b'#', if is_true { b"t" } else { b"f" }),
        }
    }

    /// A floating-point number in its shortest form; in RESP2 a bulk string.
    pub fn double(&mut self, number: f64) {
        let text = if number.is_infinite() {
            alloc::string::String::from(if number > 0.0 { "inf" } else { "-inf" })
        } else {
            alloc::format!("{number}")
        };
        match self.protocol {
            Protocol::Two => self.bulk(text.as_bytes()),
            Protocol::Three => self.line(b',', text.as_bytes()),
        }
    }

    /// Text for people; in RESP2 a bulk string.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Two => self.bulk(text),
            Protocol::Three => {
                self.head(b'=', text.len().saturating_add(4));
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    #[inline]
    fn head(&mut self, kind: u8, len: usize) {
        let mut buffer = itoa::Buffer::new();
        self.line(kind, buffer.format(len).as_bytes());
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        // Most lines are a few digits: put together here, they are one append.
        let mut line = [0; 24];
        let end = text.len().saturating_add(3);
        match line.get_mut(..end) {
            Some([first, middle @ .., cr, lf]) => {
                *first = kind;
                middle.copy_from_slice(text);
                (*cr, *lf) = (b'\r', b'\n');
                self.out.extend_from_slice(line.get(..end).unwrap_or_default());
            }
            _ => {
                self.out.push(kind);
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
}

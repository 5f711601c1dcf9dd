//! Reads that differ from the one before in nothing but their key.
//!
//! A client that keeps its connection sends the same head again and again: once one `GET` of a key was decoded and
//! found plain, another with the same bytes around its key means the same. That is found out by comparing them, at a
//! fifth of the cost of decoding.

use alloc::vec::Vec;
use core::ops::Range;

use ringhold_types::limits::KEY_LEN_MAX;

/// What stands before the key.
const PREFIX: &[u8; 13] = b"GET /v1/keys/";
/// What surely stands behind it: there is no query.
const VERSION: &[u8] = b" HTTP/1.1\r\n";
/// The longest rest of a head that is kept, in bytes: it is memory of a connection.
const TAIL_LEN_MAX: usize = 512;

/// The bytes behind the key of a connection's last plain read.
#[derive(Clone, Debug, Default)]
pub struct Repeat {
    tail: Vec<u8>,
}

/// A read that repeats the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// Its key, as a range of the input.
    pub key: Range<usize>,
    /// The bytes of its head.
    pub head_len: usize,
}

impl Repeat {
    /// Before the first request.
    #[must_use]
    pub const fn new() -> Self {
        Self { tail: Vec::new() }
    }

    /// Remembers `head`, that of a plain read without a body whose connection stays open, of the key in `key`.
    pub fn remember(&mut self, head: &[u8], key: &Range<usize>) {
        let tail = head.get(key.end..).unwrap_or_default();
        let is_kept = head.starts_with(PREFIX)
            && key.start == PREFIX.len()
            && tail.starts_with(VERSION)
            && tail.len() <= TAIL_LEN_MAX;
        if is_kept && self.tail != tail {
            self.tail = tail.to_vec();
        }
    }

    /// The request that `input` begins with, if it is whole and a repetition.
    #[inline]
    #[must_use]
    pub fn decode(&self, input: &[u8]) -> Option<Repeated> {
        if self.tail.is_empty() || input.first_chunk() != Some(PREFIX) {
            return None;
        }
        let rest = input.get(PREFIX.len()..)?;
        let key_len = rest.iter().take_while(|&&byte| is_plain(byte)).count();
        let is_repeated =
            (1..=KEY_LEN_MAX).contains(&key_len) && rest.get(key_len..)?.starts_with(&self.tail);
        let end = PREFIX.len().saturating_add(key_len);
        let head_len = end.saturating_add(self.tail.len());
        is_repeated.then_some(Repeated { key: PREFIX.len()..end, head_len })
    }
}

/// Whether a byte of a path stands for itself and ends nothing (RFC 3986, section 3.3: `pchar` but for `%`).
#[inline]
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
        || matches!(byte, b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

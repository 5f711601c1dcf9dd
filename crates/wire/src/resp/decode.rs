//! Commands of clients: arrays of bulk strings, and inline commands.
//!
//! The decoder is handed all bytes of a connection that no command has consumed, and puts the arguments into a
//! vector of the caller as ranges of those bytes; it copies nothing and allocates nothing. Of an incomplete
//! command it remembers where it stopped, so a command that arrives a byte at a time is read once in all.
//! The texts of the errors are those of Redis 7.2 (`networking.c`), which clients match on.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The most arguments of one command, as in Redis.
pub const ARGS_MAX: usize = 1024 * 1024;
/// The longest inline command, in bytes, as in Redis.
pub const LINE_LEN_MAX: usize = 64 * 1024;
/// The longest line that gives a length, in bytes. Redis waits for up to 64 KiB; no number is so long, and a shorter
/// bound spares looking through them again with every piece that arrives.
pub const LENGTH_LINE_LEN_MAX: usize = 64;
/// The most arguments of a command of a client that has not authenticated, as in Redis.
pub const ARGS_MAX_UNAUTHENTICATED: usize = 10;
/// The longest argument of a client that has not authenticated, in bytes, as in Redis.
pub const ARG_LEN_MAX_UNAUTHENTICATED: usize = 16 * 1024;

/// What a connection may send at present.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most arguments of one command.
    pub args_max: usize,
    /// The longest argument, in bytes.
    pub arg_len_max: usize,
}

/// What the bytes begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole command of this many bytes; its arguments were appended. No argument: nothing to execute (an empty
    /// line, an empty array).
    Command {
        /// The bytes that it takes.
        used: usize,
    },
    /// An inline command: its words are in this line ([`words`](super::inline::words)).
    Inline {
        /// The line without its break, as a range of the input.
        line: Range<usize>,
        /// The bytes that it takes.
        used: usize,
    },
    /// Part of a command.
    Incomplete,
}

/// Why a connection cannot go on: the sender's mistake. The text is what Redis answers before it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The number of arguments is no number, or more than the limit.
    BadArgCount,
    /// The number of arguments is over what a client may send before it has authenticated.
    UnauthenticatedArgCount,
    /// The length of an argument is over what a client may send before it has authenticated.
    UnauthenticatedArgLen,
    /// An argument does not begin with `$` but with this byte.
    ExpectedBulk(u8),
    /// The length of an argument is no number, negative, or more than the limit.
    BadArgLen,
    /// A line with a length does not end.
    LengthTooLong,
    /// The number of arguments does not end.
    CountTooLong,
    /// An inline command does not end.
    InlineTooLong,
    /// Quotes of an inline command are not closed, or are followed by something.
    UnbalancedQuotes,
    /// A command does not end within the bytes that the receiver keeps for one.
    CommandTooLong,
    /// A line that begins as one of HTTP: a web page makes its browser talk to us.
    CrossProtocol,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::BadArgCount => f.write_str("invalid multibulk length"),
            Self::UnauthenticatedArgCount => f.write_str("unauthenticated multibulk length"),
            Self::UnauthenticatedArgLen => f.write_str("unauthenticated bulk length"),
            Self::ExpectedBulk(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
            Self::BadArgLen => f.write_str("invalid bulk length"),
            Self::LengthTooLong => f.write_str("too big bulk count string"),
            Self::CountTooLong => f.write_str("too big mbulk count string"),
            Self::InlineTooLong => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::CommandTooLong => f.write_str("too big command"),
            Self::CrossProtocol => f.write_str("an HTTP request was sent to the RESP port"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// The argument that an incomplete command waits for.
#[derive(Clone, Copy, Debug)]
pub struct Awaited<'a> {
    /// The arguments before it, as ranges of the input.
    pub args: &'a [Range<usize>],
    /// Where the line with its length begins.
    pub line: usize,
    /// Where its first byte is or will be.
    pub start: usize,
    /// Its length, in bytes.
    pub len: usize,
}

/// Where a connection's decoder stopped in an incomplete command.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The arguments still to come; 0: a command begins.
    missing: usize,
    /// The bytes of the command that need no second look.
    done: usize,
    /// The arguments that are whole.
    args: Vec<Range<usize>>,
}

impl Decoder {
    /// A decoder before the first byte.
    #[must_use]
    pub const fn new() -> Self {
        Self { missing: 0, done: 0, args: Vec::new() }
    }

    /// The large argument that an incomplete command waits for: how many bytes it has, where it begins, and the
    /// whole arguments before it; `None` when what is missing is something else. `input` is what was decoded last.
    #[must_use]
    pub fn awaited(&self, input: &[u8], limits: Limits) -> Option<Awaited<'_>> {
        if self.missing == 0 || input.get(self.done) != Some(&b'$') {
            return None;
        }
        let number = line(input, self.done.saturating_add(1), DecodeError::LengthTooLong);
        let (len, start) = number.ok().flatten()?;
        let len = len.and_then(|len| usize::try_from(len).ok())?;
        (len <= limits.arg_len_max).then_some(Awaited {
            args: &self.args,
            line: self.done,
            start,
            len,
        })
    }

    /// The bytes that it has allocated for what is known of an incomplete command.
    #[must_use]
    pub const fn held_len(&self) -> usize {
        self.args.capacity().saturating_mul(size_of::<Range<usize>>())
    }

    /// How many bytes must come at the least until an incomplete command can be whole: until then it need not be decoded
    /// again. `input` is what was decoded last.
    #[must_use]
    pub fn missing_len(&self, input: &[u8], limits: Limits) -> usize {
        // The shortest argument there is.
        const ARG_LEN_MIN: usize = b"$0\r\n\r\n".len();
        let (end, later) = match self.awaited(input, limits) {
            Some(awaited) => {
                let end = awaited.start.saturating_add(awaited.len).saturating_add(2);
                (end, self.missing.saturating_sub(1))
            }
            None => (self.done, self.missing),
        };
        end.saturating_add(later.saturating_mul(ARG_LEN_MIN)).saturating_sub(input.len())
    }

    /// Decodes the command that `input` begins with, and appends its arguments to `args` as ranges of `input`.
    ///
    /// After [`Decoded::Incomplete`] the same bytes and more must be handed in; nothing was appended.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the connection must be closed after the error was answered.
    #[inline]
    pub fn decode(
        &mut self,
        input: &[u8],
        limits: Limits,
        args: &mut Vec<Range<usize>>,
    ) -> Result<Decoded, DecodeError> {
        if self.missing > 0 {
            return self.bulks(input, limits, args);
        }
        match input.first() {
            None => Ok(Decoded::Incomplete),
            Some(b'*') if self.done == 0 => self.array(input, limits, args),
            Some(_) => self.inline(input),
        }
    }

    #[inline]
    fn array(
        &mut self,
        input: &[u8],
        limits: Limits,
        args: &mut Vec<Range<usize>>,
    ) -> Result<Decoded, DecodeError> {
        let Some((count, at)) = line(input, 1, DecodeError::CountTooLong)? else {
            return Ok(Decoded::Incomplete);
        };
        let count = count.ok_or(DecodeError::BadArgCount)?;
        let Ok(count) = usize::try_from(count) else { return Ok(Decoded::Command { used: at }) };
        if count > limits.args_max {
            return Err(if limits.args_max == ARGS_MAX_UNAUTHENTICATED {
                DecodeError::UnauthenticatedArgCount
            } else {
                DecodeError::BadArgCount
            });
        }
        self.done = at;
        self.missing = count;
        self.bulks(input, limits, args)
    }

    /// Reads the missing arguments from where it stopped.
    #[inline]
    fn bulks(
        &mut self,
        input: &[u8],
        limits: Limits,
        args: &mut Vec<Range<usize>>,
    ) -> Result<Decoded, DecodeError> {
        let mut at = core::mem::take(&mut self.done);
        let mut missing = core::mem::take(&mut self.missing);
        // Arguments of an incomplete command stay here and move to the caller once, when it is whole: a command that
        // arrives in small pieces is not copied for each of them.
        let mut kept = core::mem::take(&mut self.args);
        let is_resumed = !kept.is_empty();
        let before = args.len();
        while missing > 0 {
            let Some((range, next)) = bulk(input, at, limits)? else {
                kept.extend(args.drain(before..));
                *self = Self { missing, done: at, args: kept };
                return Ok(Decoded::Incomplete);
            };
            if is_resumed {
                kept.push(range);
            } else {
                args.push(range);
            }
            at = next;
            missing = missing.saturating_sub(1);
        }
        args.append(&mut kept);
        Ok(Decoded::Command { used: at })
    }

    fn inline(&mut self, input: &[u8]) -> Result<Decoded, DecodeError> {
        let from = self.done.min(input.len());
        let unseen = input.get(from..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', unseen).map(|found| found.saturating_add(from))
        else {
            if input.len() > LINE_LEN_MAX {
                return Err(DecodeError::InlineTooLong);
            }
            self.done = input.len();
            return Ok(Decoded::Incomplete);
        };
        *self = Self::new();
        if end > LINE_LEN_MAX {
            return Err(DecodeError::InlineTooLong);
        }
        let text = input.get(..end).unwrap_or_default();
        let is_http = |word: &[u8]| {
            text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if is_http(b"post ") || is_http(b"host:") {
            return Err(DecodeError::CrossProtocol);
        }
        Ok(Decoded::Inline { line: 0..end, used: end.saturating_add(1) })
    }
}

/// The limits of a client that has authenticated, or need not.
#[must_use]
pub const fn limits(arg_len_max: usize) -> Limits {
    Limits { args_max: ARGS_MAX, arg_len_max }
}

/// The limits of a client that has not authenticated yet.
pub const LIMITS_UNAUTHENTICATED: Limits =
    Limits { args_max: ARGS_MAX_UNAUTHENTICATED, arg_len_max: ARG_LEN_MAX_UNAUTHENTICATED };

/// One bulk string at `at`: its range and where the next begins; `None` when it is not all there.
#[inline]
fn bulk(
    input: &[u8],
    at: usize,
    limits: Limits,
) -> Result<Option<(Range<usize>, usize)>, DecodeError> {
    match input.get(at) {
        None => return Ok(None),
        Some(b'$') => {}
        Some(&byte) => return Err(DecodeError::ExpectedBulk(byte)),
    }
    let Some((len, start)) = line(input, at.saturating_add(1), DecodeError::LengthTooLong)? else {
        return Ok(None);
    };
    let len = len.and_then(|len| usize::try_from(len).ok()).ok_or(DecodeError::BadArgLen)?;
    if len > limits.arg_len_max {
        return Err(if limits.arg_len_max == ARG_LEN_MAX_UNAUTHENTICATED {
            DecodeError::UnauthenticatedArgLen
        } else {
            DecodeError::BadArgLen
        });
    }
    let end = start.saturating_add(len);
    let next = end.saturating_add(2);
    // As in Redis the two bytes after the argument are counted, not looked at.
    Ok((next <= input.len()).then_some((start..end, next)))
}

/// The number on the line at `at` and where the next line begins. The number is `None` when it is none. The line is
/// `None` when it is not all there.
#[inline]
fn line(
    input: &[u8],
    at: usize,
    too_long: DecodeError,
) -> Result<Option<(Option<i64>, usize)>, DecodeError> {
    match short_number(input, at) {
        Some((number, next)) => Ok(Some((Some(number), next))),
        None => any_line(input, at, too_long),
    }
}

/// The number of one to three digits on the line at `at`, and where the next line begins: nearly every length. `None`:
/// the line may hold anything.
#[inline]
fn short_number(input: &[u8], at: usize) -> Option<(i64, usize)> {
    let &[a, b, c, d, _] = input.get(at..)?.first_chunk::<5>()?;
    let digit = |byte: u8| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(i64::from(digit))
    };
    let first = digit(a)?;
    if b == b'\r' {
        return Some((first, at.saturating_add(3)));
    }
    // Only zero itself begins with a zero.
    let second = digit(b).filter(|_| first > 0)?;
    let tens = first.wrapping_mul(10).wrapping_add(second);
    if c == b'\r' {
        return Some((tens, at.saturating_add(4)));
    }
    let third = digit(c)?;
    (d == b'\r').then_some((tens.wrapping_mul(10).wrapping_add(third), at.saturating_add(5)))
}

/// What [`line()`] says of any line.
fn any_line(
    input: &[u8],
    at: usize,
    too_long: DecodeError,
) -> Result<Option<(Option<i64>, usize)>, DecodeError> {
    let rest = input.get(at..).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\r', rest) else {
        return if rest.len() > LENGTH_LINE_LEN_MAX { Err(too_long) } else { Ok(None) };
    };
    if end > LENGTH_LINE_LEN_MAX {
        return Err(too_long);
    }
    if end.saturating_add(1) >= rest.len() {
        return Ok(None);
    }
    let digits = rest.get(..end).and_then(|digits| core::str::from_utf8(digits).ok());
    let number = digits.filter(|text| is_plain(text)).and_then(|text| text.parse().ok());
    Ok(Some((number, at.saturating_add(end).saturating_add(2))))
}

/// Whether an integer is written as Redis reads it (`string2ll`): no `+`, no leading zeros, no `-0`.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text == "0" || !digits.starts_with(['0', '+'])
}

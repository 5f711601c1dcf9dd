//! Replies of servers, as clients read them: both versions of the protocol.
//!
//! [`Decoder::decode`] is handed all bytes of a connection that no reply has consumed and says how many of them the
//! first reply takes. Of an incomplete reply it remembers which elements were whole, so a long array that arrives
//! in small pieces is read once in all. It copies nothing and allocates nothing: text stays a part of the input, and
//! what a reply is made of is walked with [`Reply::items`]. Lengths are held against [`Limits`] before anybody waits
//! for so many bytes; nesting ends at [`DEPTH_MAX`]. Left out: the streamed strings and aggregates of RESP3 (`$?`,
//! `*?`), which no server sends. Source: redis.io, "Redis serialization protocol specification".

#[cfg(test)]
mod tests;

use core::fmt;

/// The longest line of text (a simple string, an error, a big number), in bytes without its end.
pub const LINE_LEN_MAX: usize = 64 * 1024;
/// The longest line with a number in it, in bytes without its end: a double may have many digits.
pub const NUMBER_LEN_MAX: usize = 512;
/// How deep aggregates may stand in each other. Replies of Redis 7.2 go down to 7.
pub const DEPTH_MAX: usize = 32;
/// What a verbatim string has before its text: three characters of its format, and a colon.
const FORMAT_LEN: usize = 4;

/// What a server may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest string, in bytes.
    pub bulk_len_max: usize,
    /// The most elements of one aggregate; of a map, pairs.
    pub elements_max: usize,
}

/// One element of a reply: a value, or the head of an aggregate whose elements follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// `+`: a short text without line breaks.
    Simple(&'a [u8]),
    /// `-` or `!`: an error, its code first.
    Error(&'a [u8]),
    /// `:`
    Integer(i64),
    /// `$`: any bytes.
    Bulk(&'a [u8]),
    /// `_`, and RESP2's `$-1` and `*-1`: no value.
    Null,
    /// `,`
    Double(f64),
    /// `#`
    Boolean(bool),
    /// `(`: an integer of any length, as its digits.
    BigNumber(&'a [u8]),
    /// `=`: text for people.
    Verbatim {
        /// Three characters, such as `txt`.
        format: &'a [u8],
        /// The text.
        text: &'a [u8],
    },
    /// `*`: so many elements follow.
    Array(usize),
    /// `%`: so many pairs follow.
    Map(usize),
    /// `~`: so many different elements follow.
    Set(usize),
    /// `>`: so many elements follow; no answer to a command.
    Push(usize),
    /// `|`: so many pairs follow, and then the reply that they are about.
    Attribute(usize),
}

impl Item<'_> {
    /// How many items follow that belong to it; `None` when it is no aggregate.
    #[must_use]
    pub const fn elements(&self) -> Option<usize> {
        match self {
            Self::Array(count) | Self::Set(count) | Self::Push(count) => Some(*count),
            Self::Map(pairs) | Self::Attribute(pairs) => Some(pairs.saturating_mul(2)),
            Self::Simple(_)
            | Self::Error(_)
            | Self::Integer(_)
            | Self::Bulk(_)
            | Self::Null
            | Self::Double(_)
            | Self::Boolean(_)
            | Self::BigNumber(_)
            | Self::Verbatim { .. } => None,
        }
    }
}

/// Why a connection cannot go on: the server's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// No reply begins with this byte.
    UnknownKind(u8),
    /// A line does not end in CRLF, or what must be followed by one is not.
    BadEnd,
    /// What stands for a number or a truth value is none.
    BadNumber,
    /// A length is no number, or negative.
    BadLength,
    /// A line does not end within its limit.
    LineTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// A string is announced that is too long.
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// An aggregate of too many elements is announced.
    TooMany {
        /// Its elements; of a map, pairs.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// Aggregates stand in each other deeper than [`DEPTH_MAX`].
    TooDeep,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(byte) => write!(f, "no reply begins with byte {byte:#04x}"),
            Self::BadEnd => f.write_str("a line does not end in CRLF"),
            Self::BadNumber => f.write_str("a number is none"),
            Self::BadLength => f.write_str("a length is none"),
            Self::LineTooLong { max } => write!(f, "a line has over {max} bytes"),
            Self::TooLong { len, max } => write!(f, "a string of {len} bytes, at most {max}"),
            Self::TooMany { count, max } => write!(f, "{count} elements, at most {max}"),
            Self::TooDeep => write!(f, "aggregates stand over {DEPTH_MAX} deep in each other"),
        }
    }
}

impl core::error::Error for ReplyError {}

/// A whole reply.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The reply, or its head when it is an aggregate; what stands before it are attributes.
    pub head: Item<'a>,
    /// All its bytes, attributes included; the next reply begins behind them.
    pub bytes: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Its items in the order sent: attributes first, heads before their elements.
    #[must_use]
    pub const fn items(&self) -> Items<'a> {
        Items { bytes: self.bytes, at: 0 }
    }
}

/// The items of a whole reply.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        // Whoever made the reply has held it against the limits.
        const NO_LIMITS: Limits = Limits { bulk_len_max: usize::MAX, elements_max: usize::MAX };
        let (found, end) = item(self.bytes, self.at, NO_LIMITS).ok().flatten()?;
        self.at = end;
        Some(found)
    }
}

/// An aggregate that is not whole.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// The elements still to come.
    missing: usize,
    /// Whether it is an attribute: what it is about follows it in the same place.
    is_attribute: bool,
}

/// Where a connection's decoder stopped in an incomplete reply.
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    /// The bytes of the reply that need no second look.
    done: usize,
    /// Where the reply begins, behind its attributes.
    head: usize,
    levels: [Level; DEPTH_MAX],
    depth: usize,
}

impl Decoder {
    /// A decoder before the first byte.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        const EMPTY: Level = Level { missing: 0, is_attribute: false };
        Self { limits, done: 0, head: 0, levels: [EMPTY; DEPTH_MAX], depth: 0 }
    }

    /// Decodes the reply that `input` begins with; `None` while it is not whole. After `None` the same bytes and more
    /// must be handed in.
    ///
    /// # Errors
    ///
    /// [`ReplyError`]: the connection is of no more use.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Reply<'a>>, ReplyError> {
        if self.done == 0 {
            // The usual cases: one value.
            if let Some((bytes, end)) = short_bulk(input, self.limits) {
                let head = Item::Bulk(bytes);
                return Ok(Some(Reply { head, bytes: input.get(..end).unwrap_or_default() }));
            }
            let Some((head, end)) = item(input, 0, self.limits)? else { return Ok(None) };
            if head.elements().is_none() {
                return Ok(Some(Reply { head, bytes: input.get(..end).unwrap_or_default() }));
            }
        }
        self.nested(input)
    }

    /// Goes on where it stopped.
    fn nested<'a>(&mut self, input: &'a [u8]) -> Result<Option<Reply<'a>>, ReplyError> {
        loop {
            let Some((found, end)) = item(input, self.done, self.limits)? else { return Ok(None) };
            let is_attribute = matches!(found, Item::Attribute(_));
            if self.depth == 0 && !is_attribute {
                self.head = self.done;
            }
            self.done = end;
            match found.elements() {
                Some(0) if is_attribute => {}
                None | Some(0) => {
                    if self.is_whole() {
                        break;
                    }
                }
                Some(missing) => {
                    let level = self.levels.get_mut(self.depth).ok_or(ReplyError::TooDeep)?;
                    *level = Level { missing, is_attribute };
                    self.depth = self.depth.saturating_add(1);
                }
            }
        }
        let (at, used) = (self.head, self.done);
        (self.head, self.done, self.depth) = (0, 0, 0);
        let head = item(input, at, self.limits)?;
        Ok(head.map(|(head, _)| Reply { head, bytes: input.get(..used).unwrap_or_default() }))
    }

    /// Counts an element that is whole, and the aggregates that it ends; whether all is there.
    fn is_whole(&mut self) -> bool {
        while let Some(inner) = self.depth.checked_sub(1)
            && let Some(level) = self.levels.get_mut(inner)
        {
            level.missing = level.missing.saturating_sub(1);
            if level.missing > 0 {
                return false;
            }
            self.depth = inner;
            if level.is_attribute {
                return false;
            }
        }
        true
    }
}

/// The item at `at` and where the next begins; `None` when it is not all there. An aggregate is its head.
fn item(input: &[u8], at: usize, limits: Limits) -> Result<Option<(Item<'_>, usize)>, ReplyError> {
    let Some(&kind) = input.get(at) else { return Ok(None) };
    let text = at.saturating_add(1);
    match kind {
        b'$' => bulk(input, text, limits),
        b'+' => with_line(input, text, LINE_LEN_MAX, |line| Ok(Item::Simple(line))),
        b'-' => with_line(input, text, LINE_LEN_MAX, |line| Ok(Item::Error(line))),
        b'(' => with_line(input, text, LINE_LEN_MAX, big_number),
        b':' => with_line(input, text, NUMBER_LEN_MAX, |line| number(line).map(Item::Integer)),
        b',' => with_line(input, text, NUMBER_LEN_MAX, double),
        b'#' => with_line(input, text, NUMBER_LEN_MAX, |line| match line {
            b"t" => Ok(Item::Boolean(true)),
            b"f" => Ok(Item::Boolean(false)),
            _ => Err(ReplyError::BadNumber),
        }),
        b'_' => with_line(input, text, NUMBER_LEN_MAX, |line| {
            if line.is_empty() { Ok(Item::Null) } else { Err(ReplyError::BadNumber) }
        }),
        b'!' | b'=' => sized(input, text, limits, kind),
        b'*' | b'%' | b'~' | b'>' | b'|' => with_line(input, text, NUMBER_LEN_MAX, |line| {
            if kind == b'*' && line == b"-1" {
                return Ok(Item::Null);
            }
            let count = length(line)?;
            if count > limits.elements_max {
                return Err(ReplyError::TooMany { count, max: limits.elements_max });
            }
            Ok(match kind {
                b'%' => Item::Map(count),
                b'~' => Item::Set(count),
                b'>' => Item::Push(count),
                b'|' => Item::Attribute(count),
                _ => Item::Array(count),
            })
        }),
        byte => Err(ReplyError::UnknownKind(byte)),
    }
}

/// A whole bulk string at the front whose length has few digits, and where it ends; `None` for anything else.
#[inline]
fn short_bulk(input: &[u8], limits: Limits) -> Option<(&[u8], usize)> {
    let [b'$', rest @ ..] = input else { return None };
    let (mut len, mut digits) = (0usize, 0usize);
    for byte in rest.iter().take(8) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        len = len.wrapping_mul(10).wrapping_add(usize::from(digit));
        digits = digits.wrapping_add(1);
    }
    if digits == 0 || rest.get(digits..digits.wrapping_add(2)) != Some(b"\r\n") {
        return None;
    }
    content(input, digits.wrapping_add(3), len, limits).ok().flatten()
}

/// A bulk string whose length is at `at`.
fn bulk(input: &[u8], at: usize, limits: Limits) -> Result<Option<(Item<'_>, usize)>, ReplyError> {
    let Some((line, start)) = line(input, at, NUMBER_LEN_MAX)? else { return Ok(None) };
    if line == b"-1" {
        return Ok(Some((Item::Null, start)));
    }
    let found = content(input, start, length(line)?, limits)?;
    Ok(found.map(|(bytes, end)| (Item::Bulk(bytes), end)))
}

/// A verbatim string or an error of any bytes.
fn sized(
    input: &[u8],
    at: usize,
    limits: Limits,
    kind: u8,
) -> Result<Option<(Item<'_>, usize)>, ReplyError> {
    let Some((line, start)) = line(input, at, NUMBER_LEN_MAX)? else { return Ok(None) };
    let Some((bytes, end)) = content(input, start, length(line)?, limits)? else {
        return Ok(None);
    };
    if kind == b'!' {
        return Ok(Some((Item::Error(bytes), end)));
    }
    match bytes.split_at_checked(FORMAT_LEN) {
        Some(([format @ .., b':'], text)) => Ok(Some((Item::Verbatim { format, text }, end))),
        _ => Err(ReplyError::BadLength),
    }
}

/// The `len` bytes at `start` that CRLF follows, and where the next item begins.
#[inline]
fn content(
    input: &[u8],
    start: usize,
    len: usize,
    limits: Limits,
) -> Result<Option<(&[u8], usize)>, ReplyError> {
    if len > limits.bulk_len_max {
        return Err(ReplyError::TooLong { len, max: limits.bulk_len_max });
    }
    let end = start.saturating_add(len);
    let next = end.saturating_add(2);
    let (Some(bytes), Some(tail)) = (input.get(start..end), input.get(end..next)) else {
        return Ok(None);
    };
    if tail == b"\r\n" { Ok(Some((bytes, next))) } else { Err(ReplyError::BadEnd) }
}

/// What `read` makes of the line at `at`.
#[inline]
fn with_line<'a>(
    input: &'a [u8],
    at: usize,
    len_max: usize,
    read: impl FnOnce(&'a [u8]) -> Result<Item<'a>, ReplyError>,
) -> Result<Option<(Item<'a>, usize)>, ReplyError> {
    match line(input, at, len_max)? {
        Some((line, next)) => Ok(Some((read(line)?, next))),
        None => Ok(None),
    }
}

/// The line at `at` without its end, and where the next begins.
#[inline]
fn line(input: &[u8], at: usize, len_max: usize) -> Result<Option<(&[u8], usize)>, ReplyError> {
    // With its CRLF. What lies beyond is not looked at, so that the same is said however the bytes were split.
    let window = len_max.saturating_add(2);
    let rest = input.get(at..).unwrap_or_default();
    let rest = rest.get(..window).unwrap_or(rest);
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return if rest.len() == window {
            Err(ReplyError::LineTooLong { max: len_max })
        } else {
            Ok(None)
        };
    };
    match rest.get(..end) {
        Some([line @ .., b'\r']) => Ok(Some((line, at.saturating_add(end).saturating_add(1)))),
        _ => Err(ReplyError::BadEnd),
    }
}

/// The length or count that is all of `digits`.
#[inline]
fn length(digits: &[u8]) -> Result<usize, ReplyError> {
    if digits.is_empty() {
        return Err(ReplyError::BadLength);
    }
    digits.iter().try_fold(0usize, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        let sum = (digit <= 9).then(|| sum.checked_mul(10)).flatten();
        sum.and_then(|sum| sum.checked_add(usize::from(digit))).ok_or(ReplyError::BadLength)
    })
}

fn number(line: &[u8]) -> Result<i64, ReplyError> {
    let text = core::str::from_utf8(line).map_err(|_| ReplyError::BadNumber)?;
    text.parse().map_err(|_| ReplyError::BadNumber)
}

fn double(line: &[u8]) -> Result<Item<'_>, ReplyError> {
    let text = core::str::from_utf8(line).map_err(|_| ReplyError::BadNumber)?;
    text.parse().map(Item::Double).map_err(|_| ReplyError::BadNumber)
}

fn big_number(line: &[u8]) -> Result<Item<'_>, ReplyError> {
    let digits = line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+")).unwrap_or(line);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::BadNumber);
    }
    Ok(Item::BigNumber(line))
}

//! Responses of HTTP/1.1, as clients read them, parsed by `httparse`.
//!
//! [`Decoder`] finds the head, [`Body`] takes the bytes behind it apart: so many as `Content-Length` says, chunks, or
//! all until the connection closes (RFC 9112, 6.3). Both give the same result however the bytes were split: an error
//! of the head is told when its end has come, and nothing beyond a limit is looked at. What leaves the end of a
//! response in doubt is an error (RFC 9112, 11.2). Left out: trailers are skipped; obsolete line folding is refused.

#[cfg(test)]
mod tests;

use core::fmt;
use core::mem::MaybeUninit;

/// The longest head, in bytes.
pub const HEAD_LEN_MAX: usize = 64 * 1024;
/// The most header fields.
pub const FIELDS_MAX: usize = 64;
/// The longest line before a chunk, in bytes: its length and extensions.
pub const CHUNK_LINE_LEN_MAX: usize = 1024;
/// The most bytes of trailers.
pub const TRAILERS_LEN_MAX: usize = 16 * 1024;
/// How every response begins that is read here.
const START: &[u8] = b"HTTP/1.";

/// What the request was, as far as it says how the response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `HEAD`: no body comes, whatever the fields say.
    Head,
    /// Any other method.
    Other,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// It has so many bytes.
    Length(usize),
    /// It comes in chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Status code. 100 to 199: another head follows for the same request.
    pub status: u16,
    /// How its body ends.
    pub framing: Framing,
    /// Whether the connection stays open after the body.
    pub is_keep_alive: bool,
    /// All its bytes; the body follows them.
    pub bytes: &'a [u8],
}

impl<'a> Head<'a> {
    /// Tells `visit` the name and value of each field. Parses the head again.
    ///
    /// # Errors
    ///
    /// [`ResponseError::Malformed`] when a field that says nothing of the end has characters that none may have; then
    /// nothing is visited.
    pub fn fields(&self, mut visit: impl FnMut(&'a str, &'a [u8])) -> Result<(), ResponseError> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut []);
        parse(&mut head, self.bytes, &mut fields).map_err(|_| ResponseError::Malformed)?;
        for field in head.headers.iter() {
            visit(field.name, field.value);
        }
        Ok(())
    }

    /// The value of the last field of this name, in any case. Parses the head again.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        let mut found = None;
        let read = self.fields(|one, value| {
            if one.eq_ignore_ascii_case(name) {
                found = Some(value);
            }
        });
        read.ok().and(found)
    }
}

/// Why a connection cannot go on: the server's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// It does not begin as a response of HTTP/1.
    NotHttp,
    /// The head is malformed.
    Malformed,
    /// More than [`FIELDS_MAX`] fields.
    TooManyFields,
    /// The head does not end within [`HEAD_LEN_MAX`] bytes.
    HeadTooLong,
    /// `Content-Length` is no number, or says two different ones.
    BadLength,
    /// Both `Content-Length` and `Transfer-Encoding`.
    TwoLengths,
    /// A transfer encoding other than `chunked`.
    UnknownEncoding,
    /// A chunk does not begin with its length, or does not end where it says.
    BadChunk,
    /// Trailers of more than [`TRAILERS_LEN_MAX`] bytes.
    TrailersTooLong,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "this is no response of HTTP/1.1",
            Self::Malformed => "the head of the response is malformed",
            Self::TooManyFields => "the response has more than 64 fields",
            Self::HeadTooLong => "the head of the response has more than 64 KiB",
            Self::BadLength => "the response's Content-Length is no length",
            Self::TwoLengths => "the response has a Content-Length and a Transfer-Encoding",
            Self::UnknownEncoding => "the response has an unknown Transfer-Encoding",
            Self::BadChunk => "a chunk of the response is malformed",
            Self::TrailersTooLong => "the response has more than 16 KiB of trailers",
        })
    }
}

impl core::error::Error for ResponseError {}

/// The search for the end of a head that has not come whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// The bytes in which the head does not end.
    seen: usize,
}

impl Decoder {
    /// A decoder before the first byte.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: 0 }
    }

    /// Decodes the head that `input` begins with; `None` while it is not whole. After `None` the same bytes and more
    /// must be handed in.
    ///
    /// # Errors
    ///
    /// [`ResponseError`]: the connection is of no more use.
    #[inline]
    pub fn decode<'a>(
        &mut self,
        input: &'a [u8],
        asked: Asked,
    ) -> Result<Option<Head<'a>>, ResponseError> {
        let window = input.get(..HEAD_LEN_MAX).unwrap_or(input);
        if self.seen > 0 && !has_end(window, self.seen) {
            return self.wait(window);
        }
        if let Some(head) = usual(window, asked) {
            self.seen = 0;
            return Ok(Some(head));
        }
        self.judged(window, asked)
    }

    /// Has `httparse` judge what is not whole, or not the usual head.
    fn judged<'a>(
        &mut self,
        window: &'a [u8],
        asked: Asked,
    ) -> Result<Option<Head<'a>>, ResponseError> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut []);
        match parse(&mut head, window, &mut fields) {
            Ok(httparse::Status::Complete(len)) => {
                self.seen = 0;
                let bytes = window.get(..len).unwrap_or_default();
                if !bytes.starts_with(START) {
                    return Err(ResponseError::NotHttp);
                }
                of(&head, bytes, asked).map(Some)
            }
            Ok(httparse::Status::Partial) => self.wait(window),
            Err(_) if !has_end(window, 0) => self.wait(window),
            Err(_) if !window.starts_with(START) => Err(ResponseError::NotHttp),
            Err(httparse::Error::TooManyHeaders) => Err(ResponseError::TooManyFields),
            Err(_) => Err(ResponseError::Malformed),
        }
    }

    /// Waits for more of a head that is not whole, unless it cannot become one.
    #[cold]
    fn wait<T>(&mut self, window: &[u8]) -> Result<Option<T>, ResponseError> {
        let len = window.len().min(START.len());
        if window.get(..len) != START.get(..len) {
            return Err(ResponseError::NotHttp);
        }
        if window.len() >= HEAD_LEN_MAX {
            return Err(ResponseError::HeadTooLong);
        }
        self.seen = window.len();
        Ok(None)
    }
}

type Fields<'a> = [MaybeUninit<httparse::Header<'a>>; FIELDS_MAX];

#[inline]
fn parse<'h, 'a>(
    head: &mut httparse::Response<'h, 'a>,
    bytes: &'a [u8],
    fields: &'h mut Fields<'a>,
) -> httparse::Result<usize> {
    httparse::ParserConfig::default().parse_response_with_uninit_headers(head, bytes, fields)
}

/// Whether an empty line ends in `window` behind its first `seen` bytes.
fn has_end(window: &[u8], seen: usize) -> bool {
    let tail = window.get(seen.saturating_sub(2)..).unwrap_or_default();
    memchr::memchr_iter(b'\n', tail).any(|at| {
        matches!(tail.get(at.saturating_add(1)..), Some([b'\n', ..] | [b'\r', b'\n', ..]))
    })
}

/// The usual head of an answer on a connection that stays: `HTTP/1.1`, one `Content-Length`, neither `Connection` nor
/// `Transfer-Encoding`. Other fields are passed over without a look at their characters, which takes a third of the
/// time of judging them all. `None`: it is not whole, or anything else.
#[inline]
fn usual(window: &[u8], asked: Asked) -> Option<Head<'_>> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', digits @ ..] = window else {
        return None;
    };
    let [hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b' ' | b'\r', ..] = digits
    else {
        return None;
    };
    let status = [hundreds, tens, ones].iter().fold(0u16, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')))
    });
    let mut body_len = None;
    let mut at = memchr::memchr(b'\n', window)?.saturating_add(1);
    for _ in 0..FIELDS_MAX {
        let rest = window.get(at..)?;
        let end = memchr::memchr(b'\n', rest)?;
        let line = rest.get(..end)?.strip_suffix(b"\r")?;
        at = at.saturating_add(end).saturating_add(1);
        let is = |name: &[u8]| {
            line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        match line.first() {
            None => {
                let has_none = asked == Asked::Head || matches!(status, 100..200 | 204 | 304);
                let len = if has_none { 0 } else { body_len? };
                let bytes = window.get(..at)?;
                return Some(Head {
                    status,
                    framing: Framing::Length(len),
                    is_keep_alive: true,
                    bytes,
                });
            }
            // The ninth byte tells it from `Content-Type`.
            Some(b'c' | b'C')
                if matches!(line.get(8), Some(b'l' | b'L')) && is(b"content-length") =>
            {
                let value = line.get(b"content-length".len()..)?.strip_prefix(b": ")?;
                let before = body_len.replace(length(value)?);
                if before.is_some() {
                    return None;
                }
            }
            Some(b'c' | b'C') if is(b"connection") => return None,
            Some(b't' | b'T') if is(b"transfer-encoding") => return None,
            Some(first) if first.is_ascii_alphabetic() => {}
            Some(_) => return None,
        }
    }
    None
}

/// The number that is all of `digits`; `None` also when it is very long.
fn length(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0usize, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        let sum = sum.saturating_mul(10).saturating_add(usize::from(digit));
        (digit <= 9).then_some(sum)
    })
}

/// What the parsed head says.
fn of<'a>(
    head: &httparse::Response<'_, 'a>,
    bytes: &'a [u8],
    asked: Asked,
) -> Result<Head<'a>, ResponseError> {
    let status = head.code.unwrap_or_default();
    let is_new = head.version == Some(1);
    let (mut is_keep_alive, mut is_chunked) = (is_new, false);
    let mut body_len: Option<usize> = None;
    for field in head.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            10 if is("connection") => {
                for option in field.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        is_keep_alive = false;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        is_keep_alive = true;
                    }
                }
            }
            14 if is("content-length") => {
                let len = super::decode::decimal(field.value);
                let len = len.and_then(|len| usize::try_from(len).ok());
                let len = len.ok_or(ResponseError::BadLength)?;
                if body_len.replace(len).is_some_and(|before| before != len) {
                    return Err(ResponseError::BadLength);
                }
            }
            17 if is("transfer-encoding") => {
                let is_known = is_new && field.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                if !is_known || is_chunked {
                    return Err(ResponseError::UnknownEncoding);
                }
                is_chunked = true;
            }
            _ => {}
        }
    }
    let framing = match (is_chunked, body_len) {
        (true, Some(_)) => return Err(ResponseError::TwoLengths),
        _ if asked == Asked::Head || matches!(status, 100..200 | 204 | 304) => Framing::Length(0),
        (true, None) => Framing::Chunked,
        (false, Some(len)) => Framing::Length(len),
        (false, None) => Framing::UntilClose,
    };
    let is_keep_alive = is_keep_alive && framing != Framing::UntilClose;
    Ok(Head { status, framing, is_keep_alive, bytes })
}

/// Some bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Content; may be empty.
    pub content: &'a [u8],
    /// The bytes that were taken from the input, those around the content included. 0, when more must come first.
    pub used: usize,
    /// Whether the body ends here.
    pub is_last: bool,
}

/// Where a body's decoder stands.
///
/// ```text
/// Length ──► End
/// ChunkLine ──► Chunk ──► ChunkEnd ──► ChunkLine
/// ChunkLine ──► Trailers ──► End                      the last chunk
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are to come.
    Length(usize),
    /// All until the connection closes.
    UntilClose,
    /// The line before a chunk.
    ChunkLine,
    /// So many bytes of a chunk are to come.
    Chunk(usize),
    /// The line break behind a chunk.
    ChunkEnd,
    /// Trailers, of which so many bytes came.
    Trailers(usize),
    /// The body is whole.
    End,
}

/// Takes a body apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
}

impl Body {
    /// Before a body's first byte.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::End,
            Framing::Length(len) => State::Length(len),
            Framing::Chunked => State::ChunkLine,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether the body is whole when the connection closes here.
    #[must_use]
    pub const fn may_close(&self) -> bool {
        matches!(self.state, State::End | State::UntilClose)
    }

    /// Takes what it can from the front of `input`, at most up to the end of one chunk's content. What was used must not
    /// be handed in again.
    ///
    /// # Errors
    ///
    /// [`ResponseError`]: the connection is of no more use.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, ResponseError> {
        let mut used = 0usize;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let step = match self.state {
                State::ChunkLine => self.chunk_line(rest)?,
                State::ChunkEnd => match rest {
                    [] | [b'\r'] => None,
                    [b'\r', b'\n', ..] => {
                        self.state = State::ChunkLine;
                        Some(2)
                    }
                    _ => return Err(ResponseError::BadChunk),
                },
                State::Trailers(len) => self.trailer(rest, len)?,
                State::Length(_) | State::Chunk(_) | State::UntilClose | State::End => {
                    let content = self.content(rest);
                    used = used.saturating_add(content.len());
                    return Ok(Piece { content, used, is_last: self.state == State::End });
                }
            };
            match step {
                Some(len) => used = used.saturating_add(len),
                None => return Ok(Piece { content: &[], used, is_last: false }),
            }
        }
    }

    /// Content at the front of `rest`.
    fn content<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (missing, after) = match self.state {
            State::Length(missing) => (missing, State::End),
            State::Chunk(missing) => (missing, State::ChunkEnd),
            State::UntilClose => return rest,
            State::ChunkLine | State::ChunkEnd | State::Trailers(_) | State::End => return &[],
        };
        let content = rest.get(..missing).unwrap_or(rest);
        let left = missing.saturating_sub(content.len());
        self.state = match (left, after) {
            (0, after) => after,
            (left, State::End) => State::Length(left),
            (left, _) => State::Chunk(left),
        };
        content
    }

    /// The line before a chunk; how many bytes it is.
    fn chunk_line(&mut self, rest: &[u8]) -> Result<Option<usize>, ResponseError> {
        let window = rest.get(..CHUNK_LINE_LEN_MAX).unwrap_or(rest);
        match httparse::parse_chunk_size(window) {
            Ok(httparse::Status::Complete((len, size))) => {
                let size = usize::try_from(size).map_err(|_| ResponseError::BadChunk)?;
                self.state = if size == 0 { State::Trailers(0) } else { State::Chunk(size) };
                Ok(Some(len))
            }
            Ok(httparse::Status::Partial) if window.len() < CHUNK_LINE_LEN_MAX => Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => Err(ResponseError::BadChunk),
        }
    }

    /// A line of the trailers, of which `before` bytes came already; how many bytes it is.
    fn trailer(&mut self, rest: &[u8], before: usize) -> Result<Option<usize>, ResponseError> {
        let left = TRAILERS_LEN_MAX.saturating_sub(before);
        let window = rest.get(..left).unwrap_or(rest);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() == left {
                Err(ResponseError::TrailersTooLong)
            } else {
                Ok(None)
            };
        };
        let used = end.saturating_add(1);
        self.state = match window.get(..end) {
            Some([] | [b'\r']) => State::End,
            _ => State::Trailers(before.saturating_add(used)),
        };
        Ok(Some(used))
    }
}

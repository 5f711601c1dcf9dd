//! The content types of values, kept once each: an entry has a row's number.
//!
//! Rows are never taken away, so a number means the same as long as the process lives, and a reader takes no lock. When
//! there are no more rows an entry has the text itself: nothing is refused, it only takes more room.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use ringhold_types::entry::{ContentType, ContentTypeId};

/// The most content types of a node that are kept once, content encodings included.
pub const CONTENT_TYPES_MAX: usize = 4096;
/// The most bytes of a content type and a content encoding together, the line feed between them included.
pub const CONTENT_TYPE_LEN_MAX: usize = ContentType::TEXT_LEN_MAX;
/// What a value is that came with no content type.
const UNKNOWN: &[u8] = b"application/octet-stream";
/// Stands between a content type and an encoding in a text. No field has it.
const SEPARATOR: u8 = b'\n';

/// A content type and a content encoding that are over [`CONTENT_TYPE_LEN_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// A content type that is no part of an entry: of one to be written, or of one that was read before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnContentType {
    /// A row of the table.
    Row(ContentTypeId),
    /// The type, and behind a line feed the encoding if there is one.
    Text(Box<[u8]>),
}

impl OwnContentType {
    /// None was given.
    pub const NONE: Self = Self::Row(ContentTypeId::NONE);

    /// A copy of an entry's.
    #[must_use]
    pub fn of(content_type: ContentType<'_>) -> Self {
        match content_type {
            ContentType::Row(id) => Self::Row(id),
            ContentType::Text(text) => Self::Text(text.into()),
        }
    }

    /// As the store takes it.
    #[must_use]
    pub fn borrow(&self) -> ContentType<'_> {
        match self {
            Self::Row(id) => ContentType::Row(*id),
            Self::Text(text) => ContentType::Text(text),
        }
    }
}

/// The content types of a node.
#[derive(Debug)]
pub struct ContentTypes {
    /// By number; 0 stays empty. Each row is the fields of an answer, with their line breaks.
    rows: Box<[OnceLock<Box<[u8]>>]>,
    numbers: Mutex<BTreeMap<Box<[u8]>, u16>>,
}

impl Default for ContentTypes {
    fn default() -> Self {
        let rows = (0..=CONTENT_TYPES_MAX).map(|_| OnceLock::new()).collect();
        Self { rows, numbers: Mutex::default() }
    }
}

impl ContentTypes {
    /// A content type and a content encoding as they stand in a request, to be kept with an entry.
    ///
    /// # Errors
    ///
    /// [`TooLong`]
    pub fn keep(
        &self,
        content_type: Option<&[u8]>,
        encoding: Option<&[u8]>,
    ) -> Result<OwnContentType, TooLong> {
        if content_type.is_none() && encoding.is_none() {
            return Ok(OwnContentType::NONE);
        }
        let content_type = content_type.unwrap_or(UNKNOWN).trim_ascii();
        let encoding = encoding.unwrap_or_default().trim_ascii();
        let mut text = content_type.to_vec();
        if !encoding.is_empty() {
            text.push(SEPARATOR);
            text.extend_from_slice(encoding);
        }
        if text.len() > CONTENT_TYPE_LEN_MAX {
            return Err(TooLong);
        }
        Ok(self.keep_text(&text))
    }

    /// A content type as another node sent it: what [`ContentTypes::text`] gave there.
    #[must_use]
    pub fn keep_text(&self, text: &[u8]) -> OwnContentType {
        if text.is_empty() {
            return OwnContentType::NONE;
        }
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.get(text) {
            return OwnContentType::Row(ContentTypeId(number));
        }
        let number = numbers.len() + 1;
        let (Some(row), Ok(id)) = (self.rows.get(number), u16::try_from(number)) else {
            return OwnContentType::Text(text.into());
        };
        row.get_or_init(|| fields_of(text));
        numbers.insert(text.into(), id);
        OwnContentType::Row(ContentTypeId(id))
    }

    /// The type, and behind a line feed the encoding if there is one: what means the same on every node. Empty: none
    /// was given.
    #[must_use]
    pub fn text<'a>(&self, content_type: ContentType<'a>) -> Cow<'a, [u8]> {
        match content_type {
            ContentType::NONE => Cow::Borrowed(&[]),
            ContentType::Row(id) => {
                let row = self.rows.get(usize::from(id.0)).and_then(OnceLock::get);
                Cow::Owned(row.map(|fields| text_of(fields)).unwrap_or_default())
            }
            ContentType::Text(text) => Cow::Borrowed(text),
        }
    }

    /// The fields of an answer with a value of this type, each with its line break; `None` when nothing was said.
    #[inline]
    #[must_use]
    pub fn fields(&self, content_type: ContentType<'_>) -> Option<Cow<'_, [u8]>> {
        match content_type {
            ContentType::NONE => None,
            ContentType::Row(id) => {
                let row = self.rows.get(usize::from(id.0))?.get();
                row.map(|fields| Cow::Borrowed(&**fields))
            }
            ContentType::Text(text) => Some(Cow::Owned(fields_of(text).into())),
        }
    }
}

/// Whether `text` is one that [`ContentTypes::text`] can have given: fit to be a field of an answer.
#[must_use]
pub fn is_text(text: &[u8]) -> bool {
    let is_value =
        |part: &[u8]| part.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7F);
    text.len() <= CONTENT_TYPE_LEN_MAX && text.splitn(2, |&byte| byte == SEPARATOR).all(is_value)
}

const TYPE_FIELD: &[u8] = b"content-type: ";
const ENCODING_FIELD: &[u8] = b"content-encoding: ";
const LINE_END: &[u8] = b"\r\n";

/// The fields that a text stands for.
fn fields_of(text: &[u8]) -> Box<[u8]> {
    let mut parts = text.splitn(2, |&byte| byte == SEPARATOR);
    let content_type = parts.next().unwrap_or_default();
    let mut fields = [TYPE_FIELD, content_type, LINE_END].concat();
    if let Some(encoding) = parts.next() {
        fields.extend_from_slice(&[ENCODING_FIELD, encoding, LINE_END].concat());
    }
    fields.into()
}

/// The text that stands for the fields of [`fields_of`].
fn text_of(fields: &[u8]) -> Vec<u8> {
    let lines =
        fields.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let parts = lines.filter_map(|line| {
        line.strip_prefix(TYPE_FIELD).or_else(|| line.strip_prefix(ENCODING_FIELD))
    });
    parts.collect::<Vec<_>>().join(&SEPARATOR)
}

//! The content types of values, kept once each: an entry has a row's number.
//!
//! Rows are never taken away, so a number means the same as long as the process lives, and a reader takes no lock.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use ringhold_types::entry::ContentTypeId;

/// The most content types of a node, content encodings included.
pub const CONTENT_TYPES_MAX: usize = 4096;
/// The most bytes of a content type and a content encoding together.
pub const CONTENT_TYPE_LEN_MAX: usize = 255;
/// What a value is that came with no content type.
const UNKNOWN: &[u8] = b"application/octet-stream";

/// Why a content type cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentTypeError {
    /// It is over [`CONTENT_TYPE_LEN_MAX`].
    TooLong,
    /// There are [`CONTENT_TYPES_MAX`] others.
    TooMany,
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
        let rows = (0..CONTENT_TYPES_MAX).map(|_| OnceLock::new()).collect();
        Self { rows, numbers: Mutex::default() }
    }
}

impl ContentTypes {
    /// The number of a content type and a content encoding, as they stand in a request.
    ///
    /// # Errors
    ///
    /// [`ContentTypeError`]
    pub fn id_of(
        &self,
        content_type: Option<&[u8]>,
        encoding: Option<&[u8]>,
    ) -> Result<ContentTypeId, ContentTypeError> {
        if content_type.is_none() && encoding.is_none() {
            return Ok(ContentTypeId::NONE);
        }
        let content_type = content_type.unwrap_or(UNKNOWN).trim_ascii();
        let encoding = encoding.unwrap_or_default().trim_ascii();
        if content_type.len() + encoding.len() > CONTENT_TYPE_LEN_MAX {
            return Err(ContentTypeError::TooLong);
        }
        let mut fields = [b"content-type: ", content_type, b"\r\n"].concat();
        if !encoding.is_empty() {
            fields.extend_from_slice(&[b"content-encoding: ", encoding, b"\r\n"].concat());
        }
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.get(&fields[..]) {
            return Ok(ContentTypeId(number));
        }
        let number = numbers.len() + 1;
        let (Some(row), Ok(number)) = (self.rows.get(number), u16::try_from(number)) else {
            return Err(ContentTypeError::TooMany);
        };
        let fields = fields.into_boxed_slice();
        numbers.insert(fields.clone(), number);
        row.get_or_init(|| fields);
        Ok(ContentTypeId(number))
    }

    /// The fields of an answer with a value of this type, each with its line break; `None` when nothing was said.
    #[inline]
    #[must_use]
    pub fn fields(&self, id: ContentTypeId) -> Option<&[u8]> {
        if id == ContentTypeId::NONE {
            return None;
        }
        self.rows.get(usize::from(id.0))?.get().map(|fields| &**fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_kept_once_with_its_encoding_and_their_number_is_bounded() {
        let types = ContentTypes::default();
        assert_eq!(types.id_of(None, None), Ok(ContentTypeId::NONE));
        assert_eq!(types.fields(ContentTypeId::NONE), None);
        let json = types.id_of(Some(b"application/json"), None).expect("there is room");
        assert_eq!(types.id_of(Some(b" application/json"), None), Ok(json));
        assert_eq!(types.fields(json), Some(&b"content-type: application/json\r\n"[..]));
        let packed = types.id_of(None, Some(b"gzip")).expect("there is room");
        assert_eq!(
            types.fields(packed),
            Some(&b"content-type: application/octet-stream\r\ncontent-encoding: gzip\r\n"[..])
        );
        assert_eq!(types.id_of(Some(&[b'x'; 256]), None), Err(ContentTypeError::TooLong));
        let refused = (0..5000).find_map(|number| {
            let id = types.id_of(Some(format!("x/{number}").as_bytes()), None);
            id.err().map(|error| (number, error))
        });
        assert_eq!(refused, Some((CONTENT_TYPES_MAX - 3, ContentTypeError::TooMany)));
        assert_eq!(types.id_of(Some(b"application/json"), None), Ok(json));
    }
}

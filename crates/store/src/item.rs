//! An item: the bytes of an entry in the log.
//!
//! ```text
//! flags u16 · klen u8 · vlen u16 (u32 if WIDE) · version u56
//! [klen u16 if LONGKEY] [hard u40 if TTL] [soft u40 if SOFT] [client flags u32 if META] [type u16 if TYPE]
//! key · value · [length u8 · text if type is 0xFFFF] · zeros to a multiple of 4
//! ```
//!
//! All numbers are little endian. A LARGE item has no key and, in place of a value, a `u32` handle to
//! them; its `vlen` is the true length. The text of a content type stands behind the value, so that who
//! looks for a key or a value need not know of it. Deadlines count milliseconds from 2025-01-01 UTC; all ones is
//! *never*, which a removed deadline leaves behind.

#[cfg(any(test, fuzzing))]
pub mod check;
#[cfg(test)]
mod tests;

use ringhold_types::entry::{ContentType, ContentTypeId, Deadlines, Version};
use ringhold_types::time::UnixTime;

use crate::large::Large;

/// `vlen` has four bytes.
const WIDE: u16 = 1 << 0;
/// There is a hard deadline.
const TTL: u16 = 1 << 1;
/// There is a soft deadline.
const SOFT: u16 = 1 << 2;
/// There are client flags.
const META: u16 = 1 << 3;
/// There is a content type.
const TYPE: u16 = 1 << 4;
/// Key and value are outside the log.
const LARGE: u16 = 1 << 5;
/// The length of the key has two bytes more.
const LONGKEY: u16 = 1 << 6;
/// The flags that decide where things are.
const SHAPE: u16 = (1 << 7) - 1;
const KIND_SHIFT: u16 = 7;
const CREDIT_SHIFT: u16 = 11;
const CREDIT_MASK: u16 = 7 << CREDIT_SHIFT;

/// Keys longer than this need LONGKEY.
const SHORT_KEY_MAX: usize = 254;
/// 2025-01-01 UTC in milliseconds since 1970: where stored deadlines start.
const EPOCH_MS: u64 = 1_735_689_600_000;
/// The stored deadline that means never.
const NEVER: u64 = (1 << 40) - 1;
/// Items start at multiples of this.
pub(crate) const ALIGN: usize = 4;

/// Header lengths by shape.
static HEADER_LENS: [u8; 128] = header_lens();

const _: () = assert!(header_lens()[0] == 12, "the header of most items");
const _: () = assert!(header_lens()[TTL as usize] == 17, "and of those with a deadline");

const fn header_lens() -> [u8; 128] {
    let mut lens = [0; 128];
    let mut flags: u16 = 0;
    while flags < 128 {
        let mut len = 12;
        if flags & WIDE != 0 {
            len += 2;
        }
        if flags & LONGKEY != 0 {
            len += 2;
        }
        if flags & TTL != 0 {
            len += 5;
        }
        if flags & SOFT != 0 {
            len += 5;
        }
        if flags & META != 0 {
            len += 4;
        }
        if flags & TYPE != 0 {
            len += 2;
        }
        lens[flags as usize] = len;
        flags += 1;
    }
    lens
}

/// The stored form of a deadline.
fn stored(deadline: Option<UnixTime>) -> u64 {
    deadline.map_or(NEVER, |time| time.0.saturating_sub(EPOCH_MS).min(NEVER - 1))
}

/// An item in a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// From the item's first byte to the end of its buffer.
    bytes: &'a [u8],
    flags: u16,
}

impl<'a> Item<'a> {
    /// The item at the start of `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, flags: u16::from_le_bytes([bytes[0], bytes[1]]) }
    }

    #[inline]
    fn header_len(self) -> usize {
        usize::from(HEADER_LENS[usize::from(self.flags & SHAPE)])
    }

    #[inline]
    fn version_at(self) -> usize {
        if self.flags & WIDE == 0 { 5 } else { 7 }
    }

    #[inline]
    pub(crate) fn key_len(self) -> usize {
        if self.flags & LONGKEY == 0 {
            usize::from(self.bytes[2])
        } else {
            let at = self.version_at() + 7;
            usize::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]))
        }
    }

    /// The length of the value, wherever it is.
    #[inline]
    pub(crate) fn value_len(self) -> usize {
        let low = u16::from_le_bytes([self.bytes[3], self.bytes[4]]);
        if self.flags & WIDE == 0 {
            usize::from(low)
        } else {
            let high = u16::from_le_bytes([self.bytes[5], self.bytes[6]]);
            usize::from(low) | usize::from(high) << 16
        }
    }

    fn payload_len(self) -> usize {
        if self.is_large() { 4 } else { self.value_len() }
    }

    /// The bytes it takes in the log.
    #[inline]
    pub(crate) fn len(self) -> usize {
        let len = self.header_len() + self.key_len() + self.payload_len();
        let text_len = if self.flags & TYPE == 0 { 0 } else { self.text_len() };
        (len + text_len).next_multiple_of(ALIGN)
    }

    /// The bytes of the text of its content type and of the text's length, given that it has a type.
    fn text_len(self) -> usize {
        match self.content_type() {
            ContentType::Row(_) => 0,
            ContentType::Text(text) => 1 + text.len(),
        }
    }

    #[inline]
    pub(crate) fn is_large(self) -> bool {
        self.flags & LARGE != 0
    }

    /// The key; empty for a large item.
    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        let at = self.header_len();
        &self.bytes[at..at + self.key_len()]
    }

    #[inline]
    pub(crate) fn value(self) -> &'a [u8] {
        let at = self.header_len() + self.key_len();
        &self.bytes[at..at + self.payload_len()]
    }

    /// The handle of a large item.
    pub(crate) fn handle(self) -> u32 {
        let at = self.header_len();
        u32::from_le_bytes([
            self.bytes[at],
            self.bytes[at + 1],
            self.bytes[at + 2],
            self.bytes[at + 3],
        ])
    }

    #[inline]
    pub(crate) fn version(self) -> Version {
        let mut le = [0; 8];
        let at = self.version_at();
        le[..7].copy_from_slice(&self.bytes[at..at + 7]);
        Version(u64::from_le_bytes(le))
    }

    fn hard_at(self) -> usize {
        self.version_at() + 7 + if self.flags & LONGKEY == 0 { 0 } else { 2 }
    }

    fn soft_at(self) -> usize {
        self.hard_at() + if self.flags & TTL == 0 { 0 } else { 5 }
    }

    fn meta_at(self) -> usize {
        self.soft_at() + if self.flags & SOFT == 0 { 0 } else { 5 }
    }

    fn deadline_at(self, at: usize) -> Option<UnixTime> {
        let mut le = [0; 8];
        le[..5].copy_from_slice(&self.bytes[at..at + 5]);
        let ms = u64::from_le_bytes(le);
        (ms != NEVER).then(|| UnixTime(EPOCH_MS + ms))
    }

    /// Whether it has room for a hard deadline.
    #[inline]
    pub(crate) fn has_ttl(self) -> bool {
        self.flags & TTL != 0
    }

    #[inline]
    pub(crate) fn hard(self) -> Option<UnixTime> {
        if self.has_ttl() { self.deadline_at(self.hard_at()) } else { None }
    }

    /// Whether it is invisible at `now`.
    #[inline]
    pub(crate) fn is_expired(self, now: UnixTime) -> bool {
        self.has_ttl() && self.hard().is_some_and(|deadline| deadline <= now)
    }

    pub(crate) fn deadlines(self) -> Deadlines {
        let soft = if self.flags & SOFT == 0 { None } else { self.deadline_at(self.soft_at()) };
        Deadlines { hard: self.hard(), soft }
    }

    pub(crate) fn client_flags(self) -> u32 {
        if self.flags & META == 0 {
            return 0;
        }
        let at = self.meta_at();
        u32::from_le_bytes([
            self.bytes[at],
            self.bytes[at + 1],
            self.bytes[at + 2],
            self.bytes[at + 3],
        ])
    }

    pub(crate) fn content_type(self) -> ContentType<'a> {
        if self.flags & TYPE == 0 {
            return ContentType::NONE;
        }
        let header_len = self.header_len();
        let row = [self.bytes[header_len - 2], self.bytes[header_len - 1]];
        let id = ContentTypeId(u16::from_le_bytes(row));
        if id != ContentTypeId::INLINE {
            return ContentType::Row(id);
        }
        let at = header_len + self.key_len() + self.payload_len();
        ContentType::Text(&self.bytes[at + 1..at + 1 + usize::from(self.bytes[at])])
    }

    pub(crate) fn kind(self) -> u8 {
        ((self.flags >> KIND_SHIFT) & 15) as u8
    }

    pub(crate) fn credit(self) -> u8 {
        ((self.flags & CREDIT_MASK) >> CREDIT_SHIFT) as u8
    }
}

/// Sets the credit of the item at the start of `bytes`.
pub(crate) fn set_credit(bytes: &mut [u8], credit: u8) {
    let flags = u16::from_le_bytes([bytes[0], bytes[1]]);
    let flags = (flags & !CREDIT_MASK) | (u16::from(credit & 7) << CREDIT_SHIFT);
    bytes[..2].copy_from_slice(&flags.to_le_bytes());
}

/// Sets the deadlines of the item at the start of `bytes`; false, and nothing done, unless it has
/// room for each that is given.
pub(crate) fn set_deadlines(bytes: &mut [u8], deadlines: Deadlines) -> bool {
    let item = Item::new(bytes);
    let (has_ttl, has_soft) = (item.flags & TTL != 0, item.flags & SOFT != 0);
    if (deadlines.hard.is_some() && !has_ttl) || (deadlines.soft.is_some() && !has_soft) {
        return false;
    }
    let (hard_at, soft_at) = (item.hard_at(), item.soft_at());
    if has_ttl {
        bytes[hard_at..hard_at + 5].copy_from_slice(&stored(deadlines.hard).to_le_bytes()[..5]);
    }
    if has_soft {
        bytes[soft_at..soft_at + 5].copy_from_slice(&stored(deadlines.soft).to_le_bytes()[..5]);
    }
    true
}

/// What stands behind the header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'a> {
    /// Key and value.
    Inline { key: &'a [u8], value: &'a [u8] },
    /// A handle to them, and the length of the value.
    Handle { handle: u32, value_len: usize },
}

/// An item to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) payload: Payload<'a>,
    pub(crate) kind: u8,
    pub(crate) deadlines: Deadlines,
    pub(crate) client_flags: u32,
    pub(crate) content_type: ContentType<'a>,
    pub(crate) credit: u8,
}

impl Draft<'_> {
    /// The text that stands behind the value, if any.
    fn text(&self) -> Option<&[u8]> {
        match self.content_type {
            ContentType::Row(_) => None,
            ContentType::Text(text) => Some(text),
        }
    }

    #[inline]
    fn flags(&self) -> u16 {
        let set = |on: bool, flag: u16| if on { flag } else { 0 };
        let (key_len, value_len, large) = match self.payload {
            Payload::Inline { key, value } => (key.len(), value.len(), false),
            Payload::Handle { value_len, .. } => (0, value_len, true),
        };
        set(value_len > usize::from(u16::MAX) || large, WIDE)
            | set(self.deadlines.hard.is_some(), TTL)
            | set(self.deadlines.soft.is_some(), SOFT)
            | set(self.client_flags != 0, META)
            | set(self.content_type != ContentType::NONE, TYPE)
            | set(large, LARGE)
            | set(key_len > SHORT_KEY_MAX, LONGKEY)
            | (u16::from(self.kind & 15) << KIND_SHIFT)
            | (u16::from(self.credit & 7) << CREDIT_SHIFT)
    }

    /// The bytes it will take.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let header = usize::from(HEADER_LENS[usize::from(self.flags() & SHAPE)]);
        let payload = match self.payload {
            Payload::Inline { key, value } => key.len() + value.len(),
            Payload::Handle { .. } => 4,
        };
        let text = self.text().map_or(0, |text| 1 + text.len());
        (header + payload + text).next_multiple_of(ALIGN)
    }

    /// Whether it can take the place of `item`.
    #[inline]
    pub(crate) fn fits_over(&self, item: Item<'_>) -> bool {
        self.flags() & SHAPE == item.flags & SHAPE && !item.is_large() && self.len() == item.len()
    }

    /// Writes it to the start of `out`.
    pub(crate) fn encode(&self, version: Version, out: &mut [u8]) {
        match self.payload {
            Payload::Inline { key, value } => {
                let at = self.encode_header(version, key.len(), value.len(), out);
                let mid = at + key.len();
                let end = mid + value.len();
                out[at..mid].copy_from_slice(key);
                out[mid..end].copy_from_slice(value);
                self.encode_end(end, out);
            }
            Payload::Handle { handle, value_len } => {
                let at = self.encode_header(version, 0, value_len, out);
                let end = at + 4;
                out[at..end].copy_from_slice(&handle.to_le_bytes());
                self.encode_end(end, out);
            }
        }
    }

    /// Writes it over the item of the same key at the start of `out`, whose shape and length it has.
    #[inline]
    pub(crate) fn encode_over(&self, version: Version, out: &mut [u8]) {
        let Payload::Inline { key, value } = self.payload else {
            unreachable!("a large value has no room in the log")
        };
        let at = self.encode_header(version, key.len(), value.len(), out);
        let end = at + key.len() + value.len();
        out[at + key.len()..end].copy_from_slice(value);
        self.encode_end(end, out);
    }

    /// Writes what stands behind the payload that ends at `at`.
    #[inline]
    fn encode_end(&self, mut at: usize, out: &mut [u8]) {
        if let Some(text) = self.text() {
            let end = at + 1 + text.len();
            out[at] = u8::try_from(text.len()).expect("a content type has at most 255 bytes");
            out[at + 1..end].copy_from_slice(text);
            at = end;
        }
        for byte in &mut out[at..at.next_multiple_of(ALIGN)] {
            *byte = 0;
        }
    }

    /// Writes what stands before the key; how many bytes that are.
    #[inline]
    fn encode_header(
        &self,
        version: Version,
        key_len: usize,
        value_len: usize,
        out: &mut [u8],
    ) -> usize {
        let flags = self.flags();
        let key_len = u16::try_from(key_len).expect("a key's length fits two bytes");
        let value_len = u32::try_from(value_len).expect("a value's length fits four bytes");
        let [f0, f1] = flags.to_le_bytes();
        let [v0, v1, ..] = value_len.to_le_bytes();
        let [a, b, c, d, e, f, g, _] = version.0.to_le_bytes();
        if flags & SHAPE == 0 {
            let short = key_len.to_le_bytes()[0];
            out[..12].copy_from_slice(&[f0, f1, short, v0, v1, a, b, c, d, e, f, g]);
            return 12;
        }
        self.encode_long_header(flags, version, key_len, value_len, out)
    }

    fn encode_long_header(
        &self,
        flags: u16,
        version: Version,
        key_len: u16,
        value_len: u32,
        out: &mut [u8],
    ) -> usize {
        out[..2].copy_from_slice(&flags.to_le_bytes());
        out[2] = if flags & LONGKEY == 0 { key_len.to_le_bytes()[0] } else { 0 };
        let mut at = if flags & WIDE == 0 {
            out[3..5].copy_from_slice(&value_len.to_le_bytes()[..2]);
            5
        } else {
            out[3..7].copy_from_slice(&value_len.to_le_bytes());
            7
        };
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&version.0.to_le_bytes()[..7]);
        if flags & LONGKEY != 0 {
            put(&key_len.to_le_bytes());
        }
        if flags & TTL != 0 {
            put(&stored(self.deadlines.hard).to_le_bytes()[..5]);
        }
        if flags & SOFT != 0 {
            put(&stored(self.deadlines.soft).to_le_bytes()[..5]);
        }
        if flags & META != 0 {
            put(&self.client_flags.to_le_bytes());
        }
        if flags & TYPE != 0 {
            let id = match self.content_type {
                ContentType::Row(id) => id,
                ContentType::Text(_) => ContentTypeId::INLINE,
            };
            put(&id.0.to_le_bytes());
        }
        at
    }
}

/// The length that counts for eviction: of the item, and of its large value.
pub(crate) fn weight(item_len: usize, large: Option<&Large>) -> u64 {
    u64::try_from(item_len).unwrap_or(u64::MAX).saturating_add(large.map_or(0, Large::charge))
}

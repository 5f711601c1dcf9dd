//! The bytes of what nodes say to each other and of what a voter keeps on its disk.
//!
//! Numbers are little-endian base-128 (LEB128) unless a type says otherwise; an enum is a byte and its fields; a list is
//! its length and its members. Every decoder is bounded: a length is checked against the bytes that are left before
//! anything is allocated, and bytes from outside never panic. One value has one encoding; a decoder refuses others
//! where that is cheap to see.

use std::fmt;
use std::sync::Arc;

use ringhold_types::entry::Version;
use ringhold_types::id::{
    Epoch, Generation, Incarnation, MapIdx, Member, NamespaceId, NodeId, Seq,
};
use ringhold_types::node::Weight;
use ringhold_types::slot::Slot;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They end in the middle of something.
    Truncated,
    /// A byte names no kind of this.
    Unknown {
        /// What it should have been a kind of.
        what: &'static str,
        /// The byte.
        tag: u8,
    },
    /// A number or a length is out of its range.
    OutOfRange {
        /// What it is the number of.
        what: &'static str,
    },
    /// Text is not UTF-8.
    NotText,
    /// There are bytes after the end.
    Trailing {
        /// How many.
        len: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end in the middle of a message"),
            Self::Unknown { what, tag } => write!(f, "{tag} is no kind of {what}"),
            Self::OutOfRange { what } => write!(f, "{what} out of range"),
            Self::NotText => f.write_str("text is not UTF-8"),
            Self::Trailing { len } => write!(f, "{len} bytes follow the end of a message"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Appends its bytes.
pub trait Encode {
    /// Appends this value's bytes to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Is made of bytes.
pub trait Decode: Sized {
    /// Takes one value off the reader.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: the bytes are none of its encodings.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// The value that `bytes` are, all of them.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: the bytes are none of its encodings, or go on after it.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        match reader.len() {
            0 => Ok(value),
            len => Err(Malformed::Trailing { len }),
        }
    }
}

/// Takes values off the front of some bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The number of bytes left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether no byte is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed::Truncated`]: so many are not left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed::Truncated`]: so many are not left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length, and the bytes of that length.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: truncated.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count()?;
        self.take(len)
    }

    /// The length of a list whose members take at least a byte each: never more than the bytes that are left.
    ///
    /// # Errors
    ///
    /// [`Malformed::Truncated`]: its members cannot be there.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(u64::decode(self)?).map_err(|_| Malformed::Truncated)?;
        if count > self.rest.len() { Err(Malformed::Truncated) } else { Ok(count) }
    }

    /// A list.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: of its length or of one of its members.
    pub fn list<T: Decode>(&mut self) -> Result<Vec<T>, Malformed> {
        let count = self.count()?;
        (0..count).map(|_| T::decode(self)).collect()
    }
}

/// Appends a list: its length and its members.
pub fn encode_list<'a, T: Encode + 'a>(
    members: impl ExactSizeIterator<Item = &'a T>,
    out: &mut Vec<u8>,
) {
    (members.len() as u64).encode(out);
    members.for_each(|member| member.encode(out));
}

/// Appends a length and the bytes of that length.
pub fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    (bytes.len() as u64).encode(out);
    out.extend_from_slice(bytes);
}

impl Encode for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                return out.push(low & 0x7F);
            }
            out.push(low | 0x80);
        }
    }
}

impl Decode for u64 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = reader.array()?;
            let part = Self::from(byte & 0x7F);
            if part << shift >> shift != part || byte == 0 && shift > 0 {
                return Err(Malformed::OutOfRange { what: "number" });
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::OutOfRange { what: "number" })
    }
}

macro_rules! small_numbers {
    ($($number:ty),*) => {$(
        impl Encode for $number {
            fn encode(&self, out: &mut Vec<u8>) {
                u64::from(*self).encode(out);
            }
        }
        impl Decode for $number {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                let number = u64::decode(reader)?;
                Self::try_from(number).map_err(|_| Malformed::OutOfRange { what: stringify!($number) })
            }
        }
    )*};
}
small_numbers!(u16, u32);

impl Encode for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

impl Decode for u8 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [byte] = reader.array()?;
        Ok(byte)
    }
}

impl Encode for u128 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

impl Decode for u128 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array().map(Self::from_le_bytes)
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::decode(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(Malformed::Unknown { what: "truth", tag }),
        }
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(if bool::decode(reader)? { Some(T::decode(reader)?) } else { None })
    }
}

impl<T: Encode> Encode for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        T::decode(reader).map(Self::new)
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(self.iter(), out);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.list()
    }
}

impl Encode for Arc<str> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }
}

impl Decode for Arc<str> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        std::str::from_utf8(reader.bytes()?).map(Into::into).map_err(|_| Malformed::NotText)
    }
}

impl Encode for Slot {
    fn encode(&self, out: &mut Vec<u8>) {
        self.number().encode(out);
    }
}

impl Decode for Slot {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::new(u16::decode(reader)?).ok_or(Malformed::OutOfRange { what: "slot" })
    }
}

impl Encode for Weight {
    fn encode(&self, out: &mut Vec<u8>) {
        self.hundredths().encode(out);
    }
}

impl Decode for Weight {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from_hundredths(u16::decode(reader)?).ok_or(Malformed::OutOfRange { what: "weight" })
    }
}

macro_rules! wrapped_numbers {
    ($($name:ident),*) => {$(
        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }
        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                Decode::decode(reader).map(Self)
            }
        }
    )*};
}
wrapped_numbers!(Epoch, Generation, Incarnation, MapIdx, NamespaceId, NodeId, Seq, Version);

/// Bytes of a struct: those of its fields in the order named.
#[macro_export]
macro_rules! encoded_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::codec::Encode::encode(&self.$field, out);)*
            }
        }
        impl $crate::codec::Decode for $name {
            fn decode(
                reader: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::Malformed> {
                $(let $field = $crate::codec::Decode::decode(reader)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}
pub use encoded_struct;

/// Bytes of an enum: the byte that stands for the variant, and its fields in the order named.
#[macro_export]
macro_rules! encoded_enum {
    ($name:ident, $what:literal { $($tag:literal => $variant:ident $({ $($field:ident),* $(,)? })?),* $(,)? }) => {
        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        out.push($tag);
                        $($($crate::codec::Encode::encode($field, out);)*)?
                    })*
                }
            }
        }
        impl $crate::codec::Decode for $name {
            fn decode(
                reader: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::Malformed> {
                match <u8 as $crate::codec::Decode>::decode(reader)? {
                    $($tag => {
                        $($(let $field = $crate::codec::Decode::decode(reader)?;)*)?
                        Ok(Self::$variant $({ $($field),* })?)
                    })*
                    tag => Err($crate::codec::Malformed::Unknown { what: $what, tag }),
                }
            }
        }
    };
}
pub use encoded_enum;

encoded_struct!(Member { node, incarnation });

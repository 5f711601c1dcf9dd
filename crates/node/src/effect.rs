//! What an operation does, as the bytes that travel to a slot's other copies (section 5 of the design).
//!
//! An effect is the slot's clock at its primary, and one change after another: all of them happen in one step. Changes name
//! their outcome, never what was asked for, so that every copy comes to the same without deciding anything.
//!
//! ```text
//! effect  = clock in ms, change…
//! change  = 1 namespace key version kind flags soft hard type value     the entry has this content now
//!         | 2 namespace key soft hard                                    the entry has these deadlines now
//!         | 3 namespace key                                              the entry is gone, for whatever reason
//!         | 4 namespace                                                  all entries of the slot are gone
//! ```

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ringhold_cluster::codec::{Decode, Encode, Malformed, Reader, encode_bytes};
use ringhold_store::entry::{Change, ChangeValue, EntryRef, KIND_MAX, ValueRef};
use ringhold_types::entry::{ContentType, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::limits::{KEY_LEN_MAX, VALUE_LEN_CEILING};
use ringhold_types::time::UnixTime;

use crate::content_types::{self, ContentTypes};

/// The greatest version that is taken from another member: one that is out of its mind must not use them up.
pub const VERSION_MAX: Version = Version(Version::MAX.0 / 2);

const PUT: u8 = 1;
const TOUCH: u8 = 2;
const DELETE: u8 = 3;
const CLEAR: u8 = 4;

/// The changes of one operation, while they are being collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Where the first change begins.
    start: usize,
}

impl Writer {
    /// An operation without changes, executed when the slot's clock said `clock`.
    #[must_use]
    pub fn new(clock: UnixTime) -> Self {
        let mut bytes = Vec::new();
        clock.as_millis().encode(&mut bytes);
        Self { start: bytes.len(), bytes }
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }

    /// Takes one change, whose entry has `version` if it is a put.
    pub fn change(
        &mut self,
        namespace: NamespaceId,
        change: &Change<'_>,
        version: Version,
        content_types: &ContentTypes,
    ) {
        match change {
            Change::Put { key, value, kind, deadlines, client_flags, content_type } => {
                let put = Put {
                    key,
                    version,
                    kind: *kind,
                    client_flags: *client_flags,
                    deadlines: *deadlines,
                    content_type: &content_types.text(*content_type),
                };
                let chunks = match value {
                    ChangeValue::Bytes(bytes) => Chunks::One(bytes),
                    ChangeValue::Large(large) => Chunks::Many(large),
                };
                self.put(namespace, &put, chunks);
            }
            Change::Touch { key, deadlines } => {
                self.begin(TOUCH, namespace);
                encode_bytes(key, &mut self.bytes);
                self.deadlines(*deadlines);
            }
            Change::Delete { key } | Change::Expire { key } | Change::Evict { key } => {
                self.begin(DELETE, namespace);
                encode_bytes(key, &mut self.bytes);
            }
            Change::Clear => self.begin(CLEAR, namespace),
        }
    }

    /// Takes an entry as it is.
    pub fn entry(
        &mut self,
        namespace: NamespaceId,
        entry: &EntryRef<'_>,
        content_types: &ContentTypes,
    ) {
        let put = Put {
            key: entry.key(),
            version: entry.version(),
            kind: entry.kind(),
            client_flags: entry.client_flags(),
            deadlines: entry.deadlines(),
            content_type: &content_types.text(entry.content_type()),
        };
        let chunks = match entry.value() {
            ValueRef::Bytes(bytes) => Chunks::One(bytes),
            ValueRef::Large(large) => Chunks::Many(large),
        };
        self.put(namespace, &put, chunks);
    }

    /// The bytes of the operation.
    #[must_use]
    pub fn finish(self) -> Arc<[u8]> {
        self.bytes.into()
    }

    fn begin(&mut self, tag: u8, namespace: NamespaceId) {
        tag.encode(&mut self.bytes);
        namespace.encode(&mut self.bytes);
    }

    fn put(&mut self, namespace: NamespaceId, put: &Put<'_>, value: Chunks<'_>) {
        self.begin(PUT, namespace);
        let out = &mut self.bytes;
        encode_bytes(put.key, out);
        put.version.encode(out);
        put.kind.encode(out);
        put.client_flags.encode(out);
        self.deadlines(put.deadlines);
        let out = &mut self.bytes;
        encode_bytes(put.content_type, out);
        match value {
            Chunks::One(bytes) => encode_bytes(bytes, out),
            Chunks::Many(large) => {
                (large.len() as u64).encode(out);
                out.reserve(large.len());
                large.chunks().for_each(|chunk| out.extend_from_slice(chunk));
            }
        }
    }

    fn deadlines(&mut self, deadlines: Deadlines) {
        for deadline in [deadlines.soft, deadlines.hard] {
            deadline.map(UnixTime::as_millis).encode(&mut self.bytes);
        }
    }
}

/// The bytes of a value that is written.
#[derive(Clone, Copy)]
enum Chunks<'a> {
    One(&'a [u8]),
    Many(&'a ringhold_store::large::Large),
}

/// A content of an entry, its value aside.
struct Put<'a> {
    key: &'a [u8],
    version: Version,
    kind: u8,
    client_flags: u32,
    deadlines: Deadlines,
    content_type: &'a [u8],
}

/// One change of an operation that another member executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The entry has this content now.
    Put {
        /// Where.
        namespace: NamespaceId,
        /// Its key.
        key: &'a [u8],
        /// Its stamp.
        version: Version,
        /// The kind of its value.
        kind: u8,
        /// The client's own number.
        client_flags: u32,
        /// When it turns stale and when it dies.
        deadlines: Deadlines,
        /// Its content type as in [`ContentTypes::text`]; empty: none was given.
        content_type: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The entry has these deadlines now.
    Touch {
        /// Where.
        namespace: NamespaceId,
        /// Its key.
        key: &'a [u8],
        /// Its deadlines.
        deadlines: Deadlines,
    },
    /// The entry is gone.
    Delete {
        /// Where.
        namespace: NamespaceId,
        /// Its key.
        key: &'a [u8],
    },
    /// All entries of the slot are gone.
    Clear {
        /// Where.
        namespace: NamespaceId,
    },
}

impl Effect<'_> {
    /// The key that it changes; `None`: all of them.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Put { key, .. } | Self::Touch { key, .. } | Self::Delete { key, .. } => Some(key),
            Self::Clear { .. } => None,
        }
    }
}

/// Reads an operation: the slot's clock when it was executed, and its changes.
///
/// # Errors
///
/// [`Malformed`]: the bytes are no operation. Nothing is allocated for what they only announce.
pub fn read(bytes: &[u8]) -> Result<(UnixTime, Vec<Effect<'_>>), Malformed> {
    let mut reader = Reader::new(bytes);
    let clock = UnixTime(u64::decode(&mut reader)?);
    let mut effects = Vec::new();
    while !reader.is_empty() {
        effects.push(effect(&mut reader)?);
    }
    Ok((clock, effects))
}

fn effect<'a>(reader: &mut Reader<'a>) -> Result<Effect<'a>, Malformed> {
    let tag = u8::decode(reader)?;
    let namespace = NamespaceId::decode(reader)?;
    Ok(match tag {
        PUT => Effect::Put {
            namespace,
            key: bytes(reader, "key", KEY_LEN_MAX)?,
            version: version(reader)?,
            kind: kind(reader)?,
            client_flags: u32::decode(reader)?,
            deadlines: deadlines(reader)?,
            content_type: content_type(reader)?,
            value: bytes(reader, "value", VALUE_LEN_CEILING)?,
        },
        TOUCH => Effect::Touch {
            namespace,
            key: bytes(reader, "key", KEY_LEN_MAX)?,
            deadlines: deadlines(reader)?,
        },
        DELETE => Effect::Delete { namespace, key: bytes(reader, "key", KEY_LEN_MAX)? },
        CLEAR => Effect::Clear { namespace },
        tag => return Err(Malformed::Unknown { what: "change", tag }),
    })
}

fn bytes<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    len_max: usize,
) -> Result<&'a [u8], Malformed> {
    let bytes = reader.bytes()?;
    if bytes.len() > len_max { Err(Malformed::OutOfRange { what }) } else { Ok(bytes) }
}

/// A content type becomes a field of an answer: nothing in it may end that field.
fn content_type<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let text = bytes(reader, "content type", ContentType::TEXT_LEN_MAX)?;
    if content_types::is_text(text) {
        Ok(text)
    } else {
        Err(Malformed::OutOfRange { what: "content type" })
    }
}

fn version(reader: &mut Reader<'_>) -> Result<Version, Malformed> {
    let version = Version::decode(reader)?;
    if version > VERSION_MAX {
        return Err(Malformed::OutOfRange { what: "version" });
    }
    Ok(version)
}

fn kind(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    let kind = u8::decode(reader)?;
    if kind > KIND_MAX { Err(Malformed::OutOfRange { what: "kind" }) } else { Ok(kind) }
}

fn deadlines(reader: &mut Reader<'_>) -> Result<Deadlines, Malformed> {
    let mut deadline = || Option::<u64>::decode(reader).map(|deadline| deadline.map(UnixTime));
    let soft = deadline()?;
    Ok(Deadlines { soft, hard: deadline()? })
}

//! What callers say to a shard and hear from it: entries, decisions, changes, errors.

use alloc::sync::Arc;
use core::fmt;

use ringhold_types::entry::{ContentType, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;

use crate::item::Item;
use crate::large::{Large, LargeWriter};

/// The kind of a plain value; 1 to 4 are reserved for collections, 15 for fillers.
pub const KIND_BYTES: u8 = 0;
/// The greatest kind a caller may store.
pub const KIND_MAX: u8 = 14;

/// The answer of a look-up.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'a> {
    /// The entry.
    Hit(EntryRef<'a>),
    /// The entry is there and past its deadline: invisible, and worth an `update` that decides
    /// [`Decision::Keep`], which takes it away.
    Expired,
    /// No such entry.
    Miss,
}

/// A look at an entry in the store; borrowed from its shard.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    pub(crate) item: Item<'a>,
    pub(crate) held: Option<&'a crate::handles::Held>,
    pub(crate) freq: u8,
    pub(crate) fragment: u32,
}

/// The bytes of a value.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// In the log.
    Bytes(&'a [u8]),
    /// In pages; a clone of the `Arc` outlives the shard's lock.
    Large(&'a Arc<Large>),
}

impl ValueRef<'_> {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Large(large) => large.len(),
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> EntryRef<'a> {
    /// The key.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.held.map_or_else(|| self.item.key(), |held| &held.key)
    }

    /// The value.
    #[inline]
    #[must_use]
    pub fn value(&self) -> ValueRef<'a> {
        match self.held {
            None => ValueRef::Bytes(self.item.value()),
            Some(held) => ValueRef::Large(&held.value),
        }
    }

    /// The stamp of the entry's last write.
    #[inline]
    #[must_use]
    pub fn version(&self) -> Version {
        self.item.version()
    }

    /// When it turns stale and when it dies.
    #[inline]
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.item.deadlines()
    }

    /// The number that memcached clients store beside a value.
    #[inline]
    #[must_use]
    pub fn client_flags(&self) -> u32 {
        self.item.client_flags()
    }

    /// Its content type.
    #[inline]
    #[must_use]
    pub fn content_type(&self) -> ContentType<'_> {
        self.item.content_type()
    }

    /// The kind of the value; [`KIND_BYTES`] for plain bytes.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.item.kind()
    }

    /// How often it was hit of late, 0 to 3.
    #[must_use]
    pub fn freq(&self) -> u8 {
        self.freq
    }

    /// The bytes that it takes: its item, its large value, its part of the table.
    #[must_use]
    pub fn charge(&self) -> u64 {
        let large = self.held.map(|held| &*held.value);
        let key = self.held.map_or(0, |held| crate::handles::Held::key_charge(held.key.len()));
        let weight = crate::item::weight(self.item.len(), large);
        weight.saturating_add(key).saturating_add(crate::evict::ENTRY_OVERHEAD)
    }

    /// Its place in the order of its slot.
    #[must_use]
    pub fn fragment(&self) -> u32 {
        self.fragment
    }
}

/// The value of a [`Put`].
#[derive(Debug)]
pub enum Value<'v> {
    /// Bytes that the store copies.
    Bytes(&'v [u8]),
    /// A complete large value, taken out only when the put succeeds.
    Large(&'v mut Option<LargeWriter>),
}

/// A new content of an entry.
#[derive(Debug)]
pub struct Put<'v> {
    /// The value.
    pub value: Value<'v>,
    /// Its kind, at most [`KIND_MAX`].
    pub kind: u8,
    /// When it turns stale and when it dies.
    pub deadlines: Deadlines,
    /// The client's own number; 0 costs nothing.
    pub client_flags: u32,
    /// The content type; [`ContentType::NONE`] costs nothing.
    pub content_type: ContentType<'v>,
}

/// What an `update` shall do.
#[derive(Debug)]
pub enum Decision<'v> {
    /// Nothing (an expired entry is taken away if the log allows).
    Keep,
    /// Store this.
    Put(Put<'v>),
    /// Change the deadlines; the version stays. Nothing when there is no entry.
    Touch(Deadlines),
    /// Remove the entry, also one that is expired and was kept; nothing when there is none.
    Delete,
}

/// What an `update` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was asked for, or there was no entry.
    Kept,
    /// The content was stored.
    Put {
        /// Its stamp.
        version: Version,
        /// Whether there was no visible entry before.
        created: bool,
    },
    /// The deadlines were changed.
    Touched,
    /// The entry was removed.
    Deleted,
}

/// Why an `update` did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError {
    /// There is no room, and nothing that may be taken away for it.
    Full {
        /// Whether it may soon be otherwise.
        retry: bool,
    },
    /// The value is longer than the engine allows.
    TooLarge {
        /// The length of the value, in bytes.
        len: usize,
        /// The greatest length, in bytes.
        max: usize,
    },
    /// The key is longer than any may be.
    KeyTooLong {
        /// The length of the key, in bytes.
        len: usize,
        /// The greatest length, in bytes.
        max: usize,
    },
    /// There are as many namespaces with entries as the engine can have.
    TooManySpaces {
        /// The greatest number of them.
        max: usize,
    },
    /// Another shard has more to give: evict one segment there, then repeat; after some failures evict here, by
    /// `make_room`, and when nothing can go anywhere fail as `Shard::full` says.
    NeedRoom {
        /// The shard that should give.
        shard: usize,
    },
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { retry: true } => f.write_str("no room now; a retry may succeed"),
            Self::Full { retry: false } => f.write_str("no room"),
            Self::TooLarge { len, max } => write!(f, "value of {len} bytes is over {max}"),
            Self::KeyTooLong { len, max } => write!(f, "key of {len} bytes is over {max}"),
            Self::TooManySpaces { max } => write!(f, "there are {max} namespaces already"),
            Self::NeedRoom { shard } => write!(f, "shard {shard} has to make room"),
        }
    }
}

impl core::error::Error for UpdateError {}

/// Part of a shard that a slot may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// This node orders the slot's changes; its entries are evicted by use.
    #[default]
    Primary,
    /// Another node does; its entries are kept until they are told to go.
    Backup,
}

/// One change of a slot, as the log sees it.
#[derive(Debug)]
pub enum Change<'a> {
    /// The entry has this content now.
    Put {
        /// Its key.
        key: &'a [u8],
        /// The bytes of the value.
        value: ChangeValue<'a>,
        /// Its kind.
        kind: u8,
        /// Its deadlines.
        deadlines: Deadlines,
        /// The client's own number.
        client_flags: u32,
        /// Its content type.
        content_type: ContentType<'a>,
    },
    /// The entry has these deadlines now.
    Touch {
        /// Its key.
        key: &'a [u8],
        /// Its deadlines.
        deadlines: Deadlines,
    },
    /// A caller removed the entry.
    Delete {
        /// Its key.
        key: &'a [u8],
    },
    /// The entry's time was over.
    Expire {
        /// Its key.
        key: &'a [u8],
    },
    /// There was no room for the entry.
    Evict {
        /// Its key.
        key: &'a [u8],
    },
    /// All entries of the slot in this namespace are gone.
    Clear,
}

/// The bytes of a [`Change::Put`].
#[derive(Clone, Copy, Debug)]
pub enum ChangeValue<'a> {
    /// Contiguous bytes.
    Bytes(&'a [u8]),
    /// Pages; a clone of the `Arc` may be kept until the change is sent.
    Large(&'a Arc<Large>),
}

/// The caller's record of every change, in order; evictions before the write that caused them.
pub trait Log {
    /// Records a change and stamps it; a Touch's stamp is not stored.
    fn append(&mut self, ns: NamespaceId, slot: Slot, change: Change<'_>) -> Version;

    /// Whether entries of `slot` may be evicted or expired now.
    fn may_remove(&self, slot: Slot) -> bool;
}

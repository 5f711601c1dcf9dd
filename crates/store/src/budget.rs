//! The memory of a node: how it is divided, and the one account that never passes its limit.
//!
//! All shards take from the same [`Budget`] before they allocate and give back after they free, so
//! that `used <= limit` holds at every instant (G1 of the design). `held` says what each shard has,
//! and thereby which one should give.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use ringhold_types::limits::{VALUE_LEN_CEILING, VALUE_LEN_DEFAULT};
use ringhold_types::slot::{SLOTS, Slot};

use crate::atomic::AtomicU64;
use crate::large::charge_of;

/// The least memory an engine works with, in bytes.
pub const LIMIT_MIN: u64 = 8 * MIB;
/// The most shards of one node.
pub const SHARDS_MAX: u16 = 1024;
/// A shard has at least so many segments, else fewer shards are made.
const SHARD_SEGMENTS_MIN: u64 = 256;
/// Segments a shard needs to work at all when the limit is lowered.
const SHARD_SEGMENTS_FLOOR: u64 = 40;
/// Segments of a namespace's least quota, in each shard.
const QUOTA_SEGMENTS_MIN: u64 = 8;
/// The part of the limit that only backup entries may use: one in this many bytes (4 %).
const RESERVE_PART: u64 = 25;
/// The namespaces' directories take at most the limit divided by this.
const DIRECTORIES_PART: u64 = 2;
/// Values being received hold at most the limit divided by this.
const WRITING_PART: u64 = 8;
/// Values held only by readers hold at most the limit divided by this.
const PINNED_PART: u64 = 4;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What the engine is made from.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// All accounted memory, in bytes; at least [`LIMIT_MIN`].
    pub limit: u64,
    /// The number of threads that will use the engine; at least 1.
    pub cores: usize,
    /// The longest value, in bytes. `None`: 8 MiB, or an eighth of the limit if that is less.
    pub value_len_max: Option<usize>,
}

/// Why an [`EngineConfig`] is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The limit is below the least that works.
    LimitTooLow {
        /// The limit asked for, in bytes.
        limit: u64,
        /// The least, in bytes.
        min: u64,
    },
    /// The limit is above what the segments of the shards can address.
    LimitTooHigh {
        /// The limit asked for, in bytes.
        limit: u64,
        /// The greatest, in bytes.
        max: u64,
    },
    /// `cores` is 0.
    NoCores,
    /// The longest value is above an eighth of the limit or above the fixed ceiling.
    ValueTooLong {
        /// The length asked for, in bytes.
        len: usize,
        /// The greatest, in bytes.
        max: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LimitTooLow { limit, min } => {
                write!(f, "memory of {limit} bytes is below the least of {min}")
            }
            Self::LimitTooHigh { limit, max } => {
                write!(f, "memory of {limit} bytes is above the greatest of {max}")
            }
            Self::NoCores => f.write_str("the number of cores is 0"),
            Self::ValueTooLong { len, max } => {
                write!(f, "longest value of {len} bytes is above the greatest of {max}")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

/// How the memory is divided; fixed while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The limit at start, in bytes.
    pub limit: u64,
    /// The length of a segment, in bytes; a power of two.
    pub seg_len: usize,
    /// The number of shards, a power of two.
    pub shards: usize,
    /// The longest value, in bytes.
    pub value_len_max: usize,
    /// An item longer than this keeps its key and value outside the log, in bytes.
    pub large_len_min: usize,
}

impl Geometry {
    /// Divides `config.limit`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], whose variants say which number is out of its range.
    pub fn new(config: &EngineConfig) -> Result<Self, ConfigError> {
        let limit = config.limit;
        if limit < LIMIT_MIN {
            return Err(ConfigError::LimitTooLow { limit, min: LIMIT_MIN });
        }
        if config.cores == 0 {
            return Err(ConfigError::NoCores);
        }
        let seg_len: u64 = match limit {
            _ if limit <= 128 * MIB => 16 * KIB,
            _ if limit <= GIB => 32 * KIB,
            _ if limit <= 64 * GIB => 64 * KIB,
            _ => 256 * KIB,
        };
        let shards_max = u64::from(SHARDS_MAX);
        let cores = u64::try_from(config.cores).unwrap_or(u64::MAX).min(shards_max);
        let most = (16 * cores).min(shards_max).min(limit / (SHARD_SEGMENTS_MIN * seg_len)).max(1);
        let shards = 1 << most.ilog2();
        let max = Self::limit_max(shards, seg_len);
        if limit > max {
            return Err(ConfigError::LimitTooHigh { limit, max });
        }
        let ceiling = usize::try_from(limit / 8).unwrap_or(usize::MAX).min(VALUE_LEN_CEILING);
        let value_len_max = config.value_len_max.unwrap_or_else(|| VALUE_LEN_DEFAULT.min(ceiling));
        if value_len_max > ceiling {
            return Err(ConfigError::ValueTooLong { len: value_len_max, max: ceiling });
        }
        let seg_len = usize::try_from(seg_len).unwrap_or(usize::MAX);
        let shards = usize::try_from(shards).unwrap_or(usize::MAX);
        Ok(Self { limit, seg_len, shards, value_len_max, large_len_min: seg_len / 4 })
    }

    /// The shard that `slot` belongs to.
    #[inline]
    #[must_use]
    pub fn shard_of(&self, slot: Slot) -> usize {
        slot.index() & (self.shards - 1)
    }

    /// The number of slots of each shard.
    #[must_use]
    pub fn slots_per_shard(&self) -> usize {
        usize::from(SLOTS) / self.shards
    }

    /// The least quota of a namespace over all shards, in bytes: in each its tables, and segments enough that one can be
    /// evicted while others are written.
    #[must_use]
    pub fn quota_min(&self) -> u64 {
        let seg_len = u64::try_from(self.seg_len).unwrap_or(u64::MAX);
        let shards = u64::try_from(self.shards).unwrap_or(u64::MAX);
        shards * (crate::space::Space::fixed_charge(self) + QUOTA_SEGMENTS_MIN * seg_len)
    }

    fn limit_max(shards: u64, seg_len: u64) -> u64 {
        shards.saturating_mul((1 << 20) - 1).saturating_mul(seg_len)
    }
}

/// For whom memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purse {
    /// For entries of primary slots and everything else: all but the reserve.
    Common,
    /// For entries applied to backup slots: up to the limit.
    Backup,
}

/// The account of all accounted memory of a node; shared by its shards.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    /// Bytes of large values whose writers are not committed; part of `used`.
    writing: AtomicU64,
    /// Bytes of large values that the store gave up and readers still hold; part of `used`.
    pinned: AtomicU64,
    /// The number of backup slots of the node: the reserve exists while it is not 0.
    backups: AtomicU64,
    /// Bytes of the namespaces' directories; part of `used`, and never evicted.
    directories: AtomicU64,
    /// By shard, what is used and can be evicted: all but `writing` and `pinned`.
    held: Box<[AtomicU64]>,
    /// The least and the greatest limit that the shards can work with, in bytes.
    limits: (u64, u64),
    /// The number of the next grant that is refused whatever there is; 0: none.
    #[cfg(test)]
    pub(crate) refuse_in: AtomicU64,
}

impl Budget {
    /// The account of an engine of this geometry, with nothing used.
    #[must_use]
    pub fn new(geometry: &Geometry) -> Arc<Self> {
        let shards = u64::try_from(geometry.shards).unwrap_or(u64::MAX);
        let seg_len = u64::try_from(geometry.seg_len).unwrap_or(u64::MAX);
        let min = shards * SHARD_SEGMENTS_FLOOR * seg_len;
        Arc::new(Self {
            limit: AtomicU64::new(geometry.limit),
            used: AtomicU64::new(0),
            writing: AtomicU64::new(0),
            pinned: AtomicU64::new(0),
            backups: AtomicU64::new(0),
            directories: AtomicU64::new(0),
            held: (0..geometry.shards).map(|_| AtomicU64::new(0)).collect(),
            limits: (min, Geometry::limit_max(shards, seg_len)),
            #[cfg(test)]
            refuse_in: AtomicU64::new(0),
        })
    }

    /// Charges `bytes` for the caller's own memory (replication tails, fill leases). False, and
    /// nothing charged, when it would pass the limit.
    #[must_use]
    pub fn charge(&self, bytes: u64) -> bool {
        self.raise(bytes, self.limit())
    }

    /// Gives back what [`Budget::charge`] took.
    ///
    /// # Panics
    ///
    /// When more is given back than was taken.
    pub fn release(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Relaxed);
        assert!(before >= bytes, "no more is given back than was taken");
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// The bytes in use; at most the limit, unless that was just lowered.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// The bytes that shard `shard` holds; values that are being received or held only by readers do not count.
    #[must_use]
    pub fn held(&self, shard: usize) -> u64 {
        self.held.get(shard).map_or(0, |held| held.load(Relaxed))
    }

    /// Sets the limit, in bytes. When more is used, ticks and writes evict until it holds.
    ///
    /// # Errors
    ///
    /// [`ConfigError::LimitTooLow`] or [`ConfigError::LimitTooHigh`] outside of what the shards of
    /// this engine can work with.
    pub fn set_limit(&self, limit: u64) -> Result<(), ConfigError> {
        let (min, max) = self.limits;
        if limit < min {
            return Err(ConfigError::LimitTooLow { limit, min });
        }
        if limit > max {
            return Err(ConfigError::LimitTooHigh { limit, max });
        }
        self.limit.store(limit, Relaxed);
        Ok(())
    }

    pub(crate) fn take(&self, shard: usize, bytes: u64, purse: Purse) -> bool {
        let taken = self.raise(bytes, self.ceiling(purse));
        if taken && let Some(held) = self.held.get(shard) {
            held.fetch_add(bytes, Relaxed);
        }
        taken
    }

    pub(crate) fn give(&self, shard: usize, bytes: u64) {
        if let Some(held) = self.held.get(shard) {
            let before = held.fetch_sub(bytes, Relaxed);
            assert!(before >= bytes, "a shard gives back no more than it took");
        }
        self.release(bytes);
    }

    /// What may be used in all for `purse`, in bytes.
    pub(crate) fn ceiling(&self, purse: Purse) -> u64 {
        let limit = self.limit();
        match purse {
            Purse::Common if self.backups.load(Relaxed) > 0 => limit - limit / RESERVE_PART,
            Purse::Common | Purse::Backup => limit,
        }
    }

    /// Whether a shard holds its fair share already, but for `slack` bytes: of what is not out of all shards' reach.
    pub(crate) fn has_fair_share(&self, shard: usize, slack: u64) -> bool {
        let shards = u64::try_from(self.held.len()).unwrap_or(u64::MAX).max(1);
        let shared = self.limit().saturating_sub(self.in_flight());
        self.held(shard).saturating_add(slack) >= shared / shards
    }

    /// Whether `bytes` more could be taken for entries of primary slots just now.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.ceiling(Purse::Common)
    }

    /// Bytes of values that are being received or held only by readers: nobody can evict them, and they come back soon.
    pub(crate) fn in_flight(&self) -> u64 {
        self.writing.load(Relaxed).saturating_add(self.pinned.load(Relaxed))
    }

    /// Takes `bytes` for a value to be received, which no shard holds yet; [`Budget::begin_writing`] has counted them.
    pub(crate) fn take_pages(&self, bytes: u64) -> bool {
        self.raise(bytes, self.ceiling(Purse::Common))
    }

    /// Whether a directory of `bytes` more leaves half of the limit for what is in them.
    pub(crate) fn has_room_for_directory(&self, bytes: u64) -> bool {
        self.directories.load(Relaxed).saturating_add(bytes) <= self.limit() / DIRECTORIES_PART
    }

    /// Counts a directory; false when it would take what entries need.
    pub(crate) fn add_directory(&self, bytes: u64) -> bool {
        let most = self.limit() / DIRECTORIES_PART;
        let raised = |now: u64| now.checked_add(bytes).filter(|&sum| sum <= most);
        self.directories.fetch_update(Relaxed, Relaxed, raised).is_ok()
    }

    pub(crate) fn drop_directory(&self, bytes: u64) {
        self.directories.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn add_backup(&self) {
        self.backups.fetch_add(1, Relaxed);
    }

    pub(crate) fn drop_backup(&self) {
        self.backups.fetch_sub(1, Relaxed);
    }

    /// Counts `bytes` as being received. False when too much is already, or pinned by readers.
    pub(crate) fn begin_writing(&self, bytes: u64) -> bool {
        let most = self.writing_max();
        let raised = |now: u64| now.checked_add(bytes).filter(|&sum| sum <= most);
        self.pinned.load(Relaxed) <= self.limit() / PINNED_PART
            && self.writing.fetch_update(Relaxed, Relaxed, raised).is_ok()
    }

    /// The most bytes that all values in flight take together: one of the greatest length, with its bookkeeping, fits.
    pub(crate) fn writing_max(&self) -> u64 {
        charge_of(usize::try_from(self.limit() / WRITING_PART).unwrap_or(usize::MAX))
    }

    pub(crate) fn end_writing(&self, bytes: u64) {
        self.writing.fetch_sub(bytes, Relaxed);
    }

    /// Counts the bytes of a value that was received as held by `shard`.
    pub(crate) fn hold_pages(&self, shard: usize, bytes: u64) {
        self.end_writing(bytes);
        if let Some(held) = self.held.get(shard) {
            held.fetch_add(bytes, Relaxed);
        }
    }

    /// Counts the bytes of a value that `shard` has let go as held by readers only.
    pub(crate) fn pin(&self, shard: usize, bytes: u64) {
        self.pinned.fetch_add(bytes, Relaxed);
        if let Some(held) = self.held.get(shard) {
            let before = held.fetch_sub(bytes, Relaxed);
            assert!(before >= bytes, "a shard lets go no more than it holds");
        }
    }

    pub(crate) fn unpin(&self, bytes: u64) {
        self.pinned.fetch_sub(bytes, Relaxed);
    }

    fn raise(&self, bytes: u64, ceiling: u64) -> bool {
        #[cfg(test)]
        if self.refuse_in.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)) == Ok(1) {
            return false;
        }
        let raised = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= ceiling);
        self.used.fetch_update(Relaxed, Relaxed, raised).is_ok()
    }
}

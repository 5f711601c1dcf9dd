//! From a key to its slot and its hash, once per operation.
//!
//! The hash is rapidhash V3 under a secret seed: the same on every platform, stable across releases
//! of the crate. Its top 26 bits are the *fragment*, by which a slot's table is ordered and a scan
//! proceeds; the ghosts use the low bits.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};
use ringhold_types::slot::Slot;

/// The width of a fragment, in bits; part of the peer protocol's version.
pub const FRAGMENT_BITS: u32 = 26;

/// The secret of a cluster, which all its nodes share: without it nobody can aim keys at one place
/// of a table.
#[derive(Clone, Copy)]
pub struct HashSeed {
    secrets: RapidSecrets,
}

impl core::fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashSeed(secret)")
    }
}

impl HashSeed {
    /// The seed that is a function of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { secrets: RapidSecrets::seed(seed) }
    }

    /// Where `key` belongs.
    #[inline]
    #[must_use]
    pub fn key(&self, key: &[u8]) -> KeyHash {
        KeyHash { slot: Slot::of_key(key), hash: self.hash(key) }
    }

    /// The hash of `key` alone.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> u64 {
        rapidhash_v3_inline::<true, true, false>(key, &self.secrets)
    }
}

/// The slot and the hash of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyHash {
    /// The slot of the key.
    pub slot: Slot,
    /// The key's hash under the seed of the cluster.
    pub hash: u64,
}

impl KeyHash {
    /// That of no key.
    pub const NONE: Self = Self { slot: Slot::MIN, hash: 0 };

    /// The top [`FRAGMENT_BITS`] of the hash.
    #[inline]
    #[must_use]
    pub fn fragment(self) -> u32 {
        (self.hash >> (64 - FRAGMENT_BITS)) as u32
    }
}

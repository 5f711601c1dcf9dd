//! The engine as a node has it: all shards of one budget, room made as a node makes it, without locks.

use std::sync::Arc;

use anyhow::Context;
use ringhold_store::budget::{Budget, EngineConfig, Geometry};
use ringhold_store::entry::{Change, Decision, EntryRef, Log, Put, UpdateError, Value};
use ringhold_store::hash::{HashSeed, KeyHash};
use ringhold_store::shard::Shard;
use ringhold_types::entry::{ContentType, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

/// The namespace that everything is in.
pub(crate) const NS: NamespaceId = NamespaceId::DEFAULT;
/// A time to begin at.
pub(crate) const START: UnixTime = UnixTime(1_800_000_000_000);
/// How often room is made for one write before it counts as refused.
const ATTEMPTS_MAX: usize = 1000;

/// A log that stamps and lets everything go.
#[derive(Debug, Default)]
pub(crate) struct Stamps(u64);

impl Log for Stamps {
    fn append(&mut self, _ns: NamespaceId, _slot: Slot, _change: Change<'_>) -> Version {
        self.0 += 1;
        Version(self.0)
    }

    fn may_remove(&self, _slot: Slot) -> bool {
        true
    }
}

/// All shards of a node.
#[derive(Debug)]
pub(crate) struct Shards {
    pub(crate) all: Vec<Shard>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) geometry: Geometry,
    pub(crate) seed: HashSeed,
    pub(crate) log: Stamps,
}

impl Shards {
    /// Empty shards with `limit` bytes.
    pub(crate) fn new(limit: u64, cores: usize) -> anyhow::Result<Self> {
        let geometry = Geometry::new(&EngineConfig { limit, cores, value_len_max: None })
            .context("the limit")?;
        let budget = Budget::new(&geometry);
        let seed = HashSeed::new(1);
        let shard = |idx| Shard::new(idx, geometry, seed, Arc::clone(&budget));
        let all = (0..geometry.shards).map(shard).collect();
        Ok(Self { all, budget, geometry, seed, log: Stamps::default() })
    }

    /// The shard of a key.
    #[inline]
    pub(crate) fn of(&self, at: KeyHash) -> &Shard {
        &self.all[self.geometry.shard_of(at.slot)]
    }

    /// Stores a value; false when it was refused.
    pub(crate) fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        deadlines: Deadlines,
        now: UnixTime,
    ) -> bool {
        let at = self.seed.key(key);
        let idx = self.geometry.shard_of(at.slot);
        for _ in 0..ATTEMPTS_MAX {
            let put = put_of(value, deadlines);
            let decide = |_: Option<EntryRef<'_>>| Decision::Put(put);
            match self.all[idx].update(NS, key, at, now, &mut self.log, decide) {
                Ok(_) => return true,
                Err(UpdateError::NeedRoom { shard }) => {
                    self.all[shard].evict_one(now, &mut self.log);
                }
                Err(_) => return false,
            }
        }
        false
    }
}

/// Plain bytes.
pub(crate) fn put_of(value: &[u8], deadlines: Deadlines) -> Put<'_> {
    Put {
        value: Value::Bytes(value),
        kind: 0,
        deadlines,
        client_flags: 0,
        content_type: ContentType::NONE,
    }
}

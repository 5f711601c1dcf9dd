//! The engine itself, its room made as a node makes it.

use std::sync::Arc;

use anyhow::Context;
use ringhold_store::budget::{Budget, EngineConfig, Geometry};
use ringhold_store::entry::{Change, Decision, Log, Lookup, Put, UpdateError, Value};
use ringhold_store::hash::HashSeed;
use ringhold_store::shard::Shard;
use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use super::policies::Cache;
use super::requests::{KEY_LEN, value_len};

const NOW: UnixTime = UnixTime(1_800_000_000_000);
const NS: NamespaceId = NamespaceId::DEFAULT;

#[derive(Default)]
struct Stamps(u64);

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
pub(super) struct Engine {
    shards: Vec<Shard>,
    seed: HashSeed,
    log: Stamps,
    bytes: Vec<u8>,
    /// Writes that were refused.
    pub(super) refused: u64,
}

impl Engine {
    pub(super) fn new(budget: u64, cores: usize) -> anyhow::Result<Self> {
        let geometry = Geometry::new(&EngineConfig { limit: budget, cores, value_len_max: None })
            .context("the budget")?;
        let account = Budget::new(&geometry);
        let seed = HashSeed::new(1);
        let shard = |idx| Shard::new(idx, geometry, seed, Arc::clone(&account));
        let shards = (0..geometry.shards).map(shard).collect();
        Ok(Self { shards, seed, log: Stamps::default(), bytes: vec![0; 1 << 20], refused: 0 })
    }

    /// Evacuated segments, moved items and evicted ones.
    pub(super) fn work(&self) -> (u64, u64, u64) {
        self.shards.iter().map(Shard::work).fold((0, 0, 0), |sum, work| {
            (sum.0 + work.evacuations, sum.1 + work.items_moved, sum.2 + work.evicted)
        })
    }

    fn put(&mut self, key: &[u8], len: usize) {
        let at = self.seed.key(key);
        let idx = at.slot.index() % self.shards.len();
        for _ in 0..1000 {
            let put = Put {
                value: Value::Bytes(&self.bytes[..len]),
                kind: 0,
                deadlines: Deadlines::NEVER,
                client_flags: 0,
                content_type: ContentTypeId::NONE,
            };
            let decide = |_: Option<ringhold_store::entry::EntryRef<'_>>| Decision::Put(put);
            match self.shards[idx].update(NS, key, at, NOW, &mut self.log, decide) {
                Ok(_) => return,
                Err(UpdateError::NeedRoom { shard }) => {
                    self.shards[shard].evict_one(NOW, &mut self.log);
                }
                Err(_) => break,
            }
        }
        self.refused += 1;
    }
}

impl Cache for Engine {
    fn get(&mut self, key: u32) -> bool {
        let text = format!("{key:0width$}", width = usize::try_from(KEY_LEN).unwrap_or(16));
        let at = self.seed.key(text.as_bytes());
        let shard = &self.shards[at.slot.index() % self.shards.len()];
        if matches!(shard.lookup(NS, text.as_bytes(), at, NOW), Lookup::Hit(_)) {
            return true;
        }
        self.put(text.as_bytes(), usize::try_from(value_len(key)).unwrap_or(0));
        false
    }
}

//! The engine itself, its room made as a node makes it.

use ringhold_store::entry::Lookup;
use ringhold_store::shard::Shard;
use ringhold_types::entry::Deadlines;

use super::policies::Cache;
use super::requests::{KEY_LEN, value_len};
use crate::shards::{NS, START, Shards};

/// All shards of a node.
pub(super) struct Engine {
    shards: Shards,
    bytes: Vec<u8>,
    /// Writes that were refused.
    pub(super) refused: u64,
}

impl Engine {
    pub(super) fn new(budget: u64, cores: usize) -> anyhow::Result<Self> {
        Ok(Self { shards: Shards::new(budget, cores)?, bytes: vec![0; 1 << 20], refused: 0 })
    }

    /// Evacuated segments, moved items and evicted ones.
    pub(super) fn work(&self) -> (u64, u64, u64) {
        self.shards.all.iter().map(Shard::work).fold((0, 0, 0), |sum, work| {
            (sum.0 + work.evacuations, sum.1 + work.items_moved, sum.2 + work.evicted)
        })
    }
}

impl Cache for Engine {
    fn get(&mut self, key: u32) -> bool {
        let text = format!("{key:0width$}", width = usize::try_from(KEY_LEN).unwrap_or(16));
        let at = self.shards.seed.key(text.as_bytes());
        if matches!(self.shards.of(at).lookup(NS, text.as_bytes(), at, START), Lookup::Hit(_)) {
            return true;
        }
        let len = usize::try_from(value_len(key)).unwrap_or(0);
        let is_stored =
            self.shards.put(text.as_bytes(), &self.bytes[..len], Deadlines::NEVER, START);
        self.refused += u64::from(!is_stored);
        false
    }
}

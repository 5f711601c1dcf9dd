//! The memory of one simulated node.

use std::sync::Arc;

use ringhold_store::budget::{Budget, EngineConfig, Geometry};
use ringhold_store::hash::HashSeed;

/// What all shards of a node have in common.
#[derive(Clone, Debug)]
pub struct Memory {
    /// How it is divided.
    pub geometry: Geometry,
    /// What is used of it.
    pub budget: Arc<Budget>,
    /// Where keys belong.
    pub seed: HashSeed,
}

/// Bytes of a node: the least that an engine works with, so that runs are quick to begin.
const LIMIT: u64 = 8 << 20;

impl Memory {
    /// An empty one, in a cluster whose secret is `seed`.
    ///
    /// # Panics
    ///
    /// Never: the limit is one that engines take.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let config = EngineConfig { limit: LIMIT, cores: 1, value_len_max: None };
        let geometry = Geometry::new(&config).expect("the limit is one that engines take");
        let budget = Budget::new(&geometry);
        Self { geometry, budget, seed: HashSeed::new(seed) }
    }
}

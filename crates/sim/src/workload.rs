//! What clients ask for: a stream of operations from a seed.
//!
//! Values are unique: the client's number and a count. Keys whose number is 3 modulo 4 are counters (`Get`, `Incr`, `Delete`);
//! the others are written. Keys come in groups of [`GROUP_LEN`]; a `SetMany` writes keys of one group, as those of one slot.

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::history::{Key, Operation, Reply, Value};

/// Keys of one group.
pub const GROUP_LEN: u32 = 8;

/// How often each operation is asked for, as weights.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// `Get`.
    pub get: u32,
    /// `Set`, or `Incr` of a counter.
    pub set: u32,
    /// `Set` with a time to live.
    pub set_for: u32,
    /// `Delete`.
    pub delete: u32,
    /// `Cas`; a `Get` of keys whose version is not known.
    pub cas: u32,
    /// `SetMany`.
    pub set_many: u32,
}

/// The operations of one client.
#[derive(Debug)]
pub struct Source {
    prng: Prng,
    client: u32,
    weights: Weights,
    keys: u32,
    made: u32,
    /// Per key, the value and version that this client saw last.
    seen: Vec<(Value, u64)>,
}

impl Source {
    /// The operations of client number `client` (unique in the world) over keys `0..keys`.
    ///
    /// # Panics
    ///
    /// Without keys or with weights that are all 0.
    #[must_use]
    pub fn new(seed: u64, client: u32, keys: u32, weights: Weights) -> Self {
        assert!(keys > 0, "there are keys");
        assert!(weights.sum() > 0, "there are operations");
        let seen = vec![(Value::ABSENT, 0); keys as usize];
        Self { prng: Prng::new(seed), client, weights, keys, made: 0, seen }
    }

    /// The next operation, and for a `Cas` the version that must be there (0 for others).
    pub fn next_operation(&mut self) -> (Operation, u64) {
        let key = self.drawn_key();
        let is_counter = key.0 % 4 == 3;
        let mut at = u32::try_from(self.prng.below(u64::from(self.weights.sum()))).unwrap_or(0);
        let weights = self.weights;
        let mut is_drawn = |weight: u32| {
            let is_here = at < weight;
            at = at.wrapping_sub(weight);
            is_here
        };
        if is_drawn(weights.get) {
            return (Operation::Get(key), 0);
        }
        if is_drawn(weights.delete) {
            return (Operation::Delete(key), 0);
        }
        if is_counter {
            return (Operation::Incr(key), 0);
        }
        if is_drawn(weights.set_for) {
            let ttl = Duration::from_millis(100 + self.prng.below(3000));
            return (Operation::SetFor(key, self.new_value(), ttl), 0);
        }
        if is_drawn(weights.cas) {
            let (expected, version) = self.seen[key.0 as usize];
            if version == 0 {
                return (Operation::Get(key), 0);
            }
            return (Operation::Cas { key, expected, value: self.new_value() }, version);
        }
        if is_drawn(weights.set_many) {
            return (self.set_many(key), 0);
        }
        (Operation::Set(key, self.new_value()), 0)
    }

    /// Takes note of an answer, for later `Cas`.
    pub fn answered(&mut self, operation: &Operation, reply: &Reply) {
        let (key, value) = match operation {
            Operation::Get(key) => (key, reply.value),
            Operation::Set(key, value) | Operation::SetFor(key, value, _) => (key, *value),
            Operation::Cas { key, value, .. } if reply.is_applied => (key, *value),
            Operation::Cas { .. } | Operation::Delete(_) => return,
            Operation::Incr(_) | Operation::SetMany(_) => return,
        };
        let version = if value == Value::ABSENT { 0 } else { reply.version };
        self.seen[key.0 as usize] = (value, version);
    }

    fn drawn_key(&mut self) -> Key {
        // Half of the operations go to a tenth of the keys.
        let range = if self.prng.chance(1, 2) { self.keys.div_ceil(10) } else { self.keys };
        Key(u32::try_from(self.prng.below(u64::from(range))).unwrap_or(0))
    }

    fn new_value(&mut self) -> Value {
        self.made += 1;
        Value(u64::from(self.client + 1) << 32 | u64::from(self.made))
    }

    fn set_many(&mut self, key: Key) -> Operation {
        let first = key.0 / GROUP_LEN * GROUP_LEN;
        let group = first..self.keys.min(first + GROUP_LEN);
        let mut pairs = Vec::new();
        for other in group.filter(|other| other % 4 != 3) {
            if other == key.0 || self.prng.chance(1, 3) {
                pairs.push((Key(other), self.new_value()));
            }
        }
        Operation::SetMany(pairs)
    }
}

impl Weights {
    fn sum(&self) -> u32 {
        self.get + self.set + self.set_for + self.delete + self.cas + self.set_many
    }
}

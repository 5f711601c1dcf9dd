//! The engine: whatever is asked of it, a hit is what was written, every loss was told to the log, the limit holds, and
//! the structures stay sound.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ringhold_store::budget::{Budget, EngineConfig, Geometry};
use ringhold_store::entry::{
    Change, ChangeValue, Decision, Log, Lookup, Put, Role, UpdateError, Value, ValueRef,
};
use ringhold_store::hash::HashSeed;
use ringhold_store::shard::Shard;
use ringhold_types::entry::{ContentType, ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

type Content = (Vec<u8>, Deadlines, u32, String);

/// Whatever the log says happened has happened.
#[derive(Default)]
struct Twin {
    entries: BTreeMap<(NamespaceId, Vec<u8>), Content>,
    version: u64,
    is_gated: bool,
}

impl Log for Twin {
    fn append(&mut self, ns: NamespaceId, slot: Slot, change: Change<'_>) -> Version {
        self.version += 1;
        match change {
            Change::Put { key, value, deadlines, client_flags, content_type, .. } => {
                let value = match value {
                    ChangeValue::Bytes(bytes) => bytes.to_vec(),
                    ChangeValue::Large(large) => large.chunks().flatten().copied().collect(),
                };
                let content = (value, deadlines, client_flags, format!("{content_type:?}"));
                self.entries.insert((ns, key.to_vec()), content);
            }
            Change::Touch { key, deadlines } => {
                let entry = self.entries.get_mut(&(ns, key.to_vec()));
                entry.expect("a touched entry is there").1 = deadlines;
            }
            Change::Delete { key } | Change::Expire { key } | Change::Evict { key } => {
                assert!(self.entries.remove(&(ns, key.to_vec())).is_some());
            }
            Change::Clear => {
                self.entries.retain(|(of, key), _| *of != ns || Slot::of_key(key) != slot);
            }
        }
        Version(self.version)
    }

    fn may_remove(&self, _slot: Slot) -> bool {
        !self.is_gated
    }
}

fuzz_target!(|data: &[u8]| {
    let config = EngineConfig { limit: 8 << 20, cores: 1, value_len_max: None };
    let mut geometry = Geometry::new(&config).expect("the configuration is good");
    geometry.shards = 1;
    let budget = Budget::new(&geometry);
    let seed = HashSeed::new(7);
    let mut shard = Shard::new(0, geometry, seed, Arc::clone(&budget));
    let mut twin = Twin::default();
    let mut now = UnixTime(1_800_000_000_000);
    let mut readers = Vec::new();
    for op in data.chunks_exact(6) {
        let ns = NamespaceId(u16::from(op[0] >> 7));
        // Keys of few slots, some of them longer than a segment's quarter.
        let mut key = format!("{{{}}}{}", op[1] % 7, op[2] % 61).into_bytes();
        if op[1] > 250 {
            key.resize(usize::from(op[1]) * 40, b'k');
        }
        let at = seed.key(&key);
        let size = usize::from(u16::from_le_bytes([op[3], op[4]]));
        let soft = (op[5] & 1 == 1).then(|| UnixTime(now.0 + 5));
        let hard = (op[5] & 2 == 2).then(|| UnixTime(now.0 + 10 + u64::from(op[5]) * 50));
        let deadlines = Deadlines { hard, soft: hard.and(soft) };
        match op[0] & 0x7F {
            0..=59 => {
                let len = if op[0] % 8 == 0 { size * 3 } else { size / 16 };
                let value = vec![op[4]; len];
                let put = Put {
                    value: Value::Bytes(&value),
                    kind: 0,
                    deadlines,
                    client_flags: u32::from(op[5] & 4),
                    content_type: match op[5] & 24 {
                        24 => ContentType::Text(&data[..data.len().min(usize::from(op[3]))]),
                        row => ContentType::Row(ContentTypeId(u16::from(row))),
                    },
                };
                let done = shard.update(ns, &key, at, now, &mut twin, |_| Decision::Put(put));
                if let Err(error) = done {
                    assert!(matches!(error, UpdateError::Full { .. } | UpdateError::TooLarge { .. }));
                }
            }
            60..=69 => {
                let _done = shard.update(ns, &key, at, now, &mut twin, |_| Decision::Delete);
            }
            70..=79 => {
                let touch = |old: Option<ringhold_store::entry::EntryRef<'_>>| match old {
                    Some(_) => Decision::Touch(deadlines),
                    None => Decision::Keep,
                };
                let _done = shard.update(ns, &key, at, now, &mut twin, touch);
            }
            80..=84 => now.0 += u64::from(op[3]) * 20,
            85..=89 => {
                shard.tick(now, &mut twin, u64::from(op[3]));
            }
            90..=91 => shard.clear(ns, at.slot, &mut twin),
            92..=94 => {
                shard.evict_one(now, &mut twin);
            }
            95..=96 => {
                let role = if op[3] % 2 == 0 { Role::Primary } else { Role::Backup };
                shard.set_role(at.slot, role);
            }
            97 => twin.is_gated = op[3] < 32,
            98..=99 => {
                let quota = (op[3] > 40).then_some(u64::from(op[3]) << 15);
                let _done = shard.configure(ns, quota, op[4] > 20, now, &mut twin);
            }
            100..=102 => {
                if let Lookup::Hit(entry) = shard.lookup(ns, &key, at, now)
                    && let ValueRef::Large(large) = entry.value()
                {
                    readers.push(Arc::clone(large));
                }
            }
            103 => readers.clear(),
            104 => {
                let _done = budget.set_limit((5 << 20) + (u64::from(op[3]) << 14));
            }
            105 => {
                let mut seen = 0;
                let mut from = Some(0);
                while let Some(at_fragment) = from {
                    from = shard.scan(ns, at.slot, at_fragment, size, now, |entry| {
                        seen += 1;
                        assert!(twin.entries.contains_key(&(ns, entry.key().to_vec())));
                    });
                }
                let alive = twin.entries.iter().filter(|((of, key), content)| {
                    *of == ns && Slot::of_key(key) == at.slot && !content.1.is_expired(now)
                });
                assert_eq!(seen, alive.count());
            }
            106 => {
                let writer = shard.begin_large(ns, size * 20, now, &mut twin);
                if let Ok(mut writer) = writer {
                    writer.write(&vec![op[5]; size * 10]);
                }
            }
            _ => {}
        }
        let expected = twin.entries.get(&(ns, key.clone()));
        match shard.lookup(ns, &key, at, now) {
            Lookup::Hit(entry) => {
                let value: Vec<u8> = match entry.value() {
                    ValueRef::Bytes(bytes) => bytes.to_vec(),
                    ValueRef::Large(large) => large.chunks().flatten().copied().collect(),
                };
                let flags = (entry.client_flags(), format!("{:?}", entry.content_type()));
                let seen: Content = (value, entry.deadlines(), flags.0, flags.1);
                assert!(Some(&seen) == expected && !seen.1.is_expired(now));
            }
            Lookup::Expired => assert!(expected.is_some_and(|entry| entry.1.is_expired(now))),
            Lookup::Miss => assert!(expected.is_none()),
        }
    }
    shard.check_invariants();
    drop(readers);
    drop(shard);
    assert_eq!(budget.used(), 0, "everything is given back");
});

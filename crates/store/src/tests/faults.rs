//! What goes wrong: the budget refuses at every point, a caller's closure panics, the log keeps what should go.

extern crate std;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ringhold_types::entry::{ContentTypeId, Deadlines, Version};
use ringhold_types::id::NamespaceId;
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::UnixTime;

use super::twin::Content;
use super::world::{Call, Key, SMALL, World, bytes_of};
use crate::entry::{Decision, Outcome, Role};

/// A world in which so many bytes are left for all.
fn world_of(left: u64) -> World {
    let mut world = World::new(SMALL);
    let charged = world.budget.limit() - world.budget.used() - left;
    world.charge(charged);
    world
}

/// Keys of one slot in each of two namespaces.
fn key(world: &World, n: u64) -> Key {
    let ns = NamespaceId(u16::from(n.is_multiple_of(5)));
    world.key(ns, format!("{{tag}}{n}").into_bytes())
}

fn content(world: &World, n: u64, len: usize) -> Content {
    let hard = n.is_multiple_of(3).then_some(UnixTime(world.twin.now.0 + 10 * n + 1));
    Content {
        value: bytes_of(n, len),
        kind: 0,
        deadlines: Deadlines { hard, soft: None },
        client_flags: 0,
        content_type: ContentTypeId::NONE,
        version: Version(0),
    }
}

/// What is done while the budget refuses once: all that takes memory, some of it under pressure. Every call may fail.
fn script(world: &mut World) {
    let slot = key(world, 0).at.slot;
    let idx = world.shard_of(slot);
    for n in 0..160 {
        let len = if n % 7 == 0 { 900 } else { 300 };
        let (key, content) = (key(world, n), content(world, n, len));
        let _maybe = world.put(&key, &content);
    }
    for n in 0..40 {
        let (key, content) = (key(world, 3 * n), content(world, n, 5000));
        let _maybe = match n % 8 {
            0 => world.put(&key, &content),
            1 => world.update(&key, Call::Update, |_| Decision::Touch(content.deadlines)),
            2 => world.update(&key, Call::Update, |_| Decision::Delete),
            _ => Ok(Outcome::Kept),
        };
        world.read(&key);
        let now = world.twin.now;
        match n {
            5 | 30 => world.set_role(slot, Role::Backup),
            8 | 38 => world.set_role(slot, Role::Primary),
            10 | 20 => {
                world.begin(key.ns, slot, content.value.clone());
                if let Some(mut incoming) = world.incoming.pop() {
                    let mut writer = incoming.writer.take().expect("it was just begun");
                    writer.write(&incoming.value);
                    let _maybe = world.commit(&key, writer, &content);
                }
            }
            12 => {
                let quota = Some(SMALL.quota_min() / 16);
                world.call(idx, Call::Configure, |shard, twin| {
                    let _maybe = shard.configure(key.ns, quota, true, now, twin);
                });
            }
            15 | 25 => {
                world.twin.now.0 += 300;
                let now = world.twin.now;
                world.call(idx, Call::Tick, |shard, twin| shard.tick(now, twin, 50));
            }
            28 => {
                world.call(idx, Call::Evict, |shard, twin| shard.evict_one(now, twin));
            }
            35 => world.clear(NamespaceId(0), slot),
            _ => {}
        }
    }
    for n in 0..160 {
        let key = key(world, n);
        if n % 4 != 0 {
            let done = world.update(&key, Call::Update, |_| Decision::Delete);
            assert!(done.is_ok(), "a deletion needs no memory");
        }
        world.check_key(&key, false);
    }
}

#[test]
fn nothing_is_lost_or_leaked_when_the_budget_refuses_at_any_point() {
    // With room for all, then with memory full, where what is refused is mostly a segment.
    for left in [600 * 1024, 120 * 1024] {
        let mut nth = 0;
        loop {
            nth += 1;
            let mut world = world_of(left);
            world.budget.refuse_in.store(nth, Relaxed);
            script(&mut world);
            world.check_all();
            let is_over = world.budget.refuse_in.swap(0, Relaxed) > 0;
            // All goes on afterwards.
            let (key, content) = (key(&world, 1), content(&world, 1, 100));
            world.put(&key, &content).expect("there is room again");
            world.end();
            if is_over {
                break;
            }
        }
        assert!(nth > 60, "{nth} grants were asked for");
    }
}

#[test]
fn panic_of_a_decision_leaves_everything_as_it_was() {
    let mut world = world_of(400 * 1024);
    let mut prng = Prng::new(1);
    let names = 300;
    for n in 0..names {
        let len = usize::try_from(prng.below(1500)).expect("a length");
        let (key, content) = (key(&world, n), content(&world, n, len));
        world.put(&key, &content).expect("there is room");
    }
    world.twin.now.0 += 1000;
    let (tables, used) = (world.twin.tables.clone(), world.budget.used());
    for n in (0..names + 20).step_by(29) {
        let key = key(&world, n);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            world.update(&key, Call::Update, |_| panic!("the caller's mistake"))
        }));
        assert!(panicked.is_err(), "the panic is the caller's");
        world.check_all();
    }
    assert!(world.twin.tables == tables && world.budget.used() == used, "nothing has happened");
    for n in 0..names {
        let (key, content) = (key(&world, n), content(&world, n, 700));
        world.put(&key, &content).expect("there is room");
    }
    world.end();
}

#[test]
fn log_that_often_keeps_entries_loses_none() {
    for seed in 0..6 {
        let mut world = world_of(300 * 1024);
        let mut prng = Prng::new(seed);
        let keys: Vec<Key> = (0..2000)
            .map(|n| world.key(NamespaceId(0), format!("{{{}}}{n}", n % 40).into_bytes()))
            .filter(|key| SMALL.shard_of(key.at.slot) < 4)
            .collect();
        let slots: BTreeSet<Slot> = keys.iter().map(|key| key.at.slot).collect();
        let (mut stored, mut refused) = (0, 0);
        for _ in 0..3000 {
            // Whether an entry may go is another thing with every call.
            let odds = 1 + prng.below(8);
            world.twin.gates.clear();
            world.twin.gates.extend(slots.iter().filter(|_| prng.chance(odds, 8)));
            let at = usize::try_from(prng.below(u64::try_from(keys.len()).expect("a count")));
            let key = &keys[at.expect("an index")];
            let len = usize::try_from(prng.below(900)).expect("a length");
            let content = content(&world, prng.below(50), len);
            match world.put(key, &content) {
                Ok(_) => stored += 1,
                Err(_) => refused += 1,
            }
            if prng.chance(1, 10) {
                world.twin.now.0 += prng.below(200);
                let (idx, now) = (world.shard_of(key.at.slot), world.twin.now);
                world.call(idx, Call::Tick, |shard, twin| shard.tick(now, twin, 64));
            }
            world.check_accounts();
        }
        assert!(stored > 4 * refused, "{stored} stored, {refused} refused");
        let evicted = world.twin.losses.evicted;
        assert!(evicted > 300, "entries that may go do: {evicted} of {stored}");
        world.end();
    }
}

#[test]
fn expired_entries_that_have_to_be_kept_do_not_stop_eviction() {
    let mut world = world_of(900 * 1024);
    let kept = world.key(NamespaceId(0), b"{tag}".to_vec()).at.slot;
    let idx = world.shard_of(kept);
    for n in 0..60 {
        let content = content(&world, 3 * n, 300);
        let key = world.key(NamespaceId(0), format!("{{tag}}{n}").into_bytes());
        world.put(&key, &content).expect("there is room");
    }
    world.twin.gates.insert(kept);
    world.twin.now.0 += 10_000;
    let others = (0..).map(|n| world.key(NamespaceId(0), format!("other:{n}").into_bytes()));
    let others = others.filter(|key| key.at.slot != kept && world.shard_of(key.at.slot) == idx);
    let others: Vec<Key> = others.take(6000).collect();
    for key in &others {
        let content = Content { deadlines: Deadlines::NEVER, ..content(&world, 1, 300) };
        world.put(key, &content).expect("others are evicted");
    }
    assert!(world.twin.losses.evicted > 3000, "memory is full");
    let table = &world.twin.tables[&(NamespaceId(0), kept)];
    assert_eq!(table.len(), 60, "what has to be kept is kept");
    world.end();
}

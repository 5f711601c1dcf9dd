//! Facts about copies of slots.

use ringhold_cluster::map::Map;
use ringhold_cluster::view::Leases;
use ringhold_store::budget::{Budget, EngineConfig, Geometry};
use ringhold_store::entry::{Lookup, ValueRef};
use ringhold_types::entry::{ContentType, Deadlines};
use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use super::*;
use crate::content_types::OwnContentType;

const SEED: u64 = 5;
const START: Now = Now { instant: Instant(0), unix_micros: 1_800_000_000_000_000 };

fn later(by: Duration) -> Now {
    let micros = u64::try_from(by.as_micros()).expect("a short time");
    Now { instant: START.instant.after(by), unix_micros: START.unix_micros + micros }
}

/// The only shard of a node with 8 MiB, whose slots are copies.
fn shard() -> (ShardCell, Arc<ContentTypes>) {
    let config = EngineConfig { limit: 8 << 20, cores: 1, value_len_max: Some(1 << 20) };
    let mut geometry = Geometry::new(&config).expect("a good limit");
    geometry.shards = 1;
    let budget = Budget::new(&geometry);
    let mut shard = ShardCell::new(0, &geometry, HashSeed::new(SEED), &budget);
    let leases = Arc::new(Leases::default());
    let view = View { map: Arc::new(Map::unknown()), me: Member::default(), leases };
    let types = Arc::new(ContentTypes::default());
    shard.copy(Replicas::new(Arc::new(view), 0, 1), Arc::clone(&types));
    (shard, types)
}

fn key(namespace: u16, bytes: &[u8]) -> Key<'_> {
    Key { namespace: NamespaceId(namespace), bytes, at: HashSeed::new(SEED).key(bytes) }
}

fn put<'a>(value: &'a [u8], deadlines: Deadlines, content_type: ContentType<'a>) -> Decision<'a> {
    Decision::Put(Put {
        value: Value::Bytes(value),
        kind: 0,
        deadlines,
        client_flags: 7,
        content_type,
    })
}

fn value_of(lookup: Lookup<'_>) -> Option<(Vec<u8>, Version, Deadlines)> {
    let Lookup::Hit(entry) = lookup else { return None };
    let bytes = match entry.value() {
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Large(large) => large.chunks().collect::<Vec<_>>().concat(),
    };
    Some((bytes, entry.version(), entry.deadlines()))
}

fn apply(shard: &mut ShardCell, slot: Slot, effect: &[u8]) -> Result<(), Refused> {
    let mut result = Ok(());
    shard.with_copies(START, |_, store, _| result = store.apply(slot, effect));
    result
}

#[test]
fn a_walk_makes_an_equal_copy() {
    let (mut from, types) = shard();
    let (mut to, other_types) = shard();
    // The same content type has another number there.
    other_types.keep(Some(b"first/other"), None).expect("it is short");
    let css = types.keep(Some(b"text/css"), None).expect("it is short");
    let mut prng = Prng::new(1);
    let slot = Slot::of_key(b"{s}");
    let names: Vec<(u16, String)> =
        (0..500).map(|number| (number % 3 * 4, format!("{{s}}{number}"))).collect();
    for (number, (namespace, name)) in names.iter().enumerate() {
        let len = if number % 100 == 99 {
            50_000
        } else {
            usize::try_from(prng.below(300)).expect("few")
        };
        let value: Vec<u8> = (0..len).map(|at| (at * 7 + number).to_le_bytes()[0]).collect();
        let hard = prng.chance(1, 3).then(|| START.unix().after(Duration::from_secs(60)));
        let content_type = if number % 2 == 0 { css.borrow() } else { ContentType::NONE };
        let decision = put(&value, Deadlines { hard, soft: None }, content_type);
        from.update(key(*namespace, name.as_bytes()), START, |_| decision).expect("there is room");
    }
    let mut cursor = None;
    let mut steps = 0;
    loop {
        let mut effects = Vec::new();
        from.with_copies(START, |_, store, _| {
            cursor = store.scan(slot, cursor, &mut |effect| effects.push(effect));
        });
        let len: usize = effects.iter().map(|effect| effect.len()).sum();
        assert!(len < SCAN_STEP_LEN + 60_000, "a step is bounded");
        to.with_copies(START, |_, store, _| store.set_kept(slot, Kept::Backup));
        effects.iter().for_each(|effect| apply(&mut to, slot, effect).expect("there is room"));
        steps += 1;
        if cursor.is_none() {
            break;
        }
    }
    assert!(steps > 5, "it is walked in steps");
    for (number, (namespace, name)) in names.iter().enumerate() {
        let key = key(*namespace, name.as_bytes());
        let there = value_of(to.peek(key, START));
        assert!(there.is_some() && there == value_of(from.peek(key, START)), "{name}");
        let Lookup::Hit(entry) = to.peek(key, START) else { panic!("it is there") };
        assert_eq!(entry.client_flags(), 7);
        let own = OwnContentType::of(entry.content_type());
        let text = other_types.text(own.borrow()).into_owned();
        assert_eq!(text, if number % 2 == 0 { &b"text/css"[..] } else { b"" });
    }
    // What is deleted there is deleted here, and versions of later writes are later.
    let stamp = |shard: &mut ShardCell| {
        let mut stamp = Stamp::default();
        shard.with_copies(START, |_, store, _| stamp = store.stamp(slot));
        stamp
    };
    assert_eq!(stamp(&mut to).version, stamp(&mut from).version);
    from.check_invariants();
    to.check_invariants();
}

#[test]
fn an_operation_is_done_whole_or_not_at_all() {
    let (mut to, types) = shard();
    let slot = Slot::of_key(b"{s}");
    to.with_copies(START, |_, store, _| store.set_kept(slot, Kept::Backup));
    let value = vec![b'x'; 3000];
    let operation = |numbers: std::ops::Range<u32>| {
        let mut writer = Writer::new(START.unix());
        for number in numbers {
            let name = format!("{{s}}{number}");
            let change = Change::Put {
                key: name.as_bytes(),
                value: ringhold_store::entry::ChangeValue::Bytes(&value),
                kind: 0,
                deadlines: Deadlines::NEVER,
                client_flags: 0,
                content_type: ContentType::NONE,
            };
            writer.change(NamespaceId(0), &change, Version(u64::from(number) + 1), &types);
        }
        writer.finish()
    };
    let mut refused = None;
    for number in 0..200 {
        match apply(&mut to, slot, &operation(number * 30..number * 30 + 30)) {
            Ok(()) => {}
            Err(Refused::NoRoom) => {
                refused = Some(number);
                break;
            }
            Err(Refused::Malformed) => panic!("half of operation {number} was done"),
        }
    }
    let refused = refused.expect("8 MiB are full");
    assert!(refused * 90_000 > 6 << 20, "most of the memory is used before");
    for number in 0..refused * 30 + 30 {
        let name = format!("{{s}}{number}");
        let is_there = value_of(to.peek(key(0, name.as_bytes()), START)).is_some();
        assert_eq!(is_there, number < refused * 30, "{name}");
    }
    to.check_invariants();
}

#[test]
fn only_operations_of_the_slot_are_done() {
    let (mut to, types) = shard();
    let slot = Slot::of_key(b"a");
    let mut writer = Writer::new(START.unix());
    writer.change(NamespaceId(0), &Change::Delete { key: b"a" }, Version(1), &types);
    writer.change(NamespaceId(0), &Change::Delete { key: b"b" }, Version(1), &types);
    assert_eq!(apply(&mut to, slot, &writer.finish()), Err(Refused::Malformed));
    assert_eq!(apply(&mut to, slot, b"\x00\x09"), Err(Refused::Malformed));
}

#[test]
fn the_clock_of_a_slot_does_not_go_back_with_its_primary() {
    let (mut to, _) = shard();
    let slot = Slot::of_key(b"a");
    let ahead = Duration::from_secs(2);
    let told = later(ahead).unix_micros;
    to.with_copies(START, |_, store, _| {
        store.set_kept(slot, Kept::Backup);
        store.observe(slot, Stamp { clock_us: told, version: 9 });
        store.set_kept(slot, Kept::Primary);
    });
    assert!(to.clock(slot, START) >= later(ahead + GRANT).unix(), "it is past what was told");
    assert_eq!(to.clock(Slot::of_key(b"b"), START), START.unix(), "others are not");
    let mut before = to.clock(slot, START);
    for seconds in 1..400 {
        let now = later(Duration::from_secs(seconds));
        to.tick_copies(now, &mut 0);
        let clock = to.clock(slot, now);
        let passed = clock.0 - before.0;
        assert!((989..=1001).contains(&passed), "it is slewed by a hundredth: {passed} ms");
        before = clock;
    }
    assert_eq!(before, later(Duration::from_secs(399)).unix(), "in the end it is the node's");
    // What is out of its mind does not use up the versions.
    to.with_copies(START, |_, store, _| {
        store.observe(slot, Stamp { clock_us: u64::MAX, version: u64::MAX });
    });
    to.update(key(0, b"a"), START, |_| put(b"v", Deadlines::NEVER, ContentType::NONE))
        .expect("there is room");
}

#[test]
fn what_another_primary_changed_is_changed_for_who_watches_it() {
    let (mut to, types) = shard();
    let slot = Slot::of_key(b"{s}");
    let watched = key(0, b"{s}a");
    let stamp = to.watch(watched, START);
    let mut writer = Writer::new(START.unix());
    let change = Change::Put {
        key: b"{s}a",
        value: ringhold_store::entry::ChangeValue::Bytes(b"1"),
        kind: 0,
        deadlines: Deadlines::NEVER,
        client_flags: 0,
        content_type: ContentType::NONE,
    };
    writer.change(NamespaceId(0), &change, Version(7), &types);
    to.with_copies(START, |_, store, _| store.set_kept(slot, Kept::Backup));
    assert!(!to.is_changed(NamespaceId(0), watched.at, stamp));
    apply(&mut to, slot, &writer.finish()).expect("there is room");
    to.with_copies(START, |_, store, _| store.set_kept(slot, Kept::Primary));
    assert!(to.is_changed(NamespaceId(0), watched.at, stamp));
}

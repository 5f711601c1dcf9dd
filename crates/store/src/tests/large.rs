//! Large values as they come in: what is charged for them, and when it is given back.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ringhold_types::entry::{ContentType, ContentTypeId, Deadlines};

use super::{Bench, NS};
use crate::entry::{Decision, Lookup, Outcome, Put, UpdateError, Value, ValueRef};

#[test]
fn large_value_is_received_in_parts_and_charged_until_its_last_reader_lets_go() {
    let mut bench = Bench::new();
    let value: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let writer = bench.shard.begin_large(NS, value.len(), bench.now, &mut bench.twin);
    let mut writer = writer.expect("there is room");
    for part in value.chunks(1000) {
        writer.write(part);
    }
    assert_eq!(writer.remaining(), 0);
    let mut writer = Some(writer);
    let put = Put {
        value: Value::Large(&mut writer),
        kind: 0,
        deadlines: Deadlines::NEVER,
        client_flags: 9,
        content_type: ContentType::Row(ContentTypeId(3)),
    };
    let done = bench.update("large", Decision::Put(put)).expect("there is room");
    assert!(matches!(done, Outcome::Put { created: true, .. }));
    assert!(writer.is_none(), "a stored writer is taken");
    bench.check("large");
    let at = bench.seed.key(b"large");
    let Lookup::Hit(entry) = bench.shard.peek(NS, b"large", at, bench.now) else {
        panic!("the entry is there")
    };
    assert_eq!(
        (entry.client_flags(), entry.content_type()),
        (9, ContentType::Row(ContentTypeId(3)))
    );
    let ValueRef::Large(large) = entry.value() else { panic!("the value is in pages") };
    let reader = Arc::clone(large);
    let with_reader = bench.budget.used();
    bench.update("large", Decision::Delete).expect("a delete succeeds");
    bench.shard.check_invariants();
    assert!(with_reader - bench.budget.used() < 200_000, "a reader keeps the charge");
    drop(reader);
    assert!(with_reader - bench.budget.used() >= 200_000, "the last reader gives it back");
}

#[test]
fn a_value_of_unknown_length_is_charged_page_by_page_and_for_what_it_is_in_the_end() {
    let mut bench = Bench::new();
    let before = bench.budget.used();
    let value: Vec<u8> = (0..200_001u32).map(|n| n.to_le_bytes()[0]).collect();
    let writer = bench.shard.begin_large(NS, 0, bench.now, &mut bench.twin);
    let mut writer = writer.expect("there is room");
    let mut filled = 0;
    for part in value.chunks(7001) {
        filled += part.len();
        let grown = bench.shard.grow_large(NS, &mut writer, filled, bench.now, &mut bench.twin);
        grown.expect("there is room");
        writer.write(part);
        let ahead = bench.budget.used() - before - u64::try_from(filled).expect("a length");
        assert!(ahead <= 66 * 1024, "{ahead} bytes more than have come");
    }
    writer.truncate();
    let known = bench.shard.begin_large(NS, value.len(), bench.now, &mut bench.twin);
    let both = bench.budget.used() - before;
    drop(known.expect("there is room"));
    assert_eq!((bench.budget.used() - before) * 2, both, "as if the length had been known");
    let mut writer = Some(writer);
    let put = Put {
        value: Value::Large(&mut writer),
        kind: 0,
        deadlines: Deadlines::NEVER,
        client_flags: 0,
        content_type: ContentType::NONE,
    };
    bench.update("large", Decision::Put(put)).expect("there is room");
    bench.check("large");
    bench.shard.check_invariants();
    // Over what a value may be, and abandoned: all of it is given back.
    bench.update("large", Decision::Delete).expect("a delete succeeds");
    let most = bench.shard.begin_large(NS, 1 << 20, bench.now, &mut bench.twin);
    let mut writer = most.expect("there is room");
    let used = bench.budget.used();
    let grown = bench.shard.grow_large(NS, &mut writer, (1 << 20) + 1, bench.now, &mut bench.twin);
    assert!(matches!(grown, Err(UpdateError::TooLarge { .. })), "{grown:?}");
    assert_eq!((writer.len(), bench.budget.used()), (1 << 20, used), "the writer is as it was");
    drop(writer);
    assert_eq!(bench.budget.in_flight(), 0);
}

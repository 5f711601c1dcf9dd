//! Facts about the words.

extern crate std;

use std::string::ToString;
use std::vec::Vec;

use crate::entry::{Deadlines, Version};
use crate::node::Weight;
use crate::prng::Prng;
use crate::slot::{Slot, crc16, hash_tag};
use crate::time::{Duration, Instant, UnixTime};

/// The definition, bit by bit: the twin of the table-driven one.
fn crc16_bitwise(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[test]
fn crc16_is_xmodem() {
    assert_eq!(crc16(b"123456789"), 0x31C3);
    assert_eq!(crc16(b""), 0);
}

#[test]
fn crc16_by_tables_equals_the_bitwise_definition() {
    let mut prng = Prng::new(1);
    for len in 0..200 {
        let bytes: Vec<u8> = (0..len).map(|_| prng.next_u64().to_le_bytes()[0]).collect();
        assert_eq!(crc16(&bytes), crc16_bitwise(&bytes), "{bytes:?}");
    }
}

#[test]
fn slots_are_those_of_the_redis_cluster_specification() {
    for (key, slot) in [("foo", 12182), ("bar", 5061), ("hello", 866), ("somekey", 11058)] {
        assert_eq!(Slot::of_key(key.as_bytes()).number(), slot, "{key}");
    }
}

#[test]
fn the_hash_tag_is_the_first_non_empty_braced_part() {
    for (key, tag) in [
        ("{user1000}.following", "user1000"),
        ("foo{}{bar}", "foo{}{bar}"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
        ("{", "{"),
        ("}{", "}{"),
        ("a}b{c}", "c"),
        ("", ""),
    ] {
        assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "{key}");
    }
}

#[test]
fn a_slot_number_stays_below_16384() {
    assert_eq!(Slot::new(16_383).map(Slot::number), Some(16_383));
    assert_eq!(Slot::new(16_384), None);
    assert_eq!(Slot::all().count(), 16_384);
}

#[test]
fn versions_grow_whatever_the_clock_does() {
    assert_eq!(Version(10).next(5), Version(11));
    assert_eq!(Version(10).next(50), Version(50));
    assert_eq!(Version(10).next(10), Version(11));
}

#[test]
fn an_entry_dies_at_its_deadline_not_after() {
    let deadlines = Deadlines { hard: Some(UnixTime(100)), soft: Some(UnixTime(50)) };
    assert!(!deadlines.is_expired(UnixTime(99)));
    assert!(deadlines.is_expired(UnixTime(100)));
    assert!(!deadlines.is_stale(UnixTime(49)));
    assert!(deadlines.is_stale(UnixTime(50)));
    assert!(!Deadlines::NEVER.is_expired(UnixTime(u64::MAX)));
}

#[test]
fn time_saturates() {
    assert_eq!(Instant(5).since(Instant(9)), Duration::ZERO);
    assert_eq!(Instant(u64::MAX).after(Duration::MAX), Instant(u64::MAX));
    assert_eq!(UnixTime(5).after(Duration::from_micros(1999)), UnixTime(6));
    assert_eq!(UnixTime(5).remaining(UnixTime(9)), Duration::ZERO);
}

#[test]
fn the_generator_repeats_itself_and_stays_below_its_bound() {
    let (mut a, mut b) = (Prng::new(7), Prng::new(7));
    for bound in 1..1000 {
        let number = a.below(bound);
        assert_eq!(number, b.below(bound));
        assert!(number < bound);
    }
    assert_ne!(Prng::new(7).next_u64(), Prng::new(8).next_u64());
}

#[test]
fn a_weight_is_whole_hundredths_from_0_01_to_100() {
    for (weight, hundredths) in [
        (0.01, Some(1)),
        (1.0, Some(100)),
        (0.014, Some(1)),
        (0.015, Some(2)),
        (99.999, Some(10_000)),
        (100.0, Some(10_000)),
        (100.01, None),
        (0.009, None),
        (0.0, None),
        (-1.0, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
    ] {
        assert_eq!(Weight::from_f64(weight).map(Weight::hundredths), hundredths, "{weight}");
    }
    assert_eq!(Weight::from_hundredths(0), None);
    assert_eq!(Weight::from_hundredths(10_001), None);
    assert_eq!(Weight::from_hundredths(205).map(|weight| weight.to_string()), Some("2.05".into()));
}

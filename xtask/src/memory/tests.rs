//! The load of `bench memory`.

use super::{KEY_LEN, LENS, Lens, key, shuffle, value_len, write_value};

#[test]
fn no_value_fits_into_the_place_of_the_one_before() {
    for (number, round) in (0..1000).flat_map(|number| (1..4).map(move |round| (number, round))) {
        let (before, len) = (value_len(number, round - 1), value_len(number, round));
        assert!((LENS.0..=LENS.1).contains(&len));
        assert_ne!(before.next_multiple_of(4), len.next_multiple_of(4));
    }
}

#[test]
fn keys_and_values_are_told_apart() {
    assert_eq!(key(1_234_567), *b"00000000000000000000000001234567");
    assert_eq!(key(0).len(), KEY_LEN);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    write_value(7, (1, Lens::Other), &mut a);
    write_value(7, (2, Lens::Other), &mut b);
    assert_ne!(a, b);
    write_value(8, (1, Lens::Other), &mut b);
    assert_ne!(a, b);
}

#[test]
fn a_turnover_visits_every_key_once_and_not_in_order() {
    let mut numbers: Vec<u32> = (0..1000).collect();
    shuffle(&mut numbers, 1);
    assert!(!numbers.is_sorted());
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..1000));
}

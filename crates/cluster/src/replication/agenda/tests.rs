//! When slots are looked at.

use ringhold_types::time::Instant;

use super::{Agenda, Next, PATIENCE};

#[test]
fn what_is_fenced_is_left_alone_until_the_first_fence_ends() {
    let mut agenda = Agenda::new(100);
    agenda.fence(3, Instant(10));
    agenda.fence(4, Instant(20));
    assert!((0..=10).all(|at| agenda.due(Instant(at)).is_empty()));
    assert_eq!(agenda.due(Instant(11)), [3, 4]);
    agenda.keep(3, Next::Nothing);
    agenda.fence(4, Instant(20));
    assert!((11..=20).all(|at| agenda.due(Instant(at)).is_empty()));
    agenda.wake(4);
    assert_eq!(agenda.due(Instant(20)), [4], "something has happened to it");
    agenda.fence(4, Instant(20));
    assert_eq!(agenda.due(Instant(21)), [4]);
}

#[test]
fn what_waits_has_its_turn_in_each_fifth_tick_and_what_is_urgent_in_each() {
    let mut agenda = Agenda::new(200);
    (0..200).for_each(|idx| agenda.wake(idx));
    assert_eq!(agenda.due(Instant(0)).len(), 200, "all have just happened");
    let next = |idx: usize| match idx {
        7 => Next::Nothing,
        _ if idx.is_multiple_of(10) => Next::Tick,
        _ => Next::Turn,
    };
    (0..200).for_each(|idx| agenda.keep(idx, next(idx)));
    let mut seen = [0; 200];
    for _ in 0..PATIENCE {
        for idx in agenda.due(Instant(0)) {
            seen[idx] += 1;
            agenda.keep(idx, next(idx));
        }
    }
    for (idx, &seen) in seen.iter().enumerate() {
        let expected = match next(idx) {
            Next::Nothing => 0,
            Next::Turn => 1,
            Next::Tick => PATIENCE,
        };
        assert_eq!(seen, expected, "{idx}");
    }
}

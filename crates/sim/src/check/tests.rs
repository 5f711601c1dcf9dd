//! Facts about the checker.

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::check::acts::{Act, Timed, generations, split};
use crate::check::search::{Verdict, linearizable};
use crate::check::{Anomaly, brute, check};
use crate::history::{CallId, History, Key, Operation, Outcome, Reply, Value};
use crate::machine::HostId;
use crate::time::Moment;

const NEVER: u64 = u64::MAX;

fn timed(invoked: u64, returned: u64, act: Act) -> Timed {
    let [invoked, returned] = [Moment(invoked), Moment(returned)];
    Timed { act, invoked, returned, vanishes_from: Moment::NEVER }
}

fn vanishing(invoked: u64, returned: u64, value: u64, from: u64) -> Timed {
    Timed { vanishes_from: Moment(from), ..timed(invoked, returned, Act::Write(Value(value))) }
}

fn verdict(acts: &[Timed], expected: bool) {
    let found = linearizable(acts, 1_000_000);
    assert_eq!(found, if expected { Verdict::Yes } else { Verdict::No }, "{acts:?}");
    assert_eq!(brute::linearizable(acts), expected, "{acts:?}");
}

fn read(value: u64) -> Act {
    Act::Read(Value(value))
}

fn write(value: u64) -> Act {
    Act::Write(Value(value))
}

#[test]
fn a_read_sees_the_last_write_before_it() {
    verdict(&[timed(0, 1, write(1)), timed(2, 3, read(1))], true);
    verdict(&[timed(0, 1, write(1)), timed(2, 3, read(0))], false);
    verdict(&[timed(0, 1, write(1)), timed(2, 3, write(2)), timed(4, 5, read(1))], false);
}

#[test]
fn a_concurrent_write_is_seen_or_not() {
    verdict(&[timed(0, 5, write(1)), timed(2, 3, read(0))], true);
    verdict(&[timed(0, 5, write(1)), timed(2, 3, read(1))], true);
    verdict(&[timed(0, 5, write(1)), timed(1, 2, read(1)), timed(3, 4, read(0))], false);
}

#[test]
fn a_write_in_doubt_takes_effect_late_or_never_but_not_twice() {
    verdict(&[timed(0, NEVER, write(1)), timed(2, 3, read(0)), timed(4, 5, read(1))], true);
    verdict(&[timed(0, NEVER, write(1)), timed(2, 3, read(1)), timed(4, 5, read(0))], false);
    verdict(&[timed(0, NEVER, write(1)), timed(2, 3, read(0))], true);
}

#[test]
fn a_deletion_may_be_the_only_witness_of_a_write_in_doubt() {
    let deleted = |found| Act::Delete(Some(found));
    verdict(&[timed(0, NEVER, write(1)), timed(2, 3, deleted(true))], true);
    verdict(
        &[timed(0, NEVER, write(1)), timed(2, 3, deleted(true)), timed(4, 5, deleted(true))],
        false,
    );
    let twice = [timed(0, NEVER, write(1)), timed(0, NEVER, write(2))];
    verdict(&[twice[0], twice[1], timed(2, 3, deleted(true)), timed(4, 5, deleted(true))], true);
}

#[test]
fn a_key_vanishes_from_its_moment_on_and_stays_away() {
    verdict(&[vanishing(0, 1, 1, 10), timed(11, 12, read(0))], true);
    verdict(&[vanishing(0, 1, 1, 10), timed(8, 9, read(0))], false);
    verdict(&[vanishing(0, 1, 1, 10), timed(8, 10, read(0))], true);
    verdict(&[vanishing(0, 1, 1, 10), timed(11, 12, read(0)), timed(13, 14, read(1))], false);
    // What was seen gone at or after 10 cannot be followed by an act that ended before.
    let overlapping = [timed(8, 20, read(0)), timed(8, 9, read(1)), timed(11, 12, read(1))];
    verdict(&[vanishing(0, 1, 1, 10), overlapping[0], overlapping[1], overlapping[2]], true);
}

#[test]
fn a_counter_counts_each_increment_once() {
    let incr = |sum| Act::Incr(Some(Value(sum)));
    verdict(&[timed(0, 1, incr(1)), timed(2, 3, incr(2)), timed(4, 5, read(2))], true);
    verdict(&[timed(0, 1, incr(1)), timed(2, 3, incr(3))], false);
    verdict(&[timed(0, 1, incr(1)), timed(0, NEVER, Act::Incr(None)), timed(2, 3, incr(3))], true);
}

/// A random history of one key: of a real register with a moment for each act, then perhaps with one answer changed.
fn random_acts(prng: &mut Prng) -> Vec<Timed> {
    let count = 2 + prng.below(6);
    let has_counters = prng.chance(1, 4);
    let has_ttl = prng.chance(1, 3);
    let mut points: Vec<(u64, u64)> = (0..count).map(|idx| (prng.below(20), idx)).collect();
    points.sort_unstable();
    let (mut acts, mut value, mut gone_at) = (Vec::new(), 0, NEVER);
    for (at, idx) in points {
        if at >= gone_at && prng.chance(1, 2) {
            (value, gone_at) = (0, NEVER);
        }
        let own = idx + 1;
        let mut from = NEVER;
        let is_done = !prng.chance(1, 5);
        let happens = is_done || prng.chance(1, 2);
        let guess = if prng.chance(1, 2) { value } else { prng.below(count + 1) };
        let (act, after) = match prng.below(if has_counters { 5 } else { 4 }) {
            0 | 4 if has_counters => (Act::Incr(is_done.then_some(Value(value + 1))), value + 1),
            0 => (read(value), value),
            1 if has_counters => (read(value), value),
            1 => (write(own), own),
            2 => (Act::Delete(is_done.then_some(value != 0)), 0),
            _ if is_done && guess != value => (Act::CasRefused(Value(guess)), value),
            _ if has_counters => (read(value), value),
            _ => (Act::Cas(Value(value), Value(own)), own),
        };
        if has_ttl && matches!(act, Act::Write(_) | Act::Cas(..)) {
            from = at + prng.below(8);
        }
        let is_read = matches!(act, Act::Read(_) | Act::CasRefused(_));
        let returned = if is_done || is_read { at + prng.below(6) } else { NEVER };
        let invoked = at.saturating_sub(prng.below(6));
        acts.push(Timed { vanishes_from: Moment(from), ..timed(invoked, returned, act) });
        if happens || is_read {
            if after != value {
                gone_at = from;
            }
            value = after;
        }
    }
    if prng.chance(1, 2) {
        let count = acts.len() as u64;
        let act = &mut acts[usize::try_from(prng.below(count)).unwrap()];
        if let Act::Read(_) = act.act {
            act.act = read(prng.below(count + 1));
        } else if act.returned != Moment::NEVER {
            act.returned = Moment(act.invoked.0);
        }
    }
    acts.sort_by_key(|act| act.invoked);
    acts
}

#[test]
fn the_search_agrees_with_trying_every_order() {
    let (mut yes, mut no) = (0, 0);
    for seed in 0..20_000 {
        let acts = random_acts(&mut Prng::new(seed));
        let expected = brute::linearizable(&acts);
        let found = linearizable(&acts, 10_000_000);
        let expected_verdict = if expected { Verdict::Yes } else { Verdict::No };
        assert_eq!(found, expected_verdict, "seed {seed}: {acts:#?}");
        *(if expected { &mut yes } else { &mut no }) += 1;
    }
    assert!(yes > 1500, "{yes} of both verdicts");
    assert!(no > 1500, "{no} of both verdicts");
}

fn done(value: u64, generation: u64, version: u64) -> Outcome {
    Outcome::Done(Reply { value: Value(value), is_applied: true, version, generation })
}

/// Calls of one client, each with its time.
fn history(calls: &[(Operation, u64, u64, Outcome)]) -> History {
    let mut history = History::default();
    for (idx, (operation, invoked, returned, outcome)) in (0..).zip(calls) {
        history.invoked(HostId(0), CallId(idx), operation.clone(), Moment(*invoked));
        history.returned(HostId(0), CallId(idx), *outcome, Moment(*returned));
    }
    history
}

fn kind(calls: &[(Operation, u64, u64, Outcome)]) -> Option<&'static str> {
    check(&history(calls)).err().map(|Anomaly { kind, .. }| kind)
}

#[test]
fn a_reset_slot_begins_empty_and_never_goes_back() {
    let set = Operation::Set(Key(1), Value(7));
    let get = Operation::Get(Key(1));
    let call = |operation: &Operation, at: u64, outcome| (operation.clone(), at, at + 1, outcome);
    let first = call(&set, 0, done(0, 1, 0));
    assert_eq!(kind(&[first.clone(), call(&get, 2, done(0, 2, 0))]), None);
    assert_eq!(kind(&[first.clone(), call(&get, 2, done(0, 1, 0))]), Some("not-linearizable"));
    let old = [first.clone(), call(&get, 2, done(0, 2, 0)), call(&get, 4, done(7, 1, 0))];
    assert_eq!(kind(&old), Some("generation-back"));
    let carried = [first, call(&get, 2, done(7, 2, 0))];
    assert_eq!(kind(&carried), Some("value-in-two-generations"));
}

#[test]
fn a_version_never_goes_back_and_names_one_value() {
    let set = |value| Operation::Set(Key(1), Value(value));
    let call = |operation: Operation, at: u64, outcome| (operation, at, at + 1, outcome);
    let first = call(set(7), 0, done(0, 1, 50));
    assert_eq!(kind(&[first.clone(), call(set(8), 2, done(0, 1, 51))]), None);
    assert_eq!(kind(&[first.clone(), call(set(8), 2, done(0, 1, 50))]), Some("version-back"));
    assert_eq!(kind(&[first, call(set(8), 2, done(0, 1, 49))]), Some("version-back"));
    let both = [(set(7), 0, 3, done(0, 1, 50)), (set(8), 1, 2, done(0, 1, 50))];
    assert_eq!(kind(&both), Some("version-of-two-values"));
}

#[test]
fn what_was_not_executed_says_nothing_and_an_evictable_key_may_go() {
    let set = Operation::Set(Key(1), Value(7));
    let get = Operation::Get(Key(1));
    let refused = [(set.clone(), 0, 1, Outcome::NotApplied), (get.clone(), 2, 3, done(0, 1, 0))];
    assert_eq!(kind(&refused), None);
    let seen = [(set.clone(), 0, 1, Outcome::NotApplied), (get.clone(), 2, 3, done(7, 1, 0))];
    assert_eq!(kind(&seen), Some("not-linearizable"));
    let mut evicted = history(&[(set, 0, 1, done(0, 1, 0)), (get, 2, 3, done(0, 1, 0))]);
    assert!(check(&evicted).is_err());
    evicted.may_evict(Key(1), Moment::ZERO);
    assert_eq!(check(&evicted), Ok(()));
}

#[test]
fn a_key_with_a_time_to_live_goes_after_nine_tenths_of_it() {
    let ttl = Duration::from_nanos(1000);
    let set = (Operation::SetFor(Key(1), Value(7), ttl), 100, 101, done(0, 1, 0));
    let get = |at: u64| (Operation::Get(Key(1)), at, at + 1, done(0, 1, 0));
    assert_eq!(kind(&[set.clone(), get(1001)]), None);
    assert_eq!(kind(&[set, get(900)]), Some("not-linearizable"));
}

#[test]
fn a_write_in_doubt_belongs_to_the_generation_that_saw_it() {
    let set = (Operation::Set(Key(1), Value(7)), 0, 0, Outcome::Unknown);
    let get = |at: u64, value, generation| {
        (Operation::Get(Key(1)), at, at + 1, done(value, generation, 0))
    };
    let calls = [set, get(1, 0, 1), get(3, 7, 2), get(5, 7, 2)];
    assert_eq!(kind(&calls), None);
    let keys = split(&history(&calls));
    let split = generations(&keys[0]).unwrap();
    assert_eq!(
        split.iter().map(|(generation, acts)| (*generation, acts.len())).collect::<Vec<_>>(),
        [(1, 1), (2, 3)]
    );
}

#[test]
fn a_write_in_doubt_that_only_a_deletion_met_may_be_of_any_generation() {
    let set = (Operation::Set(Key(1), Value(7)), 0, 0, Outcome::Unknown);
    let delete = |at: u64| (Operation::Delete(Key(1)), at, at + 1, done(0, 1, 0));
    let get = |at: u64| (Operation::Get(Key(1)), at, at + 1, done(0, 2, 0));
    assert_eq!(kind(&[set.clone(), delete(1), get(3)]), None);
    let twice = [set, delete(1), delete(3), get(5)];
    assert_eq!(kind(&twice), Some("not-linearizable"), "it was written once");
}

#[test]
fn the_explanation_ends_at_the_act_that_cannot_be() {
    let set = |value, at: u64| (Operation::Set(Key(1), Value(value)), at, at + 1, done(0, 1, 0));
    let get = |value, at: u64| (Operation::Get(Key(1)), at, at + 1, done(value, 1, 0));
    let calls = [set(1, 0), get(1, 2), set(2, 4), get(1, 6), get(2, 8)];
    let anomaly = check(&history(&calls)).unwrap_err();
    assert!(anomaly.text.trim_end().ends_with("read 1"), "{}", anomaly.text);
}

/// A history of `count` operations of 12 clients over `keys` keys, as a right store with some doubt would give.
fn large_history(count: u64, keys: u64, seed: u64) -> History {
    let mut prng = Prng::new(seed);
    let mut history = History::default();
    let mut values = vec![0; usize::try_from(keys).unwrap()];
    let mut free_at = [0; 12];
    for idx in 0..count {
        let client = usize::try_from(prng.below(12)).unwrap();
        let invoked = free_at[client] + 1 + prng.below(50);
        let point = free_at.iter().copied().max().unwrap().max(invoked) + 1;
        let returned = point + 1 + prng.below(50);
        free_at[client] = returned;
        let key = usize::try_from(prng.below(keys)).unwrap();
        let call = CallId(u32::try_from(idx).unwrap());
        let key_of = Key(u32::try_from(key).unwrap());
        let host = HostId(u32::try_from(client).unwrap());
        let is_read = prng.chance(1, 2);
        let (operation, reply) = if is_read {
            (Operation::Get(key_of), values[key])
        } else {
            (Operation::Set(key_of, Value(idx + 1)), 0)
        };
        let is_known = !prng.chance(1, 100);
        if !is_read && (is_known || prng.chance(1, 2)) {
            values[key] = idx + 1;
        }
        history.invoked(host, call, operation, Moment(invoked));
        let outcome = if is_known { done(reply, 1, 0) } else { Outcome::Unknown };
        history.returned(host, call, outcome, Moment(returned));
    }
    history
}

#[test]
fn a_hundred_thousand_operations_take_few_steps() {
    let history = large_history(100_000, 200, 1);
    assert_eq!(check(&history), Ok(()));
    for key in split(&history) {
        for (_, acts) in generations(&key).unwrap() {
            let steps_max = acts.len() as u64 * 100;
            assert_eq!(linearizable(&acts, steps_max), Verdict::Yes, "key {:?}", key.key);
        }
    }
}

#[test]
fn a_search_without_end_is_given_up() {
    let acts = [timed(0, 1, write(1)), timed(2, 3, read(1)), timed(4, 5, read(2))];
    assert_eq!(linearizable(&acts, 1), Verdict::Undecided);
}

//! The proof that the simulator finds what it should: the right register passes, each flawed one is caught.

use crate::registers::ENTRIES;
use crate::runner::run;
use crate::swarm::Overrides;
use crate::system::Entry;

/// A flawed register is caught within this many seeds.
const SEEDS_MAX: u64 = 100;

fn entry(name: &str) -> Entry {
    ENTRIES.into_iter().find(|entry| entry.name == name).expect("it is registered")
}

/// A flawed register shows one of these anomalies within [`SEEDS_MAX`] seeds.
fn is_caught(name: &str, kinds: &[&str]) {
    let entry = entry(name);
    let found = (0..SEEDS_MAX).find(|&seed| {
        let anomaly = run(&entry, seed, &Overrides::default(), false).anomaly;
        anomaly.is_some_and(|anomaly| kinds.contains(&anomaly.kind))
    });
    assert!(found.is_some(), "{name} shows none of {kinds:?}");
}

#[test]
fn the_right_register_passes() {
    let entry = entry("register");
    let mut done = 0;
    for seed in 0..30 {
        let report = run(&entry, seed, &Overrides::default(), false);
        assert_eq!(report.anomaly, None, "seed {seed}");
        done += report.operations[1];
    }
    assert!(done > 50_000, "{done} operations were answered");
}

#[test]
fn acknowledging_before_replicating_is_caught() {
    is_caught("register-acks-early", &["not-linearizable"]);
}

#[test]
fn reading_from_any_node_is_caught() {
    is_caught("register-reads-anywhere", &["not-linearizable"]);
}

#[test]
fn forgetting_what_was_acknowledged_is_caught() {
    is_caught("register-forgets", &["not-linearizable"]);
}

#[test]
fn a_split_brain_is_caught() {
    is_caught("register-split-brain", &["not-linearizable"]);
}

#[test]
fn believing_in_a_lease_after_a_pause_is_caught() {
    is_caught("register-stale-lease", &["not-linearizable"]);
}

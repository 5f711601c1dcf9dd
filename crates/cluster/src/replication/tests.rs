//! A few nodes in virtual time, with the map kept by one place that never fails: the protocol between the copies of a
//! slot, without Raft and without real stores.

mod world;

use world::{Profile, World};

#[test]
fn nothing_acknowledged_is_lost_with_one_fault_at_a_time() {
    for seed in 0..16 {
        let mut world = World::new(seed, Profile::OneFault);
        world.run(20_000);
        world.heal(10_000);
        assert_eq!(world.resets(), 0, "seed {seed}: a slot came back empty");
        assert!(world.answers() > 1000, "seed {seed}: clients make progress");
    }
}

#[test]
fn what_is_lost_when_faults_overlap_is_lost_visibly() {
    let mut resets = 0;
    for seed in 1000..1016 {
        let mut world = World::new(seed, Profile::Chaos);
        world.run(20_000);
        world.heal(10_000);
        resets += world.resets();
    }
    assert!(resets > 0, "the faults are hard enough");
}

#[test]
fn a_seed_gives_one_run() {
    let digest = |seed| {
        let mut world = World::new(seed, Profile::Chaos);
        world.run(5_000);
        world.digest()
    };
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}

/// Each rule is taken out in turn, and the world must see it missing.
#[cfg(ringhold_mutants)]
#[test]
fn a_rule_that_is_taken_out_is_missed() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::mutants::{Rule, take_out};

    // Others need longer runs and profiles of their own: those of the simulator of whole nodes.
    let rules = [Rule::ReadLease, Rule::OutputGate, Rule::LongestLog, Rule::Sealing];
    let mut missed = Vec::new();
    for rule in rules {
        take_out(Some(rule));
        let finds = |seed| {
            let profile = if seed % 2 == 0 { Profile::OneFault } else { Profile::Chaos };
            let run = AssertUnwindSafe(|| {
                let mut world = World::new(seed, profile);
                world.run(20_000);
                world.heal(10_000);
                assert!(profile == Profile::Chaos || world.resets() == 0, "a slot came back empty");
            });
            catch_unwind(run).is_err()
        };
        match (0..SEEDS).find(|&seed| finds(seed)) {
            Some(seed) => eprintln!("{rule:?} is missed at seed {seed}"),
            None => missed.push(rule),
        }
    }
    take_out(None);
    assert!(missed.is_empty(), "nobody misses {missed:?}");
}

/// How many seeds a rule is looked for in.
#[cfg(ringhold_mutants)]
const SEEDS: u64 = 300;

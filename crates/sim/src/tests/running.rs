//! Facts about mixes, runs, smaller runs, kept seeds and coverage.

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

use crate::coverage::{Coverage, Minimum, Shares};
use crate::digest::Digest;
use crate::faults::{FaultKind, KindSet};
use crate::history::{Operation, Reply, Value};
use crate::minimize::{flags, minimize};
use crate::registers::ENTRIES;
use crate::runner::run;
use crate::seeds::{Kept, parse};
use crate::swarm::{Mix, Mode, Overrides};
use crate::workload::{Source, Weights};

#[test]
fn a_seed_run_twice_is_the_same_run() {
    for seed in 0..6 {
        let run = || run(&ENTRIES[0], seed, &Overrides::default(), false);
        let (one, other) = (run(), run());
        assert_eq!(one.digest, other.digest, "seed {seed}");
        assert_eq!(one.counts, other.counts, "seed {seed}");
    }
}

#[test]
fn nothing_is_found_in_the_cluster_with_one_fault_at_a_time() {
    for seed in 0..3 {
        let mode = Some(Mode::OneAtATime);
        let overrides = Overrides { duration_ms: Some(4_000), mode, ..Overrides::default() };
        let run = || run(&crate::cluster::ENTRIES[0], seed, &overrides, false);
        let report = run();
        assert!(report.anomaly.is_none(), "seed {seed}: {:?}", report.anomaly);
        assert!(report.operations[1] > 200, "seed {seed}: clients make progress");
        assert!(seed > 0 || report.digest == run().digest, "a seed is one run");
    }
}

#[test]
fn a_trace_changes_nothing_and_tells_of_faults() {
    let plain = run(&ENTRIES[0], 3, &Overrides::default(), false);
    let traced = run(&ENTRIES[0], 3, &Overrides::default(), true);
    assert_eq!(plain.digest, traced.digest);
    assert!(plain.trace.is_empty());
    assert!(traced.trace.iter().any(|line| line.contains("fault: ")));
}

#[test]
fn mixes_differ_and_overrides_change_only_what_they_name() {
    let profile = (ENTRIES[0].make)().profile();
    let draw = |seed, overrides: &Overrides| Mix::draw(seed, &profile, overrides);
    let (mut alone, mut kinds) = (0, [0; FaultKind::ALL.len()]);
    for seed in 0..400 {
        let mix = draw(seed, &Overrides::default());
        alone += u32::from(mix.mode == Mode::OneAtATime);
        mix.kinds.iter().for_each(|kind| kinds[kind as usize] += 1);
        assert!((3..=7).contains(&mix.nodes));
        let without = KindSet::of(&[FaultKind::Kill]);
        let overrides = Overrides { without, clients: Some(1), ..Overrides::default() };
        let other = draw(seed, &overrides);
        assert_eq!(other.kinds, mix.kinds.without(without));
        assert_eq!((other.clients, other.nodes, other.keys), (1, mix.nodes, mix.keys));
        assert_eq!(other.fault_gap, mix.fault_gap);
    }
    assert!((150..250).contains(&alone), "{alone} of 400 with one fault at a time");
    for kind in KindSet::COMMON.iter() {
        let seeds = kinds[kind as usize];
        assert!((100..350).contains(&seeds), "{} in {seeds} of 400", kind.name());
    }
    assert_eq!(kinds[FaultKind::Own as usize], 0);
}

#[test]
fn a_failing_seed_becomes_smaller_and_still_fails() {
    let entry = ENTRIES.iter().find(|entry| entry.name == "register-acks-early").unwrap();
    let fails = |seed: &u64| run(entry, *seed, &Overrides::default(), false).anomaly.is_some();
    let seed = (0..100).find(fails).unwrap();
    let small = minimize(entry, seed, &Overrides::default());
    assert_ne!(small, Overrides::default());
    let report = run(entry, seed, &small, false);
    assert!(report.anomaly.is_some());
    assert_eq!(minimize(entry, seed, &small), small, "as small as it gets");
    let line = format!("{} {seed}{}", entry.name, flags(&small));
    let kept = parse(&line).unwrap();
    assert_eq!(kept[0].overrides, small, "its flags say it all: {line}");
}

#[test]
fn kept_seeds_are_read_with_their_flags_and_comments() {
    let text = "# all of it\n\nregister 17 # a reason\nregister 3 --without kill,disk-full --clients 2\nregister 4 --duration-ms 500 --mode chaos\n";
    let kept = parse(text).unwrap();
    assert_eq!(kept.len(), 3);
    let plain = Kept { system: "register".to_owned(), seed: 17, overrides: Overrides::default() };
    assert_eq!(kept[0], plain);
    assert_eq!(kept[1].overrides.without, KindSet::of(&[FaultKind::Kill, FaultKind::DiskFull]));
    assert_eq!(kept[1].overrides.clients, Some(2));
    assert_eq!(kept[2].overrides.duration_ms, Some(500));
    assert_eq!(kept[2].overrides.mode, Some(Mode::Chaos));
    for (bad, line) in
        [("x", 1), ("\nregister x", 2), ("register 1 --clients", 1), ("register 1 --without no", 1)]
    {
        assert_eq!(parse(bad).unwrap_err().0, line, "{bad}");
    }
}

#[test]
fn every_kind_of_fault_is_found_by_its_name() {
    for kind in FaultKind::ALL {
        assert_eq!(FaultKind::named(kind.name()), Some(kind));
    }
    assert_eq!(FaultKind::named("nothing"), None);
    assert!(!KindSet::COMMON.has(FaultKind::Own));
    assert_eq!(KindSet::COMMON.iter().count(), FaultKind::ALL.len() - 1);
}

#[test]
fn coverage_is_the_share_of_seeds() {
    let mut shares = Shares::default();
    for seed in 0..4 {
        let mut coverage = Coverage::default();
        coverage.count("always");
        if seed == 0 {
            coverage.count("once");
            coverage.count("once");
        }
        shares.add(&coverage);
    }
    assert_eq!(shares.percent("always"), 100);
    assert_eq!(shares.percent("once"), 25);
    assert_eq!(shares.percent("never"), 0);
    let minimums = ["always", "once", "never"].map(|event| Minimum { event, percent: 26 });
    let missed: Vec<&str> = shares.missed(&minimums).iter().map(|one| one.event).collect();
    assert_eq!(missed, ["once", "never"]);
}

#[test]
fn a_workload_has_unique_values_and_what_its_weights_say() {
    let weights = Weights { get: 3, set: 2, set_for: 1, delete: 1, cas: 2, set_many: 1 };
    let mut values = std::collections::BTreeSet::new();
    let mut counts = [0; 7];
    for client in 0..3 {
        let mut source = Source::new(9, client, 40, weights);
        for _ in 0..2000 {
            let (operation, version) = source.next_operation();
            let mut written = Vec::new();
            let kind = match &operation {
                Operation::Get(key) => {
                    let value = Value(u64::from(key.0) + 1);
                    let reply = Reply { value, is_applied: true, version: 5, generation: 1 };
                    source.answered(&operation, &reply);
                    0
                }
                Operation::Set(_, value) => {
                    written.push(*value);
                    1
                }
                Operation::SetFor(_, value, ttl) => {
                    assert!(*ttl > Duration::ZERO);
                    written.push(*value);
                    2
                }
                Operation::Delete(_) => 3,
                Operation::Cas { key, expected, value } => {
                    assert_eq!((expected.0, version), (u64::from(key.0) + 1, 5));
                    written.push(*value);
                    4
                }
                Operation::Incr(key) => {
                    assert_eq!(key.0 % 4, 3);
                    5
                }
                Operation::SetMany(pairs) => {
                    let groups: Vec<u32> = pairs.iter().map(|pair| pair.0.0 / 8).collect();
                    assert!(groups.windows(2).all(|pair| pair[0] == pair[1]), "of one group");
                    written.extend(pairs.iter().map(|pair| pair.1));
                    6
                }
            };
            counts[kind] += 1;
            assert!(written.into_iter().all(|value| values.insert(value)), "each value once");
        }
    }
    assert!(counts.iter().all(|&count| count > 150), "{counts:?}");
}

#[test]
fn a_digest_notices_every_byte_and_every_length() {
    let of = |bytes: &[u8]| {
        let mut digest = Digest::new();
        digest.add_bytes(bytes);
        digest.0
    };
    let mut prng = Prng::new(1);
    for len in 0..40 {
        let bytes: Vec<u8> = (0..len).map(|_| prng.next_u64().to_le_bytes()[0]).collect();
        let mut longer = bytes.clone();
        longer.push(0);
        assert_ne!(of(&bytes), of(&longer));
        for idx in 0..bytes.len() {
            let mut other = bytes.clone();
            other[idx] ^= 1;
            assert_ne!(of(&bytes), of(&other));
        }
    }
}

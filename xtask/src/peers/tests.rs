//! Tests of the harness' parts that need no server.

use super::{CASES, Peer, compare, free_port, start_peer};

#[test]
fn every_case_has_a_reachable_goal_and_its_own_name() {
    for (idx, case) in CASES.iter().enumerate() {
        assert!(case.4 >= case.3, "{}", case.0);
        assert!(CASES[..idx].iter().all(|other| other.0 != case.0));
    }
}

#[test]
fn a_free_port_is_not_zero() {
    assert_ne!(free_port().unwrap(), 0);
}

#[test]
#[ignore = "needs redis-server and the release build of ringhold, and takes seconds"]
fn redis_costs_as_much_as_redis() {
    let tool = crate::tidy::root().join("target/release/ringhold");
    let (a, b) = (start_peer(Peer::Redis).unwrap(), start_peer(Peer::Redis).unwrap());
    let row = compare(&tool, &CASES[2], &a, &b, 3, 1).unwrap();
    let median = row["median"].as_f64().unwrap();
    assert!((0.7..1.4).contains(&median), "{row}");
}

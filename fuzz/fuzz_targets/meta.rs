//! The metadata log: whatever peers send, a node goes on, keeps its invariants, and writes files that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold_cluster::meta::exercise::exercise;

fuzz_target!(|data: &[u8]| {
    let _stepped = exercise(data);
});

//! Files of the metadata log: whatever they hold, they are read or refused; what is read starts a node.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold_cluster::meta::exercise::exercise_file;

fuzz_target!(|data: &[u8]| {
    let _is_read = exercise_file(data);
});

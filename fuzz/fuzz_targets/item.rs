//! The codec of items: whatever is encoded is decoded, and what is changed in place is all that changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold_store::item::check::check;

fuzz_target!(|data: &[u8]| {
    let _shape = check(data);
});

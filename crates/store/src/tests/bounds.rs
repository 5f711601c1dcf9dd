//! The work of a call is bounded (G5 of the design), whatever the call, the entries and the log are.

use super::world::Call;
use crate::budget::Geometry;
use crate::shard::{EVACUATIONS_MAX, Work};

/// The most words that a call moves to other tables.
const WORDS_MAX: u64 = 32 * 1024;

/// Asserts the bounds of one call, on a shard of so many spaces, where some entries may have to be kept.
///
/// An evacuation that finds no room for a copy stops, and the next space is tried: only where entries have to be kept
/// can that be, and only there a call evacuates in more than one space.
pub(super) fn check(geometry: &Geometry, call: Call, (spaces, is_kept): (usize, bool), work: Work) {
    let seg_bytes = u64::try_from(geometry.seg_len).expect("a length");
    let spaces = u64::try_from(spaces).expect("a count");
    let tried = if is_kept { spaces } else { 1 };
    let most = match call {
        Call::Update => tried * EVACUATIONS_MAX,
        // Room for the pages, and then for the entry.
        Call::Large { charge } => tried * (2 * EVACUATIONS_MAX + 2 * charge / seg_bytes),
        // In each space what expired, and what is over its quota; then what is over the limit.
        Call::Tick => spaces * 2 * EVACUATIONS_MAX + tried * EVACUATIONS_MAX,
        Call::Evict => tried,
        // Room for the tables, then what is over the quota.
        Call::Configure => tried * EVACUATIONS_MAX + EVACUATIONS_MAX,
        Call::Other => 0,
    };
    assert!(work.evacuations <= most, "{call:?} in {spaces} spaces: {work:?}, at most {most}");
    assert!(work.bytes_moved <= work.evacuations * seg_bytes, "{call:?}: {work:?}");
    assert!(work.words_moved <= WORDS_MAX, "{call:?}: {work:?}");
}

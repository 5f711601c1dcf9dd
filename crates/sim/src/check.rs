//! Is the history that the clients saw possible at all? One check per key, fast enough for every seed.
//!
//! A history is *linearizable* (Herlihy and Wing, TOPLAS 1990) if each operation can be given one moment between its
//! invocation and its response such that the operations, executed alone in that order, answer as they did. Per key this
//! is searched for ([`search`]); keys are independent (locality, section 3.2 of that paper). Generations of a slot are
//! histories of their own, each beginning empty ([`acts`] splits them), and may not go back in real time; versions name
//! values and may not go back either ([`order`]).
//!
//! A key with a time to live, or in a space that evicts, may vanish at any moment from a given one on, without anybody
//! asking; once gone only a write brings it back.
//!
//! Left out: atomicity across the keys of a `SetMany`, each of which is checked as a write of its own.

pub mod acts;
pub mod order;
pub mod search;

#[cfg(test)]
mod brute;
#[cfg(test)]
mod tests;

use core::fmt::Write;

use crate::check::acts::{KeyHistory, Timed};
use crate::check::search::Verdict;
use crate::history::History;

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Which check failed: a short name that stays the same while a seed is minimized.
    pub kind: &'static str,
    /// What was seen, for people.
    pub text: String,
}

/// Steps of the search per key and generation, beyond which it gives up.
pub const STEPS_MAX: u64 = 20_000_000;
/// Acts shown before the one that cannot be explained.
const SHOWN_MAX: usize = 16;

/// Checks every key of a history.
///
/// # Errors
///
/// The first anomaly, by key: `not-linearizable`, `generation-back`, `value-in-two-generations`, `version-back`,
/// `version-of-two-values`, or `undecided` when a search took more than [`STEPS_MAX`] steps.
pub fn check(history: &History) -> Result<(), Anomaly> {
    for key in acts::split(history) {
        for (generation, acts) in acts::generations(&key)? {
            match search::linearizable(&acts, STEPS_MAX) {
                Verdict::Yes => {}
                Verdict::Undecided => {
                    let text =
                        format!("key {} generation {generation}: too many orders", key.key.0);
                    return Err(Anomaly { kind: "undecided", text });
                }
                Verdict::No => {
                    let text = explain(&key, generation, &acts);
                    return Err(Anomaly { kind: "not-linearizable", text });
                }
            }
        }
        order::check(&key)?;
    }
    Ok(())
}

/// The shortest beginning of the history that is impossible, its last acts.
fn explain(key: &KeyHistory, generation: u64, acts: &[Timed]) -> String {
    let mut ends: Vec<u64> =
        acts.iter().map(|act| act.returned.0).filter(|&at| at != u64::MAX).collect();
    ends.sort_unstable();
    let is_possible = |end: u64| {
        let known: Vec<Timed> = acts.iter().filter_map(|act| act.known_at(end)).collect();
        search::linearizable(&known, STEPS_MAX) == Verdict::Yes
    };
    let first = ends.partition_point(|&end| is_possible(end)).min(ends.len().saturating_sub(1));
    let end = ends.get(first).copied().unwrap_or(u64::MAX);
    let mut shown: Vec<&Timed> = acts.iter().filter(|act| act.invoked.0 <= end).collect();
    shown.sort_by_key(|act| (act.returned, act.invoked));
    let is_late = |act: &&&Timed| act.returned.0 <= end;
    let done = shown.iter().filter(is_late).count();
    let from = done.saturating_sub(SHOWN_MAX);
    let mut text = format!("key {} generation {generation}: no order explains", key.key.0);
    for act in &shown[from..] {
        write!(text, "\n    {act}").expect("writing to a string");
    }
    text
}

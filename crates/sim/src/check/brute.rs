//! The naive twin of the search: tries every order of every choice of acts in doubt.

use crate::check::acts::Timed;
use crate::check::search::State;
use crate::time::Moment;

/// Whether an order explains the acts. Exponential.
pub(crate) fn linearizable(acts: &[Timed]) -> bool {
    explains(acts, &mut vec![false; acts.len()], State::ABSENT, 0)
}

/// Whether the acts that are not done can follow, each at a moment not before `from`.
fn explains(acts: &[Timed], done: &mut [bool], state: State, from: u64) -> bool {
    let is_open = |idx: &usize| !done[*idx] && acts[*idx].returned != Moment::NEVER;
    if (0..acts.len()).filter(is_open).count() == 0 {
        return true;
    }
    // The key vanishes: at the earliest moment that is left.
    if state.value != 0 && state.vanishes_from != u64::MAX {
        let at = from.max(state.vanishes_from);
        let fits = (0..acts.len()).filter(is_open).all(|idx| acts[idx].returned.0 >= at);
        if fits && explains(acts, done, State::ABSENT, at) {
            return true;
        }
    }
    for idx in 0..acts.len() {
        if done[idx] {
            continue;
        }
        let at = from.max(acts[idx].invoked.0);
        if at > acts[idx].returned.0 {
            continue;
        }
        let Some(next) = state.after(&acts[idx]) else { continue };
        done[idx] = true;
        let is_explained = explains(acts, done, next, at);
        done[idx] = false;
        if is_explained {
            return true;
        }
    }
    false
}

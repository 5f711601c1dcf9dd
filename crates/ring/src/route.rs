//! Whom to ask about a slot.

use crate::owners::NodeIdx;

/// What the asker needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A write, or a read of the newest state: the primary decides, everybody else forwards.
    Primary,
    /// A read that may be a little old: any owner answers it. The number, for example a counter of requests, chooses where to begin.
    AnyOwner(usize),
}

/// The node to ask next, or `None` when there is nobody left.
///
/// `owners` are those of the newest map that the asker has, the primary first; `others` are nodes that own nothing here but forward. `may_ask` says whether a node is reachable and
/// was not asked in vain already. Owners come first, backups after the primary in their order: a backup that took over, or whose map is newer, saves a hop; any node that answers
/// knows the way. Cost: one call of `may_ask` for each node passed; no allocation.
#[must_use]
pub fn route(
    owners: &[NodeIdx],
    others: &[NodeIdx],
    need: Need,
    mut may_ask: impl FnMut(NodeIdx) -> bool,
) -> Option<NodeIdx> {
    let start = match need {
        Need::Primary => 0,
        Need::AnyOwner(number) => number.checked_rem(owners.len()).unwrap_or(0),
    };
    let (before, after) = owners.split_at_checked(start).unwrap_or((owners, &[]));
    after.iter().chain(before).chain(others).copied().find(|&node| may_ask(node))
}

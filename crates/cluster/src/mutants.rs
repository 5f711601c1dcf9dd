//! Rules that can be taken out one at a time, so that the simulator is seen to miss them.
//!
//! Only builds with `--cfg ringhold_mutants` have them; in every other one [`without`] is false at compile time.

/// A rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A new primary waits until what was granted to the old one has run out.
    Fence,
    /// A read needs the lease of every required member.
    ReadLease,
    /// A read lease counts only when the map is as new as its grantor's.
    LeaseIdx,
    /// A member is required from the proposal of its addition on.
    PendingAdditions,
    /// A reply waits until what it tells is on every required member.
    OutputGate,
    /// A read that saw an eviction waits for it.
    EvictionGate,
    /// Evictions are made only by a serving primary.
    EvictionPhase,
    /// A suspect counts until its removal is committed.
    SuspectCounts,
    /// A write that may have been executed is never redirected.
    InDoubt,
    /// A new primary takes over the longest log.
    LongestLog,
    /// A backup that learned of an epoch takes nothing of older ones.
    Sealing,
    /// A transfer ends with the operations after the commit.
    TransferTail,
    /// A hole in a transfer voids it.
    TransferHole,
    /// An acknowledgement counts in its session only.
    SessionIds,
    /// A transfer ends the stint that it began in.
    Stints,
    /// An older map changes no role that a newer primary gave.
    AuthVer,
    /// A restarted process is another member.
    NewIncarnation,
    /// A process registers only after the incarnation that it knows of.
    RegisterAfter,
    /// Nothing is answered without a metadata lease where slots may be reset.
    MetaLease,
    /// A member accuses only while the metadata leader answers it.
    RightToAccuse,
    /// An accusation of a member that is heard is held, and those who suspect are counted.
    Arbitration,
    /// So are the leader's own, and those right after an election.
    LeaderHold,
    /// An accusation lapses when its accuser is silent or suspects no longer.
    AccusationLapse,
    /// A leader that others suspect gives way.
    Abdication,
    /// Many that fall silent together are not declared dead.
    ManySilent,
    /// Silence counts afresh after that.
    SilenceAfresh,
    /// A leader that was late itself declares nobody dead.
    LateLeader,
    /// What a leader measured counts in its term only.
    TermOnDeath,
}

#[cfg(ringhold_mutants)]
mod switch {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static WITHOUT: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Takes one rule out, for what this thread simulates; `None`: all hold.
    pub fn take_out(rule: Option<Rule>) {
        WITHOUT.with(|without| without.set(rule));
    }

    /// Whether the rule is taken out.
    #[must_use]
    pub fn without(rule: Rule) -> bool {
        WITHOUT.with(|without| without.get() == Some(rule))
    }
}

#[cfg(ringhold_mutants)]
pub use switch::{take_out, without};

/// Whether the rule is taken out.
#[cfg(not(ringhold_mutants))]
#[inline]
#[must_use]
pub const fn without(_rule: Rule) -> bool {
    false
}

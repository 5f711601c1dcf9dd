//! The state of one copy of a slot.

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use ringhold_types::id::{Epoch, Generation, MapIdx, Member, Seq};
use ringhold_types::time::Instant;

use super::{TAIL_COUNT_MAX, TAIL_LEN_MAX, Ticket, Want};
use crate::map::FILLING_MAX;
use crate::message::{Operation, Position, Stamp};
use crate::mutants::{Rule, without};

/// What a member is to a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Nothing; it has no data of it.
    #[default]
    Idle,
    /// It is being given the slot's data in this session.
    Filling(u64),
    /// It follows the primary; whether it may take over is said by the map.
    Backup,
    /// It orders the slot's operations, in some phase.
    Primary(Phase),
}

/// How far a primary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What was granted to earlier primaries has not run out.
    Fence,
    /// The logs of the in-sync members are made equal.
    Sync,
    /// Requests are executed.
    Serving,
    /// No new request is executed, so that this successor can be named.
    Quiesce(Member),
}

/// The operations after a position, with what each of them touched.
#[derive(Debug, Default)]
pub(super) struct Tail {
    base: Position,
    operations: VecDeque<Operation>,
    /// For each operation what it touched; see [`super::Replicas::append`].
    touched: VecDeque<u64>,
    len: usize,
}

/// What an operation touches that concerns every key of the slot.
pub(super) const TOUCHES_ALL: u64 = 0;

impl Tail {
    /// What is before the first operation.
    pub(super) fn base(&self) -> Position {
        self.base
    }

    /// The last operation.
    pub(super) fn last(&self) -> Position {
        self.at(Seq(self.base.seq.0 + self.operations.len() as u64)).unwrap_or(self.base)
    }

    /// The operation `seq`, or the base; `None`: it is not kept.
    pub(super) fn at(&self, seq: Seq) -> Option<Position> {
        if seq == self.base.seq {
            return Some(self.base);
        }
        let epoch = self.operations.get(self.index(seq)?)?.epoch;
        Some(Position { epoch, seq })
    }

    /// The operation `seq`.
    pub(super) fn operation(&self, seq: Seq) -> Option<&Operation> {
        self.operations.get(self.index(seq)?)
    }

    fn index(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.base.seq.0 + 1)?).ok()
    }

    /// All operations after `seq`, which is kept or the base, `len_max` bytes of effects of them but at least one.
    pub(super) fn after(&self, seq: Seq, len_max: usize) -> Vec<Operation> {
        let first = self.index(seq.next()).unwrap_or(0);
        let mut len = 0;
        let within = self.operations.iter().skip(first).take_while(|operation| {
            let is_first = len == 0;
            len += operation.effect.len();
            is_first || len <= len_max
        });
        within.cloned().collect()
    }

    pub(super) fn push(&mut self, operation: Operation, touched: u64) {
        self.len += operation.effect.len();
        self.operations.push_back(operation);
        self.touched.push_back(touched);
    }

    /// Forgets the operations up to `seq`.
    pub(super) fn trim(&mut self, seq: Seq) {
        while self.base.seq < seq {
            let Some(operation) = self.operations.pop_front() else { return };
            self.touched.pop_front();
            self.len -= operation.effect.len();
            self.base = Position { epoch: operation.epoch, seq: self.base.seq.next() };
        }
    }

    /// The last operation that touched one of `keys`; [`TOUCHES_ALL`] among them: any operation.
    pub(super) fn last_touching(&self, keys: &[u64]) -> Option<Seq> {
        let is_any = keys.contains(&TOUCHES_ALL);
        let touches = |touched: &u64| is_any || *touched == TOUCHES_ALL || keys.contains(touched);
        let at = self.touched.iter().rposition(touches)?;
        Some(Seq(self.base.seq.0 + 1 + at as u64))
    }

    pub(super) fn count(&self) -> usize {
        self.operations.len()
    }

    /// Begins anew after `base`.
    pub(super) fn reset(&mut self, base: Position) {
        *self = Self { base, ..Self::default() };
    }
}

/// One copy of a slot.
#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) role: Role,
    /// The highest epoch that was accepted; nothing of a lower one is.
    pub(super) promised: Epoch,
    /// The highest configuration that a session we follow was named with.
    pub(super) auth_ver: MapIdx,
    /// Whom we follow.
    pub(super) follows: Option<Member>,
    /// Its session with us.
    pub(super) sid: u64,
    pub(super) generation: Generation,
    /// The stint that our data was filled in.
    pub(super) stint: MapIdx,
    /// The parts of the transfer that have come.
    pub(super) parts: u64,
    pub(super) tail: Tail,
    pub(super) commit: Seq,
    /// What was granted to earlier primaries ends then.
    pub(super) fence_until: Instant,
    /// A check failed: this copy answers nothing until a map without it, or a new generation.
    pub(super) is_void: bool,
    /// It has no room for further operations.
    pub(super) is_full: bool,
    pub(super) primary: Option<Box<Primary>>,
}

/// What only a primary has.
#[derive(Debug, Default)]
pub(super) struct Primary {
    pub(super) followers: Vec<Follower>,
    pub(super) transfers: ArrayVec<Transfer, FILLING_MAX>,
    /// Members whose addition was proposed under the present configuration.
    pub(super) pending_add: ArrayVec<Member, FILLING_MAX>,
    /// Backups that have no room, or hold nothing.
    pub(super) gave_up: ArrayVec<Member, FILLING_MAX>,
    /// What the metadata leader wants, and of which configuration.
    pub(super) want: Option<(MapIdx, Want)>,
    /// The clocks at the last operation.
    pub(super) stamp: Stamp,
    /// Replies that wait for the commit of an operation, in that order.
    pub(super) gated: VecDeque<Gated>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Gated {
    pub(super) gate: Seq,
    pub(super) ticket: Ticket,
    pub(super) is_write: bool,
}

/// A backup as its primary sees it.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    pub(super) member: Member,
    pub(super) sid: u64,
    /// The stint it was filled in by this primary; 0: it was in sync before.
    pub(super) stint: MapIdx,
    /// The next operation to send.
    pub(super) next: Seq,
    /// It has everything up to here.
    pub(super) matched: Seq,
    /// The commit that it was told.
    pub(super) told: Seq,
    /// Whether it has answered in this session.
    pub(super) is_synced: bool,
    /// When something was last sent that it has to answer.
    pub(super) sent_at: Instant,
    /// When it last answered.
    pub(super) answered_at: Instant,
}

/// A member that is being given the slot's data.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) member: Member,
    pub(super) stint: MapIdx,
    pub(super) sid: u64,
    /// Where the walk goes on; `None`: at the beginning.
    pub(super) cursor: Option<u64>,
    /// The parts sent.
    pub(super) parts: u64,
    pub(super) progress_at: Instant,
}

impl Replica {
    /// Forgets the log; the data is the store's to forget.
    pub(super) fn forget(&mut self) {
        self.tail.reset(Position::default());
        self.commit = Seq(0);
        self.is_full = false;
    }

    /// The backup `member`, when `sid` is the session with it.
    pub(super) fn follower(&mut self, member: Member, sid: u64) -> Option<&mut Follower> {
        let mut followers = self.primary.as_mut()?.followers.iter_mut();
        followers.find(|follower| {
            follower.member == member && (follower.sid == sid || without(Rule::SessionIds))
        })
    }

    /// Whether each tick matters: replies wait, or there is data to send. All else goes on when something comes: an
    /// answer, a map, the end of a fence.
    pub(super) fn is_urgent(&self) -> bool {
        let primary = self.primary.as_ref();
        primary.is_some_and(|primary| !primary.transfers.is_empty() || !primary.gated.is_empty())
    }

    /// Whether writes have to wait for others to be acknowledged.
    pub(super) fn is_tail_full(&self) -> bool {
        self.tail.count() >= TAIL_COUNT_MAX || self.tail.len >= TAIL_LEN_MAX
    }

    /// Forgets the operations that nobody will be sent any more.
    pub(super) fn trim(&mut self) {
        let followers = self.primary.iter().flat_map(|primary| &primary.followers);
        let kept = followers.map(|follower| follower.matched).fold(self.commit, Seq::min);
        self.tail.trim(kept);
    }
}

//! Fill leases of one shard: of all callers who miss a key, one fills it while the others wait or take what is stale.
//!
//! (Nishtala and others, "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1.) A lease ends when the key is written
//! or deleted, whoever does it, and when its time is over; a fill under a lease that has ended is refused, so that what
//! was deleted meanwhile does not come back from an old read. Keys are known by namespace and hash: two keys of equal
//! 64-bit hash would share a lease.
//!
//! Invariant: the bytes of every lease are charged to the budget.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use ringhold_store::budget::Budget;
use ringhold_store::hash::KeyHash;
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::Slot;
use ringhold_types::time::{Duration, Now, UnixTime};

/// What a lease is charged, in bytes: its row and the tree around it.
const CHARGE: u64 = 160;

/// The most callers who are woken by the end of a lease, over all leases of a shard; more ask again by themselves.
const WAITING_MAX: usize = 1024;
/// How long a caller who is not woken waits before it asks again.
const RETRY: Duration = Duration::from_millis(100);

/// What became of the wish for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The caller fills, under this number.
    Granted(u64),
    /// Another caller fills; until then at most.
    Held(UnixTime),
    /// There is no room for one lease more.
    NoRoom,
}

/// The lease has ended: its time is over, or its key was written or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLost;

#[derive(Debug)]
struct Lease {
    number: u64,
    slot: Slot,
    end: UnixTime,
    /// The time to live of the fill, if its write names none.
    ttl: Option<Duration>,
    waiting: Vec<Waker>,
}

/// The leases of a shard.
#[derive(Debug)]
pub struct Leases {
    rows: BTreeMap<(NamespaceId, u64), Lease>,
    /// The last number given; grows with the clock, so that no number of a run before is given again.
    last: u64,
    /// No lease ends before this.
    first_end: UnixTime,
    /// The wakers of all leases.
    waiting: usize,
    budget: Arc<Budget>,
}

impl Leases {
    /// No leases, charged to `budget` when they come.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { rows: BTreeMap::new(), last: 0, first_end: UnixTime(u64::MAX), waiting: 0, budget }
    }

    /// Whether there is no lease.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of leases, those included whose end was not noticed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Gives the lease of a key to the caller, for `within`, unless somebody has it.
    pub fn claim(
        &mut self,
        (namespace, at): (NamespaceId, KeyHash),
        now: Now,
        within: Duration,
        ttl: Option<Duration>,
    ) -> Claim {
        let row = (namespace, at.hash);
        match self.rows.get(&row) {
            Some(lease) if lease.end > now.unix() => return Claim::Held(lease.end),
            Some(_) => self.remove(row),
            None => {}
        }
        if !self.budget.charge(CHARGE) {
            return Claim::NoRoom;
        }
        self.last = (self.last + 1).max(now.unix_micros);
        let (number, end) = (self.last, now.unix().after(within));
        self.first_end = self.first_end.min(end);
        self.rows.insert(row, Lease { number, slot: at.slot, end, ttl, waiting: Vec::new() });
        Claim::Granted(number)
    }

    /// The time to live that a fill under this lease gets when it names none.
    ///
    /// # Errors
    ///
    /// When there is no such lease any more.
    pub fn terms(
        &self,
        (namespace, at): (NamespaceId, KeyHash),
        number: u64,
        now: Now,
    ) -> Result<Option<Duration>, LeaseLost> {
        let lease = self.rows.get(&(namespace, at.hash)).ok_or(LeaseLost)?;
        let is_held = lease.number == number && lease.end > now.unix();
        if is_held { Ok(lease.ttl) } else { Err(LeaseLost) }
    }

    /// Has `waker` woken when the lease of a key ends otherwise than by its time; when to ask again in any case: when its
    /// time is over, or soon, if too many wait already to wake one more. `None`: there is no lease.
    pub fn wait(
        &mut self,
        (namespace, at): (NamespaceId, KeyHash),
        now: Now,
        waker: &Waker,
    ) -> Option<UnixTime> {
        let lease = self.rows.get_mut(&(namespace, at.hash)).filter(|l| l.end > now.unix())?;
        if !lease.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            if self.waiting >= WAITING_MAX {
                return Some(lease.end.min(now.unix().after(RETRY)));
            }
            lease.waiting.push(waker.clone());
            self.waiting += 1;
        }
        Some(lease.end)
    }

    /// Ends the lease of a key that was written or deleted.
    pub fn end(&mut self, namespace: NamespaceId, hash: u64) {
        self.remove((namespace, hash));
    }

    /// Ends the leases of a slot that was cleared.
    pub fn end_slot(&mut self, namespace: NamespaceId, slot: Slot) {
        self.retain(|&(of, _), lease| of != namespace || lease.slot != slot);
    }

    /// Ends the leases of a namespace.
    pub fn end_namespace(&mut self, namespace: NamespaceId) {
        self.retain(|&(of, _), _| of != namespace);
    }

    /// Gives up what is over.
    pub fn tick(&mut self, now: Now) {
        if self.first_end > now.unix() {
            return;
        }
        self.retain(|_, lease| lease.end > now.unix());
        let ends = self.rows.values().map(|lease| lease.end);
        self.first_end = ends.min().unwrap_or(UnixTime(u64::MAX));
    }

    fn remove(&mut self, row: (NamespaceId, u64)) {
        if let Some(lease) = self.rows.remove(&row) {
            self.budget.release(CHARGE);
            self.waiting -= lease.waiting.len();
            lease.waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&(NamespaceId, u64), &Lease) -> bool) {
        let (budget, waiting) = (&self.budget, &mut self.waiting);
        self.rows.retain(|row, lease| {
            let stays = is_kept(row, lease);
            if !stays {
                budget.release(CHARGE);
                *waiting -= lease.waiting.len();
                std::mem::take(&mut lease.waiting).into_iter().for_each(Waker::wake);
            }
            stays
        });
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.retain(|_, _| false);
    }
}

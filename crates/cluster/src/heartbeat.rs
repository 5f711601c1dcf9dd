//! Heartbeats between nodes: the read leases that they carry, and who is suspected to be dead (sections 6.5 and 8.1).
//!
//! A heartbeat grants nothing to its sender by itself; the answer does: who answers has promised not to serve the
//! sender's slots before [`GRANT`] is over by its own clock, and says how new its map is. The sender counts [`LEASE`] from
//! the time it *sent* the heartbeat, and only once its own map is as new: so it knows of every deposition that its
//! grantor knew of.
//!
//! Invariant: `GRANT ≥ LEASE × (1 + 2ρ)` for clocks that drift at most ρ from each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringhold_types::id::{MapIdx, Member, NodeId};
use ringhold_types::time::{Duration, Instant};

use crate::mutants::{Rule, without};
use crate::view::Leases;

/// Between two heartbeats to a peer.
pub const PERIOD: Duration = Duration::from_millis(50);
/// How long a read lease is, for its holder.
pub const LEASE: Duration = Duration::from_millis(250);
/// How long a read lease is, for its grantor.
pub const GRANT: Duration = Duration::from_millis(275);
/// Silence for so long makes a suspect.
pub const DETECT: Duration = Duration::from_millis(500);
/// Two clocks run at most this much apart, in thousandths.
pub const DRIFT_THOUSANDTHS: u128 = 40;
/// The heartbeats whose send time is remembered: answers to older ones are ignored.
const SENT_MAX: usize = 64;
/// A tick that is later than this after the one before was late itself: nobody is blamed for a while.
const LATE: Duration = Duration::from_millis(125);

const _: () =
    assert!(GRANT.as_micros() * 1000 >= LEASE.as_micros() * (1000 + 2 * DRIFT_THOUSANDTHS));

/// What is sent to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// A heartbeat, and the sender's map index.
    Ask {
        /// Its number.
        id: u64,
        /// What the sender has applied.
        idx: MapIdx,
    },
    /// The answer.
    Answer {
        /// The heartbeat's number.
        id: u64,
        /// What the sender has applied, read after it raised the grant.
        idx: MapIdx,
    },
}

crate::codec::encoded_enum!(Beat, "heartbeat" { 0 => Ask { id, idx }, 1 => Answer { id, idx } });

/// What follows from a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing to send.
    None,
    /// To be sent to the peer.
    Answer(Beat),
    /// The peer's map is newer: it is to be asked for it.
    AskMap,
}

/// The heartbeats of one node.
#[derive(Debug)]
pub struct Heartbeats {
    peers: BTreeMap<NodeId, Peer>,
    /// The send times of the last heartbeats.
    sent: VecDeque<(u64, Instant)>,
    id: u64,
    sent_at: Option<Instant>,
    /// Answers whose sender's map is newer than ours: member, send time of the heartbeat, its index.
    parked: Vec<(Member, Instant, MapIdx)>,
    ticked_at: Instant,
    /// Nobody is suspected before.
    grace_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    member: Member,
    /// When anything was last heard of it.
    heard_at: Instant,
    /// The send time of the last heartbeat that it answered.
    answered_at: Instant,
    /// Its process is gone: a connection was reset and the next one refused.
    is_refused: bool,
}

impl Heartbeats {
    /// Of a node that starts now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            peers: BTreeMap::new(),
            sent: VecDeque::new(),
            id: 0,
            sent_at: None,
            parked: Vec::new(),
            ticked_at: now,
            grace_until: now.after(DETECT),
        }
    }

    /// Says with whom heartbeats are exchanged from now on. Time before that is not silence.
    pub fn set_peers(&mut self, now: Instant, members: &BTreeSet<Member>) {
        self.peers.retain(|_, peer| members.contains(&peer.member));
        for &member in members {
            let new = Peer { member, heard_at: now, answered_at: now, is_refused: false };
            self.peers.entry(member.node).or_insert(new);
        }
        self.parked.retain(|(member, ..)| members.contains(member));
    }

    /// The members that heartbeats are exchanged with.
    pub fn peers(&self) -> impl Iterator<Item = Member> + '_ {
        self.peers.values().map(|peer| peer.member)
    }

    /// Does what time brings; the heartbeat to be sent to every peer, when one is due. `idx` is the map index that is
    /// applied. To be called every 10 ms, and only while all shards make progress: a node that hangs loses its leases.
    pub fn tick(&mut self, now: Instant, idx: MapIdx) -> Option<Beat> {
        if now.since(self.ticked_at) > LATE {
            // What waits in the sockets was not heard yet.
            self.grace_until = self.grace_until.max(now.after(2 * PERIOD));
        }
        self.ticked_at = now;
        if self.sent_at.is_some_and(|sent_at| now.since(sent_at) < PERIOD) {
            return None;
        }
        self.sent_at = Some(now);
        self.id += 1;
        self.sent.push_back((self.id, now));
        if self.sent.len() > SENT_MAX {
            self.sent.pop_front();
        }
        Some(Beat::Ask { id: self.id, idx })
    }

    /// Notes that something came from `member`.
    pub fn heard(&mut self, now: Instant, member: Member) {
        if let Some(peer) = self.peers.get_mut(&member.node).filter(|peer| peer.member == member) {
            peer.heard_at = now;
            peer.is_refused = false;
        }
    }

    /// Notes that the process of `member` is gone: its connection was reset and the next one was refused.
    pub fn refused(&mut self, member: Member) {
        if let Some(peer) = self.peers.get_mut(&member.node).filter(|peer| peer.member == member) {
            peer.is_refused = true;
        }
    }

    /// Takes a heartbeat or an answer of `from`; `applied` reads the map index that every shard of this node has
    /// applied.
    pub fn receive(
        &mut self,
        now: Instant,
        (from, beat): (Member, Beat),
        leases: &Leases,
        applied: impl Fn() -> MapIdx,
    ) -> Reaction {
        self.heard(now, from);
        match beat {
            Beat::Ask { id, idx } => {
                // First the grant, then the index: whoever learns the index knows of what we granted before.
                if !leases.grant(from, now.after(GRANT)) {
                    return if idx > applied() { Reaction::AskMap } else { Reaction::None };
                }
                Reaction::Answer(Beat::Answer { id, idx: applied() })
            }
            Beat::Answer { id, idx } => {
                let sent = self.sent.iter().find(|(known, _)| *known == id);
                let Some(&(_, sent_at)) = sent else { return Reaction::None };
                let peer = self.peers.get_mut(&from.node).filter(|peer| peer.member == from);
                let Some(peer) = peer else { return Reaction::None };
                peer.answered_at = peer.answered_at.max(sent_at);
                if idx <= applied() || without(Rule::LeaseIdx) {
                    leases.hold(from, sent_at.after(LEASE));
                    return Reaction::None;
                }
                self.parked.retain(|(member, ..)| *member != from);
                self.parked.push((from, sent_at, idx));
                Reaction::AskMap
            }
        }
    }

    /// The map up to `idx` was applied by every shard: answers that waited for it count.
    pub fn applied(&mut self, idx: MapIdx, leases: &Leases) {
        self.parked.retain(|&(member, sent_at, theirs)| {
            if theirs <= idx {
                leases.hold(member, sent_at.after(LEASE));
            }
            theirs > idx
        });
    }

    /// Whether `member` is suspected to be dead.
    #[must_use]
    pub fn is_suspect(&self, now: Instant, member: Member) -> bool {
        let peer = self.peers.get(&member.node).filter(|peer| peer.member == member);
        peer.is_some_and(|peer| {
            let is_silent = now > self.grace_until
                && (now.since(peer.heard_at) > DETECT
                    || now.since(peer.answered_at) > DETECT + 2 * PERIOD);
            peer.is_refused || is_silent
        })
    }

    /// Who is suspected to be dead.
    pub fn suspects(&self, now: Instant) -> impl Iterator<Item = Member> + '_ {
        self.peers().filter(move |&member| self.is_suspect(now, member))
    }
}

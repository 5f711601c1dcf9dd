//! Each rule of messages: what the crate does without it, and that a node goes on with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use raft::eraftpb::{Message, MessageType};

use super::world::{World, announcement, command};
use crate::codec::{Decode, Encode, Malformed};
use crate::map::{ClusterId, Map};
use crate::meta::check::{TERM_LEAP_MAX, Violation};
use crate::meta::entry::{ENTRIES_MAX, Entries, LogEntry, Payload, SavedMap};
use crate::meta::membership::{Change, MEMBERS_MAX, Membership, RaftId};
use crate::meta::message::{Body, MetaMessage, ReadContext, Vote};
use crate::meta::output::MetaOut;
use crate::meta::{Durability, ENTRY_LEN_MAX, MetaLog};

const FAR: u64 = 1 << 40;

/// Three voters with some entries; the leader and one follower.
fn cluster() -> (World, RaftId, RaftId) {
    let mut world = World::new(4);
    world.found(1, Durability::Memory);
    world.add_voters(&[2, 3], Durability::Memory);
    let leader = world.established().expect("a leader");
    (0..10).for_each(|number| assert!(world.propose(leader, number)));
    world.run(200_000);
    let follower = RaftId(if leader.0 == 2 { 3 } else { 2 });
    (world, leader, follower)
}

fn snapshot(log: &MetaLog, change: impl FnOnce(&mut SavedMap)) -> Body {
    let mut map = (**log.map()).clone();
    map.idx.0 += 5;
    let mut snapshot = SavedMap {
        idx: map.idx.0,
        term: log.term(),
        membership: log.membership().clone(),
        map: map.to_bytes().into(),
    };
    change(&mut snapshot);
    Body::Snapshot { snapshot }
}

fn append(log: &MetaLog, entries: Vec<LogEntry>) -> Body {
    let idx = log.last_idx();
    let log_term = log.term_at(idx).expect("it has its last entry");
    Body::Append { idx, log_term, commit: idx + 1, entries: Entries(entries) }
}

fn entry(idx: u64, term: u64) -> LogEntry {
    LogEntry { idx, term, payload: Payload::Nothing }
}

/// What a message does that nobody checks.
fn unchecked(log: &mut MetaLog, message: Message) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut out = MetaOut::default();
        let snapshot = SavedMap::from_raft(message.get_snapshot().clone());
        log.received = Map::from_bytes(&snapshot.map).ok().map(Arc::new);
        drop(log.raw.step(message));
        log.ready(&mut out);
        let _outcome = log.propose(&[command(1)], &mut out);
        for _ in 0..200 {
            log.tick(&mut out);
        }
        log.check_invariants();
    }));
    outcome.is_err()
}

/// A message to a follower from the leader, or back; `term` is the receiver's plus a few.
struct Case {
    what: &'static str,
    to_leader: bool,
    term_ahead: u64,
    body: fn(&MetaLog) -> Body,
    refused: fn(&MetaLog) -> Violation,
    /// Whether the crate, or what applies its entries, panics without the rule.
    panics: bool,
}

const CASES: &[Case] = &[
    Case {
        what: "heartbeat with a commit beyond the log",
        to_leader: false,
        term_ahead: 0,
        body: |_| Body::Heartbeat { commit: FAR, read: None },
        refused: |log| Violation::CommitBeyondLog { commit: FAR, last: log.last_idx() },
        panics: true,
    },
    Case {
        what: "append with a hole",
        to_leader: false,
        term_ahead: 0,
        body: |log| append(log, vec![entry(log.last_idx() + 5, log.term())]),
        refused: |log| Violation::Hole { expected: log.last_idx() + 1, found: log.last_idx() + 5 },
        panics: true,
    },
    Case {
        what: "append with old indices",
        to_leader: false,
        term_ahead: 100,
        body: |log| append(log, vec![entry(3, log.term() + 100)]),
        refused: |log| Violation::Hole { expected: log.last_idx() + 1, found: 3 },
        panics: true,
    },
    Case {
        what: "append after an entry of term 0 beyond the log",
        to_leader: false,
        term_ahead: 0,
        body: |log| Body::Append {
            idx: FAR,
            log_term: 0,
            commit: FAR + 1,
            entries: Entries(vec![entry(FAR + 1, log.term())]),
        },
        refused: |_| Violation::Start { idx: FAR },
        panics: true,
    },
    Case {
        what: "append at the end of all numbers",
        to_leader: false,
        term_ahead: 0,
        body: |log| Body::Append {
            idx: u64::MAX,
            log_term: 1,
            commit: 1,
            entries: Entries(vec![entry(0, log.term())]),
        },
        refused: |_| Violation::Hole { expected: u64::MAX, found: 0 },
        panics: false,
    },
    Case {
        what: "entry of term 0",
        to_leader: false,
        term_ahead: 0,
        body: |log| append(log, vec![entry(log.last_idx() + 1, 0)]),
        refused: |log| Violation::EntryTerm { idx: log.last_idx() + 1, term: 0 },
        panics: true,
    },
    Case {
        what: "entry of a later term than its leader's",
        to_leader: false,
        term_ahead: 0,
        body: |log| append(log, vec![entry(log.last_idx() + 1, log.term() + 1)]),
        refused: |log| Violation::EntryTerm { idx: log.last_idx() + 1, term: log.term() + 1 },
        panics: false,
    },
    Case {
        what: "entry of garbage",
        to_leader: false,
        term_ahead: 0,
        body: |log| {
            let payload = Payload::Commands { bytes: vec![1, 255, 255].into() };
            append(log, vec![LogEntry { payload, ..entry(log.last_idx() + 1, log.term()) }])
        },
        refused: |log| Violation::Entry {
            idx: log.last_idx() + 1,
            cause: Malformed::Unknown { what: "command", tag: 255 },
        },
        panics: true,
    },
    Case {
        what: "entry that is too long",
        to_leader: false,
        term_ahead: 0,
        body: |log| {
            let payload = Payload::Commands { bytes: vec![0; ENTRY_LEN_MAX + 1].into() };
            append(log, vec![LogEntry { payload, ..entry(log.last_idx() + 1, log.term()) }])
        },
        refused: |log| Violation::Entry {
            idx: log.last_idx() + 1,
            cause: Malformed::OutOfRange { what: "length of an entry" },
        },
        panics: true,
    },
    Case {
        what: "entry with too many members",
        to_leader: false,
        term_ahead: 0,
        body: |log| {
            let ids = 1..=(MEMBERS_MAX as u64 + 1);
            let changes = ids.map(|id| Change::AddLearner { id: RaftId(id) }).collect();
            let payload = Payload::Membership { changes };
            append(log, vec![LogEntry { payload, ..entry(log.last_idx() + 1, log.term()) }])
        },
        refused: |log| Violation::Entry {
            idx: log.last_idx() + 1,
            cause: Malformed::OutOfRange { what: "length of an entry" },
        },
        panics: false,
    },
    Case {
        what: "append that contradicts a committed entry",
        to_leader: false,
        term_ahead: 5,
        body: |log| Body::Append {
            idx: log.commit_idx(),
            log_term: log.term() + 1,
            commit: 1,
            entries: Entries::default(),
        },
        refused: |log| Violation::Committed { idx: log.commit_idx() },
        panics: false,
    },
    Case {
        what: "snapshot that contradicts a committed entry",
        to_leader: false,
        term_ahead: 5,
        body: |log| {
            snapshot(log, |snapshot| {
                snapshot.idx -= 5;
                snapshot.term += 1;
                snapshot.map = log.map().to_bytes().into();
            })
        },
        refused: |log| Violation::Committed { idx: log.commit_idx() },
        panics: false,
    },
    Case {
        what: "snapshot of a term that is not yet",
        to_leader: false,
        term_ahead: 0,
        body: |log| snapshot(log, |snapshot| snapshot.term += 1),
        refused: |log| Violation::EntryTerm { idx: log.map().idx.0 + 5, term: log.term() + 1 },
        panics: false,
    },
    Case {
        what: "snapshot with members that cannot be",
        to_leader: false,
        term_ahead: 0,
        body: |log| {
            snapshot(log, |snapshot| {
                snapshot.membership.learners_next = vec![RaftId(9)];
                snapshot.membership.learners = snapshot.membership.voters.clone();
            })
        },
        refused: |_| Violation::Membership,
        panics: true,
    },
    Case {
        what: "snapshot without a map",
        to_leader: false,
        term_ahead: 0,
        body: |log| snapshot(log, |snapshot| snapshot.map = vec![1, 2, 3].into()),
        refused: |log| Violation::Map { idx: log.map().idx.0 + 5 },
        panics: true,
    },
    Case {
        what: "snapshot with the map of another index",
        to_leader: false,
        term_ahead: 0,
        body: |log| snapshot(log, |snapshot| snapshot.idx += 1),
        refused: |log| Violation::Map { idx: log.map().idx.0 + 6 },
        panics: true,
    },
    Case {
        what: "snapshot at the end of all numbers",
        to_leader: false,
        term_ahead: 0,
        body: |log| {
            snapshot(log, |snapshot| {
                let mut map = (**log.map()).clone();
                map.idx.0 = u64::MAX;
                (snapshot.idx, snapshot.map) = (u64::MAX, map.to_bytes().into());
            })
        },
        refused: |_| Violation::Map { idx: u64::MAX },
        panics: true,
    },
    Case {
        what: "snapshot of another cluster",
        to_leader: false,
        term_ahead: 0,
        body: |log| {
            snapshot(log, |snapshot| {
                let mut map = (**log.map()).clone();
                map.idx.0 += 5;
                map.cluster = ClusterId(99);
                snapshot.map = map.to_bytes().into();
            })
        },
        refused: |log| Violation::Map { idx: log.map().idx.0 + 5 },
        panics: false,
    },
    Case {
        what: "acknowledgement beyond the log",
        to_leader: true,
        term_ahead: 0,
        body: |_| Body::Appended { idx: FAR, commit: 1 },
        refused: |log| Violation::IndexBeyondLog { idx: FAR, last: log.last_idx() },
        panics: false,
    },
    Case {
        what: "refusal with a hint beyond the log",
        to_leader: true,
        term_ahead: 0,
        body: |log| Body::Refused { idx: log.last_idx(), hint: FAR, hint_term: 1, commit: 1 },
        refused: |log| Violation::IndexBeyondLog { idx: FAR, last: log.last_idx() },
        panics: false,
    },
    Case {
        what: "refusal beyond the log",
        to_leader: true,
        term_ahead: 0,
        body: |_| Body::Refused { idx: FAR, hint: 1, hint_term: 1, commit: 1 },
        refused: |log| Violation::IndexBeyondLog { idx: FAR, last: log.last_idx() },
        panics: false,
    },
    Case {
        what: "answer with a commit beyond the log",
        to_leader: true,
        term_ahead: 0,
        body: |_| Body::HeartbeatAnswer { commit: FAR, read: None },
        refused: |log| Violation::IndexBeyondLog { idx: FAR, last: log.last_idx() },
        panics: false,
    },
    Case {
        what: "term at the end of all numbers",
        to_leader: false,
        term_ahead: u64::MAX,
        body: |log| Body::VoteRequest {
            idx: log.last_idx(),
            log_term: log.term(),
            commit: 0,
            commit_term: 0,
            kind: Vote::Transfer,
        },
        refused: |log| Violation::Term { term: u64::MAX, own: log.term() },
        panics: true,
    },
    Case {
        what: "term that is too far ahead",
        to_leader: false,
        term_ahead: TERM_LEAP_MAX + 1,
        body: |_| Body::Heartbeat { commit: 0, read: None },
        refused: |log| Violation::Term { term: log.term() + TERM_LEAP_MAX + 1, own: log.term() },
        panics: false,
    },
    Case {
        what: "request to read with a term",
        to_leader: true,
        term_ahead: 0,
        body: |_| Body::ReadRequest { read: ReadContext { reader: RaftId(2), context: 1 } },
        refused: |log| Violation::Term { term: log.term(), own: log.term() },
        panics: false,
    },
    Case {
        what: "answer to somebody else's read",
        to_leader: false,
        term_ahead: 0,
        body: |_| Body::ReadAnswer { idx: 1, read: ReadContext { reader: RaftId(77), context: 1 } },
        refused: |_| Violation::Reader { reader: RaftId(77) },
        panics: false,
    },
];

#[test]
fn broken_messages_are_refused_and_the_node_goes_on() {
    for case in CASES {
        let build = || {
            let (world, leader, follower) = cluster();
            let (from, to) = if case.to_leader { (follower, leader) } else { (leader, follower) };
            let log = world.log(to);
            let term = log.term().saturating_add(case.term_ahead);
            let message = MetaMessage { to, from, term, body: (case.body)(log) };
            let refused = (case.refused)(log);
            (world, message, refused)
        };
        let (mut world, message, _) = build();
        let log = world.hosts.get_mut(&message.to).and_then(|host| host.log.as_mut());
        let panicked = unchecked(log.expect("it is up"), message.into_raft());
        assert_eq!(panicked, case.panics, "{}", case.what);

        let (mut world, message, expected) = build();
        let (from, to) = (message.from, message.to);
        let refused = world.with(to, |log, out| log.step(from, message, out));
        assert_eq!(refused, Some(Err(expected)), "{}", case.what);
        assert!(!expected.to_string().is_empty());
        let leader = world.established().expect("the leader is as it was");
        assert!(world.propose(leader, 500));
        world.run(200_000);
        assert_eq!(world.log(to).map().settings.transfer_rate, 501, "{}", case.what);
        world.check();
    }
}

#[test]
fn sender_and_target_are_who_they_must_be() {
    let (mut world, leader, follower) = cluster();
    let term = world.log(follower).term();
    let body = Body::Heartbeat { commit: 0, read: None };
    let stranger = RaftId(77);
    let cases = [
        (leader, stranger, follower, Violation::WrongSender { from: stranger }),
        (follower, follower, follower, Violation::WrongSender { from: follower }),
        (leader, leader, stranger, Violation::WrongTarget { to: stranger }),
        (stranger, stranger, follower, Violation::NotMember { from: stranger }),
        (RaftId(0), RaftId(0), follower, Violation::NotMember { from: RaftId(0) }),
    ];
    for (peer, from, to, expected) in cases {
        let message = MetaMessage { to, from, term, body: body.clone() };
        let refused = world.with(follower, |log, out| log.step(peer, message, out));
        assert_eq!(refused, Some(Err(expected)));
    }
    let message = MetaMessage { to: follower, from: leader, term: 0, body };
    let refused = world.with(follower, |log, out| log.step(leader, message, out));
    assert_eq!(refused, Some(Err(Violation::Term { term: 0, own: term })));
    let read = ReadContext { reader: stranger, context: 1 };
    let body = Body::ReadRequest { read };
    let message = MetaMessage { to: leader, from: follower, term: 0, body };
    let refused = world.with(leader, |log, out| log.step(follower, message, out));
    assert_eq!(refused, Some(Err(Violation::Reader { reader: stranger })));
}

fn transfer_vote(from: RaftId, to: RaftId, term: u64) -> MetaMessage {
    let kind = Vote::Transfer;
    let body = Body::VoteRequest { idx: FAR, log_term: FAR, commit: 0, commit_term: 0, kind };
    MetaMessage { to, from, term, body }
}

#[test]
fn stranger_cannot_depose_a_leader() {
    let (mut world, leader, follower) = cluster();
    let stranger = RaftId(77);
    let message = transfer_vote(stranger, follower, world.log(follower).term() + 1);
    let refused = world.with(follower, |log, out| log.step(stranger, message.clone(), out));
    assert_eq!(refused, Some(Err(Violation::NotMember { from: stranger })));
    // Neither can a node that is known and does not vote: its request is as if it had not come.
    world.with(follower, |log, _| log.admit(&[stranger]));
    let term = world.log(follower).term();
    let dropped = world.with(follower, |log, out| log.step(stranger, message.clone(), out));
    assert_eq!(dropped, Some(Ok(())));
    assert_eq!(world.log(follower).term(), term);
    assert_eq!(world.log(leader).term(), term);
    // Without the rule it does.
    let log = world.hosts.get_mut(&follower).and_then(|host| host.log.as_mut());
    assert!(!unchecked(log.expect("it is up"), message.into_raft()));
    assert!(world.log(follower).term() > term);
}

#[test]
fn vote_is_given_to_a_candidate_that_this_log_does_not_know_yet() {
    let (mut world, leader, follower) = cluster();
    let candidate = RaftId(44);
    // It registered; that it votes is committed among others, and has not come here.
    let register = crate::command::Command::Register {
        name: crate::node::NodeName::new("d").expect("a name"),
        after: ringhold_types::id::Incarnation(0),
        announced: Box::new(announcement(44)),
    };
    let taken = world.with(leader, |log, out| log.propose(&[register], out));
    assert!(taken.is_some_and(|outcome| outcome.is_ok()));
    world.run(100_000);
    for id in [1, 2, 3].map(RaftId).into_iter().filter(|&id| id != follower) {
        world.crash(id);
    }
    world.until(2_000_000, |world| world.log(follower).leader().is_none()).expect("it is alone");
    let term = world.log(follower).term() + 1;
    let (idx, log_term) = (world.log(follower).last_idx() + 1, term - 1);
    let body = Body::VoteRequest { idx, log_term, commit: 0, commit_term: 0, kind: Vote::Real };
    let message = MetaMessage { to: follower, from: candidate, term, body };
    let granted = world.with(follower, |log, out| {
        let stepped = log.step(candidate, message, out);
        (stepped, out.send.clone())
    });
    let (stepped, sent) = granted.expect("it is up");
    assert_eq!(stepped, Ok(()));
    let is_granted = |body: &Body| matches!(body, Body::Voted { is_granted: true, .. });
    assert!(sent.iter().any(|(to, message)| *to == candidate && is_granted(&message.body)));
}

#[test]
fn joiner_takes_the_messages_of_whom_it_was_told_of() {
    let mut log = MetaLog::join(RaftId(5), 1, Durability::Memory);
    let leader = RaftId(1);
    let body = Body::Heartbeat { commit: 0, read: None };
    let message = MetaMessage { to: RaftId(5), from: leader, term: 3, body };
    let mut out = MetaOut::default();
    let refused = log.step(leader, message.clone(), &mut out);
    assert_eq!(refused, Err(Violation::NotMember { from: leader }));
    log.admit(&[leader]);
    assert_eq!(log.step(leader, message, &mut out), Ok(()));
    assert_eq!((log.leader(), log.term()), (Some(leader), 3));
    assert_eq!(out.send.len(), 1);
}

#[test]
fn joiner_elects_nobody() {
    let mut log = MetaLog::join(RaftId(5), 1, Durability::Memory);
    let mut out = MetaOut::default();
    log.campaign(&mut out);
    (0..200).for_each(|_| log.tick(&mut out));
    assert_eq!((log.term(), log.is_leader(), out.send.len()), (0, false, 0));
}

#[test]
fn request_to_lead_is_only_the_leaders() {
    let (mut world, leader, follower) = cluster();
    let third = [1, 2, 3].map(RaftId).into_iter().find(|&id| id != leader && id != follower);
    let (third, term) = (third.expect("a third voter"), world.log(follower).term());
    let message = MetaMessage { to: follower, from: third, term, body: Body::TimeoutNow };
    let dropped = world.with(follower, |log, out| log.step(third, message, out));
    assert_eq!((dropped, world.log(follower).term()), (Some(Ok(())), term));
    let message = MetaMessage { to: follower, from: leader, term, body: Body::TimeoutNow };
    let taken = world.with(follower, |log, out| log.step(leader, message, out));
    assert_eq!((taken, world.log(follower).term()), (Some(Ok(())), term + 1));
}

#[test]
fn kinds_that_do_not_travel_have_no_bytes() {
    let kinds = [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgPropose,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
        MessageType::MsgTransferLeader,
        // A read is one context.
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
    ];
    for kind in kinds {
        let mut message = Message::default();
        message.set_msg_type(kind);
        assert_eq!(MetaMessage::from_raft(message), None);
    }
    for tag in [0, 12, 255] {
        let bytes = [1, 2, 3, tag, 0, 0, 0, 0];
        let what = "message of the metadata log";
        assert_eq!(MetaMessage::from_bytes(&bytes), Err(Malformed::Unknown { what, tag }));
    }
    // Two of them make the crate panic.
    for kind in [MessageType::MsgPropose, MessageType::MsgReadIndex] {
        let (mut world, leader, follower) = cluster();
        let mut message = Message::default();
        message.set_msg_type(kind);
        (message.from, message.to) = (follower.0, leader.0);
        let log = world.hosts.get_mut(&leader).and_then(|host| host.log.as_mut());
        assert!(unchecked(log.expect("it is up"), message));
    }
}

#[test]
fn message_with_too_many_entries_is_not_read() {
    let entries = |count: u64| Entries((1..=count).map(|idx| entry(idx, 1)).collect());
    let body = |count| Body::Append { idx: 1, log_term: 1, commit: 1, entries: entries(count) };
    let read = |count| Body::from_bytes(&body(count).to_bytes()).map(drop);
    assert_eq!(read(ENTRIES_MAX as u64), Ok(()));
    let what = "number of entries";
    assert_eq!(read(ENTRIES_MAX as u64 + 1), Err(Malformed::OutOfRange { what }));
    let long = |count| {
        let payload = Payload::Commands { bytes: vec![0; ENTRY_LEN_MAX].into() };
        let entries = (1..=count).map(|idx| LogEntry { payload: payload.clone(), ..entry(idx, 1) });
        Entries::from_bytes(&Entries(entries.collect()).to_bytes()).map(drop)
    };
    assert_eq!(long(2), Ok(()));
    let what = "length of entries";
    assert_eq!(long(3), Err(Malformed::OutOfRange { what }));
}

#[test]
fn coherent_members_are_those_that_the_crate_can_be_given() {
    // All memberships over three ids: each id is in any of the four lists, or in none.
    let mut coherent = 0;
    for places in 0..1u32 << 12 {
        let list = |which: u32| -> Vec<RaftId> {
            let is_in =
                |id: &u64| places >> (which * 3 + u32::try_from(*id).unwrap_or(0) - 1) & 1 == 1;
            (1..=3).filter(is_in).map(RaftId).collect()
        };
        let membership = Membership {
            voters: list(0),
            learners: list(1),
            outgoing: list(2),
            learners_next: list(3),
        };
        if membership.is_coherent() {
            coherent += 1;
            let map = super::world::founded_map();
            let saved = crate::meta::disk::Saved {
                map: Some(SavedMap {
                    idx: 1,
                    term: 1,
                    membership: membership.clone(),
                    map: map.to_bytes().into(),
                }),
                hard: crate::meta::disk::Hard { term: 1, vote: RaftId(0), commit: 1 },
                ..Default::default()
            };
            let expected = crate::meta::disk::Expected::default();
            let bytes = super::world::file_of(&saved);
            let recovered = crate::meta::disk::recover(&bytes, expected).expect("a good file");
            let log = MetaLog::recover(1, &recovered);
            assert_eq!(*log.membership(), membership);
        }
    }
    assert!(coherent > 50, "{coherent}");
}

//! What the log does when things go well, and when one thing goes wrong.

use super::world::{CLUSTER, World, command};
use crate::command::Command;
use crate::map::Map;

use crate::meta::disk;
use crate::meta::membership::{Change, RaftId};
use crate::meta::message::{Body, MetaMessage, Vote};
use crate::meta::output::MetaOut;
use crate::meta::refused::{MembershipError, ProposeError, TransferError};
use crate::meta::{Durability, ENTRY_LEN_MAX, MetaLog, store};
use crate::slots::SlotSet;

fn three(seed: u64, durability: Durability) -> World {
    let mut world = World::new(seed);
    world.found(1, durability);
    world.add_voters(&[2, 3], durability);
    world.run(200_000);
    world
}

#[test]
fn single_voter_leads_without_tick_or_message() {
    let mut world = World::new(1);
    let id = world.found(1, Durability::Memory);
    assert!(world.log(id).is_established());
    assert_eq!(world.log(id).map().idx.0, 2, "its first entry is applied");
    assert!(world.propose(id, 41));
    assert_eq!(world.log(id).map().settings.transfer_rate, 42);
    assert_eq!(world.now, 0);
    world.check();
}

#[test]
fn single_voter_with_a_disk_leads_when_the_disk_has_it() {
    let map = super::world::founded_map();
    let mut log = MetaLog::found(RaftId(1), 3, Durability::Disk, map);
    let mut out = MetaOut::default();
    log.ready(&mut out);
    assert!(log.is_leader() && !log.is_established() && log.is_persisting());
    assert!(out.applied.is_empty() && out.send.is_empty());
    assert!(out.persist.take().is_some());
    log.persisted(&mut out);
    assert!(log.is_established() && !log.is_persisting());
    assert_eq!(out.applied.len(), 1);
    assert_eq!(log.propose(&[command(1)], &mut out).map(|at| at.idx.0), Ok(3));
    assert_eq!(out.applied.len(), 1, "nothing is committed before the disk has it");
    log.persisted(&mut out);
    assert_eq!(out.applied.len(), 2);
}

#[test]
#[should_panic(expected = "nothing is stepped while records are being written")]
fn nothing_is_stepped_while_the_disk_writes() {
    let map = super::world::founded_map();
    let mut log = MetaLog::found(RaftId(1), 3, Durability::Disk, map);
    let mut out = MetaOut::default();
    log.ready(&mut out);
    log.tick(&mut out);
}

#[test]
fn one_voter_becomes_three_through_learners_and_one_joint_change() {
    for durability in [Durability::Memory, Durability::Disk] {
        let mut world = three(5, durability);
        let leader = world.established().expect("a leader");
        assert_eq!(world.log(leader).membership().voters, [1, 2, 3].map(RaftId));
        for number in 0..50 {
            world.until(1_000_000, |world| world.propose(leader, number)).expect("taken");
        }
        world.run(100_000);
        for id in [1, 2, 3].map(RaftId) {
            assert_eq!(world.log(id).map().settings.transfer_rate, 50);
        }
        assert_eq!(world.hosts[&RaftId(2)].maps_received, 1);
        world.check();
        assert_eq!(world.refused, []);
    }
}

#[test]
fn voter_outside_the_quorum_cannot_lead() {
    let mut world = three(6, Durability::Memory);
    let leader = world.established().expect("a leader");
    let others: Vec<RaftId> = world.hosts.keys().copied().filter(|&id| id != leader).collect();
    others.iter().for_each(|&id| world.crash(id));
    world.run(1_000_000);
    assert_eq!(world.leader(), None, "a leader without a majority steps down");
    let refused = world.with(leader, |log, out| log.propose(&[command(1)], out));
    assert_eq!(refused, Some(Err(ProposeError::NotLeader { leader: None })));
}

/// From the death of the leader to an established one, in milliseconds.
fn failover(seed: u64, by_rank: bool) -> u64 {
    let mut world = three(seed, Durability::Memory);
    let pause = world.prng.below(100_000);
    world.run(1_000_000 + pause);
    let leader = world.established().expect("a leader");
    world.crash(leader);
    if by_rank {
        let survivors: Vec<RaftId> =
            world.hosts.keys().copied().filter(|&id| world.is_up(id)).collect();
        for (rank, &id) in survivors.iter().enumerate() {
            world.campaign_at(world.now + 5_000 + 20_000 * rank as u64, id);
        }
    }
    let took = world.until(10_000_000, |world| world.established().is_some());
    world.check();
    took.expect("a new leader") / 1000
}

#[test]
fn refused_connections_make_a_leader_within_sixty_milliseconds() {
    let mut took: Vec<u64> = (0..100).map(|seed| failover(seed, true)).collect();
    took.sort_unstable();
    assert!(took[99] < 60, "{took:?}");
}

#[test]
fn vanished_leader_is_replaced_after_election_timeouts() {
    let mut took: Vec<u64> = (0..100).map(|seed| failover(seed, false)).collect();
    took.sort_unstable();
    assert!(took[50] < 600 && took[99] < 3_000, "{took:?}");
    assert!(took[0] >= 200, "nobody stands while the leader may live: {took:?}");
}

#[test]
fn dead_voter_is_swapped_for_a_learner_in_one_joint_change() {
    let mut world = three(8, Durability::Disk);
    let leader = world.established().expect("a leader");
    let dead = [1, 2, 3].map(RaftId).into_iter().find(|&id| id != leader).expect("another");
    world.crash(dead);
    let new = world.join(4, Durability::Disk);
    world.change_members(&[Change::AddLearner { id: new }]);
    world.until(5_000_000, |world| world.log(new).map().idx.0 > 0).expect("it learns");
    world.change_members(&[Change::Remove { id: dead }, Change::AddVoter { id: new }]);
    let leader = world.established().expect("a leader");
    assert!(!world.log(leader).membership().contains(dead));
    // The newcomer counts: with it and the leader alone things go on.
    let third = [1, 2, 3].map(RaftId).into_iter().find(|&id| id != leader && id != dead);
    world.crash(third.expect("a third voter"));
    world.until(5_000_000, |world| world.established().is_some()).expect("a leader");
    let leader = world.established().expect("a leader");
    let before = world.log(leader).map().idx;
    world.until(5_000_000, |world| world.propose(leader, 77)).expect("taken");
    world.until(5_000_000, |world| world.log(leader).map().idx > before).expect("committed");
    world.check();
}

#[test]
fn voter_comes_back_from_a_file_with_a_torn_tail() {
    let mut torn = 0;
    for seed in 0..20 {
        let mut world = three(seed, Durability::Disk);
        let leader = world.established().expect("a leader");
        let voter = RaftId(if leader.0 == 2 { 3 } else { 2 });
        world.until(1_000_000, |world| world.propose(leader, 5)).expect("taken");
        let is_writing = |world: &mut World| world.log(voter).is_persisting();
        world.until(1_000_000, is_writing).expect("it writes the entry");
        world.crash(voter);
        let file = world.hosts[&voter].file.as_ref().expect("it has one").clone();
        let expected = disk::Expected { raft_id: Some(voter), cluster: Some(CLUSTER) };
        let recovered = disk::recover(&file, expected).expect("it can be used");
        torn += usize::from(recovered.len < file.len());
        world.run(100_000);
        world.restart(voter);
        world.run(300_000);
        assert_eq!(world.log(voter).map(), world.log(leader).map());
        assert_eq!(world.log(voter).map().settings.transfer_rate, 6);
        world.check();
    }
    assert!(torn > 10, "most crashes tore a record: {torn}");
}

#[test]
fn vote_is_kept_across_a_restart() {
    let mut world = three(21, Durability::Disk);
    let voter = RaftId(3);
    for id in [1, 2].map(RaftId) {
        world.crash(id);
    }
    world.until(2_000_000, |world| world.log(voter).leader().is_none()).expect("it is alone");
    world.until(1_000_000, |world| !world.log(voter).is_persisting()).expect("it is idle");
    let (term, idx) = (world.log(voter).term() + 3, world.log(voter).last_idx() + 1);
    let ask = |world: &mut World, from: RaftId| {
        let kind = Vote::Real;
        let body = Body::VoteRequest { idx, log_term: term - 1, commit: 0, commit_term: 0, kind };
        let message = MetaMessage { to: voter, from, term, body };
        let stepped = world.with(voter, |log, out| log.step(from, message, out));
        assert_eq!(stepped, Some(Ok(())));
    };
    ask(&mut world, RaftId(1));
    let is_written = |world: &mut World| !world.log(voter).is_persisting();
    world.until(1_000_000, is_written).expect("the vote is on the disk");
    world.crash(voter);
    world.restart(voter);
    let saved = |world: &mut World| {
        world.until(1_000_000, is_written).expect("it is written");
        world.log(voter).saved().hard
    };
    let hard = saved(&mut world);
    assert_eq!((hard.term, hard.vote), (term, RaftId(1)));
    ask(&mut world, RaftId(2));
    assert_eq!(saved(&mut world).vote, RaftId(1), "a voter votes once in a term");
    ask(&mut world, RaftId(1));
    assert_eq!(saved(&mut world).vote, RaftId(1));
}

#[test]
fn leadership_is_transferred_within_milliseconds() {
    let mut world = three(9, Durability::Disk);
    let leader = world.established().expect("a leader");
    let to = [1, 2, 3].map(RaftId).into_iter().find(|&id| id != leader).expect("another");
    let refused = world.with(leader, |log, out| log.transfer(RaftId(9), out));
    assert_eq!(refused, Some(Err(TransferError::NotVoter { id: RaftId(9) })));
    assert_eq!(world.with(leader, |log, out| log.transfer(to, out)), Some(Ok(())));
    let busy = world.with(leader, |log, out| log.propose(&[command(1)], out));
    assert_eq!(busy, Some(Err(ProposeError::Busy)));
    let took = world.until(1_000_000, |world| world.established() == Some(to));
    assert!(took.is_some_and(|took| took < 20_000), "{took:?}");
    let refused = world.with(leader, |log, out| log.transfer(to, out));
    assert_eq!(refused, Some(Err(TransferError::NotLeader { leader: Some(to) })));
    assert_eq!(world.refused, []);
}

#[test]
fn reads_are_confirmed_at_leader_follower_and_learner() {
    let mut world = three(10, Durability::Memory);
    let learner = world.join(4, Durability::Memory);
    world.change_members(&[Change::AddLearner { id: learner }]);
    world.until(5_000_000, |world| world.log(learner).map().idx.0 > 0).expect("it learns");
    let leader = world.established().expect("a leader");
    world.until(1_000_000, |world| world.propose(leader, 3)).expect("taken");
    world.run(50_000);
    let committed = world.log(leader).commit_idx();
    // All use one context: whose it is tells them apart.
    for id in [1, 2, 3, 4].map(RaftId) {
        world.with(id, |log, out| log.read_index(1, out));
    }
    world.run(50_000);
    for id in [1, 2, 3, 4].map(RaftId) {
        assert_eq!(world.hosts[&id].reads, [(1, committed)], "{id}");
    }
    assert_eq!(world.refused, []);
}

#[test]
fn read_without_a_majority_is_not_answered() {
    let mut world = three(11, Durability::Memory);
    let leader = world.established().expect("a leader");
    let others: Vec<RaftId> = world.hosts.keys().copied().filter(|&id| id != leader).collect();
    others.iter().for_each(|&id| world.crash(id));
    world.with(leader, |log, out| log.read_index(7, out));
    world.run(2_000_000);
    assert_eq!(world.hosts[&leader].reads, []);
}

#[test]
fn entry_that_is_too_long_is_refused() {
    let mut world = World::new(12);
    let id = world.found(1, Durability::Memory);
    let batch = crate::command::Batch {
        slots: ringhold_types::slot::Slot::all().filter(|slot| slot.number() % 2 == 0).collect(),
        as_of: ringhold_types::id::MapIdx(1),
    };
    let by = crate::map::FOUNDER;
    let long = vec![Command::TakeOver { batch, by }; ENTRY_LEN_MAX / 2048 + 1];
    let refused = world.with(id, |log, out| log.propose(&long, out)).expect("it is up");
    let is_refused = matches!(refused, Err(ProposeError::TooLong { len, max: ENTRY_LEN_MAX }) if len > ENTRY_LEN_MAX);
    assert!(is_refused, "{refused:?}");
    let fits = &long[..long.len() - 10];
    assert!(world.with(id, |log, out| log.propose(fits, out)).expect("it is up").is_ok());
}

#[test]
fn membership_changes_that_cannot_be_are_refused() {
    let mut world = three(13, Durability::Memory);
    let leader = world.established().expect("a leader");
    let (other, unknown) = (RaftId(if leader.0 == 2 { 3 } else { 2 }), RaftId(9));
    let cases = [
        (vec![], MembershipError::Implausible),
        (vec![Change::AddLearner { id: RaftId(0) }], MembershipError::Implausible),
        (
            vec![Change::Remove { id: other }, Change::AddLearner { id: other }],
            MembershipError::Implausible,
        ),
        (vec![Change::AddVoter { id: unknown }], MembershipError::NotLearner { id: unknown }),
        (vec![Change::Remove { id: unknown }], MembershipError::NotMember { id: unknown }),
        (vec![Change::Remove { id: leader }], MembershipError::Leader),
        (vec![Change::AddLearner { id: leader }], MembershipError::Leader),
    ];
    for (changes, expected) in cases {
        let refused = world.with(leader, |log, out| log.propose_members(&changes, out));
        assert_eq!(refused, Some(Err(expected)), "{changes:?}");
    }
    let many: Vec<_> = (10..24).map(|id| Change::AddLearner { id: RaftId(id) }).collect();
    let refused = world.with(leader, |log, out| log.propose_members(&many, out));
    assert_eq!(refused, Some(Err(MembershipError::TooMany { max: 16 })));
    let id = RaftId(9);
    let learner = [Change::AddLearner { id }];
    assert!(
        world
            .with(leader, |log, out| log.propose_members(&learner, out))
            .is_some_and(|x| x.is_ok())
    );
    let refused = world.with(leader, |log, out| log.propose_members(&learner, out));
    assert_eq!(refused, Some(Err(MembershipError::Busy)));
    world.run(100_000);
    let refused = world.with(leader, |log, out| log.propose_members(&learner, out));
    assert_eq!(refused, Some(Err(MembershipError::AlreadyMember { id })));
}

#[test]
fn leader_that_an_earlier_leader_removed_steps_down() {
    // The removal of 2 is in everybody's log and committed by 2 itself, after the leader that proposed it died.
    let mut elected = 0;
    for seed in 0..20 {
        let mut world = three(seed, Durability::Disk);
        let leader = world.established().expect("a leader");
        let next = RaftId(if leader.0 == 2 { 3 } else { 2 });
        let third = [1, 2, 3].map(RaftId).into_iter().find(|&id| id != leader && id != next);
        let third = third.expect("a third voter");
        world.cut.insert((third, leader));
        world.cut.insert((next, leader));
        world.until(1_000_000, |world| {
            let change = [Change::Remove { id: next }];
            world
                .with(leader, |log, out| log.propose_members(&change, out))
                .is_some_and(|outcome| outcome.is_ok())
        });
        let last = world.log(leader).last_idx();
        world.until(1_000_000, |world| world.log(next).last_idx() == last).expect("it has it");
        world.run(5_000);
        world.crash(leader);
        world.campaign_at(world.now + 1_000, next);
        // Entries that follow are acknowledged when it is no member any more.
        let is_over = |world: &mut World| {
            world.log(next).is_leader() || !world.log(next).membership().contains(next)
        };
        world.until(5_000_000, is_over).expect("it is elected, or another one is");
        elected += usize::from(world.log(next).is_leader());
        let is_idle = |world: &mut World| !world.log(next).is_persisting();
        for number in 0..5 {
            world.until(1_000_000, is_idle).expect("it writes for a while only");
            world.propose(next, number);
        }
        world.until(5_000_000, |world| !world.log(next).membership().contains(next));
        assert!(!world.log(next).is_leader(), "who may not vote does not lead");
        world.cut.clear();
        world.restart(leader);
        world.until(5_000_000, |world| world.established().is_some()).expect("a leader");
        assert_ne!(world.established(), Some(next));
        world.run(500_000);
        world.check();
    }
    assert!(elected > 5, "the removed one led: {elected}");
}

#[test]
fn slow_follower_is_sent_the_map_when_its_entries_are_gone() {
    for durability in [Durability::Memory, Durability::Disk] {
        let mut world = three(15, durability);
        world.disk_max = 1;
        let leader = world.established().expect("a leader");
        let slow = RaftId(if leader.0 == 2 { 3 } else { 2 });
        let third = [1, 2, 3].map(RaftId).into_iter().find(|&id| id != leader && id != slow);
        for id in [leader, third.expect("a third voter")] {
            world.cut.insert((id, slow));
            world.cut.insert((slow, id));
        }
        let received = world.hosts[&slow].maps_received;
        for number in 0..(store::LOG_ENTRIES_MAX as u64 + 200) {
            world.until(1_000_000, |world| world.propose(leader, number)).expect("taken");
        }
        world.run(200_000);
        assert!(world.log(leader).term_at(3).is_none(), "applied entries were dropped");
        let last = world.log(leader).last_idx();
        assert!(world.log(leader).term_at(last - store::TAIL_ENTRIES as u64 + 10).is_some());
        world.cut.clear();
        let is_equal = |world: &mut World| world.log(slow).map().idx == world.log(leader).map().idx;
        world.until(20_000_000, is_equal).expect("it catches up");
        assert_eq!(world.hosts[&slow].maps_received, received + 1);
        world.check();
        if durability == Durability::Disk {
            world.crash(slow);
            world.restart(slow);
            world.until(5_000_000, is_equal).expect("it comes back");
        }
    }
}

#[test]
fn lost_snapshot_is_sent_again() {
    let mut world = World::new(16);
    let leader = world.found(1, Durability::Memory);
    let id = world.join(2, Durability::Memory);
    assert!(
        world
            .with(leader, |log, out| log.propose_members(&[Change::AddLearner { id }], out))
            .is_some()
    );
    // Its first answers pass, then everything to it is lost: the map among it.
    world.run(2_000);
    world.cut.insert((leader, id));
    world.run(300_000);
    world.cut.clear();
    world.until(10_000_000, |world| world.log(id).map().idx.0 > 0).expect("another one comes");
    world.check();
}

#[test]
fn observer_follows_by_entries_and_by_maps() {
    let mut world = World::new(17);
    let id = world.found(1, Durability::Memory);
    world.pull(id);
    for number in 0..100 {
        assert!(world.propose(id, number));
        if number % 7 == 0 {
            world.pull(id);
        }
    }
    world.pull(id);
    assert_eq!(world.observer.as_ref().map(|map| map.settings.transfer_rate), Some(100));
    // More than is kept.
    for number in 0..(crate::meta::follow::HISTORY_ENTRIES_MAX as u64 + 10) {
        assert!(world.propose(id, number));
    }
    let behind = world.observer.as_ref().map(|map| map.idx).expect("it has one");
    let since = world.log(id).since(behind);
    assert!(matches!(since, crate::meta::follow::Since::Map(_)));
    world.pull(id);
    assert_eq!(world.observer.as_ref(), Some(world.log(id).map()));
}

#[test]
fn gap_in_observed_entries_asks_for_what_is_missing() {
    use crate::meta::follow::{Observed, Since, observe};
    let mut world = World::new(18);
    let id = world.found(1, Durability::Memory);
    let mut map = std::sync::Arc::clone(world.log(id).map());
    (0..3).for_each(|number| assert!(world.propose(id, number)));
    let Since::Entries(entries) = world.log(id).since(map.idx) else { panic!("all are kept") };
    let have = map.idx;
    assert_eq!(observe(&mut map, &entries[1]), Ok(Observed::Gap { have }));
    assert!(matches!(observe(&mut map, &entries[0]), Ok(Observed::Applied { .. })));
    assert_eq!(observe(&mut map, &entries[0]), Ok(Observed::Known));
    let mut unknown = std::sync::Arc::new(Map::unknown());
    let have = unknown.idx;
    assert_eq!(observe(&mut unknown, &entries[0]), Ok(Observed::Gap { have }));
}

#[test]
fn equal_seeds_give_equal_messages() {
    let run = |seed| {
        let mut world = three(seed, Durability::Disk);
        world.loss = 20;
        let leader = world.established().expect("a leader");
        (0..20).for_each(|number| _ = world.propose(leader, number));
        world.run(300_000);
        world.crash(leader);
        world.run(1_500_000);
        world.restart(leader);
        world.run(500_000);
        world.hash
    };
    let first: Vec<u64> = (0..10).map(run).collect();
    assert_eq!(first, (0..10).map(run).collect::<Vec<_>>());
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn commands_of_one_entry_are_applied_in_their_order() {
    let mut world = World::new(19);
    let id = world.found(1, Durability::Memory);
    let commands = [command(1), command(2), command(3)];
    assert!(world.with(id, |log, out| log.propose(&commands, out)).is_some_and(|x| x.is_ok()));
    assert_eq!(world.log(id).map().settings.transfer_rate, 4);
    assert!(world.log(id).map().slots_where(|config| config.ver.0 > 1) == SlotSet::default());
}

//! Many clusters under random faults: crashes in the middle of writes, restarts from the disk, links that lose or are cut,
//! transfers and membership changes. Safety is checked all the time, and that they heal at the end.

use super::world::World;
use crate::meta::Durability;
use crate::meta::check::Violation;
use crate::meta::membership::{Change, RaftId};

fn any(world: &mut World, ids: &[RaftId]) -> Option<RaftId> {
    let place = world.prng.below(ids.len().max(1) as u64);
    ids.get(usize::try_from(place).unwrap_or(0)).copied()
}

fn ids(world: &World, is_up: bool) -> Vec<RaftId> {
    world.hosts.keys().copied().filter(|&id| world.is_up(id) == is_up).collect()
}

/// One fault, or one wish of the operator's.
fn disturb(world: &mut World, down_max: usize) {
    let (up, down) = (ids(world, true), ids(world, false));
    let Some(leader) = world.leader() else {
        // Nothing but time helps, or somebody who comes back.
        if let Some(id) = any(world, &down) {
            world.restart(id);
        }
        return;
    };
    match world.prng.below(14) {
        0..=2 if down.len() < down_max => {
            let id = any(world, &up).expect("somebody is up");
            world.crash(id);
        }
        3 if down.len() < down_max => world.crash(leader),
        4..=6 => {
            if let Some(id) = any(world, &down) {
                world.restart(id);
            }
        }
        7 => {
            let (one, other) = (any(world, &up), any(world, &up));
            if let (Some(one), Some(other)) = (one, other) {
                world.cut.insert((one, other));
                if world.prng.chance(1, 2) {
                    world.cut.insert((other, one));
                }
            }
        }
        8 | 9 => world.cut.clear(),
        10 => {
            let to = any(world, &up).expect("somebody is up");
            world.with(leader, |log, out| log.transfer(to, out));
        }
        11 => {
            let id = any(world, &up).expect("somebody is up");
            world.with(id, |log, out| log.campaign(out));
        }
        _ => change_members(world, leader),
    }
}

/// Keeps three voters: a learner takes a voter's place, or a voter becomes a learner and one a voter.
fn change_members(world: &mut World, leader: RaftId) {
    let membership = world.log(leader).membership().clone();
    let others: Vec<RaftId> =
        membership.voters.iter().copied().filter(|&id| id != leader).collect();
    let Some(old) = any(world, &others) else { return };
    let Some(new) = any(world, &membership.learners) else { return };
    let demoted = Change::AddLearner { id: old };
    let changes = [demoted, Change::AddVoter { id: new }];
    world.with(leader, |log, out| log.propose_members(&changes, out));
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    let durability = Durability::Disk;
    world.found(1, durability);
    world.add_voters(&[2, 3], durability);
    for id in [4, 5] {
        let id = world.join(id, durability);
        world.change_members(&[Change::AddLearner { id }]);
    }
    world.loss = world.prng.below(3) * 20;
    world.delay_max = [500, 5_000, 40_000][usize::try_from(world.prng.below(3)).unwrap_or(0)];
    world.disk_max = [100, 3_000, 30_000][usize::try_from(world.prng.below(3)).unwrap_or(0)];
    let down_max = usize::try_from(world.prng.below(4)).unwrap_or(0);
    for number in 0..150u64 {
        let pause = 2_000 + world.prng.below(30_000);
        world.run(pause);
        if world.prng.chance(1, 3) {
            disturb(&mut world, down_max);
        }
        for id in ids(&world, true) {
            // Followers are asked too, and deposed leaders: they must not do harm.
            if world.prng.chance(1, 2) {
                world.propose(id, number);
            }
            if world.prng.chance(1, 10) {
                world.with(id, |log, out| log.read_index(number, out));
            }
        }
        if number % 10 == 0 {
            world.check_logs();
            let id = any(&mut world, &[1, 2, 3, 4, 5].map(RaftId)).expect("five");
            if world.is_up(id)
                && world.observer.as_ref().is_none_or(|map| map.idx <= world.log(id).map().idx)
            {
                world.pull(id);
            }
        }
    }
    heal(&mut world, seed);
    world
}

fn heal(world: &mut World, seed: u64) {
    world.cut.clear();
    (world.loss, world.delay_max, world.disk_max) = (0, 500, 1_000);
    ids(world, false).into_iter().for_each(|id| world.restart(id));
    let took = world.until(10_000_000, |world| world.established().is_some());
    assert!(took.is_some(), "seed {seed}: a leader when the faults are over");
    let is_equal = |world: &mut World| {
        let Some(leader) = world.established() else { return false };
        let log = world.log(leader);
        let is_done = log.commit_idx() == log.last_idx() && !log.membership().is_joint();
        is_done && world.hosts.keys().all(|&id| world.log(id).map().idx == log.map().idx)
    };
    let took = world.until(10_000_000, is_equal);
    assert!(took.is_some(), "seed {seed}: all have one map when the faults are over: {world:#?}");
    let leader = world.established().expect("a leader");
    let before = world.log(leader).map().idx;
    let is_taken =
        |world: &mut World| world.established().is_some_and(|leader| world.propose(leader, 1));
    world.until(3_000_000, is_taken).expect("it is taken");
    let took = world.until(3_000_000, |world| world.log(leader).map().idx > before);
    assert!(took.is_some(), "seed {seed}: things go on");
    world.check();
    let refused = &world.refused;
    assert!(refused.iter().all(|one| matches!(one, Violation::NotMember { .. })), "{refused:?}");
}

fn sweep(seeds: std::ops::Range<u64>) {
    let committed: usize = seeds.clone().map(|seed| run(seed).committed.len()).sum();
    let count = usize::try_from(seeds.end - seeds.start).unwrap_or(1);
    assert!(committed > 20 * count, "the runs get things done: {committed} entries");
}

#[test]
fn random_faults_break_no_rule_of_raft_1() {
    sweep(0..150);
}

#[test]
fn random_faults_break_no_rule_of_raft_2() {
    sweep(150..300);
}

#[test]
fn random_faults_break_no_rule_of_raft_3() {
    sweep(300..450);
}

#[test]
fn random_faults_break_no_rule_of_raft_4() {
    sweep(450..600);
}

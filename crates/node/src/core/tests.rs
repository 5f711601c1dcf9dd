//! Facts about a core that a script of inputs shows.

use std::sync::Arc;

use ringhold_cluster::command::Command;
use ringhold_cluster::control::Control;
use ringhold_cluster::map::{ClusterId, FOUNDER, Founding, Map, Settings};
use ringhold_cluster::meta::Durability;
use ringhold_cluster::meta::membership::{Change, Membership, RaftId};
use ringhold_cluster::node::{Announcement, NodeName};
use ringhold_types::id::{Incarnation, MapIdx, Member};
use ringhold_types::time::Instant;

use super::voters::{Candidate, Presence, changes};
use super::{Core, Identity, Input, Output, Sender};

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a name")
}

fn register(text: &str, after: u32, nonce: u128) -> Command {
    let announced = Box::new(Announcement::of(nonce, 7, text));
    Command::Register { name: name(text), after: Incarnation(after), announced }
}

/// A cluster whose founder is alone.
fn founded() -> Map {
    let founding = Founding { cluster: ClusterId(1), hash_seed: 1, settings: Settings::STANDARD };
    Map::founded(founding, name("a"), Announcement::of(1, 7, "a"))
}

/// A process that knows `map` and is not in it.
fn joining(map: &Map) -> Core {
    let identity = Identity {
        name: name("j"),
        announced: Announcement::of(9, 9, "j"),
        seed: 1,
        durability: Durability::Memory,
    };
    let mut core = Core::join(Instant(0), identity);
    tell(&mut core, Control::MapWhole { map: Arc::new(map.clone()) });
    core
}

fn tell(core: &mut Core, control: Control) -> Vec<Output> {
    let mut out = Vec::new();
    let input = Input::Received { from: Sender::Stranger(1), control };
    core.step(Instant(1), input, &mut out);
    out
}

fn told_leader(core: &mut Core, term: u64, leader: Member) -> Option<Member> {
    tell(core, Control::LeaderIs { term, leader });
    core.leader()
}

const AGAIN: Member = Member { node: FOUNDER.node, incarnation: Incarnation(2) };

#[test]
fn a_leader_that_registers_anew_is_known_by_its_new_incarnation_in_the_same_term() {
    let mut core = joining(&founded());
    assert_eq!(told_leader(&mut core, 4, FOUNDER), Some(FOUNDER));
    assert_eq!(told_leader(&mut core, 4, AGAIN), Some(AGAIN));
    assert_eq!(told_leader(&mut core, 4, FOUNDER), Some(AGAIN), "not back");
}

#[test]
fn nobody_follows_a_leader_that_the_map_knows_for_dead() {
    let mut map = founded();
    let mut core = joining(&map);
    assert_eq!(told_leader(&mut core, 4, FOUNDER), Some(FOUNDER));
    map.apply(MapIdx(2), 4, &[register("a", 1, 2)]);
    tell(&mut core, Control::MapWhole { map: Arc::new(map) });
    assert_eq!(core.leader(), None);
    assert_eq!(told_leader(&mut core, 5, FOUNDER), None);
    assert_eq!(told_leader(&mut core, 4, AGAIN), Some(AGAIN));
}

/// `v` votes, `l` learns; an upper case letter is one that is gone.
fn voters_become(voters: &str, learners: &str, candidates: &str, expected: &[Change]) {
    let ids = |text: &str| text.bytes().map(|it| RaftId(it.into())).collect::<Vec<_>>();
    let membership =
        Membership { voters: ids(voters), learners: ids(learners), ..Membership::default() };
    let candidate = |letter: char| {
        let is_there = letter.is_ascii_lowercase();
        Candidate {
            id: RaftId(u64::from(letter.to_ascii_lowercase())),
            presence: if is_there { Presence::Heard } else { Presence::Gone },
            is_caught_up: is_there,
        }
    };
    let candidates: Vec<Candidate> = candidates.chars().map(candidate).collect();
    assert_eq!(changes(&membership, &candidates, 0), expected, "{voters} {learners}");
}

fn add(id: char) -> Change {
    Change::AddVoter { id: RaftId(id.into()) }
}

fn learn(id: char) -> Change {
    Change::AddLearner { id: RaftId(id.into()) }
}

fn remove(id: char) -> Change {
    Change::Remove { id: RaftId(id.into()) }
}

#[test]
fn voters_become_three_when_there_are_three_nodes() {
    voters_become("a", "", "ab", &[]);
    voters_become("a", "", "abc", &[learn('b')]);
    voters_become("a", "b", "abc", &[learn('c')]);
    voters_become("a", "bc", "abc", &[add('b'), add('c')]);
    voters_become("abc", "", "abcdef", &[]);
    voters_become("abc", "", "abcdefg", &[learn('d')]);
    voters_become("abc", "de", "abcdefg", &[add('d'), add('e')]);
}

#[test]
fn a_voter_that_is_gone_keeps_its_place_until_another_has_caught_up() {
    voters_become("abc", "", "aBC", &[]);
    voters_become("abc", "", "abC", &[]);
    voters_become("abc", "", "abCd", &[learn('d')]);
    voters_become("abc", "d", "abCd", &[add('d'), remove('c')]);
    voters_become("abc", "d", "aBCd", &[add('d'), remove('b')]);
    voters_become("abcde", "f", "aBCDEfg", &[add('f'), remove('b')]);
}

#[test]
fn voters_become_fewer_only_for_nodes_that_leave() {
    voters_become("abc", "", "ab", &[remove('c'), remove('b')]);
    voters_become("abcde", "", "abcdef", &[remove('d'), remove('e')]);
}

#[test]
fn a_learner_that_is_gone_makes_room() {
    voters_become("abc", "d", "abcD", &[remove('d')]);
    voters_become("abc", "d", "abc", &[remove('d')]);
}

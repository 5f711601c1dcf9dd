//! Whole turns of several workers over the same shards: blocks that take read locks in ascending order, commands that
//! hold several shards, and writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use ringhold_node::auth::Passwords;
use ringhold_node::clients::{ClientRecord, Clients};
use ringhold_node::content_types::ContentTypes;
use ringhold_node::held::Held;
use ringhold_node::namespaces::Namespaces;
use ringhold_node::session::Session;
use ringhold_node::shard_cell::ShardCell;
use ringhold_node::state::{Disabled, NodeState, Process, Tunables, http_fields};
use ringhold_node::stats::Stats;
use ringhold_node::turn::{Sessions, Turn};
use ringhold_store::budget::Budget;
use ringhold_store::hash::HashSeed;

use super::threads::{Body, check, together};
use super::{GEOMETRY, THREADS, now};
use crate::shards::Shards;

/// A node, all of it but the sockets.
struct World {
    node: NodeState,
    shards: Shards,
}

struct One(Session);

impl Sessions for One {
    fn session(&mut self, _idx: usize) -> Option<&mut Session> {
        Some(&mut self.0)
    }
}

/// A worker with one connection.
struct Worker {
    world: Arc<World>,
    turn: Turn,
    one: One,
    idx: usize,
}

impl World {
    fn new() -> Arc<Self> {
        let budget = Budget::new(&GEOMETRY);
        let seed = HashSeed::new(7);
        let workers = usize::try_from(THREADS).expect("a count");
        let cell = |idx| ShardCell::new(idx, &GEOMETRY, seed, &budget);
        let shards = Shards::new((0..GEOMETRY.shards).map(cell).collect());
        let node = NodeState {
            name: "test".to_owned(),
            http_fields: http_fields("test"),
            run_id: String::new(),
            started: now(0),
            resp_port: 0,
            workers,
            hash_seed: seed,
            geometry: GEOMETRY,
            budget,
            passwords: Passwords::default(),
            server_names: Vec::new(),
            disabled_commands: Disabled::default(),
            namespaces: Namespaces::default(),
            content_types: ContentTypes::default(),
            tunables: Tunables {
                idle_timeout_ms: AtomicU64::new(0),
                connections_max: AtomicUsize::new(1),
            },
            clients: Clients::default(),
            held: Held::default(),
            stats: Stats::new(workers),
            process: Process::default(),
        };
        Arc::new(Self { node, shards })
    }
}

impl Worker {
    fn new(world: &Arc<World>, idx: usize) -> Self {
        let record = ClientRecord::new(1, "a:1".into(), "b:2".into(), now(0).unix());
        let one = One(Session::resp(Arc::new(record), false));
        Self { world: Arc::clone(world), turn: Turn::new(&world.node, idx), one, idx }
    }

    /// One turn in which these commands arrive, one a line; their answers.
    fn turn(&mut self, lines: &str) -> String {
        // As clients send them: inline commands take no part in a block.
        let word = |word: &str| format!("${}\r\n{word}\r\n", word.len());
        let command = |line: &str| -> String {
            let words: Vec<String> = line.split(' ').map(word).collect();
            format!("*{}\r\n{}", words.len(), words.concat())
        };
        let commands: String = lines.lines().map(command).collect();
        self.turn.begin();
        let space = self.turn.space(&mut self.one.0);
        space[..commands.len()].copy_from_slice(commands.as_bytes());
        self.turn.received(&self.world.node, 0, &mut self.one.0, commands.len());
        let World { node, shards } = &*self.world;
        self.turn.execute(&mut self.one, shards, node, now(0));
        String::from_utf8(self.turn.output().bytes.clone()).expect("answers are text")
    }

    /// Two numbers read in one turn.
    fn numbers(&mut self, lines: &str) -> (u64, u64) {
        let answers = self.turn(lines);
        let mut numbers = answers.lines().filter_map(|line| line.parse().ok());
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(a), Some(b), None) => (a, b),
            _ => panic!("worker {}: {answers}", self.idx),
        }
    }
}

#[test]
fn what_holds_several_shards_is_seen_at_once_and_never_taken_back() {
    check(|seed| {
        let world = World::new();
        let first = Worker::new(&world, 0).turn("MSET a 0 b 0 c 0");
        assert_eq!(first, "+OK\r\n");
        let mut writer = Worker::new(&world, 0);
        let mut reader = Worker::new(&world, 1);
        let mut counter = Worker::new(&world, 2);
        // Keys of three shards, in either order: what is held is sorted first.
        let (a, b) = if seed.is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
        let write: Body = Box::new(move || {
            for n in 1..4 {
                let answer = writer.turn(&format!("MSET {a} {n} {b} {n}"));
                assert_eq!(answer, "+OK\r\n");
            }
        });
        let read: Body = Box::new(move || {
            let mut last = 0;
            for _ in 0..3 {
                let (one, other) = reader.numbers(&format!("MULTI\nMGET {b} {a}\nEXEC"));
                assert_eq!(one, other, "what is written at once is read at once");
                assert!(one >= last, "what was read is not taken back");
                let (one, other) = reader.numbers(&format!("GET {a}\nGET {b}"));
                assert!(last <= one && one <= other, "nor by a later read of the same turn");
                last = other;
            }
        });
        let count: Body = Box::new(move || {
            for n in 1..3 {
                let answer = counter.turn("GET a\nINCR c\nGET b");
                assert!(answer.contains(&format!(":{n}\r\n")), "each increment counts: {answer}");
            }
        });
        together(vec![write, read, count]);
        let access = ringhold_node::cells::Access::each(&world.shards);
        access.read_each(ShardCell::check_invariants);
    });
}

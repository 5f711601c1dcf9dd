//! Facts about turns, without sockets and locks.

mod commands;

use std::cell::{Ref, RefCell, RefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use ringhold_store::budget::{Budget, EngineConfig, Geometry};
use ringhold_store::hash::HashSeed;
use ringhold_types::time::{Instant, Now};

use crate::auth::Passwords;
use crate::cells::Cells;
use crate::clients::{ClientRecord, Clients};
use crate::held::Held;
use crate::session::Session;
use crate::shard_cell::ShardCell;
use crate::state::{Disabled, NodeState, Process, Tunables, http_fields};
use crate::stats::Stats;
use crate::turn::{Sessions, Turn};

/// Cells behind no lock: a double use panics.
struct Bare(Vec<RefCell<ShardCell>>);

impl Cells for Bare {
    type Read<'a> = Ref<'a, ShardCell>;
    type Write<'a> = RefMut<'a, ShardCell>;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn read(&self, idx: usize) -> Self::Read<'_> {
        self.0[idx].borrow()
    }

    fn write(&self, idx: usize) -> Self::Write<'_> {
        self.0[idx].borrow_mut()
    }

    fn try_write(&self, idx: usize) -> Option<Self::Write<'_>> {
        self.0[idx].try_borrow_mut().ok()
    }
}

struct One(Session);

impl Sessions for One {
    fn session(&mut self, _idx: usize) -> Option<&mut Session> {
        Some(&mut self.0)
    }
}

/// A node of one connection.
struct World {
    node: NodeState,
    cells: Bare,
    turn: Turn,
    one: One,
    now: Now,
}

impl World {
    fn new(session: impl FnOnce(Now) -> Session) -> Self {
        let config = EngineConfig { limit: 64 << 20, cores: 1, value_len_max: None };
        let geometry = Geometry::new(&config).expect("it can be divided");
        let budget = Budget::new(&geometry);
        let seed = HashSeed::new(7);
        let now = Now { instant: Instant(1), unix_micros: 1_800_000_000_000_000 };
        let cells = (0..geometry.shards)
            .map(|idx| RefCell::new(ShardCell::new(idx, &geometry, seed, &budget)))
            .collect();
        let node = NodeState {
            name: "test".to_owned(),
            http_fields: http_fields("test"),
            run_id: String::new(),
            started: now,
            resp_port: 0,
            workers: 1,
            hash_seed: seed,
            geometry,
            budget,
            passwords: Passwords::default(),
            server_names: Vec::new(),
            disabled_commands: Disabled::of(&["FLUSHALL".to_owned(), "nonsense".to_owned()]),
            namespaces: crate::namespaces::Namespaces::default(),
            content_types: crate::content_types::ContentTypes::default(),
            tunables: Tunables {
                idle_timeout_ms: AtomicU64::new(0),
                connections_max: AtomicUsize::new(1),
            },
            clients: Clients::default(),
            held: Held::default(),
            stats: Stats::new(1),
            process: Process::default(),
        };
        let turn = Turn::new(&node, 0);
        Self { node, cells: Bare(cells), turn, one: One(session(now)), now }
    }

    fn resp() -> Self {
        Self::new(|now| {
            let record = ClientRecord::new(1, "a:1".into(), "b:2".into(), now.unix());
            Session::resp(Arc::new(record), false)
        })
    }

    fn http() -> Self {
        Self::new(|_| Session::http())
    }

    /// One turn in which `bytes` arrive.
    fn turn(&mut self, bytes: &[u8]) {
        self.turn.begin();
        let space = self.turn.space(&mut self.one.0);
        space[..bytes.len()].copy_from_slice(bytes);
        self.turn.received(&self.node, 0, &mut self.one.0, bytes.len());
        self.turn.execute(&mut self.one, &self.cells, &self.node, self.now);
    }

    #[track_caller]
    fn check(&mut self, bytes: &str, answer: &str) {
        self.turn(bytes.as_bytes());
        assert_eq!(String::from_utf8_lossy(&self.turn.output().bytes), answer);
    }
}

#[test]
fn incomplete_commands_of_all_clients_are_bounded() {
    let mut world = World::resp();
    // Another client holds nearly everything.
    assert!(world.node.held.change(0, crate::held::HELD_LEN_MAX));
    let start = format!("*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$900000\r\n{}", "v".repeat(60_000));
    world.check(&start, "");
    let more = "v".repeat(60_000);
    world.check(&more, "");
    world.check(
        &more,
        "-TRYAGAIN too many bytes of incomplete commands are held for all clients, try again\r\n",
    );
    assert_eq!(world.one.0.fate(), crate::session::Fate::Close);
}

#[test]
fn a_read_before_a_large_value_does_not_hold_its_shard() {
    let mut world = World::resp();
    // One key, so one shard: the read is answered under its lock, and the value behind it needs the same for writing.
    let start = format!(
        "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$70000\r\n{}",
        "v".repeat(1000)
    );
    world.check(&start, "$-1\r\n");
    while world.one.0.incoming.as_ref().is_some_and(|incoming| !incoming.is_whole()) {
        world.turn.begin();
        let space = world.turn.space(&mut world.one.0);
        let len = space.len();
        space.fill(b'v');
        world.turn.received(&world.node, 0, &mut world.one.0, len);
        world.turn.execute(&mut world.one, &world.cells, &world.node, world.now);
    }
    world.check("\r\nSTRLEN k\r\n", "+OK\r\n:70000\r\n");
}

#[test]
fn a_get_and_a_set_in_place_allocate_nothing() {
    let key = |number: usize| format!("key:{number:04}");
    let value = "v".repeat(100);
    let set = |number| {
        let key = key(number);
        format!("*3\r\n$3\r\nSET\r\n$8\r\n{key}\r\n$100\r\n{value}\r\n")
    };
    let sets: String = (0..100).map(set).collect();
    let gets: String =
        (0..100).map(|number| format!("*2\r\n$3\r\nGET\r\n$8\r\n{}\r\n", key(number))).collect();
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 8])));
    assert_eq!(counted.count_total, 1, "what is measured can be seen");
    let mut world = World::resp();
    for requests in [&sets, &gets] {
        // The first turns take what all later ones use again.
        world.turn(requests.as_bytes());
        world.turn(requests.as_bytes());
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                world.turn(requests.as_bytes());
            }
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
    let mut world = World::http();
    let put =
        format!("PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{value}");
    let get = "GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    for request in [put.repeat(50), get.repeat(50)] {
        world.turn(request.as_bytes());
        world.turn(request.as_bytes());
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                world.turn(request.as_bytes());
            }
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
    world.cells.0.iter().for_each(|cell| cell.borrow().check_invariants());
}

#[test]
fn leave_to_send_a_body_is_given_after_an_interrupted_turn_too() {
    let mut world = World::http();
    let value = "v".repeat(4_000);
    let fields = "HTTP/1.1\r\nHost: localhost\r\nContent-Length:";
    world.turn(format!("PUT /v1/keys/k {fields} {}\r\n\r\n{value}", value.len()).as_bytes());
    let get = "GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let put = format!("PUT /v1/keys/k {fields} 5\r\nExpect: 100-continue\r\n\r\n");
    world.turn(format!("{get}{put}").as_bytes());
    assert!(world.one.0.has_work(), "the answers are longer than those of one turn");
    while world.one.0.has_work() {
        world.turn(b"");
    }
    assert!(world.turn.output().bytes.ends_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
    world.turn(b"other");
    assert!(world.turn.output().bytes.starts_with(b"HTTP/1.1 204 "));
}

#[test]
fn a_disabled_command_is_unknown() {
    let mut world = World::resp();
    world.check(
        "FLUSHALL\r\nCOMMAND INFO flushall\r\nFLUSHDB\r\n",
        "-ERR unknown command 'FLUSHALL', with args beginning with: \r\n*1\r\n$-1\r\n+OK\r\n",
    );
}

#[test]
fn a_long_command_is_not_decoded_before_it_can_be_whole() {
    let value = "w".repeat(300_000);
    let command = format!(
        "MULTI\r\n*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$300000\r\n{value}\r\n$1\r\nb\r\n$300000\r\n{value}\r\nEXEC\r\n"
    );
    let mut world = World::resp();
    let (mut answers, mut gathered, mut pieces) = (Vec::new(), 0, 0);
    for piece in command.as_bytes().chunks(10_000) {
        world.turn.begin();
        let space = world.turn.space(&mut world.one.0);
        space[..piece.len()].copy_from_slice(piece);
        gathered += usize::from(world.one.0.missing > piece.len());
        pieces += 1;
        world.turn.received(&world.node, 0, &mut world.one.0, piece.len());
        world.turn.execute(&mut world.one, &world.cells, &world.node, world.now);
        answers.extend_from_slice(&world.turn.output().bytes);
    }
    assert_eq!(answers, b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert!(
        gathered > pieces - 10,
        "{gathered} of {pieces} pieces were only put behind the others"
    );
    world.cells.0.iter().for_each(|cell| cell.borrow().check_invariants());
}

#[test]
fn a_conversation_is_the_same_however_its_bytes_are_split() {
    let value = "w".repeat(70_000);
    let commands = format!(
        "SET a 1\r\nMULTI\r\nINCR a\r\nEXEC\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$70000\r\n{value}\r\nSTRLEN b\r\n\
         *5\r\n$3\r\nset\r\n$1\r\nb\r\n$70000\r\n{value}\r\n$2\r\nNX\r\n$3\r\nGET\r\nGETRANGE b 0 3\r\nFOO\r\n\
         *9\r\n$4\r\nMSET\r\n$1\r\nc\r\n$70000\r\n{value}\r\n$1\r\nd\r\n$5\r\nshort\r\n$1\r\nb\r\n$70000\r\n{value}\r\n\
         $1\r\ne\r\n$70000\r\n{value}\r\nGET d\r\nGET c\r\nSTRLEN e\r\n\
         *5\r\n$6\r\nMSETNX\r\n$1\r\nf\r\n$70000\r\n{value}\r\n$1\r\nd\r\n$70000\r\n{value}\r\nEXISTS f\r\n\
         DEL a b\r\n"
    );
    let bytes = commands.as_bytes();
    let whole = |step: usize| {
        let mut world = World::resp();
        let mut answers = Vec::new();
        for piece in bytes.chunks(step) {
            let mut piece = piece;
            while !piece.is_empty() {
                world.turn.begin();
                let space = world.turn.space(&mut world.one.0);
                let len = piece.len().min(space.len());
                space[..len].copy_from_slice(&piece[..len]);
                piece = &piece[len..];
                world.turn.received(&world.node, 0, &mut world.one.0, len);
                world.turn.execute(&mut world.one, &world.cells, &world.node, world.now);
                let output = world.turn.output();
                let mut at = 0;
                for insert in &output.inserts {
                    answers.extend_from_slice(&output.bytes[at..insert.at]);
                    answers.extend(insert.value.chunks().flatten().take(insert.len));
                    at = insert.at;
                }
                answers.extend_from_slice(&output.bytes[at..]);
            }
        }
        world.cells.0.iter().for_each(|cell| cell.borrow().check_invariants());
        answers
    };
    let expected = whole(50_000);
    assert!(expected.ends_with(b":2\r\n") && expected.len() > 70_000);
    for step in [1, 7, 64, 1000, 65_536] {
        assert!(whole(step) == expected, "in pieces of {step}");
    }
}

/// Sends `bytes` in as many turns as it takes; the answers, without large values.
fn talk(world: &mut World, mut bytes: &[u8]) -> String {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let len = bytes.len().min(world.turn.space(&mut world.one.0).len());
        world.turn(&bytes[..len]);
        bytes = &bytes[len..];
        answers.extend_from_slice(&world.turn.output().bytes);
    }
    String::from_utf8(answers).expect("answers are text")
}

#[test]
fn values_of_a_command_with_several_go_into_pages_as_they_come() {
    let (long, longer) = ("v".repeat(100_000), "w".repeat(1_000_000));
    let start = format!(
        "*7\r\n$4\r\nMSET\r\n$1\r\na\r\n$100000\r\n{long}\r\n$1\r\nb\r\n$3\r\nabc\r\n$1\r\nc\r\n$1000000\r\n"
    );
    let mut world = World::resp();
    let before = world.node.budget.used();
    assert_eq!(talk(&mut world, format!("{start}{}", &longer[..900_000]).as_bytes()), "");
    assert_eq!(world.node.held.bytes(), 0, "nothing of it is gathered");
    assert!(world.node.budget.used() - before >= 1_100_000, "the store has it");
    world.one.0.end(&world.cells, &world.node);
    assert_eq!(world.node.budget.used(), before, "what is abandoned is given back");
    let mut world = World::resp();
    let answers = talk(&mut world, format!("{start}{longer}\r\n").as_bytes());
    assert_eq!(answers, "+OK\r\n");
    world.check("STRLEN a\r\nGET b\r\nSTRLEN c\r\n", ":100000\r\n$3\r\nabc\r\n:1000000\r\n");
    // More than may be in flight at a time: what finds no room beside its own kind is gathered.
    let longest = "x".repeat(5 << 20);
    let len = longest.len();
    let start = format!(
        "*5\r\n$4\r\nMSET\r\n$1\r\na\r\n${len}\r\n{longest}\r\n$1\r\nb\r\n${len}\r\n{longest}"
    );
    assert_eq!(talk(&mut world, start.as_bytes()), "");
    assert!((len..len + 1000).contains(&(world.node.held.bytes() + crate::held::FREE_LEN_MAX)));
    assert_eq!(talk(&mut world, b"\r\n"), "+OK\r\n");
    world.check("STRLEN a\r\nSTRLEN b\r\n", &format!(":{len}\r\n").repeat(2));
    assert_eq!(world.node.held.bytes(), 0);
    world.cells.0.iter().for_each(|cell| cell.borrow().check_invariants());
}

#[test]
fn what_transactions_hold_is_in_the_account() {
    let mut world = World::resp();
    let key = |number: usize| format!("{number:060000}");
    let watch = |key: &str| format!("*2\r\n$5\r\nWATCH\r\n${}\r\n{key}\r\n", key.len());
    for number in 0..10 {
        // Repeated keys are held once.
        world.check(&watch(&key(number)), "+OK\r\n");
        world.check(&watch(&key(number)), "+OK\r\n");
    }
    let held = world.node.held.bytes() + crate::held::FREE_LEN_MAX;
    assert!((600_000..620_000).contains(&held), "{held}");
    world.check("UNWATCH\r\nMULTI\r\n", "+OK\r\n+OK\r\n");
    assert_eq!(world.node.held.bytes(), 0);
    for number in 0..10 {
        world.check(&format!("*2\r\n$3\r\nGET\r\n$60000\r\n{}\r\n", key(number)), "+QUEUED\r\n");
    }
    let held = world.node.held.bytes() + crate::held::FREE_LEN_MAX;
    assert!((600_000..620_000).contains(&held), "{held}");
    world.check("DISCARD\r\nMULTI\r\n", "+OK\r\n+OK\r\n");
    assert_eq!(world.node.held.bytes(), 0);
    // Others hold everything but what each has free.
    let all = crate::held::HELD_LEN_MAX + crate::held::FREE_LEN_MAX;
    assert!(world.node.held.change(0, all));
    world.check(&format!("GET {}\r\n", key(1)), "+QUEUED\r\n");
    let refused =
        "-TRYAGAIN too many bytes of incomplete commands are held for all clients, try again\r\n";
    world.check(
        &format!("GET {}\r\nGET k\r\n", key(2)),
        &format!("+QUEUED\r\n{}{refused}", "+QUEUED\r\n"),
    );
    assert_eq!(world.one.0.fate(), crate::session::Fate::Close);
}

#[test]
fn an_entry_whose_time_is_over_is_not_deleted_by_anybody() {
    let mut world = World::resp();
    world.check("SET a 1 PX 10\r\nSET b 1\r\n", "+OK\r\n+OK\r\n");
    world.now.unix_micros += 20_000;
    world.check("DEL a b\r\nDBSIZE\r\n", ":1\r\n:0\r\n");
    let mut world = World::http();
    world
        .turn(b"PUT /v1/keys/a?ttl=10ms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv");
    world.now.unix_micros += 20_000;
    world.turn(b"DELETE /v1/keys/a?strict=true HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(world.turn.output().bytes.starts_with(b"HTTP/1.1 404 "));
}

#[test]
fn commands_before_a_password_are_executed_in_one_turn() {
    let mut world = World::new(|now| {
        let record = ClientRecord::new(1, "a:1".into(), "b:2".into(), now.unix());
        Session::resp(Arc::new(record), true)
    });
    world.check(&"PING\r\n".repeat(1_000), &"-NOAUTH Authentication required.\r\n".repeat(1_000));
    assert!(!world.one.0.has_work());
    world.turn(b"PING\r\nPI");
    assert!(!world.one.0.has_work(), "more bytes have to come");
}

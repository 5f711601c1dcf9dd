//! Commands and their exact replies, at a fixed time: those of Redis 7.2, but for what docs/compatibility.md says.

use super::World;

/// 2027-01-15, the time of a [`World`], in seconds.
const NOW_S: u64 = 1_800_000_000;

/// Sends each line and expects its reply; one connection, one after another. A reply is written without the CRLF at its
/// end, with spaces for those inside.
#[track_caller]
fn check(table: &[(&str, &str)]) {
    let mut world = World::resp();
    check_in(&mut world, table);
}

#[track_caller]
fn check_in(world: &mut World, table: &[(&str, &str)]) {
    for (line, reply) in table {
        world.turn(format!("{line}\r\n").as_bytes());
        let text = String::from_utf8_lossy(&world.turn.output().bytes).into_owned();
        let is_line = reply.starts_with(['+', '-']);
        let text = if is_line { text.trim_end().to_owned() } else { text.replace("\r\n", " ") };
        assert_eq!(text.trim_end(), *reply, "{line}");
    }
}

const NIL: &str = "$-1";
const OK: &str = "+OK";
const SYNTAX: &str = "-ERR syntax error";
const NO_INTEGER: &str = "-ERR value is not an integer or out of range";

#[test]
fn set_has_ends_and_conditions() {
    check(&[
        ("SET a 1 EXAT 2600000000", OK),
        ("EXPIRETIME a", ":2600000000"),
        ("SET a 1 PXAT 2600000000123", OK),
        ("PEXPIRETIME a", ":2600000000123"),
        ("SET a 2 KEEPTTL", OK),
        ("PEXPIRETIME a", ":2600000000123"),
        ("SET a 3", OK),
        ("TTL a", ":-1"),
        ("SET a 1 EXAT 1", OK),
        ("GET a", NIL),
        ("SET a 1 EXAT 0", "-ERR invalid expire time in 'set' command"),
        ("SET a 1 PXAT -1", "-ERR invalid expire time in 'set' command"),
        ("SET a 1 EXAT x", NO_INTEGER),
        ("SET a 1 EXAT 5 PXAT 5", SYNTAX),
        ("SET a 1 EXAT", SYNTAX),
        ("SET a old", OK),
        ("SET a new IFEQ other", NIL),
        ("SET a new IFEQ old", OK),
        ("SET a next IFEQ new GET", "$3 new"),
        ("SET a last IFEQ no GET", "$4 next"),
        ("SET none v IFEQ v", NIL),
        ("GET none", NIL),
        ("SET a v NX IFEQ next", SYNTAX),
        ("SET a v EX 10 IFEQ next", OK),
        ("TTL a", ":10"),
    ]);
}

#[test]
fn a_key_is_deleted_if_it_equals() {
    check(&[
        ("SET a v", OK),
        ("DELIFEQ a other", ":0"),
        ("DELIFEQ a v", ":1"),
        ("DELIFEQ a v", ":0"),
        ("DELIFEQ a", "-ERR wrong number of arguments for 'delifeq' command"),
    ]);
}

#[test]
fn getex_reads_and_changes_the_end() {
    check(&[
        ("SET a v", OK),
        ("GETEX a", "$1 v"),
        ("GETEX a EX 10", "$1 v"),
        ("TTL a", ":10"),
        ("GETEX a PX 1500", "$1 v"),
        ("PTTL a", ":1500"),
        ("GETEX a EXAT 2600000000", "$1 v"),
        ("EXPIRETIME a", ":2600000000"),
        ("GETEX a PXAT 2600000000123", "$1 v"),
        ("PEXPIRETIME a", ":2600000000123"),
        ("GETEX a PERSIST", "$1 v"),
        ("TTL a", ":-1"),
        ("GETEX a EX 0", "-ERR invalid expire time in 'getex' command"),
        ("GETEX a FOO", SYNTAX),
        ("GETEX a EX 1 PX 1", SYNTAX),
        ("GETEX none EX 10", NIL),
        ("GETEX a EXAT 1", "$1 v"),
        ("GET a", NIL),
    ]);
}

#[test]
fn several_keys_are_set_together_or_not_at_all() {
    check(&[
        ("MSETNX a 1 b 2", ":1"),
        ("MSETNX b 3 c 4", ":0"),
        ("MGET a b c", "*3 $1 1 $1 2 $-1"),
        ("MSETNX a", "-ERR wrong number of arguments for 'msetnx' command"),
        ("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"),
        ("MSET a 9 b 8", OK),
        ("MGET a b", "*2 $1 9 $1 8"),
        ("EXISTS a b c a", ":3"),
        ("TOUCH a b c", ":2"),
        ("UNLINK a b c", ":2"),
        ("EXISTS a b", ":0"),
        ("UNLINK", "-ERR wrong number of arguments for 'unlink' command"),
    ]);
}

#[test]
fn numbers_are_counted_down_and_in_fractions() {
    check(&[
        ("DECR n", ":-1"),
        ("DECRBY n 4", ":-5"),
        ("SET n -9223372036854775808", OK),
        ("DECR n", "-ERR increment or decrement would overflow"),
        ("DECRBY n -9223372036854775808", "-ERR decrement would overflow"),
        ("SET n x", OK),
        ("DECR n", NO_INTEGER),
        ("SET f 10.5", OK),
        ("INCRBYFLOAT f 0.1", "$4 10.6"),
        ("INCRBYFLOAT f -5", "$3 5.6"),
        ("SET f 5.0e3", OK),
        ("INCRBYFLOAT f 2.0e2", "$4 5200"),
        ("INCRBYFLOAT new 3", "$1 3"),
        ("INCRBYFLOAT f x", "-ERR value is not a valid float"),
        ("INCRBYFLOAT n 1", "-ERR value is not a valid float"),
        ("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity"),
    ]);
}

#[test]
fn ends_are_set_under_conditions_and_read() {
    check(&[
        ("SET a v", OK),
        ("TYPE a", "+string"),
        ("TYPE none", "+none"),
        ("PTTL a", ":-1"),
        ("PTTL none", ":-2"),
        ("EXPIRETIME a", ":-1"),
        ("PEXPIRETIME none", ":-2"),
        ("EXPIRE a 100 XX", ":0"),
        ("EXPIRE a 100 GT", ":0"),
        ("EXPIRE a 100 NX", ":1"),
        ("EXPIRE a 100 NX", ":0"),
        ("EXPIRE a 50 GT", ":0"),
        ("EXPIRE a 200 GT", ":1"),
        ("EXPIRE a 300 LT", ":0"),
        ("EXPIRE a 150 LT", ":1"),
        ("EXPIRE a 160 XX GT", ":1"),
        ("TTL a", ":160"),
        ("PTTL a", ":160000"),
        ("PEXPIRE a 5000", ":1"),
        ("PTTL a", ":5000"),
        ("PEXPIRE a 4000 GT", ":0"),
        ("EXPIREAT a 2600000000", ":1"),
        ("EXPIRETIME a", ":2600000000"),
        ("EXPIREAT a 2600000001 LT", ":0"),
        ("PEXPIREAT a 2600000000123", ":1"),
        ("PEXPIRETIME a", ":2600000000123"),
        ("PEXPIREAT a 2600000000124 NX", ":0"),
        ("PERSIST a", ":1"),
        ("EXPIRE a 1 LT", ":1"),
        ("EXPIRE none 1", ":0"),
        (
            "EXPIRE a 1 NX XX",
            "-ERR NX and XX, GT or LT options at the same time are not compatible",
        ),
        ("EXPIRE a 1 GT LT", "-ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE a 1 FOO", "-ERR Unsupported option FOO"),
        ("EXPIRE a x", NO_INTEGER),
        ("PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
        ("EXPIREAT a 1", ":1"),
        ("EXISTS a", ":0"),
    ]);
}

#[test]
fn keys_are_listed_by_pattern_and_type() {
    check(&[
        ("SET one v", OK),
        ("KEYS *", "*1 $3 one"),
        ("KEYS o?e", "*1 $3 one"),
        ("KEYS [a-n]*", "*0"),
        ("KEYS", "-ERR wrong number of arguments for 'keys' command"),
        ("SCAN 0 COUNT 1000 TYPE string", "*2 $1 0 *1 $3 one"),
        ("SCAN 0 COUNT 1000 TYPE STRING MATCH o*", "*2 $1 0 *1 $3 one"),
        ("SCAN 0 COUNT 1000 TYPE hash", "*2 $1 0 *0"),
        ("SCAN 0 COUNT 1000 MATCH x*", "*2 $1 0 *0"),
        ("SCAN 0 TYPE", SYNTAX),
        ("SCAN 0 COUNT 0", SYNTAX),
        ("SCAN x", "-ERR invalid cursor"),
    ]);
}

#[test]
fn a_client_describes_itself() {
    let mut world = World::resp();
    check_in(
        &mut world,
        &[
            ("CLIENT SETINFO LIB-NAME lib", OK),
            ("CLIENT SETINFO lib-ver 1.2", OK),
            (
                "CLIENT SETINFO LIB-NAME \"a b\"",
                "-ERR lib-name cannot contain spaces, newlines or special characters.",
            ),
            ("CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'"),
            ("CLIENT SETNAME me", OK),
            ("CLIENT NO-EVICT on", OK),
            ("CLIENT NO-TOUCH on", OK),
            ("CLIENT NO-TOUCH x", SYNTAX),
            ("CLIENT NO-EVICT x", SYNTAX),
            ("CLIENT UNBLOCK 99999", ":0"),
            ("CLIENT UNBLOCK 99999 TIMEOUT", ":0"),
            ("CLIENT UNBLOCK x", NO_INTEGER),
            ("CLIENT UNBLOCK 1 FOO", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
            ("CLIENT PAUSE 1 FOO", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
            ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
            ("CLIENT PAUSE -1", "-ERR timeout is negative"),
            ("SELECT 2", OK),
        ],
    );
    world.turn(b"CLIENT INFO\r\n");
    let text = String::from_utf8_lossy(&world.turn.output().bytes).into_owned();
    for field in [
        "id=1 addr=a:1 laddr=b:2 ",
        " name=me age=0 idle=0 flags=eT db=2 ",
        " multi=-1 watch=0 ",
        " cmd=client|info user=default ",
        " resp=2 lib-name=lib lib-ver=1.2\n",
    ] {
        assert!(text.contains(field), "{field} is not in {text}");
    }
    // What is read with NO-TOUCH is not used.
    check_in(
        &mut world,
        &[
            ("SET k v", OK),
            ("GET k", "$1 v"),
            ("OBJECT FREQ k", ":0"),
            ("CLIENT NO-TOUCH off", OK),
            ("GET k", "$1 v"),
            ("OBJECT FREQ k", ":1"),
        ],
    );
}

#[test]
fn the_server_describes_itself() {
    let time = format!("*2 $10 {NOW_S} $1 0");
    check(&[
        ("TIME", time.as_str()),
        ("TIME x", "-ERR wrong number of arguments for 'time' command"),
        ("ROLE", "*3 $6 master :0 *0"),
        ("WAIT 0 0", ":0"),
        ("WAIT -1 300", ":0"),
        ("WAIT x 0", NO_INTEGER),
        ("WAIT 0 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 0 -1", "-ERR timeout is negative"),
        ("COMMAND GETKEYSANDFLAGS SET a b", "*1 *2 $1 a *2 +OW +update"),
        ("COMMAND GETKEYSANDFLAGS SET a b GET", "*1 *2 $1 a *3 +RW +access +update"),
        (
            "COMMAND GETKEYSANDFLAGS MSET a 1 b 2",
            "*2 *2 $1 a *2 +OW +update *2 $1 b *2 +OW +update",
        ),
        ("COMMAND GETKEYSANDFLAGS PING", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYSANDFLAGS NOSUCH a", "-ERR Invalid command specified"),
        ("COMMAND GETKEYSANDFLAGS GET", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND COUNT", ":65"),
        (
            "COMMAND INFO role",
            "*1 *10 $4 role :1 *4 +noscript +loading +stale +fast :0 :0 :0 \
             *3 +@admin +@dangerous +@fast *0 *0 *0",
        ),
        ("CONFIG GET maxmemory-samples", "*0"),
        (
            "CONFIG SET notify-keyspace-events Ex",
            "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - \
             can't set immutable config",
        ),
        ("CONFIG SET notify-keyspace-events \"\"", OK),
        ("CONFIG RESETSTAT x", "-ERR wrong number of arguments for 'config|resetstat' command"),
    ]);
    let mut world = World::resp();
    let commands = |world: &mut World| {
        world.turn(b"INFO stats\r\n");
        let text = String::from_utf8_lossy(&world.turn.output().bytes).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.expect("it is there").parse::<u64>().expect("a number")
    };
    check_in(&mut world, &[("GET a", NIL), ("GET a", NIL), ("GET a", NIL)]);
    assert!(commands(&mut world) >= 3);
    check_in(&mut world, &[("CONFIG RESETSTAT", OK)]);
    assert!(commands(&mut world) <= 1);
}

#[test]
fn keys_have_notes_and_commands_categories_as_in_redis() {
    let mut world = World::resp();
    for (line, part) in [
        (
            "COMMAND INFO set",
            "$5\r\nnotes\r\n$48\r\nRW and ACCESS due to the optional `GET` argument\r\n",
        ),
        (
            "COMMAND INFO getex",
            "$5\r\nnotes\r\n$40\r\nRW and UPDATE because it changes the TTL\r\n",
        ),
        ("COMMAND INFO command", "*2\r\n+@connection\r\n+@slow\r\n"),
        ("COMMAND INFO command|count", "*2\r\n+@connection\r\n+@slow\r\n"),
    ] {
        world.turn(format!("{line}\r\n").as_bytes());
        let text = String::from_utf8_lossy(&world.turn.output().bytes).into_owned();
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_key_over_the_limit_is_refused_by_reads_too() {
    let mut world = World::resp();
    let (long, longest) = ("k".repeat(65_536), "k".repeat(65_535));
    let refused = "-ERR key of 65536 bytes exceeds the limit of 65535 bytes\r\n";
    for words in [
        &["GET", &long][..],
        &["MGET", "a", &long, "b"],
        &["EXISTS", "a", &long],
        &["TTL", &long],
        &["TYPE", &long],
        &["STRLEN", &long],
        &["GETRANGE", &long, "0", "1"],
        &["OBJECT", "ENCODING", &long],
        &["SET", &long, "v"],
        &["DEL", "a", &long],
        &["WATCH", "a", &long],
    ] {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.extend([&format!("${}\r\n", word.len()), *word, "\r\n"]);
        }
        let (first, rest) = command.split_at(command.len().min(60_000));
        world.check(first, "");
        world.check(rest, refused);
    }
    let head = format!("*2\r\n$3\r\nGET\r\n$65535\r\n{}", &longest[..50_000]);
    world.check(&head, "");
    world.check(&format!("{}\r\n", &longest[50_000..]), "$-1\r\n");
    // A value may be as long as it likes.
    world.check(
        &format!("ECHO {}\r\n", "v".repeat(100)),
        &format!("$100\r\n{}\r\n", "v".repeat(100)),
    );
}

//! What RESP commands do over a connection: transactions, large values, the connections of others.

use std::io::Write;

use ringhold::Node;

use super::{Client, settings, start};

/// A command as an array of bulk strings.
fn command(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.extend([&format!("${}\r\n", word.len()), *word, "\r\n"]);
    }
    text
}

#[test]
fn a_transaction_is_executed_unless_a_watched_key_was_changed() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let mut other = Client::connect(&node.resp()[0]);
    client.check(
        "MULTI\r\nSET a 1\r\nINCR a\r\nGET a\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n",
    );
    other.check("GET a\r\n", "$-1\r\n");
    client.check("EXEC\r\n", "*3\r\n+OK\r\n:2\r\n$1\r\n2\r\n");
    // Each change of the other makes the transaction fail: of the value, of the time to live, to absence, to presence.
    for change in
        ["SET a 5", "EXPIRE a 100", "PERSIST a", "DEL a", "SET a 1", "FLUSHDB", "RENAME b a"]
    {
        other.check("SET b 1\r\n", "+OK\r\n");
        client.check("WATCH a\r\n", "+OK\r\n");
        other.send(format!("{change}\r\nPING\r\n"));
        while other.line() != "+PONG" {}
        client.check("MULTI\r\nSET a 9\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
    }
    client.check("WATCH a\r\n", "+OK\r\n");
    other.check("GET a\r\nSET c 1\r\n", "$1\r\n1\r\n+OK\r\n");
    client.check("MULTI\r\nGET a\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n$1\r\n1\r\n");
    client.check(
        "MULTI\r\nFOO\r\n",
        "+OK\r\n-ERR unknown command 'FOO', with args beginning with: \r\n",
    );
    client.check(
        "SET a 7\r\nEXEC\r\nGET a\r\n",
        "+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n$1\r\n1\r\n",
    );
    // A client that goes leaves nothing watched.
    client.check("WATCH a b\r\n", "+OK\r\n");
    drop(client);
    other.await_info("total_watched_keys:0");
    node.stop();
}

#[test]
fn a_large_value_is_received_in_pages_and_comes_back_whole() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let value: String = (0..3_000_000_u32).map(|idx| char::from(b'a' + (idx % 23) as u8)).collect();
    let set = command(&["SET", "k", &value, "EX", "100"]);
    // In pieces of every kind: the head alone, a byte of the value, the rest, the options apart.
    let head = set.find("aaa").map_or(40, |_| 40).min(set.len());
    let (first, rest) = set.split_at(head);
    let (middle, last) = rest.split_at(rest.len() - 20);
    for piece in [first, middle, last] {
        client.send(piece);
        client.stream.flush().expect("it is sent");
    }
    client.expect("+OK\r\n");
    client.check(&command(&["GET", "k"]), &format!("${}\r\n{value}\r\n", value.len()));
    client.check(&command(&["TTL", "k"]), ":100\r\n");
    client.check(&command(&["GETRANGE", "k", "1000000", "1000004"]), &{
        format!("$5\r\n{}\r\n", &value[1_000_000..1_000_005])
    });
    client.check(&command(&["APPEND", "k", "end"]), ":3000003\r\n");
    client.check(&command(&["SETRANGE", "k", "3000003", "x"]), ":3000004\r\n");
    client.check(&command(&["GETRANGE", "k", "-5", "-1"]), "$5\r\n");
    client.expect(format!("{}endx\r\n", &value[value.len() - 1..]));
    client.check(&command(&["RENAME", "k", "l"]), "+OK\r\n");
    client.check(&command(&["STRLEN", "l"]), ":3000004\r\n");
    // A condition that does not hold, and a command that follows in the same bytes.
    let refused = command(&["SET", "l", &value, "NX"]);
    client.check(&format!("{refused}{}", command(&["PING"])), "$-1\r\n+PONG\r\n");
    client.check(&command(&["SETEX", "m", "10", &value]), "+OK\r\n");
    client.check(&command(&["STRLEN", "m"]), ":3000000\r\n");
    node.stop();
}

#[test]
fn large_values_that_never_end_take_no_more_than_their_share() {
    let node = start();
    // Each asks for 8 MiB of the 16 MiB that unfinished values may have, and sends a little of it.
    let half_sent: Vec<Client> = (0..40)
        .map(|number| {
            let mut client = Client::connect(&node.resp()[0]);
            client.send(format!("*3\r\n$3\r\nSET\r\n$2\r\n{number:02}\r\n$8388608\r\nvvvv"));
            client
        })
        .collect();
    let mut other = Client::connect(&node.resp()[0]);
    for _ in 0..100 {
        other.check("SET k v\r\nGET k\r\n", "+OK\r\n$1\r\nv\r\n");
    }
    let info = other.info();
    let used: u64 = field(&info, "used_memory").parse().expect("a number");
    assert!(used <= 128 << 20, "{used}");
    let rss: u64 = field(&info, "used_memory_rss").parse().expect("a number");
    assert!(rss < 300 << 20, "{rss}");
    drop(half_sent);
    node.stop();
}

fn field<'i>(info: &'i str, name: &str) -> &'i str {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the field is there").trim()
}

#[test]
fn a_value_without_room_is_refused_and_the_connection_goes_on() {
    let mut small = settings();
    small.value_len_max = Some(1 << 20);
    let node = Node::start(&small).expect("it starts");
    let mut client = Client::connect(&node.resp()[0]);
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", (1 << 20) + 1));
    assert_eq!(client.rest(), "-ERR Protocol error: invalid bulk length\r\n");
    let mut web = Client::connect(&node.http()[0]);
    let body = "v".repeat(1 << 20);
    web.send(format!(
        "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(web.answer().0.starts_with("HTTP/1.1 201 "));
    web.send("GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(web.answer().1.len(), 1 << 20);
    node.stop();
}

#[test]
fn clients_are_listed_paused_and_killed() {
    let node = start();
    let mut admin = Client::connect(&node.resp()[0]);
    let mut other = Client::connect(&node.resp()[0]);
    other.check("CLIENT SETNAME worker\r\n", "+OK\r\n");
    other.send("CLIENT ID\r\n");
    let id = other.line()[1..].to_owned();
    admin.send(format!("CLIENT LIST ID {id}\r\n"));
    let list = admin.bulk();
    assert!(
        list.contains(&format!("id={id} "))
            && list.contains("name=worker ")
            && list.contains("cmd=client")
    );
    admin.check("CLIENT PAUSE 60000 WRITE\r\n", "+OK\r\n");
    other.check("GET k\r\n", "$-1\r\n");
    other.send("GET k\r\nSET k v\r\nGET k\r\n");
    other.expect("$-1\r\n");
    admin.check("GET k\r\nCLIENT UNPAUSE\r\n", "$-1\r\n+OK\r\n");
    other.expect("+OK\r\n$1\r\nv\r\n");
    admin.check(&format!("CLIENT KILL ID {id}\r\n"), ":1\r\n");
    assert_eq!(other.rest(), "");
    let mut quiet = Client::connect(&node.resp()[0]);
    quiet.check(
        "CLIENT REPLY OFF\r\nSET k 1\r\nCLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nPING\r\nGET k\r\n",
        "+OK\r\n$1\r\n1\r\n",
    );
    quiet.send("CLIENT ID\r\n");
    let id = quiet.line()[1..].to_owned();
    quiet.check(&format!("CLIENT KILL ID {id} SKIPME no\r\nPING\r\n"), ":1\r\n");
    assert_eq!(quiet.rest(), "");
    node.stop();
}

#[test]
fn every_key_is_scanned_while_others_are_written() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    for number in 0..1_000 {
        client.check(&format!("SET key:{number} v\r\n"), "+OK\r\n");
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = "0".to_owned();
    let mut round = 0;
    loop {
        client.send(format!("SCAN {cursor} MATCH key:* COUNT 50\r\n"));
        assert_eq!(client.line(), "*2");
        cursor = client.bulk();
        let count: usize = client.line()[1..].parse().expect("a number");
        seen.extend((0..count).map(|_| client.bulk()));
        round += 1;
        client.check(&format!("SET other:{round} v\r\nDEL other:{}\r\n", round - 1), &{
            format!("+OK\r\n:{}\r\n", i32::from(round > 1))
        });
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 1_000);
    client.check("DBSIZE\r\n", ":1001\r\n");
    client.check(
        "SELECT 1\r\nDBSIZE\r\nSELECT 0\r\nFLUSHALL\r\nDBSIZE\r\n",
        "+OK\r\n:0\r\n+OK\r\n+OK\r\n:0\r\n",
    );
    node.stop();
}

#[test]
fn how_an_entry_is_kept_can_be_asked() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    for (request, answer) in [
        ("SET n 12\r\n", "+OK\r\n"),
        ("SET s hello\r\n", "+OK\r\n"),
        ("SETRANGE l 99999 x\r\n", ":100000\r\n"),
        ("OBJECT ENCODING n\r\n", "$3\r\nint\r\n"),
        ("OBJECT ENCODING s\r\n", "$6\r\nembstr\r\n"),
        ("object encoding l\r\n", "$3\r\nraw\r\n"),
        ("OBJECT ENCODING none\r\n", "$-1\r\n"),
        ("OBJECT REFCOUNT s\r\n", ":1\r\n"),
        ("OBJECT FREQ s\r\n", ":0\r\n"),
        ("GET s\r\n", "$5\r\nhello\r\n"),
        ("OBJECT FREQ s\r\n", ":1\r\n"),
        ("OBJECT FREQ none\r\n", "$-1\r\n"),
        ("OBJECT IDLETIME none\r\n", "$-1\r\n"),
        (
            "OBJECT IDLETIME s\r\n",
            "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.\r\n",
        ),
        ("OBJECT ENCODING\r\n", "-ERR wrong number of arguments for 'object|encoding' command\r\n"),
        ("OBJECT NOPE s\r\n", "-ERR unknown subcommand 'NOPE'. Try OBJECT HELP.\r\n"),
        // Header (12), key and value in steps of 4; the table's part (12).
        ("MEMORY USAGE s\r\n", ":32\r\n"),
        ("MEMORY USAGE s SAMPLES 5\r\n", ":32\r\n"),
        ("MEMORY USAGE s SAMPLES\r\n", "-ERR syntax error\r\n"),
        ("MEMORY USAGE none\r\n", "$-1\r\n"),
        ("COMMAND GETKEYS OBJECT ENCODING k\r\n", "*1\r\n$1\r\nk\r\n"),
        ("COMMAND GETKEYS MEMORY USAGE k\r\n", "*1\r\n$1\r\nk\r\n"),
        ("MULTI\r\nOBJECT REFCOUNT s\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n"),
    ] {
        client.check(request, answer);
    }
    client.send("MEMORY USAGE l\r\n");
    let usage: usize = client.line()[1..].parse().expect("a number");
    assert!((100_000..110_000).contains(&usage), "{usage}");
    node.stop();
}

#[test]
fn a_copy_has_everything_but_the_name() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    for (request, answer) in [
        ("SET a one EX 1000\r\n", "+OK\r\n"),
        ("COPY a b\r\n", ":1\r\n"),
        ("GET b\r\n", "$3\r\none\r\n"),
        ("TTL b\r\n", ":1000\r\n"),
        ("SET a two\r\n", "+OK\r\n"),
        ("COPY a b\r\n", ":0\r\n"),
        ("COPY a b REPLACE\r\n", ":1\r\n"),
        ("GET b\r\n", "$3\r\ntwo\r\n"),
        ("TTL b\r\n", ":-1\r\n"),
        ("COPY none b REPLACE\r\n", ":0\r\n"),
        ("COPY a a\r\n", "-ERR source and destination objects are the same\r\n"),
        ("COPY a a DB 3\r\n", ":1\r\n"),
        ("COPY a c DB 16\r\n", "-ERR DB index is out of range\r\n"),
        ("COPY a c DB x\r\n", "-ERR value is not an integer or out of range\r\n"),
        ("COPY a c DB\r\n", "-ERR syntax error\r\n"),
        ("SETRANGE l 99999 x\r\n", ":100000\r\n"),
        (
            "MULTI\r\nCOPY l m\r\nSTRLEN m\r\nEXEC\r\n",
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:100000\r\n",
        ),
        ("SELECT 3\r\n", "+OK\r\n"),
        ("GET a\r\n", "$3\r\ntwo\r\n"),
    ] {
        client.check(request, answer);
    }
    node.stop();
}

#[test]
fn a_policy_says_whether_a_full_node_evicts_or_refuses() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let policy =
        |word: &str| format!("*2\r\n$16\r\nmaxmemory-policy\r\n${}\r\n{word}\r\n", word.len());
    let ask = "CONFIG GET maxmemory-policy\r\n";
    client.check(ask, &policy("allkeys-lfu"));
    client.check(
        "CONFIG SET maxmemory-policy volatile-lru\r\n",
        "-ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - argument must be one of: \
         noeviction, allkeys-lfu\r\n",
    );
    client.check("CONFIG SET maxmemory-policy noeviction\r\n", "+OK\r\n");
    client.check(ask, &policy("noeviction"));
    assert!(client.info().contains("maxmemory_policy:noeviction"));
    let fill = |client: &mut Client| {
        (0..400).find_map(|n| {
            client.send(format!("SETRANGE k{n} 999999 x\r\n"));
            let line = client.line();
            (line != ":1000000").then_some(line)
        })
    };
    let refused = fill(&mut client).expect("128 MiB are full at some time");
    assert_eq!(refused, "-OOM command not allowed when used memory > 'maxmemory'.");
    client.check("GETRANGE k0 999999 -1\r\n", "$1\r\nx\r\n");
    client.check(
        "MULTI\r\nCONFIG SET maxmemory-policy allkeys-lfu\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n",
    );
    client.check(ask, &policy("allkeys-lfu"));
    assert_eq!(fill(&mut client), None, "old entries make room");
    node.stop();
}

#[test]
fn a_refused_setting_leaves_the_policy_and_a_policy_takes_no_memory() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let used = |client: &mut Client| {
        let text = client.info();
        let line = text.lines().find(|line| line.starts_with("used_memory:"));
        line.expect("it is told").to_owned()
    };
    let before = used(&mut client);
    client.send("CONFIG SET maxmemory-policy noeviction maxmemory 1\r\n");
    assert!(client.line().starts_with("-ERR CONFIG SET failed"));
    let ask = "CONFIG GET maxmemory-policy\r\n";
    client.check(ask, "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lfu\r\n");
    client.check("CONFIG SET maxmemory-policy noeviction\r\n", "+OK\r\n");
    client.check(ask, "*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n");
    assert_eq!(used(&mut client), before, "databases without entries have no directory");
    node.stop();
}

#[test]
fn refused_and_failed_commands_are_counted() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    client.check("SET k x\r\nGET k\r\n", "+OK\r\n$1\r\nx\r\n");
    client.check("INCR k\r\n", "-ERR value is not an integer or out of range\r\n");
    client.check("GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n");
    client.check("MULTI\r\nINCR k\r\n", "+OK\r\n+QUEUED\r\n");
    client.check("EXEC\r\n", "*1\r\n-ERR value is not an integer or out of range\r\n");
    client.send("INFO commandstats\r\n");
    let text = client.bulk();
    for (name, calls, rejected, failed) in [("get", 1, 1, 0), ("incr", 2, 0, 2)] {
        let row = format!(
            "cmdstat_{name}:calls={calls},usec=0,usec_per_call=0.00,rejected_calls={rejected},failed_calls={failed}\r\n"
        );
        assert!(text.contains(&row), "{row} is not in {text}");
    }
    node.stop();
}

#[test]
fn an_absent_key_stays_absent_when_its_database_is_cleared() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let mut other = Client::connect(&node.resp()[0]);
    let execute = "MULTI\r\nPING\r\nEXEC\r\n";
    // The braces put all of them into one slot.
    client.check("SET {s}1 v\r\nWATCH {s}2\r\n", "+OK\r\n+OK\r\n");
    other.check("FLUSHDB\r\n", "+OK\r\n");
    client.check(execute, "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    for before in ["", "SET {s}2 v\r\n"] {
        client.check("WATCH {s}2\r\n", "+OK\r\n");
        other.send(format!("SET {{s}}1 v\r\n{before}FLUSHDB\r\n"));
        let answers = if before.is_empty() { 2 } else { 3 };
        other.expect("+OK\r\n".repeat(answers));
        let answer = if before.is_empty() { "*1\r\n+PONG\r\n" } else { "*-1\r\n" };
        client.check(execute, &format!("+OK\r\n+QUEUED\r\n{answer}"));
    }
    client.check("SET {s}2 v\r\nWATCH {s}2\r\n", "+OK\r\n+OK\r\n");
    other.check("FLUSHDB\r\n", "+OK\r\n");
    client.check(execute, "+OK\r\n+QUEUED\r\n*-1\r\n");
    node.stop();
}

#[test]
fn what_a_transaction_holds_and_answers_is_bounded() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let key = "k".repeat(65_536);
    let too_long = "-ERR key of 65536 bytes exceeds the limit of 65535 bytes\r\n";
    client.check(&command(&["WATCH", "k", &key]), too_long);
    let value = "v".repeat(4_000);
    client.check(&format!("SET k {value}\r\nMULTI\r\n"), "+OK\r\n+OK\r\n");
    let mget = format!("*2001\r\n$4\r\nMGET\r\n{}", "$1\r\nk\r\n".repeat(2_000));
    for _ in 0..10 {
        client.check(&mget, "+QUEUED\r\n");
    }
    client.check("SET after 1\r\nEXEC\r\n", "+QUEUED\r\n*11\r\n");
    let reply = format!("*2000\r\n{}", format!("$4000\r\n{value}\r\n").repeat(2_000));
    for _ in 0..8 {
        client.expect(&reply);
    }
    let refused = "-ERR executed, but the replies of the transaction would exceed 64 MiB\r\n";
    client.expect(format!("{refused}{refused}+OK\r\n"));
    client.check("GET after\r\n", "$1\r\n1\r\n");
    let words = vec!["client"; 100_000];
    for sub in ["INFO", "DOCS"] {
        let asked = command(&[&["COMMAND", sub], words.as_slice()].concat());
        client.check(&asked, "-ERR the reply would exceed 64 MiB, ask for fewer keys\r\n");
    }
    node.stop();
}

#[test]
fn words_of_client_commands_are_as_in_redis() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let mut other = Client::connect(&node.resp()[0]);
    other.check("PING\r\n", "+PONG\r\n");
    for (request, answer) in [
        ("CLIENT KILL MAXAGE abc\r\n", "-ERR maxage is not an integer or out of range\r\n"),
        ("CLIENT KILL MAXAGE 0\r\n", "-ERR maxage should be greater than 0\r\n"),
        ("CLIENT KILL MAXAGE 100000\r\n", ":0\r\n"),
        ("CLIENT REPLY OFF\r\nPING\r\nRESET\r\nPING\r\n", "+RESET\r\n+PONG\r\n"),
        ("CLIENT REPLY SKIP\r\nRESET\r\nPING\r\n", "+PONG\r\n"),
        (
            "CONFIG SET maxclients\r\n",
            "-ERR wrong number of arguments for 'config|set' command\r\n",
        ),
        ("CONFIG SET maxclients 5 timeout\r\n", "-ERR syntax error\r\n"),
        (
            "CONFIG SET maxclients 5 timeout x\r\n",
            "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer\r\n",
        ),
        ("CONFIG GET maxclients\r\n", "*2\r\n$10\r\nmaxclients\r\n$5\r\n11000\r\n"),
        ("COMMAND INFO nosuch\r\n", "*1\r\n$-1\r\n"),
    ] {
        client.check(request, answer);
    }
    other.check("PING\r\n", "+PONG\r\n");
    let pattern = "[".repeat(5_000);
    for request in [
        command(&["KEYS", &pattern]),
        command(&["SCAN", "0", "MATCH", &pattern]),
        command(&["CONFIG", "GET", &pattern]),
        command(&["COMMAND", "LIST", "FILTERBY", "PATTERN", &pattern]),
    ] {
        client.check(&request, "-ERR pattern of 5000 bytes exceeds the limit of 4096 bytes\r\n");
    }
    node.stop();
}

#[test]
fn a_pause_holds_for_the_next_request_of_the_same_packet() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let mut other = Client::connect(&node.resp()[0]);
    client.check("CLIENT PAUSE 60000 WRITE\r\nSET k v\r\n", "+OK\r\n");
    other.check("GET k\r\nCLIENT UNPAUSE\r\n", "$-1\r\n+OK\r\n");
    client.expect("+OK\r\n");
    other.check("CLIENT PAUSE 60000\r\nCLIENT UNPAUSE\r\nGET k\r\n", "+OK\r\n+OK\r\n$1\r\nv\r\n");
    node.stop();
}

#[test]
fn a_stop_ends_a_pause() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    client.check("CLIENT PAUSE 86400000\r\nSET k v\r\n", "+OK\r\n");
    node.stop();
    assert_eq!(client.rest(), "+OK\r\n");
}

#[test]
fn thousands_of_half_received_values_hinder_nobody() {
    let node = start();
    let half_sent: Vec<Client> = (0..2_000)
        .map(|number| {
            let is_resp = number % 2 == 0;
            let address = if is_resp { &node.resp()[0] } else { &node.http()[0] };
            let mut client = Client::connect(address);
            client.send(if is_resp {
                format!("*3\r\n$3\r\nSET\r\n$4\r\n{number:04}\r\n$8388608\r\n{}", "v".repeat(1_000))
            } else {
                format!(
                    "PUT /v1/keys/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388608\r\n\r\n{}",
                    "v".repeat(1_000)
                )
            });
            client
        })
        .collect();
    let mut other = Client::connect(&node.resp()[0]);
    for _ in 0..1_000 {
        other.check("SET k v\r\nGET k\r\n", "+OK\r\n$1\r\nv\r\n");
    }
    let info = other.info();
    let number = |name| field(&info, name).parse::<u64>().expect("a number");
    assert!(number("used_memory") <= 128 << 20, "{}", number("used_memory"));
    assert!(number("used_memory_rss") < 300 << 20, "{}", number("used_memory_rss"));
    drop(half_sent);
    node.stop();
}

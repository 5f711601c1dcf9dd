//! RESP over a socket.

use std::io::Read as _;
use std::net::Shutdown;

use crate::{Client, settings, start, with_password};
use ringhold::Node;

#[test]
fn commands_do_what_redis_does() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    for (request, answer) in [
        ("PING\r\n", "+PONG\r\n"),
        ("PING hello\r\n", "$5\r\nhello\r\n"),
        ("ECHO \"a b\"\r\n", "$3\r\na b\r\n"),
        ("GET k\r\n", "$-1\r\n"),
        ("SET k v\r\n", "+OK\r\n"),
        ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$1\r\nv\r\n"),
        ("SET k w NX\r\n", "$-1\r\n"),
        ("SET k w XX GET\r\n", "$1\r\nv\r\n"),
        ("SET k w NX XX\r\n", "-ERR syntax error\r\n"),
        ("SET k w EX 0\r\n", "-ERR invalid expire time in 'set' command\r\n"),
        ("SET k w EX x\r\n", "-ERR value is not an integer or out of range\r\n"),
        ("SET k w PX 100000\r\n", "+OK\r\n"),
        ("TTL k\r\n", ":100\r\n"),
        ("SET k w KEEPTTL\r\n", "+OK\r\n"),
        ("TTL k\r\n", ":100\r\n"),
        ("PERSIST k\r\n", ":1\r\n"),
        ("PERSIST k\r\n", ":0\r\n"),
        ("TTL k\r\n", ":-1\r\n"),
        ("TTL none\r\n", ":-2\r\n"),
        ("EXPIRE k 100\r\n", ":1\r\n"),
        ("EXPIRE none 100\r\n", ":0\r\n"),
        ("EXPIRE k -1\r\n", ":1\r\n"),
        ("EXISTS k k none\r\n", ":0\r\n"),
        ("MGET a b\r\n", "*2\r\n$-1\r\n$-1\r\n"),
        ("INCR n\r\n", ":1\r\n"),
        ("INCRBY n 41\r\n", ":42\r\n"),
        ("DECRBY n 2\r\n", ":40\r\n"),
        ("STRLEN n\r\n", ":2\r\n"),
        ("SET n 9223372036854775807\r\n", "+OK\r\n"),
        ("INCR n\r\n", "-ERR increment or decrement would overflow\r\n"),
        ("SET n x\r\n", "+OK\r\n"),
        ("INCR n\r\n", "-ERR value is not an integer or out of range\r\n"),
        ("DECRBY n -9223372036854775808\r\n", "-ERR decrement would overflow\r\n"),
        ("SETNX n y\r\n", ":0\r\n"),
        ("GETSET n y\r\n", "$1\r\nx\r\n"),
        ("GETDEL n\r\n", "$1\r\ny\r\n"),
        ("GETDEL n\r\n", "$-1\r\n"),
        ("SETEX s 0 v\r\n", "-ERR invalid expire time in 'setex' command\r\n"),
        ("PSETEX s 5000 v\r\n", "+OK\r\n"),
        ("DEL s s none\r\n", ":1\r\n"),
        ("GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("NOPE a b\r\n", "-ERR unknown command 'NOPE', with args beginning with: 'a' 'b' \r\n"),
        ("CLIENT NOPE\r\n", "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n"),
        ("CLIENT SETNAME x\r\n", "+OK\r\n"),
        ("CLIENT GETNAME\r\n", "$1\r\nx\r\n"),
        ("SELECT 16\r\n", "-ERR DB index is out of range\r\n"),
        ("SET k zero\r\n", "+OK\r\n"),
        ("SELECT 15\r\n", "+OK\r\n"),
        ("GET k\r\n", "$-1\r\n"),
        ("SELECT 0\r\n", "+OK\r\n"),
        ("GET k\r\n", "$4\r\nzero\r\n"),
        ("HELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n"),
    ] {
        client.check(request, answer);
    }
    client.send("HELLO 3\r\n");
    client.expect("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.5\r\n$5\r\nproto\r\n:3\r\n");
    client.send("QUIT\r\n");
    assert!(client.rest().ends_with("+OK\r\n"));
    node.stop();
}

#[test]
fn a_pipeline_of_a_hundred_thousand_commands_is_answered_in_order() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let mut writer = client.stream.try_clone().expect("a second handle");
    let commands: String = (0..100_000).map(|number| format!("ECHO {number}\r\n")).collect();
    let sender = std::thread::Builder::new().spawn(move || {
        std::io::Write::write_all(&mut writer, commands.as_bytes()).expect("the node reads");
    });
    for number in 0..100_000 {
        let text = number.to_string();
        client.expect(format!("${}\r\n{text}\r\n", text.len()));
    }
    sender.expect("a thread").join().expect("all was sent");
    node.stop();
}

#[test]
fn who_never_reads_its_answers_does_not_hinder_others() {
    let node = start();
    let mut deaf = Client::connect(&node.resp()[0]);
    let value = "v".repeat(8_000);
    deaf.check(&format!("SET k {value}\r\n"), "+OK\r\n");
    deaf.stream.set_nonblocking(true).expect("it is a TCP socket");
    let gets = "GET k\r\n".repeat(10_000);
    // The node stops reading once its answers are not taken, so the socket fills up.
    while std::io::Write::write_all(&mut deaf.stream, gets.as_bytes()).is_ok() {}
    for _ in 0..4 {
        let mut other = Client::connect(&node.resp()[0]);
        other.check("GET k\r\n", &format!("$8000\r\n{value}\r\n"));
    }
    drop(deaf);
    node.stop();
}

#[test]
fn a_broken_protocol_is_told_and_the_connection_closed() {
    let node = start();
    for (bytes, answer) in [
        ("*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"),
        ("*-x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$99999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (
            "POST / HTTP/1.1\r\n",
            "-ERR Protocol error: an HTTP request was sent to the RESP port\r\n",
        ),
    ] {
        let mut client = Client::connect(&node.resp()[0]);
        client.check("PING\r\n", "+PONG\r\n");
        client.send(bytes);
        assert_eq!(client.rest(), answer);
    }
    node.stop();
}

#[test]
fn nothing_is_done_before_the_password() {
    let node = with_password("test");
    let mut client = Client::connect(&node.resp()[0]);
    for (request, answer) in [
        ("GET k\r\n", "-NOAUTH Authentication required.\r\n"),
        ("AUTH wrong\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
        (
            "AUTH root secret\r\n",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        ),
        (
            "GET k\r\nAUTH default secret\r\nGET k\r\n",
            "-NOAUTH Authentication required.\r\n+OK\r\n$-1\r\n",
        ),
    ] {
        client.check(request, answer);
    }
    let mut other = Client::connect(&node.resp()[0]);
    other.send("*2\r\n$4\r\nECHO\r\n$20000\r\n");
    assert_eq!(other.rest(), "-ERR Protocol error: unauthenticated bulk length\r\n");
    let mut web = Client::connect(&node.http()[0]);
    web.send("GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(web.answer().0.starts_with("HTTP/1.1 401 "));
    web.send("GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\r\n");
    assert!(web.answer().0.starts_with("HTTP/1.1 404 "));
    node.stop();
}

#[test]
fn a_reply_or_a_command_without_bounds_is_refused() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let value = "v".repeat(4_000);
    client.check(&format!("SET k {value}\r\n"), "+OK\r\n");
    let keys = "$1\r\nk\r\n".repeat(20_000);
    client.check(
        &format!("*20001\r\n$4\r\nMGET\r\n{keys}"),
        "-ERR the reply would exceed 64 MiB, ask for fewer keys\r\n",
    );
    client.check("PING\r\n", "+PONG\r\n");
    node.stop();
}

#[test]
fn the_end_of_a_client_is_noticed_with_its_last_bytes() {
    let node = start();
    for (addresses, request, answer) in [
        (node.resp(), "PING\r\n", "+PONG\r\n"),
        (node.http(), "GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 "),
    ] {
        for _ in 0..20 {
            let mut client = Client::connect(&addresses[0]);
            client.send(request);
            let mut first = vec![0; answer.len()];
            client.stream.read_exact(&mut first).expect("the node answers");
            // Held back, so that the bytes and the end arrive as one.
            let socket = socket2::SockRef::from(&client.stream);
            socket.set_tcp_cork(true).expect("it is a TCP socket");
            client.send(request);
            client.stream.shutdown(Shutdown::Write).expect("it is open");
            assert!(client.rest().contains(answer), "{request}");
        }
    }
    node.stop();
}

#[test]
fn one_packet_may_hold_a_password_and_what_follows() {
    let node = with_password("packet");
    let mut client = Client::connect(&node.resp()[0]);
    client.check("\r\nAUTH secret\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    let mut client = Client::connect(&node.resp()[0]);
    let refused = "-NOAUTH Authentication required.\r\n".repeat(50);
    client.check(
        &format!("{}AUTH secret\r\n\r\nPING\r\n", "GET k\r\n".repeat(50)),
        &format!("{refused}+OK\r\n+PONG\r\n"),
    );
    // What only a client with a password may send is read as soon as it has given it.
    let mut client = Client::connect(&node.resp()[0]);
    let value = "v".repeat(30_000);
    client.check(
        &format!("AUTH secret\r\n*2\r\n$4\r\nECHO\r\n$30000\r\n{value}\r\n"),
        &format!("+OK\r\n$30000\r\n{value}\r\n"),
    );
    node.stop();
}

#[test]
fn who_is_one_too_many_is_told_so() {
    let mut few = settings();
    few.connections_max = 1;
    let node = Node::start(&few).expect("it starts");
    let mut first = Client::connect(&node.resp()[0]);
    first.check("PING\r\n", "+PONG\r\n");
    let mut second = Client::connect(&node.resp()[0]);
    assert_eq!(second.rest(), "-ERR max number of clients reached\r\n");
    let mut web = Client::connect(&node.http()[0]);
    let refused = web.rest();
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"),
        "{refused}"
    );
    first.check("PING\r\n", "+PONG\r\n");
    node.stop();
}

#[test]
fn answers_that_nobody_takes_are_bounded_over_all_clients() {
    let node = start();
    let mut client = Client::connect(&node.resp()[0]);
    let value = "v".repeat(4_000);
    client.check(&format!("SET k {value}\r\n"), "+OK\r\n");
    let command = format!("*15001\r\n$4\r\nMGET\r\n{}", "$1\r\nk\r\n".repeat(15_000));
    let whole = "*15000\r\n".len() + 15_000 * (value.len() + "$4000\r\n\r\n".len());
    // Two replies of 60 MB may wait to be taken, a third one may not.
    let mut deaf: Vec<Client> = (0..3).map(|_| Client::connect(&node.resp()[0])).collect();
    for client in &mut deaf {
        client.check("PING\r\n", "+PONG\r\n");
    }
    for client in &mut deaf {
        client.send(&command);
    }
    client.await_info("connected_clients:3");
    let mut reply = vec![0; whole];
    let is_whole = |client: &mut Client| client.stream.read_exact(&mut reply).is_ok();
    assert_eq!(deaf.iter_mut().map(is_whole).filter(|is_whole| *is_whole).count(), 2);
    client.check("PING\r\n", "+PONG\r\n");
    node.stop();
}

#[test]
fn a_greeting_may_bring_the_password() {
    let node = with_password("hello");
    let mut client = Client::connect(&node.resp()[0]);
    let refused = "-NOAUTH HELLO must be called with the client already authenticated, otherwise \
        the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
        protocol version at the same time\r\n";
    client.check("HELLO 3\r\n", refused);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    client.check("HELLO 3 AUTH default wrong\r\n", wrong);
    client.check("HELLO 3 AUTH nobody secret\r\n", wrong);
    client.check("GET k\r\n", "-NOAUTH Authentication required.\r\n");
    client.check(
        "HELLO 3 AUTH default secret SETNAME me\r\n",
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
    );
    while client.line() != "modules" {}
    client.check("GET k\r\nCLIENT GETNAME\r\n", "*0\r\n_\r\n$2\r\nme\r\n");
    node.stop();
}

#[test]
fn who_waits_for_copies_that_there_are_not_waits_for_as_long_as_it_said() {
    let node = start();
    let connect = || Client::connect(&node.resp()[0]);
    let (mut one, mut other) = (connect(), connect());
    one.check("WAIT 0 100000\r\nWAIT -1 100000\r\n", ":0\r\n:0\r\n");
    one.check("MULTI\r\nWAIT 1 0\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n:0\r\n");
    let time_us = |client: &mut Client| -> u64 {
        client.expect("*2\r\n");
        let [secs, micros] = [client.bulk(), client.bulk()];
        secs.parse::<u64>().expect("a number") * 1_000_000
            + micros.parse::<u64>().expect("a number")
    };
    one.send("TIME\r\nWAIT 1 70\r\nTIME\r\n");
    other.check("PING\r\n", "+PONG\r\n");
    let began = time_us(&mut one);
    one.expect(":0\r\n");
    assert!(time_us(&mut one) - began >= 70_000, "what follows waits too");
    // Without a time it waits until somebody ends it, and only it.
    let waiting = |client: &mut Client, other: &mut Client, command: &str| {
        client.send("CLIENT ID\r\n");
        let id = client.line()[1..].to_owned();
        client.send(format!("{command}\r\nPING\r\n"));
        other.await_info("blocked_clients:1");
        id
    };
    let id = waiting(&mut one, &mut other, "WAIT 3 0");
    other.send("CLIENT LIST\r\n");
    let list = other.bulk();
    assert!(
        list.lines()
            .any(|line| line.starts_with(&format!("id={id} ")) && line.contains(" flags=b "))
    );
    other.check(&format!("CLIENT UNBLOCK {id}\r\n"), ":1\r\n");
    one.expect(":0\r\n+PONG\r\n");
    other.check(&format!("CLIENT UNBLOCK {id}\r\n"), ":0\r\n");
    let id = waiting(&mut one, &mut other, "WAIT 1 0");
    other.check(&format!("CLIENT UNBLOCK {id} ERROR\r\n"), ":1\r\n");
    one.expect("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n+PONG\r\n");
    let id = waiting(&mut one, &mut other, "CLIENT REPLY SKIP\r\nWAIT 1 0");
    other.check(&format!("CLIENT UNBLOCK {id} TIMEOUT\r\n"), ":1\r\n");
    one.expect("+PONG\r\n");
    // A pause of others changes nothing; one that is gone waits no longer; a node that stops answers.
    let mut gone = connect();
    waiting(&mut gone, &mut other, "WAIT 1 0");
    drop(gone);
    other.await_info("blocked_clients:0");
    other.await_info("connected_clients:2");
    other.check("CLIENT PAUSE 100000\r\n", "+OK\r\n");
    one.send("CLIENT ID\r\n");
    one.line();
    other.check("CLIENT UNPAUSE\r\n", "+OK\r\n");
    waiting(&mut one, &mut other, "WAIT 1 0");
    drop(other);
    node.stop();
    assert_eq!(one.rest(), ":0\r\n+PONG\r\n");
}

#[test]
fn what_clients_hold_is_to_be_seen() {
    let node = start();
    let connect = || Client::connect(&node.resp()[0]);
    let (mut half, mut deaf, mut other) = (connect(), connect(), connect());
    let id = |client: &mut Client| -> String {
        client.send("CLIENT ID\r\n");
        client.line()[1..].to_owned()
    };
    let (half_id, deaf_id) = (id(&mut half), id(&mut deaf));
    let field = |other: &mut Client, id: &str, name: &str| -> u64 {
        other.send(format!("CLIENT LIST ID {id}\r\n"));
        let list = other.bulk();
        let value = list.split(' ').find_map(|field| field.strip_prefix(&format!("{name}=")));
        value.expect("it is there").trim().parse().expect("a number")
    };
    half.send(format!("*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$100000\r\n{}", "v".repeat(80_000)));
    let is_held = (0..100_000).any(|_| field(&mut other, &half_id, "qbuf") >= 80_000);
    assert!(is_held);
    assert!(field(&mut other, &half_id, "tot-mem") > 80_000);
    assert!(field(&mut other, &half_id, "argv-mem") > 0, "two arguments are there");
    assert!(field(&mut other, &half_id, "fd") > 2);
    assert_eq!(field(&mut other, &half_id, "obl"), 0);
    half.send(format!("{}\r\nMULTI\r\nGET {}\r\n", "v".repeat(20_000), "k".repeat(50_000)));
    half.expect(":100000\r\n+OK\r\n+QUEUED\r\n");
    assert_eq!(field(&mut other, &half_id, "qbuf"), 0);
    assert!(field(&mut other, &half_id, "multi-mem") > 50_000);
    other.check("SET small 0123456789\r\n", "+OK\r\n");
    deaf.send("GET k\r\n".repeat(1_000));
    let is_held = (0..100_000).any(|_| {
        let of_deaf = |other: &mut Client, name| field(other, &deaf_id, name);
        of_deaf(&mut other, "obl") > 1_000_000 && of_deaf(&mut other, "oll") > 1
    });
    assert!(is_held, "a thousand answers of 100 kB are not taken");
    assert!(field(&mut other, &deaf_id, "omem") < 1_000_000, "their values are the store's");
    other.send("NOTHING\r\nINCR small x\r\n");
    assert!(other.line().starts_with("-ERR unknown command"));
    assert!(other.line().starts_with("-ERR wrong number of arguments"));
    other.send("INFO everything\r\n");
    let info = other.bulk();
    let number = |name: &str| -> u64 {
        let value = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        value.unwrap_or_else(|| panic!("{name}: {info}")).parse().expect("a number")
    };
    assert!(number("client_recent_max_input_buffer") >= 80_000);
    assert!(number("client_recent_max_output_buffer") > 0);
    assert!(number("mem_clients_normal") > 50_000);
    assert!(info.contains("# Errorstats\r\nerrorstat_ERR:count=2\r\n"), "{info}");
    assert!(info.contains("cmdstat_client|list:calls="), "{info}");
    assert!(info.contains("cmdstat_client|id:calls=2,"), "{info}");
    drop(deaf);
    node.stop();
}

//! Starting and stopping.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::PathBuf;

use ringhold::settings::ListenAddress;
use ringhold::{Node, StartError};

use crate::{Client, settings, start};

#[test]
fn a_port_in_use_is_refused_even_by_another_ringhold() {
    let first = start();
    let mut second = settings();
    second.http = first.http().to_vec();
    let error = Node::start(&second).expect_err("the port is taken");
    assert!(matches!(error, StartError::Listen(_)), "{error:?}");
    assert!(error.to_string().contains("in use"), "{error}");
    first.stop();
}

#[test]
fn a_unix_socket_and_ipv6_are_served_beside_ipv4() {
    let path: PathBuf = std::env::temp_dir().join(format!("ringhold-{}.sock", std::process::id()));
    let mut several = settings();
    several.resp.push("[::1]:0".parse().expect("an address"));
    several.resp.push(ListenAddress::Unix(path.clone()));
    let node = Node::start(&several).expect("it starts");
    for address in &node.resp()[..2] {
        Client::connect(address).check("PING\r\n", "+PONG\r\n");
    }
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    std::io::Write::write_all(&mut stream, b"QUIT\r\n").expect("it reads");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("it answers");
    assert_eq!(answer, "+OK\r\n");
    node.stop();
    assert!(!path.exists(), "the socket file is gone");
}

#[test]
fn a_stop_answers_what_was_sent_and_lets_nobody_new_in() {
    let node = start();
    let address = node.resp()[0].clone();
    let mut client = Client::connect(&address);
    client.check("SET k v\r\n", "+OK\r\n");
    client.send("GET k\r\n");
    node.stop();
    assert_eq!(client.rest(), "$1\r\nv\r\n");
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_way_out() {
    let mut bad = settings();
    bad.resp = vec!["0.0.0.0:0".parse().expect("an address")];
    assert!(Node::start(&bad).expect_err("it is exposed").to_string().contains("--insecure"));
    let mut bad = settings();
    bad.password_file = Some(PathBuf::from("no-such-file"));
    assert!(Node::start(&bad).expect_err("no file").to_string().contains("no-such-file"));
    let mut bad = settings();
    bad.memory = 1;
    assert!(Node::start(&bad).expect_err("too little").to_string().contains("8MiB"));
}

#[test]
fn a_node_that_stops_refuses_new_connections() {
    let node = start();
    let address = crate::tcp(&node.resp()[0]);
    let mut client = Client::connect(&node.resp()[0]);
    // Half a request keeps the node.
    client.check("PING\r\nPI", "+PONG\r\n");
    node.drain();
    let refused =
        (0..100_000).find_map(|_| TcpStream::connect_timeout(&address, crate::DEADLINE).err());
    let kind = refused.expect("it does not listen for ever").kind();
    // Who comes in the very moment is reset.
    assert!(matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset), "{kind}");
    client.check("NG\r\n", "+PONG\r\n");
    node.stop();
}

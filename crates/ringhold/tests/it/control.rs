//! What is handed over to the control plane, over a socket.

use crate::{Client, settings, start};
use ringhold::Node;

/// Sends a request without a body and returns status and body.
#[track_caller]
fn ask(client: &mut Client, line: &str) -> (u16, String) {
    client.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let (head, body) = client.answer();
    (head[9..12].parse().expect("a status"), String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn a_connection_goes_on_after_it_was_handed_over() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    // The answers before it leave first; keys are served the same after it.
    client.send(
        "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv\
         GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n\
         GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    assert_eq!(client.answer().1, b"ok\n");
    assert_eq!(client.answer().1, b"v");
    client.send(
        "PUT /v1/keys/c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    assert_eq!(ask(&mut client, "GET /v1/keys/c"), (200, "abcde".to_owned()));
    let big = "x".repeat(3_000_000);
    client.send(format!(
        "PUT /v1/keys/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{big}",
        big.len()
    ));
    assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    assert_eq!(ask(&mut client, "GET /v1/keys/big"), (200, big));
    node.stop();
}

#[test]
fn routes_of_the_node_are_answered() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    for (line, status, part) in [
        ("GET /livez", 200, "ok"),
        ("GET /readyz", 200, "ready"),
        ("GET /readyz?verbose", 200, "memory: "),
        ("GET /", 200, "<h1>Ringhold</h1>"),
        ("GET /v1/node", 200, "\"role\":\"primary\""),
        ("GET /metrics", 200, "# EOF\n"),
        ("GET /nothing", 404, "no-such-route"),
        ("POST /livez", 405, "method-not-allowed"),
        ("GET /v1/keys?limit=0", 400, "bad-parameter"),
        ("GET /v1/keys?cursor=99999999999999999", 400, "bad-cursor"),
        ("GET /v1/ns/none/keys", 404, "no-such-namespace"),
        ("DELETE /v1/keys", 400, "nothing-named"),
    ] {
        let (got, body) = ask(&mut client, line);
        assert_eq!(got, status, "{line}: {body}");
        assert!(body.contains(part), "{line}: {body}");
    }
    node.stop();
}

#[test]
fn keys_are_listed_page_by_page_and_cleared() {
    let node = start();
    let mut resp = Client::connect(&node.resp()[0]);
    for number in 0..250 {
        resp.check(&format!("SET list:{number} v\r\n"), "+OK\r\n");
    }
    resp.check("SET other \"v\"\r\nSET \"\\xff\" v\r\n", "+OK\r\n+OK\r\n");
    let mut client = Client::connect(&node.http()[0]);
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let (status, body) =
            ask(&mut client, &format!("GET /v1/keys?prefix=list%3A&limit=40&cursor={cursor}"));
        assert_eq!(status, 200);
        keys.extend(
            body.split("\"key\":\"")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap_or_default().to_owned()),
        );
        match body.split("\"next\":\"").nth(1) {
            Some(rest) => cursor = rest.split('"').next().unwrap_or_default().to_owned(),
            None => break,
        }
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 250);
    assert!(ask(&mut client, "GET /v1/keys?prefix=%FF").1.contains("\"key_b64\":\"/w==\""));
    assert_eq!(ask(&mut client, "DELETE /v1/keys?prefix=list:").1, "{\"deleted\":250}\n");
    resp.check("DBSIZE\r\n", ":2\r\n");
    assert_eq!(ask(&mut client, "DELETE /v1/keys?all=true").1, "{\"deleted\":2}\n");
    resp.check("DBSIZE\r\n", ":0\r\n");
    node.stop();
}

#[test]
fn health_needs_no_password_and_the_rest_does() {
    let file = std::env::temp_dir().join(format!("ringhold-control-{}", std::process::id()));
    std::fs::write(&file, "secret\n").expect("a file can be written");
    let mut with_password = settings();
    with_password.password_file = Some(file.clone());
    let node = Node::start(&with_password).expect("it starts");
    std::fs::remove_file(file).expect("it was there");
    let mut client = Client::connect(&node.http()[0]);
    for (line, status) in [
        ("GET /livez", 200),
        ("GET /readyz", 200),
        ("GET /metrics", 401),
        ("GET /v1/keys", 401),
        ("DELETE /v1/keys?all=true", 401),
        ("GET /v1/keys/k", 401),
        ("GET /", 401),
    ] {
        assert_eq!(ask(&mut client, line).0, status, "{line}");
    }
    for (fields, status) in [
        ("Host: localhost\r\nAuthorization: Bearer secret\r\n", 200),
        ("Host: evil.example\r\nAuthorization: Bearer secret\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\nAuthorization: Bearer secret\r\n", 403),
    ] {
        client.send(format!("GET /v1/node HTTP/1.1\r\n{fields}\r\n"));
        assert!(client.answer().0.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}");
    }
    node.stop();
}

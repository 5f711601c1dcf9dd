//! HTTP over a socket.

use std::io::Write as _;

use crate::{Client, start};
use ringhold::Node;

/// Sends a request without a body; status and body of the answer, and the answer's head.
#[track_caller]
fn ask(client: &mut Client, line: &str, fields: &str, body: &str) -> (u16, String, String) {
    let len = body.len();
    client.send(format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n{fields}\r\n{body}"
    ));
    let (head, body) = client.answer();
    let status = head[9..12].parse().expect("a status");
    (status, String::from_utf8(body).expect("text"), head)
}

fn etag(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned()
}

#[test]
fn keys_are_set_read_and_deleted() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let (status, body, head) = ask(&mut client, "GET /v1/keys/a%2Fb", "", "");
    assert_eq!(status, 404);
    assert!(
        body.contains("\"code\":\"no-such-key\"")
            && head.contains("cache-status: ringhold; fwd=miss")
    );
    let (status, _, created) = ask(&mut client, "PUT /v1/keys/a%2Fb?ttl=100s", "", "value");
    assert_eq!(status, 201);
    let (status, body, head) = ask(&mut client, "GET /v1/keys/a%2Fb", "", "");
    assert_eq!((status, body.as_str()), (200, "value"));
    assert_eq!(etag(&head), etag(&created));
    for field in [
        "ringhold-node: test-7380",
        "x-content-type-options: nosniff",
        "content-security-policy: sandbox",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    assert!(
        head.contains("cache-control: max-age=99") || head.contains("cache-control: max-age=100"),
        "{head}"
    );
    assert_eq!(ask(&mut client, "PUT /v1/keys/a%2Fb", "", "other").0, 204);
    assert_eq!(ask(&mut client, "DELETE /v1/keys/a%2Fb", "", "").0, 204);
    assert_eq!(ask(&mut client, "DELETE /v1/keys/a%2Fb", "", "").0, 204);
    assert_eq!(ask(&mut client, "DELETE /v1/keys/a%2Fb?strict=true", "", "").0, 404);
    assert_eq!(ask(&mut client, "GET /nothing", "", "").0, 404);
    assert_eq!(ask(&mut client, "POST /v1/keys/k", "", "").0, 404);
    assert_eq!(ask(&mut client, "PATCH /v1/keys/k", "", "").0, 405);
    node.stop();
}

#[test]
fn preconditions_decide_as_rfc_9110_says() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "PUT /v1/keys/k", "If-Match: *\r\n", "a").0, 412);
    let (status, _, head) = ask(&mut client, "PUT /v1/keys/k", "If-None-Match: *\r\n", "a");
    assert_eq!(status, 201);
    let first = etag(&head);
    let (status, _, head) = ask(&mut client, "PUT /v1/keys/k", "If-None-Match: *\r\n", "b");
    assert_eq!((status, etag(&head)), (412, first.clone()));
    let (status, _, head) =
        ask(&mut client, "PUT /v1/keys/k", &format!("If-Match: {first}\r\n"), "b");
    assert_eq!(status, 204);
    let second = etag(&head);
    assert_ne!(first, second);
    assert_eq!(ask(&mut client, "DELETE /v1/keys/k", &format!("If-Match: {first}\r\n"), "").0, 412);
    let (status, body, _) =
        ask(&mut client, "GET /v1/keys/k", &format!("If-None-Match: {second}\r\n"), "");
    assert_eq!((status, body.as_str()), (304, ""));
    assert_eq!(
        ask(&mut client, "GET /v1/keys/k", &format!("If-None-Match: {first}\r\n"), "").0,
        200
    );
    node.stop();
}

#[test]
fn a_large_value_comes_back_byte_for_byte() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let value: Vec<u8> =
        (0..3_000_000u32).flat_map(|number| number.to_le_bytes()).take(3_000_001).collect();
    client.send("PUT /v1/keys/big HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3000001\r\n\r\n");
    client.expect("HTTP/1.1 100 Continue\r\n\r\n");
    client.send(&value);
    assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    client.send("GET /v1/keys/big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(client.answer().1 == value, "the same bytes");
    let mut resp = Client::connect(&node.resp()[0]);
    resp.check("STRLEN big\r\n", ":3000001\r\n");
    client
        .send("PUT /v1/keys/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n");
    let refused = client.rest();
    assert!(
        refused.starts_with("HTTP/1.1 413 ") && refused.contains("connection: close"),
        "{refused}"
    );
    node.stop();
}

#[test]
fn pages_of_other_sites_are_refused() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    for (fields, status) in [
        ("Host: localhost\r\n", 404),
        ("Host: 127.0.0.1:7380\r\n", 404),
        ("Host: [::1]:7380\r\n", 404),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
    ] {
        client.send(format!("GET /v1/keys/k HTTP/1.1\r\n{fields}\r\n"));
        assert!(client.answer().0.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}");
    }
    node.stop();
}

#[test]
fn a_smuggled_request_is_refused_and_the_connection_closed() {
    let node = start();
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let mut client = Client::connect(&node.http()[0]);
        client.send(format!("PUT /v1/keys/k HTTP/1.1\r\nHost: x\r\n{fields}\r\nhello"));
        let answer = client.rest();
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_gone(&node, "k");
    node.stop();
}

fn assert_gone(node: &Node, key: &str) {
    let mut client = Client::connect(&node.resp()[0]);
    client.check(&format!("EXISTS {key}\r\n"), ":0\r\n");
}

#[test]
fn a_post_counts_touches_and_appends() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let mut check = |line: &str, body: &str, status: u16, answer: &str| {
        let (got, text, head) = ask(&mut client, line, "", body);
        assert_eq!(got, status, "{line}: {text}");
        if status < 300 {
            assert_eq!(text, answer, "{line}");
        } else {
            assert!(text.contains(&format!("\"code\":\"{answer}\"")), "{line}: {text}");
        }
        head
    };
    check("POST /v1/keys/n:incr", "", 200, "1");
    check("POST /v1/keys/n:incr?by=41", "", 200, "42");
    check("POST /v1/keys/m:incr?by=-2&initial=10&ttl=100s", "", 200, "8");
    let head = check("GET /v1/keys/m", "", 200, "8");
    assert!(head.contains("cache-status: ringhold; hit; ttl="), "{head}");
    check("POST /v1/keys/m:incr?by=9223372036854775807", "", 409, "overflow");
    check("PUT /v1/keys/t", "text", 201, "");
    check("POST /v1/keys/t:incr", "", 409, "not-an-integer");
    check("POST /v1/keys/t:append", " end", 204, "");
    check("POST /v1/keys/t:prepend", "begin ", 204, "");
    check("GET /v1/keys/t", "", 200, "begin text end");
    check("POST /v1/keys/new:append", "made", 204, "");
    check("GET /v1/keys/new", "", 200, "made");
    check("POST /v1/keys/t:touch?ttl=50s", "", 204, "");
    let head = check("GET /v1/keys/t", "", 200, "begin text end");
    assert!(head.contains("max-age=49") || head.contains("max-age=50"), "{head}");
    check("POST /v1/keys/none:touch?ttl=50s", "", 404, "no-such-key");
    for (line, status, code) in [
        ("POST /v1/keys/t:touch", 400, "missing-ttl"),
        ("POST /v1/keys/t:fly", 404, "no-such-verb"),
        ("POST /v1/keys/t:incr?by=x", 400, "bad-integer"),
        ("POST /v1/keys/t:incr?by=1&by=2", 400, "duplicate-parameter"),
        ("GET /v1/keys/t?ttl=5s", 400, "unknown-parameter"),
        ("PUT /v1/keys/t?stale_for=5s", 400, "missing-ttl"),
        ("PUT /v1/keys/t?ttl=0s", 400, "bad-ttl"),
        ("PUT /v1/keys/t?ttl=abc", 400, "bad-ttl"),
        ("PUT /v1/keys/", 400, "empty-key"),
        ("PUT /v1/keys/%zz", 400, "bad-percent-encoding"),
        ("GET /v1/ns/none/keys/t", 404, "no-such-namespace"),
    ] {
        check(line, "", status, code);
    }
    // The colon belongs to the key everywhere but behind the last one of a POST.
    check("PUT /v1/keys/x:touch", "colon", 201, "");
    check("GET /v1/keys/x%3Atouch", "", 200, "colon");
    check("POST /v1/keys/x:touch:append", "!", 204, "");
    check("GET /v1/keys/x:touch", "", 200, "colon!");
    // Databases of RESP are namespaces.
    check("PUT /v1/ns/db3/keys/k", "three", 201, "");
    check("GET /v1/keys/k", "", 404, "no-such-key");
    let mut resp = Client::connect(&node.resp()[0]);
    resp.check("SELECT 3\r\nGET k\r\n", "+OK\r\n$5\r\nthree\r\n");
    node.stop();
}

#[test]
fn an_entry_is_stale_before_it_is_gone() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "PUT /v1/keys/k?ttl=1ms&stale_for=60s", "", "v").0, 201);
    let is_stale = (0..100_000).any(|_| {
        let (status, body, head) = ask(&mut client, "GET /v1/keys/k", "", "");
        assert_eq!((status, body.as_str()), (200, "v"));
        head.contains("cache-status: ringhold; hit; ttl=-")
            && head.contains("max-age=0, stale-while-revalidate=")
    });
    assert!(is_stale);
    node.stop();
}

#[test]
fn a_refused_request_of_absurd_length_is_answered_and_harms_nobody() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    client.send(
        "GET /v1/keys/a HTTP/1.1\r\nHost: localhost\r\n\r\n\
         GET /v1/keys/b?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\n",
    );
    assert!(client.answer().0.starts_with("HTTP/1.1 404"));
    assert!(client.rest().starts_with("HTTP/1.1 400"));
    let mut other = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut other, "GET /v1/keys/a", "", "").0, 404);
    node.stop();
}

#[test]
fn a_head_is_never_answered_with_a_body() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "PUT /v1/keys/k", "", "value").0, 201);
    for (target, fields, status) in [
        ("/v1/keys/k", "", 200),
        ("/v1/keys/k", "If-Match: \"1\"\r\n", 412),
        ("/v1/keys/k", "If-None-Match: *\r\n", 304),
        ("/v1/keys/none", "", 404),
        ("/v1/ns/none/keys/k", "", 404),
        ("/v1/keys/k?x=1", "", 400),
        ("/v1/keys/k", "Origin: http://evil.example\r\n", 403),
    ] {
        let head = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        client.send(format!("{head}GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let answer = client.head();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        // The next answer begins right behind the head.
        assert_eq!(client.answer().1, b"value", "{target} {fields}");
    }
    client.send("HEAD /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n");
    let refused = client.rest();
    assert!(refused.starts_with("HTTP/1.1 413 ") && refused.ends_with("\r\n\r\n"), "{refused}");
    node.stop();
}

#[test]
fn a_refusal_does_not_wait_for_a_long_body() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    client.send(
        "PUT /v1/keys/b?x=1 HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
         Content-Length: 10\r\n\r\n",
    );
    assert!(client.rest().starts_with("HTTP/1.1 400"));
    let mut client = Client::connect(&node.http()[0]);
    client
        .send("PUT /v1/keys/b?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n");
    assert!(client.rest().starts_with("HTTP/1.1 400"));
    node.stop();
}

#[test]
fn a_large_value_under_a_long_key_arrives_whole() {
    let node = start();
    let key = "k".repeat(40_000);
    let value: String = ('a'..='w').cycle().take(300_000).collect();
    let mut client = Client::connect(&node.http()[0]);
    // In two parts, so that the value is received apart from its head.
    let (first, second) = value.split_at(100_000);
    client.send(format!(
        "PUT /v1/keys/{key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n{first}"
    ));
    let mut other = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut other, "PUT /v1/keys/secret", "", "of another client").0, 201);
    client.send(second);
    assert!(client.answer().0.starts_with("HTTP/1.1 201"));
    let (status, body, _) = ask(&mut client, &format!("GET /v1/keys/{key}"), "", "");
    assert_eq!(status, 200);
    assert!(body == value, "byte for byte");
    node.stop();
}

#[test]
fn reads_that_repeat_the_one_before_are_answered_alike() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "PUT /v1/keys/a", "", "one").0, 201);
    assert_eq!(ask(&mut client, "PUT /v1/keys/b%20c", "", "two").0, 201);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let cases = [
        ("/v1/keys/a", 200, "one"),
        ("/v1/keys/a", 200, "one"),
        ("/v1/keys/b%20c", 200, "two"),
        ("/v1/keys/a", 200, "one"),
        ("/v1/keys/a?x=1", 400, ""),
        ("/v1/keys/", 400, ""),
        ("/v1/keys/z", 404, ""),
        ("/v1/keys/a", 200, "one"),
    ];
    for is_pipelined in [false, true] {
        let requests: Vec<String> = cases.iter().map(|(target, _, _)| get(target)).collect();
        if is_pipelined {
            client.send(requests.concat());
        }
        for ((target, status, body), request) in cases.iter().zip(&requests) {
            if !is_pipelined {
                client.send(request);
            }
            let (head, found) = client.answer();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {head}");
            assert!(*status != 200 || found == body.as_bytes(), "{target}");
        }
    }
    // Another Host is looked at anew.
    client.send("GET /v1/keys/a HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(client.answer().0.starts_with("HTTP/1.1 403"));
    node.stop();
}

#[test]
fn a_precondition_says_nothing_of_what_would_fail_without_it() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    for (line, status) in [
        ("POST /v1/keys/none:touch?ttl=50s", 404),
        ("DELETE /v1/keys/none?strict=true", 404),
        ("DELETE /v1/keys/none", 412),
        ("PUT /v1/keys/none", 412),
    ] {
        assert_eq!(ask(&mut client, line, "If-Match: *\r\n", "").0, status, "{line}");
    }
    // Fields of one name are one list.
    let (_, _, head) = ask(&mut client, "PUT /v1/keys/k", "", "v");
    let tag = etag(&head);
    for fields in [
        format!("If-Match: {tag}\r\nIf-Match: \"1\"\r\n"),
        format!("If-Match: \"1\"\r\nIf-Match: {tag}\r\n"),
    ] {
        assert_eq!(ask(&mut client, "GET /v1/keys/k", &fields, "").0, 200, "{fields}");
        let fields = fields.replace("If-Match", "If-None-Match");
        assert_eq!(ask(&mut client, "GET /v1/keys/k", &fields, "").0, 304, "{fields}");
    }
    node.stop();
}

#[test]
fn a_client_of_http_1_0_is_told_that_its_connection_stays() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    client.send("GET /v1/keys/k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.answer().0.contains("\r\nconnection: keep-alive\r\n"));
    client.send("PUT /v1/keys/k HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nv");
    assert!(client.answer().0.contains("\r\nconnection: keep-alive\r\n"));
    client.send("GET /v1/keys/k HTTP/1.0\r\n\r\n");
    let last = client.rest();
    assert!(last.contains("\r\nconnection: close\r\n") && last.ends_with("\r\n\r\nv"), "{last}");
    node.stop();
}

#[test]
fn a_problem_says_where_its_key_is() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    // The slot of "foo" is that of Redis Cluster.
    let (_, body, _) = ask(&mut client, "GET /v1/keys/foo", "", "");
    assert!(body.contains("\"map\":1,\"slot\":12182,"), "{body}");
    node.stop();
}

#[test]
fn an_answer_to_what_is_not_read_arrives() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    // The node answers and reads no value; a reset would take the answer away.
    let head = "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n";
    client.send(head.to_owned() + &"v".repeat(500_000));
    let refused = client.rest();
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    // It does not listen for ever.
    let mut client = Client::connect(&node.http()[0]);
    client.send(head);
    let part = [b'v'; 65_536];
    let taken = (0..1_000).take_while(|_| client.stream.write_all(&part).is_ok()).count();
    assert!(taken < 1_000, "{taken} parts were taken");
    node.stop();
}

#[test]
fn every_answer_on_a_key_is_sandboxed() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    for (line, status) in [
        ("PUT /v1/keys/n", 201),
        ("PUT /v1/keys/n", 204),
        ("GET /v1/keys/n", 200),
        ("GET /v1/keys/none", 404),
        ("POST /v1/keys/c:incr", 200),
        ("POST /v1/keys/n:append", 204),
        ("POST /v1/keys/n:touch?ttl=1h", 204),
        ("POST /v1/keys/l:fill-lease", 201),
        ("POST /v1/keys/l:fill-lease", 202),
        ("POST /v1/keys/n:incr", 409),
        ("DELETE /v1/keys/n", 204),
        ("GET /v1/keys/n?x=1", 400),
        ("GET /v1/ns/none/keys/n", 404),
        ("PATCH /v1/keys/n", 405),
    ] {
        let (got, body, head) = ask(&mut client, line, "", "");
        assert_eq!(got, status, "{line}: {body}");
        for field in [
            "x-content-type-options: nosniff\r\n",
            "content-security-policy: sandbox\r\n",
            "ringhold-node: test-7380\r\n",
            "ringhold-map: 1\r\n",
        ] {
            assert_eq!(head.matches(field).count(), 1, "{line}: {head}");
        }
    }
    let (status, _, head) = ask(&mut client, "PUT /v1/keys/n", "If-Match: *\r\n", "");
    assert!(status == 412 && head.contains("content-security-policy: sandbox"), "{head}");
    node.stop();
}

#[test]
fn a_read_may_say_how_fresh_it_has_to_be() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "PUT /v1/keys/k", "", "v").0, 201);
    for (line, status) in [
        ("GET /v1/keys/k?consistency=eventual", 200),
        ("GET /v1/keys/k?consistency=linearizable", 200),
        ("GET /v1/keys/none?consistency=eventual", 404),
        ("GET /v1/keys/k?consistency=maybe", 400),
        ("GET /v1/keys/k?consistency=eventual&consistency=eventual", 400),
        ("PUT /v1/keys/k?consistency=eventual", 400),
        ("DELETE /v1/keys/k?consistency=eventual", 400),
    ] {
        let (got, body, _) = ask(&mut client, line, "", "");
        assert_eq!(got, status, "{line}: {body}");
        assert!(got != 200 || body == "v", "{line}: {body}");
    }
    node.stop();
}

#[test]
fn a_body_in_an_unknown_coding_is_a_problem_and_the_end() {
    let node = start();
    for (coding, status) in [("gzip", 400), ("gzip, chunked", 501), ("chunked, gzip", 400)] {
        for path in ["/v1/keys/k", "/v1/batch"] {
            let mut client = Client::connect(&node.http()[0]);
            client.send(format!(
                "PUT {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
            ));
            let answer = client.rest();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{coding}: {answer}");
            for part in ["connection: close\r\n", "content-type: application/problem+json\r\n"] {
                assert_eq!(answer.matches(part).count(), 1, "{coding}: {answer}");
            }
        }
    }
    assert_gone(&node, "k");
    node.stop();
}

#[test]
fn a_time_to_live_is_the_querys_or_the_fields_and_goes_with_the_value() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let mut age = |line: &str, fields: &str| {
        let (status, body, head) = ask(&mut client, line, fields, "7");
        assert!((200..300).contains(&status), "{line}: {body}");
        let (_, value, read) = ask(&mut client, "GET /v1/keys/k", "", "");
        assert!(!read.contains("\r\nage:"), "{read}");
        let age = read.lines().find_map(|line| line.strip_prefix("cache-control: max-age="));
        (age.map(|age| age.parse::<u64>().expect("seconds")), value, etag(&read), head)
    };
    let near = |age: Option<u64>, ttl: u64| age.is_some_and(|age| (ttl - 5..=ttl).contains(&age));
    assert!(near(age("PUT /v1/keys/k", "Ringhold-TTL: 100\r\n").0, 100));
    assert!(near(age("PUT /v1/keys/k?ttl=50s", "Ringhold-TTL: 100\r\n").0, 50), "the query wins");
    let cached = "Cache-Control: max-age=100\r\n";
    assert_eq!(age("PUT /v1/keys/k", cached).0, None, "what a cache is told is no time to live");
    assert!(near(age("PUT /v1/keys/k?ttl=90s", "").0, 90));
    assert_eq!(age("PUT /v1/keys/k", "").0, None, "a value without one takes it away");
    // A counter has what it was made with.
    let (ttl, value, _, _) = age("POST /v1/keys/k:incr?ttl=80s&initial=100", "");
    assert_eq!((ttl, value.as_str()), (None, "8"), "it was there");
    node.stop();
}

#[test]
fn a_counter_has_the_end_and_the_beginning_it_was_made_with() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let (status, value, head) = ask(&mut client, "POST /v1/keys/c:incr?ttl=1h&initial=10", "", "");
    assert_eq!((status, value.as_str()), (200, "11"));
    let made = etag(&head);
    let (_, value, head) = ask(&mut client, "POST /v1/keys/c:incr?ttl=1s&initial=500", "", "");
    assert_eq!(value, "12");
    let counted = etag(&head);
    assert_ne!(made, counted);
    let (_, _, head) = ask(&mut client, "GET /v1/keys/c", "", "");
    assert_eq!(etag(&head), counted);
    assert!(head.contains("max-age=359") || head.contains("max-age=3600"), "{head}");
    // A touch changes the end and nothing else.
    assert_eq!(ask(&mut client, "POST /v1/keys/c:touch?ttl=2h", "", "").0, 204);
    let (_, value, head) = ask(&mut client, "GET /v1/keys/c", "", "");
    assert_eq!((value.as_str(), etag(&head)), ("12", counted.clone()));
    assert!(head.contains("max-age=719") || head.contains("max-age=7200"), "{head}");
    let (status, _, head) = ask(&mut client, "POST /v1/keys/c:append", "", "3");
    assert_eq!(status, 204);
    assert_ne!(etag(&head), counted);
    node.stop();
}

#[test]
fn a_value_does_not_grow_over_the_limit() {
    let mut small = crate::settings();
    small.value_len_max = Some(1 << 20);
    let node = Node::start(&small).expect("it starts");
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "PUT /v1/keys/k", "", &"x".repeat(1_000_000)).0, 201);
    for verb in ["append", "prepend"] {
        let line = format!("POST /v1/keys/k:{verb}");
        let (status, body, _) = ask(&mut client, &line, "", &"y".repeat(50_000));
        assert!(status == 413 && body.contains("value-too-large"), "{body}");
        assert_eq!(ask(&mut client, &line, "", &"z".repeat(20_000)).0, 204);
    }
    let (_, value, _) = ask(&mut client, "GET /v1/keys/k", "", "");
    let z = "z".repeat(20_000);
    assert!(value == format!("{z}{}{z}", "x".repeat(1_000_000)));
    node.stop();
}

#[test]
fn who_never_reads_its_answers_does_not_hinder_others() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let value = "v".repeat(8_000);
    assert_eq!(ask(&mut client, "PUT /v1/keys/k", "", &value).0, 201);
    let mut deaf: Vec<Client> = (0..3).map(|_| Client::connect(&node.http()[0])).collect();
    // The last one is the control plane's.
    let asked = ["", "", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"];
    let gets = "GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    for (deaf, asked) in deaf.iter_mut().zip(asked) {
        deaf.send(asked);
        deaf.stream
            .set_write_timeout(Some(std::time::Duration::from_millis(300)))
            .expect("a time-out can be set");
        // The node stops reading once its answers are not taken, so the socket fills up.
        while deaf.stream.write_all(gets.as_bytes()).is_ok() {}
    }
    for line in ["GET /v1/keys/k", "GET /v1/keys/k?consistency=eventual"] {
        for _ in 0..50 {
            assert_eq!(ask(&mut client, line, "", "").1, value);
        }
    }
    assert_eq!(ask(&mut client, "GET /readyz", "", "").0, 200);
    let mut resp = Client::connect(&node.resp()[0]);
    let info = resp.info();
    let rss = info.lines().find_map(|line| line.strip_prefix("used_memory_rss:"));
    let rss: u64 = rss.expect("it is there").parse().expect("a number");
    assert!(rss < 400 << 20, "{rss}");
    drop(deaf);
    node.stop();
}

#[test]
fn who_sends_too_slowly_is_told_so() {
    let mut impatient = crate::settings();
    impatient.idle_timeout = std::time::Duration::from_millis(50);
    let node = Node::start(&impatient).expect("it starts");
    let put = "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length";
    for half in [
        "GET /v1/keys/k HT".to_owned(),
        format!("{put}: 5\r\n\r\nvv"),
        format!("{put}: 200000\r\n\r\nvv"),
    ] {
        let mut client = Client::connect(&node.http()[0]);
        client.send(&half);
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{half}: {answer}");
        for part in ["connection: close\r\n", "\"code\":\"request-too-slow\"", "\"retryable\":true"]
        {
            assert!(answer.contains(part), "{half}: {answer}");
        }
    }
    for half in
        ["GET k", "*2\r\n$3\r\nGET\r\n$5\r\nk", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$200000\r\nvv"]
    {
        let mut client = Client::connect(&node.resp()[0]);
        client.send(half);
        assert_eq!(
            client.rest(),
            "-ERR the command comes too slowly: send it at once\r\n",
            "{half}"
        );
    }
    // Who has asked for nothing is told nothing.
    for address in [&node.http()[0], &node.resp()[0]] {
        assert_eq!(Client::connect(address).rest(), "");
    }
    // A connection of the control plane has the same patience.
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "GET /livez", "", "").0, 200);
    assert_eq!(client.rest(), "");
    assert_gone(&node, "k");
    node.stop();
}

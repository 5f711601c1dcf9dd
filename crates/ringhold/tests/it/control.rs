//! What is handed over to the control plane, over a socket.

use std::io::{Read as _, Write as _};

use crate::{Client, start, with_password};

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
        ("GET /openapi.json", 200, "\"openapi\":\"3.1.0\""),
        ("GET /v1/ns", 200, "\"name\":\"db15\""),
        ("GET /v1/ns/db3", 200, "\"entries\":0"),
        ("DELETE /v1/ns/db3", 409, "is-a-database"),
        ("DELETE /v1/ns/none", 404, "no-such-namespace"),
        ("GET /v1/cluster/operations/7", 404, "no-such-operation"),
        ("PATCH /v1/ns/db3", 405, "method-not-allowed"),
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
    let (status, cleared) = ask(&mut client, "DELETE /v1/keys?prefix=list:");
    assert_eq!(status, 200);
    assert!(
        cleared.contains("\"deleted\":250") && cleared.contains("\"state\":\"done\""),
        "{cleared}"
    );
    resp.check("DBSIZE\r\n", ":2\r\n");
    assert!(ask(&mut client, "DELETE /v1/keys?all=true").1.contains("\"deleted\":2"));
    resp.check("DBSIZE\r\n", ":0\r\n");
    node.stop();
}

#[test]
fn health_needs_no_password_and_the_rest_does() {
    let node = with_password("control");
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

/// Sends a request with a body and returns status, head and body.
#[track_caller]
fn send(client: &mut Client, line: &str, fields: &str, body: &str) -> (u16, String, String) {
    let len = body.len();
    client.send(format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n{fields}\r\n{body}"
    ));
    let (head, body) = client.answer();
    let status = head[9..12].parse().expect("a status");
    (status, head, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn a_namespace_has_its_own_keys_quota_and_time_to_live() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "PUT /v1/ns/tenant/keys/k").0, 404, "no key makes a namespace");
    for (body, code) in [
        ("{\"quota\":\"1KiB\"}", "bad-quota"),
        ("{\"default_ttl\":\"soon\"}", "bad-ttl"),
        ("{\"surprise\":1}", "bad-namespace"),
        ("[", "bad-namespace"),
    ] {
        let (status, _, problem) = send(&mut client, "PUT /v1/ns/tenant", "", body);
        assert!(status == 400 && problem.contains(code), "{body}: {problem}");
        let problem: serde_json::Value = serde_json::from_str(&problem).expect("it is JSON");
        assert_eq!(problem["code"], code);
    }
    assert_eq!(send(&mut client, "PUT /v1/ns/Bad!", "", "{}").0, 400);
    let terms = "{\"quota\":\"16MiB\",\"default_ttl\":\"1h\"}";
    let (status, _, made) = send(&mut client, "PUT /v1/ns/tenant", "", terms);
    assert_eq!(status, 201, "{made}");
    assert_eq!(send(&mut client, "PUT /v1/ns/tenant", "", terms).0, 200);
    // Its keys are its own, and have its time to live.
    assert_eq!(send(&mut client, "PUT /v1/ns/tenant/keys/k", "", "v").0, 201);
    assert_eq!(ask(&mut client, "GET /v1/keys/k").0, 404);
    let (status, head, value) = send(&mut client, "GET /v1/ns/tenant/keys/k", "", "");
    assert!(status == 200 && value == "v" && head.contains("cache-control: max-age=3"), "{head}");
    // Four times the quota passes through it, large values and small ones, and the others keep theirs.
    assert_eq!(send(&mut client, "PUT /v1/keys/mine", "", "mine").0, 201);
    let large = "x".repeat(200_000);
    for number in 0..300 {
        let line = format!("PUT /v1/ns/tenant/keys/large{number}");
        assert_eq!(send(&mut client, &line, "", &large).0, 201, "{number}");
        for more in 0..10 {
            let line = format!("PUT /v1/ns/tenant/keys/small{number}-{more}");
            assert_eq!(send(&mut client, &line, "", "small").0, 201, "{number}");
        }
    }
    let used = |client: &mut Client| -> serde_json::Value {
        serde_json::from_str(&ask(client, "GET /v1/ns/tenant").1).expect("JSON")
    };
    let used_bytes = used(&mut client)["used_bytes"].as_u64().expect("a number");
    assert!((1 << 20..=16 << 20).contains(&used_bytes), "{used_bytes}");
    assert_eq!(ask(&mut client, "GET /v1/keys/mine").1, "mine");
    // A value over the share of a shard is refused for good.
    let (status, _, problem) =
        send(&mut client, "PUT /v1/ns/tenant/keys/huge", "", &"x".repeat(5_000_000));
    assert!(status == 413, "{problem}");
    // A smaller quota holds at once.
    let terms = "{\"quota\":9000000,\"eviction\":true}";
    assert_eq!(send(&mut client, "PUT /v1/ns/tenant", "", terms).0, 200);
    assert!(used(&mut client)["used_bytes"].as_u64().expect("a number") <= 9_000_000);
    // Without eviction a full namespace refuses, and says that no retry helps.
    let terms = "{\"quota\":9000000,\"eviction\":false}";
    assert_eq!(send(&mut client, "PUT /v1/ns/tenant", "", terms).0, 200);
    let full = (0..1000).find_map(|number| {
        let line = format!("PUT /v1/ns/tenant/keys/more{number}");
        let (status, _, body) = send(&mut client, &line, "", &large[..150_000]);
        (status != 201).then_some((status, body))
    });
    let (status, problem) = full.expect("a quota is a bound");
    assert!(status == 507 && problem.contains("\"retryable\":false"), "{problem}");
    assert_eq!(ask(&mut client, "DELETE /v1/ns/tenant").0, 204);
    assert_eq!(ask(&mut client, "GET /v1/ns/tenant/keys/k").0, 404);
    assert_eq!(ask(&mut client, "DELETE /v1/ns/tenant").0, 404);
    assert_eq!(ask(&mut client, "GET /v1/keys/mine").1, "mine");
    node.stop();
}

#[test]
fn one_caller_fills_and_the_others_wait_for_it() {
    let node = start();
    let mut first = Client::connect(&node.http()[0]);
    let mut second = Client::connect(&node.http()[0]);
    let lease = |head: &str| -> Option<String> {
        head.lines().find_map(|line| line.strip_prefix("ringhold-fill-lease: ").map(str::to_owned))
    };
    let ask_lease = "POST /v1/keys/k:fill-lease?ttl=1h";
    let (status, head, _) = send(&mut first, ask_lease, "", "");
    assert_eq!(status, 201, "{head}");
    let number = lease(&head).expect("a lease has a number");
    let (status, head, _) = send(&mut second, ask_lease, "", "");
    assert!(status == 202 && head.contains("retry-after: 1"), "{head}");
    // One waits on the node while the other fills.
    second.send(format!(
        "{ask_lease} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=20\r\nContent-Length: 0\r\n\r\n"
    ));
    let wrong = "Ringhold-Fill-Lease: 1\r\n";
    let (status, _, problem) = send(&mut first, "PUT /v1/keys/k", wrong, "no");
    assert!(status == 412 && problem.contains("lease-lost"), "{problem}");
    let right = format!("Ringhold-Fill-Lease: {number}\r\n");
    assert_eq!(send(&mut first, "PUT /v1/keys/k", &right, "filled").0, 201);
    let (head, body) = second.answer();
    assert!(head.starts_with("HTTP/1.1 200 ") && body == b"filled", "{head}");
    assert!(head.contains("cache-control: max-age=35") || head.contains("max-age=3600"), "{head}");
    // A lease ends with its fill, and with a deletion, of a missing key as well.
    assert_eq!(send(&mut first, "PUT /v1/keys/k", &right, "again").0, 412);
    for line in ["POST /v1/keys/gone:fill-lease", "POST /v1/keys/other:fill-lease"] {
        let (status, head, _) = send(&mut first, line, "", "");
        assert_eq!(status, 201);
        let number = lease(&head).expect("a lease has a number");
        let key = line.trim_start_matches("POST /v1/keys/").trim_end_matches(":fill-lease");
        let mut resp = Client::connect(&node.resp()[0]);
        resp.check(&format!("DEL {key}\r\n"), ":0\r\n");
        let fields = format!("Ringhold-Fill-Lease: {number}\r\n");
        assert_eq!(send(&mut first, &format!("PUT /v1/keys/{key}"), &fields, "old").0, 412);
        assert_eq!(ask(&mut first, &format!("GET /v1/keys/{key}")).0, 404);
    }
    // What is stale is renewed by one and read by the others meanwhile.
    let line = "PUT /v1/keys/stale?ttl=1ms&stale_for=1h";
    assert_eq!(send(&mut first, line, "", "old").0, 201);
    let line = "POST /v1/keys/stale:fill-lease";
    let granted = (0..100_000).find(|_| send(&mut first, line, "", "").0 == 201);
    assert!(granted.is_some(), "it turns stale");
    let (status, head, body) = send(&mut second, line, "", "");
    assert!(status == 200 && body == "old" && head.contains("ringhold; hit; ttl=-"), "{head}");
    // A lease that nobody uses ends by its time.
    let line = "POST /v1/keys/slow:fill-lease?fill_within=1ms";
    assert_eq!(send(&mut first, line, "", "").0, 201);
    let again = (0..100_000).find(|_| send(&mut second, line, "", "").0 == 201);
    assert!(again.is_some(), "another may fill");
    node.stop();
}

#[test]
fn a_batch_is_many_requests_in_one() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let batch = r#"{"operations":[
        {"op":"put","key":"a/b","value":"1","ttl":"1h","content_type":"text/plain"},
        {"op":"incr","key":"a/b","by":41},
        {"op":"get","key":"a/b"},
        {"op":"put","key_b64":"/w==","value_b64":"/wA="},
        {"op":"get","key_b64":"/w=="},
        {"op":"put","key":"a/b","value":"x","if_none_match":"*"},
        {"op":"delete","key":"none","strict":true},
        {"op":"get","key":"none"},
        {"op":"get"},
        {"op":"put","key":"x"},
        {"op":"put","key":"x","value":"v","ns":"none"},
        {"op":"put","key":"x","value":"v","ns":"its-own.1"}
    ]}"#;
    assert_eq!(send(&mut client, "PUT /v1/ns/its-own.1", "", "{}").0, 201);
    let (status, _, body) = send(&mut client, "POST /v1/batch", "", batch);
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let results = body["results"].as_array().expect("a list");
    let statuses: Vec<u64> =
        results.iter().map(|r| r["status"].as_u64().expect("a status")).collect();
    assert_eq!(statuses, [201, 200, 200, 201, 200, 412, 404, 404, 400, 400, 404, 201]);
    assert_eq!(
        (&results[2]["value"], &results[2]["content_type"]),
        (&"42".into(), &"text/plain".into())
    );
    assert_eq!(results[2]["version"], results[5]["version"], "a conflict says the version");
    assert_eq!(results[4]["value_b64"], "/wA=");
    assert_eq!(results[10]["problem"]["code"], "no-such-namespace");
    for (body, status) in [
        ("{}".to_owned(), 400),
        ("{\"operations\":[{\"op\":\"flush\"}]}".to_owned(), 400),
        (
            format!("{{\"operations\":[{}]}}", ["{\"op\":\"get\",\"key\":\"k\"}"; 1001].join(",")),
            413,
        ),
    ] {
        assert_eq!(send(&mut client, "POST /v1/batch", "", &body).0, status);
    }
    let xml = "Content-Type: text/xml\r\n";
    assert_eq!(send(&mut client, "POST /v1/batch", xml, "<a/>").0, 415);
    node.stop();
}

#[test]
fn a_deletion_that_is_not_waited_for_is_an_operation() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    for number in 0..500 {
        assert_eq!(send(&mut client, &format!("PUT /v1/keys/k{number}"), "", "v").0, 201);
    }
    let line = "DELETE /v1/keys?prefix=k";
    let (status, head, body) = send(&mut client, line, "Prefer: respond-async\r\n", "");
    assert_eq!(status, 202, "{body}");
    let location = head.lines().find_map(|line| line.strip_prefix("location: "));
    let line = format!("GET {}", location.expect("an operation has a place"));
    let ended = (0..100_000).find_map(|_| {
        let (status, body) = ask(&mut client, &line);
        assert_eq!(status, 200, "{body}");
        body.contains("\"state\":\"done\"").then_some(body)
    });
    assert!(ended.expect("it ends").contains("\"deleted\":500"));
    assert!(ask(&mut client, "GET /v1/cluster/operations").1.contains("\"id\":\"1\""));
    assert_eq!(ask(&mut client, &line.replace("GET", "DELETE")).0, 409, "it has ended");
    assert_eq!(ask(&mut client, "GET /v1/keys/k1").0, 404);
    node.stop();
}

#[test]
fn a_value_keeps_its_content_type_and_encoding() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let types = "Content-Type: application/json\r\nContent-Encoding: br\r\n";
    assert_eq!(send(&mut client, "PUT /v1/keys/k", types, "{}").0, 201);
    let (_, head, _) = send(&mut client, "GET /v1/keys/k", "", "");
    assert!(head.contains("content-type: application/json\r\ncontent-encoding: br\r\n"), "{head}");
    assert!(head.contains("nosniff") && head.contains("sandbox"), "{head}");
    // It stays with what is changed in place, large or not, and goes with what is replaced.
    assert_eq!(send(&mut client, "POST /v1/keys/k:append", "", &"x".repeat(100_000)).0, 204);
    assert!(send(&mut client, "GET /v1/keys/k", "", "").1.contains("application/json"));
    assert_eq!(
        send(
            &mut client,
            "PUT /v1/keys/k",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            "v"
        )
        .0,
        204
    );
    assert!(send(&mut client, "GET /v1/keys/k", "", "").1.contains("application/octet-stream"));
    // Chunked and large bodies take the other ways in.
    client.send(
        "PUT /v1/keys/c HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/css\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    );
    assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    assert!(send(&mut client, "GET /v1/keys/c", "", "").1.contains("content-type: text/css"));
    let types = "Content-Type: image/png\r\n";
    assert_eq!(send(&mut client, "PUT /v1/keys/large", types, &"x".repeat(1_000_000)).0, 201);
    assert!(send(&mut client, "GET /v1/keys/large", "", "").1.contains("content-type: image/png"));
    let long = format!("Content-Type: {}\r\n", "x".repeat(300));
    assert_eq!(send(&mut client, "PUT /v1/keys/k", &long, "v").0, 400);
    node.stop();
}

#[test]
fn no_content_type_is_one_too_many() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let count = 4200;
    for n in 0..count {
        let types = format!("Content-Type: text/x-{n}\r\nContent-Encoding: e{}\r\n", n % 2);
        assert_eq!(send(&mut client, &format!("PUT /v1/keys/t{n}"), &types, "1").0, 201);
    }
    // It stays with what is changed, copied and renamed, over either protocol.
    let last = format!("t{}", count - 1);
    assert_eq!(send(&mut client, &format!("POST /v1/keys/{last}:incr"), "", "").0, 200);
    assert_eq!(send(&mut client, &format!("POST /v1/keys/{last}:append"), "", "2").0, 204);
    assert_eq!(send(&mut client, &format!("POST /v1/keys/{last}:touch?ttl=1h"), "", "").0, 204);
    let mut resp = Client::connect(&node.resp()[0]);
    resp.check(&format!("INCR {last}\r\n"), ":23\r\n");
    resp.check(&format!("RENAME {last} moved\r\n"), "+OK\r\n");
    for (n, key) in
        (0..count - 1).map(|n| (n, format!("t{n}"))).chain([(count - 1, "moved".into())])
    {
        let (status, head, body) = send(&mut client, &format!("GET /v1/keys/{key}"), "", "");
        let types = format!("content-type: text/x-{n}\r\ncontent-encoding: e{}\r\n", n % 2);
        assert!(status == 200 && head.contains(&types), "{key}: {head}");
        assert_eq!(body, if key == "moved" { "23" } else { "1" });
    }
    node.stop();
}

#[test]
fn every_route_that_is_described_is_served() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let (_, _, text) = send(&mut client, "GET /openapi.json", "", "");
    let described: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut count = 0;
    for (path, methods) in described["paths"].as_object().expect("an object") {
        for (method, operation) in methods.as_object().expect("an object") {
            let path = path.replace("{key}", "k").replace("{ns}", "db1").replace("{id}", "1");
            let line = format!("{} {path}", method.to_uppercase());
            let len = "Content-Length: 0";
            client.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{len}\r\n\r\n"));
            let head = if method == "head" { client.head() } else { client.answer().0 };
            let status = &head[9..12];
            assert!(status != "405" && status != "501" && status != "500", "{line}: {head}");
            let responses = operation["responses"].as_object().expect("an object");
            assert!(responses.contains_key(status), "{line} answers {status}");
            count += 1;
        }
    }
    assert!(count > 30, "{count} routes");
    node.stop();
}

#[test]
fn bodies_of_those_without_the_password_take_nothing_from_others() {
    let node = with_password("bodies");
    let head = |fields: &str| {
        format!(
            "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{fields}\r\n"
        )
    };
    let mut stalled: Vec<Client> = (0..20).map(|_| Client::connect(&node.http()[0])).collect();
    for client in &mut stalled {
        client.send(head("") + "5\r\nvv");
    }
    let mut client = Client::connect(&node.http()[0]);
    client.send(head("Authorization: Bearer secret\r\n") + "1\r\nv\r\n0\r\n\r\n");
    assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    for client in &mut stalled {
        assert!(client.answer().0.starts_with("HTTP/1.1 401 "));
    }
    node.stop();
}

#[test]
fn a_batch_of_too_many_operations_is_not_read_to_its_end() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let operation = "{\"op\":\"get\",\"key\":\"k\"}";
    // What follows is no JSON, and is not looked at.
    let body = format!("{{\"operations\":[{},", [operation; 1001].join(","));
    assert_eq!(send(&mut client, "POST /v1/batch", "", &body).0, 413);
    let body = format!("{{\"operations\":[{}]}}", [operation; 1000].join(","));
    assert_eq!(send(&mut client, "POST /v1/batch", "", &body).0, 200);
    node.stop();
}

#[test]
fn a_batch_over_its_length_is_refused() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    // It is refused by its length, before its body.
    client.send(format!(
        "POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        (16 << 20) + 1
    ));
    let (head, problem) = client.answer();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert!(String::from_utf8_lossy(&problem).contains("\"code\":\"body-too-large\""));
    node.stop();
}

#[test]
fn who_waited_for_a_fill_is_told_that_it_was_shared() {
    let node = start();
    let mut first = Client::connect(&node.http()[0]);
    let mut second = Client::connect(&node.http()[0]);
    let line = "POST /v1/keys/k:fill-lease";
    let (status, head, _) = send(&mut first, line, "", "");
    assert!(status == 201 && head.contains("cache-status: ringhold; fwd=miss\r\n"), "{head}");
    let (status, head, _) = send(&mut second, line, "", "");
    let is_shared = head.contains("cache-status: ringhold; fwd=miss; collapsed\r\n");
    assert!(status == 202 && is_shared, "{head}");
    // Whether the second waits already when the fill comes is not to be seen: one of many tries is enough.
    let is_told = (0..1_000).any(|number| {
        let line = format!("POST /v1/keys/k{number}:fill-lease");
        assert_eq!(send(&mut first, &line, "", "").0, 201);
        second.send(format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=20\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(send(&mut first, &format!("PUT /v1/keys/k{number}"), "", "filled").0, 201);
        let (head, body) = second.answer();
        assert!(head.starts_with("HTTP/1.1 200 ") && body == b"filled", "{head}");
        let (_, own, _) = send(&mut first, &line, "", "");
        assert!(own.contains("cache-status: ringhold; hit\r\n"), "{own}");
        head.contains("cache-status: ringhold; hit; collapsed\r\n")
    });
    assert!(is_told);
    node.stop();
}

#[test]
fn a_deletion_that_goes_on_can_be_cancelled() {
    let node = start();
    let mut resp = Client::connect(&node.resp()[0]);
    for number in 0..20 {
        let first = number * 1_000;
        let sets = (first..first + 1_000)
            .map(|key| format!("SET k{key} v\r\n"))
            .collect::<Vec<_>>()
            .concat();
        resp.check(&sets, &"+OK\r\n".repeat(1_000));
    }
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "GET /livez").0, 200);
    // In one packet: the second is there before the first is done.
    client.send(
        "DELETE /v1/keys?all=true HTTP/1.1\r\nHost: localhost\r\nPrefer: respond-async\r\n\r\n\
         DELETE /v1/cluster/operations/1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(client.answer().0.starts_with("HTTP/1.1 202 "));
    let (head, body) = client.answer();
    assert!(head.starts_with("HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&body));
    let ended = (0..100_000).find_map(|_| {
        let body = ask(&mut client, "GET /v1/cluster/operations/1").1;
        let operation: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        (operation["state"] != "running").then_some(operation)
    });
    let ended = ended.expect("it ends");
    assert_eq!(ended["state"], "cancelled");
    let deleted = ended["deleted"].as_u64().expect("a number");
    assert!(deleted < 20_000, "{deleted}");
    resp.check("DBSIZE\r\n", &format!(":{}\r\n", 20_000 - deleted));
    assert_eq!(ask(&mut client, "DELETE /v1/cluster/operations/1").0, 409);
    node.stop();
}

#[test]
fn values_of_unknown_length_are_received_by_many_at_once_and_bounded() {
    let node = start();
    let address = &node.http()[0];
    let head = |key: &str| {
        format!(
            "PUT /v1/keys/{key} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    };
    let chunk = |len: usize| format!("{len:x}\r\n{}\r\n", "v".repeat(len));
    // Each of them may become 8 MiB long, so all of them would be far over what is gathered.
    let mut halves: Vec<Client> = (0..30).map(|_| Client::connect(address)).collect();
    for (number, client) in halves.iter_mut().enumerate() {
        client.send(head(&format!("half{number}")) + &chunk(70_000));
    }
    let mut client = Client::connect(address);
    client.send(head("k") + &chunk(3_000_000) + &chunk(7) + "0\r\n\r\n");
    let (answer, _) = client.answer();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(ask(&mut client, "GET /v1/keys/k").1, "v".repeat(3_000_007));
    for client in &mut halves {
        client.send("2\r\nww\r\n0\r\n\r\n");
        assert!(client.answer().0.starts_with("HTTP/1.1 201 "));
    }
    assert_eq!(ask(&mut client, "GET /v1/keys/half7").1, "v".repeat(70_000) + "ww");
    // One over the limit is refused in the middle; one that is given up gives its room back.
    let used = |client: &mut Client| -> u64 {
        let text = ask(client, "GET /v1/node").1;
        let node: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        node["memory"]["used_bytes"].as_u64().expect("a number")
    };
    let before = used(&mut client);
    let mut long = Client::connect(address);
    long.send(head("long") + &chunk(8 << 20) + "1\r\nv\r\n");
    let (answer, problem) = long.answer();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(String::from_utf8_lossy(&problem).contains("\"code\":\"value-too-large\""));
    let mut gone = Client::connect(address);
    gone.send(head("gone") + &chunk(2_000_000));
    assert!((0..100_000).any(|_| used(&mut client) > before + 2_000_000), "it is received");
    drop(gone);
    assert!((0..100_000).any(|_| used(&mut client) <= before), "it is given back");
    assert_eq!(ask(&mut client, "GET /v1/keys/gone").0, 404);
    // What all of them may take together is bounded, and who finds no room is told to come again.
    let before = used(&mut client);
    let mut many: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
    for client in &mut many {
        client.send(head("many") + &chunk(3_000_000));
    }
    assert!((0..100_000).any(|_| used(&mut client) > before + 6_000_000), "they are received");
    client.send(head("more") + &chunk(3_000_000) + "0\r\n\r\n");
    assert!(client.answer().0.starts_with("HTTP/1.1 503 "), "8 MiB may be in flight");
    drop(many);
    assert!((0..100_000).any(|_| used(&mut client) <= before), "they are given back");
    node.stop();
}

#[test]
fn a_value_over_http2_goes_into_pages_too() {
    let node = start();
    let mut two = Client::connect(&node.http()[0]);
    two.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    // The node's windows hold once its settings are acknowledged.
    let mut head = [0; 9];
    two.stream.read_exact(&mut head).expect("settings come first");
    two.stream.read_exact(&mut vec![0; usize::from(head[2])]).expect("they are short");
    two.send(b"\0\0\0\x04\x01\0\0\0\0");
    // PUT http://localhost/v1/keys/k, without a length.
    two.send(b"\0\0\x1f\x01\x04\0\0\0\x01\x42\x03PUT\x86\x41\x09localhost\x44\x0c/v1/keys/two");
    let mut sent = 0;
    for number in 0..10_u8 {
        let end = u8::from(number == 9);
        let data = [b'a' + number; 0x2000];
        two.send([&[0, 0x20, 0, 0, end, 0, 0, 0, 1], data.as_slice()].concat());
        sent += 0x2000;
    }
    let mut client = Client::connect(&node.http()[0]);
    let value = (0..100_000).find_map(|_| {
        let (status, value) = ask(&mut client, "GET /v1/keys/two");
        (status == 200).then_some(value)
    });
    let value = value.expect("it is stored");
    assert!(value.len() == sent && value.ends_with(&"j".repeat(0x2000)), "{}", value.len());
    drop(two);
    node.stop();
}

#[test]
fn what_cannot_be_read_of_a_connection_that_was_handed_over_is_told_as_a_problem() {
    let node = start();
    let host = "Host: localhost\r\n";
    let fields: String = (0..65).map(|number| format!("X-{number}: y\r\n")).collect();
    for (bad, status, code) in [
        (
            format!("PUT /v1/keys/k HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"),
            400,
            "bad-transfer-encoding",
        ),
        (
            format!("PUT /v1/keys/k HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            501,
            "unknown-transfer-coding",
        ),
        (
            format!(
                "PUT /v1/keys/k HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
            ),
            400,
            "two-lengths",
        ),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400, "duplicate-host"),
        (format!("GET / HTTP/1.1\r\n{host}{fields}\r\n"), 431, "too-many-fields"),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(200_000)), 414, "uri-too-long"),
        (
            format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "y".repeat(20_000)),
            431,
            "fields-too-large",
        ),
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed-request"),
        (format!("GET /<{{}}> HTTP/1.1\r\n{host}\r\n"), 400, "malformed-request"),
    ] {
        let mut client = Client::connect(&node.http()[0]);
        // One answer more must leave before, and nothing be done with what follows.
        client.send(format!("GET /livez HTTP/1.1\r\n{host}\r\nGET /openapi.json HTTP/1.1\r\n{host}\r\n{bad}DELETE /v1/keys?all=true HTTP/1.1\r\n{host}\r\n"));
        assert_eq!(client.answer().1, b"ok\n");
        assert!(client.answer().1.starts_with(b"{"), "{code}");
        let (head, problem) = client.answer();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{code}: {head}");
        assert!(head.contains("content-type: application/problem+json\r\n"), "{head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
        let problem = String::from_utf8_lossy(&problem);
        assert!(problem.contains(&format!("\"code\":\"{code}\"")), "{problem}");
        assert_eq!(client.rest(), "", "{code}");
    }
    // Messages are told apart however many come at once.
    let mut client = Client::connect(&node.http()[0]);
    let chunked = format!(
        "PUT /v1/keys/c HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n6;x=y\r\nGET / \r\n0\r\nA: b\r\n\r\n"
    );
    let get = format!("GET /v1/keys/c HTTP/1.1\r\n{host}\r\n");
    client.send(format!("{chunked}{get}{chunked}{get}").repeat(20));
    for number in 0..20 {
        let status = if number == 0 { 201 } else { 204 };
        assert!(client.answer().0.starts_with(&format!("HTTP/1.1 {status} ")));
        assert_eq!(client.answer().1, b"GET / ");
        assert!(client.answer().0.starts_with("HTTP/1.1 204 "));
        assert_eq!(client.answer().1, b"GET / ");
    }
    node.stop();
    let mut impatient = crate::settings();
    impatient.idle_timeout = std::time::Duration::from_millis(50);
    let node = ringhold::Node::start(&impatient).expect("it starts");
    let mut client = Client::connect(&node.http()[0]);
    assert_eq!(ask(&mut client, "GET /livez").0, 200);
    client.send("GET /livez HT");
    let (head, problem) = client.answer();
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert!(String::from_utf8_lossy(&problem).contains("\"code\":\"request-too-slow\""));
    assert_eq!(client.rest(), "");
    node.stop();
}

#[test]
fn who_takes_no_byte_of_an_answer_is_let_go() {
    let mut impatient = crate::settings();
    impatient.idle_timeout = std::time::Duration::from_millis(300);
    let node = ringhold::Node::start(&impatient).expect("it starts");
    let mut client = Client::connect(&node.http()[0]);
    let big = "x".repeat(8 << 20);
    assert_eq!(send(&mut client, "PUT /v1/keys/big", "", &big).0, 201);
    assert_eq!(ask(&mut client, "GET /livez").0, 200);
    let get = "GET /v1/keys/big HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(get.repeat(3));
    // Over HTTP/2 it is the client's window that has no room, while it goes on to answer pings.
    let mut two = Client::connect(&node.http()[0]);
    two.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0");
    two.send(b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x84\x86\x41\x09localhost");
    let mut resp = Client::connect(&node.resp()[0]);
    let is_alone = (0..100_000).any(|_| {
        // An error means that it was let go.
        drop(two.stream.write_all(b"\0\0\x08\x06\0\0\0\0\0pingpong"));
        resp.info().lines().any(|line| line == "ringhold_connections:1")
    });
    assert!(is_alone, "both are gone");
    let mut read = Vec::new();
    drop(client.stream.read_to_end(&mut read));
    assert!(read.len() < 3 * big.len(), "it was let go in the middle");
    node.stop();
}

/// The name of a sample and what stands between its braces.
fn name_and_labels(sample: &str) -> (&str, &str) {
    match sample.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("braces are closed")),
        None => (sample, ""),
    }
}

#[test]
fn metrics_are_as_openmetrics_wants_them() {
    let node = start();
    let mut client = Client::connect(&node.http()[0]);
    let (_, head, text) = send(&mut client, "GET /metrics", "", "");
    let media = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(head.contains(media), "{head}");
    let lines = text.strip_suffix("# EOF\n").expect("it ends as it should");
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
    };
    let mut families = std::collections::BTreeMap::new();
    let mut samples = std::collections::BTreeSet::new();
    let mut family = ("", "");
    for line in lines.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split_once(' ').expect("a name and a type");
            assert!(is_name(family.0) && matches!(family.1, "counter" | "gauge"), "{line}");
            assert_eq!(families.insert(family.0, 0), None, "families are not interleaved");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert_eq!(rest.split_once(' ').expect("a name and a text").0, family.0, "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
            let (name, labels) = name_and_labels(sample);
            let suffix = if family.1 == "counter" { "_total" } else { "" };
            assert_eq!(name, format!("{}{suffix}", family.0));
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, text) = label.split_once('=').expect("a label has a value");
                assert!(is_name(label) && text.starts_with('"') && text.ends_with('"'), "{line}");
            }
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
            assert!(samples.insert(sample), "a sample stands once: {line}");
            *families.get_mut(family.0).expect("a sample follows its type") += 1;
        }
    }
    assert!(families.len() > 10 && families.values().all(|count| *count > 0), "{families:?}");
    node.stop();
}

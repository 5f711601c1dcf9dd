//! Facts about HTTP.

extern crate std;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::time::Duration;
use std::format;

use ringhold_types::id::NamespaceId;
use ringhold_types::limits::KEY_LEN_MAX;
use ringhold_types::prng::Prng;

use super::decode::{Decoder, Method, Plain, Refusal, duration};
use super::encode::{Comparison, Head, names_version, problem};
use super::repeat::{Repeat, Repeated};

/// Decodes `head`, whole and byte by byte; both must say the same.
fn check<R: PartialEq + core::fmt::Debug>(
    head: &str,
    look: impl Fn(super::decode::Request<'_>) -> R,
) -> Result<R, Refusal> {
    let bytes = head.as_bytes();
    let whole = Decoder::new().decode(bytes).map(|request| look(request.expect("it is whole")));
    let mut decoder = Decoder::new();
    for len in 0..bytes.len() {
        match decoder.decode(&bytes[..len]) {
            Ok(None) => {}
            Ok(Some(_)) => panic!("whole after {len} bytes"),
            Err(refusal) => {
                assert_eq!(Err(refusal), whole, "after {len} bytes");
                return whole;
            }
        }
    }
    assert_eq!(decoder.decode(bytes).map(|request| look(request.expect("it is whole"))), whole);
    whole
}

fn status(request: &str) -> u16 {
    check(request, |_| ()).map_or_else(|refusal| refusal.status, |()| 200)
}

#[test]
fn a_request_is_read_with_all_that_matters() {
    let head = "PUT /v1/keys/a%2Fb%00c?ttl=250ms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nIf-None-Match: *\r\nConnection: close\r\n\r\n";
    let read = check(head, |request| {
        assert_eq!(request.method, Method::Put);
        assert_eq!(request.key, Cow::Borrowed(b"a/b\0c".as_slice()));
        assert_eq!(request.ttl, Some(Duration::from_millis(250)));
        assert_eq!(request.if_none_match.as_deref(), Some(b"*".as_slice()));
        assert!(!request.is_keep_alive);
        (request.head_len, request.body_len)
    });
    assert_eq!(read, Ok((head.len(), 5)));
}

#[test]
fn what_leaves_the_end_of_a_request_in_doubt_closes_the_connection() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: \r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Host: other\r\n",
        " folded: yes\r\n",
        "Name Space: x\r\n",
    ] {
        let head = format!("GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let refusal = check(&head, |_| ()).expect_err(fields);
        assert_eq!(refusal.used, None, "{fields}");
    }
    assert_eq!(status("GET /v1/keys/k HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("\x16\x03\x01garbage\r\n\r\n"), 400);
}

#[test]
fn a_body_in_an_unknown_coding_is_refused_with_its_problem() {
    for (version, coding, status) in [
        (1, "Transfer-Encoding: gzip\r\n", 400),
        (1, "Transfer-Encoding: identity\r\n", 400),
        (1, "Transfer-Encoding: \r\n", 400),
        (1, "Transfer-Encoding: chunked, gzip\r\n", 400),
        (1, "Transfer-Encoding: chunked, chunked\r\n", 400),
        (1, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (0, "Transfer-Encoding: chunked\r\n", 400),
        (1, "Transfer-Encoding: gzip, chunked\r\n", 501),
        (1, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
    ] {
        let head = format!("PUT /v1/keys/k HTTP/1.{version}\r\nHost: localhost\r\n{coding}\r\n");
        let refusal = check(&head, |_| ()).expect_err(coding);
        assert_eq!((refusal.status, refusal.used), (status, None), "{coding}");
        assert!(!refusal.is_for_control, "{coding}");
    }
    let head = "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: ChunkeD\r\n\r\n";
    assert!(check(head, |_| ()).expect_err("chunks").is_for_control);
}

#[test]
fn what_is_not_read_here_is_for_the_control_plane() {
    for head in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert!(check(head, |_| ()).expect_err(head).is_for_control, "{head}");
    }
    for head in ["PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n", "PRI"] {
        assert!(Decoder::new().decode(head.as_bytes()).is_ok(), "{head}");
    }
}

#[test]
fn a_refusal_of_a_clear_request_keeps_the_connection() {
    for (line, wanted) in [
        ("GET / HTTP/1.1", 404),
        ("GET /v1/keys/a/b HTTP/1.1", 404),
        ("PATCH /v1/keys/k HTTP/1.1", 405),
        ("GET /v1/keys/ HTTP/1.1", 400),
        ("GET /v1/keys/%zz HTTP/1.1", 400),
        ("GET /v1/keys/%2 HTTP/1.1", 400),
        ("PUT /v1/keys/k?ttl=0 HTTP/1.1", 400),
        ("PUT /v1/keys/k?ttl=5y HTTP/1.1", 400),
        ("PUT /v1/keys/k?tll=5 HTTP/1.1", 400),
    ] {
        let head = format!("{line}\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n");
        let refusal = check(&head, |_| ()).expect_err(line);
        assert_eq!((refusal.status, refusal.used), (wanted, Some(head.len() + 3)), "{line}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_whole() {
    let long_key = format!("GET /v1/keys/{} HTTP/1.1\r\nHost: x\r\n\r\n", "k".repeat(65_536));
    assert_eq!(
        Decoder::new().decode(long_key.as_bytes()).map(|_| ()).map_err(|refusal| refusal.status),
        Err(413)
    );
    let endless = format!("GET /v1/keys/{}", "k".repeat(300_000));
    assert_eq!(
        Decoder::new().decode(endless.as_bytes()).map(|_| ()).map_err(|refusal| refusal.status),
        Err(414)
    );
    let fields = format!("GET /v1/keys/k HTTP/1.1\r\nHost: x\r\na: {}", "k".repeat(20_000));
    assert_eq!(
        Decoder::new().decode(fields.as_bytes()).map(|_| ()).map_err(|refusal| refusal.status),
        Err(431)
    );
    let many = format!("GET /v1/keys/k HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    assert_eq!(
        Decoder::new().decode(many.as_bytes()).map(|_| ()).map_err(|refusal| refusal.status),
        Err(431)
    );
}

#[test]
fn durations_have_a_unit_or_are_seconds() {
    for (text, millis) in [
        ("250ms", Some(250)),
        ("30s", Some(30_000)),
        ("5m", Some(300_000)),
        ("2h", Some(7_200_000)),
        ("7d", Some(604_800_000)),
        ("12", Some(12_000)),
        ("", None),
        ("s", None),
        ("-1s", None),
        ("1.5s", None),
        ("99999999999999999999s", None),
        ("18446744073709551615d", None),
    ] {
        assert_eq!(duration(text.as_bytes()), millis.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn entity_tags_match_strongly_or_weakly() {
    for (list, is_strong, is_weak) in [
        ("*", true, true),
        ("\"7\"", true, true),
        ("\"6\", \"7\"", true, true),
        ("W/\"7\"", false, true),
        ("7", false, false),
        ("\"77\"", false, false),
        ("", false, false),
    ] {
        let names = |comparison| names_version(list.as_bytes(), 7, comparison);
        assert_eq!(names(Comparison::Strong), is_strong, "{list}");
        assert_eq!(names(Comparison::Weak), is_weak, "{list}");
    }
}

#[test]
fn a_head_ends_with_any_empty_line_however_it_is_split() {
    for end in ["\r\n\r\n", "\n\n", "\n\r\n", "\r\n\n"] {
        let head = format!("GET /v1/keys/k HTTP/1.1\r\nHost: x{end}");
        assert_eq!(check(&head, |request| request.head_len), Ok(head.len()), "{end:?}");
    }
}

#[test]
fn an_answer_is_a_status_line_and_fields() {
    let mut out = Vec::new();
    Head::new(&mut out, 204).etag(7).number("content-length", 0).end();
    assert_eq!(out, b"HTTP/1.1 204 No Content\r\netag: \"7\"\r\ncontent-length: 0\r\n\r\n");
    let text = problem(404, "no-such-key", "no entry has this key", "a\"b", None);
    assert!(text.contains("\"title\":\"Not Found\"") && text.contains("\"node\":\"ab\""), "{text}");
}

#[test]
fn a_read_is_repeated_only_when_all_but_its_key_is_the_same() {
    let head = |key: &str| format!("GET /v1/keys/{key} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut repeat = Repeat::new();
    let first = head("first");
    assert_eq!(repeat.decode(first.as_bytes()), None, "nothing came before");
    repeat.remember(first.as_bytes(), &(13..18));
    let next = head("a:b-c.d~e@f");
    let found = repeat.decode(format!("{next}{first}").as_bytes());
    assert_eq!(found, Some(Repeated { key: 13..24, head_len: next.len() }));
    for end in 0..next.len() {
        assert_eq!(repeat.decode(&next.as_bytes()[..end]), None, "it is not whole");
    }
    for key in ["", "a%20b", "a?ttl=1", "a/b", "a b", "a#b", "\u{e9}", "a\u{0}"] {
        assert_eq!(repeat.decode(head(key).as_bytes()), None, "{key}");
    }
    let others = [
        "HEAD /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/keys/k HTTP/1.0\r\nHost: localhost\r\n\r\n",
        "GET /v1/keys/k HTTP/1.1\r\nHost: localhosts\r\n\r\n",
        "GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n",
    ];
    for other in others {
        assert_eq!(repeat.decode(other.as_bytes()), None, "{other}");
    }
    let long = "k".repeat(KEY_LEN_MAX + 1);
    assert_eq!(repeat.decode(head(&long).as_bytes()), None);
    assert!(repeat.decode(head(&long[1..]).as_bytes()).is_some());
}

#[test]
fn a_repeated_read_is_what_decoding_makes_of_it() {
    let mut prng = Prng::new(8);
    let tail = " HTTP/1.1\r\nHost: 127.0.0.1:7380\r\nAccept: */*\r\n\r\n";
    let mut repeat = Repeat::new();
    repeat.remember(format!("GET /v1/keys/k{tail}").as_bytes(), &(13..14));
    let mut repeated = 0;
    for _ in 0..20_000 {
        let len = 1 + prng.below(12);
        let key = (0..len).map(|_| 0x20 + prng.below(0x60).to_le_bytes()[0]);
        let input = [b"GET /v1/keys/".to_vec(), key.collect(), tail.into()].concat();
        if let Some(Repeated { key, head_len }) = repeat.decode(&input) {
            repeated += 1;
            let request = Decoder::new().decode(&input).expect("it is valid").expect("it is whole");
            assert_eq!(request.head_len, head_len);
            assert_eq!(request.plain(&input, NamespaceId::DEFAULT), Some(Plain::read_of(key)));
        }
    }
    assert!(repeated > 100, "{repeated}");
}

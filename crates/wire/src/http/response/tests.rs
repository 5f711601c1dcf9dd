//! Facts about responses.

extern crate std;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::format;

use ringhold_types::prng::Prng;

use super::{
    Asked, Body, CHUNK_LINE_LEN_MAX, Decoder, Framing, HEAD_LEN_MAX, ResponseError,
    TRAILERS_LEN_MAX,
};
use crate::http::encode::Head;

/// Status, framing, whether the connection stays, and content of each response.
type Meaning = (Vec<(u16, Framing, bool, String)>, Option<ResponseError>, bool);

/// Reads the responses in `bytes` that arrive in pieces which end at `cuts`; last whether it may end there.
fn read_in_pieces(bytes: &[u8], cuts: &[usize], asked: Asked) -> Meaning {
    let (mut decoder, mut body, mut at) = (Decoder::new(), None::<Body>, 0);
    let mut read: Vec<(u16, Framing, bool, String)> = vec![];
    for &cut in cuts.iter().chain([&bytes.len()]) {
        loop {
            let input = &bytes[at..cut];
            if let Some(under_way) = &mut body {
                match under_way.decode(input) {
                    Ok(piece) => {
                        at += piece.used;
                        let text = String::from_utf8_lossy(piece.content);
                        read.last_mut().expect("its head came").3.push_str(&text);
                        if piece.is_last {
                            body = None;
                        } else if piece.used == 0 {
                            break;
                        }
                    }
                    Err(error) => return (read, Some(error), false),
                }
                continue;
            }
            match decoder.decode(input, asked) {
                Ok(Some(head)) => {
                    assert_eq!(head.bytes, &input[..head.bytes.len()], "it is at the front");
                    at += head.bytes.len();
                    read.push((head.status, head.framing, head.is_keep_alive, String::new()));
                    body = Some(Body::new(head.framing));
                }
                Ok(None) => break,
                Err(error) => return (read, Some(error), false),
            }
        }
    }
    let may_close = body.map_or(at == bytes.len(), |body| body.may_close());
    (read, None, may_close)
}

/// The same however `bytes` are cut in two, byte by byte, and at random.
fn check_splits(bytes: &[u8], asked: Asked, prng: &mut Prng) -> Meaning {
    let whole = read_in_pieces(bytes, &[], asked);
    for cut in 0..bytes.len() {
        assert_eq!(read_in_pieces(bytes, &[cut], asked), whole, "cut at {cut}");
    }
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(read_in_pieces(bytes, &every, asked), whole, "byte by byte");
    let some: Vec<usize> = every.into_iter().filter(|_| prng.below(6) == 0).collect();
    assert_eq!(read_in_pieces(bytes, &some, asked), whole, "cut at {some:?}");
    whole
}

fn check(text: &str, expected: &[(u16, Framing, bool, &str)]) {
    let expected = expected
        .iter()
        .map(|(status, framing, stays, body)| (*status, *framing, *stays, String::from(*body)));
    let said = check_splits(text.as_bytes(), Asked::Other, &mut Prng::new(3));
    assert_eq!(said, (expected.collect(), None, true), "{text:?}");
}

#[test]
fn bodies_end_where_their_heads_say() {
    use Framing::{Chunked, Length, UntilClose};
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\nhelloHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        &[(200, Length(5), true, "hello"), (404, Length(0), true, "")],
    );
    check(
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        &[(204, Length(0), true, ""), (304, Length(0), true, "")],
    );
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nConnection: x, close\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        &[(100, Length(0), true, ""), (201, Length(1), false, "a")],
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;ext=1\r\nhel\r\n\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        &[(200, Chunked, true, "hel\r\n0123456789"), (200, Length(0), true, "")],
    );
    check("HTTP/1.1 200 OK\r\n\r\nall\r\nof it", &[(200, UntilClose, false, "all\r\nof it")]);
    check("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", &[(200, Length(0), false, "")]);
    check(
        "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
        &[(200, Length(0), true, "")],
    );
}

#[test]
fn an_answer_to_head_has_no_body() {
    let text =
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 7\r\n\r\n";
    let (read, error, may_close) = check_splits(text, Asked::Head, &mut Prng::new(3));
    assert_eq!((read.len(), error, may_close), (2, None, true));
}

#[test]
fn what_leaves_the_end_of_a_response_in_doubt_is_an_error() {
    let head = |fields: &str| -> String { format!("HTTP/1.1 200 OK\r\n{fields}\r\n") };
    let chunked = |body: &str| format!("{}{body}", head("Transfer-Encoding: chunked\r\n"));
    let many = "a: b\r\n".repeat(65);
    for (text, error) in [
        ("-ERR unknown command\r\n".into(), ResponseError::NotHttp),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".into(), ResponseError::NotHttp),
        ("HTTP/2 200\r\n\r\n".into(), ResponseError::NotHttp),
        ("HTTP/1.1 2x0 OK\r\n\r\n".into(), ResponseError::Malformed),
        (head("Content Length: 1\r\n"), ResponseError::Malformed),
        (head("a: b\r\n c\r\n"), ResponseError::Malformed),
        (head(&many), ResponseError::TooManyFields),
        (head("Content-Length: +5\r\n"), ResponseError::BadLength),
        (head("Content-Length: 5, 5\r\n"), ResponseError::BadLength),
        (head("Content-Length: 99999999999999999999999\r\n"), ResponseError::BadLength),
        (head("Content-Length: 5\r\nContent-Length: 6\r\n"), ResponseError::BadLength),
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), ResponseError::TwoLengths),
        (head("Transfer-Encoding: gzip, chunked\r\n"), ResponseError::UnknownEncoding),
        (
            head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ResponseError::UnknownEncoding,
        ),
        (chunked("x\r\n"), ResponseError::BadChunk),
        (chunked("2\r\nabc\r\n"), ResponseError::BadChunk),
        (chunked("FFFFFFFFFFFFFFFFF\r\n"), ResponseError::BadChunk),
    ] {
        let said = check_splits(text.as_bytes(), Asked::Other, &mut Prng::new(3));
        assert_eq!(said.1, Some(error), "{text:?}");
    }
    let broken_off = format!("{}hel", head("Content-Length: 5\r\n"));
    assert!(!read_in_pieces(broken_off.as_bytes(), &[], Asked::Other).2, "it must not close here");
}

#[test]
fn what_does_not_end_is_refused() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
    let fill = "x".repeat(HEAD_LEN_MAX);
    for (text, len_max, error) in [
        (format!("{head}a: {fill}\r\n\r\n"), HEAD_LEN_MAX, ResponseError::HeadTooLong),
        (
            format!("{head}\r\n1;{fill}"),
            head.len() + 2 + CHUNK_LINE_LEN_MAX,
            ResponseError::BadChunk,
        ),
        (
            format!("{head}\r\n0\r\n{}", "a: b\r\n".repeat(4000)),
            head.len() + 5 + TRAILERS_LEN_MAX,
            ResponseError::TrailersTooLong,
        ),
    ] {
        for cut in [1, len_max - 1, len_max, len_max + 1] {
            let said = read_in_pieces(text.as_bytes(), &[cut], Asked::Other);
            assert_eq!(said.1, Some(error), "cut at {cut}");
        }
        let short = &text.as_bytes()[..len_max - 1];
        assert_eq!(read_in_pieces(short, &[], Asked::Other).1, None, "{error:?}");
    }
}

#[test]
fn arbitrary_bytes_mean_the_same_however_they_are_split() {
    let mut prng = Prng::new(5);
    let parts: [&[u8]; 16] = [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 404\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"0\r\n",
        b"3\r\nabc\r\n",
        b"abc",
        b": ",
        b" ",
        b"\0",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    for _ in 0..20_000 {
        let (mut bytes, count) = (Vec::new(), prng.below(12));
        if prng.below(8) > 0 {
            bytes.extend_from_slice(parts[0]);
        }
        for _ in 0..count {
            bytes.extend_from_slice(parts[usize::try_from(prng.below(16)).expect("small")]);
        }
        check_splits(&bytes, Asked::Other, &mut prng);
    }
}

#[test]
fn a_field_is_found_by_its_name_in_any_case() {
    let text = b"HTTP/1.1 200 OK\r\nETag: \"7\"\r\nContent-Length: 0\r\n\r\n";
    let head = Decoder::new().decode(text, Asked::Other).expect("sound").expect("whole");
    assert_eq!(head.field("etag"), Some(b"\"7\"".as_slice()));
    assert_eq!(head.field("age"), None);
}

#[test]
fn a_request_is_written_field_by_field() {
    let mut out = Vec::new();
    Head::request(&mut out, "PUT", "/v1/keys/k").field("host", b"h");
    Head::resume(&mut out).number("content-length", 5).end();
    assert_eq!(out, b"PUT /v1/keys/k HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n");
}

//! Facts about replies.

extern crate std;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::format;

use ringhold_types::prng::Prng;

use super::{DEPTH_MAX, Decoder, Item, LINE_LEN_MAX, Limits, ReplyError};
use crate::resp::Protocol;
use crate::resp::command::command;
use crate::resp::encode::Encoder;

const LIMITS: Limits = Limits { bulk_len_max: 1 << 20, elements_max: 1000 };

/// The replies, each as its items, and the error that ends them.
type Meaning = (Vec<String>, Option<ReplyError>);

/// Decodes `bytes` that arrive in pieces which end at `cuts`.
fn decode_in_pieces(bytes: &[u8], cuts: &[usize]) -> Meaning {
    let (mut decoder, mut at, mut replies) = (Decoder::new(LIMITS), 0, vec![]);
    for &cut in cuts.iter().chain([&bytes.len()]) {
        loop {
            let input = &bytes[at..cut];
            match decoder.decode(input) {
                Ok(Some(reply)) => {
                    assert_eq!(reply.bytes, &input[..reply.bytes.len()], "it is at the front");
                    let items: Vec<_> = reply.items().collect();
                    assert!(
                        items.contains(&reply.head) || format!("{:?}", reply.head).contains("NaN")
                    );
                    replies.push(format!("{items:?}"));
                    at += reply.bytes.len();
                }
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

/// The same however `bytes` are cut in two, byte by byte, and at random.
fn check_splits(bytes: &[u8], prng: &mut Prng) -> Meaning {
    let whole = decode_in_pieces(bytes, &[]);
    for cut in 0..bytes.len() {
        assert_eq!(decode_in_pieces(bytes, &[cut]), whole, "cut at {cut}");
    }
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(decode_in_pieces(bytes, &every), whole, "byte by byte");
    let some: Vec<usize> = every.into_iter().filter(|_| prng.below(4) == 0).collect();
    assert_eq!(decode_in_pieces(bytes, &some), whole, "cut at {some:?}");
    whole
}

fn check(bytes: &str, items: &[&[Item<'_>]], error: Option<ReplyError>) {
    let replies = items.iter().map(|items| format!("{items:?}")).collect();
    let said = check_splits(bytes.as_bytes(), &mut Prng::new(3));
    assert_eq!(said, (replies, error), "{bytes:?}");
}

#[test]
fn every_kind_of_reply_is_read() {
    use Item::{
        Array, Attribute, BigNumber, Boolean, Bulk, Double, Error, Integer, Map, Null, Push, Set,
        Simple, Verbatim,
    };
    check("+OK\r\n+\r\n", &[&[Simple(b"OK")], &[Simple(b"")]], None);
    check("-ERR no\r\n!5\r\nE\r\nno\r\n", &[&[Error(b"ERR no")], &[Error(b"E\r\nno")]], None);
    check(":-5\r\n:+7\r\n", &[&[Integer(-5)], &[Integer(7)]], None);
    check("$4\r\n\r\n:1\r\n$0\r\n\r\n", &[&[Bulk(b"\r\n:1")], &[Bulk(b"")]], None);
    check("_\r\n$-1\r\n*-1\r\n", &[&[Null], &[Null], &[Null]], None);
    check(",1.5\r\n,-inf\r\n", &[&[Double(1.5)], &[Double(f64::NEG_INFINITY)]], None);
    check(",nan\r\n", &[&[Double(f64::NAN)]], None);
    check("#t\r\n#f\r\n", &[&[Boolean(true)], &[Boolean(false)]], None);
    check(
        "(-34928903284092385094850938\r\n",
        &[&[BigNumber(b"-34928903284092385094850938")]],
        None,
    );
    check("=6\r\ntxt:hi\r\n", &[&[Verbatim { format: b"txt", text: b"hi" }]], None);
    check("*0\r\n%0\r\n", &[&[Array(0)], &[Map(0)]], None);
    check(
        "*2\r\n*1\r\n:1\r\n%1\r\n+k\r\n~2\r\n_\r\n#t\r\n:9\r\n",
        &[
            &[Array(2), Array(1), Integer(1), Map(1), Simple(b"k"), Set(2), Null, Boolean(true)],
            &[Integer(9)],
        ],
        None,
    );
    check(">2\r\n+a\r\n*0\r\n", &[&[Push(2), Simple(b"a"), Array(0)]], None);
    check(
        "|1\r\n+ttl\r\n:3\r\n|0\r\n*2\r\n|1\r\n+x\r\n+y\r\n:1\r\n:2\r\n+next\r\n",
        &[
            &[
                Attribute(1),
                Simple(b"ttl"),
                Integer(3),
                Attribute(0),
                Array(2),
                Attribute(1),
                Simple(b"x"),
                Simple(b"y"),
                Integer(1),
                Integer(2),
            ],
            &[Simple(b"next")],
        ],
        None,
    );
}

#[test]
fn the_head_is_what_stands_behind_the_attributes() {
    let bytes = b"|1\r\n+ttl\r\n:3\r\n*1\r\n:1\r\n";
    let mut decoder = Decoder::new(LIMITS);
    let reply = decoder.decode(bytes).expect("sound").expect("whole");
    assert_eq!((reply.head, reply.bytes.len()), (Item::Array(1), bytes.len()));
}

#[test]
fn what_is_no_reply_is_told() {
    let deep = "*1\r\n".repeat(DEPTH_MAX + 1);
    for (bytes, error) in [
        ("hello\r\n", ReplyError::UnknownKind(b'h')),
        ("\r\n", ReplyError::UnknownKind(b'\r')),
        ("+a\nb\r\n", ReplyError::BadEnd),
        ("$1\r\nabc", ReplyError::BadEnd),
        (":\r\n", ReplyError::BadNumber),
        (":9223372036854775808\r\n", ReplyError::BadNumber),
        (",1,5\r\n", ReplyError::BadNumber),
        ("#x\r\n", ReplyError::BadNumber),
        ("_0\r\n", ReplyError::BadNumber),
        ("(1.5\r\n", ReplyError::BadNumber),
        ("(-\r\n", ReplyError::BadNumber),
        ("$\r\n", ReplyError::BadLength),
        ("$-2\r\n", ReplyError::BadLength),
        ("$?\r\n", ReplyError::BadLength),
        ("$99999999999999999999\r\n", ReplyError::BadLength),
        ("%-1\r\n", ReplyError::BadLength),
        ("=3\r\ntxt\r\n", ReplyError::BadLength),
        ("=5\r\ntext:\r\n", ReplyError::BadLength),
        ("$1048577\r\n", ReplyError::TooLong { len: 1_048_577, max: 1 << 20 }),
        ("*1001\r\n", ReplyError::TooMany { count: 1001, max: 1000 }),
        ("*1\r\n%1001\r\n", ReplyError::TooMany { count: 1001, max: 1000 }),
        (&deep, ReplyError::TooDeep),
    ] {
        check(&format!(":1\r\n{bytes}"), &[&[Item::Integer(1)]], Some(error));
    }
    let most = "*1\r\n".repeat(DEPTH_MAX) + ":1\r\n";
    assert_eq!(decode_in_pieces(most.as_bytes(), &[]).1, None);
}

#[test]
fn lines_without_an_end_are_refused() {
    let longest = format!("+{}\r\n", "x".repeat(LINE_LEN_MAX));
    assert_eq!(decode_in_pieces(longest.as_bytes(), &[]).1, None);
    let longer = format!("-{}\r\n", "x".repeat(LINE_LEN_MAX + 1));
    let refused = (vec![], Some(ReplyError::LineTooLong { max: LINE_LEN_MAX }));
    for cut in [1, LINE_LEN_MAX, LINE_LEN_MAX + 2, LINE_LEN_MAX + 3] {
        assert_eq!(decode_in_pieces(longer.as_bytes(), &[cut]), refused, "cut at {cut}");
    }
}

/// Appends a reply of any kind that an encoder can word.
fn any_reply(encoder: &mut Encoder<'_>, prng: &mut Prng, depth: u64) {
    let mut bytes =
        |len| -> Vec<u8> { (0..len).map(|_| prng.next_u64().to_le_bytes()[0]).collect() };
    let text = bytes(5);
    let kind = prng.below(if depth < 3 { 14 } else { 10 });
    let count = usize::try_from(prng.below(3)).expect("small");
    match kind {
        0 => encoder.ok(),
        1 => encoder.simple("x"),
        2 => encoder.error("ERR a\r\nb"),
        3 => encoder.integer(prng.next_u64().cast_signed()),
        4 | 5 => encoder.bulk(&text),
        6 => encoder.null(),
        7 => encoder.boolean(prng.below(2) == 0),
        8 => encoder.double(f64::from(u32::try_from(prng.below(1000)).expect("small")) / 8.0),
        9 => encoder.verbatim(&text),
        10 => encoder.array(count),
        11 => encoder.map(count),
        12 => encoder.set(count),
        _ => encoder.push(count),
    }
    let elements = match kind {
        11 => count * 2,
        10 | 12 | 13 => count,
        _ => 0,
    };
    for _ in 0..elements {
        any_reply(encoder, prng, depth + 1);
    }
}

#[test]
fn what_the_server_encodes_is_read_however_it_is_split() {
    let mut prng = Prng::new(11);
    for round in 0..3000 {
        let protocol = if round % 2 == 0 { Protocol::Two } else { Protocol::Three };
        let (mut out, count) = (Vec::new(), prng.below(4));
        let mut encoder = Encoder::new(&mut out, protocol);
        for _ in 0..count {
            any_reply(&mut encoder, &mut prng, 0);
        }
        let (replies, error) = check_splits(&out, &mut prng);
        assert_eq!((replies.len() as u64, error), (count, None), "{}", out.escape_ascii());
    }
}

#[test]
fn arbitrary_bytes_mean_the_same_however_they_are_split() {
    let mut prng = Prng::new(5);
    let parts: [&[u8]; 20] = [
        b"*", b"$", b"%", b"|", b">", b"~", b"=", b"!", b"(", b",", b"#t", b"_", b"-", b"1", b"2",
        b"\r\n", b"\r\n", b"\n", b"+OK\r\n", b":1\r\n",
    ];
    for _ in 0..20_000 {
        let count = prng.below(14);
        let bytes: Vec<u8> = (0..count)
            .flat_map(|_| parts[usize::try_from(prng.below(20)).expect("small")].iter().copied())
            .collect();
        check_splits(&bytes, &mut prng);
    }
}

#[test]
fn a_command_is_an_array_of_bulk_strings() {
    let mut out = Vec::new();
    command(&mut out, &[b"SET", b"k", b"a\r\nb"]);
    assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n");
}

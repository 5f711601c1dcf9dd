//! Facts about RESP.

extern crate std;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use std::format;

use ringhold_types::prng::Prng;

use super::Protocol;
use super::decode::{DecodeError, Decoded, Decoder, LIMITS_UNAUTHENTICATED, Limits, limits};
use super::encode::Encoder;
use super::inline::words;
use super::table::{COMMANDS, Command, find};

const LIMITS: Limits = limits(1 << 20);

/// What a connection's bytes mean: the commands, and the error that ends them.
type Meaning = (Vec<Vec<Vec<u8>>>, Option<DecodeError>);

/// Decodes `bytes` that arrive in pieces which end at `cuts`.
fn decode_in_pieces(bytes: &[u8], cuts: &[usize], limits: Limits) -> Meaning {
    let (mut decoder, mut at, mut commands, mut ranges) = (Decoder::new(), 0, vec![], vec![]);
    for &cut in cuts.iter().chain([&bytes.len()]) {
        loop {
            ranges.clear();
            let input = &bytes[at..cut];
            match decoder.decode(input, limits, &mut ranges) {
                Ok(Decoded::Command { used }) => {
                    assert!(
                        used > 0 && used <= input.len(),
                        "a command takes bytes that are there"
                    );
                    if !ranges.is_empty() {
                        commands.push(
                            ranges.iter().map(|range| input[range.clone()].to_vec()).collect(),
                        );
                    }
                    at += used;
                    assert_eq!(decoder.missing_len(&[], limits), 0, "it is between two commands");
                }
                Ok(Decoded::Inline { line, used }) => {
                    assert!(used > line.len() && used <= input.len(), "the line is there");
                    let mut text = Vec::new();
                    if let Err(error) = words(&input[line], &mut text, &mut ranges) {
                        return (commands, Some(error));
                    }
                    if !ranges.is_empty() {
                        commands.push(
                            ranges.iter().map(|range| text[range.clone()].to_vec()).collect(),
                        );
                    }
                    at += used;
                }
                Ok(Decoded::Incomplete) => {
                    assert!(ranges.is_empty(), "nothing is appended for an incomplete command");
                    break;
                }
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fn check(bytes: &str, commands: &[&[&str]], error: Option<DecodeError>) {
    let commands: Vec<Vec<Vec<u8>>> = commands
        .iter()
        .map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect())
        .collect();
    let expected = (commands, error);
    let bytes = bytes.as_bytes();
    assert_eq!(
        decode_in_pieces(bytes, &[], LIMITS),
        expected,
        "whole: {:?}",
        String::from_utf8_lossy(bytes)
    );
    for cut in 0..bytes.len() {
        assert_eq!(decode_in_pieces(bytes, &[cut], LIMITS), expected, "cut at {cut}");
    }
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(decode_in_pieces(bytes, &every, LIMITS), expected, "byte by byte");
}

#[test]
fn commands_are_the_same_however_their_bytes_are_split() {
    check("*1\r\n$4\r\nPING\r\n", &[&["PING"]], None);
    check(
        "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
        &[&["GET", "k"], &["GET", ""]],
        None,
    );
    check("*0\r\n*-1\r\n\r\n*1\r\n$4\r\nPING\r\n", &[&["PING"]], None);
    check(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nline\r\n\r\n*1\r\n\r\n",
        &[&["SET", "k", "line\r\n\r\n*1\r\n"]],
        None,
    );
    check(
        "PING\r\nset  k \"a b\"\nget 'k'\r\n",
        &[&["PING"], &["set", "k", "a b"], &["get", "k"]],
        None,
    );
}

#[test]
fn inline_words_are_quoted_as_in_redis() {
    check(
        r#"set k "\x41\n\"q\" \y" 'it\'s \n' foo"bar baz"
"#,
        &[&["set", "k", "A\n\"q\" y", "it's \\n", "foobar baz"]],
        None,
    );
    check("set \"\" ''\r\n", &[&["set", "", ""]], None);
    for line in ["\"a\"b", "'a'b", "\"a", "'a", "a\"", "\"\\\"", "x 'a\\'"] {
        check(&format!("{line}\n"), &[], Some(DecodeError::UnbalancedQuotes));
    }
}

#[test]
fn a_large_argument_is_announced_before_it_is_there() {
    let bytes = b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000\r\nvvv";
    let (mut decoder, mut ranges) = (Decoder::new(), vec![]);
    assert_eq!(decoder.decode(bytes, LIMITS, &mut ranges), Ok(Decoded::Incomplete));
    let awaited = decoder.awaited(bytes, LIMITS).expect("a value is to come");
    assert_eq!((awaited.args.len(), awaited.len), (2, 500_000));
    assert_eq!(&bytes[awaited.line..awaited.start], b"$500000\r\n");
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&bytes[..25], LIMITS, &mut ranges), Ok(Decoded::Incomplete));
    assert!(decoder.awaited(&bytes[..25], LIMITS).is_none(), "its length is not there yet");
}

#[test]
fn commands_are_found_by_their_names_in_any_case() {
    for (idx, command) in COMMANDS.iter().enumerate() {
        assert_eq!(command.id as usize, idx);
        assert_eq!(find(command.name.as_bytes()), Some(command.id), "{}", command.name);
        assert_eq!(find(command.name.to_uppercase().as_bytes()), Some(command.id));
        assert!(command.name.bytes().all(|byte| byte.is_ascii_lowercase()));
        for sub in command.subcommands {
            let (parent, name) = sub.name.split_once('|').expect("a name of two parts");
            assert_eq!((parent, sub.id), (command.name, command.id));
            assert_eq!(command.subcommand(name.as_bytes()).map(|sub| sub.name), Some(sub.name));
        }
    }
    for name in ["", "ge", "gett", "g\0t", "averyveryverylongname", "get "] {
        assert_eq!(find(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn keys_stand_where_the_table_says() {
    let keys = |name: &str, count| -> Vec<usize> {
        find(name.as_bytes()).map_or(vec![], |id| id.command().key_words(count).collect())
    };
    assert_eq!(keys("get", 2), [1]);
    assert_eq!(keys("set", 5), [1]);
    assert_eq!(keys("mget", 4), [1, 2, 3]);
    assert_eq!(keys("mset", 7), [1, 3, 5]);
    assert_eq!(keys("rename", 3), [1, 2]);
    assert_eq!(keys("ping", 2), [0usize; 0]);
    let takes = |command: &Command, counts: &[usize]| -> Vec<bool> {
        counts.iter().map(|count| command.takes(*count)).collect()
    };
    assert_eq!(takes(find(b"get").expect("known").command(), &[1, 2, 3]), [false, true, false]);
    assert_eq!(takes(find(b"set").expect("known").command(), &[2, 3, 9]), [false, true, true]);
}

#[test]
fn protocol_errors_have_the_texts_of_redis() {
    for (bytes, error, text) in [
        ("*x\r\n", DecodeError::BadArgCount, "invalid multibulk length"),
        ("*1048577\r\n", DecodeError::BadArgCount, "invalid multibulk length"),
        ("*99999999999999999999\r\n", DecodeError::BadArgCount, "invalid multibulk length"),
        ("*1\r\n:1\r\n", DecodeError::ExpectedBulk(b':'), "expected '$', got ':'"),
        ("*1\r\n$-1\r\n", DecodeError::BadArgLen, "invalid bulk length"),
        ("*1\r\n$\r\n", DecodeError::BadArgLen, "invalid bulk length"),
        ("*1\r\n$1048577\r\n", DecodeError::BadArgLen, "invalid bulk length"),
        ("*1\r\n$01\r\n", DecodeError::BadArgLen, "invalid bulk length"),
        ("*1\r\n$0000000001\r\n", DecodeError::BadArgLen, "invalid bulk length"),
        ("*1\r\n$-0\r\n", DecodeError::BadArgLen, "invalid bulk length"),
        ("*+1\r\n", DecodeError::BadArgCount, "invalid multibulk length"),
        ("get \"k\r\n", DecodeError::UnbalancedQuotes, "unbalanced quotes in request"),
        ("get 'k'x\r\n", DecodeError::UnbalancedQuotes, "unbalanced quotes in request"),
    ] {
        check(&format!("PING\r\n{bytes}"), &[&["PING"]], Some(error));
        assert_eq!(error.to_string(), format!("ERR Protocol error: {text}"));
    }
}

#[test]
fn a_web_page_cannot_talk_to_the_resp_port() {
    for line in ["POST / HTTP/1.1\r\n", "post /x\n", "Host: localhost\r\n", "HOST: x\r\n"] {
        check(line, &[], Some(DecodeError::CrossProtocol));
    }
}

#[test]
fn lines_without_an_end_are_refused() {
    for (start, error) in [
        ("x", DecodeError::InlineTooLong),
        ("*", DecodeError::CountTooLong),
        ("*1\r\n$", DecodeError::LengthTooLong),
    ] {
        let bytes = format!("{start}{}", "1".repeat(70_000));
        assert_eq!(decode_in_pieces(bytes.as_bytes(), &[], LIMITS), (vec![], Some(error)));
    }
}

#[test]
fn who_has_not_authenticated_may_send_little() {
    let many = b"*11\r\n";
    assert_eq!(
        decode_in_pieces(many, &[], LIMITS_UNAUTHENTICATED).1,
        Some(DecodeError::UnauthenticatedArgCount)
    );
    let long = b"*1\r\n$16385\r\n";
    assert_eq!(
        decode_in_pieces(long, &[], LIMITS_UNAUTHENTICATED).1,
        Some(DecodeError::UnauthenticatedArgLen)
    );
}

#[test]
fn arbitrary_bytes_mean_the_same_however_they_are_split() {
    let mut prng = Prng::new(5);
    let parts: [&[u8]; 12] = [
        b"*",
        b"$",
        b"1",
        b"2",
        b"\r\n",
        b"\n",
        b"-",
        b"\"",
        b"'",
        b"GET",
        b" ",
        b"*1\r\n$4\r\nPING\r\n",
    ];
    for _ in 0..20_000 {
        let count = prng.below(12);
        let bytes: Vec<u8> = (0..count)
            .flat_map(|_| parts[usize::try_from(prng.below(12)).expect("small")].iter().copied())
            .collect();
        let whole = decode_in_pieces(&bytes, &[], LIMITS);
        let every: Vec<usize> = (0..bytes.len()).collect();
        assert_eq!(
            decode_in_pieces(&bytes, &every, LIMITS),
            whole,
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn replies_are_worded_in_the_clients_version() {
    for (protocol, expected) in [
        (
            Protocol::Two,
            "+OK\r\n+x\r\n-ERR a  b\r\n:-5\r\n$2\r\nab\r\n$-1\r\n*-1\r\n*3\r\n*4\r\n*1\r\n*2\r\n:1\r\n$3\r\n1.5\r\n$4\r\n-inf\r\n$2\r\nt\r\r\n",
        ),
        (
            Protocol::Three,
            "+OK\r\n+x\r\n-ERR a  b\r\n:-5\r\n$2\r\nab\r\n_\r\n_\r\n*3\r\n%2\r\n~1\r\n>2\r\n#t\r\n,1.5\r\n,-inf\r\n=6\r\ntxt:t\r\r\n",
        ),
    ] {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, protocol);
        encoder.ok();
        encoder.simple("x");
        encoder.error("ERR a\r\nb");
        encoder.integer(-5);
        encoder.bulk(b"ab");
        encoder.null();
        encoder.null_array();
        encoder.array(3);
        encoder.map(2);
        encoder.set(1);
        encoder.push(2);
        encoder.boolean(true);
        encoder.double(1.5);
        encoder.double(f64::NEG_INFINITY);
        encoder.verbatim(b"t\r");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

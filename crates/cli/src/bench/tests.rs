//! Tests of the sampler, the values and the checks of answers.

use std::collections::VecDeque;
use std::time::Duration;

use super::keys::{KeyPattern, Random, Sampler, write_digits};
use super::protocol::{Broken, Codec, Operation, Progress, ProtocolName, Sink, Waiting};
use super::settings::Framing;
use super::tally::Tally;
use super::values::{Lengths, Values};

const SEED: u64 = 7;

fn values() -> Values {
    Values::new(Lengths::Range { min: 5, max: 60 }, None, SEED)
}

fn codec(name: ProtocolName, ttl: Option<Duration>) -> Codec {
    let pattern = KeyPattern::parse("k%03d").unwrap();
    let framing = Framing { host: "h".into(), path_prefix: "/p/".into(), ttl, password: None };
    Codec::new(name, &pattern, values(), &framing).unwrap()
}

fn value(number: u64) -> String {
    let mut bytes = Vec::new();
    values().of(number).append_to(&mut bytes);
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
}

/// Requests `operations`, feeds `answer` in pieces of every size, and says what was counted:
/// hits, misses, stored, wrong, errors; or how the connection broke.
fn check(
    name: ProtocolName,
    operations: &[(u64, Operation)],
    answer: &str,
) -> Result<[u64; 5], Broken> {
    let (codec, answer) = (codec(name, None), bytes(answer));
    let mut all = Vec::new();
    for piece in (1..=answer.len()).rev() {
        let (mut waiting, mut out) = (VecDeque::new(), Vec::new());
        for (number, operation) in operations {
            codec.request(*number, *operation, waiting.back_mut(), &mut out);
            let (number, operation) = (*number, *operation);
            waiting.push_back(Waiting { number, operation, since_ns: 0, is_last: true });
        }
        let (mut tally, mut rest) = (Tally::new().unwrap(), Vec::new());
        let mut progress = Progress::new();
        for part in answer.chunks(piece) {
            rest.extend_from_slice(part);
            let (progress, waiting) = (&mut progress, &mut waiting);
            let mut sink = Sink { progress, waiting, tally: &mut tally, now_ns: 9 };
            let used = codec.answers(&rest, &mut sink)?;
            rest.drain(..used);
        }
        assert!(waiting.is_empty() && rest.is_empty(), "everything is answered and used");
        let errors = tally.errors.values().sum();
        all.push([tally.hits, tally.misses, tally.stored, tally.wrong, errors]);
    }
    all.dedup();
    assert_eq!(all.len(), 1, "the result does not depend on how the bytes are split");
    Ok(all[0])
}

use Operation::{Get, Set};
use ProtocolName::{Http, Memcached, Resp};

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.chars().count())
}

#[test]
fn resp_answers_are_told_apart() {
    let mixed = format!("{}$-1\r\n+OK\r\n-OOM no room\r\n{}", bulk(&value(1)), bulk("other"));
    let asked = [(1, Get), (2, Get), (3, Set), (4, Set), (5, Get)];
    assert_eq!(check(Resp, &asked, &mixed), Ok([1, 1, 1, 1, 1]));
    assert_eq!(check(Resp, &[(1, Get)], &bulk(&value(2))), Ok([0, 0, 0, 1, 0]));
    assert_eq!(check(Resp, &[(1, Get)], "+OK\r\n"), Ok([0, 0, 0, 1, 0]));
    assert_eq!(check(Resp, &[(1, Get)], ">2\r\n+a\r\n+b\r\n_\r\n"), Ok([0, 1, 0, 0, 0]));
    assert_eq!(check(Resp, &[(1, Get)], "*2\r\n$-1\r\n:1\r\n"), Ok([0, 0, 0, 1, 0]));
    assert_eq!(check(Resp, &[(1, Get)], "$-1\r\n$-1\r\n"), Err(Broken::Unasked));
    assert_eq!(check(Resp, &[(1, Get)], "hello\r\n"), Err(Broken::NotAnAnswer));
}

#[test]
fn http_answers_are_told_apart() {
    let body = value(1);
    let len = body.chars().count();
    let found = format!("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: {len}\r\n\r\n{body}");
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    let stored = "HTTP/1.1 204 No Content\r\n\r\n";
    let refused = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let asked = [(1, Get), (2, Get), (3, Set), (4, Get), (5, Get)];
    let all = format!("{found}{missing}{stored}{refused}{found}");
    assert_eq!(check(Http, &asked, &all), Ok([1, 1, 1, 1, 1]));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (first, others): (String, String) =
        (body.chars().take(1).collect(), body.chars().skip(1).collect());
    let right = format!("{chunked}1\r\n{first}\r\n{:x}\r\n{others}\r\n0\r\n\r\n", len - 1);
    assert_eq!(check(Http, &[(1, Get)], &right), Ok([1, 0, 0, 0, 0]));
    let endless = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(check(Http, &[(1, Get)], endless), Err(Broken::NotAnAnswer));
    let closing = "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(check(Http, &[(1, Get)], closing), Err(Broken::Closing));
}

#[test]
fn memcached_answers_are_told_apart() {
    let found =
        |key: u64, text: &str| format!("VALUE k{key:03} 0 {}\r\n{text}\r\n", text.chars().count());
    let reads = [(1, Get), (2, Get), (3, Get)];
    let all =
        format!("{}{}{}END\r\n", found(1, &value(1)), found(2, &value(2)), found(3, &value(3)));
    assert_eq!(check(Memcached, &reads, &all), Ok([3, 0, 0, 0, 0]));
    let second = format!("{}END\r\n", found(2, &value(2)));
    assert_eq!(check(Memcached, &reads, &second), Ok([1, 2, 0, 0, 0]));
    let last_wrong = format!("{}END\r\n", found(3, "other"));
    assert_eq!(check(Memcached, &reads, &last_wrong), Ok([0, 2, 0, 1, 0]));
    assert_eq!(check(Memcached, &reads, "END\r\n"), Ok([0, 3, 0, 0, 0]));
    let mixed = [(1, Set), (1, Get), (2, Get), (3, Set)];
    let all = format!("STORED\r\n{}END\r\nNOT_STORED\r\n", found(1, &value(1)));
    assert_eq!(check(Memcached, &mixed, &all), Ok([1, 1, 1, 0, 1]));
}

#[test]
fn requests_are_the_protocols_own_words() {
    let text = |name, ttl, operations: &[(u64, Operation)]| {
        let (codec, mut waiting, mut out) = (codec(name, ttl), Vec::<Waiting>::new(), Vec::new());
        for (number, operation) in operations {
            codec.request(*number, *operation, waiting.last_mut(), &mut out);
            let (number, operation) = (*number, *operation);
            waiting.push(Waiting { number, operation, since_ns: 0, is_last: true });
        }
        out.iter().map(|byte| char::from(*byte)).collect::<String>()
    };
    let (body, ttl) = (value(7), Some(Duration::from_secs(2)));
    let len = body.chars().count();
    assert_eq!(text(Resp, None, &[(42, Get)]), "*2\r\n$3\r\nGET\r\n$4\r\nk042\r\n");
    assert_eq!(
        text(Resp, ttl, &[(7, Set)]),
        format!("*5\r\n$3\r\nSET\r\n$4\r\nk007\r\n{}$2\r\nPX\r\n$4\r\n2000\r\n", bulk(&body))
    );
    assert_eq!(text(Memcached, ttl, &[(7, Set)]), format!("set k007 0 2 {len}\r\n{body}\r\n"));
    assert_eq!(text(Memcached, None, &[(1, Get), (2, Get)]), "get k001 k002\r\n");
    assert_eq!(text(Http, None, &[(42, Get)]), "GET /p/k042 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        text(Http, ttl, &[(7, Set)]),
        format!(
            "PUT /p/k007?ttl=2000ms HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{body}"
        )
    );
}

#[test]
fn digits_are_those_of_the_number() {
    for number in (0..2000).chain([99_999, 123_456, 999_999]) {
        for width in 6..9 {
            let mut zeros = vec![b'0'; width];
            write_digits(&mut zeros, number);
            assert_eq!(zeros, format!("{number:0width$}").as_bytes());
        }
    }
    let mut one = [b'0'];
    write_digits(&mut one, 7);
    assert_eq!(one, *b"7");
}

#[test]
fn zipf_follows_its_law() {
    for skew in [0.5, 0.99, 1.0, 1.2] {
        let (count, draws) = (50u32, 400_000u32);
        let sampler = Sampler::new(u64::from(count), skew);
        let mut random = Random::new(SEED);
        let mut seen = vec![0u32; 50];
        for _ in 0..draws {
            seen[usize::try_from(sampler.draw(&mut random)).unwrap()] += 1;
        }
        let total: f64 = (1..=count).map(|rank| f64::from(rank).powf(-skew)).sum();
        let mut chi = 0.0;
        for (rank, observed) in (1..=count).zip(&seen) {
            let expected = f64::from(draws) * f64::from(rank).powf(-skew) / total;
            chi += (f64::from(*observed) - expected).powi(2) / expected;
        }
        // 49 degrees of freedom: above 94 once in 10,000 seeds.
        assert!(chi < 94.0, "skew {skew}: chi-square {chi}");
    }
}

#[test]
fn a_value_is_its_own_keys_only() {
    let values = values();
    for number in 0..200 {
        let mut bytes = Vec::new();
        values.of(number).append_to(&mut bytes);
        assert!((5..=60).contains(&bytes.len()));
        assert!(values.of(number).is(&bytes));
        assert!(!values.of(number + 1).is(&bytes));
        *bytes.last_mut().unwrap() ^= 1;
        assert!(!values.of(number).is(&bytes), "every byte counts");
    }
    let fill = Values::new(Lengths::Range { min: 3, max: 3 }, Some(b'x'), SEED);
    assert!(fill.of(9).is(b"xxx") && !fill.of(9).is(b"xxy") && !fill.of(9).is(b"xx"));
}

#[test]
fn etc_lengths_are_mostly_small_and_sometimes_large() {
    let values = Values::new(Lengths::Etc, None, SEED);
    let mut lens: Vec<usize> = (0..10_000).map(|number| values.of(number).len()).collect();
    lens.sort_unstable();
    assert!((120..220).contains(&lens[5000]), "median {}", lens[5000]);
    assert!(lens[9999] > 4000 && lens[0] >= 1);
}

//! The real command against a small server in the test: right and wrong answers, and bad flags.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod keys;
mod memory;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::Builder;

/// How the server treats what it stored.
#[derive(Clone, Copy)]
enum Honesty {
    Honest,
    /// Changes a byte of each thousandth answer.
    Lying,
    /// Ends each connection after a thousand commands.
    Leaving,
}

/// A RESP server for GET and SET, one store a connection. Returns its address.
fn serve(honesty: Honesty) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accept = move || {
        for stream in listener.incoming() {
            let talk = move || drop(converse(&stream.unwrap(), honesty));
            Builder::new().spawn(talk).unwrap();
        }
    };
    Builder::new().spawn(accept).unwrap();
    address
}

fn converse(stream: &TcpStream, honesty: Honesty) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BufReader::new(stream), stream);
    let mut store = std::collections::BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for count in 1.. {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = Vec::new();
        for _ in 0..line[1..].trim().parse().unwrap() {
            line.clear();
            input.read_line(&mut line)?;
            let mut word = vec![0; line[1..].trim().parse::<usize>().unwrap() + 2];
            input.read_exact(&mut word)?;
            word.truncate(word.len() - 2);
            words.push(word);
        }
        let mut answer = if words[0] == b"SET" {
            store.insert(words[1].clone(), words[2].clone());
            b"+OK\r\n".to_vec()
        } else if let Some(value) = store.get(&words[1]) {
            [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
        } else {
            b"$-1\r\n".to_vec()
        };
        match honesty {
            Honesty::Lying if count % 1000 == 0 && answer[0] == b'$' && answer.len() > 9 => {
                let middle = answer.len() / 2;
                answer[middle] ^= 1;
            }
            Honesty::Leaving if count % 1000 == 0 => return Ok(()),
            Honesty::Honest | Honesty::Lying | Honesty::Leaving => {}
        }
        output.write_all(&answer)?;
    }
    Ok(())
}

fn bench(flags: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_ringhold");
    Command::new(program).arg("bench").args(flags).env_clear().output().unwrap()
}

/// Runs 5,000 requests against a server of `honesty`: exit code and report.
fn check(honesty: Honesty, flags: &[&str]) -> (i32, serde_json::Value) {
    let address = serve(honesty);
    let common = "--protocol resp --connections 1 --keys 500 --preload --warmup 10ms --json";
    let mut all: Vec<&str> = common.split(' ').collect();
    all.extend_from_slice(flags);
    all.extend_from_slice(&["--addr", &address]);
    let output = bench(&all);
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), report)
}

const MIXED: &[&str] = &["--pipeline", "8", "--requests", "5000", "--read-share", "0.8"];

#[test]
fn an_honest_server_passes() {
    let (code, report) = check(Honesty::Honest, MIXED);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["hit_ratio"], 1.0);
    assert!(report["stored"].as_u64().unwrap() > 500);
    assert!(report["latency_us"]["p50"].as_f64().unwrap() > 0.0);
}

#[test]
fn wrong_answers_are_counted_and_fail_the_run() {
    let (code, report) = check(Honesty::Lying, MIXED);
    assert_eq!(code, 1);
    assert!(report["wrong"].as_u64().unwrap() >= 1, "{report}");
}

#[test]
fn lost_connections_are_counted_and_opened_again() {
    let (code, report) = check(Honesty::Leaving, &["--pipeline", "8", "--requests", "5000"]);
    assert_eq!(code, 1);
    assert!(report["errors"]["unanswered"].as_u64().unwrap() >= 1, "{report}");
    assert!(report["answers"].as_u64().unwrap() >= 5000);
}

#[test]
fn the_open_loop_offers_its_rate() {
    let (code, report) = check(Honesty::Honest, &["--rate", "4000", "--duration", "500ms"]);
    assert_eq!(code, 0, "{report}");
    let throughput = report["throughput"].as_f64().unwrap();
    assert!((2000.0..4500.0).contains(&throughput), "{throughput}");
}

#[test]
fn bad_flags_are_explained() {
    for (flags, word) in [
        ("--threads 9 --connections 2", "--threads"),
        ("--value-len 9-3", "ends before"),
        ("--read-share 2", "--read-share"),
        ("--key-pattern key", "%0Nd"),
        ("--keys 1000 --key-pattern k%02d", "room for 100"),
        ("--protocol memcached --password x", "password"),
        ("--endpoint nowhere", "HOST:PORT"),
        ("--duration soon", "unit"),
    ] {
        let output = bench(&flags.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{flags}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(word), "{flags}: {text}");
    }
}

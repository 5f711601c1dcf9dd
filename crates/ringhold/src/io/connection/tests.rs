//! Facts about one connection, whose client is here too.

use ringhold_node::clients::Clients;
use std::io::Read as _;
use std::os::unix::net::UnixStream as Client;

use super::*;

const STALL: Duration = Duration::from_secs(60);

fn at(secs: u64) -> Instant {
    Instant(0).after(Duration::from_secs(secs))
}

/// A connection with its client.
fn pair() -> (Connection, Client) {
    let (ours, client) = Client::pair().expect("two sockets");
    ours.set_nonblocking(true).expect("it is a socket");
    let stream = Stream::Unix(UnixStream::from_std(ours));
    (Connection::new(stream, Session::http(), at(0)), client)
}

/// An answer that no socket takes at once.
fn long_answer() -> Output {
    Output { bytes: vec![b'v'; 4 << 20], inserts: Vec::new() }
}

#[test]
fn who_reads_a_long_answer_slowly_is_not_idle() {
    let (mut connection, mut client) = pair();
    let answer = long_answer();
    assert_eq!(connection.send(&answer, 0..answer.bytes.len(), &[], at(0)), Flushed::Blocked);
    let mut part = vec![0; 1 << 20];
    for minute in 1..4 {
        client.read_exact(&mut part[..100_000]).expect("so much has been sent");
        assert_eq!(connection.flush(at(59 * minute)), Flushed::Blocked);
        assert!(!connection.is_over(at(59 * minute + 1), STALL, Some(STALL)));
    }
    assert!(
        connection.is_over(at(59 * 3 + 61), STALL, None),
        "now it has stood still for too long"
    );
}

#[test]
fn what_is_not_taken_is_accounted_for_until_it_is() {
    let account = Held::new(5 << 20);
    let (clients, (mut first, mut client)) = (Clients::default(), pair());
    let (mut second, _deaf) = pair();
    let answer = long_answer();
    let all = 0..answer.bytes.len();
    assert_eq!(first.send(&answer, all.clone(), &[], at(0)), Flushed::Blocked);
    assert!(first.charge(&account, &clients) && account.bytes() > 3 << 20);
    assert_eq!(second.send(&answer, all.clone(), &[], at(0)), Flushed::Blocked);
    assert!(!second.charge(&account, &clients), "there is no room for two");
    second.discharge(&account);
    let mut taken = 0;
    let mut part = vec![0; 1 << 20];
    while taken < all.end {
        taken += client.read(&mut part).expect("it is open");
        assert_ne!(first.flush(at(1)), Flushed::Broken);
        assert!(first.charge(&account, &clients));
    }
    assert_eq!(account.bytes(), 0);
    assert_eq!(first.send(&answer, all, &[], at(2)), Flushed::Blocked);
    assert!(first.charge(&account, &clients));
    first.discharge(&account);
    assert_eq!(account.bytes(), 0);
}

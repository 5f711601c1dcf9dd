//! The client against answers cut at every place.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::{Client, Protocol};

/// What a client reads when the server sends `answer` in pieces of `piece` bytes: a write's answer and two reads'.
fn read(
    protocol: Protocol,
    answer: &'static [u8],
    piece: usize,
) -> (bool, Option<Vec<u8>>, Option<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.chunks(piece).for_each(|part| stream.write_all(part).unwrap());
            // With unread bytes a close would be a reset, which takes sent bytes along.
            stream.read_to_end(&mut Vec::new()).unwrap();
        });
        let mut client = Client::open(port, protocol).unwrap();
        client.set(b"k", b"v");
        client.get(b"k");
        client.flush().unwrap();
        let is_stored = client.stored().unwrap();
        let first = client.got().unwrap().map(<[u8]>::to_vec);
        (is_stored, first, client.got().unwrap().map(<[u8]>::to_vec))
    })
}

#[test]
fn answers_are_told_apart_however_they_are_cut() {
    let resp: &[u8] = b"+OK\r\n$5\r\na\r\nbc\r\n$-1\r\n";
    let refused: &[u8] = b"-OOM no room\r\n$-1\r\n$0\r\n\r\n";
    let memcached: &[u8] = b"STORED\r\nVALUE k 0 5\r\na\r\nbc\r\nEND\r\nEND\r\n";
    let found = Some(b"a\r\nbc".to_vec());
    for piece in [1, 3, 7, 100] {
        assert_eq!(read(Protocol::Resp, resp, piece), (true, found.clone(), None));
        assert_eq!(read(Protocol::Resp, refused, piece), (false, None, Some(vec![])));
        assert_eq!(read(Protocol::Memcached, memcached, piece), (true, found.clone(), None));
    }
}

//! Responses of HTTP/1.1: whatever a server sends means the same however it is split, and never panics.
//!
//! The first byte says how long the pieces are, its top bit whether the request was `HEAD`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold_wire::http::response::{Asked, Body, Decoder, ResponseError};

fn meaning(bytes: &[u8], piece: usize, asked: Asked) -> (Vec<String>, Option<ResponseError>) {
    let (mut decoder, mut body, mut at, mut end) = (Decoder::new(), None::<Body>, 0, 0);
    let mut read: Vec<String> = vec![];
    while end < bytes.len() {
        end = bytes.len().min(end + piece);
        loop {
            let input = &bytes[at..end];
            let Some(under_way) = &mut body else {
                match decoder.decode(input, asked) {
                    Ok(Some(head)) => {
                        assert!(input.starts_with(head.bytes));
                        read.push(format!("{head:?} {:?}", head.field("content-length")));
                        body = Some(Body::new(head.framing));
                        at += head.bytes.len();
                        continue;
                    }
                    Ok(None) => break,
                    Err(error) => return (read, Some(error)),
                }
            };
            match under_way.decode(input) {
                Ok(part) => {
                    assert!(part.used <= input.len() && part.content.len() <= part.used);
                    at += part.used;
                    if let Some(last) = read.last_mut() {
                        last.extend(part.content.iter().map(|byte| char::from(*byte)));
                    }
                    if part.is_last {
                        body = None;
                    } else if part.used == 0 {
                        break;
                    }
                }
                Err(error) => return (read, Some(error)),
            }
        }
    }
    (read, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let asked = if first & 128 == 0 { Asked::Other } else { Asked::Head };
    let whole = meaning(bytes, bytes.len().max(1), asked);
    assert_eq!(meaning(bytes, usize::from(first & 127).max(1), asked), whole);
});

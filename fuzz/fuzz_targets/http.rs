//! HTTP/1.1: a head means the same however it is split, its parts are where they are said to be, and nothing panics.
//!
//! The first byte says how long the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold_wire::http::decode::{Decoder, Refusal};
use ringhold_wire::http::routes::{of, resource};

fn meaning(bytes: &[u8], piece: usize) -> Result<Option<String>, Refusal> {
    let (mut decoder, mut end) = (Decoder::new(), 0);
    while end < bytes.len() {
        end = bytes.len().min(end + piece);
        if let Some(request) = decoder.decode(&bytes[..end])? {
            assert!(request.head_len <= end && !request.key.is_empty());
            if let Some(plain) = request.plain(&bytes[..request.head_len], request.namespace) {
                let again = plain.request(&bytes[..request.head_len]);
                assert_eq!((&again.key, again.method), (&request.key, request.method));
                assert_eq!((again.ttl, again.stale_for), (request.ttl, request.stale_for));
            }
            return Ok(Some(format!("{request:?}")));
        }
    }
    Ok(None)
}

fn ends(bytes: &[u8]) -> bool {
    // Empty lines before a request are no end.
    let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &bytes[start..];
    bytes.windows(3).any(|part| part == b"\n\r\n") || bytes.windows(2).any(|part| part == b"\n\n")
}

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    let whole = meaning(bytes, bytes.len().max(1));
    let pieces = meaning(bytes, usize::from(piece).max(1));
    match (&whole, &pieces) {
        // A refusal may come before everything that is wrong is there, and wait for the end of the head.
        (Err(_), Err(_)) => {}
        (Err(_), Ok(None)) if !ends(bytes) => {}
        _ => assert_eq!(pieces, whole),
    }
    if let Ok(path) = core::str::from_utf8(bytes) {
        if resource(path).is_none() {
            let served: Vec<_> = of(path).map(|route| route.path).collect();
            assert!(served.is_empty() || path.contains("//") || path.ends_with('/'), "{served:?}");
        }
    }
});

//! Replies of RESP: whatever a server sends means the same however it is split, and never panics.
//!
//! The first byte says how long the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold_wire::resp::reply::{Decoder, Item, Limits, ReplyError};

const LIMITS: Limits = Limits { bulk_len_max: 1 << 16, elements_max: 1 << 10 };

fn meaning(bytes: &[u8], piece: usize) -> (Vec<String>, Option<ReplyError>) {
    let (mut decoder, mut at, mut end, mut replies) = (Decoder::new(LIMITS), 0, 0, vec![]);
    while end < bytes.len() {
        end = bytes.len().min(end + piece);
        loop {
            match decoder.decode(&bytes[at..end]) {
                Ok(Some(reply)) => {
                    assert!(bytes[at..end].starts_with(reply.bytes) && !reply.bytes.is_empty());
                    let items: Vec<Item<'_>> = reply.items().collect();
                    // An aggregate's elements are all there: each item but the first is counted by one before it.
                    let counted: usize = items.iter().filter_map(Item::elements).sum();
                    let attributes = items.iter().filter(|item| matches!(item, Item::Attribute(_)));
                    assert_eq!(items.len(), 1 + counted + attributes.count());
                    replies.push(format!("{:?} {items:?}", reply.head));
                    at += reply.bytes.len();
                }
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    let whole = meaning(bytes, bytes.len().max(1));
    assert_eq!(meaning(bytes, usize::from(piece).max(1)), whole);
});

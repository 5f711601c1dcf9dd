//! Facts about items of chosen shapes.

use alloc::vec;

use ringhold_types::entry::{ContentType, ContentTypeId, Deadlines, Version};
use ringhold_types::time::UnixTime;

use crate::item::{ALIGN, Draft, Item, Payload, set_deadlines};

const VERSION: Version = Version(0x0012_3456_789A_BCDE);

/// Writes a draft into a buffer full of other bytes, and reads it back.
fn check(draft: &Draft<'_>) {
    let mut bytes = vec![0xA5; draft.len() + 64];
    draft.encode(VERSION, &mut bytes);
    assert!(bytes[draft.len()..].iter().all(|&byte| byte == 0xA5), "nothing behind it is written");
    let item = Item::new(&bytes);
    assert_eq!(item.len(), draft.len());
    assert_eq!(item.len() % ALIGN, 0);
    assert_eq!((item.version(), item.kind(), item.credit()), (VERSION, draft.kind, draft.credit));
    assert_eq!((item.deadlines(), item.client_flags()), (draft.deadlines, draft.client_flags));
    assert_eq!(item.content_type(), draft.content_type);
    match draft.payload {
        Payload::Inline { key, value } => assert_eq!((item.key(), item.value()), (key, value)),
        Payload::Handle { handle, value_len } => {
            assert_eq!((item.is_large(), item.handle()), (true, handle));
            assert_eq!((item.value_len(), item.key_len()), (value_len, 0));
        }
    }
    assert!(draft.fits_over(item) != item.is_large(), "it fits over itself, if it is in the log");
    // New deadlines touch nothing else.
    let later = Deadlines {
        hard: draft.deadlines.hard.map(|_| UnixTime(1_900_000_000_000)),
        soft: draft.deadlines.soft.map(|_| UnixTime(1_800_000_000_000)),
    };
    assert!(set_deadlines(&mut bytes, later));
    let item = Item::new(&bytes);
    assert_eq!((item.deadlines(), item.content_type()), (later, draft.content_type));
    assert_eq!(item.len(), draft.len());
}

#[test]
fn an_item_of_every_shape_is_read_as_it_was_written() {
    let (key, value, text) =
        (vec![b'k'; 300], vec![b'v'; 70_000], [b't'; ContentType::TEXT_LEN_MAX]);
    let types = [
        ContentType::NONE,
        ContentType::Row(ContentTypeId(7)),
        ContentType::Row(ContentTypeId(0xFFFE)),
        ContentType::Text(&text[..1]),
        ContentType::Text(&text),
    ];
    let mut payloads = vec![Payload::Handle { handle: 0xDEAD_BEEF, value_len: 12_345_678 }];
    for key_len in [0, 1, 254, 255, 300] {
        for value_len in [0, 1, 2, 3, 5, 65_535, 65_536] {
            payloads.push(Payload::Inline { key: &key[..key_len], value: &value[..value_len] });
        }
    }
    for payload in payloads {
        for content_type in types {
            for shape in 0..8 {
                let at = |flag: u64, time| (shape & flag != 0).then_some(UnixTime(time));
                check(&Draft {
                    payload,
                    kind: 3,
                    deadlines: Deadlines {
                        hard: at(1, 1_790_000_000_000),
                        soft: at(2, 1_780_000_000_000),
                    },
                    client_flags: if shape & 4 == 0 { 0 } else { 0xC0FF_EE00 },
                    content_type,
                    credit: 5,
                });
            }
        }
    }
}

#[test]
fn a_text_costs_only_the_entry_that_has_one() {
    let draft = |content_type| Draft {
        payload: Payload::Inline { key: b"key", value: b"value" },
        kind: 0,
        deadlines: Deadlines::NEVER,
        client_flags: 0,
        content_type,
        credit: 0,
    };
    assert_eq!(draft(ContentType::NONE).len(), 20);
    assert_eq!(draft(ContentType::Row(ContentTypeId(9))).len(), 24);
    assert_eq!(draft(ContentType::Text(b"text/css")).len(), 32);
}

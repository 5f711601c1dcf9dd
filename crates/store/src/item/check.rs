//! One property of the codec, for the tests of fixed seeds and for the fuzzer: what is encoded is decoded.

use alloc::vec;
use alloc::vec::Vec;

use ringhold_types::entry::{ContentType, ContentTypeId, Deadlines, Version};
use ringhold_types::time::UnixTime;

use super::{ALIGN, Draft, EPOCH_MS, Item, NEVER, Payload, set_credit, set_deadlines};

/// What the buffer holds before and behind the item.
const FILLING: u8 = 0xA5;

/// Bytes that say what to do; zeros when they are used up.
struct Wishes<'a>(&'a [u8]);

impl Wishes<'_> {
    fn number(&mut self, bytes: usize) -> u64 {
        let mut le = [0; 8];
        let (now, later) = self.0.split_at(bytes.min(self.0.len()));
        le[..now.len()].copy_from_slice(now);
        self.0 = later;
        u64::from_le_bytes(le)
    }

    fn byte(&mut self) -> u8 {
        self.number(1).to_le_bytes()[0]
    }

    /// A length, often at one of the edges of the header's fields.
    fn len(&mut self, edge: usize, most: usize) -> usize {
        let near = usize::from(self.byte() % 8);
        let len = match self.byte() % 4 {
            0 => near,
            1 => edge - 4 + near,
            2 => usize::from(self.byte()),
            _ => usize::try_from(self.number(3)).unwrap_or(0),
        };
        len % (most + 1)
    }

    fn deadlines(&mut self) -> Deadlines {
        let mut time = |bit: u8| {
            let (has, at) = (self.byte() >> bit & 1 == 1, self.number(5));
            has.then_some(UnixTime(EPOCH_MS - 1000 + at))
        };
        Deadlines { hard: time(0), soft: time(0) }
    }
}

/// The deadlines as they can be stored.
fn within_range(deadlines: Deadlines) -> Deadlines {
    let clamp = |time: UnixTime| UnixTime(time.0.clamp(EPOCH_MS, EPOCH_MS + NEVER - 1));
    Deadlines { hard: deadlines.hard.map(clamp), soft: deadlines.soft.map(clamp) }
}

/// Encodes the item that `wishes` describe and asserts that all of it is decoded, that nothing else was written, and that
/// what is changed in place is all that changes. Which shape it had, as the flags say.
///
/// # Panics
///
/// When the codec is wrong.
pub fn check(wishes: &[u8]) -> u16 {
    let mut wishes = Wishes(wishes);
    let (kind, credit) = (wishes.byte() & 15, wishes.byte() & 7);
    let is_large = wishes.byte() % 4 == 0;
    let deadlines = wishes.deadlines();
    let client_flags = if wishes.byte() % 2 == 0 { 0 } else { wishes.number(4) };
    let client_flags = u32::try_from(client_flags).unwrap_or(0);
    let text = [b't'; ContentType::TEXT_LEN_MAX];
    let content_type = match wishes.byte() % 4 {
        0 | 1 => ContentType::NONE,
        2 => ContentType::Row(ContentTypeId(0xFFFE)),
        _ => ContentType::Text(&text[..usize::from(wishes.byte())]),
    };
    let version = Version(wishes.number(7));
    let handle = u32::try_from(wishes.number(4)).unwrap_or(0);
    let (key_len, value_len) = (wishes.len(255, 65_535), wishes.len(65_536, 70_000));
    let salt = wishes.byte();
    let bytes = |len: usize, salt: u8| -> Vec<u8> {
        (0u8..=250).cycle().map(|n| n.wrapping_mul(salt | 1)).take(len).collect()
    };
    let (key, value) = (bytes(key_len, salt), bytes(value_len, !salt));
    let payload = if is_large {
        Payload::Handle { handle, value_len }
    } else {
        Payload::Inline { key: &key, value: &value }
    };
    let draft = Draft { payload, kind, deadlines, client_flags, content_type, credit };
    let len = draft.len();
    assert!(len.is_multiple_of(ALIGN), "items are aligned");
    let mut buf = vec![FILLING; len + 16];
    draft.encode(version, &mut buf);
    assert!(buf[len..].iter().all(|&byte| byte == FILLING), "nothing is written behind it");

    let read = |buf: &[u8], deadlines: Deadlines, credit: u8| {
        let item = Item::new(buf);
        assert_eq!((item.len(), item.value_len()), (len, value_len));
        assert_eq!((item.version(), item.kind(), item.credit()), (version, kind, credit));
        assert_eq!((item.client_flags(), item.content_type()), (client_flags, content_type));
        assert_eq!((item.hard(), item.deadlines()), (deadlines.hard, deadlines));
        assert_eq!(item.is_large(), is_large);
        if is_large {
            assert_eq!(item.handle(), handle);
        } else {
            assert!(item.key() == key && item.value() == value, "key and value are what they were");
        }
        item.flags
    };
    let stored = within_range(deadlines);
    let shape = read(&buf, stored, credit);
    assert_eq!(draft.fits_over(Item::new(&buf)), !is_large, "an item has room for itself");

    let credit = wishes.byte() & 7;
    set_credit(&mut buf, credit);
    read(&buf, stored, credit);
    let others = wishes.deadlines();
    let has_room = (others.hard.is_none() || deadlines.hard.is_some())
        && (others.soft.is_none() || deadlines.soft.is_some());
    assert_eq!(set_deadlines(&mut buf, others), has_room, "deadlines need their room");
    read(&buf, if has_room { within_range(others) } else { stored }, credit);
    assert!(buf[len..].iter().all(|&byte| byte == FILLING), "nothing is written behind it");
    shape
}

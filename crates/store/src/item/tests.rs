//! Facts about the codec of items.

mod shapes;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use ringhold_types::prng::Prng;

use super::check::check;
use super::{CREDIT_SHIFT, KIND_SHIFT, LARGE, LONGKEY, META, SHAPE, SOFT, TTL, TYPE, WIDE};

#[test]
fn items_of_every_shape_are_decoded_as_they_were_encoded() {
    let mut prng = Prng::new(1);
    let (mut shapes, mut kinds, mut credits) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..20_000 {
        let wishes: Vec<u8> = (0..8).flat_map(|_| prng.next_u64().to_le_bytes()).collect();
        let flags = check(&wishes);
        shapes.insert(flags & SHAPE);
        kinds.insert(flags >> KIND_SHIFT & 15);
        credits.insert(flags >> CREDIT_SHIFT & 7);
    }
    // A large item is wide, and its key is elsewhere.
    let is_possible = |shape: &u16| shape & LARGE == 0 || shape & (WIDE | LONGKEY) == WIDE;
    assert_eq!(shapes.len(), (0..=SHAPE).filter(is_possible).count(), "{shapes:?}");
    assert_eq!(SHAPE, WIDE | TTL | SOFT | META | TYPE | LARGE | LONGKEY, "all flags are drawn");
    assert_eq!((kinds.len(), credits.len()), (16, 8));
}

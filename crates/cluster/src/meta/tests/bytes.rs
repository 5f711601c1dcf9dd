//! Bytes of messages and files: whatever they are, a node reads them or not, and goes on.

use ringhold_types::prng::Prng;

use crate::meta::exercise::{exercise, exercise_file};

/// Random bytes with a bias: small numbers are indices, terms and kinds.
fn random_bytes(prng: &mut Prng) -> Vec<u8> {
    let len = 8 + prng.below(400);
    let mut bytes = Vec::new();
    for _ in 0..len {
        let byte = match prng.below(4) {
            0 => prng.below(256),
            1 => prng.below(4),
            _ => prng.below(16),
        };
        bytes.push(u8::try_from(byte).unwrap_or(0));
    }
    bytes
}

#[test]
fn no_bytes_of_a_peer_make_a_node_panic() {
    let mut prng = Prng::new(1);
    let mut stepped = 0;
    for _ in 0..2_000 {
        stepped += exercise(&random_bytes(&mut prng));
    }
    assert!(stepped > 500, "messages get past the decoder: {stepped}");
}

#[test]
fn no_bytes_of_a_file_make_a_node_panic() {
    let mut prng = Prng::new(2);
    let mut bytes = vec![2];
    // A commit, an entry, another entry that replaces it, and a record that does not fit.
    for record in [&[0, 0, 2, 1, 1][..], &[0, 1, 2, 2, 0, 2, 1, 1], &[0, 1, 2, 3, 0, 3, 1, 2]] {
        bytes.extend_from_slice(&[u8::try_from(record.len()).unwrap_or(0), 0]);
        bytes.extend_from_slice(record);
    }
    assert!(exercise_file(&bytes));
    bytes.extend_from_slice(&[3, 0, 0, 0, 0]);
    assert!(!exercise_file(&bytes));
    for _ in 0..300 {
        let _is_read = exercise_file(&random_bytes(&mut prng));
        let mut changed = bytes.clone();
        let place = usize::try_from(prng.below(bytes.len() as u64)).unwrap_or(0);
        changed[place] = u8::try_from(prng.below(8)).unwrap_or(0);
        let _is_read = exercise_file(&changed);
    }
}

//! Commands to servers, as clients write them.

use alloc::vec::Vec;

use super::Protocol;
use super::encode::Encoder;

/// Appends a command: its name, then its arguments.
pub fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    // A command is an array of bulk strings in either version.
    let mut encoder = Encoder::new(out, Protocol::Two);
    encoder.array(words.len());
    for word in words {
        encoder.bulk(word);
    }
}

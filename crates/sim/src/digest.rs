//! A running digest of everything that happened: two runs of one seed are the same if their digests are.
//!
//! Not cryptographic; it only has to notice a difference. Multiply and fold, as in wyhash.

/// The digest so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u64);

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

impl Digest {
    /// The digest of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(0x243F_6A88_85A3_08D3)
    }

    /// Adds a number.
    pub fn add(&mut self, number: u64) {
        self.0 = mixed(self.0 ^ number);
    }

    /// Adds bytes, and how many there were.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        let chunks = bytes.chunks_exact(8);
        let mut tail = [0; 8];
        let rest = chunks.remainder();
        tail[..rest.len()].copy_from_slice(rest);
        for chunk in chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
        self.add(u64::from_le_bytes(tail));
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

/// The halves of a 128-bit product, folded; `number` 0 does not stay 0.
pub(crate) fn mixed(number: u64) -> u64 {
    let wide = u128::from(number ^ 0xD1B5_4A32_D192_ED03) * u128::from(FACTOR);
    let [low, high] = halves(wide);
    low ^ high ^ number.rotate_left(32)
}

/// The low and the high 64 bits.
pub(crate) fn halves(wide: u128) -> [u64; 2] {
    let bytes = wide.to_le_bytes();
    let (mut low, mut high) = ([0; 8], [0; 8]);
    low.copy_from_slice(&bytes[..8]);
    high.copy_from_slice(&bytes[8..]);
    [u64::from_le_bytes(low), u64::from_le_bytes(high)]
}

//! Slots: the unit of placement, order, replication, migration and statistics.
//!
//! A key's slot is CRC-16/XMODEM of the key, or of its hash tag, modulo 16384: the function of the
//! Redis Cluster specification ("Key distribution model", "Hash tags"), so that its clients agree
//! with us about where a key lives. The checksum is computed eight bytes at a time from tables built
//! at compile time ("slicing by 8", Kounavis and Berry, ISCC 2005).

/// The number of slots.
pub const SLOTS: u16 = 16_384;

/// One of the [`SLOTS`] slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The first one.
    pub const MIN: Self = Self(0);

    /// The slot with this number; `None` unless `number` < [`SLOTS`].
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < SLOTS { Some(Self(number)) } else { None }
    }

    /// The slot of `key`: that of its hash tag if it has one.
    #[inline]
    #[must_use]
    pub fn of_key(key: &[u8]) -> Self {
        let tagged = if has_brace(key) { hash_tag(key) } else { key };
        Self(crc16(tagged) % SLOTS)
    }

    /// Its number, 0 to 16383.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its number, as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All slots, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }
}

/// Whether there is a `{`: eight bytes at a time, since most keys have none. (The test for a zero byte in a word is from
/// Warren, "Hacker's Delight", section 6-1.)
#[inline]
fn has_brace(key: &[u8]) -> bool {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let (eights, rest) = key.as_chunks::<8>();
    let found = eights.iter().fold(0, |found, &eight| {
        let word = u64::from_le_bytes(eight) ^ u64::from_le_bytes([b'{'; 8]);
        found | (word.wrapping_sub(LOW) & !word & HIGH)
    });
    found != 0 || rest.contains(&b'{')
}

/// The bytes of `key` that decide its slot: those between the first `{` and the next `}` if there
/// are any, else all.
#[must_use]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let Some((_, rest)) = key.split_at_checked(open + 1) else { return key };
    match rest.iter().position(|&byte| byte == b'}') {
        Some(len) if len > 0 => rest.get(..len).unwrap_or(key),
        _ => key,
    }
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0, nothing reflected.
#[inline]
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut crc = 0u16;
    for &[a, b, c, d, e, f, g, h] in eights {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[7][usize::from(a ^ high)]
            ^ TABLES[6][usize::from(b ^ low)]
            ^ TABLES[5][usize::from(c)]
            ^ TABLES[4][usize::from(d)]
            ^ TABLES[3][usize::from(e)]
            ^ TABLES[2][usize::from(f)]
            ^ TABLES[1][usize::from(g)]
            ^ TABLES[0][usize::from(h)];
    }
    let (twos, last) = rest.as_chunks::<2>();
    for &[a, b] in twos {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[1][usize::from(a ^ high)] ^ TABLES[0][usize::from(b ^ low)];
    }
    for &byte in last {
        let [high, _] = crc.to_be_bytes();
        crc = (crc << 8) ^ TABLES[0][usize::from(byte ^ high)];
    }
    crc
}

/// `TABLES[n][b]`: the checksum of byte `b` followed by `n` zero bytes.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut value = 0u16;
    while value < 256 {
        let mut crc = value << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        tables[0][value as usize] = crc;
        value += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

//! Amounts of memory as people write them: `512MiB`, `1GiB`, `1g`, `1048576`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

/// Units by their lower-case names. `kb`, `mb` and `gb` are binary, as in redis.conf and memcached.
const UNITS: [(&str, u32); 17] = [
    ("", 0),
    ("b", 0),
    ("k", 10),
    ("kb", 10),
    ("kib", 10),
    ("ki", 10),
    ("m", 20),
    ("mb", 20),
    ("mib", 20),
    ("mi", 20),
    ("g", 30),
    ("gb", 30),
    ("gib", 30),
    ("gi", 30),
    ("t", 40),
    ("tb", 40),
    ("tib", 40),
];

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().to_ascii_lowercase();
        let shift = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
        number
            .parse::<u64>()
            .ok()
            .zip(shift)
            .and_then(|(number, shift)| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is no amount of memory: write 512MiB, 2GiB or a number of bytes")
            })
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

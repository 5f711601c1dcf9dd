//! Values as a function of their keys, so that any answer can be checked.
//!
//! A value is 8 bytes that name its key's number, then a stretch of fixed noise whose start depends on
//! the number too; shorter values are cut. Checking is two comparisons of memory. `--fill` makes
//! all values one repeated byte instead, for servers whose answer is fixed.

use anyhow::{Context, bail};

use crate::bench::keys::{Random, mix, unit};

/// The longest value, in bytes: what Ringhold accepts at most.
pub(crate) const VALUE_LEN_MAX: usize = 512 * 1024 * 1024;
/// How many different starts of the noise there are; small, so that it stays in the CPU's cache.
const START_COUNT: u64 = 4096;
/// The bytes that name the key's number.
const NAME_LEN: usize = 8;
/// The longest value drawn from `etc`, in bytes: its tail is cut there.
const ETC_LEN_MAX: usize = 1024 * 1024;

/// How long values are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lengths {
    /// Uniform in `min..=max`, in bytes.
    Range {
        /// The shortest.
        min: usize,
        /// The longest.
        max: usize,
    },
    /// Facebook's ETC pool: generalized Pareto with scale 214.476 and shape 0.348238 (Atikoglu et al.,
    /// "Workload analysis of a large-scale key-value store", SIGMETRICS 2012, section 5).
    Etc,
}

impl Lengths {
    /// Reads `100`, `10-1000` or `etc`.
    ///
    /// # Errors
    ///
    /// When it is none of these, or too long.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        if text == "etc" {
            return Ok(Self::Etc);
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let hint = || format!("`{text}` is not a length, a range like 10-1000, or `etc`");
        let min: usize = min.parse().with_context(hint)?;
        let max: usize = max.parse().with_context(hint)?;
        if min > max {
            bail!("the range {min}-{max} ends before it begins");
        }
        if max > VALUE_LEN_MAX {
            bail!("a value has at most {VALUE_LEN_MAX} bytes, not {max}");
        }
        Ok(Self::Range { min, max })
    }

    /// The longest value possible, in bytes.
    pub(crate) fn max(self) -> usize {
        match self {
            Self::Range { max, .. } => max,
            Self::Etc => ETC_LEN_MAX,
        }
    }

    fn of(self, hash: u64) -> usize {
        match self {
            Self::Range { min, max } if min == max => min,
            Self::Range { min, max } => {
                let span = u64::try_from(max - min + 1).unwrap_or(1);
                min + usize::try_from(Random::new(hash).below(span)).unwrap_or(0)
            }
            Self::Etc => etc_len(unit(mix(hash))),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, then clamped"
)]
fn etc_len(unit: f64) -> usize {
    const SCALE: f64 = 214.476;
    const SHAPE: f64 = 0.348_238;
    let len = SCALE / SHAPE * ((1.0 - unit).powf(-SHAPE) - 1.0);
    (len as usize).clamp(1, ETC_LEN_MAX)
}

/// A value in two pieces: `name` then `body`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    name: [u8; NAME_LEN],
    name_len: usize,
    body: &'a [u8],
}

impl Value<'_> {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.name_len + self.body.len()
    }

    /// Appends its bytes.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.name[..self.name_len]);
        out.extend_from_slice(self.body);
    }

    /// Whether `bytes` is this value.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.len()
            && bytes[..self.name_len] == self.name[..self.name_len]
            && bytes[self.name_len..] == *self.body
    }
}

/// The values of all keys.
#[derive(Debug)]
pub(crate) struct Values {
    lengths: Lengths,
    noise: Vec<u8>,
    is_fill: bool,
    seed: u64,
}

impl Values {
    /// Values of `lengths`, different for every `seed`; with `fill`, only that byte.
    pub(crate) fn new(lengths: Lengths, fill: Option<u8>, seed: u64) -> Self {
        let len = lengths.max() + usize::try_from(START_COUNT).unwrap_or(0);
        let noise = if let Some(byte) = fill {
            vec![byte; len]
        } else {
            let mut random = Random::new(seed ^ 0x5EED);
            let words = std::iter::repeat_with(|| random.bits().to_le_bytes());
            words.take(len / 8 + 1).flatten().collect()
        };
        Self { lengths, noise, is_fill: fill.is_some(), seed: mix(seed) }
    }

    /// The value of key `number`.
    pub(crate) fn of(&self, number: u64) -> Value<'_> {
        let hash = mix(number ^ self.seed);
        let len = self.lengths.of(hash);
        let name_len = if self.is_fill { 0 } else { len.min(NAME_LEN) };
        let start = usize::try_from(hash % START_COUNT).unwrap_or(0);
        let body = &self.noise[start..start + len - name_len];
        Value { name: hash.to_le_bytes(), name_len, body }
    }
}

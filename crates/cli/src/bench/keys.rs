//! Which key is next, and its bytes.
//!
//! Keys are numbers written into a pattern such as `key:%012d`, all of one length, so that a request is
//! a copy of a template with its digits overwritten. Zipf's law is sampled exactly and without
//! tables by rejection inversion: W. Hörmann, G. Derflinger, "Rejection-inversion to generate
//! variates from monotone discrete distributions", ACM TOMACS 6 (1996).

use anyhow::{Context, bail};

/// A small generator (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// A generator whose whole output is a function of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.bits())
    }
}

/// The finalizer of `SplitMix64`: spreads a number over 64 bits, one to one.
pub(crate) fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The top 53 of `bits` as a number in `[0, 1)`.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Draws key numbers in `0..count`, number 0 the most popular.
#[derive(Clone, Debug)]
pub(crate) enum Sampler {
    /// Every key alike.
    Uniform {
        /// How many keys there are.
        count: u64,
    },
    /// The key of rank r with probability proportional to `r^-s`.
    Zipf(Zipf),
}

impl Sampler {
    /// A sampler of `count` keys; `skew` 0 is uniform.
    pub(crate) fn new(count: u64, skew: f64) -> Self {
        if skew > 0.0 { Self::Zipf(Zipf::new(count, skew)) } else { Self::Uniform { count } }
    }

    /// The number of the next key.
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        match self {
            Self::Uniform { count } => random.below(*count),
            Self::Zipf(zipf) => zipf.draw(random) - 1,
        }
    }
}

/// Zipf's law over ranks `1..=count`.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: u64,
    exponent: f64,
    /// The hat's integral at its two ends.
    integral_first: f64,
    integral_last: f64,
    /// Below this distance from the rank a draw is accepted without computing the hat.
    shortcut: f64,
}

impl Zipf {
    /// The law with `exponent` over `count` ranks.
    pub(crate) fn new(count: u64, exponent: f64) -> Self {
        let mut law =
            Self { count, exponent, integral_first: 0.0, integral_last: 0.0, shortcut: 0.0 };
        law.integral_first = law.integral(1.5) - 1.0;
        law.integral_last = law.integral(count as f64 + 0.5);
        law.shortcut = 2.0 - law.integral_inverse(law.integral(2.5) - law.hat(2.0));
        law
    }

    /// A rank in `1..=count`.
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let span = self.integral_first - self.integral_last;
            let area = self.integral_last + random.unit() * span;
            let x = self.integral_inverse(area);
            let rank = nearest(x).clamp(1, self.count);
            let at = rank as f64;
            if at - x <= self.shortcut || area >= self.integral(at + 0.5) - self.hat(at) {
                return rank;
            }
        }
    }

    fn hat(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        exp_m1_over((1.0 - self.exponent) * log) * log
    }

    fn integral_inverse(&self, x: f64) -> f64 {
        let t = (x * (1.0 - self.exponent)).max(-1.0);
        (ln_1p_over(t) * x).exp()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, then clamped"
)]
fn nearest(x: f64) -> u64 {
    (x + 0.5) as u64
}

/// `(e^x - 1) / x`, by its series near 0.
fn exp_m1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x * 0.5 }
}

/// `ln(1 + x) / x`, by its series near 0.
fn ln_1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * 0.5 }
}

/// A key with room for its number: bytes of one length for every number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct KeyPattern {
    /// The key of number 0.
    pub(crate) zero: Vec<u8>,
    /// Where the digits end.
    pub(crate) digits_end: usize,
    /// How many digits there are.
    pub(crate) digits_count: usize,
}

impl KeyPattern {
    /// Reads a pattern with one `%0Nd`, such as `user:%010d:name`.
    ///
    /// # Errors
    ///
    /// When `text` has no such part, or a key would hold a space or control byte.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (head, rest) = text.split_once("%0").context("a key pattern needs one `%0Nd`")?;
        let (width, tail) = rest.split_once('d').context("a key pattern needs one `%0Nd`")?;
        let width: usize = width.parse().context("in `%0Nd`, N is a number of digits")?;
        if !(1..=1024).contains(&width) {
            bail!("a key has 1 to 1024 digits, not {width}");
        }
        if text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'/' || byte == b'?') {
            bail!("a key pattern is printable ASCII without `/` and `?`: it is also a path");
        }
        let zero = [head.as_bytes(), &b"0".repeat(width), tail.as_bytes()].concat();
        Ok(Self { zero, digits_end: head.len() + width, digits_count: width })
    }

    /// How many different keys the digits can tell apart.
    pub(crate) fn capacity(&self) -> u64 {
        u32::try_from(self.digits_count)
            .ok()
            .and_then(|digits| 10u64.checked_pow(digits))
            .unwrap_or(u64::MAX)
    }
}

const PAIRS: [[u8; 2]; 100] = pairs();

#[expect(clippy::cast_possible_truncation, reason = "below 10, in a constant")]
const fn pairs() -> [[u8; 2]; 100] {
    let mut table = [[b'0'; 2]; 100];
    let mut at = 0;
    while at < 100 {
        table[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    table
}

/// Writes the digits of `number` right-aligned into `zeros`, which holds `0` only.
pub(crate) fn write_digits(zeros: &mut [u8], number: u64) {
    let mut left = usize::try_from(number).unwrap_or(usize::MAX);
    let mut end = zeros.len();
    while left > 0 && end >= 2 {
        zeros[end - 2..end].copy_from_slice(&PAIRS[left % 100]);
        left /= 100;
        end -= 2;
    }
    if left > 0 && end == 1 {
        zeros[0] = PAIRS[left % 10][1];
    }
}

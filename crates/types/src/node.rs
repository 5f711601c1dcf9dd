//! What is said of a node wherever one is named: its weight.

use core::fmt;

/// A node's part of the slots, relative to the other nodes: kept in hundredths, 0.01 to 100.
///
/// Whole hundredths, so that every node computes the same shares from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// The smallest: 0.01.
    pub const MIN: Self = Self(1);
    /// What a node has when nobody says otherwise: 1.
    pub const ONE: Self = Self(100);
    /// The greatest: 100.
    pub const MAX: Self = Self(10_000);

    /// The weight of so many hundredths; `None` unless they are 1 to 10 000.
    #[must_use]
    pub const fn from_hundredths(hundredths: u16) -> Option<Self> {
        if hundredths >= Self::MIN.0 && hundredths <= Self::MAX.0 {
            Some(Self(hundredths))
        } else {
            None
        }
    }

    /// The weight nearest to `weight`; `None` unless it is 0.01 to 100.
    #[must_use]
    pub fn from_f64(weight: f64) -> Option<Self> {
        if !(0.01..=100.0).contains(&weight) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1.5 and 10000.5, cut to whole hundredths"
        )]
        let hundredths = (weight * 100.0 + 0.5) as u16;
        Self::from_hundredths(hundredths)
    }

    /// Its hundredths, 1 to 10 000.
    #[must_use]
    pub const fn hundredths(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

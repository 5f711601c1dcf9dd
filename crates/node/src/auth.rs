//! The clients' passwords: kept as SHA-256, compared in constant time.
//!
//! A password file holds one password per line, so that a new one can be given out before the old one is
//! taken back. A line is the password itself or `sha256:` and the 64 hexadecimal digits of its SHA-256, which
//! keeps the file from telling it. Redis keeps its users' passwords in the same way (ACL documentation, "How
//! passwords are stored internally"), so the same advice holds: long random ones, since the hash is fast.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The most passwords that a file may hold.
pub const PASSWORDS_MAX: usize = 64;

/// The only user that exists; what RESP's `AUTH username password` may name.
pub const DEFAULT_USER: &[u8] = b"default";

/// What clients must prove before anything else. None: everybody is let in.
#[derive(Clone, Default)]
pub struct Passwords {
    digests: Vec<[u8; 32]>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("count", &self.digests.len()).finish()
    }
}

/// A password file that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordsError {
    /// No line holds a password: the file would lock everybody out.
    Empty,
    /// The digits after `sha256:` on this line (counted from 1) are not 64 hexadecimal ones.
    BadDigest {
        /// The line.
        line: usize,
    },
    /// There are more than [`PASSWORDS_MAX`].
    TooMany,
}

impl fmt::Display for PasswordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it holds no password: write one per line"),
            Self::BadDigest { line } => {
                write!(f, "line {line}: `sha256:` must be followed by 64 hexadecimal digits")
            }
            Self::TooMany => write!(f, "it holds more than {PASSWORDS_MAX} passwords"),
        }
    }
}

impl std::error::Error for PasswordsError {}

impl Passwords {
    /// Reads the text of a password file; empty lines are skipped.
    ///
    /// # Errors
    ///
    /// [`PasswordsError`], see its variants.
    pub fn parse(text: &str) -> Result<Self, PasswordsError> {
        let mut digests = Vec::new();
        for (idx, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                continue;
            }
            digests.push(match line.strip_prefix("sha256:") {
                Some(digits) => hex32(digits).ok_or(PasswordsError::BadDigest { line: idx + 1 })?,
                None => Sha256::digest(line.as_bytes()).into(),
            });
        }
        match digests.len() {
            0 => Err(PasswordsError::Empty),
            1..=PASSWORDS_MAX => Ok(Self { digests }),
            _ => Err(PasswordsError::TooMany),
        }
    }

    /// Whether clients have to prove anything.
    #[must_use]
    pub fn are_required(&self) -> bool {
        !self.digests.is_empty()
    }

    /// Whether `password` is one of them. The time it takes depends on the length of `password` alone.
    #[must_use]
    pub fn accept(&self, password: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(password).into();
        let found = self
            .digests
            .iter()
            .fold(Choice::from(0), |found, known| found | known.as_slice().ct_eq(&digest));
        bool::from(found)
    }
}

fn hex32(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let pairs = digits.trim().as_bytes().chunks(2);
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_password_or_its_digest() {
        let digest = "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
        let passwords =
            Passwords::parse(&format!("secret\r\n\n{digest}\n")).expect("two passwords");
        assert!(passwords.are_required());
        for (password, is_accepted) in
            [("secret", true), ("password", true), ("", false), ("Secret", false), (digest, false)]
        {
            assert_eq!(passwords.accept(password.as_bytes()), is_accepted, "{password}");
        }
        assert_eq!(format!("{passwords:?}"), "Passwords { count: 2 }");
    }

    #[test]
    fn a_file_that_locks_everybody_out_is_refused() {
        assert_eq!(Passwords::parse("\n\n").err(), Some(PasswordsError::Empty));
        assert_eq!(
            Passwords::parse("a\nsha256:12").err(),
            Some(PasswordsError::BadDigest { line: 2 })
        );
        assert_eq!(Passwords::parse(&"x\n".repeat(65)).err(), Some(PasswordsError::TooMany));
    }

    #[test]
    fn without_passwords_nothing_is_required() {
        assert!(!Passwords::default().are_required());
    }
}

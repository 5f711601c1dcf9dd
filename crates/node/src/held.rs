//! The bytes that all connections together hold: of requests which are not complete, or of answers which are not sent.
//!
//! A connection holds what it received and could not execute (the beginning of a command, a body that is not streamed,
//! the commands of an open transaction, the keys that it watches), and what its client does not take. Little is always
//! granted, so that nobody is shut out by others; more than [`FREE_LEN_MAX`] only while all connections together hold
//! less than the limit.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes that all connections hold together of requests, beyond what each has free.
pub const HELD_LEN_MAX: usize = 64 * 1024 * 1024;
/// What a connection may hold in any case, in bytes.
pub const FREE_LEN_MAX: usize = 64 * 1024;

/// The account of a node.
#[derive(Debug)]
pub struct Held {
    bytes: AtomicUsize,
    len_max: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self::new(HELD_LEN_MAX)
    }
}

impl Held {
    /// An account of at most `len_max` bytes beyond what each connection has free.
    #[must_use]
    pub const fn new(len_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), len_max }
    }

    /// Changes what one connection holds from `before` to `after` bytes; false, and it holds nothing any more, when
    /// that is too much.
    #[must_use]
    pub fn change(&self, before: usize, after: usize) -> bool {
        let beyond = |len: usize| len.saturating_sub(FREE_LEN_MAX);
        let (before, after) = (beyond(before), beyond(after));
        if before == after {
            return true;
        }
        let others = self.bytes.fetch_sub(before, Ordering::Relaxed) - before;
        if after > 0 && others.saturating_add(after) > self.len_max {
            return false;
        }
        self.bytes.fetch_add(after, Ordering::Relaxed);
        true
    }

    /// What is held beyond what is free, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_always_granted_and_much_only_while_there_is_room() {
        let held = Held::default();
        assert!(held.change(0, FREE_LEN_MAX));
        assert_eq!(held.bytes(), 0);
        assert!(held.change(0, FREE_LEN_MAX + HELD_LEN_MAX));
        assert!(held.change(0, FREE_LEN_MAX));
        assert!(!held.change(FREE_LEN_MAX, FREE_LEN_MAX + 1));
        assert!(held.change(FREE_LEN_MAX + HELD_LEN_MAX, 0));
        assert!(held.change(0, FREE_LEN_MAX + 1));
        assert_eq!(held.bytes(), 1);
    }
}

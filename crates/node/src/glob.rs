//! Patterns of `KEYS`, `SCAN MATCH` and `CONFIG GET`, as Redis understands them (`stringmatchlen` in `util.c`):
//! `*` any bytes, `?` one byte, `[abc]`, `[a-z]`, `[^a]` one byte of a set, `\` takes the next byte as it is.
//!
//! A `*` that turns out wrong is tried again one byte later, and only the last one: the cost is at most the product of
//! the two lengths, where Redis's recursion grows exponentially with the number of stars. So that the product stays small
//! as well, a pattern has at most [`PATTERN_LEN_MAX`] bytes.

/// The longest pattern, in bytes; a longer one is refused. It is matched with every key there is.
pub const PATTERN_LEN_MAX: usize = 4 * 1024;

/// A pattern.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'p>(&'p [u8]);

/// A pattern of more than [`PATTERN_LEN_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternTooLong {
    /// Its length, in bytes.
    pub len: usize,
    /// The greatest length, in bytes.
    pub max: usize,
}

impl<'p> Pattern<'p> {
    /// The pattern that `text` writes down.
    ///
    /// # Errors
    ///
    /// [`PatternTooLong`]
    pub const fn new(text: &'p [u8]) -> Result<Self, PatternTooLong> {
        if text.len() > PATTERN_LEN_MAX {
            return Err(PatternTooLong { len: text.len(), max: PATTERN_LEN_MAX });
        }
        Ok(Self(text))
    }

    /// Whether it matches all of `text`.
    #[must_use]
    pub fn matches(self, text: &[u8]) -> bool {
        matches(self.0, text)
    }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not match: the pattern behind it, the text it began with.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        match text.get(t) {
            None if p == pattern.len() => return true,
            // The text is over and the pattern is not: a longer run of the last star leaves even less text.
            None => return false,
            Some(&byte) => {
                if let Some(next) = one(pattern, p, byte) {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
        }
        let Some((after, from)) = star else { return false };
        star = Some((after, from + 1));
        (p, t) = (after, from + 1);
    }
}

/// Matches one byte with the element of the pattern at `p`, which is no star; where the next element begins.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => set(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        plain => (plain == byte).then_some(p + 1),
    }
}

/// Matches one byte with the set whose first member is at `p`; an unclosed set ends with the pattern.
fn set(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let is_negated = pattern.get(p) == Some(&b'^');
    p += usize::from(is_negated);
    let mut is_member = false;
    while let Some(&member) = pattern.get(p) {
        match (member, pattern.get(p + 1), pattern.get(p + 2)) {
            (b']', _, _) => {
                p += 1;
                break;
            }
            (b'\\', Some(&escaped), _) => {
                is_member |= escaped == byte;
                p += 2;
            }
            (first, Some(b'-'), Some(&last)) => {
                is_member |= (first.min(last)..=first.max(last)).contains(&byte);
                p += 3;
            }
            (member, _, _) => {
                is_member |= member == byte;
                p += 1;
            }
        }
    }
    (is_member != is_negated).then_some(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, is_match) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "anything", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*b*b*", "abcb", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("\\*x", "*x", true),
            ("\\*x", "ax", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("a\\", "a\\", true),
            ("key:*:x", "key:1:2:x", true),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let read = Pattern::new(pattern.as_bytes()).expect("it is short");
            assert_eq!(read.matches(text.as_bytes()), is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_is_bounded() {
        assert!(Pattern::new(&[b'['; PATTERN_LEN_MAX]).is_ok());
        let refused = Pattern::new(&[b'['; PATTERN_LEN_MAX + 1]).err();
        assert_eq!(refused, Some(PatternTooLong { len: 4097, max: 4096 }));
    }
}

//! Inline commands: words on a line, for people at a terminal.
//!
//! The rules are those of Redis (`sdssplitargs` in `sds.c`): words stand between white space; within double quotes
//! `\n \r \t \b \a \xHH` mean what they mean in C and a backslash takes the next byte as it is; within single quotes only
//! `\'` is special; a closing quote ends its word.

use alloc::vec::Vec;
use core::ops::Range;

use super::decode::DecodeError;

/// Splits `line` (without its line break) into words: their bytes are appended to `text`, their places in it to `args`.
///
/// # Errors
///
/// [`DecodeError::UnbalancedQuotes`]; `text` and `args` may hold words of the line then.
pub fn words(
    line: &[u8],
    text: &mut Vec<u8>,
    args: &mut Vec<Range<usize>>,
) -> Result<(), DecodeError> {
    // A zero byte ends the line there, since Redis reads it as a string of C.
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let start = text.len();
        rest = word(rest, text)?.trim_ascii_start();
        args.push(start..text.len());
    }
    Ok(())
}

/// Appends the word that `rest` begins with; what follows it.
fn word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
    loop {
        match rest {
            [] => return Ok(rest),
            [byte, ..] if byte.is_ascii_whitespace() => return Ok(rest),
            [b'"', quoted @ ..] => return closed(double_quoted(quoted, text)?),
            [b'\'', quoted @ ..] => return closed(single_quoted(quoted, text)?),
            [byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
        }
    }
}

/// What follows a closing quote, which must end the word.
fn closed(rest: &[u8]) -> Result<&[u8], DecodeError> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(DecodeError::UnbalancedQuotes),
        Some(_) | None => Ok(rest),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(DecodeError::UnbalancedQuotes),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                let digits = hex(*high).zip(hex(*low));
                (digits.map_or(0, |(high, low)| high << 4 | low), after)
            }
            [b'\\', escaped, after @ ..] => (unescaped(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        text.push(byte);
        rest = after;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(DecodeError::UnbalancedQuotes),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        text.push(byte);
        rest = after;
    }
}

const fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(digit.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

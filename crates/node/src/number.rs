//! Numbers as RESP clients write them.

/// Reads a signed 64-bit integer exactly as Redis does (`string2ll`): no sign `+`, no spaces, no leading zeros,
/// no `-0`.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!is_negative).then_some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    digits.iter().try_fold(0i64, |number, byte| {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        let shifted = number.checked_mul(10)?;
        if is_negative { shifted.checked_sub(digit) } else { shifted.checked_add(digit) }
    })
}

/// Reads an unsigned integer of decimal digits.
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Reads a finite floating-point number.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.is_empty()
        || text.starts_with(char::is_whitespace)
        || text.ends_with(char::is_whitespace)
    {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| !number.is_nan())
}

/// Writes a number as INCRBYFLOAT stores it: decimal, never an exponent, at most 17 digits behind the point, no
/// trailing zeros.
#[must_use]
pub fn format_f64(number: f64) -> String {
    let mut text = format!("{number:.17}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    let shortest = format!("{number}");
    let text = if shortest.len() < text.len() { shortest } else { text };
    if text == "-0" { "0".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_redis_reads_them() {
        for (text, number) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), number, "{text}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
    }

    #[test]
    fn floats_are_written_without_exponent_or_noise() {
        for (number, text) in
            [(10.6, "10.6"), (5000.0, "5000"), (0.1 + 0.2, "0.30000000000000004"), (-0.0, "0")]
        {
            assert_eq!(format_f64(number), text);
        }
    }

    #[test]
    fn floats_with_spaces_or_nan_are_refused() {
        assert_eq!(parse_f64(b"3.0e3"), Some(3000.0));
        for text in ["", " 1", "1 ", "nan", "x"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }
}

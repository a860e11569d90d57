//! Durations as people write them: `30m`, `1h`, `2h30m`, `24h`, `500ms`.

use std::fmt::Write;
use std::time::Duration;

/// The longest duration that is accepted: a year.
const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);

/// From the largest to the smallest, the order in which they must be written.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It has another form.
    #[error("a duration is written like 30m, 1h, 2h30m, 24h or 500ms")]
    Malformed,
    /// It is a number without a unit.
    #[error("a duration needs a unit: ms, s, m, h or d, as in 30m")]
    MissingUnit,
    /// It is zero.
    #[error("a duration must be longer than nothing")]
    Zero,
    /// It is too long.
    #[error("a duration is at most 366d")]
    TooLong,
}

/// Parses a duration: numbers with the units `d`, `h`, `m`, `s` and `ms`, the larger first, each at most once.
///
/// # Errors
/// If the form is wrong, or if the duration is zero or more than a year.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut millis = 0_u64;
    while !rest.is_empty() || units.len() == UNITS.len() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return Err(DurationError::Malformed);
        }
        if unit.is_empty() {
            return Err(if after.is_empty() { DurationError::MissingUnit } else { DurationError::Malformed });
        }
        // `find` moves the iterator on, so a repeated or larger unit isn't found any more.
        let (_, each) = units.find(|(name, _)| *name == unit).ok_or(DurationError::Malformed)?;
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        millis = number
            .checked_mul(*each)
            .and_then(|part| millis.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = after;
    }
    match Duration::from_millis(millis) {
        Duration::ZERO => Err(DurationError::Zero),
        length if length > MAX_DURATION => Err(DurationError::TooLong),
        length => Ok(length),
    }
}

/// Formats a duration for [`parse_duration`], to the millisecond.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    // A day is written as 24h, as people say it of a grant.
    for (unit, each) in &UNITS[1..] {
        if left >= *each {
            write!(text, "{}{unit}", left / each).expect("a String takes everything");
            left %= each;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        let millis = |text: &str| parse_duration(text).map(|length| length.as_millis());
        assert_eq!(millis("30m"), Ok(1_800_000));
        assert_eq!(millis("2h30m"), Ok(9_000_000));
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("1m500ms"), Ok(60_500));
        assert_eq!(millis("1d"), Ok(86_400_000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "m", "1.5h", "-1h", "1h ", " 1h", "30m1h", "1h1h", "1w", "1H", "١h"] {
            assert_eq!(parse_duration(text), Err(DurationError::Malformed), "{text:?}");
        }
        assert_eq!(parse_duration("30"), Err(DurationError::MissingUnit));
        assert_eq!(parse_duration("1h30"), Err(DurationError::MissingUnit));
        assert_eq!(parse_duration("0m"), Err(DurationError::Zero));
        for text in ["367d", "99999999999999999999h", "18446744073709551615ms"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["500ms", "1s500ms", "2h30m", "24h", "1h1m1s1ms"] {
            assert_eq!(format_duration(parse_duration(text).expect(text)), text);
        }
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }
}

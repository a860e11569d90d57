//! A typed time: an age, a point in time, or a time on this machine's clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use portero::config::duration;

/// A time as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeArg {
    /// An age: `2h`.
    Ago(Duration),
    /// A point in time: `2026-11-20T10:00Z`, `2026-11-20T10:00+01:00`.
    At(Timestamp),
    /// A time on this machine's clock: `2026-11-20T10:00`, `2026-11-20`.
    Local(DateTime),
}

/// The text isn't a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidTime;

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a time is written like 2h (so long ago), 2026-11-20, 2026-11-20T10:00 or 2026-11-20T10:00Z",
        )
    }
}

impl std::error::Error for InvalidTime {}

impl FromStr for TimeArg {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        // The order matters: a timestamp with an offset also parses as a local time, which would ignore the
        // offset.
        duration::parse_duration(text)
            .map(Self::Ago)
            .or_else(|_| text.parse().map(Self::At))
            .or_else(|_| text.parse().map(Self::Local))
            .map_err(|_| InvalidTime)
    }
}

impl TimeArg {
    /// The point in time.
    pub(crate) fn resolve(self, now: Timestamp, here: TimeZone) -> Timestamp {
        match self {
            Self::Ago(long) => now.checked_sub(long).unwrap_or(Timestamp::MIN),
            Self::At(at) => at,
            Self::Local(civil) => civil.to_zoned(here).map_or(Timestamp::MIN, |at| at.timestamp()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_a_moment() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let berlin = || TimeZone::fixed(jiff::tz::offset(1));
        for (text, moment) in [
            ("2h", "2026-11-20T10:00:00Z"),
            ("2h30m", "2026-11-20T09:30:00Z"),
            ("2026-11-20T10:00", "2026-11-20T09:00:00Z"),
            ("2026-11-20 10:00:30", "2026-11-20T09:00:30Z"),
            ("2026-11-20", "2026-11-19T23:00:00Z"),
            ("2026-11-20T10:00Z", "2026-11-20T10:00:00Z"),
            ("2026-11-20 10:00:00.123Z", "2026-11-20T10:00:00.123Z"),
            ("2026-11-20T10:00+05:00", "2026-11-20T05:00:00Z"),
        ] {
            let when: TimeArg = text.parse().unwrap();
            assert_eq!(when.resolve(now, berlin()), moment.parse().unwrap(), "{text}");
        }
        for text in ["", "yesterday", "10:00", "2026-13-01", "2", "-2h"] {
            assert_eq!(text.parse::<TimeArg>(), Err(InvalidTime), "{text:?}");
        }
    }
}

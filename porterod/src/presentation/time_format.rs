//! Times in a person's own zone.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::{EscapedText, StyledText};

/// A time in the person's zone, with the date unless it is today.
#[must_use]
pub fn format_time(moment: Timestamp, now: Timestamp, zone: &TimeZone) -> StyledText {
    let (there, here) = (moment.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if there.date() == here.date() { "%H:%M %Z" } else { "%Y-%m-%d %H:%M %Z" };
    StyledText::new().code(&EscapedText::line(&there.strftime(format).to_string()))
}

/// A deadline and the time left.
#[must_use]
pub fn format_deadline(end: Timestamp, now: Timestamp, zone: &TimeZone) -> StyledText {
    let text = format_time(end, now, zone);
    match Duration::try_from(end.duration_since(now)) {
        Ok(left) if !left.is_zero() => text.literal(", in ").append(format_duration(left)),
        Ok(_) | Err(_) => text.literal(", which is over"),
    }
}

/// The time since a moment.
#[must_use]
pub fn format_age(then: Timestamp, now: Timestamp) -> StyledText {
    match Duration::try_from(now.duration_since(then)) {
        Ok(passed) => format_duration(passed).literal(" ago"),
        Err(_) => StyledText::new().literal("in the future"),
    }
}

/// A duration in two units at most: `2 h 30 min`.
#[must_use]
pub fn format_duration(duration: Duration) -> StyledText {
    let mut seconds = duration.as_secs();
    let (mut text, mut units) = (StyledText::new(), 0);
    // Two units suffice for a person, and a third one changes while they read.
    for (unit, length) in [(" d", 86_400), (" h", 3_600), (" min", 60), (" s", 1)] {
        if seconds >= length && units < 2 {
            text = if text.is_empty() { text } else { text.literal(" ") };
            text = text.number(seconds / length).literal(unit);
            (seconds, units) = (seconds % length, units + 1);
        }
    }
    if text.is_empty() { text.literal("0 s") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_persons_zone() {
        let moment = |text: &str| text.parse::<Timestamp>().expect("a time");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let now = moment("2026-11-20T22:30:00Z");
        let said = |end| format_deadline(moment(end), now, &zone).plain_text();
        assert_eq!(said("2026-11-20T22:35:30Z"), "23:35 +01, in 5 min 30 s");
        assert_eq!(said("2026-11-21T22:35:00Z"), "2026-11-21 23:35 +01, in 1 d 5 min");
        assert_eq!(said("2026-11-20T22:30:00Z"), "23:30 +01, which is over");
        assert_eq!(format_age(now, moment("2026-11-21T01:00:00Z")).plain_text(), "2 h 30 min ago");
        assert_eq!(format_age(now, moment("2026-11-20T22:29:00Z")).plain_text(), "in the future");
    }
}

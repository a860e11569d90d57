//! The daily message with the audit's head. It keeps the hash at a place that no process of this machine can
//! change (guarantee U2).
//!
//! A chain that is rewritten later can't have the hash that the person received.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use portero::audit::SegmentCheckpoint;

use super::super::text::{EscapedText, StyledText};

/// The hour of the person's day at which it is sent.
const DAILY_HOUR: i8 = 18;

/// The last day whose hour has passed, and the time of that hour.
#[must_use]
pub fn last_due_day(now: Timestamp, zone: &TimeZone) -> Option<(Date, Timestamp)> {
    let today = now.to_zoned(zone.clone()).date();
    // Before today's hour the last due day is yesterday, so a daemon that was off catches up with one
    // message.
    [today, today.yesterday().ok()?].into_iter().find_map(|day| {
        let hour = day.at(DAILY_HOUR, 0, 0, 0).to_zoned(zone.clone()).ok()?.timestamp();
        (hour <= now).then_some((day, hour))
    })
}

/// How far the daemon's own records came on this day, in words that can be compared later.
pub(crate) fn audit_head_text(head: &SegmentCheckpoint, day: Date) -> StyledText {
    let code = |text: &str| EscapedText::line(text);
    StyledText::new()
        .bold("The audit of this day")
        .literal(", ")
        .code(&code(&day.to_string()))
        .literal(": record ")
        .number(head.seq)
        .literal(" of ")
        .code(&code(&head.segment))
        .literal(" has the hash ")
        .code(&code(&head.hash))
        .literal("\nTo compare later, in the folder of the audit: ")
        .code(&code(&format!("grep -c 'hash\":\"{}' {}", head.hash, head.segment)))
        .literal(" says 1, and ")
        .code(&code("portero logs verify"))
        .literal(" that the chain holds.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_told_from_its_evening_on() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let told = |now: &str| last_due_day(now.parse().unwrap(), &zone).unwrap().0.to_string();
        assert_eq!(told("2026-11-20T16:59:59Z"), "2026-11-19");
        assert_eq!(told("2026-11-20T17:00:00Z"), "2026-11-20");
        assert_eq!(told("2026-11-21T03:00:00Z"), "2026-11-20");
    }
}

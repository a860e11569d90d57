//! Calendar events, as Google's Calendar API and its servers (`create-event`, `manage_event`) and Microsoft's
//! take them.

use serde_json::value::RawValue;

use super::super::text::{Shown, Text};
use super::value::{as_json, as_text, texts_only};
use super::{Open, mail};

const START: [&str; 6] = ["start", "start_time", "startTime", "start_datetime", "startDateTime", "dtstart"];
const END: [&str; 6] = ["end", "end_time", "endTime", "end_datetime", "endDateTime", "dtend"];
const TITLE: [&str; 4] = ["summary", "title", "subject", "name"];

pub(super) fn fits(open: &Open<'_>) -> bool {
    let named = open.is_named(&["calendar", "event", "meeting"]);
    open.has(&START) && (open.has(&END) || open.has(&TITLE))
        || named && open.has(&["event_id", "eventId", "calendar_id", "calendarId"])
}

pub(super) fn read(open: &mut Open<'_>) {
    open.take("Action", &["action", "operation"], as_text);
    open.take("Title", &TITLE, as_text);
    open.take("Starts", &START, time);
    open.take("Ends", &END, time);
    open.take("Time zone", &["timeZone", "timezone", "time_zone"], as_text);
    open.take("Repeats", &["recurrence", "rrule"], as_text);
    open.take("Where", &["location"], as_text);
    open.take("Attendees", &["attendees", "guests"], mail::addresses);
    open.take("Tells them", &["sendUpdates", "send_updates", "sendNotifications"], as_text);
    open.take("Description", &["description", "body", "notes"], as_text);
    open.take("Calendar", &["calendarId", "calendar_id", "calendar"], as_text);
    open.take("Event", &["eventId", "event_id"], as_text);
}

/// A time, or Google's object of a time and its zone.
fn time(value: &RawValue) -> Text {
    let Some(parts) = texts_only(value, &["dateTime", "date", "timeZone"]) else {
        return if value.get().starts_with('{') { as_json(value) } else { as_text(value) };
    };
    let part = |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| Shown::line(text));
    let text = match (part("date"), part("dateTime")) {
        (Some(day), None) => Text::new().words("all day ").code(&day),
        (None, Some(time)) => Text::new().code(&time),
        (Some(_), Some(_)) | (None, None) => return as_json(value),
    };
    match part("timeZone") {
        Some(zone) => text.words(" in the zone ").code(&zone),
        None => text,
    }
}

//! Calendar events, as Google's Calendar API and its servers (`create-event`, `manage_event`) and Microsoft's
//! take them.

use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};
use super::value::{as_json, as_text, text_members};
use super::{ArgumentReader, mail};

const START_KEYS: [&str; 6] =
    ["start", "start_time", "startTime", "start_datetime", "startDateTime", "dtstart"];
const END_KEYS: [&str; 6] = ["end", "end_time", "endTime", "end_datetime", "endDateTime", "dtend"];
const TITLE_KEYS: [&str; 4] = ["summary", "title", "subject", "name"];

pub(super) fn matches_call(open: &ArgumentReader<'_>) -> bool {
    let named = open.name_contains(&["calendar", "event", "meeting"]);
    open.has_any(&START_KEYS) && (open.has_any(&END_KEYS) || open.has_any(&TITLE_KEYS))
        || named && open.has_any(&["event_id", "eventId", "calendar_id", "calendarId"])
}

pub(super) fn take_known_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("Action", &["action", "operation"], as_text);
    open.take_field("Title", &TITLE_KEYS, as_text);
    open.take_field("Starts", &START_KEYS, time_text);
    open.take_field("Ends", &END_KEYS, time_text);
    open.take_field("Time zone", &["timeZone", "timezone", "time_zone"], as_text);
    open.take_field("Repeats", &["recurrence", "rrule"], as_text);
    open.take_field("Where", &["location"], as_text);
    open.take_field("Attendees", &["attendees", "guests"], mail::address_list_text);
    open.take_field("Tells them", &["sendUpdates", "send_updates", "sendNotifications"], as_text);
    open.take_field("Description", &["description", "body", "notes"], as_text);
    open.take_field("Calendar", &["calendarId", "calendar_id", "calendar"], as_text);
    open.take_field("Event", &["eventId", "event_id"], as_text);
}

/// A time, or Google's object of a time and its zone.
fn time_text(value: &RawValue) -> StyledText {
    let Some(parts) = text_members(value, &["dateTime", "date", "timeZone"]) else {
        return if value.get().starts_with('{') { as_json(value) } else { as_text(value) };
    };
    let part =
        |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| EscapedText::line(text));
    let text = match (part("date"), part("dateTime")) {
        (Some(day), None) => StyledText::new().literal("all day ").code(&day),
        (None, Some(time)) => StyledText::new().code(&time),
        (Some(_), Some(_)) | (None, None) => return as_json(value),
    };
    match part("timeZone") {
        Some(zone) => text.literal(" in the zone ").code(&zone),
        None => text,
    }
}

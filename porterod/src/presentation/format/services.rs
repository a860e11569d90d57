//! Formatters for common services: payments, GitHub, calendars, e-mail.

use portero::json;
use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};
use super::value::{array_elements, as_json, as_text, fit_in_line, join_texts, text_members};
use super::{ArgumentReader, CallField, FieldLabel, money};

const AMOUNT_KEYS: [&str; 5] =
    ["amount", "unit_amount", "amount_off", "amount_to_capture", "application_fee_amount"];

/// Payments, as Stripe's agent toolkit takes them (`create_refund`, `create_price`, `create_payment_link`,
/// `create_invoice_item`, `create_coupon`).
pub(super) fn matches_payment(open: &ArgumentReader<'_>) -> bool {
    open.name_contains(&["stripe"])
        || open.has_any(&AMOUNT_KEYS) && open.has_any(&["currency"])
        || open.has_any(&["payment_intent"]) && open.has_any(&AMOUNT_KEYS)
}

pub(super) fn take_payment_fields(open: &mut ArgumentReader<'_>) {
    // The currency is read before its field is taken.
    let currency = open.last_value("currency").and_then(json::as_text).map(std::borrow::Cow::into_owned);
    let amount = |value: &RawValue| amount_text(value, currency.as_deref());
    open.take_field("Amount", &["amount", "amount_to_capture"], amount);
    open.take_field("Unit amount", &["unit_amount"], amount);
    open.take_field("Amount off", &["amount_off"], amount);
    open.take_field("Fee", &["application_fee_amount"], amount);
    open.take_field("Percent off", &["percent_off"], as_text);
    open.take_field("Currency", &["currency"], as_text);
    open.take_field("Payment", &["payment_intent", "charge"], as_text);
    open.take_field("Customer", &["customer"], as_text);
    open.take_field("E-mail", &["email"], as_text);
    open.take_field("Name", &["name"], as_text);
    open.take_field("Product", &["product"], as_text);
    open.take_field("Price", &["price"], as_text);
    open.take_field("Quantity", &["quantity"], as_text);
    open.take_field("Invoice", &["invoice"], as_text);
    open.take_field("Subscription", &["subscription"], as_text);
    open.take_field("Reason", &["reason"], as_text);
    open.take_field("Description", &["description"], as_text);
}

/// An amount in whole units, followed by the sent number.
fn amount_text(value: &RawValue, currency: Option<&str>) -> StyledText {
    let text = json::as_text(value);
    let number = text.as_deref().unwrap_or(value.get());
    match currency.and_then(|currency| money::format_amount(number, currency)) {
        Some(spoken) => {
            StyledText::new().code(&EscapedText::line(&spoken)).literal(", sent as ").append(as_text(value))
        }
        // A bare number is not converted: its factor depends on a currency that the call does not have.
        None if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            as_text(value).literal(" in the smallest unit of its currency, which the call does not tell")
        }
        None => as_text(value),
    }
}

/// GitHub, as `github-mcp-server` takes it (`create_issue`, `create_pull_request`, `push_files`,
/// `create_or_update_file`, `merge_pull_request`).
pub(super) fn matches_github(open: &ArgumentReader<'_>) -> bool {
    open.has_any(&["owner"]) && open.has_any(&["repo"])
        || open.name_contains(&["github"]) && open.has_any(&["repo", "repository", "full_name"])
}

pub(super) fn take_github_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("Owner", &["owner", "organization"], as_text);
    open.take_field("Repository", &["repo", "repository", "full_name"], as_text);
    open.take_field("Does", &["method", "event", "state", "merge_method"], as_text);
    open.take_field("Number", &["issue_number", "pullNumber", "pull_number", "issueNumber"], as_text);
    open.take_field("Title", &["title"], as_text);
    open.take_field("From", &["head", "from_branch"], as_text);
    open.take_field("Into", &["base"], as_text);
    open.take_field("Branch", &["branch", "ref"], as_text);
    open.take_field("Labels", &["labels"], as_text);
    open.take_field("Assignees", &["assignees", "reviewers"], as_text);
    open.take_field("Draft", &["draft"], as_text);
    open.take_field("Commit message", &["message", "commit_message", "commit_title"], as_text);
    open.take_field("Path", &["path"], as_text);
    open.take_field("Body", &["body", "comment"], as_text);
    open.take_field("Content", &["content"], as_text);
    open.take_many_fields(&["files"], file_fields);
}

/// The files of one commit, each with path and whole content.
fn file_fields(value: &RawValue) -> Vec<CallField> {
    let Some(files) = array_elements(value).filter(|files| !files.is_empty()) else {
        return vec![CallField { label: FieldLabel::Own("Files"), value: as_text(value) }];
    };
    let numbered = |(index, file): (usize, &&RawValue)| CallField {
        label: FieldLabel::Numbered("File", index + 1),
        value: file_text(file).unwrap_or_else(|| as_json(file)),
    };
    files.iter().enumerate().map(numbered).collect()
}

fn file_text(file: &RawValue) -> Option<StyledText> {
    let parts = text_members(file, &["path", "content"])?;
    let part = |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| text);
    let (path, content) = (part("path")?, part("content")?);
    let text = StyledText::new().code(&EscapedText::line(path));
    Some(if content.is_empty() { text.literal(" (empty)") } else { text.pre(&EscapedText::block(content)) })
}

const START_KEYS: [&str; 6] =
    ["start", "start_time", "startTime", "start_datetime", "startDateTime", "dtstart"];
const END_KEYS: [&str; 6] = ["end", "end_time", "endTime", "end_datetime", "endDateTime", "dtend"];
const TITLE_KEYS: [&str; 4] = ["summary", "title", "subject", "name"];

/// Calendar events, as Google's Calendar API and its servers (`create-event`, `manage_event`) and Microsoft's
/// take them.
pub(super) fn matches_calendar(open: &ArgumentReader<'_>) -> bool {
    let named = open.name_contains(&["calendar", "event", "meeting"]);
    open.has_any(&START_KEYS) && (open.has_any(&END_KEYS) || open.has_any(&TITLE_KEYS))
        || named && open.has_any(&["event_id", "eventId", "calendar_id", "calendarId"])
}

pub(super) fn take_calendar_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("Action", &["action", "operation"], as_text);
    open.take_field("Title", &TITLE_KEYS, as_text);
    open.take_field("Starts", &START_KEYS, time_text);
    open.take_field("Ends", &END_KEYS, time_text);
    open.take_field("Time zone", &["timeZone", "timezone", "time_zone"], as_text);
    open.take_field("Repeats", &["recurrence", "rrule"], as_text);
    open.take_field("Where", &["location"], as_text);
    open.take_field("Attendees", &["attendees", "guests"], address_list_text);
    open.take_field("Tells them", &["sendUpdates", "send_updates", "sendNotifications"], as_text);
    open.take_field("Description", &["description", "body", "notes"], as_text);
    open.take_field("Calendar", &["calendarId", "calendar_id", "calendar"], as_text);
    open.take_field("Event", &["eventId", "event_id"], as_text);
}

/// A time, or Google's object with a time and a zone.
fn time_text(value: &RawValue) -> StyledText {
    let Some(parts) = text_members(value, &["dateTime", "date", "timeZone"]) else {
        return if value.get().starts_with('{') { as_json(value) } else { as_text(value) };
    };
    let part =
        |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| EscapedText::line(text));
    // An event has a day or a time; with both or none its meaning is unclear.
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

const RECIPIENT_KEYS: [&str; 6] =
    ["to", "recipients", "recipient", "toRecipients", "to_email", "to_recipients"];
const MAIL_BODY_KEYS: [&str; 8] =
    ["body", "text", "content", "message", "htmlBody", "html_body", "html", "plain_body"];

/// E-mail, as the servers for Gmail (`send_email`, `draft_email`), Google Workspace (`send_gmail_message`) and
/// Outlook take it.
pub(super) fn matches_mail(open: &ArgumentReader<'_>) -> bool {
    let named = open.name_contains(&["mail", "gmail", "outlook", "smtp"]);
    open.has_any(&RECIPIENT_KEYS) && (open.has_any(&["subject"]) || named && open.has_any(&MAIL_BODY_KEYS))
}

pub(super) fn take_mail_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("From", &["from", "from_email", "sender", "user_google_email"], as_text);
    open.take_field("To", &RECIPIENT_KEYS, address_list_text);
    open.take_field("Cc", &["cc", "ccRecipients", "cc_recipients"], address_list_text);
    open.take_field("Bcc", &["bcc", "bccRecipients", "bcc_recipients"], address_list_text);
    open.take_field("Reply to", &["replyTo", "reply_to"], address_list_text);
    open.take_field("Subject", &["subject"], as_text);
    open.take_field("Body", &MAIL_BODY_KEYS, as_text);
    open.take_field("Attachments", &["attachments"], as_text);
    open.take_field("Thread", &["threadId", "thread_id", "inReplyTo", "in_reply_to"], as_text);
}

/// Addresses in one line, if they are strings or objects with only an address.
fn address_list_text(value: &RawValue) -> StyledText {
    // An object with a name beside the address is shown as JSON, because the name may deceive.
    let address = |one: &&RawValue| match text_members(one, &["email", "address"])?.as_slice() {
        [(_, address)] => Some(address.clone()),
        _ => None,
    };
    let texts: Option<Vec<String>> = array_elements(value).and_then(|all| all.iter().map(address).collect());
    match texts {
        Some(texts) if fit_in_line(&texts) => join_texts(&texts),
        Some(_) | None => as_text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_more_than_a_path_and_content_is_shown_as_it_is() {
        let read = |text: &str| {
            let fields = file_fields(&json::parse_raw(text.to_owned()).expect("JSON"));
            fields.into_iter().map(|field| field.value.plain_text()).collect::<Vec<_>>()
        };
        assert_eq!(read(r#"[{"path":"a","content":"x"}]"#), ["a\nx"]);
        assert_eq!(read(r#"[{"path":"a","content":"x","mode":"100755"}]"#).len(), 1);
        assert!(read(r#"[{"path":"a","content":"x","mode":"100755"}]"#)[0].contains("100755"));
        assert_eq!(read("[]"), ["[]"]);
        assert!(read(r#"[{"path":"a","path":"b","content":"x"}]"#)[0].contains(r#""path": "a""#));
    }
}

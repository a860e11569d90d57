//! E-mail, as the servers for Gmail (`send_email`, `draft_email`), Google Workspace (`send_gmail_message`) and
//! Outlook take it.

use serde_json::value::RawValue;

use super::super::text::StyledText;
use super::ArgumentReader;
use super::value::{array_elements, as_text, fit_in_line, join_texts, text_members};

const RECIPIENT_KEYS: [&str; 6] =
    ["to", "recipients", "recipient", "toRecipients", "to_email", "to_recipients"];
const BODY_KEYS: [&str; 8] =
    ["body", "text", "content", "message", "htmlBody", "html_body", "html", "plain_body"];

pub(super) fn matches_call(open: &ArgumentReader<'_>) -> bool {
    let named = open.name_contains(&["mail", "gmail", "outlook", "smtp"]);
    open.has_any(&RECIPIENT_KEYS) && (open.has_any(&["subject"]) || named && open.has_any(&BODY_KEYS))
}

pub(super) fn take_known_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("From", &["from", "from_email", "sender", "user_google_email"], as_text);
    open.take_field("To", &RECIPIENT_KEYS, address_list_text);
    open.take_field("Cc", &["cc", "ccRecipients", "cc_recipients"], address_list_text);
    open.take_field("Bcc", &["bcc", "bccRecipients", "bcc_recipients"], address_list_text);
    open.take_field("Reply to", &["replyTo", "reply_to"], address_list_text);
    open.take_field("Subject", &["subject"], as_text);
    open.take_field("Body", &BODY_KEYS, as_text);
    open.take_field("Attachments", &["attachments"], as_text);
    open.take_field("Thread", &["threadId", "thread_id", "inReplyTo", "in_reply_to"], as_text);
}

/// Addresses side by side, whether they are texts or objects that hold nothing else.
pub(super) fn address_list_text(value: &RawValue) -> StyledText {
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

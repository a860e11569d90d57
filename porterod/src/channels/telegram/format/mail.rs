//! E-mail, as the servers for Gmail (`send_email`, `draft_email`), Google Workspace (`send_gmail_message`) and
//! Outlook take it.

use serde_json::value::RawValue;

use super::super::text::Text;
use super::Open;
use super::value::{as_text, elements, is_short, side_by_side, texts_only};

const TO: [&str; 6] = ["to", "recipients", "recipient", "toRecipients", "to_email", "to_recipients"];
const BODY: [&str; 8] = ["body", "text", "content", "message", "htmlBody", "html_body", "html", "plain_body"];

pub(super) fn fits(open: &Open<'_>) -> bool {
    let named = open.is_named(&["mail", "gmail", "outlook", "smtp"]);
    open.has(&TO) && (open.has(&["subject"]) || named && open.has(&BODY))
}

pub(super) fn read(open: &mut Open<'_>) {
    open.take("From", &["from", "from_email", "sender", "user_google_email"], as_text);
    open.take("To", &TO, addresses);
    open.take("Cc", &["cc", "ccRecipients", "cc_recipients"], addresses);
    open.take("Bcc", &["bcc", "bccRecipients", "bcc_recipients"], addresses);
    open.take("Reply to", &["replyTo", "reply_to"], addresses);
    open.take("Subject", &["subject"], as_text);
    open.take("Body", &BODY, as_text);
    open.take("Attachments", &["attachments"], as_text);
    open.take("Thread", &["threadId", "thread_id", "inReplyTo", "in_reply_to"], as_text);
}

/// Addresses side by side, whether they are texts or objects that hold nothing else.
pub(super) fn addresses(value: &RawValue) -> Text {
    let address = |one: &&RawValue| match texts_only(one, &["email", "address"])?.as_slice() {
        [(_, address)] => Some(address.clone()),
        _ => None,
    };
    let texts: Option<Vec<String>> = elements(value).and_then(|all| all.iter().map(address).collect());
    match texts {
        Some(texts) if is_short(&texts) => side_by_side(&texts),
        Some(_) | None => as_text(value),
    }
}

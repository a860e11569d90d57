//! What a person is told that is no task: alarms, a pause, an edit of the configuration that waits or has errors.
//!
//! What comes within a while is one message, so that whoever makes it come again and again cannot flood the chat.
//! It is acknowledged once it is sent: after a crash it may be told twice, under its cause.

use std::time::Duration;

use portero::notice::{AlarmKind, ConfigAdoption, Notice, NoticeEntry};

use super::super::client::ChatId;
use super::super::notice_consumer::has_no_recipient;
use super::super::sender::{DeliveryError, MessageKey, OutgoingMessage, SendPriority, TelegramSender};
use super::super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText};
use super::{CommandHandler, undeliverable};
use crate::auth::pairing::AuthorizedChat;
use crate::store::StoreError;

/// The channel's name in the outbox.
const OUTBOX_CHANNEL: &str = "telegram-news";
/// How much of one message is news; the rest is counted.
const MAX_NEWS_UNITS: usize = 3000;
/// How much of one notice's own words stands in it, in characters.
const MAX_ALARM_CHARS: usize = 600;
/// How long to wait before trying again what failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl CommandHandler {
    /// Tells what is news, until the daemon is to end; after each message it gathers for a while. The composition
    /// root spawns it.
    pub async fn run_news(self, gather: Duration) {
        let telling = async {
            let (mut changes, mut links) = (self.daemon.outbox.subscribe(), self.link.subscribe());
            loop {
                let link = links.borrow_and_update().clone();
                match self.send_pending_news(link.as_ref()).await {
                    Ok(true) => {
                        tokio::time::sleep(gather).await;
                        continue;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(%error, "news for Telegram waits");
                        tokio::time::sleep(RETRY_INTERVAL).await;
                        continue;
                    }
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = links.changed() => {}
                }
            }
        };
        self.daemon.stop.run_until_cancelled(telling).await;
    }

    /// Tells what there is, in one message, and whether it did.
    async fn send_pending_news(
        &self,
        link: Option<&(TelegramSender, AuthorizedChat)>,
    ) -> Result<bool, StoreError> {
        let outbox = &self.daemon.outbox;
        let Some((courier, circle)) = link else {
            if has_no_recipient(&self.daemon) {
                outbox.unregister_channel(OUTBOX_CHANNEL).await?;
            }
            return Ok(false);
        };
        outbox.register_channel(OUTBOX_CHANNEL).await?;
        let entries = outbox.next_entries(OUTBOX_CHANNEL)?;
        let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(false) };
        let Some(text) = news_text(&entries) else {
            outbox.acknowledge(OUTBOX_CHANNEL, last).await?;
            return Ok(false);
        };
        let Some(message) = text.fit_message(MAX_MESSAGE_UNITS) else { return Ok(false) };
        let cause = MessageKey::new("news", last);
        let (chat, letter) = (ChatId(circle.chat()), OutgoingMessage::Text(message, None));
        let sent = courier.send(chat, letter, SendPriority::Notice, cause.clone()).outcome().await;
        match sent {
            Err(DeliveryError::Refused(refusal)) => {
                if refusal.concerns_message() {
                    undeliverable::send_undeliverable_note(courier, chat.into(), &cause);
                }
                outbox.acknowledge(OUTBOX_CHANNEL, last).await?;
            }
            Ok(_) => outbox.acknowledge(OUTBOX_CHANNEL, last).await?,
            // It is told with the next message, or on the next link.
            Err(DeliveryError::Unreachable | DeliveryError::Dropped | DeliveryError::Closed) => {}
        }
        Ok(true)
    }
}

/// One message of all that; none where there is no news in it.
fn news_text(entries: &[NoticeEntry]) -> Option<StyledText> {
    let news = entries.iter().filter_map(|entry| notice_text(&entry.notice));
    let (mut text, mut more) = (StyledText::new(), 0);
    for line in news {
        let longer = text.clone().on_new_line().append(line);
        if longer.utf16_len() > MAX_NEWS_UNITS {
            more += 1;
        } else {
            text = longer;
        }
    }
    if more > 0 {
        text = text
            .on_new_line()
            .literal("and ")
            .number(more)
            .literal(" more, which ")
            .command("logs")
            .literal(" shows");
    }
    (!text.is_empty()).then_some(text)
}

fn notice_text(notice: &Notice) -> Option<StyledText> {
    let text = StyledText::new();
    Some(match notice {
        // A card shows the one, and whoever made or ended the others was told of it then.
        Notice::Task { .. }
        | Notice::Vote { .. }
        | Notice::Grant { .. }
        | Notice::Rule { .. }
        | Notice::Resumed => return None,
        Notice::Paused => {
            text.bold("Everything is paused").literal(": no call runs until ").command("resume")
        }
        Notice::Config { became, edits, .. } => append_edit_count(config_notice_text(text, *became)?, *edits),
        Notice::Alarm { alarm, about } => {
            let (about, whole) = EscapedText::line(about.get()).truncated(MAX_ALARM_CHARS);
            let text =
                text.bold("ALARM").literal(", ").literal(alarm_title(*alarm)).literal(": ").code(&about);
            if whole {
                text
            } else {
                text.literal("… and so on; all of it is on the terminal: ")
                    .code(&EscapedText::line("portero logs"))
            }
        }
    })
}

/// Edits that came one after the other are told together.
fn append_edit_count(text: StyledText, edits: u64) -> StyledText {
    if edits > 1 {
        text.literal(" So it was with ").number(edits).literal(" edits since you were told.")
    } else {
        text
    }
}

fn config_notice_text(text: StyledText, became: ConfigAdoption) -> Option<StyledText> {
    let code = EscapedText::line;
    Some(match became {
        ConfigAdoption::Waits => text
            .bold("The configuration was edited")
            .literal(" so that it permits more. That is not in force. Look at it on the terminal with ")
            .code(&code("portero config diff"))
            .literal("; if it was you, ")
            .code(&code("portero config confirm"))
            .literal(" puts it in force."),
        ConfigAdoption::Adopted => {
            text.literal("The configuration was edited and is in force; it permits nothing new.")
        }
        ConfigAdoption::Refused => {
            text.literal("An edit of the configuration was refused; what was in force stays.")
        }
        ConfigAdoption::Invalid => text
            .bold("The configuration has errors")
            .literal("; what was in force stays. They are shown by ")
            .code(&code("portero check"))
            .literal("."),
    })
}

const fn alarm_title(alarm: AlarmKind) -> &'static str {
    match alarm {
        AlarmKind::Audit => "the audit",
        AlarmKind::Store => "the store",
        AlarmKind::Withheld => "a message was withheld",
        AlarmKind::Configuration => "the configuration",
        AlarmKind::Passphrase => "wrong passphrases or codes",
        AlarmKind::Lost => "what you should have been told",
    }
}

#[cfg(test)]
mod tests {
    use portero::anonymize::Fake;

    use super::*;

    fn alarm(about: &str) -> NoticeEntry {
        let about: Fake<String> = serde_json::from_value(about.into()).unwrap();
        let notice = Notice::Alarm { alarm: AlarmKind::Withheld, about };
        NoticeEntry { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, notice }
    }

    #[test]
    fn what_is_too_much_for_one_message_is_counted() {
        let entries: Vec<_> =
            (0..100).map(|number| alarm(&format!("{number} {}", "x".repeat(5000)))).collect();
        let text = news_text(&entries).unwrap();
        assert!(text.fit_message(MAX_MESSAGE_UNITS).is_some());
        assert!(
            text.plain_text().contains("0 xxx") && text.plain_text().contains("96 more"),
            "{}",
            text.plain_text()
        );
    }

    #[test]
    fn nothing_is_news_of_a_task() {
        let task = Notice::Task {
            task: portero::names::TaskId::fresh(),
            tool: "office/send".parse().unwrap(),
            state: portero::task::TaskState::Approved,
            by: "pid 1".to_owned(),
            note: None,
        };
        assert!(
            news_text(&[NoticeEntry { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, notice: task }]).is_none()
        );
    }
}

//! What a person is told that is no task: alarms, a pause, an edit of the configuration that waits or has errors.
//!
//! What comes within a while is one message, so that whoever makes it come again and again cannot flood the chat.
//! It is acknowledged once it is sent: after a crash it may be told twice, under its cause.

use std::time::Duration;

use portero::notice::{Adoption, Alarm, Entry, Notice};

use super::super::bot::ChatId;
use super::super::courier::{Cause, Courier, Letter, Rank, Undelivered};
use super::super::tell::no_bot;
use super::super::text::{MESSAGE_MOST, Shown, Text};
use super::{Talk, unshown};
use crate::pairing::Circle;
use crate::store::StoreError;

/// The channel's name in the outbox.
const CHANNEL: &str = "telegram-news";
/// How much of one message is news; the rest is counted.
const NEWS_MOST: usize = 3000;
/// How much of one notice's own words stands in it, in characters.
const ABOUT_MOST: usize = 600;
/// How long to wait before trying again what failed.
const AGAIN: Duration = Duration::from_secs(1);

impl Talk {
    /// Tells what is news, until the daemon is to end; after each message it gathers for a while. The composition
    /// root spawns it.
    pub async fn tell_news(self, gather: Duration) {
        let telling = async {
            let (mut changes, mut links) = (self.daemon.outbox.changes(), self.link.subscribe());
            loop {
                let link = links.borrow_and_update().clone();
                match self.news(link.as_ref()).await {
                    Ok(true) => {
                        tokio::time::sleep(gather).await;
                        continue;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(%error, "news for Telegram waits");
                        tokio::time::sleep(AGAIN).await;
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
    async fn news(&self, link: Option<&(Courier, Circle)>) -> Result<bool, StoreError> {
        let outbox = &self.daemon.outbox;
        let Some((courier, circle)) = link else {
            if no_bot(&self.daemon) {
                outbox.unregister(CHANNEL).await?;
            }
            return Ok(false);
        };
        outbox.register(CHANNEL).await?;
        let entries = outbox.next(CHANNEL)?;
        let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(false) };
        let Some(text) = told(&entries) else {
            outbox.acknowledge(CHANNEL, last).await?;
            return Ok(false);
        };
        let Some(message) = text.message(MESSAGE_MOST) else { return Ok(false) };
        let cause = Cause::new("news", last);
        let (chat, letter) = (ChatId(circle.chat()), Letter::Text(message, None));
        let sent = courier.send(chat, letter, Rank::Notice, cause.clone()).outcome().await;
        match sent {
            Err(Undelivered::Refused(refusal)) => {
                if refusal.is_of_the_message() {
                    unshown::tell(courier, chat.into(), &cause);
                }
                outbox.acknowledge(CHANNEL, last).await?;
            }
            Ok(_) => outbox.acknowledge(CHANNEL, last).await?,
            // It is told with the next message, or on the next link.
            Err(Undelivered::Unreachable | Undelivered::Dropped | Undelivered::Closed) => {}
        }
        Ok(true)
    }
}

/// One message of all that; none where there is no news in it.
fn told(entries: &[Entry]) -> Option<Text> {
    let news = entries.iter().filter_map(|entry| line(&entry.notice));
    let (mut text, mut more) = (Text::new(), 0);
    for line in news {
        let longer = text.clone().line().then(line);
        if longer.units() > NEWS_MOST {
            more += 1;
        } else {
            text = longer;
        }
    }
    if more > 0 {
        text = text.line().words("and ").count(more).words(" more, which ").command("logs").words(" shows");
    }
    (!text.is_empty()).then_some(text)
}

fn line(notice: &Notice) -> Option<Text> {
    let text = Text::new();
    Some(match notice {
        // A card shows the one, and whoever made or ended the others was told of it then.
        Notice::Task { .. }
        | Notice::Vote { .. }
        | Notice::Grant { .. }
        | Notice::Rule { .. }
        | Notice::Resumed => return None,
        Notice::Paused => text.bold("Everything is paused").words(": no call runs until ").command("resume"),
        Notice::Config { became, edits, .. } => counted(configured(text, *became)?, *edits),
        Notice::Alarm { alarm, about } => {
            let (about, whole) = Shown::line(about.get()).beginning(ABOUT_MOST);
            let text = text.bold("ALARM").words(", ").words(kind(*alarm)).words(": ").code(&about);
            if whole {
                text
            } else {
                text.words("… and so on; all of it is on the terminal: ").code(&Shown::line("portero logs"))
            }
        }
    })
}

/// Edits that came one after the other are told together.
fn counted(text: Text, edits: u64) -> Text {
    if edits > 1 {
        text.words(" So it was with ").count(edits).words(" edits since you were told.")
    } else {
        text
    }
}

fn configured(text: Text, became: Adoption) -> Option<Text> {
    let code = Shown::line;
    Some(match became {
        Adoption::Waits => text
            .bold("The configuration was edited")
            .words(" so that it permits more. That is not in force. Look at it on the terminal with ")
            .code(&code("portero config diff"))
            .words("; if it was you, ")
            .code(&code("portero config confirm"))
            .words(" puts it in force."),
        Adoption::Adopted => {
            text.words("The configuration was edited and is in force; it permits nothing new.")
        }
        Adoption::Refused => text.words("An edit of the configuration was refused; what was in force stays."),
        Adoption::Invalid => text
            .bold("The configuration has errors")
            .words("; what was in force stays. They are shown by ")
            .code(&code("portero check"))
            .words("."),
    })
}

const fn kind(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Audit => "the audit",
        Alarm::Store => "the store",
        Alarm::Withheld => "a message was withheld",
        Alarm::Configuration => "the configuration",
        Alarm::Passphrase => "wrong passphrases or codes",
        Alarm::Lost => "what you should have been told",
    }
}

#[cfg(test)]
mod tests {
    use portero::anonymize::Fake;

    use super::*;

    fn alarm(about: &str) -> Entry {
        let about: Fake<String> = serde_json::from_value(about.into()).unwrap();
        let notice = Notice::Alarm { alarm: Alarm::Withheld, about };
        Entry { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, notice }
    }

    #[test]
    fn what_is_too_much_for_one_message_is_counted() {
        let entries: Vec<_> =
            (0..100).map(|number| alarm(&format!("{number} {}", "x".repeat(5000)))).collect();
        let text = told(&entries).unwrap();
        assert!(text.message(MESSAGE_MOST).is_some());
        assert!(text.plain().contains("0 xxx") && text.plain().contains("96 more"), "{}", text.plain());
    }

    #[test]
    fn nothing_is_news_of_a_task() {
        let task = Notice::Task {
            task: portero::names::TaskId::fresh(),
            tool: "office/send".parse().unwrap(),
            state: portero::task::State::Approved,
            by: "pid 1".to_owned(),
            note: None,
        };
        assert!(told(&[Entry { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, notice: task }]).is_none());
    }
}

//! Tells what is no task: alarms, a pause, an edit of the configuration that waits or has errors.
//!
//! What comes within a while is one message, so that an agent that makes it come again and again cannot flood the chat.
//! It is acknowledged once it is sent: after a crash it may be told twice, under its cause.

use std::time::Duration;

use super::super::card_sync::ChatLink;
use super::super::notice_consumer::has_no_recipient;
use super::super::sender::{DeliveryError, MessageKey, OutgoingMessage, SendPriority};
use super::super::text::{MAX_MESSAGE_UNITS, ToMessages as _};
use super::{NoticeSender, send_undeliverable_note};
use crate::presentation::notices::news::news_text;
use crate::store::StoreError;

/// The channel's name in the outbox.
const OUTBOX_CHANNEL: &str = "telegram-news";
/// How much of one message is news; the rest is counted.
const MAX_NEWS_UNITS: usize = 3000;
/// How long to wait before trying again what failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl NoticeSender {
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
    async fn send_pending_news(&self, link: Option<&ChatLink>) -> Result<bool, StoreError> {
        let outbox = &self.daemon.outbox;
        let Some(link) = link else {
            if has_no_recipient(&self.daemon) {
                outbox.unregister_channel(OUTBOX_CHANNEL).await?;
            }
            return Ok(false);
        };
        outbox.register_channel(OUTBOX_CHANNEL).await?;
        let entries = outbox.next_entries(OUTBOX_CHANNEL)?;
        let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(false) };
        let Some(text) = news_text(&entries, |text| text.fit_message(MAX_NEWS_UNITS).is_some()) else {
            outbox.acknowledge(OUTBOX_CHANNEL, last).await?;
            return Ok(false);
        };
        let Some(message) = text.fit_message(MAX_MESSAGE_UNITS) else { return Ok(false) };
        let cause = MessageKey::new("news", last);
        let (chat, letter) = (link.chat(), OutgoingMessage::Text(message, None));
        let sent = link.sender.send(chat, letter, SendPriority::Notice, cause.clone()).outcome().await;
        match sent {
            Err(DeliveryError::Refused(refusal)) => {
                if refusal.concerns_message() {
                    send_undeliverable_note(&link.sender, chat.into(), &cause);
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

//! Reports anything but tasks: alarms, a pause, an edit of the configuration that waits or has errors.
//!
//! Notices within a window share one message, so an agent that causes many can't flood the chat. They are
//! acknowledged once the message is sent; after a crash it may be sent twice under the same key.

use std::time::Duration;

use super::super::chat_link::ChatLink;
use super::super::notice_consumer::has_no_recipient;
use super::super::sender::{DeliveryError, MessageKey, OutgoingMessage, SendPriority};
use super::super::text::{MAX_MESSAGE_UNITS, ToMessages as _};
use super::{NoticeSender, send_undeliverable_note};
use crate::presentation::notices::news::news_text;
use crate::store::StoreError;

/// The channel's name in the outbox.
const OUTBOX_CHANNEL: &str = "telegram-news";
/// How many units of a message are news; further notices are counted.
const MAX_NEWS_UNITS: usize = 3000;
/// How long to wait before retrying after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl NoticeSender {
    /// Reports news until the daemon ends, and gathers for a window after each message. The composition root
    /// spawns it.
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
        self.daemon.lifecycle.stop_signal().run_until_cancelled(telling).await;
    }

    /// Sends all news in one message, and returns whether it did.
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
        let (chat, outgoing) = (link.chat(), OutgoingMessage::Text(message, None));
        let sent = link.sender.send(chat, outgoing, SendPriority::Notice, cause.clone()).outcome().await;
        match sent {
            Err(DeliveryError::Refused(refusal)) => {
                if refusal.concerns_message() {
                    send_undeliverable_note(&link.sender, chat.into(), &cause);
                }
                outbox.acknowledge(OUTBOX_CHANNEL, last).await?;
            }
            Ok(_) => outbox.acknowledge(OUTBOX_CHANNEL, last).await?,
            // The notices stay in the outbox, and are sent with the next message or on the next connection.
            Err(DeliveryError::Unreachable | DeliveryError::Dropped | DeliveryError::Closed) => {}
        }
        Ok(true)
    }
}

//! Sends the audit's head once a day (guarantee U2).

use std::time::Duration;

use super::super::sender::{MessageKey, OutgoingMessage, SendPriority};
use super::super::text::{MAX_MESSAGE_UNITS, ToMessages as _};
use super::NoticeSender;
use crate::presentation::notices::audit_head;

impl NoticeSender {
    /// Sends the audit's head once a day, until the daemon ends; `look` is the interval of the check. The
    /// message's key is the day, so a restart doesn't send it twice. The composition root spawns it.
    pub async fn send_audit_heads(self, look: Duration) {
        let telling = async {
            let (mut links, mut told) = (self.link.subscribe(), None);
            loop {
                let link = links.borrow_and_update().clone();
                let day = audit_head::last_due_day(self.daemon.clock.now().wall, &self.zone);
                if let (Some(link), Some((day, since))) = (link, day)
                    && told != Some((link.bot_chat, day))
                    && self.daemon.audit.has_older_records(since).await
                {
                    let head = self.daemon.audit.durable_head().await;
                    let text = head.map(|head| audit_head::audit_head_text(&head, day));
                    let cause = MessageKey::new("audit", day);
                    if let Some(message) = text.and_then(|text| text.fit_message(MAX_MESSAGE_UNITS)) {
                        let outgoing = OutgoingMessage::Text(message, None);
                        let sent = link.sender.send(link.chat(), outgoing, SendPriority::Notice, cause);
                        // Telegram refused this text permanently, which `status` reports.
                        if !sent.outcome().await.is_err_and(|error| error.is_transient()) {
                            told = Some((link.bot_chat, day));
                        }
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(look) => {}
                    _ = links.changed() => {}
                }
            }
        };
        self.daemon.lifecycle.stop_signal().run_until_cancelled(telling).await;
    }
}

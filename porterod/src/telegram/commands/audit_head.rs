//! Once a day: how far the audit has come, kept where nobody on this machine can change it (guarantee U2).
//!
//! Whoever rewrites the daemon's records later, with a chain that holds, cannot make them hold the hash that
//! stands in the chat.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use portero::audit::{AuditExtent, SegmentCheckpoint};

use super::super::client::ChatId;
use super::super::sender::{DeliveryError, MessageKey, OutgoingMessage, SendPriority};
use super::super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText};
use super::CommandHandler;

/// The hour of the person's day at which it is told.
const DAILY_HOUR: i8 = 18;

impl CommandHandler {
    /// Tells the audit's head once a day, until the daemon is to end; looks so often whether it is time. That it
    /// was told is known by its cause, also after a restart. The composition root spawns it.
    pub async fn send_audit_heads(self, look: Duration) {
        let telling = async {
            let (mut links, mut told) = (self.link.subscribe(), None);
            loop {
                let link = links.borrow_and_update().clone();
                let day = last_due_day(self.daemon.clock.now().wall, &self.zone);
                if let (Some((courier, circle)), Some((day, since))) = (link, day)
                    && told != Some((circle.chat(), day))
                    && self.is_older_than(since).await
                {
                    let letter = self.durable_head().await.and_then(|head| audit_head_message(&head, day));
                    let cause = MessageKey::new("audit", day);
                    if let Some(letter) = letter {
                        let sent = courier.send(ChatId(circle.chat()), letter, SendPriority::Notice, cause);
                        match sent.outcome().await {
                            // Telegram refuses these very words, which `status` tells.
                            Ok(_) | Err(DeliveryError::Refused(_)) => told = Some((circle.chat(), day)),
                            Err(
                                DeliveryError::Unreachable | DeliveryError::Dropped | DeliveryError::Closed,
                            ) => {}
                        }
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(look) => {}
                    _ = links.changed() => {}
                }
            }
        };
        self.daemon.stop.run_until_cancelled(telling).await;
    }

    /// How far the daemon's own records have come on the disk.
    async fn durable_head(&self) -> Option<SegmentCheckpoint> {
        let segment = self.daemon.audit.checkpoint().segment;
        let heads = match self.daemon.journal.save_checkpoint().await {
            Ok(()) => self.daemon.checkpoints.list_checkpoints(),
            Err(error) => Err(error),
        };
        match heads {
            Ok(heads) => heads.into_iter().find(|head| head.segment == segment && head.seq > 0),
            Err(error) => {
                tracing::warn!(%error, "the head of the audit cannot be told");
                None
            }
        }
    }

    /// Whether there are records from before this moment: there is nothing to tell of a day without any.
    async fn is_older_than(&self, moment: Timestamp) -> bool {
        let directory = self.daemon.paths.audit();
        let extent = tokio::task::spawn_blocking(move || AuditExtent::measure(&directory)).await;
        extent.is_ok_and(|extent| {
            extent.is_ok_and(|extent| extent.oldest.is_some_and(|oldest| oldest < moment))
        })
    }
}

/// The last day of which the hour has come, and when that was.
fn last_due_day(now: Timestamp, zone: &TimeZone) -> Option<(Date, Timestamp)> {
    let today = now.to_zoned(zone.clone()).date();
    [today, today.yesterday().ok()?].into_iter().find_map(|day| {
        let hour = day.at(DAILY_HOUR, 0, 0, 0).to_zoned(zone.clone()).ok()?.timestamp();
        (hour <= now).then_some((day, hour))
    })
}

fn audit_head_message(head: &SegmentCheckpoint, day: Date) -> Option<OutgoingMessage> {
    let code = |text: &str| EscapedText::line(text);
    let text = StyledText::new()
        .bold("The audit of this day")
        .literal(", ")
        .code(&code(&day.to_string()))
        .literal(": record ")
        .number(head.seq)
        .literal(" of ")
        .code(&code(&head.segment))
        .literal(" has the hash ")
        .code(&code(&head.hash))
        .literal("\nTo compare later, in the folder of the audit: ")
        .code(&code(&format!("grep -c 'hash\":\"{}' {}", head.hash, head.segment)))
        .literal(" says 1, and ")
        .code(&code("portero logs verify"))
        .literal(" that the chain holds.");
    text.fit_message(MAX_MESSAGE_UNITS).map(|message| OutgoingMessage::Text(message, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_told_from_its_evening_on() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let told = |now: &str| last_due_day(now.parse().unwrap(), &zone).unwrap().0.to_string();
        assert_eq!(told("2026-11-20T16:59:59Z"), "2026-11-19");
        assert_eq!(told("2026-11-20T17:00:00Z"), "2026-11-20");
        assert_eq!(told("2026-11-21T03:00:00Z"), "2026-11-20");
    }
}

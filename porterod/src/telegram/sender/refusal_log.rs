//! Counts messages that Telegram refused. `portero status` and the log show them without their text.

use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use portero::ipc::{TelegramRefused, TelegramTrouble};
use portero::sync::lock;

use super::OutgoingMessage;
use super::send_queue::SendJob;
use crate::telegram::client::Refusal;

/// The refusals since this sender exists.
#[derive(Default)]
pub(super) struct RefusalLog(Mutex<Option<TelegramRefused>>);

impl RefusalLog {
    pub(super) fn summary(&self) -> Option<TelegramRefused> {
        self.lock_summary().clone()
    }

    /// Counts a message that will not be shown, unless the person caused that or it is sent in another way.
    pub(super) fn note_refusal(&self, send_job: &SendJob, refusal: &Refusal, at: Timestamp) {
        let message = match send_job {
            SendJob::Send { cause, .. } => cause.kind(),
            SendJob::Edit { .. } => "edit",
            // An unanswered press loses only its brief reply; its effect is visible in the chat.
            SendJob::Answer { .. } => return,
        };
        let is_document = matches!(send_job, SendJob::Send { outgoing: OutgoingMessage::Document(_), .. });
        match refusal {
            Refusal::MethodNotFound | Refusal::TooLong | Refusal::Other(_) => {}
            Refusal::WriteForbidden if is_document => {}
            // The chat refuses the bot now, and the message is tried again.
            Refusal::ChatUnknown | Refusal::WriteForbidden => return,
            // The person removed the message, or it already has this content.
            Refusal::MessageGone | Refusal::NotModified | Refusal::QueryTooOld => return,
            // The message is shown elsewhere, and `topics` reports what to do.
            Refusal::TopicGone | Refusal::TopicClosed | Refusal::NotAForum | Refusal::NotAllowed => return,
        }
        tracing::warn!(message, %refusal, "Telegram refused a message");
        let last = TelegramTrouble { at, kind: message.to_owned(), what: refusal.to_string() };
        let mut refused = self.lock_summary();
        let count = refused.as_ref().map_or(0, |refused| refused.count) + 1;
        *refused = Some(TelegramRefused { count, last });
    }

    fn lock_summary(&self) -> MutexGuard<'_, Option<TelegramRefused>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::telegram::sender::MessageKey;
    use crate::telegram::text::FormattedText;

    #[derive(Clone, Default)]
    struct CapturedLog(Arc<Mutex<Vec<u8>>>);

    impl Write for CapturedLog {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_refused_is_counted_and_logged_without_its_text() {
        let log = CapturedLog::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone()).finish();
        let message = FormattedText { text: "hunter2".to_owned(), entities: Vec::new() };
        let outgoing = OutgoingMessage::Text(message, None);
        let send_job = SendJob::Send { cause: MessageKey::new("news", 7), outgoing, topic: None };
        let refusals = RefusalLog::default();
        tracing::subscriber::with_default(subscriber, || {
            for refusal in [Refusal::TooLong, Refusal::MessageGone, Refusal::Other("why".to_owned())] {
                refusals.note_refusal(&send_job, &refusal, Timestamp::UNIX_EPOCH);
            }
        });
        let seen = refusals.summary().unwrap();
        assert_eq!((seen.count, seen.last.kind.as_str(), seen.last.what.as_str()), (2, "news", "why"));
        let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
        assert!(log.contains("news") && log.contains("it is too long"), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}

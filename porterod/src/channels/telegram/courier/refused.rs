//! What Telegram refused to show: counted, told by `portero status` and logged, never with its text.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use portero::ipc::{TelegramRefused, TelegramTrouble};

use super::lanes::Errand;
use crate::channels::telegram::bot::Refusal;

/// What was refused since there is this courier.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Option<TelegramRefused>>);

impl Refusals {
    pub(super) fn seen(&self) -> Option<TelegramRefused> {
        self.lock().clone()
    }

    /// Notes that this will not be shown, if that is nobody's own doing.
    pub(super) fn note(&self, errand: &Errand, refusal: &Refusal, at: Timestamp) {
        let message = match errand {
            Errand::Send { cause, .. } => cause.kind(),
            Errand::Edit { .. } => "edit",
            // What a press does is in the chat all the same.
            Errand::Answer { .. } => return,
        };
        match refusal {
            Refusal::ChatUnknown | Refusal::NotFound | Refusal::TooLong | Refusal::Other(_) => {}
            // The person removed it, or it is as it is to be.
            Refusal::MessageGone | Refusal::NotModified | Refusal::QueryTooOld => return,
            // It is shown elsewhere, and `topics` tells what to do.
            Refusal::TopicGone | Refusal::TopicClosed | Refusal::NoTopics | Refusal::NoRight => return,
        }
        tracing::warn!(message, %refusal, "Telegram refused a message");
        let last = TelegramTrouble { at, kind: message.to_owned(), what: refusal.to_string() };
        let mut refused = self.lock();
        let count = refused.as_ref().map_or(0, |refused| refused.count) + 1;
        *refused = Some(TelegramRefused { count, last });
    }

    fn lock(&self) -> MutexGuard<'_, Option<TelegramRefused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where Telegram refuses to show something, the person is told so, in words that it has no reason to refuse.

use super::super::client::Destination;
use super::super::inline_buttons;
use super::super::sender::{
    DeliveryError, MessageKey, OutgoingMessage, SendHandle, SendPriority, TelegramSender,
};
use super::super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText, ToMessages as _};
use super::{CommandHandler, ReplyContext};
use crate::auth::buttons::ButtonRedraw;

impl CommandHandler {
    /// Follows an answer to its end: its buttons count once it is there, and the person is told if it is refused. Does
    /// not wait for it.
    pub(super) fn track_delivery(
        &self,
        here: &ReplyContext,
        cause: MessageKey,
        answer: SendHandle,
        redrawing: ButtonRedraw,
    ) {
        let (taps, courier, room) = (self.buttons.clone(), here.sender.clone(), here.destination());
        self.daemon.pending_work.spawn(async move {
            let sent = answer.outcome().await;
            if let Err(error) = inline_buttons::settle_redraw(&taps, redrawing, &sent).await {
                tracing::warn!(%error, "former buttons of a message on Telegram go on counting");
            }
            let Err(DeliveryError::Refused(refusal)) = sent else { return };
            if refusal.concerns_message() {
                send_undeliverable_note(&courier, room, &cause);
            } else if refusal.concerns_topic() {
                send_undeliverable_note(&courier, Destination { topic: None, ..room }, &cause);
            }
        });
    }
}

/// Tells the person that what this is the cause of could not be shown.
pub(super) fn send_undeliverable_note(courier: &TelegramSender, room: Destination, cause: &MessageKey) {
    let text = StyledText::new().literal("Portero could not show this here; use the terminal: ");
    let text = text.code(&EscapedText::line("portero status")).literal(" tells more.");
    if let Some(message) = text.fit_message(MAX_MESSAGE_UNITS) {
        let unshown = MessageKey::new("unshown", cause.as_str());
        drop(courier.send(room, OutgoingMessage::Text(message, None), SendPriority::Required, unshown));
    }
}

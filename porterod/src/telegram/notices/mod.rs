//! Sends messages that a person didn't ask for, and handles their buttons.

mod activity_notice;
mod activity_watch;
mod audit_head;
mod news;

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::chat_link::ChatLink;
use super::client::Destination;
use super::sender::{MessageKey, OutgoingMessage, SendPriority, TelegramSender};
use super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText, ToMessages as _};
use crate::auth::buttons::Buttons;
use crate::daemon::Daemon;

/// Sends notices. Clones share their state.
#[derive(Clone)]
pub struct NoticeSender {
    daemon: Arc<Daemon>,
    buttons: Buttons,
    zone: TimeZone,
    /// The authorized chat, while the bot can write to it.
    link: watch::Sender<Option<ChatLink>>,
}

impl NoticeSender {
    /// A sender for a person in this time zone, over the present connection.
    pub(super) const fn new(
        daemon: Arc<Daemon>,
        buttons: Buttons,
        zone: TimeZone,
        link: watch::Sender<Option<ChatLink>>,
    ) -> Self {
        Self { daemon, buttons, zone, link }
    }
}

impl std::fmt::Debug for NoticeSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoticeSender").finish_non_exhaustive()
    }
}

/// Tells the person that a message could not be shown, in words that Telegram has no reason to refuse.
pub(super) fn send_undeliverable_note(sender: &TelegramSender, room: Destination, cause: &MessageKey) {
    let text = StyledText::new().literal("Portero could not show this here; use the terminal: ");
    let text = text.code(&EscapedText::line("portero status")).literal(" tells more.");
    if let Some(message) = text.fit_message(MAX_MESSAGE_UNITS) {
        let unshown = MessageKey::new("unshown", cause.as_str());
        drop(sender.send(room, OutgoingMessage::Text(message, None), SendPriority::Required, unshown));
    }
}

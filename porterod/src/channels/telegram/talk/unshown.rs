//! Where Telegram refuses to show something, the person is told so, in words that it has no reason to refuse.

use super::super::bot::Room;
use super::super::buttons;
use super::super::courier::{Cause, Courier, Delivery, Letter, Rank, Undelivered};
use super::super::text::{MESSAGE_MOST, Shown, Text};
use super::{Here, Talk};
use crate::taps::Redrawing;

impl Talk {
    /// Follows an answer to its end: its buttons count once it is there, and the person is told if it is refused. Does
    /// not wait for it.
    pub(super) fn followed(&self, here: &Here, cause: Cause, answer: Delivery, redrawing: Redrawing) {
        let (taps, courier, room) = (self.taps.clone(), here.courier.clone(), here.room());
        self.daemon.work.spawn(async move {
            let sent = answer.outcome().await;
            if let Err(error) = buttons::settle(&taps, redrawing, &sent).await {
                tracing::warn!(%error, "former buttons of a message on Telegram go on counting");
            }
            let Err(Undelivered::Refused(refusal)) = sent else { return };
            if refusal.is_of_the_message() {
                tell(&courier, room, &cause);
            } else if refusal.is_of_the_topic() {
                tell(&courier, Room { topic: None, ..room }, &cause);
            }
        });
    }
}

/// Tells the person that what this is the cause of could not be shown.
pub(super) fn tell(courier: &Courier, room: Room, cause: &Cause) {
    let text = Text::new().words("Portero could not show this here; use the terminal: ");
    let text = text.code(&Shown::line("portero status")).words(" tells more.");
    if let Some(message) = text.message(MESSAGE_MOST) {
        let unshown = Cause::new("unshown", cause.as_str());
        drop(courier.send(room, Letter::Text(message, None), Rank::Card, unshown));
    }
}

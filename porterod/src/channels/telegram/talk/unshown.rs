//! Where Telegram refuses to show something, the person is told so, in words that it has no reason to refuse.

use super::super::bot::Room;
use super::super::courier::{Cause, Courier, Delivery, Letter, Rank, Undelivered};
use super::super::text::{MESSAGE_MOST, Shown, Text};
use super::{Here, Talk};

impl Talk {
    /// Tells the person, if this answer of theirs is refused. Does not wait for it.
    pub(super) fn told_if_refused(&self, here: &Here, cause: Cause, answer: Delivery) {
        let (courier, room) = (here.courier.clone(), here.room());
        self.daemon.work.spawn(async move {
            let Err(Undelivered::Refused(refusal)) = answer.outcome().await else { return };
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

//! The message after a grant or an allowing rule that lists the calls which wait although they are allowed by now.
//!
//! It is sent once for the press that made the grant. If a crash comes in between, it is not sent, and each call keeps its
//! own card.

use portero::names::TaskId;

use super::super::chat_link::ChatLink;
use super::super::client::MessageId;
use super::super::inline_buttons;
use super::super::sender::{MessageEdit, MessageKey, OutgoingMessage, SendPriority};
use super::super::text::{MAX_MESSAGE_UNITS, StyledText, ToMessages as _};
use super::CallbackHandler;
use crate::api;
use crate::auth::buttons::{ButtonPress, ListDecision};
use crate::presentation::ViewContext;
use crate::presentation::press::{self, PressReply, replies};
use crate::presentation::waiting_offer::{WaitingOffer, offer_outcome_text};
use crate::store::StoreError;

/// The kind of these messages.
const OFFER_KIND: &str = "waiting";

/// Whether the pressed button is below such a message.
pub(super) fn is_offer(press: &ButtonPress<ListDecision>) -> bool {
    MessageKey::from_stored(&press.message_ref().cause).kind() == OFFER_KIND
}

impl CallbackHandler {
    /// Offers the calls that wait although they are allowed by now, if there are any besides `except`. `of` names the
    /// message.
    pub(super) async fn offer_waiting(&self, link: &ChatLink, of: TaskId, except: &[TaskId]) {
        if let Err(error) = self.try_offer(link, of, except).await {
            tracing::error!(%error, "the waiting calls that are allowed by now were not offered on Telegram");
        }
    }

    async fn try_offer(&self, link: &ChatLink, of: TaskId, except: &[TaskId]) -> Result<(), StoreError> {
        let daemon = &self.cards.daemon;
        let mut waiting = api::list_allowed(daemon)?;
        waiting.retain(|look| !except.contains(&look.task.id));
        let view = ViewContext { now: daemon.clock.now().wall, zone: &self.cards.zone };
        let fits = |text: &StyledText| text.fit_message(MAX_MESSAGE_UNITS).is_some();
        let Some(WaitingOffer { text, buttons }) = WaitingOffer::new(&waiting, &view, fits) else {
            return Ok(());
        };
        let Some(text) = text.fit_message(MAX_MESSAGE_UNITS) else { return Ok(()) };
        let key = MessageKey::new(OFFER_KIND, of);
        let keyboard =
            inline_buttons::add_keyboard(&self.cards.buttons, link.message_ref(&key), buttons).await?;
        let outgoing = OutgoingMessage::Text(text, keyboard);
        drop(link.sender.send(link.chat(), outgoing, SendPriority::Required, key));
        Ok(())
    }

    /// Runs the calls that the message lists, and says in it what came of each. Those that did not fit in it follow.
    pub(super) async fn run_offered(
        &self,
        link: &ChatLink,
        press: ButtonPress<ListDecision>,
        message: MessageId,
    ) -> PressReply {
        let (reply, left_out) = press::approve_listed(&self.cards.daemon, &press).await;
        let ListDecision::Approve(named) = press.action() else { return reply };
        if reply == replies::BUTTON_USED || reply == replies::NOT_STORED {
            return reply;
        }
        let tasks: Vec<TaskId> = named.iter().map(|(task, _)| *task).collect();
        let why = |task: &TaskId| left_out.iter().find(|(left, _)| left == task).map(|(_, why)| why.clone());
        let outcomes: Vec<_> = tasks.iter().map(|task| (*task, why(task))).collect();
        if let Some(text) = offer_outcome_text(&outcomes).fit_message(MAX_MESSAGE_UNITS) {
            drop(link.sender.edit_message(link.chat(), message, MessageEdit(text, None)));
        }
        if let Some(first) = tasks.first() {
            self.offer_waiting(link, *first, &tasks).await;
        }
        reply
    }
}

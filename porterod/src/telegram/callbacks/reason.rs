//! Denial with a reason, which the person gives as a reply to a question.

use std::sync::Arc;

use portero::names::{Actor, TaskId};

use super::super::chat_link::ChatLink;
use super::super::sender::{MessageKey, OutgoingMessage, SendPriority};
use super::super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText, ToMessages as _};
use super::{CallbackHandler, await_press_meaning};
use crate::api;
use crate::auth::buttons::{self, ButtonAction, ListDecision, MessageRef, PressMeaning, TaskDecision};
use crate::auth::pairing::ChatUser;
use crate::presentation::card::short_id;
use crate::presentation::press::{PressReply, replies};
use crate::store::StoreError;
use crate::store::cards as kept;

/// The kind of the messages that ask for a reason.
const REASON_KIND: &str = "reason";

impl CallbackHandler {
    /// Asks for the reason of a denial. It is accepted only as a reply to this very message, for a limited
    /// time.
    pub(super) async fn ask_deny_reason(
        &self,
        link: &ChatLink,
        person: ChatUser,
        (task, update): (TaskId, i64),
    ) -> Result<(), StoreError> {
        let act = ButtonAction::Decide(TaskDecision::DenyWithReason);
        let text = StyledText::new().literal("Task").literal(": ").code(&short_id(task));
        self.send_reason_question(link, person, (task, update), (Some(task), act), text).await
    }

    /// As [`Self::ask_deny_reason`], for several calls of one list.
    pub(super) async fn ask_list_reason(
        &self,
        link: &ChatLink,
        person: ChatUser,
        (tasks, update): (Vec<TaskId>, i64),
    ) -> Result<(), StoreError> {
        let Some(first) = tasks.first().copied() else { return Ok(()) };
        let count = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
        let text = StyledText::new().literal("It denies all ").number(count).literal(" that waited.");
        let act = ButtonAction::DecideList(ListDecision::Deny(tasks));
        self.send_reason_question(link, person, (first, update), (None, act), text).await
    }

    /// Asks, with what the answer denies in `about`.
    async fn send_reason_question(
        &self,
        link: &ChatLink,
        person: ChatUser,
        (task, update): (TaskId, i64),
        answer: (Option<TaskId>, ButtonAction),
        about: StyledText,
    ) -> Result<(), StoreError> {
        let Ok(look) = api::look(&self.cards.daemon, task) else { return Ok(()) };
        let project = look.task.origin.principal;
        let cause = MessageKey::new(REASON_KIND, format!("{task}:{update}"));
        // Only the person who was asked may answer, also in a group.
        let spot = MessageRef { user: Some(person.user), ..link.message_ref(&cause) };
        self.cards.buttons.add_buttons(spot, vec![answer]).await?;
        let text = StyledText::new()
            .literal("Why not? The agent reads what you answer to this message within 10 min\n");
        let text = text.append(about);
        let text = match link.owner {
            Some(_) => text,
            None => {
                let asked = EscapedText::line(&Actor::TelegramUser(person.user).to_string());
                text.literal("\nOnly the answer of ").code(&asked).literal(" counts.")
            }
        };
        if let Some(message) = text.fit_message(MAX_MESSAGE_UNITS) {
            let (cards, link) = (Arc::clone(&self.cards), link.clone());
            let outgoing = (OutgoingMessage::Question(message), SendPriority::Required, cause);
            // Spawned: the answer to the press must not wait for this message.
            self.cards.daemon.lifecycle.spawn(async move {
                if let Err(error) = cards.topics.send_to_topic(&link, &project, outgoing).await {
                    tracing::error!(%error, "a reason could not be asked for");
                }
                cards.redraw_lost_topics();
            });
        }
        Ok(())
    }

    /// Handles a reply to that question. None if the message replies to another one.
    pub(super) async fn handle_reason(
        &self,
        link: &ChatLink,
        press: buttons::PressSource,
        text: Option<&str>,
    ) -> Result<Option<PressReply>, StoreError> {
        let now = self.cards.daemon.clock.now().wall;
        let found =
            await_press_meaning(&link.sender, || self.cards.buttons.resolve_reply(press, REASON_KIND, now))
                .await?;
        let (at, message) = (link.bot_chat, press.message);
        let cause = self.cards.read_store(move |store| kept::message_cause(store, at, message))?;
        // Replies to other messages are commands or talk, and belong to the next handler.
        if cause.is_none_or(|cause| MessageKey::from_stored(&cause).kind() != REASON_KIND) {
            return Ok(None);
        }
        Ok(Some(match (found, text.map(str::trim).filter(|text| !text.is_empty())) {
            (PressMeaning::Decide(tapped), Some(text)) => {
                self.decide_task(tapped, Some(text.to_owned()), false).await
            }
            (PressMeaning::DecideList(press), Some(text)) => {
                self.decide_list(link, press, Some(text.to_owned())).await?
            }
            (PressMeaning::Decide(_) | PressMeaning::DecideList(_), None) => replies::REASON_NOT_TEXT,
            (PressMeaning::Repeated(ButtonAction::DecideList(_), _), _) => replies::LIST_DECIDED,
            (PressMeaning::Repeated(ButtonAction::Decide(deed), _), _) => replies::done_reply(&deed, false),
            (PressMeaning::Used, _) => replies::BUTTON_USED,
            (
                PressMeaning::Repeated(
                    ButtonAction::Show(_)
                    | ButtonAction::Widen(_)
                    | ButtonAction::Restrict(_)
                    | ButtonAction::Answer(_),
                    _,
                )
                | PressMeaning::Restrict(_)
                | PressMeaning::RestrictRepeated(_)
                | PressMeaning::Show(_)
                | PressMeaning::Widen(_)
                | PressMeaning::Answer(_)
                | PressMeaning::MessageUnconfirmed
                | PressMeaning::Unknown,
                _,
            ) => replies::TOO_LATE_FOR_REASON,
        }))
    }
}

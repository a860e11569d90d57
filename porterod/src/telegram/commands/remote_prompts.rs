//! The questions of terminals. Each is one message, drawn from the open question and edited when it has
//! ended.
//!
//! The store knows which messages don't show their result yet, so after a restart none stays open. Their
//! buttons stay known: a late tap gets the reason that it is void.

use std::time::Duration;

use super::super::chat_link::ChatLink;
use super::super::client::{ChatId, MessageId};
use super::super::inline_buttons;
use super::super::sender::{DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendPriority};
use super::super::text::{FormattedText, MAX_ENTITIES, MAX_MESSAGE_UNITS, ToMessages as _};
use super::paged_reply::PROMPT_BUTTON_PREFIX;
use super::{CommandHandler, ReplyContext};
use crate::auth::buttons::{AnswerChoice, ButtonAction, ButtonPress, ConfirmationAnswer, MessageRef};
use crate::auth::remote_confirmation::{AnswerOutcome, ConfirmationEnd, ConfirmationQuestion};
use crate::presentation::buttons::{Button, ButtonRows, page_turns};
use crate::presentation::views;
use crate::store::remote_confirmations::ConfirmationRow;
use crate::store::{StoreError, telegram as sent};

/// How long to wait before retrying after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl CommandHandler {
    /// Draws the questions and their results, until the daemon ends. The composition root spawns it.
    pub async fn run_remote_prompts(self) {
        let asking = async {
            let (mut changes, mut links) =
                (self.daemon.remote_confirmations.changes(), self.link.subscribe());
            loop {
                changes.borrow_and_update();
                let link = links.borrow_and_update().clone();
                if let Some(link) = link
                    && let Err(error) = self.draw_prompts(&link).await
                {
                    tracing::error!(%error, "what a terminal asks waits to be shown on Telegram");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
                tokio::select! {
                    // The senders live as long as the daemon, so these can't fail.
                    _ = changes.changed() => {}
                    _ = links.changed() => {}
                }
            }
        };
        self.daemon.lifecycle.stop_signal().run_until_cancelled(asking).await;
    }

    /// Draws every question of this chat whose message is outdated.
    async fn draw_prompts(&self, link: &ChatLink) -> Result<(), StoreError> {
        let place = (link.bot_chat.bot, link.bot_chat.chat);
        for ConfirmationRow { id, about, end, by } in
            self.daemon.remote_confirmations.undrawn_questions(place)?
        {
            let cause = prompt_key(id);
            let asked = cause.clone();
            let known = self
                .daemon
                .journal
                .store()
                .read(move |store| sent::sent_message(store, place.0, place.1, asked.as_str()))?;
            match (end, known) {
                (None, Some(_)) => {}
                (None, None) => self.send_prompt(id, link).await?,
                // As far as known, the message never reached the chat.
                (Some(_), None) => self.daemon.remote_confirmations.mark_drawn(id, true).await?,
                (Some(end), Some(message)) => {
                    let outcome = self.daemon.remote_confirmations.outcome(id);
                    let text = views::ended_prompt_text(
                        &about,
                        (end, by.filter(|_| link.owner.is_none())),
                        outcome.as_ref(),
                    );
                    let (text, _) = text.truncated(MAX_MESSAGE_UNITS / 2, MAX_ENTITIES);
                    let text = text.fit_message(MAX_MESSAGE_UNITS).unwrap_or_default();
                    let edit = MessageEdit(text, None);
                    let edited =
                        link.sender.edit_message(link.chat(), MessageId(message), edit).outcome().await;
                    // A refused edit means that the message was removed or can't be edited. Other failures
                    // are drawn on the next connection or with the next change.
                    if !edited.is_err_and(|error| error.is_transient()) {
                        self.daemon.remote_confirmations.mark_drawn(id, true).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends the question, and returns once it is in the chat or has failed for good.
    async fn send_prompt(&self, id: i64, link: &ChatLink) -> Result<(), StoreError> {
        let Some(question) = self.daemon.remote_confirmations.open_question(id) else {
            if !self.daemon.remote_confirmations.is_under_way(id) {
                self.daemon.remote_confirmations.store_end(id, (ConfirmationEnd::Restarted, None)).await;
            }
            return Ok(());
        };
        let pages = self.prompt_pages(&question);
        let Some(page) = pages.first() else { return Ok(()) };
        let cause = prompt_key(id);
        let spot = link.message_ref(&cause);
        let (keyboard, redrawing) =
            self.make_keyboard(spot, prompt_buttons(&question, 0, pages.len())).await?;
        let outgoing = OutgoingMessage::Text(page.clone(), keyboard);
        let sending = link.sender.send(link.chat(), outgoing, SendPriority::Immediate, cause);
        let sent = sending.outcome().await;
        inline_buttons::settle_redraw(&self.buttons, redrawing, &sent).await?;
        match sent {
            Ok(_) => self.daemon.remote_confirmations.notify_changed(),
            // The next connection sends it, if it is still open.
            Err(DeliveryError::Closed) => {}
            // The terminal waits only for minutes, so it gets the failure.
            Err(
                error @ (DeliveryError::Refused(_) | DeliveryError::Unreachable | DeliveryError::Dropped),
            ) => {
                tracing::warn!(%error, "what a terminal asks could not be shown on Telegram");
                self.daemon.remote_confirmations.end_question(id, ConfirmationEnd::Unsent).await;
            }
        }
        Ok(())
    }

    /// Turns to another page of a terminal's question.
    pub(super) async fn turn_prompt_page(
        &self,
        id: i64,
        page: usize,
        (spot, message): (MessageRef, MessageId),
        here: &ReplyContext,
    ) -> Result<(), StoreError> {
        if let Some(question) = self.daemon.remote_confirmations.open_question(id) {
            let pages = self.prompt_pages(&question);
            let page = page.min(pages.len().saturating_sub(1));
            let Some(text) = pages.get(page) else { return Ok(()) };
            let (keyboard, redrawing) =
                self.make_keyboard(spot, prompt_buttons(&question, page, pages.len())).await?;
            let edit = MessageEdit(text.clone(), keyboard);
            let turned = here.sender.edit_message(ChatId(here.person.chat), message, edit);
            self.track_delivery(here, here.receipt.message_key(), turned, redrawing);
        }
        if self.daemon.remote_confirmations.open_question(id).is_none() {
            // The question ended meanwhile, so this page must be replaced by its result.
            self.daemon.remote_confirmations.mark_drawn(id, false).await?;
        }
        Ok(())
    }

    /// Handles a tap on a number or on the refusal, and returns the reply.
    pub(super) async fn answer_prompt(
        &self,
        answered: ButtonPress<ConfirmationAnswer>,
    ) -> Result<String, StoreError> {
        let heard = self.daemon.remote_confirmations.handle_answer(answered).await?;
        Ok(views::tap_reply(heard).to_owned())
    }

    /// The reply to the same tap when it is delivered again.
    pub(super) fn repeat_prompt_answer(&self, answer: ConfirmationAnswer) -> Result<String, StoreError> {
        let end = self.daemon.remote_confirmations.find_end(answer.question)?;
        Ok(views::tap_reply(AnswerOutcome::AlreadyEnded(end)).to_owned())
    }

    fn prompt_pages(&self, question: &ConfirmationQuestion) -> Vec<FormattedText> {
        views::remote_prompt_text(question, &self.daemon.anonymizer.load(), &self.view_context()).to_pages()
    }
}

fn prompt_key(id: i64) -> MessageKey {
    MessageKey::new("terminal", id)
}

/// The buttons of a question. The numbers are below the last page only, so a person has seen all pages; the
/// refusal is below each.
fn prompt_buttons(question: &ConfirmationQuestion, page: usize, pages: usize) -> ButtonRows {
    let turning = page_turns(page, pages)
        .into_iter()
        .map(|(label, to)| {
            Button::new(label, ButtonAction::Show(format!("{PROMPT_BUTTON_PREFIX}{to} {}", question.id)))
        })
        .collect();
    let answer = |says| ButtonAction::Answer(ConfirmationAnswer { question: question.id, says });
    let numbers = (0_u8..).zip(question.numbers.shown());
    let numbers =
        numbers.map(|(place, number)| Button::new(number.to_string(), answer(AnswerChoice::Number(place))));
    let numbers = if page + 1 == pages { numbers.collect() } else { Vec::new() };
    let refuse = Button::new("❌ Refuse".to_owned(), answer(AnswerChoice::Refuse));
    let mut rows: ButtonRows = vec![turning, numbers, vec![refuse]];
    rows.retain(|row| !row.is_empty());
    rows
}

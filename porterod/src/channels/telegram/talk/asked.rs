//! What a terminal asks the person to confirm: one message, drawn from the question while it is open, and edited
//! when it is over.
//!
//! Which messages do not say yet how they ended is in the store, so no start leaves one that looks open. Their
//! buttons stay known: who taps one later is told why it is void.

use std::time::Duration;

use super::super::bot::{ChatId, MessageId};
use super::super::courier::{Cause, Courier, Edit, Letter, Rank, Undelivered};
use super::super::keyboard::turns;
use super::super::screens;
use super::super::text::Message;
use super::page::ASKED;
use super::{Here, Talk};
use crate::consent::{End, Heard, Question};
use crate::pairing::Circle;
use crate::store::consents::Kept;
use crate::store::{StoreError, telegram as sent};
use crate::taps::{Act, Answer, Answered, Says, Spot};

/// How long to wait before trying again what failed.
const AGAIN: Duration = Duration::from_secs(1);

impl Talk {
    /// Shows what terminals ask, and how it ended, until the daemon is to end. The composition root spawns it.
    pub async fn ask_for_terminals(self) {
        let asking = async {
            let (mut changes, mut links) = (self.daemon.consents.changes(), self.link.subscribe());
            loop {
                changes.borrow_and_update();
                let link = links.borrow_and_update().clone();
                if let Some((courier, circle)) = link
                    && let Err(error) = self.draw(&courier, &circle).await
                {
                    tracing::error!(%error, "what a terminal asks waits to be shown on Telegram");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                tokio::select! {
                    // The senders live as long as the daemon.
                    _ = changes.changed() => {}
                    _ = links.changed() => {}
                }
            }
        };
        self.daemon.stop.run_until_cancelled(asking).await;
    }

    /// Draws every question of this chat whose message is not as it is to be.
    async fn draw(&self, courier: &Courier, circle: &Circle) -> Result<(), StoreError> {
        let place = (courier.bot().0, circle.chat());
        for Kept { id, about, end, by } in self.daemon.consents.undrawn(place)? {
            let cause = cause(id);
            let asked = cause.clone();
            let known = self
                .daemon
                .journal
                .store()
                .read(move |store| sent::sent(store, place.0, place.1, asked.as_str()))?;
            match (end, known) {
                (None, Some(_)) => {}
                (None, None) => self.show(id, courier, circle).await?,
                // As far as is known, it never was in the chat.
                (Some(_), None) => self.daemon.consents.drawn(id, true).await?,
                (Some(end), Some(message)) => {
                    let outcome = self.daemon.consents.outcome(id);
                    let text = screens::ended(
                        &about,
                        (end, by.filter(|_| circle.owner().is_none())),
                        outcome.as_ref(),
                    );
                    let edit =
                        courier.edit(ChatId(circle.chat()), MessageId(message), Edit::Text(text, None));
                    match edit.outcome().await {
                        // What is refused was removed from the chat, or is refused as it is.
                        Ok(_) | Err(Undelivered::Refused(_)) => {
                            self.daemon.consents.drawn(id, true).await?;
                        }
                        // It is drawn on the next link, or with the next change.
                        Err(Undelivered::Unreachable | Undelivered::Dropped | Undelivered::Closed) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends the question, and returns once it is in the chat or never will be.
    async fn show(&self, id: i64, courier: &Courier, circle: &Circle) -> Result<(), StoreError> {
        let Some(question) = self.daemon.consents.open(id) else {
            if !self.daemon.consents.is_under_way(id) {
                self.daemon.consents.keep(id, (End::Restarted, None)).await;
            }
            return Ok(());
        };
        let pages = self.pages_of(&question);
        let Some(page) = pages.first() else { return Ok(()) };
        let cause = cause(id);
        let spot = Spot {
            bot: courier.bot().0,
            chat: circle.chat(),
            user: circle.owner(),
            cause: cause.as_str().to_owned(),
        };
        let (keyboard, redrawing) = self.keyboard_of(spot, buttons(&question, 0, pages.len())).await?;
        let letter = Letter::Text(page.clone(), keyboard);
        let sending = courier.send(ChatId(circle.chat()), letter, Rank::Prompt, cause);
        let sent = sending.outcome().await;
        super::super::buttons::settle(&self.taps, redrawing, &sent).await?;
        match sent {
            Ok(_) => self.daemon.consents.touch(),
            // The next link shows it, if it is still open.
            Err(Undelivered::Closed) => {}
            // The terminal waits for minutes at most, and is told.
            Err(error @ (Undelivered::Refused(_) | Undelivered::Unreachable | Undelivered::Dropped)) => {
                tracing::warn!(%error, "what a terminal asks could not be shown on Telegram");
                self.daemon.consents.end(id, End::Unsent).await;
            }
        }
        Ok(())
    }

    /// Turns to another page of what a terminal asks.
    pub(super) async fn turn_asked(
        &self,
        id: i64,
        page: usize,
        (spot, message): (Spot, MessageId),
        here: &Here,
    ) -> Result<(), StoreError> {
        if let Some(question) = self.daemon.consents.open(id) {
            let pages = self.pages_of(&question);
            let page = page.min(pages.len().saturating_sub(1));
            let Some(text) = pages.get(page) else { return Ok(()) };
            let (keyboard, redrawing) = self.keyboard_of(spot, buttons(&question, page, pages.len())).await?;
            let edit = Edit::Text(text.clone(), keyboard);
            let turned = here.courier.edit(ChatId(here.person.chat), message, edit);
            self.followed(here, here.receipt.cause(), turned, redrawing);
        }
        if self.daemon.consents.open(id).is_none() {
            // It ended meanwhile: this page must not be the last word.
            self.daemon.consents.drawn(id, false).await?;
        }
        Ok(())
    }

    /// A tap on a number, or on the refusal: what to say to it.
    pub(super) async fn answered(&self, answered: Answered) -> Result<String, StoreError> {
        let heard = self.daemon.consents.tapped(answered).await?;
        Ok(screens::answered(heard).to_owned())
    }

    /// The same tap, come again.
    pub(super) fn answered_before(&self, answer: Answer) -> Result<String, StoreError> {
        let end = self.daemon.consents.ended(answer.question)?;
        Ok(screens::answered(Heard::Over(end)).to_owned())
    }

    fn pages_of(&self, question: &Question) -> Vec<Message> {
        screens::asked(question, &self.daemon.anonymizer.load(), &self.view())
    }
}

fn cause(id: i64) -> Cause {
    Cause::new("terminal", id)
}

/// The numbers stand below the last page: whoever taps one has turned them all. The refusal stands below each.
fn buttons(question: &Question, page: usize, pages: usize) -> Vec<Vec<(String, Act)>> {
    let turning = turns(page, pages)
        .into_iter()
        .map(|(label, to)| (label, Act::Show(format!("{ASKED}{to} {}", question.id))))
        .collect();
    let answer = |says| Act::Answer(Answer { question: question.id, says });
    let numbers = (0_u8..).zip(question.numbers.shown());
    let numbers = numbers.map(|(place, number)| (number.to_string(), answer(Says::Number(place))));
    let numbers = if page + 1 == pages { numbers.collect() } else { Vec::new() };
    let mut rows: Vec<Vec<_>> = vec![turning, numbers, vec![("❌ Refuse".to_owned(), answer(Says::Refuse))]];
    rows.retain(|row| !row.is_empty());
    rows
}

//! Denying with a reason: asked for in a message of its own, and taken from the answer to it.

use std::sync::Arc;

use portero::names::TaskId;

use super::super::board::{Link, spot};
use super::super::courier::{Cause, Letter, Rank};
use super::super::text::{MESSAGE_MOST, Shown, Text};
use super::words::{self, Words};
use super::{Deciding, arrived};
use crate::api;
use crate::pairing::Person;
use crate::store::StoreError;
use crate::store::cards as kept;
use crate::taps::{self, Act, Deed, Found, Spot};

impl Deciding {
    /// Asks for the words of a denial. They are taken from an answer to this very message, for a while.
    pub(super) async fn ask_reason(
        &self,
        link: &Link,
        person: Person,
        (task, update): (TaskId, i64),
    ) -> Result<(), StoreError> {
        let Ok(look) = api::look(&self.board.daemon, task) else { return Ok(()) };
        let project = look.task.origin.principal;
        let cause = Cause::new("reason", format!("{task}:{}", update));
        let act = Act::Decide(Deed::DenyWithReason);
        let spot = Spot { user: Some(person.user), ..spot(link, &cause) };
        self.board.taps.add(spot, vec![(Some(task), act)]).await?;
        let text =
            Text::new().words("Why not? The agent reads what you answer to this message within 10 min\n");
        let text = text.words("Task").words(": ").code(&super::super::card::short(task));
        let text = match link.owner {
            Some(_) => text,
            None => {
                let asked = Shown::line(&format!("telegram user {}", person.user));
                text.words("\nOnly the answer of ").code(&asked).words(" counts.")
            }
        };
        if let Some(message) = text.message(MESSAGE_MOST) {
            let (board, link) = (Arc::clone(&self.board), link.clone());
            let letter = (Letter::Question(message), Rank::Card, cause);
            self.board.daemon.work.spawn(async move {
                if let Err(error) = board.topics.send(&link, &project, letter).await {
                    tracing::error!(%error, "a reason could not be asked for");
                }
                board.draw_lost();
            });
        }
        Ok(())
    }

    /// What the person answered to the question why. None when they did not answer that.
    pub(super) async fn reason(
        &self,
        link: &Link,
        press: taps::Press,
        text: Option<&str>,
    ) -> Result<Option<Words>, StoreError> {
        let now = self.board.daemon.clock.now().wall;
        let found = arrived(&link.courier, || self.board.taps.answered(press, now)).await?;
        let (at, message) = (link.at, press.message);
        let cause = self.board.read(move |store| kept::cause_of(store, at, message))?;
        if cause.is_none_or(|cause| !cause.starts_with("reason:")) {
            return Ok(None);
        }
        Ok(Some(match (found, text.map(str::trim).filter(|text| !text.is_empty())) {
            (Found::Decide(tapped), Some(text)) => self.decide(tapped, Some(text.to_owned()), false).await?,
            (Found::Decide(_), None) => words::NO_TEXT,
            (Found::Again(Act::Decide(deed), _), _) => words::done(deed, false),
            (Found::Used, _) => words::USED,
            (
                Found::Again(Act::Show(_) | Act::Widen(_) | Act::Restrict(_) | Act::Answer(_), _)
                | Found::Restrict(_)
                | Found::RestrictAgain(_)
                | Found::Show(_)
                | Found::Widen(_)
                | Found::Answer(_)
                | Found::Unsent
                | Found::Void,
                _,
            ) => words::TOO_LATE_FOR_REASON,
        }))
    }
}

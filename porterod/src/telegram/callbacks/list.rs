//! Presses below a list: turning to its calls, and deciding about several of them.

use portero::names::TaskId;

use super::super::chat_link::ChatLink;
use super::CallbackHandler;
use crate::auth::buttons::{ButtonPress, ListAction, ListDecision};
use crate::auth::pairing::ChatUser;
use crate::presentation::burst::{ListState, ListStep};
use crate::presentation::press::{self, PressReply, replies};
use crate::store::StoreError;
use crate::store::card_lists;
use crate::store::cards as kept;

impl CallbackHandler {
    /// Makes a step that decides nothing, and draws the list again.
    pub(super) async fn step_list(
        &self,
        link: &ChatLink,
        person: ChatUser,
        press: ButtonPress<ListAction>,
        step: ListStep,
    ) -> Result<PressReply, StoreError> {
        let (at, cause) = (link.bot_chat, press.message_ref().cause.clone());
        if let ListStep::Read(task) = step
            && !self.await_document(link, task).await?
        {
            self.redraw_list(link, &cause).await?;
            return Ok(replies::DOCUMENT_MISSING);
        }
        let (ticket, update, user) = (press.ticket().clone(), press.ticket().update, press.user());
        let made = step.clone();
        let change = move |store: &rusqlite::Connection, state: &mut ListState| {
            // The button is used up in the transaction of the step, so a repeated press makes it once.
            ticket.step(1).consume(store)?;
            match made {
                ListStep::Turn(view, shown) => {
                    state.open_view(view, user);
                    // The button was below the call, so the person had it before them.
                    shown.into_iter().for_each(|call| state.note_shown(call));
                    Ok(())
                }
                ListStep::Read(task) => kept::mark_read(store, at, task),
                ListStep::AskReason(_) => Ok(()),
            }
        };
        match self.cards.change_list(link, &cause, change).await {
            Ok(true) => {}
            Ok(false) => return Ok(replies::BUTTON_VOID),
            Err(StoreError::Refused(_)) => return Ok(replies::BUTTON_USED),
            Err(error) => return Err(error),
        }
        Ok(match step {
            ListStep::Turn(..) => PressReply::silent(),
            ListStep::Read(_) => replies::DOCUMENT_READ,
            ListStep::AskReason(tasks) => {
                self.ask_list_reason(link, person, (tasks, update)).await?;
                PressReply::silent()
            }
        })
    }

    /// Decides about several calls, and shows the list again.
    pub(super) async fn decide_list(
        &self,
        link: &ChatLink,
        press: ButtonPress<ListDecision>,
        reason: Option<String>,
    ) -> Result<PressReply, StoreError> {
        let daemon = &self.cards.daemon;
        let (reply, left_out) = match press.action() {
            // In a group several people press, and only one of them was shown the calls.
            ListDecision::Approve(_) if !self.is_viewer(link, &press)? => return Ok(replies::OTHER_VIEWER),
            ListDecision::Approve(_) => press::approve_listed(daemon, &press).await,
            ListDecision::Deny(_) => (press::deny_listed(daemon, &press, reason).await?, Vec::new()),
        };
        #[cfg(test)]
        crate::crash::crash_at("list decided");
        // A reason comes in another message than the list's.
        let cause = match press.action() {
            ListDecision::Approve(_) => Some(press.message_ref().cause.clone()),
            ListDecision::Deny(tasks) => self.find_list(link, tasks)?,
        };
        // The decision holds whether or not its list can be drawn now.
        if let Some(cause) = cause
            && let Err(error) = self.cards.close_list_view(link, &cause, left_out).await
        {
            tracing::warn!(%error, "a list on Telegram could not be updated");
        }
        Ok(reply)
    }

    /// Whether the person who pressed is the one to whom the calls of the list were shown.
    fn is_viewer(&self, link: &ChatLink, press: &ButtonPress<ListDecision>) -> Result<bool, StoreError> {
        let (at, cause) = (link.bot_chat, press.message_ref().cause.clone());
        let list = self.cards.read_store(move |store| card_lists::find_list(store, at, &cause))?;
        Ok(list.is_some_and(|list| ListState::parse(&list.view).viewer == Some(press.user())))
    }

    fn find_list(&self, link: &ChatLink, tasks: &[TaskId]) -> Result<Option<String>, StoreError> {
        let (at, first) = (link.bot_chat, tasks.first().copied());
        let Some(first) = first else { return Ok(None) };
        self.cards.read_store(move |store| card_lists::list_of_task(store, at, first))
    }

    async fn redraw_list(&self, link: &ChatLink, cause: &str) -> Result<(), StoreError> {
        self.cards.change_list(link, cause, |_, _| Ok(())).await.map(drop)
    }
}

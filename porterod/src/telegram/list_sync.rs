//! Draws the lists of calls that arrived together, as [`CardSync`] draws cards.

use std::sync::Arc;

use portero::ipc::InspectedTask;
use portero::names::TaskId;

use super::card_sync::{CardItem, CardSync, DrawResult, edit_message};
use super::card_view::{self, CardView};
use super::chat_link::ChatLink;
use super::client::MessageId;
use super::inline_buttons;
use super::list_view::ListDrawing;
use super::sender::MessageKey;
use crate::api;
use crate::presentation::burst::{ListState, ListView, ListedCall};
use crate::presentation::press;
use crate::store::StoreError;
use crate::store::card_lists::{self as kept, ListRow};
use crate::store::cards;

impl CardSync {
    /// Draws a list in its message, if the chat doesn't show its stored version.
    pub(super) async fn draw_list(
        self: &Arc<Self>,
        link: &ChatLink,
        (cause, row, message): (MessageKey, ListRow, Option<MessageId>),
    ) -> Result<DrawResult, StoreError> {
        if row.drawn_version >= row.version {
            return Ok(DrawResult::InSync);
        }
        let (at, version, name) = (link.bot_chat, row.version, cause.as_str().to_owned());
        let drawing = self.read_list(link, &cause, &row)?;
        let Some(first) = drawing.calls.first() else {
            // Its tasks were removed, so it needs no message.
            self.write_store(move |store| kept::forget_list(store, at, &name, version)).await?;
            return Ok(DrawResult::InSync);
        };
        let project = first.look.task.origin.principal.clone();
        let drawn = drawing.render();
        let (keyboard, redrawing) =
            inline_buttons::make_keyboard(&self.buttons, link.message_ref(&cause), drawn.rows).await?;
        #[cfg(test)]
        crate::crash::crash_at("list made");
        let put = match (drawing.waits(), message) {
            (true, message) => {
                self.send_or_edit((link, &project), cause, message, (drawn.text, keyboard)).await?
            }
            // What is over is not sent again where its message was removed, or never was there.
            (false, Some(message)) => edit_message(link, message, drawn.text, keyboard).await,
            (false, None) => Ok(MessageId(0)),
        };
        inline_buttons::settle_redraw(&self.buttons, redrawing, &put).await?;
        if let (Ok(_), Some(index)) = (&put, drawn.document) {
            self.send_list_document(link, &drawing.calls[index].look).await?;
        }
        let is_over = drawing.calls.iter().all(|call| call.look.task.state.is_final());
        // The pages of a long list can be turned also once it is over.
        let is_gone = is_over && (drawn.pages == 1 || message.is_none());
        let settled = self.note_drawn(put, move |store| {
            kept::mark_list_drawn(store, at, &name, version)?;
            if is_gone { kept::forget_list(store, at, &name, version) } else { Ok(()) }
        });
        let settled = settled.await;
        #[cfg(test)]
        crate::crash::crash_at("list drawn");
        settled
    }

    /// A list with its calls as a person sees them now.
    fn read_list<'a>(
        &'a self,
        link: &ChatLink,
        cause: &MessageKey,
        row: &ListRow,
    ) -> Result<ListDrawing<'a>, StoreError> {
        let (at, name) = (link.bot_chat, cause.as_str().to_owned());
        let (rows, later) = self.read_store(move |store| {
            let tasks = kept::listed_tasks(store, at, &name)?;
            let later = match tasks.first() {
                Some(first) => kept::count_later_calls(store, at, (&name, *first))?,
                None => 0,
            };
            let card = |task: TaskId| Ok(cards::find_card(store, at, task)?.map(|card| (task, card)));
            let rows = tasks.into_iter().map(card).collect::<Result<Vec<_>, StoreError>>()?;
            Ok((rows, later))
        })?;
        let state = ListState::parse(&row.view);
        let (mut calls, mut read) = (Vec::new(), Vec::new());
        for (task, card) in rows.into_iter().flatten() {
            // A removed task has nothing left to show.
            let Ok(look) = api::look(&self.daemon, task) else { continue };
            if card.was_read && self.has_document(link, &look)? {
                read.push(task);
            }
            let mut call = ListedCall { look, decided: None, obstacle: None };
            if call.waits() {
                call.obstacle = press::obstacle(&self.daemon, &call.look);
            } else {
                call.decided = Some(card_view::recorded_decision(&call.look.task, &card, link.owner));
            }
            calls.push(call);
        }
        Ok(ListDrawing { daemon: &self.daemon, zone: &self.zone, calls, read, state, later })
    }

    async fn send_list_document(&self, link: &ChatLink, look: &InspectedTask) -> Result<(), StoreError> {
        let card_view =
            CardView { daemon: &self.daemon, zone: &self.zone, task_view: look, owner: link.owner };
        self.send_document(link, &card_view).await
    }

    /// Changes the stored state of a list in one step with what uses up the button, and draws it. False if
    /// there is no such list any more.
    pub(super) async fn change_list(
        self: &Arc<Self>,
        link: &ChatLink,
        cause: &str,
        change: impl FnOnce(&rusqlite::Connection, &mut ListState) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let (at, name) = (link.bot_chat, cause.to_owned());
        let changed = self.write_store(move |store| {
            let list = kept::find_list(store, at, &name)?;
            let mut state = list.as_ref().map(|list| ListState::parse(&list.view)).unwrap_or_default();
            change(store, &mut state)?;
            if list.is_some() {
                kept::set_list_view(store, at, &name, &state.serialize())?;
            }
            Ok(list.is_some())
        });
        let changed = changed.await?;
        self.redraw_item(CardItem::from_cause(cause));
        Ok(changed)
    }

    /// Shows the list again after a decision about several of its calls, with those that were left out.
    pub(super) async fn close_list_view(
        self: &Arc<Self>,
        link: &ChatLink,
        cause: &str,
        left_out: Vec<(TaskId, String)>,
    ) -> Result<(), StoreError> {
        let change = move |_: &rusqlite::Connection, state: &mut ListState| {
            (state.view, state.left_out) = (ListView::List(0), left_out);
            Ok(())
        };
        self.change_list(link, cause, change).await.map(drop)
    }
}

//! Presses: a person decides with a button on their phone (guarantees A2, A4).
//!
//! A button carries 256 random bits and nothing else. Its action is in the store, under the hash of those
//! bits. Each button belongs to one message, one chat, and one person or the deciders of a group. It is used
//! up once, in the transaction of its change. Only this module makes a [`ButtonPress`], so no agent's text
//! becomes one.

mod action;
mod press;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use portero::clock::Moment;
use portero::ipc::Act;
use portero::json::serialize_raw;
use portero::names::{TaskId, ToolId};

pub use self::action::{
    AnswerChoice, ButtonAction, CardDecision, ConfirmationAnswer, ListAction, ListDecision, Restriction,
    RestrictionLevel, ShownWidening, TaskDecision,
};
use self::press::judge_press;
pub use self::press::{ButtonPress, PressMeaning, PressSource};
use crate::journal::Journal;
pub use crate::store::buttons::MessageRef;
use crate::store::buttons::{self as kept, ButtonKey, NewButton};
use crate::store::{Durability, StoreError};

/// The time in which a person may write the reason that they were asked for.
pub const REASON_TIMEOUT: Duration = Duration::from_secs(600);

/// A message whose buttons change. Old and new buttons both count until the chat's state is known.
#[derive(Debug)]
#[must_use = "which buttons count follows from what the chat shows"]
pub struct ButtonRedraw {
    former_keys: Vec<ButtonKey>,
    new_keys: Vec<ButtonKey>,
}

/// Makes buttons and recognizes their presses.
#[derive(Debug, Clone)]
pub struct Buttons {
    journal: Arc<Journal>,
}

impl Buttons {
    /// Makes the table of buttons on this store.
    #[must_use]
    pub const fn new(journal: Arc<Journal>) -> Self {
        Self { journal }
    }

    /// Makes the new buttons of a message and returns each button's token, in order. The message's old
    /// buttons stay valid until [`Buttons::confirm_redraw`].
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn make_buttons(
        &self,
        spot: MessageRef,
        acts: Vec<(Option<TaskId>, ButtonAction)>,
    ) -> Result<(Vec<String>, ButtonRedraw), StoreError> {
        let (tokens, buttons) = generate_buttons(acts);
        let fresh = buttons.iter().map(|button| button.key).collect();
        let now = self.journal.now().wall;
        let change = move |store: &rusqlite::Connection| {
            let former = kept::unused_keys(store, &spot, None)?;
            kept::add_buttons(store, &spot, &buttons, now)?;
            Ok(former)
        };
        // A power loss may take these buttons. Their presses then count for nothing, which is safe.
        let former = self.journal.store().write(Durability::Unsynced, change).await?;
        Ok((tokens, ButtonRedraw { former_keys: former, new_keys: fresh }))
    }

    /// Begins to take a message's buttons away, except those that do `but`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn begin_removal(&self, spot: &MessageRef, but: &ButtonAction) -> Result<ButtonRedraw, StoreError> {
        let (spot, but) = (spot.clone(), serialize_action(but));
        let former = self.journal.store().read(move |store| kept::unused_keys(store, &spot, Some(&but)))?;
        Ok(ButtonRedraw { former_keys: former, new_keys: Vec::new() })
    }

    /// Voids a message's old buttons, once the chat shows the new ones.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn confirm_redraw(&self, redrawing: ButtonRedraw) -> Result<(), StoreError> {
        self.void_keys(redrawing.former_keys).await
    }

    /// Voids a message's new buttons, because the chat won't show them; its old buttons stay valid.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn cancel_redraw(&self, redrawing: ButtonRedraw) -> Result<(), StoreError> {
        self.void_keys(redrawing.new_keys).await
    }

    /// Voids all unused buttons of a message, because its question is settled.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn clear_buttons(&self, spot: MessageRef) -> Result<(), StoreError> {
        let change = move |store: &rusqlite::Connection| {
            let former = kept::unused_keys(store, &spot, None)?;
            kept::delete_unused(store, &former)
        };
        self.journal.store().write(Durability::Unsynced, change).await
    }

    async fn void_keys(&self, keys: Vec<ButtonKey>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.journal.store().write(Durability::Unsynced, move |store| kept::delete_unused(store, &keys)).await
    }

    /// Adds buttons to a message and returns each button's token, in order. The message's other buttons stay
    /// valid.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn add_buttons(
        &self,
        spot: MessageRef,
        acts: Vec<(Option<TaskId>, ButtonAction)>,
    ) -> Result<Vec<String>, StoreError> {
        let (tokens, buttons) = generate_buttons(acts);
        let now = self.journal.now().wall;
        let change = move |store: &rusqlite::Connection| kept::add_buttons(store, &spot, &buttons, now);
        // Synced before the message leaves, so a delivered button is known even after a power loss.
        self.journal.store().write(Durability::StoreSynced, change).await?;
        Ok(tokens)
    }

    /// Returns what a press on the button with this token means.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn resolve_press(&self, carried: &str, press: PressSource) -> Result<PressMeaning, StoreError> {
        let key = button_key(carried);
        let button = self.journal.store().read(move |store| kept::find_button(store, &key))?;
        Ok(button.map_or(PressMeaning::Unknown, |button| judge_press(button, press, self.journal.now())))
    }

    /// Returns what a reply of the person means: it is the reason, if one was asked for in the answered
    /// message. The cause of such a message begins with `kind`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn resolve_reply(
        &self,
        press: PressSource,
        kind: &'static str,
        now: Timestamp,
    ) -> Result<PressMeaning, StoreError> {
        let place = (press.bot, press.chat, press.message);
        let store = self.journal.store();
        let Some(button) = store.read(move |store| kept::find_under_message(store, place, kind))? else {
            // The question for the reason may have reached the person before Telegram confirmed it to the
            // daemon.
            let coming =
                store.read(move |store| kept::is_message_unconfirmed(store, press.bot, press.chat, kind))?;
            return Ok(if coming { PressMeaning::MessageUnconfirmed } else { PressMeaning::Unknown });
        };
        // A reply that came before is judged by its first time, so a repetition after a crash still counts.
        let in_time = now <= button.made + REASON_TIMEOUT || button.pressed_by.is_some();
        Ok(if in_time { judge_press(button, press, self.journal.now()) } else { PressMeaning::Unknown })
    }

    /// Returns the rule or grant that a press on this message asked for beside its decision about the task, and
    /// the moment of that press; none if no press did. It may not be made yet, or have ended.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn find_follow_up(
        &self,
        message: &MessageRef,
        (task, tool): (TaskId, &ToolId),
    ) -> Result<Option<(Act, Moment)>, StoreError> {
        let message = message.clone();
        let used = self.journal.store().read(move |store| kept::used_acts(store, &message))?;
        let follow_up = |(act, pressed): (String, Moment)| {
            let Ok(ButtonAction::Decide(decision)) = serde_json::from_str(&act) else { return None };
            let (_, follow_up) = CardDecision { decision, task, tool: tool.clone() }.acts();
            Some((follow_up?, pressed))
        };
        Ok(used.into_iter().find_map(follow_up))
    }

    /// Deletes old buttons.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn prune_buttons(&self) -> Result<(), StoreError> {
        let now = self.journal.now().wall;
        self.journal.store().write(Durability::Unsynced, move |store| kept::prune_buttons(store, now)).await
    }
}

/// Makes each button with the token that it carries.
fn generate_buttons(
    acts: impl IntoIterator<Item = (Option<TaskId>, ButtonAction)>,
) -> (Vec<String>, Vec<NewButton>) {
    let button = |(task, act): (Option<TaskId>, ButtonAction)| {
        // Only the hash is stored: a reader of the store can't press a button.
        let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let button = NewButton { key: button_key(&token), task, act: serialize_action(&act) };
        (token, button)
    };
    acts.into_iter().map(button).unzip()
}

fn button_key(token: &str) -> ButtonKey {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// An action as the store keeps it.
pub(crate) fn serialize_action(act: &ButtonAction) -> String {
    serialize_raw(act).get().to_owned()
}

#[cfg(test)]
mod tests;

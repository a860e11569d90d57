//! Presses: a person decides with a button on their phone (guarantees A2, A4).
//!
//! A button carries 256 random bits and nothing else. Its action is in the store, under the hash of those
//! bits. Each button belongs to one message, one chat, and one person or the deciders of a group. It is used
//! up once, in the transaction of its change. Only this module makes a [`ButtonPress`], so no agent's text
//! becomes one.

mod action;
mod answer;
mod restriction;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use portero::clock::Moment;
use portero::ipc::Act;
use portero::json::serialize_raw;
use portero::names::{Actor, TaskId, ToolId};
use portero::pattern::Pattern;
use portero::policy::GrantLimits;

pub use self::action::{ButtonAction, ShownWidening, TaskDecision};
pub use self::answer::{AnswerChoice, AnswerPress, ConfirmationAnswer};
pub use self::restriction::{Restriction, RestrictionLevel, RestrictionPress};
use crate::journal::Journal;
pub use crate::store::buttons::MessageRef;
use crate::store::buttons::{self as kept, ButtonKey, ButtonRow, NewButton};
pub(crate) use crate::store::buttons::{ButtonTicket, ButtonUse};
use crate::store::{Durability, StoreError};

/// The time in which a person may write the reason that they were asked for.
pub const REASON_TIMEOUT: Duration = Duration::from_secs(600);

/// A press as it came from Telegram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressSource {
    /// The bot's number.
    pub bot: i64,
    /// The chat's number.
    pub chat: i64,
    /// The number of the user who pressed.
    pub user: i64,
    /// The message with the button, or the message that is answered.
    pub message: i64,
    /// The press, by its update's number.
    pub update: i64,
}

/// What a press means once its button was found.
#[derive(Debug)]
pub enum PressMeaning {
    /// The press decides about a task.
    Decide(ButtonPress),
    /// The press confirms a widening change.
    Widen(ConfirmPress),
    /// The press restricts one tool.
    Restrict(RestrictionPress),
    /// The press answers the question of a terminal.
    Answer(AnswerPress),
    /// The press shows another view.
    Show(ListAction),
    /// The same press came again, perhaps because part of it is not done yet.
    Repeated(ButtonAction, Option<ButtonPress>),
    /// The same press came again, and it made a rule before.
    RestrictRepeated(RestrictionPress),
    /// Another press used this button up.
    Used,
    /// The button's message is on its way: Telegram has not confirmed it yet.
    MessageUnconfirmed,
    /// No such button exists here.
    Unknown,
}

/// Proof that the person pressed a button that decides about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonPress {
    ticket: ButtonTicket,
    user: i64,
    decision: TaskDecision,
    task: TaskId,
    tool: ToolId,
}

/// Proof that the person pressed a button that confirms a widening change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmPress {
    ticket: ButtonTicket,
    user: i64,
    widening: ShownWidening,
    message_ref: MessageRef,
}

/// A press on a button that only shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAction {
    pub(crate) ticket: ButtonTicket,
    /// The button's task; `None` if the button is about several.
    pub task: Option<TaskId>,
    /// The view's name.
    pub what: String,
    /// The message with the button.
    pub message_ref: MessageRef,
    user: i64,
}

impl ListAction {
    /// The person who pressed, as the audit names them.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }
}

impl ButtonPress {
    /// The decision of the button.
    #[must_use]
    pub const fn decision(&self) -> TaskDecision {
        self.decision
    }

    /// The task that the button is about.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The task's tool.
    #[must_use]
    pub const fn tool(&self) -> &ToolId {
        &self.tool
    }

    /// The person who pressed, as the audit names them.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }

    /// The user's number of the person who pressed.
    #[must_use]
    pub const fn user(&self) -> i64 {
        self.user
    }

    /// The acts of the press: the first about the call, and the second about its tool from then on.
    #[must_use]
    pub fn acts(&self) -> (Act, Option<Act>) {
        let pattern = || Pattern::from(&self.tool);
        match self.decision {
            TaskDecision::Approve => (Act::Approve(self.task), None),
            TaskDecision::ApproveFor(minutes) => {
                // A grant by button has no other limit: the card has no room to show more.
                let lasts = Duration::from_secs(60 * u64::from(minutes));
                (Act::Approve(self.task), Some(Act::grant(&pattern(), lasts, &GrantLimits::default())))
            }
            TaskDecision::Allow => (Act::Approve(self.task), Some(Act::Allow(pattern()))),
            TaskDecision::Deny | TaskDecision::DenyWithReason => (Act::Reject(self.task), None),
            TaskDecision::Forbid => (Act::Reject(self.task), Some(Act::Deny(pattern()))),
        }
    }

    pub(crate) const fn ticket(&self) -> &ButtonTicket {
        &self.ticket
    }

    #[cfg(test)]
    pub(crate) fn test(deed: TaskDecision, task: TaskId, tool: ToolId) -> Self {
        Self { ticket: ButtonTicket::test(), user: 4711, decision: deed, task, tool }
    }
}

impl ConfirmPress {
    /// The change that the press confirms.
    #[must_use]
    pub const fn widening(&self) -> &ShownWidening {
        &self.widening
    }

    /// The message with the button.
    #[must_use]
    pub const fn message_ref(&self) -> &MessageRef {
        &self.message_ref
    }

    /// The person who pressed, as the audit names them.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }

    pub(crate) const fn ticket(&self) -> &ButtonTicket {
        &self.ticket
    }

    #[cfg(test)]
    pub(crate) fn test(what: Act) -> Self {
        let spot = MessageRef { bot: 1, chat: 1, user: Some(1), cause: String::new() };
        let widening = ShownWidening { what, seen: String::new() };
        Self { ticket: ButtonTicket::test(), user: 4711, widening, message_ref: spot }
    }
}

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
    /// message.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn resolve_reply(&self, press: PressSource, now: Timestamp) -> Result<PressMeaning, StoreError> {
        let act = serialize_action(&ButtonAction::Decide(TaskDecision::DenyWithReason));
        let place = (press.bot, press.chat, press.message);
        let store = self.journal.store();
        let wanted = act.clone();
        let Some(button) = store.read(move |store| kept::find_under_message(store, place, &wanted))? else {
            // The question for the reason may have reached the person before Telegram confirmed it to the
            // daemon.
            let coming =
                store.read(move |store| kept::is_message_unconfirmed(store, press.bot, press.chat, &act))?;
            return Ok(if coming { PressMeaning::MessageUnconfirmed } else { PressMeaning::Unknown });
        };
        // A reply that came before is judged by its first time, so a repetition after a crash still counts.
        let in_time = now <= button.made + REASON_TIMEOUT || button.pressed_by.is_some();
        Ok(if in_time { judge_press(button, press, self.journal.now()) } else { PressMeaning::Unknown })
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

/// A press counts only in its button's own message, and only from the person it was made for.
fn judge_press(button: ButtonRow, press: PressSource, now: Moment) -> PressMeaning {
    let MessageRef { bot, chat, user, .. } = button.message_ref;
    let is_for = user.is_none_or(|user| user == press.user);
    if (bot, chat) != (press.bot, press.chat) || !is_for {
        return PressMeaning::Unknown;
    }
    match button.message {
        None => return PressMeaning::MessageUnconfirmed,
        Some(message) if message != press.message => return PressMeaning::Unknown,
        Some(_) => {}
    }
    let user = press.user;
    let Ok(act) = serde_json::from_str::<ButtonAction>(&button.act) else { return PressMeaning::Unknown };
    // Telegram delivers an update again after a crash. It keeps the time of its first delivery, so a grant
    // doesn't last longer.
    let is_again = button.pressed_by == Some(press.update);
    let at = button.pressed_at.filter(|_| is_again).unwrap_or(now);
    let ticket = ButtonTicket { key: button.key, update: press.update, at };
    let tapped = |deed| {
        let (task, tool) = (button.task?, button.tool.clone()?);
        Some(ButtonPress { ticket: ticket.clone(), user, decision: deed, task, tool })
    };
    match (button.pressed_by, act) {
        // The first step approved the call; the second may still be missing, and is caught up with.
        (Some(update), ButtonAction::Decide(deed)) if update == press.update => PressMeaning::Repeated(
            ButtonAction::Decide(deed),
            tapped(deed).filter(|_| button.steps_done == 1),
        ),
        (Some(update), act @ (ButtonAction::Show(_) | ButtonAction::Widen(_) | ButtonAction::Answer(_)))
            if update == press.update =>
        {
            PressMeaning::Repeated(act, None)
        }
        (spent_by, ButtonAction::Restrict(restriction))
            if spent_by.is_none_or(|update| update == press.update) =>
        {
            let restricting =
                RestrictionPress { ticket, user, restriction, message_ref: button.message_ref.clone() };
            if spent_by.is_none() {
                PressMeaning::Restrict(restricting)
            } else {
                PressMeaning::RestrictRepeated(restricting)
            }
        }
        (Some(_), _) => PressMeaning::Used,
        // The arm above takes every such press; this one only completes the match.
        (None, ButtonAction::Restrict(_)) => PressMeaning::Unknown,
        (None, ButtonAction::Decide(deed)) => {
            tapped(deed).map_or(PressMeaning::Unknown, PressMeaning::Decide)
        }
        (None, ButtonAction::Widen(widening)) => PressMeaning::Widen(ConfirmPress {
            ticket,
            user,
            widening,
            message_ref: button.message_ref.clone(),
        }),
        (None, ButtonAction::Answer(answer)) => PressMeaning::Answer(AnswerPress {
            ticket,
            user,
            answer,
            message_ref: button.message_ref.clone(),
        }),
        (None, ButtonAction::Show(what)) => {
            let (task, spot) = (button.task, button.message_ref.clone());
            PressMeaning::Show(ListAction { ticket: ticket.clone(), task, what, message_ref: spot, user })
        }
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

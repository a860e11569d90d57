//! Taps: a person decides with a button on their phone (guarantees A2, A4).
//!
//! A button carries 256 random bits and nothing else; what it does is kept here, under their hash. It stands
//! under one message in one chat, for one person or for those who decide in that group, is about one task and one act, and is used once, in the
//! transaction of the change that it makes. [`ButtonPress`], which confirms an act, is made here alone, from such a
//! button: nothing that an agent writes becomes one.

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

/// How long a reason may be given after it was asked for.
pub const REASON_TIMEOUT: Duration = Duration::from_secs(600);

/// A press, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressSource {
    /// The bot's number.
    pub bot: i64,
    /// The chat's.
    pub chat: i64,
    /// Who pressed.
    pub user: i64,
    /// The message that the button stands under, or that is answered.
    pub message: i64,
    /// The press, by its update's number.
    pub update: i64,
}

/// What a press is worth.
#[derive(Debug)]
pub enum PressMeaning {
    /// It decides.
    Decide(ButtonPress),
    /// It confirms what widens.
    Widen(ConfirmPress),
    /// It narrows what one tool may do.
    Restrict(RestrictionPress),
    /// It answers what a terminal asks for.
    Answer(AnswerPress),
    /// It shows something else.
    Show(ListAction),
    /// It is the press that used this button: it comes again, perhaps since not all of it was done.
    Repeated(ButtonAction, Option<ButtonPress>),
    /// It is the press that made a rule before.
    RestrictRepeated(RestrictionPress),
    /// Another press used this button.
    Used,
    /// Its message is on its way: Telegram has not confirmed it yet.
    MessageUnconfirmed,
    /// There is no such button here.
    Unknown,
}

/// Proof that the person tapped a button that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonPress {
    ticket: ButtonTicket,
    user: i64,
    decision: TaskDecision,
    task: TaskId,
    tool: ToolId,
}

/// Proof that the person tapped a button that confirms what widens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmPress {
    ticket: ButtonTicket,
    user: i64,
    widening: ShownWidening,
    message_ref: MessageRef,
}

/// A tap on a button that only shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAction {
    pub(crate) ticket: ButtonTicket,
    /// The task that it is about; none where it is about several.
    pub task: Option<TaskId>,
    /// What it shows.
    pub what: String,
    /// Under which message it stands.
    pub message_ref: MessageRef,
    user: i64,
}

impl ListAction {
    /// Who tapped, in the words of the audit.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }
}

impl ButtonPress {
    /// What it decides.
    #[must_use]
    pub const fn decision(&self) -> TaskDecision {
        self.decision
    }

    /// About which task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The task's tool.
    #[must_use]
    pub const fn tool(&self) -> &ToolId {
        &self.tool
    }

    /// Who tapped, in the words of the audit.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }

    /// Who tapped.
    #[must_use]
    pub const fn user(&self) -> i64 {
        self.user
    }

    /// What it does: about the call, and from then on about its tool.
    #[must_use]
    pub fn acts(&self) -> (Act, Option<Act>) {
        let pattern = || Pattern::from(&self.tool);
        match self.decision {
            TaskDecision::Approve => (Act::Approve(self.task), None),
            TaskDecision::ApproveFor(minutes) => {
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
    /// What it confirms.
    #[must_use]
    pub const fn widening(&self) -> &ShownWidening {
        &self.widening
    }

    /// Under which message the button stands.
    #[must_use]
    pub const fn message_ref(&self) -> &MessageRef {
        &self.message_ref
    }

    /// Who tapped, in the words of the audit.
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

/// A message that is being drawn anew: until it is known what the chat shows, its former and its new buttons count.
#[derive(Debug)]
#[must_use = "which buttons count follows from what the chat shows"]
pub struct ButtonRedraw {
    former_keys: Vec<ButtonKey>,
    new_keys: Vec<ButtonKey>,
}

/// Makes buttons and knows them again.
#[derive(Debug, Clone)]
pub struct Buttons {
    journal: Arc<Journal>,
}

impl Buttons {
    /// On this store.
    #[must_use]
    pub const fn new(journal: Arc<Journal>) -> Self {
        Self { journal }
    }

    /// Makes the buttons of a message, each with its task, and gives what each is to carry, in their order. The
    /// message's former buttons go on counting until [`Buttons::confirm_redraw`].
    ///
    /// # Errors
    /// When the store cannot be written.
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
        let former = self.journal.store().write(Durability::Unsynced, change).await?;
        Ok((tokens, ButtonRedraw { former_keys: former, new_keys: fresh }))
    }

    /// The message is about to lose its buttons; those that do `but` go on counting.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn begin_removal(&self, spot: &MessageRef, but: &ButtonAction) -> Result<ButtonRedraw, StoreError> {
        let (spot, but) = (spot.clone(), serialize_action(but));
        let former = self.journal.store().read(move |store| kept::unused_keys(store, &spot, Some(&but)))?;
        Ok(ButtonRedraw { former_keys: former, new_keys: Vec::new() })
    }

    /// The message shows its new buttons: its former ones count no more.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn confirm_redraw(&self, redrawing: ButtonRedraw) -> Result<(), StoreError> {
        self.void_keys(redrawing.former_keys).await
    }

    /// The message will not show its new buttons: they count no more, and its former ones do.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn cancel_redraw(&self, redrawing: ButtonRedraw) -> Result<(), StoreError> {
        self.void_keys(redrawing.new_keys).await
    }

    /// What a message's buttons were for is done: none of them counts any more.
    ///
    /// # Errors
    /// When the store cannot be written.
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

    /// Makes buttons of a message, each with its task, and gives what each is to carry, in their order. The
    /// message's other buttons go on counting.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn add_buttons(
        &self,
        spot: MessageRef,
        acts: Vec<(Option<TaskId>, ButtonAction)>,
    ) -> Result<Vec<String>, StoreError> {
        let (tokens, buttons) = generate_buttons(acts);
        let now = self.journal.now().wall;
        let change = move |store: &rusqlite::Connection| kept::add_buttons(store, &spot, &buttons, now);
        self.journal.store().write(Durability::StoreSynced, change).await?;
        Ok(tokens)
    }

    /// What a press of a button is worth.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn resolve_press(&self, carried: &str, press: PressSource) -> Result<PressMeaning, StoreError> {
        let key = button_key(carried);
        let button = self.journal.store().read(move |store| kept::find_button(store, &key))?;
        Ok(button.map_or(PressMeaning::Unknown, |button| judge_press(button, press, self.journal.now())))
    }

    /// What a message of the person that answers another is worth: the reason that was asked for there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn resolve_reply(&self, press: PressSource, now: Timestamp) -> Result<PressMeaning, StoreError> {
        let act = serialize_action(&ButtonAction::Decide(TaskDecision::DenyWithReason));
        let place = (press.bot, press.chat, press.message);
        let store = self.journal.store();
        let wanted = act.clone();
        let Some(button) = store.read(move |store| kept::find_under_message(store, place, &wanted))? else {
            let coming =
                store.read(move |store| kept::is_message_unconfirmed(store, press.bot, press.chat, &act))?;
            return Ok(if coming { PressMeaning::MessageUnconfirmed } else { PressMeaning::Unknown });
        };
        let in_time = now <= button.made + REASON_TIMEOUT || button.pressed_by.is_some();
        Ok(if in_time { judge_press(button, press, self.journal.now()) } else { PressMeaning::Unknown })
    }

    /// Forgets buttons of long ago.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn prune_buttons(&self) -> Result<(), StoreError> {
        let now = self.journal.now().wall;
        self.journal.store().write(Durability::Unsynced, move |store| kept::prune_buttons(store, now)).await
    }
}

/// A press is only worth something to the one for whom the button was made, where it stands.
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
    let is_again = button.pressed_by == Some(press.update);
    let at = button.pressed_at.filter(|_| is_again).unwrap_or(now);
    let ticket = ButtonTicket { key: button.key, update: press.update, at };
    let tapped = |deed| {
        let (task, tool) = (button.task?, button.tool.clone()?);
        Some(ButtonPress { ticket: ticket.clone(), user, decision: deed, task, tool })
    };
    match (button.pressed_by, act) {
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

/// What each button is to carry, and the button.
fn generate_buttons(
    acts: impl IntoIterator<Item = (Option<TaskId>, ButtonAction)>,
) -> (Vec<String>, Vec<NewButton>) {
    let button = |(task, act): (Option<TaskId>, ButtonAction)| {
        let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let button = NewButton { key: button_key(&token), task, act: serialize_action(&act) };
        (token, button)
    };
    acts.into_iter().map(button).unzip()
}

fn button_key(token: &str) -> ButtonKey {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// What is kept of what a button does.
pub(crate) fn serialize_action(act: &ButtonAction) -> String {
    serialize_raw(act).get().to_owned()
}

#[cfg(test)]
mod tests;

//! Taps: a person decides with a button on their phone (guarantees A2, A4).
//!
//! A button carries 256 random bits and nothing else; what it does is kept here, under their hash. It stands
//! under one message in one chat, for one person or for those who decide in that group, is about one task and one act, and is used once, in the
//! transaction of the change that it makes. [`Tapped`], which confirms an act, is made here alone, from such a
//! button: nothing that an agent writes becomes one.

mod act;
mod answer;
mod restrict;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use portero::clock::Moment;
use portero::json::raw;
use portero::names::{TaskId, ToolId};
use portero::pattern::Pattern;

pub use self::act::{Act, Deed, Widening, Wider};
pub use self::answer::{Answer, Answered, Says};
pub use self::restrict::{Restricting, Restriction, Stricter};
use crate::journal::Journal;
pub use crate::store::buttons::Spot;
pub(crate) use crate::store::buttons::Ticket;
use crate::store::buttons::{self as kept, Button, Key, New};
use crate::store::{Records, StoreError};

/// How long a reason may be given after it was asked for.
pub const REASON_FOR: Duration = Duration::from_secs(600);

/// A press, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
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
pub enum Found {
    /// It decides.
    Decide(Tapped),
    /// It confirms what widens.
    Widen(Affirmed),
    /// It narrows what one tool may do.
    Restrict(Restricting),
    /// It answers what a terminal asks for.
    Answer(Answered),
    /// It shows something else.
    Show(Turned),
    /// It is the press that used this button: it comes again, perhaps since not all of it was done.
    Again(Act, Option<Tapped>),
    /// It is the press that made a rule before.
    RestrictAgain(Restricting),
    /// Another press used this button.
    Used,
    /// Its message is on its way: Telegram has not confirmed it yet.
    Unsent,
    /// There is no such button here.
    Void,
}

/// Proof that the person tapped a button that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    ticket: Ticket,
    user: i64,
    deed: Deed,
    task: TaskId,
    tool: ToolId,
}

/// Proof that the person tapped a button that confirms what widens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affirmed {
    ticket: Ticket,
    user: i64,
    widening: Widening,
    spot: Spot,
}

/// A tap on a button that only shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    pub(crate) ticket: Ticket,
    /// The task that it is about; none where it is about several.
    pub task: Option<TaskId>,
    /// What it shows.
    pub what: String,
    /// Under which message it stands.
    pub spot: Spot,
    user: i64,
}

impl Turned {
    /// Who tapped, in the words of the audit.
    #[must_use]
    pub fn by(&self) -> String {
        format!("telegram user {}", self.user)
    }
}

impl Tapped {
    /// What it decides.
    #[must_use]
    pub const fn deed(&self) -> Deed {
        self.deed
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
    pub fn by(&self) -> String {
        format!("telegram user {}", self.user)
    }

    /// Who tapped.
    #[must_use]
    pub const fn user(&self) -> i64 {
        self.user
    }

    /// Whether it confirms that this task runs.
    #[must_use]
    pub fn approves(&self, task: TaskId) -> bool {
        self.deed.approves() && self.task == task
    }

    /// Whether it confirms a grant: of the one tool, for as long as the button said.
    #[must_use]
    pub fn grants(&self, pattern: &Pattern, lasts: Duration) -> bool {
        match self.deed {
            Deed::ApproveFor(minutes) => {
                pattern.exact() == Some(&self.tool) && lasts <= Duration::from_secs(60 * u64::from(minutes))
            }
            Deed::Approve | Deed::Allow | Deed::Deny | Deed::DenyWithReason | Deed::Forbid => false,
        }
    }

    /// Whether it confirms a rule that allows: of the one tool.
    #[must_use]
    pub fn allows(&self, pattern: &Pattern) -> bool {
        self.deed == Deed::Allow && pattern.exact() == Some(&self.tool)
    }

    pub(crate) const fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    #[cfg(test)]
    pub(crate) fn test(deed: Deed, task: TaskId, tool: ToolId) -> Self {
        Self { ticket: Ticket::test(), user: 4711, deed, task, tool }
    }
}

impl Affirmed {
    /// What it confirms.
    #[must_use]
    pub const fn widening(&self) -> &Widening {
        &self.widening
    }

    /// Under which message the button stands.
    #[must_use]
    pub const fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Who tapped, in the words of the audit.
    #[must_use]
    pub fn by(&self) -> String {
        format!("telegram user {}", self.user)
    }

    pub(crate) const fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    #[cfg(test)]
    pub(crate) fn test(what: Wider) -> Self {
        let spot = Spot { bot: 1, chat: 1, user: Some(1), cause: String::new() };
        let widening = Widening { what, seen: String::new() };
        Self { ticket: Ticket::test(), user: 4711, widening, spot }
    }
}

/// A message that is being drawn anew: until it is known what the chat shows, its former and its new buttons count.
#[derive(Debug)]
#[must_use = "which buttons count follows from what the chat shows"]
pub struct Redrawing {
    former: Vec<Key>,
    fresh: Vec<Key>,
}

/// Makes buttons and knows them again.
#[derive(Debug, Clone)]
pub struct Taps {
    journal: Arc<Journal>,
}

impl Taps {
    /// On this store.
    #[must_use]
    pub const fn new(journal: Arc<Journal>) -> Self {
        Self { journal }
    }

    /// Makes the buttons of a message, each with its task, and gives what each is to carry, in their order. The
    /// message's former buttons go on counting until [`Taps::shown`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn make(
        &self,
        spot: Spot,
        acts: Vec<(Option<TaskId>, Act)>,
    ) -> Result<(Vec<String>, Redrawing), StoreError> {
        let (tokens, buttons) = fresh(acts);
        let fresh = buttons.iter().map(|button| button.key).collect();
        let now = self.journal.now().wall;
        let change = move |store: &rusqlite::Connection| {
            let former = kept::unused(store, &spot, None)?;
            kept::add(store, &spot, &buttons, now)?;
            Ok(former)
        };
        let former = self.journal.store().write(Records::Unsynced, change).await?;
        Ok((tokens, Redrawing { former, fresh }))
    }

    /// The message is about to lose its buttons; those that do `but` go on counting.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn take_away(&self, spot: &Spot, but: &Act) -> Result<Redrawing, StoreError> {
        let (spot, but) = (spot.clone(), stored(but));
        let former = self.journal.store().read(move |store| kept::unused(store, &spot, Some(&but)))?;
        Ok(Redrawing { former, fresh: Vec::new() })
    }

    /// The message shows its new buttons: its former ones count no more.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn shown(&self, redrawing: Redrawing) -> Result<(), StoreError> {
        self.void(redrawing.former).await
    }

    /// The message will not show its new buttons: they count no more, and its former ones do.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn not_shown(&self, redrawing: Redrawing) -> Result<(), StoreError> {
        self.void(redrawing.fresh).await
    }

    /// What a message's buttons were for is done: none of them counts any more.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn clear(&self, spot: Spot) -> Result<(), StoreError> {
        let change = move |store: &rusqlite::Connection| {
            let former = kept::unused(store, &spot, None)?;
            kept::void(store, &former)
        };
        self.journal.store().write(Records::Unsynced, change).await
    }

    async fn void(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.journal.store().write(Records::Unsynced, move |store| kept::void(store, &keys)).await
    }

    /// Makes buttons of a message, each with its task, and gives what each is to carry, in their order. The
    /// message's other buttons go on counting.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn add(&self, spot: Spot, acts: Vec<(Option<TaskId>, Act)>) -> Result<Vec<String>, StoreError> {
        let (tokens, buttons) = fresh(acts);
        let now = self.journal.now().wall;
        let change = move |store: &rusqlite::Connection| kept::add(store, &spot, &buttons, now);
        self.journal.store().write(Records::None, change).await?;
        Ok(tokens)
    }

    /// What a press of a button is worth.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pressed(&self, carried: &str, press: Press) -> Result<Found, StoreError> {
        let key = key(carried);
        let button = self.journal.store().read(move |store| kept::find(store, &key))?;
        Ok(button.map_or(Found::Void, |button| judge(button, press, self.journal.now())))
    }

    /// What a message of the person that answers another is worth: the reason that was asked for there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answered(&self, press: Press, now: Timestamp) -> Result<Found, StoreError> {
        let act = stored(&Act::Decide(Deed::DenyWithReason));
        let place = (press.bot, press.chat, press.message);
        let store = self.journal.store();
        let wanted = act.clone();
        let Some(button) = store.read(move |store| kept::under(store, place, &wanted))? else {
            let coming = store.read(move |store| kept::is_on_its_way(store, press.bot, press.chat, &act))?;
            return Ok(if coming { Found::Unsent } else { Found::Void });
        };
        let in_time = now <= button.made + REASON_FOR || button.spent_by.is_some();
        Ok(if in_time { judge(button, press, self.journal.now()) } else { Found::Void })
    }

    /// Forgets buttons of long ago.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget(&self) -> Result<(), StoreError> {
        let now = self.journal.now().wall;
        self.journal.store().write(Records::Unsynced, move |store| kept::forget(store, now)).await
    }
}

/// A press is only worth something to the one for whom the button was made, where it stands.
fn judge(button: Button, press: Press, now: Moment) -> Found {
    let Spot { bot, chat, user, .. } = button.spot;
    let is_for = user.is_none_or(|user| user == press.user);
    if (bot, chat) != (press.bot, press.chat) || !is_for {
        return Found::Void;
    }
    match button.message {
        None => return Found::Unsent,
        Some(message) if message != press.message => return Found::Void,
        Some(_) => {}
    }
    let user = press.user;
    let Ok(act) = serde_json::from_str::<Act>(&button.act) else { return Found::Void };
    let is_again = button.spent_by == Some(press.update);
    let at = button.spent.filter(|_| is_again).unwrap_or(now);
    let ticket = Ticket { key: button.key, update: press.update, at };
    let tapped = |deed| {
        let (task, tool) = (button.task?, button.tool.clone()?);
        Some(Tapped { ticket: ticket.clone(), user, deed, task, tool })
    };
    match (button.spent_by, act) {
        (Some(update), Act::Decide(deed)) if update == press.update => {
            Found::Again(Act::Decide(deed), tapped(deed).filter(|_| button.steps == 1))
        }
        (Some(update), act @ (Act::Show(_) | Act::Widen(_) | Act::Answer(_))) if update == press.update => {
            Found::Again(act, None)
        }
        (spent_by, Act::Restrict(restriction)) if spent_by.is_none_or(|update| update == press.update) => {
            let restricting = Restricting { ticket, user, restriction, spot: button.spot.clone() };
            if spent_by.is_none() { Found::Restrict(restricting) } else { Found::RestrictAgain(restricting) }
        }
        (Some(_), _) => Found::Used,
        (None, Act::Restrict(_)) => Found::Void,
        (None, Act::Decide(deed)) => tapped(deed).map_or(Found::Void, Found::Decide),
        (None, Act::Widen(widening)) => {
            Found::Widen(Affirmed { ticket, user, widening, spot: button.spot.clone() })
        }
        (None, Act::Answer(answer)) => {
            Found::Answer(Answered { ticket, user, answer, spot: button.spot.clone() })
        }
        (None, Act::Show(what)) => {
            let (task, spot) = (button.task, button.spot.clone());
            Found::Show(Turned { ticket: ticket.clone(), task, what, spot, user })
        }
    }
}

/// What each button is to carry, and the button.
fn fresh(acts: impl IntoIterator<Item = (Option<TaskId>, Act)>) -> (Vec<String>, Vec<New>) {
    let button = |(task, act): (Option<TaskId>, Act)| {
        let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let button = New { key: key(&token), task, act: stored(&act) };
        (token, button)
    };
    acts.into_iter().map(button).unzip()
}

fn key(token: &str) -> Key {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// What is kept of what a button does.
pub(crate) fn stored(act: &Act) -> String {
    raw(act).get().to_owned()
}

#[cfg(test)]
mod tests;

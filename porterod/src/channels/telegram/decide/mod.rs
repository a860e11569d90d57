//! Deciding on Telegram: a press or a reason of the person becomes a request as the terminal makes them.
//!
//! What a press does is in the store, under the hash of what its button carries ([`crate::taps`]); here it is
//! only found, done by [`crate::control`], and answered. What is not about a card goes to the next flow.

mod reason;
mod words;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::ipc::{FailureKind, Look};
use portero::names::TaskId;
use portero::pipeline::BoxFuture;
use portero::policy::{Action, Source};
use portero::task::{State, Task};

use self::words::Words;
use super::board::{Board, Item, Link};
use super::bot::{ChatId, MessageId, Room, TopicId};
use super::buttons;
use super::courier::{Courier, Letter, Rank};
use super::door::{Word, command};
use super::ear::{Flow, Heard, Receipt};
use super::face::is_locked;
use super::keyboard::{Choice, View};
use super::talk;
use super::tell;
use super::text::{MESSAGE_MOST, Shown, Text};
use crate::api::{self, Undone};
use crate::daemon::Daemon;
use crate::pairing::{Circle, Person};
use crate::store::StoreError;
use crate::store::cards::{self as kept, Chat, Turn};
use crate::taps::{self, Act, Deed, Found, Says, Tapped, Turned};

/// How long to wait for Telegram's word that a message arrived whose button was pressed already.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The flow that decides.
pub struct Deciding {
    board: Arc<Board>,
    next: Arc<dyn Flow>,
}

impl Deciding {
    /// Decides for this daemon; times are told in the person's zone. What is not about a card goes to `next`.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, zone: TimeZone, next: Arc<dyn Flow>) -> Self {
        Self { board: Board::new(daemon, zone), next }
    }

    /// Shows what waits and what became of it, until the daemon is to end. The composition root spawns it.
    pub fn telling(&self) -> impl Future<Output = ()> + Send + use<> {
        tell::run(Arc::clone(&self.board))
    }

    async fn heard(&self, heard: Heard) -> Result<(), StoreError> {
        let (bot, update) = heard.receipt.numbers();
        let person = heard.person;
        let at = Chat { bot, chat: person.chat };
        let link = Link { courier: heard.courier.clone(), at, owner: person.owner() };
        let press = |message: MessageId| taps::Press {
            bot,
            chat: person.chat,
            user: person.user,
            message: message.0,
            update,
        };
        match &heard.word {
            Word::Pressed(pressed) => {
                let Some((_, _, message)) = pressed.place else { return Ok(()) };
                let carried = pressed.data.as_deref().unwrap_or_default();
                let found =
                    arrived(&link.courier, || self.board.taps.pressed(carried, press(message))).await?;
                let words = if heard.is_overtaken && widens(&found) {
                    words::OVERTAKEN
                } else if talk::is_its(&found) {
                    return self.next.hear(heard).await;
                } else {
                    self.pressed(&link, person, found, message.0).await?
                };
                let Words { text, alert } = words;
                link.courier.answer(pressed.query.clone(), text.map(Cow::into_owned), alert);
                Ok(())
            }
            Word::Said(said) => {
                let reason = match said.answers {
                    Some(answered) => self.reason(&link, press(answered), said.text.as_deref()).await?,
                    None => None,
                };
                match reason {
                    Some(words) => {
                        say(&link, said.topic, words, heard.receipt);
                        Ok(())
                    }
                    None => {
                        let asks = said.text.as_deref().is_some_and(|text| self.asks_what_waits(text));
                        self.next.hear(heard).await?;
                        if asks {
                            self.board.refresh_questions(at).await?;
                        }
                        Ok(())
                    }
                }
            }
        }
    }

    fn asks_what_waits(&self, text: &str) -> bool {
        let bot = self.board.daemon.weather.seen().username.unwrap_or_default();
        matches!(command(text, &bot), Some(("pending", _)))
    }

    /// Does what a button stands for; what to answer.
    async fn pressed(
        &self,
        link: &Link,
        person: Person,
        found: Found,
        message: i64,
    ) -> Result<Words, StoreError> {
        match found {
            Found::Decide(tapped) => self.decide(tapped, None, false).await,
            Found::Again(Act::Decide(deed), None) => Ok(words::done(deed, false)),
            Found::Again(Act::Decide(_), Some(tapped)) => self.decide(tapped, None, true).await,
            Found::Again(Act::Show(_), _) => {
                self.board.refresh_all()?;
                Ok(Words::none())
            }
            Found::Show(turned) => self.show(link, person, turned).await,
            Found::Used
            | Found::Widen(_)
            | Found::Again(Act::Widen(_) | Act::Restrict(_) | Act::Answer(_), _)
            | Found::Answer(_)
            | Found::Restrict(_)
            | Found::RestrictAgain(_) => Ok(words::USED),
            Found::Unsent => Ok(words::UNSENT),
            Found::Void => {
                self.stale(link.at, message).await?;
                Ok(words::VOID)
            }
        }
    }

    /// Decides. `begun` says that this very press was here before, and its call is decided.
    async fn decide(&self, tapped: Tapped, reason: Option<String>, begun: bool) -> Result<Words, StoreError> {
        let (deed, task) = (tapped.deed(), tapped.task());
        let Ok(look) = api::look(&self.board.daemon, task) else { return Ok(words::GONE) };
        let hindrance = self.hindrance(&look, &tapped);
        if let (false, Some(Hindrance::Never(words))) = (begun, &hindrance) {
            return Ok(words.clone());
        }
        let waits = matches!(hindrance, Some(Hindrance::Waits));
        let done = api::tapped(&self.board.daemon, tapped, reason, begun).await;
        #[cfg(test)]
        crate::crash::reached("tap done");
        Ok(match done {
            Ok(()) if deed.approves() && self.still_waits(task) => words::COUNTED,
            Ok(()) => words::done(deed, waits),
            Err(Undone::Rest(failure)) => {
                tracing::warn!(%failure, "a tap decided the call alone");
                words::half(deed, failure.kind)
            }
            Err(Undone::All(failure)) => {
                let now = api::look(&self.board.daemon, task).map(|look| look.task.state);
                tracing::info!(%failure, "a tap changed nothing");
                let undone = words::undone(now.ok(), &failure);
                if deed == Deed::Forbid
                    && failure.kind != FailureKind::Internal
                    && failure.kind != FailureKind::Storage
                {
                    words::undone_for_good(undone, &look.task.call.tool)
                } else {
                    undone
                }
            }
        })
    }

    /// Whether a task waits for others after one person's yes.
    fn still_waits(&self, task: TaskId) -> bool {
        let look = api::look(&self.board.daemon, task);
        look.is_ok_and(|look| look.task.state == State::PendingApproval)
    }

    /// Why a yes would not come to pass, or not now.
    fn hindrance(&self, look: &Look, tapped: &Tapped) -> Option<Hindrance> {
        let loosens = match tapped.deed() {
            Deed::Approve => false,
            Deed::ApproveFor(_) | Deed::Allow => true,
            Deed::Deny | Deed::DenyWithReason | Deed::Forbid => return None,
        };
        let daemon = &self.board.daemon;
        if look.task.state != State::PendingApproval {
            return None;
        }
        if loosens && is_locked(daemon, look) {
            return Some(Hindrance::Never(words::LOCKED));
        }
        if let Some(words) = adds_nothing(&look.task, tapped.user()) {
            return Some(Hindrance::Never(words));
        }
        let (call, asker) = (&look.task.call, look.task.origin.asker());
        let policy = daemon.policy.load();
        let decision = policy.decide(&call.tool, call.arguments(), Some(asker), daemon.clock.now());
        match (decision.action, &decision.source) {
            (Action::Deny, Source::Pause(_)) => Some(Hindrance::Waits),
            (Action::Deny, _) => Some(Hindrance::Never(words::DENIED_MEANWHILE)),
            (Action::Allow | Action::RequireApproval, _) => None,
        }
    }

    /// Shows something else; nothing is decided, save by the button against all of a list.
    async fn show(&self, link: &Link, person: Person, turned: Turned) -> Result<Words, StoreError> {
        let Some(choice) = buttons::choice(&turned.what) else { return Ok(words::VOID) };
        if choice == Choice::DenyAll {
            return self.deny_all(link, turned).await;
        }
        let (Some(task), at) = (turned.task, link.at) else { return Ok(words::VOID) };
        let Some(card) = self.board.read(move |store| kept::card(store, at, task))? else {
            return Ok(words::GONE);
        };
        if choice == Choice::Read && !self.document_arrived(link, task).await? {
            self.board.write(move |store| kept::again(store, at, task)).await?;
            self.board.refresh(Item::Card(task));
            return Ok(words::NO_DOCUMENT);
        }
        let view = serde_json::from_str(&card.view).unwrap_or(View::Card);
        let (view, page) = match choice {
            Choice::More => (View::More, card.page),
            Choice::AlwaysAllow => (View::Sure, card.page),
            Choice::AsJson => (View::Json, 0),
            Choice::Page(page) => (view, page),
            Choice::AsCard | Choice::Less | Choice::Single => (View::Card, 0),
            Choice::Read | Choice::DenyWithReason => (view, card.page),
            Choice::Approve
            | Choice::ApproveFor(_)
            | Choice::AllowForGood
            | Choice::Deny
            | Choice::AlwaysDeny
            | Choice::DenyAll => return Ok(words::VOID),
        };
        let view = portero::json::raw(&view).get().to_owned();
        let turn = Turn { view, page, read: choice == Choice::Read };
        let (ticket, update) = (turned.ticket.clone(), turned.ticket.update);
        let change = move |store: &rusqlite::Connection| {
            ticket.spend(store, 1)?;
            kept::turn(store, at, task, &turn)
        };
        match self.board.write(change).await {
            Ok(()) => {}
            Err(StoreError::Refused(_)) => return Ok(words::USED),
            Err(error) => return Err(error),
        }
        self.board.refresh(Item::Card(task));
        if choice == Choice::DenyWithReason {
            self.ask_reason(link, person, (task, update)).await?;
        }
        Ok(if choice == Choice::Read { words::READ } else { Words::none() })
    }
}

/// Whether a press lets more happen.
fn widens(found: &Found) -> bool {
    match found {
        Found::Decide(tapped) | Found::Again(Act::Decide(_), Some(tapped)) => tapped.deed().approves(),
        Found::Widen(_) => true,
        Found::Answer(answered) => match answered.answer.says {
            Says::Number(_) => true,
            Says::Refuse => false,
        },
        Found::Again(..)
        | Found::Restrict(_)
        | Found::RestrictAgain(_)
        | Found::Show(_)
        | Found::Used
        | Found::Unsent
        | Found::Void => false,
    }
}

/// Why a person's yes adds nothing where it takes several people.
fn adds_nothing(task: &Task, user: i64) -> Option<Words> {
    let user = u64::try_from(user).unwrap_or(0);
    let is_met = task.quorums.iter().all(|quorum| quorum.is_met(&task.votes));
    if task.quorums.is_empty() {
        None
    } else if !task.quorums.iter().any(|quorum| quorum.counts(user)) {
        Some(words::ANOTHER)
    } else if task.votes.iter().any(|vote| vote.user == user) && !is_met {
        Some(words::TWICE)
    } else {
        None
    }
}

/// Why a yes would not come to pass.
enum Hindrance {
    /// It never would.
    Never(Words),
    /// Not while everything is paused.
    Waits,
}

impl Deciding {
    /// Denies every task of a list that still waits, in one change.
    async fn deny_all(&self, link: &Link, turned: Turned) -> Result<Words, StoreError> {
        let (at, cause) = (link.at, turned.spot.cause.clone());
        let tasks = self.board.read(move |store| kept::listed(store, at, &cause))?;
        match self.board.daemon.desk.reject_listed(tasks, &turned).await {
            Ok(rejection) => Ok(words::list_denied(rejection)),
            Err(StoreError::Refused(_)) => Ok(words::USED),
            Err(error) => Err(error),
        }
    }

    /// A button that is none under a message of ours: the message is not as it is to be, so it is drawn again.
    async fn stale(&self, at: Chat, message: i64) -> Result<(), StoreError> {
        let Some(cause) = self.board.read(move |store| kept::cause_of(store, at, message))? else {
            return Ok(());
        };
        let Some(Ok(task)) = cause.strip_prefix("card:").map(str::parse) else { return Ok(()) };
        self.board.write(move |store| kept::again(store, at, task)).await?;
        self.board.refresh(Item::Card(task));
        Ok(())
    }

    /// Whether a card's document is in the chat: the person may be faster than Telegram's word here too.
    async fn document_arrived(&self, link: &Link, task: TaskId) -> Result<bool, StoreError> {
        let look = || Ok(self.board.has_document(link, task)?.then_some(()));
        Ok(once_sent(&link.courier, look).await?.is_some())
    }
}

impl Flow for Deciding {
    fn linked(&self, courier: &Courier, circle: Option<Circle>) {
        let link = circle.as_ref().map(|circle| {
            let at = Chat { bot: courier.bot().0, chat: circle.chat() };
            Link { courier: courier.clone(), at, owner: circle.owner() }
        });
        self.board.link.send_replace(link);
        self.next.linked(courier, circle);
    }

    fn hear(&self, heard: Heard) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.heard(heard))
    }
}

/// What a press is worth, once its message has arrived: the person may be faster than Telegram's word.
async fn arrived(
    courier: &Courier,
    look: impl Fn() -> Result<Found, StoreError>,
) -> Result<Found, StoreError> {
    let look = || match look()? {
        Found::Unsent => Ok(None),
        found => Ok(Some(found)),
    };
    Ok(once_sent(courier, look).await?.unwrap_or(Found::Unsent))
}

/// Looks now, and again whenever a message was noted as sent, for a while.
async fn once_sent<T>(
    courier: &Courier,
    look: impl Fn() -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let (mut sent, until) = (courier.sent(), tokio::time::Instant::now() + ARRIVAL_TIMEOUT);
    loop {
        // What is noted after this is seen below.
        sent.borrow_and_update();
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if !matches!(tokio::time::timeout_at(until, sent.changed()).await, Ok(Ok(()))) {
            return Ok(None);
        }
    }
}

/// Answers in the chat.
fn say(link: &Link, topic: Option<TopicId>, Words { text, .. }: Words, receipt: Receipt) {
    let text = text.map(|text| match text {
        Cow::Borrowed(words) => Text::new().words(words),
        Cow::Owned(said) => Text::new().code(&Shown::line(&said)),
    });
    let message = text.and_then(|text| text.message(MESSAGE_MOST));
    if let Some(message) = message {
        let letter = Letter::Text(message, None);
        let room = Room { chat: ChatId(link.at.chat), topic };
        drop(link.courier.send(room, letter, Rank::Notice, receipt.cause()));
    }
}

impl std::fmt::Debug for Deciding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deciding").finish_non_exhaustive()
    }
}

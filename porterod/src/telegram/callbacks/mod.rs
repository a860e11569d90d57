//! Deciding on Telegram: a press or a reason of the person becomes a request as the terminal makes them.
//!
//! What a press does is in the store, under the hash of what its button carries ([`crate::auth::buttons`]); here it is
//! only found, done by [`crate::api`], and answered. What is not about a card goes to the next flow.

mod reason;
mod replies;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::ipc::{FailureKind, Look};
use portero::names::TaskId;
use portero::pipeline::BoxFuture;
use portero::policy::{Action, DecisionSource};
use portero::task::{Task, TaskState};

use self::replies::CallbackReply;
use super::access::{UserInput, split_command};
use super::card_sync::{CardItem, CardSync, ChatLink};
use super::card_view::is_tool_locked;
use super::client::{ChatId, Destination, MessageId, TopicId};
use super::commands;
use super::inline_buttons;
use super::keyboard::{CardAction, CardMode};
use super::notice_consumer;
use super::sender::{OutgoingMessage, SendPriority, TelegramSender};
use super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText};
use super::updates::{AuthorizedUpdate, UpdateHandler, UpdateReceipt};
use crate::api::{self, Undone};
use crate::auth::buttons::{
    self, AnswerChoice, ButtonAction, ButtonPress, ListAction, PressMeaning, TaskDecision,
};
use crate::auth::pairing::{AuthorizedChat, ChatUser};
use crate::daemon::Daemon;
use crate::store::StoreError;
use crate::store::cards::{self as kept, BotChat, CardTurn};

/// How long to wait for Telegram's word that a message arrived whose button was pressed already.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The flow that decides.
pub struct CallbackHandler {
    cards: Arc<CardSync>,
    next: Arc<dyn UpdateHandler>,
}

impl CallbackHandler {
    /// Decides for this daemon; times are told in the person's zone. What is not about a card goes to `next`.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, zone: TimeZone, next: Arc<dyn UpdateHandler>) -> Self {
        Self { cards: CardSync::new(daemon, zone), next }
    }

    /// Shows what waits and what became of it, until the daemon is to end. The composition root spawns it.
    pub fn consume_notices(&self) -> impl Future<Output = ()> + Send + use<> {
        notice_consumer::run_consumer(Arc::clone(&self.cards))
    }

    async fn dispatch_update(&self, heard: AuthorizedUpdate) -> Result<(), StoreError> {
        let (bot, update) = heard.receipt.ids();
        let person = heard.person;
        let at = BotChat { bot, chat: person.chat };
        let link = ChatLink { sender: heard.sender.clone(), bot_chat: at, owner: person.owner() };
        let press = |message: MessageId| buttons::PressSource {
            bot,
            chat: person.chat,
            user: person.user,
            message: message.0,
            update,
        };
        match &heard.input {
            UserInput::Callback(pressed) => {
                let Some((_, _, message)) = pressed.message_place else { return Ok(()) };
                let carried = pressed.data.as_deref().unwrap_or_default();
                let found = await_press_meaning(&link.sender, || {
                    self.cards.buttons.resolve_press(carried, press(message))
                })
                .await?;
                let words = if heard.is_overtaken && elevates(&found) {
                    replies::OVERTAKEN
                } else if commands::is_command_button(&found) {
                    return self.next.handle_update(heard).await;
                } else {
                    self.handle_press(&link, person, found, message.0).await?
                };
                let CallbackReply { text, alert } = words;
                link.sender.answer_callback(pressed.query.clone(), text.map(Cow::into_owned), alert);
                Ok(())
            }
            UserInput::Message(said) => {
                let reason = match said.reply_to {
                    Some(answered) => {
                        self.handle_reason(&link, press(answered), said.text.as_deref()).await?
                    }
                    None => None,
                };
                match reason {
                    Some(words) => {
                        send_reply(&link, said.topic, words, heard.receipt);
                        Ok(())
                    }
                    None => {
                        let asks = said.text.as_deref().is_some_and(|text| self.is_pending_command(text));
                        self.next.handle_update(heard).await?;
                        if asks {
                            self.cards.redraw_questions(at).await?;
                        }
                        Ok(())
                    }
                }
            }
        }
    }

    fn is_pending_command(&self, text: &str) -> bool {
        let bot = self.cards.daemon.bot_health.state().username.unwrap_or_default();
        matches!(split_command(text, &bot), Some(("pending", _)))
    }

    /// Does what a button stands for; what to answer.
    async fn handle_press(
        &self,
        link: &ChatLink,
        person: ChatUser,
        found: PressMeaning,
        message: i64,
    ) -> Result<CallbackReply, StoreError> {
        match found {
            PressMeaning::Decide(tapped) => self.decide_task(tapped, None, false).await,
            PressMeaning::Repeated(ButtonAction::Decide(deed), None) => Ok(replies::done_reply(deed, false)),
            PressMeaning::Repeated(ButtonAction::Decide(_), Some(tapped)) => {
                self.decide_task(tapped, None, true).await
            }
            PressMeaning::Repeated(ButtonAction::Show(_), _) => {
                self.cards.redraw_stale()?;
                Ok(CallbackReply::silent())
            }
            PressMeaning::Show(turned) => self.change_view(link, person, turned).await,
            PressMeaning::Used
            | PressMeaning::Widen(_)
            | PressMeaning::Repeated(
                ButtonAction::Widen(_) | ButtonAction::Restrict(_) | ButtonAction::Answer(_),
                _,
            )
            | PressMeaning::Answer(_)
            | PressMeaning::Restrict(_)
            | PressMeaning::RestrictRepeated(_) => Ok(replies::BUTTON_USED),
            PressMeaning::MessageUnconfirmed => Ok(replies::NOT_SENT_YET),
            PressMeaning::Unknown => {
                self.redraw_stale_card(link.bot_chat, message).await?;
                Ok(replies::BUTTON_VOID)
            }
        }
    }

    /// Decides. `begun` says that this very press was here before, and its call is decided.
    async fn decide_task(
        &self,
        tapped: ButtonPress,
        reason: Option<String>,
        begun: bool,
    ) -> Result<CallbackReply, StoreError> {
        let (deed, task) = (tapped.decision(), tapped.task());
        let Ok(look) = api::look(&self.cards.daemon, task) else { return Ok(replies::TASK_GONE) };
        let hindrance = self.approval_obstacle(&look, &tapped);
        if let (false, Some(ApprovalObstacle::Permanent(words))) = (begun, &hindrance) {
            return Ok(words.clone());
        }
        let waits = matches!(hindrance, Some(ApprovalObstacle::Paused));
        let done = api::tapped(&self.cards.daemon, tapped, reason, begun).await;
        #[cfg(test)]
        crate::crash::crash_at("tap done");
        Ok(match done {
            Ok(()) if deed.lets_run() && self.is_still_pending(task) => replies::VOTE_COUNTED,
            Ok(()) => replies::done_reply(deed, waits),
            Err(Undone::Rest(failure)) => {
                tracing::warn!(%failure, "a tap decided the call alone");
                replies::partial_reply(deed, failure.kind)
            }
            Err(Undone::All(failure)) => {
                let now = api::look(&self.cards.daemon, task).map(|look| look.task.state);
                tracing::info!(%failure, "a tap changed nothing");
                let undone = replies::failed_reply(now.ok(), &failure);
                if deed == TaskDecision::Forbid
                    && failure.kind != FailureKind::Internal
                    && failure.kind != FailureKind::Storage
                {
                    replies::with_deny_command(undone, &look.task.call.tool)
                } else {
                    undone
                }
            }
        })
    }

    /// Whether a task waits for others after one person's yes.
    fn is_still_pending(&self, task: TaskId) -> bool {
        let look = api::look(&self.cards.daemon, task);
        look.is_ok_and(|look| look.task.state == TaskState::PendingApproval)
    }

    /// Why a yes would not come to pass, or not now.
    fn approval_obstacle(&self, look: &Look, tapped: &ButtonPress) -> Option<ApprovalObstacle> {
        let loosens = match tapped.decision() {
            TaskDecision::Approve => false,
            TaskDecision::ApproveFor(_) | TaskDecision::Allow => true,
            TaskDecision::Deny | TaskDecision::DenyWithReason | TaskDecision::Forbid => return None,
        };
        let daemon = &self.cards.daemon;
        if look.task.state != TaskState::PendingApproval {
            return None;
        }
        if loosens && is_tool_locked(daemon, look) {
            return Some(ApprovalObstacle::Permanent(replies::TOOL_LOCKED));
        }
        if let Some(words) = vote_obstacle(&look.task, tapped.user()) {
            return Some(ApprovalObstacle::Permanent(words));
        }
        let (call, asker) = (&look.task.call, look.task.origin.asker());
        let policy = daemon.policy.load();
        let decision = policy.decide(&call.tool, call.arguments(), Some(asker), daemon.clock.now());
        match (decision.action, &decision.source) {
            (Action::Deny, DecisionSource::Pause(_)) => Some(ApprovalObstacle::Paused),
            (Action::Deny, _) => Some(ApprovalObstacle::Permanent(replies::DENIED_MEANWHILE)),
            (Action::Allow | Action::RequireApproval, _) => None,
        }
    }

    /// Shows something else; nothing is decided, save by the button against all of a list.
    async fn change_view(
        &self,
        link: &ChatLink,
        person: ChatUser,
        turned: ListAction,
    ) -> Result<CallbackReply, StoreError> {
        let Some(choice) = inline_buttons::parse_choice(&turned.what) else {
            return Ok(replies::BUTTON_VOID);
        };
        if choice == CardAction::DenyAll {
            return self.deny_list(link, turned).await;
        }
        let (Some(task), at) = (turned.task, link.bot_chat) else { return Ok(replies::BUTTON_VOID) };
        let Some(card) = self.cards.read_store(move |store| kept::find_card(store, at, task))? else {
            return Ok(replies::TASK_GONE);
        };
        if choice == CardAction::Read && !self.await_document(link, task).await? {
            self.cards.write_store(move |store| kept::mark_undrawn(store, at, task)).await?;
            self.cards.redraw_item(CardItem::Card(task));
            return Ok(replies::DOCUMENT_MISSING);
        }
        let view = serde_json::from_str(&card.view).unwrap_or(CardMode::Card);
        let (view, page) = match choice {
            CardAction::More => (CardMode::More, card.page),
            CardAction::AlwaysAllow => (CardMode::Sure, card.page),
            CardAction::AsJson => (CardMode::Json, 0),
            CardAction::Page(page) => (view, page),
            CardAction::AsCard | CardAction::Less | CardAction::Single => (CardMode::Card, 0),
            CardAction::Read | CardAction::DenyWithReason => (view, card.page),
            CardAction::Approve
            | CardAction::ApproveFor(_)
            | CardAction::AllowForGood
            | CardAction::Deny
            | CardAction::AlwaysDeny
            | CardAction::DenyAll => return Ok(replies::BUTTON_VOID),
        };
        let view = portero::json::serialize_raw(&view).get().to_owned();
        let turn = CardTurn { view, page, read: choice == CardAction::Read };
        let (ticket, update) = (turned.ticket.clone(), turned.ticket.update);
        let change = move |store: &rusqlite::Connection| {
            ticket.step(1).consume(store)?;
            kept::turn_card(store, at, task, &turn)
        };
        match self.cards.write_store(change).await {
            Ok(()) => {}
            Err(StoreError::Refused(_)) => return Ok(replies::BUTTON_USED),
            Err(error) => return Err(error),
        }
        self.cards.redraw_item(CardItem::Card(task));
        if choice == CardAction::DenyWithReason {
            self.ask_deny_reason(link, person, (task, update)).await?;
        }
        Ok(if choice == CardAction::Read { replies::DOCUMENT_READ } else { CallbackReply::silent() })
    }
}

/// Whether a press lets more happen.
fn elevates(found: &PressMeaning) -> bool {
    match found {
        PressMeaning::Decide(tapped) | PressMeaning::Repeated(ButtonAction::Decide(_), Some(tapped)) => {
            tapped.decision().lets_run()
        }
        PressMeaning::Widen(_) => true,
        PressMeaning::Answer(answered) => match answered.answer.says {
            AnswerChoice::Number(_) => true,
            AnswerChoice::Refuse => false,
        },
        PressMeaning::Repeated(..)
        | PressMeaning::Restrict(_)
        | PressMeaning::RestrictRepeated(_)
        | PressMeaning::Show(_)
        | PressMeaning::Used
        | PressMeaning::MessageUnconfirmed
        | PressMeaning::Unknown => false,
    }
}

/// Why a person's yes adds nothing where it takes several people.
fn vote_obstacle(task: &Task, user: i64) -> Option<CallbackReply> {
    let user = u64::try_from(user).unwrap_or(0);
    let is_met = task.quorums.iter().all(|quorum| quorum.is_met(&task.votes));
    if task.quorums.is_empty() {
        None
    } else if !task.quorums.iter().any(|quorum| quorum.counts_user(user)) {
        Some(replies::VOTE_NOT_COUNTED)
    } else if task.votes.iter().any(|vote| vote.user == user) && !is_met {
        Some(replies::ALREADY_VOTED)
    } else {
        None
    }
}

/// Why a yes would not come to pass.
enum ApprovalObstacle {
    /// It never would.
    Permanent(CallbackReply),
    /// Not while everything is paused.
    Paused,
}

impl CallbackHandler {
    /// Denies every task of a list that still waits, in one change.
    async fn deny_list(&self, link: &ChatLink, turned: ListAction) -> Result<CallbackReply, StoreError> {
        let (at, cause) = (link.bot_chat, turned.message_ref.cause.clone());
        let tasks = self.cards.read_store(move |store| kept::listed_tasks(store, at, &cause))?;
        match self.cards.daemon.approval_queue.reject_listed(tasks, &turned).await {
            Ok(rejection) => Ok(replies::list_denied_reply(rejection)),
            Err(StoreError::Refused(_)) => Ok(replies::BUTTON_USED),
            Err(error) => Err(error),
        }
    }

    /// A button that is none under a message of ours: the message is not as it is to be, so it is drawn again.
    async fn redraw_stale_card(&self, at: BotChat, message: i64) -> Result<(), StoreError> {
        let Some(cause) = self.cards.read_store(move |store| kept::message_cause(store, at, message))? else {
            return Ok(());
        };
        let Some(Ok(task)) = cause.strip_prefix("card:").map(str::parse) else { return Ok(()) };
        self.cards.write_store(move |store| kept::mark_undrawn(store, at, task)).await?;
        self.cards.redraw_item(CardItem::Card(task));
        Ok(())
    }

    /// Whether a card's document is in the chat: the person may be faster than Telegram's word here too.
    async fn await_document(&self, link: &ChatLink, task: TaskId) -> Result<bool, StoreError> {
        let look = || Ok(self.cards.has_document(link, task)?.then_some(()));
        Ok(await_sent(&link.sender, look).await?.is_some())
    }
}

impl UpdateHandler for CallbackHandler {
    fn chat_connected(&self, courier: &TelegramSender, circle: Option<AuthorizedChat>) {
        let link = circle.as_ref().map(|circle| {
            let at = BotChat { bot: courier.bot_id().0, chat: circle.chat() };
            ChatLink { sender: courier.clone(), bot_chat: at, owner: circle.owner() }
        });
        self.cards.link.send_replace(link);
        self.next.chat_connected(courier, circle);
    }

    fn handle_update(&self, heard: AuthorizedUpdate) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.dispatch_update(heard))
    }
}

/// What a press is worth, once its message has arrived: the person may be faster than Telegram's word.
async fn await_press_meaning(
    courier: &TelegramSender,
    look: impl Fn() -> Result<PressMeaning, StoreError>,
) -> Result<PressMeaning, StoreError> {
    let look = || match look()? {
        PressMeaning::MessageUnconfirmed => Ok(None),
        found => Ok(Some(found)),
    };
    Ok(await_sent(courier, look).await?.unwrap_or(PressMeaning::MessageUnconfirmed))
}

/// Looks now, and again whenever a message was noted as sent, for a while.
async fn await_sent<T>(
    courier: &TelegramSender,
    look: impl Fn() -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let (mut sent, until) = (courier.watch_sent(), tokio::time::Instant::now() + ARRIVAL_TIMEOUT);
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
fn send_reply(
    link: &ChatLink,
    topic: Option<TopicId>,
    CallbackReply { text, .. }: CallbackReply,
    receipt: UpdateReceipt,
) {
    let text = text.map(|text| match text {
        Cow::Borrowed(words) => StyledText::new().literal(words),
        Cow::Owned(said) => StyledText::new().code(&EscapedText::line(&said)),
    });
    let message = text.and_then(|text| text.fit_message(MAX_MESSAGE_UNITS));
    if let Some(message) = message {
        let letter = OutgoingMessage::Text(message, None);
        let room = Destination { chat: ChatId(link.bot_chat.chat), topic };
        drop(link.sender.send(room, letter, SendPriority::Notice, receipt.message_key()));
    }
}

impl std::fmt::Debug for CallbackHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deciding").finish_non_exhaustive()
    }
}

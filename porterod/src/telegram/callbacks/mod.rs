//! Decisions on Telegram: a press or a reason becomes the same request that a terminal makes.
//!
//! A button's act is in the store, under the hash of its callback data ([`crate::auth::buttons`]). This
//! module finds it, passes it to [`crate::presentation::press`], and answers. Updates that don't concern a
//! card go to the next handler.

mod list;
mod offer;
mod reason;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::names::TaskId;
use portero::pipeline::BoxFuture;

use super::access::{UserInput, split_command};
use super::card_sync::{CardItem, CardSync};
use super::chat_link::ChatLink;
use super::client::{Destination, MAX_CALLBACK_ANSWER_CHARS, MessageId, TopicId};
use super::commands;
use super::notice_consumer;
use super::sender::{OutgoingMessage, SendPriority, TelegramSender};
use super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText, ToMessages as _};
use super::updates::{AuthorizedUpdate, UpdateHandler, UpdateReceipt};
use crate::api;
use crate::auth::buttons::{self, ButtonAction, ButtonPress, CardDecision, ListAction, PressMeaning};
use crate::auth::pairing::{AuthorizedChat, ChatUser};
use crate::daemon::Daemon;
use crate::presentation::burst::ListStep;
use crate::presentation::buttons::{CardAction, CardMode};
use crate::presentation::press::{self, PressReply, replies};
use crate::store::StoreError;
use crate::store::card_lists;
use crate::store::cards::{self as kept, BotChat, CardTurn};

/// How long to wait for Telegram's confirmation of a message whose button was already pressed.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Handles presses and reasons for cards.
pub struct CallbackHandler {
    cards: Arc<CardSync>,
    next: Arc<dyn UpdateHandler>,
}

impl CallbackHandler {
    /// A handler for this daemon with the person's time zone. Other updates go to `next`.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, zone: TimeZone, next: Arc<dyn UpdateHandler>) -> Self {
        Self { cards: CardSync::new(daemon, zone), next }
    }

    /// Keeps questions current whose call would no longer run, or not where it should, until the daemon is to end.
    pub fn follow_obstacles(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.cards).follow_obstacles()
    }

    /// Keeps cards current that show the definition of a server, until the daemon is to end.
    pub fn follow_definitions(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.cards).follow_definitions()
    }

    /// Draws waiting tasks and their outcomes, until the daemon ends. The composition root spawns it.
    pub fn consume_notices(&self) -> impl Future<Output = ()> + Send + use<> {
        notice_consumer::run_consumer(Arc::clone(&self.cards))
    }

    async fn dispatch_update(&self, heard: AuthorizedUpdate) -> Result<(), StoreError> {
        let (bot, update) = heard.receipt.ids();
        let person = heard.person;
        let at = BotChat { bot, chat: person.chat };
        let link = ChatLink { sender: heard.sender.clone(), bot_chat: at, owner: person.owner() };
        let source = |message: MessageId| buttons::PressSource {
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
                    self.cards.buttons.resolve_press(carried, source(message))
                })
                .await?;
                // The order: an overtaken press must not widen, whichever handler it belongs to.
                let words = if heard.is_overtaken && press::elevates(&found) {
                    replies::OVERTAKEN
                } else if commands::is_command_button(&found) {
                    return self.next.handle_update(heard).await;
                } else {
                    self.handle_press(&link, person, found, message.0).await?
                };
                let PressReply { text, alert } = words;
                link.sender.answer_callback(pressed.query.clone(), text.map(Cow::into_owned), alert);
                Ok(())
            }
            UserInput::Message(said) => {
                let reason = match said.reply_to {
                    Some(answered) => {
                        self.handle_reason(&link, source(answered), said.text.as_deref()).await?
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
                        // The answer comes first; the questions are then drawn again below it.
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

    /// Performs a button's act, and returns the reply.
    async fn handle_press(
        &self,
        link: &ChatLink,
        person: ChatUser,
        found: PressMeaning,
        message: i64,
    ) -> Result<PressReply, StoreError> {
        match found {
            PressMeaning::Decide(tapped) => Ok(self.decide_task(tapped, None, false).await),
            PressMeaning::Repeated(ButtonAction::Decide(deed), None) => Ok(replies::done_reply(&deed, false)),
            PressMeaning::Repeated(ButtonAction::Decide(_), Some(tapped)) => {
                Ok(self.decide_task(tapped, None, true).await)
            }
            PressMeaning::DecideList(press) if offer::is_offer(&press) => {
                Ok(self.run_offered(link, press, MessageId(message)).await)
            }
            PressMeaning::DecideList(press) => self.decide_list(link, press, None).await,
            PressMeaning::Repeated(ButtonAction::DecideList(_), _) => {
                self.cards.redraw_stale()?;
                Ok(replies::LIST_DECIDED)
            }
            PressMeaning::Repeated(ButtonAction::Show(_), _) => {
                self.cards.redraw_stale()?;
                Ok(PressReply::silent())
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
                // The press came from an outdated message, so the message is brought up to date.
                self.redraw_stale_card(link.bot_chat, message).await?;
                Ok(replies::BUTTON_VOID)
            }
        }
    }

    async fn decide_task(
        &self,
        tapped: ButtonPress<CardDecision>,
        reason: Option<String>,
        begun: bool,
    ) -> PressReply {
        let task = tapped.action().task;
        let daemon = &self.cards.daemon;
        let (_, follow_up) = tapped.action().acts();
        let permits = follow_up.is_some() && tapped.action().decision.lets_run();
        if follow_up.is_some() {
            self.cards.begin_press(task);
        }
        let reply = press::decide_task(daemon, tapped, reason, begun, MAX_CALLBACK_ANSWER_CHARS).await;
        let link = self.cards.link.borrow().clone();
        let at = link.as_ref().map(|link| link.bot_chat);
        if follow_up.is_some()
            && let Err(error) = self.cards.end_press(at, task).await
        {
            tracing::error!(%error, "a card does not say which rule or grant was made");
        }
        // The card offers the other process now, shows what its button would allow now, or says why its call is void.
        let is_void = || api::look(daemon, task).is_ok_and(|look| look.void.is_some());
        let is_outdated = reply == replies::LOST_PROCESS || reply == replies::PREVIEW_CHANGED || is_void();
        if let (true, Some(at)) = (is_outdated, at)
            && let Err(error) = self.cards.redraw_card(at, task).await
        {
            tracing::error!(%error, "a card shows what its buttons no longer do");
        }
        if let (true, Some(link)) = (permits, &link) {
            self.offer_waiting(link, task, &[]).await;
        }
        reply
    }

    /// Changes the view of a card or of a list.
    async fn change_view(
        &self,
        link: &ChatLink,
        person: ChatUser,
        turned: ButtonPress<ListAction>,
    ) -> Result<PressReply, StoreError> {
        if let Some(step) = ListStep::parse_shown(&turned.action().what) {
            return self.step_list(link, person, turned, step).await;
        }
        let Some(choice) = CardAction::parse_shown(&turned.action().what) else {
            // A button of another build: the card gets those of this one.
            if let Some(task) = turned.action().task {
                self.cards.redraw_card(link.bot_chat, task).await?;
            }
            return Ok(replies::BUTTON_VOID);
        };
        let (Some(task), at) = (turned.action().task, link.bot_chat) else { return Ok(replies::BUTTON_VOID) };
        let Some(card) = self.cards.read_store(move |store| kept::find_card(store, at, task))? else {
            return Ok(replies::TASK_GONE);
        };
        // An approval needs the document in the chat, because the card doesn't have the whole call.
        if choice == CardAction::Read && !self.await_document(link, task).await? {
            self.cards.write_store(move |store| kept::mark_undrawn(store, at, task)).await?;
            self.cards.redraw_item(CardItem::of_card(task));
            return Ok(replies::DOCUMENT_MISSING);
        }
        let Some((view, page)) = choice.clone().next_view(CardMode::parse(&card.view), card.page) else {
            return Ok(replies::BUTTON_VOID);
        };
        let turn = CardTurn { view: view.serialize(), page, read: choice == CardAction::Read };
        let (ticket, update) = (turned.ticket().clone(), turned.ticket().update);
        let change = move |store: &rusqlite::Connection| {
            // The button is used up in the transaction of the turn, so a repeated press turns once.
            ticket.step(1).consume(store)?;
            kept::turn_card(store, at, task, &turn)
        };
        match self.cards.write_store(change).await {
            Ok(true) => {}
            // The card became a list meanwhile, and its message is about to show that.
            Ok(false) => return Ok(replies::BUTTON_VOID),
            Err(StoreError::Refused(_)) => return Ok(replies::BUTTON_USED),
            Err(error) => return Err(error),
        }
        self.cards.redraw_item(CardItem::of_card(task));
        if choice == CardAction::DenyWithReason {
            self.ask_deny_reason(link, person, (task, update)).await?;
        }
        Ok(if choice == CardAction::Read { replies::DOCUMENT_READ } else { PressReply::silent() })
    }
}

impl CallbackHandler {
    /// Redraws a card or a list after a press on an unknown button, because its message is outdated.
    async fn redraw_stale_card(&self, at: BotChat, message: i64) -> Result<(), StoreError> {
        let Some(cause) = self.cards.read_store(move |store| kept::message_cause(store, at, message))? else {
            return Ok(());
        };
        let (item, task) = (CardItem::from_cause(&cause), cause.strip_prefix("card:").map(str::parse));
        let change = move |store: &rusqlite::Connection| {
            if let Some(Ok(task)) = task {
                kept::mark_undrawn(store, at, task)?;
            }
            card_lists::mark_list_undrawn(store, at, &cause)
        };
        self.cards.write_store(change).await?;
        self.cards.redraw_item(item);
        Ok(())
    }

    /// Whether a card's document is in the chat. The person may be faster than Telegram's confirmation here
    /// too.
    async fn await_document(&self, link: &ChatLink, task: TaskId) -> Result<bool, StoreError> {
        let Ok(task_view) = api::look(&self.cards.daemon, task) else { return Ok(false) };
        let look = || Ok(self.cards.has_document(link, &task_view)?.then_some(()));
        Ok(await_sent(&link.sender, look).await?.is_some())
    }
}

impl UpdateHandler for CallbackHandler {
    fn chat_connected(&self, sender: &TelegramSender, authorized_chat: Option<AuthorizedChat>) {
        let link = authorized_chat.as_ref().map(|authorized_chat| ChatLink::new(sender, authorized_chat));
        self.cards.link.send_replace(link);
        self.next.chat_connected(sender, authorized_chat);
    }

    fn handle_update(&self, heard: AuthorizedUpdate) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.dispatch_update(heard))
    }
}

/// The meaning of a press, once its message is confirmed. The person may be faster than Telegram's
/// confirmation.
async fn await_press_meaning(
    sender: &TelegramSender,
    look: impl Fn() -> Result<PressMeaning, StoreError>,
) -> Result<PressMeaning, StoreError> {
    let look = || match look()? {
        PressMeaning::MessageUnconfirmed => Ok(None),
        found => Ok(Some(found)),
    };
    Ok(await_sent(sender, look).await?.unwrap_or(PressMeaning::MessageUnconfirmed))
}

/// Looks now, and again after each confirmed message, until the timeout.
async fn await_sent<T>(
    sender: &TelegramSender,
    look: impl Fn() -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let (mut sent, until) = (sender.watch_sent(), tokio::time::Instant::now() + ARRIVAL_TIMEOUT);
    loop {
        // A confirmation that comes after this line wakes the wait below.
        sent.borrow_and_update();
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if !matches!(tokio::time::timeout_at(until, sent.changed()).await, Ok(Ok(()))) {
            return Ok(None);
        }
    }
}

/// Replies in the chat.
fn send_reply(
    link: &ChatLink,
    topic: Option<TopicId>,
    PressReply { text, .. }: PressReply,
    receipt: UpdateReceipt,
) {
    let text = text.map(|text| match text {
        Cow::Borrowed(words) => StyledText::new().literal(words),
        Cow::Owned(said) => StyledText::new().code(&EscapedText::line(&said)),
    });
    let message = text.and_then(|text| text.fit_message(MAX_MESSAGE_UNITS));
    if let Some(message) = message {
        let outgoing = OutgoingMessage::Text(message, None);
        let room = Destination { chat: link.chat(), topic };
        drop(link.sender.send(room, outgoing, SendPriority::Notice, receipt.message_key()));
    }
}

impl std::fmt::Debug for CallbackHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallbackHandler").finish_non_exhaustive()
    }
}

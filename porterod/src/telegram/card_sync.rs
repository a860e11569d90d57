//! Synchronizes the cards: brings the chat to the state that the store wants for each task.
//!
//! The wanted state is stored first and drawn from the store, each message by one worker at a time, until the
//! chat matches. A crash leaves undrawn messages, which the next start draws.
//! After a change of the wanted state, call [`CardSync::redraw_item`] or [`CardSync::redraw_stale`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::ipc::FailureKind;
use portero::names::{Principal, TaskId};
use portero::sync::lock;
use portero::task::{ChildLoss, TaskState};
use rusqlite::Connection;
use tokio::sync::watch;

use super::card_view::{self, CardView};
use super::chat_link::ChatLink;
use super::client::{InlineKeyboard, MessageId, Refusal};
use super::inline_buttons;
use super::sender::{DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendPriority};
use super::text::FormattedText;
use super::topics::TopicRouter;
use crate::api;
use crate::auth::buttons::{ButtonAction, Buttons, TaskDecision};
use crate::daemon::Daemon;
use crate::presentation::buttons::{card_buttons, list_buttons};
use crate::store::cards::{self as kept, BotChat};
use crate::store::{Durability, StoreError, telegram};

/// How long to wait before drawing again after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a session may be without a connection before its cards say that it has ended.
const RECONNECT_GRACE: Duration = Duration::from_secs(2);

/// A message of the chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CardItem {
    /// A task's own message.
    Card(TaskId),
    /// A list, by its cause.
    List(String),
}

/// Draws cards and lists.
pub(super) struct CardSync {
    pub(super) daemon: Arc<Daemon>,
    pub(super) buttons: Buttons,
    pub(super) topics: TopicRouter,
    pub(super) zone: TimeZone,
    pub(super) link: watch::Sender<Option<ChatLink>>,
    /// The messages that are being drawn, and whether each changed meanwhile.
    drawing: Mutex<HashMap<CardItem, bool>>,
}

/// The result of drawing.
enum DrawResult {
    /// The chat matches the store.
    InSync,
    /// It will be drawn on the next connection.
    OnNextLink,
    /// It must be drawn again.
    Retry,
}

impl CardSync {
    pub(super) fn new(daemon: Arc<Daemon>, zone: TimeZone) -> Arc<Self> {
        let buttons = Buttons::new(Arc::clone(&daemon.journal));
        let topics = TopicRouter::new(Arc::clone(&daemon));
        let link = watch::Sender::new(None);
        Arc::new(Self { daemon, buttons, topics, zone, link, drawing: Mutex::default() })
    }

    /// Reads the store.
    pub(super) fn read_store<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.daemon.journal.store().read(read)
    }

    /// Changes the stored cards. They follow from the tasks, so a change that a power failure loses is made
    /// again.
    pub(super) async fn write_store<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.daemon.journal.store().write(Durability::Unsynced, change).await
    }

    /// Draws every message that doesn't match the store.
    pub(super) fn redraw_stale(self: &Arc<Self>) -> Result<(), StoreError> {
        let Some(at) = self.link.borrow().as_ref().map(|link| link.bot_chat) else { return Ok(()) };
        let (cards, lists) = self.read_store(move |store| {
            Ok((kept::undrawn_cards(store, at)?, kept::undrawn_lists(store, at)?))
        })?;
        for task in cards {
            self.redraw_item(CardItem::Card(task));
        }
        for list in lists {
            self.redraw_item(CardItem::List(list));
        }
        Ok(())
    }

    /// Draws a message if it doesn't match the store.
    pub(super) fn redraw_item(self: &Arc<Self>, item: CardItem) {
        if self.claim_item(&item) {
            self.daemon.lifecycle.spawn(Arc::clone(self).draw_until_synced(item));
        }
    }

    /// Claims a message for drawing. False if another worker draws it; that worker then draws it once more.
    fn claim_item(&self, item: &CardItem) -> bool {
        match self.lock_drawing().entry(item.clone()) {
            Entry::Occupied(mut drawing) => {
                // The other worker sees the mark at its end, so no change is missed and no two workers draw.
                drawing.insert(true);
                false
            }
            Entry::Vacant(none) => {
                none.insert(false);
                true
            }
        }
    }

    /// Draws a message until it matches. When the daemon ends, a delivery in progress is still noted, because
    /// the sender reports its result.
    async fn draw_until_synced(self: Arc<Self>, item: CardItem) {
        while !self.daemon.lifecycle.stop_signal().is_cancelled() {
            let link = self.link.borrow().clone();
            let drawn = match (&link, &item) {
                (None, _) => Ok(DrawResult::OnNextLink),
                (Some(link), CardItem::Card(task)) => self.draw_card(link, *task).await,
                (Some(link), CardItem::List(cause)) => self.draw_list(link, cause).await,
            };
            self.redraw_lost_topics();
            let again = match drawn {
                Ok(DrawResult::InSync | DrawResult::OnNextLink) => false,
                Ok(DrawResult::Retry) => true,
                Err(error) => {
                    tracing::error!(%error, "what a person is to be shown on Telegram waits");
                    true
                }
            };
            if again {
                self.daemon
                    .lifecycle
                    .stop_signal()
                    .run_until_cancelled(tokio::time::sleep(RETRY_INTERVAL))
                    .await;
                continue;
            }
            // Checked and removed under one lock: a change between the two would otherwise find the claim and
            // be lost.
            let mut drawing = self.lock_drawing();
            if drawing.insert(item.clone(), false) != Some(true) {
                drawing.remove(&item);
                return;
            }
        }
    }

    /// Draws every waiting question once more. Telegram doesn't report removed messages, but an edit of one
    /// fails, and then it is sent again.
    pub(super) async fn redraw_questions(self: &Arc<Self>, at: BotChat) -> Result<(), StoreError> {
        let change = move |store: &Connection| {
            for task in kept::waiting_cards(store, at)? {
                kept::mark_changed(store, at, task)?;
            }
            for list in kept::waiting_lists(store, at)? {
                kept::mark_list_changed(store, at, &list)?;
            }
            Ok(())
        };
        self.write_store(change).await?;
        self.redraw_stale()
    }

    /// Draws a card again whose call would run elsewhere than it says, or that says so wrongly.
    pub(super) async fn redraw_card(self: &Arc<Self>, at: BotChat, task: TaskId) -> Result<(), StoreError> {
        self.write_store(move |store| kept::mark_changed(store, at, task)).await?;
        self.redraw_item(CardItem::Card(task));
        Ok(())
    }

    /// Keeps the cards of calls current whose session leaves, or whose server is restarted, until the daemon is to
    /// end.
    pub(super) async fn follow_children(self: Arc<Self>) {
        let mut changes = self.daemon.sessions.subscribe_children();
        let mut shown = HashMap::new();
        let following = async {
            // The sender lives as long as the daemon.
            while changes.changed().await.is_ok() {
                // A session whose connection broke is back within a moment.
                tokio::time::sleep(RECONNECT_GRACE).await;
                changes.mark_unchanged();
                if let Err(error) = self.redraw_losses(&mut shown).await {
                    tracing::error!(%error, "a card may not say that its session has ended");
                }
            }
        };
        self.daemon.lifecycle.stop_signal().run_until_cancelled(following).await;
    }

    async fn redraw_losses(
        self: &Arc<Self>,
        shown: &mut HashMap<TaskId, ChildLoss>,
    ) -> Result<(), StoreError> {
        let Some(at) = self.link.borrow().as_ref().map(|link| link.bot_chat) else { return Ok(()) };
        let waiting = self.read_store(move |store| kept::waiting_cards(store, at))?;
        shown.retain(|task, _| waiting.contains(task));
        for task in waiting {
            let loss = api::look(&self.daemon, task).ok().and_then(|look| look.loss);
            let before = match loss {
                Some(loss) => shown.insert(task, loss),
                None => shown.remove(&task),
            };
            if before != loss {
                self.redraw_card(at, task).await?;
            }
        }
        Ok(())
    }

    /// Draws the messages of a topic that is gone.
    pub(super) fn redraw_lost_topics(self: &Arc<Self>) {
        if self.topics.take_lost()
            && let Err(error) = self.redraw_stale()
        {
            tracing::error!(%error, "what stood in a topic on Telegram waits");
        }
    }

    async fn draw_card(&self, link: &ChatLink, task: TaskId) -> Result<DrawResult, StoreError> {
        let (cause, at) = (MessageKey::new("card", task), link.bot_chat);
        let known = cause.clone();
        let (card, message) = self.read_store(move |store| {
            Ok((kept::find_card(store, at, task)?, find_sent(store, at, &known)?))
        })?;
        // An older version may already be overtaken by the time this runs.
        let Some(card) = card.filter(|card| card.has_own_message && card.drawn_version < card.version) else {
            return Ok(DrawResult::InSync);
        };
        let look = match api::look(&self.daemon, task) {
            Ok(look) => look,
            Err(failure) if failure.kind == FailureKind::NotFound => {
                // A removed task needs no card; the version protects a newer one.
                self.write_store(move |store| kept::forget_card(store, at, task, card.version)).await?;
                return Ok(DrawResult::InSync);
            }
            Err(failure) => return Err(StoreError::Failed(failure.to_string())),
        };
        let card_view =
            CardView { daemon: &self.daemon, zone: &self.zone, task_view: &look, owner: link.owner };
        let spot = link.message_ref(&cause);
        let waits = look.task.state == TaskState::PendingApproval;
        let drawn = match (waits, message) {
            (true, message) => {
                let read = card.was_read && self.has_document(link, task)?;
                let (text, state) = card_view.render_question(&card, read);
                let rows = card_buttons(task, &state);
                let (keyboard, redrawing) = inline_buttons::make_keyboard(&self.buttons, spot, rows).await?;
                #[cfg(test)]
                crate::crash::crash_at("card made");
                let to = (link, Some(&look.task.origin.principal));
                // The message comes before its document, so the document appears below the question.
                let put = self.send_or_edit(to, cause, message, (text, keyboard)).await?;
                inline_buttons::settle_redraw(&self.buttons, redrawing, &put).await?;
                if put.is_ok() {
                    self.send_document(link, &card_view).await?;
                }
                put
            }
            (false, message) => {
                // The button to deny the tool stays: a press that comes too late still gets the command for
                // that as its reply.
                let redrawing =
                    self.buttons.begin_removal(&spot, &ButtonAction::Decide(TaskDecision::Forbid))?;
                let edited = match message {
                    Some(message) => edit_message(link, message, card_view.render_outcome(&card), None).await,
                    None => Ok(MessageId(0)),
                };
                inline_buttons::settle_redraw(&self.buttons, redrawing, &edited).await?;
                edited
            }
        };
        // A task in a list keeps its row until the list is over.
        let over = look.task.state.is_final() && card.list.is_none();
        let settled = self.note_drawn(drawn, move |store| match over {
            true => kept::forget_card(store, at, task, card.version),
            false => kept::mark_drawn(store, at, task, card.version),
        });
        let settled = settled.await;
        #[cfg(test)]
        crate::crash::crash_at("card drawn");
        settled
    }

    async fn draw_list(&self, link: &ChatLink, list: &str) -> Result<DrawResult, StoreError> {
        let (at, cause) = (link.bot_chat, MessageKey::from_stored(list));
        let (known, named) = (cause.clone(), list.to_owned());
        let (version, message, tasks) = self.read_store(move |store| {
            let version = kept::list_version(store, at, &named)?;
            Ok((version, find_sent(store, at, &known)?, kept::listed_tasks(store, at, &named)?))
        })?;
        let Some((version, _)) = version.filter(|(version, drawn)| drawn < version) else {
            return Ok(DrawResult::InSync);
        };
        let looks: Vec<_> = tasks.into_iter().filter_map(|task| api::look(&self.daemon, task).ok()).collect();
        let waiting: Vec<_> = looks
            .iter()
            .filter(|look| look.task.state == TaskState::PendingApproval)
            .map(|look| look.task.id)
            .collect();
        let text = card_view::render_list(&looks, self.daemon.clock.now().wall, &self.zone);
        let rows = list_buttons(&waiting);
        let (keyboard, redrawing) =
            inline_buttons::make_keyboard(&self.buttons, link.message_ref(&cause), rows).await?;
        let (list, over) = (list.to_owned(), waiting.is_empty());
        let drawn = match (over, message) {
            // All of it was decided before the list was ever sent.
            (true, None) => Ok(MessageId(0)),
            (_, message) => self.send_or_edit((link, None), cause, message, (text, keyboard)).await?,
        };
        inline_buttons::settle_redraw(&self.buttons, redrawing, &drawn).await?;
        self.note_drawn(drawn, move |store| {
            kept::mark_list_drawn(store, at, &list, version)?;
            if over { kept::forget_list(store, at, &list, version) } else { Ok(()) }
        })
        .await
    }

    /// Sends a card's document once, if it has one. If Telegram refuses it, the card's other buttons still
    /// work, and the card's next change tries again.
    async fn send_document(&self, link: &ChatLink, card_view: &CardView<'_>) -> Result<(), StoreError> {
        let task = card_view.task_view.task.id;
        let Some(document) = card_view.render_document() else { return Ok(()) };
        if self.has_document(link, task)? {
            return Ok(());
        }
        let (outgoing, cause) = (OutgoingMessage::Document(document), MessageKey::new("document", task));
        let project = &card_view.task_view.task.origin.principal;
        let sent =
            self.topics.send_to_topic(link, project, (outgoing, SendPriority::Required, cause)).await?;
        if let Err(DeliveryError::Refused(refusal)) = sent {
            tracing::warn!(%refusal, %task, "Telegram does not take a card's document");
        }
        Ok(())
    }

    /// Whether a task's document is in the chat.
    pub(super) fn has_document(&self, link: &ChatLink, task: TaskId) -> Result<bool, StoreError> {
        let (cause, at) = (MessageKey::new("document", task), link.bot_chat);
        Ok(self.read_store(move |store| find_sent(store, at, &cause))?.is_some())
    }

    /// Sends a message or edits the existing one. A removed message is sent again. A message about one
    /// project goes into that project's topic.
    async fn send_or_edit(
        &self,
        (link, project): (&ChatLink, Option<&Principal>),
        cause: MessageKey,
        message: Option<MessageId>,
        (text, keyboard): (FormattedText, Option<InlineKeyboard>),
    ) -> Result<Result<MessageId, DeliveryError>, StoreError> {
        if let Some(message) = message {
            // The person removed the message, so its question is sent again.
            match edit_message(link, message, text.clone(), keyboard.clone()).await {
                Err(DeliveryError::Refused(Refusal::MessageGone)) => {}
                edited => return Ok(edited),
            }
            let (at, gone) = (link.bot_chat, cause.as_str().to_owned());
            if let Err(error) =
                self.write_store(move |store| telegram::forget_message(store, at.bot, at.chat, &gone)).await
            {
                tracing::error!(%error, "a question that was removed on Telegram is asked again later");
                return Ok(Err(DeliveryError::Dropped));
            }
        }
        let outgoing = OutgoingMessage::Text(text, keyboard);
        match project {
            Some(project) => {
                self.topics.send_to_topic(link, project, (outgoing, SendPriority::Required, cause)).await
            }
            None => {
                let sent = link.sender.send(link.chat(), outgoing, SendPriority::Required, cause);
                Ok(sent.outcome().await)
            }
        }
    }

    /// Notes that the chat matches, if it does.
    async fn note_drawn(
        &self,
        drawn: Result<MessageId, DeliveryError>,
        note: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<DrawResult, StoreError> {
        match drawn {
            Ok(_) => {}
            Err(DeliveryError::Closed) => return Ok(DrawResult::OnNextLink),
            // The message was removed, and its question is no longer open.
            Err(DeliveryError::Refused(Refusal::MessageGone)) => {}
            // Telegram refuses the content, so trying again is useless.
            Err(DeliveryError::Refused(refusal)) => tracing::warn!(%refusal, "Telegram does not show a card"),
            Err(DeliveryError::Dropped | DeliveryError::Unreachable) => return Ok(DrawResult::Retry),
        }
        self.write_store(note).await?;
        Ok(DrawResult::InSync)
    }

    fn lock_drawing(&self) -> MutexGuard<'_, HashMap<CardItem, bool>> {
        lock(&self.drawing)
    }
}

async fn edit_message(
    link: &ChatLink,
    message: MessageId,
    text: FormattedText,
    keyboard: Option<InlineKeyboard>,
) -> Result<MessageId, DeliveryError> {
    link.sender.edit_message(link.chat(), message, MessageEdit(text, keyboard)).outcome().await
}

fn find_sent(store: &Connection, at: BotChat, cause: &MessageKey) -> Result<Option<MessageId>, StoreError> {
    Ok(telegram::sent_message(store, at.bot, at.chat, cause.as_str())?.map(MessageId))
}

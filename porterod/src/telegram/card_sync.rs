//! Synchronizes the cards: brings the chat to the state that the store wants for each task.
//!
//! The wanted state is stored first and drawn from the store, each message by one worker at a time, until the
//! chat matches. A crash leaves undrawn messages, which the next start draws.
//! After a change of the wanted state, call [`CardSync::redraw_item`] or [`CardSync::redraw_stale`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::anonymize::Fake;
use portero::ipc::{FailureKind, InspectedTask};
use portero::names::{Principal, TaskId};
use portero::sync::lock;
use portero::task::{ChildLoss, Task, TaskState};
use rusqlite::Connection;
use tokio::sync::watch;

use super::card_view::CardView;
use super::chat_link::ChatLink;
use super::client::{InlineKeyboard, MessageId, Refusal};
use super::drawn_definitions::{DrawnDefinitions, document_key};
use super::inline_buttons;
use super::sender::{DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendPriority};
use super::text::FormattedText;
use super::topics::TopicRouter;
use crate::api;
use crate::auth::buttons::{ButtonAction, Buttons, MessageRef, TaskDecision};
use crate::daemon::Daemon;
use crate::presentation::buttons::card_buttons;
use crate::presentation::card::FollowUp;
use crate::store::card_lists;
use crate::store::cards::{self as kept, BotChat};
use crate::store::{Durability, StoreError, telegram};

/// How long to wait before drawing again after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a session may be without a connection before its cards say that it has ended.
const RECONNECT_GRACE: Duration = Duration::from_secs(2);

/// What a question says against a yes: that it would take another process, or that its call would not run at all.
type Obstacle = (Option<ChildLoss>, Option<Fake<String>>);

/// A message of the chat, by its cause. A task's own card may become a list in the same message, so both are
/// one item, which one worker draws at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CardItem(String);

impl CardItem {
    /// The message of this cause.
    pub(super) fn from_cause(cause: &str) -> Self {
        Self(cause.to_owned())
    }

    /// The message of a task's card.
    pub(super) fn of_card(task: TaskId) -> Self {
        Self(MessageKey::new("card", task).as_str().to_owned())
    }

    /// The task, if it is the message of one.
    fn task(&self) -> Option<TaskId> {
        self.0.strip_prefix("card:")?.parse().ok()
    }
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
    /// The tasks of which a press is making a rule or grant.
    pressed: Mutex<HashSet<TaskId>>,
    drawn_definitions: DrawnDefinitions,
}

/// The result of drawing.
pub(super) enum DrawResult {
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
        Arc::new(Self {
            daemon,
            buttons,
            topics,
            zone,
            link,
            drawing: Mutex::default(),
            pressed: Mutex::default(),
            drawn_definitions: DrawnDefinitions::default(),
        })
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
            Ok((kept::undrawn_cards(store, at)?, card_lists::undrawn_lists(store, at)?))
        })?;
        for task in cards {
            self.redraw_item(CardItem::of_card(task));
        }
        for list in lists {
            self.redraw_item(CardItem(list));
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
            let drawn = match &link {
                None => Ok(DrawResult::OnNextLink),
                Some(link) => self.draw_item(link, &item).await,
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
            kept::waiting_cards(store, at)?
                .into_iter()
                .try_for_each(|task| kept::mark_changed(store, at, task))
        };
        self.write_store(change).await?;
        self.redraw_stale()
    }

    /// Draws a card again whose call would run elsewhere than it says, or that says so wrongly.
    pub(super) async fn redraw_card(self: &Arc<Self>, at: BotChat, task: TaskId) -> Result<(), StoreError> {
        let list = self.write_store(move |store| {
            kept::mark_changed(store, at, task)?;
            card_lists::list_of_task(store, at, task)
        });
        self.redraw_item(list.await?.map_or_else(|| CardItem::of_card(task), CardItem));
        Ok(())
    }

    /// Keeps the questions current whose session leaves, whose server is restarted, or whose call a rule or an edit of
    /// the configuration makes void, until the daemon is to end.
    pub(super) async fn follow_obstacles(self: Arc<Self>) {
        let mut children = self.daemon.sessions.subscribe_children();
        let mut overrides = self.daemon.overrides.subscribe_epoch();
        let mut config = self.daemon.config.subscribe();
        let mut shown = HashMap::new();
        let following = async {
            loop {
                // The senders live as long as the daemon.
                tokio::select! {
                    _ = children.changed() => {
                        // A session whose connection broke is back within a moment.
                        tokio::time::sleep(RECONNECT_GRACE).await;
                        children.mark_unchanged();
                    }
                    _ = overrides.changed() => {}
                    _ = config.changed() => {}
                }
                if let Err(error) = self.redraw_obstacles(&mut shown).await {
                    tracing::error!(%error, "a card may not say that its call would not run, or not where it should");
                }
            }
        };
        self.daemon.lifecycle.stop_signal().run_until_cancelled(following).await;
    }

    /// Keeps cards current that show a server's definition, until the daemon is to end: another one may wait by now,
    /// or a person accepted it.
    pub(super) async fn follow_definitions(self: Arc<Self>) {
        let mut changes = self.daemon.overrides.subscribe_epoch();
        let following = async {
            // The sender lives as long as the daemon.
            while changes.changed().await.is_ok() {
                let Some(at) = self.link.borrow().as_ref().map(|link| link.bot_chat) else { continue };
                for task in self.drawn_definitions.find_outdated(&self.daemon) {
                    if let Err(error) = self.redraw_card(at, task).await {
                        tracing::error!(%error, "a card may show an outdated definition");
                    }
                }
            }
        };
        self.daemon.lifecycle.stop_signal().run_until_cancelled(following).await;
    }

    async fn redraw_obstacles(
        self: &Arc<Self>,
        shown: &mut HashMap<TaskId, Obstacle>,
    ) -> Result<(), StoreError> {
        let Some(at) = self.link.borrow().as_ref().map(|link| link.bot_chat) else { return Ok(()) };
        let waiting = self.read_store(move |store| kept::waiting_cards(store, at))?;
        shown.retain(|task, _| waiting.contains(task));
        for task in waiting {
            let now = api::look(&self.daemon, task).map(|look| (look.loss, look.void)).unwrap_or_default();
            let before = shown.insert(task, now.clone()).unwrap_or_default();
            if before != now {
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

    /// Draws what the message shows by now: a list, or a task's own card.
    async fn draw_item(self: &Arc<Self>, link: &ChatLink, item: &CardItem) -> Result<DrawResult, StoreError> {
        let (at, cause) = (link.bot_chat, MessageKey::from_stored(&item.0));
        let known = cause.clone();
        let (list, message) = self.read_store(move |store| {
            Ok((card_lists::find_list(store, at, known.as_str())?, find_sent(store, at, &known)?))
        })?;
        match (list, item.task()) {
            (Some(row), _) => self.draw_list(link, (cause, row, message)).await,
            (None, Some(task)) => self.draw_card(link, task).await,
            (None, None) => Ok(DrawResult::InSync),
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
        // Looked up before what the press made: if it is over now, then so is that.
        let is_pressed = lock(&self.pressed).contains(&task);
        let drawn = match (waits, message) {
            (true, message) => {
                self.drawn_definitions.note(&look);
                let read = card.was_read && self.has_document(link, &look)?;
                let (text, state) = card_view.render_question(&card, read).await;
                let rows = card_buttons(&look.task, &state);
                let (keyboard, redrawing) = inline_buttons::make_keyboard(&self.buttons, spot, rows).await?;
                #[cfg(test)]
                crate::crash::crash_at("card made");
                let to = (link, &look.task.origin.principal);
                // The message comes before its document, so the document appears below the question.
                let put = self.send_or_edit(to, cause, message, (text, keyboard)).await?;
                inline_buttons::settle_redraw(&self.buttons, redrawing, &put).await?;
                if put.is_ok() {
                    self.send_document(link, &card_view).await?;
                }
                put
            }
            (false, message) => {
                self.drawn_definitions.forget(task);
                // The button to deny the tool stays: a press that comes too late still gets the command for
                // that as its reply.
                let redrawing =
                    self.buttons.begin_removal(&spot, &ButtonAction::Decide(TaskDecision::Forbid))?;
                let follow_up = self.find_follow_up(&spot, &look.task)?;
                let edited = match message {
                    Some(message) => {
                        let outcome = card_view.render_outcome(&card, follow_up.as_ref());
                        edit_message(link, message, outcome, None).await
                    }
                    None => Ok(MessageId(0)),
                };
                inline_buttons::settle_redraw(&self.buttons, redrawing, &edited).await?;
                edited
            }
        };
        let over = look.task.state.is_final() && !is_pressed;
        let settled = self.note_drawn(drawn, move |store| match over {
            true => kept::forget_card(store, at, task, card.version),
            false => kept::mark_drawn(store, at, task, card.version),
        });
        let settled = settled.await;
        #[cfg(test)]
        crate::crash::crash_at("card drawn");
        settled
    }

    /// What a press on this message made beside its decision about the task.
    fn find_follow_up(&self, message: &MessageRef, task: &Task) -> Result<Option<FollowUp>, StoreError> {
        let asked_for = self.buttons.find_follow_up(message, (task.id, &task.call.tool))?;
        let mut overrides = self.daemon.overrides.overrides();
        overrides.definition_pins = self.daemon.overrides.definition_pins();
        Ok(asked_for.and_then(|asked_for| FollowUp::find(&asked_for, &overrides)))
    }

    /// Keeps a task's card while a press on it makes a rule or grant, which its outcome names.
    pub(super) fn begin_press(&self, task: TaskId) {
        lock(&self.pressed).insert(task);
    }

    /// Draws the outcome again, now that the press has made its rule or grant.
    pub(super) async fn end_press(
        self: &Arc<Self>,
        at: Option<BotChat>,
        task: TaskId,
    ) -> Result<(), StoreError> {
        lock(&self.pressed).remove(&task);
        match at {
            Some(at) => self.redraw_card(at, task).await,
            // Without a chat the next connection draws it.
            None => Ok(()),
        }
    }

    /// Sends a card's document once, if it has one. If Telegram refuses it, the card's other buttons still
    /// work, and the card's next change tries again.
    pub(super) async fn send_document(
        &self,
        link: &ChatLink,
        card_view: &CardView<'_>,
    ) -> Result<(), StoreError> {
        let task = card_view.task_view.task.id;
        let Some(document) = card_view.render_document() else { return Ok(()) };
        if self.has_document(link, card_view.task_view)? {
            return Ok(());
        }
        // Reading the document of a former definition doesn't count for this one.
        let at = link.bot_chat;
        self.write_store(move |store| kept::mark_unread(store, at, task)).await?;
        let cause = document_key(card_view.task_view);
        let outgoing = OutgoingMessage::Document(document);
        let project = &card_view.task_view.task.origin.principal;
        let sent =
            self.topics.send_to_topic(link, project, (outgoing, SendPriority::Required, cause)).await?;
        if let Err(DeliveryError::Refused(refusal)) = sent {
            tracing::warn!(%refusal, %task, "Telegram does not take a card's document");
        }
        Ok(())
    }

    /// Whether a task's document is in the chat.
    pub(super) fn has_document(&self, link: &ChatLink, look: &InspectedTask) -> Result<bool, StoreError> {
        let (cause, at) = (document_key(look), link.bot_chat);
        Ok(self.read_store(move |store| find_sent(store, at, &cause))?.is_some())
    }

    /// Sends a message or edits the existing one. A removed message is sent again. A message about one
    /// project goes into that project's topic.
    pub(super) async fn send_or_edit(
        &self,
        (link, project): (&ChatLink, &Principal),
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
        self.topics.send_to_topic(link, project, (outgoing, SendPriority::Required, cause)).await
    }

    /// Notes that the chat matches, if it does.
    pub(super) async fn note_drawn(
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

pub(super) async fn edit_message(
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

//! The board: lets the chat show of each task what is to be shown of it.
//!
//! What is to be shown is in the store first, and is drawn from there, each message by one worker at a time,
//! until the chat follows. A crash at any point leaves what is not drawn, and it is drawn at the next start.
//! Whoever changes what is to be shown calls [`Board::refresh`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::ipc::FailureKind;
use portero::names::{Principal, TaskId};
use portero::task::State;
use rusqlite::Connection;
use tokio::sync::watch;

use super::bot::{ChatId, Keyboard, MessageId, Refusal};
use super::buttons;
use super::courier::{Cause, Courier, Edit, Letter, Rank, Undelivered};
use super::face::{self, Face};
use super::text::Message;
use super::topics::Topics;
use crate::api;
use crate::daemon::Daemon;
use crate::store::cards::{self as kept, Chat};
use crate::store::{Records, StoreError, telegram};
use crate::taps::{Act, Deed, Spot, Taps};

/// How long to wait before drawing again what could not be.
const AGAIN: Duration = Duration::from_secs(5);

/// The chat, and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) courier: Courier,
    pub(super) at: Chat,
    /// The one whose private chat it is; none in a group.
    pub(super) owner: Option<i64>,
}

impl Link {
    /// Whether this is the same one.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.courier.is(&other.courier) && (self.at, self.owner) == (other.at, other.owner)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// A task's own.
    Card(TaskId),
    /// A list, by its cause.
    List(String),
}

/// Draws what is to be shown.
pub(super) struct Board {
    pub(super) daemon: Arc<Daemon>,
    pub(super) taps: Taps,
    pub(super) topics: Topics,
    pub(super) zone: TimeZone,
    pub(super) link: watch::Sender<Option<Link>>,
    /// What is being drawn, and whether it changed since.
    drawing: Mutex<HashMap<Item, bool>>,
}

/// What came of drawing.
enum Drawn {
    /// The chat follows.
    Well,
    /// It will, when there is another link.
    Later,
    /// It is to be tried again.
    Again,
}

impl Board {
    pub(super) fn new(daemon: Arc<Daemon>, zone: TimeZone) -> Arc<Self> {
        let taps = Taps::new(Arc::clone(&daemon.journal));
        let topics = Topics::new(Arc::clone(&daemon));
        let link = watch::Sender::new(None);
        Arc::new(Self { daemon, taps, topics, zone, link, drawing: Mutex::default() })
    }

    /// Reads what is kept.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.daemon.journal.store().read(read)
    }

    /// Changes what is kept. It follows from the tasks: where the machine lost its power, it is made again.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.daemon.journal.store().write(Records::Unsynced, change).await
    }

    /// Draws everything that the chat does not show as it is to be.
    pub(super) fn refresh_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let Some(at) = self.link.borrow().as_ref().map(|link| link.at) else { return Ok(()) };
        let (cards, lists) =
            self.read(move |store| Ok((kept::undrawn(store, at)?, kept::undrawn_lists(store, at)?)))?;
        for task in cards {
            self.refresh(Item::Card(task));
        }
        for list in lists {
            self.refresh(Item::List(list));
        }
        Ok(())
    }

    /// Draws a message, if it is not as it is to be.
    pub(super) fn refresh(self: &Arc<Self>, item: Item) {
        if self.is_first(&item) {
            self.daemon.work.spawn(Arc::clone(self).work(item));
        }
    }

    /// Whether nobody draws this message at present. Whoever does draws it once more.
    fn is_first(&self, item: &Item) -> bool {
        match self.drawing().entry(item.clone()) {
            Entry::Occupied(mut drawing) => {
                drawing.insert(true);
                false
            }
            Entry::Vacant(none) => {
                none.insert(false);
                true
            }
        }
    }

    /// At the end of the daemon, what is under way is noted still: the courier tells what became of it.
    async fn work(self: Arc<Self>, item: Item) {
        while !self.daemon.stop.is_cancelled() {
            let link = self.link.borrow().clone();
            let drawn = match (&link, &item) {
                (None, _) => Ok(Drawn::Later),
                (Some(link), Item::Card(task)) => self.draw_card(link, *task).await,
                (Some(link), Item::List(cause)) => self.draw_list(link, cause).await,
            };
            self.draw_lost();
            let again = match drawn {
                Ok(Drawn::Well | Drawn::Later) => false,
                Ok(Drawn::Again) => true,
                Err(error) => {
                    tracing::error!(%error, "what a person is to be shown on Telegram waits");
                    true
                }
            };
            if again {
                self.daemon.stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
                continue;
            }
            let mut drawing = self.drawing();
            if drawing.insert(item.clone(), false) != Some(true) {
                drawing.remove(&item);
                return;
            }
        }
    }

    /// Draws every question that waits once more. Telegram tells nobody that a message was removed, but to change one
    /// that was fails, and then it is sent anew.
    pub(super) async fn refresh_questions(self: &Arc<Self>, at: Chat) -> Result<(), StoreError> {
        let change = move |store: &Connection| {
            for task in kept::waiting(store, at)? {
                kept::changes(store, at, task)?;
            }
            for list in kept::waiting_lists(store, at)? {
                kept::list_changes(store, at, &list)?;
            }
            Ok(())
        };
        self.write(change).await?;
        self.refresh_all()
    }

    /// Draws anew what stood in a topic that is gone.
    pub(super) fn draw_lost(self: &Arc<Self>) {
        if self.topics.lost()
            && let Err(error) = self.refresh_all()
        {
            tracing::error!(%error, "what stood in a topic on Telegram waits");
        }
    }

    async fn draw_card(&self, link: &Link, task: TaskId) -> Result<Drawn, StoreError> {
        let (cause, at) = (Cause::new("card", task), link.at);
        let known = cause.clone();
        let (card, message) =
            self.read(move |store| Ok((kept::card(store, at, task)?, sent(store, at, &known)?)))?;
        let Some(card) = card.filter(|card| card.alone && card.drawn < card.version) else {
            return Ok(Drawn::Well);
        };
        let look = match api::look(&self.daemon, task) {
            Ok(look) => look,
            Err(failure) if failure.kind == FailureKind::NotFound => {
                self.write(move |store| kept::forget(store, at, task, card.version)).await?;
                return Ok(Drawn::Well);
            }
            Err(failure) => return Err(StoreError::Failed(failure.to_string())),
        };
        let face = Face { daemon: &self.daemon, zone: &self.zone, look: &look, owner: link.owner };
        let spot = spot(link, &cause);
        let waits = look.task.state == State::PendingApproval;
        let drawn = match (waits, message) {
            (true, message) => {
                let read = card.read && self.has_document(link, task)?;
                let (text, standing) = face.question(&card, read);
                let (keyboard, redrawing) = buttons::of_card(&self.taps, spot, task, &standing).await?;
                #[cfg(test)]
                crate::crash::reached("card made");
                let to = (link, Some(&look.task.origin.principal));
                let put = self.put(to, cause, message, (text, keyboard)).await?;
                buttons::settle(&self.taps, redrawing, &put).await?;
                if put.is_ok() {
                    self.send_document(link, &face).await?;
                }
                put
            }
            (false, message) => {
                // Who presses that one too late is told how the tool is denied all the same.
                let redrawing = self.taps.take_away(&spot, &Act::Decide(Deed::Forbid))?;
                let edited = match message {
                    Some(message) => edit(link, message, face.outcome(&card), None).await,
                    None => Ok(MessageId(0)),
                };
                buttons::settle(&self.taps, redrawing, &edited).await?;
                edited
            }
        };
        let over = look.task.state.is_final() && card.list.is_none();
        let settled = self.settle(drawn, move |store| match over {
            true => kept::forget(store, at, task, card.version),
            false => kept::drawn(store, at, task, card.version),
        });
        let settled = settled.await;
        #[cfg(test)]
        crate::crash::reached("card drawn");
        settled
    }

    async fn draw_list(&self, link: &Link, list: &str) -> Result<Drawn, StoreError> {
        let (at, cause) = (link.at, Cause::known(list));
        let (known, named) = (cause.clone(), list.to_owned());
        let (version, message, tasks) = self.read(move |store| {
            let version = kept::list_version(store, at, &named)?;
            Ok((version, sent(store, at, &known)?, kept::listed(store, at, &named)?))
        })?;
        let Some((version, _)) = version.filter(|(version, drawn)| drawn < version) else {
            return Ok(Drawn::Well);
        };
        let looks: Vec<_> = tasks.into_iter().filter_map(|task| api::look(&self.daemon, task).ok()).collect();
        let waiting: Vec<_> = looks
            .iter()
            .filter(|look| look.task.state == State::PendingApproval)
            .map(|look| look.task.id)
            .collect();
        let text = face::list(&looks, self.daemon.clock.now().wall, &self.zone);
        let (keyboard, redrawing) = buttons::of_list(&self.taps, spot(link, &cause), &waiting).await?;
        let (list, over) = (list.to_owned(), waiting.is_empty());
        let drawn = match (over, message) {
            // All of it was decided before it was shown.
            (true, None) => Ok(MessageId(0)),
            (_, message) => self.put((link, None), cause, message, (text, keyboard)).await?,
        };
        buttons::settle(&self.taps, redrawing, &drawn).await?;
        self.settle(drawn, move |store| {
            kept::list_drawn(store, at, &list, version)?;
            if over { kept::forget_list(store, at, &list, version) } else { Ok(()) }
        })
        .await
    }

    /// Sends the document of a card that has one, once. Where Telegram does not take it, the card's other buttons
    /// remain, and the next change of the card tries again.
    async fn send_document(&self, link: &Link, face: &Face<'_>) -> Result<(), StoreError> {
        let task = face.look.task.id;
        let Some(document) = face.document() else { return Ok(()) };
        if self.has_document(link, task)? {
            return Ok(());
        }
        let (letter, cause) = (Letter::Document(document), Cause::new("document", task));
        let project = &face.look.task.origin.principal;
        let sent = self.topics.send(link, project, (letter, Rank::Card, cause)).await?;
        if let Err(Undelivered::Refused(refusal)) = sent {
            tracing::warn!(%refusal, %task, "Telegram does not take a card's document");
        }
        Ok(())
    }

    /// Whether a task's document is in the chat.
    pub(super) fn has_document(&self, link: &Link, task: TaskId) -> Result<bool, StoreError> {
        let (cause, at) = (Cause::new("document", task), link.at);
        Ok(self.read(move |store| sent(store, at, &cause))?.is_some())
    }

    /// Sends a message, or changes the one that is there. One that was removed from the chat is sent anew.
    /// Where it is about one project, it stands in that one's topic.
    async fn put(
        &self,
        (link, project): (&Link, Option<&Principal>),
        cause: Cause,
        message: Option<MessageId>,
        (text, keyboard): (Message, Option<Keyboard>),
    ) -> Result<Result<MessageId, Undelivered>, StoreError> {
        if let Some(message) = message {
            match edit(link, message, text.clone(), keyboard.clone()).await {
                Err(Undelivered::Refused(Refusal::MessageGone)) => {}
                edited => return Ok(edited),
            }
            let (at, gone) = (link.at, cause.as_str().to_owned());
            if let Err(error) = self.write(move |store| telegram::unsend(store, at.bot, at.chat, &gone)).await
            {
                tracing::error!(%error, "a question that was removed on Telegram is asked again later");
                return Ok(Err(Undelivered::Dropped));
            }
        }
        let letter = Letter::Text(text, keyboard);
        match project {
            Some(project) => self.topics.send(link, project, (letter, Rank::Card, cause)).await,
            None => {
                let sent = link.courier.send(ChatId(link.at.chat), letter, Rank::Card, cause);
                Ok(sent.outcome().await)
            }
        }
    }

    /// Notes that the chat follows, if it does.
    async fn settle(
        &self,
        drawn: Result<MessageId, Undelivered>,
        note: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Drawn, StoreError> {
        match drawn {
            Ok(_) => {}
            Err(Undelivered::Closed) => return Ok(Drawn::Later),
            // It was removed, and nobody is asked about it any more.
            Err(Undelivered::Refused(Refusal::MessageGone)) => {}
            // Nothing comes of trying again: Telegram does not take it.
            Err(Undelivered::Refused(refusal)) => tracing::warn!(%refusal, "Telegram does not show a card"),
            Err(Undelivered::Dropped | Undelivered::Unreachable) => return Ok(Drawn::Again),
        }
        self.write(note).await?;
        Ok(Drawn::Well)
    }

    fn drawing(&self) -> MutexGuard<'_, HashMap<Item, bool>> {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn edit(
    link: &Link,
    message: MessageId,
    text: Message,
    keyboard: Option<Keyboard>,
) -> Result<MessageId, Undelivered> {
    link.courier.edit(ChatId(link.at.chat), message, Edit::Text(text, keyboard)).outcome().await
}

fn sent(store: &Connection, at: Chat, cause: &Cause) -> Result<Option<MessageId>, StoreError> {
    Ok(telegram::sent(store, at.bot, at.chat, cause.as_str())?.map(MessageId))
}

/// Where the buttons of a message stand, for everyone to whom the bot listens there.
pub(super) fn spot(link: &Link, cause: &Cause) -> Spot {
    Spot { bot: link.at.bot, chat: link.at.chat, user: link.owner, cause: cause.as_str().to_owned() }
}

//! Sends what a person is to read, at the pace that Telegram allows, until it has arrived.
//!
//! Whoever hands something in goes on at once; what comes of it can be waited for and need not be. Each message
//! has a [`Cause`]: Telegram's confirmation is stored under it, and for the same cause nothing is sent again,
//! also after a restart. Only a crash between sending and storing sends twice.

mod cause;
mod lanes;
mod last_look;
mod pace;
mod refused;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::ipc::TelegramRefused;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bot::{Bot, BotError, BotId, ChatId, Document, Keyboard, MessageId, QueryId, Refusal, Room};
use super::text::Message;
use crate::journal::Journal;
use crate::store::{Records, StoreError, telegram as kept};
pub use cause::Cause;
pub(super) use lanes::doubled;
use lanes::{Errand, Lanes, Next, Parcel, Ticket};
use last_look::concealed;
pub use pace::Pace;
use refused::Refusals;

/// How long what is under way may take when the channel ends.
const GRACE: Duration = Duration::from_secs(2);

/// What goes first, after answers to presses. Edits stand in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// It asks a person to decide, or answers what they typed. It is never dropped.
    Card,
    /// It asks for an answer at once: where nothing can be written to the chat now, it is not sent later either.
    Prompt,
    /// It tells something. When too many wait, the oldest is dropped.
    Notice,
}

/// A new message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter {
    /// A text, perhaps with buttons.
    Text(Message, Option<Keyboard>),
    /// A question that the person's client offers to answer in words.
    Question(Message),
    /// A file.
    Document(Document),
    /// A topic with this name, which is made. What comes of it is the topic's number.
    Topic(String),
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Another text, and these buttons or none.
    Text(Message, Option<Keyboard>),
    /// The same text, and these buttons or none.
    Keyboard(Option<Keyboard>),
}

/// Why something was not delivered, and will not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Telegram refused it.
    #[error("Telegram refused it: {0}")]
    Refused(Refusal),
    /// Nothing can be written to the chat now, and it is of [`Rank::Prompt`]; everything else waits.
    #[error("the bot may not write to this chat")]
    Unreachable,
    /// Too much else waited, or it was too late for an answer.
    #[error("it was dropped: too much else waited, or for too long")]
    Dropped,
    /// The channel ended first; hand it in again on the next one.
    #[error("the channel ended first")]
    Closed,
}

/// What comes of something that was handed in. Dropping it changes nothing.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Result<MessageId, Undelivered>>);

impl Delivery {
    /// The message, once Telegram confirmed it and that is stored.
    ///
    /// # Errors
    /// See [`Undelivered`].
    pub async fn outcome(self) -> Result<MessageId, Undelivered> {
        self.0.await.unwrap_or(Err(Undelivered::Closed))
    }
}

/// Why the courier does no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// Telegram does not know the bot any more.
    Unauthorized,
}

/// Takes what is to be sent. Clones hand in to the same queue.
#[derive(Clone)]
pub struct Courier(Arc<Shared>);

struct Shared {
    bot: Bot,
    journal: Arc<Journal>,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    lanes: Mutex<Lanes>,
    handed_in: Notify,
    /// The last failure, until something arrives.
    trouble: Mutex<Option<BotError>>,
    /// Counts what was noted as sent.
    sent: watch::Sender<u64>,
    /// The last chat that became a supergroup, and that one.
    moved: watch::Sender<Option<(ChatId, ChatId)>>,
    refusals: Refusals,
}

impl Courier {
    /// A courier for this bot. Nothing goes out before [`Courier::run`], and nothing that `anonymizer` conceals.
    #[must_use]
    pub fn new(bot: Bot, journal: Arc<Journal>, anonymizer: Arc<ArcSwap<Anonymizer>>, pace: Pace) -> Self {
        let lanes = Mutex::new(Lanes::new(pace));
        Self(Arc::new(Shared {
            bot,
            journal,
            anonymizer,
            lanes,
            handed_in: Notify::new(),
            trouble: Mutex::default(),
            sent: watch::Sender::new(0),
            moved: watch::Sender::new(None),
            refusals: Refusals::default(),
        }))
    }

    /// The bot itself, for what is no message.
    #[must_use]
    pub fn client(&self) -> &Bot {
        &self.0.bot
    }

    /// Sends a message, once for its cause.
    pub fn send(&self, room: impl Into<Room>, letter: Letter, rank: Rank, cause: Cause) -> Delivery {
        let Room { chat, topic } = room.into();
        self.hand_in(chat, Errand::Send { cause, letter, topic }, Some(rank))
    }

    /// Changes a message. Of several changes that wait for the same message, the last one is made.
    pub fn edit(&self, chat: ChatId, message: MessageId, edit: Edit) -> Delivery {
        self.hand_in(chat, Errand::Edit { message, edit }, None)
    }

    /// Answers a press, at once: a text of up to 200 characters, shown until it is closed if it is an `alert`.
    pub fn answer(&self, query: QueryId, text: Option<String>, alert: bool) {
        self.0.lanes().answer(query, text, alert, Instant::now());
        self.0.handed_in.notify_one();
    }

    /// The number of the bot that sends.
    #[must_use]
    pub fn bot(&self) -> BotId {
        self.0.bot.id()
    }

    /// How much waits.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lanes().waiting()
    }

    /// Whether this is the same courier.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Keeps to what a former courier of the same bot has spent of each chat's pace.
    pub fn follow(&self, former: &Self) {
        if self.bot() == former.bot() {
            let spent = former.0.lanes().spent();
            self.0.lanes().count(spent);
        }
    }

    /// The bot may write to a chat again, as it seems: what waits for that is tried now.
    pub fn retry(&self, chat: ChatId) {
        self.0.lanes().retry(chat, Instant::now());
        self.0.handed_in.notify_one();
    }

    /// A chat is a supergroup now, and has this number.
    pub fn moved(&self, from: ChatId, to: ChatId) {
        self.0.moved.send_replace(Some((from, to)));
    }

    /// Watches for messages that are noted as sent.
    #[must_use]
    pub fn sent(&self) -> watch::Receiver<u64> {
        self.0.sent.subscribe()
    }

    /// Watches for a chat that became a supergroup, and its new number.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<Option<(ChatId, ChatId)>> {
        self.0.moved.subscribe()
    }

    /// Why nothing can be written to the chat, or else the last failure, if nothing arrived since.
    #[must_use]
    pub fn trouble(&self) -> Option<BotError> {
        if let Some(error) = self.0.lanes().barred() {
            return Some(error);
        }
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many messages Telegram refused since there is this courier, and the last of them.
    #[must_use]
    pub fn refused(&self) -> Option<TelegramRefused> {
        self.0.refusals.seen()
    }

    /// Sends until it is told to stop, or the bot is no more. What is not delivered then is told as
    /// [`Undelivered::Closed`].
    pub async fn run(&self, stop: CancellationToken) -> Ended {
        let _closing = Closing(&self.0);
        self.0.forget_old().await;
        let mut under_way = JoinSet::new();
        let ended = self.deliver(&mut under_way, &stop).await;
        let rest = async {
            while let Some(Ok((ticket, result))) = under_way.join_next().await {
                self.0.settle(ticket, result);
            }
        };
        let _ = tokio::time::timeout(GRACE, rest).await;
        ended
    }

    async fn deliver(&self, under_way: &mut JoinSet<Done>, stop: &CancellationToken) -> Ended {
        loop {
            let handed_in = self.0.handed_in.notified();
            let next = self.0.lanes().next(Instant::now());
            let until = match next {
                Next::Go(parcel) => {
                    under_way.spawn(Arc::clone(&self.0).carry(parcel));
                    continue;
                }
                Next::At(at) => Some(at),
                Next::Nothing => None,
            };
            tokio::select! {
                () = stop.cancelled() => return Ended::Stopped,
                () = handed_in => {}
                () = at(until) => {}
                Some(done) = under_way.join_next(), if !under_way.is_empty() => {
                    // A parcel that panicked stays under way; its chat waits for the next courier.
                    let Ok((ticket, result)) = done else { continue };
                    if result == Err(BotError::Unauthorized) {
                        return Ended::Unauthorized;
                    }
                    self.0.settle(ticket, result);
                }
            }
        }
    }

    fn hand_in(&self, chat: ChatId, errand: Errand, rank: Option<Rank>) -> Delivery {
        let (done, delivery) = oneshot::channel();
        self.0.lanes().hand_in(chat, errand, rank, done);
        self.0.handed_in.notify_one();
        Delivery(delivery)
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("bot", &self.0.bot.id()).finish_non_exhaustive()
    }
}

/// However a courier ends, whoever waits learns of it.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lanes().close();
    }
}

type Done = (Ticket, Result<MessageId, BotError>);

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, ticket: Ticket, result: Result<MessageId, BotError>) {
        let trouble = match &result {
            Err(error) if error.is_of_the_chat() => Some(error.clone()),
            Ok(_) | Err(BotError::Refused(_)) => None,
            Err(error) => Some(error.clone()),
        };
        match (&result, ticket) {
            (Err(BotError::Moved(to)), Ticket::Chat(from)) => {
                self.moved.send_replace(Some((from, *to)));
            }
            (Err(BotError::RetryAfter(after)), _) if after.is_capped() => {
                tracing::warn!("Telegram: too many requests; again in {after}");
            }
            _ => {}
        }
        let known = {
            let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *known, trouble.clone())
        };
        if let Some(error) = trouble.filter(|error| error.is_of_the_chat() && known.as_ref() != Some(error)) {
            tracing::warn!("Telegram: {error}; what waits is tried again");
        }
        self.lanes().settle(ticket, result, Instant::now(), rand::random());
    }

    async fn carry(self: Arc<Self>, Parcel { ticket, errand }: Parcel) -> Done {
        let result = match (ticket, &*errand) {
            (Ticket::Chat(chat), Errand::Send { cause, letter, topic }) => {
                self.send(Room { chat, topic: *topic }, letter, cause).await
            }
            (Ticket::Chat(chat), Errand::Edit { message, edit }) => self.edit(chat, *message, edit).await,
            (Ticket::Answer(_), Errand::Answer { query, text, alert }) => {
                self.bot.answer(query, text.as_deref(), *alert).await.map(|()| MessageId(0))
            }
            (Ticket::Chat(_), Errand::Answer { .. })
            | (Ticket::Answer(_), Errand::Send { .. } | Errand::Edit { .. }) => Err(BotError::Nonsense),
        };
        if let Err(BotError::Refused(refusal)) = &result {
            self.refusals.note(&errand, refusal, self.journal.now().wall);
        }
        (ticket, result)
    }

    async fn send(&self, room: Room, letter: &Letter, cause: &Cause) -> Result<MessageId, BotError> {
        let chat = room.chat;
        let bot = self.bot.id().0;
        let sent = cause.clone();
        let known = self.journal.store().read(move |store| kept::sent(store, bot, chat.0, sent.as_str()));
        match known {
            Ok(Some(message)) => return Ok(MessageId(message)),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a message may be sent twice"),
        }
        let rules = self.anonymizer.load_full();
        let message = match letter {
            Letter::Text(text, keyboard) => {
                self.bot.send(room, &concealed(text, &rules), keyboard.as_ref()).await?
            }
            Letter::Question(text) => self.bot.ask(room, &concealed(text, &rules)).await?,
            Letter::Document(document) => self.bot.send_document(room, document).await?,
            Letter::Topic(name) => MessageId(self.bot.make_topic(chat, name).await?.0),
        };
        #[cfg(test)]
        match letter {
            Letter::Topic(_) => crate::crash::reached("topic made"),
            _ if cause.as_str().starts_with("card:") => crate::crash::reached("card sent"),
            _ => {}
        }
        if let Err(error) = self.keep(chat, message, cause).await {
            // It is in the chat all the same, and whoever waits must know which message it is.
            tracing::error!(%error, "a message that was sent could not be noted and may be sent again");
        }
        self.sent.send_modify(|count| *count += 1);
        Ok(message)
    }

    async fn keep(&self, chat: ChatId, message: MessageId, cause: &Cause) -> Result<(), StoreError> {
        let (bot, now, cause) = (self.bot.id().0, self.journal.now().wall, cause.as_str().to_owned());
        let store = self.journal.store();
        store
            .write(Records::Unsynced, move |store| {
                kept::keep_sent(store, bot, (chat.0, message.0), &cause, now)
            })
            .await
    }

    async fn forget_old(&self) {
        let now = self.journal.now().wall;
        let forgot =
            self.journal.store().write(Records::Unsynced, move |store| kept::forget_sent(store, now)).await;
        if let Err(error) = forgot {
            tracing::warn!(%error, "what was sent long ago stays noted");
        }
    }

    async fn edit(&self, chat: ChatId, message: MessageId, edit: &Edit) -> Result<MessageId, BotError> {
        let edited = match edit {
            Edit::Text(text, keyboard) => {
                let text = concealed(text, &self.anonymizer.load());
                self.bot.edit(chat, message, &text, keyboard.as_ref()).await
            }
            Edit::Keyboard(keyboard) => self.bot.edit_keyboard(chat, message, keyboard.as_ref()).await,
        };
        match edited {
            Ok(()) | Err(BotError::Refused(Refusal::NotModified)) => Ok(message),
            Err(error) => Err(error),
        }
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

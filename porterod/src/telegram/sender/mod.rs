//! Sends messages at the pace that Telegram permits, until they have arrived.
//!
//! Callers don't wait; they may await the [`SendHandle`]. Each message has a [`MessageKey`]: Telegram's
//! confirmation is stored under it, and a confirmed message is never sent again, also after a restart. Only a
//! crash between sending and storing sends it twice.

mod refusal_log;
mod send_queue;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::ipc::TelegramRefused;
use portero::sync::lock;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{
    Bot, BotError, BotId, ChatId, Destination, DocumentUpload, InlineKeyboard, MessageId, QueryId, Refusal,
};
use super::text::{FormattedText, MAX_MESSAGE_UNITS, utf16_len};
use crate::journal::Journal;
use crate::store::{Durability, StoreError, telegram as kept};
use refusal_log::RefusalLog;
pub(super) use send_queue::backoff_delay;
use send_queue::{DueJob, JobSource, NextJob, SendJob, SendQueue};

/// How long deliveries in progress may take when the channel ends.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Replaces a concealed part for which a message has no room.
const OMITTED: &str = "…";

/// The pace of sending.
#[derive(Debug, Clone)]
pub struct SendTiming {
    /// The time between two messages to one chat; Telegram asks for about a second.
    pub chat_interval: Duration,
    /// How many messages a minute a group gets; Telegram's limit is 20.
    pub max_group_per_minute: usize,
    /// The first pause after a failure; each further failure doubles it.
    pub initial_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// The first pause before a chat that refuses the bot is tried again; each further try doubles it.
    pub initial_chat_backoff: Duration,
    /// The longest pause.
    pub max_chat_backoff: Duration,
    /// How long answering a press is tried.
    pub answer_timeout: Duration,
}

impl Default for SendTiming {
    fn default() -> Self {
        Self {
            chat_interval: Duration::from_secs(1),
            max_group_per_minute: 20,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            initial_chat_backoff: Duration::from_secs(60),
            max_chat_backoff: Duration::from_secs(600),
            answer_timeout: Duration::from_secs(15),
        }
    }
}

/// The reason for a message. It is the same whenever the same message would be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageKey(String);

impl MessageKey {
    /// A key such as `card` with a task's id.
    #[must_use]
    pub fn new(kind: &'static str, of: impl std::fmt::Display) -> Self {
        Self(format!("{kind}:{of}"))
    }

    /// A key that was stored.
    #[must_use]
    pub fn from_stored(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of message.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

/// The order of sending, after answers to presses. Edits come between `Required` and `Notice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendPriority {
    /// A question or the answer to a command. It is never dropped.
    Required,
    /// A question that needs an answer at once. If the chat refuses the bot now, it isn't sent later either.
    Immediate,
    /// Information. If too many wait, the oldest is dropped.
    Notice,
}

/// A new message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingMessage {
    /// A text, with or without buttons.
    Text(FormattedText, Option<InlineKeyboard>),
    /// A question to which the person's client offers a reply.
    Question(FormattedText),
    /// A file.
    Document(DocumentUpload),
    /// Creates a topic with this name. The outcome is the topic's number.
    CreateTopic(String),
}

/// The new content of a message: a text with buttons or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEdit(pub FormattedText, pub Option<InlineKeyboard>);

/// Why a message was not delivered, and will not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Telegram refused it.
    #[error("Telegram refused it: {0}")]
    Refused(Refusal),
    /// The chat refuses the bot now, and the message has [`SendPriority::Immediate`]; all others wait.
    #[error("the bot may not write to this chat")]
    Unreachable,
    /// Too many others waited, or an answer came too late.
    #[error("it was dropped: too much else waited, or for too long")]
    Dropped,
    /// The channel ended first; send it again on the next one.
    #[error("the channel ended first")]
    Closed,
}

impl DeliveryError {
    /// Whether sending again may help: a refusal is final, all other errors pass.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Unreachable | Self::Dropped | Self::Closed => true,
        }
    }
}

/// The result of a delivery. Dropping it changes nothing.
#[derive(Debug)]
pub struct SendHandle(oneshot::Receiver<Result<MessageId, DeliveryError>>);

impl SendHandle {
    /// The message, once Telegram confirmed it and that is stored.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    pub async fn outcome(self) -> Result<MessageId, DeliveryError> {
        self.0.await.unwrap_or(Err(DeliveryError::Closed))
    }
}

/// Why the sender ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderExit {
    /// It was asked to stop.
    Stopped,
    /// Telegram no longer knows the bot.
    Unauthorized,
}

/// Accepts messages. Clones share one queue.
#[derive(Clone)]
pub struct TelegramSender(Arc<SenderState>);

struct SenderState {
    bot: Bot,
    journal: Arc<Journal>,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    queue: Mutex<SendQueue>,
    enqueued: Notify,
    /// The last failure, until a delivery succeeds.
    last_error: Mutex<Option<BotError>>,
    /// Counts confirmed messages.
    sent_count: watch::Sender<u64>,
    /// The last chat that became a supergroup, with its new number.
    migration: watch::Sender<Option<(ChatId, ChatId)>>,
    refusals: RefusalLog,
}

impl TelegramSender {
    /// A sender for this bot. Nothing is sent before [`TelegramSender::run`]. `anonymizer` conceals
    /// everything.
    #[must_use]
    pub fn new(
        bot: Bot,
        journal: Arc<Journal>,
        anonymizer: Arc<ArcSwap<Anonymizer>>,
        pace: SendTiming,
    ) -> Self {
        let queue = Mutex::new(SendQueue::new(pace));
        Self(Arc::new(SenderState {
            bot,
            journal,
            anonymizer,
            queue,
            enqueued: Notify::new(),
            last_error: Mutex::default(),
            sent_count: watch::Sender::new(0),
            migration: watch::Sender::new(None),
            refusals: RefusalLog::default(),
        }))
    }

    /// The bot itself, for requests other than messages.
    #[must_use]
    pub fn client(&self) -> &Bot {
        &self.0.bot
    }

    /// Sends a message, once for its key.
    pub fn send(
        &self,
        room: impl Into<Destination>,
        outgoing: OutgoingMessage,
        rank: SendPriority,
        cause: MessageKey,
    ) -> SendHandle {
        let Destination { chat, topic } = room.into();
        self.enqueue(chat, SendJob::Send { cause, outgoing, topic }, Some(rank))
    }

    /// Edits a message. Of several waiting edits of one message only the last is made.
    pub fn edit_message(&self, chat: ChatId, message: MessageId, edit: MessageEdit) -> SendHandle {
        self.enqueue(chat, SendJob::Edit { message, edit }, None)
    }

    /// Answers a press at once. A text of up to 200 characters disappears by itself, or has to be closed if
    /// it is an `alert`.
    pub fn answer_callback(&self, query: QueryId, text: Option<String>, alert: bool) {
        self.0.lock_queue().enqueue_answer(query, text, alert, Instant::now());
        self.0.enqueued.notify_one();
    }

    /// The number of the bot.
    #[must_use]
    pub fn bot_id(&self) -> BotId {
        self.0.bot.id()
    }

    /// How many messages wait.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.0.lock_queue().pending_count()
    }

    /// Whether this is the same sender.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes over the pace of a former sender of the same bot, so that a reconnection doesn't exceed the
    /// limits.
    pub fn inherit_usage(&self, former: &Self) {
        if self.bot_id() == former.bot_id() {
            let spent = former.0.lock_queue().usage();
            self.0.lock_queue().add_usage(spent);
        }
    }

    /// Retries a chat that refused the bot, because it seems to accept it again.
    pub fn retry_chat(&self, chat: ChatId) {
        self.0.lock_queue().retry_chat(chat, Instant::now());
        self.0.enqueued.notify_one();
    }

    /// Notes that a chat became a supergroup with this number.
    pub fn note_migration(&self, from: ChatId, to: ChatId) {
        self.0.migration.send_replace(Some((from, to)));
    }

    /// Watches for confirmed messages.
    #[must_use]
    pub fn watch_sent(&self) -> watch::Receiver<u64> {
        self.0.sent_count.subscribe()
    }

    /// Watches for a chat that became a supergroup, with its new number.
    #[must_use]
    pub fn watch_migrations(&self) -> watch::Receiver<Option<(ChatId, ChatId)>> {
        self.0.migration.subscribe()
    }

    /// Why the chat refuses the bot, or else the last failure if no delivery has succeeded since.
    #[must_use]
    pub fn current_error(&self) -> Option<BotError> {
        if let Some(error) = self.0.lock_queue().blocked_reason() {
            return Some(error);
        }
        lock(&self.0.last_error).clone()
    }

    /// How many messages Telegram refused, with the last of them.
    #[must_use]
    pub fn refusals(&self) -> Option<TelegramRefused> {
        self.0.refusals.summary()
    }

    /// Sends until `stop`, or until the bot no longer exists. Undelivered messages then fail with
    /// [`DeliveryError::Closed`].
    pub async fn run(&self, stop: CancellationToken) -> SenderExit {
        let _closing = CloseOnDrop(&self.0);
        self.0.prune_sent().await;
        let mut under_way = JoinSet::new();
        let ended = self.run_queue(&mut under_way, &stop).await;
        let rest = async {
            while let Some(Ok((ticket, result))) = under_way.join_next().await {
                self.0.settle_job(ticket, result);
            }
        };
        let _ = tokio::time::timeout(SHUTDOWN_GRACE, rest).await;
        ended
    }

    async fn run_queue(&self, under_way: &mut JoinSet<JobOutcome>, stop: &CancellationToken) -> SenderExit {
        loop {
            // Created before the queue is read: a message that is added in between wakes this wait.
            let handed_in = self.0.enqueued.notified();
            let next = self.0.lock_queue().next_job(Instant::now());
            let until = match next {
                NextJob::Due(due) => {
                    under_way.spawn(Arc::clone(&self.0).execute_job(due));
                    continue;
                }
                NextJob::WaitUntil(at) => Some(at),
                NextJob::Idle => None,
            };
            tokio::select! {
                () = stop.cancelled() => return SenderExit::Stopped,
                () = handed_in => {}
                () = sleep_until_or_forever(until) => {}
                Some(done) = under_way.join_next(), if !under_way.is_empty() => {
                    // A job that panicked stays in flight, so its chat waits for the next sender. That may
                    // lose the pace, never the order.
                    let Ok((ticket, result)) = done else { continue };
                    if result == Err(BotError::Unauthorized) {
                        return SenderExit::Unauthorized;
                    }
                    self.0.settle_job(ticket, result);
                }
            }
        }
    }

    fn enqueue(&self, chat: ChatId, send_job: SendJob, rank: Option<SendPriority>) -> SendHandle {
        let (done, delivery) = oneshot::channel();
        self.0.lock_queue().enqueue(chat, send_job, rank, done);
        self.0.enqueued.notify_one();
        SendHandle(delivery)
    }
}

impl std::fmt::Debug for TelegramSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("bot", &self.0.bot.id()).finish_non_exhaustive()
    }
}

/// Closes the queue however the sender ends, so that waiting callers get an error.
struct CloseOnDrop<'a>(&'a SenderState);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock_queue().close();
    }
}

type JobOutcome = (JobSource, Result<MessageId, BotError>);

impl SenderState {
    fn lock_queue(&self) -> MutexGuard<'_, SendQueue> {
        lock(&self.queue)
    }

    fn settle_job(&self, ticket: JobSource, result: Result<MessageId, BotError>) {
        let trouble = match &result {
            Err(error) if error.concerns_chat() => Some(error.clone()),
            Ok(_) | Err(BotError::Refused(_)) => None,
            Err(error) => Some(error.clone()),
        };
        match (&result, ticket) {
            (Err(BotError::Migrated(to)), JobSource::Chat(from)) => {
                self.migration.send_replace(Some((from, *to)));
            }
            (Err(BotError::RetryAfter(after)), _) if after.is_capped() => {
                tracing::warn!("Telegram: too many requests; again in {after}");
            }
            _ => {}
        }
        let known = {
            let mut known = lock(&self.last_error);
            std::mem::replace(&mut *known, trouble.clone())
        };
        if let Some(error) = trouble.filter(|error| error.concerns_chat() && known.as_ref() != Some(error)) {
            tracing::warn!("Telegram: {error}; what waits is tried again");
        }
        self.lock_queue().settle_job(ticket, result, Instant::now(), rand::random());
    }

    async fn execute_job(self: Arc<Self>, DueJob { source: ticket, job: send_job }: DueJob) -> JobOutcome {
        let result = match (ticket, &*send_job) {
            (JobSource::Chat(chat), SendJob::Send { cause, outgoing, topic }) => {
                self.send_message(Destination { chat, topic: *topic }, outgoing, cause).await
            }
            (JobSource::Chat(chat), SendJob::Edit { message, edit }) => {
                self.edit_message(chat, *message, edit).await
            }
            (JobSource::Answer(_), SendJob::Answer { query, text, alert }) => {
                self.bot.answer_callback_query(query, text.as_deref(), *alert).await.map(|()| MessageId(0))
            }
            (JobSource::Chat(_), SendJob::Answer { .. })
            | (JobSource::Answer(_), SendJob::Send { .. } | SendJob::Edit { .. }) => {
                Err(BotError::InvalidResponse)
            }
        };
        if let Err(BotError::Refused(refusal)) = &result {
            self.refusals.note_refusal(&send_job, refusal, self.journal.now().wall);
        }
        (ticket, result)
    }

    async fn send_message(
        &self,
        room: Destination,
        outgoing: &OutgoingMessage,
        cause: &MessageKey,
    ) -> Result<MessageId, BotError> {
        let chat = room.chat;
        let bot = self.bot.id().0;
        let sent = cause.clone();
        let known =
            self.journal.store().read(move |store| kept::sent_message(store, bot, chat.0, sent.as_str()));
        match known {
            Ok(Some(message)) => return Ok(MessageId(message)),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a message may be sent twice"),
        }
        let rules = self.anonymizer.load_full();
        let message = match outgoing {
            OutgoingMessage::Text(text, keyboard) => {
                self.bot.send_message(room, &conceal_message(text, &rules), keyboard.as_ref()).await?
            }
            OutgoingMessage::Question(text) => {
                self.bot.send_question(room, &conceal_message(text, &rules)).await?
            }
            OutgoingMessage::Document(document) => self.bot.send_document(room, document).await?,
            OutgoingMessage::CreateTopic(name) => MessageId(self.bot.create_topic(chat, name).await?.0),
        };
        #[cfg(test)]
        match outgoing {
            OutgoingMessage::CreateTopic(_) => crate::crash::crash_at("topic made"),
            _ if cause.as_str().starts_with("card:") => crate::crash::crash_at("card sent"),
            _ => {}
        }
        if let Err(error) = self.note_sent(chat, message, cause).await {
            // The message is in the chat all the same, and the caller needs its number.
            tracing::error!(%error, "a message that was sent could not be noted and may be sent again");
        }
        self.sent_count.send_modify(|count| *count += 1);
        Ok(message)
    }

    async fn note_sent(
        &self,
        chat: ChatId,
        message: MessageId,
        cause: &MessageKey,
    ) -> Result<(), StoreError> {
        let (bot, now, cause) = (self.bot.id().0, self.journal.now().wall, cause.as_str().to_owned());
        let store = self.journal.store();
        store
            .write(Durability::Unsynced, move |store| {
                kept::store_sent(store, bot, (chat.0, message.0), &cause, now)
            })
            .await
    }

    async fn prune_sent(&self) {
        let now = self.journal.now().wall;
        let forgot =
            self.journal.store().write(Durability::Unsynced, move |store| kept::prune_sent(store, now)).await;
        if let Err(error) = forgot {
            tracing::warn!(%error, "what was sent long ago stays noted");
        }
    }

    async fn edit_message(
        &self,
        chat: ChatId,
        message: MessageId,
        edit: &MessageEdit,
    ) -> Result<MessageId, BotError> {
        let MessageEdit(text, keyboard) = edit;
        let text = conceal_message(text, &self.anonymizer.load());
        match self.bot.edit_text(chat, message, &text, keyboard.as_ref()).await {
            Ok(()) | Err(BotError::Refused(Refusal::NotModified)) => Ok(message),
            Err(error) => Err(error),
        }
    }
}

async fn sleep_until_or_forever(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

/// Conceals a message before it leaves: no real value may be in it (guarantee N1). Calls are concealed when
/// they are accepted; here the rest follows, such as project paths, typed text and names.
fn conceal_message<'a>(message: &'a FormattedText, anonymizer: &Anonymizer) -> Cow<'a, FormattedText> {
    let conceal = |text: &str| anonymizer.conceal_text(text).into_inner();
    let changed = message.map_external(conceal);
    if changed == *message {
        return Cow::Borrowed(message);
    }
    if utf16_len(&changed.text) <= MAX_MESSAGE_UNITS {
        return Cow::Owned(changed);
    }
    // Concealing made the text too long. A cut could leave half of a fake, so every changed part is left out.
    Cow::Owned(message.map_external(|text| if conceal(text) == text { text } else { OMITTED }.to_owned()))
}

//! Routes messages to one topic for each project, in a group with topics.
//!
//! The store knows the topic of each project. If topics are unavailable (the group has none, or the bot may
//! not create any), messages go to General, so no question is lost.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portero::anonymize::Anonymizer;
use portero::names::Principal;
use portero::sync::lock;
use tokio::time::Instant;

use super::chat_link::ChatLink;
use super::client::{BotError, ChatId, Destination, MessageId, Refusal, TopicId};
use super::sender::{DeliveryError, MessageKey, OutgoingMessage, SendPriority};
use super::text::{EscapedText, utf16_len};
use crate::daemon::Daemon;
use crate::store::cards::BotChat;
use crate::store::{Durability, StoreError, topics as kept};

/// How long it is assumed that topics are unavailable.
const RECHECK_INTERVAL: Duration = Duration::from_secs(600);
/// The longest name in UTF-16 units: Telegram's 128, less a reserve for a number.
const MAX_TOPIC_NAME_UNITS: usize = 120;
/// How often a message is sent again because its topic was gone or closed.
const MAX_SEND_ATTEMPTS: usize = 3;

const CANNOT_MANAGE_TOPICS: &str = "the bot may not manage topics: let an administrator give it that right; until then projects \
                        have none of their own, and all stands in General";
const CANNOT_REOPEN_TOPIC: &str = "a topic is closed, and the bot may not open it: open it, or let an administrator give the bot \
                      the right to manage topics; until then its questions stand in General";

/// Finds, creates and reopens topics. Clones share their state.
#[derive(Clone)]
pub(super) struct TopicRouter {
    daemon: Arc<Daemon>,
    /// The chat without available topics, and when that was found.
    unavailable: Arc<Mutex<Option<(BotChat, Instant)>>>,
    /// Whether a topic was found gone, so that its messages must be drawn again.
    has_lost_topic: Arc<AtomicBool>,
}

impl TopicRouter {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon, unavailable: Arc::default(), has_lost_topic: Arc::default() }
    }

    /// Whether a topic was found gone since the last call.
    pub(super) fn take_lost(&self) -> bool {
        self.has_lost_topic.swap(false, Ordering::Relaxed)
    }

    /// Sends a message about a project to its topic, and waits for the delivery.
    pub(super) async fn send_to_topic(
        &self,
        link: &ChatLink,
        project: &Principal,
        (outgoing, rank, cause): (OutgoingMessage, SendPriority, MessageKey),
    ) -> Result<Result<MessageId, DeliveryError>, StoreError> {
        let chat = ChatId(link.bot_chat.chat);
        let mut room = Destination::from(chat);
        // Each attempt may find the topic gone or closed. After the last one General takes the message.
        for _ in 0..MAX_SEND_ATTEMPTS {
            room.topic = match self.find_or_create_topic(link, project).await? {
                Ok(topic) => topic,
                Err(undelivered) => return Ok(Err(undelivered)),
            };
            let sent = link.sender.send(room, outgoing.clone(), rank, cause.clone()).outcome().await;
            match (&sent, room.topic) {
                (Err(DeliveryError::Refused(Refusal::TopicGone)), Some(topic)) => {
                    self.forget_topic(link.bot_chat, project, topic).await?;
                }
                (Err(DeliveryError::Refused(Refusal::TopicClosed)), Some(topic)) => {
                    if !self.try_reopen_topic(link, topic).await {
                        break;
                    }
                }
                _ => return Ok(sent),
            }
        }
        Ok(link.sender.send(chat, outgoing, rank, cause).outcome().await)
    }

    /// The topic of a project, created if missing; none for General. The inner error says why it is unknown
    /// now.
    async fn find_or_create_topic(
        &self,
        link: &ChatLink,
        project: &Principal,
    ) -> Result<Result<Option<TopicId>, DeliveryError>, StoreError> {
        if link.owner.is_some() {
            return Ok(Ok(None));
        }
        let store = self.daemon.journal.store();
        let (at, wanted) = (link.bot_chat, project.clone());
        if let Some(topic) = store.read(move |store| kept::find_topic(store, at, &wanted))? {
            return Ok(Ok(Some(TopicId(topic))));
        }
        if self.has_no_topics(link.bot_chat) {
            return Ok(Ok(None));
        }
        match link.sender.client().get_chat(ChatId(link.bot_chat.chat)).await {
            Ok(chat) if chat.is_forum => self.create_topic(link, project).await,
            Ok(_) => {
                self.note_no_topics(link.bot_chat, None);
                Ok(Ok(None))
            }
            // The message itself will meet the same error and report it.
            Err(
                BotError::Blocked | BotError::Migrated(_) | BotError::Refused(_) | BotError::Unauthorized,
            ) => Ok(Ok(None)),
            Err(
                BotError::RetryAfter(_)
                | BotError::ServerError(_)
                | BotError::Conflict
                | BotError::Network(_)
                | BotError::InvalidResponse,
            ) => Ok(Err(DeliveryError::Dropped)),
        }
    }

    /// Creates a project's topic. A crash before it is stored leaves an empty topic behind at worst.
    async fn create_topic(
        &self,
        link: &ChatLink,
        project: &Principal,
    ) -> Result<Result<Option<TopicId>, DeliveryError>, StoreError> {
        let (at, now, of) = (link.bot_chat, self.daemon.clock.now().wall, project.clone());
        let store = self.daemon.journal.store();
        let wanted = topic_name(project, &self.daemon.anonymizer.load());
        let name = store
            .write(Durability::StoreSynced, move |store| kept::reserve_name(store, at, &of, (&wanted, now)))
            .await?;
        let Some(name) = name else { return Ok(Ok(None)) };
        let made = link.sender.send(
            ChatId(at.chat),
            OutgoingMessage::CreateTopic(name),
            SendPriority::Required,
            topic_key(project),
        );
        match made.outcome().await {
            Ok(MessageId(topic)) => {
                #[cfg(test)]
                crate::crash::crash_at("topic told");
                let of = project.clone();
                store
                    .write(Durability::StoreSynced, move |store| kept::store_topic(store, at, &of, topic))
                    .await?;
                self.daemon.bot_health.set_group_trouble(None);
                Ok(Ok(Some(TopicId(topic))))
            }
            Err(DeliveryError::Refused(refusal)) => {
                let trouble = (refusal == Refusal::NotAllowed).then_some(CANNOT_MANAGE_TOPICS);
                tracing::debug!(%refusal, "a project has no topic of its own");
                self.note_no_topics(at, trouble);
                Ok(Ok(None))
            }
            Err(other) => Ok(Err(other)),
        }
    }

    async fn forget_topic(&self, at: BotChat, project: &Principal, topic: TopicId) -> Result<(), StoreError> {
        let (project, cause) = (project.clone(), topic_key(project));
        let change = move |store: &rusqlite::Connection| {
            kept::forget_topic(store, at, &project, (topic.0, cause.as_str()))
        };
        self.daemon.journal.store().write(Durability::StoreSynced, change).await?;
        self.has_lost_topic.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a closed topic could be reopened.
    async fn try_reopen_topic(&self, link: &ChatLink, topic: TopicId) -> bool {
        match link.sender.client().reopen_topic(ChatId(link.bot_chat.chat), topic).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "a topic stays closed");
                self.daemon.bot_health.set_group_trouble(Some(CANNOT_REOPEN_TOPIC));
                false
            }
        }
    }

    fn has_no_topics(&self, at: BotChat) -> bool {
        let none = *lock(&self.unavailable);
        none.is_some_and(|(chat, since)| chat == at && since.elapsed() < RECHECK_INTERVAL)
    }

    fn note_no_topics(&self, at: BotChat, trouble: Option<&str>) {
        *lock(&self.unavailable) = Some((at, Instant::now()));
        self.daemon.bot_health.set_group_trouble(trouble);
    }
}

fn topic_key(project: &Principal) -> MessageKey {
    MessageKey::new("topic", project.as_str())
}

/// The name of a project's topic: the last part of its directory, concealed, with invisible characters
/// spelled out.
fn topic_name(project: &Principal, anonymizer: &Anonymizer) -> String {
    let path = Path::new(project.as_str());
    let last = path.file_name().map_or_else(|| project.as_str().into(), |last| last.to_string_lossy());
    let shown = EscapedText::line(anonymizer.conceal_text(&last).get());
    let mut name = String::new();
    for letter in shown.as_str().chars() {
        if utf16_len(&name) + letter.len_utf16() > MAX_TOPIC_NAME_UNITS {
            break;
        }
        name.push(letter);
    }
    if name.is_empty() { "project".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_called_as_the_directory_and_never_too_long_or_invisible() {
        let called = |path: &str| topic_name(&Principal::from_project(Path::new(path)), &Anonymizer::empty());
        assert_eq!(called("/home/ada/shop"), "shop");
        assert_eq!((called("/"), called("")), ("/".to_owned(), "project".to_owned()));
        assert_eq!(called("/home/a\u{202e}b"), "a⟨U+202E⟩b");
        assert_eq!(utf16_len(&called(&format!("/{}", "𝒳".repeat(200)))), 120);
    }
}

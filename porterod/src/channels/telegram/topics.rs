//! One topic for each project, in a group that has topics.
//!
//! Which topic is a project's is in the store. What cannot be had (the group has no topics, or the bot no right to
//! make them) keeps nothing from being asked: then it stands in General.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portero::anonymize::Anonymizer;
use portero::names::Principal;
use tokio::time::Instant;

use super::board::Link;
use super::bot::{BotError, ChatId, MessageId, Refusal, Room, TopicId};
use super::courier::{Cause, Letter, Rank, Undelivered};
use super::text::{Shown, units};
use crate::daemon::Daemon;
use crate::store::cards::Chat;
use crate::store::{Records, StoreError, topics as kept};

/// How long it is believed that there are none to be had.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// The longest name in UTF-16 units: 128, and some for a number.
const NAME_MOST: usize = 120;
/// How often something is sent anew because its topic was gone or closed.
const TRIES: usize = 3;

const NO_RIGHT: &str = "the bot may not manage topics: let an administrator give it that right; until then projects \
                        have none of their own, and all stands in General";
const CLOSED: &str = "a topic is closed, and the bot may not open it: open it, or let an administrator give the bot \
                      the right to manage topics; until then its questions stand in General";

/// Finds, makes and reopens topics. Clones are the same.
#[derive(Clone)]
pub(super) struct Topics {
    daemon: Arc<Daemon>,
    /// The chat in which there were none to be had, and when.
    none: Arc<Mutex<Option<(Chat, Instant)>>>,
    /// Whether one was found gone, so that what stood in it is to be drawn anew.
    lost: Arc<AtomicBool>,
}

impl Topics {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon, none: Arc::default(), lost: Arc::default() }
    }

    /// Whether a topic was found gone since this was asked last.
    pub(super) fn lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }

    /// Sends something about a project to where it belongs, and waits until it is there.
    pub(super) async fn send(
        &self,
        link: &Link,
        project: &Principal,
        (letter, rank, cause): (Letter, Rank, Cause),
    ) -> Result<Result<MessageId, Undelivered>, StoreError> {
        let chat = ChatId(link.at.chat);
        let mut room = Room::from(chat);
        for _ in 0..TRIES {
            room.topic = match self.of(link, project).await? {
                Ok(topic) => topic,
                Err(undelivered) => return Ok(Err(undelivered)),
            };
            let sent = link.courier.send(room, letter.clone(), rank, cause.clone()).outcome().await;
            match (&sent, room.topic) {
                (Err(Undelivered::Refused(Refusal::TopicGone)), Some(topic)) => {
                    self.gone(link.at, project, topic).await?;
                }
                (Err(Undelivered::Refused(Refusal::TopicClosed)), Some(topic)) => {
                    if !self.reopened(link, topic).await {
                        break;
                    }
                }
                _ => return Ok(sent),
            }
        }
        Ok(link.courier.send(chat, letter, rank, cause).outcome().await)
    }

    /// The topic of a project, which is made if it has none; none for General. The inner error says why it cannot
    /// be told now.
    async fn of(
        &self,
        link: &Link,
        project: &Principal,
    ) -> Result<Result<Option<TopicId>, Undelivered>, StoreError> {
        if link.owner.is_some() {
            return Ok(Ok(None));
        }
        let store = self.daemon.journal.store();
        let (at, wanted) = (link.at, project.clone());
        if let Some(topic) = store.read(move |store| kept::topic(store, at, &wanted))? {
            return Ok(Ok(Some(TopicId(topic))));
        }
        if self.is_without(link.at) {
            return Ok(Ok(None));
        }
        match link.courier.client().chat(ChatId(link.at.chat)).await {
            Ok(chat) if chat.is_forum => self.made(link, project).await,
            Ok(_) => {
                self.do_without(link.at, None);
                Ok(Ok(None))
            }
            // Whoever sends there learns of it too.
            Err(BotError::Blocked | BotError::Moved(_) | BotError::Refused(_) | BotError::Unauthorized) => {
                Ok(Ok(None))
            }
            Err(
                BotError::RetryAfter(_)
                | BotError::Server(_)
                | BotError::Conflict
                | BotError::Network(_)
                | BotError::Nonsense,
            ) => Ok(Err(Undelivered::Dropped)),
        }
    }

    /// Makes a project's topic. A crash before it is kept leaves an empty one behind, at worst.
    async fn made(
        &self,
        link: &Link,
        project: &Principal,
    ) -> Result<Result<Option<TopicId>, Undelivered>, StoreError> {
        let (at, now, of) = (link.at, self.daemon.clock.now().wall, project.clone());
        let store = self.daemon.journal.store();
        let wanted = name(project, &self.daemon.anonymizer.load());
        let name =
            store.write(Records::None, move |store| kept::name(store, at, &of, (&wanted, now))).await?;
        let Some(name) = name else { return Ok(Ok(None)) };
        let made = link.courier.send(ChatId(at.chat), Letter::Topic(name), Rank::Card, cause(project));
        match made.outcome().await {
            Ok(MessageId(topic)) => {
                #[cfg(test)]
                crate::crash::reached("topic told");
                let of = project.clone();
                store.write(Records::None, move |store| kept::keep(store, at, &of, topic)).await?;
                self.daemon.weather.group(None);
                Ok(Ok(Some(TopicId(topic))))
            }
            Err(Undelivered::Refused(refusal)) => {
                let trouble = (refusal == Refusal::NoRight).then_some(NO_RIGHT);
                tracing::debug!(%refusal, "a project has no topic of its own");
                self.do_without(at, trouble);
                Ok(Ok(None))
            }
            Err(other) => Ok(Err(other)),
        }
    }

    async fn gone(&self, at: Chat, project: &Principal, topic: TopicId) -> Result<(), StoreError> {
        let (project, cause) = (project.clone(), cause(project));
        let change =
            move |store: &rusqlite::Connection| kept::gone(store, at, &project, (topic.0, cause.as_str()));
        self.daemon.journal.store().write(Records::None, change).await?;
        self.lost.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a closed topic is open again.
    async fn reopened(&self, link: &Link, topic: TopicId) -> bool {
        match link.courier.client().reopen_topic(ChatId(link.at.chat), topic).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "a topic stays closed");
                self.daemon.weather.group(Some(CLOSED));
                false
            }
        }
    }

    fn is_without(&self, at: Chat) -> bool {
        let none = *self.none.lock().unwrap_or_else(PoisonError::into_inner);
        none.is_some_and(|(chat, since)| chat == at && since.elapsed() < LOOK_AGAIN)
    }

    fn do_without(&self, at: Chat, trouble: Option<&str>) {
        *self.none.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, Instant::now()));
        self.daemon.weather.group(trouble);
    }
}

fn cause(project: &Principal) -> Cause {
    Cause::new("topic", project.as_str())
}

/// What a project's topic is called: the last part of its directory, concealed, with what cannot be seen spelled out.
fn name(project: &Principal, anonymizer: &Anonymizer) -> String {
    let path = Path::new(project.as_str());
    let last = path.file_name().map_or_else(|| project.as_str().into(), |last| last.to_string_lossy());
    let shown = Shown::line(anonymizer.conceal_text(&last).get());
    let mut name = String::new();
    for letter in shown.as_str().chars() {
        if units(&name) + letter.len_utf16() > NAME_MOST {
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
        let called = |path: &str| name(&Principal::of_project(Path::new(path)), &Anonymizer::none());
        assert_eq!(called("/home/ada/shop"), "shop");
        assert_eq!((called("/"), called("")), ("/".to_owned(), "project".to_owned()));
        assert_eq!(called("/home/a\u{202e}b"), "a⟨U+202E⟩b");
        assert_eq!(units(&called(&format!("/{}", "𝒳".repeat(200)))), 120);
    }
}

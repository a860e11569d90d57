//! Polls for updates, and passes each one of an authorized user to its handler once.
//!
//! An update is confirmed to Telegram only after its effect is stored. Its number is stored in the same
//! transaction (`UpdateReceipt::mark_handled`) or right after. So a crash loses none, and a repeated one is
//! recognized.
//! A failed update doesn't block later ones: it is tried several times, and given up only if other changes
//! can be stored.
//! Telegram sends a hundred unconfirmed updates at most. So a failed one among a hundred is first written to
//! disk (`aside`), then confirmed. If that write fails too, Telegram keeps it, and later updates wait.
//! hundred waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portero::ipc::{TelegramState, TelegramTrouble};
use portero::pipeline::BoxFuture;
use portero::sync::lock;
use rusqlite::Connection;

use super::access::{Sender, UserInput, identify_sender};
use super::aside::Aside;
use super::client::{
    Bot, BotError, BotId, ChatId, Destination, MAX_UPDATES, ReceivedMessage, Update, UpdateId, UpdateKind,
};
use super::sender::{MessageKey, OutgoingMessage, SendPriority, TelegramSender, backoff_delay};
use super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText, ToMessages as _};
use crate::auth::pairing::{AuthorizedChat, ChatUser, ClaimOutcome, ConfiguredBot, Pairing};
use crate::bot_health::BotHealth;
use crate::journal::Journal;
use crate::store::{Durability, StoreError, telegram as kept};

/// How often an update is tried before it is given up, provided that other changes can be stored.
const MAX_UPDATE_ATTEMPTS: u32 = 5;

/// The timing of polling.
#[derive(Debug, Clone)]
pub struct PollTiming {
    /// How long one poll waits, in whole seconds.
    pub poll_timeout: Duration,
    /// The first pause after a failure; each further failure doubles it.
    pub initial_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// The pause while another program polls the bot.
    pub conflict_backoff: Duration,
    /// The first pause before a bot that Telegram doesn't know is tried again; each further try doubles it.
    pub initial_unknown_bot_backoff: Duration,
    /// The longest pause.
    pub max_unknown_bot_backoff: Duration,
    /// The time between two replies to `/whoami` of strangers.
    pub whoami_interval: Duration,
}

impl Default for PollTiming {
    fn default() -> Self {
        Self {
            poll_timeout: Duration::from_secs(50),
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            conflict_backoff: Duration::from_secs(30),
            initial_unknown_bot_backoff: Duration::from_secs(1),
            max_unknown_bot_backoff: Duration::from_secs(600),
            whoami_interval: Duration::from_secs(10),
        }
    }
}

/// Handles updates of authorized users. Its implementations are in higher modules.
pub trait UpdateHandler: Send + Sync {
    /// Called when the bot can write to a chat with this sender. Earlier messages may be sent again under
    /// their keys. `authorized_chat` is none until a person is paired; then this is called again.
    fn chat_connected(&self, sender: &TelegramSender, authorized_chat: Option<AuthorizedChat>);

    /// Handles an update. It returns once everything that must not be lost is stored. Slow work must continue
    /// in the background, because the next update waits for this.
    ///
    /// An error leaves the update unconfirmed, so it comes again.
    fn handle_update(&self, heard: AuthorizedUpdate) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// An update of an authorized user.
#[derive(Debug, Clone)]
pub struct AuthorizedUpdate {
    /// The input.
    pub input: UserInput,
    /// The user.
    pub person: ChatUser,
    /// The sender for replies.
    pub sender: TelegramSender,
    /// The receipt to store with its effect.
    pub receipt: UpdateReceipt,
    /// Whether it failed before and a later update has been handled since. Then it must not widen anything.
    pub is_overtaken: bool,
}

/// The number of an update, to be stored with its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateReceipt {
    bot: BotId,
    update: UpdateId,
}

impl UpdateReceipt {
    /// Marks the update as handled, in the transaction of its effect. False if it was handled before; then
    /// nothing may be done.
    pub(crate) fn mark_handled(self, connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
        kept::mark_handled(connection, self.bot.0, self.update.0, now)
    }

    /// The numbers of bot and update.
    pub(crate) const fn ids(self) -> (i64, i64) {
        (self.bot.0, self.update.0)
    }

    /// The key of a message that replies to this update.
    #[must_use]
    pub fn message_key(self) -> MessageKey {
        MessageKey::new("update", self.update.0)
    }
}

/// Polls the updates of one bot.
pub(super) struct UpdateListener {
    pub(super) bot: Bot,
    pub(super) username: String,
    pub(super) endpoint: ConfiguredBot,
    pub(super) journal: Arc<Journal>,
    pub(super) pairing: Arc<Pairing>,
    pub(super) bot_health: Arc<BotHealth>,
    pub(super) sender: TelegramSender,
    pub(super) handler: Arc<dyn UpdateHandler>,
    pub(super) timing: PollTiming,
    pub(super) aside: Aside,
    pub(super) last_whoami: Mutex<Option<Instant>>,
    /// Whether any poll has succeeded.
    pub(super) has_polled: AtomicBool,
}

/// Updates that have not succeeded yet, and the position up to which Telegram was told to forget them.
///
/// A failed update is tried again while later ones are handled. Telegram keeps it meanwhile, and with it all
/// later ones. So the handled ones among those must be known here.
#[derive(Default)]
struct UpdateBacklog {
    /// The offset of the next poll.
    offset: Option<UpdateId>,
    failed: BTreeMap<UpdateId, FailedUpdate>,
    /// Handled updates that Telegram will send again.
    done: BTreeSet<UpdateId>,
    /// Failed updates that are on disk.
    aside: BTreeSet<UpdateId>,
}

/// A failed update.
struct FailedUpdate {
    update: UpdateKind,
    attempts: u32,
    retry_at: Instant,
}

impl UpdateBacklog {
    /// The updates to try now, in the order of their numbers, with the number of earlier attempts.
    fn due_updates(&mut self, updates: Vec<Update>, now: Instant) -> Vec<(UpdateId, UpdateKind, u32)> {
        let due = self.failed.iter().filter(|(_, held)| held.retry_at <= now);
        let due = due.map(|(id, held)| (*id, held.update.clone(), held.attempts));
        let is_new =
            |update: &Update| !self.done.contains(&update.id) && !self.failed.contains_key(&update.id);
        let fresh = updates.into_iter().filter(is_new).map(|Update { id, kind: what }| (id, what, 0));
        let mut all: Vec<_> = due.chain(fresh).collect();
        all.sort_by_key(|(id, ..)| *id);
        all.dedup_by_key(|(id, ..)| *id);
        all
    }

    /// A backlog from the updates that an earlier daemon left on disk.
    fn of_aside(aside: Vec<(UpdateId, UpdateKind)>, now: Instant) -> Self {
        let held = |(id, what)| (id, FailedUpdate { update: what, attempts: 1, retry_at: now });
        let held: BTreeMap<_, _> = aside.into_iter().map(held).collect();
        Self { aside: held.keys().copied().collect(), failed: held, ..Self::default() }
    }

    /// The updates that must be on disk before the next poll. With `is_full` these are all failed ones,
    /// because Telegram is to forget them.
    fn to_set_aside(&self, is_full: bool) -> Vec<(UpdateId, UpdateKind)> {
        let held = self.failed.iter().filter(|(id, _)| is_full || self.aside.contains(*id));
        held.map(|(id, held)| (*id, held.update.clone())).collect()
    }

    /// Whether a later update was handled, or may have been.
    fn is_overtaken(&self, id: UpdateId) -> bool {
        // What was handled after an update on disk is unknown after a restart, so such an update always
        // counts as overtaken.
        self.aside.contains(&id)
            || self.offset.is_some_and(|from| from > id)
            || self.done.iter().any(|done| *done > id)
    }

    fn mark_done(&mut self, id: UpdateId) {
        self.failed.remove(&id);
        self.done.insert(id);
    }

    /// Moves the next poll to the first unhandled update. With `is_full` there may be more updates than
    /// Telegram sends at once; then the poll begins after those that are on disk.
    fn advance_offset(&mut self, last: Option<UpdateId>, is_full: bool) {
        let Some(last) = last else {
            // This poll confirmed everything. The next one has no offset, because after a week without
            // updates Telegram may restart its numbers.
            if self.failed.is_empty() {
                *self = Self { aside: std::mem::take(&mut self.aside), ..Self::default() };
            }
            return;
        };
        let next = UpdateId(last.0.saturating_add(1));
        let is_kept = |id: UpdateId| !is_full || !self.aside.contains(&id);
        // An older failed update isn't held by Telegram any more; only those of this poll decide where the
        // next one begins.
        let told = |id: UpdateId| self.offset.is_none_or(|from| id >= from) && id <= last;
        let first = self.failed.keys().copied().find(|id| told(*id) && is_kept(*id));
        let from = first.unwrap_or(next);
        self.done.retain(|id| *id >= from);
        self.offset = Some(from);
    }
}

impl UpdateListener {
    /// Polls until Telegram no longer knows the bot.
    pub(super) async fn poll_updates(&self) {
        self.prune_handled().await;
        let (mut backlog, mut failures, mut well) = (self.restored().await, 0, false);
        loop {
            // After the start or a failure the poll doesn't wait, so that the state is known soon.
            let wait = if well { self.timing.poll_timeout } else { Duration::ZERO };
            let pause = match self.bot.get_updates(backlog.offset, wait).await {
                Ok(updates) => {
                    self.has_polled.store(true, Ordering::Relaxed);
                    let failed = self.handle_all(updates, &mut backlog).await;
                    match failed {
                        None if backlog.failed.is_empty() => {
                            self.bot_health.note_poll(self.journal.now().wall);
                            None
                        }
                        // New updates wait at most this long, however long the failed one keeps failing.
                        failed => {
                            if let Some(error) = failed {
                                self.note_trouble(TelegramState::Troubled, "store", error.to_string());
                            }
                            Some(self.timing.initial_backoff)
                        }
                    }
                }
                Err(BotError::Unauthorized) => return,
                Err(error) => Some(self.note_poll_failure(&error, failures)),
            };
            well = pause.is_none();
            failures = pause.map_or(0, |_| failures.saturating_add(1));
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Handles updates in the order of their numbers, with the failed ones that are due. Returns the last
    /// error.
    async fn handle_all(&self, updates: Vec<Update>, backlog: &mut UpdateBacklog) -> Option<StoreError> {
        let is_full = updates.len() >= MAX_UPDATES;
        let last = updates.iter().map(|update| update.id).max();
        let mut failed = None;
        for (id, what, tries) in backlog.due_updates(updates, Instant::now()) {
            let is_overtaken = tries > 0 && backlog.is_overtaken(id);
            match self.handle_one(id, what.clone(), is_overtaken).await {
                Ok(()) => backlog.mark_done(id),
                Err(error) => {
                    let tries = tries + 1;
                    if tries >= MAX_UPDATE_ATTEMPTS && self.try_give_up(id, &what, &error).await {
                        backlog.mark_done(id);
                        continue;
                    }
                    let not_before = Instant::now() + self.backoff(tries);
                    backlog
                        .failed
                        .insert(id, FailedUpdate { update: what, attempts: tries, retry_at: not_before });
                    failed = Some(error);
                }
            }
        }
        self.set_aside(backlog, is_full).await;
        backlog.advance_offset(last, is_full);
        failed
    }

    /// Reads the updates that were set aside and never handled.
    async fn restored(&self) -> UpdateBacklog {
        match self.aside.read().await {
            Ok(aside) => UpdateBacklog::of_aside(aside, Instant::now()),
            Err(error) => {
                tracing::error!(%error, "what was set aside of Telegram's updates cannot be read");
                self.note_trouble(TelegramState::Troubled, "store", error.to_string());
                UpdateBacklog::default()
            }
        }
    }

    /// Writes the updates to set aside to disk. If that fails, Telegram keeps them.
    async fn set_aside(&self, backlog: &mut UpdateBacklog, is_full: bool) {
        let wanted = backlog.to_set_aside(is_full);
        // The file changes only if the set does, which is rare, so a poll usually costs no write.
        if wanted.iter().map(|(id, _)| id).eq(&backlog.aside) {
            return;
        }
        match self.aside.write(&wanted).await {
            Ok(()) => backlog.aside = wanted.into_iter().map(|(id, _)| id).collect(),
            Err(error) => tracing::error!(%error, "an update of Telegram that failed cannot be set aside"),
        }
    }

    async fn handle_one(&self, id: UpdateId, what: UpdateKind, is_overtaken: bool) -> Result<(), StoreError> {
        let authorized_chat = self.pairing.authorized_chat(&self.endpoint)?;
        match identify_sender(what, authorized_chat.as_ref(), &self.username) {
            Sender::Stranger => {}
            Sender::ChatMigrated { from, to } => self.sender.note_migration(from, to),
            Sender::MembershipChanged(chat) => self.sender.retry_chat(chat),
            Sender::AsksWhoami(who, said) => self.answer_whoami(who, &said, id),
            Sender::PairingCode(who, code) => self.claim_pairing(who, &code, id).await?,
            Sender::Authorized(person, word) => {
                // A user who writes to the bot has unblocked it.
                self.sender.retry_chat(ChatId(person.chat));
                self.dispatch_update(word, person, (id, is_overtaken)).await?;
            }
        }
        Ok(())
    }

    /// Gives up an update that failed too often, and tells the person. If even this can't be stored, the
    /// store is the problem and the update is tried again.
    async fn try_give_up(&self, id: UpdateId, what: &UpdateKind, error: &StoreError) -> bool {
        let receipt = UpdateReceipt { bot: self.bot.id(), update: id };
        let now = self.journal.now().wall;
        let noted = self
            .journal
            .store()
            .write(Durability::StoreSynced, move |store| receipt.mark_handled(store, now))
            .await;
        if noted.is_err() {
            return false;
        }
        tracing::error!(update = id.0, %error, "an update of Telegram failed {MAX_UPDATE_ATTEMPTS} times, and is given up");
        self.bot_health.count_given_up();
        let authorized_chat = self.pairing.authorized_chat(&self.endpoint).ok().flatten();
        if let Sender::Authorized(person, _) =
            identify_sender(what.clone(), authorized_chat.as_ref(), &self.username)
        {
            let text = StyledText::new()
                .literal("Something that you wrote or tapped here could not be done, and is given up. ");
            let text =
                text.literal("Do it again, or on the terminal: ").code(&EscapedText::line("portero status"));
            self.send_reply(ChatId(person.chat), &text.literal(" tells more."), id);
        }
        true
    }

    async fn dispatch_update(
        &self,
        word: UserInput,
        person: ChatUser,
        (id, is_overtaken): (UpdateId, bool),
    ) -> Result<(), StoreError> {
        let receipt = UpdateReceipt { bot: self.bot.id(), update: id };
        let store = self.journal.store();
        if store.read(move |store| kept::is_handled(store, receipt.bot.0, id.0))? {
            return Ok(());
        }
        let sender = self.sender.clone();
        self.handler
            .handle_update(AuthorizedUpdate { input: word, person, sender, receipt, is_overtaken })
            .await?;
        let now = self.journal.now().wall;
        store.write(Durability::StoreSynced, move |store| receipt.mark_handled(store, now).map(drop)).await
    }

    /// Tells a user their number, at a limited rate.
    fn answer_whoami(&self, who: ChatUser, said: &ReceivedMessage, id: UpdateId) {
        let mut last = lock(&self.last_whoami);
        if last.is_some_and(|last| last.elapsed() < self.timing.whoami_interval) {
            return;
        }
        *last = Some(Instant::now());
        let number = |number: i64| EscapedText::line(&number.to_string());
        let text = StyledText::new().literal("Your user: ").code(&number(who.user)).on_new_line();
        let text = text.literal("This chat: ").code(&number(who.chat));
        let text = match who.owner() {
            Some(_) => text,
            None => text
                .literal("\nTopics: ")
                .literal(if said.is_forum { "on" } else { "off" })
                .literal("\nTo be asked here, write into ")
                .code(&EscapedText::line("portero.json"))
                .literal(", in ")
                .code(&EscapedText::line("telegram"))
                .literal(":")
                .pre(&EscapedText::block(&format!("\"chat\": {},\n\"deciders\": [{}]", who.chat, who.user))),
        };
        self.send_reply(Destination { chat: ChatId(who.chat), topic: said.topic }, &text, id);
    }

    /// Handles a pairing code. Without an open pairing the user is a stranger.
    async fn claim_pairing(&self, who: ChatUser, code: &str, id: UpdateId) -> Result<(), StoreError> {
        match self.pairing.claim_code(&self.endpoint, code, who).await? {
            // Strangers get no reply.
            ClaimOutcome::NoOpenCode | ClaimOutcome::Wrong => {}
            ClaimOutcome::Paired => {
                self.send_reply(
                    ChatId(who.chat),
                    &StyledText::new().literal("Paired. Portero asks you here from now on."),
                    id,
                );
                self.handler.chat_connected(&self.sender, Some(AuthorizedChat::Private(who)));
            }
        }
        Ok(())
    }

    fn send_reply(&self, to: impl Into<Destination>, text: &StyledText, id: UpdateId) {
        let Some(message) = text.fit_message(MAX_MESSAGE_UNITS) else { return };
        let cause = UpdateReceipt { bot: self.bot.id(), update: id }.message_key();
        drop(self.sender.send(to, OutgoingMessage::Text(message, None), SendPriority::Immediate, cause));
    }

    /// Notes a failed poll, and returns the pause.
    fn note_poll_failure(&self, error: &BotError, failures: u32) -> Duration {
        let (state, pause) = match error {
            BotError::Conflict => (TelegramState::Conflict, self.timing.conflict_backoff),
            BotError::RetryAfter(after) => {
                (TelegramState::Troubled, after.wait().max(self.timing.initial_backoff))
            }
            BotError::Unauthorized
            | BotError::ServerError(_)
            | BotError::Blocked
            | BotError::Migrated(_)
            | BotError::Refused(_)
            | BotError::Network(_)
            | BotError::InvalidResponse => (TelegramState::Troubled, self.backoff(failures)),
        };
        self.note_trouble(state, error.kind(), error.to_string());
        pause
    }

    fn backoff(&self, failures: u32) -> Duration {
        backoff_delay(self.timing.initial_backoff, self.timing.max_backoff, failures, rand::random())
    }

    fn note_trouble(&self, state: TelegramState, kind: &str, what: String) {
        let at = self.journal.now().wall;
        self.bot_health.note_trouble(state, TelegramTrouble { at, kind: kind.to_owned(), what });
    }

    async fn prune_handled(&self) {
        let now = self.journal.now().wall;
        let forgot = self
            .journal
            .store()
            .write(Durability::StoreSynced, move |store| kept::prune_handled(store, now))
            .await;
        if let Err(error) = forgot {
            tracing::warn!(%error, "what was dealt with long ago stays noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(id: i64) -> Update {
        Update { id: UpdateId(id), kind: UpdateKind::Other }
    }

    fn ids(due: &[(UpdateId, UpdateKind, u32)]) -> Vec<i64> {
        due.iter().map(|(id, ..)| id.0).collect()
    }

    fn hold_failed(backlog: &mut UpdateBacklog, id: i64, not_before: Instant) {
        backlog.failed.insert(
            UpdateId(id),
            FailedUpdate { update: UpdateKind::Other, attempts: 1, retry_at: not_before },
        );
    }

    #[test]
    fn what_fails_is_not_confirmed_and_what_is_done_is_not_done_again() {
        let (mut backlog, now) = (UpdateBacklog::default(), Instant::now());
        let due = backlog.due_updates(vec![update(3), update(1), update(2)], now);
        assert_eq!(ids(&due), [1, 2, 3], "in their order");
        backlog.mark_done(UpdateId(1));
        let later = now + Duration::from_secs(1);
        hold_failed(&mut backlog, 2, later);
        backlog.mark_done(UpdateId(3));
        backlog.advance_offset(Some(UpdateId(3)), false);
        assert_eq!(backlog.offset, Some(UpdateId(2)), "Telegram keeps it, and tells it again");
        assert!(backlog.is_overtaken(UpdateId(2)));

        assert_eq!(ids(&backlog.due_updates(vec![update(2), update(3), update(4)], now)), [4]);
        assert_eq!(ids(&backlog.due_updates(vec![update(2), update(3)], later)), [2]);
        backlog.mark_done(UpdateId(2));
        backlog.advance_offset(Some(UpdateId(3)), false);
        assert_eq!((backlog.offset, backlog.done.len()), (Some(UpdateId(4)), 0));
        backlog.advance_offset(None, false);
        assert_eq!(backlog.offset, None, "all is confirmed: Telegram may begin anew somewhere");
    }

    #[test]
    fn nothing_is_overtaken_by_what_came_before_it() {
        let mut backlog = UpdateBacklog::default();
        backlog.mark_done(UpdateId(1));
        hold_failed(&mut backlog, 2, Instant::now());
        assert!(!backlog.is_overtaken(UpdateId(2)));
    }

    /// Telegram tells a hundred at once: what fails must not hide the hundred and first.
    #[test]
    fn what_fails_hides_nothing_however_much_comes_after_it() {
        let (mut backlog, now) = (UpdateBacklog::default(), Instant::now());
        hold_failed(&mut backlog, 1, now);
        (2..=100).for_each(|id| backlog.mark_done(UpdateId(id)));
        backlog.advance_offset(Some(UpdateId(100)), true);
        assert_eq!(backlog.offset, Some(UpdateId(1)), "Telegram keeps it while it is tried");
        backlog.failed.values_mut().for_each(|held| held.attempts = MAX_UPDATE_ATTEMPTS);
        backlog.advance_offset(Some(UpdateId(100)), true);
        assert_eq!(
            backlog.offset,
            Some(UpdateId(1)),
            "also after all tries, as long as the disk does not hold it"
        );
        assert_eq!(backlog.to_set_aside(false), []);
        let aside = backlog.to_set_aside(true);
        assert_eq!(aside, [(UpdateId(1), UpdateKind::Other)]);
        backlog.aside = aside.iter().map(|(id, _)| *id).collect();
        (2..=100).for_each(|id| backlog.mark_done(UpdateId(id)));
        backlog.advance_offset(Some(UpdateId(100)), true);
        assert_eq!(backlog.offset, Some(UpdateId(101)));
        assert!(backlog.is_overtaken(UpdateId(1)));
        assert_eq!(ids(&backlog.due_updates(vec![update(101)], now)), [1, 101], "it is tried on");
        assert_eq!(backlog.to_set_aside(false), aside, "the disk holds it until it is done");
        let mut restored = UpdateBacklog::of_aside(aside, now);
        assert!(restored.is_overtaken(UpdateId(1)), "nobody knows what was done after it");
        assert_eq!(
            ids(&restored.due_updates(vec![update(1), update(2)], now)),
            [1, 2],
            "once, also where it comes again"
        );
        backlog.mark_done(UpdateId(1));
        assert_eq!(backlog.to_set_aside(true), []);
        backlog.mark_done(UpdateId(101));
        backlog.advance_offset(Some(UpdateId(101)), false);
        backlog.advance_offset(None, false);
        assert_eq!(backlog.offset, None);
    }
}

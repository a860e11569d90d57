//! Listens: polls for what arrives and hands on what the person said, each thing once.
//!
//! An update is confirmed to Telegram only after what it does is stored, and its number is stored with that
//! (`Receipt::take`) or right after: a crash loses none, and what comes again is known. One that fails holds up no
//! other: it is tried again a few times, and given up only where nothing else fails. Telegram tells a hundred at
//! once, and tells what comes after them only when it may forget those before: then what failed among them is set
//! aside on the disk first (`aside`). Where even that cannot be written Telegram keeps them, and what comes after the
//! hundred waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portero::ipc::{TelegramState, TelegramTrouble};
use portero::pipeline::BoxFuture;
use rusqlite::Connection;

use super::aside::Aside;
use super::bot::{Bot, BotError, BotId, ChatId, Incoming, MAX_UPDATES, Message, Room, Update, UpdateId};
use super::courier::{Cause, Courier, Letter, Rank, doubled};
use super::door::{Caller, Word, look};
use super::text::{MESSAGE_MOST, Shown, Text};
use crate::journal::Journal;
use crate::pairing::{Circle, Claim, Pairing, Person, Place};
use crate::store::{Records, StoreError, telegram as kept};
use crate::weather::Weather;

/// How often an update is tried before it is given up, where everything else can be stored.
const MAX_TRIES: u32 = 5;

/// How the poll goes.
#[derive(Debug, Clone)]
pub struct Listening {
    /// How long one poll waits, in whole seconds.
    pub wait: Duration,
    /// The first pause after a failure; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest.
    pub longest_pause: Duration,
    /// The pause while another program takes the bot's messages.
    pub conflict_pause: Duration,
    /// The first pause before a bot that Telegram does not know is tried again; it doubles with each try.
    pub first_unknown_pause: Duration,
    /// The longest.
    pub unknown_pause: Duration,
    /// The time between two answers to people who ask who they are.
    pub whoami_gap: Duration,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(50),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            conflict_pause: Duration::from_secs(30),
            first_unknown_pause: Duration::from_secs(1),
            unknown_pause: Duration::from_secs(600),
            whoami_gap: Duration::from_secs(10),
        }
    }
}

/// What decides on what the person said. It stands above the wire.
pub trait Flow: Send + Sync {
    /// The bot can be written to, with this courier; what was told before may be told again, under its cause.
    /// `circle` is none until someone is paired; then this comes again.
    fn linked(&self, courier: &Courier, circle: Option<Circle>);

    /// The person said or pressed something. It returns once what must not be lost is stored; what takes long is
    /// to go on by itself, since nothing else is heard meanwhile.
    ///
    /// An error leaves the update unconfirmed: it comes again.
    fn hear(&self, heard: Heard) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Something that the person said or pressed.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What.
    pub word: Word,
    /// Who.
    pub person: Person,
    /// To answer.
    pub courier: Courier,
    /// That it was dealt with.
    pub receipt: Receipt,
    /// Whether it failed before, and something that was said later was done meanwhile: then nothing widens by it.
    pub is_overtaken: bool,
}

/// The number of an update, to be stored with what the update does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    bot: BotId,
    update: UpdateId,
}

impl Receipt {
    /// Stores, in the transaction of what the update does, that it was done. False when it was done before:
    /// then nothing is to be done.
    pub(crate) fn take(self, connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
        kept::handle(connection, self.bot.0, self.update.0, now)
    }

    /// The bot's and the update's number.
    pub(crate) const fn numbers(self) -> (i64, i64) {
        (self.bot.0, self.update.0)
    }

    /// A cause for what is sent in answer to this update.
    #[must_use]
    pub fn cause(self) -> Cause {
        Cause::new("update", self.update.0)
    }
}

/// One bot's ear.
pub(super) struct Ear {
    pub(super) bot: Bot,
    pub(super) username: String,
    pub(super) place: Place,
    pub(super) journal: Arc<Journal>,
    pub(super) pairing: Arc<Pairing>,
    pub(super) weather: Arc<Weather>,
    pub(super) courier: Courier,
    pub(super) flow: Arc<dyn Flow>,
    pub(super) listening: Listening,
    pub(super) aside: Aside,
    pub(super) last_whoami: Mutex<Option<Instant>>,
    /// Whether a poll went well.
    pub(super) polled: AtomicBool,
}

/// What arrived and did not succeed yet, and how far Telegram was told that all is dealt with.
///
/// An update that fails is tried again while later ones are dealt with. Telegram keeps it meanwhile, and with it
/// those after it; so it is known here which of them are done.
#[derive(Default)]
struct Backlog {
    /// Where the next poll begins.
    from: Option<UpdateId>,
    held: BTreeMap<UpdateId, Held>,
    /// What is done of what Telegram tells again.
    done: BTreeSet<UpdateId>,
    /// What the disk holds of those that failed.
    aside: BTreeSet<UpdateId>,
}

/// An update that failed.
struct Held {
    what: Incoming,
    tries: u32,
    not_before: Instant,
}

impl Backlog {
    /// What is to be tried now, in the order of its numbers, and how often it was before.
    fn due(&mut self, updates: Vec<Update>, now: Instant) -> Vec<(UpdateId, Incoming, u32)> {
        let due = self.held.iter().filter(|(_, held)| held.not_before <= now);
        let due = due.map(|(id, held)| (*id, held.what.clone(), held.tries));
        let is_new = |update: &Update| !self.done.contains(&update.id) && !self.held.contains_key(&update.id);
        let fresh = updates.into_iter().filter(is_new).map(|Update { id, what }| (id, what, 0));
        let mut all: Vec<_> = due.chain(fresh).collect();
        all.sort_by_key(|(id, ..)| *id);
        all.dedup_by_key(|(id, ..)| *id);
        all
    }

    /// What an earlier daemon set aside.
    fn of_aside(aside: Vec<(UpdateId, Incoming)>, now: Instant) -> Self {
        let held = |(id, what)| (id, Held { what, tries: 1, not_before: now });
        let held: BTreeMap<_, _> = aside.into_iter().map(held).collect();
        Self { aside: held.keys().copied().collect(), held, ..Self::default() }
    }

    /// What the disk is to hold before the next poll: all that failed, where Telegram is to forget it.
    fn to_set_aside(&self, is_full: bool) -> Vec<(UpdateId, Incoming)> {
        let held = self.held.iter().filter(|(id, _)| is_full || self.aside.contains(*id));
        held.map(|(id, held)| (*id, held.what.clone())).collect()
    }

    /// Whether something that came later is done, or may be.
    fn is_overtaken(&self, id: UpdateId) -> bool {
        self.aside.contains(&id)
            || self.from.is_some_and(|from| from > id)
            || self.done.iter().any(|done| *done > id)
    }

    fn is_done(&mut self, id: UpdateId) {
        self.held.remove(&id);
        self.done.insert(id);
    }

    /// Lets the next poll begin at the first update that is not dealt with. Where `is_full`, there may be more than
    /// Telegram tells at once: then it begins after those that are set aside.
    fn advance(&mut self, last: Option<UpdateId>, is_full: bool) {
        let Some(last) = last else {
            // This poll confirmed everything. The next one asks without a number: after a quiet week Telegram
            // begins anew somewhere.
            if self.held.is_empty() {
                *self = Self { aside: std::mem::take(&mut self.aside), ..Self::default() };
            }
            return;
        };
        let next = UpdateId(last.0.saturating_add(1));
        let is_kept = |id: UpdateId| !is_full || !self.aside.contains(&id);
        let told = |id: UpdateId| self.from.is_none_or(|from| id >= from) && id <= last;
        let first = self.held.keys().copied().find(|id| told(*id) && is_kept(*id));
        let from = first.unwrap_or(next);
        self.done.retain(|id| *id >= from);
        self.from = Some(from);
    }
}

impl Ear {
    /// Listens until Telegram knows the bot no more.
    pub(super) async fn listen(&self) {
        self.forget_old().await;
        let (mut backlog, mut failures, mut well) = (self.restored().await, 0, false);
        loop {
            // At first and after a failure it is soon known whether all is well.
            let wait = if well { self.listening.wait } else { Duration::ZERO };
            let pause = match self.bot.updates(backlog.from, wait).await {
                Ok(updates) => {
                    self.polled.store(true, Ordering::Relaxed);
                    let failed = self.hear_all(updates, &mut backlog).await;
                    match failed {
                        None if backlog.held.is_empty() => {
                            self.weather.polled(self.journal.now().wall);
                            None
                        }
                        // What comes meanwhile waits for no longer than this, however long that one fails.
                        failed => {
                            if let Some(error) = failed {
                                self.trouble(TelegramState::Troubled, "store", error.to_string());
                            }
                            Some(self.listening.first_pause)
                        }
                    }
                }
                Err(BotError::Unauthorized) => return,
                Err(error) => Some(self.failed(&error, failures)),
            };
            well = pause.is_none();
            failures = pause.map_or(0, |_| failures.saturating_add(1));
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Hears updates in the order of their numbers, and those again that failed; the last failure.
    async fn hear_all(&self, updates: Vec<Update>, backlog: &mut Backlog) -> Option<StoreError> {
        let is_full = updates.len() >= MAX_UPDATES;
        let last = updates.iter().map(|update| update.id).max();
        let mut failed = None;
        for (id, what, tries) in backlog.due(updates, Instant::now()) {
            let is_overtaken = tries > 0 && backlog.is_overtaken(id);
            match self.hear_one(id, what.clone(), is_overtaken).await {
                Ok(()) => backlog.is_done(id),
                Err(error) => {
                    let tries = tries + 1;
                    if tries >= MAX_TRIES && self.given_up(id, &what, &error).await {
                        backlog.is_done(id);
                        continue;
                    }
                    let not_before = Instant::now() + self.pause(tries);
                    backlog.held.insert(id, Held { what, tries, not_before });
                    failed = Some(error);
                }
            }
        }
        self.set_aside(backlog, is_full).await;
        backlog.advance(last, is_full);
        failed
    }

    /// What was set aside and never done.
    async fn restored(&self) -> Backlog {
        match self.aside.read().await {
            Ok(aside) => Backlog::of_aside(aside, Instant::now()),
            Err(error) => {
                tracing::error!(%error, "what was set aside of Telegram's updates cannot be read");
                self.trouble(TelegramState::Troubled, "store", error.to_string());
                Backlog::default()
            }
        }
    }

    /// Brings the disk up to what is to be set aside. Where that fails Telegram keeps those updates.
    async fn set_aside(&self, backlog: &mut Backlog, is_full: bool) {
        let wanted = backlog.to_set_aside(is_full);
        if wanted.iter().map(|(id, _)| id).eq(&backlog.aside) {
            return;
        }
        match self.aside.write(&wanted).await {
            Ok(()) => backlog.aside = wanted.into_iter().map(|(id, _)| id).collect(),
            Err(error) => tracing::error!(%error, "an update of Telegram that failed cannot be set aside"),
        }
    }

    async fn hear_one(&self, id: UpdateId, what: Incoming, is_overtaken: bool) -> Result<(), StoreError> {
        let circle = self.pairing.circle(&self.place)?;
        match look(what, circle.as_ref(), &self.username) {
            Caller::Stranger => {}
            Caller::Moved { from, to } => self.courier.moved(from, to),
            Caller::Membership(chat) => self.courier.retry(chat),
            Caller::Whoami(who, said) => self.tell_who(who, &said, id),
            Caller::Code(who, code) => self.claim(who, &code, id).await?,
            Caller::Person(person, word) => {
                // Who writes lets the bot write, too.
                self.courier.retry(ChatId(person.chat));
                self.hand_on(word, person, (id, is_overtaken)).await?;
            }
        }
        Ok(())
    }

    /// Gives up an update that failed too often, if it alone does: where nothing can be stored it is tried on. The
    /// person is told.
    async fn given_up(&self, id: UpdateId, what: &Incoming, error: &StoreError) -> bool {
        let receipt = Receipt { bot: self.bot.id(), update: id };
        let now = self.journal.now().wall;
        let noted = self.journal.store().write(Records::None, move |store| receipt.take(store, now)).await;
        if noted.is_err() {
            return false;
        }
        tracing::error!(update = id.0, %error, "an update of Telegram failed {MAX_TRIES} times, and is given up");
        self.weather.gave_up();
        let circle = self.pairing.circle(&self.place).ok().flatten();
        if let Caller::Person(person, _) = look(what.clone(), circle.as_ref(), &self.username) {
            let text = Text::new()
                .words("Something that you wrote or tapped here could not be done, and is given up. ");
            let text = text.words("Do it again, or on the terminal: ").code(&Shown::line("portero status"));
            self.say(ChatId(person.chat), &text.words(" tells more."), id);
        }
        true
    }

    async fn hand_on(
        &self,
        word: Word,
        person: Person,
        (id, is_overtaken): (UpdateId, bool),
    ) -> Result<(), StoreError> {
        let receipt = Receipt { bot: self.bot.id(), update: id };
        let store = self.journal.store();
        if store.read(move |store| kept::is_handled(store, receipt.bot.0, id.0))? {
            return Ok(());
        }
        let courier = self.courier.clone();
        self.flow.hear(Heard { word, person, courier, receipt, is_overtaken }).await?;
        let now = self.journal.now().wall;
        store.write(Records::None, move |store| receipt.take(store, now).map(drop)).await
    }

    /// Tells someone their number, now and then.
    fn tell_who(&self, who: Person, said: &Message, id: UpdateId) {
        let mut last = self.last_whoami.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < self.listening.whoami_gap) {
            return;
        }
        *last = Some(Instant::now());
        let number = |number: i64| Shown::line(&number.to_string());
        let text = Text::new().words("Your user: ").code(&number(who.user)).line();
        let text = text.words("This chat: ").code(&number(who.chat));
        let text = match who.owner() {
            Some(_) => text,
            None => text
                .words("\nTopics: ")
                .words(if said.forum { "on" } else { "off" })
                .words("\nTo be asked here, write into ")
                .code(&Shown::line("portero.json"))
                .words(", in ")
                .code(&Shown::line("telegram"))
                .words(":")
                .pre(&Shown::block(&format!("\"chat\": {},\n\"deciders\": [{}]", who.chat, who.user))),
        };
        self.say(Room { chat: ChatId(who.chat), topic: said.topic }, &text, id);
    }

    /// Someone says a code. While none is waited for, they are a stranger.
    async fn claim(&self, who: Person, code: &str, id: UpdateId) -> Result<(), StoreError> {
        match self.pairing.claim(&self.place, code, who).await? {
            // Strangers get silence.
            Claim::Closed | Claim::Wrong => {}
            Claim::Paired => {
                self.say(
                    ChatId(who.chat),
                    &Text::new().words("Paired. Portero asks you here from now on."),
                    id,
                );
                self.flow.linked(&self.courier, Some(Circle::One(who)));
            }
        }
        Ok(())
    }

    fn say(&self, to: impl Into<Room>, text: &Text, id: UpdateId) {
        let Some(message) = text.message(MESSAGE_MOST) else { return };
        let cause = Receipt { bot: self.bot.id(), update: id }.cause();
        drop(self.courier.send(to, Letter::Text(message, None), Rank::Prompt, cause));
    }

    /// Notes a failed poll; how long to wait now.
    fn failed(&self, error: &BotError, failures: u32) -> Duration {
        let (state, pause) = match error {
            BotError::Conflict => (TelegramState::Conflict, self.listening.conflict_pause),
            BotError::RetryAfter(after) => {
                (TelegramState::Troubled, after.wait().max(self.listening.first_pause))
            }
            BotError::Unauthorized
            | BotError::Server(_)
            | BotError::Blocked
            | BotError::Moved(_)
            | BotError::Refused(_)
            | BotError::Network(_)
            | BotError::Nonsense => (TelegramState::Troubled, self.pause(failures)),
        };
        self.trouble(state, error.kind(), error.to_string());
        pause
    }

    fn pause(&self, failures: u32) -> Duration {
        doubled(self.listening.first_pause, self.listening.longest_pause, failures, rand::random())
    }

    fn trouble(&self, state: TelegramState, kind: &str, what: String) {
        let at = self.journal.now().wall;
        self.weather.failed(state, TelegramTrouble { at, kind: kind.to_owned(), what });
    }

    async fn forget_old(&self) {
        let now = self.journal.now().wall;
        let forgot =
            self.journal.store().write(Records::None, move |store| kept::forget_handled(store, now)).await;
        if let Err(error) = forgot {
            tracing::warn!(%error, "what was dealt with long ago stays noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(id: i64) -> Update {
        Update { id: UpdateId(id), what: Incoming::Other }
    }

    fn ids(due: &[(UpdateId, Incoming, u32)]) -> Vec<i64> {
        due.iter().map(|(id, ..)| id.0).collect()
    }

    fn hold(backlog: &mut Backlog, id: i64, not_before: Instant) {
        backlog.held.insert(UpdateId(id), Held { what: Incoming::Other, tries: 1, not_before });
    }

    #[test]
    fn what_fails_is_not_confirmed_and_what_is_done_is_not_done_again() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        let due = backlog.due(vec![update(3), update(1), update(2)], now);
        assert_eq!(ids(&due), [1, 2, 3], "in their order");
        backlog.is_done(UpdateId(1));
        let later = now + Duration::from_secs(1);
        hold(&mut backlog, 2, later);
        backlog.is_done(UpdateId(3));
        backlog.advance(Some(UpdateId(3)), false);
        assert_eq!(backlog.from, Some(UpdateId(2)), "Telegram keeps it, and tells it again");
        assert!(backlog.is_overtaken(UpdateId(2)));

        assert_eq!(ids(&backlog.due(vec![update(2), update(3), update(4)], now)), [4]);
        assert_eq!(ids(&backlog.due(vec![update(2), update(3)], later)), [2]);
        backlog.is_done(UpdateId(2));
        backlog.advance(Some(UpdateId(3)), false);
        assert_eq!((backlog.from, backlog.done.len()), (Some(UpdateId(4)), 0));
        backlog.advance(None, false);
        assert_eq!(backlog.from, None, "all is confirmed: Telegram may begin anew somewhere");
    }

    #[test]
    fn nothing_is_overtaken_by_what_came_before_it() {
        let mut backlog = Backlog::default();
        backlog.is_done(UpdateId(1));
        hold(&mut backlog, 2, Instant::now());
        assert!(!backlog.is_overtaken(UpdateId(2)));
    }

    /// Telegram tells a hundred at once: what fails must not hide the hundred and first.
    #[test]
    fn what_fails_hides_nothing_however_much_comes_after_it() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        hold(&mut backlog, 1, now);
        (2..=100).for_each(|id| backlog.is_done(UpdateId(id)));
        backlog.advance(Some(UpdateId(100)), true);
        assert_eq!(backlog.from, Some(UpdateId(1)), "Telegram keeps it while it is tried");
        backlog.held.values_mut().for_each(|held| held.tries = MAX_TRIES);
        backlog.advance(Some(UpdateId(100)), true);
        assert_eq!(
            backlog.from,
            Some(UpdateId(1)),
            "also after all tries, as long as the disk does not hold it"
        );
        assert_eq!(backlog.to_set_aside(false), []);
        let aside = backlog.to_set_aside(true);
        assert_eq!(aside, [(UpdateId(1), Incoming::Other)]);
        backlog.aside = aside.iter().map(|(id, _)| *id).collect();
        (2..=100).for_each(|id| backlog.is_done(UpdateId(id)));
        backlog.advance(Some(UpdateId(100)), true);
        assert_eq!(backlog.from, Some(UpdateId(101)));
        assert!(backlog.is_overtaken(UpdateId(1)));
        assert_eq!(ids(&backlog.due(vec![update(101)], now)), [1, 101], "it is tried on");
        assert_eq!(backlog.to_set_aside(false), aside, "the disk holds it until it is done");
        let mut restored = Backlog::of_aside(aside, now);
        assert!(restored.is_overtaken(UpdateId(1)), "nobody knows what was done after it");
        assert_eq!(
            ids(&restored.due(vec![update(1), update(2)], now)),
            [1, 2],
            "once, also where it comes again"
        );
        backlog.is_done(UpdateId(1));
        assert_eq!(backlog.to_set_aside(true), []);
        backlog.is_done(UpdateId(101));
        backlog.advance(Some(UpdateId(101)), false);
        backlog.advance(None, false);
        assert_eq!(backlog.from, None);
    }
}

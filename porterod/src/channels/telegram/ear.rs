//! Listens: polls for what arrives and hands on what the person said, each thing once.
//!
//! An update is confirmed to Telegram only after what it does is stored, and its number is stored with that
//! (`Receipt::take`) or right after: a crash loses none, and what comes again is known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portero::ipc::{TelegramState, TelegramTrouble};
use portero::pipeline::BoxFuture;
use rusqlite::Connection;

use super::bot::{Bot, BotError, BotId, ChatId, Message, Room, Update, UpdateId};
use super::courier::{Cause, Courier, Letter, Rank, doubled};
use super::door::{Caller, Word, look};
use super::text::{MESSAGE_MOST, Shown, Text};
use crate::journal::Journal;
use crate::pairing::{Circle, Claim, Pairing, Person, Place};
use crate::store::{Records, StoreError, telegram as kept};
use crate::weather::Weather;

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
    /// The pause before a bot that Telegram does not know is tried again.
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
    pub(super) last_whoami: Mutex<Option<Instant>>,
}

impl Ear {
    /// Listens until Telegram knows the bot no more.
    pub(super) async fn listen(&self) {
        self.forget_old().await;
        let (mut from, mut failures, mut well) = (None, 0, false);
        loop {
            // At first and after a failure it is soon known whether all is well.
            let wait = if well { self.listening.wait } else { Duration::ZERO };
            let pause = match self.bot.updates(from, wait).await {
                Ok(updates) => match self.hear_all(updates, &mut from).await {
                    Ok(()) => {
                        self.weather.polled(self.journal.now().wall);
                        None
                    }
                    Err(error) => {
                        self.trouble(TelegramState::Troubled, "store", error.to_string());
                        Some(self.pause(failures))
                    }
                },
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

    /// Hears updates in the order of their numbers; `from` follows what is dealt with.
    async fn hear_all(
        &self,
        mut updates: Vec<Update>,
        from: &mut Option<UpdateId>,
    ) -> Result<(), StoreError> {
        if updates.is_empty() {
            // This poll confirmed everything. The next one asks without a number: after a quiet week Telegram
            // begins anew somewhere.
            *from = None;
        }
        updates.sort_by_key(|update| update.id);
        for Update { id, what } in updates {
            let circle = self.pairing.circle(&self.place)?;
            match look(what, circle.as_ref(), &self.username) {
                Caller::Stranger => {}
                Caller::Moved(to) => self.courier.moved(to),
                Caller::Whoami(who, said) => self.tell_who(who, &said, id),
                Caller::Code(who, code) => self.claim(who, &code, id).await?,
                Caller::Person(person, word) => self.hand_on(word, person, id).await?,
            }
            *from = Some(UpdateId(id.0.saturating_add(1)));
        }
        Ok(())
    }

    async fn hand_on(&self, word: Word, person: Person, id: UpdateId) -> Result<(), StoreError> {
        let receipt = Receipt { bot: self.bot.id(), update: id };
        let store = self.journal.store();
        if store.read(|store| kept::is_handled(store, receipt.bot.0, id.0))? {
            return Ok(());
        }
        let courier = self.courier.clone();
        self.flow.hear(Heard { word, person, courier, receipt }).await?;
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
        drop(self.courier.send(to, Letter::Text(message, None), Rank::Notice, cause));
    }

    /// Notes a failed poll; how long to wait now.
    fn failed(&self, error: &BotError, failures: u32) -> Duration {
        let (state, pause) = match error {
            BotError::Conflict => (TelegramState::Conflict, self.listening.conflict_pause),
            BotError::RetryAfter(after) => {
                (TelegramState::Troubled, (*after).max(self.listening.first_pause))
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

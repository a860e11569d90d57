//! The person whom the bot obeys (guarantee A4): one user in a private chat, or the deciders of a configured
//! group.
//!
//! A person is paired with a code that only a terminal shows, or named in the configuration. A pairing holds
//! for one bot at one address of the Bot API, because another server could speak in the person's name. The
//! code is in memory only, as a hash, so a restart ends it.
//!
//! Strangers may guess while a code holds, from as many accounts as they like. Each account has a few tries,
//! and the code's length protects against all of them together. The number of accounts never ends a code,
//! because strangers could then lock the person out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use portero::clock::Clock;
use portero::ipc::Act;
use portero::names::Actor;
use portero::secret::Secret;
use portero::sync::lock;
use tokio::sync::watch;

use crate::auth::Authorization;
use crate::journal::{AuditMode, Journal};
use crate::store::{StoreError, telegram as kept};

/// The time for which a code holds.
pub const CODE_TIMEOUT: Duration = Duration::from_secs(300);
/// The tries of one account.
const MAX_TRIES_PER_ACCOUNT: u32 = 5;
/// The accounts that are counted one by one; only [`MAX_GUESSES`] bounds the others.
const MAX_ACCOUNTS: usize = 10_000;
/// The wrong guesses, of all accounts, that end a code: 2^20. Telegram delivers fewer to a bot in five
/// minutes (about a thousand a second), so strangers can't use them up. They find the code with a probability
/// of at most 2^20 / 2^60 = 2^-40.
const MAX_GUESSES: u32 = 1 << 20;
/// The characters of a code: 60 bits.
const CODE_LENGTH: usize = 12;
/// Digits and letters that look unlike one another (Crockford's base 32).
const CODE_ALPHABET: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A bot, and the address of its Bot API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredBot {
    /// The bot's number.
    pub bot: i64,
    /// `telegram.apiUrl`; `None` for Telegram's own.
    pub api_url: Option<String>,
    /// `telegram.admin`: the person whom the configuration names.
    pub admin: Option<u64>,
    /// `telegram.chat` and `telegram.deciders`: the group that takes the place of one person.
    pub group: Option<DecidingGroup>,
}

/// A group and its deciders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidingGroup {
    /// The chat's number, which is negative.
    pub chat: i64,
    /// The user numbers of the deciders.
    pub deciders: Vec<i64>,
}

/// The chat that the bot speaks in, and the people whom it obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizedChat {
    /// One person, in their private chat.
    Private(ChatUser),
    /// Several people, in a group.
    Group(DecidingGroup),
}

impl AuthorizedChat {
    /// The chat that the bot speaks and listens in.
    #[must_use]
    pub const fn chat(&self) -> i64 {
        match self {
            Self::Private(person) => person.chat,
            Self::Group(group) => group.chat,
        }
    }

    /// Whether this user may decide in this chat.
    #[must_use]
    pub fn authorizes(&self, who: ChatUser) -> bool {
        match self {
            Self::Private(person) => *person == who,
            Self::Group(group) => group.chat == who.chat && group.deciders.contains(&who.user),
        }
    }

    /// The person whose private chat it is; `None` in a group.
    #[must_use]
    pub const fn owner(&self) -> Option<i64> {
        match self {
            Self::Private(person) => Some(person.user),
            Self::Group(_) => None,
        }
    }
}

/// A user in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatUser {
    /// The user's number.
    pub user: i64,
    /// The chat's number: the user's own number in a private chat, and negative in a group.
    pub chat: i64,
}

impl ChatUser {
    /// The person whose private chat it is; `None` in a group.
    #[must_use]
    pub const fn owner(self) -> Option<i64> {
        if self.user == self.chat { Some(self.user) } else { None }
    }
}

/// A code that pairs the person who sends it to the bot.
#[derive(Debug)]
pub struct PairingOffer {
    /// The code, which only a terminal shows.
    pub code: Secret,
    /// When the code expires.
    pub expires: Timestamp,
}

/// The outcome of a sent code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The sender is paired now.
    Paired,
    /// The code is wrong, or the sender has no tries left.
    Wrong,
    /// No code is open.
    NoOpenCode,
}

/// Why no code is offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// A person is paired already.
    #[error("the bot is paired with user {0}")]
    Paired(i64),
    /// The configuration names the person.
    #[error("the configuration names user {0} as the one who decides")]
    NamedInConfig(u64),
    /// The configuration names a group and its deciders.
    #[error("the configuration names the group {0} and who decides there")]
    GroupInConfig(i64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the pairing, and the open code.
pub struct Pairing {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    open: Mutex<Option<OpenPairing>>,
    unpair_count: watch::Sender<u64>,
}

struct OpenPairing {
    hash: blake3::Hash,
    bot: ConfiguredBot,
    /// On the boot clock, which a change of the time does not move.
    until: Duration,
    /// The wrong guesses of all accounts, and of each.
    guesses: u32,
    tries: HashMap<i64, u32>,
}

impl OpenPairing {
    /// Whether an account has a try left.
    fn may_guess(&self, user: i64) -> bool {
        self.tries.get(&user).is_none_or(|tries| *tries < MAX_TRIES_PER_ACCOUNT)
    }

    fn count_wrong_guess(&mut self, user: i64) {
        self.guesses = self.guesses.saturating_add(1);
        // The table is bounded, because a stranger chooses how many accounts guess.
        if self.tries.len() < MAX_ACCOUNTS || self.tries.contains_key(&user) {
            *self.tries.entry(user).or_default() += 1;
        }
    }
}

impl Pairing {
    /// Makes the pairing on this store.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, open: Mutex::default(), unpair_count: watch::Sender::new(0) }
    }

    /// The chat that this bot is authorized in. A group that became a supergroup has the supergroup's number.
    ///
    /// # Errors
    /// When the store can't be read; the bot then obeys no person.
    pub fn authorized_chat(&self, place: &ConfiguredBot) -> Result<Option<AuthorizedChat>, StoreError> {
        match &place.group {
            Some(DecidingGroup { chat, deciders }) => {
                let (bot, chat) = (place.bot, *chat);
                let current = move |store: &rusqlite::Connection| kept::current_chat(store, bot, chat);
                let chat = self.journal.store().read(current)?;
                Ok(Some(AuthorizedChat::Group(DecidingGroup { chat, deciders: deciders.clone() })))
            }
            None => Ok(self.paired_person(place)?.map(AuthorizedChat::Private)),
        }
    }

    /// Notes that a group became a supergroup, and returns whether it was this bot's group. From then on the
    /// bot speaks under the new number.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn note_group_moved(
        &self,
        place: &ConfiguredBot,
        from: i64,
        to: i64,
    ) -> Result<bool, StoreError> {
        let ours =
            matches!(self.authorized_chat(place)?, Some(AuthorizedChat::Group(group)) if group.chat == from);
        // Groups have negative numbers, so a positive one would turn the group into a person.
        if !ours || to >= 0 || to == from {
            return Ok(false);
        }
        let about = format!("group {from} is supergroup {to}");
        let record = self.journal.act_record("telegram move", &about, true, Some(&Actor::Telegram));
        let (bot, now) = (place.bot, self.clock.now().wall);
        let moved = self.journal.change(AuditMode::BestEffort, move |store| {
            kept::store_move(store, bot, (from, to), now)?;
            Ok(((), vec![record.clone()]))
        });
        moved.await?;
        Ok(true)
    }

    /// The paired person of a private chat.
    fn paired_person(&self, place: &ConfiguredBot) -> Result<Option<ChatUser>, StoreError> {
        if let Some(admin) = place.admin {
            // No user has a number that does not fit, so the largest matches no person.
            let user = i64::try_from(admin).unwrap_or(i64::MAX);
            // A private chat has its user's number.
            return Ok(Some(ChatUser { user, chat: user }));
        }
        let place = place.bot_key();
        let found = self.journal.store().read(move |store| kept::paired_person(store, &place))?;
        Ok(found.map(|(user, chat)| ChatUser { user, chat }))
    }

    /// Makes a code for this bot; an earlier code is void then.
    ///
    /// # Errors
    /// See [`PairingError`].
    pub async fn offer_code(&self, place: &ConfiguredBot, by: &Actor) -> Result<PairingOffer, PairingError> {
        if let Some(group) = &place.group {
            return Err(PairingError::GroupInConfig(group.chat));
        }
        if let Some(admin) = place.admin {
            return Err(PairingError::NamedInConfig(admin));
        }
        if let Some(person) = self.paired_person(place)? {
            return Err(PairingError::Paired(person.user));
        }
        // The record comes first: without it no code may exist.
        self.journal.record_act(Act::Pair.word(), "a code was shown", true, Some(by)).await?;
        let bytes: [u8; CODE_LENGTH] = rand::random();
        // 256 is a multiple of 32, so each letter is equally likely.
        let code: String =
            bytes.iter().map(|byte| char::from(CODE_ALPHABET[usize::from(byte % 32)])).collect();
        let now = self.clock.now();
        *self.lock_open() = Some(OpenPairing {
            hash: code_hash(&code),
            bot: place.clone(),
            until: now.boot + CODE_TIMEOUT,
            guesses: 0,
            tries: HashMap::new(),
        });
        Ok(PairingOffer { code: Secret::new(code), expires: now.wall + CODE_TIMEOUT })
    }

    /// Whether a code is open for this bot.
    #[must_use]
    pub fn is_code_open(&self, place: &ConfiguredBot) -> bool {
        let now = self.clock.now().boot;
        self.lock_open()
            .as_ref()
            .is_some_and(|open| open.bot == *place && now < open.until && open.guesses < MAX_GUESSES)
    }

    /// Claims the pairing with a code. The right code is used up; a wrong one costs its sender a try.
    ///
    /// # Errors
    /// When the pairing can't be stored or recorded; the code then stays open.
    pub async fn claim_code(
        &self,
        place: &ConfiguredBot,
        said: &str,
        person: ChatUser,
    ) -> Result<ClaimOutcome, StoreError> {
        if !self.is_code_open(place) {
            *self.lock_open() = None;
            return Ok(ClaimOutcome::NoOpenCode);
        }
        // The code is taken out under the lock, so two claims at once can't both pair.
        let open = {
            let mut slot = self.lock_open();
            let Some(mut open) = slot.take() else { return Ok(ClaimOutcome::NoOpenCode) };
            // The comparison of these hashes takes the same time for every guess, so its length tells
            // nothing.
            let is_right = open.hash == code_hash(said);
            if !is_right || !open.may_guess(person.user) {
                open.count_wrong_guess(person.user);
                *slot = Some(open);
                return Ok(ClaimOutcome::Wrong);
            }
            open
        };
        let paired = self.store_pairing(place, person).await;
        // A failed store must not cost the person their code.
        if paired.is_err() {
            *self.lock_open() = Some(open);
        }
        Ok(if paired? { ClaimOutcome::Paired } else { ClaimOutcome::NoOpenCode })
    }

    /// Ends the pairing and any open code, and returns whether a pairing existed.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another act was confirmed; and when the end can't be stored or recorded.
    pub async fn unpair(&self, confirmed: Authorization) -> Result<bool, StoreError> {
        let act = Act::Unpair;
        if !confirmed.covers(&act) {
            return Err(StoreError::Refused("the end of the pairing was not confirmed".to_owned()));
        }
        // An open code would pair another person at once.
        *self.lock_open() = None;
        let record = self.journal.act_record(act.word(), &act.about(), true, Some(confirmed.actor()));
        let ended = self.journal.change(AuditMode::Required, move |store| {
            let ended = kept::delete_pairing(store)?;
            Ok((ended, if ended { vec![record.clone()] } else { Vec::new() }))
        });
        let ended = ended.await?;
        self.unpair_count.send_if_modified(|count| {
            *count += u64::from(ended);
            ended
        });
        Ok(ended)
    }

    /// How many pairings have ended since the start.
    #[must_use]
    pub fn unpair_count(&self) -> u64 {
        *self.unpair_count.borrow()
    }

    /// Changes when a pairing ends.
    #[must_use]
    pub fn subscribe_unpaired(&self) -> watch::Receiver<u64> {
        self.unpair_count.subscribe()
    }

    async fn store_pairing(&self, place: &ConfiguredBot, person: ChatUser) -> Result<bool, StoreError> {
        let about = format!("user {} with bot {}", person.user, place.bot);
        let record = self.journal.act_record(Act::Pair.word(), &about, true, Some(&Actor::Telegram));
        let (place, now) = (place.bot_key(), self.clock.now().wall);
        let paired = self.journal.change(AuditMode::Required, move |store| {
            let paired = kept::store_pairing(store, &place, (person.user, person.chat), now)?;
            Ok((paired, if paired { vec![record.clone()] } else { Vec::new() }))
        });
        paired.await
    }

    fn lock_open(&self) -> MutexGuard<'_, Option<OpenPairing>> {
        lock(&self.open)
    }
}

impl ConfiguredBot {
    fn bot_key(&self) -> kept::BotKey {
        kept::BotKey { bot: self.bot, address: self.api_url.clone().unwrap_or_default() }
    }
}

impl std::fmt::Debug for Pairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pairing").finish_non_exhaustive()
    }
}

/// The hash of a code as people type it: the case, spaces and hyphens do not matter.
fn code_hash(code: &str) -> blake3::Hash {
    let plain = code.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    });
    blake3::hash(plain.collect::<String>().as_bytes())
}

#[cfg(test)]
mod tests;

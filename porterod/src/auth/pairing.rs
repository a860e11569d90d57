//! Whom the bot listens to (guarantee A4): one person, by their user's number in their private chat, or those
//! whom the configuration names, in the group that it names.
//!
//! A person is paired with a code that only a terminal shows, or named in the configuration. A pairing holds for
//! one bot at one address of the Bot API: who else could answer for that bot could speak in the person's name.
//! The code is in memory only, as a hash; a restart ends it.
//!
//! Strangers may guess while a code holds, from as many accounts as they like. So each account has a few tries, and
//! what protects against all of them together is the code's length: no number of accounts ends the code, since that
//! would lock out the one who has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use portero::clock::Clock;
use portero::names::Actor;
use portero::secret::Secret;
use portero::sync::lock;
use tokio::sync::watch;

use crate::auth::passphrase::Authorization;
use crate::journal::{AuditMode, Journal};
use crate::store::{StoreError, telegram as kept};

/// How long a code holds.
pub const CODE_TIMEOUT: Duration = Duration::from_secs(300);
/// How many tries each account has.
const MAX_TRIES_PER_ACCOUNT: u32 = 5;
/// How many accounts are counted by themselves; the others are bounded by [`MAX_GUESSES`] alone.
const MAX_ACCOUNTS: usize = 10_000;
/// How many wrong guesses end the code, whoever made them: 2^20. That is more than Telegram delivers to a bot in five
/// minutes (a hundred at a time, some ten times a second), so strangers cannot use them up, and they find the code
/// with a probability of 2^20 / 2^60 = 2^-40 at most.
const MAX_GUESSES: u32 = 1 << 20;
/// How many characters the code has: 60 bits.
const CODE_LENGTH: usize = 12;
/// Digits and letters that are not mistaken for one another (Crockford's base 32).
const CODE_ALPHABET: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A bot, and where the Bot API is for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredBot {
    /// The bot's number.
    pub bot: i64,
    /// `telegram.apiUrl`; none for Telegram's own.
    pub api_url: Option<String>,
    /// `telegram.admin`: the person that the configuration names.
    pub admin: Option<u64>,
    /// `telegram.chat` and `telegram.deciders`: the group that stands in the place of one person.
    pub group: Option<DecidingGroup>,
}

/// A group, and who decides in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidingGroup {
    /// Its chat's number, which is negative.
    pub chat: i64,
    /// Their users' numbers.
    pub deciders: Vec<i64>,
}

/// Whom the bot listens to, and where it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizedChat {
    /// One person, in their private chat.
    Private(ChatUser),
    /// Several, in a group.
    Group(DecidingGroup),
}

impl AuthorizedChat {
    /// The chat in which it speaks and listens.
    #[must_use]
    pub const fn chat(&self) -> i64 {
        match self {
            Self::Private(person) => person.chat,
            Self::Group(group) => group.chat,
        }
    }

    /// Whether it listens to this user in this chat.
    #[must_use]
    pub fn authorizes(&self, who: ChatUser) -> bool {
        match self {
            Self::Private(person) => *person == who,
            Self::Group(group) => group.chat == who.chat && group.deciders.contains(&who.user),
        }
    }

    /// The one whose private chat it is; none in a group.
    #[must_use]
    pub const fn owner(&self) -> Option<i64> {
        match self {
            Self::Private(person) => Some(person.user),
            Self::Group(_) => None,
        }
    }
}

/// Someone in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatUser {
    /// Their user's number.
    pub user: i64,
    /// The chat's number: the same with Telegram where it is their private one, negative where it is a group.
    pub chat: i64,
}

impl ChatUser {
    /// The one whose private chat it is; none in a group.
    #[must_use]
    pub const fn owner(self) -> Option<i64> {
        if self.user == self.chat { Some(self.user) } else { None }
    }
}

/// A code that pairs whoever says it to the bot.
#[derive(Debug)]
pub struct PairingOffer {
    /// The code, to be shown at a terminal only.
    pub code: Secret,
    /// Until when it holds.
    pub expires: Timestamp,
}

/// What came of a code that someone said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// They are the person now.
    Paired,
    /// It is not the code, or they have no tries left.
    Wrong,
    /// No code is waited for.
    NoOpenCode,
}

/// Why no code is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// There is a person already.
    #[error("the bot is paired with user {0}")]
    Paired(i64),
    /// The configuration names the person.
    #[error("the configuration names user {0} as the one who decides")]
    NamedInConfig(u64),
    /// The configuration names a group and who decides there.
    #[error("the configuration names the group {0} and who decides there")]
    GroupInConfig(i64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps who is paired, and the code that is waited for.
pub struct Pairing {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    open: Mutex<Option<OpenPairing>>,
    unpair_count: watch::Sender<u64>,
}

struct OpenPairing {
    hash: blake3::Hash,
    bot: ConfiguredBot,
    /// On the boot clock, which nobody sets.
    until: Duration,
    /// Wrong guesses, of all accounts and of each.
    guesses: u32,
    tries: HashMap<i64, u32>,
}

impl OpenPairing {
    /// Whether an account may guess.
    fn may_guess(&self, user: i64) -> bool {
        self.tries.get(&user).is_none_or(|tries| *tries < MAX_TRIES_PER_ACCOUNT)
    }

    fn count_wrong_guess(&mut self, user: i64) {
        self.guesses = self.guesses.saturating_add(1);
        if self.tries.len() < MAX_ACCOUNTS || self.tries.contains_key(&user) {
            *self.tries.entry(user).or_default() += 1;
        }
    }
}

impl Pairing {
    /// On this store.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, open: Mutex::default(), unpair_count: watch::Sender::new(0) }
    }

    /// Whom the bot at this place listens to. A group that became a supergroup has that one's number.
    ///
    /// # Errors
    /// When the store cannot be read; then it listens to nobody.
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

    /// A chat became a supergroup: where the bot speaks there, it does so by the new number from now on. Whether
    /// that is so.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn note_group_moved(
        &self,
        place: &ConfiguredBot,
        from: i64,
        to: i64,
    ) -> Result<bool, StoreError> {
        let ours =
            matches!(self.authorized_chat(place)?, Some(AuthorizedChat::Group(group)) if group.chat == from);
        // Groups have negative numbers.
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

    /// The one person of a private chat.
    fn paired_person(&self, place: &ConfiguredBot) -> Result<Option<ChatUser>, StoreError> {
        if let Some(admin) = place.admin {
            // No user has a number that does not fit.
            let user = i64::try_from(admin).unwrap_or(i64::MAX);
            return Ok(Some(ChatUser { user, chat: user }));
        }
        let place = place.bot_key();
        let found = self.journal.store().read(move |store| kept::paired_person(store, &place))?;
        Ok(found.map(|(user, chat)| ChatUser { user, chat }))
    }

    /// Gives a code for this bot; an earlier one holds no more.
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
        self.journal.record_act("telegram pair", "a code was shown", true, Some(by)).await?;
        let bytes: [u8; CODE_LENGTH] = rand::random();
        // 256 is a multiple of 32: each letter is as likely.
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

    /// Whether a code is waited for at this place.
    #[must_use]
    pub fn is_code_open(&self, place: &ConfiguredBot) -> bool {
        let now = self.clock.now().boot;
        self.lock_open()
            .as_ref()
            .is_some_and(|open| open.bot == *place && now < open.until && open.guesses < MAX_GUESSES)
    }

    /// Someone says a code. The right one is used up; each wrong one counts against who said it.
    ///
    /// # Errors
    /// When it cannot be stored or recorded; then the code stays as it was.
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
        let open = {
            let mut slot = self.lock_open();
            let Some(mut open) = slot.take() else { return Ok(ClaimOutcome::NoOpenCode) };
            // Equality of these hashes takes the same time whatever they are.
            let is_right = open.hash == code_hash(said);
            if !is_right || !open.may_guess(person.user) {
                open.count_wrong_guess(person.user);
                *slot = Some(open);
                return Ok(ClaimOutcome::Wrong);
            }
            open
        };
        let paired = self.store_pairing(place, person).await;
        if paired.is_err() {
            *self.lock_open() = Some(open);
        }
        Ok(if paired? { ClaimOutcome::Paired } else { ClaimOutcome::NoOpenCode })
    }

    /// Ends the pairing, and any code. Whether there was one.
    ///
    /// # Errors
    /// When it cannot be stored or recorded.
    pub async fn unpair(&self, confirmed: &Authorization) -> Result<bool, StoreError> {
        *self.lock_open() = None;
        let record = self.journal.act_record("telegram unpair", "the bot", true, Some(confirmed.by()));
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

    /// How often a pairing was ended since the start.
    #[must_use]
    pub fn unpair_count(&self) -> u64 {
        *self.unpair_count.borrow()
    }

    /// Changes when a pairing was ended.
    #[must_use]
    pub fn subscribe_unpaired(&self) -> watch::Receiver<u64> {
        self.unpair_count.subscribe()
    }

    async fn store_pairing(&self, place: &ConfiguredBot, person: ChatUser) -> Result<bool, StoreError> {
        let about = format!("user {} with bot {}", person.user, place.bot);
        let record = self.journal.act_record("telegram pair", &about, true, Some(&Actor::Telegram));
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

/// Of a code as people type it: in small letters too, and with blanks and lines in between.
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

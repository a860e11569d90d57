//! The access tokens: who may ask over HTTPS with a bearer token.
//!
//! A token is `portero_`, a public id and 256 random bits, so that it can be found without comparing secrets and secret
//! scanners know it by its prefix. Only a hash is kept (BLAKE3: what is random needs no slow hash), and it is compared
//! in constant time (guarantee T1). All tokens are in memory, so a stranger's request reads no disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use portero::access::{AccessScope, AccessToken, TokenName};
use portero::clock::Clock;
use portero::ipc::Act;
use portero::names::Actor;
use portero::notice::{Notice, OverrideChange};
use portero::secret::Secret;
use portero::sync::lock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::auth::Authorization;
use crate::journal::{AuditMode, ChangeReport, Journal};
use crate::store::access_tokens::{self as kept, AccessTokenRow};
use crate::store::{Durability, StoreError};

/// How every token begins.
pub const TOKEN_PREFIX: &str = "portero_";
/// The most tokens at a time.
pub const MAX_TOKENS: usize = 256;
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// The prefix, the id, `_` and the secret.
const TOKEN_LENGTH: usize = TOKEN_PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES;
/// How exactly a token's last use is known, and how often it is stored at most.
const USE_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the access tokens.
pub struct AccessTokens {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    /// By the id.
    entries: Mutex<HashMap<String, TokenEntry>>,
    /// A use waits to be stored.
    used: Notify,
}

struct TokenEntry {
    token: AccessToken,
    hash: blake3::Hash,
    /// Cancelled when the token is revoked, even where the store could not take that yet.
    revoked: CancellationToken,
    has_unsaved_use: bool,
}

/// The token that a request was made with.
#[derive(Debug, Clone)]
pub struct VerifiedToken {
    /// The token.
    pub token: AccessToken,
    /// Cancelled when the token is revoked: what was begun with it ends then.
    pub revoked: CancellationToken,
}

/// Why a change of tokens failed.
#[derive(Debug, thiserror::Error)]
pub enum AccessTokensError {
    /// No token has this name.
    #[error("there is no token `{0}`")]
    NotFound(TokenName),
    /// Another token has it.
    #[error("there is a token `{0}` already")]
    Taken(TokenName),
    /// There are too many.
    #[error("there are {MAX_TOKENS} tokens already, the most at a time")]
    TooMany,
    /// It would end after the last representable time.
    #[error("that is too long a time")]
    TooLong,
    /// Another act was confirmed.
    #[error("this token was not confirmed")]
    NotConfirmed,
    /// The end of a token applies, and isn't stored.
    #[error(
        "the token is refused from now on, but that could not be saved ({0}); it would be valid again after a restart"
    )]
    NotSaved(StoreError),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccessTokens {
    /// Reads the tokens of this store.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn open(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let entries = journal.store().read(kept::list)?;
        let entries =
            entries.into_iter().map(|AccessTokenRow { id, hash, token }| (id, TokenEntry::new(token, hash)));
        Ok(Self { journal, clock, entries: Mutex::new(entries.collect()), used: Notify::new() })
    }

    /// The token that `presented` is, if it is valid now. Unknown, wrong, expired and revoked ones can't be told apart.
    pub fn verify(&self, presented: &str) -> Option<VerifiedToken> {
        let id = find_id(presented)?;
        let hash = blake3::hash(presented.as_bytes());
        let now = self.clock.now().wall;
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(id)?;
        // The comparison of these hashes takes the same time for every guess.
        if entry.hash != hash || !entry.is_valid(now) {
            return None;
        }
        if entry.note_use(now) {
            self.used.notify_one();
        }
        Some(VerifiedToken { token: entry.token.clone(), revoked: entry.revoked.clone() })
    }

    /// Whether a token with this name can be made, for as long as this.
    ///
    /// # Errors
    /// Why not; so a person hears of it before they confirm.
    pub fn check_available(
        &self,
        name: &TokenName,
        lasts: Option<Duration>,
    ) -> Result<(), AccessTokensError> {
        self.expiry(lasts)?;
        let entries = lock(&self.entries);
        if entries.values().any(|entry| entry.token.name == *name) {
            return Err(AccessTokensError::Taken(name.clone()));
        }
        if entries.len() >= MAX_TOKENS { Err(AccessTokensError::TooMany) } else { Ok(()) }
    }

    /// Makes a token, and returns it with its secret, which is nowhere else.
    ///
    /// # Errors
    /// See [`AccessTokensError`]; then there is no such token.
    pub async fn create(
        &self,
        (name, scope, millis): (TokenName, AccessScope, Option<u64>),
        confirmed: Authorization,
    ) -> Result<(Secret, AccessToken), AccessTokensError> {
        let act = Act::CreateToken(name.clone(), scope.clone(), millis);
        if !confirmed.covers(&act) {
            return Err(AccessTokensError::NotConfirmed);
        }
        let lasts = millis.map(Duration::from_millis);
        self.check_available(&name, lasts)?;
        let (made, expires) = (self.clock.now().wall, self.expiry(lasts)?);
        let token = AccessToken { name: name.clone(), scope, made, expires, last_used: None };
        let (id, secret) = draw_token();
        let hash = blake3::hash(secret.expose().as_bytes());
        let row = AccessTokenRow { id: id.clone(), hash: hash.into(), token: token.clone() };
        let record = self.journal.act_record(act.word(), &act.about(), true, Some(confirmed.actor()));
        let notice = self.notice(&token, OverrideChange::Made);
        let consumes = confirmed.button().cloned();
        let inserted = self.journal.change_and_notify(AuditMode::Required, move |connection| {
            if let Some(button) = &consumes {
                button.consume(connection)?;
            }
            if !kept::insert(connection, &row)? {
                return Ok((false, ChangeReport::default()));
            }
            Ok((true, ChangeReport::from(vec![record.clone()]).with_notices([notice.clone()])))
        });
        if !inserted.await? {
            return Err(AccessTokensError::Taken(name));
        }
        lock(&self.entries).insert(id, TokenEntry::new(token.clone(), hash));
        Ok((secret, token))
    }

    /// Ends a token at once: it is refused from now on, and what was begun with it ends.
    ///
    /// # Errors
    /// [`AccessTokensError::NotFound`]; [`AccessTokensError::NotSaved`], where it applies all the same.
    pub async fn revoke(&self, name: &TokenName, by: &Actor) -> Result<AccessToken, AccessTokensError> {
        let (id, token) = {
            let entries = lock(&self.entries);
            let found = entries.iter().find(|(_, entry)| entry.token.name == *name);
            let (id, entry) = found.ok_or_else(|| AccessTokensError::NotFound(name.clone()))?;
            // Before the store: what narrows waits for no disk.
            entry.revoked.cancel();
            (id.clone(), entry.token.clone())
        };
        let act = Act::RevokeToken(name.clone());
        let record = self.journal.act_record(act.word(), &act.about(), true, Some(by));
        let notice = self.notice(&token, OverrideChange::Ended);
        let name = name.clone();
        let removed = self.journal.change_and_notify(AuditMode::BestEffort, move |connection| {
            kept::remove(connection, &name)?;
            Ok(((), ChangeReport::from(vec![record.clone()]).with_notices([notice.clone()])))
        });
        removed.await.map_err(AccessTokensError::NotSaved)?;
        // Only now is the name free: until it is stored, a second `revoke` must find the token.
        lock(&self.entries).remove(&id);
        Ok(token)
    }

    /// The tokens by name, with those that expired and without those that were revoked.
    #[must_use]
    pub fn list(&self) -> Vec<AccessToken> {
        let entries = lock(&self.entries);
        let valid = entries.values().filter(|entry| !entry.revoked.is_cancelled());
        let mut tokens: Vec<AccessToken> = valid.map(|entry| entry.token.clone()).collect();
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        tokens
    }

    /// Stores when tokens were last used, until `stop`. The composition root spawns it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let storing = async {
            loop {
                self.used.notified().await;
                self.save_uses().await;
                tokio::time::sleep(USE_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(storing).await;
        self.save_uses().await;
    }

    async fn save_uses(&self) {
        let uses: Vec<(String, Timestamp)> = {
            let mut entries = lock(&self.entries);
            let last_use = |(id, entry): (&String, &mut TokenEntry)| {
                let is_unsaved = std::mem::take(&mut entry.has_unsaved_use);
                is_unsaved.then_some((id.clone(), entry.token.last_used?))
            };
            entries.iter_mut().filter_map(last_use).collect()
        };
        if uses.is_empty() {
            return;
        }
        let saved = self.journal.store().write(Durability::Unsynced, move |connection| {
            uses.iter().try_for_each(|(id, at)| kept::note_use(connection, id, *at))
        });
        if let Err(error) = saved.await {
            // It serves people only, and the next use is stored again.
            tracing::warn!(%error, "the last use of a token could not be saved");
        }
    }

    fn expiry(&self, lasts: Option<Duration>) -> Result<Option<Timestamp>, AccessTokensError> {
        let Some(lasts) = lasts else { return Ok(None) };
        let ends = self.clock.now().wall.checked_add(lasts);
        ends.map(Some).map_err(|_| AccessTokensError::TooLong)
    }

    fn notice(&self, token: &AccessToken, became: OverrideChange) -> Notice {
        let scope = self.journal.conceal_text(&token.scope.to_string());
        Notice::Token { name: token.name.clone(), became, scope }
    }
}

impl TokenEntry {
    fn new(token: AccessToken, hash: impl Into<blake3::Hash>) -> Self {
        Self { token, hash: hash.into(), revoked: CancellationToken::new(), has_unsaved_use: false }
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        !self.revoked.is_cancelled() && self.token.expires.is_none_or(|expires| now < expires)
    }

    /// Notes a use, and returns whether it is to be stored.
    fn note_use(&mut self, now: Timestamp) -> bool {
        let is_due =
            self.token.last_used.is_none_or(|last| now.duration_since(last).unsigned_abs() >= USE_INTERVAL);
        if is_due {
            self.token.last_used = Some(now);
            self.has_unsaved_use = true;
        }
        is_due
    }
}

/// A new token: its public id, and the whole.
fn draw_token() -> (String, Secret) {
    let id = HEXLOWER.encode(&rand::random::<[u8; ID_BYTES]>());
    let secret = zeroize::Zeroizing::new(HEXLOWER.encode(&rand::random::<[u8; SECRET_BYTES]>()));
    let token = Secret::new(format!("{TOKEN_PREFIX}{id}_{}", secret.as_str()));
    (id, token)
}

/// The public id in what was presented; none if it has not the form of a token.
fn find_id(presented: &str) -> Option<&str> {
    if presented.len() != TOKEN_LENGTH {
        return None;
    }
    let (id, secret) = presented.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (id.len() == 2 * ID_BYTES && is_hex(id) && is_hex(secret)).then_some(id)
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

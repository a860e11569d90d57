//! Checks the access tokens of an OpenID Connect issuer (guarantee T1).
//!
//! A token is a signed JWT (RFC 7519, RFC 9068). Its algorithm, issuer, audience and times are pinned by the
//! configuration, never by the token. Its claims permit what the configuration's table says, and nothing without it.

mod claims;
mod jws;
mod keys;

use std::sync::Arc;

use jiff::Timestamp;
use portero::access::AccessScope;
use portero::clock::Clock;
use portero::config::OidcSettings;
use serde_json::Value;

use self::jws::CompactJws;
use self::keys::IssuerKeys;
use crate::http_client::ProxySettings;

/// The holder of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSubject {
    /// The issuer's name for it.
    pub subject: String,
    /// What it may reach.
    pub scope: AccessScope,
    /// When its token ends.
    pub expires: Timestamp,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OidcRefusal {
    /// It isn't a valid token of this issuer for this resource.
    #[error("{0}")]
    Invalid(&'static str),
    /// It is valid, and none of its claims permits anything.
    #[error("none of the token's claims permits anything here")]
    NoAccess,
    /// The issuer's keys can't be fetched, so nothing can be checked.
    #[error("the issuer's keys can't be fetched")]
    Unavailable,
}

/// Checks the tokens of one issuer.
pub struct OidcVerifier {
    settings: OidcSettings,
    keys: Arc<IssuerKeys>,
    clock: Arc<dyn Clock>,
}

impl OidcVerifier {
    /// A verifier with these settings, which fetches the issuer's keys by this proxy when the first token comes.
    #[must_use]
    pub fn new(settings: OidcSettings, proxy: ProxySettings, clock: Arc<dyn Clock>) -> Self {
        let keys = Arc::new(IssuerKeys::new(&settings, proxy, Arc::clone(&clock)));
        Self { settings, keys, clock }
    }

    /// The settings that it checks by.
    #[must_use]
    pub const fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// The holder of this token.
    ///
    /// # Errors
    /// See [`OidcRefusal`].
    pub async fn verify(&self, token: &str) -> Result<OidcSubject, OidcRefusal> {
        // Everything that needs no key comes first, so that most of what is wrong costs no request to the issuer.
        let token = CompactJws::parse(token, &self.settings.algorithms)?;
        let key = self.keys.find(&token.key_id, token.algorithm).await?;
        let payload = token.verify(&key)?;
        claims::check(&payload, &self.settings, self.clock.now().wall)
    }
}

impl std::fmt::Debug for OidcVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcVerifier").field("issuer", &self.settings.issuer).finish_non_exhaustive()
    }
}

/// The holder of this token, by a key set (RFC 7517, section 5) that is at hand. No issuer is asked.
///
/// # Errors
/// See [`OidcRefusal`].
pub fn check_token(
    token: &str,
    settings: &OidcSettings,
    key_set: &Value,
    now: Timestamp,
) -> Result<OidcSubject, OidcRefusal> {
    let token = CompactJws::parse(token, &settings.algorithms)?;
    let mut known = keys::read_key_set(key_set).into_iter().flatten();
    let key = known.find(|key| key.id == token.key_id && key.fits(token.algorithm));
    let payload = token.verify(&key.ok_or(keys::UNKNOWN_KEY)?)?;
    claims::check(&payload, settings, now)
}

/// Whether this text may be a JWT in the compact form (RFC 7515, section 7.1), by its shape alone.
#[must_use]
pub fn looks_like_jwt(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

#[cfg(test)]
mod tests;

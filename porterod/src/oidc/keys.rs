//! The issuer's keys: fetched by its discovery, kept for a while, and fetched again when a token names another one.
//!
//! Anyone can name an unknown key, so that asks the issuer at most once in [`MIN_FETCH_INTERVAL`]. While the issuer
//! can't be reached, the keys that it last published count for [`MAX_KEY_AGE`] and no longer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portero::clock::Clock;
use portero::config::url::HttpUrl;
use portero::config::{JwtAlgorithm, OidcSettings};
use portero::sync::lock;
use reqwest::Client;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::OidcRefusal;
use super::jws::VerificationKey;
use crate::http_client::{ProxySettings, trust_authorities};

/// After this time the keys are fetched again: a key that the issuer withdrew must not count for long.
pub(super) const REFRESH_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long the last keys count while no newer ones can be fetched.
pub(super) const MAX_KEY_AGE: Duration = Duration::from_secs(3600);
/// The time between two attempts, whatever tokens come.
pub(super) const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest document that is read, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 << 10;
/// The most keys that are kept.
const MAX_KEYS: usize = 64;

/// The keys of one issuer.
pub(super) struct IssuerKeys {
    issuer: String,
    jwks_url: Option<HttpUrl>,
    ca_file: Option<PathBuf>,
    proxy: ProxySettings,
    clock: Arc<dyn Clock>,
    published: std::sync::Mutex<PublishedKeys>,
    /// Held while they are fetched, so that it happens once at a time.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct PublishedKeys {
    keys: Vec<VerificationKey>,
    /// When they were fetched, on the boot clock.
    fetched: Option<Duration>,
    /// When that was last tried.
    tried: Option<Duration>,
}

/// What is known of a key without asking the issuer.
enum KnownKey {
    /// It counts.
    Current(VerificationKey),
    /// It counts, and is to be fetched again.
    Aging(VerificationKey),
    /// It isn't known, and the issuer may be asked.
    Unknown,
    /// It isn't known, and the issuer was asked a moment ago.
    Absent,
    /// No key is known, and the issuer didn't answer a moment ago.
    Unavailable,
}

impl IssuerKeys {
    pub(super) fn new(settings: &OidcSettings, proxy: ProxySettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            jwks_url: settings.jwks_url.clone(),
            ca_file: settings.ca_file.clone(),
            proxy,
            clock,
            published: std::sync::Mutex::default(),
            fetching: Arc::default(),
        }
    }

    /// A client for one fetch, so that a `caFile` which was replaced counts at the next one.
    async fn client(&self) -> Result<Client, String> {
        // A redirect would let another server name the keys.
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .user_agent(concat!("portero/", env!("CARGO_PKG_VERSION")));
        client = self.proxy.apply(client)?;
        if let Some(file) = &self.ca_file {
            client = trust_authorities(client, file).await?;
        }
        client.build().map_err(|_| "the HTTP client could not be made".to_owned())
    }

    /// The key with this id for this algorithm.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: &str,
        algorithm: JwtAlgorithm,
    ) -> Result<VerificationKey, OidcRefusal> {
        match self.look_up(id, algorithm) {
            KnownKey::Current(key) => return Ok(key),
            // Another request fetches already; the key still counts meanwhile.
            KnownKey::Aging(key) => match Arc::clone(&self.fetching).try_lock_owned() {
                Ok(alone) => self.fetch_whole(alone).await,
                Err(_) => return Ok(key),
            },
            KnownKey::Unknown => {
                let alone = Arc::clone(&self.fetching).lock_owned().await;
                // Another request may have fetched them while this one waited.
                if matches!(self.look_up(id, algorithm), KnownKey::Unknown) {
                    self.fetch_whole(alone).await;
                }
            }
            // A fetch that is under way may bring it.
            KnownKey::Absent | KnownKey::Unavailable => drop(self.fetching.lock().await),
        }
        match self.look_up(id, algorithm) {
            KnownKey::Current(key) | KnownKey::Aging(key) => Ok(key),
            KnownKey::Unknown | KnownKey::Absent => Err(UNKNOWN_KEY),
            KnownKey::Unavailable => Err(OidcRefusal::Unavailable),
        }
    }

    /// Fetches in a task of its own, within the timeouts: a client that hangs up must not end it for all others.
    async fn fetch_whole(self: &Arc<Self>, alone: OwnedMutexGuard<()>) {
        let keys = Arc::clone(self);
        let fetching = tokio::spawn(async move {
            keys.fetch().await;
            drop(alone);
        });
        let _ = fetching.await;
    }

    fn look_up(&self, id: &str, algorithm: JwtAlgorithm) -> KnownKey {
        let now = self.clock.now().boot;
        let published = lock(&self.published);
        let within = |then: Option<Duration>, most| then.is_some_and(|then| now.saturating_sub(then) < most);
        let may_fetch = !within(published.tried, MIN_FETCH_INTERVAL);
        if !within(published.fetched, MAX_KEY_AGE) {
            return if may_fetch { KnownKey::Unknown } else { KnownKey::Unavailable };
        }
        let key = published.keys.iter().find(|key| key.id == id && key.fits(algorithm)).cloned();
        match key {
            Some(key) if within(published.fetched, REFRESH_INTERVAL) || !may_fetch => KnownKey::Current(key),
            Some(key) => KnownKey::Aging(key),
            None if may_fetch => KnownKey::Unknown,
            None => KnownKey::Absent,
        }
    }

    /// Fetches the keys once; a failure leaves the former ones.
    async fn fetch(&self) {
        lock(&self.published).tried = Some(self.clock.now().boot);
        match self.fetch_keys().await {
            Ok(keys) => {
                let mut published = lock(&self.published);
                (published.keys, published.fetched) = (keys, Some(self.clock.now().boot));
            }
            Err(problem) => {
                tracing::warn!(issuer = self.issuer, problem, "the issuer's keys can't be fetched")
            }
        }
    }

    async fn fetch_keys(&self) -> Result<Vec<VerificationKey>, String> {
        let client = self.client().await?;
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover_jwks(&client).await?,
        };
        let document = get_json(&client, url.expose().as_str()).await?;
        let keys = read_key_set(&document).ok_or("its key set has no `keys`")?;
        if keys.is_empty() { Err("its key set has no key for signatures".to_owned()) } else { Ok(keys) }
    }

    /// The address of the keys, by OpenID Connect Discovery 1.0, section 4.
    async fn discover_jwks(&self, client: &Client) -> Result<HttpUrl, &'static str> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = get_json(client, &url).await?;
        // Section 4.3: the same issuer, exactly.
        if document.get("issuer").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err("its discovery document is of another issuer");
        }
        let url = document.get("jwks_uri").and_then(Value::as_str).and_then(|url| HttpUrl::parse(url).ok());
        let url = url.ok_or("its discovery document has no usable `jwks_uri`")?;
        if url.is_readable_by_others() {
            return Err("its `jwks_uri` is plain HTTP, so anyone on the way could name the keys");
        }
        Ok(url)
    }
}

/// The keys of a key set that can sign a token here; none if it is no key set.
pub(super) fn read_key_set(document: &Value) -> Option<Vec<VerificationKey>> {
    let entries = document.get("keys")?.as_array()?;
    Some(entries.iter().filter_map(VerificationKey::from_jwk).take(MAX_KEYS).collect())
}

async fn get_json(client: &Client, url: &str) -> Result<Value, &'static str> {
    let response = client.get(url).header("accept", "application/json").send().await;
    let mut response = response.map_err(|_| "it can't be reached")?;
    if !response.status().is_success() {
        return Err("it answers with an error");
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "its answer broke off")? {
        if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
            return Err("its answer is too long");
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| "its answer is no JSON")
}

pub(super) const UNKNOWN_KEY: OidcRefusal =
    OidcRefusal::Invalid("the token's key is not one of the issuer's");

//! The token of a request, its renewal, and the end of a login.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portero::config::OAuthGrant;
use portero::names::ServerName;
use portero::secret::Secret;
use portero::sync::lock;
use reqwest::StatusCode;
use tokio::sync::OwnedMutexGuard;

use super::challenge::{BearerChallenge, add_scopes};
use super::common_text::is_common_text;
use super::error::OAuthError;
use super::identity::{ClientIdentity, configured_identity};
use super::metadata::{Discovered, discover};
use super::record::KeptLogin;
use super::token::TokenClient;
use super::{OAuth, OAuthServer};
use crate::secrets::kept::{CredentialName, KeepError, KeptCredential};
use crate::secrets::redaction::SecretSource;

/// After a request for tokens the next one waits so long. Until then a failure is told again, and a token that is due
/// already is used as it is: its server may be its own issuer, and let each of them end at once.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// A token that its server refuses is renewed at most once in this time. So a server that refuses every token
/// costs its issuer next to nothing.
const REFUSED_INTERVAL: Duration = Duration::from_secs(60);

/// What is known of the login at one server.
#[derive(Default)]
pub(super) struct LoginSlot {
    is_loaded: bool,
    pub(super) login: Option<KeptLogin>,
    /// Whether the login has tokens that aren't on disk yet. They aren't used before.
    is_unsaved: bool,
    /// What the server wanted last.
    pub(super) challenge: Option<BearerChallenge>,
    /// When a request for tokens failed last, since boot, and how.
    failed: Option<(Duration, OAuthError)>,
    /// When a token was renewed last, since boot.
    renewed_at: Option<Duration>,
    /// When a token was renewed last because its server refused it, since boot.
    refused_at: Option<Duration>,
}

/// The end of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logout {
    /// There was none.
    NotLoggedIn,
    /// The tokens are revoked at their issuer, and forgotten.
    Revoked,
    /// The tokens are forgotten. Their issuer may still take them, for this reason.
    Forgotten(String),
}

/// What the next login takes from the one before. The slot isn't locked while the issuer is asked, so that a login that
/// waits for a slow one holds up no call.
#[derive(Default)]
pub(super) struct FormerLogin {
    /// What the server wanted last.
    pub(super) challenge: Option<BearerChallenge>,
    issuer: Option<String>,
    client: Option<ClientIdentity>,
}

impl FormerLogin {
    /// The client of the login before, at this issuer.
    pub(super) fn client_at(&self, issuer: &str) -> Option<ClientIdentity> {
        self.client.clone().filter(|_| self.issuer.as_deref() == Some(issuer))
    }
}

impl LoginSlot {
    /// The login, if it belongs to the server as it is configured now.
    pub(super) fn login_at(&self, server: &OAuthServer) -> Option<&KeptLogin> {
        self.login.as_ref().filter(|login| login.fits(&server.http, &server.settings))
    }

    /// The login before, as far as the next one depends on it.
    pub(super) fn former(&self, server: &OAuthServer) -> FormerLogin {
        let login = self.login_at(server);
        FormerLogin {
            challenge: self.challenge.clone(),
            issuer: login.map(|login| login.issuer.clone()),
            client: login.map(|login| login.client.clone()),
        }
    }

    fn is_just_renewed(&self, now: Duration) -> bool {
        self.renewed_at.is_some_and(|at| now.saturating_sub(at) < RETRY_INTERVAL)
    }

    /// Takes a new login in place of the former.
    pub(super) fn take_login(&mut self, login: KeptLogin) {
        *self = Self { is_loaded: true, login: Some(login), ..Self::default() };
    }
}

impl OAuth {
    /// The token for a request to this server; none if it needs no login as far as is known. A token that is
    /// about to end is renewed first.
    ///
    /// # Errors
    /// [`OAuthError::LoginNeeded`] if the login has ended; otherwise, why there is no token at the moment.
    pub async fn access_token(self: &Arc<Self>, server: &OAuthServer) -> Result<Option<Secret>, OAuthError> {
        let mut slot = self.open_slot(&server.name).await?;
        if slot.is_unsaved {
            self.save_login(&server.name, &mut slot).await?;
        }
        // An edit of the replacements may have ended that.
        self.redact(&server.name, &slot)?;
        let is_client = server.settings.grant == OAuthGrant::ClientCredentials;
        let now = self.deps.clock.now();
        let (now, boot) = (now.wall, now.boot);
        let usable = match slot.login_at(server) {
            None if is_client => None,
            None => return Ok(None),
            Some(login) => {
                let can_renew = is_client || login.refresh_token.is_some();
                let token = login.access_token.clone();
                let is_fresh = !login.is_due(now, can_renew) || slot.is_just_renewed(boot);
                if is_fresh && token.is_some() {
                    return Ok(token);
                }
                token.filter(|_| login.expires_at.is_none_or(|until| until > now))
            }
        };
        match self.renew(server, slot, Vec::new()).await {
            Ok(token) => Ok(Some(token)),
            // The issuer is away for a moment, and the token still has some time.
            Err(error) if error.is_transient() && usable.is_some() => Ok(usable),
            Err(error) => Err(error),
        }
    }

    /// Takes a refusal (401 or 403) of a request that was sent with the token `used`. After `Ok` the request may be
    /// sent once more, with the token that [`Self::access_token`] then gives.
    ///
    /// # Errors
    /// [`OAuthError::LoginNeeded`] if a person must log in, or why there is no other token.
    pub async fn take_refusal(
        self: &Arc<Self>,
        server: &OAuthServer,
        used: Option<&Secret>,
        status: StatusCode,
        challenge: Option<BearerChallenge>,
    ) -> Result<(), OAuthError> {
        let mut slot = self.open_slot(&server.name).await?;
        let is_client = server.settings.grant == OAuthGrant::ClientCredentials;
        let login = slot.login_at(server);
        let current = login.and_then(|login| login.access_token.as_ref());
        if current.is_some() && current != used {
            // Another call has renewed it meanwhile, or a person has signed in.
            return Ok(());
        }
        let known = login.map(|login| login.scopes.clone()).unwrap_or_default();
        let can_renew =
            used.is_some() && (is_client || login.is_some_and(|login| login.refresh_token.is_some()));
        let mut challenge = challenge.unwrap_or_default();
        let now = self.deps.clock.now().boot;
        let is_too_soon = slot.refused_at.is_some_and(|before| now.saturating_sub(before) < REFUSED_INTERVAL);
        if status == StatusCode::FORBIDDEN {
            let missing: Vec<String> =
                challenge.scopes.iter().filter(|scope| !known.contains(scope)).cloned().collect();
            if missing.is_empty() {
                let why = "it refuses this for lack of a scope, though its login asked for every scope that it names";
                return Err(OAuthError::LoginNeeded(why.to_owned()));
            }
            let lacking = format!("this takes the scope `{}`", missing.join(" "));
            if is_client && let Some(listed) = &server.settings.scopes {
                // No person sees what a client asks for, so the server's word adds nothing to the entry.
                let more: Vec<&String> = missing.iter().filter(|scope| !listed.contains(scope)).collect();
                if !more.is_empty() {
                    let why = format!("{lacking}, which the `scopes` of its entry in mcps.json don't list");
                    return Err(OAuthError::LoginNeeded(why));
                }
            }
            let mut wanted = known;
            add_scopes(&mut wanted, challenge.scopes.iter().map(String::as_str));
            challenge.scopes.clone_from(&wanted);
            slot.challenge = Some(challenge);
            if is_client && is_too_soon {
                return Err(OAuthError::Unavailable(format!(
                    "{lacking}, and its client asked for others just now"
                )));
            }
            if is_client {
                slot.refused_at = Some(now);
                return self.renew(server, slot, wanted).await.map(|_| ());
            }
            return Err(OAuthError::login(&server.name, &lacking));
        }
        slot.challenge = Some(challenge);
        if can_renew && !is_too_soon {
            slot.refused_at = Some(now);
            return self.renew(server, slot, Vec::new()).await.map(|_| ());
        }
        if is_client {
            let why = "it refuses the token that its client got; check the client and its scopes";
            return Err(OAuthError::LoginNeeded(why.to_owned()));
        }
        Err(OAuthError::LoginNeeded(format!("run `portero login {}`", server.name)))
    }

    /// Ends the login at a server: revokes its tokens (RFC 7009), and forgets them in any case. `server` is none if its
    /// entry is gone, or takes no login any more.
    ///
    /// # Errors
    /// If they can't be forgotten.
    pub async fn logout(
        &self,
        name: &ServerName,
        server: Option<&OAuthServer>,
    ) -> Result<Logout, OAuthError> {
        // What can't be opened now can still be forgotten.
        let (mut slot, unread) = match self.open_slot(name).await {
            Ok(slot) => (slot, None),
            Err(error @ OAuthError::Storage(_)) => (self.slot(name).lock_owned().await, Some(error)),
            Err(error) => return Err(error),
        };
        let login = slot.login.clone();
        let forgotten = self.deps.kept.forget(&CredentialName::OAuth(name.clone())).await;
        if forgotten.is_ok() {
            *slot = LoginSlot { is_loaded: true, ..LoginSlot::default() };
        }
        // Calls needn't wait for the issuer: they have no token any more.
        drop(slot);
        let revoked = match (&login, unread) {
            (None, None) => None,
            (None, Some(unread)) => Some(Err(unread)),
            (Some(login), _) => Some(self.revoke(name, server, login).await),
        };
        let was_kept = forgotten.map_err(|error| OAuthError::Storage(error.to_string()))?;
        Ok(match revoked {
            None if was_kept => Logout::Forgotten("they could not be read any more".to_owned()),
            None => Logout::NotLoggedIn,
            Some(Ok(())) => Logout::Revoked,
            Some(Err(error)) => Logout::Forgotten(error.to_string()),
        })
    }

    /// The servers of which a login is kept, and how.
    ///
    /// # Errors
    /// If they can't be listed.
    pub async fn kept_logins(&self) -> Result<BTreeMap<ServerName, KeptCredential>, OAuthError> {
        let kept = self.deps.kept.list().await.map_err(|error| OAuthError::Storage(error.to_string()))?;
        let logins = kept.into_iter().filter_map(|kept| match &kept.name {
            CredentialName::OAuth(server) => Some((server.clone(), kept)),
            CredentialName::Secret(_) => None,
        });
        Ok(logins.collect())
    }

    async fn revoke(
        &self,
        name: &ServerName,
        server: Option<&OAuthServer>,
        login: &KeptLogin,
    ) -> Result<(), OAuthError> {
        let Some(endpoint) = &login.revocation_endpoint else {
            return Err(OAuthError::Metadata("its issuer revokes no tokens".to_owned()));
        };
        // An entry that was edited since has another client, whose secret is nothing for the former issuer.
        let former;
        let server = match server.filter(|server| login.fits(&server.http, &server.settings)) {
            Some(server) => server,
            None if login.needs_configured_secret() => {
                let why = "its entry has changed since, and with it the client that could revoke them";
                return Err(OAuthError::Configuration(why.to_owned()));
            }
            None => {
                former = login.former_server(name)?;
                &former
            }
        };
        let http = self.http(server).await?;
        let identity = login.identity(&server.settings);
        let client = TokenClient::at(&http, server, (&login.token_endpoint, &login.issuer), &identity);
        let endpoint = http.read_url(endpoint, "revocation endpoint")?;
        // The refresh token first: most issuers end its access tokens with it.
        for (token, kind) in [(&login.refresh_token, "refresh_token"), (&login.access_token, "access_token")]
        {
            let Some(token) = token else { continue };
            let form = [("token", token.expose()), ("token_type_hint", kind)];
            let answer = client.post(&endpoint, &form, self.deps.clock.now().wall).await?;
            if !answer.status.is_success() {
                return Err(OAuthError::refused(&endpoint, None));
            }
        }
        Ok(())
    }

    fn slot(&self, server: &ServerName) -> Arc<tokio::sync::Mutex<LoginSlot>> {
        Arc::clone(lock(&self.slots).entry(server.clone()).or_default())
    }

    /// Opens what is known of a server's login, which nobody else then changes.
    pub(super) async fn open_slot(
        &self,
        server: &ServerName,
    ) -> Result<OwnedMutexGuard<LoginSlot>, OAuthError> {
        let mut slot = self.slot(server).lock_owned().await;
        // A login that isn't on disk yet is the later one.
        if !slot.is_loaded && !slot.is_unsaved {
            let loaded = self.deps.kept.load(&CredentialName::OAuth(server.clone())).await;
            // A key that is gone from the keyring may come back: until then it is as if nobody had signed in.
            let is_final = !matches!(loaded, Err(KeepError::KeyMissing { .. }));
            slot.login = match loaded {
                Ok(text) => text.as_ref().and_then(KeptLogin::read),
                Err(error @ KeepError::Damaged(_)) => {
                    tracing::warn!(%server, %error, "a login is lost");
                    None
                }
                Err(KeepError::KeyMissing { .. }) => None,
                Err(error) => return Err(OAuthError::Storage(error.to_string())),
            };
            self.redact(server, &slot)?;
            slot.is_loaded = is_final;
        }
        Ok(slot)
    }

    /// Keeps the login of a slot durably. Until then its tokens aren't used, because one that rotates would
    /// be lost by a crash.
    pub(super) async fn save_login(
        &self,
        server: &ServerName,
        slot: &mut LoginSlot,
    ) -> Result<(), OAuthError> {
        slot.is_unsaved = true;
        self.redact(server, slot)?;
        let Some(text) = slot.login.as_ref().and_then(KeptLogin::write) else { return Ok(()) };
        let saved = self.deps.kept.save(&CredentialName::OAuth(server.clone()), &text).await;
        saved.map_err(|error| OAuthError::Storage(error.to_string()))?;
        slot.is_unsaved = false;
        Ok(())
    }

    /// Blanks the secrets of a login in what its server says from now on, but for those that read like ordinary text.
    fn redact(&self, server: &ServerName, slot: &LoginSlot) -> Result<(), OAuthError> {
        let Some(login) = &slot.login else { return Ok(()) };
        let secrets = [&login.access_token, &login.refresh_token, &login.client.client_secret];
        let secrets: Vec<Secret> =
            secrets.into_iter().flatten().filter(|secret| !is_common_text(secret)).cloned().collect();
        let redacted = self.deps.redactions.add(server, SecretSource::Login, &secrets);
        redacted.map_err(|error| OAuthError::Configuration(error.to_string()))
    }

    /// Renews the token. It runs in a task of its own: a call that is cancelled must not lose a refresh token
    /// that its issuer has replaced.
    async fn renew(
        self: &Arc<Self>,
        server: &OAuthServer,
        mut slot: OwnedMutexGuard<LoginSlot>,
        scopes: Vec<String>,
    ) -> Result<Secret, OAuthError> {
        let now = self.deps.clock.now().boot;
        if let Some((at, error)) = &slot.failed
            && now.saturating_sub(*at) < RETRY_INTERVAL
        {
            return Err(error.clone());
        }
        let (oauth, server) = (Arc::clone(self), server.clone());
        let renewing = tokio::spawn(async move {
            let renewed = oauth.request_renewal(&server, &mut slot, scopes).await;
            let renewed = match renewed {
                Ok(()) => Ok(()),
                Err(error) => Err(oauth.note_failure(&server, &mut slot, error).await),
            };
            let now = oauth.deps.clock.now().boot;
            slot.failed = renewed.as_ref().err().map(|error| (now, error.clone()));
            slot.renewed_at = renewed.is_ok().then_some(now);
            renewed?;
            let token = slot.login.as_ref().and_then(|login| login.access_token.clone());
            token.ok_or_else(|| OAuthError::login(&server.name, "its login has ended"))
        });
        let broken = |_| OAuthError::Unavailable("its token was not renewed, by a fault of Portero's".into());
        renewing.await.map_err(broken)?
    }

    async fn request_renewal(
        &self,
        server: &OAuthServer,
        slot: &mut LoginSlot,
        scopes: Vec<String>,
    ) -> Result<(), OAuthError> {
        if server.settings.grant == OAuthGrant::ClientCredentials {
            self.request_as_client(server, slot, scopes).await?;
        } else {
            let ended = || OAuthError::login(&server.name, "its login has ended");
            let login = slot.login_at(server).ok_or_else(ended)?;
            let refresh = login.refresh_token.as_ref().ok_or_else(ended)?;
            let http = self.http(server).await?;
            let grant = [
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh.expose()),
                ("resource", &login.resource),
            ];
            let identity = login.identity(&server.settings);
            let client = TokenClient::at(&http, server, (&login.token_endpoint, &login.issuer), &identity);
            let tokens = client.request_tokens(&grant, self.deps.clock.now().wall).await?;
            if let Some(login) = &mut slot.login {
                login.take_tokens(tokens);
            }
        }
        self.save_login(&server.name, slot).await
    }

    /// Gets a token for the client itself (RFC 6749, 4.4).
    async fn request_as_client(
        &self,
        server: &OAuthServer,
        slot: &mut LoginSlot,
        mut scopes: Vec<String>,
    ) -> Result<(), OAuthError> {
        let settings = &server.settings;
        let Some(client_id) = settings.client_id.clone() else {
            return Err(OAuthError::Configuration("client credentials take a `clientId`".to_owned()));
        };
        let http = self.http(server).await?;
        let former = slot.former(server);
        let found = discover(&http, &server.http, settings, former.challenge.as_ref()).await?;
        check_issuer(server, &former, &found)?;
        if settings.scopes.is_none() {
            let remembered = slot.login_at(server).map(|login| login.scopes.clone()).unwrap_or_default();
            add_scopes(&mut scopes, remembered.iter().map(String::as_str));
        }
        // What the entry lists is all that is asked for: no person sees what a client asks.
        if scopes.is_empty() || settings.scopes.is_some() {
            scopes = choose_scopes(server, former.challenge.as_ref(), &found);
        }
        let identity = configured_identity(settings, client_id, &found);
        let client = TokenClient::new(&http, server, &found, &identity);
        let asked = scopes.join(" ");
        let mut grant = vec![("grant_type", "client_credentials"), ("resource", &*found.resource)];
        if !asked.is_empty() {
            grant.push(("scope", &asked));
        }
        let tokens = client.request_tokens(&grant, self.deps.clock.now().wall).await?;
        slot.login = Some(KeptLogin::new(&server.http, settings, &found, identity, scopes, tokens));
        Ok(())
    }

    /// What a failed renewal means: a refused refresh token ends the login, everything else leaves it.
    async fn note_failure(
        &self,
        server: &OAuthServer,
        slot: &mut LoginSlot,
        error: OAuthError,
    ) -> OAuthError {
        let OAuthError::Refused { code, .. } = &error else { return error };
        let is_client = server.settings.grant == OAuthGrant::ClientCredentials;
        let Some(login) = slot.login.as_mut().filter(|_| !is_client) else { return error };
        match code.as_str() {
            "invalid_grant" => {}
            "invalid_client" | "unauthorized_client" if login.client.registration.is_none() => {
                // A person can mend the entry; the login is as good as before.
                let why = "its issuer refuses its client; check `clientId` and `clientSecret` in its entry of mcps.json";
                return OAuthError::Configuration(why.to_owned());
            }
            // The issuer has forgotten the client, so another one must register.
            "invalid_client" | "unauthorized_client" => login.client.registration = None,
            _ => return error,
        }
        (login.access_token, login.refresh_token, login.expires_at) = (None, None, None);
        if let Err(error) = self.save_login(&server.name, slot).await {
            tracing::warn!(server = %server.name, %error, "the end of a login was not kept");
        }
        OAuthError::login(&server.name, "its login has ended")
    }
}

/// A client with a secret of its own shows it to the issuer that it began with, and to no other: the server
/// alone says who that is. After a logout another may be taken.
///
/// # Errors
/// If the issuer is another than before.
pub(super) fn check_issuer(
    server: &OAuthServer,
    former: &FormerLogin,
    found: &Discovered,
) -> Result<(), OAuthError> {
    match &former.issuer {
        Some(former) if *former != found.issuer && server.settings.client_id.is_some() => {
            let name = &server.name;
            Err(OAuthError::Metadata(format!(
                "it names another issuer of its tokens than before; if you trust that, run `portero logout {name}` first"
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// The scopes to ask for (MCP 2025-11-25, "Scope Selection Strategy").
pub(super) fn choose_scopes(
    server: &OAuthServer,
    challenge: Option<&BearerChallenge>,
    found: &Discovered,
) -> Vec<String> {
    let mut scopes = Vec::new();
    let is_client = server.settings.grant == OAuthGrant::ClientCredentials;
    let configured = server.settings.scopes.as_deref();
    let wanted = challenge.map(|challenge| &*challenge.scopes).filter(|scopes| !scopes.is_empty());
    let base = configured.or(wanted).unwrap_or(&found.resource_scopes);
    add_scopes(&mut scopes, base.iter().map(String::as_str));
    // What a request lacked is asked for beside what the login had. The person sees it at the issuer.
    if !is_client && challenge.is_some_and(BearerChallenge::lacks_scope) {
        add_scopes(&mut scopes, wanted.unwrap_or_default().iter().map(String::as_str));
    }
    // Without it some issuers give no refresh token (OpenID Connect Core, 11).
    let offers_offline = |supported: &Vec<String>| supported.iter().any(|scope| scope == "offline_access");
    if server.takes_offline_access
        && !is_client
        && found.metadata.scopes_supported.as_ref().is_some_and(offers_offline)
    {
        add_scopes(&mut scopes, std::iter::once("offline_access"));
    }
    scopes
}

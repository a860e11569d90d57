//! A person's login with a browser: the authorization code grant with PKCE (OAuth 2.1, 4.1; RFC 7636).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use portero::names::ServerName;
use portero::secret::Secret;
use portero::sync::lock;
use reqwest::Url;
use ring::digest::{SHA256, digest};

use super::access::{check_issuer, choose_scopes};
use super::error::{OAuthError, origin};
use super::identity::{ClientIdentity, obtain_identity};
use super::metadata::{Discovered, discover};
use super::record::KeptLogin;
use super::token::TokenClient;
use super::{OAuth, OAuthServer};

/// How long a login waits for the person.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How many logins may be open at once.
const MAX_PENDING: usize = 32;
/// The longest answer of a browser that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// A login that has begun.
#[derive(Debug, Clone)]
pub struct LoginStart {
    /// Where the person's browser goes. It is a URL of `https`, or of a host that the configuration names.
    pub authorization_url: Url,
    /// What the browser's answer must repeat.
    pub state: String,
}

/// The browser's answer (RFC 6749, 4.1.2; RFC 9207).
#[derive(Debug, Clone)]
pub struct LoginAnswer {
    state: String,
    outcome: Result<Secret, String>,
    issuer: Option<String>,
}

impl LoginAnswer {
    /// Reads the query of the redirect URI, or the whole URI; none if it is no answer. A parameter that comes
    /// twice makes it none (RFC 6749, 3.1).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        let query = query.split_once('#').map_or(query, |(query, _)| query).trim();
        if query.len() > MAX_ANSWER_BYTES {
            return None;
        }
        let mut known: HashMap<String, String> = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let is_ours = matches!(&*name, "code" | "state" | "iss" | "error");
            if is_ours && known.insert(name.into_owned(), value.into_owned()).is_some() {
                return None;
            }
        }
        let state = known.remove("state")?;
        let outcome = match (known.remove("code"), known.remove("error")) {
            (Some(code), None) => Ok(Secret::new(code)),
            (_, Some(error)) => Err(error),
            (None, None) => return None,
        };
        Some(Self { state, outcome, issuer: known.remove("iss") })
    }

    /// The `state` that it repeats.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }
}

/// The logins that wait for a browser's answer, by their `state`.
#[derive(Default)]
pub(super) struct PendingLogins(HashMap<String, PendingLogin>);

struct PendingLogin {
    server: OAuthServer,
    found: Discovered,
    identity: ClientIdentity,
    redirect_uri: String,
    verifier: Secret,
    scopes: Vec<String>,
    /// Since boot.
    began: Duration,
}

impl PendingLogins {
    /// Adds a login. The earlier one at the same server ends, as do those that a person has forgotten.
    fn add(&mut self, state: String, login: PendingLogin) {
        let now = login.began;
        self.0.retain(|_, other| other.server.name != login.server.name && other.is_open(now));
        if self.0.len() >= MAX_PENDING {
            let oldest = self.0.iter().min_by_key(|(_, login)| login.began).map(|(state, _)| state.clone());
            oldest.and_then(|state| self.0.remove(&state));
        }
        self.0.insert(state, login);
    }

    /// Takes the login with this `state`, which has one answer.
    fn take(&mut self, state: &str, now: Duration) -> Option<PendingLogin> {
        self.0.remove(state).filter(|login| login.is_open(now))
    }
}

impl PendingLogin {
    fn is_open(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) < LOGIN_TIMEOUT
    }

    /// Checks that the answer comes from the issuer that was asked (RFC 9207, 2.4). Otherwise a server could
    /// have the code of another issuer sent to its own.
    fn check_issuer(&self, answer: &LoginAnswer) -> Result<(), OAuthError> {
        let expected = self.found.metadata.issuer.as_deref().unwrap_or(&self.found.issuer);
        match &answer.issuer {
            Some(issuer) if issuer == expected => Ok(()),
            None if !self.found.metadata.authorization_response_iss_parameter_supported => Ok(()),
            Some(_) | None => Err(OAuthError::OtherIssuer),
        }
    }
}

impl OAuth {
    /// Begins a login: finds the server's issuer, and makes the URL that a person opens. It waits
    /// [`LOGIN_TIMEOUT`] for [`Self::finish_login`]. An earlier login at the same server that waits is ended.
    ///
    /// # Errors
    /// If the issuer isn't found, doesn't fit, or takes no client.
    pub async fn begin_login(
        self: &Arc<Self>,
        server: &OAuthServer,
        redirect_uri: &str,
    ) -> Result<LoginStart, OAuthError> {
        let former = self.open_slot(server.name()).await?.former(server);
        let http = self.http(server).await?;
        let found = discover(&http, &server.http, &server.settings, former.challenge.as_ref()).await?;
        check_issuer(server, &former, &found)?;
        check_pkce(server, &found)?;
        let endpoint = found.metadata.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| OAuthError::Metadata("its issuer has no login page".into()))?;
        let mut url = http.read_url(endpoint, "authorization endpoint")?;
        let scopes = choose_scopes(server, former.challenge.as_ref(), &found);
        let former = former.client_at(&found.issuer);
        let now = self.deps.clock.now();
        let wanted = (Some(redirect_uri), &*scopes);
        let identity = obtain_identity(&http, &server.settings, &found, wanted, former, now.wall).await?;
        let (state, verifier) = (random_text(), Secret::new(random_text()));
        let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, verifier.expose().as_bytes()).as_ref());
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &identity.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &found.resource);
        if !scopes.is_empty() {
            query.append_pair("scope", &scopes.join(" "));
        }
        if scopes.iter().any(|scope| scope == "offline_access") {
            // OpenID Connect Core, 11: without it the scope is ignored.
            query.append_pair("prompt", "consent");
        }
        drop(query);
        let login = PendingLogin {
            server: server.clone(),
            found,
            identity,
            redirect_uri: redirect_uri.to_owned(),
            verifier,
            scopes,
            began: now.boot,
        };
        lock(&self.pending).add(state.clone(), login);
        Ok(LoginStart { authorization_url: url, state })
    }

    /// Finishes a login with the browser's answer, and returns the server that it is for. Each login has one
    /// answer.
    ///
    /// # Errors
    /// If the answer belongs to no open login, comes from another issuer, or is a refusal, or the code brings
    /// no tokens.
    pub async fn finish_login(self: &Arc<Self>, answer: LoginAnswer) -> Result<ServerName, OAuthError> {
        let now = self.deps.clock.now();
        let login = lock(&self.pending).take(&answer.state, now.boot).ok_or(OAuthError::UnknownLogin)?;
        login.check_issuer(&answer)?;
        let page = login.found.metadata.authorization_endpoint.as_deref().unwrap_or_default();
        let code = answer.outcome.map_err(|error| match page.parse() {
            Ok(page) => OAuthError::refused(&page, Some(&error)),
            Err(_) => OAuthError::UnknownLogin,
        })?;
        let oauth = Arc::clone(self);
        // A terminal that goes away must not lose tokens that were issued.
        let finishing = tokio::spawn(async move { oauth.exchange_code(login, code).await });
        let broken = |_| OAuthError::Unavailable("the login failed by a fault of Portero's".to_owned());
        finishing.await.map_err(broken)?
    }

    async fn exchange_code(&self, login: PendingLogin, code: Secret) -> Result<ServerName, OAuthError> {
        let PendingLogin { server, found, identity, redirect_uri, verifier, scopes, .. } = login;
        // Another login may have ended meanwhile.
        check_issuer(&server, &self.open_slot(server.name()).await?.former(&server), &found)?;
        let http = self.http(&server).await?;
        let client = TokenClient::new(&http, &server, &found, &identity);
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", &*redirect_uri),
            ("code_verifier", verifier.expose()),
            ("resource", &*found.resource),
        ];
        let tokens = client.request_tokens(&grant, self.deps.clock.now().wall).await?;
        let kept = KeptLogin::new(&server.http, &server.settings, &found, identity, scopes, tokens);
        let mut slot = self.open_slot(server.name()).await?;
        slot.take_login(kept);
        self.save_login(server.name(), &mut slot).await?;
        Ok(server.name)
    }
}

/// Issuers that don't say that they know PKCE are refused (MCP 2025-11-25, "Authorization Code Protection").
/// Where a person chose the metadata, their silence is no reason.
fn check_pkce(server: &OAuthServer, found: &Discovered) -> Result<(), OAuthError> {
    let methods = found.metadata.code_challenge_methods_supported.as_ref();
    let is_known = match methods {
        Some(methods) => methods.iter().any(|method| method == "S256"),
        None => found.is_assumed || server.settings.metadata_url.is_some(),
    };
    if is_known {
        return Ok(());
    }
    let issuer = found.issuer.parse().map_or_else(|_| "its issuer".to_owned(), |url: Url| origin(&url));
    Err(OAuthError::Metadata(format!("{issuer} doesn't say that it protects logins with PKCE (S256)")))
}

/// 256 random bits, as text of 43 characters (RFC 7636, 4.1).
fn random_text() -> String {
    BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>())
}

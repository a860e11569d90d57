//! What is kept of a login: one JSON value for each server.

use std::collections::BTreeMap;

use jiff::Timestamp;
use portero::config::url::HttpUrl;
use portero::config::{HttpServer, OAuthSettings, ServerAuth, TokenEndpointAuthMethod};
use portero::names::ServerName;
use portero::secret::Secret;
use serde::{Deserialize, Serialize};

use super::OAuthServer;
use super::error::OAuthError;
use super::identity::ClientIdentity;
use super::metadata::{Discovered, names_resource};
use super::serialized::optional_secret;
use super::token::Tokens;

/// The version of this shape.
const VERSION: u8 = 1;

/// A login at one server, bound to the server's origin, its resource, its issuer and the client.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeptLogin {
    version: u8,
    /// The origin that tokens are sent to.
    origin: String,
    pub(super) resource: String,
    pub(super) issuer: String,
    /// The metadata document that the configuration named.
    metadata_url: Option<String>,
    grant: String,
    pub(super) token_endpoint: String,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) client: ClientIdentity,
    /// The scopes that were asked for, or granted in place of those.
    pub(super) scopes: Vec<String>,
    #[serde(with = "optional_secret")]
    pub(super) access_token: Option<Secret>,
    #[serde(with = "optional_secret")]
    pub(super) refresh_token: Option<Secret>,
    /// When the access token ends, if its issuer says so.
    pub(super) expires_at: Option<Timestamp>,
    /// When it is renewed, a little earlier.
    renew_at: Option<Timestamp>,
}

impl KeptLogin {
    /// The record of a login. `scopes` were asked for.
    pub(super) fn new(
        server: &HttpServer,
        settings: &OAuthSettings,
        found: &Discovered,
        mut client: ClientIdentity,
        scopes: Vec<String>,
        tokens: Tokens,
    ) -> Self {
        if client.registration.is_none() {
            // The configuration has it, and may have another one later.
            client.client_secret = None;
        }
        let mut login = Self {
            version: VERSION,
            origin: server.url.origin(),
            resource: found.resource.clone(),
            issuer: found.issuer.clone(),
            metadata_url: metadata_url(settings),
            grant: settings.grant.as_str().to_owned(),
            token_endpoint: found.metadata.token_endpoint.clone().unwrap_or_default(),
            revocation_endpoint: found.metadata.revocation_endpoint.clone(),
            client,
            scopes,
            access_token: None,
            refresh_token: None,
            expires_at: None,
            renew_at: None,
        };
        login.take_tokens(tokens);
        login
    }

    /// Reads a record. One of another shape counts as none.
    pub(super) fn read(text: &Secret) -> Option<Self> {
        let login: Self = serde_json::from_str(text.expose()).ok()?;
        (login.version == VERSION).then_some(login)
    }

    /// The record as one text.
    pub(super) fn write(&self) -> Option<Secret> {
        serde_json::to_string(self).ok().map(Secret::new)
    }

    /// Who asks for further tokens of this login.
    pub(super) fn identity(&self, settings: &OAuthSettings) -> ClientIdentity {
        let mut identity = self.client.clone();
        if identity.registration.is_none() {
            identity.client_secret.clone_from(&settings.client_secret);
        }
        identity
    }

    /// Whether its client shows itself by a secret or key that only the configuration has.
    pub(super) fn needs_configured_secret(&self) -> bool {
        self.client.registration.is_none() && self.client.method != TokenEndpointAuthMethod::None
    }

    /// The server that it was made at, without what an entry may have said besides.
    ///
    /// # Errors
    /// If the record is damaged.
    pub(super) fn former_server(&self, name: &ServerName) -> Result<OAuthServer, OAuthError> {
        let damaged = |_| OAuthError::Metadata("its record names no address".to_owned());
        let http = HttpServer {
            url: HttpUrl::parse(&self.resource).map_err(damaged)?,
            is_sse: false,
            headers: BTreeMap::new(),
            auth: ServerAuth::None,
            max_concurrent: HttpServer::DEFAULT_MAX_CONCURRENT,
            ca_file: None,
            client_certificate: None,
        };
        let (name, settings) = (name.clone(), OAuthSettings::default());
        Ok(OAuthServer { name, http, settings, takes_offline_access: false })
    }

    /// Takes new tokens. A response without a refresh token leaves the former in force (RFC 6749, 6).
    pub(super) fn take_tokens(&mut self, tokens: Tokens) {
        self.access_token = Some(tokens.access_token);
        (self.expires_at, self.renew_at) = (tokens.expires_at, tokens.renew_at);
        if tokens.refresh_token.is_some() {
            self.refresh_token = tokens.refresh_token;
        }
    }

    /// Whether the access token is to be renewed before it is used. Without a way to renew it, it is used to its
    /// end.
    pub(super) fn is_due(&self, now: Timestamp, can_renew: bool) -> bool {
        let until = if can_renew { self.renew_at } else { self.expires_at };
        until.is_some_and(|until| until <= now)
    }

    /// Whether it belongs to the server as it is configured now. An edited address gets no token of the former.
    pub(super) fn fits(&self, server: &HttpServer, settings: &OAuthSettings) -> bool {
        self.origin == server.url.origin()
            && names_resource(&self.resource, server.url.expose())
            && self.metadata_url == metadata_url(settings)
            && self.grant == settings.grant.as_str()
            && settings.client_id.as_ref().is_none_or(|client| *client == self.client.client_id)
    }
}

fn metadata_url(settings: &OAuthSettings) -> Option<String> {
    settings.metadata_url.as_ref().map(|url| url.expose().to_string())
}

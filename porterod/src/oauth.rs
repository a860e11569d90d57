//! OAuth 2.1 toward servers (MCP 2025-11-25, "Authorization"): logins, and the tokens of requests.
//!
//! Only the daemon holds tokens. Each is bound to the origin of its server, to the resource that it was issued
//! for, and to its issuer, and goes nowhere else. What a server names (its metadata, its issuer) is checked
//! against the server before anything is sent there, and must not lead into this machine's own network.

mod access;
mod assertion;
mod challenge;
mod common_text;
mod device;
mod error;
mod http;
mod identity;
mod login;
mod metadata;
mod reach;
mod record;
mod serialized;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use portero::clock::Clock;
use portero::config::{HttpServer, OAuthSettings, ServerAuth};
use portero::names::ServerName;

pub use self::access::Logout;
pub use self::challenge::BearerChallenge;
pub use self::device::{DeviceLogin, DeviceStart};
pub use self::error::OAuthError;
pub use self::login::{LOGIN_TIMEOUT, LoginAnswer, LoginStart};
pub use self::reach::{HostLookup, SystemLookup};

use self::access::LoginSlot;
use self::http::OAuthHttp;
use self::login::PendingLogins;
use crate::http_client::ProxySettings;
use crate::secrets::kept::KeptCredentials;
use crate::secrets::redaction::Redactions;

/// A server that is signed in to by OAuth, as it is configured.
#[derive(Debug, Clone)]
pub struct OAuthServer {
    name: ServerName,
    http: HttpServer,
    settings: OAuthSettings,
    /// Whether `offline_access` is asked for where the issuer offers it.
    takes_offline_access: bool,
}

impl OAuthServer {
    /// The server of this name; none if it is signed in to in another way.
    #[must_use]
    pub fn new(name: &ServerName, http: &HttpServer) -> Option<Self> {
        let has_credential = http.headers.contains_key("authorization");
        match &http.auth {
            ServerAuth::OAuth(settings) if !has_credential => {
                let listed = settings.scopes.as_deref();
                let takes_offline_access =
                    listed.is_none_or(|scopes| scopes.iter().any(|scope| scope == "offline_access"));
                let (name, http, settings) = (name.clone(), http.clone(), (**settings).clone());
                Some(Self { name, http, settings, takes_offline_access })
            }
            ServerAuth::OAuth(_) | ServerAuth::None | ServerAuth::Static(_) => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ServerName {
        &self.name
    }

    /// What its entry says of the login.
    #[must_use]
    pub const fn settings(&self) -> &OAuthSettings {
        &self.settings
    }

    /// The server, of which these scopes are asked in place of those of its entry. Without `offline_access` a login may end
    /// within the hour, so that is asked for all the same, unless the entry leaves it out.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Vec<String>) -> Self {
        self.settings.scopes = Some(scopes);
        self
    }
}

/// What logins take from the daemon.
pub struct OAuthDeps {
    /// Where tokens outlive the process.
    pub kept: Arc<dyn KeptCredentials>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The way to the network.
    pub proxy: ProxySettings,
    /// Resolves the names of hosts.
    pub lookup: Arc<dyn HostLookup>,
    /// Keeps tokens out of everything that leaves toward an agent (guarantee N7).
    pub redactions: Arc<Redactions>,
}

/// The logins at all servers.
pub struct OAuth {
    deps: OAuthDeps,
    /// One for each server. Its lock is held while tokens are requested, so that concurrent calls share one
    /// request.
    slots: Mutex<HashMap<ServerName, Arc<tokio::sync::Mutex<LoginSlot>>>>,
    pending: Mutex<PendingLogins>,
}

impl OAuth {
    /// Logins that are kept there.
    #[must_use]
    pub fn new(deps: OAuthDeps) -> Arc<Self> {
        Arc::new(Self { deps, slots: Mutex::default(), pending: Mutex::default() })
    }

    async fn http(&self, server: &OAuthServer) -> Result<OAuthHttp, OAuthError> {
        OAuthHttp::new(&server.http, &server.settings, &self.deps.proxy, &self.deps.lookup).await
    }
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuth").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Reaches servers over HTTP, in place of a child's pipes (MCP 2025-11-25 and 2026-07-28, transports).
//!
//! Streamable HTTP comes first. A server that refuses it is tried with the HTTP with SSE of 2024-11-05. What
//! the messages mean is not known here: the conversation takes them as if a child had written them.
//!
//! Credentials go to the server's own origin only. A redirect to another origin is not followed, and no error
//! holds an address beyond its origin.

mod body_credential;
mod client_fault;
mod conversation;
mod endpoint;
mod event_stream;
mod exchange;
mod fault;
mod http_sse;
mod login;
mod session;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use portero::config::HttpServer;
use portero::server::{HttpConversation, HttpTransport};

use self::conversation::Conversation;
use self::endpoint::Endpoint;
use self::login::ServerLogin;
use crate::http_client::ProxySettings;
use crate::oauth::{OAuth, OAuthServer};

/// The daemon's transport.
#[derive(Debug)]
pub struct HttpClients {
    proxy: ProxySettings,
    /// None where no server is logged in.
    oauth: Option<Arc<OAuth>>,
}

impl HttpClients {
    /// A transport with these settings, for servers that are logged in there.
    #[must_use]
    pub const fn new(proxy: ProxySettings, oauth: Arc<OAuth>) -> Self {
        Self { proxy, oauth: Some(oauth) }
    }

    /// A transport with these settings that logs in nowhere.
    #[must_use]
    pub const fn without_logins(proxy: ProxySettings) -> Self {
        Self { proxy, oauth: None }
    }

    /// Checks a server's settings without reaching it.
    ///
    /// # Errors
    /// In words, if its headers can't be sent, its authorities can't be read or the proxy is no address.
    pub async fn check(&self, server: &HttpServer) -> Result<(), String> {
        Endpoint::new(server, &self.proxy, None).await.map(drop)
    }
}

impl HttpTransport for HttpClients {
    fn carry(
        &self,
        server: &HttpServer,
        conversation: Arc<dyn HttpConversation>,
    ) -> BoxFuture<'static, String> {
        let login = self.oauth.as_ref().zip(conversation.server()).and_then(|(oauth, name)| {
            Some(ServerLogin::new(Arc::clone(oauth), OAuthServer::new(name, server)?))
        });
        let (server, proxy) = (server.clone(), self.proxy.clone());
        Box::pin(async move {
            match Endpoint::new(&server, &proxy, login).await {
                Ok(endpoint) => Conversation::new(endpoint, conversation).carry().await,
                Err(reason) => reason,
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;

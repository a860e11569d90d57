//! Carries the stdio conversation of an MCP client to a server over HTTP, for clients that speak stdio only
//! (`portero connect`).
//!
//! Messages pass as they came, ids and unknown members included. Only the transport is this program's:
//! sessions, streams and their resumption. The process belongs to the client that starts it, so it holds the
//! client's own credential for that server and nothing of the daemon's.

mod bridge;
mod credentials;
mod output;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use portero::config::url::HttpUrl;
use portero::config::{HttpServer, ServerAuth};
use portero::secret::Secret;
use portero::server::HttpTransport as _;
use portero::wire::LineReader;
use tokio::io::{AsyncRead, AsyncWrite};

use self::bridge::Bridge;
use self::credentials::CredentialFiles;
use crate::http_client::ProxySettings;
use crate::http_transport::HttpClients;

/// The variable with the token that the server is sent.
pub const TOKEN_VARIABLE: &str = "PORTERO_TOKEN";
/// The longest message, in either direction.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How many requests are sent at once; further ones wait.
const MAX_CONCURRENT: u16 = 128;
/// How long open requests may go on after the end of the client's input. The SDKs kill this process 2 s after
/// they closed it.
const OPEN_REQUESTS_GRACE: Duration = Duration::from_millis(1200);
/// How long the server may take to end the session.
const SESSION_END_TIMEOUT: Duration = Duration::from_millis(300);
/// The time limit for the last write.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_millis(100);

/// Serve an MCP client on standard input and output by a server over HTTP. `portero connect` starts this.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// The server's MCP endpoint.
    #[arg(value_name = "URL")]
    url: String,
    /// A file with the token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with further headers, a line each.
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
    /// A file with further certificate authorities in PEM.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Why the client can't be served.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    message: String,
    /// The next step.
    pub hint: &'static str,
}

impl ConnectError {
    fn new(message: String, hint: &'static str) -> Self {
        Self { message, hint }
    }
}

/// A client's way to one server.
#[derive(Debug)]
pub struct Connector {
    server: HttpServer,
    clients: HttpClients,
    session_end_timeout: Duration,
}

impl Connector {
    /// Reads the credentials and checks all that can be checked without the server. `variable` reads the
    /// environment.
    ///
    /// # Errors
    /// If the address, a file or the token can't be used, or if the token would be readable on its way.
    pub async fn new(
        args: ConnectArgs,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectError> {
        let ConnectArgs { url, token_file, header_file, ca_file } = args;
        let url = HttpUrl::parse(&url).map_err(|error| {
            ConnectError::new(
                format!("the address can't be used: {error}"),
                "write it as in https://home.example:8443/mcp",
            )
        })?;
        let token = variable(TOKEN_VARIABLE).filter(|token| !token.trim().is_empty()).map(Secret::new);
        let headers = CredentialFiles { token_file, header_file }.read_headers(token).await?;
        if url.is_readable_by_others() && !headers.is_empty() {
            return Err(ConnectError::new(
                format!("{} is not encrypted, so the credential could be read on its way", url.origin()),
                "use https://",
            ));
        }
        let server = describe_server(url, headers, ca_file);
        let clients = HttpClients::without_logins(ProxySettings::read(variable));
        clients.check(&server).await.map_err(|reason| {
            ConnectError::new(
                format!("{}: {reason}", server.url.origin()),
                "mend the file, header or variable that is named",
            )
        })?;
        Ok(Self { server, clients, session_end_timeout: SESSION_END_TIMEOUT })
    }

    /// Serves the client until its input ends or `stop` does, and ends the session at the server.
    ///
    /// # Errors
    /// If the client can't be read or written any more.
    pub async fn serve(
        self,
        input: impl AsyncRead + Unpin + Send,
        output: impl AsyncWrite + Unpin + Send,
        stop: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        let has_credential = !self.server.headers.is_empty();
        let bridge = Arc::new(Bridge::new(self.server.url.origin(), has_credential, MAX_MESSAGE_BYTES));
        let mut carrying = std::pin::pin!(self.carry(&bridge).fuse());
        let mut writing = std::pin::pin!(bridge.write_output(output).fuse());
        let served = async {
            bridge.read_input(LineReader::new(input, MAX_MESSAGE_BYTES)).await?;
            // The client closed its input; what it asked before may still be answered.
            let _ = tokio::time::timeout(OPEN_REQUESTS_GRACE, bridge.wait_until_settled()).await;
            Ok(())
        };
        let ended = tokio::select! {
            ended = served => ended,
            () = stop => Ok(()),
            () = &mut carrying => Ok(()),
            written = &mut writing => written,
        };
        bridge.close();
        let _ = tokio::time::timeout(self.session_end_timeout, carrying).await;
        bridge.finish_output();
        let _ = tokio::time::timeout(FINAL_WRITE_TIMEOUT, writing).await;
        ended
    }

    /// Carries conversations, one after another: a session that the server ended is followed by another.
    async fn carry(&self, bridge: &Arc<Bridge>) {
        while bridge.wait_for_message().await {
            bridge.begin_conversation();
            let conversation = Arc::<Bridge>::clone(bridge);
            let how = self.clients.carry(&self.server, conversation).await;
            bridge.end_conversation(&how);
        }
    }
}

/// The server as the transport knows it.
const fn describe_server(
    url: HttpUrl,
    headers: BTreeMap<String, Secret>,
    ca_file: Option<PathBuf>,
) -> HttpServer {
    HttpServer {
        url,
        is_sse: false,
        headers,
        auth: ServerAuth::None,
        max_concurrent: MAX_CONCURRENT,
        ca_file,
        client_certificate: None,
    }
}

#[cfg(test)]
mod tests;

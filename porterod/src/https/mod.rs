//! The HTTPS endpoint: agents on other machines reach Portero here (guarantee T1).
//!
//! Who may ask is decided by an [`Authenticator`] before anything of a body is read. What is served behind it
//! are the routes that the composition root gives to [`serve`].

mod body_room;
mod certificate_expiry;
mod client_certificates;
mod configured_credentials;
mod connection;
mod connection_limits;
mod cors;
mod credentials;
mod descriptors;
mod host_check;
mod listener;
pub mod mcp;
mod metadata;
mod metrics;
mod principal;
mod rate_limit;
mod request;
mod response;
mod tls;
mod write_timeout;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use portero::config::HttpsSettings;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::credentials::Credentials;
pub use self::metadata::metadata_routes;
pub use self::principal::{Authenticator, Challenge, ClientCertificate, RemotePrincipal};

use self::listener::Listener;
use self::metrics::HttpsMetrics;
use self::tls::TlsIdentity;
use crate::daemon::Daemon;

/// How long to wait before an endpoint that could not be opened is tried again.
const OPEN_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// What is served, and to whom.
#[derive(Clone)]
pub struct HttpsRoutes {
    /// Tells who asks.
    pub authenticator: Arc<dyn Authenticator>,
    /// The routes for principals. A handler finds the [`RemotePrincipal`] in the request's extensions, and the whole
    /// body is there already.
    pub authenticated: Router,
    /// The routes below `/.well-known/`, which everyone may read (RFC 8615).
    pub well_known: Router,
}

/// Serves the configured endpoint, whichever it is, until the daemon ends.
pub async fn serve(daemon: Arc<Daemon>, routes: HttpsRoutes) {
    let mut configs = daemon.config.subscribe();
    let metrics = Arc::<HttpsMetrics>::default();
    while !daemon.lifecycle.stop_signal().is_cancelled() {
        let config = daemon.config.current();
        let wanted = config.settings.https.clone();
        let stop = daemon.lifecycle.stop_signal().child_token();
        let serving = async {
            match &wanted {
                Some(settings) => serve_with_retries(&daemon, settings, &routes, &metrics, &stop).await,
                None => daemon.https.set_closed(config.settings.closed_https.as_ref()),
            }
            stop.cancelled().await;
        };
        let other_is_wanted = async {
            // The sender lives as long as the daemon. A reason to stay closed is shown anew, too.
            loop {
                if configs.changed().await.is_err() {
                    stop.cancelled().await;
                }
                let settings = &daemon.config.current().settings;
                if settings.https != wanted || settings.closed_https != config.settings.closed_https {
                    return stop.cancel();
                }
            }
        };
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => {}
            () = other_is_wanted => serving.await,
        }
    }
}

/// Serves one endpoint until `stop`, and tries again while it can't be opened.
async fn serve_with_retries(
    daemon: &Arc<Daemon>,
    settings: &HttpsSettings,
    routes: &HttpsRoutes,
    metrics: &Arc<HttpsMetrics>,
    stop: &CancellationToken,
) {
    while let Err(problem) = serve_settings(daemon, settings, routes, metrics, stop).await {
        daemon.https.set_failed(settings.listen, problem);
        tokio::select! {
            () = tokio::time::sleep(OPEN_RETRY_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Serves one endpoint until `stop`. Its connections end by themselves, within a bounded time.
///
/// # Errors
/// In words, if it can't be opened.
async fn serve_settings(
    daemon: &Arc<Daemon>,
    settings: &HttpsSettings,
    routes: &HttpsRoutes,
    metrics: &Arc<HttpsMetrics>,
    stop: &CancellationToken,
) -> Result<(), String> {
    let tls = TlsIdentity::load(settings, &daemon.paths.certificates(), &daemon.clock.now()).await?;
    let socket = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| format!("{} can't be listened on: {error}", settings.listen))?;
    let address = socket.local_addr().unwrap_or(settings.listen);
    daemon.https.set_serving(address, tls.as_ref().map(TlsIdentity::certificate));
    tracing::info!(%address, "HTTPS is served");
    let listener = Listener::new(daemon, (settings, address), tls, routes.clone(), Arc::clone(metrics));
    listener.accept_until(socket, stop).await;
    Ok(())
}

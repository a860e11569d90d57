//! Where a client gets a token: the metadata of this protected resource (RFC 9728).

use std::sync::{Arc, Weak};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use portero::config::{HttpsEncryption, HttpsSettings};

use crate::daemon::Daemon;

/// The well-known path; behind it stands that of the resource (RFC 9728, section 3.1).
const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";
/// The resource's own path.
const RESOURCE_PATH: &str = "/mcp";

/// The routes of the metadata, which everyone may read. Without an issuer there are none.
pub fn metadata_routes(daemon: &Arc<Daemon>) -> Router {
    let of_resource = format!("{METADATA_PATH}{RESOURCE_PATH}");
    Router::new()
        .route(METADATA_PATH, get(|daemon, request| answer(daemon, request, "")))
        .route(&of_resource, get(|daemon, request| answer(daemon, request, RESOURCE_PATH)))
        .with_state(Arc::downgrade(daemon))
}

async fn answer(State(daemon): State<Weak<Daemon>>, request: Request<Body>, path: &'static str) -> Response {
    let config = daemon.upgrade().map(|daemon| daemon.config.current());
    let https = config.as_ref().and_then(|config| config.settings.https.as_ref());
    let found = https
        .and_then(|https| Some((https.oidc.as_ref()?, base_url(request.uri(), request.headers(), https)?)));
    let Some((oidc, base)) = found else { return StatusCode::NOT_FOUND.into_response() };
    let metadata = serde_json::json!({
        "resource": format!("{base}{path}"),
        "resource_name": "Portero",
        "authorization_servers": [oidc.issuer],
        "scopes_supported": oidc.scopes(),
        "bearer_methods_supported": ["header"],
    });
    ([(CONTENT_TYPE, "application/json")], metadata.to_string()).into_response()
}

/// The address of the metadata for a request that lacks a token.
pub(super) fn metadata_url(request: &Parts, settings: &HttpsSettings) -> Option<String> {
    let path = if request.uri.path() == RESOURCE_PATH { RESOURCE_PATH } else { "" };
    Some(format!("{}{METADATA_PATH}{path}", base_url(&request.uri, &request.headers, settings)?))
}

/// The endpoint's address as the client knows it. Its host was checked already.
fn base_url(uri: &Uri, headers: &HeaderMap, settings: &HttpsSettings) -> Option<String> {
    let named = uri.authority().cloned();
    let authority: Authority = named.or_else(|| headers.get(HOST)?.to_str().ok()?.parse().ok())?;
    let host = authority.host().trim_matches(['[', ']']);
    let is_local =
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    // Plain HTTP is for loopback only, so another name was reached through a proxy that ends TLS.
    let scheme = if settings.encryption == HttpsEncryption::Plain && is_local { "http" } else { "https" };
    Some(format!("{scheme}://{authority}"))
}

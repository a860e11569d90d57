//! Who Portero is at an authorization server: a client that was registered beforehand, one that is known by its
//! own metadata document, or one that registers itself (MCP 2025-11-25, "Client Registration Approaches").

use jiff::Timestamp;
use portero::config::{OAuthSettings, TokenEndpointAuthMethod};
use portero::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{OAuthError, origin};
use super::http::OAuthHttp;
use super::metadata::Discovered;
use super::serialized::{auth_method, optional_secret};

/// The longest client id that is taken, in bytes.
const MAX_ID_BYTES: usize = 2 << 10;
/// The grant of RFC 8628.
pub(super) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A client at an authorization server.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ClientIdentity {
    pub(super) client_id: String,
    #[serde(with = "optional_secret", default)]
    pub(super) client_secret: Option<Secret>,
    #[serde(with = "auth_method")]
    pub(super) method: TokenEndpointAuthMethod,
    /// What the client registered itself for; none for one that didn't.
    pub(super) registration: Option<Registration>,
}

/// What a client that registered itself is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Registration {
    /// Its redirect URI. Authorization servers compare it with that of each request.
    redirect_uri: Option<String>,
    /// When its secret ends.
    expires_at: Option<Timestamp>,
}

/// The response to a registration (RFC 7591, 3.2.1).
#[derive(Deserialize)]
struct RegistrationAnswer {
    client_id: String,
    client_secret: Option<Secret>,
    client_secret_expires_at: Option<i64>,
    token_endpoint_auth_method: Option<String>,
}

/// A refusal (RFC 6749, 5.2; RFC 7591, 3.2.2).
#[derive(Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) error: String,
}

/// The client for a login with this redirect URI and these scopes. `former` is the client of an earlier login at the same issuer.
///
/// # Errors
/// If the authorization server knows no client and registers none.
pub(super) async fn obtain_identity(
    http: &OAuthHttp,
    settings: &OAuthSettings,
    found: &Discovered,
    (redirect_uri, scopes): (Option<&str>, &[String]),
    former: Option<ClientIdentity>,
    now: Timestamp,
) -> Result<ClientIdentity, OAuthError> {
    if let Some(client_id) = &settings.client_id {
        return Ok(configured_identity(settings, client_id.clone(), found));
    }
    if let Some(document) = &settings.client_metadata_url
        && found.metadata.client_id_metadata_document_supported
    {
        let client_id = document.expose().to_string();
        return Ok(configured_identity(settings, client_id, found));
    }
    let is_fit = |identity: &ClientIdentity| {
        identity.registration.as_ref().is_some_and(|registration| {
            registration.redirect_uri.as_deref() == redirect_uri
                && registration.expires_at.is_none_or(|until| until > now)
        })
    };
    match former.filter(is_fit) {
        Some(former) => Ok(former),
        // Only a login in a browser has a redirect URI, whatever the entry says of the grant.
        None => register(http, redirect_uri, found, scopes).await,
    }
}

/// The client that the configuration names.
pub(super) fn configured_identity(
    settings: &OAuthSettings,
    client_id: String,
    found: &Discovered,
) -> ClientIdentity {
    let has_secret = settings.client_secret.is_some();
    let method = settings.token_endpoint_auth_method.unwrap_or_else(|| {
        let posts = !found.metadata.takes(TokenEndpointAuthMethod::ClientSecretBasic)
            && found.metadata.takes(TokenEndpointAuthMethod::ClientSecretPost);
        match (settings.private_key.is_some(), has_secret, posts) {
            (true, ..) => TokenEndpointAuthMethod::PrivateKeyJwt,
            (false, false, _) => TokenEndpointAuthMethod::None,
            (false, true, true) => TokenEndpointAuthMethod::ClientSecretPost,
            (false, true, false) => TokenEndpointAuthMethod::ClientSecretBasic,
        }
    });
    ClientIdentity { client_id, client_secret: settings.client_secret.clone(), method, registration: None }
}

/// Registers a client (RFC 7591) for a login in a browser, or on another device if there is no redirect URI.
async fn register(
    http: &OAuthHttp,
    redirect_uri: Option<&str>,
    found: &Discovered,
    scopes: &[String],
) -> Result<ClientIdentity, OAuthError> {
    let Some(endpoint) = &found.metadata.registration_endpoint else {
        return Err(OAuthError::Metadata(format!(
            "{} registers no clients by itself; register one there, and write its `clientId` into the entry",
            shown_issuer(found)
        )));
    };
    let endpoint = http.read_url(endpoint, "registration endpoint")?;
    // A program on a person's machine keeps no secret (RFC 8252, 8.5), so it prefers to have none.
    let preferred = [
        TokenEndpointAuthMethod::None,
        TokenEndpointAuthMethod::ClientSecretBasic,
        TokenEndpointAuthMethod::ClientSecretPost,
    ];
    let has_list = found.metadata.token_endpoint_auth_methods_supported.is_some();
    let wanted = preferred.into_iter().find(|method| !has_list || found.metadata.takes(*method));
    let wanted = wanted.unwrap_or(TokenEndpointAuthMethod::None);
    let grant = if redirect_uri.is_some() { "authorization_code" } else { DEVICE_GRANT };
    let mut client = json!({
        "client_name": "Portero",
        "application_type": "native",
        "redirect_uris": redirect_uri.into_iter().collect::<Vec<_>>(),
        "grant_types": [grant, "refresh_token"],
        "response_types": redirect_uri.map(|_| "code").into_iter().collect::<Vec<_>>(),
        "token_endpoint_auth_method": wanted.as_str(),
    });
    if !scopes.is_empty() {
        client["scope"] = json!(scopes.join(" "));
    }
    let answer = http.post_json(&endpoint, client.to_string()).await?;
    let registered = answer.json::<RegistrationAnswer>().filter(|registered| {
        answer.status.is_success()
            && !registered.client_id.is_empty()
            && registered.client_id.len() <= MAX_ID_BYTES
    });
    let registered = registered.ok_or_else(|| {
        let error = answer.json::<ErrorAnswer>();
        OAuthError::refused(&endpoint, error.as_ref().map(|error| &*error.error))
    })?;
    let named = registered.token_endpoint_auth_method.as_deref();
    let named = TokenEndpointAuthMethod::ALL.into_iter().find(|method| Some(method.as_str()) == named);
    let method = match (named, &registered.client_secret) {
        (Some(method), _) => method,
        (None, None) => TokenEndpointAuthMethod::None,
        (None, Some(_)) if wanted != TokenEndpointAuthMethod::None => wanted,
        (None, Some(_)) => TokenEndpointAuthMethod::ClientSecretBasic,
    };
    // Zero means that it never ends.
    let expires_at = registered.client_secret_expires_at.filter(|seconds| *seconds > 0);
    let registration = Registration {
        redirect_uri: redirect_uri.map(str::to_owned),
        expires_at: expires_at.and_then(|seconds| Timestamp::from_second(seconds).ok()),
    };
    Ok(ClientIdentity {
        client_id: registered.client_id,
        client_secret: registered.client_secret,
        method,
        registration: Some(registration),
    })
}

fn shown_issuer(found: &Discovered) -> String {
    found.issuer.parse().map_or_else(|_| "its authorization server".to_owned(), |url| origin(&url))
}

//! Finds who issues a server's tokens: its own metadata (RFC 9728), and those of its authorization server
//! (RFC 8414, OpenID Connect Discovery), with the fall-backs of MCP's revisions 2025-11-25 and 2025-03-26.

use std::time::Duration;

use portero::config::{HttpServer, OAuthSettings, TokenEndpointAuthMethod};
use reqwest::Url;
use serde::Deserialize;

use super::challenge::BearerChallenge;
use super::error::{OAuthError, origin};
use super::http::{Answer, Document, OAuthHttp};

/// How long finding the issuer may take in all.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's own metadata (RFC 9728, 2).
#[derive(Debug, Deserialize)]
struct ResourceMetadata {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    scopes_supported: Option<Vec<String>>,
}

/// The metadata of an authorization server (RFC 8414, 2).
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct IssuerMetadata {
    pub(super) issuer: Option<String>,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) registration_endpoint: Option<String>,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) device_authorization_endpoint: Option<String>,
    pub(super) scopes_supported: Option<Vec<String>>,
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub(super) code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(super) client_id_metadata_document_supported: bool,
}

impl IssuerMetadata {
    /// Whether clients may show by this method who they are. Without a list it is HTTP Basic (RFC 8414, 2).
    pub(super) fn takes(&self, method: TokenEndpointAuthMethod) -> bool {
        match &self.token_endpoint_auth_methods_supported {
            Some(methods) => methods.iter().any(|known| known == method.as_str()),
            None => method == TokenEndpointAuthMethod::ClientSecretBasic,
        }
    }
}

/// What was found out about the login at a server.
#[derive(Debug, Clone)]
pub(super) struct Discovered {
    /// What tokens are asked for (RFC 8707): the server's identifier.
    pub(super) resource: String,
    /// The scopes that the server names in its metadata.
    pub(super) resource_scopes: Vec<String>,
    /// Who issues the tokens.
    pub(super) issuer: String,
    pub(super) metadata: IssuerMetadata,
    /// Whether the metadata are assumed, because the authorization server has none.
    pub(super) is_assumed: bool,
}

/// Finds out who issues the tokens of a server.
///
/// # Errors
/// If no metadata are found that belong to this server, they lead where they must not, or they don't come in time.
pub(super) async fn discover(
    http: &OAuthHttp,
    server: &HttpServer,
    settings: &OAuthSettings,
    challenge: Option<&BearerChallenge>,
) -> Result<Discovered, OAuthError> {
    let found = tokio::time::timeout(DISCOVERY_TIMEOUT, find_issuer(http, server, settings, challenge)).await;
    found.unwrap_or_else(|_| {
        let asked = origin(server.url.expose());
        Err(OAuthError::Unavailable(format!(
            "the metadata of {asked} and its issuer did not come within {} s",
            DISCOVERY_TIMEOUT.as_secs()
        )))
    })
}

async fn find_issuer(
    http: &OAuthHttp,
    server: &HttpServer,
    settings: &OAuthSettings,
    challenge: Option<&BearerChallenge>,
) -> Result<Discovered, OAuthError> {
    let url = server.url.expose();
    let own = find_resource_metadata(http, url, challenge).await?;
    let (resource, resource_scopes) = match &own {
        Some(own) => (own.resource.clone(), own.scopes_supported.clone().unwrap_or_default()),
        None => (own_identifier(url), Vec::new()),
    };
    let found = |issuer: String, metadata, is_assumed| Discovered {
        resource: resource.clone(),
        resource_scopes: resource_scopes.clone(),
        issuer,
        metadata,
        is_assumed,
    };
    if let Some(named) = &settings.metadata_url {
        // A person chose this document, so its issuer need not follow from its address.
        let mut fault = None;
        let metadata = fetch_issuer_metadata(http, named.expose(), &mut fault).await?;
        let metadata = metadata.ok_or_else(|| {
            let none =
                || OAuthError::Metadata(format!("there is no metadata document at {}", named.origin()));
            fault.unwrap_or_else(none)
        })?;
        let issuer = metadata.issuer.clone().unwrap_or_else(|| named.origin());
        return Ok(found(issuer, metadata, false));
    }
    let Some(own) = own else {
        // Revision 2025-03-26: the server's own origin issues its tokens, if need be at default addresses.
        let issuer = origin(url);
        // Its document may name an issuer below that origin.
        let is_own = |named: &str| Url::parse(named).is_ok_and(|named| named.origin() == url.origin());
        let metadata = find_issuer_metadata(http, &issuer, is_own).await?;
        let is_assumed = metadata.is_none();
        return Ok(found(issuer.clone(), metadata.unwrap_or_else(|| assumed_metadata(&issuer)), is_assumed));
    };
    let Some(issuer) = own.authorization_servers.into_iter().next() else {
        let why = format!("{} names no authorization server", origin(url));
        return Err(OAuthError::Metadata(why));
    };
    let metadata = find_issuer_metadata(http, &issuer, |named| is_same_issuer(named, &issuer)).await?;
    let missing =
        || OAuthError::Metadata(format!("the authorization server of {} has no metadata", origin(url)));
    Ok(found(issuer, metadata.ok_or_else(missing)?, false))
}

/// The identifier of a server that has no metadata (MCP 2025-11-25, "Canonical Server URI"). The query stays
/// away, because it may hold a key.
fn own_identifier(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    match url.path() {
        "/" => origin(&url),
        _ => url.to_string(),
    }
}

async fn find_resource_metadata(
    http: &OAuthHttp,
    url: &Url,
    challenge: Option<&BearerChallenge>,
) -> Result<Option<ResourceMetadata>, OAuthError> {
    let named = challenge.and_then(|challenge| challenge.resource_metadata.clone());
    let well_known = well_known_addresses(url, "oauth-protected-resource");
    let mut fault = None;
    for address in named.into_iter().chain(well_known) {
        let Some(answer) = note_fault(http.get(&address).await?, &mut fault) else { continue };
        let Some(metadata) = answer.json::<ResourceMetadata>().filter(|_| answer.status.is_success()) else {
            continue;
        };
        if !names_resource(&metadata.resource, url) {
            let why = format!("the metadata of {} are those of another server", origin(url));
            return Err(OAuthError::Metadata(why));
        }
        return Ok(Some(metadata));
    }
    // A server that has metadata, but not just now, has another issuer than one without.
    match fault.filter(OAuthError::is_transient) {
        Some(fault) => Err(fault),
        None => Ok(None),
    }
}

/// The answer. A host that has another page or a fault at one address may still have the metadata at the next one, so
/// only the first such fault is kept.
fn note_fault(document: Document, first: &mut Option<OAuthError>) -> Option<Answer> {
    match document {
        Document::Answered(answer) => Some(answer),
        Document::Unusable(fault) => {
            first.get_or_insert(fault);
            None
        }
    }
}

/// The addresses of metadata below an origin: with the path of what they describe, then without (RFC 9728, 3.1).
fn well_known_addresses(url: &Url, name: &str) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    let paths = [format!("/.well-known/{name}{path}"), format!("/.well-known/{name}")];
    let mut addresses: Vec<Url> = paths.iter().map(|path| at_path(url, path)).collect();
    addresses.dedup();
    addresses
}

fn at_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_path(path);
    url
}

/// Whether a resource identifier means the server at this URL (RFC 9728, 3.3). One that covers more of the same
/// origin is taken, as MCP's own SDKs do, because servers without a path in their metadata are common.
pub(super) fn names_resource(resource: &str, url: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let (whole, part) = (resource.path().trim_end_matches('/'), url.path());
    let is_below = part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    resource.origin() == url.origin() && is_below
}

/// The metadata of an issuer, by the addresses in the order of MCP 2025-11-25; none if there are none. `is_right` says
/// whether the issuer that they name is the one.
async fn find_issuer_metadata(
    http: &OAuthHttp,
    issuer: &str,
    is_right: impl Fn(&str) -> bool,
) -> Result<Option<IssuerMetadata>, OAuthError> {
    let url = http.read_url(issuer, "issuer")?;
    let path = url.path().trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    let mut fault = None;
    for path in paths {
        let found = fetch_issuer_metadata(http, &at_path(&url, &path), &mut fault).await?;
        let Some(metadata) = found else { continue };
        // Another issuer's document would send codes and tokens to the wrong place (RFC 8414, 3.3).
        if !metadata.issuer.as_deref().is_some_and(&is_right) {
            let why = format!("the metadata at {} are those of another issuer", origin(&url));
            return Err(OAuthError::Metadata(why));
        }
        return Ok(Some(metadata));
    }
    fault.map_or(Ok(None), Err)
}

async fn fetch_issuer_metadata(
    http: &OAuthHttp,
    at: &Url,
    fault: &mut Option<OAuthError>,
) -> Result<Option<IssuerMetadata>, OAuthError> {
    let Some(answer) = note_fault(http.get(at).await?, fault) else { return Ok(None) };
    let metadata = answer.json::<IssuerMetadata>().filter(|_| answer.status.is_success());
    Ok(metadata.filter(|metadata| metadata.token_endpoint.is_some()))
}

/// Issuers are compared as texts. Only the slash of an empty path makes no difference.
fn is_same_issuer(one: &str, other: &str) -> bool {
    let bare = |issuer: &str| {
        let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
        let is_root = rest.strip_suffix('/').is_some_and(|host| !host.contains('/'));
        issuer[..issuer.len() - usize::from(is_root)].to_owned()
    };
    bare(one) == bare(other)
}

/// The default addresses of revision 2025-03-26, "Fallbacks for Servers without Metadata Discovery".
fn assumed_metadata(issuer: &str) -> IssuerMetadata {
    let at = |path: &str| Some(format!("{issuer}{path}"));
    IssuerMetadata {
        issuer: Some(issuer.to_owned()),
        authorization_endpoint: at("/authorize"),
        token_endpoint: at("/token"),
        registration_endpoint: at("/register"),
        ..IssuerMetadata::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn a_resource_names_the_servers_below_it() {
        let server = url("https://mcp.example.com/a/mcp?key=1");
        for own in ["https://mcp.example.com/a/mcp", "https://mcp.example.com/a/", "https://MCP.example.com"]
        {
            assert!(names_resource(own, &server), "{own}");
        }
        for other in [
            "https://mcp.example.com/a/mc",
            "https://mcp.example.com/a/mcp/x",
            "https://mcp.example.com:8443/a/mcp",
            "http://mcp.example.com/a/mcp",
            "https://evil.example.com/a/mcp",
            "mcp.example.com",
        ] {
            assert!(!names_resource(other, &server), "{other}");
        }
    }

    #[test]
    fn issuers_differ_by_more_than_a_slash() {
        assert!(is_same_issuer("https://a.example", "https://a.example/"));
        assert!(!is_same_issuer("https://a.example/t", "https://a.example/t/"));
        assert!(!is_same_issuer("https://a.example", "https://a.example.evil.io"));
        assert!(!is_same_issuer("https://a.example", "http://a.example"));
    }

    #[test]
    fn the_identifier_of_a_server_holds_no_key() {
        assert_eq!(own_identifier(&url("https://A.example/mcp?key=1")), "https://a.example/mcp");
        assert_eq!(own_identifier(&url("https://a.example/")), "https://a.example");
    }

    #[test]
    fn metadata_are_below_the_path_first() {
        let addresses = well_known_addresses(&url("https://a.example/x/mcp?k=1"), "n");
        let addresses: Vec<&str> = addresses.iter().map(Url::as_str).collect();
        assert_eq!(addresses, ["https://a.example/.well-known/n/x/mcp", "https://a.example/.well-known/n"]);
        assert_eq!(well_known_addresses(&url("https://a.example"), "n").len(), 1);
    }
}

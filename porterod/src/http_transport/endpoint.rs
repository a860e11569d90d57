//! One server's address with its credentials, and the client that sends requests there.

use std::time::Duration;

use portero::config::{ClientCertificate, CredentialLocation, HttpServer, ServerAuth};
use portero::secret::Secret;
use portero::server::HttpFault;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, RequestBuilder, Response, StatusCode, Url, redirect};

use super::body_credential::with_meta_member;
use super::client_fault;
use super::login::ServerLogin;
use crate::http_client::{ProxySettings, read_pem, trust_authorities, unusable};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many redirects within the origin are followed.
const MAX_REDIRECTS: usize = 5;

/// A server's address.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    headers: HeaderMap,
    /// A credential that the configuration gives for elsewhere than a header.
    credential: Option<PlacedCredential>,
    /// The login that gives each request its token.
    login: Option<ServerLogin>,
    /// Whether it is sent a credential of its own.
    pub(super) has_credential: bool,
    /// Whether the older transport is spoken from the start.
    pub(super) is_sse: bool,
    pub(super) max_concurrent: usize,
}

/// A credential outside of the headers.
#[derive(Debug, Clone)]
enum PlacedCredential {
    Query { name: String, value: Secret },
    Body { name: String, value: Secret },
}

impl Endpoint {
    /// The endpoint of a server.
    ///
    /// # Errors
    /// In words, if its authorities or certificate can't be used or the proxy is no address.
    pub(super) async fn new(
        server: &HttpServer,
        proxy: &ProxySettings,
        login: Option<ServerLogin>,
    ) -> Result<Self, String> {
        let HttpServer { url, is_sse, headers, auth, max_concurrent, ca_file, client_certificate } = server;
        let mut client = Client::builder()
            .redirect(redirect::Policy::custom(follow_within_origin))
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("portero/", env!("CARGO_PKG_VERSION")));
        client = proxy.apply(client)?;
        if let Some(file) = ca_file {
            client = trust_authorities(client, file).await?;
        }
        if let Some(certificate) = client_certificate {
            client = client.identity(read_identity(certificate).await?);
        }
        let client = client.build().map_err(|_| "the HTTP client could not be made".to_owned())?;
        let mut given = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            insert_header(&mut given, name, value)?;
        }
        let mut credential = None;
        match auth {
            // The token of a login is added to each request, because it changes.
            ServerAuth::None | ServerAuth::OAuth(_) => {}
            ServerAuth::Static(auth) => {
                let (name, value) = (auth.name.clone(), auth.value());
                match auth.location {
                    CredentialLocation::Header => insert_header(&mut given, &name, &value)?,
                    CredentialLocation::Query => credential = Some(PlacedCredential::Query { name, value }),
                    CredentialLocation::Body => credential = Some(PlacedCredential::Body { name, value }),
                }
            }
        }
        let max_concurrent = usize::from(*max_concurrent);
        let has_credential = given.contains_key(AUTHORIZATION) || matches!(auth, ServerAuth::Static(_));
        let mut endpoint = Self {
            client,
            url: url.expose().clone(),
            headers: given,
            credential,
            login,
            has_credential,
            is_sse: *is_sse,
            max_concurrent,
        };
        endpoint.add_query_credential();
        Ok(endpoint)
    }

    /// The same server at another address of its origin; none for another origin, which gets no headers.
    pub(super) fn at(&self, address: &str) -> Option<Self> {
        let url = self.url.join(address).ok()?;
        (url.origin() == self.url.origin()).then(|| {
            let mut endpoint = Self { url, ..self.clone() };
            endpoint.add_query_credential();
            endpoint
        })
    }

    /// Puts a credential of the query into the address, in place of what the server may have named there.
    fn add_query_credential(&mut self) {
        let Some(PlacedCredential::Query { name, value }) = &self.credential else { return };
        let others: Vec<(String, String)> = self
            .url
            .query_pairs()
            .filter(|(other, _)| other != name)
            .map(|(a, b)| (a.into(), b.into()))
            .collect();
        self.url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value.expose());
    }

    /// A POST of one message.
    pub(super) fn post(&self, body: Vec<u8>) -> RequestBuilder {
        let body = match &self.credential {
            Some(PlacedCredential::Body { name, value }) => {
                with_meta_member(&body, name, value.expose()).unwrap_or(body)
            }
            Some(PlacedCredential::Query { .. }) | None => body,
        };
        self.request(Method::POST)
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }

    /// A GET of a stream.
    pub(super) fn get_stream(&self) -> RequestBuilder {
        self.request(Method::GET).header(ACCEPT, "text/event-stream")
    }

    /// Sends a request to it, with the token of its login. A request that the server refuses for its token,
    /// before it begins it, is sent once more with another token if there is one.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, HttpFault> {
        match &self.login {
            Some(login) => login.send(request).await,
            None => request.send().await.map_err(|error| client_fault::from_client(&error)),
        }
    }

    /// A request to it, with its headers.
    pub(super) fn request(&self, method: Method) -> RequestBuilder {
        self.client.request(method, self.url.clone()).headers(self.headers.clone())
    }
}

fn insert_header(headers: &mut HeaderMap, name: &str, value: &Secret) -> Result<(), String> {
    let name: HeaderName = name.parse().map_err(|_| format!("`{name}` cannot name a header"))?;
    let mut value = HeaderValue::from_str(value.expose().trim())
        .map_err(|_| format!("the value of the header `{name}` cannot be sent"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Reads the client's certificate and key at each new connection to the server, so that renewed ones are used.
async fn read_identity(certificate: &ClientCertificate) -> Result<Identity, String> {
    let ClientCertificate { cert_file, key_file } = certificate;
    let mut pem = read_pem("certFile", cert_file).await?;
    if Certificate::from_pem_bundle(&pem).unwrap_or_default().is_empty() {
        return Err(unusable("certFile", &"it holds no certificates in PEM"));
    }
    let key = read_pem("keyFile", key_file).await?;
    pem.push(b'\n');
    pem.extend_from_slice(&key);
    Identity::from_pem(&pem)
        .map_err(|_| unusable("keyFile", &"it holds no private key in PEM, or one with a passphrase"))
}

/// Follows a redirect that keeps method and body, within the origin. Headers may hold credentials, which must
/// not reach another one.
fn follow_within_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let keeps_method =
        matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let first = attempt.previous().first();
    let is_within = first.is_some_and(|first| first.origin() == attempt.url().origin());
    if keeps_method && is_within && attempt.previous().len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

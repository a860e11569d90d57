//! Requests to authorization servers and to metadata: bounded in time and size, and within reach only.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use portero::config::{HttpServer, OAuthSettings};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::{OAuthError, origin};
use super::reach::{HostLookup, OutOfReach, Reach, ReachingResolver};
use crate::http_client::{ProxySettings, trust_authorities};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take, with its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer, in bytes. Metadata have some kilobytes, and tokens less.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// The longest URL that is taken from a server, in bytes.
const MAX_URL_BYTES: usize = 2 << 10;
/// How many redirects within the origin are followed to a document.
const MAX_REDIRECTS: usize = 3;

/// Asks what belongs to the login at one server.
pub(super) struct OAuthHttp {
    /// For the origins that the configuration names.
    named: reqwest::Client,
    /// For what a server names.
    others: reqwest::Client,
    reach: Reach,
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

/// What came of asking for a document.
pub(super) enum Document {
    /// An answer, of any status below 500.
    Answered(Answer),
    /// The host answered, but with nothing that could be a document: too much, a fault of its own, or a redirect to
    /// another host.
    Unusable(OAuthError),
}

impl Answer {
    /// The answer as JSON; none if it isn't of this shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl OAuthHttp {
    /// A client for the login at this server.
    ///
    /// # Errors
    /// If the server's `caFile` or the proxy can't be used.
    pub(super) async fn new(
        server: &HttpServer,
        settings: &OAuthSettings,
        proxy: &ProxySettings,
        lookup: &Arc<dyn HostLookup>,
    ) -> Result<Self, OAuthError> {
        let named = settings.metadata_url.iter().map(portero::config::url::HttpUrl::expose);
        let mut reach = Reach::new(server.url.expose(), named);
        let proxy_url = proxy.https.as_ref().and_then(|proxy| Url::parse(proxy.expose()).ok());
        // The resolver is asked for the proxy's name too.
        if let Some(host) = proxy_url.as_ref().and_then(Url::host_str) {
            reach.set_proxy(host);
        }
        let named = Self::client(server, proxy, None, lookup).await?;
        let others = Self::client(server, proxy, Some(reach.clone()), lookup).await?;
        Ok(Self { named, others, reach })
    }

    async fn client(
        server: &HttpServer,
        proxy: &ProxySettings,
        reach: Option<Reach>,
        lookup: &Arc<dyn HostLookup>,
    ) -> Result<reqwest::Client, OAuthError> {
        let resolver = ReachingResolver { reach, lookup: Arc::clone(lookup) };
        let mut client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .dns_resolver(Arc::new(resolver))
            .user_agent(concat!("portero/", env!("CARGO_PKG_VERSION")));
        client = proxy.apply(client).map_err(OAuthError::Configuration)?;
        if let Some(file) = &server.ca_file {
            client = trust_authorities(client, file).await.map_err(OAuthError::Configuration)?;
        }
        let broken = |_| OAuthError::Configuration("the HTTP client could not be made".into());
        client.build().map_err(broken)
    }

    /// Reads a URL that a server named.
    ///
    /// # Errors
    /// If it is none, or leads where this server must not send anyone.
    pub(super) fn read_url(&self, text: &str, what: &str) -> Result<Url, OAuthError> {
        let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL_BYTES);
        let url = url.ok_or_else(|| OAuthError::Metadata(format!("its {what} is no URL")))?;
        self.check(&url)?;
        Ok(url)
    }

    fn check(&self, url: &Url) -> Result<(), OAuthError> {
        let out_of_reach = |why| OAuthError::Metadata(format!("{} {why}, so it is not asked", origin(url)));
        self.reach.check(url).map_err(out_of_reach)
    }

    /// Fetches a document. Redirects are followed within its origin.
    ///
    /// # Errors
    /// If its host can't be reached, or must not be.
    pub(super) async fn get(&self, url: &Url) -> Result<Document, OAuthError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(Method::GET, url.clone());
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
            let response = self.send(request).await?;
            let target = response.headers().get(reqwest::header::LOCATION).filter(|_| {
                let status = response.status();
                status.is_redirection() && status != StatusCode::NOT_MODIFIED
            });
            let Some(target) = target.and_then(|target| url.join(target.to_str().ok()?).ok()) else {
                return Ok(read_answer(response).await.map_or_else(Document::Unusable, Document::Answered));
            };
            if target.origin() != url.origin() {
                let why = format!("{} sends us to another host, which is not followed", origin(&url));
                return Ok(Document::Unusable(OAuthError::Metadata(why)));
            }
            url = target;
        }
        Ok(Document::Unusable(OAuthError::Metadata(format!("{} redirects too often", origin(&url)))))
    }

    /// Posts a form. No redirect is followed, because the form holds credentials.
    ///
    /// # Errors
    /// If it can't be reached or must not be, or its answer is too long.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        authorization: Option<&str>,
    ) -> Result<Answer, OAuthError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.post(url, body, "application/x-www-form-urlencoded", authorization)?;
        read_answer(self.send(request).await?).await
    }

    /// Posts JSON. No redirect is followed.
    ///
    /// # Errors
    /// If it can't be reached or must not be, or its answer is too long.
    pub(super) async fn post_json(&self, url: &Url, json: String) -> Result<Answer, OAuthError> {
        let request = self.post(url, json, "application/json", None)?;
        read_answer(self.send(request).await?).await
    }

    fn post(
        &self,
        url: &Url,
        body: String,
        content: &'static str,
        authorization: Option<&str>,
    ) -> Result<Request, OAuthError> {
        let mut request = Request::new(Method::POST, url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(authorization);
            let mut value =
                value.map_err(|_| OAuthError::Configuration("its client id cannot be sent".into()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    async fn send(&self, request: Request) -> Result<Response, OAuthError> {
        self.check(request.url())?;
        let asked = origin(request.url());
        let client = if self.reach.is_named(request.url()) { &self.named } else { &self.others };
        client.execute(request).await.map_err(|error| describe(&error, &asked))
    }
}

/// The client's own errors hold the whole URL, so they are classified and dropped here.
fn describe(error: &reqwest::Error, asked: &str) -> OAuthError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(out_of_reach) = cause.downcast_ref::<OutOfReach>() {
            return OAuthError::Metadata(format!("{asked} is not asked: {out_of_reach}"));
        }
        source = cause.source();
    }
    let why = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "does not answer in time",
        (false, true) => "can't be connected to",
        (false, false) => "broke the connection",
    };
    OAuthError::Unavailable(format!("{asked} {why}"))
}

async fn read_answer(mut response: Response) -> Result<Answer, OAuthError> {
    let asked = origin(response.url());
    let (status, mut body) = (response.status(), Zeroizing::new(Vec::new()));
    while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error, &asked))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            let why = format!("{asked} answers with more than {} KiB", MAX_ANSWER_BYTES >> 10);
            return Err(OAuthError::Metadata(why));
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(OAuthError::Unavailable(format!("{asked} answers with status {}", status.as_u16())));
    }
    Ok(Answer { status, body })
}

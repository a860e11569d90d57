//! Requests with the token of a login, and what a refusal of it means.

use std::sync::Arc;

use portero::secret::Secret;
use portero::server::HttpFault;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};

use super::client_fault;
use crate::oauth::{BearerChallenge, OAuth, OAuthError, OAuthServer};

/// The login at one server.
#[derive(Debug, Clone)]
pub(super) struct ServerLogin {
    oauth: Arc<OAuth>,
    server: OAuthServer,
}

impl ServerLogin {
    pub(super) const fn new(oauth: Arc<OAuth>, server: OAuthServer) -> Self {
        Self { oauth, server }
    }

    /// Sends a request. After a refusal of the token it is sent once more, if another token is to be had. Such a
    /// refusal (401, or 403 with `insufficient_scope`) means that the server didn't begin the request.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, HttpFault> {
        let again = request.try_clone();
        let (response, used) = self.send_with_token(request).await?;
        let Some(refusal) = Refusal::read(&response) else { return Ok(response) };
        self.take_refusal(used.as_ref(), refusal).await?;
        let Some(again) = again else { return Ok(response) };
        let (response, used) = self.send_with_token(again).await?;
        let Some(refusal) = Refusal::read(&response) else { return Ok(response) };
        self.take_refusal(used.as_ref(), refusal).await?;
        Err(HttpFault::NotReached("its token changed meanwhile; call again".to_owned()))
    }

    async fn send_with_token(
        &self,
        mut request: RequestBuilder,
    ) -> Result<(Response, Option<Secret>), HttpFault> {
        let token = self.oauth.access_token(&self.server).await.map_err(into_fault)?;
        if let Some(token) = &token {
            let header = Secret::new(format!("Bearer {}", token.expose()));
            let header = HeaderValue::from_str(header.expose());
            let mut header =
                header.map_err(|_| HttpFault::LoginNeeded("its token cannot be sent".to_owned()))?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        let response = request.send().await.map_err(|error| client_fault::from_client(&error))?;
        Ok((response, token))
    }

    async fn take_refusal(&self, used: Option<&Secret>, refusal: Refusal) -> Result<(), HttpFault> {
        let Refusal { status, challenge } = refusal;
        self.oauth.take_refusal(&self.server, used, status, challenge).await.map_err(into_fault)
    }
}

/// A response that refuses the token, or the lack of one.
struct Refusal {
    status: StatusCode,
    challenge: Option<BearerChallenge>,
}

impl Refusal {
    fn read(response: &Response) -> Option<Self> {
        let status = response.status();
        let challenge = BearerChallenge::read(response.headers());
        let lacks_scope = challenge.as_ref().is_some_and(BearerChallenge::lacks_scope);
        let is_refusal =
            status == StatusCode::UNAUTHORIZED || (status == StatusCode::FORBIDDEN && lacks_scope);
        is_refusal.then_some(Self { status, challenge })
    }
}

/// The server took nothing, so a call did not run.
fn into_fault(error: OAuthError) -> HttpFault {
    let words = error.to_string();
    match error {
        OAuthError::Unavailable(_) | OAuthError::Storage(_) => HttpFault::NotReached(words),
        OAuthError::LoginNeeded(_)
        | OAuthError::Metadata(_)
        | OAuthError::Refused { .. }
        | OAuthError::Configuration(_)
        | OAuthError::UnknownLogin
        | OAuthError::OtherIssuer => HttpFault::LoginNeeded(words),
    }
}

//! Requests to token endpoints (RFC 6749, 3.2), and the client's own authentication there.

use std::time::Duration;

use data_encoding::BASE64;
use jiff::Timestamp;
use portero::config::{ClientPrivateKey, TokenEndpointAuthMethod};
use portero::secret::Secret;
use serde::Deserialize;

use super::OAuthServer;
use super::assertion::{ASSERTION_TYPE, sign_assertion};
use super::error::{OAuthError, origin};
use super::http::{Answer, OAuthHttp};
use super::identity::{ClientIdentity, ErrorAnswer};
use super::metadata::Discovered;

/// The longest token, in bytes. Servers rarely take longer headers.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// How long before its end a token is renewed; a quarter of its lifetime at most.
const RENEWAL_MARGIN: Duration = Duration::from_secs(60);
/// The longest lifetime that is believed.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What a token endpoint gave.
pub(super) struct Tokens {
    pub(super) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(super) expires_at: Option<Timestamp>,
    /// When the access token is to be renewed, ahead of its end.
    pub(super) renew_at: Option<Timestamp>,
}

/// The success of RFC 6749, 5.1.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    token_type: String,
    /// A number of seconds.
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<Secret>,
}

/// A token endpoint, and who asks there.
pub(super) struct TokenClient<'a> {
    http: &'a OAuthHttp,
    endpoint: &'a str,
    issuer: &'a str,
    identity: &'a ClientIdentity,
    key: Option<&'a ClientPrivateKey>,
}

impl<'a> TokenClient<'a> {
    /// The client of a login that isn't kept yet.
    pub(super) fn new(
        http: &'a OAuthHttp,
        server: &'a OAuthServer,
        found: &'a Discovered,
        identity: &'a ClientIdentity,
    ) -> Self {
        Self {
            http,
            endpoint: found.metadata.token_endpoint.as_deref().unwrap_or_default(),
            issuer: found.metadata.issuer.as_deref().unwrap_or(&found.issuer),
            identity,
            key: server.settings.private_key.as_ref(),
        }
    }

    /// The client of a login that is kept, at its endpoint and issuer.
    pub(super) fn at(
        http: &'a OAuthHttp,
        server: &'a OAuthServer,
        (endpoint, issuer): (&'a str, &'a str),
        identity: &'a ClientIdentity,
    ) -> Self {
        Self { http, endpoint, issuer, identity, key: server.settings.private_key.as_ref() }
    }

    /// Requests tokens with these parameters of the grant.
    ///
    /// # Errors
    /// [`OAuthError::Refused`] with the endpoint's error code, or that it can't be reached.
    pub(super) async fn request_tokens(
        &self,
        grant: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Tokens, OAuthError> {
        let endpoint = self.http.read_url(self.endpoint, "token endpoint")?;
        let answer = self.post(&endpoint, grant, now).await?;
        if let Some(tokens) = answer.json::<TokenAnswer>().filter(|_| answer.status.is_success()) {
            return read_tokens(tokens, now)
                .map_err(|why| OAuthError::Metadata(format!("{} {why}", origin(&endpoint))));
        }
        // Some servers refuse with a status of success.
        let error = answer.json::<ErrorAnswer>();
        Err(OAuthError::refused(&endpoint, error.as_ref().map(|error| &*error.error)))
    }

    /// Posts a form to an endpoint at which the client authenticates.
    pub(super) async fn post(
        &self,
        endpoint: &reqwest::Url,
        parameters: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Answer, OAuthError> {
        let ClientIdentity { client_id, client_secret, method, .. } = self.identity;
        let mut form = parameters.to_vec();
        let secret = || {
            let missing = || OAuthError::Configuration("its client has no secret".to_owned());
            client_secret.as_ref().map(Secret::expose).ok_or_else(missing)
        };
        let (assertion, basic);
        let mut authorization = None;
        match method {
            TokenEndpointAuthMethod::None => form.push(("client_id", client_id)),
            TokenEndpointAuthMethod::ClientSecretPost => {
                form.extend([("client_id", &**client_id), ("client_secret", secret()?)]);
            }
            TokenEndpointAuthMethod::ClientSecretBasic => {
                basic = basic_authorization(client_id, secret()?);
                authorization = Some(basic.expose());
            }
            TokenEndpointAuthMethod::PrivateKeyJwt => {
                let missing = || OAuthError::Configuration("its client has no private key".to_owned());
                let key = self.key.ok_or_else(missing)?;
                assertion = sign_assertion(key, client_id, self.issuer, now.as_second()).await?;
                form.extend([
                    ("client_id", &**client_id),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", assertion.expose()),
                ]);
            }
        }
        self.http.post_form(endpoint, &form, authorization).await
    }
}

/// Id and secret are encoded before they are joined (RFC 6749, 2.3.1).
fn basic_authorization(client_id: &str, secret: &str) -> Secret {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!("{}:{}", encode(client_id), encode(secret)));
    Secret::new(format!("Basic {}", BASE64.encode(pair.expose().as_bytes())))
}

fn read_tokens(answer: TokenAnswer, now: Timestamp) -> Result<Tokens, &'static str> {
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err("gives tokens of a kind that Portero doesn't know");
    }
    let is_usable = |token: &Secret| {
        let token = token.expose();
        !token.is_empty()
            && token.len() <= MAX_TOKEN_BYTES
            && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_usable(&answer.access_token) {
        return Err("gives a token that can't be sent");
    }
    let refresh_token = answer.refresh_token.filter(|token| !token.expose().is_empty());
    // Some issuers write it as a text, some with a fraction.
    let seconds = answer.expires_in.and_then(|value| match value {
        serde_json::Value::String(text) => text.trim().parse::<f64>().ok(),
        value => value.as_f64(),
    });
    let lifetime = seconds
        .filter(|seconds| *seconds >= 0.0)
        .map(|seconds| Duration::from_secs_f64(seconds.floor().min(MAX_LIFETIME.as_secs_f64())));
    Ok(Tokens {
        access_token: answer.access_token,
        refresh_token,
        expires_at: lifetime.and_then(|lifetime| now.checked_add(lifetime).ok()),
        renew_at: lifetime
            .and_then(|lifetime| now.checked_add(lifetime - RENEWAL_MARGIN.min(lifetime / 4)).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token that is taken.
    const TOKEN: &str = "SlxlOBeZQQYbYS6WxSbIA";

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let header = basic_authorization("a:b", "p ä%");
        let encoded = header.expose().strip_prefix("Basic ").expect("Basic");
        assert_eq!(BASE64.decode(encoded.as_bytes()).expect("base64"), b"a%3Ab:p+%C3%A4%25");
    }

    #[test]
    fn a_lifetime_may_be_a_text_and_is_bounded() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let expires_in = |json: &str| {
            let answer = format!(r#"{{"access_token":"{TOKEN}","token_type":"bearer","expires_in":{json}}}"#);
            let tokens = read_tokens(serde_json::from_str(&answer).expect("an answer"), now).expect("tokens");
            tokens.expires_at.map(|until| until.as_second() - now.as_second())
        };
        assert_eq!(expires_in("3600"), Some(3600));
        assert_eq!(expires_in("\"3600\""), Some(3600));
        assert_eq!(expires_in("null"), None);
        assert_eq!(expires_in("3600.0"), Some(3600));
        assert_eq!(expires_in("\"3599.9\""), Some(3599));
        assert_eq!(expires_in("0"), Some(0));
        assert_eq!(expires_in("-1"), None);
        assert_eq!(expires_in("\"soon\""), None);
        assert_eq!(expires_in("\"NaN\""), None);
        assert_eq!(expires_in("\"inf\""), Some(315_360_000));
        assert_eq!(expires_in("18446744073709551615"), Some(315_360_000));
    }

    #[test]
    fn a_token_that_would_break_the_header_is_refused() {
        let now = Timestamp::from_second(0).expect("a time");
        for (token, kind) in [
            (format!("{TOKEN}\\r\\nb: c"), "Bearer"),
            (String::new(), "Bearer"),
            (format!("{TOKEN} {TOKEN}"), "Bearer"),
            (TOKEN.to_owned(), "DPoP"),
        ] {
            let answer = format!(r#"{{"access_token":"{token}","token_type":"{kind}"}}"#);
            assert!(read_tokens(serde_json::from_str(&answer).expect("JSON"), now).is_err(), "{token}");
        }
    }
}

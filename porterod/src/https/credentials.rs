//! Who asks, by the credential of a request: an access token, the token of `.env`, a token of the configured issuer, or
//! a client certificate.
//!
//! A header `Authorization` counts alone: one that is wrong is refused even where a certificate would do.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use constant_time_eq::constant_time_eq_32;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use portero::access::AccessScope;
use portero::config::{HttpsSettings, OidcSettings};

use super::client_certificates::find_principal;
use super::configured_credentials::{ConfiguredCredential, CredentialsInUse};
use super::metadata::metadata_url;
use super::principal::{Authenticator, Challenge, ClientCertificate, RemotePrincipal};
use crate::access_tokens::TOKEN_PREFIX;
use crate::daemon::Daemon;
use crate::oidc::{OidcRefusal, OidcVerifier, looks_like_jwt};
use crate::remote_sessions::Validity;

/// The name of the principal that has the token of `.env`.
const ENV_TOKEN_PRINCIPAL: &str = "bearer";

/// Checks credentials by the configuration in force, so one that was taken away is void at once.
pub struct Credentials {
    /// Weak, because a connection may outlive the daemon's last step by a moment.
    daemon: Weak<Daemon>,
    /// The verifier of the issuer that was configured last; its keys are kept while the settings stay the same.
    oidc: ArcSwapOption<OidcVerifier>,
    in_use: CredentialsInUse,
}

/// What a credential proves.
struct Proof {
    name: String,
    scope: AccessScope,
    validity: Validity,
}

/// Why it proves nothing.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// There is none.
    Missing,
    /// It isn't valid.
    Invalid,
    /// The client's certificate is past its end.
    Expired,
    /// It is valid and permits nothing.
    NoAccess,
    /// It can't be checked now.
    Unavailable,
}

impl Credentials {
    /// Checks by this daemon's tokens and configuration.
    #[must_use]
    pub fn new(daemon: &Arc<Daemon>) -> Self {
        Self {
            daemon: Arc::downgrade(daemon),
            oidc: ArcSwapOption::empty(),
            in_use: CredentialsInUse::default(),
        }
    }

    /// Ends what was begun with credentials that an edit takes away, until the daemon ends.
    pub async fn follow_config(self: Arc<Self>, daemon: Arc<Daemon>) {
        let mut configs = daemon.config.subscribe();
        let stop = daemon.lifecycle.stop_signal();
        while let Some(Ok(())) = stop.run_until_cancelled(configs.changed()).await {
            self.in_use.revoke_removed(|| daemon.config.current());
        }
    }

    /// How long a credential of the configuration counts.
    fn validity(
        &self,
        daemon: &Daemon,
        credential: ConfiguredCredential,
        expires: Option<Timestamp>,
    ) -> Result<Validity, Refusal> {
        let revoked = self.in_use.revocation_of(credential, || daemon.config.current());
        Ok(Validity { revoked: Some(revoked.ok_or(Refusal::Invalid)?), expires })
    }

    async fn prove(
        &self,
        daemon: &Daemon,
        settings: &HttpsSettings,
        request: &Parts,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Proof, Refusal> {
        let mut given = request.headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (Some(value), None) => {
                let token = bearer_token(value).ok_or(Refusal::Invalid)?;
                self.prove_bearer(daemon, settings, token).await
            }
            (Some(_), Some(_)) => Err(Refusal::Invalid),
            (None, _) => {
                let known = settings.client_certificates.as_ref().zip(certificate);
                let (known, certificate) = known.ok_or(Refusal::Missing)?;
                let grant = find_principal(known, certificate).ok_or(Refusal::Missing)?;
                // The handshake checked this too, but a connection may outlive the certificate.
                let expires = certificate.expires().ok_or(Refusal::Expired)?;
                if expires <= daemon.clock.now().wall {
                    return Err(Refusal::Expired);
                }
                let name = format!("cert:{}", grant.name);
                let credential = ConfiguredCredential::of_certificate(known, grant);
                let validity = self.validity(daemon, credential, Some(expires))?;
                Ok(Proof { name, scope: grant.scope.clone(), validity })
            }
        }
    }

    async fn prove_bearer(
        &self,
        daemon: &Daemon,
        settings: &HttpsSettings,
        token: &str,
    ) -> Result<Proof, Refusal> {
        let env_token = settings.bearer_token.as_ref().filter(|right| {
            // Of digests, so that neither content nor length shows in the time that this takes.
            let digest = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
            constant_time_eq_32(&digest(token), &digest(right.expose()))
        });
        if let Some(env_token) = env_token {
            let (name, scope) = (ENV_TOKEN_PRINCIPAL.to_owned(), AccessScope::everything());
            let validity = self.validity(daemon, ConfiguredCredential::of_bearer_token(env_token), None)?;
            return Ok(Proof { name, scope, validity });
        }
        if token.starts_with(TOKEN_PREFIX) {
            let verified = daemon.access_tokens.verify(token).ok_or(Refusal::Invalid)?;
            let (name, scope) = (format!("token:{}", verified.token.name), verified.token.scope);
            let validity = Validity { revoked: Some(verified.revoked), expires: verified.token.expires };
            return Ok(Proof { name, scope, validity });
        }
        let verifier =
            settings.oidc.as_ref().filter(|_| looks_like_jwt(token)).map(|oidc| self.verifier(daemon, oidc));
        let verifier = verifier.ok_or(Refusal::Invalid)?;
        let subject = verifier.verify(token).await.map_err(|refusal| {
            tracing::debug!(%refusal, "a token of the issuer is refused");
            match refusal {
                OidcRefusal::Invalid(_) => Refusal::Invalid,
                OidcRefusal::NoAccess => Refusal::NoAccess,
                OidcRefusal::Unavailable => Refusal::Unavailable,
            }
        })?;
        // An issuer is a URL without a fragment, so the first `#` ends it (OpenID Connect Core 1.0, section 2).
        let name = format!("oidc:{}#{}", verifier.settings().issuer, subject.subject);
        let credential = ConfiguredCredential::Issuer(Box::new(verifier.settings().clone()));
        let validity = self.validity(daemon, credential, Some(subject.expires))?;
        Ok(Proof { name, scope: subject.scope, validity })
    }

    /// The verifier for these settings.
    fn verifier(&self, daemon: &Daemon, settings: &OidcSettings) -> Arc<OidcVerifier> {
        let known = self.oidc.load_full().filter(|known| known.settings() == settings);
        known.unwrap_or_else(|| {
            let (proxy, clock) = (daemon.proxy.clone(), Arc::clone(&daemon.clock));
            let made = Arc::new(OidcVerifier::new(settings.clone(), proxy, clock));
            self.oidc.store(Some(Arc::clone(&made)));
            made
        })
    }
}

impl Authenticator for Credentials {
    fn authenticate<'a>(
        &'a self,
        request: &'a Parts,
        address: SocketAddr,
        certificate: Option<&'a ClientCertificate>,
    ) -> BoxFuture<'a, Result<RemotePrincipal, Challenge>> {
        Box::pin(async move {
            // Without a daemon or settings the endpoint is closing, and nothing is served any more.
            let closing = || challenge(Refusal::Unavailable, None, None);
            let daemon = self.daemon.upgrade().ok_or_else(closing)?;
            let config = daemon.config.current();
            let settings = config.settings.https.as_ref().ok_or_else(closing)?;
            match self.prove(&daemon, settings, request, certificate).await {
                Ok(Proof { name, scope, validity }) => {
                    Ok(RemotePrincipal { name, tools: scope.patterns().to_vec(), address, validity })
                }
                Err(refusal) => {
                    let oidc = settings.oidc.as_ref();
                    Err(challenge(refusal, oidc, oidc.and_then(|_| metadata_url(request, settings))))
                }
            }
        })
    }
}

/// The token of `Bearer TOKEN`; the scheme's case doesn't matter (RFC 9110, section 11.1).
fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

/// The refusal with its `WWW-Authenticate` (RFC 6750, section 3, and RFC 9728, section 5.1), from which a client learns
/// where it gets a token.
fn challenge(refusal: Refusal, oidc: Option<&OidcSettings>, metadata: Option<String>) -> Challenge {
    let (status, error, message) = match refusal {
        Refusal::Missing => {
            (StatusCode::UNAUTHORIZED, None, "this needs a bearer token in the header Authorization")
        }
        Refusal::Invalid => {
            (StatusCode::UNAUTHORIZED, Some("invalid_token"), "the bearer token is not valid")
        }
        Refusal::Expired => (StatusCode::UNAUTHORIZED, None, "the client certificate has expired"),
        Refusal::NoAccess => {
            (StatusCode::FORBIDDEN, Some("insufficient_scope"), "the token permits nothing here")
        }
        Refusal::Unavailable => {
            let message = "the token can't be checked now; try again in a minute";
            return Challenge { status: StatusCode::SERVICE_UNAVAILABLE, www_authenticate: None, message };
        }
    };
    let scopes = oidc.map(|oidc| oidc.scopes().join(" ")).filter(|scopes| !scopes.is_empty());
    let parameters = [
        error.map(|error| format!("error=\"{error}\"")),
        scopes.map(|scopes| format!("scope=\"{scopes}\"")),
        metadata.map(|url| format!("resource_metadata=\"{url}\"")),
    ];
    let parameters: Vec<String> = parameters.into_iter().flatten().collect();
    let header = match parameters.is_empty() {
        true => "Bearer".to_owned(),
        false => format!("Bearer {}", parameters.join(", ")),
    };
    let header = HeaderValue::from_str(&header).unwrap_or(HeaderValue::from_static("Bearer"));
    Challenge { status, www_authenticate: Some(header), message }
}

//! A person's login on another device: the device authorization grant (RFC 8628).

use std::sync::Arc;
use std::time::Duration;

use portero::names::ServerName;
use portero::secret::Secret;
use reqwest::Url;
use serde::Deserialize;

use super::access::{check_issuer, choose_scopes};
use super::error::OAuthError;
use super::identity::{ClientIdentity, DEVICE_GRANT, ErrorAnswer, obtain_identity};
use super::metadata::{Discovered, discover};
use super::record::KeptLogin;
use super::token::TokenClient;
use super::{OAuth, OAuthServer};

/// The pause between two questions for the tokens, unless the issuer wants another.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest and the longest pause that an issuer may want.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How much longer the pause becomes when the issuer asks to slow down (RFC 8628, 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// The longest time for a login.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The longest code that a person types, in bytes.
const MAX_USER_CODE_BYTES: usize = 64;

/// A login on another device that has begun.
pub struct DeviceStart {
    /// What the person types there.
    pub user_code: String,
    /// The page that takes the code.
    pub verification_uri: Url,
    /// The same page with the code in it, if the issuer has one.
    pub verification_uri_complete: Option<Url>,
    /// How long the code is valid.
    pub expires_in: Duration,
    /// What [`OAuth::finish_device`] waits for.
    pub login: DeviceLogin,
}

/// The waiting half of a login on another device.
pub struct DeviceLogin {
    server: OAuthServer,
    found: Discovered,
    identity: ClientIdentity,
    scopes: Vec<String>,
    device_code: Secret,
    interval: Duration,
    expires_in: Duration,
}

/// The response of RFC 8628, 3.2.
#[derive(Deserialize)]
struct DeviceAnswer {
    device_code: Secret,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl OAuth {
    /// Begins a login on another device.
    ///
    /// # Errors
    /// If the issuer isn't found, doesn't fit, takes no client, or has no such login.
    pub async fn begin_device(self: &Arc<Self>, server: &OAuthServer) -> Result<DeviceStart, OAuthError> {
        let former = self.open_slot(server.name()).await?.former(server);
        let http = self.http(server).await?;
        let found = discover(&http, &server.http, &server.settings, former.challenge.as_ref()).await?;
        check_issuer(server, &former, &found)?;
        let endpoint = found.metadata.device_authorization_endpoint.as_deref().ok_or_else(|| {
            let name = server.name();
            OAuthError::Metadata(format!(
                "its issuer offers no login on another device: run `portero login {name}` without `--device`"
            ))
        })?;
        let endpoint = http.read_url(endpoint, "device authorization endpoint")?;
        let scopes = choose_scopes(server, former.challenge.as_ref(), &found);
        let former = former.client_at(&found.issuer);
        let now = self.deps.clock.now().wall;
        let wanted = (None, &*scopes);
        let identity = obtain_identity(&http, &server.settings, &found, wanted, former, now).await?;
        let client = TokenClient::new(&http, server, &found, &identity);
        let asked = scopes.join(" ");
        let mut form = vec![("resource", &*found.resource)];
        if !asked.is_empty() {
            form.push(("scope", &asked));
        }
        let answer = client.post(&endpoint, &form, now).await?;
        let Some(device) = answer.json::<DeviceAnswer>().filter(|_| answer.status.is_success()) else {
            let error = answer.json::<ErrorAnswer>();
            return Err(OAuthError::refused(&endpoint, error.as_ref().map(|error| &*error.error)));
        };
        let is_typed = device.user_code.len() <= MAX_USER_CODE_BYTES
            && device.user_code.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !is_typed || device.user_code.is_empty() {
            return Err(OAuthError::Metadata("its issuer gives a code that can't be typed".to_owned()));
        }
        let verification_uri = http.read_url(&device.verification_uri, "verification page")?;
        let complete = device.verification_uri_complete.as_deref();
        let complete = complete.map(|complete| http.read_url(complete, "verification page")).transpose()?;
        let interval = device.interval.map_or(DEFAULT_INTERVAL, Duration::from_secs);
        let expires_in = Duration::from_secs(device.expires_in).min(MAX_LIFETIME);
        Ok(DeviceStart {
            user_code: device.user_code,
            verification_uri,
            verification_uri_complete: complete,
            expires_in,
            login: DeviceLogin {
                server: server.clone(),
                found,
                identity,
                scopes,
                device_code: device.device_code,
                interval: interval.clamp(INTERVALS.0, INTERVALS.1),
                expires_in,
            },
        })
    }

    /// Waits until the person has logged in, and returns the server that it is for. `given_up` ends a pause, but no request:
    /// the tokens that its answer brings count, so they are kept.
    ///
    /// # Errors
    /// If the person refuses, or the code ends first; the outcome of `given_up` if that came first.
    pub async fn finish_device<E: From<OAuthError>>(
        self: &Arc<Self>,
        login: DeviceLogin,
        given_up: impl Future<Output = E>,
    ) -> Result<ServerName, E> {
        let DeviceLogin { server, found, identity, scopes, device_code, mut interval, expires_in } = login;
        let http = self.http(&server).await?;
        let deadline = tokio::time::Instant::now() + expires_in;
        let grant = [("grant_type", DEVICE_GRANT), ("device_code", device_code.expose())];
        tokio::pin!(given_up);
        let tokens = loop {
            tokio::select! {
                biased;
                why = &mut given_up => return Err(why),
                () = tokio::time::sleep(interval) => {}
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(OAuthError::login(server.name(), "the code has ended").into());
            }
            let client = TokenClient::new(&http, &server, &found, &identity);
            match client.request_tokens(&grant, self.deps.clock.now().wall).await {
                Ok(tokens) => break tokens,
                Err(OAuthError::Refused { code, .. }) if code == "authorization_pending" => {}
                Err(OAuthError::Refused { code, .. }) if code == "slow_down" => {
                    interval = (interval + SLOW_DOWN).min(INTERVALS.1);
                }
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
        };
        let kept = KeptLogin::new(&server.http, &server.settings, &found, identity, scopes, tokens);
        let mut slot = self.open_slot(server.name()).await?;
        slot.take_login(kept);
        self.save_login(server.name(), &mut slot).await?;
        Ok(server.name)
    }
}

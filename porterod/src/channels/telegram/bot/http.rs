//! One request, one answer: the only place that knows the HTTP client.
//!
//! The client's errors carry the address, and the address the token, so they are looked at here and dropped.

use std::sync::Arc;
use std::time::Duration;

use portero::secret::Secret;
use reqwest::header::CONTENT_TYPE;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Proxy, RequestBuilder, Response, Url, redirect};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use teloxide_core::payloads::GetMe;
use teloxide_core::requests::Payload;

use super::{Address, AddressError, BotError, ChatId, Network, Refusal, RetryAfter};

/// The longest answer that is read: a hundred of the longest messages.
const ANSWER_MOST: usize = 16 << 20;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long to wait when Telegram says "later" without saying when.
const LATER: Duration = Duration::from_secs(5);

/// A bot's address, and the connections to it.
#[derive(Clone)]
pub(super) struct Http {
    client: Client,
    /// Up to the method's name.
    prefix: Arc<Secret>,
    patience: Duration,
}

/// What every answer looks like.
#[derive(Deserialize)]
struct Envelope<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<ChatId>,
}

impl Http {
    pub(super) fn new(url: &str, address: &Address) -> Result<Self, AddressError> {
        let prefix = format!("{}/bot{}/", url.trim_end_matches('/'), address.token.expose());
        let parsed = Url::parse(&prefix).map_err(|_| AddressError::Url)?;
        if !parsed.has_host() || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(AddressError::Url);
        }
        // The environment is an argument here, and a redirect would carry the token elsewhere.
        let mut client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT.min(address.patience))
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("portero/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &address.proxy {
            client = client.proxy(Proxy::https(proxy.expose()).map_err(|_| AddressError::Proxy)?);
        }
        let client = client.build().map_err(|_| AddressError::Url)?;
        Ok(Self { client, prefix: Arc::new(Secret::new(prefix)), patience: address.patience })
    }

    /// Calls the payload's method with it as JSON, and reads of the answer what a `T` holds.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        payload: &(impl Payload + Serialize),
    ) -> Result<T, BotError> {
        let body = serde_json::to_vec(payload).map_err(|_| BotError::Nonsense)?;
        let request = self.request(payload).header(CONTENT_TYPE, "application/json").body(body);
        self.known(payload, answered(request).await).await
    }

    /// As [`Http::call`], with a file in the place of the payload's field of this name.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        payload: &(impl Payload + Serialize),
        (field, file): (&'static str, Part),
    ) -> Result<T, BotError> {
        let fields = serde_json::to_value(payload).and_then(serde_json::from_value::<Map<String, Value>>);
        let mut fields = fields.map_err(|_| BotError::Nonsense)?;
        fields.remove(field);
        let form = fields.into_iter().fold(Form::new(), |form, (name, value)| match value {
            Value::String(text) => form.text(name, text),
            other => form.text(name, other.to_string()),
        });
        let request = self.request(payload).multipart(form.part(field, file));
        self.known(payload, answered(request).await).await
    }

    /// "Not found" is said of a bot that is not there, and by some servers of a method that they do not know: `getMe`,
    /// which each knows, tells which.
    async fn known<P: Payload, T>(&self, _: &P, answer: Result<T, BotError>) -> Result<T, BotError> {
        if !matches!(answer, Err(BotError::Refused(Refusal::NotFound))) {
            return answer;
        }
        if P::NAME == GetMe::NAME {
            return Err(BotError::Unauthorized);
        }
        match answered::<IgnoredAny>(self.request(&GetMe::new())).await {
            Ok(_) => answer,
            Err(BotError::Refused(Refusal::NotFound)) => Err(BotError::Unauthorized),
            Err(other) => Err(other),
        }
    }

    fn request<P: Payload>(&self, payload: &P) -> RequestBuilder {
        self.client
            .post(format!("{}{}", self.prefix.expose(), method(P::NAME)))
            .timeout(self.patience + payload.timeout_hint().unwrap_or_default())
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// The Bot API takes any case and writes a method with a small letter; a server of one's own may be strict.
fn method(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_ascii_lowercase() + rest
}

async fn answered<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, BotError> {
    let response = request.send().await.map_err(|error| BotError::Network(network(&error)))?;
    let status = response.status().as_u16();
    let answer = read(response).await?;
    understand(status, &answer)
}

async fn read(mut response: Response) -> Result<Vec<u8>, BotError> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BotError::Network(network(&error)))? {
        if answer.len() + chunk.len() > ANSWER_MOST {
            return Err(BotError::Nonsense);
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn network(error: &reqwest::Error) -> Network {
    if error.is_connect() {
        Network::Unreachable
    } else if error.is_timeout() {
        Network::Slow
    } else {
        Network::Lost
    }
}

/// What an answer means. A proxy's or gateway's page has a status and no envelope.
fn understand<T: DeserializeOwned>(status: u16, answer: &[u8]) -> Result<T, BotError> {
    let envelope: Option<Envelope<'_>> = serde_json::from_slice(answer).ok();
    match &envelope {
        Some(Envelope { ok: true, result: Some(result), .. }) if status == 200 => {
            serde_json::from_str(result.get()).map_err(|_| BotError::Nonsense)
        }
        _ => Err(failure(status, envelope.as_ref())),
    }
}

fn failure(status: u16, envelope: Option<&Envelope<'_>>) -> BotError {
    let code = envelope.and_then(|envelope| envelope.error_code).unwrap_or(status);
    let after = envelope.and_then(|envelope| envelope.parameters.as_ref()?.retry_after);
    let moved = envelope.and_then(|envelope| envelope.parameters.as_ref()?.migrate_to_chat_id);
    match code {
        429 => BotError::RetryAfter(RetryAfter::asked(after.map_or(LATER, Duration::from_secs))),
        500..=599 => BotError::Server(code),
        // Only Telegram itself may say that a bot is no more; a gateway's page may not.
        _ if envelope.is_none() => BotError::Nonsense,
        401 => BotError::Unauthorized,
        404 => BotError::Refused(Refusal::NotFound),
        403 => BotError::Blocked,
        409 => BotError::Conflict,
        400..=499 => {
            let words = envelope.and_then(|envelope| envelope.description.as_deref());
            let refused = || BotError::Refused(Refusal::of(words.unwrap_or_default()));
            moved.map_or_else(refused, BotError::Moved)
        }
        _ => BotError::Nonsense,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, answer: &str) -> BotError {
        understand::<bool>(status, answer.as_bytes()).unwrap_err()
    }

    #[test]
    fn an_answer_is_understood_by_its_code() {
        let wait = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#;
        let again = |error| match error {
            BotError::RetryAfter(after) => (after.wait(), error.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(again(of(429, wait)).0, Duration::from_secs(7));
        assert_eq!(again(of(429, "{}")).0, LATER);
        for absurd in ["86400", "99999999999", "18446744073709551615"] {
            let (pause, words) = again(of(429, &wait.replace("7}", &format!("{absurd}}}"))));
            assert_eq!(pause, RetryAfter::MAX_WAIT);
            assert_eq!(
                words,
                format!("too many requests; again in 900 s, though Telegram asks for {absurd} s")
            );
        }
        assert_eq!(of(502, "<html>Bad Gateway</html>"), BotError::Server(502));
        assert_eq!(of(409, r#"{"ok":false,"error_code":409}"#), BotError::Conflict);
        assert_eq!(of(401, r#"{"ok":false,"error_code":401}"#), BotError::Unauthorized);
        assert_eq!(of(404, r#"{"ok":false,"error_code":404}"#), BotError::Refused(Refusal::NotFound));
        assert_eq!(of(403, r#"{"ok":false,"error_code":403}"#), BotError::Blocked);
        assert_eq!(
            of(400, r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#),
            BotError::Refused(Refusal::ChatUnknown)
        );
        let moved = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001}}"#;
        assert_eq!(of(400, moved), BotError::Moved(ChatId(-1001)));
    }

    #[test]
    fn what_is_not_the_bot_apis_is_nonsense() {
        for (status, answer) in [
            (200, "hello"),
            (200, r#"{"ok":true}"#),
            (302, ""),
            (404, "<html>"),
            (200, r#"{"ok":true,"result":5}"#),
        ] {
            assert_eq!(of(status, answer), BotError::Nonsense, "{status} {answer}");
        }
        assert!(understand::<bool>(200, br#"{"ok":true,"result":true}"#).unwrap());
    }
}

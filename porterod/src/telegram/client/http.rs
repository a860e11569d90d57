//! Sends a request and reads its response. It is the only module that knows the HTTP client.
//!
//! The client's errors contain the address, and the address contains the token. So they are classified and
//! dropped here.

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

use super::{BotAddress, BotAddressError, BotError, ChatId, NetworkFailure, Refusal, RetryAfter};

/// The longest accepted response, which is a hundred of the longest messages.
const MAX_RESPONSE_BYTES: usize = 16 << 20;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a 429 without `retry_after`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// A bot's address, and the connections to it.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client,
    /// The address up to the method's name.
    method_prefix: Arc<Secret>,
    request_timeout: Duration,
}

/// The envelope of every response.
#[derive(Deserialize)]
struct ApiResponse<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<ResponseParameters>,
}

#[derive(Deserialize)]
struct ResponseParameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<ChatId>,
}

impl HttpClient {
    pub(super) fn new(url: &str, address: &BotAddress) -> Result<Self, BotAddressError> {
        let prefix = format!("{}/bot{}/", url.trim_end_matches('/'), address.token.expose());
        let parsed = Url::parse(&prefix).map_err(|_| BotAddressError::ApiUrl)?;
        // A query in the address would swallow the method's name.
        if !parsed.has_host() || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(BotAddressError::ApiUrl);
        }
        // Proxy settings come as an argument, not from the environment. A redirect would send the token to
        // another host.
        let mut client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(address.request_timeout))
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("portero/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &address.proxy {
            client = client.proxy(Proxy::https(proxy.expose()).map_err(|_| BotAddressError::Proxy)?);
        }
        let client = client.build().map_err(|_| BotAddressError::ApiUrl)?;
        Ok(Self {
            client,
            method_prefix: Arc::new(Secret::new(prefix)),
            request_timeout: address.request_timeout,
        })
    }

    /// Calls the payload's method with JSON, and reads the result as a `T`.
    pub(super) async fn call_method<T: DeserializeOwned>(
        &self,
        payload: &(impl Payload + Serialize),
    ) -> Result<T, BotError> {
        let body = serde_json::to_vec(payload).map_err(|_| BotError::InvalidResponse)?;
        let request = self.build_request(payload).header(CONTENT_TYPE, "application/json").body(body);
        self.resolve_not_found(payload, send_request(request).await).await
    }

    /// As [`HttpClient::call_method`], with a file in place of the payload's field of this name.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        payload: &(impl Payload + Serialize),
        (field, file): (&'static str, Part),
    ) -> Result<T, BotError> {
        let fields = serde_json::to_value(payload).and_then(serde_json::from_value::<Map<String, Value>>);
        let mut fields = fields.map_err(|_| BotError::InvalidResponse)?;
        // The file replaces this field, and the form must not have it twice.
        fields.remove(field);
        let form = fields.into_iter().fold(Form::new(), |form, (name, value)| match value {
            Value::String(text) => form.text(name, text),
            other => form.text(name, other.to_string()),
        });
        let request = self.build_request(payload).multipart(form.part(field, file));
        self.resolve_not_found(payload, send_request(request).await).await
    }

    /// Tells the meanings of 404 apart. Servers send it for an unknown bot, and some for an unknown method.
    /// Every server knows `getMe`, so that call decides.
    async fn resolve_not_found<P: Payload, T>(
        &self,
        _: &P,
        answer: Result<T, BotError>,
    ) -> Result<T, BotError> {
        if !matches!(answer, Err(BotError::Refused(Refusal::MethodNotFound))) {
            return answer;
        }
        // `getMe` exists on every server, so here 404 means an unknown bot.
        if P::NAME == GetMe::NAME {
            return Err(BotError::Unauthorized);
        }
        match send_request::<IgnoredAny>(self.build_request(&GetMe::new())).await {
            Ok(_) => answer,
            Err(BotError::Refused(Refusal::MethodNotFound)) => Err(BotError::Unauthorized),
            Err(other) => Err(other),
        }
    }

    fn build_request<P: Payload>(&self, payload: &P) -> RequestBuilder {
        self.client
            .post(format!("{}{}", self.method_prefix.expose(), method_name(P::NAME)))
            .timeout(self.request_timeout + payload.timeout_hint().unwrap_or_default())
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// The method's name with a small first letter, as the Bot API writes it. Telegram accepts any case, but a
/// self-hosted server may not.
fn method_name(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_ascii_lowercase() + rest
}

async fn send_request<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, BotError> {
    let response = request.send().await.map_err(|error| BotError::Network(network_failure(&error)))?;
    let status = response.status().as_u16();
    let answer = read_body(response).await?;
    parse_response(status, &answer)
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, BotError> {
    let mut answer = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| BotError::Network(network_failure(&error)))?
    {
        // A server could otherwise fill the memory.
        if answer.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(BotError::InvalidResponse);
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn network_failure(error: &reqwest::Error) -> NetworkFailure {
    if error.is_connect() {
        NetworkFailure::Unreachable
    } else if error.is_timeout() {
        NetworkFailure::TimedOut
    } else {
        NetworkFailure::Lost
    }
}

/// Parses a response. A page of a proxy or gateway has a status but no envelope.
fn parse_response<T: DeserializeOwned>(status: u16, answer: &[u8]) -> Result<T, BotError> {
    let envelope: Option<ApiResponse<'_>> = serde_json::from_slice(answer).ok();
    match &envelope {
        Some(ApiResponse { ok: true, result: Some(result), .. }) if status == 200 => {
            serde_json::from_str(result.get()).map_err(|_| BotError::InvalidResponse)
        }
        _ => Err(response_error(status, envelope.as_ref())),
    }
}

fn response_error(status: u16, envelope: Option<&ApiResponse<'_>>) -> BotError {
    // The envelope's code wins, because a proxy may change the status.
    let code = envelope.and_then(|envelope| envelope.error_code).unwrap_or(status);
    let after = envelope.and_then(|envelope| envelope.parameters.as_ref()?.retry_after);
    let moved = envelope.and_then(|envelope| envelope.parameters.as_ref()?.migrate_to_chat_id);
    match code {
        429 => BotError::RetryAfter(RetryAfter::from_requested(
            after.map_or(DEFAULT_RETRY_AFTER, Duration::from_secs),
        )),
        500..=599 => BotError::ServerError(code),
        // Only Telegram itself may say that a bot doesn't exist; a gateway's page may not.
        _ if envelope.is_none() => BotError::InvalidResponse,
        401 => BotError::Unauthorized,
        404 => BotError::Refused(Refusal::MethodNotFound),
        403 => BotError::Blocked,
        409 => BotError::Conflict,
        400..=499 => {
            let words = envelope.and_then(|envelope| envelope.description.as_deref());
            let refused = || BotError::Refused(Refusal::from_description(words.unwrap_or_default()));
            moved.map_or_else(refused, BotError::Migrated)
        }
        _ => BotError::InvalidResponse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_bool(status: u16, answer: &str) -> BotError {
        parse_response::<bool>(status, answer.as_bytes()).unwrap_err()
    }

    #[test]
    fn an_answer_is_understood_by_its_code() {
        let wait = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#;
        let again = |error| match error {
            BotError::RetryAfter(after) => (after.wait(), error.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(again(parse_bool(429, wait)).0, Duration::from_secs(7));
        assert_eq!(again(parse_bool(429, "{}")).0, DEFAULT_RETRY_AFTER);
        for absurd in ["86400", "99999999999", "18446744073709551615"] {
            let (pause, words) = again(parse_bool(429, &wait.replace("7}", &format!("{absurd}}}"))));
            assert_eq!(pause, RetryAfter::MAX_WAIT);
            assert_eq!(
                words,
                format!("too many requests; again in 900 s, though Telegram asks for {absurd} s")
            );
        }
        assert_eq!(parse_bool(502, "<html>Bad Gateway</html>"), BotError::ServerError(502));
        assert_eq!(parse_bool(409, r#"{"ok":false,"error_code":409}"#), BotError::Conflict);
        assert_eq!(parse_bool(401, r#"{"ok":false,"error_code":401}"#), BotError::Unauthorized);
        assert_eq!(
            parse_bool(404, r#"{"ok":false,"error_code":404}"#),
            BotError::Refused(Refusal::MethodNotFound)
        );
        assert_eq!(parse_bool(403, r#"{"ok":false,"error_code":403}"#), BotError::Blocked);
        assert_eq!(
            parse_bool(400, r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#),
            BotError::Refused(Refusal::ChatUnknown)
        );
        let moved = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001}}"#;
        assert_eq!(parse_bool(400, moved), BotError::Migrated(ChatId(-1001)));
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
            assert_eq!(parse_bool(status, answer), BotError::InvalidResponse, "{status} {answer}");
        }
        assert!(parse_response::<bool>(200, br#"{"ok":true,"result":true}"#).unwrap());
    }
}

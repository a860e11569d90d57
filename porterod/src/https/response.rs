//! The endpoint's own responses.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;
use std::time::Duration;

use super::principal::Challenge;

/// A refused request: its status, and what the client is told.
#[derive(Debug)]
pub(super) struct RefusedRequest {
    status: StatusCode,
    message: &'static str,
    header: Option<(HeaderName, HeaderValue)>,
}

impl RefusedRequest {
    pub(super) const fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message, header: None }
    }

    /// 405, with the methods that there are (RFC 9110, section 15.5.6).
    pub(super) const fn method(allowed: &'static str) -> Self {
        let header = Some((ALLOW, HeaderValue::from_static(allowed)));
        Self { status: StatusCode::METHOD_NOT_ALLOWED, message: "this method is not served here", header }
    }

    /// The same, with the time after which it may be tried again: in whole seconds, at least one.
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        Self { header: Some((RETRY_AFTER, HeaderValue::from(seconds))), ..self }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = json_response(self.status, &json!({"error": self.message}).to_string());
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Challenge> for RefusedRequest {
    fn from(Challenge { status, www_authenticate, message }: Challenge) -> Self {
        Self { status, message, header: www_authenticate.map(|value| (WWW_AUTHENTICATE, value)) }
    }
}

pub(super) fn json_response(status: StatusCode, json: &str) -> Response {
    text_response(status, "application/json", json.to_owned())
}

pub(super) fn text_response(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What every response says: no cache may keep it, and no browser may guess its type.
pub(super) fn add_common_headers(response: &mut Response) {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

//! Refused requests: an HTTP status, and a JSON-RPC error that says what to do.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use portero::json::{self, RawJson};
use portero::wire::{self, MalformedMessage, codes};
use serde_json::value::RawValue;

use crate::remote_sessions::{NotTaken, TooManySessions};

/// The error of a request that failed the checks of the transport, without a code of its own.
const TRANSPORT_ERROR_CODE: i32 = -32000;

/// A refused request.
#[derive(Debug)]
pub(super) struct McpRefusal {
    status: StatusCode,
    /// The error object.
    error: RawJson,
    /// The id of the only request in the body.
    id: Option<RawJson>,
    /// What the header `Allow` says.
    allow: Option<&'static str>,
    /// The answers to a batch, in place of the one error.
    batch: Option<Vec<u8>>,
}

impl McpRefusal {
    pub(super) fn new(status: StatusCode, code: i32, message: &str) -> Self {
        Self {
            status,
            error: wire::answer_error_object(code, message, None),
            id: None,
            allow: None,
            batch: None,
        }
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, TRANSPORT_ERROR_CODE, message)
    }

    /// Headers that are missing, malformed or unlike the body (2026-07-28, Streamable HTTP, "Server Validation").
    pub(super) fn header_mismatch(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::HEADER_MISMATCH, message)
    }

    /// The session is unknown to this principal, so its client begins another (2025-11-25, Streamable HTTP, "Session
    /// Management").
    pub(super) fn unknown_session() -> Self {
        let message = "there is no such session; send `initialize` without Mcp-Session-Id to begin one";
        Self::new(StatusCode::NOT_FOUND, TRANSPORT_ERROR_CODE, message)
    }

    /// The method exists in earlier revisions only.
    pub(super) fn method_not_allowed() -> Self {
        let message = "2026-07-28 has only POST here";
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, TRANSPORT_ERROR_CODE, message);
        Self { allow: Some("POST"), ..refusal }
    }

    /// A body that is no message.
    pub(super) fn malformed(malformed: MalformedMessage) -> Self {
        let refusal =
            Self::new(StatusCode::BAD_REQUEST, malformed.fault.code(), &malformed.fault.to_string());
        Self { id: malformed.id, ..refusal }
    }

    /// A batch of which every part is answered with an error.
    pub(super) fn malformed_batch(parts: &[MalformedMessage]) -> Self {
        let mut batch = vec![b'['];
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                batch.push(b',');
            }
            wire::write_malformed_error(&mut batch, part);
            // The end of its line.
            batch.pop();
        }
        batch.push(b']');
        let refusal = Self::new(StatusCode::BAD_REQUEST, codes::INVALID_REQUEST, "");
        Self { batch: Some(batch), ..refusal }
    }

    /// An error object of the wire.
    pub(super) const fn of_error(status: StatusCode, error: RawJson) -> Self {
        Self { status, error, id: None, allow: None, batch: None }
    }

    /// Answers the request with this id.
    pub(super) fn for_request(self, id: Option<&RawValue>) -> Self {
        Self { id: id.map(ToOwned::to_owned), ..self }
    }

    pub(super) fn into_response(self) -> Response {
        let write_error = || {
            let mut body = Vec::new();
            let id = self.id.unwrap_or_else(|| json::serialize_raw(&()));
            wire::write_error(&mut body, &*id, &self.error);
            body.pop();
            body
        };
        let body = self.batch.unwrap_or_else(write_error);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl From<NotTaken> for McpRefusal {
    fn from(reason: NotTaken) -> Self {
        match reason {
            NotTaken::IdInUse => {
                Self::new(StatusCode::BAD_REQUEST, codes::INVALID_REQUEST, &reason.to_string())
            }
            NotTaken::TooMany => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, codes::INVALID_REQUEST, &reason.to_string())
            }
            NotTaken::Ended => Self::unknown_session(),
        }
    }
}

impl From<TooManySessions> for McpRefusal {
    fn from(reason: TooManySessions) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, TRANSPORT_ERROR_CODE, &reason.to_string())
    }
}

//! What a browser must be told before a page of a permitted origin may call (Fetch standard, "CORS protocol").

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;

const METHODS: &str = "GET, POST, DELETE";
/// The headers of requests of MCP's Streamable HTTP, in every revision.
const REQUEST_HEADERS: &str = "authorization, content-type, accept, last-event-id, mcp-session-id, \
                               mcp-protocol-version, mcp-method, mcp-name";
const RESPONSE_HEADERS: &str = "mcp-session-id, www-authenticate, retry-after";
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: &str = "600";

/// The response to a preflight request, if it is one. It carries no credential, so it needs none.
pub(super) fn answer_preflight(request: &Parts) -> Option<Response> {
    let is_preflight = request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    Some(response)
}

/// Lets the page of a permitted origin read the response. Cookies play no part, so credentials aren't allowed.
pub(super) fn permit_origin(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
    headers.append(VARY, HeaderValue::from_static("origin"));
}

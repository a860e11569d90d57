//! Why a request got no answer, in Portero's own words. The client's own errors hold the whole address, which
//! may hold a key, so they are classified and dropped here.

use portero::server::HttpFault;
use reqwest::header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};

use super::endpoint::Endpoint;

/// The fault of a response with a status other than success, for a request outside of a session's end.
pub(super) fn from_status(response: &Response, endpoint: &Endpoint) -> HttpFault {
    let status = response.status();
    let code = status.as_u16();
    match status {
        StatusCode::UNAUTHORIZED if endpoint.has_credential => {
            HttpFault::LoginNeeded("it refused the credential in its entry of mcps.json".to_owned())
        }
        StatusCode::UNAUTHORIZED => {
            HttpFault::LoginNeeded("write its key under `headers` in mcps.json".to_owned())
        }
        StatusCode::FORBIDDEN if lacks_scope(response) => {
            HttpFault::LoginNeeded("its credential lacks a scope that this takes".to_owned())
        }
        StatusCode::NOT_FOUND => {
            HttpFault::NotReached("there is no MCP server at its `url` (404)".to_owned())
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let wait =
                response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse::<u32>().ok());
            let wait = wait.map_or_else(String::new, |seconds| format!("; it asks to wait {seconds} s"));
            HttpFault::NotReached(format!("it takes no more requests for now (429){wait}"))
        }
        status if status.is_redirection() => HttpFault::NotReached(describe_redirect(response)),
        status if tells_not_begun(status) => {
            HttpFault::NotReached(format!("it refused the request ({code})"))
        }
        _ => HttpFault::Failed(format!("it answered with status {code}")),
    }
}

/// Whether a refusal is decided before a request is begun. Others, as 408, 409 or 422, come after it was passed on, or
/// from the tool itself.
fn tells_not_begun(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::LENGTH_REQUIRED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::URI_TOO_LONG
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::EXPECTATION_FAILED
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::TOO_EARLY
            | StatusCode::UPGRADE_REQUIRED
            | StatusCode::PRECONDITION_REQUIRED
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    )
}

/// `insufficient_scope` of RFC 6750, 3.1.
fn lacks_scope(response: &Response) -> bool {
    let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    challenge.is_some_and(|challenge| challenge.contains("insufficient_scope"))
}

fn describe_redirect(response: &Response) -> String {
    let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
    let target: Option<Url> = target.and_then(|target| response.url().join(target).ok());
    match target {
        Some(target) if target.origin() != response.url().origin() => {
            format!(
                "it moved to {}; if you trust that, write its address into `url`",
                target.origin().ascii_serialization()
            )
        }
        _ => format!(
            "it moved within its own host ({}); write the new address into `url`",
            response.status().as_u16()
        ),
    }
}

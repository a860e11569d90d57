//! Which host a request means, and from which page it comes (guarantee T1).
//!
//! A web page can make a browser call this endpoint. With DNS rebinding its host's name then leads here, so a name
//! that isn't the endpoint's own is refused.

use std::net::SocketAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use portero::config::{HttpsEncryption, HttpsSettings};

/// The names of this machine on itself.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names and origins that count.
#[derive(Debug)]
pub(super) struct HostCheck {
    hosts: Vec<String>,
    origins: Vec<String>,
    scheme: &'static str,
}

impl HostCheck {
    pub(super) fn new(settings: &HttpsSettings, address: SocketAddr) -> Self {
        let mut hosts: Vec<String> = LOOPBACK_NAMES.map(str::to_owned).to_vec();
        if !address.ip().is_unspecified() {
            hosts.push(match address {
                SocketAddr::V4(address) => address.ip().to_string(),
                SocketAddr::V6(address) => format!("[{}]", address.ip()),
            });
        }
        hosts.extend(settings.hosts.iter().cloned());
        let scheme = if settings.encryption == HttpsEncryption::Plain { "http" } else { "https" };
        Self { hosts, origins: settings.origins.clone(), scheme }
    }

    /// Whether a request means this endpoint, and comes from no page that may not call it.
    ///
    /// # Errors
    /// The status with words: 400 without exactly one valid host (RFC 9112, section 3.2), 421 for another host
    /// (RFC 9110, section 7.4), 403 for another origin.
    pub(super) fn check(&self, request: &Parts) -> Result<(), (StatusCode, &'static str)> {
        let authority = request_authority(request)
            .ok_or((StatusCode::BAD_REQUEST, "the request must name its host once"))?;
        let host = authority.host().to_ascii_lowercase();
        if !self.hosts.contains(&host) {
            return Err((StatusCode::MISDIRECTED_REQUEST, "this endpoint does not serve that host"));
        }
        let mut origins = request.headers.get_all(ORIGIN).iter();
        let is_allowed = match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => {
                origin.to_str().is_ok_and(|origin| self.permits_origin(origin, &authority))
            }
            (Some(_), Some(_)) => false,
        };
        if is_allowed { Ok(()) } else { Err((StatusCode::FORBIDDEN, "pages of that origin may not call")) }
    }

    /// Whether an origin is the endpoint's own, or one of the named ones.
    fn permits_origin(&self, origin: &str, own: &Authority) -> bool {
        if self.origins.iter().any(|permitted| permitted.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let Ok(uri) = origin.parse::<Uri>() else { return false };
        let default = if self.scheme == "http" { 80 } else { 443 };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
        uri.scheme_str() == Some(self.scheme)
            && uri.authority().is_some_and(|authority| {
                authority.host().eq_ignore_ascii_case(own.host()) && port(authority) == port(own)
            })
    }
}

/// The host and port that a request names. None if it names none, or two.
fn request_authority(request: &Parts) -> Option<Authority> {
    let mut named = request.headers.get_all(HOST).iter();
    let header = match (named.next(), named.next()) {
        (None, _) => None,
        (Some(value), None) => Some(value.to_str().ok()?.parse::<Authority>().ok()?),
        (Some(_), Some(_)) => return None,
    };
    let authority = match (request.uri.authority(), header) {
        (Some(of_uri), Some(of_header)) => (*of_uri == of_header).then_some(of_header)?,
        (Some(of_uri), None) => of_uri.clone(),
        (None, of_header) => of_header?,
    };
    (!authority.as_str().contains('@')).then_some(authority)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use portero::config::HttpsLimits;

    use super::*;

    fn check(uri: &str, headers: &[(&str, &str)]) -> u16 {
        let settings = HttpsSettings {
            listen: ([192, 0, 2, 1], 8443).into(),
            encryption: HttpsEncryption::SelfSigned,
            hosts: vec!["portero.example.com".to_owned()],
            origins: vec!["https://app.example.com".to_owned()],
            limits: HttpsLimits::default(),
            bearer_token: None,
            oidc: None,
            client_certificates: None,
        };
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        HostCheck::new(&settings, settings.listen)
            .check(&parts)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn only_its_own_names_are_served() {
        for host in [
            "portero.example.com",
            "PORTERO.example.com:8443",
            "localhost:1",
            "127.0.0.1",
            "[::1]:8443",
            "192.0.2.1",
        ] {
            assert_eq!(check("/mcp", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "portero.example.com.evil.example",
            "127.0.0.2",
            "localhost.evil.example",
            "0.0.0.0",
        ] {
            assert_eq!(check("/mcp", &[("host", host)]), 421, "{host}");
        }
        for headers in [
            &[][..],
            &[("host", "")],
            &[("host", "localhost"), ("host", "localhost")],
            &[("host", "maria@localhost")],
            &[("host", "localhost/evil")],
        ] {
            assert_eq!(check("/mcp", headers), 400, "{headers:?}");
        }
        assert_eq!(check("https://localhost:8443/mcp", &[]), 200, "as HTTP/2 names it");
        assert_eq!(check("https://localhost:8443/mcp", &[("host", "evil.example")]), 400);
        assert_eq!(check("https://evil.example/mcp", &[("host", "evil.example")]), 421);
    }

    #[test]
    fn only_its_own_pages_and_named_ones_may_call() {
        for origin in ["https://localhost:8443", "https://app.example.com"] {
            assert_eq!(check("/", &[("host", "localhost:8443"), ("origin", origin)]), 200, "{origin}");
        }
        for origin in [
            "https://evil.example",
            "http://localhost:8443",
            "https://localhost:3000",
            "https://localhost",
            "null",
            "https://app.example.com.evil.example",
            "",
        ] {
            assert_eq!(check("/", &[("host", "localhost:8443"), ("origin", origin)]), 403, "{origin}");
        }
        let twice = [("host", "localhost"), ("origin", "https://localhost"), ("origin", "https://localhost")];
        assert_eq!(check("/", &twice), 403);
    }
}

//! The addresses of HTTP servers.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::secret::{Secret, SecretPart, SecretReference};

/// What is escaped in a value that stands in a URL: everything but the unreserved characters (RFC 3986, 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An absolute `http` or `https` URL. Path and query may hold a key, so only its origin is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// With the spelling of each reference in its place, escaped.
    url: Url,
    /// The text, if it holds references.
    template: Option<Secret>,
}

/// Why a text is no [`HttpUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpUrlError {
    /// It is no URL with a scheme and a host.
    #[error("it must be a whole address, such as `https://mcp.example.com/mcp`")]
    NotAbsolute,
    /// Another scheme.
    #[error("it must begin with https:// or http://")]
    Scheme,
    /// It names a user or a password.
    #[error("it must not hold a user or a password; write them as a header")]
    Credentials,
    /// A reference stands in its scheme or host.
    #[error("a reference may stand in its path and its query only")]
    Reference,
    /// It has a fragment, which is never sent.
    #[error("it must not hold a `#`")]
    Fragment,
}

impl HttpUrl {
    /// Parses a URL, by the rules of the WHATWG standard like the client that calls it.
    ///
    /// # Errors
    /// If it is none, or has parts that a server's address can't have.
    pub fn parse(text: &str) -> Result<Self, HttpUrlError> {
        let url = Url::parse(text).map_err(|_| HttpUrlError::NotAbsolute)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpUrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HttpUrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(HttpUrlError::Fragment);
        }
        Ok(Self { url, template: None })
    }

    /// Like [`HttpUrl::parse`], for a text that may hold references in its path and its query.
    ///
    /// # Errors
    /// As [`HttpUrl::parse`], and if a reference stands elsewhere.
    pub fn parse_with_references(text: &Secret) -> Result<Self, HttpUrlError> {
        if !text.has_references() {
            return Self::parse(text.expose());
        }
        let spelled = Self::parse(
            &fill(text, |reference| Some(Secret::new(reference.to_string()))).unwrap_or_default(),
        )
        .map_err(|_| HttpUrlError::Reference)?;
        // What another value changes tells where the references stand.
        let other = Self::parse(&fill(text, |_| Some(Secret::new("x"))).unwrap_or_default());
        match other {
            Ok(other) if other.url.origin() == spelled.url.origin() => {
                Ok(Self { template: Some(text.clone()), ..spelled })
            }
            Ok(_) | Err(_) => Err(HttpUrlError::Reference),
        }
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = SecretReference> {
        self.template.iter().flat_map(Secret::references)
    }

    /// The URL with each value in its place, escaped. None if a value is missing or would change the address.
    #[must_use]
    pub fn resolved(&self, values: &dyn Fn(&SecretReference) -> Option<Secret>) -> Option<Self> {
        let Some(template) = &self.template else { return Some(self.clone()) };
        let resolved = Self::parse(&fill(template, values)?).ok()?;
        let segments = |url: &Url| url.path_segments().map(Iterator::count);
        // A value such as `..` would lead to another path.
        let is_same =
            resolved.url.origin() == self.url.origin() && segments(&resolved.url) == segments(&self.url);
        is_same.then_some(resolved)
    }

    /// The whole URL. It may hold a key, so it goes to its own server only.
    #[must_use]
    pub const fn expose(&self) -> &Url {
        &self.url
    }

    /// Scheme, host and port: `https://mcp.example.com`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether what is sent there can be read on its way: plain HTTP to another machine.
    #[must_use]
    pub fn is_readable_by_others(&self) -> bool {
        let is_here = match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.url.scheme() == "http" && !is_here
    }
}

/// The text with the escaped value of each reference in its place.
fn fill(
    text: &Secret,
    values: impl Fn(&SecretReference) -> Option<Secret>,
) -> Option<zeroize::Zeroizing<String>> {
    let mut filled = zeroize::Zeroizing::new(String::new());
    for part in text.parts() {
        match part {
            SecretPart::Text(plain) => filled.push_str(plain),
            SecretPart::Reference(reference) => {
                filled.extend(utf8_percent_encode(values(&reference)?.expose(), ESCAPED));
            }
        }
    }
    Some(filled)
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({}/…)", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origin_shows() {
        let url = HttpUrl::parse("https://MCP.example.com:443/s3cret?key=s3cret").expect("a URL");
        assert_eq!(url.origin(), "https://mcp.example.com");
        assert!(!format!("{url:?}").contains("s3cret"));
        assert_eq!(url.expose().query(), Some("key=s3cret"));
    }

    #[test]
    fn a_reference_stands_in_the_path_or_the_query_and_changes_no_address() {
        let parse = |text: &str| HttpUrl::parse_with_references(&Secret::new(text));
        let url = parse("https://a.example/\0secret:key\0/mcp?k=\0secret:key\0").expect("a URL");
        assert_eq!(url.origin(), "https://a.example");
        let with =
            |value: &str| url.resolved(&|_| Some(Secret::new(value))).map(|url| url.expose().to_string());
        assert_eq!(with("a/b?c#d").as_deref(), Some("https://a.example/a%2Fb%3Fc%23d/mcp?k=a%2Fb%3Fc%23d"));
        assert_eq!(with(".."), None);
        for bad in [
            "https://\0secret:host\0/mcp",
            "https://a.example:\0secret:port\0/mcp",
            "\0secret:all\0",
            "https://a.\0secret:host\0.example/",
            "https://\0secret:user\0@a.example/",
        ] {
            assert_eq!(parse(bad).err(), Some(HttpUrlError::Reference), "{bad}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for (text, error) in [
            ("mcp.example.com/mcp", HttpUrlError::NotAbsolute),
            ("/mcp", HttpUrlError::NotAbsolute),
            ("", HttpUrlError::NotAbsolute),
            ("https://", HttpUrlError::NotAbsolute),
            ("localhost:8080/mcp", HttpUrlError::Scheme),
            ("file:///etc/passwd", HttpUrlError::Scheme),
            ("wss://mcp.example.com", HttpUrlError::Scheme),
            ("https://maria@mcp.example.com", HttpUrlError::Credentials),
            ("https://:s3cret@mcp.example.com", HttpUrlError::Credentials),
            ("https://mcp.example.com/#a", HttpUrlError::Fragment),
        ] {
            assert_eq!(HttpUrl::parse(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn plain_http_is_readable_beyond_this_machine() {
        for here in ["http://localhost:1/a", "http://127.9.0.1", "http://[::1]:8/", "https://example.com"] {
            assert!(!HttpUrl::parse(here).expect(here).is_readable_by_others(), "{here}");
        }
        for elsewhere in
            ["http://example.com", "http://10.0.0.1", "http://0.0.0.0:1", "http://localhost.evil.io"]
        {
            assert!(HttpUrl::parse(elsewhere).expect(elsewhere).is_readable_by_others(), "{elsewhere}");
        }
    }
}

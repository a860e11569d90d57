//! Why there is no token, in Portero's own words.

use reqwest::Url;

/// The longest error code of an authorization server that is shown, in bytes.
const MAX_CODE_BYTES: usize = 60;

/// Why a login or a request for a token failed. No variant holds a secret, or text that a server made up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// A person must log in.
    #[error("{0}")]
    LoginNeeded(String),
    /// A server couldn't be reached, or has a fault of its own. It may work later.
    #[error("{0}")]
    Unavailable(String),
    /// The server's or the issuer's metadata don't allow a login.
    #[error("{0}")]
    Metadata(String),
    /// The authorization server refused, with this error code (RFC 6749, 5.2).
    #[error("{origin} refused: {code}")]
    Refused {
        /// Scheme, host and port of the authorization server.
        origin: String,
        /// Its error code.
        code: String,
    },
    /// The server's entry in the configuration doesn't fit.
    #[error("{0}")]
    Configuration(String),
    /// There is no open login with this `state`: it is unknown, was answered already, or is too old.
    #[error("this answer belongs to no open login; begin the login again")]
    UnknownLogin,
    /// The answer of the browser isn't from the issuer that the login began with (RFC 9207).
    #[error("the answer comes from another issuer than the one that was asked; the login was ended")]
    OtherIssuer,
    /// The tokens couldn't be read or kept.
    #[error("its login cannot be read or kept: {0}")]
    Storage(String),
}

impl OAuthError {
    /// A person must log in to this server.
    pub(super) fn login(server: &portero::names::ServerName, why: &str) -> Self {
        Self::LoginNeeded(format!("{why}: run `portero login {server}`"))
    }

    /// What an authorization server said against a request.
    pub(super) fn refused(endpoint: &Url, code: Option<&str>) -> Self {
        let is_code = |code: &&str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            !code.is_empty() && code.len() <= MAX_CODE_BYTES && code.bytes().all(is_plain)
        };
        // Only a code is shown: a description may repeat what was sent.
        let code = code.filter(is_code).unwrap_or("without a reason").to_owned();
        Self::Refused { origin: origin(endpoint), code }
    }

    /// Whether a later try may work without a person.
    pub(super) const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Storage(_))
    }
}

/// The part of a URL that may be shown.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

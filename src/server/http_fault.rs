//! Why a request over HTTP got no answer, and whether the server began it.

use super::ServerError;
use crate::names::ServerName;

/// Why a request over HTTP has no answer, in Portero's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpFault {
    /// The server knows the session no more. It didn't begin the request.
    SessionEnded,
    /// The request didn't reach the server, or the server didn't begin it.
    NotReached(String),
    /// The server wants a login or another credential. It didn't begin the request.
    LoginNeeded(String),
    /// The effect is unknown.
    Failed(String),
}

impl HttpFault {
    /// Why, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::SessionEnded => "its session ended",
            Self::NotReached(why) | Self::LoginNeeded(why) | Self::Failed(why) => why,
        }
    }

    pub(super) fn into_error(self, server: ServerName) -> ServerError {
        match self {
            Self::SessionEnded => ServerError::SessionEnded(server),
            Self::NotReached(why) => ServerError::NotReached(server, why),
            Self::LoginNeeded(why) => ServerError::LoginNeeded(server, why),
            Self::Failed(why) => ServerError::RequestFailed(server, why),
        }
    }
}

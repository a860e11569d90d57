//! Access tokens: who may ask over HTTPS.

use serde::{Deserialize, Serialize};

use crate::access::{AccessScope, AccessToken, TokenName};
use crate::ipc::{Challenge, DisclosedSecret, FailureKind, Request, Response};

impl Response for AccessToken {}

impl Response for CreatedToken {
    fn describe_lost(&self) -> (FailureKind, String) {
        let words = format!("the token `{}` was made, but could not be shown; revoke it", self.token.name);
        (FailureKind::Internal, words)
    }
}

/// Create an access token. Widens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateToken {
    /// Its name, which no other token has.
    pub name: TokenName,
    /// What its holder may reach.
    pub scope: AccessScope,
    /// How long it is valid, in milliseconds; without it, until it is revoked.
    pub millis: Option<u64>,
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for CreateToken {
    const METHOD: &'static str = "tokens/create";
    type Response = CreatedToken;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// A token that was just created, with its secret, which is shown only this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    /// The whole token, as its holder presents it.
    pub secret: DisclosedSecret,
    /// The token.
    pub token: AccessToken,
}

/// List the access tokens, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListTokens;

impl Request for ListTokens {
    const METHOD: &'static str = "tokens/list";
    type Response = Vec<AccessToken>;
}

/// Revoke an access token: it is refused from now on, and its holder's sessions end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeToken {
    /// Its name.
    pub name: TokenName,
}

impl Request for RevokeToken {
    const METHOD: &'static str = "tokens/revoke";
    type Response = AccessToken;
}

//! Requests about the secrets that a person sets by name. None gives a value back.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ipc::{Challenge, CredentialPlace, DisclosedSecret, Request, Response};
use crate::names::SecretName;

/// Set a secret, or replace it. Servers then act with it, so the challenge is needed if a passphrase is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetSecret {
    /// Its name.
    pub name: SecretName,
    /// Its value.
    pub value: DisclosedSecret,
    /// How long it lasts.
    pub lifetime: SecretLifetime,
    /// The second factor, where one is set.
    pub challenge: Option<Challenge>,
}

/// How long a secret lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretLifetime {
    /// As long as the daemon's process, and no longer than this.
    InMemory(Option<Duration>),
    /// Until it is cleared.
    Kept,
}

impl Request for SetSecret {
    const METHOD: &'static str = "secrets/set";
    type Response = ();

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        self.challenge.as_mut()
    }
}

/// List the secrets that are set, sorted by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListSecrets;

impl Request for ListSecrets {
    const METHOD: &'static str = "secrets/list";
    type Response = Vec<NamedSecret>;
}

/// A secret that is set, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSecret {
    /// Its name.
    pub name: SecretName,
    /// Whether it is kept beyond the daemon's process.
    pub is_kept: bool,
    /// Where its key is, if it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<CredentialPlace>,
    /// Why it can't be opened now, with the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it was set.
    pub since: Timestamp,
    /// When it is forgotten; none if it stays.
    pub expires: Option<Timestamp>,
}

impl Response for NamedSecret {}

/// Clear a secret, or all of them if no name is given. It narrows. The response is how many were set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClearSecrets {
    /// The one to clear.
    pub name: Option<SecretName>,
}

impl Request for ClearSecrets {
    const METHOD: &'static str = "secrets/clear";
    type Response = u64;
}

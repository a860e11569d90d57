//! Credentials that outlive the daemon's process.

use std::fmt;
use std::str::FromStr;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use portero::ipc::CredentialPlace;
use portero::names::{NameError, SecretName, ServerName};
use portero::secret::Secret;

use crate::keyring::KeyringError;
use crate::store::StoreError;

/// The longest value, in bytes. A set of OAuth tokens with large JWTs has some kilobytes.
pub const MAX_CREDENTIAL_BYTES: usize = 64 << 10;
/// How many credentials are kept at most.
pub const MAX_CREDENTIALS: usize = 1000;

/// Under which name a credential is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialName {
    /// What OAuth got for a server: `oauth/SERVER`.
    OAuth(ServerName),
    /// What a person set: `secret/NAME`.
    Secret(SecretName),
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OAuth(server) => write!(f, "oauth/{server}"),
            Self::Secret(name) => write!(f, "secret/{name}"),
        }
    }
}

impl FromStr for CredentialName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some(("oauth", server)) => server.parse().map(Self::OAuth),
            Some(("secret", name)) => name.parse().map(Self::Secret),
            Some(_) | None => Err(NameError::NoSlash),
        }
    }
}

impl CredentialName {
    /// The command by which a person gives the credential again.
    #[must_use]
    pub fn command_to_give(&self) -> String {
        match self {
            Self::OAuth(server) => format!("portero login {server}"),
            Self::Secret(name) => format!("portero secret set {name} --keep"),
        }
    }
}

/// Why a credential wasn't loaded or kept. No variant holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key beside the store can't be read or made.
    #[error("the key of the kept credentials, {path}, cannot be read or made: {problem}")]
    Key {
        /// Its file.
        path: String,
        /// The reason.
        problem: String,
    },
    /// The value was sealed under another key, or changed since.
    #[error(
        "the kept credential `{0}` is damaged, or was sealed under another key; clear it and set it again"
    )]
    Damaged(CredentialName),
    /// It is sealed under a key in the keyring, which can't be asked for it now.
    #[error("the kept credential `{name}` can't be opened: {problem}; {hint}", hint = .problem.hint())]
    Locked {
        /// The credential.
        name: CredentialName,
        /// What is wrong with the keyring.
        problem: KeyringError,
    },
    /// It is sealed under a key that the keyring has no more.
    #[error(
        "the kept credential `{name}` can't be opened, because the system's keyring does not have its key any more; \
         run `{command}` to give it again", command = .name.command_to_give()
    )]
    KeyMissing {
        /// The credential.
        name: CredentialName,
    },
    /// `credentials.keyring` is true, and there is no keyring that could hold the key.
    #[error("nothing can be kept: {problem}; {hint}", hint = .problem.hint())]
    NoKeyring {
        /// What is wrong with the keyring.
        problem: KeyringError,
    },
    /// The value is too long.
    #[error("a credential has at most {MAX_CREDENTIAL_BYTES} bytes")]
    TooLong,
    /// Too many are kept.
    #[error("there are {MAX_CREDENTIALS} kept credentials, which is the most; clear one first")]
    TooMany,
}

/// A credential that is kept, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCredential {
    /// Its name.
    pub name: CredentialName,
    /// When its present value was kept.
    pub since: Timestamp,
    /// Where the key is that opens it.
    pub place: CredentialPlace,
    /// Why it can't be opened now, with the next step.
    pub trouble: Option<String>,
}

/// Where credentials outlive the daemon's process.
pub trait KeptCredentials: Send + Sync {
    /// The value of this name, if one is kept.
    fn load<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<Option<Secret>, KeepError>>;

    /// Keeps a value, durably, and replaces an earlier one.
    fn save<'a>(
        &'a self,
        name: &'a CredentialName,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeepError>>;

    /// Forgets a value. False if none was kept.
    fn forget<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<bool, KeepError>>;

    /// What is kept, sorted by name.
    fn list(&self) -> BoxFuture<'_, Result<Vec<KeptCredential>, KeepError>>;
}

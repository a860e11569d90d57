//! Where credentials toward servers are kept.

use serde::{Deserialize, Serialize};

/// Where the key of a kept credential is. The credential itself is sealed in the store in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialPlace {
    /// In the system's keyring.
    Keyring,
    /// In a file beside the store.
    #[default]
    Store,
}

impl CredentialPlace {
    /// The place in words, after "kept".
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Keyring => "sealed with a key in the system's keyring",
            Self::Store => "sealed in the store",
        }
    }
}

/// How credentials are kept, and what is wrong with that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsStatus {
    /// Where the key is of what is kept from now on.
    pub place: CredentialPlace,
    /// Why that isn't the keyring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many have their key in the keyring.
    pub in_keyring: usize,
    /// How many have it in the file beside the store.
    pub in_store: usize,
    /// What a person should do something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Those that can't be opened now.
    #[serde(default)]
    pub unreadable: Vec<UnreadableCredential>,
}

/// A kept credential that can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableCredential {
    /// Its name, as `oauth/linear` or `secret/github`.
    pub name: String,
    /// Why, with the next step.
    pub trouble: String,
}

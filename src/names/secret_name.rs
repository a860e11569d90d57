//! Names of secrets that a person sets.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{NameError, check_name};

/// The most characters of a [`SecretName`].
pub const MAX_SECRET_NAME_LENGTH: usize = 64;

/// The name of a secret that a person sets with `portero secret set`, and that `${secret:NAME}` refers to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(pub(super) Arc<str>);

impl SecretName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_name("secret", MAX_SECRET_NAME_LENGTH, text)?;
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_secret_is_one_word() {
        assert_eq!("github.token-2_b".parse::<SecretName>().expect("a name").as_str(), "github.token-2_b");
        for bad in ["", "a b", "a/b", "a\n", "é", &"x".repeat(MAX_SECRET_NAME_LENGTH + 1)] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
    }
}

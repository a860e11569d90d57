//! Text that never prints itself.
//!
//! A [`Secret`] has no `Display`, a hidden `Debug`, doesn't serialize, and is wiped when dropped. Its text is
//! reached only through [`Secret::expose`], so all places that read one can be found.
//! A configured one can hold references to what only the daemon looks up.

mod reference;

use std::fmt;

use zeroize::Zeroizing;

pub use self::reference::{ReferenceError, SecretPart, SecretReference};

/// A text that must not appear in a log, an error or an answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}

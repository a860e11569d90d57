//! The key of one session's process, by which the daemon knows its connections from those of other processes.
//!
//! A session's id is in tasks and in the audit, so any process of the user can say it. The key is made in the
//! session's process and leaves it only toward a daemon that has proved which store it keeps. The daemon keeps no more
//! than [`SessionKey::holder`], which gives nothing away.

use crate::digest::FieldDigest;
use crate::secret::Secret;

/// How many random bytes a key has.
const KEY_BYTES: usize = 32;

/// The key of a session's process. It doesn't print itself, and is wiped when dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey(Secret);

impl SessionKey {
    /// A new one.
    #[must_use]
    pub fn fresh() -> Self {
        let bytes = zeroize::Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
        Self(Secret::new(data_encoding::HEXLOWER.encode(&*bytes)))
    }

    /// The key that a session showed.
    #[must_use]
    pub const fn from_shown(key: Secret) -> Self {
        Self(key)
    }

    /// To show it to the daemon, and to no one else.
    #[must_use]
    pub fn to_shown(&self) -> Secret {
        self.0.clone()
    }

    /// What others know its holder by.
    #[must_use]
    pub fn holder(&self) -> String {
        FieldDigest::new("portero session holder v1").bytes("key", self.0.expose()).to_hex()
    }

    /// The key under which the session computes its own bindings: the daemon, which is shown those, can't test guesses
    /// at the values in them unless it is shown the session's key too.
    #[must_use]
    pub fn binding_key(&self) -> [u8; 32] {
        blake3::derive_key("portero 2026-11-30 session binding", self.0.expose().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_holder_and_another_key_another() {
        let (one, other) = (SessionKey::fresh(), SessionKey::fresh());
        assert_eq!(one.holder(), SessionKey::from_shown(one.to_shown()).holder());
        assert_ne!(one.holder(), other.holder());
        assert_ne!(one.binding_key(), other.binding_key());
        assert!(!one.holder().contains(one.to_shown().expose()));
        assert!(!format!("{one:?}").contains(one.to_shown().expose()));
    }
}

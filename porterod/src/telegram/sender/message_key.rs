//! The names of messages, by which none is sent twice.

/// Why a message is sent: a name that is the same whenever the same message would be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageKey(String);

impl MessageKey {
    /// Such as `card` and a task's id.
    #[must_use]
    pub fn new(kind: &'static str, of: impl std::fmt::Display) -> Self {
        Self(format!("{kind}:{of}"))
    }

    /// One whose name is known.
    #[must_use]
    pub fn from_stored(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of message it is the cause of.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

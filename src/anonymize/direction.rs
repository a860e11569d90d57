//! The two sides of the anonymizer as types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A concealed value: the agent, its vendor, Telegram, logs and the terminal may see it.
///
/// Only [`Anonymizer`](super::Anonymizer) makes one from foreign text. It deserializes, because Portero stores
/// concealed values and sends them between its own programs. Nothing else may be read as one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fake<T>(T);

impl<T> Fake<T> {
    /// Marks a value as concealed. Only the anonymizer can know that.
    pub(super) const fn concealed(value: T) -> Self {
        Self(value)
    }

    /// The concealed value.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// Unwraps the concealed value, at an exit toward the agent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Fake<&'static str> {
    /// Wraps Portero's own fixed text.
    #[must_use]
    pub const fn from_static(words: &'static str) -> Self {
        Self(words)
    }
}

impl From<Fake<&'static str>> for Fake<String> {
    fn from(own: Fake<&'static str>) -> Self {
        Self(own.0.to_owned())
    }
}

impl<T: fmt::Debug> fmt::Debug for Fake<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value that only a child server may see. It neither prints nor serializes itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Real<T>(T);

impl<T> Real<T> {
    /// Marks a value as real. All that comes from a server is real until it is concealed.
    pub const fn from_server(value: T) -> Self {
        Self(value)
    }

    /// Marks a value as revealed. Only the anonymizer reveals.
    pub(super) const fn revealed(value: T) -> Self {
        Self(value)
    }

    /// The real value, at the exit toward a server.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the real value, at the exit toward a server.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Real<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Real(…)")
    }
}

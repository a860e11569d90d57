//! The revisions of MCP.

use std::fmt;
use std::str::FromStr;

/// A revision of MCP, ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// 2024-11-05: the first.
    V2024_11_05,
    /// 2025-03-26: batches, audio, annotations of tools.
    V2025_03_26,
    /// 2025-06-18: structured results, elicitation, resource links.
    V2025_06_18,
    /// 2025-11-25: icons, URL elicitation, experimental tasks.
    V2025_11_25,
    /// 2026-07-28: stateless; no `initialize`, every request carries its own `_meta`.
    V2026_07_28,
}

/// A text that names no known revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no protocol version that Portero speaks")]
pub struct UnknownRevision;

impl Revision {
    /// All revisions, the oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];
    /// The newest that `initialize` can agree on.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;
    /// The newest.
    pub const LATEST: Self = Self::V2026_07_28;

    /// The revision on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision to answer to an `initialize` for `requested`: the same if it is known, else the newest
    /// with `initialize` (2025-11-25, Base Protocol, Lifecycle, "Version Negotiation").
    #[must_use]
    pub fn negotiate(requested: &str) -> Self {
        match requested.parse::<Self>() {
            Ok(revision) if !revision.is_modern() => revision,
            Ok(_) | Err(UnknownRevision) => Self::LATEST_LEGACY,
        }
    }

    /// Whether it is stateless, without `initialize`.
    #[must_use]
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::V2026_07_28)
    }

    /// Whether a line may be an array of messages. Only 2025-03-26 allows that.
    #[must_use]
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }
}

impl FromStr for Revision {
    type Err = UnknownRevision;

    fn from_str(text: &str) -> Result<Self, UnknownRevision> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text).ok_or(UnknownRevision)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_revision_reads_back_and_they_are_ordered() {
        for revision in Revision::ALL {
            assert_eq!(revision.as_str().parse(), Ok(revision));
        }
        assert!(Revision::ALL.is_sorted());
    }

    #[test]
    fn initialize_agrees_on_a_legacy_revision() {
        for (asked, agreed) in [
            ("2024-11-05", Revision::V2024_11_05),
            ("2025-03-26", Revision::V2025_03_26),
            ("2025-11-25", Revision::V2025_11_25),
            ("2026-07-28", Revision::V2025_11_25),
            ("zzz", Revision::V2025_11_25),
            ("", Revision::V2025_11_25),
        ] {
            assert_eq!(Revision::negotiate(asked), agreed, "{asked}");
        }
    }
}

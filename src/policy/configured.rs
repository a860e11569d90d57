//! What the files say, arranged for deciding.

use super::layer::Layer;
use super::quorum::Quorum;
use super::{ConfigPolicy, Decision, Source};
use crate::names::ToolId;

/// A configured policy and, while an edit waits for a person, the one that was confirmed.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) written: ConfigPolicy,
    pub(super) entries: Layer,
    pub(super) confirmed: Option<Box<Self>>,
}

impl Configured {
    pub(super) fn new(mut written: ConfigPolicy) -> Self {
        written.quorums.iter_mut().for_each(Quorum::arrange);
        written.quorums.sort_by_cached_key(Quorum::rank);
        let entries = Layer::new(written.entries.iter().cloned());
        let confirmed =
            written.confirmed.as_deref().map(|confirmed| Box::new(Self::new(confirmed.as_confirmed())));
        Self { written, entries, confirmed }
    }

    pub(super) fn fallback(&self) -> Decision {
        Decision {
            action: self.written.default,
            pattern: None,
            source: Source::Default,
            locked: false,
            case: None,
        }
    }

    pub(super) fn is_locked(&self, tool: &ToolId) -> bool {
        self.written.locked.iter().any(|pattern| pattern.matches(tool)) || self.quorums(tool).next().is_some()
    }

    /// What several people must say of a tool, the strictest first.
    pub(super) fn quorums<'a, 't>(
        &'a self,
        tool: &'t ToolId,
    ) -> impl Iterator<Item = &'a Quorum> + use<'a, 't> {
        self.written.quorums.iter().filter(|quorum| quorum.covers(tool))
    }
}

impl ConfigPolicy {
    /// With its places named as those of the confirmed files.
    fn as_confirmed(&self) -> Self {
        let confirmed = |source: &Source| match *source {
            Source::Config { line, column } => Source::Confirmed { line, column },
            Source::Quorum { line, column } => Source::ConfirmedQuorum { line, column },
            ref other => other.clone(),
        };
        let mut policy = self.clone();
        for entry in &mut policy.entries {
            entry.source = confirmed(&entry.source);
            entry.cases.iter_mut().for_each(|case| case.source = confirmed(&case.source));
        }
        policy.quorums.iter_mut().for_each(|quorum| quorum.source = confirmed(&quorum.source));
        policy
    }
}

//! The configured policy, prepared for deciding.

use super::entry_index::EntryIndex;
use super::quorum::Quorum;
use super::{ConfigPolicy, Decision, DecisionSource};
use crate::names::ToolId;

/// A configured policy and, while an edit waits for a person, the one that was confirmed.
#[derive(Debug)]
pub(super) struct CompiledConfig {
    pub(super) config: ConfigPolicy,
    pub(super) entries: EntryIndex,
    pub(super) approved: Option<Box<Self>>,
}

impl CompiledConfig {
    pub(super) fn new(mut written: ConfigPolicy) -> Self {
        written.quorums.iter_mut().for_each(Quorum::normalize);
        written.quorums.sort_by_cached_key(Quorum::sort_key);
        let entries = EntryIndex::new(written.entries.iter().cloned());
        let confirmed = written
            .approved
            .as_deref()
            .map(|confirmed| Box::new(Self::new(confirmed.with_approved_sources())));
        Self { config: written, entries, approved: confirmed }
    }

    pub(super) fn default_decision(&self) -> Decision {
        Decision {
            action: self.config.default,
            pattern: None,
            source: DecisionSource::Default,
            locked: false,
            case: None,
        }
    }

    pub(super) fn is_locked(&self, tool: &ToolId) -> bool {
        // A quorum locks its tools too. Otherwise a grant would replace several people's approval by one
        // person's.
        self.config.locked.iter().any(|pattern| pattern.matches(tool)) || self.quorums(tool).next().is_some()
    }

    /// Whether the list of reading tools has a tool.
    pub(super) fn lists_as_reading(&self, tool: &ToolId) -> bool {
        self.config.reads.iter().any(|pattern| pattern.matches(tool))
    }

    /// The quorums of a tool, the strictest first.
    pub(super) fn quorums<'a, 't>(
        &'a self,
        tool: &'t ToolId,
    ) -> impl Iterator<Item = &'a Quorum> + use<'a, 't> {
        self.config.quorums.iter().filter(|quorum| quorum.covers(tool))
    }
}

impl ConfigPolicy {
    /// The same policy, with its sources marked as those of the confirmed files.
    fn with_approved_sources(&self) -> Self {
        let confirmed = |source: &DecisionSource| match *source {
            DecisionSource::Config { line, column } => DecisionSource::Confirmed { line, column },
            DecisionSource::Quorum { line, column } => DecisionSource::ConfirmedQuorum { line, column },
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

//! One layer of precedence, sorted so that the first match is the one that counts.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Entry;
use crate::names::ToolId;

/// Entries that stand beside each other: exact ones by their names, the rest strongest first.
#[derive(Debug, Default)]
pub(super) struct Layer {
    exact: HashMap<ToolId, Vec<Entry>>,
    patterns: Vec<Entry>,
}

impl Layer {
    /// Sorts by specificity, then strictness. Text and place come last: they make the reason that is given
    /// independent of the order in which things were written.
    pub(super) fn new(entries: impl Iterator<Item = Entry>) -> Self {
        let mut layer = Self::default();
        for entry in entries {
            match entry.pattern.exact() {
                Some(tool) => layer.exact.entry(tool.clone()).or_default().push(entry),
                None => layer.patterns.push(entry),
            }
        }
        layer.exact.values_mut().chain([&mut layer.patterns]).for_each(|entries| {
            entries.sort_by_cached_key(|entry| {
                (
                    Reverse(entry.pattern.specificity()),
                    Reverse(entry.action),
                    entry.pattern.as_str().to_owned(),
                    entry.source.clone(),
                )
            });
        });
        layer
    }

    /// The entry that counts for this tool: an exact one before any pattern.
    pub(super) fn first(&self, tool: &ToolId) -> Option<&Entry> {
        self.all(tool).next()
    }

    /// Every entry that matches, the strongest first.
    pub(super) fn all<'a, 't>(&'a self, tool: &'t ToolId) -> impl Iterator<Item = &'a Entry> + use<'a, 't> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(tool) };
        exact
            .into_iter()
            .flatten()
            .chain(self.patterns.iter().filter(move |entry| entry.pattern.matches(tool)))
    }
}

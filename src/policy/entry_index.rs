//! One layer of precedence, sorted so that the first match decides.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::condition::{PolicyCase, Truth};
use super::{Action, CallIdentity, Decision, MatchedCase, PolicyEntry};
use crate::names::ToolId;

/// What the cases of entries and the limits of grants look at.
#[derive(Debug, Clone, Copy)]
pub(super) enum ArgumentsView<'a> {
    /// A call's arguments, as far as they are known.
    Arguments(Option<&'a RawValue>),
    /// A whole call.
    Call(CallIdentity<'a>),
    /// No call yet: the loosest action of each entry counts, and the limits of grants to arguments don't.
    Loosest,
}

/// The entries of one layer: exact ones by name, the others strongest first.
#[derive(Debug, Default)]
pub(super) struct EntryIndex {
    exact: HashMap<ToolId, Vec<PolicyEntry>>,
    patterns: Vec<PolicyEntry>,
}

impl EntryIndex {
    /// Sorts by specificity, then by the strictest action of an entry. Text and source come last, so that the
    /// reason given doesn't depend on the order in which entries were written.
    pub(super) fn new(entries: impl Iterator<Item = PolicyEntry>) -> Self {
        let mut layer = Self::default();
        for entry in entries {
            match entry.pattern.exact_tool() {
                Some(tool) => layer.exact.entry(tool.clone()).or_default().push(entry),
                None => layer.patterns.push(entry),
            }
        }
        layer.exact.values_mut().chain([&mut layer.patterns]).for_each(|entries| {
            entries.sort_by_cached_key(|entry| {
                (
                    Reverse(entry.pattern.specificity()),
                    Reverse(entry.strictest()),
                    entry.pattern.as_str().to_owned(),
                    entry.source.clone(),
                )
            });
        });
        layer
    }

    /// The decision of this layer: the strictest of the most specific entries.
    pub(super) fn decide(&self, tool: &ToolId, view: ArgumentsView<'_>) -> Option<Decision> {
        let mut matching = self.matching(tool);
        let first = matching.next()?;
        let mut decision = first.decide(view);
        if first.cases.is_empty() {
            // Sorted strictest first, and without cases an entry always gives its strictest action. No other
            // can be stricter.
            return Some(decision);
        }
        // With cases an entry may give less than its strictest, so the others of the same specificity are
        // asked too.
        let specificity = first.pattern.specificity();
        for other in matching.take_while(|other| other.pattern.specificity() == specificity) {
            let also = other.decide(view);
            if also.action > decision.action {
                decision = also;
            }
        }
        Some(decision)
    }

    /// All matching entries, the strongest first.
    pub(super) fn matching<'a, 't>(
        &'a self,
        tool: &'t ToolId,
    ) -> impl Iterator<Item = &'a PolicyEntry> + use<'a, 't> {
        // An exact name is more specific than any pattern, so it comes first.
        let exact = if self.exact.is_empty() { None } else { self.exact.get(tool) };
        exact
            .into_iter()
            .flatten()
            .chain(self.patterns.iter().filter(move |entry| entry.pattern.matches(tool)))
    }
}

impl PolicyCase {
    /// What it says of arguments that meet it so far. Where they cannot be read a person looks at them: nothing says that
    /// they are what is denied, and nothing that they are not.
    fn action_at(&self, truth: Truth) -> Action {
        match truth {
            Truth::Unreadable => self.action.min(Action::RequireApproval),
            Truth::No | Truth::Unsure | Truth::Yes => self.action,
        }
    }
}

impl PolicyEntry {
    /// The action of each case, and the one if no case matches.
    pub(super) fn actions(&self) -> impl Iterator<Item = Action> {
        self.cases.iter().map(|case| case.action).chain([self.action])
    }

    pub(super) fn strictest(&self) -> Action {
        self.actions().max().unwrap_or(self.action)
    }

    fn decide(&self, view: ArgumentsView<'_>) -> Decision {
        match view {
            ArgumentsView::Arguments(_) | ArgumentsView::Call(_) if self.cases.is_empty() => {
                self.fallback_decision()
            }
            ArgumentsView::Arguments(arguments) | ArgumentsView::Call(CallIdentity { arguments, .. }) => {
                self.possible_decisions(arguments).swap_remove(0)
            }
            ArgumentsView::Loosest => {
                let action = self.actions().min().unwrap_or(self.action);
                Decision { action, ..self.fallback_decision() }
            }
        }
    }

    /// The decision about these arguments, and after it every other one that matches or could match.
    ///
    /// The strictest case that certainly matches decides, or else the entry's own action. An unsure case
    /// decides where it is stricter: of all that could hold, the strictest does.
    pub(super) fn possible_decisions(&self, arguments: Option<&RawValue>) -> Vec<Decision> {
        let mut cases: Vec<(Truth, &PolicyCase)> = self
            .cases
            .iter()
            .map(|case| (case.evaluate(arguments), case))
            .filter(|(truth, _)| *truth > Truth::No)
            .collect();
        cases.sort_by_key(|(truth, case)| (Reverse(case.action_at(*truth)), Reverse(*truth), case.number));
        let matched = |(truth, case): &(Truth, &PolicyCase)| self.case_decision(case, *truth);
        let mut outcomes: Vec<_> = cases.iter().map(matched).collect();
        outcomes.push(self.fallback_decision());
        // Sorted strictest first, so the first certain case outweighs the certain ones after it. Without one,
        // the index is that of the fallback, which was pushed last. An unsure case before it decides if it is
        // stricter.
        let certain = cases.iter().position(|(truth, _)| *truth == Truth::Yes).unwrap_or(cases.len());
        let stricter = outcomes[..certain].iter().position(|unsure| unsure.action > outcomes[certain].action);
        let counts = outcomes.remove(stricter.unwrap_or(certain));
        outcomes.insert(0, counts);
        outcomes
    }

    pub(super) fn fallback_decision(&self) -> Decision {
        Decision {
            action: self.action,
            pattern: Some(self.pattern.clone()),
            source: self.source.clone(),
            locked: false,
            case: None,
        }
    }

    fn case_decision(&self, case: &PolicyCase, truth: Truth) -> Decision {
        Decision {
            action: case.action_at(truth),
            source: case.source.clone(),
            case: Some(MatchedCase { number: case.number, sure: truth == Truth::Yes }),
            ..self.fallback_decision()
        }
    }
}

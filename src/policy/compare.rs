//! Which edits of a policy widen it, and which narrow it.
//!
//! An edit that isn't marked as widening loosens no call of any tool, for any arguments, rules and grants. The
//! reverse doesn't hold: an edit counts as widening wherever loosening can't be excluded.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use super::{Action, ConfigPolicy, PolicyEntry};
use crate::pattern::{Pattern, Specificity};

/// One difference between two policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEdit {
    /// Whether the edit could loosen some call of some tool.
    pub widens: bool,
    /// The difference in words: the pattern, the old and new action, and where they are written.
    pub description: String,
}

/// All differences of `changed` from `confirmed`, by pattern. An entry that only moved within the file is no
/// edit.
#[must_use]
pub fn compare_policies(confirmed: &ConfigPolicy, changed: &ConfigPolicy) -> Vec<PolicyEdit> {
    let (before, after) = (PolicyStatement::from_policy(confirmed), PolicyStatement::from_policy(changed));
    let widening = WideningEdits::find_widening(&before, &after);
    let mut edits = Vec::new();
    if confirmed.default != changed.default {
        let words = format!("`defaultPolicy`: {} → {}", confirmed.default, changed.default);
        edits.push(PolicyEdit { widens: widening.default, description: words });
    }
    for (pattern, (was, is)) in pair_by_pattern(confirmed, changed) {
        if !same_entries(&was, &is) {
            edits.push(PolicyEdit {
                widens: widening.patterns.contains(pattern.as_str()),
                description: describe_edit(pattern, &was, &is),
            });
        }
    }
    for pattern in confirmed.locked.iter().filter(|pattern| !changed.locked.contains(pattern)) {
        let words = format!("`{pattern}` is no longer locked: rules and grants can loosen it");
        edits.push(PolicyEdit { widens: true, description: words });
    }
    for pattern in changed.locked.iter().filter(|pattern| !confirmed.locked.contains(pattern)) {
        edits.push(PolicyEdit { widens: false, description: format!("`{pattern}` is locked") });
    }
    // A grant that is limited to reading covers what is added, so that widens. Where no such grant is, it could be made
    // a moment later.
    for pattern in changed.reads.iter().filter(|pattern| !confirmed.reads.contains(pattern)) {
        let words = format!("`{pattern}` is listed as reading: grants for what only reads cover it");
        edits.push(PolicyEdit { widens: true, description: words });
    }
    for pattern in confirmed.reads.iter().filter(|pattern| !changed.reads.contains(pattern)) {
        let words = format!("`{pattern}` is no longer listed as reading");
        edits.push(PolicyEdit { widens: false, description: words });
    }
    edits
}

/// An entry, or the default, which is weaker than any entry.
#[derive(Clone, Copy)]
enum PolicyStatement<'a> {
    Entry(&'a PolicyEntry),
    Default(Action),
}

impl<'a> PolicyStatement<'a> {
    fn from_policy(policy: &'a ConfigPolicy) -> Vec<Self> {
        let entries = policy.entries.iter().map(Self::Entry);
        entries.chain([Self::Default(policy.default)]).collect()
    }

    fn pattern(self) -> Option<&'a Pattern> {
        match self {
            Self::Entry(entry) => Some(&entry.pattern),
            Self::Default(_) => None,
        }
    }

    fn pattern_text(self) -> Option<&'a str> {
        self.pattern().map(Pattern::as_str)
    }

    fn specificity(self) -> Option<Specificity> {
        self.pattern().map(Pattern::specificity)
    }

    fn loosest(self) -> Action {
        match self {
            Self::Entry(entry) => entry.actions().min().unwrap_or(entry.action),
            Self::Default(action) => action,
        }
    }

    fn strictest(self) -> Action {
        match self {
            Self::Entry(entry) => entry.strictest(),
            Self::Default(action) => action,
        }
    }

    /// Whether some tool is covered by both.
    fn may_overlap(self, other: Self) -> bool {
        match (self.pattern(), other.pattern()) {
            (Some(one), Some(two)) => one.may_overlap(two),
            // The default covers every tool.
            (None, _) | (_, None) => true,
        }
    }

    /// Whether it never decides about the exact tool of `other`, because another statement of `all` is more
    /// specific there.
    fn is_outweighed(self, other: Self, all: &[Self]) -> bool {
        let Some(tool) = other.pattern().and_then(Pattern::exact_tool) else { return false };
        all.iter().any(|said| {
            said.specificity() > self.specificity()
                && said.pattern().is_some_and(|pattern| pattern.matches(tool))
        })
    }

    /// Whether it has the pattern of `other` and is never looser, whatever the arguments.
    fn supersedes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Entry(new), Self::Entry(old)) => new.pattern == old.pattern && is_as_strict(new, old),
            (Self::Default(new), Self::Default(old)) => new >= old,
            (Self::Entry(_), Self::Default(_)) | (Self::Default(_), Self::Entry(_)) => false,
        }
    }
}

/// The patterns whose edits could loosen a call, and whether an edit of the default could.
#[derive(Default)]
struct WideningEdits<'a> {
    patterns: HashSet<&'a str>,
    default: bool,
}

impl<'a> WideningEdits<'a> {
    /// Marks the edits that can loosen a call. A call becomes looser only if one statement (`old`) decided it
    /// before, another (`new`) decides it now, and both cover its tool. So each such pair is tried.
    fn find_widening(before: &[PolicyStatement<'a>], after: &[PolicyStatement<'a>]) -> Self {
        let mut found = Self::default();
        let known: HashSet<_> = before.iter().map(|said| said.pattern_text()).collect();
        let kept: Vec<bool> = before.iter().map(|old| after.iter().any(|new| new.supersedes(*old))).collect();
        for new in after {
            let is_known = known.contains(&new.pattern_text());
            for (old, kept) in before.iter().zip(&kept) {
                // An unchanged statement loses only to a more specific one. And where `new` existed before and
                // is more specific, it already outweighed `old`.
                let hidden = (*kept && new.specificity() <= old.specificity())
                    || (is_known && old.specificity() < new.specificity());
                if !hidden
                    && new.loosest() < old.strictest()
                    && new.may_overlap(*old)
                    && !old.is_outweighed(*new, before)
                    && !new.is_outweighed(*old, after)
                {
                    if !is_known {
                        found.mark_widening(*new);
                    }
                    if !kept {
                        found.mark_widening(*old);
                    }
                }
            }
        }
        found
    }

    fn mark_widening(&mut self, said: PolicyStatement<'a>) {
        match said.pattern_text() {
            Some(pattern) => drop(self.patterns.insert(pattern)),
            None => self.default = true,
        }
    }
}

/// Whether `new` is never looser than `old`, whatever the arguments.
fn is_as_strict(new: &PolicyEntry, old: &PolicyEntry) -> bool {
    if new.actions().min() >= Some(old.strictest()) {
        return true;
    }
    let loosest = new.actions().min().unwrap_or(new.action);
    let mut added: Vec<_> = new.cases.iter().collect();
    // A kept case needs one with the same conditions that is at least as strict. A case that is gone must have
    // been no stricter than all that can take its place.
    let cases_hold = old.cases.iter().all(|case| {
        let same = added.iter().position(|other| other.when == case.when && other.action >= case.action);
        same.map(|at| added.swap_remove(at)).is_some() || case.action <= loosest
    });
    // An added case may match where the old entry's own action held, so it must be at least as strict as that.
    cases_hold && new.action >= old.action && added.iter().all(|case| case.action >= old.action)
}

/// The entries of both policies for one pattern.
type EntryPair<'a> = (Vec<&'a PolicyEntry>, Vec<&'a PolicyEntry>);

fn pair_by_pattern<'a>(
    confirmed: &'a ConfigPolicy,
    changed: &'a ConfigPolicy,
) -> Vec<(&'a Pattern, EntryPair<'a>)> {
    let mut patterns: BTreeMap<&str, (&Pattern, EntryPair<'_>)> = BTreeMap::new();
    for entry in &confirmed.entries {
        let pattern =
            patterns.entry(entry.pattern.as_str()).or_insert_with(|| (&entry.pattern, EntryPair::default()));
        pattern.1.0.push(entry);
    }
    for entry in &changed.entries {
        let pattern =
            patterns.entry(entry.pattern.as_str()).or_insert_with(|| (&entry.pattern, EntryPair::default()));
        pattern.1.1.push(entry);
    }
    patterns.into_values().collect()
}

/// Whether two lists of entries for one pattern have the same effect, wherever they are written.
fn same_entries(was: &[&PolicyEntry], is: &[&PolicyEntry]) -> bool {
    let covered = |some: &[&PolicyEntry], others: &[&PolicyEntry]| {
        some.iter().all(|entry| others.iter().any(|other| same_effect(entry, other)))
    };
    covered(was, is) && covered(is, was)
}

fn same_effect(one: &PolicyEntry, two: &PolicyEntry) -> bool {
    let cases = |entry: &PolicyEntry| {
        entry.cases.iter().map(|case| (case.when.clone(), case.action)).collect::<Vec<_>>()
    };
    one.action == two.action && cases(one) == cases(two)
}

fn describe_edit(pattern: &Pattern, was: &[&PolicyEntry], is: &[&PolicyEntry]) -> String {
    let words = |entries: &[&PolicyEntry]| match entries {
        [] => "nothing said".to_owned(),
        entries => entries.iter().map(|entry| describe_entry(entry)).collect::<Vec<_>>().join(" and "),
    };
    let place = match (is, was) {
        ([entry, ..], _) => format!(" ({})", entry.source),
        ([], [entry, ..]) => format!(" ({} before)", entry.source),
        ([], []) => String::new(),
    };
    format!("`{pattern}`: {} → {}{place}", words(was), words(is))
}

/// An entry in words.
fn describe_entry(entry: &PolicyEntry) -> String {
    let mut words = String::new();
    for case in &entry.cases {
        let when: Vec<_> = case.when.iter().map(ToString::to_string).collect();
        let _ = write!(words, "{} when {}, ", case.action, when.join(" and "));
    }
    if !words.is_empty() {
        words.push_str("otherwise ");
    }
    let _ = write!(words, "{}", entry.action);
    words
}

#[cfg(test)]
mod tests;

//! What another policy would widen, and what it would narrow.
//!
//! An edit that is not marked as widening makes no call of any tool looser, whatever its arguments, and whatever
//! rules and grants there are. The other way round it is careful: where it cannot be told, it counts as
//! widening.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use super::{Action, ConfigPolicy, Entry};
use crate::pattern::{Pattern, Specificity};

/// One thing that two policies say differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Whether some call of some tool could become looser by it.
    pub widens: bool,
    /// In words: what, what it was, what it would be, and where that is written.
    pub words: String,
}

/// Everything that `changed` says otherwise than `confirmed`, in the order of patterns. What looks the same
/// and is only written elsewhere is no edit.
#[must_use]
pub fn edits(confirmed: &ConfigPolicy, changed: &ConfigPolicy) -> Vec<Edit> {
    let (before, after) = (Said::all(confirmed), Said::all(changed));
    let widening = Widening::find(&before, &after);
    let mut edits = Vec::new();
    if confirmed.default != changed.default {
        let words = format!("`defaultPolicy`: {} → {}", confirmed.default, changed.default);
        edits.push(Edit { widens: widening.default, words });
    }
    for (pattern, (was, is)) in by_pattern(confirmed, changed) {
        if !same(&was, &is) {
            edits.push(Edit {
                widens: widening.patterns.contains(pattern.as_str()),
                words: told(pattern, &was, &is),
            });
        }
    }
    for pattern in confirmed.locked.iter().filter(|pattern| !changed.locked.contains(pattern)) {
        let words = format!("`{pattern}` is no longer locked: rules and grants can loosen it");
        edits.push(Edit { widens: true, words });
    }
    for pattern in changed.locked.iter().filter(|pattern| !confirmed.locked.contains(pattern)) {
        edits.push(Edit { widens: false, words: format!("`{pattern}` is locked") });
    }
    edits
}

/// An entry, or the default, which is weaker than any.
#[derive(Clone, Copy)]
enum Said<'a> {
    Entry(&'a Entry),
    Default(Action),
}

impl<'a> Said<'a> {
    fn all(policy: &'a ConfigPolicy) -> Vec<Self> {
        let entries = policy.entries.iter().map(Self::Entry);
        entries.chain([Self::Default(policy.default)]).collect()
    }

    fn pattern(self) -> Option<&'a Pattern> {
        match self {
            Self::Entry(entry) => Some(&entry.pattern),
            Self::Default(_) => None,
        }
    }

    fn text(self) -> Option<&'a str> {
        self.pattern().map(Pattern::as_str)
    }

    fn weight(self) -> Option<Specificity> {
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
    fn may_meet(self, other: Self) -> bool {
        match (self.pattern(), other.pattern()) {
            (Some(one), Some(two)) => one.may_meet(two),
            (None, _) | (_, None) => true,
        }
    }

    /// Whether it never decides about the tool that `other` names, since something of `all` outweighs it there.
    fn is_outweighed(self, other: Self, all: &[Self]) -> bool {
        let Some(tool) = other.pattern().and_then(Pattern::exact) else { return false };
        all.iter().any(|said| {
            said.weight() > self.weight() && said.pattern().is_some_and(|pattern| pattern.matches(tool))
        })
    }

    /// Whether it is about the same and never looser.
    fn replaces(self, other: Self) -> bool {
        match (self, other) {
            (Self::Entry(new), Self::Entry(old)) => new.pattern == old.pattern && is_as_strict(new, old),
            (Self::Default(new), Self::Default(old)) => new >= old,
            (Self::Entry(_), Self::Default(_)) | (Self::Default(_), Self::Entry(_)) => false,
        }
    }
}

/// What could let a call pass better than before.
#[derive(Default)]
struct Widening<'a> {
    patterns: HashSet<&'a str>,
    default: bool,
}

impl<'a> Widening<'a> {
    /// A call becomes looser only where one thing decided it before, `old`, and another, `new`, decides it now,
    /// and both cover its tool. Each pair for which that can be is marked.
    fn find(before: &[Said<'a>], after: &[Said<'a>]) -> Self {
        let mut found = Self::default();
        let known: HashSet<_> = before.iter().map(|said| said.text()).collect();
        let kept: Vec<bool> = before.iter().map(|old| after.iter().any(|new| new.replaces(*old))).collect();
        for new in after {
            let is_known = known.contains(&new.text());
            for (old, kept) in before.iter().zip(&kept) {
                // What stays gives way only to what is more specific, and what was there before did so to `old`.
                let hidden =
                    (*kept && new.weight() <= old.weight()) || (is_known && old.weight() < new.weight());
                if !hidden
                    && new.loosest() < old.strictest()
                    && new.may_meet(*old)
                    && !old.is_outweighed(*new, before)
                    && !new.is_outweighed(*old, after)
                {
                    if !is_known {
                        found.mark(*new);
                    }
                    if !kept {
                        found.mark(*old);
                    }
                }
            }
        }
        found
    }

    fn mark(&mut self, said: Said<'a>) {
        match said.text() {
            Some(pattern) => drop(self.patterns.insert(pattern)),
            None => self.default = true,
        }
    }
}

/// Whether `new` is never looser than `old`, whatever the arguments.
fn is_as_strict(new: &Entry, old: &Entry) -> bool {
    if new.actions().min() >= Some(old.strictest()) {
        return true;
    }
    let loosest = new.actions().min().unwrap_or(new.action);
    let mut added: Vec<_> = new.cases.iter().collect();
    // A case stays where one with the same conditions says at least that; one that is gone must have been
    // looser than all that is left to hold in its place.
    let cases_hold = old.cases.iter().all(|case| {
        let same = added.iter().position(|other| other.when == case.when && other.action >= case.action);
        same.map(|at| added.swap_remove(at)).is_some() || case.action <= loosest
    });
    cases_hold && new.action >= old.action && added.iter().all(|case| case.action >= old.action)
}

/// What each policy says of each pattern of either.
type Both<'a> = (Vec<&'a Entry>, Vec<&'a Entry>);

fn by_pattern<'a>(confirmed: &'a ConfigPolicy, changed: &'a ConfigPolicy) -> Vec<(&'a Pattern, Both<'a>)> {
    let mut patterns: BTreeMap<&str, (&Pattern, Both<'_>)> = BTreeMap::new();
    for entry in &confirmed.entries {
        let pattern =
            patterns.entry(entry.pattern.as_str()).or_insert_with(|| (&entry.pattern, Both::default()));
        pattern.1.0.push(entry);
    }
    for entry in &changed.entries {
        let pattern =
            patterns.entry(entry.pattern.as_str()).or_insert_with(|| (&entry.pattern, Both::default()));
        pattern.1.1.push(entry);
    }
    patterns.into_values().collect()
}

/// Whether two lists of entries of one pattern say the same, wherever they stand.
fn same(was: &[&Entry], is: &[&Entry]) -> bool {
    let covered = |some: &[&Entry], others: &[&Entry]| {
        some.iter().all(|entry| others.iter().any(|other| says_the_same(entry, other)))
    };
    covered(was, is) && covered(is, was)
}

fn says_the_same(one: &Entry, two: &Entry) -> bool {
    let cases =
        |entry: &Entry| entry.cases.iter().map(|case| (case.when.clone(), case.action)).collect::<Vec<_>>();
    one.action == two.action && cases(one) == cases(two)
}

fn told(pattern: &Pattern, was: &[&Entry], is: &[&Entry]) -> String {
    let words = |entries: &[&Entry]| match entries {
        [] => "nothing said".to_owned(),
        entries => entries.iter().map(|entry| describe(entry)).collect::<Vec<_>>().join(" and "),
    };
    let place = match (is, was) {
        ([entry, ..], _) => format!(" ({})", entry.source),
        ([], [entry, ..]) => format!(" ({} before)", entry.source),
        ([], []) => String::new(),
    };
    format!("`{pattern}`: {} → {}{place}", words(was), words(is))
}

/// What an entry says, in words.
fn describe(entry: &Entry) -> String {
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

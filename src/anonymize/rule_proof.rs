//! The proof that a rule set keeps its promises (guarantee N4).
//!
//! Refused are:
//! - values that are empty, too short, or a literal of JSON;
//! - two equal real values, or two equal fakes;
//! - a fake that contains another fake or a real value, or is part of one;
//! - a redaction that contains a real value or a fake;
//! - a fake that shares a sizeable part, end to beginning, with another fake or a real value.
//!
//! Smaller overlaps are accepted, because names and addresses can hardly avoid them. If a message really joins
//! two values there, it is withheld. A real value may contain another one: the longer wins.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use super::term::fold_text;
use super::{Direction, ReplacementRule, RuleConflict};

/// The fewest characters of a real value. Anything shorter occurs in nearly every message.
pub(super) const MIN_REAL_LENGTH: usize = 3;
/// An injected secret shorter than this is probably a flag or a port, and is not searched for.
pub(super) const MIN_INJECTED_LENGTH: usize = 4;
/// The literals of JSON. Replacing one would change a value's type.
const JSON_WORDS: [&str; 3] = ["true", "false", "null"];

/// Whether an injected secret is worth searching for.
pub(super) fn is_searchable_secret(rule: &ReplacementRule) -> bool {
    let real = rule.real.expose();
    real.trim().chars().count() >= MIN_INJECTED_LENGTH
        && !JSON_WORDS.contains(&real.to_ascii_lowercase().as_str())
}

/// All conflicts in a rule set.
pub(super) fn find_conflicts(rules: &[ReplacementRule]) -> Vec<RuleConflict> {
    let values = rules.iter().map(RuleTexts::new).collect();
    // Comparing every pair would be quadratic. Each candidate search works on folded text, so it finds at
    // least the pairs that conflict; the checks then compare exactly.
    let mut proof = RuleSetProof { rules, values, conflicts: Vec::new() };
    for number in 0..rules.len() {
        proof.check_rule(number);
    }
    for (number, other) in proof.equality_candidates() {
        proof.check_equality(number, other);
    }
    for (number, other) in proof.containment_candidates() {
        proof.check_containment(number, other);
    }
    for (number, other) in proof.overlap_candidates() {
        proof.check_overlap(number, other);
    }
    proof.conflicts.sort_by_key(|conflict| (conflict.rule, conflict.other));
    proof.conflicts
}

struct RuleSetProof<'a> {
    rules: &'a [ReplacementRule],
    values: Vec<RuleTexts<'a>>,
    conflicts: Vec<RuleConflict>,
}

/// A text, and the same without its case.
struct FoldedText<'a> {
    exact: &'a str,
    folded: String,
}

impl<'a> FoldedText<'a> {
    fn new(exact: &'a str) -> Self {
        Self { exact, folded: fold_text(exact) }
    }
}

/// The texts of a rule.
struct RuleTexts<'a> {
    fake: FoldedText<'a>,
    real: FoldedText<'a>,
    redaction: Option<FoldedText<'a>>,
    exact: bool,
    injected: bool,
    /// Whether the real value is searched for.
    is_searched: bool,
}

impl<'a> RuleTexts<'a> {
    fn new(rule: &'a ReplacementRule) -> Self {
        let injected = rule.direction == Direction::Injected;
        Self {
            fake: FoldedText::new(&rule.fake),
            real: FoldedText::new(rule.real.expose()),
            redaction: match &rule.direction {
                Direction::OneWay { redaction } => Some(FoldedText::new(redaction)),
                Direction::Both | Direction::Injected => None,
            },
            exact: rule.case_sensitive,
            injected,
            is_searched: !injected || is_searchable_secret(rule),
        }
    }
}

impl RuleSetProof<'_> {
    /// Pairs of rules that may share a value.
    fn equality_candidates(&self) -> Vec<(usize, usize)> {
        let mut first: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut pairs = Vec::new();
        for (number, values) in self.values.iter().enumerate() {
            for text in [&values.fake.folded, &values.real.folded] {
                let same = first.entry(text).or_default();
                pairs.extend(
                    same.iter().map(|other| (*other, number)).filter(|(other, number)| other < number),
                );
                same.push(number);
            }
        }
        dedup_pairs(pairs)
    }

    /// Pairs of rules of which one may contain a value of the other.
    fn containment_candidates(&self) -> Vec<(usize, usize)> {
        let parts: Vec<(usize, &str)> = (self.values.iter().enumerate())
            .flat_map(|(number, values)| {
                [(number, values.fake.folded.as_str()), (number, &values.real.folded)]
            })
            .filter(|(_, text)| !text.is_empty())
            .collect();
        let search =
            AhoCorasick::new(parts.iter().map(|(_, text)| text)).expect("rules make a small automaton");
        let mut pairs = Vec::new();
        for (number, values) in self.values.iter().enumerate() {
            for text in
                [Some(&values.fake), Some(&values.real), values.redaction.as_ref()].into_iter().flatten()
            {
                for hit in search.find_overlapping_iter(&text.folded) {
                    let other = parts[hit.pattern()].0;
                    pairs.extend([(number, other), (other, number)]);
                }
            }
        }
        dedup_pairs(pairs)
    }

    /// Pairs of rules of which one value may end as another begins.
    fn overlap_candidates(&self) -> Vec<(usize, usize)> {
        let mut beginnings: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, values) in self.values.iter().enumerate().filter(|(_, values)| !values.injected) {
            for text in [&values.fake.folded, &values.real.folded] {
                // From the second character on: an overlap of one character is never refused.
                for (end, _) in text.char_indices().skip(2) {
                    beginnings.entry(&text[..end]).or_default().push(number);
                }
            }
        }
        let mut pairs = Vec::new();
        for (number, values) in self.values.iter().enumerate().filter(|(_, values)| !values.injected) {
            for text in [&values.fake.folded, &values.real.folded] {
                for others in
                    text.char_indices().skip(1).filter_map(|(start, _)| beginnings.get(&text[start..]))
                {
                    pairs.extend(
                        others.iter().filter(|other| **other != number).map(|other| (number, *other)),
                    );
                }
            }
        }
        dedup_pairs(pairs)
    }

    fn check_rule(&mut self, number: usize) {
        let rule = &self.rules[number];
        if rule.direction == Direction::Injected {
            return;
        }
        let real = rule.real.expose();
        if rule.fake.trim().is_empty() {
            self.add_conflict(number, None, "its fake is empty");
        } else if rule.fake.chars().count() < 2 {
            self.add_conflict(
                number,
                None,
                "its fake is a single character, which nearly every text contains",
            );
        }
        if real.trim().is_empty() {
            self.add_conflict(number, None, "its real value is empty or unset");
        } else if real.chars().count() < MIN_REAL_LENGTH {
            self.add_conflict(
                number,
                None,
                "its real value is shorter than 3 characters, and would be found everywhere",
            );
        } else if JSON_WORDS.contains(&real.to_ascii_lowercase().as_str()) {
            self.add_conflict(number, None, "its real value is a word of JSON");
        }
    }

    fn check_equality(&mut self, number: usize, other: usize) {
        let (one, two) = (&self.values[number], &self.values[other]);
        if one.injected || two.injected {
            return;
        }
        let exact = one.exact && two.exact;
        let same_real = texts_equal(&one.real, &two.real, exact);
        if texts_equal(&one.fake, &two.fake, exact) {
            self.add_conflict(number, Some(other), "they have the same fake");
        }
        if same_real {
            self.add_conflict(number, Some(other), "they have the same real value");
        }
    }

    /// Refuses a text that contains a text of the other rule, or is part of one.
    fn check_containment(&mut self, number: usize, other: usize) {
        let (one, two) = (&self.values[number], &self.values[other]);
        let exact = one.exact && two.exact;
        let mut found = Vec::new();
        if let Some(redaction) = &one.redaction {
            if two.is_searched && text_contains(redaction, &two.real, exact) {
                found.push("its redaction holds the other's real value");
            }
            if !two.injected && text_contains(redaction, &two.fake, exact) {
                found.push("its redaction holds the other's fake");
            }
        }
        if !one.injected {
            if two.is_searched && text_contains(&one.fake, &two.real, exact) {
                found.push("its fake holds the other's real value");
            } else if !two.injected && text_contains(&two.real, &one.fake, exact) {
                found.push("its fake is part of the other's real value");
            }
            let differ = number != other && !texts_equal(&one.fake, &two.fake, exact);
            if differ && !two.injected && text_contains(&one.fake, &two.fake, exact) {
                found.push("its fake holds the other's fake");
            }
        }
        for what in found {
            self.add_conflict(number, Some(other), what);
        }
    }

    /// Refuses an end that is a sizeable beginning of one of the other rule's texts.
    fn check_overlap(&mut self, number: usize, other: usize) {
        let (one, two) = (&self.values[number], &self.values[other]);
        if one.injected || two.injected {
            return;
        }
        let exact = one.exact && two.exact;
        let found = [
            (texts_overlap(&one.fake, &two.fake, exact), "its fake ends as the other's fake begins"),
            (texts_overlap(&one.fake, &two.real, exact), "its fake ends as the other's real value begins"),
            (texts_overlap(&one.real, &two.fake, exact), "the other's fake begins as its real value ends"),
        ];
        for (_, what) in found.iter().filter(|(overlaps, _)| *overlaps) {
            self.add_conflict(number, Some(other), what);
        }
    }

    fn add_conflict(&mut self, rule: usize, other: Option<usize>, what: &str) {
        let name = |number: usize| format!("replacement {} ({:?})", number + 1, self.shown_fake(number));
        let problem = match other.filter(|other| *other != rule) {
            Some(other) => format!("{} conflicts with {}: {what}", name(rule), name(other)),
            None => format!("{} can't be kept: {}", name(rule), what.replace("the other's", "its own")),
        };
        self.conflicts.push(RuleConflict { rule, other: other.filter(|other| *other != rule), problem });
    }

    /// The fake, or `…` if it would give a real value away.
    fn shown_fake(&self, number: usize) -> &str {
        let fake = &self.rules[number].fake;
        let folded = fold_text(fake);
        let gives_away = |rule: &ReplacementRule| {
            let real = fold_text(rule.real.expose());
            !real.is_empty() && (folded.contains(&real) || real.contains(&folded))
        };
        if self.rules.iter().any(gives_away) { "…" } else { fake }
    }
}

fn dedup_pairs(mut pairs: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn texts_equal(one: &FoldedText<'_>, two: &FoldedText<'_>, exact: bool) -> bool {
    if exact { one.exact == two.exact } else { one.folded == two.folded }
}

fn text_contains(text: &FoldedText<'_>, part: &FoldedText<'_>, exact: bool) -> bool {
    !part.exact.is_empty()
        && if exact { text.exact.contains(part.exact) } else { text.folded.contains(&part.folded) }
}

/// Whether one text ends in a sizeable part of the other's beginning: four characters, or at least two that
/// are a third of the shorter text.
fn texts_overlap(one: &FoldedText<'_>, two: &FoldedText<'_>, exact: bool) -> bool {
    let (one, two) = if exact { (one.exact, two.exact) } else { (one.folded.as_str(), two.folded.as_str()) };
    let shorter = one.chars().count().min(two.chars().count());
    let prefixes = two.char_indices().map(|(end, _)| end).enumerate().take(shorter).skip(2);
    prefixes
        .filter(|(length, _)| *length >= 4 || length * 3 >= shorter)
        .any(|(_, end)| one.ends_with(&two[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn rule(fake: &str, real: &str) -> ReplacementRule {
        ReplacementRule {
            fake: fake.into(),
            real: Secret::new(real),
            direction: Direction::Both,
            case_sensitive: true,
            label: None,
            servers: None,
        }
    }

    fn one_way(fake: &str, real: &str, redaction: &str) -> ReplacementRule {
        ReplacementRule { direction: Direction::OneWay { redaction: redaction.into() }, ..rule(fake, real) }
    }

    fn injected(real: &str) -> ReplacementRule {
        ReplacementRule { direction: Direction::Injected, ..rule("", real) }
    }

    #[test]
    fn rules_that_go_together_are_kept() {
        let fine = [
            vec![rule("John Doe", "Maria Musterfrau"), rule("john@example.com", "maria@corp.test")],
            vec![rule("Jane Doe", "Erika M."), rule("east street", "Main Road 1")],
            vec![rule("Jane", "Maria"), rule("Jill", "Maria Musterfrau")],
            vec![
                rule("fake-key", "sk-123456"),
                injected("sk-123456"),
                injected("1"),
                injected(""),
                injected("true"),
            ],
            vec![rule("JOHN", "real one"), rule("John", "real two")],
            vec![
                one_way("fake-key", "sk-123456", "***KEY***"),
                one_way("fake-two", "sk-999999", "***KEY***"),
            ],
        ];
        for rules in fine {
            assert_eq!(find_conflicts(&rules), vec![]);
        }
    }

    #[test]
    fn rules_that_break_a_promise_are_refused() {
        let any_case = |rule: ReplacementRule| ReplacementRule { case_sensitive: false, ..rule };
        let broken = [
            vec![rule("", "Maria")],
            vec![rule(" \t", "Maria")],
            vec![rule("Jane", "")],
            vec![rule("Jane", "  ")],
            vec![rule("Jane", "Mo")],
            vec![rule("Jane", "true")],
            vec![rule("Jane", "Maria"), rule("Jane", "Erika")],
            vec![rule("Jane", "Maria"), rule("Jill", "Maria")],
            vec![any_case(rule("Jane", "Maria")), rule("Jill", "MARIA")],
            vec![any_case(rule("Jane", "Maria")), rule("JANE", "Erika")],
            vec![rule("Jane", "Maria"), rule("Jane Doe", "Erika")],
            vec![rule("Maria Doe", "Maria")],
            vec![rule("Jane", "Erika"), rule("Mo-Erika", "Maria")],
            vec![rule("Jane", "Erika"), rule("Jill", "Mary Jane")],
            vec![rule("John Doe", "Maria"), rule("Doe Ltd", "Erika")],
            vec![rule("Jane Smith", "Maria"), rule("Jill", "Smith & Co")],
            vec![one_way("fake", "sk-123456", "<sk-123456>")],
            vec![one_way("fake", "sk-123456", "<fake>")],
            vec![rule("production-db", "db.corp"), injected("production")],
        ];
        for rules in broken {
            assert!(!find_conflicts(&rules).is_empty(), "{rules:?}");
        }
    }

    #[test]
    fn a_conflict_names_no_real_value() {
        let rules = vec![
            rule("Jane", "Maria"),
            rule("x Maria", "Erika"),
            rule("Jane", "Maria"),
            rule("Erik", "Erik"),
        ];
        for conflict in find_conflicts(&rules) {
            assert!(!conflict.problem.contains("Maria") && !conflict.problem.contains("Erik"), "{conflict}");
        }
    }
}

//! The proof that a rule set keeps its promises (guarantee N4).
//!
//! Refused are:
//! - values that are empty, too short, or a literal of JSON;
//! - two equal real values, or two equal fakes;
//! - a fake that contains another fake or a real value, or is part of one;
//! - a redaction that contains a real value or a fake;
//! - a fake that shares a sizeable part, end to beginning, with another fake or a real value.
//!
//! A value that counts as a word is no part of a longer word, and overlaps with nothing in the midst of one.
//!
//! Smaller overlaps are accepted, because names and addresses can hardly avoid them. If a message really joins
//! two values there, it is withheld. A real value may contain another one: the longer wins.

use std::collections::{HashMap, HashSet};

use aho_corasick::AhoCorasick;

use super::normal_text::normalize;
use super::term::WordEdges;
use super::words::{Reading, is_word_char, stands_alone};
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

/// The most conflicts that are reported. A person mends a few at a time.
pub(super) const MAX_CONFLICTS: usize = 50;
/// The most pairs of values that are compared. Sets whose values are mostly alike would take quadratic time.
const MAX_COMPARISONS: usize = 2_000_000;

/// The conflicts in a rule set, at most [`MAX_CONFLICTS`]. The time is linear in the rules.
pub(super) fn find_conflicts(rules: &[ReplacementRule]) -> Vec<RuleConflict> {
    // Each search of pairs works on folded text, so it finds at least the pairs that conflict. The checks then
    // compare exactly.
    let mut proof = RuleSetProof {
        rules,
        values: rules.iter().map(RuleTexts::new).collect(),
        found: Vec::new(),
        known: HashSet::new(),
        comparisons: 0,
    };
    // None as soon as enough is found.
    let _ = proof.check_each().and_then(|()| {
        proof.check_equality()?;
        proof.check_containment()?;
        proof.check_overlaps()
    });
    proof.into_conflicts()
}

struct RuleSetProof<'a> {
    rules: &'a [ReplacementRule],
    values: Vec<RuleTexts>,
    found: Vec<(usize, usize, Problem)>,
    known: HashSet<(usize, usize, Problem)>,
    comparisons: usize,
}

/// What is wrong with a rule, alone or beside another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Problem {
    FakeEmpty,
    FakeTooShort,
    RealEmpty,
    RealTooShort,
    RealIsJson,
    SameFake,
    SameReal,
    RedactionHoldsReal,
    RedactionHoldsFake,
    FakeHoldsReal,
    FakeInReal,
    FakeHoldsFake,
    FakeEndsAsFakeBegins,
    FakeEndsAsRealBegins,
    RealEndsAsFakeBegins,
    TooMuchAlike,
}

impl Problem {
    const fn describe(self) -> &'static str {
        match self {
            Self::FakeEmpty => "its fake is empty",
            Self::FakeTooShort => "its fake is a single character, which nearly every text contains",
            Self::RealEmpty => "its real value is empty or unset",
            Self::RealTooShort => {
                "its real value is shorter than 3 characters, and would be found everywhere"
            }
            Self::RealIsJson => "its real value is a word of JSON",
            Self::SameFake => "they have the same fake",
            Self::SameReal => "they have the same real value",
            Self::RedactionHoldsReal => "its redaction holds the other's real value",
            Self::RedactionHoldsFake => "its redaction holds the other's fake",
            Self::FakeHoldsReal => "its fake holds the other's real value",
            Self::FakeInReal => "its fake is part of the other's real value",
            Self::FakeHoldsFake => "its fake holds the other's fake",
            Self::FakeEndsAsFakeBegins => "its fake ends as the other's fake begins",
            Self::FakeEndsAsRealBegins => "its fake ends as the other's real value begins",
            Self::RealEndsAsFakeBegins => "the other's fake begins as its real value ends",
            Self::TooMuchAlike => "too many values are alike to be compared",
        }
    }

    /// What to do about it.
    const fn proposal(self) -> &'static str {
        match self {
            Self::FakeEmpty | Self::FakeTooShort => "give it a fake of at least two characters",
            Self::RealEmpty => "set the value, or remove the replacement",
            Self::RealTooShort | Self::RealIsJson => "use a longer value, or remove the replacement",
            Self::SameFake => "give one of them a fake of its own",
            Self::SameReal => "remove one of them",
            Self::RedactionHoldsReal | Self::RedactionHoldsFake => {
                "choose another `responseReplacement`, such as \"***SECRET***\""
            }
            Self::FakeHoldsReal | Self::FakeInReal => {
                "choose a fake that has nothing in common with that value"
            }
            Self::FakeHoldsFake => {
                "choose two fakes of which neither holds the other, such as two other names"
            }
            Self::FakeEndsAsFakeBegins | Self::FakeEndsAsRealBegins => "choose a fake with another end",
            Self::RealEndsAsFakeBegins => "choose a fake with another beginning",
            Self::TooMuchAlike => "choose fakes that begin and end differently",
        }
    }
}

/// A text as it is searched for: normalized, and the same without its case.
struct FoldedText {
    exact: String,
    folded: String,
}

impl FoldedText {
    fn new(text: &str) -> Self {
        Self { exact: normalize(text, false), folded: normalize(text, true) }
    }
}

/// The texts of a rule.
struct RuleTexts {
    fake: FoldedText,
    real: FoldedText,
    redaction: Option<FoldedText>,
    exact: bool,
    /// Where its values must end a word.
    edges: WordEdges,
    injected: bool,
    /// Whether the real value is searched for.
    is_searched: bool,
}

impl RuleTexts {
    fn new(rule: &ReplacementRule) -> Self {
        let injected = rule.direction == Direction::Injected;
        Self {
            fake: FoldedText::new(&rule.fake),
            real: FoldedText::new(rule.real.expose()),
            redaction: match &rule.direction {
                Direction::OneWay { redaction } => Some(FoldedText::new(redaction)),
                Direction::Both | Direction::Injected => None,
            },
            exact: rule.case_sensitive,
            edges: rule.word_edges(),
            injected,
            is_searched: !injected || is_searchable_secret(rule),
        }
    }
}

/// A value of a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    Fake,
    Real,
}

impl RuleSetProof<'_> {
    fn check_each(&mut self) -> Option<()> {
        for (number, rule) in self.rules.iter().enumerate() {
            if rule.direction == Direction::Injected {
                continue;
            }
            let (fake, real) =
                (self.values[number].fake.exact.clone(), self.values[number].real.exact.clone());
            if fake.trim().is_empty() {
                self.report(number, number, Problem::FakeEmpty)?;
            } else if fake.chars().count() < 2 {
                self.report(number, number, Problem::FakeTooShort)?;
            }
            if real.trim().is_empty() {
                self.report(number, number, Problem::RealEmpty)?;
            } else if is_too_short(&real) {
                self.report(number, number, Problem::RealTooShort)?;
            } else if JSON_WORDS.contains(&real.to_ascii_lowercase().as_str()) {
                self.report(number, number, Problem::RealIsJson)?;
            }
        }
        Some(())
    }

    /// Refuses two equal fakes, and two equal real values.
    fn check_equality(&mut self) -> Option<()> {
        for (kind, problem) in [(ValueKind::Fake, Problem::SameFake), (ValueKind::Real, Problem::SameReal)] {
            let mut same: HashMap<String, Vec<usize>> = HashMap::new();
            for number in self.own_rules() {
                let others = same.entry(self.text(number, kind).folded.clone()).or_default();
                others.push(number);
                for &other in &others[..others.len() - 1] {
                    if texts_equal(
                        self.text(other, kind),
                        self.text(number, kind),
                        self.both_exact(number, other),
                    ) {
                        self.report(other, number, problem)?;
                    }
                    self.count()?;
                }
            }
        }
        Some(())
    }

    /// Refuses a text that contains a text of another rule, or is part of one.
    fn check_containment(&mut self) -> Option<()> {
        let (mut parts, mut texts) = (Vec::new(), Vec::new());
        for (number, values) in self.values.iter().enumerate() {
            for (kind, text) in [(ValueKind::Fake, &values.fake), (ValueKind::Real, &values.real)] {
                if !text.folded.is_empty() {
                    parts.push((number, kind));
                    texts.push(text.folded.clone());
                }
            }
        }
        let search = AhoCorasick::new(&texts).expect("rules make a small automaton");
        for (place, text) in texts.iter().enumerate() {
            let (number, kind) = parts[place];
            for hit in search.find_overlapping_iter(text) {
                let (other, part) = parts[hit.pattern()];
                self.check_part(number, kind, other, part)?;
                self.count()?;
            }
        }
        for number in 0..self.values.len() {
            let Some(redaction) = self.values[number].redaction.as_ref().map(|text| text.folded.clone())
            else {
                continue;
            };
            for hit in search.find_overlapping_iter(&redaction) {
                let (other, part) = parts[hit.pattern()];
                self.check_redaction_part(number, other, part)?;
                self.count()?;
            }
        }
        Some(())
    }

    /// `kind` of rule `number` contains `part` of rule `other`, if case doesn't count.
    fn check_part(&mut self, number: usize, kind: ValueKind, other: usize, part: ValueKind) -> Option<()> {
        let (one, two) = (&self.values[number], &self.values[other]);
        let exact = self.both_exact(number, other);
        let contains = || text_contains(self.text(number, kind), self.text(other, part), exact, two.edges);
        match (kind, part) {
            (ValueKind::Fake, ValueKind::Real) if !one.injected && two.is_searched && contains() => {
                self.report(number, other, Problem::FakeHoldsReal)
            }
            (ValueKind::Fake, ValueKind::Fake)
                if number != other
                    && !one.injected
                    && !two.injected
                    && !texts_equal(&one.fake, &two.fake, exact)
                    && contains() =>
            {
                self.report(number, other, Problem::FakeHoldsFake)
            }
            // Equal texts are a fake that holds a real value, which is told above.
            (ValueKind::Real, ValueKind::Fake)
                if !one.injected
                    && !two.injected
                    && !texts_equal(&one.real, &two.fake, exact)
                    && contains() =>
            {
                self.report(other, number, Problem::FakeInReal)
            }
            // A real value may contain another one: the longer wins.
            _ => Some(()),
        }
    }

    fn check_redaction_part(&mut self, number: usize, other: usize, part: ValueKind) -> Option<()> {
        let (one, two) = (&self.values[number], &self.values[other]);
        let exact = self.both_exact(number, other);
        let Some(redaction) = &one.redaction else { return Some(()) };
        match part {
            ValueKind::Real if two.is_searched && text_contains(redaction, &two.real, exact, two.edges) => {
                self.report(number, other, Problem::RedactionHoldsReal)
            }
            ValueKind::Fake if !two.injected && text_contains(redaction, &two.fake, exact, two.edges) => {
                self.report(number, other, Problem::RedactionHoldsFake)
            }
            ValueKind::Real | ValueKind::Fake => Some(()),
        }
    }

    /// Refuses an end that is a sizeable beginning of another rule's text.
    fn check_overlaps(&mut self) -> Option<()> {
        let mut beginnings: HashMap<String, Vec<(usize, ValueKind)>> = HashMap::new();
        let mut short_beginnings: HashMap<String, Vec<(usize, ValueKind)>> = HashMap::new();
        let kinds = [ValueKind::Fake, ValueKind::Real];
        for (number, kind) in self.own_rules().flat_map(|number| kinds.map(|kind| (number, kind))) {
            let text = &self.text(number, kind).folded;
            let count = text.chars().count();
            // An overlap of one character is never refused.
            for (length, (end, _)) in text.char_indices().enumerate().skip(2) {
                let entry = text[..end].to_owned();
                if is_sizeable(length, count) {
                    short_beginnings.entry(entry.clone()).or_default().push((number, kind));
                }
                beginnings.entry(entry).or_default().push((number, kind));
            }
        }
        for (number, kind) in self.own_rules().flat_map(|number| kinds.map(|kind| (number, kind))) {
            let text = self.text(number, kind).folded.clone();
            let count = text.chars().count();
            for (at, (start, _)) in text.char_indices().enumerate().skip(1) {
                // Where this text is long and the overlap small, only short texts count.
                let known = if is_sizeable(count - at, count) { &beginnings } else { &short_beginnings };
                for &(other, begun) in known.get(&text[start..]).into_iter().flatten() {
                    self.check_overlap((number, kind), (other, begun))?;
                    self.count()?;
                }
            }
        }
        Some(())
    }

    fn check_overlap(&mut self, one: (usize, ValueKind), two: (usize, ValueKind)) -> Option<()> {
        let problem = match (one.1, two.1) {
            (ValueKind::Fake, ValueKind::Fake) => Problem::FakeEndsAsFakeBegins,
            (ValueKind::Fake, ValueKind::Real) => Problem::FakeEndsAsRealBegins,
            (ValueKind::Real, ValueKind::Fake) => Problem::RealEndsAsFakeBegins,
            (ValueKind::Real, ValueKind::Real) => return Some(()),
        };
        let exact = self.both_exact(one.0, two.0);
        let overlap = TextOverlap {
            one: self.text(one.0, one.1),
            two: self.text(two.0, two.1),
            edges: (self.values[one.0].edges, self.values[two.0].edges),
        };
        if one.0 != two.0 && overlap.is_possible(exact) {
            self.report(one.0, two.0, problem)?;
        }
        Some(())
    }

    /// The rules of the file, without the secrets of servers.
    fn own_rules(&self) -> impl Iterator<Item = usize> + use<> {
        let own: Vec<usize> =
            (0..self.values.len()).filter(|number| !self.values[*number].injected).collect();
        own.into_iter()
    }

    fn text(&self, number: usize, kind: ValueKind) -> &FoldedText {
        match kind {
            ValueKind::Fake => &self.values[number].fake,
            ValueKind::Real => &self.values[number].real,
        }
    }

    fn both_exact(&self, number: usize, other: usize) -> bool {
        self.values[number].exact && self.values[other].exact
    }

    /// Counts a comparison. `None` if there were too many.
    fn count(&mut self) -> Option<()> {
        self.comparisons += 1;
        if self.comparisons < MAX_COMPARISONS {
            return Some(());
        }
        if self.found.is_empty() {
            self.report(0, 0, Problem::TooMuchAlike)?;
        }
        None
    }

    /// `None` if this is the last conflict that is reported.
    fn report(&mut self, rule: usize, other: usize, problem: Problem) -> Option<()> {
        if self.known.insert((rule, other, problem)) {
            self.found.push((rule, other, problem));
        }
        (self.found.len() < MAX_CONFLICTS).then_some(())
    }

    fn into_conflicts(mut self) -> Vec<RuleConflict> {
        self.found.sort_unstable();
        self.found.iter().map(|(rule, other, problem)| self.conflict(*rule, *other, *problem)).collect()
    }

    fn conflict(&self, rule: usize, other: usize, problem: Problem) -> RuleConflict {
        let name = |number: usize| format!("replacement {} ({:?})", number + 1, self.shown_fake(number));
        let what = problem.describe();
        let text = if other == rule {
            format!("{} can't be kept: {}", name(rule), what.replace("the other's", "its own"))
        } else {
            format!("{} conflicts with {}: {what}", name(rule), name(other))
        };
        let other = Some(other).filter(|other| *other != rule);
        RuleConflict { rule, other, problem: text, proposal: problem.proposal() }
    }

    /// The fake, or `…` if it would give a real value away.
    fn shown_fake(&self, number: usize) -> &str {
        let fake = &self.rules[number].fake;
        let folded = &self.values[number].fake.folded;
        let gives_away = |values: &RuleTexts| {
            let real = &values.real.folded;
            !real.is_empty() && (folded.contains(real) || real.contains(folded))
        };
        if self.values.iter().any(gives_away) { "…" } else { fake }
    }
}

/// Two ideographs or syllables are a name. Two letters are in every text.
fn is_too_short(real: &str) -> bool {
    let count = real.chars().count();
    count < MIN_REAL_LENGTH && !(count == 2 && real.chars().all(is_ideograph_or_syllable))
}

/// The scripts in which a character is a word or a syllable: Han, kana and Hangul.
const fn is_ideograph_or_syllable(c: char) -> bool {
    matches!(c,
        '\u{3041}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

/// Whether an overlap of this many characters is refused for a text of `count` characters: four, or at least two that
/// are a third of it.
const fn is_sizeable(length: usize, count: usize) -> bool {
    length >= 4 || (length >= 2 && length * 3 >= count)
}

fn texts_equal(one: &FoldedText, two: &FoldedText, exact: bool) -> bool {
    if exact { one.exact == two.exact } else { one.folded == two.folded }
}

/// Whether a text holds another one, at a place where that may count. What comes beside the text isn't known, so it may
/// end a word.
fn text_contains(text: &FoldedText, part: &FoldedText, exact: bool, edges: WordEdges) -> bool {
    let (text, part) = if exact { (&text.exact, &part.exact) } else { (&text.folded, &part.folded) };
    let places = text.char_indices().map(|(start, _)| start).filter(|start| text[*start..].starts_with(part));
    !part.is_empty()
        && places
            .map(|start| start..start + part.len())
            .any(|at| stands_alone(text.as_bytes(), at, edges, Reading::Text))
}

/// Two texts of which one may end as the other begins.
struct TextOverlap<'a> {
    one: &'a FoldedText,
    two: &'a FoldedText,
    edges: (WordEdges, WordEdges),
}

impl TextOverlap<'_> {
    /// Whether one text ends in a sizeable part of the other's beginning: four characters, or at least two that are a third
    /// of the shorter text.
    fn is_possible(&self, exact: bool) -> bool {
        let (one, two) = match exact {
            true => (&self.one.exact, &self.two.exact),
            false => (&self.one.folded, &self.two.folded),
        };
        let shorter = one.chars().count().min(two.chars().count());
        let prefixes = two.char_indices().map(|(end, _)| end).enumerate().take(shorter).skip(2);
        prefixes
            .filter(|(length, end)| is_sizeable(*length, shorter) && one.ends_with(&two[..*end]))
            .any(|(_, end)| !self.is_within_word(&one[..one.len() - end], &two[end..]))
    }

    /// Whether the overlap is in the midst of a word at an end where a value must end one. Then only one of the two counts.
    fn is_within_word(&self, before: &str, behind: &str) -> bool {
        let (one, two) = self.edges;
        (two.left && before.chars().next_back().is_some_and(is_word_char))
            || (one.right && behind.chars().next().is_some_and(is_word_char))
    }
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
            matching: None,
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
            vec![rule("佐藤", "山田"), rule("민수", "영희")],
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
            vec![any_case(rule("Jane", "Weiß")), any_case(rule("Jill", "WEISS"))],
            vec![any_case(rule("Jane", "İnci")), any_case(rule("Jill", "inci"))],
            vec![rule("Jane", "José"), rule("Jill", "Jose\u{301}")],
            vec![rule("Jane", "Maria"), rule("Jill", "Ｍａｒｉａ")],
            vec![rule("Jose\u{301}", "José")],
            vec![rule("Jane", "\u{200B}\u{200C}\u{AD}")],
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

    /// `count` rules like those of a directory of people.
    fn many_rules(count: usize) -> Vec<ReplacementRule> {
        (0..count)
            .map(|number| {
                rule(&format!("user{number:05}@example.net"), &format!("ingrid{number:05}@vandermeer.test"))
            })
            .collect()
    }

    fn comparisons(rules: &[ReplacementRule]) -> usize {
        let values = rules.iter().map(RuleTexts::new).collect();
        let mut proof =
            RuleSetProof { rules, values, found: Vec::new(), known: HashSet::new(), comparisons: 0 };
        let _ = proof
            .check_equality()
            .and_then(|()| proof.check_containment())
            .and_then(|()| proof.check_overlaps());
        proof.comparisons
    }

    #[test]
    fn the_work_is_linear_in_the_rules_and_a_bad_set_is_refused_early() {
        assert!(comparisons(&many_rules(2_000)) <= 3 * 2_000);
        let same: Vec<_> = (0..2_000).map(|number| rule("Jane Doe", &format!("value {number:06}"))).collect();
        assert!(comparisons(&same) <= 2 * MAX_CONFLICTS);
        let conflicts = find_conflicts(&same);
        assert_eq!(conflicts.len(), MAX_CONFLICTS);
        assert_eq!((conflicts[0].rule, conflicts[0].other), (0, Some(1)));
        assert_eq!(conflicts[0].proposal, "give one of them a fake of its own");
        // Each begins as each ends, too little to be refused.
        let alike: Vec<_> = (0..2_000)
            .map(|number| rule(&format!("ab {number:06} ab"), &format!("value {number:06}")))
            .collect();
        assert!(comparisons(&alike) <= 3 * 2_000);
        assert_eq!(find_conflicts(&alike), vec![]);
        // They differ in case alone, so each must be compared with each.
        let spelled = |number: usize| -> String {
            "abcdefghijkl"
                .chars()
                .enumerate()
                .map(|(at, c)| if number >> at & 1 == 1 { c.to_ascii_uppercase() } else { c })
                .collect()
        };
        let spellings: Vec<_> =
            (0..4_000).map(|number| rule(&spelled(number), &format!("value {number:06}"))).collect();
        assert_eq!(find_conflicts(&spellings).len(), 1);
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

//! The further texts by which a rule's values are searched for, unless they could be confused with a value of some
//! rule. All rules are looked at together, so the work is linear in them.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;

use super::rule_proof::is_searchable_secret;
use super::secret_forms::secret_forms;
use super::{Direction, REDACTED, ReplacementRule};

/// The further texts of one rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ExtraForms {
    /// The forms of a secret, without the real value of a one-way rule itself.
    pub(super) secret: Vec<String>,
    /// The fake and the real value with `+` for spaces, as in a query string.
    pub(super) plus_encoded: Option<(String, String)>,
}

/// The further texts of each rule.
pub(super) fn extra_forms(rules: &[ReplacementRule]) -> Vec<ExtraForms> {
    let mut all = vec![ExtraForms::default(); rules.len()];
    for (number, form) in free_secret_forms(rules) {
        all[number].secret.push(form);
    }
    for (number, pair) in free_plus_pairs(rules) {
        all[number].plus_encoded = Some(pair);
    }
    all
}

/// The forms that can be searched for, each with its rule. One that a rule of `replacements.json` replaces follows that
/// rule, and one inside a fake or a redaction would withhold every message with that.
fn free_secret_forms(rules: &[ReplacementRule]) -> Vec<(usize, String)> {
    let own = || rules.iter().filter(|rule| rule.direction != Direction::Injected);
    let reals: HashSet<&str> = own().map(|rule| rule.real.expose()).collect();
    let forms = rules.iter().enumerate().flat_map(|(number, rule)| {
        let is_searched = match rule.direction {
            Direction::Both => false,
            Direction::OneWay { .. } => true,
            Direction::Injected => is_searchable_secret(rule),
        };
        let forms = if is_searched { secret_forms(rule.real.expose()) } else { Vec::new() };
        forms.into_iter().map(move |form| (number, form))
    });
    let forms: Vec<(usize, String)> = forms.filter(|(_, form)| !reals.contains(form.as_str())).collect();
    let shown = own().flat_map(|rule| match &rule.direction {
        Direction::OneWay { redaction } => vec![rule.fake.as_str(), redaction],
        Direction::Both | Direction::Injected => vec![rule.fake.as_str()],
    });
    let held = find_held(forms.iter().map(|(_, form)| form.as_str()), shown.chain([REDACTED]));
    forms.into_iter().zip(held).filter(|(_, held)| !held).map(|(form, _)| form).collect()
}

/// The fakes and real values with `+` for spaces that are no part of a value, nor hold one.
fn free_plus_pairs(rules: &[ReplacementRule]) -> Vec<(usize, (String, String))> {
    let pairs = rules.iter().enumerate().filter_map(|(number, rule)| {
        let texts = [rule.fake.as_str(), rule.real.expose()];
        // Beside a `+` of the value itself, which a form writes as `%2B`, nothing else may be encoded: the search in decoded
        // text couldn't tell it from a space.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " +-._".contains(c);
        let has_plus = texts.iter().any(|text| text.contains('+'));
        let spaced = texts.iter().all(|text| text.contains(' ') && (!has_plus || text.chars().all(is_plain)));
        let [fake, real] = texts.map(|text| text.replace('+', "%2B").replace(' ', "+"));
        (rule.direction == Direction::Both && spaced).then_some((number, (fake, real)))
    });
    let pairs: Vec<_> = pairs.collect();
    let values = || {
        let values = rules.iter().flat_map(|rule| [rule.fake.as_str(), rule.real.expose()]);
        values.filter(|value| !value.is_empty())
    };
    let all: HashSet<&str> = values().collect();
    let held = find_held(pairs.iter().map(|(_, (fake, _))| fake.as_str()), values());
    let search = search_for(if pairs.is_empty() { Vec::new() } else { values().collect() });
    let free = pairs.into_iter().zip(held).filter(|((_, (fake, real)), held)| {
        !held && !search.is_match(fake.as_str()) && !all.contains(real.as_str())
    });
    free.map(|(pair, _)| pair).collect()
}

/// For each part, whether one of the texts holds it.
fn find_held<'a, 'b>(
    parts: impl Iterator<Item = &'a str>,
    texts: impl Iterator<Item = &'b str>,
) -> Vec<bool> {
    let parts: Vec<&str> = parts.collect();
    let mut held = vec![false; parts.len()];
    if parts.is_empty() {
        return held;
    }
    let search = search_for(parts);
    for text in texts {
        search.find_overlapping_iter(text).for_each(|hit| held[hit.pattern().as_usize()] = true);
    }
    held
}

fn search_for(parts: Vec<&str>) -> AhoCorasick {
    AhoCorasick::new(parts).expect("rules make a small automaton")
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

    fn plus_pairs(rules: &[ReplacementRule]) -> Vec<Option<(String, String)>> {
        extra_forms(rules).into_iter().map(|forms| forms.plus_encoded).collect()
    }

    #[test]
    fn spaces_are_also_searched_for_as_plus_signs_unless_that_is_a_value() {
        let jane = || rule("Jane Doe", "Ada Lovelace");
        let found = vec![Some(("Jane+Doe".to_owned(), "Ada+Lovelace".to_owned()))];
        assert_eq!(plus_pairs(&[jane()]), found);
        assert_eq!(plus_pairs(&[rule("Jane", "Ada Lovelace")]), [None]);
        let found = [Some(("%2B44+7700+900318".to_owned(), "%2B49+171+3920017".to_owned()))];
        assert_eq!(plus_pairs(&[rule("+44 7700 900318", "+49 171 3920017")]), found);
        assert_eq!(plus_pairs(&[rule("+44 7700 900318", "+49 (171) 3920017")]), [None]);
        for other in [
            rule("x", "Ada+Lovelace"),
            rule("Jane+Doe", "y y"),
            rule("+Do", "yyy"),
            rule("a Jane+Doe b", "yyy"),
        ] {
            assert_eq!(plus_pairs(&[jane(), other])[0], None);
        }
    }

    #[test]
    fn a_form_of_a_secret_that_a_rule_replaces_or_shows_is_no_needle() {
        let secret = ReplacementRule { direction: Direction::Injected, ..rule("", " paddedToken123 ") };
        let forms = |rules: &[ReplacementRule]| extra_forms(rules).swap_remove(0).secret;
        assert_eq!(forms(std::slice::from_ref(&secret))[..2], [" paddedToken123 ", "paddedToken123"]);
        for other in [rule("fake", "paddedToken123"), rule("x-paddedToken123", "yyy")] {
            let forms = forms(&[secret.clone(), other]);
            assert!(forms.iter().all(|form| form != "paddedToken123"), "{forms:?}");
        }
        let one_way = ReplacementRule {
            direction: Direction::OneWay { redaction: "***".into() },
            ..rule("fake", "sk-1234567890")
        };
        let forms = extra_forms(&[one_way]).swap_remove(0).secret;
        assert!(!forms.is_empty() && forms.iter().all(|form| form != "sk-1234567890"));
    }
}

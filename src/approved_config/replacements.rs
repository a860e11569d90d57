//! Replacements. A confirmed rule keeps concealing, and keeps revealing unless it is gone. A new rule conceals
//! at once and reveals only once it is confirmed.
//!
//! A new rule could reveal a secret under a name of the agent's choice, or show a person another call than the
//! one that runs. So until then its real value is only redacted.

use std::collections::{HashMap, HashSet};

use super::ConfigChanges;
use crate::anonymize::{Anonymizer, Direction, MatchMode, ReplacementRule};
use crate::config::Config;
use crate::names::ServerName;

const REPLACEMENTS_FILE: &str = "replacements.json";
const SERVERS_FILE: &str = "mcps.json";

pub(super) fn compare_replacements(confirmed: &Config, changed: &Config, changes: &mut ConfigChanges) {
    let (known, wanted) = (rules_by_fake(confirmed), rules_by_fake(changed));
    for rule in file_rules(confirmed) {
        match wanted.get(rule.fake.as_str()) {
            None => {
                let words = format!("{} is gone: the agent would see the real value", describe_rule(rule));
                changes.push_change(true, REPLACEMENTS_FILE, words);
            }
            Some(other) => compare_rule(rule, other, changes),
        }
    }
    for rule in file_rules(changed).filter(|rule| !known.contains_key(rule.fake.as_str())) {
        let words = format!(
            "{} is new: it would stand for a real value, which is revealed to {}",
            describe_rule(rule),
            describe_scope(rule.servers.as_deref())
        );
        changes.push_change(true, REPLACEMENTS_FILE, words);
    }
    for secret in injected_rules(confirmed).filter(|secret| !is_concealed(changed, secret)) {
        let words = format!("a secret that {} was given would no longer be hidden", describe_holders(secret));
        changes.push_change(true, SERVERS_FILE, words);
    }
}

fn compare_rule(known: &ReplacementRule, other: &ReplacementRule, changes: &mut ConfigChanges) {
    let name = describe_rule(known);
    if known.real != other.real {
        changes.push_change(true, REPLACEMENTS_FILE, format!("{name} would stand for another real value"));
    }
    if known.direction != other.direction {
        let words = format!(
            "{name}: {} → {}",
            describe_direction(&known.direction),
            describe_direction(&other.direction)
        );
        changes.push_change(true, REPLACEMENTS_FILE, words);
    }
    if known.case_sensitive != other.case_sensitive {
        let words = format!("{name}: caseSensitive {} → {}", known.case_sensitive, other.case_sensitive);
        changes.push_change(true, REPLACEMENTS_FILE, words);
    }
    let [was, is] = [known, other].map(|rule| describe_mode(rule.match_mode()));
    if was != is {
        changes.push_change(true, REPLACEMENTS_FILE, format!("{name}: match {was} → {is}"));
    }
    if !same_scope(known.servers.as_deref(), other.servers.as_deref()) {
        let wider = !is_within_scope(other.servers.as_deref(), known.servers.as_deref());
        let [was, is] = [known, other].map(|rule| describe_scope(rule.servers.as_deref()));
        changes.push_change(wider, REPLACEMENTS_FILE, format!("{name} is revealed to {was} → {is}"));
    }
    if known.label != other.label {
        changes.push_change(false, REPLACEMENTS_FILE, format!("{name} has another label"));
    }
}

/// The rules that apply while an edit waits.
pub(super) fn effective_replacements(confirmed: &Config, changed: &Config) -> Vec<ReplacementRule> {
    let wanted = rules_by_fake(changed);
    let kept: Vec<ReplacementRule> = file_rules(confirmed)
        .map(|rule| {
            let servers = match wanted.get(rule.fake.as_str()) {
                // A rule that is gone still conceals, but reveals to no server.
                None => Some(Vec::new()),
                Some(other) if same_effect(rule, other) => {
                    intersect_scopes(rule.servers.as_deref(), other.servers.as_deref())
                }
                Some(_) => rule.servers.clone(),
            };
            ReplacementRule { servers, ..rule.clone() }
        })
        .chain(injected_rules(confirmed).cloned())
        .collect();
    // New real values are redacted like a server's secret, so they don't leak while their rule waits.
    let reals: HashSet<&str> = kept.iter().map(|known| known.real.expose()).collect();
    let more = changed.replacements.iter().filter(|rule| !reals.contains(rule.real.expose()));
    let more = more.map(|rule| ReplacementRule {
        fake: String::new(),
        // A rule's servers are those that it is revealed to; its real value is redacted in what any of them says.
        servers: rule.servers.clone().filter(|_| rule.direction == Direction::Injected),
        direction: Direction::Injected,
        matching: Some(rule.match_mode()),
        label: None,
        ..rule.clone()
    });
    let all: Vec<ReplacementRule> = kept.iter().cloned().chain(more).collect();
    // If new values can't be concealed beside the confirmed rules, the confirmed rules apply alone.
    if Anonymizer::new(&all).is_ok() { all } else { kept }
}

fn file_rules(config: &Config) -> impl Iterator<Item = &ReplacementRule> {
    config.replacements.iter().filter(|rule| rule.direction != Direction::Injected)
}

fn injected_rules(config: &Config) -> impl Iterator<Item = &ReplacementRule> {
    config.replacements.iter().filter(|rule| rule.direction == Direction::Injected)
}

/// The rules by their fakes. A proven set has one at most for each.
fn rules_by_fake(config: &Config) -> HashMap<&str, &ReplacementRule> {
    file_rules(config).map(|rule| (rule.fake.as_str(), rule)).collect()
}

/// Whether two rules map the same values in the same way, whatever their servers.
fn same_effect(one: &ReplacementRule, other: &ReplacementRule) -> bool {
    let ReplacementRule { fake, real, direction, case_sensitive, matching: _, label: _, servers: _ } = one;
    *fake == other.fake
        && *real == other.real
        && *direction == other.direction
        && *case_sensitive == other.case_sensitive
        && one.match_mode() == other.match_mode()
}

/// Whether a secret is still concealed by any rule.
fn is_concealed(config: &Config, secret: &ReplacementRule) -> bool {
    config.replacements.iter().any(|rule| rule.real == secret.real)
}

type ServerScope<'a> = Option<&'a [ServerName]>;

fn is_within_scope(inner: ServerScope<'_>, outer: ServerScope<'_>) -> bool {
    match (inner, outer) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner.iter().all(|server| outer.contains(server)),
    }
}

fn same_scope(one: ServerScope<'_>, other: ServerScope<'_>) -> bool {
    is_within_scope(one, other) && is_within_scope(other, one)
}

/// The servers in both.
fn intersect_scopes(one: ServerScope<'_>, other: ServerScope<'_>) -> Option<Vec<ServerName>> {
    match (one, other) {
        (None, scope) | (scope, None) => scope.map(<[_]>::to_vec),
        (Some(one), Some(other)) => {
            Some(one.iter().filter(|server| other.contains(server)).cloned().collect())
        }
    }
}

fn describe_rule(rule: &ReplacementRule) -> String {
    match &rule.label {
        Some(label) => format!("the replacement {:?} ({label})", rule.fake),
        None => format!("the replacement {:?}", rule.fake),
    }
}

fn describe_direction(direction: &Direction) -> &'static str {
    match direction {
        Direction::Both => "both ways",
        Direction::OneWay { .. } => "redacted toward the agent",
        Direction::Injected => "a server's secret",
    }
}

const fn describe_mode(mode: MatchMode) -> &'static str {
    match mode {
        MatchMode::Word => "word",
        MatchMode::Substring => "substring",
    }
}

fn describe_scope(servers: ServerScope<'_>) -> String {
    match servers {
        None => "every server".to_owned(),
        Some([]) => "no server".to_owned(),
        Some(servers) => servers.iter().map(|server| format!("`{server}`")).collect::<Vec<_>>().join(" and "),
    }
}

fn describe_holders(secret: &ReplacementRule) -> String {
    describe_scope(secret.servers.as_deref())
}

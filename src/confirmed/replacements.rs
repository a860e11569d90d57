//! Replacements: what was confirmed goes on hiding and, unless the rule is gone, being revealed; what is new
//! hides at once and is revealed only when it is confirmed.
//!
//! A new rule could reveal a secret under a name of an agent's choice, or show a person another call than runs:
//! so until then its real value is redacted and nothing more.

use super::Changes;
use crate::anonymize::{Anonymizer, Direction, Rule};
use crate::config::Config;
use crate::names::ServerName;

const FILE: &str = "replacements.json";
const ENV_FILE: &str = "mcps.json";

pub(super) fn compare(confirmed: &Config, changed: &Config, changes: &mut Changes) {
    for rule in own(confirmed) {
        match find(changed, rule) {
            None => {
                let words = format!("{} is gone: the agent would see the real value", name(rule));
                changes.add(true, FILE, words);
            }
            Some(other) => differences(rule, other, changes),
        }
    }
    for rule in own(changed).filter(|rule| find(confirmed, rule).is_none()) {
        let words = format!(
            "{} is new: it would stand for a real value, which is revealed to {}",
            name(rule),
            scope(rule.servers.as_deref())
        );
        changes.add(true, FILE, words);
    }
    for secret in injected(confirmed).filter(|secret| !is_hidden(changed, secret)) {
        let words = format!("a secret that {} was given would no longer be hidden", holders(secret));
        changes.add(true, ENV_FILE, words);
    }
}

fn differences(known: &Rule, other: &Rule, changes: &mut Changes) {
    let name = name(known);
    if known.real != other.real {
        changes.add(true, FILE, format!("{name} would stand for another real value"));
    }
    if known.direction != other.direction {
        let words = format!("{name}: {} → {}", direction(&known.direction), direction(&other.direction));
        changes.add(true, FILE, words);
    }
    if known.case_sensitive != other.case_sensitive {
        let words = format!("{name}: caseSensitive {} → {}", known.case_sensitive, other.case_sensitive);
        changes.add(true, FILE, words);
    }
    if !same_scope(known.servers.as_deref(), other.servers.as_deref()) {
        let wider = !within(other.servers.as_deref(), known.servers.as_deref());
        let [was, is] = [known, other].map(|rule| scope(rule.servers.as_deref()));
        changes.add(wider, FILE, format!("{name} is revealed to {was} → {is}"));
    }
    if known.label != other.label {
        changes.add(false, FILE, format!("{name} has another label"));
    }
}

/// What hides and reveals while something waits.
pub(super) fn in_force(confirmed: &Config, changed: &Config) -> Vec<Rule> {
    let kept: Vec<Rule> = own(confirmed)
        .map(|rule| {
            let servers = match find(changed, rule) {
                None => Some(Vec::new()),
                Some(other) if is_same(rule, other) => {
                    both(rule.servers.as_deref(), other.servers.as_deref())
                }
                Some(_) => rule.servers.clone(),
            };
            Rule { servers, ..rule.clone() }
        })
        .chain(injected(confirmed).cloned())
        .collect();
    let more = changed.replacements.iter().filter(|rule| kept.iter().all(|known| known.real != rule.real));
    let more = more.map(|rule| Rule {
        fake: String::new(),
        direction: Direction::Injected,
        label: None,
        ..rule.clone()
    });
    let all: Vec<Rule> = kept.iter().cloned().chain(more).collect();
    // What cannot be hidden beside the confirmed rules is hidden by them alone.
    if Anonymizer::new(&all).is_ok() { all } else { kept }
}

fn own(config: &Config) -> impl Iterator<Item = &Rule> {
    config.replacements.iter().filter(|rule| rule.direction != Direction::Injected)
}

fn injected(config: &Config) -> impl Iterator<Item = &Rule> {
    config.replacements.iter().filter(|rule| rule.direction == Direction::Injected)
}

/// The rule of the same fake; in a proven set there is one at most.
fn find<'a>(config: &'a Config, rule: &Rule) -> Option<&'a Rule> {
    own(config).find(|other| other.fake == rule.fake)
}

/// Whether they hide and reveal the same, wherever they do.
fn is_same(one: &Rule, other: &Rule) -> bool {
    let Rule { fake, real, direction, case_sensitive, label: _, servers: _ } = one;
    *fake == other.fake
        && *real == other.real
        && *direction == other.direction
        && *case_sensitive == other.case_sensitive
}

/// Whether a secret is hidden however it is spelled now.
fn is_hidden(config: &Config, secret: &Rule) -> bool {
    config.replacements.iter().any(|rule| rule.real == secret.real)
}

type Scope<'a> = Option<&'a [ServerName]>;

fn within(inner: Scope<'_>, outer: Scope<'_>) -> bool {
    match (inner, outer) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner.iter().all(|server| outer.contains(server)),
    }
}

fn same_scope(one: Scope<'_>, other: Scope<'_>) -> bool {
    within(one, other) && within(other, one)
}

/// The servers of both.
fn both(one: Scope<'_>, other: Scope<'_>) -> Option<Vec<ServerName>> {
    match (one, other) {
        (None, scope) | (scope, None) => scope.map(<[_]>::to_vec),
        (Some(one), Some(other)) => {
            Some(one.iter().filter(|server| other.contains(server)).cloned().collect())
        }
    }
}

fn name(rule: &Rule) -> String {
    match &rule.label {
        Some(label) => format!("the replacement {:?} ({label})", rule.fake),
        None => format!("the replacement {:?}", rule.fake),
    }
}

fn direction(direction: &Direction) -> &'static str {
    match direction {
        Direction::Both => "both ways",
        Direction::OneWay { .. } => "redacted toward the agent",
        Direction::Injected => "a server's secret",
    }
}

fn scope(servers: Scope<'_>) -> String {
    match servers {
        None => "every server".to_owned(),
        Some([]) => "no server".to_owned(),
        Some(servers) => servers.iter().map(|server| format!("`{server}`")).collect::<Vec<_>>().join(" and "),
    }
}

fn holders(secret: &Rule) -> String {
    scope(secret.servers.as_deref())
}

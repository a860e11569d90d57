//! Keeps what references and logins stand for out of everything that leaves toward an agent (guarantee N7).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use portero::anonymize::{Anonymizer, Direction, Real, ReplacementRule};
use portero::config::MIN_SECRET_LENGTH;
use portero::names::ServerName;
use portero::secret::Secret;
use portero::server::ServerListing;
use portero::sync::lock;

/// How many former values of one source of one server are blanked beside those in use. The oldest are dropped.
const MAX_FORMER: usize = 32;

/// A value can't be blanked: a fake or a redaction of `replacements.json` holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its secret is part of a fake in replacements.json, so it could not be told apart; change that fake")]
pub struct RedactionConflict;

/// Where a server's secrets come from. The values of one source don't displace those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretSource {
    /// The references of its entry.
    Entry,
    /// Its login.
    Login,
}

/// The replacements in force: those of the configuration, and one for each value that a server uses or used.
pub struct Redactions {
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    inner: Mutex<RuleSets>,
}

struct RuleSets {
    configured: Vec<ReplacementRule>,
    /// Limited for each server alone, so that no server can displace what another one uses.
    resolved: BTreeMap<(ServerName, SecretSource), BlankedValues>,
}

/// The values of one source of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct BlankedValues {
    in_use: Vec<Secret>,
    /// The newest last.
    former: VecDeque<Secret>,
}

impl BlankedValues {
    /// Takes the values that are in use from now on. Those before stay blanked for a while: what the server says next
    /// may still hold them.
    fn put_in_use(&mut self, values: Vec<Secret>) {
        let before = std::mem::replace(&mut self.in_use, values);
        self.former.extend(before);
        self.former.retain(|value| !self.in_use.contains(value));
        let surplus = self.former.len().saturating_sub(MAX_FORMER);
        self.former.drain(..surplus);
    }

    fn values(&self) -> impl Iterator<Item = &Secret> {
        self.in_use.iter().chain(&self.former)
    }

    /// Drops these values. True if there was one.
    fn drop_values(&mut self, values: &[Secret]) -> bool {
        let count = self.in_use.len() + self.former.len();
        self.in_use.retain(|value| !values.contains(value));
        self.former.retain(|value| !values.contains(value));
        count > self.in_use.len() + self.former.len()
    }
}

impl RuleSets {
    /// All rules, those of the configuration first.
    fn all(&self) -> Vec<ReplacementRule> {
        self.configured.iter().cloned().chain(self.resolved_rules()).collect()
    }

    /// A rule for each value that none of the configuration covers.
    fn resolved_rules(&self) -> Vec<ReplacementRule> {
        let mut holders: BTreeMap<&str, BTreeSet<&ServerName>> = BTreeMap::new();
        for ((server, _), blanked) in &self.resolved {
            for value in blanked.values() {
                if !self.configured.iter().any(|rule| covers(rule, server, value)) {
                    holders.entry(value.expose()).or_default().insert(server);
                }
            }
        }
        let resolved = holders.into_iter().map(|(value, servers)| ReplacementRule {
            fake: String::new(),
            real: Secret::new(value),
            direction: Direction::Injected,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: Some(servers.into_iter().cloned().collect()),
        });
        resolved.collect()
    }

    /// Drops these values, and returns the servers that had one.
    fn drop_values(&mut self, values: &[Secret]) -> BTreeSet<ServerName> {
        let with_one = self
            .resolved
            .iter_mut()
            .filter_map(|((server, _), blanked)| blanked.drop_values(values).then(|| server.clone()));
        with_one.collect()
    }

    fn drop_all(&mut self) -> BTreeSet<ServerName> {
        std::mem::take(&mut self.resolved).into_keys().map(|(server, _)| server).collect()
    }
}

/// Whether a rule already blanks a value in what this server says.
fn covers(rule: &ReplacementRule, server: &ServerName, value: &Secret) -> bool {
    let is_theirs = rule.servers.as_ref().is_none_or(|servers| servers.contains(server));
    rule.real == *value && (rule.direction != Direction::Injected || is_theirs)
}

impl Redactions {
    /// The owner of `anonymizer`, which holds the configuration's rules already.
    #[must_use]
    pub fn new(anonymizer: Arc<ArcSwap<Anonymizer>>, configured: Vec<ReplacementRule>) -> Self {
        Self { anonymizer, inner: Mutex::new(RuleSets { configured, resolved: BTreeMap::new() }) }
    }

    /// The replacements in force.
    #[must_use]
    pub fn current(&self) -> Arc<Anonymizer> {
        self.anonymizer.load_full()
    }

    /// Applies another configuration's rules; `proven` is their anonymizer. The resolved values stay blanked, but for
    /// those that the new configuration itself shows as part of a fake. Returns the servers that have such a value:
    /// they must be ended, and get it again only by [`Self::add`].
    #[must_use]
    pub fn put_configured(
        &self,
        configured: Vec<ReplacementRule>,
        proven: Anonymizer,
    ) -> BTreeSet<ServerName> {
        let mut inner = lock(&self.inner);
        let first_resolved = configured.len();
        inner.configured = configured;
        let rules = inner.all();
        let (anonymizer, exposed) = if rules.len() == first_resolved {
            (proven, BTreeSet::new())
        } else {
            match Anonymizer::new(&rules) {
                Ok(anonymizer) => (anonymizer, BTreeSet::new()),
                Err(conflicts) => {
                    let numbers = conflicts.iter().flat_map(|conflict| [Some(conflict.rule), conflict.other]);
                    let resolved = numbers.flatten().filter(|number| *number >= first_resolved);
                    let values: Vec<Secret> = resolved.map(|number| rules[number].real.clone()).collect();
                    let exposed = inner.drop_values(&values);
                    match Anonymizer::new(&inner.all()) {
                        Ok(anonymizer) => (anonymizer, exposed),
                        // Not to be expected: the rules of the configuration are proven without these.
                        Err(_) => (proven, inner.drop_all()),
                    }
                }
            }
        };
        self.anonymizer.store(Arc::new(anonymizer));
        exposed
    }

    /// This server's listing without the resolved values, which no session knows. What the configuration names stays, since its
    /// readers conceal it themselves. None if a value can't be taken out.
    pub fn blank_listing(&self, server: &ServerName, listing: ServerListing) -> Option<ServerListing> {
        let mut resolved = lock(&self.inner).resolved_rules();
        resolved.retain(|rule| rule.servers.as_ref().is_some_and(|servers| servers.contains(server)));
        if resolved.is_empty() {
            return Some(listing);
        }
        let listed = Real::from_server(portero::json::serialize_raw(&listing));
        let blanked = Anonymizer::new(&resolved).ok()?.conceal_from(server, listed).ok()?;
        serde_json::from_str(blanked.get().get()).ok()
    }

    /// Blanks the values that a server uses from now on. It must return before one of them is used. Of those that it
    /// used before, the last ones stay blanked.
    ///
    /// # Errors
    /// If one can't be blanked; then none may be used.
    pub fn add(
        &self,
        server: &ServerName,
        source: SecretSource,
        values: &[Secret],
    ) -> Result<(), RedactionConflict> {
        let is_long = |value: &&Secret| value.expose().chars().count() >= MIN_SECRET_LENGTH;
        let in_use: Vec<Secret> = values.iter().filter(is_long).cloned().collect();
        let mut inner = lock(&self.inner);
        let key = (server.clone(), source);
        let before = inner.resolved.get(&key).cloned().unwrap_or_default();
        if before.in_use == in_use {
            return Ok(());
        }
        let mut after = before.clone();
        after.put_in_use(in_use);
        inner.resolved.insert(key.clone(), after);
        match Anonymizer::new(&inner.all()) {
            Ok(anonymizer) => {
                self.anonymizer.store(Arc::new(anonymizer));
                Ok(())
            }
            Err(_) => {
                inner.resolved.insert(key, before);
                Err(RedactionConflict)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().expect("a name")
    }

    fn secret(text: impl Into<String>) -> Secret {
        Secret::new(text.into())
    }

    fn is_blanked(redactions: &Redactions, value: &str) -> bool {
        !redactions.current().conceal_text(&format!("it says {value} here")).into_inner().contains(value)
    }

    fn none() -> Redactions {
        Redactions::new(Arc::new(ArcSwap::from_pointee(Anonymizer::empty())), Vec::new())
    }

    fn rule(real: &str, fake: &str) -> ReplacementRule {
        ReplacementRule {
            fake: fake.to_owned(),
            real: secret(real),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: None,
        }
    }

    #[test]
    fn a_secret_in_use_stays_blanked_however_many_values_come_after_it() {
        let redactions = none();
        let (github, other) = (name("github"), name("other"));
        redactions.add(&github, SecretSource::Entry, &[secret("key-in-use-1")]).expect("blanked");
        redactions.add(&other, SecretSource::Entry, &[secret("key-in-use-2")]).expect("blanked");
        for number in 0..600 {
            let tokens = [secret(format!("access-{number:04}")), secret(format!("refresh-{number:04}"))];
            redactions.add(&other, SecretSource::Login, &tokens).expect("blanked");
        }
        for value in ["key-in-use-1", "key-in-use-2", "access-0599", "refresh-0599", "refresh-0598"] {
            assert!(is_blanked(&redactions, value), "{value}");
        }
        assert!(!is_blanked(&redactions, "access-0001"), "the oldest are dropped");
        assert!(lock(&redactions.inner).all().len() <= 4 + MAX_FORMER);
    }

    #[test]
    fn a_value_that_comes_back_into_use_is_no_former_one() {
        let redactions = none();
        let server = name("linear");
        for number in [0, 1, 0] {
            redactions
                .add(&server, SecretSource::Login, &[secret(format!("token-{number:04}"))])
                .expect("blanked");
        }
        for number in 2..40 {
            let values = [secret("token-0000"), secret(format!("token-{number:04}"))];
            redactions.add(&server, SecretSource::Login, &values).expect("blanked");
        }
        assert!(is_blanked(&redactions, "token-0000"));
        assert!(!is_blanked(&redactions, "token-0001"));
    }

    #[test]
    fn a_value_inside_a_fake_is_refused_and_none_of_its_kind_is_taken() {
        let rules = vec![rule("Jane Roe", "example-token-1")];
        let anonymizer = Anonymizer::new(&rules).expect("a rule set");
        let redactions = Redactions::new(Arc::new(ArcSwap::from_pointee(anonymizer)), rules);
        let values = [secret("another-one"), secret("token-1x"), secret("example-token-1")];
        let refused = redactions.add(&name("linear"), SecretSource::Entry, &values);
        assert_eq!(refused, Err(RedactionConflict));
        assert!(!is_blanked(&redactions, "another-one"));
    }

    #[test]
    fn an_edit_that_shows_a_secret_as_a_fake_names_the_servers_that_have_it() {
        let redactions = none();
        for (server, value) in
            [("github", "key-of-github"), ("linear", "key-of-linear"), ("sentry", "key-of-linear")]
        {
            redactions.add(&name(server), SecretSource::Entry, &[secret(value)]).expect("blanked");
        }
        let rules = vec![rule("Jane Roe", "the key-of-linear"), rule("John Roe", "Alan Smithee")];
        let proven = Anonymizer::new(&rules).expect("a rule set");
        let exposed = redactions.put_configured(rules, proven);
        assert_eq!(exposed, BTreeSet::from([name("linear"), name("sentry")]));
        assert!(is_blanked(&redactions, "key-of-github"), "the others stay blanked");
        assert!(is_blanked(&redactions, "John Roe"));
        let again = redactions.add(&name("linear"), SecretSource::Entry, &[secret("key-of-linear")]);
        assert_eq!(again, Err(RedactionConflict), "it is not used again");
        let harmless = vec![rule("John Roe", "Alan Smithee")];
        let proven = Anonymizer::new(&harmless).expect("a rule set");
        assert!(redactions.put_configured(harmless, proven).is_empty());
        redactions
            .add(&name("linear"), SecretSource::Entry, &[secret("key-of-linear")])
            .expect("blanked again");
        assert!(is_blanked(&redactions, "key-of-linear"));
    }

    #[test]
    fn a_listing_leaves_without_the_values_that_only_the_daemon_knows() {
        let server: ServerName = "linear".parse().unwrap();
        let redactions = Redactions::new(Arc::new(ArcSwap::from_pointee(Anonymizer::empty())), Vec::new());
        let listing = |secret: &str| {
            let tool = format!(r#"{{"name":"read","description":"for {secret}","n":1.10}}"#);
            ServerListing {
                instructions: Some(format!("Bearer {secret}")),
                tools: vec![serde_json::from_str(&tool).unwrap()],
                ..ServerListing::default()
            }
        };
        let as_text = |listing: ServerListing| serde_json::to_string(&listing).unwrap();
        let (said, plain) = (as_text(listing("access-0123456789")), as_text(listing("***REDACTED***")));
        let blank = || redactions.blank_listing(&server, listing("access-0123456789")).map(as_text);
        assert_eq!(blank(), Some(said), "it isn't known yet");
        redactions.add(&server, SecretSource::Login, &[Secret::new("access-0123456789")]).unwrap();
        assert_eq!(blank(), Some(plain));
    }
}

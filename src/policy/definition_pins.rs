//! Definition pins: which definitions of a server's tools and prompts count as accepted.
//!
//! All definitions of a server are accepted at its first sight. From then on each that differs must be accepted
//! by a person before a call of it is allowed again. A pin holds digests only; the daemon keeps the texts.
//! A pin is something else than a *pinned tool*, which is listed from the start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::FieldDigest;
use crate::json::canonicalize;
use crate::names::{ServerName, ToolName};

/// How many accepted definitions of one item are kept. Two projects may list two versions of a tool.
pub const MAX_ACCEPTED_DEFINITIONS: usize = 8;
/// How many definitions of one item wait for a person at once; the oldest goes.
pub const MAX_WAITING_DEFINITIONS: usize = 4;

/// One thing that a server defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DefinitionItem {
    /// The server's `instructions`.
    Instructions,
    /// A prompt, by its concealed name.
    Prompt(String),
    /// A tool.
    Tool(ToolName),
}

/// The text names no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no tool, no prompt and no instructions")]
pub struct UnknownItemError(String);

impl fmt::Display for DefinitionItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instructions => f.write_str("instructions"),
            Self::Prompt(name) => write!(f, "prompt {name}"),
            Self::Tool(name) => write!(f, "tool {}", name.as_str()),
        }
    }
}

impl FromStr for DefinitionItem {
    type Err = UnknownItemError;

    fn from_str(text: &str) -> Result<Self, UnknownItemError> {
        let unknown = || UnknownItemError(text.to_owned());
        match text.split_once(' ') {
            None if text == "instructions" => Ok(Self::Instructions),
            Some(("prompt", name)) => Ok(Self::Prompt(name.to_owned())),
            Some(("tool", name)) => name.parse().map(Self::Tool).map_err(|_| unknown()),
            Some(_) | None => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DefinitionItem {
    type Error = UnknownItemError;

    fn try_from(text: String) -> Result<Self, UnknownItemError> {
        text.parse()
    }
}

impl From<DefinitionItem> for String {
    fn from(item: DefinitionItem) -> Self {
        item.to_string()
    }
}

/// The digest of a concealed definition. The order of members and white space don't count, all else does.
#[must_use]
pub fn definition_pin_digest(definition: &RawValue) -> String {
    digest_json(FieldDigest::new("portero definition pin v1"), definition)
}

/// The digest of a tool's definition as its server gave it, to which approvals bind.
#[must_use]
pub fn tool_definition_digest(definition: &RawValue) -> String {
    digest_json(FieldDigest::new("portero tool definition v1"), definition)
}

fn digest_json(digest: FieldDigest, definition: &RawValue) -> String {
    match canonicalize(definition) {
        Ok(canonical) => digest.bytes("canonical", canonical).to_hex(),
        // Such as a definition in which a key occurs twice.
        Err(_) => digest.bytes("raw", definition.get()).to_hex(),
    }
}

/// Identifies the definitions of one item that wait, as a person was shown them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WaitingDigest([u8; 32]);

/// The text is no [`WaitingDigest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest of definitions has 64 hexadecimal digits")]
pub struct WaitingDigestError;

impl TryFrom<String> for WaitingDigest {
    type Error = WaitingDigestError;

    fn try_from(text: String) -> Result<Self, WaitingDigestError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| WaitingDigestError)?;
        bytes.try_into().map(Self).map_err(|_| WaitingDigestError)
    }
}

impl From<WaitingDigest> for String {
    fn from(digest: WaitingDigest) -> Self {
        HEXLOWER.encode(&digest.0)
    }
}

/// What policy knows of the definition behind a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefinitionState {
    /// It is accepted, or the server was never seen before.
    #[default]
    Accepted,
    /// It differs from what was accepted. `since` is its place in the sequence of rules and grants: those with a
    /// larger id were made after a person could know of it. Without a place nothing was.
    Changed {
        /// That place.
        since: Option<u64>,
    },
    /// The server is known, and this item wasn't.
    New {
        /// As for a change.
        since: Option<u64>,
    },
}

/// Why a call asks although policy allows its tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnacceptedDefinition {
    /// Its definition differs from the accepted one.
    Changed,
    /// It is new to a known server.
    New,
}

impl DefinitionState {
    /// Why it needs a person, and its place in the sequence of rules and grants; none if it is accepted.
    #[must_use]
    pub const fn unaccepted(self) -> Option<(UnacceptedDefinition, Option<u64>)> {
        match self {
            Self::Accepted => None,
            Self::Changed { since } => Some((UnacceptedDefinition::Changed, since)),
            Self::New { since } => Some((UnacceptedDefinition::New, since)),
        }
    }
}

/// The pins of all servers. A server that was seen once stays, also when it leaves the configuration: otherwise
/// a server that comes back would be trusted at first sight again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<ServerName, ServerPins>", into = "BTreeMap<ServerName, ServerPins>")]
pub struct DefinitionPins(Arc<BTreeMap<ServerName, ServerPins>>);

impl From<BTreeMap<ServerName, ServerPins>> for DefinitionPins {
    fn from(servers: BTreeMap<ServerName, ServerPins>) -> Self {
        Self(Arc::new(servers))
    }
}

impl From<DefinitionPins> for BTreeMap<ServerName, ServerPins> {
    fn from(pins: DefinitionPins) -> Self {
        Arc::unwrap_or_clone(pins.0)
    }
}

/// The pins of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPins {
    /// The accepted digests of each item, the newest last.
    pub accepted: BTreeMap<DefinitionItem, Vec<String>>,
    /// The definitions that wait for a person, the newest last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<DefinitionItem, Vec<WaitingDefinition>>,
    /// The items that a listing lacked, of which people were told. Their pins stay.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gone: BTreeSet<DefinitionItem>,
}

/// A definition that differs from the accepted ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingDefinition {
    /// Its digest.
    pub digest: String,
    /// Its place in the sequence of rules and grants.
    pub since: u64,
}

impl DefinitionPins {
    /// Whether no server was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pins of a server; none if it was never seen.
    #[must_use]
    pub fn server(&self, server: &ServerName) -> Option<&ServerPins> {
        self.0.get(server)
    }

    /// All servers with their pins.
    pub fn servers(&self) -> impl Iterator<Item = (&ServerName, &ServerPins)> {
        self.0.iter()
    }

    /// Replaces the pins of a server.
    pub fn set_server(&mut self, server: ServerName, pins: ServerPins) {
        Arc::make_mut(&mut self.0).insert(server, pins);
    }

    /// The state of a definition; none if its server was never seen.
    #[must_use]
    pub fn state(&self, server: &ServerName, item: &DefinitionItem, digest: &str) -> Option<DefinitionState> {
        Some(self.0.get(server)?.state(item, digest))
    }

    /// The pins that hold in both: what only one of two states accepts is no longer accepted, and what either knows
    /// stays known.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (server, theirs) in other.servers() {
            let both = all.server(server).map_or_else(|| theirs.clone(), |mine| mine.intersection(theirs));
            all.set_server(server.clone(), both);
        }
        all
    }

    /// Every digest.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|pins| {
            let waiting = pins.waiting.values().flatten().map(|waiting| waiting.digest.as_str());
            pins.accepted.values().flatten().map(String::as_str).chain(waiting)
        })
    }
}

impl ServerPins {
    /// The pins of a server at its first sight.
    #[must_use]
    pub fn first_sight(definitions: impl IntoIterator<Item = (DefinitionItem, String)>) -> Self {
        let accepted = definitions.into_iter().map(|(item, digest)| (item, vec![digest]));
        Self { accepted: accepted.collect(), ..Self::default() }
    }

    /// The digest of an item's definition; none while several are known, because the server of a session may list either.
    #[must_use]
    pub fn only_digest(&self, item: &DefinitionItem) -> Option<&str> {
        let accepted = self.accepted.get(item).into_iter().flatten().map(String::as_str);
        let waiting = self.waiting.get(item).into_iter().flatten().map(|waiting| waiting.digest.as_str());
        let mut known = accepted.chain(waiting);
        let only = known.next()?;
        known.next().is_none().then_some(only)
    }

    /// The state of a definition.
    #[must_use]
    pub fn state(&self, item: &DefinitionItem, digest: &str) -> DefinitionState {
        let since = || {
            let waiting = self.waiting.get(item)?.iter().find(|waiting| waiting.digest == digest)?;
            Some(waiting.since)
        };
        match self.accepted.get(item) {
            Some(accepted) if accepted.iter().any(|known| known == digest) => DefinitionState::Accepted,
            Some(_) => DefinitionState::Changed { since: since() },
            None => DefinitionState::New { since: since() },
        }
    }

    /// Identifies what waits.
    #[must_use]
    pub fn waiting_digest(&self) -> String {
        let all = self.waiting.iter().flat_map(|(item, waiting)| {
            waiting.iter().map(move |waiting| format!("{item} {}", waiting.digest))
        });
        FieldDigest::new("portero waiting definitions v1").list("waiting", all).to_hex()
    }

    /// Identifies what waits of one item; none if nothing does.
    #[must_use]
    pub fn waiting_item_digest(&self, item: &DefinitionItem) -> Option<WaitingDigest> {
        let waiting = self.waiting.get(item)?.iter().map(|waiting| &waiting.digest);
        let digest = FieldDigest::new("portero waiting definitions of one item v1").list("waiting", waiting);
        Some(WaitingDigest(digest.to_bytes()))
    }

    /// The state of an item by its newest definition that waits; accepted if none does.
    #[must_use]
    pub fn waiting_state(&self, item: &DefinitionItem) -> DefinitionState {
        let newest = self.waiting.get(item).and_then(|waiting| waiting.last());
        newest.map_or(DefinitionState::Accepted, |waiting| self.state(item, &waiting.digest))
    }

    /// Whether this definition is accepted, or waits for a person already.
    #[must_use]
    pub fn is_registered(&self, item: &DefinitionItem, digest: &str) -> bool {
        match self.state(item, digest) {
            DefinitionState::Accepted => true,
            DefinitionState::Changed { since } | DefinitionState::New { since } => since.is_some(),
        }
    }

    /// Registers a definition that must be accepted. Returns whether its item waits only from now on.
    pub fn add_waiting(&mut self, item: &DefinitionItem, digest: String, since: u64) -> bool {
        let waiting = self.waiting.entry(item.clone()).or_default();
        let is_first = waiting.is_empty();
        if waiting.len() >= MAX_WAITING_DEFINITIONS {
            waiting.remove(0);
        }
        waiting.push(WaitingDefinition { digest, since });
        is_first
    }

    /// Accepts a definition that waits.
    pub fn accept(&mut self, item: &DefinitionItem, digest: &str) {
        if let Some(waiting) = self.waiting.get_mut(item) {
            waiting.retain(|waiting| waiting.digest != digest);
            if waiting.is_empty() {
                self.waiting.remove(item);
            }
        }
        let accepted = self.accepted.entry(item.clone()).or_default();
        accepted.retain(|known| known != digest);
        if accepted.len() >= MAX_ACCEPTED_DEFINITIONS {
            accepted.remove(0);
        }
        accepted.push(digest.to_owned());
        self.gone.remove(item);
    }

    /// The pins with other digests and other names of items. A digest that `convert` doesn't know is no longer accepted
    /// or waiting, but its item stays known. What waits goes where `is_stale` says so, or where it is accepted by its
    /// other digest.
    #[must_use]
    pub fn carried_over(
        &self,
        rename: impl Fn(&DefinitionItem) -> DefinitionItem,
        convert: impl Fn(&str) -> Option<String>,
        is_stale: impl Fn(&str) -> bool,
    ) -> Self {
        let mut carried = Self { gone: self.gone.iter().map(&rename).collect(), ..Self::default() };
        for (item, digests) in &self.accepted {
            let accepted = carried.accepted.entry(rename(item)).or_default();
            for digest in digests.iter().filter_map(|digest| convert(digest)) {
                if !accepted.contains(&digest) {
                    accepted.push(digest);
                }
            }
        }
        for (item, waiting) in &self.waiting {
            let item = rename(item);
            for WaitingDefinition { digest, since } in waiting {
                let Some(now) = convert(digest).filter(|_| !is_stale(digest)) else { continue };
                if !carried.is_registered(&item, &now) {
                    carried.add_waiting(&item, now, *since);
                }
            }
        }
        carried
    }

    fn intersection(&self, other: &Self) -> Self {
        let items: BTreeSet<&DefinitionItem> = self.accepted.keys().chain(other.accepted.keys()).collect();
        let both = |item: &DefinitionItem| {
            let (mine, theirs) = (self.accepted.get(item), other.accepted.get(item));
            let theirs = |digest: &&String| theirs.is_some_and(|theirs| theirs.contains(digest));
            mine.into_iter().flatten().filter(theirs).cloned().collect::<Vec<_>>()
        };
        let accepted = items.into_iter().map(|item| (item.clone(), both(item))).collect();
        Self { accepted, waiting: BTreeMap::new(), gone: self.gone.union(&other.gone).cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_the_only_one_while_no_other_is_known() {
        let item = DefinitionItem::Tool("send".parse().unwrap());
        let mut pins = ServerPins::first_sight([(item.clone(), "a".to_owned())]);
        assert_eq!(pins.only_digest(&item), Some("a"));
        pins.add_waiting(&item, "b".to_owned(), 1);
        assert_eq!(pins.only_digest(&item), None, "either may be listed");
        pins.accept(&item, "b");
        assert_eq!(pins.only_digest(&item), None, "two sessions may run two versions");
        let mut fresh = ServerPins::default();
        assert_eq!(fresh.only_digest(&item), None);
        fresh.add_waiting(&item, "b".to_owned(), 1);
        assert_eq!(fresh.only_digest(&item), Some("b"));
    }

    fn item(text: &str) -> DefinitionItem {
        text.parse().unwrap()
    }

    fn pins() -> ServerPins {
        ServerPins::first_sight([
            (item("tool send"), "a".to_owned()),
            (item("prompt hi you"), "b".to_owned()),
        ])
    }

    #[test]
    fn what_was_seen_first_is_accepted_and_all_else_waits_for_a_person() {
        let mut pins = pins();
        assert_eq!(pins.state(&item("tool send"), "a"), DefinitionState::Accepted);
        assert_eq!(pins.state(&item("tool send"), "c"), DefinitionState::Changed { since: None });
        assert_eq!(pins.state(&item("tool new"), "c"), DefinitionState::New { since: None });
        assert!(pins.add_waiting(&item("tool send"), "c".to_owned(), 7));
        assert_eq!(pins.state(&item("tool send"), "c"), DefinitionState::Changed { since: Some(7) });
        pins.accept(&item("tool send"), "c");
        assert_eq!(pins.state(&item("tool send"), "c"), DefinitionState::Accepted);
        assert_eq!(
            pins.state(&item("tool send"), "a"),
            DefinitionState::Accepted,
            "two projects, two versions"
        );
        assert!(pins.waiting.is_empty());
    }

    #[test]
    fn of_many_definitions_of_one_item_the_newest_wait() {
        let mut pins = pins();
        let first: Vec<bool> =
            (0..9).map(|at| pins.add_waiting(&item("tool send"), format!("d{at}"), at)).collect();
        assert_eq!(first.iter().filter(|first| **first).count(), 1, "people are told once");
        assert_eq!(pins.state(&item("tool send"), "d0"), DefinitionState::Changed { since: None });
        assert_eq!(pins.state(&item("tool send"), "d8"), DefinitionState::Changed { since: Some(8) });
    }

    #[test]
    fn two_states_together_accept_only_what_both_do_and_forget_no_server() {
        let name = |text: &str| text.parse::<ServerName>().unwrap();
        let mut newer = DefinitionPins::default();
        let mut changed = pins();
        changed.accept(&item("tool send"), "c");
        newer.set_server(name("mail"), changed);
        newer.set_server(name("notes"), pins());
        let mut older = DefinitionPins::default();
        older.set_server(name("mail"), pins());
        let both = older.intersection(&newer);
        assert_eq!(both, newer.intersection(&older));
        let state = |server: &str, digest| both.state(&name(server), &item("tool send"), digest).unwrap();
        assert_eq!(state("mail", "a"), DefinitionState::Accepted);
        assert_eq!(state("mail", "c"), DefinitionState::Changed { since: None });
        assert_eq!(state("notes", "a"), DefinitionState::Accepted);
    }

    #[test]
    fn the_digest_of_what_waits_changes_with_it_and_survives_its_serialized_form() {
        let mut pins = pins();
        assert_eq!(pins.waiting_item_digest(&item("tool send")), None);
        pins.add_waiting(&item("tool send"), "c".to_owned(), 3);
        let first = pins.waiting_item_digest(&item("tool send")).unwrap();
        pins.add_waiting(&item("tool read"), "c".to_owned(), 3);
        assert_eq!(pins.waiting_item_digest(&item("tool send")), Some(first), "another item");
        pins.add_waiting(&item("tool send"), "d".to_owned(), 4);
        assert_ne!(pins.waiting_item_digest(&item("tool send")), Some(first));
        let text = serde_json::to_string(&first).unwrap();
        assert_eq!(serde_json::from_str::<WaitingDigest>(&text).unwrap(), first);
        for wrong in [r#""""#, r#""0g""#, r#""00""#] {
            assert!(serde_json::from_str::<WaitingDigest>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pins_survive_their_serialized_form() {
        let mut pins = pins();
        pins.add_waiting(&item("instructions"), "x".to_owned(), 3);
        pins.gone.insert(item("tool send"));
        let text = serde_json::to_string(&pins).unwrap();
        assert_eq!(serde_json::from_str::<ServerPins>(&text).unwrap(), pins);
        assert!("tool a/b".parse::<DefinitionItem>().is_err() && "else".parse::<DefinitionItem>().is_err());
    }
}

//! Definition pins: what servers list is registered here, and a person accepts what differs.
//!
//! Everything of a server that was never seen is accepted at once. Later, a registration only narrows: it says
//! that a definition waits, and from which place in the sequence of rules and grants people could know of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portero::ipc::Act;
use portero::ipc::requests::definitions::ReportedDefinition;
use portero::json::RawJson;
use portero::names::{Actor, ServerName};
use portero::pipeline::{BoxFuture, DefinitionRegistry, ListedDefinitions};
use portero::policy::definition_pins::{
    DefinitionItem, ServerPins, WaitingDefinition, WaitingDigest, definition_pin_digest,
};
use tokio::sync::watch;

use super::{OverrideStore, OverridesError, check_covers, next_id};
use crate::auth::Authorization;
use crate::store::overrides::OverridesRecord;
use crate::store::{Durability, definitions};

/// How many items of one server are pinned. Calls of all others ask.
const MAX_PINNED_ITEMS: usize = 10_000;
/// How many items of one server wait for a person at once. Calls of all others ask too.
const MAX_WAITING_ITEMS: usize = 1_000;
/// The longest definition whose text is kept. A longer one is pinned by its digest alone.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// A reported definition with its digest; none of both where the session knows its pin.
type DigestedDefinition = (DefinitionItem, Option<(String, RawJson)>);

impl OverrideStore {
    /// Registers what a server lists. The definitions are concealed by the daemon's own rules.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if it applies but isn't on disk, or if the texts can't be stored.
    pub async fn register_definitions(
        &self,
        server: &ServerName,
        report: Vec<ReportedDefinition>,
    ) -> Result<(), OverridesError> {
        let report: Vec<DigestedDefinition> = report
            .into_iter()
            .map(|ReportedDefinition { item, definition }| {
                (item, definition.map(|text| (definition_pin_digest(&text), text)))
            })
            .collect();
        let pins = self.deps.policy.load().overrides().definition_pins.server(server).cloned();
        if pins.is_some_and(|pins| !differs(&pins, &report)) {
            return Ok(());
        }
        // The texts come first, so that each pin of the store has its text.
        let known = report.iter().filter_map(|(_, known)| known.as_ref());
        let texts = known.filter(|(_, text)| text.get().len() <= MAX_TEXT_BYTES);
        let texts: Vec<(String, String)> =
            texts.map(|(digest, text)| (digest.clone(), text.get().to_owned())).collect();
        let saved = self
            .deps
            .journal
            .store()
            .write(Durability::StoreSynced, move |store| definitions::save_texts(store, &texts));
        saved.await?;
        // A widening change that is being saved comes first: a registration must not void it.
        let _elevation = self.elevating.lock().await;
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let Some(what) = register(&mut next, server, report) else { return Ok(()) };
        let record =
            self.deps.journal.act_record("pin", &format!("{server}: {what}"), true, Some(&Actor::Daemon));
        self.apply_narrowing(state, next, record).await
    }

    /// Accepts everything of a server that waits, if it still is what the person saw. Widens.
    ///
    /// # Errors
    /// [`OverridesError::DefinitionsChanged`], or if it could not be recorded and stored.
    pub async fn accept_definitions(
        &self,
        server: &ServerName,
        shown: &str,
        confirmed: Authorization,
    ) -> Result<u64, OverridesError> {
        check_covers(&confirmed, &Act::AcceptDefinitions(server.clone(), shown.to_owned()))?;
        let is_shown = |pins: &ServerPins| pins.waiting_digest() == shown;
        self.accept_waiting(server, confirmed, |pins| is_shown(pins).then(|| pins.waiting.clone())).await
    }

    /// Accepts what waits of one item of a server, if it still is what the person saw. Widens.
    ///
    /// # Errors
    /// As [`OverrideStore::accept_definitions`].
    pub async fn accept_definition(
        &self,
        server: &ServerName,
        item: &DefinitionItem,
        shown: WaitingDigest,
        confirmed: Authorization,
    ) -> Result<u64, OverridesError> {
        check_covers(&confirmed, &Act::AcceptDefinition(server.clone(), item.clone(), shown))?;
        let is_shown = |pins: &ServerPins| pins.waiting_item_digest(item) == Some(shown);
        let one = |pins: &ServerPins| {
            let waiting = pins.waiting.get(item).filter(|_| is_shown(pins))?;
            Some(BTreeMap::from([(item.clone(), waiting.clone())]))
        };
        self.accept_waiting(server, confirmed, one).await
    }

    /// Accepts the chosen definitions of a server; none are chosen if what waits isn't what the person saw.
    async fn accept_waiting(
        &self,
        server: &ServerName,
        confirmed: Authorization,
        choose: impl Fn(&ServerPins) -> Option<BTreeMap<DefinitionItem, Vec<WaitingDefinition>>>,
    ) -> Result<u64, OverridesError> {
        let widening = self.elevating.lock().await;
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let mut pins = next.overrides.definition_pins.server(server).cloned().unwrap_or_default();
        let chosen = choose(&pins).filter(|chosen| !chosen.is_empty());
        let Some(chosen) = chosen else {
            return Err(OverridesError::DefinitionsChanged(server.clone()));
        };
        let mut count = 0;
        for (item, waiting) in &chosen {
            for definition in waiting {
                pins.accept(item, &definition.digest);
                count += 1;
            }
        }
        next.overrides.definition_pins.set_server(server.clone(), pins);
        let items: Vec<String> = chosen.keys().map(ToString::to_string).collect();
        let about = format!("{server}: {}", items.join(", "));
        self.apply_elevation(widening, state, next, &about, confirmed).await?;
        Ok(count)
    }
}

/// Whether the report holds anything that the pins don't.
fn differs(pins: &ServerPins, report: &[DigestedDefinition]) -> bool {
    let is_new = |(item, known): &DigestedDefinition| {
        known.as_ref().is_some_and(|(digest, _)| !pins.is_registered(item, digest))
    };
    report.iter().any(is_new) || missing_items(pins, report).next().is_some()
}

/// The accepted items that the report lacks, and of which people weren't told.
fn missing_items<'a>(
    pins: &'a ServerPins,
    report: &[DigestedDefinition],
) -> impl Iterator<Item = &'a DefinitionItem> {
    let listed: std::collections::HashSet<&DefinitionItem> = report.iter().map(|(item, _)| item).collect();
    let missing: Vec<_> = pins.accepted.keys().filter(|item| !listed.contains(item)).collect();
    missing.into_iter().filter(|item| !pins.gone.contains(*item))
}

/// Registers a report, and returns what it changed in the words of the audit; none if nothing.
fn register(
    next: &mut OverridesRecord,
    server: &ServerName,
    report: Vec<DigestedDefinition>,
) -> Option<String> {
    let Some(mut pins) = next.overrides.definition_pins.server(server).cloned() else {
        let known = report.into_iter().filter_map(|(item, known)| Some((item, known?.0)));
        let pins = ServerPins::first_sight(known.take(MAX_PINNED_ITEMS));
        let what = format!("{} accepted at first sight", pins.accepted.len());
        next.overrides.definition_pins.set_server(server.clone(), pins);
        return Some(what);
    };
    let gone: Vec<DefinitionItem> = missing_items(&pins, &report).cloned().collect();
    let mut what: Vec<String> = gone.iter().map(|item| format!("{item} is gone")).collect();
    pins.gone.extend(gone);
    // One place for the whole report: rules and grants are older or newer than all of it.
    let mut since = None;
    for (item, known) in report {
        let Some((digest, _)) = known.filter(|(digest, _)| !pins.is_registered(&item, digest)) else {
            continue;
        };
        if pins.waiting.len() >= MAX_WAITING_ITEMS && !pins.waiting.contains_key(&item) {
            continue;
        }
        let since = *since.get_or_insert_with(|| next_id(next));
        pins.add_waiting(&item, digest, since);
        what.push(format!("{item} differs"));
    }
    if what.is_empty() {
        return None;
    }
    next.overrides.definition_pins.set_server(server.clone(), pins);
    Some(what.join(", "))
}

/// How long a question waits for the registration of what it is about.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(2);

/// The registry of the daemon's own servers.
pub struct OwnDefinitions {
    overrides: Arc<OverrideStore>,
    /// How many registrations of each server are running.
    running: watch::Sender<BTreeMap<ServerName, usize>>,
}

impl OwnDefinitions {
    /// A registry that keeps its pins in `overrides`.
    #[must_use]
    pub fn new(overrides: Arc<OverrideStore>) -> Self {
        Self { overrides, running: watch::Sender::new(BTreeMap::new()) }
    }
}

impl DefinitionRegistry for OwnDefinitions {
    fn report_listing(&self, server: &ServerName, definitions: ListedDefinitions) {
        let (overrides, server) = (Arc::clone(&self.overrides), server.clone());
        let running = self.running.clone();
        running.send_modify(|all| *all.entry(server.clone()).or_default() += 1);
        let report = definitions.into_iter();
        let report = report.map(|(item, text)| ReportedDefinition { item, definition: Some(text) }).collect();
        tokio::spawn(async move {
            if let Err(error) = overrides.register_definitions(&server, report).await {
                tracing::warn!(%server, %error, "what a server lists could not be registered");
            }
            running.send_modify(|all| match all.get_mut(&server) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) | None => drop(all.remove(&server)),
            });
        });
    }

    fn wait_until_registered<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut running = self.running.subscribe();
            let ended = running.wait_for(|all| !all.contains_key(server));
            let _ = tokio::time::timeout(REGISTRATION_TIMEOUT, ended).await;
        })
    }
}

//! Carries the pins over to other replacements.
//!
//! A pin is the digest of a *concealed* definition, so other replacements make other digests of the same definitions.
//! When a person confirmed such an edit, each accepted text is revealed by the former rules and concealed by the
//! present ones. What the former rules can't undo exactly loses its pin, and asks.

use std::collections::{BTreeMap, BTreeSet};

use portero::anonymize::Anonymizer;
use portero::json::{RawJson, parse_raw, serialize_raw};
use portero::names::Actor;
use portero::policy::definition_pins::{DefinitionItem, DefinitionPins, definition_pin_digest};

use super::{OverrideStore, OverridesError};
use crate::store::{Durability, StoreError, definitions};

/// The replacements before and after a confirmed edit.
#[derive(Debug, Clone, Copy)]
pub struct ChangedReplacements<'a> {
    /// The confirmed rules of before the edit, by which the pins were made.
    pub former: &'a Anonymizer,
    /// The rules while the edit waited: the former ones, and what of the edit conceals more.
    pub waiting: &'a Anonymizer,
    /// The rules that are confirmed now.
    pub present: &'a Anonymizer,
}

/// What becomes of the digests.
#[derive(Debug, Default)]
struct CarriedDigests {
    /// The digest by the present rules for each one by the former; none where those can't be undone.
    digests: BTreeMap<String, Option<String>>,
    /// The digests of accepted definitions as they were concealed while the edit waited.
    while_waiting: BTreeSet<String>,
    /// The texts of the new digests.
    texts: Vec<(String, String)>,
}

impl OverrideStore {
    /// Replaces the digests of all pins by those of the same definitions under the present replacements. It accepts
    /// only what is equal to an accepted definition once both are concealed by the present rules.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if it applies but isn't on disk, or if the texts can't be read or stored.
    pub async fn carry_definitions_over(
        &self,
        replacements: ChangedReplacements<'_>,
    ) -> Result<(), OverridesError> {
        let mut carried = self.convert_digests(&replacements)?;
        let texts = std::mem::take(&mut carried.texts);
        let store = self.deps.journal.store();
        store.write(Durability::StoreSynced, move |store| definitions::save_texts(store, &texts)).await?;
        // A widening change that is being saved comes first, as for a registration.
        let _elevation = self.elevating.lock().await;
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let pins = carry_pins(&next.overrides.definition_pins, &carried, &replacements);
        if pins == next.overrides.definition_pins {
            return Ok(());
        }
        next.overrides.definition_pins = pins;
        let about = "the pins go by the confirmed replacements";
        let record = self.deps.journal.act_record("pin", about, true, Some(&Actor::Daemon));
        self.apply_narrowing(state, next, record).await
    }

    fn convert_digests(&self, replacements: &ChangedReplacements<'_>) -> Result<CarriedDigests, StoreError> {
        let ChangedReplacements { former, waiting, present } = replacements;
        let pins = self.definition_pins();
        let known: BTreeSet<String> = pins.digests().map(str::to_owned).collect();
        let accepted: BTreeSet<&String> =
            pins.servers().flat_map(|(_, pins)| pins.accepted.values().flatten()).collect();
        let mut carried = CarriedDigests::default();
        for digest in known {
            let wanted = digest.clone();
            let text = self.deps.journal.store().read(move |store| definitions::find_text(store, &wanted))?;
            let text: Option<RawJson> = text.and_then(|text| parse_raw(text).ok());
            let conceal = |rules: &Anonymizer| rules.conceal_anew(former, text.as_ref()?);
            if accepted.contains(&digest) {
                carried.while_waiting.extend(conceal(waiting).map(|text| definition_pin_digest(&text)));
            }
            let now = conceal(present).map(|text| (definition_pin_digest(&text), text.get().to_owned()));
            carried.digests.insert(digest, now.as_ref().map(|(digest, _)| digest.clone()));
            carried.texts.extend(now);
        }
        Ok(carried)
    }
}

/// The pins with the digests and names of the present rules. Digests that came meanwhile are of those rules already.
fn carry_pins(
    pins: &DefinitionPins,
    carried: &CarriedDigests,
    replacements: &ChangedReplacements<'_>,
) -> DefinitionPins {
    let convert = |digest: &str| match carried.digests.get(digest) {
        Some(now) => now.clone(),
        None => Some(digest.to_owned()),
    };
    let rename = |item: &DefinitionItem| carry_item(item, replacements);
    let is_stale = |digest: &str| carried.while_waiting.contains(digest);
    let mut all = pins.clone();
    for (server, pins) in pins.servers() {
        all.set_server(server.clone(), pins.carried_over(rename, convert, is_stale));
    }
    all
}

/// An item by its present name: that of a prompt is concealed.
fn carry_item(item: &DefinitionItem, replacements: &ChangedReplacements<'_>) -> DefinitionItem {
    let ChangedReplacements { former, waiting: _, present } = replacements;
    match item {
        DefinitionItem::Prompt(name) => {
            let name = present.conceal_anew(former, &serialize_raw(name));
            let name = name.and_then(|name| serde_json::from_str(name.get()).ok());
            name.map_or_else(|| item.clone(), DefinitionItem::Prompt)
        }
        DefinitionItem::Tool(_) | DefinitionItem::Instructions => item.clone(),
    }
}

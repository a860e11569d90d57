//! Pins after a confirmed edit of the replacements: what was accepted still is, and nothing else.

use portero::anonymize::{Anonymizer, Direction, ReplacementRule};
use portero::ipc::requests::definitions::ReportedDefinition;
use portero::json::{RawJson, parse_raw};
use portero::names::ServerName;
use portero::policy::DefinitionState;
use portero::policy::definition_pins::{DefinitionItem, definition_pin_digest};
use portero::secret::Secret;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::overrides::ChangedReplacements;

fn mail() -> ServerName {
    "mail".parse().unwrap()
}

fn send() -> DefinitionItem {
    "tool send".parse().unwrap()
}

/// The rules that replace these real values by these fakes.
fn rules(pairs: &[(&str, &str)]) -> Option<Anonymizer> {
    let rule = |(real, fake): &(&str, &str)| ReplacementRule {
        fake: (*fake).to_owned(),
        real: Secret::new(*real),
        direction: Direction::Both,
        case_sensitive: false,
        matching: None,
        label: None,
        servers: None,
    };
    Anonymizer::new(&pairs.iter().map(rule).collect::<Vec<_>>()).ok()
}

/// A definition of this text, as these rules conceal it.
fn concealed(rules: &Anonymizer, text: &str) -> RawJson {
    let raw = parse_raw(json!({"description": text}).to_string()).unwrap();
    rules.conceal_local(raw).unwrap().into_inner()
}

async fn list(store: &OverrideStore, rules: &Anonymizer, text: &str) {
    let definition = Some(concealed(rules, text));
    store.register_definitions(&mail(), vec![ReportedDefinition { item: send(), definition }]).await.unwrap();
}

fn is_accepted(store: &OverrideStore, rules: &Anonymizer, text: &str) -> bool {
    let pins = store.definition_pins();
    let state = pins.server(&mail()).unwrap().state(&send(), &definition_pin_digest(&concealed(rules, text)));
    state == DefinitionState::Accepted
}

async fn accept_all(store: &OverrideStore) {
    let shown = store.definition_pins().server(&mail()).unwrap().waiting_digest();
    let act = Act::AcceptDefinitions(mail(), shown.clone());
    store.accept_definitions(&mail(), &shown, Authorization::for_test(act)).await.unwrap();
}

#[tokio::test]
async fn what_was_accepted_stays_so_under_other_replacements_and_all_else_asks() {
    let none = rules(&[]).unwrap();
    let named = rules(&[("Ada Lovelace", "Jane Roe")]).unwrap();
    let renamed = rules(&[("Ada Lovelace", "Mary Major")]).unwrap();
    for (case, former, present) in
        [("added", &none, &named), ("changed", &named, &renamed), ("removed", &named, &none)]
    {
        let bench = Fixture::new();
        let store = open_store(&bench).await;
        list(&store, former, "for Ada Lovelace").await;
        list(&store, former, "for Ada Lovelace and your keys").await;
        accept_all(&store).await;
        list(&store, former, "for Ada Lovelace and your money").await;
        let replacements = ChangedReplacements { former, waiting: former, present };
        store.carry_definitions_over(replacements).await.unwrap();
        for text in ["for Ada Lovelace", "for Ada Lovelace and your keys"] {
            assert!(is_accepted(&store, present, text), "{case}: {text}");
        }
        for text in ["for Ada Lovelace and your money", "for Ada", "for Jane Roe and all"] {
            assert!(!is_accepted(&store, present, text), "{case}: {text}");
        }
        let waiting = |store: &OverrideStore| {
            let pins = store.definition_pins();
            pins.server(&mail()).unwrap().waiting.get(&send()).cloned().unwrap_or_default()
        };
        assert_eq!(waiting(&store).len(), 1, "{case}: it waits as before");
        // The server lists the same again, and it changed at the same moment.
        let epoch = *store.subscribe_epoch().borrow();
        list(&store, present, "for Ada Lovelace and your keys").await;
        assert_eq!(*store.subscribe_epoch().borrow(), epoch, "{case}: nothing new");
        list(&store, present, "for Ada Lovelace and your house").await;
        assert_eq!(waiting(&store).len(), 2, "{case}");
        let after = bench.after_crash();
        let again = open_store(&after).await;
        assert!(is_accepted(&again, present, "for Ada Lovelace"), "{case}");
    }
}

#[tokio::test]
async fn what_only_an_edit_that_waited_made_different_waits_no_more() {
    let (former, present) = (rules(&[]).unwrap(), rules(&[("Ada Lovelace", "Jane Roe")]).unwrap());
    // Until it is confirmed, a new replacement conceals by its redaction alone.
    let waiting = rules(&[("Ada Lovelace", "REDACTED")]).unwrap();
    let bench = Fixture::new();
    let store = open_store(&bench).await;
    list(&store, &former, "for Ada Lovelace").await;
    list(&store, &waiting, "for Ada Lovelace").await;
    assert!(
        !is_accepted(&store, &waiting, "for Ada Lovelace"),
        "an edit that nobody confirmed accepts nothing"
    );
    let replacements = ChangedReplacements { former: &former, waiting: &waiting, present: &present };
    store.carry_definitions_over(replacements).await.unwrap();
    assert!(is_accepted(&store, &present, "for Ada Lovelace"));
    assert!(store.definition_pins().server(&mail()).unwrap().waiting.is_empty());
}

const WORDS: [&str; 7] = ["ada", "bob", "eve", "mallory", "trent", "mail", "keys"];

/// Every text of one or two words.
fn all_texts() -> Vec<String> {
    let two = |one: &&str| WORDS.map(|other| format!("{one} {other}"));
    WORDS.iter().map(|word| (*word).to_owned()).chain(WORDS.iter().flat_map(two)).collect()
}

fn any_rules() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let fake = || prop::option::of(prop::sample::select(&["eve", "mallory", "trent"][..]));
    (fake(), fake()).prop_map(|(ada, bob)| {
        [("ada", ada), ("bob", bob)].into_iter().filter_map(|(real, fake)| Some((real, fake?))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// After any confirmed edit a definition is accepted only if it is equal to an accepted one once both are
    /// concealed; and one without a fake of the server's own is never asked about again.
    #[test]
    fn an_edit_of_replacements_accepts_nothing_new(
        before in any_rules(),
        after in any_rules(),
        listed in prop::collection::vec(prop::sample::select(all_texts()), 1..4),
        accepted in 0_usize..4,
    ) {
        let (Some(former), Some(present)) = (rules(&before), rules(&after)) else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Fixture::new();
            let store = open_store(&bench).await;
            for (at, text) in listed.iter().enumerate() {
                list(&store, &former, text).await;
                let waits = !store.definition_pins().server(&mail()).unwrap().waiting.is_empty();
                if at < accepted && waits {
                    accept_all(&store).await;
                }
            }
            let was_accepted: Vec<String> =
                all_texts().into_iter().filter(|text| is_accepted(&store, &former, text)).collect();
            let replacements = ChangedReplacements { former: &former, waiting: &former, present: &present };
            store.carry_definitions_over(replacements).await.unwrap();
            let present_texts = |text: &str| concealed(&present, text).get().to_owned();
            for text in all_texts() {
                let equal = |other: &&String| present_texts(other) == present_texts(&text);
                if is_accepted(&store, &present, &text) {
                    assert!(was_accepted.iter().any(|other| equal(&other)), "{before:?} {after:?}: {text}");
                }
                let fakes = ["eve", "mallory", "trent"];
                if was_accepted.contains(&text) && !fakes.iter().any(|fake| text.contains(fake)) {
                    assert!(is_accepted(&store, &present, &text), "asked again: {before:?} {after:?}: {text}");
                }
            }
        });
    }
}

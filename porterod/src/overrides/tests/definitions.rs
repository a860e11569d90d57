//! Definition pins: what is registered, told, accepted and kept.

use portero::ipc::requests::definitions::ReportedDefinition;
use portero::json::parse_raw;
use portero::names::ServerName;
use portero::policy::definition_pins::{DefinitionItem, ServerPins, definition_pin_digest};
use portero::policy::{CallIdentity, DefinitionState};
use proptest::prelude::*;

use super::*;
use crate::store::definitions::find_text;

fn mail() -> ServerName {
    "mail".parse().unwrap()
}

fn item(name: &str) -> DefinitionItem {
    format!("tool {name}").parse().unwrap()
}

fn definition(version: u32) -> portero::json::RawJson {
    parse_raw(format!(r#"{{"description":"version {version}"}}"#)).unwrap()
}

/// A listing of these tools in these versions.
fn listing(tools: &[(&str, u32)]) -> Vec<ReportedDefinition> {
    let report = |(name, version): &(&str, u32)| ReportedDefinition {
        item: item(name),
        definition: Some(definition(*version)),
    };
    tools.iter().map(report).collect()
}

fn pins(rules: &OverrideStore) -> ServerPins {
    rules.definition_pins().server(&mail()).cloned().unwrap_or_default()
}

fn state(rules: &OverrideStore, name: &str, version: u32) -> DefinitionState {
    pins(rules).state(&item(name), &definition_pin_digest(&definition(version)))
}

async fn accept(rules: &OverrideStore) -> Result<u64, OverridesError> {
    let shown = pins(rules).waiting_digest();
    rules.accept_definitions(&mail(), &shown, accepting(&shown)).await
}

fn accepting(shown: &str) -> Authorization {
    Authorization::for_test(Act::AcceptDefinitions(mail(), shown.to_owned()))
}

async fn allow(rules: &OverrideStore, text: &str) {
    let act = Act::Allow(pattern(text));
    rules.add_allow_rule(pattern(text), Authorization::for_test(act)).await.unwrap();
}

#[tokio::test]
async fn the_first_sight_is_accepted_what_differs_waits_and_all_of_it_survives_a_crash() {
    let bench = Fixture::new();
    let rules = open_store(&bench).await;
    rules.register_definitions(&mail(), listing(&[("send", 1), ("read", 1)])).await.unwrap();
    assert_eq!(state(&rules, "send", 1), DefinitionState::Accepted);
    assert!(notice_texts(&bench).is_empty(), "nothing to tell at the first sight");
    rules.register_definitions(&mail(), listing(&[("send", 2), ("erase", 1)])).await.unwrap();
    let (changed, new) = (state(&rules, "send", 2), state(&rules, "erase", 1));
    assert!(matches!(changed, DefinitionState::Changed { since: Some(_) }), "{changed:?}");
    assert!(matches!(new, DefinitionState::New { since: Some(_) }), "{new:?}");
    let told = notice_texts(&bench);
    let told = told.last().unwrap();
    assert!(told.contains("changed: 1, added: 1, gone: 1"), "{told}");
    let after = bench.after_crash();
    let again = open_store(&after).await;
    assert_eq!(again.definition_pins(), rules.definition_pins());
    assert_eq!(
        read_denies_file(&after).definition_pins,
        rules.definition_pins(),
        "for sessions without a daemon"
    );
    let digest = definition_pin_digest(&definition(2));
    let text = after.journal.store().read(move |store| find_text(store, &digest)).unwrap();
    assert_eq!(text.as_deref(), Some(definition(2).get()));
}

#[tokio::test]
async fn the_same_listing_changes_nothing_and_a_flapping_server_is_told_of_once() {
    let bench = Fixture::new();
    let rules = open_store(&bench).await;
    rules.register_definitions(&mail(), listing(&[("send", 1)])).await.unwrap();
    let epoch = *rules.subscribe_epoch().borrow();
    rules.register_definitions(&mail(), listing(&[("send", 1)])).await.unwrap();
    assert_eq!(*rules.subscribe_epoch().borrow(), epoch);
    for version in 2..20 {
        rules.register_definitions(&mail(), listing(&[("send", version)])).await.unwrap();
        rules.register_definitions(&mail(), listing(&[])).await.unwrap();
    }
    let told = notice_texts(&bench);
    assert_eq!(told.len(), 2, "one of the change, one of the end: {told:?}");
}

/// Only what is gone is told without asking. An optional argument that is gone, such as `dry_run`, may make a call do
/// more.
#[tokio::test]
async fn what_is_gone_is_told_and_every_other_difference_asks() {
    let tool = |name: &str, text: &str| ReportedDefinition {
        item: item(name),
        definition: Some(parse_raw(text.to_owned()).unwrap()),
    };
    let first = r#"{"description":"Sends","inputSchema":{"type":"object",
        "properties":{"to":{"type":"string"},"dry_run":{"type":"boolean"}},"required":["to"]}}"#;
    let gone = Vec::new();
    let same = vec![tool("send", first)];
    let fewer = first.replace(r#","dry_run":{"type":"boolean"}"#, "");
    let stricter = first.replace(r#"["to"]"#, r#"["to","dry_run"]"#);
    let undescribed = first.replace(r#""description":"Sends","#, "");
    let cases = [
        ("the same", same, None),
        ("the tool is gone", gone, Some("changed: 0, added: 0, gone: 1")),
        ("an optional argument is gone", vec![tool("send", &fewer)], Some("changed: 1, added: 0, gone: 0")),
        ("an argument is required now", vec![tool("send", &stricter)], Some("changed: 1, added: 0, gone: 0")),
        ("no description", vec![tool("send", &undescribed)], Some("changed: 1, added: 0, gone: 0")),
    ];
    for (case, listed, expected) in cases {
        let bench = Fixture::new();
        let rules = open_store(&bench).await;
        rules.register_definitions(&mail(), vec![tool("send", first)]).await.unwrap();
        rules.register_definitions(&mail(), listed).await.unwrap();
        let told = notice_texts(&bench).pop();
        match expected {
            None => assert_eq!(told, None, "{case}"),
            Some(counts) => {
                assert!(told.as_ref().is_some_and(|told| told.contains(counts)), "{case}: {told:?}")
            }
        }
        let asks = !pins(&rules).waiting.is_empty();
        assert_eq!(asks, expected.is_some_and(|counts| counts.contains("changed: 1")), "{case}");
        rules.register_definitions(&mail(), vec![tool("send", first)]).await.unwrap();
        let digest = definition_pin_digest(tool("send", first).definition.as_ref().unwrap());
        let back = pins(&rules).state(&item("send"), &digest);
        assert_eq!(back, DefinitionState::Accepted, "it is as it was: {case}");
    }
}

#[tokio::test]
async fn a_person_accepts_what_they_saw_and_nothing_else() {
    let bench = Fixture::new();
    let rules = open_store(&bench).await;
    rules.register_definitions(&mail(), listing(&[("send", 1)])).await.unwrap();
    let refused = accept(&rules).await;
    assert_eq!(refused, Err(OverridesError::DefinitionsChanged(mail())), "nothing waits");
    rules.register_definitions(&mail(), listing(&[("send", 2)])).await.unwrap();
    let shown = pins(&rules).waiting_digest();
    let other = rules.accept_definitions(&mail(), &shown, accepting("else")).await;
    assert_eq!(other, Err(OverridesError::OtherConfirmed));
    rules.register_definitions(&mail(), listing(&[("send", 3)])).await.unwrap();
    let late = rules.accept_definitions(&mail(), &shown, accepting(&shown)).await;
    assert_eq!(late, Err(OverridesError::DefinitionsChanged(mail())), "another one came meanwhile");
    assert_ne!(state(&rules, "send", 2), DefinitionState::Accepted);
    assert_eq!(accept(&rules).await, Ok(2));
    for version in [1, 2, 3] {
        assert_eq!(state(&rules, "send", version), DefinitionState::Accepted, "version {version}");
    }
    let after = bench.after_crash();
    assert_eq!(state(&*open_store(&after).await, "send", 3), DefinitionState::Accepted);
}

#[tokio::test]
async fn one_item_is_accepted_by_what_was_shown_of_it_and_the_others_go_on_waiting() {
    let bench = Fixture::new();
    let rules = open_store(&bench).await;
    rules.register_definitions(&mail(), listing(&[("send", 1), ("read", 1)])).await.unwrap();
    rules.register_definitions(&mail(), listing(&[("send", 2), ("read", 2)])).await.unwrap();
    let accept_one = async |shown, act: &Act| {
        let confirmed = Authorization::for_test(act.clone());
        rules.accept_definition(&mail(), &item("send"), shown, confirmed).await
    };
    let act = |name: &str, shown| Act::AcceptDefinition(mail(), item(name), shown);
    let shown = pins(&rules).waiting_item_digest(&item("send")).unwrap();
    for other in [act("read", shown), Act::AcceptDefinitions(mail(), pins(&rules).waiting_digest())] {
        assert_eq!(accept_one(shown, &other).await, Err(OverridesError::OtherConfirmed), "{other:?}");
    }
    rules.register_definitions(&mail(), listing(&[("send", 3), ("read", 2)])).await.unwrap();
    let changed = Err(OverridesError::DefinitionsChanged(mail()));
    assert_eq!(accept_one(shown, &act("send", shown)).await, changed, "another one came meanwhile");
    let shown = pins(&rules).waiting_item_digest(&item("send")).unwrap();
    assert_eq!(accept_one(shown, &act("send", shown)).await, Ok(2));
    assert_eq!(accept_one(shown, &act("send", shown)).await, changed, "nothing waits any more");
    let after = bench.after_crash();
    let again = open_store(&after).await;
    for rules in [&rules, &again] {
        assert_eq!(state(rules, "send", 3), DefinitionState::Accepted);
        assert_ne!(state(rules, "read", 2), DefinitionState::Accepted);
    }
}

#[tokio::test]
async fn a_store_that_lost_its_last_changes_accepts_no_more_than_the_file_of_denies() {
    let bench = Fixture::new();
    let rules = open_store(&bench).await;
    rules.register_definitions(&mail(), listing(&[("send", 1)])).await.unwrap();
    let older = bench.after_crash();
    rules.register_definitions(&mail(), listing(&[("send", 2)])).await.unwrap();
    accept(&rules).await.unwrap();
    rules.register_definitions(&"notes".parse().unwrap(), listing(&[("read", 1)])).await.unwrap();
    std::fs::copy(bench.directory.path().join("denies.json"), older.directory.path().join("denies.json"))
        .unwrap();
    let restored = open_store(&older).await;
    assert_eq!(state(&restored, "send", 1), DefinitionState::Accepted);
    assert_ne!(state(&restored, "send", 2), DefinitionState::Accepted, "what widened is lost with the store");
    let notes = restored.definition_pins().server(&"notes".parse().unwrap()).cloned();
    assert!(notes.is_some_and(|pins| !pins.accepted.is_empty()), "no server is trusted at first sight again");
}

/// One step of a history.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The server lists its tool in this version.
    List(u32),
    /// A person accepts what waits.
    Accept,
    /// A person allows the tool.
    Allow,
    /// The daemon is killed and starts again.
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![(1_u32..4).prop_map(Step::List), Just(Step::Accept), Just(Step::Allow), Just(Step::Restart)]
}

/// What a person let run: the version of the first sight, those that they accepted, and those that they could know of
/// when they allowed the tool.
#[derive(Default)]
struct Model {
    seen: Vec<u32>,
    may_run: HashSet<u32>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// No history lets a changed tool run that policy allows, without a person's word after the change.
    #[test]
    fn no_history_lets_a_changed_allowed_tool_run(steps in prop::collection::vec(any_step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Fixture::new();
            let mut rules = open_store(&bench).await;
            allow(&rules, "mail/*").await;
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::List(version) => {
                        rules.register_definitions(&mail(), listing(&[("send", version)])).await.unwrap();
                        if model.seen.is_empty() {
                            model.may_run.insert(version);
                        }
                        model.seen.push(version);
                    }
                    Step::Accept => {
                        if accept(&rules).await.is_ok() {
                            model.may_run.extend(&model.seen);
                        }
                    }
                    Step::Allow => {
                        allow(&rules, "mail/send").await;
                        model.may_run.extend(&model.seen);
                    }
                    Step::Restart => {
                        bench = bench.after_crash();
                        rules = open_store(&bench).await;
                    }
                }
                for version in model.seen.iter().copied() {
                    let definition = state(&rules, "send", version);
                    let tool: ToolId = "mail/send".parse().unwrap();
                    let policy = bench.policy.load();
                    let now = bench.clock.now();
                    let params = portero::json::serialize_raw(&());
                    let call = CallIdentity { tool: &tool, method: "tools/call", params: &params, arguments: None };
                    let decided = policy.decide_without_denials(call, None, now);
                    let decided = policy.require_accepted(call, decided, definition, None, now).action;
                    let expected = match model.may_run.contains(&version) {
                        true => Action::Allow,
                        false => Action::RequireApproval,
                    };
                    assert_eq!(decided, expected, "version {version} after {step:?}");
                }
            }
        });
    }
}

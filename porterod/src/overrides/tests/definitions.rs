//! Definition pins: what is registered, told, accepted and kept.

use portero::ipc::requests::definitions::ReportedDefinition;
use portero::json::parse_raw;
use portero::names::ServerName;
use portero::policy::DefinitionState;
use portero::policy::definition_pins::{DefinitionItem, ServerPins, definition_pin_digest};
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
                    let decided = policy.decide(&tool, None, None, now);
                    let decided = policy.require_accepted(&tool, decided, definition, None, now).action;
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

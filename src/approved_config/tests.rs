use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::anonymize::{Fake, Real};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{DeciderGroup, ServerConfig};
use crate::json::{RawJson, serialize_raw};
use crate::names::ServerName;
use crate::policy::{Action, Overrides, Policy};

fn config_files(values: &[(&str, Value)]) -> ConfigFiles {
    let text =
        |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
    ConfigFiles {
        directory: "/config".into(),
        mcps: text("mcps.json"),
        replacements: text("replacements.json"),
        policies: text("policies.json"),
        portero: text("portero.json"),
        dotenv: values
            .iter()
            .find_map(|(name, value)| (*name == ".env").then(|| value.as_str().unwrap_or_default().into())),
        ..ConfigFiles::default()
    }
}

fn effective(confirmed: &ConfigFiles, present: &ConfigFiles) -> EffectiveConfig {
    effective_config(&ApprovedConfig::Sealed(confirmed.clone()), present, &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn config_of(files: &ConfigFiles) -> Config {
    effective(files, files).config
}

fn change_texts(changes: &[ConfigChange]) -> Vec<String> {
    changes.iter().map(|ConfigChange { file, words }| format!("{file}: {words}")).collect()
}

fn find_server(name: &ServerName, config: &Config) -> Option<ServerConfig> {
    config.servers.iter().find(|server| server.name == *name).cloned()
}

fn decide(config: &Config, tool: &str, arguments: &Value) -> Action {
    let policy = Policy::new(config.policy.clone(), Overrides::default());
    policy
        .decide(&tool.parse().expect("a tool"), Some(&serialize_raw(arguments)), None, SystemClock.now())
        .action
}

#[test]
fn a_deny_that_comes_with_an_allow_is_in_force_at_once_and_the_allow_waits() {
    let confirmed = config_files(&[("policies.json", json!({"policies": {"notes/*": "require-approval"}}))]);
    let edited = json!({"policies": {"notes/*": "allow", "notes/erase": "deny"}});
    let held = effective(&confirmed, &config_files(&[("policies.json", edited)]));
    assert_eq!(decide(&held.config, "notes/send", &json!({})), Action::RequireApproval);
    assert_eq!(decide(&held.config, "notes/erase", &json!({})), Action::Deny);
    assert_eq!(
        change_texts(&held.changes.widens),
        ["policies.json: `notes/*`: require-approval → allow (policies.json:1:14)"]
    );
    assert_eq!(
        change_texts(&held.changes.narrows),
        ["policies.json: `notes/erase`: nothing said → deny (policies.json:1:32)"]
    );
}

#[test]
fn where_a_secret_comes_from_is_shown_and_waits() {
    let server = |key: &str| json!({"mcps": [{"name": "kept", "command": "npx", "env": {"KEY": key}}]});
    let files = |key: &str| config_files(&[("mcps.json", server(key))]);
    let held = effective(&files("${secret:key}"), &files("${exec:sh -c 'evil'}"));
    let widens = change_texts(&held.changes.widens).join("\n");
    assert!(widens.contains("env `KEY` has another value"), "{widens}");
    let shown = r#"its secrets come from ["${secret:key}"] → ["${exec:sh -c evil}"]"#;
    assert!(widens.contains(shown), "{widens}");
    let references: Vec<_> = held.config.servers[0].transport.references().into_iter().collect();
    assert_eq!(references.iter().map(ToString::to_string).collect::<Vec<_>>(), ["${secret:key}"]);
}

#[test]
fn a_changed_server_goes_on_as_confirmed_a_new_one_waits_and_one_that_is_gone_is_gone() {
    let confirmed = json!({"mcps": [
        {"name": "kept", "command": "npx", "args": ["good"], "env": {"API_TOKEN": "of-the-first-kind"}, "timeout": "1m"},
        {"name": "gone", "command": "gone"},
    ]});
    let edited = json!({"mcps": [
        {"name": "kept", "command": "evil", "args": ["bad"], "env": {"API_TOKEN": "of-the-second-kind", "NEW": "1"},
         "timeout": "30s", "pinnedTools": ["read"]},
        {"name": "new", "command": "sh", "args": ["--token", "sesame-open-up"], "instance": "user"},
    ]});
    let held = effective(
        &config_files(&[("mcps.json", confirmed.clone())]),
        &config_files(&[("mcps.json", edited)]),
    );
    let [kept] = &held.config.servers[..] else { panic!("one server: {:?}", held.config.servers) };
    let known = &config_of(&config_files(&[("mcps.json", confirmed)])).servers[0];
    assert_eq!(kept.transport, known.transport);
    assert_eq!(kept.timeout, Some(std::time::Duration::from_secs(30)));
    assert_eq!(kept.pinned_tools, Some(vec!["read".to_owned()]));
    assert!(held.config.skipped.iter().any(|skipped| skipped.server.as_str() == "new"));
    insta::assert_snapshot!(change_texts(&held.changes.widens).join("\n"), @r#"
    mcps.json: server `kept`: command "npx" → "evil"
    mcps.json: server `kept`: args ["good"] → ["bad"]
    mcps.json: server `kept`: env `API_TOKEN` has another value
    mcps.json: server `kept`: env `NEW` is new
    mcps.json: new server `new`: command "sh", args ["--token", "***REDACTED***"], instance user
    mcps.json: a secret that `kept` was given would no longer be hidden
    "#);
    insta::assert_snapshot!(change_texts(&held.changes.narrows).join("\n"), @r"
    mcps.json: server `kept`: timeout 1m → 30s
    mcps.json: server `kept`: other tools are pinned
    mcps.json: server `gone` is not started any more: it is not in the file
    ");
    let said = "of-the-first-kind of-the-second-kind sesame-open-up";
    assert_eq!(held.anonymizer.conceal_text(said).get(), "***REDACTED*** ***REDACTED*** ***REDACTED***");
}

#[test]
fn a_server_is_stateless_once_both_the_file_and_a_person_say_so() {
    let with = |stateless: bool| {
        config_files(&[(
            "mcps.json",
            json!({"mcps": [{"name": "a", "command": "a", "stateless": stateless}]}),
        )])
    };
    let held = effective(&with(false), &with(true));
    assert!(!held.config.servers[0].stateless);
    assert_eq!(change_texts(&held.changes.widens), ["mcps.json: server `a`: stateless false → true"]);
    let held = effective(&with(true), &with(false));
    assert!(!held.config.servers[0].stateless, "what narrows holds at once");
    assert_eq!(change_texts(&held.changes.narrows), ["mcps.json: server `a`: stateless true → false"]);
    assert!(effective(&with(true), &with(true)).config.servers[0].stateless);
}

#[test]
fn a_secret_stays_hidden_when_its_server_is_taken_away() {
    let confirmed = config_files(&[
        ("mcps.json", json!({"mcps": [{"name": "a", "command": "a", "env": {"TOKEN": "${TOKEN}"}}]})),
        (".env", json!("TOKEN=very-secret-indeed")),
    ]);
    let held = effective(&confirmed, &config_files(&[("mcps.json", json!({"mcps": []}))]));
    assert!(held.config.servers.is_empty(), "the server is gone at once");
    assert!(held.changes.has_pending());
    assert_eq!(held.anonymizer.conceal_text("very-secret-indeed").get(), "***REDACTED***");
}

/// One rule of `replacements.json` for Jane Roe.
fn jane_rule(more: Value) -> Value {
    let mut rule = json!({"fake": "John Doe", "real": "Jane Roe", "label": "name"});
    rule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    rule
}

fn with_rules(rules: &[Value]) -> ConfigFiles {
    let servers = ["a", "b"].map(|name| json!({"name": name, "command": name}));
    config_files(&[
        ("mcps.json", json!({"mcps": servers})),
        ("replacements.json", json!({"replacements": rules})),
    ])
}

fn reveal_text(anonymizer: &Anonymizer, server: &str, text: &str) -> String {
    let said: Fake<RawJson> =
        Anonymizer::empty().conceal_local(serialize_raw(text)).expect("nothing is hidden");
    let real: Real<RawJson> = anonymizer.reveal(&server.parse().expect("a name"), &said);
    serde_json::from_str(real.expose().get()).expect("a text")
}

#[test]
fn a_new_replacement_hides_at_once_and_reveals_nothing_until_it_is_confirmed() {
    let new = json!({"fake": "X1Y2", "real": "the-safe's-number"});
    let held = effective(&with_rules(&[jane_rule(json!({}))]), &with_rules(&[jane_rule(json!({})), new]));
    assert_eq!(held.anonymizer.conceal_text("the-safe's-number").get(), "***REDACTED***");
    assert_eq!(reveal_text(&held.anonymizer, "a", "X1Y2 John Doe"), "X1Y2 Jane Roe");
    assert_eq!(
        change_texts(&held.changes.widens),
        [
            r#"replacements.json: the replacement "X1Y2" is new: it would stand for a real value, which is revealed to every server"#
        ]
    );
}

#[test]
fn a_replacement_that_is_gone_goes_on_hiding_and_is_revealed_no_more() {
    let held = effective(&with_rules(&[jane_rule(json!({}))]), &with_rules(&[]));
    assert_eq!(held.anonymizer.conceal_text("Jane Roe").get(), "John Doe");
    assert_eq!(reveal_text(&held.anonymizer, "a", "John Doe"), "John Doe");
    assert!(change_texts(&held.changes.widens)[0].ends_with("is gone: the agent would see the real value"));
}

#[test]
fn a_changed_replacement_goes_on_as_confirmed_and_a_narrower_scope_holds_at_once() {
    let confirmed = with_rules(&[jane_rule(json!({}))]);
    for more in [
        json!({"real": "Jane Fonda"}),
        json!({"bidirectional": false}),
        json!({"caseSensitive": false}),
        json!({"match": "word"}),
    ] {
        let held = effective(&confirmed, &with_rules(&[jane_rule(more.clone())]));
        assert!(held.changes.has_pending(), "{more}");
        assert_eq!(held.anonymizer.conceal_text("Jane Roe").get(), "John Doe", "{more}");
        assert_eq!(reveal_text(&held.anonymizer, "a", "John Doe"), "Jane Roe", "{more}");
    }
    let narrower = with_rules(&[jane_rule(json!({"servers": ["b"]}))]);
    let narrowed = effective(&confirmed, &narrower);
    assert!(!narrowed.changes.has_pending());
    assert_eq!(reveal_text(&narrowed.anonymizer, "a", "John Doe"), "John Doe");
    let widened = effective(&narrower, &with_rules(&[jane_rule(json!({"servers": ["a"]}))]));
    assert_eq!(
        change_texts(&widened.changes.widens),
        [r#"replacements.json: the replacement "John Doe" (name) is revealed to `b` → `a`"#]
    );
    assert_eq!(reveal_text(&widened.anonymizer, "a", "John Doe"), "John Doe");
    assert_eq!(reveal_text(&widened.anonymizer, "b", "John Doe"), "John Doe");
}

#[test]
fn a_value_that_changes_is_not_told() {
    let secrets = |token: &str| {
        config_files(&[
            (
                "mcps.json",
                json!({"mcps": [{"name": "a", "command": "a", "env": {"T": "${T}"}, "args": ["--password", "${P}"]}]}),
            ),
            ("replacements.json", json!({"replacements": [jane_rule(json!({"real": "${R}"}))]})),
            (".env", json!(format!("T=t-{token}\nP=p-{token}\nR=r-{token}"))),
        ])
    };
    let held = effective(&secrets("first-secret"), &secrets("second-secret"));
    let told = format!("{:?}", held.changes);
    assert!(held.changes.widens.len() >= 3 && !told.contains("-secret"), "{told}");
}

#[test]
fn how_long_a_call_is_held_widens_nothing_and_applies_at_once() {
    let settings = |hold: &str| config_files(&[("portero.json", json!({"approvals": {"hold": hold}}))]);
    for (was, is, millis) in [("30s", "1m", 60_000), ("1m", "0", 0)] {
        let held = effective(&settings(was), &settings(is));
        assert_eq!(held.config.settings.approvals.hold.as_millis(), millis, "{was} {is}");
        assert!(held.changes.widens.is_empty() && held.changes.narrows.len() == 1, "{:?}", held.changes);
    }
}

#[test]
fn to_remember_the_passphrase_longer_widens_and_shorter_applies_at_once() {
    let settings = |time: &str| config_files(&[("portero.json", json!({"approvals": {"remember": time}}))]);
    for (was, is, applies, widens) in
        [("0", "10m", 0, 1), ("5m", "15m", 300, 1), ("10m", "1m", 60, 0), ("10m", "0", 0, 0)]
    {
        let held = effective(&settings(was), &settings(is));
        assert_eq!(held.config.settings.approvals.remember.as_secs(), applies, "{was} {is}");
        assert_eq!(held.changes.widens.len(), widens, "{was} {is}: {:?}", held.changes);
        assert_eq!(held.changes.widens.len() + held.changes.narrows.len(), 1, "{was} {is}");
    }
}

#[test]
fn the_stricter_of_each_limit_holds_and_records_are_kept_longest() {
    let settings = |pending: &str, request: &str, keep: &str| {
        config_files(&[(
            "portero.json",
            json!({
                "approvals": {"pending": pending, "keep": keep}, "limits": {"request": request},
                "telegram": {"token": pending, "admin": 7},
            }),
        )])
    };
    let held = effective(&settings("1h", "10m", "7d"), &settings("2h", "5m", "1d"));
    let settings = &held.config.settings;
    let hours = |hours: u64| std::time::Duration::from_secs(3600 * hours);
    assert_eq!(
        (settings.approvals.decision_timeout, settings.approvals.retention),
        (hours(1), hours(7 * 24))
    );
    assert_eq!(settings.limits.request_timeout, hours(1) / 12);
    assert_eq!(settings.telegram.as_ref().map(|telegram| telegram.token.expose()), Some("1h"));
    assert_eq!(change_texts(&held.changes.widens).len(), 3, "{:?}", held.changes);
    assert_eq!(change_texts(&held.changes.narrows), ["portero.json: limits.request 10m → 5m"]);
}

fn with_group(group: &Value) -> ConfigFiles {
    let mut telegram = json!({"token": "1:a", "admin": 11});
    let fields = group.as_object().expect("fields").clone();
    telegram.as_object_mut().expect("an object").extend(fields);
    config_files(&[("portero.json", json!({"telegram": telegram}))])
}

fn group_of(config: &Config) -> DeciderGroup {
    config.settings.telegram.clone().and_then(|telegram| telegram.group).expect("a group")
}

fn two_of_three(tools: &Value) -> Value {
    json!({"chat": -5, "deciders": [11, 22, 33], "quorum": [{"tools": tools, "approvals": 2}]})
}

#[test]
fn somebody_more_who_decides_waits_and_somebody_less_is_in_force_at_once() {
    let three = with_group(&json!({"chat": -5, "deciders": [11, 22, 33]}));
    let fewer = effective(&three, &with_group(&json!({"chat": -5, "deciders": [11, 22]})));
    assert!(!fewer.changes.has_pending());
    assert_eq!(
        change_texts(&fewer.changes.narrows),
        ["portero.json: telegram.deciders: user 33 may no longer decide"]
    );
    assert_eq!(group_of(&fewer.config).deciders, [11, 22]);

    let other = effective(&three, &with_group(&json!({"chat": -5, "deciders": [11, 44]})));
    assert_eq!(change_texts(&other.changes.widens), ["portero.json: telegram.deciders: user 44 may decide"]);
    assert_eq!(group_of(&other.config).deciders, [11], "who is gone is gone although the rest waits");
}

#[test]
fn another_chat_waits_also_where_it_is_the_first_or_none() {
    let (private, group) = (with_group(&json!({})), with_group(&json!({"chat": -5})));
    let first = effective(&private, &group);
    assert_eq!(
        change_texts(&first.changes.widens),
        ["portero.json: telegram.chat none → -5", "portero.json: telegram.deciders: user 11 may decide"]
    );
    assert_eq!(first.config.settings.telegram.expect("a bot").group, None);
    let none = effective(&group, &private);
    assert_eq!(change_texts(&none.changes.widens), ["portero.json: telegram.chat -5 → none"]);
    assert_eq!(group_of(&none.config).chat, -5);
    let moved = effective(&group, &with_group(&json!({"chat": -6})));
    assert_eq!(change_texts(&moved.changes.widens), ["portero.json: telegram.chat -5 → -6"]);
    assert_eq!(group_of(&moved.config).chat, -5);
}

#[test]
fn a_quorum_that_is_lessened_waits_and_goes_on_beside_what_is_new() {
    let stripe = json!(["stripe/*", "bank/pay"]);
    let confirmed = with_group(&two_of_three(&stripe));
    let quorum = |quorum: Value| with_group(&json!({"chat": -5, "deciders": [11, 22, 33], "quorum": quorum}));
    let takes = "takes 2 approvals of 11, 22, 33";
    for (lessened, tools) in [
        (json!([]), "`stripe/*`, `bank/pay`"),
        (json!([{"tools": ["stripe/*"], "approvals": 2}]), "`bank/pay`"),
        (json!([{"tools": ["stripe/refund", "bank/*"], "approvals": 3}]), "`stripe/*`"),
        (json!([{"tools": ["stripe/*"], "approvals": 2}, {"tools": ["bank/p??"], "approvals": 3}]), ""),
    ] {
        let held = effective(&confirmed, &quorum(lessened.clone()));
        if tools.is_empty() {
            assert_eq!(change_texts(&held.changes.widens), [""; 0], "{lessened}");
            continue;
        }
        let told = format!("portero.json: telegram.quorum: {tools} no longer {takes}");
        assert_eq!(change_texts(&held.changes.widens), [told], "{lessened}");
        let policy = &held.config.policy;
        let known = &policy.approved.as_ref().expect("an edit waits").quorums;
        assert_eq!(known, &config_of(&confirmed).policy.quorums, "{lessened}");
        let new = lessened.as_array().expect("a list").len();
        assert_eq!(policy.quorums.len(), new, "what is new holds, too");
    }
    for stricter in [
        json!([{"tools": stripe, "approvals": 3}]),
        json!([{"tools": stripe, "approvals": 2, "of": [11, 22]}]),
        json!([{"tools": ["*"], "approvals": 2}]),
        json!([{"tools": stripe, "approvals": 2}, {"tools": ["mail/*"], "approvals": 2}]),
    ] {
        let held = effective(&confirmed, &quorum(stricter.clone()));
        assert!(!held.changes.has_pending(), "{stricter}: {:?}", held.changes);
        assert_eq!(held.changes.narrows.len(), 1, "{stricter}");
    }
    let wider_of = with_group(&json!({"chat": -5, "deciders": [11, 22, 33],
        "quorum": [{"tools": stripe, "approvals": 2, "of": [11, 22]}]}));
    assert!(effective(&wider_of, &confirmed).changes.has_pending(), "one more whose approval counts");
}

#[test]
fn an_approval_of_who_is_gone_counts_no_more_while_the_rest_of_an_edit_waits() {
    let confirmed = with_group(&two_of_three(&json!(["stripe/*"])));
    let held = effective(&confirmed, &with_group(&json!({"chat": -6, "deciders": [11, 44]})));
    let group = group_of(&held.config);
    assert_eq!((group.chat, &group.deciders[..]), (-5, &[11][..]));
    let known = &held.config.policy.approved.as_ref().expect("an edit waits").quorums[0];
    assert_eq!((known.approvals, &known.of[..]), (2, &[11][..]));
}

#[test]
fn what_several_people_must_approve_does_not_go_with_the_bot() {
    let confirmed = with_group(&two_of_three(&json!(["stripe/*"])));
    let held = effective(&confirmed, &config_files(&[]));
    assert!(change_texts(&held.changes.narrows).contains(&"portero.json: telegram is gone".to_owned()));
    let told = "portero.json: telegram.quorum: `stripe/*` no longer takes 2 approvals of 11, 22, 33";
    assert_eq!(change_texts(&held.changes.widens), [told]);
    let policy = Policy::new(held.config.policy, Overrides::default());
    let quorums = policy.quorums(&"stripe/refund".parse().expect("a tool"));
    assert_eq!(quorums[0].to_string(), "2 of 0 people (none listed)");
}

#[test]
fn an_entry_that_only_moved_is_no_edit() {
    let confirmed = with_group(&two_of_three(&json!(["stripe/*"])));
    let text = confirmed.portero.clone().expect("settings");
    let moved = ConfigFiles { portero: Some(format!("\n\n{text}")), ..confirmed.clone() };
    assert_eq!(effective(&confirmed, &moved).changes, ConfigChanges::default());
}

#[test]
fn where_it_is_unknown_what_was_confirmed_nothing_runs_and_everything_hides() {
    let present = with_rules(&[jane_rule(json!({}))]);
    let unknown = ApprovedConfig::Unknown("the copy is missing".into());
    let held = effective_config(&unknown, &present, &|_| None).expect("valid");
    assert!(held.config.servers.is_empty() && held.changes.has_pending());
    assert_eq!(held.anonymizer.conceal_text("Jane Roe").get(), "***REDACTED***");
    assert!(held.problems.to_string().contains("the copy is missing: nothing counts as confirmed"));
}

#[test]
fn another_directory_is_another_configuration_where_paths_begin_there() {
    let confirmed =
        config_files(&[("mcps.json", json!({"mcps": [{"name": "a", "command": "a", "cwd": "tools"}]}))]);
    let elsewhere = ConfigFiles { directory: "/elsewhere".into(), ..confirmed.clone() };
    let held = effective(&confirmed, &elsewhere);
    assert!(held.changes.has_pending());
    assert_eq!(
        held.config.servers[0].as_stdio().and_then(|server| server.cwd.as_deref()),
        Some(std::path::Path::new("/config/tools"))
    );
    assert_ne!(digest_files(&confirmed), digest_files(&elsewhere));
}

const TOOLS: [&str; 4] = ["a/read", "a/send", "b/read", "b/erase"];
const REALS: [&str; 3] = ["Jane Roe", "jane@roe.example", "+1 555 0100"];
const FAKES: [&str; 3] = ["Kim Poe", "kim@poe.invalid", "+9 000 7777"];

fn any_policies() -> impl Strategy<Value = Value> {
    let patterns = ["*", "a/*", "b/*", "*/read", "a/send", "b/erase", "**e**"];
    let action = prop::sample::select(vec!["allow", "require-approval", "deny"]);
    let case = (prop::sample::select(vec!["/n", "/m"]), 0..2_u8, action.clone())
        .prop_map(|(at, bound, then)| json!({"when": {at: {"above": bound}}, "then": then}));
    let said = prop_oneof![
        3 => action.clone().prop_map(|action| json!(action)),
        1 => (prop::collection::vec(case, 1..3), action.clone())
            .prop_map(|(cases, otherwise)| json!({"cases": cases, "otherwise": otherwise})),
    ];
    let entries = prop::collection::btree_map(prop::sample::select(patterns.to_vec()), said, 0..4);
    let locked = prop::sample::subsequence(patterns.to_vec(), 0..2);
    (entries, action, locked).prop_map(|(policies, default, locked)| {
        json!({"policies": policies, "defaultPolicy": default, "locked": locked})
    })
}

fn any_servers() -> impl Strategy<Value = Value> {
    let server = |name: &'static str| {
        (0..2_u8, prop::option::of(0..2_u8), prop::option::of(1..3_u8), any::<bool>(), any::<bool>())
            .prop_map(move |(command, token, timeout, shared, stateless)| {
                let instance = if shared { "user" } else { "session" };
                let mut server =
                    json!({"name": name, "command": format!("run-{command}"), "instance": instance});
                server["stateless"] = json!(stateless);
                if let Some(token) = token {
                    server["env"] = json!({"TOKEN": format!("a-token-of-kind-{token}")});
                }
                if let Some(timeout) = timeout {
                    server["timeout"] = json!(format!("{timeout}m"));
                }
                server
            })
    };
    (prop::option::weighted(0.8, server("a")), prop::option::weighted(0.8, server("b")))
        .prop_map(|(a, b)| json!({"mcps": a.into_iter().chain(b).collect::<Vec<_>>()}))
}

fn any_rules() -> impl Strategy<Value = Value> {
    let rule = |at: usize| {
        let scope = prop::option::of(prop::sample::subsequence(vec!["a", "b"], 0..=2));
        // Seldom the next one's real value, which is a change of this one.
        (prop::bool::weighted(0.1), any::<bool>(), scope).prop_map(move |(other, both, scope)| {
            let real = if other { format!("{} junior", REALS[at]) } else { REALS[at].to_owned() };
            let mut rule = json!({"fake": FAKES[at], "real": real, "bidirectional": both});
            if let Some(scope) = scope {
                rule["servers"] = json!(scope);
            }
            rule
        })
    };
    let each = [0, 1, 2].map(|at| prop::option::of(rule(at)));
    each.prop_map(|rules| json!({"replacements": rules.into_iter().flatten().collect::<Vec<_>>()}))
}

fn any_settings() -> impl Strategy<Value = Value> {
    [1..3_u8, 1..3, 1..3].prop_map(|[pending, request, most]| {
        json!({
            "approvals": {"pending": format!("{pending}h"), "pendingMost": most},
            "limits": {"request": format!("{request}m")},
        })
    })
}

fn any_files() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    (any_servers(), any_rules(), any_policies(), any_settings()).prop_map(
        |(mcps, rules, policies, portero)| {
            vec![
                ("mcps.json", mcps),
                ("replacements.json", rules),
                ("policies.json", policies),
                ("portero.json", portero),
            ]
        },
    )
}

/// Two configurations that differ in some of their files.
fn any_edit() -> impl Strategy<Value = (ConfigFiles, ConfigFiles)> {
    (any_files(), any_files(), prop::collection::vec(any::<bool>(), 4)).prop_map(|(one, mut two, changed)| {
        for (at, changed) in changed.into_iter().enumerate() {
            if !changed {
                two[at] = one[at].clone();
            }
        }
        (config_files(&one), config_files(&two))
    })
}

fn request_timeout(config: &Config, server: &ServerConfig) -> std::time::Duration {
    server.timeout.unwrap_or(config.settings.limits.request_timeout)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Guarantee A7: what is in force is never looser than what was confirmed, nor than what the files say; and
    /// where nothing is said to wait, the files are in force.
    #[test]
    fn what_is_in_force_is_never_looser_than_either(pair in any_edit(), n in 0..3_u8, m in prop::option::of(0..3_u8)) {
        let (confirmed, present) = pair;
        let (was, wanted, held) = (config_of(&confirmed), config_of(&present), effective(&confirmed, &present));
        if !held.changes.has_pending() {
            prop_assert_eq!(&held.config.digest, &wanted.digest);
        }

        let arguments = json!({"n": n, "m": m});
        for tool in TOOLS {
            let [before, after, now] = [&was, &wanted, &held.config].map(|config| decide(config, tool, &arguments));
            prop_assert_eq!(now, before.max(after), "{} was {}, edited to {}", tool, before, after);
        }

        for running in &held.config.servers {
            let (Some(known), Some(edited)) = (find_server(&running.name, &was), find_server(&running.name, &wanted)) else {
                return Err(TestCaseError::fail(format!("{} is in one of them only", running.name)));
            };
            let same =
                ServerConfig { timeout: known.timeout, stateless: known.stateless, ..running.clone() };
            prop_assert_eq!(&same, &known);
            prop_assert_eq!(running.stateless, known.stateless && edited.stateless);
            let time = request_timeout(&held.config, running);
            prop_assert!(time <= request_timeout(&was, &known) && time <= request_timeout(&wanted, &edited));
        }

        for real in was.replacements.iter().chain(&wanted.replacements).map(|rule| rule.real.expose()) {
            let shown = held.anonymizer.conceal_text(&format!("«{real}»")).into_inner();
            prop_assert!(!shown.contains(real), "{} shows", real);
        }
        let anonymizers = [&was, &wanted].map(|config| Anonymizer::new(&config.replacements).expect("proven"));
        for fake in FAKES {
            for server in ["a", "b"] {
                let shown = reveal_text(&held.anonymizer, server, fake);
                let before = reveal_text(&anonymizers[0], server, fake);
                prop_assert!(shown == fake || shown == before, "{} becomes {} at {}", fake, shown, server);
                let gone = wanted.replacements.iter().all(|rule| rule.fake != fake);
                prop_assert!(shown == fake || !gone, "{} is gone and becomes {}", fake, shown);
            }
        }

        let limits = [&was, &wanted, &held.config].map(|config| &config.settings);
        let [before, after, now] = limits.map(|settings| {
            (settings.approvals.decision_timeout, settings.approvals.max_pending_per_session, settings.limits.request_timeout)
        });
        prop_assert_eq!(now, (before.0.min(after.0), before.1.min(after.1), before.2.min(after.2)));
    }

    /// The other way round: taking something away never waits.
    #[test]
    fn a_deny_more_and_a_smaller_limit_are_in_force_without_a_person(one in any_files(), tool in prop::sample::select(TOOLS.to_vec())) {
        let confirmed = config_files(&one);
        let mut two = one.clone();
        two[2].1["policies"][tool] = json!("deny");
        two[3].1["approvals"]["pending"] = json!("1m");
        let held = effective(&confirmed, &config_files(&two));
        prop_assert!(!held.changes.has_pending(), "{:?}", held.changes.widens);
        prop_assert_eq!(decide(&held.config, tool, &json!({})), Action::Deny);
    }
}

#[test]
fn another_login_of_a_server_waits_and_is_told_without_its_credential() {
    let with = |entry: Value| {
        let mut server = json!({"url": "https://x.example/mcp"});
        server.as_object_mut().expect("an entry").extend(entry.as_object().expect("fields").clone());
        config_files(&[("mcps.json", json!({"mcpServers": {"a": server}}))])
    };
    let bearer = |credential: &str| json!({"auth": {"method": "bearer", "credential_ref": credential}});
    let kept = with(bearer("of-the-first-kind"));
    for (entry, told) in [
        (
            bearer("of-the-second-kind"),
            r#"server `a`: auth, by the header "authorization" (prefix "Bearer "), has another credential"#,
        ),
        (
            json!({"auth": {"method": "api_key", "credential_ref": "of-the-first-kind"}}),
            r#"server `a`: auth by the header "authorization" (prefix "Bearer ") → by the header "x-api-key" (raw)"#,
        ),
        (
            json!({"oauth": {"clientId": "x", "scopes": "read"}}),
            r#"server `a`: auth by the header "authorization" (prefix "Bearer ") → by OAuth, grant authorization_code, client "x", scopes ["read"]"#,
        ),
        (
            json!({"auth": {"method": "bearer", "credential_ref": "of-the-first-kind"}, "certFile": "c", "keyFile": "k"}),
            r#"server `a`: certFile none → "/config/c" with the key "/config/k""#,
        ),
    ] {
        let held = effective(&kept, &with(entry));
        let told = format!("mcps.json: {told}");
        assert!(change_texts(&held.changes.widens).contains(&told), "{:?}", held.changes.widens);
        assert_eq!(held.config.servers[0].transport, config_of(&kept).servers[0].transport);
    }
}

#[test]
fn opening_https_waits_and_what_is_taken_from_it_is_gone_at_once() {
    let files = |https: Value, token: char| {
        let token = format!("BEARER_TOKEN=0123456789abcdef0123456789abcde{token}");
        config_files(&[("portero.json", json!({"https": https})), (".env", json!(token))])
    };
    let before = files(
        json!({"selfSigned": true, "hosts": ["a.example", "b.example"], "limits": {"connections": 10, "idle": "1m"}}),
        '1',
    );
    let held = effective(&config_files(&[]), &before);
    assert_eq!(held.config.settings.https, None);
    insta::assert_snapshot!(change_texts(&held.changes.widens).join("\n"), @r"
    portero.json: https opens at 127.0.0.1:8443, with a certificate that Portero makes
    portero.json: https.hosts: `a.example` may be named
    portero.json: https.hosts: `b.example` may be named
    ");
    let edited = files(
        json!({"plainHttp": true, "listen": "127.0.0.1:9443", "hosts": ["b.example", "c.example"],
               "limits": {"connections": 5, "idle": "2m"}}),
        '2',
    );
    let held = effective(&before, &edited);
    insta::assert_snapshot!(change_texts(&held.changes.widens).join("\n"), @r"
    portero.json: https.listen 127.0.0.1:8443 → 127.0.0.1:9443
    portero.json: https: with a certificate that Portero makes → without encryption
    portero.json: https.hosts: `c.example` may be named
    portero.json: the token of https is another one
    portero.json: https.limits.idle 1m → 2m
    ");
    insta::assert_snapshot!(change_texts(&held.changes.narrows).join("\n"), @r"
    portero.json: https.hosts: `a.example` may no longer be named
    portero.json: https.limits.connections 10 → 5
    ");
    let https = held.config.settings.https.expect("goes on");
    assert_eq!(
        (https.listen.port(), https.hosts, https.limits.max_connections),
        (8443, vec!["b.example".to_owned()], 5)
    );
    assert_eq!(https.bearer_token, None, "a token that was replaced is void at once");
    assert_eq!(effective(&before, &config_files(&[])).config.settings.https, None);
}

#[test]
fn another_issuer_or_other_authorities_for_it_leave_its_tokens_void_until_they_are_confirmed() {
    let files = |oidc: Value| {
        let mut section = json!({
            "issuer": "https://id.example", "audience": "portero", "caFile": "ca.pem",
            "claims": {"scope": {"a": {"servers": ["*"]}}},
        });
        section.as_object_mut().unwrap().extend(oidc.as_object().unwrap().clone());
        config_files(&[("portero.json", json!({"https": {"selfSigned": true, "oidc": section}}))])
    };
    let before = files(json!({}));
    let has_issuer = |edited: &ConfigFiles| {
        let held = effective(&before, edited);
        (held.config.settings.https.unwrap().oidc.is_some(), change_texts(&held.changes.widens))
    };
    assert_eq!(has_issuer(&before), (true, Vec::new()));
    let words =
        "portero.json: https.oidc.caFile: the issuer is known by the authorities of `/config/other.pem`";
    assert_eq!(has_issuer(&files(json!({"caFile": "other.pem"}))), (false, vec![words.to_owned()]));
    let words = "portero.json: https.oidc.jwksUrl: the issuer's keys are read elsewhere";
    assert_eq!(has_issuer(&files(json!({"jwksUrl": "https://x.example"}))), (false, vec![words.to_owned()]));
    assert!(!has_issuer(&files(json!({"issuer": "https://other.example"}))).0);
}

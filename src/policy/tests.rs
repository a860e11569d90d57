mod asking;
mod definitions;
mod denials;
mod grants;
mod limits;
mod proof;
mod quorums;

use std::sync::LazyLock;

use super::*;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

const BOOT_ID: &str = "boot-1";

fn now() -> Moment {
    Moment { wall: Timestamp::from_second(1_800_000_000).expect("a time"), boot: Duration::from_secs(9_000) }
}

fn now_plus(seconds: u64) -> Moment {
    let passed = Duration::from_secs(seconds);
    Moment { wall: now().wall + passed, boot: now().boot + passed }
}

fn tool(text: &str) -> ToolId {
    text.parse().expect("a canonical name")
}

fn pattern(text: &str) -> Pattern {
    text.parse().expect("a pattern")
}

fn config_with(entries: &[(&str, Action)], locked: &[&str]) -> ConfigPolicy {
    let place = |at: usize| DecisionSource::Config { line: u32::try_from(at).expect("few") + 1, column: 5 };
    ConfigPolicy {
        entries: entries
            .iter()
            .enumerate()
            .map(|(at, (text, action))| PolicyEntry {
                pattern: pattern(text),
                action: *action,
                cases: Vec::new(),
                source: place(at),
            })
            .collect(),
        default: RequireApproval,
        locked: locked.iter().map(|text| pattern(text)).collect(),
        ..ConfigPolicy::default()
    }
}

fn overrides_with(rules: &[(&str, Action)], grants: &[&str]) -> Overrides {
    let rule = |(at, (text, action)): (usize, &(&str, Action))| PolicyRule {
        id: at as u64 + 1,
        pattern: pattern(text),
        action: *action,
        made: now().wall,
    };
    let grant = |(at, text): (usize, &&str)| Grant {
        id: at as u64 + 1,
        pattern: pattern(text),
        made: now(),
        boot_id: BOOT_ID.into(),
        millis: 60_000,
        limits: GrantLimits::default(),
        used: 0,
    };
    Overrides {
        epoch: 1,
        rules: rules.iter().enumerate().map(rule).collect(),
        grants: grants.iter().enumerate().map(grant).collect(),
        boot_id: BOOT_ID.into(),
        paused: None,
        definition_pins: DefinitionPins::default(),
        denials: CallDenials::default(),
    }
}

fn decide(policy: &Policy, name: &str) -> Decision {
    policy.decide(&tool(name), None, None, now())
}

use Action::{Allow, Deny, RequireApproval};

/// While an edit waits that would allow what a grant permits, the grant is what permits it, and counts.
#[test]
fn a_grant_is_used_up_while_an_edit_waits_that_needs_none() {
    let [asks, allows] = [RequireApproval, Allow].map(|action| config_with(&[("office/send", action)], &[]));
    for (confirmed, changed) in [(&asks, &allows), (&allows, &asks)] {
        let both = ConfigPolicy { approved: Some(Box::new(confirmed.clone())), ..changed.clone() };
        let granted = decide(&Policy::new(both.clone(), overrides_with(&[], &["office/*"])), "office/send");
        assert_eq!((granted.action, granted.source), (Allow, DecisionSource::Grant(1)));
        let asked = decide(&Policy::new(both, Overrides::default()), "office/send");
        assert_eq!(asked.action, RequireApproval);
    }
}

#[test]
fn where_nothing_is_said_a_person_is_asked() {
    let decision = decide(&Policy::default(), "github/create_issue");
    assert_eq!(decision.action, RequireApproval);
    assert_eq!(decision.to_string(), "needs approval: no rule covers it (default)");
}

#[test]
fn the_layers_stand_in_their_order() {
    let files = config_with(
        &[("github/create_issue", Allow), ("github/*", RequireApproval), ("*/delete_*", Deny)],
        &[],
    );
    let policy = Policy::new(files.clone(), Overrides::default());
    assert_eq!(decide(&policy, "github/create_issue").action, Allow);
    assert_eq!(decide(&policy, "github/list").action, RequireApproval);
    assert_eq!(
        decide(&policy, "github/delete_repo").to_string(),
        "denied by `*/delete_*` (policies.json:3:5)"
    );

    let policy = Policy::new(files, overrides_with(&[("github/*", Deny)], &[]));
    let decision = decide(&policy, "github/create_issue");
    assert_eq!(decision.to_string(), "denied by `github/*` (rule 1)");
}

#[test]
fn a_long_server_name_does_not_outweigh_a_deny_on_tools() {
    let policy = Policy::new(
        config_with(&[("enterprise-github-server/*", Allow), ("*/delete_*", Deny)], &[]),
        Overrides::default(),
    );
    assert_eq!(decide(&policy, "enterprise-github-server/delete_repo").action, Deny);
}

#[test]
fn between_equals_the_stricter_wins() {
    let policy =
        Policy::new(config_with(&[("*/delete_*", Allow), ("*/*_delete", Deny)], &[]), Overrides::default());
    assert_eq!(decide(&policy, "a/delete_delete").action, Deny);
}

#[test]
fn a_grant_lifts_a_question_but_never_a_deny() {
    let policy = Policy::new(config_with(&[("*/delete_*", Deny)], &[]), overrides_with(&[], &["*"]));
    assert_eq!(decide(&policy, "mail/send").to_string(), "allowed by `*` (grant 1)");
    assert_eq!(decide(&policy, "mail/delete_all").action, Deny);

    let policy = Policy::new(ConfigPolicy::default(), overrides_with(&[("mail/send", Deny)], &["mail/send"]));
    assert_eq!(decide(&policy, "mail/send").action, Deny);
}

#[test]
fn a_grant_ends_by_either_clock_and_by_a_reboot() {
    let policy = Policy::new(ConfigPolicy::default(), overrides_with(&[], &["*"]));
    let at = |moment: Moment| policy.decide(&tool("mail/send"), None, None, moment).action;
    assert_eq!(at(now_plus(59)), Allow);
    assert_eq!(at(now_plus(60)), RequireApproval);
    assert_eq!(
        at(Moment { wall: now().wall, ..now_plus(61) }),
        RequireApproval,
        "the wall clock was set back"
    );
    assert_eq!(
        at(Moment { boot: now().boot, ..now_plus(61) }),
        RequireApproval,
        "the boot clock stood still"
    );
    assert_eq!(at(Moment { wall: now().wall - Duration::from_secs(1), ..now() }), RequireApproval);

    let mut rebooted = policy.overrides().clone();
    rebooted.boot_id = "boot-2".into();
    assert_eq!(decide(&policy.with_overrides(rebooted), "mail/send").action, RequireApproval);
}

#[test]
fn a_lock_holds_against_rules_and_grants_but_not_against_tightening() {
    let files =
        config_with(&[("*/drop_*", Deny), ("mail/send", RequireApproval), ("mail/read", Allow)], &["*"]);
    let policy = Policy::new(files.clone(), overrides_with(&[("db/drop_table", Allow)], &["*"]));
    let decision = decide(&policy, "db/drop_table");
    assert_eq!((decision.action, decision.locked), (Deny, true));
    assert_eq!(decide(&policy, "mail/send").action, RequireApproval);
    assert_eq!(decide(&policy, "mail/read").action, Allow);

    let tightened = Policy::new(files, overrides_with(&[("mail/*", Deny)], &[]));
    assert_eq!(decide(&tightened, "mail/read").action, Deny);
    assert!(!decide(&tightened, "mail/read").locked);
}

#[test]
fn an_explanation_names_what_lost_strongest_first() {
    let policy = Policy::new(
        config_with(&[("mail/*", RequireApproval), ("mail/send", RequireApproval)], &[]),
        overrides_with(&[], &["mail/*"]),
    );
    let explanation = policy.explain(&tool("mail/send"), None, None, now());
    let losing: Vec<_> = explanation.losing.iter().map(ToString::to_string).collect();
    assert_eq!(explanation.decision.to_string(), "allowed by `mail/*` (grant 1)");
    assert_eq!(
        losing,
        [
            "needs approval by `mail/send` (policies.json:2:5)",
            "needs approval by `mail/*` (policies.json:1:5)",
            "needs approval: no rule covers it (default)"
        ]
    );
}

#[test]
fn without_the_daemon_only_what_narrows_holds() {
    let standing = overrides_with(&[("a/*", Allow), ("b/*", Deny), ("c/*", RequireApproval)], &["*"]);
    let left = standing.restrictive_only();
    assert_eq!(left.rules.iter().map(|rule| rule.action).collect::<Vec<_>>(), [Deny, RequireApproval]);
    assert!(left.grants.is_empty());
}

/// Patterns that overlap a lot, compiled once.
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let servers = ["*", "a", "b", "a*", "*b", "a?", "{a,b}"];
    let tools = ["*", "a", "ab", "a*", "*b", "*a*", "[ab]b", "?b"];
    let pairs = servers.iter().flat_map(|server| tools.iter().map(move |tool| format!("{server}/{tool}")));
    let whole = ["*", "**", "a**b", "**b"].map(str::to_owned);
    pairs.chain(whole).map(|text| pattern(&text)).collect()
});

fn any_pattern() -> impl Strategy<Value = Pattern> {
    any::<prop::sample::Index>().prop_map(|at| at.get(&PATTERNS[..]).clone())
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Allow), Just(RequireApproval), Just(Deny)]
}

prop_compose! {
    fn any_files()(
        entries in prop::collection::vec((any_pattern(), any_action()), 0..6),
        default in any_action(),
        locked in prop::collection::vec(any_pattern(), 0..2),
    ) -> ConfigPolicy {
        let entry = |(pattern, action)| PolicyEntry { pattern, action, cases: Vec::new(), source: DecisionSource::Config { line: 0, column: 0 } };
        ConfigPolicy { entries: entries.into_iter().map(entry).collect(), default, locked, ..ConfigPolicy::default() }
    }
}

prop_compose! {
    fn any_standing()(
        rules in prop::collection::vec((any_pattern(), any_action()), 0..4),
        grants in prop::collection::vec((any_pattern(), 0..3_u64), 0..3),
    ) -> Overrides {
        let rule = |(at, (pattern, action))| PolicyRule { id: at as u64, pattern, action, made: now().wall };
        let grant = |(at, (pattern, minutes))| Grant {
            id: at as u64, pattern, made: now(), boot_id: BOOT_ID.into(), millis: minutes * 60_000,
            limits: GrantLimits::default(), used: 0,
        };
        Overrides {
            epoch: 0,
            rules: rules.into_iter().enumerate().map(rule).collect(),
            grants: grants.into_iter().enumerate().map(grant).collect(),
            boot_id: BOOT_ID.into(),
            paused: None,
            definition_pins: DefinitionPins::default(),
            denials: CallDenials::default(),
        }
    }
}

fn any_tool() -> impl Strategy<Value = ToolId> {
    ("[ab]{1,2}", "[ab]{1,2}").prop_map(|(server, name)| tool(&format!("{server}/{name}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_grant_never_lifts_a_deny(
        files in any_files(), standing in any_standing(), tool in any_tool(), granted in any_pattern()
    ) {
        let policy = Policy::new(files, standing.clone());
        let before = policy.decide(&tool, None, None, now()).action;
        let mut more = standing;
        more.grants.push(Grant {
            id: 99, pattern: granted, made: now(), boot_id: BOOT_ID.into(), millis: 60_000,
            limits: GrantLimits::default(), used: 0,
        });
        let after = policy.with_overrides(more).decide(&tool, None, None, now()).action;
        prop_assert!(after == before || (before == RequireApproval && after == Allow));
    }

    #[test]
    fn without_the_daemon_nothing_is_looser(
        files in any_files(), standing in any_standing(), tool in any_tool()
    ) {
        let policy = Policy::new(files, standing.clone());
        let left = policy.with_overrides(standing.restrictive_only());
        let looser = left.decide(&tool, None, None, now()).action < policy.decide(&tool, None, None, now()).action;
        // An allowing rule that stood over a stricter file is void; nothing else may become looser.
        prop_assert!(!looser);
    }
}

#[test]
fn while_everything_is_paused_every_call_is_denied_and_told_why() {
    let files = config_with(&[("a/*", Allow), ("b/*", Deny)], &["b/*"]);
    let said = Overrides { paused: Some(now().wall), ..overrides_with(&[("c/*", Allow)], &["d/*"]) };
    let policy = Policy::new(files, said);
    for name in ["a/x", "b/x", "c/x", "d/x", "e/x"] {
        let paused = decide(&policy, name);
        assert_eq!((paused.action, &paused.source), (Deny, &DecisionSource::Pause(now().wall)), "{name}");
        assert!(paused.to_string().starts_with("paused by a person since 20"), "{paused}");
        assert!(paused.to_string().contains("`portero resume`"), "{paused}");
    }
    let resumed = policy.with_overrides(Overrides { paused: None, ..policy.overrides().clone() });
    for name in ["a/x", "b/x", "c/x", "d/x", "e/x"] {
        let explained = policy.explain(&tool(name), None, None, now());
        assert_eq!(explained.decision, decide(&policy, name));
        assert_eq!(explained.losing[0], decide(&resumed, name), "what holds again after the pause");
        assert_eq!(
            policy.expected_action(&tool(name), None, now()),
            resumed.expected_action(&tool(name), None, now()),
            "lists stay"
        );
    }
    let alone = policy.with_overrides(policy.overrides().restrictive_only());
    assert_eq!(decide(&alone, "a/x").source, DecisionSource::Pause(now().wall), "also without the daemon");
}

#[test]
fn of_porteros_own_tools_only_a_deny_that_names_them_counts() {
    let explain = |entries: &[(&str, Action)], tool_name: &str| {
        let config = ConfigPolicy { default: Deny, ..config_with(entries, &[]) };
        let explained =
            Policy::new(config, Overrides::default()).explain(&tool(tool_name), None, None, now());
        let losing: Vec<_> = explained.losing.iter().map(ToString::to_string).collect();
        (explained.decision.to_string(), losing)
    };
    let own = "allowed: it is Portero's own tool, which only a deny that names it stops";
    let asks = "needs approval by `portero/call` (policies.json:2:5)";
    for (entries, decision, losing) in [
        (vec![("*", Deny), ("*/call", Deny)], own, vec![]),
        (vec![("portero/call", Deny)], "denied by `portero/call` (policies.json:1:5)", vec![]),
        (
            vec![("portero/*", Deny), ("portero/call", RequireApproval)],
            own,
            vec![asks, "denied by `portero/*` (policies.json:1:5)"],
        ),
    ] {
        assert_eq!(
            explain(&entries, "portero/call"),
            (decision.to_owned(), losing.into_iter().map(str::to_owned).collect())
        );
    }
    assert_eq!(explain(&[("portero/call", Deny)], "portero/explain").0, own);
    assert_eq!(explain(&[], "mail/send").0, "denied: no rule covers it (default)");
}

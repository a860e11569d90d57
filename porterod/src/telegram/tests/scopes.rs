//! The card of every scope, from the menu to the outcome.

use portero::approval_scope::{ApprovalScope, AskingSession, ScopeChange, ScopeDuration, ScopeTerms};
use portero::clock::{Clock as _, TestClock};
use portero::ipc::{Act, InspectedTask};
use portero::policy::{Action, ConfigPolicy, Grant, Policy, PolicyRule};
use portero::task::{Task, TaskState};
use serde_json::json;

use super::super::card_pages::{choose_fields_pages, confirm_pages, outcome_message};
use super::super::text::{FormattedText, MAX_ENTITIES, MAX_MESSAGE_UNITS, utf16_len};
use super::question_state;
use crate::auth::buttons::ShownWidening;
use crate::presentation::buttons::{ButtonRows, CardMode, CardState, FieldChoice, ScopeOffers, card_buttons};
use crate::presentation::card::{Card, DecidedBy, FollowUp, RecordedDecision, ScopeEffect};
use crate::presentation::tests::{task_of, with_context};

const TEN_MINUTES: ScopeDuration = ScopeDuration::Millis(600_000);
/// The screens that `docs/telegram.md` has as text, too.
pub(super) const IN_THE_TEXT: [&str; 4] =
    ["scope-menu", "scope-fields", "scope-fields-confirm", "scope-fields-outcome"];

const HOUR: ScopeDuration = ScopeDuration::Millis(3_600_000);

fn issue_task() -> Task {
    task_of(
        "github/create_issue",
        &json!({ "owner": "acme", "repo": "site", "title": "The price is wrong", "body": "It says 10." }),
    )
}

fn read_task() -> Task {
    task_of("github/get_issue", &json!({ "owner": "acme", "repo": "site", "issue_number": 7 }))
}

/// Calls `look` with what can be permitted with a task's call, where policy lists what `github` reads.
pub(super) fn with_terms<T>(task: &Task, look: impl FnOnce(&ScopeTerms<'_>) -> T) -> T {
    let reads = vec!["github/get_*".parse().expect("a pattern"), "github/list_*".parse().expect("a pattern")];
    let policy = Policy::new(ConfigPolicy { reads, ..ConfigPolicy::default() }, super::Ruled::default());
    let session = AskingSession { session: task.origin.session, agent_session: None };
    let max_grant = std::time::Duration::from_secs(24 * 3600);
    let (call, principal) = (&task.call, &task.origin.principal);
    look(&ScopeTerms { call, principal, session: Some(&session), policy: &policy, max_grant })
}

fn offers(task: &Task) -> ScopeOffers {
    with_terms(task, |terms| ScopeOffers { scopes: terms.fitting_scopes(), fields: terms.choosable_fields() })
}

fn pointers(task: &Task, names: &[&str]) -> FieldChoice {
    let fields = with_terms(task, |terms| terms.choosable_fields());
    let chosen = fields.into_iter().map(|field| field.pointer);
    let pointers = chosen.filter(|pointer| names.contains(&pointer.to_string().as_str())).collect();
    FieldChoice { pointers, lasts: HOUR }
}

fn fixed_scope(task: &Task, names: &[&str]) -> ApprovalScope {
    let FieldChoice { pointers, lasts } = pointers(task, names);
    ApprovalScope::FixedArguments { pointers, lasts }
}

/// The view of a task's card, as a chat shows it.
fn view(task: &Task, mode: CardMode) -> (FormattedText, ButtonRows) {
    let offers = offers(task);
    let look = InspectedTask { task: task.clone(), hints: None, loss: None, void: None, definition: None };
    let card = with_context(|view| Card::new(&look, view));
    let (mut pages, shown) = match &mode {
        CardMode::Fields(choice) => (choose_fields_pages(task, &offers, choice), None),
        CardMode::Confirm(scope) => {
            let change = resolve(task, scope);
            let tools = loosened_tools(&change);
            let shown = ShownWidening::new(Act::from(&change), &tools);
            let effect = ScopeEffect { change: &change, tools: &tools, disputed: &[] };
            (confirm_pages(&card, task, effect, true), Some(shown))
        }
        CardMode::Card | CardMode::More | CardMode::Accept | CardMode::Json => {
            (super::card_pages(&card).0, None)
        }
    };
    let state = CardState { pages: pages.len(), offers, mode, shown, ..question_state(task) };
    (pages.swap_remove(0), card_buttons(task, &state))
}

fn resolve(task: &Task, scope: &ApprovalScope) -> ScopeChange {
    with_terms(task, |terms| terms.resolve(scope)).expect("it fits").expect("more than the call")
}

fn loosened_tools(change: &ScopeChange) -> Vec<(portero::names::ToolId, Action)> {
    let pattern = match change {
        ScopeChange::Grant { pattern, .. } | ScopeChange::Allow(pattern) => pattern,
    };
    match pattern.exact_tool() {
        Some(tool) => vec![(tool.clone(), Action::RequireApproval)],
        None => [
            ("github/get_secret", Action::Deny),
            ("github/get_issue", Action::RequireApproval),
            ("github/list_issues", Action::RequireApproval),
        ]
        .map(|(tool, action)| (tool.parse().expect("a tool"), action))
        .to_vec(),
    }
}

/// The outcome after this scope was confirmed.
fn outcome(task: &Task, scope: &ApprovalScope) -> (FormattedText, ButtonRows) {
    let at = "2026-11-20T13:00:40Z".parse().expect("a time");
    let made = match resolve(task, scope) {
        ScopeChange::Grant { pattern, duration, limits } => FollowUp::Grant(Grant {
            id: 7,
            pattern,
            made: TestClock::at(at).now(),
            boot_id: "boot".to_owned(),
            millis: u64::try_from(duration.as_millis()).expect("a time"),
            limits,
            used: 0,
        }),
        ScopeChange::Allow(pattern) => {
            FollowUp::Rule(PolicyRule { id: 8, pattern, action: Action::Allow, made: at })
        }
    };
    let mut task = Task { state: TaskState::Completed, ..task.clone() };
    task.result =
        serde_json::from_value(json!({ "content": [{ "type": "text", "text": "Done, number 12" }] }))
            .expect("a result");
    let decided = RecordedDecision { by: DecidedBy::ThisPhone, at };
    (with_context(|view| outcome_message(&task, decided, Some(&made), view)), ButtonRows::new())
}

/// Each picture of a scope with its name.
pub(super) fn pictures() -> Vec<(&'static str, (FormattedText, ButtonRows))> {
    let (issue, read) = (issue_task(), read_task());
    let confirm = |task: &Task, scope: ApprovalScope| view(task, CardMode::Confirm(scope));
    let fixed = fixed_scope(&issue, &["owner", "repo"]);
    let tool = |lasts| ApprovalScope::Tool { lasts };
    let reads = ApprovalScope::ServerReads { lasts: HOUR };
    vec![
        ("scope-menu", view(&read, CardMode::More)),
        ("scope-exact", confirm(&issue, ApprovalScope::ExactCall)),
        ("scope-exact-outcome", outcome(&issue, &ApprovalScope::ExactCall)),
        ("scope-fields", view(&issue, CardMode::Fields(pointers(&issue, &["owner", "repo"])))),
        ("scope-fields-confirm", confirm(&issue, fixed.clone())),
        ("scope-fields-outcome", outcome(&issue, &fixed)),
        ("scope-tool-10min", confirm(&issue, tool(TEN_MINUTES))),
        ("scope-tool-1h", confirm(&issue, tool(HOUR))),
        ("scope-tool-session", confirm(&issue, tool(ScopeDuration::Session))),
        ("scope-tool-outcome", outcome(&issue, &tool(ScopeDuration::Session))),
        ("scope-reads", confirm(&read, reads.clone())),
        ("scope-reads-outcome", outcome(&read, &reads)),
        ("scope-always", confirm(&issue, ApprovalScope::Always)),
        ("scope-always-outcome", outcome(&issue, &ApprovalScope::Always)),
    ]
}

#[test]
fn what_a_tap_permits_is_said_with_whom_it_is_for_how_long_and_how_it_ends() {
    let (issue, read) = (issue_task(), read_task());
    let told = |task: &Task, scope: &ApprovalScope| {
        let text = view(task, CardMode::Confirm(scope.clone())).0.text;
        text.lines().nth(2).expect("the sentence").to_owned()
    };
    for (task, scope, sentence) in [
        (
            &issue,
            ApprovalScope::ExactCall,
            "Exactly this call of github/create_issue, as often as it is made, will run without asking you, in session \
             456789ab alone, for at most 1 d from your tap. End it sooner with /revoke and its number, which this card \
             will show.",
        ),
        (
            &issue,
            fixed_scope(&issue, &["owner", "repo"]),
            "Every call of github/create_issue with owner = acme and repo = site, whatever else it says, will run \
             without asking you, in every session, for 1 h from your tap. End it sooner with /revoke and its number, \
             which this card will show.",
        ),
        (
            &issue,
            ApprovalScope::Tool { lasts: TEN_MINUTES },
            "Every call of github/create_issue, whatever it says, will run without asking you, in every session, for \
             10 min from your tap. End it sooner with /revoke and its number, which this card will show.",
        ),
        (
            &issue,
            ApprovalScope::Tool { lasts: ScopeDuration::Session },
            "Every call of github/create_issue, whatever it says, will run without asking you, in session 456789ab \
             alone, for at most 1 d from your tap. End it sooner with /revoke and its number, which this card will show.",
        ),
        (
            &read,
            ApprovalScope::ServerReads { lasts: HOUR },
            "Every call of a tool in github/* that only reads, by reads in policies.json, will run without asking you, \
             in every session, for 1 h from your tap. End it sooner with /revoke and its number, which this card will \
             show.",
        ),
        (
            &issue,
            ApprovalScope::Always,
            "Every call of github/create_issue, whatever it says, will run without asking you, in every session, from \
             now on. It stays until you end it with /unrule and its number, which this card will show.",
        ),
    ] {
        assert_eq!(told(task, &scope), sentence);
    }
}

#[test]
fn a_tool_of_which_its_server_says_that_it_writes_is_named_where_policy_says_that_it_reads() {
    let task = read_task();
    let change = resolve(&task, &ApprovalScope::ServerReads { lasts: HOUR });
    let look = InspectedTask { task: task.clone(), hints: None, loss: None, void: None, definition: None };
    let card = with_context(|view| Card::new(&look, view));
    let (tools, disputed) = (loosened_tools(&change), ["github/get_secret".parse().expect("a tool")]);
    let effect = ScopeEffect { change: &change, tools: &tools, disputed: &disputed };
    let text = &confirm_pages(&card, &task, effect, true)[0].text;
    let named = "You list these as reading, and their server says that they write: github/get_secret\n";
    assert!(text.contains(named), "{text}");
    let effect = ScopeEffect { disputed: &[], ..effect };
    assert!(!confirm_pages(&card, &task, effect, true)[0].text.contains("their server says"));
}

#[test]
fn a_choice_of_long_fields_fits_on_pages_and_every_button_is_on_one_of_them() {
    let hostile: serde_json::Map<_, _> = (0..40)
        .map(|n| (format!("✅ Approve all {n}{}", "\u{202e}x".repeat(30)), json!("⟨y⟩".repeat(30))))
        .collect();
    let task = task_of("github/create_issue", &hostile.into());
    let offers = offers(&task);
    assert_eq!(offers.fields.len(), 12);
    let pointers = offers.fields.iter().take(8).map(|field| field.pointer.clone()).collect();
    let choice = FieldChoice { pointers, lasts: HOUR };
    let pages = choose_fields_pages(&task, &offers, &choice);
    assert!(pages.len() > 1);
    let scope = ApprovalScope::FixedArguments { pointers: choice.pointers.clone(), lasts: HOUR };
    let confirmed = view(&task, CardMode::Confirm(scope)).0;
    for page in pages.iter().chain([&confirmed]) {
        assert!(utf16_len(&page.text) <= MAX_MESSAGE_UNITS && page.entities.len() <= MAX_ENTITIES);
        assert!(!super::text_outside_entities(page).contains("Approve all"), "{}", page.text);
    }
    let (_, keyboard) = view(&task, CardMode::Fields(choice));
    let labels: Vec<_> = keyboard.iter().flatten().map(|button| button.label.as_str()).collect();
    assert!(
        labels.contains(&"☑ 8") && labels.contains(&"☐ 12") && labels.contains(&"Continue…"),
        "{labels:?}"
    );
    assert!(!labels.iter().any(|label| label.contains("Approve all")), "{labels:?}");
}

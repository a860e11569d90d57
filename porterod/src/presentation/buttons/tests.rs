//! What can be tapped follows from what is possible.

use std::time::Duration;

use portero::approval_scope::ScopeDuration;
use portero::ipc::Act;
use portero::policy::definition_pins::ServerPins;
use portero::policy::{ArgumentPointer, Policy};
use serde_json::json;

use super::*;
use crate::presentation::tests::{offers_of, task_of};

fn draw_rows(keyboard: &ButtonRows) -> String {
    let row =
        |row: &Vec<Button>| row.iter().map(|key| format!("[{}]", key.label)).collect::<Vec<_>>().join(" ");
    keyboard.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn buttons_of(state: &CardState) -> ButtonRows {
    card_buttons(&task_of("gmail/send_email", &json!({})), state)
}

/// A card whose tool may be permitted, for at most this long.
fn state_for(max_grant: Duration) -> CardState {
    CardState {
        page: 0,
        pages: 1,
        must_read: false,
        is_void: false,
        is_lost: false,
        offers: offers_of(&task_of("gmail/send_email", &json!({})), &Policy::default(), max_grant),
        definition: None,
        mode: CardMode::Card,
        shown: None,
    }
}

fn plain() -> CardState {
    state_for(Duration::from_secs(24 * 3600))
}

#[test]
fn a_card_offers_yes_no_and_a_while() {
    insta::assert_snapshot!(draw_rows(&buttons_of(&plain())), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min of gmail/send_email]
    [More…]
    ");
    insta::assert_snapshot!(draw_rows(&buttons_of(&CardState { mode: CardMode::More, ..plain() })), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min of gmail/send_email]
    [This exact call, in this session…]
    [Tool 10 min…] [Tool 1 h…] [Tool session…]
    [Always allow this tool…] [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn a_locked_tool_is_not_offered_to_be_loosened() {
    insta::assert_snapshot!(draw_rows(&buttons_of(&CardState { offers: ScopeOffers::default(), mode: CardMode::More, ..plain() })), @"
    [✅ Approve] [❌ Deny]
    [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn a_definition_is_accepted_by_a_second_press_and_only_once_it_was_read() {
    let mut pins = ServerPins::first_sight([]);
    let item = "tool send".parse().expect("an item");
    pins.add_waiting(&item, "digest".to_owned(), 1);
    let definition = pins.waiting_item_digest(&item);
    let asks = |mode| CardState { definition, mode, ..plain() };
    insta::assert_snapshot!(draw_rows(&buttons_of(&asks(CardMode::Card))), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve and accept the new definition…]
    [✅ Approve + 10 min of gmail/send_email]
    [More…]
    ");
    insta::assert_snapshot!(draw_rows(&buttons_of(&asks(CardMode::Accept))), @"
    [✅ Yes, approve and accept it]
    [Back to the card]
    ");
    let accepts = |state: CardState| {
        let wanted = CardAction::ApproveAndAccept(definition.expect("it waits")).button_action();
        buttons_of(&state).iter().flatten().any(|button| button.action == wanted)
    };
    assert!(accepts(asks(CardMode::Accept)));
    assert!(!accepts(CardState { must_read: true, ..asks(CardMode::Accept) }), "not read");
    assert!(!accepts(CardState { mode: CardMode::Accept, ..plain() }), "nothing waits");
    for mode in [CardMode::Card, CardMode::More, CardMode::Json] {
        assert!(!accepts(asks(mode.clone())), "one press: {mode:?}");
    }
}

#[test]
fn no_grant_is_offered_that_lasts_too_long() {
    let offered = |minutes: u64| {
        let state = CardState { mode: CardMode::More, ..state_for(Duration::from_secs(60 * minutes)) };
        draw_rows(&buttons_of(&state))
    };
    assert_eq!(offered(30).lines().nth(1), Some("[✅ Approve + 10 min of gmail/send_email]"));
    assert_eq!(offered(30).lines().nth(3), Some("[Tool 10 min…] [Tool session…]"));
    assert_eq!(offered(5).lines().nth(2), Some("[Tool session…]"));
}

#[test]
fn a_tool_whose_name_would_be_cut_is_not_granted_by_one_tap() {
    let labels = |tool: &str| draw_rows(&card_buttons(&task_of(tool, &json!({})), &plain()));
    let (shown, cut) = (format!("a/{}", "t".repeat(30)), format!("a/{}", "t".repeat(31)));
    assert!(labels(&shown).contains(&format!("[✅ Approve + 10 min of {shown}]")));
    assert_eq!(labels(&cut), "[✅ Approve] [❌ Deny]\n[More…]");
}

#[test]
fn what_is_too_long_is_read_before_it_is_approved() {
    let unread = CardState { pages: 3, page: 1, must_read: true, ..plain() };
    let keyboard = buttons_of(&unread);
    insta::assert_snapshot!(draw_rows(&keyboard), @"
    [📄 I have read the document] [❌ Deny]
    [‹ Page 1] [Page 3 ›]
    [More…]
    ");
    let scope = ApprovalScope::Always;
    for view in [CardMode::Card, CardMode::More, CardMode::Json, CardMode::Confirm(scope)] {
        let shown = Some(ShownWidening::new(Act::Allow("gmail/send_email".parse().expect("a pattern")), &[]));
        let offered = buttons_of(&CardState { mode: view, shown, ..unread.clone() });
        let loosens = |action: &ButtonAction| match action {
            ButtonAction::Decide(decision) => decision.lets_run(),
            ButtonAction::Show(what) => matches!(CardAction::parse_shown(what), Some(CardAction::Open(_))),
            ButtonAction::Widen(_)
            | ButtonAction::Restrict(_)
            | ButtonAction::Answer(_)
            | ButtonAction::DecideList(_) => true,
        };
        assert!(offered.iter().flatten().all(|key| !loosens(&key.action)), "{offered:?}");
    }
}

#[test]
fn pages_are_turned_within_their_number() {
    assert!(page_turns(0, 1).is_empty() && page_turns(0, 0).is_empty());
    assert_eq!(page_turns(0, 2), [("Page 2 ›".to_owned(), 1)]);
    assert_eq!(page_turns(1, 2), [("‹ Page 1".to_owned(), 0)]);
    assert!(page_turns(7, 2).is_empty());
}

#[test]
fn where_the_process_is_lost_a_yes_says_that_it_takes_another() {
    let lost = CardState { is_lost: true, offers: ScopeOffers::default(), ..plain() };
    insta::assert_snapshot!(draw_rows(&buttons_of(&lost)), @"
    [⚠️ Run in another process] [❌ Deny]
    [More…]
    ");
}

fn fields_state(arguments: &serde_json::Value, chosen: &[&str]) -> CardState {
    let offers = offers_of(
        &task_of("github/create_issue", arguments),
        &Policy::default(),
        Duration::from_secs(24 * 3600),
    );
    let is_chosen = |pointer: &ArgumentPointer| chosen.contains(&pointer.to_string().as_str());
    let pointers = offers.fields.iter().map(|field| field.pointer.clone()).filter(is_chosen).collect();
    let lasts = ScopeDuration::Millis(3_600_000);
    CardState { offers, mode: CardMode::Fields(FieldChoice { pointers, lasts }), ..plain() }
}

#[test]
fn each_field_of_a_call_has_a_button_that_turns_it() {
    let issue = json!({ "owner": "acme", "repo": "site", "title": "x", "Approve all": 1, "labels": ["a"] });
    let state = fields_state(&issue, &["owner", "repo"]);
    insta::assert_snapshot!(draw_rows(&buttons_of(&state)), @"
    [☑ 1 owner] [☑ 2 repo]
    [☐ 3 title] [☐ 4]
    [○ 10 min] [● 1 h] [○ session]
    [Continue…]
    [Back]
    ");
    let opened = |label: &str| {
        let rows = buttons_of(&state);
        let button = rows.iter().flatten().find(|button| button.label == label).expect(label);
        let ButtonAction::Show(what) = &button.action else { panic!("{button:?}") };
        CardAction::parse_shown(what).expect("an action").next_view(state.mode.clone(), 0).expect("a view").0
    };
    let choice = |names: &[&str]| fields_state(&issue, names).mode;
    assert_eq!(opened("☑ 1 owner"), choice(&["repo"]));
    assert_eq!(opened("☐ 3 title"), choice(&["owner", "repo", "title"]));
    let CardMode::Fields(FieldChoice { pointers, lasts }) = choice(&["owner", "repo"]) else { panic!() };
    let session = FieldChoice { pointers: pointers.clone(), lasts: ScopeDuration::Session };
    assert_eq!(opened("○ session"), CardMode::Fields(session));
    assert_eq!(opened("Continue…"), CardMode::Confirm(ApprovalScope::FixedArguments { pointers, lasts }));
    assert_eq!(opened("Back"), CardMode::More);
}

#[test]
fn without_a_field_or_with_too_many_a_choice_does_not_go_on() {
    let many: serde_json::Map<_, _> = (0..12).map(|n| (format!("f{n}"), json!(n))).collect();
    let many: serde_json::Value = many.into();
    let names: Vec<String> = (0..9).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let goes_on =
        |chosen: &[&str]| draw_rows(&buttons_of(&fields_state(&many, chosen))).contains("Continue…");
    assert!(!goes_on(&[]) && goes_on(&names[..1]) && goes_on(&names[..8]) && !goes_on(&names));
}

#[test]
fn a_scope_is_confirmed_below_the_last_page_of_what_it_permits() {
    let what = Act::Allow("gmail/send_email".parse().expect("a pattern"));
    let shown = Some(ShownWidening::new(what, &[]));
    let mode = CardMode::Confirm(ApprovalScope::Always);
    let rows = |page, shown: &Option<ShownWidening>| {
        let state = CardState { page, pages: 2, mode: mode.clone(), shown: shown.clone(), ..plain() };
        draw_rows(&buttons_of(&state))
    };
    assert_eq!(rows(0, &shown), "[Page 2 ›]\n[Back]");
    assert_eq!(rows(1, &shown), "[✅ Yes, approve and always allow]\n[‹ Page 1]\n[Back]");
    assert_eq!(rows(1, &None), "[‹ Page 1]\n[Back]", "what cannot be permitted has no button");
}

#[test]
fn the_view_of_an_earlier_build_still_opens() {
    let pointers = vec![ArgumentPointer::parse_typed("repo").expect("a name")];
    let choice = FieldChoice { pointers, lasts: ScopeDuration::Session };
    for (stored, mode) in [
        ("\"card\"", CardMode::Card),
        ("\"more\"", CardMode::More),
        ("\"json\"", CardMode::Json),
        (r#"{"fields":{"pointers":["/repo"],"lasts":"session"}}"#, CardMode::Fields(choice)),
        (r#"{"confirm":"always"}"#, CardMode::Confirm(ApprovalScope::Always)),
    ] {
        assert_eq!(CardMode::parse(stored), mode);
        assert_eq!(mode.serialize(), stored);
    }
    assert_eq!(CardMode::parse("\"sure\""), CardMode::Confirm(ApprovalScope::Always));
    assert_eq!(CardMode::parse("\"of a later build\""), CardMode::Card);
}

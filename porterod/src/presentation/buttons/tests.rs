//! What can be tapped follows from what is possible.

use super::*;

fn draw_rows(keyboard: &ButtonRows) -> String {
    let row =
        |row: &Vec<Button>| row.iter().map(|key| format!("[{}]", key.label)).collect::<Vec<_>>().join(" ");
    keyboard.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn buttons_of(state: &CardState) -> ButtonRows {
    card_buttons("019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f".parse().expect("an id"), state)
}

const PLAIN: CardState = CardState {
    page: 0,
    pages: 1,
    must_read: false,
    is_lost: false,
    can_permit: true,
    max_grant_minutes: 60,
    mode: CardMode::Card,
};

#[test]
fn a_card_offers_yes_no_and_a_while() {
    insta::assert_snapshot!(draw_rows(&buttons_of(&PLAIN)), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min] [✅ Approve + 1 h]
    [More…]
    ");
    insta::assert_snapshot!(draw_rows(&buttons_of(&CardState { mode: CardMode::More, ..PLAIN })), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min] [✅ Approve + 1 h]
    [Always allow this tool] [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn a_locked_tool_is_not_offered_to_be_loosened() {
    insta::assert_snapshot!(draw_rows(&buttons_of(&CardState { can_permit: false, mode: CardMode::More, ..PLAIN })), @"
    [✅ Approve] [❌ Deny]
    [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn no_grant_is_offered_that_lasts_too_long() {
    let offered = |grant_most| draw_rows(&buttons_of(&CardState { max_grant_minutes: grant_most, ..PLAIN }));
    assert_eq!(offered(30).lines().nth(1), Some("[✅ Approve + 10 min]"));
    assert_eq!(offered(5).lines().nth(1), Some("[More…]"));
}

#[test]
fn what_is_too_long_is_read_before_it_is_approved() {
    let unread = CardState { pages: 3, page: 1, must_read: true, ..PLAIN };
    let keyboard = buttons_of(&unread);
    insta::assert_snapshot!(draw_rows(&keyboard), @"
    [📄 I have read the document] [❌ Deny]
    [‹ Page 1] [Page 3 ›]
    [More…]
    ");
    for view in [CardMode::Card, CardMode::More, CardMode::Json] {
        let loosening = [
            CardAction::Approve,
            CardAction::ApproveFor(10),
            CardAction::ApproveFor(60),
            CardAction::AlwaysAllow,
        ]
        .map(CardAction::button_action);
        let offered = buttons_of(&CardState { mode: view, ..unread });
        assert!(offered.iter().flatten().all(|key| !loosening.contains(&key.action)));
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
    let lost = CardState { is_lost: true, can_permit: false, ..PLAIN };
    insta::assert_snapshot!(draw_rows(&buttons_of(&lost)), @"
    [⚠️ Run in another process] [❌ Deny]
    [More…]
    ");
}

//! What can be tapped follows from what is possible.

use super::*;

fn draw_rows(keyboard: &KeyboardRows) -> String {
    let row = |row: &Vec<ButtonSpec>| {
        row.iter().map(|key| format!("[{}]", key.label)).collect::<Vec<_>>().join(" ")
    };
    keyboard.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn data_of(choice: CardAction) -> CallbackData {
    CallbackData::try_from(format!("{choice:?}")).expect("short")
}

const PLAIN: CardState = CardState {
    page: 0,
    pages: 1,
    must_read: false,
    can_permit: true,
    max_grant_minutes: 60,
    mode: CardMode::Card,
};

#[test]
fn a_card_offers_yes_no_and_a_while() {
    insta::assert_snapshot!(draw_rows(&card_buttons(&PLAIN, data_of)), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min] [✅ Approve + 1 h]
    [More…]
    ");
    insta::assert_snapshot!(draw_rows(&card_buttons(&CardState { mode: CardMode::More, ..PLAIN }, data_of)), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min] [✅ Approve + 1 h]
    [Always allow this tool] [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn a_locked_tool_is_not_offered_to_be_loosened() {
    insta::assert_snapshot!(draw_rows(&card_buttons(&CardState { can_permit: false, mode: CardMode::More, ..PLAIN }, data_of)), @"
    [✅ Approve] [❌ Deny]
    [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn no_grant_is_offered_that_lasts_too_long() {
    let offered =
        |grant_most| draw_rows(&card_buttons(&CardState { max_grant_minutes: grant_most, ..PLAIN }, data_of));
    assert_eq!(offered(30).lines().nth(1), Some("[✅ Approve + 10 min]"));
    assert_eq!(offered(5).lines().nth(1), Some("[More…]"));
}

#[test]
fn what_is_too_long_is_read_before_it_is_approved() {
    let unread = CardState { pages: 3, page: 1, must_read: true, ..PLAIN };
    let keyboard = card_buttons(&unread, data_of);
    insta::assert_snapshot!(draw_rows(&keyboard), @"
    [📄 I have read the document] [❌ Deny]
    [‹ Page 1] [Page 3 ›]
    [More…]
    ");
    for view in [CardMode::Card, CardMode::More, CardMode::Json] {
        let yes: Vec<CallbackData> = [
            CardAction::Approve,
            CardAction::ApproveFor(10),
            CardAction::ApproveFor(60),
            CardAction::AlwaysAllow,
        ]
        .map(data_of)
        .into();
        let offered = card_buttons(&CardState { mode: view, ..unread }, data_of);
        assert!(offered.iter().flatten().all(|key| !yes.contains(&key.token)));
    }
}

#[test]
fn pages_are_turned_within_their_number() {
    assert!(page_buttons(0, 1, data_of).is_empty() && page_buttons(0, 0, data_of).is_empty());
    assert_eq!(draw_rows(&page_buttons(0, 2, data_of)), "[Page 2 ›]");
    assert_eq!(draw_rows(&page_buttons(1, 2, data_of)), "[‹ Page 1]");
    assert!(page_buttons(7, 2, data_of).is_empty());
}

#[test]
fn a_token_has_1_to_64_bytes() {
    assert!(CallbackData::try_from("x".repeat(64)).is_ok());
    assert!(
        CallbackData::try_from("x".repeat(65)).is_err() && CallbackData::try_from(String::new()).is_err()
    );
    assert!(serde_json::from_str::<CallbackData>("\"\"").is_err());
}

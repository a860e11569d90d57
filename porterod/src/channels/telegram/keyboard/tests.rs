//! What can be tapped follows from what is possible.

use super::*;

fn shown(keyboard: &Keyboard) -> String {
    let row = |row: &Vec<Key>| row.iter().map(|key| format!("[{}]", key.label)).collect::<Vec<_>>().join(" ");
    keyboard.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn token(choice: Choice) -> Token {
    Token::try_from(format!("{choice:?}")).expect("short")
}

const PLAIN: Standing =
    Standing { page: 0, pages: 1, unread: false, loosens: true, grant_most: 60, view: View::Card };

#[test]
fn a_card_offers_yes_no_and_a_while() {
    insta::assert_snapshot!(shown(&of_card(&PLAIN, token)), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min] [✅ Approve + 1 h]
    [More…]
    ");
    insta::assert_snapshot!(shown(&of_card(&Standing { view: View::More, ..PLAIN }, token)), @"
    [✅ Approve] [❌ Deny]
    [✅ Approve + 10 min] [✅ Approve + 1 h]
    [Always allow this tool] [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn a_locked_tool_is_not_offered_to_be_loosened() {
    insta::assert_snapshot!(shown(&of_card(&Standing { loosens: false, view: View::More, ..PLAIN }, token)), @"
    [✅ Approve] [❌ Deny]
    [Always deny this tool]
    [Deny with a reason] [Show as JSON]
    [Less]
    ");
}

#[test]
fn no_grant_is_offered_that_lasts_too_long() {
    let offered = |grant_most| shown(&of_card(&Standing { grant_most, ..PLAIN }, token));
    assert_eq!(offered(30).lines().nth(1), Some("[✅ Approve + 10 min]"));
    assert_eq!(offered(5).lines().nth(1), Some("[More…]"));
}

#[test]
fn what_is_too_long_is_read_before_it_is_approved() {
    let unread = Standing { pages: 3, page: 1, unread: true, ..PLAIN };
    let keyboard = of_card(&unread, token);
    insta::assert_snapshot!(shown(&keyboard), @"
    [📄 I have read the document] [❌ Deny]
    [‹ Page 1] [Page 3 ›]
    [More…]
    ");
    for view in [View::Card, View::More, View::Json] {
        let yes: Vec<Token> =
            [Choice::Approve, Choice::ApproveFor(10), Choice::ApproveFor(60), Choice::AlwaysAllow]
                .map(token)
                .into();
        let offered = of_card(&Standing { view, ..unread }, token);
        assert!(offered.iter().flatten().all(|key| !yes.contains(&key.token)));
    }
}

#[test]
fn pages_are_turned_within_their_number() {
    assert!(of_pages(0, 1, token).is_empty() && of_pages(0, 0, token).is_empty());
    assert_eq!(shown(&of_pages(0, 2, token)), "[Page 2 ›]");
    assert_eq!(shown(&of_pages(1, 2, token)), "[‹ Page 1]");
    assert!(of_pages(7, 2, token).is_empty());
}

#[test]
fn a_token_has_1_to_64_bytes() {
    assert!(Token::try_from("x".repeat(64)).is_ok());
    assert!(Token::try_from("x".repeat(65)).is_err() && Token::try_from(String::new()).is_err());
    assert!(serde_json::from_str::<Token>("\"\"").is_err());
}

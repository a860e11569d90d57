//! Many questions at once: the first ones get their own messages, and the others share lists.

use jiff::SignedDuration;

/// How many cards may come within [`BURST_WINDOW`]; further ones go into a list.
const MAX_SEPARATE_CARDS: u64 = 5;
/// Cards within this time belong to one burst.
pub const BURST_WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// The most calls in one list.
const MAX_LISTED_TASKS: u64 = 10;

/// The place where a new question is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardPlacement {
    /// A message of its own.
    OwnMessage,
    /// An existing list.
    List(String),
    /// A new list that begins with it.
    NewList,
}

/// The place for a question that comes now. `recent` is how many cards of the last [`BURST_WINDOW`] still
/// wait. `lists` are those begun within it, the newest first, each with its number of calls.
#[must_use]
pub fn place_card(recent: u64, lists: Vec<(String, u64)>) -> CardPlacement {
    if recent < MAX_SEPARATE_CARDS {
        return CardPlacement::OwnMessage;
    }
    // The newest list with room takes the call, so calls of one moment are close together.
    let open = lists.into_iter().find(|(_, listed)| *listed < MAX_LISTED_TASKS);
    open.map_or(CardPlacement::NewList, |(list, _)| CardPlacement::List(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_beyond_a_few_joins_the_newest_list_with_room() {
        let lists = |counts: &[u64]| (0..).zip(counts).map(|(at, count)| (format!("{at}"), *count)).collect();
        assert_eq!(place_card(4, lists(&[1])), CardPlacement::OwnMessage);
        assert_eq!(place_card(5, lists(&[])), CardPlacement::NewList);
        assert_eq!(place_card(5, lists(&[9, 3])), CardPlacement::List("0".to_owned()));
        assert_eq!(place_card(5, lists(&[10, 3])), CardPlacement::List("1".to_owned()));
        assert_eq!(place_card(5, lists(&[10])), CardPlacement::NewList);
    }
}

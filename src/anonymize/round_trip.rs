//! Checks that a concealed message would be revealed as it was.
//!
//! A replacement may join with the text beside it: to another fake, or to the same one a few characters
//! earlier (`aa` before a fake that begins with `aa`). Revealing would then give text that was never there. Which
//! spelling the neighbours have doesn't matter, because the check is the search that reveals.

use super::placed_replacement::PlacedReplacement;
use super::rewrite::Rewriter;
use super::{Direction, ReplacementRule};

/// Whether revealing `json` would find every replacement that is to be revealed, and nothing that reaches into one.
///
/// `placed` is in order. `is_revealed` tells for each rule whether it is revealed to any server.
pub(super) fn is_reversible(
    reveal: &Rewriter,
    is_revealed: &[bool],
    json: &str,
    placed: &[PlacedReplacement],
) -> bool {
    let Some(found) = reveal.find_matches(json) else { return false };
    let mut found = found.into_iter().peekable();
    placed.iter().all(|placed| {
        // Both lists are in order, so what ends before this replacement concerns no later one.
        while found.next_if(|(at, _)| at.end <= placed.at.start).is_some() {}
        let Some((at, rule)) = found.next_if(|(at, _)| at.start < placed.at.end) else {
            return !is_revealed[placed.rule];
        };
        is_revealed[placed.rule] && at == placed.at && rule == placed.rule
    })
}

/// For each rule, whether its replacement is revealed.
pub(super) fn revealed_rules(rules: &[ReplacementRule]) -> Vec<bool> {
    rules.iter().map(|rule| rule.direction == Direction::Both).collect()
}

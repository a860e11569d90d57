//! What people are told of a change of rules, grants and pause: how it differs from before.

use portero::anonymize::Fake;
use portero::notice::{Notice, OverrideChange};
use portero::pattern::Pattern;
use portero::policy::{Grant, Overrides, PolicyRule};

/// Every difference, what ended first. A grant that is gone has expired unless it is still `live`; of one that
/// was used up, people were told when its last use was consumed.
pub(super) fn notices_between(
    before: &Overrides,
    after: &Overrides,
    live: &dyn Fn(&Grant) -> bool,
    words: &dyn Fn(&Pattern) -> Fake<String>,
) -> Vec<Notice> {
    let grant =
        |grant: &Grant, became| Notice::Grant { id: grant.id, became, pattern: words(&grant.pattern) };
    let rule = |rule: &PolicyRule, became| Notice::Rule {
        id: rule.id,
        became,
        action: rule.action,
        pattern: words(&rule.pattern),
    };
    let mut notices = Vec::new();
    let used_up = |grant: &Grant| grant.uses_left() == Some(0);
    let is_gone = |grant: &&Grant| after.grants.iter().all(|kept| kept.id != grant.id);
    for gone in before.grants.iter().filter(is_gone).filter(|grant| !used_up(grant)) {
        notices.push(grant(gone, if live(gone) { OverrideChange::Ended } else { OverrideChange::Expired }));
    }
    for gone in before.rules.iter().filter(|rule| after.rules.iter().all(|kept| kept.id != rule.id)) {
        notices.push(rule(gone, OverrideChange::Ended));
    }
    for new in after.grants.iter().filter(|grant| before.grants.iter().all(|old| old.id != grant.id)) {
        notices.push(grant(new, OverrideChange::Made));
    }
    for new in after.rules.iter().filter(|rule| before.rules.iter().all(|old| old.id != rule.id)) {
        notices.push(rule(new, OverrideChange::Made));
    }
    match (before.paused, after.paused) {
        (None, Some(_)) => notices.push(Notice::Paused),
        (Some(_), None) => notices.push(Notice::Resumed),
        (None, None) | (Some(_), Some(_)) => {}
    }
    notices
}

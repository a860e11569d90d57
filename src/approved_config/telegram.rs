//! `telegram` in `portero.json`: who may decide. More people, another chat, and fewer approvals widen.

use super::{ConfigChanges, SETTINGS_FILE};
use crate::config::{DeciderGroup, TelegramSettings};
use crate::pattern::Pattern;
use crate::policy::{ConfigPolicy, Quorum};

pub(super) fn compare_telegram(
    confirmed: Option<&TelegramSettings>,
    changed: Option<&TelegramSettings>,
    changes: &mut ConfigChanges,
) {
    let number = |admin: Option<u64>| admin.map_or_else(|| "none".to_owned(), |admin| admin.to_string());
    let (was, is) = match (confirmed, changed) {
        (None, None) => return,
        (Some(_), None) => return changes.push_change(false, SETTINGS_FILE, "telegram is gone".to_owned()),
        (None, Some(new)) => {
            let words = format!("telegram is new; its admin is {}", number(new.admin));
            changes.push_change(true, SETTINGS_FILE, words);
            return compare_groups(None, new.group.as_ref(), changes);
        }
        (Some(was), Some(is)) => (was, is),
    };
    let TelegramSettings { token, admin, group, api_url, notices } = is;
    if was.token != *token {
        changes.push_change(true, SETTINGS_FILE, "telegram.token is another one".to_owned());
    }
    if was.admin != *admin {
        let words = format!("telegram.admin {} → {}", number(was.admin), number(*admin));
        changes.push_change(true, SETTINGS_FILE, words);
    }
    compare_groups(was.group.as_ref(), group.as_ref(), changes);
    if was.api_url != *api_url {
        changes.push_change(true, SETTINGS_FILE, "telegram.apiUrl is another one".to_owned());
    }
    if was.notices != *notices {
        let less = notices.is_quieter_than(&was.notices);
        let words = if less {
            "telegram.notices tells you less, or later"
        } else {
            "telegram.notices tells you more"
        };
        changes.push_change(less, SETTINGS_FILE, words.to_owned());
    }
}

/// A removed section is gone. A changed one stays as confirmed, except that people who were removed can no
/// longer decide.
pub(super) fn effective_telegram(
    confirmed: Option<&TelegramSettings>,
    changed: Option<&TelegramSettings>,
) -> Option<TelegramSettings> {
    let (known, edited) = confirmed.zip(changed)?;
    let group = known.group.as_ref().map(|known| match &edited.group {
        // A removed group waits for confirmation, so the confirmed one stays.
        None => known.clone(),
        Some(edited) => {
            DeciderGroup { deciders: intersect_users(&known.deciders, &edited.deciders), ..known.clone() }
        }
    });
    Some(TelegramSettings { group, ..known.clone() })
}

fn intersect_users(known: &[u64], edited: &[u64]) -> Vec<u64> {
    known.iter().copied().filter(|user| edited.contains(user)).collect()
}

fn compare_groups(was: Option<&DeciderGroup>, is: Option<&DeciderGroup>, changes: &mut ConfigChanges) {
    let chat = |group: Option<&DeciderGroup>| {
        group.map_or_else(|| "none".to_owned(), |group| group.chat.to_string())
    };
    let (before, now) = (group_users(was), group_users(is));
    if was.map(|was| was.chat) != is.map(|is| is.chat) {
        changes.push_change(true, SETTINGS_FILE, format!("telegram.chat {} → {}", chat(was), chat(is)));
    }
    for user in now.iter().filter(|user| !before.contains(user)) {
        changes.push_change(true, SETTINGS_FILE, format!("telegram.deciders: user {user} may decide"));
    }
    for user in before.iter().filter(|user| !now.contains(user)) {
        changes.push_change(
            false,
            SETTINGS_FILE,
            format!("telegram.deciders: user {user} may no longer decide"),
        );
    }
}

fn group_users(group: Option<&DeciderGroup>) -> &[u64] {
    group.map_or(&[], |group| &group.deciders)
}

/// Compares the quorums. They are gone too if the whole section is.
pub(super) fn compare_quorums(was: &[Quorum], is: &[Quorum], changes: &mut ConfigChanges) {
    for old in was {
        let lost: Vec<_> =
            old.tools.iter().filter(|tools| !is.iter().any(|new| implies_quorum(new, old, tools))).collect();
        if !lost.is_empty() {
            changes.push_change(
                true,
                SETTINGS_FILE,
                format!("telegram.quorum: {} no longer {}", join_patterns(lost), describe_quorum(old)),
            );
        }
    }
    for new in is.iter().filter(|new| !was.iter().any(|old| new.has_same_terms(old))) {
        changes.push_change(
            false,
            SETTINGS_FILE,
            format!("telegram.quorum: {} {}", join_patterns(&new.tools), describe_quorum(new)),
        );
    }
}

/// Whether approvals that meet `new` always meet `old`, for each of these tools.
fn implies_quorum(new: &Quorum, old: &Quorum, tools: &Pattern) -> bool {
    new.approvals >= old.approvals
        && new.of.iter().all(|user| old.of.contains(user))
        && new.tools.iter().any(|pattern| surely_covers(pattern, tools))
}

/// Whether one pattern certainly covers all tools of the other. If that is hard to tell, the answer is no.
fn surely_covers(wider: &Pattern, tools: &Pattern) -> bool {
    let server = wider.as_str().strip_suffix("/*").and_then(|server| server.parse().ok());
    wider == tools
        || wider.as_str() == "*"
        || tools.exact_tool().is_some_and(|tool| wider.matches(tool))
        || (server.is_some() && tools.server() == server)
}

fn join_patterns<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> String {
    patterns.into_iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ")
}

fn describe_quorum(quorum: &Quorum) -> String {
    let of: Vec<_> = quorum.of.iter().map(u64::to_string).collect();
    format!("takes {} approvals of {}", quorum.approvals, of.join(", "))
}

/// Removes people who can no longer decide from all quorums, of the confirmed and of the present files.
pub(super) fn retain_deciders(policy: &mut ConfigPolicy, telegram: Option<&TelegramSettings>) {
    let deciders = group_users(telegram.and_then(|telegram| telegram.group.as_ref()));
    let confirmed = policy.approved.iter_mut().flat_map(|confirmed| &mut confirmed.quorums);
    for quorum in policy.quorums.iter_mut().chain(confirmed) {
        quorum.of.retain(|user| deciders.contains(user));
    }
}

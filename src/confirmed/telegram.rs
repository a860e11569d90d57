//! `telegram` of `portero.json`: who may decide there. Somebody more, another chat, and fewer approvals widen.

use super::Changes;
use super::settings::FILE;
use crate::config::{Group, Telegram};
use crate::pattern::Pattern;
use crate::policy::{ConfigPolicy, Quorum};

pub(super) fn compare(confirmed: Option<&Telegram>, changed: Option<&Telegram>, changes: &mut Changes) {
    let number = |admin: Option<u64>| admin.map_or_else(|| "none".to_owned(), |admin| admin.to_string());
    let (was, is) = match (confirmed, changed) {
        (None, None) => return,
        (Some(_), None) => return changes.add(false, FILE, "telegram is gone".to_owned()),
        (None, Some(new)) => {
            let words = format!("telegram is new; its admin is {}", number(new.admin));
            changes.add(true, FILE, words);
            return compare_groups(None, new.group.as_ref(), changes);
        }
        (Some(was), Some(is)) => (was, is),
    };
    let Telegram { token, admin, group, api_url, notices } = is;
    if was.token != *token {
        changes.add(true, FILE, "telegram.token is another one".to_owned());
    }
    if was.admin != *admin {
        let words = format!("telegram.admin {} → {}", number(was.admin), number(*admin));
        changes.add(true, FILE, words);
    }
    compare_groups(was.group.as_ref(), group.as_ref(), changes);
    if was.api_url != *api_url {
        changes.add(true, FILE, "telegram.apiUrl is another one".to_owned());
    }
    if was.notices != *notices {
        let less = notices.tells_less(&was.notices);
        let words = if less {
            "telegram.notices tells you less, or later"
        } else {
            "telegram.notices tells you more"
        };
        changes.add(less, FILE, words.to_owned());
    }
}

/// What is gone is gone; what changed goes on as confirmed, but who may no longer decide does not.
pub(super) fn in_force(confirmed: Option<&Telegram>, changed: Option<&Telegram>) -> Option<Telegram> {
    let (known, edited) = confirmed.zip(changed)?;
    let group = known.group.as_ref().map(|known| match &edited.group {
        None => known.clone(),
        Some(edited) => Group { deciders: both(&known.deciders, &edited.deciders), ..known.clone() },
    });
    Some(Telegram { group, ..known.clone() })
}

fn both(known: &[u64], edited: &[u64]) -> Vec<u64> {
    known.iter().copied().filter(|user| edited.contains(user)).collect()
}

fn compare_groups(was: Option<&Group>, is: Option<&Group>, changes: &mut Changes) {
    let chat =
        |group: Option<&Group>| group.map_or_else(|| "none".to_owned(), |group| group.chat.to_string());
    let (before, now) = (people(was), people(is));
    if was.map(|was| was.chat) != is.map(|is| is.chat) {
        changes.add(true, FILE, format!("telegram.chat {} → {}", chat(was), chat(is)));
    }
    for user in now.iter().filter(|user| !before.contains(user)) {
        changes.add(true, FILE, format!("telegram.deciders: user {user} may decide"));
    }
    for user in before.iter().filter(|user| !now.contains(user)) {
        changes.add(false, FILE, format!("telegram.deciders: user {user} may no longer decide"));
    }
}

fn people(group: Option<&Group>) -> &[u64] {
    group.map_or(&[], |group| &group.deciders)
}

/// What several people must approve. Where the whole section is gone, that is gone too.
pub(super) fn compare_quorums(was: &[Quorum], is: &[Quorum], changes: &mut Changes) {
    for old in was {
        let lost: Vec<_> =
            old.tools.iter().filter(|tools| !is.iter().any(|new| holds(new, old, tools))).collect();
        if !lost.is_empty() {
            changes.add(true, FILE, format!("telegram.quorum: {} no longer {}", named(lost), takes(old)));
        }
    }
    for new in is.iter().filter(|new| !was.iter().any(|old| new.says_the_same(old))) {
        changes.add(false, FILE, format!("telegram.quorum: {} {}", named(&new.tools), takes(new)));
    }
}

/// Whether whatever meets `new` meets `old`, for each of these tools.
fn holds(new: &Quorum, old: &Quorum, tools: &Pattern) -> bool {
    new.approvals >= old.approvals
        && new.of.iter().all(|user| old.of.contains(user))
        && new.tools.iter().any(|pattern| covers(pattern, tools))
}

/// Whether one pattern surely covers all that the other does. Where that is not easy to tell it says no.
fn covers(wider: &Pattern, tools: &Pattern) -> bool {
    let server = wider.as_str().strip_suffix("/*").and_then(|server| server.parse().ok());
    wider == tools
        || wider.as_str() == "*"
        || tools.exact().is_some_and(|tool| wider.matches(tool))
        || (server.is_some() && tools.server() == server)
}

fn named<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> String {
    patterns.into_iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ")
}

fn takes(quorum: &Quorum) -> String {
    let of: Vec<_> = quorum.of.iter().map(u64::to_string).collect();
    format!("takes {} approvals of {}", quorum.approvals, of.join(", "))
}

/// The approvals of people who do not decide any more do not count, whichever of the files names them.
pub(super) fn only_deciders(policy: &mut ConfigPolicy, telegram: Option<&Telegram>) {
    let deciders = people(telegram.and_then(|telegram| telegram.group.as_ref()));
    let confirmed = policy.confirmed.iter_mut().flat_map(|confirmed| &mut confirmed.quorums);
    for quorum in policy.quorums.iter_mut().chain(confirmed) {
        quorum.of.retain(|user| deciders.contains(user));
    }
}

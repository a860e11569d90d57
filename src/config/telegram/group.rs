//! The group in which several people decide: `chat`, `deciders` and `quorum`.
//!
//! Only numbers are accepted. Deciders are named in the file itself, so that no variable can name one.

use std::collections::HashMap;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::super::document::{CheckedMembers, ConfigDocument};
use super::super::fields;
use super::super::policies::read_pattern;
use super::super::types::DeciderGroup;
use crate::names::ServerName;
use crate::policy::{DecisionSource, Quorum};

/// The most deciders. A card names those who decided.
const MAX_DECIDERS: usize = 20;
/// The fewest approvals of a quorum: more than one person's.
const MIN_QUORUM_APPROVALS: u64 = 2;

/// Reads the group. `admin` decides if no others are named. Quorums go to `quorums`.
pub(super) fn read_group<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
    admin: Option<u64>,
    servers: Option<&[ServerName]>,
    quorums: &mut Vec<Quorum>,
) -> Option<DeciderGroup> {
    let deciders = members.get("deciders").map(|value| read_users(document, value, "`telegram.deciders`"));
    let Some(value) = members.get("chat") else {
        for (name, value) in ["deciders", "quorum"].map(|name| (name, members.get(name))) {
            let Some(value) = value else { continue };
            let hint = "add the group's `chat`, a negative number; in a private chat `admin` alone decides";
            document.add_error(value.start(), format!("`telegram.{name}` needs `chat`"), Some(hint.into()));
        }
        return None;
    };
    let chat = read_chat(document, value);
    let deciders = match (deciders, admin) {
        (Some(deciders), admin) => {
            if let (Some(value), true) =
                (members.get("admin"), admin.is_some_and(|it| !deciders.contains(&it)))
            {
                let hint = "name that person in `deciders` too, or remove `admin`";
                let message = "`telegram.admin` does not decide in the group, since `deciders` names others";
                document.add_warning(value.start(), message.into(), Some(hint.into()));
            }
            deciders
        }
        (None, Some(admin)) => vec![admin],
        (None, None) => {
            let hint = "name the users who decide there in `deciders`: send the bot /whoami to know a number";
            document.add_error(
                value.start(),
                "`telegram.chat` needs `deciders` or `admin`".into(),
                Some(hint.into()),
            );
            Vec::new()
        }
    };
    if let Some(value) = members.get("quorum") {
        let items = document.read_array(value, "`telegram.quorum`");
        quorums.extend(items.iter().filter_map(|item| read_quorum(document, item, &deciders, servers)));
    }
    Some(DeciderGroup { chat: chat?, deciders })
}

/// Reads a group's id. Telegram's group ids are negative, those of private chats aren't.
fn read_chat<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>) -> Option<i64> {
    let id = match value {
        Value::NumberLit(number) => number.value.parse().ok().filter(|id| *id < 0),
        _ => None,
    };
    if id.is_none() {
        let hint = "write /whoami in the group to know it; variables do not count here";
        let message = "`telegram.chat` must be a group's id, which is a negative whole number";
        document.add_error(value.start(), message.into(), Some(hint.into()));
    }
    id
}

/// Reads user ids, each at most once.
fn read_users<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>, what: &str) -> Vec<u64> {
    let items = document.read_array(value, what);
    if matches!(value, Value::Array(_)) && !(1..=MAX_DECIDERS).contains(&items.len()) {
        document.add_error(value.start(), format!("{what} must name 1 to {MAX_DECIDERS} users"), None);
    }
    let mut first = HashMap::new();
    let mut people = Vec::with_capacity(items.len());
    for item in items {
        let Some(id) = document.read_number(Some(item), &format!("each entry of {what}"), 1) else {
            continue;
        };
        match first.insert(id, item.start()) {
            None => people.push(id),
            Some(before) => {
                let (line, column) = document.line_and_column(before);
                let hint = format!("the first one is at portero.json:{line}:{column}");
                document.add_error(item.start(), format!("a user appears twice in {what}"), Some(hint));
            }
        }
    }
    people
}

fn read_quorum<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    deciders: &[u64],
    servers: Option<&[ServerName]>,
) -> Option<Quorum> {
    let members = document.read_object(value, "each entry of `telegram.quorum`", &[fields::QUORUM])?;
    for name in ["tools", "approvals"] {
        if members.get(name).is_none() {
            document.add_error(members.at, format!("an entry of `telegram.quorum` has no `{name}`"), None);
        }
    }
    let listed = document.read_strings(members.get("tools"), "`telegram.quorum.tools`");
    if let (Some(value), Some([])) = (members.get("tools"), listed.as_deref()) {
        let hint = "such as [\"stripe/*\"]";
        document.add_error(value.start(), "`telegram.quorum.tools` names no tool".into(), Some(hint.into()));
    }
    let mut tools = Vec::new();
    for (at, text) in listed.unwrap_or_default() {
        tools.extend(read_pattern(document, at, text, servers));
    }
    let of = members
        .get("of")
        .map_or_else(|| deciders.to_vec(), |value| read_quorum_users(document, value, deciders));
    let value = members.get("approvals")?;
    let approvals = document.read_number(Some(value), "`telegram.quorum.approvals`", MIN_QUORUM_APPROVALS)?;
    let approvals = usize::try_from(approvals).unwrap_or(usize::MAX);
    if approvals > of.len() {
        let message = format!("so many can never approve: `of` and `deciders` name {}", of.len());
        let hint = "lower `approvals`, or name more users";
        document.add_error(value.start(), message, Some(hint.into()));
    }
    let (line, column) = document.line_and_column(members.at);
    Some(Quorum { tools, approvals, of, source: DecisionSource::Quorum { line, column } })
}

/// Reads the deciders whose approvals count.
fn read_quorum_users<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>, deciders: &[u64]) -> Vec<u64> {
    let people = read_users(document, value, "`telegram.quorum.of`");
    if people.iter().any(|user| !deciders.contains(user)) {
        let hint = "only the people in `telegram.deciders` decide anything";
        let message = "`telegram.quorum.of` names a user who is no decider";
        document.add_error(value.start(), message.into(), Some(hint.into()));
    }
    people
}

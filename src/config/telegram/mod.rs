//! `telegram` in `portero.json`: the bot, the people who decide, and their notices.

mod address;
mod group;

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{CheckedMembers, ConfigDocument, join_quoted, nearest_word};
use super::fields;
use super::types::{NoticeLevel, NoticeSettings, QuietHours, TelegramSettings};
use super::variables::Variables;
use crate::names::ServerName;
use crate::policy::Quorum;

/// The variables that name a bot and its person without a section in the file.
const TOKEN_VARIABLE: &str = "TELEGRAM_BOT_TOKEN";
const ADMIN_VARIABLE: &str = "TELEGRAM_ADMIN_CHAT_ID";
/// The shortest time for gathering notices.
const MIN_NOTICE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn read_telegram<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
    quorums: &mut Vec<Quorum>,
) -> Option<TelegramSettings> {
    let token = match members.get("token") {
        Some(value) => document.read_expanded_complete(value, "`telegram.token`", variables),
        None => {
            document.add_error(members.at, "`telegram` has no `token`".into(), None);
            None
        }
    };
    // The agent may start a daemon, and then chooses its environment. So the deciders and the Bot API's
    // address come from the files alone.
    let files = variables.without_environment();
    let admin = match members.get("admin") {
        Some(value) => read_admin(document, value, &files),
        None => admin_from_variables(document, variables),
    };
    let api_url = members.get("apiUrl").and_then(|value| address::read_api_url(document, value, &files));
    let notices = members.get("notices").map(|value| read_notices(document, value)).unwrap_or_default();
    let group = group::read_group(document, members, admin, servers, quorums);
    Some(TelegramSettings { token: token?.text, admin, group, api_url, notices })
}

fn read_notices<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>) -> NoticeSettings {
    let mut notices = NoticeSettings::default();
    let Some(members) = document.read_object(value, "`telegram.notices`", &[fields::NOTICES]) else {
        return notices;
    };
    notices.interval =
        document.read_duration(members.get("every"), "`telegram.notices.every`", notices.interval);
    if notices.interval < MIN_NOTICE_INTERVAL {
        document.add_error(members.at, "`telegram.notices.every` must be at least 1s".into(), None);
    }
    if let Some(level) = members.get("level") {
        notices.level =
            read_notice_level(document, level, "`telegram.notices.level`").unwrap_or(notices.level);
    }
    let servers =
        members.get("servers").and_then(|value| document.read_map(value, "`telegram.notices.servers`"));
    for (name, (at, value)) in servers.into_iter().flatten() {
        match name.parse() {
            Ok(server) => {
                if let Some(level) =
                    read_notice_level(document, value, "each entry of `telegram.notices.servers`")
                {
                    notices.servers.insert(server, level);
                }
            }
            Err(error) => document.add_error(at, format!("`telegram.notices.servers`: {error}"), None),
        }
    }
    notices.quiet = members.get("quiet").and_then(|value| read_quiet_hours(document, value));
    notices
}

fn read_notice_level<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
) -> Option<NoticeLevel> {
    let word = document.read_string(value, what)?;
    let known = NoticeLevel::ALL.into_iter().find(|level| level.as_str() == word);
    if known.is_none() {
        let words = NoticeLevel::ALL.map(NoticeLevel::as_str);
        let hint = match nearest_word(word, words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the levels are {}", join_quoted(words)),
        };
        document.add_error(value.start(), format!("{what}: unknown level"), Some(hint));
    }
    known
}

fn read_quiet_hours<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>) -> Option<QuietHours> {
    let members = document.read_object(value, "`telegram.notices.quiet`", &[fields::QUIET])?;
    let mut time = |name: &str| {
        let what = format!("`telegram.notices.quiet.{name}`");
        let Some(value) = members.get(name) else {
            document.add_error(members.at, format!("{what} is missing"), None);
            return None;
        };
        let text = document.read_string(value, &what)?;
        // `strptime` also accepts `7:5`, which may be a typing error.
        let time = (text.len() == 5).then(|| Time::strptime("%H:%M", text).ok()).flatten();
        if time.is_none() {
            document.add_error(value.start(), format!("{what} is written like 07:30"), None);
        }
        time
    };
    let (from, to) = (time("from"), time("to"));
    let zone = members.get("zone").and_then(|value| {
        let zone = TimeZone::get(document.read_string(value, "`telegram.notices.quiet.zone`")?).ok();
        if zone.is_none() {
            let hint = "such as Europe/Zurich or UTC";
            let message = "`telegram.notices.quiet.zone` is no time zone that is known here";
            document.add_error(value.start(), message.into(), Some(hint.into()));
        }
        zone
    });
    Some(QuietHours { from: from?, to: to?, zone })
}

/// A bot that only variables name, without a section in the file.
pub(super) fn telegram_from_variables(
    document: &mut ConfigDocument<'_>,
    variables: &Variables<'_>,
) -> Option<TelegramSettings> {
    let token = variables.non_empty(TOKEN_VARIABLE)?;
    Some(TelegramSettings {
        token,
        admin: admin_from_variables(document, variables),
        group: None,
        api_url: None,
        notices: NoticeSettings::default(),
    })
}

fn admin_from_variables(document: &mut ConfigDocument<'_>, variables: &Variables<'_>) -> Option<u64> {
    let Some(text) = variables.without_environment().non_empty(ADMIN_VARIABLE) else {
        if variables.non_empty(ADMIN_VARIABLE).is_some() {
            let hint = "put it into .env: the process that starts Portero chooses the environment, and may be the agent's";
            document.add_warning(
                0,
                format!("{ADMIN_VARIABLE} does not count in the environment"),
                Some(hint.into()),
            );
        }
        return None;
    };
    let id = text.expose().trim().parse().ok().filter(|id| *id > 0);
    if id.is_none() {
        let hint =
            "send the bot /whoami in a private chat; a group is named by `telegram.chat` in portero.json";
        document.add_error(0, format!("{ADMIN_VARIABLE} in .env must be a user's id"), Some(hint.into()));
    }
    id
}

/// Reads a user's id, as a number, or as a text with a variable.
fn read_admin<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    variables: &Variables<'_>,
) -> Option<u64> {
    const ADMIN_FIELD: &str = "`telegram.admin`";
    if let Value::StringLit(_) = value {
        let text = document.read_expanded_complete(value, ADMIN_FIELD, variables)?;
        let id = text.text.expose().parse().ok().filter(|id| *id > 0);
        if id.is_none() {
            document.add_error(
                value.start(),
                format!("{ADMIN_FIELD} must be a user's id, which is a number"),
                None,
            );
        }
        return id;
    }
    document.read_number(Some(value), ADMIN_FIELD, 1)
}

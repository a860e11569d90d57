//! `telegram` of `portero.json`: the bot, who decides, and what is told there.

mod address;
mod group;

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{Document, Members, list, nearest};
use super::fields;
use super::types::{NoticeLevel, Notices, Quiet, Telegram};
use super::variables::Variables;
use crate::names::ServerName;
use crate::policy::Quorum;

/// The variables that name a bot and its person without a section in the file.
const TOKEN: &str = "TELEGRAM_BOT_TOKEN";
const ADMIN: &str = "TELEGRAM_ADMIN_CHAT_ID";
/// The shortest time that notices are gathered.
const NOTICES_LEAST: Duration = Duration::from_secs(1);

pub(super) fn read<'a>(
    document: &mut Document<'a>,
    members: &Members<'_, 'a>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
    quorums: &mut Vec<Quorum>,
) -> Option<Telegram> {
    let token = match members.get("token") {
        Some(value) => document.whole_text(value, "`telegram.token`", variables),
        None => {
            document.error(members.at, "`telegram` has no `token`".into(), None);
            None
        }
    };
    // Who starts a daemon chooses its environment, and that may be the agent: who decides, and who speaks for
    // the bot, stands in the files alone.
    let files = variables.of_the_file();
    let admin = match members.get("admin") {
        Some(value) => admin(document, value, &files),
        None => admin_of_variables(document, variables),
    };
    let api_url = members.get("apiUrl").and_then(|value| address::read(document, value, &files));
    let notices = members.get("notices").map(|value| notices(document, value)).unwrap_or_default();
    let group = group::read(document, members, admin, servers, quorums);
    Some(Telegram { token: token?.text, admin, group, api_url, notices })
}

fn notices<'a>(document: &mut Document<'a>, value: &Value<'a>) -> Notices {
    let mut notices = Notices::default();
    let Some(members) = document.object(value, "`telegram.notices`", &[fields::NOTICES]) else {
        return notices;
    };
    notices.every = document.duration(members.get("every"), "`telegram.notices.every`", notices.every);
    if notices.every < NOTICES_LEAST {
        document.error(members.at, "`telegram.notices.every` must be at least 1s".into(), None);
    }
    if let Some(level) = members.get("level") {
        notices.level = notice_level(document, level, "`telegram.notices.level`").unwrap_or(notices.level);
    }
    let servers = members.get("servers").and_then(|value| document.map(value, "`telegram.notices.servers`"));
    for (name, (at, value)) in servers.into_iter().flatten() {
        match name.parse() {
            Ok(server) => {
                if let Some(level) = notice_level(document, value, "each entry of `telegram.notices.servers`")
                {
                    notices.servers.insert(server, level);
                }
            }
            Err(error) => document.error(at, format!("`telegram.notices.servers`: {error}"), None),
        }
    }
    notices.quiet = members.get("quiet").and_then(|value| quiet(document, value));
    notices
}

fn notice_level<'a>(document: &mut Document<'a>, value: &Value<'a>, what: &str) -> Option<NoticeLevel> {
    let word = document.string(value, what)?;
    let known = NoticeLevel::ALL.into_iter().find(|level| level.as_str() == word);
    if known.is_none() {
        let words = NoticeLevel::ALL.map(NoticeLevel::as_str);
        let hint = match nearest(word, words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the levels are {}", list(words)),
        };
        document.error(value.start(), format!("{what}: unknown level"), Some(hint));
    }
    known
}

fn quiet<'a>(document: &mut Document<'a>, value: &Value<'a>) -> Option<Quiet> {
    let members = document.object(value, "`telegram.notices.quiet`", &[fields::QUIET])?;
    let mut time = |name: &str| {
        let what = format!("`telegram.notices.quiet.{name}`");
        let Some(value) = members.get(name) else {
            document.error(members.at, format!("{what} is missing"), None);
            return None;
        };
        let text = document.string(value, &what)?;
        let time = (text.len() == 5).then(|| Time::strptime("%H:%M", text).ok()).flatten();
        if time.is_none() {
            document.error(value.start(), format!("{what} is written like 07:30"), None);
        }
        time
    };
    let (from, to) = (time("from"), time("to"));
    let zone = members.get("zone").and_then(|value| {
        let zone = TimeZone::get(document.string(value, "`telegram.notices.quiet.zone`")?).ok();
        if zone.is_none() {
            let hint = "such as Europe/Zurich or UTC";
            let message = "`telegram.notices.quiet.zone` is no time zone that is known here";
            document.error(value.start(), message.into(), Some(hint.into()));
        }
        zone
    });
    Some(Quiet { from: from?, to: to?, zone })
}

/// A bot that only variables name, without a section in the file.
pub(super) fn of_variables(document: &mut Document<'_>, variables: &Variables<'_>) -> Option<Telegram> {
    let token = variables.set(TOKEN)?;
    Some(Telegram {
        token,
        admin: admin_of_variables(document, variables),
        group: None,
        api_url: None,
        notices: Notices::default(),
    })
}

fn admin_of_variables(document: &mut Document<'_>, variables: &Variables<'_>) -> Option<u64> {
    let Some(text) = variables.of_the_file().set(ADMIN) else {
        if variables.set(ADMIN).is_some() {
            let hint =
                "put it into .env: whoever starts Portero chooses the environment, and may be the agent";
            document.warn(0, format!("{ADMIN} does not count in the environment"), Some(hint.into()));
        }
        return None;
    };
    let id = text.expose().trim().parse().ok().filter(|id| *id > 0);
    if id.is_none() {
        let hint =
            "send the bot /whoami in a private chat; a group is named by `telegram.chat` in portero.json";
        document.error(0, format!("{ADMIN} in .env must be a user's id"), Some(hint.into()));
    }
    id
}

/// A user's id, as a number or, for a variable, as a text.
fn admin<'a>(document: &mut Document<'a>, value: &Value<'a>, variables: &Variables<'_>) -> Option<u64> {
    const WHAT: &str = "`telegram.admin`";
    if let Value::StringLit(_) = value {
        let text = document.whole_text(value, WHAT, variables)?;
        let id = text.text.expose().parse().ok().filter(|id| *id > 0);
        if id.is_none() {
            document.error(value.start(), format!("{WHAT} must be a user's id, which is a number"), None);
        }
        return id;
    }
    document.number(Some(value), WHAT, 1)
}

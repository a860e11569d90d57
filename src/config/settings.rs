//! `portero.json`: approvals, limits, logging, Telegram, HTTPS. Every field has a sensible default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{Document, Members, list, nearest};
use super::fields;
use super::types::{Approvals, Audit, Https, Limits, NoticeLevel, Notices, Quiet, Settings, Telegram};
use super::variables::Variables;

/// The smallest file of the audit: smaller ones would be more files than records are worth.
const SEGMENT_LEAST: u64 = 64 << 10;
/// The least that the audit is kept. Whoever may edit this file cannot so make the last days vanish.
const KEEP_LEAST: Duration = Duration::from_secs(7 * 86_400);
/// The word for keeping it for good.
const FOREVER: &str = "forever";
/// The variables that name a bot and its person without a section in the file.
const TOKEN: &str = "TELEGRAM_BOT_TOKEN";
const ADMIN: &str = "TELEGRAM_ADMIN_CHAT_ID";
/// The shortest time that notices are gathered.
const NOTICES_LEAST: Duration = Duration::from_secs(1);
/// The smallest limit of a message that leaves room for a tool's description.
const MESSAGE_LEAST: u64 = 64 << 10;

pub(super) fn read<'a>(
    document: &mut Document<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
) -> Settings {
    let mut settings =
        Settings { telegram: telegram_of_variables(document, variables), ..Settings::default() };
    let Some(root) = root else { return settings };
    let Some(file) = document.object(root, "portero.json", &[fields::PORTERO]) else { return settings };
    let mut section = |name: &str, known: &[&str]| {
        let what = format!("`{name}`");
        file.get(name).and_then(|value| document.object(value, &what, &[known]))
    };
    let sections = [
        section("approvals", fields::APPROVALS),
        section("limits", fields::LIMITS),
        section("audit", fields::AUDIT),
        section("logging", fields::LOGGING),
        section("telegram", fields::TELEGRAM),
        section("https", fields::HTTPS),
    ];
    let [approving, limiting, auditing, logging, telegram, https] = sections;
    if let Some(members) = approving {
        settings.approvals = approvals(document, &members);
    }
    if let Some(members) = limiting {
        settings.limits = limits(document, &members);
    }
    if let Some(members) = auditing {
        settings.audit = audit(document, &members);
    }
    settings.log = logging.and_then(|members| level(document, members.get("level")?));
    if let Some(members) = telegram {
        settings.telegram = self::telegram(document, &members, variables);
    }
    settings.https = https.and_then(|members| self::https(document, &members, variables));
    settings
}

fn approvals<'a>(document: &mut Document<'a>, members: &Members<'_, 'a>) -> Approvals {
    let default = Approvals::default();
    let mut most = |name: &str, default: u32| {
        let most = document.number(members.get(name), &format!("`approvals.{name}`"), 1);
        most.map_or(default, |most| u32::try_from(most).unwrap_or(u32::MAX))
    };
    let pending_most = most("pendingMost", default.pending_most);
    let pending_most_of_project = most("pendingMostOfProject", default.pending_most_of_project);
    let pending_most_in_all = most("pendingMostInAll", default.pending_most_in_all);
    let result = document.number(members.get("resultBytes"), "`approvals.resultBytes`", 1 << 10);
    let cool_down = match members.get("coolDown") {
        Some(Value::StringLit(text)) if text.value == "0" => Duration::ZERO,
        value => document.duration(value, "`approvals.coolDown`", default.cool_down),
    };
    Approvals {
        pending: document.duration(members.get("pending"), "`approvals.pending`", default.pending),
        start: document.duration(members.get("start"), "`approvals.start`", default.start),
        keep: document.duration(members.get("keep"), "`approvals.keep`", default.keep),
        grant_most: document.duration(members.get("grantMost"), "`approvals.grantMost`", default.grant_most),
        result_bytes: result.map_or(default.result_bytes, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        cool_down,
        pending_most,
        pending_most_of_project,
        pending_most_in_all,
    }
}

fn limits<'a>(document: &mut Document<'a>, members: &Members<'_, 'a>) -> Limits {
    let default = Limits::default();
    let message = document.number(members.get("messageBytes"), "`limits.messageBytes`", MESSAGE_LEAST);
    let log = document.number(members.get("serverLogBytes"), "`limits.serverLogBytes`", 1 << 10);
    Limits {
        start: document.duration(members.get("start"), "`limits.start`", default.start),
        request: document.duration(members.get("request"), "`limits.request`", default.request),
        list_wait: document.duration(members.get("listWait"), "`limits.listWait`", default.list_wait),
        message_bytes: message
            .map_or(default.message_bytes, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        server_log_bytes: log.unwrap_or(default.server_log_bytes),
    }
}

fn audit<'a>(document: &mut Document<'a>, members: &Members<'_, 'a>) -> Audit {
    let default = Audit::default();
    let bytes = document.number(members.get("segmentBytes"), "`audit.segmentBytes`", SEGMENT_LEAST);
    Audit {
        segment_bytes: bytes.unwrap_or(default.segment_bytes),
        keep: members.get("keep").map_or(default.keep, |value| audit_keep(document, value)),
    }
}

fn audit_keep<'a>(document: &mut Document<'a>, value: &Value<'a>) -> Option<Duration> {
    if matches!(value, Value::StringLit(word) if word.value == FOREVER) {
        return None;
    }
    let keep = document.duration(Some(value), "`audit.keep`", KEEP_LEAST);
    if keep < KEEP_LEAST {
        let hint = format!("such as \"90d\", \"365d\" or \"{FOREVER}\"");
        document.error(value.start(), "`audit.keep` must be at least 7d".into(), Some(hint));
    }
    Some(keep)
}

fn level<'a>(document: &mut Document<'a>, value: &Value<'a>) -> Option<String> {
    let word = document.string(value, "`logging.level`")?;
    if fields::LEVELS.contains(&word) {
        return Some(word.to_owned());
    }
    let hint = match nearest(word, fields::LEVELS.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the levels are {}", list(fields::LEVELS)),
    };
    document.error(value.start(), "`logging.level`: unknown level".into(), Some(hint));
    None
}

fn telegram<'a>(
    document: &mut Document<'a>,
    members: &Members<'_, 'a>,
    variables: &Variables<'_>,
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
    let api_url = members.get("apiUrl").and_then(|value| {
        let url = document.whole_text(value, "`telegram.apiUrl`", &files)?.text.expose().to_owned();
        let is_url = url.starts_with("https://") || url.starts_with("http://");
        if !is_url {
            let message = "`telegram.apiUrl` must begin with https:// or http://";
            document.error(value.start(), message.into(), None);
        }
        is_url.then_some(url)
    });
    let notices = members.get("notices").map(|value| notices(document, value)).unwrap_or_default();
    Some(Telegram { token: token?.text, admin, api_url, notices })
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
fn telegram_of_variables(document: &mut Document<'_>, variables: &Variables<'_>) -> Option<Telegram> {
    let token = variables.set(TOKEN)?;
    Some(Telegram {
        token,
        admin: admin_of_variables(document, variables),
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
        let hint = "send the bot /whoami in a private chat; groups are not asked";
        document.error(0, format!("{ADMIN} in .env must be a user's id"), Some(hint.into()));
    }
    id
}

fn https<'a>(
    document: &mut Document<'a>,
    members: &Members<'_, 'a>,
    variables: &Variables<'_>,
) -> Option<Https> {
    const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
    let message = "this version does not listen for HTTPS yet; `https` is read and checked only";
    document.warn(members.at, message.into(), Some("connect agents on stdio with `portero mcp`".into()));
    let Some(value) = members.get("listen") else { return Some(Https { listen: DEFAULT }) };
    let text = document.whole_text(value, "`https.listen`", variables)?;
    let listen = text.text.expose().parse().ok().filter(|listen: &SocketAddr| listen.ip().is_loopback());
    if listen.is_none() {
        let message = "`https.listen` must be a loopback address with a port";
        document.error(value.start(), message.into(), Some(format!("such as \"{DEFAULT}\"")));
    }
    Some(Https { listen: listen? })
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

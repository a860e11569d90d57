//! `portero.json`: approvals, limits, logging, Telegram, HTTPS. Every field has a sensible default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{Document, Members, list, nearest};
use super::fields;
use super::telegram;
use super::types::{Approvals, Audit, Https, Limits, Settings};
use super::variables::Variables;
use crate::names::ServerName;
use crate::policy::Quorum;

/// The smallest file of the audit: smaller ones would be more files than records are worth.
const SEGMENT_LEAST: u64 = 64 << 10;
/// The least that the audit is kept. Whoever may edit this file cannot so make the last days vanish.
const KEEP_LEAST: Duration = Duration::from_secs(7 * 86_400);
/// The word for keeping it for good.
const FOREVER: &str = "forever";
/// The smallest limit of a message that leaves room for a tool's description.
const MESSAGE_LEAST: u64 = 64 << 10;

/// What several people must approve goes to `quorums`: it is policy.
pub(super) fn read<'a>(
    document: &mut Document<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
    quorums: &mut Vec<Quorum>,
) -> Settings {
    let mut settings =
        Settings { telegram: telegram::of_variables(document, variables), ..Settings::default() };
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
    let [approving, limiting, auditing, logging, telegramming, https] = sections;
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
    if let Some(members) = telegramming {
        settings.telegram = telegram::read(document, &members, variables, servers, quorums);
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

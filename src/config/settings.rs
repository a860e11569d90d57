//! `portero.json`: approvals, limits, logging, Telegram, HTTPS. Every field has a default.

use std::path::Path;
use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{CheckedMembers, ConfigDocument, join_quoted, nearest_word};
use super::duration::format_duration;
use super::fields;
use super::https;
use super::telegram;
use super::types::{ApprovalSettings, AuditSettings, CredentialSettings, KeyringUse, ServerLimits, Settings};
use super::variables::Variables;
use crate::names::ServerName;
use crate::policy::Quorum;

/// The smallest segment of the audit. Smaller ones would only make too many files.
const MIN_SEGMENT_BYTES: u64 = 64 << 10;
/// The shortest retention of the audit, so that an edit of this file can't make the last days vanish.
const MIN_AUDIT_RETENTION: Duration = Duration::from_secs(7 * 86_400);
/// The word for a retention without end.
const KEEP_FOREVER: &str = "forever";
/// The word for a keyring that is used where there is one.
const KEYRING_AUTO: &str = "auto";
/// The smallest limit for messages, which leaves room for a tool's description.
const MIN_MESSAGE_BYTES: u64 = 64 << 10;

/// Reads the settings. Quorums are policy, so they go to `quorums`.
pub(super) fn read_settings<'a>(
    document: &mut ConfigDocument<'a>,
    root: Option<&Value<'a>>,
    (variables, directory): (&Variables<'_>, &Path),
    servers: Option<&[ServerName]>,
    quorums: &mut Vec<Quorum>,
) -> Settings {
    let mut settings =
        Settings { telegram: telegram::telegram_from_variables(document, variables), ..Settings::default() };
    let file = root.and_then(|root| document.read_object(root, "portero.json", &[fields::PORTERO]));
    if file.as_ref().and_then(|file| file.get("https")).is_none() {
        settings.set_https(https::https_from_variables(document, variables, directory));
    }
    let Some(file) = file else { return settings };
    let mut section = |name: &str, known: &[&str]| {
        let what = format!("`{name}`");
        file.get(name).and_then(|value| document.read_object(value, &what, &[known]))
    };
    let sections = [
        section("approvals", fields::APPROVALS),
        section("limits", fields::LIMITS),
        section("audit", fields::AUDIT),
        section("logging", fields::LOGGING),
        section("credentials", fields::CREDENTIALS),
        section("telegram", fields::TELEGRAM),
        section("https", fields::HTTPS),
    ];
    let [approving, limiting, auditing, logging, credentials, telegramming, https] = sections;
    if let Some(members) = approving {
        settings.approvals = read_approvals(document, &members);
    }
    if let Some(members) = limiting {
        settings.limits = read_limits(document, &members);
    }
    if let Some(members) = auditing {
        settings.audit = read_audit(document, &members);
    }
    settings.log_level = logging.and_then(|members| read_log_level(document, members.get("level")?));
    if let Some(value) = credentials.and_then(|members| members.get("keyring")) {
        settings.credentials = CredentialSettings { keyring: read_keyring_use(document, value) };
    }
    if let Some(members) = telegramming {
        settings.telegram = telegram::read_telegram(document, &members, variables, servers, quorums);
    }
    if let Some(members) = https {
        settings.set_https(https::read_https(document, &members, variables, directory));
    }
    settings
}

impl Settings {
    fn set_https(&mut self, parsed: https::ParsedHttps) {
        (self.https, self.closed_https) = match parsed {
            None => (None, None),
            Some(Ok(settings)) => (Some(settings), None),
            Some(Err(closed)) => (None, Some(closed)),
        };
    }
}

fn read_approvals<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
) -> ApprovalSettings {
    let default = ApprovalSettings::default();
    let mut most = |name: &str, default: u32| {
        let most = document.read_number(members.get(name), &format!("`approvals.{name}`"), 1);
        most.map_or(default, |most| u32::try_from(most).unwrap_or(u32::MAX))
    };
    let pending_most = most("pendingMost", default.max_pending_per_session);
    let pending_most_of_project = most("pendingMostOfProject", default.max_pending_per_project);
    let pending_most_in_all = most("pendingMostInAll", default.max_pending_total);
    let result = document.read_number(members.get("resultBytes"), "`approvals.resultBytes`", 1 << 10);
    // These durations may be zero, which turns them off.
    let mut zero_or = |name: &str, default| match members.get(name) {
        Some(Value::StringLit(text)) if text.value == "0" => Duration::ZERO,
        value => document.read_duration(value, &format!("`approvals.{name}`"), default),
    };
    let (cool_down, hold) = (zero_or("coolDown", default.deny_cooldown), zero_or("hold", default.hold));
    let remember = zero_or("remember", default.remember);
    for (name, is, most, hint) in [
        (
            "hold",
            hold,
            ApprovalSettings::MAX_HOLD,
            "\"30s\" to \"1m\" is sensible; the agent fetches later what is decided later",
        ),
        (
            "remember",
            remember,
            ApprovalSettings::MAX_REMEMBER,
            "after that the passphrase is typed again; \"0\" remembers nothing",
        ),
    ] {
        if let Some(value) = members.get(name).filter(|_| is > most) {
            let message = format!("`approvals.{name}` must be at most {}", format_duration(most));
            document.add_error(value.start(), message, Some(hint.to_owned()));
        }
    }
    ApprovalSettings {
        decision_timeout: document.read_duration(
            members.get("pending"),
            "`approvals.pending`",
            default.decision_timeout,
        ),
        start_timeout: document.read_duration(
            members.get("start"),
            "`approvals.start`",
            default.start_timeout,
        ),
        retention: document.read_duration(members.get("keep"), "`approvals.keep`", default.retention),
        max_grant_duration: document.read_duration(
            members.get("grantMost"),
            "`approvals.grantMost`",
            default.max_grant_duration,
        ),
        max_result_bytes: result
            .map_or(default.max_result_bytes, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        deny_cooldown: cool_down,
        hold,
        remember,
        max_pending_per_session: pending_most,
        max_pending_per_project: pending_most_of_project,
        max_pending_total: pending_most_in_all,
    }
}

fn read_limits<'a>(document: &mut ConfigDocument<'a>, members: &CheckedMembers<'_, 'a>) -> ServerLimits {
    let default = ServerLimits::default();
    let message =
        document.read_number(members.get("messageBytes"), "`limits.messageBytes`", MIN_MESSAGE_BYTES);
    let log = document.read_number(members.get("serverLogBytes"), "`limits.serverLogBytes`", 1 << 10);
    ServerLimits {
        start_timeout: document.read_duration(members.get("start"), "`limits.start`", default.start_timeout),
        request_timeout: document.read_duration(
            members.get("request"),
            "`limits.request`",
            default.request_timeout,
        ),
        list_timeout: document.read_duration(
            members.get("listWait"),
            "`limits.listWait`",
            default.list_timeout,
        ),
        max_message_bytes: message
            .map_or(default.max_message_bytes, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        max_server_log_bytes: log.unwrap_or(default.max_server_log_bytes),
    }
}

fn read_audit<'a>(document: &mut ConfigDocument<'a>, members: &CheckedMembers<'_, 'a>) -> AuditSettings {
    let default = AuditSettings::default();
    let bytes = document.read_number(members.get("segmentBytes"), "`audit.segmentBytes`", MIN_SEGMENT_BYTES);
    AuditSettings {
        max_segment_bytes: bytes.unwrap_or(default.max_segment_bytes),
        retention: members
            .get("keep")
            .map_or(default.retention, |value| read_audit_retention(document, value)),
    }
}

fn read_audit_retention<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>) -> Option<Duration> {
    if matches!(value, Value::StringLit(word) if word.value == KEEP_FOREVER) {
        return None;
    }
    let keep = document.read_duration(Some(value), "`audit.keep`", MIN_AUDIT_RETENTION);
    if keep < MIN_AUDIT_RETENTION {
        let hint = format!("such as \"90d\", \"365d\" or \"{KEEP_FOREVER}\"");
        document.add_error(value.start(), "`audit.keep` must be at least 7d".into(), Some(hint));
    }
    Some(keep)
}

fn read_keyring_use<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>) -> KeyringUse {
    match value {
        Value::BooleanLit(flag) if flag.value => KeyringUse::Required,
        Value::BooleanLit(_) => KeyringUse::Off,
        Value::StringLit(word) if word.value == KEYRING_AUTO => KeyringUse::Auto,
        other => {
            let hint = format!(
                "\"{KEYRING_AUTO}\" uses a keyring where there is one, true keeps nothing without one, false uses none"
            );
            let message = format!("`credentials.keyring` must be \"{KEYRING_AUTO}\", true or false");
            document.add_error(other.start(), message, Some(hint));
            KeyringUse::default()
        }
    }
}

fn read_log_level<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>) -> Option<String> {
    let word = document.read_string(value, "`logging.level`")?;
    if fields::LEVELS.contains(&word) {
        return Some(word.to_owned());
    }
    let hint = match nearest_word(word, fields::LEVELS.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the levels are {}", join_quoted(fields::LEVELS)),
    };
    document.add_error(value.start(), "`logging.level`: unknown level".into(), Some(hint));
    None
}

//! `portero.json`: the stricter of each setting applies. Each new field must be decided here.

use std::fmt::Display;
use std::time::Duration;

use super::{ConfigChanges, SETTINGS_FILE, https, telegram};
use crate::config::duration::format_duration;
use crate::config::{ApprovalSettings, AuditSettings, CredentialSettings, ServerLimits, Settings};

pub(super) fn compare_settings(confirmed: &Settings, changed: &Settings, changes: &mut ConfigChanges) {
    // Destructured completely, here and below, so that a new field doesn't compile until its strict side is
    // decided.
    // A closed endpoint is the same as none: nothing can be reached there.
    let Settings {
        approvals,
        limits,
        audit,
        log_level: log,
        credentials,
        telegram: bot,
        https,
        closed_https: _,
    } = changed;
    compare_approvals(&confirmed.approvals, approvals, changes);
    compare_limits(&confirmed.limits, limits, changes);
    compare_audit(&confirmed.audit, audit, changes);
    if confirmed.log_level != *log {
        changes.push_change(false, SETTINGS_FILE, "logging.level is another one".to_owned());
    }
    let (was, is) = (confirmed.credentials.keyring, credentials.keyring);
    if was != is {
        let words = format!("credentials.keyring {} → {}", was.as_str(), is.as_str());
        changes.push_change(is < was, SETTINGS_FILE, words);
    }
    telegram::compare_telegram(confirmed.telegram.as_ref(), bot.as_ref(), changes);
    https::compare_https(confirmed.https.as_ref(), https.as_ref(), changes);
}

/// The stricter of each setting.
pub(super) fn effective_settings(confirmed: &Settings, changed: &Settings) -> Settings {
    let Settings {
        approvals,
        limits,
        audit,
        log_level: log,
        credentials,
        telegram: bot,
        https,
        closed_https,
    } = changed;
    let ApprovalSettings {
        decision_timeout: pending,
        start_timeout: start,
        max_grant_duration: grant_most,
        retention: keep,
        deny_cooldown: cool_down,
        hold,
        remember,
        max_pending_per_session: pending_most,
        max_pending_per_project: pending_most_of_project,
        max_pending_total: pending_most_in_all,
        max_result_bytes: result_bytes,
    } = approvals;
    let ServerLimits {
        start_timeout: starting,
        request_timeout: request,
        list_timeout: list_wait,
        max_message_bytes: message_bytes,
        max_server_log_bytes: server_log_bytes,
    } = limits;
    let (known, limited) = (&confirmed.approvals, &confirmed.limits);
    Settings {
        approvals: ApprovalSettings {
            decision_timeout: known.decision_timeout.min(*pending),
            start_timeout: known.start_timeout.min(*start),
            max_grant_duration: known.max_grant_duration.min(*grant_most),
            retention: known.retention.max(*keep),
            deny_cooldown: known.deny_cooldown.max(*cool_down),
            // It only says when the agent gets which answer.
            hold: *hold,
            remember: known.remember.min(*remember),
            max_pending_per_session: known.max_pending_per_session.min(*pending_most),
            max_pending_per_project: known.max_pending_per_project.min(*pending_most_of_project),
            max_pending_total: known.max_pending_total.min(*pending_most_in_all),
            max_result_bytes: known.max_result_bytes.min(*result_bytes),
        },
        limits: ServerLimits {
            start_timeout: limited.start_timeout.min(*starting),
            request_timeout: limited.request_timeout.min(*request),
            list_timeout: limited.list_timeout.min(*list_wait),
            max_message_bytes: limited.max_message_bytes.min(*message_bytes),
            max_server_log_bytes: limited.max_server_log_bytes.min(*server_log_bytes),
        },
        audit: AuditSettings {
            // A changed segment size waits for confirmation, so the confirmed one stays.
            max_segment_bytes: confirmed.audit.max_segment_bytes,
            retention: longer_retention(confirmed.audit.retention, audit.retention),
        },
        log_level: log.clone(),
        credentials: CredentialSettings { keyring: confirmed.credentials.keyring.max(credentials.keyring) },
        telegram: telegram::effective_telegram(confirmed.telegram.as_ref(), bot.as_ref()),
        https: https::effective_https(confirmed.https.as_ref(), https.as_ref()),
        closed_https: closed_https.clone(),
    }
}

fn compare_approvals(confirmed: &ApprovalSettings, changed: &ApprovalSettings, changes: &mut ConfigChanges) {
    let ApprovalSettings {
        decision_timeout: pending,
        start_timeout: start,
        max_grant_duration: grant_most,
        retention: keep,
        deny_cooldown: cool_down,
        hold,
        remember,
        max_pending_per_session: pending_most,
        max_pending_per_project: pending_most_of_project,
        max_pending_total: pending_most_in_all,
        max_result_bytes: result_bytes,
    } = changed;
    for (name, was, is) in [
        ("pending", confirmed.decision_timeout, *pending),
        ("start", confirmed.start_timeout, *start),
        ("grantMost", confirmed.max_grant_duration, *grant_most),
        ("remember", confirmed.remember, *remember),
    ] {
        compare_duration(&format!("approvals.{name}"), was, is, changes);
    }
    // Shortening the retention or the deny cool-down counts as widening.
    for (name, was, is) in
        [("keep", confirmed.retention, *keep), ("coolDown", confirmed.deny_cooldown, *cool_down)]
    {
        if was != is {
            changes.push_change(
                is < was,
                SETTINGS_FILE,
                format!("approvals.{name} {} → {}", format_duration(was), format_duration(is)),
            );
        }
    }
    if confirmed.hold != *hold {
        let words =
            format!("approvals.hold {} → {}", format_duration(confirmed.hold), format_duration(*hold));
        changes.push_change(false, SETTINGS_FILE, words);
    }
    compare_maximum("approvals.pendingMost", confirmed.max_pending_per_session, *pending_most, changes);
    let (was, is) = (confirmed.max_pending_per_project, *pending_most_of_project);
    compare_maximum("approvals.pendingMostOfProject", was, is, changes);
    compare_maximum("approvals.pendingMostInAll", confirmed.max_pending_total, *pending_most_in_all, changes);
    compare_maximum("approvals.resultBytes", confirmed.max_result_bytes, *result_bytes, changes);
}

fn compare_limits(confirmed: &ServerLimits, changed: &ServerLimits, changes: &mut ConfigChanges) {
    let ServerLimits {
        start_timeout: start,
        request_timeout: request,
        list_timeout: list_wait,
        max_message_bytes: message_bytes,
        max_server_log_bytes: server_log_bytes,
    } = changed;
    compare_duration("limits.start", confirmed.start_timeout, *start, changes);
    compare_duration("limits.request", confirmed.request_timeout, *request, changes);
    compare_duration("limits.listWait", confirmed.list_timeout, *list_wait, changes);
    compare_maximum("limits.messageBytes", confirmed.max_message_bytes, *message_bytes, changes);
    compare_maximum("limits.serverLogBytes", confirmed.max_server_log_bytes, *server_log_bytes, changes);
}

/// Compares how long the audit is kept. A shorter retention widens, and so do other segments, which may let
/// records go a little sooner.
fn compare_audit(confirmed: &AuditSettings, changed: &AuditSettings, changes: &mut ConfigChanges) {
    let AuditSettings { max_segment_bytes: segment_bytes, retention: keep } = changed;
    let words = |keep: Option<Duration>| keep.map_or_else(|| "for good".to_owned(), format_duration);
    if confirmed.retention != *keep {
        let is_shorter = longer_retention(confirmed.retention, *keep) != *keep;
        changes.push_change(
            is_shorter,
            SETTINGS_FILE,
            format!("audit.keep {} → {}", words(confirmed.retention), words(*keep)),
        );
    }
    if confirmed.max_segment_bytes != *segment_bytes {
        let words = format!("audit.segmentBytes {} → {segment_bytes}", confirmed.max_segment_bytes);
        changes.push_change(true, SETTINGS_FILE, words);
    }
}

/// The longer of two retentions; `None` means for good.
fn longer_retention(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.zip(other).map(|(one, other)| one.max(other))
}

fn compare_duration(name: &str, was: Duration, is: Duration, changes: &mut ConfigChanges) {
    if was != is {
        changes.push_change(
            is > was,
            SETTINGS_FILE,
            format!("{name} {} → {}", format_duration(was), format_duration(is)),
        );
    }
}

fn compare_maximum<T: PartialOrd + Display>(name: &str, was: T, is: T, changes: &mut ConfigChanges) {
    if was != is {
        changes.push_change(is > was, SETTINGS_FILE, format!("{name} {was} → {is}"));
    }
}

//! `portero.json`: the stricter of each limit holds. Who adds a field decides here what widens it.

use std::fmt::Display;
use std::time::Duration;

use super::{Changes, telegram};
use crate::config::duration::show;
use crate::config::{Approvals, Audit, Https, Limits, Settings};

pub(super) const FILE: &str = "portero.json";

pub(super) fn compare(confirmed: &Settings, changed: &Settings, changes: &mut Changes) {
    let Settings { approvals, limits, audit, log, telegram: bot, https } = changed;
    compare_approvals(&confirmed.approvals, approvals, changes);
    compare_limits(&confirmed.limits, limits, changes);
    compare_audit(&confirmed.audit, audit, changes);
    if confirmed.log != *log {
        changes.add(false, FILE, "logging.level is another one".to_owned());
    }
    telegram::compare(confirmed.telegram.as_ref(), bot.as_ref(), changes);
    match (&confirmed.https, https) {
        (was, is) if was == is => {}
        (_, None) => changes.add(false, FILE, "https is gone".to_owned()),
        (was, Some(Https { listen })) => {
            let was = was.as_ref().map_or_else(|| "nothing".to_owned(), |was| was.listen.to_string());
            changes.add(true, FILE, format!("https.listen {was} → {listen}"));
        }
    }
}

/// The stricter of each.
pub(super) fn in_force(confirmed: &Settings, changed: &Settings) -> Settings {
    let Settings { approvals, limits, audit, log, telegram: bot, https } = changed;
    let Approvals {
        pending,
        start,
        grant_most,
        keep,
        cool_down,
        pending_most,
        pending_most_of_project,
        pending_most_in_all,
        result_bytes,
    } = approvals;
    let Limits { start: starting, request, list_wait, message_bytes, server_log_bytes } = limits;
    let (known, limited) = (&confirmed.approvals, &confirmed.limits);
    Settings {
        approvals: Approvals {
            pending: known.pending.min(*pending),
            start: known.start.min(*start),
            grant_most: known.grant_most.min(*grant_most),
            keep: known.keep.max(*keep),
            cool_down: known.cool_down.max(*cool_down),
            pending_most: known.pending_most.min(*pending_most),
            pending_most_of_project: known.pending_most_of_project.min(*pending_most_of_project),
            pending_most_in_all: known.pending_most_in_all.min(*pending_most_in_all),
            result_bytes: known.result_bytes.min(*result_bytes),
        },
        limits: Limits {
            start: limited.start.min(*starting),
            request: limited.request.min(*request),
            list_wait: limited.list_wait.min(*list_wait),
            message_bytes: limited.message_bytes.min(*message_bytes),
            server_log_bytes: limited.server_log_bytes.min(*server_log_bytes),
        },
        audit: Audit {
            segment_bytes: confirmed.audit.segment_bytes,
            keep: longer(confirmed.audit.keep, audit.keep),
        },
        log: log.clone(),
        telegram: telegram::in_force(confirmed.telegram.as_ref(), bot.as_ref()),
        // What is gone is gone; what changed goes on as confirmed.
        https: https.as_ref().and(confirmed.https.clone()),
    }
}

fn compare_approvals(confirmed: &Approvals, changed: &Approvals, changes: &mut Changes) {
    let Approvals {
        pending,
        start,
        grant_most,
        keep,
        cool_down,
        pending_most,
        pending_most_of_project,
        pending_most_in_all,
        result_bytes,
    } = changed;
    for (name, was, is) in [
        ("pending", confirmed.pending, *pending),
        ("start", confirmed.start, *start),
        ("grantMost", confirmed.grant_most, *grant_most),
    ] {
        time(&format!("approvals.{name}"), was, is, changes);
    }
    // What is kept shows what happened, and a no holds for as long as it was to hold.
    for (name, was, is) in [("keep", confirmed.keep, *keep), ("coolDown", confirmed.cool_down, *cool_down)] {
        if was != is {
            changes.add(is < was, FILE, format!("approvals.{name} {} → {}", show(was), show(is)));
        }
    }
    most("approvals.pendingMost", confirmed.pending_most, *pending_most, changes);
    let (was, is) = (confirmed.pending_most_of_project, *pending_most_of_project);
    most("approvals.pendingMostOfProject", was, is, changes);
    most("approvals.pendingMostInAll", confirmed.pending_most_in_all, *pending_most_in_all, changes);
    most("approvals.resultBytes", confirmed.result_bytes, *result_bytes, changes);
}

fn compare_limits(confirmed: &Limits, changed: &Limits, changes: &mut Changes) {
    let Limits { start, request, list_wait, message_bytes, server_log_bytes } = changed;
    time("limits.start", confirmed.start, *start, changes);
    time("limits.request", confirmed.request, *request, changes);
    time("limits.listWait", confirmed.list_wait, *list_wait, changes);
    most("limits.messageBytes", confirmed.message_bytes, *message_bytes, changes);
    most("limits.serverLogBytes", confirmed.server_log_bytes, *server_log_bytes, changes);
}

/// A shorter time lets records vanish; so would smaller pieces, a little sooner.
fn compare_audit(confirmed: &Audit, changed: &Audit, changes: &mut Changes) {
    let Audit { segment_bytes, keep } = changed;
    let words = |keep: Option<Duration>| keep.map_or_else(|| "for good".to_owned(), show);
    if confirmed.keep != *keep {
        let is_shorter = longer(confirmed.keep, *keep) != *keep;
        changes.add(is_shorter, FILE, format!("audit.keep {} → {}", words(confirmed.keep), words(*keep)));
    }
    if confirmed.segment_bytes != *segment_bytes {
        let words = format!("audit.segmentBytes {} → {segment_bytes}", confirmed.segment_bytes);
        changes.add(true, FILE, words);
    }
}

/// None is for good.
fn longer(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.zip(other).map(|(one, other)| one.max(other))
}

fn time(name: &str, was: Duration, is: Duration, changes: &mut Changes) {
    if was != is {
        changes.add(is > was, FILE, format!("{name} {} → {}", show(was), show(is)));
    }
}

fn most<T: PartialOrd + Display>(name: &str, was: T, is: T, changes: &mut Changes) {
    if was != is {
        changes.add(is > was, FILE, format!("{name} {was} → {is}"));
    }
}

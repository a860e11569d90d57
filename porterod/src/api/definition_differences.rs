//! How a server's definitions differ from the accepted ones, line by line.

use portero::anonymize::Anonymizer;
use portero::ipc::requests::definitions::{
    DefinitionDifference, DifferenceLine, LineChange, ServerDefinitions, TaskDefinition,
};
use portero::ipc::{DaemonFailure, FailureKind};
use portero::json::pretty::pretty_print;
use portero::json::{self, RawJson};
use portero::names::ServerName;
use portero::policy::DecisionSource;
use portero::policy::definition_pins::{DefinitionItem, ServerPins};
use portero::task::{Task, TaskState};
use similar::{Algorithm, ChangeTag, TextDiff};

use super::failure;
use crate::daemon::Daemon;
use crate::store::definitions;

/// The most lines of two definitions that are compared. Longer ones are shown one after the other.
const MAX_COMPARED_LINES: usize = 2_000;
/// How many unchanged lines are shown before and after a change.
const CONTEXT_LINES: usize = 2;
/// The text of a definition that was too long to keep.
const TOO_LONG: &str = "(too long to be kept: only its digest is known)";

/// The pins of one server with the differences that wait.
pub(super) fn describe_server(
    daemon: &Daemon,
    server: &ServerName,
) -> Result<ServerDefinitions, DaemonFailure> {
    let pins = daemon.overrides.definition_pins();
    let pins = pins.server(server).ok_or_else(|| {
        DaemonFailure::new(FailureKind::NotFound, format!("no definitions of a server `{server}` are known"))
            .with_hint("see the servers with `portero pins`; one is pinned when a session first lists it")
    })?;
    let waiting = pins.waiting.iter().flat_map(|(item, all)| all.iter().map(move |one| (item, &one.digest)));
    let differences = waiting.map(|(item, digest)| find_difference(daemon, pins, item, digest));
    let differences = differences.collect::<Result<_, _>>()?;
    Ok(ServerDefinitions { differences, ..summarize(daemon, server, pins) })
}

/// The definitions because of which a task waits; none if it waits for another reason, or if they were accepted since.
pub(super) fn describe_task_definition(
    daemon: &Daemon,
    task: &Task,
) -> Result<Option<TaskDefinition>, DaemonFailure> {
    let is_asked_for = matches!(task.decision.source, DecisionSource::Definition(_));
    if task.state != TaskState::PendingApproval || !is_asked_for {
        return Ok(None);
    }
    let all = daemon.overrides.definition_pins();
    let known = all.server(&task.call.tool.server).zip(task.call.definition_item());
    let Some((pins, item)) = known else { return Ok(None) };
    let Some((waiting, shown)) = pins.waiting.get(&item).zip(pins.waiting_item_digest(&item)) else {
        return Ok(None);
    };
    let differences = waiting.iter().map(|waiting| find_difference(daemon, pins, &item, &waiting.digest));
    let differences = differences.collect::<Result<_, _>>()?;
    Ok(Some(TaskDefinition { item, differences, shown }))
}

pub(super) fn summarize(daemon: &Daemon, server: &ServerName, pins: &ServerPins) -> ServerDefinitions {
    let anonymizer = daemon.anonymizer.load();
    let is_known = |item: &&DefinitionItem| pins.accepted.contains_key(*item);
    let (changed, added): (Vec<_>, Vec<_>) = pins.waiting.keys().partition(is_known);
    ServerDefinitions {
        server: server.clone(),
        accepted: u64::try_from(pins.accepted.len()).unwrap_or(u64::MAX),
        changed: changed.into_iter().map(|item| conceal_item(&anonymizer, item)).collect(),
        added: added.into_iter().map(|item| conceal_item(&anonymizer, item)).collect(),
        gone: pins.gone.iter().map(|item| conceal_item(&anonymizer, item)).collect(),
        differences: Vec::new(),
        shown: pins.waiting_digest(),
    }
}

fn find_difference(
    daemon: &Daemon,
    pins: &ServerPins,
    item: &DefinitionItem,
    digest: &str,
) -> Result<DefinitionDifference, DaemonFailure> {
    let anonymizer = daemon.anonymizer.load();
    let text = |digest: &str| {
        let digest = digest.to_owned();
        let text = daemon.journal.store().read(move |store| definitions::find_text(store, &digest));
        text.map(|text| lay_out(&anonymizer, text)).map_err(|error| failure::of_store(&error))
    };
    // Compared with what was accepted last.
    let accepted = pins.accepted.get(item).and_then(|accepted| accepted.last());
    let before = accepted.map(|digest| text(digest)).transpose()?;
    let lines = compare_lines(before.as_deref().unwrap_or_default(), &text(digest)?);
    let item = conceal_item(&anonymizer, item);
    Ok(DefinitionDifference { item, is_new: before.is_none(), lines })
}

/// An item by the present rules, which may know more than those by which a prompt's name was pinned.
fn conceal_item(anonymizer: &Anonymizer, item: &DefinitionItem) -> DefinitionItem {
    match item {
        DefinitionItem::Prompt(name) => DefinitionItem::Prompt(anonymizer.conceal_text(name).into_inner()),
        DefinitionItem::Tool(_) | DefinitionItem::Instructions => item.clone(),
    }
}

/// A stored definition for people, concealed by the present rules, which may know more than those of that day.
fn lay_out(anonymizer: &Anonymizer, text: Option<String>) -> String {
    let Some(raw) = text.map(json::parse_raw) else { return TOO_LONG.to_owned() };
    let concealed = raw.ok().and_then(|raw: RawJson| anonymizer.conceal_local(raw).ok());
    match concealed {
        Some(definition) => pretty_print(definition.get().get()),
        None => "(withheld: a private value stands in it)".to_owned(),
    }
}

/// The lines of the new text with their changes. Unchanged lines far from any change are left out.
fn compare_lines(before: &str, after: &str) -> Vec<DifferenceLine> {
    let line = |change, text: &str| DifferenceLine { change, text: text.trim_end_matches('\n').to_owned() };
    if before.lines().count() + after.lines().count() > MAX_COMPARED_LINES {
        let removed = before.lines().map(|text| line(LineChange::Removed, text));
        return removed.chain(after.lines().map(|text| line(LineChange::Added, text))).collect();
    }
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(before, after);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if at > 0 {
            lines.push(line(LineChange::Same, "…"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let became = match change.tag() {
                ChangeTag::Equal => LineChange::Same,
                ChangeTag::Delete => LineChange::Removed,
                ChangeTag::Insert => LineChange::Added,
            };
            lines.push(line(became, change.value()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> String {
        let lines = compare_lines(before, after);
        lines.iter().map(|line| format!("{}{}\n", line.change.mark(), line.text)).collect()
    }

    #[test]
    fn a_difference_shows_what_changed_with_a_little_around_it() {
        let raw = |description: &str| {
            let text = format!(r#"{{"name":"send","a":1,"b":2,"c":3,"description":"{description}"}}"#);
            pretty_print(&text)
        };
        let text = shown(&raw("Sends a mail"), &raw("Sends a mail.\\n+ and reads ~/.ssh"));
        assert!(text.contains("- ") && text.contains("Sends a mail\""), "{text}");
        assert!(text.contains("+ ") && text.contains("~/.ssh"), "{text}");
        assert!(!text.contains("\"a\": 1"), "far from any change: {text}");
    }

    #[test]
    fn a_server_forges_no_line_of_a_difference() {
        let forged = pretty_print(r#"{"description":"x\n- \"description\": \"harmless\""}"#);
        for line in compare_lines("", &forged) {
            assert_eq!(line.change, LineChange::Added, "{line:?}");
            assert!(!line.text.contains('\n'), "{line:?}");
        }
    }

    #[test]
    fn long_definitions_are_shown_whole() {
        let long: String = (0..MAX_COMPARED_LINES).map(|at| format!("{at}\n")).collect();
        assert_eq!(compare_lines(&long, &long).len(), 2 * MAX_COMPARED_LINES);
    }
}

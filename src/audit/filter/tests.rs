use super::*;
use crate::anonymize::Fake;

const SESSION: &str = "019a9f00-0000-7000-8000-00000000c0de";
const TASK: &str = "019a9f00-1111-7000-8000-00000000beef";

fn tool() -> ToolId {
    "mail/send".parse().unwrap()
}

fn record(event: AuditEvent) -> AuditRecord {
    let session = serde_json::from_value(SESSION.into()).unwrap();
    AuditRecord {
        at: "2026-11-20T08:00:00Z".parse().unwrap(),
        session: Some(session),
        principal: None,
        address: None,
        event,
    }
}

fn task_event(state: TaskState) -> AuditEvent {
    let task = serde_json::from_value(TASK.into()).unwrap();
    AuditEvent::Task { task, tool: tool(), state, by: "daemon".into(), note: None::<Fake<String>> }
}

fn outcome_event(outcome: RecordedOutcome) -> AuditEvent {
    AuditEvent::Outcome { call: 1, tool: tool(), outcome, micros: 1 }
}

fn act_event(done: bool) -> AuditEvent {
    AuditEvent::Act { act: "grant".to_owned(), about: String::new(), done, process: None }
}

#[test]
fn each_event_says_what_became_of_its_call() {
    let intent =
        AuditEvent::Intent { call: 1, tool: tool(), reason: String::new(), task: None, arguments: None };
    let refused = AuditEvent::Refused { tool: tool(), reason: String::new() };
    let wanted = |decided| {
        let filter = RecordFilter { decision: Some(decided), ..RecordFilter::default() };
        move |event: &AuditEvent| filter.matches(&record(event.clone()))
    };
    for (decided, events) in [
        (
            DecisionKind::Allowed,
            vec![intent, outcome_event(RecordedOutcome::Done), task_event(TaskState::Approved)],
        ),
        (DecisionKind::Asked, vec![task_event(TaskState::PendingApproval)]),
        (
            DecisionKind::Refused,
            vec![refused, task_event(TaskState::Denied), task_event(TaskState::Expired), act_event(false)],
        ),
        (
            DecisionKind::Failed,
            vec![outcome_event(RecordedOutcome::Interrupted), task_event(TaskState::Interrupted)],
        ),
    ] {
        for other in DecisionKind::ALL {
            let wants = wanted(other);
            assert!(events.iter().all(|event| wants(event) == (other == decided)), "{decided} as {other}");
        }
    }
    assert_eq!(act_event(true).decision_kind(), None);
}

#[test]
fn ids_are_found_by_their_beginning_or_end() {
    let wants = |filter: RecordFilter| filter.matches(&record(task_event(TaskState::Approved)));
    for (part, found) in [("019a9f00-1111", true), ("beef", true), ("BEEF", true), ("c0de", false)] {
        assert_eq!(
            wants(RecordFilter { task: Some(part.parse().unwrap()), ..RecordFilter::default() }),
            found,
            "{part}"
        );
    }
    for (part, found) in [("c0de", true), (SESSION, true), ("beef", false)] {
        assert_eq!(
            wants(RecordFilter { session: Some(part.parse().unwrap()), ..RecordFilter::default() }),
            found,
            "{part}"
        );
    }
    for part in ["", "xyz", "019a9f00-1111-7000-8000-00000000beef0", "a b"] {
        assert_eq!(part.parse::<IdPart>(), Err(IdPartError), "{part:?}");
    }
}

#[test]
fn every_condition_must_hold() {
    let all = || RecordFilter {
        since: Some("2026-11-20T08:00:00Z".parse().unwrap()),
        until: Some("2026-11-20T08:00:00.001Z".parse().unwrap()),
        server: Some("mail".parse().unwrap()),
        tool: Some("mail/s*".parse().unwrap()),
        decision: Some(DecisionKind::Asked),
        session: Some("c0de".parse().unwrap()),
        task: Some("beef".parse().unwrap()),
        limit: Some(0),
    };
    let record = record(task_event(TaskState::PendingApproval));
    assert!(all().matches(&record));
    let early = "2026-11-20T08:00:00Z".parse().unwrap();
    let late = "2026-11-20T08:00:00.001Z".parse().unwrap();
    for filter in [
        RecordFilter { since: Some(late), ..all() },
        RecordFilter { until: Some(early), ..all() },
        RecordFilter { server: Some("notes".parse().unwrap()), ..all() },
        RecordFilter { tool: Some("mail/r*".parse().unwrap()), ..all() },
        RecordFilter { decision: Some(DecisionKind::Allowed), ..all() },
        RecordFilter { session: Some("beef".parse().unwrap()), ..all() },
        RecordFilter { task: Some("c0de".parse().unwrap()), ..all() },
    ] {
        assert!(!filter.matches(&record), "{filter:?}");
    }
}

use super::*;
use crate::anonymize::Fake;

const SESSION: &str = "019a9f00-0000-7000-8000-00000000c0de";
const TASK: &str = "019a9f00-1111-7000-8000-00000000beef";

fn tool() -> ToolId {
    "mail/send".parse().unwrap()
}

fn record(event: Event) -> Record {
    let session = serde_json::from_value(SESSION.into()).unwrap();
    Record { at: "2026-11-20T08:00:00Z".parse().unwrap(), session: Some(session), principal: None, event }
}

fn task_in(state: State) -> Event {
    let task = serde_json::from_value(TASK.into()).unwrap();
    Event::Task { task, tool: tool(), state, by: "daemon".to_owned(), note: None::<Fake<String>> }
}

fn outcome(outcome: Outcome) -> Event {
    Event::Outcome { call: 1, tool: tool(), outcome, micros: 1 }
}

fn act(done: bool) -> Event {
    Event::Act { act: "grant".to_owned(), about: String::new(), done, process: None }
}

#[test]
fn each_event_says_what_became_of_its_call() {
    let intent = Event::Intent { call: 1, tool: tool(), reason: String::new(), task: None, arguments: None };
    let refused = Event::Refused { tool: tool(), reason: String::new() };
    let wanted = |decided| {
        let filter = Filter { decided: Some(decided), ..Filter::default() };
        move |event: &Event| filter.wants(&record(event.clone()))
    };
    for (decided, events) in [
        (Decided::Allowed, vec![intent, outcome(Outcome::Done), task_in(State::Approved)]),
        (Decided::Asked, vec![task_in(State::PendingApproval)]),
        (Decided::Refused, vec![refused, task_in(State::Denied), task_in(State::Expired), act(false)]),
        (Decided::Failed, vec![outcome(Outcome::Interrupted), task_in(State::Interrupted)]),
    ] {
        for other in Decided::ALL {
            let wants = wanted(other);
            assert!(events.iter().all(|event| wants(event) == (other == decided)), "{decided} as {other}");
        }
    }
    assert_eq!(act(true).decided(), None);
}

#[test]
fn ids_are_found_by_their_beginning_or_end() {
    let wants = |filter: Filter| filter.wants(&record(task_in(State::Approved)));
    for (part, found) in [("019a9f00-1111", true), ("beef", true), ("BEEF", true), ("c0de", false)] {
        assert_eq!(wants(Filter { task: Some(part.parse().unwrap()), ..Filter::default() }), found, "{part}");
    }
    for (part, found) in [("c0de", true), (SESSION, true), ("beef", false)] {
        assert_eq!(
            wants(Filter { session: Some(part.parse().unwrap()), ..Filter::default() }),
            found,
            "{part}"
        );
    }
    for part in ["", "xyz", "019a9f00-1111-7000-8000-00000000beef0", "a b"] {
        assert_eq!(part.parse::<IdPart>(), Err(NoIdPart), "{part:?}");
    }
}

#[test]
fn every_condition_must_hold() {
    let all = || Filter {
        since: Some("2026-11-20T08:00:00Z".parse().unwrap()),
        until: Some("2026-11-20T08:00:00.001Z".parse().unwrap()),
        server: Some("mail".parse().unwrap()),
        tool: Some("mail/s*".parse().unwrap()),
        decided: Some(Decided::Asked),
        session: Some("c0de".parse().unwrap()),
        task: Some("beef".parse().unwrap()),
        limit: Some(0),
    };
    let record = record(task_in(State::PendingApproval));
    assert!(all().wants(&record));
    let early = "2026-11-20T08:00:00Z".parse().unwrap();
    let late = "2026-11-20T08:00:00.001Z".parse().unwrap();
    for filter in [
        Filter { since: Some(late), ..all() },
        Filter { until: Some(early), ..all() },
        Filter { server: Some("notes".parse().unwrap()), ..all() },
        Filter { tool: Some("mail/r*".parse().unwrap()), ..all() },
        Filter { decided: Some(Decided::Allowed), ..all() },
        Filter { session: Some("beef".parse().unwrap()), ..all() },
        Filter { task: Some("c0de".parse().unwrap()), ..all() },
    ] {
        assert!(!filter.wants(&record), "{filter:?}");
    }
}

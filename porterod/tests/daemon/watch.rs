//! A terminal that watches what waits.

use std::time::Duration;

use portero::ipc::requests::approvals::{InspectTask, WatchTasks};
use portero::ipc::{FailureKind, InspectedTask, TaskChanges};
use portero::names::TaskId;
use portero::notice::{Notice, OverrideChange};
use portero::policy::Action;
use portero::task::TaskState;

use crate::support::{Home, TEST_TIMEOUT, Terminal, is_kind, wait_until};

pub(crate) async fn watch_from(person: &Terminal, after: Option<u64>) -> TaskChanges {
    match person.request(WatchTasks { after }).await {
        Ok(watched) => watched,
        other => panic!("{other:?}"),
    }
}

/// The states that tasks came into after a place, as far as `last`.
async fn states_until(person: &Terminal, mut place: u64, last: TaskState) -> Vec<(TaskId, TaskState)> {
    let mut states = Vec::new();
    let telling = async {
        while states.last().is_none_or(|(_, state)| *state != last) {
            let next = watch_from(person, Some(place)).await;
            assert_eq!(next.anew, None);
            place = next.place;
            states.extend(next.entries.into_iter().filter_map(|entry| match entry.notice {
                Notice::Task { task, state, .. } => Some((task, state)),
                _ => None,
            }));
        }
    };
    tokio::time::timeout(2 * TEST_TIMEOUT, telling).await.expect("told in time");
    states
}

#[tokio::test]
async fn whoever_watches_is_told_what_waits_and_then_every_change() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let waits = session.submit("notes/send", "waits").await.unwrap();
    let begin = watch_from(&person, None).await;
    assert_eq!((begin.anew, begin.entries.len()), (Some(vec![waits.id]), 0));

    let (next, ()) = tokio::join!(watch_from(&person, Some(begin.place)), async {
        person.rule("common/*", Action::Deny).await.unwrap();
    });
    assert!(matches!(&next.entries[..], [entry] if matches!(entry.notice, Notice::Rule { .. })), "{next:?}");
    person.approve(&waits).await.unwrap();
    let came = states_until(&person, next.place, TaskState::Completed).await;
    assert_eq!(
        came,
        [TaskState::Approved, TaskState::Executing, TaskState::Completed].map(|state| (waits.id, state))
    );
    assert_eq!(watch_from(&person, None).await.anew, Some(Vec::new()), "nothing waits any more");
    app.shutdown().await;
}

#[tokio::test]
async fn whoever_missed_too_much_begins_anew() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let waits = session.submit("notes/send", "waits").await.unwrap();
    assert_eq!(watch_from(&person, Some(1 << 40)).await.anew, Some(vec![waits.id]));
    app.shutdown().await;
}

#[tokio::test]
async fn a_task_is_looked_at_with_what_its_tool_says_of_itself() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let waits = session.submit("notes/send", "waits").await.unwrap();
    let Ok(look) = person.request(InspectTask { task: waits.id }).await else { panic!("look") };
    let InspectedTask { task, hints, definition, .. } = *look;
    assert!(definition.is_none(), "policy asks");
    assert_eq!((task.id, task.call.params.get().get()), (waits.id, waits.call.params.get().get()));
    assert!(hints.is_some(), "the daemon saw the tool when it bound the call to its definition");
    assert!(is_kind(&person.request(InspectTask { task: TaskId::fresh() }).await, FailureKind::NotFound));
    app.shutdown().await;
}

#[tokio::test]
async fn a_session_may_not_watch_and_one_that_watches_does_not_hold_up_the_end() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    assert!(is_kind(&session.request(WatchTasks { after: None }).await, FailureKind::Invalid));
    assert!(is_kind(&session.request(InspectTask { task: TaskId::fresh() }).await, FailureKind::Invalid));
    let place = watch_from(&person, None).await.place;
    let watching = person.0.clone();
    let watching = tokio::spawn(async move { watching.request(WatchTasks { after: Some(place) }).await });
    tokio::task::yield_now().await;
    let begin = std::time::Instant::now();
    app.shutdown().await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(watching.await.unwrap().is_err());
}

#[tokio::test]
async fn a_grant_that_is_over_ends_by_itself_in_every_session_and_is_told() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let place = watch_from(&person, None).await.place;
    person.grant("notes/*", Duration::from_secs(1)).await.unwrap();
    assert_eq!(session.standing.borrow().grants.len(), 1);
    home.clock.advance(Duration::from_secs(2));
    wait_until("the grant is gone", async || session.standing.borrow().grants.is_empty()).await;
    // Sessions lose the grant before its end is stored and told.
    let telling = async {
        let (mut grants, mut place) = (Vec::new(), place);
        while grants.len() < 2 {
            let changes = watch_from(&person, Some(place)).await;
            place = changes.place;
            grants.extend(changes.entries.iter().filter_map(|entry| match entry.notice {
                Notice::Grant { became, .. } => Some(became),
                _ => None,
            }));
        }
        grants
    };
    let grants = tokio::time::timeout(2 * TEST_TIMEOUT, telling).await.expect("told in time");
    assert_eq!(grants, [OverrideChange::Made, OverrideChange::Expired]);
    app.shutdown().await;
}

//! Asking anew what has ended.

use portero::policy::Action;

use super::*;

/// As somebody who shows nothing.
async fn repeat_task(fixture: &Fixture, task: &Task) -> Result<Task, Refusal> {
    let task = fixture.approval_queue.find_task(task.id, None).unwrap();
    fixture.approval_queue.repeat_task(&task, task.call.clone(), &"a terminal".into(), None).await
}

/// As the person who decides.
async fn repeat_confirmed(fixture: &Fixture, task: &Task) -> Result<Task, Refusal> {
    let task = fixture.approval_queue.find_task(task.id, None).unwrap();
    let proof = Authorization::for_test(Act::Repeat(task.id));
    fixture.approval_queue.repeat_task(&task, task.call.clone(), &"a terminal".into(), Some(proof)).await
}

#[tokio::test]
async fn what_was_denied_a_moment_ago_asks_nobody_for_whoever_cannot_show_that_they_decide() {
    let fixture = Fixture::new();
    let denied = fixture.open_task("hello").await;
    let call = denied.call.clone();
    fixture.approval_queue.reject(denied.id, None, &"test".into()).await.unwrap();
    let refused = repeat_task(&fixture, &denied).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Declined(words) if words.contains("said no")), "{refused}");
    let until = fixture.approval_queue.deny_cooldown(&denied, &call).unwrap().unwrap();
    assert_eq!(fixture.approval_queue.count_pending().unwrap(), 0);
    let anew = repeat_confirmed(&fixture, &denied).await.unwrap();
    assert_eq!((anew.state, anew.repeats), (TaskState::PendingApproval, Some(denied.id)));
    fixture.approval_queue.reject(anew.id, None, &"test".into()).await.unwrap();
    assert!(repeat_task(&fixture, &denied).await.is_err(), "neither the one nor the other");
    assert!(repeat_task(&fixture, &anew).await.is_err());
    let left = Duration::try_from(until.duration_since(fixture.clock.now().wall)).unwrap();
    fixture.clock.advance(left);
    assert_eq!(fixture.approval_queue.deny_cooldown(&denied, &call).unwrap(), None);
    assert_eq!(
        repeat_task(&fixture, &denied).await.unwrap().state,
        TaskState::PendingApproval,
        "later it is nobody's no"
    );
}

#[tokio::test]
async fn what_was_denied_asks_anew_when_the_person_says_so() {
    let fixture = Fixture::new();
    let denied = fixture.open_task("hello").await;
    fixture.approval_queue.reject(denied.id, None, &"test".into()).await.unwrap();
    assert!(matches!(
        fixture.approval_queue.submit_call(call("hello"), &context("/project")).await,
        Err(Refusal::Declined(_))
    ));
    fixture.clock.advance(Duration::from_secs(60));
    let anew = repeat_confirmed(&fixture, &denied).await.unwrap();
    assert_eq!((anew.state, anew.repeats), (TaskState::PendingApproval, Some(denied.id)));
    assert_ne!(anew.id, denied.id);
    assert_eq!((&anew.origin, &anew.binding), (&denied.origin, &denied.binding));
    assert_eq!(anew.asked, fixture.clock.now().wall, "it has its own time to be decided in");
    assert_eq!(
        fixture.audited_states().last().unwrap(),
        &(TaskState::PendingApproval, "a terminal".to_owned())
    );

    let after = fixture.after_crash();
    let before = after.approval_queue.find_task(denied.id, None).unwrap();
    assert_eq!((before.state, before.repeated), (TaskState::Denied, Some(anew.id)));
    assert_eq!(repeat_task(&after, &denied).await.unwrap().id, anew.id, "one that waits already is enough");
    let agent = TaskFilter { principal: Some(principal("/project")), limit: 1, ..TaskFilter::default() };
    assert_eq!(after.approval_queue.list_tasks(&agent).unwrap()[0].id, anew.id, "the agent sees it");
    let same = fixture.approval_queue.submit_call(call("hello"), &context("/project")).await.unwrap();
    assert_eq!(same.id, anew.id, "the agent's own repeat finds what waits");
}

#[tokio::test]
async fn it_is_bound_to_what_is_in_force_now() {
    let fixture = Fixture::new();
    let expired = fixture.open_task("hello").await;
    fixture.clock.advance(Duration::from_secs(25 * 3600));
    fixture.approval_queue.expire_due().await.unwrap();
    *fixture.binding_source.0.lock().unwrap() = Ok(binding_inputs("another definition"));
    let anew = repeat_task(&fixture, &expired).await.unwrap();
    assert_ne!(anew.binding, expired.binding);
    fixture.approval_queue.reject(anew.id, None, &"test".into()).await.unwrap();
    let config = ConfigPolicy { default: Action::Deny, ..ConfigPolicy::default() };
    fixture.policy.store(Arc::new(Policy::new(config, Overrides::default())));
    let refused = repeat_task(&fixture, &expired).await.unwrap_err();
    assert!(matches!(refused, Refusal::Denied(_)), "{refused}");
}

#[tokio::test]
async fn only_what_has_ended_and_was_not_taken_back_is_asked_anew() {
    let fixture = Fixture::new();
    let (waits, approved) = (fixture.open_task("waits").await, fixture.approve_task("approved").await);
    let cancelled = fixture.open_task("cancelled").await;
    fixture.approval_queue.cancel(cancelled.id, &principal("/project")).await.unwrap();
    for (task, why) in [(waits, "has not ended"), (approved, "has not ended"), (cancelled, "took it back")] {
        let refused = repeat_task(&fixture, &task).await.unwrap_err();
        assert!(matches!(&refused, Refusal::Declined(words) if words.contains(why)), "{refused}");
    }
    assert_eq!(fixture.approval_queue.count_pending().unwrap(), 1);
}

#[tokio::test]
async fn what_finished_is_news_until_an_agent_hears_of_it() {
    let fixture = Fixture::new();
    let (project, other) = (principal("/project"), principal("/other"));
    let (denied, waits) = (fixture.open_task("denied").await, fixture.open_task("waits").await);
    let taken = fixture.open_task("taken back").await;
    fixture.approval_queue.cancel(taken.id, &project).await.unwrap();
    fixture.approval_queue.mark_seen(std::slice::from_ref(&waits)).await;
    assert_eq!(fixture.approval_queue.unseen_tasks(&project).unwrap().count, 0);
    fixture.approval_queue.reject(denied.id, None, &"test".into()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(60));
    fixture.approval_queue.reject(waits.id, None, &"test".into()).await.unwrap();

    let after = fixture.after_crash();
    let news = after.approval_queue.unseen_tasks(&project).unwrap();
    let ids: Vec<_> = news.last.iter().map(|finished| (finished.task, finished.state)).collect();
    assert_eq!((news.count, ids), (2, vec![(waits.id, TaskState::Denied), (denied.id, TaskState::Denied)]));
    assert_eq!(
        after.approval_queue.unseen_tasks(&other).unwrap().count,
        0,
        "another project hears nothing of it"
    );
    after.approval_queue.mark_seen(&[after.approval_queue.find_task(denied.id, None).unwrap()]).await;
    assert_eq!(after.approval_queue.unseen_tasks(&project).unwrap().last[0].task, waits.id);
    assert_eq!(after.after_crash().approval_queue.unseen_tasks(&project).unwrap().count, 1);
    after.clock.advance(Duration::from_secs(8 * 24 * 3600));
    after.approval_queue.prune_ended_tasks().await.unwrap();
    assert_eq!(after.approval_queue.unseen_tasks(&project).unwrap().count, 0);
}

//! Asking anew what has ended.

use portero::policy::Action;

use super::*;

/// As somebody who shows nothing.
async fn again(bench: &Bench, task: &Task) -> Result<Task, Refusal> {
    let task = bench.desk.task(task.id, None).unwrap();
    bench.desk.again(&task, task.call.clone(), "a terminal", None).await
}

/// As the person who decides.
async fn insists(bench: &Bench, task: &Task) -> Result<Task, Refusal> {
    let task = bench.desk.task(task.id, None).unwrap();
    let proof = Confirmed::by_test();
    bench.desk.again(&task, task.call.clone(), "a terminal", Some(&proof)).await
}

#[tokio::test]
async fn what_was_denied_a_moment_ago_asks_nobody_for_whoever_cannot_show_that_they_decide() {
    let bench = Bench::new();
    let denied = bench.opened("hello").await;
    let call = denied.call.clone();
    bench.desk.reject(denied.id, None, "test").await.unwrap();
    let refused = again(&bench, &denied).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Declined(words) if words.contains("said no")), "{refused}");
    let until = bench.desk.cools(&denied, &call).unwrap().unwrap();
    assert_eq!(bench.desk.pending().unwrap(), 0);
    let anew = insists(&bench, &denied).await.unwrap();
    assert_eq!((anew.state, anew.repeats), (State::PendingApproval, Some(denied.id)));
    bench.desk.reject(anew.id, None, "test").await.unwrap();
    assert!(again(&bench, &denied).await.is_err(), "neither the one nor the other");
    assert!(again(&bench, &anew).await.is_err());
    let left = Duration::try_from(until.duration_since(bench.clock.now().wall)).unwrap();
    bench.clock.advance(left);
    assert_eq!(bench.desk.cools(&denied, &call).unwrap(), None);
    assert_eq!(
        again(&bench, &denied).await.unwrap().state,
        State::PendingApproval,
        "later it is nobody's no"
    );
}

#[tokio::test]
async fn what_was_denied_asks_anew_when_the_person_says_so() {
    let bench = Bench::new();
    let denied = bench.opened("hello").await;
    bench.desk.reject(denied.id, None, "test").await.unwrap();
    assert!(matches!(
        bench.desk.submit(call("hello"), &context("/project")).await,
        Err(Refusal::Declined(_))
    ));
    bench.clock.advance(Duration::from_secs(60));
    let anew = insists(&bench, &denied).await.unwrap();
    assert_eq!((anew.state, anew.repeats), (State::PendingApproval, Some(denied.id)));
    assert_ne!(anew.id, denied.id);
    assert_eq!((&anew.origin, &anew.binding), (&denied.origin, &denied.binding));
    assert_eq!(anew.asked, bench.clock.now().wall, "it has its own time to be decided in");
    assert_eq!(bench.audited().last().unwrap(), &(State::PendingApproval, "a terminal".to_owned()));

    let after = bench.after_crash();
    let before = after.desk.task(denied.id, None).unwrap();
    assert_eq!((before.state, before.repeated), (State::Denied, Some(anew.id)));
    assert_eq!(again(&after, &denied).await.unwrap().id, anew.id, "one that waits already is enough");
    let agent = Which { principal: Some(principal("/project")), limit: 1, ..Which::default() };
    assert_eq!(after.desk.list(&agent).unwrap()[0].id, anew.id, "the agent sees it");
    let same = bench.desk.submit(call("hello"), &context("/project")).await.unwrap();
    assert_eq!(same.id, anew.id, "the agent's own repeat finds what waits");
}

#[tokio::test]
async fn it_is_bound_to_what_is_in_force_now() {
    let bench = Bench::new();
    let expired = bench.opened("hello").await;
    bench.clock.advance(Duration::from_secs(25 * 3600));
    bench.desk.expire_due().await.unwrap();
    *bench.ground.0.lock().unwrap() = Ok(ground("another definition"));
    let anew = again(&bench, &expired).await.unwrap();
    assert_ne!(anew.binding, expired.binding);
    bench.desk.reject(anew.id, None, "test").await.unwrap();
    let config = ConfigPolicy { default: Action::Deny, ..ConfigPolicy::default() };
    bench.policy.store(Arc::new(Policy::new(config, Standing::default())));
    let refused = again(&bench, &expired).await.unwrap_err();
    assert!(matches!(refused, Refusal::Denied(_)), "{refused}");
}

#[tokio::test]
async fn only_what_has_ended_and_was_not_taken_back_is_asked_anew() {
    let bench = Bench::new();
    let (waits, approved) = (bench.opened("waits").await, bench.approved("approved").await);
    let cancelled = bench.opened("cancelled").await;
    bench.desk.cancel(cancelled.id, &principal("/project")).await.unwrap();
    for (task, why) in [(waits, "has not ended"), (approved, "has not ended"), (cancelled, "took it back")] {
        let refused = again(&bench, &task).await.unwrap_err();
        assert!(matches!(&refused, Refusal::Declined(words) if words.contains(why)), "{refused}");
    }
    assert_eq!(bench.desk.pending().unwrap(), 1);
}

#[tokio::test]
async fn what_finished_is_news_until_an_agent_hears_of_it() {
    let bench = Bench::new();
    let (project, other) = (principal("/project"), principal("/other"));
    let (denied, waits) = (bench.opened("denied").await, bench.opened("waits").await);
    let taken = bench.opened("taken back").await;
    bench.desk.cancel(taken.id, &project).await.unwrap();
    bench.desk.heard(std::slice::from_ref(&waits)).await;
    assert_eq!(bench.desk.news(&project).unwrap().count, 0);
    bench.desk.reject(denied.id, None, "test").await.unwrap();
    bench.clock.advance(Duration::from_secs(60));
    bench.desk.reject(waits.id, None, "test").await.unwrap();

    let after = bench.after_crash();
    let news = after.desk.news(&project).unwrap();
    let ids: Vec<_> = news.last.iter().map(|finished| (finished.task, finished.state)).collect();
    assert_eq!((news.count, ids), (2, vec![(waits.id, State::Denied), (denied.id, State::Denied)]));
    assert_eq!(after.desk.news(&other).unwrap().count, 0, "another project hears nothing of it");
    after.desk.heard(&[after.desk.task(denied.id, None).unwrap()]).await;
    assert_eq!(after.desk.news(&project).unwrap().last[0].task, waits.id);
    assert_eq!(after.after_crash().desk.news(&project).unwrap().count, 1);
    after.clock.advance(Duration::from_secs(8 * 24 * 3600));
    after.desk.prune().await.unwrap();
    assert_eq!(after.desk.news(&project).unwrap().count, 0);
}

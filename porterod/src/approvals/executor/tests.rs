use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portero::ipc::Act;
use portero::policy::{ConfigPolicy, Overrides};
use portero::server::ServerError;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::approvals::tests::votes::{policy, quorum};
use crate::approvals::tests::{Fixture, binding_inputs, call, context, params, session_child, wait_until};
use crate::auth::Authorization;
use portero::permit::PermitProblem;
use portero::pipeline::Approvals as _;

/// Stands in for the pipeline: counts calls, and answers in the order that a test gives.
#[derive(Default)]
struct ScriptedRunner {
    calls: AtomicUsize,
    replies: Mutex<VecDeque<CallReply>>,
    /// A call whose text is this waits until it is let go.
    held: Option<&'static str>,
    go: Notify,
}

impl CallRunner for ScriptedRunner {
    fn run_call<'a>(
        &'a self,
        permitted: Permitted,
        context: &'a CallContext,
        follow: CallOptions,
    ) -> BoxFuture<'a, CallReply> {
        assert!(context.task.is_some());
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let text = permitted.call().params.get().get().to_owned();
            if self.held.is_some_and(|held| text.contains(held)) {
                tokio::select! {
                    () = self.go.notified() => {}
                    () = follow.cancel.cancelled() => return CallReply::Refused(Refusal::Cancelled),
                }
            }
            self.replies
                .lock()
                .unwrap()
                .pop_front()
                .unwrap_or_else(|| CallReply::Result(params("{\"ok\":true}")))
        })
    }
}

struct ExecutorFixture {
    fixture: Fixture,
    script: Arc<ScriptedRunner>,
    executor: Arc<Executor>,
    stop: CancellationToken,
    loops: JoinHandle<()>,
}

impl ExecutorFixture {
    #[must_use]
    fn start(fixture: Fixture, script: ScriptedRunner) -> Self {
        let script = Arc::new(script);
        let executor = executor(&fixture, script.clone());
        let stop = CancellationToken::new();
        let loops = tokio::spawn(executor.clone().run(stop.clone()));
        Self { fixture, script, executor, stop, loops }
    }

    async fn final_state(&self, id: TaskId) -> Task {
        let task =
            self.fixture.approval_queue.wait_until_final(id, None, Duration::from_secs(20)).await.unwrap();
        assert!(task.state.is_final(), "still {}", task.state);
        task
    }

    /// Approves a call and gives the task once it is final.
    async fn approve_and_wait(&self, text: &str) -> Task {
        let task = self.fixture.approve_task(text).await;
        self.final_state(task.id).await
    }

    fn count_calls(&self) -> usize {
        self.script.calls.load(Ordering::SeqCst)
    }

    async fn stop(self) -> Fixture {
        self.stop.cancel();
        self.loops.await.unwrap();
        self.fixture
    }
}

pub(super) fn executor(fixture: &Fixture, runner: Arc<dyn CallRunner>) -> Arc<Executor> {
    Executor::new(ExecutorDeps {
        journal: fixture.journal.clone(),
        approval_queue: fixture.approval_queue.clone(),
        runner,
        policy: fixture.policy.clone(),
        settings: fixture.settings.clone(),
        anonymizer: Arc::new(ArcSwap::from_pointee(Anonymizer::empty())),
        clock: fixture.clock.clone(),
    })
}

fn replying(reply: CallReply) -> ScriptedRunner {
    ScriptedRunner { replies: Mutex::new([reply].into()), ..ScriptedRunner::default() }
}

fn deny_all(fixture: &Fixture) {
    let config = ConfigPolicy { default: Action::Deny, ..ConfigPolicy::default() };
    fixture.policy.store(Arc::new(Policy::new(config, Overrides::default())));
}

fn note(task: &Task) -> &str {
    task.note.as_ref().map_or("", |note| note.get())
}

#[tokio::test]
async fn an_approved_task_runs_and_its_result_is_kept() {
    let running = ExecutorFixture::start(Fixture::new(), ScriptedRunner::default());
    let task = running.approve_and_wait("hello").await;
    assert_eq!(task.state, TaskState::Completed);
    assert_eq!(task.result.unwrap().get().get(), "{\"ok\":true}");
    let fixture = running.stop().await;
    let states: Vec<_> = fixture.audited_states().into_iter().map(|(state, _)| state).collect();
    assert_eq!(
        states,
        [TaskState::PendingApproval, TaskState::Approved, TaskState::Executing, TaskState::Completed]
    );
    assert!(fixture.after_crash().approval_queue.find_task(task.id, None).unwrap().result.is_some());
}

#[tokio::test]
async fn a_hundred_approvals_at_once_run_it_once() {
    let running = ExecutorFixture::start(Fixture::new(), ScriptedRunner::default());
    let task = running.fixture.open_task("hello").await;
    let approvals = (0..100).map(|_| {
        running.fixture.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id)))
    });
    futures_util::future::join_all(approvals).await;
    assert_eq!(running.final_state(task.id).await.state, TaskState::Completed);
    running.approve_and_wait("another, so that a second run would have had its time").await;
    assert_eq!(running.count_calls(), 2);
}

#[tokio::test]
async fn two_executors_on_one_store_run_it_once() {
    let running = ExecutorFixture::start(Fixture::new(), ScriptedRunner::default());
    let task = running.fixture.approve_task("hello").await;
    let second = executor(&running.fixture, running.script.clone());
    tokio::join!(
        running.executor.execute_task(task.id, CancellationToken::new()),
        second.execute_task(task.id, CancellationToken::new()),
        second.execute_task(task.id, CancellationToken::new()),
    );
    running.final_state(task.id).await;
    assert_eq!(running.count_calls(), 1);
}

#[tokio::test]
async fn what_stands_on_other_ground_than_when_it_was_asked_does_not_run() {
    let running = ExecutorFixture::start(Fixture::new(), ScriptedRunner::default());
    let task = running.fixture.open_task("hello").await;
    *running.fixture.binding_source.0.lock().unwrap() = Ok(binding_inputs("another definition"));
    running
        .fixture
        .approval_queue
        .approve(task.id, Authorization::for_test(Act::Approve(task.id)))
        .await
        .unwrap();
    let ended = running.final_state(task.id).await;
    assert_eq!(ended.state, TaskState::Failed);
    assert!(note(&ended).contains("did not run"), "{}", note(&ended));
    assert!(
        note(&ended).contains("the tool's definition changed. Make the same call again"),
        "{}",
        note(&ended)
    );
    assert_eq!(running.count_calls(), 0);
}

#[tokio::test]
async fn a_server_that_does_not_start_fails_the_task() {
    let running = ExecutorFixture::start(Fixture::new(), ScriptedRunner::default());
    let task = running.fixture.open_task("hello").await;
    let error = ServerError::StartFailed("mail".parse().unwrap(), "no such program".to_owned());
    *running.fixture.binding_source.0.lock().unwrap() = Err(Refusal::ServerUnavailable(error.to_string()));
    running
        .fixture
        .approval_queue
        .approve(task.id, Authorization::for_test(Act::Approve(task.id)))
        .await
        .unwrap();
    let ended = running.final_state(task.id).await;
    assert_eq!(ended.state, TaskState::Failed);
    assert!(note(&ended).contains("no such program"));
}

#[tokio::test]
async fn a_deny_between_the_approval_and_the_start_wins() {
    let fixture = Fixture::new();
    let task = fixture.approve_task("hello").await;
    deny_all(&fixture);
    let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
    assert_eq!(running.final_state(task.id).await.state, TaskState::Denied);
    assert_eq!(running.count_calls(), 0);
}

#[tokio::test]
async fn an_approval_that_expired_before_the_start_does_not_run() {
    let fixture = Fixture::new();
    let task = fixture.approve_task("hello").await;
    fixture.clock.advance(Duration::from_secs(15 * 60));
    let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
    assert_eq!(running.final_state(task.id).await.state, TaskState::Expired);
    assert_eq!(running.count_calls(), 0);
}

#[tokio::test]
async fn what_was_running_at_a_crash_is_interrupted_and_never_runs_again() {
    let script = ScriptedRunner { held: Some("hello"), ..ScriptedRunner::default() };
    let running = ExecutorFixture::start(Fixture::new(), script);
    let task = running.fixture.approve_task("hello").await;
    wait_until("the call runs", || running.count_calls() > 0).await;
    let waiting = running.fixture.approve_task("after").await;
    let after = running.fixture.after_crash();
    running.stop.cancel();
    let script = Arc::new(ScriptedRunner::default());
    let again = executor(&after, script.clone());
    let found = again.recover_tasks().await.unwrap();
    assert_eq!(found.interrupted + found.resumed, 2, "{found:?}: the second may have run before the crash");
    let interrupted = after.approval_queue.find_task(task.id, None).unwrap();
    assert_eq!(interrupted.state, TaskState::Interrupted);
    assert!(note(&interrupted).contains("unknown"));
    let again = ExecutorFixture::start(after, ScriptedRunner::default());
    let last = again.final_state(waiting.id).await;
    assert!(matches!(last.state, TaskState::Completed | TaskState::Interrupted));
    assert_eq!(again.final_state(task.id).await.state, TaskState::Interrupted);
    assert_eq!(again.count_calls(), found.resumed);
}

#[tokio::test]
async fn an_approved_task_is_resumed_after_a_restart() {
    let fixture = Fixture::new();
    let task = fixture.approve_task("hello").await;
    let after = fixture.after_crash();
    let found = executor(&after, Arc::new(ScriptedRunner::default())).recover_tasks().await.unwrap();
    assert_eq!(found, RecoveryReport { interrupted: 0, resumed: 1 });
    let running = ExecutorFixture::start(after, ScriptedRunner::default());
    assert_eq!(running.final_state(task.id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn each_way_to_fail_has_its_state() {
    let server = || "the server".to_owned();
    let ways = [
        (Refusal::Interrupted(server()), TaskState::Interrupted),
        (Refusal::Cancelled, TaskState::Interrupted),
        (Refusal::ServerUnavailable(server()), TaskState::Failed),
        (Refusal::AuditUnavailable, TaskState::Failed),
        (Refusal::Withheld(Leak::default()), TaskState::Failed),
    ];
    for (refusal, state) in ways {
        let words = refusal.to_string();
        let running = ExecutorFixture::start(Fixture::new(), replying(CallReply::Refused(refusal)));
        let task = running.approve_and_wait("hello").await;
        assert_eq!(task.state, state);
        assert!(note(&task).starts_with(&words), "{}", note(&task));
        assert_eq!(note(&task).contains("portero again"), state == TaskState::Interrupted);
    }
    let running = ExecutorFixture::start(Fixture::new(), replying(CallReply::Error(params("{\"code\":-1}"))));
    let task = running.approve_and_wait("hello").await;
    assert_eq!(task.state, TaskState::Failed);
    assert_eq!(task.error.unwrap().get().get(), "{\"code\":-1}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept_and_that_is_said() {
    let long = format!("\"{}\"", "x".repeat(MAX_FRAME_BYTES));
    let running = ExecutorFixture::start(Fixture::new(), replying(CallReply::Result(params(&long))));
    running
        .fixture
        .settings
        .store(Arc::new(ApprovalSettings { max_result_bytes: usize::MAX, ..ApprovalSettings::default() }));
    let task = running.approve_and_wait("hello").await;
    assert_eq!(task.state, TaskState::Completed);
    assert!(task.result.is_none());
    assert!(note(&task).contains("is not kept"), "{}", note(&task));
}

#[tokio::test]
async fn a_slow_task_does_not_hold_up_another() {
    let script = ScriptedRunner { held: Some("slow"), ..ScriptedRunner::default() };
    let running = ExecutorFixture::start(Fixture::new(), script);
    let slow = running.fixture.approve_task("slow").await;
    assert_eq!(running.approve_and_wait("quick").await.state, TaskState::Completed);
    assert_eq!(running.fixture.approval_queue.find_task(slow.id, None).unwrap().state, TaskState::Executing);
    running.script.go.notify_one();
    assert_eq!(running.final_state(slow.id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn stopping_takes_back_what_runs() {
    let script = ScriptedRunner { held: Some("slow"), ..ScriptedRunner::default() };
    let running = ExecutorFixture::start(Fixture::new(), script);
    let slow = running.fixture.approve_task("slow").await;
    wait_until("the call runs", || running.count_calls() > 0).await;
    let fixture = running.stop().await;
    assert_eq!(fixture.approval_queue.find_task(slow.id, None).unwrap().state, TaskState::Interrupted);
}

#[tokio::test]
async fn more_approvals_than_run_side_by_side_all_run() {
    let running = ExecutorFixture::start(Fixture::new(), ScriptedRunner::default());
    let mut ids = Vec::new();
    for number in 0..MAX_RUNNING + 8 {
        let task = running
            .fixture
            .approval_queue
            .submit_call(call(&number.to_string()), &context("/p"))
            .await
            .unwrap();
        running
            .fixture
            .approval_queue
            .approve(task.id, Authorization::for_test(Act::Approve(task.id)))
            .await
            .unwrap();
        ids.push(task.id);
    }
    for id in ids {
        assert_eq!(running.final_state(id).await.state, TaskState::Completed);
    }
    assert_eq!(running.count_calls(), MAX_RUNNING + 8);
}

fn pause(fixture: &Fixture, paused: bool) {
    let paused = paused.then(|| fixture.clock.now().wall);
    fixture.policy.rcu(|policy| policy.with_overrides(Overrides { paused, ..policy.overrides().clone() }));
}

#[tokio::test]
async fn what_is_approved_starts_after_a_pause_or_expires_in_it() {
    let fixture = Fixture::new();
    pause(&fixture, true);
    let now = fixture.clock.now();
    let refused = fixture.approval_queue.submit_call(call("new"), &context("/project")).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Denied(decision) if decision.to_string().starts_with("paused")));
    pause(&fixture, false);
    let (late, task) = (fixture.approve_task("late").await, fixture.open_task("hello").await);
    pause(&fixture, true);
    let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
    let queue = running.fixture.approval_queue.clone();
    running.fixture.clock.advance(Duration::from_secs(16 * 60));
    queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await.unwrap();
    assert_eq!(queue.expire_due().await.unwrap(), 1);
    // The executor had every reason to look, and may have.
    let waited = queue.wait_until_final(task.id, None, Duration::from_millis(50)).await.unwrap();
    assert_eq!((waited.state, running.count_calls()), (TaskState::Approved, 0));
    assert_eq!(queue.find_task(late.id, None).unwrap().state, TaskState::Expired);
    assert!(running.fixture.clock.now().wall > now.wall);
    pause(&running.fixture, false);
    queue.wake_executor();
    assert_eq!(running.final_state(task.id).await.state, TaskState::Completed);
    assert_eq!(running.count_calls(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_pause_at_the_last_moment_keeps_a_call_from_running() {
    let fixture = Fixture::new();
    let task = fixture.approve_task("hello").await;
    let script = Arc::new(ScriptedRunner::default());
    let executor = executor(&fixture, script.clone());
    let started = executor.start_task(task.id).await.unwrap().unwrap();
    pause(&fixture, true);
    let RunEnd::NotRun(refused) = executor.claim_and_run(started, 1000, CancellationToken::new()).await
    else {
        panic!("it ran");
    };
    assert!(refused.starts_with("it did not run: paused by a person"), "{refused}");
    assert_eq!(script.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_keep_leaves_its_length_and_no_part_of_itself() {
    let answer = format!("{{\"text\":\"{}\"}}", "x".repeat(3000));
    let running = ExecutorFixture::start(Fixture::new(), replying(CallReply::Result(params(&answer))));
    let limits = ApprovalSettings { max_result_bytes: answer.len() - 1, ..ApprovalSettings::default() };
    running.fixture.settings.store(Arc::new(limits));
    let task = running.approve_and_wait("hello").await;
    assert_eq!((task.state, &task.result.is_none()), (TaskState::Completed, &true));
    assert!(note(&task).contains("has 3011 bytes, and at most 3010 are kept"), "{}", note(&task));
    running
        .fixture
        .settings
        .store(Arc::new(ApprovalSettings { max_result_bytes: answer.len(), ..ApprovalSettings::default() }));
    running.script.replies.lock().unwrap().push_back(CallReply::Result(params(&answer)));
    assert_eq!(running.approve_and_wait("again").await.result.unwrap().get().get(), answer);
    running.stop().await;
}

#[tokio::test]
async fn what_takes_several_people_by_now_does_not_run_with_one_approval() {
    let fixture = Fixture::new();
    let task = fixture.approve_task("hello").await;
    fixture.policy.store(Arc::new(policy(&[quorum(2, &[11, 22, 33])])));
    let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
    let ended = running.final_state(task.id).await;
    assert_eq!((ended.state, running.count_calls()), (TaskState::Failed, 0));
    let words = "it did not run: by now it takes 2 of 3 people (user 11, 22, 33), and of these 0 approved";
    assert_eq!(note(&ended), words);
    running.stop().await;
}

/// Opens a task in a session's process and approves it, with how its handover ends.
async fn handed_task(fixture: &Fixture, end: Option<HandoverEnd>) -> Task {
    fixture.children.ends.lock().unwrap().extend(end);
    let origin = context("/project").origin;
    let opened = fixture.approval_queue.submit_call_in(call("hello"), &origin, Some(session_child())).await;
    let id = opened.unwrap().id;
    fixture.approval_queue.approve(id, Authorization::for_test(Act::Approve(id))).await.unwrap()
}

#[tokio::test]
async fn what_a_session_reports_is_the_outcome_and_the_daemon_calls_nothing() {
    let not_run = PermitOutcome::NotRun(PermitProblem::Restarted);
    for (outcome, state, said) in [
        (PermitOutcome::Result(params("{}")), TaskState::Completed, ""),
        (PermitOutcome::Error(params("{}")), TaskState::Failed, ""),
        (PermitOutcome::TooLong(7_000_000), TaskState::Completed, "7000000 bytes"),
        (not_run, TaskState::Failed, "it did not run: its server was restarted since"),
        (PermitOutcome::Failed("no start".to_owned()), TaskState::Failed, "no start"),
        (PermitOutcome::Unknown("it stopped".to_owned()), TaskState::Interrupted, "it stopped"),
        (PermitOutcome::Withheld, TaskState::Failed, "withheld"),
    ] {
        let fixture = Fixture::new();
        let task = handed_task(&fixture, Some(HandoverEnd::Reported(outcome))).await;
        let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
        let ended = running.final_state(task.id).await;
        assert_eq!(ended.state, state, "{ended:?}");
        assert!(note(&ended).contains(said), "{ended:?}");
        assert_eq!((running.count_calls(), running.fixture.children.handed.lock().unwrap().len()), (0, 1));
        running.stop().await;
    }
}

#[tokio::test]
async fn a_handover_that_is_lost_is_interrupted_and_one_that_was_not_made_did_not_run() {
    for (end, state, said) in [
        (HandoverEnd::Lost, TaskState::Interrupted, "whether it took effect is unknown"),
        (HandoverEnd::NotHanded(ChildLoss::SessionEnded), TaskState::Failed, "it did not run"),
    ] {
        let fixture = Fixture::new();
        let task = handed_task(&fixture, Some(end)).await;
        let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
        let ended = running.final_state(task.id).await;
        assert!(ended.state == state && note(&ended).contains(said), "{ended:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_stopping_executor_leaves_what_was_handed_over_interrupted() {
    let fixture = Fixture::new();
    let task = handed_task(&fixture, None).await;
    let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
    wait_until("it is handed over", || running.fixture.children.handed.lock().unwrap().len() == 1).await;
    let fixture = running.stop().await;
    let ended = fixture.approval_queue.find_task(task.id, None).unwrap();
    assert_eq!(ended.state, TaskState::Interrupted);
}

#[tokio::test]
async fn without_its_session_a_call_waits_unless_its_server_is_stateless() {
    let fixture = Fixture::new();
    let task = handed_task(&fixture, None).await;
    *fixture.children.loss.lock().unwrap() = Some(ChildLoss::SessionEnded);
    let running = ExecutorFixture::start(fixture, ScriptedRunner::default());
    // One that needs no session has gone its way by the time that this one would have.
    let other = running.fixture.open_task("another").await;
    running
        .fixture
        .approval_queue
        .approve(other.id, Authorization::for_test(Act::Approve(other.id)))
        .await
        .unwrap();
    running.final_state(other.id).await;
    let waits = running.fixture.approval_queue.find_task(task.id, None).unwrap();
    assert_eq!((waits.state, running.count_calls()), (TaskState::Approved, 1));
    running.fixture.children.is_stateless.store(true, Ordering::SeqCst);
    running.fixture.approval_queue.wake_executor();
    assert_eq!(running.final_state(task.id).await.state, TaskState::Completed);
    assert_eq!(running.count_calls(), 2);
    running.stop().await;
}

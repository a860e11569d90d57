use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portero::policy::{ConfigPolicy, Standing};
use portero::server::ServerError;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::approval::tests::votes::{policy, quorum};
use crate::approval::tests::{Bench, call, context, ground, params, wait_until};
use crate::passphrase::Confirmed;
use portero::pipeline::Desk as _;

/// Stands in for the pipeline: counts calls, and answers in the order that a test gives.
#[derive(Default)]
struct Script {
    calls: AtomicUsize,
    replies: Mutex<VecDeque<Reply>>,
    /// A call whose text is this waits until it is let go.
    held: Option<&'static str>,
    go: Notify,
}

impl Runner for Script {
    fn run<'a>(&'a self, permitted: Permitted, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply> {
        assert!(context.task.is_some());
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let text = permitted.call().params.get().get().to_owned();
            if self.held.is_some_and(|held| text.contains(held)) {
                tokio::select! {
                    () = self.go.notified() => {}
                    () = follow.cancel.cancelled() => return Reply::Refused(Refusal::Cancelled),
                }
            }
            self.replies.lock().unwrap().pop_front().unwrap_or_else(|| Reply::Result(params("{\"ok\":true}")))
        })
    }
}

struct Running {
    bench: Bench,
    script: Arc<Script>,
    executor: Arc<Executor>,
    stop: CancellationToken,
    loops: JoinHandle<()>,
}

impl Running {
    #[must_use]
    fn on(bench: Bench, script: Script) -> Self {
        let script = Arc::new(script);
        let executor = executor(&bench, script.clone());
        let stop = CancellationToken::new();
        let loops = tokio::spawn(executor.clone().run(stop.clone()));
        Self { bench, script, executor, stop, loops }
    }

    async fn final_state(&self, id: TaskId) -> Task {
        let task = self.bench.desk.wait_final(id, None, Duration::from_secs(20)).await.unwrap();
        assert!(task.state.is_final(), "still {}", task.state);
        task
    }

    /// Approves a call and gives the task once it is final.
    async fn settle(&self, text: &str) -> Task {
        let task = self.bench.approved(text).await;
        self.final_state(task.id).await
    }

    fn calls(&self) -> usize {
        self.script.calls.load(Ordering::SeqCst)
    }

    async fn end(self) -> Bench {
        self.stop.cancel();
        self.loops.await.unwrap();
        self.bench
    }
}

pub(super) fn executor(bench: &Bench, runner: Arc<dyn Runner>) -> Arc<Executor> {
    Executor::new(ExecutorParts {
        journal: bench.journal.clone(),
        desk: bench.desk.clone(),
        runner,
        policy: bench.policy.clone(),
        settings: bench.settings.clone(),
        anonymizer: Arc::new(ArcSwap::from_pointee(Anonymizer::none())),
        clock: bench.clock.clone(),
    })
}

fn replying(reply: Reply) -> Script {
    Script { replies: Mutex::new([reply].into()), ..Script::default() }
}

fn deny_all(bench: &Bench) {
    let config = ConfigPolicy { default: Action::Deny, ..ConfigPolicy::default() };
    bench.policy.store(Arc::new(Policy::new(config, Standing::default())));
}

fn note(task: &Task) -> &str {
    task.note.as_ref().map_or("", |note| note.get())
}

#[tokio::test]
async fn an_approved_task_runs_and_its_result_is_kept() {
    let running = Running::on(Bench::new(), Script::default());
    let task = running.settle("hello").await;
    assert_eq!(task.state, State::Completed);
    assert_eq!(task.result.unwrap().get().get(), "{\"ok\":true}");
    let bench = running.end().await;
    let states: Vec<_> = bench.audited().into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, [State::PendingApproval, State::Approved, State::Executing, State::Completed]);
    assert!(bench.after_crash().desk.task(task.id, None).unwrap().result.is_some());
}

#[tokio::test]
async fn a_hundred_approvals_at_once_run_it_once() {
    let running = Running::on(Bench::new(), Script::default());
    let task = running.bench.opened("hello").await;
    let approvals = (0..100).map(|_| running.bench.desk.approve(task.id, Confirmed::by_test()));
    futures_util::future::join_all(approvals).await;
    assert_eq!(running.final_state(task.id).await.state, State::Completed);
    running.settle("another, so that a second run would have had its time").await;
    assert_eq!(running.calls(), 2);
}

#[tokio::test]
async fn two_executors_on_one_store_run_it_once() {
    let running = Running::on(Bench::new(), Script::default());
    let task = running.bench.approved("hello").await;
    let second = executor(&running.bench, running.script.clone());
    tokio::join!(
        running.executor.execute(task.id, CancellationToken::new()),
        second.execute(task.id, CancellationToken::new()),
        second.execute(task.id, CancellationToken::new()),
    );
    running.final_state(task.id).await;
    assert_eq!(running.calls(), 1);
}

#[tokio::test]
async fn what_stands_on_other_ground_than_when_it_was_asked_does_not_run() {
    let running = Running::on(Bench::new(), Script::default());
    let task = running.bench.opened("hello").await;
    *running.bench.ground.0.lock().unwrap() = Ok(ground("another definition"));
    running.bench.desk.approve(task.id, Confirmed::by_test()).await.unwrap();
    let ended = running.final_state(task.id).await;
    assert_eq!(ended.state, State::Failed);
    assert!(note(&ended).contains("did not run"), "{}", note(&ended));
    assert!(
        note(&ended).contains("the tool's definition changed. Make the same call again"),
        "{}",
        note(&ended)
    );
    assert_eq!(running.calls(), 0);
}

#[tokio::test]
async fn a_server_that_does_not_start_fails_the_task() {
    let running = Running::on(Bench::new(), Script::default());
    let task = running.bench.opened("hello").await;
    let error = ServerError::Start("mail".parse().unwrap(), "no such program".to_owned());
    *running.bench.ground.0.lock().unwrap() = Err(Refusal::Server(error.to_string()));
    running.bench.desk.approve(task.id, Confirmed::by_test()).await.unwrap();
    let ended = running.final_state(task.id).await;
    assert_eq!(ended.state, State::Failed);
    assert!(note(&ended).contains("no such program"));
}

#[tokio::test]
async fn a_deny_between_the_approval_and_the_start_wins() {
    let bench = Bench::new();
    let task = bench.approved("hello").await;
    deny_all(&bench);
    let running = Running::on(bench, Script::default());
    assert_eq!(running.final_state(task.id).await.state, State::Denied);
    assert_eq!(running.calls(), 0);
}

#[tokio::test]
async fn an_approval_that_expired_before_the_start_does_not_run() {
    let bench = Bench::new();
    let task = bench.approved("hello").await;
    bench.clock.advance(Duration::from_secs(15 * 60));
    let running = Running::on(bench, Script::default());
    assert_eq!(running.final_state(task.id).await.state, State::Expired);
    assert_eq!(running.calls(), 0);
}

#[tokio::test]
async fn what_was_running_at_a_crash_is_interrupted_and_never_runs_again() {
    let script = Script { held: Some("hello"), ..Script::default() };
    let running = Running::on(Bench::new(), script);
    let task = running.bench.approved("hello").await;
    wait_until("the call runs", || running.calls() > 0).await;
    let waiting = running.bench.approved("after").await;
    let after = running.bench.after_crash();
    running.stop.cancel();
    let script = Arc::new(Script::default());
    let again = executor(&after, script.clone());
    let found = again.recover().await.unwrap();
    assert_eq!(found.interrupted + found.resumed, 2, "{found:?}: the second may have run before the crash");
    let interrupted = after.desk.task(task.id, None).unwrap();
    assert_eq!(interrupted.state, State::Interrupted);
    assert!(note(&interrupted).contains("unknown"));
    let again = Running::on(after, Script::default());
    let last = again.final_state(waiting.id).await;
    assert!(matches!(last.state, State::Completed | State::Interrupted));
    assert_eq!(again.final_state(task.id).await.state, State::Interrupted);
    assert_eq!(again.calls(), found.resumed);
}

#[tokio::test]
async fn an_approved_task_is_resumed_after_a_restart() {
    let bench = Bench::new();
    let task = bench.approved("hello").await;
    let after = bench.after_crash();
    let found = executor(&after, Arc::new(Script::default())).recover().await.unwrap();
    assert_eq!(found, Recovered { interrupted: 0, resumed: 1 });
    let running = Running::on(after, Script::default());
    assert_eq!(running.final_state(task.id).await.state, State::Completed);
}

#[tokio::test]
async fn each_way_to_fail_has_its_state() {
    let server = || "the server".to_owned();
    let ways = [
        (Refusal::Interrupted(server()), State::Interrupted),
        (Refusal::Cancelled, State::Interrupted),
        (Refusal::Server(server()), State::Failed),
        (Refusal::NoAudit, State::Failed),
        (Refusal::Withheld(portero::anonymize::Leak), State::Failed),
    ];
    for (refusal, state) in ways {
        let words = refusal.to_string();
        let running = Running::on(Bench::new(), replying(Reply::Refused(refusal)));
        let task = running.settle("hello").await;
        assert_eq!(task.state, state);
        assert!(note(&task).starts_with(&words), "{}", note(&task));
        assert_eq!(note(&task).contains("portero again"), state == State::Interrupted);
    }
    let running = Running::on(Bench::new(), replying(Reply::Error(params("{\"code\":-1}"))));
    let task = running.settle("hello").await;
    assert_eq!(task.state, State::Failed);
    assert_eq!(task.error.unwrap().get().get(), "{\"code\":-1}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept_and_that_is_said() {
    let long = format!("\"{}\"", "x".repeat(FRAME_MOST));
    let running = Running::on(Bench::new(), replying(Reply::Result(params(&long))));
    running.bench.settings.store(Arc::new(Approvals { result_bytes: usize::MAX, ..Approvals::default() }));
    let task = running.settle("hello").await;
    assert_eq!(task.state, State::Completed);
    assert!(task.result.is_none());
    assert!(note(&task).contains("is not kept"), "{}", note(&task));
}

#[tokio::test]
async fn a_slow_task_does_not_hold_up_another() {
    let script = Script { held: Some("slow"), ..Script::default() };
    let running = Running::on(Bench::new(), script);
    let slow = running.bench.approved("slow").await;
    assert_eq!(running.settle("quick").await.state, State::Completed);
    assert_eq!(running.bench.desk.task(slow.id, None).unwrap().state, State::Executing);
    running.script.go.notify_one();
    assert_eq!(running.final_state(slow.id).await.state, State::Completed);
}

#[tokio::test]
async fn stopping_takes_back_what_runs() {
    let script = Script { held: Some("slow"), ..Script::default() };
    let running = Running::on(Bench::new(), script);
    let slow = running.bench.approved("slow").await;
    wait_until("the call runs", || running.calls() > 0).await;
    let bench = running.end().await;
    assert_eq!(bench.desk.task(slow.id, None).unwrap().state, State::Interrupted);
}

#[tokio::test]
async fn more_approvals_than_run_side_by_side_all_run() {
    let running = Running::on(Bench::new(), Script::default());
    let mut ids = Vec::new();
    for number in 0..AT_MOST + 8 {
        let task = running.bench.desk.submit(call(&number.to_string()), &context("/p")).await.unwrap();
        running.bench.desk.approve(task.id, Confirmed::by_test()).await.unwrap();
        ids.push(task.id);
    }
    for id in ids {
        assert_eq!(running.final_state(id).await.state, State::Completed);
    }
    assert_eq!(running.calls(), AT_MOST + 8);
}

fn pause(bench: &Bench, paused: bool) {
    let paused = paused.then(|| bench.clock.now().wall);
    bench.policy.rcu(|policy| policy.with_standing(Standing { paused, ..policy.standing().clone() }));
}

#[tokio::test]
async fn what_is_approved_starts_after_a_pause_or_expires_in_it() {
    let bench = Bench::new();
    pause(&bench, true);
    let now = bench.clock.now();
    let refused = bench.desk.submit(call("new"), &context("/project")).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Denied(decision) if decision.to_string().starts_with("paused")));
    pause(&bench, false);
    let (late, task) = (bench.approved("late").await, bench.opened("hello").await);
    pause(&bench, true);
    let running = Running::on(bench, Script::default());
    let desk = running.bench.desk.clone();
    running.bench.clock.advance(Duration::from_secs(16 * 60));
    desk.approve(task.id, Confirmed::by_test()).await.unwrap();
    assert_eq!(desk.expire_due().await.unwrap(), 1);
    // The executor had every reason to look, and may have.
    let waited = desk.wait_final(task.id, None, Duration::from_millis(50)).await.unwrap();
    assert_eq!((waited.state, running.calls()), (State::Approved, 0));
    assert_eq!(desk.task(late.id, None).unwrap().state, State::Expired);
    assert!(running.bench.clock.now().wall > now.wall);
    pause(&running.bench, false);
    desk.resumed();
    assert_eq!(running.final_state(task.id).await.state, State::Completed);
    assert_eq!(running.calls(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_pause_at_the_last_moment_keeps_a_call_from_running() {
    let bench = Bench::new();
    let task = bench.approved("hello").await;
    let script = Arc::new(Script::default());
    let executor = executor(&bench, script.clone());
    let started = executor.start(task.id).await.unwrap().unwrap();
    pause(&bench, true);
    let refused = executor.attempt(started, CancellationToken::new()).await.unwrap_err();
    assert!(refused.starts_with("it did not run: paused by a person"), "{refused}");
    assert_eq!(script.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_keep_leaves_its_length_and_no_part_of_itself() {
    let answer = format!("{{\"text\":\"{}\"}}", "x".repeat(3000));
    let running = Running::on(Bench::new(), replying(Reply::Result(params(&answer))));
    let limits = Approvals { result_bytes: answer.len() - 1, ..Approvals::default() };
    running.bench.settings.store(Arc::new(limits));
    let task = running.settle("hello").await;
    assert_eq!((task.state, &task.result.is_none()), (State::Completed, &true));
    assert!(note(&task).contains("has 3011 bytes, and at most 3010 are kept"), "{}", note(&task));
    running.bench.settings.store(Arc::new(Approvals { result_bytes: answer.len(), ..Approvals::default() }));
    running.script.replies.lock().unwrap().push_back(Reply::Result(params(&answer)));
    assert_eq!(running.settle("again").await.result.unwrap().get().get(), answer);
    running.end().await;
}

#[tokio::test]
async fn what_takes_several_people_by_now_does_not_run_with_one_approval() {
    let bench = Bench::new();
    let task = bench.approved("hello").await;
    bench.policy.store(Arc::new(policy(&[quorum(2, &[11, 22, 33])])));
    let running = Running::on(bench, Script::default());
    let ended = running.final_state(task.id).await;
    assert_eq!((ended.state, running.calls()), (State::Failed, 0));
    let words = "it did not run: by now it takes 2 of 3 people (user 11, 22, 33), and of these 0 approved";
    assert_eq!(note(&ended), words);
    running.end().await;
}

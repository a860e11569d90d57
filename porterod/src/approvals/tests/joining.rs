//! Allowed calls that are identical to one that waits: one run, whatever comes in between.

use std::sync::atomic::Ordering;

use portero::names::{SessionId, TaskId};
use portero::pipeline::JoinedCall;
use portero::policy::{Action, DecisionSource, Grant, GrantLimits, PolicyEntry};
use proptest::prelude::*;

use super::*;
use crate::journal::AuditMode;
use crate::store::tasks::TransitionRequest;

/// Lets policy say this of `mail/send`.
fn set_action(fixture: &Fixture, action: Action) {
    let source = DecisionSource::Config { line: 1, column: 1 };
    let pattern = "mail/send".parse().unwrap();
    let entries = vec![PolicyEntry { pattern, action, cases: Vec::new(), source }];
    let config = ConfigPolicy { entries, ..ConfigPolicy::default() };
    fixture.policy.store(Arc::new(Policy::new(config, Overrides::default())));
}

fn set_grant(fixture: &Fixture, limits: GrantLimits) {
    let grant = Grant {
        id: 7,
        pattern: "mail/*".parse().unwrap(),
        made: fixture.clock.now(),
        boot_id: "boot".to_owned(),
        millis: 3_600_000,
        limits,
        used: 0,
    };
    let overrides = Overrides { grants: vec![grant], boot_id: "boot".to_owned(), ..Overrides::default() };
    fixture.policy.store(Arc::new(Policy::new(ConfigPolicy::default(), overrides)));
}

async fn join(fixture: &Fixture, task: TaskId, text: &str) -> Result<JoinedCall, Refusal> {
    let origin = context("/project").origin;
    fixture.approval_queue.join_call_in(task, call(text), &origin, None).await
}

/// `runs`, `waits`, `ended` or the refusal.
fn word(joined: &Result<JoinedCall, Refusal>) -> String {
    match joined {
        Ok(JoinedCall::Runs(_)) => "runs".to_owned(),
        Ok(JoinedCall::Waits(_)) => "waits".to_owned(),
        Ok(JoinedCall::Ended) => "ended".to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

async fn change_state(fixture: &Fixture, id: TaskId, from: &'static [TaskState], to: TaskState) -> bool {
    let step = TransitionRequest::new(id, from, to, fixture.clock.now().wall);
    fixture.approval_queue.transition_task(step, &"test".into(), AuditMode::Required).await.is_ok()
}

#[tokio::test]
async fn a_waiting_call_is_approved_for_an_identical_one_only_if_policy_allows_it() {
    for (action, expected, state) in [
        (Action::Allow, "runs", TaskState::Approved),
        (Action::RequireApproval, "waits", TaskState::PendingApproval),
        (Action::Deny, "denied by `mail/send` (policies.json:1:1)", TaskState::PendingApproval),
    ] {
        let fixture = Fixture::new();
        let task = fixture.open_task("hello").await;
        set_action(&fixture, action);
        let found = fixture.approval_queue.find_waiting(&call("hello"), &context("/project"));
        assert_eq!(found, Some(task.id));
        assert_eq!(word(&join(&fixture, task.id, "hello").await), expected);
        assert_eq!(fixture.approval_queue.find_task(task.id, None).unwrap().state, state);
    }
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    set_grant(&fixture, GrantLimits::default());
    let Ok(JoinedCall::Runs(approved)) = join(&fixture, task.id, "hello").await else { panic!("it waits") };
    assert_eq!(approved.note.unwrap().get(), "the same call came again and is allowed by `mail/*` (grant 7)");
    let (state, by) = fixture.audited_states().pop().unwrap();
    assert!(state == TaskState::Approved && by.starts_with("session ") && by.ends_with("/project"), "{by}");
}

#[tokio::test]
async fn the_state_of_the_waiting_call_decides_whether_another_joins_it() {
    let open: &[TaskState] = &[TaskState::PendingApproval];
    let steps: [(&[TaskState], &str); 8] = [
        (&[], "runs"),
        (&[TaskState::Approved], "runs"),
        (&[TaskState::Approved, TaskState::Executing], "runs"),
        (&[TaskState::Approved, TaskState::Executing, TaskState::Completed], "ended"),
        (&[TaskState::Approved, TaskState::Executing, TaskState::Interrupted], "ended"),
        (&[TaskState::Denied], "ended"),
        (&[TaskState::Cancelled], "ended"),
        (&[TaskState::Expired], "ended"),
    ];
    for (states, expected) in steps {
        let fixture = Fixture::new();
        let task = fixture.open_task("hello").await;
        set_action(&fixture, Action::Allow);
        let mut from = open;
        for state in states {
            assert!(change_state(&fixture, task.id, from, *state).await, "{state}");
            from = std::slice::from_ref(TaskState::ALL.iter().find(|known| *known == state).unwrap());
        }
        assert_eq!(word(&join(&fixture, task.id, "hello").await), expected, "{states:?}");
        // Of one that ended nothing is remembered.
        let found = fixture.approval_queue.find_waiting(&call("hello"), &context("/project"));
        assert_eq!(found.is_some(), expected == "runs", "{states:?}");
    }
}

#[tokio::test]
async fn a_call_that_differs_in_anything_that_an_approval_binds_to_does_not_join() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    set_action(&fixture, Action::Allow);
    assert_eq!(word(&join(&fixture, task.id, "other").await), "ended");
    let elsewhere = context("/other").origin;
    let joined = fixture.approval_queue.join_call_in(task.id, call("hello"), &elsewhere, None).await;
    assert_eq!(word(&joined), "ended");
    let origin = context("/project").origin;
    let child = Some(session_child());
    let joined = fixture.approval_queue.join_call_in(task.id, call("hello"), &origin, child).await;
    assert_eq!(word(&joined), "ended", "it would run in a process of a session");
    *fixture.binding_source.0.lock().unwrap() = Ok(binding_inputs("another definition"));
    assert_eq!(word(&join(&fixture, task.id, "hello").await), "ended");
    assert_eq!(fixture.approval_queue.find_task(task.id, None).unwrap().state, TaskState::PendingApproval);

    // A session's own task is joined by its own call alone.
    let child = session_child();
    let queue = &fixture.approval_queue;
    let own = queue.submit_call_in(call("own"), &origin, Some(child.clone())).await.unwrap();
    let mut theirs = session_child();
    theirs.holder = "another".to_owned();
    for (child, expected) in [(None, "ended"), (Some(theirs), "ended"), (Some(child), "runs")] {
        let joined = queue.join_call_in(own.id, call("own"), &origin, child).await;
        assert_eq!(word(&joined), expected);
    }
}

#[tokio::test]
async fn a_call_joins_by_a_use_of_a_counted_grant_as_long_as_it_has_one() {
    let fixture = Fixture::new();
    let tasks = [fixture.open_task("one").await, fixture.open_task("two").await];
    set_grant(&fixture, GrantLimits { uses: "2".parse().ok(), ..GrantLimits::default() });
    fixture.uses.left.store(1, Ordering::SeqCst);
    assert_eq!(word(&join(&fixture, tasks[0].id, "one").await), "runs");
    assert_eq!(word(&join(&fixture, tasks[0].id, "one").await), "runs", "it takes no second use");
    assert_eq!(word(&join(&fixture, tasks[1].id, "two").await), "waits", "there is none left");
    assert_eq!(fixture.uses.left.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_grant_for_one_session_lets_the_call_of_no_other_join() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    let mine = context("/project").origin;
    set_grant(&fixture, GrantLimits { session: Some(mine.session), ..GrantLimits::default() });
    let other = CallOrigin { session: SessionId::fresh(), ..mine.clone() };
    let queue = &fixture.approval_queue;
    assert_eq!(word(&queue.join_call_in(task.id, call("hello"), &other, None).await), "waits");
    assert_eq!(word(&queue.join_call_in(task.id, call("hello"), &mine, None).await), "runs");
}

#[tokio::test]
async fn a_daemon_that_starts_anew_knows_which_calls_wait() {
    let fixture = Fixture::new();
    let (waiting, approved) = (fixture.open_task("waiting").await, fixture.approve_task("approved").await);
    let denied = fixture.open_task("denied").await;
    fixture.approval_queue.reject_without_cooldown(denied.id, None, &"test".into()).await.unwrap();
    let after = fixture.after_crash();
    after.approval_queue.restore_waiting_calls().unwrap();
    let find = |text: &str| after.approval_queue.find_waiting(&call(text), &context("/project"));
    assert_eq!((find("waiting"), find("approved")), (Some(waiting.id), Some(approved.id)));
    assert_eq!(find("denied"), None);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The agent calls, as a session with the daemon's policy does.
    Call,
    SetAction(Action),
    Approve,
    Reject,
    Start,
    End,
    Wait(u32),
    Crash,
}

fn steps() -> impl Strategy<Value = Step> {
    let actions = [Action::Allow, Action::Allow, Action::RequireApproval];
    prop_oneof![
        5 => Just(Step::Call),
        3 => prop::sample::select(actions.to_vec()).prop_map(Step::SetAction),
        1 => Just(Step::Approve),
        1 => Just(Step::Reject),
        2 => Just(Step::Start),
        2 => Just(Step::End),
        1 => (1_u32..20).prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

/// Every task that the agent was told of, and how often each started.
struct History {
    fixture: Fixture,
    action: Action,
    tasks: Vec<TaskId>,
    starts: Vec<TaskId>,
}

impl History {
    fn state(&self, task: TaskId) -> TaskState {
        self.fixture.approval_queue.find_task(task, None).unwrap().state
    }

    fn first_in(&self, state: TaskState) -> Option<TaskId> {
        self.tasks.iter().copied().find(|task| self.state(*task) == state)
    }

    /// A call that asks becomes a task. One that is allowed joins the identical one, or runs because none is open.
    async fn call(&mut self) {
        let (queue, context) = (&self.fixture.approval_queue, context("/project"));
        let decision = call("x").decide(
            &self.fixture.policy.load(),
            Some(context.origin.asker()),
            self.fixture.clock.now(),
        );
        match decision.action {
            Action::Deny => {}
            Action::RequireApproval => {
                if let Ok(task) = queue.submit_call(call("x"), &context).await
                    && !self.tasks.contains(&task.id)
                {
                    self.tasks.push(task.id);
                }
            }
            Action::Allow => {
                let waiting = queue.find_waiting(&call("x"), &context);
                let joined = match waiting {
                    Some(task) => queue.join_call(task, call("x"), &context).await.unwrap(),
                    None => JoinedCall::Ended,
                };
                match joined {
                    JoinedCall::Runs(task) => assert!(self.tasks.contains(&task.id)),
                    JoinedCall::Waits(task) => panic!("it is allowed: {task:?}"),
                    JoinedCall::Ended => {
                        queue.expire_due().await.unwrap();
                        for open in [TaskState::PendingApproval, TaskState::Approved] {
                            assert_eq!(self.first_in(open), None, "it runs beside a task that can run too");
                        }
                    }
                }
            }
        }
    }

    async fn make_step(&mut self, step: Step) {
        match step {
            Step::Call => self.call().await,
            Step::SetAction(action) => {
                self.action = action;
                set_action(&self.fixture, action);
            }
            Step::Approve => {
                if let Some(task) = self.first_in(TaskState::PendingApproval) {
                    let yes = Authorization::for_test(Act::Approve(task));
                    let _ = self.fixture.approval_queue.approve(task, yes).await;
                }
            }
            Step::Reject => {
                if let Some(task) = self.first_in(TaskState::PendingApproval) {
                    let queue = &self.fixture.approval_queue;
                    let _ = queue.reject_without_cooldown(task, None, &"test".into()).await;
                }
            }
            Step::Start => {
                let Some(task) = self.first_in(TaskState::Approved) else { return };
                let now = self.fixture.clock.now().wall;
                let start = TransitionRequest {
                    must_be_alive: true,
                    ..TransitionRequest::new(task, &[TaskState::Approved], TaskState::Executing, now)
                };
                let queue = &self.fixture.approval_queue;
                if queue.transition_task(start, &"test".into(), AuditMode::Required).await.is_ok() {
                    assert!(!self.starts.contains(&task), "it started twice");
                    self.starts.push(task);
                }
            }
            Step::End => {
                if let Some(task) = self.first_in(TaskState::Executing) {
                    change_state(&self.fixture, task, &[TaskState::Executing], TaskState::Completed).await;
                }
            }
            Step::Wait(minutes) => self.fixture.clock.advance(Duration::from_secs(u64::from(minutes) * 60)),
            Step::Crash => {
                let after = self.fixture.after_crash();
                let passed = self.fixture.clock.now().wall.duration_since(after.clock.now().wall);
                after.clock.advance(passed.try_into().unwrap());
                after.settings.store(self.fixture.settings.load_full());
                after.approval_queue.restore_waiting_calls().unwrap();
                self.fixture = after;
                set_action(&self.fixture, self.action);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_runs_an_allowed_call_beside_the_identical_one_that_waits(history in prop::collection::vec(steps(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new();
            fixture.settings.store(Arc::new(ApprovalSettings {
                decision_timeout: Duration::from_secs(30 * 60),
                start_timeout: Duration::from_secs(15 * 60),
                ..ApprovalSettings::default()
            }));
            set_action(&fixture, Action::RequireApproval);
            let action = Action::RequireApproval;
            let mut play = History { fixture, action, tasks: Vec::new(), starts: Vec::new() };
            for step in history {
                play.make_step(step).await;
            }
        });
    }
}

//! Random histories of one task against a model of what it may become.

use portero::names::TaskId;
use proptest::prelude::*;

use super::*;
use crate::journal::AuditMode;
use crate::store::tasks::TransitionRequest;

#[derive(Debug, Clone, Copy)]
enum HistoryStep {
    Approve,
    Reject,
    Cancel,
    Start,
    End(TaskState),
    ExpireDue,
    Wait(u32),
    Crash,
}

fn moves() -> impl Strategy<Value = HistoryStep> {
    let ends = [TaskState::Completed, TaskState::Failed, TaskState::Interrupted];
    prop_oneof![
        3 => Just(HistoryStep::Approve),
        1 => Just(HistoryStep::Reject),
        1 => Just(HistoryStep::Cancel),
        3 => Just(HistoryStep::Start),
        3 => prop::sample::select(ends.to_vec()).prop_map(HistoryStep::End),
        1 => Just(HistoryStep::ExpireDue),
        2 => (1_u32..20).prop_map(HistoryStep::Wait),
        1 => Just(HistoryStep::Crash),
    ]
}

/// What the task should be: its state, and the minutes that are left to decide or to start.
#[derive(Debug, Clone, Copy)]
struct TaskModel {
    state: TaskState,
    left: i64,
}

impl TaskModel {
    fn is_alive(self) -> bool {
        self.left > 0
    }

    /// The state after a step that is asked for; the step is made only if this is the one asked for.
    fn transition(&mut self, from: &[TaskState], to: TaskState, must_live: bool) -> bool {
        let may = from.contains(&self.state) && (self.is_alive() || !must_live);
        if may {
            self.state = to;
        } else if !self.is_alive() && self.state.can_transition_to(TaskState::Expired) {
            self.state = TaskState::Expired;
        }
        may
    }
}

async fn play_history(history: Vec<HistoryStep>) {
    let mut fixture = Fixture::new();
    fixture.settings.store(Arc::new(ApprovalSettings {
        decision_timeout: Duration::from_secs(30 * 60),
        start_timeout: Duration::from_secs(15 * 60),
        ..ApprovalSettings::default()
    }));
    let id = fixture.open_task("hello").await.id;
    let mut model = TaskModel { state: TaskState::PendingApproval, left: 30 };
    for next in history {
        let (made, expected) = make_step(&mut fixture, id, &mut model, next).await;
        assert_eq!(made, expected, "{next:?} {model:?}");
        assert_eq!(fixture.approval_queue.find_task(id, None).unwrap().state, model.state, "{next:?}");
    }
}

async fn make_step(
    fixture: &mut Fixture,
    id: TaskId,
    model: &mut TaskModel,
    next: HistoryStep,
) -> (bool, bool) {
    let open = [TaskState::PendingApproval, TaskState::Approved];
    let now = fixture.clock.now().wall;
    match next {
        HistoryStep::Approve => {
            let expected = model.transition(&[TaskState::PendingApproval], TaskState::Approved, true);
            if expected {
                model.left = 15;
            }
            (
                fixture.approval_queue.approve(id, Authorization::for_test(Act::Approve(id))).await.is_ok(),
                expected,
            )
        }
        HistoryStep::Reject => {
            let expected = model.transition(&open, TaskState::Denied, false);
            (fixture.approval_queue.reject(id, None, &"test".into()).await.is_ok(), expected)
        }
        HistoryStep::Cancel => {
            let expected = model.transition(&open, TaskState::Cancelled, false);
            (fixture.approval_queue.cancel(id, &principal("/project")).await.is_ok(), expected)
        }
        HistoryStep::Start => {
            let expected = model.transition(&[TaskState::Approved], TaskState::Executing, true);
            let step = TransitionRequest {
                must_be_alive: true,
                ..TransitionRequest::new(id, &[TaskState::Approved], TaskState::Executing, now)
            };
            (
                fixture
                    .approval_queue
                    .transition_task(step, &"test".into(), AuditMode::Required)
                    .await
                    .is_ok(),
                expected,
            )
        }
        HistoryStep::End(state) => {
            let expected = model.transition(&[TaskState::Executing], state, false);
            let step = TransitionRequest::new(id, &[TaskState::Executing], state, now);
            (
                fixture
                    .approval_queue
                    .transition_task(step, &"test".into(), AuditMode::BestEffort)
                    .await
                    .is_ok(),
                expected,
            )
        }
        HistoryStep::ExpireDue => {
            let due = !model.is_alive() && model.state.can_transition_to(TaskState::Expired);
            if due {
                model.state = TaskState::Expired;
            }
            (fixture.approval_queue.expire_due().await.unwrap() == 1, due)
        }
        HistoryStep::Wait(minutes) => {
            fixture.clock.advance(Duration::from_secs(u64::from(minutes) * 60));
            model.left -= i64::from(minutes);
            (true, true)
        }
        HistoryStep::Crash => {
            let after = fixture.after_crash();
            let passed = fixture.clock.now().wall.duration_since(after.clock.now().wall);
            after.clock.advance(passed.try_into().unwrap());
            after.settings.store(fixture.settings.load_full());
            *fixture = after;
            (true, true)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_brings_a_task_where_it_may_not_go(history in prop::collection::vec(moves(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play_history(history));
    }
}

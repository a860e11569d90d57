//! Random histories of several tasks, with crashes, against a model of what a channel must be told.

use std::collections::BTreeMap;

use portero::clock::Clock as _;
use portero::ipc::Act;

use portero::pipeline::Approvals as _;
use proptest::prelude::*;

use super::*;
use crate::approvals::tests::{call, context};
use crate::journal::AuditMode;
use crate::store::tasks::TransitionRequest;

#[derive(Debug, Clone, Copy)]
enum HistoryStep {
    Open(u8),
    Approve(usize),
    Reject(usize),
    Start(usize),
    End(usize),
    Wait,
    ExpireDue,
    /// The channel tells so many, and is killed before it acknowledges.
    Tell(usize),
    /// The channel tells so many and acknowledges.
    Acknowledge(usize),
    Crash,
}

fn moves() -> impl Strategy<Value = HistoryStep> {
    prop_oneof![
        4 => any::<u8>().prop_map(HistoryStep::Open),
        3 => (0_usize..6).prop_map(HistoryStep::Approve),
        2 => (0_usize..6).prop_map(HistoryStep::Reject),
        2 => (0_usize..6).prop_map(HistoryStep::Start),
        2 => (0_usize..6).prop_map(HistoryStep::End),
        1 => Just(HistoryStep::Wait),
        1 => Just(HistoryStep::ExpireDue),
        2 => (1_usize..6).prop_map(HistoryStep::Tell),
        2 => (1_usize..6).prop_map(HistoryStep::Acknowledge),
        2 => Just(HistoryStep::Crash),
    ]
}

/// What was told so far, and what must be.
#[derive(Default)]
struct ChannelModel {
    tasks: Vec<TaskId>,
    /// Each task's states, as the queue answered.
    came: BTreeMap<TaskId, Vec<TaskState>>,
    /// Every notice that was told, by its place.
    told: BTreeMap<u64, (TaskId, TaskState)>,
    acknowledged: u64,
}

impl ChannelModel {
    fn note_state(&mut self, task: TaskId, state: TaskState) {
        let states = self.came.entry(task).or_default();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }

    /// Looks at what the store says of every task: a step may also have marked it expired.
    fn read_changes(&mut self, fixture: &Fixture) {
        for task in self.tasks.clone() {
            self.note_state(task, fixture.approval_queue.find_task(task, None).unwrap().state);
        }
    }

    fn task(&self, index: usize) -> Option<TaskId> {
        (!self.tasks.is_empty()).then(|| self.tasks[index % self.tasks.len()])
    }

    async fn tell_channel(&mut self, fixture: &Fixture, most: usize, acknowledge: bool) -> usize {
        let entries = fixture.outbox.next_entries("test").unwrap();
        let told = &entries[..most.min(entries.len())];
        for entry in told {
            assert!(entry.seq > self.acknowledged, "an acknowledged notice came again");
            let about = state(&entry.notice).unwrap();
            let before = self.told.insert(entry.seq, about);
            assert!(before.is_none_or(|before| before == about), "a place holds one notice");
        }
        if let (Some(last), true) = (told.last(), acknowledge) {
            fixture.outbox.acknowledge("test", last.seq).await.unwrap();
            self.acknowledged = last.seq;
        }
        told.len()
    }

    async fn make_step(&mut self, fixture: &mut Fixture, next: HistoryStep) {
        let now = fixture.journal.now().wall;
        match next {
            HistoryStep::Open(text) => {
                let asked = fixture
                    .approval_queue
                    .submit_call(call(&(text % 4).to_string()), &context("/project"))
                    .await;
                // After a no the same call is refused for a while.
                if let Ok(task) = asked {
                    if !self.tasks.contains(&task.id) {
                        self.tasks.push(task.id);
                    }
                    self.note_state(task.id, TaskState::PendingApproval);
                }
            }
            HistoryStep::Approve(index) => {
                if let Some(task) = self.task(index) {
                    let _ = fixture
                        .approval_queue
                        .approve(task, Authorization::for_test(Act::Approve(task)))
                        .await;
                }
            }
            HistoryStep::Reject(index) => {
                if let Some(task) = self.task(index) {
                    let _ = fixture.approval_queue.reject(task, None, &"test".into()).await;
                }
            }
            HistoryStep::Start(index) => {
                if let Some(task) = self.task(index) {
                    let step = TransitionRequest {
                        must_be_alive: true,
                        ..TransitionRequest::new(task, &[TaskState::Approved], TaskState::Executing, now)
                    };
                    let _ = fixture
                        .approval_queue
                        .transition_task(step, &"test".into(), AuditMode::Required)
                        .await;
                }
            }
            HistoryStep::End(index) => {
                if let Some(task) = self.task(index) {
                    let step =
                        TransitionRequest::new(task, &[TaskState::Executing], TaskState::Completed, now);
                    let _ = fixture
                        .approval_queue
                        .transition_task(step, &"test".into(), AuditMode::BestEffort)
                        .await;
                }
            }
            HistoryStep::Wait => fixture.clock.advance(Duration::from_secs(10 * 3600)),
            HistoryStep::ExpireDue => {
                fixture.approval_queue.expire_due().await.unwrap();
            }
            HistoryStep::Tell(most) => {
                self.tell_channel(fixture, most, false).await;
            }
            HistoryStep::Acknowledge(most) => {
                self.tell_channel(fixture, most, true).await;
            }
            HistoryStep::Crash => {
                let after = fixture.after_crash();
                let passed = fixture.clock.now().wall.duration_since(after.clock.now().wall);
                after.clock.advance(passed.try_into().unwrap());
                *fixture = after;
            }
        }
        self.read_changes(fixture);
    }

    /// Every change reached the channel, in the order of each task.
    fn check(&self) {
        let mut reached: BTreeMap<TaskId, Vec<TaskState>> = BTreeMap::new();
        for (task, state) in self.told.values() {
            reached.entry(*task).or_default().push(*state);
        }
        assert_eq!(reached, self.came);
    }
}

async fn play_history(history: Vec<HistoryStep>) {
    let mut fixture = Fixture::new();
    fixture.outbox.register_channel("test").await.unwrap();
    let mut model = ChannelModel::default();
    for next in history {
        model.make_step(&mut fixture, next).await;
    }
    let mut left = 1;
    for _ in 0..1000 {
        left = model.tell_channel(&fixture, 3, true).await;
        if left == 0 {
            break;
        }
    }
    assert_eq!(left, 0, "it is never told whole");
    model.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_reaches_the_channel_at_least_once_and_in_order(
        history in prop::collection::vec(moves(), 1..24)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play_history(history));
    }
}

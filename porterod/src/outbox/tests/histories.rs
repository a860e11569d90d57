//! Random histories of several tasks, with crashes, against a model of what a channel must be told.

use std::collections::BTreeMap;

use portero::clock::Clock as _;

use portero::pipeline::Desk as _;
use proptest::prelude::*;

use super::*;
use crate::approval::tests::{call, context};
use crate::journal::Weight;
use crate::store::tasks::Step;

#[derive(Debug, Clone, Copy)]
enum Move {
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

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => any::<u8>().prop_map(Move::Open),
        3 => (0_usize..6).prop_map(Move::Approve),
        2 => (0_usize..6).prop_map(Move::Reject),
        2 => (0_usize..6).prop_map(Move::Start),
        2 => (0_usize..6).prop_map(Move::End),
        1 => Just(Move::Wait),
        1 => Just(Move::ExpireDue),
        2 => (1_usize..6).prop_map(Move::Tell),
        2 => (1_usize..6).prop_map(Move::Acknowledge),
        2 => Just(Move::Crash),
    ]
}

/// What was told so far, and what must be.
#[derive(Default)]
struct Model {
    tasks: Vec<TaskId>,
    /// Each task's states, as the desk answered.
    came: BTreeMap<TaskId, Vec<State>>,
    /// Every notice that was told, by its place.
    told: BTreeMap<u64, (TaskId, State)>,
    acknowledged: u64,
}

impl Model {
    fn came(&mut self, task: TaskId, state: State) {
        let states = self.came.entry(task).or_default();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }

    /// Looks at what the store says of every task: a step may also have marked it expired.
    fn look(&mut self, bench: &Bench) {
        for task in self.tasks.clone() {
            self.came(task, bench.desk.task(task, None).unwrap().state);
        }
    }

    fn task(&self, index: usize) -> Option<TaskId> {
        (!self.tasks.is_empty()).then(|| self.tasks[index % self.tasks.len()])
    }

    async fn tell(&mut self, bench: &Bench, most: usize, acknowledge: bool) -> usize {
        let entries = bench.outbox.next("test").unwrap();
        let told = &entries[..most.min(entries.len())];
        for entry in told {
            assert!(entry.seq > self.acknowledged, "an acknowledged notice came again");
            let about = state(&entry.notice).unwrap();
            let before = self.told.insert(entry.seq, about);
            assert!(before.is_none_or(|before| before == about), "a place holds one notice");
        }
        if let (Some(last), true) = (told.last(), acknowledge) {
            bench.outbox.acknowledge("test", last.seq).await.unwrap();
            self.acknowledged = last.seq;
        }
        told.len()
    }

    async fn make(&mut self, bench: &mut Bench, next: Move) {
        let now = bench.journal.now().wall;
        match next {
            Move::Open(text) => {
                let asked = bench.desk.submit(call(&(text % 4).to_string()), &context("/project")).await;
                // After a no the same call is refused for a while.
                if let Ok(task) = asked {
                    if !self.tasks.contains(&task.id) {
                        self.tasks.push(task.id);
                    }
                    self.came(task.id, State::PendingApproval);
                }
            }
            Move::Approve(index) => {
                if let Some(task) = self.task(index) {
                    let _ = bench.desk.approve(task, Confirmed::by_test()).await;
                }
            }
            Move::Reject(index) => {
                if let Some(task) = self.task(index) {
                    let _ = bench.desk.reject(task, None, "test").await;
                }
            }
            Move::Start(index) => {
                if let Some(task) = self.task(index) {
                    let step =
                        Step { alive: true, ..Step::new(task, &[State::Approved], State::Executing, now) };
                    let _ = bench.desk.step(step, "test", Weight::Strict).await;
                }
            }
            Move::End(index) => {
                if let Some(task) = self.task(index) {
                    let step = Step::new(task, &[State::Executing], State::Completed, now);
                    let _ = bench.desk.step(step, "test", Weight::Lenient).await;
                }
            }
            Move::Wait => bench.clock.advance(Duration::from_secs(10 * 3600)),
            Move::ExpireDue => {
                bench.desk.expire_due().await.unwrap();
            }
            Move::Tell(most) => {
                self.tell(bench, most, false).await;
            }
            Move::Acknowledge(most) => {
                self.tell(bench, most, true).await;
            }
            Move::Crash => {
                let after = bench.after_crash();
                let passed = bench.clock.now().wall.duration_since(after.clock.now().wall);
                after.clock.advance(passed.try_into().unwrap());
                *bench = after;
            }
        }
        self.look(bench);
    }

    /// Every change reached the channel, in the order of each task.
    fn check(&self) {
        let mut reached: BTreeMap<TaskId, Vec<State>> = BTreeMap::new();
        for (task, state) in self.told.values() {
            reached.entry(*task).or_default().push(*state);
        }
        assert_eq!(reached, self.came);
    }
}

async fn play(history: Vec<Move>) {
    let mut bench = Bench::new();
    bench.outbox.register("test").await.unwrap();
    let mut model = Model::default();
    for next in history {
        model.make(&mut bench, next).await;
    }
    let mut left = 1;
    for _ in 0..1000 {
        left = model.tell(&bench, 3, true).await;
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
        runtime.block_on(play(history));
    }
}

//! Random histories of one task against a model of what it may become.

use portero::names::TaskId;
use proptest::prelude::*;

use super::*;
use crate::journal::Weight;
use crate::store::tasks::Step;

#[derive(Debug, Clone, Copy)]
enum Move {
    Approve,
    Reject,
    Cancel,
    Start,
    End(State),
    ExpireDue,
    Wait(u32),
    Crash,
}

fn moves() -> impl Strategy<Value = Move> {
    let ends = [State::Completed, State::Failed, State::Interrupted];
    prop_oneof![
        3 => Just(Move::Approve),
        1 => Just(Move::Reject),
        1 => Just(Move::Cancel),
        3 => Just(Move::Start),
        3 => prop::sample::select(ends.to_vec()).prop_map(Move::End),
        1 => Just(Move::ExpireDue),
        2 => (1_u32..20).prop_map(Move::Wait),
        1 => Just(Move::Crash),
    ]
}

/// What the task should be: its state, and the minutes that are left to decide or to start.
#[derive(Debug, Clone, Copy)]
struct Model {
    state: State,
    left: i64,
}

impl Model {
    fn alive(self) -> bool {
        self.left > 0
    }

    /// The state after a step that is asked for; the step is made only if this is the one asked for.
    fn step(&mut self, from: &[State], to: State, must_live: bool) -> bool {
        let may = from.contains(&self.state) && (self.alive() || !must_live);
        if may {
            self.state = to;
        } else if !self.alive() && self.state.may_become(State::Expired) {
            self.state = State::Expired;
        }
        may
    }
}

async fn play(history: Vec<Move>) {
    let mut bench = Bench::new();
    bench.settings.store(Arc::new(Approvals {
        pending: Duration::from_secs(30 * 60),
        start: Duration::from_secs(15 * 60),
        ..Approvals::default()
    }));
    let id = bench.opened("hello").await.id;
    let mut model = Model { state: State::PendingApproval, left: 30 };
    for next in history {
        let (made, expected) = make(&mut bench, id, &mut model, next).await;
        assert_eq!(made, expected, "{next:?} {model:?}");
        assert_eq!(bench.desk.task(id, None).unwrap().state, model.state, "{next:?}");
    }
}

async fn make(bench: &mut Bench, id: TaskId, model: &mut Model, next: Move) -> (bool, bool) {
    let open = [State::PendingApproval, State::Approved];
    let now = bench.clock.now().wall;
    match next {
        Move::Approve => {
            let expected = model.step(&[State::PendingApproval], State::Approved, true);
            if expected {
                model.left = 15;
            }
            (bench.desk.approve(id, Confirmed::by_test()).await.is_ok(), expected)
        }
        Move::Reject => {
            let expected = model.step(&open, State::Denied, false);
            (bench.desk.reject(id, None, "test").await.is_ok(), expected)
        }
        Move::Cancel => {
            let expected = model.step(&open, State::Cancelled, false);
            (bench.desk.cancel(id, &principal("/project")).await.is_ok(), expected)
        }
        Move::Start => {
            let expected = model.step(&[State::Approved], State::Executing, true);
            let step = Step { alive: true, ..Step::new(id, &[State::Approved], State::Executing, now) };
            (bench.desk.step(step, "test", Weight::Strict).await.is_ok(), expected)
        }
        Move::End(state) => {
            let expected = model.step(&[State::Executing], state, false);
            let step = Step::new(id, &[State::Executing], state, now);
            (bench.desk.step(step, "test", Weight::Lenient).await.is_ok(), expected)
        }
        Move::ExpireDue => {
            let due = !model.alive() && model.state.may_become(State::Expired);
            if due {
                model.state = State::Expired;
            }
            (bench.desk.expire_due().await.unwrap() == 1, due)
        }
        Move::Wait(minutes) => {
            bench.clock.advance(Duration::from_secs(u64::from(minutes) * 60));
            model.left -= i64::from(minutes);
            (true, true)
        }
        Move::Crash => {
            let after = bench.after_crash();
            let passed = bench.clock.now().wall.duration_since(after.clock.now().wall);
            after.clock.advance(passed.try_into().unwrap());
            after.settings.store(bench.settings.load_full());
            *bench = after;
            (true, true)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_brings_a_task_where_it_may_not_go(history in prop::collection::vec(moves(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(history));
    }
}

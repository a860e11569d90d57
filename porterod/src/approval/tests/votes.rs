//! Calls that take the yes of several people.

use portero::policy::{Quorum, Source};
use proptest::prelude::*;

use super::*;
use crate::approval::VoteError;
use crate::store::{Records, telegram};
use crate::taps::{Act, Deed, Found, Press, Spot, Tapped, Taps};

/// So many approvals of these people.
pub(crate) fn quorum(approvals: usize, of: &[u64]) -> Quorum {
    let source = Source::Quorum { line: 3, column: 7 };
    Quorum { tools: vec!["mail/*".parse().unwrap()], approvals, of: of.to_vec(), source }
}

pub(crate) fn policy(quorums: &[Quorum]) -> Policy {
    let config = ConfigPolicy { quorums: quorums.to_vec(), ..ConfigPolicy::default() };
    Policy::new(config, Standing::default())
}

/// A task that takes two of three people, each of whom has buttons of their own.
struct Table {
    bench: Bench,
    task: Task,
    presses: std::cell::Cell<i64>,
}

impl Table {
    async fn laid(quorums: &[Quorum]) -> Self {
        let bench = Bench::new();
        bench.policy.store(Arc::new(policy(quorums)));
        let task = bench.opened("hello").await;
        Self { bench, task, presses: std::cell::Cell::new(0) }
    }

    async fn for_three() -> Self {
        Self::laid(&[quorum(2, &[11, 22, 33])]).await
    }

    fn now_takes(&self, quorums: &[Quorum]) {
        self.bench.policy.store(Arc::new(policy(quorums)));
    }

    /// A new button of this person, and a press of it.
    async fn button(&self, user: i64, deed: Deed) -> (String, Press) {
        let (taps, now) = (Taps::new(self.bench.journal.clone()), self.bench.journal.now().wall);
        self.presses.set(self.presses.get() + 1);
        let number = self.presses.get();
        let cause = format!("card:{}:{number}", self.task.id);
        let spot = Spot { bot: 7, chat: user, user: Some(user), cause: cause.clone() };
        let (token, _) = taps.make(spot, vec![(Some(self.task.id), Act::Decide(deed))]).await.unwrap();
        let keep = move |store: &rusqlite::Connection| {
            telegram::keep_sent(store, 7, (user, 100 + number), &cause, now)
        };
        self.bench.journal.store().write(Records::None, keep).await.unwrap();
        let press = Press { bot: 7, chat: user, user, message: 100 + number, update: number };
        (token.into_iter().next().unwrap(), press)
    }

    fn found(&self, (token, press): &(String, Press)) -> Found {
        Taps::new(self.bench.journal.clone()).pressed(token, *press).unwrap()
    }

    async fn tapped(&self, user: i64, deed: Deed) -> Tapped {
        let button = self.button(user, deed).await;
        match self.found(&button) {
            Found::Decide(tapped) => tapped,
            other => panic!("{other:?}"),
        }
    }

    async fn approves(&self, user: i64) -> Result<State, DeskError> {
        let confirmed = Confirmed::of_tap(self.tapped(user, Deed::Approve).await);
        self.bench.desk.approve(self.task.id, confirmed).await.map(|task| task.state)
    }

    fn state(&self) -> State {
        self.bench.desk.task(self.task.id, None).unwrap().state
    }

    fn voted(&self) -> Vec<u64> {
        self.bench.desk.task(self.task.id, None).unwrap().votes.iter().map(|vote| vote.user).collect()
    }

    /// What the audit says of votes, and who is said to have approved.
    fn recorded(&self) -> Vec<String> {
        let audit = audit::read(&self.bench.directory.path().join("audit"), &Filter::default()).unwrap();
        let told = audit.entries.into_iter().filter_map(|entry| match entry.record.event {
            Event::Act { act, about, process, .. } if act == "vote" => {
                let about = about.rsplit(": ").next().unwrap().to_owned();
                Some(format!("{about} by {}", process.unwrap()))
            }
            Event::Task { state, by, .. } if state != State::PendingApproval => {
                Some(format!("{state} by {by}"))
            }
            _ => None,
        });
        told.collect()
    }
}

const WAITS: Result<State, DeskError> = Ok(State::PendingApproval);
const APPROVED: Result<State, DeskError> = Ok(State::Approved);

#[tokio::test]
async fn a_task_waits_until_so_many_different_people_approved_it_and_then_all_are_named() {
    let table = Table::for_three().await;
    assert_eq!(table.approves(11).await, WAITS);
    assert_eq!((table.state(), table.voted()), (State::PendingApproval, vec![11]));
    assert_eq!(table.approves(33).await, APPROVED);
    assert_eq!(table.recorded(), ["vote 1 of 2 by telegram user 11", "approved by telegram user 11, 33"]);
    let told = table.bench.told();
    assert!(told[1].contains("Vote") && told[1].contains("telegram user 11"), "{told:?}");
    assert_eq!(told[2], "approved by telegram user 11, 33");
    assert_eq!(table.approves(22).await, Err(DeskError::Settled(table.task.id, State::Approved)));
}

#[tokio::test]
async fn the_same_person_counts_once_and_is_told_so() {
    let table = Table::for_three().await;
    assert_eq!(table.approves(11).await, WAITS);
    let again = table.button(11, Deed::Approve).await;
    let Found::Decide(tapped) = table.found(&again) else { panic!("a button") };
    let refused = table.bench.desk.approve(table.task.id, Confirmed::of_tap(tapped)).await.unwrap_err();
    assert!(matches!(refused, DeskError::Vote(VoteError::Twice(.., 11))), "{refused}");
    assert!(refused.to_string().contains("has 1 of 2 approvals: telegram user 11"), "{refused}");
    assert!(matches!(table.found(&again), Found::Decide(_)), "the button was not used");
    assert_eq!((table.voted(), table.recorded().len()), (vec![11], 1));
}

#[tokio::test]
async fn the_press_that_voted_is_known_when_it_comes_again_and_no_other_press_of_its_button_counts() {
    let table = Table::for_three().await;
    let button = table.button(11, Deed::Approve).await;
    let Found::Decide(tapped) = table.found(&button) else { panic!("a button") };
    table.bench.desk.approve(table.task.id, Confirmed::of_tap(tapped)).await.unwrap();
    assert!(matches!(table.found(&button), Found::Again(Act::Decide(Deed::Approve), Some(_))));
    let other = Press { update: 99, ..button.1 };
    assert!(matches!(table.found(&(button.0, other)), Found::Used));
}

#[tokio::test]
async fn somebody_elses_yes_and_a_terminals_change_nothing_and_say_who_is_needed() {
    let table = Table::for_three().await;
    let refused = table.approves(44).await.unwrap_err().to_string();
    assert!(refused.contains("2 of 3 people (user 11, 22, 33), and has 0 of 2 approvals"), "{refused}");
    assert!(refused.ends_with("telegram user 44 is none of these people"), "{refused}");
    let desk = &table.bench.desk;
    let refused = desk.approve(table.task.id, Confirmed::by_test()).await.unwrap_err();
    assert!(matches!(refused, DeskError::Vote(VoteError::Nobody(..))), "{refused}");
    assert_eq!(desk.takes_one(table.task.id), Err(refused));
    assert_eq!((table.state(), table.voted(), table.recorded()), (State::PendingApproval, vec![], vec![]));
}

#[tokio::test]
async fn one_denial_denies_whoever_approved_before() {
    let table = Table::for_three().await;
    table.approves(11).await.unwrap();
    // Also by a decider whose approval would not count.
    let no = table.tapped(44, Deed::Deny).await;
    table.bench.desk.reject_tapped(&no, None).await.unwrap();
    assert_eq!(table.approves(22).await, Err(DeskError::Settled(table.task.id, State::Denied)));
    assert_eq!(table.state(), State::Denied);

    let table = Table::for_three().await;
    table.approves(11).await.unwrap();
    table.bench.desk.reject(table.task.id, None, "terminal pid 1").await.unwrap();
    assert_eq!(table.state(), State::Denied);
}

#[tokio::test]
async fn where_several_entries_cover_a_tool_each_must_be_met() {
    let table = Table::laid(&[quorum(2, &[11, 22, 33]), quorum(2, &[33, 44])]).await;
    assert_eq!(table.approves(11).await, WAITS);
    assert_eq!(table.approves(22).await, WAITS);
    assert_eq!(table.approves(44).await, WAITS);
    assert_eq!(table.approves(33).await, APPROVED);
    let votes = table.recorded();
    assert_eq!(votes[1], "vote 2 of 2 and 0 of 2 by telegram user 22");
    assert_eq!(votes[3], "approved by telegram user 11, 22, 33, 44");
}

#[tokio::test]
async fn a_vote_of_who_is_no_longer_named_is_void_and_counts_again_once_they_are() {
    let table = Table::for_three().await;
    table.approves(33).await.unwrap();
    table.now_takes(&[quorum(2, &[11, 22])]);
    assert_eq!(table.approves(11).await, WAITS, "33 counts no more");
    assert_eq!(table.voted(), [11, 33], "which may be different tomorrow");
    assert_eq!(table.recorded()[1], "vote 1 of 2 by telegram user 11");
    // While an edit waits, the confirmed entry holds beside it: whom either does not name is missing there.
    let confirmed = ConfigPolicy { quorums: vec![quorum(2, &[11, 22])], ..ConfigPolicy::default() };
    let both = ConfigPolicy {
        quorums: vec![quorum(2, &[11, 33])],
        confirmed: Some(Box::new(confirmed)),
        ..ConfigPolicy::default()
    };
    table.bench.policy.store(Arc::new(Policy::new(both, Standing::default())));
    assert_eq!(table.approves(22).await, APPROVED, "11 and 33 by the one, 11 and 22 by the other");
}

#[tokio::test]
async fn who_does_not_count_when_it_is_settled_is_not_among_those_who_approved() {
    let table = Table::for_three().await;
    table.approves(33).await.unwrap();
    table.now_takes(&[quorum(2, &[11, 22])]);
    table.approves(11).await.unwrap();
    assert_eq!(table.approves(22).await, APPROVED);
    assert_eq!(table.voted(), [11, 22]);
    assert_eq!(table.recorded().last().unwrap(), "approved by telegram user 11, 22");
}

#[tokio::test]
async fn who_approved_already_settles_it_with_another_tap_where_that_is_enough_by_now() {
    let table = Table::laid(&[quorum(2, &[11, 22]), quorum(2, &[44, 55])]).await;
    table.approves(11).await.unwrap();
    table.approves(44).await.unwrap();
    assert!(table.approves(11).await.is_err());
    table.now_takes(&[quorum(2, &[11, 44])]);
    assert_eq!(table.state(), State::PendingApproval, "nothing settles by itself");
    assert_eq!(table.approves(11).await, APPROVED);
}

#[tokio::test]
async fn a_vote_that_comes_too_late_expires_the_task_and_is_none() {
    let table = Table::for_three().await;
    table.approves(11).await.unwrap();
    table.bench.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(table.approves(22).await, Err(DeskError::Settled(table.task.id, State::Expired)));
    assert_eq!((table.state(), table.voted()), (State::Expired, vec![11]));
}

#[tokio::test]
async fn of_two_last_votes_at_the_same_instant_one_settles() {
    for _ in 0..20 {
        let table = Table::for_three().await;
        table.approves(11).await.unwrap();
        let (one, other) = tokio::join!(table.approves(22), table.approves(33));
        let settled = |vote: &Result<State, DeskError>| usize::from(*vote == APPROVED);
        assert_eq!(settled(&one) + settled(&other), 1, "{one:?} {other:?}");
        let approved = table.recorded().iter().filter(|told| told.starts_with("approved")).count();
        assert_eq!(approved, 1);
    }
}

#[tokio::test]
async fn votes_outlive_a_crash_and_go_with_their_task() {
    let mut table = Table::for_three().await;
    table.approves(11).await.unwrap();
    table.bench = table.bench.after_crash();
    table.now_takes(&[quorum(2, &[11, 22, 33])]);
    assert_eq!(table.voted(), [11]);
    assert_eq!(table.approves(22).await, APPROVED);
    table.bench.desk.reject(table.task.id, None, "test").await.unwrap();
    table.bench.clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(table.bench.desk.prune().await.unwrap(), 1);
    let left = table.bench.journal.store().read(move |store| {
        Ok(store.query_row("SELECT count(*) FROM votes", [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(left.unwrap(), 0);
}

#[tokio::test]
async fn the_call_that_is_asked_anew_has_no_votes() {
    let table = Table::for_three().await;
    table.approves(11).await.unwrap();
    table.bench.desk.reject(table.task.id, None, "test").await.unwrap();
    let denied = table.bench.desk.task(table.task.id, None).unwrap();
    let anew =
        table.bench.desk.again(&denied, call("hello"), "test", Some(&Confirmed::by_test())).await.unwrap();
    assert_eq!(table.bench.desk.task(anew.id, None).unwrap().votes, []);
}

#[derive(Debug, Clone)]
enum Move {
    Approve(i64),
    Deny(i64),
    Name(usize, Vec<u64>),
    Redeliver,
    Crash,
    Wait(u32),
}

fn moves() -> impl Strategy<Value = Move> {
    let user = || prop::sample::select(vec![11_i64, 22, 33, 44]);
    let people = || prop::sample::subsequence(vec![11_u64, 22, 33], 2..=3);
    prop_oneof![
        8 => user().prop_map(Move::Approve),
        1 => user().prop_map(Move::Deny),
        2 => (2_usize..=3, people()).prop_map(|(approvals, of)| Move::Name(approvals, of)),
        2 => Just(Move::Redeliver),
        1 => Just(Move::Crash),
        1 => (1_u32..12).prop_map(Move::Wait),
    ]
}

/// What the task should be.
struct Model {
    state: State,
    voted: Vec<u64>,
    approvals: usize,
    of: Vec<u64>,
    hours: u32,
}

impl Model {
    /// What a yes of this person should come to: the state, or nothing where it changes nothing.
    fn approve(&mut self, user: u64) -> Option<State> {
        if self.state != State::PendingApproval || !self.of.contains(&user) {
            return None;
        }
        if self.hours >= 24 {
            self.state = State::Expired;
            return None;
        }
        let is_new = !self.voted.contains(&user);
        if is_new {
            self.voted.push(user);
        }
        let counted = self.voted.iter().filter(|user| self.of.contains(user)).count();
        if counted >= self.approvals {
            self.state = State::Approved;
            self.voted.retain(|user| self.of.contains(user));
        }
        (is_new || self.state == State::Approved).then_some(self.state)
    }
}

async fn play(history: Vec<Move>) {
    let mut table = Table::for_three().await;
    let mut model = Model {
        state: State::PendingApproval,
        voted: Vec::new(),
        approvals: 2,
        of: vec![11, 22, 33],
        hours: 0,
    };
    let mut last: Option<(String, Press)> = None;
    for next in history {
        match &next {
            Move::Approve(user) => {
                let button = table.button(*user, Deed::Approve).await;
                let Found::Decide(tapped) = table.found(&button) else { panic!("a button") };
                let done = table.bench.desk.approve(table.task.id, Confirmed::of_tap(tapped)).await;
                assert_eq!(done.ok().map(|task| task.state), model.approve(user.unsigned_abs()), "{next:?}");
                last = Some(button);
            }
            Move::Deny(user) => {
                let no = table.tapped(*user, Deed::Deny).await;
                let done = table.bench.desk.reject_tapped(&no, None).await;
                let may = matches!(model.state, State::PendingApproval | State::Approved);
                assert_eq!(done.is_ok(), may, "{next:?}");
                model.state = if may { State::Denied } else { model.state };
            }
            Move::Name(approvals, of) => {
                table.now_takes(&[quorum(*approvals, of)]);
                (model.approvals, model.of) = (*approvals, of.clone());
            }
            // What was done is known, and what was not may be done still: by the same person, who counts once.
            Move::Redeliver => {
                if let Some(Found::Decide(tapped)) = last.as_ref().map(|button| table.found(button)) {
                    let user = tapped.user().unsigned_abs();
                    let done = table.bench.desk.approve(table.task.id, Confirmed::of_tap(tapped)).await;
                    assert_eq!(done.ok().map(|task| task.state), model.approve(user), "{next:?}");
                }
            }
            Move::Crash => {
                let after = table.bench.after_crash();
                let passed = table.bench.clock.now().wall.duration_since(after.clock.now().wall);
                after.clock.advance(passed.try_into().unwrap());
                after.policy.store(table.bench.policy.load_full());
                table.bench = after;
            }
            Move::Wait(hours) => {
                // What is approved would have to start sooner; that is another test's.
                if model.state == State::PendingApproval {
                    table.bench.clock.advance(Duration::from_secs(u64::from(*hours) * 3600));
                    model.hours += hours;
                }
            }
        }
        assert_eq!(table.state(), model.state, "{next:?}");
        let voted: std::collections::BTreeSet<u64> = table.voted().into_iter().collect();
        assert_eq!(voted, model.voted.iter().copied().collect(), "{next:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_taps_approves_with_fewer_people_than_it_takes(history in prop::collection::vec(moves(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(history));
    }
}

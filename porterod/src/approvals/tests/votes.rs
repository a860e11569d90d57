//! Calls that take the yes of several people.

use portero::policy::{DecisionSource, Quorum};
use proptest::prelude::*;

use super::*;
use crate::approvals::VoteError;
use crate::auth::buttons::{
    ButtonAction, ButtonPress, Buttons, CardDecision, MessageRef, PressMeaning, PressSource, TaskDecision,
};
use crate::store::{Durability, telegram};

/// So many approvals of these people.
pub(crate) fn quorum(approvals: usize, of: &[u64]) -> Quorum {
    let source = DecisionSource::Quorum { line: 3, column: 7 };
    Quorum { tools: vec!["mail/*".parse().unwrap()], approvals, of: of.to_vec(), source }
}

pub(crate) fn policy(quorums: &[Quorum]) -> Policy {
    let config = ConfigPolicy { quorums: quorums.to_vec(), ..ConfigPolicy::default() };
    Policy::new(config, Overrides::default())
}

/// A task that takes two of three people, each of whom has buttons of their own.
struct VoteFixture {
    fixture: Fixture,
    task: Task,
    presses: std::cell::Cell<i64>,
}

impl VoteFixture {
    async fn with_quorums(quorums: &[Quorum]) -> Self {
        let fixture = Fixture::new();
        fixture.policy.store(Arc::new(policy(quorums)));
        let task = fixture.open_task("hello").await;
        Self { fixture, task, presses: std::cell::Cell::new(0) }
    }

    async fn two_of_three() -> Self {
        Self::with_quorums(&[quorum(2, &[11, 22, 33])]).await
    }

    fn set_quorums(&self, quorums: &[Quorum]) {
        self.fixture.policy.store(Arc::new(policy(quorums)));
    }

    /// A new button of this person, and a press of it.
    async fn make_button(&self, user: i64, deed: TaskDecision) -> (String, PressSource) {
        let (buttons, now) = (Buttons::new(self.fixture.journal.clone()), self.fixture.journal.now().wall);
        self.presses.set(self.presses.get() + 1);
        let number = self.presses.get();
        let cause = format!("card:{}:{number}", self.task.id);
        let spot = MessageRef { bot: 7, chat: user, user: Some(user), cause: cause.clone() };
        let (token, _) =
            buttons.make_buttons(spot, vec![(Some(self.task.id), ButtonAction::Decide(deed))]).await.unwrap();
        let keep = move |store: &rusqlite::Connection| {
            telegram::store_sent(store, 7, (user, 100 + number), &cause, now)
        };
        self.fixture.journal.store().write(Durability::StoreSynced, keep).await.unwrap();
        let press = PressSource { bot: 7, chat: user, user, message: 100 + number, update: number };
        (token.into_iter().next().unwrap(), press)
    }

    fn press_meaning(&self, (token, press): &(String, PressSource)) -> PressMeaning {
        Buttons::new(self.fixture.journal.clone()).resolve_press(token, *press).unwrap()
    }

    async fn button_press(&self, user: i64, deed: TaskDecision) -> ButtonPress<CardDecision> {
        let button = self.make_button(user, deed).await;
        match self.press_meaning(&button) {
            PressMeaning::Decide(tapped) => tapped,
            other => panic!("{other:?}"),
        }
    }

    async fn approve_as(&self, user: i64) -> Result<TaskState, ApprovalError> {
        let confirmed = self.button_press(user, TaskDecision::Approve).await.authorize_call();
        self.fixture.approval_queue.approve(self.task.id, confirmed).await.map(|task| task.state)
    }

    fn state(&self) -> TaskState {
        self.fixture.approval_queue.find_task(self.task.id, None).unwrap().state
    }

    fn voters(&self) -> Vec<u64> {
        self.fixture
            .approval_queue
            .find_task(self.task.id, None)
            .unwrap()
            .votes
            .iter()
            .map(|vote| vote.user)
            .collect()
    }

    /// What the audit says of votes, and who is said to have approved.
    fn recorded_votes(&self) -> Vec<String> {
        let audit =
            audit::read_log(&self.fixture.directory.path().join("audit"), &RecordFilter::default()).unwrap();
        let told = audit.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, about, process, .. } if act == "vote" => {
                let about = about.rsplit(": ").next().unwrap().to_owned();
                Some(format!("{about} by {}", process.unwrap()))
            }
            AuditEvent::Task { state, by, .. } if state != TaskState::PendingApproval => {
                Some(format!("{state} by {by}"))
            }
            _ => None,
        });
        told.collect()
    }
}

const WAITS: Result<TaskState, ApprovalError> = Ok(TaskState::PendingApproval);
const APPROVED: Result<TaskState, ApprovalError> = Ok(TaskState::Approved);

#[tokio::test]
async fn a_task_waits_until_so_many_different_people_approved_it_and_then_all_are_named() {
    let table = VoteFixture::two_of_three().await;
    assert_eq!(table.approve_as(11).await, WAITS);
    assert_eq!((table.state(), table.voters()), (TaskState::PendingApproval, vec![11]));
    assert_eq!(table.approve_as(33).await, APPROVED);
    assert_eq!(
        table.recorded_votes(),
        ["vote 1 of 2 by telegram user 11", "approved by telegram user 11, 33"]
    );
    let told = table.fixture.notice_texts();
    assert!(told[1].contains("Vote") && told[1].contains("TelegramUser(11)"), "{told:?}");
    assert_eq!(told[2], "approved by telegram user 11, 33");
    assert_eq!(
        table.approve_as(22).await,
        Err(ApprovalError::WrongState(table.task.id, TaskState::Approved))
    );
}

#[tokio::test]
async fn the_same_person_counts_once_and_is_told_so() {
    let table = VoteFixture::two_of_three().await;
    assert_eq!(table.approve_as(11).await, WAITS);
    let again = table.make_button(11, TaskDecision::Approve).await;
    let PressMeaning::Decide(tapped) = table.press_meaning(&again) else { panic!("a button") };
    let refused =
        table.fixture.approval_queue.approve(table.task.id, tapped.authorize_call()).await.unwrap_err();
    assert!(matches!(refused, ApprovalError::Vote(VoteError::AlreadyVoted(.., 11))), "{refused}");
    assert!(refused.to_string().contains("has 1 of 2 approvals: telegram user 11"), "{refused}");
    assert!(matches!(table.press_meaning(&again), PressMeaning::Decide(_)), "the button was not used");
    assert_eq!((table.voters(), table.recorded_votes().len()), (vec![11], 1));
}

#[tokio::test]
async fn the_press_that_voted_is_known_when_it_comes_again_and_no_other_press_of_its_button_counts() {
    let table = VoteFixture::two_of_three().await;
    let button = table.make_button(11, TaskDecision::Approve).await;
    let PressMeaning::Decide(tapped) = table.press_meaning(&button) else { panic!("a button") };
    table.fixture.approval_queue.approve(table.task.id, tapped.authorize_call()).await.unwrap();
    assert!(matches!(
        table.press_meaning(&button),
        PressMeaning::Repeated(ButtonAction::Decide(TaskDecision::Approve), Some(_))
    ));
    let other = PressSource { update: 99, ..button.1 };
    assert!(matches!(table.press_meaning(&(button.0, other)), PressMeaning::Used));
}

#[tokio::test]
async fn somebody_elses_yes_and_a_terminals_change_nothing_and_say_who_is_needed() {
    let table = VoteFixture::two_of_three().await;
    let refused = table.approve_as(44).await.unwrap_err().to_string();
    assert!(refused.contains("2 of 3 people (user 11, 22, 33), and has 0 of 2 approvals"), "{refused}");
    assert!(refused.ends_with("telegram user 44 is none of these people"), "{refused}");
    let queue = &table.fixture.approval_queue;
    let refused =
        queue.approve(table.task.id, Authorization::for_test(Act::Approve(table.task.id))).await.unwrap_err();
    assert!(matches!(refused, ApprovalError::Vote(VoteError::NotOnTelegram(..))), "{refused}");
    assert_eq!(queue.check_single_approval(table.task.id), Err(refused));
    assert_eq!(
        (table.state(), table.voters(), table.recorded_votes()),
        (TaskState::PendingApproval, vec![], vec![])
    );
}

#[tokio::test]
async fn one_denial_denies_whoever_approved_before() {
    let table = VoteFixture::two_of_three().await;
    table.approve_as(11).await.unwrap();
    // Also by a decider whose approval would not count.
    let no = table.button_press(44, TaskDecision::Deny).await;
    table.fixture.approval_queue.reject_by_button(&no, None).await.unwrap();
    assert_eq!(table.approve_as(22).await, Err(ApprovalError::WrongState(table.task.id, TaskState::Denied)));
    assert_eq!(table.state(), TaskState::Denied);

    let table = VoteFixture::two_of_three().await;
    table.approve_as(11).await.unwrap();
    table.fixture.approval_queue.reject(table.task.id, None, &"terminal pid 1".into()).await.unwrap();
    assert_eq!(table.state(), TaskState::Denied);
}

#[tokio::test]
async fn where_several_entries_cover_a_tool_each_must_be_met() {
    let table = VoteFixture::with_quorums(&[quorum(2, &[11, 22, 33]), quorum(2, &[33, 44])]).await;
    assert_eq!(table.approve_as(11).await, WAITS);
    assert_eq!(table.approve_as(22).await, WAITS);
    assert_eq!(table.approve_as(44).await, WAITS);
    assert_eq!(table.approve_as(33).await, APPROVED);
    let votes = table.recorded_votes();
    assert_eq!(votes[1], "vote 2 of 2 and 0 of 2 by telegram user 22");
    assert_eq!(votes[3], "approved by telegram user 11, 22, 33, 44");
}

#[tokio::test]
async fn a_vote_of_who_is_no_longer_named_is_void_and_counts_again_once_they_are() {
    let table = VoteFixture::two_of_three().await;
    table.approve_as(33).await.unwrap();
    table.set_quorums(&[quorum(2, &[11, 22])]);
    assert_eq!(table.approve_as(11).await, WAITS, "33 counts no more");
    assert_eq!(table.voters(), [11, 33], "which may be different tomorrow");
    assert_eq!(table.recorded_votes()[1], "vote 1 of 2 by telegram user 11");
    // While an edit waits, the confirmed entry holds beside it: whom either does not name is missing there.
    let confirmed = ConfigPolicy { quorums: vec![quorum(2, &[11, 22])], ..ConfigPolicy::default() };
    let both = ConfigPolicy {
        quorums: vec![quorum(2, &[11, 33])],
        approved: Some(Box::new(confirmed)),
        ..ConfigPolicy::default()
    };
    table.fixture.policy.store(Arc::new(Policy::new(both, Overrides::default())));
    assert_eq!(table.approve_as(22).await, APPROVED, "11 and 33 by the one, 11 and 22 by the other");
}

#[tokio::test]
async fn who_does_not_count_when_it_is_settled_is_not_among_those_who_approved() {
    let table = VoteFixture::two_of_three().await;
    table.approve_as(33).await.unwrap();
    table.set_quorums(&[quorum(2, &[11, 22])]);
    table.approve_as(11).await.unwrap();
    assert_eq!(table.approve_as(22).await, APPROVED);
    assert_eq!(table.voters(), [11, 22]);
    assert_eq!(table.recorded_votes().last().unwrap(), "approved by telegram user 11, 22");
}

#[tokio::test]
async fn who_approved_already_settles_it_with_another_tap_where_that_is_enough_by_now() {
    let table = VoteFixture::with_quorums(&[quorum(2, &[11, 22]), quorum(2, &[44, 55])]).await;
    table.approve_as(11).await.unwrap();
    table.approve_as(44).await.unwrap();
    assert!(table.approve_as(11).await.is_err());
    table.set_quorums(&[quorum(2, &[11, 44])]);
    assert_eq!(table.state(), TaskState::PendingApproval, "nothing settles by itself");
    assert_eq!(table.approve_as(11).await, APPROVED);
}

#[tokio::test]
async fn a_vote_that_comes_too_late_expires_the_task_and_is_none() {
    let table = VoteFixture::two_of_three().await;
    table.approve_as(11).await.unwrap();
    table.fixture.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(table.approve_as(22).await, Err(ApprovalError::WrongState(table.task.id, TaskState::Expired)));
    assert_eq!((table.state(), table.voters()), (TaskState::Expired, vec![11]));
}

#[tokio::test]
async fn of_two_last_votes_at_the_same_instant_one_settles() {
    for _ in 0..20 {
        let table = VoteFixture::two_of_three().await;
        table.approve_as(11).await.unwrap();
        let (one, other) = tokio::join!(table.approve_as(22), table.approve_as(33));
        let settled = |vote: &Result<TaskState, ApprovalError>| usize::from(*vote == APPROVED);
        assert_eq!(settled(&one) + settled(&other), 1, "{one:?} {other:?}");
        let approved = table.recorded_votes().iter().filter(|told| told.starts_with("approved")).count();
        assert_eq!(approved, 1);
    }
}

#[tokio::test]
async fn votes_outlive_a_crash_and_go_with_their_task() {
    let mut table = VoteFixture::two_of_three().await;
    table.approve_as(11).await.unwrap();
    table.fixture = table.fixture.after_crash();
    table.set_quorums(&[quorum(2, &[11, 22, 33])]);
    assert_eq!(table.voters(), [11]);
    assert_eq!(table.approve_as(22).await, APPROVED);
    table.fixture.approval_queue.reject(table.task.id, None, &"test".into()).await.unwrap();
    table.fixture.clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(table.fixture.approval_queue.prune_ended_tasks().await.unwrap(), 1);
    let left = table.fixture.journal.store().read(move |store| {
        Ok(store.query_row("SELECT count(*) FROM votes", [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(left.unwrap(), 0);
}

#[tokio::test]
async fn the_call_that_is_asked_anew_has_no_votes() {
    let table = VoteFixture::two_of_three().await;
    table.approve_as(11).await.unwrap();
    table.fixture.approval_queue.reject(table.task.id, None, &"test".into()).await.unwrap();
    let denied = table.fixture.approval_queue.find_task(table.task.id, None).unwrap();
    let anew = table
        .fixture
        .approval_queue
        .repeat_task(
            &denied,
            call("hello"),
            &"test".into(),
            Some(Authorization::for_test(Act::Repeat(denied.id))),
        )
        .await
        .unwrap();
    assert_eq!(table.fixture.approval_queue.find_task(anew.id, None).unwrap().votes, []);
}

#[derive(Debug, Clone)]
enum HistoryStep {
    Approve(i64),
    Deny(i64),
    Name(usize, Vec<u64>),
    Redeliver,
    Crash,
    Wait(u32),
}

fn moves() -> impl Strategy<Value = HistoryStep> {
    let user = || prop::sample::select(vec![11_i64, 22, 33, 44]);
    let people = || prop::sample::subsequence(vec![11_u64, 22, 33], 2..=3);
    prop_oneof![
        8 => user().prop_map(HistoryStep::Approve),
        1 => user().prop_map(HistoryStep::Deny),
        2 => (2_usize..=3, people()).prop_map(|(approvals, of)| HistoryStep::Name(approvals, of)),
        2 => Just(HistoryStep::Redeliver),
        1 => Just(HistoryStep::Crash),
        1 => (1_u32..12).prop_map(HistoryStep::Wait),
    ]
}

/// What the task should be.
struct VoteModel {
    state: TaskState,
    voted: Vec<u64>,
    approvals: usize,
    of: Vec<u64>,
    hours: u32,
}

impl VoteModel {
    /// What a yes of this person should come to: the state, or nothing where it changes nothing.
    fn approve(&mut self, user: u64) -> Option<TaskState> {
        if self.state != TaskState::PendingApproval || !self.of.contains(&user) {
            return None;
        }
        if self.hours >= 24 {
            self.state = TaskState::Expired;
            return None;
        }
        let is_new = !self.voted.contains(&user);
        if is_new {
            self.voted.push(user);
        }
        let counted = self.voted.iter().filter(|user| self.of.contains(user)).count();
        if counted >= self.approvals {
            self.state = TaskState::Approved;
            self.voted.retain(|user| self.of.contains(user));
        }
        (is_new || self.state == TaskState::Approved).then_some(self.state)
    }
}

async fn play_history(history: Vec<HistoryStep>) {
    let mut table = VoteFixture::two_of_three().await;
    let mut model = VoteModel {
        state: TaskState::PendingApproval,
        voted: Vec::new(),
        approvals: 2,
        of: vec![11, 22, 33],
        hours: 0,
    };
    let mut last: Option<(String, PressSource)> = None;
    for next in history {
        match &next {
            HistoryStep::Approve(user) => {
                let button = table.make_button(*user, TaskDecision::Approve).await;
                let PressMeaning::Decide(tapped) = table.press_meaning(&button) else { panic!("a button") };
                let done = table.fixture.approval_queue.approve(table.task.id, tapped.authorize_call()).await;
                assert_eq!(done.ok().map(|task| task.state), model.approve(user.unsigned_abs()), "{next:?}");
                last = Some(button);
            }
            HistoryStep::Deny(user) => {
                let no = table.button_press(*user, TaskDecision::Deny).await;
                let done = table.fixture.approval_queue.reject_by_button(&no, None).await;
                let may = matches!(model.state, TaskState::PendingApproval | TaskState::Approved);
                assert_eq!(done.is_ok(), may, "{next:?}");
                model.state = if may { TaskState::Denied } else { model.state };
            }
            HistoryStep::Name(approvals, of) => {
                table.set_quorums(&[quorum(*approvals, of)]);
                (model.approvals, model.of) = (*approvals, of.clone());
            }
            // What was done is known, and what was not may be done still: by the same person, who counts once.
            HistoryStep::Redeliver => {
                if let Some(PressMeaning::Decide(tapped)) =
                    last.as_ref().map(|button| table.press_meaning(button))
                {
                    let user = tapped.user().unsigned_abs();
                    let done =
                        table.fixture.approval_queue.approve(table.task.id, tapped.authorize_call()).await;
                    assert_eq!(done.ok().map(|task| task.state), model.approve(user), "{next:?}");
                }
            }
            HistoryStep::Crash => {
                let after = table.fixture.after_crash();
                let passed = table.fixture.clock.now().wall.duration_since(after.clock.now().wall);
                after.clock.advance(passed.try_into().unwrap());
                after.policy.store(table.fixture.policy.load_full());
                table.fixture = after;
            }
            HistoryStep::Wait(hours) => {
                // What is approved would have to start sooner; that is another test's.
                if model.state == TaskState::PendingApproval {
                    table.fixture.clock.advance(Duration::from_secs(u64::from(*hours) * 3600));
                    model.hours += hours;
                }
            }
        }
        assert_eq!(table.state(), model.state, "{next:?}");
        let voted: std::collections::BTreeSet<u64> = table.voters().into_iter().collect();
        assert_eq!(voted, model.voted.iter().copied().collect(), "{next:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_taps_approves_with_fewer_people_than_it_takes(history in prop::collection::vec(moves(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play_history(history));
    }
}

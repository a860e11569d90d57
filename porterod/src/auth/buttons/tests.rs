use portero::clock::{Clock as _, Moment};
use portero::ipc::Act;
use portero::names::ToolId;
use portero::pattern::Pattern;
use portero::pipeline::Approvals as _;
use portero::policy::GrantLimits;
use portero::task::{Task, TaskState};

use super::*;
use crate::approvals::ApprovalError;
use crate::approvals::tests::{Fixture, call, context};
use crate::auth::Authorization;
use crate::overrides::{GrantRequest, OverridesError};
use crate::store::telegram;

const MESSAGE: i64 = 33;

struct ButtonFixture {
    fixture: Fixture,
    buttons: Buttons,
    task: Task,
}

impl ButtonFixture {
    /// A task whose message is in Jane's chat.
    async fn new() -> Self {
        let fixture = Fixture::new();
        let buttons = Buttons::new(fixture.journal.clone());
        let task = fixture.approval_queue.submit_call(call("hello"), &context("/project")).await.unwrap();
        let phone = Self { fixture, buttons, task };
        phone.store_sent(MESSAGE).await;
        phone
    }

    fn message_ref(&self) -> MessageRef {
        MessageRef { bot: 7, chat: 501, user: Some(501), cause: format!("card:{}", self.task.id) }
    }

    async fn store_sent(&self, message: i64) {
        let (spot, now) = (self.message_ref(), self.fixture.journal.now().wall);
        let keep = move |store: &rusqlite::Connection| {
            telegram::store_sent(store, spot.bot, (spot.chat, message), &spot.cause, now)
        };
        self.fixture.journal.store().write(Durability::StoreSynced, keep).await.unwrap();
    }

    async fn make_button(&self, act: ButtonAction) -> String {
        self.redraw_button(act).await.0
    }

    async fn redraw_button(&self, act: ButtonAction) -> (String, ButtonRedraw) {
        let (made, redrawing) =
            self.buttons.make_buttons(self.message_ref(), vec![(Some(self.task.id), act)]).await.unwrap();
        (made.into_iter().next().unwrap(), redrawing)
    }

    fn press_button(&self, token: &str, update: i64) -> ButtonPress<CardDecision> {
        match self.buttons.resolve_press(token, PressSource { update, ..HERE }).unwrap() {
            PressMeaning::Decide(tapped) => tapped,
            other => panic!("{other:?}"),
        }
    }

    async fn approve(&self, tapped: ButtonPress<CardDecision>) -> Result<Task, ApprovalError> {
        self.fixture.approval_queue.approve(tapped.action().task, tapped.authorize_call()).await
    }
}

const HERE: PressSource = PressSource { bot: 7, chat: 501, user: 501, message: MESSAGE, update: 1 };

#[tokio::test]
async fn a_button_decides_once() {
    let phone = ButtonFixture::new().await;
    let token = phone.make_button(ButtonAction::Decide(TaskDecision::Approve)).await;
    assert_eq!(token.len(), 43, "256 bits, and Telegram takes at most 64 bytes");
    let first = phone.press_button(&token, 1);
    let second = phone.press_button(&token, 2);
    assert_eq!(first.by(), "telegram user 501".into());
    assert_eq!(phone.approve(first).await.unwrap().state, TaskState::Approved);
    assert!(matches!(phone.approve(second).await, Err(ApprovalError::WrongState(_, TaskState::Approved))));
    let again = |update| phone.buttons.resolve_press(&token, PressSource { update, ..HERE }).unwrap();
    assert!(matches!(again(1), PressMeaning::Repeated(ButtonAction::Decide(TaskDecision::Approve), Some(_))));
    assert!(matches!(again(2), PressMeaning::Used));
}

/// A press that comes again after a crash: what it grants counts from when it was first taken up.
#[tokio::test]
async fn a_grant_by_a_tap_counts_from_when_the_tap_was_taken_up() {
    for (minutes, left) in [(4, Some(6)), (10, None)] {
        let phone = ButtonFixture::new().await;
        let token = phone.make_button(ButtonAction::Decide(TaskDecision::ApproveFor(10))).await;
        let first = phone.press_button(&token, 1);
        let began = phone.fixture.clock.now();
        phone.approve(first).await.unwrap();
        let after = ButtonFixture { fixture: phone.fixture.after_crash(), ..phone };
        after.fixture.clock.set_wall(began.wall);
        after.fixture.clock.advance(Duration::from_secs(60 * minutes));
        let buttons = Buttons::new(after.fixture.journal.clone());
        let PressMeaning::Repeated(_, Some(again)) = buttons.resolve_press(&token, HERE).unwrap() else {
            panic!("it is half done")
        };
        let (ten, pattern) = (Duration::from_secs(600), Pattern::from(&again.action().tool));
        let rules = crate::overrides::tests::open_store(&after.fixture).await;
        let wanted = GrantRequest { pattern, duration: ten, limits: GrantLimits::default() };
        let granted = rules.make_grant(wanted, ten, again.authorize_follow_up().unwrap()).await;
        match left {
            Some(left) => {
                let grant = granted.unwrap();
                let held = |minutes| {
                    let passed = Duration::from_secs(60 * minutes);
                    let now = Moment { wall: began.wall + passed, boot: began.boot + passed };
                    grant.is_within_time("boot", now)
                };
                assert_eq!((grant.made.wall, held(minutes + left - 1), held(10)), (began.wall, true, false));
            }
            None => assert_eq!(granted.unwrap_err(), OverridesError::GrantOver),
        }
    }
}

#[tokio::test]
async fn a_used_button_changes_nothing_even_where_the_task_still_could() {
    let phone = ButtonFixture::new().await;
    let token = phone.make_button(ButtonAction::Decide(TaskDecision::Approve)).await;
    let (first, second) = (phone.press_button(&token, 1), phone.press_button(&token, 2));
    let use_up = move |store: &rusqlite::Connection| first.ticket().step(1).consume(store);
    phone.fixture.journal.store().write(Durability::StoreSynced, use_up).await.unwrap();
    let refused = phone.approve(second).await;
    assert!(matches!(refused, Err(ApprovalError::Store(StoreError::Refused(_)))), "{refused:?}");
    let task = phone.fixture.approval_queue.find_task(phone.task.id, None).unwrap();
    assert_eq!(task.state, TaskState::PendingApproval);
    assert!(!phone.fixture.audited_states().iter().any(|(state, _)| *state == TaskState::Approved));
}

#[tokio::test]
async fn a_button_is_worth_nothing_elsewhere() {
    let phone = ButtonFixture::new().await;
    let token = phone.make_button(ButtonAction::Decide(TaskDecision::Approve)).await;
    for elsewhere in [
        PressSource { bot: 8, ..HERE },
        PressSource { chat: 666, ..HERE },
        PressSource { user: 666, ..HERE },
        PressSource { message: MESSAGE + 1, ..HERE },
    ] {
        let found = phone.buttons.resolve_press(&token, elsewhere).unwrap();
        assert!(matches!(found, PressMeaning::Unknown), "{elsewhere:?}: {found:?}");
    }
    for other in ["", "x", &token[1..], &token.to_lowercase()] {
        assert!(
            matches!(phone.buttons.resolve_press(other, HERE).unwrap(), PressMeaning::Unknown),
            "{other}"
        );
    }
    assert!(matches!(phone.buttons.resolve_press(&token, HERE).unwrap(), PressMeaning::Decide(_)));
    phone.store_sent(MESSAGE + 1).await;
    assert!(
        matches!(phone.buttons.resolve_press(&token, HERE).unwrap(), PressMeaning::Unknown),
        "an older copy of the card"
    );
}

#[tokio::test]
async fn new_buttons_end_the_old_ones_once_they_are_shown() {
    let phone = ButtonFixture::new().await;
    let old = phone.make_button(ButtonAction::Decide(TaskDecision::Approve)).await;
    let (new, redrawing) = phone.redraw_button(ButtonAction::Decide(TaskDecision::Deny)).await;
    assert_eq!(
        phone.press_button(&old, 1).action().decision,
        TaskDecision::Approve,
        "it is what the chat shows"
    );
    phone.buttons.confirm_redraw(redrawing).await.unwrap();
    assert!(matches!(phone.buttons.resolve_press(&old, HERE).unwrap(), PressMeaning::Unknown));
    assert_eq!(phone.press_button(&new, 1).action().decision, TaskDecision::Deny);
}

#[tokio::test]
async fn new_buttons_that_are_refused_leave_the_old_ones() {
    let phone = ButtonFixture::new().await;
    let old = phone.make_button(ButtonAction::Decide(TaskDecision::Approve)).await;
    let (new, redrawing) = phone.redraw_button(ButtonAction::Decide(TaskDecision::Deny)).await;
    phone.buttons.cancel_redraw(redrawing).await.unwrap();
    assert!(matches!(phone.buttons.resolve_press(&new, HERE).unwrap(), PressMeaning::Unknown));
    assert_eq!(phone.press_button(&old, 1).action().decision, TaskDecision::Approve);
}

/// Two drawings may be under way at once; the word about the first comes last.
#[tokio::test]
async fn a_late_word_about_an_older_drawing_ends_no_newer_button() {
    let phone = ButtonFixture::new().await;
    let (_, first) = phone.redraw_button(ButtonAction::Decide(TaskDecision::Approve)).await;
    let (new, second) = phone.redraw_button(ButtonAction::Decide(TaskDecision::Deny)).await;
    phone.buttons.confirm_redraw(second).await.unwrap();
    phone.buttons.confirm_redraw(first).await.unwrap();
    assert_eq!(phone.press_button(&new, 1).action().decision, TaskDecision::Deny);
}

/// While a card is drawn anew, two of its buttons say the same: one of them decides.
#[tokio::test]
async fn of_an_old_and_a_new_button_for_one_act_one_counts() {
    let phone = ButtonFixture::new().await;
    let old = phone.make_button(ButtonAction::Decide(TaskDecision::ApproveFor(10))).await;
    let new = phone.make_button(ButtonAction::Decide(TaskDecision::ApproveFor(10))).await;
    let (first, second) = (phone.press_button(&old, 1), phone.press_button(&new, 2));
    assert_eq!(phone.approve(first).await.unwrap().state, TaskState::Approved);
    assert!(matches!(phone.approve(second).await, Err(ApprovalError::WrongState(_, TaskState::Approved))));
    let again = phone.buttons.resolve_press(&new, PressSource { update: 2, ..HERE }).unwrap();
    assert!(
        matches!(again, PressMeaning::Decide(_)),
        "it was not used, so nothing follows from it: {again:?}"
    );
}

#[tokio::test]
async fn nobody_who_reads_the_store_can_press_a_button() {
    let phone = ButtonFixture::new().await;
    let token = phone.make_button(ButtonAction::Decide(TaskDecision::Approve)).await;
    let bytes: Vec<u8> = std::fs::read_dir(phone.fixture.directory.path())
        .unwrap()
        .filter_map(|file| std::fs::read(file.unwrap().path()).ok())
        .flatten()
        .collect();
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(holds(&button_key(&token)), "the hash is there");
    assert!(!holds(token.as_bytes()) && !holds(&BASE64URL_NOPAD.decode(token.as_bytes()).unwrap()));
}

#[tokio::test]
async fn a_reason_is_taken_for_ten_minutes() {
    let phone = ButtonFixture::new().await;
    phone.make_button(ButtonAction::Decide(TaskDecision::DenyWithReason)).await;
    let made = phone.fixture.journal.now().wall;
    let at = |later: Duration| phone.buttons.resolve_reply(HERE, "card", made + later).unwrap();
    assert!(matches!(at(REASON_TIMEOUT), PressMeaning::Decide(_)));
    assert!(matches!(at(REASON_TIMEOUT + Duration::from_secs(1)), PressMeaning::Unknown));
    let elsewhere = phone.buttons.resolve_reply(PressSource { message: 1, ..HERE }, "card", made).unwrap();
    assert!(matches!(elsewhere, PressMeaning::Unknown));
    let of_another_kind = phone.buttons.resolve_reply(HERE, "reason", made).unwrap();
    assert!(matches!(of_another_kind, PressMeaning::Unknown));
}

#[test]
fn a_tap_confirms_what_its_button_says_and_nothing_else() {
    let (task, other) = (TaskId::fresh(), TaskId::fresh());
    let tool: ToolId = "mail/send".parse().unwrap();
    let (one, many) = (Pattern::from(&tool), "mail/*".parse::<Pattern>().unwrap());
    let sibling = "mail/delete".parse::<Pattern>().unwrap();
    let (ten, none) = (Duration::from_secs(600), GrantLimits::default());
    let tap = |decision: &TaskDecision| {
        ButtonPress::for_test(CardDecision { decision: decision.clone(), task, tool: tool.clone() })
    };
    let acts = [
        Act::Approve(task),
        Act::Approve(other),
        Act::grant(&one, ten, &none),
        Act::grant(&one, ten + Duration::from_millis(1), &none),
        Act::grant(&many, ten, &none),
        Act::grant(&sibling, ten, &none),
        Act::Allow(one.clone()),
        Act::Allow(many),
        Act::Repeat(task),
    ];
    let covered = |authorization: Authorization| {
        acts.iter().map(|act| u8::from(authorization.covers(act))).collect::<Vec<_>>()
    };
    let steps = |decision: TaskDecision| {
        let press = tap(&decision);
        (covered(press.authorize_call()), press.authorize_follow_up().map(covered))
    };
    let call = vec![1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(steps(TaskDecision::Approve), (call.clone(), None));
    let granted = Some(vec![0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(steps(TaskDecision::ApproveFor(10)), (call.clone(), granted), "each step is one act");
    assert_eq!(steps(TaskDecision::Allow), (call, Some(vec![0, 0, 0, 0, 0, 0, 1, 0, 0])));
    let shown = |what: &Act| TaskDecision::ApproveWith(Box::new(ShownWidening::new(what.clone(), &[])));
    for (at, what) in
        acts.iter().enumerate().filter(|(_, what)| matches!(what, Act::Grant(..) | Act::Allow(_)))
    {
        let (_, follow_up) = steps(shown(what));
        assert!(follow_up.unwrap()[at] == 1, "{what:?}");
    }
    for no in [TaskDecision::Deny, TaskDecision::DenyWithReason] {
        assert_eq!(steps(no.clone()), (vec![0; 9], None), "{no:?}");
    }
    assert_eq!(steps(TaskDecision::Forbid), (vec![0; 9], Some(vec![0; 9])));
}

#[test]
fn a_button_of_an_earlier_build_still_decides_as_it_said() {
    for (stored, decision) in [
        (r#"{"decide":"approve"}"#, TaskDecision::Approve),
        (r#"{"decide":"approve-fresh"}"#, TaskDecision::ApproveFresh),
        (r#"{"decide":{"approve-for":10}}"#, TaskDecision::ApproveFor(10)),
        (r#"{"decide":"allow"}"#, TaskDecision::Allow),
        (r#"{"decide":"deny"}"#, TaskDecision::Deny),
        (r#"{"decide":"deny-with-reason"}"#, TaskDecision::DenyWithReason),
        (r#"{"decide":"forbid"}"#, TaskDecision::Forbid),
    ] {
        let action = ButtonAction::Decide(decision);
        assert_eq!(serde_json::from_str::<ButtonAction>(stored).unwrap(), action);
        assert_eq!(serialize_action(&action), stored);
    }
}

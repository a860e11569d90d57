use portero::clock::Clock as _;
use portero::pipeline::Desk as _;
use portero::policy::Limits;
use portero::task::{State, Task};

use super::*;
use crate::approval::DeskError;
use crate::approval::tests::{Bench, call, context};
use crate::passphrase::{Confirmed, What};
use crate::rules::{RulesError, Wanted};
use crate::store::telegram;

const MESSAGE: i64 = 33;

struct Phone {
    bench: Bench,
    taps: Taps,
    task: Task,
}

impl Phone {
    /// A task whose message is in Jane's chat.
    async fn new() -> Self {
        let bench = Bench::new();
        let taps = Taps::new(bench.journal.clone());
        let task = bench.desk.submit(call("hello"), &context("/project")).await.unwrap();
        let phone = Self { bench, taps, task };
        phone.sent(MESSAGE).await;
        phone
    }

    fn spot(&self) -> Spot {
        Spot { bot: 7, chat: 501, user: Some(501), cause: format!("card:{}", self.task.id) }
    }

    async fn sent(&self, message: i64) {
        let (spot, now) = (self.spot(), self.bench.journal.now().wall);
        let keep = move |store: &rusqlite::Connection| {
            telegram::keep_sent(store, spot.bot, (spot.chat, message), &spot.cause, now)
        };
        self.bench.journal.store().write(Records::None, keep).await.unwrap();
    }

    async fn button(&self, act: Act) -> String {
        self.redrawn(act).await.0
    }

    async fn redrawn(&self, act: Act) -> (String, Redrawing) {
        let (made, redrawing) = self.taps.make(self.spot(), vec![(Some(self.task.id), act)]).await.unwrap();
        (made.into_iter().next().unwrap(), redrawing)
    }

    fn tapped(&self, token: &str, update: i64) -> Tapped {
        match self.taps.pressed(token, Press { update, ..HERE }).unwrap() {
            Found::Decide(tapped) => tapped,
            other => panic!("{other:?}"),
        }
    }

    async fn approve(&self, tapped: Tapped) -> Result<Task, DeskError> {
        self.bench.desk.approve(tapped.task(), Confirmed::of_tap(tapped)).await
    }
}

const HERE: Press = Press { bot: 7, chat: 501, user: 501, message: MESSAGE, update: 1 };

#[tokio::test]
async fn a_button_decides_once() {
    let phone = Phone::new().await;
    let token = phone.button(Act::Decide(Deed::Approve)).await;
    assert_eq!(token.len(), 43, "256 bits, and Telegram takes at most 64 bytes");
    let first = phone.tapped(&token, 1);
    let second = phone.tapped(&token, 2);
    assert_eq!(first.by(), "telegram user 501");
    assert_eq!(phone.approve(first).await.unwrap().state, State::Approved);
    assert!(matches!(phone.approve(second).await, Err(DeskError::Settled(_, State::Approved))));
    let again = |update| phone.taps.pressed(&token, Press { update, ..HERE }).unwrap();
    assert!(matches!(again(1), Found::Again(Act::Decide(Deed::Approve), Some(_))));
    assert!(matches!(again(2), Found::Used));
}

/// A press that comes again after a crash: what it grants counts from when it was first taken up.
#[tokio::test]
async fn a_grant_by_a_tap_counts_from_when_the_tap_was_taken_up() {
    for (minutes, left) in [(4, Some(6)), (10, None)] {
        let phone = Phone::new().await;
        let token = phone.button(Act::Decide(Deed::ApproveFor(10))).await;
        let first = phone.tapped(&token, 1);
        let began = phone.bench.clock.now();
        phone.approve(first).await.unwrap();
        let after = Phone { bench: phone.bench.after_crash(), ..phone };
        after.bench.clock.set_wall(began.wall);
        after.bench.clock.advance(Duration::from_secs(60 * minutes));
        let taps = Taps::new(after.bench.journal.clone());
        let Found::Again(_, Some(again)) = taps.pressed(&token, HERE).unwrap() else {
            panic!("it is half done")
        };
        let (ten, pattern) = (Duration::from_secs(600), Pattern::from(again.tool()));
        let rules = crate::rules::tests::open(&after.bench).await;
        let wanted = Wanted { pattern, lasts: ten, limits: Limits::default() };
        let granted = rules.grant(wanted, ten, Confirmed::of_tap(again)).await;
        match left {
            Some(left) => {
                let grant = granted.unwrap();
                let held = |minutes| {
                    let passed = Duration::from_secs(60 * minutes);
                    let now = Moment { wall: began.wall + passed, boot: began.boot + passed };
                    grant.holds("boot", now)
                };
                assert_eq!((grant.made.wall, held(minutes + left - 1), held(10)), (began.wall, true, false));
            }
            None => assert_eq!(granted.unwrap_err(), RulesError::Over),
        }
    }
}

#[tokio::test]
async fn a_used_button_changes_nothing_even_where_the_task_still_could() {
    let phone = Phone::new().await;
    let token = phone.button(Act::Decide(Deed::Approve)).await;
    let (first, second) = (phone.tapped(&token, 1), phone.tapped(&token, 2));
    let use_up = move |store: &rusqlite::Connection| first.ticket().spend(store, 1);
    phone.bench.journal.store().write(Records::None, use_up).await.unwrap();
    let refused = phone.approve(second).await;
    assert!(matches!(refused, Err(DeskError::Store(StoreError::Refused(_)))), "{refused:?}");
    let task = phone.bench.desk.task(phone.task.id, None).unwrap();
    assert_eq!(task.state, State::PendingApproval);
    assert!(!phone.bench.audited().iter().any(|(state, _)| *state == State::Approved));
}

#[tokio::test]
async fn a_button_is_worth_nothing_elsewhere() {
    let phone = Phone::new().await;
    let token = phone.button(Act::Decide(Deed::Approve)).await;
    for elsewhere in [
        Press { bot: 8, ..HERE },
        Press { chat: 666, ..HERE },
        Press { user: 666, ..HERE },
        Press { message: MESSAGE + 1, ..HERE },
    ] {
        let found = phone.taps.pressed(&token, elsewhere).unwrap();
        assert!(matches!(found, Found::Void), "{elsewhere:?}: {found:?}");
    }
    for other in ["", "x", &token[1..], &token.to_lowercase()] {
        assert!(matches!(phone.taps.pressed(other, HERE).unwrap(), Found::Void), "{other}");
    }
    assert!(matches!(phone.taps.pressed(&token, HERE).unwrap(), Found::Decide(_)));
    phone.sent(MESSAGE + 1).await;
    assert!(matches!(phone.taps.pressed(&token, HERE).unwrap(), Found::Void), "an older copy of the card");
}

#[tokio::test]
async fn new_buttons_end_the_old_ones_once_they_are_shown() {
    let phone = Phone::new().await;
    let old = phone.button(Act::Decide(Deed::Approve)).await;
    let (new, redrawing) = phone.redrawn(Act::Decide(Deed::Deny)).await;
    assert_eq!(phone.tapped(&old, 1).deed(), Deed::Approve, "it is what the chat shows");
    phone.taps.shown(redrawing).await.unwrap();
    assert!(matches!(phone.taps.pressed(&old, HERE).unwrap(), Found::Void));
    assert_eq!(phone.tapped(&new, 1).deed(), Deed::Deny);
}

#[tokio::test]
async fn new_buttons_that_are_refused_leave_the_old_ones() {
    let phone = Phone::new().await;
    let old = phone.button(Act::Decide(Deed::Approve)).await;
    let (new, redrawing) = phone.redrawn(Act::Decide(Deed::Deny)).await;
    phone.taps.not_shown(redrawing).await.unwrap();
    assert!(matches!(phone.taps.pressed(&new, HERE).unwrap(), Found::Void));
    assert_eq!(phone.tapped(&old, 1).deed(), Deed::Approve);
}

/// Two drawings may be under way at once; the word about the first comes last.
#[tokio::test]
async fn a_late_word_about_an_older_drawing_ends_no_newer_button() {
    let phone = Phone::new().await;
    let (_, first) = phone.redrawn(Act::Decide(Deed::Approve)).await;
    let (new, second) = phone.redrawn(Act::Decide(Deed::Deny)).await;
    phone.taps.shown(second).await.unwrap();
    phone.taps.shown(first).await.unwrap();
    assert_eq!(phone.tapped(&new, 1).deed(), Deed::Deny);
}

/// While a card is drawn anew, two of its buttons say the same: one of them decides.
#[tokio::test]
async fn of_an_old_and_a_new_button_for_one_act_one_counts() {
    let phone = Phone::new().await;
    let old = phone.button(Act::Decide(Deed::ApproveFor(10))).await;
    let new = phone.button(Act::Decide(Deed::ApproveFor(10))).await;
    let (first, second) = (phone.tapped(&old, 1), phone.tapped(&new, 2));
    assert_eq!(phone.approve(first).await.unwrap().state, State::Approved);
    assert!(matches!(phone.approve(second).await, Err(DeskError::Settled(_, State::Approved))));
    let again = phone.taps.pressed(&new, Press { update: 2, ..HERE }).unwrap();
    assert!(matches!(again, Found::Decide(_)), "it was not used, so nothing follows from it: {again:?}");
}

#[tokio::test]
async fn nobody_who_reads_the_store_can_press_a_button() {
    let phone = Phone::new().await;
    let token = phone.button(Act::Decide(Deed::Approve)).await;
    let bytes: Vec<u8> = std::fs::read_dir(phone.bench.directory.path())
        .unwrap()
        .filter_map(|file| std::fs::read(file.unwrap().path()).ok())
        .flatten()
        .collect();
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(holds(&key(&token)), "the hash is there");
    assert!(!holds(token.as_bytes()) && !holds(&BASE64URL_NOPAD.decode(token.as_bytes()).unwrap()));
}

#[tokio::test]
async fn a_reason_is_taken_for_ten_minutes() {
    let phone = Phone::new().await;
    phone.button(Act::Decide(Deed::DenyWithReason)).await;
    let made = phone.bench.journal.now().wall;
    let at = |later: Duration| phone.taps.answered(HERE, made + later).unwrap();
    assert!(matches!(at(REASON_FOR), Found::Decide(_)));
    assert!(matches!(at(REASON_FOR + Duration::from_secs(1)), Found::Void));
    let elsewhere = phone.taps.answered(Press { message: 1, ..HERE }, made).unwrap();
    assert!(matches!(elsewhere, Found::Void));
}

#[test]
fn a_tap_confirms_what_its_button_says_and_nothing_else() {
    let (task, other) = (TaskId::fresh(), TaskId::fresh());
    let tool: ToolId = "mail/send".parse().unwrap();
    let (one, many) = (Pattern::from(&tool), "mail/*".parse::<Pattern>().unwrap());
    let sibling = "mail/delete".parse::<Pattern>().unwrap();
    let (ten, none) = (Duration::from_secs(600), Limits::default());
    let tap = |deed| Confirmed::of_tap(Tapped::test(deed, task, tool.clone()));
    let covered = |deed| {
        let acts = [
            What::Call(task),
            What::Call(other),
            What::Grant(&one, ten, &none),
            What::Grant(&one, ten + Duration::from_millis(1), &none),
            What::Grant(&many, ten, &none),
            What::Grant(&sibling, ten, &none),
            What::Allow(&one),
            What::Allow(&many),
            What::Other(portero::ipc::Width::One),
        ];
        acts.iter().map(|what| u8::from(tap(deed).covers(what))).collect::<Vec<_>>()
    };
    assert_eq!(covered(Deed::Approve), [1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(covered(Deed::ApproveFor(10)), [1, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(covered(Deed::Allow), [1, 0, 0, 0, 0, 0, 1, 0, 0]);
    for no in [Deed::Deny, Deed::DenyWithReason, Deed::Forbid] {
        assert_eq!(covered(no), [0; 9], "{no:?}");
    }
}

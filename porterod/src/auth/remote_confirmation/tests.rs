use std::collections::BTreeSet;

use portero::ipc::Act;
use portero::pattern::Pattern;
use portero::policy::{Action, GrantLimits};

use super::*;
use crate::approvals::tests::Fixture;
use crate::auth::buttons::{ButtonAction, Buttons, MessageRef, PressMeaning, PressSource};
use portero::names::TaskId;

const CHAT: (i64, i64) = (7, 501);

struct ConfirmationFixture {
    fixture: Fixture,
    consents: RemoteConfirmations,
    stop: CancellationToken,
}

impl ConfirmationFixture {
    fn new() -> Self {
        let fixture = Fixture::new();
        let consents = RemoteConfirmations::new(fixture.journal.clone(), fixture.clock.clone());
        Self { fixture, consents, stop: CancellationToken::new() }
    }

    async fn ask_person(&self, wish: Act) -> Result<PendingConfirmation, RemoteConfirmationError> {
        let sight = ActPreview::Tools(Vec::new());
        self.consents
            .ask_person(ConfirmationRequest { act: wish, preview: sight, by: "pid 1".into(), chat: CHAT })
            .await
    }

    /// A press on what says this, by the person.
    async fn press_answer(&self, question: i64, says: AnswerChoice) -> ButtonPress<ConfirmationAnswer> {
        let buttons = Buttons::new(self.fixture.journal.clone());
        let spot =
            MessageRef { bot: CHAT.0, chat: CHAT.1, user: Some(501), cause: format!("terminal:{question}") };
        let kept = spot.clone();
        let now = self.fixture.journal.now().wall;
        let sent = move |store: &rusqlite::Connection| {
            crate::store::telegram::store_sent(store, kept.bot, (kept.chat, 33), &kept.cause, now)
        };
        self.fixture.journal.store().write(Durability::StoreSynced, sent).await.unwrap();
        let (made, _) = buttons
            .make_buttons(spot, vec![(None, ButtonAction::Answer(ConfirmationAnswer { question, says }))])
            .await
            .unwrap();
        let press = PressSource { bot: CHAT.0, chat: CHAT.1, user: 501, message: 33, update: 1 };
        match buttons.resolve_press(&made[0], press).unwrap() {
            PressMeaning::Answer(answered) => answered,
            other => panic!("{other:?}"),
        }
    }

    /// The proof, given by a tap on the right number.
    async fn confirm_with_number(&self, wish: Act) -> Authorization {
        let waiting = self.ask_person(wish).await.unwrap();
        let id = waiting.question.id;
        let right = (0..3).find(|place| waiting.question.numbers.is_right(*place)).unwrap();
        let answered = self.press_answer(id, AnswerChoice::Number(right)).await;
        assert_eq!(self.consents.handle_answer(answered).await, Ok(AnswerOutcome::Matched));
        let consented = self.consents.wait_for_answer(waiting, &CancellationToken::new(), &self.stop).await;
        self.consents.settle_question(id, ActOutcome::Done).await;
        consented.expect("it is the right number")
    }

    async fn assert_ends(&self, end: ConfirmationEnd) {
        let waiting = self.ask_person(Act::Resume).await.unwrap();
        assert!(self.consents.end_question(waiting.question.id, end).await);
    }
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_consent_covers_what_was_shown_and_nothing_else() {
    let phone = ConfirmationFixture::new();
    let (task, other) = (TaskId::fresh(), TaskId::fresh());
    let (one, all) = (pattern("a/b"), pattern("*"));
    let hour = Duration::from_secs(3600);
    let (none, once) =
        (GrantLimits::default(), GrantLimits { uses: "1".parse().ok(), ..GrantLimits::default() });
    let acts = [
        Act::Approve(task),
        Act::Reveal(task),
        Act::Grant(one.clone(), 3_600_000, once.clone()),
        Act::Allow(one.clone()),
        Act::RemoveRule(3, one.clone(), Action::Deny),
        Act::Resume,
        Act::ConfirmConfig("shown".to_owned()),
    ];
    let never = [
        Act::Approve(other),
        Act::Reveal(other),
        Act::grant(&one, hour, &none),
        Act::grant(&one, 2 * hour, &once),
        Act::grant(&all, hour, &once),
        Act::Allow(all.clone()),
        Act::RemoveRule(4, one.clone(), Action::Deny),
        Act::RemoveRule(3, all.clone(), Action::Deny),
        Act::ConfirmConfig("another".to_owned()),
        Act::Repeat(task),
    ];
    for (index, wish) in acts.iter().enumerate() {
        let confirmed = phone.confirm_with_number(wish.clone()).await;
        assert_eq!(confirmed.actor().to_string(), "pid 1, confirmed by telegram user 501");
        for (at, what) in acts.iter().enumerate() {
            assert_eq!(confirmed.covers(what), at == index, "{wish:?} and {what:?}");
        }
        assert!(never.iter().all(|what| !confirmed.covers(what)), "{wish:?}");
    }
}

#[tokio::test]
async fn of_all_taps_the_first_counts() {
    let phone = ConfirmationFixture::new();
    let waiting = phone.ask_person(Act::Resume).await.unwrap();
    let (id, numbers) = (waiting.question.id, &waiting.question.numbers);
    let right = (0..3).find(|place| numbers.is_right(*place)).unwrap();
    let wrong = (0..3).find(|place| !numbers.is_right(*place)).unwrap();
    let answered = phone.press_answer(id, AnswerChoice::Number(right)).await;
    assert_eq!(phone.consents.handle_answer(answered.clone()).await, Ok(AnswerOutcome::Matched));
    assert_eq!(phone.consents.handle_answer(answered).await, Ok(AnswerOutcome::UnderWay));
    let refused = phone.press_answer(id, AnswerChoice::Refuse).await;
    assert_eq!(phone.consents.handle_answer(refused).await, Ok(AnswerOutcome::UnderWay), "it is being done");
    let wrong = phone.press_answer(id, AnswerChoice::Number(wrong)).await;
    assert_eq!(phone.consents.handle_answer(wrong.clone()).await, Ok(AnswerOutcome::UnderWay));
    assert!(matches!(phone.ask_person(Act::Resume).await, Err(RemoteConfirmationError::Busy(_))));
    assert!(phone.consents.wait_for_answer(waiting, &CancellationToken::new(), &phone.stop).await.is_ok());
    phone.consents.settle_question(id, ActOutcome::Done).await;
    assert_eq!(
        phone.consents.handle_answer(wrong).await,
        Ok(AnswerOutcome::AlreadyEnded(Some(ConfirmationEnd::Done)))
    );
}

#[tokio::test]
async fn a_place_that_is_no_number_is_wrong() {
    let phone = ConfirmationFixture::new();
    let waiting = phone.ask_person(Act::Resume).await.unwrap();
    let answered = phone.press_answer(waiting.question.id, AnswerChoice::Number(200)).await;
    assert_eq!(
        phone.consents.handle_answer(answered).await,
        Ok(AnswerOutcome::EndedQuestion(ConfirmationEnd::Wrong))
    );
    let ended = phone.consents.wait_for_answer(waiting, &CancellationToken::new(), &phone.stop).await;
    assert_eq!(ended.err(), Some(ConfirmationEnd::Wrong));
}

#[tokio::test]
async fn who_is_gone_before_the_tap_gets_nothing() {
    let phone = ConfirmationFixture::new();
    let waiting = phone.ask_person(Act::Resume).await.unwrap();
    let id = waiting.question.id;
    let right = (0..3).find(|place| waiting.question.numbers.is_right(*place)).unwrap();
    let withdrawn = CancellationToken::new();
    withdrawn.cancel();
    let ended = phone.consents.wait_for_answer(waiting, &withdrawn, &phone.stop).await;
    assert_eq!(ended.err(), Some(ConfirmationEnd::Gone));
    let late = phone.press_answer(id, AnswerChoice::Number(right)).await;
    assert_eq!(
        phone.consents.handle_answer(late).await,
        Ok(AnswerOutcome::AlreadyEnded(Some(ConfirmationEnd::Gone)))
    );
}

#[tokio::test]
async fn only_questions_without_an_answer_count_together_and_an_answer_is_none_of_them() {
    let phone = ConfirmationFixture::new();
    for end in [
        ConfirmationEnd::Expired,
        ConfirmationEnd::Unsent,
        ConfirmationEnd::Changed,
        ConfirmationEnd::Failed,
        ConfirmationEnd::Gone,
        ConfirmationEnd::Done,
    ] {
        phone.assert_ends(end).await;
    }
    assert_eq!(phone.consents.blocked_reason().await, Ok(None), "two had no answer");
    phone.assert_ends(ConfirmationEnd::Restarted).await;
    let held = RemoteConfirmationError::OnHold(
        ConfirmationHold::Unanswered(phone.fixture.clock.now().wall + UNANSWERED_WINDOW),
        60,
    );
    assert_eq!(phone.ask_person(Act::Resume).await.map(drop), Err(held.clone()));
    assert_eq!(phone.consents.blocked_reason().await, Ok(Some(held)));
    phone.fixture.clock.advance(Duration::from_secs(3601));
    assert_eq!(phone.consents.blocked_reason().await, Ok(None));
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_no_longer_than_it_would_have() {
    let phone = ConfirmationFixture::new();
    phone.assert_ends(ConfirmationEnd::Refused).await;
    let before = phone.fixture.clock.now().wall;
    phone.fixture.clock.set_wall(before - jiff::SignedDuration::from_hours(48));
    let held = phone.consents.blocked_reason().await;
    assert!(
        matches!(held, Ok(Some(RemoteConfirmationError::OnHold(ConfirmationHold::Refused(_), 10)))),
        "{held:?}"
    );
    phone.fixture.clock.advance(Duration::from_secs(601));
    assert_eq!(phone.consents.blocked_reason().await, Ok(None));
}

#[test]
fn every_end_is_stored_under_a_word_of_its_own() {
    let words: BTreeSet<_> = ConfirmationEnd::ALL.iter().map(|end| end.as_str()).collect();
    assert_eq!(words.len(), ConfirmationEnd::ALL.len());
}

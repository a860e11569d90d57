use std::collections::BTreeSet;

use portero::ipc::Width;
use portero::pattern::Pattern;
use portero::policy::{Action, Limits};

use super::*;
use crate::approval::tests::Bench;
use crate::passphrase::{Confirmed, What};
use crate::taps::{Act, Found, Press, Spot, Taps};
use portero::names::TaskId;

const PLACE: (i64, i64) = (7, 501);

struct Phone {
    bench: Bench,
    consents: Consents,
    stop: CancellationToken,
}

impl Phone {
    fn new() -> Self {
        let bench = Bench::new();
        let consents = Consents::new(bench.journal.clone(), bench.clock.clone());
        Self { bench, consents, stop: CancellationToken::new() }
    }

    async fn ask(&self, wish: Wish) -> Result<Waiting, ConsentError> {
        let sight = Sight::Tools(Vec::new());
        self.consents.ask(Asked { wish, sight, by: "pid 1".to_owned(), place: PLACE }).await
    }

    /// A press on what says this, by the person.
    async fn press(&self, question: i64, says: Says) -> Answered {
        let taps = Taps::new(self.bench.journal.clone());
        let spot =
            Spot { bot: PLACE.0, chat: PLACE.1, user: Some(501), cause: format!("terminal:{question}") };
        let kept = spot.clone();
        let now = self.bench.journal.now().wall;
        let sent = move |store: &rusqlite::Connection| {
            crate::store::telegram::keep_sent(store, kept.bot, (kept.chat, 33), &kept.cause, now)
        };
        self.bench.journal.store().write(Records::None, sent).await.unwrap();
        let (made, _) = taps.make(spot, vec![(None, Act::Answer(Answer { question, says }))]).await.unwrap();
        let press = Press { bot: PLACE.0, chat: PLACE.1, user: 501, message: 33, update: 1 };
        match taps.pressed(&made[0], press).unwrap() {
            Found::Answer(answered) => answered,
            other => panic!("{other:?}"),
        }
    }

    /// The proof, given by a tap on the right number.
    async fn consented(&self, wish: Wish) -> Consented {
        let waiting = self.ask(wish).await.unwrap();
        let id = waiting.question.id;
        let right = (0..3).find(|place| waiting.question.numbers.is_right(*place)).unwrap();
        let answered = self.press(id, Says::Number(right)).await;
        assert_eq!(self.consents.tapped(answered).await, Ok(Heard::Consented));
        let consented = self.consents.answer(waiting, &CancellationToken::new(), &self.stop).await;
        self.consents.settle(id, Outcome::Done).await;
        consented.expect("it is the right number")
    }

    async fn ends(&self, end: End) {
        let waiting = self.ask(Wish::Resume).await.unwrap();
        assert!(self.consents.end(waiting.question.id, end).await);
    }
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_consent_covers_what_was_shown_and_nothing_else() {
    let phone = Phone::new();
    let (task, other) = (TaskId::fresh(), TaskId::fresh());
    let (one, all) = (pattern("a/b"), pattern("*"));
    let hour = Duration::from_secs(3600);
    let (none, once) = (Limits::default(), Limits { uses: "1".parse().ok(), ..Limits::default() });
    let wishes = [
        Wish::Run(task),
        Wish::Reveal(task),
        Wish::Grant(one.clone(), 3_600_000, once.clone()),
        Wish::Allow(one.clone()),
        Wish::Unrule(3, one.clone(), Action::Deny),
        Wish::Resume,
        Wish::Configuration("shown".to_owned()),
    ];
    let acts = [
        What::Call(task),
        What::Reveal(task),
        What::Grant(&one, hour, &once),
        What::Allow(&one),
        What::Unrule(3, &one),
        What::Resume,
        What::Configuration("shown"),
    ];
    let never = [
        What::Call(other),
        What::Reveal(other),
        What::Grant(&one, hour, &none),
        What::Grant(&one, 2 * hour, &once),
        What::Grant(&all, hour, &once),
        What::Allow(&all),
        What::Unrule(4, &one),
        What::Unrule(3, &all),
        What::Configuration("another"),
        What::Other(Width::One),
    ];
    for (index, wish) in wishes.into_iter().enumerate() {
        let confirmed = Confirmed::of_consented(phone.consented(wish.clone()).await);
        assert_eq!(confirmed.by(), "pid 1, confirmed by telegram user 501");
        for (at, what) in acts.iter().enumerate() {
            assert_eq!(confirmed.covers(what), at == index, "{wish:?} and {what:?}");
        }
        assert!(never.iter().all(|what| !confirmed.covers(what)), "{wish:?}");
    }
}

#[tokio::test]
async fn of_all_taps_the_first_counts() {
    let phone = Phone::new();
    let waiting = phone.ask(Wish::Resume).await.unwrap();
    let (id, numbers) = (waiting.question.id, &waiting.question.numbers);
    let right = (0..3).find(|place| numbers.is_right(*place)).unwrap();
    let wrong = (0..3).find(|place| !numbers.is_right(*place)).unwrap();
    let answered = phone.press(id, Says::Number(right)).await;
    assert_eq!(phone.consents.tapped(answered.clone()).await, Ok(Heard::Consented));
    assert_eq!(phone.consents.tapped(answered).await, Ok(Heard::UnderWay));
    let refused = phone.press(id, Says::Refuse).await;
    assert_eq!(phone.consents.tapped(refused).await, Ok(Heard::UnderWay), "it is being done");
    let wrong = phone.press(id, Says::Number(wrong)).await;
    assert_eq!(phone.consents.tapped(wrong.clone()).await, Ok(Heard::UnderWay));
    assert!(matches!(phone.ask(Wish::Resume).await, Err(ConsentError::Busy(_))));
    assert!(phone.consents.answer(waiting, &CancellationToken::new(), &phone.stop).await.is_ok());
    phone.consents.settle(id, Outcome::Done).await;
    assert_eq!(phone.consents.tapped(wrong).await, Ok(Heard::Over(Some(End::Done))));
}

#[tokio::test]
async fn a_place_that_is_no_number_is_wrong() {
    let phone = Phone::new();
    let waiting = phone.ask(Wish::Resume).await.unwrap();
    let answered = phone.press(waiting.question.id, Says::Number(200)).await;
    assert_eq!(phone.consents.tapped(answered).await, Ok(Heard::Ended(End::Wrong)));
    let ended = phone.consents.answer(waiting, &CancellationToken::new(), &phone.stop).await;
    assert_eq!(ended.err(), Some(End::Wrong));
}

#[tokio::test]
async fn who_is_gone_before_the_tap_gets_nothing() {
    let phone = Phone::new();
    let waiting = phone.ask(Wish::Resume).await.unwrap();
    let id = waiting.question.id;
    let right = (0..3).find(|place| waiting.question.numbers.is_right(*place)).unwrap();
    let withdrawn = CancellationToken::new();
    withdrawn.cancel();
    let ended = phone.consents.answer(waiting, &withdrawn, &phone.stop).await;
    assert_eq!(ended.err(), Some(End::Gone));
    let late = phone.press(id, Says::Number(right)).await;
    assert_eq!(phone.consents.tapped(late).await, Ok(Heard::Over(Some(End::Gone))));
}

#[tokio::test]
async fn only_questions_without_an_answer_count_together_and_an_answer_is_none_of_them() {
    let phone = Phone::new();
    for end in [End::Expired, End::Unsent, End::Changed, End::Failed, End::Gone, End::Done] {
        phone.ends(end).await;
    }
    assert_eq!(phone.consents.hindrance().await, Ok(None), "two had no answer");
    phone.ends(End::Restarted).await;
    let held = ConsentError::Held(Hold::Unanswered(phone.bench.clock.now().wall + COUNTED_FOR), 60);
    assert_eq!(phone.ask(Wish::Resume).await.map(drop), Err(held.clone()));
    assert_eq!(phone.consents.hindrance().await, Ok(Some(held)));
    phone.bench.clock.advance(Duration::from_secs(3601));
    assert_eq!(phone.consents.hindrance().await, Ok(None));
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_no_longer_than_it_would_have() {
    let phone = Phone::new();
    phone.ends(End::Refused).await;
    let before = phone.bench.clock.now().wall;
    phone.bench.clock.set_wall(before - jiff::SignedDuration::from_hours(48));
    let held = phone.consents.hindrance().await;
    assert!(matches!(held, Ok(Some(ConsentError::Held(Hold::Refused(_), 10)))), "{held:?}");
    phone.bench.clock.advance(Duration::from_secs(601));
    assert_eq!(phone.consents.hindrance().await, Ok(None));
}

#[test]
fn every_end_is_stored_under_a_word_of_its_own() {
    let words: BTreeSet<_> = End::ALL.iter().map(|end| end.as_str()).collect();
    assert_eq!(words.len(), End::ALL.len());
}

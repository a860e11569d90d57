//! A terminal asks the person on Telegram, in place of the passphrase: the right number, and everything else.

use std::time::Duration;

use portero::identity::Nonce;
use portero::ipc::requests::approvals::{ApproveTask, RevealTask};
use portero::ipc::requests::auth::{
    EnrollTotp, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use portero::ipc::requests::overrides::{CreateGrant, CreateRule, GetOverrides, Pause, Resume};
use portero::ipc::{
    AskError, Challenge, Client, Failure, FailureKind, Hello, PROTOCOL, Peer, Push, Request, TelegramConfirms,
};
use portero::policy::{Action, Grant, Limits, Standing};
use portero::task::State;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::hands::{Hands, buttons, carried};
use crate::standin::{Fault, Shown, StandIn, TOKEN};
use crate::world::{GROUP, JANE, MALLORY, SOON, World};

const HOUR: u64 = 3_600_000;

/// A terminal whose question is on its way, and the number that it was told.
struct Terminal<T> {
    client: Client,
    number: String,
    answer: JoinHandle<Result<T, AskError>>,
}

impl<T: std::fmt::Debug> Terminal<T> {
    async fn answered(self) -> Result<T, Failure> {
        match tokio::time::timeout(SOON, self.answer).await.expect("in time").unwrap() {
            Ok(response) => Ok(response),
            Err(AskError::Refused(failure)) => Err(failure),
            Err(other) => panic!("{other}"),
        }
    }

    async fn refused(self, words: &str) -> Failure {
        let failure = self.answered().await.expect_err("it is refused");
        assert!(failure.message.contains(words), "{words}: {failure:?}");
        failure
    }

    /// It is interrupted.
    async fn goes(self) {
        self.answer.abort();
        let _ = self.answer.await;
        drop(self.client);
    }
}

impl Terminal<Grant> {
    async fn granted(self) -> Grant {
        self.answered().await.unwrap()
    }
}

impl World {
    async fn connected(&self) -> (Client, mpsc::Receiver<Push>) {
        let hello = Hello {
            protocol: PROTOCOL,
            build: "test".to_owned(),
            config: self.at("config"),
            peer: Peer::Terminal,
            nonce: Nonce::default(),
        };
        let (client, pushes, _) = Client::connect(&self.paths().socket(), hello, None).await.unwrap();
        (client, pushes)
    }

    /// A terminal asks; it has its number.
    async fn terminal<R: Request>(&self, request: R) -> Terminal<R::Response> {
        let (client, mut pushes) = self.connected().await;
        let asking = client.clone();
        let answer = tokio::spawn(async move { asking.request(request).await });
        match tokio::time::timeout(SOON, pushes.recv()).await.expect("in time") {
            Some(Push::Number { tap, seconds: 120, .. }) => {
                let number = tap.expose().to_owned();
                assert!(number.len() == 2, "{number}");
                Terminal { client, number, answer }
            }
            Some(other) => panic!("{other:?}"),
            None => panic!("no number: {:?}", answer.await),
        }
    }

    /// Nobody is asked, since it is refused at once.
    async fn not_asked<R: Request>(&self, request: R, words: &str) {
        let failure = self.request(request).await.expect_err("it is refused");
        assert_eq!(failure.kind, FailureKind::Challenge, "{failure:?}");
        assert!(failure.message.contains(words), "{words}: {failure:?}");
    }

    /// The question in the chat.
    async fn card(&self) -> Shown {
        let asks = |it: &StandIn| it.by_bot(JANE).into_iter().rev().find(|it| it.keyboard.is_some());
        self.telegram.until("a question", asks).await
    }

    async fn becomes(&self, shown: &Shown, words: &str) -> Shown {
        let now = |it: &StandIn| {
            let now = it.by_bot(JANE).into_iter().find(|now| now.id == shown.id)?;
            now.text.contains(words).then_some(now)
        };
        let now = self.telegram.until(words, now).await;
        assert!(now.keyboard.is_none(), "nothing that looks open stays: {now:?}");
        now
    }

    async fn confirms(&self) -> TelegramConfirms {
        self.status().await.confirms
    }

    async fn stands(&self) -> Standing {
        self.request(GetOverrides).await.unwrap()
    }

    /// What a press was answered with.
    async fn said_to(&self, query: &str) -> String {
        let answer = self.telegram.until("an answer to a press", |it| it.answer_to(query)).await;
        answer["text"].as_str().unwrap_or_default().to_owned()
    }

    fn tap(&self, shown: &Shown, words: &str) -> String {
        self.telegram.press(JANE, shown.id, words)
    }
}

fn challenge() -> Challenge {
    Challenge::on_telegram()
}

fn grant(pattern: &str) -> CreateGrant {
    CreateGrant {
        pattern: pattern.parse().unwrap(),
        millis: HOUR,
        limits: Limits::default(),
        challenge: challenge(),
    }
}

/// A number on the card that is not the one.
fn wrong(shown: &Shown, right: &str) -> String {
    let other = |it: &String| it.len() == 2 && it.as_str() != right;
    buttons(shown).into_iter().find(other).unwrap()
}

#[tokio::test]
async fn the_right_number_confirms_what_was_shown_once() {
    let world = World::of_jane().await;
    assert_eq!(world.confirms().await, TelegramConfirms::Now);
    let terminal = world.terminal(grant("github/*")).await;
    let card = world.card().await;
    assert!(
        card.text.starts_with("A terminal of yours asks: portero grant github/* 1h\nby "),
        "{}",
        card.text
    );
    assert!(card.text.contains("Permit for a while?\ngithub/* for 1 h, until 13:00 UTC"), "{}", card.text);
    assert!(card.text.contains("Tap the number that your terminal shows now."), "{}", card.text);
    assert!(card.text.contains("Until 12:02 UTC, in 2 min"), "{}", card.text);
    let shown = buttons(&card);
    assert_eq!((shown.len(), shown[3].as_str()), (4, "❌ Refuse"));
    assert!(shown.contains(&terminal.number));
    assert!(world.stands().await.grants.is_empty(), "nothing is granted yet");
    let right = carried(&card, &terminal.number);
    let number = terminal.number.clone();
    world.tap(&card, &number);
    assert_eq!(terminal.granted().await.pattern.as_str(), "github/*");
    let done = world.becomes(&card, "Confirmed and done.").await;
    assert!(done.text.contains("Permitted: grant 1, github/* for 1 h"), "{}", done.text);
    for _ in 0..3 {
        world.telegram.press_with(JANE, card.id, &right);
    }
    world.telegram.redeliver_last();
    let query = world.telegram.press_with(JANE, card.id, &right);
    world.said_to(&query).await;
    assert_eq!(world.stands().await.grants.len(), 1, "once");
    let acts = world.acts();
    assert!(acts.contains(&"ask on telegram: grant github/* 1h: true".to_owned()), "{acts:?}");
    assert!(acts.iter().any(|act| act.starts_with("grant: grant 1: github/*") && act.ends_with("true")));
    assert_eq!(world.confirms().await, TelegramConfirms::Now, "another one may follow");
}

#[tokio::test]
async fn a_wrong_number_and_a_refusal_end_it_and_hold_all_others_for_ten_minutes() {
    for refuses in [false, true] {
        let world = World::of_jane().await;
        let terminal = world.terminal(grant("*")).await;
        let card = world.card().await;
        let press = if refuses { "❌ Refuse".to_owned() } else { wrong(&card, &terminal.number) };
        let right = carried(&card, &terminal.number);
        world.tap(&card, &press);
        let (said, shown, end) = if refuses {
            ("it was refused on Telegram", "Refused. Nothing changed", "refused")
        } else {
            ("another number was tapped", "That was not the number. Nothing changed", "wrong")
        };
        terminal.refused(said).await;
        world.becomes(&card, shown).await;
        let late = world.telegram.press_with(JANE, card.id, &right);
        assert!(world.said_to(&late).await.contains("Nothing changed"), "the right number comes too late");
        assert!(world.stands().await.grants.is_empty());
        let acts = world.acts();
        assert!(acts.contains(&format!("answer on telegram: grant * 1h: {end}: false")), "{acts:?}");
        assert!(
            acts.iter().any(|act| act.starts_with("grant: * for 1h") && act.ends_with("false")),
            "{acts:?}"
        );
        world.not_asked(grant("a/b"), "so none is asked there for another 10 min").await;
        let world = world.restarted().await;
        world.serves().await;
        world.not_asked(grant("a/b"), "was refused").await;
        world.clock.advance(Duration::from_secs(601));
        world.telegram.say(JANE, "/status");
        world.until("all is well", |status| status.confirms == TelegramConfirms::Now).await;
        world.terminal(grant("a/b")).await.goes().await;
    }
}

#[tokio::test]
async fn a_tap_that_comes_too_late_is_void_and_says_why() {
    let world = World::of_jane().await;
    let terminal = world.terminal(grant("a/*")).await;
    let card = world.card().await;
    let right = carried(&card, &terminal.number);
    world.clock.advance(Duration::from_secs(121));
    terminal.refused("nobody answered on Telegram in time").await;
    world.becomes(&card, "Nobody answered in time. Nothing changed.").await;
    let late = world.telegram.press_with(JANE, card.id, &right);
    assert!(world.said_to(&late).await.starts_with("Nobody answered in time."));
    assert!(world.stands().await.grants.is_empty());
}

#[tokio::test]
async fn one_question_is_open_at_a_time_and_three_without_an_answer_end_all_for_an_hour() {
    let world = World::of_jane().await;
    for time in 0..3 {
        let first = world.terminal(grant("a/*")).await;
        world.not_asked(grant("b/*"), "another question is open on Telegram already, asked by ").await;
        if time == 2 {
            world.clock.advance(Duration::from_secs(121));
            first.refused("nobody answered").await;
        } else {
            first.goes().await;
            world.until("it is over", |status| !format!("{:?}", status.confirms).contains("open")).await;
        }
    }
    let world = world.restarted().await;
    world.serves().await;
    world.not_asked(grant("a/*"), "3 questions on Telegram within an hour had no answer").await;
    let asked = world.telegram.by_bot(JANE).into_iter().filter(|it| it.text.contains("asked: portero grant"));
    assert!(asked.count() <= 3);
    world.clock.advance(Duration::from_secs(3700));
    world.telegram.say(JANE, "/status");
    world.until("all is well", |status| status.confirms == TelegramConfirms::Now).await;
}

#[tokio::test]
async fn the_message_says_when_the_terminal_has_gone() {
    let world = World::of_jane().await;
    let terminal = world.terminal(grant("a/*")).await;
    let card = world.card().await;
    let right = carried(&card, &terminal.number);
    terminal.goes().await;
    world.becomes(&card, "The terminal has gone. Nothing changed.").await;
    let late = world.telegram.press_with(JANE, card.id, &right);
    assert!(world.said_to(&late).await.starts_with("The terminal has gone."));
    assert!(world.stands().await.grants.is_empty());
}

#[tokio::test]
async fn a_restart_ends_it_and_leaves_no_message_that_looks_open() {
    let mut world = World::of_jane().await;
    let terminal = world.terminal(grant("a/*")).await;
    let card = world.card().await;
    let right = carried(&card, &terminal.number);
    world.end().await;
    drop(terminal);
    let world = world.started().await;
    world.serves().await;
    world.becomes(&card, "Nothing changed.").await;
    let late = world.telegram.press_with(JANE, card.id, &right);
    assert!(world.said_to(&late).await.ends_with("Nothing changed."));
    assert!(world.stands().await.grants.is_empty());
}

#[tokio::test]
async fn somebody_elses_tap_is_nothing_and_so_is_one_elsewhere() {
    let world = World::of_jane().await;
    let terminal = world.terminal(grant("a/*")).await;
    let card = world.card().await;
    let right = carried(&card, &terminal.number);
    world.telegram.say(MALLORY, "hi");
    world.telegram.press_with(MALLORY, card.id, &right);
    world.telegram.say(JANE, "/rules");
    let other = world.hears(JANE, "No rules and no grants").await;
    let id = world.telegram.by_bot(JANE).into_iter().find(|it| it.text == other).unwrap().id;
    let query = world.telegram.press_with(JANE, id, &right);
    world.said_to(&query).await;
    assert!(world.stands().await.grants.is_empty());
    let number = terminal.number.clone();
    world.tap(&card, &number);
    terminal.granted().await;
}

#[tokio::test]
async fn what_changed_since_it_was_shown_is_not_done() {
    let world = World::without_bot().await;
    world.configure(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE}));
    world.write("mcps.json", r#"{"mcpServers": {"github": {"command": "no-such-program"}}}"#);
    world.telegram.say(JANE, "/start");
    let world = world.started().await;
    world.serves().await;
    let allow = CreateRule {
        pattern: "github/*".parse().unwrap(),
        action: Action::Allow,
        challenge: Some(challenge()),
    };
    let terminal = world.terminal(allow).await;
    let card = world.card().await;
    assert!(card.text.contains("asks now → would run unasked"), "{}", card.text);
    let deny =
        CreateRule { pattern: "github/prompts:get".parse().unwrap(), action: Action::Deny, challenge: None };
    world.request(deny).await.unwrap();
    let number = terminal.number.clone();
    world.tap(&card, &number);
    terminal.refused("something changed since it was shown").await;
    world.becomes(&card, "Something changed since this was shown, so nothing was done.").await;
    assert_eq!(world.stands().await.rules.len(), 1);
}

#[tokio::test]
async fn limits_of_a_grant_are_shown_and_hold() {
    let world = World::of_jane().await;
    let limits = Limits { uses: "3".parse().ok(), ..Limits::default() };
    let ask = CreateGrant {
        pattern: "a/b".parse().unwrap(),
        millis: HOUR,
        limits: limits.clone(),
        challenge: challenge(),
    };
    let terminal = world.terminal(ask).await;
    let card = world.card().await;
    assert!(card.text.contains("Limited: 3 uses"), "{}", card.text);
    let number = terminal.number.clone();
    world.tap(&card, &number);
    assert_eq!(terminal.granted().await.limits, limits);
}

#[tokio::test]
async fn what_is_paused_is_only_resumed_there() {
    let world = World::of_jane().await;
    world.request(Pause).await.unwrap();
    world.not_asked(grant("a/*"), "everything is paused").await;
    let terminal = world.terminal(Resume { challenge: challenge() }).await;
    let card = world.card().await;
    assert!(card.text.contains("Go on?"), "{}", card.text);
    let number = terminal.number.clone();
    world.tap(&card, &number);
    assert!(terminal.answered().await.unwrap(), "it was paused");
    assert!(world.stands().await.paused.is_none());
}

#[tokio::test]
async fn what_changes_a_second_factor_takes_the_passphrase() {
    let world = World::of_jane().await;
    world.set_passphrase().await;
    let words = "this is not confirmed on Telegram";
    let new = Challenge::new("another good one");
    world.not_asked(SetPassphrase { old: Some(challenge()), new }, words).await;
    world.not_asked(OfferTotp { challenge: challenge() }, words).await;
    world.not_asked(EnrollTotp { challenge: challenge() }, words).await;
    world.not_asked(RemoveTotp { challenge: challenge() }, words).await;
    world.not_asked(PairTelegram { challenge: Some(challenge()) }, words).await;
    world.not_asked(UnpairTelegram { challenge: challenge() }, words).await;
    assert!(world.telegram.by_bot(JANE).iter().all(|it| it.keyboard.is_none()));
}

#[tokio::test]
async fn a_bot_that_cannot_be_reached_is_told_at_once() {
    let world = World::new().await;
    world.serves().await;
    assert_eq!(world.confirms().await, TelegramConfirms::Never);
    world.not_asked(grant("a/*"), "nobody is paired on Telegram").await;

    let world = World::of_jane().await;
    world.clock.advance(Duration::from_secs(600));
    world.not_asked(grant("a/*"), "the bot was last reached 10m ago").await;

    for fault in [Fault::Conflict, Fault::Unauthorized] {
        let world = World::of_jane().await;
        world.telegram.fault("getUpdates", fault, 50);
        world.telegram.say(JANE, "/status");
        world.until("it is bad", |status| matches!(status.confirms, TelegramConfirms::NotNow(_))).await;
        world.not_asked(grant("a/*"), "the bot cannot be reached: ").await;
        world.telegram.calm("getUpdates");
    }

    let world = World::of_jane().await;
    world.telegram.block(JANE);
    let terminal = world.terminal(grant("a/*")).await;
    let failure = terminal.answered().await.expect_err("nobody gets it");
    assert!(failure.message.contains("could not be delivered"), "{failure:?}");
    assert!(world.stands().await.grants.is_empty());
}

#[tokio::test]
async fn what_a_terminal_asks_follows_a_group_that_became_a_supergroup() {
    let hands = Hands::in_group().await;
    hands.telegram().upgrade_silently(GROUP, -1_009);
    let terminal = hands.world.terminal(grant("notes/*")).await;
    let asks = |it: &StandIn| it.by_bot(-1_009).into_iter().find(|it| it.keyboard.is_some());
    let shown = hands.telegram().until("the question in the new chat", asks).await;
    let number = terminal.number.clone();
    hands.telegram().press_in(JANE, -1_009, shown.id, &number);
    terminal.granted().await;
}

#[tokio::test]
async fn the_number_is_in_no_file_and_no_answer() {
    let world = World::of_jane().await;
    let terminal = world.terminal(grant("a/*")).await;
    let card = world.card().await;
    let number = terminal.number.clone();
    // Which of the buttons is the right one is not stored either: they differ by their place alone.
    let files = world.all_files();
    for place in 0..3 {
        assert!(files.contains(&format!(r#"{{"answer":{{"question":1,"says":{{"number":{place}}}}}}}"#)));
    }
    world.tap(&card, &number);
    terminal.granted().await;
    world.becomes(&card, "Confirmed and done.").await;
    assert_eq!(
        world.acts(),
        ["ask on telegram: grant a/* 1h: true", "grant: grant 1: a/* for 3600 s: true"],
        "nothing is written down of it"
    );
}

#[tokio::test]
async fn a_call_is_approved_with_the_whole_of_it_before_the_eyes() {
    let mut hands = Hands::new().await;
    let task = hands.submit("hello John Doe").await;
    let world = &hands.world;
    let approve = || ApproveTask { task: task.id, challenge: challenge() };
    let terminal = world.terminal(approve()).await;
    let asks =
        |it: &StandIn| it.by_bot(JANE).into_iter().find(|it| it.text.starts_with("A terminal of yours"));
    let card = world.telegram.until("a question", asks).await;
    assert!(card.text.contains("May this run?") && card.text.contains("hello John Doe"), "{}", card.text);
    let number = terminal.number.clone();
    world.tap(&card, &number);
    assert_eq!(terminal.answered().await.unwrap().id, task.id);
    hands.is(task.id, State::Completed).await;
    assert_eq!(hands.ran(), ["hello Jane Roe"]);
    let by = hands.audited().into_iter().find(|state| state.starts_with("approved")).unwrap();
    assert!(by.ends_with(", confirmed by telegram user 501"), "{by}");
    let again = world.request(approve()).await.expect_err("it is decided");
    assert!(again.message.contains(&task.id.to_string()), "{again:?}");
}

#[tokio::test]
async fn real_values_are_shown_to_the_terminal_and_not_on_the_phone() {
    let mut hands = Hands::new().await;
    let task = hands.submit("hello John Doe").await;
    let world = &hands.world;
    let terminal = world.terminal(RevealTask { task: task.id, challenge: challenge() }).await;
    let asks =
        |it: &StandIn| it.by_bot(JANE).into_iter().find(|it| it.text.starts_with("A terminal of yours"));
    let card = world.telegram.until("a question", asks).await;
    assert!(card.text.contains("Show real values?") && card.text.contains("notes/send"), "{}", card.text);
    let number = terminal.number.clone();
    world.tap(&card, &number);
    match terminal.answered().await {
        Ok(real) => assert!(real.params.expose().contains("Jane Roe")),
        other => panic!("{other:?}"),
    }
    world.becomes(&card, "Confirmed and done.").await;
    assert!(world.telegram.by_bot(JANE).iter().all(|it| !it.text.contains("Jane Roe")));
    assert!(world.acts().contains(&format!("task real: task {}: true", task.id)));
}

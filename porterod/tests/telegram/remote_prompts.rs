//! A terminal asks the person on Telegram, in place of the passphrase: the right number, and everything else.

use std::time::Duration;

use portero::approval_scope::{ApprovalScope, ScopeDuration};
use portero::ipc::requests::approvals::{ApproveTask, ApproveWith, PermitResult, PreviewScope, RevealTask};
use portero::ipc::requests::auth::{
    EnrollTotp, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use portero::ipc::requests::overrides::{CreateGrant, CreateRule, GetOverrides, Pause, Resume};
use portero::ipc::{
    Challenge, DaemonFailure, FailureKind, Hello, IpcClient, PROTOCOL_VERSION, PeerRole, PushMessage,
    Request, RequestError, TelegramConfirmation,
};
use portero::policy::{Action, Grant, GrantLimits, Overrides};
use portero::store_identity::Nonce;
use portero::task::TaskState;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::fake_telegram::{FakeTelegram, Fault, ShownMessage, TOKEN};
use crate::fake_user::{FakeUser, button_labels, callback_data};
use crate::fixture::{GROUP, JANE, MALLORY, TelegramFixture, WAIT_TIMEOUT};

const HOUR: u64 = 3_600_000;

/// A terminal whose question is on its way, and the number that it was told.
pub(crate) struct PromptingTerminal<T> {
    client: IpcClient,
    pub(crate) number: String,
    reply: JoinHandle<Result<T, RequestError>>,
}

impl<T: std::fmt::Debug> PromptingTerminal<T> {
    pub(crate) async fn wait_for_reply(self) -> Result<T, DaemonFailure> {
        match tokio::time::timeout(WAIT_TIMEOUT, self.reply).await.expect("in time").unwrap() {
            Ok(response) => Ok(response),
            Err(RequestError::Refused(failure)) => Err(failure),
            Err(other) => panic!("{other}"),
        }
    }

    async fn expect_refusal(self, words: &str) -> DaemonFailure {
        let failure = self.wait_for_reply().await.expect_err("it is refused");
        assert!(failure.message.contains(words), "{words}: {failure:?}");
        failure
    }

    /// It is interrupted.
    async fn disconnect(self) {
        self.reply.abort();
        let _ = self.reply.await;
        drop(self.client);
    }
}

impl PromptingTerminal<Grant> {
    async fn expect_grant(self) -> Grant {
        self.wait_for_reply().await.unwrap()
    }
}

impl TelegramFixture {
    async fn connect_terminal(&self) -> (IpcClient, mpsc::Receiver<PushMessage>) {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
            config: self.path_of("config"),
            peer: PeerRole::Terminal,
            nonce: Nonce::default(),
        };
        let (client, pushes, _) = IpcClient::connect(&self.paths().socket(), hello, None).await.unwrap();
        (client, pushes)
    }

    /// A terminal asks; it has its number.
    pub(crate) async fn ask_from_terminal<R: Request>(&self, request: R) -> PromptingTerminal<R::Response> {
        let (client, mut pushes) = self.connect_terminal().await;
        let asking = client.clone();
        let answer = tokio::spawn(async move { asking.request(request).await });
        match tokio::time::timeout(WAIT_TIMEOUT, pushes.recv()).await.expect("in time") {
            Some(PushMessage::Number { tap, seconds: 120, .. }) => {
                let number = tap.expose().to_owned();
                assert!(number.len() == 2, "{number}");
                PromptingTerminal { client, number, reply: answer }
            }
            Some(other) => panic!("{other:?}"),
            None => panic!("no number: {:?}", answer.await),
        }
    }

    /// Nobody is asked, since it is refused at once.
    async fn expect_no_prompt<R: Request>(&self, request: R, words: &str) {
        let failure = self.request(request).await.expect_err("it is refused");
        assert_eq!(failure.kind, FailureKind::Challenge, "{failure:?}");
        assert!(failure.message.contains(words), "{words}: {failure:?}");
    }

    /// The question in the chat.
    pub(crate) async fn wait_for_prompt(&self) -> ShownMessage {
        let asks =
            |it: &FakeTelegram| it.bot_messages(JANE).into_iter().rev().find(|it| it.keyboard.is_some());
        self.telegram.wait_until("a question", asks).await
    }

    pub(crate) async fn wait_until_shows(&self, shown: &ShownMessage, words: &str) -> ShownMessage {
        let now = |it: &FakeTelegram| {
            let now = it.bot_messages(JANE).into_iter().find(|now| now.id == shown.id)?;
            now.text.contains(words).then_some(now)
        };
        let now = self.telegram.wait_until(words, now).await;
        assert!(now.keyboard.is_none(), "nothing that looks open stays: {now:?}");
        now
    }

    async fn remote_confirmation_status(&self) -> TelegramConfirmation {
        self.status().await.confirms
    }

    async fn active_overrides(&self) -> Overrides {
        self.request(GetOverrides).await.unwrap()
    }

    /// What a press was answered with.
    async fn wait_for_press_answer(&self, query: &str) -> String {
        let answer = self.telegram.wait_until("an answer to a press", |it| it.press_answer(query)).await;
        answer["text"].as_str().unwrap_or_default().to_owned()
    }

    fn press_number(&self, shown: &ShownMessage, words: &str) -> String {
        self.telegram.press(JANE, shown.id, words)
    }
}

fn telegram_challenge() -> Challenge {
    Challenge::on_telegram()
}

fn grant_request(pattern: &str) -> CreateGrant {
    CreateGrant {
        pattern: pattern.parse().unwrap(),
        millis: HOUR,
        limits: GrantLimits::default(),
        run_waiting: Vec::new(),
        challenge: telegram_challenge(),
    }
}

/// A number on the card that is not the one.
fn wrong_number(shown: &ShownMessage, right: &str) -> String {
    let other = |it: &String| it.len() == 2 && it.as_str() != right;
    button_labels(shown).into_iter().find(other).unwrap()
}

#[tokio::test]
async fn the_right_number_confirms_what_was_shown_once() {
    let world = TelegramFixture::with_jane().await;
    assert_eq!(world.remote_confirmation_status().await, TelegramConfirmation::Now);
    let terminal = world.ask_from_terminal(grant_request("github/*")).await;
    let card = world.wait_for_prompt().await;
    assert!(
        card.text.starts_with("A terminal of yours asks: portero grant github/* 1h\nby "),
        "{}",
        card.text
    );
    assert!(card.text.contains("Permit for a while?\ngithub/* for 1 h, until 13:00 UTC"), "{}", card.text);
    assert!(card.text.contains("Tap the number that your terminal shows now."), "{}", card.text);
    assert!(card.text.contains("Until 12:02 UTC, in 2 min"), "{}", card.text);
    let shown = button_labels(&card);
    assert_eq!((shown.len(), shown[3].as_str()), (4, "❌ Refuse"));
    assert!(shown.contains(&terminal.number));
    assert!(world.active_overrides().await.grants.is_empty(), "nothing is granted yet");
    let right = callback_data(&card, &terminal.number);
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    assert_eq!(terminal.expect_grant().await.pattern.as_str(), "github/*");
    let done = world.wait_until_shows(&card, "Confirmed and done.").await;
    assert!(done.text.contains("Permitted: grant 1, github/* for 1 h"), "{}", done.text);
    for _ in 0..3 {
        world.telegram.press_data(JANE, card.id, &right);
    }
    world.telegram.redeliver_last();
    let query = world.telegram.press_data(JANE, card.id, &right);
    world.wait_for_press_answer(&query).await;
    assert_eq!(world.active_overrides().await.grants.len(), 1, "once");
    let acts = world.audited_acts();
    assert!(acts.contains(&"ask on telegram: grant github/* 1h: true".to_owned()), "{acts:?}");
    assert!(acts.iter().any(|act| act.starts_with("grant: grant 1: github/*") && act.ends_with("true")));
    assert_eq!(world.remote_confirmation_status().await, TelegramConfirmation::Now, "another one may follow");
}

#[tokio::test]
async fn a_wrong_number_and_a_refusal_end_it_and_hold_all_others_for_ten_minutes() {
    for refuses in [false, true] {
        let world = TelegramFixture::with_jane().await;
        let terminal = world.ask_from_terminal(grant_request("*")).await;
        let card = world.wait_for_prompt().await;
        let press = if refuses { "❌ Refuse".to_owned() } else { wrong_number(&card, &terminal.number) };
        let right = callback_data(&card, &terminal.number);
        world.press_number(&card, &press);
        let (said, shown, end) = if refuses {
            ("it was refused on Telegram", "Refused. Nothing changed", "refused")
        } else {
            ("another number was tapped", "That was not the number. Nothing changed", "wrong")
        };
        terminal.expect_refusal(said).await;
        world.wait_until_shows(&card, shown).await;
        let late = world.telegram.press_data(JANE, card.id, &right);
        assert!(
            world.wait_for_press_answer(&late).await.contains("Nothing changed"),
            "the right number comes too late"
        );
        assert!(world.active_overrides().await.grants.is_empty());
        let acts = world.audited_acts();
        assert!(acts.contains(&format!("answer on telegram: grant * 1h: {end}: false")), "{acts:?}");
        assert!(
            acts.iter().any(|act| act.starts_with("grant: * for 1h") && act.ends_with("false")),
            "{acts:?}"
        );
        world.expect_no_prompt(grant_request("a/b"), "so none is asked there for another 10 min").await;
        let world = world.restart().await;
        world.wait_until_serving().await;
        world.expect_no_prompt(grant_request("a/b"), "was refused").await;
        world.clock.advance(Duration::from_secs(601));
        world.telegram.send_text(JANE, "/status");
        world.wait_for_status("all is well", |status| status.confirms == TelegramConfirmation::Now).await;
        world.ask_from_terminal(grant_request("a/b")).await.disconnect().await;
    }
}

#[tokio::test]
async fn a_tap_that_comes_too_late_is_void_and_says_why() {
    let world = TelegramFixture::with_jane().await;
    let terminal = world.ask_from_terminal(grant_request("a/*")).await;
    let card = world.wait_for_prompt().await;
    let right = callback_data(&card, &terminal.number);
    world.clock.advance(Duration::from_secs(121));
    terminal.expect_refusal("no answer came on Telegram in time").await;
    world.wait_until_shows(&card, "No answer came in time. Nothing changed.").await;
    let late = world.telegram.press_data(JANE, card.id, &right);
    assert!(world.wait_for_press_answer(&late).await.starts_with("No answer came in time."));
    assert!(world.active_overrides().await.grants.is_empty());
}

#[tokio::test]
async fn one_question_is_open_at_a_time_and_three_without_an_answer_end_all_for_an_hour() {
    let world = TelegramFixture::with_jane().await;
    for time in 0..3 {
        let first = world.ask_from_terminal(grant_request("a/*")).await;
        world
            .expect_no_prompt(grant_request("b/*"), "another question is open on Telegram already, asked by ")
            .await;
        if time == 2 {
            world.clock.advance(Duration::from_secs(121));
            first.expect_refusal("no answer came on Telegram in time").await;
        } else {
            first.disconnect().await;
            world
                .wait_for_status("it is over", |status| !format!("{:?}", status.confirms).contains("open"))
                .await;
        }
    }
    let world = world.restart().await;
    world.wait_until_serving().await;
    world
        .expect_no_prompt(grant_request("a/*"), "3 questions on Telegram within an hour had no answer")
        .await;
    let asked =
        world.telegram.bot_messages(JANE).into_iter().filter(|it| it.text.contains("asked: portero grant"));
    assert!(asked.count() <= 3);
    world.clock.advance(Duration::from_secs(3700));
    world.telegram.send_text(JANE, "/status");
    world.wait_for_status("all is well", |status| status.confirms == TelegramConfirmation::Now).await;
}

#[tokio::test]
async fn the_message_says_when_the_terminal_has_gone() {
    let world = TelegramFixture::with_jane().await;
    let terminal = world.ask_from_terminal(grant_request("a/*")).await;
    let card = world.wait_for_prompt().await;
    let right = callback_data(&card, &terminal.number);
    terminal.disconnect().await;
    world.wait_until_shows(&card, "The terminal has gone. Nothing changed.").await;
    let late = world.telegram.press_data(JANE, card.id, &right);
    assert!(world.wait_for_press_answer(&late).await.starts_with("The terminal has gone."));
    assert!(world.active_overrides().await.grants.is_empty());
}

#[tokio::test]
async fn a_restart_ends_it_and_leaves_no_message_that_looks_open() {
    let mut world = TelegramFixture::with_jane().await;
    let terminal = world.ask_from_terminal(grant_request("a/*")).await;
    let card = world.wait_for_prompt().await;
    let right = callback_data(&card, &terminal.number);
    world.shut_down().await;
    drop(terminal);
    let world = world.start().await;
    world.wait_until_serving().await;
    world.wait_until_shows(&card, "Nothing changed.").await;
    let late = world.telegram.press_data(JANE, card.id, &right);
    assert!(world.wait_for_press_answer(&late).await.ends_with("Nothing changed."));
    assert!(world.active_overrides().await.grants.is_empty());
}

#[tokio::test]
async fn somebody_elses_tap_is_nothing_and_so_is_one_elsewhere() {
    let world = TelegramFixture::with_jane().await;
    let terminal = world.ask_from_terminal(grant_request("a/*")).await;
    let card = world.wait_for_prompt().await;
    let right = callback_data(&card, &terminal.number);
    world.telegram.send_text(MALLORY, "hi");
    world.telegram.press_data(MALLORY, card.id, &right);
    world.telegram.send_text(JANE, "/rules");
    let other = world.wait_for_message(JANE, "No rules and no grants").await;
    let id = world.telegram.bot_messages(JANE).into_iter().find(|it| it.text == other).unwrap().id;
    let query = world.telegram.press_data(JANE, id, &right);
    world.wait_for_press_answer(&query).await;
    assert!(world.active_overrides().await.grants.is_empty());
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    terminal.expect_grant().await;
}

#[tokio::test]
async fn what_changed_since_it_was_shown_is_not_done() {
    let world = TelegramFixture::without_bot().await;
    world.write_telegram_config(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE}));
    world.write_config("mcps.json", r#"{"mcpServers": {"github": {"command": "no-such-program"}}}"#);
    world.telegram.send_text(JANE, "/start");
    let world = world.start().await;
    world.wait_until_serving().await;
    let allow = CreateRule {
        pattern: "github/*".parse().unwrap(),
        action: Action::Allow,
        run_waiting: Vec::new(),
        challenge: Some(telegram_challenge()),
    };
    let terminal = world.ask_from_terminal(allow).await;
    let card = world.wait_for_prompt().await;
    assert!(card.text.contains("asks now → would run unasked"), "{}", card.text);
    let deny = CreateRule {
        pattern: "github/prompts:get".parse().unwrap(),
        action: Action::Deny,
        run_waiting: Vec::new(),
        challenge: None,
    };
    world.request(deny).await.unwrap();
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    terminal.expect_refusal("something changed since it was shown").await;
    world.wait_until_shows(&card, "Something changed since this was shown, so nothing was done.").await;
    assert_eq!(world.active_overrides().await.rules.len(), 1);
}

#[tokio::test]
async fn limits_of_a_grant_are_shown_and_hold() {
    let world = TelegramFixture::with_jane().await;
    let limits = GrantLimits { uses: "3".parse().ok(), ..GrantLimits::default() };
    let ask = CreateGrant {
        pattern: "a/b".parse().unwrap(),
        millis: HOUR,
        limits: limits.clone(),
        run_waiting: Vec::new(),
        challenge: telegram_challenge(),
    };
    let terminal = world.ask_from_terminal(ask).await;
    let card = world.wait_for_prompt().await;
    assert!(card.text.contains("Limited: 3 uses"), "{}", card.text);
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    assert_eq!(terminal.expect_grant().await.limits, limits);
}

#[tokio::test]
async fn what_is_paused_is_only_resumed_there() {
    let world = TelegramFixture::with_jane().await;
    world.request(Pause).await.unwrap();
    world.expect_no_prompt(grant_request("a/*"), "everything is paused").await;
    let terminal = world.ask_from_terminal(Resume { challenge: telegram_challenge() }).await;
    let card = world.wait_for_prompt().await;
    assert!(card.text.contains("Go on?"), "{}", card.text);
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    assert!(terminal.wait_for_reply().await.unwrap(), "it was paused");
    assert!(world.active_overrides().await.paused.is_none());
}

#[tokio::test]
async fn what_changes_a_second_factor_takes_the_passphrase() {
    let world = TelegramFixture::with_jane().await;
    world.set_passphrase().await;
    let words = "this is not confirmed on Telegram";
    let new = Challenge::new("another good one");
    world.expect_no_prompt(SetPassphrase { old: Some(telegram_challenge()), new }, words).await;
    world.expect_no_prompt(OfferTotp { challenge: telegram_challenge() }, words).await;
    world.expect_no_prompt(EnrollTotp { challenge: telegram_challenge() }, words).await;
    world.expect_no_prompt(RemoveTotp { challenge: telegram_challenge() }, words).await;
    world.expect_no_prompt(PairTelegram { challenge: Some(telegram_challenge()) }, words).await;
    world.expect_no_prompt(UnpairTelegram { challenge: telegram_challenge() }, words).await;
    assert!(world.telegram.bot_messages(JANE).iter().all(|it| it.keyboard.is_none()));
}

#[tokio::test]
async fn a_bot_that_cannot_be_reached_is_told_at_once() {
    let world = TelegramFixture::new().await;
    world.wait_until_serving().await;
    assert_eq!(world.remote_confirmation_status().await, TelegramConfirmation::Never);
    world.expect_no_prompt(grant_request("a/*"), "Telegram is not paired yet").await;

    let world = TelegramFixture::with_jane().await;
    world.clock.advance(Duration::from_secs(600));
    world.expect_no_prompt(grant_request("a/*"), "the bot was last reached 10m ago").await;

    for fault in [Fault::Conflict, Fault::Unauthorized] {
        let world = TelegramFixture::with_jane().await;
        world.telegram.inject_fault("getUpdates", fault, 50);
        world.telegram.send_text(JANE, "/status");
        world
            .wait_for_status("it is bad", |status| matches!(status.confirms, TelegramConfirmation::NotNow(_)))
            .await;
        world.expect_no_prompt(grant_request("a/*"), "the bot cannot be reached: ").await;
        world.telegram.clear_faults("getUpdates");
    }

    let world = TelegramFixture::with_jane().await;
    world.telegram.block(JANE);
    let terminal = world.ask_from_terminal(grant_request("a/*")).await;
    let failure = terminal.wait_for_reply().await.expect_err("nobody gets it");
    assert!(failure.message.contains("could not be delivered"), "{failure:?}");
    assert!(world.active_overrides().await.grants.is_empty());
}

#[tokio::test]
async fn what_a_terminal_asks_follows_a_group_that_became_a_supergroup() {
    let user = FakeUser::in_group().await;
    user.telegram().upgrade_silently(GROUP, -1_009);
    let terminal = user.fixture.ask_from_terminal(grant_request("notes/*")).await;
    let asks = |it: &FakeTelegram| it.bot_messages(-1_009).into_iter().find(|it| it.keyboard.is_some());
    let shown = user.telegram().wait_until("the question in the new chat", asks).await;
    let number = terminal.number.clone();
    user.telegram().press_in(JANE, -1_009, shown.id, &number);
    terminal.expect_grant().await;
}

#[tokio::test]
async fn the_number_is_in_no_file_and_no_answer() {
    let world = TelegramFixture::with_jane().await;
    let terminal = world.ask_from_terminal(grant_request("a/*")).await;
    let card = world.wait_for_prompt().await;
    let number = terminal.number.clone();
    // Which of the buttons is the right one is not stored either: they differ by their place alone.
    let files = world.all_files();
    for place in 0..3 {
        assert!(files.contains(&format!(r#"{{"answer":{{"question":1,"says":{{"number":{place}}}}}}}"#)));
    }
    world.press_number(&card, &number);
    terminal.expect_grant().await;
    world.wait_until_shows(&card, "Confirmed and done.").await;
    assert_eq!(
        world.audited_acts(),
        ["ask on telegram: grant a/* 1h: true", "grant: grant 1: a/* for 3600 s: true"],
        "nothing is written down of it"
    );
}

#[tokio::test]
async fn a_call_is_approved_with_the_whole_of_it_before_the_eyes() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("hello John Doe").await;
    let world = &user.fixture;
    let approve = || ApproveTask { task: task.id, fresh: false, challenge: telegram_challenge() };
    let terminal = world.ask_from_terminal(approve()).await;
    let asks = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("A terminal of yours"))
    };
    let card = world.telegram.wait_until("a question", asks).await;
    assert!(card.text.contains("May this run?") && card.text.contains("hello John Doe"), "{}", card.text);
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    assert_eq!(terminal.wait_for_reply().await.unwrap().id, task.id);
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["hello Jane Roe"]);
    let by = user.audited_states().into_iter().find(|state| state.starts_with("approved")).unwrap();
    assert!(by.ends_with(", confirmed by telegram user 501"), "{by}");
    let again = world.request(approve()).await.expect_err("it is decided");
    assert!(again.message.contains(&task.id.to_string()), "{again:?}");
}

#[tokio::test]
async fn one_number_confirms_a_call_and_the_grant_that_is_made_with_it() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("hello John Doe").await;
    let world = &user.fixture;
    let scope = ApprovalScope::Tool { lasts: ScopeDuration::Millis(HOUR) };
    let permit = world.request(PreviewScope { task: task.id, scope }).await.unwrap().offer.permit.unwrap();
    let ask = ApproveWith { task: task.id, fresh: false, permit, challenge: telegram_challenge() };
    let terminal = world.ask_from_terminal(ask).await;
    let asks = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("A terminal of yours"))
    };
    let card = world.telegram.wait_until("a question", asks).await;
    for words in ["hello John Doe", "Permit for a while?", "notes/send", "asks now → would run unasked"] {
        assert!(card.text.contains(words), "{words}: {}", card.text);
    }
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    let approved = terminal.wait_for_reply().await.unwrap();
    let PermitResult::Granted(grant) = approved.permitted else { panic!("{approved:?}") };
    assert_eq!((approved.task.id, grant.pattern.as_str()), (task.id, "notes/send"));
    let shown = world.wait_until_shows(&card, "Confirmed and done.").await;
    assert!(shown.text.contains(&format!("/revoke {}", grant.id)), "{}", shown.text);
    assert_eq!(world.active_overrides().await.grants.len(), 1);
    user.wait_for_task_state(task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn real_values_are_shown_to_the_terminal_and_not_on_the_phone() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("hello John Doe").await;
    let world = &user.fixture;
    let terminal =
        world.ask_from_terminal(RevealTask { task: task.id, challenge: telegram_challenge() }).await;
    let asks = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("A terminal of yours"))
    };
    let card = world.telegram.wait_until("a question", asks).await;
    assert!(card.text.contains("Show real values?") && card.text.contains("notes/send"), "{}", card.text);
    let number = terminal.number.clone();
    world.press_number(&card, &number);
    match terminal.wait_for_reply().await {
        Ok(real) => assert!(real.params.expose().contains("Jane Roe")),
        other => panic!("{other:?}"),
    }
    world.wait_until_shows(&card, "Confirmed and done.").await;
    assert!(world.telegram.bot_messages(JANE).iter().all(|it| !it.text.contains("Jane Roe")));
    assert!(world.audited_acts().contains(&format!("task real: task {}: true", task.id)));
}

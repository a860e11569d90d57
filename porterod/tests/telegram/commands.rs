//! The chat's commands, right and wrong, with the real daemon behind them.

use std::time::Duration;

use portero::ipc::requests::overrides::{CreateRule, GetOverrides, Pause};

use portero::policy::{Action, Overrides};
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, ShownMessage};
use crate::fixture::{JANE, MALLORY, TelegramFixture, WAIT_TIMEOUT};

const MCPS: &str = r#"{"mcpServers": {"github": {"command": "no-such-program"}}}"#;

impl TelegramFixture {
    /// Jane's bot, and a server of which the operations are known.
    pub(crate) async fn with_jane_and_github() -> Self {
        let world = Self::without_bot().await;
        world.write_telegram_config(&json!({
            "token": crate::fake_telegram::TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE,
        }));
        world.write_config("mcps.json", MCPS);
        let world = world.start().await;
        world.wait_until_serving().await;
        world
    }

    /// Says this until the answer fits.
    pub(crate) async fn say_until(&self, text: &str, fits: impl Fn(&str) -> bool) -> ShownMessage {
        let asking = async {
            loop {
                let answer = self.say_and_wait(text).await;
                if fits(&answer.text) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, asking).await.unwrap_or_else(|_| panic!("not in time: {text}"))
    }

    /// Says this and waits for the answer that it gets.
    pub(crate) async fn say_and_wait(&self, text: &str) -> ShownMessage {
        let answers = |it: &FakeTelegram| {
            it.bot_messages(JANE).into_iter().filter(|it| !is_news_message(it)).collect::<Vec<_>>()
        };
        let before = answers(&self.telegram).len();
        self.telegram.send_text(JANE, text);
        let answer = |it: &FakeTelegram| answers(it).into_iter().nth(before);
        self.telegram.wait_until(text, answer).await
    }

    /// Presses, and waits until the message is another.
    pub(crate) async fn press_and_wait(&self, shown: &ShownMessage, words: &str) -> ShownMessage {
        self.telegram.press(JANE, shown.id, words);
        self.wait_for_edit(shown).await
    }

    async fn wait_for_edit(&self, shown: &ShownMessage) -> ShownMessage {
        let edited = |it: &FakeTelegram| {
            let now = it.bot_messages(JANE).into_iter().find(|now| now.id == shown.id)?;
            (now.edits > shown.edits).then_some(now)
        };
        self.telegram.wait_until("an edit", edited).await
    }

    async fn fetch_overrides(&self) -> Overrides {
        self.request(GetOverrides).await.unwrap()
    }

    pub(crate) async fn add_deny_rule(&self, pattern: &str) {
        let pattern = pattern.parse().unwrap();
        self.request(CreateRule { pattern, action: Action::Deny, run_waiting: Vec::new(), challenge: None })
            .await
            .unwrap();
    }
}

fn button_labels(shown: &ShownMessage) -> Vec<String> {
    let rows = shown.keyboard.iter().flat_map(|rows| rows.as_array().unwrap());
    let all = rows.flat_map(|row| row.as_array().unwrap());
    all.map(|button| button["text"].as_str().unwrap().to_owned()).collect()
}

/// What stands outside of code in all that the bot ever said.
fn texts_outside_entities(world: &TelegramFixture) -> String {
    let mut open = String::new();
    for shown in world.telegram.bot_messages(JANE) {
        let units: Vec<u16> = shown.text.encode_utf16().collect();
        let mut at = 0;
        for entity in shown.entities.as_array().unwrap() {
            let kind = entity["type"].as_str().unwrap();
            assert!(["bold", "code", "pre"].contains(&kind), "{entity}");
            if kind == "bold" {
                continue;
            }
            let offset = usize::try_from(entity["offset"].as_u64().unwrap()).unwrap();
            let length = usize::try_from(entity["length"].as_u64().unwrap()).unwrap();
            open.push_str(&String::from_utf16_lossy(&units[at..offset]));
            open.push('\u{1f512}');
            at = offset + length;
        }
        open.push_str(&String::from_utf16_lossy(&units[at..]));
        open.push('\n');
    }
    open
}

#[tokio::test]
async fn every_question_is_answered() {
    let world = TelegramFixture::with_jane_and_github().await;
    for (text, answer) in [
        ("/start", "What I understand\n/status"),
        ("/help", "What I understand\n/status"),
        ("/Status@portero_test_bot", "Portero test"),
        ("/rules", "No rules and no grants"),
        ("/tasks", "There are no such tasks."),
        ("/tasks failed", "There are no such tasks."),
        ("/pending", "Nothing waits for you."),
        ("/logs 1h", "Log, times in "),
        ("/logs 1h refused github/*", "There are no such records."),
        ("  /why   github/create_issue ", "github/create_issue: needs approval"),
        ("/whoami", "Your user: 501\nThis chat: 501"),
    ] {
        let shown = world.say_and_wait(text).await;
        assert!(shown.text.starts_with(answer), "{text}: {}", shown.text);
    }
    let status = world.say_and_wait("/status").await.text;
    assert!(status.contains("Telegram: well") && status.contains("github idle"), "{status}");
}

#[tokio::test]
async fn what_is_mistyped_is_told_and_changes_nothing() {
    let world = TelegramFixture::with_jane_and_github().await;
    for (text, answer) in [
        ("hello", "I understand commands only: /help"),
        ("/statsu", "There is no command /statsu. Did you mean /status?"),
        ("/grant github/*", "Something is missing: for how long.\nFor example: /grant github/* 30m"),
        ("/grant github/* 30", "30 is not valid: a duration needs a unit"),
        ("/deny github", "github is not valid: a pattern needs a `/`"),
        ("/revoke 99", "That did not work: "),
        ("/unrule 99", "That did not work: "),
        ("/grant github/* 48h", "That did not work: a grant lasts at most 24h"),
    ] {
        let shown = world.say_and_wait(text).await;
        assert!(shown.text.starts_with(answer), "{text}: {}", shown.text);
        assert_eq!(button_labels(&shown), [""; 0], "{text}");
    }
    let standing = world.fetch_overrides().await;
    assert!(standing.rules.is_empty() && standing.grants.is_empty());
    let refused = world.audited_acts().into_iter().filter(|act| act.ends_with("false")).count();
    assert_eq!(refused, 3, "{:?}", world.audited_acts());
}

#[tokio::test]
async fn what_narrows_acts_at_once() {
    let world = TelegramFixture::with_jane_and_github().await;
    let denied = world.say_and_wait("/deny github/delete_*").await;
    assert!(denied.text.starts_with("Denied from now on: rule 1, github/delete_*"), "{}", denied.text);
    let paused = world.say_and_wait("/pause").await;
    assert!(paused.text.starts_with("Everything is paused"), "{}", paused.text);
    assert!(world.say_and_wait("/revoke").await.text.starts_with("Done, changed: 0"));
    let standing = world.fetch_overrides().await;
    assert_eq!((standing.rules.len(), standing.paused.is_some()), (1, true));
    assert!(world.audited_acts().contains(&"deny: github/delete_*: true".to_owned()));
}

#[tokio::test]
async fn a_rule_that_asks_is_made_at_once_and_its_end_is_confirmed() {
    let world = TelegramFixture::with_jane_and_github().await;
    world.write_config("policies.json", r#"{"policies": {"github/resources:*": "allow"}}"#);
    world.say_until("/why github/resources:read", |text| text.contains(": allowed")).await;
    let asks = world.say_and_wait("/ask github/*").await;
    let said = "Asks from now on: rule 1, github/*. It stays until you end it with /unrule 1";
    assert_eq!(asks.text, said);
    assert!(world.say_and_wait("/rules").await.text.contains("rule 1 asks for github/*"));
    let why = world.say_and_wait("/why github/resources:read").await;
    assert!(why.text.contains("needs approval by `github/*` (rule 1)"), "{}", why.text);
    let asked = world.say_and_wait("/unrule 1").await;
    let fate = "github/resources:read  asks now → would no longer be asked for by this rule";
    assert!(asked.text.contains(fate), "{}", asked.text);
    assert!(!asked.text.contains("github/prompts:get"), "it asks in any case: {}", asked.text);
    world.press_and_wait(&asked, "✅ Confirm").await;
    assert!(world.fetch_overrides().await.rules.is_empty());
    assert!(world.audited_acts().contains(&"ask: github/*: true".to_owned()));
}

#[tokio::test]
async fn what_widens_is_shown_and_waits_for_its_button() {
    let world = TelegramFixture::with_jane_and_github().await;
    world.add_deny_rule("github/prompts:get").await;
    let asked = world.say_and_wait("/grant github/* 30m").await;
    assert!(asked.text.starts_with("Permit for a while?\ngithub/* for 30 min, until "), "{}", asked.text);
    let denied = asked.text.find("github/prompts:get  denied, and stays denied").expect("it is listed");
    let asks = asked.text.find("asks now → would run unasked").expect("it is listed");
    assert!(denied < asks, "the denied come first: {}", asked.text);
    assert_eq!(button_labels(&asked), ["✅ Confirm", "❌ Not now"]);
    assert!(world.fetch_overrides().await.grants.is_empty(), "nothing is granted yet");
    let data = asked.keyboard.as_ref().unwrap()[0][0]["callback_data"].as_str().unwrap().to_owned();
    let done = world.press_and_wait(&asked, "✅ Confirm").await;
    assert!(done.text.starts_with("Permitted: grant 2, github/* for 30 min"), "{}", done.text);
    assert_eq!(button_labels(&done), [""; 0]);
    world.telegram.press_data(JANE, asked.id, &data);
    world.say_and_wait("/rules").await;
    assert_eq!(world.fetch_overrides().await.grants.len(), 1, "a button is used once");
    assert!(world.say_and_wait("/revoke 2").await.text.starts_with("Done, changed: 1"));
}

#[tokio::test]
async fn a_button_confirms_nothing_but_what_was_shown() {
    let world = TelegramFixture::with_jane_and_github().await;
    let asked = world.say_and_wait("/allow github/*").await;
    assert!(!asked.text.contains("DENIED"), "{}", asked.text);
    world.add_deny_rule("*").await;
    let again = world.press_and_wait(&asked, "✅ Confirm").await;
    assert!(again.text.starts_with("Something changed meanwhile."), "{}", again.text);
    assert!(again.text.contains("github/prompts:get  DENIED now"), "{}", again.text);
    assert_eq!(world.fetch_overrides().await.rules.len(), 1, "nothing is permitted");
    let done = world.press_and_wait(&again, "✅ Confirm").await;
    assert!(done.text.starts_with("Permitted from now on: rule 2, github/*"), "{}", done.text);
    assert_eq!(world.fetch_overrides().await.rules.len(), 2);
}

#[tokio::test]
async fn a_person_can_think_better_of_it() {
    let world = TelegramFixture::with_jane_and_github().await;
    let asked = world.say_and_wait("/allow github/*").await;
    let data = asked.keyboard.as_ref().unwrap()[0][0]["callback_data"].as_str().unwrap().to_owned();
    assert_eq!(world.press_and_wait(&asked, "❌ Not now").await.text, "Nothing was changed.");
    world.telegram.press_data(JANE, asked.id, &data);
    world.say_and_wait("/rules").await;
    assert!(world.fetch_overrides().await.rules.is_empty(), "the button is void");
}

#[tokio::test]
async fn ending_a_deny_and_ending_a_pause_are_confirmed_and_ending_an_allow_is_not() {
    let world = TelegramFixture::with_jane_and_github().await;
    world.add_deny_rule("github/*").await;
    world.request(Pause).await.unwrap();
    let asked = world.say_and_wait("/resume").await;
    assert!(asked.text.starts_with("Go on?"), "{}", asked.text);
    assert!(world.fetch_overrides().await.paused.is_some());
    world.press_and_wait(&asked, "✅ Confirm").await;
    assert!(world.fetch_overrides().await.paused.is_none());
    let asked = world.say_and_wait("/unrule 1").await;
    assert!(asked.text.starts_with("End a rule that narrows?\nrule 1, github/*"), "{}", asked.text);
    assert_eq!(world.fetch_overrides().await.rules.len(), 1);
    world.press_and_wait(&asked, "✅ Confirm").await;
    assert!(world.fetch_overrides().await.rules.is_empty());
    let asked = world.say_and_wait("/allow github/*").await;
    world.press_and_wait(&asked, "✅ Confirm").await;
    assert!(world.say_and_wait("/unrule 2").await.text.starts_with("Done, changed: 1"));
    let acts = world.audited_acts();
    for act in ["resume: everything", "unrule: deny github/*: true", "allow: github/*: true", "unrule: allow"]
    {
        assert!(acts.iter().any(|it| it.starts_with(act)), "{act} in {acts:?}");
    }
}

#[tokio::test]
async fn a_long_answer_is_turned_page_by_page_also_after_a_restart() {
    let world = TelegramFixture::with_jane_and_github().await;
    for number in 0..150 {
        world.add_deny_rule(&format!("github/some_long_name_of_a_tool_{number:03}")).await;
    }
    let first = world.say_and_wait("/rules").await;
    assert!(first.text.starts_with("Page 1 of ") && first.text.contains("tool_000"), "{}", first.text);
    assert_eq!(button_labels(&first), ["Page 2 ›"]);
    let second = world.press_and_wait(&first, "Page 2 ›").await;
    assert!(second.text.starts_with("Page 2 of "), "{}", second.text);
    let world = world.restart().await;
    world.wait_until_serving().await;
    let back = world.press_and_wait(&second, "‹ Page 1").await;
    assert_eq!(back.text, first.text);
}

#[tokio::test]
async fn only_the_last_page_of_what_widens_has_the_yes() {
    let world = TelegramFixture::with_jane_and_github().await;
    let servers: serde_json::Map<_, _> = (0..40)
        .map(|number| (format!("server-number-{number:03}"), json!({"command": "no-such-program"})))
        .collect();
    world.write_config("mcps.json", &json!({"mcpServers": servers}).to_string());
    let asked = world.say_until("/allow server-number-*/*", |text| text.starts_with("Page 1 of ")).await;
    assert_eq!(button_labels(&asked), ["Page 2 ›", "❌ Not now"]);
    let mut shown = world.press_and_wait(&asked, "Page 2 ›").await;
    for _ in 0..100 {
        let Some(next) = button_labels(&shown).into_iter().find(|button| button.ends_with('›')) else {
            break;
        };
        assert!(!button_labels(&shown).contains(&"✅ Confirm".to_owned()));
        shown = world.press_and_wait(&shown, &next).await;
    }
    assert!(world.press_and_wait(&shown, "✅ Confirm").await.text.starts_with("Permitted from now on"));
}

#[tokio::test]
async fn what_comes_twice_is_done_once() {
    let world = TelegramFixture::with_jane_and_github().await;
    let update = world.telegram.send_text(JANE, "/deny github/*");
    world.wait_for_answers(JANE, 1).await;
    world.telegram.redeliver(update);
    world.say_and_wait("/rules").await;
    assert_eq!(world.fetch_overrides().await.rules.len(), 1);
}

#[tokio::test]
async fn another_persons_press_is_nothing() {
    let world = TelegramFixture::with_jane_and_github().await;
    let asked = world.say_and_wait("/allow github/*").await;
    let data = asked.keyboard.as_ref().unwrap()[0][0]["callback_data"].as_str().unwrap().to_owned();
    world.telegram.send_text(MALLORY, "hi");
    world.telegram.press_data(MALLORY, asked.id, &data);
    let other = world.say_and_wait("/rules").await;
    world.telegram.press_data(JANE, other.id, &data);
    world.say_and_wait("/status").await;
    assert!(world.fetch_overrides().await.rules.is_empty());
}

#[tokio::test]
async fn the_menu_is_set_for_the_person() {
    let world = TelegramFixture::with_jane_and_github().await;
    let set = |it: &FakeTelegram| it.calls("setMyCommands").into_iter().next();
    let call = world.telegram.wait_until("a menu", set).await;
    assert_eq!(call.body["scope"], json!({"type": "chat", "chat_id": JANE}));
    let names: Vec<_> = call.body["commands"].as_array().unwrap().iter().map(|it| &it["command"]).collect();
    assert_eq!(names.len(), 18);
    assert!(names.contains(&&json!("status")) && names.contains(&&json!("pins")));
}

#[tokio::test]
async fn nothing_from_outside_becomes_a_link_a_command_or_a_mention() {
    let world = TelegramFixture::with_jane_and_github().await;
    for text in [
        "/evil@portero_test_bot",
        "/why @everyone/x",
        "/why evil/start_@all",
        "/grant @evil/* 1h",
        "/deny evil.example/*",
        "/logs #evil",
        "/allow evil/t.me",
        "https://evil.example /start @evil",
        "/revoke @evil\n/start",
    ] {
        world.say_and_wait(text).await;
    }
    world.say_and_wait("/rules").await;
    world.say_and_wait("/logs").await;
    let open = texts_outside_entities(&world);
    assert!(!open.contains("evil") && !open.contains(['@', '#']), "{open}");
}

#[tokio::test]
async fn the_head_of_the_audit_is_told_once_a_day_and_can_be_compared() {
    let told = |it: &FakeTelegram| -> Vec<ShownMessage> {
        it.bot_messages(JANE).into_iter().filter(|it| it.text.starts_with("The audit of this day")).collect()
    };
    let world = TelegramFixture::with_jane_and_github().await;
    world.add_deny_rule("github/delete_*").await;
    world.say_and_wait("/status").await;
    assert!(told(&world.telegram).is_empty(), "the day is not over");
    world.clock.advance(Duration::from_secs(6 * 3600));
    let first = world.telegram.wait_until("a head", |it| told(it).into_iter().next()).await;
    assert!(first.text.contains("2026-11-20"), "{}", first.text);
    let hash = first.text.split_once("has the hash ").unwrap().1.lines().next().unwrap();
    assert!(hash.len() == 64 && world.all_files().contains(&format!("\"hash\":\"{hash}\"")), "{hash}");
    let world = world.restart().await;
    world.wait_until_serving().await;
    world.say_and_wait("/status").await;
    assert_eq!(told(&world.telegram).len(), 1, "once, whatever restarts");
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.telegram.wait_until("another head", |it| told(it).into_iter().nth(1)).await;
}

#[tokio::test]
async fn what_is_paused_elsewhere_and_what_is_wrong_is_told_in_the_chat() {
    let told =
        |it: &FakeTelegram, words: &str| it.bot_messages(JANE).into_iter().find(|it| it.text.contains(words));
    let world = TelegramFixture::with_jane_and_github().await;
    world.say_and_wait("/status").await;
    world.request(Pause).await.unwrap();
    world.telegram.wait_until("the pause", |it| told(it, "Everything is paused: no call runs")).await;
    std::fs::write(world.path_of("config").join("policies.json"), "{").unwrap();
    world.telegram.wait_until("the errors", |it| told(it, "The configuration has errors")).await;
}

/// Jane blocks the bot, and lets it again: nothing is taken as told meanwhile.
#[tokio::test]
async fn what_she_should_know_waits_while_she_blocks_the_bot() {
    let told =
        |it: &FakeTelegram, words: &str| it.bot_messages(JANE).into_iter().find(|it| it.text.contains(words));
    let world = TelegramFixture::with_jane_and_github().await;
    world.set_passphrase().await;
    world.say_and_wait("/status").await;
    world.telegram.block(JANE);
    world.request(Pause).await.unwrap();
    world.write_config("policies.json", r#"{"policies": {"github/*": "allow"}}"#);
    world.clock.advance(Duration::from_secs(6 * 3600));
    let barred = |status: &portero::ipc::TelegramStatus| {
        let trouble = status.sending_trouble.as_ref();
        status.waiting >= 2 && trouble.is_some_and(|words| words.contains("do not block it"))
    };
    world.wait_for_status("what is wrong", barred).await;
    // What a restart finds waits as before.
    let world = world.restart().await;
    world.wait_for_status("what is wrong", barred).await;
    world.telegram.unblock(JANE);
    world.telegram.send_text(JANE, "/start");
    for words in
        ["Everything is paused: no call runs", "The configuration was edited", "The audit of this day"]
    {
        world.telegram.wait_until(words, |it| told(it, words)).await;
    }
    world
        .wait_for_status("all is well", |status| status.sending_trouble.is_none() && status.refused.is_none())
        .await;
}

/// What the bot says unasked.
fn is_news_message(shown: &ShownMessage) -> bool {
    ["Everything is paused: no call runs", "ALARM", "The configuration", "The server "]
        .iter()
        .any(|it| shown.text.starts_with(it))
}

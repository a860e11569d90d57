//! What a person is told without being asked: what sessions did, in few messages.

use std::time::Duration;

use portero::audit::{AuditEvent, AuditRecord, AuditWriter, RecordedOutcome};
use portero::clock::Clock as _;
use portero::ipc::requests::overrides::{CreateRule, GetOverrides};

use portero::policy::Action;
use serde_json::{Value, json};

use crate::fake_telegram::{FakeTelegram, ShownMessage, TOKEN};
use crate::fixture::{JANE, MALLORY, TelegramFixture};

/// A session's records, beside the daemon's.
struct RecordingSession {
    segment: AuditWriter,
    calls: u64,
}

impl RecordingSession {
    fn open(world: &TelegramFixture) -> Self {
        let segment = AuditWriter::open(&world.paths().audit(), "portero test", world.clock.now()).unwrap();
        Self { segment, calls: 0 }
    }

    fn append_event(&self, world: &TelegramFixture, event: AuditEvent) {
        let record =
            AuditRecord { at: world.clock.now().wall, session: None, principal: None, address: None, event };
        self.segment.append(&record).unwrap();
    }

    fn record_outcome(&mut self, world: &TelegramFixture, tool: &str, outcome: RecordedOutcome) {
        self.calls += 1;
        let (call, tool) = (self.calls, tool.parse().unwrap());
        self.append_event(world, AuditEvent::Outcome { call, tool, outcome, micros: 1 });
    }

    fn record_refusal(&self, world: &TelegramFixture, tool: &str) {
        let reason = "denied by @evil http://evil.example".to_owned();
        self.append_event(world, AuditEvent::Refused { tool: tool.parse().unwrap(), reason });
    }
}

async fn fixture_with_notices(notices: &Value) -> TelegramFixture {
    let world = TelegramFixture::without_bot().await;
    world.write_telegram_config(&json!({
        "token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE, "notices": notices,
    }));
    world.telegram.send_text(JANE, "/start");
    let world = world.start().await;
    world.wait_until_serving().await;
    world
}

fn activity_messages(it: &FakeTelegram) -> Vec<ShownMessage> {
    let begins =
        |shown: &ShownMessage| ["Refused", "Failed", "Ran"].iter().any(|word| shown.text.starts_with(word));
    it.bot_messages(JANE).into_iter().filter(begins).collect()
}

async fn wait_for_first_notice(world: &TelegramFixture) -> String {
    world.telegram.wait_until("a notice", |it| activity_messages(it).into_iter().next()).await.text
}

#[tokio::test]
async fn what_sessions_did_is_told_in_one_message() {
    let world = fixture_with_notices(&json!({"every": "1s"})).await;
    let mut session = RecordingSession::open(&world);
    for _ in 0..200 {
        session.record_outcome(&world, "files/read_file", RecordedOutcome::Done);
    }
    session.record_outcome(&world, "files/write_file", RecordedOutcome::Failed);
    session.record_refusal(&world, "shell/run");
    let text = wait_for_first_notice(&world).await;
    assert_eq!(
        text,
        "Refused\n1 × shell/run\nFailed\n1 × files/write_file\nRan without asking\n200 × files/read_file"
    );
    let world = world.restart().await;
    world.wait_until_serving().await;
    RecordingSession::open(&world).record_outcome(&world, "files/later", RecordedOutcome::Done);
    let second = world.telegram.wait_until("another", |it| activity_messages(it).into_iter().nth(1)).await;
    assert_eq!(second.text, "Ran without asking\n1 × files/later", "nothing old is told again");
}

#[tokio::test]
async fn what_is_off_is_not_told_and_quiet_hours_are_told_when_they_are_over() {
    let notices = json!({
        "every": "1s", "level": "errors", "servers": {"shell": "off"},
        "quiet": {"from": "11:00", "to": "13:00", "zone": "UTC"},
    });
    let world = fixture_with_notices(&notices).await;
    let mut session = RecordingSession::open(&world);
    session.record_outcome(&world, "files/read_file", RecordedOutcome::Done);
    session.record_refusal(&world, "shell/run");
    session.record_refusal(&world, "files/delete");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(activity_messages(&world.telegram).is_empty(), "it is quiet");
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(wait_for_first_notice(&world).await, "Refused\n1 × files/delete");
}

/// The words on the buttons below a message.
fn button_labels(shown: &ShownMessage) -> Vec<String> {
    let rows = shown.keyboard.iter().flat_map(|rows| rows.as_array().unwrap());
    let all = rows.flat_map(|row| row.as_array().unwrap());
    all.map(|button| button["text"].as_str().unwrap().to_owned()).collect()
}

/// What the button with these words carries.
fn callback_data(shown: &ShownMessage, words: &str) -> String {
    let rows = shown.keyboard.iter().flat_map(|rows| rows.as_array().unwrap());
    let mut all = rows.flat_map(|row| row.as_array().unwrap());
    let button = all.find(|button| button["text"] == words).unwrap_or_else(|| panic!("no button {words}"));
    button["callback_data"].as_str().unwrap().to_owned()
}

impl TelegramFixture {
    /// What a press was answered with.
    async fn wait_for_answer(&self, query: &str) -> String {
        let answer = self.telegram.wait_until("an answer", |it| it.press_answer(query)).await;
        answer["text"].as_str().unwrap_or_default().to_owned()
    }

    /// The notice, once it says this.
    async fn wait_until_notice_says(&self, notice: &ShownMessage, words: &str) -> ShownMessage {
        let now = |it: &FakeTelegram| it.bot_messages(JANE).into_iter().find(|now| now.id == notice.id);
        self.telegram.wait_until(words, |it| now(it).filter(|now| now.text.contains(words))).await
    }

    async fn rule_lines(&self) -> Vec<String> {
        let Ok(standing) = self.request(GetOverrides).await else { panic!("rules") };
        standing.rules.iter().map(|rule| format!("{} {} {}", rule.id, rule.action, rule.pattern)).collect()
    }
}

/// A notice of these tools, each of which ran once.
async fn wait_for_notice_of(world: &TelegramFixture, tools: &[&str]) -> ShownMessage {
    let mut session = RecordingSession::open(world);
    let before = activity_messages(&world.telegram).len();
    for tool in tools {
        session.record_outcome(world, tool, RecordedOutcome::Done);
    }
    world.telegram.wait_until("a notice", |it| activity_messages(it).into_iter().nth(before)).await
}

#[tokio::test]
async fn a_tap_below_a_notice_has_its_tool_ask_or_denies_it_and_says_how_that_is_undone() {
    let world = fixture_with_notices(&json!({"every": "1s"})).await;
    let mut session = RecordingSession::open(&world);
    session.record_outcome(&world, "files/read_file", RecordedOutcome::Done);
    session.record_outcome(&world, "files/write_file", RecordedOutcome::Failed);
    session.record_refusal(&world, "shell/run");
    session.record_outcome(&world, "portero/check_task", RecordedOutcome::Done);
    let notice = world.telegram.wait_until("a notice", |it| activity_messages(it).into_iter().next()).await;
    let offered = [
        "✋ Ask: files/read_file",
        "⛔ Deny: files/read_file",
        "✋ Ask: files/write_file",
        "⛔ Deny: files/write_file",
        "⛔ Deny: shell/run",
    ];
    assert_eq!(
        button_labels(&notice),
        offered,
        "what was refused does not run, and Portero's own tools do nothing"
    );

    let query = world.telegram.press(JANE, notice.id, "✋ Ask: files/read_file");
    assert_eq!(
        world.wait_for_answer(&query).await,
        "This tool asks from now on: rule 1. Undo it with /unrule 1"
    );
    assert_eq!(world.rule_lines().await, ["1 require-approval files/read_file"], "its literal name");
    let asks =
        world.wait_until_notice_says(&notice, "1 × files/read_file, asks: rule 1, undo /unrule 1").await;
    assert_eq!(button_labels(&asks)[0], "⛔ Deny: files/read_file", "it can still be denied");
    assert_eq!(button_labels(&asks).len(), 4);

    // A button of before counts as long as it is known.
    let query = world.telegram.press_data(JANE, notice.id, &callback_data(&notice, "⛔ Deny: shell/run"));
    assert_eq!(
        world.wait_for_answer(&query).await,
        "This tool is denied from now on: rule 2. Undo it with /unrule 2"
    );
    world.wait_until_notice_says(&notice, "1 × shell/run, denied: rule 2, undo /unrule 2").await;
    assert_eq!(world.rule_lines().await.len(), 2);
    let acts = world.audited_acts();
    for act in ["ask: files/read_file: true", "deny: shell/run: true"] {
        assert!(acts.contains(&act.to_owned()), "{act} in {acts:?}");
    }
}

#[tokio::test]
async fn many_tools_are_behind_a_button_in_a_list_with_pages() {
    let world = fixture_with_notices(&json!({"every": "1s"})).await;
    let names: Vec<String> = (1..=9).map(|number| format!("files/tool_{number}")).collect();
    let tools: Vec<&str> = names.iter().map(String::as_str).collect();
    let notice = wait_for_notice_of(&world, &tools).await;
    assert_eq!(button_labels(&notice), ["Tools…"]);
    world.telegram.press(JANE, notice.id, "Tools…");
    let list = world
        .wait_until_notice_says(&notice, "What may these tools do from now on?\n1. files/tool_1\n")
        .await;
    assert!(!list.text.contains("tool_5"), "{}", list.text);
    assert_eq!(button_labels(&list)[..3], ["✋ Ask: 1", "⛔ Deny: 1", "✋ Ask: 2"]);
    assert_eq!(button_labels(&list)[8..], ["Page 2 ›", "Back"]);
    world.telegram.press(JANE, notice.id, "Page 2 ›");
    let list = world.wait_until_notice_says(&notice, "5. files/tool_5").await;
    let query = world.telegram.press(JANE, notice.id, "⛔ Deny: 6");
    assert!(world.wait_for_answer(&query).await.contains("denied from now on: rule 1."));
    world
        .wait_until_notice_says(&notice, "6. files/tool_6, denied: rule 1, undo /unrule 1\n7. files/tool_7")
        .await;
    assert_eq!(world.rule_lines().await, ["1 deny files/tool_6"]);
    assert!(list.text.contains("8. files/tool_8") && !list.text.contains("tool_9"));

    let world = world.restart().await;
    world.wait_until_serving().await;
    world.telegram.press(JANE, notice.id, "Page 3 ›");
    world.wait_until_notice_says(&notice, "9. files/tool_9").await;
    world.telegram.press(JANE, notice.id, "Back");
    let back = world.wait_until_notice_says(&notice, "Ran without asking").await;
    assert!(back.text.contains("1 × files/tool_6, denied: rule 1"), "{}", back.text);
}

#[tokio::test]
async fn names_that_would_look_alike_on_buttons_are_told_by_number() {
    let world = fixture_with_notices(&json!({"every": "1s"})).await;
    let [one, two] = ["a", "b"].map(|server| format!("{server}/a_name_that_is_too_long_for_a_button"));
    let notice = wait_for_notice_of(&world, &[&one, &two]).await;
    assert_eq!(button_labels(&notice), ["Tools…"]);
    let alone = wait_for_notice_of(&world, &[&one]).await;
    assert_eq!(button_labels(&alone)[1], "⛔ Deny: …s_too_long_for_a_button");
}

#[tokio::test]
async fn a_late_tap_counts_and_a_repeated_or_foreign_one_changes_nothing() {
    let world = fixture_with_notices(&json!({"every": "1s"})).await;
    let notice = wait_for_notice_of(&world, &["files/read_file", "files/write_file"]).await;
    let (ask, deny) = (
        callback_data(&notice, "✋ Ask: files/read_file"),
        callback_data(&notice, "⛔ Deny: files/write_file"),
    );
    world.telegram.send_text(MALLORY, "/start");
    let silence = world.telegram.press_data(MALLORY, notice.id, &deny);
    let elsewhere = wait_for_notice_of(&world, &["files/other"]).await;
    for (message, data) in [(elsewhere.id, deny.as_str()), (notice.id, "AAAA")] {
        let query = world.telegram.press_data(JANE, message, data);
        assert!(world.wait_for_answer(&query).await.contains("Nothing was changed"));
    }
    assert_eq!(world.telegram.press_answer(&silence), None);
    assert!(world.rule_lines().await.is_empty());

    // Somebody made the rule at the terminal meanwhile.
    let rule = |pattern: &str, action| CreateRule {
        pattern: pattern.parse().unwrap(),
        action,
        run_waiting: Vec::new(),
        challenge: None,
    };
    world.request(rule("files/read_file", Action::RequireApproval)).await.unwrap();
    world.clock.advance(Duration::from_secs(6 * 24 * 3600));
    let query = world.telegram.press_data(JANE, notice.id, &ask);
    assert_eq!(world.wait_for_answer(&query).await, "Rule 1 says so already. Nothing was changed.");
    world.wait_until_notice_says(&notice, "files/read_file, asks: rule 1").await;
    let query = world.telegram.press_data(JANE, notice.id, &deny);
    assert!(world.wait_for_answer(&query).await.starts_with("This tool is denied from now on: rule 2."));
    let query = world.telegram.press_data(JANE, notice.id, &deny);
    assert_eq!(world.wait_for_answer(&query).await, "This button was used already. Nothing was changed.");
    assert_eq!(world.rule_lines().await, ["1 require-approval files/read_file", "2 deny files/write_file"]);
}

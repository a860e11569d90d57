//! A tap decides as the terminal does, once, and only the paired person's.

use portero::ipc::requests::overrides::{CreateRule, GetOverrides, Pause, RemoveRule, Resume};

use portero::policy::{Action, DecisionSource};
use portero::task::TaskState;
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, Fault};
use crate::fake_user::{FakeUser, button_labels, callback_data, passphrase_challenge};
use crate::fixture::{JANE, MALLORY};

#[tokio::test]
async fn a_tap_approves_and_the_call_runs() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("hello John Doe").await;
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["hello Jane Roe"]);
    let card = user.wait_for_outcome_with(&task, "Done.").await;
    assert!(card.text.starts_with("Approved on this phone"), "{}", card.text);
    assert!(card.text.contains("John Doe") && !card.text.contains("Jane Roe"), "{}", card.text);
    assert_eq!(button_labels(&card), [""; 0]);
    let audited = user.audited_states();
    assert!(audited.contains(&"approved by telegram user 501".to_owned()), "{audited:?}");
}

#[tokio::test]
async fn of_a_hundred_taps_at_once_one_counts() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("once").await;
    let card = user.wait_for_card(&task).await;
    let approve = callback_data(&card, "✅ Approve");
    let more = callback_data(&card, "✅ Approve + 10 min");
    let queries: Vec<_> = (0..100)
        .map(|n| user.telegram().press_data(JANE, card.id, if n % 2 == 0 { &approve } else { &more }))
        .collect();
    let mut told = Vec::new();
    for query in &queries {
        told.push(user.wait_for_answer(query).await);
    }
    assert_eq!(told.iter().filter(|words| words.starts_with("Approved")).count(), 1, "{told:?}");
    assert!(
        told.iter()
            .skip(1)
            .all(|words| words.ends_with("Nothing was changed.") || words.contains("Nothing was changed:")),
        "{told:?}"
    );
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["once"]);
    assert!(user.fetch_overrides().await.grants.is_empty());
}

#[tokio::test]
async fn a_tap_denies() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("no").await;
    let card = user.wait_for_card(&task).await;
    let approve = callback_data(&card, "✅ Approve");
    assert!(user.press_button(&task, "❌ Deny").await.starts_with("Denied."));
    let card = user.wait_for_outcome(&task, "Denied on this phone").await;
    assert_eq!(button_labels(&card), [""; 0]);
    let late = user.telegram().press_data(JANE, card.id, &approve);
    assert!(user.wait_for_answer(&late).await.contains("Nothing was changed"));
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::Denied);
    assert!(user.submit_tool_call("send", "no").await.unwrap_err().contains("said no"), "it cools down");
    assert!(user.received_texts().is_empty());
}

#[tokio::test]
async fn a_tap_that_would_not_make_the_call_run_approves_nothing_and_says_why() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("hello").await;
    let text = std::fs::read_to_string(user.fixture.path_of("config").join("mcps.json")).unwrap();
    let mut servers: serde_json::Value = serde_json::from_str(&text).unwrap();
    servers["mcps"][0]["env"]["ANOTHER"] = json!("value");
    user.wait_for_card(&task).await;
    // The card can't be drawn anew, so it still has its buttons.
    user.telegram().inject_fault("editMessageText", Fault::Server(502), 1_000_000);
    user.fixture.write_config("mcps.json", &servers.to_string());
    user.fixture.confirm_config().await;
    for button in ["✅ Approve", "✅ Approve + 10 min"] {
        let told = user.press_button(&task, button).await;
        assert!(told.contains("the variables that the server is given changed"), "{told}");
        assert!(told.ends_with("Nothing was approved. Deny it; the agent may ask again."), "{told}");
    }
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert!(user.fetch_overrides().await.grants.is_empty() && user.received_texts().is_empty());
    user.telegram().clear_faults("editMessageText");
    assert!(user.press_button(&task, "❌ Deny").await.starts_with("Denied."));
}

#[tokio::test]
async fn others_and_other_messages_have_no_buttons() {
    let mut user = FakeUser::new().await;
    let (one, other) = (user.submit_call("one").await, user.submit_call("other").await);
    let (card, elsewhere) = (user.wait_for_card(&one).await, user.wait_for_card(&other).await);
    let approve = callback_data(&card, "✅ Approve");
    user.telegram().send_text(MALLORY, "/start");
    let silence = user.telegram().press_data(MALLORY, card.id, &approve);
    let foreign = user.telegram().press_data(JANE, elsewhere.id, &approve);
    assert!(user.wait_for_answer(&foreign).await.contains("Nothing was changed"));
    for forged in ["", "approve", &one.id.to_string(), "AAAA"] {
        let forged = user.telegram().press_data(JANE, card.id, forged);
        assert!(user.wait_for_answer(&forged).await.contains("Nothing was changed"));
    }
    assert_eq!(user.telegram().press_answer(&silence), None);
    for task in [&one, &other] {
        assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    }
    assert_eq!(user.press_button(&one, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(one.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["one"]);
}

#[tokio::test]
async fn approve_for_a_while_permits_this_one_tool() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    assert!(user.press_button(&task, "✅ Approve + 10 min").await.starts_with("Approved, and"));
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    let grants = user.fetch_overrides().await.grants;
    assert_eq!(grants.len(), 1);
    assert_eq!((grants[0].pattern.as_str(), grants[0].millis), ("notes/send", 600_000));
    let made = format!("Permitted: grant {}, notes/send for 10 min. End it with /revoke {0}", grants[0].id);
    user.wait_for_outcome_with(&task, &made).await;
    user.wait_for_outcome_with(&task, "Done.").await;
    assert_eq!(user.explain_tool("notes/send").await.decision.action, Action::Allow);
    assert_eq!(user.explain_tool("notes/wait").await.decision.action, Action::RequireApproval);
}

#[tokio::test]
async fn always_allow_asks_a_second_time_and_is_a_rule_on_one_tool() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, "More…").await;
    user.press_button(&task, "Always allow this tool…").await;
    assert!(user.fetch_overrides().await.rules.is_empty(), "nothing is decided yet");
    let sure = user.wait_for_card_with(&task, "✅ Yes, approve and always allow").await;
    assert_eq!(button_labels(&sure), ["✅ Yes, approve and always allow", "Back"]);
    user.press_button(&task, "Back").await;
    user.press_button(&task, "Always allow this tool…").await;
    assert!(user.press_button(&task, "✅ Yes, approve and always allow").await.starts_with("Approved."));
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    let rules = user.fetch_overrides().await.rules;
    assert_eq!(rules.len(), 1);
    assert_eq!((rules[0].pattern.as_str(), rules[0].action), ("notes/send", Action::Allow));
    let id = rules[0].id;
    let made =
        format!("Permitted from now on: rule {id}, notes/send. It stays until you end it with /unrule {id}");
    user.wait_for_outcome_with(&task, &made).await;
    assert!(user.fixture.audited_acts().contains(&"allow: notes/send: true".to_owned()));
}

#[tokio::test]
async fn always_deny_denies_this_call_and_the_tool() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, "More…").await;
    assert!(user.press_button(&task, "Always deny this tool").await.contains("denied from now on"));
    user.wait_for_outcome(&task, "Denied on this phone").await;
    let rule = user.fetch_overrides().await.rules.remove(0);
    let made = format!("Denied from now on: rule {}, notes/send. It stays until", rule.id);
    user.wait_for_outcome_with(&task, &made).await;
    assert_eq!(user.explain_tool("notes/send").await.decision.action, Action::Deny);
    assert_eq!(user.explain_tool("notes/wait").await.decision.action, Action::RequireApproval);
}

#[tokio::test]
async fn the_agent_reads_why_it_was_denied() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, "More…").await;
    user.press_button(&task, "Deny with a reason").await;
    user.fixture.wait_for_message(JANE, "Why not?").await;
    let question =
        user.telegram().bot_messages(JANE).into_iter().find(|it| it.text.starts_with("Why not?")).unwrap();
    user.telegram().send_text(JANE, "not an answer");
    user.telegram().send_reply(JANE, question.id, "ask Jane Roe first");
    let task = user.wait_for_task_state(task.id, TaskState::Denied).await;
    assert_eq!(task.note.unwrap().get(), "ask John Doe first");
    user.fixture.wait_for_message(JANE, "Denied. The agent reads your reason.").await;
    user.telegram().send_reply(JANE, question.id, "and again");
    user.fixture.wait_for_message(JANE, "This button was used already.").await;
}

#[tokio::test]
async fn whoever_denies_a_tool_for_good_too_late_changes_nothing_and_is_told_how() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, "More…").await;
    let card = user.wait_for_card_with(&task, "Less").await;
    let rows = card.keyboard.as_ref().unwrap().as_array().unwrap();
    let mut all = rows.iter().flat_map(|row| row.as_array().unwrap());
    let button = all.find(|button| button["text"] == "Always deny this tool").unwrap();
    let forbid = button["callback_data"].as_str().unwrap().to_owned();
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    user.wait_for_outcome_with(&task, "Done.").await;
    for _ in 0..2 {
        let late = user.telegram().press_data(JANE, card.id, &forbid);
        let how = "Nothing was changed. To deny its tool from now on, write /deny notes/send";
        assert!(user.wait_for_answer(&late).await.ends_with(how));
    }
    assert_eq!(user.explain_tool("notes/send").await.decision.action, Action::RequireApproval);
}

#[tokio::test]
async fn a_reason_that_comes_too_late_denies_nothing() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, "More…").await;
    user.press_button(&task, "Deny with a reason").await;
    user.fixture.wait_for_message(JANE, "Why not?").await;
    let question =
        user.telegram().bot_messages(JANE).into_iter().find(|it| it.text.starts_with("Why not?")).unwrap();
    user.fixture.clock.advance(std::time::Duration::from_secs(601));
    user.telegram().send_reply(JANE, question.id, "because");
    user.fixture.wait_for_message(JANE, "This came too late").await;
    assert_ne!(user.fetch_task(task.id).await.state, TaskState::Denied);
}

#[tokio::test]
async fn a_locked_tool_is_approved_once_only() {
    let mut user = FakeUser::with_policies(json!({"locked": ["notes/*"]})).await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    assert_eq!(button_labels(&card), ["✅ Approve", "❌ Deny", "More…"]);
    user.press_button(&task, "More…").await;
    let card = user.wait_for_card_with(&task, "Less").await;
    assert!(!button_labels(&card).iter().any(|words| words.contains("allow")));
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
}

#[tokio::test]
async fn the_card_of_a_call_that_a_rule_denies_meanwhile_says_so_and_takes_no_yes() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.wait_for_card(&task).await;
    let (pattern, action) = ("notes/send".parse().unwrap(), Action::Deny);
    let rule = user
        .fixture
        .request(CreateRule { pattern, action, run_waiting: Vec::new(), challenge: None })
        .await
        .unwrap();
    let is_void = |it: &FakeTelegram| {
        let cards = it.bot_messages(JANE).into_iter();
        cards.rev().find(|shown| shown.text.starts_with("This would not run any more"))
    };
    let card = user.telegram().wait_until("a card that says so", is_void).await;
    assert!(card.text.contains("Cause: denied by `notes/send` (rule 1). Deny it"), "{}", card.text);
    assert_eq!(button_labels(&card), ["❌ Deny", "More…"]);
    user.press_button(&task, "More…").await;
    let card = user.wait_for_card_with(&task, "Less").await;
    assert_eq!(
        button_labels(&card),
        ["❌ Deny", "Always deny this tool", "Deny with a reason", "Show as JSON", "Less"]
    );
    // Without the rule the question counts again.
    let challenge = Some(passphrase_challenge());
    user.fixture.request(RemoveRule { id: rule.id, challenge }).await.unwrap();
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn a_tap_on_a_card_that_was_not_drawn_anew_is_told_what_denies_its_call() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    user.telegram().inject_fault("editMessageText", Fault::Server(502), 1_000_000);
    let (pattern, action) = ("notes/send".parse().unwrap(), Action::Deny);
    user.fixture
        .request(CreateRule { pattern, action, run_waiting: Vec::new(), challenge: None })
        .await
        .unwrap();
    let query = user.telegram().press(JANE, card.id, "✅ Approve");
    let told = user.wait_for_answer(&query).await;
    assert!(
        told.contains("denied by `notes/send` (rule 1)") && told.contains("Nothing was approved"),
        "{told}"
    );
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert!(user.received_texts().is_empty());
}

#[tokio::test]
async fn while_everything_is_paused_a_yes_waits_and_says_so() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("later").await;
    user.wait_for_card(&task).await;
    user.fixture.request(Pause).await.unwrap();
    assert!(matches!(user.explain_tool("notes/send").await.decision.source, DecisionSource::Pause(_)));
    assert!(user.press_button(&task, "✅ Approve").await.contains("everything is paused"));
    assert!(user.received_texts().is_empty());
    user.fixture.request(Resume { challenge: passphrase_challenge() }).await.unwrap();
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    user.wait_for_outcome_with(&task, "Done.").await;
}

#[tokio::test]
async fn a_press_that_comes_again_does_nothing_again() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("once").await;
    let card = user.wait_for_card(&task).await;
    // What was decided is not confirmed to Telegram: the next daemon is told of it again.
    let query = user.telegram().press(JANE, card.id, "✅ Approve + 10 min");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    user.wait_for_answer(&query).await;
    user.telegram().redeliver_last();
    let user = user.restart().await;
    user.telegram().redeliver_last();
    user.telegram().send_text(JANE, "anything");
    user.fixture.wait_for_message(JANE, "I understand commands only").await;
    assert_eq!(user.received_texts(), ["once"]);
    assert_eq!(user.fixture.request(GetOverrides).await.unwrap().grants.len(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_given_changes_nothing_of_the_decision() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("once").await;
    let card = user.wait_for_card(&task).await;
    user.telegram().inject_fault("answerCallbackQuery", Fault::Server(502), 1_000_000);
    user.telegram().press(JANE, card.id, "✅ Approve");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    user.wait_for_outcome_with(&task, "Done.").await;
    assert_eq!(user.received_texts(), ["once"]);
}

#[tokio::test]
async fn a_grant_is_limited_in_the_chat_as_at_the_terminal() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("first").await;
    user.wait_for_card(&task).await;
    let session = task.origin.session.to_string();
    let (part, project) = (&session[session.len() - 8..], user.fixture.path_of("project"));
    for (limits, why) in [
        ("session ffffffffffff", "no connected session has an id that begins or ends with `ffffffffffff`"),
        ("project /no/such/directory", "there is no project directory `/no/such/directory`"),
        ("project shop", "there is no project directory `shop`"),
    ] {
        let refused = user.fixture.say_and_wait(&format!("/grant notes/* 1h {limits}")).await;
        assert!(refused.text.starts_with(&format!("That did not work: {why}")), "{}", refused.text);
    }
    let limits = format!("uses 2 session {part} project {}", project.display());
    let asked = user.fixture.say_and_wait(&format!("/grant notes/* 1h {limits}")).await;
    let told = format!("Limited: only in session {session}, only in project {}, 2 uses", project.display());
    assert!(asked.text.contains(&told), "{}", asked.text);
    assert!(user.fetch_overrides().await.grants.is_empty());
    let done = user.fixture.press_and_wait(&asked, "✅ Confirm").await;
    assert!(done.text.starts_with("Permitted: grant ") && done.text.contains("2 uses"), "{}", done.text);
    let grant = user.fetch_overrides().await.grants.remove(0);
    assert_eq!(grant.limits.session, Some(task.origin.session));
    assert_eq!(grant.limits.project, Some(task.origin.principal.clone()));
    assert_eq!(grant.uses_left(), Some(2));
}

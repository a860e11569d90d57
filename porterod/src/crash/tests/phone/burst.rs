//! Calls that arrive together, and a daemon that is killed while they are shown or approved together.

use std::collections::BTreeSet;

use super::*;

fn request_with(text: &str) -> SubmitCall {
    let params = json!({"name": "send", "arguments": {"text": text}});
    let call = json!({"tool": "notes/send", "method": "tools/call", "params": params});
    SubmitCall { call: serde_json::from_str(&call.to_string()).unwrap(), ..submit_request() }
}

/// Waits until the bot's message has these words.
async fn wait_for_words(telegram: &FakeTelegram, words: &str) -> ShownMessage {
    let fits = |it: &ShownMessage| it.text.contains(words);
    telegram.wait_until(words, |it| it.bot_messages(JANE).into_iter().rev().find(fits)).await
}

fn has_button(shown: &ShownMessage, label: &str) -> bool {
    shown.keyboard.as_ref().is_some_and(|rows| rows.to_string().contains(&format!("\"{label}\"")))
}

/// Presses a button once it is there; the number of the press.
async fn press(telegram: &FakeTelegram, message: i64, label: &str) -> String {
    let ready = |it: &FakeTelegram| {
        let shown = it.bot_messages(JANE).into_iter().find(|it| it.id == message)?;
        has_button(&shown, label).then_some(())
    };
    telegram.wait_until(label, ready).await;
    telegram.press(JANE, message, label)
}

async fn wait_for_answer(telegram: &FakeTelegram, query: &str) -> String {
    let answer = telegram.wait_until("an answer", |it| it.press_answer(query)).await;
    answer["text"].as_str().unwrap_or_default().to_owned()
}

/// Looks through the list of so many calls; its message.
async fn look_through(telegram: &FakeTelegram, count: usize) -> i64 {
    let list = wait_for_words(telegram, &format!("Calls wait for you: {count}\n")).await.id;
    let mut label = "🔎 Look through";
    for place in 1..=count {
        press(telegram, list, label).await;
        wait_for_words(telegram, &format!("Call {place} of {count}")).await;
        label = "Next ›";
    }
    list
}

/// The states of all tasks, once none waits or is under way.
async fn wait_until_all_ended(point: &str, home: &Home) -> Vec<TaskState> {
    let person = home.connect(PeerRole::Terminal).await;
    let since = Instant::now();
    loop {
        let Ok(tasks) = person.request(ListTasks { state: None, after: None, limit: 10 }).await else {
            panic!("{point}: tasks")
        };
        let states: Vec<TaskState> = tasks.iter().map(|task| task.state).collect();
        if states.iter().all(|state| state.is_final()) {
            return states;
        }
        assert!(since.elapsed() < TEST_TIMEOUT, "{point}: {states:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many lines the server's record has, and how many of them differ.
fn count_texts(home: &Home) -> (usize, usize) {
    let record = std::fs::read_to_string(home.path_of("record")).unwrap_or_default();
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["params"]["arguments"].to_string();
    let texts: Vec<String> = record.lines().map(text).collect();
    (texts.len(), texts.iter().collect::<BTreeSet<_>>().len())
}

#[tokio::test]
async fn killed_at_any_point_of_an_approval_of_all_each_call_runs_at_most_once() {
    for point in
        ["changed approved", "recorded approved", "committed approved", "list approved", "list decided"]
    {
        let home = Home::new();
        let telegram = telegram(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        for text in ["one", "two", "three"] {
            session.request(request_with(text)).await.unwrap();
        }
        let list = look_through(&telegram, 3).await;
        let query = press(&telegram, list, "✅ Approve all 3").await;
        wait_until_killed(&mut daemon, point).await;

        // Telegram tells the next daemon of the same press.
        let _daemon = home.start_daemon(None);
        let mut told = wait_for_answer(&telegram, &query).await;
        let was_stored = !["changed approved", "recorded approved"].contains(&point);
        for _ in 0..10 {
            // A press that a drawing overtook changes nothing, and the person presses what is shown then.
            if !was_stored && told.ends_with("Nothing was changed.") {
                let again = press(&telegram, list, "✅ Approve all 3").await;
                told = wait_for_answer(&telegram, &again).await;
            }
        }
        let expected =
            if was_stored { "This was done. The list says what came of it." } else { "Approved 3." };
        assert_eq!(told, expected, "{point}");
        let states = wait_until_all_ended(point, &home).await;
        let done = states.iter().filter(|state| **state == TaskState::Completed).count();
        let interrupted = states.iter().filter(|state| **state == TaskState::Interrupted).count();
        assert_eq!(done + interrupted, 3, "{point}: {states:?}");
        // Only what had begun to run before the end is interrupted.
        assert!(interrupted == 0 || was_stored && point != "committed approved", "{point}: {states:?}");
        let (runs, different) = count_texts(&home);
        assert!(runs == different && runs >= done, "{point}: {runs} runs of {different} calls");
        let is_over = |it: &FakeTelegram| {
            let shown = it.bot_messages(JANE).into_iter().find(|it| it.id == list)?;
            (shown.keyboard.is_none() && shown.text.starts_with("Calls: ")).then_some(())
        };
        telegram.wait_until("the outcome", is_over).await;
    }
}

#[tokio::test]
async fn killed_while_a_card_becomes_a_list_no_call_is_lost() {
    for point in ["list made", "list drawn"] {
        let home = Home::new();
        let telegram = telegram(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        session.request(request_with("one")).await.unwrap();
        let card = telegram.wait_until("a card", |it| cards(it).into_iter().next()).await;
        wait_until_drawn(&home).await;
        let _ = session.request(request_with("two")).await;
        wait_until_killed(&mut daemon, point).await;

        let _daemon = home.start_daemon(None);
        let list = look_through(&telegram, 2).await;
        assert_eq!(list, card.id, "{point}: the same message");
        let query = press(&telegram, list, "✅ Approve all 2").await;
        assert_eq!(wait_for_answer(&telegram, &query).await, "Approved 2.", "{point}");
        let states = wait_until_all_ended(point, &home).await;
        assert_eq!(states, [TaskState::Completed; 2], "{point}");
        assert_eq!(count_texts(&home), (2, 2), "{point}");
    }
}

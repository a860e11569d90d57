//! Jane decides on her phone, and the daemon is killed on the way of a card and of a tap.

#[path = "../../../tests/telegram/fake_telegram/mod.rs"]
#[allow(unused_imports, reason = "a part of it is used here")]
mod fake_telegram;

mod burst;

use fake_telegram::{FakeTelegram, ShownMessage, TOKEN};
use portero::ipc::requests::approvals::ListTasks;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{CreateGrant, GetOverrides};
use portero::policy::Grant;

use super::*;

const JANE: i64 = 501;

async fn telegram(home: &Home) -> FakeTelegram {
    let telegram = FakeTelegram::start().await;
    telegram.send_text(JANE, "/start");
    let notices = json!({"every": "1s"});
    let settings = json!({"token": TOKEN, "apiUrl": telegram.api_url(), "admin": JANE, "notices": notices});
    std::fs::write(home.path_of("config/portero.json"), json!({"telegram": settings}).to_string()).unwrap();
    telegram
}

/// The cards of the one task, the oldest first.
fn cards(telegram: &FakeTelegram) -> Vec<ShownMessage> {
    telegram.bot_messages(JANE).into_iter().filter(|it| it.text.starts_with("May this run?")).collect()
}

fn outcome(telegram: &FakeTelegram) -> Option<ShownMessage> {
    telegram
        .bot_messages(JANE)
        .into_iter()
        .find(|it| it.text.contains("Done.") || it.text.contains("Interrupted"))
}

/// How often a button is pressed whose card may be drawn anew meanwhile.
const MAX_PRESSES: usize = 100;

/// Waits until the daemon has noted that the chat shows every card as it is to be.
async fn wait_until_drawn(home: &Home) {
    let since = Instant::now();
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    loop {
        let store = rusqlite::Connection::open_with_flags(paths(home.0.path()).store(), flags).unwrap();
        let sql = "SELECT count(*) = 1 AND min(drawn = version) FROM telegram_cards";
        if store.query_row(sql, [], |row| row.get(0)).unwrap_or(false) {
            return;
        }
        assert!(since.elapsed() < TEST_TIMEOUT, "no card is noted as shown");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for the daemon's end, while Telegram goes on in this very thread.
async fn wait_until_killed(daemon: &mut Daemon, point: &str) {
    let since = Instant::now();
    while daemon.0.try_wait().unwrap().is_none() {
        assert!(since.elapsed() < TEST_TIMEOUT, "{point} was not reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(daemon.was_killed(), "{point}");
}

/// The one task, once it is in one of these states.
async fn wait_for_state(point: &str, home: &Home, states: &[TaskState]) -> TaskState {
    let person = home.connect(PeerRole::Terminal).await;
    let since = Instant::now();
    loop {
        let Ok(tasks) = person.request(ListTasks { state: None, after: None, limit: 10 }).await else {
            panic!("{point}: tasks")
        };
        let is: Vec<TaskState> = tasks.iter().map(|task| task.state).collect();
        if let [state] = is.as_slice()
            && states.contains(state)
        {
            return *state;
        }
        assert!(since.elapsed() < TEST_TIMEOUT, "{point}: {is:?}, not {states:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn killed_at_any_point_on_its_way_a_card_is_never_lost() {
    for (point, copies) in [
        ("committed pending-approval", 1),
        ("card kept", 1),
        ("card made", 1),
        ("card sent", 2),
        ("card drawn", 1),
    ] {
        let home = Home::new();
        let telegram = telegram(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        let _ = session.request(submit_request()).await;
        wait_until_killed(&mut daemon, point).await;

        let _daemon = home.start_daemon(None);
        wait_for_state(point, &home, &[TaskState::PendingApproval]).await;
        let all = telegram.wait_until(point, |it| Some(cards(it)).filter(|all| all.len() == copies)).await;
        let [older @ .., newest] = all.as_slice() else { panic!("{point}: no card") };
        for copy in older {
            let query = telegram.press(JANE, copy.id, "✅ Approve");
            let told = telegram.wait_until("an answer", |it| it.press_answer(&query)).await;
            assert!(told["text"].as_str().unwrap().contains("Nothing was changed"), "{point}");
        }
        wait_for_state(point, &home, &[TaskState::PendingApproval]).await;
        // What the card shows counts, also while the daemon draws it anew.
        let query = telegram.press(JANE, newest.id, "✅ Approve");
        let told = telegram.wait_until("an answer", |it| it.press_answer(&query)).await;
        assert_eq!(told["text"], "Approved.", "{point}");
        wait_for_state(point, &home, &[TaskState::Completed]).await;
        telegram.wait_until("the outcome", outcome).await;
        assert_eq!((home.count_runs(), cards(&telegram).len()), (1, copies - 1), "{point}");
    }
}

#[tokio::test]
async fn killed_while_a_projects_topic_is_made_no_card_is_lost() {
    const GROUP: i64 = -1_001;
    for (point, topics) in [("topic made", 2), ("topic told", 1)] {
        let home = Home::new();
        let telegram = FakeTelegram::start().await;
        telegram.create_forum(GROUP);
        let settings =
            json!({"token": TOKEN, "apiUrl": telegram.api_url(), "chat": GROUP, "deciders": [JANE]});
        std::fs::write(home.path_of("config/portero.json"), json!({"telegram": settings}).to_string())
            .unwrap();
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        let _ = session.request(submit_request()).await;
        wait_until_killed(&mut daemon, point).await;
        assert!(telegram.bot_messages(GROUP).is_empty(), "{point}");

        let _daemon = home.start_daemon(None);
        let asked = |it: &FakeTelegram| {
            it.bot_messages(GROUP).into_iter().find(|it| it.text.starts_with("May this run?"))
        };
        let card = telegram.wait_until(point, asked).await;
        assert!(card.thread.is_some() && telegram.topics(GROUP).len() == topics, "{point}");
        let query = telegram.press_in(JANE, GROUP, card.id, "✅ Approve");
        let told = telegram.wait_until("an answer", |it| it.press_answer(&query)).await;
        assert_eq!(told["text"], "Approved.", "{point}");
        wait_for_state(point, &home, &[TaskState::Completed]).await;
    }
}

#[tokio::test]
async fn killed_at_any_point_of_a_tap_all_of_it_is_done_once() {
    for point in ["changed approved", "recorded approved", "committed approved", "tap half done", "tap done"]
    {
        let home = Home::new();
        let telegram = telegram(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        session.request(submit_request()).await.unwrap();
        let card = telegram.wait_until("a card", |it| cards(it).into_iter().next()).await;
        // A card of which the daemon does not know that it is shown gets other buttons after a restart.
        wait_until_drawn(&home).await;
        let query = telegram.press(JANE, card.id, "✅ Approve + 10 min");
        wait_until_killed(&mut daemon, point).await;

        // Telegram tells the next daemon of the same press.
        let started = SystemClock.now().wall;
        let _daemon = home.start_daemon(None);
        let told = telegram.wait_until("an answer", |it| it.press_answer(&query)).await;
        assert!(told["text"].as_str().unwrap().starts_with("Approved, and"), "{point}: {told}");
        // After the first step it may run already, and what ran at the end is interrupted.
        let ended = wait_for_state(point, &home, &[TaskState::Completed, TaskState::Interrupted]).await;
        assert!(ended == TaskState::Completed || point == "tap done", "{point}");
        let person = home.connect(PeerRole::Terminal).await;
        let Ok(standing) = person.request(GetOverrides).await else { panic!("rules") };
        assert_eq!(standing.grants.len(), 1, "{point}");
        // What was approved before the crash is permitted from then on, not from the next daemon's start.
        let was_approved = !["changed approved", "recorded approved"].contains(&point);
        assert_eq!(standing.grants[0].made.wall < started, was_approved, "{point}");
        assert!(
            home.count_runs() == 1 || ended == TaskState::Interrupted && home.count_runs() == 0,
            "{point}"
        );
        let names_grant = |it: &FakeTelegram| {
            outcome(it).filter(|it| it.text.contains(&format!("Permitted: grant {}", standing.grants[0].id)))
        };
        telegram.wait_until("the outcome with the grant", names_grant).await;
    }
}

#[tokio::test]
async fn killed_at_any_point_of_a_tap_that_allows_more_all_of_it_is_done_once() {
    // Before the approval is stored nothing is done, and the next daemon shows anew what it would allow.
    for point in ["committed approved", "tap half done", "tap done"] {
        let home = Home::new();
        let telegram = telegram(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        session.request(submit_request()).await.unwrap();
        let mut card = telegram.wait_until("a card", |it| cards(it).into_iter().next()).await;
        for (button, opened) in
            [("More…", "Tool session…"), ("Tool session…", "✅ Yes, approve and allow in this session")]
        {
            telegram.press(JANE, card.id, button);
            let shows = |it: &FakeTelegram| {
                let mut all = it.bot_messages(JANE).into_iter();
                all.find(|it| it.keyboard.as_ref().is_some_and(|keys| keys.to_string().contains(opened)))
            };
            card = telegram.wait_until(opened, shows).await;
        }
        wait_until_drawn(&home).await;
        let query = telegram.press(JANE, card.id, "✅ Yes, approve and allow in this session");
        wait_until_killed(&mut daemon, point).await;

        // Telegram tells the next daemon of the same press.
        let _daemon = home.start_daemon(None);
        let told = telegram.wait_until("an answer", |it| it.press_answer(&query)).await;
        assert!(told["text"].as_str().unwrap().starts_with("Approved. The card says"), "{point}: {told}");
        let ended = wait_for_state(point, &home, &[TaskState::Completed, TaskState::Interrupted]).await;
        let person = home.connect(PeerRole::Terminal).await;
        let Ok(standing) = person.request(GetOverrides).await else { panic!("rules") };
        assert_eq!(standing.grants.len(), 1, "{point}");
        assert!(standing.grants[0].limits.session.is_some(), "{point}: {:?}", standing.grants[0]);
        let runs = home.count_runs();
        assert!(runs == 1 || ended == TaskState::Interrupted && runs == 0, "{point}: {runs}");
        let end = format!("End it with /revoke {}", standing.grants[0].id);
        let names_grant = |it: &FakeTelegram| outcome(it).filter(|it| it.text.contains(&end));
        telegram.wait_until("the outcome with the grant", names_grant).await;
    }
}

/// A session's call ran without asking.
fn assert_ran_once(home: &Home) {
    let at = SystemClock.now();
    let segment = AuditWriter::open(&paths(home.0.path()).audit(), "portero test", at).unwrap();
    let (tool, outcome) = ("notes/send".parse().unwrap(), RecordedOutcome::Done);
    let event = AuditEvent::Outcome { call: 1, tool, outcome, micros: 1 };
    segment
        .append(&AuditRecord { at: at.wall, session: None, principal: None, address: None, event })
        .unwrap();
}

#[tokio::test]
async fn killed_at_any_point_of_a_tap_below_a_notice_its_rule_is_made_once_and_shown() {
    let notice = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("Ran without asking"))
    };
    for point in ["button used", "tool restricted", "notice drawn"] {
        let home = Home::new();
        let telegram = telegram(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        // Only what is written after it listens is told.
        let shown = loop {
            assert_ran_once(&home);
            let looked = telegram.wait_until("a notice", |it| notice(it));
            if let Ok(shown) = tokio::time::timeout(Duration::from_secs(3), looked).await {
                break shown;
            }
        };
        let query = telegram.press(JANE, shown.id, "✋ Ask: notes/send");
        wait_until_killed(&mut daemon, point).await;

        // Telegram tells the next daemon of the same press.
        let _daemon = home.start_daemon(None);
        let told = telegram.wait_until("an answer", |it| it.press_answer(&query)).await;
        let told = told["text"].as_str().unwrap();
        assert_eq!(told, "This tool asks from now on: rule 1. Undo it with /unrule 1", "{point}");
        let says =
            |it: &FakeTelegram| notice(it).filter(|it| it.text.contains("asks: rule 1, undo /unrule 1"));
        telegram.wait_until("what was done", says).await;
        let person = home.connect(PeerRole::Terminal).await;
        let Ok(standing) = person.request(GetOverrides).await else { panic!("rules") };
        assert_eq!(standing.rules.len(), 1, "{point}");
    }
}

const ADA: i64 = 502;
const GROUP: i64 = -1_001_000;

/// A group in which Jane and Ada both have to approve.
async fn group_of_two(home: &Home) -> FakeTelegram {
    let telegram = FakeTelegram::start().await;
    telegram.change_group(GROUP, |_| ());
    let settings = json!({
        "token": TOKEN, "apiUrl": telegram.api_url(), "chat": GROUP, "deciders": [JANE, ADA],
        "quorum": [{"tools": ["notes/*"], "approvals": 2}],
    });
    std::fs::write(home.path_of("config/portero.json"), json!({"telegram": settings}).to_string()).unwrap();
    telegram
}

/// Waits for the card of the one task, with words in it.
async fn card_with(telegram: &FakeTelegram, words: &str) -> ShownMessage {
    let fits = |it: &ShownMessage| it.text.starts_with("May this run?") && it.text.contains(words);
    telegram.wait_until(words, |it| it.bot_messages(GROUP).into_iter().find(fits)).await
}

/// Somebody approves, again where a press before used the button; what they are told in the end.
async fn approve_as(telegram: &FakeTelegram, person: i64) -> String {
    for _ in 0..MAX_PRESSES {
        let card = card_with(telegram, "Needs: 2 of 2 people").await;
        let query = telegram.press_in(person, GROUP, card.id, "✅ Approve");
        let answer = telegram.wait_until("an answer", |it| it.press_answer(&query)).await;
        let told = answer["text"].as_str().unwrap().to_owned();
        if !told.starts_with("This button") {
            return told;
        }
    }
    panic!("no press of {MAX_PRESSES} counts");
}

/// The votes of the one task.
async fn stored_voters(home: &Home) -> Vec<u64> {
    let person = home.connect(PeerRole::Terminal).await;
    let Ok(tasks) = person.request(ListTasks { state: None, limit: 10, after: None }).await else {
        panic!("tasks")
    };
    tasks[0].votes.iter().map(|vote| vote.user).collect()
}

#[tokio::test]
async fn killed_at_any_point_of_a_vote_it_counts_once_and_alone_lets_nothing_run() {
    for point in ["changed vote", "recorded vote", "committed vote", "tap done"] {
        let home = Home::new();
        let telegram = group_of_two(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        session.request(submit_request()).await.unwrap();
        let card = card_with(&telegram, "Needs: 2 of 2 people").await;
        telegram.press_in(JANE, GROUP, card.id, "✅ Approve");
        wait_until_killed(&mut daemon, point).await;

        // Telegram tells the next daemon of the same press; whatever is left of it, her next one adds nothing more.
        let _daemon = home.start_daemon(None);
        let told = approve_as(&telegram, JANE).await;
        let counts =
            told.starts_with("Your approval counts") || told.starts_with("You approved this already");
        assert!(counts, "{point}: {told}");
        card_with(&telegram, "Approved so far: user 501").await;
        assert_eq!(stored_voters(&home).await, [501], "{point}");
        assert_eq!(
            wait_for_state(point, &home, &[TaskState::PendingApproval]).await,
            TaskState::PendingApproval
        );
        assert_eq!(home.count_runs(), 0, "{point}: one is not enough");

        assert_eq!(approve_as(&telegram, ADA).await, "Approved.", "{point}");
        wait_for_state(point, &home, &[TaskState::Completed]).await;
        assert_eq!(home.count_runs(), 1, "{point}");
    }
}

#[tokio::test]
async fn killed_at_any_point_of_the_last_vote_the_call_runs_once() {
    for point in ["changed approved", "recorded approved", "committed approved"] {
        let home = Home::new();
        let telegram = group_of_two(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let session = home.session().await;
        session.request(submit_request()).await.unwrap();
        assert!(approve_as(&telegram, JANE).await.starts_with("Your approval counts"), "{point}");
        let card = card_with(&telegram, "Approved so far: user 501").await;
        telegram.press_in(ADA, GROUP, card.id, "✅ Approve");
        wait_until_killed(&mut daemon, point).await;

        // The press comes again, or the card is drawn anew and she presses once more.
        let _daemon = home.start_daemon(None);
        let since = Instant::now();
        while home.count_runs() == 0 {
            assert!(since.elapsed() < TEST_TIMEOUT, "{point}: it does not run");
            let waits = |it: &ShownMessage| it.text.starts_with("May this run?");
            if let Some(card) = telegram.bot_messages(GROUP).into_iter().find(waits) {
                telegram.press_in(ADA, GROUP, card.id, "✅ Approve");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wait_for_state(point, &home, &[TaskState::Completed]).await;
        assert_eq!((home.count_runs(), stored_voters(&home).await), (1, vec![501, 502]), "{point}");
    }
}

/// A terminal that asks on Telegram for a grant; the number that it is told.
async fn ask_for_grant(home: &Home) -> (String, tokio::task::JoinHandle<Result<Grant, RequestError>>) {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        build: "test".to_owned(),
        config: home.path_of("config"),
        peer: PeerRole::Terminal,
        nonce: portero::store_identity::Nonce::default(),
    };
    let socket = paths(home.0.path()).socket();
    let (client, mut pushes, _) = IpcClient::connect(&socket, hello, None).await.unwrap();
    let (pattern, limits) = ("notes/send".parse().unwrap(), GrantLimits::default());
    let ask = CreateGrant {
        pattern,
        millis: 60_000,
        limits,
        run_waiting: Vec::new(),
        challenge: Challenge::on_telegram(),
    };
    let answer = tokio::spawn(async move { client.request(ask).await });
    match pushes.recv().await {
        Some(PushMessage::Number { tap, .. }) => (tap.expose().to_owned(), answer),
        other => panic!("no number: {other:?}"),
    }
}

#[tokio::test]
async fn killed_between_a_tapped_number_and_its_change_it_is_done_once_or_not_at_all() {
    for (point, grants, words) in [
        ("number tapped", 0, "Portero was restarted before this was answered. Nothing changed."),
        ("consent done", 1, "Confirmed and done."),
    ] {
        let home = Home::new();
        let telegram = telegram(&home).await;
        let mut daemon = home.start_daemon(Some(point));
        let person = home.connect(PeerRole::Terminal).await;
        let since = Instant::now();
        loop {
            let Ok(status) = person.request(GetStatus).await else { panic!("status") };
            if status.telegram.confirms == TelegramConfirmation::Now {
                break;
            }
            assert!(since.elapsed() < TEST_TIMEOUT, "{point}: {:?}", status.telegram);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (number, answer) = ask_for_grant(&home).await;
        let card = |it: &FakeTelegram| {
            it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("A terminal of yours"))
        };
        let card = telegram.wait_until("a question", card).await;
        telegram.press(JANE, card.id, &number);
        wait_until_killed(&mut daemon, point).await;
        assert!(answer.await.unwrap().is_err(), "{point}: the terminal does not know");

        let _daemon = home.start_daemon(None);
        let now = |it: &FakeTelegram| {
            let now = it.bot_messages(JANE).into_iter().find(|it| it.id == card.id)?;
            now.text.starts_with(words).then_some(now)
        };
        assert!(telegram.wait_until(words, now).await.keyboard.is_none(), "{point}");
        telegram.redeliver_last();
        telegram.send_text(JANE, "/rules");
        telegram
            .wait_until("an answer", |it| {
                it.bot_messages(JANE)
                    .into_iter()
                    .find(|it| it.text.contains("No rules") || it.text.contains("Grants"))
            })
            .await;
        let person = home.connect(PeerRole::Terminal).await;
        let Ok(standing) = person.request(GetOverrides).await else { panic!("rules") };
        assert_eq!(standing.grants.len(), grants, "{point}");
    }
}

/// A stranger, whose messages are dealt with without the store.
const MALLORY: i64 = 666;
/// How many updates Telegram tells at once.
const MAX_UPDATES: usize = 100;

#[tokio::test]
async fn killed_while_nothing_can_be_stored_an_update_that_failed_before_a_hundred_others_is_done_after() {
    let home = Home::new();
    let telegram = telegram(&home).await;
    let mut daemon = home.start_daemon(None);
    let session = home.session().await;
    session.request(submit_request()).await.unwrap();
    let card = telegram.wait_until("a card", |it| cards(it).into_iter().next()).await;
    wait_until_drawn(&home).await;
    let store = rusqlite::Connection::open(paths(home.0.path()).store()).unwrap();
    store.busy_timeout(TEST_TIMEOUT).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();

    telegram.press(JANE, card.id, "More…");
    for _ in 0..MAX_UPDATES {
        telegram.send_text(MALLORY, "hello");
    }
    telegram.send_text(JANE, "/pause");
    let person = home.connect(PeerRole::Terminal).await;
    let since = Instant::now();
    loop {
        match person.request(GetOverrides).await {
            Ok(standing) if standing.paused.is_some() => break,
            Ok(_) => {}
            other => panic!("{other:?}"),
        }
        assert!(since.elapsed() < TEST_TIMEOUT, "what comes after the hundred is not heard");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    daemon.0.kill().unwrap();
    assert!(daemon.was_killed());
    store.execute_batch("ROLLBACK").unwrap();

    // Telegram was told to forget the press.
    let _daemon = home.start_daemon(None);
    let is_long = |it: &FakeTelegram| {
        let shown = it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("May this run?"))?;
        shown.keyboard?.to_string().contains("Less").then_some(())
    };
    telegram.wait_until("what the press did", is_long).await;
}

//! Servers of the daemon and the sessions that have them in common: one does not hold up another, nor take its things.

use std::sync::{Arc, Mutex};

use portero::call::Call;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::sessions::{ForwardCall, GetServerListing, SetLogLevel};
use portero::ipc::{ForwardedCall, IpcClient, RequestError};
use portero::policy::Action;
use portero::server::LogLevel;
use serde_json::{Value, json};

use crate::fake_server::{MEMO_URI, RECORD_VARIABLE, ROLE_VARIABLE, TALKATIVE};
use crate::support::*;

/// Shared servers `one` and `two`, of the talkative kind.
pub(crate) fn home() -> Home {
    let home = Home::new();
    let server = |name: &str| {
        json!({
            "name": name,
            "command": std::env::current_exe().unwrap(),
            "args": ["--exact", "fake_server::fake_server", "--nocapture", "-q"],
            "env": {ROLE_VARIABLE: TALKATIVE, RECORD_VARIABLE: home.path_of(&format!("{name}.record"))},
            "instance": "user",
        })
    };
    home.write("mcps.json", &json!({"mcps": [server("one"), server("two")]}));
    home.write("policies.json", &json!({"policies": {"*/read": "allow", "*/resources:subscribe": "allow"}}));
    home
}

/// A session; dropping it ends its connection.
async fn session(home: &Home) -> IpcClient {
    home.silent_session("project").await.0
}

/// How often a server was asked with a method.
fn count(home: &Home, server: &str, method: &str) -> usize {
    home.record(server).iter().filter(|line| line["params"]["method"] == method).count()
}

fn forward(tool: &str, method: &str, params: &Value) -> ForwardCall {
    let call = json!({"tool": tool, "method": method, "params": params}).to_string();
    let call: Call = serde_json::from_str(&call).unwrap();
    let client = serde_json::from_str("\"claude 1\"").unwrap();
    ForwardCall { call, client, progress: false, log_level: None }
}

/// Has a server do what a talkative one can do.
async fn send_text(session: &IpcClient, server: &str, text: &str) {
    let params = json!({"name": "read", "arguments": {"text": text}});
    session.request(forward(&format!("{server}/read"), "tools/call", &params)).await.unwrap();
}

async fn change_subscription(
    session: &IpcClient,
    method: &str,
    uri: &str,
) -> Result<ForwardedCall, RequestError> {
    session.request(forward("one/resources:subscribe", method, &json!({"uri": uri}))).await
}

async fn subscribe(session: &IpcClient) {
    let answered = change_subscription(session, "resources/subscribe", MEMO_URI).await;
    assert!(matches!(answered, Ok(ForwardedCall::Result(_))), "{answered:?}");
}

async fn unsubscribe(session: &IpcClient) {
    let answered = change_subscription(session, "resources/unsubscribe", MEMO_URI).await;
    assert!(matches!(answered, Ok(ForwardedCall::Result(_))), "{answered:?}");
}

/// What a session is told of shared servers, each as `server method`.
#[derive(Clone, Default)]
struct PushedMethods(Arc<Mutex<Vec<String>>>);

impl PushedMethods {
    fn of(session: &IpcClient) -> Self {
        let told = Self::default();
        let into = told.clone();
        session.set_notification_sink(Arc::new(move |server, method, _| {
            into.0.lock().unwrap().push(format!("{server} {method}"));
        }));
        told
    }

    fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|told| *told == what).count()
    }
}

#[tokio::test]
async fn a_server_that_hangs_holds_back_nothing_of_the_others() {
    let home = home();
    let app = home.start().await;
    let session = session(&home).await;
    let told = PushedMethods::of(&session);
    for server in ["one", "two"] {
        session.request(GetServerListing { server: server.parse().unwrap() }).await.unwrap();
    }
    send_text(&session, "one", "hang").await;
    send_text(&session, "one", "change").await;
    wait_until("it is asked anew", async || count(&home, "one", "tools/list") == 2).await;

    send_text(&session, "two", "change").await;
    send_text(&session, "two", "update").await;
    wait_until("the other one's change is told", async || {
        told.count("two notifications/tools/list_changed") == 1
    })
    .await;
    wait_until("and its update", async || told.count("two notifications/resources/updated") == 1).await;
    session.request(GetServerListing { server: "two".parse().unwrap() }).await.unwrap();
    // Updates of the server that hangs go on too: only its lists, and calls that need them, wait.
    wait_until("its own update", async || told.count("one notifications/resources/updated") == 1).await;
    assert_eq!(told.count("one notifications/tools/list_changed"), 0, "its list has not come");
    app.shutdown().await;
}

#[tokio::test]
async fn a_change_of_a_list_is_asked_for_once_however_many_sessions_are_told() {
    const SESSIONS: usize = 5;
    let home = home();
    let app = home.start().await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let session = session(&home).await;
        let told = PushedMethods::of(&session);
        sessions.push((session, told));
    }
    let list_everywhere = async || {
        let listing = sessions
            .iter()
            .map(|(session, _)| session.request(GetServerListing { server: "one".parse().unwrap() }));
        for listed in futures_util::future::join_all(listing).await {
            assert!(listed.is_ok(), "{listed:?}");
        }
    };
    list_everywhere().await;
    assert_eq!(count(&home, "one", "tools/list"), 1, "all begin with one list");

    for changes in 1..=3 {
        send_text(&sessions[0].0, "one", "change").await;
        wait_until("each session is told", async || {
            sessions.iter().all(|(_, told)| told.count("one notifications/tools/list_changed") == changes)
        })
        .await;
        list_everywhere().await;
        assert_eq!(count(&home, "one", "tools/list"), 1 + changes);
    }
    app.shutdown().await;
}

#[tokio::test]
async fn a_subscription_lasts_as_long_as_one_session_wants_it() {
    let home = home();
    let app = home.start().await;
    let (first, second) = (session(&home).await, session(&home).await);
    let told = PushedMethods::of(&second);
    subscribe(&first).await;
    subscribe(&second).await;

    unsubscribe(&first).await;
    // Neither what it never had nor what it gave up already ends what the other has.
    unsubscribe(&first).await;
    drop(first);
    send_text(&second, "one", "update").await;
    wait_until("the other is still told", async || told.count("one notifications/resources/updated") == 1)
        .await;
    assert_eq!(count(&home, "one", "resources/unsubscribe"), 0);

    unsubscribe(&second).await;
    assert_eq!(count(&home, "one", "resources/unsubscribe"), 1);
    app.shutdown().await;
}

#[tokio::test]
async fn what_policy_denies_by_now_is_still_unsubscribed_from() {
    let home = home();
    let app = home.start().await;
    let person = home.terminal().await;
    let (first, second) = (session(&home).await, session(&home).await);
    subscribe(&first).await;
    person.rule("one/*", Action::Deny).await.unwrap();

    let not_held = change_subscription(&second, "resources/unsubscribe", MEMO_URI).await;
    assert!(matches!(&not_held, Ok(ForwardedCall::Result(_))), "the first still wants it: {not_held:?}");
    assert_eq!(count(&home, "one", "resources/unsubscribe"), 0);
    unsubscribe(&first).await;
    assert_eq!(count(&home, "one", "resources/unsubscribe"), 1);
    let not_held = change_subscription(&second, "resources/unsubscribe", MEMO_URI).await;
    assert!(matches!(not_held, Err(RequestError::Refused(_))), "{not_held:?}");

    app.shutdown().await;
}

#[tokio::test]
async fn what_policy_denies_by_now_is_taken_back_from_a_session_that_leaves() {
    let home = home();
    let app = home.start().await;
    let person = home.terminal().await;
    let session = session(&home).await;
    subscribe(&session).await;
    person.rule("one/*", Action::Deny).await.unwrap();
    drop(session);
    wait_until("it is taken back", async || count(&home, "one", "resources/unsubscribe") == 1).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_session_that_leaves_leaves_no_subscription_behind() {
    let home = home();
    let app = home.start().await;
    let (first, second) = (session(&home).await, session(&home).await);
    subscribe(&first).await;
    subscribe(&second).await;
    drop(first);
    let person = home.terminal().await;
    let connected = async || match person.request(GetStatus).await {
        Ok(status) => status.sessions.len(),
        other => panic!("{other:?}"),
    };
    wait_until("the first has left", async || connected().await == 1).await;
    send_text(&second, "one", "").await;
    assert_eq!(count(&home, "one", "resources/unsubscribe"), 0, "the second still wants it");
    drop(second);
    wait_until("it is taken back", async || count(&home, "one", "resources/unsubscribe") == 1).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_session_that_leaves_while_it_subscribes_leaves_no_subscription_behind() {
    let home = home();
    let app = home.start().await;
    let session = session(&home).await;
    let client = session.clone();
    let subscribing = tokio::spawn(async move {
        client
            .request(forward(
                "one/resources:subscribe",
                "resources/subscribe",
                &json!({"uri": "memo://hangs"}),
            ))
            .await
    });
    wait_until("the server is asked", async || count(&home, "one", "resources/subscribe") == 1).await;
    subscribing.abort();
    drop(session);
    wait_until("it is taken back", async || count(&home, "one", "resources/unsubscribe") == 1).await;
    let taken_back = home.record("one");
    let taken_back =
        taken_back.iter().find(|line| line["params"]["method"] == "resources/unsubscribe").unwrap();
    assert_eq!(taken_back["params"]["params"]["uri"], "memo://hangs");
    app.shutdown().await;
}

#[tokio::test]
async fn a_running_server_is_told_a_more_talkative_level_without_a_call() {
    let home = home();
    let app = home.start().await;
    let session = session(&home).await;
    send_text(&session, "one", "").await;
    let told = || -> Vec<Value> {
        let record = home.record("one");
        let levels = record.iter().filter(|line| line["params"]["method"] == "logging/setLevel");
        levels.map(|line| line["params"]["params"]["level"].clone()).collect()
    };
    assert!(told().is_empty());
    for (level, then) in [(LogLevel::Info, vec!["info"]), (LogLevel::Debug, vec!["info", "debug"])] {
        let answered = session.request(SetLogLevel { level }).await;
        assert!(answered.is_ok(), "{answered:?}");
        wait_until("it is told", async || told() == then).await;
    }
    // Another session of the same server may still want to hear more.
    session.request(SetLogLevel { level: LogLevel::Error }).await.unwrap();
    send_text(&session, "one", "").await;
    assert_eq!(told(), ["info", "debug"]);
    app.shutdown().await;
}

#[tokio::test]
async fn sessions_of_one_directory_share_a_project_server_and_hear_it_alone() {
    let home = home();
    let mut servers: Value =
        serde_json::from_slice(&std::fs::read(home.path_of("config/mcps.json")).unwrap()).unwrap();
    servers["mcps"][0]["instance"] = json!("project");
    home.write("mcps.json", &servers);
    let app = home.start().await;
    let (first, second) = (session(&home).await, session(&home).await);
    let elsewhere = home.silent_session("other").await.0;
    let (told, told_elsewhere) = (PushedMethods::of(&second), PushedMethods::of(&elsewhere));
    for client in [&first, &second, &elsewhere] {
        client.request(GetServerListing { server: "one".parse().unwrap() }).await.unwrap();
        send_text(client, "one", "").await;
    }
    let record = home.record("one");
    let calls = record.iter().filter(|line| line["params"]["method"] == "tools/call");
    let [a, b, c] = &calls.map(|line| line["pid"].as_u64().unwrap()).collect::<Vec<_>>()[..] else {
        panic!("three calls: {record:?}");
    };
    assert_eq!(a, b, "one process for a directory");
    assert_ne!(a, c, "and another for another");

    subscribe(&first).await;
    send_text(&first, "one", "update").await;
    send_text(&first, "one", "change").await;
    wait_until("both of the directory hear it", async || {
        told.count("one notifications/resources/updated") == 1
            && told.count("one notifications/tools/list_changed") == 1
    })
    .await;
    send_text(&elsewhere, "two", "update").await;
    wait_until("what is the user's reaches all", async || {
        told_elsewhere.count("two notifications/resources/updated") == 1
    })
    .await;
    assert_eq!(told_elsewhere.count("one notifications/resources/updated"), 0);
    assert_eq!(told_elsewhere.count("one notifications/tools/list_changed"), 0);
    app.shutdown().await;
}

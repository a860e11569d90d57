//! Requests as they are on the socket: a method that no type has, params that no type takes.
#![cfg(unix)]

use portero::audit::{self, AuditEvent, RecordFilter};
use portero::ipc::requests::approvals::{ApproveTask, GetTask};
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::overrides::CreateGrant;
use portero::ipc::requests::sessions::CheckTask;
use portero::ipc::{FailureKind, PeerRole, Request};
use portero::names::TaskId;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::clients::{as_session, connect_stuck_client, frame, hello};
use crate::support::{Home, TEST_TIMEOUT};

/// A connection that speaks for itself.
struct Raw {
    stream: UnixStream,
    number: u64,
}

impl Raw {
    async fn new(home: &Home, hello: &[u8]) -> Self {
        let mut raw = Self { stream: connect_stuck_client(home, hello).await, number: 0 };
        assert!(raw.hear().await["Ok"].get("pid").is_some(), "it is welcome");
        raw
    }

    async fn hear(&mut self) -> Value {
        let hearing = async {
            let length = self.stream.read_u32().await.unwrap();
            let mut text = vec![0; length as usize];
            self.stream.read_exact(&mut text).await.unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        tokio::time::timeout(TEST_TIMEOUT, hearing).await.expect("in time")
    }

    /// What the daemon refuses it with: the failure.
    async fn refused(&mut self, method: &str, params: &Value) -> Refused {
        self.number += 1;
        let request = json!({"method": method, "params": params});
        let message = json!({"request": {"number": self.number, "request": request}});
        self.stream.write_all(&frame(&message.to_string())).await.unwrap();
        let heard = self.hear().await;
        assert_eq!(heard["response"]["number"], self.number, "{heard}");
        let failure = &heard["response"]["result"]["Err"];
        Refused {
            kind: serde_json::from_value(failure["kind"].clone()).unwrap(),
            message: failure["message"].as_str().unwrap().to_owned(),
            hint: failure["hint"].as_str().map(str::to_owned),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Refused {
    kind: FailureKind,
    message: String,
    hint: Option<String>,
}

fn restart() -> Option<String> {
    Some("restart the daemon: portero daemon stop, then run this again".to_owned())
}

#[tokio::test]
async fn an_unknown_request_is_refused_with_the_restart_that_may_help() {
    let home = Home::new();
    let app = home.start().await;
    for hello in [hello(&home, PeerRole::Terminal), as_session(&home)] {
        let mut raw = Raw::new(&home, &hello).await;
        for method in ["dance", "tasks/Get", "tasks", ""] {
            let refused = raw.refused(method, &json!({"how": "well"})).await;
            let message = "this daemon does not know that request".to_owned();
            let expected = Refused { kind: FailureKind::Invalid, message, hint: restart() };
            assert_eq!(refused, expected, "{method}");
        }
    }
    app.shutdown().await;
}

#[tokio::test]
async fn params_that_do_not_fit_are_refused_with_what_is_wrong_and_the_connection_stays() {
    let home = Home::new();
    let app = home.start().await;
    let mut terminal = Raw::new(&home, &hello(&home, PeerRole::Terminal)).await;
    for (method, params, words) in [
        (GetTask::METHOD, json!(null), "invalid type: null"),
        (GetTask::METHOD, json!({}), "missing field `task`"),
        (CreateGrant::METHOD, json!({"pattern": "a b", "millis": 1, "challenge": {}}), "no name holds ' '"),
        (CreateGrant::METHOD, json!({"pattern": "a/b", "millis": -1, "challenge": {}}), "-1"),
        (ApproveTask::METHOD, json!({"task": TaskId::fresh()}), "missing field `challenge`"),
    ] {
        let refused = terminal.refused(method, &params).await;
        assert_eq!((refused.kind, &refused.hint), (FailureKind::Invalid, &restart()), "{refused:?}");
        let begin = format!("this daemon cannot read the params of {method}: ");
        assert!(refused.message.starts_with(&begin) && refused.message.contains(words), "{refused:?}");
    }
    let mut session = Raw::new(&home, &as_session(&home)).await;
    for method in [CheckTask::METHOD, ApproveTask::METHOD] {
        let refused = session.refused(method, &json!({})).await;
        assert!(refused.message.ends_with("missing field `task` at line 1 column 2"), "{refused:?}");
    }
    app.shutdown().await;
}

#[tokio::test]
async fn what_a_session_may_not_request_is_refused_and_recorded_without_what_it_typed() {
    const TYPED: &str = "a passphrase of its own";
    let home = Home::new();
    let app = home.start().await;
    let mut session = Raw::new(&home, &as_session(&home)).await;
    let params = json!({"old": null, "new": {"code": TYPED}});
    let refused = session.refused(SetPassphrase::METHOD, &params).await;
    let message = "only a person's terminal may request this".to_owned();
    assert_eq!(refused, Refused { kind: FailureKind::Invalid, message, hint: None });
    app.shutdown().await;
    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let tried = log.entries.iter().filter_map(|entry| match &entry.record.event {
        AuditEvent::Act { act, process: Some(by), done: false, .. } => Some((act.as_str(), by.to_string())),
        _ => None,
    });
    let tried: Vec<_> = tried.collect();
    assert!(matches!(&tried[..], [("passphrase set", by)] if by.starts_with("session ")), "{tried:?}");
    assert!(!format!("{log:?}").contains(TYPED));
}

#[tokio::test]
async fn what_only_a_session_may_request_is_refused_to_a_terminal_in_words_that_say_so() {
    let home = Home::new();
    let app = home.start().await;
    let mut terminal = Raw::new(&home, &hello(&home, PeerRole::Terminal)).await;
    let refused = terminal.refused(CheckTask::METHOD, &json!(null)).await;
    let message = "only an agent's session may request this".to_owned();
    assert_eq!(refused, Refused { kind: FailureKind::Invalid, message, hint: None });
    app.shutdown().await;
}

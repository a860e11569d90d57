//! Clients that are slow, stuck, greedy or speak nonsense: nobody else waits for them.
#![cfg(unix)]

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use portero::ipc::requests::sessions::ForwardCall;
use portero::names::{Principal, SessionId};

use super::*;

/// How many of them at once.
const CROWD_SIZE: usize = 4;
/// Within what a normal call is answered beside them, which is less than the daemon waits for one that says nothing; a
/// change waits for those who do not follow it, once.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(4);
const MAX_CHANGE_TIME: Duration = Duration::from_secs(8);

pub(crate) fn frame(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

pub(crate) fn hello(home: &Home, peer: PeerRole) -> Vec<u8> {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        build: "test".to_owned(),
        config: home.path_of("config"),
        peer,
        nonce: Nonce::default(),
    };
    frame(&serde_json::to_string(&hello).unwrap())
}

pub(crate) fn as_session(home: &Home) -> Vec<u8> {
    let directory = home.path_of("other");
    let principal = Principal::from_project(&directory);
    hello(home, PeerRole::Session { id: SessionId::fresh(), agent_session: None, principal, directory })
}

/// A client that said these bytes, and reads nothing.
pub(crate) async fn connect_stuck_client(home: &Home, words: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(home.paths().socket()).await.unwrap();
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_socket_passcred(&stream, true).unwrap();
    stream.write_all(words).await.unwrap();
    stream
}

/// All that the daemon says to it until it hangs up.
async fn read_to_end(mut stream: UnixStream) -> String {
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut heard)).await.expect("it is left");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Has the shared server started, which on a busy machine takes longer than any wait for a client.
async fn warm_up(session: &Session) {
    let (call, client) = call("common/read", "John Doe");
    let reply = session.request(ForwardCall { call, client, progress: false, log_level: None }).await;
    assert!(matches!(reply, Ok(ForwardedCall::Result(_))), "{reply:?}");
}

/// A call of a normal session, and a deny of a person's, which is then in force in that session.
async fn assert_others_served(beside: &str, session: &Session, person: &Terminal) {
    let began = Instant::now();
    let (call, client) = call("common/read", "John Doe");
    let reply = session.request(ForwardCall { call, client, progress: false, log_level: None }).await;
    assert!(matches!(reply, Ok(ForwardedCall::Result(_))), "{beside}: {reply:?}");
    assert!(began.elapsed() < MAX_ANSWER_TIME, "{beside}: a call took {:?}", began.elapsed());

    let began = Instant::now();
    let Ok(rule) = person.rule("notes/wait", Action::Deny).await else { panic!("{beside}") };
    assert!(began.elapsed() < MAX_CHANGE_TIME, "{beside}: a deny took {:?}", began.elapsed());
    let followed = session.standing.borrow().rules.iter().any(|known| known.id == rule.id);
    assert!(followed, "{beside}: it is in force when its command returns");
}

#[tokio::test]
async fn nobody_waits_for_clients_that_are_stuck_or_speak_nonsense() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    warm_up(&session).await;
    let terminal = || hello(&home, PeerRole::Terminal);
    let subscribe =
        frame(r#"{"request":{"number":1,"request":{"method":"overrides/subscribe","params":null}}}"#);
    let kinds: [(&str, Vec<u8>, bool); 8] = [
        ("says nothing", Vec::new(), false),
        ("says half a hello", terminal()[..20].to_vec(), false),
        ("says hello and nothing more", terminal(), false),
        ("says half a frame", [terminal(), frame("{\"request\":")[..6].to_vec()].concat(), false),
        ("never reads what is pushed", [as_session(&home), subscribe].concat(), false),
        ("speaks garbage for a hello", vec![b'x'; 64], true),
        ("speaks garbage", [terminal(), frame("garbage")].concat(), true),
        ("announces 4 GiB", [terminal(), vec![0xff; 4]].concat(), true),
    ];
    // Each stays until the end, so they add up.
    let mut crowd = Vec::new();
    for (kind, words, is_told) in kinds {
        let mut these = Vec::new();
        for _ in 0..CROWD_SIZE {
            these.push(connect_stuck_client(&home, &words).await);
        }
        assert_others_served(kind, &session, &person).await;
        if is_told {
            for stream in these {
                let told = read_to_end(stream).await;
                assert!(told.contains("that is no message"), "{kind}: {told}");
            }
        } else {
            crowd.extend(these);
        }
    }
    drop(crowd);
    app.shutdown().await;
}

#[tokio::test]
async fn a_client_that_asks_without_end_and_reads_nothing_is_held_back_and_then_left() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    warm_up(&session).await;
    let (read, mut write) = connect_stuck_client(&home, &hello(&home, PeerRole::Terminal)).await.into_split();
    // 40 MB, which nothing between the two takes in.
    let pad = "x".repeat(4_000);
    let asking = tokio::spawn(async move {
        for number in 0..10_000 {
            let status = r#"{"method":"daemon/status","params":null}"#;
            let request = format!(r#"{{"request":{{"number":{number},"request":{status},"pad":"{pad}"}}}}"#);
            if write.write_all(&frame(&request)).await.is_err() {
                return number;
            }
        }
        10_000
    });
    assert_others_served("asks without end", &session, &person).await;
    let asked = tokio::time::timeout(TEST_TIMEOUT, asking).await.expect("it is left").unwrap();
    assert!((1..10_000).contains(&asked), "it asked {asked} questions");
    assert_others_served("was left", &session, &person).await;
    drop(read);
    app.shutdown().await;
}

#[tokio::test]
async fn of_a_thousand_connections_so_many_are_let_in_and_the_others_are_told() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    warm_up(&session).await;
    let mut let_in = Vec::new();
    for number in 0..1_000 {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".into(),
            config: home.path_of("config"),
            peer: PeerRole::Terminal,
            nonce: Nonce::default(),
        };
        match IpcClient::connect(&home.paths().socket(), hello, None).await {
            Ok(connected) => let_in.push(connected),
            Err(ConnectError::Refused { failure, .. }) => {
                assert_eq!(failure.kind, FailureKind::Refused);
                assert!(failure.message.contains("32 connections open already"), "{failure}");
                assert!(failure.hint.unwrap().contains("end that process"), "it says what to do");
            }
            Err(other) => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(let_in.len(), 30, "32 with the person and the session, which are of this process too");
    assert_others_served("a thousand connections", &session, &person).await;
    drop(let_in);
    wait_until("there is room again", async || {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".into(),
            config: home.path_of("config"),
            peer: PeerRole::Terminal,
            nonce: Nonce::default(),
        };
        IpcClient::connect(&home.paths().socket(), hello, None).await.is_ok()
    })
    .await;
    app.shutdown().await;
}

//! Both ends together, over a real socket in a directory of its own.

mod place;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;
use crate::identity::{Nonce, StoreId, StoreKey};
use crate::names::{Principal, SessionId};
use crate::passphrase::{Derived, Salted};
use crate::policy::Standing;
use crate::secret::Secret;

const SOON: Duration = Duration::from_secs(10);

struct Place {
    _directory: TempDir,
    socket: PathBuf,
    lock: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temp dir");
        #[cfg(unix)]
        std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("set");
        let (socket, lock) = (directory.path().join("s"), directory.path().join("lock"));
        Self { _directory: directory, socket, lock }
    }

    async fn bind(&self) -> Result<Listener, BindError> {
        Listener::bind(&self.socket, Lock::take(&self.lock)?).await
    }
}

fn hello() -> Hello {
    let peer = Peer::Session {
        id: SessionId::fresh(),
        agent_session: None,
        principal: Principal::of_project("/project".as_ref()),
        directory: "/project".into(),
    };
    Hello { protocol: PROTOCOL, build: "1".into(), config: "/config".into(), peer, nonce: Nonce::default() }
}

fn welcome(hello: &Hello) -> Result<Welcome, Failure> {
    Ok(Welcome::sign(hello, &StoreKey::of_store(&[1; 32]), "test".into(), "open".into()))
}

/// Listens, and welcomes one client.
async fn pair(place: &Place) -> (Client, tokio::sync::mpsc::Receiver<Push>, Inbox, Outbox) {
    let listener = place.bind().await.expect("bound");
    let greeted: JoinHandle<_> = tokio::spawn(async move {
        let accepted = listener.accept().await.expect("accepted");
        accepted.greet("test", welcome).await.expect("greeted")
    });
    let (client, pushes, _) = Client::connect(&place.socket, hello(), None).await.expect("connected");
    let Greeted { inbox, outbox, .. } = greeted.await.expect("greeted");
    (client, pushes, inbox, outbox)
}

async fn number_of_next(inbox: &mut Inbox) -> (u64, Ask) {
    match tokio::time::timeout(SOON, inbox.next()).await.expect("in time") {
        Some(Incoming::Message(ToDaemon::Ask { number, ask })) => (number, *ask),
        other => panic!("expected a question, not {other:?}"),
    }
}

fn answer(number: u64, reply: Reply) -> FromDaemon {
    FromDaemon::Answer { number, reply: Box::new(Ok(reply)) }
}

#[test]
fn raw_json_keeps_its_bytes_through_every_message_that_holds_some() {
    let odd = r#"{"z":1.10,"n":1234567890123456789012345678901234567890,"a":[ 1e5 ,{"b":"\u0041"}]}"#;
    let reads_back = |text: String| {
        let message: FromDaemon = serde_json::from_str(&text).expect(&text);
        assert_eq!(serde_json::to_string(&message).expect("said"), text);
    };
    reads_back(format!(r#"{{"answer":{{"number":1,"reply":{{"Ok":{{"listing":{odd}}}}}}}}}"#));
    reads_back(format!(r#"{{"answer":{{"number":1,"reply":{{"Ok":{{"called":{{"result":{odd}}}}}}}}}}}"#));
    reads_back(format!(r#"{{"push":{{"progress":{{"number":1,"params":{odd}}}}}}}"#));
    reads_back(format!(r#"{{"push":{{"notification":{{"server":"s","method":"m","params":{odd}}}}}}}"#));
    reads_back(
        r#"{"answer":{"number":1,"reply":{"Err":{"kind":"refused","message":"no","hint":null}}}}"#.into(),
    );
    let params = format!(r#"{{"name":"t","arguments":{odd}}}"#);
    let call = format!(r#"{{"tool":"s/t","method":"tools/call","params":{params}}}"#);
    for ask in [
        format!(r#"{{"submit":{{"call":{call},"client":"c"}}}}"#),
        format!(r#"{{"forward":{{"call":{call},"client":"c","progress":true}}}}"#),
    ] {
        let text = format!(r#"{{"ask":{{"number":1,"ask":{ask}}}}}"#);
        let message: ToDaemon = serde_json::from_str(&text).expect(&text);
        assert_eq!(serde_json::to_string(&message).expect("said"), text);
    }
}

#[test]
fn a_passphrase_does_not_print_itself() {
    let mut challenge = Challenge::new("hunter2");
    challenge.code = Some("123456".to_owned());
    let shown = format!("{:?}", Ask::SetPassphrase { old: None, new: challenge });
    assert!(!shown.contains("hunter2") && !shown.contains("123456"), "{shown}");
    let shown = format!("{:?}", Reply::TotpSecret(Secret::new("GEZDGNBV").into()));
    assert!(!shown.contains("GEZDGNBV"), "{shown}");
}

#[tokio::test]
async fn a_question_beyond_the_limit_waits_for_room() {
    let place = Place::new();
    let (client, _pushes, mut inbox, outbox) = pair(&place).await;
    let mut asking: Vec<_> = (0..=MAX_OPEN_QUESTIONS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.ask(Ask::Subscribe).await.map(drop) })
        })
        .collect();
    for _ in 0..MAX_OPEN_QUESTIONS {
        number_of_next(&mut inbox).await;
    }
    let early = tokio::time::timeout(Duration::from_millis(50), inbox.next()).await;
    assert!(early.is_err(), "one more was asked: {early:?}");
    let standing = Standing::default();
    outbox.send(&answer(1, Reply::Standing(standing.clone()))).await.expect("room");
    let (number, _) = number_of_next(&mut inbox).await;
    outbox.send(&answer(number, Reply::Standing(standing))).await.expect("room");
    let last = asking.pop().expect("it was asked");
    tokio::time::timeout(SOON, last).await.expect("in time").expect("no panic").expect("answered");
    asking.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn answers_find_their_questions_in_any_order() {
    let place = Place::new();
    let (client, _pushes, mut inbox, outbox) = pair(&place).await;
    let ask = |ask| {
        let client = client.clone();
        tokio::spawn(async move { client.ask(ask).await })
    };
    let (status, rules) = (ask(Ask::Status), ask(Ask::Rules));
    let (one, two) = (number_of_next(&mut inbox).await, number_of_next(&mut inbox).await);
    for (number, question) in [two, one] {
        let changed = if matches!(question, Ask::Status) { 1 } else { 2 };
        outbox.send(&answer(number, Reply::Changed(changed))).await.expect("sent");
    }
    assert!(matches!(status.await.expect("joined"), Ok(Reply::Changed(1))));
    assert!(matches!(rules.await.expect("joined"), Ok(Reply::Changed(2))));
}

#[tokio::test]
async fn a_question_whose_future_is_dropped_is_withdrawn() {
    let place = Place::new();
    let (client, _pushes, mut inbox, _outbox) = pair(&place).await;
    let asking = tokio::spawn(async move { client.ask(Ask::Status).await.is_ok() });
    let (number, _) = number_of_next(&mut inbox).await;
    asking.abort();
    let next = tokio::time::timeout(SOON, inbox.next()).await.expect("in time");
    assert!(matches!(next, Some(Incoming::Message(ToDaemon::Withdraw { number: n })) if n == number));
}

#[tokio::test]
async fn progress_comes_in_order_and_before_the_answer() {
    let place = Place::new();
    let (client, _pushes, mut inbox, outbox) = pair(&place).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: Progress =
        Arc::new(move |params| sink.lock().expect("whole").push(params.get().get().to_owned()));
    let asking = tokio::spawn(async move { client.ask_with_progress(Ask::Status, Some(progress)).await });
    let (number, _) = number_of_next(&mut inbox).await;
    for step in ["1", "2", "3"] {
        let params = serde_json::from_str(step).expect("JSON");
        outbox.push(&FromDaemon::Push(Push::Progress { number, params })).expect("room");
    }
    outbox.send(&answer(number, Reply::Changed(0))).await.expect("sent");
    asking.await.expect("joined").expect("answered");
    assert_eq!(*seen.lock().expect("whole"), ["1", "2", "3"]);
}

#[tokio::test]
async fn whoever_waits_learns_that_the_daemon_is_gone() {
    let place = Place::new();
    let (client, mut pushes, mut inbox, outbox) = pair(&place).await;
    let asking = {
        let client = client.clone();
        tokio::spawn(async move { client.ask(Ask::Status).await })
    };
    number_of_next(&mut inbox).await;
    outbox.closing().close("the test ends it");
    drop((inbox, outbox));
    assert!(matches!(asking.await.expect("joined"), Err(AskError::Closed(_))));
    tokio::time::timeout(SOON, client.closed()).await.expect("in time");
    assert!(pushes.recv().await.is_none());
    let late = client.ask(Ask::Status).await;
    assert!(matches!(late, Err(AskError::Unsent(SendError::Closed))), "nothing was sent: {late:?}");
}

#[tokio::test]
async fn a_client_that_does_not_follow_is_closed_and_does_not_miss_a_change() {
    let place = Place::new();
    let (client, mut pushes, _inbox, outbox) = pair(&place).await;
    for epoch in 0..300 {
        let standing = Standing { epoch, ..Standing::default() };
        if outbox.send(&FromDaemon::Push(Push::Standing(standing))).await.is_err() {
            break;
        }
    }
    tokio::time::timeout(SOON, client.closed()).await.expect("in time");
    let mut next = 0;
    while let Some(Push::Standing(standing)) = pushes.recv().await {
        assert_eq!(standing.epoch, next);
        next += 1;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_left() {
    let place = Place::new();
    let (client, _pushes, _inbox, outbox) = pair(&place).await;
    // Nothing runs between these, so nobody reads: the queue is bounded.
    let params = serde_json::value::to_raw_value(&"x".repeat(1 << 20)).expect("JSON");
    let big: crate::anonymize::Fake<_> = serde_json::from_str(params.get()).expect("JSON");
    let message = FromDaemon::Push(Push::Progress { number: 1, params: big });
    let full = (0..1000).find_map(|_| outbox.push(&message).err());
    assert_eq!(full, Some(SendError::Full));
    drop(client);
}

/// What a client wrote, byte by byte, to a daemon that has this passphrase derived so.
async fn written(salted: Salted, ask: Ask) -> (Vec<u8>, Result<Reply, AskError>) {
    let place = Place::new();
    let listener = tokio::net::UnixListener::bind(&place.socket).expect("bound");
    let (socket, salt) = (place.socket.clone(), salted.clone());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let mut bytes = Vec::new();
        loop {
            let mut length = [0; 4];
            if stream.read_exact(&mut length).await.is_err() {
                return bytes;
            }
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut frame).await.expect("whole");
            bytes.extend(length.into_iter().chain(frame.iter().copied()));
            let answer = match serde_json::from_slice::<Hello>(&frame) {
                Ok(hello) => frame::encode(&welcome(&hello)),
                Err(_) => match serde_json::from_slice(&frame).expect("a question") {
                    ToDaemon::Ask { number, ask } if matches!(*ask, Ask::PassphraseSalt) => {
                        frame::encode(&answer(number, Reply::Salted(Some(salt.clone()))))
                    }
                    ToDaemon::Ask { number, .. } => frame::encode(&answer(number, Reply::Changed(1))),
                    other => panic!("{other:?}"),
                },
            };
            stream.write_all(&answer.expect("short")).await.expect("said");
        }
    });
    let (client, _pushes, _) = Client::connect(&socket, hello(), None).await.expect("connected");
    let replied = client.ask(ask).await;
    drop(client);
    let bytes = tokio::time::timeout(Duration::from_secs(30), serving).await.expect("the client hung up");
    (bytes.expect("joined"), replied)
}

#[tokio::test]
async fn the_passphrase_is_in_nothing_that_a_client_writes() {
    const TYPED: &str = "correct horse battery";
    let with_code = || {
        let mut challenge = Challenge::new(TYPED);
        challenge.code = Some("123456".to_owned());
        challenge
    };
    let salted = Salted::fresh();
    let key = Derived::new(&Secret::new(TYPED), &salted).expect("derived");
    for ask in [
        Ask::SetPassphrase { old: None, new: Challenge::new(TYPED) },
        Ask::SetPassphrase { old: Some(Challenge::new(TYPED)), new: Challenge::new(TYPED) },
        Ask::Approve { task: crate::names::TaskId::fresh(), challenge: Challenge::new(TYPED) },
        Ask::EnrollTotp { challenge: with_code() },
        Ask::Resume { challenge: with_code() },
    ] {
        let (mut same, shown) = (ask.clone(), format!("{ask:?}"));
        let proven = same.challenge_mut().is_some();
        let opens = same.opens_authenticator();
        let (bytes, replied) = written(salted.clone(), ask).await;
        assert!(matches!(replied, Ok(Reply::Changed(1))), "{shown}: {replied:?}");
        let text = String::from_utf8_lossy(&bytes);
        for part in [TYPED, "correct", "battery", &data_encoding::HEXLOWER.encode(TYPED.as_bytes())] {
            assert!(!text.contains(part), "{shown}: {text}");
        }
        assert_eq!(text.contains("\"proof\""), proven, "{shown}: {text}");
        if proven {
            assert_eq!(text.contains(key.opens().expose()), opens, "{shown}: only where something is opened");
        }
    }
}

#[tokio::test]
async fn a_terminal_derives_nothing_with_less_work_than_protects_the_passphrase() {
    let weak = Salted { memory: 8, rounds: 1, ..Salted::fresh() };
    let ask = Ask::Resume { challenge: Challenge::new("correct horse battery") };
    let (bytes, replied) = written(weak, ask).await;
    assert!(matches!(replied, Err(AskError::Refused(_))), "{replied:?}");
    assert!(!String::from_utf8_lossy(&bytes).contains("resume"), "nothing was sent");
}

#[test]
fn a_proof_is_made_for_one_question_on_one_connection() {
    let hello = hello();
    let (one, other) = (welcome(&hello).expect("made"), welcome(&hello).expect("made"));
    let (one, other) = (one.transcript(&hello), other.transcript(&hello));
    let grant = |pattern: &str, code: Option<&str>| {
        let mut challenge = Challenge::new("correct horse");
        challenge.code = code.map(str::to_owned);
        let pattern = pattern.parse().expect("a pattern");
        Ask::Grant { pattern, millis: 60_000, limits: crate::policy::Limits::default(), challenge }
    };
    let act = grant("a/b", None).act(&one).expect("said");
    let mut proven = grant("a/b", None);
    proven.challenge_mut().expect("one").prove("00".to_owned(), Some(Secret::new("11")));
    assert_eq!(proven.act(&one).expect("said"), act, "the proof is no part of it");
    let read: Ask = serde_json::from_slice(&serde_json::to_vec(&proven).expect("said")).expect("read");
    assert_eq!(read.act(&one).expect("said"), act, "both ends make the same of it");
    for (what, different) in [
        ("another connection", grant("a/b", None).act(&other)),
        ("another pattern", grant("a/*", None).act(&one)),
        ("another code", grant("a/b", Some("123456")).act(&one)),
    ] {
        assert_ne!(different.expect("said"), act, "{what}");
    }
}

/// A socket is left to a child while its parent becomes another program: what the child writes is no message of the
/// process that the system names.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_message_of_another_process_than_the_one_that_connected_ends_the_connection() {
    let place = Place::new();
    let listener = place.bind().await.expect("bound");
    let connected = tokio::net::UnixStream::connect(&place.socket).await.expect("connected");
    let accepted = listener.accept().await.expect("accepted");
    assert_eq!(accepted.process().pid, Some(std::process::id()));
    let greeting = frame::encode(&hello()).expect("short");
    let input =
        std::process::Stdio::from(std::os::fd::OwnedFd::from(connected.into_std().expect("a socket")));
    let mut child = std::process::Command::new("sh")
        .args(["-c", "printf '%b' \"$0\" >&0"])
        .arg(greeting.iter().map(|byte| format!("\\0{byte:03o}")).collect::<String>())
        .stdin(input)
        .spawn()
        .expect("it runs");
    let refused = accepted.greet("test", welcome).await.map(drop).expect_err("refused");
    assert!(refused.message.contains("with which there is no connection"), "{refused}");
    child.wait().expect("it ends");
}

/// A peer that speaks bytes.
async fn speak(place: &Place, words: &[&[u8]]) -> (Option<Incoming>, String, Vec<u8>) {
    let listener = place.bind().await.expect("bound");
    let words = words.concat();
    let socket = place.socket.clone();
    let peer = tokio::spawn(async move {
        let mut peer = tokio::net::UnixStream::connect(socket).await.expect("connected");
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_socket_passcred(&peer, true).expect("asked for");
        peer.write_all(&frame::encode(&hello()).expect("short")).await.expect("said");
        peer.write_all(&words).await.expect("said");
        let mut heard = Vec::new();
        let _ = tokio::time::timeout(SOON, peer.read_to_end(&mut heard)).await;
        heard
    });
    let accepted = listener.accept().await.expect("accepted");
    assert_eq!(accepted.process().pid, Some(std::process::id()));
    let Greeted { mut inbox, outbox, .. } = accepted.greet("test", welcome).await.expect("greeted");
    let incoming = inbox.next().await;
    let closing = outbox.closing().clone();
    let reason = if incoming.is_none() { closing.reason() } else { String::new() };
    drop((inbox, outbox));
    (incoming, reason, peer.await.expect("joined"))
}

fn text_frame(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

#[tokio::test]
async fn an_unknown_question_is_known_by_its_number() {
    let frame = text_frame(r#"{"ask":{"number":7,"ask":{"dance":{"how":"well"}}}}"#);
    let (incoming, _, _) = speak(&Place::new(), &[&frame]).await;
    assert!(matches!(incoming, Some(Incoming::Unknown { number: 7 })));
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let frame = text_frame(r#"{"withdraw":{"number":7,"mood":"sad"}}"#);
    let (incoming, _, _) = speak(&Place::new(), &[&frame]).await;
    assert!(matches!(incoming, Some(Incoming::Message(ToDaemon::Withdraw { number: 7 }))));
}

#[tokio::test]
async fn nonsense_ends_the_connection_with_a_reason() {
    for nonsense in [text_frame("{"), text_frame(r#"{"dance":1}"#), vec![0xff; 8], text_frame("\u{1}")] {
        let (incoming, reason, heard) = speak(&Place::new(), &[&nonsense]).await;
        assert!(incoming.is_none());
        assert!(reason.contains("that is no message"), "{reason}");
        assert!(String::from_utf8_lossy(&heard).contains("that is no message"), "the peer is told");
    }
}

#[tokio::test]
async fn another_version_is_sent_away_with_advice() {
    for (protocol, advice) in [(PROTOCOL + 1, "restart the daemon"), (PROTOCOL - 1, "upgrade this program")] {
        let place = Place::new();
        let listener = place.bind().await.expect("bound");
        let greeting = tokio::spawn(async move {
            let accepted = listener.accept().await.expect("accepted");
            accepted.greet("test", welcome).await.map(drop)
        });
        let probed = probe(&place.socket, Hello { protocol, ..hello() }, None).await;
        let Probe::NeedsRestart(failure) = probed else { panic!("{probed:?}") };
        assert_eq!(failure.kind, FailureKind::Version);
        assert!(failure.hint.expect("a hint").contains(advice));
        assert!(greeting.await.expect("joined").is_err());
    }
}

#[tokio::test]
async fn a_daemon_is_believed_only_where_it_shows_that_it_keeps_the_store_that_is_expected() {
    let (expected, other) = (StoreKey::of_store(&[1; 32]), StoreKey::of_store(&[2; 32]));
    type Says = fn(&Hello) -> Result<Welcome, Failure>;
    let forged: [(&str, Says); 5] = [
        ("keeps another store", |hello| {
            Ok(Welcome::sign(hello, &StoreKey::of_store(&[2; 32]), "test".into(), "open".into()))
        }),
        ("names the store without its key", |hello| {
            let own = Welcome::sign(hello, &StoreKey::of_store(&[2; 32]), "test".into(), "open".into());
            Ok(Welcome { store: StoreKey::of_store(&[1; 32]).id().clone(), ..own })
        }),
        ("passes on what another connection was told", |hello| {
            welcome(&Hello { nonce: Nonce::fresh(), ..hello.clone() })
        }),
        ("passes on what another process signed", |hello| {
            let pid = std::process::id() + 1;
            let own = Welcome { pid, ..welcome(hello)? };
            let signature = StoreKey::of_store(&[1; 32]).sign(&own.transcript(hello));
            Ok(Welcome { signature, ..own })
        }),
        ("says that something else was confirmed", |hello| {
            Ok(Welcome { confirmed: "other".into(), ..welcome(hello)? })
        }),
    ];
    let connect = async |store: &StoreId, says: Says| {
        let place = Place::new();
        let listener = place.bind().await.expect("bound");
        let greeted = tokio::spawn(async move {
            let accepted = listener.accept().await.expect("accepted");
            accepted.greet("test", says).await
        });
        let connected = Client::connect(&place.socket, hello(), Some(store)).await;
        let _greeted = greeted.await.expect("joined").expect("greeted");
        connected.map(drop)
    };
    connect(expected.id(), welcome).await.expect("believed");
    for (what, says) in forged {
        let refused = connect(expected.id(), says).await;
        assert!(matches!(refused, Err(ConnectError::OtherStore(_))), "{what}: {refused:?}");
    }
    assert!(matches!(connect(other.id(), welcome).await, Err(ConnectError::OtherStore(_))));
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_stays() {
    let place = Place::new();
    let first = place.bind().await.expect("bound");
    assert!(matches!(place.bind().await, Err(BindError::Running)));
    let greeting = tokio::spawn(async move {
        let accepted = first.accept().await.expect("accepted");
        accepted.greet("test", welcome).await.map(drop)
    });
    assert!(matches!(probe(&place.socket, hello(), None).await, Probe::Ready(_)));
    greeting.await.expect("joined").expect("greeted");
}

#[tokio::test]
async fn a_live_socket_is_never_stolen_even_without_its_lock() {
    let place = Place::new();
    let _first = place.bind().await.expect("bound");
    let other_lock = place.lock.with_extension("other");
    let other_lock = Lock::take(&other_lock).expect("free");
    assert!(matches!(Listener::bind(&place.socket, other_lock).await, Err(BindError::Running)));
    assert!(place.socket.exists());
}

#[tokio::test]
async fn a_listener_that_retires_keeps_others_out_until_its_lock_is_gone() {
    let place = Place::new();
    let lock = place.bind().await.expect("bound").retire();
    assert!(matches!(probe(&place.socket, hello(), None).await, Probe::Unreachable(ConnectError::Absent(_))));
    assert!(matches!(place.bind().await, Err(BindError::Running)));
    drop(lock);
    place.bind().await.expect("the lock is free");
}

#[cfg(unix)]
#[tokio::test]
async fn a_dead_socket_is_replaced_and_the_file_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(&place.socket).expect("bound"));
    assert!(matches!(probe(&place.socket, hello(), None).await, Probe::Unreachable(ConnectError::Absent(_))));
    let listener = place.bind().await.expect("bound over the dead one");
    let mode = std::fs::metadata(&place.socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(listener);
    assert!(!place.socket.exists(), "the socket goes with its daemon");
    place.bind().await.expect("the lock went too");
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_others_can_enter_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let directory = place.socket.parent().expect("parent");
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("set");
    assert!(matches!(place.bind().await, Err(BindError::System(..))));
}

//! Both ends together, over a real socket in a directory of its own.

mod every_request;
mod socket_path;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::request::{opens_authenticator, proof_input};
use super::requests::approvals::ApproveTask;
use super::requests::auth::{EnrollTotp, GetPassphraseSalt, SetPassphrase};
use super::requests::config::ConfirmConfig;
use super::requests::daemon::GetStatus;
use super::requests::overrides::{CreateGrant, Resume, RevokeGrants};
use super::requests::sessions::{ForwardCall, SubmitCall, SubscribeOverrides};
use super::*;
use crate::names::{Principal, SessionId};
use crate::passphrase::{KdfParams, PassphraseKey};
use crate::policy::Overrides;
use crate::secret::Secret;
use crate::store_identity::{Nonce, StoreId, StoreKey};

const TEST_TIMEOUT: Duration = Duration::from_secs(10);

struct SocketFixture {
    _directory: TempDir,
    socket: PathBuf,
    lock: PathBuf,
}

impl SocketFixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temp dir");
        #[cfg(unix)]
        std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("set");
        let (socket, lock) = (directory.path().join("s"), directory.path().join("lock"));
        Self { _directory: directory, socket, lock }
    }

    async fn bind(&self) -> Result<DaemonListener, BindError> {
        DaemonListener::bind(&self.socket, DaemonLock::acquire(&self.lock)?).await
    }
}

fn session_hello() -> Hello {
    let peer = PeerRole::Session {
        id: SessionId::fresh(),
        agent_session: None,
        principal: Principal::from_project("/project".as_ref()),
        directory: "/project".into(),
    };
    Hello {
        protocol: PROTOCOL_VERSION,
        build: "1".into(),
        config: "/config".into(),
        peer,
        nonce: Nonce::default(),
    }
}

fn sign_welcome(hello: &Hello) -> Result<Welcome, DaemonFailure> {
    Ok(Welcome::sign(hello, &StoreKey::from_store_key(&[1; 32]), "test".into(), "open".into()))
}

/// Listens, and welcomes one client.
async fn connected_pair(
    place: &SocketFixture,
) -> (IpcClient, tokio::sync::mpsc::Receiver<PushMessage>, MessageReceiver, MessageSender) {
    let listener = place.bind().await.expect("bound");
    let greeted: JoinHandle<_> = tokio::spawn(async move {
        let accepted = listener.accept().await.expect("accepted");
        accepted.greet_peer("test", sign_welcome).await.expect("greeted")
    });
    let (client, pushes, _) =
        IpcClient::connect(&place.socket, session_hello(), None).await.expect("connected");
    let GreetedPeer { receiver: inbox, sender: outbox, .. } = greeted.await.expect("greeted");
    (client, pushes, inbox, outbox)
}

async fn next_request(inbox: &mut MessageReceiver) -> (u64, RawRequest) {
    match tokio::time::timeout(TEST_TIMEOUT, inbox.next_message()).await.expect("in time") {
        Some(ToDaemon::Request { number, request }) => (number, request),
        other => panic!("expected a request, not {other:?}"),
    }
}

fn answer_message<T: Response>(number: u64, response: &T) -> FromDaemon {
    FromDaemon::Response { number, result: Ok(WipedJson::new(response).expect("JSON")) }
}

fn read<T: serde::de::DeserializeOwned>(json: &serde_json::Value) -> T {
    serde_json::from_str(&json.to_string()).expect("read")
}

fn call() -> crate::call::Call {
    read(&json!({"tool": "s/t", "method": "tools/call", "params": {"name": "t", "arguments": {"n": 1}}}))
}

fn client_name() -> crate::anonymize::Fake<String> {
    read(&json!("c"))
}

#[test]
fn raw_json_keeps_its_bytes_through_every_message_that_holds_some() {
    let odd = r#"{"z":1.10,"n":1234567890123456789012345678901234567890,"a":[ 1e5 ,{"b":"\u0041"}]}"#;
    let reads_back = |text: String| {
        let message: FromDaemon = serde_json::from_str(&text).expect(&text);
        assert_eq!(serde_json::to_string(&message).expect("said"), text);
    };
    reads_back(format!(r#"{{"response":{{"number":1,"result":{{"Ok":{odd}}}}}}}"#));
    reads_back(format!(r#"{{"push":{{"progress":{{"number":1,"params":{odd}}}}}}}"#));
    reads_back(format!(r#"{{"push":{{"notification":{{"server":"s","method":"m","params":{odd}}}}}}}"#));
    reads_back(
        r#"{"response":{"number":1,"result":{"Err":{"kind":"refused","message":"no","hint":null}}}}"#.into(),
    );
    let params = format!(r#"{{"name":"t","arguments":{odd}}}"#);
    let call = format!(r#"{{"tool":"s/t","method":"tools/call","params":{params}}}"#);
    keeps::<SubmitCall>(&format!(r#"{{"call":{call},"client":"c"}}"#));
    keeps::<ForwardCall>(&format!(r#"{{"call":{call},"client":"c","progress":true}}"#));
    let result = format!(r#"{{"result":{odd}}}"#);
    let response: ForwardedCall = serde_json::from_str(&result).expect(&result);
    assert_eq!(serde_json::to_string(&response).expect("said"), result);
    let listing: crate::json::RawJson = serde_json::from_str(odd).expect(odd);
    assert_eq!(serde_json::to_string(&listing).expect("said"), odd);
}

/// The params come through the message, and through the request's own type, byte for byte.
fn keeps<R: Request>(params: &str) {
    let method = R::METHOD;
    let text = format!(r#"{{"request":{{"number":1,"request":{{"method":"{method}","params":{params}}}}}}}"#);
    let message: ToDaemon = serde_json::from_str(&text).expect(&text);
    assert_eq!(serde_json::to_string(&message).expect("said"), text);
    let ToDaemon::Request { request, .. } = message else { panic!("{message:?}") };
    let hello = session_hello();
    let transcript = sign_welcome(&hello).expect("made").transcript(&hello);
    let typed: R = request.parse(&transcript).expect(params);
    assert_eq!(serde_json::to_string(&typed).expect("said"), params);
}

#[test]
fn a_passphrase_does_not_print_itself() {
    let mut challenge = Challenge::new("hunter2");
    challenge.code = Some("123456".to_owned());
    let shown = format!("{:?}", SetPassphrase { old: None, new: challenge });
    assert!(!shown.contains("hunter2") && !shown.contains("123456"), "{shown}");
    let secret = DisclosedSecret::from(Secret::new("GEZDGNBV"));
    let shown = format!("{secret:?}");
    assert!(!shown.contains("GEZDGNBV"), "{shown}");
    let params = WipedJson::new(&json!({"code": "123456"})).expect("JSON");
    assert_eq!(format!("{params:?}"), "WipedJson(…)");
    let request = ToDaemon::Request { number: 1, request: RawRequest { method: "m".to_owned(), params } };
    assert!(!format!("{request:?}").contains("123456"), "{request:?}");
    let response = answer_message(1, &secret);
    assert!(!format!("{response:?}").contains("GEZDGNBV"), "{response:?}");
}

#[tokio::test]
async fn a_request_beyond_the_limit_waits_for_room() {
    let place = SocketFixture::new();
    let (client, _pushes, mut inbox, outbox) = connected_pair(&place).await;
    let mut asking: Vec<_> = (0..=MAX_OPEN_REQUESTS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.request(SubscribeOverrides).await.map(drop) })
        })
        .collect();
    for _ in 0..MAX_OPEN_REQUESTS {
        next_request(&mut inbox).await;
    }
    let early = tokio::time::timeout(Duration::from_millis(50), inbox.next_message()).await;
    assert!(early.is_err(), "one more was asked: {early:?}");
    let standing = Overrides::default();
    outbox.send(&answer_message(1, &standing)).await.expect("room");
    let (number, _) = next_request(&mut inbox).await;
    outbox.send(&answer_message(number, &standing)).await.expect("room");
    let last = asking.pop().expect("it was asked");
    tokio::time::timeout(TEST_TIMEOUT, last).await.expect("in time").expect("no panic").expect("answered");
    asking.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn responses_find_their_requests_in_any_order() {
    let place = SocketFixture::new();
    let (client, _pushes, mut inbox, outbox) = connected_pair(&place).await;
    let (one, two) = (client.clone(), client.clone());
    let revoking =
        tokio::spawn(async move { one.request(RevokeGrants { which: GrantSelection::All }).await });
    let confirm = ConfirmConfig { shown: String::new(), challenge: Challenge::default() };
    let confirming = tokio::spawn(async move { two.request(confirm).await });
    let (one, two) = (next_request(&mut inbox).await, next_request(&mut inbox).await);
    for (number, request) in [two, one] {
        let changed: u64 = if request.method == RevokeGrants::METHOD { 1 } else { 2 };
        outbox.send(&answer_message(number, &changed)).await.expect("sent");
    }
    assert!(matches!(revoking.await.expect("joined"), Ok(1)));
    assert!(matches!(confirming.await.expect("joined"), Ok(2)));
}

#[tokio::test]
async fn a_response_of_another_type_is_named_with_its_method_and_ends_nothing() {
    let place = SocketFixture::new();
    let (client, _pushes, mut inbox, outbox) = connected_pair(&place).await;
    let asking = {
        let client = client.clone();
        tokio::spawn(async move { client.request(RevokeGrants { which: GrantSelection::All }).await })
    };
    let (number, _) = next_request(&mut inbox).await;
    outbox.send(&answer_message(number, &true)).await.expect("sent");
    let unreadable = asking.await.expect("joined").expect_err("it is no number");
    assert!(
        matches!(&unreadable, RequestError::Unreadable { method: RevokeGrants::METHOD, .. }),
        "{unreadable:?}"
    );
    assert!(!client.is_closed());
}

#[tokio::test]
async fn a_request_whose_future_is_dropped_is_withdrawn() {
    let place = SocketFixture::new();
    let (client, _pushes, mut inbox, _outbox) = connected_pair(&place).await;
    let asking = tokio::spawn(async move { client.request(GetStatus).await.is_ok() });
    let (number, _) = next_request(&mut inbox).await;
    asking.abort();
    let next = tokio::time::timeout(TEST_TIMEOUT, inbox.next_message()).await.expect("in time");
    assert!(matches!(next, Some(ToDaemon::Withdraw { number: n }) if n == number));
}

#[tokio::test]
async fn progress_comes_in_order_and_before_the_response() {
    let place = SocketFixture::new();
    let (client, _pushes, mut inbox, outbox) = connected_pair(&place).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: ForwardProgressSink =
        Arc::new(move |params| sink.lock().expect("whole").push(params.get().get().to_owned()));
    let forward = ForwardCall { call: call(), client: client_name(), progress: true, log_level: None };
    let asking = tokio::spawn(async move { client.forward(&forward, Some(progress)).await });
    let (number, _) = next_request(&mut inbox).await;
    for step in ["1", "2", "3"] {
        let params = serde_json::from_str(step).expect("JSON");
        outbox.try_send(&FromDaemon::Push(PushMessage::Progress { number, params })).expect("room");
    }
    outbox.send(&answer_message(number, &ForwardedCall::Result(read(&json!({}))))).await.expect("sent");
    asking.await.expect("joined").expect("answered");
    assert_eq!(*seen.lock().expect("whole"), ["1", "2", "3"]);
}

#[tokio::test]
async fn whoever_waits_learns_that_the_daemon_is_gone() {
    let place = SocketFixture::new();
    let (client, mut pushes, mut inbox, outbox) = connected_pair(&place).await;
    let asking = {
        let client = client.clone();
        tokio::spawn(async move { client.request(GetStatus).await })
    };
    next_request(&mut inbox).await;
    outbox.connection_end().close("the test ends it");
    drop((inbox, outbox));
    assert!(matches!(asking.await.expect("joined"), Err(RequestError::Closed(_))));
    tokio::time::timeout(TEST_TIMEOUT, client.wait_until_closed()).await.expect("in time");
    assert!(pushes.recv().await.is_none());
    let late = client.request(GetStatus).await;
    assert!(matches!(late, Err(RequestError::Unsent(SendError::Closed))), "nothing was sent: {late:?}");
}

#[tokio::test]
async fn a_client_that_does_not_follow_is_closed_and_does_not_miss_a_change() {
    let place = SocketFixture::new();
    let (client, mut pushes, _inbox, outbox) = connected_pair(&place).await;
    for epoch in 0..300 {
        let standing = Overrides { epoch, ..Overrides::default() };
        if outbox.send(&FromDaemon::Push(PushMessage::Standing(standing))).await.is_err() {
            break;
        }
    }
    tokio::time::timeout(TEST_TIMEOUT, client.wait_until_closed()).await.expect("in time");
    let mut next = 0;
    while let Some(PushMessage::Standing(standing)) = pushes.recv().await {
        assert_eq!(standing.epoch, next);
        next += 1;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_left() {
    let place = SocketFixture::new();
    let (client, _pushes, _inbox, outbox) = connected_pair(&place).await;
    // Nothing runs between these, so nobody reads: the queue is bounded.
    let params = serde_json::value::to_raw_value(&"x".repeat(1 << 20)).expect("JSON");
    let big: crate::anonymize::Fake<_> = serde_json::from_str(params.get()).expect("JSON");
    let message = FromDaemon::Push(PushMessage::Progress { number: 1, params: big });
    let full = (0..1000).find_map(|_| outbox.try_send(&message).err());
    assert_eq!(full, Some(SendError::Full));
    drop(client);
}

/// What a client wrote, byte by byte, to a daemon that has this passphrase derived so.
async fn record_request<R: Request>(
    salted: KdfParams,
    request: R,
    response: R::Response,
) -> (Vec<u8>, Result<R::Response, RequestError>) {
    let place = SocketFixture::new();
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
                Ok(hello) => frame::encode_frame(&sign_welcome(&hello)),
                Err(_) => match serde_json::from_slice(&frame).expect("a request") {
                    ToDaemon::Request { number, request } if request.method == GetPassphraseSalt::METHOD => {
                        frame::encode_frame(&answer_message(number, &Some(salt.clone())))
                    }
                    ToDaemon::Request { number, .. } => {
                        frame::encode_frame(&answer_message(number, &response))
                    }
                    other => panic!("{other:?}"),
                },
            };
            stream.write_all(&answer.expect("short")).await.expect("said");
        }
    });
    let (client, _pushes, _) = IpcClient::connect(&socket, session_hello(), None).await.expect("connected");
    let replied = client.request(request).await;
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
    let principal = Principal::from_project("/project".as_ref());
    let (session, client, directory) = (SessionId::fresh(), client_name(), PathBuf::from("/project"));
    let origin = crate::task::CallOrigin { principal, session, agent_session: None, client, directory };
    let approved = crate::pipeline::test_support::make_task(call(), origin, crate::task::TaskState::Approved);
    let new = || Challenge::new(TYPED);
    let set = |old: Option<Challenge>| SetPassphrase { old, new: new() };
    let approve = ApproveTask { task: approved.id, fresh: false, challenge: new() };
    holds_no_part_of(TYPED, set(None), ()).await;
    holds_no_part_of(TYPED, set(Some(new())), ()).await;
    holds_no_part_of(TYPED, approve, Box::new(approved)).await;
    holds_no_part_of(TYPED, EnrollTotp { challenge: with_code() }, Vec::new()).await;
    holds_no_part_of(TYPED, Resume { challenge: with_code() }, true).await;
}

async fn holds_no_part_of<R: Request>(typed: &str, request: R, response: R::Response) {
    let salted = KdfParams::fresh();
    let key = PassphraseKey::new(&Secret::new(typed), &salted).expect("derived");
    let (mut same, shown) = (request.clone(), format!("{request:?}"));
    let proven = same.challenge_mut().is_some();
    let opens = opens_authenticator(&mut same);
    let (bytes, replied) = record_request(salted, request, response).await;
    assert!(replied.is_ok(), "{shown}: {replied:?}");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(R::METHOD), "{shown}: {text}");
    for part in [typed, "correct", "battery", &data_encoding::HEXLOWER.encode(typed.as_bytes())] {
        assert!(!text.contains(part), "{shown}: {text}");
    }
    assert_eq!(text.contains("\"proof\""), proven, "{shown}: {text}");
    if proven {
        assert_eq!(
            text.contains(key.sealing_key().expose()),
            opens,
            "{shown}: only where something is opened"
        );
    }
}

#[tokio::test]
async fn a_terminal_derives_nothing_with_less_work_than_protects_the_passphrase() {
    let weak = KdfParams { memory: 8, rounds: 1, ..KdfParams::fresh() };
    let ask = Resume { challenge: Challenge::new("correct horse battery") };
    let (bytes, replied) = record_request(weak, ask, true).await;
    assert!(matches!(replied, Err(RequestError::Refused(_))), "{replied:?}");
    assert!(!String::from_utf8_lossy(&bytes).contains(Resume::METHOD), "nothing was sent");
}

#[test]
fn a_proof_is_made_for_one_request_on_one_connection() {
    let hello = session_hello();
    let (one, other) = (sign_welcome(&hello).expect("made"), sign_welcome(&hello).expect("made"));
    let (one, other) = (one.transcript(&hello), other.transcript(&hello));
    let grant = |pattern: &str, code: Option<&str>| {
        let mut challenge = Challenge::new("correct horse");
        challenge.code = code.map(str::to_owned);
        let pattern = pattern.parse().expect("a pattern");
        CreateGrant {
            pattern,
            millis: 60_000,
            limits: crate::policy::GrantLimits::default(),
            run_waiting: Vec::new(),
            challenge,
        }
    };
    let act = proof_input(&grant("a/b", None), &one).expect("said");
    let mut proven = grant("a/b", None);
    proven.challenge_mut().expect("one").set_proof("00".to_owned(), Some(Secret::new("11")));
    assert_eq!(proof_input(&proven, &one).expect("said"), act, "the proof is no part of it");
    let params = WipedJson::new(&proven).expect("said");
    let raw = RawRequest { method: CreateGrant::METHOD.to_owned(), params };
    let read: CreateGrant = raw.parse(&one).expect("read");
    assert_eq!(proof_input(&read, &one).expect("said"), act, "both ends make the same of it");
    let (resume, offer) = (Challenge::new("x"), Challenge::new("x"));
    let resume = proof_input(&Resume { challenge: resume }, &one).expect("said");
    let offer = proof_input(&requests::auth::OfferTotp { challenge: offer }, &one).expect("said");
    assert_ne!(resume, offer, "the same params of another method");
    for (what, different) in [
        ("another connection", proof_input(&grant("a/b", None), &other)),
        ("another pattern", proof_input(&grant("a/*", None), &one)),
        ("another code", proof_input(&grant("a/b", Some("123456")), &one)),
    ] {
        assert_ne!(different.expect("said"), act, "{what}");
    }
}

/// A socket is left to a child while its parent becomes another program: what the child writes is no message of the
/// process that the system names.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_message_of_another_process_than_the_one_that_connected_ends_the_connection() {
    let place = SocketFixture::new();
    let listener = place.bind().await.expect("bound");
    let connected = tokio::net::UnixStream::connect(&place.socket).await.expect("connected");
    let accepted = listener.accept().await.expect("accepted");
    assert_eq!(accepted.process().pid, Some(std::process::id()));
    let greeting = frame::encode_frame(&session_hello()).expect("short");
    let input =
        std::process::Stdio::from(std::os::fd::OwnedFd::from(connected.into_std().expect("a socket")));
    let mut child = std::process::Command::new("sh")
        .args(["-c", "printf '%b' \"$0\" >&0"])
        .arg(greeting.iter().map(|byte| format!("\\0{byte:03o}")).collect::<String>())
        .stdin(input)
        .spawn()
        .expect("it runs");
    let refused = accepted.greet_peer("test", sign_welcome).await.map(drop).expect_err("refused");
    assert!(refused.message.contains("with which there is no connection"), "{refused}");
    child.wait().expect("it ends");
}

/// A peer that speaks bytes.
async fn send_raw_words(place: &SocketFixture, words: &[&[u8]]) -> (Option<ToDaemon>, String, Vec<u8>) {
    let listener = place.bind().await.expect("bound");
    let words = words.concat();
    let socket = place.socket.clone();
    let peer = tokio::spawn(async move {
        let mut peer = tokio::net::UnixStream::connect(socket).await.expect("connected");
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_socket_passcred(&peer, true).expect("asked for");
        peer.write_all(&frame::encode_frame(&session_hello()).expect("short")).await.expect("said");
        peer.write_all(&words).await.expect("said");
        let mut heard = Vec::new();
        let _ = tokio::time::timeout(TEST_TIMEOUT, peer.read_to_end(&mut heard)).await;
        heard
    });
    let accepted = listener.accept().await.expect("accepted");
    assert_eq!(accepted.process().pid, Some(std::process::id()));
    let GreetedPeer { mut receiver, sender, .. } =
        accepted.greet_peer("test", sign_welcome).await.expect("greeted");
    let incoming = receiver.next_message().await;
    let closing = sender.connection_end().clone();
    let reason = if incoming.is_none() { closing.reason() } else { String::new() };
    drop((receiver, sender));
    (incoming, reason, peer.await.expect("joined"))
}

fn text_frame(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

#[tokio::test]
async fn an_unknown_request_is_known_by_its_number() {
    let request = r#"{"method":"dance","params":{"how":"well"}}"#;
    let frame = text_frame(&format!(r#"{{"request":{{"number":7,"request":{request}}}}}"#));
    let (incoming, _, _) = send_raw_words(&SocketFixture::new(), &[&frame]).await;
    let Some(ToDaemon::Request { number: 7, request }) = incoming else { panic!("{incoming:?}") };
    assert_eq!((request.method.as_str(), request.params.get()), ("dance", r#"{"how":"well"}"#));
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let frame = text_frame(r#"{"withdraw":{"number":7,"mood":"sad"}}"#);
    let (incoming, _, _) = send_raw_words(&SocketFixture::new(), &[&frame]).await;
    assert!(matches!(incoming, Some(ToDaemon::Withdraw { number: 7 })));
}

#[tokio::test]
async fn nonsense_ends_the_connection_with_a_reason() {
    for nonsense in [text_frame("{"), text_frame(r#"{"dance":1}"#), vec![0xff; 8], text_frame("\u{1}")] {
        let (incoming, reason, heard) = send_raw_words(&SocketFixture::new(), &[&nonsense]).await;
        assert!(incoming.is_none());
        assert!(reason.contains("that is no message"), "{reason}");
        assert!(String::from_utf8_lossy(&heard).contains("that is no message"), "the peer is told");
    }
}

#[tokio::test]
async fn another_version_is_sent_away_with_advice() {
    for (protocol, advice) in
        [(PROTOCOL_VERSION + 1, "restart the daemon"), (PROTOCOL_VERSION - 1, "upgrade this program")]
    {
        let place = SocketFixture::new();
        let listener = place.bind().await.expect("bound");
        let greeting = tokio::spawn(async move {
            let accepted = listener.accept().await.expect("accepted");
            accepted.greet_peer("test", sign_welcome).await.map(drop)
        });
        let probed = probe_daemon(&place.socket, Hello { protocol, ..session_hello() }, None).await;
        let ProbeResult::NeedsRestart(failure) = probed else { panic!("{probed:?}") };
        assert_eq!(failure.kind, FailureKind::Version);
        assert!(failure.hint.expect("a hint").contains(advice));
        assert!(greeting.await.expect("joined").is_err());
    }
}

#[tokio::test]
async fn a_daemon_is_believed_only_where_it_shows_that_it_keeps_the_store_that_is_expected() {
    let (expected, other) = (StoreKey::from_store_key(&[1; 32]), StoreKey::from_store_key(&[2; 32]));
    type Says = fn(&Hello) -> Result<Welcome, DaemonFailure>;
    let forged: [(&str, Says); 5] = [
        ("keeps another store", |hello| {
            Ok(Welcome::sign(hello, &StoreKey::from_store_key(&[2; 32]), "test".into(), "open".into()))
        }),
        ("names the store without its key", |hello| {
            let own = Welcome::sign(hello, &StoreKey::from_store_key(&[2; 32]), "test".into(), "open".into());
            Ok(Welcome { store: StoreKey::from_store_key(&[1; 32]).id().clone(), ..own })
        }),
        ("passes on what another connection was told", |hello| {
            sign_welcome(&Hello { nonce: Nonce::fresh(), ..hello.clone() })
        }),
        ("passes on what another process signed", |hello| {
            let pid = std::process::id() + 1;
            let own = Welcome { pid, ..sign_welcome(hello)? };
            let signature = StoreKey::from_store_key(&[1; 32]).sign(&own.transcript(hello));
            Ok(Welcome { signature, ..own })
        }),
        ("says that something else was confirmed", |hello| {
            Ok(Welcome { confirmed: "other".into(), ..sign_welcome(hello)? })
        }),
    ];
    let connect = async |store: &StoreId, says: Says| {
        let place = SocketFixture::new();
        let listener = place.bind().await.expect("bound");
        let greeted = tokio::spawn(async move {
            let accepted = listener.accept().await.expect("accepted");
            accepted.greet_peer("test", says).await
        });
        let connected = IpcClient::connect(&place.socket, session_hello(), Some(store)).await;
        let _greeted = greeted.await.expect("joined").expect("greeted");
        connected.map(drop)
    };
    connect(expected.id(), sign_welcome).await.expect("believed");
    for (what, says) in forged {
        let refused = connect(expected.id(), says).await;
        assert!(matches!(refused, Err(ConnectError::OtherStore(_))), "{what}: {refused:?}");
    }
    assert!(matches!(connect(other.id(), sign_welcome).await, Err(ConnectError::OtherStore(_))));
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_stays() {
    let place = SocketFixture::new();
    let first = place.bind().await.expect("bound");
    assert!(matches!(place.bind().await, Err(BindError::Running)));
    let greeting = tokio::spawn(async move {
        let accepted = first.accept().await.expect("accepted");
        accepted.greet_peer("test", sign_welcome).await.map(drop)
    });
    assert!(matches!(probe_daemon(&place.socket, session_hello(), None).await, ProbeResult::Ready(_)));
    greeting.await.expect("joined").expect("greeted");
}

#[tokio::test]
async fn a_live_socket_is_never_stolen_even_without_its_lock() {
    let place = SocketFixture::new();
    let _first = place.bind().await.expect("bound");
    let other_lock = place.lock.with_extension("other");
    let other_lock = DaemonLock::acquire(&other_lock).expect("free");
    assert!(matches!(DaemonListener::bind(&place.socket, other_lock).await, Err(BindError::Running)));
    assert!(place.socket.exists());
}

#[tokio::test]
async fn a_listener_that_retires_keeps_others_out_until_its_lock_is_gone() {
    let place = SocketFixture::new();
    let lock = place.bind().await.expect("bound").stop_listening();
    assert!(matches!(
        probe_daemon(&place.socket, session_hello(), None).await,
        ProbeResult::Unreachable(ConnectError::Absent(_))
    ));
    assert!(matches!(place.bind().await, Err(BindError::Running)));
    drop(lock);
    place.bind().await.expect("the lock is free");
}

#[cfg(unix)]
#[tokio::test]
async fn a_dead_socket_is_replaced_and_the_file_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = SocketFixture::new();
    drop(std::os::unix::net::UnixListener::bind(&place.socket).expect("bound"));
    assert!(matches!(
        probe_daemon(&place.socket, session_hello(), None).await,
        ProbeResult::Unreachable(ConnectError::Absent(_))
    ));
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
    let place = SocketFixture::new();
    let directory = place.socket.parent().expect("parent");
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("set");
    assert!(matches!(place.bind().await, Err(BindError::System(..))));
}

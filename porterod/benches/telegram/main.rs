//! What Portero adds to a decision on Telegram, measured against a fake one on loopback.
//!
//! `cargo bench -p porterod --bench telegram` prints, over 400 calls one after another, how long it takes from
//! the agent's question until its card is on the wire, and from a tap until the approved call reaches its server,
//! which runs already. The pace that Telegram asks for (a message a second) is off, and so is its network.
//! `-- --calls N` makes other than 400. `docs/performance.md` says what the figures mean.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

mod child;
#[allow(unused_imports, reason = "a part of it is used here")]
#[path = "../../tests/telegram/fake_telegram/mod.rs"]
mod fake_telegram;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_telegram::{FakeTelegram, ShownMessage, TOKEN};
use portero::clock::SystemClock;
use portero::ipc::requests::sessions::SubmitCall;
use portero::ipc::{Hello, IpcClient, PROTOCOL_VERSION, PeerRole};
use portero::names::{Principal, SessionId};
use portero::paths::Paths;
use portero::store_identity::Nonce;
use portero::task::Task;
use porterod::app::{App, AppDeps};
use porterod::telegram::sender::SendTiming;
use porterod::telegram::supervisor::TelegramTiming;
use serde_json::{Value, json};

const CALL_COUNT: usize = 400;
/// Calls before those that are measured.
const WARMUP_CALLS: usize = 20;
const JANE: i64 = 501;

fn main() {
    if std::env::var_os(child::RECORD_VARIABLE).is_some() {
        return child::run_server();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return; // `cargo test --benches` asks whether it starts
    }
    let mut after = arguments.iter().skip_while(|argument| *argument != "--calls").skip(1);
    let calls = after.next().map_or(CALL_COUNT, |count| count.parse().expect("a number of calls"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut shown, mut ran) = runtime.block_on(measure(calls));
    println!("{calls} calls, one after another");
    println!("{:<44}{:>10}{:>10}", "", "p50, ms", "p99, ms");
    print_row("from the question to its card on the wire", &mut shown);
    print_row("from the tap to the call at its server", &mut ran);
}

fn print_row(name: &str, figures: &mut [Duration]) {
    figures.sort_unstable();
    let at = |part: usize| figures[(figures.len() * part / 100).min(figures.len() - 1)].as_secs_f64() * 1e3;
    println!("{name:<44}{:>10.2}{:>10.2}", at(50), at(99));
}

async fn measure(calls: usize) -> (Vec<Duration>, Vec<Duration>) {
    let directory = tempfile::tempdir().unwrap();
    let telegram = FakeTelegram::start().await;
    telegram.send_text(JANE, "/start");
    let app = start(directory.path(), &telegram).await;
    let agent = connect(directory.path()).await;
    let (mut shown, mut ran) = (Vec::new(), Vec::new());
    for n in 0..WARMUP_CALLS + calls {
        let began = Instant::now();
        let task = submit(&agent, n).await;
        let card = telegram.wait_until("a card", |it| card(it, &task)).await;
        let sent = telegram.calls("sendMessage").last().expect("it was sent").at;
        let tapped = child::unix_nanos();
        telegram.press(JANE, card.id, "✅ Approve");
        telegram.wait_until("the outcome", |it| outcome(it, &task)).await;
        if n >= WARMUP_CALLS {
            shown.push(sent.duration_since(began));
            let nanos = last_call(directory.path()).saturating_sub(tapped);
            ran.push(Duration::from_nanos(u64::try_from(nanos).unwrap()));
        }
    }
    app.shutdown().await;
    (shown, ran)
}

async fn start(directory: &Path, telegram: &FakeTelegram) -> App {
    for name in ["config", "home", "project"] {
        std::fs::create_dir(directory.join(name)).unwrap();
    }
    let write =
        |name: &str, value: Value| std::fs::write(directory.join("config").join(name), value.to_string());
    let settings = json!({"token": TOKEN, "apiUrl": telegram.api_url(), "admin": JANE});
    write("portero.json", json!({"telegram": settings})).unwrap();
    let env = json!({child::RECORD_VARIABLE: directory.join("record")});
    let server =
        json!({"name": "notes", "stateless": true, "command": std::env::current_exe().unwrap(), "env": env});
    write("mcps.json", json!({"mcps": [server]})).unwrap();
    let replacement = json!({"fake": "John Doe", "real": "Jane Roe", "bidirectional": true});
    write("replacements.json", json!({"replacements": [replacement]})).unwrap();
    let pace = SendTiming { chat_interval: Duration::ZERO, ..SendTiming::default() };
    let parts = AppDeps {
        paths: paths(directory),
        home: directory.join("home"),
        environment: std::env::vars_os().collect(),
        clock: Arc::new(SystemClock),
        disk: Arc::new(portero::audit::SystemDisk),
        boot_id: "boot".to_owned(),
        guard: None,
        build: "bench".to_owned(),
        telegram: TelegramTiming { sending: pace, ..TelegramTiming::default() },
        keyring: Arc::new(porterod::keyring::NoKeyring),
    };
    App::start(parts).await.unwrap()
}

fn paths(directory: &Path) -> Paths {
    Paths { config: directory.join("config"), state: directory.join("state"), runtime: directory.join("run") }
}

async fn connect(directory: &Path) -> IpcClient {
    let project = directory.join("project");
    let principal = Principal::from_project(&project);
    let peer =
        PeerRole::Session { id: SessionId::fresh(), agent_session: None, principal, directory: project };
    let (build, config) = ("bench".to_owned(), directory.join("config"));
    let hello = Hello { protocol: PROTOCOL_VERSION, build, config, peer, nonce: Nonce::default() };
    let (client, mut pushes, _) = IpcClient::connect(&paths(directory).socket(), hello, None).await.unwrap();
    tokio::spawn(async move { while pushes.recv().await.is_some() {} });
    client
}

async fn submit(agent: &IpcClient, n: usize) -> Task {
    let arguments = json!({"to": "John Doe", "text": format!("call {n}")});
    let params = json!({"name": "send", "arguments": arguments});
    let call = json!({"tool": "notes/send", "method": "tools/call", "params": params});
    let call = serde_json::from_value(call).unwrap();
    let client = serde_json::from_str("\"claude 1\"").unwrap();
    match agent.request(SubmitCall { call, client, child: None }).await {
        Ok(task) => *task,
        other => panic!("{other:?}"),
    }
}

fn message_about(telegram: &FakeTelegram, task: &Task) -> Option<ShownMessage> {
    let id = task.id.to_string();
    telegram.bot_messages(JANE).into_iter().rev().find(|shown| shown.text.contains(&id[id.len() - 8..]))
}

fn card(telegram: &FakeTelegram, task: &Task) -> Option<ShownMessage> {
    message_about(telegram, task).filter(|shown| shown.keyboard.is_some())
}

fn outcome(telegram: &FakeTelegram, task: &Task) -> Option<()> {
    message_about(telegram, task).filter(|shown| shown.text.contains("Done.")).map(drop)
}

/// When the server was called last.
fn last_call(directory: &Path) -> u128 {
    let text = std::fs::read_to_string(directory.join("record")).unwrap();
    text.lines().last().expect("a call").parse().unwrap()
}

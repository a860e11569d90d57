//! What many waiting calls cost: a list and a decision with 10,000 of them, beside the same with 10.
//!
//! `cargo bench -p porterod --bench approval_queue` prints the median and the 99th percentile of each, over the real socket of
//! a daemon in this process, and the ratio. `docs/performance.md` says what the figures mean.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use portero::clock::SystemClock;
use portero::ipc::requests::approvals::{ApproveTask, FindTasks, ListTasks, RejectTask};
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::sessions::{ListOwnTasks, SubmitCall};
use portero::ipc::{Challenge, Hello, IpcClient, PROTOCOL_VERSION, PeerRole, Request};
use portero::names::{Principal, SessionId, TaskId};
use portero::paths::Paths;
use portero::store_identity::Nonce;
use portero::task::TaskState;
use porterod::app::{App, AppDeps};
use porterod::telegram::supervisor::TelegramTiming;
use serde_json::{Value, json};

/// A process with this variable is the server of the calls.
const SERVER_VARIABLE: &str = "PORTERO_BENCH_QUEUE_SERVER";
const PASSPHRASE: &str = "correct horse battery staple";
/// How often each thing is measured.
const ROUNDS: usize = 200;
/// Approvals cost a hash of the passphrase each, on purpose.
const APPROVALS: usize = 100;
const FEW_WAITING: usize = 10;
const MANY_WAITING: usize = 10_000;

fn main() {
    if std::env::var_os(SERVER_VARIABLE).is_some() {
        return run_server();
    }
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` asks whether it starts
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let few = runtime.block_on(measure(FEW_WAITING));
    let many = runtime.block_on(measure(MANY_WAITING));
    println!(
        "{:32} {:>12} {:>12} {:>12} {:>12} {:>7}",
        "", "10 p50", "10 p99", "10,000 p50", "10,000 p99", "ratio"
    );
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        let (few, many) = (LatencySummary::from_times(few), LatencySummary::from_times(many));
        println!(
            "{what:32} {:>9.2} ms {:>9.2} ms {:>9.2} ms {:>9.2} ms {:>7.1}",
            few.median,
            few.percentile_99,
            many.median,
            many.percentile_99,
            many.median / few.median
        );
    }
}

/// In milliseconds.
struct LatencySummary {
    median: f64,
    percentile_99: f64,
}

impl LatencySummary {
    fn from_times(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
        Self { median: at(50), percentile_99: at(99) }
    }
}

/// Everything with so many calls waiting: as many as that before each thing, whatever was decided before.
async fn measure(waiting: usize) -> Vec<(&'static str, Vec<Duration>)> {
    let home = tempfile::tempdir().unwrap();
    let paths = prepare(home.path());
    let app = App::start(app_deps(home.path(), paths.clone())).await.unwrap();
    let terminal = connect(&paths, PeerRole::Terminal).await;
    let directory = home.path().join("project");
    let principal = Principal::from_project(&directory);
    let session = connect(
        &paths,
        PeerRole::Session { id: SessionId::fresh(), principal, directory, agent_session: None },
    )
    .await;
    terminal.request(SetPassphrase { old: None, new: Challenge::new(PASSPHRASE) }).await.unwrap();
    let spare = APPROVALS + ROUNDS;
    let ids = submit(&session, waiting + spare).await;
    let (decided, _) = ids.split_at(spare);
    let (approved, rejected) = decided.split_at(APPROVALS);

    let mut measured = Vec::new();
    let page = || ListTasks { state: Some(TaskState::PendingApproval), after: None, limit: 50 };
    measured.push(("list a page of what waits", time_requests(&terminal, ROUNDS, |_| page()).await));
    let own = || ListOwnTasks { state: Some(TaskState::PendingApproval), limit: 20 };
    measured.push(("the agent's list", time_requests(&session, ROUNDS, |_| own()).await));
    measured.push(("status", time_requests(&terminal, ROUNDS, |_| GetStatus).await));
    let find = |at: usize| FindTasks { part: short_id(rejected[at]), state: None };
    measured.push(("find by a part of the id", time_requests(&terminal, ROUNDS, find).await));
    let reject = |at: usize| RejectTask { task: rejected[at], reason: None, for_now: false };
    measured.push(("reject", time_requests(&terminal, ROUNDS, reject).await));
    let approve =
        |at: usize| ApproveTask { task: approved[at], fresh: false, challenge: Challenge::new(PASSPHRASE) };
    measured.push(("approve, with its passphrase", time_requests(&terminal, APPROVALS, approve).await));
    app.shutdown().await;
    measured
}

async fn time_requests<R: Request>(
    client: &IpcClient,
    times: usize,
    ask: impl Fn(usize) -> R,
) -> Vec<Duration> {
    let mut measured = Vec::with_capacity(times);
    for at in 0..times {
        let ask = ask(at);
        let begin = Instant::now();
        client.request(ask).await.unwrap();
        measured.push(begin.elapsed());
    }
    measured
}

/// Calls that all differ, many at a time as many sessions would.
async fn submit(session: &IpcClient, count: usize) -> Vec<TaskId> {
    let asked = stream::iter(0..count).map(|number| async move {
        let params = json!({"name": "send", "arguments": {"to": "someone@example.com", "number": number, "text": "x".repeat(200)}});
        let call = json!({"tool": "mail/send", "method": "tools/call", "params": params});
        let call = serde_json::from_value(call).unwrap();
        let client = serde_json::from_value(json!("bench 1")).unwrap();
        session.request(SubmitCall { call, client, child: None }).await.unwrap().id
    });
    asked.buffered(128).collect().await
}

fn short_id(task: TaskId) -> String {
    let id = task.to_string();
    id[id.len() - 8..].to_owned()
}

async fn connect(paths: &Paths, peer: PeerRole) -> IpcClient {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        build: "bench".to_owned(),
        config: paths.config.clone(),
        peer,
        nonce: Nonce::default(),
    };
    IpcClient::connect(&paths.socket(), hello, None).await.unwrap().0
}

fn prepare(home: &std::path::Path) -> Paths {
    for name in ["config", "project"] {
        std::fs::create_dir(home.join(name)).unwrap();
    }
    let write = |name: &str, value: &Value| {
        std::fs::write(home.join("config").join(name), value.to_string()).unwrap();
    };
    let server = json!({"name": "mail", "stateless": true, "command": std::env::current_exe().unwrap(), "env": {SERVER_VARIABLE: "1"}});
    write("mcps.json", &json!({"mcps": [server]}));
    let most = 1_000_000;
    let approvals = json!({"pendingMost": most, "pendingMostOfProject": most, "pendingMostInAll": most});
    write("portero.json", &json!({"approvals": approvals}));
    Paths { config: home.join("config"), state: home.join("state"), runtime: home.join("run") }
}

fn app_deps(home: &std::path::Path, paths: Paths) -> AppDeps {
    AppDeps {
        paths,
        home: home.to_owned(),
        environment: std::env::vars_os().collect(),
        clock: Arc::new(SystemClock),
        disk: Arc::new(portero::audit::SystemDisk),
        boot_id: "boot".to_owned(),
        guard: None,
        build: "bench".to_owned(),
        telegram: TelegramTiming::default(),
        keyring: Arc::new(porterod::keyring::NoKeyring),
    }
}

/// A server with one tool that does nothing.
fn run_server() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let Some(id) = message.get("id") else { continue };
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "mail", "version": "1"},
            }),
            "tools/list" => json!({"tools": [{"name": "send", "inputSchema": {"type": "object"}}]}),
            _ => json!({"content": []}),
        };
        writeln!(out, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result})).unwrap();
        out.flush().unwrap();
    }
}

//! Installs the suite from npm, runs it, and reads its reports.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The scenarios of the server leg that wait for less than a second, which a busy machine may need.
const TIMED_SCENARIOS: [&str; 1] = ["server-stateless"];
/// How long the whole suite may take. It has some 50 scenarios of a second or two, and runs beside other tests.
const SUITE_TIMEOUT: Duration = Duration::from_secs(300);
/// The check of the pause before a stream is opened again. Only too short a pause is a fault here: how late a
/// busy machine is says nothing of Portero.
const PAUSE_CHECK: &str = "client-sse-retry-timing";

/// How often one of [`TIMED_SCENARIOS`] is played until it passes.
const MAX_ATTEMPTS: usize = 3;
/// Recommendations (SHOULD) for which the suite waits 1.5 seconds. Portero holds back notices of a list that changes again
/// and again, as the suite has it do. That such a notice arrives is tested in `tests/daemon/mcp_http/streams.rs`.
const PACED_CHECKS: [&str; 2] = [
    "sep-2575-server-sends-prompts-list-changed-on-subscription",
    "sep-2575-server-sends-tools-list-changed-on-subscription",
];
/// Held while the suite runs: several at once would take the time that its scenarios wait for.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The failures of each scenario.
pub(crate) type Results = BTreeMap<String, Vec<String>>;

/// Which release of the suite.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Release {
    Stable,
    /// The newest pre-release.
    Next,
}

impl Release {
    const fn package(self) -> &'static str {
        match self {
            Self::Stable => "@modelcontextprotocol/conformance",
            Self::Next => "conformance-next",
        }
    }
}

/// A scenario that waits for a client.
#[derive(Debug, Deserialize)]
pub(crate) struct Scenario {
    #[serde(rename = "scenario")]
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) context: Value,
}

/// Runs every scenario of the client leg.
pub(crate) async fn run_clients(
    release: Release,
    play: impl Fn(Scenario) -> BoxFuture<'static, ()>,
) -> Results {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reports = tempfile::tempdir().unwrap();
    let mut command = suite_command(release, "client", reports.path());
    command
        .args(["--suite", "all", "--command", "node relay.mjs"])
        .args(["--timeout", &SUITE_TIMEOUT.as_millis().to_string()])
        .env("PORTERO_RELAY_PORT", listener.local_addr().unwrap().port().to_string());
    let _alone = ALONE.lock().await;
    let mut running = command.spawn().unwrap();
    let mut playing = JoinSet::new();
    let played = tokio::time::timeout(SUITE_TIMEOUT, async {
        loop {
            tokio::select! {
                relay = listener.accept() => {
                    let (relay, scenario) = read_scenario(relay.unwrap().0).await;
                    let play = play(scenario);
                    playing.spawn(async move {
                        play.await;
                        drop(relay);
                    });
                }
                Some(played) = playing.join_next() => played.unwrap(),
                ended = running.wait() => break ended.unwrap(),
            }
        }
    });
    played.await.expect("the suite ends in time");
    read_reports(reports.path(), "")
}

/// Runs scenarios of the server leg against the server at this URL.
///
/// One of [`TIMED_SCENARIOS`] that fails is played again. It counts as failed if it fails each time.
pub(crate) async fn run_server(release: Release, url: &str, args: &[&str]) -> Results {
    let mut results = run_server_once(release, url, args).await;
    for _ in 1..MAX_ATTEMPTS {
        let late: Vec<String> = results
            .iter()
            .filter(|(scenario, failures)| {
                !failures.is_empty() && TIMED_SCENARIOS.contains(&scenario.as_str())
            })
            .map(|(scenario, _)| scenario.clone())
            .collect();
        for scenario in late {
            results.extend(run_server_once(release, url, &["--scenario", &scenario]).await);
        }
    }
    results
}

async fn run_server_once(release: Release, url: &str, args: &[&str]) -> Results {
    let _alone = ALONE.lock().await;
    let reports = tempfile::tempdir().unwrap();
    let mut command = suite_command(release, "server", reports.path());
    let mut running = command.args(["--url", url]).args(args).spawn().unwrap();
    let ended = tokio::time::timeout(SUITE_TIMEOUT, running.wait());
    ended.await.expect("the suite ends in time").unwrap();
    read_reports(reports.path(), "server-")
}

/// The suite's program for one leg, which writes reports into this folder.
fn suite_command(release: Release, leg: &str, reports: &Path) -> tokio::process::Command {
    let folder = install();
    let program = folder.join("node_modules").join(release.package()).join("dist/index.js");
    let mut command = tokio::process::Command::new("node");
    command.args(["--import", "./older_node.mjs"]).arg(program).arg(leg).arg("--output-dir").arg(reports);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true);
    command
}

async fn read_scenario(relay: TcpStream) -> (BufReader<TcpStream>, Scenario) {
    let mut relay = BufReader::new(relay);
    let mut line = String::new();
    relay.read_line(&mut line).await.unwrap();
    (relay, serde_json::from_str(&line).unwrap())
}

/// Reads the reports: a folder for each scenario, whose name begins with the leg and ends with a time.
fn read_reports(folder: &Path, leg: &str) -> Results {
    let mut reports = BTreeMap::new();
    for file in files_below(folder).into_iter().filter(|file| file.ends_with("checks.json")) {
        let name = file.parent().unwrap().strip_prefix(folder).unwrap().to_str().unwrap();
        // The time is 2026-11-20T08-00-00-000Z.
        let name = &name[..name.len() - "-2026-11-20T08-00-00-000Z".len()];
        let scenario = name.strip_prefix(leg).unwrap().to_owned();
        let checks: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert!(!checks.is_empty(), "{scenario} has no checks");
        let failures = checks.iter().filter(|check| is_failure(check));
        let describe =
            |check: &Value| format!("{}: {} {}", check["id"], check["description"], check["errorMessage"]);
        reports.insert(scenario, failures.map(describe).collect());
    }
    reports
}

fn is_failure(check: &Value) -> bool {
    if check["id"] == PAUSE_CHECK {
        return check["details"]["tooEarly"] == true;
    }
    let is_paced = PACED_CHECKS.iter().any(|paced| check["id"] == *paced);
    check["status"] == "FAILURE" || (check["status"] == "WARNING" && !is_paced)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// Installs the suite into the target directory, once for each version of its manifest.
fn install() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let names = ["package.json", "package-lock.json", ".npmrc", "relay.mjs", "older_node.mjs"];
    let contents: Vec<Vec<u8>> = names.iter().map(|name| fs::read(sources.join(name)).unwrap()).collect();
    let digest = blake3::hash(&contents.concat()).to_hex();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = root.join(format!("conformance-{}", &digest[..16]));
    let lock = File::create(root.join("conformance.lock")).unwrap();
    lock.lock().unwrap();
    if folder.join("complete").exists() {
        return folder;
    }
    fs::create_dir_all(&folder).unwrap();
    for (name, content) in names.iter().zip(contents) {
        fs::write(folder.join(name), content).unwrap();
    }
    let installed = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).output();
    let installed = installed.expect("this test needs Node.js with npm");
    let told = String::from_utf8_lossy(&installed.stderr);
    assert!(installed.status.success(), "this test needs a reachable npm registry: {told}");
    fs::write(folder.join("complete"), "").unwrap();
    folder
}

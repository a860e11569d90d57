//! What `/mcp` adds over stdio, and what many sessions cost.
//!
//! The same calls reach the same server: from `portero mcp` over the daemon's socket, and from `/mcp` in the daemon
//! itself, in turn. Then many sessions are open at once, and call.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child;
use super::client::{BenchClient, call_request, contains_bytes, micros};
use super::http::{Endpoint, HttpSession};
use super::soak::{daemon_pid, descriptor_count, memory_kib, portero_command};
use super::spread_of;

/// How many clients call at once in the load.
const CALLERS: usize = 16;
/// Calls before the first that counts.
const WARMUP_CALLS: usize = 200;
/// Calls of one round of the comparison.
const ROUND_CALLS: usize = 2_000;
/// The tool of the server that the daemon runs for all sessions.
const TOOL: &str = "child__echo";
const TOKEN: &str = "8d0f4c1c54d3a7f0b6e2915e7c3d4a58f09b6d2e1c7a3f5b4d8e9a0c6b1f2d37";

/// What is run.
pub(super) struct LoadPlan {
    pub(super) sessions: usize,
    pub(super) calls: usize,
    pub(super) rounds: usize,
}

/// Compares, loads, and prints the figures.
pub(super) fn run_load(plan: &LoadPlan) {
    let portero = Path::new(env!("CARGO_BIN_EXE_portero"));
    let home = tempfile::Builder::new().prefix("load-").tempdir().expect("a directory");
    write_config(home.path());
    let daemon = daemon_pid(home.path(), portero);
    let endpoint = Endpoint { address: wait_for_endpoint(home.path(), portero), token: TOKEN.to_owned() };
    compare(home.path(), portero, &endpoint, plan.rounds);
    load(&endpoint, daemon, plan);
    let stopped = portero_command(home.path(), portero, &["daemon", "stop"]).output().expect("it runs");
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
}

/// One call after another, over stdio and over HTTP in turn.
fn compare(home: &Path, portero: &Path, endpoint: &Endpoint, rounds: usize) {
    let mut figures = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let times = match which {
                0 => time_stdio(home, portero),
                _ => time_http(endpoint),
            };
            figures[which].push([times[ROUND_CALLS / 2], times[ROUND_CALLS * 99 / 100]]);
        }
    }
    println!("{rounds} rounds of {ROUND_CALLS} calls, one after another, of a server that the daemon runs");
    println!(
        "{:<38}{:>12}{:>12}{:>8}   lowest to highest of /mcp",
        "median of the rounds", "stdio", "/mcp", "ratio"
    );
    for (at, name) in ["one call, p50, µs", "one call, p99, µs"].into_iter().enumerate() {
        let [stdio, http] =
            figures.each_ref().map(|rounds| spread_of(rounds.iter().map(|figures| figures[at])));
        println!(
            "{name:<38}{:>12.1}{:>12.1}{:>8.2}   {:.1} to {:.1}",
            stdio.0,
            http.0,
            http.0 / stdio.0,
            http.1,
            http.2
        );
    }
}

fn time_stdio(home: &Path, portero: &Path) -> Vec<f64> {
    let mut client = BenchClient::start(&mut portero_command(home, portero, &["mcp"]));
    client.wait_until_listed(TOOL);
    let times = client.time_single_calls(WARMUP_CALLS, ROUND_CALLS, |id| call_request(TOOL, id));
    client.close();
    times
}

fn time_http(endpoint: &Endpoint) -> Vec<f64> {
    let mut session = HttpSession::open(endpoint);
    session.wait_until_listed(TOOL);
    let mut times: Vec<f64> = (0..WARMUP_CALLS + ROUND_CALLS).map(|id| time_call(&mut session, id)).collect();
    times.drain(..WARMUP_CALLS);
    times.sort_unstable_by(f64::total_cmp);
    times
}

/// The time of one call in microseconds.
fn time_call(session: &mut HttpSession, id: usize) -> f64 {
    let request = call_request(TOOL, id);
    let begin = Instant::now();
    let answer = session.post(request.trim_end());
    let took = begin.elapsed();
    let is_its_own = contains_bytes(answer, &format!("\"id\":{id},")) && contains_bytes(answer, "\"result\"");
    assert!(is_its_own, "{}", String::from_utf8_lossy(answer));
    micros(took)
}

/// Opens all sessions, and lets [`CALLERS`] at a time call.
fn load(endpoint: &Endpoint, daemon: u32, plan: &LoadPlan) {
    let before = memory_kib(daemon);
    let begin = Instant::now();
    let sessions: Vec<Mutex<HttpSession>> =
        (0..plan.sessions).map(|_| Mutex::new(HttpSession::open(endpoint))).collect();
    let opened = begin.elapsed();
    let (open, descriptors) = (memory_kib(daemon), descriptor_count(daemon));
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Vec::with_capacity(plan.calls));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= plan.calls {
                        return;
                    }
                    let mut session = sessions[number % plan.sessions].lock().expect("no panic");
                    let took = time_call(&mut session, number);
                    times.lock().expect("no panic").push(took);
                }
            });
        }
    });
    let (called, mut times) = (begin.elapsed(), times.into_inner().expect("no panic"));
    times.sort_unstable_by(f64::total_cmp);
    assert_eq!(times.len(), plan.calls, "every call has its answer");
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (sessions, calls) = (plan.sessions as f64, plan.calls as f64);
    println!("{} sessions with a stream each, {} calls, {CALLERS} at a time", plan.sessions, plan.calls);
    let row = |name: &str, value: f64| println!("{name:<46}{value:>12.1}");
    row("a session until its stream is open, µs", opened.as_secs_f64() * 1e6 / sessions);
    row("one call, p50, µs", at(50));
    row("one call, p99, µs", at(99));
    row("calls a second", calls / called.as_secs_f64());
    row("memory of the daemon before, MiB", before / 1024.0);
    row("memory with all sessions open, MiB", open / 1024.0);
    row("memory of one session, KiB", (open - before) / sessions);
    row("memory after the calls, MiB", memory_kib(daemon) / 1024.0);
    row("descriptors with all sessions open", descriptors);
}

fn write_config(home: &Path) {
    let config = home.join("config");
    fs::create_dir_all(&config).expect("writable");
    let write = |name: &str, content: Value| {
        fs::write(config.join(name), content.to_string()).expect("writable");
    };
    let this = std::env::current_exe().expect("this program");
    let child =
        json!({"name": "child", "command": this, "env": {child::CHILD_VARIABLE: "1"}, "instance": "user"});
    write("mcps.json", json!({"mcps": [child]}));
    write("policies.json", json!({"policies": {"child/*": "allow"}}));
    let replacements: Vec<Value> = (0..4)
        .map(|number| json!({"fake": format!("Person N{number:03}"), "real": child::real_value(number), "bidirectional": true}))
        .collect();
    write("replacements.json", json!({"replacements": replacements}));
    let most = 1_000_000;
    let limits = json!({"requestsPerMinute": most, "requestsPerMinuteOfAddress": most, "connections": 16_000,
                        "connectionsOfAddress": 16_000});
    let https = json!({"listen": "127.0.0.1:0", "plainHttp": true, "limits": limits});
    write("portero.json", json!({"https": https}));
    fs::write(config.join(".env"), format!("BEARER_TOKEN={TOKEN}\n")).expect("writable");
}

/// The address of the endpoint, once it is open.
fn wait_for_endpoint(home: &Path, portero: &Path) -> std::net::SocketAddr {
    let began = Instant::now();
    loop {
        let said = portero_command(home, portero, &["status", "--json"]).output().expect("it runs");
        let status: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        if let Some(address) = status["https"]["address"].as_str() {
            return address.parse().expect("an address");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the endpoint does not open: {}", status["https"]);
        std::thread::sleep(Duration::from_millis(50));
    }
}

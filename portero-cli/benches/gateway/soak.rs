//! A long run: sessions make calls of all kinds against own and shared servers through the real daemon, and memory,
//! descriptors and latency are looked at meanwhile. They must not grow.
//!
//! What the last third of the windows shows is held against the first third. The first window does not count:
//! programs are still starting in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How much more memory the last third may take than the first, beside [`MEMORY_SLACK_KIB`].
const MAX_MEMORY_RATIO: f64 = 1.10;
/// What the allocator may keep.
const MEMORY_SLACK_KIB: f64 = 2048.0;
/// How many more descriptors: connections come and go.
const MAX_ADDED_DESCRIPTORS: f64 = 3.0;
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What is run.
pub(crate) struct SoakPlan {
    /// The program; the daemon's is beside it.
    pub(crate) portero: PathBuf,
    pub(crate) duration: Duration,
    pub(crate) window: Duration,
    pub(crate) sessions: usize,
}

/// What one window showed.
pub(crate) struct SoakWindow {
    pub(crate) calls: usize,
    /// In microseconds.
    p50: f64,
    p99: f64,
    /// Of the largest session, and of the daemon.
    memory: [f64; 2],
    descriptors: [f64; 2],
}

/// What all windows showed.
pub(crate) struct SoakReport(pub(crate) Vec<SoakWindow>);

/// Runs until the time is over.
pub(crate) fn run_soak(plan: &SoakPlan) -> SoakReport {
    let home = tempfile::Builder::new().prefix("soak-").tempdir().expect("a directory");
    write_config(home.path(), &plan.portero);
    let stop = Arc::new(AtomicBool::new(false));
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut pids = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..plan.sessions {
        let mut agent = SoakAgent::start(home.path(), &plan.portero);
        pids.push(agent.child.id());
        let (stop, times) = (Arc::clone(&stop), Arc::clone(&times));
        threads.push(std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                agent.call_tool(number);
                times.lock().expect("no panic").push(began.elapsed().as_secs_f64() * 1e6);
                number += 1;
            }
            drop(agent.input.take());
            agent.child.wait().expect("the session ends");
        }));
    }
    let daemon = daemon_pid(home.path(), &plan.portero);
    let (began, mut windows) = (Instant::now(), Vec::new());
    while began.elapsed() < plan.duration {
        std::thread::sleep(plan.window);
        let mut times: Vec<f64> = std::mem::take(&mut *times.lock().expect("no panic"));
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
        let most = |of: fn(u32) -> f64| pids.iter().map(|pid| of(*pid)).fold(0.0, f64::max);
        let window = SoakWindow {
            calls: times.len(),
            p50: at(50),
            p99: at(99),
            memory: [most(memory_kib), memory_kib(daemon)],
            descriptors: [most(descriptor_count), descriptor_count(daemon)],
        };
        window.print(began.elapsed());
        windows.push(window);
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("every answer came");
    }
    let stopped = portero_command(home.path(), &plan.portero, &["daemon", "stop"]).output().expect("it runs");
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    SoakReport(windows)
}

impl SoakWindow {
    fn print(&self, at: Duration) {
        let Self { calls, p50, p99, memory, descriptors } = self;
        println!(
            "{:>6} s{calls:>9} calls  p50{p50:>7.0} µs  p99{p99:>8.0} µs  memory{:>7.0} and{:>7.0} KiB  descriptors{:>4.0} \
             and{:>4.0}",
            at.as_secs(),
            memory[0],
            memory[1],
            descriptors[0],
            descriptors[1],
        );
    }
}

impl SoakReport {
    /// Prints how the last third stands to the first; whether descriptors stayed within their bounds, and memory where
    /// it `counts_memory`.
    pub(crate) fn is_flat(&self, counts_memory: bool) -> bool {
        let counted = self.0.get(1..).unwrap_or_default();
        let third = (counted.len() / 3).max(1);
        let mean = |windows: &[SoakWindow], of: &dyn Fn(&SoakWindow) -> f64| {
            #[expect(clippy::cast_precision_loss, reason = "a few windows")]
            let count = windows.len().max(1) as f64;
            windows.iter().map(of).sum::<f64>() / count
        };
        let thirds = |of: &dyn Fn(&SoakWindow) -> f64| {
            let last = counted.len().saturating_sub(third);
            (mean(&counted[..third.min(counted.len())], of), mean(&counted[last..], of))
        };
        let mut is_flat = true;
        let mut row = |name: &str, of: &dyn Fn(&SoakWindow) -> f64, bound: Option<&dyn Fn(f64) -> f64>| {
            let (first, last) = thirds(of);
            let holds = bound.is_none_or(|bound| last <= bound(first));
            is_flat &= holds;
            let verdict = if holds { "" } else { "  GROWS" };
            println!("{name:<28}{first:>12.0}{last:>12.0}{:>8.2}{verdict}", last / first.max(1.0));
        };
        println!("{:<28}{:>12}{:>12}{:>8}", "first third, last third", "first", "last", "ratio");
        let memory: &dyn Fn(f64) -> f64 = &|first| first * MAX_MEMORY_RATIO + MEMORY_SLACK_KIB;
        let memory = counts_memory.then_some(memory);
        let descriptors: &dyn Fn(f64) -> f64 = &|first| first + MAX_ADDED_DESCRIPTORS;
        row("memory of a session, KiB", &|window| window.memory[0], memory);
        row("memory of the daemon, KiB", &|window| window.memory[1], memory);
        row("descriptors of a session", &|window| window.descriptors[0], Some(descriptors));
        row("descriptors of the daemon", &|window| window.descriptors[1], Some(descriptors));
        row("p50, µs", &|window| window.p50, None);
        row("p99, µs", &|window| window.p99, None);
        is_flat
    }
}

fn write_config(home: &Path, portero: &Path) {
    let config = home.join("config");
    std::fs::create_dir_all(&config).expect("writable");
    let write = |name: &str, content: Value| {
        std::fs::write(config.join(name), content.to_string()).expect("writable");
    };
    let server = |name: &str, shared: bool| {
        let record = home.join(format!("{name}.jsonl"));
        json!({"name": name, "command": portero, "args": ["sample-server", "--record", record], "instance": if shared { "user" } else { "session" }})
    };
    write("mcps.json", json!({"mcps": [server("own", false), server("common", true)]}));
    write("policies.json", json!({"policies": {"*": "allow", "*/delete_*": "deny"}}));
    let replacement = json!({"fake": "Jane Doe", "real": "Marta Lindqvist", "bidirectional": true});
    write("replacements.json", json!({"replacements": [replacement]}));
}

pub(crate) fn portero_command(home: &Path, portero: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(portero);
    command
        .args(words)
        .env("PORTERO_CONFIG_DIR", home.join("config"))
        .env("PORTERO_STATE_DIR", home.join("state"))
        .env("PORTERO_RUNTIME_DIR", home.join("run"))
        .current_dir(home);
    command
}

/// The daemon's process, once it runs.
pub(crate) fn daemon_pid(home: &Path, portero: &Path) -> u32 {
    let began = Instant::now();
    loop {
        let said = portero_command(home, portero, &["status", "--json"]).output().expect("it runs");
        let pid =
            serde_json::from_slice::<Value>(&said.stdout).ok().and_then(|status| status["pid"].as_u64());
        if let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) {
            return pid;
        }
        assert!(began.elapsed() < ANSWER_TIMEOUT, "the daemon does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The memory that a process holds. Elsewhere than on Linux it is not measured.
pub(crate) fn memory_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default()
}

pub(crate) fn descriptor_count(pid: u32) -> f64 {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or_default();
    f64::from(u32::try_from(open).unwrap_or(u32::MAX))
}

/// One session's client.
struct SoakAgent {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl SoakAgent {
    fn start(home: &Path, portero: &Path) -> Self {
        let mut child = portero_command(home, portero, &["mcp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the session starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut agent = Self { child, input, output };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "soak", "version": "1"}});
        agent.request(0, "initialize", &hello);
        agent
    }

    /// One call; which kind, its number says.
    fn call_tool(&mut self, number: u64) {
        let tool = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
        let read = json!({"id": 1});
        let (method, params, word) = match number % 8 {
            0 | 1 => ("tools/call", tool("own/read_mail", read), "result"),
            2 | 3 => ("tools/call", tool("common/read_mail", read), "result"),
            4 => ("tools/call", tool("own/search_mail", json!({"query": "Jane Doe"})), "result"),
            5 => ("tools/call", tool("common/delete_mail", read), "Refused"),
            6 => ("tools/call", tool("portero__search_tools", json!({"query": "mail"})), "read_mail"),
            _ => ("tools/list", json!({}), "tools"),
        };
        let answer = self.request(number + 1, method, &params);
        assert!(answer.contains(word), "{params}: {answer}");
    }

    fn request(&mut self, id: u64, method: &str, params: &Value) -> String {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.input.as_mut().expect("open"), "{request}").expect("the session reads");
        let begin = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},");
        let mut line = String::new();
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while Instant::now() < deadline {
            line.clear();
            let read = self.output.read_line(&mut line).expect("the session writes");
            assert!(read > 0, "the session ended");
            if line.starts_with(&begin) {
                return line;
            }
        }
        panic!("the session did not answer request {id} within {} s", ANSWER_TIMEOUT.as_secs());
    }
}

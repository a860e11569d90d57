//! What the gateway adds: the same client calls the same child, bare and through `portero mcp`, in turn.
//!
//! `cargo bench -p portero-cli --bench gateway` prints medians over the rounds: latency of one call at a time (p50 and p99),
//! calls a second with 64 open, and the cold start until the child's tools are listed. Policy, anonymizer and audit are on.
//! The child costs next to nothing: it is this program itself, answering `tools/call` with the text that it got.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::borrow::Cow;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

const CHILD: &str = "PORTERO_BENCH_CHILD";
const ROUNDS: usize = 5;
const WARM: usize = 300;
const CALLS: usize = 4_000;
const OPEN: usize = 64;
const PIPELINED: usize = 40_000;

fn main() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` asks whether it starts
    }
    let home = tempfile::tempdir().expect("a temporary directory");
    configure(home.path());
    let mut bare = Vec::new();
    let mut gateway = Vec::new();
    for round in 0..ROUNDS {
        let both: [(&mut Vec<Figures>, Command, &str); 2] =
            [(&mut bare, bare_child(), "echo"), (&mut gateway, behind_portero(home.path()), "child__echo")];
        let mut both = Vec::from(both);
        if round % 2 == 1 {
            both.reverse();
        }
        for (figures, mut command, tool) in both {
            figures.push(measure(&mut command, tool));
        }
    }
    report(&bare, &gateway);
}

/// Figures of one run.
struct Figures {
    cold: Duration,
    p50: Duration,
    p99: Duration,
    per_second: f64,
}

fn configure(home: &std::path::Path) {
    let config = home.join("config");
    fs::create_dir_all(&config).expect("writable");
    let this = std::env::current_exe().expect("this program");
    let write = |name: &str, content: serde_json::Value| {
        fs::write(config.join(name), content.to_string()).expect("writable");
    };
    write("mcps.json", json!({"mcps": [{"name": "child", "command": this, "env": {CHILD: "1"}}]}));
    write("policies.json", json!({"policies": {"child/*": "allow"}}));
    write(
        "replacements.json",
        json!({"replacements": [
            {"fake": "John Doe", "real": "Ada Lovelace", "bidirectional": true},
            {"fake": "john@example.com", "real": "ada@analytical.example", "bidirectional": true, "caseSensitive": false},
        ]}),
    );
}

fn bare_child() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(CHILD, "1");
    command
}

fn behind_portero(home: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portero"));
    command
        .args(["mcp", "--no-start"])
        .env("PORTERO_CONFIG_DIR", home.join("config"))
        .env("PORTERO_STATE_DIR", home.join("state"))
        .env("PORTERO_RUNTIME_DIR", home.join("run"));
    command
}

struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::with_capacity(1 << 16, child.stdout.take().expect("piped"));
        Self { child, input, output, line: Vec::new() }
    }

    fn send(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).expect("the server reads");
    }

    /// Reads one line that is an answer; passes over notifications.
    fn answer(&mut self) -> &[u8] {
        loop {
            self.line.clear();
            let read = self.output.read_until(b'\n', &mut self.line).expect("the server writes");
            assert!(read > 0, "the server ended");
            if memchr_method(&self.line) {
                continue;
            }
            return &self.line;
        }
    }
}

fn memchr_method(line: &[u8]) -> bool {
    line.windows(9).take(60).any(|window| window == b"\"method\":")
}

fn measure(command: &mut Command, tool: &str) -> Figures {
    let begin = Instant::now();
    let mut client = Client::start(command);
    until_listed(&mut client, tool);
    let cold = begin.elapsed();
    let times = one_at_a_time(&mut client, tool);
    let per_second = many_open(&mut client, tool);
    drop(client.input);
    client.child.wait().expect("the server ends");
    Figures { cold, p50: times[CALLS / 2], p99: times[CALLS * 99 / 100], per_second }
}

/// Shakes hands, and asks for the list until the tool stands in it.
fn until_listed(client: &mut Client, tool: &str) {
    client.send(concat!(
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"#,
        r#""clientInfo":{"name":"bench","version":"1"}}}"#,
        "\n"
    ));
    client.answer();
    client.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
    let name = format!("\"{tool}\"");
    loop {
        client.send("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"tools/list\"}\n");
        if client.answer().windows(name.len()).any(|window| window == name.as_bytes()) {
            return;
        }
    }
}

fn request(tool: &str, id: usize) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{{\"text\":\"{}\"}}}}}}\n",
        "a hundred bytes of text that holds nothing of interest, as most of what an agent sends and reads does"
    )
}

/// The times of single calls, shortest first.
fn one_at_a_time(client: &mut Client, tool: &str) -> Vec<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for id in 0..WARM + CALLS {
        let line = request(tool, id);
        let begin = Instant::now();
        client.send(&line);
        let answer = client.answer();
        if id >= WARM {
            times.push(begin.elapsed());
        }
        assert!(
            answer.windows(8).any(|window| window == b"\"result\""),
            "{}",
            String::from_utf8_lossy(answer)
        );
    }
    times.sort_unstable();
    times
}

/// Calls a second with [`OPEN`] calls open.
fn many_open(client: &mut Client, tool: &str) -> f64 {
    let begin = Instant::now();
    let mut sent = 0;
    let mut done = 0;
    while done < PIPELINED {
        let mut batch = String::new();
        while sent < PIPELINED && sent - done < OPEN {
            batch.push_str(&request(tool, sent));
            sent += 1;
        }
        if !batch.is_empty() {
            client.send(&batch);
        }
        client.answer();
        done += 1;
        while client.output.buffer().contains(&b'\n') {
            client.answer();
            done += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let calls = PIPELINED as f64;
    calls / begin.elapsed().as_secs_f64()
}

fn report(bare: &[Figures], gateway: &[Figures]) {
    println!("{:<28}{:>12}{:>12}{:>12}{:>9}", "medians of rounds", "bare", "portero", "added", "ratio");
    row("p50 of one call, µs", bare, gateway, |figures| micros(figures.p50));
    row("p99 of one call, µs", bare, gateway, |figures| micros(figures.p99));
    row("cold start, µs", bare, gateway, |figures| micros(figures.cold));
    row("calls/s with 64 open", bare, gateway, |figures| figures.per_second);
}

fn row(name: &str, bare: &[Figures], gateway: &[Figures], of: fn(&Figures) -> f64) {
    let (bare, gateway) = (median(bare, of), median(gateway, of));
    println!("{name:<28}{bare:>12.1}{gateway:>12.1}{:>12.1}{:>9.2}", gateway - bare, gateway / bare);
}

fn median(figures: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// The child: one tool, `echo`.
fn child() {
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if let Ok(Request { id: Some(id), method, params }) = serde_json::from_slice(&line) {
            let result = match &*method {
                "initialize" => {
                    r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}"#.to_owned()
                }
                "tools/list" => {
                    r#"{"tools":[{"name":"echo","description":"Returns the text.","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}}]}"#
                        .to_owned()
                }
                _ => {
                    let text = params.and_then(|params| params.arguments?.text).map_or("\"\"", RawValue::get);
                    format!(r#"{{"content":[{{"type":"text","text":{text}}}]}}"#)
                }
            };
            let _ = writeln!(output, r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.get());
        }
        line.clear();
        if input.buffer().is_empty() && output.flush().is_err() {
            return;
        }
    }
}

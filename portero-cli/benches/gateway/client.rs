//! The agent's side: one blocking client that writes, waits and takes the time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::child::ToolNames;

/// Calls before the first that counts.
const WARMUP_CALLS: usize = 300;
const MEASURED_CALLS: usize = 4_000;
const MAX_OPEN_CALLS: usize = 64;
const PIPELINED_CALLS: usize = 40_000;
const LARGE_WARMUP_CALLS: usize = 5;
const LARGE_CALLS: usize = 60;

/// The figures of one round, in microseconds but for the rate.
#[derive(Default)]
pub(super) struct RoundFigures {
    pub(super) cold: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) per_second: f64,
    pub(super) large: f64,
}

/// A client of a server that it started.
pub(super) struct BenchClient {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl BenchClient {
    /// Starts a server, measures it and ends it.
    pub(super) fn measure(command: &mut Command, tools: ToolNames, whole: bool) -> RoundFigures {
        let begin = Instant::now();
        let mut client = Self::start(command);
        client.wait_until_listed(tools.echo);
        let mut figures = RoundFigures { cold: micros(begin.elapsed()), ..RoundFigures::default() };
        if whole {
            let times =
                client.time_single_calls(WARMUP_CALLS, MEASURED_CALLS, |id| call_request(tools.echo, id));
            figures.p50 = times[MEASURED_CALLS / 2];
            figures.p99 = times[MEASURED_CALLS * 99 / 100];
            figures.per_second = client.time_pipelined_calls(tools.echo);
        }
        figures.large = client
            .time_single_calls(LARGE_WARMUP_CALLS, LARGE_CALLS, |id| call_request(tools.page, id))
            [LARGE_CALLS / 2];
        client.close();
        figures
    }

    /// Ends the server.
    pub(super) fn close(mut self) {
        drop(self.input);
        self.child.wait().expect("the server ends");
    }

    pub(super) fn start(command: &mut Command) -> Self {
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
    fn read_answer(&mut self) -> &[u8] {
        loop {
            self.line.clear();
            let read = self.output.read_until(b'\n', &mut self.line).expect("the server writes");
            assert!(read > 0, "the server ended");
            if !contains_bytes(&self.line[..self.line.len().min(60)], "\"method\":") {
                return &self.line;
            }
        }
    }

    /// Shakes hands, and asks for the list until the tool stands in it.
    pub(super) fn wait_until_listed(&mut self, tool: &str) {
        self.send(concat!(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
            r#""capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#,
            "\n"
        ));
        self.read_answer();
        self.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
        let name = format!("\"{tool}\"");
        loop {
            self.send("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"tools/list\"}\n");
            if contains_bytes(self.read_answer(), &name) {
                return;
            }
        }
    }

    /// The times of single calls in microseconds, shortest first.
    pub(super) fn time_single_calls(
        &mut self,
        warm: usize,
        calls: usize,
        request: impl Fn(usize) -> String,
    ) -> Vec<f64> {
        let mut times = Vec::with_capacity(calls);
        for id in 0..warm + calls {
            let line = request(id);
            let begin = Instant::now();
            self.send(&line);
            let answer = self.read_answer();
            let took = begin.elapsed();
            let head = &answer[..answer.len().min(200)];
            assert!(contains_bytes(head, "\"result\""), "{}", String::from_utf8_lossy(head));
            if id >= warm {
                times.push(micros(took));
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        times
    }

    /// Calls a second with [`MAX_OPEN_CALLS`] calls open.
    fn time_pipelined_calls(&mut self, tool: &str) -> f64 {
        let begin = Instant::now();
        let mut sent = 0;
        let mut done = 0;
        while done < PIPELINED_CALLS {
            let mut batch = String::new();
            while sent < PIPELINED_CALLS && sent - done < MAX_OPEN_CALLS {
                batch.push_str(&call_request(tool, sent));
                sent += 1;
            }
            if !batch.is_empty() {
                self.send(&batch);
            }
            self.read_answer();
            done += 1;
            while self.output.buffer().contains(&b'\n') {
                self.read_answer();
                done += 1;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let calls = PIPELINED_CALLS as f64;
        calls / begin.elapsed().as_secs_f64()
    }
}

pub(super) fn call_request(tool: &str, id: usize) -> String {
    format!(
        concat!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"{}","arguments":{{"text":"{}"}}}}}}"#,
            "\n"
        ),
        id,
        tool,
        "a hundred bytes of text that holds nothing of interest, as most of what an agent sends and reads does"
    )
}

pub(super) fn contains_bytes(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

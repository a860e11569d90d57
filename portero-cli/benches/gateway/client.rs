//! The agent's side: one blocking client that writes, waits and takes the time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::child::Tools;

/// Calls before the first that counts.
const WARM: usize = 300;
const CALLS: usize = 4_000;
const OPEN: usize = 64;
const PIPELINED: usize = 40_000;
const LARGE_WARM: usize = 5;
const LARGE: usize = 60;

/// The figures of one round, in microseconds but for the rate.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) cold: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) per_second: f64,
    pub(super) large: f64,
}

/// A client of a server that it started.
pub(super) struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Client {
    /// Starts a server, measures it and ends it.
    pub(super) fn measure(command: &mut Command, tools: Tools, whole: bool) -> Figures {
        let begin = Instant::now();
        let mut client = Self::start(command);
        client.until_listed(tools.echo);
        let mut figures = Figures { cold: micros(begin.elapsed()), ..Figures::default() };
        if whole {
            let times = client.one_at_a_time(WARM, CALLS, |id| request(tools.echo, id));
            figures.p50 = times[CALLS / 2];
            figures.p99 = times[CALLS * 99 / 100];
            figures.per_second = client.many_open(tools.echo);
        }
        figures.large = client.one_at_a_time(LARGE_WARM, LARGE, |id| request(tools.page, id))[LARGE / 2];
        drop(client.input);
        client.child.wait().expect("the server ends");
        figures
    }

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
            if !holds(&self.line[..self.line.len().min(60)], "\"method\":") {
                return &self.line;
            }
        }
    }

    /// Shakes hands, and asks for the list until the tool stands in it.
    fn until_listed(&mut self, tool: &str) {
        self.send(concat!(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
            r#""capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#,
            "\n"
        ));
        self.answer();
        self.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
        let name = format!("\"{tool}\"");
        loop {
            self.send("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"tools/list\"}\n");
            if holds(self.answer(), &name) {
                return;
            }
        }
    }

    /// The times of single calls in microseconds, shortest first.
    fn one_at_a_time(&mut self, warm: usize, calls: usize, request: impl Fn(usize) -> String) -> Vec<f64> {
        let mut times = Vec::with_capacity(calls);
        for id in 0..warm + calls {
            let line = request(id);
            let begin = Instant::now();
            self.send(&line);
            let answer = self.answer();
            let took = begin.elapsed();
            let head = &answer[..answer.len().min(200)];
            assert!(holds(head, "\"result\""), "{}", String::from_utf8_lossy(head));
            if id >= warm {
                times.push(micros(took));
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        times
    }

    /// Calls a second with [`OPEN`] calls open.
    fn many_open(&mut self, tool: &str) -> f64 {
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
                self.send(&batch);
            }
            self.answer();
            done += 1;
            while self.output.buffer().contains(&b'\n') {
                self.answer();
                done += 1;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let calls = PIPELINED as f64;
        calls / begin.elapsed().as_secs_f64()
    }
}

fn request(tool: &str, id: usize) -> String {
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

fn holds(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

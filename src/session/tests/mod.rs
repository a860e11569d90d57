//! A session over an in-memory connection, with scripted servers.

mod builtin_tools;
mod concealment;
mod conversations;
mod flow;
mod hold;
mod lists;
mod subscriptions;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

use super::{AgentTasks, Session, SessionDeps, SessionHandle};
use crate::config::ServerLimits;
use crate::names::TaskId;
use crate::pipeline::test_support::{Fixture, FixtureSetup, wait_until};
use crate::pipeline::{BoxFuture, Refusal};
use crate::task::{Task, TaskState, UnseenTasks};

/// The longest that anything in these tests may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most notifications that come before an answer.
const MAX_NOTIFICATIONS: usize = 100_000;

/// The tasks, each with what it becomes from one question to the next.
#[derive(Default)]
struct FakeTasks {
    tasks: Mutex<HashMap<TaskId, VecDeque<Task>>>,
    waits: Mutex<Vec<Duration>>,
    news: Mutex<UnseenTasks>,
    /// What a task becomes that isn't among `tasks`, from one question to the next.
    opened: Mutex<VecDeque<Task>>,
    /// Whether such a task waits for ever after that.
    waits_for_ever: std::sync::atomic::AtomicBool,
    /// What is told to the session that claims something first.
    claimable: Mutex<UnseenTasks>,
    claims: Mutex<Vec<Vec<TaskId>>>,
}

impl AgentTasks for FakeTasks {
    fn check_task(&self, task: TaskId, wait: Duration) -> BoxFuture<'_, Result<Task, Refusal>> {
        Box::pin(async move {
            self.waits.lock().unwrap().push(wait);
            if let Some(opened) = self.opened.lock().unwrap().pop_front() {
                return Ok(opened);
            }
            if self.waits_for_ever.load(std::sync::atomic::Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let mut tasks = self.tasks.lock().unwrap();
            let states =
                tasks.get_mut(&task).ok_or_else(|| Refusal::Invalid("there is no such task".into()))?;
            if states.len() > 1 { Ok(states.pop_front().unwrap()) } else { Ok(states[0].clone()) }
        })
    }

    fn list_tasks(&self, state: Option<TaskState>, limit: u32) -> BoxFuture<'_, Result<Vec<Task>, Refusal>> {
        Box::pin(async move {
            let tasks = self.tasks.lock().unwrap();
            let all = tasks.values().map(|states| states[0].clone());
            Ok(all
                .filter(|task| state.is_none_or(|state| task.state == state))
                .take(limit as usize)
                .collect())
        })
    }

    fn unseen_tasks(&self) -> BoxFuture<'_, UnseenTasks> {
        Box::pin(async {
            // As a daemon that answers in a moment.
            tokio::task::yield_now().await;
            self.news.lock().unwrap().clone()
        })
    }

    fn claim_news(&self, tasks: Vec<TaskId>) -> BoxFuture<'_, UnseenTasks> {
        self.claims.lock().unwrap().push(tasks);
        Box::pin(std::future::ready(std::mem::take(&mut *self.claimable.lock().unwrap())))
    }

    fn cancel_task(&self, task: TaskId) -> BoxFuture<'_, Result<Task, Refusal>> {
        Box::pin(async move {
            let mut tasks = self.tasks.lock().unwrap();
            let states =
                tasks.get_mut(&task).ok_or_else(|| Refusal::Invalid("there is no such task".into()))?;
            if !states[0].state.can_transition_to(TaskState::Cancelled) {
                return Err(Refusal::Declined(format!("task {task} is {}", states[0].state)));
            }
            *states = [Task { state: TaskState::Cancelled, ..states[0].clone() }].into();
            Ok(states[0].clone())
        })
    }
}

/// A client with a session at the other end.
struct SessionFixture {
    fixture: Fixture,
    tasks: Arc<FakeTasks>,
    handle: SessionHandle,
    run: JoinHandle<std::io::Result<()>>,
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: Option<WriteHalf<DuplexStream>>,
}

impl SessionFixture {
    fn new(set: FixtureSetup) -> Self {
        Self::with_limits(
            set,
            ServerLimits { list_timeout: Duration::from_millis(100), ..ServerLimits::default() },
        )
    }

    fn with_limits(set: FixtureSetup, limits: ServerLimits) -> Self {
        let fixture = Fixture::new(set);
        let (run, handle, tasks, connection) = spawn_session(&fixture, limits);
        let (reader, writer) = tokio::io::split(connection);
        Self { fixture, tasks, handle, run, reader: BufReader::new(reader), writer: Some(writer) }
    }

    async fn send_line(&mut self, line: &str) {
        let writer = self.writer.as_mut().expect("not hung up");
        writer.write_all(format!("{line}\n").as_bytes()).await.expect("the session reads");
    }

    /// Sends a request and does not wait.
    async fn send_request(&mut self, id: &Value, method: &str, params: &Value) {
        let line = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send_line(&line.to_string()).await;
    }

    async fn send_notification(&mut self, method: &str, params: &Value) {
        self.send_line(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()).await;
    }

    /// The next line, as it came.
    async fn next_line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(TEST_TIMEOUT, self.reader.read_line(&mut line))
            .await
            .expect("the session answers in time")
            .expect("the session writes UTF-8");
        assert!(!line.is_empty(), "the session hung up");
        line.trim_end().to_owned()
    }

    async fn next_message(&mut self) -> Value {
        serde_json::from_str(&self.next_line().await).expect("JSON")
    }

    /// The answer to a request; what comes before it must be notifications, which are returned too.
    async fn answer_and_notifications(&mut self, id: &Value) -> (Value, Vec<Value>) {
        let mut notices = Vec::new();
        for _ in 0..MAX_NOTIFICATIONS {
            let message = self.next_message().await;
            if message["id"] == *id && message.get("method").is_none() {
                return (message, notices);
            }
            assert!(message.get("method").is_some(), "an answer to another request: {message}");
            notices.push(message);
        }
        panic!("{MAX_NOTIFICATIONS} notifications and no answer to {id}");
    }

    async fn request_answer(&mut self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let id = id.into();
        self.send_request(&id, method, &params).await;
        self.answer_and_notifications(&id).await.0
    }

    /// Sends a request and takes its result.
    async fn request_result(&mut self, method: &str, params: Value) -> Value {
        let answer = self.request_answer(100, method, params).await;
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].clone()
    }

    /// A tool's result: its first text, and whether it says it is an error.
    async fn call_tool(&mut self, tool: &str, arguments: Value) -> (String, bool) {
        let result = self.request_result("tools/call", json!({ "name": tool, "arguments": arguments })).await;
        let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        (text, result["isError"] == json!(true))
    }

    async fn initialize(&mut self, version: &str) -> Value {
        let params = json!({
            "protocolVersion": version,
            "capabilities": { "roots": {}, "elicitation": {} },
            "clientInfo": { "name": "tester", "version": "1.0" },
        });
        let result = self.request_answer(0, "initialize", params).await["result"].clone();
        self.send_notification("notifications/initialized", &json!({})).await;
        result
    }

    /// Nothing more is said: a ping is the next to be answered.
    async fn assert_silent(&mut self) {
        self.send_request(&json!("silence?"), "ping", &json!({})).await;
        assert_eq!(self.next_message().await["id"], json!("silence?"));
    }

    async fn close_input(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.shutdown().await.unwrap();
        }
    }

    async fn wait_for_end(self) {
        tokio::time::timeout(TEST_TIMEOUT, self.run)
            .await
            .expect("it ends")
            .expect("no panic")
            .expect("in order");
    }
}

type SpawnedSession = (JoinHandle<std::io::Result<()>>, SessionHandle, Arc<FakeTasks>, DuplexStream);

fn spawn_session(fixture: &Fixture, limits: ServerLimits) -> SpawnedSession {
    let tasks = Arc::new(FakeTasks::default());
    let (session, handle) = Session::new(SessionDeps {
        pipeline: Arc::clone(&fixture.pipeline),
        tasks: Arc::clone(&tasks) as _,
        origin: fixture.origin(),
        skipped: vec![crate::config::SkippedServer {
            server: "absent".parse().unwrap(),
            reason: "the variable `TOKEN` is not set".into(),
            hint: "set it".into(),
        }],
        limits,
        hold: Duration::ZERO,
        param_headers: None,
    });
    let (near, far) = tokio::io::duplex(1 << 20);
    let (reader, writer) = tokio::io::split(far);
    (tokio::spawn(session.run(reader, writer)), handle, tasks, near)
}

/// `_meta` of a modern request.
fn with_modern_meta(params: Value) -> Value {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "tester", "version": "1.0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

fn listed_names(list: &Value, key: &str) -> Vec<String> {
    list[key]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

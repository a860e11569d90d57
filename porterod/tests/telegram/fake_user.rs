//! An agent that asks, and Jane, who decides on her phone.

use std::path::PathBuf;
use std::time::Duration;

use portero::audit::{self, AuditEvent, RecordFilter};
use portero::ipc::requests::approvals::GetTask;
use portero::ipc::requests::overrides::{ExplainDecision, GetOverrides};
use portero::ipc::requests::sessions::{ForwardCall, SubmitCall};
use portero::ipc::{Challenge, ForwardedCall, Hello, IpcClient, PROTOCOL_VERSION, PeerRole, Request};
use portero::names::{Principal, SessionId, TaskId, ToolName};
use portero::policy::{Explanation, Overrides};
use portero::store_identity::Nonce;
use portero::task::{Task, TaskState};
use serde_json::{Value, json};

use crate::fake_server::{MORE, RECORD_VARIABLE, ROLE_VARIABLE};
use crate::fake_telegram::{FakeTelegram, ShownMessage, TOKEN, is_button};
use crate::fixture::{ADA, BOB, CLEO, GROUP, JANE, PASSPHRASE, TelegramFixture, WAIT_TIMEOUT};

/// A tool whose name policy spells in another way.
pub(crate) const ODD_TOOL: &str = "github/create_issue";

/// After this time a call of the same session is no part of a burst any more.
pub(crate) const BURST_PAUSE: Duration = Duration::from_secs(11);

/// A world in which an agent works in a project with the server `notes`, and Jane decides.
pub(crate) struct FakeUser {
    pub(crate) fixture: TelegramFixture,
    session: Option<(PathBuf, IpcClient)>,
    /// Where cards are shown.
    pub(crate) chat: i64,
    /// The project that the agent works in.
    pub(crate) project: PathBuf,
}

impl FakeUser {
    pub(crate) async fn new() -> Self {
        Self::with_policies(json!({})).await
    }

    /// With more in `policies.json`.
    pub(crate) async fn with_policies(policies: Value) -> Self {
        let world = TelegramFixture::without_bot().await;
        world.telegram.send_text(JANE, "/start");
        Self::start_in_chat(world, JANE, json!({"admin": JANE}), policies).await
    }

    /// In the group, in which Jane and Ada decide.
    pub(crate) async fn in_group() -> Self {
        let world = TelegramFixture::without_bot().await;
        world.telegram.change_group(GROUP, |_| ());
        Self::start_in_group(world).await
    }

    /// In the group, which has topics.
    pub(crate) async fn in_forum() -> Self {
        let world = TelegramFixture::without_bot().await;
        world.telegram.create_forum(GROUP);
        Self::start_in_group(world).await
    }

    /// With a server of all sessions, and with this in `policies.json`. The daemon makes its calls.
    pub(crate) async fn with_shared_server(policies: Value) -> Self {
        let world = TelegramFixture::without_bot().await;
        world.telegram.send_text(JANE, "/start");
        Self::start_with_instance(world, JANE, json!({"admin": JANE}), policies, "user").await
    }

    /// As [`Self::in_group`], with a server of all sessions.
    pub(crate) async fn in_group_with_shared_server() -> Self {
        let world = TelegramFixture::without_bot().await;
        world.telegram.change_group(GROUP, |_| ());
        let who = json!({"chat": GROUP, "deciders": [JANE, ADA]});
        Self::start_with_instance(world, GROUP, who, json!({}), "user").await
    }

    /// The agent works in another project from now on.
    pub(crate) fn work_in(&mut self, project: &str) {
        self.project = self.fixture.path_of(project);
        std::fs::create_dir_all(&self.project).unwrap();
    }

    async fn start_in_group(world: TelegramFixture) -> Self {
        Self::start_in_chat(world, GROUP, json!({"chat": GROUP, "deciders": [JANE, ADA]}), json!({})).await
    }

    /// In the group, in which four decide, and two of three of them have to approve `notes/send`.
    pub(crate) async fn home_with_quorum() -> Self {
        let world = TelegramFixture::without_bot().await;
        world.telegram.change_group(GROUP, |_| ());
        let quorum = json!([{"tools": ["notes/send"], "approvals": 2, "of": [JANE, ADA, BOB]}]);
        let who = json!({"chat": GROUP, "deciders": [JANE, ADA, BOB, CLEO], "quorum": quorum});
        Self::start_in_chat(world, GROUP, who, json!({"policies": {"notes/send": "allow"}})).await
    }

    async fn start_in_chat(world: TelegramFixture, chat: i64, who: Value, policies: Value) -> Self {
        Self::start_with_instance(world, chat, who, policies, "session").await
    }

    async fn start_with_instance(
        world: TelegramFixture,
        chat: i64,
        who: Value,
        policies: Value,
        instance: &str,
    ) -> Self {
        let mut telegram = json!({"token": TOKEN, "apiUrl": world.telegram.api_url()});
        for (name, value) in who.as_object().unwrap() {
            telegram[name] = value.clone();
        }
        world.write_telegram_config(&telegram);
        let project = world.path_of("project");
        std::fs::create_dir(&project).unwrap();
        let server = json!({
            "name": "notes",
            "instance": instance,
            "stateless": true,
            "command": std::env::current_exe().unwrap(),
            "args": ["--exact", "fake_server::fake_server", "--nocapture", "-q"],
            "env": {ROLE_VARIABLE: "1", RECORD_VARIABLE: world.path_of("record"), MORE: ODD_TOOL},
        });
        world.write_config("mcps.json", &json!({"mcps": [server]}).to_string());
        world.write_config("policies.json", &policies.to_string());
        let replacement = json!({"fake": "John Doe", "real": "Jane Roe", "bidirectional": true});
        world.write_config("replacements.json", &json!({"replacements": [replacement]}).to_string());
        let world = world.start().await;
        world.set_passphrase().await;
        world.wait_until_serving().await;
        Self { fixture: world, session: None, chat, project }
    }

    pub(crate) fn telegram(&self) -> &FakeTelegram {
        &self.fixture.telegram
    }

    pub(crate) async fn restart(self) -> Self {
        Self { fixture: self.fixture.restart().await, session: None, ..self }
    }

    /// The agent asks for `notes/send` with this text, a while after what it asked before.
    pub(crate) async fn submit_call(&mut self, text: &str) -> Task {
        self.submit_tool_call("send", text).await.unwrap()
    }

    pub(crate) async fn submit_tool_call(&mut self, tool: &str, text: &str) -> Result<Task, String> {
        self.fixture.clock.advance(BURST_PAUSE);
        self.submit_tool_call_now(tool, text).await
    }

    /// The agent asks for `notes/send` with each of these texts, all at once.
    pub(crate) async fn submit_burst(&mut self, texts: &[&str]) -> Vec<Task> {
        self.fixture.clock.advance(BURST_PAUSE);
        let mut tasks = Vec::new();
        for text in texts {
            tasks.push(self.submit_tool_call_now("send", text).await.unwrap());
        }
        tasks
    }

    /// Another agent asks from now on, in the place of this one.
    pub(crate) fn swap_session(&mut self, other: &mut Option<(PathBuf, IpcClient)>) {
        std::mem::swap(&mut self.session, other);
    }

    /// The agent asks in the same moment as before.
    pub(crate) async fn submit_tool_call_now(&mut self, tool: &str, text: &str) -> Result<Task, String> {
        let session = self.take_session().await;
        let params = json!({"name": tool, "arguments": {"text": text}});
        let spelled = ToolName::from_child(tool).unwrap();
        let call = json!({"tool": format!("notes/{spelled}"), "method": "tools/call", "params": params});
        let call = serde_json::from_value(call).unwrap();
        let client = serde_json::from_str("\"claude 1\"").unwrap();
        let asked =
            tokio::time::timeout(WAIT_TIMEOUT, session.request(SubmitCall { call, client, child: None }))
                .await
                .unwrap();
        self.session = Some((self.project.clone(), session));
        match asked {
            Ok(task) => Ok(*task),
            other => Err(format!("{other:?}")),
        }
    }

    /// The agent calls a tool of the server, and what comes of it.
    pub(crate) async fn forward_call(
        &self,
        session: &IpcClient,
        tool: &str,
        arguments: &Value,
    ) -> ForwardedCall {
        let params = json!({"name": tool, "arguments": arguments});
        let call = json!({"tool": format!("notes/{tool}"), "method": "tools/call", "params": params});
        let call = serde_json::from_value(call).unwrap();
        let client = serde_json::from_str("\"claude 1\"").unwrap();
        let forward = ForwardCall { call, client, progress: false, log_level: None };
        tokio::time::timeout(WAIT_TIMEOUT, session.request(forward)).await.unwrap().unwrap()
    }

    /// The agent's session makes a request.
    pub(crate) async fn session_request<R: Request>(&mut self, request: R) -> R::Response {
        let session = self.take_session().await;
        let response = tokio::time::timeout(WAIT_TIMEOUT, session.request(request)).await.unwrap();
        self.session = Some((self.project.clone(), session));
        response.unwrap()
    }

    async fn take_session(&mut self) -> IpcClient {
        match self.session.take() {
            Some((project, session)) if project == self.project => session,
            _ => self.connect().await,
        }
    }

    /// A new session of the agent.
    pub(crate) async fn connect(&self) -> IpcClient {
        let directory = self.project.clone();
        let peer = PeerRole::Session {
            id: SessionId::fresh(),
            agent_session: None,
            principal: Principal::from_project(&directory),
            directory,
        };
        let (build, config) = ("test".to_owned(), self.fixture.path_of("config"));
        let hello = Hello { protocol: PROTOCOL_VERSION, build, config, peer, nonce: Nonce::default() };
        let (client, mut pushes, _) =
            IpcClient::connect(&self.fixture.paths().socket(), hello, None).await.unwrap();
        tokio::spawn(async move { while pushes.recv().await.is_some() {} });
        client
    }

    pub(crate) async fn fetch_task(&self, id: TaskId) -> Task {
        *self.fixture.request(GetTask { task: id }).await.unwrap()
    }

    /// Waits until the task is so.
    pub(crate) async fn wait_for_task_state(&self, id: TaskId, state: TaskState) -> Task {
        let waiting = async {
            loop {
                let task = self.fetch_task(id).await;
                if task.state == state {
                    return task;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        match tokio::time::timeout(WAIT_TIMEOUT, waiting).await {
            Ok(task) => task,
            Err(_) => panic!("not {state}: {:?}", self.fetch_task(id).await.state),
        }
    }

    pub(crate) async fn fetch_overrides(&self) -> Overrides {
        self.fixture.request(GetOverrides).await.unwrap()
    }

    pub(crate) async fn explain_tool(&self, tool: &str) -> Explanation {
        *self.fixture.request(ExplainDecision { tool: tool.parse().unwrap(), arguments: None }).await.unwrap()
    }

    /// What the server got, each call's text.
    pub(crate) fn received_texts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.fixture.path_of("record")).unwrap_or_default();
        let text_of = |line: &str| {
            let call: Value = serde_json::from_str(line).unwrap();
            call["params"]["arguments"]["text"].as_str().unwrap().to_owned()
        };
        text.lines().map(text_of).collect()
    }

    /// Waits for the card that asks for this task, with its buttons.
    pub(crate) async fn wait_for_card(&self, task: &Task) -> ShownMessage {
        self.wait_for_card_with(task, "❌ Deny").await
    }

    /// Waits until the task's card has this button.
    pub(crate) async fn wait_for_card_with(&self, task: &Task, words: &str) -> ShownMessage {
        let found = |it: &FakeTelegram| {
            let has = |shown: &ShownMessage| button_labels(shown).iter().any(|it| is_button(it, words));
            it.bot_messages(self.chat).into_iter().rev().find(|shown| is_about(shown, task) && has(shown))
        };
        self.telegram().wait_until(&format!("a card with `{words}`"), found).await
    }

    /// Waits until the task's card shows an outcome that begins so.
    pub(crate) async fn wait_for_outcome(&self, task: &Task, words: &str) -> ShownMessage {
        let found = |it: &FakeTelegram| {
            let mut cards = it.bot_messages(self.chat).into_iter();
            cards.find(|shown| is_about(shown, task) && shown.text.starts_with(words))
        };
        self.telegram().wait_until(&format!("an outcome `{words}`"), found).await
    }

    /// Waits until the outcome holds these words, too.
    pub(crate) async fn wait_for_outcome_with(&self, task: &Task, words: &str) -> ShownMessage {
        let found = |it: &FakeTelegram| {
            let mut cards = it.bot_messages(self.chat).into_iter();
            cards.find(|it| is_about(it, task) && it.keyboard.is_none() && it.text.contains(words))
        };
        self.telegram().wait_until(&format!("an outcome with `{words}`"), found).await
    }

    /// Jane presses a button of the task's card; what she is told.
    pub(crate) async fn press_button(&self, task: &Task, words: &str) -> String {
        self.press_button_as(JANE, task, words).await
    }

    /// Somebody presses a button of the task's card; what they are told.
    pub(crate) async fn press_button_as(&self, person: i64, task: &Task, words: &str) -> String {
        let card = self.wait_for_card_with(task, words).await;
        let query = self.telegram().press_in(person, self.chat, card.id, words);
        self.wait_for_answer(&query).await
    }

    /// What the press is answered with; nothing where it is only ended.
    pub(crate) async fn wait_for_answer(&self, query: &str) -> String {
        let answer = self.telegram().wait_until("an answer to a press", |it| it.press_answer(query)).await;
        answer["text"].as_str().unwrap_or_default().to_owned()
    }

    /// What the audit says of tasks: state and by whom.
    pub(crate) fn audited_states(&self) -> Vec<String> {
        let log = audit::read_log(&self.fixture.paths().audit(), &RecordFilter::default()).unwrap();
        let states = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Task { state, by, .. } => Some(format!("{state} by {by}")),
            _ => None,
        });
        states.collect()
    }
}

pub(crate) fn passphrase_challenge() -> Challenge {
    Challenge::new(PASSPHRASE)
}

/// The end of a task's id, by which cards name it.
pub(crate) fn short_id(task: &Task) -> String {
    let id = task.id.to_string();
    id[id.len() - 8..].to_owned()
}

fn is_about(shown: &ShownMessage, task: &Task) -> bool {
    shown.text.contains(&short_id(task))
        && shown.document.is_none()
        && !shown.text.starts_with("Calls")
        && !shown.text.starts_with("Why not?")
        && !shown.text.starts_with("Allowed by now")
}

/// The words on a message's buttons.
pub(crate) fn button_labels(shown: &ShownMessage) -> Vec<String> {
    let rows = shown.keyboard.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let buttons = rows.iter().filter_map(Value::as_array).flatten();
    buttons.map(|button| button["text"].as_str().unwrap().to_owned()).collect()
}

/// What the button with these words carries.
pub(crate) fn callback_data(shown: &ShownMessage, words: &str) -> String {
    let rows = shown.keyboard.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let mut buttons = rows.iter().filter_map(Value::as_array).flatten();
    let button =
        buttons.find(|button| is_button(button["text"].as_str().unwrap(), words)).expect("such a button");
    button["callback_data"].as_str().unwrap().to_owned()
}

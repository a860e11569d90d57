//! An agent that asks, and Jane, who decides on her phone.

use std::path::PathBuf;
use std::time::Duration;

use portero::audit::{self, Event, Filter};
use portero::identity::Nonce;
use portero::ipc::requests::approvals::GetTask;
use portero::ipc::requests::overrides::{ExplainDecision, GetOverrides};
use portero::ipc::requests::sessions::SubmitCall;
use portero::ipc::{Challenge, Client, Hello, PROTOCOL, Peer};
use portero::names::{Principal, SessionId, TaskId, ToolName};
use portero::policy::{Explanation, Standing};
use portero::task::{State, Task};
use serde_json::{Value, json};

use crate::fake_server::{MORE, RECORD, ROLE};
use crate::standin::{Shown, StandIn, TOKEN};
use crate::world::{ADA, BOB, CLEO, GROUP, JANE, PASSPHRASE, SOON, World};

/// A tool whose name policy spells in another way.
pub(crate) const ODD_TOOL: &str = "github/create_issue";

/// A world in which an agent works in a project with the server `notes`, and Jane decides.
pub(crate) struct Hands {
    pub(crate) world: World,
    session: Option<(PathBuf, Client)>,
    /// Where cards are shown.
    pub(crate) chat: i64,
    /// The project that the agent works in.
    pub(crate) project: PathBuf,
}

impl Hands {
    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// With more in `policies.json`.
    pub(crate) async fn with(policies: Value) -> Self {
        let world = World::without_bot().await;
        world.telegram.say(JANE, "/start");
        Self::in_chat(world, JANE, json!({"admin": JANE}), policies).await
    }

    /// In the group, in which Jane and Ada decide.
    pub(crate) async fn in_group() -> Self {
        let world = World::without_bot().await;
        world.telegram.change_group(GROUP, |_| ());
        Self::of_group(world).await
    }

    /// In the group, which has topics.
    pub(crate) async fn in_forum() -> Self {
        let world = World::without_bot().await;
        world.telegram.forum(GROUP);
        Self::of_group(world).await
    }

    /// The agent works in another project from now on.
    pub(crate) fn work_in(&mut self, project: &str) {
        self.project = self.world.at(project);
        std::fs::create_dir_all(&self.project).unwrap();
    }

    async fn of_group(world: World) -> Self {
        Self::in_chat(world, GROUP, json!({"chat": GROUP, "deciders": [JANE, ADA]}), json!({})).await
    }

    /// In the group, in which four decide, and two of three of them have to approve `notes/send`.
    pub(crate) async fn of_three() -> Self {
        let world = World::without_bot().await;
        world.telegram.change_group(GROUP, |_| ());
        let quorum = json!([{"tools": ["notes/send"], "approvals": 2, "of": [JANE, ADA, BOB]}]);
        let who = json!({"chat": GROUP, "deciders": [JANE, ADA, BOB, CLEO], "quorum": quorum});
        Self::in_chat(world, GROUP, who, json!({"policies": {"notes/send": "allow"}})).await
    }

    async fn in_chat(world: World, chat: i64, who: Value, policies: Value) -> Self {
        let mut telegram = json!({"token": TOKEN, "apiUrl": world.telegram.api_url()});
        for (name, value) in who.as_object().unwrap() {
            telegram[name] = value.clone();
        }
        world.configure(&telegram);
        let project = world.at("project");
        std::fs::create_dir(&project).unwrap();
        let server = json!({
            "name": "notes",
            "command": std::env::current_exe().unwrap(),
            "args": ["--exact", "fake_server::fake_server", "--nocapture", "-q"],
            "env": {ROLE: "1", RECORD: world.at("record"), MORE: ODD_TOOL},
        });
        world.write("mcps.json", &json!({"mcps": [server]}).to_string());
        world.write("policies.json", &policies.to_string());
        let replacement = json!({"fake": "John Doe", "real": "Jane Roe", "bidirectional": true});
        world.write("replacements.json", &json!({"replacements": [replacement]}).to_string());
        let world = world.started().await;
        world.set_passphrase().await;
        world.serves().await;
        Self { world, session: None, chat, project }
    }

    pub(crate) fn telegram(&self) -> &StandIn {
        &self.world.telegram
    }

    pub(crate) async fn restarted(self) -> Self {
        Self { world: self.world.restarted().await, session: None, ..self }
    }

    /// The agent asks for `notes/send` with this text.
    pub(crate) async fn submit(&mut self, text: &str) -> Task {
        self.submit_to("send", text).await.unwrap()
    }

    pub(crate) async fn submit_to(&mut self, tool: &str, text: &str) -> Result<Task, String> {
        let session = match self.session.take() {
            Some((project, session)) if project == self.project => session,
            _ => self.connect().await,
        };
        let params = json!({"name": tool, "arguments": {"text": text}});
        let spelled = ToolName::from_child(tool).unwrap();
        let call = json!({"tool": format!("notes/{spelled}"), "method": "tools/call", "params": params});
        let call = serde_json::from_value(call).unwrap();
        let client = serde_json::from_str("\"claude 1\"").unwrap();
        let asked = tokio::time::timeout(SOON, session.request(SubmitCall { call, client })).await.unwrap();
        self.session = Some((self.project.clone(), session));
        match asked {
            Ok(task) => Ok(*task),
            other => Err(format!("{other:?}")),
        }
    }

    async fn connect(&self) -> Client {
        let directory = self.project.clone();
        let peer = Peer::Session {
            id: SessionId::fresh(),
            agent_session: None,
            principal: Principal::of_project(&directory),
            directory,
        };
        let (build, config) = ("test".to_owned(), self.world.at("config"));
        let hello = Hello { protocol: PROTOCOL, build, config, peer, nonce: Nonce::default() };
        let (client, mut pushes, _) =
            Client::connect(&self.world.paths().socket(), hello, None).await.unwrap();
        tokio::spawn(async move { while pushes.recv().await.is_some() {} });
        client
    }

    pub(crate) async fn task(&self, id: TaskId) -> Task {
        *self.world.request(GetTask { task: id }).await.unwrap()
    }

    /// Waits until the task is so.
    pub(crate) async fn is(&self, id: TaskId, state: State) -> Task {
        let waiting = async {
            loop {
                let task = self.task(id).await;
                if task.state == state {
                    return task;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        match tokio::time::timeout(SOON, waiting).await {
            Ok(task) => task,
            Err(_) => panic!("not {state}: {:?}", self.task(id).await.state),
        }
    }

    pub(crate) async fn rules(&self) -> Standing {
        self.world.request(GetOverrides).await.unwrap()
    }

    pub(crate) async fn why(&self, tool: &str) -> Explanation {
        *self.world.request(ExplainDecision { tool: tool.parse().unwrap(), arguments: None }).await.unwrap()
    }

    /// What the server got, each call's text.
    pub(crate) fn ran(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.world.at("record")).unwrap_or_default();
        let text_of = |line: &str| {
            let call: Value = serde_json::from_str(line).unwrap();
            call["params"]["arguments"]["text"].as_str().unwrap().to_owned()
        };
        text.lines().map(text_of).collect()
    }

    /// Waits for the card that asks for this task, with its buttons.
    pub(crate) async fn card(&self, task: &Task) -> Shown {
        self.card_with(task, "❌ Deny").await
    }

    /// Waits until the task's card has this button.
    pub(crate) async fn card_with(&self, task: &Task, words: &str) -> Shown {
        let found = |it: &StandIn| {
            let cards = it.by_bot(self.chat).into_iter().rev();
            cards
                .into_iter()
                .find(|shown| is_about(shown, task) && buttons(shown).iter().any(|it| it == words))
        };
        self.telegram().until(&format!("a card with `{words}`"), found).await
    }

    /// Waits until the task's card shows an outcome that begins so.
    pub(crate) async fn outcome(&self, task: &Task, words: &str) -> Shown {
        let found = |it: &StandIn| {
            let mut cards = it.by_bot(self.chat).into_iter();
            cards.find(|shown| is_about(shown, task) && shown.text.starts_with(words))
        };
        self.telegram().until(&format!("an outcome `{words}`"), found).await
    }

    /// Waits until the outcome holds these words, too.
    pub(crate) async fn outcome_with(&self, task: &Task, words: &str) -> Shown {
        let found = |it: &StandIn| {
            let mut cards = it.by_bot(self.chat).into_iter();
            cards.find(|it| is_about(it, task) && it.keyboard.is_none() && it.text.contains(words))
        };
        self.telegram().until(&format!("an outcome with `{words}`"), found).await
    }

    /// Jane presses a button of the task's card; what she is told.
    pub(crate) async fn press(&self, task: &Task, words: &str) -> String {
        self.press_of(JANE, task, words).await
    }

    /// Somebody presses a button of the task's card; what they are told.
    pub(crate) async fn press_of(&self, person: i64, task: &Task, words: &str) -> String {
        let card = self.card_with(task, words).await;
        let query = self.telegram().press_in(person, self.chat, card.id, words);
        self.told(&query).await
    }

    /// What the press is answered with; nothing where it is only ended.
    pub(crate) async fn told(&self, query: &str) -> String {
        let answer = self.telegram().until("an answer to a press", |it| it.answer_to(query)).await;
        answer["text"].as_str().unwrap_or_default().to_owned()
    }

    /// What the audit says of tasks: state and by whom.
    pub(crate) fn audited(&self) -> Vec<String> {
        let log = audit::read(&self.world.paths().audit(), &Filter::default()).unwrap();
        let states = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            Event::Task { state, by, .. } => Some(format!("{state} by {by}")),
            _ => None,
        });
        states.collect()
    }
}

pub(crate) fn challenge() -> Challenge {
    Challenge::new(PASSPHRASE)
}

/// The end of a task's id, by which cards name it.
pub(crate) fn short(task: &Task) -> String {
    let id = task.id.to_string();
    id[id.len() - 8..].to_owned()
}

fn is_about(shown: &Shown, task: &Task) -> bool {
    shown.text.contains(&short(task))
        && shown.document.is_none()
        && !shown.text.starts_with("Calls wait")
        && !shown.text.starts_with("Why not?")
}

/// The words on a message's buttons.
pub(crate) fn buttons(shown: &Shown) -> Vec<String> {
    let rows = shown.keyboard.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let buttons = rows.iter().filter_map(Value::as_array).flatten();
    buttons.map(|button| button["text"].as_str().unwrap().to_owned()).collect()
}

/// What the button with these words carries.
pub(crate) fn carried(shown: &Shown, words: &str) -> String {
    let rows = shown.keyboard.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let mut buttons = rows.iter().filter_map(Value::as_array).flatten();
    let button = buttons.find(|button| button["text"] == words).expect("such a button");
    button["callback_data"].as_str().unwrap().to_owned()
}

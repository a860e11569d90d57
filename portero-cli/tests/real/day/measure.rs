//! What is counted in the day: from the client's conversation, the chat, and Portero's own audit.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Day, ScriptedCall};

/// One turn as the client saw it.
#[derive(Debug)]
pub(super) struct PlayedTurn {
    /// How long its calls took together.
    pub(super) seconds: f64,
    /// The text of each result, in the order of the calls.
    pub(super) results: Vec<String>,
}

/// A whole conversation as the client saw it.
#[derive(Debug)]
pub(super) struct Conversation {
    /// How many bytes the names, instructions and definitions of Portero's tools took in the agent's context.
    pub(super) context_bytes: usize,
    pub(super) turns: Vec<PlayedTurn>,
}

/// Reads what a scripted model was sent: a request a line.
pub(super) fn read_conversation(requests: &str) -> Conversation {
    let requests: Vec<Value> = requests
        .lines()
        .map(|line| serde_json::from_str(line).expect("the model writes JSON"))
        .filter(|request: &Value| request["tools"].as_array().is_some_and(|tools| !tools.is_empty()))
        .collect();
    let last = requests.last().expect("the model was asked");
    let received: Vec<f64> = requests.iter().filter_map(|request| request["received_at"].as_f64()).collect();
    let messages = last["messages"].as_array().expect("messages");
    let blocks: Vec<&Value> =
        messages.iter().filter_map(|message| message["content"].as_array()).flatten().collect();
    let result = |call: &Value| {
        let answers = |block: &&&Value| block["tool_use_id"] == call["id"];
        result_text(blocks.iter().find(answers).expect("each call has a result"))
    };
    let mut turns = Vec::new();
    for message in messages.iter().filter(|message| message["role"] == "assistant") {
        let calls = message["content"].as_array().into_iter().flatten();
        let results: Vec<String> = calls.filter(|block| block["type"] == "tool_use").map(result).collect();
        if !results.is_empty() {
            let number = turns.len();
            turns.push(PlayedTurn { seconds: received[number + 1] - received[number], results });
        }
    }
    // The first turn loads the definitions of the tools.
    turns.remove(0);
    Conversation { context_bytes: context_bytes(last), turns }
}

/// The bytes of what is Portero's in a request: loaded definitions, names of tools, and its instructions.
fn context_bytes(request: &Value) -> usize {
    let tools = request["tools"].as_array().expect("tools").iter();
    let definitions = tools.filter(|tool| text_of(&tool["name"]).starts_with("mcp__portero__"));
    let messages = request["messages"].as_array().expect("messages").iter();
    let announced: String = messages.filter_map(|message| message["content"].as_str()).collect();
    let names = announced.lines().filter(|line| line.starts_with("mcp__portero__"));
    let (_, instructions) = announced.split_once("\n## portero\n").expect("the instructions are passed on");
    let instructions = instructions.split("\n\n\n").next().unwrap_or_default();
    definitions.map(|tool| tool.to_string().len()).sum::<usize>()
        + names.map(|name| name.len() + 1).sum::<usize>()
        + instructions.len()
}

/// Reads what the Python SDK's client printed.
pub(super) fn read_sdk_conversation(printed: &Value) -> Conversation {
    let tools = printed["tools"].as_array().expect("tools").iter();
    let context_bytes = tools.map(|tool| tool.to_string().len()).sum();
    let turn = |turn: &Value| PlayedTurn {
        seconds: turn["seconds"].as_f64().expect("a number"),
        results: turn["results"].as_array().expect("results").iter().map(text_of).collect(),
    };
    Conversation {
        context_bytes,
        turns: printed["turns"].as_array().expect("turns").iter().map(turn).collect(),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn result_text(block: &Value) -> String {
    match &block["content"] {
        Value::Array(parts) => parts.iter().map(|part| text_of(&part["text"])).collect::<Vec<_>>().join("\n"),
        content => text_of(content),
    }
}

/// What became of the calls that one entry of the policy decided.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct EntryCounts {
    pub(super) allowed: usize,
    /// Ran by a grant that a tap had made.
    pub(super) granted: usize,
    pub(super) asked: usize,
}

/// The counts of the day. Two runs of the same script have the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) reads: usize,
    pub(super) writes: usize,
    pub(super) sends: usize,
    /// Messages that ask.
    pub(super) questions: usize,
    pub(super) taps: usize,
    /// Messages that only tell something.
    pub(super) notices: usize,
    pub(super) ran: usize,
    /// Calls that a person denied.
    pub(super) denied: usize,
    /// By the entry's pattern; calls that no entry decided are under the empty text.
    pub(super) entries: BTreeMap<String, EntryCounts>,
}

impl Counts {
    /// All calls of the servers' tools.
    pub(super) fn calls(&self) -> usize {
        self.reads + self.writes + self.sends
    }
}

/// The figures of the day.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) counts: Counts,
    /// How long the agent waited for calls that asked.
    pub(super) seconds_waited: f64,
    pub(super) context_bytes: usize,
}

impl Measured {
    /// Reads the chat and the audit after the day.
    pub(super) fn take(day: &Day, taps: usize, conversation: &Conversation) -> Self {
        let sent = day.telegram.fake().calls("sendMessage").split_off(day.messages_before);
        let questions = sent.iter().filter(|call| call.body.get("reply_markup").is_some()).count();
        let calls: Vec<&ScriptedCall> = day.script.turns.iter().flatten().collect();
        let count = |kind: CallKind| calls.iter().filter(|call| kind_of(&call.tool) == Some(kind)).count();
        let events = audit_events(day);
        let outcomes = |outcome: &str| {
            let outcomes = events
                .iter()
                .map(|event| &event["outcome"])
                .filter(|it| kind_of(&text_of(&it["tool"])).is_some());
            outcomes.filter(|it| it["outcome"] == outcome).count()
        };
        let asked = |turn: &[ScriptedCall]| {
            turn.iter().any(|call| day.script.person.iter().any(|it| it.is_about(call)))
        };
        let turns = day.script.turns.iter().zip(&conversation.turns);
        Self {
            counts: Counts {
                reads: count(CallKind::Read),
                writes: count(CallKind::Write),
                sends: count(CallKind::Send),
                questions,
                taps,
                notices: sent.len() - questions,
                ran: outcomes("done"),
                denied: events.iter().filter(|event| event["task"]["state"] == "denied").count(),
                entries: count_by_entry(day, &events),
            },
            seconds_waited: turns.filter(|(turn, _)| asked(turn)).map(|(_, played)| played.seconds).sum(),
            context_bytes: conversation.context_bytes,
        }
    }
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallKind {
    Read,
    Write,
    Send,
}

/// None for Portero's own tools.
fn kind_of(tool: &str) -> Option<CallKind> {
    let (server, name) = tool.split_once('/')?;
    let changes = ["write", "edit", "create", "move", "delete", "add", "commit", "checkout", "reset"];
    let name = name.strip_prefix("git_").unwrap_or(name);
    match server {
        "portero" => None,
        "mail" => Some(CallKind::Send),
        _ if changes.iter().any(|word| name.starts_with(word)) => Some(CallKind::Write),
        _ => Some(CallKind::Read),
    }
}

/// The events of the whole audit, in order.
fn audit_events(day: &Day) -> Vec<Value> {
    let output = day.home.run(&["logs", "--json", "--limit", "10000"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let event = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("each line is JSON");
        line["record"]["event"].take()
    };
    text.lines().map(event).collect()
}

fn count_by_entry(day: &Day, events: &[Value]) -> BTreeMap<String, EntryCounts> {
    let mut entries: BTreeMap<String, EntryCounts> = BTreeMap::new();
    for event in events {
        let (intent, task) = (&event["intent"], &event["task"]);
        if !intent.is_null() && intent["task"].is_null() && kind_of(&text_of(&intent["tool"])).is_some() {
            let reason = text_of(&intent["reason"]);
            let entry = entries.entry(reason.split('`').nth(1).unwrap_or_default().to_owned()).or_default();
            *(if reason.contains("(grant ") { &mut entry.granted } else { &mut entry.allowed }) += 1;
        }
        if task["state"] == "pending-approval" {
            let task = day.home.json(&["task", &text_of(&task["task"])]);
            entries.entry(text_of(&task["decision"]["pattern"])).or_default().asked += 1;
        }
    }
    entries
}

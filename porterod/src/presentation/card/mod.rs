//! The card that asks a person, and the outcome that replaces it, as data.
//!
//! A card contains everything that would run (guarantee A3). A channel that can't show it whole sends
//! [`call_document`] too, and then an approval needs a second press. All functions here are pure.

mod outcome;
mod scope_text;

use portero::call::{Call, Method};
use portero::catalog::ToolHints;
use portero::ipc::InspectedTask;
use portero::ipc::requests::definitions::{DefinitionDifference, TaskDefinition};
use portero::json::pretty::{escape_invisible, pretty_print};
use portero::json::{RawJson, RawObject, serialize_raw};
use portero::names::TaskId;
use portero::task::{ChildLoss, Task};

pub use self::outcome::{DecidedBy, FollowUp, RecordedDecision, outcome_text};
pub(super) use self::outcome::{answer_text, verdict_title};
pub use self::scope_text::{ScopeEffect, choose_fields_text, confirm_text, refused_scope_text};
use super::ViewContext;
use super::definitions::append_differences;
use super::format::{self, CallField, CallReading, FieldLabel};
use super::text::{EscapedText, StyledText};
use super::time_format;

/// Longer calls are shown in the document only, and without indentation. Indented JSON can be forty times as
/// long, which is more than a channel accepts.
const MAX_RENDERED_CALL_BYTES: usize = 512 << 10;
/// How many characters of an id are shown. They come from its random end, as on the terminal.
const SHORT_ID_CHARS: usize = 8;

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The question.
    pub title: &'static str,
    /// The tool that would run.
    pub tool: EscapedText,
    /// The tool's name at its server, if it differs from the readable name in policy.
    pub server_name: Option<EscapedText>,
    /// The requester, the reason and the deadline.
    pub details: Vec<CallField>,
    /// Everything that the server gets; none if only the document has it.
    pub call: Option<CallReading>,
    /// The definition because of which it asks, if it does.
    pub definition: Option<StyledText>,
    /// The method, if it isn't `tools/call`.
    pub method: Option<EscapedText>,
    /// The length of the call.
    pub call_bytes: u64,
}

/// The whole call as a file, named by its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallDocument {
    /// Its file name.
    pub name: String,
    /// Its content in UTF-8.
    pub bytes: Vec<u8>,
    /// Its caption.
    pub caption: StyledText,
}

impl Card {
    /// The card of a task; `hints` are the annotations of the tool's server, if known.
    #[must_use]
    pub fn new(look: &InspectedTask, view: &ViewContext<'_>) -> Self {
        let InspectedTask { task, void, definition, .. } = look;
        let call = &task.call;
        Self {
            title: if void.is_some() { "This would not run any more" } else { "May this run?" },
            tool: tool_name(task),
            server_name: call.odd_name().map(|odd| EscapedText::line(&odd)),
            details: detail_fields(look, view),
            call: is_renderable(call).then(|| read_call(call)),
            definition: definition.as_ref().map(definition_text),
            method: (call.method != Method::CallTool).then(|| EscapedText::line(call.method.as_str())),
            call_bytes: u64::try_from(call.params.get().get().len()).unwrap_or(u64::MAX),
        }
    }

    /// The question with the requester, the reason and the deadline.
    #[must_use]
    pub fn head_text(&self) -> StyledText {
        let text = StyledText::new().bold(self.title).literal("\n").code(&self.tool);
        let text = match &self.server_name {
            Some(name) => text.literal("\n").bold("Named by its server").literal(": ").code(name),
            None => text,
        };
        append_fields(text.literal("\n\n"), &self.details)
    }

    /// Everything that the server gets.
    #[must_use]
    pub fn call_text(&self) -> StyledText {
        let Some(CallReading { kind, fields }) = &self.call else {
            return StyledText::new()
                .literal("The call has ")
                .number(self.call_bytes)
                .literal(" bytes and is only in the document.");
        };
        let text = StyledText::new().bold(kind);
        let text = match &self.method {
            Some(method) => text.literal(", by ").code(method),
            None => text,
        };
        append_fields(text, fields)
    }

    /// Everything that the server gets, and the definition because of which it asks.
    #[must_use]
    pub fn body_text(&self) -> StyledText {
        match &self.definition {
            Some(definition) => self.call_text().literal("\n\n").append(definition.clone()),
            None => self.call_text(),
        }
    }

    /// The question and the whole call, of any length.
    #[must_use]
    pub fn text(&self) -> StyledText {
        self.head_text().literal("\n\n").append(self.body_text())
    }
}

/// The whole call as JSON, or a note that it is too long.
#[must_use]
pub fn json_text(look: &InspectedTask) -> StyledText {
    let task = &look.task;
    let title =
        StyledText::new().bold("The call as JSON").literal(" of ").code(&tool_name(task)).literal("\n");
    if is_renderable(&task.call) {
        title.pre(&EscapedText::json(&whole_call(look)))
    } else {
        title.literal("It is too long to be shown here; it is in the document.")
    }
}

/// The whole call as a document.
#[must_use]
pub fn call_document(look: &InspectedTask) -> CallDocument {
    let (task, whole) = (&look.task, whole_call(look));
    // Indentation multiplies the length, so a long call keeps its own layout.
    let text = if is_renderable(&task.call) { pretty_print(whole.get()) } else { whole.get().to_owned() };
    let id = short_id(task.id);
    let caption =
        StyledText::new().literal("The whole call of ").code(&tool_name(task)).literal(", task ").code(&id);
    let name = format!("call-{}.json", id.as_str());
    // The document is read by a person too, so invisible characters are visible in it as well.
    CallDocument { name, bytes: escape_invisible(&text).into_owned().into_bytes(), caption }
}

/// The end of a task's id, with which a person can name it.
#[must_use]
pub fn short_id(id: TaskId) -> EscapedText {
    let id = id.to_string();
    // The beginning of an id is its time, which tasks of one burst share.
    EscapedText::line(&id[id.len() - SHORT_ID_CHARS..])
}

/// The requester, the reason and the deadline.
fn detail_fields(look: &InspectedTask, view: &ViewContext<'_>) -> Vec<CallField> {
    let InspectedTask { task, hints, loss, void, definition: _ } = look;
    let code = |text: &str| StyledText::new().code(&EscapedText::line(text));
    let mut fields = origin_fields(task);
    let mut add = |label, value| fields.push(CallField { label: FieldLabel::Own(label), value });
    if let Some(why) = void {
        let end = ". Deny it; if the agent makes the same call again, you are asked about it as it is then";
        add("Cause", code(why.get()).literal(end));
    }
    add("Server's hints", hints_text(*hints));
    // Another process would not help a call that doesn't run anywhere.
    if let (Some(loss), None) = (loss, void) {
        add("Another process", StyledText::new().literal(describe_loss(*loss)));
    }
    add("Why", code(&task.decision.to_string()));
    for quorum in &task.quorums {
        add("Needs", code(&quorum.to_string()));
    }
    if let Some(voted) = votes_text(task, view) {
        add("Approved so far", voted);
    }
    add("Until", time_format::format_deadline(task.expires, view.now, view.zone));
    add("Task", StyledText::new().code(&short_id(task.id)));
    fields
}

/// The votes with their times; none if there are no votes.
fn votes_text(task: &Task, view: &ViewContext<'_>) -> Option<StyledText> {
    let mut text: Option<StyledText> = None;
    for vote in &task.votes {
        let so_far = text.map_or_else(StyledText::new, |text| text.literal("; "));
        let whose = so_far.code(&EscapedText::line(&format!("user {}", vote.user))).literal(", ");
        text = Some(whose.append(time_format::format_time(vote.at, view.now, view.zone)));
    }
    text
}

/// The tool's name in policy.
pub(super) fn tool_name(task: &Task) -> EscapedText {
    EscapedText::line(&task.call.tool.to_string())
}

/// The requester, and the directory in which the call would run.
fn origin_fields(task: &Task) -> Vec<CallField> {
    let origin = &task.origin;
    let session = origin.session.to_string();
    let code = |text: &str| StyledText::new().code(&EscapedText::line(text));
    let field = |label, value| CallField { label: FieldLabel::Own(label), value };
    let project = code(origin.principal.as_str());
    let short_id = EscapedText::line(&session[session.len() - SHORT_ID_CHARS..]);
    let project = match origin.principal.remote_name() {
        Some(name) => field("From", code(name).literal(" over HTTPS, session ").code(&short_id)),
        None => field("Project", project.literal(", session ").code(&short_id)),
    };
    let mut fields = vec![field("Asks", code(origin.client.get())), project];
    // The directory repeats the project in most calls, so it is shown only if it differs.
    if origin.directory.as_os_str() != origin.principal.as_str() {
        fields.push(field("Runs in", code(&origin.directory.to_string_lossy())));
    }
    fields
}

/// The requester, and the directory in which the call would run, a line for each.
pub(super) fn origin_text(task: &Task) -> StyledText {
    append_fields(StyledText::new(), &origin_fields(task))
}

/// The annotations of the tool, which are only the server's claim (MCP, "`ToolAnnotations`").
fn hints_text(hints: Option<ToolHints>) -> StyledText {
    let Some(ToolHints { read_only, destructive, idempotent, open_world }) = hints else {
        return StyledText::new().literal("not known now");
    };
    let said = [
        read_only.map(|yes| if yes { "only reads" } else { "writes" }),
        destructive.map(|yes| if yes { "may delete" } else { "deletes nothing" }),
        idempotent.map(|yes| if yes { "safe to repeat" } else { "not safe to repeat" }),
        open_world.map(|yes| if yes { "reaches outside" } else { "local only" }),
    ];
    let mut text = StyledText::new();
    for words in said.into_iter().flatten() {
        text = if text.is_empty() { text } else { text.literal(", ") };
        text = text.literal(words);
    }
    if text.is_empty() { text.literal("none") } else { text }
}

/// What a person must know before they let a call run in another process.
const fn describe_loss(loss: ChildLoss) -> &'static str {
    match loss {
        ChildLoss::SessionEnded => {
            "the session that asked has ended. Run now, it has neither that session's directory and variables nor what was \
             open there"
        }
        ChildLoss::ServerRestarted => {
            "its server was restarted since it was asked. Run now, it has nothing of what was open or set there"
        }
    }
}

/// Adds a line for each field.
fn append_fields(text: StyledText, fields: &[CallField]) -> StyledText {
    fields.iter().fold(text, |text, CallField { label, value }| {
        let between = if value.is_block() { ":" } else { ": " };
        text.on_new_line().append(label.to_text()).literal(between).append(value.clone())
    })
}

/// The arguments by their formatter, and the other members that the server gets.
pub(super) fn read_call(call: &Call) -> CallReading {
    let mut reading = format::read_arguments(&call.tool, call.arguments());
    let mut add = |label, value: &RawJson| {
        reading.fields.push(CallField { label: FieldLabel::Own(label), value: format::as_json(value) });
    };
    if let Some(beside) = members_beside_arguments(call) {
        add("Beside the arguments", &beside);
    }
    if let Some(meta) = &call.meta {
        // Claude Code sends an id with each call, which isn't worth three lines.
        let value = format::as_line_of_json(meta.get());
        reading.fields.push(CallField { label: FieldLabel::Own("Meta"), value });
    }
    reading
}

/// The members besides the tool's name and its arguments, if any.
fn members_beside_arguments(call: &Call) -> Option<RawJson> {
    match call.method {
        Method::CallTool => {
            let beside = RawObject::read(call.params.get())
                .ok()?
                .without_members(|key| matches!(key, "name" | "arguments"));
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // The name stays in, because a prompt has another name in policy than at its server.
        Method::GetPrompt => {
            let beside = RawObject::read(call.params.get()).ok()?.without_members(|key| key == "arguments");
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // For these methods the arguments are already the whole params.
        Method::ReadResource | Method::SubscribeResource | Method::UnsubscribeResource | Method::Complete => {
            None
        }
    }
}

/// Whether a call is short enough for a card.
pub(super) fn is_renderable(call: &Call) -> bool {
    let meta = call.meta.as_ref().map_or(0, |meta| meta.get().get().len());
    call.params.get().get().len() + meta <= MAX_RENDERED_CALL_BYTES
}

/// The definition because of which a call asks, with everything that is different in it.
fn definition_text(definition: &TaskDefinition) -> StyledText {
    let text = StyledText::new().bold("Its definition").literal(
        ": a yes to this call accepts nothing. Once it is accepted, allowed calls run by it in every session.",
    );
    append_differences(text, &definition.differences)
}

/// The lines of a definition's differences, as JSON for the document.
fn definition_json(definition: &TaskDefinition) -> RawJson {
    let difference = |difference: &DefinitionDifference| {
        let lines = difference.lines.iter().map(|line| format!("{}{}", line.change.mark(), line.text));
        serde_json::json!({
            "item": difference.item, "isNew": difference.is_new, "lines": lines.collect::<Vec<_>>(),
        })
    };
    serialize_raw(&definition.differences.iter().map(difference).collect::<Vec<_>>())
}

/// The whole call: its name in policy, every byte that the server gets, and the definition because of which it asks.
fn whole_call(look: &InspectedTask) -> RawJson {
    let call = &look.task.call;
    let (tool, method) = (serialize_raw(&call.tool), serialize_raw(call.method.as_str()));
    let object = RawObject::default()
        .with_member("tool", &tool)
        .with_member("method", &method)
        .with_member("params", call.params.get());
    let object = match &call.meta {
        Some(meta) => object.with_member("_meta", meta.get()),
        None => object,
    };
    match &look.definition {
        Some(definition) => object.with_member("definition", &definition_json(definition)).to_raw(),
        None => object.to_raw(),
    }
}

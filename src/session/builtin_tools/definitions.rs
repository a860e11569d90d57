//! The definitions of Portero's own tools for `tools/list`.

use serde_json::{Value, json};

use super::BuiltinTool;
use crate::json::{self, RawJson};
use crate::names::ToolId;
use crate::task::TaskState;

/// The definitions of the tools that `visible` admits, as members of a JSON array without its brackets.
pub(in crate::session) fn definitions_json(visible: impl Fn(&ToolId) -> bool) -> String {
    BuiltinTool::ALL
        .into_iter()
        .filter(|own| visible(&own.id()))
        .map(|own| definition(own).to_string())
        .collect::<Vec<_>>()
        .join(",")
}

/// The result of `tools/list` if no server offers anything: Portero's own tools.
#[must_use]
pub fn builtin_list_result() -> RawJson {
    json::serialize_raw(&json!({ "tools": BuiltinTool::ALL.map(definition) }))
}

fn definition(own: BuiltinTool) -> Value {
    let (title, description) = title_and_description(own);
    let (properties, required) = argument_schema(own);
    let mut annotations = json!({ "title": title });
    match own {
        BuiltinTool::SearchTools | BuiltinTool::Explain | BuiltinTool::CheckTask | BuiltinTool::ListTasks => {
            annotations["readOnlyHint"] = json!(true);
            annotations["openWorldHint"] = json!(false);
        }
        BuiltinTool::CancelTask => {
            annotations["readOnlyHint"] = json!(false);
            annotations["destructiveHint"] = json!(false);
            annotations["openWorldHint"] = json!(false);
        }
        BuiltinTool::Call => {}
    }
    json!({
        "name": format!("portero__{}", own.name()),
        "title": title,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        },
        "annotations": annotations,
    })
}

/// The title and the description.
const fn title_and_description(own: BuiltinTool) -> (&'static str, &'static str) {
    match own {
        BuiltinTool::SearchTools => (
            "Search tools",
            "Finds tools of all connected servers by what they do, also those that are not listed here. \
             Tells each tool's full name, description, input schema, and whether a call is allowed or needs a \
             person's approval. Call what you found directly if it is listed, or with portero__call.",
        ),
        BuiltinTool::Call => (
            "Call any tool",
            "Calls any tool of any connected server by its full name, such as \"github/create_issue\". The \
             same policy holds as for a direct call: it may run, need a person's approval, or be refused.",
        ),
        BuiltinTool::Explain => (
            "Explain a call",
            "Tells what would come of a call without making it: whether it runs, asks a person, is denied or is \
             refused, and why; also what does not fit the tool's input schema.",
        ),
        BuiltinTool::CheckTask => (
            "Check a waiting call",
            "Tells how a call stands that waits for a person's approval, by its taskId. Once the call ran, \
             this returns the called tool's own result. With wait_seconds it waits that long for a decision.",
        ),
        BuiltinTool::ListTasks => (
            "List waiting calls",
            "Lists the calls of this project that wait for a person's approval or were decided, the newest \
             first, also those of earlier sessions.",
        ),
        BuiltinTool::CancelTask => (
            "Take back a waiting call",
            "Takes back a call of this project that waits for a person's approval, or that was approved and \
             has not started, by its taskId. What runs already goes on.",
        ),
    }
}

/// The properties, and the names of the required ones.
fn argument_schema(own: BuiltinTool) -> (Value, Value) {
    match own {
        BuiltinTool::SearchTools => (
            json!({
                "query": { "type": "string",
                    "description": "Words that say what the tool should do; empty lists everything." },
                "category": { "type": "string", "description": "Only tools of this server or category." },
            }),
            json!(["query"]),
        ),
        BuiltinTool::Call | BuiltinTool::Explain => (
            json!({
                "tool": { "type": "string", "description": "The tool's full name, \"server/tool\"." },
                "args": { "type": "object", "description": "The tool's own arguments.",
                    "additionalProperties": true },
            }),
            json!(["tool"]),
        ),
        BuiltinTool::CheckTask => (
            json!({
                "task_id": { "type": "string", "description": "The taskId from the pending answer." },
                "wait_seconds": { "type": "integer", "minimum": 0,
                    "maximum": super::MAX_WAIT.as_secs(),
                    "description": "How long to wait for a final state; by default it does not wait." },
            }),
            json!(["task_id"]),
        ),
        BuiltinTool::ListTasks => (
            json!({
                "status": { "type": "string", "enum": TaskState::ALL.map(TaskState::as_str),
                    "description": "Only tasks in this state." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100,
                    "description": "At most so many; 20 by default." },
            }),
            json!([]),
        ),
        BuiltinTool::CancelTask => (
            json!({
                "task_id": { "type": "string", "description": "The taskId from the pending answer." },
            }),
            json!(["task_id"]),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_what_clients_accept() {
        let all: Vec<Value> =
            serde_json::from_str(&format!("[{}]", definitions_json(|_| true))).expect("an array of objects");
        assert_eq!(all.len(), BuiltinTool::ALL.len());
        for tool in all {
            let name = tool["name"].as_str().expect("a name");
            assert!(BuiltinTool::from_name(name).is_some(), "{name}");
            assert!(tool["description"].as_str().is_some_and(|text| text.len() < 1_000), "{name}");
            assert_eq!(tool["inputSchema"]["type"], "object");
            jsonschema::validator_for(&tool["inputSchema"]).expect("a schema");
        }
    }

    #[test]
    fn what_policy_denies_is_left_out() {
        let left = definitions_json(|tool| tool.tool.as_str() == "call");
        assert!(left.contains("portero__call") && !left.contains("\"portero__search_tools\""));
    }
}

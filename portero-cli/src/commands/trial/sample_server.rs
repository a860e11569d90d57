//! A small mail and notes server inside the binary. It speaks MCP on stdin and stdout, has the real values of
//! a made-up person, and records each call.

use std::fs::File;
use std::io::{self, BufRead as _, Write};

use portero::files;
use serde_json::{Value, json};

use crate::args;
use crate::failure::{CommandFailure, CommandResult};

/// The made-up person's real values; `portero try` hides them from the agent.
pub(super) const REAL_NAME: &str = "Marta Lindqvist";
/// Her address.
pub(super) const REAL_EMAIL: &str = "marta.lindqvist@northwind.test";
/// A key in one of her notes.
pub(super) const REAL_KEY: &str = "nwk_live_7Qd93xVbT2";

/// Serves until stdin ends.
pub(crate) fn run(args: &args::SampleServerArgs) -> CommandResult {
    let record = args.record.as_ref().map(|path| {
        files::open_for_append(path).map_err(|error| {
            CommandFailure::usage(format!("could not open `{}`", path.display())).caused_by(&error)
        })
    });
    let mut server = MailServer { record: record.transpose()?, mails: sample_mails() };
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        // A notification has no id and gets no answer.
        let Some(id) = message.get("id").filter(|_| message.get("method").is_some()) else { continue };
        let method = message["method"].as_str().unwrap_or_default();
        let answer = match server.answer_request(method, &message["params"]) {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, text)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}})
            }
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

struct MailServer {
    record: Option<File>,
    mails: Vec<SampleMail>,
}

/// The text of a result. `Err(Some(…))` is a result with `isError`, `Err(None)` an unknown tool.
type ToolAnswer = Result<String, Option<String>>;

struct SampleMail {
    id: u64,
    from: String,
    subject: &'static str,
    body: String,
}

struct SampleNote {
    id: u64,
    title: &'static str,
    text: String,
}

impl MailServer {
    fn answer_request(&mut self, method: &str, params: &Value) -> Result<Value, (i32, String)> {
        match method {
            "initialize" => Ok(json!({
                "protocolVersion": params["protocolVersion"].as_str().filter(|asked| *asked <= "2025-11-25").unwrap_or("2025-11-25"),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "portero-sample", "version": env!("CARGO_PKG_VERSION")},
                "instructions": "Mail and notes of one made-up person.",
            })),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(json!({"tools": tool_definitions()})),
            "tools/call" => {
                let name = params["name"].as_str().unwrap_or_default();
                let arguments = &params["arguments"];
                let answer = self.call_tool(name, arguments);
                self.record_call(name, arguments, &answer).map_err(|error| (-32603, error.to_string()))?;
                match answer {
                    Ok(text) => Ok(json!({"content": [{"type": "text", "text": text}]})),
                    Err(Some(text)) => {
                        Ok(json!({"content": [{"type": "text", "text": text}], "isError": true}))
                    }
                    Err(None) => Err((-32602, format!("unknown tool: {name}"))),
                }
            }
            other => Err((-32601, format!("method not found: {other}"))),
        }
    }

    fn record_call(&mut self, tool: &str, arguments: &Value, answer: &ToolAnswer) -> io::Result<()> {
        let Some(file) = &mut self.record else { return Ok(()) };
        let answer = answer.as_ref().map_or_else(Clone::clone, |text| Some(text.clone()));
        let line = json!({"tool": tool, "arguments": arguments, "answer": answer});
        file.write_all(format!("{line}\n").as_bytes())
    }

    fn call_tool(&mut self, tool: &str, arguments: &Value) -> ToolAnswer {
        let text = |key: &str| arguments[key].as_str().unwrap_or_default();
        match tool {
            "list_mail" => Ok(join_lines(self.mails.iter().map(SampleMail::summary))),
            "search_mail" => {
                let query = text("query").to_lowercase();
                Ok(join_lines(
                    self.mails
                        .iter()
                        .filter(|mail| mail.full_text().to_lowercase().contains(&query))
                        .map(SampleMail::summary),
                ))
            }
            "read_mail" => self.find_mail(arguments).map(SampleMail::full_text),
            "send_mail" => Ok(format!("sent to {}: {}\nsigned by {REAL_NAME}", text("to"), text("subject"))),
            "delete_mail" => {
                let id = self.find_mail(arguments)?.id;
                self.mails.retain(|mail| mail.id != id);
                Ok(format!("deleted mail {id}"))
            }
            "list_notes" => {
                Ok(join_lines(sample_notes().iter().map(|note| format!("{}: {}", note.id, note.title))))
            }
            "read_note" => sample_notes()
                .into_iter()
                .find(|note| Some(note.id) == arguments["id"].as_u64())
                .map(|note| format!("{}\n\n{}", note.title, note.text))
                .ok_or_else(|| Some("there is no such note".to_owned())),
            "write_note" => Ok(format!("wrote the note `{}`", text("title"))),
            _ => Err(None),
        }
    }

    fn find_mail(&self, arguments: &Value) -> Result<&SampleMail, Option<String>> {
        let id = arguments["id"].as_u64();
        self.mails
            .iter()
            .find(|mail| Some(mail.id) == id)
            .ok_or_else(|| Some("there is no such mail".to_owned()))
    }
}

impl SampleMail {
    fn summary(&self) -> String {
        format!("{}: {} (from {})", self.id, self.subject, self.from)
    }

    fn full_text(&self) -> String {
        format!(
            "From: {}\nTo: {REAL_NAME} <{REAL_EMAIL}>\nSubject: {}\n\n{}",
            self.from, self.subject, self.body
        )
    }
}

fn join_lines(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("\n")
}

fn sample_mails() -> Vec<SampleMail> {
    vec![
        SampleMail {
            id: 1,
            from: "Tomás Rey <tomas@printers.test>".to_owned(),
            subject: "Invoice 4471",
            body: format!("Dear {REAL_NAME},\nplease confirm invoice 4471 (310.50 EUR) by Friday.\nTomás"),
        },
        SampleMail {
            id: 2,
            from: format!("{REAL_NAME} <{REAL_EMAIL}>"),
            subject: "Reminder to self",
            body: format!("The key of the print service is {REAL_KEY}."),
        },
    ]
}

fn sample_notes() -> Vec<SampleNote> {
    vec![
        SampleNote { id: 1, title: "Print service", text: format!("account of {REAL_NAME}, key {REAL_KEY}") },
        SampleNote { id: 2, title: "Groceries", text: "bread, olives, coffee".to_owned() },
    ]
}

fn tool_definitions() -> Value {
    let number = json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]});
    let none = json!({"type": "object", "properties": {}});
    let texts = |keys: &[&str]| {
        let properties: serde_json::Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), json!({"type": "string"}))).collect();
        json!({"type": "object", "properties": properties, "required": keys})
    };
    let tool = |name: &str, description: &str, schema: &Value, read_only: bool| {
        json!({
            "name": name, "description": description, "inputSchema": schema,
            "annotations": {"readOnlyHint": read_only},
        })
    };
    json!([
        tool("list_mail", "List the mails in the inbox", &none, true),
        tool("read_mail", "Read one mail whole", &number, true),
        tool("search_mail", "Find mails that hold a text", &texts(&["query"]), true),
        tool("send_mail", "Send a mail", &texts(&["to", "subject", "body"]), false),
        tool("delete_mail", "Delete a mail for ever", &number, false),
        tool("list_notes", "List the notes", &none, true),
        tool("read_note", "Read one note", &number, true),
        tool("write_note", "Write a note", &texts(&["title", "text"]), false),
    ])
}

//! Tasks and views for tests.

use portero::catalog::Hints;
use portero::ipc::Look;
use portero::names::TaskId;
use portero::notice::{Entry, Notice};
use portero::task::State;
use serde_json::{Value, json};

use super::state::View;

/// The moment that tests live in.
pub(super) const NOW: &str = "2026-11-20T08:00:00Z";

/// The id of task `number`.
pub(super) fn id(number: u8) -> TaskId {
    format!("019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e{number:02}").parse().unwrap()
}

/// A task that was asked `number` minutes before now and waits.
pub(super) fn look(number: u8, tool: &str, arguments: &Value) -> Look {
    let name = tool.split_once('/').unwrap().1;
    let asked = format!("2026-11-20T07:{:02}:00Z", 60 - number);
    let task = json!({
        "id": id(number),
        "state": "pending-approval",
        "call": {"tool": tool, "method": "tools/call", "params": {"name": name, "arguments": arguments}},
        "decision": {
            "action": "require-approval", "pattern": null, "source": "default", "locked": false,
        },
        "origin": {
            "principal": "/home/ada/work/letters", "session": id(99),
            "client": "claude-code 2.1.328", "directory": "/home/ada/work/letters",
        },
        "binding": "", "asked": asked, "expires": "2026-11-21T07:30:00Z", "changed": asked,
        "note": null, "result": null, "error": null,
    });
    let task = serde_json::from_str(&task.to_string()).unwrap();
    let hints = Hints { read_only: Some(false), destructive: Some(true), ..Hints::default() };
    Look { task, hints: Some(hints) }
}

/// A call with a text that is longer than a screen.
pub(super) fn long() -> Value {
    let lines: Vec<String> = (1..=40).map(|line| format!("line {line} of the letter")).collect();
    json!({"to": "jane@example.com", "lines": lines})
}

/// A view of this size in which tasks 9, 5 and 1 wait, in this order; the first is selected.
pub(super) fn view(size: (u16, u16)) -> View {
    let mut view = View::new(NOW.parse().unwrap(), size);
    view.anew(&[id(1), id(5), id(9)]);
    view.waits(look(5, "office/send_mail", &json!({"to": "jane@example.com", "subject": "Lunch?"})));
    view.waits(look(1, "notes/delete", &json!({"id": 7})));
    view.waits(look(9, "office/send_letter", &long()));
    view.selected = Some(id(9));
    view.scroll = 0;
    view.settle();
    view
}

/// Task `number` came into `state`.
pub(super) fn came(number: u8, state: State) -> Entry {
    let notice = Notice::Task {
        task: id(number),
        tool: "office/send_mail".parse().unwrap(),
        state,
        by: "terminal pid 7".to_owned(),
        note: None,
    };
    Entry { seq: 1, at: NOW.parse().unwrap(), notice }
}

//! Tasks and views for tests.

use portero::catalog::ToolHints;
use portero::ipc::InspectedTask;
use portero::names::TaskId;
use portero::notice::{Notice, NoticeEntry};
use portero::task::TaskState;
use serde_json::{Value, json};

use super::state::PendingView;

/// The moment that tests live in.
pub(super) const TEST_NOW: &str = "2026-11-20T08:00:00Z";

/// The id of task `number`.
pub(super) fn task_id(number: u8) -> TaskId {
    format!("019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e{number:02}").parse().unwrap()
}

/// A task that was asked `number` minutes before now and waits.
pub(super) fn waiting_task(number: u8, tool: &str, arguments: &Value) -> InspectedTask {
    let name = tool.split_once('/').unwrap().1;
    let asked = format!("2026-11-20T07:{:02}:00Z", 60 - number);
    let task = json!({
        "id": task_id(number),
        "state": "pending-approval",
        "call": {"tool": tool, "method": "tools/call", "params": {"name": name, "arguments": arguments}},
        "decision": {
            "action": "require-approval", "pattern": null, "source": "default", "locked": false,
        },
        "origin": {
            "principal": "/home/ada/mail/letters", "session": task_id(99),
            "client": "claude-code 2.1.328", "directory": "/home/ada/mail/letters",
        },
        "binding": "", "asked": asked, "expires": "2026-11-21T07:30:00Z", "changed": asked,
        "note": null, "result": null, "error": null,
    });
    let task = serde_json::from_str(&task.to_string()).unwrap();
    let hints = ToolHints { read_only: Some(false), destructive: Some(true), ..ToolHints::default() };
    InspectedTask { task, hints: Some(hints), loss: None, void: None, definition: None }
}

/// A call with a text that is longer than a screen.
pub(super) fn long_arguments() -> Value {
    let lines: Vec<String> = (1..=40).map(|line| format!("line {line} of the letter")).collect();
    json!({"to": "jane@example.com", "lines": lines})
}

/// A view of this size in which tasks 9, 5 and 1 wait, in this order; the first is selected.
pub(super) fn sample_view(size: (u16, u16)) -> PendingView {
    let mut view = PendingView::new(TEST_NOW.parse().unwrap(), size);
    view.reset_waiting(&[task_id(1), task_id(5), task_id(9)]);
    view.update_task(waiting_task(
        5,
        "office/send_mail",
        &json!({"to": "jane@example.com", "subject": "Lunch?"}),
    ));
    view.update_task(waiting_task(1, "notes/delete", &json!({"id": 7})));
    view.update_task(waiting_task(9, "office/send_letter", &long_arguments()));
    view.selected = Some(task_id(9));
    view.scroll = 0;
    view.normalize();
    view
}

/// Task `number` came into `state`.
pub(super) fn state_notice(number: u8, state: TaskState) -> NoticeEntry {
    let notice = Notice::Task {
        task: task_id(number),
        tool: "office/send_mail".parse().unwrap(),
        state,
        by: "terminal pid 7".into(),
        note: None,
    };
    NoticeEntry { seq: 1, at: TEST_NOW.parse().unwrap(), notice }
}

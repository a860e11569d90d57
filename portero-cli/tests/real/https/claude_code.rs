//! The real Claude Code with a scripted model and an entry of type `http`.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::HttpsHome;
use crate::approvals::filesystem_home;
use crate::claude::ClaudeFixture;
use crate::peers::peers;

fn entry(https: &HttpsHome, token: &str) -> Value {
    json!({"type": "http", "url": https.url(), "headers": {"Authorization": format!("Bearer {token}")}})
}

/// Runs Claude Code without a terminal; meanwhile the person does what `meanwhile` says.
fn run_headless(https: &HttpsHome, stage: &ClaudeFixture<'_>, meanwhile: impl FnOnce()) -> Output {
    let mut command = Command::new(peers().claude());
    command.args(["-p", "Write to her."]).args(stage.claude_arguments());
    let mut command = stage.with_quiet_environment(command);
    command.env("NODE_EXTRA_CA_CERTS", &https.certificate);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = command.spawn().expect("Claude Code runs");
    meanwhile();
    running.wait_with_output().expect("it ends")
}

#[test]
fn claude_code_reads_is_denied_and_waits_for_the_person() {
    let home = filesystem_home();
    home.write(
        "replacements.json",
        &json!({"replacements": [{"fake": "John Doe", "real": "Ada Lovelace", "bidirectional": true}]}),
    );
    let https = HttpsHome::open(home, json!({}));
    std::fs::write(https.note(), "Dear Ada Lovelace, all is well.").expect("writable");
    let token = https.create_token("laptop");
    let denied =
        json!({"tool": "files/move_file", "args": {"source": https.note(), "destination": https.reply()}});
    let script = json!([
        {"tool": "mcp__portero__files__read_text_file", "input": {"path": https.note()}},
        {"tool": "mcp__portero__portero__call", "input": denied},
        {"tool": "mcp__portero__files__write_file", "input": {"path": https.reply(), "content": "Yours, John Doe"}},
        {"tool": "mcp__portero__portero__check_task", "input": {"task_id": "${task}", "wait_seconds": 50}},
        {"text": "The reply is there."},
    ]);
    let stage = ClaudeFixture::with_entry(&https.home, &script, &entry(&https, &token));
    let output = run_headless(&https, &stage, || https.approve_when_asked());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("The reply is there."), "{said}");

    let sent = stage.model_requests();
    assert!(sent.contains("Dear John Doe, all is well."), "the read reached the model concealed");
    assert!(!sent.contains("Ada Lovelace"), "the vendor never gets the real name");
    assert!(sent.contains("files/move_*"), "the refusal names the rule");
    assert!(sent.contains("Successfully wrote"), "the result of the approved call reached the model");
    assert_eq!(std::fs::read_to_string(https.reply()).expect("written"), "Yours, Ada Lovelace");
    assert!(https.note().exists(), "the denied move did nothing");
}

#[test]
fn claude_code_with_a_wrong_token_gets_no_tool() {
    let https = HttpsHome::start();
    let script = json!([{"text": "No tool is there."}]);
    let stage = ClaudeFixture::with_entry(&https.home, &script, &entry(&https, "portero_wrong"));
    let output = run_headless(&https, &stage, || {});
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!stage.model_requests().contains("mcp__portero__files"), "a tool reached the model");
    assert_eq!(https.home.json(&["status"])["https_clients"], json!([]));
}

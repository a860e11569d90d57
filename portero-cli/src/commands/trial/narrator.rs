//! Prints the story of the trial.

use std::fmt::Display;

use portero::audit::{AuditEvent, SegmentRecord};
use portero::json::pretty::pretty_print;
use portero::names::TaskId;
use portero::task::Task;
use serde_json::{Value, json};

use super::TrialCheck;
use super::agent::{TrialAgent, result_text};
use super::trial_directory::{FAKE_EMAIL, FAKE_NAME, TrialDirectory};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, escape_hidden, quote_block};

/// The width of one of two columns.
const COLUMN_WIDTH: usize = 50;

/// Prints the story, unless JSON is wanted.
pub(super) struct Narrator<'a> {
    output: &'a Output,
}

impl<'a> Narrator<'a> {
    pub(super) const fn new(output: &'a Output) -> Self {
        Self { output }
    }

    /// Prints a line.
    pub(super) fn print_line(&self, line: impl Display) -> CommandResult {
        if !self.output.wants_json() {
            self.output.print_line(line)?;
        }
        Ok(())
    }

    pub(super) fn tell_opening(&self, scene: &TrialDirectory) -> CommandResult {
        self.print_line("Portero, a trial: an agent, a mail server, and you between them.")?;
        self.print_line(format_args!(
            "Everything happens in {} and is removed at the end.",
            scene.directory().display()
        ))
    }

    pub(super) async fn play_listing(&self, agent: &mut TrialAgent) -> CommandResult {
        self.print_line("\n1. The agent connects and lists the tools")?;
        let listed = agent.send_request("tools/list", json!({})).await?;
        let names: Vec<_> = listed["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tool| tool["name"].as_str())
            .collect();
        let (own, office): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("portero"));
        self.print_line(format_args!("   the server's   {}", escape_hidden(&office.join("  "))))?;
        self.print_line(format_args!("   Portero's own  {}", escape_hidden(&own.join("  "))))?;
        self.print_line("   delete_mail is denied by policy, so the agent does not even see it.")
    }

    pub(super) async fn play_reading(&self, agent: &mut TrialAgent, scene: &TrialDirectory) -> CommandResult {
        self.print_line("\n2. The agent searches and reads; policy allows it, so you are not asked")?;
        agent.call_tool("office__list_mail", json!({})).await?;
        // The agent knows only the person's fake name; the server gets the real one.
        agent.call_tool("office__search_mail", json!({"query": FAKE_NAME})).await?;
        let searched =
            scene.received_calls()?.last().map(|call| call.arguments.to_string()).unwrap_or_default();
        self.print_columns("the agent called", "the server got")?;
        self.print_columns(
            &format!("search_mail {}", json!({"query": FAKE_NAME})),
            &format!("search_mail {searched}"),
        )?;
        let read = agent.call_tool("office__read_mail", json!({"id": 2})).await?;
        let answered = scene.received_calls()?.pop().map(|call| call.answer).unwrap_or_default();
        self.print_columns("the agent saw", "the server answered")?;
        for (seen, real) in
            result_text(&read).lines().zip(answered.lines()).filter(|(seen, _)| !seen.is_empty())
        {
            self.print_columns(seen, real)?;
        }
        Ok(())
    }

    pub(super) async fn play_sending(&self, agent: &mut TrialAgent) -> CommandResult<TaskId> {
        self.print_line("\n3. The agent sends a mail; policy asks you first")?;
        let mail = json!({
            "to": "tomas@printers.test",
            "subject": "Re: Invoice 4471",
            "body": format!("Confirmed.\n{FAKE_NAME} <{FAKE_EMAIL}>"),
        });
        let answer = agent.call_tool("office__send_mail", mail).await?;
        let pending = &answer["structuredContent"];
        self.print_line(format_args!(
            "   the agent was told at once: {}",
            escape_hidden(pending["message"].as_str().unwrap_or_default())
        ))?;
        pending["taskId"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| CommandFailure::refused(format!("the agent got no pending answer, but: {answer}")))
    }

    pub(super) fn tell_waiting(&self, task: &Task) -> CommandResult {
        self.print_line(format_args!("\n4. This waits for you: {}", task.call.tool))?;
        let arguments = task.call.arguments().map_or("{}", |arguments| arguments.get());
        self.print_line(quote_block(&pretty_print(arguments)))
    }

    /// Fetches the result, and returns whether it is as expected.
    pub(super) async fn play_fetching(
        &self,
        agent: &mut TrialAgent,
        scene: &TrialDirectory,
        task: TaskId,
        approved: bool,
    ) -> CommandResult<bool> {
        self.print_line("\n5. The agent asks for the result")?;
        let arguments = json!({"task_id": task, "wait_seconds": 20});
        let answer = agent.call_tool(CHECK_TASK, arguments).await?;
        self.print_line(format_args!("   the agent saw  {}", escape_hidden(&answer_text(&answer))))?;
        let got = scene.received_calls()?.into_iter().find(|call| call.tool == "send_mail");
        if let Some(got) = &got {
            self.print_line(format_args!(
                "   the server got {}",
                escape_hidden(&got.arguments["body"].to_string())
            ))?;
        }
        let words = answer.to_string();
        Ok(if approved {
            words.contains("sent to tomas") && words.contains(FAKE_NAME)
        } else {
            words.contains("denied")
        })
    }

    /// Tries to delete, and returns whether it was refused.
    pub(super) async fn play_deleting(&self, agent: &mut TrialAgent) -> CommandResult<bool> {
        self.print_line("\n6. The agent tries to delete a mail all the same")?;
        let answer = agent.call_tool("office__delete_mail", json!({"id": 1})).await?;
        self.print_line(format_args!("   the agent was told: {}", escape_hidden(result_text(&answer))))?;
        Ok(answer["isError"] == true || answer.get("error").is_some())
    }

    pub(super) fn tell_audit(&self, entries: &[SegmentRecord]) -> CommandResult {
        self.print_line("\n7. What the audit says (concealed values only)")?;
        // Starts and configuration records are not part of the story.
        for entry in entries.iter().filter(|entry| {
            !matches!(entry.record.event, AuditEvent::Process { .. } | AuditEvent::Config { .. })
        }) {
            let at = entry.record.at.strftime("%H:%M:%S");
            self.print_line(format_args!("   {at}  {}", escape_hidden(&entry.record.event.to_string())))?;
        }
        Ok(())
    }

    pub(super) fn tell_ending(&self, checks: &[TrialCheck]) -> CommandResult {
        self.print_line("\n8. Checked")?;
        for check in checks {
            self.print_line(format_args!(
                "   {:6} {}",
                if check.holds { "ok" } else { "FAILED" },
                check.what
            ))?;
        }
        self.print_line("\nFor real use")?;
        let directory = portero::paths::Paths::resolve(None, &|name| std::env::var_os(name)).map_or_else(
            |_| "the configuration directory".to_owned(),
            |paths| paths.config.display().to_string(),
        );
        self.print_line(format_args!(
            "   put mcps.json, policies.json and replacements.json into {directory}"
        ))?;
        self.print_line(
            "   portero check                                  reads them and says what is wrong",
        )?;
        self.print_line(
            "   portero passphrase set                         lets you approve; keep it from your agent",
        )?;
        self.print_line(
            "   claude mcp add -s user portero -- portero mcp  and Claude Code works through Portero",
        )
    }

    fn print_columns(&self, left: &str, right: &str) -> CommandResult {
        let left = escape_hidden(left);
        let space = COLUMN_WIDTH.saturating_sub(left.chars().count());
        self.print_line(format_args!("   {left}{:space$} | {}", "", escape_hidden(right)))
    }
}

/// The name of Portero's own tool on the wire.
const CHECK_TASK: &str = "portero__check_task";

fn answer_text(answer: &Value) -> String {
    match result_text(answer) {
        "" => answer.to_string(),
        text => text.to_owned(),
    }
}

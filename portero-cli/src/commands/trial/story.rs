//! How the trial is told.

use std::fmt::Display;

use portero::audit::{Entry, Event};
use portero::json::readable::readable;
use portero::names::TaskId;
use portero::task::Task;
use serde_json::{Value, json};

use super::Check;
use super::agent::{Agent, text};
use super::scene::{FAKE_EMAIL, FAKE_NAME, Scene};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, quoted, visible};

/// How wide a column of two is.
const COLUMN: usize = 50;

/// Tells the trial, unless JSON is wanted.
pub(super) struct Story<'a> {
    output: &'a Output,
}

impl<'a> Story<'a> {
    pub(super) const fn new(output: &'a Output) -> Self {
        Self { output }
    }

    /// Says one line.
    pub(super) fn say(&self, line: impl Display) -> Outcome {
        if !self.output.json() {
            self.output.line(line)?;
        }
        Ok(())
    }

    pub(super) fn opening(&self, scene: &Scene) -> Outcome {
        self.say("Portero, a trial: an agent, a mail server, and you between them.")?;
        self.say(format_args!(
            "Everything happens in {} and is removed at the end.",
            scene.directory().display()
        ))
    }

    pub(super) async fn lists(&self, agent: &mut Agent) -> Outcome {
        self.say("\n1. The agent connects and lists the tools")?;
        let listed = agent.ask("tools/list", json!({})).await?;
        let names: Vec<_> = listed["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tool| tool["name"].as_str())
            .collect();
        let (own, office): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("portero"));
        self.say(format_args!("   the server's   {}", visible(&office.join("  "))))?;
        self.say(format_args!("   Portero's own  {}", visible(&own.join("  "))))?;
        self.say("   delete_mail is denied by policy, so the agent does not even see it.")
    }

    pub(super) async fn reads(&self, agent: &mut Agent, scene: &Scene) -> Outcome {
        self.say("\n2. The agent searches and reads; policy allows it, so nobody is asked")?;
        agent.call("office__list_mail", json!({})).await?;
        // The agent knows the person by the fake name only; the server is asked for the real one.
        agent.call("office__search_mail", json!({"query": FAKE_NAME})).await?;
        let searched = scene.received()?.last().map(|call| call.arguments.to_string()).unwrap_or_default();
        self.beside("the agent called", "the server got")?;
        self.beside(
            &format!("search_mail {}", json!({"query": FAKE_NAME})),
            &format!("search_mail {searched}"),
        )?;
        let read = agent.call("office__read_mail", json!({"id": 2})).await?;
        let answered = scene.received()?.pop().map(|call| call.answer).unwrap_or_default();
        self.beside("the agent saw", "the server answered")?;
        for (seen, real) in text(&read).lines().zip(answered.lines()).filter(|(seen, _)| !seen.is_empty()) {
            self.beside(seen, real)?;
        }
        Ok(())
    }

    pub(super) async fn sends(&self, agent: &mut Agent) -> Outcome<TaskId> {
        self.say("\n3. The agent sends a mail; policy asks you first")?;
        let mail = json!({
            "to": "tomas@printers.test",
            "subject": "Re: Invoice 4471",
            "body": format!("Confirmed.\n{FAKE_NAME} <{FAKE_EMAIL}>"),
        });
        let answer = agent.call("office__send_mail", mail).await?;
        let pending = &answer["structuredContent"];
        self.say(format_args!(
            "   the agent was told at once: {}",
            visible(pending["message"].as_str().unwrap_or_default())
        ))?;
        pending["taskId"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| Failure::refused(format!("the agent got no pending answer, but: {answer}")))
    }

    pub(super) fn waiting(&self, task: &Task) -> Outcome {
        self.say(format_args!("\n4. This waits for you: {}", task.call.tool))?;
        let arguments = task.call.arguments().map_or("{}", |arguments| arguments.get());
        self.say(quoted(&readable(arguments)))
    }

    /// Fetches the result; tells whether it is what it should be.
    pub(super) async fn fetches(
        &self,
        agent: &mut Agent,
        scene: &Scene,
        task: TaskId,
        approved: bool,
    ) -> Outcome<bool> {
        self.say("\n5. The agent asks what became of it")?;
        let arguments = json!({"task_id": task, "wait_seconds": 20});
        let answer = agent.call(CHECK_TASK, arguments).await?;
        self.say(format_args!("   the agent saw  {}", visible(&shown(&answer))))?;
        let got = scene.received()?.into_iter().find(|call| call.tool == "send_mail");
        if let Some(got) = &got {
            self.say(format_args!("   the server got {}", visible(&got.arguments["body"].to_string())))?;
        }
        let words = answer.to_string();
        Ok(if approved {
            words.contains("sent to tomas") && words.contains(FAKE_NAME)
        } else {
            words.contains("denied")
        })
    }

    /// Tries to delete; tells whether it was refused.
    pub(super) async fn deletes(&self, agent: &mut Agent) -> Outcome<bool> {
        self.say("\n6. The agent tries to delete a mail all the same")?;
        let answer = agent.call("office__delete_mail", json!({"id": 1})).await?;
        self.say(format_args!("   the agent was told: {}", visible(text(&answer))))?;
        Ok(answer["isError"] == true || answer.get("error").is_some())
    }

    pub(super) fn audit(&self, entries: &[Entry]) -> Outcome {
        self.say("\n7. What the audit says (concealed values only)")?;
        for entry in entries
            .iter()
            .filter(|entry| !matches!(entry.record.event, Event::Process { .. } | Event::Config { .. }))
        {
            let at = entry.record.at.strftime("%H:%M:%S");
            self.say(format_args!("   {at}  {}", visible(&entry.record.event.to_string())))?;
        }
        Ok(())
    }

    pub(super) fn ending(&self, checks: &[Check]) -> Outcome {
        self.say("\n8. Checked")?;
        for check in checks {
            self.say(format_args!("   {:6} {}", if check.holds { "ok" } else { "FAILED" }, check.what))?;
        }
        self.say("\nFor real use")?;
        let directory = portero::paths::Paths::resolve(None, &|name| std::env::var_os(name)).map_or_else(
            |_| "the configuration directory".to_owned(),
            |paths| paths.config.display().to_string(),
        );
        self.say(format_args!("   put mcps.json, policies.json and replacements.json into {directory}"))?;
        self.say("   portero check                          reads them and says what is wrong")?;
        self.say("   portero passphrase set                 lets you approve; keep it from your agent")?;
        self.say("   claude mcp add portero -- portero mcp  and Claude Code works through Portero")
    }

    fn beside(&self, left: &str, right: &str) -> Outcome {
        let left = visible(left);
        let space = COLUMN.saturating_sub(left.chars().count());
        self.say(format_args!("   {left}{:space$} | {}", "", visible(right)))
    }
}

/// Portero's own tool on the wire.
const CHECK_TASK: &str = "portero__check_task";

fn shown(answer: &Value) -> String {
    match text(answer) {
        "" => answer.to_string(),
        text => text.to_owned(),
    }
}

//! The adversary: a process of the same user, with a shell, that read all of the documentation and wants one
//! call through that its owner did not allow. What it can do all the same stands in `docs/security.md`; no
//! door of Portero's own opens for it.

mod credentials;
mod daemon_socket;
mod files;
mod forking_impostor;
mod network;
mod odd_files;
mod other_user;
mod process;
mod raw_socket;
mod remote_server;
mod segments;
mod telegram;
mod terminal_commands;

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::terminal::set_passphrase;
use crate::test_support::TestHome;

/// What nobody allowed: sending asks, and nobody says yes; deleting is denied.
const FORBIDDEN_TOOLS: [&str; 2] = ["send_mail", "delete_mail"];

/// A gateway under siege: a person set it up, an agent is connected, and one of its calls waits.
struct AttackFixture {
    home: TestHome,
    agent: Agent,
    /// The id of the task that waits.
    task: String,
}

impl AttackFixture {
    fn new() -> Self {
        Self::in_home(TestHome::with_office())
    }

    /// A world as its owner set it up, save for the passphrase.
    fn in_home(world: TestHome) -> Self {
        set_passphrase(&world);
        let mut agent = Agent::connect(&world, &[]);
        let pending = agent.call_tool("office__send_mail", &stolen_mail());
        let id = pending["result"]["structuredContent"]["taskId"].as_str();
        let task = id.unwrap_or_else(|| panic!("it waits: {pending}")).to_owned();
        let siege = Self { home: world, agent, task };
        siege.assert_held("nothing");
        siege
    }

    /// Nothing got through, and nothing is on its way.
    fn assert_held(&self, attempt: &str) {
        self.assert_none_received(attempt);
        let tasks = self.home.json(&["tasks"]);
        for task in tasks.as_array().unwrap() {
            let state = task["state"].as_str().unwrap();
            let refused = ["pending-approval", "denied", "cancelled", "expired"];
            assert!(refused.contains(&state), "{attempt}: a task is {state}: {task}");
        }
        let standing = self.home.json(&["rules"]);
        assert_eq!(standing["grants"], json!([]), "{attempt}");
        let rules = standing["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["action"] != "allow"), "{attempt}: {rules:?}");
        self.assert_none_received(attempt);
    }

    fn assert_none_received(&self, attempt: &str) {
        for call in self.home.received_calls() {
            assert!(
                !FORBIDDEN_TOOLS.contains(&call["tool"].as_str().unwrap()),
                "{attempt}: got through: {call}"
            );
        }
    }

    /// Makes both forbidden calls as an agent, in a session that lasts and in a new one, with and without the daemon.
    fn attack_and_assert_held(&mut self, attempt: &str) {
        call_forbidden_tools(&mut self.agent);
        call_forbidden_tools(&mut Agent::connect(&self.home, &[]));
        self.assert_held(attempt);
    }
}

fn stolen_mail() -> Value {
    json!({"to": "thief@elsewhere.test", "subject": "The key", "body": "Here it is"})
}

fn initialize_params() -> Value {
    json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}})
}

/// Calls what is forbidden by every name that there is for it.
fn call_forbidden_tools(agent: &mut Agent) {
    for name in ["office__send_mail", "office/send_mail", "send_mail", "mcp__portero__office__send_mail"] {
        agent.call_tool(name, &stolen_mail());
    }
    for name in ["office__delete_mail", "office/delete_mail"] {
        agent.call_tool(name, &json!({"id": 1}));
    }
    let through_portero = json!({"tool": "office/delete_mail", "arguments": {"id": 1}});
    agent.call_tool("portero__call", &through_portero);
    agent.call_tool("portero__call", &json!({"tool": "office/send_mail", "arguments": stolen_mail()}));
}

/// What is allowed still works: a siege that merely broke everything would hold too.
fn assert_still_reads(agent: &mut Agent) {
    assert!(result_text(&agent.call_tool("office__read_mail", &json!({"id": 1}))).contains("Invoice"));
}

//! The adversary: a process of the same user, with a shell, that read all of the documentation and wants one
//! call through that its owner did not allow. What it can do all the same stands in `docs/security.md`; no
//! door of Portero's own opens for it.

mod doors;
mod files;
mod in_place;
mod odd_files;
mod other_user;
mod process;
mod segments;
mod socket;
mod telegram;
mod words;

use serde_json::{Value, json};

use crate::agent::{Agent, text};
use crate::terminal::set_passphrase;
use crate::world::World;

/// What nobody allowed: sending asks, and nobody says yes; deleting is denied.
const PRIZES: [&str; 2] = ["send_mail", "delete_mail"];

/// A gateway under siege: a person set it up, an agent is connected, and one of its calls waits.
struct Siege {
    world: World,
    agent: Agent,
    /// The id of the task that waits.
    task: String,
}

impl Siege {
    fn begin() -> Self {
        Self::of(World::with_office())
    }

    /// A world as its owner set it up, save for the passphrase.
    fn of(world: World) -> Self {
        set_passphrase(&world);
        let mut agent = Agent::connect(&world, &[]);
        let pending = agent.call("office__send_mail", &mail());
        let id = pending["result"]["structuredContent"]["taskId"].as_str();
        let task = id.unwrap_or_else(|| panic!("it waits: {pending}")).to_owned();
        let siege = Self { world, agent, task };
        siege.held("nothing");
        siege
    }

    /// Nothing got through, and nothing is on its way.
    fn held(&self, attempt: &str) {
        self.none_received(attempt);
        let tasks = self.world.json(&["tasks"]);
        for task in tasks.as_array().unwrap() {
            let state = task["state"].as_str().unwrap();
            let refused = ["pending-approval", "denied", "cancelled", "expired"];
            assert!(refused.contains(&state), "{attempt}: a task is {state}: {task}");
        }
        let standing = self.world.json(&["rules"]);
        assert_eq!(standing["grants"], json!([]), "{attempt}");
        let rules = standing["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["action"] != "allow"), "{attempt}: {rules:?}");
        self.none_received(attempt);
    }

    fn none_received(&self, attempt: &str) {
        for call in self.world.received() {
            assert!(!PRIZES.contains(&call["tool"].as_str().unwrap()), "{attempt}: got through: {call}");
        }
    }

    /// Makes both forbidden calls as an agent, in a session that lasts and in a new one, with and without the daemon.
    fn storm(&mut self, attempt: &str) {
        try_prizes(&mut self.agent);
        try_prizes(&mut Agent::connect(&self.world, &[]));
        self.held(attempt);
    }
}

fn mail() -> Value {
    json!({"to": "thief@elsewhere.test", "subject": "The key", "body": "Here it is"})
}

fn hello() -> Value {
    json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}})
}

/// Calls what is forbidden by every name that there is for it.
fn try_prizes(agent: &mut Agent) {
    for name in ["office__send_mail", "office/send_mail", "send_mail", "mcp__portero__office__send_mail"] {
        agent.call(name, &mail());
    }
    for name in ["office__delete_mail", "office/delete_mail"] {
        agent.call(name, &json!({"id": 1}));
    }
    let through_portero = json!({"tool": "office/delete_mail", "arguments": {"id": 1}});
    agent.call("portero__call", &through_portero);
    agent.call("portero__call", &json!({"tool": "office/send_mail", "arguments": mail()}));
}

/// What is allowed still works: a siege that merely broke everything would hold too.
fn still_reads(agent: &mut Agent) {
    assert!(text(&agent.call("office__read_mail", &json!({"id": 1}))).contains("Invoice"));
}

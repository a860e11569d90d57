//! The gateway in front of real servers from npm and PyPI.

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::peers::peers;
use crate::test_support::TestHome;

fn node_server(name: &str, arguments: &[&str]) -> Value {
    let script = peers().npm_server(name);
    let mut args = vec![script.to_string_lossy().into_owned()];
    args.extend(arguments.iter().map(|&argument| argument.to_owned()));
    json!({"command": "node", "args": args})
}

fn python_server(program: &str, arguments: &[&str]) -> Value {
    json!({"command": peers().python(program), "args": arguments})
}

fn allow_everything() -> Value {
    json!({"policies": {"**": "allow"}})
}

/// All five servers at once, in front of a git repository with one commit.
fn all_servers() -> (TestHome, Agent) {
    let home = TestHome::new(&json!({}), &allow_everything());
    let project = home.path("project");
    std::fs::write(project.join("notes.txt"), "first line\n").expect("writable");
    let mcps = json!({"mcpServers": {
        "everything": node_server("server-everything", &[]),
        "filesystem": node_server("server-filesystem", &[&project.to_string_lossy()]),
        "memory": node_server("server-memory", &[]),
        "git": python_server("mcp-server-git", &["--repository", &project.to_string_lossy()]),
        "time": python_server("mcp-server-time", &["--local-timezone", "UTC"]),
    }});
    home.write("mcps.json", &mcps);
    for arguments in [
        vec!["init", "-q", "-b", "main"],
        vec!["add", "."],
        vec!["-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "-q", "-m", "first commit"],
    ] {
        let status = std::process::Command::new("git").args(&arguments).current_dir(&project).status();
        assert!(status.expect("these tests need git").success());
    }
    let agent = home.start_agent();
    (home, agent)
}

#[test]
fn five_real_servers_stand_behind_one_endpoint() {
    let (_home, mut agent) = all_servers();
    for tool in [
        "everything__echo",
        "filesystem__read_text_file",
        "memory__create_entities",
        "git__git_log",
        "time__get_current_time",
    ] {
        agent.wait_for_tool(tool);
    }

    let echoed = agent.call_tool("everything__echo", json!({"message": "hello"}));
    assert!(result_text(&echoed).contains("hello"), "{echoed}");
    let read = agent.call_tool("filesystem__read_text_file", json!({"path": "notes.txt"}));
    assert!(read.to_string().contains("first line"), "{read}");
    let entity =
        json!({"entities": [{"name": "Portero", "entityType": "program", "observations": ["a gateway"]}]});
    agent.call_tool("memory__create_entities", entity);
    let graph = agent.call_tool("memory__read_graph", json!({}));
    assert!(graph.to_string().contains("a gateway"), "{graph}");
    let log = agent.call_tool("git__git_log", json!({"repo_path": "."}));
    assert!(log.to_string().contains("first commit"), "{log}");
    let time = agent.call_tool("time__get_current_time", json!({"timezone": "Europe/Vienna"}));
    assert!(result_text(&time).contains("Europe/Vienna"), "{time}");
}

#[test]
fn what_is_not_listed_is_found_by_search_and_called_by_its_full_name() {
    let (_home, mut agent) = all_servers();
    agent.wait_for_tool("time__get_current_time");
    let found = agent.call_tool("portero__search_tools", json!({"query": "current time in a timezone"}));
    assert!(result_text(&found).contains("time/get_current_time"), "{found}");
    let called = agent.call_tool(
        "portero__call",
        json!({"tool": "time/get_current_time", "args": {"timezone": "Asia/Tokyo"}}),
    );
    assert!(result_text(&called).contains("Asia/Tokyo"), "{called}");
}

#[test]
fn resources_and_prompts_of_real_servers_are_reached_through_the_gateway() {
    let (_home, mut agent) = all_servers();
    agent.wait_for_tool("everything__echo");
    let list = agent.request("resources/list", json!({})).expect("a list");
    let uri = list["resources"][0]["uri"].as_str().expect("a resource").to_owned();
    let read = agent.request("resources/read", json!({"uri": uri})).expect("a resource");
    assert_eq!(
        read["contents"][0]["uri"].as_str(),
        Some(uri.as_str()),
        "it reads back under the name it was asked for"
    );

    let prompts = agent.request("prompts/list", json!({})).expect("a list");
    let names: Vec<&str> =
        prompts["prompts"].as_array().expect("prompts").iter().filter_map(|p| p["name"].as_str()).collect();
    let simple =
        names.iter().find(|name| name.contains("simple")).expect("server-everything has a simple prompt");
    let prompt = agent.request("prompts/get", json!({"name": simple})).expect("a prompt");
    assert!(prompt["messages"].is_array(), "{prompt}");
}

#[test]
fn progress_of_a_real_server_carries_the_clients_own_token() {
    let (_home, mut agent) = all_servers();
    agent.wait_for_tool("everything__trigger-long-running-operation");
    let id = agent.send_request(
        "tools/call",
        json!({"name": "everything__trigger-long-running-operation", "arguments": {"duration": 1, "steps": 2},
               "_meta": {"progressToken": "mine"}}),
    );
    agent.wait_for_answer(id).expect("a result");
    let progress: Vec<&String> =
        agent.received_lines.iter().filter(|line| line.contains("notifications/progress")).collect();
    assert!(
        !progress.is_empty() && progress.iter().all(|line| line.contains(r#""progressToken":"mine""#)),
        "{progress:?}"
    );
}

//! What a person is asked, and what they are not: the real programs.

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::telegram_confirmation::FakePhone;
use crate::test_support::{TestHome, eventually};

/// A server of the configuration that runs the sample server.
fn sample_server(world: &TestHome, name: &str) -> Value {
    json!({
        "name": name,
        "command": world.portero(),
        "args": ["sample-server", "--record", world.path("received.jsonl")],
    })
}

fn explain(agent: &mut Agent, tool: &str, arguments: &Value) -> Value {
    let explained = agent.call_tool("portero__explain", &json!({"tool": tool, "args": arguments}));
    explained["result"]["structuredContent"].clone()
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_a_person_is_asked() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    for (arguments, told) in [
        (json!({"to": "a@b.test", "subject": "x"}), r#""body" is a required property"#),
        (
            json!({"to": "a@b.test", "subject": 7, "body": "y"}),
            r#"`/subject`: value is not of type "string""#,
        ),
    ] {
        let refused = agent.call_tool("office__send_mail", &arguments);
        assert_eq!(refused["result"]["isError"], true, "{refused}");
        assert!(result_text(&refused).contains(told), "{refused}");
        let explained = explain(&mut agent, "office/send_mail", &arguments);
        assert_eq!(explained["outcome"], "refused", "{explained}");
        assert!(explained["reason"].as_str().unwrap().contains(told), "{explained}");
    }
    assert_eq!(world.json(&["tasks"]), json!([]));
    let logs = world.run(&["logs", "--tool", "office/*"]).stdout;
    assert!(logs.contains("refused") && logs.contains("required property"), "{logs}");

    let mail = json!({"to": "a@b.test", "subject": "x", "body": "y"});
    assert_eq!(explain(&mut agent, "office/send_mail", &mail)["outcome"], "asks");
    assert_eq!(explain(&mut agent, "office/read_mail", &json!({"id": 1}))["outcome"], "runs");
    assert_eq!(explain(&mut agent, "office/delete_mail", &json!({"id": 1}))["outcome"], "denied");
    assert_eq!(world.json(&["tasks"]), json!([]), "to explain is not to ask");
    assert!(world.received_calls().is_empty(), "nor to call");

    let pending = agent.call_tool("portero__call", &json!({"tool": "office/send_mail", "arguments": mail}));
    let task = pending["result"]["structuredContent"]["taskId"].as_str().unwrap();
    assert_eq!(explain(&mut agent, "office/send_mail", &mail)["waitsAs"], task);
    let checked = agent.call_tool("portero__check_task", &json!({"taskId": task}));
    assert_eq!(checked["result"]["structuredContent"]["status"], "pending-approval", "{checked}");
    let differ = agent.call_tool("portero__check_task", &json!({"taskId": task, "task_id": "x"}));
    assert!(result_text(&differ).contains("differ"), "{differ}");

    // What a person said no to is told before it is asked again.
    assert_eq!(world.run(&["reject", task]).code, 0);
    let explained = explain(&mut agent, "office/send_mail", &mail);
    assert_eq!(explained["outcome"], "denied", "{explained}");
    assert!(explained["reason"].as_str().unwrap().contains("said no"), "{explained}");
}

#[test]
fn a_server_without_its_secret_or_its_program_is_told_before_a_person_is_asked() {
    let world = TestHome::with_office();
    let program = world.path("project/office");
    std::os::unix::fs::symlink(world.portero(), &program).unwrap();
    let mut secretive = sample_server(&world, "secretive");
    secretive["env"] = json!({"TOKEN": "${NO_SUCH_SECRET}"});
    let mut fading = sample_server(&world, "fading");
    fading["command"] = json!(program);
    world.write("mcps.json", &json!({"mcps": [secretive, fading]}));
    world.write("policies.json", &json!({"defaultPolicy": "require-approval"}));
    let note = json!({"title": "a", "text": "b"});

    let mut before = Agent::connect(&world, &[]);
    let answer = before.call_tool("secretive__write_note", &note);
    assert!(result_text(&answer).contains("`NO_SUCH_SECRET` is not set"), "{answer}");
    assert_eq!(explain(&mut before, "fading/write_note", &note)["outcome"], "asks");
    before.close();

    // What it offers is cached, so its tools are still listed, and asking would be for nothing.
    std::fs::remove_file(&program).unwrap();
    let mut after = Agent::connect(&world, &[]);
    let listed = after.request("tools/list", &json!({}));
    assert!(listed.to_string().contains("fading__write_note"), "{listed}");
    let answer = after.call_tool("fading__write_note", &note);
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(result_text(&answer).contains("fading"), "{answer}");
    assert_eq!(explain(&mut after, "fading/write_note", &note)["outcome"], "refused");
    assert_eq!(world.json(&["tasks"]), json!([]));
}

#[test]
fn a_held_call_gets_its_own_result_when_it_is_approved_on_the_phone() {
    let world = TestHome::with_office();
    let phone = FakePhone::pair_with_settings(&world, &json!({"approvals": {"hold": "25s"}}));
    let mut agent = Agent::connect(&world, &[]);
    phone.wait_until_ready(&world);
    let send = |agent: &mut Agent, subject: &str| {
        let mail = json!({"to": "a@b.test", "subject": subject, "body": "From Jane Doe"});
        let params =
            json!({"name": "office__send_mail", "arguments": mail, "_meta": {"progressToken": subject}});
        agent.send_request("tools/call", &params)
    };
    let first = send(&mut agent, "Alder");
    phone.tap_on_card("Alder", "✅ Approve");
    let (answer, before) = agent.wait_for_answer_and_earlier(first);
    assert!(result_text(&answer).contains("sent to a@b.test: Alder"), "{answer}");
    let waits = |it: &&Value| it["params"]["message"] == "waiting for a person to approve";
    assert_eq!(before.iter().find(waits).unwrap()["params"]["progressToken"], "Alder", "{before:?}");
    let second = send(&mut agent, "Birch");
    phone.tap_on_card("Birch", "❌ Deny");
    let answer = agent.wait_for_answer(second);
    assert!(answer["result"]["isError"] == true && result_text(&answer).contains("was denied"), "{answer}");

    // Its answer told each outcome, so no other result does.
    let read = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert_eq!(read["result"]["content"].as_array().unwrap().len(), 1, "{read}");

    // What the agent takes back while it is held waits on, and is approved as ever.
    let third = send(&mut agent, "Cedar");
    let task = eventually("it waits", || world.json(&["pending"])[0]["id"].as_str().map(str::to_owned));
    agent.notify("notifications/cancelled", &json!({"requestId": third}));
    phone.tap_on_card("Cedar", "✅ Approve");
    let checked = agent.call_tool("portero__check_task", &json!({"taskId": task, "wait_seconds": 20}));
    assert!(result_text(&checked).contains("sent to a@b.test: Cedar"), "{checked}");
    let sent = world.received_calls().iter().filter(|call| call["tool"] == "send_mail").count();
    assert_eq!(sent, 2);
}

#[test]
fn of_two_sessions_one_tells_that_a_task_was_decided_and_once() {
    let world = TestHome::with_office();
    let (mut one, mut two) = (Agent::connect(&world, &[]), Agent::connect(&world, &[]));
    let pending = one.call_tool("office__send_mail", &json!({"to": "a@b.test", "subject": "x", "body": "y"}));
    let task = pending["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    two.call_tool("portero__list_tasks", &json!({}));
    assert_eq!(world.run(&["reject", &task]).code, 0);
    for agent in [&mut one, &mut two] {
        agent.wait_for_message(|message| message["params"]["data"].to_string().contains(&task));
    }
    let told = |agent: &mut Agent| {
        let read = agent.call_tool("office__read_mail", &json!({"id": 1}));
        let blocks = read["result"]["content"].as_array().unwrap().clone();
        blocks
            .iter()
            .skip(1)
            .filter(|block| block.to_string().contains(&format!("{task} office/send_mail: denied")))
            .count()
    };
    assert_eq!([told(&mut two), told(&mut one), told(&mut two), told(&mut one)], [1, 0, 0, 0]);
}

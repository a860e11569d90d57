//! A running session and the daemon that comes, goes, sleeps and changes its mind.

use serde_json::json;

use crate::agent::{Agent, result_text};
use crate::test_support::{TestHome, eventually};

fn wait_until_connected(world: &TestHome) {
    eventually("the session is connected", || {
        (world.json(&["status"])["sessions"].as_array().unwrap().len() == 1).then_some(())
    });
}

fn session_log(world: &TestHome) -> String {
    std::fs::read_to_string(world.path("state").join("logs/portero.log")).unwrap_or_default()
}

fn sample_mail() -> serde_json::Value {
    json!({"to": "a@b.test", "subject": "x", "body": "y"})
}

#[test]
fn a_daemon_that_was_stopped_stays_stopped_until_a_call_needs_it() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    wait_until_connected(&world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    eventually("the session looks for the daemon and finds none", || {
        session_log(&world).contains("no connection to the daemon").then_some(())
    });
    assert_eq!(world.run(&["daemon", "status"]).code, 3);
    let pending = agent.call_tool("office__send_mail", &sample_mail());
    assert_eq!(pending["result"]["structuredContent"]["status"], "pending-approval", "{pending}");
    assert_eq!(world.run(&["daemon", "status"]).code, 0);
}

#[test]
fn what_changed_in_the_files_while_no_daemon_ran_holds_once_there_is_one() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    world.write("policies.json", &json!({"policies": {"office/read_mail": "deny"}}));
    world.json(&["daemon", "start"]);
    // It needs the daemon, and so connects at once.
    agent.call_tool("portero__list_tasks", &json!({}));
    let refused = eventually("the session reads the files", || {
        let answer = agent.call_tool("office__read_mail", &json!({"id": 1}));
        (answer["result"]["isError"] == true).then_some(answer)
    });
    assert!(refused.to_string().contains("policies.json"), "{refused}");
}

/// What can be told to a process that sleeps is read when it wakes, in any order.
#[cfg(unix)]
#[test]
fn a_session_that_slept_while_a_deny_was_made_refuses_its_first_call_after() {
    use rustix::process::{Pid, Signal, kill_process};
    for _ in 0..3 {
        let world = TestHome::with_office();
        let mut agent = Agent::connect(&world, &[]);
        result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
        wait_until_connected(&world);
        let reached = world.received_calls().len();
        let session = Pid::from_child(&agent.child);
        kill_process(session, Signal::STOP).unwrap();
        let begin = std::time::Instant::now();
        world.json(&["deny", "office/read_mail"]);
        assert!(begin.elapsed().as_secs() < 10, "nobody waits for who sleeps");
        let call =
            agent.send_request("tools/call", &json!({"name": "office__read_mail", "arguments": {"id": 1}}));
        kill_process(session, Signal::CONT).unwrap();
        let refused = agent.wait_for_answer(call);
        assert_eq!(refused["result"]["isError"], true, "{refused}");
        assert_eq!(world.received_calls().len(), reached);
    }
}

#[cfg(unix)]
#[test]
fn a_daemon_killed_under_a_session_takes_grants_with_it_until_it_is_back() {
    use crate::terminal::{confirm_with_passphrase, set_passphrase};
    use rustix::process::{Pid, Signal, kill_process};
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &["--no-start"]);
    agent.call_tool("portero__list_tasks", &json!({}));
    world.json(&["deny", "office/read_note"]);
    confirm_with_passphrase(&world, &["grant", "office/send_mail", "30m"], "runs unasked");
    assert!(result_text(&agent.call_tool("office__send_mail", &sample_mail())).contains("sent"));

    let pid = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    let refused = eventually("the session notices", || {
        let answer = agent.call_tool("office__send_mail", &sample_mail());
        (answer["result"]["isError"] == true).then_some(answer)
    });
    assert!(refused.to_string().contains("portero daemon start"), "{refused}");
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    let denied = agent.call_tool("office__read_note", &json!({"id": 1}));
    assert!(denied.to_string().contains("office/read_note"), "the last known denies hold: {denied}");

    world.json(&["daemon", "start"]);
    // The grant outlived the crash; the session hears of it before it would ask.
    assert!(result_text(&agent.call_tool("office__send_mail", &sample_mail())).contains("sent"));
}

#[cfg(unix)]
#[test]
fn a_pause_holds_in_a_session_with_and_without_the_daemon_until_a_person_resumes() {
    use crate::terminal::{confirm_with_passphrase, set_passphrase};
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &["--no-start"]);
    let waiting = agent.call_tool("office__send_mail", &sample_mail());
    assert_eq!(waiting["result"]["structuredContent"]["status"], "pending-approval", "{waiting}");
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    let reached = world.received_calls().len();
    assert!(world.json(&["pause"])["paused"].is_string());
    assert!(world.run(&["status"]).stdout.starts_with("PAUSED"), "status says it first");
    let refused = |agent: &mut Agent| {
        let answer = agent.call_tool("office__read_mail", &json!({"id": 1}));
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(answer.to_string().contains("paused by a person since"), "{answer}");
    };
    refused(&mut agent);
    let tasks = agent.call_tool("portero__list_tasks", &json!({}));
    assert!(tasks.to_string().contains("pending-approval"), "Portero's own tools answer: {tasks}");
    let listed = agent.request("tools/list", &json!({}));
    assert!(listed.to_string().contains("office__read_mail"), "what is listed stays: {listed}");
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    refused(&mut agent);
    refused(&mut Agent::connect(&world, &["--no-start"]));
    assert_eq!(world.received_calls().len(), reached);

    world.json(&["daemon", "start"]);
    let shown = confirm_with_passphrase(&world, &["resume"], "Calls run again");
    assert!(shown.contains("Everything is paused since"), "{shown}");
    let answer = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert!(!answer["result"]["isError"].as_bool().unwrap_or(false), "{answer}");
    assert_eq!(world.json(&["resume"])["resumed"], false, "nothing is paused, so nothing is asked");
}

/// What the agent is told first.
#[cfg(unix)]
fn read_instructions(agent: &mut Agent) -> String {
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}});
    agent.request("initialize", &hello)["result"]["instructions"].as_str().unwrap().to_owned()
}

#[cfg(unix)]
#[test]
fn a_later_session_is_told_what_finished_until_it_is_fetched_and_a_person_can_ask_anew() {
    use crate::terminal::{confirm_with_passphrase, set_passphrase, spawn_on_terminal};
    use expectrl::{Eof, Expect as _};
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut first = Agent::connect(&world, &[]);
    let asked = first.call_tool("office__send_mail", &sample_mail());
    let id = asked["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    first.close();
    confirm_with_passphrase(&world, &["approve", &id], "is approved");
    eventually("it ran", || (world.json(&["task", &id])["state"] == "completed").then_some(()));

    // On a busy machine the news may come too late for a session's first answer; then they stay for the next one.
    let told = eventually("a session is told", || {
        let told = read_instructions(&mut Agent::start(&world, &[]));
        told.contains(&format!("- {id} office/send_mail: completed")).then_some(told)
    });
    assert!(!told.contains("a@b.test"), "nothing of the call itself: {told}");
    let mut second = Agent::connect(&world, &[]);
    result_text(&second.call_tool("portero__check_task", &json!({"task_id": id})));
    let told = read_instructions(&mut Agent::start(&world, &[]));
    assert!(!told.contains(&id), "it was fetched: {told}");

    let mut again = spawn_on_terminal(&world, &["again", &id]);
    again.expect("waits for you again").unwrap();
    again.expect(Eof).unwrap();
    let anew = &world.json(&["pending"])[0];
    assert_eq!(anew["repeats"], id.as_str());
    let shown = world.run(&["task", &id]).stdout;
    assert!(shown.contains(&format!("again as  {}", anew["id"].as_str().unwrap())), "{shown}");
    let listed = second.call_tool("portero__list_tasks", &json!({"status": "pending-approval"}));
    assert_eq!(listed["result"]["structuredContent"]["tasks"][0]["repeats"], id.as_str(), "{listed}");

    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    assert!(!read_instructions(&mut Agent::start(&world, &["--no-start"])).contains("of this project."));
    assert_eq!(world.run(&["daemon", "status"]).code, 3, "nothing is started for news");
}

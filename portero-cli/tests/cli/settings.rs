//! What `mcps.json` says about a server, and what a bad server does to the others, with real processes.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::test_support::TestHome;

/// A server of `tests/support/server.py` that behaves as `words` say.
pub(crate) fn test_server(name: &str, words: &[&str], settings: Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/server.py");
    let mut args = vec![script.to_str().unwrap()];
    args.extend(words);
    let python = if cfg!(windows) { "python" } else { "python3" };
    let mut server = json!({"name": name, "command": python, "args": args});
    if let (Some(server), Value::Object(settings)) = (server.as_object_mut(), settings) {
        server.extend(settings);
    }
    server
}

/// A world in which everything is allowed.
fn permissive_home(servers: &[Value]) -> TestHome {
    let world = TestHome::empty();
    world.write("mcps.json", &json!({"mcps": servers}));
    world.write("policies.json", &json!({"policies": {"*": "allow"}}));
    world
}

fn tool_names(agent: &mut Agent) -> Vec<String> {
    let listed = agent.request("tools/list", &json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.filter(|name| !name.starts_with("portero__")).collect()
}

fn call_json(agent: &mut Agent, tool: &str) -> Value {
    serde_json::from_str(result_text(&agent.call_tool(tool, &json!({})))).unwrap()
}

#[test]
fn a_server_gets_its_directory_its_variables_and_nothing_else() {
    let settings = json!({
        "cwd": "below",
        "env": {
            "OUTER": "${OUTER}", "INNER": "${INNER}", "FALLBACK": "${NOT_SET:-instead}", "PLAIN": "$${OUTER}",
        },
        "envPassthrough": ["PASSED"],
    });
    let mut world =
        permissive_home(&[test_server("plain", &[], json!({})), test_server("set", &[], settings)]);
    std::fs::create_dir(world.path("config/below")).unwrap();
    std::fs::write(world.path("config/.env"), "OUTER=no\nINNER='in it'\n").unwrap();
    world.variables = vec![("OUTER", "wins"), ("PASSED", "on"), ("PRIVATE", "never")];
    let mut agent = Agent::connect(&world, &["--no-start"]);

    let set = call_json(&mut agent, "set__look");
    let real = |name: &str| json!(world.path(name).canonicalize().unwrap());
    assert_eq!(set["cwd"], real("config/below"));
    let expected = [("OUTER", "wins"), ("INNER", "in it"), ("FALLBACK", "instead"), ("PLAIN", "${OUTER}")];
    for (name, value) in expected.into_iter().chain([("PASSED", "on")]) {
        assert_eq!(set["env"][name], value, "{name}");
    }
    let plain = call_json(&mut agent, "plain__look");
    assert_eq!(plain["cwd"], real("project"));
    for name in ["OUTER", "INNER", "PASSED", "PRIVATE", "PORTERO_CONFIG_DIR", "CLAUDE_PROJECT_DIR"] {
        assert_eq!(plain["env"].get(name), None, "{name}");
    }
    assert_eq!(set["env"].get("PRIVATE"), None);
}

#[test]
fn roots_are_told_only_to_the_server_that_the_person_chose() {
    let world = permissive_home(&[
        test_server("plain", &[], json!({})),
        test_server("rooted", &[], json!({"roots": ["${ROOT:-/srv/a}"]})),
    ]);
    let mut agent = Agent::start(&world, &["--no-start"]);
    // The agent's own roots go to nobody.
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {"roots": {"listChanged": true}},
        "clientInfo": {"name": "test-agent", "version": "1"},
    });
    agent.request("initialize", &hello);
    assert_eq!(call_json(&mut agent, "plain__look")["declared"], json!({}));
    assert!(call_json(&mut agent, "rooted__look")["declared"].get("roots").is_some());
    let answer = agent.call_tool("rooted__roots", &json!({}));
    assert!(result_text(&answer).contains(r#"{"roots":[{"uri":"file:///srv/a"}]}"#), "{answer}");
    assert!(
        result_text(&agent.call_tool("plain__roots", &json!({}))).contains("error"),
        "undeclared roots are not told"
    );
}

#[test]
fn a_call_ends_with_its_servers_own_timeout() {
    let world = permissive_home(&[test_server("slow", &[], json!({"timeout": 300}))]);
    let mut agent = Agent::connect(&world, &["--no-start"]);
    let answer = agent.call_tool("slow__hang", &json!({}));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(result_text(&answer).contains("did not answer within"), "{answer}");
    assert!(
        result_text(&agent.call_tool("slow__look", &json!({}))).contains("cwd"),
        "the server still works"
    );
}

#[test]
fn names_pins_and_categories_decide_what_is_listed() {
    let world = permissive_home(&[
        test_server("bare", &["good", "mine"], json!({"prefix": false})),
        test_server(
            "sky",
            &["good", "zig,zag"],
            json!({"pinnedTools": ["zig"], "categories": ["astronomy"]}),
        ),
        test_server("off", &["good", "gone"], json!({"disabled": true})),
    ]);
    let mut agent = Agent::connect(&world, &["--no-start"]);
    assert_eq!(tool_names(&mut agent), ["mine", "sky__zig"]);
    assert_eq!(result_text(&agent.call_tool("mine", &json!({}))), "mine");
    let found = agent.call_tool("portero__search_tools", &json!({"query": "", "category": "astronomy"}));
    assert!(result_text(&found).contains("sky/zag") && !result_text(&found).contains("bare/mine"), "{found}");
    let called = agent.call_tool("portero__call", &json!({"tool": "sky/zag"}));
    assert_eq!(result_text(&called), "zag");
    assert_eq!(tool_names(&mut agent), ["mine", "sky__zig", "sky__zag"], "what was used of late is listed");
    assert!(result_text(&agent.call_tool("off__gone", &json!({}))).contains("no server offers"));
}

#[test]
fn a_skipped_server_is_told_of_everywhere() {
    let world = permissive_home(&[
        test_server("plain", &[], json!({})),
        test_server("gone", &[], json!({"env": {"T": "${TOKEN}"}})),
    ]);
    crate::porterod::porterod_program();
    let reason = "the variable `TOKEN` is not set";
    let status = world.run(&["status"]);
    assert!(status.stdout.contains("gone") && status.stdout.contains(reason), "{}", status.stdout);
    assert_eq!(world.json(&["status"])["skipped"], json!([["gone", reason]]));
    let doctor = world.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stderr);
    assert!(doctor.stdout.contains(&format!("gone: {reason}")), "{}", doctor.stdout);

    let mut agent = Agent::start(&world, &[]);
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"},
    });
    let answer = agent.request("initialize", &hello);
    let instructions = answer["result"]["instructions"].as_str().unwrap();
    assert!(instructions.contains(&format!("\"gone\" is not available: {reason}")), "{instructions}");
    for (tool, arguments) in
        [("gone__look", json!({})), ("portero__call", json!({"tool": "gone/look", "args": {}}))]
    {
        let answer = agent.call_tool(tool, &arguments);
        assert!(result_text(&answer).contains(reason), "{tool}: {answer}");
    }
    for log in ["portero.log", "porterod.log"] {
        let written = std::fs::read_to_string(world.path("state/logs").join(log)).unwrap();
        assert!(written.contains("server=gone") && written.contains(reason), "{log}: {written}");
    }
}

#[test]
fn bad_servers_neither_delay_nor_spoil_the_good_ones() {
    let world = permissive_home(&[
        test_server("silent", &["silent"], json!({})),
        test_server("garbage", &["garbage"], json!({})),
        json!({"name": "missing", "command": "no-such-program"}),
        test_server("lying", &["lying"], json!({})),
        test_server("good", &["good", "look"], json!({})),
    ]);
    world.write("portero.json", &json!({"limits": {"listWait": "3s", "start": "60s"}}));
    let mut agent = Agent::connect(&world, &["--no-start"]);
    let begin = Instant::now();
    let listed = tool_names(&mut agent);
    assert!(begin.elapsed().as_secs() < 10, "the list took {:?}", begin.elapsed());
    assert!(
        listed.contains(&"good__look".to_owned()) && listed.contains(&"lying__fine".to_owned()),
        "{listed:?}"
    );
    for dropped in ["lying__5", "lying__key"] {
        assert!(!listed.contains(&dropped.to_owned()), "{listed:?}");
    }
    let begin = Instant::now();
    call_json(&mut agent, "good__look");
    tool_names(&mut agent);
    assert!(begin.elapsed().as_secs() < 3, "only the first list waits: {:?}", begin.elapsed());
    let missing = agent.call_tool("missing__look", &json!({}));
    assert!(result_text(&missing).contains("`no-such-program` is not on PATH"), "{missing}");
}

#[test]
fn what_is_not_understood_goes_through_byte_for_byte() {
    let world = permissive_home(&[test_server("plain", &[], json!({}))]);
    let mut agent = Agent::connect(&world, &["--no-start"]);
    let arguments =
        r#"{"zeta":1.10,"alpha":1234567890123456789012345678901234567890,"e":1E400,"s":"\u00e9\/"}"#;
    let call = |id: u64, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"plain__echo","arguments":{arguments}}}}}"#
        )
    };
    let answer = agent.exchange_line(&call(900, arguments), 900);
    for part in [
        arguments,
        r#"{"type":"hologram","depth":1.10,"of":null}"#,
        r#"{"text":"t","type":"text","zeta":1,"alpha":1234567890123456789012345678901234567890}"#,
        r#""x-unknown":{"b":1.0e2,"a":"\u00e9"}"#,
    ] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
    for twice in [r#"{"a":1,"a":2}"#, r#"{"in":[{"b":1,"\u0062":2}]}"#] {
        let answer = agent.exchange_line(&call(901, twice), 901);
        assert!(answer.contains("twice") && !answer.contains("hologram"), "{answer}");
    }
}

/// What a server lists and Portero cannot is named with the reason, by `doctor` and by `status`.
#[test]
fn what_cannot_be_listed_is_named_by_doctor_and_by_status() {
    let world = permissive_home(&[
        test_server("liar", &["lying"], json!({"instance": "user"})),
        test_server("good", &[], json!({})),
    ]);
    let is_named = |text: &str| text.contains(" left out: ") && text.contains("`key`");
    let doctor = world.run(&["doctor"]);
    assert_eq!(doctor.code, 0, "{}{}", doctor.stdout, doctor.stderr);
    assert!(is_named(&doctor.stdout), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("portero/search_tools"), "what to do: {}", doctor.stdout);
    let findings = world.json(&["doctor"]);
    let left_out = |name: &str| {
        let finding = findings.as_array().unwrap().iter().find(|finding| finding["server"] == name).unwrap();
        finding["left_out"].as_array().unwrap().len()
    };
    assert!(left_out("liar") > 0 && left_out("good") == 0, "{findings}");

    let mut agent = Agent::connect(&world, &[]);
    tool_names(&mut agent);
    let status = crate::test_support::eventually("the daemon asked the shared server", || {
        agent.call_tool("portero__list_tasks", &json!({}));
        tool_names(&mut agent);
        Some(world.run(&["status"]).stdout).filter(|status| status.contains("left out"))
    });
    let line = status.lines().find(|line| line.starts_with("left out ") && line.contains("`key`"));
    assert!(line.is_some_and(|line| line.contains("liar: ") && line.contains("portero/")), "{status}");
    assert!(world.json(&["status"])["left_out"].as_array().unwrap().iter().all(|of| of[0] == "liar"));
}

/// A name that no client would take is listed under an alias, called under its own, and shown as its server has it.
#[test]
fn an_odd_name_is_listed_under_an_alias_and_shown_to_a_person_as_its_server_has_it() {
    let world =
        permissive_home(&[test_server("odd", &["good", "github/create_issue,list projects"], json!({}))]);
    world.write(
        "policies.json",
        &json!({"policies": {"odd/list*": "allow", "odd/github*": "require-approval"}}),
    );
    assert!(!world.run(&["doctor"]).stdout.contains("left out"), "nothing is");
    let mut agent = Agent::connect(&world, &[]);
    let listed = tool_names(&mut agent);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(
        listed
            .iter()
            .all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)))
    );
    let alias = |part: &str| listed.iter().find(|name| name.contains(part)).unwrap().clone();
    assert_eq!(result_text(&agent.call_tool(&alias("projects"), &json!({}))), "list projects");
    let pending = agent.call_tool(&alias("issue"), &json!({}));
    let id = pending["result"]["structuredContent"]["taskId"].as_str().unwrap_or_else(|| panic!("{pending}"));
    let shown = world.run(&["task", id]).stdout;
    assert!(shown.contains("tool      odd/github%2Fcreate_issue\n"), "{shown}");
    assert!(shown.contains("named     github/create_issue\n"), "{shown}");
}

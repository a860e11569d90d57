//! A day in the life, measured: sixty calls to five real servers, one person with a phone, and how often they are asked.
//!
//! `script.json` says what the agent calls and what the person taps, `policies.json` what may run unasked. The real
//! Claude Code plays it with a scripted model, and so does the Python SDK's client.

mod measure;
mod outside;
mod person;
mod report;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::background_telegram::BackgroundTelegram;
use crate::claude::ClaudeFixture;
use crate::fake_telegram::{FakeTelegram, TOKEN};
use crate::peers::{peer_file, peers};
use crate::test_support::TestHome;

use measure::{Measured, PlayedTurn};
use outside::{MailHost, Web};
use person::{Answer, JANE, Person};

/// How long the whole day may take.
const DAY_TIMEOUT: Duration = Duration::from_secs(600);

/// What the agent calls, and what the person does when asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    turns: Vec<Vec<ScriptedCall>>,
    person: Vec<Answer>,
}

/// One call of the agent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedCall {
    tool: String,
    input: Value,
    /// What the agent must read in its result.
    gets: String,
}

/// A person's set-up on the morning of the day.
struct Day {
    home: TestHome,
    telegram: BackgroundTelegram,
    mail: MailHost,
    script: Script,
    /// How many messages the bot had sent before the day.
    messages_before: usize,
}

impl Day {
    fn begin() -> Self {
        let policies = read_here("policies.json");
        let policies = serde_json::from_str(&policies).expect("the policy is JSON");
        let home = TestHome::new(&json!({}), &policies);
        let (telegram, mail, web) = (BackgroundTelegram::start(), MailHost::start(), Web::start());
        make_project(&home.path("project"));
        fs::create_dir(home.path("home")).expect("writable");
        let project = home.path("project");
        fs::write(home.path("config").join(".env"), format!("PROJECT={}\n", project.display()))
            .expect("writable");
        home.write("mcps.json", &servers(&home, &mail, &web));
        telegram.fake().send_text(JANE, "/start");
        home.write(
            "portero.json",
            &json!({
                "approvals": {"hold": "20s"},
                "telegram": {"token": TOKEN, "apiUrl": telegram.fake().api_url(), "admin": JANE,
                             "notices": {"level": "errors"}},
            }),
        );
        let text = read_here("script.json")
            .replace("${PROJECT}", &project.to_string_lossy())
            .replace("${HOME}", &home.path("home").to_string_lossy());
        let script: Script = serde_json::from_str(&text).expect("the script is JSON");
        let mut day = Self { home, telegram, mail, script, messages_before: 0 };
        day.start_servers_once();
        day.messages_before = day.wait_for_bot();
        day
    }

    /// Returns once the bot has answered the person's first message: how many messages it sent until then.
    fn wait_for_bot(&self) -> usize {
        let sent = |it: &FakeTelegram| Some(it.calls("sendMessage").len()).filter(|&sent| sent > 0);
        self.telegram.block_on(self.telegram.fake().wait_until("the bot's first answer", sent))
    }

    /// The servers were used before, so that what they offer is known.
    fn start_servers_once(&self) {
        let mut agent = self.home.start_agent();
        for call in self.script.turns.iter().flatten() {
            agent.wait_for_tool(&call.tool.replacen('/', "__", 1));
        }
        agent.close();
    }

    /// The turns as a client's script, with each tool under this prefix.
    fn client_script(&self, prefix: &str) -> Value {
        let calls = |turn: &Vec<ScriptedCall>| {
            let call = |call: &ScriptedCall| json!({"tool": format!("{prefix}{}", call.tool.replacen('/', "__", 1)), "input": call.input});
            json!({"calls": turn.iter().map(call).collect::<Vec<_>>()})
        };
        self.script.turns.iter().map(calls).collect()
    }

    /// Runs the agent's program while the person answers. Returns its output and the number of taps.
    fn run(&self, program: Command) -> (String, usize) {
        let project = self.home.path("project");
        let mut person = Person::new(self.telegram.fake(), &project, self.script.person.clone());
        let mut program = tokio::process::Command::from(program);
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = self.telegram.block_on(async {
            let running = program.spawn().expect("the agent starts").wait_with_output();
            tokio::select! {
                output = running => output.expect("the agent's output is read"),
                never = person.answer_questions() => match never {},
                () = tokio::time::sleep(DAY_TIMEOUT) => panic!("the day doesn't end"),
            }
        });
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(person.unasked().is_empty(), "the person was not asked: {:#?}", person.unasked());
        (said, person.taps())
    }

    /// Checks that each call had the result that the script expects, and that what must not happen did not.
    fn assert_what_happened(&self, turns: &[PlayedTurn]) {
        assert_eq!(turns.len(), self.script.turns.len(), "each turn was played");
        for (turn, played) in self.script.turns.iter().zip(turns) {
            assert_eq!(turn.len(), played.results.len(), "{turn:?}");
            for (call, result) in turn.iter().zip(&played.results) {
                assert!(result.contains(&call.gets), "{call:?} got: {result}");
            }
        }
        let mut mails = self.mail.recipients();
        mails.sort();
        let expected = [
            "ada@shop.example",
            "ben@team.example",
            "carla@customer.example",
            "cleo@team.example",
            "dora@team.example",
        ];
        assert_eq!(mails, expected, "each mail was sent once");
        assert!(!self.home.path("home").join(".profile").exists(), "what was denied did not run");
        let log = git(&self.home.path("project"), &["log", "--format=%s", "--all"]);
        assert_eq!(
            log.lines().collect::<Vec<_>>(),
            ["Note the rounding and the suppliers", "Round prices in decimal", "first version"]
        );
    }
}

/// A file of this directory.
fn read_here(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/day").join(name);
    fs::read_to_string(path).expect("it is part of the repository")
}

fn servers(home: &TestHome, mail: &MailHost, web: &Web) -> Value {
    let graph = home.path("state").join("memory.json");
    let entity = json!({"type": "entity", "name": "Shop", "entityType": "project",
                        "observations": ["prices are in euros", "the supplier is Nordwind"]});
    fs::write(&graph, entity.to_string()).expect("writable");
    let project = home.path("project");
    let mail_server = peers().node_modules().join("mcp-mail-server/dist/index.js");
    let port = mail.port().to_string();
    json!({"mcpServers": {
        "files": {"command": "node",
                  "args": [peers().npm_server("server-filesystem"), &project, home.path("home")],
                  "pinnedTools": ["read_text_file", "read_multiple_files", "list_directory", "directory_tree", "search_files",
                                  "get_file_info", "write_file", "edit_file", "create_directory", "move_file"]},
        "git": {"command": peers().python("mcp-server-git"), "args": ["--repository", &project]},
        "memory": {"command": "node", "args": [peers().npm_server("server-memory")],
                   "env": {"MEMORY_FILE_PATH": graph}},
        "web": {"command": peers().python("mcp-server-fetch"),
                "args": ["--allow-private-ips", "--proxy-url", web.proxy_url()]},
        "mail": {"command": "node", "args": [mail_server],
                 "env": {"EMAIL_USER": "ada@shop.example", "EMAIL_PASS": "not-a-real-password",
                         "SMTP_HOST": "127.0.0.1", "SMTP_PORT": port, "SMTP_SECURE": "false",
                         // No mailbox is read in this day.
                         "IMAP_HOST": "127.0.0.1", "IMAP_PORT": "1", "IMAP_SECURE": "false"},
                 "pinnedTools": ["send_email"]},
    }})
}

/// A repository with one commit.
fn make_project(project: &Path) {
    let files = [
        ("README.md", "A small shop.\n"),
        ("CHANGELOG.md", "# Changes\n\n## Unreleased\n"),
        ("src/price.py", "def total(net):\n    return round(net * 1.19, 2)\n"),
        ("tests/test_price.py", "from price import total\n\nassert total(1) == 1.19\n"),
        ("notes/today.md", "- rounding: Carla's invoice is a cent too high\n- suppliers\n- invitations\n"),
        ("notes/invitations.md", "- [ ] Ben\n- [ ] Cleo\n- [ ] Dora\n"),
    ];
    for (name, text) in files {
        let path: PathBuf = project.join(name);
        fs::create_dir_all(path.parent().expect("in the project")).expect("writable");
        fs::write(path, text).expect("writable");
    }
    git(project, &["init", "-q", "-b", "main"]);
    git(project, &["config", "user.name", "Ada"]);
    git(project, &["config", "user.email", "ada@shop.example"]);
    git(project, &["add", "."]);
    git(project, &["commit", "-q", "-m", "first version"]);
}

fn git(project: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(project).output();
    let output = output.expect("these tests need git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The turn that has Claude Code put the definitions of these turns' tools into its context.
fn load_definitions(turns: &[Value]) -> Value {
    let calls = turns.iter().flat_map(|turn| turn["calls"].as_array().expect("calls"));
    let names: BTreeSet<&str> = calls.filter_map(|call| call["tool"].as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    json!({"tool": "ToolSearch", "input": {"query": format!("select:{}", names.join(","))}})
}

#[test]
fn a_day_of_claude_code_asks_as_often_as_the_documentation_says() {
    let day = Day::begin();
    let mut script = day.client_script("mcp__portero__");
    let turns = script.as_array_mut().expect("turns");
    turns.insert(0, load_definitions(turns));
    turns.push(json!({"text": "That was the day."}));
    let claude = ClaudeFixture::new(&day.home, &script);
    let mut program = Command::new(peers().claude());
    program.args(["-p", "Go through today's list."]).args(claude.claude_arguments());
    let (said, taps) = day.run(claude.with_quiet_environment(program));
    assert!(said.contains("That was the day."), "{said}");
    let conversation = measure::read_conversation(&claude.model_requests());
    day.assert_what_happened(&conversation.turns);
    let measured = Measured::take(&day, taps, &conversation);
    report::compare_with_page(&measured);
}

#[test]
fn the_same_day_of_the_python_sdk_asks_as_often() {
    let day = Day::begin();
    let script = day.home.path("run").join("script.json");
    fs::write(&script, day.client_script("").to_string()).expect("writable");
    let portero = day.home.portero_command(&["mcp"]);
    let mut program = Command::new(peers().python("python"));
    program
        .arg(peer_file("sdk_day.py"))
        .args([&script, Path::new(env!("CARGO_BIN_EXE_portero"))])
        .current_dir(day.home.path("project"))
        .envs(portero.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (said, taps) = day.run(program);
    let conversation = serde_json::from_str(&said).expect("the client prints JSON");
    let conversation = measure::read_sdk_conversation(&conversation);
    day.assert_what_happened(&conversation.turns);
    let measured = Measured::take(&day, taps, &conversation);
    report::assert_same_counts(&measured.counts);
}

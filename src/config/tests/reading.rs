use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::anonymize::{Direction, ReplacementRule};
use crate::clock::Moment;
use crate::policy::{Action, DecisionSource, Overrides, Policy, Quorum};
use crate::secret::Secret;

const EXAMPLE_ENV: [(&str, &str); 5] = [
    ("GITHUB_TOKEN", "ghp_0123456789"),
    ("REAL_NAME", "Maria Rossi"),
    ("REAL_EMAIL", "maria@rossi.test"),
    ("REAL_API_KEY", "key-0123456789"),
    ("HOME", "/home/maria"),
];

#[test]
fn an_existing_configuration_is_read_as_it_is() {
    let config = read_valid(
        &[
            (
                MCPS,
                r#"{"mcps":[{"name":"github","command":"npx","args":["-y","@modelcontextprotocol/server-github"],"env":{"GITHUB_PERSONAL_ACCESS_TOKEN":"${GITHUB_TOKEN}"},"pinnedTools":["create_issue"]}]}"#,
            ),
            (
                REPLACEMENTS,
                r#"{"replacements":[{"fake":"John Doe","real":"${REAL_NAME}","bidirectional":true},{"fake":"john@example.com","real":"${REAL_EMAIL}","bidirectional":true,"caseSensitive":false},{"fake":"fake-api-key-12345","real":"${REAL_API_KEY}","bidirectional":false,"responseReplacement":"***API-KEY***"}]}"#,
            ),
            (
                POLICIES,
                r#"{"policies":{"github/create_issue":"allow","github/*":"require-approval","*/delete_*":"deny"},"defaultPolicy":"require-approval","locked":["*/drop_*"],"reads":["github/get_*"]}"#,
            ),
        ],
        &EXAMPLE_ENV,
    );
    let [server] = &config.servers[..] else { panic!("one server: {:?}", config.servers) };
    let program = server.as_stdio().expect("a program");
    assert_eq!((server.name.as_str(), program.command.as_str()), ("github", "npx"));
    assert_eq!(program.env["GITHUB_PERSONAL_ACCESS_TOKEN"].expose(), "ghp_0123456789");
    assert_eq!(server.pinned_tools.as_deref(), Some(&["create_issue".to_owned()][..]));
    assert!(server.prefix && !server.stateless && program.cwd.is_none());
    assert_eq!(config.policy.reads.iter().map(ToString::to_string).collect::<Vec<_>>(), ["github/get_*"]);

    let [name, email, key, injected] = &config.replacements[..] else { panic!("{:?}", config.replacements) };
    assert_eq!((name.fake.as_str(), name.real.expose()), ("John Doe", "Maria Rossi"));
    assert!(name.case_sensitive && !email.case_sensitive);
    assert_eq!(name.direction, Direction::Both);
    assert_eq!(key.direction, Direction::OneWay { redaction: "***API-KEY***".into() });
    assert_eq!((injected.real.expose(), &injected.direction), ("ghp_0123456789", &Direction::Injected));

    let policy = Policy::new(config.policy, Overrides::default());
    let moment = Moment { wall: jiff::Timestamp::UNIX_EPOCH, boot: Duration::ZERO };
    let decide = |tool: &str| policy.decide(&tool.parse().expect("a name"), None, None, moment).to_string();
    insta::assert_snapshot!(
        ["github/create_issue", "github/list", "github/delete_repo", "mail/send"].map(decide).join("\n"),
        @r"
    allowed by `github/create_issue` (policies.json:1:14)
    needs approval by `github/*` (policies.json:1:44)
    denied by `*/delete_*` (policies.json:1:74)
    needs approval: no rule covers it (default)
    "
    );
}

#[test]
fn the_order_of_policies_never_matters() {
    let forth = r#"{"policies":{"*/delete_*":"deny","github/*":"allow"}}"#;
    let back = r#"{"policies":{"github/*":"allow","*/delete_*":"deny"}}"#;
    for text in [forth, back] {
        let policy = Policy::new(read_valid(&[(POLICIES, text)], &[]).policy, Overrides::default());
        let moment = Moment { wall: jiff::Timestamp::UNIX_EPOCH, boot: Duration::ZERO };
        let decision = policy.decide(&"github/delete_repo".parse().expect("a name"), None, None, moment);
        assert_eq!(decision.action, Action::Deny);
    }
}

#[test]
fn an_entry_may_look_at_the_arguments() {
    let text = r#"{"policies":{
  "files/write": {
    "cases": [
      {"when": {"/path": {"under": "${HOME}/notes"}, "/size": {"atMost": 1e3}}, "then": "allow"},
      {"when": {"/path": {"glob": "**/.git/**"}}, "then": "deny"},
    ],
    "otherwise": "require-approval",
  },
}}"#;
    let policy = Policy::new(read_valid(&[(POLICIES, text)], &EXAMPLE_ENV).policy, Overrides::default());
    let moment = Moment { wall: jiff::Timestamp::UNIX_EPOCH, boot: Duration::ZERO };
    let tool = "files/write".parse().expect("a name");
    let decide = |arguments: &str| {
        let arguments = crate::json::parse_raw(arguments.to_owned()).expect("JSON");
        policy.decide(&tool, Some(&arguments), None, moment).to_string()
    };
    insta::assert_snapshot!(
        [
            r#"{"path":"/home/maria/notes/a.md","size":1000.0}"#,
            r#"{"path":"/home/maria/notes/../.ssh/id","size":1}"#,
            r#"{"path":"/home/maria/notes/.git/config","size":1}"#,
            r#"{"path":"/home/maria/notes/a.md","size":1000.0000000000000000001}"#,
            r#"{"path":["/home/maria/notes/a.md"],"size":1}"#,
            r#"{"path":{"file":"/home/maria/notes/a.md"},"size":1}"#,
            r#"{"path":"/home/maria/notes/a.md"}"#,
        ]
        .map(decide)
        .join("\n"),
        @r#"
    allowed by `files/write`, case 1 (policies.json:4:7)
    needs approval by `files/write` (policies.json:2:3)
    denied by `files/write`, case 2 (policies.json:5:7)
    needs approval by `files/write` (policies.json:2:3)
    allowed by `files/write`, case 1 (policies.json:4:7)
    denied by `files/write`, case 2 (policies.json:5:7): its conditions cannot be told from the arguments
    needs approval by `files/write` (policies.json:2:3)
    "#
    );
}

#[test]
fn a_command_is_one_pattern_or_several() {
    let text = r#"{"policies":{"shell/run": {
  "cases": [
    {"when": {"/command": {"command": ["git status", "ls **"]}}, "then": "allow"},
    {"when": {"/command": {"command": "rm **"}}, "then": "deny"}
  ],
  "otherwise": "require-approval"
}}}"#;
    let policy = Policy::new(read_valid(&[(POLICIES, text)], &EXAMPLE_ENV).policy, Overrides::default());
    let moment = Moment { wall: jiff::Timestamp::UNIX_EPOCH, boot: Duration::ZERO };
    let tool = "shell/run".parse().expect("a name");
    let decide = |command: &str| {
        let arguments = crate::json::serialize_raw(&serde_json::json!({ "command": command }));
        policy.decide(&tool, Some(&arguments), None, moment).to_string()
    };
    insta::assert_snapshot!(
        ["git status && ls -l", "git status; rm x", "echo $(date)", "echo $(rm x)", "make"].map(decide).join("\n"),
        @r#"
    allowed by `shell/run`, case 1 (policies.json:3:5)
    denied by `shell/run`, case 2 (policies.json:4:5): its conditions cannot be told from the arguments
    needs approval by `shell/run` (policies.json:1:14)
    denied by `shell/run`, case 2 (policies.json:4:5): its conditions cannot be told from the arguments
    needs approval by `shell/run` (policies.json:1:14)
    "#
    );
    let wrong = r#"{"policies":{"shell/run": {"otherwise": "deny", "cases": [
  {"when": {"/a": {"command": []}}, "then": "allow"},
  {"when": {"/a": {"command": ["ls", " "]}}, "then": "allow"},
  {"when": {"/a": {"command": {"ls": 1}}}, "then": "allow"}
]}}}"#;
    insta::assert_snapshot!(problem_text(&[(POLICIES, wrong)], &EXAMPLE_ENV), @r#"
    error: policies.json:2:31: `command` of `/a` in `when` of case 1 of `shell/run`: a command has at least one word, such as `git status`
      | {"when": {"/a": {"command": []}}, "then": "…"},
    error: policies.json:3:31: `command` of `/a` in `when` of case 2 of `shell/run`: a command has at least one word, such as `git status`
      | {"when": {"/a": {"command": ["…", "…"]}}, "then": "…"},
    error: policies.json:4:31: `command` of `/a` in `when` of case 3 of `shell/run` must be a text in double quotes, not an object
      | {"when": {"/a": {"command": {"ls": …}}}, "then": "…"}
    "#);
}

#[test]
fn a_mistake_in_a_case_is_told_with_its_place_and_without_a_value() {
    let replacements = r#"{"replacements":[{"fake":"John Doe","real":"${REAL_NAME}"}]}"#;
    let policies = r#"{"policies":{
  "a/b": {"cases": [
    {"when": {"/to": {"equals": "maria rossi"}}, "then": "alow"},
    {"when": {"to": {"regex": "s3cret("}}, "than": "deny"},
    {"when": {"/to": {"under": "s3cret"}, "/n": {"abve": 1}}, "then": "deny"},
  ]},
}}"#;
    let told = problem_text(&[(REPLACEMENTS, replacements), (POLICIES, policies)], &EXAMPLE_ENV);
    assert!(!told.contains("s3cret") && !told.to_lowercase().contains("rossi"), "{told}");
    insta::assert_snapshot!(told, @r#"
    error: policies.json:2:10: `a/b` has no `otherwise`
      | "a/b": {"cases": [
      hint: it says what holds when no case matches; `require-approval` asks a person
    error: policies.json:3:33: `equals` of `/to` in `when` of case 1 of `a/b` holds the real value of a replacement
      | {"when": {"/to": {"equals": "…"}}, "then": "…"},
      hint: rules see the arguments as the agent wrote them; write `John Doe`
    error: policies.json:3:58: `then` of case 1 of `a/b`: unknown action `alow`
      | {"when": {"/to": {"equals": "…"}}, "then": "…"},
      hint: did you mean `allow`?
    error: policies.json:4:5: case 2 of `a/b` has no `then`
      | {"when": {"to": {"regex": "…"}}, "than": "…"},
    error: policies.json:4:15: `when` of case 2 of `a/b`: a JSON Pointer begins with a `/`, as `/path` does
      | {"when": {"to": {"regex": "…"}}, "than": "…"},
    error: policies.json:4:31: `regex` of `to` in `when` of case 2 of `a/b`: not a regular expression: unclosed group
      | {"when": {"to": {"regex": "…"}}, "than": "…"},
    error: policies.json:4:44: case 2 of `a/b` has no field `than`
      | {"when": {"to": {"regex": "…"}}, "than": "…"},
      hint: did you mean `then`?
    error: policies.json:5:32: `under` of `/to` in `when` of case 3 of `a/b`: a folder is an absolute path such as `/home/me/notes` or `C:\notes`, without `%`, a final dot or blank
      | {"when": {"/to": {"under": "…"}, "/n": {"abve": …}}, "then": "…"},
    error: policies.json:5:49: `/n` in `when` of case 3 of `a/b` must not be empty
      | {"when": {"/to": {"under": "…"}, "/n": {"abve": …}}, "then": "…"},
      hint: the tests are `equals`, `glob`, `regex`, `under`, `command`, `above`, `below`, `atLeast`, `atMost`
    error: policies.json:5:50: `/n` in `when` of case 3 of `a/b` has no field `abve`
      | {"when": {"/to": {"under": "…"}, "/n": {"abve": …}}, "then": "…"},
      hint: did you mean `above`?
    "#);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_without_a_value() {
    let texts = [
        (DOTENV, "REAL_NAME=\nBROKEN LINE s3cret\n"),
        (
            MCPS,
            r#"{
  "mcps": [
    { "name": "github", "comand": "npx", "args": ["s3cret"], "env": { "TOKEN": 5 } },
    { "name": "git hub", "command": "npx" },
    { "name": "mail", "command": "mail", "args": "s3cret", "timeout": "30 minutes", "instance": "projct", "stateless": "yes" },
    { "name": "mail", "command": "mail", "disabled": true },
    { "name": "files", "command": "files", "pinnedTools": [""], "cwd": "${FILES", "type": "stdoi" },
    { "name": "web", "command": "web", "env": { "KEY": "${UNSET_KEY}", "KEY": "s3cret" } }
  ],
  "mcpServers": { "remote": { "type": "http", "url": "https://s3cret" }, "portero": { "command": "x" } },
  "mcpServer": {}
}"#,
        ),
        (
            REPLACEMENTS,
            r#"{
  "replacements": [
    { "fake": "John Doe", "real": "${REAL_NAME}" },
    { "fake": "", "real": "${REAL_EMAIL}", "caseSensitve": true },
    { "fake": "x@y.example", "real": 12345, "label": "<b>s3cret</b>", "servers": ["mial"] },
    { "real": "s3cret" } // s3cret
  ]
}"#,
        ),
        (
            POLICIES,
            r#"{
  "policies": {
    "github/create_issue": "alow",
    "github/*": "ask",
    "*/delete_*": "s3cret",
    "delete_repo": "deny",
    "github/[z-a]": "deny",
    "githbu/x": "allow",
    "mail/*": "deny", "mail/*": "allow",
    "web/${X}": true
  },
  "defaultPolicy": "${UNSET_POLICY}",
  "lock": ["*"]
}"#,
        ),
        (
            PORTERO,
            r#"{
  "approvals": { "pending": "1 day", "pendingMost": 0, "holdMost": "1h" },
  "limits": { "messageBytes": "64MB" },
  "logging": { "level": "inof" },
  "telegram": { "admin": "s3cret", "apiUrl": "s3cret" },
  "http": {}
}"#,
        ),
    ];
    let (config, problems) = read_with(&texts, &[]);
    assert!(config.is_none());
    let all = problems.to_string();
    assert!(!all.contains("s3cret"), "{all}");
    insta::assert_snapshot!(all);
}

#[test]
fn a_file_that_is_no_json_is_told_with_the_place() {
    let not_json = [
        "",
        "{\"mcps\": [",
        "{\"mcps\": [{\"name\": \"s3cret}]}",
        "{'mcps': []}",
        "{\"mcps\": [1 2]}",
        "[\"s3cret\"]",
        "{\"mcps\": [s3cret]}",
        "{\"s3cret\": \"s3cret\" \"mcps\"}",
        "{\"mcps\": \"\\ud800s3cret\"}",
    ];
    let all: String =
        not_json.map(|text| format!("{text:?}\n{}\n\n", problem_text(&[(MCPS, text)], &[]))).concat();
    let answers: String = all.lines().filter(|line| !line.starts_with('"')).collect::<Vec<_>>().join("\n");
    assert!(!answers.contains("s3cret"), "{answers}");
    insta::assert_snapshot!(all);
}

#[test]
fn an_empty_or_unset_real_value_is_an_error() {
    let text = r#"{"replacements":[{"fake":"John Doe","real":"${REAL_NAME}"}]}"#;
    for env in [&[][..], &[("REAL_NAME", "")][..]] {
        assert!(read_with(&[(REPLACEMENTS, text)], env).0.is_none());
    }
    assert!(problem_text(&[(REPLACEMENTS, text)], &[("REAL_NAME", "")]).contains("`REAL_NAME` is empty"));
    // What the environment says holds, even where it says nothing.
    let texts = [(DOTENV, "REAL_NAME=Maria"), (REPLACEMENTS, text)];
    assert!(read_with(&texts, &[("REAL_NAME", "")]).0.is_none());
    assert!(read_with(&texts, &[]).0.is_some());
}

#[test]
fn a_missing_directory_is_a_valid_configuration_that_asks_about_everything() {
    let (config, problems) = read_with(&[], &[]);
    let config = config.expect("valid");
    assert!(config.servers.is_empty() && config.replacements.is_empty());
    assert_eq!(config.policy.default, Action::RequireApproval);
    assert_eq!(problems.0.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);

    let base = tempfile::tempdir().expect("a directory");
    let files = ConfigFiles::load(&base.path().join("none")).expect("nothing to read");
    assert!(files.is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
    let base = tempfile::tempdir().expect("a directory");
    std::fs::write(base.path().join(POLICIES), b"{\"policies\": \"\xff\"}").expect("written");
    std::fs::create_dir(base.path().join(MCPS)).expect("made");
    let problems = ConfigFiles::load(base.path()).expect_err("one is not UTF-8, one is no file");
    assert!(problems.has_errors());
    let told: Vec<_> = problems.0.iter().map(|problem| (&*problem.file, problem.message.as_str())).collect();
    let [(MCPS, directory), (POLICIES, text)] = told[..] else { panic!("{told:?}") };
    assert!(directory.ends_with("mcps.json` is a directory, not a file"), "{directory}");
    assert!(text.ends_with("policies.json` is not UTF-8 text"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_an_error_for_each_file_and_for_the_directory() {
    for file in CONFIG_FILES {
        let base = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/nowhere/vault", base.path().join(file)).expect("linked");
        let problems = ConfigFiles::load(base.path()).expect_err("it leads nowhere");
        assert!(problems.0[0].file == file && problems.0[0].message.contains("leads nowhere"), "{problems}");
    }
    let base = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("/nowhere/vault", base.path().join("config")).expect("linked");
    for directory in ["config", "config/portero"] {
        let problems = ConfigFiles::load(&base.path().join(directory)).expect_err("it leads nowhere");
        assert!(problems.0[0].message.contains("leads nowhere"), "{problems}");
    }
}

#[test]
fn a_server_with_an_unset_variable_is_skipped_and_the_others_go_on() {
    let text = r#"{"mcps":[
        {"name":"a","command":"a","args":["${ONE}","${TWO:-x}"],"cwd":"${THREE}"},
        {"name":"b","command":"b","env":{"X":"${EMPTY}"}},
        {"name":"c","command":"${ONE}","disabled":true}]}"#;
    let (config, problems) = read_with(&[(MCPS, text)], &[("EMPTY", "")]);
    let config = config.expect("valid");
    assert_eq!(config.servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let [skipped] = &config.skipped[..] else { panic!("{:?}", config.skipped) };
    assert_eq!(skipped.server.as_str(), "a");
    assert_eq!(skipped.reason, "the variables `ONE`, `THREE` are not set");
    assert_eq!(problems.0.len(), 1, "{problems}");
}

#[test]
fn a_server_without_a_name_of_its_own_is_looked_at_all_the_same() {
    let text = r#"{"mcps":[
        {"name":"a","command":"x"},
        {"name":"a","command":"x","timeout":"soon"},
        {"name":"a b","command":"x","prefix":"no"},
        {"command":"x","pinedTools":[]}]}"#;
    let told = problem_text(&[(MCPS, text)], &[]);
    for part in
        ["two servers `a`", "timeout", "may not hold ' '", "`prefix` must", "no `name`", "pinnedTools"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_remote_server_is_reached_by_the_daemon_alone() {
    let text = r#"{"mcpServers":{
        "linear":{"type":"http","url":"https://mcp.linear.example/${PLACE:-mcp}","timeout":5000,
            "headers":{"Authorization":"Bearer ${GITHUB_TOKEN}","X-Team":"core"},"maxConcurrent":3,"caFile":"ca.pem"},
        "old":{"url":"https://mcp.old.example","stateless":false},
        "older":{"type":"sse","url":"http://localhost:3000/sse"},
        "off":{"type":"sse","url":"https://mcp.off.example","disabled":true},
        "git":{"type":"stdio","command":"git-mcp"}}}"#;
    let config = read_valid(&[(MCPS, text)], &EXAMPLE_ENV);
    let [linear, old, older, git] = &config.servers[..] else { panic!("{:?}", config.servers) };
    let of = |server: &ServerConfig| server.as_http().expect("over HTTP").clone();
    let HttpServer { url, is_sse, headers, auth, max_concurrent, ca_file, client_certificate } = of(linear);
    assert_eq!((auth, client_certificate), (ServerAuth::None, None), "its headers sign in");
    assert_eq!(of(old).auth, ServerAuth::default(), "it may want a login");
    assert_eq!((url.expose().as_str(), is_sse), ("https://mcp.linear.example/mcp", false));
    assert_eq!(headers["authorization"].expose(), "Bearer ghp_0123456789");
    assert_eq!(headers["x-team"].expose(), "core");
    assert_eq!((max_concurrent, ca_file), (3, Some("/etc/portero/ca.pem".into())));
    assert_eq!(linear.timeout, Some(Duration::from_secs(5)));
    assert!(linear.stateless && !old.stateless && !of(old).is_sse && of(older).is_sse);
    assert!([linear, old, older].iter().all(|server| server.instance == ServerInstance::User));
    assert!(git.as_http().is_none());
    let rule = config.replacements.iter().find(|rule| rule.real.expose() == "ghp_0123456789");
    assert!(
        rule.is_some_and(|rule| rule.direction == Direction::Injected),
        "the key is blanked in its answers"
    );
    assert!(!config.replacements.iter().any(|rule| rule.real.expose() == "core"));
}

#[test]
fn the_secrets_of_a_remote_server_are_known() {
    let secrets = |server: &str| {
        let text = format!(r#"{{"mcpServers":{{"a":{server}}}}}"#);
        let config = read_valid(&[(MCPS, &text)], &EXAMPLE_ENV);
        config.replacements.iter().map(|rule| rule.real.expose().to_owned()).collect::<Vec<_>>()
    };
    for (server, known) in [
        (r#"{"url":"https://x/","headers":{"Authorization":"Bearer abcdefgh1"}}"#, "abcdefgh1"),
        (r#"{"url":"https://x/","headers":{"Authorization":"Token token=abcdefgh2"}}"#, "abcdefgh2"),
        (r#"{"url":"https://x/","headers":{"authorization":"abcdefgh3"}}"#, "abcdefgh3"),
        (r#"{"url":"https://x/","headers":{"X-Api-Key":"abcdefgh4"}}"#, "abcdefgh4"),
        (r#"{"url":"https://x/","headers":{"DD-APPLICATION-KEY":"${GITHUB_TOKEN}"}}"#, "ghp_0123456789"),
        (r#"{"url":"https://x/?api_key=abcdefgh5&v=1"}"#, "abcdefgh5"),
        (r#"{"url":"https://x/${GITHUB_TOKEN}/mcp"}"#, "ghp_0123456789"),
    ] {
        assert_eq!(secrets(server), [known], "{server}");
    }
}

#[test]
fn a_remote_server_that_cannot_be_reached_yet_is_skipped_with_a_warning() {
    let text = r#"{"mcpServers":{
        "b":{"url":"https://b.example/mcp","headersHelper":"/bin/x"},
        "c":{"type":"ws","url":"https://c.example/mcp"},
        "d":{"url":"https://d.example/mcp","headers":{"Authorization":"Bearer ${UNSET_KEY}"}},
        "e":{"url":"${UNSET_URL}"}}}"#;
    let (config, problems) = read_with(&[(MCPS, text)], &[]);
    let config = config.expect("valid");
    assert_eq!(config.servers, []);
    let skipped: Vec<_> = config.skipped.iter().map(|one| (one.server.as_str(), &*one.reason)).collect();
    assert_eq!(
        skipped,
        [
            ("b", "`headersHelper` is not supported"),
            ("c", "it is reached by a WebSocket, which is no transport of MCP"),
            ("d", "the variable `UNSET_KEY` is not set"),
            ("e", "the variable `UNSET_URL` is not set"),
        ]
    );
    assert_eq!(problems.0.len(), 4, "{problems}");
}

#[test]
fn the_faults_of_a_remote_server_are_told_without_its_values() {
    for (server, told) in [
        (r#"{"type":"http"}"#, "no `url`"),
        (r#"{"url":"mcp.s3cret.example"}"#, "whole address"),
        (r#"{"url":"ftp://s3cret.example"}"#, "must begin with https:// or http://"),
        (r#"{"url":"https://maria:s3cret@x.example"}"#, "write them as a header"),
        (r#"{"url":"https://x.example","headers":{"A B":"s3cret"}}"#, "cannot name a header"),
        (r#"{"url":"https://x.example","headers":{"Host":"s3cret"}}"#, "set by the transport"),
        (r#"{"url":"https://x.example","headers":{"X-A":"s3cret\nX-B: y"}}"#, "line break"),
        (r#"{"url":"https://x.example","headers":{"X-A":"s3cret","x-a":"s3cret"}}"#, "two headers"),
        (r#"{"url":"https://x.example","maxConcurrent":0}"#, "maxConcurrent"),
        (r#"{"url":"https://x.example","maxConcurrent":70000}"#, "at most 65535"),
        (r#"{"type":"http","url":"https://x.example","command":"s3cret"}"#, "`command` belongs to a server"),
        (r#"{"url":"https://x.example","instance":"session"}"#, "`instance` belongs to a server"),
        (r#"{"url":"http://s3cret.example"}"#, "in plain text"),
    ] {
        let text = problem_text(&[(MCPS, &format!(r#"{{"mcpServers":{{"a":{server}}}}}"#))], &[]);
        assert!(text.contains(told), "{server}: {text}");
        assert!(!text.contains("s3cret"), "{server}: {text}");
    }
}

#[test]
fn a_bot_api_elsewhere_that_is_not_encrypted_is_told_with_its_place() {
    let text = |url: &str| format!("{{\n  \"telegram\": {{\"token\": \"1:a\", \"apiUrl\": \"{url}\"}}}}");
    let (config, problems) = read_with(&[(PORTERO, &text("http://bots.example.org:8081/x"))], &EXAMPLE_ENV);
    assert!(config.is_some(), "it is a warning");
    let [problem] = &problems.0[..] else { panic!("{problems}") };
    assert_eq!(
        (problem.severity, &*problem.file, problem.line, problem.column),
        (Severity::Warning, PORTERO, 2, 42)
    );
    assert!(problem.message.contains("in plain text"), "{}", problem.message);
    assert!(!problems.to_string().contains("bots.example.org"), "an address may hold a secret: {problems}");
    for fine in ["https://bots.example.org", "http://localhost:8081", "http://127.0.0.1", "http://[::1]:81/"]
    {
        let (_, problems) = read_with(&[(PORTERO, &text(fine))], &EXAMPLE_ENV);
        assert!(problems.0.is_empty(), "{fine}: {problems}");
    }
}

#[test]
fn the_fields_of_a_server_are_all_read() {
    let text = r#"{"mcps":[{
        "name":"x","command":"${BIN:-x}","args":["--dir","${HOME}"],"env":{"A":"1"},"cwd":"sub","timeout":"90s",
        "prefix":false,"instance":"project","stateless":true,"disabled":false,"pinnedTools":[],"categories":["mail"],
        "roots":["${HOME}/docs"],"envPassthrough":["LC_ALL"]}],
        "mcpServers":{"y":{"command":"y","timeout":1500}}}"#;
    let config = read_valid(&[(MCPS, text)], &EXAMPLE_ENV);
    let [x, y] = &config.servers[..] else { panic!("two servers") };
    let program = x.as_stdio().expect("a program");
    assert_eq!(program.command, "x");
    assert_eq!(program.args[1].expose(), "/home/maria");
    assert_eq!(program.cwd.as_deref(), Some(Path::new("/etc/portero/sub")));
    assert_eq!(x.timeout, Some(Duration::from_secs(90)));
    assert!(!x.prefix && x.stateless);
    assert_eq!((x.instance, y.instance), (ServerInstance::Project, ServerInstance::Session));
    assert_eq!(x.pinned_tools.as_deref(), Some(&[][..]));
    assert_eq!(x.categories, ["mail"]);
    assert_eq!(x.roots.as_deref(), Some(&["/home/maria/docs".into()][..]));
    assert_eq!(program.env_passthrough, ["LC_ALL"]);
    assert_eq!(y.timeout, Some(Duration::from_millis(1500)));
}

#[test]
fn the_settings_are_all_read() {
    let text = r#"{"approvals":{"pending":"1h","start":"1m","grantMost":"2h30m","pendingMost":7,"keep":"2d",
        "coolDown":"0","hold":"45s","remember":"10m","pendingMostOfProject":8,"pendingMostInAll":9,"resultBytes":2048},
        "limits":{"start":"1s","request":"2s","listWait":"500ms","messageBytes":1000000,"serverLogBytes":5000},
        "logging":{"level":"debug"},"credentials":{"keyring":true},"telegram":{"token":"${GITHUB_TOKEN}","admin":"42","apiUrl":"http://localhost"},
        "https":{"listen":"127.0.0.1:9000","selfSigned":true}}"#;
    let dotenv = format!("BEARER_TOKEN={BEARER_TOKEN}");
    let settings = read_valid(&[(PORTERO, text), (DOTENV, &dotenv)], &EXAMPLE_ENV).settings;
    assert_eq!(settings.approvals.max_grant_duration, Duration::from_secs(9_000));
    assert_eq!(settings.approvals.retention, Duration::from_secs(2 * 86_400));
    assert_eq!(settings.approvals.max_pending_per_session, 7);
    assert_eq!(settings.approvals.max_pending_per_project, 8);
    assert_eq!(settings.approvals.max_pending_total, 9);
    assert_eq!(settings.approvals.deny_cooldown, Duration::ZERO);
    assert_eq!(settings.approvals.hold, Duration::from_secs(45));
    assert_eq!(settings.approvals.remember, Duration::from_secs(600));
    assert_eq!(settings.approvals.max_result_bytes, 2048);
    assert_eq!(settings.limits.list_timeout, Duration::from_millis(500));
    assert_eq!(settings.limits.max_message_bytes, 1_000_000);
    assert_eq!(settings.log_level.as_deref(), Some("debug"));
    assert_eq!(settings.credentials.keyring, KeyringUse::Required);
    assert_eq!(settings.https.map(|https| https.listen.port()), Some(9000));
    let telegram = settings.telegram.expect("set up");
    assert_eq!((telegram.token.expose(), telegram.admin), ("ghp_0123456789", Some(42)));
    assert_eq!(telegram.api_url.as_deref(), Some("http://localhost"));
}

#[test]
fn a_call_is_held_for_five_minutes_at_most() {
    let problems = problem_text(&[(PORTERO, r#"{"approvals":{"hold":"301s"}}"#)], &[]);
    assert!(problems.contains("`approvals.hold` must be at most 5m"), "{problems}");
    let problems = problem_text(&[(PORTERO, r#"{"approvals":{"remember":"16m"}}"#)], &[]);
    assert!(problems.contains("`approvals.remember` must be at most 15m"), "{problems}");
    let hold = |text: &str| read_valid(&[(PORTERO, text)], &EXAMPLE_ENV).settings.approvals.hold;
    assert_eq!(hold(r#"{"approvals":{"hold":"5m"}}"#), Duration::from_secs(300));
    assert_eq!(hold(r#"{"approvals":{"hold":"0"}}"#), Duration::ZERO);
    assert_eq!(hold("{}"), Duration::ZERO);
}

#[test]
fn the_keyring_is_used_where_there_is_one_unless_the_file_says_more() {
    let keyring = |text: &str| read_valid(&[(PORTERO, text)], &EXAMPLE_ENV).settings.credentials.keyring;
    for text in ["{}", r#"{"credentials":{}}"#, r#"{"credentials":{"keyring":"auto"}}"#] {
        assert_eq!(keyring(text), KeyringUse::Auto, "{text}");
    }
    assert_eq!(keyring(r#"{"credentials":{"keyring":true}}"#), KeyringUse::Required);
    assert_eq!(keyring(r#"{"credentials":{"keyring":false}}"#), KeyringUse::Off);
    for wrong in ["\"true\"", "1", "null", "{}"] {
        let problems =
            problem_text(&[(PORTERO, &format!(r#"{{"credentials":{{"keyring":{wrong}}}}}"#))], &[]);
        assert!(
            problems.contains("`credentials.keyring` must be \"auto\", true or false"),
            "{wrong}: {problems}"
        );
    }
}

#[test]
fn a_bot_may_be_named_by_variables_alone() {
    let telegram =
        |files: &[(&'static str, &str)], env: &[(&str, &str)]| read_valid(files, env).settings.telegram;
    assert_eq!(telegram(&[], &[]), None);
    let token = [("TELEGRAM_BOT_TOKEN", "1:a")];
    assert_eq!(telegram(&[], &token).map(|it| (it.token, it.admin)), Some((Secret::new("1:a"), None)));
    let file = [(DOTENV, "TELEGRAM_BOT_TOKEN=2:b\nTELEGRAM_ADMIN_CHAT_ID=42")];
    assert_eq!(telegram(&file, &[]).map(|it| (it.token, it.admin)), Some((Secret::new("2:b"), Some(42))));
    let section = [(DOTENV, "TELEGRAM_ADMIN_CHAT_ID=42"), (PORTERO, r#"{"telegram":{"token":"3:c"}}"#)];
    assert_eq!(
        telegram(&section, &token).map(|it| (it.token, it.admin)),
        Some((Secret::new("3:c"), Some(42)))
    );
}

#[test]
fn who_decides_on_telegram_stands_in_the_files_whatever_the_environment_says() {
    let env =
        [("TELEGRAM_BOT_TOKEN", "1:a"), ("TELEGRAM_ADMIN_CHAT_ID", "666"), ("URL", "https://evil.example")];
    let (config, problems) = read_with(&[], &env);
    assert_eq!(config.expect("valid").settings.telegram.expect("named").admin, None);
    assert!(problems.to_string().contains("TELEGRAM_ADMIN_CHAT_ID does not count in the environment"));
    for field in [r#""admin":"${TELEGRAM_ADMIN_CHAT_ID}""#, r#""apiUrl":"${URL}""#] {
        let text = format!(r#"{{"telegram":{{"token":"1:a",{field}}}}}"#);
        let (config, problems) = read_with(&[(PORTERO, &text)], &env);
        assert!(config.is_none() && problems.to_string().contains("here the environment does not count"));
    }
    let group = [(DOTENV, "TELEGRAM_BOT_TOKEN=1:a\nTELEGRAM_ADMIN_CHAT_ID=-100200")];
    let (config, problems) = read_with(&group, &[]);
    assert!(
        config.is_none()
            && problems.to_string().contains("TELEGRAM_ADMIN_CHAT_ID in .env must be a user's id")
    );
}

fn read_group_of(telegram: &str) -> Option<DeciderGroup> {
    group_and_quorums(telegram).0
}

fn group_and_quorums(telegram: &str) -> (Option<DeciderGroup>, Vec<Quorum>) {
    let text = format!(r#"{{"telegram":{{"token":"1:a",{telegram}}}}}"#);
    let config = read_valid(&[(PORTERO, &text)], &[]);
    (config.settings.telegram.expect("set up").group, config.policy.quorums)
}

#[test]
fn a_group_decides_by_those_who_are_named_or_by_the_admin_alone() {
    assert_eq!(read_group_of(r#""admin":11"#), None);
    let alone = DeciderGroup { chat: -1_001_234, deciders: vec![11] };
    assert_eq!(read_group_of(r#""chat":-1001234,"admin":11"#), Some(alone.clone()));
    let file =
        [(DOTENV, "TELEGRAM_ADMIN_CHAT_ID=11"), (PORTERO, r#"{"telegram":{"token":"1:a","chat":-1001234}}"#)];
    assert_eq!(read_valid(&file, &[]).settings.telegram.expect("set up").group, Some(alone));

    let (three, quorums) = group_and_quorums(
        r#""chat":-5,"deciders":[33,11,22],
        "quorum":[{"tools":["stripe/*"],"approvals":2},{"tools":["a/b","c/d"],"approvals":2,"of":[11,22]}]"#,
    );
    let quorum = |tools: &[&str], of: &[u64], column| Quorum {
        tools: tools.iter().map(|text| text.parse().expect("a pattern")).collect(),
        approvals: 2,
        of: of.to_vec(),
        source: DecisionSource::Quorum { line: 2, column },
    };
    let group = three.expect("a group");
    assert_eq!((group.chat, &group.deciders[..]), (-5, &[33, 11, 22][..]));
    assert_eq!(quorums, [quorum(&["stripe/*"], &[33, 11, 22], 19), quorum(&["a/b", "c/d"], &[11, 22], 56)]);
}

#[test]
fn every_mistake_in_a_group_is_told_with_its_place_and_what_to_do() {
    let told = |telegram: &str| {
        let text = format!("{{\n\"telegram\": {{ \"token\": \"1:a\",\n{telegram} }} }}");
        let (config, problems) = read_with(&[(PORTERO, &text)], &[("CHAT", "-5"), ("USER", "666")]);
        format!("{telegram}: {}\n{problems}\n", if config.is_some() { "valid" } else { "not valid" })
    };
    let all = [
        r#""chat": -5"#,
        r#""deciders": [11], "quorum": []"#,
        r#""chat": 5, "deciders": [11]"#,
        r#""chat": "${CHAT}", "deciders": ["${USER}"]"#,
        r#""chat": -5, "deciders": [11, 22, 11]"#,
        r#""chat": -5, "deciders": []"#,
        r#""chat": -5, "deciders": [11, 22], "admin": 33"#,
        r#""chat": -5, "admin": 11, "quorum": [{ "tools": ["a/*"], "approvals": 2 }]"#,
        r#""chat": -5, "deciders": [11, 22, 33], "quorum": [{ "tools": ["a/*"], "approvals": 3, "of": [11, 22] }]"#,
        r#""chat": -5, "deciders": [11, 22], "quorum": [{ "tools": ["a/*"], "approvals": 2, "of": [11, 44] }]"#,
        r#""chat": -5, "deciders": [11, 22], "quorum": [{ "tools": [], "approvals": 1, "off": [11] }]"#,
        r#""chat": -5, "deciders": [11, 22], "quorum": [{ "tools": ["stripe"] }]"#,
    ]
    .map(told)
    .concat();
    insta::assert_snapshot!(all);
    let (config, problems) = read_with(
        &[(PORTERO, r#"{"telegram":{"token":"1:a","chat":-5}}"#)],
        &[("TELEGRAM_ADMIN_CHAT_ID", "666")],
    );
    assert!(config.is_none() && problems.to_string().contains("needs `deciders` or `admin`"), "{problems}");
}

#[test]
fn the_audit_is_kept_for_a_week_at_least_or_for_good() {
    let keep = |keep: &str| {
        let text = format!(r#"{{"audit":{{"segmentBytes":65536,"keep":"{keep}"}}}}"#);
        read_with(&[(PORTERO, &text)], &EXAMPLE_ENV)
    };
    assert_eq!(keep("90d").0.unwrap().settings.audit.retention, Some(Duration::from_secs(90 * 86_400)));
    let config = keep("forever").0.unwrap();
    assert_eq!((config.settings.audit.retention, config.settings.audit.max_segment_bytes), (None, 65_536));
    let (config, problems) = keep("6d23h");
    assert!(config.is_none() && problems.to_string().contains("at least 7d"), "{problems}");
}

fn injected_secrets(env: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let text = format!(r#"{{"mcps":[{{"name":"x","command":"x","env":{env}}}]}}"#);
    let rules = read_valid(&[(MCPS, &text)], variables).replacements;
    let real = |rule: ReplacementRule| {
        (rule.direction == Direction::Injected).then(|| rule.real.expose().to_owned())
    };
    rules.into_iter().filter_map(real).collect()
}

#[test]
fn secrets_given_to_a_child_are_known_by_value() {
    let token = ("TOKEN", "t0ken-t0ken");
    assert_eq!(injected_secrets(r#"{"A":"${TOKEN}"}"#, &[token]), ["t0ken-t0ken"]);
    assert_eq!(injected_secrets(r#"{"A":"Bearer ${TOKEN}","B":"${TOKEN}"}"#, &[token]), ["t0ken-t0ken"]);
    assert_eq!(injected_secrets(r#"{"A":"user:${PW}@host"}"#, &[("PW", "short")]), ["user:short@host"]);
    assert_eq!(
        injected_secrets(r#"{"A":"${PW}"}"#, &[("PW", "short")]),
        [""; 0],
        "too short to be looked for"
    );
    assert_eq!(
        injected_secrets(r#"{"API_KEY":"written-out","MODE":"written-out-too"}"#, &[]),
        ["written-out"]
    );
    assert_eq!(injected_secrets(r#"{"A":"${GONE:-some-default}"}"#, &[]), [""; 0]);
    assert_eq!(injected_secrets(r#"{"DIR":"${HOME}"}"#, &[("HOME", "/home/maria")]), [""; 0], "no secret");
}

#[test]
fn ordinary_values_are_no_secrets_whatever_variable_they_come_from() {
    let variables = [
        ("PGHOST", "localhost"),
        ("NODE_ENV", "production"),
        ("AWS_REGION", "us-east-1"),
        ("AUTH_SOURCE", "administration"),
        ("TOKEN_URL", "https://login.example.com/oauth/token"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/home/maria/key.json"),
        ("PASSWORD", "postgres"),
        ("SERVICE", "my-company-production-database"),
    ];
    for (name, _) in variables {
        let env = format!(r#"{{"{name}":"${{{name}}}"}}"#);
        assert_eq!(injected_secrets(&env, &variables), [""; 0], "{name}");
    }
    let (name, value) = ("PGHOST", "localhost");
    let passed = format!(
        r#"{{"mcps":[{{"name":"x","command":"x","args":["${{{name}}}"],"envPassthrough":["{name}"]}}]}}"#
    );
    assert!(read_valid(&[(MCPS, &passed)], &[(name, value)]).replacements.is_empty());
}

#[test]
fn values_that_are_secrets_by_name_or_shape_are_known() {
    for (env, secrets) in [
        (r#"{"PGPASSWORD":"hunter2hunter2"}"#, vec!["hunter2hunter2"]),
        (r#"{"MYSQL_PWD":"hunter2hunter2"}"#, vec!["hunter2hunter2"]),
        (r#"{"clientSecret":"abcdefgh-1"}"#, vec!["abcdefgh-1"]),
        (r#"{"ACCESSTOKEN":"abcdefgh-1"}"#, vec!["abcdefgh-1"]),
        (r#"{"CONNECTION":"Server=db;User Id=sa;Password=Sup3r-Secret"}"#, vec!["Sup3r-Secret"]),
        (r#"{"NOTIFY":"https://hooks.slack.com/services/T00/B00/abcdefgh"}"#, vec!["T00/B00/abcdefgh"]),
        (
            r#"{"SENTRY_DSN":"https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/2"}"#,
            vec!["0123456789abcdef0123456789abcdef"],
        ),
        (r#"{"DB":"${DB}"}"#, vec!["pa55word-1"]),
        (r#"{"ANYTHING":"${OPAQUE}"}"#, vec!["q8Zt3vB1nX7mK2pL9wR4"]),
    ] {
        let variables = [("DB", "postgres://me:pa55word-1@db/x"), ("OPAQUE", "q8Zt3vB1nX7mK2pL9wR4")];
        assert_eq!(injected_secrets(env, &variables), secrets, "{env}");
    }
    let text = r#"{"mcps":[{"name":"x","command":"x","args":["--header","Authorization: Bearer abcdefgh-1","${POSITIONAL}"]}]}"#;
    let rules = read_valid(&[(MCPS, text)], &[("POSITIONAL", "ghp_0123456789")]).replacements;
    let known: Vec<_> = rules.iter().map(|rule| rule.real.expose()).collect();
    assert_eq!(known, ["abcdefgh-1", "ghp_0123456789"]);
    assert!(rules.iter().all(|rule| rule.servers.as_ref().is_some_and(|servers| servers.len() == 1)));
}

#[test]
fn a_declaration_says_what_is_a_secret() {
    let variables = [("PGHOST", "db.internal.example"), ("TOKEN", "ghp_0123456789")];
    assert_eq!(
        injected_secrets(r#"{"PGHOST":{"value":"${PGHOST}","secret":true}}"#, &variables),
        ["db.internal.example"]
    );
    assert_eq!(injected_secrets(r#"{"PLACE":{"value":"production","secret":true}}"#, &[]), ["production"]);
    assert_eq!(injected_secrets(r#"{"TOKEN":{"value":"${TOKEN}","secret":false}}"#, &variables), [""; 0]);
    assert_eq!(injected_secrets(r#"{"TOKEN":{"value":"${TOKEN}"}}"#, &variables), ["ghp_0123456789"]);
    let told = |env: &str| {
        let text = format!(r#"{{"mcps":[{{"name":"x","command":"x","env":{env}}}]}}"#);
        let (config, problems) = read_with(&[(MCPS, &text)], &[]);
        assert!(config.is_none(), "{env}");
        problems.to_string()
    };
    let reference = told(r#"{"A":{"value":"${secret:a}","secret":false}}"#);
    assert!(
        reference.contains("is always a secret") && reference.contains("leave `secret` out"),
        "{reference}"
    );
    assert!(told(r#"{"A":{"secret":true}}"#).contains("has no `value`"));
    assert!(told(r#"{"A":{"value":"x","secret":"no"}}"#).contains("`secret`"));
}

#[test]
fn secrets_that_are_written_out_are_known_where_they_are_called_secrets() {
    let args = |args: &str| {
        let text = format!(r#"{{"mcps":[{{"name":"x","command":"x","args":{args}}}]}}"#);
        let rules = read_valid(&[(MCPS, &text)], &[]).replacements;
        rules.iter().map(|rule| rule.real.expose().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(args(r#"["-y","--api-key","written-out","--mode","production"]"#), ["written-out"]);
    assert_eq!(
        args(r#"["--token=written-out","--key-file","production","--key","--verbose"]"#),
        ["written-out"]
    );
    assert_eq!(args(r#"["postgres://me:pa55word:x@host/db?a=b@c"]"#), ["pa55word:x"]);
    assert_eq!(args(r#"["https://host:8080000/a@b","mailto://someone@example.com"]"#), [""; 0]);
    assert_eq!(injected_secrets(r#"{"DATABASE_URL":"postgres://me:pa55word@host/db"}"#, &[]), ["pa55word"]);
}

#[test]
fn secrets_that_are_passed_through_are_known_by_value_too() {
    let text = r#"{"mcps":[{"name":"x","command":"x","envPassthrough":["GITHUB_TOKEN","MODE","GONE_KEY"]}]}"#;
    let variables = [("GITHUB_TOKEN", "t0ken-t0ken"), ("MODE", "production")];
    let rules = read_valid(&[(MCPS, text)], &variables).replacements;
    let known: Vec<_> = rules.iter().map(|rule| (rule.real.expose(), &rule.direction)).collect();
    assert_eq!(known, [("t0ken-t0ken", &Direction::Injected)]);
}

#[test]
fn a_secret_among_the_replacements_is_revealed_to_the_named_servers_alone() {
    let scope = |rule: &str| {
        let text = format!(r#"{{"replacements":[{rule}]}}"#);
        let mcps = r#"{"mcps":[{"name":"github","command":"x"}]}"#;
        let (config, problems) = read_with(&[(MCPS, mcps), (REPLACEMENTS, &text)], &[]);
        let config = config.expect("valid");
        (config.replacements[0].servers.clone(), problems.to_string())
    };
    for secret in [
        r#"{"fake":"fake-api-key","real":"opaque-value","bidirectional":false,"label":"API key"}"#,
        r#"{"fake":"fake-api-key","real":"ghp_0123456789abcdef","bidirectional":false}"#,
    ] {
        let (servers, told) = scope(secret);
        assert_eq!(servers, Some(Vec::new()), "{secret}");
        assert!(told.contains("revealed to none") && told.contains("\"servers\": [\"github\"]"), "{told}");
        let named = secret.replace('}', r#","servers":["github"]}"#);
        assert_eq!(scope(&named), (Some(vec!["github".parse().expect("a name")]), String::new()));
    }
    for other in [
        r#"{"fake":"John Doe","real":"Maria Rossi","label":"name"}"#,
        r#"{"fake":"fake-api-key","real":"ghp_0123456789abcdef","label":"key"}"#,
        r#"{"fake":"Project X","real":"Manhattan","bidirectional":false,"responseReplacement":"[project]"}"#,
    ] {
        assert_eq!(scope(other), (None, String::new()), "{other}");
    }
    let (_, told) =
        scope(r#"{"fake":"Project X","real":"Manhattan","bidirectional":false,"responseReplacement":"***"}"#);
    assert!(told.contains("can't recognise it"), "{told}");
}

#[test]
fn a_secret_that_is_replaced_already_is_not_injected_too() {
    let config = read_valid(
        &[
            (MCPS, r#"{"mcps":[{"name":"x","command":"x","env":{"A":"${REAL_API_KEY}"}}]}"#),
            (
                REPLACEMENTS,
                r#"{"replacements":[{"fake":"a-fake-key","real":"${REAL_API_KEY}","bidirectional":false}]}"#,
            ),
        ],
        &EXAMPLE_ENV,
    );
    assert_eq!(config.replacements.len(), 1);
}

#[test]
fn replacements_that_cannot_hold_together_are_told_where_they_stand() {
    let texts = [
        (MCPS, "{\"mcps\":[{\"name\":\"x\",\"command\":\"x\",\n\"env\":{\"TOKEN\":\"${TOKEN}\"}}]}"),
        (
            REPLACEMENTS,
            r#"{"replacements": [
  { "fake": "Jane", "real": "${REAL_NAME}" },
  { "fake": "Jane", "real": "Erika Mustermann" },
  { "fake": "with t0ken-t0ken in it", "real": "another value" }
]}"#,
        ),
    ];
    let env = [("TOKEN", "t0ken-t0ken"), ("REAL_NAME", "Maria Rossi")];
    assert!(read_with(&texts, &env).0.is_none());
    insta::assert_snapshot!(problem_text(&texts, &env), @r#"
    error: replacements.json:2:3: replacement 1 ("Jane") conflicts with replacement 2 ("Jane"): they have the same fake
      | { "fake": "…", "real": "…" },
      hint: the other one is at replacements.json:3:3; give one of them a fake of its own
    error: replacements.json:4:3: replacement 3 ("…") conflicts with replacement 4 ("…"): its fake holds the other's real value
      | { "fake": "…", "real": "…" }
      hint: the other one is at mcps.json:2:16; choose a fake that has nothing in common with that value
    "#);
}

#[test]
fn the_digest_tells_files_apart_and_missing_from_empty() {
    let of = |texts: &[(&str, &str)]| config_files(texts).digest();
    assert_eq!(of(&[(MCPS, "{}")]), of(&[(MCPS, "{}")]));
    assert_ne!(of(&[(MCPS, "{}")]), of(&[(POLICIES, "{}")]));
    assert_ne!(of(&[]), of(&[(MCPS, "")]));
}

fn any_json() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("s3cret".to_owned()),
        Just("allow".to_owned()),
        Just("${X}".to_owned()),
        Just("s3cret ${".to_owned()),
    ];
    let leaf = prop_oneof![
        word.prop_map(|word| format!("\"{word}\"")),
        prop_oneof![Just("1"), Just("-1.5e3"), Just("true"), Just("null"), Just("s3cret"), Just("'s3cret'")]
            .prop_map(str::to_owned),
    ];
    let key = prop::sample::select(
        [
            fields::MCPS,
            fields::SERVER,
            fields::NAME,
            fields::REPLACEMENTS,
            fields::REPLACEMENT,
            fields::POLICIES,
            fields::PORTERO,
            fields::APPROVALS,
            fields::LIMITS,
            fields::LOGGING,
            fields::TELEGRAM,
            fields::QUORUM,
            &["a/*", "x"],
        ]
        .concat(),
    );
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}\n}}", members.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_problem_ever_shows_a_value_but_a_pattern(text in any_json(), file in 0..4_usize, cut in 0..200_usize) {
        let file = [MCPS, REPLACEMENTS, POLICIES, PORTERO][file];
        let cut: String = text.chars().take(cut).collect();
        // A pattern is no secret: it names tools, and is shown so that it is found.
        let shown_pattern = regex::Regex::new(r"bad pattern `[^`]*`[^\n]*").expect("a pattern");
        for text in [&text, &cut] {
            let (config, problems) = read_with(&[(file, text)], &[("X", "s3cret-value")]);
            prop_assert_eq!(config.is_none(), problems.has_errors());
            let told = shown_pattern.replace_all(&problems.to_string(), "").into_owned();
            prop_assert!(!told.contains("s3cret"), "{}\n{}", text, problems);
        }
    }
}

#[test]
fn quiet_hours_may_go_past_midnight_and_have_their_zone() {
    let telegram = |notices: &str| {
        let text = format!(r#"{{"telegram":{{"token":"1:a","notices":{notices}}}}}"#);
        read_valid(&[(PORTERO, &text)], &[]).settings.telegram.expect("set up").notices
    };
    let quiet = telegram(r#"{"quiet":{"from":"22:00","to":"07:00","zone":"UTC"}}"#).quiet.expect("quiet");
    let here = jiff::tz::TimeZone::fixed(jiff::tz::offset(5));
    let holds = |time: &str| quiet.contains(format!("2026-11-20T{time}Z").parse().expect("a time"), &here);
    assert_eq!(["21:59:59", "22:00:00", "06:59:59", "07:00:00"].map(holds), [false, true, true, false]);
    let day = telegram(r#"{"quiet":{"from":"09:00","to":"10:00"}}"#).quiet.expect("quiet");
    assert!(day.contains("2026-11-20T04:30:00Z".parse().expect("a time"), &here));
    let (all, less) = (telegram("{}"), telegram(r#"{"servers":{"github":"errors"}}"#));
    assert!(less.is_quieter_than(&all) && !all.is_quieter_than(&less) && !all.is_quieter_than(&all));
    assert!(telegram(r#"{"every":"1h"}"#).is_quieter_than(&all));
}

#[test]
fn the_way_of_a_credential_is_read_from_auth() {
    let auth = |auth: &str| {
        let text = format!(r#"{{"mcpServers":{{"a":{{"url":"https://x.example","auth":{auth}}}}}}}"#);
        let config = read_valid(&[(MCPS, &text)], &EXAMPLE_ENV);
        let secrets =
            config.replacements.iter().map(|rule| rule.real.expose().to_owned()).collect::<Vec<_>>();
        (config.servers[0].as_http().expect("over HTTP").auth.clone(), secrets)
    };
    let key = "env://GITHUB_TOKEN";
    let header = |name: &str, value: &str| (CredentialLocation::Header, name.to_owned(), value.to_owned());
    for (fields, expected) in [
        (r#""method":"bearer""#, header("authorization", "Bearer ghp_0123456789")),
        (r#""method":"oauth2""#, header("authorization", "Bearer ghp_0123456789")),
        (r#""method":"basic""#, header("authorization", "Basic ghp_0123456789")),
        (
            r#""method":"basic","format":"prefix","prefix":"Basic ""#,
            header("authorization", "Basic ghp_0123456789"),
        ),
        (r#""method":"api_key""#, header("x-api-key", "ghp_0123456789")),
        (r#""method":"custom""#, header("authorization", "ghp_0123456789")),
        (r#""method":"bearer","format":"prefix""#, header("authorization", "Bearer ghp_0123456789")),
        (r#""method":"bearer","format":"raw""#, header("authorization", "ghp_0123456789")),
        (
            r#""method":"custom","name":"X-Custom-Auth","format":"template","template":"CustomToken {credential}""#,
            header("x-custom-auth", "CustomToken ghp_0123456789"),
        ),
        (
            r#""method":"api_key","location":"query","name":"apiKey""#,
            (CredentialLocation::Query, "apiKey".to_owned(), "ghp_0123456789".to_owned()),
        ),
        (
            r#""method":"bearer","location":"body","name":"token","prefix":"t ""#,
            (CredentialLocation::Body, "token".to_owned(), "t ghp_0123456789".to_owned()),
        ),
    ] {
        let (read, secrets) = auth(&format!(r#"{{{fields},"credential_ref":"{key}"}}"#));
        let ServerAuth::Static(read) = read else { panic!("{fields}: {read:?}") };
        let value = read.value().expose().to_owned();
        assert_eq!((read.location, read.name, value), expected, "{fields}");
        assert_eq!(secrets[0], "ghp_0123456789", "it is blanked in the answers");
    }
    let (_, secrets) = auth(r#"{"method":"basic","credentialRef":"maria:${GITHUB_TOKEN}"}"#);
    let encoded = data_encoding::BASE64.encode(b"maria:ghp_0123456789");
    assert_eq!(secrets, ["maria:ghp_0123456789", &encoded, "ghp_0123456789"]);
    assert_eq!(auth(r#"{"method":"none"}"#).0, ServerAuth::None);
}

#[test]
fn a_login_is_described_in_the_words_of_two_programs() {
    let read = |entry: &str| {
        let text = format!(r#"{{"mcpServers":{{"a":{{"url":"https://x.example",{entry}}}}}}}"#);
        read_valid(&[(MCPS, &text)], &EXAMPLE_ENV).servers[0].as_http().expect("over HTTP").auth.clone()
    };
    let theirs = read(
        r#""oauth":{"clientId":"portero-1","clientSecret":"env://GITHUB_TOKEN","callbackPort":8080,"scopes":"channels:read chat:write","authServerMetadataUrl":"https://auth.example/.well-known/x"}"#,
    );
    let ours = read(
        r#""auth":{"method":"oauth2","client_id":"portero-1","client_secret":"${GITHUB_TOKEN}","callback_port":8080,"scopes":["channels:read","chat:write"],"auth_server_metadata_url":"https://auth.example/.well-known/x"}"#,
    );
    assert_eq!(theirs, ours);
    let ServerAuth::OAuth(settings) = theirs else { panic!("{theirs:?}") };
    assert_eq!(settings.client_id.as_deref(), Some("portero-1"));
    assert_eq!(settings.client_secret.as_ref().map(Secret::expose), Some("ghp_0123456789"));
    assert_eq!(settings.callback_port, Some(8080));
    assert_eq!(settings.scopes, Some(vec!["channels:read".to_owned(), "chat:write".to_owned()]));
    let machine = read(
        r#""auth":{"method":"oauth2","grant":"client_credentials","client_id":"m","token_endpoint_auth_method":"private_key_jwt","private_key_file":"key.pem","private_key_algorithm":"RS256"}"#,
    );
    let ServerAuth::OAuth(settings) = machine else { panic!("{machine:?}") };
    let key = settings.private_key.expect("a key");
    assert_eq!((&*key.file, key.algorithm), (Path::new("/etc/portero/key.pem"), SigningAlgorithm::Rs256));
    assert_eq!(read(r#""oauth":{}"#), ServerAuth::default());
}

#[test]
fn the_faults_of_a_login_are_told_without_its_values() {
    let basic =
        |more: &str| format!(r#""auth":{{"method":"custom","credential_ref":"env://GITHUB_TOKEN"{more}}}"#);
    let oauth = |fields: &str| format!(r#""oauth":{{{fields}}}"#);
    for (entry, told) in [
        (r#""auth":{}"#.to_owned(), "`auth` has no `method`"),
        (r#""auth":{"method":"bearer"}"#.to_owned(), "no `credential_ref`"),
        (r#""auth":{"method":"berer","credential_ref":"s3cret00"}"#.to_owned(), "did you mean `bearer`?"),
        (r#""auth":{"method":"bearer","credential_ref":"env://s3cret 00"}"#.to_owned(), "does not name a variable"),
        (r#""auth":{"method":"bearer","credential_ref":"s3cret00"}"#.to_owned(), "holds the credential itself"),
        (r#""auth":{"method":"bearer","credential_ref":"s3cret\nX: y"}"#.to_owned(), "line break"),
        (r#""auth":{"method":"none"},"oauth":{}"#.to_owned(), "either `auth` or `oauth`"),
        (basic(r#","location":"query""#), "needs a `name`"),
        (basic(r#","name":"Host""#), "set by the transport"),
        (basic(r#","name":"Mcp-Param-Region""#), "set by the transport"),
        (basic(r#","name":"a b""#), "cannot name a header"),
        (basic(r#","format":"prefix""#), "no `prefix`"),
        (basic(r#","format":"template""#), "no `template`"),
        (basic(r#","template":"s3cret""#), "must hold `{credential}`"),
        (basic(r#","format":"raw","prefix":"s3cret""#), "not used with"),
        (basic(r#","credentialRef":"s3cret""#), "are the same field"),
        (r#""headers":{"X-Api-Key":"s3cret00"},"auth":{"method":"api_key","credential_ref":"env://GITHUB_TOKEN"}"#.to_owned(), "both set the header"),
        (oauth(r#""clientSecret":"env://GITHUB_TOKEN""#), "needs the `client_id`"),
        (oauth(r#""grant":"client_credentials","clientId":"x""#), "needs a `client_secret` or"),
        (oauth(r#""clientId":"x","tokenEndpointAuthMethod":"private_key_jwt""#), "needs a `private_key_file`"),
        (oauth(r#""clientId":"x","tokenEndpointAuthMethod":"client_secret_post""#), "needs a `client_secret`"),
        (oauth(r#""clientId":"x","clientMetadataUrl":"https://x.example/y""#), "either a `client_id`"),
        (oauth(r#""authServerMetadataUrl":"http://s3cret.example/""#), "must begin with https://"),
        (oauth(r#""callbackPort":70000"#), "at most 65535"),
        (oauth(r#""scopes":["a b"]"#), "no scope"),
        (oauth(r#""secret":"s3cret""#), "no field `secret`"),
        (r#""certFile":"a.pem""#.to_owned(), "needs a `keyFile`"),
        (r#""keyFile":"a.pem""#.to_owned(), "needs a `certFile`"),
    ] {
        let text = format!(r#"{{"mcpServers":{{"a":{{"url":"https://x.example",{entry}}}}}}}"#);
        let text = problem_text(&[(MCPS, &text)], &EXAMPLE_ENV);
        assert!(text.contains(told), "{entry}: {text}");
        assert!(!text.contains("s3cret"), "{entry}: {text}");
    }
}

#[test]
fn a_credential_in_an_unset_variable_skips_the_server() {
    let text = r#"{"mcpServers":{"a":{"url":"https://x.example","auth":{"method":"bearer","credential_ref":"env://GONE"}}}}"#;
    let (config, _) = read_with(&[(MCPS, text)], &[]);
    let config = config.expect("valid");
    assert_eq!(config.skipped[0].reason, "the variable `GONE` is not set");
}

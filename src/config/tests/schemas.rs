//! The JSON schemas in `config/` say what the readers do.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn schema_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn read_schema(file: &str) -> Value {
    let name = file.replace(".json", ".schema.json");
    let text =
        fs::read_to_string(schema_directory().join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn schema_fields(schema: &Value, pointer: &str) -> BTreeSet<String> {
    let object = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is in the schema"));
    assert_eq!(object["additionalProperties"], Value::Bool(false), "{pointer} is closed");
    object["properties"].as_object().expect("fields").keys().cloned().collect()
}

#[test]
fn every_field_that_is_read_stands_in_the_schema_and_the_other_way_round() {
    let server = [fields::NAME, fields::SERVER].concat();
    let auth = [fields::AUTH, fields::OAUTH].concat();
    let client = [fields::HTTPS_CERTIFICATE, fields::HTTPS_SCOPE].concat();
    let tables: [(&str, &str, &[&str]); 28] = [
        (MCPS, "", fields::MCPS),
        (MCPS, "/properties/mcps/items", &server),
        (MCPS, "/properties/mcpServers/additionalProperties", fields::SERVER),
        (MCPS, "/$defs/variable", fields::VARIABLE),
        (MCPS, "/$defs/auth", &auth),
        (MCPS, "/$defs/oauth", fields::OAUTH),
        (REPLACEMENTS, "", fields::REPLACEMENTS),
        (REPLACEMENTS, "/$defs/replacement", fields::REPLACEMENT),
        (POLICIES, "", fields::POLICIES),
        (POLICIES, "/$defs/conditional", fields::CONDITIONAL),
        (POLICIES, "/$defs/case", fields::CASE),
        (POLICIES, "/$defs/test", fields::TEST),
        (PORTERO, "", fields::PORTERO),
        (PORTERO, "/properties/approvals", fields::APPROVALS),
        (PORTERO, "/properties/limits", fields::LIMITS),
        (PORTERO, "/properties/audit", fields::AUDIT),
        (PORTERO, "/properties/logging", fields::LOGGING),
        (PORTERO, "/properties/credentials", fields::CREDENTIALS),
        (PORTERO, "/properties/telegram", fields::TELEGRAM),
        (PORTERO, "/properties/telegram/properties/quorum/items", fields::QUORUM),
        (PORTERO, "/properties/telegram/properties/notices", fields::NOTICES),
        (PORTERO, "/properties/telegram/properties/notices/properties/quiet", fields::QUIET),
        (PORTERO, "/properties/https", fields::HTTPS),
        (PORTERO, "/properties/https/properties/limits", fields::HTTPS_LIMITS),
        (PORTERO, "/properties/https/properties/oidc", fields::HTTPS_OIDC),
        (PORTERO, "/$defs/scope", fields::HTTPS_SCOPE),
        (PORTERO, "/properties/https/properties/clientCertificates", fields::HTTPS_CERTIFICATES),
        (PORTERO, "/$defs/client", &client),
    ];
    for (file, pointer, known) in tables {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(schema_fields(&read_schema(file), pointer), known, "{file}{pointer}");
    }
    let levels = &read_schema(PORTERO)["properties"]["logging"]["properties"]["level"]["enum"];
    assert_eq!(*levels, serde_json::json!(fields::LEVELS));
    let actions = &read_schema(POLICIES)["$defs"]["action"]["anyOf"][0]["enum"];
    let known: BTreeSet<_> = crate::policy::Action::ALL.iter().map(|action| action.as_str()).collect();
    let actions: BTreeSet<_> =
        actions.as_array().expect("actions").iter().filter_map(Value::as_str).collect();
    assert_eq!(actions, known);
}

#[test]
fn everything_in_the_schemas_is_described() {
    fn assert_described(value: &Value, path: &str) {
        if let Some(fields) = value.get("properties").and_then(Value::as_object) {
            for (name, field) in fields.iter().filter(|(_, field)| field.is_object()) {
                let told = field.get("description").is_some()
                    || field.get("$ref").is_some()
                    || path.ends_with("/if");
                assert!(told || path.contains("/kind"), "{path}/{name} has no description");
            }
        }
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| assert_described(value, &format!("{path}/{key}")))
            }
            Value::Array(items) => items.iter().for_each(|item| assert_described(item, path)),
            _ => {}
        }
    }
    for file in [MCPS, REPLACEMENTS, POLICIES, PORTERO] {
        assert_described(&read_schema(file), file);
    }
}

#[test]
fn every_field_stands_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(path).expect("it is there");
    let tables = [
        fields::MCPS,
        fields::NAME,
        fields::SERVER,
        fields::AUTH,
        fields::OAUTH,
        fields::REPLACEMENTS,
        fields::REPLACEMENT,
        fields::POLICIES,
        fields::CONDITIONAL,
        fields::CASE,
        fields::TEST,
        fields::PORTERO,
        fields::APPROVALS,
        fields::LIMITS,
        fields::LOGGING,
        fields::LEVELS,
        fields::TELEGRAM,
        fields::QUORUM,
        fields::HTTPS,
    ];
    for name in tables.concat() {
        assert!(text.contains(&format!("`{name}`")), "`{name}` is not in docs/configuration.md");
    }
}

#[test]
fn the_defaults_in_the_schema_are_the_defaults() {
    let schema = read_schema(PORTERO);
    let default = |section: &str, field: &str| {
        schema
            .pointer(&format!("/properties/{section}/properties/{field}/default"))
            .expect("a default")
            .clone()
    };
    let (approvals, limits) = (ApprovalSettings::default(), ServerLimits::default());
    let shown = |length| Value::String(duration::format_duration(length));
    assert_eq!(default("approvals", "pending"), shown(approvals.decision_timeout));
    assert_eq!(default("approvals", "start"), shown(approvals.start_timeout));
    assert_eq!(default("approvals", "grantMost"), shown(approvals.max_grant_duration));
    assert_eq!(default("approvals", "keep"), shown(approvals.retention));
    assert_eq!(default("approvals", "resultBytes"), serde_json::json!(approvals.max_result_bytes));
    assert_eq!(default("approvals", "coolDown"), shown(approvals.deny_cooldown));
    assert_eq!(default("approvals", "hold"), "0");
    assert!(approvals.hold.is_zero());
    for (field, most) in [
        ("pendingMost", approvals.max_pending_per_session),
        ("pendingMostOfProject", approvals.max_pending_per_project),
        ("pendingMostInAll", approvals.max_pending_total),
    ] {
        assert_eq!(default("approvals", field), serde_json::json!(most));
    }
    assert_eq!(default("limits", "start"), shown(limits.start_timeout));
    assert_eq!(default("limits", "request"), shown(limits.request_timeout));
    assert_eq!(default("limits", "listWait"), shown(limits.list_timeout));
    assert_eq!(default("limits", "messageBytes"), serde_json::json!(limits.max_message_bytes));
    assert_eq!(default("limits", "serverLogBytes"), serde_json::json!(limits.max_server_log_bytes));
    let audit = AuditSettings::default();
    assert_eq!(default("audit", "segmentBytes"), serde_json::json!(audit.max_segment_bytes));
    assert_eq!(audit.max_segment_bytes, crate::audit::DEFAULT_SEGMENT_BYTES);
    let keep = default("audit", "keep");
    assert_eq!(duration::parse_duration(keep.as_str().unwrap()).ok(), audit.retention);
}

/// The entries of a section of docs/remote.md, with each variable set to another value: equal secrets would share one
/// rule.
fn documented_servers(section: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/remote.md");
    let page = fs::read_to_string(path).expect("the page");
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect("the section");
    let (_, rest) = rest.split_once("```json mcps.json\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("the example ends");
    let files = config_files(&[(MCPS, example)]);
    let is_named = |name: &str| {
        example.contains(&format!("${{{name}}}")) || example.contains(&format!("env://{name}\""))
    };
    // The password makes an address of a database a secret.
    let value = |name: &str| match name {
        "MONGODB_URL" | "POSTGRES_URL" => format!("db://reader:value-of-{name}@localhost/"),
        _ => format!("value-of-{name}"),
    };
    let (config, problems) = read_config(&files, &|name| is_named(name).then(|| value(name)));
    let config = config.unwrap_or_else(|| panic!("{problems}"));
    assert!(problems.0.is_empty(), "{problems}");
    assert_eq!(config.skipped, []);
    let validator = jsonschema::draft202012::new(&read_schema(MCPS)).expect("a schema");
    assert!(validator.is_valid(&serde_json::from_str(example).expect("JSON")), "the schema takes {section}");
    config
}

fn is_blanked(config: &Config, server: &ServerConfig) -> bool {
    let mut servers = config.replacements.iter().filter_map(|rule| rule.servers.as_ref());
    servers.any(|servers| servers.contains(&server.name))
}

#[test]
fn the_entries_of_servers_in_the_documentation_load() {
    let keys = documented_servers("With a key");
    assert_eq!(keys.servers.len(), 13);
    for server in &keys.servers {
        assert!(is_blanked(&keys, server), "the key of {} is blanked", server.name);
    }
    let logins = documented_servers("With a login");
    assert_eq!(logins.servers.len(), 13);
    for server in &logins.servers {
        let auth = &server.as_http().expect("over HTTP").auth;
        let ServerAuth::OAuth(settings) = auth else { panic!("{} logs in: {auth:?}", server.name) };
        assert!(settings.client_secret.is_none() || is_blanked(&logins, server), "{}", server.name);
    }
    let programs = documented_servers("As a program");
    assert_eq!(programs.servers.len(), 13);
    assert!(programs.servers.iter().all(|server| server.as_stdio().is_some()));
    for name in ["mongodb", "postgres", "grafana-own", "google-workspace"] {
        let server = programs.servers.iter().find(|server| server.name.as_str() == name).expect(name);
        assert!(is_blanked(&programs, server), "the secret of {name} is blanked");
    }
}

/// Documents, and whether they are valid.
const DOCUMENTS: &[(&str, bool, &str)] = &[
    (PORTERO, true, r#"{"audit":{"segmentBytes":65536,"keep":"forever"}}"#),
    (PORTERO, true, r#"{"audit":{"keep":"90d"}}"#),
    (PORTERO, false, r#"{"audit":{"segmentBytes":65535}}"#),
    (PORTERO, false, r#"{"audit":{"keep":30}}"#),
    (PORTERO, true, r#"{"credentials":{}}"#),
    (PORTERO, true, r#"{"credentials":{"keyring":"auto"}}"#),
    (PORTERO, true, r#"{"credentials":{"keyring":false}}"#),
    (PORTERO, false, r#"{"credentials":{"keyring":"never"}}"#),
    (PORTERO, false, r#"{"credentials":{"keyring":1}}"#),
    (PORTERO, false, r#"{"audit":{"keep":"for ever"}}"#),
    (MCPS, true, r#"{}"#),
    (MCPS, true, r#"{"$schema":"x","mcps":[]}"#),
    (MCPS, true, r#"{"mcps":[{"name":"a","command":"a"}],"mcpServers":{"b":{"command":"b"}}}"#),
    (MCPS, true, r#"{"mcps":[{"name":"a","command":"a","timeout":"1h30m","env":{"A":"1"},"roots":["/x"]}]}"#),
    (
        MCPS,
        true,
        r#"{"mcps":[{"name":"a","command":"a","env":{"A":{"value":"1","secret":false},"B":{"value":""}}}]}"#,
    ),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","env":{"A":{"secret":true}}}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","env":{"A":{"value":"1","secret":"yes"}}}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","env":{"A":{"value":"1","hidden":true}}}]}"#),
    (MCPS, true, r#"{"mcpServers":{"a":{"type":"stdio","command":"a","timeout":500}}}"#),
    (MCPS, true, r#"{"mcpServers":{"a":{"type":"http","url":"https://x"},"b":{"url":"https://x"}}}"#),
    (
        MCPS,
        true,
        r#"{"mcpServers":{"a":{"url":"https://x/mcp","headers":{"X-A":"b"},"maxConcurrent":2,"caFile":"ca.pem","roots":["/x"]}}}"#,
    ),
    (MCPS, true, r#"{"mcpServers":{"a":{"url":"https://x/mcp","oauth":{"clientId":"x","scopes":"a b"}}}}"#),
    (MCPS, true, r#"{"mcpServers":{"a":{"url":"https://x/mcp","auth":{"method":"none"}}}}"#),
    (
        MCPS,
        true,
        r#"{"mcpServers":{"a":{"url":"https://x/mcp","auth":{"method":"custom","name":"X","format":"template","template":"T {credential}","credential_ref":"${KEY:-x}"}}}}"#,
    ),
    (
        MCPS,
        true,
        r#"{"mcpServers":{"a":{"url":"https://x/mcp","auth":{"method":"oauth2","client_id":"x","scopes":["a"],"callback_port":80},"certFile":"a","keyFile":"b"}}}"#,
    ),
    (MCPS, false, r#"{"mcpServers":{"a":{"url":"https://x/mcp","auth":{}}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"url":"https://x/mcp","auth":{"method":"magic"}}}}"#),
    (
        MCPS,
        false,
        r#"{"mcpServers":{"a":{"url":"https://x/mcp","auth":{"method":"oauth2","callback_port":0}}}}"#,
    ),
    (
        MCPS,
        false,
        r#"{"mcpServers":{"a":{"url":"https://x/mcp","auth":{"method":"custom","template":"T","credential_ref":"x"}}}}"#,
    ),
    (MCPS, false, r#"{"mcpServers":{"a":{"url":"https://x/mcp","oauth":{"method":"oauth2"}}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"command":"x","auth":{"method":"none"}}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"type":"http"}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"type":"http","url":"https://x","command":"a"}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"url":"https://x","headers":{"a b":"c"}}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"url":"https://x","headers":{"A":1}}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"url":"https://x","maxConcurrent":0}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"command":"x","caFile":"ca.pem"}}}"#),
    (MCPS, false, r#"[]"#),
    (MCPS, false, r#"{"servers":[]}"#),
    (MCPS, false, r#"{"mcps":{}}"#),
    (MCPS, false, r#"{"mcps":[{"command":"a"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":""}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a b","command":"a"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"portero","command":"a"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","args":"x"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","env":{"A":1}}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","env":{"A=B":"1"}}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","timeout":"soon"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","timeout":"30m1h"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","timeout":0}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","instance":"shared"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","pinnedTools":[""]}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","envPassthrough":["$A"]}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","url":"https://x"}]}"#),
    (MCPS, false, r#"{"mcps":[{"name":"a","command":"a","type":"studio"}]}"#),
    (MCPS, false, r#"{"mcpServers":{"a":{"name":"a","command":"a"}}}"#),
    (MCPS, false, r#"{"mcpServers":{"a/b":{"command":"a"}}}"#),
    (REPLACEMENTS, true, r#"{"replacements":[{"fake":"John Doe","real":"Maria Rossi"}]}"#),
    (
        REPLACEMENTS,
        true,
        r#"{"replacements":[{"fake":"ffffffff","real":"rrrrrrrr","bidirectional":false,"caseSensitive":false,"match":"word","responseReplacement":"***","label":"API key","servers":["a"]}]}"#,
    ),
    (REPLACEMENTS, true, r#"{"replacements":[{"fake":"Jane","real":"Maria","match":"substring"}]}"#),
    (REPLACEMENTS, false, r#"{"replacements":[{"fake":"Jane","real":"Maria","match":"words"}]}"#),
    (REPLACEMENTS, false, r#"{"replacements":{}}"#),
    (REPLACEMENTS, false, r#"{"replacements":[{"fake":"John Doe"}]}"#),
    (REPLACEMENTS, false, r#"{"replacements":[{"fake":"","real":"Maria Rossi"}]}"#),
    (REPLACEMENTS, false, r#"{"replacements":[{"fake":"John Doe","real":"Maria Rossi","label":"<name>"}]}"#),
    (REPLACEMENTS, false, r#"{"replacements":[{"fake":"John Doe","real":"Maria Rossi","servers":["a/b"]}]}"#),
    (
        REPLACEMENTS,
        false,
        r#"{"replacements":[{"fake":"John Doe","real":"Maria Rossi","bidirectonal":true}]}"#,
    ),
    (
        POLICIES,
        true,
        r#"{"policies":{"a/b":"allow","*":"deny","**":"deny","a**":"deny","a/[ab]*":"require-approval"}}"#,
    ),
    (POLICIES, true, r#"{"defaultPolicy":"deny","locked":["*/drop_*"],"reads":["a/get_*"]}"#),
    (POLICIES, false, r#"{"policies":{"a/b":"ask"}}"#),
    (POLICIES, false, r#"{"policies":{"a":"allow"}}"#),
    (POLICIES, false, r#"{"policies":{"a/b/c":"allow"}}"#),
    (POLICIES, false, r#"{"policies":{"a/b c":"allow"}}"#),
    (POLICIES, false, r#"{"policies":{"a/b":true}}"#),
    (
        POLICIES,
        true,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/path":{"under":"/home/me/notes"}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        true,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/a~1b":{"under":"C:\\notes"},"/n/0":{"above":1e3,"atMost":2.5e3}},"then":"allow"},{"when":{"/":{"equals":null}},"then":"deny"}],"otherwise":"require-approval"}}}"#,
    ),
    (
        POLICIES,
        true,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"glob":"*@example.com","regex":".*"}},"then":"deny"}],"otherwise":"allow"}}}"#,
    ),
    (POLICIES, false, r#"{"policies":{"a/b":{}}}"#),
    (POLICIES, false, r#"{"policies":{"a/b":{"cases":[],"otherwise":"deny"}}}"#),
    (POLICIES, false, r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"equals":1}},"then":"allow"}]}}}"#),
    (POLICIES, false, r#"{"policies":{"a/b":{"otherwise":"deny"}}}"#),
    (POLICIES, false, r#"{"policies":{"a/b":{"cases":[{"when":{},"then":"allow"}],"otherwise":"deny"}}}"#),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"x":{"equals":1}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x~2":{"equals":1}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"is":1}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"equals":[1]}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"above":"1"}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"under":"notes"}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"under":"//host/notes"}},"then":"allow"}],"otherwise":"deny"}}}"#,
    ),
    (
        POLICIES,
        false,
        r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"equals":1}},"then":"ask"}],"otherwise":"deny"}}}"#,
    ),
    (POLICIES, false, r#"{"policies":{"a/b":{"cases":[{"when":{"/x":{"equals":1}}}],"otherwise":"deny"}}}"#),
    (POLICIES, false, r#"{"policies":[]}"#),
    (POLICIES, false, r#"{"default":"deny"}"#),
    (POLICIES, false, r#"{"locked":["drop_*"]}"#),
    (POLICIES, false, r#"{"reads":["get_*"]}"#),
    (POLICIES, false, r#"{"reads":"a/get_*"}"#),
    (
        PORTERO,
        true,
        r#"{"approvals":{"pending":"24h"},"limits":{"listWait":"500ms"},"logging":{"level":"warn"}}"#,
    ),
    (PORTERO, true, r#"{"telegram":{"token":"123:abc","admin":42,"apiUrl":"https://x"}}"#),
    (PORTERO, true, r#"{"telegram":{"token":"123:abc","admin":"42"}}"#),
    (
        PORTERO,
        true,
        r#"{"telegram":{"token":"1:a","notices":{"every":"1m","level":"errors","servers":{"github":"off"},"quiet":{"from":"22:00","to":"07:30","zone":"UTC"}}}}"#,
    ),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","notices":{"level":"loud"}}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","notices":{"every":3}}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","notices":{"servers":{"github":true}}}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","notices":{"quiet":{"from":"22:00"}}}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","notices":{"quiet":{"from":"24:00","to":"07:00"}}}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","notices":{"quiet":{"from":"9:00","to":"10:00"}}}}"#),
    (PORTERO, true, r#"{"https":{}}"#),
    (PORTERO, true, r#"{"https":{"listen":"[::1]:9000"}}"#),
    (PORTERO, true, r#"{"https":{"listen":"0.0.0.0:9000","selfSigned":true,"hosts":["a.example"]}}"#),
    (PORTERO, false, r#"{"https":{"listen":"localhost:9000"}}"#),
    (PORTERO, true, r#"{"https":{"limits":{"idle":"1m","bodyBytes":1024}}}"#),
    (PORTERO, false, r#"{"https":{"limits":{"bodyBytes":1}}}"#),
    (PORTERO, false, r#"{"https":{"port":9000}}"#),
    (PORTERO, false, r#"{"approvals":{"pending":30}}"#),
    (PORTERO, false, r#"{"approvals":{"pendingMost":0}}"#),
    (PORTERO, false, r#"{"approvals":{"pendingMost":1.5}}"#),
    (PORTERO, true, r#"{"approvals":{"coolDown":"0","pendingMostOfProject":1,"pendingMostInAll":1}}"#),
    (PORTERO, false, r#"{"approvals":{"coolDown":"1"}}"#),
    (PORTERO, false, r#"{"approvals":{"coolDown":0}}"#),
    (PORTERO, true, r#"{"approvals":{"resultBytes":1024}}"#),
    (PORTERO, false, r#"{"approvals":{"resultBytes":1023}}"#),
    (PORTERO, false, r#"{"approvals":{"pendingMostInAll":0}}"#),
    (PORTERO, false, r#"{"limits":{"messageBytes":10}}"#),
    (PORTERO, false, r#"{"logging":{"level":"loud"}}"#),
    (PORTERO, false, r#"{"telegram":{}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"123:abc","admin":"me"}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"123:abc","apiUrl":"ftp://x"}}"#),
    (PORTERO, true, r#"{"telegram":{"token":"1:a","chat":-1001,"admin":11}}"#),
    (
        PORTERO,
        true,
        r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[11,22,33],"quorum":[{"tools":["stripe/*"],"approvals":2},{"tools":["*/drop_*"],"approvals":3,"of":[33,22,11]}]}}"#,
    ),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","chat":5,"deciders":[11]}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","chat":"-5","deciders":[11]}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","admin":11,"deciders":[11]}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","admin":11,"quorum":[]}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[]}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[11,11]}}"#),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","chat":-5,"deciders":["11"]}}"#),
    (
        PORTERO,
        false,
        r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21]}}"#,
    ),
    (PORTERO, false, r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[1,2],"quorum":[{"approvals":2}]}}"#),
    (
        PORTERO,
        false,
        r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[1,2],"quorum":[{"tools":["a/*"]}]}}"#,
    ),
    (
        PORTERO,
        false,
        r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[1,2],"quorum":[{"tools":[],"approvals":2}]}}"#,
    ),
    (
        PORTERO,
        false,
        r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[1,2],"quorum":[{"tools":["a"],"approvals":2}]}}"#,
    ),
    (
        PORTERO,
        false,
        r#"{"telegram":{"token":"1:a","chat":-5,"deciders":[1,2],"quorum":[{"tools":["a/*"],"approvals":1}]}}"#,
    ),
];

#[test]
fn schema_and_reader_agree_on_what_is_valid() {
    let validators = [MCPS, REPLACEMENTS, POLICIES, PORTERO].map(|file| {
        (
            file,
            jsonschema::draft202012::new(&read_schema(file))
                .unwrap_or_else(|error| panic!("{file}: {error}")),
        )
    });
    for (file, expected, text) in DOCUMENTS {
        let (_, validator) = validators.iter().find(|(name, _)| name == file).expect("a schema");
        let document: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(validator.is_valid(&document), *expected, "the schema on {text}");
        let (config, problems) = read_with(&[(file, text)], &[]);
        assert_eq!(config.is_some(), *expected, "the reader on {text}:\n{problems}");
    }
}

#[test]
fn the_examples_load() {
    let mut files = ConfigFiles::load(&schema_directory().join("examples")).expect("the examples are there");
    assert!(files.mcps.is_some() && files.replacements.is_some() && files.policies.is_some());
    assert!(files.portero.is_some());
    let example = fs::read_to_string(schema_directory().join("examples/.env.example")).expect("it is there");
    files.dotenv = Some(example);
    let (config, problems) = read_config(&files, &|_| None);
    assert_eq!(problems, ConfigProblems::default(), "{problems}");
    let config = config.expect("valid");
    assert_eq!(config.servers.len(), 4);
    assert_eq!(config.skipped, []);
}

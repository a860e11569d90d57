//! Secrets by reference, and those that are written out.

use super::*;
use crate::secret::Secret;

const STDIO: &str = r#"{"mcps":[{"name":"a","command":"x","env":{"KEY":"x-${secret:key}"}INSTANCE}]}"#;

fn with_instance(instance: &str) -> String {
    STDIO.replace("INSTANCE", instance)
}

#[test]
fn a_program_with_a_reference_runs_in_the_daemon() {
    for (instance, runs) in [
        ("", ServerInstance::Project),
        (r#","instance":"project""#, ServerInstance::Project),
        (r#","instance":"user""#, ServerInstance::User),
    ] {
        let config = read_valid(&[(MCPS, &with_instance(instance))], &[]);
        assert_eq!(config.servers[0].instance, runs, "{instance}");
        let references: Vec<_> = config.servers[0].transport.references().into_iter().collect();
        assert_eq!(references.iter().map(ToString::to_string).collect::<Vec<_>>(), ["${secret:key}"]);
        assert_eq!(config.replacements.len(), 0, "its value is not known here");
    }
    let told = problem_text(&[(MCPS, &with_instance(r#","instance":"session""#))], &[]);
    assert!(told.contains("a server with `${secret:key}` can't have the instance `session`"), "{told}");
    assert!(told.contains("mcps.json:1:"), "{told}");
}

#[test]
fn a_remote_server_has_references_in_its_headers_and_its_url() {
    let text = r#"{"mcpServers":{"a":{
        "url":"https://a.example/${secret:path}/mcp?key=${file:/run/key}",
        "headers":{"Authorization":"Bearer ${exec:op read 'op://a/b'}","X-Key":"${keyring:a.example/maria}"}}}}"#;
    let (config, problems) = read_with(&[(MCPS, text)], &[]);
    assert!(problems.0.is_empty(), "{problems}");
    let config = config.expect("valid");
    let references: Vec<_> =
        config.servers[0].transport.references().iter().map(ToString::to_string).collect();
    assert_eq!(references.len(), 4, "{references:?}");
    assert!(config.replacements.is_empty(), "{:?}", config.replacements);
}

#[test]
fn a_reference_elsewhere_is_an_error_with_its_place() {
    for text in [
        r#"{"mcps":[{"name":"a","command":"${secret:x}"}]}"#,
        r#"{"mcps":[{"name":"a","command":"x","args":["${secret:x}"]}]}"#,
        r#"{"mcps":[{"name":"a","command":"x","cwd":"${file:/x}"}]}"#,
        r#"{"mcpServers":{"a":{"url":"https://${secret:x}/"}}}"#,
        r#"{"mcpServers":{"a":{"url":"https://a.example","caFile":"${file:/x}"}}}"#,
        r#"{"mcps":[{"name":"a","command":"x","env":{"A":"${secret:a b}"}}]}"#,
        r#"{"mcps":[{"name":"a","command":"x","env":{"A":"${exec:op 'read}"}}]}"#,
        r#"{"mcps":[{"name":"a","command":"x","env":{"A":"${keyring:service}"}}]}"#,
    ] {
        let (config, problems) = read_with(&[(MCPS, text)], &[]);
        assert!(config.is_none(), "{text}");
        assert_eq!((problems.0.len(), problems.0[0].line), (1, 1), "{problems}");
    }
    let replacement = r#"{"replacements":[{"fake":"John","real":"${secret:name}"}]}"#;
    let told = problem_text(&[(REPLACEMENTS, replacement)], &[]);
    assert!(told.contains("`real` can't hold `${secret:name}`"), "{told}");
}

#[test]
fn no_value_of_a_variable_becomes_a_reference() {
    for value in ["\0secret:key\0", "${secret:key}"] {
        let text = r#"{"mcps":[{"name":"a","command":"x","env":{"A":"${FORGED}"}}]}"#;
        let (config, _) = read_with(&[(MCPS, text)], &[("FORGED", value)]);
        let config = config.filter(|config| !config.servers.is_empty());
        let given = config.map(|config| config.servers[0].as_stdio().expect("a program").env["A"].clone());
        assert!(given.is_none_or(|given| given == Secret::new("${secret:key}") && !given.has_references()));
    }
}

#[test]
fn a_secret_that_is_written_out_is_told_with_the_command_that_moves_it() {
    let text = r#"{"mcps":[{"name":"a","command":"x","env":{"API_KEY":"written-out","MODE":"production"}},
        {"name":"b","url":"https://b.example","headers":{"Authorization":"Bearer written-out-too"}},
        {"name":"c","command":"x","env":{"API_KEY":"${API_KEY}"}}]}"#;
    let (config, problems) = read_with(&[(MCPS, text)], &[("API_KEY", "of-the-environment")]);
    assert!(config.is_some() && problems.0.len() == 2, "{problems}");
    let told = problems.to_string();
    for words in [
        "`env.API_KEY` holds a secret in clear",
        "run `portero secret set a.API_KEY --keep`, and write ${secret:a.API_KEY} in its place; the daemon then runs",
        "`headers.Authorization` holds a secret in clear",
        "run `portero secret set b.authorization --keep`, and write ${secret:b.authorization} in its place; or move",
    ] {
        assert!(told.contains(words), "{words} is not in:\n{told}");
    }
    assert!(!told.contains("written-out"), "{told}");
}

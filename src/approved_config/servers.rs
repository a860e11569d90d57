//! Servers. A new one waits, a changed one keeps running as confirmed, and a removed one is gone at once.

use std::path::PathBuf;
use std::time::Duration;

use super::ConfigChanges;
use crate::config::duration::format_duration;
use crate::config::{Config, ServerConfig, SkippedServer};
use crate::names::ServerName;
use crate::secret::Secret;

const SERVERS_FILE: &str = "mcps.json";

pub(super) fn compare_servers(confirmed: &Config, changed: &Config, changes: &mut ConfigChanges) {
    for server in &changed.servers {
        match find_server(confirmed, &server.name) {
            None => changes.push_change(
                true,
                SERVERS_FILE,
                format!("new server `{}`: {}", server.name, describe_server(server)),
            ),
            Some(known) => {
                for words in describe_differences(known, server) {
                    changes.push_change(true, SERVERS_FILE, format!("server `{}`: {words}", server.name));
                }
                compare_harmless_fields(confirmed, changed, (known, server), changes);
            }
        }
    }
    for server in &confirmed.servers {
        if find_server(changed, &server.name).is_none() {
            let skipped = changed.skipped.iter().find(|skipped| skipped.server == server.name);
            let reason = skipped.map_or("it is not in the file", |skipped| skipped.reason.as_str());
            changes.push_change(
                false,
                SERVERS_FILE,
                format!("server `{}` is not started any more: {reason}", server.name),
            );
        }
    }
}

/// The servers that may start, and those that are skipped.
pub(super) fn effective_servers(
    confirmed: &Config,
    changed: &Config,
) -> (Vec<ServerConfig>, Vec<SkippedServer>) {
    let mut skipped = changed.skipped.clone();
    let mut servers = Vec::with_capacity(changed.servers.len());
    for server in &changed.servers {
        match find_server(confirmed, &server.name) {
            // The confirmed server, with only the harmless fields of the edited one.
            Some(known) => servers.push(ServerConfig {
                timeout: effective_timeout(confirmed, changed, (known, server)),
                pinned_tools: server.pinned_tools.clone(),
                categories: server.categories.clone(),
                stateless: known.stateless && server.stateless,
                ..known.clone()
            }),
            None => skipped.push(SkippedServer {
                server: server.name.clone(),
                reason: "it is new in mcps.json and not confirmed yet".to_owned(),
                hint: "look at it with `portero config diff`, then run `portero config confirm`".to_owned(),
            }),
        }
    }
    (servers, skipped)
}

fn find_server<'a>(config: &'a Config, name: &ServerName) -> Option<&'a ServerConfig> {
    config.servers.iter().find(|server| server.name == *name)
}

/// The effective request timeout of a server.
fn request_timeout(config: &Config, server: &ServerConfig) -> Duration {
    server.timeout.unwrap_or(config.settings.limits.request_timeout)
}

/// The shorter timeout of the two.
fn effective_timeout(
    confirmed: &Config,
    changed: &Config,
    (known, server): (&ServerConfig, &ServerConfig),
) -> Option<Duration> {
    match (known.timeout, server.timeout) {
        (None, None) => None,
        _ => Some(request_timeout(confirmed, known).min(request_timeout(changed, server))),
    }
}

/// Compares the fields that don't change what a server is or may do. Only a longer timeout, and
/// that a call may run in another process, widen.
fn compare_harmless_fields(
    confirmed: &Config,
    changed: &Config,
    (known, server): (&ServerConfig, &ServerConfig),
    changes: &mut ConfigChanges,
) {
    let (was, is) = (request_timeout(confirmed, known), request_timeout(changed, server));
    if known.timeout != server.timeout && was != is {
        changes.push_change(
            is > was,
            SERVERS_FILE,
            format!("server `{}`: timeout {} → {}", known.name, format_duration(was), format_duration(is)),
        );
    }
    if known.stateless != server.stateless {
        let (was, is) = (known.stateless, server.stateless);
        changes.push_change(is, SERVERS_FILE, format!("server `{}`: stateless {was} → {is}", known.name));
    }
    if known.pinned_tools != server.pinned_tools {
        changes.push_change(false, SERVERS_FILE, format!("server `{}`: other tools are pinned", known.name));
    }
    if known.categories != server.categories {
        changes.push_change(false, SERVERS_FILE, format!("server `{}`: other categories", known.name));
    }
}

/// All differences that make it another server. Values of its variables are compared, but not shown.
fn describe_differences(known: &ServerConfig, server: &ServerConfig) -> Vec<String> {
    let ServerConfig {
        name: _,
        command,
        args,
        env,
        env_passthrough,
        cwd,
        timeout: _,
        prefix,
        instance,
        stateless: _,
        pinned_tools: _,
        categories: _,
        roots,
        // Destructured completely, so that a new field doesn't compile until it is decided here.
    } = server;
    let mut found = Vec::new();
    if known.command != *command {
        found.push(format!("command {:?} → {command:?}", known.command));
    }
    if known.args != *args {
        found.push(format!("args {} → {}", format_args_list(&known.args), format_args_list(args)));
    }
    for name in known.env.keys().chain(env.keys().filter(|name| !known.env.contains_key(*name))) {
        match (known.env.get(name), env.get(name)) {
            (Some(was), Some(is)) if was == is => {}
            (Some(_), Some(_)) => found.push(format!("env `{name}` has another value")),
            (None, _) => found.push(format!("env `{name}` is new")),
            (Some(_), None) => found.push(format!("env `{name}` is gone")),
        }
    }
    if known.env_passthrough != *env_passthrough {
        found.push(format!("envPassthrough {:?} → {env_passthrough:?}", known.env_passthrough));
    }
    if known.cwd != *cwd {
        found.push(format!(
            "cwd {} → {}",
            format_directory(known.cwd.as_ref()),
            format_directory(cwd.as_ref())
        ));
    }
    if known.prefix != *prefix {
        found.push(format!("prefix {} → {prefix}", known.prefix));
    }
    if known.instance != *instance {
        found.push(format!("instance {} → {}", known.instance.as_str(), instance.as_str()));
    }
    if known.roots != *roots {
        found.push(format!(
            "roots {} → {}",
            format_folders(known.roots.as_ref()),
            format_folders(roots.as_ref())
        ));
    }
    found
}

/// Everything about a new server that shows what would be started.
fn describe_server(server: &ServerConfig) -> String {
    let mut words = format!("command {:?}", server.command);
    let mut add = |told: bool, what: String| {
        if told {
            words.push_str(", ");
            words.push_str(&what);
        }
    };
    let names: Vec<_> = server.env.keys().collect();
    add(!server.args.is_empty(), format!("args {}", format_args_list(&server.args)));
    add(!names.is_empty(), format!("env {names:?}"));
    add(!server.env_passthrough.is_empty(), format!("envPassthrough {:?}", server.env_passthrough));
    add(server.cwd.is_some(), format!("cwd {}", format_directory(server.cwd.as_ref())));
    add(server.roots.is_some(), format!("roots {}", format_folders(server.roots.as_ref())));
    add(server.instance.is_in_daemon(), format!("instance {}", server.instance.as_str()));
    add(server.stateless, "stateless".to_owned());
    add(!server.prefix, "its tools' names without a prefix".to_owned());
    words
}

/// As in the file. Secrets in it are concealed with the whole description.
fn format_args_list(args: &[Secret]) -> String {
    format!("{:?}", args.iter().map(Secret::expose).collect::<Vec<_>>())
}

fn format_directory(directory: Option<&PathBuf>) -> String {
    directory.map_or_else(|| "the agent's project".to_owned(), |directory| format!("{directory:?}"))
}

fn format_folders(folders: Option<&Vec<PathBuf>>) -> String {
    folders.map_or_else(|| "none".to_owned(), |folders| format!("{folders:?}"))
}

//! Servers. A new one waits, a changed one keeps running as confirmed, and a removed one is gone at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::ConfigChanges;
use crate::config::duration::format_duration;
use crate::config::url::HttpUrl;
use crate::config::{
    ClientCertificate, Config, HttpServer, OAuthSettings, ServerAuth, ServerConfig, ServerTransport,
    SkippedServer, StaticAuth, StdioServer,
};
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
        transport,
        timeout: _,
        prefix,
        instance,
        stateless: _,
        pinned_tools: _,
        categories: _,
        roots,
        // Destructured completely, so that a new field doesn't compile until it is decided here.
    } = server;
    let mut found = match (&known.transport, transport) {
        (ServerTransport::Stdio(known), ServerTransport::Stdio(server)) => compare_programs(known, server),
        (ServerTransport::Http(known), ServerTransport::Http(server)) => compare_endpoints(known, server),
        (_, ServerTransport::Stdio(server)) => {
            vec![format!("now started here: {}", describe_program(server))]
        }
        (_, ServerTransport::Http(server)) => {
            vec![format!("now at an address: {}", describe_endpoint(server))]
        }
    };
    if known.transport.references() != transport.references() {
        // One of them may run a program.
        let (was, is) = (format_references(&known.transport), format_references(transport));
        found.push(format!("its secrets come from {was} → {is}"));
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

fn compare_programs(known: &StdioServer, server: &StdioServer) -> Vec<String> {
    let StdioServer { command, args, env, env_passthrough, cwd } = server;
    let mut found = Vec::new();
    if known.command != *command {
        found.push(format!("command {:?} → {command:?}", known.command));
    }
    if known.args != *args {
        found.push(format!("args {} → {}", format_args_list(&known.args), format_args_list(args)));
    }
    found.extend(compare_values("env", &known.env, env));
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
    found
}

fn compare_endpoints(known: &HttpServer, server: &HttpServer) -> Vec<String> {
    let HttpServer { url, is_sse, headers, auth, max_concurrent, ca_file, client_certificate } = server;
    let mut found = Vec::new();
    if known.url.origin() != url.origin() {
        found.push(format!("url {} → {}", known.url.origin(), url.origin()));
    } else if known.url != *url {
        // Path and query may hold a key.
        found.push(format!("url at {} has another path", url.origin()));
    }
    if known.is_sse != *is_sse {
        found.push(format!("type {} → {}", format_type(known), format_type(server)));
    }
    found.extend(compare_values("header", &known.headers, headers));
    found.extend(compare_auth(&known.auth, auth));
    if known.max_concurrent != *max_concurrent {
        found.push(format!("maxConcurrent {} → {max_concurrent}", known.max_concurrent));
    }
    if known.ca_file != *ca_file {
        let format_file = |file: Option<&PathBuf>| {
            file.map_or_else(|| "the usual authorities".to_owned(), |file| format!("{file:?}"))
        };
        found.push(format!(
            "caFile {} → {}",
            format_file(known.ca_file.as_ref()),
            format_file(ca_file.as_ref())
        ));
    }
    if known.client_certificate != *client_certificate {
        found.push(format!(
            "certFile {} → {}",
            format_certificate(known.client_certificate.as_ref()),
            format_certificate(client_certificate.as_ref())
        ));
    }
    found
}

/// How it is signed in to. Credentials are compared, but not shown.
fn compare_auth(known: &ServerAuth, auth: &ServerAuth) -> Option<String> {
    if known == auth {
        return None;
    }
    let (was, is) = (describe_auth(known), describe_auth(auth));
    Some(if was == is {
        format!("auth, {is}, has another credential")
    } else {
        format!("auth {was} → {is}")
    })
}

fn describe_auth(auth: &ServerAuth) -> String {
    match auth {
        ServerAuth::None => "none".to_owned(),
        ServerAuth::Static(StaticAuth { location, name, format, credential: _ }) => {
            format!("by the {} {name:?} ({})", location.as_str(), format.describe())
        }
        ServerAuth::OAuth(settings) => describe_oauth(settings),
    }
}

fn describe_oauth(settings: &OAuthSettings) -> String {
    let OAuthSettings {
        grant,
        client_id,
        client_secret,
        token_endpoint_auth_method,
        private_key,
        scopes,
        callback_port,
        metadata_url,
        client_metadata_url,
    } = settings;
    let mut words = format!("by OAuth, grant {}", grant.as_str());
    let url =
        |name: &str, url: &Option<HttpUrl>| url.as_ref().map(|url| format!("{name} at {}", url.origin()));
    let more = [
        client_id.as_ref().map(|id| format!("client {id:?}")),
        client_secret.as_ref().map(|_| "client_secret".to_owned()),
        token_endpoint_auth_method.map(|method| method.as_str().to_owned()),
        private_key.as_ref().map(|key| format!("private key {:?} ({})", key.file, key.algorithm.as_str())),
        scopes.as_ref().map(|scopes| format!("scopes {scopes:?}")),
        callback_port.map(|port| format!("callback port {port}")),
        url("metadata", metadata_url),
        url("client metadata", client_metadata_url),
    ];
    for part in more.into_iter().flatten() {
        add_words(&mut words, true, || part);
    }
    words
}

/// The differences of named values, without the values.
fn compare_values<'a>(
    what: &'a str,
    known: &'a BTreeMap<String, Secret>,
    now: &'a BTreeMap<String, Secret>,
) -> impl Iterator<Item = String> + 'a {
    let names = known.keys().chain(now.keys().filter(|name| !known.contains_key(*name)));
    names.filter_map(move |name| match (known.get(name), now.get(name)) {
        (Some(was), Some(is)) if was == is => None,
        (Some(_), Some(_)) => Some(format!("{what} `{name}` has another value")),
        (None, _) => Some(format!("{what} `{name}` is new")),
        (Some(_), None) => Some(format!("{what} `{name}` is gone")),
    })
}

/// Everything about a new server that shows what would be started or reached.
fn describe_server(server: &ServerConfig) -> String {
    let mut words = match &server.transport {
        ServerTransport::Stdio(program) => describe_program(program),
        ServerTransport::Http(endpoint) => describe_endpoint(endpoint),
    };
    let is_http = server.as_http().is_some();
    add_words(&mut words, server.transport.has_references(), || {
        format!("its secrets come from {}", format_references(&server.transport))
    });
    add_words(&mut words, server.roots.is_some(), || {
        format!("roots {}", format_folders(server.roots.as_ref()))
    });
    let is_shared = server.instance.is_in_daemon() && !is_http;
    add_words(&mut words, is_shared, || format!("instance {}", server.instance.as_str()));
    add_words(&mut words, server.stateless && !is_http, || "stateless".to_owned());
    add_words(&mut words, !server.stateless && is_http, || "not stateless".to_owned());
    add_words(&mut words, !server.prefix, || "its tools' names without a prefix".to_owned());
    words
}

fn describe_program(program: &StdioServer) -> String {
    let mut words = format!("command {:?}", program.command);
    let names: Vec<_> = program.env.keys().collect();
    add_words(&mut words, !program.args.is_empty(), || format!("args {}", format_args_list(&program.args)));
    add_words(&mut words, !names.is_empty(), || format!("env {names:?}"));
    let passes = !program.env_passthrough.is_empty();
    add_words(&mut words, passes, || format!("envPassthrough {:?}", program.env_passthrough));
    add_words(&mut words, program.cwd.is_some(), || {
        format!("cwd {}", format_directory(program.cwd.as_ref()))
    });
    words
}

fn describe_endpoint(endpoint: &HttpServer) -> String {
    let mut words = format!("url at {}", endpoint.url.origin());
    let names: Vec<_> = endpoint.headers.keys().collect();
    add_words(&mut words, endpoint.is_sse, || "type sse".to_owned());
    add_words(&mut words, !names.is_empty(), || format!("headers {names:?}"));
    let is_usual = matches!(endpoint.auth, ServerAuth::None) || endpoint.auth == ServerAuth::default();
    add_words(&mut words, !is_usual, || format!("auth {}", describe_auth(&endpoint.auth)));
    if let Some(file) = &endpoint.ca_file {
        add_words(&mut words, true, || format!("caFile {file:?}"));
    }
    let certificate = endpoint.client_certificate.as_ref();
    add_words(&mut words, certificate.is_some(), || format!("certFile {}", format_certificate(certificate)));
    words
}

fn add_words(words: &mut String, is_added: bool, more: impl FnOnce() -> String) {
    if is_added {
        words.push_str(", ");
        words.push_str(&more());
    }
}

const fn format_type(endpoint: &HttpServer) -> &'static str {
    if endpoint.is_sse { "sse" } else { "http" }
}

/// As in the file. Secrets in it are concealed with the whole description.
fn format_args_list(args: &[Secret]) -> String {
    format!("{:?}", args.iter().map(Secret::expose).collect::<Vec<_>>())
}

fn format_certificate(certificate: Option<&ClientCertificate>) -> String {
    certificate.map_or_else(
        || "none".to_owned(),
        |certificate| format!("{:?} with the key {:?}", certificate.cert_file, certificate.key_file),
    )
}

/// The references as the file spells them. They name places, never values.
fn format_references(transport: &ServerTransport) -> String {
    let references: Vec<String> = transport.references().iter().map(ToString::to_string).collect();
    format!("{references:?}")
}

fn format_directory(directory: Option<&PathBuf>) -> String {
    directory.map_or_else(|| "the agent's project".to_owned(), |directory| format!("{directory:?}"))
}

fn format_folders(folders: Option<&Vec<PathBuf>>) -> String {
    folders.map_or_else(|| "none".to_owned(), |folders| format!("{folders:?}"))
}

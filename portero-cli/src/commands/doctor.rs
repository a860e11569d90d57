//! `portero doctor [SERVER]`: starts each server as a session would, fetches its lists, and prints each
//! problem with the next step. Servers over HTTP are reached by the daemon alone, so it is asked about them.
//! Problems of the bot on Telegram, of the HTTPS endpoint and of kept credentials come from a running daemon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::catalog::Catalog;
use portero::clock::SystemClock;
use portero::config::{Config, ServerConfig};
use portero::ipc::requests::daemon::{ExamineServer, ServerExamination};
use portero::names::ServerName;
use portero::server::{LaunchOptions, ServerError, ServerListing, Upstreams};
use serde::Serialize;

use super::CommandContext;
use super::config::{hint_unlisted_tools, load_config_in_force, load_valid_config};
use super::daemon::{find_bot_problem, find_credential_problem};
use super::https::{HttpsProblem, find_https_problem};
use crate::failure::{CommandFailure, CommandResult};
use crate::launch;
use crate::output::{escape_hidden, pluralize};
use crate::suggestions::nearest_match;

/// The name of the bot's entry; a server's name can't contain a blank.
const BOT_ENTRY: &str = "bot on Telegram";
/// The name of the HTTPS endpoint's entry.
const HTTPS_ENTRY: &str = "HTTPS endpoint";
/// The name of the entry of kept credentials.
const CREDENTIALS_ENTRY: &str = "kept credentials";
/// The state of what works and soon won't.
const WARNS: &str = "warns";

/// The finding about one server, the bot, the HTTPS endpoint or kept credentials.
#[derive(Debug, Serialize)]
struct ServerFinding {
    /// A server's name, [`BOT_ENTRY`], [`HTTPS_ENTRY`] or [`CREDENTIALS_ENTRY`].
    server: String,
    /// `ok`, [`WARNS`], `failed` or `skipped`.
    state: &'static str,
    /// The counts of its lists, or the problem.
    about: String,
    hint: Option<String>,
    /// The entries that the agent doesn't get, with reason and next step.
    left_out: Vec<OmittedEntry>,
}

/// An entry of a server's list that the agent doesn't get.
#[derive(Debug, Serialize)]
struct OmittedEntry {
    about: String,
    hint: Option<&'static str>,
}

pub(super) async fn run(context: &CommandContext, only: Option<ServerName>) -> CommandResult {
    // The effective configuration is used, because a server that waits for a confirmation must not be
    // started.
    let config = match load_config_in_force(context) {
        Ok(in_force) => in_force.config,
        Err(_) => load_valid_config(context)?,
    };
    let wanted = |name: &ServerName| only.as_ref().is_none_or(|only| only == name);
    let servers: Vec<ServerConfig> =
        config.servers.iter().filter(|server| wanted(&server.name)).cloned().collect();
    let skipped: Vec<_> = config.skipped.iter().filter(|skipped| wanted(&skipped.server)).collect();
    // A typing mistake would otherwise look like a server without problems.
    if let (Some(only), true, true) = (&only, servers.is_empty(), skipped.is_empty()) {
        return Err(unknown_server(only, &config));
    }
    let mut findings: Vec<ServerFinding> = skipped
        .iter()
        .map(|skipped| ServerFinding {
            server: skipped.server.to_string(),
            state: "skipped",
            about: skipped.reason.clone(),
            hint: Some(skipped.hint.clone()),
            left_out: Vec::new(),
        })
        .collect();

    let anonymizer = Anonymizer::new(&config.replacements)
        .map_err(|_| CommandFailure::usage("the replacements conflict").with_hint("run `portero check`"))?;
    let anonymizer = Arc::new(ArcSwap::from_pointee(anonymizer));
    let parts =
        launch::launch_settings(&context.paths, &config, Arc::clone(&anonymizer), Arc::new(SystemClock))?;
    // Only the daemon has what these need.
    let is_daemons = |server: &ServerConfig| server.as_http().is_some() || server.transport.has_references();
    let (remote, local): (Vec<_>, Vec<_>) = servers.into_iter().partition(is_daemons);
    let (local, remote) = tokio::join!(
        examine_servers(local, parts, &anonymizer, &context.paths),
        examine_remote_servers(context, &remote),
    );
    findings.extend(local.into_iter().chain(remote));

    let is_empty = findings.is_empty();
    // With a server's name the person asks about that server alone.
    if only.is_none()
        && let Some(about) = find_bot_problem(context).await
    {
        let hint = Some("see `portero status`".to_owned());
        findings.push(ServerFinding {
            server: BOT_ENTRY.to_owned(),
            state: "failed",
            about,
            hint,
            left_out: Vec::new(),
        });
    }

    if only.is_none()
        && let Some(HttpsProblem { problem, hint, is_warning }) = find_https_problem(context).await
    {
        findings.push(ServerFinding {
            server: HTTPS_ENTRY.to_owned(),
            state: if is_warning { WARNS } else { "failed" },
            about: problem,
            hint,
            left_out: Vec::new(),
        });
    }

    if only.is_none()
        && let Some((about, hint)) = find_credential_problem(context).await
    {
        // The servers that lack one have failed by themselves.
        findings.push(ServerFinding {
            server: CREDENTIALS_ENTRY.to_owned(),
            state: WARNS,
            about,
            hint,
            left_out: Vec::new(),
        });
    }

    print_findings(context, &findings, is_empty)?;
    if only.is_none() {
        hint_unlisted_tools(context, &config);
    }
    fail_on_findings(&findings)
}

fn print_findings(
    context: &CommandContext,
    findings: &[ServerFinding],
    names_no_server: bool,
) -> CommandResult {
    context.output.print_value_or_text(&findings, |out| {
        for finding in findings {
            out.print_line(format_args!(
                "{:7} {}: {}",
                finding.state,
                finding.server,
                escape_hidden(&finding.about)
            ))?;
            if let Some(hint) = &finding.hint {
                out.print_line(format_args!("          hint: {}", escape_hidden(hint)))?;
            }
            for left_out in &finding.left_out {
                out.print_line(format_args!("          {}", escape_hidden(&left_out.about)))?;
                if let Some(hint) = left_out.hint {
                    out.print_line(format_args!("          hint: {}", escape_hidden(hint)))?;
                }
            }
        }
        if names_no_server {
            out.print_note("mcps.json names no servers");
        }
        Ok(())
    })?;
    Ok(())
}

/// Fails if there are problems, and says how many.
fn fail_on_findings(findings: &[ServerFinding]) -> CommandResult {
    let fails = |finding: &&ServerFinding| !["ok", WARNS].contains(&finding.state);
    let failed = findings.iter().filter(fails).count();
    if failed == 0 {
        return Ok(());
    }
    let others: Vec<_> = [(BOT_ENTRY, "the bot on Telegram"), (HTTPS_ENTRY, "the HTTPS endpoint")]
        .into_iter()
        .filter(|(entry, _)| findings.iter().filter(fails).any(|finding| finding.server == *entry))
        .map(|(_, words)| words.to_owned())
        .collect();
    let servers = failed - others.len();
    let named = (servers > 0).then(|| pluralize(servers, "server", "servers")).into_iter().chain(others);
    let verb = if failed == 1 { "does" } else { "do" };
    let what = format!("{} {verb}", named.collect::<Vec<_>>().join(" and "));
    Err(CommandFailure::refused(format!("{what} not work")))
}

fn unknown_server(only: &ServerName, config: &Config) -> CommandFailure {
    let failure = CommandFailure::usage(format!("`{only}` is not in mcps.json, or is disabled"));
    let skipped = config.skipped.iter().map(|skipped| skipped.server.as_str());
    let names: Vec<&str> = config.servers.iter().map(|server| server.name.as_str()).chain(skipped).collect();
    match nearest_match(only.as_str(), names.iter().copied()) {
        Some(near) => failure.with_hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => failure.with_hint("mcps.json names no servers"),
        None => failure.with_hint(format!("mcps.json names {}", names.join(", "))),
    }
}

/// Starts the servers concurrently and fetches their lists.
async fn examine_servers(
    servers: Vec<ServerConfig>,
    parts: LaunchOptions,
    anonymizer: &ArcSwap<Anonymizer>,
    paths: &portero::paths::Paths,
) -> Vec<ServerFinding> {
    let (upstreams, _events) = Upstreams::new(servers.clone(), parts);
    let look = |server: ServerConfig| {
        let upstreams = &upstreams;
        async move {
            let begin = Instant::now();
            let offered = upstreams.fetch_listing(&server.name).await;
            server_finding(&server, offered, begin.elapsed(), anonymizer, paths)
        }
    };
    let findings = futures_util::future::join_all(servers.into_iter().map(look)).await;
    upstreams.close().await;
    findings
}

/// Asks the daemon for the lists of servers over HTTP. It is started if it doesn't run.
async fn examine_remote_servers(context: &CommandContext, servers: &[ServerConfig]) -> Vec<ServerFinding> {
    if servers.is_empty() {
        return Vec::new();
    }
    let daemon = context.connect_daemon().await;
    let look = |server: &ServerConfig| {
        let (daemon, name) = (&daemon, server.name.clone());
        async move {
            let begin = Instant::now();
            let examined = match daemon {
                Ok(daemon) => daemon.request_or_refusal(ExamineServer { server: name.clone() }).await,
                Err(failure) => Err(CommandFailure::refused(failure.to_string())),
            };
            let failed = |about: String, hint: &str| ServerFinding {
                server: name.to_string(),
                state: "failed",
                about,
                hint: Some(hint.to_owned()),
                left_out: Vec::new(),
            };
            match examined {
                Ok(Ok(found)) => remote_finding(&name, found, begin.elapsed()),
                Ok(Err(refused)) => {
                    let hint = refused.hint.as_deref();
                    failed(refused.message, hint.unwrap_or("check its `url` and `headers` in mcps.json"))
                }
                Err(failure) => {
                    failed(failure.to_string(), "the daemon alone reaches it; see `portero daemon start`")
                }
            }
        }
    };
    futures_util::future::join_all(servers.iter().map(look)).await
}

fn remote_finding(server: &ServerName, found: ServerExamination, took: Duration) -> ServerFinding {
    let ServerExamination { tools, resources, prompts, omitted } = found;
    // The daemon's words hold the next step.
    let omitted = omitted.map(|about| OmittedEntry { about, hint: None });
    ServerFinding {
        server: server.to_string(),
        state: "ok",
        about: format!(
            "{tools} tools, {resources} resources, {prompts} prompts, after {} ms",
            took.as_millis()
        ),
        hint: None,
        left_out: omitted.into_iter().collect(),
    }
}

fn server_finding(
    server: &ServerConfig,
    offered: Result<ServerListing, ServerError>,
    took: Duration,
    anonymizer: &ArcSwap<Anonymizer>,
    paths: &portero::paths::Paths,
) -> ServerFinding {
    match offered {
        Ok(offer) => ServerFinding {
            server: server.name.to_string(),
            state: "ok",
            about: format!(
                "{} tools, {} resources, {} prompts, after {} ms",
                offer.tools.len(),
                offer.resources.len() + offer.templates.len(),
                offer.prompts.len(),
                took.as_millis()
            ),
            hint: None,
            left_out: omitted_entries(server, offer, &anonymizer.load()),
        },
        Err(error) => {
            // The server's own log explains a failed start better than Portero can.
            let log = paths.server_logs().join(format!("{}.log", server.name));
            ServerFinding {
                server: server.name.to_string(),
                state: "failed",
                about: anonymizer.load().conceal_text(&error.to_string()).into_inner(),
                hint: Some(if log.is_file() {
                    format!("its log is {}", log.display())
                } else {
                    "check its `command`, `args` and `cwd` in mcps.json".to_owned()
                }),
                left_out: Vec::new(),
            }
        }
    }
}

fn omitted_entries(
    server: &ServerConfig,
    offer: ServerListing,
    anonymizer: &Anonymizer,
) -> Vec<OmittedEntry> {
    let catalog = Catalog::new(std::slice::from_ref(server), None);
    catalog.set_listing(&server.name, offer);
    let all = catalog.omitted_entries(&|name| anonymizer.is_private(name));
    all.iter().map(|one| OmittedEntry { about: one.describe(anonymizer), hint: Some(one.hint()) }).collect()
}

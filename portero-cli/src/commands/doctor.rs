//! `portero doctor [SERVER]`: starts each server as a session would, looks at what it offers, and says what
//! is wrong and what to do. Of the bot on Telegram it says what a running daemon knows to be wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::catalog::Catalog;
use portero::clock::SystemClock;
use portero::config::{Config, Server};
use portero::names::ServerName;
use portero::server::{Fleet, Launch, Offer, ServerError};
use serde::Serialize;

use super::{Context, check, telegram};
use crate::failure::{Failure, Outcome};
use crate::launch;
use crate::nearest::nearest;
use crate::output::visible;

/// What stands in a server's place for the bot on Telegram; no server's name holds a blank.
const BOT: &str = "bot on Telegram";

/// What was found out about one server, or about the bot.
#[derive(Debug, Serialize)]
struct Finding {
    /// A server's name, or [`BOT`].
    server: String,
    /// `ok`, `failed` or `skipped`.
    state: &'static str,
    /// What it offers, or what is wrong.
    about: String,
    hint: Option<String>,
    /// What its lists hold and the agent's lack, with the reason and what to do.
    left_out: Vec<LeftOut>,
}

/// Entries of a server's lists that the agent's lack.
#[derive(Debug, Serialize)]
struct LeftOut {
    about: String,
    hint: &'static str,
}

pub(super) async fn run(context: &Context, only: Option<ServerName>) -> Outcome {
    // A server that waits for a confirmation is started by nobody.
    let config = match check::in_force(context) {
        Ok(in_force) => in_force.config,
        Err(_) => check::valid(context)?,
    };
    let wanted = |name: &ServerName| only.as_ref().is_none_or(|only| only == name);
    let servers: Vec<Server> = config.servers.iter().filter(|server| wanted(&server.name)).cloned().collect();
    let skipped: Vec<_> = config.skipped.iter().filter(|skipped| wanted(&skipped.server)).collect();
    if let (Some(only), true, true) = (&only, servers.is_empty(), skipped.is_empty()) {
        return Err(unknown(only, &config));
    }
    let mut findings: Vec<Finding> = skipped
        .iter()
        .map(|skipped| Finding {
            server: skipped.server.to_string(),
            state: "skipped",
            about: skipped.reason.clone(),
            hint: Some(skipped.hint.clone()),
            left_out: Vec::new(),
        })
        .collect();

    let anonymizer = Anonymizer::new(&config.replacements)
        .map_err(|_| Failure::usage("the replacements do not hold together").hint("run `portero check`"))?;
    let anonymizer = Arc::new(ArcSwap::from_pointee(anonymizer));
    let parts = launch::parts(&context.paths, &config, Arc::clone(&anonymizer), Arc::new(SystemClock))?;
    findings.extend(examine(servers, parts, &anonymizer, &context.paths).await);

    let is_empty = findings.is_empty();
    if only.is_none()
        && let Some(about) = telegram::trouble(context).await
    {
        let hint = Some("see `portero status`".to_owned());
        findings.push(Finding { server: BOT.to_owned(), state: "failed", about, hint, left_out: Vec::new() });
    }

    show(context, &findings, is_empty)?;
    verdict(&findings)
}

fn show(context: &Context, findings: &[Finding], names_no_server: bool) -> Outcome {
    context.output.show(&findings, |out| {
        for finding in findings {
            out.line(format_args!("{:7} {}: {}", finding.state, finding.server, visible(&finding.about)))?;
            if let Some(hint) = &finding.hint {
                out.line(format_args!("          hint: {}", visible(hint)))?;
            }
            for left_out in &finding.left_out {
                out.line(format_args!("          {}", visible(&left_out.about)))?;
                out.line(format_args!("          hint: {}", visible(left_out.hint)))?;
            }
        }
        if names_no_server {
            out.talk("mcps.json names no servers");
        }
        Ok(())
    })?;
    Ok(())
}

/// Refuses where anything does not work, and says how much.
fn verdict(findings: &[Finding]) -> Outcome {
    let ill = findings.iter().filter(|finding| finding.state != "ok").count();
    if ill == 0 {
        return Ok(());
    }
    let bot = findings.iter().any(|finding| finding.server == BOT);
    let what = match (ill - usize::from(bot), bot) {
        (0, _) => "the bot on Telegram does".to_owned(),
        (1, false) => "1 server does".to_owned(),
        (servers, false) => format!("{servers} servers do"),
        (1, true) => "1 server and the bot on Telegram do".to_owned(),
        (servers, true) => format!("{servers} servers and the bot on Telegram do"),
    };
    Err(Failure::refused(format!("{what} not work")))
}

fn unknown(only: &ServerName, config: &Config) -> Failure {
    let failure = Failure::usage(format!("`{only}` is not in mcps.json, or is disabled"));
    let skipped = config.skipped.iter().map(|skipped| skipped.server.as_str());
    let names: Vec<&str> = config.servers.iter().map(|server| server.name.as_str()).chain(skipped).collect();
    match nearest(only.as_str(), names.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => failure.hint("mcps.json names no servers"),
        None => failure.hint(format!("mcps.json names {}", names.join(", "))),
    }
}

/// Starts the servers side by side and asks each for its lists.
async fn examine(
    servers: Vec<Server>,
    parts: Launch,
    anonymizer: &ArcSwap<Anonymizer>,
    paths: &portero::paths::Paths,
) -> Vec<Finding> {
    let (fleet, _events) = Fleet::new(servers.clone(), parts);
    let look = |server: Server| {
        let fleet = &fleet;
        async move {
            let begin = Instant::now();
            let offered = fleet.offer(&server.name).await;
            finding(&server, offered, begin.elapsed(), anonymizer, paths)
        }
    };
    let findings = futures_util::future::join_all(servers.into_iter().map(look)).await;
    fleet.close().await;
    findings
}

fn finding(
    server: &Server,
    offered: Result<Offer, ServerError>,
    took: Duration,
    anonymizer: &ArcSwap<Anonymizer>,
    paths: &portero::paths::Paths,
) -> Finding {
    match offered {
        Ok(offer) => Finding {
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
            left_out: left_out(server, offer, &anonymizer.load()),
        },
        Err(error) => {
            let log = paths.server_logs().join(format!("{}.log", server.name));
            Finding {
                server: server.name.to_string(),
                state: "failed",
                about: anonymizer.load().conceal_text(&error.to_string()).into_inner(),
                hint: Some(if log.is_file() {
                    format!("what it wrote is in {}", log.display())
                } else {
                    "see to its `command`, `args` and `cwd` in mcps.json".to_owned()
                }),
                left_out: Vec::new(),
            }
        }
    }
}

fn left_out(server: &Server, offer: Offer, anonymizer: &Anonymizer) -> Vec<LeftOut> {
    let catalog = Catalog::new(std::slice::from_ref(server), None);
    catalog.set_offer(&server.name, offer);
    let all = catalog.left_out(&|name| anonymizer.is_private(name));
    all.iter().map(|one| LeftOut { about: one.describe(anonymizer), hint: one.hint() }).collect()
}

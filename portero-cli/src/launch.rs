//! What this process starts child servers with.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::clock::Clock;
use portero::config::Config;
use portero::paths::Paths;
use portero::server::{Guard, Launch, guard};

use crate::failure::{Failure, Outcome};

/// Everything but the servers themselves.
pub(crate) fn parts(
    paths: &Paths,
    config: &Config,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    clock: Arc<dyn Clock>,
) -> Outcome<Launch> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::refused("could not tell which program this is").because(&error))?;
    Ok(Launch {
        guard: Some(Guard { program, args: vec![guard::WORD.into()] }),
        directory: project(),
        environment: std::env::vars_os().collect(),
        logs: paths.server_logs(),
        limits: config.settings.limits.clone(),
        anonymizer,
        client: ("portero".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        clock,
    })
}

/// The project that the agent works in: what Claude Code says it is, else the working directory.
pub(crate) fn project() -> PathBuf {
    std::env::var_os("CLAUDE_PROJECT_DIR")
        .map(PathBuf::from)
        .filter(|directory| directory.is_absolute() && directory.is_dir())
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_else(|| PathBuf::from("/"))
}

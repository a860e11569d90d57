//! The settings with which this process starts its servers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::clock::Clock;
use portero::config::Config;
use portero::names::Principal;
use portero::paths::Paths;
use portero::server::{GuardCommand, LaunchOptions, guard};

use crate::failure::{CommandFailure, CommandResult};

/// The launch options that all servers share.
pub(crate) fn launch_settings(
    paths: &Paths,
    config: &Config,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    clock: Arc<dyn Clock>,
) -> CommandResult<LaunchOptions> {
    let program = std::env::current_exe()
        .map_err(|error| CommandFailure::refused("could not tell which program this is").caused_by(&error))?;
    Ok(LaunchOptions {
        http: None,
        references: None,
        guard: Some(GuardCommand { program, args: vec![guard::SUBCOMMAND.into()] }),
        directory: project_directory(),
        environment: std::env::vars_os().collect(),
        logs: paths.server_logs(),
        limits: config.settings.limits.clone(),
        anonymizer,
        client: ("portero".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        clock,
    })
}

/// The agent's project: the directory that Claude Code states, otherwise the working directory. Symbolic
/// links are resolved, so that a project has one name.
pub(crate) fn project_directory() -> PathBuf {
    std::env::var_os("CLAUDE_PROJECT_DIR")
        .map(PathBuf::from)
        .filter(|directory| directory.is_absolute() && directory.is_dir())
        .or_else(|| std::env::current_dir().ok())
        .map(|directory| canonicalize_directory(&directory).unwrap_or(directory))
        .unwrap_or_else(|| PathBuf::from("/"))
}

/// The principal of a project directory, as its sessions have it.
pub(crate) fn project_principal(directory: &Path) -> io::Result<Principal> {
    canonicalize_directory(directory).map(|directory| Principal::from_project(&directory))
}

#[cfg(unix)]
fn canonicalize_directory(directory: &Path) -> io::Result<PathBuf> {
    let directory = directory.canonicalize()?;
    if directory.is_dir() { Ok(directory) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// On Windows canonical paths (`\\\\?\\C:\\…`) are avoided, because many programs can't be started in them.
#[cfg(not(unix))]
fn canonicalize_directory(directory: &Path) -> io::Result<PathBuf> {
    let directory = std::path::absolute(directory)?;
    if directory.is_dir() { Ok(directory) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_one_name_whatever_leads_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(project_principal(&link).unwrap(), project_principal(&real).unwrap());
        assert_eq!(project_principal(&real.join("../link/.")).unwrap(), project_principal(&real).unwrap());
        assert!(project_principal(&directory.path().join("gone")).is_err());
        std::fs::write(directory.path().join("file"), "").unwrap();
        assert!(project_principal(&directory.path().join("file")).is_err());
    }
}

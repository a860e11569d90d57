//! Protects a program at its start against other processes of the same user. These are hurdles;
//! `docs/security.md` says what remains possible.

use std::ffi::{OsStr, OsString};
use std::io;

/// Tells a program that it has restarted itself.
const CLEARED_MARKER: &str = "PORTERO_LOADER_CLEARED";

/// Whether the system's loader or C library takes code from this variable.
fn injects_code(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"LD_") || name.starts_with(b"DYLD_") || name == b"GCONV_PATH"
}

/// Restarts this program without the variables by which the loader injects code into it and its children.
/// Returns if none is set. Call it before there is a second thread.
///
/// # Errors
/// If that fails, or if the variables are set again after the restart.
pub fn clear_loader_variables(environment: &[(OsString, OsString)], args: &[OsString]) -> io::Result<()> {
    let variables: Vec<&OsStr> =
        environment.iter().map(|(name, _)| name.as_os_str()).filter(|name| injects_code(name)).collect();
    if variables.is_empty() {
        return Ok(());
    }
    // Something sets them on every start. Restarting again would go on for ever.
    if environment.iter().any(|(name, _)| name == CLEARED_MARKER) {
        let names: Vec<_> = variables.iter().map(|name| name.to_string_lossy()).collect();
        return Err(io::Error::other(format!("{} is set again after it was cleared", names.join(", "))));
    }
    start_anew(&variables, args)
}

#[cfg(unix)]
fn start_anew(variables: &[&OsStr], args: &[OsString]) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    if let [name, words @ ..] = args {
        command.arg0(name).args(words);
    }
    for variable in variables {
        command.env_remove(variable);
    }
    Err(command.env(CLEARED_MARKER, "1").exec())
}

/// Windows has no such variable.
#[cfg(not(unix))]
fn start_anew(_: &[&OsStr], _: &[OsString]) -> io::Result<()> {
    Ok(())
}

/// Keeps other processes of this user from reading this one's memory, and keeps it out of core dumps. Not for
/// the daemon: others must see its program to trust it, and its secrets are in files of the same user anyway.
#[cfg(target_os = "linux")]
pub fn hide_memory() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other processes of this user can look into this one");
    }
}

/// Other systems have no such setting.
#[cfg(not(target_os = "linux"))]
pub fn hide_memory() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brings_code_is_known_and_nothing_else_is_touched() {
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "GCONV_PATH"] {
            assert!(injects_code(name.as_ref()), "{name}");
        }
        for name in ["PATH", "HOME", "OLD_HOME", "LDFLAGS", "PORTERO_CONFIG_DIR"] {
            assert!(!injects_code(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn a_program_is_not_started_anew_for_ever() {
        let variable = |name: &str| (OsString::from(name), OsString::from("x"));
        assert!(clear_loader_variables(&[variable("PATH"), variable(CLEARED_MARKER)], &[]).is_ok());
        let refused = clear_loader_variables(&[variable("LD_PRELOAD"), variable(CLEARED_MARKER)], &[])
            .expect_err("refused");
        assert!(refused.to_string().contains("LD_PRELOAD"), "{refused}");
    }
}

//! The part of this process's environment that a child inherits (guarantee R3).
//!
//! An agent starts Portero with its whole environment, keys and tokens included. So a child inherits only the
//! names listed here, and anything else only if its entry in `mcps.json` says so.

use std::ffi::{OsStr, OsString};

use crate::config::StdioServer;

/// Variables that programs need to find themselves, their user and the network.
const INHERITED_NAMES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TERM",
    "TMPDIR",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_DIRS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
];

/// Prefixes of variables that belong together.
const INHERITED_PREFIXES: &[&str] = &["LC_"];

/// Variables that Windows programs don't start without.
const INHERITED_ON_WINDOWS: &[&str] = &[
    "SystemRoot",
    "SystemDrive",
    "windir",
    "APPDATA",
    "LOCALAPPDATA",
    "ProgramData",
    "ProgramFiles",
    "ProgramFiles(x86)",
    "USERPROFILE",
    "USERNAME",
    "HOMEDRIVE",
    "HOMEPATH",
    "PATHEXT",
    "ComSpec",
    "TEMP",
    "TMP",
    "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE",
];

/// The prefix of Portero's own settings, which no entry can pass on.
const OWN_PREFIX: &str = "PORTERO_";

/// The whole environment of a child: the inherited part of ours, then its own variables.
pub(super) fn child_environment(
    ours: &[(OsString, OsString)],
    server: &StdioServer,
) -> Vec<(OsString, OsString)> {
    let listed = ours.iter().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            !name.to_ascii_uppercase().starts_with(OWN_PREFIX)
                && (is_inherited(name)
                    || server.env_passthrough.iter().any(|passed| is_same_name(passed, name)))
        })
    });
    let own = server.env.iter().map(|(name, value)| (name.into(), value.expose().into()));
    listed
        .filter(|(name, _)| {
            !server.env.keys().any(|own| name.to_str().is_some_and(|name| is_same_name(own, name)))
        })
        .cloned()
        .chain(own)
        .collect()
}

/// A variable's value in a list like that of [`child_environment`].
pub(super) fn find_variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment
        .iter()
        .find(|(found, _)| found.to_str().is_some_and(|found| is_same_name(found, name)))
        .map(|(_, value)| value.as_os_str())
}

fn is_inherited(name: &str) -> bool {
    INHERITED_NAMES.iter().any(|listed| is_same_name(listed, name))
        || INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || (cfg!(windows) && INHERITED_ON_WINDOWS.iter().any(|listed| is_same_name(listed, name)))
}

/// Compares names of variables. Windows ignores their case.
fn is_same_name(one: &str, other: &str) -> bool {
    if cfg!(windows) { one.eq_ignore_ascii_case(other) } else { one == other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn only_listed_variables_are_inherited() {
        let ours = environment(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("ANTHROPIC_API_KEY", "key"),
            ("GITHUB_TOKEN", "token"),
            ("PORTERO_CONFIG_DIR", "/x"),
            ("PATHOLOGY", "x"),
        ]);
        let child = child_environment(&ours, &StdioServer::default());
        assert_eq!(child, environment(&[("PATH", "/bin"), ("LC_ALL", "C")]));
    }

    #[test]
    fn what_its_entry_names_comes_too_but_never_what_is_porteros() {
        let ours = environment(&[("GITHUB_TOKEN", "token"), ("PORTERO_STATE_DIR", "/x"), ("PATH", "/bin")]);
        let mut server = StdioServer {
            env_passthrough: vec!["GITHUB_TOKEN".into(), "PORTERO_STATE_DIR".into()],
            ..StdioServer::default()
        };
        server.env.insert("PATH".into(), Secret::new("/own"));
        let child = child_environment(&ours, &server);
        assert_eq!(child, environment(&[("GITHUB_TOKEN", "token"), ("PATH", "/own")]));
    }
}

//! The paths of configuration, state and socket.
//!
//! `PORTERO_CONFIG_DIR`, `PORTERO_STATE_DIR` and `PORTERO_RUNTIME_DIR` win over the platform's directories,
//! and `--config` wins over the first. No directory is created before [`Paths::create_directories`].

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The longest path of a Unix socket. `sun_path` has 108 bytes on Linux, and 104 on macOS and the BSDs,
/// including the final NUL.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_SOCKET_PATH_BYTES: usize = 107;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// The directories of everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Files that people write, such as `mcps.json`.
    pub config: PathBuf,
    /// Files that must survive: store, audit, catalog, logs.
    pub state: PathBuf,
    /// Files that live as long as the daemon: socket and lock.
    pub runtime: PathBuf,
}

/// Why the directories are unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// The platform knows no home directory for this user.
    #[error(
        "this user has no home directory; set PORTERO_CONFIG_DIR, PORTERO_STATE_DIR and PORTERO_RUNTIME_DIR"
    )]
    NoHome,
    /// The socket's path is too long for the operating system.
    #[error(
        "the socket's path `{path}` is longer than {MAX_SOCKET_PATH_BYTES} bytes; set PORTERO_RUNTIME_DIR to a \
         shorter directory"
    )]
    SocketTooLong {
        /// The path.
        path: PathBuf,
    },
    /// A relative directory would differ for each program.
    #[error("the present directory cannot be told, so `{0}` cannot be made absolute")]
    Relative(PathBuf),
}

impl Paths {
    /// Finds the directories. `env` looks up an environment variable; an empty one counts as unset.
    ///
    /// # Errors
    /// If the platform knows no home directory, or the socket's path would be too long.
    pub fn resolve(
        config_flag: Option<&Path>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, PathsError> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let platform = || directories::ProjectDirs::from("", "", "portero").ok_or(PathsError::NoHome);

        let config = match config_flag.map(Path::to_path_buf).or_else(|| set("PORTERO_CONFIG_DIR")) {
            Some(config) => config,
            None => platform()?.config_dir().to_path_buf(),
        };
        let own_state = set("PORTERO_STATE_DIR");
        let state = match &own_state {
            Some(state) => make_absolute(state)?,
            None => {
                let platform = platform()?;
                platform.state_dir().unwrap_or_else(|| platform.data_local_dir()).to_path_buf()
            }
        };
        let runtime = match set("PORTERO_RUNTIME_DIR") {
            Some(runtime) => make_absolute(&runtime)?,
            None => platform_runtime_dir(&state, own_state.is_some()),
        };
        let paths = Self { config: make_absolute(&config)?, state, runtime };
        paths.check_socket_path()?;
        Ok(paths)
    }

    /// The local socket that the daemon listens on.
    #[cfg(not(windows))]
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("portero.sock")
    }

    /// The named pipe that the daemon listens on, one for each runtime directory.
    #[cfg(windows)]
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(format!(r"\\.\pipe\portero-{}", short_digest(&self.runtime)))
    }

    /// The file that a daemon locks, so that no other one listens.
    #[must_use]
    pub fn runtime_lock(&self) -> PathBuf {
        self.runtime.join("portero.lock")
    }

    /// The file that a daemon locks, so that no other one uses the state, even with another socket.
    #[must_use]
    pub fn state_lock(&self) -> PathBuf {
        self.state.join("portero.db.lock")
    }

    /// The database: tasks, rules, grants.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.state.join("portero.db")
    }

    /// The directory of the audit's segments.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.state.join("audit")
    }

    /// The key of the audit's digests. It lies beside the audit, so that a copy of the audit can be given
    /// away.
    #[must_use]
    pub fn audit_key(&self) -> PathBuf {
        self.state.join("audit.key")
    }

    /// The key under which the store keeps credentials. A copy of the store alone shows none.
    #[must_use]
    pub fn credentials_key(&self) -> PathBuf {
        self.state.join("credentials.key")
    }

    /// The directory of the servers' last listings.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.state.join("catalog")
    }

    /// The directory of the servers' own logs.
    #[must_use]
    pub fn server_logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// The directory in which each principal over HTTPS has a directory for its servers.
    #[must_use]
    pub fn remote_sessions(&self) -> PathBuf {
        self.state.join("remote")
    }

    /// The narrowing overrides, for sessions without a daemon.
    #[must_use]
    pub fn offline_denies(&self) -> PathBuf {
        self.state.join("denies.json")
    }

    /// Rejected tasks that the store couldn't record yet.
    #[must_use]
    pub fn rejections(&self) -> PathBuf {
        self.state.join("rejections")
    }

    /// Updates from Telegram for this bot that couldn't be processed yet.
    #[must_use]
    pub fn updates(&self, bot: i64) -> PathBuf {
        self.state.join(format!("telegram-updates-{bot}"))
    }

    /// The directory of the certificates that the daemon made for its HTTPS endpoint, with their keys.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.state.join("https")
    }

    /// The confirmed configuration, for sessions without a daemon.
    #[must_use]
    pub fn approved_config(&self) -> PathBuf {
        self.state.join("confirmed.json")
    }

    /// The file beside the configuration that names the store that sealed it.
    #[must_use]
    pub fn seal(&self) -> PathBuf {
        self.config.join("portero.seal")
    }

    /// Creates the state and runtime directories, private to this user. The configuration directory is left to
    /// people.
    ///
    /// # Errors
    /// If a directory can't be created, belongs to another user, or is shared by all users.
    pub fn create_directories(&self) -> io::Result<()> {
        make_private(&self.state)?;
        make_private(&self.runtime)
    }

    fn check_socket_path(&self) -> Result<(), PathsError> {
        let path = self.socket();
        if !cfg!(windows) && path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            return Err(PathsError::SocketTooLong { path });
        }
        Ok(())
    }
}

/// The platform's directory for sockets (`XDG_RUNTIME_DIR`), or one inside the state directory. A custom state
/// directory has a daemon of its own, so it gets its own directory inside the platform's.
fn platform_runtime_dir(state: &Path, own_state: bool) -> PathBuf {
    let platform = directories::ProjectDirs::from("", "", "portero");
    match platform.as_ref().and_then(directories::ProjectDirs::runtime_dir) {
        // `XDG_RUNTIME_DIR` may be set and missing, as in a container or after `su`. Then a socket there
        // would fail.
        Some(runtime) if runtime.parent().is_some_and(Path::is_dir) => {
            if own_state {
                runtime.join(short_digest(state))
            } else {
                runtime.to_path_buf()
            }
        }
        _ => state.join("run"),
    }
}

fn make_absolute(path: &Path) -> Result<PathBuf, PathsError> {
    std::path::absolute(path).map_err(|_| PathsError::Relative(path.to_path_buf()))
}

fn short_digest(path: &Path) -> String {
    blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex()[..12].to_owned()
}

#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = std::fs::metadata(directory)?;
    let refuse = |why: &str| {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the directory `{}` {why}", directory.display()),
        ))
    };
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("belongs to another user");
    }
    let mode = found.mode();
    if mode & 0o1000 != 0 {
        // Closing `/tmp` to all other users would be a bad surprise.
        return refuse("is shared by all users; name one inside it");
    }
    if mode & 0o077 != 0 {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Creates a directory that only this user may enter, with those above it.
///
/// # Errors
/// If it can't be created, or is another user's or everyone's.
pub fn create_private(directory: &Path) -> io::Result<()> {
    make_private(directory)
}

/// On Windows a user's local application data is already closed to others.
#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flag: Option<&str>, variables: &[(&str, &str)]) -> Result<Paths, PathsError> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Paths::resolve(flag.map(Path::new), &|name| {
            variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.into())
        })
    }

    const OWN: [(&str, &str); 3] =
        [("PORTERO_CONFIG_DIR", "/c"), ("PORTERO_STATE_DIR", "/s"), ("PORTERO_RUNTIME_DIR", "/r")];

    #[cfg(unix)]
    #[test]
    fn variables_win_over_the_platform_and_the_flag_over_them() {
        let paths = resolve(None, &OWN).expect("paths");
        assert_eq!((paths.config.to_str(), paths.state.to_str()), (Some("/c"), Some("/s")));
        assert_eq!(paths.socket(), Path::new("/r/portero.sock"));
        assert_eq!(resolve(Some("/flag"), &OWN).expect("paths").config, Path::new("/flag"));
    }

    #[test]
    fn a_relative_directory_becomes_absolute() {
        assert!(resolve(Some("here"), &OWN).expect("paths").config.is_absolute());
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_too_long_for_a_socket_says_what_to_do() {
        let long = format!("/{}", "x".repeat(120));
        let error = resolve(None, &[OWN[0], OWN[1], ("PORTERO_RUNTIME_DIR", &long)]).expect_err("too long");
        assert!(error.to_string().contains("set PORTERO_RUNTIME_DIR"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn two_states_never_share_a_socket() {
        let of = |state: &'static str| resolve(None, &[OWN[0], ("PORTERO_STATE_DIR", state)]).expect("paths");
        assert_ne!(of("/one").socket(), of("/two").socket());
    }

    #[cfg(unix)]
    #[test]
    fn directories_are_made_for_this_user_alone() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let base = tempfile::tempdir().expect("a directory");
        let open = base.path().join("state");
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).expect("opened");
        let paths = Paths { config: base.path().into(), state: open, runtime: base.path().join("a/run") };
        paths.create_directories().expect("created");
        for directory in [&paths.state, &paths.runtime] {
            assert_eq!(std::fs::metadata(directory).expect("there").mode() & 0o777, 0o700);
        }
        let shared = base.path().join("shared");
        std::fs::create_dir(&shared).expect("made");
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).expect("opened");
        assert!(Paths { runtime: shared, ..paths }.create_directories().is_err());
    }
}

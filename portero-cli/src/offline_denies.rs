//! The last known denies, which apply while the daemon can't be asked (guarantee D4).

use std::path::Path;
use std::time::SystemTime;

use portero::paths::Paths;
use portero::policy::offline_denies::{self, OfflineDeniesError};
use portero::policy::{Action, Overrides, PolicyRule};

/// Reads the file, which the daemon writes before a deny command returns.
pub(crate) fn read_denies(paths: &Paths) -> Result<Overrides, OfflineDeniesError> {
    offline_denies::read(&paths.offline_denies(), &paths.store()).map(|standing| standing.restrictive_only())
}

/// The overrides for unknown denies: everything is denied.
fn deny_everything() -> Overrides {
    let all = "**".parse().expect("a pattern");
    let rule = PolicyRule { id: 0, pattern: all, action: Action::Deny, made: jiff::Timestamp::UNIX_EPOCH };
    Overrides { rules: vec![rule], ..Overrides::default() }
}

/// The file of denies as a session last read it.
#[derive(Debug, Default)]
pub(crate) struct DeniesFile {
    stamp: Option<DeniesStamp>,
    epoch: u64,
}

/// The stamp of a version of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DeniesStamp {
    modified: Option<SystemTime>,
    length: u64,
    exists: bool,
    identity: u64,
}

impl DeniesFile {
    /// The epoch of its rules.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Forces the next read, even if the file looks unchanged.
    pub(crate) fn forget(&mut self) {
        self.stamp = None;
    }

    /// The overrides to apply, if the file has changed and is newer than `adopted`, the epoch that the daemon
    /// pushed (none without a connection).
    pub(crate) fn reread_if_changed(&mut self, paths: &Paths, adopted: Option<u64>) -> Option<Overrides> {
        let path = paths.offline_denies();
        let stamp = DeniesStamp::from_file(&path);
        // This runs before every decision, so an unchanged stamp must cost one system call only.
        if self.stamp.as_ref() == Some(&stamp) {
            return None;
        }
        let changed = match (read_denies(paths), adopted) {
            (Ok(denies), _) => {
                self.epoch = denies.epoch;
                Some(denies).filter(|denies| adopted.is_none_or(|adopted| adopted < denies.epoch))
            }
            // With a connection the daemon's push decides, and the daemon will rewrite the file.
            (Err(_), Some(_)) => None,
            (Err(error), None) => {
                tracing::error!(%error, file = %path.display(), "the last known denies cannot be read; nothing is allowed without the daemon");
                Some(deny_everything())
            }
        };
        self.stamp = Some(stamp);
        changed
    }
}

impl DeniesStamp {
    fn from_file(file: &Path) -> Self {
        match std::fs::metadata(file) {
            Ok(metadata) => Self {
                modified: metadata.modified().ok(),
                length: metadata.len(),
                exists: true,
                identity: inode(&metadata),
            },
            Err(error) => Self {
                modified: None,
                length: 0,
                exists: error.kind() != std::io::ErrorKind::NotFound,
                identity: 0,
            },
        }
    }
}

/// The daemon replaces the file, so the inode changes even within one tick of the file system's clock.
#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
const fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use portero::clock::{Clock as _, SystemClock};
    use portero::policy::{ConfigPolicy, Policy};

    #[test]
    fn everything_denies_even_what_the_files_allow() {
        let config = ConfigPolicy { default: Action::Allow, ..ConfigPolicy::default() };
        let policy = Policy::new(config, deny_everything());
        let decision = policy.decide(&"office/read_mail".parse().unwrap(), None, None, SystemClock.now());
        assert_eq!(decision.action, Action::Deny);
    }
}

//! Where the daemon's program is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The program's file name.
const DAEMON_PROGRAM: &str = if cfg!(windows) { "porterod.exe" } else { "porterod" };

/// `porterod` beside this executable, else on `PATH_KEYS`. Beside comes first: two programs of one release
/// belong together.
pub(crate) fn find_program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_program_in(beside.as_deref().and_then(Path::parent), &path)
}

/// Every place where it is.
#[cfg(target_os = "linux")]
pub(super) fn all_program_paths() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    candidate_paths(beside.as_deref().and_then(Path::parent), &path).collect()
}

fn find_program_in(beside: Option<&Path>, path: &OsStr) -> Option<PathBuf> {
    candidate_paths(beside, path).find(|file| file.is_file())
}

fn candidate_paths(beside: Option<&Path>, path: &OsStr) -> impl Iterator<Item = PathBuf> {
    // An empty entry of PATH means the working directory, which an agent may fill: not looked at.
    let on_path = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    let places: Vec<_> = beside.map(Path::to_owned).into_iter().chain(on_path).collect();
    places.into_iter().map(|dir| dir.join(DAEMON_PROGRAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_beside_wins_over_the_one_on_the_path() {
        let (beside, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join(DAEMON_PROGRAM), "").unwrap();
        let path = std::env::join_paths([Path::new("."), other.path()]).unwrap();
        assert_eq!(find_program_in(Some(beside.path()), &path), Some(other.path().join(DAEMON_PROGRAM)));
        std::fs::write(beside.path().join(DAEMON_PROGRAM), "").unwrap();
        assert_eq!(find_program_in(Some(beside.path()), &path), Some(beside.path().join(DAEMON_PROGRAM)));
        assert_eq!(find_program_in(None, OsStr::new("")), None);
    }
}

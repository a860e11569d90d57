//! Whether what listens on the socket runs the daemon's program: the passphrase is typed for it, and a session
//! decides by what it says.
//!
//! A hurdle, not a wall: a process of the same user can also run the real program and look into it
//! (`docs/security.md`).

/// Whether that process runs a `porterod` from where [`super::find()`] looks.
#[cfg(target_os = "linux")]
pub(super) fn runs_daemon(pid: Option<u32>) -> bool {
    pid.is_some_and(|pid| runs_one_of(pid, &super::program_path::all_program_paths()))
}

/// The system tells no other process's program there; that it is this user's was looked at.
#[cfg(not(target_os = "linux"))]
pub(super) const fn runs_daemon(_: Option<u32>) -> bool {
    true
}

/// The same file; or, where an upgrade has replaced it since that process began, one that was at its place.
#[cfg(target_os = "linux")]
fn runs_one_of(pid: u32, programs: &[std::path::PathBuf]) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let link = format!("/proc/{pid}/exe");
    let (Ok(place), Ok(running)) = (std::fs::read_link(&link), std::fs::metadata(&link)) else {
        return false;
    };
    let replaced = place.to_str().and_then(|place| place.strip_suffix(" (deleted)"));
    programs.iter().any(|program| {
        let same = std::fs::metadata(program)
            .is_ok_and(|file| (file.dev(), file.ino()) == (running.dev(), running.ino()));
        let was = program.canonicalize().ok();
        same || was.as_deref().and_then(std::path::Path::to_str).is_some_and(|was| replaced == Some(was))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_program_also_after_that_was_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().canonicalize().unwrap().join("porterod");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
        let link = format!("/proc/{}/exe", child.id());
        while std::fs::read_link(&link).is_ok_and(|place| place != program) {
            std::thread::yield_now();
        }
        let programs = [directory.path().join("none"), program.clone()];
        assert!(runs_one_of(child.id(), &programs));
        assert!(!runs_one_of(std::process::id(), &programs), "this test is no daemon");
        std::fs::remove_file(&program).unwrap();
        assert!(!runs_one_of(child.id(), &programs), "nothing is there in its place");
        std::fs::copy("/bin/true", &program).unwrap();
        assert!(runs_one_of(child.id(), &programs));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!runs_one_of(child.id(), &programs) && !runs_daemon(None));
    }
}
